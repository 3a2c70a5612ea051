// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! When which piece goes downstream: in order, each at its time, holes waited for until theirs.
//!
//! | file | what it does |
//! | --- | --- |
//! | `clock` | the source's clock on ours |
//! | `schedule` | our own clock of the stream |
//! | `distance` | how fast to play, and when to jump |
//! | `entry` | where to begin, and to begin anew |
//! | `loss` | what becomes of what follows a hole |
//! | `step` | the next thing to do |

mod clock;
mod distance;
mod entry;
mod loss;
mod schedule;
mod step;

use std::time::Duration;

use bytes::Bytes;

use super::{
    lap::Sequence,
    piece::{Flags, Piece},
    store::Store,
    swarm::{Delivery, Playback},
    time::{Instant, UnixMicros},
};
use clock::SourceClock;
use distance::Distance;
use loss::Dropping;
use schedule::Schedule;

/// With `latency` 0 nothing is held back, so nothing tells when a missing piece is late: this does.
const PATIENCE_AT_ZERO: Duration = Duration::from_secs(1);
/// The same where seconds of a new broadcast are to be fetched that went on meanwhile.
const SETTLING_FROM_AFAR: Duration = Duration::from_secs(3);

/// What a step of the playout did.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes to hand on; empty where a piece only says that the source is there.
    Deliver(Delivery),
    /// Pieces were left out: a hole was given up, or a jump went over them.
    Skip {
        /// Pieces that are known to have existed.
        pieces: u64,
        /// Their payload bytes, as the positions around them tell.
        bytes: u64,
    },
    /// Nothing to do before then, or before a piece comes.
    Wait(Option<Instant>),
}

/// The release of verified pieces.
#[derive(Debug)]
pub(super) struct Playout {
    playback: Playback,
    /// How far behind the source it plays on purpose, where that is not `latency`.
    shifted: Option<Duration>,
    /// Where it is too far behind, it catches up by rate, however long that takes.
    keeps_position: bool,
    clock: SourceClock,
    /// The clock of a start that is not played yet: it may be another machine's.
    next_clock: Option<(Sequence, SourceClock)>,
    /// What downstream plays along; none: what the source's clock says, which is so before the
    /// first piece, and always where the rate is not to be changed.
    schedule: Option<Schedule>,
    control: Distance,
    judged_at: Option<Instant>,
    /// Off by so much that another place to go on from is looked for, and since when.
    astray: Option<(Astray, Instant)>,
    paused_at: Option<Instant>,
    /// The next sequence to deliver, once it is known where to start.
    next: Option<Sequence>,
    /// The first sequence that is not held, from `next` on, and the piece before.
    covered: Option<Covered>,
    /// Looking for a place where a decoder can start.
    searching: bool,
    /// There is one, and downstream is paused.
    ready: bool,
    /// Nothing tells of a random access point, so any piece will do.
    anywhere: bool,
    /// What goes downstream next follows a hole, so its preamble goes first.
    hole: bool,
    /// What goes downstream next does not continue what went before.
    discont: bool,
    /// After a hole nothing is shown before the next random access point.
    dropping: Option<Dropping>,
    /// Stream time between the last two random access points, µs, and when the last was.
    access: Access,
    /// The last piece that was delivered.
    last: Option<Last>,
    /// Up to where downstream was given all or told what it misses.
    told: Option<Told>,
    /// Stream time between two pieces.
    spacing: Duration,
    released_at: Option<Instant>,
    /// Time of the newest piece that is known to exist.
    newest: UnixMicros,
    /// Until when an older random access point is looked for than the newest.
    looks_back_until: Option<Instant>,
    /// Since when there is an entry that is due.
    entered: Option<Instant>,
    /// Holes are not given up before.
    settled_at: Instant,
}

/// Off by more than a change of rate corrects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Astray {
    /// Too far behind.
    Behind,
    /// Too near.
    Near,
}

