// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How fast to play so that the distance to the source returns to what was asked for.

use std::time::Duration;

use super::super::time::Instant;

/// Nothing is done about less than this (µs): nobody sees it, and the clocks are not known better.
const DEAD_BAND: i64 = 60_000;
/// A correction ends this near (µs).
const CLOSE: i64 = 10_000;
/// A correction should take so long: sound is out of tune meanwhile, and less so at a smaller change.
const CORRECTS_IN: Duration = Duration::from_secs(10);
/// The least change: a smaller one would take for ever.
const FINEST: f64 = 0.01;
/// Between two changes, but at the end of a correction.
const DWELL: Duration = Duration::from_secs(2);
/// A buffer that was low may be again with the next piece that is late.
const SAVES_AT_LEAST: Duration = Duration::from_secs(4);
/// What a change of rate would take longer to correct is a jump's.
const LONGEST: Duration = Duration::from_secs(60);
/// The same where the rate is not to be changed.
const MUCH_WITHOUT: Duration = Duration::from_millis(250);
/// A buffer below this is low, and below a quarter of the distance.
const LOW: Duration = Duration::from_millis(200);
/// How long the lowest buffer counts.
const MEMORY: Duration = Duration::from_secs(5);

/// What the rate goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Now.
    pub(super) now: Instant,
    /// How far what is released now is behind the source.
    pub(super) distance: Duration,
    /// How far it should be.
    pub(super) target: Duration,
    /// How long what is held in order lasts; none: everything that will ever come is held.
    pub(super) buffer: Option<Duration>,
    /// How much faster or slower playback may run.
    pub(super) max_change: f64,
}

/// What is to be done about the distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Play at this rate.
    Rate(f64),
    /// Too far behind for a rate: jump ahead.
    Ahead,
    /// Too near for a rate: wait.
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Course {
    #[default]
    Steady,
    /// Towards the source.
    Faster,
    /// Away from it.
    Slower,
    /// Away from it until the buffer is not low any more.
    Saving,
}

/// The rate of playback: one change to begin a correction and one to end it.
#[derive(Debug)]
pub(super) struct Distance {
    course: Course,
    rate: f64,
    changed_at: Option<Instant>,
    /// The lowest buffer of this span and of the one before.
    lowest: [Option<Duration>; 2],
    span_began: Instant,
}

impl Default for Distance {
    fn default() -> Self {
        Self {
            course: Course::Steady,
            rate: 1.0,
            changed_at: None,
            lowest: [None; 2],
            span_began: Instant::default(),
        }
    }
}

/// What is off by more than this is not corrected by rate.
pub(super) fn much(max_change: f64) -> Duration {
    LONGEST.mul_f64(max_change).max(MUCH_WITHOUT)
}

impl Distance {
    /// What to do now. Where the position is kept, nothing is jumped over.
    pub(super) fn judge(&mut self, reading: &Reading, keeps_position: bool) -> Verdict {
        self.remember(reading);
        let error = micros(reading.distance) - micros(reading.target);
        let much = micros(much(reading.max_change));
        if error > much && !keeps_position {
            return Verdict::Ahead;
        }
        if error < -much {
            return Verdict::Back;
        }
        let course = if reading.max_change > 0.0 {
            self.course(reading, error)
        } else {
            Course::Steady
        };
        let wanted = rate(course, error, reading.max_change);
        // A correction shrinks what it corrects. Where that has grown, by a pause or another
        // distance, the rate was chosen for less.
        let falls_short = (wanted - 1.0).abs() > (self.rate - 1.0).abs() + FINEST;
        if (course != self.course || falls_short) && self.may_change(reading.now, course) {
            self.course = course;
            self.changed_at = Some(reading.now);
            self.rate = wanted;
        }
        // The bounds may have become narrower since.
        let (slowest, fastest) = (1.0 - reading.max_change, 1.0 + reading.max_change);
        Verdict::Rate(self.rate.clamp(slowest, fastest))
    }

    fn course(&self, reading: &Reading, error: i64) -> Course {
        let low = LOW.min(reading.target / 4);
        let buffer = reading.buffer.unwrap_or(Duration::MAX);
        // A swarm that cannot keep this distance is given half as much again, and no more.
        let has_room = error < micros(reading.target) / 2;
        let enough = if self.course == Course::Saving {
            low * 2
        } else {
            low
        };
        if buffer < enough && has_room {
            return Course::Saving;
        }
        let lowest = self.lowest.iter().flatten().min();
        let spare = lowest.map_or(i64::MAX, |&lowest| {
            micros(lowest).saturating_sub(micros(low * 2))
        });
        let behind = error.min(spare);
        match self.course {
            Course::Faster if behind > CLOSE => Course::Faster,
            Course::Slower if error < -CLOSE => Course::Slower,
            _ if behind > DEAD_BAND => Course::Faster,
            _ if error < -DEAD_BAND => Course::Slower,
            _ => Course::Steady,
        }
    }

    fn may_change(&self, now: Instant, course: Course) -> bool {
        let least = match (self.course, course) {
            (Course::Saving, _) => SAVES_AT_LEAST,
            // What ends a correction must not come late, or another would follow.
            (_, Course::Steady) => Duration::ZERO,
            _ => DWELL,
        };
        self.changed_at.is_none_or(|at| now.since(at) >= least)
    }

    fn remember(&mut self, reading: &Reading) {
        if reading.now.since(self.span_began) >= MEMORY {
            self.lowest = [None, self.lowest[0]];
            self.span_began = reading.now;
        }
        let buffer = reading.buffer.unwrap_or(Duration::MAX);
        let lowest = self.lowest[0].map_or(buffer, |lowest| lowest.min(buffer));
        self.lowest[0] = Some(lowest);
    }
}

