// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Trackers of others: opentracker and bittorrent-tracker, over HTTP and UDP, by IPv4 and IPv6.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use gst::prelude::*;

use super::{Broadcast, join};
use crate::support::{
    PATIENCE,
    capture::Capture,
    metainfo,
    pipeline::Pipeline,
    process::Launch,
    tools::{NpmTrackers, opentracker},
};

#[test]
fn a_viewer_finds_the_source_through_any_tracker_alone() {
    let folder = tempfile::tempdir().unwrap();
    // The stream has to be known before a tracker for it can be there.
    let before = Broadcast::start(folder.path(), "port=0");
    let stream = metainfo(&before.location).info.infohash();
    drop(before);
    let trackers = NpmTrackers::start();
    let npm = &trackers.urls;
    let (_opentracker, opentracker) = opentracker(stream);
    let told = [&npm[..], &opentracker].concat().join(",");
    let broadcast = Broadcast::start(folder.path(), &format!("port=0 trackers={told}"));
    for url in npm.iter().chain(&opentracker) {
        // bittorrent-tracker's answers over UDP hold addresses of IPv4 alone, whoever asks.
        if url.starts_with("udp://[") {
            continue;
        }
        assert_found(&broadcast, url, url);
    }
}

#[test]
fn a_source_is_known_to_a_tracker_that_it_told_over_udp_by_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let trackers = NpmTrackers::start();
    let [http, udp] = ["http://[::1]", "udp://[::1]"].map(|begin| trackers.url(begin));
    let broadcast = Broadcast::start(folder.path(), &format!("port=0 trackers={udp}"));
    assert_found(&broadcast, &http, &udp);
}

/// A viewer in a process of its own that finds the source by one tracker alone, and trusts the
/// certificate of that.
fn viewer_by(file: &Path, trackers: &NpmTrackers) -> (Launch, Capture) {
    // What one knows from the last time is the same for all: the broadcast's port is another each time.
    let (capture, sink) = Capture::remote();
    let source = format!("location={} lsd=false", file.display());
    let words: Vec<&str> = ["livetorrentsrc"]
        .into_iter()
        .chain(source.split(' '))
        .chain(["!"])
        .chain(sink.iter().map(|word| &**word))
        .collect();
    (Launch::trusting(&trackers.certificate(), &words), capture)
}

#[test]
fn a_viewer_that_ends_says_so_to_its_tracker_and_what_it_took() {
    let folder = tempfile::tempdir().unwrap();
    let trackers = NpmTrackers::start();
    for begin in ["http://127", "udp://127"] {
        let (broadcast, file) = known_to(&trackers, &trackers.url(begin), folder.path());
        let (mut viewer, bytes) = viewer_by(&file, &trackers);
        let start = trackers.event();
        let said: Vec<_> = start.split(' ').collect();
        assert_eq!((said[0], said[2], said[3]), ("start", "0", "0"), "{start}");
        bytes.wait_for(200_000);
        viewer.interrupt();
        assert!(viewer.wait_for_exit().success());
        let stop = trackers.event();
        let taken = stop.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        assert!(
            stop.starts_with(&format!("stop {} ", said[1])),
            "{begin}: {stop}"
        );
        assert!(taken > 0, "{begin}: {stop}");
        drop(broadcast);
        assert!(trackers.event().starts_with("stop "));
    }
}

#[test]
fn a_tracker_over_tls_is_asked_by_those_who_trust_it() {
    let folder = tempfile::tempdir().unwrap();
    let trackers = NpmTrackers::start();
    let (_broadcast, file) = known_to(&trackers, &trackers.https, folder.path());
    let (_viewer, bytes) = viewer_by(&file, &trackers);
    assert!(trackers.event().starts_with("start "));
    bytes.wait_for(1);
    // Nobody told this process of the certificate.
    let (other, _) = Pipeline::viewer(&format!(
        "location={} lsd=false peer-cache={}",
        file.display(),
        folder.path().join("cache").display()
    ));
    other.play();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats: gst::Structure = other.element("src").property("stats");
        let ways = stats
            .get::<gst::Array>("discovery")
            .unwrap()
            .iter()
            .map(|way| {
                let way = way.get::<gst::Structure>().unwrap();
                (
                    way.get::<String>("name").unwrap(),
                    way.get::<String>("outcome").unwrap(),
                )
            })
            .collect::<Vec<_>>();
        let of_it = ways
            .iter()
            .find(|(name, _)| name.ends_with(&trackers.https));
        if let Some((_, outcome)) = of_it {
            assert!(outcome.contains("certificate"), "{outcome}");
            break;
        }
        assert!(Instant::now() < deadline, "{ways:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A broadcast that is known to one of the trackers, and a file of it that names this URL alone.
fn known_to(trackers: &NpmTrackers, url: &str, folder: &Path) -> (Broadcast, PathBuf) {
    let told = format!("port=0 trackers={}", trackers.url("http://127"));
    let broadcast = Broadcast::start(folder, &told);
    assert!(trackers.event().starts_with("start "));
    let file = broadcast.file("one.tstream", |metainfo| {
        metainfo.trackers = vec![vec![url.to_owned()]];
    });
    (broadcast, file)
}

/// A viewer who knows one tracker watches, from the source at its address of the tracker's family.
fn assert_found(broadcast: &Broadcast, asked: &str, told: &str) {
    let file = broadcast.file("one.tstream", |metainfo| {
        metainfo.trackers = vec![vec![asked.to_owned()]];
    });
    let joined = join(&file, "");
    println!(
        "{asked} (the source told {told}): first peer after {:?}, first byte after {:?}",
        joined.peer, joined.byte
    );
    let host = match asked.contains("[::1]") {
        true => "[::1]",
        false => "127.0.0.1",
    };
    let source: SocketAddr = format!("{host}:{}", broadcast.port()).parse().unwrap();
    assert_eq!(joined.address, source, "{asked}");
}
