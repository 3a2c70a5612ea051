// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What pieces come of which input.

use std::{iter::repeat_n, sync::LazyLock};

use proptest::prelude::*;

use super::*;
use crate::{
    mpegts::{
        Header,
        testing::{PacketBuilder, packets, pat, pmt},
    },
    proto::{
        key::PrivateKey,
        metainfo::Infohash,
        piece::{Verifier, Verify as _},
    },
};

const PIECE_LENGTH: u32 = 4096;
const FLUSH_TIME: Duration = Duration::from_millis(100);
const FRAME: u64 = 27_000_000 / 25;
const VIDEO: u16 = 0x100;

static KEY: LazyLock<PrivateKey> = LazyLock::new(PrivateKey::generate);

fn sealer() -> Sealer {
    Sealer::new(KEY.clone(), Infohash([7; 20]), 1000, 0)
}

fn at(millis: u64) -> Now {
    Now {
        at: Instant::from_micros(millis * 1000),
        wall: 1_700_000_000_000_000 + millis * 1000,
    }
}

fn ts() -> Packager {
    Packager::transport_stream(sealer(), PIECE_LENGTH, FLUSH_TIME, at(0))
}

fn opaque(headers: &[&[u8]]) -> Packager {
    let headers = headers.iter().map(|header| header.to_vec()).collect();
    Packager::opaque(sealer(), PIECE_LENGTH, FLUSH_TIME, headers, at(0))
}

fn payloads(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().flat_map(Piece::payload).collect()
}

fn is(piece: &Piece, flags: Flags) -> bool {
    piece.flags().contains(flags)
}

fn tables(streams: &[(u8, u16, &[u8])]) -> Vec<Packet> {
    let mut tables = packets(0, 0, &pat(0, &[(1, 0x20)]));
    tables.extend(packets(0x20, 0, &pmt(1, 0, VIDEO, streams)));
    tables
}

/// Pictures of so many packets, a key picture every ten, the tables every six.
fn video(sizes: impl IntoIterator<Item = usize>) -> Vec<Packet> {
    let mut stream = Vec::new();
    for (n, size) in sizes.into_iter().enumerate() {
        if n % 6 == 0 {
            stream.extend(tables(&[(0x1b, VIDEO, &[])]));
        }
        let start = PacketBuilder::new(VIDEO).unit_start().pcr(n as u64 * FRAME);
        let start = if n % 10 == 0 {
            start.random_access()
        } else {
            start
        };
        stream.push(start.payload(&[n as u8; 150]).build());
        stream.extend(repeat_n(
            PacketBuilder::new(VIDEO).payload(&[n as u8; 184]).build(),
            size,
        ));
    }
    stream
}

fn check_stream(pieces: &[Piece]) {
    let verifier = Verifier::new(KEY.public_key(), Infohash([7; 20]), PIECE_LENGTH);
    let mut position = 0;
    for (n, piece) in pieces.iter().enumerate() {
        assert!(verifier.piece(piece.bytes().clone()).is_ok());
        assert_eq!(piece.sequence(), 1000 + n as u64);
        assert_eq!(piece.header().position, position);
        assert_eq!(is(piece, Flags::START), n == 0);
        position += piece.header().payload_len();
    }
}

fn check_random_access(piece: &Piece) {
    let (preamble, payload) = (piece.preamble(), piece.payload());
    assert_eq!(is(piece, Flags::RANDOM_ACCESS), !preamble.is_empty());
    if preamble.is_empty() {
        return;
    }
    let pids: Vec<u16> = (preamble.as_chunks().0.iter())
        .map(|packet| Header::new(packet).pid())
        .collect();
    assert_eq!(pids, [0, 0x20]);
    let first = Header::new(payload.first_chunk().unwrap());
    assert!(first.pid() == VIDEO && first.random_access());
}

