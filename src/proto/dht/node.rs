// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One node: who asks is answered, and the peers of one stream are found and told of us.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use fastrand::Rng;

use super::{
    K, MAX_DATAGRAM,
    announced::Announced,
    id::{Contact, NodeId},
    lookup::Lookup,
    message::{Answer, Body, Message, Query, Refusal},
    table::Table,
};
use crate::proto::{
    address::{Family, Scope, is_dialable, network},
    metainfo::Infohash,
    time::Instant,
    witnesses::Witnesses,
};

/// A node that did not answer by then is late: another is asked meanwhile;
const LATE: Duration = Duration::from_secs(1);
/// by then it is gone.
const GONE: Duration = Duration::from_secs(4);
/// Questions under way.
const MAX_PENDING: usize = 64;
/// Questions to find out whether somebody who asked is worth knowing, at a time.
const MAX_PINGS: usize = 8;
/// The surroundings of our own number are looked up again after this (BEP 5).
const REFRESH: Duration = Duration::from_secs(15 * 60);
/// Answers in a second, to all and to one address (an IPv6 /64): more questions get none.
const MAX_ANSWERS: u32 = 200;
const MAX_ANSWERS_EACH: u32 = 20;
/// Peers of one answer: with nodes and token it fits a datagram.
const MAX_VALUES_V4: usize = 50;
const MAX_VALUES_V6: usize = 30;
/// Peers that one search brings.
const MAX_FOUND: usize = 500;
/// Whoever says where it sees us is believed when so many agree.
const ENOUGH_WITNESSES: usize = 5;
/// Nodes to begin with.
const MAX_BEGINNINGS: usize = 64;

/// What a node is told in the beginning.
#[derive(Debug)]
pub struct Config {
    /// Of its socket's address.
    pub family: Family,
    /// What it looks up.
    pub infohash: Infohash,
    /// Where we take in peers of it; 0: nowhere, and others are not told of us.
    pub port: u16,
    /// Draws numbers, secrets and whom to tell of.
    pub rng: Rng,
}

/// What a node wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A datagram goes out.
    Send {
        /// To whom.
        to: SocketAddr,
        /// The bytes.
        datagram: Vec<u8>,
    },
    /// Peers of the stream, not checked in any way.
    Peers(Vec<SocketAddr>),
    /// A search for peers is over.
    Found(Found),
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Nodes that answered.
    pub nodes: usize,
    /// Addresses of peers.
    pub peers: usize,
}

/// Why something was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// For the peers of the stream.
    Peers,
    /// For nodes near our own number.
    Nodes,
    /// To know whether it is there.
    Ping,
    /// To tell of us.
    Announce,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    transaction: u16,
    to: SocketAddr,
    at: Instant,
    purpose: Purpose,
    late: bool,
}

/// One node of the table.
#[derive(Debug)]
pub struct Node {
    config: Config,
    id: NodeId,
    table: Table,
    announced: Announced,
    /// Nodes to begin with.
    beginnings: Vec<SocketAddr>,
    peers: Option<Lookup>,
    /// The peers that it found so far.
    found: BTreeSet<SocketAddr>,
    nodes: Option<Lookup>,
    refresh_at: Instant,
    /// The eldest first.
    pending: VecDeque<Pending>,
    /// Answers of the second that began then, in all and to each address.
    second: Instant,
    answers: u32,
    answers_each: HashMap<IpAddr, u32>,
    /// Who saw us where.
    witnesses: Witnesses,
    out: VecDeque<Output>,
}

