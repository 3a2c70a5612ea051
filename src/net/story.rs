// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What goes on, for the log: every input and output as it is, and in between, for people, what of
//! it makes a join, a stall or an outage.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    io,
    net::SocketAddr,
};

use crate::proto::swarm::{Event, Input, Origin, Output, Step};

/// How much a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A step that people understand: a few in a join, a stall or an outage.
    Story,
    /// One input, output or event of the swarm: thousands a second.
    Detail,
}

/// Takes the lines of the log, on the driver's thread: it has to be quick, and must not format a
/// line unless somebody reads it.
pub struct Trace(Box<dyn Fn(Level, fmt::Arguments<'_>) + Send>);

impl Trace {
    /// Writes to `sink`.
    #[must_use]
    pub fn new(sink: impl Fn(Level, fmt::Arguments<'_>) + Send + 'static) -> Self {
        Self(Box::new(sink))
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

/// Addresses whose failures are counted; those of others are told one by one.
const MAX_COUNTED: usize = 256;

/// Tells the log.
#[derive(Debug, Default)]
pub(super) struct Story {
    trace: Option<Trace>,
    /// Calls that failed in a row. Only the first is told: a source that is away is called twice a
    /// second.
    failed: HashMap<SocketAddr, u32>,
}

impl Story {
    pub(super) fn new(trace: Option<Trace>) -> Self {
        Self {
            trace,
            failed: HashMap::new(),
        }
    }

    fn detail(&self, what: &dyn fmt::Debug) {
        if let Some(Trace(write)) = &self.trace {
            write(Level::Detail, format_args!("{}", Clipped(what)));
        }
    }

    fn tell(&self, line: fmt::Arguments<'_>) {
        if let Some(Trace(write)) = &self.trace {
            write(Level::Story, line);
        }
    }

    pub(super) fn input(&mut self, input: &Input) {
        self.detail(input);
        match input {
            Input::Candidates { origin, addresses } => {
                let who = match origin {
                    Origin::Announce => "the announce URL",
                    Origin::Configured => "the user",
                    Origin::Auxiliary => "auxiliary-seeders",
                    Origin::Tracker => "the tracker",
                    Origin::Dht => "the DHT",
                    Origin::Lan => "local discovery",
                    Origin::Known => "the list of good peers",
                };
                self.tell(format_args!("{who} names {}", List(addresses)));
            }
            Input::Mapped { port } => {
                self.tell(format_args!("to be called at port {port} by those outside"));
            }
            Input::Connected {
                conn,
                address,
                inbound: true,
                ..
            } => self.tell(format_args!("called by {address}, connection {}", conn.0)),
            Input::Connected { conn, address, .. } => match self.failed.remove(address) {
                None => self.tell(format_args!(
                    "connected to {address}, connection {}",
                    conn.0
                )),
                Some(failed) => self.tell(format_args!(
                    "connected to {address}, connection {}, after {failed} calls that failed",
                    conn.0
                )),
            },
            Input::SetPlayback(playback) => self.tell(format_args!(
                "to play {:?} behind the source",
                playback.latency.max(playback.start_offset)
            )),
            Input::Pause => self.tell(format_args!("pausing")),
            Input::Resume { keep_position } => self.tell(format_args!(
                "going on {}",
                if *keep_position {
                    "where it was"
                } else {
                    "at the latency"
                }
            )),
            Input::JumpToLive => self.tell(format_args!("jumping to live")),
            _ => {}
        }
    }

    pub(super) fn output(&self, output: &Output) {
        self.detail(output);
        match output {
            Output::Dial { address } if !self.failed.contains_key(address) => {
                self.tell(format_args!("calling {address}"));
            }
            Output::HangUp { conn, reason } => {
                self.tell(format_args!("ending connection {}: {reason}", conn.0));
            }
            _ => {}
        }
    }

    /// A call failed; the swarm is told without the reason.
    pub(super) fn call_failed(&mut self, address: SocketAddr, error: &io::Error) {
        if let Some(failed) = self.failed.get_mut(&address) {
            *failed = failed.saturating_add(1);
            return;
        }
        self.tell(format_args!("no connection to {address}: {error}"));
        if self.failed.len() < MAX_COUNTED {
            self.failed.insert(address, 1);
        }
    }

    pub(super) fn event(&self, event: &Event) {
        self.detail(event);
        match event {
            Event::PeerAdded { id, address } => {
                self.tell(format_args!(
                    "{address} has shaken hands, its peer id is {id}"
                ));
            }
            Event::PeerRemoved {
                address, reason, ..
            } => self.tell(format_args!("{address} is gone: {reason}")),
            Event::Status(status) => self.tell(format_args!("status is {status:?} now")),
            Event::Unconfirmed { age } => {
                self.tell(format_args!(
                    "joining though the newest piece is {age:?} old"
                ));
            }
            Event::Stalled => self.tell(format_args!("stalled: nothing to release in time")),
            Event::Resumed => self.tell(format_args!("resumed")),
            Event::SourceAway => self.tell(format_args!(
                "the source is away: no newer piece anywhere for three seconds"
            )),
            Event::SourceBack => self.tell(format_args!("the source is back")),
            Event::Skipped { pieces, bytes } => self.tell(format_args!(
                "skipped {pieces} pieces, {bytes} bytes, that missed their time"
            )),
            Event::Ended => self.tell(format_args!("the broadcast is over")),
            Event::Drained => self.tell(format_args!("every viewer has the end")),
            Event::Step(step) => self.step(step),
        }
    }

    fn step(&self, step: &Step) {
        match step {
            Step::Tip {
                address,
                sequence,
                age,
            } => match address {
                Some(address) => self.tell(format_args!(
                    "tip: {address} tells of piece {sequence}, {age:?} old"
                )),
                None => self.tell(format_args!("tip: piece {sequence}, {age:?} old, came")),
            },
            Step::Entry {
                sequence,
                behind,
                random_access: true,
            } => self.tell(format_args!(
                "entry: the random access point at piece {sequence}, {behind} behind the tip"
            )),
            Step::Entry {
                sequence, behind, ..
            } => self.tell(format_args!(
                "entry: nobody tells of a random access point; from piece {sequence}, {behind} behind the tip"
            )),
            Step::Released {
                sequence,
                distance,
                after,
            } => self.tell(format_args!(
                "first byte: piece {sequence}, {distance:?} behind the source, {after:?} after the start"
            )),
            Step::Late {
                sequence,
                tip,
                peers,
                shown_by,
                asked,
            } if sequence > tip => self.tell(format_args!(
                "late: piece {sequence}; none of {peers} peers knows a newer one than {tip}, {shown_by} show it, {asked} are asked"
            )),
            Step::Late {
                sequence,
                tip,
                peers,
                shown_by,
                asked,
            } => self.tell(format_args!(
                "late: piece {sequence}; {shown_by} of {peers} peers show it, {asked} are asked, the tip is {tip}"
            )),
            Step::Exchanged { address, peers } => {
                self.tell(format_args!("{address} tells of {peers} peers"));
            }
            Step::Leap { sequence } => self.tell(format_args!(
                "all that came next has left the window: on with piece {sequence}"
            )),
        }
    }
}

/// The first few addresses of a list.
struct List<'a>(&'a [SocketAddr]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        let Self(addresses) = self;
        for (number, address) in addresses.iter().take(SHOWN).enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(f, "{comma}{address}")?;
        }
        match addresses.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// The first characters of what `Debug` shows: a message may hold a whole block.
struct Clipped<'a>(&'a dyn fmt::Debug);

/// Bytes of a traced line: all of a message but a block's or a bitfield's bytes.
const MAX_TRACE: usize = 400;

struct Clip<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    left: usize,
}

impl fmt::Write for Clip<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // An error is what ends the formatting early.
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        self.out.write_str(text)
    }
}

