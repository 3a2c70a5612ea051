// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Tuning in, release and the end.

use super::*;

fn viewer(latency: Duration) -> Script {
    Script::new(Role::Viewer { latency })
}

fn joined(script: &Script) -> bool {
    script
        .swarm
        .viewer
        .as_ref()
        .and_then(Viewer::next)
        .is_some()
}

#[test]
fn a_tip_that_was_not_verified_confirms_nothing() {
    let mut script = Script::viewer();
    let wall = script.now.wall;
    script.now.wall = wall - 3_600_000_000;
    let recorded = script.seal(300, Flags::RANDOM_ACCESS);
    script.now.wall = wall;
    for number in [1, 2] {
        let conn = script.meet(number, Script::tip_of(&recorded), Message::HaveNone);
        let mut claimed = *recorded.proof().bytes();
        claimed[..8].copy_from_slice(&(recorded.sequence() - 1).to_be_bytes());
        claimed[8..16].copy_from_slice(&wall.to_be_bytes());
        let live = Live {
            tip: Some(claimed),
            ..Live::default()
        };
        script.announce(conn, live);
    }
    script.pass(Duration::from_millis(2900));
    assert!(!joined(&script), "a recording is not joined that soon");
    script.pass(Duration::from_millis(300));
    assert!(joined(&script));
    let unconfirmed = |event: &Event| matches!(event, Event::Unconfirmed { .. });
    assert!(script.events.iter().any(unconfirmed));
}

#[test]
fn a_viewer_whose_clock_is_an_hour_ahead_joins_a_stream_that_goes_on() {
    let mut script = Script::viewer();
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    script.now.wall += 3_600_000_000;
    let conn = script.meet_holder(1, &first);
    for _ in 0..8 {
        let wall = script.now.wall;
        script.now.wall = wall - 3_600_000_000;
        let piece = script.seal(300, Flags::RANDOM_ACCESS);
        script.now.wall = wall;
        script.give(conn, &piece);
        script.pass(Duration::from_millis(500));
    }
    assert!(joined(&script));
}

#[test]
fn memory_smaller_than_the_latency_shortens_it_and_loses_nothing() {
    let latency = Duration::from_secs(20);
    let mut script = Script::with(Role::Viewer { latency }, |config| {
        config.buffer_size = 100_000;
    });
    let first = script.seal(10_000, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &first);
    for _ in 0..50 {
        let piece = script.seal(10_000, Flags::NONE);
        script.give(conn, &piece);
        script.pass(Duration::from_millis(200));
    }
    let delivered = script.delivered();
    let expected: Vec<_> = (first.sequence()..).take(delivered.len()).collect();
    assert_eq!(delivered, expected);
    assert!(delivered.len() >= 40, "{}", delivered.len());
    assert_eq!(script.swarm.stats(script.now).pieces_skipped, 0);
}

#[test]
fn memory_bounds_what_waits_for_a_downstream_that_is_paused() {
    let mut script = Script::with(
        Role::Viewer {
            latency: Duration::ZERO,
        },
        |config| config.buffer_size = 100_000,
    );
    let first = script.seal(10_000, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &first);
    script.swarm.viewer.as_mut().unwrap().take_room();
    let pieces: Vec<_> = (0..50)
        .map(|_| {
            let piece = script.seal(10_000, Flags::NONE);
            script.give(conn, &piece);
            script.pass(Duration::from_millis(200));
            piece
        })
        .collect();
    assert_eq!(script.delivered.len(), 1);
    let held = |script: &Script| script.swarm.store.range_from(0).count();
    assert!(held(&script) <= 10);
    // Another peer shows what memory had no room for: it is not fetched to be dropped again.
    let mut bits = vec![0u8; NPIECES as usize / 8];
    for piece in &pieces {
        let index = script.swarm.lap.index(piece.sequence()) as usize;
        bits[index / 8] |= 0x80 >> (index % 8);
    }
    let live = Script::tip_of(pieces.last().unwrap());
    let live = Live {
        floor: None,
        ..live
    };
    let other = script.meet(2, live, Message::Bitfield(bits.into()));
    script.say(other, Message::Unchoke);
    let asked = script.take_sent(other);
    let request = |message: &Message| matches!(message, Message::Request(_));
    assert!(!asked.iter().any(request), "{asked:?}");
    script.input(Input::Room(100));
    script.pass(Duration::from_secs(3));
    let delivered = script.delivered();
    assert_eq!(
        delivered.last(),
        pieces.last().map(Piece::sequence).as_ref()
    );
    assert!(delivered.len() > 5);
}

