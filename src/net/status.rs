// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The status page's figures for whoever asks, and for who listens to them: taken once a second,
//! rendered once however many ask, and not at all where nobody does.

use std::{
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};

use super::{
    clock::Clock,
    runtime::{TcpStream, timeout},
};
use crate::proto::{
    address::network,
    stats::{Stats, Way},
    status::{About, Document, Record, Sight},
};

/// Between two moments.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// One of so many moments is told to other hosts: what they are told is upload that viewers could use.
const FAR_TICKS: u64 = 5;
/// Who listens to changes of the page at once.
const MAX_LISTENERS: usize = 16;
/// Those on other hosts, or behind a relay: some places are kept for this one.
const MAX_FAR: usize = 12;
/// Those of one other address.
const MAX_OF_ADDRESS: usize = 4;
/// For a listener to take an event: who is slower is behind for good.
const WRITE_TIME: Duration = Duration::from_secs(5);
/// What the kernel keeps for a listener who is slow.
const SEND_BUFFER: usize = 64 * 1024;
/// What a listener may say. It has nothing to say.
const MAX_SAID: usize = 4 * 1024;

/// The figures, in every form that somebody asked for.
#[derive(Debug)]
pub(super) struct Board {
    about: About,
    clock: Clock,
    state: Mutex<State>,
    listeners: Mutex<Listeners>,
    write_time: Duration,
}

#[derive(Debug)]
struct State {
    record: Record,
    /// Of this moment: at most one for each document and sight.
    rendered: Vec<(Document, Sight, Bytes)>,
}

#[derive(Debug, Default)]
struct Listeners {
    ticks: u64,
    all: Vec<Listener>,
}

#[derive(Debug)]
struct Listener {
    /// A token for each moment; one that is still there says the same.
    tell: Sender<()>,
    from: Asker,
}

/// Whom places are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Here,
    /// Through a relay, which may have many behind it.
    Relay,
    Network(IpAddr),
}

/// One listener's end.
#[derive(Debug)]
pub(super) struct Feed {
    sight: Sight,
    told: Receiver<()>,
}

impl Board {
    /// Nothing but what it is about.
    pub(super) fn new(about: About, clock: Clock) -> Self {
        let record = Record::new(about.clone(), clock.now().at);
        Self {
            about,
            clock,
            state: Mutex::new(State {
                record,
                rendered: Vec::new(),
            }),
            listeners: Mutex::default(),
            write_time: WRITE_TIME,
        }
    }

    /// What it is about.
    pub(super) const fn about(&self) -> &About {
        &self.about
    }

    /// The stream has another link.
    pub(super) fn renew(&self, link: String) {
        lock(&self.state).record.renew(link);
    }

    /// Takes in a moment, and tells those whose turn it is.
    pub(super) fn note(
        &self,
        stats: Arc<Stats>,
        published: u64,
        announced: Option<u64>,
        ways: Vec<Way>,
    ) {
        let mut state = lock(&self.state);
        let now = self.clock.now().at;
        state.record.note(now, stats, published, announced, ways);
        state.rendered.clear();
        drop(state);
        let mut listeners = lock(&self.listeners);
        let far = listeners.ticks.is_multiple_of(FAR_TICKS);
        listeners.ticks += 1;
        listeners.all.retain(|listener| {
            if far || listener.from == Asker::Here {
                let _ = listener.tell.try_send(());
            }
            !listener.tell.is_closed()
        });
    }

    /// A document of the newest moment.
    pub(super) fn document(&self, document: Document, sight: Sight) -> Bytes {
        let mut state = lock(&self.state);
        let mut rendered = state.rendered.iter();
        let known = rendered.find(|known| (known.0, known.1) == (document, sight));
        if let Some((.., bytes)) = known {
            return bytes.clone();
        }
        let bytes = Bytes::from(state.record.render(document, sight));
        state.rendered.push((document, sight, bytes.clone()));
        bytes
    }

    /// A place for who wants to hear of changes; none: there is none left for that one.
    pub(super) fn listen(&self, asker: IpAddr, relayed: bool, sight: Sight) -> Option<Feed> {
        let from = match asker.to_canonical() {
            _ if relayed => Asker::Relay,
            ip if ip.is_loopback() => Asker::Here,
            ip => Asker::Network(network(ip)),
        };
        let mut listeners = lock(&self.listeners);
        let all = &mut listeners.all;
        all.retain(|listener| !listener.tell.is_closed());
        let count = |of: &dyn Fn(Asker) -> bool| all.iter().filter(|one| of(one.from)).count();
        let is_full = match from {
            Asker::Here => false,
            Asker::Relay => count(&|one| one != Asker::Here) >= MAX_FAR,
            Asker::Network(_) => {
                count(&|one| one != Asker::Here) >= MAX_FAR
                    || count(&|one| one == from) >= MAX_OF_ADDRESS
            }
        };
        if is_full || all.len() >= MAX_LISTENERS {
            return None;
        }
        let (tell, told) = async_channel::bounded(1);
        all.push(Listener { tell, from });
        Some(Feed { sight, told })
    }

    /// Tells a listener of each moment until it goes, is too slow, or the driver ends.
    pub(super) async fn tell(&self, stream: &TcpStream, feed: Feed) {
        // Not worth failing for.
        let _ = socket2::SockRef::from(stream).set_send_buffer_size(SEND_BUFFER);
        // Whatever the reason is, it is over.
        let _ = future::or(self.write(stream, feed), until_gone(stream)).await;
    }

