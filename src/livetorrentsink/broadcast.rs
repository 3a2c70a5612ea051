// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One run of the broadcast: bytes become pieces in order, from the streaming thread when they
//! are full and from a thread of our own when their time is over, and go to the driver.

use std::{
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{
    common::listen,
    net::{Driver, Notice, Options, Serve, Served, Trace},
    proto::{
        key::PrivateKey,
        lap::Sequence,
        metainfo::{Info, Metainfo},
        piece::{Piece, Sealer},
        stats::{Stats, Way},
        swarm::{Config, Event, Role},
        time::{self, Now, UnixMicros},
    },
};

use super::{
    announce,
    container::Container,
    packager::Packager,
    settings::Settings,
    store::{Reservation, Store, StoreError, StoreErrorKind, StreamParams},
    tstream::Tstream,
};

/// The thread that closes pieces by time and reserves sequences.
const THREAD: &str = "livetorrentsink:flush";
/// How long that thread sleeps at most; the source's sign of life is due as often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Between two tries to write the restart file when the disk refuses.
const RETRY_RESERVING: Duration = Duration::from_secs(5);

/// Bytes of one buffer, or a part of it, and what its flags say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk<'a> {
    /// The bytes.
    pub(super) bytes: &'a [u8],
    /// They do not continue the ones before.
    pub(super) discont: bool,
    /// A decoder cannot start with them.
    pub(super) delta: bool,
}

impl<'a> Chunk<'a> {
    /// Bytes with nothing special about them.
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            discont: false,
            delta: true,
        }
    }

    /// Other bytes with the same flags.
    pub(super) const fn part<'b>(&self, bytes: &'b [u8]) -> Chunk<'b> {
        Chunk {
            bytes,
            discont: self.discont,
            delta: self.delta,
        }
    }
}

/// What a broadcast tells its element, on threads of its own, no lock held.
#[derive(Debug)]
pub(super) enum Tell {
    /// The driver's.
    Notice(Notice),
    /// A router leads viewers outside here, and this is what the `.tstream` says.
    Mapped(SocketAddr, Arc<Metainfo>),
    /// It goes on, but the user should know.
    Warning(String),
    /// It is over.
    Failed(Stopped),
}

/// Why no more pieces go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    /// The driver takes no more.
    #[error("The network thread takes no more pieces")]
    Driver,
    /// Sequences are used up that could be reserved on disk (PROTOCOL §2: they never repeat).
    #[error("The restart file could not be written for so long that no sequence numbers are left")]
    Unreserved,
}

/// What was made so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Made {
    /// Bytes from upstream.
    pub(super) bytes: u64,
    /// Pieces closed, empty ones too.
    pub(super) pieces: u64,
}

/// A broadcast that began.
pub(super) struct Opened {
    /// It.
    pub(super) broadcast: Broadcast,
    /// Its `.tstream`.
    pub(super) metainfo: Arc<Metainfo>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

/// One run of the broadcast.
pub(super) struct Broadcast {
    shared: Arc<Shared>,
    flusher: Mutex<Option<JoinHandle<()>>>,
    port: u16,
}

/// Locks, in the order in which they may be taken: `line`, `driver`; `drain` and `tstream` alone.
struct Shared {
    line: Mutex<Line>,
    /// `line` opened a piece earlier than the flusher expects, or is closing.
    due: Condvar,
    driver: Mutex<Option<Driver>>,
    drain: Mutex<Drain>,
    /// `drain` changed.
    drained: Condvar,
    reservation: Arc<Reservation>,
    /// None once it is over.
    tstream: Mutex<Option<Tstream>>,
    clock: Clock,
}

/// Where bytes become pieces; whoever holds it publishes what comes out before letting go, so
/// that pieces go to the driver in order.
struct Line {
    packager: Packager,
    /// What the next packager is made of, should bytes follow an END.
    stream: Stream,
    container: Option<Container>,
    /// By packagers before this one.
    made: Made,
    ended: bool,
    /// When the flusher looks next; none while it is looking.
    wakes: Option<time::Instant>,
    closing: bool,
}

/// What stays the same from one start to the next.
struct Stream {
    key: PrivateKey,
    info: Info,
    flush_time: Duration,
}

/// What EOS waits for.
#[derive(Default)]
struct Drain {
    peers: usize,
    drained: bool,
    interrupts: u64,
    /// GstBaseSink has not taken its unlock back yet.
    unlocked: bool,
}

/// Both clocks, as the core wants them.
struct Clock {
    origin: Instant,
}

impl Clock {
    fn now(&self) -> Now {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            at: time::Instant::from_micros(micros(self.origin.elapsed())),
            // A clock before 1970 counts as 1970; pieces are never dated back anyway.
            wall: wall.map_or(0, micros),
        }
    }
}

