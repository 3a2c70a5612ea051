// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Access links, connections and what loss does to them. Pure arithmetic, no events.

use std::collections::VecDeque;

use super::{
    options::{Options, SECOND},
    queue::Micros,
};

/// Payload bytes of a segment.
pub(crate) const SEGMENT: usize = 1448;
/// Bytes of IP and TCP header of a segment.
pub(crate) const SEGMENT_HEADER: usize = 40;
/// The largest window of a connection, bytes.
const MAX_WINDOW: f64 = 256.0 * 1024.0;
/// The constant of the square-root law of TCP's throughput under loss.
const SQUARE_ROOT_LAW: f64 = 1.22;
/// A sender that nothing tells of a loss waits at least so long.
const MIN_TIMEOUT: Micros = 200_000;
/// With so many segments in a message those behind a lost one tell of it.
const FAST_SEGMENTS: usize = 4;
/// Entries of the table of a message's risk; longer ones are computed.
const RISKS: usize = 64;

/// Started segments of `bytes`.
pub(crate) const fn segments(bytes: usize) -> usize {
    bytes.div_ceil(SEGMENT)
}

/// Bytes on the link, IP and TCP headers included.
pub(crate) const fn cost(bytes: usize) -> usize {
    bytes + SEGMENT_HEADER * segments(bytes)
}

/// One direction of an access link: finite rate, first in first out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    nanos_per_byte: f64,
    /// When everything so far is through, ns.
    free: u64,
}

impl Link {
    /// A link of so many bits per second.
    pub(crate) fn new(rate: f64) -> Self {
        Self {
            nanos_per_byte: 8e9 / rate,
            free: 0,
        }
    }

    /// How long `bytes` take on it, µs.
    pub(crate) fn takes(&self, bytes: usize) -> Micros {
        (bytes as f64 * self.nanos_per_byte) as u64 / 1000
    }

    /// Puts `bytes` on the link from `now` on; when the last has left.
    pub(crate) fn send(&mut self, now: Micros, bytes: usize) -> Micros {
        let begin = self.free.max(now * 1000);
        self.free = begin + (bytes as f64 * self.nanos_per_byte) as u64 + 1;
        self.free.div_ceil(1000)
    }

    /// Takes in `bytes` that come evenly over `span` up to `now`; when the last is through.
    pub(crate) fn receive(&mut self, now: Micros, span: Micros, bytes: usize) -> Micros {
        let begin = self.free.max(now.saturating_sub(span) * 1000);
        self.free = begin + (bytes as f64 * self.nanos_per_byte) as u64 + 1;
        now.max(self.free.div_ceil(1000))
    }

    /// Carries nothing before `until`.
    pub(crate) fn block(&mut self, until: Micros) {
        self.free = self.free.max(until * 1000);
    }
}

/// What the setting says of every connection.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    rtt: (f64, f64),
    seed: u64,
    loss: f64,
    risks: [f64; RISKS],
    /// Bytes that a connection may have under way.
    window: f64,
}

impl Weather {
    pub(crate) fn new(options: &Options) -> Self {
        let loss = options.loss / 100.0;
        let mut risks = [0.0; RISKS];
        for (count, risk) in risks.iter_mut().enumerate() {
            *risk = risk_of(loss, count);
        }
        let window = if loss > 0.0 {
            (SQUARE_ROOT_LAW / loss.sqrt() * SEGMENT as f64).min(MAX_WINDOW)
        } else {
            MAX_WINDOW
        };
        Self {
            rtt: options.rtt,
            seed: options.seed,
            loss,
            risks,
            window,
        }
    }

    /// The round trip between two hosts, fixed per pair.
    pub(crate) fn rtt(&self, one: u32, other: u32) -> Micros {
        let pair = u64::from(one.min(other)) << 32 | u64::from(one.max(other));
        let mixed = mix(mix(self.seed) ^ pair);
        let unit = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        ((self.rtt.0 + unit * (self.rtt.1 - self.rtt.0)) * 1000.0) as Micros
    }

    /// Whether a message of so many segments loses one.
    pub(crate) fn loses(&self, segments: usize, rng: &mut fastrand::Rng) -> bool {
        if self.loss == 0.0 {
            return false;
        }
        let risk = self.risks.get(segments).copied();
        rng.f64() < risk.unwrap_or_else(|| risk_of(self.loss, segments))
    }

    pub(crate) const fn window(&self) -> f64 {
        self.window
    }
}

fn risk_of(loss: f64, segments: usize) -> f64 {
    1.0 - (1.0 - loss).powi(i32::try_from(segments).unwrap_or(i32::MAX))
}

