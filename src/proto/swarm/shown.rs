// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What peers show, and which of it is wanted (PROTOCOL §6).

use super::{
    super::{
        hops::class_of,
        lap::Sequence,
        time::{Instant, Now},
        wire::Message,
    },
    ConnId, Swarm,
};

impl Swarm {
    /// A viewer is interested in everybody: from anybody something may be wanted (PROTOCOL §6).
    pub(super) fn show_interest(&mut self, now: Instant, conn: ConnId) {
        if self.viewer.is_none() {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&conn)
            && !std::mem::replace(&mut peer.interesting, true)
        {
            self.send(now, conn, Message::Interested);
        }
    }

    pub(super) fn choked(&mut self, conn: ConnId) {
        // BEP 6: pending requests get their REJECT each, so nothing is taken back here.
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.chokes_us = true;
        }
    }

    pub(super) fn unchoked(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.chokes_us = false;
        }
        self.ask = true;
    }

    pub(super) fn have(&mut self, now: Now, conn: ConnId, index: u32) {
        let reference = self.peers.get(&conn).and_then(|peer| peer.tip);
        if let Some(sequence) = reference.and_then(|r| self.lap.unwrap(index, r)) {
            self.shows(conn, sequence);
            self.showed(now.at, conn, sequence);
        }
        if self.end.is_some() {
            self.check_drained();
        }
    }

    /// Takes in a bitfield once the peer's tip tells what its bits mean.
    pub(super) fn take_bits(&mut self, conn: ConnId) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if !peer.is_ready() {
            return;
        }
        let Some(bits) = peer.bits.take() else {
            return;
        };
        // Without an announced tip a peer has no bits, and a later tip does not bring them back.
        let Some(reference) = peer.tip else {
            return;
        };
        for index in 0..self.lap.npieces() {
            if bits[index as usize / 8] & 0x80 >> (index % 8) != 0
                && let Some(sequence) = self.lap.unwrap(index, reference)
            {
                self.shows(conn, sequence);
            }
        }
    }

    /// A peer shows a piece. Past our tip that is a hint, and bounded.
    fn shows(&mut self, conn: ConnId, sequence: Sequence) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if sequence < self.lap.window_start(tip)
            || sequence > tip.saturating_add(self.lap.announce_span())
            || peer.live.floor.is_some_and(|floor| sequence < floor)
        {
            return;
        }
        if peer.have.insert(sequence) {
            self.want(sequence);
        }
    }

    /// A peer says that it holds a piece now, or has just said so.
    fn showed(&mut self, now: Instant, conn: ConnId, sequence: Sequence) {
        self.needs_no_answer(now, conn, sequence);
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        // Hints past the bound are nothing to go by.
        if sequence <= tip.saturating_add(self.lap.announce_span()) {
            self.first_seen.exists(now, sequence);
        }
        let first = self.first_seen.at(sequence);
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.showed_at = now;
        peer.newest_shown = peer.newest_shown.max(Some(sequence));
        peer.refused.remove(&sequence);
        let record = &mut peer.classes[class_of(sequence)];
        record.newest = record.newest.max(sequence);
        if let Some(first) = first {
            peer.classes[class_of(sequence)].showed(now.since(first));
        }
        let mut requests = peer.requests.iter_mut();
        if let Some(request) = requests.find(|request| request.sequence == sequence) {
            request.shown.get_or_insert(now);
        }
        if self.viewer.is_none() {
            self.spread.showed(now, conn, sequence);
        }
    }

    /// Puts a piece that somebody shows on the list, if it is one that we mean to get.
    fn want(&mut self, sequence: Sequence) {
        let Some(lowest) = self.viewer.as_ref().and_then(super::Viewer::lowest) else {
            return;
        };
        if sequence >= lowest
            && self.start.is_none_or(|start| sequence >= start)
            && !self.store.contains(sequence)
            && !self.store.is_squeezed_out(sequence)
        {
            self.wanted.add(sequence);
            self.ask = true;
        }
    }

    /// Puts everything from `sequence` on that somebody shows on the list.
    pub(super) fn want_from(&mut self, now: Instant, sequence: Sequence) {
        self.stop_wanting_below(now, sequence);
        let shown: std::collections::BTreeSet<_> = self
            .peers
            .values()
            .flat_map(|peer| peer.have.iter_from(sequence))
            .collect();
        for sequence in shown {
            self.want(sequence);
        }
    }

    /// Fetches one piece that is not for playing: its time is what we are after.
    pub(super) fn want_probe(&mut self, sequence: Sequence) {
        if !self.store.contains(sequence) {
            self.wanted.add(sequence);
            self.ask = true;
        }
    }

    /// What lies below `sequence` is not to be fetched any more.
    pub(super) fn stop_wanting_below(&mut self, now: Instant, sequence: Sequence) {
        self.wanted.remove_below(sequence);
        let mut cancels = Vec::new();
        for &conn in &self.asked {
            let peer = self.peers.get_mut(&conn);
            for request in peer.into_iter().flat_map(|peer| &mut peer.requests) {
                if request.sequence < sequence && !std::mem::replace(&mut request.cancelled, true) {
                    cancels.push((conn, request.sequence));
                }
            }
        }
        for (conn, sequence) in cancels {
            self.send_cancel(now, conn, sequence);
        }
    }

    /// Forgets what left the window.
    pub(super) fn retire(&mut self) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let start = self.lap.window_start(tip);
        for peer in self.peers.values_mut() {
            peer.have.remove_below(start);
            if peer.refused.first().is_some_and(|&first| first < start) {
                peer.refused = peer.refused.split_off(&start);
            }
            peer.given.remove_below(start);
        }
        self.wanted.remove_below(start);
        self.reports.remove_below(start);
        self.copies.remove_below(start);
    }
}
