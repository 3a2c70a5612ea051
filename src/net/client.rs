// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The HTTP client, for files and trackers. It blocks.

use std::{io, net::IpAddr, time::Duration};

use ureq::{Agent, Proxy, config::IpFamily, http::Uri};

use super::http_from;
use crate::proto::address::Family;

/// To open a connection: who is off does not keep us from asking the next one.
const CONNECT_TIME: Duration = Duration::from_secs(5);
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
    fetch_body(url, limit, timeout, via).map_err(|error| match error {
        ureq::Error::StatusCode(status) => format!("the server answers {status}"),
        ureq::Error::BodyExceedsLimit(_) => format!("the answer is over {limit} bytes"),
        ureq::Error::Timeout(_) => format!("no answer within {timeout:?}"),
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there".to_owned()
        }
        error => error.to_string(),
    })
}

fn fetch_body(
    url: &str,
    limit: usize,
    timeout: Duration,
    via: Via,
) -> Result<Vec<u8>, ureq::Error> {
    let uri: Uri = url
        .parse()
        .map_err(|_| ureq::Error::BadUri("it is no URL".into()))?;
    let proxy = match via {
        Via::Environment if !is_this_host(&uri) => Proxy::try_from_env(),
        _ => None,
    };
    let family = match via {
        Via::Environment => IpFamily::Any,
        Via::Direct(Family::V4, _) => IpFamily::Ipv4Only,
        Via::Direct(Family::V6, _) => IpFamily::Ipv6Only,
    };
    let config = Agent::config_builder()
        .timeout_global(Some(timeout))
        .timeout_connect(Some(CONNECT_TIME))
        .max_redirects(MAX_REDIRECTS)
        .proxy(proxy)
        .ip_family(family)
        .user_agent(concat!("livetorrent/", env!("CARGO_PKG_VERSION")))
        .build();
    let agent = match via {
        Via::Direct(_, Some(from)) => http_from::agent(config, from),
        _ => config.new_agent(),
    };
    let mut response = agent.get(uri).call()?;
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
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
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