/// A poisoned lock is still the best there is: nothing here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drain {
    fn note(&mut self, event: &Event) {
        match event {
            Event::PeerAdded { .. } => self.peers += 1,
            Event::PeerRemoved { .. } => self.peers = self.peers.saturating_sub(1),
            Event::Drained => self.drained = true,
            _ => (),
        }
    }

    const fn is_over(&self, interrupts: u64) -> bool {
        self.drained || self.unlocked || self.interrupts != interrupts || self.peers == 0
    }
}

impl Stream {
    fn packager(&self, next: Sequence, not_before: UnixMicros, now: Now) -> Packager {
        let sealer = Sealer::new(self.key.clone(), self.info.infohash(), next, not_before);
        Packager::transport_stream(sealer, self.info.piece_length(), self.flush_time, now)
    }
}

impl Line {
    fn set_container(&mut self, now: Now, container: &Container, out: &mut Vec<Piece>) {
        match container {
            Container::TransportStream => self.packager.set_transport_stream(now, out),
            Container::Other { headers } => self.packager.set_opaque(now, headers.clone(), out),
        }
        self.container = Some(container.clone());
    }

    fn push(&mut self, now: Now, chunk: Chunk<'_>, out: &mut Vec<Piece>) {
        if std::mem::take(&mut self.ended) {
            self.begin_again(now, out);
        }
        let Chunk {
            bytes,
            discont,
            delta,
        } = chunk;
        self.packager.buffer(now, bytes, delta, discont, out);
    }

    /// Nothing may follow an END in its start (PROTOCOL §2), so another start begins.
    fn begin_again(&mut self, now: Now, out: &mut Vec<Piece>) {
        self.made = self.made();
        let (next, last) = self.position();
        self.packager = self.stream.packager(next, last, now);
        if let Some(container) = self.container.take() {
            self.set_container(now, &container, out);
        }
    }

    /// The next sequence and the time of the last piece.
    const fn position(&self) -> (Sequence, UnixMicros) {
        let sealer = self.packager.sealer();
        (sealer.next_sequence(), sealer.last_time())
    }

    fn made(&self) -> Made {
        Made {
            bytes: self.made.bytes + self.packager.bytes_in(),
            pieces: self.made.pieces + self.packager.pieces_made(),
        }
    }
}

impl Shared {
    /// Does something with the line and hands the pieces that come out to the driver.
    fn work(&self, work: impl FnOnce(&mut Line, Now, &mut Vec<Piece>)) -> Result<(), Stopped> {
        let mut line = lock(&self.line);
        let mut pieces = Vec::new();
        work(&mut line, self.clock.now(), &mut pieces);
        if !pieces.is_empty() {
            self.publish(pieces)?;
        }
        let is_earlier = |due| line.wakes.is_some_and(|wakes| due < wakes);
        let wake = line.packager.due().is_some_and(is_earlier);
        drop(line);
        if wake {
            self.due.notify_one();
        }
        Ok(())
    }

