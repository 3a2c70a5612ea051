// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The piece: 96 bytes of header, then content (PROTOCOL §2).
//!
//! A [`Piece`] value exists only of bytes whose signature verified or that were signed here, so
//! whatever holds one may store, relay and deliver it.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    key::{BadSignature, PrivateKey, PublicKey},
    lap::Sequence,
    metainfo::Infohash,
    time::UnixMicros,
};

/// Bytes before the content.
pub const HEADER_LEN: usize = 96;
/// Bytes of the header that are signed; the signature follows.
pub const SIGNED_LEN: usize = 32;
/// Bytes of a proof: a header and SHA-256 of the content.
pub const PROOF_LEN: usize = HEADER_LEN + 32;

/// First of what is signed, so that no signature of this key can stand for anything else.
const DOMAIN: &[u8] = b"livetorrent-piece-1\0";

/// The flags field. Unknown bits are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u16);

impl Flags {
    /// None set.
    pub const NONE: Self = Self(0);
    /// A decoder can start with preamble and payload.
    pub const RANDOM_ACCESS: Self = Self(1);
    /// The payload does not continue the one before.
    pub const DISCONTINUITY: Self = Self(1 << 1);
    /// Nothing follows in this start.
    pub const END: Self = Self(1 << 2);
    /// First of a start.
    pub const START: Self = Self(1 << 3);

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl std::ops::BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

/// Why bytes are no piece. Each is the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// Shorter or longer than its header says, or shorter than a header.
    #[error("a piece of {0} bytes does not have the length that its header tells")]
    Length(usize),
    /// More content than a piece of this stream can have.
    #[error("a content length of {0} bytes is over what a piece can hold")]
    Content(u32),
    /// More preamble than content.
    #[error("a preamble of {preamble} bytes in a content of {content}")]
    Preamble {
        /// Preamble length.
        preamble: u16,
        /// Content length.
        content: u32,
    },
    /// The signature does not verify.
    #[error(transparent)]
    Signature(#[from] BadSignature),
}

/// The first 96 bytes of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The piece's absolute number.
    pub sequence: Sequence,
    /// The source's clock when it closed the piece, µs since the Unix epoch.
    pub time: UnixMicros,
    /// Payload bytes before this piece since the start.
    pub position: u64,
    /// Bytes after the header.
    pub content_len: u32,
    /// Bytes of stream headers at the start of the content.
    pub preamble_len: u16,
    /// What a viewer needs to know about the payload.
    pub flags: Flags,
    /// r ‖ s.
    pub signature: [u8; 64],
}

mod field {
    use std::ops::Range;

    pub(super) const SEQUENCE: Range<usize> = 0..8;
    pub(super) const TIME: Range<usize> = 8..16;
    pub(super) const POSITION: Range<usize> = 16..24;
    pub(super) const CONTENT_LEN: Range<usize> = 24..28;
    pub(super) const PREAMBLE_LEN: Range<usize> = 28..30;
    pub(super) const FLAGS: Range<usize> = 30..32;
    pub(super) const SIGNATURE: Range<usize> = 32..96;
}

/// The bytes of a field, where the range is a constant of the format.
fn field<const N: usize>(bytes: &[u8; HEADER_LEN], range: std::ops::Range<usize>) -> [u8; N] {
    bytes[range]
        .try_into()
        .expect("field ranges have the size of their type")
}

impl Header {
    /// Reads the fields; any 96 bytes are some header.
    #[must_use]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Self {
        Self {
            sequence: u64::from_be_bytes(field(bytes, field::SEQUENCE)),
            time: u64::from_be_bytes(field(bytes, field::TIME)),
            position: u64::from_be_bytes(field(bytes, field::POSITION)),
            content_len: u32::from_be_bytes(field(bytes, field::CONTENT_LEN)),
            preamble_len: u16::from_be_bytes(field(bytes, field::PREAMBLE_LEN)),
            flags: Flags(u16::from_be_bytes(field(bytes, field::FLAGS))),
            signature: field(bytes, field::SIGNATURE),
        }
    }

    /// The header of the piece that starts with `bytes`, when its lengths fit `piece_length`.
    ///
    /// # Errors
    /// [`PieceError`] where the bytes are too few or the lengths out of bounds. `None` stands for
    /// "not enough bytes yet" nowhere: the first part of a piece always holds the header.
    pub fn peek(bytes: &[u8], piece_length: u32) -> Result<Self, PieceError> {
        let header = bytes
            .first_chunk::<HEADER_LEN>()
            .map(Self::parse)
            .ok_or(PieceError::Length(bytes.len()))?;
        if header.content_len as usize > (piece_length as usize).saturating_sub(HEADER_LEN) {
            return Err(PieceError::Content(header.content_len));
        }
        if u32::from(header.preamble_len) > header.content_len {
            return Err(PieceError::Preamble {
                preamble: header.preamble_len,
                content: header.content_len,
            });
        }
        Ok(header)
    }

    /// Header and content in bytes.
    #[must_use]
    pub const fn piece_len(&self) -> usize {
        HEADER_LEN + self.content_len as usize
    }

    /// Payload bytes of the piece; 0 for a header that [`Self::peek`] would refuse.
    #[must_use]
    pub const fn payload_len(&self) -> u64 {
        (self.content_len as u64).saturating_sub(self.preamble_len as u64)
    }

    fn emit(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[field::SEQUENCE].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[field::TIME].copy_from_slice(&self.time.to_be_bytes());
        bytes[field::POSITION].copy_from_slice(&self.position.to_be_bytes());
        bytes[field::CONTENT_LEN].copy_from_slice(&self.content_len.to_be_bytes());
        bytes[field::PREAMBLE_LEN].copy_from_slice(&self.preamble_len.to_be_bytes());
        bytes[field::FLAGS].copy_from_slice(&self.flags.0.to_be_bytes());
        bytes[field::SIGNATURE].copy_from_slice(&self.signature);
        bytes
    }
}

