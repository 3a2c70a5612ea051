// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whom to know: whom to call, whom to take in, whom to let go, and of whom to tell (PROTOCOL §4,
//! BEP 11).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    super::{
        address::{Scope, needs_link, network},
        address_book::{LONGEST_RETRY, Trust},
        hops::CLASSES,
        peer::Peer,
        rate::Quota,
        time::{Instant, Now},
        timer::Timer,
        wire::{Extension, Pex, PexPeer},
    },
    ConnId, Event, Output, Role, Step, Swarm, canonical,
    links::{DEAD, Farewell},
};

/// Viewers look for others until they have so many peers; the rest of `max-peers` is for those who
/// call.
pub const ENOUGH_PEERS: usize = 12;
/// Viewers take in nobody else at so many peers, unless one of them is of no use.
const PLENTY: usize = 18;
/// How many more for each copy of the stream that the uplink carries: who gives much is to be known
/// by many.
const FOR_A_COPY: f64 = 10.0;
/// No uplink makes it more than for so many copies.
const MOST_COPIES: f64 = 4.0;
/// Where pieces are shorter than so many bytes there are fewer neighbours, by as much as they are shorter:
/// each is told of each piece, and that would take as much as the pieces.
const LONG_PIECE: f64 = 15_000.0;
/// But no fewer than this part of them.
const FEWEST: f64 = 0.6;
/// Who has fewer peers tries those that the user or the `.tstream` names at least so often.
pub(super) const LONELY: usize = 3;
const RETRY_LONELY: Duration = Duration::from_secs(4);
/// While nothing comes from the source, those who know each other try the addresses that may be its
/// own so often together: who finds it tells the others within a way. So one viewer finds it soon,
/// and a thousand do not keep it from its work,
const RETRY_TOGETHER: Duration = Duration::from_millis(400);
/// but each so often at least.
const RETRY_AWAY: Duration = Duration::from_secs(10);
/// A source closes a piece at least once a second: after so long nothing comes from it.
const QUIET: Duration = Duration::from_secs(1);
/// While the source is away, addresses that were just heard of may be its new ones: so many of them
/// are tried at a time, however many peers there are.
const FRESH_DIALS: u32 = 12;
const FRESH_SPAN: Duration = Duration::from_secs(5);
/// Addresses of which nothing is known but that somebody told of them are called so often at most: as
/// many as a tracker gives at once, and no more for one who makes them up.
const STRANGER_DIALS: u32 = 60;
const STRANGER_SPAN: Duration = Duration::from_secs(10);
/// A full peer keeps every connection for so long.
const SETTLING: Duration = Duration::from_secs(30);
/// The same for one that has not shown a piece by then: whoever watches has some long before.
const LISTENER: Duration = Duration::from_secs(10);
/// How often a neighbour of no use makes way for another.
const SWAP_EVERY: Duration = Duration::from_secs(5);
/// A class in which no promise was kept for so long finds no way to the source among the neighbours.
const UNFED: Duration = Duration::from_secs(2);
/// Then one more neighbour is looked for each time that so long has passed, up to so many more,
const ONE_MORE_EVERY: Duration = Duration::from_secs(3);
const MOST_MORE: usize = 4;
/// and one of no use makes way sooner, and more often.
const SETTLING_UNFED: Duration = Duration::from_secs(4);
const SWAP_EVERY_UNFED: Duration = Duration::from_secs(1);
/// So many peers outside, each of a network of its own, have to agree on where they see us.
const ENOUGH_WITNESSES: usize = 3;
/// Most addresses in one exchange.
const MAX_PEX: usize = 50;
/// Most addresses that a peer may know from us at a time.
const MAX_PEX_TOLD: usize = 200;

/// How many addresses that were just heard of may be tried.
pub(super) const fn fresh_dials() -> Quota {
    Quota::new(FRESH_DIALS, FRESH_SPAN)
}

/// How many addresses of which nothing is known may be tried.
pub(super) const fn stranger_dials() -> Quota {
    Quota::new(STRANGER_DIALS, STRANGER_SPAN)
}

impl Swarm {
    /// Dials while more peers are wanted.
    pub(super) fn dial(&mut self, now: Now) {
        self.dial_known(now.at);
        while let Some(trust) = self.whom_to_dial(now.at) {
            let trust = trust.min(self.least_trust(now.at));
            let Some(address) = self
                .book
                .take_due(now.at, trust)
                .or_else(|| self.take_fresh(now.at))
            else {
                break;
            };
            if self.is_connected_to(now.at, address) || self.book.refuses_address(now.at, address) {
                self.call_ended(now.at, address);
                continue;
            }
            if self.book.is_stranger(address) {
                self.stranger_dials.take(now.at);
            }
            self.call(now.at, address, false);
        }
        let trust = self.whom_to_dial(now.at);
        let open = self.stranger_dials.opens(now.at);
        let next = trust.and_then(|trust| match self.book.next_due(trust) {
            Some(due) if trust == Trust::Heard && due < open => Some(
                self.book
                    .next_due(Trust::Named)
                    .map_or(open, |due| due.min(open)),
            ),
            due => due,
        });
        let next = [next, self.dials.next_room(now.at)];
        self.timers
            .set(Timer::Dial, next.into_iter().flatten().min());
    }

