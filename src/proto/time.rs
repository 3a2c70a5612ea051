// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Time as the core sees it: always an argument, never read from a clock.

use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// Microseconds since the Unix epoch, as pieces carry them.
pub type UnixMicros = u64;

/// A moment on a clock that never goes back, in µs from an origin that the driver chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The moment `micros` µs after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// µs since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }
}

/// The calendar as pieces are dated by: it never goes back and never stands still. Where the
/// system's calendar is set back it goes on from where it was, as time passes; where that is set
/// forward it follows.
#[derive(Debug, Clone, Copy)]
pub struct Dates {
    from: Now,
}

impl Dates {
    /// What the calendar may be ahead before it is followed: it is slewed by less.
    const AHEAD: Duration = Duration::from_millis(500);

    /// Begins at this moment, and not before `not_before`.
    #[must_use]
    pub fn new(now: Now, not_before: UnixMicros) -> Self {
        let wall = now.wall.max(not_before);
        Self {
            from: Now { at: now.at, wall },
        }
    }

    /// The date of this moment.
    pub fn date(&mut self, now: Now) -> UnixMicros {
        let passed = u64::try_from(now.at.since(self.from.at).as_micros()).unwrap_or(u64::MAX);
        let steady = self.from.wall.saturating_add(passed);
        if now.wall.saturating_sub(steady) > Self::AHEAD.as_micros() as u64 {
            self.from = now;
            return now.wall;
        }
        steady
    }
}

/// One moment on both clocks: `at` orders and measures, `wall` dates pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The clock that never goes back.
    pub at: Instant,
    /// The calendar clock, which can step.
    pub wall: UnixMicros,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn now(at: u64, wall: u64) -> Now {
        Now {
            at: Instant::from_micros(at),
            wall,
        }
    }

    #[test]
    fn dates_go_on_where_the_calendar_is_set_back_and_follow_it_forward() {
        let mut dates = Dates::new(now(0, 100 * SECOND), 0);
        assert_eq!(dates.date(now(SECOND, 101 * SECOND)), 101 * SECOND);
        assert_eq!(dates.date(now(2 * SECOND, 42 * SECOND)), 102 * SECOND);
        assert_eq!(dates.date(now(3 * SECOND, 200 * SECOND)), 200 * SECOND);
        assert_eq!(dates.date(now(4 * SECOND, 201 * SECOND)), 201 * SECOND);
    }

    #[test]
    fn a_start_before_the_last_date_goes_on_from_there() {
        let mut dates = Dates::new(now(0, 100 * SECOND), 500 * SECOND);
        assert_eq!(dates.date(now(SECOND, 101 * SECOND)), 501 * SECOND);
    }
}
