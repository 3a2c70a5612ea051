// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the ways to peers have in common: for whom they look, whom they tell, and what came of each.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_channel::Sender;
use futures_lite::future;

use super::{
    Notice,
    inbox::Inbound,
    local::Local,
    notices::Notifier,
    ports::Ports,
    runtime::sleep,
    shown::{Shown, Watch},
};
use crate::proto::{metainfo::Infohash, stats::Way, swarm::Origin};

/// Ways that are remembered: trackers, peers that are named, DHT, local discovery and the like, of which
/// there are fewer.
const MAX_WAYS: usize = 128;
/// Addresses of those that are named: each has one of each family, and few have more.
const MAX_NAMED: usize = 256;
/// The way by which others find us, and we nobody.
pub(super) const PORT_MAPPING: &str = "port mapping";
/// The way through those who are our neighbours.
const PEER_EXCHANGE: &str = "peer exchange";
/// A viewer without a peer for so long is told why, and again after so long each time.
const ALONE: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// What every way to peers is given.
#[derive(Debug, Clone)]
pub(super) struct Discovery {
    pub(super) infohash: Infohash,
    /// Where we take peers in.
    pub(super) ports: Ports,
    /// Looks for peers. A source wants to be found only, and calls nobody.
    pub(super) viewer: bool,
    pub(super) shown: Arc<Shown>,
    pub(super) inbox: Sender<Inbound>,
    pub(super) notifier: Notifier,
    pub(super) ways: Arc<Ways>,
    /// What we may speak from.
    pub(super) local: Local,
}

/// What came of each way.
#[derive(Debug, Default)]
pub(super) struct Ways {
    tried: Mutex<BTreeMap<String, Way>>,
    /// The way that leads to each address that the user or the file names.
    named: Mutex<HashMap<SocketAddr, String>>,
    calls: Mutex<Calls>,
}

/// Addresses that were called in vain since somebody answered last.
#[derive(Debug, Default)]
struct Calls {
    failed: u64,
    last: String,
}

impl Discovery {
    /// Hands addresses to the swarm.
    pub(super) async fn found(&self, origin: Origin, addresses: Vec<SocketAddr>) {
        if self.viewer && !addresses.is_empty() {
            // A driver that is gone drops this task next.
            let _ = self
                .inbox
                .send(Inbound::Candidates { origin, addresses })
                .await;
        }
    }

    /// Remembers what came of a way, and says it.
    pub(super) fn tried(&self, name: &str, peers: usize, outcome: String) {
        self.notifier.tracker(format!("{name}: {outcome}"));
        self.ways.tried(name, peers, outcome);
    }

    /// Waits for changes of what there is to look for; a source looks for nothing.
    pub(super) fn watch(&self) -> Watch {
        self.shown.watch(self.viewer)
    }

    /// Tells a viewer without a peer why that is, for as long as the driver is there.
    pub(super) async fn explain(self) {
        let watch = self.watch();
        loop {
            for wait in ALONE.into_iter().chain(std::iter::repeat(ALONE[2])) {
                let found = async {
                    while !self.shown.has_peers() {
                        watch.changed().await;
                    }
                    true
                };
                let over = async {
                    sleep(wait).await;
                    false
                };
                if future::or(found, over).await {
                    break;
                }
                self.notifier.give(Notice::Alone(self.ways.reasons()));
            }
            while self.shown.has_peers() {
                watch.changed().await;
            }
        }
    }
}

impl Ways {
    fn tried(&self, name: &str, peers: usize, outcome: String) {
        let mut tried = lock(&self.tried);
        if tried.len() < MAX_WAYS || tried.contains_key(name) {
            let way = Way {
                name: name.to_owned(),
                peers,
                outcome,
            };
            tried.insert(name.to_owned(), way);
        }
    }

    /// What failed in a way does so no longer.
    pub(super) fn forget(&self, name: &str) {
        lock(&self.tried).remove(name);
    }

    /// This way leads to these addresses; what comes of calling them comes of it.
    pub(super) fn lead_to(&self, name: &str, addresses: &[SocketAddr]) {
        let mut named = lock(&self.named);
        for address in addresses {
            if named.len() < MAX_NAMED {
                named.insert(*address, name.to_owned());
            }
        }
        drop(named);
        self.tried(name, addresses.len(), "was not called yet".to_owned());
    }

    /// A neighbour told of others.
    pub(super) fn exchanged(&self, by: SocketAddr, peers: usize) {
        let outcome = format!("{by} told of {peers} peers");
        self.tried(PEER_EXCHANGE, peers, outcome);
    }

    fn named(&self, address: SocketAddr, outcome: String) {
        let Some(name) = lock(&self.named).get(&address).cloned() else {
            return;
        };
        if let Some(way) = lock(&self.tried).get_mut(&name) {
            way.outcome = outcome;
        }
    }

    /// An address was called in vain.
    pub(super) fn call_failed(&self, address: SocketAddr, error: &io::Error) {
        let reason = match error.kind() {
            io::ErrorKind::TimedOut => "no answer".to_owned(),
            _ => error.to_string(),
        };
        self.named(address, format!("{address}: {reason}"));
        let mut calls = lock(&self.calls);
        calls.failed += 1;
        calls.last = format!("{address}: {reason}");
    }

    /// Somebody answered.
    pub(super) fn answered(&self, address: SocketAddr) {
        self.named(address, format!("{address} answers"));
        *lock(&self.calls) = Calls::default();
    }

