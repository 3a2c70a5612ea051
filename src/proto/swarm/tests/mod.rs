// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One swarm and peers that are scripted message by message.

mod ahead;
mod asking;
mod bounds;
mod calling;
mod fuzz;
mod giving;
mod greeting;
mod playing;
mod race;
mod talk;
mod watching;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{super::super::proto, *};
use proto::{
    key::PrivateKey,
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, Sealer},
    wire::{Block, ExtendedHandshake, ExtensionIds, Handshake, Live},
};

const WALL: u64 = 1_800_000_000_000_000;
const PIECE_LENGTH: u32 = 20_000;
const NPIECES: u32 = 256;
/// The ids by which the scripted peer wants extended messages.
const IDS: ExtensionIds = ExtensionIds {
    ut_pex: Some(11),
    tr_g2g_v2: Some(12),
    tstream_live: Some(13),
};
const OUR_LIVE: u8 = 3;
const PEER_ID: [u8; 20] = *b"-LV0100-scripted0001";

struct Script {
    swarm: Swarm,
    now: Now,
    key: PrivateKey,
    sealer: Sealer,
    metainfo: Arc<Metainfo>,
    sent: Vec<(ConnId, Message)>,
    delivered: Vec<Delivery>,
    hung_up: Vec<ConnId>,
    dialled: Vec<SocketAddr>,
    /// Connections that take nothing in.
    held_up: Vec<ConnId>,
    events: Vec<Event>,
}

fn metainfo(key: &PrivateKey) -> Metainfo {
    let lap = Lap::new(NPIECES).unwrap();
    let info = Info::new("script", PIECE_LENGTH, lap, key.public_key()).unwrap();
    Metainfo::new(info)
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], 7764))
}

impl Script {
    fn new(role: Role) -> Self {
        Self::with(role, |_| {})
    }

    fn viewer() -> Self {
        Self::new(Role::Viewer {
            latency: Duration::from_secs(1),
        })
    }

    fn with(role: Role, change: impl FnOnce(&mut Config)) -> Self {
        let key = PrivateKey::generate();
        let peer_id = *b"-LV0100-ourselves001";
        let mut config = Config::new(Arc::new(metainfo(&key)), role, peer_id, 7764, 1);
        change(&mut config);
        let metainfo = config.metainfo.clone();
        let now = Now {
            at: Instant::from_micros(1_000_000),
            wall: WALL,
        };
        let mut script = Self {
            swarm: Swarm::new(config, now),
            now,
            sealer: Sealer::new(key.clone(), metainfo.info.infohash(), 1_000_000, 0),
            key,
            metainfo,
            sent: Vec::new(),
            delivered: Vec::new(),
            hung_up: Vec::new(),
            dialled: Vec::new(),
            held_up: Vec::new(),
            events: Vec::new(),
        };
        script.input(Input::Room(1000));
        script
    }

    fn input(&mut self, input: Input) {
        self.swarm.handle(self.now, input);
        loop {
            match self.swarm.poll_output() {
                Output::Send { conn, message } => {
                    let bytes = message.wire_len();
                    self.sent.push((conn, message));
                    if !self.held_up.contains(&conn) {
                        self.swarm.handle(self.now, Input::Sent { conn, bytes });
                    }
                }
                Output::Deliver(delivery) => self.delivered.push(delivery),
                Output::HangUp { conn, .. } => self.hung_up.push(conn),
                Output::Dial { address } => self.dialled.push(address),
                Output::WakeAt(_) => break,
            }
        }
        while let Some(event) = self.swarm.poll_event() {
            self.events.push(event);
        }
    }

    fn pass(&mut self, duration: Duration) {
        let until = self.now.at + duration;
        while self.now.at < until {
            let step = until.since(self.now.at).min(Duration::from_millis(50));
            self.now.at = self.now.at + step;
            self.now.wall += step.as_micros() as u64;
            self.input(Input::Timeout);
        }
    }

    fn say(&mut self, conn: ConnId, message: Message) {
        self.input(Input::Received { conn, message });
    }

    fn handshake(&self) -> Handshake {
        Handshake {
            reserved: [0, 0, 0, 0, 0, 0x10, 0, 0x04],
            infohash: self.metainfo.info.infohash(),
            peer_id: PEER_ID,
        }
    }

    fn hello(live: Live) -> Message {
        let hello = ExtendedHandshake {
            m: IDS,
            listen_port: Some(7764),
            client: "script".to_owned(),
            reqq: Some(256),
            yourip: None,
            live: Some(live),
            entries: Vec::new(),
        };
        Message::Extended {
            id: 0,
            payload: hello.encode(),
        }
    }

    fn call(&mut self, conn: ConnId, host: u8) {
        self.input(Input::Connected {
            conn,
            address: address(host),
            inbound: true,
            waited: Duration::ZERO,
        });
    }

