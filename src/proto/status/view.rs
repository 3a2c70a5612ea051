// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What stands on the page, in words. The page is made of it once, and its changes go out as JSON, so
//! that one place decides how a figure looks.

use serde_json::{Value, json};

use super::{
    About, Sight,
    chart::Chart,
    figures::{CLASSES, Delay, Figures},
    history::Point,
    words,
};
use crate::proto::stats::PeerStats;

/// Peers that are listed; the others are counted. Each listener is sent as many, every few seconds.
const MAX_ROWS: usize = 50;

/// The words and lines of a moment.
#[derive(Debug)]
pub(super) struct View {
    /// What the page has a place for, by its name.
    pub(super) texts: Vec<(&'static str, String)>,
    /// Uploaded, and most that may be, bits per second.
    pub(super) upload: (u64, Option<u64>),
    /// Peers in each class of delays.
    pub(super) delays: [u64; CLASSES.len() + 1],
    /// A row for each peer, a cell for each of [`Self::columns`].
    pub(super) peers: Vec<Vec<String>>,
    pub(super) columns: Vec<&'static str>,
    pub(super) chart: Chart,
}

impl View {
    /// For who sees so much.
    pub(super) fn new(about: &About, figures: &Figures, past: &[Point], sight: Sight) -> Self {
        let stats = &figures.stats;
        let peers = stats.peers.iter().take(MAX_ROWS);
        let delay = Delay::of(&stats.peers);
        let mut columns = vec!["Client", "Delay", "Sent", "Passed on"];
        if about.viewer {
            columns.extend(["Received", "Round trip"]);
        }
        if sight == Sight::Whole {
            columns.insert(1, "Address");
        }
        let chart = Chart::new(past, about.viewer);
        Self {
            texts: texts(about, figures, &delay, &chart),
            upload: (stats.upload_rate, figures.upload_limit),
            delays: delay.counts,
            peers: peers.map(|peer| cells(peer, about.viewer, sight)).collect(),
            columns,
            chart,
        }
    }

    /// Of one name; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let mut texts = self.texts.iter();
        texts
            .find(|(known, _)| *known == name)
            .map_or("", |(_, text)| text)
    }

    /// What `status.js` puts into the page, in one line.
    pub(super) fn to_json(&self) -> Value {
        let texts = self.texts.iter();
        let texts = texts.map(|(name, text)| ((*name).to_owned(), json!(text)));
        json!({
            "texts": texts.collect::<serde_json::Map<_, _>>(),
            "upload": self.upload.0,
            "uploadLimit": self.upload.1,
            "delays": self.delays,
            "peers": self.peers,
            "connected": self.chart.connected,
            "announced": self.chart.announced,
        })
    }
}

fn texts(
    about: &About,
    figures: &Figures,
    delay: &Delay,
    chart: &Chart,
) -> Vec<(&'static str, String)> {
    let stats = &figures.stats;
    let connected = stats.peers_connected;
    let mut texts = vec![
        ("uptime", words::time(figures.uptime)),
        ("bitrate", words::rate(figures.bitrate)),
        ("upload", upload(figures)),
        ("sent", words::bytes(stats.bytes_uploaded)),
        ("received", words::bytes(stats.bytes_downloaded)),
        (
            "peers",
            match figures.announced {
                Some(known) => format!("{connected} connected, {known} known to the tracker"),
                None => format!("{connected} connected"),
            },
        ),
        ("delay", summary(delay)),
        ("chart", chart.summary.clone()),
        (
            "listed",
            match connected {
                0 => "Nobody is connected.".to_owned(),
                1 => "One peer is connected.".to_owned(),
                _ if connected > MAX_ROWS as u64 => {
                    format!("{MAX_ROWS} of {connected} connected peers.")
                }
                _ => format!("{connected} connected peers."),
            },
        ),
    ];
    if about.viewer {
        texts.extend([
            ("distance", words::delay(stats.live_distance)),
            ("buffer", words::delay(stats.buffer_level)),
            ("join", words::delay_or_unknown(stats.join_time)),
            ("stalls", stats.stalls.to_string()),
            ("skipped", stats.pieces_skipped.to_string()),
        ]);
    }
    texts
}

