// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Addresses of peers: the compact form (BEP 11, BEP 23, BEP 7) and the scope.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of an IPv4 address and port in compact form.
pub const COMPACT_V4_LEN: usize = 6;
/// Bytes of an IPv6 address and port in compact form.
pub const COMPACT_V6_LEN: usize = 18;

/// The two kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address. An IPv4 address that a dual-stack socket mapped to IPv6 counts as IPv4.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// IPv4 addresses in compact form; `None` where the length is no multiple of 6.
#[must_use]
pub fn read_compact_v4(bytes: &[u8]) -> Option<impl Iterator<Item = SocketAddr>> {
    let (chunks, rest) = bytes.as_chunks::<COMPACT_V4_LEN>();
    rest.is_empty().then(|| {
        chunks.iter().map(|&[a, b, c, d, high, low]| {
            let port = u16::from_be_bytes([high, low]);
            SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port)
        })
    })
}

/// IPv6 addresses in compact form; `None` where the length is no multiple of 18. An IPv4 address that
/// was mapped to IPv6 is one of IPv4.
#[must_use]
pub fn read_compact_v6(bytes: &[u8]) -> Option<impl Iterator<Item = SocketAddr>> {
    let (chunks, rest) = bytes.as_chunks::<COMPACT_V6_LEN>();
    rest.is_empty().then(|| {
        chunks.iter().map(|chunk| {
            let mut octets = [0; 16];
            octets.copy_from_slice(&chunk[..16]);
            let port = u16::from_be_bytes([chunk[16], chunk[17]]);
            SocketAddr::new(Ipv6Addr::from(octets).to_canonical(), port)
        })
    })
}

/// Appends an address in compact form to the string of its family. An IPv4 address that a
/// dual-stack socket mapped to IPv6 counts as IPv4.
pub fn write_compact(address: SocketAddr, v4: &mut Vec<u8>, v6: &mut Vec<u8>) {
    let port = address.port().to_be_bytes();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            v4.extend_from_slice(&ip.octets());
            v4.extend_from_slice(&port);
        }
        IpAddr::V6(ip) => {
            v6.extend_from_slice(&ip.octets());
            v6.extend_from_slice(&port);
        }
    }
}

/// Whether an address means nothing without the link that it is of (RFC 4007 §6), which no message names.
#[must_use]
pub const fn needs_link(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Whether a TCP connection to it can be tried at all: a port, and an address of one host.
#[must_use]
pub const fn is_dialable(address: &SocketAddr) -> bool {
    if address.port() == 0 {
        return false;
    }
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            // 0/8 is "this network" (RFC 1122 §3.2.1.3), never a destination.
            ip.octets()[0] != 0 && !ip.is_multicast() && !ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let has_link = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
            !ip.is_unspecified() && !ip.is_multicast() && (has_link || !needs_link(address.ip()))
        }
    }
}

/// Bits of an IPv6 address that a host chooses freely (RFC 4291 §2.5.4).
const HOST_BITS: u32 = 64;

/// What counts as one address where connections and liars are counted: an IPv4 address, or the /64 of
/// an IPv6 address, which is the least that a host gets.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() >> HOST_BITS << HOST_BITS).into()
        }
        address => address,
    }
}

/// The first and the last address that count as the same as this one.
#[must_use]
pub fn network_range(address: IpAddr) -> (IpAddr, IpAddr) {
    let first = network(address);
    let last = match first {
        IpAddr::V6(first) if !first.is_loopback() => {
            Ipv6Addr::from_bits(first.to_bits() | u128::MAX >> HOST_BITS).into()
        }
        only => only,
    };
    (first, last)
}

/// How far an address means something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This host.
    Loopback,
    /// A local network: RFC 1918, RFC 6598, RFC 4193 and link-local addresses.
    Private,
    /// Everywhere.
    Public,
}

