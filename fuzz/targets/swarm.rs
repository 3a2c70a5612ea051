// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A whole swarm, viewer or source: any inputs in any order from several peers. After each, what was
//! delivered is what the source signed, in order, each piece once; what is kept and what is said at once
//! stays bounded; nobody is spoken to who was hung up on; and it never asks to be woken in the past.

#![no_main]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use gstlivetorrent::proto::{
    key::{BadSignature, PrivateKey},
    lap::{Lap, Sequence},
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, HEADER_LEN, PROOF_LEN, Piece, PieceError, Proof, Sealer, Verify},
    swarm::{Config, ConnId, Delivery, Input, OnLoss, Origin, Output, Playback, Role, Swarm},
    time::{Instant, Now},
    wire::{
        Block, ExtendedHandshake, Handshake, Live, Message, Pex, PexPeer, Transfers, WireError,
    },
};
use libfuzzer_sys::fuzz_target;

const PIECE_LENGTH: u32 = 16384;
const NPIECES: u32 = 256;
/// Twice the lap and more, so that it wraps.
const PIECES: usize = 600;
const FIRST: Sequence = 1_000_000;
const BEGIN: u64 = 1_700_000_000_000_000;
/// Stream between two pieces, µs.
const APART: u64 = 50_000;
const MAX_PEERS: usize = 12;
const BUFFER: usize = 1 << 20;
/// What may be kept beside pieces for a lap so short and peers so few.
const MOST_ENTRIES: usize = 40_000;
/// What may be said in answer to one input.
const MOST_OUTPUTS: usize = 5_000;

/// A broadcast, signed once for all runs.
struct Broadcast {
    metainfo: Arc<Metainfo>,
    pieces: Vec<Piece>,
}

static BROADCAST: LazyLock<Broadcast> = LazyLock::new(|| {
    let key = PrivateKey::from_pem(include_str!("../../tests/data/key.pem")).expect("a key");
    let lap = Lap::new(NPIECES).expect("a lap may be that short");
    let info = Info::new("fuzz", PIECE_LENGTH, lap, key.public_key()).expect("a stream");
    let mut sealer = Sealer::new(key, info.infohash(), FIRST, 0);
    let pieces = (0..PIECES)
        .map(|number| {
            let flags = match number {
                n if n % 17 == 0 => Flags::RANDOM_ACCESS,
                n if n % 41 == 0 => Flags::DISCONTINUITY,
                n if n + 1 == PIECES => Flags::END,
                _ => Flags::NONE,
            };
            let mut draft = Draft::new(b"tables", flags);
            draft.extend(&[number as u8; 200][..number % 200]);
            sealer.seal(BEGIN + number as u64 * APART, draft)
        })
        .collect();
    Broadcast {
        metainfo: Arc::new(Metainfo::new(info)),
        pieces,
    }
});

/// Knows every genuine piece, so that a run need not verify signatures; the target `piece` does.
#[derive(Debug)]
struct Known;

fn genuine(sequence: Sequence) -> Option<&'static Piece> {
    let number = usize::try_from(sequence.checked_sub(FIRST)?).ok()?;
    BROADCAST.pieces.get(number)
}

fn sequence_of(bytes: &[u8]) -> Option<Sequence> {
    Some(Sequence::from_be_bytes(*bytes.first_chunk()?))
}

impl Verify for Known {
    fn piece(&self, bytes: Bytes) -> std::result::Result<Piece, PieceError> {
        sequence_of(&bytes)
            .and_then(genuine)
            .filter(|piece| *piece.bytes() == bytes)
            .cloned()
            .ok_or(PieceError::Signature(BadSignature))
    }

    fn proof(&self, bytes: &[u8; PROOF_LEN]) -> std::result::Result<Proof, PieceError> {
        sequence_of(bytes)
            .and_then(genuine)
            .map(Piece::proof)
            .filter(|proof| proof.bytes() == bytes)
            .ok_or(PieceError::Signature(BadSignature))
    }
}

/// The driver of one swarm, as the fuzzer is.
struct World {
    swarm: Swarm,
    now: Instant,
    source: bool,
    published: usize,
    next_conn: u64,
    /// Who is connected, and the bytes that wait to go out to it.
    conns: BTreeMap<ConnId, usize>,
    dialing: HashSet<SocketAddr>,
    /// What each was asked for and has not answered.
    asked: HashMap<ConnId, Vec<Block>>,
    room: usize,
    delivered: Option<Sequence>,
}

