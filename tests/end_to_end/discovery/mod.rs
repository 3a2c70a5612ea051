// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! How viewers find a broadcast, each way alone, through the programs of others.

mod bound;
mod dht;
mod known;
mod nobody;
mod trackers;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::mpsc,
    time::{Duration, Instant},
};

use gst::prelude::*;
use gstlivetorrent::proto::metainfo::Metainfo;

use crate::support::{PATIENCE, metainfo, pipeline::Pipeline};

/// A broadcast as `foo` in a folder.
#[derive(Debug)]
struct Broadcast {
    pipeline: Pipeline,
    location: PathBuf,
}

impl Broadcast {
    fn start(folder: &Path, properties: &str) -> Self {
        let location = folder.join("foo.tstream");
        let pipeline = Pipeline::new(&format!(
            "videotestsrc is-live=true ! video/x-raw,width=160,height=120,framerate=25/1 \
             ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=400 key-int-max=10 \
             ! video/x-h264,profile=baseline ! mpegtsmux \
             ! livetorrentsink name=foo location={} public-address=127.0.0.1 {properties}",
            location.display()
        ));
        pipeline.play();
        pipeline.wait_for_message("livetorrent-ready");
        Self { pipeline, location }
    }

    fn port(&self) -> u16 {
        self.pipeline.element_port("foo")
    }

    /// A file of the same stream that names no tracker but what `change` does.
    fn file(&self, name: &str, change: impl FnOnce(&mut Metainfo)) -> PathBuf {
        let mut changed = metainfo(&self.location);
        changed.trackers.clear();
        change(&mut changed);
        let file = self.location.with_file_name(name);
        fs::write(&file, changed.to_bytes()).unwrap();
        file
    }
}

/// How long after PLAYING a viewer had its first peer, and its first byte.
#[derive(Debug)]
struct Joined {
    peer: Duration,
    address: SocketAddr,
    byte: Duration,
}

/// Watches a file until bytes come.
fn join(file: &Path, properties: &str) -> Joined {
    let viewer = Pipeline::new(&format!(
        "livetorrentsrc name=src location={} {properties} ! fakesink async=false",
        file.display()
    ));
    let src = viewer.element("src");
    let (tell_peer, peers) = mpsc::channel();
    src.connect("peer-added", false, move |values| {
        let address: String = values[2].get().unwrap();
        // Only the first is waited for.
        let _ = tell_peer.send((Instant::now(), address));
        None
    });
    let (tell_byte, bytes) = mpsc::channel();
    let pad = src.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let _ = tell_byte.send(Instant::now());
        gst::PadProbeReturn::Remove
    });
    let began = Instant::now();
    viewer.play();
    let (peer, address) = peers.recv_timeout(PATIENCE).expect("a peer");
    let byte = bytes.recv_timeout(PATIENCE).expect("a byte");
    viewer.assert_no_error();
    Joined {
        peer: peer - began,
        address: address.parse().unwrap(),
        byte: byte - began,
    }
}
