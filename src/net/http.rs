// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The source's HTTP (PROTOCOL §8): its tracker and its `.tstream`. Requests choose among answers
//! held in memory; no path is ever opened.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};

use super::{
    Serve, Served,
    admission::{Admission, Limits},
    clock::Clock,
    runtime::{TcpStream, timeout},
};
use crate::proto::{
    http::{Refusal, Request},
    tracker::{Call, TrackerServer},
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
/// What is read and thrown away after the answer, so that closing does not destroy it.
const MAX_DRAIN: usize = 64 * 1024;

/// The answers, and who may ask for them at once.
#[derive(Debug)]
pub(super) struct Server {
    site: Site,
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
    tracker: Mutex<TrackerServer>,
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
    body: Bytes,
}

impl Site {
    fn new(serve: &Serve, tracker: TrackerServer) -> Self {
        Self {
            tstream_path: format!("/{}.tstream", serve.name).into_bytes(),
            tstream: serve.tstream.clone(),
            tracker: Mutex::new(tracker),
        }
    }

    fn answer(&self, request: &Request, ends: Ends, clock: &Clock) -> Result<Answer, Refusal> {
        let tracker = || self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        match &request.path[..] {
            b"/announce" => Ok(Answer::tracker(tracker().announce(
                clock.now().at,
                &request.query,
                Call {
                    asker: ends.asker.ip(),
                    local: ends.local,
                    called: request.host,
                },
            ))),
            b"/scrape" => Ok(Answer::tracker(
                tracker().scrape(clock.now().at, &request.query),
            )),
            path if path == self.tstream_path => Ok(Answer {
                content_type: "application/x-bittorrent",
                body: self.tstream.get(),
            }),
            _ => Err(Refusal::NotFound),
        }
    }
}

impl Answer {
    fn tracker(body: Vec<u8>) -> Self {
        Self {
            content_type: "text/plain",
            body: body.into(),
        }
    }
}

/// The head of a response, and its body.
fn response(request: Result<(&Request, Answer), Refusal>) -> (String, Bytes) {
    let (status, content_type, length, body, extra) = match request {
        Ok((request, answer)) => {
            let length = answer.body.len();
            let body = if request.head_only {
                Bytes::new()
            } else {
                answer.body
            };
            ("200 OK", answer.content_type, length, body, "")
        }
        Err(refusal) => {
            let allow = match refusal {
                // RFC 9110 §15.5.6 asks for it.
                Refusal::Method => "Allow: GET, HEAD\r\n",
                _ => "",
            };
            let body = Bytes::from_static(refusal.status().as_bytes());
            (refusal.status(), "text/plain", body.len(), body, allow)
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\
         {extra}Connection: close\r\n\r\n"
    );
    (head, body)
}

impl Server {
    /// Serves a source's file and tracker.
    pub(super) fn new(serve: &Serve, tracker: TrackerServer, clock: Clock) -> Self {
        Self {
            site: Site::new(serve, tracker),
            clock,
            connections: Admission::new(CONNECTIONS),
            head_time: HEAD_TIME,
        }
    }

    /// Answers one request, `first` having been read of it, and closes.
    pub(super) async fn serve(&self, stream: TcpStream, asker: SocketAddr, first: Vec<u8>) {
        let ticket = self.connections.admit(asker.ip());
        // A client that goes away, or is too slow, gets no more than that.
        let exchange = timeout(CONNECTION_TIME, self.exchange(&stream, asker, first));
        let _ = future::or(exchange, async {
            ticket.revoked().await;
            None
        })
        .await;
    }

    async fn exchange(
        &self,
        mut stream: &TcpStream,
        asker: SocketAddr,
        first: Vec<u8>,
    ) -> io::Result<()> {
        let local = stream.local_addr()?;
        let request = timeout(self.head_time, read_head(stream, first))
            .await
            .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
        let answer = request
            .as_ref()
            .map_err(|refusal| *refusal)
            .and_then(|request| {
                let ends = Ends { asker, local };
                let answer = self.site.answer(request, ends, &self.clock)?;
                Ok((request, answer))
            });
        let (head, body) = response(answer);
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.shutdown(Shutdown::Write)?;
        let mut drained = 0;
        let mut buffer = [0; 8 * 1024];
        while drained < MAX_DRAIN {
            match stream.read(&mut buffer).await? {
                0 => break,
                bytes => drained += bytes,
            }
        }
        Ok(())
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
mod tests {
    use super::*;

    use std::{
        io::{Read as _, Write as _},
        net,
    };

    use super::super::runtime::Runtime;
    use crate::proto::metainfo::Infohash;

    const TSTREAM: &[u8] = b"d4:infod4:name3:fooee";
    const INFOHASH: Infohash = Infohash(*b"aaaaaaaaaaaaaaaaaaaa");

    fn site() -> Site {
        let serve = Serve {
            name: "Grüße & foo".into(),
            tstream: Served::new(TSTREAM),
        };
        Site::new(
            &serve,
            TrackerServer::new(INFOHASH, [b'p'; 20], fastrand::Rng::new()),
        )
    }

    fn ends() -> Ends {
        Ends {
            asker: "127.0.0.1:5000".parse().unwrap(),
            local: "127.0.0.1:7764".parse().unwrap(),
        }
    }

    /// Head and body of the answer to a whole head.
    fn ask(head: &[u8]) -> (String, Bytes) {
        let request = Request::parse(head).map(|request| request.expect("the head is whole"));
        let site = site();
        response(
            request
                .as_ref()
                .map_err(|refusal| *refusal)
                .and_then(|request| Ok((request, site.answer(request, ends(), &Clock::new())?))),
        )
    }

    fn get(target: &str) -> (String, Bytes) {
        ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
    }

    #[test]
    fn the_file_is_given_out_under_its_percent_encoded_name() {
        for target in [
            "/Gr%C3%BC%C3%9Fe%20%26%20foo.tstream",
            "/Gr%c3%bc%c3%9fe%20&%20foo.tstream?ignored",
            "http://example.org:7764/Gr%C3%BC%C3%9Fe%20%26%20foo.tstream",
        ] {
            let (head, body) = get(target);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{target}: {head}");
            assert!(head.contains("\r\nContent-Type: application/x-bittorrent\r\n"));
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", TSTREAM.len())));
            assert!(head.contains("\r\nConnection: close\r\n"));
            assert_eq!(body, TSTREAM);
        }
    }

    #[test]
    fn a_head_request_gets_the_length_but_no_body() {
        let (head, body) = ask(b"HEAD /Gr%C3%BC%C3%9Fe%20%26%20foo.tstream HTTP/1.1\r\n\r\n");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", TSTREAM.len())));
        assert!(body.is_empty());
    }

    #[test]
    fn no_path_but_the_three_is_there() {
        for target in [
            "/",
            "/foo.tstream",
            "/../foo.sauth",
            "/%2e%2e/foo.sauth",
            "//etc/passwd",
            "/announce/",
            "http://example.org",
        ] {
            let (head, _) = get(target);
            assert!(head.starts_with("HTTP/1.1 404 "), "{target}: {head}");
        }
    }

    #[test]
    fn other_methods_are_405_and_what_is_no_request_400() {
        let (head, _) = ask(b"POST /announce HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"));
        for bad in [
            &b"\x00\x01\x02\r\n\r\n"[..],
            b"GET /announce\r\n\r\n",
            b"GET announce HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
        ] {
            let (head, _) = ask(bad);
            assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        }
    }

    /// What a server answers to bytes that come in these parts, until it closes.
    fn talk(head_time: Duration, parts: &[&[u8]]) -> Vec<u8> {
        const LIMIT: Duration = Duration::from_secs(20);
        let listener = net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut client = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.set_nodelay(true).unwrap();
        let (near, asker) = listener.accept().unwrap();
        let runtime = Runtime::start("test", move |_| async move {
            let server = Server {
                site: site(),
                clock: Clock::new(),
                connections: Admission::new(CONNECTIONS),
                head_time,
            };
            server.serve(near.into(), asker, Vec::new()).await;
        })
        .unwrap();
        for part in parts {
            client.write_all(part).unwrap();
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        client.shutdown(Shutdown::Both).unwrap();
        assert!(runtime.join(LIMIT));
        answer
    }

    #[test]
    fn a_request_in_parts_is_answered_and_the_connection_closed() {
        let target = "/Gr%C3%BC%C3%9Fe%20%26%20foo.tstream";
        let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (first, rest) = head.as_bytes().split_at(9);
        let answer = talk(HEAD_TIME, &[first, rest, b"more than was asked for"]);
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(TSTREAM));
    }

    #[test]
    fn a_head_that_does_not_end_closes_without_an_answer() {
        assert!(talk(Duration::from_millis(50), &[b"GET / HTTP/1.1\r\n"]).is_empty());
    }
}
