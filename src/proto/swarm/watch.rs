// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A viewer's tuning in, release and status (PROTOCOL §5, Joining).

use std::time::Duration;

use super::{
    super::{
        lap::Sequence,
        peer::Peer,
        piece::{Header, Piece},
        playout::{Playout, Step as PlayoutStep},
        stats::Stats,
        time::{Instant, Now, UnixMicros},
        timer::Timer,
        tune_in::{self, TuneIn, Verdict},
        wire::Message,
    },
    Event, Input, Output, Playback, Status, Step, Swarm,
};

/// No higher tip for so long, and no END: the source is away.
const AWAY: Duration = Duration::from_secs(3);
/// A source closes a piece at least once a second; nothing to release for longer is a stall.
const STALL: Duration = Duration::from_millis(1500);
/// No higher tip for so long after END: it was the end.
const END_IS_FINAL: Duration = Duration::from_secs(2);
/// What is missing of a broadcast that ended is waited for so long while nobody shows it.
const END_IS_LOST: Duration = Duration::from_secs(10);
/// The same while somebody does: no peer serves for longer after an END.
const END_IS_HELD_BACK: Duration = Duration::from_secs(60);
/// A floor this far back would show a random access point, if there were any.
const RANDOM_ACCESS_SPAN: Duration = Duration::from_secs(5);

/// What only a viewer has.
#[derive(Debug)]
pub(super) struct Viewer {
    began: Instant,
    pub(super) tune: TuneIn,
    pub(super) playout: Playout,
    /// It knows where to start.
    pub(super) joined: bool,
    /// It started from a tip that may be a recording.
    unconfirmed: bool,
    /// A piece fetched for its time only.
    probe: Option<Sequence>,
    /// Everything before left the window, and nothing was released since: it goes on with the lowest
    /// from here on that turns up.
    leapt: Option<Sequence>,
    /// A piece of the newest start was delivered.
    in_start: bool,
    /// Deliveries that downstream has room for.
    room: usize,
    status: Status,
    stalled: bool,
    away: bool,
    ended: bool,
    /// From the time of the newest piece held to when it was held, by our clock.
    lag: Duration,
    newest_time: UnixMicros,
    join_time: Option<Duration>,
    skipped: u64,
    bytes_out: u64,
    stalls: u64,
}

impl Viewer {
    pub(super) fn new(now: Instant, playback: Playback) -> Self {
        Self {
            began: now,
            tune: TuneIn::default(),
            playout: Playout::new(playback),
            joined: false,
            unconfirmed: false,
            probe: None,
            leapt: None,
            in_start: false,
            room: 0,
            status: Status::default(),
            stalled: false,
            away: false,
            ended: false,
            lag: Duration::ZERO,
            newest_time: 0,
            join_time: None,
            skipped: 0,
            bytes_out: 0,
            stalls: 0,
        }
    }

    /// The next sequence to play, once it is known where to start.
    pub(super) const fn next(&self) -> Option<Sequence> {
        self.playout.next()
    }

    /// The lowest sequence that it still has a use for, once it is known where to start.
    pub(super) fn lowest(&self) -> Option<Sequence> {
        self.leapt.or_else(|| self.next())
    }

    /// How long a missing piece is waited for.
    pub(super) fn waits(&self) -> Duration {
        self.playout.waits()
    }

    /// Whether what is due is still coming in, in any order.
    pub(super) fn settles(&self, now: Instant) -> bool {
        self.playout.settles(now)
    }

    /// When a piece of this time is released; nothing where all is at once.
    pub(super) fn releases(&self, sequence: Sequence, time: UnixMicros) -> Option<Instant> {
        self.playout.releases(sequence, time)
    }

    /// Whether it knows where to start.
    pub(super) const fn has_joined(&self) -> bool {
        self.joined
    }

    pub(super) const fn is_source_away(&self) -> bool {
        self.away
    }

    pub(super) const fn is_playing(&self) -> bool {
        self.playout.last().is_some()
    }

    /// Whether downstream takes something now.
    const fn is_drained(&self) -> bool {
        self.room > 0 && !self.playout.is_paused()
    }

    /// Downstream is paused.
    #[cfg(test)]
    pub(super) const fn take_room(&mut self) {
        self.room = 0;
    }

    pub(super) const fn lag(&self) -> Duration {
        self.lag
    }

    /// Another start was seen; of its newest known piece: when, which, and its time.
    pub(super) fn new_start(
        &mut self,
        start: Sequence,
        newest: Option<(Instant, Sequence, UnixMicros)>,
    ) {
        self.in_start = false;
        self.playout.new_start(start);
        if let Some((seen, sequence, time)) = newest {
            self.playout.observe(seen, sequence, time);
        }
    }
}

