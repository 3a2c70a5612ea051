// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Addresses of nobody cost nothing: how long it takes to reach the one who is there.

use std::collections::VecDeque;

use super::*;

/// What the driver gives a call.
const DIAL_TIME: Duration = Duration::from_secs(2);
/// From a call to its answer by whoever is there.
const ROUND_TRIP: Duration = Duration::from_millis(100);

fn dead(number: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, number], 7764))
}

/// Lets time pass in steps of ten milliseconds until one of `good` is connected, while calls of
/// everybody else get no answer until they are given up; how long it took.
fn race(script: &mut Script, good: &[SocketAddr]) -> Duration {
    let began = script.now.at;
    let mut calls = VecDeque::new();
    loop {
        let called = std::mem::take(&mut script.dialled);
        calls.extend(called.into_iter().map(|address| (script.now.at, address)));
        let answer = |&&(at, address): &&(Instant, SocketAddr)| {
            good.contains(&address) && script.now.at.since(at) >= ROUND_TRIP
        };
        if let Some(&(_, address)) = calls.iter().find(answer) {
            script.input(Input::Connected {
                conn: ConnId(1),
                address,
                inbound: false,
                waited: Duration::ZERO,
            });
            return script.now.at.since(began);
        }
        while calls
            .front()
            .is_some_and(|&(at, _)| script.now.at.since(at) >= DIAL_TIME)
        {
            let (_, address) = calls.pop_front().unwrap();
            script.input(Input::DialFailed { address });
        }
        script.now.at = script.now.at + Duration::from_millis(10);
        script.input(Input::Timeout);
        assert!(script.now.at.since(began) < Duration::from_secs(60));
    }
}

fn heard(script: &mut Script, origin: Origin, addresses: Vec<SocketAddr>) {
    script.input(Input::Candidates { origin, addresses });
}

#[test]
fn fifty_dead_addresses_that_were_heard_of_before_cost_about_a_second() {
    for seed in 0..10 {
        let viewer = Role::Viewer {
            latency: Duration::ZERO,
        };
        let mut script = Script::with(viewer, |config| config.seed = seed);
        heard(&mut script, Origin::Tracker, (1..=50).map(dead).collect());
        heard(&mut script, Origin::Tracker, vec![address(1)]);
        let took = race(&mut script, &[address(1)]);
        // Four times twelve make way after a quarter of a second each.
        assert!(took <= Duration::from_millis(1200), "{took:?}");
    }
}

#[test]
fn whom_the_user_names_and_who_is_near_are_reached_at_once_beside_fifty_dead() {
    for origin in [Origin::Announce, Origin::Configured, Origin::Lan] {
        let mut script = Script::viewer();
        heard(&mut script, Origin::Tracker, (1..=50).map(dead).collect());
        heard(&mut script, origin, vec![address(1)]);
        let took = race(&mut script, &[address(1)]);
        let allowed = ROUND_TRIP + Duration::from_millis(260);
        assert!(took <= allowed, "{origin:?}: {took:?}");
    }
}

#[test]
fn who_gave_pieces_the_last_time_is_called_at_once_beside_fifty_dead() {
    let mut script = Script::viewer();
    heard(&mut script, Origin::Tracker, (1..=50).map(dead).collect());
    heard(&mut script, Origin::Known, vec![address(1)]);
    let took = race(&mut script, &[address(1)]);
    assert!(took <= ROUND_TRIP + Duration::from_millis(10), "{took:?}");
}

#[test]
fn dead_ones_of_the_last_time_keep_nobody_waiting() {
    let mut script = Script::viewer();
    heard(&mut script, Origin::Known, (1..=32).map(dead).collect());
    heard(&mut script, Origin::Tracker, vec![address(1)]);
    assert_eq!(script.dialled.len(), 13);
    assert_eq!(script.dialled.last(), Some(&address(1)));
    // All are tried once before any is tried again.
    script.pass(Duration::from_secs(1));
    assert_eq!(script.dialled.len(), 33);
}

#[test]
fn those_who_answer_late_are_no_more_neighbours_than_others() {
    let mut script = Script::viewer();
    heard(&mut script, Origin::Tracker, (1..=40).map(dead).collect());
    script.pass(Duration::from_secs(1));
    let called = std::mem::take(&mut script.dialled);
    assert_eq!(called.len(), 40);
    for (number, address) in (1..).zip(called) {
        script.input(Input::Connected {
            conn: ConnId(number),
            address,
            inbound: false,
            waited: Duration::ZERO,
        });
    }
    assert_eq!(script.swarm.peers.len(), 16);
    assert_eq!(script.hung_up.len(), 24);
}

#[test]
fn good_are_those_who_were_called_and_gave_pieces() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    heard(
        &mut script,
        Origin::Tracker,
        vec![address(1), address(2), address(3)],
    );
    let tip = Script::tip_of(&piece);
    script.meet_called(1, Live::default(), Message::HaveNone);
    let giver = script.meet_called(2, tip, Message::HaveNone);
    let have = script.have(&piece);
    script.say(giver, have);
    script.say(giver, Message::Unchoke);
    script.pass(Duration::from_millis(400));
    assert!(script.swarm.good_peers(script.now).is_empty());
    script.answer(giver, &piece);
    script.pass(Duration::from_secs(1));
    let good = script.swarm.good_peers(script.now);
    assert_eq!(good, [(address(2), Duration::from_secs(1))]);
}
