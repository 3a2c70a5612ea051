// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The bytes of a connection (PROTOCOL §4): however they are split, the same messages come out and the
//! same error; what is decoded can be encoded and is decoded again; an unfinished message holds no more
//! than the longest one allowed.

#![no_main]

use gstlivetorrent::proto::{
    lap::Lap,
    wire::{Decoder, Message, WireError},
};
use libfuzzer_sys::fuzz_target;

/// Twice the longest message that so short a lap allows: a buffer may grow by doubling.
const MOST_BUFFERED: usize = 2 * (64 << 10);

/// What a connection's bytes are, coming in parts of `part` bytes.
fn decode(lap: Lap, bytes: &[u8], part: usize) -> (Vec<Message>, Option<WireError>) {
    let mut decoder = Decoder::new(lap);
    let mut messages = Vec::new();
    for mut rest in bytes.chunks(part) {
        while !rest.is_empty() {
            match decoder.decode(&mut rest) {
                Ok(message) => messages.extend(message),
                Err(error) => return (messages, Some(error)),
            }
            assert!(decoder.buffered() <= MOST_BUFFERED);
        }
    }
    (messages, None)
}

/// What goes over the wire for these; `Unknown` has lost its body.
fn encode(messages: &[Message]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        let before = bytes.len();
        let body = message.encode(&mut bytes);
        bytes.extend_from_slice(&body.unwrap_or_default());
        assert_eq!(bytes.len() - before, message.wire_len());
    }
    bytes
}

fuzz_target!(|input: (u16, &[u8])| {
    let (part, bytes) = input;
    let lap = Lap::new(1000).expect("a lap may be that long");
    let (messages, error) = decode(lap, bytes, usize::MAX);
    assert_eq!(
        decode(lap, bytes, usize::from(part).max(1)),
        (messages.clone(), error)
    );
    assert_eq!(
        decode(lap, &encode(&messages), usize::MAX),
        (messages, None)
    );
});
