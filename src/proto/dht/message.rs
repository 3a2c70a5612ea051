// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Queries and answers and their bytes (BEP 5: KRPC; BEP 32, 42, 43).

use std::net::{IpAddr, SocketAddr};

use bendy::encoding::{Error, SingleItemEncoder, SortedDictEncoder};

use super::{
    K,
    id::{Contact, NodeId},
};
use crate::proto::{
    address::{
        COMPACT_V4_LEN, COMPACT_V6_LEN, Family, read_compact_v4, read_compact_v6, write_compact,
    },
    wire::bencode::{Dict, emit_dict, parse_dict},
};

/// Bytes of a number.
const ID_LEN: usize = 20;
/// Nodes of an answer that are looked at: some tell twice as many as they should.
const MAX_NODES: usize = 2 * K;
/// Peers of an answer that are used.
const MAX_PEERS: usize = 100;
/// A longer token is none: those of others have 4 to 20 bytes.
const MAX_TOKEN: usize = 64;
/// A longer transaction number is none: those of others have 2 to 8 bytes.
const MAX_TRANSACTION: usize = 32;
/// What this program calls itself (BEP 5).
const VERSION: &[u8] = b"LV\x00\x01";

/// What comes in, as far as it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The asker's; the answer repeats it.
    pub(super) transaction: &'a [u8],
    pub(super) body: Body<'a>,
    /// The asker answers nothing itself (BEP 43).
    pub(super) read_only: bool,
    /// Where it sees us (BEP 42).
    pub(super) our_address: Option<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Body<'a> {
    Query { id: NodeId, query: Query<'a> },
    Answer(Answer<'a>),
    Refusal,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query<'a> {
    Ping,
    FindNode {
        target: NodeId,
    },
    GetPeers {
        target: NodeId,
    },
    AnnouncePeer {
        target: NodeId,
        /// None: that of the datagram (`implied_port`).
        port: Option<u16>,
        token: &'a [u8],
    },
}

/// What is answered; what is not there is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    pub(super) id: NodeId,
    pub(super) nodes: Vec<Contact>,
    pub(super) peers: Vec<SocketAddr>,
    pub(super) token: Option<&'a [u8]>,
}

/// Why a query is not answered (BEP 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Token,
    Unknown,
}

impl<'a> Message<'a> {
    /// Reads a datagram of a socket of this family. A query that nobody here knows is `Err` with what
    /// answers it; `None`: nothing that could be answered.
    pub(super) fn parse(datagram: &'a [u8], family: Family) -> Option<Result<Self, &'a [u8]>> {
        let dict = parse_dict(datagram).ok()?;
        let transaction = bytes(dict, b"t").filter(|t| t.len() <= MAX_TRANSACTION)?;
        let body = match bytes(dict, b"y")? {
            b"q" => {
                let arguments = dict.get(b"a")?.dict()?;
                let id = id(arguments, b"id")?;
                match Query::read(bytes(dict, b"q")?, arguments) {
                    Some(query) => Body::Query { id, query },
                    None => return Some(Err(transaction)),
                }
            }
            b"r" => Body::Answer(Answer::read(dict.get(b"r")?.dict()?, family)?),
            b"e" => Body::Refusal,
            _ => return None,
        };
        Some(Ok(Self {
            transaction,
            body,
            read_only: dict.get(b"ro").and_then(|value| value.int()) == Some(1u8),
            our_address: bytes(dict, b"ip").and_then(ip),
        }))
    }
}

impl<'a> Query<'a> {
    /// Unknown methods that say what they are about count as `find_node` (BEP 5).
    fn read(method: &[u8], arguments: Dict<'a>) -> Option<Self> {
        let infohash = id(arguments, b"info_hash");
        Some(match method {
            b"ping" => Self::Ping,
            b"get_peers" => Self::GetPeers { target: infohash? },
            b"announce_peer" => {
                let implied = arguments.get(b"implied_port").and_then(|value| value.int());
                let port = match implied {
                    None | Some(0u8) => Some(arguments.get(b"port")?.int()?),
                    Some(_) => None,
                };
                let token = bytes(arguments, b"token")?;
                Self::AnnouncePeer {
                    target: infohash?,
                    port,
                    token,
                }
            }
            _ => Self::FindNode {
                target: id(arguments, b"target").or(infohash)?,
            },
        })
    }

