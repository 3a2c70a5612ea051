// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Program specific information: PAT and PMT (ISO/IEC 13818-1 §2.4.4).

use super::packet::{Header, Packet};

/// PID of the program association table.
pub const PAT_PID: u16 = 0;

/// Programs of a PAT that are looked at; a multiplex of more is cut by the first ones.
pub const MAX_PROGRAMS: usize = 64;

/// Longest section of any table; PAT and PMT have at most 1024 bytes (§2.4.4.5, §2.4.4.10).
const MAX_SECTION: usize = 4096;

/// Longest PAT or PMT section.
const MAX_TABLE: usize = 1024;

/// Most packets that a section is collected from; 23 hold the longest when none is stuffed.
const MAX_SECTION_PACKETS: usize = 32;

/// CRC-32/MPEG-2 (Annex A): over a section with its CRC it is 0.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc, _| {
            crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 }
        })
    })
}

/// A whole section of a PAT or PMT whose CRC is right (§2.4.4.3, §2.4.4.8).
#[derive(Debug, Clone, Copy)]
struct Section<'a> {
    table_id: u8,
    /// transport_stream_id or program_number.
    id: u16,
    /// Valid now, not only later.
    current: bool,
    number: u8,
    body: &'a [u8],
    crc: u32,
}

impl<'a> Section<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<8>()?;
        let (body, crc) = rest.split_last_chunk::<4>()?;
        let long_form = head[1] & 0x80 != 0;
        (long_form && bytes.len() <= MAX_TABLE && crc32(bytes) == 0).then_some(Self {
            table_id: head[0],
            id: u16::from_be_bytes([head[3], head[4]]),
            current: head[5] & 1 != 0,
            number: head[6],
            body,
            crc: u32::from_be_bytes(*crc),
        })
    }
}

/// Puts the sections of one PID together and keeps the packets that they came in.
#[derive(Debug, Default)]
struct Assembler {
    section: Vec<u8>,
    packets: Vec<u8>,
    open: bool,
    continuity: Option<u8>,
}

impl Assembler {
    /// Takes in the next packet of the PID; hands each section that it ends to `each`, with its packets.
    fn push(&mut self, packet: &Packet, mut each: impl FnMut(Section<'_>, &[u8])) {
        let header = Header::new(packet);
        let (start, mut rest) = (header.payload_unit_start(), header.payload());
        if rest.is_empty() || header.scrambled() {
            return;
        }
        let counter = header.continuity_counter();
        let before = self.continuity.replace(counter);
        // A packet may be sent twice (§2.4.3.3). One that begins a section may be taken twice, and
        // must be where a multiplexer leaves the counter at zero.
        if before == Some(counter) && !start {
            return;
        }
        self.open &= before.is_some_and(|before| (before + 1) & 0x0f == counter);
        if start {
            let pointer = usize::from(rest[0]);
            let Some((tail, sections)) = rest[1..].split_at_checked(pointer) else {
                self.open = false;
                return;
            };
            self.extend(packet, tail, &mut each);
            self.open = false;
            rest = sections;
            // What follows the last section of a packet is filled with 0xff (§2.4.4.1).
            while rest.first().is_some_and(|&table_id| table_id != 0xff) {
                self.section.clear();
                self.packets.clear();
                self.open = true;
                rest = self.extend(packet, rest, &mut each);
            }
        } else {
            self.extend(packet, rest, &mut each);
        }
    }

    /// Adds to the open section what belongs to it; returns the rest.
    fn extend<'a>(
        &mut self,
        packet: &Packet,
        bytes: &'a [u8],
        each: &mut impl FnMut(Section<'_>, &[u8]),
    ) -> &'a [u8] {
        if !self.open {
            return &[];
        }
        if self.packets.len() == MAX_SECTION_PACKETS * packet.len() {
            self.open = false;
            return &[];
        }
        self.packets.extend_from_slice(packet);
        let rest = self.fill_to(3, bytes);
        let &[_, high, low, ..] = &self.section[..] else {
            return &[];
        };
        let whole = 3 + usize::from(u16::from_be_bytes([high & 0x0f, low]));
        if whole > MAX_SECTION {
            self.open = false;
            return &[];
        }
        let rest = self.fill_to(whole, rest);
        if self.section.len() == whole {
            self.open = false;
            if let Some(section) = Section::parse(&self.section) {
                each(section, &self.packets);
            }
        }
        rest
    }

