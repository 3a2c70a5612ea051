// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Viewers who know somebody: from the file, from the link, from each other and from the last time.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use gst::prelude::*;
use gstlivetorrent::proto::uri;

use super::{Broadcast, Joined, join};
use crate::support::{PATIENCE, metainfo, pipeline::Pipeline};

/// The file in a folder that holds `part`, once there is one.
fn wait_for_file(folder: &Path, part: &str) -> PathBuf {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .find(|file| fs::read_to_string(file).is_ok_and(|text| text.contains(part)));
        if let Some(file) = file {
            return file;
        }
        assert!(Instant::now() < deadline, "no {part} is kept");
        thread::sleep(Duration::from_millis(20));
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn print(way: &str, joined: &Joined) {
    println!(
        "{way}: first peer after {:?}, first byte after {:?}",
        joined.peer, joined.byte
    );
}

#[test]
fn a_viewer_finds_at_its_second_start_whom_it_knew_among_many_who_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::start(folder.path(), "port=0 lsd=false");
    let cache = folder.path().join("cache");
    let properties = format!("lsd=false peer-cache={}", cache.display());
    let (first, bytes) = Pipeline::viewer(&format!(
        "location={} {properties}",
        broadcast.location.display()
    ));
    first.play();
    bytes.wait_for(200_000);
    drop(first);
    let source = local(broadcast.port());
    let kept = wait_for_file(&cache, &source.to_string());
    // Later ones who left since; nobody answers at these addresses of loopback, some refuse.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut text = fs::read_to_string(&kept).unwrap();
    let head = text.find('\n').unwrap() + 1;
    let gone: String = (1..=20)
        .map(|host| format!("{} 127.9.9.{host}:1\n", now.as_secs()))
        .collect();
    text.insert_str(head, &gone);
    fs::write(&kept, text).unwrap();
    // Nothing but the memory of the last time leads to anybody.
    let file = broadcast.file("again.tstream", |_| {});
    let joined = join(&file, &properties);
    print("cached peer", &joined);
    assert_eq!(joined.address, source);
}

#[test]
fn a_viewer_finds_the_source_at_its_own_announce_url() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::start(folder.path(), "port=0 lsd=false");
    let joined = join(&broadcast.location, "lsd=false");
    print("the source's announce URL", &joined);
    assert_eq!(joined.address, local(broadcast.port()));
}

#[test]
fn a_link_leads_to_the_peers_that_it_names_and_they_to_the_source() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::start(folder.path(), "port=0 lsd=false");
    let (relay, bytes) = Pipeline::viewer(&format!(
        "location={} lsd=false address=127.0.0.1",
        broadcast.location.display()
    ));
    relay.play();
    bytes.wait_for(1);
    let relay_at = local(relay.element_port("src"));
    let mut known = metainfo(&broadcast.location);
    known.trackers.clear();
    known.peers = vec![relay_at.to_string()];
    let (viewer, bytes) =
        Pipeline::viewer(&format!("location=\"{}\" lsd=false", uri::format(&known)));
    let (tell, peers) = mpsc::channel();
    viewer
        .element("src")
        .connect("peer-added", false, move |values| {
            let address: String = values[2].get().unwrap();
            // The test may have heard enough.
            let _ = tell.send((Instant::now(), address));
            None
        });
    let began = Instant::now();
    viewer.play();
    let (at, first) = peers.recv_timeout(PATIENCE).expect("a peer");
    assert_eq!(first, relay_at.to_string());
    bytes.wait_for(1);
    println!(
        "a link's peer: first peer after {:?}, first byte after {:?}",
        at - began,
        began.elapsed()
    );
    // Peer exchange (BEP 11) tells of the source in its next message.
    let (at, second) = peers.recv_timeout(PATIENCE).expect("the source");
    assert_eq!(second, local(broadcast.port()).to_string());
    println!("peer exchange: the source after {:?}", at - began);
    // Who comes is told of others after a few seconds, and again each minute.
    assert!(at - began < Duration::from_secs(30));
    // The relay goes, and what comes from now on comes from whom it told of.
    drop(relay);
    let left = Instant::now();
    let had = bytes.len();
    bytes.wait_for(had + 20_000);
    println!("peer exchange: its bytes {:?} later", left.elapsed());
    let stats: gst::Structure = viewer.element("src").property("stats");
    let ways = stats.get::<gst::Array>("discovery").unwrap();
    let outcome_of = |name: &str| {
        let mut ways = ways.iter().map(|way| way.get::<gst::Structure>().unwrap());
        let way = ways.find(|way| way.get::<&str>("name") == Ok(name));
        way.unwrap_or_else(|| panic!("{name}: {stats}"))
            .get::<String>("outcome")
            .unwrap()
    };
    assert_eq!(
        outcome_of("peer exchange"),
        format!("{relay_at} told of 1 peers")
    );
    let gone = outcome_of(&format!("peer {relay_at}"));
    assert!(gone.starts_with(&relay_at.to_string()), "{gone}");
}
