// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A whole swarm, viewer or source: any inputs in any order from several peers, of a stream that ends, starts
//! again and leaves sequences out. After each, what was delivered is what the source signed, in order, each
//! piece once; each request that a peer made has one answer at most, whole and of the same fields, and nobody
//! gets one that asked for nothing; what is kept and what is said at once stays bounded; nobody is spoken to
//! who was hung up on; and it never asks to be woken in the past. At the end no request is without its answer.

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

/// Up to three blocks.
const PIECE_LENGTH: u32 = 40_000;
const BLOCK: usize = 16 * 1024;
const NPIECES: u32 = 256;
/// Twice the lap and more, so that it wraps.
const PIECES: usize = 600;
const FIRST: Sequence = 1_000_000;
const BEGIN: u64 = 1_700_000_000_000_000;
/// Pieces of each start but the last, and the sequences that the next one leaves out: less than a request
/// ahead spans, and laps.
const STARTS: [(usize, u64); 3] = [(130, 10), (200, 65_536), (90, 300)];
/// Stream between two pieces, µs.
const APART: u64 = 50_000;
const MAX_PEERS: usize = 12;
/// Less than a window holds.
const BUFFER: usize = 256 << 10;
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
    let mut sealer = Sealer::new(key.clone(), info.infohash(), FIRST, 0);
    let mut starts = STARTS.into_iter();
    let mut coming = starts.next();
    let mut left = coming.map_or(PIECES, |(pieces, _)| pieces);
    let mut pieces = Vec::with_capacity(PIECES);
    for number in 0..PIECES {
        if left == 0 {
            let next = sealer.next_sequence() + coming.map_or(0, |(_, left_out)| left_out);
            sealer = Sealer::new(key.clone(), info.infohash(), next, sealer.last_time());
            coming = starts.next();
            left = coming.map_or(PIECES, |(pieces, _)| pieces);
        }
        left -= 1;
        let flags = match number {
            n if n + 1 == PIECES => Flags::END,
            // The first start ends as it should, the others break off.
            n if n + 1 == STARTS[0].0 => Flags::END,
            n if n % 17 == 0 => Flags::RANDOM_ACCESS,
            n if n % 41 == 0 => Flags::DISCONTINUITY,
            _ => Flags::NONE,
        };
        let mut draft = Draft::new(b"tables", flags);
        // A few are longer than a block, or two.
        let payload = match number % 32 {
            5 => 20_000,
            21 => 39_000,
            _ => number % 200,
        };
        draft.extend(&vec![number as u8; payload]);
        pieces.push(sealer.seal(BEGIN + number as u64 * APART, draft));
    }
    Broadcast {
        metainfo: Arc::new(Metainfo::new(info)),
        pieces,
    }
});

/// Knows every genuine piece, so that a run need not verify signatures; the target `piece` does.
#[derive(Debug)]
struct Known;

fn genuine(sequence: Sequence) -> Option<&'static Piece> {
    let pieces = &BROADCAST.pieces;
    let at = pieces.binary_search_by_key(&sequence, Piece::sequence);
    at.ok().map(|at| &pieces[at])
}

fn whole(index: u32) -> Block {
    Block {
        index,
        begin: 0,
        length: PIECE_LENGTH,
    }
}

