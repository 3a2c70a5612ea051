// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Names of peers: read, looked up, and looked up again.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use async_channel::Sender;

use super::{
    back_off::BackOff,
    discovery::Discovery,
    runtime::{resolve, sleep},
};

/// For one look-up.
const LOOKUP_TIME: Duration = Duration::from_secs(10);
/// Between tries of a name that does not resolve, grown to this from the first.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// A name that resolved is asked for again: hosts move.
const REFRESH: Duration = Duration::from_secs(300);

/// HOST:PORT.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct HostPort {
    pub(super) host: String,
    pub(super) port: u16,
}

impl HostPort {
    /// Reads `host:port`, `1.2.3.4:port` or `[v6]:port`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let port = port.parse().ok().filter(|&port| port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?,
            // More colons: an IPv6 address without brackets, whose port is anybody's guess.
            None if host.contains(':') => return None,
            None => host,
        };
        Self::new(host, port)
    }

    /// The far end of a URL, with the scheme's port where it names none and its scheme has one.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let url: ureq::http::Uri = url.parse().ok()?;
        let default = match url.scheme_str()? {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().or(default).filter(|&port| port != 0)?;
        Self::new(host, port)
    }

    /// Where the source is, if this is its own announce URL: http alone may be (PROTOCOL §8), since a
    /// source speaks no TLS on its port.
    pub(super) fn of_source(url: &str) -> Option<Self> {
        let is_http = url.starts_with("http:");
        Self::of_url(url).filter(|_| is_http)
    }

    fn new(host: &str, port: u16) -> Option<Self> {
        let host = host.to_owned();
        (!host.is_empty()).then_some(Self { host, port })
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

/// Looks a name up and tells whoever wants to know, for as long as that is there. An address is told
/// once: nobody forgets those. What fails is what came of this way to peers.
pub(super) async fn keep_resolving<T>(
    target: HostPort,
    way: String,
    discovery: Discovery,
    told: Sender<T>,
    say: impl Fn(Vec<SocketAddr>) -> T,
) {
    let mut back_off = BackOff::new(RETRY);
    let mut has_failed = false;
    loop {
        let wait = match resolve(target.host.clone(), target.port, LOOKUP_TIME).await {
            Ok(addresses) if !addresses.is_empty() => {
                if std::mem::take(&mut has_failed) {
                    discovery.ways.forget(&way);
                }
                let known_for_good = target.host.parse::<IpAddr>().is_ok();
                if told.send(say(addresses)).await.is_err() || known_for_good {
                    return;
                }
                back_off.reset();
                REFRESH
            }
            outcome => {
                let reason = match outcome {
                    Ok(_) => "it has no address".to_owned(),
                    Err(error) => error.to_string(),
                };
                has_failed = true;
                discovery.leads_nowhere(&way, format!("cannot be looked up: {reason}"));
                back_off.next()
            }
        };
        sleep(wait).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::discovery::bench;
    use futures_lite::future;

    fn shown(target: Option<HostPort>) -> Option<String> {
        target.map(|target| target.to_string())
    }

    #[test]
    fn host_and_port_are_read_and_shown() {
        for text in ["example.org:80", "192.0.2.1:7764", "[2001:db8::1]:1"] {
            assert_eq!(shown(HostPort::parse(text)).as_deref(), Some(text));
        }
        for text in [
            "",
            "host",
            ":80",
            "host:",
            "host:0",
            "host:70000",
            "::1:80",
            "[::1:80",
            "[]:80",
        ] {
            assert_eq!(HostPort::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_far_end_of_a_url_has_the_port_of_its_scheme() {
        for (url, target) in [
            ("http://example.org:7764/announce", Some("example.org:7764")),
            ("http://example.org/announce", Some("example.org:80")),
            ("https://example.org/announce", Some("example.org:443")),
            (
                "http://[2001:db8::1]:7764/announce",
                Some("[2001:db8::1]:7764"),
            ),
            ("udp://example.org:1/announce", Some("example.org:1")),
            ("udp://example.org/announce", None),
            ("http://example.org:0/announce", None),
            ("announce", None),
        ] {
            assert_eq!(shown(HostPort::of_url(url)).as_deref(), target, "{url}");
        }
    }

    #[test]
    fn only_who_announces_by_http_may_be_the_source() {
        for (url, target) in [
            ("http://example.org:7764/announce", Some("example.org:7764")),
            ("https://example.org/announce", None),
            ("udp://example.org:1/announce", None),
        ] {
            assert_eq!(shown(HostPort::of_source(url)).as_deref(), target, "{url}");
        }
    }

    #[test]
    fn a_name_becomes_addresses_and_an_address_is_told_once() {
        let (tell, told) = async_channel::bounded(4);
        let bench = bench(true, 1);
        let target = HostPort::parse("127.0.0.1:9").unwrap();
        let discovery = bench.discovery.clone();
        let way = "peer 127.0.0.1:9".to_owned();
        future::block_on(keep_resolving(target, way, discovery, tell, |addresses| {
            addresses
        }));
        assert_eq!(told.try_recv(), Ok(vec!["127.0.0.1:9".parse().unwrap()]));
        assert!(told.try_recv().is_err());
        assert!(bench.discovery.ways.all().is_empty());
    }

    #[test]
    fn a_name_that_nobody_has_is_among_the_reasons() {
        let (tell, _told) = async_channel::bounded::<Vec<SocketAddr>>(4);
        let bench = bench(true, 1);
        let target = HostPort::parse("nobody.invalid:9").unwrap();
        let discovery = bench.discovery.clone();
        let way = "peer nobody.invalid:9".to_owned();
        let said = async {
            while bench.notices.try_recv().is_err() {
                future::yield_now().await;
            }
        };
        let looking = keep_resolving(target, way, discovery, tell, |addresses| addresses);
        future::block_on(future::or(said, looking));
        let reasons = bench.discovery.ways.reasons();
        assert!(
            reasons[0].starts_with("peer nobody.invalid:9: cannot be looked up: "),
            "{reasons:?}"
        );
    }
}
