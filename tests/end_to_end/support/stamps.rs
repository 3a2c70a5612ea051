// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The same stream at another time of its clock (ISO/IEC 13818-1 §2.4.3.5, §2.4.3.7).

use super::transport::PACKET;

/// Where clock references and timestamps begin again at 0, in ticks of 90 kHz.
pub(crate) const MODULUS: u64 = 1 << 33;

/// The 33 bits of a clock reference's base.
fn reference(packet: &[u8]) -> Option<u64> {
    let there = packet[3] & 0x20 != 0 && packet[4] >= 7 && packet[5] & 0x10 != 0;
    there.then(|| {
        let high = u32::from_be_bytes([packet[6], packet[7], packet[8], packet[9]]);
        u64::from(high) << 1 | u64::from(packet[10] >> 7)
    })
}

fn set_reference(packet: &mut [u8], base: u64) {
    packet[6..10].copy_from_slice(&((base >> 1) as u32).to_be_bytes());
    packet[10] = packet[10] & 0x7f | ((base & 1) as u8) << 7;
}

/// The 33 bits of a PTS or DTS, in five bytes with markers between.
fn stamp(bytes: &[u8]) -> u64 {
    u64::from(bytes[0] >> 1 & 7) << 30
        | u64::from(bytes[1]) << 22
        | u64::from(bytes[2] >> 1) << 15
        | u64::from(bytes[3]) << 7
        | u64::from(bytes[4] >> 1)
}

fn set_stamp(bytes: &mut [u8], ticks: u64) {
    bytes[0] = bytes[0] & 0xf1 | ((ticks >> 30) as u8 & 7) << 1;
    bytes[1] = (ticks >> 22) as u8;
    bytes[2] = ((ticks >> 15) as u8) << 1 | 1;
    bytes[3] = (ticks >> 7) as u8;
    bytes[4] = (ticks as u8) << 1 | 1;
}

/// Moves the timestamps of the PES packet that begins in `packet`, if one with any does.
fn move_stamps(packet: &mut [u8], by: u64) {
    let adaptation = if packet[3] & 0x20 != 0 {
        1 + usize::from(packet[4])
    } else {
        0
    };
    let begins = packet[1] & 0x40 != 0 && packet[3] & 0x10 != 0;
    let Some(pes) = packet.get_mut(4 + adaptation..).filter(|_| begins) else {
        return;
    };
    // Sections have a pointer field here. Of PES only video and audio have what follows.
    let is_media = pes.len() > 19 && pes.starts_with(&[0, 0, 1]) && pes[3] >= 0xc0;
    let count = if is_media { pes[7] >> 6 } else { 0 };
    for place in [9, 14]
        .into_iter()
        .take(usize::from(count.saturating_sub(1)))
    {
        let moved = (stamp(&pes[place..]) + by) % MODULUS;
        set_stamp(&mut pes[place..place + 5], moved);
    }
}

/// `stream` with its clock moved so that it wraps `seconds` after its first reference.
pub(crate) fn wrapping_after(stream: &[u8], seconds: u64) -> Vec<u8> {
    let mut bytes = stream.to_vec();
    let first = stream.chunks_exact(PACKET).find_map(reference);
    let by = 2 * MODULUS - seconds * 90_000 - first.expect("a clock reference");
    for packet in bytes.chunks_exact_mut(PACKET) {
        if let Some(base) = reference(packet) {
            set_reference(packet, (base + by) % MODULUS);
        }
        move_stamps(packet, by);
    }
    bytes
}

/// How often the clock wraps.
pub(crate) fn wraps(stream: &[u8]) -> usize {
    let references: Vec<_> = stream.chunks_exact(PACKET).filter_map(reference).collect();
    references
        .windows(2)
        .filter(|pair| pair[1] < pair[0])
        .count()
}