    /// Dials those who gave us pieces the last time, beside all others.
    fn dial_known(&mut self, now: Instant) {
        while self.peers.len() < self.enough_peers()
            && self.dials.has_room_for_known(now)
            && let Some(address) = self.book.take_known(now)
        {
            if self.is_connected_to(now, address) || self.book.refuses_address(now, address) {
                self.call_ended(now, address);
            } else {
                self.call(now, address, true);
            }
        }
    }

    fn call(&mut self, now: Instant, address: SocketAddr, known: bool) {
        self.dials.begin(now, address, known);
        self.out.push_back(Output::Dial { address });
    }

    /// Whether a call that was answered is one too many: those that were no longer waited for go on, and
    /// may all be answered in the end.
    pub(super) fn is_one_too_many(&self, address: SocketAddr) -> bool {
        let called = self.peers.values().filter(|peer| !peer.inbound).count();
        let most = self.config.max_peers.min(ENOUGH_PEERS + MOST_MORE);
        called >= most && !self.book.is_named(address) && !self.is_source_away()
    }

    /// Who may be called as far as the calls of strangers go.
    fn least_trust(&self, now: Instant) -> Trust {
        if self.stranger_dials.opens(now) <= now {
            Trust::Heard
        } else {
            Trust::Named
        }
    }

    /// A dial or a connection of ours came to an end.
    pub(super) fn call_ended(&mut self, now: Instant, address: SocketAddr) {
        let known = self.ready().count();
        let longest_named = if self.is_source_quiet(now) {
            self.retry_together()
        } else if known < LONELY {
            RETRY_LONELY
        } else {
            LONGEST_RETRY
        };
        // Who lost everybody had better not wait for minutes until it tries whom it knew.
        let longest_heard = if known == 0 {
            RETRY_AWAY
        } else {
            LONGEST_RETRY
        };
        self.book
            .ended(now, address, longest_named, longest_heard, &mut self.rng);
    }

    /// Whether nothing new came from the source for longer than it takes to close a piece.
    fn is_source_quiet(&self, now: Instant) -> bool {
        let quiet = |tip: &super::Tip| now.since(tip.moved) >= QUIET;
        self.viewer.is_some() && self.tip.as_ref().is_none_or(quiet)
    }

    /// How often each of those who know each other tries the source.
    fn retry_together(&self) -> Duration {
        let neighbours = u32::try_from(self.ready().count()).unwrap_or(u32::MAX);
        RETRY_TOGETHER
            .saturating_mul(neighbours.saturating_add(1))
            .min(RETRY_AWAY)
    }

    /// The source is away since now: what was to be tried in minutes is tried in seconds.
    pub(super) fn look_for_the_source(&mut self, now: Now) {
        let longest = self.retry_together();
        self.book.hurry(now.at, longest, &mut self.rng);
        self.redial_the_silent(now);
        self.dial(now);
    }

    /// While the source is away, a named peer that says nothing at all is called a second time: after a
    /// broken link was mended the system may wait for as long again before it sends what is left.
    pub(super) fn redial_the_silent(&mut self, now: Now) {
        if !self.is_source_away() {
            return;
        }
        let silent = |peer: &&Peer| !peer.inbound && now.at.since(peer.heard_at) >= DEAD;
        let silent = self.peers.values().filter(silent);
        for address in silent.map(|peer| peer.address).collect::<Vec<_>>() {
            if self.book.is_named(address) && !self.dials.contains(address) {
                self.book.free(address);
            }
        }
    }

    pub(super) fn is_source_away(&self) -> bool {
        let viewer = self.viewer.as_ref();
        viewer.is_some_and(super::Viewer::is_source_away)
    }

    /// While the source is away: an address that was never tried, though there are peers enough.
    fn take_fresh(&mut self, now: Instant) -> Option<SocketAddr> {
        if !self.is_source_away() || self.peers.len() + self.dials.len() >= self.config.max_peers {
            return None;
        }
        let address = self.book.fresh()?;
        self.fresh_dials.take(now).then_some(())?;
        self.book.take(address);
        Some(address)
    }

