// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Connections: greeting, limits, blame.

use super::*;

#[test]
fn a_caller_is_greeted_in_the_order_of_the_protocol() {
    let mut script = Script::new(Role::Source);
    script.publish(100);
    let conn = ConnId(1);
    script.call(conn, 1);
    assert!(script.take_sent(conn).is_empty(), "the caller speaks first");
    let handshake = Message::Handshake(script.handshake());
    script.say(conn, handshake);
    let sent = script.take_sent(conn);
    assert!(matches!(sent[0], Message::Handshake(_)));
    let Message::Extended { id: 0, payload } = &sent[1] else {
        panic!("{:?}", sent[1]);
    };
    let hello = ExtendedHandshake::decode(payload).unwrap();
    let live = hello.live.unwrap();
    assert!(live.tip.is_some() && live.src && live.hops == Some(0));
    assert_eq!(live.floor, Some(1_000_000));
    assert!(matches!(sent[2], Message::Bitfield(_)));
    assert_eq!(sent.len(), 3);
}

#[test]
fn extended_handshake_and_bitfield_are_accepted_in_either_order() {
    let mut script = Script::new(Role::Source);
    let conn = ConnId(1);
    script.call(conn, 1);
    let handshake = Message::Handshake(script.handshake());
    script.say(conn, handshake);
    script.say(conn, Message::HaveNone);
    script.say(conn, Script::hello(Live::default()));
    assert!(matches!(script.events[..], [Event::PeerAdded { .. }]));
}

#[test]
fn whoever_says_nothing_for_ten_seconds_is_let_go_and_not_blamed() {
    let mut script = Script::new(Role::Source);
    script.call(ConnId(1), 1);
    script.pass(Duration::from_millis(9_900));
    assert!(script.hung_up.is_empty());
    script.pass(Duration::from_millis(400));
    assert_eq!(script.hung_up, [ConnId(1)]);
    assert_eq!(script.banned(), 0);
}

#[test]
fn a_message_before_the_greeting_ends_the_connection_without_blame() {
    let mut script = Script::new(Role::Source);
    let conn = ConnId(1);
    script.call(conn, 1);
    let handshake = Message::Handshake(script.handshake());
    script.say(conn, handshake);
    script.say(conn, Message::Interested);
    assert_eq!(script.hung_up, [conn]);
    assert_eq!(script.banned(), 0);
}

#[test]
fn what_a_peer_cannot_say_by_mistake_is_proof() {
    let wrong: [(&str, Message); 5] = [
        ("HAVE_ALL", Message::HaveAll),
        (
            "a second bitfield",
            Message::Bitfield(Bytes::from_static(&[0; 32])),
        ),
        ("HAVE outside the lap", Message::Have(NPIECES)),
        (
            "bencode that does not parse",
            Message::Extended {
                id: OUR_LIVE,
                payload: Bytes::from_static(b"d3:tip"),
            },
        ),
        (
            "a tip of the wrong size",
            Message::Extended {
                id: OUR_LIVE,
                payload: Bytes::from_static(b"d3:tip3:abce"),
            },
        ),
    ];
    for (what, message) in wrong {
        let mut script = Script::new(Role::Source);
        let conn = script.meet(1, Live::default(), Message::HaveNone);
        script.say(conn, message);
        assert_eq!(script.hung_up, [conn], "{what}");
        assert_eq!(script.banned(), 1, "{what}");
        let back = script.meet(1, Live::default(), Message::HaveNone);
        assert!(
            script.hung_up.contains(&back),
            "refused when it comes back: {what}"
        );
    }
}

#[test]
fn bitfields_of_the_wrong_size_or_with_spare_bits_are_proof() {
    let key = PrivateKey::generate();
    let lap = Lap::new(260).unwrap();
    let info = Info::new("odd", PIECE_LENGTH, lap, key.public_key()).unwrap();
    for (bits, fine) in [
        (vec![0u8; 33], true),
        (vec![0u8; 32], false),
        (vec![0u8; 34], false),
        ([vec![0u8; 32], vec![0x10]].concat(), true),
        ([vec![0u8; 32], vec![0x08]].concat(), false),
    ] {
        let mut script = Script::with(Role::Source, |config| {
            let mut changed = (*config.metainfo).clone();
            changed.info = info.clone();
            config.metainfo = Arc::new(changed);
        });
        script.metainfo = script.swarm.config.metainfo.clone();
        script.meet(
            1,
            Live::default(),
            Message::Bitfield(Bytes::from(bits.clone())),
        );
        assert_eq!(script.banned(), u64::from(!fine), "{bits:?}");
    }
}

