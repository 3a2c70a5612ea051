// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! By PCP (RFC 6887), and by NAT-PMP (RFC 6886) where the router does not speak that. The socket is
//! connected to the router, so that nobody else's datagrams come in.

use std::{
    io,
    net::UdpSocket,
    time::{Duration, Instant},
};

use super::{By, LEASE, Mapping, Router, Wish};
use crate::proto::port_control::{ASK_ADDRESS, Answer, MAX_DATAGRAM, Request};

/// How long an answer is waited for each time that it is asked for. RFC 6886 and RFC 6887 ask oftener and
/// longer; a router stands in the same house, and most have nothing to say.
const WAITS: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(1100)];
/// The same at the end.
const WAIT_AT_THE_END: Duration = Duration::from_millis(80);
/// What a router gives at least; less would have it asked all the time.
const MIN_LIFETIME: Duration = Duration::from_secs(20);

/// Asks for a port.
///
/// # Errors
/// In words: what the router said.
pub(super) fn map(router: &Router, wish: Wish) -> Result<Mapping, String> {
    let socket = socket(router).map_err(|error| format!("PCP: {error}"))?;
    let request = request(router, wish, LEASE);
    let mapping = |by, address, port, lifetime: u32| Mapping {
        router: router.clone(),
        wish,
        by,
        address,
        port,
        lifetime: Duration::from_secs(lifetime.into()).clamp(MIN_LIFETIME, LEASE),
    };
    let is_pcp = |answer: &Answer| match answer {
        Answer::Mapped { address, .. } => address.is_some(),
        Answer::Refused(_) | Answer::NotPcp => true,
        Answer::Address(_) => false,
    };
    let pcp = match ask(&socket, &request, &request.pcp(), is_pcp) {
        Ok(Answer::Mapped {
            address,
            port,
            lifetime,
        }) => return Ok(mapping(By::Pcp, address, port, lifetime)),
        Ok(Answer::Refused(reason)) => return Err(format!("PCP: refused for reason {reason}")),
        Ok(_) => "not spoken".to_owned(),
        // Nobody is at that port: so much for both.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err("PCP and NAT-PMP: nobody listens there".to_owned());
        }
        Err(error) => in_words(&error),
    };
    let is_mapped = |answer: &Answer| !matches!(answer, Answer::Address(_));
    let failed = |reason| format!("PCP: {pcp}; NAT-PMP: {reason}");
    match ask(&socket, &request, &request.nat_pmp(), is_mapped) {
        Ok(Answer::Mapped { port, lifetime, .. }) => {
            let is_address = |answer: &Answer| matches!(answer, Answer::Address(_));
            let address = match ask(&socket, &request, &ASK_ADDRESS, is_address) {
                Ok(Answer::Address(address)) => Some(address),
                _ => None,
            };
            Ok(mapping(By::NatPmp, address, port, lifetime))
        }
        Ok(Answer::Refused(reason)) => Err(failed(format!("refused for reason {reason}"))),
        Ok(_) => Err(failed("not spoken".to_owned())),
        Err(error) => Err(failed(in_words(&error))),
    }
}

/// Says that a mapping is over, again and again until there is an answer, whatever it says.
pub(super) fn give_back(mapping: &Mapping, deadline: Instant) {
    let request = request(&mapping.router, mapping.wish, Duration::ZERO);
    let datagram: &[u8] = match mapping.by {
        By::Pcp => &request.pcp(),
        _ => &request.nat_pmp(),
    };
    // Without a socket or an answer it ends by itself.
    let Ok(socket) = socket(&mapping.router) else {
        return;
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.send(datagram).is_err() {
            return;
        }
        let wait = Some(left.min(WAIT_AT_THE_END));
        let heard = socket
            .set_read_timeout(wait)
            .and_then(|()| socket.recv(&mut [0; MAX_DATAGRAM]));
        match heard {
            Err(error) if is_timeout(&error) => {}
            _ => return,
        }
    }
}

fn socket(router: &Router) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((router.client, 0))?;
    socket.connect(router.control)?;
    Ok(socket)
}

fn request(router: &Router, wish: Wish, lifetime: Duration) -> Request {
    Request {
        client: router.client,
        internal_port: wish.internal_port,
        external_port: wish.external_port,
        nonce: wish.nonce,
        lifetime: u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX),
    }
}

