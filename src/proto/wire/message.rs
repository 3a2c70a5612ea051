// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The messages and their bytes (BEP 3, BEP 6, BEP 10).

use bytes::Bytes;

use super::WireError;
use crate::proto::{lap::Lap, metainfo::Infohash};

/// Bytes of the handshake (BEP 3).
pub const HANDSHAKE_LEN: usize = 68;
/// Most bytes of a piece that one PIECE message carries (PROTOCOL §6).
pub const BLOCK_LEN: usize = 16 * 1024;

/// First of the handshake: the length of the protocol's name and the name (BEP 3).
pub(super) const PROTOCOL: [u8; 20] = *b"\x13BitTorrent protocol";

/// Message ids.
pub(super) mod id {
    pub(in super::super) const CHOKE: u8 = 0;
    pub(in super::super) const UNCHOKE: u8 = 1;
    pub(in super::super) const INTERESTED: u8 = 2;
    pub(in super::super) const NOT_INTERESTED: u8 = 3;
    pub(in super::super) const HAVE: u8 = 4;
    pub(in super::super) const BITFIELD: u8 = 5;
    pub(in super::super) const REQUEST: u8 = 6;
    pub(in super::super) const PIECE: u8 = 7;
    pub(in super::super) const CANCEL: u8 = 8;
    pub(in super::super) const HAVE_ALL: u8 = 14;
    pub(in super::super) const HAVE_NONE: u8 = 15;
    pub(in super::super) const REJECT: u8 = 16;
    pub(in super::super) const EXTENDED: u8 = 20;
}

/// The first 68 bytes of a connection (BEP 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Reserved bits.
    pub reserved: [u8; 8],
    /// Which stream.
    pub infohash: Infohash,
    /// Who.
    pub peer_id: [u8; 20],
}

impl Handshake {
    /// Reserved bits of a peer with BEP 10 and BEP 6.
    pub const RESERVED: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];

    /// Ours: with what PROTOCOL §4 requires of both sides.
    #[must_use]
    pub const fn new(infohash: Infohash, peer_id: [u8; 20]) -> Self {
        Self {
            reserved: Self::RESERVED,
            infohash,
            peer_id,
        }
    }

    /// Whether the sender speaks BEP 10 (byte 5, 0x10) and BEP 6 (byte 7, 0x04).
    #[must_use]
    pub const fn has_extensions(&self) -> bool {
        self.reserved[5] & 0x10 != 0 && self.reserved[7] & 0x04 != 0
    }

    pub(super) fn parse(bytes: &[u8; HANDSHAKE_LEN]) -> Self {
        Self {
            reserved: field(bytes, 20),
            infohash: Infohash(field(bytes, 28)),
            peer_id: field(bytes, 48),
        }
    }
}

/// The `N` bytes at a fixed offset of a head.
fn field<const N: usize>(bytes: &[u8; HANDSHAKE_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// The three fields that REQUEST, CANCEL and REJECT share (BEP 3, BEP 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The piece's place in the lap.
    pub index: u32,
    /// Offset in the piece; 0 where a piece is asked for.
    pub begin: u32,
    /// Bytes; the piece length where a piece is asked for.
    pub length: u32,
}

/// One message of the peer protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Opens the connection.
    Handshake(Handshake),
    /// A zero length prefix.
    KeepAlive,
    /// 0: nothing is answered from here on.
    Choke,
    /// 1: requests are welcome.
    Unchoke,
    /// 2
    Interested,
    /// 3
    NotInterested,
    /// 4: the sender holds this index.
    Have(u32),
    /// 5: everything the sender holds, one bit an index.
    Bitfield(Bytes),
    /// 6
    Request(Block),
    /// 7: a part of a piece.
    Piece {
        /// The piece's place in the lap.
        index: u32,
        /// Offset in the piece.
        begin: u32,
        /// The part.
        block: Bytes,
    },
    /// 8
    Cancel(Block),
    /// 14 (BEP 6); proof of a liar here.
    HaveAll,
    /// 15 (BEP 6)
    HaveNone,
    /// 16 (BEP 6)
    Reject(Block),
    /// 20 (BEP 10): `id` 0 is the extended handshake, others as the receiver numbered them.
    Extended {
        /// Extended message id.
        id: u8,
        /// Bencoded.
        payload: Bytes,
    },
    /// An id this protocol does not use; its body was dropped.
    Unknown(u8),
}

