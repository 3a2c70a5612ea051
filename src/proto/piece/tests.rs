// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Pieces against vectors that OpenSSL signed, and every way to damage them.

use super::*;
use crate::proto::metainfo::{Info, Metainfo};
use proptest::{collection::vec, prelude::*, sample::Index};

const PIECE_LENGTH: u32 = 16384;

/// Signed by OpenSSL (tests/data/make-vectors.py), for the stream of `stream.tstream`.
const VECTOR: &[u8] = include_bytes!("../../../tests/data/piece.bin");
/// The same r with n − s.
const HIGH_S: &[u8; 64] = include_bytes!("../../../tests/data/high-s.bin");
const STREAM: &[u8] = include_bytes!("../../../tests/data/stream.tstream");

fn info() -> Info {
    Metainfo::parse(STREAM).unwrap().info
}

fn key() -> PrivateKey {
    PrivateKey::from_pem(include_str!("../../../tests/data/key.pem")).unwrap()
}

fn verifier() -> Verifier {
    let info = info();
    Verifier::new(info.key().clone(), info.infohash(), info.piece_length())
}

fn check(bytes: &[u8]) -> Result<Piece, PieceError> {
    verifier().piece(Bytes::copy_from_slice(bytes))
}

fn sealer() -> Sealer {
    Sealer::new(key(), info().infohash(), 1000, 5_000_000)
}

fn seal(draft: Draft) -> Piece {
    sealer().seal(6_000_000, draft)
}

fn proof_bytes(piece: &[u8]) -> [u8; PROOF_LEN] {
    let digest = Sha256::digest(&piece[HEADER_LEN..]);
    [&piece[..HEADER_LEN], &digest].concat().try_into().unwrap()
}

#[test]
fn a_piece_signed_by_openssl_is_accepted_and_read() {
    let piece = check(VECTOR).unwrap();
    assert_eq!(piece.sequence(), 1_767_225_600_123_456);
    assert_eq!(piece.time(), 1_767_225_601_654_321);
    assert_eq!(piece.header().position, 0);
    assert_eq!(piece.header().payload_len(), 25);
    assert_eq!(piece.preamble(), "PAT and PMT");
    assert_eq!(piece.payload(), "The picture and the sound");
    assert_eq!(piece.bytes(), VECTOR);
    // The vector has a bit set that no version knows.
    let known = Flags::RANDOM_ACCESS | Flags::DISCONTINUITY | Flags::START;
    assert!(piece.flags().contains(known));
    assert!(!piece.flags().contains(Flags::END));
}

#[test]
fn its_proof_verifies_without_the_content() {
    let bytes = proof_bytes(VECTOR);
    let proof = verifier().proof(&bytes).unwrap();
    assert_eq!(proof, check(VECTOR).unwrap().proof());
    assert_eq!(proof.header().sequence, Proof::claimed_sequence(&bytes));
    assert_eq!(proof.bytes(), &bytes);
}

