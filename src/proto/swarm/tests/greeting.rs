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
fn what_passed_before_the_handshake_counts_among_the_ten_seconds() {
    let mut script = Script::new(Role::Source);
    script.pass(Duration::from_secs(10));
    script.input(Input::Connected {
        conn: ConnId(1),
        address: address(1),
        inbound: true,
        waited: Duration::from_secs(9),
    });
    let handshake = Message::Handshake(script.handshake());
    script.say(ConnId(1), handshake);
    script.pass(Duration::from_millis(900));
    assert!(script.hung_up.is_empty());
    script.pass(Duration::from_millis(400));
    assert_eq!(script.hung_up, [ConnId(1)]);
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
