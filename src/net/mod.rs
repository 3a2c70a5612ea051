// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The driver: sockets, timers, trackers and the source's HTTP around one
//! [`Swarm`].
//!
//! A [`Driver`] owns a thread with a private executor; it ends with [`Driver::stop`]. Elements
//! talk to it through bounded channels and read snapshots; it never calls into GStreamer.
//!
//! | file | what it is |
//! | --- | --- |
//! | `runtime` | executor, sockets, timers, look-ups; the only file that names async-std |
//! | `driver` | the one task that owns the swarm |
//! | `inbox` | what the other tasks tell it |
//! | `connection` | one peer: bytes to messages, frames to bytes |
//! | `listener`, `door`, `admission` | the port, who comes in, and how many at once |
//! | `http`, `status` | the source's tracker and `.tstream`, and the page of either |
//! | `announce`, `tracker`, `client`, `http_from`, `lookup`, `back_off` | trackers and names, asked again and again |
//! | `local`, `own_addresses`, `ports` | which of our addresses is spoken from, by which others know us, and at which port they come in |
//! | `port_mapping`, `router` | that port at the router of this network |
//! | `last_word` | what trackers and the router are told at the end |
//! | `dht`, `lsd` | a node of the DHT on a socket; the same network by multicast |
//! | `discovery` | what the ways to peers have in common, and what came of each |
//! | `keeper` | the good peers of the last time, in a file |
//! | `shown` | what others know of the swarm without asking it |
//! | `outlet` | verified bytes to the streaming thread |
//! | `notices` | news to the element, on a thread of their own |
//! | `story` | what goes on, for the log |
#![forbid(unsafe_code)]

mod admission;
mod announce;
mod back_off;
mod client;
mod clock;
mod connection;
mod dht;
mod discovery;
mod door;
mod driver;
mod http;
mod http_from;
mod inbox;
mod keeper;
mod last_word;
mod listener;
mod local;
mod lookup;
mod lsd;
mod notices;
pub mod outlet;
mod own_addresses;
mod port_mapping;
mod ports;
mod router;
mod runtime;
mod shown;
mod status;
mod story;
#[cfg(test)]
mod tests;
mod tracker;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_channel::{Sender, TrySendError};
use bytes::Bytes;

pub use listener::Listener;
pub use own_addresses::local_addresses;
pub use story::{Level, Trace};

use self::{
    announce::{Announcer, Farewell},
    client::Via,
    clock::Clock,
    discovery::{Discovery, Ways},
    door::Door,
    driver::{Command, Connections, Sources},
    keeper::Keeper,
    local::Local,
    lookup::HostPort,
    notices::NoticeThread,
    outlet::Outlet,
    port_mapping::Held,
    ports::Ports,
    runtime::{Runtime, Spawner},
    shown::Shown,
    story::Story,
};
use crate::proto::{
    piece::Piece,
    stats::{Stats, Way},
    swarm::{Config, Event, Origin, Playback, Role, Swarm},
    tracker::Announce,
};

/// Commands that may wait; the driver takes them within milliseconds.
const MAX_COMMANDS: usize = 256;
/// For the driver's thread to end: it has nothing to wait for.
const DRIVER_END: Duration = Duration::from_millis(300);
/// For a handler of notices that is at work when the driver stops.
const HANDLER_END: Duration = Duration::from_millis(100);
/// Peers asked of a tracker at a time: what PROTOCOL §8 gives.
const NUMWANT: u32 = 50;
/// Pieces that may wait to be published in the smallest case.
const MIN_UNPUBLISHED: usize = 64;

/// What a driver needs besides the swarm's own configuration.
#[derive(Debug)]
pub struct Options {
    /// For the swarm. `listen_port` is overwritten with the listener's (0 without upload).
    pub swarm: Config,
    /// Where peers come in.
    pub listener: Listener,
    /// What the user lets us speak from: the listener's, also where nobody is let in.
    pub addresses: Vec<IpAddr>,
    /// Announce URLs in BEP 12 tiers, the source's own included for viewers. A viewer also tries
    /// HOST:PORT of each http URL as a peer ([`Origin::Announce`](crate::proto::swarm::Origin)).
    pub trackers: Vec<Vec<String>>,
    /// `host:port` of peers to try at once.
    pub peers: Vec<String>,
    /// Source: `host:port` of the relays that are always served.
    pub auxiliary: Vec<String>,
    /// What browsers and scripts are answered, and for a source trackers' clients. No source is without.
    pub serve: Option<Serve>,
    /// Look for peers in the DHT, and be found there, from the nodes on that the `.tstream` names;
    /// without such nodes there is none.
    pub dht: bool,
    /// Look for peers on the networks that this host is on, and be found there.
    pub lsd: bool,
    /// Have the port mapped by the router of this network.
    pub port_mapping: bool,
    /// Viewer: the folder where peers that gave pieces are kept for the next time; none: they are not.
    pub cache: Option<PathBuf>,
    /// Where what goes on is written, for the log.
    pub trace: Option<Trace>,
}

