// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The `tstream_live` dictionary: what a peer says of itself and of the stream (PROTOCOL §5).

use bendy::encoding::{Error, SortedDictEncoder};
use bytes::Bytes;

use super::{
    PayloadError,
    bencode::{Dict, emit_dict, parse_dict},
};
use crate::proto::{
    hops::{ClassHops, FAR},
    lap::{MAX_PIECES, Sequence},
    piece::PROOF_LEN,
};

/// Everything but `tip` is a claim, and `tip` is one until it is verified. A number can be any of
/// its type: whoever adds to one saturates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Live {
    /// Proof of the newest piece it knows, not verified here.
    pub tip: Option<[u8; PROOF_LEN]>,
    /// Oldest sequence it holds in its window; absent: it holds nothing.
    pub floor: Option<Sequence>,
    /// Sequence of the newest RANDOM_ACCESS piece it holds.
    pub ra: Option<Sequence>,
    /// How far past its own tip it lets a peer ask; 0: not at all. At most 2^20: no lap is longer.
    pub ahead: u64,
    /// 0 at the source; absent before the first piece, or where it is over 255.
    pub hops: Option<u8>,
    /// The same in each class of sequences; absent from peers that know of no classes.
    pub class_hops: Option<ClassHops>,
    /// ms from the time of the newest piece it holds to when it held it.
    pub lag: Option<u64>,
    /// ms since its tip last moved.
    pub seen: Option<u64>,
    /// Free upload in bytes/s as it judges it.
    pub up: Option<u64>,
    /// Upload capacity in bytes/s as it has measured it, used or not; absent before that.
    pub cap: Option<u64>,
    /// It says that it is the source.
    pub src: bool,
    /// Somebody connected to it: it can be called.
    pub called: bool,
}

impl Live {
    /// Hops from the source, [`FAR`] where it does not say.
    #[must_use]
    pub fn hops_or_far(&self) -> u8 {
        self.hops.unwrap_or(FAR)
    }

    /// Hops in the class of `sequence`; as a whole where it tells no classes apart.
    #[must_use]
    pub fn hops_at(&self, sequence: Sequence) -> u8 {
        self.class_hops
            .map_or_else(|| self.hops_or_far(), |hops| hops.at(sequence))
    }

    /// Reads the payload of a `tstream_live` message. Of a key that comes twice the last counts.
    ///
    /// # Errors
    /// [`PayloadError`] where it is no bencoded dictionary or a tip is not 128 bytes.
    pub fn decode(payload: &[u8]) -> Result<Self, PayloadError> {
        Self::from_dict(parse_dict(payload)?)
    }

    /// The payload of a `tstream_live` message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        emit_dict(|dict| self.emit(dict)).into()
    }

    /// The dictionary also stands under `live` in the extended handshake.
    pub(super) fn from_dict(dict: Dict<'_>) -> Result<Self, PayloadError> {
        let mut live = Self::default();
        for (key, value) in dict.iter() {
            match key {
                b"tip" => {
                    live.tip = value
                        .bytes()
                        .map(|tip| tip.try_into().map_err(|_| PayloadError::TipSize(tip.len())))
                        .transpose()?;
                }
                b"floor" => live.floor = value.int(),
                b"ra" => live.ra = value.int(),
                b"ahead" => live.ahead = value.int().unwrap_or(0).min(u64::from(MAX_PIECES)),
                b"hopc" => live.class_hops = value.bytes().and_then(ClassHops::from_bytes),
                b"hops" => live.hops = value.int(),
                b"lag" => live.lag = value.int(),
                b"seen" => live.seen = value.int(),
                b"cap" => live.cap = value.int(),
                b"up" => live.up = value.int(),
                b"in" => live.called = value.int() == Some(1u8),
                b"src" => live.src = value.int() == Some(1u8),
                _ => {}
            }
        }
        Ok(live)
    }

    pub(super) fn emit(&self, mut dict: SortedDictEncoder<'_>) -> Result<(), Error> {
        dict.emit_pair(b"ahead", self.ahead)?;
        if let Some(cap) = self.cap {
            dict.emit_pair(b"cap", cap)?;
        }
        let hops = self.hops.map(u64::from);
        if let Some(floor) = self.floor {
            dict.emit_pair(b"floor", floor)?;
        }
        if let Some(hops) = &self.class_hops {
            dict.emit_pair_with(b"hopc", |value| value.emit_bytes(hops.as_bytes()))?;
        }
        let numbers: [(&[u8], Option<u64>); 7] = [
            (b"hops", hops),
            (b"in", self.called.then_some(1)),
            (b"lag", self.lag),
            (b"ra", self.ra),
            (b"seen", self.seen),
            (b"src", self.src.then_some(1)),
            (b"up", self.up),
        ];
        let (before_tip, after_tip) = numbers.split_at(6);
        emit_numbers(&mut dict, before_tip)?;
        if let Some(tip) = &self.tip {
            dict.emit_pair_with(b"tip", |value| value.emit_bytes(tip))?;
        }
        emit_numbers(&mut dict, after_tip)
    }
}

