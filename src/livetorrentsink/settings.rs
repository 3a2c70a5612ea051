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

use crate::{
    common::{
        properties::{PeerSettings, nanoseconds, value_of},
        split_list,
    },
    proto::{lap::Lap, metainfo::lap_for},
};

/// Largest `upload-budget`: as many copies as there can be peers.
const MAX_UPLOAD_BUDGET: f64 = 10_000.0;

/// The writable properties.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Where the `.tstream` goes; none: `<name>.tstream`.
    pub(super) location: Option<String>,
    /// Largest piece (bytes).
    pub(super) piece_size: u32,
    /// Nominal bitrate (bits per second).
    pub(super) bitrate: u64,
    pub(super) duration: gst::ClockTime,
    pub(super) flush_time: gst::ClockTime,
    /// Hosts of the announce URLs, comma-separated; none: found out.
    pub(super) public_address: Option<String>,
    /// Whether the addresses of this host's networks are announce URLs too.
    pub(super) local_addresses: bool,
    pub(super) trackers: String,
    /// Most copies of the stream that are uploaded; 0: no limit.
    pub(super) upload_budget: f64,
    /// `host:port` of relays, comma-separated.
    pub(super) auxiliary_seeders: String,
    /// `host:port` of DHT nodes, comma-separated.
    pub(super) dht_nodes: String,
    pub(super) drain_timeout: gst::ClockTime,
    /// Whether everybody sees on the status page where viewers are.
    pub(super) status_public: bool,
    /// As on the source.
    pub(super) peer: PeerSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            location: None,
            piece_size: 16_384,
            bitrate: 4_000_000,
            duration: gst::ClockTime::from_seconds(600),
            flush_time: gst::ClockTime::from_mseconds(100),
            public_address: None,
            local_addresses: true,
            trackers: String::new(),
            upload_budget: 3.0,
            auxiliary_seeders: String::new(),
            dht_nodes: String::new(),
            drain_timeout: gst::ClockTime::from_seconds(2),
            status_public: false,
            peer: PeerSettings::with_port(7764),
        }
    }
}

impl Settings {
    /// Every property of the element; `stats`, which is no setting, comes with them.
    pub(super) fn properties() -> Vec<glib::ParamSpec> {
        let default = Self::default();
        let mut properties = vec![
            glib::ParamSpecString::builder("location")
                .nick("Location")
                .blurb("Where the .tstream goes (default: the element's name and .tstream); key and restart file stand beside it")
                .mutable_ready()
                .build(),
            // PROTOCOL §1: 1 KiB … 1 MiB.
            glib::ParamSpecUInt::builder("piece-size")
                .nick("Piece Size")
                .blurb("Largest piece (bytes)")
                .minimum(1 << 10)
                .maximum(1 << 20)
                .default_value(default.piece_size)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("bitrate")
                .nick("Bitrate")
                .blurb("Nominal bitrate that sizes the lap; it never limits the stream (bits per second)")
                .minimum(1)
                .default_value(default.bitrate)
                .mutable_ready()
                .build(),
            nanoseconds(
                "duration",
                "Duration",
                "Length of a lap at the nominal bitrate, half of which can be kept for viewers (nanoseconds)",
                gst::ClockTime::from_seconds(1)..=gst::ClockTime::from_seconds(30 * 24 * 3600),
                default.duration,
            ),
            nanoseconds(
                "flush-time",
                "Flush Time",
                "A piece open for longer than this is closed (nanoseconds)",
                // PROTOCOL §2: something of the source is seen every second.
                gst::ClockTime::from_mseconds(1)..=gst::ClockTime::SECOND,
                default.flush_time,
            ),
            glib::ParamSpecString::builder("public-address")
                .nick("Public Address")
                .blurb("Where viewers outside reach the broadcaster, comma-separated host or host:port for the announce URLs (default: the addresses of the default route)")
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("local-addresses")
                .nick("Local Addresses")
                .blurb("Name the addresses of this host's networks in the .tstream beside public-address, for viewers on these")
                .default_value(default.local_addresses)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("trackers")
                .nick("Trackers")
                .blurb("Further announce URLs, comma-separated (http, https, udp)")
                .default_value(Some(default.trackers.as_str()))
                .mutable_ready()
                .build(),
            glib::ParamSpecDouble::builder("upload-budget")
                .nick("Upload Budget")
                .blurb("Most that is uploaded, relays included (multiple of the stream's rate, 0 = no limit)")
                .minimum(0.0)
                .maximum(MAX_UPLOAD_BUDGET)
                .default_value(default.upload_budget)
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("auxiliary-seeders")
                .nick("Auxiliary Seeders")
                .blurb("Relays that are connected to and always served first, comma-separated host:port")
                .default_value(Some(default.auxiliary_seeders.as_str()))
                .mutable_ready()
                .build(),
            glib::ParamSpecString::builder("dht-nodes")
                .nick("DHT Nodes")
                .blurb("Nodes of the DHT that broadcaster and viewers begin with, comma-separated host:port (default: none, and no DHT)")
                .default_value(Some(default.dht_nodes.as_str()))
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("drain-timeout")
                .nick("Drain Timeout")
                .blurb("How long to wait at EOS until viewers hold the end (nanoseconds)")
                .maximum(gst::ClockTime::MAX.nseconds())
                .default_value(default.drain_timeout.nseconds())
                .mutable_playing()
                .build(),
            glib::ParamSpecBoolean::builder("status-public")
                .nick("Status Public")
                .blurb("Show the viewers' addresses to everybody who opens the status page at the port, not to this machine alone")
                .default_value(default.status_public)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoxed::builder::<gst::Structure>("stats")
                .nick("Statistics")
                .blurb("Figures of this run: bytes, pieces, peers (rates in bits per second, times in nanoseconds)")
                .read_only()
                .build(),
        ];
        properties.extend(default.peer.properties());
        properties
    }

