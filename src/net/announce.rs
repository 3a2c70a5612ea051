// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The tracker client (PROTOCOL §8; BEP 3, 12, 15, 23): whom to ask, and when.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_lite::future;

use super::{
    back_off::{BackOff, upper_half},
    discovery::Discovery,
    last_word::LastWord,
    local::Local,
    ports::Ports,
    runtime::{Spawner, sleep, unblock},
    shown::Watch,
    tracker::Tracker,
};
use crate::proto::{
    address::Family,
    stats::Stats,
    swarm::Origin,
    tracker::{Announce, AnnounceResponse, Event},
};

/// No tracker is asked more often (PROTOCOL §8).
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Nor one that names no least interval more often than this, as none does over UDP (BEP 15).
const UNTOLD_MIN_INTERVAL: Duration = Duration::from_secs(60);
/// Nor less often, whatever it says: a swarm changes.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);
/// After a failure, drawn from the upper half: 10–20 s, 20–40 s, … up to five minutes.
const RETRY: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(300));
/// A viewer without a peer retries after this at the latest; drawn from the upper half.
const LONELY_RETRY: Duration = Duration::from_secs(30);
/// A source that came back may have begun with a tracker that knows nobody: it is told within so long.
const RETURN_SPREAD: Duration = Duration::from_secs(4);
/// For the trackers to hear that we go: one that is far hears it where the process goes on.
const PATIENCE: Duration = Duration::from_millis(200);
/// Trackers of one stream; the rest is left out.
const MAX_TRACKERS: usize = 32;

/// Announces one peer. A viewer asks one tracker of each tier, and oftener while it has few peers or the
/// source is away. BEP 12 has one tier after the other; whoever waits for a picture cannot wait
/// for a tracker that is off. A source wants to be found: it tells all.
#[derive(Debug, Clone)]
pub(super) struct Announcer {
    /// What it says of us, but for the event, the figures and the port.
    pub(super) request: Announce,
    pub(super) discovery: Discovery,
    pub(super) farewell: Farewell,
}

/// The trackers that know us, by IPv4, by IPv6 or by both, and where: to be told that we go.
#[derive(Debug, Clone, Default)]
pub(super) struct Farewell(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    to: BTreeMap<(Tracker, Family), SocketAddr>,
    /// They are being told; whoever hears of us now is told at once.
    over: bool,
}

/// How long until the next announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause {
    /// As long as there are peers and the source, or we look for none.
    usual: Duration,
    /// With few peers, or without the source.
    lonely: Duration,
}

impl Pause {
    fn after(response: &AnnounceResponse) -> Self {
        let usual = response.interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        let least = response.min_interval.unwrap_or(UNTOLD_MIN_INTERVAL);
        Self {
            usual,
            lonely: least.clamp(MIN_INTERVAL, usual),
        }
    }

    fn after_failure(back_off: &mut BackOff) -> Self {
        let usual = back_off.next();
        Self {
            usual,
            lonely: usual.min(upper_half(LONELY_RETRY)),
        }
    }

    /// What both ask for.
    fn longer(self, other: Self) -> Self {
        Self {
            usual: self.usual.max(other.usual),
            lonely: self.lonely.max(other.lonely),
        }
    }
}

impl Announcer {
    /// Announces to `tiers` for as long as the driver is there.
    pub(super) fn start(self, spawner: &Spawner, tiers: Vec<Vec<String>>) {
        let mut tiers = self.usable(tiers);
        if !self.discovery.viewer {
            tiers = tiers.into_iter().flatten().map(|one| vec![one]).collect();
        }
        for tier in tiers {
            let announcer = self.clone();
            spawner.spawn(async move { announcer.run(tier).await });
        }
    }

    /// The tiers that we can speak to, each in an order of our own (BEP 12).
    fn usable(&self, tiers: Vec<Vec<String>>) -> Vec<Vec<Tracker>> {
        let mut left = MAX_TRACKERS;
        let mut read = |url: String| {
            let tracker = Tracker::parse(&url).and_then(|tracker| {
                left = left.checked_sub(1).ok_or("there are too many trackers")?;
                Ok(tracker)
            });
            let skipped = |reason: &&str| {
                let outcome = format!("skipped: {reason}");
                self.discovery.tried(&way(&url), 0, outcome);
            };
            tracker.inspect_err(skipped).ok()
        };
        let mut usable: Vec<Vec<_>> = tiers
            .into_iter()
            .map(|tier| tier.into_iter().filter_map(&mut read).collect())
            .collect();
        usable.retain(|tier| !tier.is_empty());
        usable.iter_mut().for_each(|tier| fastrand::shuffle(tier));
        usable
    }

