// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Lies about which piece is the newest, and about what one holds.

use std::{io, net::TcpListener, thread, time::Duration};

use gstlivetorrent::proto::{
    key::PrivateKey,
    lap::Sequence,
    metainfo::Info,
    piece::{Draft, Flags, PROOF_LEN, Sealer},
};

use super::siege::{Field, Siege, Target};
use crate::support::{
    NOWHERE,
    peer::{Peer, Shown, id},
    redirect,
};

/// Shows `change` of the truth.
fn shows(target: &Target, field: &Field, change: impl Fn(&mut Shown)) -> io::Result<()> {
    let mut peer = target.peer()?;
    let mut shown = target.pretence(&mut peer)?;
    change(&mut shown);
    peer.greet(Some(&shown))?;
    field.hit();
    rejects_all(&mut peer, field)
}

/// Turns every request away.
fn rejects_all(peer: &mut Peer, field: &Field) -> io::Result<()> {
    peer.converse(field, |peer, id, payload| match id {
        id::REQUEST => peer.send(id::REJECT, payload),
        _ => Ok(()),
    })
}

fn number_of(tip: &[u8; PROOF_LEN]) -> Sequence {
    u64::from_be_bytes(*tip.first_chunk().unwrap())
}

/// A tip of somebody else's key.
fn forged(info: &Info, sequence: Sequence, flags: Flags) -> [u8; PROOF_LEN] {
    let mut sealer = Sealer::new(PrivateKey::generate(), info.infohash(), sequence, 0);
    let piece = sealer.seal(1, Draft::new(&[], flags));
    *piece.proof().bytes()
}

#[test]
fn a_tip_with_a_changed_number_moves_nothing() {
    Siege::lay().withstands(|field| {
        field.charge(4, |target, _| {
            shows(target, field, |shown| {
                let ahead = number_of(&shown.tip) + 500;
                shown.tip[..8].copy_from_slice(&ahead.to_be_bytes());
            })
        });
    });
}

#[test]
fn tips_and_ends_of_another_key_move_nothing() {
    Siege::lay().withstands(|field| {
        field.charge(4, |target, number| {
            let flags = [Flags::END, Flags::START, Flags::RANDOM_ACCESS][number % 3];
            shows(target, field, |shown| {
                let sequence = number_of(&shown.tip) + 1;
                shown.tip = forged(&target.info, sequence, flags);
            })
        });
    });
}

#[test]
fn peers_that_show_everything_and_reject_everything_keep_nothing_back() {
    Siege::lay().withstands(|field| field.charge(8, |target, _| shows(target, field, |_| ())));
}

#[test]
fn old_tips_and_claims_that_cannot_be_keep_nothing_back() {
    let siege = Siege::lay();
    // Valid, and older with each second; its owner never shows a newer one.
    let mut witness = siege.field().source.peer().unwrap();
    let old = siege.field().source.pretence(&mut witness).unwrap();
    siege.withstands(|field| {
        field.charge(8, |target, number| {
            shows(target, field, |shown| match number % 4 {
                0 => *shown = old.clone(),
                1 => shown.floor = number_of(&shown.tip) + 1000,
                2 => shown.random_access = u64::MAX,
                _ => shown.floor = 0,
            })
        });
    });
}

#[test]
fn absurd_figures_of_a_peer_change_nothing() {
    const ABSURD: [&str; 6] = [
        "5:aheadi18446744073709551615e4:hopc32:",
        "3:capi18446744073709551615e4:hopsi0e3:lagi18446744073709551615e",
        "4:hopc0:4:hopsi256e3:lagi-1e",
        "3:srci1e2:upi18446744073709551615e",
        "5:floori-9223372036854775808e2:rai-1e",
        "4:seeni18446744073709551615e3:srci7e",
    ];
    Siege::lay().withstands(|field| {
        field.charge(ABSURD.len(), |target, number| {
            let mut peer = target.peer()?;
            let shown = target.pretence(&mut peer)?;
            let mut live = ABSURD[number].as_bytes().to_vec();
            if live.ends_with(b"32:") {
                live.extend_from_slice(&[0; 32]);
            }
            // Keys need not be in order, and the truth goes along.
            live.extend_from_slice(&shown.live());
            peer.introduce(&live)?;
            peer.show(Some(&shown))?;
            peer.send(id::UNCHOKE, &[])?;
            peer.send(id::INTERESTED, &[])?;
            field.hit();
            rejects_all(&mut peer, field)
        });
    });
}

/// Takes calls on a port of its own and shows these; gives nothing.
fn lie_in_wait(field: &Field, listener: &TcpListener, shown: &Shown) {
    listener.set_nonblocking(true).unwrap();
    let info = &field.source.info;
    thread::scope(|scope| {
        while field.goes_on() {
            let Ok((socket, _)) = listener.accept() else {
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            scope.spawn(move || {
                socket.set_nonblocking(false)?;
                let mut name = *b"-TE0001-            ";
                name[8..].fill_with(|| fastrand::u8(..));
                let mut peer = Peer::over(socket, info.infohash(), name, info.lap())?;
                peer.socket()
                    .set_read_timeout(Some(Duration::from_millis(500)))?;
                peer.greet(Some(shown))?;
                peer.send(id::UNCHOKE, &[])?;
                field.hit();
                rejects_all(&mut peer, field)
            });
        }
    });
}

#[test]
fn a_joiner_with_nine_liars_and_one_honest_neighbour_finds_the_stream() {
    // An END of the same key, from a broadcast before this one.
    let folder = tempfile::tempdir().unwrap();
    let end = super::siege::end_of_a_broadcast(folder.path());
    let siege = Siege::of(folder, |_, _| String::new());
    let field = siege.field();
    let mut witness = field.source.peer().unwrap();
    let old = field.source.pretence(&mut witness).unwrap();
    let mut ahead = old.clone();
    ahead.tip[..8].copy_from_slice(&(number_of(&old.tip) + 200).to_be_bytes());
    let mut foreign = old.clone();
    foreign.tip = forged(&field.source.info, number_of(&old.tip) + 200, Flags::END);
    let mut ended = old.clone();
    ended.tip = end;
    ended.floor = number_of(&end).saturating_sub(50);
    ended.held = (ended.floor..=number_of(&end)).collect();

    let lies = [old, ahead, foreign, ended];
    let traps: Vec<_> = (0..9)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let mut peers: Vec<_> = traps
        .iter()
        .map(|trap| trap.local_addr().unwrap().to_string())
        .collect();
    peers.push(format!("127.0.0.1:{}", field.viewer.port));
    let alone = siege.folder().join("no-tracker.tstream");
    redirect(&siege.folder().join("foo.tstream"), &alone, NOWHERE);
    let newcomer = format!("location={} peers={}", alone.display(), peers.join(","));
    let outcome = siege.withstands_with(&newcomer, |field| {
        // Nobody comes to the liars but the newcomer.
        field.hit();
        thread::scope(|scope| {
            for (number, trap) in traps.iter().enumerate() {
                let shown = &lies[number % lies.len()];
                scope.spawn(move || lie_in_wait(field, trap, shown));
            }
        });
    });
    assert!(outcome.hits > 9, "the newcomer called each of the liars");
}
