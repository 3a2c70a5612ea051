// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The peer wire protocol (PROTOCOL §4–6; BEP 3, 6, 10, 11).
//!
//! [`Message`] is what the swarm speaks in; [`Decoder`] makes messages of bytes in any split,
//! [`Message::encode`] bytes of messages. The payload of [`Message::Extended`] is one of
//! [`ExtendedHandshake`], [`Live`], [`Transfers`] and [`Pex`], each with its own reader.
//!
//! | file | what it says |
//! | --- | --- |
//! | `message` | the messages and their bytes |
//! | `decoder` | bytes in any split to messages, limits first |
//! | [`bencode`] | a reader of untrusted bencode that allocates nothing |
//! | `extended`, `live`, `transfers`, `pex` | the bencoded payloads |

pub mod bencode;
mod decoder;
mod extended;
mod live;
mod message;
mod pex;
mod transfers;

pub use bencode::BencodeError;
pub use decoder::Decoder;
pub use extended::{ExtendedHandshake, Extension, ExtensionIds, MAX_ENTRIES};
pub use live::Live;
pub use message::{BLOCK_LEN, Block, Frame, HANDSHAKE_LEN, Handshake, Message};
pub use pex::{Pex, PexPeer};
pub use transfers::Transfers;

/// What made bytes unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length prefix is over the limit of PROTOCOL §4.
    #[error("a message of {0} bytes is over the limit")]
    TooLong(u32),
    /// A message of fixed size has another.
    #[error("message {id} has {length} bytes")]
    WrongSize {
        /// Message id.
        id: u8,
        /// Bytes after the length prefix.
        length: u32,
    },
    /// A message speaks of an index past the end of the lap.
    #[error("index {0} is outside the lap")]
    Index(u32),
    /// A BITFIELD sets bits past the end of the lap.
    #[error("the bitfield has spare bits set")]
    SpareBits,
    /// The first bytes are no BEP 3 handshake.
    #[error("no BitTorrent handshake")]
    NotBitTorrent,
}

impl WireError {
    /// Whether it is proof in the sense of PROTOCOL §7: the sender is refused for ten minutes.
    /// The others end the connection only.
    #[must_use]
    pub const fn is_proof(&self) -> bool {
        match self {
            Self::WrongSize { .. } | Self::Index(_) | Self::SpareBits => true,
            Self::TooLong(_) | Self::NotBitTorrent => false,
        }
    }
}

/// What made the payload of an extended message unreadable. All of it is proof (PROTOCOL §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is no bencoded dictionary.
    #[error(transparent)]
    Bencode(#[from] BencodeError),
    /// A `tip` is not 128 bytes.
    #[error("a tip of {0} bytes")]
    TipSize(usize),
    /// A key of Tr_G2G_v2 is no index of the lap in canonical decimal.
    #[error("Tr_G2G_v2 with a key that is no index")]
    TransferIndex,
    /// A value of Tr_G2G_v2 is not one byte of 0 … 100.
    #[error("Tr_G2G_v2 with a value that is no percentage")]
    TransferPercent,
    /// Tr_G2G_v2 has over 4096 entries.
    #[error("Tr_G2G_v2 with too many entries")]
    TransferCount,
}
