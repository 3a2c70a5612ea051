// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The `.tstream` file (PROTOCOL §1): what it says. How it is read and written stands in
//! the modules of these names.
//!
//! Reading is strict where a stream's identity is at stake (canonical bencode, the keys of `info`)
//! and about the types of the keys that are known; keys that are unknown are ignored outside
//! `info`. A file without `announce` is read: peers may come by other ways, and the field
//! [`Metainfo::trackers`] is empty then.

use std::time::Duration;

use super::{
    key::{KeyError, PublicKey},
    lap::{Lap, MAX_PIECES, MIN_PIECES},
    uri::LinkError,
};

mod bencode;
mod read;
mod write;

/// Most bytes of a file (PROTOCOL §1).
pub const MAX_LEN: usize = 1 << 20;
/// The smallest largest piece in bytes, header included.
pub const MIN_PIECE_LENGTH: u32 = 1 << 10;
/// The largest largest piece in bytes, header included.
pub const MAX_PIECE_LENGTH: u32 = 1 << 20;
/// Most bytes of a name: it becomes a file's name, and 255 is what file systems take.
pub const MAX_NAME_LEN: usize = 255;
/// Most trackers that are kept of a file or link, and most nodes and most peers; those after are
/// ignored, so that a file cannot make its readers knock on a hundred thousand doors.
pub const MAX_CONTACTS: usize = 64;

/// What `authmethod` is.
const AUTH_METHOD: &str = "ECDSA";
/// What `version` is.
const VERSION: u64 = 1;

/// SHA-1 of a stream's `info` dictionary as it stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Infohash(pub [u8; 20]);

/// What makes a stream the stream it is: the four keys of `info`, and the infohash over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    name: String,
    piece_length: u32,
    lap: Lap,
    key: PublicKey,
    infohash: Infohash,
}

/// Everything a `.tstream` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metainfo {
    /// The stream.
    pub info: Info,
    /// Announce URLs in BEP 12 tiers; the first of the first is `announce`. What is read has no
    /// empty tier, no empty URL, none twice and at most [`MAX_CONTACTS`] in all.
    pub trackers: Vec<Vec<String>>,
    /// BEP 5 bootstrap nodes; at most [`MAX_CONTACTS`] of what is read.
    pub nodes: Vec<(String, u16)>,
    /// The program that wrote it.
    pub created_by: Option<String>,
    /// Seconds since the Unix epoch.
    pub creation_date: Option<i64>,
    /// Bytes per second, advisory.
    pub speed: Option<u64>,
    /// What the stream calls itself.
    pub title: Option<String>,
    /// `host:port` of peers that a link names (`x.pe`); never in a file.
    pub peers: Vec<String>,
}

