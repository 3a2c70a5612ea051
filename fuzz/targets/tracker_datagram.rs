// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What a UDP tracker answers (BEP 15): what repeats no transaction number of ours changes nothing, the
//! rest is bounded in number and length, only addresses that can be dialled.
//!
//! Input: the family, then datagrams: a byte of length, the lowest bit of which says that the
//! transaction number is put right, and the bytes.

#![no_main]

use std::time::Duration;

use gstlivetorrent::proto::{
    address::Family,
    metainfo::Infohash,
    tracker::{Announce, AnnounceResponse, ResponseError, UdpAnnounce, udp::Progress},
};
use libfuzzer_sys::fuzz_target;

const ANNOUNCE: Announce = Announce {
    infohash: Infohash([1; 20]),
    peer_id: [2; 20],
    port: 7764,
    uploaded: 0,
    downloaded: 0,
    left: 1,
    numwant: 50,
    event: None,
    key: 3,
};

fuzz_target!(|input: &[u8]| {
    let Some((family, mut rest)) = input.split_first() else {
        return;
    };
    let family = match family % 2 {
        0 => Family::V4,
        _ => Family::V6,
    };
    let mut asking = UdpAnnounce::new(ANNOUNCE, family, fastrand::Rng::with_seed(1));
    let (mut request, _) = asking.request();
    while let Some((&length, after)) = rest.split_first() {
        let (datagram, next) = after.split_at(usize::from(length / 2).min(after.len()));
        rest = next;
        let mut datagram = datagram.to_vec();
        if length % 2 == 1
            && let Some(transaction) = datagram.get_mut(4..8)
        {
            transaction.copy_from_slice(&request[12..16]);
        }
        let ours = datagram.get(4..8) == Some(&request[12..16]);
        match asking.received(&datagram) {
            Progress::Ignored => assert_eq!(asking.request().0, request),
            Progress::Next => {
                assert!(ours && request.len() == 16);
                request = asking.request().0;
                assert_eq!(request.len(), 98);
            }
            Progress::Done(answer) => {
                assert!(ours);
                check(answer, family);
                return;
            }
        }
    }
});

fn check(answer: Result<AnnounceResponse, ResponseError>, family: Family) {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return assert!(error.to_string().chars().count() <= 300),
    };
    let allowed = Duration::from_secs(10)..=Duration::from_secs(24 * 60 * 60);
    assert!(allowed.contains(&answer.interval));
    assert!(answer.peers.len() <= 200);
    for peer in &answer.peers {
        assert!(peer.port() != 0 && !peer.ip().is_unspecified());
        // An IPv4 address may come mapped to IPv6.
        assert!(peer.is_ipv4() || family == Family::V6);
    }
}
