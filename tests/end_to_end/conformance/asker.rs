// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A peer that asks, and holds the far end to PROTOCOL §3 and §6: each REQUEST gets exactly one answer,
//! blocks come in order and whole, and no HAVE speaks of what the announced tip does not cover.

use std::io;

use gstlivetorrent::proto::{
    lap::Sequence,
    metainfo::Info,
    piece::{HEADER_LEN, Header},
};

use super::claims::Claims;
use crate::support::peer::{Peer, block, id};

/// Bytes of one PIECE message but the last.
const BLOCK: usize = 16 * 1024;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The piece of this index.
    Piece(u32, Vec<u8>),
    /// Nothing at this index.
    Reject(u32),
}

/// One connection, and what is under way on it.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) peer: Peer,
    info: Info,
    /// Indices that were asked for and have no answer yet, one entry a request.
    pending: Vec<u32>,
    /// The answer under way.
    begun: Option<(u32, Vec<u8>)>,
    /// What the far end said that it holds.
    pub(super) shown: Vec<Sequence>,
    /// What it said of itself.
    pub(super) claims: Claims,
    /// How often it choked.
    pub(super) chokes: usize,
}

impl Asker {
    /// Connects, greets as one who holds nothing, and takes in the far end's greeting, which is its
    /// extended handshake and then its bitfield (PROTOCOL §4).
    pub(super) fn greet(port: u16, info: &Info, name: [u8; 20]) -> io::Result<Self> {
        let mut peer = Peer::connect(port, info.infohash(), name, info.lap())?;
        peer.greet(None)?;
        let mut asker = Self {
            peer,
            info: info.clone(),
            pending: Vec::new(),
            begun: None,
            shown: Vec::new(),
            claims: Claims::none(info),
            chokes: 0,
        };
        let (first, handshake) = asker.peer.receive()?;
        assert_eq!((first, handshake.first()), (id::EXTENDED, Some(&0)));
        asker.claims.take(&handshake);
        let (second, bits) = asker.peer.receive()?;
        match second {
            id::HAVE_NONE => assert!(bits.is_empty()),
            id::BITFIELD => asker.take_bits(&bits),
            other => panic!("message {other} before the bitfield"),
        }
        Ok(asker)
    }

    fn take_bits(&mut self, bits: &[u8]) {
        let lap = self.info.lap();
        assert_eq!(bits.len(), lap.npieces().div_ceil(8) as usize);
        let tip = self.tip().expect("bits mean nothing without a tip");
        for index in 0..lap.npieces() {
            if bits[index as usize / 8] & 0x80 >> (index % 8) != 0 {
                let sequence = lap.unwrap(index, tip).expect("within the lap");
                assert!(sequence <= tip && sequence >= lap.window_start(tip));
                self.shown.push(sequence);
            }
        }
    }

    /// The newest tip that the far end announced.
    pub(super) const fn tip(&self) -> Option<Sequence> {
        self.claims.tip
    }

    fn whole(&self, sequence: Sequence) -> [u8; 12] {
        let index = self.info.lap().index(sequence);
        block(index, 0, self.info.piece_length())
    }

    /// Asks for a piece.
    pub(super) fn ask(&mut self, sequence: Sequence) {
        self.pending.push(self.info.lap().index(sequence));
        let fields = self.whole(sequence);
        self.peer.send(id::REQUEST, &fields).unwrap();
    }

    /// Says that it wants something, and waits until it may ask.
    pub(super) fn wait_for_unchoke(&mut self) {
        self.peer.send(id::INTERESTED, &[]).unwrap();
        while self.peer.is_choked() {
            assert_eq!(self.take().unwrap(), None, "an answer to no request");
        }
    }

    /// How many requests have no answer yet.
    pub(super) const fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes a request back, or pretends to.
    pub(super) fn cancel(&mut self, sequence: Sequence) {
        let fields = self.whole(sequence);
        self.peer.send(id::CANCEL, &fields).unwrap();
    }

    /// Takes in one message; the answer that it ends.
    pub(super) fn take(&mut self) -> io::Result<Option<Answer>> {
        let (id, payload) = self.peer.receive()?;
        let lap = self.info.lap();
        let index = payload
            .first_chunk()
            .map(|index| u32::from_be_bytes(*index));
        match (id, index) {
            (id::HAVE, Some(index)) => {
                let tip = self.tip().expect("a HAVE means nothing without a tip");
                let sequence = lap.unwrap(index, tip).expect("within the lap");
                assert!(
                    sequence <= tip + u64::from(lap.npieces() / 8),
                    "HAVE {sequence} after tip {tip}"
                );
                self.shown.push(sequence);
                Ok(None)
            }
            (id::REJECT, Some(index)) => {
                assert_eq!(payload, block(index, 0, self.info.piece_length()));
                self.answered(index);
                Ok(Some(Answer::Reject(index)))
            }
            (id::PIECE, Some(index)) => Ok(self.take_block(index, &payload)),
            (id::CHOKE, _) => {
                self.chokes += 1;
                Ok(None)
            }
            (id::EXTENDED, _) => {
                self.claims.take(&payload);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn take_block(&mut self, index: u32, payload: &[u8]) -> Option<Answer> {
        let begin = u32::from_be_bytes(*payload[4..].first_chunk().unwrap()) as usize;
        let (under_way, mut piece) = self.begun.take().unwrap_or((index, Vec::new()));
        assert_eq!(under_way, index, "two answers are mixed");
        assert_eq!(begin, piece.len(), "not the next block");
        piece.extend_from_slice(&payload[8..]);
        let header = Header::parse(piece.first_chunk().expect("the header comes first"));
        let total = HEADER_LEN + header.content_len as usize;
        assert_eq!(payload.len() - 8, (total - begin).min(BLOCK));
        if piece.len() < total {
            self.begun = Some((index, piece));
            return None;
        }
        self.answered(index);
        Some(Answer::Piece(index, piece))
    }

    fn answered(&mut self, index: u32) {
        let at = self.pending.iter().position(|pending| *pending == index);
        self.pending
            .remove(at.unwrap_or_else(|| panic!("{index} was not asked for, or answered twice")));
    }

    /// The next answer.
    pub(super) fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.take().unwrap() {
                return answer;
            }
        }
    }

    /// Reads until the far end has dealt with all that was sent so far; the answers that came. What is
    /// asked last, of before the far end's floor, can only be rejected.
    pub(super) fn settle(&mut self) -> Vec<Answer> {
        let beyond = self.claims.floor.expect("it has a floor") - 1;
        let mark = Answer::Reject(self.info.lap().index(beyond));
        self.ask(beyond);
        let mut answers = Vec::new();
        loop {
            let answer = self.answer();
            if answer == mark {
                return answers;
            }
            answers.push(answer);
        }
    }

    /// The place of this sequence in the lap.
    pub(super) const fn index_of(&self, sequence: Sequence) -> u32 {
        self.info.lap().index(sequence)
    }

    /// The REJECT of this sequence.
    pub(super) const fn reject_of(&self, sequence: Sequence) -> Answer {
        Answer::Reject(self.index_of(sequence))
    }

    /// Reads until the far end shows this piece or a later one.
    pub(super) fn wait_for_have(&mut self, sequence: Sequence) {
        while self.shown.iter().all(|shown| *shown < sequence) {
            assert_eq!(self.take().unwrap(), None, "an answer to no request");
        }
    }
}