/// How far what is held goes on without a hole.
#[derive(Debug, Clone, Copy)]
struct Covered {
    /// The first sequence that is missing.
    until: Sequence,
    /// Of the piece before it.
    time: UnixMicros,
    /// That piece is the last of all.
    end: bool,
}

/// What is known of the random access points that were played.
#[derive(Debug, Clone, Copy, Default)]
struct Access {
    last: Option<UnixMicros>,
    every: Option<Duration>,
}

/// What is remembered of the last delivered piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) sequence: Sequence,
    pub(super) time: UnixMicros,
}

/// The first piece of which downstream knows nothing yet.
#[derive(Debug, Clone, Copy)]
struct Told {
    sequence: Sequence,
    /// Payload bytes of its start before it, where it is of the same start as what comes next.
    position: Option<u64>,
}

impl Playout {
    pub(super) fn new(playback: Playback) -> Self {
        Self {
            playback,
            shifted: None,
            keeps_position: false,
            clock: SourceClock::default(),
            next_clock: None,
            schedule: None,
            control: Distance::default(),
            judged_at: None,
            astray: None,
            paused_at: None,
            next: None,
            covered: None,
            searching: true,
            ready: false,
            anywhere: false,
            hole: true,
            discont: true,
            dropping: None,
            access: Access::default(),
            last: None,
            told: None,
            spacing: Duration::ZERO,
            released_at: None,
            newest: 0,
            looks_back_until: None,
            entered: None,
            settled_at: Instant::default(),
        }
    }

    /// The piece `sequence` of this time is known to exist at `now`.
    pub(super) fn observe(&mut self, now: Instant, sequence: Sequence, time: UnixMicros) {
        match &mut self.next_clock {
            Some((start, clock)) if sequence >= *start => clock.observe(now, sequence, time),
            _ => self.clock.observe(now, sequence, time),
        }
        self.newest = self.newest.max(time);
    }

    /// Another start begins at `start`: its clock may be another machine's.
    pub(super) fn new_start(&mut self, start: Sequence) {
        let newest = self
            .next_clock
            .as_ref()
            .map_or(&self.clock, |(_, clock)| clock);
        // Who joins hears of a start when it has seen what follows it.
        if !newest.begins_at(start) {
            self.next_clock = Some((start, SourceClock::default()));
        }
    }

    /// Takes another distance, or other rules, from `now` on.
    pub(super) fn set_playback(&mut self, now: Instant, playback: Playback) {
        let before = self.target();
        if self.playback.max_rate_change > 0.0 && playback.max_rate_change <= 0.0 {
            self.set_rate(now, 1.0);
        }
        self.playback = playback;
        let changed = before.abs_diff(self.target());
        let is_much = changed > distance::much(self.playback.max_rate_change);
        if self.schedule.is_none() && is_much && !before.is_zero() && self.last.is_some() {
            // Downstream goes on along the old line until there is a place to leave it.
            self.schedule = self.line_of(before);
        }
        if self.target().is_zero() {
            self.schedule = None;
        }
        self.judged_at = None;
    }

    /// How far behind the source to be.
    pub(super) fn target(&self) -> Duration {
        self.shifted.unwrap_or(self.playback.latency)
    }

    /// Starts (again) with the first random access point from `sequence` on.
    pub(super) fn start_at(&mut self, sequence: Sequence) {
        self.begin_anew();
        self.next = Some(sequence);
        self.searching = true;
        self.looks_back_until = None;
    }

    /// Goes on with the first piece from `sequence` on, whatever its flags.
    fn skip_to(&mut self, sequence: Sequence) {
        self.next = Some(sequence);
        self.hole = true;
    }

    /// The same where everything before left the window, maybe of another start: what is there comes in
    /// any order.
    pub(super) fn leap_to(&mut self, now: Instant, sequence: Sequence, same_start: bool) {
        self.begin_anew();
        if let Some(told) = self.told.as_mut().filter(|_| !same_start) {
            told.position = None;
        }
        self.skip_to(sequence);
        self.settled_at = now + SETTLING_FROM_AFAR;
    }

