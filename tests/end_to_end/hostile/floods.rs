// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Attackers who send as fast as they can.

use std::{io::Write, net::Shutdown, time::Duration};

use socket2::SockRef;

use super::siege::{Siege, Target, blast};
use crate::support::peer::{block, frame, id};

/// Many messages, to be sent over and over.
fn many(messages: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    const AT_ONCE: usize = 256 * 1024;
    let mut bytes = Vec::new();
    for message in messages {
        bytes.extend_from_slice(&message);
        if bytes.len() >= AT_ONCE {
            break;
        }
    }
    bytes
}

/// Every index of the lap, from that of the target's tip on.
fn indices(target: &Target, from: u64) -> impl Iterator<Item = u32> {
    let lap = target.info.lap();
    (from..from + u64::from(lap.npieces())).map(move |sequence| lap.index(sequence))
}

/// A siege in which each of a few insiders floods its target with what `messages` makes, given the
/// target and the number of its tip.
fn flooded_with(messages: impl Fn(&Target, u64) -> Vec<u8> + Sync + Send) {
    Siege::lay().withstands(|field| {
        field.charge(3, |target, _| {
            let mut peer = target.insider()?;
            let tip = peer.wait_for_tip()?;
            peer.blast(field, &messages(target, tip))
        });
    });
}

#[test]
fn a_flood_of_haves_of_all_the_lap() {
    flooded_with(|target, tip| {
        many(indices(target, tip).map(|index| frame(id::HAVE, &index.to_be_bytes())))
    });
}

#[test]
fn a_flood_of_haves_of_what_is_yet_to_come() {
    flooded_with(|target, tip| {
        let soon = indices(target, tip + 1).take(200);
        let haves: Vec<_> = soon
            .map(|index| frame(id::HAVE, &index.to_be_bytes()))
            .collect();
        many(haves.into_iter().cycle())
    });
}

#[test]
fn a_flood_of_requests() {
    flooded_with(|target, tip| {
        let length = target.info.piece_length();
        let window = indices(target, tip.saturating_sub(200)).take(400);
        let requests: Vec<_> = window
            .map(|index| frame(id::REQUEST, &block(index, 0, length)))
            .collect();
        many(requests.into_iter().cycle())
    });
}

#[test]
fn a_flood_of_requests_and_cancels_of_one_piece() {
    flooded_with(|target, tip| {
        let fields = block(
            target.info.lap().index(tip + 5),
            0,
            target.info.piece_length(),
        );
        let pair = [frame(id::REQUEST, &fields), frame(id::CANCEL, &fields)].concat();
        many(std::iter::repeat(pair))
    });
}

#[test]
fn a_flood_of_chokes_interests_and_keep_alives() {
    flooded_with(|_, _| {
        let flapping = [
            frame(id::UNCHOKE, &[]),
            frame(id::INTERESTED, &[]),
            frame(id::CHOKE, &[]),
            frame(id::NOT_INTERESTED, &[]),
            vec![0; 4],
            frame(99, b"an id that nobody knows"),
        ];
        many(std::iter::repeat(flapping.concat()))
    });
}

#[test]
fn a_flood_of_pieces_and_rejects_that_nobody_asked_for() {
    flooded_with(|target, tip| {
        let length = target.info.piece_length();
        let unasked = indices(target, tip).flat_map(|index| {
            let mut piece = index.to_be_bytes().to_vec();
            piece.resize(8 + 700, 0);
            let reject = block(index, 0, length);
            [frame(id::PIECE, &piece), frame(id::REJECT, &reject)]
        });
        many(unasked)
    });
}

#[test]
fn a_flood_of_news_of_oneself() {
    const OURS: u8 = 3;
    flooded_with(|_, tip| {
        let news = (0..).map(|number: u64| match number % 3 {
            0 => {
                let floor = tip + number / 100;
                let live = format!("d5:floori{floor}e4:hopsi1ee");
                frame(id::EXTENDED, &[&[OURS], live.as_bytes()].concat())
            }
            1 => frame(id::EXTENDED, b"\0d4:lived4:hopsi1ee1:v9:somebodyee"),
            _ => frame(id::EXTENDED, &[&[OURS], &b"d4:hopsi2ee"[..]].concat()),
        });
        many(news)
    });
}

#[test]
fn a_flood_of_reports_of_what_one_gave() {
    const OURS: u8 = 2;
    flooded_with(|target, tip| {
        let most = 4096.min(target.info.lap().npieces());
        let mut indices: Vec<_> = indices(target, tip.saturating_sub(u64::from(most / 2)))
            .take(most as usize)
            .collect();
        indices.sort_unstable_by_key(u32::to_string);
        let mut payload = vec![OURS, b'd'];
        for index in indices {
            let key = index.to_string();
            payload.extend_from_slice(format!("{}:{key}1:d", key.len()).as_bytes());
        }
        payload.push(b'e');
        many(std::iter::repeat(frame(id::EXTENDED, &payload)))
    });
}

#[test]
fn a_flood_of_calls() {
    Siege::lay().withstands(|field| {
        field.charge(4, |target, _| {
            // Thousands that come and go, and some that stay until they are shown out.
            let mut kept = Vec::new();
            while field.goes_on() {
                let mut socket = target.call()?;
                let _ = socket.write_all(b"\x13Bit");
                field.hit();
                if kept.len() < 100 {
                    kept.push(socket);
                } else if fastrand::u8(..) == 0 {
                    kept.clear();
                }
            }
            Ok(())
        });
    });
}

#[test]
fn a_flood_of_noise_of_every_kind() {
    Siege::lay().withstands(|field| {
        field.charge(6, |target, number| {
            let socket = target.call()?;
            let first: &[u8] = [&b"\x13BitTorrent protocol"[..], b"GET /", b""][number % 3];
            let mut bytes = first.to_vec();
            bytes.resize_with(100_000, || fastrand::u8(..));
            blast(&socket, field, &bytes)
        });
    });
}

#[test]
fn a_crowd_that_takes_every_place() {
    const CROWD: usize = 30;
    Siege::lay().withstands(|field| {
        field.charge(CROWD, |target, _| {
            // Each says hello as it should, and then stays and is of no use.
            let mut peers = [target.insider()?, target.insider()?];
            field.hit();
            peers[0].converse(field, |_, _, _| Ok(()))
        });
    });
}

/// A process that a signal ends is not Rust's own, whose runtime ignores SIGPIPE: the two that are besieged
/// are `gst-launch-1.0`.
#[test]
fn peers_that_say_much_and_are_gone_before_they_are_answered() {
    Siege::lay().withstands(|field| {
        field.charge(3, |target, _| {
            let peer = target.insider()?;
            let flood = frame(id::CHOKE, &[]).repeat(20_000);
            peer.socket().write_all(&flood)?;
            // The far end still reads, and what it writes meanwhile finds nobody.
            peer.socket().shutdown(Shutdown::Write)?;
            SockRef::from(peer.socket()).set_linger(Some(Duration::ZERO))?;
            field.hit();
            Ok(())
        });
    });
}
