// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A source as a peer of its own making meets it.

use std::{io::Write, process::ChildStdin};

use gstlivetorrent::proto::{
    metainfo::Info,
    piece::{Flags, Header, Verifier, Verify as _},
};
use tempfile::TempDir;

use super::{
    asker::{Answer, Asker},
    claims::{Value, dict, int},
};
use crate::support::{
    PATIENCE, fed_sink,
    fixture::numbered_packets,
    metainfo,
    peer::{Peer, block, id},
    process::Launch,
    transport::PACKET,
};

/// Least requests of a connection that have to be kept (PROTOCOL §6).
const REQQ: usize = 256;
/// A message id that nobody uses.
const UNKNOWN: u8 = 99;

/// A broadcast of packets of which no two are alike.
struct Broadcast {
    sink: Launch,
    feed: Option<ChildStdin>,
    port: u16,
    info: Info,
    sent: usize,
    _folder: TempDir,
}

impl Broadcast {
    /// A sink with these properties.
    fn begin(properties: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let properties = format!("port=0 sync=false drain-timeout=60000000000 {properties}");
        let mut sink = Launch::new(&fed_sink(folder.path(), &properties));
        let port = sink.port();
        Self {
            feed: Some(sink.feed()),
            sink,
            port,
            info: metainfo(&folder.path().join("foo.tstream")).info,
            sent: 0,
            _folder: folder,
        }
    }

    fn feed(&mut self, packets: usize) {
        let bytes = numbered_packets(self.sent as u64, packets);
        self.sent += packets;
        self.feed.as_mut().unwrap().write_all(&bytes).unwrap();
    }

    /// Somebody who has greeted the source, once that has a tip.
    fn asker(&self, name: [u8; 20]) -> Asker {
        let mut asker = Asker::greet(self.port, &self.info, name).unwrap();
        while asker.tip().is_none() || asker.claims.floor.is_none() {
            assert_eq!(asker.take().unwrap(), None);
        }
        asker
    }

    /// What an answer holds: a piece that the source signed.
    fn verified(&self, answer: &Answer) -> Header {
        let Answer::Piece(_, bytes) = answer else {
            panic!("{answer:?}");
        };
        let info = &self.info;
        let verifier = Verifier::new(info.key().clone(), info.infohash(), info.piece_length());
        *verifier.piece(bytes.clone().into()).unwrap().header()
    }

    /// Ends the stream; this asker reads until it knows the END, and no answer comes meanwhile but
    /// these. The END's header.
    fn end(&mut self, asker: &mut Asker, mut answers: Vec<Answer>) -> Header {
        drop(self.feed.take());
        loop {
            let tip = asker.peer.tip.unwrap();
            let header = Header::parse(tip.first_chunk().unwrap());
            if header.flags.contains(Flags::END) && answers.is_empty() {
                return header;
            }
            if let Some(answer) = asker.take().unwrap() {
                let at = answers.iter().position(|expected| *expected == answer);
                answers.remove(at.unwrap_or_else(|| panic!("{answer:?}")));
            }
        }
    }
}

