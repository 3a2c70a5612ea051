// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is promised to whom (PROTOCOL §6, giving).

use std::time::Duration;

use super::{
    super::{
        hops::{CLASSES, class_of},
        lap::Sequence,
        time::{Instant, Now},
        wire::Message,
    },
    ConnId, HOUSEKEEPING, Peer, Swarm,
};

/// How long a promise is kept after its piece was due.
const PROMISE: Duration = Duration::from_secs(2);
/// What a hop more counts against the other reasons to give one class to one neighbour rather than
/// another to another.
const HOP_COST: u32 = 8;
/// What it counts that a neighbour gives little: those who give much belong near the source.
const LITTLE: u32 = 4;
/// Who can give fewer copies than this gives little.
const MUCH: f64 = 2.0;
/// What it counts that a neighbour is as near the source in another class, and gives that.
const ELSEWHERE: u32 = 4;
/// What it counts that its word was not tried of late.
const UNTRIED: u32 = 10;
/// What divides a source's viewers by credit: within a step a place does not change hands.
const CREDIT_STEPS: [f64; 3] = [0.2, 0.6, 1.2];
/// What it counts between two that can be called that one of them is carried: who cannot be called has
/// nobody else. More than all else together.
const OTHERS_ARE_THERE: u32 = 100;
/// Who gives nothing has what is left.
const NOTHING: u32 = 10_000;
/// The part of its promises that a viewer keeps for those who give.
const FOR_GIVERS: f64 = 0.25;
/// The part of its promises that a viewer keeps for the classes in which it is nearest to the source, once its
/// uplink was full. Were each class given to a few by everybody, all ways would be long: who gives one to
/// many makes them short.
const FOR_NEAREST: f64 = 0.7;
/// An uplink that needs more than this part of what a missing piece is waited for to send one gives
/// none: it would come too late, and what its owner has to say waits behind it.
const A_PIECE: u32 = 10;
/// A viewer that showed a piece so lately gives to others too.
const RELAYS: Duration = Duration::from_secs(3);
/// Nobody counts among those who relay before it was here for so long: strangers come and go.
const STRANGER: Duration = Duration::from_secs(1);
/// What a source keeps of its budget for pieces that went astray.
const FOR_STRAYS: f64 = 1.0 / CLASSES as f64;
/// The part of its uplink that a source uses. All begins there: where it is full every piece is late
/// everywhere.
const USED_AT_SOURCE: f64 = 0.92;

/// What it costs the swarm to give a class to this peer rather than to another, beyond the hops:
/// `ours` is how far from the source we are in it, `open` whether we can be called.
fn cost_of(peer: &Peer, now: Instant, class: usize, ours: u32, stream: f64, open: bool) -> u32 {
    let gives = peer.gives(now).map_or(0.0, |bytes| bytes / stream);
    let others = (0..CLASSES).filter(|&other| other != class);
    let nearest = others.map(|other| peer.live.hops_at(other as u64)).min();
    let elsewhere = nearest.is_some_and(|hops| u32::from(hops) <= ours + 1);
    if gives <= 0.0 {
        NOTHING
    } else {
        let untried = !peer.gave_of_late(now);
        u32::from(gives < MUCH) * LITTLE
            + u32::from(elsewhere) * ELSEWHERE
            + u32::from(untried) * UNTRIED
            + u32::from(open && peer.can_be_called()) * OTHERS_ARE_THERE
    }
}

/// The same at a source: each step of credit that it lacks. A source is given nothing that would prove a
/// claim, but it sees what becomes of the pieces that it gives.
fn cost_at_source(peer: &Peer) -> u32 {
    CREDIT_STEPS
        .map(|step| u32::from(peer.credit < step))
        .iter()
        .sum()
}

impl Swarm {
    /// Whether the uplink has room for one more promise.
    pub(super) fn carries(&mut self, now: Instant, conn: ConnId, sequence: Sequence) -> bool {
        let auxiliary = self
            .peers
            .get(&conn)
            .is_some_and(|peer| self.is_auxiliary(peer));
        // Who has nobody else to turn to gets more than its share, and a relay always does.
        let most = if auxiliary {
            usize::MAX
        } else if self.viewer.is_none() && !self.others_relay(conn) {
            self.most_copies(now).ceil() as usize
        } else {
            0
        };
        if self.uplink.carrier.takes_up_to(conn, sequence, most) {
            return true;
        }
        if self.keeps_room_from(now, conn) {
            self.uplink.carrier.free(conn, class_of(sequence));
            return false;
        }
        if self.keeps_room_for_nearest(conn, class_of(sequence)) {
            return false;
        }
        let stream = self.pace.bytes_per_second();
        let (peers, hops) = (&self.peers, &self.hops);
        let (source, open) = (self.viewer.is_none(), self.was_called);
        let cost = |conn: ConnId, class: usize| {
            let ours = u32::from(hops.in_class(class));
            match peers.get(&conn) {
                None => HOP_COST * ours,
                Some(peer) if source => cost_at_source(peer),
                Some(peer) => HOP_COST * ours + cost_of(peer, now, class, ours, stream, open),
            }
        };
        self.uplink.carrier.takes(now, conn, sequence, cost)
    }

    /// Whether what is left is kept for those who give, once the uplink was full. Were all of it taken,
    /// one of them who comes would look elsewhere, and long, before a place changed hands.
    fn keeps_room_from(&self, now: Instant, conn: ConnId) -> bool {
        let nothing = |peer: &Peer| peer.gives(now).is_none();
        self.viewer.is_some()
            && self.is_uplink_short()
            && self.peers.get(&conn).is_some_and(nothing)
    }

