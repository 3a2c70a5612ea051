// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The one task that owns the swarm: inputs in, outputs done, events told, figures shown.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_channel::Receiver;
use futures_lite::future;

use super::{
    Notice,
    clock::Clock,
    connection::{Connection, Handle, Pace, Patience},
    discovery::Discovery,
    inbox::Inbound,
    keeper::{self, Keeper},
    lookup::{HostPort, keep_resolving},
    outlet::Outlet,
    runtime::{Alarm, Spawner, TcpStream, connect, unblock_detached},
    story::Story,
};
use crate::proto::{
    lap::Lap,
    piece::Piece,
    swarm::{ConnId, Event, Input, Origin, Output, Playback, Step, Swarm},
    wire::{Decoder, Message},
};

/// Between two snapshots of the figures.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);
/// How long inputs are taken before the outputs they caused go out.
const ROUND_TIME: Duration = Duration::from_millis(2);
/// To open a connection: time for one more try of the system's. Its third would come two seconds after
/// that, and a new dial comes sooner.
const DIAL_TIME: Duration = Duration::from_secs(2);
/// Names that are looked up over and over for one driver.
const MAX_LOOKUPS: usize = 64;

/// What the application asks for.
#[derive(Debug)]
pub(super) enum Command {
    AddPeer(String),
    SetPlayback(Playback),
    Pause,
    Resume { keep_position: bool },
    JumpToLive,
}

/// Where inputs come from.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) inbox: Receiver<Inbound>,
    pub(super) commands: Receiver<Command>,
    pub(super) pieces: Receiver<Piece>,
    /// Something was taken from the outlet; never for a source.
    pub(super) taken: Receiver<()>,
    /// Closed to stop.
    pub(super) stop: Receiver<()>,
}

/// The task's state.
pub(super) struct Driver {
    pub(super) swarm: Swarm,
    pub(super) clock: Clock,
    pub(super) lap: Lap,
    pub(super) piece_length: u32,
    pub(super) spawner: Spawner,
    pub(super) discovery: Discovery,
    pub(super) keeper: Option<Keeper>,
    pub(super) outlet: Arc<Outlet>,
    pub(super) story: Story,
    pub(super) connections: Connections,
}

/// The connections and dials of a driver.
#[derive(Debug, Default)]
pub(super) struct Connections {
    next: u64,
    open: HashMap<ConnId, Handle>,
    lookups: HashSet<HostPort>,
    /// Inputs that outputs led to at once.
    fallout: VecDeque<Input>,
}

impl Drop for Driver {
    /// However it ends, nobody is left waiting for what will not come.
    fn drop(&mut self) {
        self.outlet.close();
    }
}

/// What ended a wait.
enum Woken {
    Inbound(Inbound),
    Command(Command),
    Piece(Piece),
    Taken,
    Time,
    Stop,
}

/// What an entry of `Sources` brings; one that is closed brings nothing more.
async fn next<T>(channel: &Receiver<T>) -> T {
    match channel.recv().await {
        Ok(item) => item,
        Err(_) => future::pending().await,
    }
}

impl Sources {
    async fn wait(&self, alarm: &mut Alarm) -> Woken {
        let stop = async {
            let _ = self.stop.recv().await;
            Woken::Stop
        };
        let taken = async {
            next(&self.taken).await;
            Woken::Taken
        };
        let time = async {
            alarm.wait().await;
            Woken::Time
        };
        let piece = async { Woken::Piece(next(&self.pieces).await) };
        let command = async { Woken::Command(next(&self.commands).await) };
        let inbound = async { Woken::Inbound(next(&self.inbox).await) };
        let ours = future::or(future::or(taken, piece), command);
        future::or(stop, future::or(future::or(ours, inbound), time)).await
    }

    /// What is there already: ours first, since that is little and of the moment.
    fn ready(&self) -> Option<Woken> {
        if self.stop.is_closed() {
            return Some(Woken::Stop);
        }
        let piece = || self.pieces.try_recv().ok().map(Woken::Piece);
        let command = || self.commands.try_recv().ok().map(Woken::Command);
        let taken = || self.taken.try_recv().ok().map(|()| Woken::Taken);
        let inbound = || self.inbox.try_recv().ok().map(Woken::Inbound);
        piece().or_else(command).or_else(taken).or_else(inbound)
    }
}

