// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How a run went, from its beginning on, in a bounded number of points.

use std::time::Duration;

/// Points that are kept, at most: those of two hours are a minute apart.
const MAX_POINTS: usize = 240;

/// The figures of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Since the run began.
    pub(super) at: Duration,
    /// Connected peers.
    pub(super) peers: u64,
    /// Source: viewers that its tracker knows.
    pub(super) announced: u64,
    /// Bits per second.
    pub(super) upload_rate: u64,
    /// Of the stream, bits per second.
    pub(super) bitrate: u64,
}

/// Points at equal distances. When there are too many, every second one goes, and new ones are taken
/// half as often.
#[derive(Debug)]
pub(super) struct History {
    points: Vec<Point>,
    /// One of so many is kept.
    every: u64,
    seen: u64,
}

impl History {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self {
            points: Vec::new(),
            every: 1,
            seen: 0,
        }
    }

    /// Takes in the next moment.
    pub(super) fn push(&mut self, point: Point) {
        if self.seen.is_multiple_of(self.every) {
            self.points.push(point);
        }
        self.seen += 1;
        if self.points.len() >= MAX_POINTS {
            let mut keep = false;
            self.points.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
    }

    /// The points, the oldest first.
    pub(super) fn points(&self) -> &[Point] {
        &self.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_has_its_beginning_and_points_at_equal_distances() {
        let mut history = History::new();
        for second in 0..10_000 {
            history.push(Point {
                at: Duration::from_secs(second),
                peers: second,
                announced: 0,
                upload_rate: 0,
                bitrate: 0,
            });
            assert!(history.points().len() < MAX_POINTS);
        }
        let points = history.points();
        assert!(points.len() >= MAX_POINTS / 2);
        assert_eq!(points[0].at, Duration::ZERO);
        let step = points[1].at;
        assert!(points.windows(2).all(|two| two[1].at - two[0].at == step));
        assert!(points.last().unwrap().at + step >= Duration::from_secs(9_999));
    }
}