    /// The caller holds the line, so pieces stay in order.
    fn publish(&self, pieces: Vec<Piece>) -> Result<(), Stopped> {
        let end = self.reservation.reserved_end();
        let driver = lock(&self.driver);
        let driver = driver.as_ref().ok_or(Stopped::Driver)?;
        for piece in pieces {
            if piece.sequence() >= end {
                return Err(Stopped::Unreserved);
            }
            if !driver.publish(piece) {
                return Err(Stopped::Driver);
            }
        }
        Ok(())
    }

    /// The flusher's whole life: pieces by time, sequences ahead of them.
    fn flush_until_closed(&self, tell: &dyn Fn(Tell)) {
        let mut retry_at = None;
        loop {
            if let Err(stopped) = self.work(|line, now, out| line.packager.tick(now, out)) {
                if !lock(&self.line).closing {
                    tell(Tell::Failed(stopped));
                }
                return;
            }
            if retry_at.is_none_or(|at| Instant::now() >= at) {
                let result = self.reserve();
                retry_at = result.is_err().then(|| Instant::now() + RETRY_RESERVING);
                if let Err(error) = result {
                    tell(Tell::Warning(error.to_string()));
                }
            }
            if !self.sleep() {
                return;
            }
        }
    }

    /// Writes where a router leads those outside to us; nothing where the broadcast is over.
    fn mapped(&self, outside: SocketAddr) -> Option<Tell> {
        let tstream = lock(&self.tstream);
        let written = tstream.as_ref()?.mapped(outside);
        Some(match written {
            Ok(metainfo) => Tell::Mapped(outside, metainfo),
            Err(error) => Tell::Warning(error.to_string()),
        })
    }

    /// Keeps sequences reserved ahead of the pieces; waits for the disk, the line goes on.
    fn reserve(&self) -> Result<(), StoreError> {
        let (next, last) = lock(&self.line).position();
        self.reservation.reserve_if_needed(next, last)
    }

    /// Until something is due; `false`: the broadcast is closing.
    fn sleep(&self) -> bool {
        let mut line = lock(&self.line);
        let now = self.clock.now().at;
        let due = line.packager.due();
        let length = due.map_or(LONGEST_SLEEP, |due| due.since(now).min(LONGEST_SLEEP));
        line.wakes = Some(now + length);
        if !line.closing {
            (line, _) = self
                .due
                .wait_timeout(line, length)
                .unwrap_or_else(PoisonError::into_inner);
        }
        line.wakes = None;
        !line.closing
    }
}

/// What the driver's notices and the flusher's news go to.
type Teller = Arc<dyn Fn(Tell) + Send + Sync>;

impl Broadcast {
    /// Listens, opens the broadcaster's files and starts the driver.
    ///
    /// # Errors
    /// Where one of these fails; nothing was written when the port was not free.
    pub(super) fn open(
        settings: &Settings,
        name: &str,
        trace: Trace,
        tell: Teller,
    ) -> Result<Opened, gst::ErrorMessage> {
        let listener = listen::bind(&settings.peer.address, settings.peer.port)?;
        let port = listener.port();
        let announce = announce::own(settings, port)?;
        let further = announce::tiers(&settings.trackers())?;
        let auxiliary = announce::relays(settings.auxiliary_seeders())?;
        let clock = Clock {
            origin: Instant::now(),
        };
        let now = clock.now();

        let stream = StreamParams {
            name: name.to_owned(),
            piece_length: settings.piece_size,
            lap: settings.lap(),
        };
        let store = Store::open(&settings.location(name), stream, now.wall)?;
        let own: Vec<_> = announce.urls.iter().cloned().map(|url| vec![url]).collect();
        let metainfo = Metainfo {
            info: store.info().clone(),
            trackers: own.iter().chain(&further).cloned().collect(),
            nodes: announce::nodes(&settings.dht_nodes())?,
            created_by: Some(
                concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).into(),
            ),
            creation_date: i64::try_from(now.wall / 1_000_000).ok(),
            speed: Some(settings.bitrate / 8),
            title: None,
            peers: Vec::new(),
        };
        let metainfo = Arc::new(store.write_tstream(&metainfo)?);
        let mut warnings = store.warnings().to_vec();
        warnings.extend(announce.private_host.map(|host| {
            let unless = match settings.peer.port_mapping {
                true => ", unless its router maps the port",
                false => "",
            };
            format!("Only viewers on this network will find the broadcast at {host}{unless}; public-address names another")
        }));

