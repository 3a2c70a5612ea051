// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Viewers over time as lines of an SVG.

use std::fmt::Write as _;

use super::{history::Point, words};

/// The lines' own coordinates; the page stretches them.
pub(super) const WIDTH: u32 = 600;
/// The same.
pub(super) const HEIGHT: u32 = 120;

/// Two lines, and what they show in words.
#[derive(Debug)]
pub(super) struct Chart {
    /// Connected peers, as `points` of a polyline.
    pub(super) connected: String,
    /// What the tracker knows; empty where there is none.
    pub(super) announced: String,
    pub(super) summary: String,
}

impl Chart {
    /// Of these points, for a source or a viewer.
    pub(super) fn new(points: &[Point], viewer: bool) -> Self {
        let most = |of: fn(&Point) -> u64| points.iter().map(of).max().unwrap_or_default();
        let (connected, announced) = (most(|point| point.peers), most(|point| point.announced));
        let (top, end) = (
            connected.max(announced).max(1),
            points.last().map_or(0.0, |point| point.at.as_secs_f64()),
        );
        let line = |of: fn(&Point) -> u64| {
            let mut line = String::new();
            for point in points {
                let x = if end > 0.0 {
                    point.at.as_secs_f64() / end * f64::from(WIDTH)
                } else {
                    0.0
                };
                // Half a line's width of room above and below.
                let y = f64::from(HEIGHT - 2) * (1.0 - of(point) as f64 / top as f64) + 1.0;
                // Writing to a string cannot fail.
                let _ = write!(line, "{x:.0},{y:.0} ");
            }
            line.truncate(line.trim_end().len());
            line
        };
        let span = words::time(points.last().map(|point| point.at).unwrap_or_default());
        let summary = if viewer {
            format!("In {span}: at most {connected} connected at once.")
        } else {
            format!(
                "In {span}: at most {connected} connected at once, at most {announced} known to the tracker."
            )
        };
        Self {
            connected: line(|point| point.peers),
            announced: if viewer {
                String::new()
            } else {
                line(|point| point.announced)
            },
            summary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    fn points(peers: &[u64]) -> Vec<Point> {
        let point = |(second, &peers): (usize, &u64)| Point {
            at: Duration::from_secs(second as u64),
            peers,
            announced: 2 * peers,
            upload_rate: 0,
            bitrate: 0,
        };
        peers.iter().enumerate().map(point).collect()
    }

    #[test]
    fn lines_go_from_the_beginning_to_now_and_up_to_the_most() {
        let chart = Chart::new(&points(&[0, 1, 2]), false);
        assert_eq!(chart.connected, "0,119 300,90 600,60");
        assert_eq!(chart.announced, "0,119 300,60 600,1");
        assert_eq!(
            chart.summary,
            "In 2 s: at most 2 connected at once, at most 4 known to the tracker."
        );
        let chart = Chart::new(&points(&[0, 1, 2]), true);
        assert!(chart.announced.is_empty());
    }

    #[test]
    fn nothing_and_nobody_are_no_division_by_zero() {
        assert_eq!(Chart::new(&[], false).connected, "");
        assert_eq!(Chart::new(&points(&[0]), false).connected, "0,119");
    }
}
