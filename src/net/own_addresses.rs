// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! By which of its addresses others know this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::local::usual_address_towards;
use crate::proto::address::{Family, needs_link};

/// Where Linux lists its addresses of IPv6 and what is special about each (proc(5)).
const LIST_V6: &str = "/proc/net/if_inet6";
/// `IFA_F_TEMPORARY`: it changes every day (RFC 8981).
const TEMPORARY: u32 = 0x01;
/// `IFA_F_DADFAILED`, `IFA_F_DEPRECATED` and `IFA_F_TENTATIVE`: it is of no use yet, or no more.
const USELESS: u32 = 0x08 | 0x20 | 0x40;

/// The address of this host by which its networks know it, one of each family: the default route's, or
/// without such a route an interface's; one that lasts, where there is such a one. No packet is sent.
#[must_use]
pub fn local_addresses() -> Vec<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): routed like any, and nobody's.
    let v4 = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let v6 = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
    let usable = |ip: &IpAddr| !ip.is_unspecified() && !ip.is_loopback() && !needs_link(*ip);
    let usual = |far| usual_address_towards(far).filter(usable).map(lasting);
    let far = [v4, v6].into_iter();
    far.filter_map(|far| usual(far).or_else(|| interface_address(Family::of(far))))
        .collect()
}

/// The first address of this family that means something to another host.
fn interface_address(family: Family) -> Option<IpAddr> {
    let mut interfaces = if_addrs::get_if_addrs().ok()?.into_iter();
    let is_usable = |interface: &if_addrs::Interface| {
        let ip = interface.ip();
        Family::of(ip) == family && !interface.is_loopback() && !interface.is_link_local()
    };
    interfaces.find(is_usable).map(|interface| interface.ip())
}

/// This address, or another one of the same network that is there tomorrow: the system speaks from one
/// that is not (RFC 6724, 5, rule 7), and a `.tstream` is kept for longer.
fn lasting(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        // Other systems have no such list.
        IpAddr::V6(ours) => std::fs::read_to_string(LIST_V6)
            .ok()
            .and_then(|list| instead_of(ours, &list))
            .map_or(ip, IpAddr::V6),
    }
}

/// What lasts on the network of a temporary address, as the list says.
fn instead_of(ip: Ipv6Addr, list: &str) -> Option<Ipv6Addr> {
    let addresses = || list.lines().filter_map(Line::parse);
    let of_ip = addresses().find(|line| line.ip == ip)?;
    let network = |ip: Ipv6Addr| ip.to_bits() >> 64;
    let lasts = |line: &Line| {
        line.interface == of_ip.interface
            && network(line.ip) == network(ip)
            && line.flags & (TEMPORARY | USELESS) == 0
    };
    (of_ip.flags & TEMPORARY != 0)
        .then(|| addresses().find(lasts))?
        .map(|line| line.ip)
}

/// One address of the list.
#[derive(Debug)]
struct Line {
    ip: Ipv6Addr,
    interface: u32,
    flags: u32,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let ip = u128::from_str_radix(words.next()?, 16).ok()?;
        let mut number = || u32::from_str_radix(words.next()?, 16).ok();
        let (interface, _prefix, _scope, flags) = (number()?, number()?, number()?, number()?);
        Some(Self {
            ip: Ipv6Addr::from_bits(ip),
            interface,
            flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
        20010db80001000200000000000000aa 02 40 00 01     eth0\n\
        20010db80001000200000000000000bb 02 40 00 20     eth0\n\
        20010db80001000300000000000000cc 02 40 00 00     eth0\n\
        20010db80001000200000000000000dd 03 40 00 00    wlan0\n\
        20010db80001000200000000000000ee 02 40 00 80     eth0\n\
        20010db8000900020000000000000011 04 40 00 01     eth1\n\
        no address\n";

    fn shown(ip: &str) -> Option<String> {
        instead_of(ip.parse().unwrap(), LIST).map(|ip| ip.to_string())
    }

    #[test]
    fn one_that_lasts_is_named_instead_of_a_temporary_one_of_its_network() {
        assert_eq!(
            shown("2001:db8:1:2::aa").as_deref(),
            Some("2001:db8:1:2::ee")
        );
        // It lasts; it is the only one; it is not listed.
        for ip in ["2001:db8:1:2::ee", "2001:db8:9:2::11", "2001:db8::7"] {
            assert_eq!(shown(ip), None, "{ip}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_list_is_as_it_is_read() {
        let list = std::fs::read_to_string(LIST_V6).unwrap_or_default();
        let read: Vec<_> = list.lines().filter_map(Line::parse).collect();
        assert_eq!(read.len(), list.lines().count());
        let known = if_addrs::get_if_addrs().unwrap();
        // Without those of a link, which have its number in them elsewhere.
        let mut read = read.iter().map(|line| line.ip);
        let is_known = |ip| needs_link(IpAddr::V6(ip)) || known.iter().any(|one| one.ip() == ip);
        assert!(read.all(is_known), "{list} {known:?}");
    }
}
