// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One table of named timers.

use super::time::Instant;

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// Peers' deadlines, keep-alives, promises, rates: four times a second.
    Housekeeping,
    /// Requests that are late.
    Overdue,
    /// The uplink takes more, or an answer may begin.
    Uplink,
    /// What was forwarded is told.
    Report,
    /// The next address to dial.
    Dial,
    /// The choker's round.
    Rechoke,
    /// The next step of tuning in.
    TuneIn,
    /// The next byte to release, or the hole to give up.
    Playout,
}

const COUNT: usize = Timer::Playout as usize + 1;

/// When each timer is due.
#[derive(Debug, Default)]
pub(super) struct TimerTable([Option<Instant>; COUNT]);

impl TimerTable {
    /// Arms a timer, or disarms it with `None`.
    pub(super) const fn set(&mut self, timer: Timer, at: Option<Instant>) {
        self.0[timer as usize] = at;
    }

    /// Whether its moment came.
    pub(super) fn is_due(&self, timer: Timer, now: Instant) -> bool {
        self.0[timer as usize].is_some_and(|at| at <= now)
    }

    /// Whether it is disarmed.
    pub(super) const fn is_off(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_none()
    }

    /// Arms a timer unless it is due earlier.
    pub(super) fn at_latest(&mut self, timer: Timer, at: Instant) {
        let slot = &mut self.0[timer as usize];
        *slot = Some(slot.map_or(at, |due| due.min(at)));
    }

    /// Disarms a timer that is due, and says so.
    pub(super) fn take_if_due(&mut self, timer: Timer, now: Instant) -> bool {
        let slot = &mut self.0[timer as usize];
        let due = slot.is_some_and(|at| at <= now);
        if due {
            *slot = None;
        }
        due
    }

    /// The earliest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}
