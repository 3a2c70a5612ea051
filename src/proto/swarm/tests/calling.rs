// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whom we call, what we are told of addresses, and what we tell of ours.

use super::*;

#[test]
fn who_is_told_of_many_strangers_calls_no_more_than_sixty_in_ten_seconds() {
    let mut script = Script::viewer();
    script.pass(Duration::from_secs(20));
    let many = |number: u16| {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from(([198, 51, high, low], 7764))
    };
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: (1..500).map(many).collect(),
    });
    let refuse_all = |script: &mut Script| {
        let mut answered = 0;
        while answered < script.dialled.len() {
            let address = script.dialled[answered];
            answered += 1;
            script.input(Input::DialFailed { address });
        }
        std::mem::take(&mut script.dialled)
    };
    assert_eq!(refuse_all(&mut script).len(), 60);
    script.pass(Duration::from_secs(9));
    assert_eq!(refuse_all(&mut script), []);
    // Whom the user names is called all the same.
    script.input(Input::Candidates {
        origin: Origin::Configured,
        addresses: vec![address(9)],
    });
    assert_eq!(refuse_all(&mut script), [address(9)]);
    script.pass(Duration::from_secs(2));
    assert!(!refuse_all(&mut script).is_empty());
}

#[test]
fn the_source_is_dialled_again_and_again_and_private_hearsay_is_not() {
    let mut script = Script::viewer();
    script.input(Input::Candidates {
        origin: Origin::Announce,
        addresses: vec![address(9)],
    });
    for _ in 0..5 {
        script.pass(Duration::from_secs(12));
        script.input(Input::DialFailed {
            address: address(9),
        });
    }
    assert!(script.dialled.len() >= 5, "{:?}", script.dialled);
    script.dialled.clear();
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    let hearsay = proto::wire::Pex {
        added: [
            ([127, 0, 0, 1], 22),
            ([10, 0, 0, 1], 80),
            ([198, 51, 100, 1], 7764),
        ]
        .map(|address| proto::wire::PexPeer::reachable(SocketAddr::from(address)))
        .to_vec(),
        dropped: Vec::new(),
    };
    script.say(
        conn,
        Message::Extended {
            id: 1,
            payload: hearsay.encode(),
        },
    );
    let outside = SocketAddr::from(([198, 51, 100, 1], 7764));
    assert!(script.dialled.contains(&outside));
    assert!(
        script
            .dialled
            .iter()
            .all(|a| *a == outside || *a == address(9) || *a == address(1))
    );
}

#[test]
fn without_peer_exchange_nobody_is_told_of_peers_nor_believed() {
    let role = Role::Viewer {
        latency: Duration::ZERO,
    };
    for pex in [true, false] {
        let mut script = Script::with(role, |config| config.pex = pex);
        let told = script.meet(1, Live::default(), Message::HaveNone);
        let sent = script.take_sent(told);
        let Message::Extended { payload, .. } = &sent[1] else {
            panic!("{:?}", sent[1]);
        };
        let hello = ExtendedHandshake::decode(payload).unwrap();
        assert_eq!(hello.m.ut_pex.is_some(), pex);
        let outside = SocketAddr::from(([198, 51, 100, 1], 7764));
        let hearsay = proto::wire::Pex {
            added: vec![proto::wire::PexPeer::reachable(outside)],
            dropped: Vec::new(),
        };
        let payload = hearsay.encode();
        script.say(told, Message::Extended { id: 1, payload });
        assert_eq!(script.dialled.contains(&outside), pex);
        script.meet_called(2, Live::default(), Message::HaveNone);
        script.pass(Duration::from_secs(70));
        let is_pex = |message: &Message| {
            matches!(message, Message::Extended { id, payload }
                if *id != 0 && proto::wire::Pex::decode(payload).is_ok_and(|pex| !pex.added.is_empty()))
        };
        assert_eq!(script.take_sent(told).iter().any(is_pex), pex);
    }
}

#[test]
fn a_source_of_several_addresses_is_connected_to_once_and_a_borrowed_id_stands_in_nobodys_way() {
    let named = [address(1), address(2)];
    let shake = |script: &mut Script, conn, address| {
        script.input(Input::Connected {
            conn,
            address,
            inbound: false,
            waited: Duration::ZERO,
        });
        let handshake = script.handshake();
        script.say(conn, Message::Handshake(handshake));
        script.say(conn, Script::hello(Live::default()));
        script.say(conn, Message::HaveNone);
    };
    let mut script = Script::viewer();
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: vec![address(3)],
    });
    script.input(Input::Candidates {
        origin: Origin::Announce,
        addresses: named.to_vec(),
    });
    script.dialled.clear();
    // Whoever was only heard of may have borrowed the source's peer id.
    shake(&mut script, ConnId(3), address(3));
    shake(&mut script, ConnId(1), named[0]);
    assert!(script.hung_up.is_empty());
    shake(&mut script, ConnId(2), named[1]);
    assert_eq!(script.hung_up, [ConnId(2)]);
    // The other address is let be for as long as the connection is there.
    script.pass(Duration::from_secs(60));
    script.say(ConnId(1), Message::KeepAlive);
    assert!(!script.dialled.contains(&named[1]), "{:?}", script.dialled);
    let reason = "gone".to_owned();
    let conn = ConnId(1);
    script.input(Input::Closed { conn, reason });
    script.pass(Duration::from_secs(20));
    assert!(script.dialled.contains(&named[1]), "{:?}", script.dialled);
}

