// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The listening port: bound before the driver starts, so that a taken one is an error at once.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps until we take them.
const BACKLOG: i32 = 128;
/// Tries to find a port that is free on every address.
const PORT_TRIES: usize = 32;

/// Bound sockets: the one port of a peer, on one or two addresses.
#[derive(Debug)]
pub struct Listener {
    pub(super) sockets: Vec<TcpListener>,
    port: u16,
}

impl Listener {
    /// Listens on every one of `addresses` at one port; 0 picks it. An IPv6 address of a host
    /// without IPv6 is left out as long as another one is there.
    ///
    /// # Errors
    /// The socket's, e.g. that the port is taken; it names address and port.
    pub fn bind(addresses: &[IpAddr], port: u16) -> io::Result<Self> {
        let mut tries = if port == 0 { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match Self::bind_once(addresses, port) {
                // The port that the first address was given is taken on another.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
                outcome => return outcome,
            }
        }
    }

    fn bind_once(addresses: &[IpAddr], mut port: u16) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let mut left_out = None;
        for &address in addresses {
            let address = SocketAddr::new(address, port);
            match listen(address) {
                Ok(socket) => {
                    port = socket.local_addr()?.port();
                    sockets.push(socket);
                }
                Err(error) if address.is_ipv6() && lacks_ipv6(&error) => left_out = Some(error),
                Err(error) => return Err(error),
            }
        }
        if sockets.is_empty() {
            return Err(left_out.unwrap_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on")
            }));
        }
        Ok(Self { sockets, port })
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// A listening socket, or an error that says where.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    listen_bare(address).map_err(|error| {
        let kind = error.kind();
        let reason = match kind {
            io::ErrorKind::AddrInUse => "the port is taken".to_owned(),
            io::ErrorKind::PermissionDenied => "the port needs privileges".to_owned(),
            io::ErrorKind::AddrNotAvailable => "this host has no such address".to_owned(),
            _ => error.to_string(),
        };
        let (ip, port) = (address.ip(), address.port());
        // `raw_os_error` goes, the kind stays: it is what callers ask for.
        let kind = if lacks_ipv6(&error) {
            UNAVAILABLE
        } else {
            kind
        };
        io::Error::new(kind, format!("cannot listen on {ip} port {port}: {reason}"))
    })
}

fn listen_bare(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // The IPv4 socket beside it has the same port.
        socket.set_only_v6(true)?;
    }
    // A restarted broadcast gets its port back while old connections linger (RFC 9293 §3.6.1).
    // On Windows the option would let two programs share the port.
    #[cfg(not(windows))]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

const UNAVAILABLE: io::ErrorKind = io::ErrorKind::AddrNotAvailable;

/// Whether the host has no IPv6 at all, or not that address.
fn lacks_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own: no socket of that family can be made.
    error.kind() == UNAVAILABLE || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const EAFNOSUPPORT: i32 = 97;
#[cfg(windows)]
const EAFNOSUPPORT: i32 = 10047;
#[cfg(not(any(target_os = "linux", target_os = "android", windows)))]
const EAFNOSUPPORT: i32 = 47;

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::{Ipv4Addr, Ipv6Addr};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn port_0_picks_one_port_for_all_addresses() {
        let listener = Listener::bind(&[V4, V6], 0).unwrap();
        assert_ne!(listener.port(), 0);
        for socket in &listener.sockets {
            assert_eq!(socket.local_addr().unwrap().port(), listener.port());
        }
    }

    #[test]
    fn the_error_for_a_taken_port_names_it() {
        let first = Listener::bind(&[V4], 0).unwrap();
        let error = Listener::bind(&[V4], first.port()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(text.contains(&first.port().to_string()), "{text}");
        assert!(
            text.contains("127.0.0.1") && text.contains("taken"),
            "{text}"
        );
    }

    #[test]
    fn a_port_is_free_again_at_once() {
        let first = Listener::bind(&[V4], 0).unwrap();
        let port = first.port();
        drop(first);
        assert_eq!(Listener::bind(&[V4], port).unwrap().port(), port);
    }

    #[test]
    fn an_ipv6_address_the_host_lacks_is_left_out_but_not_alone() {
        // 2001:db8::/32 is for documentation: no host has it.
        let foreign = IpAddr::V6("2001:db8::1".parse().unwrap());
        let listener = Listener::bind(&[V4, foreign], 0).unwrap();
        assert_eq!(listener.sockets.len(), 1);
        let error = Listener::bind(&[foreign], 0).unwrap_err();
        assert!(error.to_string().contains("2001:db8::1"), "{error}");
    }

    #[test]
    fn no_address_and_a_foreign_ipv4_address_are_errors() {
        assert!(Listener::bind(&[], 0).is_err());
        let foreign = IpAddr::from([192, 0, 2, 1]);
        assert!(Listener::bind(&[V4, foreign], 0).is_err());
    }
}
