// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Peers that lie about pieces: refused, counted, banned, and nothing of theirs in the output.

use std::{collections::BTreeMap, fs, io::Write, process::ChildStdin, thread, time::Duration};

use gst::prelude::*;
use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::Sequence,
    metainfo::{Info, Infohash},
    piece::{Draft, Flags, HEADER_LEN, Header, Sealer},
};
use tempfile::TempDir;

use crate::support::{
    NOWHERE, fed_sink,
    fixture::{self, CLIP},
    metainfo,
    peer::{Peer, Shown, id},
    pipeline::Pipeline,
    process::Launch,
    redirect,
    transport::Transport,
};

/// A peer id of the liar.
const LIAR: [u8; 20] = *b"-TE0001-the liar ...";

/// How long a viewer may take to hang up on somebody it refuses.
const PATIENCE: Duration = Duration::from_secs(20);

/// An honest broadcast and everything that it has published so far.
struct Broadcast {
    sink: Launch,
    feed: ChildStdin,
    folder: TempDir,
    port: u16,
    info: Info,
    pieces: BTreeMap<Sequence, Vec<u8>>,
    tip: [u8; 128],
}

impl Broadcast {
    /// Broadcasts `input` as fast as it can be read, and fetches all of it as any viewer could.
    fn of(input: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Launch::new(&fed_sink(
            folder.path(),
            "port=0 sync=false drain-timeout=60000000000",
        ));
        let port = sink.port();
        let mut feed = sink.feed();
        feed.write_all(input).unwrap();
        let info = metainfo(&folder.path().join("foo.tstream")).info;
        let (pieces, tip) = fetch_all(port, &info, input.len());
        Self {
            sink,
            feed,
            folder,
            port,
            info,
            pieces,
            tip,
        }
    }

    /// The source's own key, as only somebody with its key file has it.
    fn key(&self) -> PrivateKey {
        let pem = fs::read_to_string(self.folder.path().join("foo.sauth")).unwrap();
        PrivateKey::from_pem(&pem).unwrap()
    }

    fn infohash(&self) -> Infohash {
        self.info.infohash()
    }

    /// What a peer that holds all of it shows.
    fn shown(&self) -> Shown {
        let random_access = self.pieces.iter().rev().find(|(_, piece)| {
            let header = Header::parse(piece.first_chunk().unwrap());
            header.flags.contains(Flags::RANDOM_ACCESS)
        });
        Shown {
            tip: self.tip,
            floor: *self.pieces.first_key_value().unwrap().0,
            random_access: *random_access.unwrap().0,
            held: self.pieces.keys().copied().collect(),
        }
    }
}

/// Every piece of the source at `port` until `payload` bytes of stream are there, and its tip.
fn fetch_all(port: u16, info: &Info, payload: usize) -> (BTreeMap<Sequence, Vec<u8>>, [u8; 128]) {
    let mut peer =
        Peer::connect(port, info.infohash(), *b"-TE0001-collects all", info.lap()).unwrap();
    peer.greet(None).unwrap();
    peer.send(id::INTERESTED, &[]).unwrap();
    peer.wait_for_tip().unwrap();
    let mut pieces = BTreeMap::new();
    let mut got = 0;
    let mut next = peer.floor.expect("a source has a floor");
    while got < payload {
        if peer.wait_for_tip().unwrap() < next {
            peer.receive().unwrap();
            continue;
        }
        let piece = peer.fetch(next, info.piece_length()).unwrap();
        let header = Header::parse(piece.first_chunk().unwrap());
        got += usize::try_from(header.payload_len()).unwrap();
        pieces.insert(next, piece);
        next += 1;
    }
    assert_eq!(got, payload);
    // The tip must be of a piece that the liar holds or a later one; both do.
    (pieces, peer.tip.unwrap())
}

/// A viewer that knows a liar only asks it for a piece and is given what `lie` makes of it; then the
/// honest source is there as well.
fn refuses(lie: impl Fn(&Broadcast, Sequence, &[u8]) -> Vec<u8>) {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let mut broadcast = Broadcast::of(&input);
    let tstream = broadcast.folder.path().join("no-tracker.tstream");
    redirect(
        &broadcast.folder.path().join("foo.tstream"),
        &tstream,
        NOWHERE,
    );
    let (viewer, bytes) = Pipeline::viewer(&format!("location={} latency=200", tstream.display()));
    viewer.play();
    let port = viewer.port("src");
    let (infohash, lap) = (broadcast.infohash(), broadcast.info.lap());

    let mut liar = Peer::connect(port, infohash, LIAR, lap).unwrap();
    liar.greet(Some(&broadcast.shown())).unwrap();
    liar.send(id::UNCHOKE, &[]).unwrap();
    let index = liar.wait_for_request().unwrap();
    let (sequence, honest) = broadcast
        .pieces
        .iter()
        .find(|(sequence, _)| lap.index(**sequence) == index)
        .expect("it is asked for what it shows");
    let given = lie(&broadcast, *sequence, honest);
    assert_ne!(given, *honest);
    // It may be hung up on before all of the lie is sent.
    let _ = liar.answer(index, &given);

    assert!(liar.is_hung_up_within(PATIENCE), "the liar is kept");
    let again = Peer::connect(port, infohash, LIAR, lap);
    let refused = again.map_or(true, |mut again| {
        again.greet(None).is_err() || again.is_hung_up_within(PATIENCE)
    });
    assert!(refused, "the liar may come back");
    viewer.wait_for_stat("src", "peers-banned", 1);
    assert_eq!(bytes.len(), 0, "something of the liar's came out");

    let source = format!("127.0.0.1:{}", broadcast.port);
    viewer
        .element("src")
        .emit_by_name::<()>("add-peer", &[&source]);
    bytes.wait_for(1);
    drop(broadcast.feed);
    let output = bytes.wait_for_end();
    Transport::new(&input).joined_by(&output, true);
    assert_eq!(viewer.stat("src", "pieces-rejected"), 1);
    assert_eq!(viewer.stat("src", "peers-banned"), 1);
    assert!(broadcast.sink.wait_for_exit().success());
}

