// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Who comes, who goes, who asks the tracker.

use gstlivetorrent::proto::swarm::{Config, ENOUGH_PEERS, Input, Origin, Role, Swarm};
use std::time::Duration;

use super::{
    attackers::{self, REPORT_EVERY, RETURN_EVERY},
    clock::Clock,
    host::{Ends, Host, HostId, Kind, Lot, PORT, address},
    link::{self, Link},
    options::{Options, SECOND},
    queue::Micros,
    tracker::{ASK_EVERY, ASK_LONELY, FORGET_AFTER},
    world::{LEAD, NEVER, What, World},
};

/// Most connections, as the elements have it.
const MAX_PEERS: usize = 50;
/// Most peers served at once, as the elements have it.
const MAX_UPLOADS: usize = 7;
/// Most bytes of pieces kept, as the elements have it.
const BUFFER: usize = 64 << 20;
/// A viewer's downlink in multiples of the bitrate, where its uplink is not faster still.
const DOWNLINK: f64 = 4.0;
/// The way to the tracker is as long as that to this host.
const TRACKER: HostId = HostId::MAX;
/// Relays are cut from this second on: before there is nothing to relay.
const CUTS_FROM: Micros = 10 * SECOND;
/// A relay has at least this uplink, in multiples of the bitrate.
const RELAY: f64 = 1.0;

/// What chance decides about viewers.
#[derive(Debug)]
pub(crate) struct Population {
    /// One for everybody who comes by the timetable, in the order of their coming.
    lots: Vec<Lot>,
    came: usize,
    /// Who comes within the first group.
    first_group: usize,
    rng: fastrand::Rng,
}

impl Population {
    pub(crate) fn new(options: &Options) -> Self {
        let mut rng = fastrand::Rng::with_seed(options.seed ^ 0x909);
        let count = options.viewers();
        let kinds = [
            (Kind::FreeRider, options.free_riders),
            (Kind::Liar, options.liars),
            (Kind::Polluter, options.polluters),
        ];
        let kinds = deal(count, &kinds, Kind::Giver, &mut rng);
        let classes: Vec<_> = (0u8..)
            .zip(&options.uplinks)
            .map(|(class, &(_, share))| (class, share))
            .collect();
        let last = classes.last().map_or(0, |&(class, _)| class);
        let classes = deal(count, &classes, last, &mut rng);
        let firewalled = deal(count, &[(true, options.firewalled)], false, &mut rng);
        let lots = kinds.into_iter().zip(classes).zip(firewalled);
        Self {
            lots: lots
                .map(|((kind, class), firewalled)| Lot {
                    kind,
                    class,
                    firewalled,
                })
                .collect(),
            came: 0,
            first_group: options.joins.first().map_or(0, |group| group.count),
            rng,
        }
    }
}

/// Deals `count` of things by their shares in per cent, `rest` to the others, in random order.
fn deal<T: Copy>(count: usize, shares: &[(T, f64)], rest: T, rng: &mut fastrand::Rng) -> Vec<T> {
    let mut dealt = Vec::with_capacity(count);
    let mut sum = 0.0;
    for &(thing, share) in shares {
        sum += share;
        let until = (sum / 100.0 * count as f64).round() as usize;
        dealt.resize(until.clamp(dealt.len(), count), thing);
    }
    dealt.resize(count, rest);
    rng.shuffle(&mut dealt);
    dealt
}

impl World {
    /// Puts in what is certain from the start.
    pub(crate) fn begin(&mut self) {
        let lot = Lot {
            kind: Kind::Source,
            class: 0,
            firewalled: false,
        };
        self.add(lot, true);
        self.later(0, 0, 0, What::Publish);
        for group in self.options.joins.clone() {
            let span = (group.to - group.from) * SECOND;
            for number in 0..group.count as u64 {
                let at = LEAD + group.from * SECOND + number * span / group.count as u64;
                self.later(at, 0, 0, What::Join);
            }
        }
        for (from, to) in self.options.restarts.clone() {
            let at = |second: f64| LEAD + (second * SECOND as f64) as Micros;
            self.later(at(from), 0, 0, What::SourceDies);
            self.later(at(to), 0, 0, What::SourceStarts);
        }
        self.later(self.meter.hours.pause(), 0, 0, What::Look);
        if self.options.cuts > 0.0 {
            self.later(LEAD + CUTS_FROM, 0, 0, What::Cut);
        }
    }

