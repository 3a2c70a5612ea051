// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

use std::{
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use glib::subclass::Signal;
use gst::{prelude::*, subclass::prelude::*};
use gst_base::{prelude::*, subclass::prelude::*};

use crate::{
    common::{properties, structures},
    net::{Level, Notice, Trace},
    proto::{stats::Stats, swarm::Event},
};

use super::{
    broadcast::{Broadcast, Chunk, Stopped, Tell},
    container::Container,
    pacer::{Anchor, ClockPacer, RatePacer},
    settings::Settings,
};

static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "livetorrentsink",
        gst::DebugColorFlags::empty(),
        Some("Live torrent sink"),
    )
});

/// How the next bytes are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// GstBaseSink has waited, or nobody does.
    Given,
    /// By the transport stream's clock references.
    Clock,
    /// At this many bits per second.
    Bitrate(u64),
}

/// What the streaming thread knows about its input.
#[derive(Default)]
struct Input {
    /// What the bytes are; none before the first of them without caps.
    container: Option<Container>,
    /// Whether upstream is live; none before it was asked.
    upstream_live: Option<bool>,
    /// Upstream gives timestamps, so GstBaseSink paces.
    timed: bool,
    /// The warning about a stream that nothing paces was posted.
    warned: bool,
    clock: ClockPacer,
    anchor: Anchor,
    rate: RatePacer,
}

/// Locks, in the order in which they may be taken: `input`, `broadcast`, then those inside
/// [`Broadcast`]; `settings` and `announced` alone. None is held while a message is posted, a signal emitted or
/// an event passed on, nor while waiting (except the preroll lock, which GstBaseSink lets go).
#[derive(Default)]
pub struct LiveTorrentSink {
    settings: Mutex<Settings>,
    input: Mutex<Input>,
    broadcast: Mutex<Option<Arc<Broadcast>>>,
    announced: Mutex<Announced>,
}

/// What was said of where viewers find the broadcast. A router may be quicker than the start.
#[derive(Default)]
enum Announced {
    /// Nothing; this comes after `livetorrent-ready`.
    #[default]
    Nothing,
    Waiting(gst::Structure),
    Ready,
}

