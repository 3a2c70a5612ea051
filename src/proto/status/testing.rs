// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the tests of the status page tell of.

use std::{sync::Arc, time::Duration};

use super::About;
use crate::proto::{
    key::PrivateKey,
    lap::Lap,
    metainfo::{Info, Metainfo},
    stats::{PeerStats, Stats, Way},
};

/// What a peer may call itself, and a broadcaster its stream.
pub(super) const SCRIPT: &str = "</script><script>alert(\"1\")</script>'&amp;\n\r\u{2028}";

pub(super) fn about(viewer: bool) -> About {
    let lap = Lap::new(4096).unwrap();
    let info = Info::new("foo", 16_384, lap, PrivateKey::generate().public_key()).unwrap();
    let metainfo = Metainfo {
        trackers: vec![vec!["http://192.0.2.9:7764/announce".into()]],
        ..Metainfo::new(info)
    };
    About::new(&metainfo, viewer)
}

/// With a client that would be a script, and this lag in milliseconds.
pub(super) fn hostile_peer(lag: Option<u64>) -> PeerStats {
    PeerStats {
        id: "-LV0100-<b>\"&".into(),
        address: "192.0.2.7:7764".parse().unwrap(),
        client: SCRIPT.into(),
        rtt: Some(Duration::from_millis(20)),
        bytes_uploaded: 1000,
        bytes_downloaded: 0,
        forwarded: 2000,
        choked: true,
        choking: false,
        lag: lag.map(Duration::from_millis),
    }
}

/// To that peer.
pub(super) fn way() -> Way {
    Way {
        name: "peer 192.0.2.7:7764".into(),
        peers: 1,
        outcome: SCRIPT.into(),
    }
}

pub(super) fn stats(peers: Vec<PeerStats>) -> Arc<Stats> {
    Arc::new(Stats {
        peers_connected: peers.len() as u64,
        peers,
        bytes_uploaded: 123_456_789,
        upload_rate: 2_500_000,
        ..Stats::default()
    })
}
