// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Our own clock of the stream: what is released when.

use std::time::Duration;

use super::super::time::{Instant, UnixMicros};

/// A line through one moment of the stream and one of ours. Downstream plays along it, so it never
/// jumps; it only gets steeper or flatter, and where it begins anew downstream is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    /// A steady time of the source's ([`super::clock::SourceClock::steady`]).
    time: UnixMicros,
    /// When it is released.
    at: Instant,
    /// Seconds of stream in one of ours.
    rate: f64,
}

impl Schedule {
    /// What has this time is released at `at`, and the rest at its own pace.
    pub(super) const fn new(time: UnixMicros, at: Instant) -> Self {
        Self {
            time,
            at,
            rate: 1.0,
        }
    }

    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// When what has this time is released.
    pub(super) fn due(&self, time: UnixMicros) -> Instant {
        if time >= self.time {
            self.at + self.ours(time - self.time)
        } else {
            self.at - self.ours(self.time - time)
        }
    }

    /// The time of what is released at `now`.
    pub(super) fn position(&self, now: Instant) -> UnixMicros {
        let theirs = |ours: Duration| (ours.as_secs_f64() * self.rate * 1e6).round() as u64;
        if now >= self.at {
            self.time.saturating_add(theirs(now.since(self.at)))
        } else {
            self.time.saturating_sub(theirs(self.at.since(now)))
        }
    }

    /// From `now` on so many seconds of stream are released in one of ours.
    pub(super) fn set_rate(&mut self, now: Instant, rate: f64) {
        *self = Self {
            time: self.position(now),
            at: now,
            rate,
        };
    }

    /// Everything is released so much later.
    pub(super) fn delay(&mut self, by: Duration) {
        self.at = self.at + by;
    }

    fn ours(&self, micros: u64) -> Duration {
        if self.rate == 1.0 {
            Duration::from_micros(micros)
        } else {
            Duration::from_micros((micros as f64 / self.rate).round() as u64)
        }
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
    fn the_stream_takes_its_own_time() {
        let schedule = Schedule::new(100 * SECOND, at(7 * SECOND));
        assert_eq!(schedule.due(103 * SECOND), at(10 * SECOND));
        assert_eq!(schedule.due(99 * SECOND), at(6 * SECOND));
        assert_eq!(schedule.position(at(9 * SECOND)), 102 * SECOND);
    }

    #[test]
    fn another_rate_moves_what_comes_and_nothing_jumps() {
        let mut schedule = Schedule::new(100 * SECOND, at(0));
        schedule.set_rate(at(10 * SECOND), 1.05);
        assert_eq!(schedule.due(110 * SECOND), at(10 * SECOND));
        assert_eq!(schedule.due(131 * SECOND), at(30 * SECOND));
        schedule.set_rate(at(30 * SECOND), 1.0);
        // A second was caught up in twenty.
        assert_eq!(schedule.due(141 * SECOND), at(40 * SECOND));
    }

    #[test]
    fn a_delay_moves_everything() {
        let mut schedule = Schedule::new(100 * SECOND, at(0));
        schedule.delay(Duration::from_secs(5));
        assert_eq!(schedule.due(101 * SECOND), at(6 * SECOND));
    }
}
