// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0
//! What goes over the connection: as long as a piece is, with its number and its times.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Bytes of a piece.
pub(crate) const LENGTH: usize = 16 * 1024;
/// Bytes at its start that say what it is.
const HEAD: usize = 25;

/// A moment, as time since the machine's start: the same for all its processes.
pub(crate) type Moment = Duration;

/// What a piece says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whether anybody waits for it; the others only fill the line.
    pub(crate) wanted: bool,
    /// Counts those that are wanted; the one after the last ends the connection.
    pub(crate) number: u64,
    /// When it was there to be sent.
    pub(crate) born: Moment,
    /// When the transport took the first byte of the one before it: that is known too late to be told
    /// in its own head.
    pub(crate) taken_before: Moment,
}

/// The machine's clock.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

impl Piece {
    /// Writes it over the start of `bytes`.
    pub(crate) fn encode(self, bytes: &mut [u8; LENGTH]) {
        bytes[0] = u8::from(self.wanted);
        bytes[1..9].copy_from_slice(&self.number.to_be_bytes());
        let nanoseconds = |moment: Moment| u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
        bytes[9..17].copy_from_slice(&nanoseconds(self.born).to_be_bytes());
        bytes[17..HEAD].copy_from_slice(&nanoseconds(self.taken_before).to_be_bytes());
    }

    /// Reads the start of `bytes`.
    pub(crate) fn decode(bytes: &[u8; LENGTH]) -> Self {
        let number = |at: usize| {
            let bytes = bytes[at..].first_chunk().expect("it is within the head");
            u64::from_be_bytes(*bytes)
        };
        Self {
            wanted: bytes[0] == 1,
            number: number(1),
            born: Duration::from_nanos(number(9)),
            taken_before: Duration::from_nanos(number(17)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let piece = Piece {
            wanted: true,
            number: 7,
            born: now(),
            taken_before: Duration::from_millis(5),
        };
        let mut bytes = [0; LENGTH];
        piece.encode(&mut bytes);
        assert_eq!(Piece::decode(&bytes), piece);
    }
}
