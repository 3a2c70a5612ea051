// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The HTTP client, for files and trackers. It blocks.

use std::{
    io,
    net::IpAddr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ureq::{
    Agent, Body, Proxy,
    config::{Config, ConfigBuilder, IpFamily},
    http::{Response, Uri},
    typestate::AgentScope,
};

use super::http_from;
use crate::proto::address::Family;

/// To open a connection: who is off does not keep us from asking the next one.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Where nothing came by IPv6 for so long, IPv4 is tried beside it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// More than that is a loop.
const MAX_REDIRECTS: u32 = 5;

/// Whether the environment's proxy counts, and which addresses of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Via {
    /// `http_proxy` and its kin, but for this host.
    Environment,
    /// A tracker takes the address it is asked from for ours, so that has to be one of ours, and of
    /// the family that it is to know: this one, where the user named one.
    Direct(Family, Option<IpAddr>),
}

/// Fetches `url` (http or https), at most `limit` bytes, within `timeout`.
///
/// # Errors
/// In words: what failed.
pub(super) fn get(url: &str, limit: usize, timeout: Duration, via: Via) -> Result<Vec<u8>, String> {
    fetch(url, limit, timeout, via).map_err(|error| in_words(error, limit, timeout))
}

/// Asks a device of this network, from our address `from`: for what is at `url`, or with an order in XML
/// and the `SOAPAction` that goes with it. The status and at most `limit` bytes, within `timeout`. No
/// proxy is asked, and where it sends us is not gone to.
///
/// # Errors
/// In words: what failed.
pub(super) fn device(
    url: &str,
    order: Option<(&str, &str)>,
    from: IpAddr,
    limit: usize,
    timeout: Duration,
) -> Result<(u16, Vec<u8>), String> {
    let config = configure(timeout, None, IpFamily::Any)
        .max_redirects(0)
        .http_status_as_error(false)
        .build();
    let agent = http_from::agent(config, from);
    let response = match order {
        None => agent.get(url).call(),
        Some((action, body)) => agent
            .post(url)
            .content_type("text/xml; charset=\"utf-8\"")
            .header("SOAPAction", action)
            .send(body),
    };
    let answer = response.and_then(|mut response| {
        let status = response.status().as_u16();
        Ok((status, read_body(&mut response, limit)?))
    });
    answer.map_err(|error| in_words(error, limit, timeout))
}

fn in_words(error: ureq::Error, limit: usize, timeout: Duration) -> String {
    match error {
        ureq::Error::StatusCode(status) => format!("the server answers {status}"),
        ureq::Error::BodyExceedsLimit(_) => format!("the answer is over {limit} bytes"),
        ureq::Error::Timeout(_) => format!("no answer within {timeout:?}"),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there".to_owned()
        }
        error => error.to_string(),
    }
}

fn configure(
    timeout: Duration,
    proxy: Option<Proxy>,
    family: IpFamily,
) -> ConfigBuilder<AgentScope> {
    let config = Agent::config_builder();
    #[cfg(feature = "https")]
    let config = {
        use ureq::tls::{RootCerts, TlsConfig};
        // Whom to trust is for the system's owner to say.
        let roots = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        config.tls_config(roots.build())
    };
    config
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT_TIME))
        .proxy(proxy)
        .ip_family(family)
        .user_agent(concat!("livetorrent/", env!("CARGO_PKG_VERSION")))
}

fn fetch(url: &str, limit: usize, timeout: Duration, via: Via) -> Result<Vec<u8>, ureq::Error> {
    let uri: Uri = url
        .parse()
        .map_err(|_| ureq::Error::BadUri("it is no URL".into()))?;
    let proxy = match via {
        Via::Environment if !is_this_host(&uri) => Proxy::try_from_env(),
        _ => None,
    };
    let from = match via {
        Via::Direct(_, from) => from,
        Via::Environment => None,
    };
    // Anybody may name a tracker: it must not send us on to our own host or network.
    let redirects = match via {
        Via::Direct(..) => 0,
        Via::Environment => MAX_REDIRECTS,
    };
    let by = |family, timeout| {
        let (url, proxy) = (url.to_owned(), proxy.clone());
        move || {
            let config = configure(timeout, proxy, family).max_redirects(redirects);
            fetch_body(&url, limit, config.build(), from)
        }
    };
    match via {
        Via::Direct(Family::V4, _) => by(IpFamily::Ipv4Only, timeout)(),
        Via::Direct(Family::V6, _) => by(IpFamily::Ipv6Only, timeout)(),
        Via::Environment if proxy.is_some() || is_address(&uri) => by(IpFamily::Any, timeout)(),
        Via::Environment => {
            let began = Instant::now();
            let families = [IpFamily::Ipv6Only, IpFamily::Ipv4Only];
            first_of(families.map(|family| by(family, timeout)), ATTEMPT_DELAY).or_else(|error| {
                // A server of one family may send us on to one of the other.
                let left = timeout.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Err(error);
                }
                by(IpFamily::Any, left)()
            })
        }
    }
}

