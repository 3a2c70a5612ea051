// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The release: holes, distances, pauses, clocks that are set.

use super::*;

const A_PIECE: Duration = Duration::from_millis(100);
const LATENCY: Duration = Duration::from_secs(1);

fn playback() -> Playback {
    Playback {
        latency: LATENCY,
        max_rate_change: 0.05,
        ..Playback::default()
    }
}

/// A viewer that plays, and the peer that gives it everything.
struct Playing {
    script: Script,
    conn: ConnId,
    /// Of each delivery: when.
    at: Vec<Instant>,
    number: u64,
    /// How far the source's clock is ahead of the calendar, µs.
    ahead: u64,
}

impl Playing {
    fn new(playback: Playback) -> Self {
        let mut script = Script::viewer();
        script.input(Input::SetPlayback(playback));
        let first = script.seal(300, Flags::RANDOM_ACCESS);
        let conn = script.meet_holder(1, &first);
        script.pass(Duration::from_millis(400));
        script.answer(conn, &first);
        Self {
            script,
            conn,
            at: Vec::new(),
            number: 1,
            ahead: 0,
        }
    }

    /// The source closes a piece, the tenth with a random access point.
    fn seal(&mut self) -> Piece {
        let is_access = self.number.is_multiple_of(10);
        self.number += 1;
        let flags = if is_access {
            Flags::RANDOM_ACCESS
        } else {
            Flags::NONE
        };
        self.script.now.wall += self.ahead;
        let piece = self.script.seal(300, flags);
        self.script.now.wall -= self.ahead;
        piece
    }

    /// Time passes in small steps, so that it is known when something was delivered.
    fn pass(&mut self, duration: Duration) {
        let step = Duration::from_millis(5);
        for _ in 0..duration.as_millis() / step.as_millis() {
            self.script.now.at = self.script.now.at + step;
            self.script.now.wall += 5000;
            self.script.input(Input::Timeout);
            self.note();
        }
    }

    fn note(&mut self) {
        self.at
            .resize(self.script.delivered.len(), self.script.now.at);
    }

    /// So many pieces, each given as soon as it is there.
    fn broadcast(&mut self, pieces: u64) {
        for _ in 0..pieces {
            let piece = self.seal();
            self.script.give(self.conn, &piece);
            self.note();
            self.pass(A_PIECE);
        }
    }

    /// A piece that a peer shows and does not give.
    fn withhold(&mut self) -> Piece {
        let piece = self.seal();
        self.script.announce(self.conn, Script::tip_of(&piece));
        let have = self.script.have(&piece);
        self.script.say(self.conn, have);
        self.pass(A_PIECE);
        piece
    }

    /// The longest and the shortest time between two deliveries of late.
    fn intervals(&self, from: usize) -> (u128, u128) {
        let of = |w: &[Instant]| w[1].since(w[0]).as_millis();
        let times = || self.at[from..].windows(2).map(of);
        (times().min().unwrap(), times().max().unwrap())
    }

    fn skipped(&self) -> u64 {
        self.script.swarm.stats(self.script.now).pieces_skipped
    }

    fn distance(&self) -> u128 {
        let stats = self.script.swarm.stats(self.script.now);
        stats.live_distance.as_millis()
    }
}

#[test]
fn what_comes_unevenly_goes_out_evenly() {
    let mut playing = Playing::new(playback());
    playing.broadcast(30);
    let from = playing.at.len();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut waiting = Vec::new();
    for _ in 0..300 {
        waiting.push(playing.seal());
        // Up to five pieces at a time, then none for half a second.
        if rng.u8(..5) == 0 || waiting.len() > 4 {
            for piece in waiting.drain(..) {
                playing.script.give(playing.conn, &piece);
            }
        }
        playing.pass(A_PIECE);
    }
    let (shortest, longest) = playing.intervals(from);
    assert!(
        shortest >= 90 && longest <= 110,
        "{shortest} to {longest} ms"
    );
    assert_eq!(playing.skipped(), 0);
}

#[test]
fn a_source_whose_clock_is_set_forward_is_shown_on_evenly() {
    let mut playing = Playing::new(playback());
    playing.broadcast(30);
    let from = playing.at.len();
    playing.ahead = 3_600_000_000;
    playing.broadcast(60);
    let (shortest, longest) = playing.intervals(from);
    assert!(
        shortest >= 90 && longest <= 110,
        "{shortest} to {longest} ms"
    );
    assert_eq!(playing.skipped(), 0);
    assert!(
        playing.distance().abs_diff(1000) <= 110,
        "{}",
        playing.distance()
    );
}

