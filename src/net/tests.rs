// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Whole drivers over loopback.

use super::{outlet::Taken, *};

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{Mutex, mpsc},
    thread,
    time::Instant,
};

use crate::proto::{
    key::PrivateKey,
    lap::Lap,
    metainfo::{Info, Metainfo},
    piece::{Draft, Flags, Sealer},
    stats::PeerStats,
    swarm::Delivery,
    tracker::AnnounceResponse,
};

const LIMIT: Duration = Duration::from_secs(30);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PIECE_LENGTH: u32 = 16_384;
const TSTREAM: &[u8] = b"the bytes of a file";

/// A stream, and what is published of it.
struct Stream {
    metainfo: Arc<Metainfo>,
    sealer: Sealer,
    payload: Vec<u8>,
}

impl Stream {
    fn new() -> Self {
        let key = PrivateKey::generate();
        let lap = Lap::new(4096).unwrap();
        let info = Info::new("net test", PIECE_LENGTH, lap, key.public_key()).unwrap();
        let now = Clock::new().now().wall;
        Self {
            sealer: Sealer::new(key, info.infohash(), now, now),
            metainfo: Arc::new(Metainfo::new(info)),
            payload: Vec::new(),
        }
    }

    fn options(&self, role: Role) -> Options {
        let mut peer_id = *b"-LV0100-............";
        peer_id[8..].fill_with(|| fastrand::u8(..));
        Options {
            swarm: Config {
                buffer_size: 16 << 20,
                ..Config::new(self.metainfo.clone(), role, peer_id, 0, fastrand::u64(..))
            },
            listener: Listener::bind(&[LOOPBACK], 0).unwrap(),
            addresses: vec![LOOPBACK],
            trackers: Vec::new(),
            peers: Vec::new(),
            auxiliary: Vec::new(),
            serve: None,
            dht: true,
            lsd: true,
            port_mapping: true,
            cache: None,
            trace: None,
        }
    }

    fn source(&self) -> Driver {
        let options = Options {
            serve: Some(Serve {
                tstream: Served::new(TSTREAM),
                public: false,
                listener: None,
            }),
            ..self.options(Role::Source)
        };
        Driver::start(options, |_| {}).unwrap()
    }

    fn viewer(&self, peer: &Driver) -> Driver {
        let options = Options {
            peers: vec![format!("127.0.0.1:{}", peer.local_port())],
            ..self.options(VIEWER)
        };
        Driver::start(options, |_| {}).unwrap()
    }

    fn publish(&mut self, source: &Driver, flags: Flags) {
        let mut draft = Draft::new(b"", Flags::RANDOM_ACCESS | flags);
        let part: Vec<u8> = (0..fastrand::usize(1..16_000))
            .map(|_| fastrand::u8(..))
            .collect();
        draft.extend(&part);
        self.payload.extend(part);
        let piece = self.sealer.seal(Clock::new().now().wall, draft);
        assert!(source.publish(piece));
    }
}

const VIEWER: Role = Role::Viewer {
    latency: Duration::ZERO,
};