    /// A peer that calls and says everything it must.
    fn meet(&mut self, number: u64, live: Live, bits: Message) -> ConnId {
        let conn = ConnId(number);
        self.call(conn, number as u8);
        self.introduce(number, live, bits);
        conn
    }

    /// A peer that is called and says everything it must.
    fn meet_called(&mut self, number: u64, live: Live, bits: Message) -> ConnId {
        let conn = ConnId(number);
        let address = address(number as u8);
        self.input(Input::Connected {
            conn,
            address,
            inbound: false,
            waited: Duration::ZERO,
        });
        self.introduce(number, live, bits);
        conn
    }

    fn introduce(&mut self, number: u64, live: Live, bits: Message) {
        let conn = ConnId(number);
        let mut handshake = self.handshake();
        handshake.peer_id[19] = number as u8;
        self.say(conn, Message::Handshake(handshake));
        self.say(conn, Self::hello(live));
        self.say(conn, bits);
    }

    fn seal(&mut self, payload: usize, flags: Flags) -> Piece {
        let mut draft = Draft::new(b"", flags);
        draft.extend(&vec![7; payload]);
        self.sealer.seal(self.now.wall, draft)
    }

    /// The source comes back as a new process; `gap` sequences never exist.
    fn restart(&mut self, gap: u64) {
        let next = self.sealer.next_sequence() + gap;
        let time = self.sealer.last_time();
        let infohash = self.metainfo.info.infohash();
        self.sealer = Sealer::new(self.key.clone(), infohash, next, time);
    }

    fn publish(&mut self, payload: usize) -> Piece {
        let piece = self.seal(payload, Flags::RANDOM_ACCESS);
        self.input(Input::Publish(piece.clone()));
        piece
    }

    fn block(&self, sequence: Sequence) -> Block {
        Block {
            index: self.swarm.lap.index(sequence),
            begin: 0,
            length: PIECE_LENGTH,
        }
    }

    fn ask(&mut self, conn: ConnId, sequence: Sequence) {
        let block = self.block(sequence);
        self.say(conn, Message::Request(block));
    }

    fn answer(&mut self, conn: ConnId, piece: &Piece) {
        let bytes = piece.bytes().clone();
        let index = self.swarm.lap.index(piece.sequence());
        self.answer_at(conn, index, &bytes);
    }

    fn answer_at(&mut self, conn: ConnId, index: u32, bytes: &Bytes) {
        for begin in (0..bytes.len()).step_by(16_384) {
            let block = bytes.slice(begin..(begin + 16_384).min(bytes.len()));
            let begin = begin as u32;
            self.say(
                conn,
                Message::Piece {
                    index,
                    begin,
                    block,
                },
            );
        }
    }

    fn take_sent(&mut self, conn: ConnId) -> Vec<Message> {
        let (ours, rest) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(to, _)| *to == conn);
        self.sent = rest;
        ours.into_iter().map(|(_, message)| message).collect()
    }

    fn was_asked(&mut self, conn: ConnId, piece: &Piece) -> bool {
        let request = Message::Request(self.block(piece.sequence()));
        self.take_sent(conn).contains(&request)
    }

    fn banned(&self) -> u64 {
        self.swarm.stats(self.now).peers_banned
    }

    fn tip_of(piece: &Piece) -> Live {
        Live {
            tip: Some(*piece.proof().bytes()),
            ra: Some(piece.sequence()),
            floor: Some(piece.sequence()),
            ..Live::default()
        }
    }

    fn have(&self, piece: &Piece) -> Message {
        Message::Have(self.swarm.lap.index(piece.sequence()))
    }

    /// A peer announces `live` once more.
    fn announce(&mut self, conn: ConnId, live: Live) {
        let payload = live.encode();
        let id = OUR_LIVE;
        self.say(conn, Message::Extended { id, payload });
    }

    /// A peer shows one more piece, its newest, and gives it when it is asked.
    fn give(&mut self, conn: ConnId, piece: &Piece) {
        self.announce(conn, Self::tip_of(piece));
        let have = self.have(piece);
        self.say(conn, have);
        if self.was_asked(conn, piece) {
            self.answer(conn, piece);
        }
    }

    fn delivered(&self) -> Vec<Sequence> {
        self.delivered.iter().map(|d| d.sequence).collect()
    }

    /// A peer that shows `piece` as its tip and unchokes us.
    fn meet_holder(&mut self, number: u64, piece: &Piece) -> ConnId {
        let conn = self.meet(number, Self::tip_of(piece), Message::HaveNone);
        let have = self.have(piece);
        self.say(conn, have);
        self.say(conn, Message::Unchoke);
        conn
    }
}