/// Whether an input may change what [`Swarm::watch`] goes by while a viewer plays. What peers show and
/// ask for does not; they are most of all that comes.
pub(super) const fn concerns_release(input: &Input) -> bool {
    !matches!(
        input,
        Input::Sent { .. }
            | Input::Timeout
            | Input::Received {
                message: Message::Have(_)
                    | Message::Request(_)
                    | Message::Cancel(_)
                    | Message::Reject(_)
                    | Message::Interested
                    | Message::NotInterested
                    | Message::Choke
                    | Message::Unchoke
                    | Message::KeepAlive,
                ..
            }
    )
}

/// Whether the newest start that is known begins after `from` and up to `to`.
fn begins_between(start: Option<Sequence>, from: Sequence, to: Sequence) -> bool {
    start.is_some_and(|start| start > from && start <= to)
}

impl Swarm {
    /// The tip moved to a piece with this header; whether the source was away.
    pub(super) fn saw_tip(&mut self, now: Now, header: &Header) -> bool {
        let Some(viewer) = &mut self.viewer else {
            return false;
        };
        viewer.playout.observe(now.at, header.sequence, header.time);
        let back = std::mem::take(&mut viewer.away);
        if back {
            self.tell(Event::SourceBack);
        }
        back
    }

    /// A piece was verified; whether it is to be kept.
    pub(super) fn saw_piece(&mut self, now: Now, piece: &Piece) -> bool {
        let newest_known = self.tip.as_ref().map(|tip| tip.proof.header().time);
        let Some(viewer) = &mut self.viewer else {
            return true;
        };
        viewer
            .playout
            .observe(now.at, piece.sequence(), piece.time());
        if piece.time() >= viewer.newest_time {
            viewer.newest_time = piece.time();
            viewer.lag = tune_in::age(now.wall, piece.time());
        }
        if viewer.probe == Some(piece.sequence()) {
            viewer.probe = None;
            let back = newest_known.unwrap_or(0).saturating_sub(piece.time());
            if Duration::from_micros(back) >= RANDOM_ACCESS_SPAN {
                viewer.playout.start_anywhere();
            }
        }
        viewer
            .lowest()
            .is_some_and(|lowest| piece.sequence() >= lowest)
    }

    pub(super) fn room(&mut self, places: usize) {
        if let Some(viewer) = &mut self.viewer {
            viewer.room = viewer.room.saturating_add(places);
        }
    }

    /// Takes every step of tuning in and release that is due.
    pub(super) fn watch(&mut self, now: Now) {
        if self.viewer.is_none() || !self.look {
            return;
        }
        self.tune(now);
        self.look_back(now);
        self.follow_the_window(now);
        let wait = self.play(now);
        self.store.squeeze();
        let deadlines = [wait, self.watch_the_source(now)];
        let next = deadlines.into_iter().flatten().min();
        self.timers.set(Timer::Playout, next);
        self.show_status();
        self.look = !self.just_plays();
    }

    /// Whether all that is to be done before something changes is done when the timer is due. While
    /// it looks for where to start or to go on, or for an end, what peers show counts too.
    fn just_plays(&self) -> bool {
        let window = self.tip_sequence().map(|tip| self.lap.window_start(tip));
        let plays = |viewer: &Viewer| {
            viewer.joined
                && !viewer.unconfirmed
                && viewer.is_playing()
                && !viewer.playout.is_searching()
                && viewer.next() >= window
        };
        self.end.is_none() && self.viewer.as_ref().is_some_and(plays)
    }

    /// Starts when enough is known of the tip.
    fn tune(&mut self, now: Now) {
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        let Some(tip) = &self.tip else {
            return;
        };
        let confirmed = !tune_in::is_unconfirmed(tune_in::age(now.wall, tip.proof.header().time));
        if viewer.joined {
            // The first confirmed tip after an unconfirmed one wins.
            if viewer.unconfirmed && confirmed {
                viewer.unconfirmed = false;
                self.start(now);
            }
            return;
        }
        if self.end.is_some() {
            // Who finds only an END waits for the source.
            return;
        }
        match viewer.tune.verdict(now) {
            Verdict::Wait(until) => self.timers.set(Timer::TuneIn, until),
            Verdict::Start => self.start(now),
            Verdict::StartUnconfirmed(age) => {
                viewer.unconfirmed = true;
                self.tell(Event::Unconfirmed { age });
                self.start(now);
            }
        }
    }

