// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Where to begin, and where to begin anew when the distance is off by much.

use std::time::Duration;

use super::{
    super::{
        lap::Sequence,
        piece::{Flags, Piece},
        store::Store,
        time::{Instant, Now, UnixMicros},
    },
    Astray, Playout, Step,
};

/// How long a viewer looks for a random access point, in the pieces' own time (PROTOCOL §2).
const SEARCH: Duration = Duration::from_secs(5);
/// After a start what follows is due at once where the start was a little old, and comes in any
/// order: so long a hole is none yet.
const SETTLING: Duration = Duration::from_millis(500);
/// An entry that does not hold what follows it is waited with for so long. In a swarm that has just
/// begun pieces come late at first, and who starts at once shows holes. Longer, and in a crowd of newcomers
/// one of twenty would see nothing for more than four seconds.
const GATHERING: Duration = Duration::from_millis(1600);
/// An older entry has to be there after so long, or the newer one comes first anyway.
const LOOKS_BACK_FOR: Duration = Duration::from_secs(1);
/// An entry that is due so soon is better than an older one that is due already.
pub(in super::super) const SOON: Duration = Duration::from_millis(150);

impl Playout {
    pub(super) fn search(
        &mut self,
        now: Now,
        store: &Store,
        next: Sequence,
        lost: &impl Fn(Sequence, Sequence) -> u64,
    ) -> Step {
        match self.entry(now.at, store, next) {
            Ok(piece) => {
                self.entered = None;
                self.searching = false;
                self.anywhere = false;
                self.settled_at = now.at + SETTLING;
                let follows = self.told.map(|told| told.sequence);
                if let Some(follows) = follows.filter(|&follows| follows < piece.sequence()) {
                    return self.skip(follows, piece, lost(follows, piece.sequence()));
                }
                Step::Deliver(self.deliver(now.at, piece))
            }
            Err(until) => Step::Wait(until),
        }
    }

    /// The piece to begin with now; or until when to wait for one.
    pub(super) fn entry<'a>(
        &mut self,
        now: Instant,
        store: &'a Store,
        next: Sequence,
    ) -> Result<&'a Piece, Option<Instant>> {
        let is_due = |piece: &&Piece| self.is_nearly_due(now, piece.sequence(), piece.time());
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
                store.range_from(next).next().ok_or(None)?
            }
            None => return Err(None),
        };
        // Who wants to be further back than others hold begins with the oldest there is.
        let is_oldest = self.shifted.is_some() && piece.sequence() == next;
        match self.on_target(piece.sequence(), piece.time()) {
            Some(due) if !is_oldest && due > now && !store.is_over_limit() => {
                let looks_back = self.looks_back_until.is_some_and(|until| now < until);
                if found.is_some() && !looks_back && self.shifted.is_none() {
                    self.next = Some(piece.sequence());
                }
                Err(Some(due))
            }
            _ => {
                self.next = Some(piece.sequence());
                let entered = *self.entered.get_or_insert(now);
                if now < entered + GATHERING && !self.is_gathered(now, store, piece) {
                    return Err(Some(entered + GATHERING));
                }
                Ok(piece)
            }
        }
    }

    /// Whether a piece is as far behind the source as it should be, or nearly.
    pub(in super::super) fn is_nearly_due(
        &self,
        now: Instant,
        sequence: Sequence,
        time: UnixMicros,
    ) -> bool {
        self.on_target(sequence, time)
            .is_none_or(|due| due <= now + SOON)
    }

    /// Looks for an older random access point from `sequence` on, once and not for long.
    pub(in super::super) fn look_back_to(&mut self, now: Instant, sequence: Sequence) {
        self.next = Some(sequence);
        self.looks_back_until = Some(now + LOOKS_BACK_FOR);
    }

    pub(in super::super) const fn looked_back(&self) -> bool {
        self.looks_back_until.is_some()
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
        let enough = self.playback.latency / 2;
        // Where the rate brings it to its distance, it begins with the entry however old that is.
        let (began, ends) = if self.playback.max_rate_change > 0.0 {
            let held = last.time().saturating_sub(entry.time());
            (now, Some(now + Duration::from_micros(held)))
        } else {
            (now, self.on_target(last.sequence(), last.time()))
        };
        self.target().is_zero()
            || store.is_over_limit()
            || last.time() >= self.newest
            || ends.is_some_and(|ends| ends >= began + enough)
    }

    /// Where it is off by much, the piece to begin anew with, and when.
    pub(super) fn find_way_back<'a>(
        &self,
        now: Instant,
        store: &'a Store,
        next: Sequence,
    ) -> Option<(Instant, &'a Piece)> {
        let (astray, since) = self.astray?;
        // Without random access points any piece will do.
        let anywhere = now.since(since) >= SEARCH;
        let is_entry = |piece: &&Piece| anywhere || piece.flags().contains(Flags::RANDOM_ACCESS);
        match astray {
            Astray::Behind => store
                .range_from(next)
                .filter(is_entry)
                .filter_map(|piece| Some((self.on_target(piece.sequence(), piece.time())?, piece)))
                .find(|(due, _)| *due + SOON > now),
            // It plays up to there, and waits there.
            Astray::Near => {
                let piece = store.get(next).filter(is_entry)?;
                Some((self.release(next, piece.time())?, piece))
            }
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
