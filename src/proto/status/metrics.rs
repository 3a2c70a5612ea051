// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The figures for Prometheus: its text format 0.0.4, or OpenMetrics 1.0. Base units, totals counted
//! from the start of the element; peers are counted and not listed, since each would be a series.

use std::{fmt::Write as _, time::Duration};

use super::{
    About,
    figures::{Delay, Figures},
};

/// In which of its forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// Writes families of one sample each.
struct Writer {
    format: Format,
    text: String,
}

impl Writer {
    /// What a family is, by the name that its format has for it.
    fn describe(&mut self, family: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(
            self.text,
            "# HELP {family} {help}\n# TYPE {family} {kind}\n"
        );
    }

    /// `unit` is the end of the name, as OpenMetrics wants it; empty: none.
    fn sample(&mut self, kind: Kind, name: &str, unit: &str, help: &str, value: f64) {
        let separator = if unit.is_empty() { "" } else { "_" };
        let name = format!("livetorrent_{name}{separator}{unit}");
        let total = match kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
        };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        match self.format {
            // The suffix belongs to the name,
            Format::Prometheus => self.describe(&format!("{name}{total}"), kind, help),
            // or to the sample alone.
            Format::OpenMetrics => {
                self.describe(&name, kind, help);
                if !unit.is_empty() {
                    let _ = writeln!(self.text, "# UNIT {name} {unit}");
                }
            }
        }
        let _ = writeln!(self.text, "{name}{total} {value}");
    }

    fn counter(&mut self, name: &str, unit: &str, help: &str, value: u64) {
        self.sample(Kind::Counter, name, unit, help, value as f64);
    }

    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: f64) {
        self.sample(Kind::Gauge, name, unit, help, value);
    }

    fn seconds(&mut self, name: &str, help: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.gauge(name, "seconds", help, value.as_secs_f64());
        }
    }

    fn info(&mut self, about: &About) {
        let help = "What this is.";
        match self.format {
            Format::Prometheus => self.describe("livetorrent_info", "gauge", help),
            Format::OpenMetrics => self.describe("livetorrent", "info", help),
        }
        let _ = writeln!(
            self.text,
            "livetorrent_info{{name=\"{}\",infohash=\"{}\",role=\"{}\",version=\"{}\"}} 1",
            escaped(&about.name),
            about.infohash,
            about.role(),
            env!("CARGO_PKG_VERSION"),
        );
    }
}

/// As the value of a label: both formats escape these three, and the lines end at no other sign.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The figures of a moment.
pub(super) fn text(about: &About, figures: &Figures, format: Format) -> String {
    let mut out = Writer {
        format,
        text: String::new(),
    };
    out.info(about);
    let uptime = Some(figures.uptime);
    out.seconds("uptime", "Time since the element began.", uptime);
    transfers(&mut out, figures);
    peers(&mut out, figures);
    if about.viewer {
        playback(&mut out, figures);
    }
    if format == Format::OpenMetrics {
        out.text.push_str("# EOF\n");
    }
    out.text
}

fn transfers(out: &mut Writer, figures: &Figures) {
    let stats = &figures.stats;
    for (name, help, value) in [
        (
            "stream",
            "Bytes of the stream that were published, or handed downstream.",
            figures.streamed,
        ),
        (
            "uploaded",
            "Bytes of pieces sent to peers.",
            stats.bytes_uploaded,
        ),
        (
            "downloaded",
            "Bytes of pieces received from peers.",
            stats.bytes_downloaded,
        ),
        (
            "overhead",
            "Other bytes of the peer protocol, both ways.",
            stats.overhead_bytes,
        ),
        (
            "duplicate",
            "Bytes of pieces that were held already.",
            stats.duplicate_bytes,
        ),
    ] {
        out.counter(name, "bytes", help, value);
    }
    out.counter(
        "pieces_verified",
        "",
        "Pieces that were accepted, or made.",
        stats.pieces_verified,
    );
    out.counter(
        "pieces_rejected",
        "",
        "Pieces and proofs that were refused.",
        stats.pieces_rejected,
    );
    if let Some(limit) = figures.upload_limit {
        out.gauge(
            "upload_limit",
            "bytes_per_second",
            "Most that may be uploaded now.",
            limit as f64 / 8.0,
        );
    }
}

