// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Late answers and broken promises: taken back, and asked of another (PROTOCOL §6, asking).

use std::time::Duration;

use super::{
    super::{
        hops::class_of,
        lap::Sequence,
        peer::{LATE_AT_LEAST, OVERDUE_AT_LEAST, Peer},
        request::Request,
        time::{Instant, Now},
        timer::Timer,
        wire::Block,
    },
    ConnId, Swarm,
};

/// How often late requests are looked for while there are any.
pub(super) const OVERDUE_EVERY: Duration = Duration::from_millis(50);
/// An answer to who asked late takes no longer than this, or the uplink there is full.
const LATE_AT_MOST: Duration = Duration::from_millis(400);
/// So long before its time a piece that was asked of one peer is asked of a second.
const LAST_CHANCE: Duration = Duration::from_millis(150);
/// A promise is waited for at most so long after its piece is known to exist, whoever made it: there
/// must be time to ask others. Less would be worse: far from the source pieces come late, and who
/// takes what is under way back asks for it where it is missed.
const PATIENCE: Duration = Duration::from_millis(600);
/// The same as part of what a missing piece is waited for.
const PATIENCE_PART: f64 = 0.4;
/// A late answer is first taken back, and asked of another when it is known not to be under way, or
/// after what an answer of that peer usually takes within these bounds: else it would often come
/// twice.
const RECALLED: Duration = Duration::from_millis(150);
const RECALLED_AT_MOST: Duration = Duration::from_millis(250);
/// Promises that one peer refused and that are remembered.
const MAX_REFUSED: usize = 256;

impl Swarm {
    /// Takes late requests elsewhere, where there is an elsewhere, and asks a second peer for what
    /// would miss its time.
    pub(super) fn take_back_overdue(&mut self, now: Now) {
        let patience = self.patience();
        let mut late = Vec::new();
        let mut endangered = Vec::new();
        // Who was busy may not be any more.
        let mut waiting = self.wanted.unasked_count() > 0;
        self.ask |= waiting;
        let peers = &self.peers;
        let asks = |conn: &ConnId| {
            peers
                .get(conn)
                .is_some_and(|peer| !peer.requests.is_empty())
        };
        self.asked.retain(asks);
        for &conn in &self.asked {
            let Some(peer) = self.peers.get(&conn) else {
                continue;
            };
            for request in peer.requests.iter().filter(|request| !request.cancelled) {
                waiting = true;
                if request.ahead && self.first_seen.at(request.sequence).is_none() {
                    // Most are for what does not exist yet, and cannot be late.
                    continue;
                }
                if self.is_overdue(now.at, peer, request, patience) {
                    late.push((conn, request.sequence));
                } else if self.wanted.times_asked(request.sequence) == 1
                    && self.is_endangered(now.at, request, peer)
                {
                    endangered.push((conn, request.sequence));
                }
            }
        }
        for (conn, sequence) in late {
            self.take_elsewhere(now, conn, sequence);
        }
        for (conn, sequence) in endangered {
            self.ask_a_second(now, conn, sequence);
        }
        if waiting {
            self.timers
                .at_latest(Timer::Overdue, now.at + OVERDUE_EVERY);
        }
    }

    fn is_overdue(&self, now: Instant, peer: &Peer, request: &Request, patience: Duration) -> bool {
        // An answer under way is finished sooner than a new one begins; one that trickles must not
        // use up the time to ask another.
        let moving =
            |usual: Duration| request.assembly.is_some() && now.since(request.moved_at) < usual / 2;
        if request.ahead {
            return self.is_broken_promise(now, peer, request) && !moving(patience);
        }
        let usual = self.wanted.time_for(
            request.sequence,
            peer.late_after(patience)
                .min(LATE_AT_MOST.max(peer.quickest_answer() * 2)),
        );
        let since = now.since(request.at);
        since >= usual * 3 / 2 || since >= usual && !moving(usual)
    }

    /// A promise is overdue when the piece exists, and the peer had the time that it usually takes
    /// to have it and to give it, and as much again as PROTOCOL §6 says.
    fn is_broken_promise(&self, now: Instant, peer: &Peer, request: &Request) -> bool {
        let Some(first) = self.first_seen.at(request.sequence) else {
            return false;
        };
        let class = class_of(request.sequence);
        let Some(shown) = request.shown else {
            let hops = peer.live.hops_at(request.sequence);
            let lag = peer.classes[class]
                .expected_lag(hops)
                .min(self.promise_patience());
            return now >= first.max(request.at) + lag + OVERDUE_AT_LEAST;
        };
        now >= shown + peer.overdue_after()
    }

