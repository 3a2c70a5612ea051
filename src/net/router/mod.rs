// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The router of this network, and a port of its own that it maps to us: by PCP, else by NAT-PMP, else
//! by UPnP. All of it blocks, for seconds at most.
//!
//! Crates were looked at. crab_nat (NAT-PMP, PCP) needs tokio. igd-next (UPnP) is sound, but takes the
//! first device that answers for the router, whatever its address, sends each order by the
//! environment's HTTP proxy and waits ten seconds for the answer, where an end has a fifth of one; and it
//! brings an HTTP client, an XML reader and the tables of international names for three orders of ten
//! lines. So the bytes are ours (`proto::port_control`, `proto::igd`), and HTTP is ureq's, as elsewhere.

mod port_control;
mod upnp;

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use super::local::Local;
use crate::proto::{
    address::Scope,
    igd::{self, Service},
    port_control::PORT,
};

/// Where Linux tells its routes by IPv4. Elsewhere no router is found.
const ROUTES: &str = "/proc/net/route";
/// Bytes of it that are read: a default route stands among the first.
const MAX_ROUTES: u64 = 256 * 1024;
/// Flags of a route: it is up, and leads to a router (Linux, `route.h`).
const UP_BY_ROUTER: u32 = 0x3;
/// For how long a port is asked for. It is asked for again after half of that, and who ends without
/// a word keeps it no longer.
pub(super) const LEASE: Duration = Duration::from_secs(20 * 60);

/// The router of the default route, and our address on its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Router {
    /// Its address there.
    pub(super) gateway: Ipv4Addr,
    client: Ipv4Addr,
    /// Where it takes questions by PCP and NAT-PMP,
    control: SocketAddr,
    /// and where those by SSDP go.
    search: SocketAddr,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    /// Where we listen.
    pub(super) internal_port: u16,
    /// What we would like outside.
    pub(super) external_port: u16,
    /// Tells our mappings from others' (PCP); the same for as long as we want one.
    pub(super) nonce: [u8; 12],
}

/// A port of the router's that leads to us.
#[derive(Debug, Clone)]
pub(super) struct Mapping {
    router: Router,
    wish: Wish,
    by: By,
    /// The router's address outside, where it said that.
    address: Option<Ipv4Addr>,
    port: u16,
    /// How long it lasts; what would last for ever counts as this, too.
    pub(super) lifetime: Duration,
}

/// The protocol that the router took.
#[derive(Debug, Clone)]
enum By {
    Pcp,
    NatPmp,
    Upnp(Service),
}

impl Router {
    /// The one that the default route of IPv4 leads to, where we may speak to it and need to.
    ///
    /// # Errors
    /// In words: why there is nothing to ask.
    pub(super) fn find(local: &Local) -> Result<Self, String> {
        let mut routes = String::new();
        let read =
            File::open(ROUTES).and_then(|file| file.take(MAX_ROUTES).read_to_string(&mut routes));
        read.map_err(|error| format!("no route can be read: {error}"))?;
        let gateway = default_gateway(&routes).ok_or("there is no default route by IPv4")?;
        let from = local.towards(gateway.into());
        let from = from.map_err(|error| format!("{gateway} is not asked: {error}"))?;
        let router = Self {
            gateway,
            client: Ipv4Addr::UNSPECIFIED,
            control: (gateway, PORT).into(),
            search: (igd::GROUP, igd::PORT).into(),
        };
        let client = router
            .client_from(from)
            .map_err(|error| format!("{gateway} is not asked: {error}"))?;
        match Scope::of(client.into()) {
            Scope::Private => Ok(Self { client, ..router }),
            Scope::Public => Err(format!("{client} is a public address, and needs none")),
            Scope::Loopback => Err(format!("nobody outside this host reaches {client}")),
        }
    }

