// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Asking a router for a port of its own: NAT-PMP (RFC 6886) and PCP (RFC 6887), for TCP over IPv4.
//!
//! Both speak to the same port of the router, and the first byte of a datagram tells which it is.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Where a router listens (RFC 6886 section 3.1, RFC 6887 section 19.4).
pub const PORT: u16 = 5351;
/// Bytes of the longest datagram (RFC 6887 section 7).
pub const MAX_DATAGRAM: usize = 1100;
/// Asks for the router's address, by NAT-PMP (RFC 6886 section 3.2).
pub const ASK_ADDRESS: [u8; 2] = [NAT_PMP, 0];

/// First byte.
const NAT_PMP: u8 = 0;
const PCP: u8 = 2;
/// PCP's operation that maps a port (RFC 6887 section 11).
const PCP_MAP: u8 = 1;
/// NAT-PMP's for TCP (RFC 6886 section 3.3).
const NAT_PMP_MAP_TCP: u8 = 2;
/// Added to the operation in an answer, by both.
const ANSWER: u8 = 0x80;
/// By IANA's list.
const TCP: u8 = 6;
/// Both protocols' result for "I do not speak that version".
const UNSUPPORTED_VERSION: u16 = 1;
const PCP_HEADER: usize = 24;
const PCP_MAP_LEN: usize = PCP_HEADER + 36;

/// What a router is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Who asks; PCP says it again in the datagram.
    pub client: Ipv4Addr,
    /// Where it listens.
    pub internal_port: u16,
    /// What it would like outside; the router may choose another.
    pub external_port: u16,
    /// Tells our mappings from others' (PCP); the same until the mapping is gone.
    pub nonce: [u8; 12],
    /// Seconds; 0 ends the mapping.
    pub lifetime: u32,
}

/// What a router says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The port is ours.
    Mapped {
        /// The router's address; NAT-PMP has another question for it.
        address: Option<Ipv4Addr>,
        /// The port there.
        port: u16,
        /// Seconds that it lasts.
        lifetime: u32,
    },
    /// The router's address, by NAT-PMP.
    Address(Ipv4Addr),
    /// It does not want to, for the reason of this number (RFC 6886 section 3.5, RFC 6887 section 7.4).
    Refused(u16),
    /// It does not speak PCP.
    NotPcp,
}

impl Request {
    /// The question in NAT-PMP (RFC 6886 section 3.3). What is to end has no port outside (section 3.4).
    #[must_use]
    pub fn nat_pmp(&self) -> [u8; 12] {
        let external_port = if self.lifetime == 0 {
            0
        } else {
            self.external_port
        };
        let mut datagram = [0; 12];
        datagram[0] = NAT_PMP;
        datagram[1] = NAT_PMP_MAP_TCP;
        datagram[4..6].copy_from_slice(&self.internal_port.to_be_bytes());
        datagram[6..8].copy_from_slice(&external_port.to_be_bytes());
        datagram[8..].copy_from_slice(&self.lifetime.to_be_bytes());
        datagram
    }

    /// The question in PCP (RFC 6887 sections 7.1 and 11.1).
    #[must_use]
    pub fn pcp(&self) -> [u8; PCP_MAP_LEN] {
        let mut datagram = [0; PCP_MAP_LEN];
        datagram[0] = PCP;
        datagram[1] = PCP_MAP;
        datagram[4..8].copy_from_slice(&self.lifetime.to_be_bytes());
        datagram[8..24].copy_from_slice(&self.client.to_ipv6_mapped().octets());
        datagram[24..36].copy_from_slice(&self.nonce);
        datagram[36] = TCP;
        datagram[40..42].copy_from_slice(&self.internal_port.to_be_bytes());
        datagram[42..44].copy_from_slice(&self.external_port.to_be_bytes());
        // No address outside is better than another.
        let any = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
        datagram[44..60].copy_from_slice(&any.octets());
        datagram
    }

    /// Reads what the router sent; nothing where that is no answer to this.
    #[must_use]
    pub fn answer(&self, datagram: &[u8]) -> Option<Answer> {
        match *datagram.first()? {
            NAT_PMP => self.nat_pmp_answer(datagram),
            PCP => self.pcp_answer(datagram),
            _ => None,
        }
    }

    fn nat_pmp_answer(&self, datagram: &[u8]) -> Option<Answer> {
        let operation = datagram.get(1)?.checked_sub(ANSWER)?;
        let result = u16_at(datagram, 2)?;
        match (operation, result) {
            (_, UNSUPPORTED_VERSION) => Some(Answer::NotPcp),
            (0, 0) => {
                let address = Ipv4Addr::from(u32_at(datagram, 8)?);
                is_address(address).then_some(Answer::Address(address))
            }
            (NAT_PMP_MAP_TCP, 0) => {
                let port = u16_at(datagram, 10)?;
                let lifetime = u32_at(datagram, 12)?;
                (u16_at(datagram, 8)? == self.internal_port && port != 0).then_some(
                    Answer::Mapped {
                        address: None,
                        port,
                        lifetime,
                    },
                )
            }
            (0 | NAT_PMP_MAP_TCP, reason) => Some(Answer::Refused(reason)),
            _ => None,
        }
    }

