// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Keeps our port mapped at the router, for as long as the driver is there, and tells who has to know.

use std::{
    net::{SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Notice,
    discovery::{Discovery, PORT_MAPPING},
    inbox::Inbound,
    last_word::LastWord,
    router::{Mapping, Router, Wish},
    runtime::{Spawner, sleep, unblock},
};

/// To look again where there was no router, or one that maps nothing: networks are changed.
const LOOK_AGAIN: Duration = Duration::from_secs(20 * 60);
/// After a renewal that failed; the mapping lasts for several of these.
const RETRY: Duration = Duration::from_secs(60);
/// Nor more often than this, however soon it ends.
const LEAST_RETRY: Duration = Duration::from_secs(5);
/// To give the port back; NULL is not kept waiting any longer.
const LAST: Duration = Duration::from_millis(200);

/// The mapping that is ours, to be given back at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<Hold>>);

#[derive(Debug, Default)]
struct Hold {
    mapping: Option<Mapping>,
    /// A port that the router gives now goes back at once.
    over: bool,
}

/// Starts to look after the port.
pub(super) fn start(discovery: Discovery, held: Held, spawner: &Spawner) {
    let port = discovery.ports.local();
    if port == 0 {
        return;
    }
    let mut nonce = [0; 12];
    fastrand::fill(&mut nonce);
    let keeper = Keeper {
        discovery,
        held,
        wish: Wish {
            internal_port: port,
            external_port: port,
            nonce,
        },
        told: None,
    };
    spawner.spawn(keeper.run());
}

struct Keeper {
    discovery: Discovery,
    held: Held,
    wish: Wish,
    /// Where the application was told that we are reached.
    told: Option<SocketAddrV4>,
}

impl Keeper {
    async fn run(mut self) {
        // When what is held ends without being renewed.
        let mut ends_at = Instant::now();
        loop {
            let local = self.discovery.local.clone();
            let found = unblock(move || Router::find(&local)).await;
            let wait = match found {
                Ok(router) => match self.map(router).await {
                    Ok(lifetime) => {
                        ends_at = Instant::now() + lifetime;
                        lifetime / 2
                    }
                    Err(reason) if Instant::now() < ends_at => {
                        self.say(reason);
                        // A router that lends for minutes is asked again before that is over.
                        let left = ends_at.saturating_duration_since(Instant::now());
                        RETRY.min(left / 2).max(LEAST_RETRY)
                    }
                    Err(reason) => {
                        self.give_up(Some(reason)).await;
                        LOOK_AGAIN
                    }
                },
                Err(reason) => {
                    self.discovery
                        .notifier
                        .tracker(format!("{PORT_MAPPING}: {reason}"));
                    self.give_up(None).await;
                    LOOK_AGAIN
                }
            };
            sleep(wait).await;
        }
    }

    /// Asks the router for the port, or to go on with it; for how long it is ours.
    async fn map(&mut self, router: Router) -> Result<Duration, String> {
        let before = self.held.mapping();
        let before = before.filter(|mapping| *mapping.router() == router);
        let (held, wish, gateway) = (self.held.clone(), self.wish, router.gateway);
        let mapped = unblock(move || {
            let renewed = before.and_then(|mapping| mapping.renew().ok());
            let mapping = match renewed {
                Some(mapping) => mapping,
                None => router.map(wish)?,
            };
            // Also where nobody waits for it any more.
            held.put(mapping.clone());
            Ok(mapping)
        });
        let mapping = mapped
            .await
            .map_err(|reason: String| format!("the router {gateway} maps no port ({reason})"))?;
        self.say(mapping.to_string());
        self.move_to(mapping.port()).await;
        let outside = mapping.outside();
        if let Some(outside) = outside.filter(|_| self.told != outside) {
            self.told = Some(outside);
            let notice = Notice::Mapped(SocketAddr::V4(outside));
            self.discovery.notifier.give(notice);
        }
        Ok(mapping.lifetime)
    }

    /// The port is ours no more, and what others were told of it is wrong.
    async fn give_up(&mut self, reason: Option<String>) {
        if let Some(reason) = reason {
            self.say(reason);
        }
        self.held.forget();
        self.told = None;
        self.move_to(self.wish.internal_port).await;
    }

    fn say(&self, outcome: String) {
        self.discovery.tried(PORT_MAPPING, 0, outcome);
    }

    /// Those outside come in there from now on.
    async fn move_to(&self, port: u16) {
        if self.discovery.ports.set_outside(port) {
            // A driver that is gone drops this task next.
            let _ = self.discovery.inbox.send(Inbound::Mapped { port }).await;
            self.discovery.shown.port_moved();
        }
    }
}

impl Held {
    fn mapping(&self) -> Option<Mapping> {
        self.lock().mapping.clone()
    }

    fn forget(&self) {
        self.lock().mapping = None;
    }

    /// Holds a mapping, or gives it back where the end has come. It may block.
    fn put(&self, mapping: Mapping) {
        let mut hold = self.lock();
        if !hold.over {
            hold.mapping = Some(mapping);
            return;
        }
        drop(hold);
        mapping.give_back(LAST);
    }

    /// Begins to give back what is held; there is nothing more to come.
    pub(super) fn give_back(&self) -> LastWord {
        let mut hold = self.lock();
        hold.over = true;
        let mapping = hold.mapping.take();
        drop(hold);
        let word = LastWord::new(LAST);
        if let Some(mapping) = mapping {
            word.add(move || mapping.give_back(LAST));
        }
        word
    }

    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_lite::future;

    use super::super::{
        discovery::{Bench, bench},
        router,
    };

    const LIMIT: Duration = Duration::from_secs(20);

    fn keeper(bench: &Bench) -> Keeper {
        let port = bench.discovery.ports.local();
        Keeper {
            discovery: bench.discovery.clone(),
            held: Held::default(),
            wish: Wish {
                internal_port: port,
                external_port: port,
                nonce: [7; 12],
            },
            told: None,
        }
    }

    fn mapped(bench: &Bench) -> Vec<Notice> {
        let is_mapped = |notice: &Notice| matches!(notice, Notice::Mapped(_));
        let notices = std::iter::from_fn(|| bench.notices.try_recv().ok());
        notices.filter(is_mapped).collect()
    }

    /// The ports that the swarm was told of.
    fn ports(bench: &Bench) -> Vec<u16> {
        let inputs = std::iter::from_fn(|| bench.inputs.try_recv().ok());
        let ports = inputs.filter_map(|input| match input {
            Inbound::Mapped { port } => Some(port),
            _ => None,
        });
        ports.collect()
    }

    #[test]
    fn a_mapped_port_is_told_once_and_given_back_at_the_end() {
        let bench = bench(false, 7764);
        let (control, search) = (router::socket(), router::socket());
        let router = router::router(&control, &search);
        let thread = router::serve(control, 3, router::pcp);
        let mut keeper = keeper(&bench);
        for _ in 0..2 {
            let lifetime = future::block_on(keeper.map(router.clone())).unwrap();
            assert_eq!(lifetime, router::LEASE);
        }
        assert_eq!(ports(&bench), [40_000]);
        let way = bench.discovery.ways.all().remove(0);
        let said = "the router 127.0.0.1 maps 198.51.100.7:40000 by PCP";
        assert_eq!((&*way.name, &*way.outcome), (PORT_MAPPING, said));
        // Behind what was said of it to the log.
        let told = std::iter::from_fn(|| bench.notices.recv_timeout(LIMIT).ok());
        let outside = Notice::Mapped("198.51.100.7:40000".parse().unwrap());
        assert!(told.into_iter().any(|notice| notice == outside));
        keeper.held.give_back().wait();
        // Once.
        keeper.held.give_back().wait();
        let heard = thread.join().unwrap();
        let lifetime = |datagram: &[u8]| u32::from_be_bytes(datagram[4..8].try_into().unwrap());
        let lifetimes: Vec<_> = heard.iter().map(|datagram| lifetime(datagram)).collect();
        assert_eq!(lifetimes, [1200, 1200, 0]);
        assert!(mapped(&bench).is_empty());
    }

    #[test]
    fn a_port_that_comes_after_the_end_goes_back_at_once() {
        let bench = bench(true, 7764);
        let (control, search) = (router::socket(), router::socket());
        let router = router::router(&control, &search);
        let thread = router::serve(control, 2, router::pcp);
        let mut keeper = keeper(&bench);
        keeper.held.give_back().wait();
        future::block_on(keeper.map(router)).unwrap();
        assert_eq!(thread.join().unwrap()[1][4..8], [0; 4]);
        keeper.held.give_back().wait();
    }

    #[test]
    fn what_a_router_gives_no_more_is_ours_no_more() {
        let bench = bench(true, 7764);
        let (control, search) = (router::socket(), router::socket());
        let router = router::router(&control, &search);
        let thread = router::serve(control, 1, router::pcp);
        let mut keeper = keeper(&bench);
        future::block_on(keeper.map(router.clone())).unwrap();
        assert_eq!(bench.discovery.ports.outside(), 40_000);
        thread.join().unwrap();
        // It is not there any more, for UPnP either.
        let reason = future::block_on(keeper.map(router)).unwrap_err();
        assert!(
            reason.contains("nobody listens there; UPnP: no answer"),
            "{reason}"
        );
        future::block_on(keeper.give_up(Some(reason)));
        assert_eq!(ports(&bench), [40_000, 7764]);
        assert_eq!(bench.discovery.ports.outside(), 7764);
        assert!(keeper.held.mapping().is_none());
    }

    #[test]
    fn a_peer_that_lets_nobody_in_asks_for_nothing() {
        let bench = bench(true, 0);
        let runtime = super::super::runtime::Runtime::start("test", move |spawner| {
            start(bench.discovery, Held::default(), &spawner);
            future::yield_now()
        });
        assert!(runtime.unwrap().join(LIMIT));
    }
}
