// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! HTTP (PROTOCOL §8): the source's tracker, the `.tstream` and the status page. Requests choose among
//! answers held in memory; no path is ever opened.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};

use super::{
    Serve, Served,
    admission::{Admission, Limits},
    clock::Clock,
    discovery::Ways,
    runtime::{TcpStream, sleep, timeout},
    shown::Shown,
    status::{Board, Feed, TICK},
};
use crate::proto::{
    http::{Refusal, Request},
    metainfo::Metainfo,
    status::{self, ASSETS, About, Asset, Document, Sight},
    swarm::{Config, Role},
    tracker::{Call, TrackerServer},
    uri,
};

/// For the head, from its first byte.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// For a whole connection.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// Connections at once.
const CONNECTIONS: Limits = Limits {
    total: 64,
    per_address: 8,
    loopback: 64,
};
/// What somebody reads who called this host by a name of his own.
const MISDIRECTED: &str = "421 Misdirected Request: on this machine, ask for localhost";
/// What is read and thrown away after the answer, so that closing does not destroy it.
const MAX_DRAIN: usize = 64 * 1024;

/// The answers, and who may ask for them at once.
#[derive(Debug)]
pub(super) struct Server {
    site: Site,
    shown: Arc<Shown>,
    ways: Arc<Ways>,
    clock: Clock,
    connections: Admission,
    head_time: Duration,
}

/// What there is to ask for.
#[derive(Debug)]
struct Site {
    /// `/<name>.tstream`, decoded.
    tstream_path: Vec<u8>,
    tstream: Served,
    /// None: a viewer's.
    tracker: Option<Mutex<TrackerServer>>,
    board: Board,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
struct Ends {
    asker: SocketAddr,
    local: SocketAddr,
}

/// An answer before it is bytes.
#[derive(Debug)]
struct Answer {
    content_type: &'static str,
    /// Further headers, each with its end of line.
    headers: &'static str,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Whole(Bytes),
    /// It goes on until somebody hangs up.
    Feed(Feed),
}

impl Site {
    fn answer(&self, request: &Request, ends: Ends, clock: &Clock) -> Result<Answer, Refusal> {
        let about = self.board.about();
        let sight = || Sight::of(about, ends.asker.ip(), request);
        if about.viewer {
            // Nothing of a viewer is for others.
            sight()?;
        }
        if request.path == self.tstream_path {
            let body = self.tstream.get();
            return Ok(Answer::new("application/x-bittorrent", body));
        }
        if let Some(body) = self.tracked(request, ends, clock) {
            return Ok(Answer::new("text/plain", body));
        }
        if let Some(document) = Document::at(&request.path, request.takes_openmetrics) {
            return self.document(document, request, ends, sight()?);
        }
        let is_asked = |asset: &&Asset| asset.path.as_bytes() == request.path;
        let asset = ASSETS.iter().find(is_asked).ok_or(Refusal::NotFound)?;
        sight()?;
        let body = Bytes::from_static(asset.body.as_bytes());
        Ok(Answer::of_page(asset.content_type, body))
    }

    /// What the tracker answers, where there is one and it is asked.
    fn tracked(&self, request: &Request, ends: Ends, clock: &Clock) -> Option<Vec<u8>> {
        let tracker = self.tracker.as_ref()?;
        let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock.now().at;
        match &request.path[..] {
            b"/announce" => {
                let call = Call {
                    asker: ends.asker.ip(),
                    local: ends.local,
                    called: request.host_address(),
                };
                Some(tracker.announce(now, &request.query, call))
            }
            b"/scrape" => Some(tracker.scrape(now, &request.query)),
            _ => None,
        }
    }

    fn document(
        &self,
        document: Document,
        request: &Request,
        ends: Ends,
        sight: Sight,
    ) -> Result<Answer, Refusal> {
        if document == Document::Event && !request.head_only {
            let feed = self.board.listen(ends.asker.ip(), request.relayed, sight);
            let mut answer = Answer::of_page(document.content_type(), Bytes::new());
            answer.body = Body::Feed(feed.ok_or(Refusal::Busy)?);
            return Ok(answer);
        }
        let body = self.board.document(document, sight);
        Ok(Answer::of_page(document.content_type(), body))
    }

    fn known(&self, clock: &Clock) -> Option<u64> {
        let tracker = self.tracker.as_ref()?;
        let mut tracker = tracker.lock().unwrap_or_else(PoisonError::into_inner);
        Some(tracker.known(clock.now().at) as u64)
    }
}

impl Answer {
    fn new(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            content_type,
            headers: "",
            body: Body::Whole(body.into()),
        }
    }

    fn of_page(content_type: &'static str, body: Bytes) -> Self {
        Self {
            headers: status::HEADERS,
            ..Self::new(content_type, body)
        }
    }
}