/// A message's bytes in two parts, so that a block goes from the store to the socket uncopied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Length prefix, id and fixed fields.
    pub head: Vec<u8>,
    /// A PIECE's block, a BITFIELD's bits or an extended payload, sharing the message's memory;
    /// empty for the others.
    pub body: Bytes,
}

impl Message {
    /// Exact bytes on the wire, length prefix included.
    #[must_use]
    pub const fn wire_len(&self) -> usize {
        match self {
            Self::Handshake(_) => HANDSHAKE_LEN,
            Self::KeepAlive => 4,
            Self::Choke
            | Self::Unchoke
            | Self::Interested
            | Self::NotInterested
            | Self::HaveAll
            | Self::HaveNone
            | Self::Unknown(_) => 5,
            Self::Have(_) => 9,
            Self::Request(_) | Self::Cancel(_) | Self::Reject(_) => 17,
            Self::Bitfield(bits) => 5 + bits.len(),
            Self::Piece { block, .. } => 13 + block.len(),
            Self::Extended { payload, .. } => 6 + payload.len(),
        }
    }

    /// Appends everything but the body to `out` and hands the body back, to be written after it.
    /// Nothing is handed back where `out` holds the whole message.
    #[must_use = "the body is not in `out`"]
    pub fn encode(&self, out: &mut Vec<u8>) -> Option<Bytes> {
        match self {
            Self::Handshake(handshake) => {
                out.extend_from_slice(&PROTOCOL);
                out.extend_from_slice(&handshake.reserved);
                out.extend_from_slice(&handshake.infohash.0);
                out.extend_from_slice(&handshake.peer_id);
            }
            Self::KeepAlive => out.extend_from_slice(&[0; 4]),
            Self::Choke => self.head(out, id::CHOKE),
            Self::Unchoke => self.head(out, id::UNCHOKE),
            Self::Interested => self.head(out, id::INTERESTED),
            Self::NotInterested => self.head(out, id::NOT_INTERESTED),
            Self::HaveAll => self.head(out, id::HAVE_ALL),
            Self::HaveNone => self.head(out, id::HAVE_NONE),
            Self::Unknown(id) => self.head(out, *id),
            Self::Have(index) => {
                self.head(out, id::HAVE);
                out.extend_from_slice(&index.to_be_bytes());
            }
            Self::Request(block) => self.block_head(out, id::REQUEST, block),
            Self::Cancel(block) => self.block_head(out, id::CANCEL, block),
            Self::Reject(block) => self.block_head(out, id::REJECT, block),
            Self::Bitfield(bits) => {
                self.head(out, id::BITFIELD);
                return Some(bits.clone());
            }
            Self::Piece {
                index,
                begin,
                block,
            } => {
                self.head(out, id::PIECE);
                out.extend_from_slice(&index.to_be_bytes());
                out.extend_from_slice(&begin.to_be_bytes());
                return Some(block.clone());
            }
            Self::Extended { id, payload } => {
                self.head(out, id::EXTENDED);
                out.push(*id);
                return Some(payload.clone());
            }
        }
        None
    }

    /// The message's bytes in two parts.
    #[must_use]
    pub fn into_frame(self) -> Frame {
        let mut head = Vec::with_capacity(match self {
            Self::Handshake(_) => HANDSHAKE_LEN,
            _ => 17,
        });
        let body = self.encode(&mut head).unwrap_or_default();
        Frame { head, body }
    }

