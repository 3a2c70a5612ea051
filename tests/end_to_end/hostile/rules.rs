// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Peers that take promises and keep none, and peers that break the rules in many small ways.

use std::{
    io::{self, Write},
    sync::Mutex,
    thread,
    time::Duration,
};

use super::siege::{Field, Siege, Target};
use crate::support::peer::{Peer, RESERVED, block, frame, handshake, id};

/// Asks for each piece before it is there, and never takes back or gives anything.
fn asks_ahead(target: &Target, field: &Field) -> io::Result<()> {
    let mut peer = target.insider()?;
    let (lap, length) = (target.info.lap(), target.info.piece_length());
    let mut next = peer.wait_for_tip()? + 1;
    let mut pieces = 0;
    let ask = |peer: &mut Peer, next: &mut u64| {
        let fields = block(lap.index(*next), 0, length);
        *next += 1;
        peer.send(id::REQUEST, &fields)
    };
    for _ in 0..250 {
        ask(&mut peer, &mut next)?;
    }
    peer.converse(field, |peer, id, _| match id {
        id::PIECE | id::REJECT => {
            pieces += usize::from(id == id::PIECE);
            field.hit();
            ask(peer, &mut next)
        }
        _ => Ok(()),
    })
}

#[test]
fn requests_ahead_that_are_never_taken_back() {
    Siege::lay().withstands(|field| field.charge(8, |target, _| asks_ahead(target, field)));
}

#[test]
fn reports_of_gifts_that_nobody_got_buy_nothing() {
    const OURS: u8 = 2;
    Siege::lay().withstands(|field| {
        field.charge(8, |target, _| {
            let mut peer = target.impostor()?;
            let (lap, length) = (target.info.lap(), target.info.piece_length());
            field.hit();
            peer.converse(field, |peer, id, payload| match id {
                id::HAVE => {
                    let index: [u8; 4] =
                        *payload.first_chunk().ok_or(io::ErrorKind::InvalidData)?;
                    let index = u32::from_be_bytes(index);
                    peer.send(id::REQUEST, &block(index, 0, length))?;
                    let key = (index % lap.npieces()).to_string();
                    let report = format!("d{}:{key}1:de", key.len());
                    peer.send(id::EXTENDED, &[&[OURS], report.as_bytes()].concat())
                }
                id::REQUEST => peer.send(id::REJECT, payload),
                _ => Ok(()),
            })
        });
    });
}

/// What an insider does wrong, by number; the first ones prove that it lies.
fn offence(target: &Target, number: usize, tip: u64) -> Vec<u8> {
    let npieces = target.info.lap().npieces();
    let index = target.info.lap().index(tip);
    let length = target.info.piece_length();
    let bits = npieces.div_ceil(8) as usize;
    let extended = |payload: &[u8]| frame(id::EXTENDED, payload);
    match number {
        0 => frame(id::BITFIELD, &vec![0; bits]),
        1 => frame(id::BITFIELD, &vec![0; bits + 1]),
        2 => frame(id::HAVE_ALL, &[]),
        3 => frame(id::HAVE, &npieces.to_be_bytes()),
        4 => frame(id::HAVE, &[0; 3]),
        5 => frame(id::REQUEST, &block(u32::MAX, 0, length)),
        6 => frame(id::PIECE, &[0; 7]),
        7 => extended(b"\x03d"),
        8 => extended(&[&b"\x03"[..], &[b'l'; 20_000]].concat()),
        9 => extended(b"\x03d4:hopsi99999999999999999999999ee"),
        10 => extended(b"\x03d3:tip3:abce"),
        11 => extended(b"\x02d2:011:de"),
        12 => extended(b"\x02d1:01:ee"),
        13 => extended(b"\x00d"),
        14 => frame(id::REJECT, &block(npieces, 0, length)),
        // These end the connection at most.
        15 => frame(id::REQUEST, &block(index, 1, length)),
        16 => frame(id::REQUEST, &block(index, 0, length - 1)),
        17 => frame(id::REQUEST, &block(index, u32::MAX, u32::MAX)),
        18 => handshake(RESERVED, target.info.infohash(), *b"-TE0001-once again--"),
        19 => u32::MAX.to_be_bytes().to_vec(),
        // And these do nothing at all.
        20 => frame(id::CANCEL, &block(index, 5, 1)),
        21 => frame(id::CANCEL, &block(index, 0, length)),
        22 => frame(id::REJECT, &block(index, 0, length)),
        23 => frame(id::HAVE_NONE, &[]),
        24 => frame(13, &index.to_be_bytes()),
        25 => frame(17, &index.to_be_bytes()),
        26 => extended(b"\xffde"),
        27 => extended(b"\x01d5:added0:e"),
        28 => frame(id::REJECT, &block(index, 5, 1)),
        29 => frame(id::PIECE, &[index.to_be_bytes(), [0; 4]].concat()),
        30 => frame(
            id::PIECE,
            &[&index.to_be_bytes()[..], &[0; 20_004]].concat(),
        ),
        _ => extended(b"\x03d5:floor1:x4:hopsi-7ee"),
    }
}

