// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Transport streams as the tests see them: a second, plain reading of ISO/IEC 13818-1 that shares
//! no code with the crate's own, so that one can judge the other.

use std::collections::HashMap;

/// Bytes of a packet.
pub(crate) const PACKET: usize = 188;

/// A whole stream with what its packets say.
#[derive(Debug)]
pub(crate) struct Transport<'a> {
    bytes: &'a [u8],
    pmt: u16,
    video: u16,
}

/// How an output relates to an input.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Offset in the input of the first byte of the output after the preamble.
    pub(crate) start: usize,
}

fn pid(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff
}

fn starts_unit(packet: &[u8]) -> bool {
    packet[1] & 0x40 != 0
}

fn is_random_access(packet: &[u8]) -> bool {
    packet[3] & 0x20 != 0 && packet[4] > 0 && packet[5] & 0x40 != 0
}

/// The program clock reference in units of 27 MHz, where the packet has one (§2.4.3.5).
fn pcr(packet: &[u8]) -> Option<u64> {
    if packet[3] & 0x20 == 0 || packet[4] < 7 || packet[5] & 0x10 == 0 {
        return None;
    }
    let base = packet[6..10]
        .iter()
        .fold(0, |base, byte| base << 8 | u64::from(*byte))
        << 1
        | u64::from(packet[10] >> 7);
    let extension = u64::from(packet[10] & 1) << 8 | u64::from(packet[11]);
    Some(base * 300 + extension)
}

/// The section in a packet that starts one, after the pointer field.
fn section(packet: &[u8]) -> &[u8] {
    let adaptation = if packet[3] & 0x20 != 0 {
        1 + usize::from(packet[4])
    } else {
        0
    };
    let payload = &packet[4 + adaptation..];
    &payload[1 + usize::from(payload[0])..]
}

