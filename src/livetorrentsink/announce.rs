// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Where viewers find the source, which is the announce URLs of the `.tstream`, and where the
//! source finds its relays.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    common::split_list,
    net,
    proto::address::{Scope, needs_link},
};

use super::settings::Settings;

/// The source's own announce URLs, and what to say about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announce {
    /// `http://HOST:PORT/announce`: one file has to do for a viewer outside, for one on the same network,
    /// whose router may not lead it back in, and for one on this host. Those that reach farthest first.
    pub(super) urls: Vec<String>,
    /// A HOST, where all were found out rather than set and only this network knows them.
    pub(super) private_host: Option<String>,
    /// Viewers on this host alone are meant.
    pub(super) is_this_host: bool,
}

/// Where the source can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// The announce URLs for a source that listens at `port`.
///
/// # Errors
/// When `public-address` holds what is no host.
pub(super) fn own(settings: &Settings, port: u16) -> Result<Announce, gst::ErrorMessage> {
    let named = settings.public_addresses().map(|text| {
        Place::parse(text, port).ok_or_else(|| {
            gst::error_msg!(
                gst::ResourceError::Settings,
                ("\"{text}\" in the property public-address is no host")
            )
        })
    });
    let mut places = named.collect::<Result<Vec<_>, _>>()?;
    let is_set = !places.is_empty();
    // Who names this host alone means nobody else.
    let is_this_host = is_set && places.iter().all(Place::is_this_host);
    if !is_set || settings.local_addresses && !is_this_host {
        for address in local_addresses(&settings.peer.address, is_set) {
            let host = Host::Address(address);
            let place = Place { host, port };
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    let private = |place: &Place| match place.host {
        Host::Address(address) => Scope::of(address) != Scope::Public,
        Host::Name(_) => false,
    };
    let all_private = !is_set && places.iter().all(private);
    let first = places.first().filter(|_| all_private);
    Ok(Announce {
        private_host: first.map(|place| place.host.to_string()),
        is_this_host,
        urls: places.iter().map(Place::url).collect(),
    })
}

/// The addresses at which an element that listens at `listening` is called on its networks, public ones
/// first. Without any this host's own, unless others are told of the source by other means.
fn local_addresses(listening: &str, has_others: bool) -> Vec<IpAddr> {
    let listening: Vec<IpAddr> = split_list(listening)
        .filter_map(|address| address.parse().ok())
        .collect();
    let found = net::local_addresses();
    let is_heard = |found: &&IpAddr| {
        let any = |at: &&IpAddr| at.is_unspecified() && at.is_ipv4() == found.is_ipv4();
        listening.iter().any(|at| any(&at))
    };
    // Where the element listens on some addresses only, no other leads to it.
    let set = listening.iter().filter(|at| !at.is_unspecified());
    let mut addresses: Vec<_> = set.chain(found.iter().filter(is_heard)).copied().collect();
    addresses.retain(|address| {
        !needs_link(*address) && (!has_others || Scope::of(*address) != Scope::Loopback)
    });
    addresses.sort_by_key(|address| Scope::of(*address) != Scope::Public);
    addresses.dedup();
    if addresses.is_empty() && !has_others {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses
}

impl Place {
    /// Reads HOST or HOST:PORT; an IPv6 address with a port stands in brackets, and may without.
    fn parse(text: &str, port: u16) -> Option<Self> {
        let in_brackets = || text.strip_prefix('[')?.strip_suffix(']');
        let (host, port) = match in_brackets().unwrap_or(text).parse::<IpAddr>() {
            Ok(address) => (Host::Address(address), port),
            Err(_) if is_name(text) => (Host::Name(text.to_owned()), port),
            Err(_) => {
                let (host, port) = net::host_port(text)?;
                let host = match host.parse() {
                    Ok(address) => Host::Address(address),
                    Err(_) if is_name(&host) => Host::Name(host),
                    Err(_) => return None,
                };
                (host, port)
            }
        };
        Some(Self { host, port })
    }

    fn is_this_host(&self) -> bool {
        match &self.host {
            Host::Address(address) => Scope::of(*address) == Scope::Loopback,
            Host::Name(name) => name == "localhost",
        }
    }

    fn url(&self) -> String {
        format!("http://{}:{}/announce", self.host, self.port)
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// The announce URL of a source that is called there.
pub(super) fn url(address: SocketAddr) -> String {
    Place {
        host: Host::Address(address.ip()),
        port: address.port(),
    }
    .url()
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

fn is_name(host: &str) -> bool {
    host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
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
    fn public_addresses_come_first_and_as_they_are() {
        let urls = |host| {
            let announce = own(&settings(Some(host), "192.168.0.2"), 7764);
            announce.map(|announce| {
                assert_eq!(announce.private_host, None);
                announce.urls
            })
        };
        let local = "http://192.168.0.2:7764/announce";
        for (host, url) in [
            ("tv.example", "http://tv.example:7764/announce"),
            ("tv.example:8000", "http://tv.example:8000/announce"),
            ("198.51.100.1:8000", "http://198.51.100.1:8000/announce"),
            ("2001:db8::1", "http://[2001:db8::1]:7764/announce"),
            ("[2001:db8::1]", "http://[2001:db8::1]:7764/announce"),
            ("[2001:db8::1]:80", "http://[2001:db8::1]:80/announce"),
        ] {
            assert_eq!(urls(host).unwrap(), [url, local], "{host}");
        }
        assert_eq!(
            urls("tv.example:8000, 2001:db8::1").unwrap(),
            [
                "http://tv.example:8000/announce",
                "http://[2001:db8::1]:7764/announce",
                local
            ]
        );
        assert_eq!(urls("192.168.0.2").unwrap(), [local], "named already");
        for wrong in ["http://tv.example", "tv.example:0", "a b", "[tv.example]"] {
            assert!(urls(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_of_the_networks_are_left_out_on_request_and_where_this_host_alone_is_named() {
        for (host, address, local, urls) in [
            ("198.51.100.1", "192.168.0.2", false, &["198.51.100.1"][..]),
            ("127.0.0.1", "192.168.0.2", true, &["127.0.0.1"]),
            (
                "::1,localhost",
                "192.168.0.2",
                true,
                &["[::1]", "localhost"],
            ),
            // Who is called from outside through something on this host.
            ("tv.example", "127.0.0.1", true, &["tv.example"]),
            (
                "tv.example",
                "fe80::1,192.168.0.2",
                true,
                &["tv.example", "192.168.0.2"],
            ),
        ] {
            let mut settings = settings(Some(host), address);
            settings.local_addresses = local;
            let expected: Vec<_> = urls
                .iter()
                .map(|host| format!("http://{host}:1/announce"))
                .collect();
            let announce = own(&settings, 1).unwrap();
            assert_eq!(announce.urls, expected);
            assert_eq!(announce.is_this_host, !host.contains(['x', '9']), "{host}");
        }
    }

    #[test]
    fn without_a_public_address_those_of_the_networks_are_told_public_ones_first() {
        let announce = |address| own(&settings(None, address), 1).unwrap();
        let told = announce("192.168.0.2,2001:db8::2,fd00::2");
        assert_eq!(
            told.urls,
            ["[2001:db8::2]", "192.168.0.2", "[fd00::2]"]
                .map(|host| format!("http://{host}:1/announce"))
        );
        assert_eq!(told.private_host, None);
        let told = announce("127.0.0.1");
        assert_eq!(told.urls, ["http://127.0.0.1:1/announce"]);
        assert_eq!(told.private_host.as_deref(), Some("127.0.0.1"));
        // Whatever networks this host has, or none.
        let told = announce("0.0.0.0,::");
        let found = net::local_addresses();
        assert_eq!(told.urls.len(), found.len().max(1), "{told:?}");
        assert!(
            announce("0.0.0.0")
                .urls
                .iter()
                .all(|url| !url.contains('['))
        );
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
