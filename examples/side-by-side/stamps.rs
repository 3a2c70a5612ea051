// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What every transport packet carries, and what is made of it at the far side.

use gstlivetorrent::mpegts::{Aligner, Header, PACKET_LEN, Packet};

/// The PID of what carries stamps.
pub(crate) const PID: u16 = 0x100;

/// Width of a place in the table of delays, and how many there are: up to 3 s.
const STEP: u64 = 20;
const STEPS: usize = 150_000;

/// The last bytes of a packet: its number, and when it was made in µs of the system's monotonic clock.
const NUMBER: usize = PACKET_LEN - 16;
const MADE: usize = PACKET_LEN - 8;

/// Writes a packet's number and time.
pub(crate) fn write(packet: &mut Packet, number: u64, made: u64) {
    packet[NUMBER..MADE].copy_from_slice(&number.to_be_bytes());
    packet[MADE..].copy_from_slice(&made.to_be_bytes());
}

fn read(packet: &Packet) -> Option<(u64, u64)> {
    let field = |at: usize| Some(u64::from_be_bytes(packet[at..].first_chunk().copied()?));
    (Header::new(packet).pid() == PID).then_some(())?;
    Some((field(NUMBER)?, field(MADE)?))
}

/// Microseconds that all processes of this machine count alike.
pub(crate) fn now() -> u64 {
    glib::monotonic_time().unsigned_abs()
}

/// What one viewer has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    aligner: Aligner,
    delays: Delays,
    next: Option<u64>,
    /// Packets that came since the last [`Self::forget`], and those that never did.
    pub(crate) packets: u64,
    pub(crate) lost: u64,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            aligner: Aligner::default(),
            delays: Delays(vec![0; STEPS]),
            next: None,
            packets: 0,
            lost: 0,
        }
    }
}

impl Seen {
    /// Takes in bytes of any split.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let now = now();
        let Self {
            aligner,
            delays,
            next,
            packets,
            lost,
        } = self;
        aligner.push(bytes, |packet| {
            let Some((number, made)) = read(packet) else {
                return;
            };
            *packets += 1;
            *lost += next.map_or(0, |next| number.saturating_sub(next));
            *next = Some(number + 1);
            delays.add(now.saturating_sub(made));
        });
    }

    /// Counts from here on.
    pub(crate) fn forget(&mut self) {
        self.delays.0.fill(0);
        (self.packets, self.lost) = (0, 0);
    }

    /// The delay that this share of all packets stayed within, in ms.
    pub(crate) fn delay(&self, share: f64) -> Option<f64> {
        self.delays.within(share)
    }
}

/// How many packets took how long.
#[derive(Debug)]
struct Delays(Vec<u32>);

impl Delays {
    fn add(&mut self, micros: u64) {
        let step = usize::try_from(micros / STEP).unwrap_or(STEPS);
        self.0[step.min(STEPS - 1)] += 1;
    }

    fn within(&self, share: f64) -> Option<f64> {
        let all: u64 = self.0.iter().map(|&count| u64::from(count)).sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut passed = 0;
        let step = self.0.iter().position(|&count| {
            passed += u64::from(count);
            passed > 0 && passed >= wanted
        })?;
        Some((step as f64 + 0.5) * STEP as f64 / 1e3)
    }
}