/// What is given out by HTTP: the `.tstream`, the status page and, by a source, its tracker.
#[derive(Debug)]
pub struct Serve {
    /// The `.tstream` file.
    pub tstream: Served,
    /// Show everybody where peers are, not this host alone.
    pub public: bool,
    /// Where, for HTTP alone; none: where peers come in.
    pub listener: Option<Listener>,
}

/// A file that HTTP gives out, which may become another one.
#[derive(Debug, Clone)]
pub struct Served(Arc<Mutex<Bytes>>);

impl Served {
    /// These bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Arc::new(Mutex::new(bytes.into())))
    }

    /// Other bytes from now on.
    pub fn set(&self, bytes: impl Into<Bytes>) {
        *self.lock() = bytes.into();
    }

    /// The bytes.
    #[must_use]
    pub fn get(&self) -> Bytes {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something a driver tells its element, on a thread of its own, no lock held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The swarm's.
    Swarm(Event),
    /// A tracker or a look-up answered or failed, in words, for the log.
    Tracker(String),
    /// A router maps our port: those outside reach us there. Said again when that is another place.
    Mapped(SocketAddr),
    /// There has been no peer for a while, and why: what came of each way to them, in words.
    Alone(Vec<String>),
}

/// A running peer. Dropping it stops it.
#[derive(Debug)]
pub struct Driver {
    running: Option<Running>,
    commands: Sender<Command>,
    pieces: Sender<Piece>,
    max_unpublished: usize,
    outlet: Arc<Outlet>,
    shown: Arc<Shown>,
    ways: Arc<Ways>,
    port: u16,
}

/// What there is to end.
#[derive(Debug)]
struct Running {
    /// Closed to end the driver's task.
    stop: Sender<()>,
    runtime: Runtime,
    notices: NoticeThread,
    announced: Announce,
    farewell: Farewell,
    local: Local,
    ports: Ports,
    held: Held,
}