    /// Everybody by the timetable.
    pub(crate) fn planned(&self) -> &[Lot] {
        &self.population.lots
    }

    /// The next by the timetable.
    pub(crate) fn newcomer(&mut self) {
        let number = self.population.came;
        self.population.came += 1;
        if let Some(&lot) = self.population.lots.get(number) {
            self.add(lot, number < self.population.first_group);
        }
    }

    /// Another host.
    fn add(&mut self, lot: Lot, early: bool) {
        let id = self.hosts.len() as HostId;
        let multiple = match lot.kind {
            Kind::Source => self.options.source_link(),
            _ => self.options.uplinks[usize::from(lot.class)].0,
        };
        let uplink = multiple * self.options.bitrate;
        let downlink = uplink.max(DOWNLINK * self.options.bitrate);
        let clock = Clock::random(self.options.drift, &mut self.population.rng);
        let config = self.config(id, lot);
        let verifier = Box::new(self.verifier.clone());
        let swarm = Swarm::with_verifier(config, verifier, clock.now(self.now));
        self.hosts.push(Host {
            swarm: Some(Box::new(swarm)),
            lot,
            clock,
            uplink: Link::new(uplink),
            downlink: Link::new(downlink),
            ends: Ends::default(),
            wake_at: None,
            wake: NEVER,
            wake_queued: NEVER,
            asked: None,
            registered: None,
            taken: Vec::new(),
        });
        self.meter.joined(self.now, lot, early);
        self.pump(id);
        if lot.kind != Kind::Source {
            self.tune_in(id, lot.kind);
        }
    }

    /// The source's process ends without a word of its own; the system closes its connections.
    pub(crate) fn source_dies(&mut self) {
        self.disconnect(0, true);
        self.hosts[0].swarm = None;
        self.hosts[0].ends = Ends::default();
    }

    /// Another process broadcasts under the same key at the same address.
    pub(crate) fn source_starts(&mut self) {
        self.broadcast.restart();
        let config = self.config(0, self.hosts[0].lot);
        let verifier = Box::new(self.verifier.clone());
        let source = &mut self.hosts[0];
        let now = source.clock.now(self.now);
        source.swarm = Some(Box::new(Swarm::with_verifier(config, verifier, now)));
        source.wake_at = None;
        source.wake = NEVER;
        source.wake_queued = NEVER;
        self.pump(0);
        self.publish();
    }

    /// Looks at what everybody keeps, and how far behind they say they are.
    pub(crate) fn look(&mut self) {
        for host in &self.hosts {
            let Some(swarm) = &host.swarm else {
                continue;
            };
            self.meter.hours.keeps(self.now, swarm.footprint());
            let stats = swarm.stats(host.clock.now(self.now));
            if stats.bytes_out > 0 {
                self.meter.hours.tells(self.now, &stats);
            }
        }
        let model = self.connections.len() + self.messages.len() + self.queue.len();
        self.meter.hours.models(self.now, model + self.meter.kept());
        self.later(self.now + self.meter.hours.pause(), 0, 0, What::Look);
    }

    fn config(&mut self, id: HostId, lot: Lot) -> Config {
        let mut peer_id = *b"-LV0100-            ";
        self.population.rng.fill(&mut peer_id[8..]);
        let shares = lot.kind != Kind::FreeRider;
        let source = lot.kind == Kind::Source;
        let latency = Duration::from_millis(self.options.latency);
        Config {
            metainfo: self.metainfo(),
            role: if source {
                Role::Source
            } else {
                Role::Viewer { latency }
            },
            peer_id,
            listen_port: if shares { PORT } else { 0 },
            max_peers: MAX_PEERS,
            max_uploads: MAX_UPLOADS,
            upload_enabled: shares,
            upload_budget: if source {
                self.options.source_upload
            } else {
                0.0
            },
            max_upload_rate: 0,
            buffer_size: BUFFER,
            pex: true,
            seed: self.options.seed.wrapping_mul(1_000_003) + u64::from(id),
        }
    }

