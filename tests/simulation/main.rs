// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Claims about the swarm, each a scenario in virtual time with a seed and a printed figure.

mod cuts;
mod model;
mod network;
mod outage;
mod scenarios;

use std::time::Duration;

use gstlivetorrent::proto::{
    piece::Flags,
    swarm::{Event, Input, Status},
};
use network::Network;

const MBIT: f64 = 1e6;
const LATENCY: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(20);

#[test]
fn a_viewer_shows_the_stream_byte_for_byte_from_a_random_access_point_on() {
    let mut network = Network::new(1, 256, 20.0 * MBIT, DELAY);
    network.broadcast(2, 20);
    let viewer = network.join(LATENCY, 20.0 * MBIT, &[]);
    network.broadcast(60, 20);
    network.run(Duration::from_secs(2));
    let first = network.first_delivered(viewer);
    assert_eq!(first % 20, 0, "starts at a random access point");
    assert!(first <= 40, "starts near the tip: {first}");
    assert_eq!(network.output(viewer), network.payload_from(first));
    let deliveries = &network.hosts[viewer].deliveries;
    assert_eq!(&deliveries[0].1.preamble[..], b"preamble");
    assert!(deliveries[0].1.discont);
    assert!(
        deliveries[1..]
            .iter()
            .all(|(_, d)| !d.discont && d.preamble.is_empty())
    );
    let join = network.stats(viewer).join_time.unwrap();
    println!("join time {join:?}, laps {}", 62 * 20 / 256);
    assert!(join <= LATENCY + Duration::from_millis(300));
}

#[test]
fn a_chain_of_viewers_relays_the_stream() {
    let mut network = Network::new(2, 512, 20.0 * MBIT, DELAY);
    network.broadcast(2, 20);
    let relay = network.join(LATENCY, 40.0 * MBIT, &[]);
    let chained = [0; 2].map(|_| network.join_behind(LATENCY, 20.0 * MBIT, &[relay]));
    network.broadcast(20, 20);
    network.run(Duration::from_secs(2));
    for viewer in chained {
        let first = network.first_delivered(viewer);
        assert_eq!(network.output(viewer), network.payload_from(first));
        assert_eq!(network.stats(viewer).pieces_skipped, 0);
    }
}

#[test]
fn thirty_viewers_miss_nothing_while_the_source_uploads_a_few_copies() {
    let mut network = Network::new(3, 1024, 25.0 * MBIT, DELAY);
    network.broadcast(2, 20);
    let mut viewers = Vec::new();
    for _ in 0..30 {
        let known: Vec<_> = viewers.iter().rev().take(8).copied().collect();
        viewers.push(network.join(Duration::from_millis(1500), 8.0 * MBIT, &known));
        network.run(Duration::from_millis(50));
    }
    network.broadcast(30, 20);
    network.run(Duration::from_secs(3));
    let due = 30 * 20;
    let delivered: usize = viewers
        .iter()
        .map(|&viewer| {
            let from = network.published[40].sequence();
            let of = &network.hosts[viewer].deliveries;
            of.iter().filter(|(_, d)| d.sequence >= from).count()
        })
        .sum();
    let continuity = delivered as f64 / (due * viewers.len()) as f64;
    let source = network.stats(0).bytes_uploaded as f64 / (32.0 * 20.0 * 16_096.0);
    println!("continuity {continuity:.5}, source upload {source:.2} copies");
    assert!(continuity >= 0.999);
}

#[test]
fn end_becomes_eos_after_the_last_byte_and_only_when_nothing_follows() {
    let mut network = Network::new(4, 256, 20.0 * MBIT, DELAY);
    network.broadcast(2, 20);
    let viewer = network.join(LATENCY, 20.0 * MBIT, &[]);
    network.broadcast(3, 20);
    network.publish(500, Flags::END);
    network.run(Duration::from_millis(1500));
    assert!(network.hosts[0].events.contains(&Event::Drained));
    assert!(!network.hosts[viewer].events.contains(&Event::Ended));
    network.run(Duration::from_secs(2));
    let first = network.first_delivered(viewer);
    assert_eq!(network.output(viewer), network.payload_from(first));
    assert!(network.hosts[viewer].events.contains(&Event::Ended));
    assert!(!network.hosts[viewer].events.contains(&Event::SourceAway));
    let late = network.join(LATENCY, 20.0 * MBIT, &[viewer]);
    network.run(Duration::from_secs(20));
    assert!(
        network.hosts[late].deliveries.is_empty(),
        "who finds only an END waits"
    );
}