    async fn run(&self, mut tier: Vec<Tracker>) {
        let mut back_off = BackOff::new(RETRY);
        let mut watch = self.discovery.watch();
        loop {
            let pause = match self.round(&mut tier).await {
                Some(pause) => {
                    back_off.reset();
                    pause
                }
                None => Pause::after_failure(&mut back_off),
            };
            self.wait(&mut watch, pause).await;
        }
    }

    /// Asks one after the other until one answers, which comes first from then on.
    async fn round(&self, tier: &mut [Tracker]) -> Option<Pause> {
        for place in 0..tier.len() {
            match self.announce(&tier[place]).await {
                Ok(pause) => {
                    tier[..=place].rotate_right(1);
                    return Some(pause);
                }
                Err(reason) => self.discovery.tried(&way(tier[place].url()), 0, reason),
            }
        }
        None
    }

    /// Asks by IPv4 and IPv6 at once, where the tracker has both; one answer is enough.
    async fn announce(&self, tracker: &Tracker) -> Result<Pause, String> {
        let asking = format!("asking tracker {}", tracker.url());
        self.discovery.notifier.tracker(asking);
        let addresses = tracker.addresses().await?;
        let [v4, v6] = addresses.map(|address| async move {
            match address {
                Some(address) => Some(self.ask(tracker, address).await),
                None => None,
            }
        });
        match future::zip(v4, v6).await {
            (Some(Ok(one)), Some(Ok(other))) => Ok(one.longer(other)),
            (Some(Ok(pause)), _) | (_, Some(Ok(pause))) => Ok(pause),
            (Some(Err(reason)), _) | (_, Some(Err(reason))) => Err(reason),
            (None, None) => Err("its host has no address".to_owned()),
        }
    }

    /// What the answer from one address brings is told at once: the other may be long in coming.
    async fn ask(&self, tracker: &Tracker, address: SocketAddr) -> Result<Pause, String> {
        let is_known = self.farewell.is_known_to(tracker, address);
        let stats = self.discovery.shown.stats();
        let mut request = with_figures(self.request.clone(), &stats);
        request.event = (!is_known).then_some(Event::Started);
        request.port = self.discovery.ports.towards(address.ip());
        let (asked, local) = (tracker.clone(), self.discovery.local.clone());
        let farewell = self.farewell.clone();
        // Also where nobody waits for the answer any more.
        let asking = unblock(move || {
            if farewell.is_over() {
                return Err("the end has come".to_owned());
            }
            let response = asked.ask(address, request.clone(), &local)?;
            farewell.heard(asked, address, request, &local);
            Ok(response)
        });
        let response = asking.await?;
        let peers = response.peers.len();
        let mut outcome = match self.discovery.viewer {
            true => format!("knows {peers} peers"),
            // It asked for none.
            false => "knows of us".to_owned(),
        };
        if let Some(warning) = &response.warning {
            outcome = format!("{outcome} and warns: {warning}");
        }
        self.discovery.tried(&way(tracker.url()), peers, outcome);
        let pause = Pause::after(&response);
        self.discovery.found(Origin::Tracker, response.peers).await;
        Ok(pause)
    }

    /// Waits as long as the circumstances, which may change meanwhile, ask for.
    async fn wait(&self, watch: &mut Watch, pause: Pause) {
        if watch.rest(Instant::now(), pause.lonely, pause.usual).await {
            sleep(RETURN_SPREAD.mul_f64(fastrand::f64())).await;
        }
    }
}

/// What the way through this tracker is called.
fn way(url: &str) -> String {
    format!("tracker {url}")
}

/// What was carried until now.
fn with_figures(request: Announce, stats: &Stats) -> Announce {
    Announce {
        uploaded: stats.bytes_uploaded,
        downloaded: stats.bytes_downloaded,
        ..request
    }
}

impl Farewell {
    fn is_known_to(&self, tracker: &Tracker, address: SocketAddr) -> bool {
        let key = (tracker.clone(), Family::of(address.ip()));
        self.lock().to.contains_key(&key)
    }

    fn is_over(&self) -> bool {
        self.lock().over
    }

