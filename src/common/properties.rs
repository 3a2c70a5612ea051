// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Properties and signals that mean the same on both elements.

use std::sync::{Arc, LazyLock};

use glib::subclass::Signal;
use gst::prelude::*;

use crate::proto::{
    metainfo::Metainfo,
    swarm::{Config, Role},
};

use super::listen;

/// What a peer is told about itself, whichever end it is.
#[derive(Debug, Clone)]
pub(crate) struct PeerSettings {
    /// Comma-separated addresses to listen on.
    pub(crate) address: String,
    /// Where to listen; 0 picks a port.
    pub(crate) port: u16,
    /// Most connections.
    pub(crate) max_peers: u32,
    /// Most peers served at once.
    pub(crate) max_uploads: u32,
    /// Most bits of pieces uploaded in a second; 0: no limit.
    pub(crate) max_upload_rate: u64,
    /// Most bytes of pieces kept.
    pub(crate) buffer_size: u64,
    /// Look for peers in the DHT.
    pub(crate) dht: bool,
    /// Look for peers on this host's networks.
    pub(crate) lsd: bool,
    /// Tell peers of each other, and hear of them so.
    pub(crate) pex: bool,
    /// Have the router map the port.
    pub(crate) port_mapping: bool,
}

impl PeerSettings {
    /// The defaults with this `port`.
    pub(crate) fn with_port(port: u16) -> Self {
        Self {
            address: listen::ANY.into(),
            port,
            max_peers: 50,
            max_uploads: 7,
            max_upload_rate: 0,
            buffer_size: 64 << 20,
            dht: true,
            lsd: true,
            pex: true,
            port_mapping: true,
        }
    }

    /// What a swarm is told, for a peer that listens at `listen_port`. There is no upload budget
    /// in it: that is the sink's alone.
    pub(crate) fn config(
        &self,
        metainfo: Arc<Metainfo>,
        role: Role,
        listen_port: u16,
        upload_enabled: bool,
    ) -> Config {
        let to_usize = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Config {
            metainfo,
            role,
            peer_id: peer_id(),
            listen_port,
            max_peers: to_usize(self.max_peers.into()),
            max_uploads: to_usize(self.max_uploads.into()),
            upload_enabled,
            upload_budget: 0.0,
            max_upload_rate: self.max_upload_rate,
            buffer_size: to_usize(self.buffer_size),
            pex: self.pex,
            seed: fastrand::u64(..),
        }
    }

    /// The properties' descriptions, defaults taken from `self`.
    pub(crate) fn properties(&self) -> Vec<glib::ParamSpec> {
        vec![
            glib::ParamSpecString::builder("address")
                .nick("Address")
                .blurb("Addresses to listen on and to speak from, comma-separated")
                .default_value(Some(self.address.as_str()))
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("port")
                .nick("Port")
                .blurb("TCP port to listen on, and UDP port for the DHT where it is free (0 = pick one and notify)")
                .maximum(u16::MAX.into())
                .default_value(self.port.into())
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("max-peers")
                .nick("Maximum Peers")
                .blurb("Most connections to other peers")
                .minimum(1)
                .maximum(10_000)
                .default_value(self.max_peers)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt::builder("max-uploads")
                .nick("Maximum Uploads")
                .blurb("Most peers that are served at once (the broadcaster: that are unchoked)")
                .minimum(1)
                .maximum(10_000)
                .default_value(self.max_uploads)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("max-upload-rate")
                .nick("Maximum Upload Rate")
                .blurb(
                    "Most that is uploaded to all peers together (bits per second, 0 = no limit)",
                )
                .default_value(self.max_upload_rate)
                .mutable_ready()
                .build(),
            glib::ParamSpecUInt64::builder("buffer-size")
                .nick("Buffer Size")
                .blurb("Most memory for pieces that are kept for other peers (bytes)")
                .minimum(1 << 20)
                .maximum(1 << 40)
                .default_value(self.buffer_size)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("dht")
                .nick("DHT")
                .blurb("Find and be found through the DHT nodes that the .tstream names (BEP 5)")
                .default_value(self.dht)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("lsd")
                .nick("Local Discovery")
                .blurb("Find and be found on the networks that this host is on (BEP 14)")
                .default_value(self.lsd)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("pex")
                .nick("Peer Exchange")
                .blurb("Tell peers of others, and hear of others from them (BEP 11)")
                .default_value(self.pex)
                .mutable_ready()
                .build(),
            glib::ParamSpecBoolean::builder("port-mapping")
                .nick("Port Mapping")
                .blurb("Have the router of this network lead those outside to the port (PCP, NAT-PMP, UPnP)")
                .default_value(self.port_mapping)
                .mutable_ready()
                .build(),
        ]
    }

