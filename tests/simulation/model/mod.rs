// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Thousands of [`Swarm`](gstlivetorrent::proto::swarm::Swarm)s in virtual time.
//!
//! The same state machine that the elements drive over sockets is driven here over a model of a
//! network. One run depends on its options and nothing else: same options, same figures.
//!
//! # The model
//!
//! * Every host has an uplink and a downlink of finite rate, each first in, first out. A viewer's
//!   downlink has four times the bitrate, or the rate of its uplink where that is more. A message
//!   costs its bytes and 40 of IP and TCP header for each started 1448.
//! * Between two hosts there is a round trip, fixed per pair, evenly spread over `--rtt`; one way is
//!   half of it.
//! * A connection is reliable and ordered. A message enters the uplink while less than a window is
//!   under way: 1.22/√loss segments, at most 256 KiB. Its bytes are under way until a round trip
//!   after they left the uplink, so a connection that queues there slows down as TCP does.
//! * `--loss` per cent of the segments are lost. Their message comes one round trip later when it
//!   has four segments or something went out on the connection within the last round trip, else
//!   after 200 ms or two round trips, whichever is longer. What follows on the connection waits for
//!   it. A lost segment costs the uplink again.
//! * A call takes half a round trip to be heard and a whole one to be taken. A call to a host that
//!   is gone, behind a firewall, or does not listen (it does not share) fails after three seconds.
//! * A host's clock runs off by up to `--drift` ppm, and its calendar is up to 500 ms wrong.
//! * The tracker is asked at the start, every 60 s, and every 10 s with fewer than twelve connections. It answers
//!   a round trip later, with up to 50 others at random that it has heard of in the last 120 s.
//! * Of those who leave half say so; the others are just gone. Their connections end 20 s later at
//!   the other ends, and what is sent to them counts as sent until a window is full. Another
//!   viewer of the same kind and uplink takes the place at once.
//! * In an outage the source's access link carries nothing; what was under way comes afterwards.
//! * Where the source restarts, its process dies and its connections end; the next one has the same
//!   key and address and higher sequences. The stream's clock begins anew, as an encoder's does.
//! * The stream's own clock (PCR) starts 15 minutes before it wraps, and each piece tells it.
//!
//! # Figures
//!
//! They are about givers: viewers that share. A piece counts for diffusion when it was published
//! after its viewer began to show the stream, whenever it came. It counts for continuity when its
//! release time was over a second ago at the end of the viewer's stay; it is in time when it was
//! delivered no later than that second after its release time, or published before the viewer
//! began. A viewer that was owed less than a second of stream counts for joining only.
//!
//! A stall counts as the source's own where that restarts, from then to ten seconds after it is back.
//! Memory is what [`Swarm::footprint`](gstlivetorrent::proto::swarm::Swarm::footprint) counts, the
//! most of any host at any of twelve looks in each of the 24 parts of a run; distances are from the
//! moment when a piece is published to that when it is released, in true time.
//!
//! # What is not in it
//!
//! * Acknowledgements cost nothing, and messages never share a segment, which they do in TCP.
//! * No congestion outside the access links, and no slow start: a new connection has its window.
//! * The uplink serves whole messages in the order in which swarms send them. A real one shares
//!   itself between connections by segments.
//! * What waits behind a lost segment passes the downlink when it is delivered, not when it comes.
//! * A wait of under 100 µs for the downlink is not waited.
//! * Swarms are told that small messages left once a kilobyte of them did.
//! * No address translation: a firewalled host calls from an address of its own.
//!
//! # Attackers
//!
//! A free-rider does not share and says so. A liar is an honest swarm whose PIECE messages are
//! swallowed, that boasts of free upload and no lag, and that reports having forwarded everything.
//! A polluter spoils the last byte of every block, and once a minute returns under another address
//! and peer id.

mod attackers;
mod bounds;
mod clock;
mod host;
mod hours;
mod link;
mod measure;
mod network;
mod options;
mod population;
mod queue;
mod report;
pub(crate) mod source;
mod starts;
mod tracker;
mod verify;
mod world;

#[allow(unused_imports, reason = "only the scenarios look at single parts")]
pub(crate) use hours::Hour;
pub(crate) use options::Options;
pub(crate) use report::Report;

/// Runs one setting to its end, or says what in it does not fit together.
pub(crate) fn run(options: Options) -> Result<Report, String> {
    options.check()?;
    let mut world = world::World::new(options);
    world.run();
    Ok(Report::new(&world))
}
