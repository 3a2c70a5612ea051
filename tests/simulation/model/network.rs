// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How messages and calls get from host to host.

use std::{net::SocketAddr, time::Duration};

use gstlivetorrent::proto::{
    swarm::{ConnId, Input},
    wire::Message,
};

use super::{
    host::{CUT, Connection, End, HostId, Kind, address, at_address, calling_address},
    link::{self, Flow, SEGMENT, SEGMENT_HEADER},
    options::SECOND,
    queue::Micros,
    world::{What, World},
};

/// A call that nobody answers fails after so long.
const NO_ANSWER: Micros = 3 * SECOND;
/// A connection to a host that vanished ends after so long.
const CUT_NOTICED: Micros = 20 * SECOND;
/// A sender is told that small messages left once so many of their bytes did.
const SMALL_TOLD: u32 = 1024;
/// A wait for the downlink under this many µs is not waited.
const NO_WAIT: Micros = 100;

impl World {
    /// The connection and the end of it that `conn` of `host` is.
    fn end_of(&self, host: HostId, conn: u32) -> Option<(usize, usize)> {
        let end = self.hosts[host as usize].ends.get(conn)?;
        let number = (end & !CUT) as usize;
        Some((number / 2, number % 2))
    }

    /// The other end vanished; an end that is closed counts as such.
    fn is_cut(&self, host: HostId, conn: u32) -> bool {
        let end = self.hosts[host as usize].ends.get(conn);
        end.is_none_or(|end| end & CUT != 0)
    }

    /// Takes a message that a swarm sends.
    pub(crate) fn carry(&mut self, host: HostId, conn: u32, message: Message) {
        let Some((at, side)) = self.end_of(host, conn) else {
            return;
        };
        let message = match self.kind(host) {
            Kind::Liar => {
                let bytes = message.wire_len() as u32;
                let Some(message) = self.attackers.lie(message) else {
                    self.later(self.now, host, conn, What::Sent(bytes));
                    return;
                };
                message
            }
            Kind::Polluter => self.attackers.pollute(message),
            _ => message,
        };
        let cut = self.is_cut(host, conn);
        let connection = &mut self.connections[at];
        let bytes = message.wire_len();
        let window = self.weather.window();
        let flow = &mut connection.ends[side].flow;
        if cut {
            flow.lost = flow.lost.saturating_add(bytes as u32);
            if f64::from(flow.lost) > window {
                return;
            }
        }
        let first = !flow.has_waiting();
        if first && flow.has_room(self.now, window) {
            self.enter(host, conn, message);
            return;
        }
        if first && let Some(at) = flow.next_ack() {
            self.later(at, host, conn, What::Room);
        }
        let message = self.messages.keep(message);
        self.connections[at].ends[side].flow.wait(message);
    }

    /// Lets messages that waited for the window enter the uplink.
    pub(crate) fn room(&mut self, host: HostId, conn: u32) {
        while let Some((at, side)) = self.end_of(host, conn) {
            let window = self.weather.window();
            let flow = &mut self.connections[at].ends[side].flow;
            if !flow.has_waiting() {
                return;
            }
            if !flow.has_room(self.now, window) {
                if let Some(ack) = flow.next_ack() {
                    self.later(ack, host, conn, What::Room);
                }
                return;
            }
            let next = flow.next_waiting();
            if let Some(message) = next.and_then(|next| self.messages.take(next)) {
                self.enter(host, conn, message);
            }
        }
    }

    /// A message enters the uplink.
    pub(crate) fn enter(&mut self, host: HostId, conn: u32, message: Message) {
        let Some((at, side)) = self.end_of(host, conn) else {
            return;
        };
        let now = self.now;
        let outage_ends = self.outage_ends(host);
        let bytes = message.wire_len();
        let segments = link::segments(bytes);
        let lost = self.weather.loses(segments, &mut self.losses);
        let sender = &mut self.hosts[host as usize];
        let kind = sender.lot.kind;
        if let Some(until) = outage_ends {
            sender.uplink.block(until);
        }
        let left = sender.uplink.send(now, link::cost(bytes));
        let again = if lost {
            bytes.min(SEGMENT) + SEGMENT_HEADER
        } else {
            0
        };
        if lost {
            sender.uplink.send(now, again);
        }
        let connection = &mut self.connections[at];
        let rtt = connection.rtt;
        let flow = &mut connection.ends[side].flow;
        let late = if lost {
            link::recovery(rtt, segments, flow.last, now)
        } else {
            0
        };
        flow.last = now;
        let arrives = (left + rtt / 2 + late).max(flow.arrived);
        flow.arrived = arrives;
        flow.flies(left + rtt + late, bytes);
        flow.unconfirmed += bytes as u32;
        let told = if flow.unconfirmed >= SMALL_TOLD {
            std::mem::take(&mut flow.unconfirmed)
        } else {
            0
        };
        let other = &connection.ends[1 - side];
        let (receiver, theirs) = (other.host, other.conn);
        self.meter.sent(kind, &message, again);
        if told > 0 {
            self.later(left, host, conn, What::Sent(told));
        }
        let what = match message {
            Message::Have(index) => What::ArriveHave(index),
            message => What::Arrive(self.messages.keep(message)),
        };
        self.later(arrives, receiver, theirs, what);
    }

