// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Random messages in random order from several peers, and what must hold after each.

use super::*;

/// What a scripted peer may come up with, well-formed or not.
fn anything(script: &Script, conn: ConnId, pieces: &[Piece], rng: &mut fastrand::Rng) -> Message {
    let piece = &pieces[rng.usize(..pieces.len())];
    if rng.bool()
        && let Some(request) = script.swarm.peers.get(&conn).unwrap().requests.first()
        && let Some(asked) = pieces.iter().find(|p| p.sequence() == request.sequence)
    {
        return Message::Piece {
            index: script.swarm.lap.index(request.sequence),
            begin: 0,
            block: perhaps_damaged(asked, rng),
        };
    }
    let index = if rng.u8(..) < 200 {
        script.swarm.lap.index(piece.sequence())
    } else {
        rng.u32(..NPIECES + 1)
    };
    let block = Block {
        index,
        begin: 0,
        length: PIECE_LENGTH,
    };
    match rng.u8(..16) {
        0 => Message::Choke,
        1 | 2 => Message::Unchoke,
        3 => Message::Interested,
        4 => Message::NotInterested,
        5..8 => Message::Have(index),
        8 => Message::Request(block),
        9 => Message::Cancel(block),
        10 => Message::Reject(block),
        11 => Message::KeepAlive,
        12 => Message::Extended {
            id: OUR_LIVE,
            payload: any_live(piece, rng).encode(),
        },
        13 => Message::Extended {
            id: rng.u8(..6),
            payload: (0..rng.usize(..40)).map(|_| rng.u8(..)).collect(),
        },
        _ => Message::Piece {
            index,
            begin: 0,
            block: perhaps_damaged(piece, rng),
        },
    }
}

fn any_live(piece: &Piece, rng: &mut fastrand::Rng) -> Live {
    Live {
        ra: rng.bool().then(|| rng.u64(..)),
        floor: rng
            .bool()
            .then(|| piece.sequence().saturating_sub(rng.u64(..300))),
        hops: Some(rng.u8(..)),
        ..Script::tip_of(piece)
    }
}

fn perhaps_damaged(piece: &Piece, rng: &mut fastrand::Rng) -> Bytes {
    let mut bytes = piece.bytes().to_vec();
    if rng.u8(..) < 10 {
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1;
    }
    bytes.into()
}

fn any_flags(rng: &mut fastrand::Rng) -> Flags {
    match rng.u8(..40) {
        0 => Flags::START | Flags::DISCONTINUITY,
        1 => Flags::END,
        2..5 => Flags::DISCONTINUITY,
        5..15 => Flags::RANDOM_ACCESS,
        _ => Flags::NONE,
    }
}

fn check(script: &Script, pieces: &[Piece]) {
    let in_order = script
        .delivered
        .windows(2)
        .all(|pair| pair[0].sequence < pair[1].sequence);
    assert!(in_order, "each piece at most once and in order");
    if let Some(last) = script.delivered.last() {
        let genuine = pieces
            .iter()
            .find(|piece| piece.sequence() == last.sequence);
        assert_eq!(genuine.map(Piece::payload).as_ref(), Some(&last.payload));
    }
    let swarm = &script.swarm;
    for peer in swarm.peers.values() {
        assert!(peer.pending.len() <= 256 && peer.requests.len() <= 256);
        assert!(peer.given.len() <= NPIECES as usize);
    }
    assert!(swarm.wanted.len() <= NPIECES as usize);
    assert!(swarm.peers.len() <= 50 + 64);
}

/// Two thousand steps; how many pieces were delivered.
fn run(seed: u64, role: Role) -> usize {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut script = Script::new(role);
    let mut pieces = Vec::new();
    let mut conns: Vec<ConnId> = Vec::new();
    let mut number = 0;
    for _ in 0..2000 {
        step(&mut script, &mut pieces, &mut conns, &mut number, &mut rng);
        script.sent.clear();
        check(&script, &pieces);
    }
    script.delivered.len()
}

fn step(
    script: &mut Script,
    pieces: &mut Vec<Piece>,
    conns: &mut Vec<ConnId>,
    number: &mut u64,
    rng: &mut fastrand::Rng,
) {
    match rng.u8(..20) {
        0 => {
            let payload = rng.usize(..900);
            let piece = script.seal(payload, any_flags(rng));
            pieces.push(piece.clone());
            if script.swarm.config.role == Role::Source {
                script.input(Input::Publish(piece));
            }
        }
        _ if pieces.is_empty() => {}
        1 if *number < 250 && conns.len() < 8 => {
            *number += 1;
            let live = Script::tip_of(&pieces[rng.usize(..pieces.len())]);
            conns.push(script.meet(*number, live, Message::HaveNone));
        }
        2 => script.pass(Duration::from_millis(rng.u64(..400))),
        3 if !conns.is_empty() && rng.u8(..) < 20 => {
            let conn = conns.swap_remove(rng.usize(..conns.len()));
            let reason = "gone".to_owned();
            script.input(Input::Closed { conn, reason });
        }
        4 if rng.u8(..) < 20 => script.input(Input::JumpToLive),
        _ if !conns.is_empty() => {
            let conn = conns[rng.usize(..conns.len())];
            let recent = pieces.len().saturating_sub(40);
            let message = anything(script, conn, &pieces[recent..], rng);
            script.say(conn, message);
            conns.retain(|conn| script.swarm.peers.contains_key(conn));
        }
        _ => {}
    }
}

#[test]
fn no_order_of_messages_makes_a_viewer_deliver_what_it_must_not() {
    let latency = Duration::from_millis(300);
    let delivered: usize = (0..20)
        .map(|seed| run(seed, Role::Viewer { latency }))
        .sum();
    assert!(delivered > 100, "the runs get somewhere");
}

#[test]
fn no_order_of_messages_breaks_a_source() {
    for seed in 0..20 {
        assert_eq!(run(seed, Role::Source), 0);
    }
}