impl<'a> Transport<'a> {
    /// Reads the first PAT and PMT; the stream has one programme, and H.264 video in it.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        assert!(!bytes.is_empty() && bytes.len().is_multiple_of(PACKET));
        let packets = || bytes.chunks_exact(PACKET);
        assert!(packets().all(|packet| packet[0] == 0x47), "lost sync");
        let pat = section(packets().find(|packet| pid(packet) == 0).expect("a PAT"));
        let pmt = u16::from_be_bytes([pat[10], pat[11]]) & 0x1fff;
        let table = section(packets().find(|packet| pid(packet) == pmt).expect("a PMT"));
        let length = usize::from(u16::from_be_bytes([table[1], table[2]]) & 0xfff);
        let mut at = 12 + usize::from(u16::from_be_bytes([table[10], table[11]]) & 0xfff);
        let mut video = None;
        while at + 5 <= 3 + length - 4 {
            if table[at] == 0x1b && video.is_none() {
                video = Some(u16::from_be_bytes([table[at + 1], table[at + 2]]) & 0x1fff);
            }
            at += 5 + usize::from(u16::from_be_bytes([table[at + 3], table[at + 4]]) & 0xfff);
        }
        Self {
            bytes,
            pmt,
            video: video.expect("a video stream"),
        }
    }

    fn packets(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        self.bytes
            .chunks_exact(PACKET)
            .enumerate()
            .map(|(number, packet)| (number * PACKET, packet))
    }

    /// Offsets of the packets where a decoder can start.
    pub(crate) fn random_access_points(&self) -> Vec<usize> {
        self.packets()
            .filter(|(_, packet)| pid(packet) == self.video && is_random_access(packet))
            .map(|(at, _)| at)
            .collect()
    }

    /// Pictures that begin at `from` or later.
    pub(crate) fn pictures(&self, from: usize) -> usize {
        self.packets()
            .filter(|(at, packet)| *at >= from && pid(packet) == self.video && starts_unit(packet))
            .count()
    }

    /// Time from the first clock reference to the last, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        let mut clocks = self.packets().filter_map(|(_, packet)| pcr(packet));
        let first = clocks.next().expect("a PCR");
        let last = clocks.last().expect("a second PCR");
        (last - first) as f64 / 27e6
    }

    /// Offset of the first packet whose clock reference is `seconds` after the first.
    pub(crate) fn offset_at(&self, seconds: f64) -> usize {
        let mut first = None;
        self.packets()
            .find(|(_, packet)| {
                pcr(packet).is_some_and(|clock| {
                    let first = *first.get_or_insert(clock);
                    (clock - first) as f64 / 27e6 >= seconds
                })
            })
            .map_or(self.bytes.len(), |(at, _)| at)
    }

    /// Where in this stream `output` starts: it must be PAT and PMT, and then this stream from one of
    /// its random access points on, byte for byte, to its end (`whole`) or to somewhere.
    pub(crate) fn joined_by(&self, output: &[u8], whole: bool) -> Joined {
        let preamble = self.preamble_len(output);
        let payload = &output[preamble..];
        for start in self.random_access_points() {
            let input = &self.bytes[start..];
            let fits = if whole {
                payload == input
            } else {
                input.starts_with(payload)
            };
            if fits {
                return Joined { start };
            }
        }
        // Say where it goes wrong, from the likeliest start.
        let probe = &payload[..payload.len().min(PACKET * 4)];
        let start = self.bytes.windows(probe.len()).position(|w| w == probe);
        let same = start.map(|start| {
            let pairs = self.bytes[start..].iter().zip(payload);
            pairs.take_while(|(a, b)| a == b).count()
        });
        panic!(
            "{} bytes after a preamble of {preamble}, found in the input ({} bytes, random access \
             at {:?}) at {start:?}, there equal for {same:?} bytes",
            payload.len(),
            self.bytes.len(),
            self.random_access_points(),
        );
    }

    /// The share of this stream, from where `output` begins to the end, that is in `output`. Every
    /// packet of it must be one of this stream's, in the stream's order and at most once, but for the
    /// PAT and PMT that come first and after a hole.
    pub(crate) fn continuity(&self, output: &[u8]) -> f64 {
        assert!(output.len().is_multiple_of(PACKET), "a broken packet");
        let mut places = HashMap::<_, Vec<_>>::new();
        for (at, packet) in self.packets() {
            places.entry(packet).or_default().push(at / PACKET);
        }
        let (mut first, mut next, mut delivered) = (None, 0, 0);
        for (number, packet) in output.chunks_exact(PACKET).enumerate() {
            let later = |places: &Vec<_>| places.iter().find(|place| **place >= next).copied();
            let is_table = [0, self.pmt].contains(&pid(packet));
            match places.get(packet).and_then(later) {
                // A preamble's table may be one that comes again much later.
                Some(place) if !is_table || place == next => {
                    if first.is_some() && place > next {
                        println!("a hole of {} packets at {next}", place - next);
                    }
                    first.get_or_insert(place);
                    delivered += 1;
                    next = place + 1;
                }
                _ => assert!(is_table, "packet {number} is none of those due"),
            }
        }
        let due = self.bytes.len() / PACKET - first.expect("a packet of the stream");
        delivered as f64 / due as f64
    }

    /// Length of the PAT and PMT that `output` begins with. They are the stream's own, but for the
    /// continuity counter.
    fn preamble_len(&self, output: &[u8]) -> usize {
        let own = |wanted: u16| {
            let (_, packet) = self
                .packets()
                .find(|(_, packet)| pid(packet) == wanted)
                .unwrap();
            packet
        };
        for (number, table) in [0, self.pmt].into_iter().enumerate() {
            let packet = output
                .get(number * PACKET..(number + 1) * PACKET)
                .expect("two packets of preamble");
            assert_eq!(pid(packet), table, "PAT and PMT first");
            assert_eq!(packet[3] & 0xf0, own(table)[3] & 0xf0);
            assert_eq!(packet[4..], own(table)[4..], "the stream's own tables");
        }
        2 * PACKET
    }
}
