// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The whole state machine behind three enums: [`Input`], [`Output`] and [`Event`].
//!
//! | file | what it does |
//! | --- | --- |
//! | `api` | the enums |
//! | `links` | connections: handshake, limits, blame |
//! | `neighbours` | whom to call, to take in, to let go, and of whom to tell |
//! | `tips` | the signed tip and the rest of `tstream_live` (PROTOCOL §5) |
//! | `trial` | whether those whom we carry give, as they say (§6, Give-to-Get) |
//! | `ahead` | requests ahead (§6, asking) |
//! | `shown` | what peers show, and which of it is wanted (§6, asking) |
//! | `wanted` | what is to be fetched, and how far that has come (§6, asking) |
//! | `fetch` | which piece that exists is asked of whom (§6, asking) |
//! | `overdue` | late answers and broken promises (§6, asking) |
//! | `receive` | what comes of an answer (§6, §7) |
//! | `reports` | what was forwarded of what was given (§6, Tr_G2G_v2) |
//! | `choke` | who is choked (§6, giving) |
//! | `promise` | what is promised to whom (§6, giving) |
//! | `serve` | requests, and who gets what is here (§6, giving) |
//! | `send` | what goes out next, and how fast (§6, giving) |
//! | `spread` | which viewers spread what a source gives them (§6, giving) |
//! | `playback` | what downstream and the user ask of a viewer |
//! | `watch` | a viewer's tuning in, release and status (§5) |
//! | `footprint` | how much is kept of all that |
//!
//! A call of [`Swarm::handle`] changes state and queues outputs; the driver then polls them. What
//! must happen once for many causes (asking, answering, releasing) is done at the end of `handle`.

mod ahead;
mod api;
mod choke;
mod dials;
mod fetch;
mod footprint;
mod links;
mod neighbours;
mod overdue;
mod playback;
mod promise;
mod receive;
mod reports;
mod send;
mod serve;
mod shown;
mod spread;
#[cfg(test)]
mod tests;
mod tips;
mod trial;

mod wanted;
mod watch;

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

pub use api::{
    Config, ConnId, Delivery, Event, Input, OnLoss, Origin, Output, Playback, Role, Status, Step,
};
pub use footprint::Footprint;
pub use neighbours::ENOUGH_PEERS;

use super::{
    address_book::{AddressBook, Trust},
    choker::Choker,
    hops::{CLASSES, HopTable},
    lap::{Lap, Sequence},
    pace::Pace,
    peer::{Peer, Phase},
    peers::Peers,
    piece::{Piece, Proof, Verifier, Verify},
    rate::{Quota, Rate},
    sequence_map::SequenceMap,
    stats::{PeerStats, Stats},
    store::Store,
    time::{Instant, Now},
    timer::{Timer, TimerTable},
    wire::{Live, Message},
    witnesses::Witnesses,
};
use ahead::FirstSeen;
use dials::Dials;
use links::Farewell;
use reports::{REPORT_EVERY, Reports};
use send::Uplink;
use spread::Spread;
use wanted::Wanted;
use watch::Viewer;

/// How often deadlines of peers, promises and announcements are looked at.
const HOUSEKEEPING: Duration = Duration::from_millis(250);
/// Bytes of IPv4 and TCP header that a message has which goes alone.
const SEGMENT_HEADER: usize = 40;
/// Relays that a user can name.
const MAX_AUXILIARIES: usize = 256;
/// Most events that wait to be polled; the oldest leave.
const MAX_EVENTS: usize = 1024;

/// The newest piece known to exist.
#[derive(Debug)]
struct Tip {
    proof: Proof,
    /// When it became known.
    moved: Instant,
}

/// What [`Stats`] counts.
#[derive(Debug, Default)]
struct Counters {
    uploaded: u64,
    downloaded: u64,
    overhead: u64,
    /// What is not pieces, with the headers of its segments.
    talk_rate: Rate,
    verified: u64,
    rejected: u64,
    duplicate: u64,
    banned: u64,
    upload_rate: Rate,
    download_rate: Rate,
}

