// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The transport packet (ISO/IEC 13818-1 §2.4.3) and finding it in a byte stream.

/// Bytes of a packet.
pub const PACKET_LEN: usize = 188;

/// First byte of every packet.
pub const SYNC_BYTE: u8 = 0x47;

/// Sync bytes in a row, a packet apart, that end a search: what 0x47 inside of payload shows by
/// chance once in 10¹² places.
const SYNC_RUN: usize = 5;

/// Bytes from the first to the last sync byte of such a run.
const SYNC_SPAN: usize = (SYNC_RUN - 1) * PACKET_LEN + 1;

/// Bytes held at most while searching; a few spans, so that they seldom move.
const MAX_HELD: usize = 4 * SYNC_SPAN;

/// One packet, sync byte included.
pub type Packet = [u8; PACKET_LEN];

/// The fields of a packet (§2.4.3.2 … §2.4.3.5). Reads nothing past the lengths that it tells.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a>(&'a Packet);

impl<'a> Header<'a> {
    /// Of this packet.
    #[must_use]
    pub const fn new(packet: &'a Packet) -> Self {
        Self(packet)
    }

    /// transport_error_indicator: some bit of it is wrong, perhaps one of the PID.
    #[must_use]
    pub const fn transport_error(self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// payload_unit_start_indicator: a PES packet or a section begins here.
    #[must_use]
    pub const fn payload_unit_start(self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// The packet identifier, 13 bits.
    #[must_use]
    pub const fn pid(self) -> u16 {
        u16::from_be_bytes([self.0[1] & 0x1f, self.0[2]])
    }

    /// Whether the payload is scrambled; header and adaptation field never are.
    #[must_use]
    pub const fn scrambled(self) -> bool {
        self.0[3] & 0xc0 != 0
    }

    /// continuity_counter, 4 bits.
    #[must_use]
    pub const fn continuity_counter(self) -> u8 {
        self.0[3] & 0x0f
    }

    /// The adaptation field from its flags on; empty where there is none or its length is wrong.
    #[must_use]
    pub fn adaptation_field(self) -> &'a [u8] {
        if self.0[3] & 0x20 == 0 {
            return &[];
        }
        let len = usize::from(self.0[4]);
        self.0.get(5..5 + len).unwrap_or_default()
    }

    /// The payload; empty where there is none or the adaptation field's length is wrong.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        let start = match self.0[3] & 0x30 {
            0x10 => 4,
            0x30 => 5 + usize::from(self.0[4]),
            _ => return &[],
        };
        self.0.get(start..).unwrap_or_default()
    }

    fn adaptation_flag(self, mask: u8) -> bool {
        self.adaptation_field()
            .first()
            .is_some_and(|flags| flags & mask != 0)
    }

    /// discontinuity_indicator.
    #[must_use]
    pub fn discontinuity(self) -> bool {
        self.adaptation_flag(0x80)
    }

    /// random_access_indicator.
    #[must_use]
    pub fn random_access(self) -> bool {
        self.adaptation_flag(0x40)
    }

    /// The program clock reference in ticks of 27 MHz, below 2³³ · 300.
    #[must_use]
    pub fn pcr(self) -> Option<u64> {
        let field = self.adaptation_field();
        if field.first()? & 0x10 == 0 {
            return None;
        }
        let [b0, b1, b2, b3, b4, b5] = *field.get(1..)?.first_chunk()?;
        let base = u64::from(u32::from_be_bytes([b0, b1, b2, b3])) << 1 | u64::from(b4 >> 7);
        let extension = u64::from(u16::from_be_bytes([b4 & 1, b5]));
        Some(base * 300 + extension.min(299))
    }
}

/// Makes packets of bytes in any split; after garbage it finds the sync bytes again.
///
/// It takes the first byte for the start of a packet. Where a packet should start and no sync byte
/// stands, it drops bytes until sync bytes stand a packet apart in a row of five. What it
/// hands out depends on the bytes alone, never on how they were split.
#[derive(Debug, Default)]
pub struct Aligner {
    /// The start of a packet, or what the search has not judged yet.
    held: Vec<u8>,
    searching: bool,
    garbage: u64,
}