    /// When the outage is over that a host's access link is in.
    fn outage_ends(&self, host: HostId) -> Option<Micros> {
        if host != 0 {
            return None;
        }
        let (from, to) = self.options.outage?;
        let [from, to] = [from, to].map(|at| super::world::LEAD + (at * SECOND as f64) as Micros);
        (from..to).contains(&self.now).then_some(to)
    }

    pub(crate) fn left_uplink(&mut self, host: HostId, conn: u32, bytes: u32) {
        if self.end_of(host, conn).is_some() {
            let (conn, bytes) = (ConnId(conn.into()), bytes as usize);
            self.input(host, Input::Sent { conn, bytes });
        }
    }

    pub(crate) fn arrive_have(&mut self, host: HostId, conn: u32, index: u32) {
        if let Some(at) = self.pass_downlink(host, conn, Message::Have(index).wire_len()) {
            if at > self.now {
                self.later(at, host, conn, What::DeliverHave(index));
            } else {
                self.receive(host, conn, Message::Have(index));
            }
        }
    }

    pub(crate) fn arrive(&mut self, host: HostId, conn: u32, number: u32) {
        let bytes = self.messages.get(number).map_or(0, Message::wire_len);
        match self.pass_downlink(host, conn, bytes) {
            Some(at) if at > self.now => self.later(at, host, conn, What::Deliver(number)),
            passed => {
                let message = self.messages.take(number);
                if let (Some(message), Some(_)) = (message, passed) {
                    self.receive(host, conn, message);
                }
            }
        }
    }

    /// When a message whose last byte is here is through the downlink; never on a connection that
    /// is gone.
    fn pass_downlink(&mut self, host: HostId, conn: u32, bytes: usize) -> Option<Micros> {
        if self.is_cut(host, conn) {
            return None;
        }
        if let Some(until) = self.outage_ends(host) {
            self.hosts[host as usize].downlink.block(until);
        }
        // It came over the sender's uplink, so its first byte was here earlier than its last.
        let cost = link::cost(bytes);
        let span = if bytes > SEGMENT {
            let (at, side) = self.end_of(host, conn)?;
            let sender = self.connections[at].ends[1 - side].host;
            self.hosts[sender as usize].uplink.takes(cost)
        } else {
            0
        };
        let through = self.hosts[host as usize]
            .downlink
            .receive(self.now, span, cost);
        if through <= self.now + NO_WAIT {
            Some(self.now)
        } else {
            Some(through)
        }
    }

    /// A message is there.
    pub(crate) fn receive(&mut self, host: HostId, conn: u32, message: Message) {
        let Some((at, side)) = self.end_of(host, conn) else {
            return;
        };
        if let Message::Piece {
            index,
            begin,
            block,
        } = &message
        {
            let sender = self.kind(self.connections[at].ends[1 - side].host);
            self.meter
                .block(self.now, host, sender, (*index, *begin), block.len());
            let receiver = &mut self.hosts[host as usize];
            if receiver.lot.kind == Kind::Liar {
                receiver.taken.push((conn, *index));
            }
        }
        let conn = ConnId(conn.into());
        self.input(host, Input::Received { conn, message });
    }

    /// A swarm wants a connection.
    pub(crate) fn dial(&mut self, host: HostId, to: SocketAddr) {
        let found = at_address(to).filter(|&other| (other as usize) < self.hosts.len());
        let Some(other) = found else {
            // No address but those of hosts is ever told, so this is a port that nobody has.
            let failed = Input::DialFailed { address: to };
            self.input(host, failed);
            return;
        };
        let rtt = self.weather.rtt(host, other);
        self.later(self.now + rtt / 2, other, host, What::Syn);
    }

