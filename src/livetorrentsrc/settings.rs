// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the user sets.

use std::time::Duration;

use gst::prelude::*;

use crate::common::{
    properties::{PeerSettings, nanoseconds, value_of},
    split_list,
};

use super::LiveTorrentSrcStatus;

/// The writable properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where the `.tstream` is.
    pub(super) location: Option<String>,
    /// Distance behind the source (ms).
    pub(super) latency: u32,
    /// Without a byte for so long: an error; zero: wait for ever.
    pub(super) timeout: gst::ClockTime,
    /// Whether others are served.
    pub(super) upload_enabled: bool,
    /// `host:port`, comma-separated.
    pub(super) peers: String,
    /// As on the sink.
    pub(super) peer: PeerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            latency: 1000,
            timeout: gst::ClockTime::ZERO,
            upload_enabled: true,
            peers: String::new(),
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
                .blurb("Figures of this run: bytes, pieces, peers, distances")
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
            "timeout" => self.timeout = gst::ClockTime::from_nseconds(value_of(value)),
            "upload-enabled" => self.upload_enabled = value_of(value),
            "peers" => self.peers = value_of::<Option<String>>(value).unwrap_or_default(),
            _ => return self.peer.set(name, value),
        }
        true
    }

    /// A property's value; none: it is no plain setting.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "location" => self.location.to_value(),
            "latency" => self.latency.to_value(),
            "timeout" => self.timeout.nseconds().to_value(),
            "upload-enabled" => self.upload_enabled.to_value(),
            "peers" => self.peers.to_value(),
            _ => return self.peer.get(name),
        })
    }

    /// Distance behind the source.
    pub(super) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency.into())
    }

    /// How long to wait for a byte; none: for ever.
    pub(super) fn timeout(&self) -> Option<Duration> {
        (!self.timeout.is_zero()).then(|| self.timeout.into())
    }

    /// `host:port` of each peer to try at once.
    pub(super) fn peers(&self) -> Vec<String> {
        split_list(&self.peers).map(str::to_owned).collect()
    }
}
