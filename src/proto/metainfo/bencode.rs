// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Walks canonical bencode (BEP 3) without building a tree of it.

use std::error::Error as _;

use bendy::decoding::{Decoder, Object};

use super::{MAX_LEN, MetainfoError};

/// Deepest nesting that is read. A file of ours has four levels; bendy's own limit of 2048 would
/// overflow the stack of a small thread.
const MAX_DEPTH: usize = 16;

/// A value as it stands in the file; a list or dictionary by its bytes.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Integer(&'a str),
    Bytes(&'a [u8]),
    List(&'a [u8]),
    Dict(&'a [u8]),
}

impl<'a> Value<'a> {
    fn of(object: Object<'_, 'a>) -> Result<Self, MetainfoError> {
        Ok(match object {
            Object::Integer(text) => Self::Integer(text),
            Object::Bytes(bytes) => Self::Bytes(bytes),
            Object::List(list) => Self::List(list.into_raw().map_err(bencode_error)?),
            Object::Dict(dict) => Self::Dict(dict.into_raw().map_err(bencode_error)?),
        })
    }

    pub(super) fn text(self, key: &'static str) -> Result<&'a str, MetainfoError> {
        let expected = "a UTF-8 string";
        match self {
            Self::Bytes(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
        .ok_or(MetainfoError::Type { key, expected })
    }

    pub(super) fn unsigned(self, key: &'static str) -> Result<u64, MetainfoError> {
        let expected = "an integer from 0 to 2^64 - 1";
        self.integer().ok_or(MetainfoError::Type { key, expected })
    }

    pub(super) fn integer<T: std::str::FromStr>(self) -> Option<T> {
        match self {
            Self::Integer(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn dict(self, key: &'static str) -> Result<&'a [u8], MetainfoError> {
        let expected = "a dictionary";
        match self {
            Self::Dict(raw) => Ok(raw),
            _ => Err(MetainfoError::Type { key, expected }),
        }
    }
}

fn bencode_error(error: bendy::decoding::Error) -> MetainfoError {
    // The cause alone: bendy's own line says only that the encoding is corrupt.
    let text = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    MetainfoError::Bencode(text)
}

/// Calls `visit` with each pair of the dictionary that `raw` is, and nothing but that.
pub(super) fn each_pair<'a>(
    raw: &'a [u8],
    mut visit: impl FnMut(&'a [u8], Value<'a>) -> Result<(), MetainfoError>,
) -> Result<(), MetainfoError> {
    let mut decoder = Decoder::new(raw).with_max_depth(MAX_DEPTH);
    let object = decoder.next_object().map_err(bencode_error)?;
    let Some(Object::Dict(mut dict)) = object else {
        return Err(MetainfoError::NotADictionary);
    };
    while let Some((key, object)) = dict.next_pair().map_err(bencode_error)? {
        visit(key, Value::of(object)?)?;
    }
    Ok(())
}

/// Calls `visit` with each item of `list`, which must be a list.
pub(super) fn each_item<'a>(
    list: Value<'a>,
    wrong: &MetainfoError,
    mut visit: impl FnMut(Value<'a>) -> Result<(), MetainfoError>,
) -> Result<(), MetainfoError> {
    let Value::List(raw) = list else {
        return Err(wrong.clone());
    };
    let mut decoder = Decoder::new(raw).with_max_depth(MAX_DEPTH);
    let object = decoder.next_object().map_err(bencode_error)?;
    let Some(Object::List(mut list)) = object else {
        return Err(wrong.clone());
    };
    while let Some(object) = list.next_object().map_err(bencode_error)? {
        visit(Value::of(object)?)?;
    }
    Ok(())
}

/// Refuses bytes that are not one dictionary from end to end.
pub(super) fn check_whole(bytes: &[u8]) -> Result<(), MetainfoError> {
    if bytes.len() > MAX_LEN {
        return Err(MetainfoError::TooLong);
    }
    let mut decoder = Decoder::new(bytes).with_max_depth(MAX_DEPTH);
    let object = decoder.next_object().map_err(bencode_error)?;
    let Some(Object::Dict(dict)) = object else {
        return Err(MetainfoError::NotADictionary);
    };
    let dict = dict.into_raw().map_err(bencode_error)?;
    match bytes.len() - dict.len() {
        0 => Ok(()),
        more => Err(MetainfoError::Trailing(more)),
    }
}
