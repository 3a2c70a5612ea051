// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What kind of bytes upstream gives, and what of them a late viewer needs first.

use crate::mpegts::{PACKET_LEN, packet::SYNC_BYTE};

/// Transport packets have no other size here (M2TS and error-corrected streams have).
const PACKET_SIZE: i32 = PACKET_LEN as i32;

/// The containers that are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Container {
    /// MPEG-TS in packets of 188 bytes, parsed for random access points and clock references.
    TransportStream,
    /// Anything else, with the stream headers of its caps.
    Other {
        /// Each `streamheader` buffer's bytes.
        headers: Vec<Vec<u8>>,
    },
}

impl Container {
    /// The container that `caps` describe.
    ///
    /// # Errors
    /// For transport packets of another size than 188 bytes, in words.
    pub(super) fn from_caps(caps: &gst::CapsRef) -> Result<Self, String> {
        let Some(structure) = caps.structure(0) else {
            return Err("the caps are empty".into());
        };
        if structure.name() != "video/mpegts" {
            return Ok(Self::Other {
                headers: headers(structure),
            });
        }
        match structure.get::<i32>("packetsize") {
            Ok(size) if size != PACKET_SIZE => Err(format!(
                "transport packets of {size} bytes are not supported, only {PACKET_SIZE}"
            )),
            _ => Ok(Self::TransportStream),
        }
    }

    /// The container that bytes without caps most likely are.
    pub(super) fn sniff(start: &[u8]) -> Self {
        // Five in a row, or as many as there are: 0x47 is a common byte, "G", too.
        let mut packets = start.iter().step_by(PACKET_LEN).take(5);
        if !start.is_empty() && packets.all(|&byte| byte == SYNC_BYTE) {
            Self::TransportStream
        } else {
            Self::Other {
                headers: Vec::new(),
            }
        }
    }
}

fn headers(structure: &gst::StructureRef) -> Vec<Vec<u8>> {
    let Ok(array) = structure.get::<gst::ArrayRef<'_>>("streamheader") else {
        return Vec::new();
    };
    array
        .iter()
        .filter_map(|value| value.get::<gst::Buffer>().ok())
        .filter_map(|buffer| Some(buffer.map_readable().ok()?.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(caps: &str) -> Result<Container, String> {
        gst::init().unwrap();
        Container::from_caps(&caps.parse::<gst::Caps>().unwrap())
    }

    #[test]
    fn transport_streams_have_packets_of_188_bytes() {
        let ts = Ok(Container::TransportStream);
        assert_eq!(
            container("video/mpegts, systemstream=true, packetsize=188"),
            ts
        );
        assert_eq!(container("video/mpegts, systemstream=true"), ts);
        let error = container("video/mpegts, packetsize=192").unwrap_err();
        assert!(error.contains("192"), "{error}");
    }

    #[test]
    fn stream_headers_of_other_containers_are_kept_in_order() {
        gst::init().unwrap();
        let headers = ["OggS first", "OggS second"];
        let array = gst::Array::new(headers.map(|h| gst::Buffer::from_slice(h.as_bytes())));
        let caps = gst::Caps::builder("application/ogg")
            .field("streamheader", array)
            .build();
        let expected = headers.map(|h| h.as_bytes().to_vec()).to_vec();
        assert_eq!(
            Container::from_caps(&caps),
            Ok(Container::Other { headers: expected })
        );
    }

    #[test]
    fn bytes_without_caps_are_known_by_their_sync_bytes() {
        let mut packets = vec![0; 188 * 6];
        assert_ne!(Container::sniff(&packets), Container::TransportStream);
        packets.iter_mut().step_by(188).for_each(|b| *b = SYNC_BYTE);
        assert_eq!(Container::sniff(&packets), Container::TransportStream);
        assert_ne!(Container::sniff(&packets[1..]), Container::TransportStream);
        assert_ne!(Container::sniff(&[]), Container::TransportStream);
    }
}
