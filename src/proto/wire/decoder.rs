// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Bytes in any split to messages (PROTOCOL §4).
//!
//! Every limit is checked before anything is allocated: the length prefix first, then the id's
//! own size, then the index. A body grows with what has arrived, so a claimed length costs
//! nothing, and the body of an id this protocol does not use is never kept.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::{
    WireError,
    message::{
        BLOCK_LEN, HANDSHAKE_LEN, Handshake, Message, PROTOCOL, assemble, bitfield_len,
        check_index, id,
    },
};
use crate::proto::lap::Lap;

/// A length prefix up to this is always taken (PROTOCOL §4): room for extended messages.
const MIN_LIMIT: usize = 64 * 1024;

/// Length prefix and id.
const PREFIX_LEN: usize = 4;
const ID_END: usize = PREFIX_LEN + 1;

/// The bytes of one connection, in any split, to messages.
#[derive(Debug)]
pub struct Decoder {
    lap: Lap,
    limit: u32,
    greeted: bool,
    /// The handshake, or a message's length prefix, id and fixed fields.
    head: [u8; HANDSHAKE_LEN],
    filled: usize,
    body: Vec<u8>,
    skipped: usize,
    failed: Option<WireError>,
}

/// How the bytes after an id are laid out: fixed fields, then a body of so many bytes.
struct Layout {
    fixed: usize,
    body: RangeInclusive<usize>,
    has_index: bool,
}

impl Layout {
    /// `None`: an id this protocol does not use.
    fn of(id: u8, lap: Lap) -> Option<Self> {
        let (fixed, body, has_index) = match id {
            id::CHOKE
            | id::UNCHOKE
            | id::INTERESTED
            | id::NOT_INTERESTED
            | id::HAVE_ALL
            | id::HAVE_NONE => (0, 0..=0, false),
            id::HAVE => (4, 0..=0, true),
            id::REQUEST | id::CANCEL | id::REJECT => (12, 0..=0, true),
            id::BITFIELD => (0, bitfield_len(lap)..=bitfield_len(lap), false),
            // The limit on the length prefix bounds these two. Whether a block is of the right size depends
            // on what was asked for; one that nobody asked for is ignored (PROTOCOL §7).
            id::PIECE => (8, 0..=usize::MAX, true),
            id::EXTENDED => (1, 0..=usize::MAX, false),
            _ => return None,
        };
        Some(Self {
            fixed,
            body,
            has_index,
        })
    }

    /// The body's size, where `after_id` bytes are a size this message can have.
    fn body_len(&self, after_id: usize) -> Option<usize> {
        after_id
            .checked_sub(self.fixed)
            .filter(|len| self.body.contains(len))
    }
}

impl Decoder {
    /// A decoder at the start of a connection that speaks of `lap`: the handshake comes first.
    #[must_use]
    pub fn new(lap: Lap) -> Self {
        let limit = MIN_LIMIT.max(9 + BLOCK_LEN).max(1 + bitfield_len(lap));
        Self {
            lap,
            limit: u32::try_from(limit).expect("a lap is at most 2^20 pieces"),
            greeted: false,
            head: [0; HANDSHAKE_LEN],
            filled: 0,
            body: Vec::new(),
            skipped: 0,
            failed: None,
        }
    }

