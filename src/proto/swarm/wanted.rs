// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Pieces that are to be fetched, and how far that has come.

use std::{collections::BTreeMap, time::Duration};

use super::super::{lap::Sequence, sequence_map::SequenceMap};

/// How often the time for an answer is halved: from a second to what a way across the world takes.
const MAX_HALVINGS: u32 = 2;

/// A piece that is to be fetched.
#[derive(Debug, Clone, Copy)]
struct Want {
    /// How many peers were asked and have not answered.
    asked: u8,
    /// It was asked ahead and nobody shows it yet.
    ahead: bool,
}

impl Want {
    /// It exists and nobody was asked for it.
    const fn is_unasked(self) -> bool {
        self.asked == 0 && !self.ahead
    }
}

/// Pieces that are to be fetched.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pieces: SequenceMap<Want>,
    /// How many of them exist and have nobody asked.
    unasked: usize,
    /// How often one was late and taken elsewhere.
    late: BTreeMap<Sequence, u32>,
}

impl Wanted {
    /// A piece is to be fetched.
    pub(super) fn add(&mut self, sequence: Sequence) {
        let new = Want {
            asked: 0,
            ahead: false,
        };
        match self.pieces.get_mut(sequence) {
            None => {
                self.pieces.insert(sequence, new);
                self.unasked += 1;
            }
            Some(want) => {
                let unasked = want.is_unasked();
                want.ahead = false;
                self.unasked += usize::from(want.is_unasked() && !unasked);
            }
        }
    }

    /// A piece that does not exist yet is to be asked ahead.
    pub(super) fn add_ahead(&mut self, sequence: Sequence) {
        if self.is_known(sequence) {
            return;
        }
        let new = Want {
            asked: 0,
            ahead: true,
        };
        self.pieces.insert(sequence, new);
    }

    /// Whether it is to be fetched, or was asked ahead.
    pub(super) fn is_known(&self, sequence: Sequence) -> bool {
        self.pieces.contains_key(sequence)
    }

    /// A piece is not to be fetched any more.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        if let Some(want) = self.pieces.remove(sequence) {
            self.unasked -= usize::from(want.is_unasked());
        }
        self.late.remove(&sequence);
    }

    /// A peer is asked.
    pub(super) fn ask(&mut self, sequence: Sequence) {
        if let Some(want) = self.pieces.get_mut(sequence) {
            self.unasked -= usize::from(want.is_unasked());
            want.asked = want.asked.saturating_add(1);
        }
    }

    /// A peer that was asked will not answer.
    pub(super) fn unask(&mut self, sequence: Sequence) {
        let Some(want) = self.pieces.get_mut(sequence) else {
            return;
        };
        let unasked = want.is_unasked();
        want.asked = want.asked.saturating_sub(1);
        if want.is_unasked() {
            self.unasked += usize::from(!unasked);
        } else if want.asked == 0 {
            // Nobody shows it yet, so there is nothing to fetch.
            self.pieces.remove(sequence);
        }
    }

    /// An answer was late.
    pub(super) fn was_late(&mut self, sequence: Sequence) {
        if self.is_known(sequence) {
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
        if self
            .pieces
            .first()
            .is_none_or(|(first, _)| first >= sequence)
        {
            return;
        }
        while let Some((first, &want)) = self.pieces.first()
            && first < sequence
        {
            self.unasked -= usize::from(want.is_unasked());
            self.pieces.pop_first();
        }
        self.late = self.late.split_off(&sequence);
    }

    /// How many pieces in [from, to) are known to exist and are not held.
    pub(super) fn count(&self, from: Sequence, to: Sequence) -> u64 {
        let known = self.pieces.range(from..to).filter(|(_, want)| !want.ahead);
        known.count() as u64
    }

    /// How many that exist nobody was asked for.
    pub(super) const fn unasked_count(&self) -> usize {
        self.unasked
    }

    /// Those that exist and that nobody was asked for, in order.
    pub(super) fn unasked(&self) -> impl Iterator<Item = Sequence> {
        let unasked = self.pieces.iter().filter(|(_, want)| want.is_unasked());
        unasked.map(|(sequence, _)| sequence).take(self.unasked)
    }

    /// Whether it exists and nobody was asked for it.
    pub(super) fn is_unasked(&self, sequence: Sequence) -> bool {
        let want = self.pieces.get(sequence);
        want.is_some_and(|want| want.is_unasked())
    }

    /// How many peers were asked and have not answered.
    pub(super) fn times_asked(&self, sequence: Sequence) -> u8 {
        self.pieces.get(sequence).map_or(0, |want| want.asked)
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The first that is known to exist.
    pub(super) fn first(&self) -> Option<Sequence> {
        let mut known = self.pieces.iter().filter(|(_, want)| !want.ahead);
        known.next().map(|(sequence, _)| sequence)
    }
}
