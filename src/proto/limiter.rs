// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A rate that is kept.

use std::time::Duration;

use super::time::Instant;

/// Lets so many bytes a second pass. What is sent at once goes into debt, so over any span no more
/// than the rate and one message pass.
#[derive(Debug, Clone, Copy)]
pub struct Limiter {
    /// Bytes per second; 0: no limit.
    rate: f64,
    /// Bytes that may be saved up.
    depth: f64,
    level: f64,
    at: Instant,
}

impl Limiter {
    /// `rate` bytes a second (0: no limit), of which those of `save` may be saved up.
    #[must_use]
    pub fn new(rate: f64, save: Duration) -> Self {
        Self {
            rate,
            depth: rate * save.as_secs_f64(),
            level: 0.0,
            at: Instant::default(),
        }
    }

    /// Changes the rate and what may be saved up.
    pub fn set(&mut self, now: Instant, rate: f64, save: Duration) {
        self.refill(now);
        self.rate = rate;
        self.depth = rate * save.as_secs_f64();
        self.level = self.level.min(self.depth);
    }

    /// Counts `bytes` that were sent.
    pub fn sent(&mut self, now: Instant, bytes: usize) {
        if self.rate > 0.0 {
            self.refill(now);
            self.level -= bytes as f64;
        }
    }

    /// When the next message may go: `now`, or later.
    #[must_use]
    pub fn opens(&self, now: Instant) -> Instant {
        if self.rate <= 0.0 {
            return now;
        }
        let level = self.level + self.rate * now.since(self.at).as_secs_f64();
        if level >= 0.0 {
            return now;
        }
        // A microsecond more, so that it is open then for certain.
        now + Duration::from_secs_f64((-level / self.rate).min(60.0)) + Duration::from_micros(1)
    }

    fn refill(&mut self, now: Instant) {
        let gained = self.rate * now.since(self.at).as_secs_f64();
        self.level = (self.level + gained).min(self.depth);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as the limiter lets it; the moments and sizes.
    fn send(limiter: &mut Limiter, bytes: usize, until: Instant) -> Vec<(Instant, usize)> {
        let mut sent = Vec::new();
        let mut now = Instant::from_micros(1_000_000);
        loop {
            now = limiter.opens(now);
            if now >= until {
                return sent;
            }
            limiter.sent(now, bytes);
            sent.push((now, bytes));
        }
    }

    #[test]
    fn over_any_two_seconds_the_rate_is_kept_within_five_per_cent() {
        let rate = 250_000.0;
        let mut limiter = Limiter::new(rate, Duration::ZERO);
        let sent = send(&mut limiter, 16_397, Instant::from_micros(12_000_000));
        for (at, (from, _)) in sent.iter().enumerate() {
            let within = sent[at..].iter();
            let within = within.take_while(|(when, _)| when.since(*from) < Duration::from_secs(2));
            let bytes: usize = within.map(|(_, bytes)| bytes).sum();
            assert!(bytes as f64 <= 2.0 * rate * 1.05, "{bytes}");
        }
        let total: usize = sent.iter().map(|(_, bytes)| bytes).sum();
        assert!(total as f64 >= 11.0 * rate * 0.95, "{total}");
    }

    #[test]
    fn what_was_saved_may_go_at_once_and_no_limit_is_none() {
        let mut limiter = Limiter::new(1000.0, Duration::from_secs(1));
        let now = Instant::from_micros(60_000_000);
        limiter.sent(now, 1000);
        assert_eq!(limiter.opens(now), now);
        limiter.sent(now, 1);
        assert!(limiter.opens(now) > now);
        let none = Limiter::new(0.0, Duration::ZERO);
        assert_eq!(none.opens(now), now);
    }
}