#[test]
fn packets_come_out_byte_for_byte_and_key_pictures_begin_pieces() {
    let stream = video(repeat_n(12, 40));
    let (mut packager, mut pieces) = (ts(), Vec::new());
    for (n, packet) in stream.iter().enumerate() {
        packager.packet(at(n as u64), packet, &mut pieces);
    }
    packager.end(at(2000), &mut pieces);
    assert_eq!(payloads(&pieces), stream.concat());
    check_stream(&pieces);
    pieces.iter().for_each(check_random_access);
    let keys = pieces
        .iter()
        .filter(|piece| is(piece, Flags::RANDOM_ACCESS));
    assert_eq!(keys.count(), 4);
    let (last, rest) = pieces.split_last().unwrap();
    assert!(is(last, Flags::END) && !rest.iter().any(|piece| is(piece, Flags::END)));
    assert_eq!(packager.bytes_in(), stream.concat().len() as u64);
    assert_eq!(packager.pieces_made(), pieces.len() as u64);
    assert_eq!(
        packager.sealer().next_sequence(),
        1000 + pieces.len() as u64
    );
}

#[test]
fn full_pieces_are_closed_at_once_and_hold_whole_packets() {
    let (mut packager, mut pieces) = (ts(), Vec::new());
    let packet = PacketBuilder::new(0x1fff).payload(&[0; 184]).build();
    for n in 1..=42 {
        packager.packet(at(0), &packet, &mut pieces);
        assert_eq!(pieces.len(), n / 21);
    }
    let lens = pieces.iter().map(|piece| piece.bytes().len());
    assert_eq!(lens.collect::<Vec<_>>(), [96 + 21 * 188; 2]);
}

#[test]
fn a_preamble_that_does_not_fit_is_left_out() {
    let mut packager = Packager::transport_stream(sealer(), 1024, FLUSH_TIME, at(0));
    let mut pieces = Vec::new();
    let mut stream = packets(0, 0, &pat(0, &[(1, 0x20)]));
    stream.extend(packets(
        0x20,
        0,
        &pmt(1, 0, VIDEO, &[(0x1b, VIDEO, &[0; 600])]),
    ));
    let key = PacketBuilder::new(VIDEO)
        .unit_start()
        .random_access()
        .build();
    stream.push(key);
    for packet in &stream {
        packager.packet(at(0), packet, &mut pieces);
    }
    packager.end(at(0), &mut pieces);
    assert_eq!(payloads(&pieces), stream.concat());
    assert!(!pieces.iter().any(|piece| is(piece, Flags::RANDOM_ACCESS)));
    assert_eq!(pieces.last().unwrap().payload(), &key[..]);
}

#[test]
fn a_loop_of_the_file_is_a_discontinuity() {
    let stream = video(repeat_n(3, 15));
    let (mut packager, mut pieces) = (ts(), Vec::new());
    for packet in stream.iter().chain(&stream) {
        packager.packet(at(0), packet, &mut pieces);
    }
    packager.end(at(0), &mut pieces);
    let breaks: Vec<&Piece> = (pieces.iter())
        .filter(|piece| is(piece, Flags::DISCONTINUITY) && !is(piece, Flags::START))
        .collect();
    assert_eq!(breaks.len(), 1);
    assert!(is(breaks[0], Flags::RANDOM_ACCESS));
}

#[test]
fn a_piece_is_closed_when_its_time_is_over_and_not_before() {
    let (mut packager, mut pieces) = (ts(), Vec::new());
    let packet = PacketBuilder::new(0x1fff).payload(&[0; 184]).build();
    packager.packet(at(40), &packet, &mut pieces);
    packager.packet(at(100), &packet, &mut pieces);
    assert_eq!(packager.due(), Some(at(140).at));
    packager.tick(at(139), &mut pieces);
    assert!(pieces.is_empty());
    packager.tick(at(140), &mut pieces);
    assert_eq!(payloads(&pieces).len(), 2 * 188);
    assert_eq!(pieces[0].time(), at(140).wall);
    // Without anybody who ticks the next packet finds it too old.
    packager.packet(at(150), &packet, &mut pieces);
    packager.packet(at(250), &packet, &mut pieces);
    assert_eq!(pieces.len(), 2);
}

