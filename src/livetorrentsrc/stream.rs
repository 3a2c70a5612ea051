// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! From deliveries to buffers.

use crate::{
    mpegts::{PACKET_LEN, packet::SYNC_BYTE},
    proto::swarm::Delivery,
};

/// What the streaming thread knows of its output.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// A buffer went out, and stream-start, caps and segment before it.
    delivered: bool,
    /// A delivery without bytes told of a hole.
    discont: bool,
    /// The next buffer is the first after a pause.
    paused: bool,
    has_caps: bool,
    pace: Pace,
}

/// How far playback has run ahead of running time by playing faster. Sinks take timestamps for
/// stream time, which runs at the rate: an anchor that left this out would be too early for them.
#[derive(Debug)]
struct Pace {
    rate: f64,
    /// When the rate was taken up.
    since: Option<gst::ClockTime>,
    /// Up to then (ns).
    ahead: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rate: 1.0,
            since: None,
            ahead: 0.0,
        }
    }
}

impl Pace {
    fn ahead_at(&self, now: gst::ClockTime) -> f64 {
        let played = self
            .since
            .map_or(gst::ClockTime::ZERO, |since| now.saturating_sub(since));
        self.ahead + (self.rate - 1.0) * played.nseconds() as f64
    }

    /// From `now` on it plays at `rate`; whether that is news.
    fn set(&mut self, rate: f64, now: gst::ClockTime) -> bool {
        if rate == self.rate {
            return false;
        }
        *self = Self {
            rate,
            since: Some(now),
            ahead: self.ahead_at(now),
        };
        true
    }

    /// The stream time at `now`, as sinks reckon it.
    fn stream_time(&self, now: gst::ClockTime) -> gst::ClockTime {
        let nanoseconds = now.nseconds() as f64 + self.ahead_at(now);
        gst::ClockTime::from_nseconds(nanoseconds.max(0.0) as u64)
    }
}

/// A buffer, and what has to be said before it.
#[derive(Debug)]
pub(super) struct Next {
    /// The bytes, without copying them.
    pub(super) buffer: gst::Buffer,
    /// What they turned out to be, the first time that this is seen.
    pub(super) caps: Option<gst::Caps>,
    /// How fast downstream is to play from here on, where that changes.
    pub(super) rate: Option<f64>,
}

impl Stream {
    /// Whether a buffer went out.
    pub(super) const fn delivered(&self) -> bool {
        self.delivered
    }

    /// How fast downstream was told to play.
    pub(super) const fn rate(&self) -> f64 {
        self.pace.rate
    }

    /// PLAYING ended. The next buffer has to say when it is: GstBaseSrc would put one without a
    /// timestamp at 0, and demuxers would take all that follows for late.
    pub(super) const fn pause(&mut self) {
        self.paused = true;
    }

    /// The buffer that a delivery becomes at running time `now`; nothing where it has no bytes.
    pub(super) fn next(
        &mut self,
        delivery: Delivery,
        now: impl FnOnce() -> Option<gst::ClockTime>,
    ) -> Option<Next> {
        self.discont |= delivery.discont;
        let Delivery {
            preamble,
            payload,
            rate,
            ..
        } = delivery;
        let mut parts = [preamble, payload].into_iter().filter(|p| !p.is_empty());
        let first = parts.next()?;
        let discont = std::mem::take(&mut self.discont) || !self.delivered;
        let now = now();
        // Demuxers drop the event while they have found nothing to play: not before the first bytes.
        let changed = self.delivered && now.is_some_and(|now| self.pace.set(rate, now));
        self.delivered = true;
        // The `.tstream` does not tell the container; others are left to typefind downstream.
        let caps = (discont && !self.has_caps && is_transport_stream(&first)).then(caps);
        self.has_caps |= caps.is_some();

        let mut buffer = gst::Buffer::from_slice(first);
        for part in parts {
            buffer.append(gst::Buffer::from_slice(part));
        }
        if discont {
            buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
        }
        if std::mem::take(&mut self.paused) || discont {
            // An anchor only: from here on demuxers go by the stream's own clock, so a burst at
            // the start does not squeeze their timeline.
            let anchor = now.map(|now| self.pace.stream_time(now));
            let buffer = buffer.make_mut();
            buffer.set_pts(anchor);
            buffer.set_dts(anchor);
        }
        Some(Next {
            buffer,
            caps,
            rate: changed.then_some(rate),
        })
    }
}

fn caps() -> gst::Caps {
    gst::Caps::builder("video/mpegts")
        .field("systemstream", true)
        .field("packetsize", PACKET_LEN as i32)
        .build()
}

