// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! `ut_pex`: addresses of other peers (BEP 11; PROTOCOL §6).

use std::net::SocketAddr;

use bytes::Bytes;

use super::{
    PayloadError,
    bencode::{Value, emit_dict, parse_dict},
};
use crate::proto::address::{is_dialable, read_compact_v4, read_compact_v6, write_compact};

/// A peer that a message tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PexPeer {
    /// Where it listens.
    pub address: SocketAddr,
    /// BEP 11's bits, as the sender judges them.
    pub flags: u8,
}

impl PexPeer {
    /// BEP 11: the sender could connect to it.
    pub const REACHABLE: u8 = 0x10;

    /// A peer whose listening port we reached.
    #[must_use]
    pub const fn reachable(address: SocketAddr) -> Self {
        Self {
            address,
            flags: Self::REACHABLE,
        }
    }
}

/// What changed since the last message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pex {
    /// Peers that came, at most [`MAX_ADDED`](Self::MAX_ADDED) of both families.
    pub added: Vec<PexPeer>,
    /// Peers that left, at most [`MAX_DROPPED`](Self::MAX_DROPPED) of both families.
    pub dropped: Vec<SocketAddr>,
}

impl Pex {
    /// Most peers that are added; more are ignored.
    pub const MAX_ADDED: usize = 50;
    /// Most peers that are dropped; more are ignored.
    pub const MAX_DROPPED: usize = 50;

    /// Reads the payload of a `ut_pex` message. A list whose length is no multiple of an address
    /// counts as absent, a missing flag as none; addresses that nobody can dial are left out.
    ///
    /// # Errors
    /// [`PayloadError::Bencode`] where it is no bencoded dictionary.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        let dict = parse_dict(payload)?;
        let bytes = |key: &[u8]| dict.get(key).and_then(Value::bytes).unwrap_or_default();
        let added = flagged(read_compact_v4(bytes(b"added")), bytes(b"added.f"));
        let added6 = flagged(read_compact_v6(bytes(b"added6")), bytes(b"added6.f"));
        let dropped = read_compact_v4(bytes(b"dropped")).into_iter().flatten();
        let dropped6 = read_compact_v6(bytes(b"dropped6")).into_iter().flatten();
        Ok(Self {
            added: added
                .chain(added6)
                .filter(|peer| is_dialable(&peer.address))
                .take(Self::MAX_ADDED)
                .collect(),
            dropped: dropped.chain(dropped6).take(Self::MAX_DROPPED).collect(),
        })
    }

    /// The payload of a `ut_pex` message: the first 50 of each list.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (mut added, mut added6) = (Vec::new(), Vec::new());
        let (mut flags, mut flags6) = (Vec::new(), Vec::new());
        for peer in self.added.iter().take(Self::MAX_ADDED) {
            let before = added6.len();
            write_compact(peer.address, &mut added, &mut added6);
            let is_v6 = added6.len() > before;
            if is_v6 { &mut flags6 } else { &mut flags }.push(peer.flags);
        }
        let (mut dropped, mut dropped6) = (Vec::new(), Vec::new());
        for address in self.dropped.iter().take(Self::MAX_DROPPED) {
            write_compact(*address, &mut dropped, &mut dropped6);
        }
        let lists: [(&[u8], Vec<u8>); 6] = [
            (b"added", added),
            (b"added.f", flags),
            (b"added6", added6),
            (b"added6.f", flags6),
            (b"dropped", dropped),
            (b"dropped6", dropped6),
        ];
        emit_dict(|mut dict| {
            lists.iter().try_for_each(|(key, list)| {
                dict.emit_pair_with(key, |value| value.emit_bytes(list))
            })
        })
        .into()
    }
}