    /// Lets the section grow to `len` bytes; returns what was not needed.
    fn fill_to<'a>(&mut self, len: usize, bytes: &'a [u8]) -> &'a [u8] {
        let missing = len.saturating_sub(self.section.len());
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.section.extend_from_slice(head);
        rest
    }

    fn reset(&mut self) {
        self.open = false;
        self.continuity = None;
    }
}

/// A table as it was received last.
#[derive(Debug, Default)]
struct Table<T> {
    assembler: Assembler,
    packets: Vec<u8>,
    /// The last version's CRC and content. The CRC covers the version number, so another one is another table.
    current: Option<(u32, T)>,
}

/// What a packet did to a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Update {
    /// Nothing.
    None,
    /// The same table came again, in other packets.
    Repeated,
    /// A new version came.
    Changed,
}

impl<T> Table<T> {
    /// Takes in a packet of the table's PID. Only a section that is valid now counts
    /// (current_next_indicator), of this id where one is given; `parse` makes the content of its body.
    fn push(
        &mut self,
        packet: &Packet,
        table_id: u8,
        id: Option<u16>,
        parse: impl Fn(&[u8]) -> Option<T>,
    ) -> Update {
        let Self {
            assembler,
            packets,
            current,
        } = self;
        let mut update = Update::None;
        assembler.push(packet, |section, came_in| {
            let ours = section.table_id == table_id && id.is_none_or(|id| id == section.id);
            // A PMT is always one section; of a PAT that is more, the first has the first programs.
            if !ours || !section.current || section.number != 0 {
                return;
            }
            if current.as_ref().is_none_or(|(crc, _)| *crc != section.crc) {
                let Some(content) = parse(section.body) else {
                    return;
                };
                *current = Some((section.crc, content));
                update = Update::Changed;
            }
            packets.clear();
            packets.extend_from_slice(came_in);
            update = update.max(Update::Repeated);
        });
        update
    }

    fn content(&self) -> Option<&T> {
        self.current.as_ref().map(|(_, content)| content)
    }
}

/// What an elementary stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Moving pictures.
    Video,
    /// Sound.
    Audio,
    /// Anything else: subtitles, data, or unknown.
    Other,
}

/// An elementary stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Its packet identifier.
    pub pid: u16,
    /// What it carries.
    pub kind: StreamKind,
}

/// A program map table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pmt {
    /// The PID of the program's clock references; 0x1fff: none.
    pub pcr_pid: u16,
    /// Its elementary streams, in the table's order.
    pub streams: Vec<Stream>,
}

impl Pmt {
    /// The stream where a decoder starts: the first with video, else the first with audio.
    #[must_use]
    pub fn leading_stream(&self) -> Option<Stream> {
        let first = |kind| self.streams.iter().find(|stream| stream.kind == kind);
        first(StreamKind::Video)
            .or_else(|| first(StreamKind::Audio))
            .copied()
    }

    /// Reads the body of a TS_program_map_section (§2.4.4.8).
    fn parse(body: &[u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<4>()?;
        let (program_descriptors, mut rest) = split_len12(rest, [head[2], head[3]])?;
        let mut streams = Vec::new();
        while let Some((head, tail)) = rest.split_first_chunk::<5>() {
            let (descriptors, tail) = split_len12(tail, [head[3], head[4]])?;
            streams.push(Stream {
                pid: pid_of([head[1], head[2]]),
                kind: stream_kind(head[0], descriptors, program_descriptors),
            });
            rest = tail;
        }
        Some(Self {
            pcr_pid: pid_of([head[0], head[1]]),
            streams,
        })
    }
}

const fn pid_of(bytes: [u8; 2]) -> u16 {
    u16::from_be_bytes(bytes) & 0x1fff
}

/// Splits at a length of 12 bits.
fn split_len12(bytes: &[u8], len: [u8; 2]) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::from(u16::from_be_bytes(len) & 0x0fff))
}