/// A poisoned lock is still the best there is: nothing here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveTorrentSink {
    fn broadcast(&self) -> Option<Arc<Broadcast>> {
        lock(&self.broadcast).clone()
    }

    /// What the broadcast tells, on threads of its own.
    fn told(&self, tell: Tell) {
        let event = match tell {
            Tell::Failed(stopped) => {
                let _: gst::FlowError = self.flow_error(stopped);
                return;
            }
            Tell::Warning(text) => {
                gst::element_imp_warning!(self, gst::ResourceError::Write, ("{text}"));
                return;
            }
            Tell::Notice(Notice::Tracker(text)) => {
                gst::info!(CAT, imp = self, "{text}");
                return;
            }
            // A source looks for nobody.
            Tell::Notice(Notice::Alone(_) | Notice::Mapped(_)) => return,
            Tell::Mapped(outside, metainfo) => {
                let location = lock(&self.settings).location(&self.obj().name());
                let location = location.display().to_string();
                self.announce(structures::mapped(&location, &metainfo, outside));
                return;
            }
            Tell::Notice(Notice::Swarm(event)) => event,
        };
        match event {
            Event::PeerAdded { id, address } => {
                self.obj()
                    .emit_by_name::<()>("peer-added", &[&id, &address.to_string()]);
            }
            Event::PeerRemoved {
                id,
                address,
                reason,
            } => {
                let address = address.to_string();
                self.obj()
                    .emit_by_name::<()>("peer-removed", &[&id, &address, &reason]);
            }
            _ => (),
        }
    }

    /// Posts why no more goes out.
    fn flow_error(&self, stopped: Stopped) -> gst::FlowError {
        gst::element_imp_error!(self, gst::ResourceError::Failed, ("{stopped}"));
        gst::FlowError::Error
    }

    /// Broadcasts a buffer when its time has come.
    fn feed(&self, buffer: &gst::BufferRef) -> Result<(), gst::FlowError> {
        let broadcast = self.broadcast().ok_or(gst::FlowError::Flushing)?;
        let bytes = buffer.map_readable().map_err(|_| {
            gst::element_imp_error!(self, gst::ResourceError::Read, ("Cannot map a buffer"));
            gst::FlowError::Error
        })?;
        self.recognise(&broadcast, &bytes)?;
        let pace = self.pace(buffer);
        if buffer.flags().contains(gst::BufferFlags::DISCONT) || pace != Pace::Clock {
            self.release(&broadcast)?;
        }
        let chunk = Chunk {
            bytes: &bytes,
            discont: buffer.flags().contains(gst::BufferFlags::DISCONT),
            delta: buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        };
        match pace {
            Pace::Given => broadcast.push(chunk).map_err(|e| self.flow_error(e)),
            Pace::Bitrate(bitrate) => self.feed_at(&broadcast, chunk, bitrate),
            Pace::Clock => self.feed_by_clock(&broadcast, chunk),
        }
    }

    fn feed_by_clock(
        &self,
        broadcast: &Broadcast,
        mut chunk: Chunk<'_>,
    ) -> Result<(), gst::FlowError> {
        let due = lock(&self.input).clock.push(chunk.bytes);
        for due in due {
            if let (Some(time), Some(now)) = (due.time, self.running_time()) {
                let time = lock(&self.input).anchor.running_time(time, now);
                self.wait(time)?;
            }
            let part = chunk.part(&due.packets);
            broadcast.push(part).map_err(|e| self.flow_error(e))?;
            chunk.discont = false;
        }
        Ok(())
    }

    fn feed_at(
        &self,
        broadcast: &Broadcast,
        mut chunk: Chunk<'_>,
        bitrate: u64,
    ) -> Result<(), gst::FlowError> {
        for range in RatePacer::parts(chunk.bytes.len(), bitrate) {
            if let Some(now) = self.running_time() {
                let time = lock(&self.input).rate.admit(range.len(), bitrate, now);
                self.wait(time)?;
            }
            let part = chunk.part(&chunk.bytes[range]);
            broadcast.push(part).map_err(|e| self.flow_error(e))?;
            chunk.discont = false;
            chunk.delta = true;
        }
        Ok(())
    }

    /// Broadcasts what waits for a clock reference.
    fn release(&self, broadcast: &Broadcast) -> Result<(), gst::FlowError> {
        let rest = lock(&self.input).clock.finish();
        if rest.is_empty() {
            return Ok(());
        }
        broadcast
            .push(Chunk::of(&rest))
            .map_err(|e| self.flow_error(e))
    }

    /// Finds out what bytes without caps are.
    fn recognise(&self, broadcast: &Broadcast, bytes: &[u8]) -> Result<(), gst::FlowError> {
        let mut input = lock(&self.input);
        if input.container.is_some() || bytes.is_empty() {
            return Ok(());
        }
        let container = Container::sniff(bytes);
        gst::info!(
            CAT,
            imp = self,
            "no caps; the bytes look like {container:?}"
        );
        input.container = Some(container.clone());
        drop(input);
        broadcast
            .set_container(&container)
            .map_err(|e| self.flow_error(e))
    }

    /// Who paces a buffer.
    fn pace(&self, buffer: &gst::BufferRef) -> Pace {
        let mut input = lock(&self.input);
        // A source of plain bytes stamps its first buffer too, but in a BYTES segment.
        let timeline = self.obj().segment().format() == gst::Format::Time;
        input.timed |= timeline && buffer.dts_or_pts().is_some();
        if input.timed || !self.obj().is_sync() {
            return Pace::Given;
        }
        // GstBaseSink's own limit leaves buffers without timestamps alone.
        let bitrate = self.obj().max_bitrate();
        if bitrate != 0 {
            return Pace::Bitrate(bitrate);
        }
        let live = match input.upstream_live {
            Some(live) => live,
            None => {
                drop(input);
                let live = self.ask_upstream();
                input = lock(&self.input);
                input.upstream_live = Some(live);
                live
            }
        };
        if live {
            return Pace::Given;
        }
        if input.container == Some(Container::TransportStream) {
            return Pace::Clock;
        }
        if !std::mem::replace(&mut input.warned, true) {
            drop(input);
            gst::element_imp_warning!(
                self,
                gst::StreamError::Format,
                ("Nothing paces this stream: it has no timestamps and no clock references"),
                ["set max-bitrate, or sync=false where upstream paces"]
            );
        }
        Pace::Given
    }

    fn ask_upstream(&self) -> bool {
        let mut query = gst::query::Latency::new();
        let live = self.obj().sink_pad().peer_query(&mut query) && query.result().0;
        gst::debug!(CAT, imp = self, "upstream is live: {live}");
        live
    }

    /// None where there is no clock, and then nothing to wait for.
    fn running_time(&self) -> Option<Duration> {
        self.obj().current_running_time().map(Into::into)
    }

    /// Waits on the pipeline's clock; over pauses too.
    fn wait(&self, time: Duration) -> Result<(), gst::FlowError> {
        let time = gst::ClockTime::try_from(time).unwrap_or(gst::ClockTime::MAX);
        let (result, _jitter) = self.obj().wait(time);
        result.map(drop)
    }

    /// Publishes the end and waits until viewers hold it.
    fn finish(&self) -> Result<(), gst::FlowError> {
        let Some(broadcast) = self.broadcast() else {
            return Ok(());
        };
        let interrupts = broadcast.interrupts();
        self.release(&broadcast)?;
        broadcast.end().map_err(|e| self.flow_error(e))?;
        // An unlock before the count was read: the pad was flushing by then.
        if self
            .obj()
            .sink_pad()
            .pad_flags()
            .contains(gst::PadFlags::FLUSHING)
        {
            return Ok(());
        }
        let timeout = lock(&self.settings).drain_timeout();
        let drained = broadcast.wait_drained(interrupts, timeout);
        gst::info!(CAT, imp = self, "end of stream; viewers hold it: {drained}");
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let broadcast = self.broadcast();
        let stats = broadcast
            .as_ref()
            .and_then(|broadcast| broadcast.stats())
            .unwrap_or_else(|| Arc::new(Stats::default()));
        let ways = broadcast
            .as_ref()
            .map_or_else(Vec::new, |broadcast| broadcast.ways());
        let made = broadcast.map(|broadcast| broadcast.made());
        let made = made.unwrap_or_default();
        let mut structure = structures::stats("application/x-livetorrentsink-stats", &stats, &ways);
        structure.set("bytes-in", made.bytes);
        structure.set("pieces-made", made.pieces);
        structure
    }
}