fn peers(out: &mut Writer, figures: &Figures) {
    let stats = &figures.stats;
    let delay = Delay::of(&stats.peers);
    out.gauge(
        "peers",
        "",
        "Connected peers.",
        stats.peers_connected as f64,
    );
    out.gauge(
        "banned_peers",
        "",
        "Peers that are refused because they lied.",
        stats.peers_banned as f64,
    );
    if let Some(announced) = figures.announced {
        out.gauge(
            "announced_viewers",
            "",
            "Viewers that the tracker in the source knows.",
            announced as f64,
        );
    }
    out.gauge(
        "reporting_peers",
        "",
        "Connected peers that say how old pieces are when they get them.",
        delay.reported as f64,
    );
    for (name, help, value) in [
        (
            "peer_delay_median",
            "Age of the newest piece when peers got it, as they say: median.",
            delay.median,
        ),
        (
            "peer_delay_p95",
            "The same: 95 % of the peers are not later.",
            delay.p95,
        ),
        (
            "peer_delay_max",
            "The same: the latest of the peers.",
            delay.most,
        ),
    ] {
        out.seconds(name, help, value);
    }
}

fn playback(out: &mut Writer, figures: &Figures) {
    let stats = &figures.stats;
    out.counter(
        "pieces_skipped",
        "",
        "Pieces that missed their time.",
        stats.pieces_skipped,
    );
    out.counter("stalls", "", "How often the stream stalled.", stats.stalls);
    for (name, help, value) in [
        (
            "buffer",
            "Stream held in order and not yet handed downstream.",
            Some(stats.buffer_level),
        ),
        (
            "live_distance",
            "How far behind the source this viewer is.",
            Some(stats.live_distance),
        ),
        (
            "join",
            "Time from the start to the first byte handed downstream.",
            stats.join_time,
        ),
    ] {
        out.seconds(name, help, value);
    }
    out.gauge(
        "playback_rate",
        "ratio",
        "Seconds of the stream played in one second.",
        stats.playback_rate,
    );
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{SCRIPT, about, hostile_peer, stats},
        *,
    };

    fn metrics(viewer: bool, format: Format) -> String {
        let about = About {
            name: SCRIPT.to_owned(),
            ..about(viewer)
        };
        let figures = Figures {
            stats: stats(vec![hostile_peer(Some(900)), hostile_peer(None)]),
            upload_limit: Some(8_000_000),
            announced: Some(3),
            ..Figures::default()
        };
        text(&about, &figures, format)
    }

    #[test]
    fn counters_end_in_total_as_each_format_has_it() {
        let text = metrics(false, Format::Prometheus);
        let family = "# TYPE livetorrent_uploaded_bytes_total counter\nlivetorrent_uploaded_bytes_total 123456789\n";
        assert!(text.contains(family), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
        let text = metrics(false, Format::OpenMetrics);
        let family = "# TYPE livetorrent_uploaded_bytes counter\n# UNIT livetorrent_uploaded_bytes bytes\nlivetorrent_uploaded_bytes_total 123456789\n";
        assert!(text.contains(family), "{text}");
        assert!(text.ends_with("\n# EOF\n"));
    }

    #[test]
    fn every_family_is_described_once_and_has_one_sample() {
        for (viewer, format) in [
            (false, Format::Prometheus),
            (true, Format::Prometheus),
            (true, Format::OpenMetrics),
        ] {
            let text = metrics(viewer, format);
            let mut families = std::collections::BTreeSet::new();
            for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
                assert!(families.insert(line.split(' ').nth(2).unwrap()), "{line}");
            }
            let samples = text.lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(samples, families.len(), "{text}");
            assert_eq!(text.contains("livetorrent_stalls"), viewer);
        }
    }

    #[test]
    fn a_name_cannot_end_its_label() {
        let text = metrics(false, Format::Prometheus);
        let line = text
            .lines()
            .find(|line| line.starts_with("livetorrent_info"));
        let line = line.unwrap();
        assert!(line.ends_with("} 1"), "{line}");
        assert!(
            line.contains("alert(\\\"1\\\")") && line.contains("&amp;\\n"),
            "{line}"
        );
    }
}