    /// What comes next has no place on the line that downstream played along.
    fn begin_anew(&mut self) {
        self.schedule = None;
        self.control = Distance::default();
        self.astray = None;
        self.dropping = None;
        self.hole = true;
    }

    /// Whether what is due is still coming in, in any order.
    pub(super) fn settles(&self, now: Instant) -> bool {
        now < self.settled_at
    }

    /// No random access point is to be expected.
    pub(super) const fn start_anywhere(&mut self) {
        self.anywhere = true;
    }

    pub(super) const fn next(&self) -> Option<Sequence> {
        self.next
    }

    /// Whether it still looks for a place where a decoder can start.
    pub(super) const fn is_searching(&self) -> bool {
        self.searching
    }

    pub(super) const fn last(&self) -> Option<Last> {
        self.last
    }

    pub(super) const fn released_at(&self) -> Option<Instant> {
        self.released_at
    }

    /// How far behind the source what is released at `now` is, by the source's clock.
    pub(super) fn distance(&self, now: Instant) -> Option<Duration> {
        let last = self.clock.steady(self.last?.time);
        // Between two pieces time goes on, and while there are none it stands still.
        let position = match &self.schedule {
            Some(schedule) => schedule.position(now).min(last + micros(self.spacing)),
            None => last,
        };
        Some(now.since(self.clock.local_of_steady(position)?))
    }

    /// How fast it plays.
    pub(super) fn rate(&self) -> f64 {
        self.schedule.as_ref().map_or(1.0, Schedule::rate)
    }

    /// Whether the piece that comes next is held.
    pub(super) fn has_next(&self, store: &Store) -> bool {
        self.next.is_some_and(|next| store.contains(next))
    }

    /// How long a missing piece is waited for.
    pub(super) fn waits(&self) -> Duration {
        if self.playback.latency.is_zero() {
            PATIENCE_AT_ZERO
        } else {
            self.playback.latency
        }
    }

    /// When a piece is released that is as far behind the source as it should be.
    fn on_target(&self, sequence: Sequence, time: UnixMicros) -> Option<Instant> {
        let clock = match &self.next_clock {
            Some((start, clock)) if sequence >= *start => clock,
            _ => &self.clock,
        };
        Some(clock.local(time)? + self.target())
    }

    /// When a piece is released.
    fn release(&self, sequence: Sequence, time: UnixMicros) -> Option<Instant> {
        let elsewhere = |&(start, _): &(Sequence, _)| sequence >= start;
        match &self.schedule {
            Some(schedule) if !self.next_clock.as_ref().is_some_and(elsewhere) => {
                Some(schedule.due(self.clock.steady(time)))
            }
            _ => self.on_target(sequence, time),
        }
    }

    /// When a piece is released; nothing where nothing is held back.
    pub(super) fn releases(&self, sequence: Sequence, time: UnixMicros) -> Option<Instant> {
        self.release(sequence, time)
            .filter(|_| !self.target().is_zero())
    }

    /// Downstream takes nothing from `now` on.
    pub(super) fn pause(&mut self, now: Instant) {
        self.paused_at.get_or_insert(now);
    }

    /// Whether it plays, or would if downstream were not paused.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready || self.last.is_some()
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Downstream goes on; how long it was paused while it played.
    pub(super) fn resume(&mut self, now: Instant) -> Option<Duration> {
        let paused = now.since(self.paused_at.take()?);
        // What waits may have waited for long already.
        self.entered = None;
        self.last.map(|_| paused)
    }

