// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A broadcast under attack: a source and a viewer in processes of their own, a newcomer that joins
//! while the attack goes on, and one verdict on all three.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    ops::Deref,
    path::Path,
    process::ChildStdin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use gstlivetorrent::proto::{
    metainfo::Info,
    piece::{Flags, Header, PROOF_LEN},
};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::support::{
    PATIENCE,
    capture::Capture,
    fed_sink,
    fixture::{self, TELEVISION},
    metainfo,
    peer::{Peer, Shown, id, is_breath},
    pipeline::Pipeline,
    process::Launch,
    transport::{PACKET, Transport},
};

/// Bytes of memory that neither source nor viewer may ever take.
const MAX_MEMORY: u64 = 150 * 1024 * 1024;
/// The least of what was due that a viewer must have got.
const MIN_CONTINUITY: f64 = 0.99;
/// The most of one processor that an attack may cost a source or viewer. Everything but the stream
/// itself runs on one thread; an unoptimised build takes many times what a user's does.
const MAX_PROCESSOR: f64 = 0.9;
/// A newcomer sees something after so long at most.
const MAX_JOIN: Duration = Duration::from_secs(10);
/// Seconds of the stream that are there before anybody comes.
const HEAD_START: f64 = 3.0;
/// An attack goes on at least so long.
const ATTACK: Duration = Duration::from_secs(3);
/// How far the viewers are behind the source, ms: what a busy machine needs.
const LATENCY: u32 = 1500;
/// Where attackers call from: another host, as far as limits by address go.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// For an attacker's reads and writes, so that it sees when the siege is over.
const BREATH: Duration = Duration::from_millis(500);

/// One that is attacked.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) port: u16,
    pub(crate) is_source: bool,
    pub(crate) info: Arc<Info>,
}

/// What attackers see.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) source: Target,
    pub(crate) viewer: Target,
    over: AtomicBool,
    hits: AtomicUsize,
}

/// A broadcast of television in real time, and a viewer that has begun to watch.
#[derive(Debug)]
pub(crate) struct Siege {
    field: Field,
    input: Arc<Vec<u8>>,
    source: Launch,
    viewer: Launch,
    output: Capture,
    feeder: Feeder,
    folder: TempDir,
}

/// What an attack came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What attackers managed to do, in whatever unit they count.
    pub(crate) hits: usize,
}

impl Siege {
    /// Begins a broadcast and waits until a viewer watches it.
    pub(crate) fn lay() -> Self {
        Self::of(tempfile::tempdir().unwrap(), |_, _| String::new())
    }

    /// The same of the stream in this folder. `properties` of the viewer, besides its location or in
    /// its place, are made when the source is there, of that folder and the source's port.
    pub(crate) fn of(folder: TempDir, properties: impl FnOnce(&Path, u16) -> String) -> Self {
        let input = Arc::new(fs::read(fixture::file(TELEVISION)).unwrap());
        let mut source = Launch::new(&fed_sink(
            folder.path(),
            "port=0 sync=false drain-timeout=60000000000",
        ));
        let port = source.port();
        let feeder = Feeder::start(source.feed(), Arc::clone(&input));
        let location = folder.path().join("foo.tstream");
        let properties = properties(folder.path(), port);
        let (output, sink) = Capture::remote();
        let words = format!(
            "livetorrentsrc location={} latency={LATENCY} {properties} !",
            location.display()
        );
        let mut words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
        words.extend(sink);
        let viewer = Launch::new(&words);
        let viewer_port = viewer.port();
        output.wait_for(1);
        let info = Arc::new(metainfo(&location).info);
        let target = |port, is_source| Target {
            port,
            is_source,
            info: Arc::clone(&info),
        };
        Self {
            field: Field {
                source: target(port, true),
                viewer: target(viewer_port, false),
                over: AtomicBool::new(false),
                hits: AtomicUsize::new(0),
            },
            input,
            source,
            viewer,
            output,
            feeder,
            folder,
        }
    }

    /// The folder of the stream's files.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Who and where.
    pub(crate) const fn field(&self) -> &Field {
        &self.field
    }