    /// The bytes of a query of ours.
    pub(super) fn to_bytes(self, transaction: u16, own: NodeId, read_only: bool) -> Vec<u8> {
        let method: &[u8] = match self {
            Self::Ping => b"ping",
            Self::FindNode { .. } => b"find_node",
            Self::GetPeers { .. } => b"get_peers",
            Self::AnnouncePeer { .. } => b"announce_peer",
        };
        emit_dict(|mut dict| {
            dict.emit_pair_with(b"a", |value| {
                value.emit_dict(|arguments| self.emit(arguments, own))
            })?;
            dict.emit_pair_with(b"q", |value| value.emit_bytes(method))?;
            if read_only {
                dict.emit_pair(b"ro", 1)?;
            }
            dict.emit_pair_with(b"t", |value| value.emit_bytes(&transaction.to_be_bytes()))?;
            dict.emit_pair_with(b"v", |value| value.emit_bytes(VERSION))?;
            dict.emit_pair_with(b"y", |value| value.emit_bytes(b"q"))
        })
    }

    fn emit(self, mut arguments: SortedDictEncoder<'_>, own: NodeId) -> Result<(), Error> {
        arguments.emit_pair_with(b"id", |value| value.emit_bytes(&own.0))?;
        match self {
            Self::Ping => Ok(()),
            Self::FindNode { target } => {
                arguments.emit_pair_with(b"target", |value| value.emit_bytes(&target.0))
            }
            Self::GetPeers { target } => {
                arguments.emit_pair_with(b"info_hash", |value| value.emit_bytes(&target.0))
            }
            Self::AnnouncePeer {
                target,
                port,
                token,
            } => {
                arguments.emit_pair(b"implied_port", u8::from(port.is_none()))?;
                arguments.emit_pair_with(b"info_hash", |value| value.emit_bytes(&target.0))?;
                arguments.emit_pair(b"port", port.unwrap_or(0))?;
                arguments.emit_pair_with(b"token", |value| value.emit_bytes(token))
            }
        }
    }
}

impl<'a> Answer<'a> {
    fn read(dict: Dict<'a>, family: Family) -> Option<Self> {
        let (key, values_len): (&[u8], _) = match family {
            Family::V4 => (b"nodes", COMPACT_V4_LEN),
            Family::V6 => (b"nodes6", COMPACT_V6_LEN),
        };
        let nodes = bytes(dict, key).unwrap_or_default();
        let values = dict.get(b"values").and_then(|value| value.list());
        let values = values.into_iter().flat_map(|list| list.iter());
        let peers = values
            .filter_map(|value| value.bytes())
            .filter(|value| value.len() == values_len)
            .filter_map(address)
            .take(MAX_PEERS);
        Some(Self {
            id: id(dict, b"id")?,
            nodes: nodes
                .chunks_exact(ID_LEN + values_len)
                .filter_map(contact)
                .take(MAX_NODES)
                .collect(),
            peers: peers.collect(),
            token: bytes(dict, b"token").filter(|token| token.len() <= MAX_TOKEN),
        })
    }

    /// The bytes of an answer of ours to whoever asked from `to`.
    pub(super) fn to_bytes(&self, transaction: &[u8], to: SocketAddr) -> Vec<u8> {
        emit_dict(|mut dict| {
            dict.emit_pair_with(b"ip", |value| value.emit_bytes(&compact(to)))?;
            dict.emit_pair_with(b"r", |value| {
                value.emit_dict(|answer| self.emit(answer, to))
            })?;
            dict.emit_pair_with(b"t", |value| value.emit_bytes(transaction))?;
            dict.emit_pair_with(b"v", |value| value.emit_bytes(VERSION))?;
            dict.emit_pair_with(b"y", |value| value.emit_bytes(b"r"))
        })
    }