    /// Whether it fits the lap: every index inside it, a bitfield of its size without spare bits. What a [`Decoder`](super::Decoder) gives has passed this.
    ///
    /// # Errors
    /// [`WireError`] that is proof (PROTOCOL §7).
    pub fn check(&self, lap: Lap) -> Result<(), WireError> {
        match self {
            Self::Have(index)
            | Self::Request(Block { index, .. })
            | Self::Cancel(Block { index, .. })
            | Self::Reject(Block { index, .. })
            | Self::Piece { index, .. } => check_index(*index, lap),
            Self::Bitfield(bits) => {
                if bits.len() != bitfield_len(lap) {
                    let (id, length) = (id::BITFIELD, self.prefix());
                    return Err(WireError::WrongSize { id, length });
                }
                check_spare_bits(bits, lap)
            }
            _ => Ok(()),
        }
    }

    /// What the length prefix says.
    const fn prefix(&self) -> u32 {
        // Blocks, bitfields and payloads are bounded far below 4 GiB by whoever makes them.
        (self.wire_len() - 4) as u32
    }

    fn head(&self, out: &mut Vec<u8>, id: u8) {
        out.extend_from_slice(&self.prefix().to_be_bytes());
        out.push(id);
    }

    fn block_head(&self, out: &mut Vec<u8>, id: u8, block: &Block) {
        self.head(out, id);
        for field in [block.index, block.begin, block.length] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
}

/// Bytes of a BITFIELD's bits.
pub(super) const fn bitfield_len(lap: Lap) -> usize {
    lap.npieces().div_ceil(8) as usize
}

/// An index past the end of the lap is proof (PROTOCOL §7).
pub(super) const fn check_index(index: u32, lap: Lap) -> Result<(), WireError> {
    if index < lap.npieces() {
        Ok(())
    } else {
        Err(WireError::Index(index))
    }
}

/// The bits after the last index are zero (BEP 3).
fn check_spare_bits(bits: &[u8], lap: Lap) -> Result<(), WireError> {
    let used = lap.npieces() % 8;
    match bits.last() {
        Some(last) if used != 0 && last << used != 0 => Err(WireError::SpareBits),
        _ => Ok(()),
    }
}

/// A message of a known id, of its head and body. The head holds the fixed fields already.
pub(super) fn assemble(id: u8, head: &[u8; HANDSHAKE_LEN], body: Bytes) -> Message {
    let number = |at| u32::from_be_bytes(field(head, at));
    let block = || Block {
        index: number(5),
        begin: number(9),
        length: number(13),
    };
    match id {
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(number(5)),
        id::BITFIELD => Message::Bitfield(body),
        id::REQUEST => Message::Request(block()),
        id::PIECE => Message::Piece {
            index: number(5),
            begin: number(9),
            block: body,
        },
        id::CANCEL => Message::Cancel(block()),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(block()),
        id::EXTENDED => Message::Extended {
            id: head[5],
            payload: body,
        },
        other => Message::Unknown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(message: Message) -> Vec<u8> {
        let wire_len = message.wire_len();
        let frame = message.into_frame();
        let bytes = [&frame.head[..], &frame.body[..]].concat();
        assert_eq!(bytes.len(), wire_len);
        bytes
    }

    #[test]
    fn the_handshake_is_laid_out_as_in_bep_3_with_the_bits_of_bep_6_and_10() {
        let handshake = Handshake::new(Infohash([0xaa; 20]), *b"-LV0100-abcdefghijkl");
        let mut expected = vec![19];
        expected.extend_from_slice(b"BitTorrent protocol");
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0x10, 0, 4]);
        expected.extend_from_slice(&[0xaa; 20]);
        expected.extend_from_slice(b"-LV0100-abcdefghijkl");
        assert_eq!(bytes_of(Message::Handshake(handshake)), expected);
        assert!(handshake.has_extensions());
    }

