// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The source's clock on ours, seen through arrivals.

use std::time::Duration;

use super::super::{
    lap::Sequence,
    time::{Instant, UnixMicros},
};

/// How long the smallest delay seen counts. Long enough to span a burst of lateness, short enough
/// to follow a drift of 200 ppm to within 4 ms.
const MEMORY: Duration = Duration::from_secs(10);
/// A source closes a piece at least once a second (PROTOCOL §2), a little late at worst.
const LONGEST_PIECE: Duration = Duration::from_millis(1200);
/// Times that run ahead of ours by so much more from one piece to the next are a step of the clock.
const STEP: Duration = Duration::from_millis(500);
/// Steps that are remembered: those of pieces that may still have to be played.
const MAX_STEPS: usize = 8;

/// The source's clock was set forward.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Pieces of this time and later came after it.
    from: UnixMicros,
    /// By how much, this step and those before it, µs.
    total: u64,
}

/// Maps a piece's time to our clock by the quickest arrival of late: a piece cannot arrive before
/// it was closed, so the smallest difference seen is the two clocks' offset plus the shortest way.
///
/// Piece times never go back (PROTOCOL §2) but may leap ahead when the source's clock is set. Such
/// steps are taken out, so that [`Self::steady`] runs as evenly as the stream did.
#[derive(Debug, Default)]
pub(super) struct SourceClock {
    /// Smallest (arrival − steady time) of this span and of the one before, µs.
    current: Option<i128>,
    previous: Option<i128>,
    span_began: Instant,
    /// The lowest sequence seen.
    lowest: Option<Sequence>,
    /// The newest piece seen and when that was.
    newest: Option<(Instant, Sequence, UnixMicros)>,
    steps: Vec<Step>,
    /// Of the steps that are not remembered any more, µs.
    forgotten: u64,
}

impl SourceClock {
    /// The piece `sequence` of this time was known here at `now`.
    pub(super) fn observe(&mut self, now: Instant, sequence: Sequence, time: UnixMicros) {
        self.lowest = Some(self.lowest.map_or(sequence, |lowest| lowest.min(sequence)));
        self.look_for_step(now, sequence, time);
        let offset = i128::from(now.as_micros()) - i128::from(self.steady(time));
        if now.since(self.span_began) >= MEMORY {
            self.previous = self.current.take();
            self.span_began = now;
        }
        self.current = Some(self.current.map_or(offset, |smallest| smallest.min(offset)));
    }

    /// Whether it has seen nothing before `sequence`.
    pub(super) fn begins_at(&self, sequence: Sequence) -> bool {
        self.lowest.is_none_or(|lowest| lowest >= sequence)
    }

    fn look_for_step(&mut self, now: Instant, sequence: Sequence, time: UnixMicros) {
        let Some((at, newest, before)) = self.newest else {
            self.newest = Some((now, sequence, time));
            return;
        };
        if sequence <= newest {
            return;
        }
        self.newest = Some((now, sequence, time));
        let by = Duration::from_micros(time.saturating_sub(before));
        let pieces = u32::try_from(sequence - newest).unwrap_or(u32::MAX);
        let passed = now.since(at);
        if by > LONGEST_PIECE.saturating_mul(pieces) + STEP && by > passed + STEP {
            let total = self.steps.last().map_or(self.forgotten, |last| last.total);
            let step = (by - passed).as_micros() as u64;
            // What was closed between the two has a time near one of them.
            self.steps.push(Step {
                from: before + (time - before) / 2,
                total: total.saturating_add(step),
            });
            if self.steps.len() > MAX_STEPS {
                self.forgotten = self.steps.remove(0).total;
            }
        }
    }

    /// A piece's time without the source's clock having been set.
    pub(super) fn steady(&self, time: UnixMicros) -> UnixMicros {
        let step = self.steps.iter().rfind(|step| step.from <= time);
        time.saturating_sub(step.map_or(self.forgotten, |step| step.total))
    }

