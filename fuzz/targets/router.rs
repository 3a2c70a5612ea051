// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is taken for a home router's answer when it is asked for a port: by PCP or NAT-PMP, to a search for
//! UPnP devices, its description of itself, what it says to an order. Nothing in it leads to another
//! address, into a header or into a second request, and what was granted is what was asked for.

#![no_main]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::LazyLock,
};

use gstlivetorrent::proto::{
    igd::{self, Location, Service},
    port_control::{Answer, Request},
};
use libfuzzer_sys::fuzz_target;

static ROUTER: LazyLock<SocketAddr> = LazyLock::new(|| SocketAddr::from(([192, 168, 1, 1], 1900)));

const REQUEST: Request = Request {
    client: Ipv4Addr::new(192, 168, 1, 7),
    internal_port: 7764,
    external_port: 7764,
    nonce: *b"livetorrent!",
    lifetime: 1200,
};

/// Where a request may go: to the router, in one line.
fn stays_there(location: &Location) {
    assert_eq!(location.address.ip(), ROUTER.ip());
    assert_ne!(location.address.port(), 0);
    assert!(location.path.starts_with('/'));
    assert!(location.path.bytes().all(|byte| byte.is_ascii_graphic()));
}

fn is_somebody(address: Ipv4Addr) {
    assert!(!address.is_unspecified() && !address.is_broadcast() && !address.is_multicast());
}

fuzz_target!(|bytes: &[u8]| {
    match REQUEST.answer(bytes) {
        Some(Answer::Mapped { address, port, .. }) => {
            assert_ne!(port, 0);
            address.into_iter().for_each(is_somebody);
        }
        Some(Answer::Address(address)) => is_somebody(address),
        Some(Answer::Refused(_) | Answer::NotPcp) | None => {}
    }
    if let Some(location) = Location::of_answer(bytes, *ROUTER) {
        stays_there(&location);
        assert_eq!(
            Location::of_answer(format!("Location: {}", location.url()).as_bytes(), *ROUTER),
            Some(location)
        );
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    igd::address(text).into_iter().for_each(is_somebody);
    let described = Location {
        address: *ROUTER,
        path: "/root.xml".to_owned(),
    };
    if let Some(service) = Service::of_description(text, &described) {
        stays_there(&service.control);
        let header = service.header("AddPortMapping");
        assert!(header.bytes().all(|byte| byte.is_ascii_graphic()));
        // It is the service's own name that stands there, not what the router made of it.
        assert!(service.kind.starts_with("urn:schemas-upnp-org:service:"));
    }
    let _ = igd::error(text);
});
