// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The file of the peers that gave a viewer pieces, which a crash, an editor or another program may have
//! damaged. What is read is written as it was; what is kept of it with those of this time is bounded, names
//! each once, is young enough and is read again as the same.

#![no_main]

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use gstlivetorrent::proto::good_peers::{self, GoodPeer, MAX_LEN};
use libfuzzer_sys::fuzz_target;

/// Most peers that a file names.
const MOST: usize = 32;
/// A week, in seconds.
const OLD: u64 = 7 * 24 * 3600;

/// What is written at `now` by one who was given a piece by the second of `before` and by a stranger.
fn merged(before: &[GoodPeer], now: u64) {
    let stranger = SocketAddr::from(([192, 0, 2, 1], 7764));
    let known = before.get(1).map(|peer| peer.address);
    let gave: Vec<_> = known
        .into_iter()
        .chain((known != Some(stranger)).then_some(stranger))
        .zip([Duration::from_secs(3), Duration::MAX])
        .collect();
    let peers = good_peers::merge(&gave, before, now);
    let addresses: HashSet<_> = peers.iter().map(|peer| peer.address).collect();
    assert_eq!(addresses.len(), peers.len(), "each once");
    assert!(peers.len() <= MOST);
    assert_eq!(
        peers.first().map(|peer| peer.address),
        gave.first().map(|(first, _)| *first)
    );
    let young = |peer: &GoodPeer| now.saturating_sub(peer.gave) <= OLD;
    assert!(peers.iter().skip(gave.len()).all(young));
    let text = good_peers::to_text(&peers);
    assert!(text.len() <= MAX_LEN);
    assert_eq!(good_peers::parse(text.as_bytes()), Ok(peers));
}

fuzz_target!(|bytes: &[u8]| {
    let before = match good_peers::parse(bytes) {
        Ok(peers) => {
            assert!(peers.len() <= MOST && bytes.len() <= MAX_LEN);
            assert_eq!(good_peers::to_text(&peers).as_bytes(), bytes);
            peers
        }
        Err(_) => Vec::new(),
    };
    let first = before.first().map_or(0, |peer| peer.gave);
    for now in [
        0,
        first,
        first.saturating_add(OLD),
        first.saturating_add(OLD + 1),
        u64::MAX,
    ] {
        merged(&before, now);
    }
});
