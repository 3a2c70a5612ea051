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
use gstlivetorrent::mpegts::{
    PACKET_LEN,
    packet::SYNC_BYTE,
    pcr::{PCR_HZ, PCR_MODULUS},
};
use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::{Lap, MAX_PIECES, MIN_PIECES},
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, HEADER_LEN, Piece, Sealer},
    restart::BLOCK,
    time::UnixMicros,
};

use super::{
    clock::WALL,
    options::{Options, SECOND},
    queue::Micros,
};

/// Ticks of the stream's clock in a µs.
const TICKS: u64 = PCR_HZ / SECOND;
/// The stream's clock begins so long before it wraps: a quarter of an hour.
const BEFORE_THE_WRAP: u64 = 900 * PCR_HZ;
/// Another encoder's clock stands elsewhere.
const NEW_CLOCK: u64 = 12_345 * PCR_HZ;
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
    key: PrivateKey,
    sealer: Sealer,
    /// Where the stream's own clock stood when this start began, and when that was.
    clock: (u64, Micros),
    starts: u64,
    payload: Vec<u8>,
    interval: f64,
    last_second: Option<u64>,
    made: u64,
    rng: fastrand::Rng,
}

/// The same key every time: what is signed must be the same in every run.
pub(crate) fn same_key() -> PrivateKey {
    let der = [&KEY_HEAD[..], &[7; 32]].concat();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        wrapped(&BASE64.encode(&der))
    );
    PrivateKey::from_pem(&pem).expect("the key is well-formed")
}

impl Broadcast {
    pub(crate) fn new(options: &Options) -> Self {
        let key = same_key();
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
            sealer: Sealer::new(key.clone(), metainfo.info.infohash(), WALL, 0),
            key,
            clock: (PCR_MODULUS - BEFORE_THE_WRAP, 0),
            starts: 0,
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

    /// Starts again, as another process does that finds the restart file.
    pub(crate) fn restart(&mut self) {
        let next = self.sealer.next_sequence() + BLOCK;
        let time = self.sealer.last_time();
        let infohash = self.metainfo.info.infohash();
        self.sealer = Sealer::new(self.key.clone(), infohash, next, time);
        self.last_second = None;
        self.starts += 1;
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
        if std::mem::take(&mut self.starts) > 0 {
            self.clock = ((self.clock.0 + NEW_CLOCK) % PCR_MODULUS, now);
        }
        let pcr = (self.clock.0 + (now - self.clock.1) * TICKS) % PCR_MODULUS;
        let mut draft = Draft::with_capacity(&[], flags, self.payload.len() + HEADER_LEN);
        stamp(&mut self.payload, pcr, self.made);
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

/// Writes into the beginning of a payload a transport packet with the stream's clock (ISO/IEC 13818-1
/// §2.4.3.5) and the piece's number.
fn stamp(payload: &mut [u8], pcr: u64, number: u64) {
    let (base, extension) = (pcr / 300, pcr % 300);
    let reference = base << 15 | 0x3f << 9 | extension;
    let mut packet = [0xff; PACKET_LEN];
    // Only an adaptation field, of all that is left, in which PCR_flag is set.
    packet[..6].copy_from_slice(&[SYNC_BYTE, 0x01, 0x00, 0x20, 183, 0x10]);
    packet[6..12].copy_from_slice(&reference.to_be_bytes()[2..]);
    packet[12..20].copy_from_slice(&number.to_be_bytes());
    let length = packet.len().min(payload.len());
    payload[..length].copy_from_slice(&packet[..length]);
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
