// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One host and one connection between two.

use std::net::SocketAddr;

use gstlivetorrent::proto::{swarm::Swarm, time::Instant};

use super::{
    clock::Clock,
    link::{Flow, Link},
    queue::Micros,
};

/// The port that everybody listens at.
pub(crate) const PORT: u16 = 7764;
/// The port that everybody calls from.
pub(crate) const CALLING_PORT: u16 = 40_000;
/// Set in an end whose other end vanished.
pub(crate) const CUT: u32 = 1 << 31;

/// A host's place in the world. Never used twice.
pub(crate) type HostId = u32;

/// What a host is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It signs.
    Source,
    /// It watches and shares.
    Giver,
    /// It watches and says that it does not share.
    FreeRider,
    /// It watches, promises, claims and sends nothing.
    Liar,
    /// It gives what the source did not sign.
    Polluter,
}

impl Kind {
    pub(crate) const fn is_honest(self) -> bool {
        matches!(self, Self::Source | Self::Giver | Self::FreeRider)
    }
}

/// What chance gave a viewer. Who replaces another has the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Lot {
    pub(crate) kind: Kind,
    /// Which of the uplinks.
    pub(crate) class: u8,
    pub(crate) firewalled: bool,
}

/// One host. Laid out as it is written: what every message touches lies together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Host {
    /// Nothing once the host has left.
    pub(crate) swarm: Option<Box<Swarm>>,
    pub(crate) ends: Ends,
    pub(crate) lot: Lot,
    pub(crate) downlink: Link,
    pub(crate) clock: Clock,
    pub(crate) uplink: Link,
    /// When the swarm wants to be woken, by its clock and by ours, and when the next wake is in the
    /// queue for.
    pub(crate) wake_at: Option<Instant>,
    pub(crate) wake: Micros,
    pub(crate) wake_queued: Micros,
    /// When it last asked the tracker.
    pub(crate) asked: Option<Micros>,
    /// Its place among those that the tracker gives out.
    pub(crate) registered: Option<u32>,
    /// Liar: by connection, the indices that it was given since its last report.
    pub(crate) taken: Vec<(u32, u32)>,
}

/// A host's connections: by its number for it, the connection and this end of it.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// In the order of their numbers.
    open: Vec<(u32, u32)>,
    next: u32,
}

impl Ends {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.open.len()
    }

    /// Another one; its number.
    pub(crate) fn add(&mut self, end: u32) -> u32 {
        let number = self.next;
        self.next += 1;
        self.open.push((number, end));
        number
    }

    fn place(&self, number: u32) -> Option<usize> {
        let place = self
            .open
            .binary_search_by_key(&number, |&(number, _)| number);
        place.ok()
    }

    pub(crate) fn get(&self, number: u32) -> Option<u32> {
        self.place(number).map(|place| self.open[place].1)
    }

    /// The other end of it vanished.
    pub(crate) fn cut(&mut self, number: u32) {
        if let Some(place) = self.place(number) {
            self.open[place].1 |= CUT;
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(place) = self.place(number) {
            self.open.remove(place);
        }
    }

    /// The numbers of all.
    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.open.iter().map(|&(number, _)| number).collect()
    }
}

/// Where a host listens.
pub(crate) fn address(host: HostId) -> SocketAddr {
    let [_, a, b, c] = (host + 1).to_be_bytes();
    SocketAddr::from(([10, a, b, c], PORT))
}

/// Where a host calls from.
pub(crate) fn calling_address(host: HostId) -> SocketAddr {
    SocketAddr::new(address(host).ip(), CALLING_PORT)
}

/// Who listens at an address.
pub(crate) fn at_address(address: SocketAddr) -> Option<HostId> {
    match address {
        SocketAddr::V4(v4) if v4.port() == PORT => {
            let [_, a, b, c] = v4.ip().octets();
            u32::from_be_bytes([0, a, b, c]).checked_sub(1)
        }
        _ => None,
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) host: HostId,
    /// Its number there.
    pub(crate) conn: u32,
    pub(crate) open: bool,
    /// What goes from here to the other end.
    pub(crate) flow: Flow,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) rtt: Micros,
    pub(crate) ends: [End; 2],
}