impl fmt::Display for Clipped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = MAX_TRACE;
        match write!(Clip { out: f, left }, "{:?}", self.0) {
            Ok(()) => Ok(()),
            Err(fmt::Error) => f.write_str(" …"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{
        sync::{Arc, Mutex},
        time::Duration,
    };

    use crate::proto::swarm::ConnId;

    fn story() -> (Story, Arc<Mutex<Vec<String>>>) {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&lines);
        let trace = Trace::new(move |level, line| {
            assert!(line.to_string().len() < 2 * MAX_TRACE);
            if level == Level::Story {
                sink.lock().unwrap().push(line.to_string());
            }
        });
        (Story::new(Some(trace)), lines)
    }

    #[test]
    fn a_source_that_is_called_again_and_again_is_told_of_once() {
        let (mut story, lines) = story();
        let address = SocketAddr::from(([192, 0, 2, 1], 7764));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for _ in 0..50 {
            story.output(&Output::Dial { address });
            story.call_failed(address, &refused);
        }
        story.input(&Input::Connected {
            conn: ConnId(7),
            address,
            inbound: false,
            waited: Duration::ZERO,
        });
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        assert_eq!(lines[0], "calling 192.0.2.1:7764");
        assert!(lines[1].starts_with("no connection to 192.0.2.1:7764: "));
        assert!(lines[2].ends_with("connection 7, after 50 calls that failed"));
    }

    #[test]
    fn calls_that_fail_are_counted_for_256_addresses() {
        let (mut story, _lines) = story();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for port in 1..1000 {
            story.call_failed(SocketAddr::from(([192, 0, 2, 1], port)), &refused);
        }
        assert_eq!(story.failed.len(), MAX_COUNTED);
    }

    #[test]
    fn addresses_are_named_as_far_as_they_can_be_read() {
        let addresses: Vec<_> = (1..10)
            .map(|n| SocketAddr::from(([10, 0, 0, n], n.into())))
            .collect();
        assert_eq!(List(&addresses[..2]).to_string(), "10.0.0.1:1, 10.0.0.2:2");
        assert!(List(&addresses).to_string().ends_with(":4 and 5 more"));
    }

    #[test]
    fn a_traced_block_is_clipped() {
        let clipped = Clipped(&vec![7_u8; 16_384]).to_string();
        assert!(clipped.starts_with("[7, 7, ") && clipped.ends_with(" …"));
        assert!(clipped.len() <= MAX_TRACE + " …".len());
        assert_eq!(Clipped(&Some(1)).to_string(), "Some(1)");
    }
}
