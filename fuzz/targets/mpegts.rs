// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Transport streams (ISO/IEC 13818-1): any bytes, in parts of any size. The packets do not depend on the
//! parts, every byte is in a packet or counted as garbage, places and headers stay within bounds, and
//! the stream's clock never goes back.

#![no_main]

use std::time::Duration;

use gstlivetorrent::mpegts::{Aligner, Cutter, PACKET_LEN, Packet, StreamClock};
use libfuzzer_sys::fuzz_target;

/// PAT and PMT at their longest: 1 KiB of section each, and a packet's header for each packet.
const LONGEST_PREAMBLE: usize = 16 * PACKET_LEN;

/// The packets, how many bytes belong to none, and how many may still become one.
fn align(bytes: &[u8], part: usize) -> (Vec<Packet>, u64) {
    let mut aligner = Aligner::default();
    let mut packets = Vec::new();
    for bytes in bytes.chunks(part) {
        aligner.push(bytes, |packet| packets.push(*packet));
    }
    aligner.reset();
    (packets, aligner.garbage())
}

fuzz_target!(|input: (u16, &[u8])| {
    let (part, bytes) = input;
    let (packets, garbage) = align(bytes, usize::MAX);
    assert_eq!(packets.len() * PACKET_LEN + garbage as usize, bytes.len());
    assert_eq!(
        align(bytes, usize::from(part).max(1)),
        (packets.clone(), garbage)
    );

    let mut cutter = Cutter::default();
    let mut clock = StreamClock::default();
    let mut last = Duration::ZERO;
    for packet in &packets {
        cutter.packet(packet);
        let preamble = cutter.preamble().len();
        assert!(preamble <= LONGEST_PREAMBLE && preamble % PACKET_LEN == 0);
        if let Some(time) = clock.packet(packet) {
            assert!(time >= last);
            last = time;
        }
    }
    cutter.discontinuity();
});
