// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the user sets.

use std::{path::PathBuf, time::Duration};

use gst::prelude::*;

use crate::common::{
    properties::{PeerSettings, nanoseconds, value_of},
    split_list,
};

use crate::proto::swarm::Playback;

use super::{LiveTorrentSrcOnLoss, LiveTorrentSrcStatus};

/// Sound is out of tune by three semitones.
const MAX_RATE_CHANGE: f64 = 0.2;
/// No window is longer.
const MAX_START_OFFSET: gst::ClockTime = gst::ClockTime::from_seconds(24 * 3600);

/// The writable properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where the `.tstream` is.
    pub(super) location: Option<String>,
    /// Distance behind the source (ms).
    pub(super) latency: u32,
    /// How much faster or slower to play to return to it.
    pub(super) max_rate_change: f64,
    /// What becomes of what follows a hole.
    pub(super) on_loss: LiveTorrentSrcOnLoss,
    /// How far behind the source to start; zero: at `latency`.
    pub(super) start_offset: gst::ClockTime,
    /// After a pause: go on where it was.
    pub(super) keep_position: bool,
    /// Without a byte for so long: an error; zero: wait for ever.
    pub(super) timeout: gst::ClockTime,
    /// Whether others are served.
    pub(super) upload_enabled: bool,
    /// `host:port`, comma-separated.
    pub(super) peers: String,
    /// The folder where good peers are kept; empty: nowhere; none: the user's cache folder.
    pub(super) peer_cache: Option<String>,
    /// Where the status page is on this machine; negative: nowhere; 0 picks a port.
    pub(super) status_port: i32,
    /// As on the sink.
    pub(super) peer: PeerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            latency: 1000,
            max_rate_change: 0.05,
            on_loss: LiveTorrentSrcOnLoss::Skip,
            start_offset: gst::ClockTime::ZERO,
            keep_position: false,
            timeout: gst::ClockTime::ZERO,
            upload_enabled: true,
            peers: String::new(),
            peer_cache: None,
            status_port: -1,
            peer: PeerSettings::with_port(0),
        }
    }
}

impl Settings {
    /// Every property of the element; those that are not settings come last.
    pub(super) fn properties() -> Vec<glib::ParamSpec> {
        let default = Self::default();
        let mut properties = vec![
            glib::ParamSpecString::builder("location")
                .nick("Location")
                .blurb("Path, file, http or https URL of a .tstream file, or a livetorrent: URI")
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("uri")
                .nick("URI")
                .blurb("The location as a livetorrent: URI")
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("latency")
                .nick("Latency")
                .blurb("Distance behind the source at which bytes are released (milliseconds, 0 = at once)")
                .maximum(3_600_000)
                .default_value(default.latency)
                .mutable_playing()
                .build(),
            glib::ParamSpecDouble::builder("max-rate-change")
                .nick("Maximum Rate Change")
                .blurb("How much faster or slower playback may run to return to the latency (fraction, 0 = off)")
                .minimum(0.0)
                .maximum(MAX_RATE_CHANGE)
                .default_value(default.max_rate_change)
                .mutable_playing()
                .build(),
            glib::ParamSpecEnum::builder_with_default("on-loss", default.on_loss)
                .nick("On Loss")
                .blurb("What to do with what follows a piece that missed its time")
                .mutable_playing()
                .build(),
            nanoseconds(
                "start-offset",
                "Start Offset",
                "Start so far behind the source and stay there, as far as others hold the stream (nanoseconds, 0 = at the latency)",
                gst::ClockTime::ZERO..=MAX_START_OFFSET,
                default.start_offset,
            ),
            glib::ParamSpecBoolean::builder("keep-position")
                .nick("Keep Position")
                .blurb("After a pause go on where it was, and catch up by max-rate-change, instead of jumping to the latency")
                .default_value(default.keep_position)
                .mutable_playing()
                .build(),
            nanoseconds(
                "timeout",
                "Timeout",
                "Post an error when no byte came for so long (nanoseconds, 0 = never)",
                gst::ClockTime::ZERO..=gst::ClockTime::MAX,
                default.timeout,
            ),
            glib::ParamSpecBoolean::builder("upload-enabled")
                .nick("Upload Enabled")
                .blurb("Share what was received with other viewers")
                .default_value(default.upload_enabled)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("peers")
                .nick("Peers")
                .blurb("Peers to try at once, comma-separated host:port, beside what discovery finds")
                .default_value(Some(default.peers.as_str()))
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("peer-cache")
                .nick("Peer Cache")
                .blurb("Folder where addresses of peers that gave pieces are kept for the next time (NULL = livetorrent in the user's cache folder, empty = nowhere)")
                .mutable_ready()
                .build(),
            glib::ParamSpecInt::builder("status-port")
                .nick("Status Port")
                .blurb("TCP port of the status page, on this machine alone (-1 = no page, 0 = pick one and notify)")
                .minimum(-1)
                .maximum(u16::MAX.into())
                .default_value(default.status_port)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("is-live")
                .nick("Is Live")
                .blurb("Whether this is a live source: it always is")
                .default_value(true)
                .read_only()
                .build(),
            glib::ParamSpecEnum::builder::<LiveTorrentSrcStatus>("status")
                .nick("Status")
                .blurb("How the viewer stands")
                .read_only()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Figures of this run: bytes, pieces, peers, distances (rates in bits per second, times in nanoseconds)")
                .read_only()
                .build(),
        ];
        properties.extend(default.peer.properties());
        properties
    }

