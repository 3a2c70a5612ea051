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

use std::{collections::VecDeque, time::Duration};

use super::{lap::Sequence, time::Instant};

/// Classes that we tell apart: sequence mod this. An uplink is promised in parts of the stream of this size, so
/// that of few classes much of it lies idle; each has to be told of and followed, so that many cost more than
/// they bring.
pub const CLASSES: usize = 6;
/// Most classes that a peer may tell apart.
pub const MAX_CLASSES: usize = 32;
/// What absent hops count as (PROTOCOL §5).
pub const FAR: u8 = u8::MAX;

/// Senders that `hops` is the median over.
const SENDERS: usize = 16;
/// Milliseconds without a kept promise after which one hop more is good enough.
const A_HOP_FARTHER: u128 = 250;

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

/// Our own hops: 1 + the lower median over the senders of the last pieces. In a class: 1 + those of
/// its parent, whoever else gave us pieces late. Who took itself for as near as those would find
/// nobody nearer with room. They are announced only while the class is fed: while its pieces come
/// as they were promised. Who waits itself would let down all whom it promises anything.
#[derive(Debug)]
pub(super) struct HopTable {
    all: VecDeque<u8>,
    /// 1 + the lower median of these.
    hops: Option<u8>,
    classes: [ClassPlace; CLASSES],
    /// The newest piece of each class that we got.
    newest: [Sequence; CLASSES],
}

/// Where we are in one class.
#[derive(Debug, Clone, Copy)]
struct ClassPlace {
    /// By the last parent.
    hops: u8,
    /// Since when no promise was kept, after one was broken or refused.
    orphaned: Option<Instant>,
    /// When a promise was last kept.
    fed: Option<Instant>,
}

impl Default for HopTable {
    fn default() -> Self {
        let place = ClassPlace {
            hops: FAR,
            orphaned: None,
            fed: None,
        };
        Self {
            all: VecDeque::new(),
            hops: None,
            classes: [place; CLASSES],
            newest: [0; CLASSES],
        }
    }
}

impl HopTable {
    /// A piece came from a peer that says it is so far from the source.
    pub(super) fn received(&mut self, sender: u8) {
        if self.all.len() >= SENDERS {
            self.all.pop_front();
        }
        self.all.push_back(sender);
        self.hops = beyond(&self.all);
    }

    /// A peer so far from the source in a class was asked ahead: from then on it is our way. A parent
    /// that says no more how far it is has lost its own, and is where it was.
    pub(super) fn follows(&mut self, class: usize, parent: u8) {
        if parent != FAR {
            self.classes[class].hops = parent.saturating_add(1);
        }
    }

    /// A promise was kept.
    pub(super) fn kept(&mut self, now: Instant, class: usize, parent: u8) {
        self.follows(class, parent);
        self.classes[class].orphaned = None;
        self.classes[class].fed = Some(now);
    }

    /// A piece is here.
    pub(super) fn got(&mut self, sequence: Sequence) {
        let newest = &mut self.newest[class_of(sequence)];
        *newest = sequence.max(*newest);
    }

    /// The newest piece of a class that we got.
    pub(super) const fn newest(&self, class: usize) -> Sequence {
        self.newest[class]
    }

    /// Whether a promise was kept so lately.
    pub(super) fn is_fed(&self, now: Instant, class: usize, within: Duration) -> bool {
        let fed = self.classes[class].fed;
        fed.is_some_and(|at| now.since(at) < within)
    }

    /// A promise was refused or broken.
    pub(super) fn orphaned(&mut self, now: Instant, class: usize) {
        self.classes[class].orphaned.get_or_insert(now);
    }

    /// How far from the source those may be whom we ask in this class: not as far as we are; once the
    /// way is lost as far, and farther the longer nobody there has room.
    pub(super) fn reach(&self, now: Instant, class: usize) -> u8 {
        let ClassPlace { hops, orphaned, .. } = self.classes[class];
        let farther = orphaned.map_or(0, |since| 1 + now.since(since).as_millis() / A_HOP_FARTHER);
        hops.saturating_add(u8::try_from(farther).unwrap_or(FAR))
    }

    /// As a whole; nothing before the first piece.
    pub(super) const fn hops(&self) -> Option<u8> {
        self.hops
    }

    /// In a class.
    pub(super) const fn in_class(&self, class: usize) -> u8 {
        self.classes[class].hops
    }

    /// In every class that was fed so lately.
    pub(super) fn class_hops(&self, now: Instant, within: Duration) -> Option<ClassHops> {
        let fed = |class: &usize| self.is_fed(now, *class, within);
        let hops = |class| {
            Some(class)
                .filter(fed)
                .map_or(FAR, |class| self.in_class(class))
        };
        ClassHops::from_bytes(&std::array::from_fn::<_, CLASSES, _>(hops))
    }
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

    const FED: Duration = Duration::from_millis(700);

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn hops_are_one_more_than_the_lower_median_of_the_last_senders() {
        let mut table = HopTable::default();
        assert_eq!(table.hops(), None);
        table.received(3);
        table.received(0);
        assert_eq!(table.hops(), Some(1));
        for _ in 0..16 {
            table.received(5);
        }
        assert_eq!(table.hops(), Some(6), "only the last 16 count");
    }

    #[test]
    fn a_peer_may_be_near_in_one_class_and_far_in_another() {
        let mut table = HopTable::default();
        assert_eq!(table.in_class(0), FAR);
        table.kept(at(1000), 0, 0);
        table.kept(at(1000), 1, 6);
        let announced = table.class_hops(at(1500), FED).unwrap();
        let lap = 200 * CLASSES as u64;
        assert_eq!(announced.at(lap), 1);
        assert_eq!(announced.at(lap + 1), 7);
        assert_eq!(announced.at(lap + 2), FAR);
        assert_eq!(announced.as_bytes().len(), CLASSES);
    }

    #[test]
    fn who_is_not_fed_in_a_class_says_that_it_is_far_and_remembers_where_it_was() {
        let mut table = HopTable::default();
        table.follows(0, 3);
        assert_eq!(table.class_hops(at(0), FED).unwrap().at(0), FAR);
        table.kept(at(1000), 0, 3);
        assert_eq!(table.class_hops(at(1699), FED).unwrap().at(0), 4);
        assert_eq!(table.class_hops(at(1700), FED).unwrap().at(0), FAR);
        table.follows(0, FAR);
        assert_eq!(table.in_class(0), 4);
    }

    #[test]
    fn who_lost_its_parent_looks_farther_the_longer_it_finds_none() {
        let mut table = HopTable::default();
        table.kept(at(500), 0, 1);
        assert_eq!(table.reach(at(9000), 0), 2);
        table.orphaned(at(1000), 0);
        table.orphaned(at(1400), 0);
        assert_eq!(table.reach(at(1000), 0), 3);
        assert_eq!(table.reach(at(1500), 0), 5, "since the first refusal");
        assert_eq!(table.in_class(0), 2, "and goes on saying where it was");
        table.follows(0, 3);
        table.kept(at(9000), 0, 3);
        assert_eq!(table.reach(at(9000), 0), 4);
        table.orphaned(at(9000), 0);
        assert_eq!(table.reach(at(3_600_000), 0), FAR);
    }

    #[test]
    fn who_has_other_classes_than_ours_is_understood() {
        let hops = ClassHops::from_bytes(&[1, 2, 3]).unwrap();
        assert_eq!((hops.at(7), hops.at(9)), (2, 1));
        assert_eq!(ClassHops::from_bytes(&[]), None);
        assert_eq!(ClassHops::from_bytes(&[0; MAX_CLASSES + 1]), None);
    }
}