#[test]
fn every_breach_of_the_rules_costs_only_whom_it_comes_from() {
    const OFFENCES: usize = 32;
    /// Those from here on end nothing.
    const HARMLESS: usize = 20;
    /// How long an end is waited for, and how long none must come.
    const ENDS: Duration = Duration::from_secs(2);
    const STAYS: Duration = Duration::from_millis(150);
    let ended = Mutex::new([[false; OFFENCES]; 2]);
    Siege::lay().withstands(|field| {
        field.charge(1, |target, _| {
            for number in 0..OFFENCES {
                let mut peer = target.insider()?;
                let tip = peer.wait_for_tip()?;
                peer.socket().write_all(&offence(target, number, tip))?;
                field.hit();
                let patience = if number < HARMLESS { ENDS } else { STAYS };
                // A viewer's process ends with its stream: then that is why.
                if peer.is_hung_up_within(patience) && target.insider().is_ok() {
                    ended.lock().unwrap()[usize::from(target.is_source)][number] = true;
                }
            }
            Ok(())
        });
    });
    for (who, ended) in ["viewer", "source"]
        .into_iter()
        .zip(ended.into_inner().unwrap())
    {
        for (number, ended) in ended.into_iter().enumerate() {
            assert_eq!(ended, number < HARMLESS, "{who}, offence {number}");
        }
    }
}

#[test]
fn handshakes_that_pretend_to_be_another() {
    Siege::lay().withstands(|field| {
        field.charge(5, |target, number| match number {
            // Its own peer id comes back to it.
            0 => {
                let own = target.peer()?.their_id();
                target.peer_named(own)?;
                field.hit();
                Ok(())
            }
            // One peer id, twice at once.
            1 => {
                let name = *b"-TE0001-twice there!";
                let mut pair = [target.peer_named(name)?, target.peer_named(name)?];
                for peer in &mut pair {
                    peer.greet(None)?;
                }
                field.hit();
                pair[0].converse(field, |_, _, _| Ok(()))
            }
            // Every reserved bit, which a later BEP may give a meaning; then none.
            2 | 3 => {
                let reserved = [[0xff; 8], [0; 8]][number - 2];
                let mut socket = target.call()?;
                let mut name = *b"-TE0001-            ";
                name[8..].fill_with(|| fastrand::u8(..));
                socket.write_all(&handshake(reserved, target.info.infohash(), name))?;
                field.hit();
                thread::sleep(Duration::from_millis(50));
                Ok(())
            }
            // Another stream.
            _ => {
                let mut socket = target.call()?;
                let other = gstlivetorrent::proto::metainfo::Infohash([7; 20]);
                socket.write_all(&handshake(RESERVED, other, *b"-TE0001-other stream"))?;
                field.hit();
                thread::sleep(Duration::from_millis(50));
                Ok(())
            }
        });
    });
}

#[test]
fn pieces_that_are_not_what_was_asked_for() {
    Siege::lay().withstands(|field| {
        field.charge(6, |target, number| {
            let mut peer = target.impostor()?;
            let (lap, length) = (target.info.lap(), target.info.piece_length());
            // A piece of the stream to replay.
            let newest = peer.wait_for_tip()?;
            let genuine = peer.fetch(newest, length).unwrap_or_else(|_| vec![0; 500]);
            field.hit();
            peer.converse(field, |peer, id, payload| {
                if id != id::REQUEST {
                    return Ok(());
                }
                let index = u32::from_be_bytes(*payload.first_chunk().unwrap());
                let mut lie = genuine.clone();
                match number {
                    0 => lie = vec![0xff; length as usize],
                    1 => lie.truncate(95),
                    2 => *lie.last_mut().unwrap() ^= 1,
                    3 => lie[24..28].copy_from_slice(&u32::MAX.to_be_bytes()),
                    // Valid, and of another place, when it is of another.
                    4 => {}
                    _ => {
                        let mut answer = index.to_be_bytes().to_vec();
                        answer.extend_from_slice(&(1u32 << 20).to_be_bytes());
                        answer.extend_from_slice(&lie);
                        return peer.send(id::PIECE, &answer);
                    }
                }
                if number == 4 && lap.index(newest) == index {
                    return peer.send(id::REJECT, payload);
                }
                peer.answer(index, &lie)
            })
        });
    });
}
