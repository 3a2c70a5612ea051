// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A node of the DHT on a socket of each family (BEP 5, BEP 32): when to look for peers, and whom it
//! begins with.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use async_channel::Receiver;
use futures_lite::future;

use super::{
    back_off::BackOff,
    clock::Clock,
    discovery::Discovery,
    lookup::{HostPort, keep_resolving},
    runtime::{Spawner, UdpSocket, sleep, sleep_until, udp},
    shown::Watch,
};
use crate::proto::{
    address::Family,
    dht::{Config, Found, MAX_DATAGRAM, Node, Output},
    swarm::Origin,
};

/// Those who are told of us forget it after half an hour (BEP 5).
const ANNOUNCE_EVERY: Duration = Duration::from_secs(15 * 60);
/// Between searches of a viewer with few peers, or of whom no node answered; drawn from the upper half.
const RETRY: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(300));
/// After an error of the socket, which may be the next datagram's, too.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// Addresses of names that wait to be begun with.
const MAX_RESOLVED: usize = 64;

/// A node of one family.
#[derive(Debug, Clone)]
struct Dht {
    discovery: Discovery,
    clock: Clock,
    family: Family,
}

/// What a node waits for.
enum Happening {
    Datagram(io::Result<(usize, SocketAddr)>),
    Beginnings(Vec<SocketAddr>),
    Time,
}

/// A node for each family of the addresses that we may speak from, at their port where that is free,
/// for as long as the driver is there. Without nodes to begin with there is none.
pub(super) fn start(
    discovery: &Discovery,
    clock: Clock,
    spawner: &Spawner,
    from: &[SocketAddr],
    nodes: &[(String, u16)],
) {
    let mut tells = Vec::new();
    for family in [Family::V4, Family::V6] {
        let mut addresses = from.iter().copied();
        let address = addresses.find(|address| Family::of(address.ip()) == family);
        let Some(address) = address.filter(|_| !nodes.is_empty()) else {
            continue;
        };
        let (tell, begin_at) = async_channel::bounded(MAX_RESOLVED);
        tells.push(tell);
        let discovery = discovery.clone();
        let dht = Dht {
            discovery,
            clock,
            family,
        };
        spawner.spawn(async move {
            if let Err(error) = dht.run(address, begin_at).await {
                let outcome = format!("no node at {}: {error}", address.ip());
                dht.tried(0, outcome);
            }
        });
    }
    let (tell, named) = async_channel::bounded(MAX_RESOLVED);
    for (host, port) in nodes.iter().cloned() {
        let (tell, discovery) = (tell.clone(), discovery.clone());
        let target = HostPort { host, port };
        let way = format!("DHT node {target}");
        let as_they_are = |addresses| addresses;
        spawner.spawn(keep_resolving(target, way, discovery, tell, as_they_are));
    }
    spawner.spawn(async move {
        while let Ok(addresses) = named.recv().await {
            for tell in &tells {
                // Each node takes those of its family; there may be no such node.
                let _ = tell.send(addresses.clone()).await;
            }
        }
    });
}

impl Dht {
    /// Where peers find us. Routers translate IPv4 only.
    fn port(&self) -> u16 {
        match self.family {
            Family::V4 => self.discovery.ports.outside(),
            Family::V6 => self.discovery.ports.local(),
        }
    }

