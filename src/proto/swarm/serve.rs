// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Choking and answering (PROTOCOL §6, giving).

use std::time::Duration;

use super::{
    super::{
        choker::{Candidate, ROUND},
        lap::Sequence,
        peer::{Answer, Pending, REQQ},
        piece::{Flags, Piece},
        time::{Instant, Now},
        timer::Timer,
        wire::{BLOCK_LEN, Block, Message},
    },
    ConnId, Event, Swarm,
    links::Farewell,
};

/// Piece bytes that wait in the driver for one connection. Enough to keep a fast link busy,
/// little enough that a CANCEL still saves something.
const SEND_AHEAD: usize = 64 * 1024;
/// How long a promise is kept after its piece was due.
const PROMISE: Duration = Duration::from_secs(2);
/// A peer is given the same piece so often and not again.
const MAX_GIVEN: u8 = 2;

impl Swarm {
    /// Source: a new piece.
    pub(super) fn publish(&mut self, now: Now, piece: Piece) {
        let ends = piece.flags().contains(Flags::END);
        self.drained = false;
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
        let has_it = |peer: &super::Peer| {
            let idle = peer.pending.is_empty() && peer.answer.is_none() && peer.unsent == 0;
            idle && (peer.have.contains(end) || peer.given.contains_key(&end))
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

    pub(super) fn interested(&mut self, conn: ConnId, interested: bool) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.interested_in_us = interested;
        }
        self.rechoke = true;
    }

    /// Gives out the slots.
    pub(super) fn rechoke(&mut self, now: Now) {
        self.timers.set(Timer::Rechoke, Some(now.at + ROUND));
        let candidates: Vec<_> = self
            .ready()
            .filter(|(_, peer)| peer.interested_in_us)
            .map(|(conn, peer)| Candidate {
                conn,
                unchoked: !peer.choked_by_us,
                takes: peer.takes(now.at),
                gave: peer.download_rate.per_second(now.at),
            })
            .collect();
        let slots = if self.config.upload_enabled {
            self.config.max_uploads
        } else {
            0
        };
        let chosen = self
            .choker
            .choose(now.at, &candidates, slots, &mut self.rng);
        for conn in self.ready_ids() {
            self.set_choke(now.at, conn, !chosen.contains(&conn));
        }
    }

    fn set_choke(&mut self, now: Instant, conn: ConnId, choke: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if std::mem::replace(&mut peer.choked_by_us, choke) == choke {
            return;
        }
        if !choke {
            peer.unchoked_at = now;
            self.send(now, conn, Message::Unchoke);
            return;
        }
        let pending = std::mem::take(&mut peer.pending);
        self.send(now, conn, Message::Choke);
        for request in pending {
            self.send(now, conn, Message::Reject(self.whole_at(request.index)));
        }
    }