impl Driver {
    /// Starts the threads and the listener. Does not wait for the network.
    ///
    /// # Errors
    /// Where a thread or a socket cannot be made.
    pub fn start(
        mut options: Options,
        notify: impl Fn(Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let port = options.listener.port();
        options.swarm.listen_port = if options.swarm.upload_enabled {
            port
        } else {
            0
        };
        let (outlet, taken) = Outlet::new();
        let outlet = Arc::new(outlet);
        let shown = Arc::new(Shown::new(options.swarm.max_peers));
        let (notifier, notices) = NoticeThread::start(notify)?;
        let (commands, more_commands) = async_channel::bounded(MAX_COMMANDS);
        let (pieces, more_pieces) = async_channel::unbounded();
        let (inbox, inbound) = async_channel::bounded(inbox::CAPACITY);
        let (stop, stopped) = async_channel::bounded(1);
        let sources = Sources {
            inbox: inbound,
            commands: more_commands,
            pieces: more_pieces,
            taken,
            stop: stopped,
        };
        let announced = announced(&options.swarm);
        let ways = Arc::new(Ways::default());
        let local = Local::new(&options.addresses);
        let ports = Ports::new(announced.port);
        let farewell = Farewell::default();
        let held = Held::default();
        let max_unpublished = max_unpublished(&options.swarm);
        let setup = Setup {
            outlet: Arc::clone(&outlet),
            discovery: Discovery {
                infohash: announced.infohash,
                ports: ports.clone(),
                viewer: matches!(options.swarm.role, Role::Viewer { .. }),
                shown: Arc::clone(&shown),
                inbox,
                notifier,
                ways: Arc::clone(&ways),
                local: local.clone(),
            },
            options,
            announced: announced.clone(),
            farewell: farewell.clone(),
            held: held.clone(),
        };
        let runtime = Runtime::start("livetorrent-net", move |spawner| {
            setup.start(spawner).run(sources)
        })?;
        Ok(Self {
            running: Some(Running {
                stop,
                runtime,
                notices,
                announced,
                farewell,
                local,
                ports,
                held,
            }),
            commands,
            pieces,
            max_unpublished,
            outlet,
            shown,
            ways,
            port,
        })
    }

    /// Where peers come in: the listener's port, also without upload.
    #[must_use]
    pub const fn local_port(&self) -> u16 {
        self.port
    }

    /// Source: hands a piece over. Never blocks: the queue takes what the window holds, and a
    /// driver that is further behind is dead, so the piece is dropped and `false` returned.
    pub fn publish(&self, piece: Piece) -> bool {
        let bytes = piece.header().payload_len();
        let taken = self.pieces.len() < self.max_unpublished && self.pieces.try_send(piece).is_ok();
        if taken {
            self.shown.add_published(bytes);
        }
        taken
    }

    /// Viewer: where verified bytes come out.
    #[must_use]
    pub const fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// Tries a peer, `host:port`.
    pub fn add_peer(&self, address: &str) {
        self.command(Command::AddPeer(address.to_owned()));
    }

    /// Viewer: plays like this from now on.
    pub fn set_playback(&self, playback: Playback) {
        self.command(Command::SetPlayback(playback));
    }

    /// Viewer: releases nothing until [`Self::resume`].
    pub fn pause(&self) {
        self.command(Command::Pause);
    }

    /// Viewer: goes on where it was, or at its distance behind the source.
    pub fn resume(&self, keep_position: bool) {
        self.command(Command::Resume { keep_position });
    }

    /// Viewer: goes to where a joiner would start.
    pub fn jump_to_live(&self) {
        self.command(Command::JumpToLive);
    }

    fn command(&self, command: Command) {
        // Full: hundreds within a few milliseconds, of which the newest counts.
        if let Err(TrySendError::Full(command)) = self.commands.try_send(command) {
            let _ = self.commands.force_send(command);
        }
    }

    /// The newest snapshot (at most a quarter of a second old); never waits for the driver.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        self.shown.stats()
    }

    /// What came of each way to peers.
    #[must_use]
    pub fn ways(&self) -> Vec<Way> {
        self.ways.all()
    }

    /// Why there is no peer, as far as that is known, a line for each reason; nothing while there is one.
    #[must_use]
    pub fn why_alone(&self) -> Vec<String> {
        match self.shown.has_peers() {
            true => Vec::new(),
            false => self.ways.reasons(),
        }
    }

