// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Signing and verifying.

use bytes::Bytes;
use divan::{Bencher, black_box, counter::BytesCount};
use gstlivetorrent::proto::{
    key::PrivateKey,
    metainfo::Infohash,
    piece::{Draft, Flags, HEADER_LEN, Piece, Sealer, Verifier, Verify},
};

const INFOHASH: Infohash = Infohash([7; 20]);
/// Bytes of a piece: the smallest that the source makes of a fast stream, the default, and what
/// streams of over 20 Mbit/s are better cut into.
const PIECES: [u32; 3] = [4 << 10, 16 << 10, 64 << 10];

fn draft(piece_length: u32) -> Draft {
    let mut draft = Draft::with_capacity(b"", Flags::NONE, piece_length as usize);
    draft.extend(&vec![0x5a; piece_length as usize - HEADER_LEN]);
    draft
}

/// A signed piece and what verifies it.
fn sealed(piece_length: u32) -> (Piece, Verifier) {
    let key = PrivateKey::generate();
    let verifier = Verifier::new(key.public_key(), INFOHASH, piece_length);
    let piece = Sealer::new(key, INFOHASH, 1, 0).seal(1, draft(piece_length));
    (piece, verifier)
}

/// Hash, signature and header of a piece; per second these are bytes of stream.
#[divan::bench(args = PIECES)]
fn seal(bencher: Bencher<'_, '_>, piece_length: u32) {
    let mut sealer = Sealer::new(PrivateKey::generate(), INFOHASH, 1, 0);
    bencher
        .counter(BytesCount::new(piece_length))
        .with_inputs(|| draft(piece_length))
        .bench_local_values(|draft| sealer.seal(1, draft));
}

/// All that a viewer checks of a piece; per second these are bytes of stream.
#[divan::bench(args = PIECES)]
fn verify_piece(bencher: Bencher<'_, '_>, piece_length: u32) {
    let (piece, verifier) = sealed(piece_length);
    let bytes: &Bytes = piece.bytes();
    bencher
        .counter(BytesCount::new(piece_length))
        .bench_local(|| verifier.piece(black_box(bytes).clone()).is_ok());
}

/// The same of an announced tip, which has a digest in place of the content.
#[divan::bench]
fn verify_tip(bencher: Bencher<'_, '_>) {
    let (piece, verifier) = sealed(16 << 10);
    let proof = piece.proof();
    bencher.bench_local(|| verifier.proof(black_box(proof.bytes())).is_ok());
}

/// What a forger has a viewer spend on a piece: as much, and no more.
#[divan::bench]
fn refuse_piece(bencher: Bencher<'_, '_>) {
    let (piece, verifier) = sealed(16 << 10);
    let mut bytes = piece.bytes().to_vec();
    bytes[HEADER_LEN] ^= 1;
    let bytes = Bytes::from(bytes);
    bencher.bench_local(|| verifier.piece(black_box(&bytes).clone()).is_err());
}
