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
        choker::{Candidate, Choker, ROUND},
        hops::{CLASSES, class_of, distance},
        lap::Sequence,
        peer::{IDLE, Pending, REQQ},
        piece::{Flags, Piece},
        time::{Instant, Now},
        timer::Timer,
        wire::{Block, Message},
    },
    ConnId, Event, Peer, Swarm,
    links::Farewell,
};

/// How long a promise is kept after its piece was due.
const PROMISE: Duration = Duration::from_secs(2);
/// A peer is given the same piece so often and not again.
const MAX_GIVEN: u8 = 2;
/// Who takes less than so many times what is no use of a slot may lose it to one in need.
const LIGHT: f64 = 3.0;
/// What a hop counts against the classes that a peer gives most of.
const HOP_COST: u32 = 8;
/// A class that is so far from the one that a peer gives most of is not given by it.
const FAR_CLASS: u32 = 2;
/// Slots that an uplink of the stream's own rate fills.
const SLOTS_A_COPY: f64 = 4.0;
/// What a peer lacks is counted over so many pieces,
const LACKS_OVER: usize = 16;
/// of which it may still be waiting for the newest.
const LACKS_AFTER: usize = 8;
/// Who would wait longer for a piece is better off with another peer.
const TOO_LONG: Duration = Duration::from_millis(150);
/// Two round trips: by then a piece that a source gave to some shows up at others.
const TWO_ROUND_TRIPS: Duration = Duration::from_millis(250);
/// A viewer that showed a piece so lately gives to others too.
const RELAYS: Duration = Duration::from_secs(3);
/// Viewers that one copy of the source is for, at most. With three, most of what a small swarm gets
/// would come from its viewers, but too late where `latency` is short.
const VIEWERS_A_COPY: f64 = 1.0;
/// What a source keeps of its budget for pieces that went astray.
const FOR_STRAYS: f64 = 1.0 / CLASSES as f64;