/// Spreads the bits of a number over all of another (the finaliser of SplitMix64).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// How much later than without loss a message arrives.
pub(crate) fn recovery(rtt: Micros, segments: usize, before: Micros, now: Micros) -> Micros {
    // Whether more follows closely is not known yet; that something went shortly before stands
    // for it.
    if segments >= FAST_SEGMENTS || now.saturating_sub(before) < rtt {
        rtt
    } else {
        MIN_TIMEOUT.max(2 * rtt)
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// No message arrives before those that went before it.
    pub(crate) arrived: Micros,
    /// When the last message entered the uplink.
    pub(crate) last: Micros,
    /// Bytes that left and that the sender was not told of yet.
    pub(crate) unconfirmed: u32,
    /// Bytes sent to an end that vanished.
    pub(crate) lost: u32,
    /// Bytes under way, and some whose acknowledgement was not looked at yet.
    flying: u32,
    /// How many messages wait for room in the window.
    waiting: u32,
    /// What takes room in the window; nothing before the first message that does.
    flight: Option<Box<Flight>>,
}

/// What is under way on a connection, and what waits for that.
#[derive(Debug, Default)]
struct Flight {
    /// When how many of the bytes under way are acknowledged.
    acks: VecDeque<(Micros, u32)>,
    /// Messages that wait for room in the window.
    waiting: VecDeque<u32>,
}

impl Flow {
    /// Whether the window has room at `now`: less is under way than it allows.
    pub(crate) fn has_room(&mut self, now: Micros, window: f64) -> bool {
        let Some(flight) = &mut self.flight else {
            return true;
        };
        // Most connections carry little, and are not looked at any closer.
        if f64::from(self.flying) < window {
            return true;
        }
        while let Some(&(at, bytes)) = flight.acks.front()
            && at <= now
        {
            flight.acks.pop_front();
            self.flying -= bytes;
        }
        f64::from(self.flying) < window
    }

    /// When it may have room again.
    pub(crate) fn next_ack(&self) -> Option<Micros> {
        self.flight.as_ref()?.acks.front().map(|&(at, _)| at)
    }

    /// Bytes are under way until `at`. Small messages take no room worth counting.
    pub(crate) fn flies(&mut self, at: Micros, bytes: usize) {
        if bytes >= SEGMENT {
            let flight = self.flight.get_or_insert_default();
            let before = flight.acks.back().map_or(0, |&(before, _)| before);
            self.flying += bytes as u32;
            flight.acks.push_back((at.max(before), bytes as u32));
        }
    }

    /// A message waits for room.
    pub(crate) fn wait(&mut self, message: u32) {
        let flight = self.flight.get_or_insert_default();
        flight.waiting.push_back(message);
        self.waiting += 1;
    }

    /// Whether any does.
    pub(crate) const fn has_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// The one that has waited longest; it waits no more.
    pub(crate) fn next_waiting(&mut self) -> Option<u32> {
        let next = self.flight.as_mut()?.waiting.pop_front()?;
        self.waiting -= 1;
        Some(next)
    }
}

/// How long a stay lasts, µs: exponential with this mean in seconds.
pub(crate) fn exponential(mean: f64, rng: &mut fastrand::Rng) -> Micros {
    (-(1.0 - rng.f64()).ln() * mean * SECOND as f64) as Micros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_serves_one_after_the_other_at_its_rate() {
        let mut link = Link::new(8e6);
        assert_eq!(link.send(0, 1000), 1001, "rounded up");
        assert!((2000..2003).contains(&link.send(0, 1000)));
        assert!(
            (10_500..10_503).contains(&link.send(10_000, 500)),
            "idle since"
        );
    }

    #[test]
    fn a_faster_downlink_adds_nothing_until_two_senders_meet_there() {
        let mut downlink = Link::new(8e6);
        assert_eq!(downlink.receive(10_000, 4000, 1000), 10_000);
        assert_eq!(downlink.receive(10_000, 4000, 1000), 10_000);
        let mut last = 10_000;
        for _ in 0..10 {
            last = downlink.receive(10_000, 4000, 1000);
        }
        assert!((17_900..18_100).contains(&last), "{last}");
    }

    #[test]
    fn a_window_lets_through_no_more_than_it_holds_per_round_trip() {
        let (window, rtt) = (30_000.0, 100_000);
        let mut flow = Flow::default();
        let mut sent = 0;
        for now in (0..10_000_000).step_by(1000) {
            while flow.has_room(now, window) {
                flow.flies(now + rtt, 15_000);
                sent += 15_000;
            }
        }
        let per_round_trip = sent as f64 / 100.0;
        assert!((per_round_trip - window).abs() < 1000.0, "{per_round_trip}");
    }

    #[test]
    fn round_trips_are_fixed_per_pair_and_spread_over_the_range() {
        let weather = Weather::new(&Options::default());
        let trips: Vec<_> = (1..1000).map(|other| weather.rtt(0, other)).collect();
        assert!(trips.iter().all(|rtt| (20_000..150_000).contains(rtt)));
        let mean = trips.iter().sum::<Micros>() / 999;
        assert!((80_000..90_000).contains(&mean), "{mean}");
        assert_eq!(weather.rtt(3, 9), weather.rtt(9, 3));
    }

    #[test]
    fn a_long_message_loses_a_segment_as_often_as_its_segments_do() {
        let weather = Weather::new(&Options::default());
        let mut rng = fastrand::Rng::with_seed(1);
        for (segments, expected) in [(1, 0.005), (12, 0.0584), (200, 0.633)] {
            let lost = (0..100_000).filter(|_| weather.loses(segments, &mut rng));
            let risk = lost.count() as f64 / 1e5;
            assert!((risk / expected - 1.0).abs() < 0.15, "{segments}: {risk}");
        }
    }
}
