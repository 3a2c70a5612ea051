// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! In whom a viewer is interested (BEP 3).
//!
//! Slots are few. Who stays interested in everybody holds slots that it does not use, and finds
//! those that it needs taken by others who do the same. So a viewer among many is interested in the
//! few that have each class of pieces earliest, in those that give it something, and in one at
//! random; who does not unchoke it soon makes way for the next.

use std::{collections::BTreeSet, time::Duration};

use super::{
    super::{
        hops::CLASSES,
        time::{Instant, Now},
        wire::Message,
    },
    ConnId, Swarm,
};

/// With so many peers or fewer a viewer is interested in all.
const FEW: usize = 8;
/// Peers for each class.
const FOR_A_CLASS: usize = 2;
/// A peer that has not unchoked us after this has no slot for us,
const SOON: Duration = Duration::from_millis(1500);
/// and is asked again after this.
const LATER: Duration = Duration::from_secs(8);

impl Swarm {
    /// Looks whom to be interested in now.
    pub(super) fn be_interested(&mut self, now: Now) {
        let playing = self.viewer.as_ref().is_some_and(super::Viewer::is_playing);
        let all = !playing || self.ready().count() <= FEW;
        for peer in self.peers.values_mut() {
            if peer.chokes_us && peer.interesting && now.at.since(peer.interesting_since) >= SOON {
                peer.no_slot_until = now.at + LATER;
            }
        }
        let chosen = if all {
            BTreeSet::new()
        } else {
            self.most_useful(now.at)
        };
        for conn in self.ready_ids() {
            self.set_interest(now.at, conn, all || chosen.contains(&conn));
        }
    }

    fn most_useful(&self, now: Instant) -> BTreeSet<ConnId> {
        let mut chosen = BTreeSet::new();
        for class in 0..CLASSES {
            let mut ranked: Vec<_> = self
                .ready()
                .filter(|(_, peer)| !(peer.chokes_us && now < peer.no_slot_until))
                .map(|(conn, peer)| (peer.expected(class, peer.live.hops_at(class as u64)), conn))
                .collect();
            ranked.sort_unstable();
            chosen.extend(ranked.iter().take(FOR_A_CLASS).map(|(_, conn)| *conn));
        }
        let few = self.few();
        let giving = self.ready().filter(|(_, peer)| {
            !peer.chokes_us && peer.download_rate.per_second(now) >= few
                || !peer.requests.is_empty()
        });
        chosen.extend(giving.map(|(conn, _)| conn).collect::<Vec<_>>());
        chosen
    }

    fn set_interest(&mut self, now: Instant, conn: ConnId, interested: bool) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if self.viewer.is_none() || peer.interesting == interested {
            return;
        }
        peer.interesting = interested;
        peer.interesting_since = now;
        let message = if interested {
            Message::Interested
        } else {
            Message::NotInterested
        };
        self.send(now, conn, message);
    }
}
