// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The restart file and the reservation of sequences (PROTOCOL §2), as text and arithmetic; the
//! element does the writing.
//!
//! A start writes the end of a block of sequences before it uses the first of them, so whatever
//! ends it, the next start begins past everything it has signed.

use super::{lap::Sequence, time::UnixMicros};

/// Sequences that are reserved at once.
pub const BLOCK: u64 = 65_536;

/// How far the pieces' time may run ahead of the one in the file, in µs.
///
/// It is measured on the pieces' own clock: while that stands still there is nothing to save.
pub const REWRITE_AFTER: u64 = 10_000_000;

/// Digits of the largest u64.
const MAX_DIGITS: usize = 20;

/// The two lines of `<name>.restart`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// The first sequence that no start has reserved.
    pub next: Sequence,
    /// No piece of a later start is dated before this.
    pub time: UnixMicros,
}

/// A restart file that cannot be read; the source refuses to start rather than guess.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartError {
    /// Not two decimal lines.
    #[error("line {line} is not a decimal number below 2^64 without leading zeros")]
    Line {
        /// 1 or 2.
        line: usize,
    },
    /// The file ends within a line: its number may have lost digits.
    #[error("line {line} has no end, so the file is cut off")]
    CutOff {
        /// 1 or 2.
        line: usize,
    },
    /// More than two lines.
    #[error("there are more than two lines")]
    Trailing,
}

impl Restart {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`RestartError`] where it is not exactly two decimal lines.
    pub fn parse(text: &[u8]) -> Result<Self, RestartError> {
        let (next, rest) = number(text, 1)?;
        let (time, rest) = number(rest, 2)?;
        if rest.is_empty() {
            Ok(Self { next, time })
        } else {
            Err(RestartError::Trailing)
        }
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n", self.next, self.time)
    }

    /// What a start without a restart file begins with: the Unix time in µs, which runs faster than
    /// any source makes pieces.
    #[must_use]
    pub const fn at(now: UnixMicros) -> Self {
        Self {
            next: now,
            time: now,
        }
    }

    /// What to write before a start uses the first sequence of `self`, or nothing when the
    /// sequences are used up.
    #[must_use]
    pub const fn reserve(self) -> Option<Self> {
        match self.next.checked_add(BLOCK) {
            Some(next) => Some(Self {
                next,
                time: self.time,
            }),
            None => None,
        }
    }

    /// What to write in place of `self` when `next` is the next sequence that will be used and
    /// `last_time` the last piece's time; nothing when `self` still serves.
    ///
    /// A block follows when half of the present one is used, so that a slow disk has the other half
    /// to answer. Sequences that are used up stay at the last: the caller sees that none are left.
    #[must_use]
    pub fn renew(self, next: Sequence, last_time: UnixMicros) -> Option<Self> {
        let short = self.next.saturating_sub(next) <= BLOCK / 2;
        let end = if short {
            self.next.max(next).saturating_add(BLOCK)
        } else {
            self.next
        };
        let time = self.time.max(last_time);
        let due = end != self.next || time - self.time >= REWRITE_AFTER;
        due.then_some(Self { next: end, time })
    }
}

