// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! When which piece goes downstream: in order, each at its time, holes waited for until theirs.

use std::time::Duration;

use bytes::Bytes;

use super::{
    clock::SourceClock,
    lap::Sequence,
    piece::{Flags, Piece},
    store::Store,
    swarm::Delivery,
    time::{Instant, Now, UnixMicros},
};

/// How long a viewer looks for a random access point, in the pieces' own time (PROTOCOL §2).
const SEARCH: Duration = Duration::from_secs(5);
/// With `latency` 0 nothing is held back, so nothing tells when a missing piece is late: this does.
const PATIENCE_AT_ZERO: Duration = Duration::from_secs(1);

/// After a start what follows is due at once where the start was a little old, and comes in any
/// order: so long a hole is none yet.
const SETTLING: Duration = Duration::from_millis(500);
/// The same where seconds of a new broadcast are to be fetched that went on meanwhile.
const SETTLING_FROM_AFAR: Duration = Duration::from_secs(3);

/// An entry that does not hold what follows it is waited with for so long. In a swarm that has just
/// begun pieces come late at first, and who starts at once shows holes.
const GATHERING: Duration = Duration::from_secs(2);

/// What a step of the playout did.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes to hand on; empty where a piece only says that the source is there.
    Deliver(Delivery),
    /// A hole was given up.
    Skip {
        /// Pieces that are known to have existed in it.
        pieces: u64,
        /// Payload bytes that were in it, as the positions around it tell.
        bytes: u64,
    },
    /// Nothing to do before then, or before a piece comes.
    Wait(Option<Instant>),
}

/// The release of verified pieces.
#[derive(Debug)]
pub(super) struct Playout {
    latency: Duration,
    clock: SourceClock,
    /// The next sequence to deliver, once it is known where to start.
    next: Option<Sequence>,
    /// Looking for a place where a decoder can start.
    searching: bool,
    /// Nothing tells of a random access point, so any piece will do.
    anywhere: bool,
    /// What goes downstream next follows a hole, so its preamble goes first.
    hole: bool,
    /// What goes downstream next does not continue what went before.
    discont: bool,
    /// The last piece that was delivered.
    last: Option<Last>,
    released_at: Option<Instant>,
    /// Time of the newest piece that is known to exist.
    newest: UnixMicros,
    /// Since when there is an entry that is due.
    entered: Option<Instant>,
    /// Holes are not given up before.
    settled_at: Instant,
}

/// What is remembered of the last delivered piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) sequence: Sequence,
    pub(super) time: UnixMicros,
    end: u64,
}

impl Playout {
    pub(super) fn new(latency: Duration) -> Self {
        Self {
            latency,
            clock: SourceClock::default(),
            next: None,
            searching: true,
            anywhere: false,
            hole: true,
            discont: true,
            last: None,
            released_at: None,
            newest: 0,
            entered: None,
            settled_at: Instant::default(),
        }
    }

    /// A piece of this time is known to exist at `now`.
    pub(super) fn observe(&mut self, now: Instant, time: UnixMicros) {
        self.clock.observe(now, time);
        self.newest = self.newest.max(time);
    }

    /// Another start: its clock may be another machine's.
    pub(super) fn reset_clock(&mut self) {
        self.clock.reset();
    }

    pub(super) const fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// Starts (again) with the first random access point from `sequence` on.
    pub(super) const fn start_at(&mut self, sequence: Sequence) {
        self.next = Some(sequence);
        self.searching = true;
        self.hole = true;
    }

    /// Goes on with the first piece from `sequence` on, whatever its flags.
    pub(super) const fn skip_to(&mut self, sequence: Sequence) {
        self.next = Some(sequence);
        self.hole = true;
    }

