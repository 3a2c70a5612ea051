// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A source that goes away and comes back: what viewers say, what they keep, how soon they show it.

use std::time::Duration;

use gstlivetorrent::proto::swarm::{Event, Status};

use super::network::Network;

const MBIT: f64 = 1e6;
const LATENCY: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(20);
const RATE: u64 = 20;
/// From the first random access point of a source that came back to the first byte of it shown: the
/// latency, and as much again for finding the source.
const AGAIN: Duration = Duration::from_secs(2);
/// How long an outage lasts: a short one, one that is noticed, one that outlasts connections.
const OUTAGES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(20),
    Duration::from_secs(300),
];

/// Everybody knows the source, and the last few who came before.
fn audience(seed: u64, count: usize) -> Network {
    let mut network = Network::new(seed, 512, 40.0 * MBIT, DELAY);
    network.broadcast(2, RATE);
    let mut viewers = Vec::new();
    for _ in 0..count {
        let known: Vec<_> = viewers.iter().rev().take(8).copied().collect();
        viewers.push(network.join(LATENCY, 20.0 * MBIT, &known));
    }
    network.broadcast(10, RATE);
    for &viewer in &viewers {
        assert_eq!(statuses(&network, viewer, 0).last(), Some(&Status::Playing));
    }
    network
}

/// The changes of status of a viewer after the first `since` events.
fn statuses(network: &Network, viewer: usize, since: usize) -> Vec<Status> {
    let events = network.hosts[viewer].events[since..].iter();
    events
        .filter_map(|event| match event {
            Event::Status(status) => Some(*status),
            _ => None,
        })
        .collect()
}

/// How long after the source's piece `first` each viewer showed it or the first after it.
fn shown_after(network: &Network, first: usize) -> Vec<Duration> {
    let sequence = network.published[first].sequence();
    let began = network.published_at[first];
    network.hosts[1..]
        .iter()
        .map(|host| {
            let found = host
                .deliveries
                .iter()
                .find(|(_, delivery)| delivery.sequence >= sequence);
            let (at, delivery) = found.expect("the new start is shown");
            assert_eq!(delivery.sequence, sequence, "from its first piece on");
            assert!(delivery.discont, "a START counts as a hole");
            assert_eq!(&delivery.preamble[..], b"preamble");
            at.since(began)
        })
        .collect()
}

#[test]
fn the_picture_is_back_within_two_seconds_of_the_source() {
    // Many for long would take long here, too. Who finds the source first, and when, is chance: among many
    // it is the median of a few that counts.
    for (seeds, count, outages) in [
        (1..=1, 1, &OUTAGES[..]),
        (2..=2, 3, &OUTAGES),
        (3..=5, 16, &OUTAGES[1..2]),
        (6..=8, 40, &OUTAGES[..2]),
    ] {
        for &outage in outages {
            let mut longest: Vec<_> = seeds
                .clone()
                .map(|seed| again(seed, count, outage))
                .collect();
            longest.sort_unstable();
            println!("{count} viewers, away for {outage:?}: picture after {longest:?} at most");
            assert!(longest[longest.len() / 2] <= AGAIN, "{longest:?}");
        }
    }
}

/// How long after the source came back the last of so many viewers shows its first piece.
fn again(seed: u64, count: usize, outage: Duration) -> Duration {
    let mut network = audience(seed, count);
    let events: Vec<_> = network.hosts.iter().map(|host| host.events.len()).collect();
    network.kill(0);
    network.run(outage);
    for (viewer, &events) in events.iter().enumerate().skip(1) {
        let seen = statuses(&network, viewer, events);
        let expected: &[Status] = if outage < Duration::from_secs(3) {
            &[]
        } else {
            &[Status::Stalled, Status::SourceAway]
        };
        assert_eq!(seen, expected, "viewer {viewer} of {count}");
    }
    network.restart_source(40.0 * MBIT);
    let first = network.published.len();
    network.broadcast(8, RATE);
    network.run(2 * LATENCY);
    for viewer in 1..=count {
        let events = &network.hosts[viewer].events;
        assert!(events.contains(&Event::SourceAway) || outage < Duration::from_secs(3));
        assert_eq!(statuses(&network, viewer, 0).last(), Some(&Status::Playing));
    }
    let shown = shown_after(&network, first);
    shown.into_iter().max().unwrap_or_default()
}

#[test]
fn a_source_that_comes_back_elsewhere_is_found_through_the_tracker() {
    for (seed, count) in [(6, 1), (7, 16)] {
        let mut network = audience(seed, count);
        network.kill(0);
        network.run(Duration::from_secs(20));
        network.move_source();
        network.restart_source(40.0 * MBIT);
        let first = network.published.len();
        network.broadcast(1, RATE);
        // One of them happens to ask first; it has peers enough, and looks all the same.
        network.tracker_tells(1, &[0]);
        let told = network.now;
        network.broadcast(8, RATE);
        network.run(2 * LATENCY);
        let told = told.since(network.published_at[first]);
        let again = shown_after(&network, first);
        let longest = again.iter().max().copied().unwrap_or_default();
        println!(
            "{count} viewers: picture {:?} after the tracker's word",
            longest - told
        );
        assert!(longest <= told + AGAIN, "{again:?}");
    }
}

#[test]
fn neighbours_and_what_they_announced_outlast_five_minutes_without_the_source() {
    let count = 16;
    let mut network = audience(5, count);
    network.kill(0);
    network.run(Duration::from_secs(4));
    let known = |network: &Network| -> Vec<u64> {
        (1..=count)
            .map(|viewer| network.stats(viewer).peers_connected)
            .collect()
    };
    let before = known(&network);
    let (tips, floors): (Vec<_>, Vec<_>) = (1..=count)
        .map(|viewer| network.stats(viewer))
        .map(|stats| (stats.tip, stats.floor))
        .unzip();
    network.run(Duration::from_secs(300));
    let after = known(&network);
    for viewer in 1..=count {
        let stats = network.stats(viewer);
        assert!(
            after[viewer - 1] >= before[viewer - 1],
            "{before:?} {after:?}"
        );
        assert_eq!(
            (stats.tip, stats.floor),
            (tips[viewer - 1], floors[viewer - 1])
        );
        assert_eq!(stats.peers_banned, 0, "silence is no lie");
    }
    // A newcomer finds what is still held, though nobody makes any more.
    let tip = tips[0].expect("there was a broadcast");
    let late = network.join_behind(LATENCY, 20.0 * MBIT, &[1, 2]);
    network.run(Duration::from_secs(10));
    let last = network.hosts[late].deliveries.last();
    assert_eq!(last.map(|(_, delivery)| delivery.sequence), Some(tip));
}