#[glib::object_subclass]
impl ObjectSubclass for LiveTorrentSink {
    const NAME: &'static str = "GstLiveTorrentSink";
    type Type = super::LiveTorrentSink;
    type ParentType = gst_base::BaseSink;
}

impl ObjectImpl for LiveTorrentSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        if !lock(&self.settings).set(pspec.name(), value) {
            unreachable!(
                "GObject hands in what properties() has, not {}",
                pspec.name()
            );
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "stats" => self.stats().to_value(),
            "location" => {
                let path = lock(&self.settings).location(&self.obj().name());
                path.display().to_string().to_value()
            }
            name => {
                if name == "port"
                    && let Some(broadcast) = self.broadcast()
                {
                    return u32::from(broadcast.port()).to_value();
                }
                let value = lock(&self.settings).get(name);
                value.unwrap_or_else(|| {
                    unreachable!("GObject hands in what properties() has, not {name}")
                })
            }
        }
    }

    fn signals() -> &'static [Signal] {
        static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
            properties::signals(|element, address| {
                let sink = element.downcast_ref::<super::LiveTorrentSink>();
                if let Some(broadcast) = sink.and_then(|sink| sink.imp().broadcast()) {
                    broadcast.add_peer(address);
                }
            })
        });
        &SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        // A sample of bytes is of no use, and it would keep a buffer from going back to its pool.
        self.obj().set_enable_last_sample(false);
    }
}

impl GstObjectImpl for LiveTorrentSink {}

impl ElementImpl for LiveTorrentSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Live torrent sink",
                "Sink/Network",
                "Broadcasts live to a swarm of viewers who pass the stream on",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let mut caps = gst::Caps::builder_full().structure(
                gst::Structure::builder("video/mpegts")
                    .field("systemstream", true)
                    .field("packetsize", 188i32)
                    .build(),
            );
            caps = caps.structure(
                gst::Structure::builder("video/mpeg")
                    .field("systemstream", true)
                    .build(),
            );
            for name in OTHER_CONTAINERS {
                caps = caps.structure(gst::Structure::new_empty(*name));
            }
            let template = gst::PadTemplate::new(
                "sink",
                gst::PadDirection::Sink,
                gst::PadPresence::Always,
                &caps.build(),
            );
            template.into_iter().collect()
        });
        &TEMPLATES
    }

    /// Begins here and not in `GstBaseSink::start`: GstBaseSink posts an error of its own, which
    /// says nothing, behind the one that `start` returns.
    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::NullToReady
            && let Err(error) = self.begin()
        {
            self.post_error_message(error);
            return Err(gst::StateChangeError);
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::NullToReady && result.is_err() {
            self.end();
        }
        result
    }
}

