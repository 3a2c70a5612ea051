// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The clocks of a host: wrong, and never quite as fast as the others'.

use gstlivetorrent::proto::time::{Instant, Now};

use super::{options::SECOND, queue::Micros};

/// The calendar at the start of every simulation, µs since the Unix epoch.
pub(crate) const WALL: u64 = 1_800_000_000_000_000;
/// How far a calendar clock is off at most, µs.
const MAX_OFFSET: i64 = 500_000;
/// What the clock that never goes back shows at the start.
const ORIGIN: Micros = SECOND;
/// Later than any run lasts: a year.
const FAR: Micros = 366 * 86_400 * SECOND;
const BILLION: i64 = 1_000_000_000;

/// One host's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// How much too fast it runs, in parts of 10^9.
    drift: i64,
    /// How far the calendar is ahead.
    offset: i64,
}

impl Clock {
    /// A clock that runs off by up to `drift` ppm.
    pub(crate) fn random(drift: f64, rng: &mut fastrand::Rng) -> Self {
        let most = (drift * 1000.0) as i64;
        Self {
            drift: rng.i64(-most..=most),
            offset: rng.i64(-MAX_OFFSET..=MAX_OFFSET),
        }
    }

    /// What it shows at `at`.
    pub(crate) const fn now(&self, at: Micros) -> Now {
        let shown = self.shown(at);
        Now {
            at: Instant::from_micros(shown),
            wall: (WALL + shown).saturating_add_signed(self.offset),
        }
    }

    const fn shown(&self, at: Micros) -> Micros {
        // A year of µs times a thousand ppm still fits.
        (ORIGIN + at).saturating_add_signed(at.cast_signed() * self.drift / BILLION)
    }

    /// The first moment at which it shows `wanted` or later.
    pub(crate) fn when(&self, wanted: Instant) -> Micros {
        let shown = wanted.as_micros().saturating_sub(ORIGIN).min(FAR);
        let ahead = shown.cast_signed() * self.drift / (BILLION + self.drift);
        // Rounding may have made it a little too early.
        let mut at = shown.saturating_add_signed(-ahead).saturating_sub(1);
        while self.shown(at) < wanted.as_micros() && at < FAR {
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_at_the_first_moment_that_the_clock_shows_it() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..1000 {
            let clock = Clock::random(100.0, &mut rng);
            let wanted = Instant::from_micros(rng.u64(ORIGIN..86_400 * SECOND));
            let at = clock.when(wanted);
            assert!(clock.now(at).at >= wanted);
            assert!(
                at == 0 || clock.now(at - 1).at < wanted,
                "{clock:?} {wanted:?}"
            );
        }
    }

    #[test]
    fn clocks_run_off_by_what_was_asked_for_and_no_more() {
        let mut rng = fastrand::Rng::with_seed(3);
        let day = 86_400 * SECOND;
        let off = |clock: Clock| clock.now(day).at.as_micros().abs_diff(day + ORIGIN);
        let most = (0..1000).map(|_| off(Clock::random(100.0, &mut rng))).max();
        assert!((8_000_000..=8_640_000).contains(&most.unwrap()), "{most:?}");
        assert_eq!(off(Clock::random(0.0, &mut rng)), 0);
    }
}