    /// The address that the router sees us at.
    fn client_from(&self, from: Option<IpAddr>) -> io::Result<Ipv4Addr> {
        let from = from.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into());
        let socket = UdpSocket::bind((from, 0))?;
        socket.connect(self.control)?;
        match socket.local_addr()?.ip() {
            IpAddr::V4(client) => Ok(client),
            IpAddr::V6(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// Asks for a port, in one way after the other.
    ///
    /// # Errors
    /// In words: what the router said to each.
    pub(super) fn map(&self, wish: Wish) -> Result<Mapping, String> {
        port_control::map(self, wish).or_else(|first| {
            let by_upnp = upnp::map(self, wish);
            by_upnp.map_err(|second| format!("{first}; UPnP: {second}"))
        })
    }
}

impl Mapping {
    /// Asks for it again, in the way that it was given.
    ///
    /// # Errors
    /// In words: what the router said.
    pub(super) fn renew(&self) -> Result<Self, String> {
        let wish = Wish {
            external_port: self.port,
            ..self.wish
        };
        match &self.by {
            By::Pcp | By::NatPmp => port_control::map(&self.router, wish),
            By::Upnp(service) => upnp::map_by(&self.router, service.clone(), wish),
        }
    }

    /// Gives it back, within `limit`. A router that does not hear of it keeps it no longer than that lasts.
    pub(super) fn give_back(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        match &self.by {
            By::Pcp | By::NatPmp => port_control::give_back(self, deadline),
            By::Upnp(service) => upnp::give_back(self, service, limit),
        }
    }

    /// Whose it is.
    pub(super) const fn router(&self) -> &Router {
        &self.router
    }

    /// Where those outside reach us, if they do: a router behind another router has no address there.
    pub(super) fn outside(&self) -> Option<SocketAddrV4> {
        let address = self.address?;
        let is_public = Scope::of(address.into()) == Scope::Public;
        is_public.then_some(SocketAddrV4::new(address, self.port))
    }

    /// The port that those outside call; ours, where it is known that they cannot.
    pub(super) fn port(&self) -> u16 {
        match (self.address, self.outside()) {
            (Some(_), None) => self.wish.internal_port,
            _ => self.port,
        }
    }
}

impl std::fmt::Display for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { router, port, .. } = self;
        let by = match self.by {
            By::Pcp => "PCP",
            By::NatPmp => "NAT-PMP",
            By::Upnp(_) => "UPnP",
        };
        write!(f, "the router {} maps ", router.gateway)?;
        match self.address {
            Some(address) => write!(f, "{address}:{port}")?,
            None => write!(f, "its port {port}")?,
        }
        write!(f, " by {by}")?;
        match (self.address, self.outside()) {
            (Some(_), None) => {
                f.write_str(", which is no public address: another stands before it")
            }
            _ => Ok(()),
        }
    }
}

/// The gateway of the default route with the lowest metric, in what Linux tells of its routes.
fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    let default = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
            return None;
        };
        let hex = |field| u32::from_str_radix(field, 16).ok();
        let is_default = hex(destination)? == 0 && hex(mask)? == 0;
        let leads = hex(flags)? & UP_BY_ROUTER == UP_BY_ROUTER;
        // It is written as the number that its bytes are in memory.
        let gateway = Ipv4Addr::from(hex(gateway)?.to_ne_bytes());
        let metric: u32 = metric.parse().ok()?;
        (is_default && leads && !gateway.is_unspecified()).then_some((metric, gateway))
    });
    // The first of several, as the system takes it.
    default
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, gateway)| gateway)
}

#[cfg(test)]
pub(super) use tests::{pcp, router, serve, socket};

#[cfg(test)]
mod tests {
    use super::*;

    use std::thread;

    use crate::proto::port_control::MAX_DATAGRAM;

    pub(super) const WISH: Wish = Wish {
        internal_port: 7764,
        external_port: 7764,
        nonce: *b"twelve bytes",
    };

    /// A router on this host, whose sockets are these.
    pub(in crate::net) fn router(control: &UdpSocket, search: &UdpSocket) -> Router {
        Router {
            gateway: Ipv4Addr::LOCALHOST,
            client: Ipv4Addr::LOCALHOST,
            control: control.local_addr().unwrap(),
            search: search.local_addr().unwrap(),
        }
    }