fn upload(figures: &Figures) -> String {
    let rate = words::rate(figures.stats.upload_rate);
    match figures.upload_limit {
        Some(limit) => format!("{rate} of at most {}", words::rate(limit)),
        None => format!("{rate}, without a limit"),
    }
}

fn summary(delay: &Delay) -> String {
    let (Some(median), Some(p95), Some(most)) = (delay.median, delay.p95, delay.most) else {
        return "Nobody has said yet how late pieces come.".to_owned();
    };
    format!(
        "Median {}, 95 % within {}, at most {}.",
        words::delay(median),
        words::delay(p95),
        words::delay(most)
    )
}

fn cells(peer: &PeerStats, viewer: bool, sight: Sight) -> Vec<String> {
    let client = match &peer.client[..] {
        "" => words::UNKNOWN.to_owned(),
        client => client.to_owned(),
    };
    let mut cells = vec![
        client,
        words::delay_or_unknown(peer.lag),
        words::bytes(peer.bytes_uploaded),
        words::bytes(peer.forwarded),
    ];
    if viewer {
        cells.push(words::bytes(peer.bytes_downloaded));
        cells.push(words::delay_or_unknown(peer.rtt));
    }
    if sight == Sight::Whole {
        cells.insert(1, peer.address.to_string());
    }
    cells
}

/// What the classes of delays are called.
pub(super) fn classes() -> [String; CLASSES.len() + 1] {
    std::array::from_fn(|class| match CLASSES.get(class) {
        Some(end) => format!("up to {}", words::delay(*end)),
        None => "longer".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            history::History,
            testing::{SCRIPT, about, hostile_peer, stats},
        },
        *,
    };

    use std::time::Duration;

    fn view(viewer: bool, peers: usize, sight: Sight) -> View {
        let figures = Figures {
            stats: stats(vec![hostile_peer(Some(900)); peers]),
            upload_limit: Some(3_000_000),
            announced: Some(12),
            ..Figures::default()
        };
        View::new(&about(viewer), &figures, &[], sight)
    }

    #[test]
    fn figures_stand_in_words() {
        let view = view(false, 1, Sight::Whole);
        assert_eq!(view.text("peers"), "1 connected, 12 known to the tracker");
        assert_eq!(view.text("upload"), "2.5 Mbit/s of at most 3.0 Mbit/s");
        assert_eq!(
            view.text("delay"),
            "Median 900 ms, 95 % within 900 ms, at most 900 ms."
        );
        assert_eq!(view.text("listed"), "One peer is connected.");
        assert_eq!(view.text("distance"), "");
    }

    #[test]
    fn fifty_peers_are_listed_each_with_a_cell_for_each_column() {
        for viewer in [false, true] {
            for sight in [Sight::Whole, Sight::NoAddresses] {
                let view = view(viewer, 51, sight);
                assert_eq!(view.text("listed"), "50 of 51 connected peers.");
                assert_eq!(view.peers.len(), MAX_ROWS);
                let rows = &view.peers;
                assert!(rows.iter().all(|cells| cells.len() == view.columns.len()));
            }
        }
    }

    #[test]
    fn changes_are_one_line_and_have_what_a_peer_says_as_it_is() {
        let json = view(false, 1, Sight::Whole).to_json();
        assert!(!json.to_string().contains(['\n', '\r']));
        assert_eq!(json["peers"][0][0], SCRIPT);
    }

    #[test]
    fn an_event_is_under_48_kib_whatever_peers_say() {
        // Each of these is six bytes of JSON.
        let peer = PeerStats {
            client: "\u{1}".repeat(64),
            address: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
                .parse()
                .unwrap(),
            ..hostile_peer(Some(900))
        };
        let figures = Figures {
            stats: stats(vec![peer; 1000]),
            announced: Some(2000),
            ..Figures::default()
        };
        let mut history = History::new();
        for second in 0..239 {
            history.push(Point {
                at: Duration::from_secs(second),
                peers: second % 50,
                announced: second % 60,
                upload_rate: 0,
                bitrate: 0,
            });
        }
        let view = View::new(&about(false), &figures, history.points(), Sight::Whole);
        let bytes = view.to_json().to_string().len();
        assert!(bytes < 48 << 10, "{bytes}");
    }
}
