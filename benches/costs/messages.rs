// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Messages to bytes and back.

use bytes::Bytes;
use divan::{Bencher, black_box};
use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::Lap,
    metainfo::Infohash,
    piece::{Draft, Flags, Sealer},
    wire::{
        BLOCK_LEN, Block, Decoder, ExtendedHandshake, ExtensionIds, Handshake, Live, Message, Pex,
        PexPeer, Transfers,
    },
};

/// A lap of ten minutes at 4 Mbit/s in pieces of 16 KiB.
const NPIECES: u32 = 18_312;

const INFOHASH: Infohash = Infohash([7; 20]);

/// The messages that a broadcast is made of, by name.
const NAMES: [&str; 6] = ["have", "request", "reject", "piece", "bitfield", "live"];

fn lap() -> Lap {
    Lap::new(NPIECES).expect("between the limits of a lap")
}

fn live() -> Live {
    let mut sealer = Sealer::new(PrivateKey::generate(), INFOHASH, 9000, 0);
    let piece = sealer.seal(1_800_000_000_000_000, Draft::new(b"", Flags::NONE));
    Live {
        tip: Some(*piece.proof().bytes()),
        floor: Some(123),
        ra: Some(8990),
        ahead: 64,
        hops: Some(2),
        lag: Some(120),
        seen: Some(7),
        up: Some(400_000),
        cap: Some(600_000),
        called: true,
        ..Live::default()
    }
}

fn message(name: &str) -> Message {
    let block = Block {
        index: 9000,
        begin: 0,
        length: 16 << 10,
    };
    match name {
        "have" => Message::Have(9000),
        "request" => Message::Request(block),
        "reject" => Message::Reject(block),
        "piece" => Message::Piece {
            index: 9000,
            begin: 0,
            block: vec![0x5a; BLOCK_LEN].into(),
        },
        "bitfield" => Message::Bitfield(vec![0; NPIECES.div_ceil(8) as usize].into()),
        "live" => Message::Extended {
            id: 3,
            payload: live().encode(),
        },
        _ => unreachable!("NAMES has no other"),
    }
}

fn append(message: &Message, out: &mut Vec<u8>) {
    if let Some(body) = message.encode(out) {
        out.extend_from_slice(&body);
    }
}

/// Without the body, which goes to the socket from where it lies.
#[divan::bench(args = NAMES)]
fn encode(bencher: Bencher<'_, '_>, name: &str) {
    let message = message(name);
    let mut out = Vec::with_capacity(64);
    bencher.bench_local(|| {
        out.clear();
        black_box(&message).encode(&mut out)
    });
}

/// From bytes that lie there whole.
#[divan::bench(args = NAMES)]
fn decode(bencher: Bencher<'_, '_>, name: &str) {
    let mut decoder = Decoder::new(lap());
    let mut bytes = Vec::new();
    append(
        &Message::Handshake(Handshake::new(INFOHASH, [1; 20])),
        &mut bytes,
    );
    decoder
        .decode(&mut &bytes[..])
        .expect("what was encoded is read");
    bytes.clear();
    append(&message(name), &mut bytes);
    bencher.bench_local(|| decoder.decode(&mut &black_box(&bytes)[..]));
}

/// What an extended message holds, by name.
const PAYLOADS: [&str; 4] = ["hello", "live", "transfers", "pex"];

fn hello() -> ExtendedHandshake {
    ExtendedHandshake {
        m: ExtensionIds::OURS,
        listen_port: Some(7764),
        client: "livetorrent 0.1.0".to_owned(),
        reqq: Some(256),
        yourip: Some([192, 0, 2, 1].into()),
        live: Some(live()),
        entries: (0..8)
            .map(|n| (9000 - 60 * n, 1_800_000_000_000_000))
            .collect(),
    }
}

fn transfers() -> Transfers {
    (9000..9120).map(|index| (index, 100)).collect()
}

fn pex() -> Pex {
    let peer = |host| PexPeer::reachable(([192, 0, 2, host], 7764).into());
    Pex {
        added: (1..=20).map(peer).collect(),
        ..Pex::default()
    }
}

fn payload(name: &str) -> Bytes {
    match name {
        "hello" => hello().encode(),
        "live" => live().encode(),
        "transfers" => transfers().encode(),
        "pex" => pex().encode(),
        _ => unreachable!("PAYLOADS has no other"),
    }
}

/// The inside of extended messages.
#[divan::bench(args = PAYLOADS)]
fn encode_payload(bencher: Bencher<'_, '_>, name: &str) {
    match name {
        "hello" => {
            let hello = hello();
            bencher.bench_local(|| black_box(&hello).encode());
        }
        "live" => {
            let live = live();
            bencher.bench_local(|| black_box(&live).encode());
        }
        "transfers" => {
            let transfers = transfers();
            bencher.bench_local(|| black_box(&transfers).encode());
        }
        _ => {
            let pex = pex();
            bencher.bench_local(|| black_box(&pex).encode());
        }
    }
}

/// The inside of extended messages.
#[divan::bench(args = PAYLOADS)]
fn decode_payload(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = payload(name);
    match name {
        "hello" => bencher.bench_local(|| ExtendedHandshake::decode(black_box(&bytes)).is_ok()),
        "live" => bencher.bench_local(|| Live::decode(black_box(&bytes)).is_ok()),
        "transfers" => bencher.bench_local(|| Transfers::decode(black_box(&bytes), lap()).is_ok()),
        _ => bencher.bench_local(|| Pex::decode(black_box(&bytes)).is_ok()),
    }
}
