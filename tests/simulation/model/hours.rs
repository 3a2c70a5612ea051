// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What changes with the hours: memory, as the core and the model count it, and the distance behind
//! the source, by true time.

use gstlivetorrent::proto::{stats::Stats, swarm::Footprint};

use super::{options::SECOND, queue::Micros};

/// Parts that a run is told of in.
const PARTS: Micros = 24;
/// No part is shorter.
const SHORTEST: Micros = 10 * SECOND;
/// How often the core is looked at in a part.
const LOOKS: Micros = 12;

/// One part of a run. Distances are µs from when a piece was published to when it was released.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Hour {
    pub(crate) until: Micros,
    /// The most that one host's swarm kept.
    pub(crate) kept: Footprint,
    /// The most that the model of the network kept: messages, connections, events, pieces published.
    pub(crate) model: usize,
    /// Pieces released in time, and their distance.
    pub(crate) released: u64,
    pub(crate) nearest: Micros,
    pub(crate) farthest: Micros,
    sum: u128,
    /// `live-distance` as viewers tell it, µs, and how often they were asked.
    told: u128,
    asked: u64,
}

impl Hour {
    pub(crate) fn mean(&self) -> Micros {
        (self.sum / u128::from(self.released.max(1))) as Micros
    }

    /// The mean of what viewers tell.
    pub(crate) fn told(&self) -> Micros {
        (self.told / u128::from(self.asked.max(1))) as Micros
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Hours {
    span: Micros,
    pub(crate) done: Vec<Hour>,
    current: Hour,
}

impl Hours {
    pub(crate) fn new(length: Micros) -> Self {
        let span = (length / PARTS).max(SHORTEST);
        Self {
            span,
            done: Vec::new(),
            current: Hour {
                until: span,
                ..Hour::default()
            },
        }
    }

    /// How long between two looks.
    pub(crate) const fn pause(&self) -> Micros {
        self.span / LOOKS
    }

    fn at(&mut self, now: Micros) -> &mut Hour {
        while now >= self.current.until {
            let until = self.current.until + self.span;
            self.done.push(std::mem::replace(
                &mut self.current,
                Hour {
                    until,
                    ..Hour::default()
                },
            ));
        }
        &mut self.current
    }

    /// A viewer released in time what was published so long ago.
    pub(crate) fn released(&mut self, now: Micros, distance: Micros) {
        let hour = self.at(now);
        hour.nearest = match hour.released {
            0 => distance,
            _ => hour.nearest.min(distance),
        };
        hour.farthest = hour.farthest.max(distance);
        hour.released += 1;
        hour.sum += u128::from(distance);
    }

    /// One host's swarm keeps so much.
    pub(crate) fn keeps(&mut self, now: Micros, footprint: Footprint) {
        let kept = &mut self.at(now).kept;
        kept.pieces = kept.pieces.max(footprint.pieces);
        kept.piece_bytes = kept.piece_bytes.max(footprint.piece_bytes);
        kept.entries = kept.entries.max(footprint.entries);
    }

    /// One viewer that plays tells this.
    pub(crate) fn tells(&mut self, now: Micros, stats: &Stats) {
        let hour = self.at(now);
        hour.told += stats.live_distance.as_micros();
        hour.asked += 1;
    }

    /// The model keeps so much.
    pub(crate) fn models(&mut self, now: Micros, entries: usize) {
        let hour = self.at(now);
        hour.model = hour.model.max(entries);
    }

    /// Ends the run, with what there is of the last part.
    pub(crate) fn end(&mut self, now: Micros) {
        self.at(now);
        if self.current.released > 0 {
            let until = now;
            self.done.push(Hour {
                until,
                ..self.current
            });
        }
    }
}
