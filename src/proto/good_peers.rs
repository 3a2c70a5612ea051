// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The peers that gave a viewer pieces, kept in a small file for the next time: a line that says what it
//! is, then a line for each, the last first: seconds since the Unix epoch, a space, the address.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::address_book::MAX_KNOWN;

/// The first line.
const HEAD: &str = "livetorrent good peers 1";
/// Bytes of a file; more are not read. 32 lines of the longest address are fewer.
pub const MAX_LEN: usize = 4096;
/// Addresses of homes change within days.
const MAX_AGE: u64 = 7 * 24 * 3600;

/// A peer that gave pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoodPeer {
    /// Where it takes others in.
    pub address: SocketAddr,
    /// When it gave one last, in seconds since the Unix epoch.
    pub gave: u64,
}

/// The file is not one that was written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is damaged")]
pub struct Damaged;

/// Reads a file.
///
/// # Errors
/// Where any of it is not as [`to_text`] writes it.
pub fn parse(bytes: &[u8]) -> Result<Vec<GoodPeer>, Damaged> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged)?;
    let text = text.strip_suffix('\n').ok_or(Damaged)?;
    let mut lines = text.split('\n');
    if bytes.len() > MAX_LEN || lines.next() != Some(HEAD) {
        return Err(Damaged);
    }
    let peers: Vec<_> = lines.map(line).collect::<Option<_>>().ok_or(Damaged)?;
    match peers.len() <= MAX_KNOWN {
        true => Ok(peers),
        false => Err(Damaged),
    }
}

fn line(line: &str) -> Option<GoodPeer> {
    let (gave, address) = line.split_once(' ')?;
    let peer = GoodPeer {
        address: address.parse().ok()?,
        gave: gave.parse().ok()?,
    };
    // Neither `+1` nor `01`, which the standard library reads, too.
    (to_line(&peer) == line).then_some(peer)
}

fn to_line(GoodPeer { address, gave }: &GoodPeer) -> String {
    format!("{gave} {address}")
}

/// Writes a file of no more peers than are read.
#[must_use]
pub fn to_text(peers: &[GoodPeer]) -> String {
    let mut text = format!("{HEAD}\n");
    for peer in peers.iter().take(MAX_KNOWN) {
        // A String takes all that is written to it.
        let _ = writeln!(text, "{}", to_line(peer));
    }
    text
}

/// Those of this time, then those of `before` that did not give anything this time and are not too old
/// yet. `now` in seconds since the Unix epoch; `gave`: how long ago each gave a piece.
#[must_use]
pub fn merge(gave: &[(SocketAddr, Duration)], before: &[GoodPeer], now: u64) -> Vec<GoodPeer> {
    let mut peers: Vec<_> = gave
        .iter()
        .map(|&(address, ago)| GoodPeer {
            address,
            gave: now.saturating_sub(ago.as_secs()),
        })
        .collect();
    for old in fresh(before, now) {
        if peers.iter().all(|peer| peer.address != old.address) {
            peers.push(old);
        }
    }
    peers.truncate(MAX_KNOWN);
    peers
}

/// Those that are not too old. One of the future was dated by a clock that was wrong, as ours may be.
pub fn fresh(peers: &[GoodPeer], now: u64) -> impl Iterator<Item = GoodPeer> {
    let is_fresh = move |peer: &GoodPeer| now.saturating_sub(peer.gave) <= MAX_AGE;
    peers.iter().copied().filter(is_fresh)
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const NOW: u64 = 1_795_000_000;

    fn peer(port: u16, ago: u64) -> GoodPeer {
        GoodPeer {
            address: SocketAddr::from(([192, 0, 2, 1], port)),
            gave: NOW - ago,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let v6 = GoodPeer {
            address: "[2001:db8::1]:7764".parse().unwrap(),
            gave: NOW,
        };
        let peers = [peer(7764, 5), v6];
        let text = to_text(&peers);
        assert_eq!(
            text,
            "livetorrent good peers 1\n1794999995 192.0.2.1:7764\n1795000000 [2001:db8::1]:7764\n"
        );
        assert_eq!(parse(text.as_bytes()), Ok(peers.to_vec()));
        assert_eq!(parse(to_text(&[]).as_bytes()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_damaged_is_refused_whole() {
        let good = to_text(&[peer(1, 0), peer(2, 0)]);
        let long: String = (0..33).map(|_| "1 192.0.2.1:1\n").collect();
        for bad in [
            "",
            "livetorrent good peers 1",
            "livetorrent good peers 2\n",
            "1 192.0.2.1:1\n",
            &good[..good.len() - 1],
            &good[..good.len() / 2],
            &good.replace(":1", ":99999"),
            &good.replace("192.0.2.1", "example.org"),
            &good.replace(' ', "  "),
            &format!("{HEAD}\n+1 192.0.2.1:1\n"),
            &format!("{HEAD}\n{long}"),
        ] {
            assert_eq!(parse(bad.as_bytes()), Err(Damaged), "{bad:?}");
        }
        assert_eq!(parse(&[good.as_bytes(), &[0xff]].concat()), Err(Damaged));
    }

    #[test]
    fn those_of_this_time_come_first_and_old_ones_leave() {
        let before = [peer(1, 10), peer(2, 20), peer(3, MAX_AGE + 1)];
        let gave = [(peer(2, 0).address, Duration::from_secs(1))];
        assert_eq!(merge(&gave, &before, NOW), [peer(2, 1), peer(1, 10)]);
        let future = GoodPeer {
            gave: NOW + 1000,
            ..peer(4, 0)
        };
        assert_eq!(merge(&[], &[future], NOW), [future]);
        let many: Vec<_> = (1..100).map(|port| peer(port, 0)).collect();
        assert_eq!(merge(&gave, &many, NOW).len(), MAX_KNOWN);
    }

    #[test]
    fn the_longest_file_is_read() {
        let longest = GoodPeer {
            address: "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535"
                .parse()
                .unwrap(),
            gave: u64::MAX,
        };
        let text = to_text(&[longest; 99]);
        assert!(text.len() <= MAX_LEN, "{}", text.len());
        assert_eq!(parse(text.as_bytes()).unwrap().len(), MAX_KNOWN);
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(text in "livetorrent good peers 1\n([0-9]{1,3} 1\\.2\\.3\\.[0-9]{1,2}:[0-9]{1,3}\n){0,3}") {
            if let Ok(peers) = parse(text.as_bytes()) {
                prop_assert_eq!(to_text(&peers), text);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