    /// Whether what is left is kept for the classes in which the ways through us are shortest.
    fn keeps_room_for_nearest(&self, conn: ConnId, class: usize) -> bool {
        let hops = |class| self.hops.in_class(class);
        let mut carried = self.uplink.carrier.classes_of(conn);
        self.viewer.is_some()
            && self.has_less_left_than(FOR_NEAREST)
            && (0..CLASSES).any(|other| hops(other) < hops(class))
            && carried.all(|carried| carried != class)
    }

    /// Whether what is left of the uplink, once it was full, is kept for those who give.
    pub(super) fn is_uplink_short(&self) -> bool {
        self.has_less_left_than(FOR_GIVERS)
    }

    /// Whether less than this part of its promises is left of an uplink that was full once.
    fn has_less_left_than(&self, part: f64) -> bool {
        let carrier = &self.uplink.carrier;
        self.uplink.is_measured() && carrier.free_copies() < carrier.copies() * part
    }

    /// Whether the uplink is so slow that what it gives comes too late.
    pub(super) fn is_too_slow_to_give(&self) -> bool {
        let most = self.viewer.as_ref().map(|viewer| viewer.waits() / A_PIECE);
        let most = most.unwrap_or(Duration::MAX);
        self.uplink
            .time_for(self.pace.piece_bytes())
            .is_some_and(|time| time > most)
    }

    /// Most copies that a source may promise: what its user allows, and its uplink carries beside what it
    /// has to say to everybody.
    fn most_copies(&self, now: Instant) -> f64 {
        let allowed = self.allowed_copies();
        let Some(capacity) = self.uplink.capacity() else {
            return allowed;
        };
        let room = capacity as f64 * USED_AT_SOURCE - self.counters.talk_rate.per_second(now);
        let carried = room / self.pace.bytes_per_second() - FOR_STRAYS;
        allowed.min(carried.max(1.0))
    }

    /// Most copies that the user of a source allows it to promise.
    fn allowed_copies(&self) -> f64 {
        let budget = self.config.upload_budget;
        if budget > 0.0 {
            (budget - FOR_STRAYS).max(budget.min(1.0))
        } else {
            self.config.max_uploads as f64
        }
    }

    /// Whether a piece that is not held will be, as far as we know, and this peer may wait for it.
    pub(super) fn promises(&self, conn: ConnId, sequence: Sequence) -> bool {
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

    /// Rejects what was promised to a peer and will not come.
    pub(super) fn break_promises(&mut self, now: Now, conn: ConnId) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        // The clock of a promise runs from when it came or the tip reached its piece, which may have been
        // any time since this was looked at before.
        for pending in peer.pending.iter_mut().filter(|p| p.sequence > tip) {
            pending.since = now.at;
        }
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let broken: Vec<_> = peer
            .pending
            .iter()
            .filter(|pending| !self.store.contains(pending.sequence))
            .filter(|pending| {
                let waited = now.at.since(pending.since);
                waited >= PROMISE + HOUSEKEEPING || !self.promises(conn, pending.sequence)
            })
            .map(|pending| pending.index)
            .collect();
        for index in broken {
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.pending.retain(|pending| pending.index != index);
            }
            // Our doing: it does not count among what was asked in vain.
            self.send(now.at, conn, Message::Reject(self.whole_at(index)));
        }
    }

    /// What a source may spend, from the number of those who could give to each other.
    pub(super) fn allow_copies(&mut self, now: Now) {
        if self.viewer.is_some() {
            return;
        }
        let watching = self.watching();
        let budget = self.config.upload_budget;
        self.uplink
            .set_budget(now.at, budget * self.pace.bytes_per_second());
        let neighbours = watching.min(self.config.max_uploads).max(1);
        let most = self.most_copies(now.at);
        let copies = if watching > self.config.max_uploads {
            // Among many each is the root of as few classes as the budget allows and spends its uplink on those.
            let classes = CLASSES as f64;
            let each = (self.allowed_copies() * classes / neighbours as f64).floor();
            let each = each.max(1.0);
            let carried = (most * classes / each).floor() * each;
            let roots = (neighbours as f64 * each).min(carried).max(classes);
            (roots / classes).min(most)
        } else if self.has_one_for_each() {
            watching as f64
        } else {
            most.min(watching as f64)
        };
        self.uplink.carrier.allow(copies.max(1.0), neighbours);
    }

    /// Neighbours who want what we have.
    pub(super) fn watching(&self) -> usize {
        self.ready().filter(|(_, p)| p.interested_in_us).count()
    }

    /// Whether the budget of a source is enough for a copy for each neighbour; nothing goes astray
    /// then.
    pub(super) fn has_one_for_each(&self) -> bool {
        self.watching() as f64 <= self.config.upload_budget
    }

    /// Whether any other viewer shows what it gets.
    pub(super) fn others_relay(&self, conn: ConnId) -> bool {
        self.ready()
            .any(|(other, peer)| other != conn && self.shows_of_late(peer))
    }

    /// Whether this peer stayed for a while and shows what it gets.
    pub(super) fn relays(&self, now: Instant, conn: ConnId) -> bool {
        let stayed = |peer: &Peer| now.since(peer.since) >= STRANGER;
        self.peers
            .get(&conn)
            .is_some_and(|peer| stayed(peer) && self.shows_of_late(peer))
    }

    fn shows_of_late(&self, peer: &Peer) -> bool {
        let tip = self.tip.as_ref();
        tip.is_some_and(|tip| tip.moved.since(peer.showed_at) < RELAYS)
    }

    /// A relay that the user of this source named.
    pub(super) fn is_auxiliary(&self, peer: &Peer) -> bool {
        let listening = peer.listening.as_ref();
        listening.is_some_and(|address| self.auxiliaries.contains(address))
    }
}
