// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A viewer whose connections break all the time.

use std::time::Duration;

use gstlivetorrent::proto::swarm::{Event, Input, Playback};

use super::{DELAY, MBIT, network::Network};

const LATENCY: Duration = Duration::from_secs(2);
/// Pieces in a second; with 16 000 bytes each that is 2.56 Mbit/s.
const RATE: u64 = 20;
const BITRATE: f64 = RATE as f64 * 16_000.0 * 8.0;

/// Of a viewer's connections 5 % are cut every second, and its link has twice the bitrate.
fn watch(seed: u64, max_rate_change: f64) {
    let mut network = Network::new(seed, 1024, 12.0 * MBIT, DELAY);
    network.broadcast(2, RATE);
    let others: Vec<_> = (0..6)
        .map(|_| network.join(Duration::from_secs(1), 2.0 * BITRATE, &[]))
        .collect();
    network.broadcast(3, RATE);
    let viewer = network.join(LATENCY, 2.0 * BITRATE, &others);
    network.hosts[viewer].downlink = 2.0 * BITRATE;
    let playback = Playback {
        latency: LATENCY,
        max_rate_change,
        ..Playback::default()
    };
    network.input(viewer, Input::SetPlayback(playback));
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..40 {
        network.broadcast(1, RATE);
        network.cut(viewer, 0.05, &mut rng);
    }
    let stats = network.stats(viewer);
    let cuts = network.hosts[viewer]
        .events
        .iter()
        .filter(|event| matches!(event, Event::PeerRemoved { .. }))
        .count();
    println!(
        "seed {seed}: {cuts} connections lost, {} pieces skipped, {:?} behind",
        stats.pieces_skipped, stats.live_distance
    );
    assert!(cuts > 5);
    assert_eq!(stats.stalls, 0);
    assert_eq!(stats.pieces_skipped, 0);
    let first = network.first_delivered(viewer);
    let shown = network.output(viewer);
    assert!(network.payload_from(first).starts_with(&shown));
    assert!(stats.live_distance < LATENCY + Duration::from_millis(200));
}

#[test]
fn a_viewer_whose_connections_are_cut_shows_everything() {
    for (seed, max_rate_change) in [(1, 0.05), (2, 0.05), (3, 0.0)] {
        watch(seed, max_rate_change);
    }
}