/// What the signature covers: of `header` its first part, of the content its SHA-256.
fn signed_message(infohash: &Infohash, header: &[u8], content_digest: &[u8; 32]) -> Vec<u8> {
    [DOMAIN, &infohash.0, &header[..SIGNED_LEN], content_digest].concat()
}

/// A piece whose signature verified or that was signed here.
///
/// A clone is the same piece: the store, what is handed on and, where many ends of a stream run in
/// one process, all of their stores share it.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece(Arc<Sealed>);

#[derive(PartialEq, Eq)]
struct Sealed {
    header: Header,
    bytes: Bytes,
    content_digest: [u8; 32],
}

impl Piece {
    /// The fields of its header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// Its absolute number.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.0.header.sequence
    }

    /// The source's clock when it closed the piece, µs since the Unix epoch.
    #[must_use]
    pub fn time(&self) -> UnixMicros {
        self.0.header.time
    }

    /// Its flags.
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.0.header.flags
    }

    /// Header and content, as they go over the wire.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Stream headers, often empty.
    #[must_use]
    pub fn preamble(&self) -> Bytes {
        let end = HEADER_LEN + usize::from(self.0.header.preamble_len);
        self.0.bytes.slice(HEADER_LEN..end)
    }

    /// The stream.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        self.0
            .bytes
            .slice(HEADER_LEN + usize::from(self.0.header.preamble_len)..)
    }

    /// What verifies without the content.
    #[must_use]
    pub fn proof(&self) -> Proof {
        let mut bytes = [0; PROOF_LEN];
        let (header, digest) = bytes.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&self.0.bytes[..HEADER_LEN]);
        digest.copy_from_slice(&self.0.content_digest);
        Proof {
            header: self.0.header,
            bytes,
        }
    }
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("sequence", &self.0.header.sequence)
            .field("flags", &self.0.header.flags)
            .field("bytes", &self.0.bytes.len())
            .finish()
    }
}

/// Header and SHA-256(content) of a piece that exists: its signature verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    header: Header,
    bytes: [u8; PROOF_LEN],
}

impl Proof {
    /// The fields of the piece's header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// As it goes over the wire.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; PROOF_LEN] {
        &self.bytes
    }

    /// The sequence that 128 bytes claim, before anything is verified.
    #[must_use]
    pub fn claimed_sequence(bytes: &[u8; PROOF_LEN]) -> Sequence {
        let first: &[u8; 8] = bytes.first_chunk().expect("a proof is longer than 8 bytes");
        Sequence::from_be_bytes(*first)
    }
}

/// Tells what the source signed from everything else.
pub trait Verify: std::fmt::Debug + Send {
    /// The piece that `bytes` are.
    ///
    /// # Errors
    /// [`PieceError`] where lengths or signature are wrong.
    fn piece(&self, bytes: Bytes) -> Result<Piece, PieceError>;

    /// The proof that `bytes` are.
    ///
    /// # Errors
    /// [`PieceError`] where lengths or signature are wrong.
    fn proof(&self, bytes: &[u8; PROOF_LEN]) -> Result<Proof, PieceError>;
}

/// Checks pieces and proofs of one stream.
#[derive(Debug, Clone)]
pub struct Verifier {
    key: PublicKey,
    infohash: Infohash,
    piece_length: u32,
}

impl Verifier {
    /// For the stream `infohash` under `key`.
    #[must_use]
    pub const fn new(key: PublicKey, infohash: Infohash, piece_length: u32) -> Self {
        Self {
            key,
            infohash,
            piece_length,
        }
    }