    /// Takes a property's new value; `false`: it is none of these.
    pub(crate) fn set(&mut self, name: &str, value: &glib::Value) -> bool {
        match name {
            "address" => self.address = value_of::<Option<String>>(value).unwrap_or_default(),
            "port" => self.port = u16::try_from(value_of::<u32>(value)).unwrap_or(self.port),
            "max-peers" => self.max_peers = value_of(value),
            "max-uploads" => self.max_uploads = value_of(value),
            "max-upload-rate" => self.max_upload_rate = value_of(value),
            "buffer-size" => self.buffer_size = value_of(value),
            "dht" => self.dht = value_of(value),
            "lsd" => self.lsd = value_of(value),
            "pex" => self.pex = value_of(value),
            "port-mapping" => self.port_mapping = value_of(value),
            _ => return false,
        }
        true
    }

    /// A property's value; none: it is none of these.
    pub(crate) fn get(&self, name: &str) -> Option<glib::Value> {
        Some(match name {
            "address" => self.address.to_value(),
            "port" => u32::from(self.port).to_value(),
            "max-peers" => self.max_peers.to_value(),
            "max-uploads" => self.max_uploads.to_value(),
            "max-upload-rate" => self.max_upload_rate.to_value(),
            "buffer-size" => self.buffer_size.to_value(),
            "dht" => self.dht.to_value(),
            "lsd" => self.lsd.to_value(),
            "pex" => self.pex.to_value(),
            "port-mapping" => self.port_mapping.to_value(),
            _ => return None,
        })
    }
}

/// What a property was set to; GObject has checked the type.
pub(crate) fn value_of<'a, T: glib::value::FromValue<'a>>(value: &'a glib::Value) -> T {
    value
        .get()
        .unwrap_or_else(|_| unreachable!("type checked upstream"))
}

/// A time in nanoseconds, as a property.
pub(crate) fn nanoseconds(
    name: &'static str,
    nick: &'static str,
    blurb: &'static str,
    range: std::ops::RangeInclusive<gst::ClockTime>,
    default: gst::ClockTime,
) -> glib::ParamSpec {
    glib::ParamSpecUInt64::builder(name)
        .nick(nick)
        .blurb(blurb)
        .minimum(range.start().nseconds())
        .maximum(range.end().nseconds())
        .default_value(default.nseconds())
        .mutable_ready()
        .build()
}

/// The signals of both elements; `add_peer` acts on `add-peer`.
pub(crate) fn signals(
    add_peer: impl Fn(&gst::Element, &str) + Send + Sync + 'static,
) -> Vec<Signal> {
    vec![
        // A peer finished the handshake: its id, its address.
        Signal::builder("peer-added")
            .param_types([String::static_type(), String::static_type()])
            .build(),
        // A peer is gone: its id, its address, why.
        Signal::builder("peer-removed")
            .param_types([
                String::static_type(),
                String::static_type(),
                String::static_type(),
            ])
            .build(),
        // Try this peer, `host:port`.
        Signal::builder("add-peer")
            .param_types([String::static_type()])
            .action()
            .class_handler(move |args| {
                let element = args.first()?.get::<gst::Element>().ok()?;
                let address = args.get(1)?.get::<Option<String>>().ok()??;
                add_peer(&element, &address);
                None
            })
            .build(),
    ]
}

/// `-LV`, four characters of version, `-`, 12 random bytes (PROTOCOL §4).
fn peer_id() -> [u8; 20] {
    static PREFIX: LazyLock<[u8; 8]> = LazyLock::new(|| {
        let digit = |part: &str| part.parse::<u8>().map_or(b'0', |n| b'0' + n.min(9));
        let major = digit(env!("CARGO_PKG_VERSION_MAJOR"));
        let minor = digit(env!("CARGO_PKG_VERSION_MINOR"));
        let patch = digit(env!("CARGO_PKG_VERSION_PATCH"));
        [b'-', b'L', b'V', major, minor, patch, b'0', b'-']
    });
    let mut id = [0; 20];
    let (prefix, random) = id.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(&*PREFIX);
    fastrand::fill(random);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_ids_share_a_prefix_and_nothing_else() {
        let (a, b) = (peer_id(), peer_id());
        assert_eq!(a[..8], b[..8]);
        assert!(a.starts_with(b"-LV") && a[7] == b'-');
        assert_ne!(a[8..], b[8..]);
    }
}
