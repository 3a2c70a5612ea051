// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Figures in words, for people.

use std::time::Duration;

/// What stands for a figure that is not known.
pub(super) const UNKNOWN: &str = "–";

/// Bits per second.
pub(super) fn rate(bits: u64) -> String {
    scaled(bits, 1000.0, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

/// Bytes.
pub(super) fn bytes(bytes: u64) -> String {
    scaled(bytes, 1024.0, ["B", "KiB", "MiB", "GiB"])
}

fn scaled(figure: u64, step: f64, units: [&str; 4]) -> String {
    let mut value = figure as f64;
    let mut unit = 0;
    // What would be rounded to a step is one.
    while value >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let decimals = match unit {
        0 => 0,
        _ if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {}", units[unit])
}

/// A short time.
pub(super) fn delay(time: Duration) -> String {
    if time < Duration::from_millis(1000) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// A short time, where it is known.
pub(super) fn delay_or_unknown(time: Option<Duration>) -> String {
    time.map_or_else(|| UNKNOWN.to_owned(), delay)
}

/// A long time.
pub(super) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_unit_that_fits() {
        for (figure, text) in [
            (0, "0 bit/s"),
            (999, "999 bit/s"),
            (1000, "1.0 kbit/s"),
            (99_950, "100 kbit/s"),
            (999_999, "1.0 Mbit/s"),
            (2_345_678, "2.3 Mbit/s"),
            (u64::MAX, "18446744074 Gbit/s"),
        ] {
            assert_eq!(rate(figure), text);
        }
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(10 << 20), "10.0 MiB");
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min 1 s"),
            (3_725, "1 h 2 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
        assert_eq!(delay(Duration::from_micros(999_999)), "999 ms");
        assert_eq!(delay(Duration::from_millis(1020)), "1.0 s");
        assert_eq!(delay_or_unknown(None), UNKNOWN);
    }
}