    /// What came of each.
    pub(super) fn all(&self) -> Vec<Way> {
        lock(&self.tried).values().cloned().collect()
    }

    /// Why there is no peer, a line for each reason.
    pub(super) fn reasons(&self) -> Vec<String> {
        let ways = self.all().into_iter();
        let mut reasons: Vec<_> = ways
            .filter(|way| way.name != PORT_MAPPING)
            .map(|way| format!("{}: {}", way.name, way.outcome))
            .collect();
        if reasons.is_empty() {
            reasons.push("no tracker, DHT or network could be asked yet".to_owned());
        }
        let calls = lock(&self.calls);
        if calls.failed > 0 {
            reasons.push(format!(
                "{} calls of peers failed, the last to {}",
                calls.failed, calls.last
            ));
        }
        reasons
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) use tests::{Bench, bench};

#[cfg(test)]
mod tests {
    use super::*;

    /// One for tests, and what it tells.
    pub(in crate::net) fn bench(viewer: bool, port: u16) -> Bench {
        let (inbox, inputs) = async_channel::bounded(64);
        let (tell, notices) = std::sync::mpsc::channel();
        let (notifier, thread) = super::super::notices::NoticeThread::start(move |notice| {
            let _ = tell.send(notice);
        })
        .unwrap();
        let discovery = Discovery {
            infohash: Infohash([0xff; 20]),
            ports: Ports::new(port),
            viewer,
            shown: Arc::new(Shown::new(50)),
            inbox,
            notifier,
            ways: Arc::default(),
            local: Local::anywhere(),
        };
        Bench {
            discovery,
            inputs,
            notices,
            _thread: thread,
        }
    }

    /// [`bench`]'s.
    pub(in crate::net) struct Bench {
        pub(in crate::net) discovery: Discovery,
        pub(in crate::net) inputs: async_channel::Receiver<Inbound>,
        pub(in crate::net) notices: std::sync::mpsc::Receiver<Notice>,
        _thread: super::super::notices::NoticeThread,
    }

    #[test]
    fn a_source_is_told_of_nobody() {
        let peer: SocketAddr = "192.0.2.1:9".parse().unwrap();
        for viewer in [true, false] {
            let bench = bench(viewer, 1);
            future::block_on(bench.discovery.found(Origin::Dht, vec![peer]));
            future::block_on(bench.discovery.found(Origin::Dht, Vec::new()));
            assert_eq!(bench.inputs.len(), usize::from(viewer));
        }
    }

    #[test]
    fn reasons_are_the_last_of_each_way_and_the_calls_in_vain() {
        let bench = bench(true, 1);
        let discovery = &bench.discovery;
        let nothing = "no tracker, DHT or network could be asked yet";
        assert_eq!(discovery.ways.reasons(), [nothing]);
        discovery.tried("tracker http://a", 0, "nobody listens there".into());
        discovery.tried("tracker http://a", 3, "knows 3 peers".into());
        discovery.tried("DHT (IPv4)", 0, "no node answered".into());
        discovery.tried(PORT_MAPPING, 0, "the router maps no port".into());
        let peer = "192.0.2.1:9".parse().unwrap();
        let late = io::ErrorKind::TimedOut.into();
        discovery.ways.call_failed(peer, &late);
        discovery.ways.call_failed(peer, &late);
        assert_eq!(
            discovery.ways.reasons(),
            [
                "DHT (IPv4): no node answered",
                "tracker http://a: knows 3 peers",
                "2 calls of peers failed, the last to 192.0.2.1:9: no answer",
            ]
        );
        discovery.ways.answered(peer);
        assert_eq!(discovery.ways.reasons().len(), 2);
        let said = bench.notices.iter().take(1).next();
        let said = said.map(|notice| format!("{notice:?}")).unwrap();
        assert!(
            said.contains("tracker http://a: nobody listens there"),
            "{said}"
        );
    }

    #[test]
    fn what_comes_of_a_call_comes_of_the_name_that_led_there() {
        let ways = Ways::default();
        let [peer, other] = ["192.0.2.1:9", "[2001:db8::1]:9"].map(|at| at.parse().unwrap());
        let outcome = || ways.all().remove(0).outcome;
        ways.lead_to("peer example.org:9", &[peer, other]);
        assert_eq!(ways.all()[0].peers, 2);
        assert_eq!(outcome(), "was not called yet");
        ways.call_failed(other, &io::ErrorKind::TimedOut.into());
        assert_eq!(outcome(), "[2001:db8::1]:9: no answer");
        ways.answered(peer);
        assert_eq!(outcome(), "192.0.2.1:9 answers");
        ways.forget("peer example.org:9");
        ways.call_failed(peer, &io::ErrorKind::TimedOut.into());
        assert!(ways.all().is_empty());
        ways.exchanged(peer, 3);
        assert_eq!(outcome(), "192.0.2.1:9 told of 3 peers");
    }

    #[test]
    fn ways_without_end_are_not_remembered() {
        let ways = Ways::default();
        let addresses = (0..u16::MAX).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        ways.lead_to("a", &addresses.collect::<Vec<_>>());
        assert_eq!(lock(&ways.named).len(), MAX_NAMED);
        for number in 0..10 * MAX_WAYS {
            ways.tried(&number.to_string(), 0, String::new());
        }
        assert_eq!(ways.all().len(), MAX_WAYS);
    }
}