/// Tag and content of each descriptor, as far as their lengths are right.
fn descriptors(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[tag, len], tail) = rest.split_first_chunk()?;
        let (content, tail) = tail.split_at_checked(usize::from(len))?;
        rest = tail;
        Some((tag, content))
    })
}

/// Whether a registration_descriptor (§2.6.8) says one of `formats`.
fn registered(descriptor_bytes: &[u8], formats: &[&[u8; 4]]) -> bool {
    descriptors(descriptor_bytes).any(|(tag, content)| {
        tag == 0x05 && (content.first_chunk()).is_some_and(|format| formats.contains(&format))
    })
}

/// What a stream_type stands for (§2.4.4.9, Table 2-34; ATSC A/53, DVB EN 300 468, and what is registered).
fn stream_kind(stream_type: u8, stream: &[u8], program: &[u8]) -> StreamKind {
    match stream_type {
        // MPEG-1, MPEG-2, MPEG-4, H.264 with its SVC and MVC parts, JPEG 2000, HEVC, JPEG XS, VVC, AVS2, AVS, Dirac, VC-1.
        0x01 | 0x02 | 0x10 | 0x1b | 0x1f | 0x20 | 0x21 | 0x24 | 0x25 | 0x32 | 0x33 | 0x42
        | 0xd1 | 0xd2 | 0xea => StreamKind::Video,
        // MPEG-1, MPEG-2, AAC in ADTS, LATM and raw, MPEG-H, AC-3, E-AC-3, DTS.
        0x03 | 0x04 | 0x0f | 0x11 | 0x1c | 0x2d | 0x2e | 0x81 | 0x87 | 0x8a => StreamKind::Audio,
        // LPCM, DTS, TrueHD and their like on discs; without that registration SCTE's cues and subtitles.
        0x80 | 0x82..=0x86 | 0xa1 | 0xa2
            if registered(stream, &[b"HDMV"]) || registered(program, &[b"HDMV"]) =>
        {
            StreamKind::Audio
        }
        0x06 => private_stream_kind(stream),
        _ => StreamKind::Other,
    }
}

/// What private PES data is, by its descriptors.
fn private_stream_kind(stream: &[u8]) -> StreamKind {
    const AUDIO: [&[u8; 4]; 9] = [
        b"Opus", b"AC-3", b"EAC3", b"AC-4", b"DTS1", b"DTS2", b"DTS3", b"mlpa", b"BSSD",
    ];
    if registered(stream, &[b"AV01", b"HEVC", b"VC-1", b"VP09", b"drac"]) {
        return StreamKind::Video;
    }
    let audio = registered(stream, &AUDIO)
        || descriptors(stream).any(|(tag, content)| match tag {
            // AC-3, E-AC-3, DTS, AAC (EN 300 468, Table 12).
            0x6a | 0x7a | 0x7b | 0x7c => true,
            // Extension descriptor: DTS-HD, DTS neural, AC-4; 0x80 is Opus as multiplexers write it.
            0x7f => matches!(content.first(), Some(0x0e | 0x0f | 0x15 | 0x80)),
            _ => false,
        });
    if audio {
        StreamKind::Audio
    } else {
        StreamKind::Other
    }
}

/// Number and PMT PID of each program, without the network's PID (program 0).
fn parse_pat(body: &[u8]) -> Option<Vec<(u16, u16)>> {
    let (entries, rest) = body.as_chunks::<4>();
    let programs = (entries.iter())
        .map(|&[n0, n1, p0, p1]| (u16::from_be_bytes([n0, n1]), pid_of([p0, p1])))
        .filter(|(number, _)| *number != 0)
        .take(MAX_PROGRAMS)
        .collect();
    rest.is_empty().then_some(programs)
}

#[derive(Debug)]
struct Program {
    number: u16,
    pmt_pid: u16,
    pmt: Table<Pmt>,
}

/// The tables of a transport stream, as they stand at the last packet.
///
/// Of several programs the first in the PAT whose PMT has video is the one that counts; without
/// video in any, the first whose PMT came.
#[derive(Debug, Default)]
pub struct Tables {
    pat: Table<Vec<(u16, u16)>>,
    programs: Vec<Program>,
    chosen: Option<usize>,
    preamble: Vec<u8>,
}

