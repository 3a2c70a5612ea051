// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Random messages in random order from several peers, and what must hold after each.

use std::collections::BTreeMap;

use super::*;

/// Bytes of one PIECE message but the last.
const BLOCK: usize = 16_384;

/// What peers asked for and have no answer to.
#[derive(Default)]
struct Ledger {
    /// Indices, one entry a request.
    owed: BTreeMap<ConnId, Vec<u32>>,
    /// The index of the answer under way, and how much of it came.
    begun: BTreeMap<ConnId, (u32, usize)>,
    /// Pieces that were given, and requests that were rejected.
    given: usize,
    rejected: usize,
}

impl Ledger {
    fn say(&mut self, script: &mut Script, conn: ConnId, message: Message) {
        if let Message::Request(block) = &message {
            self.owed.entry(conn).or_default().push(block.index);
        }
        script.say(conn, message);
        self.balance(script);
    }

    /// Books what was sent: each answer belongs to a request, and what the swarm means to answer is what
    /// has no answer.
    fn balance(&mut self, script: &mut Script) {
        for (conn, message) in std::mem::take(&mut script.sent) {
            match message {
                Message::Reject(block) => {
                    assert_eq!(
                        block,
                        Block {
                            begin: 0,
                            length: PIECE_LENGTH,
                            ..block
                        }
                    );
                    self.answered(conn, block.index);
                    self.rejected += 1;
                }
                Message::Piece {
                    index,
                    begin,
                    block,
                } => {
                    let begun = self.begun.remove(&conn);
                    assert_eq!(begun.unwrap_or((index, 0)), (index, begin as usize));
                    // Only the last block is shorter, and no piece here is of whole blocks.
                    if block.len() == BLOCK {
                        self.begun.insert(conn, (index, BLOCK + begin as usize));
                    } else {
                        self.answered(conn, index);
                        self.given += 1;
                    }
                }
                _ => {}
            }
        }
        let peers = &script.swarm.peers;
        self.owed.retain(|conn, _| peers.contains_key(conn));
        self.begun.retain(|conn, _| peers.contains_key(conn));
        for (conn, owed) in &mut self.owed {
            let peer = peers.get(conn).unwrap();
            let mut means: Vec<_> = peer.pending.iter().map(|pending| pending.index).collect();
            means.extend(peer.answer.as_ref().map(|answer| answer.index));
            means.sort_unstable();
            owed.sort_unstable();
            assert_eq!(means, *owed, "each request has one answer");
        }
    }

    fn answered(&mut self, conn: ConnId, index: u32) {
        let owed = self.owed.entry(conn).or_default();
        let at = owed.iter().position(|owed| *owed == index);
        owed.remove(at.expect("an answer to what was asked for"));
    }
}

/// What a scripted peer may come up with, well-formed or not.
fn anything(
    script: &Script,
    conn: ConnId,
    pieces: &[Piece],
    rng: &mut fastrand::Rng,
) -> Vec<Message> {
    let piece = &pieces[rng.usize(..pieces.len())];
    if rng.bool()
        && let Some(request) = script.swarm.peers.get(&conn).unwrap().requests.first()
        && let Some(asked) = pieces.iter().find(|p| p.sequence() == request.sequence)
    {
        let index = script.swarm.lap.index(request.sequence);
        return blocks(index, &perhaps_damaged(asked, rng));
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
    let message = match rng.u8(..16) {
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
        _ => return blocks(index, &perhaps_damaged(piece, rng)),
    };
    vec![message]
}

/// An answer.
fn blocks(index: u32, bytes: &Bytes) -> Vec<Message> {
    let block = |begin: usize| Message::Piece {
        index,
        begin: begin as u32,
        block: bytes.slice(begin..(begin + BLOCK).min(bytes.len())),
    };
    (0..bytes.len()).step_by(BLOCK).map(block).collect()
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
        0 | 1 => Flags::END,
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

/// Two thousand steps; how many pieces were delivered, and given, and how many requests rejected.
fn run(seed: u64, role: Role) -> [usize; 3] {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut script = Script::new(role);
    let mut pieces = Vec::new();
    let mut conns: Vec<ConnId> = Vec::new();
    let mut ledger = Ledger::default();
    let mut number = 0;
    for _ in 0..2000 {
        let known = (&mut pieces, &mut conns, &mut number);
        step(&mut script, &mut ledger, known, &mut rng);
        ledger.balance(&mut script);
        check(&script, &pieces);
    }
    [script.delivered.len(), ledger.given, ledger.rejected]
}

/// Twenty runs.
fn runs(role: Role) -> [usize; 3] {
    let mut all = [0; 3];
    for seed in 0..20 {
        for (sum, one) in all.iter_mut().zip(run(seed, role)) {
            *sum += one;
        }
    }
    all
}

fn step(
    script: &mut Script,
    ledger: &mut Ledger,
    (pieces, conns, number): (&mut Vec<Piece>, &mut Vec<ConnId>, &mut u64),
    rng: &mut fastrand::Rng,
) {
    match rng.u8(..20) {
        0 => {
            if rng.u8(..) < 8 {
                // The source starts again, and leaves out none, a few, a lap or many.
                let gap = [0, rng.u64(1..20), 300, 65_536][rng.usize(..4)];
                script.restart(gap);
            }
            let payload = if rng.u8(..) < 20 {
                18_000
            } else {
                rng.usize(..900)
            };
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
            for message in anything(script, conn, &pieces[recent..], rng) {
                ledger.say(script, conn, message);
            }
            conns.retain(|conn| script.swarm.peers.contains_key(conn));
        }
        _ => {}
    }
}

#[test]
fn no_order_of_messages_makes_a_viewer_deliver_what_it_must_not() {
    let latency = Duration::from_millis(300);
    let [delivered, given, rejected] = runs(Role::Viewer { latency });
    assert!(delivered > 100, "the runs get somewhere");
    assert!(
        given > 10 && rejected > 100,
        "{given} given, {rejected} rejected"
    );
}

#[test]
fn no_order_of_messages_breaks_a_source() {
    let [delivered, given, rejected] = runs(Role::Source);
    assert_eq!(delivered, 0);
    assert!(
        given > 100 && rejected > 100,
        "{given} given, {rejected} rejected"
    );
}
