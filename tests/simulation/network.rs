// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Many swarms in virtual time over a modelled network.
//!
//! The model: every host has an uplink of finite rate that serves its messages first in, first
//! out; every pair of hosts has a propagation delay; a connection delivers reliably and in order.
//! There is no loss and no finite downlink here.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use crate::model::source::same_key;
use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::Lap,
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, Piece, Sealer},
    stats::Stats,
    swarm::{Config, ConnId, Delivery, Event, Input, Origin, Output, Role, Swarm},
    time::{Instant, Now},
    wire::Message,
};

/// The calendar at the start of every simulation, µs since the Unix epoch.
const WALL: u64 = 1_800_000_000_000_000;
pub(crate) const PIECE_LENGTH: u32 = 16_384;

/// One host.
pub(crate) struct Host {
    pub(crate) swarm: Swarm,
    pub(crate) deliveries: Vec<(Instant, Delivery)>,
    pub(crate) events: Vec<Event>,
    address: SocketAddr,
    uplink: f64,
    uplink_free: Instant,
    /// Bits per second that it can receive; infinite unless set.
    pub(crate) downlink: f64,
    downlink_free: Instant,
    /// This end's connection to the other host's and its number there.
    links: BTreeMap<ConnId, (usize, ConnId)>,
    /// When the last message on each connection arrives, so that none overtakes another.
    arrived: BTreeMap<ConnId, Instant>,
    wake: Option<Instant>,
    /// Hosts it cannot reach.
    walls: BTreeSet<usize>,
    pub(crate) alive: bool,
}

enum Happening {
    Wake(usize),
    Input(usize, Input),
}

/// The whole network.
pub(crate) struct Network {
    pub(crate) hosts: Vec<Host>,
    pub(crate) now: Instant,
    /// Where the source is.
    source: SocketAddr,
    metainfo: Arc<Metainfo>,
    key: PrivateKey,
    sealer: Sealer,
    pub(crate) published: Vec<Piece>,
    /// When each was.
    pub(crate) published_at: Vec<Instant>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next_number: u64,
    next_conn: u64,
    delay: Duration,
    seed: u64,
}

impl Network {
    /// A source (host 0) with this uplink in bits per second, and this delay between any two hosts.
    pub(crate) fn new(seed: u64, npieces: u32, uplink: f64, delay: Duration) -> Self {
        let key = same_key();
        let lap = Lap::new(npieces).unwrap();
        let info = Info::new("simulation", PIECE_LENGTH, lap, key.public_key()).unwrap();
        let metainfo = Arc::new(Metainfo::new(info));
        let sealer = Sealer::new(key.clone(), metainfo.info.infohash(), WALL, 0);
        let mut network = Self {
            hosts: Vec::new(),
            now: Instant::from_micros(1_000_000),
            source: SocketAddr::from(([10, 0, 0, 1], 7764)),
            metainfo,
            key,
            sealer,
            published: Vec::new(),
            published_at: Vec::new(),
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next_number: 0,
            next_conn: 1,
            delay,
            seed,
        };
        network.add(Role::Source, uplink);
        network
    }

    /// Another viewer, which knows the source's address and those of `peers`.
    pub(crate) fn join(&mut self, latency: Duration, uplink: f64, peers: &[usize]) -> usize {
        let viewer = self.add(Role::Viewer { latency }, uplink);
        self.introduce(viewer, peers);
        viewer
    }

    /// Another viewer, which cannot dial the source.
    pub(crate) fn join_behind(&mut self, latency: Duration, uplink: f64, peers: &[usize]) -> usize {
        let viewer = self.add(Role::Viewer { latency }, uplink);
        self.hosts[viewer].walls.insert(0);
        self.introduce(viewer, peers);
        viewer
    }

    /// Another viewer, whose downstream takes nothing yet.
    pub(crate) fn join_paused(&mut self, latency: Duration, uplink: f64, peers: &[usize]) -> usize {
        let viewer = self.add(Role::Viewer { latency }, uplink);
        let source = self.hosts[0].address;
        self.input(viewer, candidates(Origin::Announce, vec![source]));
        self.meet(viewer, peers);
        viewer
    }

    fn introduce(&mut self, viewer: usize, peers: &[usize]) {
        let source = self.hosts[0].address;
        self.input(viewer, Input::Room(usize::MAX));
        self.input(viewer, candidates(Origin::Announce, vec![source]));
        self.meet(viewer, peers);
    }

    /// Tells a viewer of others.
    pub(crate) fn meet(&mut self, viewer: usize, peers: &[usize]) {
        let others = peers.iter().map(|&peer| self.hosts[peer].address).collect();
        self.input(viewer, candidates(Origin::Configured, others));
    }

    fn add(&mut self, role: Role, uplink: f64) -> usize {
        let number = self.hosts.len();
        let host = self.host(number, role, uplink);
        self.hosts.push(host);
        self.pump(number);
        number
    }