/// The first success of `attempts`. The next begins when one has failed, or `delay` after the one
/// before. Nobody waits for those that are late: each ends by its own timeout.
fn first_of<T: Send + 'static>(
    attempts: impl IntoIterator<Item = impl FnOnce() -> Result<T, ureq::Error> + Send + 'static>,
    delay: Duration,
) -> Result<T, ureq::Error> {
    let (tell, told) = mpsc::channel();
    let mut failure = ureq::Error::HostNotFound;
    let mut under_way = 0;
    for attempt in attempts {
        let tell = tell.clone();
        thread::Builder::new()
            .name("livetorrent:http".into())
            .spawn(move || {
                // Somebody else may have been first.
                let _ = tell.send(attempt());
            })?;
        under_way += 1;
        match told.recv_timeout(delay) {
            Ok(Ok(body)) => return Ok(body),
            Ok(Err(error)) => {
                failure = error;
                under_way -= 1;
            }
            Err(_) => {}
        }
    }
    drop(tell);
    for outcome in told.iter().take(under_way) {
        match outcome {
            Ok(body) => return Ok(body),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn fetch_body(
    url: &str,
    limit: usize,
    config: Config,
    from: Option<IpAddr>,
) -> Result<Vec<u8>, ureq::Error> {
    let agent = match from {
        Some(from) => http_from::agent(config, from),
        None => config.new_agent(),
    };
    let mut response = agent.get(url).call()?;
    if response.status().is_redirection() {
        return Err(ureq::Error::StatusCode(response.status().as_u16()));
    }
    read_body(&mut response, limit)
}

fn read_body(response: &mut Response<Body>, limit: usize) -> Result<Vec<u8>, ureq::Error> {
    // Whether a body that just fills the limit is refused depends on how its end is told.
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let room = limit.saturating_add(1);
    let body = response
        .body_mut()
        .with_config()
        .limit(room)
        .read_to_vec()?;
    if body.len() as u64 > limit {
        return Err(ureq::Error::BodyExceedsLimit(limit));
    }
    Ok(body)
}

fn is_this_host(uri: &Uri) -> bool {
    uri.host() == Some("localhost") || address(uri).is_some_and(|ip| ip.is_loopback())
}

fn is_address(uri: &Uri) -> bool {
    address(uri).is_some()
}

fn address(uri: &Uri) -> Option<IpAddr> {
    let host = uri.host()?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    const LIMIT: Duration = Duration::from_secs(20);

    /// A server that gives one answer to one client.
    fn serve_once(answer: &'static str) -> (String, thread::JoinHandle<()>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        });
        (url, thread)
    }

    #[test]
    fn a_body_of_the_limit_is_fetched_and_one_byte_more_is_refused() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            "HTTP/1.0 200 OK\r\n\r\nbody",
        ] {
            let (url, thread) = serve_once(answer);
            assert_eq!(get(&url, 4, LIMIT, Via::Environment).unwrap(), b"body");
            thread.join().unwrap();
            let (url, thread) = serve_once(answer);
            let error = get(&url, 3, LIMIT, Via::Environment).unwrap_err();
            assert!(error.contains("over 3 bytes"), "{error}");
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_file_may_be_elsewhere_and_a_tracker_sends_nobody_anywhere() {
        let (there, thread) = serve_once("HTTP/1.0 200 OK\r\n\r\nbody");
        let answer = format!("HTTP/1.0 302 Found\r\nLocation: {there}\r\n\r\n");
        let answer: &'static str = answer.leak();
        let (url, first) = serve_once(answer);
        let error = get(&url, 9, LIMIT, Via::Direct(Family::V4, None)).unwrap_err();
        assert!(error.contains("302"), "{error}");
        first.join().unwrap();
        // Nobody was there yet.
        let (url, first) = serve_once(answer);
        assert_eq!(get(&url, 9, LIMIT, Via::Environment).unwrap(), b"body");
        first.join().unwrap();
        thread.join().unwrap();
    }

    type Attempt = Box<dyn FnOnce() -> Result<u8, ureq::Error> + Send>;

    #[test]
    fn the_next_way_is_tried_when_one_fails_or_says_nothing_and_the_first_answer_counts() {
        // The first way swallows everything until the test is over.
        let (end, ended) = mpsc::channel::<()>();
        let silent: Attempt = Box::new(move || {
            let _ = ended.recv();
            Ok(6)
        });
        let good = || -> Attempt { Box::new(|| Ok(4)) };
        let bad = || -> Attempt { Box::new(|| Err(ureq::Error::ConnectionFailed)) };
        let began = Instant::now();
        let delay = Duration::from_millis(50);
        assert_eq!(first_of([silent, good()], delay).unwrap(), 4);
        assert!(began.elapsed() >= delay);
        drop(end);
        // Nobody waits after a failure.
        assert_eq!(first_of([bad(), good()], LIMIT).unwrap(), 4);
        let untouched: Attempt = Box::new(|| panic!("there was an answer"));
        assert_eq!(first_of([good(), untouched], LIMIT).unwrap(), 4);
        let failure = first_of([bad(), bad()], LIMIT).unwrap_err();
        assert!(matches!(failure, ureq::Error::ConnectionFailed));
    }

    #[test]
    fn a_name_is_asked_at_whichever_family_it_has() {
        let (url, thread) = serve_once("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
        let url = url.replace("127.0.0.1", "localhost");
        assert_eq!(get(&url, 4, LIMIT, Via::Environment).unwrap(), b"body");
        thread.join().unwrap();
    }

    #[test]
    fn errors_say_what_failed() {
        let (url, thread) = serve_once("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        let error = get(&url, 4, LIMIT, Via::Direct(Family::V4, None)).unwrap_err();
        assert!(error.contains("answers 404"), "{error}");
        thread.join().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let limit = Duration::from_millis(50);
        let error = get(&url, 4, limit, Via::Direct(Family::V4, None)).unwrap_err();
        assert!(error.contains("no answer within"), "{error}");
        assert!(get("no url", 4, LIMIT, Via::Direct(Family::V4, None)).is_err());
    }
}