    /// When a piece of this steady time would have been known here the quickest way.
    pub(super) fn local_of_steady(&self, steady: UnixMicros) -> Option<Instant> {
        let offset = match (self.current, self.previous) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        let micros = (i128::from(steady) + offset).clamp(0, i128::from(u64::MAX));
        Some(Instant::from_micros(u64::try_from(micros).unwrap_or(0)))
    }

    /// When a piece of this time would have been known here the quickest way.
    pub(super) fn local(&self, time: UnixMicros) -> Option<Instant> {
        self.local_of_steady(self.steady(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn the_quickest_arrival_tells_the_offset() {
        let mut clock = SourceClock::default();
        clock.observe(at(2_000_000), 1, 1_000_000);
        clock.observe(at(2_500_000), 2, 1_900_000);
        clock.observe(at(3_900_000), 3, 2_000_000);
        assert_eq!(clock.local(2_000_000), Some(at(2_600_000)));
    }

    /// Ten pieces a second for two hours, by a source whose clock is off by so many ppm, over a way
    /// that takes up to 300 ms longer than its shortest; the worst error in the second hour.
    fn worst_error(ppm: i64) -> Duration {
        let mut clock = SourceClock::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut worst = Duration::ZERO;
        for piece in 0..72_000u64 {
            let real = 50_000_000 + piece * 100_000;
            let time = real.saturating_add_signed(real as i64 / 1_000_000 * ppm);
            clock.observe(at(real + rng.u64(0..300_000)), piece, time);
            if piece > 36_000 {
                let local = clock.local(time).unwrap();
                worst = worst.max(local.since(at(real))).max(at(real).since(local));
            }
        }
        worst
    }

    #[test]
    fn a_drift_of_200_ppm_is_followed_through_jitter() {
        for ppm in [-200, 0, 200] {
            let worst = worst_error(ppm);
            println!("{ppm} ppm: at worst {worst:?}");
            assert!(worst <= Duration::from_millis(25), "{ppm} ppm: {worst:?}");
        }
    }

    #[test]
    fn a_clock_that_is_set_forward_is_as_steady_as_before() {
        for step in [2, 30, 3600] {
            let mut clock = SourceClock::default();
            let time = |piece: u64| {
                let step = if piece >= 50 { step * SECOND } else { 0 };
                7 * SECOND + piece * 50_000 + step
            };
            for piece in 0..100 {
                clock.observe(
                    at(SECOND + piece * 50_000 + piece % 7 * 1000),
                    piece,
                    time(piece),
                );
            }
            let local = |piece| clock.local(time(piece)).unwrap();
            for piece in 1..100 {
                let between = local(piece).since(local(piece - 1)).as_millis();
                assert!((43..=57).contains(&between), "{between} ms at {piece}");
            }
        }
    }

    #[test]
    fn a_newer_tip_after_a_stale_one_is_no_step() {
        let mut clock = SourceClock::default();
        clock.observe(at(SECOND), 100, 100 * SECOND);
        // The stream went on for 20 s that nobody had told of.
        clock.observe(at(SECOND + 1000), 500, 120 * SECOND);
        assert_eq!(clock.local(120 * SECOND), Some(at(SECOND + 1000)));
        assert_eq!(clock.steady(110 * SECOND), 110 * SECOND);
    }

    #[test]
    fn a_link_that_was_away_is_no_step() {
        let mut clock = SourceClock::default();
        clock.observe(at(SECOND), 100, 100 * SECOND);
        clock.observe(at(21 * SECOND), 500, 120 * SECOND);
        assert_eq!(clock.steady(120 * SECOND), 120 * SECOND);
    }

    #[test]
    fn steps_without_end_are_bounded_and_stay_in_order() {
        let mut clock = SourceClock::default();
        let mut last = 0;
        for piece in 0..1000u64 {
            let time = piece * 10 * SECOND;
            clock.observe(at(piece * 50_000), piece, time);
            let steady = clock.steady(time);
            assert!(steady >= last);
            last = steady;
        }
        assert!(clock.steps.len() <= MAX_STEPS);
        clock.observe(at(51 * SECOND), u64::MAX, u64::MAX);
        assert!(clock.local(u64::MAX).is_some());
    }
}
