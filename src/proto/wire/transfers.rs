// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! `Tr_G2G_v2`: how much of each piece went on to others (PROTOCOL §6).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    PayloadError,
    bencode::{Value, emit_dict, parse_dict},
};
use crate::proto::lap::Lap;

/// The claims of one message: by index, per cent of the piece forwarded, 0 … 100.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transfers(pub BTreeMap<u32, u8>);

impl Transfers {
    /// Most entries of a message.
    pub const MAX_ENTRIES: usize = 4096;

    /// Reads the payload of a `Tr_G2G_v2` message. Of an index that comes twice the last counts.
    ///
    /// # Errors
    /// [`PayloadError`] where the form is breached: all of it is proof.
    pub fn decode(payload: &[u8], lap: Lap) -> Result<Self, PayloadError> {
        let mut percents = BTreeMap::new();
        for (count, (key, value)) in parse_dict(payload)?.iter().enumerate() {
            if count == Self::MAX_ENTRIES {
                return Err(PayloadError::TransferCount);
            }
            let index = read_index(key, lap).ok_or(PayloadError::TransferIndex)?;
            let percent = read_percent(value).ok_or(PayloadError::TransferPercent)?;
            percents.insert(index, percent);
        }
        Ok(Self(percents))
    }

    /// The payload of a `Tr_G2G_v2` message: the first 4096 entries, percentages capped at 100.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // A bencoded dictionary is sorted by the bytes of its keys: "10" before "9".
        let entries: BTreeMap<String, u8> = self
            .0
            .iter()
            .take(Self::MAX_ENTRIES)
            .map(|(index, percent)| (index.to_string(), *percent.min(&100)))
            .collect();
        emit_dict(|mut dict| {
            entries.iter().try_for_each(|(key, percent)| {
                dict.emit_pair_with(key.as_bytes(), |value| value.emit_bytes(&[*percent]))
            })
        })
        .into()
    }
}

impl FromIterator<(u32, u8)> for Transfers {
    fn from_iter<T: IntoIterator<Item = (u32, u8)>>(entries: T) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// A decimal index without leading zeros.
fn read_index(key: &[u8], lap: Lap) -> Option<u32> {
    let canonical =
        key.iter().all(u8::is_ascii_digit) && (key.len() == 1 || key.first() != Some(&b'0'));
    let index = str::from_utf8(key).ok().filter(|_| canonical)?;
    index.parse().ok().filter(|index| *index < lap.npieces())
}

/// One byte, 0 … 100.
fn read_percent(value: Value<'_>) -> Option<u8> {
    match value.bytes()? {
        [percent @ 0..=100] => Some(*percent),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::BencodeError;
    use proptest::prelude::*;

    fn lap() -> Lap {
        Lap::new(300).unwrap()
    }

    #[test]
    fn entries_are_keyed_by_decimal_index_sorted_as_strings() {
        let bytes = b"d1:01:\x002:101:\x643:2991:\x321:91:\x01e";
        let transfers: Transfers = [(9, 1), (0, 0), (299, 50), (10, 100)].into_iter().collect();
        assert_eq!(Transfers::decode(bytes, lap()), Ok(transfers.clone()));
        assert_eq!(transfers.encode(), &bytes[..]);
        assert_eq!(Transfers::default().encode(), &b"de"[..]);
    }

    #[test]
    fn percentages_over_a_hundred_are_capped_when_written() {
        let transfers: Transfers = [(1, 250)].into_iter().collect();
        assert_eq!(transfers.encode(), &b"d1:11:\x64e"[..]);
    }

    #[test]
    fn each_breach_of_the_form_is_an_error() {
        for (bytes, error) in [
            (&b"d3:3001:\x01e"[..], PayloadError::TransferIndex),
            (b"d2:011:\x01e", PayloadError::TransferIndex),
            (b"d2:001:\x01e", PayloadError::TransferIndex),
            (b"d2:+11:\x01e", PayloadError::TransferIndex),
            (b"d0:1:\x01e", PayloadError::TransferIndex),
            (b"d1:x1:\x01e", PayloadError::TransferIndex),
            (b"d11:999999999991:\x01e", PayloadError::TransferIndex),
            (b"d1:11:\x65e", PayloadError::TransferPercent),
            (b"d1:10:e", PayloadError::TransferPercent),
            (b"d1:12:\x01\x01e", PayloadError::TransferPercent),
            (b"d1:1i50ee", PayloadError::TransferPercent),
            (b"d1:1", BencodeError::Truncated.into()),
            (b"le", BencodeError::NotADict.into()),
        ] {
            let shown = bytes.escape_ascii();
            assert_eq!(Transfers::decode(bytes, lap()), Err(error), "{shown}");
        }
    }

    #[test]
    fn the_4097th_entry_is_an_error() {
        let lap = Lap::new(1 << 20).unwrap();
        let dict = |count: u32| {
            let entries: String = (0..count)
                .map(|n| format!("7:{}1:\x01", 1_000_000 + n))
                .collect();
            format!("d{entries}e").into_bytes()
        };
        let most = dict(4096);
        let transfers = Transfers::decode(&most, lap).unwrap();
        assert_eq!(transfers.0.len(), 4096);
        assert_eq!(transfers.encode(), most);
        assert!(most.len() < 64 * 1024, "fits the limit of a message");
        assert_eq!(
            Transfers::decode(&dict(4097), lap),
            Err(PayloadError::TransferCount)
        );
        let over: Transfers = (0..5000).map(|index| (index, 1)).collect();
        assert_eq!(
            Transfers::decode(&over.encode(), lap).unwrap().0.len(),
            4096
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            entries in proptest::collection::btree_map(0u32..300, 0u8..=100, 0..50),
        ) {
            let transfers = Transfers(entries);
            prop_assert_eq!(Transfers::decode(&transfers.encode(), lap()), Ok(transfers));
        }
    }
}
