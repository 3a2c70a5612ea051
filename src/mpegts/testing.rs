// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Hand-built packets and tables for the tests of this crate.

use super::{
    packet::{PACKET_LEN, Packet, SYNC_BYTE},
    psi::crc32,
};

/// Builds one packet; what the payload does not fill is stuffed as the standard says.
#[derive(Debug, Clone)]
pub(crate) struct PacketBuilder {
    pid: u16,
    unit_start: bool,
    continuity: u8,
    flags: u8,
    adaptation: bool,
    pcr: Option<u64>,
    payload: Vec<u8>,
}

impl PacketBuilder {
    pub(crate) fn new(pid: u16) -> Self {
        Self {
            pid,
            unit_start: false,
            continuity: 0,
            flags: 0,
            adaptation: false,
            pcr: None,
            payload: Vec::new(),
        }
    }

    pub(crate) fn unit_start(mut self) -> Self {
        self.unit_start = true;
        self
    }

    pub(crate) fn continuity(mut self, counter: u8) -> Self {
        self.continuity = counter & 0x0f;
        self
    }

    pub(crate) fn random_access(mut self) -> Self {
        self.flags |= 0x40;
        self.adaptation = true;
        self
    }

    pub(crate) fn discontinuity(mut self) -> Self {
        self.flags |= 0x80;
        self.adaptation = true;
        self
    }

    pub(crate) fn pcr(mut self, ticks: u64) -> Self {
        self.flags |= 0x10;
        self.adaptation = true;
        self.pcr = Some(ticks);
        self
    }

    pub(crate) fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    pub(crate) fn build(self) -> Packet {
        let mut packet = [0xff; PACKET_LEN];
        packet[0] = SYNC_BYTE;
        packet[1..3].copy_from_slice(&self.pid.to_be_bytes());
        packet[1] |= u8::from(self.unit_start) << 6;
        let start = PACKET_LEN - self.payload.len();
        let adaptation = self.adaptation || start > 4;
        packet[3] =
            u8::from(adaptation) << 5 | u8::from(!self.payload.is_empty()) << 4 | self.continuity;
        if adaptation {
            packet[4] = u8::try_from(start - 5).expect("the payload leaves room for the field");
            if start > 5 {
                packet[5] = self.flags;
            }
            if let Some(ticks) = self.pcr {
                let (base, extension) = (ticks / 300, ticks % 300);
                let field = base << 15 | 0x3f << 9 | extension;
                packet[6..12].copy_from_slice(&field.to_be_bytes()[2..]);
            }
        }
        packet[start..].copy_from_slice(&self.payload);
        packet
    }
}

/// A section in long form with its CRC.
pub(crate) fn section(table_id: u8, id: u16, version: u8, current: bool, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len() + 9).expect("test tables are small");
    let mut bytes = vec![table_id];
    bytes.extend((0xb000 | length).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend([0xc0 | version << 1 | u8::from(current), 0, 0]);
    bytes.extend(body);
    bytes.extend(crc32(&bytes).to_be_bytes());
    bytes
}

/// A PAT of (program number, PMT PID).
pub(crate) fn pat(version: u8, programs: &[(u16, u16)]) -> Vec<u8> {
    let body: Vec<u8> = (programs.iter())
        .flat_map(|(number, pid)| [number.to_be_bytes(), (0xe000 | pid).to_be_bytes()].concat())
        .collect();
    section(0, 1, version, true, &body)
}

/// A PMT of (stream type, PID, descriptors).
pub(crate) fn pmt(
    program: u16,
    version: u8,
    pcr_pid: u16,
    streams: &[(u8, u16, &[u8])],
) -> Vec<u8> {
    let mut body = (0xe000 | pcr_pid).to_be_bytes().to_vec();
    body.extend([0xf0, 0]);
    for (stream_type, pid, descriptors) in streams {
        body.push(*stream_type);
        body.extend((0xe000 | pid).to_be_bytes());
        body.extend((0xf000 | descriptors.len() as u16).to_be_bytes());
        body.extend(*descriptors);
    }
    section(2, program, version, true, &body)
}

/// The packets of a section that begins a packet, continuity counters from `continuity` on.
pub(crate) fn packets(pid: u16, continuity: u8, section: &[u8]) -> Vec<Packet> {
    let mut bytes = vec![0];
    bytes.extend(section);
    bytes.resize(bytes.len().next_multiple_of(184), 0xff);
    let mut packets = Vec::new();
    for (n, payload) in bytes.chunks(184).enumerate() {
        let mut packet = PacketBuilder::new(pid)
            .continuity(continuity + n as u8)
            .payload(payload);
        if n == 0 {
            packet = packet.unit_start();
        }
        packets.push(packet.build());
    }
    packets
}
