// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The driver's clocks, read in one place.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::proto::time::{self, Now};

/// The core's clock shows this when the driver begins: what it reckons of pieces that were made
/// before has to have a moment too. No window is longer.
const HEAD_START: Duration = Duration::from_secs(1_000_000);

/// Turns the system's two clocks into the core's [`Now`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    origin: Instant,
}

impl Clock {
    /// Counts from this moment.
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// This moment on both clocks. A calendar clock before 1970 shows 1970.
    pub(super) fn now(&self) -> Now {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            at: time::Instant::from_micros(micros(self.origin.elapsed() + HEAD_START)),
            wall: micros(wall.unwrap_or_default()),
        }
    }

    /// The system's name for a moment of the core's; `None` past the end of its clock.
    pub(super) fn system(&self, at: time::Instant) -> Option<Instant> {
        self.origin
            .checked_add(Duration::from_micros(at.as_micros()).saturating_sub(HEAD_START))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_survives_the_way_there_and_back() {
        let clock = Clock::new();
        let before = Instant::now();
        let now = clock.now();
        let after = Instant::now();
        let moment = clock.system(now.at).unwrap();
        // The core counts whole microseconds.
        assert!(moment + Duration::from_micros(1) >= before && moment <= after);
        assert!(now.wall > 1_700_000_000_000_000);
    }
}