/// Takes one of `index` out; whether there was one.
fn settled(blocks: &mut Vec<Block>, index: u32) -> bool {
    let at = blocks.iter().position(|block| block.index == index);
    at.map(|at| blocks.remove(at)).is_some()
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
    /// What each asked for and has no answer to, those of one index as often as it was asked for.
    owed: HashMap<ConnId, Vec<Block>>,
    /// The answer under way to each: its index, and the blocks that came.
    giving: HashMap<ConnId, (u32, Vec<u8>)>,
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
            owed: HashMap::new(),
            giving: HashMap::new(),
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
                    assert!(self.conns.contains_key(&conn), "{conn:?} is not there");
                    self.gone(conn);
                }
                Output::Deliver(delivery) => self.delivered(&delivery),
            }
        }
        panic!("more than {MOST_OUTPUTS} outputs for one input");
    }

    fn gone(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        self.asked.remove(&conn);
        self.owed.remove(&conn);
        self.giving.remove(&conn);
    }

    fn sent(&mut self, conn: ConnId, message: Message) {
        let waiting = self.conns.get_mut(&conn).expect("it is connected");
        *waiting += message.wire_len();
        match message {
            Message::Request(block) => {
                assert!(!self.source, "a source asks for nothing");
                assert_eq!(block, whole(block.index));
                let asked = self.asked.entry(conn).or_default();
                assert!(!asked.contains(&block), "asked for twice at once");
                asked.push(block);
                assert!(asked.len() <= 256, "requests to one peer are bounded");
            }
            Message::Cancel(block) => {
                let asked = self.asked.entry(conn).or_default();
                assert!(asked.contains(&block), "a CANCEL of what was not asked for");
            }
            Message::Reject(block) => {
                assert_eq!(block, whole(block.index), "it repeats the fields");
                let owed = self.owed.entry(conn).or_default();
                assert!(settled(owed, block.index), "a REJECT of nothing");
                // A second request of the same index may be rejected while the first is answered.
                let under_way = self.giving.get(&conn).map(|(index, _)| *index);
                let both = under_way != Some(block.index) || owed.contains(&block);
                assert!(both, "an answer that began is finished");
            }
            Message::Piece {
                index,
                begin,
                block,
            } => self.gave(conn, index, begin, &block),
            _ => {}
        }
    }

    /// A block of an answer goes out.
    fn gave(&mut self, conn: ConnId, index: u32, begin: u32, block: &[u8]) {
        let begun = self.giving.remove(&conn);
        let (under_way, mut bytes) = begun.unwrap_or((index, Vec::new()));
        assert_eq!(under_way, index, "answers are not mixed");
        assert_eq!(begin as usize, bytes.len(), "the next block");
        bytes.extend_from_slice(block);
        let piece = sequence_of(&bytes).and_then(genuine);
        let piece = piece.expect("a genuine piece").bytes();
        assert_eq!(block.len(), (piece.len() - begin as usize).min(BLOCK));
        let owed = self.owed.entry(conn).or_default();
        if bytes.len() < piece.len() {
            assert!(owed.contains(&whole(index)), "an answer to nothing");
            self.giving.insert(conn, (index, bytes));
            return;
        }
        assert_eq!(*piece, bytes);
        assert!(settled(owed, index), "an answer to nothing");
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
            waited: Duration::ZERO,
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
        if !self.conns.contains_key(&conn) {
            return;
        }
        match &message {
            Message::Request(block) => self.owed.entry(conn).or_default().push(*block),
            Message::Reject(block) => {
                settled(self.asked.entry(conn).or_default(), block.index);
            }
            _ => {}
        }
        self.input(Input::Received { conn, message });
    }

    /// Somebody answers, asked or not.
    fn give(&mut self, conn: ConnId, index: u32, bytes: &Bytes) {
        settled(self.asked.entry(conn).or_default(), index);
        for begin in (0..bytes.len()).step_by(BLOCK) {
            let block = bytes.slice(begin..(begin + BLOCK).min(bytes.len()));
            let begin = begin as u32;
            let message = Message::Piece {
                index,
                begin,
                block,
            };
            self.say(conn, message);
        }
    }

    /// All that waits to go out has gone.
    fn flush(&mut self) {
        let conns: Vec<_> = self.conns.keys().copied().collect();
        for conn in conns {
            let Some(bytes) = self.conns.get_mut(&conn).map(std::mem::take) else {
                continue;
            };
            self.input(Input::Sent { conn, bytes });
        }
    }

    /// Everybody takes back what has no answer, and takes in what comes: then nothing is owed.
    fn end(&mut self) {
        let owed: Vec<_> = self
            .owed
            .iter()
            .flat_map(|(conn, blocks)| blocks.iter().map(|block| (*conn, *block)))
            .collect();
        for (conn, block) in owed {
            self.say(conn, Message::Cancel(block));
        }
        // At the lowest rate a few seconds.
        for _ in 0..200 {
            if self.owed.values().all(Vec::is_empty) {
                return;
            }
            self.flush();
            self.pass(Duration::from_millis(100));
        }
        let owed = &self.owed;
        assert!(owed.values().all(Vec::is_empty), "no answer came: {owed:?}");
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
            called: u.arbitrary()?,
        })
    }

    /// Any message of somebody who has greeted.
    fn message(&mut self, u: &mut Unstructured<'_>) -> Result<Message> {
        let lap = BROADCAST.metainfo.info.lap();
        let piece = self.piece(u)?;
        let index = if u.ratio(7, 8)? {
            lap.index(piece.sequence() + u.int_in_range(0..=20)?)
        } else {
            u.int_in_range(0..=NPIECES)?
        };
        let block = whole(index);
        Ok(match u.int_in_range(0..=13)? {
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
            _ => Message::Extended {
                id: u.int_in_range(0..=4)?,
                payload: self.payload(u)?,
            },
        })
    }

    /// Somebody answers what it was asked, or something else.
    fn some_answer(&mut self, conn: ConnId, u: &mut Unstructured<'_>) -> Result<()> {
        let lap = BROADCAST.metainfo.info.lap();
        let piece = self.piece(u)?;
        let asked = self.asked.get(&conn).and_then(|asked| asked.last());
        let index = match asked.filter(|_| !u.ratio(1, 16).unwrap_or(true)) {
            Some(asked) => asked.index,
            None => u.int_in_range(0..=NPIECES)?,
        };
        let asked_for = (index < NPIECES)
            .then(|| lap.unwrap(index, piece.sequence()))
            .flatten();
        let piece = asked_for.and_then(genuine).unwrap_or(piece);
        let mut bytes = piece.bytes().to_vec();
        if u.ratio(1, 16)? {
            let at = u.choose_index(bytes.len())?;
            bytes[at] ^= u.arbitrary::<u8>()?;
        }
        if u.ratio(1, 32)? {
            bytes.truncate(HEADER_LEN);
        }
        self.give(conn, index, &bytes.into());
        Ok(())
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
                self.gone(conn);
                let reason = "gone".to_owned();
                self.input(Input::Closed { conn, reason });
            }
            (10, Some(conn)) if u.ratio(1, 8)? => {
                let error = WireError::TooLong(u.arbitrary()?);
                self.input(Input::Malformed { conn, error });
            }
            (11 | 12, _) => self.flush(),
            (13..=15, Some(conn)) => self.some_answer(conn, u)?,
            (_, Some(conn)) => {
                let message = self.message(u)?;
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
    world.end();
});