    /// Attacks, lets a newcomer in meanwhile, ends the broadcast with the attack still going on, and
    /// judges.
    pub(crate) fn withstands(self, attack: impl FnOnce(&Field) + Send) -> Outcome {
        let location = self.folder.path().join("foo.tstream");
        let newcomer = format!("location={}", location.display());
        self.withstands_with(&newcomer, attack)
    }

    /// The same, where the newcomer has these properties.
    pub(crate) fn withstands_with(
        mut self,
        newcomer: &str,
        attack: impl FnOnce(&Field) + Send,
    ) -> Outcome {
        let field = &self.field;
        let began = Instant::now();
        let costs = [
            Cost::of("source", self.source.id()),
            Cost::of("viewer", self.viewer.id()),
        ];
        let (joined, newcomer, newcomer_skipped, sent) = thread::scope(|scope| {
            // However this ends, the attackers stop.
            let over = EndOf(&field.over);
            scope.spawn(move || attack(field));
            for cost in &costs {
                scope.spawn(move || cost.watch(field));
            }
            field.wait_for_hit();
            let (newcomer, bytes) = Pipeline::viewer(&format!("{newcomer} latency={LATENCY}"));
            let came = Instant::now();
            newcomer.play();
            bytes.wait_for(1);
            let joined = came.elapsed();
            thread::sleep(ATTACK.saturating_sub(began.elapsed()));
            let sent = self.feeder.end();
            self.output.wait_for_end();
            bytes.wait_for_end();
            newcomer.assert_no_error();
            drop(over);
            (joined, bytes, newcomer.stat("src", "pieces-skipped"), sent)
        });
        let stream = Transport::new(&self.input[..sent]);
        let hits = self.field.hits.load(Relaxed);
        println!("{hits} hits; a newcomer joined within {joined:?}");
        assert!(joined <= MAX_JOIN, "a newcomer got in after {joined:?}");
        let viewer_skipped = self.viewer.said().contains("livetorrent-skipped");
        for (who, bytes, skipped) in [
            ("viewer", self.output.bytes(), viewer_skipped),
            ("newcomer", newcomer.bytes(), newcomer_skipped > 0),
        ] {
            let continuity = stream.continuity(&bytes);
            println!("{who}: {} bytes, continuity {continuity:.4}", bytes.len());
            assert!(
                continuity >= MIN_CONTINUITY,
                "{who} got {continuity:.4} of the stream"
            );
            assert_eq!(skipped, continuity < 1.0, "{who} tells of what it skips");
        }
        costs.iter().for_each(Cost::judge);
        for process in [&self.source, &self.viewer] {
            assert_eq!(process.errors(), [""; 0]);
        }
        Outcome { hits }
    }
}

impl Field {
    /// Both that are attacked.
    pub(crate) const fn targets(&self) -> [&Target; 2] {
        [&self.source, &self.viewer]
    }

    /// Whether to go on.
    pub(crate) fn goes_on(&self) -> bool {
        !self.over.load(Relaxed)
    }

