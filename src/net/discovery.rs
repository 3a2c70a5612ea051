// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the ways to peers have in common: for whom they look, whom they tell, and what came of each.

use std::{
    collections::BTreeMap,
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

/// Ways that are remembered: trackers, DHT, local discovery and the like, of which there are fewer.
const MAX_WAYS: usize = 64;
/// Peers and nodes that are named and remembered: as many as are looked up.
const MAX_NAMED: usize = 64;
/// Addresses of one name: it has one of each family, and few have more.
const MAX_OF_NAME: usize = 16;
/// Characters of a way's name: whoever wrote the `.tstream` may have named anything.
const MAX_NAME: usize = 200;
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
    named: Mutex<BTreeMap<String, Named>>,
    calls: Mutex<Calls>,
}

/// A peer or node that the user or the file names.
#[derive(Debug, Default)]
struct Named {
    addresses: Vec<SocketAddr>,
    /// Which of them is our neighbour.
    neighbour: Option<SocketAddr>,
    outcome: String,
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

    /// The same of a name that leads nowhere.
    pub(super) fn leads_nowhere(&self, name: &str, outcome: String) {
        self.notifier.tracker(format!("{name}: {outcome}"));
        self.ways.leads_nowhere(name, outcome);
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
        let name = clipped(name);
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

    /// This name leads nowhere.
    fn leads_nowhere(&self, name: &str, outcome: String) {
        let named = Named {
            outcome,
            ..Named::default()
        };
        self.name(name, named);
    }

    /// This name leads to these addresses; what comes of calling them comes of it.
    pub(super) fn lead_to(&self, name: &str, addresses: &[SocketAddr]) {
        let addresses: Vec<_> = addresses.iter().take(MAX_OF_NAME).copied().collect();
        if let Some(named) = lock(&self.named).get_mut(clipped(name))
            && addresses.iter().any(|one| named.addresses.contains(one))
        {
            // Looked up again.
            named.addresses = addresses;
            return;
        }
        let named = Named {
            addresses,
            neighbour: None,
            outcome: "was not called yet".to_owned(),
        };
        self.name(name, named);
    }

    fn name(&self, name: &str, named: Named) {
        let name = clipped(name);
        let mut all = lock(&self.named);
        if all.len() < MAX_NAMED || all.contains_key(name) {
            all.insert(name.to_owned(), named);
        }
    }

    /// What was wrong with this name is so no longer.
    pub(super) fn forget(&self, name: &str) {
        lock(&self.named).remove(clipped(name));
    }

    /// A neighbour told of others.
    pub(super) fn exchanged(&self, by: SocketAddr, peers: usize) {
        let outcome = format!("{by} told of {peers} peers");
        self.tried(PEER_EXCHANGE, peers, outcome);
    }

    fn came_of(&self, address: SocketAddr, mut change: impl FnMut(&mut Named)) {
        let mut named = lock(&self.named);
        let to_it = |named: &&mut Named| named.addresses.contains(&address);
        named.values_mut().filter(to_it).for_each(&mut change);
    }

    /// An address was called in vain.
    pub(super) fn call_failed(&self, address: SocketAddr, error: &io::Error) {
        let reason = match error.kind() {
            io::ErrorKind::TimedOut => "no answer".to_owned(),
            _ => error.to_string(),
        };
        self.came_of(address, |named| {
            if named.neighbour.is_none() {
                named.outcome = format!("{address}: {reason}");
            }
        });
        let mut calls = lock(&self.calls);
        calls.failed += 1;
        calls.last = format!("{address}: {reason}");
    }

    /// Somebody takes calls there. Who, is to be seen.
    pub(super) fn took_call(&self, address: SocketAddr) {
        self.came_of(address, |named| {
            if named.neighbour.is_none() {
                named.outcome = format!("{address} took the call and is no neighbour yet");
            }
        });
    }

    /// Somebody is our neighbour.
    pub(super) fn answered(&self, address: SocketAddr) {
        self.came_of(address, |named| {
            named.neighbour = Some(address);
            named.outcome = format!("{address} is a neighbour");
        });
        *lock(&self.calls) = Calls::default();
    }

    /// Somebody is our neighbour no more.
    pub(super) fn left(&self, address: SocketAddr, reason: &str) {
        self.came_of(address, |named| {
            if named.neighbour == Some(address) {
                named.neighbour = None;
                named.outcome = format!("{address} is gone: {reason}");
            }
        });
    }

    /// What came of each.
    pub(super) fn all(&self) -> Vec<Way> {
        let mut all: Vec<_> = lock(&self.tried).values().cloned().collect();
        let named = lock(&self.named);
        all.extend(named.iter().map(|(name, named)| Way {
            name: name.clone(),
            peers: named.addresses.len(),
            outcome: named.outcome.clone(),
        }));
        all
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

/// The beginning of a name that is too long.
fn clipped(name: &str) -> &str {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => &name[..end],
        None => name,
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
    fn what_comes_of_a_call_comes_of_the_names_that_led_there() {
        let ways = Ways::default();
        let [peer, other] = ["192.0.2.1:9", "[2001:db8::1]:9"].map(|at| at.parse().unwrap());
        let outcome = || ways.all().remove(0).outcome;
        let late = io::ErrorKind::TimedOut.into();
        ways.leads_nowhere("peer a:9", "cannot be looked up".to_owned());
        assert_eq!(outcome(), "cannot be looked up");
        ways.lead_to("peer a:9", &[peer, other]);
        ways.lead_to("peer b:9", &[peer]);
        assert_eq!(ways.all()[0].peers, 2);
        assert_eq!(outcome(), "was not called yet");
        ways.call_failed(other, &late);
        assert_eq!(outcome(), "[2001:db8::1]:9: no answer");
        ways.took_call(peer);
        assert_eq!(
            outcome(),
            "192.0.2.1:9 took the call and is no neighbour yet"
        );
        ways.answered(peer);
        // Another address of it fails, and it is looked up again.
        ways.call_failed(other, &late);
        ways.lead_to("peer a:9", &[other, peer]);
        let all = ways.all();
        assert!(
            all.iter()
                .all(|way| way.outcome == "192.0.2.1:9 is a neighbour"),
            "{all:?}"
        );
        ways.left(peer, "the end");
        assert_eq!(outcome(), "192.0.2.1:9 is gone: the end");
        ways.lead_to("peer a:9", &["192.0.2.7:9".parse().unwrap()]);
        assert_eq!(outcome(), "was not called yet");
        ways.forget("peer a:9");
        ways.forget("peer b:9");
        ways.call_failed(peer, &late);
        assert!(ways.all().is_empty());
        ways.exchanged(peer, 3);
        assert_eq!(outcome(), "192.0.2.1:9 told of 3 peers");
    }

    #[test]
    fn ways_without_end_are_not_remembered() {
        let ways = Ways::default();
        let addresses = (0..u16::MAX).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let addresses: Vec<_> = addresses.collect();
        for number in 0..10 * MAX_WAYS {
            ways.tried(&number.to_string(), 0, String::new());
            ways.lead_to(&format!("peer {number}"), &addresses);
        }
        let all = ways.all();
        assert_eq!(all.len(), MAX_WAYS + MAX_NAMED);
        assert_eq!(all.iter().map(|way| way.peers).max(), Some(MAX_OF_NAME));
        let ways = Ways::default();
        ways.tried(&"ü".repeat(10 * MAX_NAME), 0, String::new());
        assert_eq!(ways.all()[0].name.chars().count(), MAX_NAME);
    }
}
