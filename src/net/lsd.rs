// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Local service discovery (BEP 14): peers of the same network, by multicast on each interface.
//!
//! Everybody says at times where it takes peers in; viewers call whom they hear of. A source calls
//! nobody: it answers whoever asks, with the same words, to that one alone.

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};

use futures_lite::future;
use if_addrs::{IfAddr, Interface};
use socket2::InterfaceIndexOrAddress;

use super::{
    discovery::Discovery,
    runtime::{Spawner, UdpSocket, sleep, udp, unblock},
};
use crate::proto::{
    address::Family,
    lsd::{GROUP_V4, GROUP_V6, MAX_DATAGRAM, PORT, Search, search},
    swarm::Origin,
};

/// Between two announces with few peers (BEP 14: not more often), and else.
const LONELY: Duration = Duration::from_secs(60);
const USUAL: Duration = Duration::from_secs(300);
/// After an error of a socket, which may be the next datagram's, too.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// Interfaces that are spoken on; there are no more on any sane host.
const MAX_INTERFACES: usize = 32;
/// Searches that are answered in a second.
const MAX_ANSWERS: u32 = 10;

/// Finds peers on the networks that this host is on.
#[derive(Debug)]
struct Lsd {
    discovery: Discovery,
    /// What we may speak from.
    addresses: Vec<SocketAddr>,
}

/// An address of ours on a network, and a socket there.
#[derive(Debug)]
struct Place {
    interface: Interface,
    /// Sends, and takes what is meant for us alone.
    socket: UdpSocket,
}

/// Something that came.
#[derive(Debug)]
struct Heard {
    from: SocketAddr,
    search: Search,
    /// It was said to all.
    to_all: bool,
}

/// Finds peers on the networks of `addresses`, and is found there, for as long as the driver is there.
pub(super) fn start(discovery: Discovery, addresses: Vec<SocketAddr>, spawner: &Spawner) {
    let lsd = Lsd {
        discovery,
        addresses,
    };
    spawner.spawn(async move { lsd.run().await });
}

impl Lsd {
    async fn run(self) {
        let cookie = format!("{:016x}", fastrand::u64(..));
        let mut watch = self.discovery.watch();
        let mut told = None;
        loop {
            // Anew each time: interfaces come and go.
            let places = self.places().await;
            let ears = ears(&places);
            if told != Some(places.len()) {
                told = Some(places.len());
                self.tried(0, format!("asked on {} networks", places.len()));
            }
            for place in &places {
                let (datagram, group) = self.words(place, &cookie);
                // What cannot be said on one network is said on others.
                let _ = place.socket.send_to(&datagram, group).await;
            }
            let began = Instant::now();
            let listen = self.listen(&places, &ears, &cookie);
            let rest = async { while watch.rest(began, LONELY, USUAL).await {} };
            future::or(rest, listen).await;
        }
    }

    fn tried(&self, peers: usize, outcome: String) {
        self.discovery.tried("local discovery", peers, outcome);
    }

    /// The networks that we are on and may speak to; not that of this host alone.
    async fn places(&self) -> Vec<Place> {
        // The system walks a list of its own for this.
        let interfaces = unblock(if_addrs::get_if_addrs).await.unwrap_or_default();
        let mut places: Vec<Place> = Vec::new();
        for interface in interfaces {
            let ip = interface.ip();
            let is_allowed = self.addresses.iter().any(|at| {
                at.ip() == ip || at.ip().is_unspecified() && at.is_ipv4() == ip.is_ipv4()
            });
            // A link-local address means nothing without the link, which no message names.
            let is_usable = !interface.is_loopback() && !interface.is_link_local();
            let is_known = places.iter().any(|place| {
                place.interface.name == interface.name
                    && place.interface.ip().is_ipv4() == ip.is_ipv4()
            });
            if !is_allowed || !is_usable || is_known || places.len() >= MAX_INTERFACES {
                continue;
            }
            if let Ok(socket) = speak(&interface) {
                places.push(Place { interface, socket });
            }
        }
        places
    }

    /// What we say on a network, and to whom.
    fn words(&self, place: &Place, cookie: &str) -> (Vec<u8>, SocketAddr) {
        let group = group(place.interface.ip());
        let datagram = search(
            &group.to_string(),
            self.discovery.ports.local(),
            self.discovery.infohash,
            cookie,
        );
        (datagram, group)
    }