#[test]
fn an_end_that_nobody_can_give_is_an_end_all_the_same() {
    let mut script = Script::viewer();
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &first);
    script.pass(Duration::from_secs(2));
    assert_eq!(script.delivered.len(), 1);
    let end = script.seal(300, Flags::END);
    script.announce(conn, Script::tip_of(&end));
    script.input(Input::Closed {
        conn,
        reason: "reset".to_owned(),
    });
    script.pass(Duration::from_secs(5));
    assert!(!script.events.contains(&Event::Ended), "it may still come");
    script.pass(Duration::from_secs(15));
    assert!(script.events.contains(&Event::Ended));
}

#[test]
fn jumping_to_live_from_there_changes_nothing() {
    let mut script = viewer(Duration::ZERO);
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &first);
    script.input(Input::JumpToLive);
    let next = script.seal(300, Flags::NONE);
    script.give(conn, &next);
    script.pass(Duration::from_millis(100));
    assert_eq!(script.delivered(), [first.sequence(), next.sequence()]);
    assert!(!script.delivered[1].discont);
}

#[test]
fn a_start_is_no_hole_to_wait_for() {
    for gap in [3, 65_536] {
        let mut script = viewer(Duration::ZERO);
        let first = script.seal(300, Flags::RANDOM_ACCESS);
        let conn = script.meet_holder(1, &first);
        script.pass(Duration::from_millis(400));
        script.answer(conn, &first);
        script.pass(Duration::from_secs(2));
        script.restart(gap);
        let start = script.seal(300, Flags::RANDOM_ACCESS);
        script.give(conn, &start);
        script.pass(Duration::from_millis(100));
        assert_eq!(script.delivered(), [first.sequence(), start.sequence()]);
        assert!(script.delivered[1].discont);
        let stats = script.swarm.stats(script.now);
        assert_eq!(stats.pieces_skipped, 0, "nothing ever was in the gap");
    }
}

#[test]
fn what_is_held_before_it_plays_has_a_floor() {
    let mut script = Script::viewer();
    assert_eq!(
        script.swarm.live(script.now).ahead,
        0,
        "it means to get nothing yet"
    );
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let second = script.seal(300, Flags::NONE);
    let conn = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    assert_eq!(script.swarm.live(script.now).floor, None);
    script.give(conn, &second);
    assert!(script.delivered.is_empty());
    let live = script.swarm.live(script.now);
    assert_eq!(live.floor, Some(first.sequence()));
    assert!(live.ahead > 0);
}

#[test]
fn what_a_start_leapt_over_is_not_fetched_any_more() {
    let mut script = viewer(Duration::ZERO);
    let claimed = script.seal(300, Flags::NONE);
    let start = script.seal(300, Flags::RANDOM_ACCESS);
    let live = Live {
        ra: Some(claimed.sequence()),
        ..Script::tip_of(&start)
    };
    let live = Live {
        floor: None,
        ..live
    };
    let conn = script.meet(1, live, Message::HaveNone);
    for piece in [&claimed, &start] {
        let have = script.have(piece);
        script.say(conn, have);
    }
    script.say(conn, Message::Unchoke);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &start);
    assert_eq!(script.delivered(), [start.sequence()]);
    let cancel = Message::Cancel(script.block(claimed.sequence()));
    assert!(script.take_sent(conn).contains(&cancel));
}