fn rate(course: Course, error: i64, max_change: f64) -> f64 {
    let change = (error as f64 / 1e6 / CORRECTS_IN.as_secs_f64()).abs();
    // Rounded so that what applications show is a number that people would set.
    let change = ((change * 100.0).ceil() / 100.0)
        .max(FINEST)
        .min(max_change);
    match course {
        Course::Steady => 1.0,
        Course::Faster => 1.0 + change,
        Course::Slower => 1.0 - change,
        Course::Saving => 1.0 - max_change,
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten readings a second of a viewer that is `off` ms too far behind, with what the swarm takes;
    /// the rates that were played at, and how far it was off in the end.
    fn play(off: i64, swarm: u64, max_change: f64, seconds: u64) -> (Vec<f64>, i64) {
        let target = 1_000_000i64;
        let mut distance = target + off * 1000;
        let mut control = Distance::default();
        let mut rates = vec![1.0];
        for tenth in 0..seconds * 10 {
            let held = distance.saturating_sub(swarm as i64 * 1000).max(0) as u64;
            let verdict = control.judge(
                &Reading {
                    now: Instant::from_micros(tenth * 100_000),
                    distance: Duration::from_micros(distance as u64),
                    target: Duration::from_micros(target as u64),
                    buffer: Some(Duration::from_micros(held)),
                    max_change,
                },
                false,
            );
            let Verdict::Rate(rate) = verdict else {
                panic!("{verdict:?} at {distance}");
            };
            if rates.last() != Some(&rate) {
                rates.push(rate);
            }
            distance -= ((rate - 1.0) * 100_000.0) as i64;
        }
        (rates, (distance - target) / 1000)
    }

    #[test]
    fn what_is_off_by_a_little_is_corrected_in_two_changes() {
        for (off, rate) in [
            (90, 1.01),
            (450, 1.05),
            (1500, 1.05),
            (-90, 0.99),
            (-600, 0.95),
        ] {
            let (rates, left) = play(off, 100, 0.05, 60);
            assert_eq!(rates, [1.0, rate, 1.0], "{off} ms off");
            assert!(left.abs() <= 15, "{off} ms off: {left} ms left");
        }
    }

    #[test]
    fn what_grows_while_it_is_corrected_is_corrected_faster() {
        let mut control = Distance::default();
        let mut judge = |second: u64, distance| {
            control.judge(
                &Reading {
                    now: Instant::from_micros(second * 1_000_000),
                    distance: Duration::from_millis(distance),
                    target: Duration::from_secs(1),
                    buffer: Some(Duration::from_millis(distance)),
                    max_change: 0.2,
                },
                true,
            )
        };
        assert_eq!(judge(0, 1200), Verdict::Rate(1.02));
        assert_eq!(judge(5, 1150), Verdict::Rate(1.02));
        // It was paused.
        assert_eq!(judge(6, 4150), Verdict::Rate(1.2));
        assert_eq!(judge(10, 3000), Verdict::Rate(1.2));
    }

    #[test]
    fn what_nobody_sees_is_left_alone() {
        for off in [-55, 0, 55] {
            assert_eq!(play(off, 100, 0.05, 60).0, [1.0]);
        }
    }

    #[test]
    fn without_a_change_of_rate_nothing_is_corrected_but_by_jumps() {
        assert_eq!(play(200, 100, 0.0, 60).0, [1.0]);
        let reading = |distance| Reading {
            now: Instant::default(),
            distance: Duration::from_millis(distance),
            target: Duration::from_secs(1),
            buffer: None,
            max_change: 0.0,
        };
        assert_eq!(
            Distance::default().judge(&reading(1300), false),
            Verdict::Ahead
        );
        assert_eq!(
            Distance::default().judge(&reading(700), false),
            Verdict::Back
        );
    }

    #[test]
    fn what_is_off_by_much_is_not_corrected_by_rate() {
        let reading = |distance, max_change| Reading {
            now: Instant::default(),
            distance: Duration::from_millis(distance),
            target: Duration::from_secs(5),
            buffer: None,
            max_change,
        };
        let judge =
            |distance, max_change| Distance::default().judge(&reading(distance, max_change), false);
        assert_eq!(judge(8100, 0.05), Verdict::Ahead);
        assert_eq!(judge(1900, 0.05), Verdict::Back);
        assert!(matches!(judge(8100, 0.1), Verdict::Rate(_)));
    }

    #[test]
    fn a_low_buffer_is_saved_before_it_is_dry_and_settles() {
        // The swarm takes 950 ms of the second that there is.
        let (rates, left) = play(0, 950, 0.05, 120);
        assert_eq!(rates, [1.0, 0.95, 1.0], "no swinging to and fro");
        assert!((300..500).contains(&left), "{left} ms");
    }

    #[test]
    fn a_swarm_that_is_too_slow_is_given_half_as_much_again() {
        let (_, left) = play(0, 3000, 0.05, 120);
        assert!((450..=520).contains(&left), "{left} ms");
    }

    #[test]
    fn an_end_that_is_held_is_no_low_buffer() {
        let mut control = Distance::default();
        let verdict = control.judge(
            &Reading {
                now: Instant::default(),
                distance: Duration::from_secs(1),
                target: Duration::from_secs(1),
                buffer: None,
                max_change: 0.05,
            },
            false,
        );
        assert_eq!(verdict, Verdict::Rate(1.0));
    }
}
