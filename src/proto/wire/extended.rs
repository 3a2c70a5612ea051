// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The extended handshake (BEP 10; PROTOCOL §4).

use std::net::IpAddr;

use bendy::encoding::{Error, SortedDictEncoder};
use bytes::Bytes;

use crate::proto::{lap::Sequence, time::UnixMicros};

use super::{
    Live, PayloadError,
    bencode::{Dict, Value, emit_dict, parse_dict},
};

/// Most characters of a client's name that are kept.
const MAX_CLIENT: usize = 64;

/// Most entries of `ras`, 16 bytes each.
pub const MAX_ENTRIES: usize = 64;
const ENTRY_LEN: usize = 16;

/// Message names in `m`.
const PEX: &[u8] = b"ut_pex";
const TRANSFERS: &[u8] = b"Tr_G2G_v2";
const LIVE: &[u8] = b"tstream_live";

/// An extended message that this protocol knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// `ut_pex` (BEP 11).
    Pex,
    /// `Tr_G2G_v2`: what was forwarded.
    Transfers,
    /// `tstream_live`: where the stream stands.
    Live,
}

impl Extension {
    /// What a message of extended id `id` is, numbered as [`ExtensionIds::OURS`] tells peers to.
    #[must_use]
    pub fn of_our_id(id: u8) -> Option<Self> {
        let ours = ExtensionIds::OURS;
        [Self::Pex, Self::Transfers, Self::Live]
            .into_iter()
            .find(|extension| ours.id(*extension) == Some(id))
    }
}

/// Under which extended ids a peer wants its messages (`m`); absent: it does not take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtensionIds {
    /// `ut_pex` (BEP 11).
    pub ut_pex: Option<u8>,
    /// `Tr_G2G_v2`.
    pub tr_g2g_v2: Option<u8>,
    /// `tstream_live`; without it the connection ends.
    pub tstream_live: Option<u8>,
}

impl ExtensionIds {
    /// How we number them.
    pub const OURS: Self = Self {
        ut_pex: Some(1),
        tr_g2g_v2: Some(2),
        tstream_live: Some(3),
    };

    /// The id to send `extension` under.
    #[must_use]
    pub const fn id(&self, extension: Extension) -> Option<u8> {
        match extension {
            Extension::Pex => self.ut_pex,
            Extension::Transfers => self.tr_g2g_v2,
            Extension::Live => self.tstream_live,
        }
    }

    fn from_dict(dict: Dict<'_>) -> Self {
        let mut ids = Self::default();
        for (key, value) in dict.iter() {
            // 0 takes an extension back (BEP 10).
            let id = value.int().filter(|id| *id != 0);
            match key {
                PEX => ids.ut_pex = id,
                TRANSFERS => ids.tr_g2g_v2 = id,
                LIVE => ids.tstream_live = id,
                _ => {}
            }
        }
        ids
    }

    fn emit(&self, mut dict: SortedDictEncoder<'_>) -> Result<(), Error> {
        [
            (TRANSFERS, self.tr_g2g_v2),
            (LIVE, self.tstream_live),
            (PEX, self.ut_pex),
        ]
        .into_iter()
        .filter_map(|(key, id)| id.map(|id| (key, id)))
        .try_for_each(|(key, id)| dict.emit_pair(key, id))
    }
}

/// What a peer says of itself when a connection opens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtendedHandshake {
    /// `m`
    pub m: ExtensionIds,
    /// `p`: where it accepts connections; absent: nowhere.
    pub listen_port: Option<u16>,
    /// `v`: what it calls itself, at most 64 printable characters; empty: it does not say.
    pub client: String,
    /// `reqq`: how many requests it keeps pending.
    pub reqq: Option<u32>,
    /// `yourip`: what it sees as our address.
    pub yourip: Option<IpAddr>,
    /// `live`; absent: nothing is said of it.
    pub live: Option<Live>,
    /// `ras`: RANDOM_ACCESS pieces that it holds with their times, newest first; a claim.
    pub entries: Vec<(Sequence, UnixMicros)>,
}

