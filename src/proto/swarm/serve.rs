// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Answering (PROTOCOL §6, giving).

use std::time::Duration;

use super::{
    super::{
        hops::class_of,
        lap::Sequence,
        peer::{Pending, REQQ},
        piece::{Flags, Piece},
        time::{Instant, Now},
        wire::{Block, Message},
    },
    ConnId, Event, Peer, Swarm,
    links::Farewell,
};

/// A peer is given the same piece so often and not again.
const MAX_GIVEN: u8 = 2;
/// Who would wait longer for a piece is better off with another peer.
const TOO_LONG: Duration = Duration::from_millis(150);
/// Who knows no more peers than this has nobody to send others to.
const FEW: usize = 4;
/// Two round trips: by then a piece that a source gave to some shows up at others.
const TWO_ROUND_TRIPS: Duration = Duration::from_millis(250);

impl Swarm {
    /// Source: a new piece.
    pub(super) fn publish(&mut self, now: Now, piece: Piece) {
        let ends = piece.flags().contains(Flags::END);
        self.drained = false;
        let viewers = self.watching();
        self.spread.published(now.at, piece.sequence(), viewers);
        self.hold(now, piece);
        if ends {
            self.check_drained();
        }
    }

    /// Source: says so once when every viewer that is being served has the END and all it asked for.
    pub(super) fn check_drained(&mut self) {
        let Some(end) = self.end.filter(|_| self.viewer.is_none() && !self.drained) else {
            return;
        };
        let has_it = |peer: &Peer| {
            let idle = peer.pending.is_empty() && peer.answer.is_none() && peer.unsent == 0;
            idle && (peer.have.contains(end) || peer.given.contains_key(end))
        };
        let mut served = self
            .ready()
            .filter(|(_, peer)| peer.interested_in_us && !peer.choked_by_us);
        let all_have_it = served.all(|(_, peer)| has_it(peer));
        drop(served);
        if all_have_it {
            self.drained = true;
            self.tell(Event::Drained);
        }
    }

    pub(super) fn whole_at(&self, index: u32) -> Block {
        Block {
            index,
            begin: 0,
            length: self.config.metainfo.info.piece_length(),
        }
    }

    /// The oldest sequence that is served.
    pub(super) fn served_from(&self, tip: Sequence) -> Option<Sequence> {
        let start = self.lap.window_start(tip);
        Some(self.floor.map_or(start, |floor| floor.max(start)))
    }

    /// Whether `sequence` lies where we serve; what came late may not.
    pub(super) fn serves(&self, sequence: Sequence) -> bool {
        let from = self.tip_sequence().and_then(|tip| self.served_from(tip));
        from.is_some_and(|from| sequence >= from)
    }

