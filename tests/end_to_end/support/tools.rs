// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Programs of others that tests speak to, which `tests/tools.sh` fetches.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
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
    /// What it prints.
    lines: mpsc::Receiver<String>,
    _folder: Option<tempfile::TempDir>,
}

impl Tool {
    fn start(command: &mut Command, folder: Option<tempfile::TempDir>) -> Self {
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; tests/tools.sh fetches it"));
        let (tell, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            // Ends with the program.
            thread::spawn(move || {
                let lines = BufReader::new(out).lines().map_while(Result::ok);
                for line in lines {
                    // The test may have heard enough.
                    let _ = tell.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            _folder: folder,
        }
    }

    /// The next line that it prints.
    pub(crate) fn line(&self) -> Option<String> {
        self.lines.recv_timeout(PATIENCE).ok()
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
    let tool = Tool::start(&mut command, Some(folder));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        assert!(Instant::now() < deadline, "opentracker does not listen");
        thread::sleep(LOOK_EVERY);
    }
    let urls = ["http", "udp"].map(|scheme| format!("{scheme}://127.0.0.1:{port}/announce"));
    (tool, urls.into())
}

/// A DHT of libtorrent's nodes.
#[derive(Debug)]
pub(crate) struct LibtorrentDht {
    tool: Tool,
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
        let tool = Tool::start(&mut command, None);
        let ports = tool.line().expect("tests/tools.sh installs libtorrent");
        let ports = ports.split(' ').map(|port| port.parse().unwrap());
        let ports = ports.collect();
        Self {
            tool,
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
        let answer = self.tool.line().unwrap();
        let peers = answer.split_whitespace().map(|peer| {
            let (ip, port) = peer.rsplit_once(':').unwrap();
            SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
        });
        peers.collect()
    }
}

/// The trackers of npm's bittorrent-tracker.
#[derive(Debug)]
pub(crate) struct NpmTrackers {
    tool: Tool,
    /// By IPv4 and by IPv6, over HTTP and UDP.
    pub(crate) urls: Vec<String>,
    /// The one by IPv4 over TLS.
    pub(crate) https: String,
    folder: tempfile::TempDir,
}

impl NpmTrackers {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        certify(&folder, &key);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tracker.mjs");
        let mut command = Command::new("node");
        command
            .arg(script)
            .arg(tools().join("bittorrent-tracker/node_modules"))
            .arg(certificate(&folder))
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let tool = Tool::start(&mut command, None);
        let mut urls: Vec<_> = std::iter::from_fn(|| tool.line()).take(5).collect();
        assert_eq!(urls.len(), 5, "bittorrent-tracker came to nothing");
        let https = urls.iter().position(|url| url.starts_with("https:"));
        Self {
            tool,
            https: urls.remove(https.expect("one over TLS")),
            urls,
            folder,
        }
    }

    /// The first URL that begins so.
    pub(crate) fn url(&self, begin: &str) -> String {
        let mut urls = self.urls.iter().chain([&self.https]);
        urls.find(|url| url.starts_with(begin)).unwrap().clone()
    }

    /// The certificate of the one over TLS, which is its own authority.
    pub(crate) fn certificate(&self) -> PathBuf {
        certificate(&self.folder)
    }

    /// The next announce of an event, as `EVENT PORT UPLOADED DOWNLOADED`.
    pub(crate) fn event(&self) -> String {
        self.tool.line().expect("bittorrent-tracker goes on")
    }
}

/// Makes a key, and a certificate for 127.0.0.1 that it signs itself.
fn certify(folder: &tempfile::TempDir, key: &Path) {
    let config = folder.path().join("openssl.cnf");
    let text = "[req]\ndistinguished_name=name\nprompt=no\nx509_extensions=extensions\n\
                [name]\nCN=livetorrent\n[extensions]\nsubjectAltName=IP:127.0.0.1\n";
    std::fs::write(&config, text).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec"])
        .args([
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-days",
            "2",
            "-config",
        ])
        .arg(config)
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(certificate(folder))
        .output()
        .unwrap_or_else(|error| panic!("openssl: {error}; tests/tools.sh installs it"));
    assert!(made.status.success(), "{made:?}");
}

fn certificate(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("certificate.pem")
}