/// What a viewer was given up to the end.
fn collect(outlet: &Outlet) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    loop {
        match outlet.take(Some(LIMIT)) {
            Taken::Delivery(delivery) => deliveries.push(delivery),
            Taken::Ended => return deliveries,
            other => panic!("{other:?} after {} deliveries", deliveries.len()),
        }
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < LIMIT, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_viewer_of_a_viewer_gets_every_byte_of_200_pieces() {
    let mut stream = Stream::new();
    let source = stream.source();
    let first = stream.viewer(&source);
    let second = stream.viewer(&first);
    let (tell, told) = mpsc::channel();
    for viewer in [&first, &second] {
        let (outlet, tell) = (Arc::clone(viewer.outlet()), tell.clone());
        thread::spawn(move || tell.send(collect(&outlet)).unwrap());
    }
    // What comes before both have tuned in may be lost to them.
    let mut lead_in = 0;
    let playing = |viewer: &Driver| viewer.stats().bytes_out > 0;
    let began = Instant::now();
    while !(playing(&first) && playing(&second)) {
        assert!(
            began.elapsed() < LIMIT,
            "{:?} {:?}",
            first.stats(),
            second.stats()
        );
        stream.publish(&source, Flags::default());
        lead_in += 1;
        thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..199 {
        stream.publish(&source, Flags::default());
        thread::sleep(Duration::from_millis(2));
    }
    stream.publish(&source, Flags::END);
    for _ in 0..2 {
        let deliveries = told.recv_timeout(LIMIT).unwrap();
        assert!(deliveries.len() >= 200 && deliveries.len() <= 200 + lead_in);
        assert!(deliveries.iter().skip(1).all(|delivery| !delivery.discont));
        let payload: Vec<u8> = deliveries
            .iter()
            .flat_map(|delivery| delivery.payload.iter().copied())
            .collect();
        assert!(stream.payload.ends_with(&payload));
    }
    // Peers tell each other of the source in time; what came before came by way of the first.
    let stats = second.stats();
    let by_the_first = |peer: &&PeerStats| peer.address.port() == first.local_port();
    let by_the_first = stats.peers.iter().find(by_the_first).unwrap();
    assert!(by_the_first.bytes_downloaded > 0);
    for driver in [second, first, source] {
        driver.stop();
    }
}

#[test]
fn stopping_takes_no_half_second_whoever_hangs() {
    let stream = Stream::new();
    // It accepts, through its backlog, and never answers.
    let silent = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let silent_url = format!("http://{}/announce", silent.local_addr().unwrap());
    let options = Options {
        trackers: vec![vec![silent_url]],
        peers: vec![silent.local_addr().unwrap().to_string()],
        ..stream.options(VIEWER)
    };
    let viewer = Driver::start(options, |_| {}).unwrap();
    let port = viewer.local_port();
    let hanging: Vec<TcpStream> = (0..50)
        .map(|number| {
            let mut stream = TcpStream::connect((LOOPBACK, port)).unwrap();
            // Some say nothing, some stop within the handshake.
            stream
                .write_all(&b"\x13BitTorrent protocol"[..number % 20])
                .unwrap();
            stream
        })
        .collect();
    // The viewer is at work: it has dialled and asked.
    let dialled = [silent.accept().unwrap(), silent.accept().unwrap()];
    let began = Instant::now();
    viewer.stop();
    let took = began.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    for mut stream in hanging {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        assert!(!matches!(stream.read(&mut [0]), Ok(1..)));
    }
    drop(dialled);
}

#[test]
fn a_handler_of_notices_may_be_slow_and_may_stop_the_driver() {
    let stream = Stream::new();
    let source = stream.source();
    let slot: Arc<Mutex<Option<Driver>>> = Arc::default();
    let (tell, told) = mpsc::channel();
    let options = Options {
        peers: vec![format!("127.0.0.1:{}", source.local_port())],
        ..stream.options(VIEWER)
    };
    let holder = Arc::clone(&slot);
    let viewer = Driver::start(options, move |notice| {
        if matches!(notice, Notice::Swarm(Event::PeerAdded { .. })) {
            wait_until("the driver is there", || holder.lock().unwrap().is_some());
            let began = Instant::now();
            holder.lock().unwrap().take().unwrap().stop();
            tell.send(began.elapsed()).unwrap();
        }
    })
    .unwrap();
    *slot.lock().unwrap() = Some(viewer);
    let took = told.recv_timeout(LIMIT).unwrap();
    assert!(took < Duration::from_millis(500), "{took:?}");
    source.stop();
}

#[test]
fn the_tracker_of_a_source_introduces_viewers_and_its_file_is_fetched() {
    let stream = Stream::new();
    let source = stream.source();
    let port = source.local_port();
    let file = fetch(
        &format!("http://127.0.0.1:{port}/net%20test.tstream"),
        100,
        LIMIT,
    );
    assert_eq!(file.unwrap(), TSTREAM);
    let error = fetch(
        &format!("http://127.0.0.1:{port}/other.tstream"),
        100,
        LIMIT,
    );
    assert!(error.unwrap_err().contains("404"));

    let url = format!("http://127.0.0.1:{port}/announce");
    let start = || {
        let options = Options {
            trackers: vec![vec![url.clone()]],
            ..stream.options(VIEWER)
        };
        Driver::start(options, |_| {}).unwrap()
    };
    let first = start();
    let ours = Announce {
        port: 0,
        ..announced(&stream.options(VIEWER).swarm)
    };
    let known = || {
        let answer = fetch(&ours.url(&url), 10_000, LIMIT).unwrap();
        AnnounceResponse::parse(&answer).unwrap().peers
    };
    let there = |driver: &Driver| SocketAddr::new(LOOPBACK, driver.local_port());
    wait_until("the tracker knows the viewer", || {
        known() == [there(&source), there(&first)]
    });
    // The second finds the source by its URL and the first by its tracker.
    let second = start();
    wait_until("the viewers are connected", || {
        second.stats().peers_connected == 2
    });
    first.stop();
    wait_until("the tracker has forgotten who said stopped", || {
        known() == [there(&source), there(&second)]
    });
    second.stop();
    source.stop();
}

#[test]
fn silent_connections_do_not_keep_a_peer_out_and_a_viewer_speaks_no_http() {
    let stream = Stream::new();
    let source = stream.source();
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut silent = TcpStream::connect((LOOPBACK, source.local_port())).unwrap();
            silent.write_all(b"\x13").unwrap();
            silent
        })
        .collect();
    let viewer = stream.viewer(&source);
    wait_until("the viewer is let in", || {
        source.stats().peers_connected == 1
    });
    drop(silent);

    let mut browser = TcpStream::connect((LOOPBACK, viewer.local_port())).unwrap();
    browser.set_read_timeout(Some(LIMIT)).unwrap();
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(!matches!(browser.read(&mut [0]), Ok(1..)));
    viewer.stop();
    source.stop();
}