#[test]
fn a_viewer_goes_on_when_the_source_comes_back_under_higher_numbers() {
    let mut network = Network::new(5, 256, 20.0 * MBIT, DELAY);
    network.broadcast(2, 20);
    let viewer = network.join(LATENCY, 20.0 * MBIT, &[]);
    network.broadcast(4, 20);
    network.kill(0);
    network.run(Duration::from_secs(20));
    let statuses = |network: &Network| -> Vec<_> {
        let events = network.hosts[viewer].events.iter();
        events
            .filter_map(|event| match event {
                Event::Status(status) => Some(*status),
                _ => None,
            })
            .collect()
    };
    assert_eq!(statuses(&network).last(), Some(&Status::SourceAway));
    let before = network.published.len();
    let shown = network.output(viewer).len();
    network.restart_source(20.0 * MBIT);
    let restarted = network.now;
    network.broadcast(10, 20);
    network.run(Duration::from_secs(2));
    assert_eq!(statuses(&network).last(), Some(&Status::Playing));
    let output = network.output(viewer);
    assert_eq!(output[shown..], network.payload_from(before));
    let again = network.hosts[viewer]
        .deliveries
        .iter()
        .find(|(_, d)| d.sequence == network.published[before].sequence())
        .expect("the new start is shown from its first piece on");
    assert!(again.1.discont, "a START counts as a hole");
    assert_eq!(&again.1.preamble[..], b"preamble");
    println!(
        "picture again {:?} after the source",
        again.0.since(restarted)
    );
}

#[test]
fn a_missing_piece_is_waited_for_until_its_time_and_then_skipped() {
    let mut network = Network::new(6, 256, 20.0 * MBIT, DELAY);
    network.broadcast(2, 20);
    let relay = network.join(LATENCY, 20.0 * MBIT, &[]);
    let viewer = network.join_behind(Duration::from_secs(2), 20.0 * MBIT, &[relay]);
    network.broadcast(4, 20);
    // The relay dies with what it alone had; four seconds later the viewer finds another.
    network.kill(relay);
    network.broadcast(4, 20);
    let other = network.join(LATENCY, 20.0 * MBIT, &[]);
    network.meet(viewer, &[other]);
    network.broadcast(6, 20);
    network.run(Duration::from_secs(3));
    let stats = network.stats(viewer);
    let skipped: u64 = network.hosts[viewer]
        .events
        .iter()
        .map(|event| match event {
            Event::Skipped { pieces, .. } => *pieces,
            _ => 0,
        })
        .sum();
    println!("skipped {skipped} pieces");
    assert_eq!(stats.pieces_skipped, skipped);
    assert!(skipped > 0);
    let last = network.published.last().unwrap().sequence();
    let deliveries = &network.hosts[viewer].deliveries;
    assert_eq!(deliveries.last().unwrap().1.sequence, last);
    let increasing = deliveries
        .windows(2)
        .all(|w| w[0].1.sequence < w[1].1.sequence);
    assert!(increasing, "in order, each at most once");
}

#[test]
fn a_fast_stream_with_the_smallest_lap_is_relayed_without_a_gap() {
    let mut network = Network::new(7, 256, 200.0 * MBIT, DELAY);
    network.broadcast(1, 80);
    let latency = Duration::from_millis(500);
    let relay = network.join(latency, 200.0 * MBIT, &[]);
    let next = network.join_behind(latency, 200.0 * MBIT, &[relay]);
    let last = network.join_behind(latency, 200.0 * MBIT, &[next]);
    network.broadcast(12, 80);
    network.run(Duration::from_secs(2));
    for viewer in [relay, next, last] {
        let first = network.first_delivered(viewer);
        let stats = network.stats(viewer);
        assert_eq!(stats.pieces_skipped, 0);
        assert_eq!(network.output(viewer), network.payload_from(first));
        assert_eq!(stats.peers_banned, 0);
    }
}

#[test]
fn a_viewer_that_was_paused_for_laps_goes_on() {
    let mut network = Network::new(8, 256, 100.0 * MBIT, DELAY);
    network.broadcast(1, 50);
    let relay = network.join(LATENCY, 100.0 * MBIT, &[]);
    let viewer = network.join_paused(LATENCY, 100.0 * MBIT, &[relay]);
    network.broadcast(20, 50);
    assert!(network.hosts[viewer].deliveries.is_empty());
    network.input(viewer, Input::Room(100_000));
    network.broadcast(5, 50);
    network.run(Duration::from_secs(2));
    let first = network.first_delivered(viewer);
    assert_eq!(network.output(viewer), network.payload_from(first));
}

#[test]
fn a_restart_within_two_seconds_of_the_end_is_no_end() {
    for pause in [0, 1000].map(Duration::from_millis) {
        let mut network = Network::new(9, 1024, 20.0 * MBIT, DELAY);
        network.broadcast(2, 20);
        let viewer = network.join(LATENCY, 20.0 * MBIT, &[]);
        network.broadcast(5, 20);
        network.publish(500, Flags::END);
        network.run(Duration::from_millis(200));
        network.kill(0);
        network.run(pause);
        network.restart_source(20.0 * MBIT);
        network.broadcast(10, 20);
        network.run(Duration::from_secs(2));
        let events = &network.hosts[viewer].events;
        assert!(!events.contains(&Event::Ended), "{pause:?}");
        assert!(!events.contains(&Event::SourceAway), "{pause:?}");
        let first = network.first_delivered(viewer);
        assert_eq!(network.output(viewer), network.payload_from(first));
    }
}
