// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Addresses worth a try, and those that are refused (PROTOCOL §5 dialling, §7 blame).

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    address::{is_dialable, network},
    time::Instant,
};

/// Most addresses that are remembered; one more pushes out one that never answered.
const MAX_ADDRESSES: usize = 1000;
/// Most refusals that are remembered; the oldest leave.
const MAX_REFUSALS: usize = 4096;
/// How long a proven liar is refused.
const REFUSAL: Duration = Duration::from_secs(600);
/// So many proven liars at one address within [`REFUSAL`] close it to callers.
const STRIKES: usize = 8;
/// The first wait after a failure; each further one waits half as long again.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// The longest wait between two tries of an address.
pub(super) const LONGEST_RETRY: Duration = Duration::from_secs(120);
/// The lot of those of our own network; others draw a higher one.
const NEAR: u32 = 0;
/// An address that was never reached is dropped after so many failures, unless it was named,
const MAX_FAILURES: u32 = 3;
/// and whoever tells of it is not listened to for so long: it may be somebody whom the teller would
/// have the whole swarm call.
const GIVEN_UP: Duration = Duration::from_secs(120);
/// Most such addresses that are remembered; the others may be heard of again.
const MAX_GIVEN_UP: usize = 1024;
/// A full peer is not called again before about 13 s are over.
const FULL_FAILURES: u32 = 8;
/// However short waits may be, they grow to this where a peer is full.
const RETRY_FULL: Duration = Duration::from_secs(4);

/// Those who gave us pieces the last time and are called first are so many at most, and so many are
/// told of for the next time.
pub(super) const MAX_KNOWN: usize = 32;

/// Where an address came from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    /// The source's own (announce URL).
    Source,
    /// The user's (`peers`).
    Named,
    /// A tracker's or another peer's word.
    Heard,
}

#[derive(Debug)]
struct Entry {
    trust: Trust,
    failures: u32,
    reached: bool,
    /// It leads to ourselves.
    own: bool,
    /// It leads to the same peer as this one.
    also: Option<SocketAddr>,
    busy: bool,
    /// It said that it is full when it was called last.
    full: bool,
    /// It waits in [`AddressBook::known`] for its turn.
    known: bool,
    /// When it gave us a piece that was verified; only where it was reached, too.
    gave: Option<Instant>,
    next: Instant,
    /// Decides among equals, so that not everybody calls the same addresses first.
    chance: u32,
}

/// What a refusal is about. A peer id alone never counts: anyone could borrow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    Listening(SocketAddr),
    Id(IpAddr, [u8; 20]),
}

/// Every address known, with its turn.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    entries: HashMap<SocketAddr, Entry>,
    /// Those that are more than heard of: a few of up to a thousand, and all that is looked at while
    /// there are peers enough.
    named: Vec<SocketAddr>,
    /// Those that gave us pieces the last time and were not called yet.
    known: VecDeque<SocketAddr>,
    /// Where we are called ourselves, by IPv4 and by IPv6, as far as that is known.
    ours: [Option<SocketAddr>; 2],
    /// Addresses that never answered, and until when.
    given_up: HashMap<SocketAddr, Instant>,
    refused: VecDeque<(Instant, Refused)>,
    strikes: VecDeque<(Instant, IpAddr)>,
}

impl AddressBook {
    /// How much is remembered.
    pub(super) fn entries(&self) -> usize {
        let addresses = self.entries.len() + self.known.len() + self.given_up.len();
        addresses + self.refused.len() + self.strikes.len()
    }

    /// Learns an address.
    pub(super) fn add(
        &mut self,
        now: Instant,
        address: SocketAddr,
        trust: Trust,
        rng: &mut fastrand::Rng,
    ) {
        let is_ours = trust == Trust::Heard && self.ours.contains(&Some(address));
        if !is_dialable(&address) || is_ours {
            return;
        }
        if let Some(entry) = self.entries.get_mut(&address) {
            if entry.trust == Trust::Heard && trust < Trust::Heard {
                self.named.push(address);
            }
            entry.trust = entry.trust.min(trust);
            return;
        }
        let given_up = self.given_up.get(&address);
        if trust == Trust::Heard && given_up.is_some_and(|&until| until > now) {
            return;
        }
        if self.entries.len() >= MAX_ADDRESSES && !self.make_room(trust) {
            return;
        }
        if trust < Trust::Heard {
            self.named.push(address);
        }
        self.entries.insert(
            address,
            Entry {
                trust,
                failures: 0,
                reached: false,
                own: false,
                also: None,
                busy: false,
                full: false,
                known: false,
                gave: None,
                next: now,
                chance: rng.u32(NEAR + 1..),
            },
        );
    }

