// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Pieces and proofs (PROTOCOL §2): nothing but what the source signed verifies. The input is a piece or
//! a proof in full, and also a change to a signed one.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use gstlivetorrent::proto::{
    key::PrivateKey,
    metainfo::Infohash,
    piece::{Draft, Flags, HEADER_LEN, Header, Piece, Sealer, Verifier, Verify as _},
};
use libfuzzer_sys::fuzz_target;

const INFOHASH: Infohash = Infohash([7; 20]);
const PIECE_LENGTH: u32 = 16384;

struct Signed {
    piece: Piece,
    verifier: Verifier,
}

static SIGNED: LazyLock<Signed> = LazyLock::new(|| {
    let key = PrivateKey::from_pem(include_str!("../../tests/data/key.pem")).expect("a key");
    let verifier = Verifier::new(key.public_key(), INFOHASH, PIECE_LENGTH);
    let mut draft = Draft::new(b"tables", Flags::RANDOM_ACCESS);
    draft.extend(b"a stream");
    let piece = Sealer::new(key, INFOHASH, 1_000_000, 0).seal(1_700_000_000_000_000, draft);
    Signed { piece, verifier }
});

fn judge(bytes: &[u8]) {
    let Signed { piece, verifier } = &*SIGNED;
    if let Ok(header) = Header::peek(bytes, PIECE_LENGTH) {
        assert!(header.piece_len() <= PIECE_LENGTH as usize);
        assert!(header.payload_len() <= u64::from(PIECE_LENGTH));
    }
    if let Ok(verified) = verifier.piece(Bytes::copy_from_slice(bytes)) {
        assert_eq!(verified.bytes(), piece.bytes());
        assert_eq!(
            verified.payload().len() + verified.preamble().len() + HEADER_LEN,
            bytes.len()
        );
    }
    if let Some(proof) = bytes.first_chunk()
        && let Ok(verified) = verifier.proof(proof)
    {
        assert_eq!(verified, piece.proof());
    }
}

fuzz_target!(|input: (u8, u16, u8, &[u8])| {
    let (kind, at, change, bytes) = input;
    let piece = &SIGNED.piece;
    let mut changed = match kind % 3 {
        0 => return judge(bytes),
        1 => piece.bytes().to_vec(),
        _ => piece.proof().bytes().to_vec(),
    };
    let at = usize::from(at) % changed.len();
    changed[at] ^= change;
    changed.extend_from_slice(bytes);
    judge(&changed);
});
