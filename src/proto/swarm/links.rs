// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Connections: handshake, limits and blame (PROTOCOL §4, §7).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;

use super::{
    super::{
        address::{Scope, network},
        address_book::Trust,
        peer::{Peer, Phase, REQQ},
        time::{Instant, Now},
        wire::{
            ExtendedHandshake, Extension, ExtensionIds, Handshake, Live, MAX_ENTRIES, Message,
            PayloadError, Pex, Transfers, WireError,
        },
    },
    ConnId, Event, Output, Swarm, canonical,
    neighbours::LONELY,
};

const EXTENDED_HANDSHAKE: u8 = 0;
/// What we call ourselves (BEP 10 `v`).
const CLIENT: &str = concat!("livetorrent ", env!("CARGO_PKG_VERSION"));

/// From the connection to the bitfield.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// Connections that have not finished greeting; one more pushes out the oldest.
const MAX_GREETING: usize = 64;
/// Connections that one address may have.
const MAX_PER_ADDRESS: usize = 4;
/// The same for loopback, where many viewers of one machine meet.
const MAX_PER_LOOPBACK: usize = 64;
/// A connection that lasted this long was of use, so losing it is no failure of the address.
const LASTING: Duration = Duration::from_secs(10);
/// Nothing heard for so long on a connection whose peer opens another: it is dead. So long a peer that
/// is there has always something to say: a source makes a piece a second.
pub(super) const DEAD: Duration = Duration::from_millis(2500);
/// Nothing sent for so long: a keep-alive.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Nothing heard for so long: the end.
const SILENCE: Duration = Duration::from_secs(120);
/// Most bytes that wait to be sent.
const MAX_UNSENT: usize = 256 * 1024;
/// How often addresses are exchanged (BEP 11).
const PEX_EVERY: Duration = Duration::from_secs(60);
/// The first time sooner: a newcomer that nobody can call has to find those who can be called.
const FIRST_PEX: Duration = Duration::from_secs(3);

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum Farewell {
    /// The network ended it; the driver knows.
    Closed(String),
    /// A rule, a limit or our own choice; the peer may come back.
    Rule(String),
    /// Proof of a liar: refused for ten minutes.
    Proof(String),
}

impl Farewell {
    pub(super) fn proof(reason: impl Into<String>) -> Self {
        Self::Proof(reason.into())
    }

    pub(super) fn rule(reason: impl Into<String>) -> Self {
        Self::Rule(reason.into())
    }

    pub(super) fn for_wire_error(error: WireError, reason: String) -> Self {
        if error.is_proof() {
            Self::Proof(reason)
        } else {
            Self::Rule(reason)
        }
    }
}

impl Swarm {
    pub(super) fn connected(
        &mut self,
        now: Now,
        conn: ConnId,
        address: SocketAddr,
        inbound: bool,
        waited: Duration,
    ) {
        let address = canonical(address);
        if !inbound {
            self.dials.end(address);
        }
        let too_many = !inbound && self.is_one_too_many(address);
        let mut peer = Peer::new(now.at, address, inbound, self.lap);
        peer.since = now.at - waited;
        // None was sent yet.
        peer.pex_at = peer.since;
        self.peers.insert(conn, peer);
        if too_many {
            self.farewell(now, conn, Farewell::rule("there are peers enough by now"));
        } else if inbound {
            if let Err(farewell) = self.admit(now, conn, address.ip()) {
                self.farewell(now, conn, farewell);
            }
        } else {
            self.send_handshake(now.at, conn);
            self.greet(now, conn);
        }
    }