    /// What would have been released in a pause is so after it. Where the position is kept,
    /// whatever is missing to the distance is caught up by rate.
    pub(super) fn hold_up(&mut self, now: Instant, paused: Duration, keep_position: bool) {
        if self.schedule.is_none() && !self.target().is_zero() {
            self.schedule = self.line_of(self.target());
        }
        if let Some(schedule) = &mut self.schedule {
            schedule.delay(paused);
            self.keeps_position = keep_position;
        }
        self.judged_at = None;
        // It was not released just now, so it is not late.
        self.released_at = self.released_at.map(|_| now);
    }

    /// The line along which what was played last was `distance` behind the source.
    fn line_of(&self, distance: Duration) -> Option<Schedule> {
        let time = self.clock.steady(self.last?.time);
        let at = self.clock.local_of_steady(time)? + distance;
        Some(Schedule::new(time, at))
    }

    /// It starts as far behind the source as was asked for at the start.
    pub(super) fn shift(&mut self) {
        let offset = self.playback.start_offset;
        if self.last.is_none() && offset > self.playback.latency {
            self.shifted = Some(offset);
        }
    }

    /// Whether it plays further behind the source than `latency`, as was asked for.
    pub(super) const fn is_shifted(&self) -> bool {
        self.shifted.is_some()
    }

    /// It plays at `latency` from here on, whatever was asked for at the start.
    pub(super) const fn leave_shift(&mut self) {
        self.playback.start_offset = Duration::ZERO;
        self.shifted = None;
        self.keeps_position = false;
    }

    fn set_rate(&mut self, now: Instant, rate: f64) {
        if let Some(schedule) = self.schedule.as_mut().filter(|s| s.rate() != rate) {
            schedule.set_rate(now, rate);
        }
    }

    fn deliver(&mut self, now: Instant, piece: &Piece) -> Delivery {
        let header = piece.header();
        self.adopt_clock(header.sequence);
        self.draw_line(now, header.time);
        self.hole |= header.flags.contains(Flags::START);
        self.discont |= self.hole || header.flags.contains(Flags::DISCONTINUITY);
        self.note_spacing(header.sequence, header.time);
        if header.flags.contains(Flags::RANDOM_ACCESS) {
            self.access.passed(self.clock.steady(header.time));
        }
        self.next = Some(header.sequence + 1);
        self.last = Some(Last {
            sequence: header.sequence,
            time: header.time,
        });
        self.told = Some(Told {
            sequence: header.sequence + 1,
            position: Some(header.position + header.payload_len()),
        });
        self.released_at = Some(now);
        let payload = piece.payload();
        // A piece without payload hands nothing on, so whatever does next is what follows the hole.
        let (hole, discont) = if payload.is_empty() {
            (false, false)
        } else {
            (
                std::mem::take(&mut self.hole),
                std::mem::take(&mut self.discont),
            )
        };
        Delivery {
            preamble: if hole { piece.preamble() } else { Bytes::new() },
            payload,
            discont,
            sequence: header.sequence,
            time: header.time,
            rate: self.rate(),
        }
    }

    /// A piece of the newest start is played, so its clock counts from here on.
    fn adopt_clock(&mut self, sequence: Sequence) {
        if let Some((_, clock)) = self.next_clock.take_if(|(start, _)| sequence >= *start) {
            self.clock = clock;
            self.schedule = None;
            self.control = Distance::default();
            self.access = Access::default();
        }
    }

    fn note_spacing(&mut self, sequence: Sequence, time: UnixMicros) {
        let before = self.last.filter(|last| last.sequence + 1 == sequence);
        if let Some(before) = before {
            let before = self.clock.steady(before.time);
            let since = self.clock.steady(time).saturating_sub(before);
            self.spacing = (self.spacing * 3 + Duration::from_micros(since)) / 4;
        }
    }
}

impl Access {
    fn passed(&mut self, time: UnixMicros) {
        let since = self.last.and_then(|last| time.checked_sub(last));
        self.every = since.map(Duration::from_micros).or(self.every);
        self.last = Some(time);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
