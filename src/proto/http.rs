// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Heads of HTTP requests on the source's port (PROTOCOL §8): bytes in, request out.

use std::net::{IpAddr, SocketAddr};

use percent_encoding::percent_decode_str;

/// Bytes of a request line and its headers.
const MAX_HEAD: usize = 8 * 1024;
/// Headers of a request; browsers send about twenty.
const MAX_HEADERS: usize = 64;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// HEAD: the answer without its body.
    pub head_only: bool,
    /// Percent-decoded.
    pub path: Vec<u8>,
    /// As it stands.
    pub query: String,
    /// Whom the client thinks that it asks (RFC 9110 §7.2); none: it does not say.
    pub host: Option<Host>,
    /// It came through another server that says so (RFC 9110 §7.6.3, RFC 7239, and what was before), or
    /// speaks HTTP/1.0, as relays may that say nothing, and browsers have not for long.
    pub relayed: bool,
    /// It takes OpenMetrics, as Prometheus does.
    pub takes_openmetrics: bool,
}

/// Whom a client thinks that it asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// An address, which nobody had to look up.
    Address(SocketAddr),
    /// `localhost`, which no name server is asked for (RFC 6761 §6.3).
    Localhost,
    /// A name, for which somebody's name server answers; or nothing that is understood.
    Name,
}

/// Why there is no answer but an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is no request (RFC 9112).
    Malformed,
    /// There is nothing at that path.
    NotFound,
    /// The method is neither GET nor HEAD.
    Method,
    /// The head is over 8 KiB or has more than 64 headers.
    HeadTooLarge,
    /// It is for this host alone, and comes from elsewhere.
    Forbidden,
    /// It bears the name of another server.
    Misdirected,
    /// As many as can be are served already.
    Busy,
}

impl Refusal {
    /// The status code and its reason phrase (RFC 9110 §15).
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Forbidden => "403 Forbidden",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::Misdirected => "421 Misdirected Request",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Busy => "503 Service Unavailable",
        }
    }
}

impl Request {
    /// Reads a request's head. `None`: it is not whole yet.
    ///
    /// # Errors
    /// [`Refusal`] as soon as it can be no request that is answered.
    pub fn parse(head: &[u8]) -> Result<Option<Self>, Refusal> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(head) {
            Ok(httparse::Status::Partial) if head.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Complete(length)) if length <= MAX_HEAD => {}
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
            Err(_) => return Err(Refusal::Malformed),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(Refusal::Malformed);
        };
        let head_only = match method {
            "GET" => false,
            "HEAD" => true,
            _ => return Err(Refusal::Method),
        };
        let (authority, target) = origin_form(target).ok_or(Refusal::Malformed)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parsed = Self {
            head_only,
            path: percent_decode_str(path).collect(),
            query: query.to_owned(),
            host: None,
            relayed: request.version == Some(0),
            takes_openmetrics: false,
        };
        for header in request.headers.iter() {
            parsed.take(header)?;
        }
        if let Some(authority) = authority {
            // It counts, and not the header (RFC 9112 §3.2.2).
            parsed.host = Some(Host::parse(authority));
        }
        Ok(Some(parsed))
    }

    fn take(&mut self, header: &httparse::Header<'_>) -> Result<(), Refusal> {
        const RELAYED: [&str; 5] = [
            "via",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-real-ip",
        ];
        let value = String::from_utf8_lossy(header.value);
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("host") && self.host.replace(Host::parse(value.trim())).is_some() {
            // RFC 9112 §3.2.
            return Err(Refusal::Malformed);
        }
        self.relayed |= RELAYED.into_iter().any(is);
        self.takes_openmetrics |= is("accept") && value.contains("application/openmetrics-text");
        Ok(())
    }

    /// The address in [`Self::host`].
    #[must_use]
    pub const fn host_address(&self) -> Option<SocketAddr> {
        match self.host {
            Some(Host::Address(address)) => Some(address),
            _ => None,
        }
    }
}