impl Tables {
    /// Takes in a packet; whether [`Self::pmt`] is another one now.
    pub fn packet(&mut self, packet: &Packet) -> bool {
        let pid = Header::new(packet).pid();
        if pid == PAT_PID {
            return self.pat_packet(packet);
        }
        let mut update = Update::None;
        for (index, program) in self.programs.iter_mut().enumerate() {
            if program.pmt_pid != pid {
                continue;
            }
            let pushed = program
                .pmt
                .push(packet, 0x02, Some(program.number), Pmt::parse);
            // The repetition of a program that is not shown changes nothing.
            if pushed == Update::Changed || self.chosen == Some(index) {
                update = update.max(pushed);
            }
        }
        self.updated(update)
    }

    /// The PMT of the program that counts, once it came.
    #[must_use]
    pub fn pmt(&self) -> Option<&Pmt> {
        self.programs.get(self.chosen?)?.pmt.content()
    }

    /// The packets of the PAT, then those of the PMT, as they came last; empty before both came.
    #[must_use]
    pub fn preamble(&self) -> &[u8] {
        &self.preamble
    }

    /// Forgets sections that are not whole yet; the tables stay.
    pub fn reset(&mut self) {
        self.pat.assembler.reset();
        for program in &mut self.programs {
            program.pmt.assembler.reset();
        }
    }

    fn pat_packet(&mut self, packet: &Packet) -> bool {
        let update = self.pat.push(packet, 0x00, None, parse_pat);
        if update == Update::Changed {
            let mut old = std::mem::take(&mut self.programs);
            for &(number, pmt_pid) in self.pat.content().into_iter().flatten() {
                let known = old
                    .iter()
                    .position(|program| (program.number, program.pmt_pid) == (number, pmt_pid));
                let program = known.map(|index| old.swap_remove(index));
                self.programs.push(program.unwrap_or_else(|| Program {
                    number,
                    pmt_pid,
                    pmt: Table::default(),
                }));
            }
        }
        self.updated(update)
    }