/// One end of one stream's swarm.
///
/// Laid out as it is written: what nearly every input reads comes first and lies together, for where
/// thousands of these run in one process hardly any is still in the cache when its turn comes.
#[derive(Debug)]
#[repr(C)]
pub struct Swarm {
    /// Something changed that may let us ask for more.
    ask: bool,
    /// Something changed that may let us ask ahead for more, or of others.
    plan: bool,
    /// Something changed that release goes by.
    look: bool,
    /// Something changed that neighbours wait to hear of.
    news: bool,
    /// Somebody may be interested or gone, so slots may be given out.
    rechoke: bool,
    drained: bool,
    lap: Lap,
    peers: Peers,
    out: VecDeque<Output>,
    timers: TimerTable,
    events: VecDeque<Event>,
    counters: Counters,
    store: Store,
    wanted: Wanted,
    /// Whom we asked for something not long ago, in order: some of them may have answered all.
    asked: Vec<ConnId>,
    /// When each of the newest sequences was first known to exist.
    first_seen: FirstSeen,
    /// The first sequence of the newest start that is known: nobody fetches across it.
    start: Option<Sequence>,
    /// The source's END, once published or seen.
    end: Option<Sequence>,
    /// What we announce as our floor; never goes down.
    floor: Option<Sequence>,
    tip: Option<Tip>,
    viewer: Option<Viewer>,
    /// What goes out.
    uplink: Uplink,
    /// How fast pieces come.
    pace: Pace,
    /// How far from the source we are.
    hops: HopTable,
    /// Whom the next pieces of each class are asked of.
    parents: [Option<ConnId>; CLASSES],
    rng: fastrand::Rng,
    config: Config,
    /// Where those outside call us; the port of `config` unless a router maps another.
    outside_port: u16,
    verifier: Box<dyn Verify>,
    book: AddressBook,
    dials: Dials,
    /// At which address of each family others see us.
    witnesses: [Witnesses; 2],
    /// Dials of addresses that were just heard of, while the source is away.
    fresh_dials: Quota,
    /// Dials of addresses of which nothing is known.
    stranger_dials: Quota,
    /// What was held lately, for peers that are still greeting.
    recent: VecDeque<(Instant, Sequence)>,
    reports: Reports,
    /// How often each piece in the window was given.
    copies: SequenceMap<u32>,
    /// Source: what becomes of the pieces that it gives.
    spread: Spread,
    /// Source: relays that the user named.
    auxiliaries: BTreeSet<SocketAddr>,
    /// When a neighbour of no use was last let go.
    swapped_at: Instant,
    /// When every class was last fed, and how long ago that was.
    fed_at: Instant,
    unfed_for: Duration,
    /// Counts changes of what `tstream_live` says.
    live_version: u64,
    /// Somebody called us, so others can.
    was_called: bool,
    /// What it said when somebody was last told, and how that is written.
    told: Option<(Live, Bytes)>,
    choker: Choker,
}

impl Swarm {
    /// A swarm that knows nobody yet.
    #[must_use]
    pub fn new(config: Config, now: Now) -> Self {
        let info = &config.metainfo.info;
        let verifier = Verifier::new(info.key().clone(), info.infohash(), info.piece_length());
        Self::with_verifier(config, Box::new(verifier), now)
    }