    /// Whether a caller may stay until it has said who it is.
    fn admit(&mut self, now: Now, conn: ConnId, ip: IpAddr) -> Result<(), Farewell> {
        if self.book.refuses_callers(now.at, ip) {
            return Err(Farewell::rule("too many proven liars at this address"));
        }
        let limit = if ip.is_loopback() {
            MAX_PER_LOOPBACK
        } else {
            MAX_PER_ADDRESS
        };
        let same = |peer: &&Peer| network(peer.address.ip()) == network(ip);
        if self.peers.values().filter(same).count() > limit {
            return Err(Farewell::rule("too many connections from this address"));
        }
        let greeting = self
            .peers
            .iter()
            .filter(|(_, p)| p.inbound && (!p.is_ready() || p.turned_away));
        if greeting.clone().count() > MAX_GREETING
            && let Some(oldest) = greeting
                .min_by_key(|(other, p)| (p.since, **other))
                .map(|(&other, _)| other)
            && oldest != conn
        {
            self.farewell(now, oldest, Farewell::rule("too slow to say hello"));
        }
        Ok(())
    }

    fn send_handshake(&mut self, now: Instant, conn: ConnId) {
        let infohash = self.config.metainfo.info.infohash();
        let handshake = Handshake::new(infohash, self.config.peer_id);
        self.send(now, conn, Message::Handshake(handshake));
    }

