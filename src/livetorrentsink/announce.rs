// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Where viewers find the source, which is the announce URLs of the `.tstream`, and where the
//! source finds its relays.

use std::net::{IpAddr, Ipv4Addr};

use crate::{common::split_list, net};

use super::settings::Settings;

/// The source's own announce URL, and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announce {
    /// `http://HOST:PORT/announce`.
    pub(super) url: String,
    /// HOST, where it was found out rather than set and only this network knows it.
    pub(super) private_host: Option<String>,
}

/// The announce URL for a source that listens at `port`.
///
/// # Errors
/// When `public-address` is no host.
pub(super) fn own(settings: &Settings, port: u16) -> Result<Announce, gst::ErrorMessage> {
    if let Some(host) = settings.public_address.as_deref().filter(|h| !h.is_empty()) {
        let host = match host.parse::<IpAddr>() {
            Ok(address) => bracketed(address),
            Err(_) if is_name(host) => host.to_owned(),
            Err(_) => {
                return Err(gst::error_msg!(
                    gst::ResourceError::Settings,
                    ("\"{host}\" in the property public-address is no host")
                ));
            }
        };
        return Ok(Announce {
            url: url(&host, port),
            private_host: None,
        });
    }
    // Where the element listens on one address only, no other leads to it.
    let address = split_list(&settings.peer.address)
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .find(|address| !address.is_unspecified())
        .or_else(net::default_route_address)
        .unwrap_or_else(|| Ipv4Addr::LOCALHOST.into());
    let host = bracketed(address);
    Ok(Announce {
        url: url(&host, port),
        private_host: is_private(address).then_some(host),
    })
}

/// The user's trackers, each in a BEP 12 tier of its own.
///
/// # Errors
/// Names one whose scheme is not known.
pub(super) fn tiers(trackers: &[String]) -> Result<Vec<Vec<String>>, gst::ErrorMessage> {
    const SCHEMES: [&str; 3] = ["http://", "https://", "udp://"];
    let unknown = |tracker: &&String| !SCHEMES.iter().any(|scheme| tracker.starts_with(scheme));
    if let Some(tracker) = trackers.iter().find(unknown) {
        return Err(gst::error_msg!(
            gst::ResourceError::Settings,
            ("\"{tracker}\" in the property trackers is no http, https or udp URL")
        ));
    }
    Ok(trackers.iter().map(|url| vec![url.clone()]).collect())
}

/// The user's relays.
///
/// # Errors
/// Names one that is no `host:port`.
pub(super) fn relays(relays: Vec<String>) -> Result<Vec<String>, gst::ErrorMessage> {
    if let Some(relay) = relays.iter().find(|relay| net::host_port(relay).is_none()) {
        return Err(gst::error_msg!(
            gst::ResourceError::Settings,
            ("\"{relay}\" in the property auxiliary-seeders is no HOST:PORT")
        ));
    }
    Ok(relays)
}

/// The nodes of the DHT that the user names.
///
/// # Errors
/// Names one that is no `host:port`.
pub(super) fn nodes(nodes: &[String]) -> Result<Vec<(String, u16)>, gst::ErrorMessage> {
    let read = nodes.iter().map(|node| {
        net::host_port(node).ok_or_else(|| {
            gst::error_msg!(
                gst::ResourceError::Settings,
                ("\"{node}\" in the property dht-nodes is no HOST:PORT")
            )
        })
    });
    read.collect()
}

fn url(host: &str, port: u16) -> String {
    format!("http://{host}:{port}/announce")
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn is_name(host: &str) -> bool {
    host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

/// Whether an address means something on its own network or machine only.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(public: Option<&str>, address: &str) -> Settings {
        let mut settings = Settings {
            public_address: public.map(str::to_owned),
            ..Settings::default()
        };
        settings.peer.address = address.into();
        settings
    }

    #[test]
    fn a_public_address_is_taken_as_it_is() {
        let announce = |host| own(&settings(Some(host), "0.0.0.0"), 7764).map(|a| a.url);
        assert_eq!(
            announce("tv.example").unwrap(),
            "http://tv.example:7764/announce"
        );
        assert_eq!(
            announce("2001:db8::1").unwrap(),
            "http://[2001:db8::1]:7764/announce"
        );
        assert!(announce("http://tv.example").is_err());
    }

    #[test]
    fn a_source_on_one_address_announces_that_one_and_says_that_it_is_private() {
        let announce = own(&settings(None, "127.0.0.1"), 1).unwrap();
        assert_eq!(announce.url, "http://127.0.0.1:1/announce");
        assert_eq!(announce.private_host.as_deref(), Some("127.0.0.1"));
        let announce = own(&settings(None, "192.0.2.7"), 1).unwrap();
        assert_eq!(announce.private_host, None);
    }

    #[test]
    fn a_tracker_of_an_unknown_scheme_is_named() {
        let good = ["udp://b:1".into(), "https://c/announce".into()];
        assert_eq!(
            tiers(&good).unwrap(),
            [["udp://b:1"], ["https://c/announce"]]
        );
        let error = tiers(&["wss://d".into()]).unwrap_err();
        assert!(format!("{error:?}").contains("wss://d"), "{error:?}");
    }

    #[test]
    fn a_relay_without_a_port_is_named() {
        let good = ["192.0.2.1:7764", "relay.example:1", "[2001:db8::1]:7764"];
        let good = good.map(str::to_owned).to_vec();
        assert_eq!(relays(good.clone()).unwrap(), good);
        let error = relays(vec!["b:1".into(), "relay.example".into()]).unwrap_err();
        assert!(
            format!("{error:?}").contains("\\\"relay.example\\\""),
            "{error:?}"
        );
    }
}
