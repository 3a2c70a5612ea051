// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Verifies what thousands of hosts see once for all of them.
//!
//! A block is known by where it lies in memory; the memo keeps it alive, so the place is never used
//! for other bytes. A piece that was put together from blocks lies somewhere else at every host: it
//! is compared with the piece of the same header, byte for byte. What is not known is verified for
//! good, and what is wrong is remembered like what is right.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use gstlivetorrent::proto::piece::{
    HEADER_LEN, PROOF_LEN, Piece, PieceError, Proof, Verifier, Verify,
};

/// Where bytes lie and how many there are.
type Place = (usize, usize);

/// Mixes words; the keys are no stranger's choice. Seedless, so every run is the same.
#[derive(Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

#[derive(Debug)]
struct Memo {
    /// Most entries of each map; the oldest leave.
    capacity: usize,
    blocks: Map<Place, (Bytes, Result<Piece, PieceError>)>,
    block_order: VecDeque<Place>,
    pieces: Map<[u8; HEADER_LEN], Piece>,
    piece_order: VecDeque<[u8; HEADER_LEN]>,
    proofs: Map<[u8; PROOF_LEN], Result<Proof, PieceError>>,
    proof_order: VecDeque<[u8; PROOF_LEN]>,
}

/// A verifier whose clones share what they found.
#[derive(Debug, Clone)]
pub(crate) struct SharedVerifier {
    verifier: Verifier,
    memo: Arc<Mutex<Memo>>,
}

impl SharedVerifier {
    /// Remembers about `capacity` pieces.
    pub(crate) fn new(verifier: Verifier, capacity: usize) -> Self {
        let memo = Memo {
            capacity,
            blocks: Map::default(),
            block_order: VecDeque::new(),
            pieces: Map::default(),
            piece_order: VecDeque::new(),
            proofs: Map::default(),
            proof_order: VecDeque::new(),
        };
        Self {
            verifier,
            memo: Arc::new(Mutex::new(memo)),
        }
    }
}

impl Memo {
    fn known(&self, bytes: &Bytes) -> Option<Piece> {
        let piece = self.pieces.get(bytes.first_chunk()?)?;
        (piece.bytes() == bytes).then(|| piece.clone())
    }

    fn remember_piece(&mut self, piece: &Piece) {
        let Some(&header) = piece.bytes().first_chunk() else {
            return;
        };
        if self.pieces.insert(header, piece.clone()).is_none() {
            self.piece_order.push_back(header);
        }
        while self.piece_order.len() > self.capacity {
            let oldest = self.piece_order.pop_front();
            oldest.and_then(|oldest| self.pieces.remove(&oldest));
        }
    }

    fn remember_block(&mut self, place: Place, bytes: Bytes, found: Result<Piece, PieceError>) {
        self.blocks.insert(place, (bytes, found));
        self.block_order.push_back(place);
        // Wrong ones are many where there are polluters, and each is asked about soon or never.
        while self.block_order.len() > self.capacity {
            let oldest = self.block_order.pop_front();
            oldest.and_then(|oldest| self.blocks.remove(&oldest));
        }
    }
}

impl Verify for SharedVerifier {
    fn piece(&self, bytes: Bytes) -> Result<Piece, PieceError> {
        let place = (bytes.as_ptr() as usize, bytes.len());
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = memo.blocks.get(&place) {
            return found.clone();
        }
        if let Some(piece) = memo.known(&bytes) {
            return Ok(piece);
        }
        let found = self.verifier.piece(bytes.clone());
        if let Ok(piece) = &found {
            memo.remember_piece(piece);
        }
        memo.remember_block(place, bytes, found.clone());
        found
    }

    fn proof(&self, bytes: &[u8; PROOF_LEN]) -> Result<Proof, PieceError> {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = memo.proofs.get(bytes) {
            return *found;
        }
        let found = self.verifier.proof(bytes);
        memo.proofs.insert(*bytes, found);
        memo.proof_order.push_back(*bytes);
        while memo.proof_order.len() > memo.capacity {
            let oldest = memo.proof_order.pop_front();
            oldest.and_then(|oldest| memo.proofs.remove(&oldest));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gstlivetorrent::proto::piece::Flags;

    use super::super::{options::Options, source::Broadcast};

    fn stream() -> (Piece, SharedVerifier) {
        let mut broadcast = Broadcast::new(&Options::default());
        let info = &broadcast.metainfo.info;
        let verifier = Verifier::new(info.key().clone(), info.infohash(), info.piece_length());
        (broadcast.publish(0, 1), SharedVerifier::new(verifier, 4))
    }

    #[test]
    fn what_was_signed_passes_from_wherever_it_lies() {
        let (piece, verifier) = stream();
        for _ in 0..2 {
            let found = verifier.piece(piece.bytes().clone()).unwrap();
            assert!(found.flags().contains(Flags::START));
            assert_eq!(found, piece);
            let copy = Bytes::copy_from_slice(piece.bytes());
            assert_eq!(verifier.piece(copy).unwrap(), piece);
            assert_eq!(verifier.proof(piece.proof().bytes()), Ok(piece.proof()));
        }
    }

    #[test]
    fn what_was_not_signed_never_does() {
        let (piece, verifier) = stream();
        let spoil = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        };
        let spoiled = Bytes::from(spoil(piece.bytes()));
        for _ in 0..2 {
            assert!(verifier.piece(spoiled.clone()).is_err());
            assert!(verifier.piece(piece.bytes().slice(1..)).is_err());
            let proof = spoil(piece.proof().bytes()).try_into().unwrap();
            assert!(verifier.proof(&proof).is_err());
            // Nor does it once the true one is known.
            assert!(verifier.piece(piece.bytes().clone()).is_ok());
        }
    }
}
