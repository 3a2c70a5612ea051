// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The DHT, of libtorrent's nodes.

use std::net::{IpAddr, SocketAddr};

use super::{Broadcast, join};
use crate::support::{
    metainfo,
    tools::{LibtorrentDht, free_port},
};

const NODES: usize = 6;

fn finds_the_source_at(address: &str) {
    let address: IpAddr = address.parse().unwrap();
    let mut dht = LibtorrentDht::start(address, NODES);
    let begin_at: Vec<_> = dht.nodes().take(2).map(|node| node.to_string()).collect();
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let properties = format!("port={port} dht-nodes={}", begin_at.join(","));
    let broadcast = Broadcast::start(folder.path(), &properties);
    // Another node to begin with than the source had.
    let file = broadcast.file("dht.tstream", |metainfo| {
        assert_eq!(metainfo.nodes.len(), 2);
        let other = dht.nodes().last().unwrap();
        metainfo.nodes = vec![(other.ip().to_string(), other.port())];
    });
    let joined = join(&file, "");
    println!(
        "DHT at {address}: first peer after {:?}, first byte after {:?}",
        joined.peer, joined.byte
    );
    let source = SocketAddr::new(address, port);
    assert_eq!(joined.address, source);
    // The other way round: one of libtorrent's learns it through our node.
    let stream = metainfo(&broadcast.location).info.infohash();
    let found = dht.peers_of(stream, port, port);
    assert!(found.contains(&source), "{source} is not among {found:?}");
}

#[test]
fn a_viewer_finds_the_source_through_libtorrents_dht_alone() {
    finds_the_source_at("127.0.0.1");
}

#[test]
fn a_viewer_finds_the_source_through_libtorrents_dht_by_ipv6() {
    finds_the_source_at("::1");
}
