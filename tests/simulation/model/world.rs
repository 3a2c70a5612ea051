// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The hosts, what happens to them next, and the loop that makes it happen.

use std::sync::Arc;

use gstlivetorrent::proto::{
    piece::Verifier,
    swarm::{Input, Output, Swarm},
    wire::Message,
};

use super::{
    attackers::Attackers,
    host::{Connection, Host, HostId, Kind},
    link::Weather,
    measure::Meter,
    options::{Options, SECOND},
    population::Population,
    queue::{Micros, Queue},
    source::Broadcast,
    tracker::Tracker,
    verify::SharedVerifier,
};

/// The stream runs for so long before second 0.
pub(crate) const LEAD: Micros = 2 * SECOND;
/// A wake that no clock will ever reach.
pub(crate) const NEVER: Micros = Micros::MAX;

/// Something that happens to a host, and on which of its connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Happening {
    pub(crate) host: HostId,
    /// Its number there; of [`What::Syn`] the caller, of [`What::DialFailed`] who was called.
    pub(crate) conn: u32,
    pub(crate) what: What,
}

/// What happens. Messages lie in [`World::messages`]; a HAVE is its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// The swarm's timer.
    Wake,
    /// The window may have room for messages that wait.
    Room,
    /// Bytes left the uplink.
    Sent(u32),
    /// The last byte of a message reaches the downlink.
    Arrive(u32),
    /// The same of a HAVE.
    ArriveHave(u32),
    /// A message is through the downlink.
    Deliver(u32),
    /// A HAVE is.
    DeliverHave(u32),
    /// Somebody calls.
    Syn,
    /// The call was taken.
    Connected,
    /// It was not.
    DialFailed,
    /// The other end is gone.
    Closed,
    /// It is time to look whether to ask the tracker.
    Ask,
    /// The tracker's answer is there.
    Answer,
    /// The tracker forgets a host.
    Forget,
    /// The source closes a piece.
    Publish,
    /// A viewer comes.
    Join,
    /// A viewer goes.
    Leave,
    /// A relay is cut.
    Cut,
    /// A liar reports.
    Report,
    /// A polluter changes its name.
    Return,
    /// The source's process ends.
    SourceDies,
    /// The next one begins.
    SourceStarts,
    /// It is time to look at what everybody keeps.
    Look,
}

/// Messages under way, by number; numbers are used again.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    kept: Vec<Option<Message>>,
    free: Vec<u32>,
}

impl Messages {
    pub(crate) fn keep(&mut self, message: Message) -> u32 {
        if let Some(number) = self.free.pop() {
            self.kept[number as usize] = Some(message);
            return number;
        }
        self.kept.push(Some(message));
        (self.kept.len() - 1) as u32
    }

    /// How many places there are, also those that are free.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.free.len()
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Message> {
        self.kept[number as usize].as_ref()
    }

    pub(crate) fn take(&mut self, number: u32) -> Option<Message> {
        let message = self.kept[number as usize].take();
        self.free.push(number);
        message
    }
}