    fn emit(&self, mut answer: SortedDictEncoder<'_>, to: SocketAddr) -> Result<(), Error> {
        answer.emit_pair_with(b"id", |value| value.emit_bytes(&self.id.0))?;
        if !self.nodes.is_empty() {
            let nodes: Vec<u8> = self
                .nodes
                .iter()
                .flat_map(|node| [&node.id.0[..], &compact(node.address)].concat())
                .collect();
            let key: &[u8] = match Family::of(to.ip()) {
                Family::V4 => b"nodes",
                Family::V6 => b"nodes6",
            };
            answer.emit_pair_with(key, |value| value.emit_bytes(&nodes))?;
        }
        if let Some(token) = self.token {
            answer.emit_pair_with(b"token", |value| value.emit_bytes(token))?;
        }
        if self.peers.is_empty() {
            return Ok(());
        }
        answer.emit_pair_with(b"values", |value| {
            value.emit_list(|list| {
                let mut peers = self.peers.iter();
                peers.try_for_each(|peer| list.emit(bendy::encoding::AsString(&compact(*peer))))
            })
        })
    }
}

impl Refusal {
    /// The bytes that say so.
    pub(super) fn to_bytes(self, transaction: &[u8]) -> Vec<u8> {
        let (code, text) = match self {
            Self::Full => (202, "no room"),
            Self::Token => (203, "bad token"),
            Self::Unknown => (204, "unknown method"),
        };
        emit_dict(|mut dict| {
            dict.emit_pair_with(b"e", |value: SingleItemEncoder<'_>| {
                value.emit_list(|list| {
                    list.emit_int(code)?;
                    list.emit_str(text)
                })
            })?;
            dict.emit_pair_with(b"t", |value| value.emit_bytes(transaction))?;
            dict.emit_pair_with(b"v", |value| value.emit_bytes(VERSION))?;
            dict.emit_pair_with(b"y", |value| value.emit_bytes(b"e"))
        })
    }
}

fn bytes<'a>(dict: Dict<'a>, key: &[u8]) -> Option<&'a [u8]> {
    dict.get(key)?.bytes()
}

fn id(dict: Dict<'_>, key: &[u8]) -> Option<NodeId> {
    bytes(dict, key)?.try_into().ok().map(NodeId)
}

/// One address in compact form.
fn address(bytes: &[u8]) -> Option<SocketAddr> {
    match bytes.len() {
        COMPACT_V4_LEN => read_compact_v4(bytes)?.next(),
        COMPACT_V6_LEN => read_compact_v6(bytes)?.next(),
        _ => None,
    }
}

fn contact(bytes: &[u8]) -> Option<Contact> {
    let (id, rest) = bytes.split_first_chunk()?;
    Some(Contact {
        id: NodeId(*id),
        address: address(rest)?,
    })
}

fn compact(address: SocketAddr) -> Vec<u8> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    write_compact(address, &mut v4, &mut v6);
    [v4, v6].concat()
}