/// Those that are there.
fn emit_numbers(
    dict: &mut SortedDictEncoder<'_>,
    numbers: &[(&[u8], Option<u64>)],
) -> Result<(), Error> {
    numbers
        .iter()
        .filter_map(|(key, number)| number.map(|number| (key, number)))
        .try_for_each(|(key, number)| dict.emit_pair(key, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::BencodeError;
    use proptest::prelude::*;

    #[test]
    fn a_dict_of_every_key_is_read_and_written() {
        let mut bytes =
            b"d5:aheadi8e3:capi500000e5:floori100e4:hopc2:\x01\x034:hopsi2e2:ini1e3:lagi35e2:rai140e4:seeni12e3:srci1e\
            3:tip128:"
                .to_vec();
        bytes.extend_from_slice(&[0xab; 128]);
        bytes.extend_from_slice(b"2:upi250000ee");
        let live = Live {
            tip: Some([0xab; 128]),
            floor: Some(100),
            ra: Some(140),
            ahead: 8,
            hops: Some(2),
            class_hops: ClassHops::from_bytes(&[1, 3]),
            lag: Some(35),
            seen: Some(12),
            up: Some(250_000),
            cap: Some(500_000),
            src: true,
            called: true,
        };
        assert_eq!(Live::decode(&bytes), Ok(live));
        assert_eq!(live.encode(), bytes);
    }

    #[test]
    fn a_peer_that_holds_nothing_says_so_by_leaving_out() {
        assert_eq!(Live::decode(b"de"), Ok(Live::default()));
        assert_eq!(Live::default().encode(), &b"d5:aheadi0ee"[..]);
        assert_eq!(Live::default().hops_or_far(), 255);
    }

    #[test]
    fn a_known_key_of_the_wrong_type_or_range_counts_as_absent() {
        let bytes =
            b"d3:tipi5e5:floori-1e2:rale5:ahead1:x4:hopc0:4:hopsi256e3:lagde4:seeni-9e2:up0:3:srci2ee";
        assert_eq!(Live::decode(bytes), Ok(Live::default()));
    }

    #[test]
    fn asking_ahead_is_bounded_by_the_longest_lap() {
        let live = Live::decode(b"d5:aheadi18446744073709551615ee").unwrap();
        assert_eq!(live.ahead, 1 << 20);
    }

    #[test]
    fn a_tip_of_another_size_is_an_error() {
        let short = [&b"d3:tip127:"[..], &[0; 127], b"e"].concat();
        assert_eq!(Live::decode(&short), Err(PayloadError::TipSize(127)));
        assert_eq!(Live::decode(b"d3:tip0:e"), Err(PayloadError::TipSize(0)));
    }

    #[test]
    fn what_does_not_parse_is_an_error() {
        assert_eq!(
            Live::decode(b"d5:floori1e"),
            Err(BencodeError::Truncated.into())
        );
        assert_eq!(Live::decode(b"i1e"), Err(BencodeError::NotADict.into()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            tip in proptest::option::of(any::<u8>()),
            floor: Option<u64>, ra: Option<u64>, ahead in 0..=1u64 << 20, hops: Option<u8>,
            classes in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..=32)),
            lag: Option<u64>, seen: Option<u64>, up: Option<u64>, cap: Option<u64>, src: bool,
            called: bool,
        ) {
            let tip = tip.map(|byte| [byte; 128]);
            let class_hops = classes.as_deref().and_then(ClassHops::from_bytes);
            let live = Live { tip, floor, ra, ahead, hops, class_hops, lag, seen, up, cap, src, called };
            prop_assert_eq!(Live::decode(&live.encode()), Ok(live));
        }
    }
}