/// Byte streams that a viewer's typefind knows again from their middle or their stream headers.
const OTHER_CONTAINERS: &[&str] = &[
    "application/ogg",
    "video/ogg",
    "audio/ogg",
    "video/webm",
    "audio/webm",
    "video/x-matroska",
    "audio/x-matroska",
    "video/x-flv",
    "audio/mpeg",
    "audio/x-flac",
];

impl LiveTorrentSink {
    /// Binds the port, opens the broadcaster's files and starts the driver. Never waits for the
    /// network.
    fn begin(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let name = self.obj().name();
        let weak = self.obj().downgrade();
        let tell = move |tell| {
            if let Some(element) = weak.upgrade() {
                element.imp().told(tell);
            }
        };
        let id = self.obj().path_string();
        let trace = Trace::new(move |level, line| match level {
            Level::Story => gst::debug!(CAT, id = &id, "{line}"),
            Level::Detail => gst::trace!(CAT, id = &id, "{line}"),
        });
        let opened = Broadcast::open(&settings, &name, trace, Arc::new(tell))?;
        let broadcast = Arc::new(opened.broadcast);
        *lock(&self.input) = Input::default();
        *lock(&self.broadcast) = Some(broadcast.clone());
        if settings.peer.port == 0 {
            self.obj().notify("port");
        }
        for warning in opened.warnings {
            gst::element_imp_warning!(self, gst::ResourceError::Settings, ("{warning}"));
        }
        let location = settings.location(&name).display().to_string();
        self.post(structures::ready(
            &location,
            &opened.metainfo,
            broadcast.port(),
        ));
        let port = broadcast.port();
        gst::info!(CAT, imp = self, "status page: http://localhost:{port}/");
        let waiting = std::mem::replace(&mut *lock(&self.announced), Announced::Ready);
        if let Announced::Waiting(mapped) = waiting {
            self.post(mapped);
        }
        Ok(())
    }

    /// Posts where else viewers find the broadcast, once it was said that it is there.
    fn announce(&self, mapped: gst::Structure) {
        let mut announced = lock(&self.announced);
        if !matches!(*announced, Announced::Ready) {
            *announced = Announced::Waiting(mapped);
            return;
        }
        drop(announced);
        self.post(mapped);
    }

    fn post(&self, structure: gst::Structure) {
        gst::info!(CAT, imp = self, "{structure:?}");
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        // Without a bus there is nobody to tell.
        let _ = self.obj().post_message(message);
    }

    /// Ends the broadcast without an END piece: a viewer waits for the source to come back.
    fn end(&self) {
        let broadcast = lock(&self.broadcast).take();
        if let Some(error) = broadcast.and_then(|broadcast| broadcast.close()) {
            gst::warning!(CAT, imp = self, "{error}");
        }
        *lock(&self.announced) = Announced::default();
        *lock(&self.input) = Input::default();
    }
}

impl BaseSinkImpl for LiveTorrentSink {
    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.end();
        Ok(())
    }

    fn set_caps(&self, caps: &gst::Caps) -> Result<(), gst::LoggableError> {
        let container =
            Container::from_caps(caps).map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
        let Some(broadcast) = self.broadcast() else {
            return Ok(());
        };
        let unchanged = lock(&self.input).container.as_ref() == Some(&container);
        if !unchanged {
            self.release(&broadcast)
                .map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
            broadcast
                .set_container(&container)
                .map_err(|error| gst::loggable_error!(CAT, "{error}"))?;
            lock(&self.input).container = Some(container);
        }
        self.parent_set_caps(caps)
    }

    fn render(&self, buffer: &gst::Buffer) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.feed(buffer)?;
        Ok(gst::FlowSuccess::Ok)
    }

    fn render_list(&self, list: &gst::BufferList) -> Result<gst::FlowSuccess, gst::FlowError> {
        list.iter().try_for_each(|buffer| self.feed(buffer))?;
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Eos(_) => {
                if let Err(error) = self.finish() {
                    gst::warning!(CAT, imp = self, "no end was published: {error}");
                }
            }
            gst::EventView::FlushStop(_) => {
                let mut input = lock(&self.input);
                let container = input.container.take();
                *input = Input {
                    container,
                    ..Input::default()
                };
                drop(input);
                if let Some(broadcast) = self.broadcast() {
                    broadcast.flush();
                }
            }
            _ => (),
        }
        self.parent_event(event)
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(broadcast) = self.broadcast() {
            broadcast.interrupt();
        }
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        if let Some(broadcast) = self.broadcast() {
            broadcast.end_interrupt();
        }
        Ok(())
    }
}