impl Node {
    /// A node that knows nobody.
    #[must_use]
    pub fn new(mut config: Config, now: Instant) -> Self {
        let id = NodeId::random(&mut config.rng);
        Self {
            id,
            table: Table::new(id),
            announced: Announced::new(now, &mut config.rng),
            beginnings: Vec::new(),
            peers: None,
            found: BTreeSet::new(),
            nodes: None,
            refresh_at: now + REFRESH,
            pending: VecDeque::new(),
            second: now,
            answers: 0,
            answers_each: HashMap::new(),
            witnesses: Witnesses::default(),
            out: VecDeque::new(),
            config,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Nodes that it knows.
    #[must_use]
    pub fn known(&self) -> usize {
        self.table.len()
    }

    /// A node to begin with; `false`: it is left out, being of the other family, known, or one more than 64.
    pub fn begin_at(&mut self, now: Instant, address: SocketAddr) -> bool {
        let is_ours = Family::of(address.ip()) == self.config.family && is_dialable(&address);
        let has_room = self.beginnings.len() < MAX_BEGINNINGS;
        if !is_ours || !has_room || self.beginnings.contains(&address) {
            return false;
        }
        self.beginnings.push(address);
        for purpose in [Purpose::Peers, Purpose::Nodes] {
            self.with_lookup(purpose, |lookup| lookup.begin_at(address));
            self.go_on(now, purpose);
        }
        true
    }

    /// Looks for peers, and tells of us. While that goes on it changes nothing.
    pub fn look_up(&mut self, now: Instant) {
        if self.peers.is_none() {
            self.found.clear();
            let target = self.config.infohash.into();
            self.peers = Some(self.lookup(target));
            self.go_on(now, Purpose::Peers);
            if self.table.len() < K {
                self.refresh(now);
            }
        }
    }

    /// Whether a search for peers goes on.
    #[must_use]
    pub const fn is_looking_up(&self) -> bool {
        self.peers.is_some()
    }

    fn lookup(&self, target: NodeId) -> Lookup {
        let mut lookup = Lookup::new(target);
        for contact in self.table.closest(target, K) {
            lookup.hear_of(contact);
        }
        // Who knows few asks those again that it began with: all others may have gone.
        if self.table.len() < K {
            for &address in &self.beginnings {
                lookup.begin_at(address);
            }
        }
        lookup
    }

    /// What there is to do; none: nothing before [`Self::wake_at`] or a datagram.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Self::wake`].
    #[must_use]
    pub fn wake_at(&self) -> Instant {
        let overdue = self
            .pending
            .iter()
            .map(|pending| pending.at + if pending.late { GONE } else { LATE });
        overdue
            .min()
            .map_or(self.refresh_at, |at| at.min(self.refresh_at))
    }

    /// The moment came, or passed.
    pub fn wake(&mut self, now: Instant) {
        while let Some(place) = self
            .pending
            .iter()
            .position(|pending| now.since(pending.at) >= GONE)
        {
            if let Some(gone) = self.pending.remove(place) {
                self.table.failed(gone.to);
                self.with_lookup(gone.purpose, |lookup| lookup.failed(gone.to));
            }
        }
        let mut late = Vec::new();
        for pending in &mut self.pending {
            if !pending.late && now.since(pending.at) >= LATE {
                pending.late = true;
                late.push((pending.purpose, pending.to));
            }
        }
        for (purpose, to) in late {
            self.with_lookup(purpose, |lookup| lookup.late(to));
        }
        if now >= self.refresh_at {
            self.refresh(now);
        }
        self.go_on(now, Purpose::Peers);
        self.go_on(now, Purpose::Nodes);
    }

    fn refresh(&mut self, now: Instant) {
        self.refresh_at = now + REFRESH;
        if self.nodes.is_none() {
            self.nodes = Some(self.lookup(self.id));
            self.go_on(now, Purpose::Nodes);
        }
        if self.pending.len() < MAX_PENDING
            && let Some(contact) = self.table.questionable(now)
        {
            self.ask(now, contact.address, Query::Ping, Purpose::Ping);
        }
    }

    /// The search that something is asked for.
    const fn search(&mut self, purpose: Purpose) -> Option<&mut Option<Lookup>> {
        match purpose {
            Purpose::Peers => Some(&mut self.peers),
            Purpose::Nodes => Some(&mut self.nodes),
            Purpose::Ping | Purpose::Announce => None,
        }
    }

    fn with_lookup(&mut self, purpose: Purpose, change: impl FnOnce(&mut Lookup)) {
        if let Some(Some(lookup)) = self.search(purpose) {
            change(lookup);
        }
    }

    /// Asks whom a search wants to ask now, and ends it where that is nobody.
    fn go_on(&mut self, now: Instant, purpose: Purpose) {
        let Some(mut lookup) = self.search(purpose).and_then(Option::take) else {
            return;
        };
        let target = lookup.target;
        let query = match purpose {
            Purpose::Peers => Query::GetPeers { target },
            _ => Query::FindNode { target },
        };
        while self.pending.len() < MAX_PENDING
            && let Some(to) = lookup.next()
        {
            self.ask(now, to, query, purpose);
        }
        if !lookup.is_over() {
            if let Some(search) = self.search(purpose) {
                *search = Some(lookup);
            }
        } else if purpose == Purpose::Peers {
            self.tell_of_us(now, &lookup);
        }
    }

    fn tell_of_us(&mut self, now: Instant, lookup: &Lookup) {
        self.out.push_back(Output::Found(Found {
            nodes: lookup.answers(),
            peers: self.found.len(),
        }));
        if self.config.port == 0 {
            return;
        }
        let room = MAX_PENDING.saturating_sub(self.pending.len());
        for (to, token) in lookup.nearest().take(room) {
            let query = Query::AnnouncePeer {
                target: lookup.target,
                port: Some(self.config.port),
                token,
            };
            self.ask(now, to, query, Purpose::Announce);
        }
    }

    fn ask(&mut self, now: Instant, to: SocketAddr, query: Query<'_>, purpose: Purpose) {
        let transaction = self.config.rng.u16(..);
        let read_only = !self.answers_at_all();
        let datagram = query.to_bytes(transaction, self.id, read_only);
        self.out.push_back(Output::Send { to, datagram });
        self.pending.push_back(Pending {
            transaction,
            to,
            at: now,
            purpose,
            late: false,
        });
    }

    /// A datagram came.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        if datagram.len() > MAX_DATAGRAM || Family::of(from.ip()) != self.config.family {
            return;
        }
        match Message::parse(datagram, self.config.family) {
            Some(Ok(message)) => self.understand(now, from, &message),
            Some(Err(transaction)) if self.may_answer(now, from) => {
                self.send(from, Refusal::Unknown.to_bytes(transaction));
            }
            Some(Err(_)) | None => {}
        }
    }