    /// Which addresses are to be dialled now, if any. Callers, however many, must not keep us from
    /// those that the user or the `.tstream` names.
    fn whom_to_dial(&self, now: Instant) -> Option<Trust> {
        if !self.dials.has_room(now) {
            return None;
        }
        let dialing = self.dials.waited_for(now);
        if self.peers.len() + dialing < self.enough_peers() {
            return Some(Trust::Heard);
        }
        let dialled = self.peers.values().filter(|peer| !peer.inbound).count();
        (dialled + dialing < self.config.max_peers).then_some(Trust::Named)
    }

    /// Until how many peers others are looked for.
    fn enough_peers(&self) -> usize {
        let more = self.unfed_for.as_micros() / ONE_MORE_EVERY.as_micros();
        let more = usize::try_from(more).unwrap_or(MOST_MORE).min(MOST_MORE);
        let enough = self.affordable(ENOUGH_PEERS as f64);
        self.config.max_peers.min(enough + more)
    }

    /// How many neighbours of so many are worth what it takes to tell them of each piece.
    fn affordable(&self, neighbours: f64) -> usize {
        let part = self.pace.piece_bytes() / LONG_PIECE;
        (neighbours * part.clamp(FEWEST, 1.0)) as usize
    }

    fn is_connected_to(&self, now: Instant, address: SocketAddr) -> bool {
        let away = self.is_source_away();
        let dead = |peer: &Peer| away && now.since(peer.heard_at) >= DEAD;
        let ways = [Some(address), self.book.also(address)];
        let is_there = |peer: &Peer| peer.listening.is_some() && ways.contains(&peer.listening);
        self.peers
            .values()
            .any(|peer| is_there(peer) && !peer.turned_away && !dead(peer))
    }

    pub(super) fn dial_failed(&mut self, now: Now, address: SocketAddr) {
        let address = canonical(address);
        if self.dials.end(address) {
            self.call_ended(now.at, address);
        }
        self.dial(now);
    }

    /// At how many peers a caller is sent on to others. A viewer that took in everybody would spend
    /// its uplink on saying what it has, and the newcomers would not meet each other.
    pub(super) fn most_callers(&self) -> usize {
        match self.config.role {
            Role::Source => self.config.max_peers,
            Role::Viewer { .. } => {
                let copies = self.copies_carried().unwrap_or(1.0).min(MOST_COPIES);
                let plenty = PLENTY as f64 + copies * FOR_A_COPY;
                self.config.max_peers.min(self.affordable(plenty))
            }
        }
    }

    /// Ends the connection of least use, so that idle callers keep nobody out; `false` when all are
    /// young or of use. Who gets or gives pieces stays: a crowd of newcomers must not drive it out.
    pub(super) fn make_room(&mut self, now: Now, newcomer: ConnId) -> bool {
        let least = self
            .least_useful(now.at)
            .or_else(|| self.one_of_a_crowd(now.at, newcomer));
        if let Some(conn) = least {
            self.farewell(now, conn, Farewell::rule("room for a newcomer"));
        }
        least.is_some()
    }

    /// The neighbour that is of least use, if any is of none.
    fn least_useful(&self, now: Instant) -> Option<ConnId> {
        let few = self.few();
        let settling = if self.unfed_for >= ONE_MORE_EVERY {
            SETTLING_UNFED
        } else {
            SETTLING
        };
        let streams = self.store.newest().is_some();
        let idle = |conn: ConnId, peer: &Peer| {
            let listener =
                streams && peer.newest_shown.is_none() && now.since(peer.since) >= LISTENER;
            !peer.turned_away
                && (listener || now.since(peer.since) >= settling)
                && peer.is_unused(now, few)
                && (peer.choked_by_us || self.viewer.is_some())
                && !self.uplink.carrier.carries_any(conn)
                && !self.is_auxiliary(peer)
                && !self.book.is_named(peer.listening.unwrap_or(peer.address))
        };
        self.peers
            .iter()
            .filter(|&(&conn, peer)| idle(conn, peer))
            .min_by_key(|(conn, peer)| (peer.live.cap, peer.since, **conn))
            .map(|(&conn, _)| conn)
    }

    /// One that gives nothing, of an address that has more connections than the newcomer's by two or
    /// more: nobody can take all places from one address, and two newcomers cannot oust each other.
    fn one_of_a_crowd(&self, now: Instant, newcomer: ConnId) -> Option<ConnId> {
        let mut crowds = HashMap::<_, usize>::new();
        for peer in self.peers.values().filter(|peer| peer.id.is_some()) {
            *crowds.entry(network(peer.address.ip())).or_default() += 1;
        }
        let crowd = |peer: &Peer| crowds.get(&network(peer.address.ip())).copied();
        let own = self.peers.get(&newcomer).and_then(crowd)?;
        let spare = |conn: ConnId, peer: &Peer| {
            conn != newcomer
                && peer.id.is_some()
                && !peer.turned_away
                && crowd(peer) >= Some(own + 2)
                && (peer.choked_by_us || self.viewer.is_some())
                && !peer.gave_of_late(now)
                && !self.is_auxiliary(peer)
                && !self.book.is_named(peer.listening.unwrap_or(peer.address))
        };
        self.peers
            .iter()
            .filter(|&(&conn, peer)| spare(conn, peer))
            .max_by_key(|(conn, peer)| (crowd(peer), peer.since, **conn))
            .map(|(&conn, _)| conn)
    }

