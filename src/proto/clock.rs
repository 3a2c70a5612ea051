// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The source's clock on ours, seen through arrivals.

use std::time::Duration;

use super::time::{Instant, UnixMicros};

/// How long the smallest delay seen counts. Long enough to span a burst of lateness, short enough
/// to follow a drift of 200 ppm to within 4 ms.
const MEMORY: Duration = Duration::from_secs(10);

/// Maps a piece's time to our clock by the quickest arrival of late: a piece cannot arrive before
/// it was closed, so the smallest difference seen is the two clocks' offset plus the shortest way.
#[derive(Debug, Default)]
pub struct SourceClock {
    /// Smallest (arrival − time) of this span and of the one before, µs.
    current: Option<i128>,
    previous: Option<i128>,
    span_began: Instant,
}

impl SourceClock {
    /// A piece of this time was known here at `now`.
    pub fn observe(&mut self, now: Instant, time: UnixMicros) {
        let offset = i128::from(now.as_micros()) - i128::from(time);
        if now.since(self.span_began) >= MEMORY {
            self.previous = self.current.take();
            self.span_began = now;
        }
        self.current = Some(self.current.map_or(offset, |smallest| smallest.min(offset)));
    }

    /// Forgets everything: another clock may have taken over.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// When a piece of this time would have been known here the quickest way.
    #[must_use]
    pub fn local(&self, time: UnixMicros) -> Option<Instant> {
        let offset = match (self.current, self.previous) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        let micros = (i128::from(time) + offset).clamp(0, i128::from(u64::MAX));
        Some(Instant::from_micros(u64::try_from(micros).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn the_quickest_arrival_tells_the_offset() {
        let mut clock = SourceClock::default();
        clock.observe(at(2_000_000), 1_000_000);
        clock.observe(at(2_500_000), 1_900_000);
        clock.observe(at(3_900_000), 2_000_000);
        assert_eq!(clock.local(2_000_000), Some(at(2_600_000)));
    }

    #[test]
    fn a_source_clock_that_runs_slow_is_followed() {
        let mut clock = SourceClock::default();
        // The source loses 1 ms a second: arrivals seem later and later.
        for second in 0..120u64 {
            clock.observe(at(second * 1_000_000), 50_000_000 + second * 999_000);
        }
        let local = clock.local(50_000_000 + 119 * 999_000).unwrap();
        let error = at(119_000_000).since(local);
        assert!(error <= Duration::from_millis(20), "{error:?}");
    }

    #[test]
    fn a_source_clock_that_steps_ahead_is_followed_at_once() {
        let mut clock = SourceClock::default();
        clock.observe(at(1_000_000), 1_000_000);
        clock.observe(at(2_000_000), 3_602_000_000);
        assert_eq!(clock.local(3_602_000_000), Some(at(2_000_000)));
    }
}
