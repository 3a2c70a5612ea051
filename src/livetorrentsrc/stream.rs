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
}

/// A buffer, and what has to be said before it.
#[derive(Debug)]
pub(super) struct Next {
    /// The bytes, without copying them.
    pub(super) buffer: gst::Buffer,
    /// What they turned out to be, the first time that this is seen.
    pub(super) caps: Option<gst::Caps>,
}

impl Stream {
    /// Whether a buffer went out.
    pub(super) const fn delivered(&self) -> bool {
        self.delivered
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
            preamble, payload, ..
        } = delivery;
        let mut parts = [preamble, payload].into_iter().filter(|p| !p.is_empty());
        let first = parts.next()?;
        let discont = std::mem::take(&mut self.discont) || !self.delivered;
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
            let now = now();
            let buffer = buffer.make_mut();
            buffer.set_pts(now);
            buffer.set_dts(now);
        }
        Some(Next { buffer, caps })
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