    pub(in crate::net) fn socket() -> UdpSocket {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let limit = Some(Duration::from_secs(20));
        socket.set_read_timeout(limit).unwrap();
        socket
    }

    /// A router that answers so many datagrams with what `answer` makes of them, and each of these.
    pub(in crate::net) fn serve(
        socket: UdpSocket,
        number: usize,
        answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> thread::JoinHandle<Vec<Vec<u8>>> {
        thread::spawn(move || {
            let mut buffer = [0; MAX_DATAGRAM];
            let heard = (0..number).map(|_| {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let datagram = buffer[..length].to_vec();
                if let Some(answer) = answer(&datagram) {
                    socket.send_to(&answer, from).unwrap();
                }
                datagram
            });
            heard.collect()
        })
    }

    /// As a router would that speaks PCP and gives port 40000 for an hour.
    pub(in crate::net) fn pcp(datagram: &[u8]) -> Option<Vec<u8>> {
        let mut answer = datagram.to_vec();
        answer[1] |= 0x80;
        answer[4..8].copy_from_slice(&3600_u32.to_be_bytes());
        answer[8..24].fill(0);
        answer[42..44].copy_from_slice(&40_000_u16.to_be_bytes());
        answer[56..60].copy_from_slice(&[198, 51, 100, 7]);
        Some(answer)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_gateway_is_that_of_the_default_route_with_the_lowest_metric() {
        const HEAD: &str =
            "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
        let gateway = |routes: &str| {
            default_gateway(&format!("{HEAD}{routes}")).map(|gateway| gateway.to_string())
        };
        let usual = "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
        assert_eq!(gateway(usual).as_deref(), Some("192.168.0.1"));
        let better = "eth0 00000000 FE01A8C0 0003 0 0 100 00000000 0 0 0\n";
        assert_eq!(
            gateway(&format!("{usual}{better}")).as_deref(),
            Some("192.168.1.254")
        );
        for none in [
            "",
            // A network, half of all addresses, a route that is down, one without a router.
            "eth0 0000A8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n",
            "tun0 00000000 0100A8C0 0003 0 0 0 00000080 0 0 0\n",
            "eth0 00000000 0100A8C0 0002 0 0 0 00000000 0 0 0\n",
            "ppp0 00000000 00000000 0001 0 0 0 00000000 0 0 0\n",
            "eth0 00000000 0100A8C0\n",
            "eth0 zero 0100A8C0 0003 0 0 0 00000000 0 0 0\n",
        ] {
            assert_eq!(gateway(none), None, "{none}");
        }
        assert_eq!(default_gateway(""), None);
    }

    #[test]
    fn a_mapping_says_where_those_outside_reach_us() {
        let (control, search) = (socket(), socket());
        let mapping = |address: Option<[u8; 4]>| Mapping {
            router: router(&control, &search),
            wish: WISH,
            by: By::NatPmp,
            address: address.map(Ipv4Addr::from),
            port: 40_000,
            lifetime: LEASE,
        };
        let public = mapping(Some([198, 51, 100, 7]));
        assert_eq!(public.outside(), "198.51.100.7:40000".parse().ok());
        assert_eq!(public.port(), 40_000);
        assert_eq!(
            public.to_string(),
            "the router 127.0.0.1 maps 198.51.100.7:40000 by NAT-PMP"
        );
        let unknown = mapping(None);
        assert_eq!((unknown.outside(), unknown.port()), (None, 40_000));
        let inner = mapping(Some([100, 64, 0, 1]));
        assert_eq!((inner.outside(), inner.port()), (None, 7764));
        assert!(inner.to_string().contains("no public address"));
    }

    #[test]
    fn whoever_speaks_from_this_host_alone_asks_no_router() {
        let local = Local::new(&[Ipv4Addr::LOCALHOST.into()]);
        assert!(Router::find(&local).is_err());
        let v6 = Local::new(&["::".parse().unwrap()]);
        assert!(Router::find(&v6).is_err());
    }
}
