// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What no algorithm can pass in a setting.
//!
//! | figure | bound |
//! | --- | --- |
//! | continuity | what the source and the givers can send in a second over what all viewers need in it |
//! | source upload | 1: every piece leaves the source at least once |
//! | diffusion | a schedule for one piece alone: every way is the shortest of the setting, every holder sends copies one after the other at the full rate of its uplink, and the fastest viewers are served first |
//! | overhead | one REQUEST and the head of one PIECE message for each piece that arrives |
//!
//! Uplinks are counted with what a piece costs on them: the head of its message and the headers of
//! its segments. The schedule for diffusion does not ask whether uplinks suffice for the piece after
//! it. Besides it there is one in which a holder gives no more copies of a piece than its uplink
//! can of every piece; an algorithm can beat that by giving more copies of fewer pieces.

use std::{cmp::Reverse, collections::BinaryHeap};

use gstlivetorrent::proto::wire::{Block, Message};

use super::{link, options::Options, queue::Micros};

/// The head of a PIECE message.
const PIECE_HEAD: usize = 13;

/// The bounds of one setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bounds {
    /// Of mean continuity.
    pub(crate) continuity: f64,
    /// Of the source's upload.
    pub(crate) source: f64,
    /// Of the delay to that part of the viewers: p50, p95, p99, max; µs.
    pub(crate) diffusion: [Micros; 4],
    /// The same where every piece is treated alike.
    pub(crate) alike: [Micros; 4],
    /// Of the protocol's overhead, per cent.
    pub(crate) overhead: f64,
    /// The same with the headers of segments.
    pub(crate) overhead_on_the_wire: f64,
}

/// The parts of the viewers that figures of delay are given for.
pub(crate) const QUANTILES: [f64; 4] = [0.50, 0.95, 0.99, 1.0];

impl Bounds {
    /// For the uplinks of these givers, in multiples of the bitrate, among so many viewers.
    pub(crate) fn new(options: &Options, givers: &[f64], viewers: usize) -> Self {
        let piece = options.piece();
        let on_link = link::cost(piece + PIECE_HEAD) as f64;
        // What one copy of the stream costs an uplink, in multiples of the bitrate.
        let copy = on_link * 8.0 * options.piece_rate() / options.bitrate;
        let supply = givers.iter().sum::<f64>() + options.source_link();
        let need = viewers.max(1) as f64 * copy;
        let block = Block {
            index: 0,
            begin: 0,
            length: options.piece_size,
        };
        let request = Message::Request(block).wire_len();
        let other = request + PIECE_HEAD;
        let wire = link::cost(request) as f64 + on_link;
        Self {
            continuity: (supply / need).min(1.0),
            source: 1.0,
            diffusion: schedule(options, givers, copy, false),
            alike: schedule(options, givers, copy, true),
            overhead: other as f64 / piece as f64 * 100.0,
            overhead_on_the_wire: (wire / piece as f64 - 1.0) * 100.0,
        }
    }
}

/// When a piece is at each part of the givers, µs after its publication.
fn schedule(options: &Options, givers: &[f64], copy: f64, alike: bool) -> [Micros; 4] {
    let way = (options.rtt.0 / 2.0 * 1000.0) as Micros;
    // How long one copy takes on an uplink of one multiple of the bitrate.
    let one = 1e6 / options.piece_rate() * copy;
    let mut waiting: Vec<f64> = givers.to_vec();
    waiting.sort_by(f64::total_cmp);
    // Senders by when their next copy has left: that moment, how long a copy takes, copies left.
    let mut senders = BinaryHeap::new();
    let copies = |multiple: f64, owed: &mut f64| {
        if !alike {
            return u64::MAX;
        }
        // Uplinks of less than one copy give one to some of their kind.
        *owed += multiple / copy;
        let whole = owed.floor();
        *owed -= whole;
        whole as u64
    };
    let mut owed = 0.0;
    let source = options.source_link();
    let took = (one / source) as Micros;
    senders.push(Reverse((took, took, copies(source, &mut owed).max(1))));
    let mut arrivals = Vec::with_capacity(waiting.len());
    while let Some(multiple) = waiting.pop() {
        let Some(Reverse((left, takes, more))) = senders.pop() else {
            break;
        };
        let arrives = left + way;
        arrivals.push(arrives);
        if more > 1 {
            senders.push(Reverse((left + takes, takes, more - 1)));
        }
        let takes = (one / multiple) as Micros;
        let may = copies(multiple, &mut owed);
        if may > 0 {
            senders.push(Reverse((arrives + takes, takes, may)));
        }
    }
    arrivals.sort_unstable();
    QUANTILES.map(|part| {
        let rank = (part * givers.len() as f64).ceil() as usize;
        let reached = arrivals.get(rank.saturating_sub(1)).copied();
        // Where copies run out before everybody has one, the last that was served stands.
        reached.or_else(|| arrivals.last().copied()).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_reaches_one_viewer_in_a_serialisation_and_a_way() {
        let mut options = Options::default();
        options.set("loss", "0").unwrap();
        let bounds = Bounds::new(&options, &[1.0], 1);
        // 16,384 bytes, 13 of a head and 12 segments' headers at 7.5 Mbit/s, then 10 ms.
        let expected = (16_397.0 + 480.0) * 8.0 / 7.5 + 10_000.0;
        let found = bounds.diffusion[3] as f64;
        assert!((found - expected).abs() < 200.0, "{found} {expected}");
        assert_eq!(bounds.continuity, 1.0);
    }

    #[test]
    fn too_little_uplink_bounds_continuity() {
        let options = Options::default();
        let bounds = Bounds::new(&options, &[0.5; 100], 100);
        assert!((0.5..0.53).contains(&bounds.continuity), "{bounds:?}");
    }

    #[test]
    fn ten_times_the_viewers_take_a_little_longer() {
        let options = Options::default();
        let last = |count: usize| Bounds::new(&options, &vec![1.0; count], count).diffusion[3];
        let (ten, hundred, thousand) = (last(10), last(100), last(1000));
        assert!(ten < hundred && hundred < thousand);
        assert!(
            thousand - hundred < 2 * (hundred - ten),
            "{ten} {hundred} {thousand}"
        );
    }
}
