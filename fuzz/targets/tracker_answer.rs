// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What an HTTP tracker answers (BEP 3, 7, 23): bounded in number and length, only addresses that can be
//! dialled.

#![no_main]

use std::time::Duration;

use gstlivetorrent::proto::tracker::AnnounceResponse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let Ok(answer) = AnnounceResponse::parse(body) else {
        return;
    };
    let allowed = Duration::from_secs(10)..=Duration::from_secs(24 * 60 * 60);
    assert!(allowed.contains(&answer.interval));
    assert!(
        answer
            .min_interval
            .is_none_or(|least| allowed.contains(&least))
    );
    assert!(
        answer
            .warning
            .is_none_or(|text| text.chars().count() <= 256)
    );
    assert!(answer.peers.len() <= 200);
    assert!(
        answer
            .peers
            .iter()
            .all(|peer| peer.port() != 0 && !peer.ip().is_unspecified())
    );
});