    /// Takes a property's new value; `false`: it is no plain setting.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        match name {
            "latency" => self.latency = value_of(value),
            "max-rate-change" => self.max_rate_change = value_of(value),
            "on-loss" => self.on_loss = value_of(value),
            "start-offset" => self.start_offset = gst::ClockTime::from_nseconds(value_of(value)),
            "keep-position" => self.keep_position = value_of(value),
            "timeout" => self.timeout = gst::ClockTime::from_nseconds(value_of(value)),
            "upload-enabled" => self.upload_enabled = value_of(value),
            "peers" => self.peers = value_of::<Option<String>>(value).unwrap_or_default(),
            "peer-cache" => self.peer_cache = value_of(value),
            "status-port" => self.status_port = value_of(value),
            _ => return self.peer.set(name, value),
        }
        true
    }

    /// A property's value; none: it is no plain setting.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "location" => self.location.to_value(),
            "latency" => self.latency.to_value(),
            "max-rate-change" => self.max_rate_change.to_value(),
            "on-loss" => self.on_loss.to_value(),
            "start-offset" => self.start_offset.nseconds().to_value(),
            "keep-position" => self.keep_position.to_value(),
            "timeout" => self.timeout.nseconds().to_value(),
            "upload-enabled" => self.upload_enabled.to_value(),
            "peers" => self.peers.to_value(),
            "peer-cache" => self.peer_cache.to_value(),
            "status-port" => self.status_port.to_value(),
            _ => return self.peer.get(name),
        })
    }

    /// Distance behind the source.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency.into())
    }

    /// How to play.
    pub(super) fn playback(&self) -> Playback {
        Playback {
            latency: self.latency(),
            max_rate_change: self.max_rate_change,
            on_loss: self.on_loss.into(),
            start_offset: self.start_offset.into(),
        }
    }

    /// How long to wait for a byte; none: for ever.
    pub(super) fn timeout(&self) -> Option<Duration> {
        (!self.timeout.is_zero()).then(|| self.timeout.into())
    }

    /// Where good peers are kept; none: nowhere.
    pub(super) fn peer_cache(&self) -> Option<PathBuf> {
        match self.peer_cache.as_deref() {
            Some("") => None,
            Some(folder) => Some(folder.into()),
            None => Some(glib::user_cache_dir().join("livetorrent")),
        }
    }

    /// Where the status page is; none: nowhere.
    pub(super) fn status_port(&self) -> Option<u16> {
        u16::try_from(self.status_port).ok()
    }

    /// `host:port` of each peer to try at once.
    pub(super) fn peers(&self) -> Vec<String> {
        split_list(&self.peers).map(str::to_owned).collect()
    }
}