/// An address with or without a port.
fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Some(whole) = address(bytes) {
        return Some(whole.ip());
    }
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(datagram: &[u8]) -> Option<Body<'_>> {
        Some(Message::parse(datagram, Family::V4)?.ok()?.body)
    }

    const ASKER: NodeId = NodeId(*b"abcdefghij0123456789");
    const OTHER: NodeId = NodeId(*b"mnopqrstuvwxyz123456");

    #[test]
    fn the_examples_of_bep_5_are_read() {
        let query = |query| Some(Body::Query { id: ASKER, query });
        assert_eq!(
            read(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"),
            query(Query::Ping)
        );
        assert_eq!(
            read(b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe"),
            query(Query::FindNode { target: OTHER })
        );
        assert_eq!(
            read(b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe"),
            query(Query::GetPeers { target: OTHER })
        );
        let announce = |port| Query::AnnouncePeer {
            target: OTHER,
            port,
            token: b"aoeusnth",
        };
        assert_eq!(
            read(b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"),
            query(announce(None))
        );
        assert_eq!(
            read(b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"),
            query(announce(Some(6881)))
        );
        assert_eq!(
            read(b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"),
            Some(Body::Answer(Answer {
                id: ASKER,
                nodes: Vec::new(),
                peers: ["97.120.106.101:11893", "105.100.104.116:28269"]
                    .map(|peer| peer.parse().unwrap())
                    .into(),
                token: Some(b"aoeusnth"),
            }))
        );
        assert_eq!(
            read(b"d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"),
            Some(Body::Refusal)
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        for query in [
            Query::Ping,
            Query::FindNode { target: OTHER },
            Query::GetPeers { target: OTHER },
            Query::AnnouncePeer {
                target: OTHER,
                port: Some(7764),
                token: b"secret",
            },
        ] {
            let datagram = query.to_bytes(0x1234, ASKER, true);
            let message = Message::parse(&datagram, Family::V4).unwrap().unwrap();
            assert_eq!(message.transaction, [0x12, 0x34]);
            assert!(message.read_only);
            assert_eq!(message.body, Body::Query { id: ASKER, query });
        }
        for (family, asker, node) in [
            (Family::V4, "1.2.3.4:5", "9.8.7.6:54"),
            (Family::V6, "[2001:db8::1]:5", "[2001:db8::2]:54"),
        ] {
            let [asker, node]: [SocketAddr; 2] = [asker, node].map(|a| a.parse().unwrap());
            let answer = Answer {
                id: OTHER,
                nodes: vec![Contact {
                    id: ASKER,
                    address: node,
                }],
                peers: vec![node],
                token: Some(b"t"),
            };
            let datagram = answer.to_bytes(b"xyz", asker);
            let message = Message::parse(&datagram, family).unwrap().unwrap();
            assert_eq!(message.our_address, Some(asker.ip()));
            assert_eq!(message.transaction, b"xyz");
            assert_eq!(message.body, Body::Answer(answer));
        }
        let refusal = Refusal::Token.to_bytes(b"x");
        assert_eq!(read(&refusal), Some(Body::Refusal));
    }

    #[test]
    fn a_method_that_nobody_knows_is_a_search_for_what_it_names_or_refused() {
        let named = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q3:fly1:t2:aa1:y1:qe";
        let search = Query::FindNode { target: OTHER };
        assert_eq!(
            read(named),
            Some(Body::Query {
                id: ASKER,
                query: search
            })
        );
        let unnamed = b"d1:ad2:id20:abcdefghij0123456789e1:q3:fly1:t2:aa1:y1:qe";
        assert_eq!(Message::parse(unnamed, Family::V4), Some(Err(&b"aa"[..])));
    }

    #[test]
    fn what_is_no_message_is_none_and_lists_are_bounded() {
        for datagram in [
            &b""[..],
            b"d1:y1:qe",
            b"d1:t2:aa1:y1:re",
            b"d1:rd2:id3:abce1:t2:aa1:y1:re",
            b"d1:ad2:id20:abcdefghij0123456789e1:q9:get_peers1:t33:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1:y1:qe",
            b"lllllllllllleeeeeeeeeeee",
        ] {
            assert_eq!(Message::parse(datagram, Family::V4), None);
        }
        let node = Contact {
            id: ASKER,
            address: "9.8.7.6:54".parse().unwrap(),
        };
        let many = Answer {
            id: OTHER,
            nodes: vec![node; 100],
            peers: vec![node.address; 200],
            token: Some(&[7; 100]),
        };
        let datagram = many.to_bytes(b"x", node.address);
        let Some(Body::Answer(read)) = read(&datagram) else {
            panic!("no answer");
        };
        assert_eq!((read.nodes.len(), read.peers.len()), (16, 100));
        assert_eq!(read.token, None);
    }

    proptest! {
        #[test]
        fn no_datagram_panics(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&datagram, Family::V4);
            let _ = Message::parse(&datagram, Family::V6);
        }
    }
}
