// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! When bytes without timestamps are due: by the clock references in a transport stream, or by a
//! bitrate. Plain arithmetic; the element does the waiting.

use std::{ops::Range, time::Duration};

use crate::mpegts::{Aligner, Packet, StreamClock};

/// Most bytes held back for a clock reference: 100 ms, the longest that ISO/IEC 13818-1 §2.7.2
/// allows between two, of 320 Mbit/s. A stream that shows none for so long is not paced.
const MAX_HELD: usize = 4 << 20;
/// How far behind its time a stream may be before the time is set anew, so that an upstream that
/// stalled is not followed by a burst.
const MAX_BEHIND: Duration = Duration::from_secs(1);
/// What is admitted in one step at a bitrate: so much time's worth of bytes.
const STEP: Duration = Duration::from_millis(20);

/// Packets that are due together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// Stream time when they are due, since the first clock reference; none: at once.
    pub(super) time: Option<Duration>,
    /// Whole packets.
    pub(super) packets: Vec<u8>,
}

/// Holds packets until the clock reference after them tells when they are due.
#[derive(Debug, Default)]
pub(super) struct ClockPacer {
    aligner: Aligner,
    clock: StreamClock,
    held: Vec<u8>,
}

impl ClockPacer {
    /// Takes in bytes of any split; what became due, in order.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Due> {
        let Self {
            aligner,
            clock,
            held,
        } = self;
        let mut due = Vec::new();
        aligner.push(bytes, |packet: &Packet| {
            let time = clock.packet(packet);
            if !held.is_empty() && (time.is_some() || held.len() >= MAX_HELD) {
                let packets = std::mem::take(held);
                due.push(Due { time, packets });
            }
            held.extend_from_slice(packet);
        });
        due
    }

    /// The packets after the last clock reference.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.aligner.reset();
        std::mem::take(&mut self.held)
    }
}

/// Turns stream time into running time, from the moment of the first call on.
#[derive(Debug, Default)]
pub(super) struct Anchor {
    /// Running time at stream time zero.
    zero: Option<Duration>,
}

impl Anchor {
    /// The running time of `stream`, when it is `now`.
    pub(super) fn running_time(&mut self, stream: Duration, now: Duration) -> Duration {
        let zero = *self.zero.get_or_insert_with(|| now.saturating_sub(stream));
        let due = zero.saturating_add(stream);
        if now.saturating_sub(due) > MAX_BEHIND {
            self.zero = Some(now.saturating_sub(stream));
            return now;
        }
        due
    }
}

/// Admits bytes at a bitrate.
#[derive(Debug, Default)]
pub(super) struct RatePacer {
    next: Duration,
}

impl RatePacer {
    /// The parts of `len` bytes in which they go, at `bitrate` bits per second.
    pub(super) fn parts(len: usize, bitrate: u64) -> impl Iterator<Item = Range<usize>> {
        let step = (u128::from(bitrate) * STEP.as_nanos() / 8_000_000_000).max(1316);
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        (0..len)
            .step_by(step)
            .map(move |start| start..len.min(start.saturating_add(step)))
    }

    /// The running time at which `bytes` may go, when it is `now`.
    pub(super) fn admit(&mut self, bytes: usize, bitrate: u64, now: Duration) -> Duration {
        let nanos = bytes as u128 * 8_000_000_000 / u128::from(bitrate.max(1));
        let length = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if now.saturating_sub(self.next) > MAX_BEHIND {
            self.next = now;
        }
        let due = self.next;
        self.next = due.saturating_add(length);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet that carries a clock reference of `ticks` at 27 MHz, or only payload.
    fn packet(ticks: Option<u64>) -> Packet {
        let mut packet = [0xff; 188];
        packet[..4].copy_from_slice(&[0x47, 0x01, 0x00, 0x10]);
        if let Some(ticks) = ticks {
            let (base, extension) = (ticks / 300, ticks % 300);
            packet[3] = 0x30;
            packet[4] = 7;
            packet[5] = 0x10;
            packet[6..10].copy_from_slice(&((base >> 1) as u32).to_be_bytes());
            packet[10] = ((base & 1) as u8) << 7 | 0x7e | (extension >> 8) as u8;
            packet[11] = extension as u8;
        }
        packet
    }

    #[test]
    fn packets_are_due_at_the_clock_reference_after_them() {
        let stream: Vec<u8> = [
            None,
            Some(27_000_000),
            None,
            None,
            Some(27_000_000 + 1_080_000),
            None,
            Some(27_000_000 + 2_160_000),
        ]
        .into_iter()
        .flat_map(packet)
        .collect();
        for split in [1, 100, 188, 4096] {
            let mut pacer = ClockPacer::default();
            let due: Vec<Due> = stream.chunks(split).flat_map(|c| pacer.push(c)).collect();
            let rest = pacer.finish();
            let times: Vec<_> = due.iter().map(|due| due.time).collect();
            let ms = |ms| Some(Duration::from_millis(ms));
            assert_eq!(times, [ms(0), ms(40), ms(80)], "split {split}");
            let mut bytes: Vec<u8> = due.into_iter().flat_map(|due| due.packets).collect();
            bytes.extend(rest);
            assert_eq!(bytes, stream, "split {split}");
        }
    }

    #[test]
    fn a_stream_without_clock_references_is_not_held_for_ever() {
        let mut pacer = ClockPacer::default();
        let packets = MAX_HELD / 188 + 2;
        let due: usize = (0..packets).map(|_| pacer.push(&packet(None)).len()).sum();
        assert_eq!(due, 1);
    }

    #[test]
    fn an_anchor_keeps_time_and_forgives_a_stall() {
        let mut anchor = Anchor::default();
        let s = Duration::from_secs;
        assert_eq!(anchor.running_time(s(0), s(10)), s(10));
        assert_eq!(anchor.running_time(s(2), s(10)), s(12));
        assert_eq!(anchor.running_time(s(2), s(13)), s(12));
        assert_eq!(anchor.running_time(s(3), s(20)), s(20));
        assert_eq!(anchor.running_time(s(4), s(20)), s(21));
    }

    #[test]
    fn a_bitrate_spreads_bytes_evenly() {
        let mut pacer = RatePacer::default();
        let now = Duration::from_secs(5);
        assert_eq!(pacer.admit(125_000, 1_000_000, now), now);
        assert_eq!(
            pacer.admit(125_000, 1_000_000, now),
            now + Duration::from_secs(1)
        );
        let parts: Vec<_> = RatePacer::parts(6000, 1_000_000).collect();
        assert_eq!(parts, [0..2500, 2500..5000, 5000..6000]);
        assert_eq!(RatePacer::parts(0, 1_000_000).count(), 0);
    }
}
