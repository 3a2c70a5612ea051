// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is asked of the source's own tracker (PROTOCOL §8): a line is a query of somebody. The answer is
//! one that our own client reads, and what is remembered stays bounded.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use gstlivetorrent::proto::{
    metainfo::Infohash,
    time::Instant,
    tracker::{AnnounceResponse, Call, ResponseError, TrackerServer},
};
use libfuzzer_sys::fuzz_target;

const INFOHASH: Infohash = Infohash(*b"aaaaaaaaaaaaaaaaaaaa");
/// More than any answer has: 200 addresses, each with a peer id.
const LONGEST: usize = 64 * 1024;

fuzz_target!(|lines: &str| {
    let mut tracker = TrackerServer::new(INFOHASH, [b'p'; 20], libfuzzer_random());
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 7764));
    for (number, query) in lines.lines().enumerate() {
        let now = Instant::from_micros(number as u64 * 1_000_000);
        let asker = IpAddr::from([10, 0, (number >> 8) as u8, number as u8]);
        let call = Call {
            asker,
            local,
            called: None,
        };
        let answer = tracker.announce(now, query, call);
        assert!(answer.len() <= LONGEST);
        if let Err(error) = AnnounceResponse::parse(&answer) {
            assert!(matches!(error, ResponseError::Refused(_)), "{error}");
        }
        assert!(tracker.scrape(now, query).len() <= LONGEST);
        assert!(tracker.len() <= number + 1);
    }
});

/// The same at each run.
fn libfuzzer_random() -> fastrand::Rng {
    fastrand::Rng::with_seed(1)
}