    fn updated(&mut self, update: Update) -> bool {
        if update == Update::Changed {
            let has = |program: &Program, video: bool| {
                let leading = program.pmt.content().map(Pmt::leading_stream);
                leading.is_some_and(|stream| {
                    !video || stream.is_some_and(|stream| stream.kind == StreamKind::Video)
                })
            };
            let first = |video| self.programs.iter().position(|program| has(program, video));
            self.chosen = first(true).or_else(|| first(false));
        }
        if update > Update::None {
            self.preamble.clear();
            if let Some(program) = self.chosen.and_then(|index| self.programs.get(index)) {
                self.preamble.extend_from_slice(&self.pat.packets);
                self.preamble.extend_from_slice(&program.pmt.packets);
            }
        }
        update == Update::Changed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mpegts::testing::{packets, pat, pmt, section};

    const VIDEO: Stream = Stream {
        pid: 0x100,
        kind: StreamKind::Video,
    };

    fn feed(tables: &mut Tables, packets: &[Packet]) -> bool {
        let mut changed = false;
        for packet in packets {
            changed |= tables.packet(packet);
        }
        changed
    }

    fn leading(tables: &Tables) -> Option<Stream> {
        tables.pmt().and_then(Pmt::leading_stream)
    }

    /// A PMT with so many streams that it takes several packets.
    fn long_pmt() -> Vec<u8> {
        let mut streams: Vec<(u8, u16, &[u8])> = vec![(0x1b, 0x100, &[])];
        streams.extend((0..60).map(|n| (0x06, 0x200 + n, &[0x0a_u8, 4, b'e', b'n', b'g', 0][..])));
        pmt(1, 0, 0x100, &streams)
    }

    #[test]
    fn the_crc_is_that_of_the_catalogue() {
        assert_eq!(crc32(b"123456789"), 0x0376_e6e7);
    }

    #[test]
    fn the_tables_name_the_video_and_are_the_preamble() {
        let mut tables = Tables::default();
        let pat = packets(0, 3, &pat(0, &[(0, 0x10), (1, 0x20)]));
        let pmt = packets(
            0x20,
            9,
            &pmt(1, 0, 0x100, &[(0x0f, 0x101, &[]), (0x1b, 0x100, &[])]),
        );
        assert!(feed(&mut tables, &pat));
        assert!(tables.preamble().is_empty());
        assert!(feed(&mut tables, &pmt));
        assert_eq!(leading(&tables), Some(VIDEO));
        assert_eq!(tables.pmt().map(|pmt| pmt.pcr_pid), Some(0x100));
        assert_eq!(tables.preamble(), [pat, pmt].concat().concat());
    }

    #[test]
    fn a_repetition_changes_nothing_but_the_packets_of_the_preamble() {
        let mut tables = Tables::default();
        let pat = pat(0, &[(1, 0x20)]);
        let pmt = pmt(1, 0, 0x100, &[(0x1b, 0x100, &[])]);
        feed(&mut tables, &packets(0, 0, &pat));
        feed(&mut tables, &packets(0x20, 0, &pmt));
        assert!(!feed(&mut tables, &packets(0, 1, &pat)));
        assert!(!feed(&mut tables, &packets(0x20, 1, &pmt)));
        let newest = [packets(0, 1, &pat), packets(0x20, 1, &pmt)].concat();
        assert_eq!(tables.preamble(), newest.concat());
    }

    #[test]
    fn a_section_over_several_packets_is_put_together() {
        let mut tables = Tables::default();
        feed(&mut tables, &packets(0, 0, &pat(0, &[(1, 0x20)])));
        let packets = packets(0x20, 14, &long_pmt());
        assert!(packets.len() > 2);
        assert!(feed(&mut tables, &packets));
        assert_eq!(tables.pmt().map(|pmt| pmt.streams.len()), Some(61));
        assert_eq!(tables.preamble()[188..], packets.concat());
    }

    #[test]
    fn a_lost_packet_loses_the_section_and_the_next_is_read() {
        let mut tables = Tables::default();
        feed(&mut tables, &packets(0, 0, &pat(0, &[(1, 0x20)])));
        let mut lossy = packets(0x20, 0, &long_pmt());
        lossy.remove(1);
        assert!(!feed(&mut tables, &lossy));
        assert!(feed(&mut tables, &packets(0x20, 5, &long_pmt())));
    }

    #[test]
    fn a_packet_sent_twice_counts_once() {
        let mut tables = Tables::default();
        feed(&mut tables, &packets(0, 0, &pat(0, &[(1, 0x20)])));
        for packet in packets(0x20, 0, &long_pmt()) {
            feed(&mut tables, &[packet, packet]);
        }
        assert_eq!(leading(&tables), Some(VIDEO));
    }

    #[test]
    fn a_section_that_starts_behind_the_end_of_another_is_read() {
        let mut tables = Tables::default();
        feed(
            &mut tables,
            &packets(0, 0, &pat(0, &[(1, 0x20), (2, 0x20)])),
        );
        // Program 2 first; its end and program 1 share a packet.
        let second = pmt(2, 0, 0x300, &[(0x0f, 0x300, &[0x0a; 200])]);
        let first = pmt(1, 0, 0x100, &[(0x1b, 0x100, &[])]);
        let (head, tail) = second.split_at(183);
        let start = packets(0x20, 0, head).remove(0);
        let mut shared = vec![tail.len() as u8];
        shared.extend_from_slice(tail);
        shared.extend_from_slice(&first);
        shared.resize(184, 0xff);
        let shared = crate::mpegts::testing::PacketBuilder::new(0x20)
            .unit_start()
            .continuity(1)
            .payload(&shared)
            .build();
        assert!(feed(&mut tables, &[start, shared]));
        assert_eq!(leading(&tables), Some(VIDEO));
        assert!(
            tables
                .programs
                .iter()
                .all(|program| program.pmt.content().is_some())
        );
        assert_eq!(tables.preamble()[188..], shared);
    }

    #[test]
    fn a_broken_section_and_one_for_later_do_not_count() {
        let mut tables = Tables::default();
        let mut broken = pat(0, &[(1, 0x20)]);
        broken[9] ^= 1;
        assert!(!feed(&mut tables, &packets(0, 0, &broken)));
        let later = section(0, 1, 1, false, &[0, 1, 0xe0, 0x20]);
        assert!(!feed(&mut tables, &packets(0, 1, &later)));
        assert!(tables.programs.is_empty());
    }

    #[test]
    fn a_new_version_replaces_the_old() {
        let mut tables = Tables::default();
        feed(&mut tables, &packets(0, 0, &pat(0, &[(1, 0x20)])));
        feed(
            &mut tables,
            &packets(0x20, 0, &pmt(1, 0, 0x100, &[(0x1b, 0x100, &[])])),
        );
        assert!(feed(
            &mut tables,
            &packets(0x20, 1, &pmt(1, 1, 0x111, &[(0x24, 0x111, &[])]))
        ));
        assert_eq!(leading(&tables).map(|stream| stream.pid), Some(0x111));
        // The PMT moves: nothing can start before it came in its new place.
        assert!(feed(&mut tables, &packets(0, 1, &pat(1, &[(1, 0x21)]))));
        assert_eq!(tables.pmt(), None);
        assert!(tables.preamble().is_empty());
        assert!(feed(
            &mut tables,
            &packets(0x21, 0, &pmt(1, 1, 0x111, &[(0x24, 0x111, &[])]))
        ));
        assert!(!tables.preamble().is_empty());
    }

    #[test]
    fn of_several_programs_the_first_with_video_counts() {
        let mut tables = Tables::default();
        feed(
            &mut tables,
            &packets(0, 0, &pat(0, &[(1, 0x20), (2, 0x21), (3, 0x22)])),
        );
        feed(
            &mut tables,
            &packets(0x20, 0, &pmt(1, 0, 0x50, &[(0x0f, 0x50, &[])])),
        );
        assert_eq!(leading(&tables).map(|stream| stream.pid), Some(0x50));
        feed(
            &mut tables,
            &packets(0x22, 0, &pmt(3, 0, 0x70, &[(0x1b, 0x70, &[])])),
        );
        assert_eq!(leading(&tables).map(|stream| stream.pid), Some(0x70));
        feed(
            &mut tables,
            &packets(0x21, 0, &pmt(2, 0, 0x60, &[(0x02, 0x60, &[])])),
        );
        assert_eq!(leading(&tables).map(|stream| stream.pid), Some(0x60));
    }

    #[test]
    fn private_streams_are_what_their_descriptors_say() {
        let opus = [0x05, 4, b'O', b'p', b'u', b's', 0x7f, 2, 0x80, 2];
        assert_eq!(stream_kind(0x06, &opus, &[]), StreamKind::Audio);
        assert_eq!(stream_kind(0x06, &opus[6..], &[]), StreamKind::Audio);
        assert_eq!(stream_kind(0x06, &[0x6a, 1, 0], &[]), StreamKind::Audio);
        assert_eq!(stream_kind(0x06, b"\x05\x04AV01", &[]), StreamKind::Video);
        assert_eq!(stream_kind(0x06, &[0x59, 0], &[]), StreamKind::Other);
        assert_eq!(stream_kind(0x86, b"\x05\x04CUEI", &[]), StreamKind::Other);
        assert_eq!(stream_kind(0x86, &[], b"\x05\x04HDMV"), StreamKind::Audio);
        assert_eq!(stream_kind(0x06, &[0x6a, 200, 0], &[]), StreamKind::Other);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_bytes_make_it_panic_or_grow(
            payloads in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..40), any::<bool>()), 1..60)
        ) {
            let mut tables = Tables::default();
            feed(&mut tables, &packets(0, 0, &pat(0, &[(1, 0x20)])));
            for (n, (payload, start)) in payloads.iter().enumerate() {
                let mut packet = crate::mpegts::testing::PacketBuilder::new(0x20).continuity(n as u8).payload(payload);
                if *start {
                    packet = packet.unit_start();
                }
                tables.packet(&packet.build());
                let assembler = &tables.programs[0].pmt.assembler;
                prop_assert!(assembler.section.len() <= MAX_SECTION);
                prop_assert!(assembler.packets.len() <= MAX_SECTION_PACKETS * 188);
            }
        }

        #[test]
        fn a_body_of_any_bytes_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let streams = Pmt::parse(&body).map_or(0, |pmt| pmt.streams.len());
            prop_assert!(streams * 5 <= body.len());
            prop_assert!(parse_pat(&body).is_none_or(|programs| programs.len() <= MAX_PROGRAMS));
        }
    }
}