impl Scope {
    /// The scope of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        let (loopback, private) = match address.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                let shared = a == 100 && b & 0b1100_0000 == 64;
                let local = ip.is_private() || ip.is_link_local() || shared;
                (ip.is_loopback(), local)
            }
            IpAddr::V6(ip) => {
                let local = ip.is_unique_local() || ip.is_unicast_link_local();
                (ip.is_loopback(), local)
            }
        };
        if loopback {
            Self::Loopback
        } else if private {
            Self::Private
        } else {
            Self::Public
        }
    }

    /// Whether an address of this scope may be told to, or taken from, a host of `other`'s:
    /// loopback and private ones only within the same scope (PROTOCOL §6, §8).
    #[must_use]
    pub fn is_shown_to(self, other: Self) -> bool {
        self == Self::Public || self == other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::SocketAddrV6;

    #[test]
    fn compact_addresses_are_octets_and_a_big_endian_port() {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        write_compact("1.2.3.4:258".parse().unwrap(), &mut v4, &mut v6);
        write_compact("[2001:db8::5]:80".parse().unwrap(), &mut v4, &mut v6);
        write_compact("[::ffff:9.8.7.6]:1".parse().unwrap(), &mut v4, &mut v6);
        assert_eq!(v4, [1, 2, 3, 4, 1, 2, 9, 8, 7, 6, 0, 1]);
        let expected = [
            0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 80,
        ];
        assert_eq!(v6, expected);
        let back: Vec<_> = read_compact_v4(&v4).unwrap().collect();
        assert_eq!(
            back,
            ["1.2.3.4:258", "9.8.7.6:1"].map(|text| text.parse().unwrap())
        );
        let back: Vec<_> = read_compact_v6(&v6).unwrap().collect();
        assert_eq!(back, ["[2001:db8::5]:80".parse().unwrap()]);
    }

    #[test]
    fn a_mapped_address_is_read_as_one_of_ipv4() {
        let mut mapped = Ipv4Addr::new(9, 8, 7, 6).to_ipv6_mapped().octets().to_vec();
        mapped.extend_from_slice(&[0, 1]);
        let read: Vec<_> = read_compact_v6(&mapped).unwrap().collect();
        assert_eq!(read, ["9.8.7.6:1".parse().unwrap()]);
    }

    #[test]
    fn a_compact_string_of_a_broken_length_is_no_list() {
        assert!(read_compact_v4(&[0; 7]).is_none());
        assert!(read_compact_v6(&[0; 19]).is_none());
    }

    #[test]
    fn each_address_has_the_scope_of_its_range() {
        for (address, scope) in [
            ("127.0.0.1", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("192.168.1.1", Scope::Private),
            ("169.254.1.1", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("fd00::1", Scope::Private),
            ("fe80::1", Scope::Private),
            ("100.128.0.1", Scope::Public),
            ("172.32.0.1", Scope::Public),
            ("8.8.8.8", Scope::Public),
            ("2001:db8::1", Scope::Public),
        ] {
            assert_eq!(Scope::of(address.parse().unwrap()), scope, "{address}");
        }
    }

    #[test]
    fn an_address_is_shown_to_those_of_its_scope_and_a_public_one_to_all() {
        use Scope::{Loopback, Private, Public};
        for (address, to) in [
            (Loopback, &[Loopback][..]),
            (Private, &[Private]),
            (Public, &[Public, Private, Loopback]),
        ] {
            for other in [Loopback, Private, Public] {
                assert_eq!(address.is_shown_to(other), to.contains(&other));
            }
        }
    }

    #[test]
    fn only_addresses_of_one_host_with_a_port_are_dialled() {
        for address in [
            "1.2.3.4:0",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
        ] {
            assert!(!is_dialable(&address.parse().unwrap()), "{address}");
        }
        assert!(is_dialable(&"127.0.0.1:1".parse().unwrap()));
        assert!(is_dialable(&"[2001:db8::1]:1".parse().unwrap()));
        let on_a_link = SocketAddrV6::new("fe80::1".parse().unwrap(), 1, 0, 2);
        assert!(is_dialable(&on_a_link.into()));
    }
}
