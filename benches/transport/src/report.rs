// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0
//! The figures of one connection.

use std::{fmt, time::Duration};

/// What became of the pieces, after the first seconds. Printed, it is words of NAME=VALUE on one line,
/// times in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Wanted pieces that were made.
    pub(crate) born: u64,
    /// Of these, how many came while they were of use.
    pub(crate) in_time: u64,
    /// For each that came at all: from when it was made to when its last byte was read.
    pub(crate) delays: Vec<Duration>,
    /// For each piece that came, wanted or not: from when the transport took its first byte to when its
    /// last was read. In all this time nothing could go before it, and it could not be taken back.
    pub(crate) held: Vec<Duration>,
    /// Bytes read,
    pub(crate) bytes: u64,
    /// in so much time.
    pub(crate) time: Duration,
    /// Bytes read with those of the first seconds.
    pub(crate) all_bytes: u64,
}

/// The value of `sorted` that `percent` of a hundred are at most as large as.
fn percentile<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// Writes ` NAME50=… NAME95=… NAME99=… NAME100=…`.
fn write_times(f: &mut fmt::Formatter<'_>, name: &str, times: &[Duration]) -> fmt::Result {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    for percent in [50, 95, 99, 100] {
        match percentile(&sorted, percent) {
            Some(time) => write!(f, " {name}{percent}={:.1}", time.as_secs_f64() * 1e3)?,
            None => write!(f, " {name}{percent}=-")?,
        }
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.bytes as f64 * 8e-3 / self.time.as_secs_f64().max(1e-3);
        let in_time = 100.0 * self.in_time as f64 / self.born.max(1) as f64;
        write!(f, "kbits={rate:.0} intime={in_time:.1}")?;
        write_times(f, "delay", &self.delays)?;
        write_times(f, "held", &self.held)?;
        write!(f, " bytes={}", self.all_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_words() {
        let report = Report {
            born: 4,
            in_time: 2,
            delays: [3, 1, 2].map(Duration::from_millis).into(),
            bytes: 1000,
            time: Duration::from_secs(1),
            all_bytes: 1500,
            ..Report::default()
        };
        assert_eq!(
            report.to_string(),
            "kbits=8 intime=50.0 delay50=2.0 delay95=3.0 delay99=3.0 delay100=3.0 \
             held50=- held95=- held99=- held100=- bytes=1500"
        );
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        assert_eq!(percentile::<u8>(&[], 50), None);
        assert_eq!(percentile(&[7], 99), Some(7));
        let hundred: Vec<u8> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 95), Some(95));
        assert_eq!(percentile(&hundred, 100), Some(100));
    }
}