    /// `caller` calls `host`.
    pub(crate) fn called(&mut self, caller: HostId, host: HostId) {
        if !self.is_alive(caller) {
            return;
        }
        let rtt = self.weather.rtt(host, caller);
        let deaf = self.outage_ends(host).is_some() || self.outage_ends(caller).is_some();
        let callee = &self.hosts[host as usize];
        let listens = callee.lot.kind != Kind::FreeRider && !callee.lot.firewalled;
        if deaf || !listens || !self.is_alive(host) {
            let at = (self.now + NO_ANSWER).saturating_sub(rtt / 2);
            self.later(at, caller, host, What::DialFailed);
            return;
        }
        let number = self.open(caller, host, rtt);
        let [theirs, ours] = self.connections[number].ends.each_ref().map(|end| end.conn);
        self.later(self.now + rtt / 2, caller, theirs, What::Connected);
        self.input(
            host,
            Input::Connected {
                conn: ConnId(ours.into()),
                address: calling_address(caller),
                inbound: true,
                waited: Duration::ZERO,
            },
        );
    }

    fn open(&mut self, caller: HostId, callee: HostId, rtt: Micros) -> usize {
        let number = self
            .free_connections
            .pop()
            .unwrap_or(self.connections.len() as u32);
        let ends = [caller, callee].map(|host| End {
            host,
            conn: 0,
            open: true,
            flow: Flow::default(),
        });
        let mut connection = Connection { rtt, ends };
        for (side, end) in connection.ends.iter_mut().enumerate() {
            let host = &mut self.hosts[end.host as usize];
            end.conn = host.ends.add(2 * number + side as u32);
        }
        let number = number as usize;
        if number == self.connections.len() {
            self.connections.push(connection);
        } else {
            self.connections[number] = connection;
        }
        number
    }

    pub(crate) fn call_taken(&mut self, host: HostId, conn: u32) {
        let Some((at, side)) = self.end_of(host, conn) else {
            return;
        };
        let callee = self.connections[at].ends[1 - side].host;
        let connected = Input::Connected {
            conn: ConnId(conn.into()),
            address: address(callee),
            inbound: false,
            waited: Duration::ZERO,
        };
        self.input(host, connected);
    }

    pub(crate) fn call_failed(&mut self, host: HostId, called: HostId) {
        let address = address(called);
        self.input(host, Input::DialFailed { address });
    }

    /// A swarm ends a connection; what it sent before still arrives.
    pub(crate) fn hang_up(&mut self, host: HostId, conn: u32) {
        let Some((at, side)) = self.end_of(host, conn) else {
            return;
        };
        // What waits for the window still goes, ahead of it.
        while let Some(next) = self.connections[at].ends[side].flow.next_waiting() {
            if let Some(message) = self.messages.take(next) {
                self.enter(host, conn, message);
            }
        }
        let connection = &self.connections[at];
        let arrived = connection.ends[side].flow.arrived;
        let noticed = arrived.max(self.now + connection.rtt / 2);
        self.shut(host, conn);
        self.closes_at(noticed, at, 1 - side);
    }

    /// The other end is gone, as far as this one can tell.
    pub(crate) fn closed(&mut self, host: HostId, conn: u32) {
        if self.end_of(host, conn).is_none() {
            return;
        }
        self.shut(host, conn);
        let (conn, reason) = (ConnId(conn.into()), "the connection ended".to_owned());
        self.input(host, Input::Closed { conn, reason });
    }

    /// An end will learn that the other is gone.
    fn closes_at(&mut self, noticed: Micros, at: usize, side: usize) {
        let End {
            host, conn, open, ..
        } = self.connections[at].ends[side];
        if open {
            self.later(noticed, host, conn, What::Closed);
        }
    }

    /// Forgets one end, and the connection with the second.
    fn shut(&mut self, host: HostId, conn: u32) {
        let Some((at, side)) = self.end_of(host, conn) else {
            return;
        };
        self.hosts[host as usize].ends.remove(conn);
        let connection = &mut self.connections[at];
        connection.ends[side].open = false;
        while let Some(message) = connection.ends[side].flow.next_waiting() {
            self.messages.take(message);
        }
        if !connection.ends[1 - side].open {
            self.free_connections.push(at as u32);
        }
    }

    /// Takes a host's connections away: with a word to the others, or without.
    pub(crate) fn disconnect(&mut self, host: HostId, says_so: bool) {
        for conn in self.hosts[host as usize].ends.numbers() {
            if says_so {
                self.hang_up(host, conn);
                continue;
            }
            let Some((at, side)) = self.end_of(host, conn) else {
                continue;
            };
            self.shut(host, conn);
            let End {
                host: other,
                conn: theirs,
                open,
                ..
            } = self.connections[at].ends[1 - side];
            if open {
                self.hosts[other as usize].ends.cut(theirs);
            }
            self.closes_at(self.now + CUT_NOTICED, at, 1 - side);
        }
    }
}