    fn understand(&mut self, now: Instant, from: SocketAddr, message: &Message<'_>) {
        match &message.body {
            &Body::Query { id, query } if self.may_answer(now, from) => {
                self.answer(now, from, message.transaction, query);
                let contact = Contact { id, address: from };
                self.consider(now, contact, message.read_only);
            }
            Body::Query { .. } => {}
            Body::Answer(answer) => {
                if let Some(purpose) = self.take_pending(from, message.transaction) {
                    self.answered(now, from, answer, purpose);
                    self.believe(now, from, message.our_address);
                }
            }
            Body::Refusal => {
                if let Some(purpose) = self.take_pending(from, message.transaction) {
                    self.with_lookup(purpose, |lookup| lookup.failed(from));
                    self.go_on(now, purpose);
                }
            }
        }
    }

    fn take_pending(&mut self, from: SocketAddr, transaction: &[u8]) -> Option<Purpose> {
        let place = self.pending.iter().position(|pending| {
            pending.to == from && pending.transaction.to_be_bytes() == transaction
        })?;
        Some(self.pending.remove(place)?.purpose)
    }

    fn answered(&mut self, now: Instant, from: SocketAddr, answer: &Answer<'_>, purpose: Purpose) {
        let contact = Contact {
            id: answer.id,
            address: from,
        };
        self.table.answered(now, contact);
        // Addresses of its own network mean nothing elsewhere (PROTOCOL §8 has it for trackers).
        let scope = Scope::of(from.ip());
        let means_something = |address: &SocketAddr| {
            is_dialable(address) && Scope::of(address.ip()).is_shown_to(scope)
        };
        // An IPv4 address mapped to IPv6 is none that this socket can speak to.
        let (own, family) = (self.id, self.config.family);
        let is_of_use = |node: &&Contact| {
            let address = &node.address;
            node.id != own && Family::of(address.ip()) == family && means_something(address)
        };
        self.with_lookup(purpose, |lookup| {
            lookup.answered(contact, answer.token);
            for &node in answer.nodes.iter().filter(is_of_use) {
                lookup.hear_of(node);
            }
        });
        if purpose == Purpose::Peers {
            let mut peers = answer.peers.clone();
            peers.retain(|peer| {
                means_something(peer) && self.found.len() < MAX_FOUND && self.found.insert(*peer)
            });
            if !peers.is_empty() {
                self.out.push_back(Output::Peers(peers));
            }
        }
        self.go_on(now, purpose);
    }