    /// How long after its piece is known to exist a promise is waited for.
    fn promise_patience(&self) -> Duration {
        let waits = self.viewer.as_ref().map(super::Viewer::waits);
        waits
            .unwrap_or_default()
            .mul_f64(PATIENCE_PART)
            .min(PATIENCE)
    }

    /// A piece that exists and whose time comes before a second peer could give it later.
    fn is_endangered(&self, now: Instant, request: &Request, peer: &Peer) -> bool {
        let sequence = request.sequence;
        if request.assembly.is_some() && now.since(request.moved_at) < LATE_AT_LEAST {
            return false;
        }
        let usual = peer.answer_time.unwrap_or(LATE_AT_LEAST);
        let expected = (request.since() + usual).max(now);
        let exists = self.first_seen.at(sequence).is_some();
        let deadline = self.deadline(sequence);
        exists
            && deadline.is_some_and(|deadline| {
                deadline.since(now) <= self.last_chance() && expected > deadline
            })
    }

    /// How long before its time a piece is asked of a second peer.
    fn last_chance(&self) -> Duration {
        LAST_CHANCE.min(self.patience())
    }

    fn ask_a_second(&mut self, now: Now, first: ConnId, sequence: Sequence) {
        let second = self
            .peers
            .iter()
            .filter(|&(&conn, peer)| {
                conn != first && peer.offers(sequence, self.lap) && peer.takes_request()
            })
            .min_by_key(|(_, peer)| peer.answer_time.unwrap_or(Duration::MAX))
            .map(|(&conn, _)| conn);
        if let Some(conn) = second {
            self.request(now.at, conn, sequence);
        }
    }

    fn take_elsewhere(&mut self, now: Now, conn: ConnId, sequence: Sequence) {
        let elsewhere = self.wanted.times_asked(sequence) > 1
            || self.peers.iter().any(|(&other, peer)| {
                other != conn && peer.offers(sequence, self.lap) && peer.takes_request()
            });
        if !elsewhere {
            return;
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        // A REJECT takes a round trip, and no answer came in less.
        let at_most = RECALLED_AT_MOST.max(peer.quickest_answer());
        let answer = peer
            .answer_time
            .unwrap_or_default()
            .clamp(RECALLED, at_most);
        let late = |request: &&mut Request| request.sequence == sequence;
        let Some(request) = peer.requests.iter_mut().find(late) else {
            return;
        };
        match request.recalled {
            None => {
                request.recalled = Some(now.at);
                let waited = now.at.since(request.since());
                let broken = request.ahead;
                peer.was_late(waited);
                self.send_cancel(now.at, conn, sequence);
                if broken {
                    self.look_elsewhere(now.at, conn, sequence);
                    self.leave(now.at, conn, class_of(sequence));
                }
            }
            Some(recalled) if now.at.since(recalled) >= answer => {
                request.cancelled = true;
                self.wanted.was_late(sequence);
                self.unask(sequence);
                self.ask = true;
            }
            Some(_) => {}
        }
    }

    /// Takes back what a peer promised in a class and has not shown: who is late with one piece has no
    /// way to the next, and another may.
    fn leave(&mut self, now: Instant, conn: ConnId, class: usize) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let mut cancels = Vec::new();
        for request in &mut peer.requests {
            if request.waits() && request.recalled.is_none() && class_of(request.sequence) == class
            {
                request.recalled = Some(now);
                cancels.push(request.sequence);
            }
        }
        for sequence in cancels {
            self.send_cancel(now, conn, sequence);
        }
    }

    pub(super) fn rejected(&mut self, now: Now, conn: ConnId, block: Block) {
        if block != self.whole_at(block.index) {
            // It repeats the fields of no request of ours.
            return;
        }
        let lap = self.lap;
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let answered = |request: &Request| lap.index(request.sequence) == block.index;
        let Some(at) = peer.requests.iter().position(answered) else {
            return;
        };
        let request = peer.requests.remove(at);
        if request.recalled.is_some() && !request.cancelled {
            self.unask(request.sequence);
        } else if !request.cancelled {
            // What a choke rejected it still has. Otherwise it is asked for this piece again when
            // it says anew that it has it.
            let choked = peer.chokes_us;
            let shown = peer.have.contains(request.sequence);
            if !choked && shown {
                peer.is_busy(now.at);
                self.timers
                    .at_latest(Timer::Overdue, now.at + OVERDUE_EVERY);
            } else if !choked && request.ahead && peer.refused.len() < MAX_REFUSED {
                peer.refused.insert(request.sequence);
            }
            self.unask(request.sequence);
            if !choked && !shown {
                self.look_elsewhere(now.at, conn, request.sequence);
            }
        }
        self.ask = true;
        self.plan = true;
    }
}
