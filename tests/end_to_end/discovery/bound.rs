// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Who sets an address speaks from it, whomever it calls.

use std::{
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use super::Broadcast;
use crate::support::{PATIENCE, pipeline::Pipeline};

/// Of loopback, and not what a socket has that is not told.
const ADDRESS: &str = "127.0.0.77";

/// Waits until the element's peers all are at [`ADDRESS`], and there are some.
fn wait_for_peers_there(pipeline: &Pipeline, element: &str) {
    let there: IpAddr = ADDRESS.parse().unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let peers = pipeline.peers(element);
        let hosts = peers.iter().map(|peer| {
            let address: SocketAddr = peer.parse().unwrap();
            address.ip()
        });
        let hosts: Vec<_> = hosts.collect();
        if !hosts.is_empty() {
            assert!(hosts.iter().all(|host| *host == there), "{hosts:?}");
            return;
        }
        assert!(Instant::now() < deadline, "nobody calls");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_viewer_calls_from_the_address_that_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::start(folder.path(), "port=0 lsd=false");
    let (viewer, bytes) = Pipeline::viewer(&format!(
        "location={} lsd=false address={ADDRESS}",
        broadcast.location.display()
    ));
    viewer.play();
    bytes.wait_for(1);
    wait_for_peers_there(&broadcast.pipeline, "foo");
    // Its tracker was asked from there, too: that is where it tells others to find the viewer.
    let (other, bytes) = Pipeline::viewer(&format!(
        "location={} lsd=false pex=false address=127.0.0.78 upload-enabled=false",
        broadcast.location.display()
    ));
    other.play();
    bytes.wait_for(1);
    let viewer_at = format!("{ADDRESS}:{}", viewer.element_port("src"));
    other.wait_for_peer("src", &viewer_at);
}
