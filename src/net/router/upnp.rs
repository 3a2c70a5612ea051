// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! By UPnP: a search on the router's network, where only the router's own answer counts, its description,
//! and orders to it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    super::{client, runtime::udp},
    By, LEASE, Mapping, Router, Wish,
    port_control::{in_words, is_timeout},
};
use crate::proto::{
    address::Family,
    igd::{self, CONFLICT, Location, MAX_BODY, MAX_DATAGRAM, ONLY_PERMANENT, SEARCH, Service},
};

/// How long an answer to a search is waited for each time: it asks for one within a second.
const SEARCH_WAITS: [Duration; 2] = [Duration::from_millis(700), Duration::from_millis(1300)];
/// The search reaches as far as the router (UPnP Device Architecture 1.0 section 1.1.2 has 4).
const SEARCH_TTL: u32 = 2;
/// Datagrams of others that are passed over.
const MAX_OTHERS: usize = 64;
/// For the description, and for each order: routers are slow.
const HTTP_TIME: Duration = Duration::from_secs(4);
/// Orders for one mapping: ports of others', and a router that knows no end of a mapping.
const MAX_ORDERS: usize = 4;
/// A mapping without an end is looked after as one of an hour: who finds it gone has it made again.
const PERMANENT: Duration = Duration::from_secs(3600);
/// The other ports that are asked for (RFC 6335).
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;

/// Asks for a port.
///
/// # Errors
/// In words: what the router said.
pub(super) fn map(router: &Router, wish: Wish) -> Result<Mapping, String> {
    let location = search(router).map_err(|error| in_words(&error))?;
    let (_, description) = talk(router, &location.url(), None, HTTP_TIME)?;
    let service = Service::of_description(&description, &location);
    let service = service.ok_or("it describes nothing that maps ports")?;
    map_by(router, service, wish)
}

/// Asks for a port where it is known whom to ask.
///
/// # Errors
/// In words: what the router said.
pub(super) fn map_by(router: &Router, service: Service, wish: Wish) -> Result<Mapping, String> {
    let (port, lifetime) = add(router, &service, wish)?;
    let order = ("GetExternalIPAddress", service.ask_address());
    // It is known by other means, too, such as by `public-address`.
    let address = give_order(router, &service, order, HTTP_TIME);
    Ok(Mapping {
        router: router.clone(),
        wish,
        by: By::Upnp(service),
        address: address.ok().and_then(|answer| igd::address(&answer.text)),
        port,
        lifetime,
    })
}

/// Gives a port back.
pub(super) fn give_back(mapping: &Mapping, service: &Service, limit: Duration) {
    let order = ("DeletePortMapping", service.delete(mapping.port));
    let _ = give_order(&mapping.router, service, order, limit);
}

/// Orders a mapping: the port outside, and how long it lasts.
fn add(router: &Router, service: &Service, wish: Wish) -> Result<(u16, Duration), String> {
    let (mut port, mut lifetime) = (wish.external_port, LEASE);
    for _ in 0..MAX_ORDERS {
        let seconds = match lifetime {
            PERMANENT => 0,
            lifetime => u32::try_from(lifetime.as_secs()).unwrap_or(0),
        };
        let body = service.add(port, router.client, wish.internal_port, seconds);
        let answer = give_order(router, service, ("AddPortMapping", body), HTTP_TIME)?;
        match answer.error {
            None => return Ok((port, lifetime)),
            Some(ONLY_PERMANENT) => lifetime = PERMANENT,
            Some(CONFLICT) => port = fastrand::u16(DYNAMIC_PORTS),
            Some(error) => return Err(format!("refused for reason {error}")),
        }
    }
    Err("the ports are taken".to_owned())
}

/// What came of an order.
struct Answer {
    text: String,
    error: Option<u16>,
}

fn give_order(
    router: &Router,
    service: &Service,
    (action, body): (&str, String),
    limit: Duration,
) -> Result<Answer, String> {
    let order = (&*service.header(action), &*body);
    let (status, text) = talk(router, &service.control.url(), Some(order), limit)?;
    match (status, igd::error(&text)) {
        (200..300, _) => Ok(Answer { text, error: None }),
        (_, Some(error)) => Ok(Answer {
            text,
            error: Some(error),
        }),
        (status, None) => Err(format!("{action}: it answers {status}")),
    }
}

