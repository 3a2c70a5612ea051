// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Trackers of others: opentracker and bittorrent-tracker, over HTTP and UDP, by IPv4 and IPv6.

use std::net::SocketAddr;

use super::{Broadcast, join};
use crate::support::{
    metainfo,
    tools::{npm_trackers, opentracker},
};

#[test]
fn a_viewer_finds_the_source_through_any_tracker_alone() {
    let folder = tempfile::tempdir().unwrap();
    // The stream has to be known before a tracker for it can be there.
    let before = Broadcast::start(folder.path(), "port=0");
    let stream = metainfo(&before.location).info.infohash();
    drop(before);
    let (_npm, npm) = npm_trackers();
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
    let (_npm, npm) = npm_trackers();
    let [http, udp] = ["http://[::1]", "udp://[::1]"]
        .map(|begin| npm.iter().find(|url| url.starts_with(begin)).unwrap());
    let broadcast = Broadcast::start(folder.path(), &format!("port=0 trackers={udp}"));
    assert_found(&broadcast, http, udp);
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