#[test]
fn connections_to_ourselves_and_second_ones_to_a_peer_end() {
    let mut script = Script::new(Role::Source);
    let conn = ConnId(1);
    script.call(conn, 1);
    let mut own = script.handshake();
    own.peer_id = *b"-LV0100-ourselves001";
    script.say(conn, Message::Handshake(own));
    assert_eq!(script.hung_up, [conn]);
    let first = script.meet(2, Live::default(), Message::HaveNone);
    let second = ConnId(3);
    script.call(second, 2);
    let mut handshake = script.handshake();
    handshake.peer_id[19] = 2;
    script.say(second, Message::Handshake(handshake));
    assert_eq!(script.hung_up, [conn, second], "the older of two stays");
    assert!(script.swarm.peers.contains_key(&first));
}

#[test]
fn a_full_peer_names_others_and_closes() {
    let mut script = Script::with(Role::Source, |config| config.max_peers = 1);
    script.meet(1, Live::default(), Message::HaveNone);
    let conn = script.meet(2, Live::default(), Message::HaveNone);
    assert_eq!(script.hung_up, [conn]);
    let sent = script.take_sent(conn);
    assert!(matches!(sent[0], Message::Handshake(_)));
    assert!(matches!(sent[1], Message::Extended { id: 0, .. }));
    assert_eq!(sent[2], Message::HaveNone);
    assert!(
        matches!(sent[3], Message::Extended { id: 11, .. }),
        "one ut_pex"
    );
    assert_eq!(sent.len(), 4);
}

#[test]
fn a_full_peer_makes_room_for_a_newcomer_where_nothing_went_for_half_a_minute() {
    let mut script = Script::with(Role::Source, |config| config.max_peers = 2);
    let idle = script.meet(1, Live::default(), Message::HaveNone);
    let served = script.meet(2, Live::default(), Message::HaveNone);
    script.say(served, Message::Interested);
    script.pass(Duration::from_secs(29));
    let early = script.meet(3, Live::default(), Message::HaveNone);
    assert_eq!(script.hung_up, [early]);
    script.pass(Duration::from_secs(2));
    let newcomer = script.meet(4, Live::default(), Message::HaveNone);
    assert_eq!(script.hung_up, [early, idle]);
    let another = script.meet(5, Live::default(), Message::HaveNone);
    assert_eq!(script.hung_up, [early, idle, another], "all are of use");
    assert!(script.swarm.peers.contains_key(&served));
    assert!(script.swarm.peers.contains_key(&newcomer));
}

#[test]
fn a_full_peer_makes_room_sooner_where_one_shows_nothing_of_the_stream() {
    let mut script = Script::with(Role::Source, |config| config.max_peers = 2);
    let piece = script.publish(100);
    let listener = script.meet(1, Live::default(), Message::HaveNone);
    script.meet_holder(2, &piece);
    script.pass(Duration::from_secs(9));
    let early = script.meet(3, Live::default(), Message::HaveNone);
    assert_eq!(script.hung_up, [early]);
    script.pass(Duration::from_secs(2));
    script.meet(4, Live::default(), Message::HaveNone);
    assert_eq!(script.hung_up, [early, listener]);
}

