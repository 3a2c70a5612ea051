// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Attackers who take their time.

use std::{
    io::{self, Write},
    thread,
    time::Duration,
};

use super::siege::{Field, Siege, Target};
use crate::support::peer::{Peer, RESERVED, block, frame, handshake, id, is_breath};

/// Between two bytes of those who drip.
const DRIP: Duration = Duration::from_millis(50);

/// Sends byte by byte.
fn drips(peer: &Peer, field: &Field, bytes: &[u8]) -> io::Result<()> {
    let mut socket = peer.socket();
    for byte in bytes {
        if !field.goes_on() {
            break;
        }
        socket.write_all(&[*byte])?;
        thread::sleep(DRIP);
    }
    Ok(())
}

/// Listens until the siege is over, and says nothing.
fn is_silent(peer: &mut Peer, field: &Field) -> io::Result<()> {
    peer.converse(field, |_, _, _| Ok(()))
}

#[test]
fn five_hundred_handshakes_that_do_not_end() {
    const EACH: usize = 250;
    Siege::lay().withstands(|field| {
        field.charge(1, |target, _| {
            let greeting = handshake(RESERVED, target.info.infohash(), *b"-TE0001-is very slow");
            let mut all: Vec<_> = (0..EACH).map(|_| None).collect();
            for byte in &greeting[..greeting.len() - 1] {
                for socket in &mut all {
                    if socket.is_none() {
                        *socket = Some(target.call()?);
                        field.hit();
                    }
                    let sent = socket.as_mut().map(|socket| socket.write_all(&[*byte]));
                    if sent.is_some_and(|sent| sent.is_err()) {
                        *socket = None;
                    }
                }
                if !field.goes_on() {
                    break;
                }
                thread::sleep(DRIP);
            }
            Ok(())
        });
    });
}

#[test]
fn peers_that_show_all_and_never_answer() {
    Siege::lay().withstands(|field| {
        field.charge(8, |target, _| {
            let mut peer = target.impostor()?;
            field.hit();
            is_silent(&mut peer, field)
        });
    });
}

#[test]
fn peers_that_answer_in_drops() {
    Siege::lay().withstands(|field| {
        field.charge(8, |target, _| {
            let mut peer = target.impostor()?;
            field.hit();
            let mut answer = None;
            while answer.is_none() && field.goes_on() {
                match peer.wait_for_request() {
                    Ok(index) => answer = Some(index),
                    Err(error) if is_breath(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            let mut payload = answer.unwrap_or_default().to_be_bytes().to_vec();
            payload.resize(8 + 16 * 1024, 0);
            drips(&peer, field, &frame(id::PIECE, &payload))
        });
    });
}

#[test]
fn messages_that_are_too_long_and_messages_that_do_not_end() {
    Siege::lay().withstands(|field| {
        field.charge(4, |target, number| {
            let mut peer = target.insider()?;
            field.hit();
            let length: u32 = [u32::MAX, 1 << 20, 64 * 1024, 16 * 1024 + 9][number % 4];
            let mut message = length.to_be_bytes().to_vec();
            message.push([id::EXTENDED, id::PIECE, id::EXTENDED, id::PIECE][number % 4]);
            message.resize(length.min(60_000) as usize, 0);
            peer.socket().write_all(&message)?;
            drips(&peer, field, &[0; 1000])?;
            is_silent(&mut peer, field)
        });
    });
}

#[test]
fn peers_that_only_keep_the_connection_alive() {
    Siege::lay().withstands(|field| {
        field.charge(8, |target, _| {
            let mut peer = target.peer()?;
            peer.greet(None)?;
            field.hit();
            while field.goes_on() {
                peer.socket().write_all(&[0; 4])?;
                thread::sleep(DRIP);
            }
            Ok(())
        });
    });
}

/// Asks for everything, ahead and behind, and takes in nothing.
fn asks_and_does_not_read(target: &Target, field: &Field) -> io::Result<()> {
    let mut peer = target.insider()?;
    let tip = peer.wait_for_tip()?;
    let lap = target.info.lap();
    let from = tip.saturating_sub(100);
    for sequence in from..from + 250 {
        let fields = block(lap.index(sequence), 0, target.info.piece_length());
        peer.send(id::REQUEST, &fields)?;
    }
    field.hit();
    while field.goes_on() {
        thread::sleep(DRIP);
    }
    Ok(())
}

#[test]
fn peers_that_ask_and_do_not_read() {
    Siege::lay().withstands(|field| {
        field.charge(8, |target, _| asks_and_does_not_read(target, field));
    });
}