    async fn write(&self, mut stream: &TcpStream, feed: Feed) -> io::Result<()> {
        loop {
            let event = self.document(Document::Event, feed.sight);
            timeout(self.write_time, stream.write_all(&event))
                .await
                .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
            if feed.told.recv().await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Reads until there is no more, or too much.
async fn until_gone(mut stream: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    let mut said = 0;
    while said < MAX_SAID {
        match stream.read(&mut buffer).await? {
            0 => break,
            bytes => said += bytes,
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream as Blocking},
    };

    use super::super::runtime::Runtime;
    use crate::proto::{
        key::PrivateKey,
        lap::Lap,
        metainfo::{Info, Metainfo},
    };

    const LIMIT: Duration = Duration::from_secs(20);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    pub(in super::super) fn board(name: &str, viewer: bool) -> Board {
        let key = PrivateKey::generate().public_key();
        let info = Info::new(name, 16_384, Lap::new(4096).unwrap(), key).unwrap();
        Board::new(About::new(&Metainfo::new(info), viewer), Clock::new())
    }

    fn far(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn listen(board: &Board, asker: IpAddr, relayed: bool) -> Option<Feed> {
        board.listen(asker, relayed, Sight::NoAddresses)
    }

    #[test]
    fn sixteen_listen_at_once_twelve_of_them_from_elsewhere_and_four_from_one_address() {
        let board = board("foo", false);
        let mut feeds: Vec<_> = (0..9)
            .filter_map(|_| listen(&board, far(1), false))
            .collect();
        assert_eq!(feeds.len(), MAX_OF_ADDRESS);
        feeds.extend((0..4).filter_map(|_| listen(&board, HERE, true)));
        feeds.extend((2..20).filter_map(|last| listen(&board, far(last), false)));
        assert_eq!(feeds.len(), MAX_FAR);
        assert!(listen(&board, HERE, true).is_none());
        feeds.extend((0..20).filter_map(|_| listen(&board, HERE, false)));
        assert_eq!(feeds.len(), MAX_LISTENERS);
        // Who goes makes room at once.
        feeds.pop();
        assert!(listen(&board, HERE, false).is_some());
    }

    #[test]
    fn this_host_is_told_of_each_moment_and_others_of_each_fifth() {
        let board = board("foo", false);
        let feeds = [listen(&board, HERE, false), listen(&board, far(1), false)];
        let feeds = feeds.map(Option::unwrap);
        let mut told = [0; 2];
        for _ in 0..10 {
            board.note(Arc::default(), 0, None, Vec::new());
            for (told, feed) in told.iter_mut().zip(&feeds) {
                *told += usize::from(feed.told.try_recv().is_ok());
            }
        }
        assert_eq!(told, [10, 2]);
        drop(feeds);
        board.note(Arc::default(), 0, None, Vec::new());
        assert!(lock(&board.listeners).all.is_empty());
    }

    #[test]
    fn a_document_is_rendered_once_a_moment_however_many_ask() {
        let board = board("foo", false);
        let ask = || board.document(Document::Json, Sight::Whole);
        let first = ask();
        assert_eq!(first.as_ptr(), ask().as_ptr());
        let stats = Stats {
            bytes_uploaded: 77_777,
            ..Stats::default()
        };
        board.note(Arc::new(stats), 0, None, Vec::new());
        assert_ne!(first, ask());
        for document in [Document::Page, Document::Event, Document::Json] {
            for sight in [Sight::Whole, Sight::NoAddresses] {
                board.document(document, sight);
                board.document(document, sight);
            }
        }
        assert_eq!(lock(&board.state).rendered.len(), 6);
    }

    /// A listener's socket at a board that notes moments as fast as it can, until it is dropped there.
    fn with_listener<T>(write_time: Duration, scene: impl FnOnce(Blocking) -> T) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = Blocking::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let (near, _) = listener.accept().unwrap();
        let runtime = Runtime::start("test", move |_| async move {
            let board = Board {
                write_time,
                ..board("foo", false)
            };
            let feed = listen(&board, HERE, false).unwrap();
            let stream = TcpStream::from(near);
            let ticks = async {
                loop {
                    board.note(Arc::default(), 0, None, Vec::new());
                    future::yield_now().await;
                }
            };
            future::or(board.tell(&stream, feed), ticks).await;
            board.note(Arc::default(), 0, None, Vec::new());
            assert!(lock(&board.listeners).all.is_empty());
        })
        .unwrap();
        let kept = scene(client);
        assert!(runtime.join(LIMIT));
        drop(kept);
    }

    #[test]
    fn a_listener_hears_events_until_it_goes() {
        with_listener(WRITE_TIME, |mut client| {
            let mut events = Vec::new();
            let mut buffer = [0; 4096];
            while events.windows(2).filter(|two| two == b"\n\n").count() < 3 {
                let bytes = client.read(&mut buffer).unwrap();
                assert!(bytes > 0);
                events.extend_from_slice(&buffer[..bytes]);
            }
            assert!(events.starts_with(b"data: {"));
        });
    }

    #[test]
    fn a_listener_who_takes_nothing_is_dropped_and_so_is_who_talks() {
        // What the kernel holds of it does not count.
        with_listener(Duration::from_millis(50), |client| client);
        with_listener(WRITE_TIME, |mut client| {
            let noise = [b'x'; MAX_SAID];
            while client.write_all(&noise).is_ok() {}
        });
    }
}