    /// The same with another way to verify: thousands of ends of one stream in one process need
    /// not each verify every piece.
    #[must_use]
    pub fn with_verifier(config: Config, verifier: Box<dyn Verify>, now: Now) -> Self {
        let lap = config.metainfo.info.lap();
        let viewer = match config.role {
            Role::Source => None,
            Role::Viewer { latency } => {
                let playback = Playback {
                    latency,
                    ..Playback::default()
                };
                Some(Viewer::new(now.at, playback))
            }
        };
        let mut swarm = Self {
            lap,
            verifier,
            rng: fastrand::Rng::with_seed(config.seed),
            peers: Peers::default(),
            book: AddressBook::default(),
            dials: Dials::default(),
            witnesses: Default::default(),
            fresh_dials: neighbours::fresh_dials(),
            stranger_dials: neighbours::stranger_dials(),
            store: Store::new(lap, config.buffer_size),
            tip: None,
            floor: None,
            start: None,
            end: None,
            wanted: Wanted::default(),
            asked: Vec::new(),
            recent: VecDeque::new(),
            reports: Reports::default(),
            hops: HopTable::default(),
            first_seen: FirstSeen::default(),
            pace: Pace::new(config.metainfo.info.piece_length()),
            parents: [None; CLASSES],
            uplink: Uplink::new(&config),
            copies: SequenceMap::new(),
            spread: Spread::default(),
            auxiliaries: BTreeSet::new(),
            swapped_at: now.at,
            fed_at: now.at,
            unfed_for: Duration::ZERO,
            live_version: 1,
            was_called: false,
            told: None,
            choker: Choker::default(),
            viewer,
            drained: false,
            counters: Counters::default(),
            timers: TimerTable::default(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            ask: false,
            plan: false,
            look: true,
            news: false,
            rechoke: false,
            outside_port: config.listen_port,
            config,
        };
        swarm
            .timers
            .set(Timer::Housekeeping, Some(now.at + HOUSEKEEPING));
        swarm.timers.set(Timer::Report, Some(now.at + REPORT_EVERY));
        swarm
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.look |= watch::concerns_release(&input);
        match input {
            Input::Connected {
                conn,
                address,
                inbound,
                waited,
            } => self.connected(now, conn, address, inbound, waited),
            Input::DialFailed { address } => self.dial_failed(now, address),
            Input::Received { conn, message } => self.received(now, conn, message),
            Input::Malformed { conn, error } => {
                let reason = error.to_string();
                self.farewell(now, conn, Farewell::for_wire_error(error, reason));
            }
            Input::Sent { conn, bytes } => self.sent(now, conn, bytes),
            Input::Closed { conn, reason } => self.farewell(now, conn, Farewell::Closed(reason)),
            Input::Candidates { origin, addresses } => {
                let trust = match origin {
                    Origin::Announce => Trust::Source,
                    Origin::Configured | Origin::Auxiliary => Trust::Named,
                    Origin::Tracker | Origin::Dht | Origin::Lan | Origin::Known => Trust::Heard,
                };
                for address in addresses {
                    if origin == Origin::Auxiliary && self.auxiliaries.len() < MAX_AUXILIARIES {
                        self.auxiliaries.insert(canonical(address));
                    }
                    self.book
                        .add(now.at, canonical(address), trust, &mut self.rng);
                    match origin {
                        Origin::Lan => self.book.prefer(canonical(address)),
                        Origin::Known => self.book.call_first(canonical(address)),
                        _ => {}
                    }
                }
                self.dial(now);
            }
            Input::Mapped { port } => self.mapped(now, port),
            Input::Publish(piece) => self.publish(now, piece),
            Input::Room(places) => self.room(places),
            Input::SetPlayback(playback) => self.set_playback(now, playback),
            Input::Pause => self.pause(now),
            Input::Resume { keep_position } => self.resume(now, keep_position),
            Input::JumpToLive => self.jump_to_live(now),
            Input::Timeout => {}
        }
        self.run_timers(now);
        self.settle(now);
    }

    /// What to do next; call until [`Output::WakeAt`].
    pub fn poll_output(&mut self) -> Output {
        self.out.pop_front().unwrap_or_else(|| {
            // The next ones begin where these did, in memory that is near.
            self.out.clear();
            Output::WakeAt(self.timers.next())
        })
    }

    /// What there is to tell; call until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whom to call first the next time: where peers take others in who were called from here and gave
    /// us pieces, and how long ago each did, the last first.
    #[must_use]
    pub fn good_peers(&self, now: Now) -> Vec<(SocketAddr, Duration)> {
        self.book.good(now.at)
    }

    /// The figures of this moment.
    #[must_use]
    pub fn stats(&self, now: Now) -> Stats {
        let mut stats = Stats {
            bytes_uploaded: self.counters.uploaded,
            bytes_downloaded: self.counters.downloaded,
            overhead_bytes: self.counters.overhead,
            pieces_verified: self.counters.verified,
            pieces_rejected: self.counters.rejected,
            duplicate_bytes: self.counters.duplicate,
            peers_connected: self.ready().count() as u64,
            peers_banned: self.counters.banned,
            upload_rate: (self.counters.upload_rate.per_second(now.at) * 8.0) as u64,
            download_rate: (self.counters.download_rate.per_second(now.at) * 8.0) as u64,
            tip: self.tip_sequence(),
            floor: self.floor,
            peers: self.ready().map(|(_, peer)| peer_stats(peer)).collect(),
            ..Stats::default()
        };
        self.viewer_stats(now, &mut stats);
        stats
    }

    /// What must happen once, whatever made it necessary.
    fn settle(&mut self, now: Now) {
        self.watch(now);
        if std::mem::take(&mut self.rechoke) {
            self.rechoke(now);
        }
        if std::mem::take(&mut self.ask) {
            self.ask_for_wanted(now);
        }
        if std::mem::take(&mut self.plan) {
            self.ask_ahead(now);
        }
        if std::mem::take(&mut self.news) {
            self.live_version += 1;
            self.tell_all_live(now, tips::TELL_AT_MOST);
        }
    }

    fn run_timers(&mut self, now: Now) {
        if self.timers.take_if_due(Timer::Housekeeping, now.at) {
            self.timers
                .set(Timer::Housekeeping, Some(now.at + HOUSEKEEPING));
            self.keep_house(now);
        }
        if self.timers.take_if_due(Timer::Overdue, now.at) {
            self.take_back_overdue(now);
        }
        if self.timers.take_if_due(Timer::Uplink, now.at) {
            self.pump(now);
        }
        if self.timers.take_if_due(Timer::Report, now.at) {
            self.timers.set(Timer::Report, Some(now.at + REPORT_EVERY));
            self.report(now.at);
        }
        if self.timers.take_if_due(Timer::Dial, now.at) {
            self.dial(now);
        }
        if self.timers.is_due(Timer::Rechoke, now.at) {
            self.rechoke = true;
        }
        self.look |= self.timers.take_if_due(Timer::TuneIn, now.at);
        self.look |= self.timers.take_if_due(Timer::Playout, now.at);
    }

    fn received(&mut self, now: Now, conn: ConnId, message: Message) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        peer.heard_at = now.at;
        if !matches!(message, Message::Piece { .. }) {
            self.counters.overhead += message.wire_len() as u64;
        }
        let phase = peer.phase;
        let done = message
            .check(self.lap)
            .map_err(|error| Farewell::for_wire_error(error, error.to_string()))
            .and_then(|()| match phase {
                Phase::Handshake | Phase::Greeting => self.greeted(now, conn, message),
                Phase::Ready => self.spoken(now, conn, message),
            });
        if let Err(farewell) = done {
            self.farewell(now, conn, farewell);
        }
    }