    /// Takes bytes off the front of `input` up to the end of the next message. `None`: all of
    /// `input` is taken and the message is not whole yet.
    ///
    /// # Errors
    /// [`WireError`] as soon as the first wrong byte is there. The connection ends then: every
    /// later call gives the same error.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WireError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = if self.greeted {
            self.message(input)
        } else {
            self.handshake(input)
        };
        match &result {
            Ok(Some(_)) => (self.filled, self.skipped) = (0, 0),
            Ok(None) => {}
            Err(error) => {
                self.failed = Some(*error);
                self.body = Vec::new();
            }
        }
        result
    }

    /// Whether a message has begun and is not whole (PROTOCOL §4 gives it 30 s).
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.filled > 0 && self.failed.is_none()
    }

    /// Bytes of memory that an unfinished message holds.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.body.capacity()
    }

    fn handshake(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WireError> {
        let whole = self.fill(HANDSHAKE_LEN, input);
        let name = self.filled.min(PROTOCOL.len());
        if self.head[..name] != PROTOCOL[..name] {
            return Err(WireError::NotBitTorrent);
        }
        self.greeted = whole;
        Ok(whole.then(|| Message::Handshake(Handshake::parse(&self.head))))
    }

    fn message(&mut self, input: &mut &[u8]) -> Result<Option<Message>, WireError> {
        if !self.fill(PREFIX_LEN, input) {
            return Ok(None);
        }
        let length = self.number(0);
        if length > self.limit {
            return Err(WireError::TooLong(length));
        }
        let Some(after_id) = (length as usize).checked_sub(1) else {
            return Ok(Some(Message::KeepAlive));
        };
        if !self.fill(ID_END, input) {
            return Ok(None);
        }
        let id = self.head[PREFIX_LEN];
        let Some(layout) = Layout::of(id, self.lap) else {
            return Ok(self.skip(after_id, input).then_some(Message::Unknown(id)));
        };
        let body_len = layout
            .body_len(after_id)
            .ok_or(WireError::WrongSize { id, length })?;
        if !self.fill(ID_END + layout.fixed, input) {
            return Ok(None);
        }
        if layout.has_index {
            check_index(self.number(ID_END), self.lap)?;
        }
        let Some(body) = self.collect(body_len, input) else {
            return Ok(None);
        };
        let message = assemble(id, &self.head, body);
        message.check(self.lap)?;
        Ok(Some(message))
    }

    fn number(&self, at: usize) -> u32 {
        self.head[at..at + 4]
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    /// Brings the head up to `end` bytes as far as `input` goes; whether it got there.
    fn fill(&mut self, end: usize, input: &mut &[u8]) -> bool {
        let part = take(input, end.saturating_sub(self.filled));
        self.head[self.filled..self.filled + part.len()].copy_from_slice(part);
        self.filled += part.len();
        self.filled >= end
    }

    /// Drops a body of `len` bytes as it comes; whether all of it came.
    fn skip(&mut self, len: usize, input: &mut &[u8]) -> bool {
        self.skipped += take(input, len - self.skipped).len();
        self.skipped == len
    }

    /// A body of `len` bytes, once it is whole.
    fn collect(&mut self, len: usize, input: &mut &[u8]) -> Option<Bytes> {
        let part = take(input, len - self.body.len());
        if part.len() == len {
            return Some(Bytes::copy_from_slice(part));
        }
        let arrived = self.body.len() + part.len();
        if arrived > self.body.capacity() {
            // Doubling keeps the copying linear, and what arrived bounds what is allocated.
            let capacity = len.min(2 * arrived);
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(part);
        (arrived == len).then(|| Bytes::from(std::mem::take(&mut self.body)))
    }
}

/// At most `len` bytes off the front.
fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (part, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{metainfo::Infohash, wire::Block};
    use proptest::prelude::*;

    const NPIECES: u32 = 300;

    fn lap() -> Lap {
        Lap::new(NPIECES).unwrap()
    }

    fn hello() -> Message {
        Message::Handshake(Handshake::new(Infohash([1; 20]), [2; 20]))
    }

    fn append(message: &Message, out: &mut Vec<u8>) {
        let body = message.encode(out);
        out.extend_from_slice(&body.unwrap_or_default());
    }

    /// A decoder that has the handshake behind it.
    fn greeted(lap: Lap) -> Decoder {
        let mut decoder = Decoder::new(lap);
        let mut bytes = Vec::new();
        append(&hello(), &mut bytes);
        let mut input = &bytes[..];
        assert_eq!(decoder.decode(&mut input), Ok(Some(hello())));
        decoder
    }

    fn decode_one(bytes: &[u8]) -> Result<Option<Message>, WireError> {
        greeted(lap()).decode(&mut &*bytes)
    }

    /// Every message of `bytes`, fed in parts of these sizes over and over.
    fn decode_all(mut bytes: &[u8], parts: &[usize]) -> Result<Vec<Message>, WireError> {
        let mut decoder = Decoder::new(lap());
        let mut messages = Vec::new();
        let mut sizes = parts.iter().cycle();
        while !bytes.is_empty() {
            let part = take(&mut bytes, *sizes.next().unwrap());
            let mut input = part;
            while let Some(message) = decoder.decode(&mut input)? {
                messages.push(message);
            }
            assert!(input.is_empty());
        }
        assert!(!decoder.is_partial());
        Ok(messages)
    }

    #[test]
    fn each_message_is_read_from_bytes_written_by_hand() {
        let block = Block {
            index: 258,
            begin: 0,
            length: 65536,
        };
        let mut bits = vec![0, 0, 0, 39, 5, 0x80];
        bits.resize(4 + 39, 0);
        let mut expected_bits = vec![0x80];
        expected_bits.resize(38, 0);
        let cases: Vec<(Vec<u8>, Message)> = vec![
            (vec![0, 0, 0, 0], Message::KeepAlive),
            (vec![0, 0, 0, 1, 0], Message::Choke),
            (vec![0, 0, 0, 1, 1], Message::Unchoke),
            (vec![0, 0, 0, 1, 2], Message::Interested),
            (vec![0, 0, 0, 1, 3], Message::NotInterested),
            (vec![0, 0, 0, 5, 4, 0, 0, 1, 2], Message::Have(258)),
            (bits, Message::Bitfield(expected_bits.into())),
            (
                vec![0, 0, 0, 13, 6, 0, 0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0],
                Message::Request(block),
            ),
            (
                vec![0, 0, 0, 11, 7, 0, 0, 1, 2, 0, 0, 0x40, 0, 0xee, 0xff],
                Message::Piece {
                    index: 258,
                    begin: 0x4000,
                    block: Bytes::from_static(&[0xee, 0xff]),
                },
            ),
            (
                vec![0, 0, 0, 13, 8, 0, 0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0],
                Message::Cancel(block),
            ),
            (vec![0, 0, 0, 1, 14], Message::HaveAll),
            (vec![0, 0, 0, 1, 15], Message::HaveNone),
            (
                vec![0, 0, 0, 13, 16, 0, 0, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0],
                Message::Reject(block),
            ),
            (
                vec![0, 0, 0, 4, 20, 3, b'd', b'e'],
                Message::Extended {
                    id: 3,
                    payload: Bytes::from_static(b"de"),
                },
            ),
            // BEP 5's PORT.
            (vec![0, 0, 0, 3, 9, 0x1a, 0xe1], Message::Unknown(9)),
            (vec![0, 0, 0, 1, 21], Message::Unknown(21)),
        ];
        for (bytes, message) in cases {
            assert_eq!(decode_one(&bytes), Ok(Some(message)), "{bytes:?}");
        }
    }

    #[test]
    fn a_wrong_first_byte_ends_the_handshake_at_once() {
        let mut decoder = Decoder::new(lap());
        let error = Err(WireError::NotBitTorrent);
        assert_eq!(decoder.decode(&mut &b"G"[..]), error);
        assert_eq!(decoder.decode(&mut &b"\x13"[..]), error, "it stays failed");
        let mut decoder = Decoder::new(lap());
        assert_eq!(decoder.decode(&mut &b"\x13BitTor"[..]), Ok(None));
        assert!(decoder.is_partial());
        assert_eq!(decoder.decode(&mut &b"x"[..]), error);
        assert!(!WireError::NotBitTorrent.is_proof());
    }

    #[test]
    fn the_limit_is_64_kib_or_the_bitfield_of_a_long_lap() {
        let over = |length: u32| Err(WireError::TooLong(length));
        let claim = |lap: Lap, length: u32, id: u8| {
            let prefix = [&length.to_be_bytes()[..], &[id]].concat();
            greeted(lap).decode(&mut &prefix[..])
        };
        assert_eq!(claim(lap(), 65536, 20), Ok(None));
        assert_eq!(claim(lap(), 65537, 20), over(65537));
        assert_eq!(claim(lap(), u32::MAX, 20), over(u32::MAX));
        let longest = Lap::new(1 << 20).unwrap();
        assert_eq!(claim(longest, 131_073, 5), Ok(None));
        assert_eq!(claim(longest, 131_074, 5), over(131_074));
        assert!(!WireError::TooLong(65537).is_proof());
    }

    #[test]
    fn a_wrong_size_is_told_from_prefix_and_id_alone_and_is_proof() {
        for (length, id) in [
            (2, 0),
            (2, 1),
            (2, 2),
            (2, 3),
            (4, 4),
            (6, 4),
            (38, 5),
            (40, 5),
            (12, 6),
            (14, 6),
            (8, 7),
            (12, 8),
            (2, 14),
            (2, 15),
            (17, 16),
            (1, 20),
        ] {
            let prefix = [&u32::to_be_bytes(length)[..], &[id]].concat();
            let error = WireError::WrongSize { id, length };
            assert_eq!(decode_one(&prefix), Err(error));
            assert!(error.is_proof());
        }
    }

    #[test]
    fn a_block_of_any_size_is_read_and_judged_by_who_asked() {
        for size in [0, BLOCK_LEN + 1, 64 * 1024 - 9] {
            let message = Message::Piece {
                index: 1,
                begin: 0,
                block: vec![7; size].into(),
            };
            let mut bytes = Vec::new();
            append(&message, &mut bytes);
            assert_eq!(decode_one(&bytes), Ok(Some(message)), "{size}");
        }
    }

    #[test]
    fn an_index_past_the_lap_is_told_before_the_block_comes() {
        let bytes = [0, 0, 0x40, 9, 7, 0, 0, 1, 0x2c, 0, 0, 0, 0];
        assert_eq!(decode_one(&bytes), Err(WireError::Index(300)));
        assert_eq!(
            decode_one(&[0, 0, 0, 5, 4, 0, 0, 1, 0x2c]),
            Err(WireError::Index(300))
        );
    }

    #[test]
    fn spare_bits_are_proof() {
        let mut bytes = vec![0, 0, 0, 39, 5];
        bytes.resize(4 + 38, 0);
        bytes.push(0b0000_1000);
        assert_eq!(decode_one(&bytes), Err(WireError::SpareBits));
        *bytes.last_mut().unwrap() = 0b0001_0000;
        assert!(matches!(decode_one(&bytes), Ok(Some(Message::Bitfield(_)))));
    }

    #[test]
    fn a_claimed_length_costs_no_more_than_twice_what_arrived() {
        let mut decoder = greeted(lap());
        let mut sent = 0;
        assert_eq!(decoder.decode(&mut &[0, 1, 0, 0, 20, 1][..]), Ok(None));
        assert_eq!(decoder.buffered(), 0);
        while sent < 65534 - 100 {
            assert_eq!(decoder.decode(&mut &[b'x'; 100][..]), Ok(None));
            sent += 100;
            assert!(decoder.is_partial());
            assert!(decoder.buffered() <= 2 * sent, "{sent}");
        }
        let mut rest = &[b'x'; 65534][sent..];
        let Ok(Some(Message::Extended { payload, .. })) = decoder.decode(&mut rest) else {
            panic!("the message is whole");
        };
        assert_eq!(payload.len(), 65534);
        assert_eq!(decoder.buffered(), 0, "the body is handed out, not copied");
        let payload = payload.try_into_mut().expect("nobody else holds it");
        assert_eq!(payload.capacity(), 65534, "nothing is pinned beyond it");
    }

    #[test]
    fn a_body_of_an_unknown_id_is_not_kept() {
        let mut decoder = greeted(lap());
        assert_eq!(decoder.decode(&mut &[0, 1, 0, 0, 200][..]), Ok(None));
        assert_eq!(decoder.decode(&mut &[0; 65534][..]), Ok(None));
        assert!(decoder.is_partial());
        assert_eq!(decoder.buffered(), 0);
        let mut input = &[0, 0, 0, 0, 0][..];
        assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Unknown(200))));
        assert_eq!(decoder.decode(&mut input), Ok(Some(Message::KeepAlive)));
        assert!(!decoder.is_partial());
    }

    #[test]
    fn nothing_is_taken_past_the_end_of_a_message() {
        let mut input = &[0, 0, 0, 1, 1, 0, 0, 0][..];
        let mut decoder = greeted(lap());
        assert_eq!(decoder.decode(&mut input), Ok(Some(Message::Unchoke)));
        assert_eq!(input, [0, 0, 0]);
        assert!(!decoder.is_partial());
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert!(decoder.is_partial());
    }

    fn bytes(len: std::ops::Range<usize>) -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), len).prop_map(Bytes::from)
    }

    fn block() -> impl Strategy<Value = Block> {
        (0..NPIECES, any::<u32>(), any::<u32>()).prop_map(|(index, begin, length)| Block {
            index,
            begin,
            length,
        })
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            Just(Message::Unknown(9)),
            (0..NPIECES).prop_map(Message::Have),
            block().prop_map(Message::Request),
            block().prop_map(Message::Cancel),
            block().prop_map(Message::Reject),
            proptest::collection::vec(any::<u8>(), 38).prop_map(|mut bits| {
                bits[37] &= 0xf0;
                Message::Bitfield(bits.into())
            }),
            (0..NPIECES, any::<u32>(), bytes(1..300)).prop_map(|(index, begin, block)| {
                Message::Piece {
                    index,
                    begin,
                    block,
                }
            }),
            (any::<u8>(), bytes(0..300))
                .prop_map(|(id, payload)| Message::Extended { id, payload }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_split_of_the_bytes_gives_the_messages(
            mut messages in proptest::collection::vec(message(), 0..12),
            parts in proptest::collection::vec(1usize..80, 1..8),
        ) {
            messages.insert(0, hello());
            let mut bytes = Vec::new();
            for message in &messages {
                let before = bytes.len();
                append(message, &mut bytes);
                prop_assert_eq!(bytes.len() - before, message.wire_len());
            }
            prop_assert_eq!(decode_all(&bytes, &parts), Ok(messages.clone()));
            prop_assert_eq!(decode_all(&bytes, &[bytes.len()]), Ok(messages.clone()));
            prop_assert_eq!(decode_all(&bytes, &[1]), Ok(messages));
        }

        #[test]
        fn no_bytes_panic_and_every_message_fits_the_lap(
            messages in proptest::collection::vec(
                (prop_oneof![0u32..40, any::<u32>()], 0u8..24, bytes(0..40)), 0..8,
            ),
            part in 1usize..50,
        ) {
            let mut decoder = greeted(lap());
            let mut stream = Vec::new();
            for (length, id, body) in messages {
                stream.extend_from_slice(&length.to_be_bytes());
                stream.push(id);
                stream.extend_from_slice(&body);
            }
            'stream: for mut input in stream.chunks(part) {
                loop {
                    match decoder.decode(&mut input) {
                        Ok(Some(message)) => prop_assert_eq!(message.check(lap()), Ok(())),
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
                prop_assert!(input.is_empty());
                prop_assert!(decoder.buffered() <= 2 * stream.len());
            }
        }
    }
}