impl World {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        let source = u.ratio(1, 4)?;
        let role = if source {
            Role::Source
        } else {
            Role::Viewer {
                latency: Duration::from_millis(u.int_in_range(0..=3000)?),
            }
        };
        let config = Config {
            metainfo: Arc::clone(&BROADCAST.metainfo),
            role,
            peer_id: *b"-LV0100-fuzz fuzz fu",
            listen_port: 7764,
            max_peers: MAX_PEERS,
            max_uploads: 7,
            upload_enabled: u.ratio(7, 8)?,
            upload_budget: f64::from(u.int_in_range(0..=4u8)?),
            max_upload_rate: if u.ratio(1, 4)? { 1_000_000 } else { 0 },
            buffer_size: BUFFER,
            pex: u.arbitrary()?,
            seed: u.arbitrary()?,
        };
        let now = Instant::from_micros(1_000_000);
        let swarm = Swarm::with_verifier(config, Box::new(Known), moment(now));
        let mut world = Self {
            swarm,
            now,
            source,
            published: 0,
            next_conn: 0,
            conns: BTreeMap::new(),
            dialing: HashSet::new(),
            asked: HashMap::new(),
            room: 0,
            delivered: None,
        };
        world.settle();
        Ok(world)
    }

    fn input(&mut self, input: Input) {
        self.swarm.handle(moment(self.now), input);
        self.settle();
    }

    /// Carries out what the swarm wants; when it wants to be woken.
    fn settle(&mut self) -> Option<Instant> {
        for _ in 0..MOST_OUTPUTS {
            match self.swarm.poll_output() {
                Output::WakeAt(at) => {
                    while self.swarm.poll_event().is_some() {}
                    self.check();
                    return at;
                }
                Output::Dial { address } => {
                    assert!(self.dialing.insert(address), "{address} is being dialled");
                }
                Output::Send { conn, message } => self.sent(conn, message),
                Output::HangUp { conn, .. } => {
                    assert!(self.conns.remove(&conn).is_some(), "{conn:?} is not there");
                    self.asked.remove(&conn);
                }
                Output::Deliver(delivery) => self.delivered(&delivery),
            }
        }
        panic!("more than {MOST_OUTPUTS} outputs for one input");
    }

    fn sent(&mut self, conn: ConnId, message: Message) {
        let waiting = self.conns.get_mut(&conn).expect("it is connected");
        *waiting += message.wire_len();
        match message {
            Message::Request(block) => {
                assert!(!self.source, "a source asks for nothing");
                let asked = self.asked.entry(conn).or_default();
                asked.push(block);
                assert!(asked.len() <= 2048, "requests to one peer are bounded");
            }
            Message::Cancel(block) => {
                let asked = self.asked.entry(conn).or_default();
                asked.retain(|other| *other != block);
            }
            Message::Piece { block, .. } => {
                let piece = sequence_of(&block)
                    .and_then(genuine)
                    .expect("a genuine piece");
                assert_eq!(*piece.bytes(), block);
            }
            _ => {}
        }
    }

    fn delivered(&mut self, delivery: &Delivery) {
        assert!(!self.source);
        self.room = self
            .room
            .checked_sub(1)
            .expect("no more than there is room for");
        assert!(
            self.delivered < Some(delivery.sequence),
            "in order, each at most once"
        );
        self.delivered = Some(delivery.sequence);
        let piece = genuine(delivery.sequence).expect("a genuine piece");
        assert_eq!(piece.payload(), delivery.payload);
        assert!(delivery.preamble.is_empty() || delivery.preamble == piece.preamble());
        assert!(delivery.rate > 0.5 && delivery.rate < 2.0);
    }

    fn check(&self) {
        let footprint = self.swarm.footprint();
        assert!(footprint.entries <= MOST_ENTRIES, "{footprint:?}");
        assert!(footprint.piece_bytes <= BUFFER + NPIECES as usize * PIECE_LENGTH as usize);
        assert!(footprint.pieces <= 2 * NPIECES as usize, "{footprint:?}");
        let connected = self.swarm.stats(moment(self.now)).peers.len();
        assert!(connected <= self.conns.len());
    }

    /// Time passes, and the swarm is woken when it wants.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..200 {
            let Some(at) = self.settle().filter(|at| *at <= until) else {
                break;
            };
            self.now = at.max(self.now);
            self.swarm.handle(moment(self.now), Input::Timeout);
            let next = self.settle();
            assert!(next.is_none_or(|next| next > self.now), "woken in vain");
        }
        self.now = until;
        self.input(Input::Timeout);
    }

    fn connect(
        &mut self,
        address: SocketAddr,
        inbound: bool,
        u: &mut Unstructured<'_>,
    ) -> Result<()> {
        self.next_conn += 1;
        let conn = ConnId(self.next_conn);
        self.conns.insert(conn, 0);
        self.input(Input::Connected {
            conn,
            address,
            inbound,
        });
        if u.ratio(7, 8)? {
            let mut peer_id = *b"-TE0001-peer number ";
            peer_id[19] = u.arbitrary()?;
            let infohash = BROADCAST.metainfo.info.infohash();
            self.say(conn, Message::Handshake(Handshake::new(infohash, peer_id)));
            let handshake = ExtendedHandshake {
                live: if u.ratio(7, 8)? {
                    Some(self.live(u)?)
                } else {
                    None
                },
                reqq: u.arbitrary()?,
                listen_port: u.arbitrary()?,
                entries: u.arbitrary()?,
                m: if u.ratio(7, 8)? {
                    gstlivetorrent::proto::wire::ExtensionIds::OURS
                } else {
                    Default::default()
                },
                ..ExtendedHandshake::default()
            };
            let payload = handshake.encode();
            self.say(conn, Message::Extended { id: 0, payload });
            if u.arbitrary()? {
                self.say(conn, Message::HaveNone);
            }
        }
        Ok(())
    }

    fn say(&mut self, conn: ConnId, message: Message) {
        if self.conns.contains_key(&conn) {
            self.input(Input::Received { conn, message });
        }
    }

    /// A piece near where the stream stands by the clock.
    fn piece(&self, u: &mut Unstructured<'_>) -> Result<&'static Piece> {
        let tip = (self.now.as_micros() / APART) as usize;
        let number = tip.saturating_sub(u.int_in_range(0..=80)?);
        Ok(&BROADCAST.pieces[number.min(PIECES - 1)])
    }

    fn live(&self, u: &mut Unstructured<'_>) -> Result<Live> {
        let piece = self.piece(u)?;
        let mut tip = *piece.proof().bytes();
        if u.ratio(1, 16)? {
            tip[u.choose_index(PROOF_LEN)?] ^= u.arbitrary::<u8>()?;
        }
        let near = |u: &mut Unstructured<'_>| -> Result<u64> {
            Ok(match u.int_in_range(0..=9)? {
                0 => u.arbitrary()?,
                _ => piece.sequence() - u.int_in_range(0..=120)?,
            })
        };
        Ok(Live {
            tip: u.ratio(7, 8)?.then_some(tip),
            floor: u.ratio(3, 4)?.then(|| near(u)).transpose()?,
            ra: u.arbitrary::<bool>()?.then(|| near(u)).transpose()?,
            ahead: u.int_in_range(0..=64)?,
            hops: u.arbitrary()?,
            class_hops: None,
            lag: u.arbitrary()?,
            seen: u.arbitrary()?,
            up: u.arbitrary()?,
            cap: u.arbitrary()?,
            src: u.ratio(1, 8)?,
        })
    }

    /// Any message of somebody who has greeted.
    fn message(&mut self, conn: ConnId, u: &mut Unstructured<'_>) -> Result<Message> {
        let lap = BROADCAST.metainfo.info.lap();
        let piece = self.piece(u)?;
        let index = if u.ratio(7, 8)? {
            lap.index(piece.sequence() + u.int_in_range(0..=20)?)
        } else {
            u.int_in_range(0..=NPIECES)?
        };
        let block = Block {
            index,
            begin: 0,
            length: PIECE_LENGTH,
        };
        Ok(match u.int_in_range(0..=17)? {
            0 => Message::Choke,
            1 | 2 => Message::Unchoke,
            3 => Message::Interested,
            4 => Message::NotInterested,
            5..=7 => Message::Have(index),
            8 => Message::Request(block),
            9 => Message::Cancel(block),
            10 => Message::Reject(block),
            11 => Message::Bitfield(u.bytes(NPIECES as usize / 8)?.to_vec().into()),
            12 => Message::Extended {
                id: 3,
                payload: self.live(u)?.encode(),
            },
            13 => Message::Extended {
                id: u.int_in_range(0..=4)?,
                payload: self.payload(u)?,
            },
            _ => {
                let asked = self.asked.get_mut(&conn).and_then(|asked| asked.pop());
                let index = asked.map_or(index, |asked| asked.index);
                let asked_for = (index < NPIECES)
                    .then(|| lap.unwrap(index, piece.sequence()))
                    .flatten();
                let piece = asked_for.and_then(genuine).unwrap_or(piece);
                let mut block = piece.bytes().to_vec();
                if u.ratio(1, 16)? {
                    let at = u.choose_index(block.len())?;
                    block[at] ^= u.arbitrary::<u8>()?;
                }
                if u.ratio(1, 32)? {
                    block.truncate(HEADER_LEN);
                }
                Message::Piece {
                    index,
                    begin: 0,
                    block: block.into(),
                }
            }
        })
    }

    fn payload(&self, u: &mut Unstructured<'_>) -> Result<Bytes> {
        Ok(match u.int_in_range(0..=2)? {
            0 => {
                let peer = |u: &mut Unstructured<'_>| -> Result<PexPeer> {
                    Ok(PexPeer {
                        address: address(u)?,
                        flags: u.arbitrary()?,
                    })
                };
                let added = (0..u.int_in_range(0..=60)?)
                    .map(|_| peer(u))
                    .collect::<Result<_>>()?;
                Pex {
                    added,
                    ..Pex::default()
                }
                .encode()
            }
            1 => Transfers(u.arbitrary()?).encode(),
            _ => {
                let length = u.arbitrary_len::<u8>()?.min(200);
                u.bytes(length)?.to_vec().into()
            }
        })
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let conn = (!self.conns.is_empty())
            .then(|| u.choose_iter(self.conns.keys().copied()))
            .transpose()?;
        match (u.int_in_range(0..=23)?, conn) {
            (0, _) if self.conns.len() < 2 * MAX_PEERS => {
                let address = address(u)?;
                self.connect(address, true, u)?;
            }
            (1, _) => {
                let Some(address) = self.dialing.iter().min().copied() else {
                    return Ok(());
                };
                self.dialing.remove(&address);
                if u.ratio(3, 4)? {
                    self.connect(address, false, u)?;
                } else {
                    self.input(Input::DialFailed { address });
                }
            }
            (2, _) => {
                let addresses = (0..u.int_in_range(0..=300)?)
                    .map(|_| address(u))
                    .collect::<Result<_>>()?;
                let origin = *u.choose(&[Origin::Announce, Origin::Configured, Origin::Tracker])?;
                self.input(Input::Candidates { origin, addresses });
            }
            (3..=5, _) => {
                let most = if u.ratio(1, 40)? { 3600_000 } else { 400 };
                self.pass(Duration::from_millis(u.int_in_range(0..=most)?));
            }
            (6 | 7, _) if self.source => {
                if let Some(piece) = BROADCAST.pieces.get(self.published) {
                    self.published += 1;
                    self.input(Input::Publish(piece.clone()));
                }
            }
            (6 | 7, _) => {
                self.room += 8;
                self.input(Input::Room(8));
            }
            (8, _) if !self.source => match u.int_in_range(0..=4)? {
                0 => self.input(Input::Pause),
                1 => self.input(Input::Resume {
                    keep_position: u.arbitrary()?,
                }),
                2 => self.input(Input::JumpToLive),
                _ => self.input(Input::SetPlayback(Playback {
                    latency: Duration::from_millis(u.int_in_range(0..=10_000)?),
                    max_rate_change: f64::from(u.int_in_range(0..=20u8)?) / 100.0,
                    on_loss: *u.choose(&[OnLoss::Skip, OnLoss::NextKeyframe])?,
                    start_offset: Duration::from_millis(u.int_in_range(0..=20_000)?),
                })),
            },
            (9, Some(conn)) if u.ratio(1, 8)? => {
                self.conns.remove(&conn);
                self.asked.remove(&conn);
                let reason = "gone".to_owned();
                self.input(Input::Closed { conn, reason });
            }
            (10, Some(conn)) if u.ratio(1, 8)? => {
                let error = WireError::TooLong(u.arbitrary()?);
                self.input(Input::Malformed { conn, error });
            }
            (11 | 12, _) => {
                let conns: Vec<_> = self.conns.keys().copied().collect();
                for conn in conns {
                    let Some(bytes) = self.conns.get_mut(&conn).map(std::mem::take) else {
                        continue;
                    };
                    self.input(Input::Sent { conn, bytes });
                }
            }
            (_, Some(conn)) => {
                let message = self.message(conn, u)?;
                self.say(conn, message);
            }
            _ => {}
        }
        Ok(())
    }
}

fn moment(at: Instant) -> Now {
    Now {
        at,
        wall: BEGIN + at.as_micros(),
    }
}

/// One of some hundred, so that they meet again.
fn address(u: &mut Unstructured<'_>) -> Result<SocketAddr> {
    let host: u8 = u.int_in_range(0..=30)?;
    let port: u16 = u.int_in_range(0..=3)?;
    Ok(if u.ratio(1, 8)? {
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into()], 7000 + port))
    } else {
        SocketAddr::from(([10, 0, 0, host], 7000 + port))
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut u = Unstructured::new(bytes);
    // The bytes end where an error comes; what was done until then counts.
    let Ok(mut world) = World::new(&mut u) else {
        return;
    };
    while !u.is_empty() && world.step(&mut u).is_ok() {}
});