    /// Handles what comes, for ever.
    async fn listen(&self, places: &[Place], ears: &[UdpSocket], cookie: &str) {
        let all = ears.iter().map(|ear| (ear, true));
        let alone = places.iter().map(|place| (&place.socket, false));
        let sockets: Vec<_> = all.chain(alone).collect();
        let hear = |place: usize| {
            let (socket, to_all) = sockets[place];
            Box::pin(self.hear(socket, to_all)) as Pin<Box<dyn Future<Output = Heard> + Send + '_>>
        };
        let mut hearing: Vec<_> = (0..sockets.len()).map(hear).collect();
        let mut quota = Quota::new(Instant::now());
        loop {
            let (place, heard) = future::poll_fn(|context| {
                for (place, one) in hearing.iter_mut().enumerate() {
                    if let Poll::Ready(heard) = one.as_mut().poll(context) {
                        return Poll::Ready((place, heard));
                    }
                }
                Poll::Pending
            })
            .await;
            hearing[place] = hear(place);
            let is_ours = heard.search.cookie.as_deref() == Some(cookie.as_bytes());
            let near = places
                .iter()
                .find(|place| is_on(&place.interface.addr, heard.from.ip()));
            let Some(near) = near.filter(|_| !is_ours && heard.search.names_stream) else {
                continue;
            };
            self.tell(&heard).await;
            if self.answers(&heard) && quota.take(Instant::now()) {
                let (datagram, _) = self.words(near, cookie);
                let _ = near.socket.send_to(&datagram, heard.from).await;
            }
        }
    }

    /// Whether it is for us to answer: who asks would call us, and does not hear of us otherwise.
    const fn answers(&self, heard: &Heard) -> bool {
        let is_open = self.discovery.ports.local() != 0;
        is_open && heard.to_all && (!self.discovery.viewer || heard.search.port == 0)
    }

    async fn tell(&self, heard: &Heard) {
        if self.discovery.viewer && heard.search.port != 0 {
            let address = SocketAddr::new(heard.from.ip(), heard.search.port);
            self.tried(1, format!("{address} is there"));
            self.discovery.found(Origin::Lan, vec![address]).await;
        }
    }

    /// The next search that comes.
    async fn hear(&self, socket: &UdpSocket, to_all: bool) -> Heard {
        // One byte more than is read shows that a datagram is too long.
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                sleep(AFTER_ERROR).await;
                continue;
            };
            if let Some(search) = Search::parse(&buffer[..length], self.discovery.infohash) {
                return Heard {
                    from,
                    search,
                    to_all,
                };
            }
        }
    }
}

/// Answers of the second that began then.
#[derive(Debug)]
struct Quota {
    second: Instant,
    answers: u32,
}

impl Quota {
    const fn new(now: Instant) -> Self {
        Self {
            second: now,
            answers: 0,
        }
    }

    /// Whether there may be one more.
    fn take(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            *self = Self::new(now);
        }
        self.answers += 1;
        self.answers <= MAX_ANSWERS
    }
}

fn group(ip: IpAddr) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => (GROUP_V4, PORT).into(),
        IpAddr::V6(_) => (GROUP_V6, PORT).into(),
    }
}

/// A socket that speaks to the network of this interface, and to no other.
fn speak(interface: &Interface) -> io::Result<UdpSocket> {
    let ip = interface.ip();
    let socket = udp(Family::of(ip))?;
    // Who is on this host too hears of us otherwise: from a tracker that both can reach.
    match ip {
        IpAddr::V4(ip) => {
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_loop_v4(false)?;
            socket.set_multicast_ttl_v4(1)?;
        }
        IpAddr::V6(_) => {
            socket.set_multicast_if_v6(interface.index.unwrap_or(0))?;
            socket.set_multicast_loop_v6(false)?;
            socket.set_multicast_hops_v6(1)?;
        }
    }
    socket.bind(&SocketAddr::new(ip, 0).into())?;
    Ok(std::net::UdpSocket::from(socket).into())
}

/// Sockets that hear what is said to all, one for each family that has a network; where one cannot be
/// had the other serves.
fn ears(places: &[Place]) -> Vec<UdpSocket> {
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let mut ears = Vec::new();
    for any in any {
        let networks = places.iter().map(|place| &place.interface);
        let networks: Vec<_> = networks
            .filter(|interface| interface.ip().is_ipv4() == any.is_ipv4())
            .collect();
        if !networks.is_empty() {
            ears.extend(hear_all(any, &networks));
        }
    }
    ears
}

