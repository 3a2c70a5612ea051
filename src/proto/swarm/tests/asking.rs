// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What a viewer asks for and what it makes of the answers.

use super::*;

#[test]
fn a_viewer_asks_who_shows_the_piece_and_tells_the_others() {
    let mut script = Script::viewer();
    let piece = script.seal(18_000, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    let other = script.meet(2, Live::default(), Message::HaveNone);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(conn, &piece));
    script.take_sent(other);
    script.answer(conn, &piece);
    let have = script.have(&piece);
    assert!(script.take_sent(other).contains(&have));
    assert!(!script.take_sent(conn).contains(&have), "it has it");
    script.pass(Duration::from_secs(2));
    assert_eq!(script.delivered.len(), 1);
    assert_eq!(script.delivered[0].payload, piece.payload());
    assert!(script.delivered[0].discont);
}

/// What a lying holder answers with, and whether that is its provable fault.
#[test]
fn forged_moved_and_replayed_pieces_are_refused_and_cost_the_connection() {
    type Lie = Box<dyn Fn(&mut Script, &Piece) -> Bytes>;
    let flip = |at: usize| {
        move |_: &mut Script, piece: &Piece| {
            let mut bytes = piece.bytes().to_vec();
            bytes[at] ^= 1;
            Bytes::from(bytes)
        }
    };
    let mut lies: Vec<(String, Lie)> = Vec::new();
    for at in (0..96).chain([96, 200, 395]) {
        lies.push((format!("byte {at} flipped"), Box::new(flip(at))));
    }
    let elsewhere = |script: &mut Script, _: &Piece| script.seal(300, Flags::NONE).bytes().clone();
    lies.push(("another place".to_owned(), Box::new(elsewhere)));
    let other_key = |script: &mut Script, piece: &Piece| {
        let infohash = script.metainfo.info.infohash();
        let mut forger = Sealer::new(PrivateKey::generate(), infohash, piece.sequence(), 0);
        forger
            .seal(WALL, Draft::new(b"", Flags::NONE))
            .bytes()
            .clone()
    };
    lies.push(("another key".to_owned(), Box::new(other_key)));
    for (what, lie) in lies {
        let mut script = Script::viewer();
        let piece = script.seal(300, Flags::RANDOM_ACCESS);
        let bytes = lie(&mut script, &piece);
        let conn = script.meet_holder(1, &piece);
        script.pass(Duration::from_millis(400));
        assert!(script.was_asked(conn, &piece));
        let index = script.swarm.lap.index(piece.sequence());
        script.answer_at(conn, index, &bytes);
        assert_eq!(script.hung_up, [conn], "{what}");
        let stats = script.swarm.stats(script.now);
        assert_eq!(
            (stats.pieces_rejected, stats.peers_banned),
            (1, 1),
            "{what}"
        );
        script.pass(Duration::from_secs(3));
        assert!(script.delivered.is_empty(), "{what}");
    }
}

#[test]
fn a_piece_of_an_earlier_lap_is_a_replay_and_one_of_a_later_lap_a_misunderstanding() {
    for later in [false, true] {
        let mut script = Script::viewer();
        let old = script.seal(300, Flags::RANDOM_ACCESS);
        let infohash = script.metainfo.info.infohash();
        for _ in 1..NPIECES {
            script.seal(10, Flags::NONE);
        }
        let new = script.seal(300, Flags::RANDOM_ACCESS);
        assert_eq!(new.sequence(), old.sequence() + u64::from(NPIECES));
        assert_eq!(infohash, script.metainfo.info.infohash());
        let (shown, given) = if later { (&old, &new) } else { (&new, &old) };
        let conn = script.meet_holder(1, shown);
        script.pass(Duration::from_millis(400));
        assert!(script.was_asked(conn, shown));
        script.answer(conn, given);
        assert_eq!(script.banned(), u64::from(!later));
        assert_eq!(script.hung_up.is_empty(), later);
        script.pass(Duration::from_secs(3));
        assert!(script.delivered.is_empty());
    }
}

#[test]
fn a_tip_that_does_not_verify_is_proof_and_moves_nothing() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let mut live = Script::tip_of(&piece);
    if let Some(tip) = &mut live.tip {
        tip[40] ^= 1;
    }
    let conn = script.meet(1, live, Message::HaveNone);
    assert_eq!(script.hung_up, [conn]);
    assert_eq!(script.banned(), 1);
    assert_eq!(script.swarm.stats(script.now).tip, None);
}

#[test]
fn a_late_answer_is_asked_of_another_and_cancelled() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let slow = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(slow, &piece));
    let quick = script.meet_holder(2, &piece);
    script.pass(Duration::from_secs(2));
    assert!(script.was_asked(quick, &piece));
    let cancel = Message::Cancel(script.block(piece.sequence()));
    assert!(script.take_sent(slow).contains(&cancel));
    assert!(script.hung_up.is_empty(), "late is not lying");
}

