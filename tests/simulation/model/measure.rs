// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is noted while a simulation runs.

use std::collections::VecDeque;

use gstlivetorrent::mpegts::{packet::Packet, pcr::StreamClock};
use gstlivetorrent::proto::{
    lap::Lap,
    piece::{HEADER_LEN, Piece},
    swarm::{Delivery, Event},
    wire::Message,
};

use super::{
    host::{HostId, Kind, Lot},
    hours::Hours,
    link,
    options::{Options, SECOND},
    queue::Micros,
    starts::Pieces,
    world::LEAD,
};

/// A piece counts as due so long after its release time, and as late after that: a viewer's clock
/// for the release starts with the quickest piece that it saw, which took a way of its own.
const DUE_AFTER: Micros = 1_000_000;
/// Longer than this after it is back a stall is not a restarting source's any more.
const RECOVERY: Micros = 10 * SECOND;
/// The stream's clock goes with the pieces' times but for rounding.
const CLOCK_ERROR: Micros = 10;
/// Buckets of the histogram of delays, 1 ms each; the last holds what is longer.
const DELAYS: usize = 60_000;

/// How one viewer fared.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) lot: Lot,
    /// It came before the second group did.
    pub(crate) early: bool,
    pub(crate) joined: Micros,
    pub(crate) left: Option<Micros>,
    /// The first piece delivered and when.
    pub(crate) first: Option<(u32, Micros)>,
    pub(crate) stalls: u32,
    /// Those that the source caused.
    pub(crate) blameless: u32,
    /// The stream's clock as its output tells it, and how far that was off the source's when it was
    /// last seen.
    clock: StreamClock,
    off: Option<Micros>,
    /// Pieces due, set at its end; those of them that were delivered in time; those delivered late.
    pub(crate) due: u32,
    pub(crate) delivered: u32,
    pub(crate) late: u32,
    /// By index: twice the number of the last piece that came whole, and one for its delivery.
    marks: Vec<u32>,
}

/// Sums over everything.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    /// Piece bytes that left the source.
    pub(crate) source: u64,
    /// Bytes of published pieces.
    pub(crate) stream: u64,
    /// Piece bytes that honest hosts sent, the other bytes of their messages, and all of it with
    /// headers of segments and segments sent again.
    pub(crate) pieces_sent: u64,
    pub(crate) others_sent: u64,
    pub(crate) on_the_wire: u64,
    /// Piece bytes that givers received: all, from the source, of pieces held, spoiled.
    pub(crate) received: u64,
    pub(crate) from_source: u64,
    pub(crate) duplicate: u64,
    pub(crate) spoiled: u64,
    /// Payload bytes delivered that were never published.
    pub(crate) bad: u64,
}

/// Takes notes.
#[derive(Debug)]
pub(crate) struct Meter {
    lap: Lap,
    latency: Micros,
    /// When the source is away, or has just come back.
    away: Vec<(Micros, Micros)>,
    published: Pieces,
    /// The pieces of the last lap.
    window: VecDeque<Piece>,
    /// By host; the source has an entry that says nothing.
    pub(crate) viewers: Vec<Watched>,
    /// Diffusion delays of givers, by ms.
    pub(crate) delays: Vec<u64>,
    pub(crate) longest: Micros,
    pub(crate) totals: Totals,
    pub(crate) hours: Hours,
    /// How often the stream's clock in an output did not go with the pieces' times.
    pub(crate) clock_breaks: u64,
}

impl Meter {
    pub(crate) fn new(lap: Lap, options: &Options) -> Self {
        let at = |second: f64| LEAD + (second * SECOND as f64) as Micros;
        let restarts = options.restarts.iter();
        Self {
            lap,
            latency: options.latency * 1000,
            away: restarts
                .map(|&(from, to)| (at(from), at(to) + RECOVERY))
                .collect(),
            published: Pieces::new(lap),
            hours: Hours::new(LEAD + options.seconds * SECOND),
            clock_breaks: 0,
            window: VecDeque::new(),
            viewers: Vec::new(),
            delays: vec![0; DELAYS],
            longest: 0,
            totals: Totals::default(),
        }
    }

    pub(crate) fn joined(&mut self, now: Micros, lot: Lot, early: bool) {
        let watches = lot.kind != Kind::Source;
        self.viewers.push(Watched {
            lot,
            early,
            joined: now,
            left: None,
            first: None,
            stalls: 0,
            blameless: 0,
            clock: StreamClock::default(),
            off: None,
            due: 0,
            delivered: 0,
            late: 0,
            marks: if watches {
                vec![u32::MAX; self.lap.npieces() as usize]
            } else {
                Vec::new()
            },
        });
    }

    pub(crate) fn publish(&mut self, now: Micros, piece: Piece) {
        let len = piece.bytes().len() as u32;
        self.totals.stream += u64::from(len);
        let kept = self.latency + 2 * DUE_AFTER;
        self.published.push(now, len, piece.sequence(), kept);
        self.window.push_back(piece);
        if self.window.len() > self.lap.npieces() as usize {
            self.window.pop_front();
        }
    }

    /// How much is kept here that could grow.
    pub(crate) fn kept(&self) -> usize {
        self.published.kept() + self.window.len()
    }

    /// A message of `kind` leaves for the network; `again` segments of it are sent twice.
    pub(crate) fn sent(&mut self, kind: Kind, message: &Message, again: usize) {
        if !kind.is_honest() {
            return;
        }
        let bytes = message.wire_len();
        let piece = match message {
            Message::Piece { block, .. } => block.len(),
            _ => 0,
        };
        self.totals.pieces_sent += piece as u64;
        self.totals.others_sent += (bytes - piece) as u64;
        self.totals.on_the_wire += (link::cost(bytes) + again) as u64;
        if kind == Kind::Source {
            self.totals.source += piece as u64;
        }
    }

