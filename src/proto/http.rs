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
    /// Whom the client thinks that it asks (`Host`, RFC 9110 §7.2), where that is an address.
    pub host: Option<SocketAddr>,
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
}

impl Refusal {
    /// The status code and its reason phrase (RFC 9110 §15).
    #[must_use]
    pub const fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::Method => "405 Method Not Allowed",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
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
        let target = origin_form(target).ok_or(Refusal::Malformed)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Some(Self {
            head_only,
            path: percent_decode_str(path).collect(),
            query: query.to_owned(),
            host: host(request.headers),
        }))
    }
}

/// The address in `Host`; none where that is a name, or missing.
fn host(headers: &[httparse::Header<'_>]) -> Option<SocketAddr> {
    const DEFAULT_PORT: u16 = 80;
    let header = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("host"))?;
    let text = std::str::from_utf8(header.value).ok()?.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let without_port = || Some(SocketAddr::new(bare.parse::<IpAddr>().ok()?, DEFAULT_PORT));
    let address = text.parse().ok().or_else(without_port)?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

/// Path and query of a request target; the absolute form is for proxies (RFC 9112 §3.2.2), but a
/// server has to take it.
fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let rest = target.strip_prefix("http://")?;
    Some(rest.find('/').map_or("/", |slash| &rest[slash..]))
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

    #[test]
    fn the_host_is_an_address_or_none() {
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
            let head = format!("GET / HTTP/1.1\r\n{host}\r\n\r\n");
            let request = Request::parse(head.as_bytes()).unwrap().unwrap();
            assert_eq!(request.host.map(|at| at.to_string()).as_deref(), address);
        }
    }
}
