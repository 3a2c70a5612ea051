// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Nodes among themselves, in virtual time.

use super::*;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

const START: Instant = Instant::from_micros(1 << 40);
/// One way.
const DELAY: Duration = Duration::from_millis(30);
const STREAM: Infohash = Infohash([0xab; 20]);

/// Nodes, and the datagrams between them.
struct Network {
    now: Instant,
    nodes: BTreeMap<SocketAddr, Node>,
    /// By the time of arrival and a number.
    under_way: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    /// Of a hundred datagrams.
    lost: u64,
    rng: Rng,
    peers: BTreeMap<SocketAddr, Vec<SocketAddr>>,
    found: BTreeMap<SocketAddr, Found>,
}

impl Network {
    fn new(seed: u64) -> Self {
        Self {
            now: START,
            nodes: BTreeMap::new(),
            under_way: BTreeMap::new(),
            sent: 0,
            lost: 0,
            rng: Rng::with_seed(seed),
            peers: BTreeMap::new(),
            found: BTreeMap::new(),
        }
    }

    /// A node with a public address of its own, that begins at the node `beginning`.
    fn add(&mut self, n: u16, beginning: Option<u16>) {
        let config = Config {
            family: Family::V4,
            infohash: STREAM,
            port: 7000 + n,
            rng: Rng::with_seed(self.rng.u64(..)),
        };
        let mut node = Node::new(config, self.now);
        if let Some(beginning) = beginning {
            node.begin_at(self.now, address(beginning));
        }
        self.nodes.insert(address(n), node);
    }

    fn node(&mut self, n: u16) -> &mut Node {
        self.nodes.get_mut(&address(n)).unwrap()
    }

    fn look_up(&mut self, n: u16) {
        let now = self.now;
        self.node(n).look_up(now);
        self.collect(address(n));
    }

    fn collect(&mut self, from: SocketAddr) {
        while let Some(output) = self.nodes.get_mut(&from).unwrap().poll() {
            match output {
                Output::Send { to, datagram } => {
                    assert!(datagram.len() <= MAX_DATAGRAM);
                    self.sent += 1;
                    if self.rng.u64(0..100) >= self.lost {
                        let key = (self.now + DELAY, self.sent);
                        self.under_way.insert(key, (from, to, datagram));
                    }
                }
                Output::Peers(peers) => self.peers.entry(from).or_default().extend(peers),
                Output::Found(found) => {
                    self.found.insert(from, found);
                }
            }
        }
    }

