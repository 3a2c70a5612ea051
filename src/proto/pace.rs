// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How fast the stream's pieces come, by their own times.

use std::{collections::VecDeque, time::Duration};

use super::{lap::Sequence, time::UnixMicros};

/// Pieces that the pace is measured over.
const OVER: usize = 48;
/// Nobody misses so many pieces and still plays.
const LEAP: u64 = 1 << 12;
/// Until two pieces are known: a usual stream (2.5 Mbit/s in pieces of 16 KiB).
const USUAL: f64 = 20.0;
/// A source closes a piece at least once a second (PROTOCOL §2).
const SLOWEST: f64 = 1.0;
/// What the newest size counts in the usual one.
const NEW_SIZE: f64 = 1.0 / 16.0;
/// No stream is faster: 1 Gbit/s in pieces of 1 KiB.
const FASTEST: f64 = 125_000.0;

/// Sequence, time and size of the newest pieces.
#[derive(Debug)]
pub struct Pace {
    pieces: VecDeque<(Sequence, UnixMicros)>,
    /// Pieces in a second: asked far more often than it changes.
    per_second: f64,
    /// Bytes of a usual piece.
    piece_bytes: f64,
    /// One was seen.
    measured: bool,
}

impl Pace {
    /// Of a stream whose pieces are `piece_length` bytes at most.
    #[must_use]
    pub fn new(piece_length: u32) -> Self {
        Self {
            pieces: VecDeque::new(),
            per_second: USUAL,
            piece_bytes: piece_length.into(),
            measured: false,
        }
    }

    /// A piece of so many bytes, newer than every one before, is known.
    pub fn observe(&mut self, sequence: Sequence, time: UnixMicros, bytes: usize) {
        let weight = if std::mem::replace(&mut self.measured, true) {
            NEW_SIZE
        } else {
            1.0
        };
        self.piece_bytes += (bytes as f64 - self.piece_bytes) * weight;
        // After a leap the way there tells nothing.
        let leaps = |&(newest, _): &(Sequence, u64)| sequence.saturating_sub(newest) > LEAP;
        if self.pieces.back().is_some_and(leaps) {
            self.reset();
        }
        if self.pieces.len() >= OVER {
            self.pieces.pop_front();
        }
        self.pieces.push_back((sequence, time));
        self.per_second = self.measure();
    }

    /// Another start: its sequences do not continue those before.
    pub fn reset(&mut self) {
        self.pieces.clear();
        self.per_second = self.measure();
    }

    /// Pieces in a second.
    #[must_use]
    pub const fn per_second(&self) -> f64 {
        self.per_second
    }

    fn measure(&self) -> f64 {
        let ends = self.pieces.front().zip(self.pieces.back());
        ends.and_then(|(first, last)| {
            let micros = last.1.checked_sub(first.1).filter(|&micros| micros > 0)?;
            let pieces = last.0.saturating_sub(first.0);
            Some(pieces as f64 * 1e6 / micros as f64)
        })
        .unwrap_or(USUAL)
        .clamp(SLOWEST, FASTEST)
    }

    /// Bytes of a usual piece.
    #[must_use]
    pub const fn piece_bytes(&self) -> f64 {
        self.piece_bytes
    }

    /// What one copy of the stream takes, bytes per second.
    #[must_use]
    pub const fn bytes_per_second(&self) -> f64 {
        self.per_second() * self.piece_bytes
    }

    /// How many pieces come in this time.
    #[must_use]
    pub fn pieces_in(&self, time: Duration) -> u64 {
        (self.per_second() * time.as_secs_f64()).ceil() as u64
    }

    /// When the source closed `sequence`, or will, as near as the pace tells.
    #[must_use]
    pub fn time_of(&self, sequence: Sequence) -> Option<UnixMicros> {
        let &(newest, time) = self.pieces.back()?;
        let micros = |pieces: u64| (pieces as f64 * 1e6 / self.per_second()) as u64;
        Some(if sequence >= newest {
            time.saturating_add(micros(sequence - newest))
        } else {
            time.saturating_sub(micros(newest - sequence))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_shows_its_pace_also_where_pieces_are_missing() {
        let mut pace = Pace::new(16_384);
        assert_eq!(pace.time_of(7), None);
        assert_eq!(pace.piece_bytes(), 16_384.0);
        for sequence in (1000..1100).step_by(3) {
            pace.observe(sequence, 5_000_000 + sequence * 40_000, 10_000);
        }
        assert!((pace.per_second() - 25.0).abs() < 0.01);
        assert!((pace.bytes_per_second() - 250_000.0).abs() < 100.0);
        assert_eq!(pace.pieces_in(Duration::from_millis(500)), 13);
        assert_eq!(pace.time_of(1050), Some(5_000_000 + 1050 * 40_000));
        assert_eq!(pace.time_of(1150), Some(5_000_000 + 1150 * 40_000));
    }

    #[test]
    fn no_more_pieces_are_remembered_than_it_measures_over() {
        let mut pace = Pace::new(16_384);
        for sequence in 1..5000 {
            pace.observe(sequence, sequence * 1000, 1000);
        }
        assert_eq!(pace.pieces.len(), OVER);
    }

    #[test]
    fn two_pieces_of_one_time_and_a_clock_that_leaps_stay_in_bounds() {
        let mut pace = Pace::new(16_384);
        pace.observe(1, 1000, 100);
        pace.observe(2, 1000, 100);
        assert_eq!(pace.per_second(), USUAL);
        pace.observe(3, u64::MAX, 100);
        assert_eq!(pace.per_second(), SLOWEST);
        assert_eq!(pace.time_of(u64::MAX), Some(u64::MAX));
    }
}
