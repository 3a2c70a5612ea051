// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How much a swarm remembers: what must not grow with the days.

use super::{super::peer::Peer, Swarm};

/// What is kept at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Footprint {
    /// Pieces in the window, and those not delivered yet.
    pub pieces: usize,
    /// Their bytes.
    pub piece_bytes: usize,
    /// Everything else that is kept in a collection: what peers show and were given, requests,
    /// addresses, reports, events and so on. A peer's set of what it shows counts its words.
    pub entries: usize,
}

impl Swarm {
    /// What is kept at this moment. It walks over the peers, so it is for tests and measurements.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let of_peers: usize = self.peers.values().map(of_peer).sum();
        let own = [
            self.book.entries(),
            self.dials.len(),
            self.wanted.len(),
            self.asked.len(),
            self.recent.len(),
            self.reports.len(),
            self.first_seen.len(),
            self.uplink.entries(),
            self.copies.len(),
            self.spread.entries(),
            self.auxiliaries.len(),
            self.out.len(),
            self.events.len(),
        ];
        Footprint {
            pieces: self.store.len(),
            piece_bytes: self.store.bytes(),
            entries: of_peers + own.iter().sum::<usize>(),
        }
    }
}

fn of_peer(peer: &Peer) -> usize {
    peer.have.words()
        + peer.requests.len()
        + peer.refused.len()
        + peer.pending.len()
        + peer.given.len()
        + peer.pex_told.len()
        + peer.entries.len()
}