    /// Starts fetching and playing where a joiner would.
    pub(super) fn start(&mut self, now: Now) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let window = self.lap.window_start(tip);
        if let Some(viewer) = &mut self.viewer {
            viewer.playout.shift();
        }
        let shifted = self.viewer.as_ref().is_some_and(|v| v.playout.is_shifted());
        let far = shifted.then(|| self.older_entry(now.at)).flatten();
        let random_access = far.or_else(|| self.entry_point(now.at));
        let current = self.peers.values().filter(|peer| peer.current);
        let floor = current
            .filter_map(|peer| peer.live.floor)
            .filter(|floor| (window..tip).contains(floor))
            .min();
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        viewer.joined = true;
        let from = random_access.unwrap_or(tip);
        if viewer.next().is_some_and(|next| next >= from) {
            // It is there already, and never goes back.
            return;
        }
        // Nobody who announces holds a random access point: how far back do they go?
        viewer.probe = floor.filter(|_| random_access.is_none());
        let probe = viewer.probe;
        viewer.playout.start_at(from);
        self.tell(Event::Step(Step::Entry {
            sequence: from,
            behind: tip.saturating_sub(from),
            random_access: random_access.is_some(),
        }));
        self.live_version += 1;
        self.want_from(now.at, from);
        if let Some(probe) = probe {
            self.want_probe(probe);
        }
    }

    /// Jumps when the next piece left the window: to the lowest in it that a peer shows.
    fn follow_the_window(&mut self, now: Now) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let window = self.lap.window_start(tip);
        let Some(viewer) = &self.viewer else {
            return;
        };
        if let Some(lowest) = viewer.leapt {
            self.leap_no_further(now, lowest.max(window));
        }
        let next = self.viewer.as_ref().and_then(Viewer::next);
        let Some(next) = next.filter(|&next| next < window) else {
            return;
        };
        if self.store.range_from(next).next().is_some() {
            // What is held is still delivered, and the hole before it is given up in its time.
            return;
        }
        if self.wanted.first().is_none_or(|first| first < window) {
            self.want_from(now.at, window);
        }
        let Some(first) = self.wanted.first() else {
            return;
        };
        let same_start = !begins_between(self.start, next, first);
        if let Some(viewer) = &mut self.viewer {
            viewer.playout.leap_to(now.at, first, same_start);
            viewer.leapt = Some(window);
            self.tell(Event::Step(Step::Leap { sequence: first }));
        }
    }

    /// What a peer shows first after a leap need not be the lowest that there is: of a source that
    /// came back others may tell its newest pieces before it shows all of them itself.
    fn leap_no_further(&mut self, now: Now, lowest: Sequence) {
        let held = self.store.range_from(lowest).next();
        let wanted = self.wanted.first().filter(|&first| first >= lowest);
        let first = wanted.into_iter().chain(held.map(Piece::sequence)).min();
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        if let Some(first) = first
            && viewer.next().is_some_and(|next| first < next)
        {
            // Whether a start lies before it was found out with the first leap.
            viewer.playout.leap_to(now.at, first, true);
        }
    }

    /// Releases what is due and gives up holes whose time has come.
    fn play(&mut self, now: Now) -> Option<Instant> {
        loop {
            let viewer = self.viewer.as_mut()?;
            if viewer.room == 0 {
                return None;
            }
            let start = self.start;
            let wanted = &self.wanted;
            let lost = |from: Sequence, to: Sequence| {
                // Between two starts there are sequences that no piece ever had.
                if begins_between(start, from, to) {
                    wanted.count(from, to)
                } else {
                    to - from
                }
            };
            match viewer.playout.step(now, &self.store, lost) {
                PlayoutStep::Wait(until) => {
                    // Another entry than the one that was looked for first.
                    let next = viewer.lowest().unwrap_or(0);
                    if self.wanted.first().is_some_and(|first| first < next) {
                        self.stop_wanting_below(now.at, next);
                    }
                    return until;
                }
                PlayoutStep::Skip { pieces, bytes } => {
                    viewer.skipped += pieces;
                    viewer.leapt = None;
                    let next = viewer.next().unwrap_or(0);
                    self.stop_wanting_below(now.at, next);
                    if pieces > 0 {
                        self.tell(Event::Skipped { pieces, bytes });
                    }
                }
                PlayoutStep::Deliver(delivery) => {
                    viewer.in_start = true;
                    viewer.leapt = None;
                    let next = viewer.next().unwrap_or(0);
                    let first = viewer.join_time.is_none();
                    if std::mem::take(&mut viewer.stalled) {
                        self.tell_released(now, &delivery);
                        self.tell(Event::Resumed);
                    } else if first && !delivery.payload.is_empty() {
                        self.tell_released(now, &delivery);
                    }
                    // A start may leap over what was fetched to find it.
                    if self.wanted.first().is_some_and(|first| first < next) {
                        self.stop_wanting_below(now.at, next);
                    }
                    self.hand_on(now, delivery);
                }
            }
        }
    }

    fn tell_released(&mut self, now: Now, delivery: &super::Delivery) {
        if let Some(viewer) = &self.viewer {
            let step = Step::Released {
                sequence: delivery.sequence,
                distance: viewer.playout.distance(now.at).unwrap_or_default(),
                after: now.at.since(viewer.began),
            };
            self.tell(Event::Step(step));
        }
    }

    /// Tells why there is nothing to release.
    fn tell_late(&mut self) {
        let next = self.viewer.as_ref().and_then(Viewer::next);
        if let (Some(sequence), Some(tip)) = (next, self.tip_sequence()) {
            let shows = |(_, peer): &(super::ConnId, &Peer)| peer.have.contains(sequence);
            let step = Step::Late {
                sequence,
                tip,
                peers: self.ready().count(),
                shown_by: self.ready().filter(shows).count(),
                asked: self.wanted.times_asked(sequence).into(),
            };
            self.tell(Event::Step(step));
        }
    }

    fn hand_on(&mut self, now: Now, delivery: super::Delivery) {
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        let began = viewer.began;
        let bytes = delivery.preamble.len() + delivery.payload.len();
        if bytes > 0 {
            viewer.room -= 1;
            viewer.bytes_out += bytes as u64;
            viewer.join_time.get_or_insert_with(|| now.at.since(began));
            self.out.push_back(Output::Deliver(delivery));
        }
        self.trim();
    }

    /// When a broadcast whose END is known is over: every piece was delivered, or what is missing
    /// does not come any more.
    fn over_at(&self, viewer: &Viewer, end: Sequence, moved: Instant) -> Option<Instant> {
        let last = viewer.playout.last().filter(|_| viewer.in_start)?;
        if last.sequence >= end {
            return Some(moved + END_IS_FINAL);
        }
        if self.store.range_from(last.sequence + 1).next().is_some() {
            return None;
        }
        let shows = |peer: &Peer| peer.have.iter_from(last.sequence + 1).next().is_some();
        let wait = if self.peers.values().any(shows) {
            END_IS_HELD_BACK
        } else {
            END_IS_LOST
        };
        Some(viewer.playout.released_at()?.max(moved) + wait)
    }

    /// Notices a stall, a source that is away and an END that is final; when to look again.
    fn watch_the_source(&mut self, now: Now) -> Option<Instant> {
        let viewer = self.viewer.as_ref()?;
        let moved = self.tip.as_ref()?.moved;
        if viewer.ended {
            return None;
        }
        if let Some(end) = self.end {
            let over_at = self.over_at(viewer, end, moved)?;
            if now.at < over_at {
                return Some(over_at);
            }
            self.viewer.as_mut()?.ended = true;
            self.tell(Event::Ended);
            return None;
        }
        let viewer = self.viewer.as_mut()?;
        let away_at = moved + AWAY;
        let mut next = None;
        if now.at >= away_at {
            if !std::mem::replace(&mut viewer.away, true) {
                self.tell(Event::SourceAway);
                self.look_for_the_source(now);
            }
        } else {
            next = Some(away_at);
        }
        let viewer = self.viewer.as_mut()?;
        if viewer.stalled || !viewer.is_drained() || viewer.playout.has_next(&self.store) {
            return next;
        }
        let stall_at = viewer.playout.released_at()? + STALL;
        if now.at < stall_at {
            return Some(next.map_or(stall_at, |at| at.min(stall_at)));
        }
        viewer.stalled = true;
        viewer.stalls += 1;
        self.tell_late();
        self.tell(Event::Stalled);
        next
    }

    fn show_status(&mut self) {
        let plays = self.viewer.as_ref().is_some_and(Viewer::is_playing);
        let alone = !plays && self.ready().next().is_none();
        let Some(viewer) = &mut self.viewer else {
            return;
        };
        let status = if viewer.ended {
            Status::Ended
        } else if !viewer.playout.is_ready() {
            if alone {
                Status::Connecting
            } else {
                Status::Joining
            }
        } else if viewer.away {
            Status::SourceAway
        } else if viewer.stalled {
            Status::Stalled
        } else {
            Status::Playing
        };
        if std::mem::replace(&mut viewer.status, status) != status {
            self.tell(Event::Status(status));
        }
    }

    pub(super) fn viewer_stats(&self, now: Now, stats: &mut Stats) {
        let Some(viewer) = &self.viewer else {
            return;
        };
        stats.bytes_out = viewer.bytes_out;
        stats.pieces_skipped = viewer.skipped;
        stats.join_time = viewer.join_time;
        stats.stalls = viewer.stalls;
        stats.playback_rate = viewer.playout.rate();
        stats.live_distance = viewer.playout.distance(now.at).unwrap_or_default();
        if let Some(last) = viewer.playout.last() {
            let in_order = (last.sequence + 1..)
                .zip(self.store.range_from(last.sequence + 1))
                .take_while(|(expected, piece)| piece.sequence() == *expected)
                .last();
            stats.buffer_level = in_order.map_or(Duration::ZERO, |(_, piece)| {
                Duration::from_micros(piece.time().saturating_sub(last.time))
            });
        }
    }
}
