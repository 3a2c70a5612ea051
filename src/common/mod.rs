// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What both elements are made of, so that neither needs the other.

pub(crate) mod listen;
pub(crate) mod properties;
pub(crate) mod structures;

/// The parts of a comma-separated list, without spaces and empty ones.
pub(crate) fn split_list(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_no_empty_parts() {
        assert_eq!(split_list("").count(), 0);
        let parts: Vec<_> = split_list(" a:1, ,b:2,").collect();
        assert_eq!(parts, ["a:1", "b:2"]);
    }
}