#[test]
fn a_source_greets_as_the_page_says() {
    let mut broadcast = Broadcast::begin("piece-size=40000");
    broadcast.feed(1000);
    // Until it has something to show.
    broadcast.asker(*b"-TE0001-waits for it");
    let info = &broadcast.info;
    let name = *b"-TE0001-is greeted..";
    let mut peer = Peer::connect(broadcast.port, info.infohash(), name, info.lap()).unwrap();
    let reserved = peer.their_reserved();
    assert_eq!((reserved[5] & 0x10, reserved[7] & 0x04), (0x10, 0x04));
    let their_id = peer.their_id();
    assert!(their_id.starts_with(b"-LV") && their_id[7] == b'-');
    peer.greet(None).unwrap();

    let (first, payload) = peer.receive().unwrap();
    assert_eq!((first, payload[0]), (id::EXTENDED, 0));
    let said = dict(&payload[1..]);
    let Some(Value::Dict(numbers)) = said.get(&b"m"[..]) else {
        panic!("{said:?}");
    };
    let mut ids: Vec<_> = ["ut_pex", "Tr_G2G_v2", "tstream_live"]
        .map(|name| int(numbers, name).expect("a number for each"))
        .into();
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == 3 && ids[0] > 0 && ids[2] < 256);
    assert_eq!(int(&said, "p"), Some(broadcast.port.into()));
    assert!(matches!(said.get(&b"v"[..]), Some(Value::Bytes(_))));
    assert!(int(&said, "reqq") >= Some(REQQ as u64));
    let loopback = Value::Bytes(vec![127, 0, 0, 1]);
    assert_eq!(said.get(&b"yourip"[..]), Some(&loopback));

    let (second, bits) = peer.receive().unwrap();
    assert_eq!(second, id::BITFIELD);
    assert!(bits.iter().any(|byte| *byte != 0));
    let asker = broadcast.asker(*b"-TE0001-reads claims");
    assert!(asker.claims.is_source && asker.claims.ahead > 0);
    let held = asker.shown.iter().min().copied();
    assert_eq!(asker.claims.floor, held);
    assert!(asker.shown.contains(&asker.tip().unwrap()));
}

#[test]
fn a_source_answers_each_request_once_and_keeps_those_for_what_is_to_come() {
    // Pieces of three blocks.
    const PIECE: usize = 40_000 / PACKET;
    let mut broadcast = Broadcast::begin("piece-size=40000");
    broadcast.feed(10 * PIECE);
    let mut asker = broadcast.asker(*b"-TE0001-asks by page");
    let lap = broadcast.info.lap();
    let tip = asker.tip().unwrap();
    asker.ask(tip);
    assert_eq!(asker.settle(), [asker.reject_of(tip)], "it chokes");
    asker.wait_for_unchoke();

    assert!(asker.claims.ahead >= 25, "{}", asker.claims.ahead);
    let tip = asker.tip().unwrap();
    let (soon, far) = (tip + 20, tip + u64::from(lap.npieces() / 4) + 40);
    asker.ask(soon);
    asker.ask(soon);
    asker.ask(far);
    asker.cancel(soon + 1);
    asker.ask(soon + 2);
    asker.cancel(soon + 2);
    asker.cancel(soon + 2);
    let rejected = [soon, far, soon + 2].map(|sequence| asker.reject_of(sequence));
    assert_eq!(asker.settle(), rejected);

    broadcast.feed(40 * PIECE);
    let given = asker.answer();
    let header = broadcast.verified(&given);
    assert_eq!(header.sequence, soon);
    assert!(header.content_len > 32 * 1024, "of three blocks");
    // It may be lost once; who asks a third time gets it from nobody's uplink.
    asker.ask(soon);
    assert_eq!(asker.answer(), given);
    asker.ask(soon);
    assert_eq!(asker.answer(), asker.reject_of(soon));

    // What never comes is rejected when the END says so.
    while asker.tip().unwrap() < tip + 40 {
        assert_eq!(asker.take().unwrap(), None);
    }
    let never = asker.tip().unwrap() + 20;
    asker.ask(never);
    assert_eq!(asker.settle(), []);
    let rejected = asker.reject_of(never);
    let end = broadcast.end(&mut asker, vec![rejected]);
    asker.ask(end.sequence);
    let last = asker.answer();
    assert_eq!(broadcast.verified(&last), end);
    assert!(broadcast.sink.wait_for_exit().success());
}

