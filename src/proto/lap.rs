// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Sequences, indices and laps (PROTOCOL §3).
//!
//! A piece has an absolute 64-bit *sequence*. On the wire it goes by its *index* in the lap,
//! `sequence mod npieces`, so that the messages of BEP 3 serve an endless stream. With a
//! reference sequence, an index means exactly one sequence.

/// A piece's absolute number. Never repeats under one key.
pub type Sequence = u64;

/// The smallest lap.
pub const MIN_PIECES: u32 = 256;
/// The largest lap.
pub const MAX_PIECES: u32 = 1 << 20;

/// A lap of `npieces` sequences, and the window arithmetic that follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lap {
    npieces: u32,
}

impl Lap {
    /// A lap of `npieces`, or nothing when that is outside 256 … 2^20.
    #[must_use]
    pub const fn new(npieces: u32) -> Option<Self> {
        if npieces >= MIN_PIECES && npieces <= MAX_PIECES {
            Some(Self { npieces })
        } else {
            None
        }
    }

    /// Sequences in a lap.
    #[must_use]
    pub const fn npieces(self) -> u32 {
        self.npieces
    }

    /// `h`: how many sequences the window holds.
    #[must_use]
    pub const fn half(self) -> u64 {
        (self.npieces / 2) as u64
    }

    /// The place of `sequence` in its lap.
    #[must_use]
    pub const fn index(self, sequence: Sequence) -> u32 {
        (sequence % self.npieces as u64) as u32
    }

    /// Whether two sequences have the same place in their laps.
    #[must_use]
    pub const fn same_index(self, one: Sequence, other: Sequence) -> bool {
        let apart = one.abs_diff(other);
        apart == 0 || apart >= self.npieces as u64 && apart.is_multiple_of(self.npieces as u64)
    }

    /// The one sequence ≡ `index` in [r − h + 1, r − h + npieces], or nothing where that is void:
    /// below 0 or above the largest sequence.
    #[must_use]
    pub fn unwrap(self, index: u32, reference: Sequence) -> Option<Sequence> {
        debug_assert!(index < self.npieces, "callers check the index");
        // Every HAVE asks this, nearly always far above 0, and i128 has no instruction to divide by.
        if let Some(low) = reference
            .checked_add(1)
            .and_then(|r| r.checked_sub(self.half()))
        {
            let ahead = u64::from(index) + u64::from(self.npieces) - u64::from(self.index(low));
            return low.checked_add(ahead % u64::from(self.npieces));
        }
        let n = i128::from(self.npieces);
        let low = i128::from(reference) - i128::from(self.half()) + 1;
        let sequence = low + (i128::from(index) - low).rem_euclid(n);
        Sequence::try_from(sequence).ok()
    }

    /// The oldest sequence in the window (tip − h, tip].
    #[must_use]
    pub const fn window_start(self, tip: Sequence) -> Sequence {
        tip.saturating_add(1).saturating_sub(self.half())
    }

    /// How far past an announced tip messages may speak of pieces before a new tip is announced.
    #[must_use]
    pub const fn announce_span(self) -> u64 {
        (self.npieces / 8) as u64
    }

    /// Whether a peer whose announced tip is `reference` may be asked for `sequence`: at most
    /// npieces/4 past it and at most 3·npieces/8 before it.
    #[must_use]
    pub const fn askable(self, sequence: Sequence, reference: Sequence) -> bool {
        let n = self.npieces as u64;
        if sequence >= reference {
            sequence - reference <= n / 4
        } else {
            reference - sequence <= 3 * n / 8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_of_a_lap_are_inclusive() {
        assert!(Lap::new(255).is_none());
        assert!(Lap::new(256).is_some());
        assert!(Lap::new(1 << 20).is_some());
        assert!(Lap::new((1 << 20) + 1).is_none());
    }

    #[test]
    fn an_index_below_zero_is_void() {
        let lap = Lap::new(256).unwrap();
        assert_eq!(lap.unwrap(200, 0), None);
        assert_eq!(lap.unwrap(128, 0), Some(128));
        assert_eq!(lap.unwrap(129, 0), None);
    }

    proptest! {
        #[test]
        fn unwrap_finds_the_sequence_in_the_range_of_the_clause(
            n in MIN_PIECES..=MAX_PIECES,
            reference in (1u64 << 21)..u64::MAX / 2,
            index in 0u32..MIN_PIECES,
        ) {
            let lap = Lap::new(n).unwrap();
            let sequence = lap.unwrap(index, reference).unwrap();
            prop_assert_eq!(lap.index(sequence), index);
            let low = reference - lap.half() + 1;
            prop_assert!(sequence >= low && sequence < low + u64::from(n));
        }
    }
}
