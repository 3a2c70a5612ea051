// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Request heads on the source's port (RFC 9112): what is whole stays what it is when more follows, and
//! nothing over 8 KiB is waited for. The same bytes as a datagram of local discovery (BEP 14).

#![no_main]

use gstlivetorrent::proto::{
    http::Request,
    lsd::{self, Search},
    metainfo::Infohash,
};
use libfuzzer_sys::fuzz_target;

/// From here on there is an answer, if only a refusal.
const MAX_HEAD: usize = 8 * 1024;

fuzz_target!(|head: &[u8]| {
    if let Some(search) = Search::parse(head, Infohash([0xab; 20])) {
        assert!(head.len() <= lsd::MAX_DATAGRAM);
        assert!(search.cookie.is_none_or(|cookie| cookie.len() < head.len()));
    }
    match Request::parse(head) {
        Ok(None) => assert!(head.len() < MAX_HEAD),
        Ok(Some(request)) => {
            assert!(request.path.len() + request.query.len() <= MAX_HEAD);
            let more = [head, b"more"].concat();
            assert_eq!(Request::parse(&more), Ok(Some(request)));
        }
        Err(refusal) => assert!(refusal.status().as_bytes()[0] == b'4'),
    }
});