/// Everything there is.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) now: Micros,
    pub(crate) end: Micros,
    pub(crate) queue: Queue<Happening>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) free_connections: Vec<u32>,
    pub(crate) messages: Messages,
    pub(crate) weather: Weather,
    pub(crate) losses: fastrand::Rng,
    pub(crate) broadcast: Broadcast,
    pub(crate) verifier: SharedVerifier,
    pub(crate) tracker: Tracker,
    pub(crate) attackers: Attackers,
    pub(crate) population: Population,
    pub(crate) meter: Meter,
    /// How many events there were.
    pub(crate) events: u64,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        let broadcast = Broadcast::new(&options);
        let info = &broadcast.metainfo.info;
        let verifier = Verifier::new(info.key().clone(), info.infohash(), info.piece_length());
        let lap = broadcast.lap();
        let mut world = Self {
            now: 0,
            end: LEAD + options.seconds * SECOND,
            queue: Queue::new(),
            hosts: Vec::new(),
            connections: Vec::new(),
            free_connections: Vec::new(),
            messages: Messages::default(),
            weather: Weather::new(&options),
            losses: fastrand::Rng::with_seed(options.seed ^ 0x1055),
            verifier: SharedVerifier::new(verifier, lap.npieces() as usize),
            tracker: Tracker::default(),
            attackers: Attackers::new(&options),
            population: Population::new(&options),
            meter: Meter::new(lap, &options),
            events: 0,
            broadcast,
            options,
        };
        world.begin();
        world
    }

    /// Runs to the end.
    pub(crate) fn run(&mut self) {
        while let Some((at, happening)) = self.queue.pop(self.end) {
            self.now = self.now.max(at);
            self.events += 1;
            self.happen(happening);
        }
        self.now = self.end;
        self.meter.hours.end(self.now);
        for host in 0..self.hosts.len() as HostId {
            if self.is_alive(host) {
                self.meter.left(self.now, host);
            }
        }
    }

    pub(crate) fn later(&mut self, at: Micros, host: HostId, conn: u32, what: What) {
        let happening = Happening { host, conn, what };
        self.queue.push(at.max(self.now), happening);
    }

    fn happen(&mut self, Happening { host, conn, what }: Happening) {
        match what {
            What::Wake => self.wake(host),
            What::Room => self.room(host, conn),
            What::Sent(bytes) => self.left_uplink(host, conn, bytes),
            What::ArriveHave(index) => self.arrive_have(host, conn, index),
            What::Arrive(message) => self.arrive(host, conn, message),
            What::DeliverHave(index) => self.receive(host, conn, Message::Have(index)),
            What::Deliver(message) => {
                if let Some(message) = self.messages.take(message) {
                    self.receive(host, conn, message);
                }
            }
            What::Syn => self.called(conn, host),
            What::Connected => self.call_taken(host, conn),
            What::DialFailed => self.call_failed(host, conn),
            What::Closed => self.closed(host, conn),
            What::Ask => self.look_at_tracker(host),
            What::Answer => self.tracker_answers(host),
            What::Forget => self.unregister(host),
            What::Publish => self.publish(),
            What::Join => self.newcomer(),
            What::Leave => self.end_of_stay(host),
            What::Cut => self.cut_a_relay(),
            What::Report => self.liar_reports(host),
            What::Return => self.polluter_returns(host),
            What::SourceDies => self.source_dies(),
            What::SourceStarts => self.source_starts(),
            What::Look => self.look(),
        }
    }

    pub(crate) fn is_alive(&self, host: HostId) -> bool {
        self.hosts[host as usize].swarm.is_some()
    }

    pub(crate) fn kind(&self, host: HostId) -> Kind {
        self.hosts[host as usize].lot.kind
    }

    pub(crate) fn publish(&mut self) {
        if !self.is_alive(0) {
            // It goes on when the source is back.
            return;
        }
        let wall = self.hosts[0].clock.now(self.now).wall;
        let piece = self.broadcast.publish(self.now, wall);
        self.meter.publish(self.now, piece.clone());
        self.input(0, Input::Publish(piece));
        let next = self.now + self.broadcast.pause();
        self.later(next, 0, 0, What::Publish);
    }

    fn wake(&mut self, host: HostId) {
        let one = &mut self.hosts[host as usize];
        if one.wake_queued > self.now {
            // An earlier wake was put in since; this one is of no use.
            return;
        }
        one.wake_queued = NEVER;
        if one.wake <= self.now {
            self.input(host, Input::Timeout);
        } else {
            self.plan_wake(host);
        }
    }

    /// Puts a wake into the queue, unless one is there that comes no later.
    fn plan_wake(&mut self, host: HostId) {
        let one = &mut self.hosts[host as usize];
        if one.wake < one.wake_queued {
            one.wake_queued = one.wake;
            let at = one.wake;
            self.later(at, host, 0, What::Wake);
        }
    }

    /// Hands a host something and does what it wants done.
    pub(crate) fn input(&mut self, host: HostId, input: Input) {
        let one = &mut self.hosts[host as usize];
        if let Some(swarm) = &mut one.swarm {
            swarm.handle(one.clock.now(self.now), input);
            self.pump(host);
        }
    }

    pub(crate) fn pump(&mut self, host: HostId) {
        loop {
            let Some(swarm) = &mut self.hosts[host as usize].swarm else {
                return;
            };
            match swarm.poll_output() {
                Output::WakeAt(at) => {
                    let one = &mut self.hosts[host as usize];
                    if one.wake_at != at {
                        one.wake_at = at;
                        one.wake = at.map_or(NEVER, |at| one.clock.when(at));
                    }
                    break;
                }
                Output::Deliver(delivery) => self.meter.delivered(self.now, host, &delivery),
                Output::Dial { address } => self.dial(host, address),
                Output::Send { conn, message } => self.carry(host, conn.0 as u32, message),
                Output::HangUp { conn, .. } => self.hang_up(host, conn.0 as u32),
            }
        }
        self.plan_wake(host);
        while let Some(event) = self.swarm_event(host) {
            self.meter.told(self.now, host, &event);
        }
    }

    fn swarm_event(&mut self, host: HostId) -> Option<gstlivetorrent::proto::swarm::Event> {
        let swarm = self.hosts[host as usize].swarm.as_mut();
        swarm.and_then(|swarm| Swarm::poll_event(swarm))
    }

    /// The stream that everybody is about.
    pub(crate) fn metainfo(&self) -> Arc<gstlivetorrent::proto::metainfo::Metainfo> {
        Arc::clone(&self.broadcast.metainfo)
    }
}