impl Swarm {
    /// Source: a new piece.
    pub(super) fn publish(&mut self, now: Now, piece: Piece) {
        let ends = piece.flags().contains(Flags::END);
        self.drained = false;
        let viewers = self.ready().filter(|(_, peer)| peer.interested_in_us);
        let viewers = viewers.count();
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

    /// Gives out the slots: anew once a round, between rounds only those that are free.
    pub(super) fn rechoke(&mut self, now: Now) {
        let round = self.timers.take_if_due(Timer::Rechoke, now.at);
        let candidates = self.candidates(now);
        let slots = self.slots();
        let chosen = if round {
            let spare = self.uplink.carrier.free_copies() > 0.0;
            self.choker
                .choose(now.at, &candidates, slots, spare, &mut self.rng)
        } else {
            Choker::fill(&candidates, slots, &mut self.rng)
        };
        if round || self.timers.is_off(Timer::Rechoke) {
            self.timers.set(Timer::Rechoke, Some(now.at + ROUND));
        }
        for conn in self.ready_ids() {
            self.set_choke(now.at, conn, !chosen.contains(&conn));
        }
    }

    /// Everybody who is interested.
    fn candidates(&mut self, now: Now) -> Vec<Candidate> {
        self.give_credit(now);
        let few = self.few();
        self.ready()
            .filter(|(_, peer)| peer.interested_in_us)
            .map(|(conn, peer)| Candidate {
                conn,
                unchoked: !peer.choked_by_us,
                settled: peer.is_settled(now.at),
                idle: peer.is_idle(now.at, few),
                takes: peer.upload_rate.per_second(now.at),
                light: peer.upload_rate.per_second(now.at) < few * LIGHT,
                credit: peer.credit,
                lacks: if self.viewer.is_none() {
                    self.lacks(peer)
                } else {
                    0.0
                },
                always: self.is_auxiliary(peer),
            })
            .collect()
    }

    /// Slots to give out: as many as the uplink fills, at most what is configured. A slot without an
    /// uplink behind it only makes others wait.
    fn slots(&self) -> usize {
        let most = self.config.max_uploads;
        if !self.config.upload_enabled {
            0
        } else if self.viewer.is_none() || !self.uplink.is_measured() {
            most
        } else {
            let filled = (self.uplink.carrier.copies() * SLOTS_A_COPY).ceil() as usize;
            (filled + 1).min(most)
        }
    }

    /// Bytes a second that are no use of a slot.
    pub(super) fn few(&self) -> f64 {
        self.pace.per_second() * self.piece_bytes() / (4 * CLASSES) as f64
    }

    /// The part of the newest pieces that a peer does not show though it had the time to get them.
    pub(super) fn lacks(&self, peer: &Peer) -> f64 {
        let newest = self.store.last(LACKS_OVER + LACKS_AFTER).skip(LACKS_AFTER);
        let (count, missing) = newest.fold((0, 0), |(count, missing), piece| {
            let lacks = !peer.have.contains(piece.sequence());
            (count + 1, missing + u32::from(lacks))
        });
        f64::from(missing) / f64::from(count.max(1))
    }

    fn set_choke(&mut self, now: Instant, conn: ConnId, choke: bool) {
        let few = self.few();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if peer.choked_by_us == choke {
            return;
        }
        if choke && peer.is_idle(now, few) {
            peer.idle_until = now + IDLE;
        }
        peer.choked_by_us = choke;
        if !choke {
            peer.unchoked_at = now;
            self.send(now, conn, Message::Unchoke);
            return;
        }
        let pending = std::mem::take(&mut peer.pending);
        self.uplink.forget_requests(conn);
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
        let given = self.copies.get(&sequence).copied().unwrap_or(0) as usize;
        let waiting = self.uplink.waiting(sequence);
        let promised = self.uplink.carrier.promised(sequence);
        let enough = self.uplink.carrier.copies().ceil() as usize;
        let published = self.recent.iter().find(|(_, s)| *s == sequence);
        let young = published.is_some_and(|&(at, _)| now.since(at) < TWO_ROUND_TRIPS);
        self.uplink.is_budget_spent(now) || young && (given + waiting).max(promised) >= enough
    }

    /// Whether any other viewer shows what it gets.
    fn others_relay(&self, conn: ConnId) -> bool {
        let shown = self.tip.as_ref().map(|tip| tip.moved);
        self.ready().any(|(other, peer)| {
            other != conn && shown.is_some_and(|moved| moved.since(peer.showed_at) < RELAYS)
        })
    }

    /// A relay that the user of this source named.
    pub(super) fn is_auxiliary(&self, peer: &Peer) -> bool {
        let listening = peer.listening.as_ref();
        listening.is_some_and(|address| self.auxiliaries.contains(address))
    }

    /// What a source may spend, from the number of those who could give to each other.
    pub(super) fn allow_copies(&mut self, now: Now) {
        if self.viewer.is_some() {
            return;
        }
        let watching = self.ready().filter(|(_, p)| p.interested_in_us).count();
        let budget = self.config.upload_budget;
        let bytes = self.pace.per_second() * self.piece_bytes();
        self.uplink.set_budget(now.at, budget * bytes);
        let most = self.most_copies().max(1.0);
        let copies = (watching as f64 / VIEWERS_A_COPY).clamp(1.0, most);
        let neighbours = watching.min(self.config.max_uploads);
        self.uplink.carrier.allow(copies, neighbours);
    }

    /// Bytes of a usual piece of this stream.
    pub(super) fn piece_bytes(&self) -> f64 {
        let last = self.store.last(16);
        let (count, bytes) = last.fold((0, 0), |(n, b), piece| (n + 1, b + piece.bytes().len()));
        if count == 0 {
            f64::from(self.config.metainfo.info.piece_length())
        } else {
            bytes as f64 / f64::from(count)
        }
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
                .get(&sequence)
                .is_some_and(|given| given.times >= MAX_GIVEN)
        {
            return false;
        }
        self.serves(sequence)
            && if self.store.contains(sequence) {
                !self.is_too_busy_for(now, conn) && !self.leaves_it_to_others(now, conn, sequence)
            } else {
                self.promises(conn, sequence) && self.carries(now, conn, sequence)
            }
    }

    /// Whether what others wait for takes longer than asking another peer. Who asks alone is never
    /// turned away.
    fn is_too_busy_for(&self, now: Instant, conn: ConnId) -> bool {
        self.uplink.wait(now, conn, self.piece_bytes()) > TOO_LONG
    }

    /// Whether the uplink has room for one more promise.
    fn carries(&mut self, now: Instant, conn: ConnId, sequence: Sequence) -> bool {
        let auxiliary = self
            .peers
            .get(&conn)
            .is_some_and(|peer| self.is_auxiliary(peer));
        // Who has nobody else to turn to gets more than its share, and a relay always does.
        let most = if auxiliary {
            usize::MAX
        } else if self.viewer.is_none() && !self.others_relay(conn) {
            self.most_copies().ceil() as usize
        } else {
            0
        };
        let peers = &self.peers;
        let credit = |conn| peers.get(&conn).map_or(0.0, |peer: &Peer| peer.credit);
        let source = self.viewer.is_none();
        let ours = |class: usize| {
            let hops = u32::from(self.hops.at(class as u64));
            (HOP_COST * hops + 2 * distance(&self.config.peer_id, class)) * u32::from(!source)
        };
        // Nearest the source first, then the classes that we and then they give most of.
        let cost = |conn: ConnId, class: usize| {
            let theirs = peers.get(&conn).and_then(|peer| peer.id);
            ours(class) + theirs.map_or(0, |id| distance(&id, class).min(2))
        };
        let carrier = &mut self.uplink.carrier;
        // Who gives a class least is no root of its tree, where there are others.
        let id = self.peers.get(&conn).and_then(|peer| peer.id);
        let leaf = id.is_some_and(|id| distance(&id, class_of(sequence)) >= FAR_CLASS);
        if source && leaf && carrier.is_spread() {
            return false;
        }
        carrier.takes_up_to(conn, sequence, most)
            || carrier.takes(now, conn, sequence, credit, cost)
    }

    /// Most copies that a source may promise.
    fn most_copies(&self) -> f64 {
        let budget = self.config.upload_budget;
        if budget > 0.0 {
            (budget - FOR_STRAYS).max(budget.min(1.0))
        } else {
            self.config.max_uploads as f64
        }
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

    /// Those who waited for a piece that is held now can be answered, those who give most first.
    pub(super) fn serve_promises(&mut self, now: Now, sequence: Sequence) {
        let mut waiting: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.pending.iter().any(|p| p.sequence == sequence))
            .map(|(&conn, peer)| (peer.credit, conn))
            .collect();
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (_, conn) in waiting {
            self.uplink.push(now.at, conn, sequence, true);
        }
        self.pump(now);
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