fn is_transport_stream(bytes: &[u8]) -> bool {
    bytes.len() >= PACKET_LEN && bytes.iter().step_by(PACKET_LEN).all(|&b| b == SYNC_BYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    use bytes::Bytes;

    const NOW: Option<gst::ClockTime> = Some(gst::ClockTime::from_seconds(7));

    fn delivery(preamble: &[u8], payload: &[u8], discont: bool) -> Delivery {
        Delivery {
            preamble: Bytes::copy_from_slice(preamble),
            payload: Bytes::copy_from_slice(payload),
            discont,
            sequence: 1,
            time: 0,
            rate: 1.0,
        }
    }

    fn next(stream: &mut Stream, preamble: &[u8], payload: &[u8], discont: bool) -> Option<Next> {
        gst::init().unwrap();
        stream.next(delivery(preamble, payload, discont), || NOW)
    }

    fn bytes(next: &Next) -> Vec<u8> {
        next.buffer.map_readable().unwrap().to_vec()
    }

    #[test]
    fn the_first_buffer_is_an_anchor_with_the_preamble_before_the_payload() {
        let mut stream = Stream::default();
        let first = next(&mut stream, b"pre", b"payload", false).unwrap();
        assert_eq!(bytes(&first), b"prepayload");
        assert_eq!((first.buffer.pts(), first.buffer.dts()), (NOW, NOW));
        assert!(first.buffer.flags().contains(gst::BufferFlags::DISCONT));
        let second = next(&mut stream, b"", b"more", false).unwrap();
        assert_eq!((second.buffer.pts(), second.buffer.dts()), (None, None));
        assert!(!second.buffer.flags().contains(gst::BufferFlags::DISCONT));
    }

    #[test]
    fn a_hole_that_an_empty_delivery_tells_of_marks_the_next_buffer() {
        let mut stream = Stream::default();
        next(&mut stream, b"", b"payload", false).unwrap();
        assert!(next(&mut stream, b"", b"", true).is_none());
        let after = next(&mut stream, b"", b"more", false).unwrap();
        assert!(after.buffer.flags().contains(gst::BufferFlags::DISCONT));
        assert_eq!(after.buffer.pts(), NOW);
    }

    #[test]
    fn the_first_buffer_after_a_pause_is_an_anchor_too_and_no_hole() {
        let mut stream = Stream::default();
        next(&mut stream, b"", b"payload", false).unwrap();
        stream.pause();
        let after = next(&mut stream, b"", b"more", false).unwrap();
        assert!(!after.buffer.flags().contains(gst::BufferFlags::DISCONT));
        assert_eq!(after.buffer.pts(), NOW);
        let then = next(&mut stream, b"", b"more", false).unwrap();
        assert_eq!(then.buffer.pts(), None);
    }

    #[test]
    fn a_rate_is_told_once_after_the_first_bytes_and_anchors_follow_it() {
        gst::init().unwrap();
        let mut stream = Stream::default();
        let mut at = |seconds, rate, discont| {
            let delivery = Delivery {
                rate,
                ..delivery(b"", b"payload", discont)
            };
            let next = stream.next(delivery, || Some(gst::ClockTime::from_seconds(seconds)));
            let next = next.unwrap();
            (next.rate, next.buffer.pts())
        };
        assert_eq!(at(10, 1.0, false).0, None);
        assert_eq!(at(20, 1.05, false), (Some(1.05), None));
        assert_eq!(at(30, 1.05, false), (None, None));
        // Twenty seconds at this rate are twenty-one of the stream.
        let anchor = Some(gst::ClockTime::from_seconds(41));
        assert_eq!(at(40, 1.0, true), (Some(1.0), anchor));
        let anchor = Some(gst::ClockTime::from_seconds(51));
        assert_eq!(at(50, 1.0, true), (None, anchor));
    }

    #[test]
    fn transport_packets_have_caps_once_and_other_bytes_none() {
        let mut stream = Stream::default();
        let packets = [SYNC_BYTE; 2 * PACKET_LEN];
        let first = next(&mut stream, &packets, &packets, false).unwrap();
        let caps = first.caps.unwrap();
        assert_eq!(caps.structure(0).unwrap().name(), "video/mpegts");
        let hole = next(&mut stream, &packets, &packets, true).unwrap();
        assert!(hole.caps.is_none());
        let other = next(&mut Stream::default(), b"", &[b'O'; 400], false).unwrap();
        assert!(other.caps.is_none());
    }
}
