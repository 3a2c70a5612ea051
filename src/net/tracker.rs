// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One announce to one tracker, over HTTP or UDP, by IPv4 and by IPv6 where it has both: a tracker
//! learns the address that it is asked from, and tells viewers of the same family (BEP 7, BEP 15).

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    client::{self, Via},
    local::{Local, any},
    lookup::HostPort,
    runtime::resolve,
};
use crate::proto::{
    address::Family,
    tracker::{
        Announce, AnnounceResponse, UdpAnnounce,
        udp::{MAX_DATAGRAM, Progress},
    },
};

/// To look its name up.
const LOOKUP_TIME: Duration = Duration::from_secs(10);
/// For one answer.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// For the last word.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// Bytes of an answer over HTTP: thousands of peers.
const MAX_ANSWER: usize = 256 * 1024;

/// A tracker that we can speak to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tracker {
    url: String,
    target: HostPort,
    transport: Transport,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Http,
    Udp,
}

impl Tracker {
    /// Reads an announce URL.
    ///
    /// # Errors
    /// Why it cannot be announced to.
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let transport = match url.split(':').next() {
            Some("http" | "https") => Transport::Http,
            Some("udp") => Transport::Udp,
            _ => return Err("it is no http, https or udp URL"),
        };
        let target = HostPort::of_url(url).ok_or("it names no host and port")?;
        let url = url.to_owned();
        Ok(Self {
            url,
            target,
            transport,
        })
    }

    /// The URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Where to ask: an address of each family that it has.
    ///
    /// # Errors
    /// In words: why there is none.
    pub(super) async fn addresses(&self) -> Result<[Option<SocketAddr>; 2], String> {
        let HostPort { host, port } = self.target.clone();
        let found = match host.parse() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => resolve(host, port, LOOKUP_TIME)
                .await
                .map_err(|error| format!("cannot look up {}: {error}", self.target.host))?,
        };
        Ok(one_of_each(found))
    }

    /// Asks at one of [`Self::addresses`]. Blocks.
    ///
    /// # Errors
    /// In words: what failed.
    pub(super) fn ask(
        &self,
        address: SocketAddr,
        request: Announce,
        local: &Local,
    ) -> Result<AnnounceResponse, String> {
        self.ask_within(address, request, local, ANSWER_TIME)
    }

    /// Tells it at one of [`Self::addresses`] what needs no answer. Blocks.
    ///
    /// # Errors
    /// In words: what failed.
    pub(super) fn tell(
        &self,
        address: SocketAddr,
        request: Announce,
        local: &Local,
    ) -> Result<AnnounceResponse, String> {
        self.ask_within(address, request, local, FAREWELL_TIME)
    }

    fn ask_within(
        &self,
        address: SocketAddr,
        request: Announce,
        local: &Local,
        limit: Duration,
    ) -> Result<AnnounceResponse, String> {
        let family = Family::of(address.ip());
        let from = local
            .towards(address.ip())
            .map_err(|error| format!("{address} is not asked: {error}"))?;
        match self.transport {
            Transport::Http => {
                let url = request.url(&self.url);
                let answer = client::get(&url, MAX_ANSWER, limit, Via::Direct(family, from))?;
                AnnounceResponse::parse(&answer).map_err(|reason| reason.to_string())
            }
            Transport::Udp => {
                let exchange = UdpAnnounce::new(request, family, fastrand::Rng::new());
                exchange_datagrams(address, from, exchange, limit).map_err(|error| {
                    match error.kind() {
                        io::ErrorKind::TimedOut => format!("no answer within {limit:?}"),
                        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
                        _ => error.to_string(),
                    }
                })
            }
        }
    }
}

fn one_of_each(addresses: impl IntoIterator<Item = SocketAddr>) -> [Option<SocketAddr>; 2] {
    let mut first = [None; 2];
    for address in addresses {
        first[usize::from(address.is_ipv6())].get_or_insert(address);
    }
    first
}