#[test]
fn a_source_that_chokes_says_so_first_and_then_rejects_all_that_waits() {
    let mut broadcast = Broadcast::begin("piece-size=40000");
    broadcast.feed(1000);
    let mut asker = broadcast.asker(*b"-TE0001-is choked...");
    asker.wait_for_unchoke();
    let tip = asker.tip().unwrap();
    let waits = [tip + 15, tip + 9, tip + 22];
    for sequence in waits {
        asker.ask(sequence);
    }
    assert_eq!(asker.settle(), []);
    asker.peer.send(id::NOT_INTERESTED, &[]).unwrap();
    for sequence in waits {
        assert_eq!(asker.answer(), asker.reject_of(sequence));
        assert_eq!(asker.chokes, 1, "before what it rejects");
    }
    asker.ask(tip);
    assert_eq!(asker.answer(), asker.reject_of(tip), "while it chokes");
    asker.wait_for_unchoke();
    asker.ask(tip);
    assert_eq!(
        broadcast.verified(&asker.answer()).sequence,
        tip,
        "no request outlived the choke"
    );
    assert_eq!(asker.pending(), 0);
}

#[test]
fn a_source_keeps_as_many_requests_as_it_says_and_rejects_those_above() {
    // What lies between the two ends takes in some more.
    const MORE: usize = 60;
    let mut broadcast = Broadcast::begin("piece-size=40000 buffer-size=64000000");
    for _ in 0..REQQ + MORE {
        broadcast.feed(40_000 / PACKET);
    }
    let mut asker = broadcast.asker(*b"-TE0001-asks for all");
    asker.wait_for_unchoke();
    let floor = asker.claims.floor.unwrap();
    asker.wait_for_have(floor + (REQQ + MORE) as u64 - 1);
    // Nothing is read meanwhile.
    for sequence in (floor..).take(REQQ + MORE) {
        asker.ask(sequence);
    }
    let (mut given, mut rejected) = (0, 0);
    while asker.pending() > 0 {
        match asker.answer() {
            Answer::Piece(..) => given += 1,
            Answer::Reject(_) => rejected += 1,
        }
    }
    println!("{given} given, {rejected} rejected");
    assert!(given >= REQQ, "{given}");
    assert_eq!(given + rejected, REQQ + MORE);
}

#[test]
fn a_source_gives_what_its_window_holds_and_nothing_older() {
    let mut broadcast =
        Broadcast::begin("piece-size=1024 bitrate=1000000 duration=1000000000 flush-time=10000000");
    let lap = broadcast.info.lap();
    assert_eq!(lap.npieces(), 256);
    // More than a lap.
    broadcast.feed(4 * 300);
    let mut asker = broadcast.asker(*b"-TE0001-at the edge.");
    asker.wait_for_unchoke();
    let end = broadcast.end(&mut asker, Vec::new()).sequence;
    assert_eq!(asker.settle(), []);
    let oldest = end + 1 - lap.half();
    for sequence in [oldest - 1, end + 1, end + u64::from(lap.npieces() / 4)] {
        asker.ask(sequence);
        assert_eq!(asker.answer(), asker.reject_of(sequence));
    }
    assert!(asker.claims.floor.unwrap() <= oldest);
    // The END last: who has that is served.
    for sequence in [oldest, oldest + 1, end] {
        asker.ask(sequence);
        let answer = asker.answer();
        assert_eq!(broadcast.verified(&answer).sequence, sequence);
    }
}

#[test]
fn a_source_shows_every_piece_once_in_order_over_several_laps() {
    const LAPS: u64 = 3;
    const CHUNK: u64 = 20;
    // Four packets a piece, and the smallest lap.
    let mut broadcast =
        Broadcast::begin("piece-size=1024 bitrate=1000000 duration=1000000000 flush-time=10000000");
    let lap = broadcast.info.lap();
    assert_eq!(lap.npieces(), 256);
    broadcast.feed(40);
    let mut asker = broadcast.asker(*b"-TE0001-goes the lap");
    asker.wait_for_unchoke();
    let first = asker.tip().unwrap();
    let mut newest = first;
    while newest < first + LAPS * u64::from(lap.npieces()) {
        broadcast.feed(4 * CHUNK as usize);
        asker.wait_for_have(newest + CHUNK);
        // Who falls behind asks for what has left the window.
        assert_eq!(asker.settle(), []);
        newest = *asker.shown.last().unwrap();
        asker.ask(newest);
        let answer = asker.answer();
        assert_eq!(broadcast.verified(&answer).sequence, newest);
    }
    asker.shown.retain(|shown| *shown > first);
    let expected: Vec<_> = (first + 1..).take(asker.shown.len()).collect();
    assert_eq!(asker.shown, expected);
}