#[test]
fn a_calendar_that_is_set_here_changes_nothing() {
    let mut playing = Playing::new(playback());
    playing.broadcast(30);
    let from = playing.at.len();
    // The source goes on by its own.
    playing.script.now.wall -= 3_600_000_000;
    playing.ahead = 3_600_000_000;
    playing.broadcast(60);
    let (shortest, longest) = playing.intervals(from);
    assert!(
        shortest >= 90 && longest <= 110,
        "{shortest} to {longest} ms"
    );
}

/// Holes that stay open; what was delivered after the first of them.
fn after_a_hole(on_loss: OnLoss, hole_at: u64, every: u64) -> (Vec<u64>, u64) {
    let mut playing = Playing::new(Playback {
        on_loss,
        ..playback()
    });
    playing.broadcast(hole_at);
    let hole = playing.withhold().sequence();
    if every > 10 {
        // No random access point any more.
        playing.number = 1_000_001;
        for _ in 0..every {
            playing.number = 1_000_001;
            playing.broadcast(1);
        }
    } else {
        playing.broadcast(40);
    }
    playing.pass(Duration::from_secs(2));
    let delivered = playing.script.delivered();
    let after = delivered
        .into_iter()
        .filter(|s| *s > hole)
        .map(|s| s - hole);
    (after.collect(), playing.skipped())
}

#[test]
fn after_a_hole_the_next_piece_is_shown() {
    let (after, skipped) = after_a_hole(OnLoss::Skip, 24, 10);
    assert_eq!(after[0], 1);
    assert_eq!(skipped, 1);
}

#[test]
fn after_a_hole_the_next_key_frame_is_shown_when_that_is_asked_for() {
    let (after, skipped) = after_a_hole(OnLoss::NextKeyframe, 24, 10);
    // Of pieces 0, 10, 20, 30 … with a random access point the one after the hole, at 25.
    assert_eq!(after[0], 5);
    assert_eq!(skipped, 5);
}

#[test]
fn a_key_frame_that_does_not_come_is_waited_for_two_seconds() {
    let (after, _) = after_a_hole(OnLoss::NextKeyframe, 24, 60);
    assert_eq!(after[0], 21);
}

#[test]
fn a_missing_piece_is_waited_for_until_its_time_and_not_longer() {
    let mut playing = Playing::new(playback());
    playing.broadcast(24);
    let hole = playing.withhold();
    let closed = playing.script.now.at;
    playing.broadcast(8);
    assert!(
        playing
            .script
            .delivered()
            .iter()
            .all(|&s| s < hole.sequence())
    );
    playing.broadcast(5);
    let delivered = playing.script.delivered();
    let next = delivered.iter().position(|&s| s > hole.sequence()).unwrap();
    let waited = playing.at[next].since(closed).as_millis();
    assert!((950..1080).contains(&waited), "{waited} ms");
    assert!(playing.script.delivered[next].discont);
}

#[test]
fn another_latency_is_reached_by_rate_or_by_a_jump() {
    let mut playing = Playing::new(playback());
    playing.broadcast(50);
    for (latency, pieces) in [(1500, 150), (1000, 150), (6000, 120), (1000, 250)] {
        let latency = Duration::from_millis(latency);
        let playback = Playback {
            latency,
            ..playback()
        };
        playing.script.input(Input::SetPlayback(playback));
        playing.broadcast(pieces);
        let off = playing.distance().abs_diff(latency.as_millis());
        assert!(off <= 120, "{off} ms off {latency:?}");
        assert_eq!(
            playing.script.swarm.stats(playing.script.now).playback_rate,
            1.0
        );
    }
    let discont = playing.script.delivered.iter().filter(|d| d.discont);
    assert_eq!(discont.count(), 3, "the start, a wait and a jump");
    assert!(playing.skipped() >= 40, "a jump over what is too old");
    let increasing = playing.script.delivered().windows(2).all(|w| w[0] < w[1]);
    assert!(increasing, "nothing is repeated");
}

#[test]
fn without_a_change_of_rate_another_latency_is_reached_by_jumps() {
    let mut playing = Playing::new(Playback {
        max_rate_change: 0.0,
        ..playback()
    });
    playing.broadcast(50);
    for latency in [2000, 1000] {
        let latency = Duration::from_millis(latency);
        playing.script.input(Input::SetPlayback(Playback {
            latency,
            max_rate_change: 0.0,
            ..playback()
        }));
        playing.broadcast(60);
        let off = playing.distance().abs_diff(latency.as_millis());
        assert!(off <= 120, "{off} ms off {latency:?}");
        let rates = playing
            .script
            .delivered
            .iter()
            .map(|delivery| delivery.rate);
        assert!(rates.clone().all(|rate| rate == 1.0));
    }
}

