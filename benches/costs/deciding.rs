// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What a viewer's swarm decides, with so many neighbours, in time of its own.
//!
//! Signatures are left out: the pieces are believed here, or they would be most of it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use divan::{Bencher, black_box, counter::ItemsCount};
use gstlivetorrent::proto::{
    key::{BadSignature, PrivateKey},
    lap::Lap,
    metainfo::{Info, Infohash, Metainfo},
    picker::{Offer, Zone, pick},
    piece::{Draft, Flags, PROOF_LEN, Piece, PieceError, Proof, Sealer, Verify},
    swarm::{Config, ConnId, Input, Origin, Output, Role, Swarm},
    time::{Instant, Now},
    wire::{ExtendedHandshake, ExtensionIds, Handshake, Live, Message},
};

const NEIGHBOURS: [usize; 3] = [10, 50, 200];
const PIECE_LENGTH: u32 = 16 << 10;
/// A piece of 16 KiB after another at 4 Mbit/s.
const INTERVAL: Duration = Duration::from_micros(32_768);
/// Pieces between two announcements of a neighbour: about a second.
const ANNOUNCED: u64 = 30;
const WALL: u64 = 1_800_000_000_000_000;

/// Takes the piece that is on its way for what it is.
#[derive(Debug, Clone, Default)]
struct Believer(Arc<Mutex<Option<Piece>>>);

impl Believer {
    fn set(&self, piece: Piece) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(piece);
    }

    fn get(&self) -> Option<Piece> {
        let piece = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        piece.clone()
    }
}

impl Verify for Believer {
    fn piece(&self, bytes: Bytes) -> Result<Piece, PieceError> {
        self.get()
            .filter(|piece| piece.bytes().len() == bytes.len())
            .ok_or(PieceError::Signature(BadSignature))
    }

    fn proof(&self, bytes: &[u8; PROOF_LEN]) -> Result<Proof, PieceError> {
        self.get()
            .map(|piece| piece.proof())
            .filter(|proof| proof.bytes() == bytes)
            .ok_or(PieceError::Signature(BadSignature))
    }
}

/// Makes pieces, each an interval after the last.
struct Broadcast {
    sealer: Sealer,
    wall: u64,
}

impl Broadcast {
    fn next(&mut self) -> Piece {
        self.wall += INTERVAL.as_micros() as u64;
        let flags = match self.sealer.next_sequence() % ANNOUNCED {
            0 => Flags::RANDOM_ACCESS,
            _ => Flags::NONE,
        };
        let mut draft = Draft::with_capacity(b"", flags, PIECE_LENGTH as usize);
        draft.extend(&[0x5a; 16_000]);
        self.sealer.seal(self.wall, draft)
    }
}

/// A viewer among neighbours who all have each piece at once.
struct World {
    swarm: Swarm,
    believer: Believer,
    lap: Lap,
    now: Now,
    neighbours: Vec<ConnId>,
    /// Who was called and has not answered.
    dialled: Vec<SocketAddr>,
    /// Who was asked for a piece, since the last one.
    asked: Vec<ConnId>,
    /// Messages in and out, and pieces that went downstream.
    messages: u64,
    delivered: u64,
}

impl World {
    fn new(neighbours: usize) -> (Self, Broadcast) {
        let key = PrivateKey::generate();
        let lap = Lap::new(18_312).expect("between the limits of a lap");
        let info = Info::new("bench", PIECE_LENGTH, lap, key.public_key()).expect("it is valid");
        let metainfo = Arc::new(Metainfo::new(info));
        let infohash = metainfo.info.infohash();
        let role = Role::Viewer {
            latency: Duration::from_secs(1),
        };
        let config = Config {
            max_peers: neighbours,
            ..Config::new(metainfo, role, *b"-LV0100-ourselves001", 7764, 1)
        };
        let now = Now {
            at: Instant::from_micros(1_000_000),
            wall: WALL,
        };
        let believer = Believer::default();
        let verifier = Box::new(believer.clone());
        let mut world = Self {
            swarm: Swarm::with_verifier(config, verifier, now),
            believer,
            lap,
            now,
            neighbours: Vec::new(),
            dialled: Vec::new(),
            asked: Vec::new(),
            messages: 0,
            delivered: 0,
        };
        let mut broadcast = Broadcast {
            sealer: Sealer::new(key, infohash, 1_000_000, WALL),
            wall: WALL,
        };
        world.handle(Input::Room(1000));
        let first = broadcast.next();
        world.reach(&first);
        // The user named them: others are let go once they are more than are of use.
        world.handle(Input::Candidates {
            origin: Origin::Configured,
            addresses: (0..neighbours).map(address).collect(),
        });
        while world.neighbours.len() < neighbours {
            for address in std::mem::take(&mut world.dialled) {
                world.meet(address, infohash, &first);
            }
            world.now.at = world.now.at + INTERVAL;
            world.handle(Input::Timeout);
        }
        // Long enough to have tuned in and to play.
        while world.delivered < 100 {
            let piece = broadcast.next();
            world.round(&piece);
            assert!(piece.sequence() < 1_001_000, "it does not play");
        }
        assert_eq!(
            world.swarm.stats(world.now).peers_connected,
            neighbours as u64
        );
        (world, broadcast)
    }

    /// The moment that a piece is there.
    fn reach(&mut self, piece: &Piece) {
        let passed = piece.time().saturating_sub(self.now.wall);
        self.now.wall += passed;
        self.now.at = self.now.at + Duration::from_micros(passed);
        self.believer.set(piece.clone());
    }