impl Aligner {
    /// Takes in bytes and hands every whole packet to `each`, in order.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&Packet)) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = if self.searching {
                self.search(rest, &mut each)
            } else if self.held.is_empty() {
                self.pass(rest, &mut each)
            } else {
                self.complete(rest, &mut each)
            };
        }
    }

    /// Forgets a packet that is not whole yet (flush, discontinuity).
    pub fn reset(&mut self) {
        self.garbage += self.held.len() as u64;
        self.held.clear();
        self.searching = false;
    }

    /// Bytes dropped because they belonged to no packet, so far.
    #[must_use]
    pub const fn garbage(&self) -> u64 {
        self.garbage
    }

    /// Packets straight from the input, nothing copied; returns what is left of it.
    fn pass<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(&Packet)) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((packet, tail)) = rest.split_first_chunk::<PACKET_LEN>() {
            if packet[0] != SYNC_BYTE {
                self.searching = true;
                return rest;
            }
            each(packet);
            rest = tail;
        }
        self.held.extend_from_slice(rest);
        &[]
    }

    /// Makes the held start of a packet whole; returns what is left of the input.
    fn complete<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(&Packet)) -> &'a [u8] {
        let missing = PACKET_LEN.saturating_sub(self.held.len());
        let (head, tail) = bytes.split_at(missing.min(bytes.len()));
        self.held.extend_from_slice(head);
        if let Some(packet) = self.held.first_chunk::<PACKET_LEN>() {
            if packet[0] == SYNC_BYTE {
                each(packet);
                self.held.clear();
            } else {
                self.searching = true;
            }
        }
        tail
    }

    /// Looks for the next run of sync bytes; returns what is left of the input.
    fn search<'a>(&mut self, bytes: &'a [u8], each: &mut impl FnMut(&Packet)) -> &'a [u8] {
        let room = MAX_HELD.saturating_sub(self.held.len());
        let (head, tail) = bytes.split_at(room.min(bytes.len()));
        self.held.extend_from_slice(head);
        while self.searching {
            let judged = (self.held.len() + 1).saturating_sub(SYNC_SPAN);
            let run = (0..judged).find(|&start| {
                (self.held[start..].iter().step_by(PACKET_LEN))
                    .take(SYNC_RUN)
                    .all(|&byte| byte == SYNC_BYTE)
            });
            let dropped = run.unwrap_or(judged);
            self.garbage += dropped as u64;
            self.held.drain(..dropped);
            if run.is_none() {
                break;
            }
            self.searching = false;
            self.hand_out_held(each);
        }
        tail
    }

    /// Hands out whole packets of what is held, up to one without a sync byte.
    fn hand_out_held(&mut self, each: &mut impl FnMut(&Packet)) {
        let mut done = 0;
        while let Some(packet) = self.held[done..].first_chunk::<PACKET_LEN>() {
            if packet[0] != SYNC_BYTE {
                self.searching = true;
                break;
            }
            each(packet);
            done += PACKET_LEN;
        }
        self.held.drain(..done);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mpegts::testing::PacketBuilder;

    fn packets_of(aligner: &mut Aligner, bytes: &[u8]) -> Vec<Packet> {
        let mut packets = Vec::new();
        aligner.push(bytes, |packet| packets.push(*packet));
        packets
    }

    fn numbered(count: usize) -> Vec<Packet> {
        (0..count)
            .map(|n| PacketBuilder::new(0x100).payload(&[n as u8; 184]).build())
            .collect()
    }

    #[test]
    fn aligned_packets_pass_at_once() {
        let packets = numbered(3);
        let mut aligner = Aligner::default();
        assert_eq!(packets_of(&mut aligner, &packets.concat()), packets);
        assert!(aligner.held.is_empty());
        assert_eq!(aligner.garbage(), 0);
    }

    #[test]
    fn garbage_in_the_middle_is_dropped_and_the_packets_after_it_are_found() {
        let packets = numbered(12);
        let garbage = [0x11; 333];
        let bytes = [&packets[..4].concat()[..], &garbage, &packets[4..].concat()].concat();
        let mut aligner = Aligner::default();
        assert_eq!(packets_of(&mut aligner, &bytes), packets);
        assert_eq!(aligner.garbage(), 333);
    }

    #[test]
    fn a_lone_sync_byte_in_garbage_is_no_packet() {
        let packets = numbered(8);
        let mut garbage = [0x11; 400];
        garbage[7] = SYNC_BYTE;
        garbage[7 + PACKET_LEN] = SYNC_BYTE;
        let mut aligner = Aligner::default();
        let found = packets_of(&mut aligner, &[&garbage[..], &packets.concat()].concat());
        assert_eq!(found, packets);
    }

    #[test]
    fn a_packet_with_a_broken_sync_byte_is_lost_alone() {
        let mut packets = numbered(10);
        packets[3][0] = 0;
        let mut aligner = Aligner::default();
        let found = packets_of(&mut aligner, &packets.concat());
        packets.remove(3);
        assert_eq!(found, packets);
        assert_eq!(aligner.garbage(), PACKET_LEN as u64);
    }

    #[test]
    fn endless_garbage_takes_no_memory() {
        let mut aligner = Aligner::default();
        for _ in 0..100 {
            assert!(packets_of(&mut aligner, &[0x22; 5000]).is_empty());
            assert!(aligner.held.len() <= MAX_HELD);
        }
        assert!(aligner.garbage() > 499_000 - MAX_HELD as u64);
    }

    #[test]
    fn a_reset_forgets_the_packet_that_is_not_whole() {
        let packets = numbered(2);
        let mut aligner = Aligner::default();
        assert!(packets_of(&mut aligner, &packets[0][..100]).is_empty());
        aligner.reset();
        assert_eq!(packets_of(&mut aligner, &packets[1]), [packets[1]]);
        assert_eq!(aligner.garbage(), 100);
    }

    #[test]
    fn the_fields_are_where_the_standard_says() {
        let packet = PacketBuilder::new(0x1abc)
            .unit_start()
            .continuity(7)
            .random_access()
            .pcr((1 << 33) * 300 - 1)
            .payload(b"hello")
            .build();
        let header = Header::new(&packet);
        assert_eq!(header.pid(), 0x1abc);
        assert_eq!(header.continuity_counter(), 7);
        assert!(header.payload_unit_start() && header.random_access());
        assert!(!header.discontinuity() && !header.transport_error() && !header.scrambled());
        assert_eq!(header.pcr(), Some((1 << 33) * 300 - 1));
        assert_eq!(header.payload(), b"hello");
    }

    #[test]
    fn an_adaptation_field_past_the_end_of_the_packet_is_none() {
        let mut packet = PacketBuilder::new(1).random_access().build();
        packet[4] = 184;
        assert!(Header::new(&packet).adaptation_field().is_empty());
        assert!(!Header::new(&packet).random_access());
        assert!(Header::new(&packet).payload().is_empty());
    }

    #[test]
    fn a_clock_reference_that_does_not_fit_its_field_is_none() {
        let mut packet = PacketBuilder::new(1).pcr(5).payload(&[0; 100]).build();
        packet[4] = 6;
        assert_eq!(Header::new(&packet).pcr(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_split_gives_the_same_packets(
            parts in proptest::collection::vec((0_usize..12, 0_usize..400, any::<u8>()), 1..5),
            cuts in proptest::collection::vec(1_usize..700, 1..40),
        ) {
            let mut bytes = Vec::new();
            for (count, garbage, fill) in parts {
                bytes.extend(numbered(count).concat());
                bytes.extend(std::iter::repeat_n(fill, garbage));
            }
            let mut whole = Aligner::default();
            let expected = packets_of(&mut whole, &bytes);
            let mut split = Aligner::default();
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                found.extend(packets_of(&mut split, head));
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(split.garbage(), whole.garbage());
        }

        #[test]
        fn no_packet_makes_the_accessors_read_past_it(bytes in proptest::array::uniform32(any::<u8>())) {
            let mut packet = [0xff; PACKET_LEN];
            packet[..32].copy_from_slice(&bytes);
            let header = Header::new(&packet);
            prop_assert!(header.adaptation_field().len() + header.payload().len() <= 184);
            prop_assert!(header.pcr().is_none_or(|pcr| pcr < (1 << 33) * 300));
        }
    }
}