#[test]
fn an_answer_that_stops_half_way_is_asked_of_another_however_much_else_is_said() {
    let mut script = Script::viewer();
    let piece = script.seal(18_000, Flags::RANDOM_ACCESS);
    let stuck = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(stuck, &piece));
    let first = Message::Piece {
        index: script.swarm.lap.index(piece.sequence()),
        begin: 0,
        block: piece.bytes().slice(..16_384),
    };
    script.say(stuck, first);
    let quick = script.meet_holder(2, &piece);
    for _ in 0..10 {
        script.pass(Duration::from_millis(100));
        script.say(stuck, Message::KeepAlive);
    }
    assert!(script.was_asked(quick, &piece));
    assert!(script.hung_up.is_empty(), "late is not lying");
}

#[test]
fn peers_that_fall_silent_one_after_the_other_leave_time_for_the_next() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let first = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(first, &piece));
    let others = [2, 3, 4, 5].map(|number| script.meet_holder(number, &piece));
    script.pass(Duration::from_millis(1_100));
    let asked = others.map(|other| script.was_asked(other, &piece));
    let asked = asked.iter().filter(|&&asked| asked).count();
    assert!(asked >= 3, "{asked} in the latency");
}

#[test]
fn pieces_and_rejects_that_match_nothing_are_ignored() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    let block = script.block(piece.sequence());
    script.say(conn, Message::Reject(block));
    script.answer(conn, &piece);
    script.say(conn, Message::Unknown(9));
    for size in [0, 20_000] {
        let block = vec![0; size].into();
        let (index, begin) = (1, 0);
        script.say(
            conn,
            Message::Piece {
                index,
                begin,
                block,
            },
        );
    }
    assert!(script.hung_up.is_empty());
    assert_eq!(script.swarm.stats(script.now).duplicate_bytes, 20_396);
}

#[test]
fn a_reject_of_other_fields_answers_no_request() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(conn, &piece));
    let block = script.block(piece.sequence());
    for other in [
        Block { begin: 1, ..block },
        Block { length: 1, ..block },
        Block { index: 9, ..block },
    ] {
        script.say(conn, Message::Reject(other));
    }
    script.answer(conn, &piece);
    let stats = script.swarm.stats(script.now);
    assert_eq!((stats.pieces_verified, stats.duplicate_bytes), (1, 0));
    assert!(script.hung_up.is_empty());
}

#[test]
fn what_a_liar_was_asked_for_is_asked_of_another() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let liar = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(liar, &piece));
    let index = script.swarm.lap.index(piece.sequence());
    let mut lie = piece.bytes().to_vec();
    lie[100] ^= 1;
    script.answer_at(liar, index, &lie.into());
    assert_eq!(script.hung_up, [liar]);
    let honest = script.meet_holder(2, &piece);
    assert!(script.was_asked(honest, &piece));
}

#[test]
fn what_a_choke_rejected_is_asked_for_again_after_the_unchoke() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(conn, &piece));
    script.say(conn, Message::Choke);
    let block = script.block(piece.sequence());
    script.say(conn, Message::Reject(block));
    assert!(!script.was_asked(conn, &piece));
    script.say(conn, Message::Unchoke);
    assert!(script.was_asked(conn, &piece));
    script.say(conn, Message::Reject(block));
    assert!(
        !script.was_asked(conn, &piece),
        "it is left alone for a while"
    );
    script.pass(Duration::from_millis(500));
    assert!(script.was_asked(conn, &piece), "it may only have been busy");
}

#[test]
fn what_a_decoder_can_start_with_is_asked_for_before_what_is_due_earlier() {
    let mut script = Script::viewer();
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let holder = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    script.answer(holder, &first);
    script.say(holder, Message::Choke);
    let mut pieces = Vec::new();
    for number in 0..8 {
        script.pass(Duration::from_millis(50));
        let entry = number == 6;
        let flags = [Flags::NONE, Flags::RANDOM_ACCESS][usize::from(entry)];
        let piece = script.seal(300, flags);
        if entry {
            let floor = Some(first.sequence());
            script.announce(
                holder,
                Live {
                    floor,
                    ..Script::tip_of(&piece)
                },
            );
        }
        let have = script.have(&piece);
        script.say(holder, have);
        pieces.push(piece);
    }
    script.pass(Duration::from_millis(450));
    script.take_sent(holder);
    script.say(holder, Message::Unchoke);
    let asked = script.take_sent(holder);
    let request = |piece: &Piece| Message::Request(script.block(piece.sequence()));
    assert!(asked.contains(&request(&pieces[6])), "the key frame");
    let others = pieces
        .iter()
        .filter(|piece| asked.contains(&request(piece)));
    assert!((2..8).contains(&others.count()), "not all can be asked for");
}