    fn handle(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        loop {
            match self.swarm.poll_output() {
                Output::Send { conn, message } => {
                    self.messages += 1;
                    if matches!(message, Message::Request(_)) {
                        self.asked.push(conn);
                    }
                    let bytes = message.wire_len();
                    self.swarm.handle(self.now, Input::Sent { conn, bytes });
                }
                Output::Deliver(_) => {
                    self.delivered += 1;
                    self.swarm.handle(self.now, Input::Room(1));
                }
                Output::HangUp { reason, .. } => panic!("a neighbour was let go: {reason}"),
                Output::Dial { address } => self.dialled.push(address),
                Output::WakeAt(_) => break,
            }
        }
        while self.swarm.poll_event().is_some() {}
    }

    fn say(&mut self, conn: ConnId, message: Message) {
        self.messages += 1;
        self.handle(Input::Received { conn, message });
    }

    /// A neighbour that was called answers.
    fn meet(&mut self, address: SocketAddr, infohash: Infohash, piece: &Piece) {
        let number = self.neighbours.len();
        let conn = ConnId(number as u64);
        self.handle(Input::Connected {
            conn,
            address,
            inbound: false,
            waited: Duration::ZERO,
        });
        let mut handshake = Handshake::new(infohash, *b"-LV0100-neighbour000");
        handshake.peer_id[12..].copy_from_slice(&number.to_be_bytes());
        let hello = ExtendedHandshake {
            m: ExtensionIds::OURS,
            listen_port: Some(7764),
            reqq: Some(256),
            live: Some(live(piece)),
            ..ExtendedHandshake::default()
        };
        self.say(conn, Message::Handshake(handshake));
        self.say(
            conn,
            Message::Extended {
                id: 0,
                payload: hello.encode(),
            },
        );
        self.say(conn, Message::HaveNone);
        self.say(conn, Message::Unchoke);
        self.neighbours.push(conn);
    }

    /// Everybody shows the piece.
    fn shown(&mut self, piece: &Piece) {
        self.reach(piece);
        self.asked.clear();
        let index = self.lap.index(piece.sequence());
        for at in 0..self.neighbours.len() {
            self.say(self.neighbours[at], Message::Have(index));
        }
    }

    /// Who was asked first gives it.
    fn given(&mut self, piece: &Piece) {
        let Some(&conn) = self.asked.first() else {
            return;
        };
        self.say(
            conn,
            Message::Piece {
                index: self.lap.index(piece.sequence()),
                begin: 0,
                block: piece.bytes().clone(),
            },
        );
    }

    /// Everybody tells how far it is.
    fn announced(&mut self, piece: &Piece) {
        let payload = live(piece).encode();
        for at in 0..self.neighbours.len() {
            let message = Message::Extended {
                id: ExtensionIds::OURS.tstream_live.expect("ours has it"),
                payload: payload.clone(),
            };
            self.say(self.neighbours[at], message);
        }
    }

    /// All that comes of a piece, from when the first shows it to when it is held.
    fn round(&mut self, piece: &Piece) {
        self.shown(piece);
        self.given(piece);
        if piece.sequence().is_multiple_of(ANNOUNCED) {
            self.announced(piece);
        }
        self.handle(Input::Timeout);
    }
}

/// Where a neighbour listens.
fn address(number: usize) -> SocketAddr {
    let [.., high, low] = number.to_be_bytes();
    SocketAddr::from(([10, 0, high, low], 7764))
}

fn live(piece: &Piece) -> Live {
    Live {
        tip: Some(*piece.proof().bytes()),
        ra: Some(piece.sequence() - piece.sequence() % ANNOUNCED),
        floor: Some(piece.sequence().saturating_sub(600)),
        hops: Some(1),
        ..Live::default()
    }
}

/// A piece, from the first neighbour that shows it to when it is held: a HAVE of each, the request and the
/// piece. Nobody is told of it, since all have it. Per second these are messages in and out.
#[divan::bench(args = NEIGHBOURS, sample_count = 200, sample_size = 10)]
fn piece(bencher: Bencher<'_, '_>, neighbours: usize) {
    let (mut world, mut broadcast) = World::new(neighbours);
    let before = world.messages;
    let sample = broadcast.next();
    world.round(&sample);
    bencher
        .counter(ItemsCount::new(world.messages - before))
        .with_inputs(|| broadcast.next())
        .bench_local_values(|piece| world.round(&piece));
    assert!(world.delivered > 1000, "it stopped to play");
}

/// Of these, the choice whom to ask, where all would do.
#[divan::bench(args = NEIGHBOURS)]
fn choice(bencher: Bencher<'_, '_>, neighbours: usize) {
    let mut rng = fastrand::Rng::with_seed(1);
    let offers: Vec<_> = (0..neighbours as u64)
        .map(|number| Offer {
            conn: ConnId(number),
            doubtful: number % 10 == 1,
            source: number == 0,
            full: number % 3 == 1,
            untried: false,
            pending: number as usize % 4,
            pipeline: 8,
            answer_time: Some(Duration::from_millis(20 + number % 7 * 10)),
        })
        .collect();
    bencher.bench_local(|| pick(black_box(&offers), Zone::Early, &mut rng));
}

/// A moment in which nothing came.
#[divan::bench(args = NEIGHBOURS)]
fn nothing(bencher: Bencher<'_, '_>, neighbours: usize) {
    let (mut world, _) = World::new(neighbours);
    bencher.bench_local(|| world.handle(Input::Timeout));
}