    /// A tracker knows us now by this request. It may block.
    fn heard(&self, tracker: Tracker, address: SocketAddr, request: Announce, local: &Local) {
        let mut known = self.lock();
        if !known.over {
            let key = (tracker, Family::of(address.ip()));
            known.to.insert(key, address);
            return;
        }
        drop(known);
        let request = Announce {
            event: Some(Event::Stopped),
            ..request
        };
        // It forgets us by itself where this fails.
        drop(tracker.tell(address, request, local));
    }

    /// Begins to tell every tracker that knows us that we go, with what was carried.
    pub(super) fn say(
        &self,
        request: &Announce,
        stats: &Stats,
        local: &Local,
        ports: &Ports,
    ) -> LastWord {
        let mut known = self.lock();
        known.over = true;
        let told = std::mem::take(&mut known.to);
        drop(known);
        let word = LastWord::new(PATIENCE);
        for ((tracker, _), address) in told {
            let mut request = with_figures(request.clone(), stats);
            request.event = Some(Event::Stopped);
            request.port = ports.towards(address.ip());
            let local = local.clone();
            // It forgets us by itself where this fails.
            word.add(move || drop(tracker.tell(address, request, &local)));
        }
        word
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        sync::mpsc,
        thread,
    };

    use super::super::{Notice, discovery, inbox::Inbound, runtime::Runtime};
    use crate::proto::swarm::{ENOUGH_PEERS, Event as SwarmEvent};

    const LIMIT: Duration = Duration::from_secs(20);

    /// A tracker that gives everybody the same answer, and what it was asked.
    fn tracker(answer: &'static [u8]) -> (String, mpsc::Receiver<String>) {
        tracker_at("127.0.0.1:0", answer)
    }

