// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Choking (BEP 3; PROTOCOL §6, giving).

use super::{
    super::{
        choker::{Candidate, Choker, ROUND},
        hops::CLASSES,
        peer::IDLE,
        time::{Instant, Now},
        timer::Timer,
        wire::Message,
    },
    ConnId, Swarm,
};

impl Swarm {
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
            self.choker
                .choose(now.at, &candidates, slots, &mut self.rng)
        } else {
            Choker::fill(&candidates, slots, &mut self.rng)
        };
        if round || self.timers.is_off(Timer::Rechoke) {
            self.timers.set(Timer::Rechoke, Some(now.at + ROUND));
        }
        for conn in self.ready_ids() {
            self.set_choke(now.at, conn, !chosen.contains(&conn));
        }
        self.allow_copies(now);
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
                served: !peer.choked_by_us && peer.upload_rate.per_second(now.at) >= few,
                credit: peer.credit,
                always: self.is_auxiliary(peer),
            })
            .collect()
    }

    /// Slots to give out. A source has as many as are configured: its copies are for few, and those
    /// give them on. A viewer turns nobody away who may ask it late; what it promises, and to whom,
    /// is decided piece by piece.
    fn slots(&self) -> usize {
        if !self.config.upload_enabled {
            0
        } else if self.viewer.is_none() {
            self.config.max_uploads
        } else {
            usize::MAX
        }
    }

    /// Bytes a second that are no use of a slot.
    pub(super) fn few(&self) -> f64 {
        self.pace.bytes_per_second() / (4 * CLASSES) as f64
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
}