    fn whole_at(&self, index: u32) -> Block {
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
        let Some(sequence) = meant.filter(|&sequence| self.may_have(conn, sequence)) else {
            return self.reject(now.at, conn, block);
        };
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.pending.push_back(Pending {
                sequence,
                index: block.index,
                since: now.at,
            });
        }
        self.pump(now.at, conn);
        Ok(())
    }

    /// Whether this peer is to get what its request means.
    fn may_have(&self, conn: ConnId, sequence: Sequence) -> bool {
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
                .get(&sequence)
                .is_some_and(|given| given.times >= MAX_GIVEN)
        {
            return false;
        }
        self.serves(sequence) && (self.store.contains(sequence) || self.promises(conn, sequence))
    }

    /// Whether a piece that is not held will be, as far as we know, and this peer may wait for it.
    fn promises(&self, conn: ConnId, sequence: Sequence) -> bool {
        let Some(tip) = self.tip_sequence() else {
            return false;
        };
        if sequence > tip.saturating_add(self.ahead())
            || self.start.is_some_and(|start| sequence < start)
            || self.end.is_some_and(|end| sequence > end)
        {
            return false;
        }
        let Some(viewer) = &self.viewer else {
            // A source holds everything it will ever hold up to its tip.
            return sequence > tip;
        };
        if viewer.next().is_none_or(|next| sequence < next) {
            return false;
        }
        !self.asked_by_us_first(conn, sequence)
    }

    /// We asked this very peer for the piece and have the higher peer id: one of the two gives way,
    /// so that promises form no rings.
    fn asked_by_us_first(&self, conn: ConnId, sequence: Sequence) -> bool {
        self.peers.get(&conn).is_some_and(|peer| {
            let ours = peer
                .requests
                .iter()
                .any(|r| r.sequence == sequence && !r.cancelled);
            ours && peer.id.is_some_and(|id| self.config.peer_id > id)
        })
    }

    fn reject(&mut self, now: Instant, conn: ConnId, block: Block) -> Result<(), Farewell> {
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
    pub(super) fn cancelled(
        &mut self,
        now: Now,
        conn: ConnId,
        block: Block,
    ) -> Result<(), Farewell> {
        if block != self.whole_at(block.index) {
            return Err(Farewell::rule("a CANCEL for less than a whole piece"));
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        let cancelled = |pending: &Pending| pending.index == block.index;
        if let Some(at) = peer.pending.iter().position(cancelled) {
            peer.pending.remove(at);
            self.send(now.at, conn, Message::Reject(block));
            self.check_drained();
        }
        Ok(())
    }

    /// Bytes left for the network, so there is room for more.
    pub(super) fn sent(&mut self, now: Now, conn: ConnId, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.unsent = peer.unsent.saturating_sub(bytes);
            self.pump(now.at, conn);
            self.check_drained();
        }
    }

    /// Answers those who waited for a piece that is held now.
    pub(super) fn serve_promises(&mut self, now: Now, sequence: Sequence) {
        let waiting: Vec<_> = self
            .ready()
            .filter(|(_, peer)| peer.pending.iter().any(|p| p.sequence == sequence))
            .map(|(conn, _)| conn)
            .collect();
        for conn in waiting {
            self.pump(now.at, conn);
        }
    }

    /// Sends the next parts of answers while there is room: one answer after the other.
    pub(super) fn pump(&mut self, now: Instant, conn: ConnId) {
        while let Some(message) = self.next_part(conn) {
            self.send(now, conn, message);
        }
    }

    fn next_part(&mut self, conn: ConnId) -> Option<Message> {
        let peer = self.peers.get_mut(&conn)?;
        if peer.unsent >= SEND_AHEAD {
            return None;
        }
        if peer.answer.is_none() {
            let held = |pending: &Pending| self.store.contains(pending.sequence);
            let at = peer.pending.iter().position(held)?;
            let pending = peer.pending.remove(at)?;
            let piece = self.store.get(pending.sequence)?;
            let given = peer.given.entry(pending.sequence).or_default();
            given.times += 1;
            given.size = u32::try_from(piece.bytes().len()).unwrap_or(u32::MAX);
            peer.answer = Some(Answer {
                sequence: pending.sequence,
                index: pending.index,
                bytes: piece.bytes().clone(),
                sent: 0,
            });
        }
        let answer = peer.answer.as_mut()?;
        let end = (answer.sent + BLOCK_LEN).min(answer.bytes.len());
        let message = Message::Piece {
            index: answer.index,
            begin: u32::try_from(answer.sent).ok()?,
            block: answer.bytes.slice(answer.sent..end),
        };
        self.reports
            .uploaded(answer.sequence, conn, end - answer.sent);
        answer.sent = end;
        if end == answer.bytes.len() {
            peer.answer = None;
        }
        Some(message)
    }

    /// Rejects what was promised to a peer and will not come.
    pub(super) fn break_promises(&mut self, now: Now, conn: ConnId) -> Result<(), Farewell> {
        let Some(tip) = self.tip_sequence() else {
            return Ok(());
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        // The clock of a promise runs from when it came or the tip reached its piece.
        for pending in peer.pending.iter_mut().filter(|p| p.sequence > tip) {
            pending.since = now.at;
        }
        let Some(peer) = self.peers.get(&conn) else {
            return Ok(());
        };
        let broken: Vec<_> = peer
            .pending
            .iter()
            .filter(|pending| !self.store.contains(pending.sequence))
            .filter(|pending| {
                now.at.since(pending.since) >= PROMISE || !self.promises(conn, pending.sequence)
            })
            .map(|pending| pending.index)
            .collect();
        for index in broken {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.pending.retain(|pending| pending.index != index);
            }
            self.reject(now.at, conn, self.whole_at(index))?;
        }
        Ok(())
    }
}
