// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The stream: full pieces at the pace of the bitrate, signed once.

use std::sync::Arc;

use data_encoding::BASE64;
use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::{Lap, MAX_PIECES, MIN_PIECES, Sequence},
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, HEADER_LEN, Piece, Sealer},
    time::UnixMicros,
};

use super::{
    clock::WALL,
    options::{Options, SECOND},
    queue::Micros,
};

/// How much the time between two pieces varies, to both sides.
const VARIATION: f64 = 0.2;
/// PKCS#8 of a P-256 key, up to the number itself (RFC 5208, RFC 5915).
const KEY_HEAD: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

/// Makes the pieces.
#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(crate) metainfo: Arc<Metainfo>,
    sealer: Sealer,
    payload: Vec<u8>,
    interval: f64,
    last_second: Option<u64>,
    made: u64,
    rng: fastrand::Rng,
}

impl Broadcast {
    pub(crate) fn new(options: &Options) -> Self {
        // The same key every time: what is signed must be the same in every run.
        let der = [&KEY_HEAD[..], &[7; 32]].concat();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            wrapped(&BASE64.encode(&der))
        );
        let key = PrivateKey::from_pem(&pem).expect("the key is well-formed");
        let npieces = (options.lap * options.piece_rate()).round() as u32;
        let lap =
            Lap::new(npieces.clamp(MIN_PIECES, MAX_PIECES)).expect("clamped to what a lap is");
        let info = Info::new("simulation", options.piece_size, lap, key.public_key())
            .expect("options are within what a stream can be");
        let metainfo = Arc::new(Metainfo::new(info));
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x50c4);
        let mut payload = vec![0; options.payload()];
        rng.fill(&mut payload);
        Self {
            sealer: Sealer::new(key, metainfo.info.infohash(), WALL, 0),
            metainfo,
            payload,
            interval: SECOND as f64 / options.piece_rate(),
            last_second: None,
            made: 0,
            rng,
        }
    }

    pub(crate) fn lap(&self) -> Lap {
        self.metainfo.info.lap()
    }

    /// The sequence of the next piece.
    pub(crate) const fn next_sequence(&self) -> Sequence {
        self.sealer.next_sequence()
    }

    /// Closes a piece; each says in its payload which it is.
    pub(crate) fn publish(&mut self, now: Micros, wall: UnixMicros) -> Piece {
        let second = now / SECOND;
        let flags = if self.last_second == Some(second) {
            Flags::NONE
        } else {
            Flags::RANDOM_ACCESS
        };
        self.last_second = Some(second);
        let mut draft = Draft::with_capacity(&[], flags, self.payload.len() + HEADER_LEN);
        let number = self.made.to_be_bytes();
        let start = number.len().min(self.payload.len());
        self.payload[..start].copy_from_slice(&number[..start]);
        draft.extend(&self.payload);
        self.made += 1;
        self.sealer.seal(wall, draft)
    }

    /// How long until the next piece.
    pub(crate) fn pause(&mut self) -> Micros {
        let vary = 1.0 - VARIATION + 2.0 * VARIATION * self.rng.f64();
        (self.interval * vary) as Micros
    }
}

/// PEM has lines of 64 characters (RFC 7468).
fn wrapped(text: &str) -> String {
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    lines.join("\n")
}