    /// A message from a peer that both ends know.
    fn spoken(&mut self, now: Now, conn: ConnId, message: Message) -> Result<(), Farewell> {
        match message {
            Message::Choke => self.choked(conn),
            Message::Unchoke => self.unchoked(conn),
            Message::Interested => self.interested(conn, true),
            Message::NotInterested => self.interested(conn, false),
            Message::Have(index) => self.have(now, conn, index),
            Message::Request(block) => return self.requested(now, conn, block),
            Message::Cancel(block) => self.cancelled(now, conn, block),
            Message::Piece {
                index,
                begin,
                block,
            } => return self.block(now, conn, index, begin, block),
            Message::Reject(block) => self.rejected(now, conn, block),
            Message::Extended { id, payload } => return self.extended(now, conn, id, &payload),
            Message::Bitfield(_) => return Err(Farewell::proof("a second bitfield")),
            Message::HaveAll => return Err(Farewell::proof("HAVE_ALL, which no window can be")),
            Message::HaveNone | Message::KeepAlive | Message::Unknown(_) => {}
            Message::Handshake(_) => return Err(Farewell::rule("a second handshake")),
        }
        Ok(())
    }

    /// Keeps a piece that is new here and tells everybody.
    fn hold(&mut self, now: Now, piece: Piece) {
        let sequence = piece.sequence();
        self.counters.verified += 1;
        self.tip_moves(now, piece.proof(), None);
        self.store.insert(piece);
        self.recent.push_back((now.at, sequence));
        self.trim();
        while self.recent.len() > self.store.len() {
            self.recent.pop_front();
        }
        self.compare(sequence);
        self.tell_have(now, sequence);
        self.serve_promises(now, sequence);
    }

