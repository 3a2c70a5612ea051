// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What a peer says of itself in its extended handshake and in `tstream_live`, read by PROTOCOL §4 and §5
//! alone: any other key is none of the reader's business.

use std::collections::BTreeMap;

use bendy::decoding::{Decoder, Object};
use gstlivetorrent::proto::{
    lap::Sequence,
    metainfo::Info,
    piece::{PROOF_LEN, Verifier, Verify as _},
};

/// A bencoded value, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(u64),
    Bytes(Vec<u8>),
    Dict(Dict),
    List,
}

pub(super) type Dict = BTreeMap<Vec<u8>, Value>;

/// Reads the one dictionary that `bytes` are.
pub(super) fn dict(bytes: &[u8]) -> Dict {
    let mut decoder = Decoder::new(bytes);
    let Some(Object::Dict(dict)) = decoder.next_object().unwrap() else {
        panic!("not a dictionary");
    };
    let dict = entries(dict);
    assert!(decoder.next_object().unwrap().is_none(), "there is more");
    dict
}

fn entries(mut dict: bendy::decoding::DictDecoder<'_, '_>) -> Dict {
    let mut entries = Dict::new();
    while let Some((key, value)) = dict.next_pair().unwrap() {
        let value = match value {
            Object::Integer(digits) => Value::Int(digits.parse().expect("none is negative")),
            Object::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Object::Dict(dict) => Value::Dict(self::entries(dict)),
            Object::List(_) => Value::List,
        };
        entries.insert(key.to_vec(), value);
    }
    entries
}

/// The integer under a key. One of another type is a fault.
pub(super) fn int(dict: &Dict, key: &str) -> Option<u64> {
    dict.get(key.as_bytes()).map(|value| match value {
        Value::Int(int) => *int,
        other => panic!("{key} is {other:?}"),
    })
}

/// Reads a `Tr_G2G_v2`: how much of each piece went on, in per cent of it.
pub(super) fn report(payload: &[u8], npieces: u32) -> BTreeMap<u32, u8> {
    let report = dict(payload);
    assert!(!report.is_empty() && report.len() <= 4096);
    let entries = report.into_iter().map(|(key, value)| {
        let digits = String::from_utf8(key).expect("decimal");
        let index: u32 = digits.parse().expect("decimal");
        assert!(index.to_string() == digits && index < npieces);
        let Value::Bytes(part) = value else {
            panic!("{value:?}");
        };
        assert!(part.len() == 1 && part[0] <= 100);
        (index, part[0])
    });
    entries.collect()
}

/// What one peer said last of itself, each time held to what it said before.
#[derive(Debug)]
pub(super) struct Claims {
    verifier: Verifier,
    pub(super) tip: Option<Sequence>,
    pub(super) floor: Option<Sequence>,
    pub(super) ahead: u64,
    pub(super) hops: Option<u64>,
    pub(super) is_source: bool,
}

impl Claims {
    /// Of a peer that has said nothing.
    pub(super) fn none(info: &Info) -> Self {
        Self {
            verifier: Verifier::new(info.key().clone(), info.infohash(), info.piece_length()),
            tip: None,
            floor: None,
            ahead: 0,
            hops: None,
            is_source: false,
        }
    }

    /// Takes in the payload of a message EXTENDED, if it is one that speaks of this: numbers are those
    /// that [`Peer::introduce`](crate::support::peer::Peer::introduce) gives.
    pub(super) fn take(&mut self, payload: &[u8]) {
        match payload.split_first() {
            Some((0, handshake)) => match dict(handshake).remove(&b"live"[..]) {
                Some(Value::Dict(live)) => self.take_live(&live),
                other => panic!("live is {other:?}"),
            },
            Some((3, live)) => self.take_live(&dict(live)),
            _ => {}
        }
    }

    fn take_live(&mut self, live: &Dict) {
        if let Some(tip) = live.get(&b"tip"[..]) {
            let Value::Bytes(tip) = tip else {
                panic!("tip is {tip:?}");
            };
            let proof: &[u8; PROOF_LEN] = tip[..].try_into().expect("128 bytes");
            let sequence = self.verifier.proof(proof).unwrap().header().sequence;
            assert!(self.tip <= Some(sequence), "the tip goes back");
            self.tip = Some(sequence);
        }
        let floor = int(live, "floor");
        assert!(self.floor <= floor, "the floor goes down or away");
        assert!(floor <= self.tip, "the floor lies above the tip");
        self.floor = floor;
        assert!(int(live, "ra") <= self.tip);
        self.ahead = int(live, "ahead").unwrap_or(0);
        self.hops = int(live, "hops");
        self.is_source = int(live, "src") == Some(1);
        assert!(self.hops.is_none_or(|hops| hops <= 255));
        assert_eq!(self.hops == Some(0), self.is_source);
    }
}
