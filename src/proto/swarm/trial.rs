// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whether those whom we carry give, as they say (PROTOCOL §6, Give-to-Get).
//!
//! What a peer says of itself cannot be checked by what others say: those who lie may be many. What
//! it does can be tried. Who is carried is fed early, so its parent hardly ever has to ask it for
//! anything, and a lie would hold for good. So where uplinks are short a viewer asks it for a piece
//! that it shows, though we have that: seldom, and until it has kept or broken its word.

use std::time::Duration;

use super::{
    super::{lap::Sequence, peer::Peer, time::Instant},
    Swarm,
};

/// Who comes is left alone for so long: it may not have got anything yet.
const AFTER: Duration = Duration::from_secs(3);

impl Swarm {
    /// Asks one of those whose word was not tried of late for a piece that it shows.
    pub(super) fn try_a_word(&mut self, now: Instant) {
        if self.viewer.is_none() || !self.is_uplink_short() {
            return;
        }
        let chance = self.rng.u64(..);
        let tried = self
            .peers
            .iter()
            .filter(|&(&conn, peer)| {
                self.uplink.carrier.carries_any(conn)
                    && peer.shares()
                    && peer.is_untried(now)
                    && now.since(peer.since) >= AFTER
                    && now >= peer.busy_until
                    && peer.requests.iter().all(|request| request.cancelled)
                    && peer.takes_request()
            })
            .filter_map(|(&conn, peer)| Some((conn, self.shown_by(peer)?)))
            .max_by_key(|(conn, _)| conn.0 ^ chance);
        if let Some((conn, sequence)) = tried {
            self.request(now, conn, sequence);
        }
    }

    /// A piece that a peer has shown for a while and that is held.
    fn shown_by(&self, peer: &Peer) -> Option<Sequence> {
        let sequence = peer.newest_shown?;
        (self.store.contains(sequence) && peer.offers(sequence, self.lap)).then_some(sequence)
    }
}
