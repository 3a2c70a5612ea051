// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Which piece that exists is asked of whom (PROTOCOL §6, asking).

use std::{cell::OnceCell, collections::BTreeSet, time::Duration};

use super::{
    super::{
        lap::Sequence,
        peer::{LATE_AT_LEAST, Peer},
        picker::{self, Offer, Zone},
        request::Request,
        time::{Instant, Now},
        timer::Timer,
        wire::{Block, Message},
    },
    ConnId, Swarm,
    overdue::OVERDUE_EVERY,
};

impl Swarm {
    pub(super) fn unask(&mut self, sequence: Sequence) {
        self.wanted.unask(sequence);
    }

    fn whole(&self, sequence: Sequence) -> Block {
        Block {
            index: self.lap.index(sequence),
            begin: 0,
            length: self.config.metainfo.info.piece_length(),
        }
    }

    pub(super) fn send_cancel(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let block = self.whole(sequence);
        self.send(now, conn, Message::Cancel(block));
    }

    /// Asks for wanted pieces while peers can take requests: first those whose time is near,
    /// earliest first, of who is quickest; then the newest and rarest.
    pub(super) fn ask_for_wanted(&mut self, now: Now) {
        if self.wanted.unasked_count() == 0 {
            return;
        }
        let urgent_until = now.at + self.patience();
        for (sequence, deadline) in self.in_order(now.at, urgent_until) {
            let urgent = deadline.is_none_or(|deadline| deadline <= urgent_until);
            self.ask_for(now, sequence, deadline, urgent);
        }
    }

    /// The unasked pieces that somebody can be asked for, in the order in which they are asked.
    fn in_order(
        &mut self,
        now: Instant,
        urgent_until: Instant,
    ) -> Vec<(Sequence, Option<Instant>)> {
        let able: Vec<&Peer> = self
            .peers
            .values()
            .filter(|p| now >= p.busy_until && p.takes_request())
            .collect();
        // Each takes one at least; how many more takes longer to count than is mostly needed.
        let least = able.len();
        let most = OnceCell::new();
        let count = || able.iter().map(|peer| peer.free_requests()).sum::<usize>();
        // After a start everything may be late at once, and is still to be played in order.
        let settles = self
            .viewer
            .as_ref()
            .is_some_and(|viewer| viewer.settles(now));
        let mut urgent = Vec::new();
        let mut rest = Vec::new();
        let mut late = Vec::new();
        // What a decoder can start with is worth more than anything around it: where not all can be
        // fetched, the others give way.
        let entries = self.urgent_entries(now, urgent_until);
        let others = self.wanted.unasked().filter(|s| !entries.contains(s));
        // However many before it nobody can give, they do not hide one that somebody can.
        for sequence in entries.iter().copied().chain(others) {
            let asked = urgent.len() + rest.len();
            if asked >= least && asked >= *most.get_or_init(count) {
                break;
            }
            let offers = able
                .iter()
                .filter(|peer| peer.offers(sequence, self.lap))
                .count();
            if offers == 0 {
                continue;
            }
            let deadline = self.deadline(sequence);
            match deadline {
                Some(deadline) if deadline < now && !settles => late.push((sequence, None)),
                Some(deadline) if deadline > urgent_until => {
                    let chance = self.rng.u32(..);
                    rest.push((offers, std::cmp::Reverse(sequence), chance, Some(deadline)));
                }
                _ => urgent.push((sequence, deadline)),
            }
        }
        rest.sort_unstable();
        let rest = rest
            .into_iter()
            .map(|(_, sequence, _, deadline)| (sequence.0, deadline));
        // Who went after what is late first would be late with everything.
        urgent.into_iter().chain(rest).chain(late).collect()
    }

    /// The random access points whose time is near, of those that neighbours tell of; claims, so no
    /// more than one each counts.
    fn urgent_entries(&self, now: Instant, until: Instant) -> BTreeSet<Sequence> {
        let current = self.peers.values().filter(|peer| peer.current);
        let entries = current.filter_map(|peer| peer.live.ra);
        let unasked = entries.filter(|entry| self.wanted.is_unasked(*entry));
        let near = |entry: &Sequence| {
            let deadline = self.deadline(*entry);
            deadline.is_some_and(|deadline| (now..=until).contains(&deadline))
        };
        unasked.filter(near).collect()
    }

    /// Asks one of those who show the piece and can give it in time.
    fn ask_for(&mut self, now: Now, sequence: Sequence, deadline: Option<Instant>, urgent: bool) {
        let patience = self.patience();
        let some = self.few() * 4.0;
        let able = |peer: &Peer| {
            let quickest = peer.quickest_answer();
            let in_time =
                deadline.is_none_or(|deadline| deadline < now.at || now.at + quickest <= deadline);
            // Whether it has the piece is the cheapest question and the likeliest no.
            peer.have.contains(sequence)
                && now.at >= peer.busy_until
                && in_time
                && peer.takes_request()
                && peer.offers(sequence, self.lap)
        };
        let offers: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, peer)| able(peer))
            .map(|(&conn, peer)| Offer {
                conn,
                doubtful: peer.is_doubtful(patience),
                source: peer.live.src,
                full: peer.live.up.is_none_or(|up| (up as f64) < some),
                untried: peer.is_untried(now.at) && self.uplink.carrier.carries_any(conn),
                pending: peer.requests.len(),
                pipeline: peer.pipeline,
                answer_time: peer.answer_time,
            })
            .collect();
        let zone = if urgent { Zone::Urgent } else { Zone::Early };
        if let Some(conn) = picker::pick(&offers, zone, &mut self.rng) {
            self.request(now.at, conn, sequence);
        }
    }

    /// When a piece that is not held is to be released; nothing where everything is at once.
    pub(super) fn deadline(&self, sequence: Sequence) -> Option<Instant> {
        let time = self.pace.time_of(sequence)?;
        self.viewer.as_ref()?.releases(sequence, time)
    }

    /// How long an answer may take so that there is time to ask another.
    pub(super) fn patience(&self) -> Duration {
        let waits = self.viewer.as_ref().map(super::Viewer::waits);
        (waits.unwrap_or_default() / 2).max(LATE_AT_LEAST)
    }

    pub(super) fn request(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        let block = self.whole(sequence);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let ahead = !peer.have.contains(sequence);
        peer.requests.push(Request {
            sequence,
            at: now,
            moved_at: now,
            ahead,
            shown: None,
            recalled: None,
            cancelled: false,
            assembly: None,
        });
        if let Err(at) = self.asked.binary_search(&conn) {
            self.asked.insert(at, conn);
        }
        self.wanted.ask(sequence);
        self.send(now, conn, Message::Request(block));
        self.timers.at_latest(Timer::Overdue, now + OVERDUE_EVERY);
    }
}