    /// Several strangers say that we are at an address that our number does not follow from (BEP 42).
    fn believe(&mut self, now: Instant, from: SocketAddr, seen_at: Option<IpAddr>) {
        let Some(ours) = seen_at else {
            return;
        };
        let believed = self.witnesses.heard(from.ip(), ours, ENOUGH_WITNESSES);
        if believed && !self.id.fits(ours) {
            self.id = NodeId::of_address(ours, &mut self.config.rng);
            self.table = self.table.renumbered(now, self.id);
            self.refresh_at = now;
        }
    }

    /// Whoever asks may be worth knowing: it is asked whether it is there, where there is room.
    fn consider(&mut self, now: Instant, contact: Contact, read_only: bool) {
        let is_ping = |pending: &&Pending| pending.purpose == Purpose::Ping;
        let is_asked = self
            .pending
            .iter()
            .any(|pending| pending.to == contact.address);
        if !read_only
            && self.pending.len() < MAX_PENDING
            && !is_asked
            && self.pending.iter().filter(is_ping).count() < MAX_PINGS
            && self.table.has_room_for(contact)
        {
            self.ask(now, contact.address, Query::Ping, Purpose::Ping);
        }
    }

    /// We take peers in there from now on; whether that is another port than before. The next search
    /// tells others of it.
    pub const fn set_port(&mut self, port: u16) -> bool {
        let is_other = self.config.port != port;
        self.config.port = port;
        is_other
    }

    /// A peer that takes nobody in is no use to those who look for nodes either (BEP 43).
    const fn answers_at_all(&self) -> bool {
        self.config.port != 0
    }

    /// Whether `from` is answered once more in this second.
    fn may_answer(&mut self, now: Instant, from: SocketAddr) -> bool {
        if !self.answers_at_all() {
            return false;
        }
        if now.since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.answers = 0;
            self.answers_each.clear();
        }
        if self.answers >= MAX_ANSWERS {
            return false;
        }
        let each = self.answers_each.entry(network(from.ip())).or_default();
        if *each >= MAX_ANSWERS_EACH && Scope::of(from.ip()) != Scope::Loopback {
            return false;
        }
        *each += 1;
        self.answers += 1;
        true
    }

    fn answer(&mut self, now: Instant, from: SocketAddr, transaction: &[u8], query: Query<'_>) {
        let rng = &mut self.config.rng;
        let (mut nodes, mut peers, mut token) = (Vec::new(), Vec::new(), None);
        match query {
            Query::Ping => {}
            Query::FindNode { target } => nodes = self.nodes_for(from, target),
            Query::GetPeers { target } => {
                let most = match self.config.family {
                    Family::V4 => MAX_VALUES_V4,
                    Family::V6 => MAX_VALUES_V6,
                };
                peers = self.announced.peers(now, target, from.ip(), most, rng);
                token = Some(self.announced.token(now, from.ip(), rng));
                nodes = self.nodes_for(from, target);
            }
            Query::AnnouncePeer {
                target,
                port,
                token,
            } => {
                let peer = SocketAddr::new(from.ip(), port.unwrap_or_else(|| from.port()));
                let refusal = if !self.announced.is_token(now, from.ip(), token, rng) {
                    Some(Refusal::Token)
                } else if !is_dialable(&peer) || !self.announced.add(now, target, peer) {
                    Some(Refusal::Full)
                } else {
                    None
                };
                if let Some(refusal) = refusal {
                    return self.send(from, refusal.to_bytes(transaction));
                }
            }
        }
        let answer = Answer {
            id: self.id,
            nodes,
            peers,
            token: token.as_ref().map(|token| &token[..]),
        };
        self.send(from, answer.to_bytes(transaction, from));
    }

    /// The nodes nearest to `target` that whoever asks can reach.
    fn nodes_for(&self, asker: SocketAddr, target: NodeId) -> Vec<Contact> {
        let scope = Scope::of(asker.ip());
        let mut nodes = self.table.closest(target, 2 * K);
        nodes.retain(|node| {
            node.address != asker && Scope::of(node.address.ip()).is_shown_to(scope)
        });
        nodes.truncate(K);
        nodes
    }

    fn send(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        self.out.push_back(Output::Send { to, datagram });
    }
}

#[cfg(test)]
mod tests;