/// The ports of the extended handshakes that `conn` was sent since the last time.
fn told_ports(script: &mut Script, conn: ConnId) -> Vec<Option<u16>> {
    let told = script.take_sent(conn).into_iter();
    told.filter_map(|message| match message {
        Message::Extended { id: 0, payload } => {
            Some(ExtendedHandshake::decode(&payload).unwrap().listen_port)
        }
        _ => None,
    })
    .collect()
}

#[test]
fn those_outside_are_told_of_the_port_that_a_router_maps() {
    let mut script = Script::viewer();
    let ours = [198, 51, 100, 7].into();
    let outside = |number: u8| SocketAddr::from(([203, 0, number, 1], 5000));
    let home = |number: u8| SocketAddr::from(([192, 168, 0, number], 5000));
    is_seen_at(&mut script, 1, outside(1), ours);
    is_seen_at(&mut script, 2, home(2), ours);
    for conn in [ConnId(1), ConnId(2)] {
        assert_eq!(told_ports(&mut script, conn), [Some(7764)]);
    }
    script.input(Input::Mapped { port: 40_000 });
    script.input(Input::Mapped { port: 40_000 });
    assert_eq!(told_ports(&mut script, ConnId(1)), [Some(40_000)]);
    assert_eq!(told_ports(&mut script, ConnId(2)), []);
    is_seen_at(&mut script, 3, outside(3), ours);
    is_seen_at(&mut script, 4, home(4), ours);
    assert_eq!(told_ports(&mut script, ConnId(3)), [Some(40_000)]);
    assert_eq!(told_ports(&mut script, ConnId(4)), [Some(7764)]);
}

#[test]
fn a_caller_may_say_later_that_it_takes_others_in_at_another_port() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    let hello = ExtendedHandshake {
        m: ExtensionIds::OURS,
        listen_port: Some(40_000),
        ..Default::default()
    };
    let payload = hello.encode();
    script.say(conn, Message::Extended { id: 0, payload });
    let peer = script.swarm.peers.get(&conn).unwrap();
    let dialled = SocketAddr::new(peer.address.ip(), 40_000);
    assert_eq!(
        peer.listening,
        peer.inbound.then_some(dialled).or(Some(peer.address))
    );
    assert!(script.hung_up.is_empty());
}

/// A peer at this address calls and sees us at `ours`.
fn is_seen_at(script: &mut Script, number: u64, address: SocketAddr, ours: IpAddr) {
    let conn = ConnId(number);
    script.input(Input::Connected {
        conn,
        address,
        inbound: true,
        waited: Duration::ZERO,
    });
    let mut handshake = script.handshake();
    handshake.peer_id[19] = number as u8;
    script.say(conn, Message::Handshake(handshake));
    let hello = ExtendedHandshake {
        m: ExtensionIds::OURS,
        yourip: Some(ours),
        ..Default::default()
    };
    let payload = hello.encode();
    script.say(conn, Message::Extended { id: 0, payload });
    script.say(conn, Message::HaveNone);
}

#[test]
fn who_is_seen_at_one_address_by_several_outside_does_not_call_itself_there() {
    let ours: IpAddr = [198, 51, 100, 7].into();
    let [us, other_port] = [7764, 7765].map(|port| SocketAddr::new(ours, port));
    let outside = |number: u64| SocketAddr::from(([203, 0, 113, number as u8], 5000));
    let home = |number: u64| SocketAddr::from(([192, 168, 0, number as u8], 5000));
    let same = |_: u64| SocketAddr::from(([203, 0, 113, 1], 5000));
    type Place = fn(u64) -> SocketAddr;
    for (witnesses, place, named, is_called) in [
        (3, outside as Place, false, false),
        (2, outside, false, true),
        // One host under several names, and those who see us at home.
        (3, same, false, true),
        (3, home, false, true),
        // What the user or the .tstream names is called all the same.
        (3, outside, true, true),
    ] {
        let mut script = Script::viewer();
        for number in 1..=witnesses {
            is_seen_at(&mut script, number, place(number), ours);
        }
        let origin = if named {
            Origin::Announce
        } else {
            Origin::Tracker
        };
        script.dialled.clear();
        script.input(Input::Candidates {
            origin,
            addresses: vec![us, other_port],
        });
        assert!(script.dialled.contains(&other_port));
        assert_eq!(
            script.dialled.contains(&us),
            is_called,
            "{witnesses} {named}"
        );
    }
}