    /// Lets go of a neighbour that is of no use, for one that may be: the search for better
    /// neighbours never ends, and whoever is let go has room for those who have none.
    pub(super) fn look_for_better(&mut self, now: Now) {
        self.notice_unfed(now.at);
        // While nothing comes from the source nobody is of use, and all will be.
        if self.viewer.is_none() || self.is_source_away() {
            return;
        }
        let every = if self.unfed_for.is_zero() {
            SWAP_EVERY
        } else {
            SWAP_EVERY_UNFED
        };
        if now.at.since(self.swapped_at) < every {
            return;
        }
        self.swapped_at = now.at;
        if self.peers.len() < self.enough_peers() {
            return;
        }
        if let Some(conn) = self.least_useful(now.at) {
            self.farewell(now, conn, Farewell::rule("of no use to each other"));
        }
    }

    /// Counts for how long some class has been without a way to the source.
    fn notice_unfed(&mut self, now: Instant) {
        let watches = self.viewer.as_ref().is_some_and(|v| v.next().is_some());
        let fed = (0..CLASSES).all(|class| self.hops.is_fed(now, class, UNFED));
        if fed || !watches || self.is_source_away() {
            self.fed_at = now;
        }
        self.unfed_for = now.since(self.fed_at);
    }

    /// A peer says at which address it sees us (BEP 10 `yourip`). Where several outside agree, we know
    /// what others call us, and need not call ourselves when we hear of it.
    pub(super) fn seen_at(&mut self, from: IpAddr, ours: IpAddr) {
        let ours = ours.to_canonical();
        let outside = |ip| Scope::of(ip) == Scope::Public;
        if !outside(from) || !outside(ours) || self.outside_port == 0 {
            return;
        }
        let witnesses = &mut self.witnesses[usize::from(ours.is_ipv6())];
        if witnesses.heard(from, ours, ENOUGH_WITNESSES) {
            let address = SocketAddr::new(ours, self.port_towards(ours));
            self.book.is_ours(address);
        }
    }

    pub(super) fn take_pex(&mut self, now: Now, conn: ConnId, pex: &Pex) {
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        if self.config.role == Role::Source || !self.config.pex {
            // A source dials only whom its user names.
            return;
        }
        let near = Scope::of(peer.address.ip());
        let (address, mut peers) = (peer.address, 0);
        for peer_told in &pex.added {
            let address = canonical(peer_told.address);
            if Scope::of(address.ip()).is_shown_to(near) && peer.pex_quota.take(now.at) {
                self.book.add(now.at, address, Trust::Heard, &mut self.rng);
                peers += 1;
            }
        }
        if peers > 0 {
            self.tell(Event::Step(Step::Exchanged { address, peers }));
        }
        self.dial(now);
    }

    /// Tells a peer of addresses that we have reached (BEP 11).
    pub(super) fn send_pex(&mut self, now: Instant, conn: ConnId) {
        let Some(peer) = self.peers.get(&conn) else {
            return;
        };
        let Some(id) = peer
            .extensions
            .as_ref()
            .and_then(|ids| ids.id(Extension::Pex))
            .filter(|_| self.config.pex)
        else {
            return;
        };
        let near = Scope::of(peer.address.ip());
        let reached = |(c, p): &(ConnId, &Peer)| {
            let ip = p.address.ip();
            *c != conn && !p.inbound && Scope::of(ip).is_shown_to(near) && !needs_link(ip)
        };
        let current: Vec<_> = self
            .ready()
            .filter(reached)
            .map(|(_, p)| p.address)
            .collect();
        let new = |address: &&SocketAddr| !peer.pex_told.contains(*address);
        let room = MAX_PEX_TOLD.saturating_sub(peer.pex_told.len());
        let added = current.iter().filter(new).take(MAX_PEX.min(room));
        let added: Vec<_> = added.copied().collect();
        let gone = |address: &&SocketAddr| !current.contains(address);
        let told = peer.pex_told.iter();
        let dropped: Vec<_> = told.filter(gone).take(MAX_PEX).copied().collect();
        if added.is_empty() && dropped.is_empty() && !peer.turned_away {
            return;
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.pex_told.extend(&added);
            peer.pex_told.retain(|address| !dropped.contains(address));
        }
        let added = added.into_iter().map(PexPeer::reachable).collect();
        self.extend(now, conn, id, Pex { added, dropped }.encode());
    }
}
