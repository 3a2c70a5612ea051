// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The nodes that answered (BEP 5: the routing table): many near our own number, few far away.

use std::{cmp::Reverse, net::SocketAddr, time::Duration};

use super::{
    K,
    id::{Contact, NodeId},
};
use crate::proto::{
    address::{Scope, network},
    time::Instant,
};

/// Who was not heard of for longer is asked whether it is still there (BEP 5).
const QUESTIONABLE: Duration = Duration::from_secs(15 * 60);
/// Questions without an answer after which a node is gone.
const MAX_FAILURES: u8 = 2;
/// One for each number of bits that a node's number has in common with ours.
const BUCKETS: usize = 160;

#[derive(Debug, Clone, Copy)]
struct Entry {
    contact: Contact,
    /// When it answered last.
    seen: Instant,
    failures: u8,
}

/// The nodes, at most [`K`] of each bucket, and one of each public address.
#[derive(Debug)]
pub(super) struct Table {
    own: NodeId,
    buckets: Vec<Vec<Entry>>,
}

impl Table {
    pub(super) fn new(own: NodeId) -> Self {
        Self {
            own,
            buckets: vec![Vec::new(); BUCKETS],
        }
    }

    fn bucket(&mut self, id: NodeId) -> &mut Vec<Entry> {
        let place = self.own.distance(id).common_bits().min(BUCKETS - 1);
        &mut self.buckets[place]
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    /// Whether a node that is not known would be kept.
    pub(super) fn has_room_for(&mut self, contact: Contact) -> bool {
        contact.id != self.own
            && !self.holds_address(contact.address)
            && (self.bucket(contact.id).len() < K || self.weakest(contact).is_some())
    }

    fn holds_address(&self, address: SocketAddr) -> bool {
        let public = Scope::of(address.ip()) == Scope::Public;
        self.entries().any(|entry| {
            let known = entry.contact.address;
            known == address || public && network(known.ip()) == network(address.ip())
        })
    }

    /// Who gives way to a node in a full bucket: who failed, or whose number does not follow from its
    /// address where the new one's does (BEP 42).
    fn weakest(&mut self, contact: Contact) -> Option<usize> {
        let fits = contact.id.fits(contact.address.ip());
        let bucket = self.bucket(contact.id).iter().enumerate();
        let weak = bucket.filter(|(_, entry)| {
            let known = entry.contact;
            entry.failures > 0 || fits && !known.id.fits(known.address.ip())
        });
        weak.max_by_key(|(_, entry)| (entry.failures, Reverse(entry.seen)))
            .map(|(place, _)| place)
    }

    /// A node answered.
    pub(super) fn answered(&mut self, now: Instant, contact: Contact) {
        if let Some(entry) = self
            .bucket(contact.id)
            .iter_mut()
            .find(|entry| entry.contact.id == contact.id)
        {
            // Whoever takes another's number does not get its place.
            if entry.contact.address == contact.address {
                (entry.seen, entry.failures) = (now, 0);
            }
            return;
        }
        if !self.has_room_for(contact) {
            return;
        }
        let full = self.bucket(contact.id).len() == K;
        let weakest = self.weakest(contact).filter(|_| full);
        let entry = Entry {
            contact,
            seen: now,
            failures: 0,
        };
        let bucket = self.bucket(contact.id);
        match weakest {
            Some(place) => bucket[place] = entry,
            None => bucket.push(entry),
        }
    }

    /// The node at this address did not answer.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        for bucket in &mut self.buckets {
            bucket.retain_mut(|entry| {
                if entry.contact.address == address {
                    entry.failures += 1;
                }
                entry.failures < MAX_FAILURES
            });
        }
    }

    /// The nodes nearest to a number, the nearest first.
    pub(super) fn closest(&self, target: NodeId, most: usize) -> Vec<Contact> {
        let mut all: Vec<_> = self.entries().map(|entry| entry.contact).collect();
        all.sort_by_key(|contact| contact.id.distance(target));
        all.truncate(most);
        all
    }

    /// Who was silent for longest, where that is long.
    pub(super) fn questionable(&self, now: Instant) -> Option<Contact> {
        let eldest = self.entries().min_by_key(|entry| entry.seen)?;
        (now.since(eldest.seen) >= QUESTIONABLE).then_some(eldest.contact)
    }

    /// Takes the place of a table under another number of ours.
    pub(super) fn renumbered(&self, now: Instant, own: NodeId) -> Self {
        let mut table = Self::new(own);
        self.entries()
            .for_each(|entry| table.answered(now, entry.contact));
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1 << 40);

    fn contact(first: u8, last: u8) -> Contact {
        let mut id = [0; 20];
        (id[0], id[19]) = (first, last);
        Contact {
            id: NodeId(id),
            address: SocketAddr::from(([127, 0, 0, first], 1000 + u16::from(last))),
        }
    }

    fn table() -> Table {
        Table::new(NodeId([0; 20]))
    }

    #[test]
    fn a_bucket_keeps_eight_and_who_failed_gives_way() {
        let mut table = table();
        (0..9).for_each(|n| table.answered(NOW, contact(0x80, n)));
        assert_eq!(table.len(), 8);
        assert!(!table.has_room_for(contact(0x80, 9)));
        assert!(table.has_room_for(contact(0x40, 9)));
        table.failed(contact(0x80, 3).address);
        assert_eq!(table.len(), 8);
        table.answered(NOW, contact(0x80, 9));
        let kept = table.closest(NodeId([0; 20]), 20);
        assert!(kept.contains(&contact(0x80, 9)) && !kept.contains(&contact(0x80, 3)));
    }

    #[test]
    fn who_is_silent_twice_is_gone_and_an_answer_makes_good() {
        let mut table = table();
        table.answered(NOW, contact(1, 1));
        table.failed(contact(1, 1).address);
        table.answered(NOW, contact(1, 1));
        table.failed(contact(1, 1).address);
        assert_eq!(table.len(), 1);
        table.failed(contact(1, 1).address);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_table_is_bounded_whoever_answers() {
        let mut table = table();
        for first in 1..=u8::MAX {
            (0..20).for_each(|last| table.answered(NOW, contact(first, last)));
        }
        // Eight buckets differ in the first byte.
        assert_eq!(table.len(), 8 * K);
        table.answered(NOW, contact(0, 0));
        assert!(
            !table
                .closest(NodeId([0; 20]), 1000)
                .contains(&contact(0, 0))
        );
    }

    #[test]
    fn nobody_takes_another_nodes_number_or_two_places_of_one_public_address() {
        let mut table = table();
        table.answered(NOW, contact(1, 1));
        let thief = Contact {
            address: "127.0.0.1:9".parse().unwrap(),
            ..contact(1, 1)
        };
        table.answered(NOW, thief);
        assert_eq!(table.closest(thief.id, 9), [contact(1, 1)]);
        let public = |port, last| Contact {
            address: SocketAddr::from(([9, 8, 7, 6], port)),
            ..contact(2, last)
        };
        table.answered(NOW, public(1, 1));
        table.answered(NOW, public(2, 2));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_number_that_follows_from_its_address_takes_the_place_of_one_that_does_not() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut table = Table::new(NodeId::random(&mut rng));
        let far = NodeId(table.own.0.map(|byte| !byte));
        for last in 0..8u8 {
            let mut id = far;
            id.0[18] ^= last + 1;
            let address = SocketAddr::from(([9, 8, 7, last], 1));
            table.answered(NOW, Contact { id, address });
        }
        let address = SocketAddr::from(([20, 1, 2, 3], 1));
        let fitting = (0..1000)
            .map(|_| NodeId::of_address(address.ip(), &mut rng))
            .find(|id| table.own.distance(*id).common_bits() == 0);
        // Where the address allows none in that bucket there is nothing to see.
        if let Some(id) = fitting {
            table.answered(NOW, Contact { id, address });
            assert!(table.entries().any(|entry| entry.contact.id == id));
        }
        assert_eq!(table.len(), 8);
    }

    #[test]
    fn the_closest_come_in_order_and_the_long_silent_are_questionable() {
        let mut table = table();
        for last in [3, 1, 2] {
            table.answered(NOW, contact(1, last));
        }
        let order = table.closest(contact(1, 2).id, 2);
        assert_eq!(order, [contact(1, 2), contact(1, 3)]);
        assert_eq!(table.questionable(NOW), None);
        table.answered(NOW + QUESTIONABLE, contact(1, 1));
        assert!(table.questionable(NOW + QUESTIONABLE).is_some());
        assert_ne!(table.questionable(NOW + QUESTIONABLE), Some(contact(1, 1)));
        assert_eq!(table.renumbered(NOW, NodeId([7; 20])).len(), 3);
    }
}