fn talk(
    router: &Router,
    url: &str,
    order: Option<(&str, &str)>,
    limit: Duration,
) -> Result<(u16, String), String> {
    let (status, body) = client::device(url, order, router.client.into(), MAX_BODY, limit)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// Where the router describes itself. Others answer, too; nobody but the router is listened to.
fn search(router: &Router) -> io::Result<Location> {
    let socket = socket(router.client)?;
    let mut buffer = [0; MAX_DATAGRAM];
    let mut others = 0;
    for wait in SEARCH_WAITS {
        socket.send_to(SEARCH.as_bytes(), router.search)?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || others > MAX_OTHERS {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv_from(&mut buffer) {
                Ok((length, from)) if from.ip() == router.gateway => {
                    if let Some(location) = Location::of_answer(&buffer[..length], from) {
                        return Ok(location);
                    }
                    others += 1;
                }
                Ok(_) => others += 1,
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// A socket that searches the network on which we have this address, and no other.
fn socket(client: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = udp(Family::V4)?;
    socket.set_multicast_if_v4(&client)?;
    socket.set_multicast_ttl_v4(SEARCH_TTL)?;
    socket.bind(&SocketAddr::from((client, 0)).into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        sync::mpsc,
        thread,
    };

    use super::super::{router, socket, tests::WISH};

    const KIND: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

    fn description() -> String {
        format!(
            "<root><service><serviceType>{KIND}</serviceType>\
             <controlURL>/control</controlURL></service></root>"
        )
    }

    fn fault(code: u16) -> (u16, String) {
        (
            500,
            format!("<UPnPError><errorCode>{code}</errorCode></UPnPError>"),
        )
    }

    /// What a request says: its first line and its `SOAPAction`, and its body.
    type Heard = (String, String);

    /// A router that answers each request with what `answer` makes of it.
    struct Fake {
        router: Router,
        heard: mpsc::Receiver<Heard>,
        /// Answers searches with this.
        search: UdpSocket,
        location: String,
    }

    impl Fake {
        fn new(answer: impl Fn(&Heard) -> (u16, String) + Send + 'static) -> Self {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let location = format!("http://{}/root.xml", listener.local_addr().unwrap());
            let (tell, heard) = mpsc::channel();
            // Ends with the test: nobody hears what was said then.
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = BufReader::new(stream.unwrap());
                    let request = read(&mut stream);
                    let (status, body) = answer(&request);
                    let length = body.len();
                    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n");
                    let _ = stream.get_mut().write_all((head + &body).as_bytes());
                    if tell.send(request).is_err() {
                        return;
                    }
                }
            });
            let (control, search) = (socket(), socket());
            Self {
                router: router(&control, &search),
                heard,
                search,
                location,
            }
        }

        /// Maps a port while `search` answers as this says.
        fn map(&self, answer: impl Fn(&str) -> String) -> Result<Mapping, String> {
            let (search, answer) = (&self.search, answer(&self.location));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let mut buffer = [0; MAX_DATAGRAM];
                    let (length, from) = search.recv_from(&mut buffer).unwrap();
                    assert_eq!(&buffer[..length], SEARCH.as_bytes());
                    search.send_to(answer.as_bytes(), from).unwrap();
                });
                map(&self.router, WISH)
            })
        }

        fn heard(&self) -> Vec<Heard> {
            self.heard.try_iter().collect()
        }
    }

    fn read(stream: &mut BufReader<std::net::TcpStream>) -> Heard {
        let (mut first, mut length) = (String::new(), 0);
        stream.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim().split_once(": ") else {
                break;
            };
            match &*name.to_ascii_lowercase() {
                "content-length" => length = value.parse().unwrap(),
                "soapaction" => first += value,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).unwrap();
        (first, String::from_utf8(body).unwrap())
    }

    fn found(location: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nLocation: {location}\r\n\r\n")
    }

    fn number(body: &str, name: &str) -> u32 {
        let (_, rest) = body.split_once(&format!("<{name}>")).unwrap();
        rest.split_once('<').unwrap().0.parse().unwrap()
    }

    #[test]
    fn a_port_is_found_ordered_renewed_and_given_back() {
        let fake = Fake::new(|(first, _)| match &**first {
            first if first.starts_with("GET /root.xml ") => (200, description()),
            first if first.contains("#GetExternalIPAddress") => {
                let address = "<NewExternalIPAddress>198.51.100.7</NewExternalIPAddress>";
                (200, address.to_owned())
            }
            _ => (200, String::new()),
        });
        let mapping = fake.map(found).unwrap();
        assert_eq!(mapping.outside(), "198.51.100.7:7764".parse().ok());
        assert_eq!(mapping.lifetime, LEASE);
        let heard = fake.heard();
        let (first, body) = &heard[1];
        assert!(first.starts_with("POST /control ") && first.contains("#AddPortMapping"));
        assert_eq!(number(body, "NewLeaseDuration"), 1200);
        assert!(body.contains("<NewInternalClient>127.0.0.1<"), "{body}");
        mapping.renew().unwrap().give_back(HTTP_TIME);
        let said: Vec<_> = fake.heard().into_iter().map(|(first, _)| first).collect();
        let kinds = [
            "AddPortMapping",
            "GetExternalIPAddress",
            "DeletePortMapping",
        ];
        assert_eq!(said.len(), kinds.len());
        for (said, kind) in said.iter().zip(kinds) {
            assert!(said.contains(kind), "{said}");
        }
    }

    #[test]
    fn a_router_that_knows_no_end_and_a_port_of_somebody_elses_are_coped_with() {
        let fake = Fake::new(|(first, body)| match &**first {
            first if first.starts_with("GET ") => (200, description()),
            first if first.contains("#GetExternalIPAddress") => fault(501),
            _ if number(body, "NewLeaseDuration") != 0 => fault(ONLY_PERMANENT),
            _ if number(body, "NewExternalPort") == 7764 => fault(CONFLICT),
            _ => (200, String::new()),
        });
        let mapping = fake.map(found).unwrap();
        assert_eq!((mapping.outside(), mapping.lifetime), (None, PERMANENT));
        assert!(DYNAMIC_PORTS.contains(&mapping.port()));
        let never = Fake::new(|(first, _)| match first.starts_with("GET ") {
            true => (200, description()),
            false => fault(CONFLICT),
        });
        assert_eq!(never.map(found).unwrap_err(), "the ports are taken");
        assert_eq!(never.heard().len(), 1 + MAX_ORDERS);
        let refuses = Fake::new(|(first, _)| match first.starts_with("GET ") {
            true => (200, description()),
            false => fault(606),
        });
        assert_eq!(refuses.map(found).unwrap_err(), "refused for reason 606");
    }

    #[test]
    fn what_a_router_says_is_bounded_and_leads_nowhere_else() {
        let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let away = format!("http://{}/", elsewhere.local_addr().unwrap());
        elsewhere.set_nonblocking(true).unwrap();
        let long = Fake::new(|_| (200, "<".repeat(MAX_BODY + 1)));
        let error = long.map(found).unwrap_err();
        assert!(error.contains("over 131072 bytes"), "{error}");
        let empty = Fake::new(|_| (200, "<root/>".to_owned()));
        let error = empty.map(found).unwrap_err();
        assert!(error.contains("describes nothing"), "{error}");
        // A redirect is not followed.
        let sends_on = Fake::new(move |_| (302, format!("{away}\r\n")));
        assert!(sends_on.map(found).is_err());
        assert!(elsewhere.accept().is_err());
        // Somebody else's address is no answer.
        let liar = Fake::new(|_| panic!("nobody asks"));
        let error = liar
            .map(|_| found("http://192.0.2.1/root.xml"))
            .unwrap_err();
        assert_eq!(error, "no answer");
        assert!(liar.heard().is_empty());
    }
}
