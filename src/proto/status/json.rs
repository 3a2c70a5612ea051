// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The figures as JSON. What the elements' `stats` has too bears the same name and unit here: bytes,
//! bits per second, nanoseconds; what is not known is null.

use serde_json::{Map, Value, json};

use super::{
    About, Sight,
    figures::{CLASSES, Delay, Figures},
    history::Point,
    nanoseconds,
};
use crate::proto::stats::{PeerStats, Way};

/// Peers that are listed; the others are counted.
const MAX_LISTED: usize = 200;

/// The figures of a moment, and how it came to them.
pub(super) fn stats(about: &About, figures: &Figures, past: &[Point], sight: Sight) -> String {
    let stats = &figures.stats;
    let peers = stats.peers.iter().take(MAX_LISTED);
    let mut all = Map::new();
    let mut put = |name: &str, value: Value| all.insert(name.to_owned(), value);
    put("name", json!(about.name));
    put("role", json!(about.role()));
    put("infohash", json!(about.infohash));
    put("uptime", json!(nanoseconds(figures.uptime)));
    put("bitrate", json!(figures.bitrate));
    put("upload-limit", json!(figures.upload_limit));
    put("viewers-announced", json!(figures.announced));
    put("bytes-uploaded", json!(stats.bytes_uploaded));
    put("bytes-downloaded", json!(stats.bytes_downloaded));
    put("overhead-bytes", json!(stats.overhead_bytes));
    put("pieces-verified", json!(stats.pieces_verified));
    put("pieces-rejected", json!(stats.pieces_rejected));
    put("duplicate-bytes", json!(stats.duplicate_bytes));
    put("peers-connected", json!(stats.peers_connected));
    put("peers-banned", json!(stats.peers_banned));
    put("upload-rate", json!(stats.upload_rate));
    put("download-rate", json!(stats.download_rate));
    put("tip", json!(stats.tip));
    put("floor", json!(stats.floor));
    if about.viewer {
        put("bytes-out", json!(stats.bytes_out));
        put("pieces-skipped", json!(stats.pieces_skipped));
        put("buffer-level", json!(nanoseconds(stats.buffer_level)));
        put("live-distance", json!(nanoseconds(stats.live_distance)));
        put("playback-rate", json!(stats.playback_rate));
        put("join-time", json!(stats.join_time.map(nanoseconds)));
        put("stalls", json!(stats.stalls));
    } else {
        put("bytes-published", json!(figures.streamed));
    }
    put("delay", delay(&Delay::of(&stats.peers)));
    put("addresses-shown", json!(sight == Sight::Whole));
    put("peers", peers.map(|p| peer(p, sight)).collect());
    // They name trackers and peers.
    if sight == Sight::Whole {
        put("discovery", figures.ways.iter().map(way).collect());
    }
    put("history", history(past));
    Value::from(all).to_string()
}

fn delay(delay: &Delay) -> Value {
    let ends = CLASSES.map(|end| json!(nanoseconds(end)));
    let classes = ends.into_iter().chain([Value::Null]).zip(delay.counts);
    let classes = classes.map(|(end, peers)| json!({ "up-to": end, "peers": peers }));
    json!({
        "reported": delay.reported,
        "median": delay.median.map(nanoseconds),
        "p95": delay.p95.map(nanoseconds),
        "most": delay.most.map(nanoseconds),
        "classes": classes.collect::<Vec<_>>(),
    })
}

fn peer(peer: &PeerStats, sight: Sight) -> Value {
    let mut all = json!({
        "client": peer.client,
        "rtt": peer.rtt.map(nanoseconds),
        "bytes-uploaded": peer.bytes_uploaded,
        "bytes-downloaded": peer.bytes_downloaded,
        "forwarded": peer.forwarded,
        "choked": peer.choked,
        "choking": peer.choking,
        "lag": peer.lag.map(nanoseconds),
    });
    if sight == Sight::Whole {
        all["id"] = json!(peer.id);
        all["address"] = json!(peer.address.to_string());
    }
    all
}

fn way(way: &Way) -> Value {
    let Way {
        name,
        peers,
        outcome,
    } = way;
    json!({ "name": name, "peers": peers, "outcome": outcome })
}

/// How the run went, a column for each figure.
fn history(points: &[Point]) -> Value {
    let column = |of: fn(&Point) -> u64| points.iter().map(of).collect::<Vec<_>>();
    json!({
        "uptime": column(|point| nanoseconds(point.at)),
        "peers-connected": column(|point| point.peers),
        "viewers-announced": column(|point| point.announced),
        "upload-rate": column(|point| point.upload_rate),
        "bitrate": column(|point| point.bitrate),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{SCRIPT, about, hostile_peer, stats as stats_of, way as way_of},
        *,
    };

    fn read(viewer: bool, figures: &Figures, sight: Sight) -> Value {
        serde_json::from_str(&stats(&about(viewer), figures, &[], sight)).unwrap()
    }

    #[test]
    fn addresses_and_ids_are_shown_to_those_only_who_may_see_them() {
        let figures = Figures {
            stats: stats_of(vec![hostile_peer(Some(900)); MAX_LISTED + 1]),
            ways: vec![way_of()],
            ..Figures::default()
        };
        let whole = read(false, &figures, Sight::Whole);
        assert_eq!(whole["peers"].as_array().unwrap().len(), MAX_LISTED);
        assert_eq!(whole["peers-connected"], 201);
        assert_eq!(whole["peers"][0]["address"], "192.0.2.7:7764");
        assert_eq!(whole["peers"][0]["lag"], 900_000_000);
        assert_eq!(whole["peers"][0]["client"], SCRIPT);
        let way = json!([{ "name": "peer 192.0.2.7:7764", "peers": 1, "outcome": SCRIPT }]);
        assert_eq!(whole["discovery"], way);
        let part = read(false, &figures, Sight::NoAddresses);
        assert_eq!(part["peers"][0]["lag"], 900_000_000);
        assert!(part.get("discovery").is_none());
        assert!(part["peers"][0].get("address").is_none() && part["peers"][0].get("id").is_none());
    }

    #[test]
    fn a_viewer_tells_how_it_plays_and_a_source_what_it_published() {
        let viewer = read(true, &Figures::default(), Sight::Whole);
        assert!(viewer.get("live-distance").is_some() && viewer.get("bytes-published").is_none());
        let source = read(false, &Figures::default(), Sight::Whole);
        assert!(source.get("bytes-published").is_some() && source.get("stalls").is_none());
        assert!(source["upload-limit"].is_null());
    }
}