    /// Counts something that an attacker managed to do.
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    fn wait_for_hit(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.hits.load(Relaxed) == 0 {
            assert!(Instant::now() < deadline, "no attack came about");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Attacks each target from so many threads, over and over: who is hung up on comes again.
    pub(crate) fn charge(
        &self,
        attackers: usize,
        attack: impl Fn(&Target, usize) -> io::Result<()> + Sync,
    ) {
        self.charge_at(&self.targets(), attackers, attack);
    }

    /// The same at these.
    pub(crate) fn charge_at(
        &self,
        targets: &[&Target],
        attackers: usize,
        attack: impl Fn(&Target, usize) -> io::Result<()> + Sync,
    ) {
        let attack = &attack;
        thread::scope(|scope| {
            for (&target, number) in targets
                .iter()
                .flat_map(|target| (0..attackers).map(move |number| (target, number)))
            {
                scope.spawn(move || {
                    while self.goes_on() {
                        if attack(target, number).is_err() {
                            // A hang-up takes an attacker no longer than this to get over.
                            thread::sleep(Duration::from_millis(20));
                        }
                    }
                });
            }
        });
    }
}

impl Target {
    /// A connection from elsewhere.
    pub(crate) fn call(&self) -> io::Result<TcpStream> {
        self.call_from(ELSEWHERE)
    }

    /// A connection from this address of the machine.
    pub(crate) fn call_from(&self, address: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((address, 0)).into())?;
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into())?;
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(BREATH))?;
        socket.set_write_timeout(Some(BREATH))?;
        Ok(socket)
    }

    /// A connection that shook hands, as somebody new.
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        let mut name = *b"-TE0001-            ";
        name[8..].fill_with(|| fastrand::u8(..));
        self.peer_named(name)
    }

    /// The same with this peer id.
    pub(crate) fn peer_named(&self, name: [u8; 20]) -> io::Result<Peer> {
        let peer = Peer::over(self.call()?, self.info.infohash(), name, self.info.lap())?;
        peer.socket().set_read_timeout(Some(BREATH))?;
        peer.socket().set_write_timeout(Some(BREATH))?;
        Ok(peer)
    }

    /// A connection over which any message may be sent now: one that holds nothing, knows the target's
    /// tip and is interested.
    pub(crate) fn insider(&self) -> io::Result<Peer> {
        let mut peer = self.peer()?;
        peer.greet(None)?;
        peer.send(id::INTERESTED, &[])?;
        peer.wait_for_tip()?;
        Ok(peer)
    }

    /// A connection of one that shows the target's own tip and every piece of the window, and has none.
    pub(crate) fn impostor(&self) -> io::Result<Peer> {
        let mut peer = self.peer()?;
        let shown = self.pretence(&mut peer)?;
        peer.greet(Some(&shown))?;
        peer.send(id::UNCHOKE, &[])?;
        peer.send(id::INTERESTED, &[])?;
        Ok(peer)
    }

    /// What an impostor shows.
    pub(crate) fn pretence(&self, peer: &mut Peer) -> io::Result<Shown> {
        let newest = peer.wait_for_tip()?;
        let tip = peer.tip.ok_or(io::ErrorKind::NotFound)?;
        let floor = peer.floor.ok_or(io::ErrorKind::NotFound)?;
        Ok(Shown {
            tip,
            floor,
            random_access: peer.random_access.unwrap_or(floor),
            held: (floor..=newest).collect(),
        })
    }
}