    /// A viewer begins.
    fn tune_in(&mut self, id: HostId, kind: Kind) {
        self.input(id, Input::Room(usize::MAX));
        let (origin, addresses) = (Origin::Announce, vec![address(0)]);
        self.input(id, Input::Candidates { origin, addresses });
        self.look_at_tracker(id);
        if self.options.churn > 0.0 {
            let stay = link::exponential(self.options.churn, &mut self.population.rng);
            self.later(self.now + stay, id, 0, What::Leave);
        }
        match kind {
            Kind::Liar => self.later(self.now + REPORT_EVERY, id, 0, What::Report),
            Kind::Polluter => self.later(self.now + RETURN_EVERY, id, 0, What::Return),
            _ => {}
        }
    }

    /// A stay is over: half say so, half do not.
    pub(crate) fn end_of_stay(&mut self, host: HostId) {
        let says_so = self.population.rng.bool();
        self.replace(host, says_so);
    }

    /// A host goes and another like it comes at once.
    fn replace(&mut self, host: HostId, says_so: bool) {
        if !self.is_alive(host) {
            return;
        }
        self.meter.left(self.now, host);
        self.disconnect(host, says_so);
        let gone = &mut self.hosts[host as usize];
        gone.swarm = None;
        gone.ends = Ends::default();
        gone.taken = Vec::new();
        let lot = gone.lot;
        let forgotten = gone.asked.unwrap_or(self.now) + FORGET_AFTER;
        if says_so {
            self.unregister(host);
        } else {
            self.later(forgotten, host, 0, What::Forget);
        }
        self.add(lot, false);
    }

    /// One relay vanishes.
    pub(crate) fn cut_a_relay(&mut self) {
        let is_relay = |host: &Host| {
            let multiple = self.options.uplinks[usize::from(host.lot.class)].0;
            host.swarm.is_some() && host.lot.kind == Kind::Giver && multiple >= RELAY
        };
        let hosts = (0..).zip(&self.hosts);
        let relays: Vec<HostId> = hosts
            .filter(|(_, h)| is_relay(h))
            .map(|(id, _)| id)
            .collect();
        if let Some(relay) = self.population.rng.choice(relays) {
            self.replace(relay, false);
        }
        let pause = (SECOND as f64 / self.options.cuts) as Micros;
        self.later(self.now + pause.max(1), 0, 0, What::Cut);
    }

    pub(crate) fn polluter_returns(&mut self, host: HostId) {
        self.replace(host, true);
    }

    pub(crate) fn liar_reports(&mut self, host: HostId) {
        if !self.is_alive(host) {
            return;
        }
        let taken = std::mem::take(&mut self.hosts[host as usize].taken);
        for (conn, message) in attackers::reports(taken) {
            // Past the filter that holds back what the swarm itself reports.
            self.enter(host, conn, message);
        }
        self.later(self.now + REPORT_EVERY, host, 0, What::Report);
    }

    /// Asks the tracker when it is time.
    pub(crate) fn look_at_tracker(&mut self, host: HostId) {
        if !self.is_alive(host) {
            return;
        }
        let one = &mut self.hosts[host as usize];
        let due = one.asked.is_none_or(|asked| self.now >= asked + ASK_EVERY);
        if due || one.ends.len() < ENOUGH_PEERS {
            one.asked = Some(self.now);
            let rtt = self.weather.rtt(host, TRACKER);
            self.later(self.now + rtt, host, 0, What::Answer);
        }
        self.later(self.now + ASK_LONELY, host, 0, What::Ask);
    }

    pub(crate) fn tracker_answers(&mut self, host: HostId) {
        if !self.is_alive(host) {
            return;
        }
        let one = &mut self.hosts[host as usize];
        if one.registered.is_none() && one.lot.kind != Kind::FreeRider {
            one.registered = Some(self.tracker.add(host));
        }
        let others = self.tracker.answer(host, &mut self.population.rng);
        let addresses: Vec<_> = others.into_iter().map(address).collect();
        let origin = Origin::Tracker;
        self.input(host, Input::Candidates { origin, addresses });
    }

    pub(crate) fn unregister(&mut self, host: HostId) {
        let Some(place) = self.hosts[host as usize].registered.take() else {
            return;
        };
        if let Some(moved) = self.tracker.remove(place) {
            self.hosts[moved as usize].registered = Some(place);
        }
    }
}