    async fn run(
        &self,
        address: SocketAddr,
        begin_at: Receiver<Vec<SocketAddr>>,
    ) -> io::Result<()> {
        let socket = bind(address)?;
        let config = Config {
            family: self.family,
            infohash: self.discovery.infohash,
            port: self.port(),
            rng: fastrand::Rng::new(),
        };
        let mut node = Node::new(config, self.clock.now().at);
        let mut schedule = Schedule::new(&self.discovery);
        // One byte more than is read shows that a datagram is too long.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            if node.set_port(self.port()) {
                schedule.again();
            }
            while let Some(output) = node.poll() {
                self.carry_out(&socket, &mut schedule, output).await;
            }
            // After its outputs: one of them may say that a search is over.
            if !node.is_looking_up() && schedule.is_due() {
                node.look_up(self.clock.now().at);
                continue;
            }
            let received = async { Happening::Datagram(socket.recv_from(&mut buffer).await) };
            let named = async {
                match begin_at.recv().await {
                    Ok(addresses) => Happening::Beginnings(addresses),
                    // Every name was an address, and told.
                    Err(_) => future::pending().await,
                }
            };
            let woken = self.wait(&node, &schedule);
            match future::or(received, future::or(named, woken)).await {
                Happening::Datagram(Ok((length, from))) => {
                    node.receive(self.clock.now().at, from, &buffer[..length]);
                }
                Happening::Datagram(Err(_)) => sleep(AFTER_ERROR).await,
                Happening::Beginnings(addresses) => {
                    let now = self.clock.now().at;
                    for address in addresses {
                        if node.begin_at(now, address) {
                            schedule.begin();
                        }
                    }
                }
                Happening::Time => {}
            }
            let now = self.clock.now().at;
            if now >= node.wake_at() {
                node.wake(now);
            }
        }
    }

    fn wait<'a>(
        &self,
        node: &Node,
        schedule: &'a Schedule,
    ) -> impl Future<Output = Happening> + use<'a> {
        let node_wakes = self.clock.system(node.wake_at());
        let looks_up = (!node.is_looking_up()).then(|| schedule.due()).flatten();
        let first = [node_wakes, looks_up].into_iter().flatten().min();
        async move {
            future::or(sleep_until(first), schedule.watch.changed()).await;
            Happening::Time
        }
    }

    async fn carry_out(&self, socket: &UdpSocket, schedule: &mut Schedule, output: Output) {
        match output {
            Output::Send { to, datagram } => {
                // What is lost is asked again elsewhere, whether here or on the way.
                let _ = socket.send_to(&datagram, to).await;
            }
            Output::Peers(addresses) => self.discovery.found(Origin::Dht, addresses).await,
            Output::Found(found) => {
                let Found { nodes, peers } = found;
                self.tried(
                    peers,
                    format!("{nodes} nodes answered and know {peers} peers"),
                );
                schedule.searched(found);
            }
        }
    }

    fn tried(&self, peers: usize, outcome: String) {
        let way = match self.family {
            Family::V4 => "DHT (IPv4)",
            Family::V6 => "DHT (IPv6)",
        };
        self.discovery.tried(way, peers, outcome);
    }
}

/// When to look for peers, which tells others of us by the way.
#[derive(Debug)]
struct Schedule {
    watch: Watch,
    back_off: BackOff,
    /// There is somebody to ask.
    has_begun: bool,
    /// The end of the last search, and how long to wait with few peers.
    last: Option<(Instant, Duration)>,
    /// No node answered.
    is_alone: bool,
}

impl Schedule {
    fn new(discovery: &Discovery) -> Self {
        Self {
            watch: discovery.watch(),
            back_off: BackOff::new(RETRY),
            has_begun: false,
            last: None,
            is_alone: false,
        }
    }

    const fn begin(&mut self) {
        self.has_begun = true;
    }

    /// There is something new to tell others.
    const fn again(&mut self) {
        self.last = None;
    }

    /// A search is over.
    fn searched(&mut self, found: Found) {
        self.is_alone = found.nodes == 0;
        if !self.is_alone && !self.watch.looks_for_peers() {
            self.back_off.reset();
        }
        self.last = Some((Instant::now(), self.back_off.next()));
    }

    /// When to search again; none: nobody can be asked.
    fn due(&self) -> Option<Instant> {
        let Some((at, retry)) = self.last else {
            return self.has_begun.then(Instant::now);
        };
        let wait = match self.watch.looks_for_peers() || self.is_alone {
            true => retry,
            false => ANNOUNCE_EVERY,
        };
        Some(at + wait)
    }

    fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }
}

/// A socket at this address, or at another port where this one is taken.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let bind_to = |port| {
        let socket = udp(Family::of(address.ip()))?;
        socket.bind(&SocketAddr::new(address.ip(), port).into())?;
        Ok::<_, io::Error>(socket)
    };
    let socket = bind_to(address.port()).or_else(|_| bind_to(0))?;
    Ok(std::net::UdpSocket::from(socket).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::{Notice, discovery::bench, inbox::Inbound, runtime::Runtime};

    const LIMIT: Duration = Duration::from_secs(20);

    /// A port of loopback that is free.
    fn free() -> SocketAddr {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    }

    #[test]
    fn a_viewer_hears_of_the_source_through_a_node_of_another_viewer() {
        let [between, source, viewer] = [(); 3].map(|()| free());
        let nodes = |at: SocketAddr| vec![(at.ip().to_string(), at.port())];
        let benches = [
            bench(true, between.port()),
            bench(false, source.port()),
            bench(true, viewer.port()),
        ];
        let discovery = |place: usize| benches[place].discovery.clone();
        let tasks = [
            (discovery(0), between, nodes(source)),
            (discovery(1), source, nodes(between)),
            (discovery(2), viewer, nodes(between)),
        ];
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let runtime = Runtime::start("test", move |spawner| async move {
            for (discovery, at, nodes) in tasks {
                start(&discovery, Clock::new(), &spawner, &[at], &nodes);
            }
            let _ = stopped.recv().await;
        })
        .unwrap();
        let inputs = benches[2].inputs.clone();
        let wanted = move || async move {
            loop {
                if let Ok(Inbound::Candidates { origin, addresses }) = inputs.recv().await
                    && addresses.contains(&source)
                {
                    return origin;
                }
            }
        };
        let origin = future::block_on(super::super::runtime::timeout(LIMIT, wanted()));
        assert_eq!(origin, Some(Origin::Dht));
        // A source is told of nobody: it calls nobody.
        assert!(benches[1].inputs.is_empty());
        stop.close();
        assert!(runtime.join(LIMIT));
    }

    #[test]
    fn a_search_without_an_answer_is_said_and_the_port_may_be_taken() {
        let bench = bench(true, 7764);
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let discovery = bench.discovery.clone();
        let (stop, stopped) = async_channel::bounded::<()>(1);
        // Whoever listens there answers nothing.
        let nodes = [(at.ip().to_string(), at.port())];
        let runtime = Runtime::start("test", move |spawner| async move {
            start(&discovery, Clock::new(), &spawner, &[at], &nodes);
            let _ = stopped.recv().await;
        })
        .unwrap();
        let mut query = [0; MAX_DATAGRAM];
        taken.set_read_timeout(Some(LIMIT)).unwrap();
        let (_, from) = taken.recv_from(&mut query).unwrap();
        assert_ne!(from, at);
        assert_eq!(
            bench.notices.recv_timeout(LIMIT),
            Ok(Notice::Tracker(
                "DHT (IPv4): 0 nodes answered and know 0 peers".to_owned()
            ))
        );
        stop.close();
        assert!(runtime.join(LIMIT));
    }

    #[test]
    fn searches_come_soon_for_the_lonely_and_every_quarter_of_an_hour_for_a_source() {
        for (viewer, nodes, least, most) in
            [(true, 9, 2, 4), (false, 9, 900, 900), (false, 0, 2, 4)]
        {
            let mut schedule = Schedule::new(&bench(viewer, 1).discovery);
            assert_eq!(schedule.due(), None);
            schedule.begin();
            assert!(schedule.is_due());
            let before = Instant::now();
            schedule.searched(Found { nodes, peers: 0 });
            let wait = schedule.due().unwrap() - before;
            let range = Duration::from_secs(least)..=Duration::from_secs(most + 1);
            assert!(range.contains(&wait), "{viewer} {nodes}: {wait:?}");
        }
    }
}