#[test]
fn nobody_takes_all_places_from_one_address() {
    let mut script = Script::with(Role::Source, |config| config.max_peers = 3);
    let from = |script: &mut Script, number: u64, host: u8| {
        let conn = ConnId(number);
        script.call(conn, host);
        let mut handshake = script.handshake();
        handshake.peer_id[19] = number as u8;
        script.say(conn, Message::Handshake(handshake));
        script.say(conn, Script::hello(Live::default()));
        script.say(conn, Message::HaveNone);
        conn
    };
    let crowd = [1, 2, 3].map(|number| from(&mut script, number, 1));
    let fourth = from(&mut script, 4, 1);
    assert_eq!(script.hung_up, [fourth], "it is one of them");
    let newcomer = from(&mut script, 5, 2);
    assert_eq!(script.hung_up, [fourth, crowd[2]], "the youngest goes");
    let another = from(&mut script, 6, 3);
    assert_eq!(
        script.hung_up,
        [fourth, crowd[2], another],
        "two of one address are no crowd"
    );
    assert!(script.swarm.peers.contains_key(&newcomer));
}

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
fn who_does_not_share_says_so() {
    let role = Role::Viewer {
        latency: Duration::ZERO,
    };
    let mut script = Script::with(role, |config| config.upload_enabled = false);
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    let sent = script.take_sent(conn);
    let Message::Extended { payload, .. } = &sent[1] else {
        panic!("{:?}", sent[1]);
    };
    let hello = ExtendedHandshake::decode(payload).unwrap();
    let ahead = hello.live.map(|live| live.ahead);
    assert_eq!((hello.listen_port, ahead), (None, Some(0)));
    assert_eq!(sent[2], Message::HaveNone);
    let other = script.meet(2, Live::default(), Message::HaveNone);
    script.say(other, Message::Interested);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &piece);
    script.take_sent(conn);
    script.ask(other, piece.sequence());
    let sent = script.take_sent(other);
    assert!(!sent.contains(&Message::Unchoke));
    assert!(
        !sent
            .iter()
            .any(|message| matches!(message, Message::Have(_)))
    );
    assert!(sent.contains(&Message::Reject(script.block(piece.sequence()))));
    assert_eq!(script.delivered.len(), 1);
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
    });
    script.meet(4, Live::default(), Message::HaveNone);
    let conn = ConnId(5);
    script.input(Input::Connected {
        conn,
        address: on_a_link.into(),
        inbound: false,
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

#[test]
fn a_forged_tip_is_proof_at_the_source_too_and_a_real_one_moves_nothing_there() {
    for forged in [true, false] {
        let mut script = Script::new(Role::Source);
        let ours = script.publish(100);
        let newer = script.seal(100, Flags::NONE);
        let mut live = Script::tip_of(&newer);
        if let Some(tip) = live.tip.as_mut().filter(|_| forged) {
            tip[40] ^= 1;
        }
        script.meet(1, live, Message::HaveNone);
        assert_eq!(script.banned(), u64::from(forged));
        let tip = script.swarm.stats(script.now).tip;
        assert_eq!(tip, Some(ours.sequence()));
    }
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

#[test]
fn a_peer_that_comes_back_takes_the_place_of_its_dead_connection() {
    let mut script = Script::new(Role::Source);
    let dead = script.meet(2, Live::default(), Message::HaveNone);
    script.pass(Duration::from_secs(6));
    let again = ConnId(3);
    script.call(again, 2);
    let mut handshake = script.handshake();
    handshake.peer_id[19] = 2;
    script.say(again, Message::Handshake(handshake));
    assert_eq!(script.hung_up, [dead]);
}

#[test]
fn a_handshake_that_is_repeated_without_live_changes_nothing_of_it() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    script.announce(
        conn,
        Live {
            hops: Some(3),
            ..Script::tip_of(&piece)
        },
    );
    let said = script.swarm.peers.get(&conn).unwrap().live;
    let again = ExtendedHandshake {
        m: IDS,
        ..ExtendedHandshake::default()
    };
    let payload = again.encode();
    script.say(conn, Message::Extended { id: 0, payload });
    assert_eq!(script.swarm.peers.get(&conn).unwrap().live, said);
    assert_eq!(said.hops, Some(3));
    assert!(script.hung_up.is_empty());
}

#[test]
fn an_id_that_nobody_uses_is_ignored_before_the_bitfield_too() {
    let mut script = Script::new(Role::Source);
    let conn = ConnId(1);
    script.call(conn, 1);
    let handshake = Message::Handshake(script.handshake());
    script.say(conn, handshake);
    script.say(conn, Message::Unknown(9));
    script.say(conn, Script::hello(Live::default()));
    script.say(conn, Message::Unknown(9));
    script.say(conn, Message::HaveNone);
    assert!(script.hung_up.is_empty());
    assert!(script.swarm.peers.get(&conn).unwrap().is_ready());
}