    /// A part of a piece arrived.
    pub(crate) fn block(
        &mut self,
        now: Micros,
        host: HostId,
        sender: Kind,
        (index, begin): (u32, u32),
        bytes: usize,
    ) {
        let number = self.published.newest_of(index);
        let viewer = &mut self.viewers[host as usize];
        let counts = viewer.lot.kind == Kind::Giver;
        if counts {
            self.totals.received += bytes as u64;
            if sender == Kind::Source {
                self.totals.from_source += bytes as u64;
            }
        }
        if sender == Kind::Polluter {
            self.totals.spoiled += if counts { bytes as u64 } else { 0 };
            return;
        }
        let Some(number) = number else {
            return;
        };
        let Some(mark) = viewer.marks.get_mut(index as usize) else {
            return;
        };
        if *mark != u32::MAX && *mark / 2 == number {
            self.totals.duplicate += if counts { bytes as u64 } else { 0 };
            return;
        }
        let Some(published) = self.published.get(number) else {
            return;
        };
        if begin as usize + bytes < published.len as usize {
            return;
        }
        *mark = 2 * number;
        let played = |&(_, since): &(u32, Micros)| since <= published.at;
        if counts && viewer.first.as_ref().is_some_and(played) {
            let took = now - published.at;
            self.longest = self.longest.max(took);
            self.delays[((took / 1000) as usize).min(DELAYS - 1)] += 1;
        }
    }

    /// A viewer hands bytes downstream.
    pub(crate) fn delivered(&mut self, now: Micros, host: HostId, delivery: &Delivery) {
        let number = self.published.number(delivery.sequence);
        let oldest = self.published.count() - self.window.len() as u32;
        let true_one = number
            .and_then(|number| number.checked_sub(oldest))
            .and_then(|at| self.window.get(at as usize));
        let viewer = &mut self.viewers[host as usize];
        if !true_one.is_some_and(|piece| is_payload_of(delivery, piece)) {
            self.totals.bad += delivery.payload.len() as u64;
            return;
        }
        let published = number.and_then(|number| self.published.get(number));
        let (Some(number), Some(published)) = (number, published) else {
            return;
        };
        let published = published.at;
        let (_, since) = *viewer.first.get_or_insert((number, now));
        if !viewer.follows_the_clock(published, delivery) {
            self.clock_breaks += 1;
        }
        // Who begins shows what is older than its distance at once, and nobody misses it.
        if published > since && now > published + self.latency + DUE_AFTER {
            viewer.late += 1;
            return;
        }
        viewer.delivered += 1;
        if viewer.lot.kind == Kind::Giver && published > since {
            self.hours.released(now, now.saturating_sub(published));
        }
        let index = self.lap.index(delivery.sequence) as usize;
        viewer.marks[index] = 2 * number + 1;
    }

    pub(crate) fn told(&mut self, now: Micros, host: HostId, event: &Event) {
        if *event == Event::Stalled {
            let away = |(from, to): &(Micros, Micros)| (*from..*to).contains(&now);
            let viewer = &mut self.viewers[host as usize];
            viewer.stalls += 1;
            viewer.blameless += u32::from(self.away.iter().any(away));
        }
    }

    /// A viewer's time is over; what it was owed is counted up.
    pub(crate) fn left(&mut self, now: Micros, host: HostId) {
        let until = now.saturating_sub(self.latency + DUE_AFTER);
        let due_end = self.published.until(until);
        let viewer = &mut self.viewers[host as usize];
        viewer.left = Some(now);
        if let Some((first, _)) = viewer.first {
            viewer.due = due_end.saturating_sub(first);
            // What was delivered without being due yet does not make good for what was not.
            let newest = self.published.count();
            let from = due_end
                .max(first)
                .max(newest.saturating_sub(self.lap.npieces()));
            let early = (from..newest).filter(|&number| {
                let index = self.lap.index(self.published.sequence(number)) as usize;
                viewer.marks[index] == 2 * number + 1
            });
            viewer.delivered -= early.count() as u32;
        }
        viewer.marks = Vec::new();
    }
}

impl Watched {
    /// Whether the stream's clock in what is released has gone as far as the source's since the piece
    /// before. After a hole it begins anew.
    fn follows_the_clock(&mut self, published: Micros, delivery: &Delivery) -> bool {
        let Some(packet) = delivery.payload.first_chunk::<{ size_of::<Packet>() }>() else {
            return true;
        };
        if delivery.discont {
            self.clock = StreamClock::default();
            self.off = None;
        }
        let shown = self.clock.packet(packet).map(|at| at.as_micros() as Micros);
        let off = shown.map(|shown| published.wrapping_sub(shown));
        match (std::mem::replace(&mut self.off, off), off) {
            (Some(before), Some(off)) => before.abs_diff(off) <= CLOCK_ERROR,
            (before, _) => before.is_none(),
        }
    }
}

fn is_payload_of(delivery: &Delivery, piece: &Piece) -> bool {
    let payload = &delivery.payload;
    let from = HEADER_LEN + usize::from(piece.header().preamble_len);
    let signed = piece.bytes().get(from..).unwrap_or_default();
    std::ptr::eq(payload.as_ptr(), signed.as_ptr()) && payload.len() == signed.len()
        || payload[..] == *signed
}