#[test]
fn a_source_ignores_what_matches_nothing_and_hangs_up_on_half_a_request() {
    let mut broadcast = Broadcast::begin("piece-size=40000");
    broadcast.feed(1000);
    let mut asker = broadcast.asker(*b"-TE0001-says nothing");
    asker.wait_for_unchoke();
    let tip = asker.tip().unwrap();
    let index = asker.index_of(tip);
    let length = broadcast.info.piece_length();
    let piece = [&index.to_be_bytes()[..], &[0; 4], &[7; 100]].concat();
    let extended = [&[200][..], b"no dictionary"].concat();
    for (id, payload) in [
        (UNKNOWN, &b"anything"[..]),
        (UNKNOWN, b""),
        (id::PIECE, &piece[..]),
        (id::PIECE, &piece[..8]),
        (id::REJECT, &block(index, 0, length)),
        (id::CANCEL, &block(index, 0, length)),
        (id::CANCEL, &block(index, 1, 1)),
        (id::EXTENDED, &extended),
        (id::INTERESTED, b""),
    ] {
        asker.peer.send(id, payload).unwrap();
    }
    asker.ask(tip);
    assert_eq!(broadcast.verified(&asker.answer()).sequence, tip);

    let name = *b"-TE0001-breaks rules";
    for wrong in [block(index, 1, length), block(index, 0, length - 1)] {
        let mut asker = broadcast.asker(name);
        asker.wait_for_unchoke();
        asker.peer.send(id::REQUEST, &wrong).unwrap();
        assert!(asker.peer.is_hung_up_within(PATIENCE));
    }
    // No proof of a liar: who comes again is let in.
    broadcast.asker(name);
}

#[test]
fn a_source_rejects_each_request_until_there_were_too_many() {
    let mut broadcast = Broadcast::begin("piece-size=40000");
    broadcast.feed(1000);
    let mut asker = broadcast.asker(*b"-TE0001-never learns");
    asker.wait_for_unchoke();
    let beyond = asker.claims.floor.unwrap() - 1;
    let mut rejects = 0;
    let ended = loop {
        asker.ask(beyond);
        match asker.take() {
            Ok(Some(answer)) => {
                assert_eq!(answer, asker.reject_of(beyond));
                rejects += 1;
            }
            Ok(None) => {}
            Err(_) => break rejects,
        }
        if rejects > 8 * REQQ {
            break rejects;
        }
    };
    // It may take longer than ten seconds where the machine is busy, and then more are within bounds.
    assert!(ended >= 4 * REQQ, "{ended}");
}

#[test]
fn a_full_source_greets_holds_nothing_tells_of_others_and_closes() {
    let mut broadcast = Broadcast::begin("max-peers=1");
    broadcast.feed(1000);
    let mut there = broadcast.asker(*b"-TE0001-was there...");
    there.wait_for_unchoke();
    let info = &broadcast.info;
    let name = *b"-TE0001-comes second";
    let mut late = Peer::connect(broadcast.port, info.infohash(), name, info.lap()).unwrap();
    late.greet(None).unwrap();
    let mut heard = Vec::new();
    while let Ok((id, payload)) = late.receive() {
        let extension = (id == id::EXTENDED).then(|| payload[0]);
        heard.push((id, extension));
    }
    // The numbers of extensions are those that this peer gave them.
    let expected = [
        (id::EXTENDED, Some(0)),
        (id::HAVE_NONE, None),
        (id::EXTENDED, Some(1)),
    ];
    assert_eq!(heard, expected);
    let tip = there.tip().unwrap();
    there.ask(tip);
    assert_eq!(broadcast.verified(&there.answer()).sequence, tip);
}