    fn host(&self, number: usize, role: Role, uplink: f64) -> Host {
        let octets = u32::try_from(number).unwrap().to_be_bytes();
        let address = match number {
            0 => self.source,
            _ => SocketAddr::from(([10, octets[1], octets[2], octets[3] + 1], 7764)),
        };
        let mut peer_id = *b"-LV0100-            ";
        peer_id[8..16].copy_from_slice(&self.now.as_micros().to_be_bytes());
        peer_id[16..].copy_from_slice(&octets);
        let seed = self
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(number as u64);
        let config = Config::new(self.metainfo.clone(), role, peer_id, 7764, seed);
        Host {
            swarm: Swarm::new(config, self.clock()),
            deliveries: Vec::new(),
            events: Vec::new(),
            address,
            uplink,
            uplink_free: self.now,
            downlink: f64::INFINITY,
            downlink_free: self.now,
            links: BTreeMap::new(),
            arrived: BTreeMap::new(),
            wake: None,
            walls: BTreeSet::new(),
            alive: true,
        }
    }

    /// Takes a host off the network without a word.
    pub(crate) fn kill(&mut self, host: usize) {
        self.hosts[host].alive = false;
        let links: Vec<_> = std::mem::take(&mut self.hosts[host].links)
            .into_values()
            .collect();
        for (other, conn) in links {
            self.hosts[other].links.remove(&conn);
            let reason = "reset".to_owned();
            self.input(other, Input::Closed { conn, reason });
        }
    }

    /// Cuts each connection of a host with this chance; what is under way on it is lost.
    pub(crate) fn cut(&mut self, host: usize, chance: f64, rng: &mut fastrand::Rng) {
        let links = self.hosts[host].links.clone();
        for (ours, (other, theirs)) in links {
            if rng.f64() >= chance {
                continue;
            }
            self.hosts[host].links.remove(&ours);
            self.hosts[other].links.remove(&theirs);
            for (end, conn) in [(host, ours), (other, theirs)] {
                let reason = "reset".to_owned();
                self.input(end, Input::Closed { conn, reason });
            }
        }
    }

    /// The source is to come back at another address.
    pub(crate) fn move_source(&mut self) {
        self.source = SocketAddr::from(([10, 255, 0, 1], 7764));
    }

    /// A tracker tells a viewer of others.
    pub(crate) fn tracker_tells(&mut self, viewer: usize, peers: &[usize]) {
        let others = peers.iter().map(|&peer| self.hosts[peer].address).collect();
        self.input(viewer, candidates(Origin::Tracker, others));
    }

    /// The source comes back as a new process under the same key.
    pub(crate) fn restart_source(&mut self, uplink: f64) {
        let next = self.sealer.next_sequence() + 65_536;
        let time = self.sealer.last_time();
        let infohash = self.metainfo.info.infohash();
        self.sealer = Sealer::new(self.key.clone(), infohash, next, time);
        self.hosts[0] = self.host(0, Role::Source, uplink);
        self.pump(0);
    }

    /// The source closes a piece of `payload` bytes that say which they are.
    pub(crate) fn publish(&mut self, payload: usize, flags: Flags) {
        let preamble: &[u8] = if flags.contains(Flags::RANDOM_ACCESS) {
            b"preamble"
        } else {
            b""
        };
        let mut draft = Draft::new(preamble, flags);
        let number = self.published.len() as u64;
        let bytes: Vec<_> = number
            .to_be_bytes()
            .into_iter()
            .cycle()
            .take(payload)
            .collect();
        draft.extend(&bytes);
        let wall = self.clock().wall;
        let piece = self.sealer.seal(wall, draft);
        self.published.push(piece.clone());
        self.published_at.push(self.now);
        self.input(0, Input::Publish(piece));
    }

    /// Publishes `rate` pieces a second for so long, a random access point every second.
    pub(crate) fn broadcast(&mut self, seconds: u64, rate: u64) {
        for number in 0..seconds * rate {
            let flags = if number % rate == 0 {
                Flags::RANDOM_ACCESS
            } else {
                Flags::NONE
            };
            self.publish(16_000, flags);
            self.run(Duration::from_micros(1_000_000 / rate));
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(&Reverse((at, number))) = self.queue.peek() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(at);
            match self.happenings.remove(&number) {
                Some(Happening::Input(host, input)) => self.input(host, input),
                Some(Happening::Wake(host)) if self.hosts[host].wake == Some(at) => {
                    self.hosts[host].wake = None;
                    self.input(host, Input::Timeout);
                }
                _ => {}
            }
        }
        self.now = until;
    }

    pub(crate) fn stats(&self, host: usize) -> Stats {
        self.hosts[host].swarm.stats(self.clock())
    }

    fn clock(&self) -> Now {
        Now {
            at: self.now,
            wall: WALL + self.now.as_micros(),
        }
    }

    /// Hands a host something and does what it wants done.
    pub(crate) fn input(&mut self, host: usize, input: Input) {
        if !self.hosts[host].alive {
            return;
        }
        let now = self.clock();
        self.hosts[host].swarm.handle(now, input);
        self.pump(host);
    }