/// Sends a question until an answer that is `wanted` comes.
fn ask(
    socket: &UdpSocket,
    request: &Request,
    datagram: &[u8],
    wanted: impl Fn(&Answer) -> bool,
) -> io::Result<Answer> {
    let mut buffer = [0; MAX_DATAGRAM];
    for wait in WAITS {
        socket.send(datagram)?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    if let Some(answer) = request.answer(&buffer[..length]).filter(&wanted) {
                        return Ok(answer);
                    }
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

pub(super) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::{pcp, router, serve, socket, tests::WISH};

    /// As one that speaks NAT-PMP only.
    fn nat_pmp(datagram: &[u8]) -> Option<Vec<u8>> {
        let mut answer = vec![0, datagram[1] | 0x80, 0, 0, 0, 0, 0, 1];
        match datagram[..2] {
            [0, 0] => answer.extend([198, 51, 100, 7]),
            [0, 2] => {
                answer.extend(&datagram[4..6]);
                answer.extend(40_000_u16.to_be_bytes());
                answer.extend(&datagram[8..12]);
            }
            _ => answer[3] = 1,
        }
        Some(answer)
    }

    #[test]
    fn a_port_is_had_by_pcp_renewed_and_given_back() {
        let (control, search) = (socket(), socket());
        let router = router(&control, &search);
        let thread = serve(control, 3, pcp);
        let mapping = map(&router, WISH).unwrap();
        assert_eq!(mapping.outside(), "198.51.100.7:40000".parse().ok());
        // Whatever the router offers.
        assert_eq!(mapping.lifetime, LEASE);
        let again = mapping.renew().unwrap();
        again.give_back(Duration::from_secs(20));
        let heard = thread.join().unwrap();
        let external = |datagram: &[u8]| u16::from_be_bytes([datagram[42], datagram[43]]);
        assert_eq!((external(&heard[0]), external(&heard[1])), (7764, 40_000));
        assert_eq!(heard[2][4..8], [0; 4]);
        for datagram in heard {
            assert_eq!(datagram[24..36], WISH.nonce);
        }
    }

    #[test]
    fn a_router_that_does_not_speak_pcp_is_asked_by_nat_pmp() {
        let (control, search) = (socket(), socket());
        let router = router(&control, &search);
        let thread = serve(control, 4, nat_pmp);
        let mapping = map(&router, WISH).unwrap();
        assert_eq!(mapping.outside(), "198.51.100.7:40000".parse().ok());
        assert_eq!(mapping.lifetime, LEASE);
        mapping.give_back(Duration::from_secs(20));
        let heard = thread.join().unwrap();
        let kinds: Vec<_> = heard
            .iter()
            .map(|datagram| [datagram[0], datagram[1]])
            .collect();
        assert_eq!(kinds, [[2, 1], [0, 2], [0, 0], [0, 2]]);
        assert_eq!(heard[3], [0, 2, 0, 0, 0x1e, 0x54, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_lost_question_is_asked_again_and_others_datagrams_are_no_answer() {
        let (control, search) = (socket(), socket());
        let router = router(&control, &search);
        let lost = std::sync::atomic::AtomicBool::new(true);
        let thread = serve(control, 2, move |datagram| {
            match lost.swap(false, std::sync::atomic::Ordering::Relaxed) {
                true => {
                    let mut answer = pcp(datagram)?;
                    answer[24] ^= 1;
                    Some(answer)
                }
                false => pcp(datagram),
            }
        });
        assert!(map(&router, WISH).is_ok());
        thread.join().unwrap();
    }

    #[test]
    fn who_says_nothing_or_no_or_is_not_there_costs_four_datagrams_at_most() {
        let (control, search) = (socket(), socket());
        let router_there = router(&control, &search);
        let thread = serve(control, 4, |_| None);
        let error = map(&router_there, WISH).unwrap_err();
        assert_eq!(error, "PCP: no answer; NAT-PMP: no answer");
        assert_eq!(thread.join().unwrap().len(), 4);
        // It is gone with its thread.
        let error = map(&router_there, WISH).unwrap_err();
        assert_eq!(error, "PCP and NAT-PMP: nobody listens there");
        let control = socket();
        let router_there = router(&control, &search);
        let thread = serve(control, 1, |datagram| {
            let mut answer = pcp(datagram)?;
            answer[3] = 2;
            Some(answer)
        });
        let error = map(&router_there, WISH).unwrap_err();
        assert_eq!(error, "PCP: refused for reason 2");
        thread.join().unwrap();
    }

    #[test]
    fn giving_back_takes_no_longer_than_it_may_whoever_is_silent() {
        let (control, search) = (socket(), socket());
        let router = router(&control, &search);
        let mapping = Mapping {
            router,
            wish: WISH,
            by: By::Pcp,
            address: None,
            port: 40_000,
            lifetime: LEASE,
        };
        let limit = Duration::from_millis(200);
        let began = Instant::now();
        mapping.give_back(limit);
        assert!(began.elapsed() >= limit);
        control.set_nonblocking(true).unwrap();
        let heard = std::iter::from_fn(|| control.recv(&mut [0; MAX_DATAGRAM]).ok());
        assert!((2..=3).contains(&heard.count()));
    }
}