/// Each address with its flags, with none where there are too few.
fn flagged(
    addresses: Option<impl Iterator<Item = SocketAddr>>,
    flags: &[u8],
) -> impl Iterator<Item = PexPeer> {
    let addresses = addresses.into_iter().flatten();
    addresses.enumerate().map(move |(at, address)| PexPeer {
        address,
        flags: flags.get(at).copied().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::BencodeError;
    use proptest::prelude::*;

    fn peer(address: &str, flags: u8) -> PexPeer {
        PexPeer {
            address: address.parse().unwrap(),
            flags,
        }
    }

    #[test]
    fn a_message_of_every_key_is_read_and_written() {
        let bytes =
            b"d5:added12:\x01\x02\x03\x04\x1a\xe1\x05\x06\x07\x08\x00\x507:added.f2:\x10\x02\
            6:added618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x518:added6.f1:\x10\
            7:dropped6:\x09\x09\x09\x09\x00\x01\
            8:dropped618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\x00\x52e";
        let pex = Pex {
            added: vec![
                peer("1.2.3.4:6881", 0x10),
                peer("5.6.7.8:80", 2),
                PexPeer::reachable("[2001:db8::1]:81".parse().unwrap()),
            ],
            dropped: vec![
                "9.9.9.9:1".parse().unwrap(),
                "[2001:db8::2]:82".parse().unwrap(),
            ],
        };
        assert_eq!(Pex::decode(bytes), Ok(pex.clone()));
        assert_eq!(pex.encode(), &bytes[..]);
    }

    #[test]
    fn a_list_of_a_broken_length_or_another_type_counts_as_absent() {
        let bytes = b"d5:added7:\x01\x02\x03\x04\x1a\xe1\x007:droppedi1e6:added66:\x01\x02\x03\x04\x1a\xe1e";
        assert_eq!(Pex::decode(bytes), Ok(Pex::default()));
    }

    #[test]
    fn missing_flags_are_none() {
        let bytes = b"d5:added6:\x01\x02\x03\x04\x1a\xe1e";
        let pex = Pex::decode(bytes).unwrap();
        assert_eq!(pex.added, [peer("1.2.3.4:6881", 0)]);
    }

    #[test]
    fn addresses_that_nobody_can_dial_are_left_out() {
        let bytes = b"d5:added18:\x01\x02\x03\x04\x00\x00\xe0\x00\x00\x01\x00\x01\x05\x06\x07\x08\x00\x507:added.f3:\x01\x02\x03e";
        let pex = Pex::decode(bytes).unwrap();
        assert_eq!(pex.added, [peer("5.6.7.8:80", 3)]);
    }

    #[test]
    fn fifty_of_each_list_are_used() {
        let many = [1, 2, 3, 4, 0, 9].repeat(200);
        let mut bytes = b"d5:added1200:".to_vec();
        bytes.extend_from_slice(&many);
        bytes.extend_from_slice(b"7:dropped1200:");
        bytes.extend_from_slice(&many);
        bytes.push(b'e');
        let pex = Pex::decode(&bytes).unwrap();
        assert_eq!((pex.added.len(), pex.dropped.len()), (50, 50));
    }

    #[test]
    fn what_does_not_parse_is_an_error() {
        assert_eq!(
            Pex::decode(b"d5:added"),
            Err(BencodeError::Truncated.into())
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            v4 in proptest::collection::vec((1u8..224, any::<u8>(), 1u16.., any::<u8>()), 0..25),
            v6 in proptest::collection::vec((any::<u16>(), 1u16.., any::<u8>()), 0..25),
        ) {
            let v4 = v4.into_iter().map(|(a, d, port, flags)| PexPeer {
                address: SocketAddr::from(([a, 0, 0, d], port)), flags,
            });
            let v6 = v6.into_iter().map(|(h, port, flags)| PexPeer {
                address: SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, h], port)), flags,
            });
            let added: Vec<_> = v4.chain(v6).collect();
            let dropped = added.iter().map(|peer| peer.address).collect();
            let pex = Pex { added, dropped };
            prop_assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
        }
    }
}