    /// Lets time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let waking = self.nodes.iter().map(|(&at, node)| (node.wake_at(), at));
            let (wake, who) = waking.min().unwrap();
            match self.under_way.first_key_value() {
                Some((&(at, number), _)) if at <= wake && at <= end => {
                    self.now = at;
                    let (from, to, datagram) = self.under_way.remove(&(at, number)).unwrap();
                    if let Some(node) = self.nodes.get_mut(&to) {
                        node.receive(at, from, &datagram);
                        self.collect(to);
                    }
                }
                _ if wake <= end => {
                    self.now = wake.max(self.now);
                    let now = self.now;
                    self.nodes.get_mut(&who).unwrap().wake(now);
                    self.collect(who);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    /// `count` nodes, each of which begins at the first, and knows others after a while.
    fn joined(count: u16, lost: u64) -> Self {
        let mut network = Self::new(7);
        network.lost = lost;
        network.add(0, None);
        for n in 1..count {
            network.add(n, Some(0));
            let now = network.now;
            network.node(n).refresh(now);
            network.collect(address(n));
            network.run(Duration::from_millis(200));
        }
        network.run(Duration::from_secs(20));
        network
    }
}

fn address(n: u16) -> SocketAddr {
    let [a, b] = n.to_be_bytes();
    SocketAddr::from(([20, a, b, 1], 6881))
}

/// Peers as they are announced: the address of the node, the port of the stream.
fn peer(n: u16) -> SocketAddr {
    SocketAddr::new(address(n).ip(), 7000 + n)
}

#[test]
fn among_three_hundred_nodes_a_viewer_finds_who_announced() {
    let mut network = Network::joined(300, 0);
    network.look_up(17);
    network.run(Duration::from_secs(10));
    let before = network.sent;
    network.look_up(231);
    // Two to five ways there and back.
    network.run(10 * DELAY);
    assert!(network.peers[&address(231)].contains(&peer(17)));
    assert!(network.sent - before < 100, "{}", network.sent - before);
    network.run(Duration::from_secs(10));
    assert!(network.found[&address(231)].nodes >= K);
    assert!(!network.node(231).is_looking_up());
    // It told of itself by the way.
    network.look_up(5);
    network.run(Duration::from_secs(10));
    let told = &network.peers[&address(5)];
    assert!(told.contains(&peer(17)) && told.contains(&peer(231)));
}

#[test]
fn loss_and_nodes_that_are_gone_delay_a_search_and_do_not_end_it() {
    let mut network = Network::joined(120, 20);
    network.look_up(3);
    network.run(Duration::from_secs(30));
    // Half of them go, among them whom all began with.
    let gone: Vec<_> = (0..120).filter(|n| n % 2 == 0).map(address).collect();
    network.nodes.retain(|address, _| !gone.contains(address));
    network.look_up(101);
    network.run(Duration::from_secs(60));
    assert!(network.peers[&address(101)].contains(&peer(3)));
}

#[test]
fn a_node_that_knows_nobody_says_so_at_once() {
    let mut network = Network::new(1);
    network.add(0, None);
    network.look_up(0);
    assert_eq!(network.found[&address(0)], Found { nodes: 0, peers: 0 });
    network.add(1, Some(9));
    network.look_up(1);
    assert!(network.node(1).is_looking_up());
    network.run(GONE + Duration::from_secs(1));
    assert_eq!(network.found[&address(1)], Found { nodes: 0, peers: 0 });
}

#[test]
fn a_number_follows_from_the_address_that_strangers_see() {
    let mut network = Network::joined(40, 0);
    network.look_up(7);
    network.run(Duration::from_secs(20));
    let node = network.node(7);
    assert!(node.id().fits(address(7).ip()));
    assert!(node.known() > K);
}

#[test]
fn who_takes_nobody_in_finds_and_is_not_announced_and_answers_nothing() {
    let mut network = Network::joined(20, 0);
    network.look_up(3);
    network.run(Duration::from_secs(10));
    network.add(50, Some(0));
    network.node(50).config.port = 0;
    network.look_up(50);
    network.run(Duration::from_secs(10));
    assert!(network.peers[&address(50)].contains(&peer(3)));
    let knows = network.nodes.values().filter(|node| {
        let all = node.table.closest(node.id(), 1000);
        all.iter().any(|contact| contact.address == address(50))
    });
    assert_eq!(knows.count(), 0);
    let ping = Query::Ping.to_bytes(1, NodeId([1; 20]), false);
    let now = network.now;
    let node = network.node(50);
    node.receive(now, address(3), &ping);
    assert_eq!(node.poll(), None);
    network.look_up(4);
    network.run(Duration::from_secs(10));
    assert!(!network.peers[&address(4)].contains(&SocketAddr::new(address(50).ip(), 7050)));
}

fn lone() -> Node {
    let mut network = Network::new(1);
    network.add(0, None);
    network.nodes.remove(&address(0)).unwrap()
}

fn outputs(node: &mut Node) -> Vec<Output> {
    std::iter::from_fn(|| node.poll()).collect()
}

#[test]
fn answers_are_two_hundred_a_second_and_twenty_to_one_address() {
    let mut node = lone();
    let ask = Query::FindNode {
        target: NodeId([3; 20]),
    };
    let datagram = ask.to_bytes(1, NodeId([1; 20]), true);
    (0..50).for_each(|_| node.receive(START, address(9), &datagram));
    assert_eq!(outputs(&mut node).len(), MAX_ANSWERS_EACH as usize);
    (10..1000).for_each(|n| node.receive(START, address(n), &datagram));
    let rest = (MAX_ANSWERS - MAX_ANSWERS_EACH) as usize;
    assert_eq!(outputs(&mut node).len(), rest);
    assert!(node.answers_each.len() <= MAX_ANSWERS as usize);
    node.receive(START + Duration::from_secs(1), address(9), &datagram);
    assert_eq!(outputs(&mut node).len(), 1);
}

#[test]
fn questions_under_way_are_sixty_four_and_those_to_strangers_eight() {
    let mut node = lone();
    let datagram = |n: u16| {
        let id = NodeId(std::array::from_fn(|place| (n >> (8 * (place % 2))) as u8));
        Query::Ping.to_bytes(1, id, false)
    };
    (10..100).for_each(|n| node.receive(START, address(n), &datagram(n)));
    assert_eq!(node.pending.len(), MAX_PINGS);
    assert_eq!(
        (100..300)
            .filter(|&n| node.begin_at(START, address(n)))
            .count(),
        MAX_BEGINNINGS
    );
    assert_eq!(node.beginnings.len(), MAX_BEGINNINGS);
    for round in 0..40 {
        let now = START + LATE * round;
        node.look_up(now);
        node.wake(now);
        assert!(node.pending.len() <= MAX_PENDING);
        outputs(&mut node);
    }
}

#[test]
fn a_node_of_the_other_family_in_an_answer_is_not_asked() {
    let config = Config {
        family: Family::V6,
        infohash: STREAM,
        port: 1,
        rng: Rng::with_seed(1),
    };
    let mut node = Node::new(config, START);
    let asked: SocketAddr = "[2001:db8::1]:6881".parse().unwrap();
    node.begin_at(START, asked);
    node.look_up(START);
    let Some(Output::Send { datagram, .. }) = node.poll() else {
        panic!("nothing asked");
    };
    let message = Message::parse(&datagram, Family::V6).unwrap().unwrap();
    let good: SocketAddr = "[2001:db8:5::1]:1".parse().unwrap();
    // An IPv4 address can stand in the form of an IPv6 one (RFC 4291 §2.5.5.2), which we never write.
    let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
    let stand_in = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 1);
    let contact = |number, address| Contact {
        id: NodeId([number; 20]),
        address,
    };
    let answer = Answer {
        id: NodeId([1; 20]),
        nodes: vec![contact(2, (stand_in, 1).into()), contact(3, good)],
        peers: Vec::new(),
        token: None,
    };
    let mut answer = answer.to_bytes(message.transaction, asked);
    let mut places = answer.windows(16);
    let place = places.position(|bytes| bytes == stand_in.octets()).unwrap();
    answer[place..place + 16].copy_from_slice(&mapped.octets());
    outputs(&mut node);
    node.receive(START, asked, &answer);
    let sent = outputs(&mut node)
        .into_iter()
        .filter_map(|output| match output {
            Output::Send { to, .. } => Some(to),
            _ => None,
        });
    let told: BTreeSet<_> = sent.filter(|to| *to != asked).collect();
    assert_eq!(told, BTreeSet::from([good]));
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut node = lone();
    node.begin_at(START, address(1));
    node.look_up(START);
    let asked = outputs(&mut node);
    let Some(Output::Send { datagram, .. }) = asked.first() else {
        panic!("nothing asked");
    };
    let message = Message::parse(datagram, Family::V4).unwrap().unwrap();
    let answer = Answer {
        id: NodeId([1; 20]),
        nodes: Vec::new(),
        peers: vec![peer(1)],
        token: Some(b"t"),
    };
    let forged = answer.to_bytes(message.transaction, address(0));
    // From another address, and under another number.
    node.receive(START, address(2), &forged);
    node.receive(START, address(1), &answer.to_bytes(b"zz", address(0)));
    assert!(outputs(&mut node).is_empty() && node.known() == 0);
    node.receive(START, address(1), &forged);
    assert!(outputs(&mut node).contains(&Output::Peers(vec![peer(1)])));
}

#[test]
fn addresses_of_a_local_network_are_not_taken_from_strangers() {
    let mut node = lone();
    node.begin_at(START, address(1));
    node.look_up(START);
    let Some(Output::Send { datagram, .. }) = node.poll() else {
        panic!("nothing asked");
    };
    let message = Message::parse(&datagram, Family::V4).unwrap().unwrap();
    let local: [SocketAddr; 3] =
        ["127.0.0.1:5", "192.168.1.2:5", "9.8.7.6:0"].map(|address| address.parse().unwrap());
    let answer = Answer {
        id: NodeId([1; 20]),
        nodes: local
            .iter()
            .map(|&address| Contact {
                id: NodeId([9; 20]),
                address,
            })
            .collect(),
        peers: local.into(),
        token: None,
    };
    outputs(&mut node);
    let datagram = answer.to_bytes(message.transaction, address(0));
    node.receive(START, address(1), &datagram);
    assert!(!outputs(&mut node).iter().any(|output| match output {
        Output::Peers(_) => true,
        Output::Send { to, .. } => local.contains(to),
        Output::Found(_) => false,
    }));
}

#[test]
fn an_announce_needs_the_token_that_was_given() {
    let mut node = lone();
    let target = STREAM.into();
    let ask = |node: &mut Node, query: Query<'_>| {
        node.receive(START, address(5), &query.to_bytes(1, NodeId([1; 20]), true));
        outputs(node)
    };
    let announce = |token| Query::AnnouncePeer {
        target,
        port: None,
        token,
    };
    let refused = Refusal::Token.to_bytes(&1u16.to_be_bytes());
    let send = |datagram| Output::Send {
        to: address(5),
        datagram,
    };
    assert_eq!(ask(&mut node, announce(b"guess")), [send(refused)]);
    let given = ask(&mut node, Query::GetPeers { target });
    let [Output::Send { datagram, .. }] = &given[..] else {
        panic!("{given:?}");
    };
    let Body::Answer(answer) = Message::parse(datagram, Family::V4).unwrap().unwrap().body else {
        panic!("no answer");
    };
    ask(&mut node, announce(answer.token.unwrap()));
    let told = node
        .announced
        .peers(START, target, address(6).ip(), 9, &mut Rng::with_seed(1));
    assert_eq!(told, [address(5)]);
}

