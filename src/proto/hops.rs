// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How far from the source a peer is, as a whole and in each class of sequences (PROTOCOL §5, §6).
//!
//! One number for a peer ranks all peers once for all: the last in rank is never asked ahead and
//! its uplink lies idle. With a number for each class a peer can be near the source in one class
//! and a leaf in the others.

use std::collections::VecDeque;

use super::lap::Sequence;

/// Classes that we tell apart: sequence mod this. With three, the slots that a source has by default
/// are two roots for each class, and none has to be the root of two.
pub const CLASSES: usize = 3;
/// Most classes that a peer may tell apart.
pub const MAX_CLASSES: usize = 32;
/// What absent hops count as (PROTOCOL §5).
pub const FAR: u8 = u8::MAX;

/// Senders that `hops` is the median over.
const SENDERS: usize = 16;
/// The same in one class.
const SENDERS_IN_CLASS: usize = 3;

/// The class of a sequence among [`CLASSES`].
#[must_use]
pub const fn class_of(sequence: Sequence) -> usize {
    (sequence % CLASSES as u64) as usize
}

/// What a peer announces: its hops in each of its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassHops {
    hops: [u8; MAX_CLASSES],
    len: u8,
}

impl ClassHops {
    /// From the announced string; nothing where that is empty or too long.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() || bytes.len() > MAX_CLASSES {
            return None;
        }
        let mut hops = [FAR; MAX_CLASSES];
        hops[..bytes.len()].copy_from_slice(bytes);
        let len = u8::try_from(bytes.len()).ok()?;
        Some(Self { hops, len })
    }

    /// As it is announced.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.hops[..usize::from(self.len)]
    }

    /// Hops of the class that `sequence` is in.
    #[must_use]
    pub fn at(&self, sequence: Sequence) -> u8 {
        self.hops[(sequence % u64::from(self.len)) as usize]
    }
}

/// Our own hops: 1 + the lower median over the senders of the last pieces.
#[derive(Debug, Default)]
pub(super) struct HopTable {
    all: VecDeque<u8>,
    classes: [VecDeque<u8>; CLASSES],
}

impl HopTable {
    /// A piece came from a peer that says it is so far from the source: as a whole, and in the
    /// class of this piece.
    pub(super) fn received(&mut self, sequence: Sequence, sender: u8, sender_in_class: u8) {
        push(&mut self.all, sender, SENDERS);
        let class = &mut self.classes[class_of(sequence)];
        push(class, sender_in_class, SENDERS_IN_CLASS);
    }

    /// As a whole; nothing before the first piece.
    pub(super) fn hops(&self) -> Option<u8> {
        beyond(&self.all)
    }

    /// In the class of `sequence`.
    pub(super) fn at(&self, sequence: Sequence) -> u8 {
        self.in_class(class_of(sequence))
    }

    /// In a class.
    pub(super) fn in_class(&self, class: usize) -> u8 {
        beyond(&self.classes[class]).unwrap_or(FAR)
    }

    /// In every class.
    pub(super) fn class_hops(&self) -> Option<ClassHops> {
        let hops: Vec<_> = self
            .classes
            .iter()
            .map(|c| beyond(c).unwrap_or(FAR))
            .collect();
        ClassHops::from_bytes(&hops)
    }
}

fn push(senders: &mut VecDeque<u8>, hops: u8, most: usize) {
    if senders.len() >= most {
        senders.pop_front();
    }
    senders.push_back(hops);
}

/// 1 + the lower median.
fn beyond(senders: &VecDeque<u8>) -> Option<u8> {
    let mut sorted: Vec<_> = senders.iter().copied().collect();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(median.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_one_more_than_the_lower_median_of_the_last_senders() {
        let mut table = HopTable::default();
        assert_eq!(table.hops(), None);
        table.received(0, 3, 3);
        table.received(1, 0, 0);
        assert_eq!(table.hops(), Some(1));
        for sequence in 2..18 {
            table.received(sequence, 5, 5);
        }
        assert_eq!(table.hops(), Some(6), "only the last 16 count");
    }

    #[test]
    fn a_peer_may_be_near_in_one_class_and_far_in_another() {
        let mut table = HopTable::default();
        assert_eq!(table.at(0), FAR);
        for lap in 0..4 {
            table.received(lap * CLASSES as u64, 9, 0);
            table.received(lap * CLASSES as u64 + 1, 9, 6);
        }
        let announced = table.class_hops().unwrap();
        let lap = 200 * CLASSES as u64;
        assert_eq!(announced.at(lap), 1);
        assert_eq!(announced.at(lap + 1), 7);
        assert_eq!(announced.at(lap + 2), FAR);
        assert_eq!(announced.as_bytes().len(), CLASSES);
    }

    #[test]
    fn who_has_other_classes_than_ours_is_understood() {
        let hops = ClassHops::from_bytes(&[1, 2, 3]).unwrap();
        assert_eq!((hops.at(7), hops.at(9)), (2, 1));
        assert_eq!(ClassHops::from_bytes(&[]), None);
        assert_eq!(ClassHops::from_bytes(&[0; MAX_CLASSES + 1]), None);
    }
}