    /// The same where everything before left the window: what is there comes in any order.
    pub(super) fn leap_to(&mut self, now: Instant, sequence: Sequence) {
        self.skip_to(sequence);
        self.settled_at = now + SETTLING_FROM_AFAR;
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

    /// How old the last released byte is, by the source's clock.
    pub(super) fn distance(&self, now: Instant) -> Option<Duration> {
        Some(now.since(self.clock.local(self.last?.time)?))
    }

    /// Whether the piece that comes next is held.
    pub(super) fn has_next(&self, store: &Store) -> bool {
        self.next.is_some_and(|next| store.contains(next))
    }

    /// How long a missing piece is waited for.
    pub(super) fn waits(&self) -> Duration {
        if self.latency.is_zero() {
            PATIENCE_AT_ZERO
        } else {
            self.latency
        }
    }

    /// When a piece of this time is released.
    fn release(&self, time: UnixMicros) -> Option<Instant> {
        Some(self.clock.local(time)? + self.latency)
    }

    /// When a piece of this time is released; nothing where nothing is held back.
    pub(super) fn releases(&self, time: UnixMicros) -> Option<Instant> {
        self.release(time).filter(|_| !self.latency.is_zero())
    }

    /// The next thing to do at `now`; `lost` tells how many pieces in a hole are known to have
    /// existed.
    pub(super) fn step(
        &mut self,
        now: Now,
        store: &Store,
        lost: impl Fn(Sequence, Sequence) -> u64,
    ) -> Step {
        let Some(next) = self.next else {
            return Step::Wait(None);
        };
        if self.searching {
            return self.search(now, store, next);
        }
        let Some(piece) = store.range_from(next).next() else {
            return Step::Wait(None);
        };
        let in_order = piece.sequence() == next;
        let release = self.release(piece.time()).unwrap_or_default();
        // Memory that is full of what is to come shortens the latency; nothing is lost for it.
        let due = if store.is_over_limit() {
            now.at
        } else if in_order || piece.flags().contains(Flags::START) {
            // Nobody fetches across a START (PROTOCOL §2): what is missing before it is lost.
            release
        } else {
            self.give_up(release)
        };
        if due > now.at {
            Step::Wait(Some(due))
        } else if in_order {
            Step::Deliver(self.deliver(now.at, piece))
        } else {
            self.skip(next, piece, lost(next, piece.sequence()))
        }
    }

    /// When the hole before a piece that is released at `release` is given up.
    fn give_up(&self, release: Instant) -> Instant {
        let patience = if self.latency.is_zero() {
            PATIENCE_AT_ZERO
        } else {
            Duration::ZERO
        };
        (release + patience).max(self.settled_at)
    }

    fn search(&mut self, now: Now, store: &Store, next: Sequence) -> Step {
        let is_due = |piece: &&Piece| self.release(piece.time()).is_none_or(|due| due <= now.at);
        let entries = || {
            let pieces = store.range_from(next);
            pieces.filter(|piece| piece.flags().contains(Flags::RANDOM_ACCESS))
        };
        // The newest that is due; else the first that will be and that is not full of holes.
        let due = entries().take_while(is_due).last();
        let found = due.or_else(|| first_whole(store, entries()));
        let piece = match found {
            Some(piece) => piece,
            None if self.anywhere || searched_enough(store, next) => {
                match store.range_from(next).next() {
                    Some(piece) => piece,
                    None => return Step::Wait(None),
                }
            }
            None => return Step::Wait(None),
        };
        match self.release(piece.time()) {
            Some(due) if due > now.at && !store.is_over_limit() => {
                if found.is_some() {
                    self.next = Some(piece.sequence());
                }
                Step::Wait(Some(due))
            }
            _ => {
                self.next = Some(piece.sequence());
                let entered = *self.entered.get_or_insert(now.at);
                if now.at < entered + GATHERING && !self.is_gathered(now.at, store, piece) {
                    return Step::Wait(Some(entered + GATHERING));
                }
                self.entered = None;
                self.searching = false;
                self.anywhere = false;
                self.settled_at = now.at + SETTLING;
                Step::Deliver(self.deliver(now.at, piece))
            }
        }
    }

    /// Whether enough is held of what follows `entry`: half of what is to be held back.
    fn is_gathered(&self, now: Instant, store: &Store, entry: &Piece) -> bool {
        let last = (entry.sequence()..)
            .zip(store.range_from(entry.sequence()))
            .take_while(|(expected, piece)| piece.sequence() == *expected)
            .last();
        let Some((_, last)) = last else {
            return false;
        };
        let covers = |until: Instant| until >= now + self.latency / 2;
        self.latency.is_zero()
            || store.is_over_limit()
            || last.time() >= self.newest
            || self.release(last.time()).is_some_and(covers)
    }

    fn deliver(&mut self, now: Instant, piece: &Piece) -> Delivery {
        let header = piece.header();
        self.hole |= header.flags.contains(Flags::START);
        self.discont |= self.hole || header.flags.contains(Flags::DISCONTINUITY);
        self.next = Some(header.sequence + 1);
        self.last = Some(Last {
            sequence: header.sequence,
            time: header.time,
            end: header.position + header.payload_len(),
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
        }
    }

    fn skip(&mut self, next: Sequence, piece: &Piece, lost: u64) -> Step {
        let same_start = !piece.flags().contains(Flags::START);
        let before = self
            .last
            .filter(|last| last.sequence + 1 == next && same_start);
        let bytes = before.map_or(0, |last| piece.header().position.saturating_sub(last.end));
        self.skip_to(piece.sequence());
        Step::Skip {
            pieces: lost,
            bytes,
        }
    }
}

/// The first entry that at least half is held of up to the next one; else the last. In a swarm that
/// has just begun what comes first comes to few, and who went on fetching it would be late with all
/// that follows.
fn first_whole<'a>(
    store: &Store,
    mut entries: impl Iterator<Item = &'a Piece>,
) -> Option<&'a Piece> {
    let mut first = entries.next()?;
    for next in entries {
        let (from, to) = (first.sequence(), next.sequence());
        let held = store.range_from(from);
        let held = held.take_while(|piece| piece.sequence() < to).count() as u64;
        if held * 2 >= to - from {
            break;
        }
        first = next;
    }
    Some(first)
}

/// Whether the held pieces from `next` on span the whole search.
fn searched_enough(store: &Store, next: Sequence) -> bool {
    let first = store.range_from(next).next();
    let newest = store.newest().filter(|piece| piece.sequence() >= next);
    first.zip(newest).is_some_and(|(first, newest)| {
        Duration::from_micros(newest.time().saturating_sub(first.time())) >= SEARCH
    })
}
