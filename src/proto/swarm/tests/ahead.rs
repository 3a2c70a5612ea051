// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whom a viewer asks ahead, and what it does while nobody has a way for it.

use std::collections::BTreeSet;

use super::*;
use neighbours::ENOUGH_PEERS;
use proto::hops::{CLASSES, ClassHops};

/// What a peer says that is so far from the source in every class.
fn at_hops(hops: u8, piece: &Piece) -> Live {
    Live {
        ahead: 32,
        hops: Some(hops),
        class_hops: ClassHops::from_bytes(&[hops; CLASSES]),
        ..Script::tip_of(piece)
    }
}

impl Script {
    /// The indices that were asked of a peer since the last look.
    fn requests_to(&mut self, conn: ConnId) -> Vec<u32> {
        let sent = self.take_sent(conn).into_iter();
        sent.filter_map(|message| match message {
            Message::Request(block) => Some(block.index),
            _ => None,
        })
        .collect()
    }

    fn reject(&mut self, conn: ConnId, sequence: Sequence) {
        let block = self.block(sequence);
        self.say(conn, Message::Reject(block));
    }
}

#[test]
fn who_lost_its_way_follows_only_who_is_nearer_or_shows_what_it_lacks() {
    let mut script = Script::viewer();
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let parent = script.meet_holder(1, &first);
    script.announce(parent, at_hops(0, &first));
    let mut newest = first;
    let mut promised = BTreeSet::new();
    for _ in 0..20 {
        promised.extend(script.requests_to(parent));
        newest = script.seal(300, Flags::NONE);
        script.announce(parent, at_hops(0, &newest));
        let have = script.have(&newest);
        script.say(parent, have);
        promised.extend(script.requests_to(parent));
        if promised.remove(&script.swarm.lap.index(newest.sequence())) {
            script.answer(parent, &newest);
        }
        script.pass(Duration::from_millis(50));
    }
    promised.extend(script.requests_to(parent));
    let ahead = |script: &Script, indices: &[u32], newest: &Piece| {
        let later = newest.sequence() + 1..newest.sequence() + 33;
        let mut later = later.map(|sequence| script.swarm.lap.index(sequence));
        later.any(|index| indices.contains(&index))
    };
    let given: Vec<_> = promised.iter().copied().collect();
    assert!(ahead(&script, &given, &newest), "the parent is asked ahead");
    let beside = script.meet_holder(2, &newest);
    script.announce(beside, at_hops(1, &newest));

    for sequence in newest.sequence() + 1..newest.sequence() + 33 {
        script.reject(parent, sequence);
    }
    script.pass(Duration::from_millis(250));
    let asked = script.requests_to(beside);
    assert!(!ahead(&script, &asked, &newest), "it may hang on us");

    newest = script.seal(300, Flags::NONE);
    let have = script.have(&newest);
    script.say(beside, have);
    script.announce(beside, at_hops(1, &newest));
    script.pass(Duration::from_millis(50));
    let asked = script.requests_to(beside);
    assert!(ahead(&script, &asked, &newest), "it has another way");
}

#[test]
fn a_viewer_that_nobody_feeds_looks_for_others_and_lets_go_of_those_of_no_use() {
    let mut script = Script::viewer();
    let piece = script.seal(15_000, Flags::RANDOM_ACCESS);
    let enough = ENOUGH_PEERS as u64 + 1;
    for number in 1..=enough {
        script.meet(number, Script::tip_of(&piece), Message::HaveNone);
    }
    script.input(Input::Candidates {
        origin: Origin::Tracker,
        addresses: vec![address(99)],
    });
    script.pass(Duration::from_secs(2));
    assert_eq!(script.dialled, []);
    assert_eq!(script.hung_up, []);
    for _ in 0..15 {
        let tip = script.seal(15_000, Flags::RANDOM_ACCESS);
        script.announce(ConnId(1), Script::tip_of(&tip));
        script.pass(Duration::from_secs(1));
    }
    assert_eq!(script.dialled.first(), Some(&address(99)));
    assert!(!script.hung_up.is_empty());
    assert_eq!(script.banned(), 0);
}

