// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Rates that forget.

use std::time::Duration;

use super::time::Instant;

/// Time after which an old byte weighs 1/e.
const MEMORY: Duration = Duration::from_secs(5);

/// Bytes per second as an exponentially weighted average.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    weighted: f64,
    at: Instant,
}

impl Rate {
    /// Counts `bytes` that moved at `now`.
    pub fn add(&mut self, now: Instant, bytes: usize) {
        self.weighted = self.decayed(now) + bytes as f64;
        self.at = now;
    }

    /// Bytes per second around `now`.
    #[must_use]
    pub fn per_second(&self, now: Instant) -> f64 {
        self.decayed(now) / MEMORY.as_secs_f64()
    }

    fn decayed(&self, now: Instant) -> f64 {
        let age = now.since(self.at).as_secs_f64();
        self.weighted * (-age / MEMORY.as_secs_f64()).exp()
    }
}

/// At most so many events in a span of time, counted in fixed spans.
#[derive(Debug, Clone, Copy)]
pub struct Quota {
    limit: u32,
    span: Duration,
    since: Instant,
    used: u32,
}

impl Quota {
    /// `limit` events a `span`.
    #[must_use]
    pub const fn new(limit: u32, span: Duration) -> Self {
        Self {
            limit,
            span,
            since: Instant::from_micros(0),
            used: 0,
        }
    }

    /// Takes one; `false` when none is left in this span.
    pub fn take(&mut self, now: Instant) -> bool {
        if now.since(self.since) >= self.span {
            self.since = now;
            self.used = 0;
        }
        self.used = self.used.saturating_add(1);
        self.used <= self.limit
    }

    /// When the next may be taken: `now`, or the end of a span in which all were.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Instant {
        let over = self.since + self.span;
        if self.used < self.limit || over <= now {
            now
        } else {
            over
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_flow_shows_its_rate_and_silence_forgets_it() {
        let mut rate = Rate::default();
        let mut now = Instant::default();
        for _ in 0..300 {
            now = now + Duration::from_millis(100);
            rate.add(now, 1000);
        }
        let shown = rate.per_second(now);
        assert!((9_500.0..10_500.0).contains(&shown), "{shown}");
        assert!(rate.per_second(now + Duration::from_secs(60)) < 1.0);
    }

    #[test]
    fn a_quota_refills_with_the_next_span() {
        let mut quota = Quota::new(2, Duration::from_secs(1));
        let now = Instant::from_micros(5_000_000);
        assert!(quota.take(now));
        assert_eq!(quota.opens(now), now);
        assert!(quota.take(now) && !quota.take(now));
        let next = now + Duration::from_secs(1);
        assert_eq!(quota.opens(now), next);
        assert_eq!(quota.opens(next), next);
        assert!(quota.take(next));
    }
}
