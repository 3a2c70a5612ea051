// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Drives what a swarm remembers to its limits: `docs/bounds.md` names a test of this file for each.

use super::*;
use proto::request::Request;

/// Half of the lap: what the window holds.
const WINDOW: usize = NPIECES as usize / 2;

fn anybody(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([198, 51, high, low], 7764))
}

/// Publishes so many pieces, which a peer asks for as they come.
fn watched(script: &mut Script, conn: ConnId, pieces: usize) {
    for _ in 0..pieces {
        let piece = script.publish(100);
        script.ask(conn, piece.sequence());
        script.pass(Duration::from_millis(20));
    }
}

#[test]
fn callers_who_do_not_greet_are_sixty_four() {
    let mut script = Script::new(Role::Source);
    for number in 0..500 {
        script.input(Input::Connected {
            conn: ConnId(u64::from(number)),
            address: anybody(number),
            inbound: true,
            waited: Duration::ZERO,
        });
        assert!(script.swarm.peers.len() <= 64);
    }
    assert_eq!(script.swarm.peers.len(), 64);
    let newest = ConnId(499);
    assert!(script.swarm.peers.contains_key(&newest), "the oldest goes");
}

#[test]
fn an_address_has_four_connections_and_an_ipv6_network_is_one() {
    let mut script = Script::new(Role::Source);
    for number in 0..10 {
        script.call(ConnId(number), 1);
    }
    assert_eq!(script.swarm.peers.len(), 4);
    for number in 10..20u16 {
        let ip = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, number);
        script.input(Input::Connected {
            conn: ConnId(u64::from(number)),
            address: SocketAddr::from((ip, 7764)),
            inbound: true,
            waited: Duration::ZERO,
        });
    }
    assert_eq!(script.swarm.peers.len(), 8);
}

#[test]
fn a_source_has_as_many_peers_as_it_is_set_to() {
    let mut script = Script::with(Role::Source, |config| config.max_peers = 10);
    for number in 1..200 {
        script.meet(number, Live::default(), Message::HaveNone);
        assert!(script.swarm.peers.len() <= 10);
    }
    assert_eq!(script.swarm.peers.len(), 10);
}

#[test]
fn who_does_not_take_in_256_kib_is_let_go() {
    const MOST: usize = 256 * 1024;
    let mut script = Script::new(Role::Source);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.held_up.push(conn);
    // All but what one HAVE after the other makes more of.
    script.swarm.peers.get_mut(&conn).unwrap().unsent = MOST - 1000;
    script.publish(100);
    script.pass(Duration::from_millis(500));
    assert_eq!(script.hung_up, []);
    (0..120).for_each(|_| drop(script.publish(100)));
    script.pass(Duration::from_millis(500));
    assert_eq!(script.hung_up, [conn]);
    assert_eq!(script.banned(), 0);
}

#[test]
fn events_that_nobody_polls_are_a_thousand() {
    let mut script = Script::new(Role::Source);
    for number in 1..2000u64 {
        let conn = ConnId(number);
        let address = address((number % 200) as u8);
        let mut handshake = script.handshake();
        handshake.peer_id[..8].copy_from_slice(&number.to_be_bytes());
        let greeting = [
            Message::Handshake(handshake),
            Script::hello(Live::default()),
            Message::HaveNone,
        ];
        let inbound = true;
        let mut inputs = vec![Input::Connected {
            conn,
            address,
            inbound,
            waited: Duration::ZERO,
        }];
        inputs.extend(greeting.map(|message| Input::Received { conn, message }));
        inputs.push(Input::Closed {
            conn,
            reason: "gone".into(),
        });
        for input in inputs {
            script.swarm.handle(script.now, input);
        }
        while !matches!(script.swarm.poll_output(), Output::WakeAt(_)) {}
        assert!(script.swarm.events.len() <= MAX_EVENTS);
    }
    assert_eq!(script.swarm.events.len(), MAX_EVENTS);
    let newest = script.swarm.events.back();
    assert!(matches!(newest, Some(Event::PeerRemoved { .. })));
}

#[test]
fn dials_are_twelve_at_once_and_forty_eight_in_all() {
    let mut script = Script::viewer();
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: (1..400).map(anybody).collect(),
    });
    assert_eq!(script.dialled.len(), 12);
    script.pass(Duration::from_secs(30));
    assert_eq!(script.swarm.dials.len(), 48);
    assert_eq!(script.dialled.len(), 48);
}

#[test]
fn relays_are_256() {
    let mut script = Script::new(Role::Source);
    script.input(Input::Candidates {
        origin: Origin::Auxiliary,
        addresses: (1..1000).map(anybody).collect(),
    });
    assert_eq!(script.swarm.auxiliaries.len(), MAX_AUXILIARIES);
}

