// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Sequences that are reserved before they are used (PROTOCOL §2).

use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{StoreError, file::replace};
use crate::proto::{lap::Sequence, restart::Restart, time::UnixMicros};

/// The block of sequences that this start may use, and the restart file that says so.
///
/// Holds the lock of the key until [`Self::finish`] or until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    path: PathBuf,
    first: Sequence,
    end: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    written: Restart,
    /// Nothing once the start has finished.
    lock: Option<File>,
}

impl Reservation {
    pub(super) fn new(
        path: PathBuf,
        start: Restart,
        reserved: Restart,
        lock: File,
    ) -> Result<Self, StoreError> {
        replace(&path, reserved.to_text().as_bytes())?;
        Ok(Self {
            path,
            first: start.next,
            end: AtomicU64::new(reserved.next),
            state: Mutex::new(State {
                written: reserved,
                lock: Some(lock),
            }),
        })
    }

    /// The sequence before which pieces may be sealed; it only grows. Never waits.
    pub(crate) fn reserved_end(&self) -> Sequence {
        self.end.load(Ordering::Acquire)
    }

    /// Writes the restart file where half of the present block is used or the pieces' time is 10 s
    /// past the one in it; to be called every few seconds with the next sequence and the last
    /// piece's time, off the streaming thread: it waits for the disk. After [`Self::finish`] it
    /// does nothing.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written. What was reserved before is valid still, so the
    /// broadcast can go on to [`Self::reserved_end`] and try again.
    pub(crate) fn reserve_if_needed(
        &self,
        next: Sequence,
        last_time: UnixMicros,
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lock.is_none() {
            return Ok(());
        }
        let Some(renewed) = state.written.renew(next, last_time) else {
            return Ok(());
        };
        replace(&self.path, renewed.to_text().as_bytes())?;
        state.written = renewed;
        self.end.store(renewed.next, Ordering::Release);
        Ok(())
    }

    /// Writes where the next start is to begin, just after the last piece, and lets go of the key.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written; the next start begins after the reserved block.
    pub(crate) fn finish(&self, next: Sequence, last_time: UnixMicros) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lock) = state.lock.take() else {
            return Ok(());
        };
        let end = Restart {
            next: next.max(self.first),
            time: state.written.time.max(last_time),
        };
        let written = replace(&self.path, end.to_text().as_bytes());
        // Closing it unlocks it, and only after the file is written.
        drop(lock);
        written
    }
}