/// Sends requests and takes answers until that is through, or `limit` is over.
fn exchange_datagrams(
    address: SocketAddr,
    from: Option<IpAddr>,
    mut exchange: UdpAnnounce,
    limit: Duration,
) -> io::Result<AnnounceResponse> {
    let from = from.unwrap_or_else(|| any(address.ip()));
    let socket = UdpSocket::bind((from, 0))?;
    // From here on only the tracker's datagrams come, and its host's word that nobody listens.
    socket.connect(address)?;
    let deadline = Instant::now() + limit;
    let mut buffer = [0; MAX_DATAGRAM];
    loop {
        let (datagram, wait) = exchange.request();
        socket.send(&datagram)?;
        let next = (Instant::now() + wait).min(deadline);
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let received = match socket.recv(&mut buffer) {
                Ok(length) => exchange.received(&buffer[..length]),
                Err(error) if is_timeout(&error) => break,
                Err(error) => return Err(error),
            };
            match received {
                Progress::Ignored => {}
                Progress::Next => break,
                Progress::Done(response) => return response.map_err(io::Error::other),
            }
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_lite::future;
    use std::thread;

    /// A UDP tracker that loses the first datagram, and answers each other one with what `answer`
    /// makes of it, until that makes nothing.
    fn tracker(
        answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> (Tracker, SocketAddr, thread::JoinHandle<usize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = [0; 200];
            socket.recv_from(&mut buffer).unwrap();
            let mut told = 0;
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let Some(answer) = answer(&buffer[..length]) else {
                    return told;
                };
                told += 1;
                socket.send_to(&answer, from).unwrap();
                if length > 16 {
                    return told;
                }
            }
        });
        let tracker = Tracker::parse(&format!("udp://{address}/announce")).unwrap();
        (tracker, address, thread)
    }

    #[test]
    fn a_lost_datagram_is_sent_again_and_the_peers_come() {
        let (tracker, address, thread) = tracker(|datagram| {
            let head = [&[0, 0, 0, u8::from(datagram.len() > 16)], &datagram[12..16]].concat();
            let rest: &[u8] = match datagram.len() {
                16 => &[5; 8],
                _ => &[0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 1, 127, 0, 0, 1, 0, 9],
            };
            Some([&head, rest].concat())
        });
        let response = tracker
            .ask(address, Announce::sample(), &Local::anywhere())
            .unwrap();
        assert_eq!(response.peers, ["127.0.0.1:9".parse().unwrap()]);
        assert_eq!(thread.join().unwrap(), 2);
    }

    #[test]
    fn an_error_says_what_failed() {
        let (tracker, address, thread) =
            tracker(|datagram| Some([&[0, 0, 0, 3], &datagram[12..16], b"not here"].concat()));
        let error = tracker
            .ask(address, Announce::sample(), &Local::anywhere())
            .unwrap_err();
        assert!(error.contains("refused: not here"), "{error}");
        drop(thread);
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let nobody = Tracker::parse(&format!("udp://{address}")).unwrap();
        let limit = Duration::from_millis(50);
        let error = nobody
            .ask_within(address, Announce::sample(), &Local::anywhere(), limit)
            .unwrap_err();
        assert!(error.contains("no answer within 50ms"), "{error}");
        drop(silent);
        let error = nobody
            .ask_within(address, Announce::sample(), &Local::anywhere(), ANSWER_TIME)
            .unwrap_err();
        assert!(error.contains("nobody listens"), "{error}");
    }

    #[test]
    fn a_tracker_is_asked_at_one_address_of_each_family() {
        let found = |texts: &[&str]| {
            let addresses = texts.iter().map(|text| text.parse().unwrap());
            one_of_each(addresses).map(|address: Option<SocketAddr>| address.map(|a| a.to_string()))
        };
        assert_eq!(
            found(&[
                "1.2.3.4:1",
                "[2001:db8::1]:1",
                "1.2.3.5:1",
                "[2001:db8::2]:1"
            ]),
            [Some("1.2.3.4:1".into()), Some("[2001:db8::1]:1".into())]
        );
        assert_eq!(found(&[]), [None, None]);
        let tracker = Tracker::parse("http://[::1]:5/announce").unwrap();
        assert_eq!(
            future::block_on(tracker.addresses()),
            Ok([None, Some("[::1]:5".parse().unwrap())])
        );
        let tracker = Tracker::parse("udp://localhost:5").unwrap();
        let found = future::block_on(tracker.addresses()).unwrap();
        assert!(found.into_iter().flatten().count() > 0);
        let tracker = Tracker::parse("udp://nobody.invalid:5").unwrap();
        let error = future::block_on(tracker.addresses()).unwrap_err();
        assert!(error.contains("cannot look up nobody.invalid"), "{error}");
    }

    #[test]
    fn urls_that_cannot_be_announced_to_are_refused_with_the_reason() {
        for (url, reason) in [
            ("wss://a/announce", "no http"),
            ("udp://a/announce", "no host and port"),
            ("udp://", "no host and port"),
            ("http:", "no host and port"),
        ] {
            assert!(Tracker::parse(url).unwrap_err().contains(reason), "{url}");
        }
    }
}
