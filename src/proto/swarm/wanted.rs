// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Pieces that are to be fetched, and how far that has come.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use super::super::lap::Sequence;

/// How often the time for an answer is halved: from a second to what a way across the world takes.
const MAX_HALVINGS: u32 = 2;

/// Pieces that are to be fetched.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// How many peers were asked and have not answered.
    asked: BTreeMap<Sequence, u8>,
    /// Those of `asked` that were asked ahead and nobody shows yet.
    ahead: BTreeSet<Sequence>,
    /// Those of the others with nobody asked.
    unasked: BTreeSet<Sequence>,
    /// How often one of `asked` was late and taken elsewhere.
    late: BTreeMap<Sequence, u32>,
}

impl Wanted {
    /// A piece is to be fetched.
    pub(super) fn add(&mut self, sequence: Sequence) {
        match self.asked.entry(sequence) {
            Entry::Vacant(entry) => {
                entry.insert(0);
                self.unasked.insert(sequence);
            }
            Entry::Occupied(entry) => {
                if self.ahead.remove(&sequence) && *entry.get() == 0 {
                    self.unasked.insert(sequence);
                }
            }
        }
    }

    /// A piece that does not exist yet is to be asked ahead.
    pub(super) fn add_ahead(&mut self, sequence: Sequence) {
        self.ahead.insert(sequence);
        self.asked.entry(sequence).or_insert(0);
    }

    /// Whether it is to be fetched, or was asked ahead.
    pub(super) fn is_known(&self, sequence: Sequence) -> bool {
        self.asked.contains_key(&sequence)
    }

    /// A piece is not to be fetched any more.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        self.asked.remove(&sequence);
        self.ahead.remove(&sequence);
        self.unasked.remove(&sequence);
        self.late.remove(&sequence);
    }

    /// A peer is asked.
    pub(super) fn ask(&mut self, sequence: Sequence) {
        if let Some(asked) = self.asked.get_mut(&sequence) {
            *asked = asked.saturating_add(1);
            self.unasked.remove(&sequence);
        }
    }

    /// A peer that was asked will not answer.
    pub(super) fn unask(&mut self, sequence: Sequence) {
        if let Some(asked) = self.asked.get_mut(&sequence) {
            *asked = asked.saturating_sub(1);
            if *asked > 0 {
                return;
            }
            if self.ahead.remove(&sequence) {
                // Nobody shows it yet, so there is nothing to fetch.
                self.asked.remove(&sequence);
            } else {
                self.unasked.insert(sequence);
            }
        }
    }

    /// An answer was late.
    pub(super) fn was_late(&mut self, sequence: Sequence) {
        if self.asked.contains_key(&sequence) {
            *self.late.entry(sequence).or_insert(0) += 1;
        }
    }

    /// The part of `usual` that an answer may take: half as long each time that one was late, so
    /// that all of them together take no longer than two.
    pub(super) fn time_for(&self, sequence: Sequence, usual: Duration) -> Duration {
        let late = self.late.get(&sequence).copied().unwrap_or(0);
        usual / (1 << late.min(MAX_HALVINGS))
    }

    /// Forgets everything below `sequence`.
    pub(super) fn remove_below(&mut self, sequence: Sequence) {
        // Nearly always there is nothing to forget.
        if self.first_of_all().is_none_or(|first| first >= sequence) {
            return;
        }
        self.asked = self.asked.split_off(&sequence);
        self.ahead = self.ahead.split_off(&sequence);
        self.unasked = self.unasked.split_off(&sequence);
        self.late = self.late.split_off(&sequence);
    }

    /// How many pieces in [from, to) are known to exist and are not held.
    pub(super) fn count(&self, from: Sequence, to: Sequence) -> u64 {
        let known = self.asked.range(from..to).count() - self.ahead.range(from..to).count();
        known as u64
    }

    /// How many that exist nobody was asked for.
    pub(super) fn unasked_count(&self) -> usize {
        self.unasked.len()
    }

    /// Those that exist and that nobody was asked for, in order.
    pub(super) fn unasked(&self) -> impl Iterator<Item = Sequence> {
        self.unasked.iter().copied()
    }

    fn first_of_all(&self) -> Option<Sequence> {
        self.asked.first_key_value().map(|(&sequence, _)| sequence)
    }

    /// How many peers were asked and have not answered.
    pub(super) fn times_asked(&self, sequence: Sequence) -> u8 {
        self.asked.get(&sequence).copied().unwrap_or(0)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// The first that is known to exist.
    pub(super) fn first(&self) -> Option<Sequence> {
        let mut known = self.asked.keys().copied();
        known.find(|sequence| !self.ahead.contains(sequence))
    }
}
