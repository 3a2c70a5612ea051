// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Bencode in messages (PROTOCOL §5): the extended handshake, `tstream_live`, `ut_pex` and `Tr_G2G_v2`.
//! What is decoded, encoded and decoded again stays the same; of `ut_pex` but for the order, since an address
//! of IPv4 that came among those of IPv6 (mapped) is written among its own.

#![no_main]

use gstlivetorrent::proto::{
    lap::Lap,
    wire::{ExtendedHandshake, Live, Pex, Transfers},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let lap = Lap::new(1000).expect("a lap may be that long");
    if let Ok(handshake) = ExtendedHandshake::decode(payload) {
        let again = ExtendedHandshake::decode(&handshake.encode());
        assert_eq!(again.as_ref(), Ok(&handshake));
    }
    if let Ok(live) = Live::decode(payload) {
        assert_eq!(Live::decode(&live.encode()), Ok(live));
    }
    if let Ok(pex) = Pex::decode(payload) {
        let again = Pex::decode(&pex.encode()).expect("what was written is read");
        assert_eq!(sorted(again), sorted(pex));
    }
    if let Ok(transfers) = Transfers::decode(payload, lap) {
        assert!(transfers.0.len() <= Transfers::MAX_ENTRIES);
        assert_eq!(
            Transfers::decode(&transfers.encode(), lap).as_ref(),
            Ok(&transfers)
        );
    }
});

fn sorted(mut pex: Pex) -> Pex {
    pex.added.sort_by_key(|peer| (peer.address, peer.flags));
    pex.dropped.sort();
    pex
}
