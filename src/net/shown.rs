// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What others may know about the swarm without asking it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use futures_lite::future;

use super::runtime::sleep;
use crate::proto::{
    stats::Stats,
    swarm::{ENOUGH_PEERS, Event},
};

/// The newest figures, and how well connected the swarm is.
#[derive(Debug)]
pub(super) struct Shown {
    stats: Mutex<Arc<Stats>>,
    /// Source: bytes of the stream that were handed over.
    published: AtomicU64,
    peers: AtomicUsize,
    /// Who has fewer looks for more.
    enough: usize,
    /// The source is away: the trackers may know where it went.
    away: AtomicBool,
    /// How often the source came back.
    returns: AtomicUsize,
    /// How often our port outside became another.
    moves: AtomicUsize,
    /// A token for each [`Watch`] when there is more, or something else, to look for.
    watches: Mutex<Vec<Sender<()>>>,
}

/// Waits for changes of [`Shown`].
#[derive(Debug)]
pub(super) struct Watch {
    shown: Arc<Shown>,
    /// A source looks for nobody.
    viewer: bool,
    changed: Receiver<()>,
    returns: usize,
    moves: usize,
}

impl Shown {
    /// Nothing yet; at most so many peers are to come.
    pub(super) fn new(max_peers: usize) -> Self {
        Self {
            stats: Mutex::default(),
            published: AtomicU64::new(0),
            peers: AtomicUsize::new(0),
            enough: max_peers.min(ENOUGH_PEERS),
            away: AtomicBool::new(false),
            returns: AtomicUsize::new(0),
            moves: AtomicUsize::new(0),
            watches: Mutex::default(),
        }
    }

    /// The newest snapshot.
    pub(super) fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set_stats(&self, stats: Stats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(stats);
    }

