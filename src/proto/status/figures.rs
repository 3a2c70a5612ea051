// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is known of one moment.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::proto::{
    stats::{PeerStats, Stats, Way},
    time::Instant,
};

/// Moments that the stream's rate is measured between.
const MAX_MOMENTS: usize = 6;
/// Upper ends of the classes that delays are counted in; what is longer is the last class.
pub(super) const CLASSES: [Duration; 7] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];

/// The figures of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) stats: Arc<Stats>,
    /// Since the run began.
    pub(super) uptime: Duration,
    /// Bytes of the stream: published, or handed downstream.
    pub(super) streamed: u64,
    /// Of the stream, bits per second.
    pub(super) bitrate: u64,
    /// Most that may be uploaded now, bits per second; none: no limit.
    pub(super) upload_limit: Option<u64>,
    /// Source: viewers that its tracker knows.
    pub(super) announced: Option<u64>,
    /// What came of each way to peers.
    pub(super) ways: Vec<Way>,
}

/// How old pieces are when they reach peers, as these say (PROTOCOL §6, `lag`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Delay {
    /// Peers in each of [`CLASSES`], and in the last.
    pub(super) counts: [u64; CLASSES.len() + 1],
    /// Peers that say it.
    pub(super) reported: u64,
    pub(super) median: Option<Duration>,
    /// 95 % are not later.
    pub(super) p95: Option<Duration>,
    pub(super) most: Option<Duration>,
}

impl Delay {
    /// What these peers say.
    pub(super) fn of(peers: &[PeerStats]) -> Self {
        let mut lags: Vec<_> = peers.iter().filter_map(|peer| peer.lag).collect();
        lags.sort_unstable();
        let mut counts = [0; CLASSES.len() + 1];
        for lag in &lags {
            counts[CLASSES.partition_point(|end| end < lag)] += 1;
        }
        // Nearest rank.
        let rank = |percent: usize| (lags.len() * percent).div_ceil(100).saturating_sub(1);
        Self {
            counts,
            reported: lags.len() as u64,
            median: lags.get(rank(50)).copied(),
            p95: lags.get(rank(95)).copied(),
            most: lags.last().copied(),
        }
    }
}

/// The rate of a growing count of bytes over the last moments.
#[derive(Debug, Default)]
pub(super) struct Meter {
    moments: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Bits per second, now that there are `bytes`; zero at first.
    pub(super) fn rate(&mut self, now: Instant, bytes: u64) -> u64 {
        let (since, before) = self.moments.front().copied().unwrap_or((now, bytes));
        if self.moments.len() >= MAX_MOMENTS {
            self.moments.pop_front();
        }
        self.moments.push_back((now, bytes));
        let seconds = now.since(since).as_secs_f64();
        let bits = bytes.saturating_sub(before) as f64 * 8.0;
        if seconds > 0.0 {
            (bits / seconds) as u64
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testing::hostile_peer, *};

    #[test]
    fn delays_are_counted_in_classes_and_ranked() {
        let lags = [Some(1), Some(20), Some(21), None, Some(60_000)];
        let delay = Delay::of(&lags.map(hostile_peer));
        assert_eq!(delay.counts, [2, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(delay.reported, 4);
        assert_eq!(delay.median, Some(Duration::from_millis(20)));
        assert_eq!(delay.p95, Some(Duration::from_secs(60)));
        assert_eq!(delay.most, delay.p95);
        assert_eq!(Delay::of(&[]), Delay::default());
    }

    #[test]
    fn a_rate_is_that_of_the_last_moments() {
        let mut meter = Meter::default();
        let at = |second| Instant::from_micros(second * 1_000_000);
        assert_eq!(meter.rate(at(0), 0), 0);
        assert_eq!(meter.rate(at(1), 1000), 8000);
        let last = (2..100).map(|second| meter.rate(at(second), 1000 + 500 * second));
        assert_eq!(last.last(), Some(4000));
        assert_eq!(meter.moments.len(), MAX_MOMENTS);
    }
}
