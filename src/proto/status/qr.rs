// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A link as a QR code.

use std::fmt::Write as _;

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules that have to be around a code (ISO/IEC 18004).
const QUIET: i32 = 4;

/// An SVG with this label; none where the text is too long for any code (2953 bytes).
pub(super) fn svg(text: &str, label: &str) -> Option<String> {
    // A screen is not scratched: what there is of room is for larger modules.
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let size = code.size() + 2 * QUIET;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size())
                .take_while(|&x| code.get_module(x, y))
                .count() as i32;
            if run > 0 {
                // Writing to a string cannot fail.
                let _ = write!(path, "M{} {}h{run}v1h-{run}z", x + QUIET, y + QUIET);
            }
            x += run.max(1);
        }
    }
    Some(format!(
        "<svg class=\"qr\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {size} {size}\" \
         shape-rendering=\"crispEdges\"><path d=\"{path}\"/></svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The dark modules of an SVG of ours.
    fn modules(svg: &str) -> (usize, Vec<Vec<bool>>) {
        let (_, rest) = svg.split_once("viewBox=\"0 0 ").unwrap();
        let size: usize = rest.split_once(' ').unwrap().0.parse().unwrap();
        let (_, rest) = svg.split_once("<path d=\"").unwrap();
        let (path, _) = rest.split_once('"').unwrap();
        let mut dark = vec![vec![false; size]; size];
        for run in path.split('M').skip(1) {
            let (at, run) = run.split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = run.split_once('v').unwrap().0.parse().unwrap();
            dark[y][x..x + length].fill(true);
        }
        (size, dark)
    }

    #[test]
    fn a_reader_reads_the_link() {
        let link = super::super::testing::about(false).link;
        let (size, dark) = modules(&svg(&link, "A link").unwrap());
        // Readers want to see more than one pixel of each module.
        const SCALE: usize = 3;
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(size * SCALE, size * SCALE, |x, y| {
                if dark[y / SCALE][x / SCALE] { 0 } else { 255 }
            });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        assert_eq!(grids[0].decode().unwrap().1, link);
    }

    #[test]
    fn what_is_too_long_has_no_code() {
        assert!(svg(&"a".repeat(2953), "").is_some());
        assert!(svg(&"a".repeat(2954), "").is_none());
    }
}