#[test]
fn a_source_dials_its_relays() {
    let mut stream = Stream::new();
    let relay = Driver::start(stream.options(VIEWER), |_| {}).unwrap();
    let (tell, told) = mpsc::channel();
    let options = Options {
        auxiliary: vec![format!("localhost:{}", relay.local_port())],
        ..stream.options(Role::Source)
    };
    let source = Driver::start(options, move |notice| {
        let _ = tell.send(notice);
    })
    .unwrap();
    let added = told.iter().find_map(|notice| match notice {
        Notice::Swarm(Event::PeerAdded { address, .. }) => Some(address),
        _ => None,
    });
    assert_eq!(
        added.map(|address| address.port()),
        Some(relay.local_port())
    );
    stream.publish(&source, Flags::default());
    wait_until("the relay plays", || relay.stats().bytes_out > 0);
    stream.publish(&source, Flags::END);
    let deliveries = collect(relay.outlet());
    let payload: Vec<&[u8]> = deliveries.iter().map(|d| &d.payload[..]).collect();
    assert_eq!(payload.concat(), stream.payload);
    relay.stop();
    source.stop();
}

#[test]
fn inputs_outputs_and_events_are_traced_and_news_is_told() {
    let stream = Stream::new();
    let source = stream.source();
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&lines);
    let (tell, told) = mpsc::channel();
    let options = Options {
        peers: vec!["nonsense".into()],
        trace: Some(Trace::new(move |_, line| {
            sink.lock().unwrap().push(line.to_string());
        })),
        ..stream.options(VIEWER)
    };
    let viewer = Driver::start(options, move |notice| {
        let _ = tell.send(notice);
    })
    .unwrap();
    viewer.add_peer(&format!("localhost:{}", source.local_port()));
    let notices: Vec<Notice> = told
        .iter()
        .take_while(|notice| !matches!(notice, Notice::Swarm(Event::PeerAdded { .. })))
        .collect();
    assert!(
        notices
            .iter()
            .any(|notice| matches!(notice, Notice::Tracker(text) if text.contains("nonsense")))
    );
    viewer.stop();
    let lines = lines.lock().unwrap();
    for part in ["Candidates", "Dial", "Connected", "Received", "PeerAdded"] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part}");
    }
    let calls = format!("calling 127.0.0.1:{}", source.local_port());
    for part in [&calls[..], "connected to ", "the user names "] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part}");
    }
}

