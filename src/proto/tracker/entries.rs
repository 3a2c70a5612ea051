// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Who announced lately, in bounds (PROTOCOL §8).

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fastrand::Rng;

use super::server::INTERVAL;
use crate::proto::{address::network_range, time::Instant};

/// Who is silent for this long is forgotten.
const LIFETIME: Duration = Duration::from_secs(2 * INTERVAL.as_secs());
/// Most entries.
const MAX_ENTRIES: usize = 2000;
/// Most entries of one address (IPv6: of one /64), so that one host can't fill the list.
const MAX_PER_ADDRESS: usize = 32;

/// A peer that others can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) address: SocketAddr,
    pub(super) peer_id: [u8; 20],
}

/// Who announced, by address and port.
///
/// New entries past a limit are turned away, not old ones: a flood then can't push out those who
/// were there before.
#[derive(Debug)]
pub(super) struct Entries {
    /// In no order, so that picking at random is cheap.
    kept: Vec<Kept>,
    /// Where in `kept` an address stands.
    places: BTreeMap<SocketAddr, usize>,
    /// By the number of the last announce: the first was silent for longest.
    by_age: BTreeMap<u64, SocketAddr>,
    announces: u64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    entry: Entry,
    /// When it announced last.
    seen: Instant,
    /// The number of that announce.
    announce: u64,
}

impl Entries {
    pub(super) const fn new() -> Self {
        Self {
            kept: Vec::new(),
            places: BTreeMap::new(),
            by_age: BTreeMap::new(),
            announces: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Drops who was silent for too long: those are the first by age.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((_, &address)) = self.by_age.first_key_value() {
            if now.since(self.kept[self.places[&address]].seen) < LIFETIME {
                break;
            }
            self.remove(address);
        }
    }

    /// Keeps an entry, or dates it anew.
    pub(super) fn note(&mut self, now: Instant, address: SocketAddr, peer_id: [u8; 20]) {
        let is_known = self.places.contains_key(&address);
        if is_known {
            self.remove(address);
        } else if self.is_full(address.ip()) {
            return;
        }
        self.announces += 1;
        self.places.insert(address, self.kept.len());
        self.by_age.insert(self.announces, address);
        self.kept.push(Kept {
            entry: Entry { address, peer_id },
            seen: now,
            announce: self.announces,
        });
    }

    /// Takes an entry away, where it is this peer's.
    pub(super) fn forget(&mut self, address: SocketAddr, peer_id: &[u8; 20]) {
        let place = self.places.get(&address);
        if place.is_some_and(|place| self.kept[*place].entry.peer_id == *peer_id) {
            self.remove(address);
        }
    }

    /// At most `wanted` of those that `accepts`, at random.
    pub(super) fn pick(
        &self,
        rng: &mut Rng,
        wanted: usize,
        accepts: impl Fn(&Entry) -> bool,
    ) -> Vec<Entry> {
        let mut left: Vec<usize> = (0..self.kept.len()).collect();
        let mut picked = Vec::new();
        while picked.len() < wanted && !left.is_empty() {
            let place = left.swap_remove(rng.usize(..left.len()));
            let entry = self.kept[place].entry;
            if accepts(&entry) {
                picked.push(entry);
            }
        }
        picked
    }

    /// Whether there is no room for one more of this address.
    fn is_full(&self, ip: IpAddr) -> bool {
        let (first, last) = network_range(ip);
        let ports = SocketAddr::new(first, 0)..=SocketAddr::new(last, u16::MAX);
        self.kept.len() >= MAX_ENTRIES || self.places.range(ports).count() >= MAX_PER_ADDRESS
    }

    fn remove(&mut self, address: SocketAddr) {
        let Some(place) = self.places.remove(&address) else {
            return;
        };
        let gone = self.kept.swap_remove(place);
        self.by_age.remove(&gone.announce);
        if let Some(moved) = self.kept.get(place) {
            self.places.insert(moved.entry.address, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_three_indices_agree_whatever_is_announced(
            announces in proptest::collection::vec(
                (0u8..6, 0u16..40, 0u8..4, any::<bool>(), 0u64..70), 0..80,
            ),
        ) {
            let mut entries = Entries::new();
            let mut now = Instant::default();
            for (host, port, id, stops, pause) in announces {
                now = now + Duration::from_secs(pause);
                let address = SocketAddr::from(([203, 0, 113, host], port));
                entries.expire(now);
                if stops {
                    entries.forget(address, &[id; 20]);
                } else {
                    entries.note(now, address, [id; 20]);
                    prop_assert!(entries.places.contains_key(&address));
                }
                prop_assert_eq!(entries.places.len(), entries.len());
                prop_assert_eq!(entries.by_age.len(), entries.len());
                for (place, kept) in entries.kept.iter().enumerate() {
                    prop_assert_eq!(entries.places[&kept.entry.address], place);
                    prop_assert_eq!(entries.by_age[&kept.announce], kept.entry.address);
                    prop_assert!(now.since(kept.seen) < LIFETIME);
                }
            }
        }
    }
}
