// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is announced and answered.

use super::{super::send::SETTLED, *};

#[test]
fn a_piece_is_announced_to_those_who_lack_it_and_given_when_asked_for() {
    let mut script = Script::new(Role::Source);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    assert!(script.take_sent(conn).contains(&Message::Unchoke));
    let piece = script.publish(18_000);
    let sent = script.take_sent(conn);
    assert!(
        matches!(sent[0], Message::Extended { id: 13, .. }),
        "the tip goes first"
    );
    assert_eq!(sent[1], script.have(&piece));
    script.ask(conn, piece.sequence());
    let sent = script.take_sent(conn);
    let whole: Vec<u8> = sent
        .iter()
        .flat_map(|message| match message {
            Message::Piece { block, .. } => block.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(whole, piece.bytes()[..]);
}

#[test]
fn every_request_gets_exactly_one_answer() {
    let mut script = Script::new(Role::Source);
    let piece = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    let sequence = piece.sequence();
    let reject = |script: &Script, sequence| vec![Message::Reject(script.block(sequence))];
    script.take_sent(conn);
    script.ask(conn, sequence);
    assert_eq!(
        script.take_sent(conn),
        reject(&script, sequence),
        "while choking"
    );
    script.say(conn, Message::Interested);
    script.take_sent(conn);
    for _ in 0..2 {
        script.ask(conn, sequence);
        assert!(matches!(
            script.take_sent(conn)[..],
            [Message::Piece { .. }]
        ));
    }
    script.ask(conn, sequence);
    assert_eq!(
        script.take_sent(conn),
        reject(&script, sequence),
        "given twice"
    );
    script.ask(conn, sequence - 1);
    assert_eq!(
        script.take_sent(conn),
        reject(&script, sequence - 1),
        "below the floor"
    );
    let far = sequence + 60;
    script.ask(conn, far);
    assert_eq!(
        script.take_sent(conn),
        reject(&script, far),
        "past what is promised"
    );
    let block = script.block(sequence + 1);
    script.say(conn, Message::Cancel(block));
    assert!(
        script.take_sent(conn).is_empty(),
        "a CANCEL without a request"
    );
    assert!(script.hung_up.is_empty());
}

#[test]
fn a_request_ahead_is_answered_as_soon_as_the_piece_is_there() {
    let mut script = Script::new(Role::Source);
    let first = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    let next = first.sequence() + 1;
    script.ask(conn, next);
    script.ask(conn, next + 1);
    script.take_sent(conn);
    script.ask(conn, next);
    let rejects = [Message::Reject(script.block(next))];
    assert_eq!(script.take_sent(conn), rejects, "an identical request");
    script.publish(100);
    let sent = script.take_sent(conn);
    assert!(
        sent.iter()
            .any(|message| matches!(message, Message::Piece { .. }))
    );
    let block = script.block(next + 1);
    script.say(conn, Message::Cancel(block));
    assert_eq!(script.take_sent(conn), [Message::Reject(block)]);
}

#[test]
fn a_cancel_of_other_fields_takes_nothing_back() {
    let mut script = Script::new(Role::Source);
    let first = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    let block = script.block(first.sequence() + 1);
    script.say(conn, Message::Request(block));
    script.take_sent(conn);
    for other in [
        Block { begin: 1, ..block },
        Block { length: 1, ..block },
        Block { index: 9, ..block },
    ] {
        script.say(conn, Message::Cancel(other));
    }
    assert_eq!(script.take_sent(conn), []);
    script.publish(100);
    let given = |m: &Message| matches!(m, Message::Piece { .. });
    assert!(script.take_sent(conn).iter().any(given));
    assert!(script.hung_up.is_empty());
}

#[test]
fn a_promise_is_kept_for_two_seconds_after_the_tip_reached_its_piece() {
    let mut script = Script::new(Role::Viewer {
        latency: Duration::from_secs(8),
    });
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let giver = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(giver, &first));
    script.answer(giver, &first);
    let asker = script.meet(2, Live::default(), Message::HaveNone);
    script.say(asker, Message::Interested);
    let missing = script.seal(300, Flags::NONE);
    script.ask(asker, missing.sequence());
    script.pass(Duration::from_secs(3));
    let reject = Message::Reject(script.block(missing.sequence()));
    assert!(
        !script.take_sent(asker).contains(&reject),
        "the tip is below"
    );
    script.announce(giver, Script::tip_of(&missing));
    script.pass(Duration::from_millis(1_950));
    assert!(!script.take_sent(asker).contains(&reject), "two seconds");
    script.pass(Duration::from_millis(600));
    assert!(script.take_sent(asker).contains(&reject), "and no more");
}

fn rejects_in(messages: &[Message]) -> usize {
    let rejects = messages.iter();
    rejects.filter(|m| matches!(m, Message::Reject(_))).count()
}

#[test]
fn promises_that_we_break_are_not_counted_to_who_asked() {
    let mut script = Script::new(Role::Source);
    let mut newest = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    let mut rejects = 0;
    for _ in 0..40 {
        for sequence in newest.sequence() + 1..=newest.sequence() + 32 {
            script.ask(conn, sequence);
        }
        assert_eq!(rejects_in(&script.take_sent(conn)), 0);
        // A start leaps over all of them.
        script.restart(32);
        newest = script.seal(100, Flags::START | Flags::DISCONTINUITY);
        script.input(Input::Publish(newest.clone()));
        script.pass(Duration::from_millis(250));
        rejects += rejects_in(&script.take_sent(conn));
    }
    assert_eq!(rejects, 40 * 32);
    assert!(script.hung_up.is_empty());
}

#[test]
fn promises_end_with_the_broadcast() {
    let mut script = Script::new(Role::Source);
    let first = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    script.ask(conn, first.sequence() + 2);
    let end = script.seal(100, Flags::END);
    script.input(Input::Publish(end));
    script.take_sent(conn);
    script.pass(Duration::from_millis(300));
    let reject = Message::Reject(script.block(first.sequence() + 2));
    assert!(script.take_sent(conn).contains(&reject));
}

#[test]
fn more_requests_than_reqq_are_rejected_and_a_flood_ends_the_connection() {
    let mut script = Script::new(Role::Source);
    let piece = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    for _ in 0..1024 {
        script.ask(conn, piece.sequence());
    }
    assert!(script.hung_up.is_empty());
    script.ask(conn, piece.sequence());
    assert_eq!(script.hung_up, [conn]);
    assert_eq!(script.banned(), 0);
}

#[test]
fn a_request_for_a_part_of_a_piece_ends_the_connection_without_blame() {
    let mut script = Script::new(Role::Source);
    let piece = script.publish(100);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    let mut block = script.block(piece.sequence());
    block.begin = 1;
    script.say(conn, Message::Request(block));
    assert_eq!(script.hung_up, [conn]);
    assert_eq!(script.banned(), 0);
}

#[test]
fn a_tip_is_announced_before_a_have_that_is_far_past_the_last_one() {
    let mut script = Script::new(Role::Source);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.take_sent(conn);
    let mut told = None;
    for _ in 0..200 {
        let piece = script.publish(10);
        for message in script.take_sent(conn) {
            match message {
                Message::Extended { id: 13, payload } => {
                    let live = Live::decode(&payload).unwrap();
                    told = live.tip.map(|tip| Proof::claimed_sequence(&tip));
                }
                Message::Have(_) => {
                    let told = told.expect("a tip before the first HAVE");
                    assert!(piece.sequence() <= told + u64::from(NPIECES / 8));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_window_is_served_and_nothing_older() {
    let mut script = Script::new(Role::Source);
    let pieces: Vec<_> = (0..200).map(|_| script.publish(10)).collect();
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    let sent = script.take_sent(conn);
    let Message::Bitfield(bits) = &sent[2] else {
        panic!("{:?}", sent[2]);
    };
    let shown: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(shown, NPIECES / 2);
    for (piece, served) in [
        (&pieces[72], true),
        (&pieces[199], true),
        (&pieces[71], false),
    ] {
        script.ask(conn, piece.sequence());
        let sent = script.take_sent(conn);
        assert_eq!(matches!(sent[0], Message::Piece { .. }), served);
    }
}

#[test]
fn memory_bounds_what_is_held_and_the_floor_says_so() {
    let mut script = Script::with(Role::Source, |config| config.buffer_size = 100_000);
    for _ in 0..50 {
        script.publish(9_904);
    }
    let stats = script.swarm.stats(script.now);
    assert_eq!(stats.floor, Some(1_000_000 + 40));
}

#[test]
fn a_piece_that_came_after_it_left_the_window_is_not_shown() {
    let mut script = Script::viewer();
    let late = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &late);
    let other = script.meet(2, Live::default(), Message::HaveNone);
    script.pass(Duration::from_millis(400));
    assert!(script.was_asked(conn, &late));
    let newest = (0..200)
        .map(|_| script.seal(10, Flags::NONE))
        .last()
        .unwrap();
    script.announce(conn, Script::tip_of(&newest));
    script.take_sent(other);
    script.answer(conn, &late);
    let have = script.have(&late);
    assert!(!script.take_sent(other).contains(&have));
}

#[test]
fn a_tip_is_announced_before_a_piece_that_is_far_past_the_last_one() {
    let mut script = Script::new(Role::Source);
    let first = script.publish(10);
    let conn = script.meet(1, Script::tip_of(&first), Message::HaveNone);
    script.say(conn, Message::Interested);
    let mut newest = first.clone();
    for _ in 0..60 {
        // It has each piece before we tell of it, so we do not tell.
        let next = script.seal(10, Flags::NONE);
        let have = script.have(&next);
        script.say(conn, have);
        script.input(Input::Publish(next.clone()));
        newest = next;
    }
    assert!(newest.sequence() > first.sequence() + u64::from(NPIECES / 8));
    script.take_sent(conn);
    script.ask(conn, newest.sequence());
    let sent = script.take_sent(conn);
    assert!(
        matches!(sent[0], Message::Extended { id: 13, .. }),
        "{sent:?}"
    );
    assert!(matches!(sent[1], Message::Piece { .. }));
}

#[test]
fn the_upload_rate_is_kept_and_used() {
    let mut script = Script::with(Role::Source, |config| config.max_upload_rate = 1_000_000);
    let conn = script.meet(1, Live::default(), Message::HaveNone);
    script.say(conn, Message::Interested);
    let pieces: Vec<_> = (0..40).map(|_| script.publish(16_000)).collect();
    for piece in &pieces {
        script.ask(conn, piece.sequence());
    }
    let bytes = |messages: Vec<Message>| -> usize {
        let sizes = messages.iter().map(|message| match message {
            Message::Piece { block, .. } => block.len(),
            _ => 0,
        });
        sizes.sum()
    };
    bytes(script.take_sent(conn));
    for _ in 0..2 {
        script.pass(Duration::from_secs(2));
        let sent = bytes(script.take_sent(conn));
        // 125 000 bytes a second; the script looks only every 50 ms.
        assert!((200_000..=262_500).contains(&sent), "{sent} in two seconds");
    }
}

/// Of one who says that it gives.
fn gives() -> Live {
    Live {
        up: Some(100_000),
        ..Live::default()
    }
}

#[test]
fn who_asked_late_goes_before_those_who_came_after_it() {
    let mut script = Script::with(Role::Source, |config| config.max_upload_rate = 1_000_000);
    let meet = |script: &mut Script, number| {
        let conn = script.meet(number, gives(), Message::HaveNone);
        script.say(conn, Message::Interested);
        conn
    };
    let old = meet(&mut script, 1);
    let pieces: Vec<_> = (0..20).map(|_| script.publish(16_000)).collect();
    for round in 0..3 {
        script.pass(SETTLED);
        // The last one is settled now, too.
        let new = meet(&mut script, 2 + round);
        let asked = &pieces[6 * round as usize..][..6];
        for piece in asked {
            script.ask(new, piece.sequence());
        }
        for piece in &asked[..2] {
            script.ask(old, piece.sequence());
        }
        let given = |script: &mut Script, conn| {
            let sent = script.take_sent(conn);
            let begins = |m: &&Message| matches!(m, Message::Piece { begin: 0, .. });
            sent.iter().filter(begins).count()
        };
        // Eight pieces take a second; the first to go was asked for when nobody else had asked.
        script.pass(Duration::from_millis(450));
        let (before, after) = (given(&mut script, old), given(&mut script, new));
        assert_eq!(before, 2, "and {after} to the newcomer");
        assert!((1..=3).contains(&after), "{after}");
        script.pass(Duration::from_secs(2));
        assert_eq!(after + given(&mut script, new), 6);
    }
}

#[test]
fn newcomers_are_the_newer_the_shorter_they_are_there() {
    let mut script = Script::viewer();
    let conn = script.meet(1, gives(), Message::HaveNone);
    let nothing = script.meet(2, Live::default(), Message::HaveNone);
    let mut after = |time| {
        script.pass(time);
        assert_eq!(script.swarm.newness(script.now.at, nothing), u32::MAX);
        script.swarm.newness(script.now.at, conn)
    };
    let second = Duration::from_secs(1);
    let newness = [1, 1, 3, 4, 8].map(|seconds| after(seconds * second));
    assert_eq!(newness, [5, 4, 2, 1, 0]);
}

#[test]
fn who_asked_late_waits_while_connections_are_held_up_but_not_for_those_that_hang() {
    let mut script = Script::new(Role::Source);
    let [one, two, late, ahead] = [1, 2, 3, 4].map(|number| {
        let conn = script.meet(number, Live::default(), Message::HaveNone);
        script.say(conn, Message::Interested);
        conn
    });
    let piece = script.publish(16_000);
    script.held_up = vec![one, two];
    let a_moment = Duration::from_millis(50);
    let given = |sent: Vec<Message>| sent.iter().any(|m| matches!(m, Message::Piece { .. }));
    for conn in [one, two] {
        script.ask(conn, piece.sequence());
        script.pass(a_moment);
        assert!(given(script.take_sent(conn)));
    }
    script.ask(late, piece.sequence());
    script.ask(ahead, piece.sequence() + 1);
    script.publish(16_000);
    script.pass(a_moment);
    assert!(!given(script.take_sent(late)));
    assert!(given(script.take_sent(ahead)), "a promise goes");
    script.pass(Duration::from_millis(700));
    assert!(given(script.take_sent(late)), "they hang");
}

#[test]
fn a_source_serves_its_relays_beside_all_slots() {
    let mut script = Script::with(Role::Source, |config| config.max_uploads = 1);
    script.input(Input::Candidates {
        origin: Origin::Auxiliary,
        addresses: vec![address(3)],
    });
    assert_eq!(script.dialled, [address(3)], "a source dials its relays");
    for number in [1, 2, 3] {
        let conn = script.meet(number, Live::default(), Message::HaveNone);
        script.say(conn, Message::Interested);
    }
    let unchoked = [1, 2, 3].map(|number| {
        let sent = script.take_sent(ConnId(number));
        sent.contains(&Message::Unchoke)
    });
    assert_eq!(unchoked, [true, false, true]);
}

/// A source with a budget, whose viewer `ConnId(1)` is one of two that relay; strangers spend the budget
/// and take its newest piece, which comes back.
struct Besieged {
    script: Script,
    piece: Piece,
    strangers: u64,
}

impl Besieged {
    fn new() -> Self {
        let mut script = Script::with(Role::Source, |config| config.upload_budget = 3.0);
        let relays = [1, 2].map(|number| {
            let conn = script.meet(number, Live::default(), Message::HaveNone);
            script.say(conn, Message::Interested);
            conn
        });
        for _ in 0..10 {
            let piece = script.publish(16_000);
            for conn in relays {
                script.announce(conn, Script::tip_of(&piece));
                let have = script.have(&piece);
                script.say(conn, have);
            }
            script.pass(Duration::from_millis(250));
        }
        let piece = script.publish(16_000);
        Self {
            script,
            piece,
            strangers: 0,
        }
    }

    /// A stranger takes all that it gets, and 50 ms pass.
    fn take(&mut self) {
        self.strangers += 1;
        let number = 10 + self.strangers;
        let stranger = self.script.meet(number, Live::default(), Message::HaveNone);
        self.script.say(stranger, Message::Interested);
        for sequence in (self.piece.sequence() - 10..=self.piece.sequence()).rev() {
            self.script.ask(stranger, sequence);
        }
        self.script.pass(Duration::from_millis(50));
    }

    /// Whether the viewer is given the piece when it asks for it.
    fn is_given(&mut self) -> bool {
        self.script.ask(ConnId(1), self.piece.sequence());
        let sent = self.script.take_sent(ConnId(1));
        sent.iter().any(|m| matches!(m, Message::Piece { .. }))
    }
}

#[test]
fn a_source_gives_what_strangers_took_to_those_who_relay_after_two_round_trips() {
    let mut besieged = Besieged::new();
    for round in 1..=5 {
        besieged.take();
        if round >= 3 {
            assert_eq!(besieged.is_given(), round == 5, "after {} ms", 50 * round);
        }
    }
}

#[test]
fn a_source_that_ends_gives_what_strangers_took_at_once() {
    let mut besieged = Besieged::new();
    for _ in 0..3 {
        besieged.take();
    }
    assert!(!besieged.is_given());
    let end = besieged.script.seal(100, Flags::END);
    besieged.script.input(Input::Publish(end));
    assert!(besieged.is_given());
}

#[test]
fn where_pieces_are_short_less_waits_on_connections() {
    let mut script = Script::new(Role::Source);
    let conns = [1, 2, 3, 4].map(|number| {
        let conn = script.meet(number, Live::default(), Message::HaveNone);
        script.say(conn, Message::Interested);
        conn
    });
    let mut piece = script.publish(300);
    for _ in 0..100 {
        script.pass(Duration::from_millis(50));
        piece = script.publish(300);
    }
    script.held_up = conns.to_vec();
    for conn in conns {
        script.take_sent(conn);
        script.ask(conn, piece.sequence());
    }
    let given = |m: &Message| matches!(m, Message::Piece { .. });
    let given = conns.map(|conn| script.take_sent(conn).iter().any(given));
    assert_eq!(given, [true, true, false, false]);
}
