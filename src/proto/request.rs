// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A piece that a peer was asked for, and its answer as it comes in.

use bytes::{Bytes, BytesMut};

use super::{lap::Sequence, piece::Header, time::Instant, wire::BLOCK_LEN};

/// A piece that we asked this peer for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) sequence: Sequence,
    pub(super) at: Instant,
    /// When the last block came, or when it was asked for.
    pub(super) moved_at: Instant,
    /// Asked before this peer showed the piece.
    pub(super) ahead: bool,
    /// When this peer showed the piece, if that was after it was asked.
    pub(super) shown: Option<Instant>,
    /// A CANCEL went; unless the answer is under way a REJECT comes.
    pub(super) recalled: Option<Instant>,
    /// Of no use any more, but it counts until its answer comes.
    pub(super) cancelled: bool,
    pub(super) assembly: Option<Assembly>,
}

/// An answer under way: its blocks come in order.
#[derive(Debug)]
pub(super) struct Assembly {
    total: usize,
    bytes: BytesMut,
}

/// What a block made of the answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More blocks are to come.
    Partial,
    /// The whole piece, not verified yet.
    Whole(Bytes),
    /// Not the next block, not of the right size, or no header: proof of a liar.
    Wrong(&'static str),
}

impl Request {
    /// A promise whose piece this peer has not shown yet.
    pub(super) const fn waits(&self) -> bool {
        self.ahead && self.shown.is_none() && self.assembly.is_none()
    }

    /// Since when the peer could have answered, as far as we know.
    pub(super) fn since(&self) -> Instant {
        self.shown.map_or(self.at, |shown| shown.max(self.at))
    }

    /// Takes in the next block.
    pub(super) fn block(&mut self, begin: u32, block: Bytes, piece_length: u32) -> Progress {
        let received = self.assembly.as_ref().map_or(0, |a| a.bytes.len());
        if begin as usize != received {
            return Progress::Wrong("a block that is not the next one");
        }
        let total = match &self.assembly {
            Some(assembly) => assembly.total,
            None => match Header::peek(&block, piece_length) {
                Ok(header) => header.piece_len(),
                Err(_) => return Progress::Wrong("a first block without a valid header"),
            },
        };
        if block.len() != (total - received).min(BLOCK_LEN) {
            return Progress::Wrong("a block of the wrong size");
        }
        if received == 0 && block.len() == total {
            return Progress::Whole(block);
        }
        let assembly = self.assembly.get_or_insert_with(|| Assembly {
            total,
            bytes: BytesMut::new(),
        });
        assembly.bytes.extend_from_slice(&block);
        if assembly.bytes.len() == total {
            let bytes = std::mem::take(&mut assembly.bytes);
            // An exact copy: what grew block by block may hold twice the room it needs.
            return Progress::Whole(Bytes::copy_from_slice(&bytes));
        }
        Progress::Partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE_LENGTH: u32 = 40_000;

    fn request() -> Request {
        Request {
            sequence: 7,
            at: Instant::default(),
            moved_at: Instant::default(),
            ahead: false,
            shown: None,
            recalled: None,
            cancelled: false,
            assembly: None,
        }
    }

    /// A piece of `content` bytes whose header says so; nothing else in it matters here.
    fn piece(content: u32) -> Bytes {
        let mut bytes = vec![0; 96 + content as usize];
        bytes[24..28].copy_from_slice(&content.to_be_bytes());
        Bytes::from(bytes)
    }

    #[test]
    fn a_piece_of_one_block_is_whole_without_a_copy() {
        let bytes = piece(100);
        let whole = request().block(0, bytes.clone(), PIECE_LENGTH);
        let Progress::Whole(whole) = whole else {
            panic!("{whole:?}");
        };
        assert_eq!(whole.as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn blocks_make_a_piece_in_order_only() {
        let bytes = piece(39_000);
        let block = |at: usize| bytes.slice(at..(at + BLOCK_LEN).min(bytes.len()));
        let mut good = request();
        assert_eq!(good.block(0, block(0), PIECE_LENGTH), Progress::Partial);
        assert_eq!(
            good.block(16_384, block(16_384), PIECE_LENGTH),
            Progress::Partial
        );
        let whole = good.block(32_768, block(32_768), PIECE_LENGTH);
        assert_eq!(whole, Progress::Whole(bytes.clone()));
        let mut skipping = request();
        assert_eq!(skipping.block(0, block(0), PIECE_LENGTH), Progress::Partial);
        let wrong = skipping.block(32_768, block(32_768), PIECE_LENGTH);
        assert!(matches!(wrong, Progress::Wrong(_)));
        let mut short = request();
        let wrong = short.block(0, block(0).slice(..16_000), PIECE_LENGTH);
        assert!(matches!(wrong, Progress::Wrong(_)));
    }

    #[test]
    fn a_header_out_of_bounds_is_refused_with_the_first_block() {
        let wrong = request().block(0, piece(39_905).slice(..BLOCK_LEN), PIECE_LENGTH);
        assert!(matches!(wrong, Progress::Wrong(_)));
        let wrong = request().block(0, Bytes::from_static(&[0; 95]), PIECE_LENGTH);
        assert!(matches!(wrong, Progress::Wrong(_)));
    }
}