/// Why bytes are no `.tstream`, or a text no link, that this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetainfoError {
    /// More than [`MAX_LEN`] bytes.
    #[error("the file is larger than 1 MiB")]
    TooLong,
    /// Not bencode, not canonical (unsorted or repeated keys, leading zeros), or nested too deep.
    #[error("the file is not canonical bencode: {0}")]
    Bencode(String),
    /// Bencode, but no dictionary.
    #[error("the file is not a bencoded dictionary")]
    NotADictionary,
    /// Something follows the dictionary.
    #[error("{0} bytes follow the end of the dictionary")]
    Trailing(usize),
    /// A key that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key that must not be there is.
    #[error("{dict} has the key {key:?}, which version 1 does not know")]
    Unknown {
        /// `info` or `info.live`.
        dict: &'static str,
        /// The key, where it is no UTF-8 with replacement characters.
        key: String,
    },
    /// A value of the wrong type or range.
    #[error("{key} is not {expected}")]
    Type {
        /// Where, as a path of keys.
        key: &'static str,
        /// What should stand there.
        expected: &'static str,
    },
    /// A later version of the format.
    #[error("info.live.version is {0}; this program reads version 1")]
    Version(String),
    /// Another way to sign.
    #[error("info.live.authmethod is {0:?}; this program reads \"ECDSA\"")]
    AuthMethod(String),
    /// The key is none of ours.
    #[error("info.live.pubkey: {0}")]
    Key(#[from] KeyError),
    /// A name that could not be a file's.
    #[error("the stream's name (info.name) {0}")]
    Name(&'static str),
    /// A piece length out of bounds.
    #[error("info.piece length is {0}; 1024 to 1048576 bytes are allowed")]
    PieceLength(u64),
    /// A length that is not whole pieces.
    #[error("info.length is {length}, no multiple of the piece length {piece_length}")]
    Length {
        /// `length`.
        length: u64,
        /// `piece length`.
        piece_length: u32,
    },
    /// A lap out of bounds.
    #[error("info.length makes a lap of {0} pieces; 256 to 1048576 are allowed")]
    Pieces(u64),
    /// What is wrong with a link as such.
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl Info {
    /// A stream of this name under this key.
    ///
    /// # Errors
    /// Where a name, piece length or lap is outside PROTOCOL §1.
    pub fn new(
        name: &str,
        piece_length: u32,
        lap: Lap,
        key: PublicKey,
    ) -> Result<Self, MetainfoError> {
        check_name(name)?;
        check_piece_length(u64::from(piece_length))?;
        let infohash = read::infohash(&write::info_bytes(name, piece_length, lap, &key));
        Ok(Self {
            name: name.to_owned(),
            piece_length,
            lap,
            key,
            infohash,
        })
    }

    /// The swarm's name on the wire.
    #[must_use]
    pub const fn infohash(&self) -> Infohash {
        self.infohash
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Largest piece in bytes, header included.
    #[must_use]
    pub const fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// The lap.
    #[must_use]
    pub const fn lap(&self) -> Lap {
        self.lap
    }

    /// What verifies its pieces.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }
}

impl Metainfo {
    /// A stream, with nothing said about it yet.
    #[must_use]
    pub const fn new(info: Info) -> Self {
        Self {
            info,
            trackers: Vec::new(),
            nodes: Vec::new(),
            created_by: None,
            creation_date: None,
            speed: None,
            title: None,
            peers: Vec::new(),
        }
    }

    /// Reads a file's bytes, at most 1 MiB of them.
    ///
    /// Where `announce` does not lead the first tier of `announce-list` it is put there (BEP 12
    /// would ignore it; PROTOCOL §1 wants it in the first tier).
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        read::parse(bytes)
    }

    /// The file's bytes, canonical. [`Self::peers`] are left out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        write::to_bytes(self)
    }
}

fn check_name(name: &str) -> Result<(), MetainfoError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is that of a directory"
    } else if name.len() > MAX_NAME_LEN {
        "has more than 255 bytes"
    } else if name.contains(['/', '\\']) {
        "holds a slash or backslash"
    } else if name.contains(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(MetainfoError::Name(problem))
}

fn check_piece_length(piece_length: u64) -> Result<u32, MetainfoError> {
    u32::try_from(piece_length)
        .ok()
        .filter(|length| (MIN_PIECE_LENGTH..=MAX_PIECE_LENGTH).contains(length))
        .ok_or(MetainfoError::PieceLength(piece_length))
}

/// The lap of `length` bytes in pieces of `piece_length`.
fn lap_of(length: u64, piece_length: u32) -> Result<Lap, MetainfoError> {
    if !length.is_multiple_of(u64::from(piece_length)) {
        return Err(MetainfoError::Length {
            length,
            piece_length,
        });
    }
    let npieces = length / u64::from(piece_length);
    checked_lap(npieces)
}

/// A lap of `npieces`, where that is within PROTOCOL §1.
pub(super) fn checked_lap(npieces: u64) -> Result<Lap, MetainfoError> {
    u32::try_from(npieces)
        .ok()
        .and_then(Lap::new)
        .ok_or(MetainfoError::Pieces(npieces))
}

/// Trackers as they are read: tiers without empty or repeated URLs, at most [`MAX_CONTACTS`].
#[derive(Debug, Default)]
pub(super) struct Tiers {
    tiers: Vec<Vec<String>>,
    count: usize,
}

impl Tiers {
    /// Opens a tier; one that stays empty does not count.
    pub(super) fn open(&mut self) {
        if self.tiers.last().is_none_or(|tier| !tier.is_empty()) {
            self.tiers.push(Vec::new());
        }
    }

    /// Adds a URL to the tier that was opened last.
    pub(super) fn add(&mut self, url: &str) {
        let known = |tier: &Vec<String>| tier.iter().any(|other| other == url);
        if url.is_empty() || self.count == MAX_CONTACTS || self.tiers.iter().any(known) {
            return;
        }
        if let Some(tier) = self.tiers.last_mut() {
            tier.push(url.to_owned());
            self.count += 1;
        }
    }

    /// What was added.
    pub(super) fn finish(mut self) -> Vec<Vec<String>> {
        self.tiers.retain(|tier| !tier.is_empty());
        self.tiers
    }
}

