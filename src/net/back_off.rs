// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Waits that grow with each failure and differ between hosts that failed together.

use std::time::Duration;

/// Doubles from the first wait to the longest; each is drawn from its upper half.
#[derive(Debug, Clone)]
pub(super) struct BackOff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl BackOff {
    /// From the first wait to the longest.
    pub(super) const fn new((first, longest): (Duration, Duration)) -> Self {
        Self {
            first,
            longest,
            next: first,
        }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (2 * wait).min(self.longest);
        upper_half(wait)
    }

    /// Something went well.
    pub(super) const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A wait between half of this and all of it.
pub(super) fn upper_half(longest: Duration) -> Duration {
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_reset() {
        let seconds = Duration::from_secs;
        let mut back_off = BackOff::new((seconds(1), seconds(10)));
        for upper in [1, 2, 4, 8, 10, 10] {
            let wait = back_off.next();
            assert!(
                wait >= seconds(upper) / 2 && wait <= seconds(upper),
                "{wait:?}"
            );
        }
        back_off.reset();
        assert!(back_off.next() <= seconds(1));
    }
}
