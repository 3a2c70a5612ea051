// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A set of sequences that lie close together, as a bit string that slides with the window.

use std::collections::VecDeque;

use super::lap::Sequence;

const BITS: u64 = 64;

/// Which pieces a peer shows. Keyed by sequence and not by index, so a bit of the last lap can
/// never stand for a piece of this one. Memory is bounded by the span: `span / 8` bytes.
#[derive(Debug, Clone)]
pub struct SequenceSet {
    /// Sequence of the lowest bit of the first word; a multiple of 64.
    base: Sequence,
    words: VecDeque<u64>,
    span: u64,
}

impl SequenceSet {
    /// How many words of 64 bits it takes.
    #[must_use]
    pub fn words(&self) -> usize {
        self.words.len()
    }

    /// An empty set whose members are never more than `span` apart.
    #[must_use]
    pub const fn new(span: u64) -> Self {
        Self {
            base: 0,
            words: VecDeque::new(),
            span,
        }
    }

    /// Adds `sequence`; members too far below it leave. `false` when it was there, or is itself
    /// too far below the others.
    pub fn insert(&mut self, sequence: Sequence) -> bool {
        let word_base = sequence - sequence % BITS;
        if self.words.is_empty() {
            self.base = word_base;
        } else if word_base < self.base {
            if self.end() - word_base > self.span + BITS {
                return false;
            }
            while self.base > word_base {
                self.words.push_front(0);
                self.base -= BITS;
            }
        } else {
            self.remove_below(sequence.saturating_add(1).saturating_sub(self.span));
            if self.words.is_empty() {
                self.base = word_base;
            }
        }
        let word = ((word_base - self.base) / BITS) as usize;
        while self.words.len() <= word {
            self.words.push_back(0);
        }
        let mask = 1 << (sequence % BITS);
        let new = self.words[word] & mask == 0;
        self.words[word] |= mask;
        new
    }

    /// Takes `sequence` out.
    pub fn remove(&mut self, sequence: Sequence) {
        if let Some(offset) = sequence.checked_sub(self.base)
            && let Some(word) = self.words.get_mut((offset / BITS) as usize)
        {
            *word &= !(1 << (offset % BITS));
        }
    }

    /// Whether `sequence` is a member.
    #[must_use]
    pub fn contains(&self, sequence: Sequence) -> bool {
        let Some(offset) = sequence.checked_sub(self.base) else {
            return false;
        };
        self.words
            .get((offset / BITS) as usize)
            .is_some_and(|word| word >> (offset % BITS) & 1 == 1)
    }

    /// Forgets every member below `sequence`.
    pub fn remove_below(&mut self, sequence: Sequence) {
        if sequence >= self.end() {
            self.words.clear();
            return;
        }
        while self.base + BITS <= sequence && self.words.pop_front().is_some() {
            self.base += BITS;
        }
        if sequence > self.base
            && let Some(word) = self.words.front_mut()
        {
            *word &= u64::MAX << (sequence - self.base);
        }
    }

    /// The members from `sequence` on, in order.
    pub fn iter_from(&self, sequence: Sequence) -> impl Iterator<Item = Sequence> + '_ {
        let first = sequence.saturating_sub(self.base) / BITS;
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        self.words
            .iter()
            .enumerate()
            .skip(first)
            .flat_map(move |(at, &word)| {
                let base = self.base + at as u64 * BITS;
                (0..BITS)
                    .filter(move |bit| word >> bit & 1 == 1)
                    .map(move |bit| base + bit)
            })
            .filter(move |&member| member >= sequence)
    }

    /// One past the highest sequence that has room.
    fn end(&self) -> Sequence {
        self.base + self.words.len() as u64 * BITS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_jump_far_ahead_takes_no_memory_for_the_way() {
        let mut set = SequenceSet::new(256);
        set.insert(5);
        set.insert(1_700_000_000_000_000);
        assert!(!set.contains(5));
        assert!(set.contains(1_700_000_000_000_000));
        assert!(set.words.len() < 10);
        assert!(!set.insert(5), "too far below to be of use");
    }

    proptest! {
        #[test]
        fn it_behaves_as_a_set(
            start in 0u64..1 << 40,
            steps in proptest::collection::vec((0u64..500, any::<bool>()), 0..200),
        ) {
            let mut set = SequenceSet::new(1 << 12);
            let mut model = BTreeSet::new();
            for (offset, remove) in steps {
                let sequence = start + offset;
                if remove {
                    set.remove_below(sequence);
                    model.retain(|&member| member >= sequence);
                } else {
                    prop_assert_eq!(set.insert(sequence), model.insert(sequence));
                }
                prop_assert!(set.iter_from(start + 7).eq(model.range(start + 7..).copied()));
                prop_assert_eq!(set.contains(sequence), model.contains(&sequence));
            }
        }
    }
}
