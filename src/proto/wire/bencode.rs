// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A reader of bencode from peers and trackers.
//!
//! It differs from `bendy`'s, which reads files, in what messages need: the order of keys is not
//! checked (PROTOCOL §7), and integers go to 2^64 − 1. [`parse`] checks the whole input first;
//! [`Value`]s then borrow from it and lists and dictionaries are walked in place, so reading
//! allocates nothing, whatever the input claims. A key that comes twice is given twice: callers
//! let the last one win.

use bendy::encoding::{Encoder, SortedDictEncoder};

/// Lists and dictionaries inside each other, the outermost counted (PROTOCOL §7).
pub const MAX_DEPTH: usize = 8;

/// Digits of 2^64 − 1; no integer or length in range has more.
const MAX_DIGITS: usize = 20;

const MIN_INTEGER: i128 = -(1 << 63);
const MAX_INTEGER: i128 = (1 << 64) - 1;

/// Why bytes are no bencode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BencodeError {
    /// They end inside a value.
    #[error("bencode ends inside a value")]
    Truncated,
    /// A byte that can't stand where it stands.
    #[error("bencode with a byte out of place")]
    Syntax,
    /// An integer or length is not canonical or outside −2^63 … 2^64 − 1.
    #[error("bencode with an integer that is not canonical or out of range")]
    Integer,
    /// Deeper than [`MAX_DEPTH`].
    #[error("bencode deeper than 8")]
    Depth,
    /// Bytes follow the value.
    #[error("bytes after the bencoded value")]
    Trailing,
    /// The value is not a dictionary.
    #[error("bencode that is no dictionary")]
    NotADict,
}

/// A value that borrows from the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// −2^63 … 2^64 − 1.
    Int(i128),
    /// A string: any bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A dictionary.
    Dict(Dict<'a>),
}

/// A list, already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'a>(&'a [u8]);

/// A dictionary, already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dict<'a>(&'a [u8]);

/// Reads one value that `input` consists of.
///
/// # Errors
/// [`BencodeError`]: nothing of it is given out then.
pub fn parse(input: &[u8]) -> Result<Value<'_>, BencodeError> {
    let mut cursor = Cursor(input);
    let value = cursor.value(MAX_DEPTH)?;
    if cursor.0.is_empty() {
        Ok(value)
    } else {
        Err(BencodeError::Trailing)
    }
}

/// Reads the dictionary that `input` consists of.
///
/// # Errors
/// [`BencodeError`], also where it is a value of another type.
pub fn parse_dict(input: &[u8]) -> Result<Dict<'_>, BencodeError> {
    parse(input)?.dict().ok_or(BencodeError::NotADict)
}

impl<'a> Value<'a> {
    /// The integer, where it is one that fits `T`.
    #[must_use]
    pub fn int<T: TryFrom<i128>>(self) -> Option<T> {
        match self {
            Self::Int(int) => T::try_from(int).ok(),
            _ => None,
        }
    }

    /// The string.
    #[must_use]
    pub const fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string for people: at most `max` characters, and `?` for what is not printable.
    #[must_use]
    pub fn text(self, max: usize) -> Option<String> {
        self.bytes().map(|bytes| printable(bytes, max))
    }

    /// The list.
    #[must_use]
    pub const fn list(self) -> Option<List<'a>> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The dictionary.
    #[must_use]
    pub const fn dict(self) -> Option<Dict<'a>> {
        match self {
            Self::Dict(dict) => Some(dict),
            _ => None,
        }
    }
}

impl<'a> List<'a> {
    /// The items in order.
    pub fn iter(self) -> impl Iterator<Item = Value<'a>> {
        let mut cursor = Cursor(self.0);
        // Checked by `parse`; an error can't come, and would end the walk.
        std::iter::from_fn(move || cursor.value(MAX_DEPTH).ok())
    }
}

impl<'a> Dict<'a> {
    /// Keys and values in the order they stand in.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], Value<'a>)> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || {
            let key = cursor.string().ok()?;
            cursor.value(MAX_DEPTH).ok().map(|value| (key, value))
        })
    }

    /// The value of `key`, the last where it comes more than once. Walks the dictionary.
    #[must_use]
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        self.iter()
            .filter(|(found, _)| *found == key)
            .last()
            .map(|(_, value)| value)
    }
}