        let stream = Stream {
            key: store.key().clone(),
            info: store.info().clone(),
            flush_time: settings.flush_time(),
        };
        let (next, not_before) = store.sealer_start();
        let line = Line {
            packager: stream.packager(next, not_before, now),
            stream,
            container: None,
            made: Made::default(),
            ended: false,
            wakes: None,
            closing: false,
        };
        let served = Served::new(metainfo.to_bytes());
        let shared = Arc::new(Shared {
            line: Mutex::new(line),
            due: Condvar::new(),
            driver: Mutex::default(),
            drain: Mutex::default(),
            drained: Condvar::new(),
            reservation: store.reservation(),
            tstream: Mutex::new(Some(Tstream {
                store,
                metainfo: metainfo.clone(),
                served: served.clone(),
                is_public: settings.public_addresses().next().is_some(),
            })),
            clock,
        });
        let broadcast = Self {
            shared,
            flusher: Mutex::default(),
            port,
        };
        let options = Options {
            swarm: Config {
                upload_budget: settings.upload_budget,
                ..settings
                    .peer
                    .config(metainfo.clone(), Role::Source, port, true)
            },
            listener,
            addresses: listen::addresses(&settings.peer.address)?,
            trackers: further,
            peers: Vec::new(),
            auxiliary,
            serve: Some(Serve {
                tstream: served,
                public: settings.status_public,
                listener: None,
            }),
            dht: settings.peer.dht,
            lsd: settings.peer.lsd,
            port_mapping: settings.peer.port_mapping && !announce.is_this_host,
            cache: None,
            trace: Some(trace),
        };
        if let Err(error) = broadcast.start(options, tell) {
            broadcast.close();
            return Err(gst::error_msg!(
                gst::ResourceError::Failed,
                ("Cannot start the broadcast: {error}")
            ));
        }
        Ok(Opened {
            broadcast,
            metainfo,
            warnings,
        })
    }

    fn start(&self, options: Options, tell: Teller) -> std::io::Result<()> {
        // Weak: the driver is the shared state's own.
        let shared = Arc::downgrade(&self.shared);
        let teller = tell.clone();
        let driver = Driver::start(options, move |notice| {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            match notice {
                Notice::Mapped(outside) => {
                    if let Some(tell) = shared.mapped(outside) {
                        teller(tell);
                    }
                    return;
                }
                Notice::Swarm(ref event) => {
                    lock(&shared.drain).note(event);
                    shared.drained.notify_all();
                }
                _ => (),
            }
            teller(Tell::Notice(notice));
        })?;
        *lock(&self.shared.driver) = Some(driver);
        let shared = self.shared.clone();
        let flusher = std::thread::Builder::new()
            .name(THREAD.into())
            .spawn(move || shared.flush_until_closed(&*tell))?;
        *lock(&self.flusher) = Some(flusher);
        Ok(())
    }

    /// The port.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Says what the bytes from here on are.
    ///
    /// # Errors
    /// [`Stopped`] when no more pieces go out.
    pub(super) fn set_container(&self, container: &Container) -> Result<(), Stopped> {
        self.shared
            .work(|line, now, out| line.set_container(now, container, out))
    }

    /// Makes pieces of bytes.
    ///
    /// # Errors
    /// [`Stopped`] when no more pieces go out.
    pub(super) fn push(&self, chunk: Chunk<'_>) -> Result<(), Stopped> {
        self.shared
            .work(|line, now, out| line.push(now, chunk, out))
    }

    /// Publishes the END.
    ///
    /// # Errors
    /// [`Stopped`] when no more pieces go out.
    pub(super) fn end(&self) -> Result<(), Stopped> {
        lock(&self.shared.drain).drained = false;
        self.shared.work(|line, now, out| {
            line.packager.end(now, out);
            line.ended = true;
        })
    }

    /// Drops what is not in a piece yet.
    pub(super) fn flush(&self) {
        lock(&self.shared.line).packager.flush();
    }

    /// How often [`Self::interrupt`] was called.
    pub(super) fn interrupts(&self) -> u64 {
        lock(&self.shared.drain).interrupts
    }

    /// Waits until every viewer that can has the END, or there is none, or it was interrupted
    /// since [`Self::interrupts`] told `interrupts`; `false` when that took longer than `timeout`.
    pub(super) fn wait_drained(&self, interrupts: u64, timeout: Duration) -> bool {
        let drain = lock(&self.shared.drain);
        let (_drain, result) = self
            .shared
            .drained
            .wait_timeout_while(drain, timeout, |drain| !drain.is_over(interrupts))
            .unwrap_or_else(PoisonError::into_inner);
        !result.timed_out()
    }

    /// Ends the waits for viewers, also one that has not begun. A count and a state: GstBaseSink
    /// takes its unlock back at once where the streaming thread holds no lock of its, and else only
    /// when that has come back from the wait.
    pub(super) fn interrupt(&self) {
        let mut drain = lock(&self.shared.drain);
        drain.interrupts += 1;
        drain.unlocked = true;
        drop(drain);
        self.shared.drained.notify_all();
    }

    /// The unlock is taken back.
    pub(super) fn end_interrupt(&self) {
        lock(&self.shared.drain).unlocked = false;
    }

    /// Tries a peer, `host:port`.
    pub(super) fn add_peer(&self, address: &str) {
        if let Some(driver) = &*lock(&self.shared.driver) {
            driver.add_peer(address);
        }
    }

    /// The driver's figures.
    pub(super) fn stats(&self) -> Option<Arc<Stats>> {
        lock(&self.shared.driver).as_ref().map(Driver::stats)
    }

    /// What came of each way to be found.
    pub(super) fn ways(&self) -> Vec<Way> {
        let driver = lock(&self.shared.driver);
        driver.as_ref().map_or_else(Vec::new, Driver::ways)
    }

    /// What was made so far.
    pub(super) fn made(&self) -> Made {
        lock(&self.shared.line).made()
    }

    /// Ends it, as it stands, in under a second; what could not be written then, for the log.
    pub(super) fn close(&self) -> Option<StoreError> {
        lock(&self.shared.line).closing = true;
        self.shared.due.notify_all();
        let driver = lock(&self.shared.driver).take();
        if let Some(driver) = driver {
            driver.stop();
        }
        // The next broadcast of this name may write its file now.
        lock(&self.shared.tstream).take();
        let flusher = lock(&self.flusher).take();
        if let Some(flusher) = flusher {
            // A panic there has been reported where it happened.
            let _ = flusher.join();
        }
        let (next, last) = lock(&self.shared.line).position();
        self.shared.reservation.finish(next, last).err()
    }
}

impl From<StoreError> for gst::ErrorMessage {
    fn from(error: StoreError) -> Self {
        let code = match error.kind() {
            StoreErrorKind::NotFound => gst::ResourceError::NotFound,
            StoreErrorKind::OpenRead => gst::ResourceError::OpenRead,
            StoreErrorKind::OpenWrite => gst::ResourceError::OpenWrite,
            StoreErrorKind::Write => gst::ResourceError::Write,
            StoreErrorKind::Busy => gst::ResourceError::Busy,
            StoreErrorKind::Settings => gst::ResourceError::Settings,
        };
        gst::error_msg!(code, ("Cannot broadcast: {error}"))
    }
}
