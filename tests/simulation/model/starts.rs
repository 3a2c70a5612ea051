// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The source's count of its pieces, and their sequences: those leap where the source starts again.

use std::collections::VecDeque;

use gstlivetorrent::proto::lap::{Lap, Sequence};

use super::queue::Micros;

/// A piece that the source published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Published {
    pub(crate) at: Micros,
    pub(crate) len: u32,
}

/// The newest pieces, by number and by sequence.
#[derive(Debug)]
pub(crate) struct Pieces {
    lap: Lap,
    /// The first piece of each start, by both, the newest last.
    starts: Vec<(u32, Sequence)>,
    /// The newest ones.
    newest: VecDeque<Published>,
    /// How many there were before those.
    forgotten: u32,
}

impl Pieces {
    pub(crate) fn new(lap: Lap) -> Self {
        Self {
            lap,
            starts: Vec::new(),
            newest: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// A piece was published; what is over `kept` µs old and left the lap is forgotten.
    pub(crate) fn push(&mut self, at: Micros, len: u32, sequence: Sequence, kept: Micros) {
        let number = self.count();
        if number == 0 || self.sequence(number) != sequence {
            self.starts.push((number, sequence));
        }
        self.newest.push_back(Published { at, len });
        let lap = self.lap.npieces() as usize;
        while self.newest.len() > lap && self.newest.front().is_some_and(|old| old.at + kept < at) {
            self.newest.pop_front();
            self.forgotten += 1;
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.forgotten + self.newest.len() as u32
    }

    /// How many are kept.
    pub(crate) fn kept(&self) -> usize {
        self.newest.len() + self.starts.len()
    }

    pub(crate) fn get(&self, number: u32) -> Option<Published> {
        let place = number.checked_sub(self.forgotten)?;
        self.newest.get(place as usize).copied()
    }

    /// How many were published up to `at`.
    pub(crate) fn until(&self, at: Micros) -> u32 {
        let place = self.newest.partition_point(|piece| piece.at <= at);
        self.forgotten + place as u32
    }

    /// The sequence of a number.
    pub(crate) fn sequence(&self, number: u32) -> Sequence {
        let start = self.starts.iter().rev().find(|start| start.0 <= number);
        start.map_or(0, |&(first, sequence)| sequence + u64::from(number - first))
    }

    /// The number of a sequence, where one has it.
    pub(crate) fn number(&self, sequence: Sequence) -> Option<u32> {
        let mut end = self.count();
        for &(first, from) in self.starts.iter().rev() {
            if let Some(place) = sequence.checked_sub(from) {
                let number = u32::try_from(u64::from(first) + place).ok()?;
                return (number < end).then_some(number);
            }
            end = first;
        }
        None
    }

    /// The newest piece of an index.
    pub(crate) fn newest_of(&self, index: u32) -> Option<u32> {
        let tip = self.sequence(self.count().checked_sub(1)?);
        let n = self.lap.npieces();
        let back = (self.lap.index(tip) + n - index) % n;
        self.number(tip.checked_sub(back.into())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_where_sequences_leap() {
        let mut pieces = Pieces::new(Lap::new(256).unwrap());
        for sequence in (1000..1300).chain(70_000..70_300) {
            pieces.push(sequence, 1, sequence, 0);
        }
        assert_eq!((pieces.count(), pieces.newest.len()), (600, 256));
        assert_eq!(pieces.number(1299), Some(299));
        assert_eq!(pieces.number(1300), None, "no piece has it");
        assert_eq!(pieces.number(70_000), Some(300));
        assert_eq!(pieces.number(70_300), None);
        for number in [0, 299, 300, 599] {
            assert_eq!(pieces.number(pieces.sequence(number)), Some(number));
        }
        let index = Lap::new(256).unwrap().index(70_290);
        assert_eq!(pieces.newest_of(index), Some(590));
        assert_eq!(pieces.get(590).map(|piece| piece.at), Some(70_290));
        assert!(pieces.get(300).is_none());
        assert_eq!(pieces.until(70_099), 400);
    }
}