#[test]
fn a_viewer_without_upload_does_not_listen() {
    let stream = Stream::new();
    let mut options = stream.options(VIEWER);
    options.swarm.upload_enabled = false;
    let viewer = Driver::start(options, |_| {}).unwrap();
    let port = viewer.local_port();
    wait_until("the port is closed", || {
        TcpStream::connect((LOOPBACK, port)).is_err()
    });
    viewer.stop();
}

#[test]
fn a_source_does_not_announce_to_itself() {
    let stream = Stream::new();
    let mut options = stream.options(Role::Source);
    let own = format!(
        "http://stream.example.org:{}/announce",
        options.listener.port()
    );
    let other = "http://tracker.example.org/announce".to_owned();
    options.swarm.metainfo = Arc::new(Metainfo {
        trackers: vec![vec![own.clone(), other.clone()]],
        ..Metainfo::clone(&options.swarm.metainfo)
    });
    let tiers = vec![vec![own, other.clone()]];
    let left = without_own(tiers.clone(), &options.swarm, &options.listener);
    assert_eq!(left, [vec![other]]);
    options.swarm.role = VIEWER;
    assert_eq!(
        without_own(tiers.clone(), &options.swarm, &options.listener),
        tiers
    );
}

#[test]
fn a_driver_that_stops_wakes_its_taker() {
    let stream = Stream::new();
    let viewer = Driver::start(stream.options(VIEWER), |_| {}).unwrap();
    let outlet = Arc::clone(viewer.outlet());
    let taker = thread::spawn(move || outlet.take(Some(LIMIT)));
    drop(viewer);
    assert!(matches!(taker.join().unwrap(), Taken::Flushing));
}

#[test]
fn what_a_driver_that_does_not_run_is_told_is_bounded() {
    let stream = Stream::new();
    let config = stream.options(Role::Source).swarm;
    let most = max_unpublished(&config);
    let (commands, told) = async_channel::bounded(MAX_COMMANDS);
    let (pieces, published) = async_channel::unbounded();
    let (outlet, _taken) = Outlet::new();
    let driver = Driver {
        running: None,
        commands,
        pieces,
        max_unpublished: most,
        outlet: Arc::new(outlet),
        shown: Arc::new(Shown::new(1)),
        ways: Arc::default(),
        port: 0,
    };
    for number in 0..1000 {
        driver.add_peer(&number.to_string());
    }
    assert_eq!(told.len(), MAX_COMMANDS);
    let newest = std::iter::from_fn(|| told.try_recv().ok()).last();
    assert!(matches!(newest, Some(Command::AddPeer(address)) if address == "999"));
    let mut sealer = Sealer::new(
        PrivateKey::generate(),
        config.metainfo.info.infohash(),
        1,
        0,
    );
    let piece = sealer.seal(1, Draft::new(&[], Flags::default()));
    for number in 0..most + 10 {
        assert_eq!(driver.publish(piece.clone()), number < most);
    }
    assert_eq!(published.len(), most);
}

#[test]
fn names_that_are_looked_up_are_sixty_four() {
    let stream = Stream::new();
    let mut options = stream.options(Role::Viewer {
        latency: Duration::ZERO,
    });
    options.peers = (0..100).map(|n| format!("host-{n}.invalid:1")).collect();
    let (tell, told) = mpsc::channel();
    let driver = Driver::start(options, move |notice| {
        let _ = tell.send(notice);
    })
    .unwrap();
    let too_many = |notice: &Notice| matches!(notice, Notice::Tracker(text) if text.contains("one name too many"));
    let refused = std::iter::from_fn(|| told.recv_timeout(LIMIT).ok())
        .filter(too_many)
        .take(36);
    assert_eq!(refused.count(), 36);
    driver.stop();
}

#[test]
fn local_addresses_are_this_hosts_and_one_of_each_family() {
    let found = local_addresses();
    for address in &found {
        assert!(Listener::bind(&[*address], 0).is_ok(), "{address}");
    }
    for v6 in [false, true] {
        let of_family = found.iter().filter(|address| address.is_ipv6() == v6);
        assert!(of_family.count() <= 1, "{found:?}");
    }
}