/// The lap that PROTOCOL §1 gives a stream of `bitrate` bits per second:
/// max(256, ⌈bitrate/8 × duration / piece length⌉, ⌈duration / flush time⌉), clamped to 2^20.
///
/// A flush time of zero means that no piece is closed by time: its term is left out.
#[must_use]
pub fn lap_for(bitrate: u64, duration: Duration, piece_length: u32, flush_time: Duration) -> Lap {
    // Saturation is harmless: 2^128 divided by the largest divisor is far above 2^20 still.
    let bits_times_ns = u128::from(bitrate).saturating_mul(duration.as_nanos());
    let by_size = bits_times_ns.div_ceil(8_000_000_000 * u128::from(piece_length.max(1)));
    let by_time = match flush_time.as_nanos() {
        0 => 0,
        flush_time => duration.as_nanos().div_ceil(flush_time),
    };
    let npieces = by_size
        .max(by_time)
        .clamp(u128::from(MIN_PIECES), u128::from(MAX_PIECES));
    u32::try_from(npieces)
        .ok()
        .and_then(Lap::new)
        .expect("clamped to the bounds of a lap")
}

impl std::fmt::Debug for Infohash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Infohash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The public key of RFC 6979 A.2.5.
    pub(in super::super) fn key() -> PublicKey {
        PublicKey::from_der(include_bytes!("../../tests/data/pubkey.der")).unwrap()
    }

    /// Every stream that PROTOCOL §1 allows.
    pub(in super::super) fn any_info() -> impl Strategy<Value = Info> {
        (
            "[^/\\\\\\p{Cc}]{1,60}",
            MIN_PIECE_LENGTH..=MAX_PIECE_LENGTH,
            MIN_PIECES..=MAX_PIECES,
        )
            .prop_filter("no directory", |(name, ..)| name != "." && name != "..")
            .prop_map(|(name, piece_length, npieces)| {
                let lap = Lap::new(npieces).unwrap();
                Info::new(&name, piece_length, lap, key()).unwrap()
            })
    }

    #[test]
    fn names_that_no_file_can_have_are_refused() {
        let lap = Lap::new(256).unwrap();
        let long = "ü".repeat(128);
        for name in [
            "", ".", "..", "a/b", "a\\b", "a\nb", "a\u{7f}", "a\u{85}b", &long,
        ] {
            let refused = Info::new(name, 16384, lap, key());
            assert!(matches!(refused, Err(MetainfoError::Name(_))), "{name:?}");
        }
        let longest = "a".repeat(255);
        for name in ["foo", "...", "Zürich live", "a b", ".hidden", &longest] {
            assert_eq!(Info::new(name, 16384, lap, key()).unwrap().name(), name);
        }
    }

    #[test]
    fn piece_lengths_are_from_one_kibibyte_to_one_mebibyte() {
        let lap = Lap::new(256).unwrap();
        for (length, fits) in [
            (1023, false),
            (1024, true),
            (1 << 20, true),
            ((1 << 20) + 1, false),
        ] {
            assert_eq!(
                Info::new("foo", length, lap, key()).is_ok(),
                fits,
                "{length}"
            );
        }
    }

    #[test]
    fn a_lap_is_the_larger_of_what_size_and_time_ask_for() {
        let minutes = Duration::from_secs(600);
        let flush = Duration::from_millis(100);
        // 4 Mbit/s for 10 min in pieces of 16 KiB: 300 MB / 16384 = 18310.5…
        assert_eq!(lap_for(4_000_000, minutes, 16384, flush).npieces(), 18_311);
        // 64 kbit/s fill 293 pieces; a piece each 100 ms makes 6000.
        assert_eq!(lap_for(64_000, minutes, 16384, flush).npieces(), 6_000);
        assert_eq!(
            lap_for(64_000, minutes, 16384, Duration::ZERO).npieces(),
            293
        );
        let short = Duration::from_secs(1);
        assert_eq!(lap_for(4_000_000, short, 16384, flush).npieces(), 256);
    }

    #[test]
    fn extreme_streams_are_clamped_without_overflow() {
        for (bitrate, duration, piece_length, flush, npieces) in [
            (
                u64::MAX,
                Duration::MAX,
                1,
                Duration::from_nanos(1),
                MAX_PIECES,
            ),
            (u64::MAX, Duration::MAX, u32::MAX, Duration::MAX, MAX_PIECES),
            (u64::MAX, Duration::MAX, 0, Duration::ZERO, MAX_PIECES),
            (0, Duration::ZERO, 0, Duration::ZERO, MIN_PIECES),
            (0, Duration::MAX, 1024, Duration::MAX, MIN_PIECES),
            (
                1,
                Duration::from_nanos(1),
                u32::MAX,
                Duration::MAX,
                MIN_PIECES,
            ),
        ] {
            let lap = lap_for(bitrate, duration, piece_length, flush);
            assert_eq!(lap.npieces(), npieces, "{bitrate} {duration:?}");
        }
    }
}
