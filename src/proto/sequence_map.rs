// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Things by sequence, where most sequences of a window have one.
//!
//! What comes is nearly always the newest and what goes the oldest, so the entries lie sorted in a
//! ring. Where none newer is missing a search looks at one place; each that is widens it by one.

use std::{cmp::Ordering, collections::VecDeque, ops::Range};

use super::lap::Sequence;

/// An ordered map that is quick where its keys lie close together.
#[derive(Debug)]
pub(super) struct SequenceMap<T> {
    entries: VecDeque<(Sequence, T)>,
    /// The sequence of the last entry, if there is one.
    newest: Sequence,
}

impl<T> Default for SequenceMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> SequenceMap<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            newest: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Where `sequence` stands, or where it would.
    fn find(&self, sequence: Sequence) -> Result<usize, usize> {
        let mut to = self.entries.len();
        let Some(back) = self.newest.checked_sub(sequence).filter(|_| to > 0) else {
            return Err(to);
        };
        // No two entries have one sequence, so it is no farther from the end than its number is.
        let back = usize::try_from(back).unwrap_or(usize::MAX);
        let mut from = (to - 1).saturating_sub(back);
        let mut at = from;
        while from < to {
            match self.entries[at].0.cmp(&sequence) {
                Ordering::Equal => return Ok(at),
                Ordering::Less => from = at + 1,
                Ordering::Greater => to = at,
            }
            at = usize::midpoint(from, to);
        }
        Err(from)
    }

    /// Where the first from `sequence` on stands.
    fn lower_bound(&self, sequence: Sequence) -> usize {
        self.find(sequence).unwrap_or_else(|at| at)
    }

    pub(super) fn contains_key(&self, sequence: Sequence) -> bool {
        self.find(sequence).is_ok()
    }

    pub(super) fn get(&self, sequence: Sequence) -> Option<&T> {
        let at = self.find(sequence).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, sequence: Sequence) -> Option<&mut T> {
        let at = self.find(sequence).ok()?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Puts `value` in; what stood there leaves.
    pub(super) fn insert(&mut self, sequence: Sequence, value: T) {
        match self.find(sequence) {
            Ok(at) => self.entries[at].1 = value,
            Err(at) => self.put(at, sequence, value),
        }
    }

    fn put(&mut self, at: usize, sequence: Sequence, value: T) {
        if at == self.entries.len() {
            self.newest = sequence;
        }
        self.entries.insert(at, (sequence, value));
    }

    /// What stands at `sequence`, put in where nothing does.
    pub(super) fn or_default(&mut self, sequence: Sequence) -> &mut T
    where
        T: Default,
    {
        let at = self.find(sequence).unwrap_or_else(|at| {
            self.put(at, sequence, T::default());
            at
        });
        &mut self.entries[at].1
    }

    pub(super) fn remove(&mut self, sequence: Sequence) -> Option<T> {
        let at = self.find(sequence).ok()?;
        let (_, value) = self.entries.remove(at)?;
        if at == self.entries.len() {
            self.newest = self.entries.back().map_or(0, |(newest, _)| *newest);
        }
        Some(value)
    }

    /// Forgets everything below `sequence`.
    pub(super) fn remove_below(&mut self, sequence: Sequence) {
        while self
            .entries
            .front()
            .is_some_and(|&(first, _)| first < sequence)
        {
            self.entries.pop_front();
        }
    }

    pub(super) fn first(&self) -> Option<(Sequence, &T)> {
        self.entries
            .front()
            .map(|(sequence, value)| (*sequence, value))
    }

    pub(super) fn last(&self) -> Option<(Sequence, &T)> {
        self.entries
            .back()
            .map(|(sequence, value)| (*sequence, value))
    }

    pub(super) fn pop_first(&mut self) -> Option<(Sequence, T)> {
        self.entries.pop_front()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Sequence, &T)> {
        self.entries
            .iter()
            .map(|(sequence, value)| (*sequence, value))
    }

    /// Those from `sequence` on, in order.
    pub(super) fn range_from(&self, sequence: Sequence) -> impl Iterator<Item = (Sequence, &T)> {
        let entries = self.entries.range(self.lower_bound(sequence)..);
        entries.map(|(sequence, value)| (*sequence, value))
    }

    /// Those in `range`, in order.
    pub(super) fn range(&self, range: Range<Sequence>) -> impl Iterator<Item = (Sequence, &T)> {
        let from = self.lower_bound(range.start);
        let to = self.lower_bound(range.end).max(from);
        let entries = self.entries.range(from..to);
        entries.map(|(sequence, value)| (*sequence, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pairs<'a>(
        of: impl Iterator<Item = (Sequence, &'a u32)>,
    ) -> impl Iterator<Item = (Sequence, u32)> {
        of.map(|(sequence, &value)| (sequence, value))
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_map(
            start in prop_oneof![0u64..9, Just(u64::MAX - 60), Just(1 << 40)],
            steps in proptest::collection::vec((0u64..60, 0u8..8), 0..200),
        ) {
            let mut map = SequenceMap::default();
            let mut model = BTreeMap::new();
            for (number, (offset, what)) in (0u32..).zip(steps) {
                let sequence = start + offset;
                match what {
                    0 => prop_assert_eq!(map.remove(sequence), model.remove(&sequence)),
                    1 => {
                        map.remove_below(sequence);
                        model = model.split_off(&sequence);
                    }
                    2 => prop_assert_eq!(map.pop_first(), model.pop_first()),
                    3 => *map.or_default(sequence) = *model.entry(sequence).or_default(),
                    _ => {
                        map.insert(sequence, number);
                        model.insert(sequence, number);
                    }
                }
                prop_assert_eq!(map.get(sequence), model.get(&sequence));
                prop_assert_eq!(map.len(), model.len());
                prop_assert_eq!(map.first().map(|(s, _)| s), model.keys().next().copied());
                prop_assert_eq!(map.last().map(|(s, _)| s), model.keys().next_back().copied());
                let middle = start + 30;
                let expected = model.range(middle..).map(|(&s, &v)| (s, v));
                prop_assert!(pairs(map.range_from(middle)).eq(expected));
                let expected = model.range(middle..middle + 9).map(|(&s, &v)| (s, v));
                prop_assert!(pairs(map.range(middle..middle + 9)).eq(expected));
                prop_assert!(pairs(map.iter()).eq(model.iter().map(|(&s, &v)| (s, v))));
            }
        }
    }
}
