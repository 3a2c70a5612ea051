// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Two processes of this program, a broadcast and its viewers, and what they tell.

use std::{
    error::Error,
    io::{BufRead, BufReader, Write},
    net::UdpSocket,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::candidate::Candidate;

/// A side says what it is asked for within so long, the first byte included.
const PATIENCE: Duration = Duration::from_secs(20);
/// A broadcast goes on for so long before anybody watches, so that there is something to start from.
const AHEAD: Duration = Duration::from_millis(1500);

/// What is to be measured once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) candidate: Candidate,
    pub(crate) bitrate: u64,
    pub(crate) viewers: usize,
    /// How long they have watched before anything is counted.
    pub(crate) settling: Duration,
    /// How long is counted.
    pub(crate) time: Duration,
}

/// A process; ended when it is dropped.
struct Side {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Side {
    fn begin(way: &str, trial: &Trial, folder: &Path, port: u16) -> Result<Self, Box<dyn Error>> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([way, trial.candidate.name()])
            .arg(folder)
            .args([
                port.to_string(),
                trial.bitrate.to_string(),
                trial.viewers.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = child.stdout.take().ok_or("no output")?;
        let (tell, lines) = mpsc::channel();
        // Ends with the process.
        thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.for_each(|line| drop(tell.send(line)));
        });
        Ok(Self {
            child,
            input,
            lines,
        })
    }

    fn tell(&mut self, word: &str) -> Result<(), Box<dyn Error>> {
        Ok(writeln!(self.input, "{word}")?)
    }

    fn line(&self) -> Result<String, Box<dyn Error>> {
        Ok(self.lines.recv_timeout(PATIENCE)?)
    }

    fn figures(&self) -> Result<Value, Box<dyn Error>> {
        Ok(serde_json::from_str(&self.line()?)?)
    }
}

/// The figures of both sides.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) sink: Value,
    pub(crate) source: Value,
}

impl Figures {
    /// Whether all that was made in time arrived.
    pub(crate) fn is_whole(&self, bitrate: u64) -> bool {
        let all = bitrate as f64 * 0.99;
        let figure = |side: &Value, name: &str| side[name].as_f64();
        figure(&self.sink, "made") >= Some(all)
            && figure(&self.source, "got") >= Some(all)
            && figure(&self.source, "lost") == Some(0.0)
            && self.sink["failed"].is_null()
            && self.source["failed"].is_null()
    }
}

/// A port where nobody listened a moment ago: SRT and TCP's sink cannot pick one and tell.
fn free_port() -> Result<u16, Box<dyn Error>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    Ok(socket.local_addr()?.port())
}

/// Lets both sides run, and has them tell.
pub(crate) fn run(trial: &Trial) -> Result<Figures, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let port = free_port()?;
    let mut sink = Side::begin("send", trial, folder.path(), port)?;
    thread::sleep(AHEAD);
    if trial.candidate == Candidate::Nothing {
        sink.tell("mark")?;
        thread::sleep(trial.time);
        sink.tell("tell")?;
        return Ok(Figures {
            sink: sink.figures()?,
            source: Value::Null,
        });
    }
    let mut source = Side::begin("receive", trial, folder.path(), port)?;
    match source.line()?.as_str() {
        "first" => {}
        other => return Err(format!("a viewer said {other}").into()),
    }
    thread::sleep(trial.settling);
    let began = Instant::now();
    sink.tell("mark")?;
    source.tell("mark")?;
    thread::sleep(trial.time.saturating_sub(began.elapsed()));
    source.tell("tell")?;
    sink.tell("tell")?;
    Ok(Figures {
        source: source.figures()?,
        sink: sink.figures()?,
    })
}