#[test]
fn pieces_that_nobody_can_give_do_not_hide_those_that_somebody_can() {
    let role = Role::Viewer {
        latency: Duration::from_secs(1),
    };
    let mut script = Script::with(role, |config| {
        let mut changed = (*config.metainfo).clone();
        let lap = Lap::new(8192).unwrap();
        let key = changed.info.key().clone();
        changed.info = Info::new("long", PIECE_LENGTH, lap, key).unwrap();
        config.metainfo = Arc::new(changed);
    });
    let first = script.seal(10, Flags::RANDOM_ACCESS);
    let choking = script.meet(1, Script::tip_of(&first), Message::HaveNone);
    script.pass(Duration::from_millis(400));
    for _ in 0..1000 {
        let piece = script.seal(10, Flags::NONE);
        let have = script.have(&piece);
        script.say(choking, have);
    }
    let last = script.seal(10, Flags::RANDOM_ACCESS);
    let giving = script.meet_holder(2, &last);
    assert!(script.was_asked(giving, &last));
}

#[test]
fn an_index_that_still_waits_for_its_answer_is_not_asked_for_in_the_next_lap() {
    let mut script = Script::viewer();
    let piece = script.seal(300, Flags::RANDOM_ACCESS);
    let silent = script.meet_holder(1, &piece);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(silent, &piece));
    let giving = script.meet_holder(2, &piece);
    script.pass(Duration::from_secs(2));
    script.answer(giving, &piece);
    let lap = (1..NPIECES).map(|_| script.seal(10, Flags::NONE));
    assert_eq!(lap.count(), 255);
    let again = script.seal(300, Flags::RANDOM_ACCESS);
    script.input(Input::Closed {
        conn: giving,
        reason: "reset".to_owned(),
    });
    script.give(silent, &again);
    assert!(!script.was_asked(silent, &again));
    let block = script.block(piece.sequence());
    script.say(silent, Message::Reject(block));
    assert!(script.was_asked(silent, &again));
}

/// Twenty seconds of ten pieces a second, shown by a quick peer and by another that makes of each
/// request what `other` says, after a while; how many pieces the viewer had to skip.
fn skipped_beside(after: Duration, other: fn(&mut Script, ConnId, &Piece)) -> u64 {
    let latency = Duration::from_millis(700);
    let mut script = Script::new(Role::Viewer { latency });
    let mut pieces = vec![script.seal(300, Flags::RANDOM_ACCESS)];
    let holders = [1, 2].map(|number| script.meet_holder(number, &pieces[0]));
    let mut due: Vec<(Instant, ConnId, Piece)> = Vec::new();
    for step in 0..400 {
        if step % 2 == 1 {
            let piece = script.seal(300, Flags::NONE);
            // The other shows each piece first, so at that moment it is the only one to ask.
            for conn in [holders[1], holders[0]] {
                let live = Script::tip_of(&piece);
                let floor = Some(pieces[0].sequence());
                script.announce(conn, Live { floor, ..live });
                let have = script.have(&piece);
                script.say(conn, have);
            }
            pieces.push(piece);
        }
        for conn in holders {
            let wait = if conn == holders[0] {
                Duration::from_millis(50)
            } else {
                after
            };
            for message in script.take_sent(conn) {
                let Message::Request(block) = message else {
                    continue;
                };
                let asked = |p: &&Piece| script.swarm.lap.index(p.sequence()) == block.index;
                let piece = pieces.iter().rev().find(asked).unwrap().clone();
                due.push((script.now.at + wait, conn, piece));
            }
        }
        script.pass(Duration::from_millis(50));
        let now = script.now.at;
        for (_, conn, piece) in due.extract_if(.., |(at, ..)| *at <= now) {
            if conn == holders[0] {
                script.answer(conn, &piece);
            } else {
                other(&mut script, conn, &piece);
            }
        }
    }
    assert!(script.delivered.len() > 150, "{}", script.delivered.len());
    script.swarm.stats(script.now).pieces_skipped
}

#[test]
fn a_peer_that_is_too_slow_for_the_latency_costs_no_piece() {
    let after = Duration::from_millis(900);
    let skipped = skipped_beside(after, |script, conn, piece| script.answer(conn, piece));
    assert_eq!(skipped, 0);
}

#[test]
fn a_peer_that_shows_and_rejects_costs_no_piece() {
    let after = Duration::from_millis(850);
    let skipped = skipped_beside(after, |script, conn, piece| {
        let block = script.block(piece.sequence());
        script.say(conn, Message::Reject(block));
        let have = script.have(piece);
        script.say(conn, have);
    });
    assert_eq!(skipped, 0);
}

#[test]
fn a_peer_that_shows_and_never_answers_costs_no_piece() {
    let skipped = skipped_beside(Duration::from_secs(60), |_, _, _| {});
    assert_eq!(skipped, 0);
}