    /// Source: counts what is published.
    pub(super) fn add_published(&self, bytes: u64) {
        self.published.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Source: bytes of the stream that were handed over.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Whether the source is there, and peers enough finished the handshake and are still there. One
    /// that cannot be called hears of others from the tracker only, and those whom it heard of first
    /// may be full.
    pub(super) fn is_content(&self) -> bool {
        self.peers.load(Ordering::Relaxed) >= self.enough && !self.away.load(Ordering::Relaxed)
    }

    /// Whether there is any peer that finished the handshake.
    pub(super) fn has_peers(&self) -> bool {
        self.peers.load(Ordering::Relaxed) > 0
    }

    /// One that waits for changes from here on.
    pub(super) fn watch(self: &Arc<Self>, viewer: bool) -> Watch {
        let (tell, changed) = async_channel::bounded(1);
        self.watches().push(tell);
        Watch {
            shown: Arc::clone(self),
            viewer,
            changed,
            returns: self.returns.load(Ordering::Relaxed),
            moves: self.moves.load(Ordering::Relaxed),
        }
    }

    /// Those outside come in at another port from now on.
    pub(super) fn port_moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.tell_change();
    }

    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::PeerAdded { .. } => {
                let others = self.peers.fetch_add(1, Ordering::Relaxed);
                if others == 0 {
                    self.tell_change();
                }
            }
            Event::PeerRemoved { .. } => self.peer_gone(),
            Event::SourceAway => {
                self.away.store(true, Ordering::Relaxed);
                self.tell_change();
            }
            Event::SourceBack => {
                self.away.store(false, Ordering::Relaxed);
                self.returns.fetch_add(1, Ordering::Relaxed);
                self.tell_change();
            }
            _ => {}
        }
    }

    /// Only the driver's task counts, so nothing comes between reading and writing.
    fn peer_gone(&self) {
        let left = self.peers.load(Ordering::Relaxed).saturating_sub(1);
        self.peers.store(left, Ordering::Relaxed);
        if left < self.enough {
            self.tell_change();
        }
    }

    fn tell_change(&self) {
        // A token that is still there says the same.
        self.watches()
            .retain(|watch| !matches!(watch.try_send(()), Err(error) if error.is_closed()));
    }

    fn watches(&self) -> MutexGuard<'_, Vec<Sender<()>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Waits until what this and [`Shown`] tell may be something else.
    pub(super) async fn changed(&self) {
        if self.changed.recv().await.is_err() {
            future::pending::<()>().await;
        }
    }

    /// Whether there is more to look for.
    pub(super) fn looks_for_peers(&self) -> bool {
        self.viewer && !self.shown.is_content()
    }

    /// Whether the source came back, which is nothing to itself, or our port is another since this was
    /// asked last.
    fn take_news(&mut self) -> bool {
        let returns = self.shown.returns.load(Ordering::Relaxed);
        let moves = self.shown.moves.load(Ordering::Relaxed);
        let returned = std::mem::replace(&mut self.returns, returns) != returns;
        let moved = std::mem::replace(&mut self.moves, moves) != moves;
        self.viewer && returned || moved
    }

    /// Waits until so much time is over since `began`: `lonely` while there is more to look for, or
    /// `usual`. Ends at once, and is true, when the source came back or our port is
    /// another.
    pub(super) async fn rest(&mut self, began: Instant, lonely: Duration, usual: Duration) -> bool {
        loop {
            if self.take_news() {
                return true;
            }
            let looks = self.looks_for_peers();
            let whole = if looks { lonely } else { usual };
            let left = whole.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            future::or(sleep(left), self.changed()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::SocketAddr;

    fn peer() -> (String, SocketAddr) {
        (String::new(), SocketAddr::from(([127, 0, 0, 1], 9)))
    }

    fn added() -> Event {
        let (id, address) = peer();
        Event::PeerAdded { id, address }
    }

    fn removed() -> Event {
        let (id, address) = peer();
        let reason = String::new();
        Event::PeerRemoved {
            id,
            address,
            reason,
        }
    }

    #[test]
    fn a_viewer_is_content_with_the_source_and_peers_enough() {
        let shown = Shown::new(2);
        assert!(!shown.is_content());
        shown.observe(&added());
        shown.observe(&added());
        assert!(shown.is_content());
        shown.observe(&Event::SourceAway);
        assert!(!shown.is_content());
        shown.observe(&Event::SourceBack);
        assert!(shown.is_content());
        shown.observe(&removed());
        assert!(!shown.is_content());
    }

    #[test]
    fn everybody_who_watches_is_told_of_each_change_once() {
        let shown = Arc::new(Shown::new(2));
        let mut watches = [shown.watch(true), shown.watch(true)];
        shown.observe(&added());
        for watch in &mut watches {
            future::block_on(watch.changed());
            assert!(!watch.take_news());
        }
        shown.observe(&added());
        for watch in &mut watches {
            assert!(future::block_on(future::poll_once(watch.changed())).is_none());
        }
        shown.observe(&Event::SourceAway);
        shown.observe(&Event::SourceBack);
        for watch in &mut watches {
            future::block_on(watch.changed());
            assert!(future::block_on(future::poll_once(watch.changed())).is_none());
            assert!(watch.take_news());
            assert!(!watch.take_news());
        }
        drop(watches);
        shown.observe(&Event::SourceAway);
        assert!(shown.watches().is_empty());
    }

    #[test]
    fn a_rest_is_short_for_the_lonely_and_ends_when_the_source_is_back_or_our_port_another() {
        const HOUR: Duration = Duration::from_secs(3600);
        let shown = Arc::new(Shown::new(1));
        let began = Instant::now();
        let mut viewer = shown.watch(true);
        assert!(!future::block_on(viewer.rest(began, Duration::ZERO, HOUR)));
        shown.observe(&added());
        let mut rests = |short| {
            let rest = viewer.rest(began, short, HOUR);
            future::block_on(future::poll_once(rest))
        };
        assert_eq!(rests(Duration::ZERO), None);
        shown.observe(&Event::SourceAway);
        assert_eq!(rests(Duration::ZERO), Some(false));
        shown.observe(&Event::SourceBack);
        assert_eq!(rests(HOUR), Some(true));
        assert_eq!(rests(HOUR), None);
        let mut source = shown.watch(false);
        shown.observe(&Event::SourceAway);
        shown.observe(&Event::SourceBack);
        let mut rests = || {
            let rest = source.rest(began, Duration::ZERO, HOUR);
            future::block_on(future::poll_once(rest))
        };
        assert_eq!(rests(), None);
        shown.port_moved();
        assert_eq!(rests(), Some(true));
        assert_eq!(rests(), None);
    }
}