/// The number of one line, and what follows the line.
fn number(text: &[u8], line: usize) -> Result<(u64, &[u8]), RestartError> {
    let end = text
        .iter()
        .take(MAX_DIGITS + 1)
        .position(|byte| *byte == b'\n');
    let Some(end) = end else {
        return Err(if text.len() <= MAX_DIGITS {
            RestartError::CutOff { line }
        } else {
            RestartError::Line { line }
        });
    };
    let digits = &text[..end];
    let canonical = digits == b"0" || (!digits.starts_with(b"0") && !digits.starts_with(b"+"));
    let value = str::from_utf8(digits)
        .ok()
        .filter(|_| canonical)
        .and_then(|digits| digits.parse().ok())
        .ok_or(RestartError::Line { line })?;
    Ok((value, &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_file_is_two_decimal_lines() {
        let restart = Restart {
            next: 1_767_225_600_000_000,
            time: 0,
        };
        assert_eq!(restart.to_text(), "1767225600000000\n0\n");
        assert_eq!(Restart::parse(b"1767225600000000\n0\n"), Ok(restart));
    }

    #[test]
    fn anything_else_is_refused_and_its_line_named() {
        let line = |line| Err(RestartError::Line { line });
        let cut = |line| Err(RestartError::CutOff { line });
        for (text, error) in [
            ("", cut(1)),
            ("12", cut(1)),
            ("12\n", cut(2)),
            ("12\n34", cut(2)),
            ("12\n34\n\n", Err(RestartError::Trailing)),
            ("12\n34\n56\n", Err(RestartError::Trailing)),
            ("\n34\n", line(1)),
            ("12\n\n", line(2)),
            ("012\n34\n", line(1)),
            ("+12\n34\n", line(1)),
            ("-1\n34\n", line(1)),
            (" 12\n34\n", line(1)),
            ("12\r\n34\r\n", line(1)),
            ("0x12\n34\n", line(1)),
            ("18446744073709551616\n34\n", line(1)),
            ("12\n100000000000000000000000\n", line(2)),
            ("١٢\n34\n", line(1)),
        ] {
            assert_eq!(Restart::parse(text.as_bytes()), error, "{text:?}");
        }
    }

    #[test]
    fn a_block_is_reserved_when_half_of_the_present_one_is_used() {
        let file = Restart::at(1000).reserve().unwrap();
        assert_eq!(file.next, 1000 + BLOCK);
        assert_eq!(file.renew(1000 + BLOCK / 2 - 1, 1000), None);
        let renewed = file.renew(1000 + BLOCK / 2, 1000).unwrap();
        assert_eq!(renewed.next, 1000 + 2 * BLOCK);
        assert_eq!(renewed.time, 1000);
    }

    #[test]
    fn the_time_is_rewritten_after_ten_seconds_of_pieces_and_never_goes_back() {
        let file = Restart::at(50_000_000).reserve().unwrap();
        assert_eq!(file.renew(50_000_001, 50_000_000 + REWRITE_AFTER - 1), None);
        let renewed = file.renew(50_000_001, 50_000_000 + REWRITE_AFTER).unwrap();
        assert_eq!(renewed.next, file.next);
        assert_eq!(renewed.time, 60_000_000);
        assert_eq!(file.renew(50_000_001, 0), None);
    }

    #[test]
    fn the_last_sequences_cannot_be_reserved() {
        let file = Restart {
            next: u64::MAX - BLOCK + 1,
            time: 0,
        };
        assert_eq!(file.reserve(), None);
        let last = Restart {
            next: u64::MAX,
            time: 0,
        };
        assert_eq!(last.renew(u64::MAX, 0), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(next: u64, time: u64) {
            let restart = Restart { next, time };
            prop_assert_eq!(Restart::parse(restart.to_text().as_bytes()), Ok(restart));
        }

        #[test]
        fn what_is_read_is_written_so_and_nothing_panics(text in "[0-9\\n+ -]{0,44}") {
            if let Ok(restart) = Restart::parse(text.as_bytes()) {
                prop_assert_eq!(restart.to_text(), text);
            }
        }

        #[test]
        fn every_truncation_is_refused(next: u64, time: u64, cut in 1usize..4) {
            let text = Restart { next, time }.to_text();
            prop_assert!(Restart::parse(&text.as_bytes()[..text.len() - cut]).is_err());
        }

        #[test]
        fn the_reserved_end_is_never_at_or_below_what_is_used_and_never_goes_down(
            end in 0..u64::MAX / 2, used in 0..u64::MAX / 2, time: u64, last: u64,
        ) {
            let file = Restart { next: end, time };
            let after = file.renew(used, last).unwrap_or(file);
            prop_assert!(after.next >= file.next && after.next > used + BLOCK / 2);
            prop_assert!(after.time >= file.time);
        }
    }
}
