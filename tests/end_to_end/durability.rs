// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whatever happens to a source and its files: numbers never repeat, and the swarm goes on.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{self, Write},
    path::Path,
    process::ChildStdin,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use gstlivetorrent::proto::{
    lap::Lap,
    metainfo::{Info, Infohash},
    restart::{BLOCK, Restart},
};

use crate::support::{
    PATIENCE,
    disk::Disk,
    fed_sink,
    fixture::numbered_packets,
    metainfo,
    peer::{Peer, id},
    pipeline::Pipeline,
    process::Launch,
    transport::PACKET,
};

/// How often a source is killed while it broadcasts, or is about to.
const KILLS: u32 = 200;
/// How often one is killed while it makes its first files.
const FIRST_KILLS: u32 = 100;
/// A source is killed in its start within so many times what a start took.
const LONGEST_START: f64 = 1.5;
/// Packets of one write, about a piece.
const PACKETS: u64 = 40;
/// Between two writes.
const WRITE_EVERY: Duration = Duration::from_millis(5);

/// One that calls the source over and over, and notes every number that is shown to it.
#[derive(Debug)]
struct Watcher {
    port: u16,
    infohash: Infohash,
    lap: Lap,
    shown: Mutex<BTreeSet<u64>>,
    over: AtomicBool,
}