impl Peer {
    /// Takes in what comes, and calls `answer` for each message, until the far end hangs up or the
    /// siege is over.
    pub(crate) fn converse(
        &mut self,
        field: &Field,
        mut answer: impl FnMut(&mut Self, u8, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        while field.goes_on() {
            match self.receive() {
                Ok((id, payload)) => answer(self, id, &payload)?,
                Err(error) if is_breath(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Peer {
    /// Sends these bytes over and over as fast as they are taken, and throws away what comes.
    pub(crate) fn blast(&self, field: &Field, bytes: &[u8]) -> io::Result<()> {
        blast(self.socket(), field, bytes)
    }
}

/// The same over a plain connection.
pub(crate) fn blast(socket: &TcpStream, field: &Field, bytes: &[u8]) -> io::Result<()> {
    thread::scope(|scope| {
        let mut heard = socket.try_clone()?;
        scope.spawn(move || {
            let mut buffer = [0; 64 * 1024];
            while field.goes_on() {
                match heard.read(&mut buffer) {
                    Ok(1..) => {}
                    Err(error) if is_breath(&error) => {}
                    Ok(0) | Err(_) => return,
                }
            }
        });
        let mut outcome = Ok(());
        let mut left = bytes;
        while field.goes_on() && outcome.is_ok() {
            match (&*socket).write(left) {
                Ok(taken) => {
                    field.hit();
                    left = &left[taken..];
                    if left.is_empty() {
                        left = bytes;
                    }
                }
                Err(error) if is_breath(&error) => {}
                Err(error) => outcome = Err(error),
            }
        }
        let _ = socket.shutdown(Shutdown::Both);
        outcome
    })
}

/// Feeds a source in real time.
#[derive(Debug)]
struct Feeder {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<usize>>,
}

impl Feeder {
    fn start(feed: ChildStdin, input: Arc<Vec<u8>>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let is_ended = Arc::clone(&ended);
        let thread = thread::spawn(move || run_feed(feed, &input, &is_ended));
        Self {
            ended,
            thread: Some(thread),
        }
    }

    /// Ends the stream; how many bytes of it there were.
    fn end(&mut self) -> usize {
        self.ended.store(true, Relaxed);
        let thread = self.thread.take().expect("ended once");
        thread.join().unwrap()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
    }
}

fn run_feed(mut feed: ChildStdin, input: &[u8], ended: &AtomicBool) -> usize {
    let rate = input.len() as f64 / Transport::new(input).seconds();
    let began = Instant::now();
    let mut sent = 0;
    while sent < input.len() && !ended.load(Relaxed) {
        let due = ((HEAD_START + began.elapsed().as_secs_f64()) * rate) as usize;
        let due = (due - due % PACKET).min(input.len());
        if feed.write_all(&input[sent..due]).is_err() {
            return sent;
        }
        sent = due;
        thread::sleep(Duration::from_millis(20));
    }
    sent
}

/// Sets a flag when it goes.
struct EndOf<'a>(&'a AtomicBool);

impl Deref for EndOf<'_> {
    type Target = AtomicBool;

    fn deref(&self) -> &AtomicBool {
        self.0
    }
}

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.store(true, Relaxed);
    }
}

/// What a process takes, from now on until it ends.
#[derive(Debug)]
struct Cost {
    who: &'static str,
    process: u32,
    began: Instant,
    before: Duration,
    /// When it was looked at last, and the figures of then.
    last: Mutex<(Instant, Duration, u64)>,
}

impl Cost {
    fn of(who: &'static str, process: u32) -> Self {
        let began = Instant::now();
        let before = processor_time(process).expect("it runs");
        Self {
            who,
            process,
            began,
            before,
            last: Mutex::new((began, before, 0)),
        }
    }

    /// Looks now and then, since a viewer's process ends with its stream.
    fn watch(&self, field: &Field) {
        while field.goes_on()
            && let Some(time) = processor_time(self.process)
            && let Some(memory) = peak_memory(self.process)
        {
            *self.last.lock().unwrap() = (Instant::now(), time, memory);
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn judge(&self) {
        let Self { who, .. } = self;
        let (at, time, memory) = *self.last.lock().unwrap();
        let processor = (time - self.before).as_secs_f64() / (at - self.began).as_secs_f64();
        let kib = memory / 1024;
        println!("{who}: {kib} KiB at most, {processor:.2} of a processor");
        assert!((1..=MAX_MEMORY).contains(&memory), "{who} took {kib} KiB");
        assert!(
            processor <= MAX_PROCESSOR,
            "{who} took {processor:.2} of a processor"
        );
    }
}

/// The most memory that a process ever had, bytes (proc(5): VmHWM); none when it has ended.
fn peak_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line?.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The processor time that a process took so far (proc(5): utime and stime, in hundredths of a second).
fn processor_time(process: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the name in brackets, which may hold anything.
    let (_, after) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    Some(Duration::from_millis(ticks * 10))
}

/// Broadcasts a little in this folder; the proof of the END.
pub(crate) fn end_of_a_broadcast(folder: &Path) -> [u8; PROOF_LEN] {
    let mut source = Launch::new(&fed_sink(
        folder,
        "port=0 sync=false drain-timeout=60000000000",
    ));
    let port = source.port();
    let input = fs::read(fixture::file(TELEVISION)).unwrap();
    let mut feed = source.feed();
    feed.write_all(&input[..100 * PACKET]).unwrap();
    let info = Arc::new(metainfo(&folder.join("foo.tstream")).info);
    // One that is served and has not got the END keeps the source there.
    let mut peer =
        Peer::connect(port, info.infohash(), *b"-TE0001-sees the end", info.lap()).unwrap();
    peer.greet(None).unwrap();
    peer.send(id::INTERESTED, &[]).unwrap();
    peer.wait_for_unchoke().unwrap();
    drop(feed);
    loop {
        peer.receive().unwrap();
        if let Some(tip) = peer.tip
            && Header::parse(tip.first_chunk().unwrap())
                .flags
                .contains(Flags::END)
        {
            source.kill();
            return tip;
        }
    }
}