#[test]
fn every_flipped_bit_of_a_piece_is_refused() {
    for bit in 0..VECTOR.len() * 8 {
        let mut bytes = VECTOR.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn a_flipped_bit_in_each_byte_of_a_proof_is_refused() {
    for at in 0..PROOF_LEN {
        let mut bytes = proof_bytes(VECTOR);
        bytes[at] ^= 1 << (at % 8);
        assert!(verifier().proof(&bytes).is_err(), "byte {at}");
    }
}

#[test]
fn a_piece_with_missing_or_added_bytes_is_refused() {
    for len in 0..VECTOR.len() {
        assert_eq!(check(&VECTOR[..len]), Err(PieceError::Length(len)));
    }
    let long = [VECTOR, &[0]].concat();
    assert_eq!(check(&long), Err(PieceError::Length(VECTOR.len() + 1)));
}

#[test]
fn the_other_form_of_a_valid_signature_is_refused() {
    let mut bytes = VECTOR.to_vec();
    bytes[field::SIGNATURE].copy_from_slice(HIGH_S);
    assert_eq!(check(&bytes), Err(PieceError::Signature(BadSignature)));
    let proof = proof_bytes(&bytes);
    assert_eq!(
        verifier().proof(&proof),
        Err(PieceError::Signature(BadSignature))
    );
}

#[test]
fn a_piece_of_another_stream_or_another_key_is_refused() {
    let (key, infohash) = (info().key().clone(), info().infohash());
    let bytes = Bytes::from_static(VECTOR);
    let mut other = infohash;
    other.0[19] ^= 1;
    let refused = Err(PieceError::Signature(BadSignature));
    let verify = |verifier: Verifier| verifier.piece(bytes.clone());
    assert!(verify(Verifier::new(key.clone(), infohash, PIECE_LENGTH)).is_ok());
    assert_eq!(verify(Verifier::new(key, other, PIECE_LENGTH)), refused);
    let key = PrivateKey::generate().public_key();
    assert_eq!(verify(Verifier::new(key, infohash, PIECE_LENGTH)), refused);
}

#[test]
fn lengths_are_checked_before_the_signature() {
    let mut bytes = VECTOR.to_vec();
    bytes[field::CONTENT_LEN].copy_from_slice(&(PIECE_LENGTH - 95).to_be_bytes());
    assert_eq!(check(&bytes), Err(PieceError::Content(PIECE_LENGTH - 95)));
    bytes[field::CONTENT_LEN].copy_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(check(&bytes), Err(PieceError::Content(u32::MAX)));
    let mut bytes = VECTOR.to_vec();
    bytes[field::PREAMBLE_LEN].copy_from_slice(&37u16.to_be_bytes());
    let (preamble, content) = (37, 36);
    assert_eq!(
        check(&bytes),
        Err(PieceError::Preamble { preamble, content })
    );
    bytes[field::PREAMBLE_LEN].copy_from_slice(&36u16.to_be_bytes());
    assert_eq!(check(&bytes), Err(PieceError::Signature(BadSignature)));
    // A piece length below a header's leaves no room for content, and nothing overflows.
    assert_eq!(Header::peek(VECTOR, 0), Err(PieceError::Content(36)));
    assert_eq!(Header::peek(&VECTOR[..95], 0), Err(PieceError::Length(95)));
}

#[test]
fn the_largest_piece_is_accepted_and_one_byte_more_is_not() {
    let content = |len| {
        let mut draft = Draft::new(&[], Flags::NONE);
        draft.extend(&vec![0x47; len]);
        seal(draft)
    };
    let room = PIECE_LENGTH as usize - HEADER_LEN;
    let largest = content(room);
    assert_eq!(largest.bytes().len(), PIECE_LENGTH as usize);
    assert_eq!(check(largest.bytes()), Ok(largest));
    let over = u32::try_from(room + 1).unwrap();
    assert_eq!(
        check(content(room + 1).bytes()),
        Err(PieceError::Content(over))
    );
}

#[test]
fn the_first_piece_of_a_start_is_marked_and_no_other() {
    let mut sealer = sealer();
    let first = sealer.seal(0, Draft::new(b"", Flags::RANDOM_ACCESS));
    let second = sealer.seal(0, Draft::new(b"", Flags::NONE));
    let marks = Flags::START | Flags::DISCONTINUITY;
    assert!(first.flags().contains(marks | Flags::RANDOM_ACCESS));
    assert_eq!(second.flags(), Flags::NONE);
    let mut end = Draft::new(b"", Flags::NONE);
    end.mark(Flags::END);
    assert_eq!(sealer.seal(0, end).flags(), Flags::END);
}

#[test]
fn sequences_and_positions_run_on_and_the_time_never_goes_back() {
    let mut sealer = sealer();
    let mut position = 0;
    let mut last = 5_000_000;
    for (i, now) in [4_000_000, 6_000_000, 0, 6_000_001].into_iter().enumerate() {
        let mut draft = Draft::new(b"preamble", Flags::NONE);
        assert!(draft.is_empty());
        draft.extend(&vec![1; i + 1]);
        assert!(!draft.is_empty());
        assert_eq!(draft.len(), HEADER_LEN + 8 + i + 1);
        let piece = sealer.seal(now, draft);
        assert_eq!(piece.sequence(), 1000 + i as u64);
        assert_eq!(piece.header().position, position);
        assert_eq!(piece.time(), now.max(last));
        assert_eq!(sealer.last_time(), piece.time());
        assert_eq!(sealer.next_sequence(), piece.sequence() + 1);
        last = piece.time();
        position += piece.header().payload_len();
    }
    assert_eq!(position, 1 + 2 + 3 + 4);
}

#[test]
fn an_empty_piece_is_a_header_alone() {
    let piece = seal(Draft::new(b"", Flags::NONE));
    assert_eq!(piece.bytes().len(), HEADER_LEN);
    assert!(piece.payload().is_empty() && piece.preamble().is_empty());
    assert_eq!(check(piece.bytes()), Ok(piece));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_verifies_and_comes_back(
        preamble in vec(any::<u8>(), 0..400),
        payload in vec(any::<u8>(), 0..800),
        now: u64,
    ) {
        let mut draft = Draft::new(&preamble, Flags::RANDOM_ACCESS);
        draft.extend(&payload);
        let piece = sealer().seal(now, draft);
        let read = check(piece.bytes()).unwrap();
        prop_assert_eq!(&read, &piece);
        prop_assert_eq!(read.preamble(), preamble);
        prop_assert_eq!(read.payload(), payload);
        prop_assert_eq!(verifier().proof(piece.proof().bytes()), Ok(piece.proof()));
    }

    #[test]
    fn a_header_is_written_as_it_is_read(bytes in vec(any::<u8>(), HEADER_LEN)) {
        let bytes: [u8; HEADER_LEN] = bytes.try_into().unwrap();
        let header = Header::parse(&bytes);
        prop_assert_eq!(header.emit(), bytes);
        prop_assert!(header.payload_len() <= u64::from(header.content_len));
    }

    #[test]
    fn no_bytes_are_a_piece_by_chance_and_none_panics(
        bytes in vec(any::<u8>(), 0..300), piece_length: u32,
    ) {
        prop_assert!(check(&bytes).is_err());
        if let Ok(header) = Header::peek(&bytes, piece_length) {
            prop_assert!(header.piece_len() <= piece_length as usize);
        }
    }

    #[test]
    fn pieces_of_one_stream_cannot_be_spliced(at: Index) {
        let mut other = Draft::new(b"PAT and PMT", Flags::NONE);
        other.extend(b"Another picture, no sound");
        let other = seal(other);
        prop_assert_eq!(other.bytes().len(), VECTOR.len());
        let at = 1 + at.index(VECTOR.len() - 1);
        let spliced = [&VECTOR[..at], &other.bytes()[at..]].concat();
        let whole = spliced == VECTOR || spliced == *other.bytes();
        prop_assert_eq!(check(&spliced).is_ok(), whole);
    }
}
