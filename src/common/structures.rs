// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Figures and messages as `GstStructure`s (INTERFACE, sections Stats and messages).

use std::net::SocketAddr;

use crate::proto::{
    metainfo::Metainfo,
    stats::{PeerStats, Stats, Way},
    uri,
};

/// The fields that the stats of both elements have. Bytes, bits per second, nanoseconds, all u64;
/// what is not known yet is 0.
pub(crate) fn stats(name: &str, stats: &Stats, ways: &[Way]) -> gst::Structure {
    gst::Structure::builder(name)
        .field("bytes-uploaded", stats.bytes_uploaded)
        .field("bytes-downloaded", stats.bytes_downloaded)
        .field("overhead-bytes", stats.overhead_bytes)
        .field("pieces-verified", stats.pieces_verified)
        .field("pieces-rejected", stats.pieces_rejected)
        .field("duplicate-bytes", stats.duplicate_bytes)
        .field("peers-connected", stats.peers_connected)
        .field("peers-banned", stats.peers_banned)
        .field("upload-rate", stats.upload_rate)
        .field("download-rate", stats.download_rate)
        .field("tip", stats.tip.unwrap_or(0))
        .field("floor", stats.floor.unwrap_or(0))
        .field("peers", gst::Array::new(stats.peers.iter().map(peer)))
        .field("discovery", gst::Array::new(ways.iter().map(way)))
        .build()
}

fn way(way: &Way) -> gst::Structure {
    gst::Structure::builder("way")
        .field("name", &way.name)
        .field("peers", way.peers as u64)
        .field("outcome", &way.outcome)
        .build()
}

/// Of a peer it makes a difference whether it says nothing or that it is 0 ms behind, as it may be on
/// the same machine: what is not known has no field.
fn peer(peer: &PeerStats) -> gst::Structure {
    gst::Structure::builder("peer")
        .field("id", &peer.id)
        .field("address", peer.address.to_string())
        .field("client", &peer.client)
        .field("bytes-uploaded", peer.bytes_uploaded)
        .field("bytes-downloaded", peer.bytes_downloaded)
        .field("forwarded", peer.forwarded)
        .field("choked", peer.choked)
        .field("choking", peer.choking)
        .field_if_some("rtt", peer.rtt.map(nanoseconds))
        .field_if_some("lag", peer.lag.map(nanoseconds))
        .build()
}

/// `livetorrent-ready`: the stream can be found and asked for from now on.
pub(crate) fn ready(location: &str, metainfo: &Metainfo, port: u16) -> gst::Structure {
    gst::Structure::builder("livetorrent-ready")
        .field("location", location)
        .field("uri", uri::format(metainfo))
        .field("infohash", metainfo.info.infohash().to_string())
        .field("port", u32::from(port))
        .build()
}

/// `livetorrent-mapped`: a router leads those outside to the broadcaster, and the file says so.
pub(crate) fn mapped(location: &str, metainfo: &Metainfo, outside: SocketAddr) -> gst::Structure {
    gst::Structure::builder("livetorrent-mapped")
        .field("location", location)
        .field("uri", uri::format(metainfo))
        .field("address", outside.to_string())
        .build()
}

/// `duration` as a u64 of nanoseconds, at most 584 years.
pub(crate) fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn figures_that_are_not_known_are_zero() {
        gst::init().unwrap();
        let structure = stats("application/x-test-stats", &Stats::default(), &[]);
        assert_eq!(structure.get::<u64>("bytes-uploaded"), Ok(0));
        assert_eq!(structure.get::<u64>("tip"), Ok(0));
        assert!(structure.get::<gst::Array>("peers").unwrap().is_empty());
    }

    #[test]
    fn every_peer_has_a_structure() {
        gst::init().unwrap();
        let figures = Stats {
            tip: Some(7),
            peers: vec![PeerStats {
                id: "-LV0100-abc".into(),
                address: "127.0.0.1:7764".parse().unwrap(),
                client: "livetorrent".into(),
                rtt: Some(Duration::from_micros(3)),
                bytes_uploaded: 1,
                bytes_downloaded: 2,
                forwarded: 3,
                choked: true,
                choking: false,
                lag: None,
            }],
            ..Stats::default()
        };
        let ways = [Way {
            name: "tracker http://a".into(),
            peers: 3,
            outcome: "knows 3 peers".into(),
        }];
        let structure = stats("application/x-test-stats", &figures, &ways);
        assert_eq!(structure.get::<u64>("tip"), Ok(7));
        let peers = structure.get::<gst::Array>("peers").unwrap();
        let peer = peers.first().unwrap().get::<gst::Structure>().unwrap();
        assert_eq!(peer.get::<&str>("address"), Ok("127.0.0.1:7764"));
        assert_eq!(peer.get::<u64>("rtt"), Ok(3000));
        assert_eq!(peer.get::<bool>("choked"), Ok(true));
        assert!(!peer.has_field("lag"));
        let ways = structure.get::<gst::Array>("discovery").unwrap();
        let way = ways.first().unwrap().get::<gst::Structure>().unwrap();
        assert_eq!(way.get::<&str>("name"), Ok("tracker http://a"));
        assert_eq!(way.get::<u64>("peers"), Ok(3));
        assert_eq!(way.get::<&str>("outcome"), Ok("knows 3 peers"));
    }
}
