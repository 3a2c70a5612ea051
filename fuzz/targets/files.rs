// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The source's own files, which a crash or an editor may have damaged: the restart file (PROTOCOL §3) and
//! the key (RFC 5958). What is read can be written and is read again as the same.

#![no_main]

use gstlivetorrent::proto::{
    key::{PrivateKey, PublicKey},
    restart::Restart,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(restart) = Restart::parse(bytes) {
        assert_eq!(restart.to_text().as_bytes(), bytes);
    }
    if let Ok(pem) = std::str::from_utf8(bytes)
        && let Ok(key) = PrivateKey::from_pem(pem)
    {
        let again = PrivateKey::from_pem(&key.to_pem()).expect("what we write we read");
        assert_eq!(again.public_key(), key.public_key());
    }
    if let Ok(key) = PublicKey::from_der(bytes) {
        assert_eq!(key.to_der(), bytes);
    }
});