impl Watcher {
    fn new(port: u16, info: &Info) -> Self {
        Self {
            port,
            infohash: info.infohash(),
            lap: info.lap(),
            shown: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    fn run(&self) {
        while !self.over.load(Relaxed) {
            // Nobody is there, or it was killed: the next one will be.
            let _ = self.look();
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn look(&self) -> io::Result<()> {
        let id = *b"-TE0001-looks around";
        let mut peer = Peer::connect(self.port, self.infohash, id, self.lap)?;
        let breath = Duration::from_millis(200);
        peer.socket().set_read_timeout(Some(breath))?;
        peer.greet(None)?;
        while !self.over.load(Relaxed) {
            let (id, payload) = peer.receive()?;
            let Some(tip) = peer.tip else { continue };
            let tip = u64::from_be_bytes(*tip.first_chunk().unwrap());
            self.shown.lock().unwrap().insert(tip);
            if id == id::HAVE {
                let index = u32::from_be_bytes(*payload.first_chunk().unwrap());
                self.shown.lock().unwrap().insert(self.after(tip, index));
            }
        }
        Ok(())
    }

    /// The first number of this index that is not before `tip`.
    fn after(&self, tip: u64, index: u32) -> u64 {
        let npieces = self.lap.npieces();
        tip + u64::from((index + npieces - self.lap.index(tip)) % npieces)
    }

    /// The numbers that were shown since the last call.
    fn take(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.shown.lock().unwrap())
    }

    /// Whether any number was shown since the last [`Self::take`].
    fn has_seen(&self) -> bool {
        !self.shown.lock().unwrap().is_empty()
    }
}

/// Packets, of which each is fed once, whatever becomes of who reads them.
#[derive(Debug, Default)]
struct Packets {
    next: u64,
}

impl Packets {
    /// Writes some until `enough` says so; whether somebody read them to then.
    fn feed(&mut self, feed: &mut ChildStdin, enough: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !enough() {
            assert!(Instant::now() < deadline, "the source never gets there");
            let packets = numbered_packets(self.next, PACKETS as usize);
            self.next += PACKETS;
            if feed.write_all(&packets).is_err() {
                return false;
            }
            thread::sleep(WRITE_EVERY);
        }
        true
    }

    /// Every packet of `output` is one of those fed, whole, in order and at most once; the last.
    fn judge(&self, output: &[u8]) -> u64 {
        let fed = numbered_packets(0, self.next as usize);
        let numbers: HashMap<_, _> = fed.chunks(PACKET).zip(0u64..).collect();
        let mut last = None;
        for packet in output.chunks(PACKET) {
            let number = numbers.get(packet).expect("a packet that was fed");
            assert!(last < Some(*number), "{number} after {last:?}");
            last = Some(*number);
        }
        last.expect("a packet")
    }
}

/// Where the next start is to begin.
fn restart_file(folder: &Path) -> Restart {
    Restart::parse(&fs::read(folder.join("foo.restart")).unwrap()).unwrap()
}

/// What stands in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn three_files() -> BTreeSet<String> {
    ["foo.restart", "foo.sauth", "foo.tstream"]
        .map(str::to_owned)
        .into()
}

fn unix_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

#[test]
fn two_hundred_kills_repeat_no_number_and_the_viewer_goes_on() {
    let mut moments = fastrand::Rng::with_seed(1);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let tstream = folder.join("foo.tstream");
    let mut packets = Packets::default();

    let began = Instant::now();
    let first = Launch::new(&fed_sink(folder, "port=0 sync=false"));
    let port = first.port();
    let start = began.elapsed();
    drop(first);
    let file = fs::read(&tstream).unwrap();
    let info = metainfo(&tstream).info;
    let again = fed_sink(folder, &format!("port={port} sync=false"));
    let watcher = Watcher::new(port, &info);
    let (viewer, output) = Pipeline::viewer(&format!("location={} latency=200", tstream.display()));
    viewer.play();

    let seen = thread::scope(|scope| {
        scope.spawn(|| watcher.run());
        let mut seen = 0;
        for kill in 0..=KILLS {
            let before = restart_file(folder);
            let mut source = Launch::new(&again);
            let mut feed = source.feed();
            if kill == KILLS {
                // The last one stays until the viewer shows what it sends.
                let length = output.len();
                assert!(packets.feed(&mut feed, || output.len() > length + 10 * PACKET));
                seen += watcher.take().len();
                break;
            }
            // In turn: at any moment of its start, and of its broadcast.
            if kill % 2 == 0 {
                thread::sleep(start.mul_f64(moments.f64() * LONGEST_START));
            } else {
                assert!(packets.feed(&mut feed, || watcher.has_seen()));
                let moment = Instant::now() + Duration::from_micros(moments.u64(0..60_000));
                packets.feed(&mut feed, || Instant::now() >= moment);
            }
            source.kill();
            let shown = watcher.take();
            let after = restart_file(folder);
            let own = before.next..after.next;
            assert!(
                shown.iter().all(|number| own.contains(number)),
                "{shown:?} of {own:?}"
            );
            assert!(before.time <= after.time);
            seen += shown.len();
        }
        watcher.over.store(true, Relaxed);
        seen
    });
    viewer.assert_no_error();
    let last = packets.judge(&output.bytes());
    println!("{seen} numbers were shown, and {last} packets fed before the last that was watched");
    assert!(seen >= KILLS as usize / 2);
    assert_eq!(
        fs::read(&tstream).unwrap(),
        file,
        "the file stays as it was"
    );
}

#[test]
fn a_source_killed_while_it_makes_its_files_can_be_started_again() {
    let mut moments = fastrand::Rng::with_seed(2);
    let began = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    Launch::new(&fed_sink(folder.path(), "port=0 sync=false")).port();
    let start = began.elapsed();
    let mut unfinished = 0;
    for _ in 0..FIRST_KILLS {
        let folder = tempfile::tempdir().unwrap();
        let words = fed_sink(folder.path(), "port=0 sync=false");
        let mut source = Launch::new(&words);
        thread::sleep(start.mul_f64(moments.f64() * LONGEST_START));
        source.kill();
        unfinished += usize::from(names(folder.path()) != three_files());
        let source = Launch::new(&words);
        source.port();
        assert_eq!(names(folder.path()), three_files());
    }
    println!("{unfinished} of {FIRST_KILLS} had not all three files");
    assert!(unfinished > 0, "none was killed early enough");
}

#[test]
fn a_full_disk_stops_no_broadcast_and_repeats_no_number() {
    let Some(disk) = Disk::mount() else { return };
    let folder = disk.seen_from_outside();
    let words = fed_sink(disk.path(), "port=0 sync=false drain-timeout=0");

    // No start, and nothing half made.
    disk.fill();
    let mut source = Launch::within(&disk, &words);
    assert!(!source.wait_for_exit().success());
    let errors = source.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(source.said().contains("No space left"), "{}", source.said());
    disk.empty();
    assert_eq!(names(&folder), BTreeSet::new());

    // Killed while the disk is full, and ended while it is.
    let mut packets = Packets::default();
    for ended in [false, true] {
        let mut source = Launch::within(&disk, &words);
        let port = source.port();
        let info = metainfo(&folder.join("foo.tstream")).info;
        let watcher = Watcher::new(port, &info);
        let first = restart_file(&folder).next - BLOCK;
        let shown = thread::scope(|scope| {
            scope.spawn(|| watcher.run());
            let mut feed = source.feed();
            disk.fill();
            // It says so when it would write the file again, and goes on.
            let warned = || source.said().contains("No space left");
            assert!(packets.feed(&mut feed, warned));
            let shown = watcher.take();
            assert!(packets.feed(&mut feed, || watcher.has_seen()));
            if ended {
                drop(feed);
                assert!(source.wait_for_exit().success());
            } else {
                source.kill();
            }
            watcher.over.store(true, Relaxed);
            &shown | &watcher.take()
        });
        let next = restart_file(&folder).next;
        assert!(shown.iter().all(|number| (first..next).contains(number)));
        disk.empty();
    }
}

#[test]
fn a_disk_that_is_read_only_is_one_clear_error() {
    let Some(disk) = Disk::mount() else { return };
    let folder = disk.seen_from_outside();
    let words = fed_sink(disk.path(), "port=0 sync=false drain-timeout=0");
    Launch::within(&disk, &words).port();
    let before = restart_file(&folder);
    disk.set_read_only(true);
    let mut source = Launch::within(&disk, &words);
    assert!(!source.wait_for_exit().success());
    let errors = source.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(
        errors[0].contains("foo.restart cannot be written"),
        "{}",
        source.said()
    );
    assert_eq!(restart_file(&folder), before);
    disk.set_read_only(false);
    Launch::within(&disk, &words).port();
    assert_eq!(restart_file(&folder).next, before.next + BLOCK);
}

#[test]
fn a_clock_that_was_set_back_an_hour_holds_nobody_up() {
    const HOUR: u64 = 3_600_000_000;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut packets = Packets::default();
    let mut source = Launch::new(&fed_sink(folder, "port=0 sync=false"));
    let port = source.port();
    let tstream = folder.join("foo.tstream");
    let properties = format!("location={} latency=300", tstream.display());
    let (stayed, stayed_output) = Pipeline::viewer(&properties);
    stayed.play();
    assert!(packets.feed(&mut source.feed(), || stayed_output.len() > 0));
    source.kill();

    // The same as a clock that is an hour late: the last piece was dated an hour ahead of it.
    let mut file = restart_file(folder);
    file.time = unix_micros() + HOUR;
    fs::write(folder.join("foo.restart"), file.to_text()).unwrap();
    let mut source = Launch::new(&fed_sink(folder, &format!("port={port} sync=false")));
    source.port();
    source.wait_for("warning", |line| {
        line.contains("after this machine's clock").then_some(())
    });
    let (new, new_output) = Pipeline::viewer(&properties);
    new.play();
    let begins = stayed_output.len();
    let fed = packets.next;
    assert!(packets.feed(&mut source.feed(), || {
        stayed_output.len() > begins + 200 * PACKET && new_output.len() > 200 * PACKET
    }));
    for (viewer, output) in [(&stayed, stayed_output), (&new, new_output)] {
        viewer.assert_no_error();
        assert!(packets.judge(&output.bytes()) > fed);
    }
    // The dates go on from there as time passes.
    source.kill();
    assert!(restart_file(folder).time >= file.time);
}

#[test]
fn two_sinks_with_one_key_are_told_apart_by_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let words = fed_sink(folder.path(), "port=0 sync=false");
    let mut first = Launch::new(&words);
    first.port();
    let before = restart_file(folder.path());
    let mut second = Launch::new(&words);
    assert!(!second.wait_for_exit().success());
    let errors = second.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    let key = folder.path().join("foo.sauth");
    let clear = format!("{} is in use by another livetorrentsink", key.display());
    assert!(errors[0].contains(&clear), "{}", errors[0]);
    assert_eq!(restart_file(folder.path()), before);
    // A lock does not outlive who held it.
    first.kill();
    Launch::new(&words).port();
}