    /// The address comes before others of its kind.
    pub(super) fn prefer(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.chance = NEAR;
        }
    }

    /// The address is called before others, and beside them.
    pub(super) fn call_first(&mut self, address: SocketAddr) {
        if self.known.len() < MAX_KNOWN
            && let Some(entry) = self.entries.get_mut(&address)
            && !std::mem::replace(&mut entry.known, true)
        {
            self.known.push_back(address);
        }
    }

    /// The next of those; it is busy from here on.
    pub(super) fn take_known(&mut self, now: Instant) -> Option<SocketAddr> {
        loop {
            let address = self.known.pop_front()?;
            let Some(entry) = self.entries.get_mut(&address) else {
                continue;
            };
            entry.known = false;
            if !entry.busy && entry.failures == 0 && entry.next <= now {
                entry.busy = true;
                return Some(address);
            }
        }
    }

    /// The peer that takes others in at this address gave us a piece.
    pub(super) fn gave(&mut self, now: Instant, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address).filter(|e| e.reached) {
            entry.gave = Some(now);
        }
    }

    /// Whom to call first the next time, and how long ago each gave us a piece, the last first.
    pub(super) fn good(&self, now: Instant) -> Vec<(SocketAddr, Duration)> {
        let gave = |(&address, e): (&SocketAddr, &Entry)| Some((address, now.since(e.gave?)));
        let mut good: Vec<_> = self.entries.iter().filter_map(gave).collect();
        good.sort_unstable_by_key(|&(address, ago)| (ago, address));
        good.truncate(MAX_KNOWN);
        good
    }

    fn make_room(&mut self, trust: Trust) -> bool {
        let spare = self
            .entries
            .iter()
            .filter(|(_, e)| e.trust == Trust::Heard && !e.busy)
            .max_by_key(|(address, e)| (!e.reached, e.failures, **address))
            .map(|(&address, e)| (address, e.reached));
        match spare {
            Some((address, reached)) if !reached || trust < Trust::Heard => {
                self.entries.remove(&address);
                true
            }
            _ => false,
        }
    }

    /// The address whose turn it is among those of this trust or better, the source's first; it
    /// is busy from here on.
    pub(super) fn take_due(&mut self, now: Instant, trust: Trust) -> Option<SocketAddr> {
        let address = self
            .idle(trust)
            .filter(|(_, e)| e.next <= now)
            .min_by_key(|(address, e)| {
                // Those of our network first, whenever they were heard of.
                let elsewhere = e.chance != NEAR;
                (e.trust, e.failures, elsewhere, e.next, e.chance, **address)
            })
            .map(|(&address, _)| address)?;
        self.take(address);
        Some(address)
    }

    /// An address that was heard of and never tried, if there is one.
    pub(super) fn fresh(&self) -> Option<SocketAddr> {
        let is_fresh = |e: &Entry| !e.busy && !e.own && !e.reached && e.failures == 0;
        let fresh = self.entries.iter().filter(|(_, e)| is_fresh(e));
        let first = fresh.min_by_key(|(address, e)| (e.chance, **address));
        first.map(|(&address, _)| address)
    }

    /// The address is tried.
    pub(super) fn take(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.busy = true;
        }
    }

    /// The address may be tried though there is a connection to it.
    pub(super) fn free(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.busy = entry.own;
        }
    }

    /// Those that the user or the `.tstream` names are tried within `longest`.
    pub(super) fn hurry(&mut self, now: Instant, longest: Duration, rng: &mut fastrand::Rng) {
        for address in &self.named {
            if let Some(entry) = self.entries.get_mut(address) {
                entry.next = entry.next.min(now + longest.mul_f64(rng.f64()));
            }
        }
    }

    /// When the next address of this trust or better is due.
    pub(super) fn next_due(&self, trust: Trust) -> Option<Instant> {
        self.idle(trust).map(|(_, e)| e.next).min()
    }

    /// The addresses of this trust or better that are not called now, in no order.
    fn idle(&self, trust: Trust) -> impl Iterator<Item = (&SocketAddr, &Entry)> {
        let all = trust == Trust::Heard;
        let heard = all.then(|| self.entries.iter()).into_iter().flatten();
        let named = if all { &[][..] } else { &self.named[..] };
        let named = named.iter().filter_map(|a| self.entries.get_key_value(a));
        heard
            .chain(named)
            .filter(move |(_, e)| !e.busy && e.trust <= trust)
            .filter(|(_, e)| !e.known || e.trust < Trust::Heard)
    }

    /// The handshake with this address was finished, and there is no other connection to who is there.
    pub(super) fn reached(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.reached = true;
            entry.also = None;
        }
    }

    /// A connection to this address was of use for a while, so the next try need not wait long.
    /// A finished handshake alone does not tell: a full peer finishes it and closes.
    pub(super) fn lasted(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.failures = 0;
        }
    }

    /// The peer at this address is full: it is not asked again soon. Thousands who called a full
    /// source every second would leave it no uplink for the stream.
    pub(super) fn turned_away(&mut self, address: SocketAddr, lonely: bool) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.failures = entry.failures.max(if lonely { 3 } else { FULL_FAILURES });
            entry.full = true;
        }
    }

    /// A dial or a connection came to an end; the next try waits longer each time.
    /// `longest_named`: how long it may be for those that the user or the `.tstream` names;
    /// `longest_heard`: for the others, if they were reached before.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        address: SocketAddr,
        longest_named: Duration,
        longest_heard: Duration,
        rng: &mut fastrand::Rng,
    ) {
        let Some(entry) = self.entries.get_mut(&address) else {
            return;
        };
        let longest = match entry.trust {
            Trust::Heard if entry.reached => longest_heard,
            Trust::Heard => LONGEST_RETRY,
            Trust::Source | Trust::Named => longest_named,
        };
        let longest = if std::mem::take(&mut entry.full) {
            longest.max(RETRY_FULL)
        } else {
            longest
        };
        let grown = FIRST_RETRY.mul_f64(1.5f64.powi(entry.failures.min(30).cast_signed()));
        entry.next = now + grown.min(longest).mul_f64(0.75 + 0.5 * rng.f64());
        entry.failures = entry.failures.saturating_add(1);
        entry.busy = entry.own;
        if entry.trust == Trust::Heard && !entry.reached && entry.failures >= MAX_FAILURES {
            self.entries.remove(&address);
            if self.given_up.len() < MAX_GIVEN_UP {
                self.given_up.insert(address, now + GIVEN_UP);
            }
        }
    }

    /// Whether nothing is known of it but that somebody told of it.
    pub(super) fn is_stranger(&self, address: SocketAddr) -> bool {
        let stranger = |e: &Entry| e.trust == Trust::Heard && !e.reached;
        self.entries.get(&address).is_some_and(stranger)
    }

    /// The address leads to ourselves: it is not tried again.
    pub(super) fn is_self(&mut self, address: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.own = true;
        }
    }

    /// Others call us here, as far as we know: whoever tells of it tells of ourselves. Not where
    /// somebody else was reached, who shares the address and has the port.
    pub(super) fn is_ours(&mut self, address: SocketAddr) {
        let entry = self.entries.get(&address);
        if entry.is_some_and(|entry| entry.reached) {
            return;
        }
        self.ours[usize::from(address.is_ipv6())] = Some(address);
        if entry.is_some_and(|entry| entry.trust == Trust::Heard && !entry.busy) {
            self.entries.remove(&address);
        }
    }

    /// The address leads to the peer that is connected at `other`.
    pub(super) fn is_also(&mut self, address: SocketAddr, other: SocketAddr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.also = Some(other);
        }
    }

    /// Another address of the same peer, as it was when the address was called last.
    pub(super) fn also(&self, address: SocketAddr) -> Option<SocketAddr> {
        self.entries.get(&address)?.also
    }

    /// Whether the address is the source's, as the announce URL has it.
    pub(super) fn is_source(&self, address: SocketAddr) -> bool {
        self.entries
            .get(&address)
            .is_some_and(|e| e.trust == Trust::Source)
    }

    /// Whether the user or the `.tstream` names it.
    pub(super) fn is_named(&self, address: SocketAddr) -> bool {
        self.entries
            .get(&address)
            .is_some_and(|e| e.trust < Trust::Heard)
    }

    /// Refuses a proven liar for ten minutes.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        ip: IpAddr,
        listening: Option<SocketAddr>,
        peer_id: Option<[u8; 20]>,
    ) {
        let until = now + REFUSAL;
        if let Some(entry) = listening.and_then(|address| self.entries.get_mut(&address)) {
            entry.gave = None;
        }
        let pairs = [
            listening.map(Refused::Listening),
            peer_id.map(|id| Refused::Id(ip, id)),
        ];
        for pair in pairs.into_iter().flatten() {
            if self.refused.len() >= MAX_REFUSALS {
                self.refused.pop_front();
            }
            self.refused.push_back((until, pair));
        }
        if self.strikes.len() >= MAX_REFUSALS {
            self.strikes.pop_front();
        }
        self.strikes.push_back((until, network(ip)));
    }

    /// Whether a peer that listens here is refused. What the user or the `.tstream` names is not.
    pub(super) fn refuses_address(&self, now: Instant, listening: SocketAddr) -> bool {
        !self.is_named(listening) && self.refuses(now, Refused::Listening(listening))
    }

    /// Whether this peer id is refused at this address.
    pub(super) fn refuses_id(&self, now: Instant, address: SocketAddr, id: [u8; 20]) -> bool {
        !self.is_named(address) && self.refuses(now, Refused::Id(address.ip(), id))
    }

    fn refuses(&self, now: Instant, pair: Refused) -> bool {
        self.refused
            .iter()
            .any(|&(until, p)| p == pair && until > now)
    }

    /// Whether callers from this address are refused altogether.
    pub(super) fn refuses_callers(&self, now: Instant, ip: IpAddr) -> bool {
        let ip = network(ip);
        let live = self
            .strikes
            .iter()
            .filter(|&&(until, at)| at == ip && until > now);
        !ip.is_loopback() && live.count() >= STRIKES
    }

    /// Forgets refusals that are over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.given_up.retain(|_, until| *until > now);
        while self.refused.front().is_some_and(|&(until, _)| until <= now) {
            self.refused.pop_front();
        }
        while self.strikes.front().is_some_and(|&(until, _)| until <= now) {
            self.strikes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