/// What is still unread.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn peek(self) -> Result<u8, BencodeError> {
        self.0.first().copied().ok_or(BencodeError::Truncated)
    }

    fn next(&mut self) -> Result<u8, BencodeError> {
        let (first, rest) = self.0.split_first().ok_or(BencodeError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A value with at most `depth` lists and dictionaries inside each other.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, BencodeError> {
        match self.peek()? {
            b'i' => self.integer().map(Value::Int),
            b'0'..=b'9' => self.string().map(Value::Bytes),
            b'l' => self
                .container(depth, Self::value)
                .map(|body| Value::List(List(body))),
            b'd' => self
                .container(depth, |cursor, depth| {
                    cursor.string()?;
                    cursor.value(depth)
                })
                .map(|body| Value::Dict(Dict(body))),
            _ => Err(BencodeError::Syntax),
        }
    }

    /// The bytes between a container's first byte and its `e`.
    fn container(
        &mut self,
        depth: usize,
        item: impl Fn(&mut Self, usize) -> Result<Value<'a>, BencodeError>,
    ) -> Result<&'a [u8], BencodeError> {
        let depth = depth.checked_sub(1).ok_or(BencodeError::Depth)?;
        self.next()?;
        let body = self.0;
        while self.peek()? != b'e' {
            item(self, depth)?;
        }
        let len = body.len() - self.0.len();
        self.next()?;
        Ok(&body[..len])
    }

    fn integer(&mut self) -> Result<i128, BencodeError> {
        self.next()?;
        let negative = self.peek()? == b'-';
        if negative {
            self.next()?;
        }
        let magnitude = self.digits(b'e')?;
        let integer = if negative { -magnitude } else { magnitude };
        let canonical = !(negative && magnitude == 0);
        if canonical && (MIN_INTEGER..=MAX_INTEGER).contains(&integer) {
            Ok(integer)
        } else {
            Err(BencodeError::Integer)
        }
    }

    fn string(&mut self) -> Result<&'a [u8], BencodeError> {
        let len = self.digits(b':')?;
        let len = usize::try_from(len).map_err(|_| BencodeError::Integer)?;
        let (string, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(BencodeError::Truncated)?;
        self.0 = rest;
        Ok(string)
    }

    /// Decimal digits without leading zeros, and the byte that ends them.
    fn digits(&mut self, end: u8) -> Result<i128, BencodeError> {
        let mut number = 0;
        let mut count = 0;
        loop {
            match self.next()? {
                digit @ b'0'..=b'9' => {
                    if count == MAX_DIGITS || (count > 0 && number == 0) {
                        return Err(BencodeError::Integer);
                    }
                    number = number * 10 + i128::from(digit - b'0');
                    count += 1;
                }
                byte if byte == end && count > 0 => return Ok(number),
                _ => return Err(BencodeError::Syntax),
            }
        }
    }
}

/// At most `max` characters of `bytes` as UTF-8, `?` in place of what is not printable: what
/// strangers sent and people read.
#[must_use]
pub fn printable(bytes: &[u8], max: usize) -> String {
    // A character is at most 4 bytes.
    let bytes = &bytes[..bytes.len().min(max.saturating_mul(4))];
    String::from_utf8_lossy(bytes)
        .chars()
        .take(max)
        .map(|c| {
            let plain = c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
            if plain { c } else { '?' }
        })
        .collect()
}