    fn pcp_answer(&self, datagram: &[u8]) -> Option<Answer> {
        if datagram.len() < PCP_HEADER || datagram[1] != ANSWER | PCP_MAP {
            return None;
        }
        match u16::from(*datagram.get(3)?) {
            0 => {}
            UNSUPPORTED_VERSION => return Some(Answer::NotPcp),
            reason => return Some(Answer::Refused(reason)),
        }
        let map = datagram.get(PCP_HEADER..PCP_MAP_LEN)?;
        let port = u16_at(map, 18)?;
        let address: [u8; 16] = map.get(20..36)?.try_into().ok()?;
        let address = Ipv6Addr::from(address).to_ipv4_mapped()?;
        let is_ours = map.get(..12)? == self.nonce
            && *map.get(12)? == TCP
            && u16_at(map, 16)? == self.internal_port;
        (is_ours && port != 0 && is_address(address)).then_some(Answer::Mapped {
            address: Some(address),
            port,
            lifetime: u32_at(datagram, 4)?,
        })
    }
}

/// Whether it can be anybody's: a router without a line says 0.0.0.0.
pub(crate) const fn is_address(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn request() -> Request {
        Request {
            client: Ipv4Addr::new(192, 168, 1, 7),
            internal_port: 0x1e54,
            external_port: 0x1e55,
            nonce: *b"twelve bytes",
            lifetime: 0x0102_0304,
        }
    }

    fn pcp_answer() -> Vec<u8> {
        let mut answer = request().pcp().to_vec();
        answer[1] |= ANSWER;
        // Reserved, result; the client's address gives way to the epoch.
        answer[2..4].fill(0);
        answer[8..24].fill(9);
        answer[42..44].copy_from_slice(&[0x12, 0x34]);
        answer[56..60].copy_from_slice(&[203, 0, 113, 9]);
        answer
    }

    #[test]
    fn questions_are_laid_out_as_the_rfcs_say() {
        assert_eq!(ASK_ADDRESS, [0, 0]);
        assert_eq!(
            request().nat_pmp(),
            [0, 2, 0, 0, 0x1e, 0x54, 0x1e, 0x55, 1, 2, 3, 4]
        );
        let end = Request {
            lifetime: 0,
            ..request()
        };
        assert_eq!(end.nat_pmp(), [0, 2, 0, 0, 0x1e, 0x54, 0, 0, 0, 0, 0, 0]);
        let pcp = request().pcp();
        assert_eq!(pcp[..8], [2, 1, 0, 0, 1, 2, 3, 4]);
        assert_eq!(pcp[8..20], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        assert_eq!(pcp[20..24], [192, 168, 1, 7]);
        assert_eq!(&pcp[24..36], b"twelve bytes");
        assert_eq!(pcp[36..44], [6, 0, 0, 0, 0x1e, 0x54, 0x1e, 0x55]);
        assert_eq!(pcp[54..60], [0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn answers_are_read_as_the_rfcs_say() {
        let answer = |datagram: &[u8]| request().answer(datagram);
        let address = [0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 9];
        let expected = Answer::Address(Ipv4Addr::new(203, 0, 113, 9));
        assert_eq!(answer(&address), Some(expected));
        let mapped = [
            0, 130, 0, 0, 0, 0, 0, 1, 0x1e, 0x54, 0x12, 0x34, 0, 0, 14, 16,
        ];
        let expected = Answer::Mapped {
            address: None,
            port: 0x1234,
            lifetime: 3600,
        };
        assert_eq!(answer(&mapped), Some(expected));
        let expected = Answer::Mapped {
            address: Some(Ipv4Addr::new(203, 0, 113, 9)),
            port: 0x1234,
            lifetime: 0x0102_0304,
        };
        assert_eq!(answer(&pcp_answer()), Some(expected));
        assert_eq!(answer(&[0, 129, 0, 1, 0, 0, 0, 1]), Some(Answer::NotPcp));
        assert_eq!(
            answer(&[0, 130, 0, 2, 0, 0, 0, 1]),
            Some(Answer::Refused(2))
        );
        let mut refused = pcp_answer();
        refused[3] = 8;
        assert_eq!(answer(&refused), Some(Answer::Refused(8)));
    }

    #[test]
    fn answers_to_others_and_halves_of_answers_are_none() {
        let other = Request {
            nonce: *b"other  bytes",
            ..request()
        };
        assert_eq!(other.answer(&pcp_answer()), None);
        let other = Request {
            internal_port: 1,
            ..request()
        };
        assert_eq!(other.answer(&pcp_answer()), None);
        for length in 0..pcp_answer().len() {
            assert_eq!(request().answer(&pcp_answer()[..length]), None);
        }
        // Our own question, and a router without a line.
        assert_eq!(request().answer(&request().pcp()), None);
        assert_eq!(
            request().answer(&[0, 128, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]),
            None
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(datagram: Vec<u8>) {
            let _ = request().answer(&datagram);
        }
    }
}