impl ExtendedHandshake {
    /// Reads the payload of extended message 0. Of a key that comes twice the last counts.
    ///
    /// # Errors
    /// [`PayloadError`] where it is no bencoded dictionary or the tip is not 128 bytes.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let mut handshake = Self::default();
        for (key, value) in parse_dict(payload)?.iter() {
            match key {
                b"m" => {
                    handshake.m = value
                        .dict()
                        .map(ExtensionIds::from_dict)
                        .unwrap_or_default();
                }
                b"p" => handshake.listen_port = value.int().filter(|port| *port != 0),
                b"v" => handshake.client = value.text(MAX_CLIENT).unwrap_or_default(),
                b"ras" => handshake.entries = value.bytes().map(read_entries).unwrap_or_default(),
                b"reqq" => handshake.reqq = value.int(),
                b"yourip" => handshake.yourip = read_ip(value),
                b"live" => {
                    handshake.live = value.dict().map(Live::from_dict).transpose()?;
                }
                _ => {}
            }
        }
        Ok(handshake)
    }

    /// The payload of extended message 0.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        emit_dict(|dict| self.emit(dict)).into()
    }

    fn emit(&self, mut dict: SortedDictEncoder<'_>) -> Result<(), Error> {
        if let Some(live) = &self.live {
            dict.emit_pair_with(b"live", |value| value.emit_dict(|dict| live.emit(dict)))?;
        }
        dict.emit_pair_with(b"m", |value| value.emit_dict(|dict| self.m.emit(dict)))?;
        dict.emit_pair(b"p", self.listen_port.unwrap_or(0))?;
        if !self.entries.is_empty() {
            let bytes: Vec<u8> = self
                .entries
                .iter()
                .take(MAX_ENTRIES)
                .flat_map(|(sequence, time)| [sequence.to_be_bytes(), time.to_be_bytes()].concat())
                .collect();
            dict.emit_pair_with(b"ras", |value| value.emit_bytes(&bytes))?;
        }
        if let Some(reqq) = self.reqq {
            dict.emit_pair(b"reqq", reqq)?;
        }
        if !self.client.is_empty() {
            dict.emit_pair(b"v", &self.client)?;
        }
        match self.yourip {
            Some(IpAddr::V4(ip)) => {
                dict.emit_pair_with(b"yourip", |value| value.emit_bytes(&ip.octets()))
            }
            Some(IpAddr::V6(ip)) => {
                dict.emit_pair_with(b"yourip", |value| value.emit_bytes(&ip.octets()))
            }
            None => Ok(()),
        }
    }
}

/// None where there are too many, or a part of one.
fn read_entries(bytes: &[u8]) -> Vec<(Sequence, UnixMicros)> {
    let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
    if !rest.is_empty() || entries.len() > MAX_ENTRIES {
        return Vec::new();
    }
    let number = |bytes: &[u8]| bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte));
    entries
        .iter()
        .map(|entry| (number(&entry[..8]), number(&entry[8..])))
        .collect()
}

