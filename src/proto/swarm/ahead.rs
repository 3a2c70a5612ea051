// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Requests ahead: from whom pieces are asked before they exist (PROTOCOL §6).
//!
//! Each class of sequences has its parent: the neighbour that is expected to have and to give its
//! pieces earliest. Another takes its place only when it is clearly better, or when the parent
//! refuses or is late, so the pieces of a class run the same way while that way is good.

use std::{collections::VecDeque, time::Duration};

use super::{
    super::{
        hops::{CLASSES, FAR, class_of},
        lap::Sequence,
        peer::{FULL, Peer},
        time::{Instant, Now},
    },
    ConnId, Swarm,
};

/// How far ahead is asked: the request has to be there before the piece, across the world and
/// through a short stall of ours. No farther: all that was asked of who lets us down is late.
const HORIZON: Duration = Duration::from_millis(500);
/// The same in pieces, where pieces are few: with less than one request on its way in each class, all of a
/// class waits behind whatever holds up the next.
const HORIZON_AT_LEAST: u64 = 10;
/// Who still has to fetch so much of what exists does not ask for more: what comes is to come in
/// order.
const CATCHING_UP: Duration = Duration::from_millis(1250);
/// The same in pieces, where pieces are few.
const CATCHING_UP_AT_LEAST: u64 = 4;
/// Another parent has to promise so much less delay.
const BETTER_BY: Duration = Duration::from_millis(40);
/// Who can be called asks others of the kind only where none that cannot be called gives as much sooner than
/// this: those who cannot be called can ask nobody else, and what they can give nobody else can take.
const OTHERS_ASK: Duration = Duration::from_secs(1);
/// A class in which no promise was kept for so long is not fed, nor one for two of its pieces.
const FED: Duration = Duration::from_millis(700);
/// Sequences whose first moment is remembered.
const SEEN: u64 = 512;

/// When each of the newest sequences was first known to exist.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    /// Of the newest down to [`SEEN`] below it; `newest` is the last one's sequence.
    moments: VecDeque<Instant>,
    newest: Sequence,
}

impl FirstSeen {
    /// How many moments are known.
    pub(super) fn len(&self) -> usize {
        self.moments.len()
    }

    /// `sequence` exists, and so does every one below it.
    pub(super) fn exists(&mut self, now: Instant, sequence: Sequence) {
        if sequence <= self.newest && !self.moments.is_empty() {
            return;
        }
        let new = if self.moments.is_empty() {
            1
        } else {
            (sequence - self.newest).min(SEEN)
        };
        for _ in 0..new {
            if self.moments.len() as u64 >= SEEN {
                self.moments.pop_front();
            }
            self.moments.push_back(now);
        }
        self.newest = sequence;
    }

    /// When `sequence` was first known to exist, where that is remembered.
    pub(super) fn at(&self, sequence: Sequence) -> Option<Instant> {
        let back = self.newest.checked_sub(sequence)?;
        let at = (self.moments.len() as u64).checked_sub(back + 1)?;
        self.moments.get(at as usize).copied()
    }
}

impl Swarm {
    /// Asks for what comes next, each piece of the parent of its class.
    pub(super) fn ask_ahead(&mut self, now: Now) {
        let next = self.viewer.as_ref().and_then(super::Viewer::next);
        let (Some(next), Some(tip)) = (next, self.tip_sequence()) else {
            return;
        };
        let much = self.pace.pieces_in(CATCHING_UP).max(CATCHING_UP_AT_LEAST);
        if self.end.is_some() || self.wanted.unasked_count() as u64 > much {
            return;
        }
        let horizon = self.pace.pieces_in(HORIZON).max(HORIZON_AT_LEAST);
        let horizon = horizon.min(self.ahead().max(HORIZON_AT_LEAST));
        let from = next.max(tip.saturating_sub(horizon));
        let from = from.max(self.start.unwrap_or(0));
        for sequence in from..=tip.saturating_add(horizon) {
            if self.wanted.is_known(sequence) || self.store.contains(sequence) {
                continue;
            }
            if let Some(conn) = self.parent_for(now.at, sequence) {
                self.follow(conn, class_of(sequence));
                self.wanted.add_ahead(sequence);
                self.request(now.at, conn, sequence);
            }
        }
    }

