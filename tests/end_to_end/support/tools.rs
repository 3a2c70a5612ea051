// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Programs of others that tests speak to, which `tests/tools.sh` fetches.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use gstlivetorrent::proto::metainfo::Infohash;

use super::PATIENCE;

/// Between two looks whether a program listens.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A program at work; dropped, it is killed by its id.
#[derive(Debug)]
pub(crate) struct Tool {
    child: Child,
    _folder: Option<tempfile::TempDir>,
}

impl Tool {
    fn start(command: &mut Command) -> Child {
        command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/tools.sh fetches it"))
    }

    /// The lines that it prints.
    fn lines(&mut self) -> impl Iterator<Item = String> {
        let out = self.child.stdout.take().expect("its output is read once");
        BufReader::new(out).lines().map_while(Result::ok)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where `tests/tools.sh` puts them: beside cargo's own folder for tests.
fn tools() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .join("tools")
}

/// A port that is free for TCP and UDP.
pub(crate) fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

/// Debian's opentracker, which tracks this stream alone; its announce URLs.
pub(crate) fn opentracker(stream: Infohash) -> (Tool, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("streams"), format!("{stream}\n")).unwrap();
    // As root it moves into the folder and becomes somebody else.
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let port = free_port().to_string();
    let root = tools().join("opentracker");
    let mut command = Command::new(root.join("usr/bin/opentracker"));
    command
        .env("LD_LIBRARY_PATH", root.join("usr/lib"))
        .args([
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-P",
            &port,
            "-w",
            "streams",
            "-d",
        ])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let child = Tool::start(&mut command);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(Instant::now() < deadline, "opentracker does not listen");
        thread::sleep(LOOK_EVERY);
    }
    let urls = ["http", "udp"].map(|scheme| format!("{scheme}://127.0.0.1:{port}/announce"));
    let tool = Tool {
        child,
        _folder: Some(folder),
    };
    (tool, urls.into())
}

/// A DHT of libtorrent's nodes.
#[derive(Debug)]
pub(crate) struct LibtorrentDht {
    tool: Tool,
    answers: Lines<BufReader<ChildStdout>>,
    address: IpAddr,
    /// Of its nodes.
    ports: Vec<u16>,
}

impl LibtorrentDht {
    /// So many nodes at this address.
    pub(crate) fn start(address: IpAddr, nodes: usize) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dht.py");
        // Debian's own, which has Debian's python3-libtorrent.
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(script)
            .args([address.to_string(), nodes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut tool = Tool {
            child: Tool::start(&mut command),
            _folder: None,
        };
        let out = tool.child.stdout.take().unwrap();
        let mut answers = BufReader::new(out).lines();
        let ports = answers
            .next()
            .expect("tests/tools.sh installs libtorrent")
            .unwrap();
        let ports = ports.split(' ').map(|port| port.parse().unwrap());
        let ports = ports.collect();
        Self {
            tool,
            answers,
            address,
            ports,
        }
    }

    /// Where its nodes are.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = SocketAddr> {
        self.ports
            .iter()
            .map(|&port| SocketAddr::new(self.address, port))
    }

    /// The peers that a libtorrent session finds that knows only the node at this port, until the one
    /// at the port `wanted` is among them.
    pub(crate) fn peers_of(&mut self, stream: Infohash, node: u16, wanted: u16) -> Vec<SocketAddr> {
        let questions = self.tool.child.stdin.as_mut().unwrap();
        writeln!(questions, "{stream} {node} {wanted}").unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        let peers = answer.split_whitespace().map(|peer| {
            let (ip, port) = peer.rsplit_once(':').unwrap();
            SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
        });
        peers.collect()
    }
}

/// The trackers of npm's bittorrent-tracker, by IPv4 and by IPv6; their announce URLs.
pub(crate) fn npm_trackers() -> (Tool, Vec<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tracker.mjs");
    let mut command = Command::new("node");
    command
        .arg(script)
        .arg(tools().join("bittorrent-tracker/node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut tool = Tool {
        child: Tool::start(&mut command),
        _folder: None,
    };
    let urls: Vec<_> = tool.lines().take(4).collect();
    assert_eq!(urls.len(), 4, "bittorrent-tracker came to nothing");
    (tool, urls)
}