/// The head of a response, and its body.
fn response(answer: Result<Answer, Refusal>) -> (String, Body) {
    let (status, content_type, body, headers) = match answer {
        Ok(answer) => ("200 OK", answer.content_type, answer.body, answer.headers),
        Err(refusal) => {
            let headers = match refusal {
                // RFC 9110 §15.5.6 asks for it.
                Refusal::Method => "Allow: GET, HEAD\r\n",
                Refusal::Busy => "Retry-After: 10\r\n",
                _ => "",
            };
            let text = match refusal {
                Refusal::Misdirected => MISDIRECTED,
                _ => refusal.status(),
            };
            let body = Bytes::from_static(text.as_bytes());
            (refusal.status(), "text/plain", Body::Whole(body), headers)
        }
    };
    let length = match &body {
        Body::Whole(body) => format!("Content-Length: {}\r\n", body.len()),
        Body::Feed(_) => String::new(),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{length}\
         {headers}Connection: close\r\n\r\n"
    );
    (head, body)
}

impl Server {
    /// Serves what `config` is about.
    pub(super) fn new(
        serve: &Serve,
        config: &Config,
        shown: Arc<Shown>,
        ways: Arc<Ways>,
        clock: Clock,
    ) -> Self {
        let is_viewer = config.role != Role::Source;
        let metainfo = &config.metainfo;
        let about = About {
            upload_budget: config.upload_budget,
            max_upload_rate: config.max_upload_rate,
            public: serve.public,
            ..About::new(metainfo, is_viewer)
        };
        let tracker = (!is_viewer).then(|| {
            let rng = fastrand::Rng::new();
            let infohash = metainfo.info.infohash();
            Mutex::new(TrackerServer::new(infohash, config.peer_id, rng))
        });
        let site = Site {
            tstream_path: format!("/{}.tstream", about.name).into_bytes(),
            tstream: serve.tstream.clone(),
            tracker,
            board: Board::new(about, clock),
        };
        Self {
            site,
            shown,
            ways,
            clock,
            connections: Admission::new(CONNECTIONS),
            head_time: HEAD_TIME,
        }
    }

    /// Keeps the status page's figures for as long as the driver is there.
    pub(super) async fn keep_record(self: Arc<Self>) {
        let mut link_of = self.site.tstream.get();
        loop {
            let tstream = self.site.tstream.get();
            if tstream != link_of {
                // A router leads viewers here from elsewhere now: the link says so, too.
                if let Ok(metainfo) = Metainfo::parse(&tstream) {
                    self.site.board.renew(uri::format(&metainfo));
                }
                link_of = tstream;
            }
            let announced = self.site.known(&self.clock);
            let (stats, published) = (self.shown.stats(), self.shown.published());
            let ways = self.ways.all();
            self.site.board.note(stats, published, announced, ways);
            sleep(TICK).await;
        }
    }

    /// Answers one request, `first` having been read of it, and closes.
    pub(super) async fn serve(&self, stream: TcpStream, asker: SocketAddr, first: Vec<u8>) {
        let ticket = self.connections.admit(asker.ip());
        // A client that goes away, or is too slow, gets no more than that.
        let exchange = timeout(CONNECTION_TIME, self.exchange(&stream, asker, first));
        let exchange = future::or(exchange, async {
            ticket.revoked().await;
            None
        })
        .await;
        drop(ticket);
        if let Some(Ok(Some(feed))) = exchange {
            self.site.board.tell(&stream, feed).await;
        }
    }

    /// What goes on after the answer's head, if anything does.
    async fn exchange(
        &self,
        mut stream: &TcpStream,
        asker: SocketAddr,
        first: Vec<u8>,
    ) -> io::Result<Option<Feed>> {
        let local = stream.local_addr()?;
        let request = timeout(self.head_time, read_head(stream, first))
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        let head_only = matches!(&request, Ok(request) if request.head_only);
        let ends = Ends { asker, local };
        let answer = request.and_then(|request| self.site.answer(&request, ends, &self.clock));
        let (head, body) = response(answer);
        stream.write_all(head.as_bytes()).await?;
        match body {
            Body::Feed(feed) => return Ok(Some(feed)),
            Body::Whole(body) if !head_only => stream.write_all(&body).await?,
            Body::Whole(_) => {}
        }
        stream.shutdown(Shutdown::Write)?;
        let mut drained = 0;
        let mut buffer = [0; 8 * 1024];
        while drained < MAX_DRAIN {
            match stream.read(&mut buffer).await? {
                0 => break,
                bytes => drained += bytes,
            }
        }
        Ok(None)
    }
}

async fn read_head(
    mut stream: &TcpStream,
    mut head: Vec<u8>,
) -> io::Result<Result<Request, Refusal>> {
    let mut buffer = [0; 1024];
    loop {
        match Request::parse(&head) {
            Ok(None) => {}
            Ok(Some(request)) => return Ok(Ok(request)),
            Err(refusal) => return Ok(Err(refusal)),
        }
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&buffer[..bytes]);
    }
}

#[cfg(test)]
mod tests;