    /// Ends everything within half a second, whatever peers, trackers and the router do, and tells the
    /// trackers `stopped` and gives a mapped port back: those that take longer than 200 ms to hear it do so only
    /// where the process goes on. No notice begins afterwards. May be called from the handler of a notice.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.notices.silence();
        running.stop.close();
        self.outlet.close();
        let Running {
            announced,
            local,
            ports,
            ..
        } = &running;
        let stats = self.shown.stats();
        let stopped = running.farewell.say(announced, &stats, local, ports);
        let given_back = running.held.give_back();
        running.runtime.join(DRIVER_END);
        stopped.wait();
        given_back.wait();
        running.notices.join(HANDLER_END);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the driver's thread starts with.
struct Setup {
    options: Options,
    outlet: Arc<Outlet>,
    discovery: Discovery,
    announced: Announce,
    farewell: Farewell,
    held: Held,
}

impl Setup {
    /// Starts the tasks around the swarm; the one that owns it is left to run.
    fn start(self, spawner: Spawner) -> driver::Driver {
        let Options {
            swarm: config,
            listener,
            addresses,
            trackers,
            peers,
            auxiliary,
            serve,
            dht,
            lsd,
            port_mapping,
            cache,
            trace,
        } = self.options;
        let clock = Clock::new();
        let discovery = self.discovery;
        let trackers = without_own(trackers, &config, &listener);
        let with_port = |ip| SocketAddr::new(ip, config.listen_port);
        let addresses: Vec<_> = addresses.into_iter().map(with_port).collect();
        if dht {
            let nodes = &config.metainfo.nodes;
            dht::start(&discovery, clock, &spawner, &addresses, nodes);
        }
        if lsd {
            lsd::start(discovery.clone(), addresses, &spawner);
        }
        if port_mapping {
            port_mapping::start(discovery.clone(), self.held, &spawner);
        }
        let keeper = cache
            .filter(|_| discovery.viewer)
            .map(|folder| Keeper::new(folder, discovery.infohash));
        if let Some(keeper) = keeper.clone() {
            spawner.spawn(keeper.recall(discovery.clone(), clock));
        }
        if discovery.viewer {
            spawner.spawn(discovery.clone().explain());
        }
        let mut http = None;
        if let Some(serve) = serve {
            let (shown, ways) = (discovery.shown.clone(), discovery.ways.clone());
            let server = http::Server::new(&serve, &config, shown, ways, clock);
            let server = Arc::new(server);
            spawner.spawn(Arc::clone(&server).keep_record());
            match serve.listener {
                Some(own) => Door::new(spawner.clone(), None, Some(server)).open(own),
                None => http = Some(server),
            }
        }
        if config.upload_enabled {
            let inbox = Some(discovery.inbox.clone());
            Door::new(spawner.clone(), inbox, http).open(listener);
        }
        let announcer = Announcer {
            request: self.announced,
            discovery: discovery.clone(),
            farewell: self.farewell,
        };
        let viewer = discovery.viewer;
        let mut driver = driver::Driver {
            lap: config.metainfo.info.lap(),
            piece_length: config.metainfo.info.piece_length(),
            swarm: Swarm::new(config, clock.now()),
            clock,
            spawner: spawner.clone(),
            discovery,
            keeper,
            outlet: self.outlet,
            story: Story::new(trace),
            connections: Connections::default(),
        };
        // Relays first: a name is looked up for whom it is given to first.
        for (addresses, origin) in [(auxiliary, Origin::Auxiliary), (peers, Origin::Configured)] {
            for address in &addresses {
                driver.try_peer(address, origin);
            }
        }
        if viewer {
            let urls = trackers.iter().flatten();
            for target in urls.filter_map(|url| HostPort::of_source(url)) {
                driver.look_up(target, Origin::Announce);
            }
        }
        announcer.start(&spawner, trackers);
        driver
    }
}

/// A source does not announce to itself: `announce` of its `.tstream` with its own port.
fn without_own(
    mut trackers: Vec<Vec<String>>,
    config: &Config,
    listener: &Listener,
) -> Vec<Vec<String>> {
    let own = config
        .metainfo
        .trackers
        .first()
        .and_then(|tier| tier.first())
        .filter(|url| HostPort::of_url(url).is_some_and(|own| own.port == listener.port()));
    if let (Role::Source, Some(own)) = (config.role, own) {
        trackers
            .iter_mut()
            .for_each(|tier| tier.retain(|url| url != own));
    }
    trackers
}

/// What this peer says of itself to trackers.
fn announced(config: &Config) -> Announce {
    Announce {
        infohash: config.metainfo.info.infohash(),
        peer_id: config.peer_id,
        port: config.listen_port,
        uploaded: 0,
        downloaded: 0,
        left: u64::from(config.role != Role::Source),
        // A source calls nobody.
        numwant: if config.role == Role::Source {
            0
        } else {
            NUMWANT
        },
        event: None,
        key: fastrand::u32(..),
    }
}

/// Pieces of full length that fill the window's memory, and no more than the window holds.
fn max_unpublished(config: &Config) -> usize {
    let info = &config.metainfo.info;
    let held = usize::try_from(info.lap().half()).unwrap_or(usize::MAX);
    let fit = config.buffer_size / info.piece_length() as usize;
    fit.min(held).max(MIN_UNPUBLISHED)
}

/// Host and port of a text that says where a peer is, as [`Options::peers`] and [`Driver::add_peer`] take
/// it: `host:port`, `1.2.3.4:port` or `[v6]:port`.
#[must_use]
pub fn host_port(text: &str) -> Option<(String, u16)> {
    HostPort::parse(text).map(|HostPort { host, port }| (host, port))
}

/// Fetches `url` (http or https), at most `limit` bytes, within `timeout`. Blocks.
///
/// # Errors
/// In words: what failed and where.
pub fn fetch(url: &str, limit: usize, timeout: Duration) -> Result<Vec<u8>, String> {
    client::get(url, limit, timeout, Via::Environment).map_err(|reason| format!("{url}: {reason}"))
}