#[test]
fn what_is_leapt_over_is_told_whatever_comes_next() {
    let mut script = viewer(Duration::ZERO);
    let entry = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &entry);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &entry);
    assert_eq!(script.delivered(), [entry.sequence()]);
    // All that follows leaves the window before anybody gives it.
    let missed: Vec<_> = (0..2 * NPIECES)
        .map(|_| script.seal(300, Flags::NONE))
        .collect();
    let after = script.seal(300, Flags::NONE);
    script.give(conn, &after);
    script.pass(Duration::from_millis(50));
    assert_eq!(script.delivered(), [entry.sequence(), after.sequence()]);
    let skipped: Vec<_> = script
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Skipped { pieces, bytes } => Some((*pieces, *bytes)),
            _ => None,
        })
        .collect();
    let pieces = missed.len() as u64;
    assert_eq!(skipped, [(pieces, 300 * pieces)]);
}

/// A viewer that holds an entry and what follows the piece after it, which is missing: a peer shows
/// that piece and does not give it.
fn holed() -> (Script, ConnId, Piece) {
    let mut script = Script::viewer();
    let entry = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &entry);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &entry);
    let missing = script.seal(300, Flags::NONE);
    let have = script.have(&missing);
    script.say(conn, have);
    assert!(script.was_asked(conn, &missing));
    script.pass(Duration::from_millis(50));
    let after = script.seal(300, Flags::NONE);
    script.give(conn, &after);
    (script, conn, missing)
}

#[test]
fn a_viewer_begins_when_it_holds_what_follows_the_entry() {
    let (mut script, conn, missing) = holed();
    script.pass(Duration::from_millis(1400));
    assert!(script.delivered().is_empty(), "it would begin with a hole");
    script.answer(conn, &missing);
    assert_eq!(script.delivered().len(), 3);
    assert_eq!(script.swarm.stats(script.now).pieces_skipped, 0);
}

#[test]
fn a_viewer_does_not_wait_for_what_follows_the_entry_for_ever() {
    let (mut script, ..) = holed();
    script.pass(Duration::from_millis(4000));
    assert_eq!(script.delivered().len(), 2);
    assert_eq!(script.swarm.stats(script.now).pieces_skipped, 1);
}

/// A viewer with this latency that was given the first piece, a random access point.
fn begun(latency: Duration) -> (Script, ConnId, Piece) {
    let mut script = viewer(latency);
    let first = script.seal(300, Flags::RANDOM_ACCESS);
    let conn = script.meet_holder(1, &first);
    script.pass(Duration::from_millis(400));
    script.answer(conn, &first);
    (script, conn, first)
}

const A_PIECE: Duration = Duration::from_millis(100);

#[test]
fn an_entry_with_more_holes_than_pieces_behind_it_is_left_for_the_next() {
    let (mut script, conn, _) = begun(Duration::from_secs(2));
    for _ in 0..8 {
        script.seal(300, Flags::NONE);
        script.pass(A_PIECE);
    }
    let second = script.seal(300, Flags::RANDOM_ACCESS);
    script.give(conn, &second);
    for _ in 0..30 {
        script.pass(A_PIECE);
        let piece = script.seal(300, Flags::NONE);
        script.give(conn, &piece);
    }
    let delivered = script.delivered();
    assert_eq!(delivered.first(), Some(&second.sequence()));
    let expected: Vec<_> = (second.sequence()..).take(delivered.len()).collect();
    assert_eq!(delivered, expected);
    assert_eq!(script.swarm.stats(script.now).pieces_skipped, 0);
}

#[test]
fn a_start_before_a_hole_waits_for_it_and_not_for_long() {
    for hole in [false, true] {
        let (mut script, conn, first) = begun(Duration::from_secs(1));
        let began = script.now.at;
        let mut played_at = None;
        for number in 0..40 {
            let piece = script.seal(300, Flags::NONE);
            if hole && number == 1 {
                let have = script.have(&piece);
                script.say(conn, have);
            } else {
                script.give(conn, &piece);
            }
            script.pass(A_PIECE);
            if played_at.is_none() && !script.delivered.is_empty() {
                assert_eq!(script.delivered[0].sequence, first.sequence());
                played_at = Some(script.now.at.since(began));
            }
        }
        let played_at = played_at.expect("it plays");
        let millis = if hole { 2000..2500 } else { 400..900 };
        assert!(millis.contains(&played_at.as_millis()), "{played_at:?}");
    }
}