#[test]
fn silence_makes_an_empty_piece_a_second() {
    let (mut packager, mut pieces) = (ts(), Vec::new());
    for millis in (0..3500).step_by(50) {
        packager.tick(at(millis), &mut pieces);
    }
    let times: Vec<u64> = pieces.iter().map(Piece::time).collect();
    assert_eq!(times, [1000, 2000, 3000].map(|millis| at(millis).wall));
    assert!(pieces.iter().all(|piece| piece.header().content_len == 0));
    assert_eq!(packager.due(), Some(at(4000).at));
}

#[test]
fn an_empty_piece_does_not_use_up_a_discontinuity() {
    let (mut packager, mut pieces) = (opaque(&[]), Vec::new());
    packager.buffer(at(0), b"one", true, false, &mut pieces);
    packager.discontinuity();
    packager.tick(at(100), &mut pieces);
    packager.tick(at(1100), &mut pieces);
    packager.buffer(at(1200), b"two", true, false, &mut pieces);
    packager.end(at(1200), &mut pieces);
    let breaks = pieces.iter().map(|piece| is(piece, Flags::DISCONTINUITY));
    assert_eq!(breaks.collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn after_the_end_nothing_comes() {
    let (mut packager, mut pieces) = (ts(), Vec::new());
    packager.end(at(0), &mut pieces);
    assert_eq!(pieces.len(), 1);
    assert!(is(
        &pieces[0],
        Flags::END | Flags::START | Flags::DISCONTINUITY
    ));
    packager.buffer(at(1), &video([9]).concat(), false, true, &mut pieces);
    packager.end(at(1), &mut pieces);
    packager.tick(at(9000), &mut pieces);
    assert_eq!((pieces.len(), packager.due()), (1, None));
}

#[test]
fn a_discontinuity_drops_the_packet_that_is_not_whole() {
    let stream = video([4, 4]).concat();
    let (mut packager, mut pieces) = (ts(), Vec::new());
    packager.buffer(at(0), &stream[..500], true, false, &mut pieces);
    packager.buffer(at(0), &stream, true, true, &mut pieces);
    packager.end(at(0), &mut pieces);
    assert_eq!(payloads(&pieces), [&stream[..2 * 188], &stream].concat());
    assert!(is(&pieces[1], Flags::DISCONTINUITY));
    check_stream(&pieces);
}

#[test]
fn a_flush_drops_what_is_in_no_piece() {
    let (mut packager, mut pieces) = (opaque(&[]), Vec::new());
    packager.buffer(at(0), b"lost", false, false, &mut pieces);
    packager.flush();
    packager.buffer(at(0), b"kept", false, false, &mut pieces);
    packager.end(at(0), &mut pieces);
    assert_eq!(payloads(&pieces), b"kept");
    assert_eq!(pieces[0].header().position, 0);
}

#[test]
fn other_containers_start_at_buffers_that_are_no_delta_once_a_second() {
    let (mut packager, mut pieces) = (opaque(&[b"head", b"", b"er"]), Vec::new());
    for n in 0..50 {
        packager.buffer(at(n * 50), &[n as u8; 10], n % 3 != 0, false, &mut pieces);
    }
    packager.end(at(2500), &mut pieces);
    let starts = pieces
        .iter()
        .filter(|piece| is(piece, Flags::RANDOM_ACCESS));
    let starts: Vec<u8> = starts
        .map(|piece| {
            assert_eq!(piece.preamble(), "header");
            piece.payload()[0]
        })
        .collect();
    assert_eq!(starts, [0, 21, 42]);
    check_stream(&pieces);
}

#[test]
fn buffers_that_repeat_the_stream_headers_are_no_payload() {
    let (mut packager, mut pieces) = (opaque(&[b"head", b"er"]), Vec::new());
    for buffer in [&b"head"[..], b"er", b"header", b"data", b"head"] {
        packager.buffer(at(0), buffer, false, false, &mut pieces);
    }
    packager.end(at(0), &mut pieces);
    assert_eq!(payloads(&pieces), b"data");
    assert!(is(&pieces[0], Flags::RANDOM_ACCESS));
}

#[test]
fn stream_headers_too_long_for_a_preamble_are_payload() {
    let header = vec![1; PIECE_LENGTH as usize];
    let (mut packager, mut pieces) = (opaque(&[&header]), Vec::new());
    packager.buffer(at(0), &header, false, false, &mut pieces);
    packager.buffer(at(0), b"data", true, false, &mut pieces);
    packager.end(at(0), &mut pieces);
    assert_eq!(payloads(&pieces), [&header[..], b"data"].concat());
    assert!(!pieces.iter().any(|piece| is(piece, Flags::RANDOM_ACCESS)));
}

#[test]
fn new_stream_headers_amid_the_stream_are_payload_once() {
    let (mut packager, mut pieces) = (opaque(&[]), Vec::new());
    packager.set_opaque(at(0), vec![b"old".to_vec()], &mut pieces);
    packager.buffer(at(0), b"one", false, false, &mut pieces);
    packager.set_opaque(at(1), vec![b"old".to_vec()], &mut pieces);
    packager.set_opaque(at(2), vec![b"new".to_vec()], &mut pieces);
    packager.buffer(at(2), b"new", false, false, &mut pieces);
    packager.buffer(at(2), b"two", false, false, &mut pieces);
    packager.end(at(2), &mut pieces);
    assert_eq!(payloads(&pieces), b"onenewtwo");
    let preambles: Vec<_> = pieces.iter().map(Piece::preamble).collect();
    assert_eq!(preambles, ["old", "", "new"]);
    assert!(is(&pieces[1], Flags::DISCONTINUITY));
}

#[test]
fn a_change_to_transport_packets_is_a_discontinuity() {
    let (mut packager, mut pieces) = (opaque(&[]), Vec::new());
    packager.buffer(at(0), b"other", false, false, &mut pieces);
    packager.set_transport_stream(at(0), &mut pieces);
    let stream = video([1]).concat();
    packager.buffer(at(0), &stream, false, false, &mut pieces);
    packager.end(at(0), &mut pieces);
    assert_eq!(payloads(&pieces), [b"other", &stream[..]].concat());
    assert!(is(&pieces[1], Flags::DISCONTINUITY));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_split_of_transport_packets_gives_the_input_in_pieces_that_fit(
        sizes in proptest::collection::vec(0_usize..40, 1..30),
        splits in proptest::collection::vec(1_usize..3000, 1..20),
        piece_length in 1024_u32..PIECE_LENGTH,
    ) {
        let stream = video(sizes).concat();
        let mut packager = Packager::transport_stream(sealer(), piece_length, FLUSH_TIME, at(0));
        let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
        for (n, split) in splits.iter().cycle().enumerate() {
            let (head, tail) = rest.split_at((*split).min(rest.len()));
            packager.buffer(at(n as u64 * 7), head, false, false, &mut pieces);
            packager.tick(at(n as u64 * 7 + 3), &mut pieces);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        packager.end(at(100_000), &mut pieces);
        check_stream(&pieces);
        pieces.iter().for_each(check_random_access);
        prop_assert!(pieces.iter().all(|piece| piece.bytes().len() <= piece_length as usize));
        prop_assert!(pieces.iter().all(|piece| piece.payload().len() % PACKET_LEN == 0));
        prop_assert_eq!(payloads(&pieces), stream);
    }

    #[test]
    fn buffers_of_any_size_come_out_byte_for_byte(
        buffers in proptest::collection::vec((0_usize..9000, any::<bool>(), 0_u64..300), 1..15),
    ) {
        let (mut packager, mut pieces) = (opaque(&[b"header"]), Vec::new());
        let (mut input, mut millis) = (Vec::new(), 0);
        for (n, (len, delta, wait)) in buffers.into_iter().enumerate() {
            millis += wait;
            let bytes: Vec<u8> = repeat_n(n as u8, len).collect();
            packager.buffer(at(millis), &bytes, delta, false, &mut pieces);
            packager.tick(at(millis), &mut pieces);
            input.extend(bytes);
        }
        packager.end(at(millis), &mut pieces);
        check_stream(&pieces);
        prop_assert!(pieces.iter().all(|piece| piece.bytes().len() <= PIECE_LENGTH as usize));
        prop_assert_eq!(payloads(&pieces), input);
    }
}