impl Host {
    /// Reads host, or host and port.
    fn parse(text: &str) -> Self {
        const DEFAULT_PORT: u16 = 80;
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let without_port = || Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, DEFAULT_PORT));
        if let Some(address) = text.parse().ok().or_else(without_port) {
            return Self::Address(SocketAddr::new(address.ip().to_canonical(), address.port()));
        }
        let (name, port) = text.split_once(':').unwrap_or((text, ""));
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
        if name.eq_ignore_ascii_case("localhost") && is_port {
            Self::Localhost
        } else {
            Self::Name
        }
    }

    /// Whether it is this machine, whatever name servers say.
    #[must_use]
    pub const fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.ip().is_loopback(),
            Self::Localhost => true,
            Self::Name => false,
        }
    }
}

/// Host, and path with query, of a request target; the absolute form is for proxies (RFC 9112
/// §3.2.2), but a server has to take it.
fn origin_form(target: &str) -> Option<(Option<&str>, &str)> {
    if target.starts_with('/') {
        return Some((None, target));
    }
    let rest = target.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Some((Some(authority), if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_over_8_kib_or_of_too_many_headers_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MAX_HEAD));
        assert_eq!(Request::parse(long.as_bytes()), Err(Refusal::HeadTooLarge));
        let many = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(Request::parse(many.as_bytes()), Err(Refusal::HeadTooLarge));
        assert_eq!(Request::parse(&long.as_bytes()[..MAX_HEAD - 1]), Ok(None));
    }

    fn parse(head: &str) -> Request {
        Request::parse(head.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn the_host_is_an_address_localhost_or_a_name() {
        for (host, address) in [
            ("Host: 198.51.100.1:7764", Some("198.51.100.1:7764")),
            ("host:198.51.100.1", Some("198.51.100.1:80")),
            ("Host: [2001:db8::1]:7764", Some("[2001:db8::1]:7764")),
            ("Host: [2001:db8::1]", Some("[2001:db8::1]:80")),
            ("Host: [::ffff:198.51.100.1]:7", Some("198.51.100.1:7")),
            ("Host: tv.example:7764", None),
            ("Host: 198.51.100.1:99999", None),
            ("Host:", None),
            ("Host: \u{e9}", None),
            ("Other: 198.51.100.1", None),
        ] {
            let request = parse(&format!("GET / HTTP/1.1\r\n{host}\r\n\r\n"));
            let found = request.host_address().map(|at| at.to_string());
            assert_eq!(found.as_deref(), address);
            assert_eq!(
                request.host.is_some(),
                host.to_lowercase().starts_with("host")
            );
        }
        for (host, is_here) in [
            ("localhost", true),
            ("LOCALHOST:7764", true),
            ("127.1.2.3:7764", true),
            ("[::1]:7764", true),
            ("localhost.attacker.example", false),
            ("127.0.0.1.attacker.example", false),
            ("localhost:7764:x", false),
            ("localhost:x", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(Host::parse(host).is_loopback(), is_here, "{host}");
        }
    }

    #[test]
    fn the_host_is_the_targets_or_the_headers_and_there_is_one() {
        let request = parse("GET http://192.0.2.1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(request.path, b"/");
        assert_eq!(request.host_address(), "192.0.2.1:80".parse().ok());
        let two = b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n";
        assert_eq!(Request::parse(two), Err(Refusal::Malformed));
    }

    #[test]
    fn a_relay_and_what_is_accepted_are_seen() {
        for header in [
            "X-Forwarded-For: 192.0.2.1",
            "via: 1.1 a",
            "Forwarded: for=a",
        ] {
            let request = parse(&format!("GET / HTTP/1.1\r\n{header}\r\n\r\n"));
            assert!(request.relayed && !request.takes_openmetrics);
        }
        assert!(parse("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").relayed);
        let accept = "text/plain;q=0.3, application/openmetrics-text;version=1.0.0;q=0.8";
        let request = parse(&format!("GET / HTTP/1.1\r\nAccept: {accept}\r\n\r\n"));
        assert!(!request.relayed && request.takes_openmetrics);
    }
}