    fn tracker_at(address: &str, answer: &'static [u8]) -> (String, mpsc::Receiver<String>) {
        let listener = TcpListener::bind(address).unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let (tell, told) = mpsc::channel();
        // Ends with the test: nobody hears what it was asked then.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut lines = (&mut stream).lines().map_while(Result::ok);
                let target = lines.next().unwrap_or_default();
                lines.find(String::is_empty);
                let head = "HTTP/1.0 200 OK\r\n\r\n".as_bytes();
                let _ = stream.get_mut().write_all(&[head, answer].concat());
                if tell.send(target).is_err() {
                    return;
                }
            }
        });
        (url, told)
    }

    struct Bench {
        announcer: Announcer,
        inputs: async_channel::Receiver<Inbound>,
        notices: mpsc::Receiver<Notice>,
    }

    fn bench(viewer: bool) -> Bench {
        let bench = discovery::bench(viewer, 7764);
        Bench {
            announcer: Announcer {
                request: Announce::sample(),
                discovery: bench.discovery,
                farewell: Farewell::default(),
            },
            inputs: bench.inputs,
            notices: bench.notices,
        }
    }

    fn round(announcer: &Announcer, tier: &mut [Tracker]) -> Option<Pause> {
        future::block_on(announcer.round(tier))
    }

    fn trackers(urls: &[&String]) -> Vec<Tracker> {
        let read = |url: &&String| Tracker::parse(url).unwrap();
        urls.iter().map(read).collect()
    }

    #[test]
    fn the_first_that_answers_moves_to_the_front_of_its_tier() {
        let bench = bench(true);
        let (refuses, refused) = tracker(b"d14:failure reason2:noe");
        let (answers, asked) = tracker(b"d8:intervali60e5:peers6:\x7f\0\0\x01\0\x09e");
        let (last, never) = tracker(b"de");
        let mut tier = trackers(&[&refuses, &answers, &last]);
        assert!(round(&bench.announcer, &mut tier).is_some());
        let Ok(Inbound::Candidates { addresses, .. }) = bench.inputs.try_recv() else {
            panic!("no candidates");
        };
        assert_eq!(addresses, [SocketAddr::from(([127, 0, 0, 1], 9))]);
        assert_eq!(tier, trackers(&[&answers, &refuses, &last]));
        assert!(refused.recv_timeout(LIMIT).is_ok());
        let target = asked.recv_timeout(LIMIT).unwrap();
        let infohash = format!("info_hash={}", "%FF".repeat(20));
        for part in [&infohash, "&port=7764&", "&left=2&", "&event=started"] {
            assert!(target.contains(part), "{part}: {target}");
        }
        assert!(never.try_recv().is_err());
        let texts: Vec<_> = bench.notices.iter().take(4).collect();
        assert!(
            matches!(&texts[..], [_, Notice::Tracker(first), .., Notice::Tracker(last)]
                if first.contains("no") && last.contains("1 peers")),
            "{texts:?}"
        );
    }

    #[test]
    fn started_is_said_until_it_was_heard_and_stopped_to_whom_heard_it() {
        let bench = bench(true);
        let (url, asked) = tracker(b"d8:intervali60e5:peers0:e");
        let mut tier = trackers(&[&url]);
        for has_event in [true, false] {
            round(&bench.announcer, &mut tier).unwrap();
            let target = asked.recv_timeout(LIMIT).unwrap();
            assert_eq!(target.contains("event=started"), has_event, "{target}");
        }
        let stats = Stats {
            bytes_uploaded: 5,
            bytes_downloaded: 7,
            ..Stats::default()
        };
        let farewell = &bench.announcer.farewell;
        let say = || {
            let (local, ports) = (Local::anywhere(), Ports::new(7764));
            farewell.say(&Announce::sample(), &stats, &local, &ports)
        };
        say().wait();
        let target = asked.recv_timeout(LIMIT).unwrap();
        assert!(target.contains("event=stopped"), "{target}");
        assert!(target.contains("&uploaded=5&downloaded=7&"), "{target}");
        // Once.
        say().wait();
        assert!(asked.try_recv().is_err());
        // What was under way then is taken back, and nothing more begins.
        let [tracker] = &tier[..] else {
            panic!("one tracker");
        };
        let at = future::block_on(tracker.addresses()).unwrap()[0].unwrap();
        farewell.heard(tracker.clone(), at, Announce::sample(), &Local::anywhere());
        let target = asked.recv_timeout(LIMIT).unwrap();
        assert!(target.contains("event=stopped"), "{target}");
        assert!(round(&bench.announcer, &mut tier).is_none() && asked.try_recv().is_err());
    }

    #[test]
    fn a_tracker_is_told_the_beginning_and_the_end_by_each_family() {
        let bench = bench(true);
        let (url, first) = tracker(b"d8:intervali60e5:peers0:e");
        let (other, second) = tracker_at("[::1]:0", b"d8:intervali60e5:peers0:e");
        let [one] = &trackers(&[&url])[..] else {
            panic!("one tracker");
        };
        let [v4, v6] = [&url, &other].map(|url| {
            let url = url.parse::<ureq::http::Uri>().unwrap();
            url.authority().unwrap().as_str().parse().unwrap()
        });
        let is_event = |asked: &mpsc::Receiver<String>, event: &str| {
            let target = asked.recv_timeout(LIMIT).unwrap();
            assert!(target.contains(event), "{target}");
        };
        future::block_on(bench.announcer.ask(one, v4)).unwrap();
        is_event(&first, "event=started");
        // A name has both; here each has a URL of its own.
        let [two] = &trackers(&[&other])[..] else {
            panic!("one tracker");
        };
        assert!(!bench.announcer.farewell.is_known_to(one, v6));
        future::block_on(bench.announcer.ask(two, v6)).unwrap();
        is_event(&second, "event=started");
        let (local, ports) = (Local::anywhere(), Ports::new(7764));
        let farewell = &bench.announcer.farewell;
        farewell
            .say(&Announce::sample(), &Stats::default(), &local, &ports)
            .wait();
        is_event(&first, "event=stopped");
        is_event(&second, "event=stopped");
    }

    #[test]
    fn the_lonely_do_not_come_back_all_at_once() {
        let mut back_off = BackOff::new(RETRY);
        for _ in 0..10 {
            back_off.next();
        }
        let mut waits = (0..20).map(|_| Pause::after_failure(&mut back_off).lonely);
        let first = waits.next().unwrap();
        let range = LONELY_RETRY / 2..=LONELY_RETRY;
        assert!(waits.by_ref().take(5).all(|wait| range.contains(&wait)));
        assert!(waits.any(|wait| wait != first));
    }

    #[test]
    fn a_viewer_asks_one_tracker_of_each_tier_and_hands_the_peers_over_and_a_source_tells_all() {
        for (viewer, expected) in [(true, 2), (false, 3)] {
            let bench = bench(viewer);
            let asked: Vec<_> = (0..3)
                .map(|_| tracker(b"d8:intervali60e5:peers6:\x7f\0\0\x01\0\x09e"))
                .collect();
            let (stop, stopped) = async_channel::bounded::<()>(1);
            let announcer = bench.announcer;
            let url = |place: usize| asked[place].0.clone();
            let tiers = vec![vec![url(0), url(1)], vec![url(2)]];
            let runtime = Runtime::start("test", move |spawner| async move {
                announcer.start(&spawner, tiers);
                let _ = stopped.recv().await;
            })
            .unwrap();
            let knows = |notice: &Notice| matches!(notice, Notice::Tracker(text) if text.contains(": knows"));
            let answered = bench.notices.iter().filter(knows).take(expected).count();
            assert_eq!(answered, expected);
            let was_asked = |place: usize| asked[place].1.try_recv().is_ok();
            assert_eq!(
                (0..2).filter(|&place| was_asked(place)).count(),
                expected - 1
            );
            assert!(was_asked(2));
            for _ in 0..if viewer { expected } else { 0 } {
                let Ok(Inbound::Candidates { origin, addresses }) = bench.inputs.recv_blocking()
                else {
                    panic!("no candidates");
                };
                assert_eq!(origin, Origin::Tracker);
                assert_eq!(addresses, [SocketAddr::from(([127, 0, 0, 1], 9))]);
            }
            drop(stop);
            assert!(runtime.join(LIMIT));
            assert!(bench.inputs.try_recv().is_err());
        }
    }

    #[test]
    fn a_tracker_is_asked_oftener_without_the_source_and_at_once_when_that_is_back() {
        let bench = bench(true);
        let (url, asked) = tracker(b"d8:intervali1800e5:peers0:e");
        let shown = Arc::clone(&bench.announcer.discovery.shown);
        let added = SwarmEvent::PeerAdded {
            id: String::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 9)),
        };
        (0..ENOUGH_PEERS).for_each(|_| shown.observe(&added));
        assert!(shown.is_content());
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let announcer = bench.announcer;
        let runtime = Runtime::start("test", move |spawner| async move {
            announcer.start(&spawner, vec![vec![url]]);
            let _ = stopped.recv().await;
        })
        .unwrap();
        assert!(asked.recv_timeout(LIMIT).is_ok());
        shown.observe(&SwarmEvent::SourceAway);
        assert!(!shown.is_content());
        shown.observe(&SwarmEvent::SourceBack);
        assert!(shown.is_content());
        let again = asked.recv_timeout(LIMIT);
        assert!(again.is_ok(), "half an hour would be over {LIMIT:?}");
        drop(stop);
        assert!(runtime.join(LIMIT));
    }

    #[test]
    fn urls_that_nobody_here_speaks_are_skipped_and_said_so() {
        let bench = bench(true);
        let tier = ["udp://a/announce", "http://b/announce", "wss://c"].map(String::from);
        let usable = bench.announcer.usable(vec![tier.into(), Vec::new()]);
        assert_eq!(usable, [trackers(&[&"http://b/announce".to_owned()])]);
        let texts: Vec<_> = bench.notices.iter().take(2).collect();
        for (notice, part) in texts.iter().zip(["port", "wss"]) {
            assert!(matches!(notice, Notice::Tracker(text)
                if text.contains("skipped") && text.contains(part)));
        }
        let many: Vec<_> = (0..100).map(|n| format!("http://{n}/announce")).collect();
        let usable = bench.announcer.usable(vec![many]);
        assert_eq!(usable.concat().len(), MAX_TRACKERS);
    }

    #[test]
    fn intervals_are_the_trackers_within_bounds_and_short_for_the_lonely() {
        let seconds = Duration::from_secs;
        let pause = |interval, min_interval: Option<u64>| {
            Pause::after(&AnnounceResponse {
                interval: seconds(interval),
                min_interval: min_interval.map(seconds),
                warning: None,
                peers: Vec::new(),
            })
        };
        for (interval, min, usual, lonely) in [
            (60, Some(10), 60, 10),
            (1800, None, 1800, 60),
            (1800, Some(900), 1800, 900),
            (1, None, 10, 10),
            (100_000, Some(200_000), 3600, 3600),
        ] {
            let expected = Pause {
                usual: seconds(usual),
                lonely: seconds(lonely),
            };
            assert_eq!(pause(interval, min), expected);
        }
        let mut back_off = BackOff::new(RETRY);
        for _ in 0..20 {
            let pause = Pause::after_failure(&mut back_off);
            assert!(pause.lonely >= seconds(10) && pause.lonely <= seconds(30));
            assert!(pause.usual <= seconds(300));
        }
    }
}
