// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is said beside the stream, and what it may take.

use super::{super::neighbours::ENOUGH_PEERS, *};

impl Script {
    /// How often a peer is told what changed in ten seconds of ten pieces a second, each of so many bytes.
    fn told_in_ten_seconds(&mut self, conn: ConnId, payload: usize) -> usize {
        self.take_sent(conn);
        for _ in 0..100 {
            self.publish(payload);
            self.pass(Duration::from_millis(100));
        }
        let is_live = |message: &Message| matches!(message, Message::Extended { id: 13, .. });
        let told = self.take_sent(conn);
        told.iter().filter(|message| is_live(message)).count()
    }
}

#[test]
fn few_are_told_each_second_what_changed_and_many_so_often_as_the_stream_affords() {
    for (peers, payload, expected) in [
        (1, 100, 8..=10),
        (20, 100, 4..=5),
        (20, 12_000, 4..=6),
        (20, 100_000, 8..=10),
    ] {
        let mut script = Script::new(Role::Source);
        for number in 1..=peers {
            script.meet(number, Live::default(), Message::HaveNone);
        }
        script.publish(payload);
        let told = script.told_in_ten_seconds(ConnId(1), payload);
        assert!(expected.contains(&told), "{peers}, {payload}: {told}");
    }
}

#[test]
fn a_source_promises_what_its_uplink_carries_beside_what_it_says() {
    let mut script = Script::with(Role::Source, |config| config.upload_budget = 3.0);
    for number in 1..=12 {
        let conn = script.meet(number, Live::default(), Message::HaveNone);
        script.say(conn, Message::Interested);
    }
    let copies = |script: &mut Script, rate: Option<f64>| {
        if let Some(rate) = rate {
            script.swarm.uplink.measured_for_a_test(rate);
        }
        script.told_in_ten_seconds(ConnId(1), 12_000);
        script.swarm.uplink.carrier.copies()
    };
    // Two classes of six for each of seven neighbours.
    assert_eq!(copies(&mut script, None), 14.0 / 6.0);
    assert_eq!(copies(&mut script, Some(1e6)), 14.0 / 6.0, "it is not full");
    let full = copies(&mut script, Some(2.5 * 121_000.0));
    assert_eq!(full, 2.0);
    assert_eq!(
        copies(&mut script, Some(60_000.0)),
        1.0,
        "nobody else has it"
    );
}

#[test]
fn a_viewer_of_short_pieces_has_fewer_neighbours() {
    let mut script = Script::viewer();
    let usual = script.swarm.most_callers();
    let piece = script.seal(2000, Flags::RANDOM_ACCESS);
    let holder = script.meet_holder(1, &piece);
    script.give(holder, &piece);
    let fewer = script.swarm.most_callers();
    assert!(
        fewer >= ENOUGH_PEERS && fewer * 10 <= usual * 7,
        "{fewer} of {usual}"
    );
}