fn hear_all(any: IpAddr, networks: &[&Interface]) -> io::Result<UdpSocket> {
    let socket = udp(Family::of(any))?;
    // Every program that takes part listens there.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(any, PORT).into())?;
    for interface in networks {
        // A network that cannot do it is left out.
        let _ = match interface.ip() {
            IpAddr::V4(ip) => {
                let index = interface.index.map(InterfaceIndexOrAddress::Index);
                let place = index.unwrap_or(InterfaceIndexOrAddress::Address(ip));
                socket.join_multicast_v4_n(&GROUP_V4, &place)
            }
            IpAddr::V6(_) => socket.join_multicast_v6(&GROUP_V6, interface.index.unwrap_or(0)),
        };
    }
    Ok(std::net::UdpSocket::from(socket).into())
}

/// Whether an address belongs to the network of one of ours.
fn is_on(ours: &IfAddr, other: IpAddr) -> bool {
    match (ours, other.to_canonical()) {
        (IfAddr::V4(ours), IpAddr::V4(other)) => {
            let mask = ours.netmask.to_bits();
            ours.ip.to_bits() & mask == other.to_bits() & mask
        }
        (IfAddr::V6(ours), IpAddr::V6(other)) => {
            let mask = ours.netmask.to_bits();
            ours.ip.to_bits() & mask == other.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::discovery::bench;

    fn lsd(viewer: bool, port: u16) -> Lsd {
        Lsd {
            discovery: bench(viewer, port).discovery,
            addresses: Vec::new(),
        }
    }

    fn heard(port: u16, to_all: bool) -> Heard {
        Heard {
            from: "10.0.0.2:6771".parse().unwrap(),
            search: Search {
                port,
                names_stream: true,
                cookie: None,
            },
            to_all,
        }
    }

    #[test]
    fn a_source_answers_who_asks_all_and_a_viewer_who_cannot_be_called() {
        for (viewer, ours, theirs, to_all, answers) in [
            (false, 1, 2, true, true),
            (false, 1, 0, true, true),
            (false, 1, 2, false, false),
            (true, 1, 2, true, false),
            (true, 1, 0, true, true),
            (true, 1, 0, false, false),
            (true, 0, 0, true, false),
        ] {
            let lsd = lsd(viewer, ours);
            assert_eq!(lsd.answers(&heard(theirs, to_all)), answers);
        }
    }

    #[test]
    fn only_a_few_of_many_questions_are_answered() {
        let now = Instant::now();
        let mut quota = Quota::new(now);
        let taken = (0..1000).filter(|_| quota.take(now)).count();
        assert_eq!(taken, MAX_ANSWERS as usize);
        assert!(quota.take(now + Duration::from_secs(1)));
    }

    #[test]
    fn a_network_is_what_its_mask_says() {
        let v4 = |ip: &str| {
            IfAddr::V4(if_addrs::Ifv4Addr {
                ip: ip.parse().unwrap(),
                netmask: "255.255.255.0".parse().unwrap(),
                prefixlen: 24,
                broadcast: None,
            })
        };
        let is_near = |other: &str| is_on(&v4("10.0.1.2"), other.parse().unwrap());
        assert!(is_near("10.0.1.77") && is_near("::ffff:10.0.1.3"));
        assert!(!is_near("10.0.2.2") && !is_near("fd00::1"));
    }

    #[test]
    fn each_network_has_one_place_and_this_host_alone_none() {
        let mut any = lsd(true, 1);
        any.addresses = vec!["0.0.0.0:1".parse().unwrap(), "[::]:1".parse().unwrap()];
        let places = future::block_on(any.places());
        let mut known: Vec<_> = places
            .iter()
            .map(|place| (place.interface.name.clone(), place.interface.ip().is_ipv4()))
            .collect();
        known.sort();
        known.dedup();
        assert_eq!(known.len(), places.len());
        assert!(places.iter().all(|place| !place.interface.is_loopback()));
        let mut alone = lsd(true, 1);
        alone.addresses = vec!["127.0.0.1:1".parse().unwrap()];
        assert!(future::block_on(alone.places()).is_empty());
    }
}