    #[test]
    fn a_peer_without_bep_6_or_10_shows_in_its_handshake() {
        for reserved in [[0, 0, 0, 0, 0, 0x10, 0, 0], [0, 0, 0, 0, 0, 0, 0, 4]] {
            let handshake = Handshake {
                reserved,
                ..Handshake::new(Infohash([0; 20]), [0; 20])
            };
            assert!(!handshake.has_extensions());
        }
    }

    #[test]
    fn messages_without_fields_are_a_length_of_one_and_the_id() {
        for (message, id) in [
            (Message::Choke, 0),
            (Message::Unchoke, 1),
            (Message::Interested, 2),
            (Message::NotInterested, 3),
            (Message::HaveAll, 14),
            (Message::HaveNone, 15),
        ] {
            assert_eq!(bytes_of(message), [0, 0, 0, 1, id]);
        }
        assert_eq!(bytes_of(Message::KeepAlive), [0, 0, 0, 0]);
    }

    #[test]
    fn messages_with_numbers_carry_them_big_endian() {
        assert_eq!(
            bytes_of(Message::Have(0x0102_0304)),
            [0, 0, 0, 5, 4, 1, 2, 3, 4]
        );
        let block = Block {
            index: 0x0a0b_0c0d,
            begin: 0,
            length: 0x0001_0000,
        };
        for (message, id) in [
            (Message::Request(block), 6),
            (Message::Cancel(block), 8),
            (Message::Reject(block), 16),
        ] {
            assert_eq!(
                bytes_of(message),
                [
                    0, 0, 0, 13, id, 0x0a, 0x0b, 0x0c, 0x0d, 0, 0, 0, 0, 0, 1, 0, 0
                ]
            );
        }
    }

    #[test]
    fn messages_with_a_body_carry_it_after_their_fields() {
        assert_eq!(
            bytes_of(Message::Bitfield(Bytes::from_static(&[0x80, 1]))),
            [0, 0, 0, 3, 5, 0x80, 1]
        );
        let piece = Message::Piece {
            index: 1,
            begin: 0x4000,
            block: Bytes::from_static(&[9, 8, 7]),
        };
        assert_eq!(
            bytes_of(piece),
            [0, 0, 0, 12, 7, 0, 0, 0, 1, 0, 0, 0x40, 0, 9, 8, 7]
        );
        let extended = Message::Extended {
            id: 3,
            payload: Bytes::from_static(b"de"),
        };
        assert_eq!(bytes_of(extended), [0, 0, 0, 4, 20, 3, b'd', b'e']);
    }

    #[test]
    fn a_block_is_handed_back_uncopied() {
        let block = Bytes::from(vec![7; 1000]);
        let message = Message::Piece {
            index: 0,
            begin: 0,
            block: block.clone(),
        };
        let mut head = Vec::new();
        let body = message.encode(&mut head).unwrap();
        assert_eq!(head.len(), 13);
        assert_eq!(body.as_ptr(), block.as_ptr());
    }

    #[test]
    fn what_does_not_fit_the_lap_is_proof() {
        let lap = Lap::new(300).unwrap();
        let block = Block {
            index: 300,
            begin: 0,
            length: 1,
        };
        let piece = |index| Message::Piece {
            index,
            begin: 0,
            block: Bytes::from_static(&[0]),
        };
        let bits = |len: usize, last: u8| {
            let mut bits = vec![0xff; len];
            bits[len - 1] = last;
            Message::Bitfield(Bytes::from(bits))
        };
        for message in [
            Message::Have(300),
            Message::Request(block),
            Message::Cancel(block),
            Message::Reject(block),
            piece(300),
            bits(37, 0),
            bits(39, 0),
            bits(38, 0b1111_1000),
            bits(38, 0b0000_0001),
        ] {
            assert!(message.check(lap).unwrap_err().is_proof(), "{message:?}");
        }
        for message in [Message::Have(299), piece(299), bits(38, 0b1111_0000)] {
            assert_eq!(message.check(lap), Ok(()), "{message:?}");
        }
    }
}