/// The piece with one bit of the byte at `at` turned over.
fn flipped(piece: &[u8], at: usize) -> Vec<u8> {
    let mut changed = piece.to_vec();
    changed[at] ^= 1;
    changed
}

/// The content of `piece` under `key`, as the piece `sequence`.
fn signed_by(key: PrivateKey, infohash: Infohash, sequence: Sequence, piece: &[u8]) -> Vec<u8> {
    let header = Header::parse(piece.first_chunk().unwrap());
    let mut draft = Draft::new(&[], Flags::RANDOM_ACCESS);
    draft.extend(&piece[HEADER_LEN..]);
    Sealer::new(key, infohash, sequence, 0)
        .seal(header.time, draft)
        .bytes()
        .to_vec()
}

#[test]
fn a_flipped_bit_in_the_signed_header_is_refused() {
    // The time, and the position: the lengths stay right.
    refuses(|_, _, piece| flipped(piece, 15));
    refuses(|_, _, piece| flipped(piece, 23));
}

#[test]
fn a_flipped_bit_in_the_signature_is_refused() {
    refuses(|_, _, piece| flipped(piece, 40));
}

#[test]
fn a_flipped_bit_in_the_content_is_refused() {
    refuses(|_, _, piece| flipped(piece, piece.len() - 1));
}

#[test]
fn a_piece_of_another_key_is_refused() {
    refuses(|broadcast, sequence, piece| {
        let key = PrivateKey::generate();
        signed_by(key, broadcast.infohash(), sequence, piece)
    });
}

#[test]
fn a_piece_of_another_stream_of_the_same_key_is_refused() {
    refuses(|broadcast, sequence, piece| {
        signed_by(broadcast.key(), Infohash([7; 20]), sequence, piece)
    });
}

#[test]
fn a_piece_in_the_wrong_slot_is_refused() {
    refuses(|broadcast, sequence, _| {
        let (_, other) = broadcast
            .pieces
            .iter()
            .find(|(held, _)| **held != sequence)
            .unwrap();
        other.clone()
    });
}

#[test]
fn a_stale_piece_of_the_same_key_is_refused() {
    refuses(|broadcast, sequence, piece| {
        let lap_before = sequence - u64::from(broadcast.info.lap().npieces());
        signed_by(broadcast.key(), broadcast.infohash(), lap_before, piece)
    });
}

#[test]
fn a_tip_that_is_not_the_sources_moves_nothing() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let mut broadcast = Broadcast::of(&input);
    let tstream = broadcast.folder.path().join("foo.tstream");
    let (viewer, bytes) = Pipeline::viewer(&format!("location={} latency=200", tstream.display()));
    viewer.play();
    let port = viewer.port("src");
    bytes.wait_for(1);
    let tip = u64::from_be_bytes(*broadcast.tip.first_chunk().unwrap());
    // Its own signature under a tip far ahead.
    let mut shown = broadcast.shown();
    shown.tip[..8].copy_from_slice(&(tip + 1000).to_be_bytes());
    let mut liar = Peer::connect(port, broadcast.infohash(), LIAR, broadcast.info.lap()).unwrap();
    liar.greet(Some(&shown)).unwrap();
    assert!(liar.is_hung_up_within(PATIENCE));
    assert!(viewer.stat("src", "tip") < tip + 1000);
    viewer.wait_for_stat("src", "peers-banned", 1);
    drop(broadcast.feed);
    Transport::new(&input).joined_by(&bytes.wait_for_end(), true);
    assert!(broadcast.sink.wait_for_exit().success());
}

#[test]
fn garbage_on_the_port_harms_nobody() {
    let input = fs::read(fixture::file(CLIP)).unwrap();
    let broadcast = Broadcast::of(&input);
    let tstream = broadcast.folder.path().join("foo.tstream");
    let (viewer, bytes) = Pipeline::viewer(&format!("location={}", tstream.display()));
    viewer.play();
    let ports = [broadcast.port, viewer.port("src")];
    let noise: Vec<_> = ports
        .into_iter()
        .flat_map(|port| (0..8).map(move |seed| (port, seed)))
        .map(|(port, seed)| {
            thread::spawn(move || {
                let mut generator = fastrand::Rng::with_seed(seed);
                let bytes: Vec<u8> = std::iter::repeat_with(|| generator.u8(..))
                    .take(100_000)
                    .collect();
                if let Ok(mut socket) = std::net::TcpStream::connect(("127.0.0.1", port)) {
                    // The first byte of a peer, of HTTP, or neither.
                    let first: &[u8] =
                        [&b"\x13BitTorrent protocol"[..], b"GET /", b""][seed as usize % 3];
                    let _ = socket
                        .write_all(first)
                        .and_then(|()| socket.write_all(&bytes));
                }
            })
        })
        .collect();
    for thread in noise {
        thread.join().unwrap();
    }
    // Who finds only an END waits for the source (PROTOCOL §5), so the viewer is to be there before.
    bytes.wait_for(1);
    drop(broadcast.feed);
    Transport::new(&input).joined_by(&bytes.wait_for_end(), true);
}