#[test]
fn addresses_that_a_peer_was_told_of_are_bounded() {
    let mut script = Script::viewer();
    let told = script.meet(1, Live::default(), Message::HaveNone);
    let peer = script.swarm.peers.get_mut(&told).unwrap();
    peer.pex_told = (0..200).map(anybody).collect();
    let conn = ConnId(2);
    script.input(Input::Candidates {
        origin: Origin::Configured,
        addresses: vec![address(2)],
    });
    script.input(Input::Connected {
        conn,
        address: address(2),
        inbound: false,
        waited: Duration::ZERO,
    });
    let mut handshake = script.handshake();
    handshake.peer_id[19] = 2;
    script.say(conn, Message::Handshake(handshake));
    script.say(conn, Script::hello(Live::default()));
    script.say(conn, Message::HaveNone);
    script.swarm.send_pex(script.now.at, told);
    let peer = script.swarm.peers.get(&told).unwrap();
    assert_eq!(peer.pex_told.len(), 150, "full: fifty are taken back first");
    assert!(!peer.pex_told.contains(&address(2)));
    script.swarm.send_pex(script.now.at, told);
    let peer = script.swarm.peers.get(&told).unwrap();
    assert!(peer.pex_told.contains(&address(2)));
}

#[test]
fn what_a_source_keeps_of_its_pieces_is_the_window() {
    /// What left the window goes when the house is kept, four times a second.
    const BETWEEN_LOOKS: usize = 16;
    let mut script = Script::new(Role::Source);
    let piece = script.publish(100);
    let conn = script.meet_holder(1, &piece);
    script.say(conn, Message::Interested);
    watched(&mut script, conn, 8 * WINDOW);
    let swarm = &script.swarm;
    assert_eq!(swarm.store.len(), WINDOW);
    let peer = swarm.peers.get(&conn).unwrap();
    let given = peer.given.len();
    let kept = WINDOW + BETWEEN_LOOKS;
    assert!((WINDOW - 1..=kept).contains(&given), "{given} given");
    assert!(swarm.copies.len() <= kept);
    assert!(swarm.reports.len() <= 2 * kept);
    assert!(swarm.recent.len() <= WINDOW);
    assert!(swarm.first_seen.len() <= 512);
    // Sixty-four that are followed, with a holder each, and what one viewer takes.
    assert!(swarm.spread.entries() <= 64 * 2 + 1);
    assert!(swarm.uplink.entries() <= 1 + CLASSES + WINDOW);
}

#[test]
fn what_a_peer_shows_is_a_lap_and_no_more_is_wanted_than_the_window_and_an_eighth() {
    let mut script = Script::viewer();
    let piece = script.seal(100, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    for index in 0..NPIECES {
        script.say(conn, Message::Have(index));
    }
    script.pass(Duration::from_secs(2));
    let swarm = &script.swarm;
    let peer = swarm.peers.get(&conn).unwrap();
    // A word holds 64; a lap may begin within one.
    assert!(peer.have.words() <= NPIECES as usize / 64 + 1);
    assert!(swarm.wanted.len() <= WINDOW + NPIECES as usize / 8);
    assert!(!peer.requests.is_empty() && peer.requests.len() <= 64);
    assert_eq!(script.hung_up, []);
}

#[test]
fn promises_that_a_peer_refused_are_256() {
    let mut script = Script::viewer();
    let piece = script.seal(100, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    // It was asked ahead for these before, and would not promise one of them.
    let peer = script.swarm.peers.get_mut(&conn).unwrap();
    peer.refused = (1..=250).map(|n| piece.sequence() + 1000 + n).collect();
    for number in 1..=20 {
        let sequence = piece.sequence() + number;
        let now = script.now.at;
        let peer = script.swarm.peers.get_mut(&conn).unwrap();
        peer.requests.push(Request {
            sequence,
            at: now,
            moved_at: now,
            ahead: true,
            shown: None,
            recalled: None,
            cancelled: false,
            assembly: None,
        });
        let block = script.block(sequence);
        script.say(conn, Message::Reject(block));
    }
    let peer = script.swarm.peers.get(&conn).unwrap();
    assert_eq!(peer.refused.len(), 256);
}

#[test]
fn random_access_points_of_a_greeting_are_sixty_four() {
    let mut live = b"d4:livede1:md12:tstream_livei3ee3:ras1600:".to_vec();
    live.resize(live.len() + 1600, 0);
    live.push(b'e');
    let mut script = Script::viewer();
    let conn = ConnId(1);
    script.call(conn, 1);
    let handshake = script.handshake();
    script.say(conn, Message::Handshake(handshake));
    let payload = Bytes::from(live);
    script.say(conn, Message::Extended { id: 0, payload });
    script.say(conn, Message::HaveNone);
    let peer = script.swarm.peers.get(&conn).unwrap();
    assert!(peer.entries.len() <= 64, "{}", peer.entries.len());
}

#[test]
fn what_was_fetched_lately_is_no_more_than_what_is_held() {
    let mut script = Script::with(
        Role::Viewer {
            latency: Duration::from_secs(1),
        },
        |config| config.buffer_size = 20_000,
    );
    let first = script.seal(100, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &first);
    for _ in 0..200 {
        let piece = script.seal(1000, Flags::RANDOM_ACCESS);
        script.give(conn, &piece);
        script.pass(Duration::from_millis(10));
        // As many as fit into the memory.
        assert!(script.swarm.recent.len() <= 20_000 / 1000);
    }
    assert!(script.swarm.store.bytes() <= 20_000);
    assert!(
        script.swarm.recent.len() > 10,
        "{}",
        script.swarm.recent.len()
    );
}

#[test]
fn each_timer_is_there_once() {
    let mut script = Script::viewer();
    for _ in 0..1000 {
        script.input(Input::Timeout);
        script.pass(Duration::from_millis(50));
    }
    assert!(size_of::<TimerTable>() < 512, "a table, and no queue");
}