impl Driver {
    /// Runs until [`Sources::stop`] is closed.
    pub(super) async fn run(mut self, sources: Sources) {
        let mut snapshot_at = Instant::now();
        let mut keep_at = snapshot_at + keeper::FIRST;
        let mut shown = true;
        let mut alarm = Alarm::default();
        self.grant_room();
        'rounds: loop {
            let wake_at = self.act();
            let now = Instant::now();
            if now >= snapshot_at {
                self.discovery
                    .shown
                    .set_stats(self.swarm.stats(self.clock.now()));
                snapshot_at = now + SNAPSHOT_EVERY;
                shown = true;
            }
            if now >= keep_at {
                keep_at = now + keeper::EVERY;
                self.keep_good_peers();
            }
            // Readers and writers run now; so a flood of inputs cannot keep them waiting.
            future::yield_now().await;
            let show_at = (!shown).then_some(snapshot_at);
            alarm.set([wake_at, show_at].into_iter().flatten().min());
            let mut woken = sources.wait(&mut alarm).await;
            let began = Instant::now();
            loop {
                shown = shown && matches!(woken, Woken::Time);
                if matches!(woken, Woken::Stop) {
                    break 'rounds;
                }
                self.take(woken);
                if began.elapsed() > ROUND_TIME {
                    break;
                }
                match sources.ready() {
                    Some(next) => woken = next,
                    None => break,
                }
            }
            // Whatever woke us, also under a flood.
            if wake_at.is_some_and(|at| at <= Instant::now()) {
                shown = false;
                self.tell(Input::Timeout);
            }
        }
        self.discovery
            .shown
            .set_stats(self.swarm.stats(self.clock.now()));
        if let Some(keeper) = &self.keeper {
            keeper
                .keep_at_the_end(&self.swarm, self.clock, &self.discovery)
                .await;
        }
    }

    fn keep_good_peers(&self) {
        let write = self
            .keeper
            .as_ref()
            .and_then(|keeper| keeper.keep(&self.swarm, self.clock, &self.discovery));
        if let Some(write) = write {
            unblock_detached(write);
        }
    }

    fn tell(&mut self, input: Input) {
        self.story.input(&input);
        self.swarm.handle(self.clock.now(), input);
    }

    fn take(&mut self, woken: Woken) {
        match woken {
            Woken::Inbound(inbound) => self.take_inbound(inbound),
            Woken::Piece(piece) => self.tell(Input::Publish(piece)),
            Woken::Taken => self.grant_room(),
            Woken::Command(Command::AddPeer(address)) => {
                self.try_peer(&address, Origin::Configured);
            }
            Woken::Command(Command::SetPlayback(playback)) => {
                self.tell(Input::SetPlayback(playback));
            }
            Woken::Command(Command::Pause) => self.tell(Input::Pause),
            Woken::Command(Command::Resume { keep_position }) => {
                self.tell(Input::Resume { keep_position });
            }
            Woken::Command(Command::JumpToLive) => self.tell(Input::JumpToLive),
            Woken::Time | Woken::Stop => {}
        }
    }

    fn take_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Accepted {
                stream,
                address,
                first,
                since,
            } => {
                let waited = since.elapsed();
                self.connected(stream, address, first, Some(waited));
            }
            Inbound::Dialled { address, stream } => self.dialled(address, stream),
            Inbound::Batch {
                conn,
                messages,
                error,
                handled: _at_the_end,
            } => {
                // After a hang-up the swarm hears nothing of it any more.
                if !self.connections.open.contains_key(&conn) {
                    return;
                }
                for message in messages {
                    self.tell(Input::Received { conn, message });
                }
                if let Some(error) = error {
                    self.tell(Input::Malformed { conn, error });
                }
            }
            Inbound::Sent { conn, bytes } => {
                if self.connections.open.contains_key(&conn) {
                    self.tell(Input::Sent { conn, bytes });
                }
            }
            Inbound::Closed { conn, reason } => {
                if self.connections.open.remove(&conn).is_some() {
                    self.tell(Input::Closed { conn, reason });
                }
            }
            Inbound::Candidates { origin, addresses } => {
                self.tell(Input::Candidates { origin, addresses });
            }
            Inbound::Mapped { port } => self.tell(Input::Mapped { port }),
        }
    }

    fn grant_room(&mut self) {
        let room = if self.discovery.viewer {
            self.outlet.room()
        } else {
            0
        };
        if room > 0 {
            self.tell(Input::Room(room));
        }
    }

    /// Does what the swarm wants done; until when it wants to be left alone.
    fn act(&mut self) -> Option<Instant> {
        let wake_at = loop {
            let output = self.swarm.poll_output();
            self.story.output(&output);
            match output {
                Output::Dial { address } => self.dial(address),
                Output::Send { conn, message } => self.send(conn, message),
                Output::HangUp { conn, .. } => {
                    self.connections.open.remove(&conn);
                }
                Output::Deliver(delivery) => self.outlet.push(delivery),
                Output::WakeAt(at) => match self.connections.fallout.pop_front() {
                    Some(input) => self.tell(input),
                    None => break at,
                },
            }
        };
        while let Some(event) = self.swarm.poll_event() {
            self.story.event(&event);
            self.discovery.shown.observe(&event);
            match &event {
                Event::PeerAdded { address, .. } => self.discovery.ways.answered(*address),
                Event::PeerRemoved {
                    address, reason, ..
                } => self.discovery.ways.left(*address, reason),
                Event::Step(Step::Exchanged { address, peers }) => {
                    self.discovery.ways.exchanged(*address, *peers);
                }
                Event::Ended => self.outlet.end(),
                _ => {}
            }
            if !matches!(event, Event::Step(_)) {
                self.discovery.notifier.give(Notice::Swarm(event));
            }
        }
        wake_at.and_then(|at| self.clock.system(at))
    }

    fn send(&mut self, conn: ConnId, message: Message) {
        let Some(handle) = self.connections.open.get(&conn) else {
            return;
        };
        if !handle.send(message.into_frame()) {
            self.connections.open.remove(&conn);
            let reason = "too much waits to be sent".into();
            let closed = Input::Closed { conn, reason };
            self.connections.fallout.push_back(closed);
        }
    }

    /// A connection that we opened, or one of theirs that has `waited` already.
    fn connected(
        &mut self,
        stream: TcpStream,
        address: SocketAddr,
        first: Vec<u8>,
        waited: Option<Duration>,
    ) {
        let conn = ConnId(self.connections.next);
        self.connections.next += 1;
        let connection = Connection {
            conn,
            stream,
            first,
            decoder: Decoder::new(self.lap),
            inbox: self.discovery.inbox.clone(),
            pace: Pace::new(self.piece_length, self.clock),
            patience: Patience::default(),
        };
        let (handle, task) = connection.into_task();
        self.connections.open.insert(conn, handle);
        self.tell(Input::Connected {
            conn,
            address,
            inbound: waited.is_some(),
            waited: waited.unwrap_or_default(),
        });
        self.spawner.spawn(task);
    }

    /// The swarm sees to it that there are not too many.
    fn dial(&self, address: SocketAddr) {
        let inbox = self.discovery.inbox.clone();
        let from = self.discovery.local.towards(address.ip());
        self.spawner.spawn(async move {
            let stream = match from {
                Ok(from) => connect(from, address, DIAL_TIME).await,
                Err(error) => Err(error),
            };
            // A driver that is gone closes the stream with the message.
            let _ = inbox.send(Inbound::Dialled { address, stream }).await;
        });
    }

    fn dialled(&mut self, address: SocketAddr, stream: io::Result<TcpStream>) {
        match stream {
            Ok(stream) => {
                self.discovery.ways.took_call(address);
                self.connected(stream, address, Vec::new(), None);
            }
            Err(error) => {
                self.story.call_failed(address, &error);
                self.discovery.ways.call_failed(address, &error);
                self.tell(Input::DialFailed { address });
            }
        }
    }

    /// Looks up what the user named, and tries it.
    pub(super) fn try_peer(&mut self, address: &str, origin: Origin) {
        match HostPort::parse(address) {
            Some(target) => self.look_up(target, origin),
            None => {
                let outcome = "is no HOST:PORT".to_owned();
                self.discovery.leads_nowhere(&way_to(address), outcome);
            }
        }
    }

    /// Starts to look a name up; an address is a candidate at once.
    pub(super) fn look_up(&mut self, target: HostPort, origin: Origin) {
        let way = way_to(&target.to_string());
        if let Ok(ip) = target.host.parse() {
            let addresses = vec![SocketAddr::new(ip, target.port)];
            self.discovery.ways.lead_to(&way, &addresses);
            return self.tell(Input::Candidates { origin, addresses });
        }
        let lookups = &mut self.connections.lookups;
        if lookups.contains(&target) {
            return;
        }
        if lookups.len() >= MAX_LOOKUPS {
            let outcome = "is one name too many to look up".to_owned();
            return self.discovery.leads_nowhere(&way, outcome);
        }
        lookups.insert(target.clone());
        let discovery = self.discovery.clone();
        let (inbox, ways) = (discovery.inbox.clone(), Arc::clone(&discovery.ways));
        let name = way.clone();
        let say = move |addresses: Vec<SocketAddr>| {
            ways.lead_to(&name, &addresses);
            Inbound::Candidates { origin, addresses }
        };
        self.spawner
            .spawn(keep_resolving(target, way, discovery, inbox, say));
    }
}

/// What the way to a peer that is named is called.
fn way_to(target: &str) -> String {
    format!("peer {target}")
}
