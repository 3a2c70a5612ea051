// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A PulseAudio server of the test's own, with a sink that plays to nobody.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::PATIENCE;

/// The server; dropped, it is killed by its id.
#[derive(Debug)]
pub(crate) struct Pulse {
    child: Child,
    /// The words of a sink that plays there.
    pub(crate) sink: String,
}

impl Pulse {
    pub(crate) fn start(folder: &Path) -> Self {
        let socket = folder.join("native");
        let mut child = Command::new("pulseaudio")
            .args([
                "-n",
                "--daemonize=no",
                "--use-pid-file=no",
                "--exit-idle-time=-1",
            ])
            .args(["--realtime=no", "--high-priority=no", "--disable-shm=yes"])
            .args(["-L", "module-null-sink sink_name=null", "-L"])
            .arg(format!(
                "module-native-protocol-unix socket={} auth-anonymous=1",
                socket.display()
            ))
            .env("HOME", folder)
            .env("XDG_RUNTIME_DIR", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pulseaudio is installed by tests/run.sh");
        let deadline = Instant::now() + PATIENCE;
        while !socket.exists() {
            assert!(child.try_wait().unwrap().is_none(), "pulseaudio ended");
            assert!(Instant::now() < deadline, "pulseaudio does not listen");
            thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            sink: format!("pulsesink server=unix:{} device=null", socket.display()),
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