/// 4 or 16 bytes (BEP 10).
fn read_ip(value: Value<'_>) -> Option<IpAddr> {
    let bytes = value.bytes()?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::BencodeError;
    use proptest::prelude::*;

    /// Written by hand from BEP 10 and PROTOCOL §4.
    const FULL: &[u8] = b"d4:lived5:aheadi0e5:floori7ee\
        1:md9:Tr_G2G_v2i2e12:tstream_livei3e6:ut_pexi1ee\
        1:pi6881e3:ras32:\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x00\x00\x00\x01\x00\
        \x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\xff\
        4:reqqi256e1:v15:livetorrent 0.16:yourip4:\x7f\x00\x00\x01e";

    fn full() -> ExtendedHandshake {
        ExtendedHandshake {
            m: ExtensionIds::OURS,
            listen_port: Some(6881),
            client: "livetorrent 0.1".to_owned(),
            reqq: Some(256),
            yourip: Some([127, 0, 0, 1].into()),
            live: Some(Live {
                floor: Some(7),
                ..Live::default()
            }),
            entries: vec![(9, 256), (8, 255)],
        }
    }

    #[test]
    fn a_handshake_of_every_key_is_read_and_written() {
        assert_eq!(ExtendedHandshake::decode(FULL), Ok(full()));
        assert_eq!(full().encode(), FULL);
    }

    #[test]
    fn an_ordinary_client_shows_no_live_extension() {
        // As libtorrent lays it out, keys it alone knows included.
        let bytes = b"d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e\
            6:ut_pexi1ee13:metadata_sizei0e4:reqqi500e11:upload_onlyi0e\
            1:v19:qBittorrent/4.5.2.06:yourip16:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01e";
        let handshake = ExtendedHandshake::decode(bytes).unwrap();
        assert_eq!(handshake.m.ut_pex, Some(1));
        assert_eq!(handshake.m.tstream_live, None);
        assert_eq!(handshake.client, "qBittorrent/4.5.2.0");
        assert_eq!(handshake.yourip, Some("::1".parse().unwrap()));
    }

    #[test]
    fn a_known_key_of_the_wrong_type_or_range_counts_as_absent() {
        let bytes =
            b"d1:m3:foo1:pi65536e1:vi1e4:reqqi-1e6:yourip3:abc4:livei1e3:ras15:123456789012345e";
        let absent = ExtendedHandshake::default();
        assert_eq!(ExtendedHandshake::decode(bytes), Ok(absent.clone()));
        let bytes = b"d1:md12:tstream_livei0e6:ut_pexi256e9:Tr_G2G_v21:2e1:pi0ee";
        assert_eq!(ExtendedHandshake::decode(bytes), Ok(absent));
    }

    #[test]
    fn a_tip_of_another_size_inside_live_is_an_error() {
        assert_eq!(
            ExtendedHandshake::decode(b"d4:lived3:tip3:abcee"),
            Err(PayloadError::TipSize(3))
        );
    }

    #[test]
    fn what_does_not_parse_is_an_error() {
        for (bytes, error) in [
            (&b"d1:pi01ee"[..], BencodeError::Integer),
            (b"de0", BencodeError::Trailing),
            (b"le", BencodeError::NotADict),
            (b"", BencodeError::Truncated),
        ] {
            assert_eq!(ExtendedHandshake::decode(bytes), Err(error.into()));
        }
    }

    #[test]
    fn a_clients_name_is_bounded() {
        let bytes = [&b"d1:v1000:"[..], &[b'a'; 1000], b"e"].concat();
        let handshake = ExtendedHandshake::decode(&bytes).unwrap();
        assert_eq!(handshake.client.len(), MAX_CLIENT);
    }

    #[test]
    fn more_entries_than_allowed_count_as_none() {
        let bytes = [&b"d3:ras1040:"[..], &[7; 65 * ENTRY_LEN], b"e"].concat();
        assert_eq!(ExtendedHandshake::decode(&bytes).unwrap().entries, []);
    }

    #[test]
    fn our_ids_name_our_extensions() {
        assert_eq!(Extension::of_our_id(1), Some(Extension::Pex));
        assert_eq!(Extension::of_our_id(2), Some(Extension::Transfers));
        assert_eq!(Extension::of_our_id(3), Some(Extension::Live));
        assert_eq!(Extension::of_our_id(0), None);
        assert_eq!(Extension::of_our_id(4), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            pex in proptest::option::of(1u8..), live in proptest::option::of(1u8..),
            listen_port in proptest::option::of(1u16..), client in "[ -~µ]{0,64}",
            reqq: Option<u32>, yourip: Option<IpAddr>, hops: Option<u8>,
            entries in proptest::collection::vec(any::<(u64, u64)>(), 0..=MAX_ENTRIES),
        ) {
            let handshake = ExtendedHandshake {
                m: ExtensionIds { ut_pex: pex, tr_g2g_v2: None, tstream_live: live },
                listen_port, client, reqq, yourip,
                live: hops.map(|_| Live { hops, ..Live::default() }),
                entries,
            };
            prop_assert_eq!(ExtendedHandshake::decode(&handshake.encode()), Ok(handshake));
        }

        #[test]
        fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..100), at in 0..FULL.len()) {
            let _ = ExtendedHandshake::decode(&payload);
            let mut damaged = FULL.to_vec();
            damaged.splice(at..at, payload);
            let _ = ExtendedHandshake::decode(&damaged);
            prop_assert!(ExtendedHandshake::decode(&FULL[..at]).is_err());
        }
    }
}