    /// Sends the extended handshake and the bitfield.
    fn greet(&mut self, now: Now, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let turned_away = peer.turned_away;
        self.introduce(now, conn);
        let bits = if turned_away { None } else { self.bitfield() };
        self.send(
            now.at,
            conn,
            bits.map_or(Message::HaveNone, Message::Bitfield),
        );
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.greeted_at = now.at;
        }
    }

    /// Our port for those who have this address. Routers translate IPv4 only.
    pub(super) fn port_towards(&self, far: IpAddr) -> u16 {
        match Scope::of(far) {
            Scope::Public if far.to_canonical().is_ipv4() => self.outside_port,
            Scope::Public | Scope::Private | Scope::Loopback => self.config.listen_port,
        }
    }

    /// A router maps our port to this one outside. Whom we greeted there with another hears of it.
    pub(super) fn mapped(&mut self, now: Now, port: u16) {
        if std::mem::replace(&mut self.outside_port, port) == port {
            return;
        }
        let is_told = |peer: &Peer| {
            let is_outside = Scope::of(peer.address.ip()) == Scope::Public;
            is_outside && peer.phase != Phase::Handshake && !peer.turned_away
        };
        let told = self.peers.iter().filter(|(_, peer)| is_told(peer));
        let told: Vec<_> = told.map(|(&conn, _)| conn).collect();
        for conn in told {
            self.introduce(now, conn);
        }
    }

    /// Sends the extended handshake.
    fn introduce(&mut self, now: Now, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let turned_away = peer.turned_away;
        let address = peer.address;
        let live = self.live(now);
        let told_tip = live.tip.and_then(|_| self.tip_sequence());
        let served = self.tip_sequence().and_then(|tip| self.served_from(tip));
        let served = served.filter(|_| self.config.upload_enabled && !turned_away);
        let ut_pex = ExtensionIds::OURS.ut_pex.filter(|_| self.config.pex);
        let handshake = ExtendedHandshake {
            m: ExtensionIds {
                ut_pex,
                ..ExtensionIds::OURS
            },
            listen_port: Some(match self.config.upload_enabled {
                true => self.port_towards(address.ip()),
                false => 0,
            }),
            client: CLIENT.to_owned(),
            reqq: Some(REQQ as u32),
            yourip: Some(address.ip()),
            live: Some(live),
            entries: served.map_or_else(Vec::new, |from| {
                self.store.sparse_entries(from, MAX_ENTRIES)
            }),
        };
        self.extend(now.at, conn, EXTENDED_HANDSHAKE, handshake.encode());
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.told_tip = told_tip;
            peer.told_version = self.live_version;
            peer.told_at = now.at;
        }
    }

    /// Everything that is served, one bit an index; nothing when there is nothing to show.
    fn bitfield(&self) -> Option<Bytes> {
        let tip = self.tip_sequence().filter(|_| self.config.upload_enabled)?;
        let mut bits = vec![0u8; self.lap.npieces().div_ceil(8) as usize];
        let from = self.served_from(tip)?;
        for piece in self.store.range_from(from) {
            let index = self.lap.index(piece.sequence()) as usize;
            bits[index / 8] |= 0x80 >> (index % 8);
        }
        bits.iter()
            .any(|&byte| byte != 0)
            .then(|| Bytes::from(bits))
    }

    pub(super) fn extend(&mut self, now: Instant, conn: ConnId, id: u8, payload: Bytes) {
        self.send(now, conn, Message::Extended { id, payload });
    }

    /// A message from a peer that is not ready.
    pub(super) fn greeted(
        &mut self,
        now: Now,
        conn: ConnId,
        message: Message,
    ) -> Result<(), Farewell> {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        match (peer.phase, message) {
            (Phase::Handshake, Message::Handshake(handshake)) => {
                self.shake_hands(now, conn, &handshake)?;
            }
            (Phase::Greeting, Message::Extended { id, payload })
                if id == EXTENDED_HANDSHAKE && peer.extensions.is_none() =>
            {
                let handshake = ExtendedHandshake::decode(&payload)
                    .map_err(|error| Farewell::proof(error.to_string()))?;
                self.introduced(now, conn, handshake)?;
            }
            (Phase::Greeting, Message::Bitfield(bits)) if !peer.bits_came => {
                peer.bits_came = true;
                peer.bits = Some(bits);
            }
            (Phase::Greeting, Message::HaveNone) if !peer.bits_came => peer.bits_came = true,
            (Phase::Greeting, Message::Bitfield(_)) => {
                return Err(Farewell::proof("a second bitfield"));
            }
            (_, Message::HaveAll) => {
                return Err(Farewell::proof("HAVE_ALL, which no window can be"));
            }
            // An id that this protocol does not use is ignored at any time (§7).
            (_, Message::KeepAlive | Message::Unknown(_)) => {}
            _ => {
                return Err(Farewell::rule(
                    "a message before the extended handshake and the bitfield",
                ));
            }
        }
        self.become_ready(now, conn)
    }

    fn shake_hands(
        &mut self,
        now: Now,
        conn: ConnId,
        handshake: &Handshake,
    ) -> Result<(), Farewell> {
        if handshake.infohash != self.config.metainfo.info.infohash() {
            return Err(Farewell::rule("another stream's infohash"));
        }
        if !handshake.has_extensions() {
            return Err(Farewell::rule("neither BEP 10 nor BEP 6 may be missing"));
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        let (address, inbound) = (peer.address, peer.inbound);
        peer.id = Some(handshake.peer_id);
        peer.phase = Phase::Greeting;
        if handshake.peer_id == self.config.peer_id {
            if !inbound {
                self.book.is_self(address);
            }
            return Err(Farewell::rule("a connection to ourselves"));
        }
        if self.book.refuses_id(now.at, address, handshake.peer_id) {
            return Err(Farewell::rule("refused for lying"));
        }
        self.one_connection_each(now, conn, handshake.peer_id)?;
        if inbound {
            let staying = |p: &&Peer| p.phase != Phase::Handshake && !p.turned_away;
            let full = self.peers.values().filter(staying).count() > self.most_callers()
                && !self.make_room(now, conn);
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.turned_away = full;
            }
            self.send_handshake(now.at, conn);
            self.greet(now, conn);
        }
        Ok(())
    }

    /// Of two connections between the same two peers the one opened by the smaller peer id stays. The
    /// peer id counts at one address, since anybody could borrow it, and among the addresses that the user
    /// or the `.tstream` names: a source may be reached by several.
    fn one_connection_each(
        &mut self,
        now: Now,
        conn: ConnId,
        id: [u8; 20],
    ) -> Result<(), Farewell> {
        let Some(peer) = self.peers.get(&conn) else {
            return Ok(());
        };
        let (address, inbound) = (peer.address, peer.inbound);
        let is_named = |p: &Peer| !p.inbound && self.book.is_named(p.address);
        let named = is_named(peer);
        let is_same = |p: &Peer| p.address.ip() == address.ip() || named && is_named(p);
        let other = self
            .peers
            .iter()
            .find(|&(&c, p)| c != conn && p.id == Some(id) && is_same(p))
            .map(|(&other, p)| (other, p.address, p.inbound, p.heard_at));
        let Some((other, other_address, other_inbound, heard_at)) = other else {
            return Ok(());
        };
        // Opened by the same end twice: the older one stays while it lives. A viewer whose network
        // went away and came back would wait two minutes otherwise.
        let newer_stays = if inbound == other_inbound {
            now.at.since(heard_at) >= DEAD
        } else {
            inbound == (id < self.config.peer_id)
        };
        if !newer_stays {
            if !inbound && !other_inbound {
                self.book.is_also(address, other_address);
            }
            return Err(Farewell::rule("connected already"));
        }
        self.farewell(now, other, Farewell::rule("connected already"));
        Ok(())
    }

    fn introduced(
        &mut self,
        now: Now,
        conn: ConnId,
        handshake: ExtendedHandshake,
    ) -> Result<(), Farewell> {
        if handshake.m.tstream_live.is_none() {
            return Err(Farewell::rule("it does not speak tstream_live"));
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        let from = peer.address.ip();
        peer.client = handshake.client;
        peer.entries = handshake.entries;
        peer.extensions = Some(handshake.m);
        peer.reqq = handshake.reqq.map_or(REQQ, |reqq| reqq as usize);
        let turned_away = peer.turned_away;
        self.takes_in_at(now, conn, handshake.listen_port)?;
        if turned_away {
            self.send_pex(now.at, conn);
            return Err(Farewell::rule("full"));
        }
        if let Some(ours) = handshake.yourip {
            self.seen_at(from, ours);
        }
        self.take_live(now, conn, handshake.live.unwrap_or_default())
    }

    fn become_ready(&mut self, now: Now, conn: ConnId) -> Result<(), Farewell> {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        if peer.phase != Phase::Greeting || peer.extensions.is_none() || !peer.bits_came {
            return Ok(());
        }
        peer.phase = Phase::Ready;
        let (id, address, inbound) = (peer.name(), peer.address, peer.inbound);
        if inbound && !self.was_called {
            self.was_called = true;
            self.live_version += 1;
        }
        if !inbound {
            self.book.reached(address);
        } else if let Some(listening) = peer.listening.filter(|_| self.viewer.is_some()) {
            self.book
                .add(now.at, listening, Trust::Heard, &mut self.rng);
        }
        self.tell(Event::PeerAdded { id, address });
        self.take_bits(conn);
        self.catch_up_live(now, conn);
        self.show_interest(now.at, conn);
        self.ask = true;
        Ok(())
    }

    /// Where a peer says that it takes others in: one that called may be at another port than it speaks from.
    fn takes_in_at(&mut self, now: Now, conn: ConnId, port: Option<u16>) -> Result<(), Farewell> {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        if let Some(port) = port.filter(|port| peer.inbound && *port != 0) {
            peer.listening = Some(SocketAddr::new(peer.address.ip(), port));
        }
        match peer.listening {
            Some(listening) if self.book.refuses_address(now.at, listening) => {
                Err(Farewell::rule("refused for lying"))
            }
            _ => Ok(()),
        }
    }

    /// An extended message (BEP 10) from a peer that is ready.
    pub(super) fn extended(
        &mut self,
        now: Now,
        conn: ConnId,
        id: u8,
        payload: &[u8],
    ) -> Result<(), Farewell> {
        let proof = |error: PayloadError| Farewell::proof(error.to_string());
        if id == EXTENDED_HANDSHAKE {
            // BEP 10 lets a peer repeat it; the live part may have changed, and a router may have mapped
            // another port.
            let handshake = ExtendedHandshake::decode(payload).map_err(proof)?;
            self.takes_in_at(now, conn, handshake.listen_port)?;
            return match handshake.live {
                Some(live) => self.take_live(now, conn, live),
                None => Ok(()),
            };
        }
        match Extension::of_our_id(id) {
            Some(Extension::Live) => {
                let live = Live::decode(payload).map_err(proof)?;
                self.take_live(now, conn, live)?;
            }
            Some(Extension::Pex) => {
                let pex = Pex::decode(payload).map_err(proof)?;
                self.take_pex(now, conn, &pex);
            }
            Some(Extension::Transfers) => {
                let transfers = Transfers::decode(payload, self.lap).map_err(proof)?;
                self.take_report(now, conn, &transfers);
            }
            None => {}
        }
        Ok(())
    }

    /// Ends a connection and puts right what depended on it.
    pub(super) fn farewell(&mut self, now: Now, conn: ConnId, farewell: Farewell) {
        let Some(peer) = self.peers.remove(&conn) else {
            return;
        };
        if let Farewell::Proof(_) = farewell {
            self.counters.banned += 1;
            self.book
                .refuse(now.at, peer.address.ip(), peer.listening, peer.id);
        }
        for request in peer.requests.iter().filter(|request| !request.cancelled) {
            self.unask(request.sequence);
        }
        self.uplink.forget(conn);
        self.spread.forget(conn);
        self.plan = true;
        self.look = true;
        if !peer.inbound {
            if now.at.since(peer.since) >= LASTING {
                self.book.lasted(peer.address);
            } else if peer.id.is_some() && peer.downloaded == 0 {
                // It spoke to us and ended it soon: it is full.
                let lonely = self.ready().count() <= LONELY;
                self.book.turned_away(peer.address, lonely);
            }
            // While it was silent it may have been called again, and that call goes on.
            if !self.dials.contains(peer.address) {
                self.call_ended(now.at, peer.address);
            }
        }
        let by_us = !matches!(farewell, Farewell::Closed(_));
        let (Farewell::Closed(reason) | Farewell::Rule(reason) | Farewell::Proof(reason)) =
            farewell;
        if by_us {
            let reason = reason.clone();
            self.out.push_back(Output::HangUp { conn, reason });
        }
        if peer.is_ready() {
            self.tell(Event::PeerRemoved {
                id: peer.name(),
                address: peer.address,
                reason,
            });
        }
        self.ask = true;
        self.rechoke = true;
        self.check_drained();
        self.dial(now);
    }

    /// Looks at every deadline that nothing else wakes for.
    pub(super) fn keep_house(&mut self, now: Now) {
        self.book.expire(now.at);
        while self
            .recent
            .front()
            .is_some_and(|&(at, _)| now.at.since(at) > GREETING_TIME)
        {
            self.recent.pop_front();
        }
        self.retire();
        self.redial_the_silent(now);
        self.look_for_better(now);
        self.try_a_word(now.at);
        if let Some(tip) = self.tip_sequence() {
            self.uplink.carrier.expire(tip);
        }
        for conn in self.peers.keys().copied().collect::<Vec<_>>() {
            if let Err(farewell) = self.look_after(now, conn) {
                self.farewell(now, conn, farewell);
            }
        }
        self.dial(now);
    }

    fn look_after(&mut self, now: Now, conn: ConnId) -> Result<(), Farewell> {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        if !peer.is_ready() && now.at.since(peer.since) >= GREETING_TIME {
            return Err(Farewell::rule("no handshake and bitfield within 10 s"));
        }
        if now.at.since(peer.heard_at) >= SILENCE {
            return Err(Farewell::rule("silent for 120 s"));
        }
        if peer.unsent > MAX_UNSENT {
            return Err(Farewell::rule("it does not take in what it is sent"));
        }
        if !peer.is_ready() {
            return Ok(());
        }
        if now.at.since(peer.sent_at) >= KEEP_ALIVE {
            self.send(now.at, conn, Message::KeepAlive);
        }
        let Some(peer) = self.peers.get_mut(&conn) else {
            return Ok(());
        };
        let first = peer.pex_at == peer.since;
        if now.at.since(peer.pex_at) >= if first { FIRST_PEX } else { PEX_EVERY } {
            peer.pex_at = now.at;
            self.send_pex(now.at, conn);
        }
        self.break_promises(now, conn);
        self.tell_live(now, conn);
        Ok(())
    }
}