#[test]
fn a_pause_is_made_up_for_by_a_jump_or_not_at_all() {
    for keep_position in [false, true] {
        let mut playing = Playing::new(playback());
        playing.broadcast(50);
        playing.script.input(Input::Pause);
        let before = playing.script.delivered().len();
        playing.broadcast(100);
        assert_eq!(playing.script.delivered().len(), before, "nothing goes out");
        playing.script.input(Input::Resume { keep_position });
        playing.broadcast(30);
        let delivered = playing.script.delivered();
        let follows = delivered[before] == delivered[before - 1] + 1;
        assert_eq!(follows, keep_position);
        if keep_position {
            assert_eq!(playing.skipped(), 0);
            assert!(playing.distance() > 10_000, "{} ms", playing.distance());
            playing.script.input(Input::Room(3000));
            playing.broadcast(2200);
            assert_eq!(playing.skipped(), 0);
        }
        let off = playing.distance().abs_diff(1000);
        assert!(off <= 200, "{off} ms off");
    }
}

#[test]
fn who_kept_more_than_memory_holds_goes_on_with_what_is_left() {
    let mut playing = Playing::new(playback());
    playing.script.swarm.store = Store::new(playing.script.swarm.lap, 40_000);
    playing.broadcast(20);
    playing.script.input(Input::Pause);
    playing.broadcast(200);
    let before = playing.script.delivered().len();
    playing.script.input(Input::Resume {
        keep_position: true,
    });
    playing.broadcast(10);
    assert!(
        playing.script.delivered().len() > before,
        "no time is spent on what is gone"
    );
}

/// A viewer of a stream that goes on for 1.4 s with a key frame a second, which a peer holds.
fn late_joiner(playback: Playback) -> (Script, Vec<Piece>) {
    let mut script = Script::viewer();
    script.input(Input::SetPlayback(playback));
    let pieces: Vec<_> = (0..14)
        .map(|number| {
            let flags = if number % 10 == 0 {
                Flags::RANDOM_ACCESS
            } else {
                Flags::NONE
            };
            let piece = script.seal(300, flags);
            script.now.at = script.now.at + A_PIECE;
            script.now.wall += 100_000;
            piece
        })
        .collect();
    let conn = ConnId(1);
    script.call(conn, 1);
    let mut handshake = script.handshake();
    handshake.peer_id[19] = 1;
    script.say(conn, Message::Handshake(handshake));
    let tip = pieces.last().unwrap();
    let live = Live {
        ra: Some(pieces[10].sequence()),
        floor: Some(pieces[0].sequence()),
        ..Script::tip_of(tip)
    };
    let entry = |piece: &Piece| (piece.sequence(), piece.time());
    let hello = ExtendedHandshake {
        m: IDS,
        live: Some(live),
        reqq: Some(256),
        entries: vec![entry(&pieces[10]), entry(&pieces[0])],
        ..ExtendedHandshake::default()
    };
    let payload = hello.encode();
    script.say(conn, Message::Extended { id: 0, payload });
    script.say(conn, Message::HaveNone);
    for piece in &pieces {
        let have = script.have(piece);
        script.say(conn, have);
    }
    script.say(conn, Message::Unchoke);
    script.pass(Duration::from_millis(350));
    for _ in 0..10 {
        for message in script.take_sent(conn) {
            let Message::Request(asked) = message else {
                continue;
            };
            let is_asked = |piece: &&Piece| script.block(piece.sequence()) == asked;
            let piece = pieces.iter().find(is_asked).unwrap();
            script.answer(conn, piece);
        }
    }
    (script, pieces)
}

#[test]
fn a_viewer_that_has_all_goes_back_to_a_key_frame_that_is_due() {
    for max_rate_change in [0.0, 0.05] {
        let (script, pieces) = late_joiner(Playback {
            max_rate_change,
            ..playback()
        });
        assert_eq!(script.delivered().first(), Some(&pieces[0].sequence()));
        assert_eq!(script.swarm.stats(script.now).pieces_skipped, 0);
    }
}

#[test]
fn who_wants_to_be_further_back_than_the_stream_goes_begins_with_the_oldest() {
    for max_rate_change in [0.0, 0.05] {
        let (mut script, pieces) = late_joiner(Playback {
            max_rate_change,
            start_offset: Duration::from_secs(60),
            ..playback()
        });
        script.pass(Duration::from_secs(2));
        let expected: Vec<_> = pieces.iter().map(Piece::sequence).collect();
        assert_eq!(script.delivered(), expected, "none is waited for");
    }
}