    /// `bytes` begin with the header.
    fn signature(
        &self,
        bytes: &[u8],
        header: &Header,
        content_digest: &[u8; 32],
    ) -> Result<(), PieceError> {
        let message = signed_message(&self.infohash, bytes, content_digest);
        Ok(self.key.verify(&message, &header.signature)?)
    }
}

impl Verify for Verifier {
    fn piece(&self, bytes: Bytes) -> Result<Piece, PieceError> {
        let header = Header::peek(&bytes, self.piece_length)?;
        if bytes.len() != header.piece_len() {
            return Err(PieceError::Length(bytes.len()));
        }
        let content_digest = Sha256::digest(&bytes[HEADER_LEN..]).into();
        self.signature(&bytes, &header, &content_digest)?;
        Ok(Piece(Arc::new(Sealed {
            header,
            bytes,
            content_digest,
        })))
    }

    fn proof(&self, bytes: &[u8; PROOF_LEN]) -> Result<Proof, PieceError> {
        let header = Header::peek(bytes, self.piece_length)?;
        let content_digest = bytes
            .last_chunk()
            .expect("a proof ends with 32 bytes of digest");
        self.signature(bytes, &header, content_digest)?;
        Ok(Proof {
            header,
            bytes: *bytes,
        })
    }
}

/// A piece that is still open: room for the header, the preamble, then payload as it comes.
#[derive(Debug)]
pub struct Draft {
    bytes: Vec<u8>,
    preamble_len: u16,
    flags: Flags,
}

impl Draft {
    /// Opens a piece.
    ///
    /// # Panics
    /// When `preamble` is longer than a u16 can tell; sources cut theirs before.
    #[must_use]
    pub fn new(preamble: &[u8], flags: Flags) -> Self {
        Self::with_capacity(preamble, flags, 0)
    }

    /// Opens a piece with room for `capacity` bytes of header and content.
    ///
    /// # Panics
    /// When `preamble` is longer than a u16 can tell; sources cut theirs before.
    #[must_use]
    pub fn with_capacity(preamble: &[u8], flags: Flags, capacity: usize) -> Self {
        let preamble_len = u16::try_from(preamble.len()).expect("preambles are cut to a u16");
        let mut bytes = Vec::with_capacity(capacity.max(HEADER_LEN + preamble.len()));
        bytes.resize(HEADER_LEN, 0);
        bytes.extend_from_slice(preamble);
        Self {
            bytes,
            preamble_len,
            flags,
        }
    }

    /// Appends payload.
    pub fn extend(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
    }

    /// Adds to its flags.
    pub fn mark(&mut self, flags: Flags) {
        self.flags |= flags;
    }

    /// Header and content so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no payload yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN + self.preamble_len as usize
    }
}

/// Signs the pieces of one start: numbers, dates and places them.
#[derive(Debug)]
pub struct Sealer {
    key: PrivateKey,
    infohash: Infohash,
    next: Sequence,
    time: UnixMicros,
    position: u64,
    started: bool,
}

impl Sealer {
    /// A start whose first piece is `next`, not dated before `not_before`.
    #[must_use]
    pub const fn new(
        key: PrivateKey,
        infohash: Infohash,
        next: Sequence,
        not_before: UnixMicros,
    ) -> Self {
        Self {
            key,
            infohash,
            next,
            time: not_before,
            position: 0,
            started: false,
        }
    }

    /// The sequence of the next piece.
    #[must_use]
    pub const fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// The time of the last piece.
    #[must_use]
    pub const fn last_time(&self) -> UnixMicros {
        self.time
    }

    /// Closes and signs a piece at `now`, or at the last piece's time where the clock went back.
    ///
    /// # Panics
    /// When the draft is longer than 4 GiB.
    #[must_use]
    pub fn seal(&mut self, now: UnixMicros, mut draft: Draft) -> Piece {
        if !self.started {
            self.started = true;
            draft.mark(Flags::START | Flags::DISCONTINUITY);
        }
        self.time = self.time.max(now);
        let content_len = draft.bytes.len() - HEADER_LEN;
        let mut header = Header {
            sequence: self.next,
            time: self.time,
            position: self.position,
            content_len: u32::try_from(content_len).expect("pieces are at most 1 MiB"),
            preamble_len: draft.preamble_len,
            flags: draft.flags,
            signature: [0; 64],
        };
        let content_digest = Sha256::digest(&draft.bytes[HEADER_LEN..]).into();
        let message = signed_message(&self.infohash, &header.emit(), &content_digest);
        header.signature = self.key.sign(&message);
        draft.bytes[..HEADER_LEN].copy_from_slice(&header.emit());
        self.next += 1;
        self.position += header.payload_len();
        // Pieces that were closed early must not keep the room they did not need.
        draft.bytes.shrink_to_fit();
        Piece(Arc::new(Sealed {
            header,
            bytes: Bytes::from(draft.bytes),
            content_digest,
        }))
    }
}

#[cfg(test)]
mod tests;