#[test]
fn an_uplink_too_slow_to_be_in_time_lets_nobody_ask_ahead() {
    let mut script = Script::viewer();
    let pieces: Vec<_> = (0..4)
        .map(|_| script.seal(18_000, Flags::RANDOM_ACCESS))
        .collect();
    let holder = script.meet_holder(1, &pieces[0]);
    script.pass(Duration::from_millis(400));
    for piece in &pieces {
        script.give(holder, piece);
    }
    script.pass(Duration::from_millis(400));
    assert_ne!(script.swarm.live(script.now).ahead, 0);
    let asker = script.meet(2, Script::tip_of(&pieces[3]), Message::HaveNone);
    script.held_up.push(asker);
    script.say(asker, Message::Interested);
    for piece in &pieces {
        script.ask(asker, piece.sequence());
    }
    // A kilobyte leaves every half second.
    for _ in 0..80 {
        script.input(Input::Sent {
            conn: asker,
            bytes: 1000,
        });
        script.pass(Duration::from_millis(500));
    }
    assert!(script.swarm.uplink.is_measured());
    assert_eq!(script.swarm.live(script.now).ahead, 0);
}

#[test]
fn who_is_carried_and_gave_nothing_yet_is_asked_for_what_it_shows_once_the_uplink_is_short() {
    let mut script = Script::viewer();
    let first = script.seal(18_000, Flags::RANDOM_ACCESS);
    let holder = script.meet_holder(1, &first);
    script.announce(holder, at_hops(0, &first));
    let child = script.meet_holder(2, &first);
    let children = [child, script.meet_holder(3, &first)];
    for conn in children {
        script.say(conn, Message::Interested);
    }
    let mut newest = first;
    for _ in 0..60 {
        newest = script.seal(18_000, Flags::NONE);
        script.announce(holder, at_hops(0, &newest));
        let have = script.have(&newest);
        script.say(holder, have);
        script.answer(holder, &newest);
        for conn in children {
            script.ask(conn, newest.sequence() + CLASSES as u64);
        }
        script.pass(Duration::from_millis(100));
    }
    assert!(script.swarm.uplink.carrier.carries_any(child));
    script.take_sent(child);
    script.announce(child, at_hops(5, &newest));
    let have = script.have(&newest);
    script.say(child, have);
    script.pass(Duration::from_secs(2));
    assert!(
        !script.was_asked(child, &newest),
        "nobody is short of anything"
    );

    script.swarm.uplink.measured_for_a_test(400_000.0);
    script.pass(Duration::from_secs(2));
    assert!(script.was_asked(child, &newest));
    script.answer(child, &newest);
    script.pass(Duration::from_secs(5));
    assert!(!script.was_asked(child, &newest), "it kept its word");
}

#[test]
fn who_can_be_called_asks_those_ahead_first_who_cannot() {
    let mut script = Script::viewer();
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let open = Live {
        called: true,
        ..at_hops(0, &first)
    };
    let can = script.meet(1, open, Message::HaveNone);
    let cannot = script.meet(2, at_hops(0, &first), Message::HaveNone);
    for conn in [can, cannot] {
        script.say(conn, Message::Unchoke);
    }
    let mut asked = [0, 0];
    for _ in 0..20 {
        let newest = script.seal(300, Flags::NONE);
        for (conn, called) in [(can, true), (cannot, false)] {
            let live = Live {
                called,
                ..at_hops(0, &newest)
            };
            script.announce(conn, live);
            let have = script.have(&newest);
            script.say(conn, have);
        }
        script.pass(Duration::from_millis(50));
        asked[0] += script.requests_to(can).len();
        asked[1] += script.requests_to(cannot).len();
    }
    assert!(asked[1] > asked[0], "{asked:?}");
}

#[test]
fn what_is_left_of_a_full_uplink_is_kept_for_the_classes_in_which_we_are_nearest_to_the_source() {
    let mut script = Script::viewer();
    let first = script.seal(15_000, Flags::RANDOM_ACCESS);
    let holder = script.meet_holder(1, &first);
    script.give(holder, &first);
    let askers: Vec<_> = (2..10)
        .map(|number| script.meet(number, at_hops(9, &first), Message::HaveNone))
        .collect();
    let now = script.now.at + Duration::from_secs(10);
    let swarm = &mut script.swarm;
    for class in 0..CLASSES {
        swarm.hops.follows(class, if class == 0 { 1 } else { 2 });
    }
    // Twelve places: two copies of the stream.
    swarm.uplink.carrier.carries(now, 2.2);
    let in_class = |class: usize| class as Sequence;
    assert!(
        swarm.carries(now, askers[0], in_class(1)),
        "it was never full"
    );
    swarm.uplink.measured_for_a_test(1e6);
    let mut given = [0; CLASSES];
    for &conn in &askers {
        for class in (0..CLASSES).rev() {
            given[class] += usize::from(swarm.carries(now, conn, in_class(class)));
        }
    }
    assert_eq!(given[0], askers.len(), "{given:?}");
    let others: usize = given[1..].iter().sum();
    // Those that are carried stay.
    assert!(given[1] >= 1 && others < CLASSES, "{given:?}");
}