#[test]
fn peers_are_told_of_whom_we_reached_alone_and_of_no_address_of_a_link() {
    let mut script = Script::viewer();
    let on_a_link = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 7764, 0, 2);
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: vec![address(1), address(2), address(3), on_a_link.into()],
    });
    assert!(script.dialled.contains(&on_a_link.into()));
    // One answers, one does not, one is another stream's, one calls and was never called.
    script.meet_called(1, Live::default(), Message::HaveNone);
    script.input(Input::DialFailed {
        address: address(2),
    });
    let conn = ConnId(3);
    script.input(Input::Connected {
        conn,
        address: address(3),
        inbound: false,
        waited: Duration::ZERO,
    });
    script.meet(4, Live::default(), Message::HaveNone);
    let conn = ConnId(5);
    script.input(Input::Connected {
        conn,
        address: on_a_link.into(),
        inbound: false,
        waited: Duration::ZERO,
    });
    script.introduce(5, Live::default(), Message::HaveNone);
    let told = script.meet(6, Live::default(), Message::HaveNone);
    script.swarm.send_pex(script.now.at, told);
    let peer = script.swarm.peers.get(&told).unwrap();
    assert!(
        peer.pex_told.iter().eq([&address(1)]),
        "{:?}",
        peer.pex_told
    );
}

impl Script {
    /// Answers the newest dial; what the far end says first is up to the test.
    fn answer_dial(&mut self, number: u64) -> ConnId {
        let conn = ConnId(number);
        let address = *self.dialled.last().unwrap();
        let inbound = false;
        self.input(Input::Connected {
            conn,
            address,
            inbound,
            waited: Duration::ZERO,
        });
        conn
    }
}

#[test]
fn a_peer_that_greets_and_closes_is_tried_less_and_less_often() {
    let mut script = Script::viewer();
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: vec![address(9)],
    });
    let mut answered = 0;
    for number in 0..1200 {
        if script.dialled.len() > answered {
            answered = script.dialled.len();
            let conn = script.answer_dial(number);
            let handshake = Message::Handshake(script.handshake());
            script.say(conn, handshake);
            script.say(conn, Script::hello(Live::default()));
            script.say(conn, Message::HaveNone);
            let reason = "closed".to_owned();
            script.input(Input::Closed { conn, reason });
        }
        script.pass(Duration::from_millis(50));
    }
    assert!((4..=12).contains(&answered), "{answered} dials in a minute");
}

#[test]
fn an_address_that_leads_to_ourselves_is_dialled_once() {
    let mut script = Script::viewer();
    script.input(Input::Candidates {
        origin: Origin::Configured,
        addresses: vec![address(9)],
    });
    let conn = script.answer_dial(1);
    let mut own = script.handshake();
    own.peer_id = *b"-LV0100-ourselves001";
    script.say(conn, Message::Handshake(own));
    assert_eq!(script.hung_up, [conn]);
    script.pass(Duration::from_secs(60));
    assert_eq!(script.dialled, [address(9)]);
}

#[test]
fn the_second_call_of_one_that_fell_silent_is_waited_for_when_its_first_ends() {
    let mut script = Script::viewer();
    script.input(Input::Candidates {
        origin: Origin::Configured,
        addresses: vec![address(9)],
    });
    let conn = script.answer_dial(1);
    let piece = script.seal(900, Flags::RANDOM_ACCESS);
    let handshake = script.handshake();
    script.say(conn, Message::Handshake(handshake));
    script.say(conn, Script::hello(Script::tip_of(&piece)));
    script.say(conn, Message::HaveNone);
    script.say(conn, Message::Unchoke);
    script.give(conn, &piece);
    script.pass(Duration::from_secs(6));
    assert_eq!(script.dialled, [address(9); 2], "its silence is noticed");
    let reason = "gone".to_owned();
    script.input(Input::Closed { conn, reason });
    script.pass(Duration::from_secs(30));
    assert_eq!(script.dialled, [address(9); 2]);
}

#[test]
fn callers_do_not_keep_us_from_dialling_the_source() {
    let mut script = Script::viewer();
    for number in 1..=40 {
        script.call(ConnId(number), number as u8);
    }
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: vec![address(98)],
    });
    assert!(script.dialled.is_empty(), "enough peers");
    script.input(Input::Candidates {
        origin: Origin::Announce,
        addresses: vec![address(99)],
    });
    assert_eq!(script.dialled, [address(99)]);
}
