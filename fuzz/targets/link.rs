// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A `livetorrent:` link (PROTOCOL §1): what is read can be written, and is read again as the same stream.

#![no_main]

use gstlivetorrent::proto::uri;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|link: &str| {
    let Ok(metainfo) = uri::parse(link) else {
        return;
    };
    let again = uri::parse(&uri::format(&metainfo)).expect("what we write we read");
    assert_eq!(again.info, metainfo.info);
    assert_eq!(again.trackers, metainfo.trackers);
});