    pub(super) fn requested(
        &mut self,
        now: Now,
        conn: ConnId,
        block: Block,
    ) -> Result<(), Farewell> {
        if block != self.whole_at(block.index) {
            return Err(Farewell::rule("a REQUEST for less than a whole piece"));
        }
        let told = self.peers.get(&conn).and_then(|peer| peer.told_tip);
        let meant = told.and_then(|told| self.lap.unwrap(block.index, told));
        if let Some(sequence) = meant {
            self.announce_before(now, conn, sequence);
        }
        let Some(sequence) = meant.filter(|&sequence| self.may_have(now.at, conn, sequence)) else {
            return self.reject(now.at, conn, block);
        };
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.pending.push_back(Pending {
                sequence,
                index: block.index,
                since: now.at,
            });
        }
        if self.store.contains(sequence) {
            self.uplink.push(now.at, conn, sequence, false);
            self.pump(now);
        }
        Ok(())
    }

    /// Whether a source turns away one who asks only now for a piece that it holds: others have it
    /// and had no time yet to give it, or the budget is spent.
    fn leaves_it_to_others(&self, now: Instant, conn: ConnId, sequence: Sequence) -> bool {
        if self.viewer.is_some() || !self.others_relay(conn) {
            return false;
        }
        let auxiliary = |peer: &Peer| self.is_auxiliary(peer);
        if self.peers.get(&conn).is_some_and(auxiliary) {
            return false;
        }
        // What went astray is worth more than a third copy of what did not, and those who relay do not
        // wait for what becomes of it at strangers.
        let relays = self.relays(now, conn);
        let waits = |other: ConnId| !relays || self.relays(now, other);
        // A source that is about to go has no time to see what becomes of it.
        let after = match self.end {
            None => TWO_ROUND_TRIPS,
            Some(_) => Duration::ZERO,
        };
        if self.spread.is_astray(now, sequence, relays, after)
            && self.uplink.waiting(sequence, waits) == 0
        {
            return false;
        }
        let copies = self.copies.get(sequence).copied().unwrap_or(0) as usize;
        let copies = copies + self.uplink.waiting(sequence, |_| true);
        let published = self.recent.iter().find(|(_, s)| *s == sequence);
        let young = published.is_some_and(|&(at, _)| now.since(at) < TWO_ROUND_TRIPS);
        let spent = self.uplink.is_budget_spent(now) && !self.has_one_for_each();
        spent || young && copies as f64 >= self.uplink.carrier.copies().ceil()
    }

    /// Whether this peer is to get what its request means.
    fn may_have(&mut self, now: Instant, conn: ConnId, sequence: Sequence) -> bool {
        let Some(peer) = self.peers.get(&conn) else {
            return false;
        };
        let index = self.lap.index(sequence);
        let answering = usize::from(peer.answer.is_some());
        if peer.choked_by_us
            || !self.config.upload_enabled
            || peer.pending.len() + answering >= REQQ
            || peer.pending.iter().any(|pending| pending.index == index)
            || peer
                .answer
                .as_ref()
                .is_some_and(|answer| answer.index == index)
            || peer
                .given
                .get(sequence)
                .is_some_and(|given| given.times >= MAX_GIVEN)
        {
            return false;
        }
        if !self.serves(sequence) {
            false
        } else if self.store.contains(sequence) {
            !self.is_too_busy_for(now, conn) && !self.leaves_it_to_others(now, conn, sequence)
        } else {
            !self.is_too_slow_to_give()
                && self.promises(conn, sequence)
                && self.carries(now, conn, sequence)
        }
    }

    /// Whether one who asks late is better off with another peer: what others wait for takes longer
    /// than asking there, or our uplink is slow. Who asks alone is never turned away, who gives nothing
    /// is when anybody waits, and who gives to us only when it would wait itself.
    fn is_too_busy_for(&self, now: Instant, conn: ConnId) -> bool {
        let wait = self.wait(now, conn);
        let gives = |peer: &Peer| peer.gave_of_late(now);
        let gives_nothing = |peer: &Peer| peer.gives(now).is_none();
        let nothing = self.peers.get(&conn).is_some_and(gives_nothing);
        wait > TOO_LONG
            || nothing && !wait.is_zero()
            || self.is_too_slow_to_give()
                && !self.peers.get(&conn).is_some_and(gives)
                && self.ready().count() > FEW
    }

    pub(super) fn reject(
        &mut self,
        now: Instant,
        conn: ConnId,
        block: Block,
    ) -> Result<(), Farewell> {
        self.send(now, conn, Message::Reject(block));
        let within_quota = self
            .peers
            .get_mut(&conn)
            .is_none_or(|peer| peer.rejects.take(now));
        if within_quota {
            Ok(())
        } else {
            Err(Farewell::rule("too many requests that had to be rejected"))
        }
    }

    /// A CANCEL: the request is answered by a REJECT, unless the answer has begun.
    pub(super) fn cancelled(&mut self, now: Now, conn: ConnId, block: Block) {
        if block != self.whole_at(block.index) {
            // It repeats the fields of no request.
            return;
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let cancelled = |pending: &Pending| pending.index == block.index;
        if let Some(at) = peer.pending.iter().position(cancelled) {
            let class = class_of(peer.pending[at].sequence);
            peer.pending.remove(at);
            if !peer.pending.iter().any(|p| class_of(p.sequence) == class) {
                self.uplink.carrier.free(conn, class);
            }
            self.send(now.at, conn, Message::Reject(block));
            self.check_drained();
        }
    }

    /// A peer shows a piece that it asked for: it needs no answer any more.
    pub(super) fn needs_no_answer(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if let Some(at) = peer.pending.iter().position(|p| p.sequence == sequence)
            && let Some(pending) = peer.pending.remove(at)
        {
            self.send(now, conn, Message::Reject(self.whole_at(pending.index)));
        }
    }
}