    /// Takes a property's new value; `false`: there is none of this name.
    pub(super) fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        match name {
            "location" => self.location = value_of(value),
            "piece-size" => self.piece_size = value_of(value),
            "bitrate" => self.bitrate = value_of(value),
            "duration" => self.duration = gst::ClockTime::from_nseconds(value_of(value)),
            "flush-time" => self.flush_time = gst::ClockTime::from_nseconds(value_of(value)),
            "public-address" => self.public_address = value_of(value),
            "local-addresses" => self.local_addresses = value_of(value),
            "trackers" => self.trackers = value_of::<Option<String>>(value).unwrap_or_default(),
            "upload-budget" => self.upload_budget = value_of(value),
            "auxiliary-seeders" => {
                self.auxiliary_seeders = value_of::<Option<String>>(value).unwrap_or_default();
            }
            "dht-nodes" => self.dht_nodes = value_of::<Option<String>>(value).unwrap_or_default(),
            "drain-timeout" => self.drain_timeout = gst::ClockTime::from_nseconds(value_of(value)),
            "status-public" => self.status_public = value_of(value),
            _ => return self.peer.set(name, value),
        }
        true
    }

    /// A property's value; none: there is none of this name.
    pub(super) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "location" => self.location.to_value(),
            "piece-size" => self.piece_size.to_value(),
            "bitrate" => self.bitrate.to_value(),
            "duration" => self.duration.nseconds().to_value(),
            "flush-time" => self.flush_time.nseconds().to_value(),
            "public-address" => self.public_address.to_value(),
            "local-addresses" => self.local_addresses.to_value(),
            "trackers" => self.trackers.to_value(),
            "upload-budget" => self.upload_budget.to_value(),
            "auxiliary-seeders" => self.auxiliary_seeders.to_value(),
            "dht-nodes" => self.dht_nodes.to_value(),
            "drain-timeout" => self.drain_timeout.nseconds().to_value(),
            "status-public" => self.status_public.to_value(),
            _ => return self.peer.get(name),
        })
    }

    /// Where the `.tstream` of the element called `name` goes.
    pub(super) fn location(&self, name: &str) -> PathBuf {
        match &self.location {
            Some(location) if !location.is_empty() => location.into(),
            _ => format!("{name}.tstream").into(),
        }
    }

    /// The lap that bitrate, duration, piece size and flush time make.
    pub(super) fn lap(&self) -> Lap {
        let duration = self.duration.into();
        lap_for(self.bitrate, duration, self.piece_size, self.flush_time())
    }

    /// How long a piece may be open.
    pub(super) fn flush_time(&self) -> Duration {
        self.flush_time.into()
    }

    /// How long to wait for viewers at EOS.
    pub(super) fn drain_timeout(&self) -> Duration {
        self.drain_timeout.into()
    }

    /// Hosts by which viewers outside reach the source.
    pub(super) fn public_addresses(&self) -> impl Iterator<Item = &str> {
        split_list(self.public_address.as_deref().unwrap_or_default())
    }

    /// Announce URLs beside the source's own.
    pub(super) fn trackers(&self) -> Vec<String> {
        split_list(&self.trackers).map(str::to_owned).collect()
    }

    /// `host:port` of each relay.
    pub(super) fn auxiliary_seeders(&self) -> Vec<String> {
        let relays = split_list(&self.auxiliary_seeders);
        relays.map(str::to_owned).collect()
    }

    /// `host:port` of each DHT node.
    pub(super) fn dht_nodes(&self) -> Vec<String> {
        split_list(&self.dht_nodes).map(str::to_owned).collect()
    }
}