#[test]
fn the_surroundings_are_looked_up_every_quarter_of_an_hour() {
    let mut network = Network::joined(10, 0);
    let before = network.sent;
    network.run(Duration::from_secs(60));
    assert_eq!(network.sent, before);
    network.run(REFRESH);
    assert!(network.sent > before);
}

#[test]
fn peers_of_a_search_are_five_hundred_and_each_is_told_once() {
    let mut node = lone();
    (1..20).for_each(|n| {
        node.begin_at(START, address(n));
    });
    node.look_up(START);
    let mut told = Vec::new();
    let mut answers = 0;
    // Each node names a hundred, some of which the one before it named.
    for _ in 0..20 {
        let asked = outputs(&mut node);
        for output in asked {
            let Output::Send { to, datagram } = output else {
                if let Output::Peers(peers) = output {
                    told.extend(peers);
                }
                continue;
            };
            let message = Message::parse(&datagram, Family::V4).unwrap().unwrap();
            let first = 70 * answers;
            answers += 1;
            let answer = Answer {
                id: NodeId([answers as u8; 20]),
                nodes: Vec::new(),
                peers: (first..first + 100).map(|n| peer(n + 1)).collect(),
                token: None,
            };
            node.receive(START, to, &answer.to_bytes(message.transaction, address(0)));
        }
    }
    let once: BTreeSet<_> = told.iter().copied().collect();
    assert_eq!(once.len(), told.len());
    assert_eq!(told.len(), MAX_FOUND);
}
