// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A tracker that answers like an ordinary one.

use super::{host::HostId, options::SECOND, queue::Micros};

/// Most addresses in an answer.
const ANSWER: usize = 50;
/// How often a viewer asks.
pub(crate) const ASK_EVERY: Micros = 60 * SECOND;
/// How often with few peers, as the elements have it, and how often it looks.
pub(crate) const ASK_LONELY: Micros = 10 * SECOND;
/// Who has not asked for so long is forgotten.
pub(crate) const FORGET_AFTER: Micros = 120 * SECOND;

/// Everybody who can be dialled, as far as the tracker knows.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    hosts: Vec<HostId>,
}

impl Tracker {
    /// Adds a host; its place.
    pub(crate) fn add(&mut self, host: HostId) -> u32 {
        self.hosts.push(host);
        (self.hosts.len() - 1) as u32
    }

    /// Removes the host at `place`; who stands there now.
    pub(crate) fn remove(&mut self, place: u32) -> Option<HostId> {
        self.hosts.swap_remove(place as usize);
        self.hosts.get(place as usize).copied()
    }

    /// A random choice of others.
    pub(crate) fn answer(&self, asker: HostId, rng: &mut fastrand::Rng) -> Vec<HostId> {
        let others = |host: &HostId| *host != asker;
        if self.hosts.len() <= ANSWER {
            return self.hosts.iter().copied().filter(others).collect();
        }
        let mut answer = Vec::with_capacity(ANSWER);
        while answer.len() < ANSWER {
            let host = self.hosts[rng.usize(..self.hosts.len())];
            if !answer.contains(&host) {
                answer.push(host);
            }
        }
        answer.retain(others);
        answer
    }
}