/// The bytes of a dictionary whose keys `content` emits in order.
pub(in crate::proto) fn emit_dict(
    content: impl FnOnce(SortedDictEncoder<'_>) -> Result<(), bendy::encoding::Error>,
) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder
        .emit_dict(content)
        .and_then(|()| encoder.get_output())
        .expect("our own keys are emitted in order")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_of_every_type_are_read() {
        assert_eq!(parse(b"i0e"), Ok(Value::Int(0)));
        assert_eq!(parse(b"i-7e"), Ok(Value::Int(-7)));
        assert_eq!(parse(b"0:"), Ok(Value::Bytes(b"")));
        assert_eq!(parse(b"4:spam"), Ok(Value::Bytes(b"spam")));
        let list = parse(b"l4:spami3ee").unwrap().list().unwrap();
        let items: Vec<_> = list.iter().collect();
        assert_eq!(items, [Value::Bytes(b"spam"), Value::Int(3)]);
        let dict = parse_dict(b"d1:ali1ee1:bd1:c0:ee").unwrap();
        let keys: Vec<_> = dict.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"a", b"b"]);
        let inner = dict.get(b"b").unwrap().dict().unwrap();
        assert_eq!(inner.get(b"c"), Some(Value::Bytes(b"")));
        assert_eq!(inner.get(b"d"), None);
    }

    #[test]
    fn integers_go_from_minus_2_to_the_63_to_2_to_the_64_less_one() {
        let read = |text: &[u8]| parse(text).map(|value| value.int::<i128>().unwrap());
        assert_eq!(read(b"i18446744073709551615e"), Ok((1 << 64) - 1));
        assert_eq!(read(b"i-9223372036854775808e"), Ok(-(1 << 63)));
        for text in [
            &b"i18446744073709551616e"[..],
            b"i-9223372036854775809e",
            b"i100000000000000000000000000000000000000000000e",
            b"i-0e",
            b"i03e",
            b"i00e",
        ] {
            assert_eq!(parse(text), Err(BencodeError::Integer));
        }
        assert_eq!(parse(b"i256e").unwrap().int::<u8>(), None);
        assert_eq!(parse(b"i-1e").unwrap().int::<u64>(), None);
    }

    #[test]
    fn what_is_no_bencode_is_refused() {
        for (text, error) in [
            (&b""[..], BencodeError::Truncated),
            (b"i1", BencodeError::Truncated),
            (b"l", BencodeError::Truncated),
            (b"d1:a", BencodeError::Truncated),
            (b"5:spam", BencodeError::Truncated),
            (b"9223372036854775807:a", BencodeError::Truncated),
            (b"99999999999999999999:a", BencodeError::Integer),
            (b"03:abc", BencodeError::Integer),
            (b"ie", BencodeError::Syntax),
            (b"i-e", BencodeError::Syntax),
            (b"i+1e", BencodeError::Syntax),
            (b"i1x", BencodeError::Syntax),
            (b"-1:a", BencodeError::Syntax),
            (b"di1e1:ae", BencodeError::Syntax),
            (b"d1:ae", BencodeError::Syntax),
            (b"x", BencodeError::Syntax),
            (b"i1ei2e", BencodeError::Trailing),
            (b"de\r\n", BencodeError::Trailing),
        ] {
            let shown = text.escape_ascii();
            assert_eq!(parse(text), Err(error), "{shown}");
        }
        assert_eq!(parse_dict(b"le"), Err(BencodeError::NotADict));
    }

    #[test]
    fn eight_levels_are_read_and_nine_refused() {
        let nested = |levels| [b"l".repeat(levels), b"e".repeat(levels)].concat();
        assert!(parse(&nested(8)).is_ok());
        assert_eq!(parse(&nested(9)), Err(BencodeError::Depth));
        assert_eq!(parse(&nested(100_000)), Err(BencodeError::Depth));
    }

    #[test]
    fn keys_may_stand_in_any_order_and_the_last_of_one_key_wins() {
        let dict = parse_dict(b"d1:bi1e1:ai2e1:bi3ee").unwrap();
        assert_eq!(dict.get(b"a"), Some(Value::Int(2)));
        assert_eq!(dict.get(b"b"), Some(Value::Int(3)));
    }

    #[test]
    fn text_for_people_is_bounded_and_printable() {
        assert_eq!(printable(b"\xc2\xb5Torrent 3.5", 64), "µTorrent 3.5");
        assert_eq!(printable(b"a\n\x1b[31m\0\xff", 64), "a??[31m??");
        assert_eq!(printable("a\u{202e}b".as_bytes(), 64), "a?b");
        assert_eq!(printable(&[b'x'; 1000], 64).len(), 64);
    }

    proptest! {
        #[test]
        fn no_input_panics_and_a_walk_gives_what_was_checked(
            input in proptest::collection::vec(
                prop_oneof![Just(b'd'), Just(b'l'), Just(b'e'), Just(b'i'), Just(b':'),
                    b'0'..=b'3', any::<u8>()],
                0..200,
            ),
        ) {
            if let Ok(Value::Dict(dict)) = parse(&input) {
                let walked: usize = dict.iter().count();
                prop_assert!(walked <= input.len() / 3);
            }
        }
    }
}