    /// A peer becomes the parent of a class.
    fn follow(&mut self, conn: ConnId, class: usize) {
        self.parents[class] = Some(conn);
        if let Some(peer) = self.peers.get(&conn) {
            self.hops.follows(class, peer.live.hops_at(class as u64));
        }
    }

    /// How long a class counts as fed after a promise was kept.
    pub(super) fn fed_within(&self) -> Duration {
        FED.max(Duration::from_secs_f64(
            2.0 * CLASSES as f64 / self.pace.per_second(),
        ))
    }

    /// Who is expected to give `sequence` earliest. A parent stays one while it looks for another way
    /// itself: those below it need not all look too.
    fn parent_for(&self, now: Instant, sequence: Sequence) -> Option<ConnId> {
        let class = class_of(sequence);
        let ours = (self.hops.hops().unwrap_or(FAR), self.hops.reach(now, class));
        let parent = self.parents[class];
        self.peers
            .iter()
            .filter(|(_, peer)| self.would_promise(now, peer, sequence))
            .filter_map(|(&conn, peer)| {
                let hops = if parent == Some(conn) {
                    peer.live.hops_at(sequence)
                } else {
                    let theirs = peer.hops_towards(sequence, ours, self.config.peer_id)?;
                    // Who is no nearer may hang on us, unless it shows what we lack.
                    let nearer = theirs < self.hops.in_class(class);
                    let ahead_of_us = peer.classes[class].newest > self.hops.newest(class);
                    (nearer || ahead_of_us).then_some(theirs)?
                };
                let mut expected = peer.expected(class, hops);
                if self.was_called && peer.can_be_called() {
                    expected += OTHERS_ASK;
                }
                if parent == Some(conn) {
                    expected = expected.saturating_sub(BETTER_BY.max(expected / 3));
                } else if peer.is_full() {
                    expected += FULL;
                }
                Some((expected, conn))
            })
            .min()
            .map(|(_, conn)| conn)
    }

    fn would_promise(&self, now: Instant, peer: &Peer, sequence: Sequence) -> bool {
        // The cheap questions first: this is asked of every peer for every piece to come.
        now >= peer.classes[class_of(sequence)].rests_until
            && peer.free_promises() > 0
            && peer.promises_up_to().is_some_and(|most| sequence <= most)
            && peer.tip.is_some_and(|tip| self.lap.askable(sequence, tip))
            && peer.live.floor.is_none_or(|floor| sequence >= floor)
            && !peer.refused.contains(&sequence)
            && !peer.has_request_at(sequence, self.lap)
    }

    /// A promise was refused or not kept: another parent is looked for.
    pub(super) fn look_elsewhere(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let class = class_of(sequence);
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.classes[class].refused(now);
        }
        if self.parents[class] == Some(conn) {
            self.parents[class] = None;
            self.hops.orphaned(now, class);
        }
        self.plan = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn what_lies_below_a_piece_that_exists_exists_too() {
        let mut seen = FirstSeen::default();
        assert_eq!(seen.at(5), None);
        seen.exists(at(1), 1000);
        seen.exists(at(2), 1003);
        seen.exists(at(3), 1001);
        assert_eq!(seen.at(1000), Some(at(1)));
        assert_eq!(seen.at(1001), Some(at(2)));
        assert_eq!(seen.at(1003), Some(at(2)));
        assert_eq!(seen.at(1004), None);
        assert_eq!(seen.at(999), None);
    }

    #[test]
    fn only_the_newest_are_remembered_also_after_a_leap() {
        let mut seen = FirstSeen::default();
        seen.exists(at(1), 10);
        seen.exists(at(2), u64::MAX);
        assert_eq!(seen.at(10), None);
        assert_eq!(seen.at(u64::MAX - SEEN + 1), Some(at(2)));
        assert_eq!(seen.at(u64::MAX - SEEN), None);
        assert_eq!(seen.moments.len() as u64, SEEN);
    }
}