    fn trim(&mut self) {
        let Some(tip) = self.tip_sequence() else {
            return;
        };
        let undelivered = self.viewer.as_ref().and_then(Viewer::next);
        self.store.trim(tip, undelivered);
        self.live_version += 1;
        let oldest = self.store.oldest_in_window(tip);
        // Before it plays, and where all that it waited for left the window, a viewer fetches out of
        // order, and nothing below where it starts.
        let window = self.lap.window_start(tip);
        let seeks = |viewer: &&Viewer| !viewer.is_playing() || viewer.lowest() <= Some(window);
        let start = self.viewer.as_ref().filter(seeks);
        let lowest = start.and_then(Viewer::lowest).map(|next| next.max(window));
        self.floor = self.floor.max(oldest.min(lowest.or(oldest)));
    }

    fn tip_sequence(&self) -> Option<Sequence> {
        self.tip.as_ref().map(|tip| tip.proof.header().sequence)
    }

    fn ready(&self) -> impl Iterator<Item = (ConnId, &Peer)> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.is_ready())
            .map(|(&conn, peer)| (conn, peer))
    }

    fn ready_ids(&self) -> Vec<ConnId> {
        self.ready().map(|(conn, _)| conn).collect()
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Queues a message and counts it. A peer that does not take in what it is sent is let go by
    /// housekeeping, see [`links`].
    fn send(&mut self, now: Instant, conn: ConnId, message: Message) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let bytes = message.wire_len();
        if peer.unsent < self.uplink.small() {
            peer.unsent_since = now;
        }
        self.uplink.unsent(conn, peer.unsent, peer.unsent + bytes);
        peer.unsent += bytes;
        peer.sent_at = now;
        match &message {
            Message::Piece { block, .. } => {
                self.counters.uploaded += block.len() as u64;
                self.counters.upload_rate.add(now, block.len());
                peer.uploaded += block.len() as u64;
                peer.upload_rate.add(now, block.len());
                self.counters.overhead += (bytes - block.len()) as u64;
            }
            _ => {
                self.counters.overhead += bytes as u64;
                self.counters.talk_rate.add(now, bytes + SEGMENT_HEADER);
            }
        }
        self.out.push_back(Output::Send { conn, message });
    }
}

/// IPv4 in IPv6 and plain IPv4 are one address.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        // As it is: an address of a link keeps that.
        IpAddr::V6(_) => address,
    }
}

fn peer_stats(peer: &Peer) -> PeerStats {
    PeerStats {
        id: peer.name(),
        address: peer.address,
        client: peer.client.clone(),
        rtt: peer.answer_time,
        bytes_uploaded: peer.uploaded,
        bytes_downloaded: peer.downloaded,
        forwarded: peer.forwarded,
        choked: peer.chokes_us,
        choking: peer.choked_by_us,
        lag: peer.live.lag.map(Duration::from_millis),
    }
}