    fn pump(&mut self, host: usize) {
        loop {
            match self.hosts[host].swarm.poll_output() {
                Output::WakeAt(at) => {
                    if at != self.hosts[host].wake {
                        self.hosts[host].wake = at;
                        if let Some(at) = at {
                            self.later(at, Happening::Wake(host));
                        }
                    }
                    break;
                }
                Output::Deliver(delivery) => {
                    let now = self.now;
                    self.hosts[host].deliveries.push((now, delivery));
                }
                Output::Dial { address } => self.dial(host, address),
                Output::Send { conn, message } => self.carry(host, conn, message),
                Output::HangUp { conn, .. } => self.hang_up(host, conn),
            }
        }
        while let Some(event) = self.hosts[host].swarm.poll_event() {
            self.hosts[host].events.push(event);
        }
    }

    fn dial(&mut self, host: usize, address: SocketAddr) {
        let found = self
            .hosts
            .iter()
            .position(|other| other.address == address && other.alive);
        let found = found.filter(|other| !self.hosts[host].walls.contains(other));
        let Some(other) = found else {
            let failed = Input::DialFailed { address };
            self.later(self.now + self.delay, Happening::Input(host, failed));
            return;
        };
        let (ours, theirs) = (ConnId(self.next_conn), ConnId(self.next_conn + 1));
        self.next_conn += 2;
        self.hosts[host].links.insert(ours, (other, theirs));
        self.hosts[other].links.insert(theirs, (host, ours));
        let caller = SocketAddr::new(self.hosts[host].address.ip(), 40_000);
        for (end, conn, address, inbound) in
            [(other, theirs, caller, true), (host, ours, address, false)]
        {
            let connected = Input::Connected {
                conn,
                address,
                inbound,
                waited: Duration::ZERO,
            };
            let at = self.now + self.delay * if inbound { 1 } else { 2 };
            self.later(at, Happening::Input(end, connected));
        }
    }

    fn carry(&mut self, host: usize, conn: ConnId, message: Message) {
        let Some(&(other, theirs)) = self.hosts[host].links.get(&conn) else {
            return;
        };
        let bytes = message.wire_len();
        let sender = &mut self.hosts[host];
        let took = Duration::from_secs_f64(bytes as f64 * 8.0 / sender.uplink);
        sender.uplink_free = sender.uplink_free.max(self.now) + took;
        let left = sender.uplink_free;
        let before = sender.arrived.get(&conn).copied().unwrap_or_default();
        let arrives = (left + self.delay).max(before);
        let receiver = &mut self.hosts[other];
        let takes = Duration::from_secs_f64(bytes as f64 * 8.0 / receiver.downlink);
        if !takes.is_zero() {
            receiver.downlink_free = receiver.downlink_free.max(arrives) + takes;
        }
        let arrives = arrives.max(receiver.downlink_free);
        self.hosts[host].arrived.insert(conn, arrives);
        self.later(left, Happening::Input(host, Input::Sent { conn, bytes }));
        let received = Input::Received {
            conn: theirs,
            message,
        };
        self.later(arrives, Happening::Input(other, received));
    }

    fn hang_up(&mut self, host: usize, conn: ConnId) {
        let Some((other, theirs)) = self.hosts[host].links.remove(&conn) else {
            return;
        };
        self.hosts[other].links.remove(&theirs);
        let before = self.hosts[host].arrived.remove(&conn).unwrap_or_default();
        let closed = Input::Closed {
            conn: theirs,
            reason: "closed by the other end".to_owned(),
        };
        let at = before.max(self.now + self.delay);
        self.later(at, Happening::Input(other, closed));
    }

    fn later(&mut self, at: Instant, happening: Happening) {
        let number = self.next_number;
        self.next_number += 1;
        self.queue.push(Reverse((at.max(self.now), number)));
        self.happenings.insert(number, happening);
    }

    /// The payload that the source published from `piece` of its own count on, in one string.
    pub(crate) fn payload_from(&self, piece: usize) -> Vec<u8> {
        self.published[piece..]
            .iter()
            .flat_map(|piece| piece.payload().to_vec())
            .collect()
    }

    /// What a host handed downstream, without preambles.
    pub(crate) fn output(&self, host: usize) -> Vec<u8> {
        self.hosts[host]
            .deliveries
            .iter()
            .flat_map(|(_, delivery)| delivery.payload.to_vec())
            .collect()
    }

    /// The source's count of the first piece that a host delivered.
    pub(crate) fn first_delivered(&self, host: usize) -> usize {
        let (_, first) = self.hosts[host]
            .deliveries
            .first()
            .expect("something was delivered");
        self.published
            .iter()
            .position(|piece| piece.sequence() == first.sequence)
            .expect("what was delivered was published")
    }
}

fn candidates(origin: Origin, addresses: Vec<SocketAddr>) -> Input {
    Input::Candidates { origin, addresses }
}
