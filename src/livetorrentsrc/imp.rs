// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};

use glib::subclass::Signal;
use gst::{prelude::*, subclass::prelude::*};
use gst_base::{
    prelude::*,
    subclass::{base_src::CreateSuccess, prelude::*},
};

use crate::{
    common::{properties, structures},
    net::{
        Driver, Listener, Notice,
        outlet::{Outlet, Taken},
    },
    proto::{
        stats::Stats,
        swarm::{Delivery, Event, Status},
    },
};

use super::{
    LiveTorrentSrcStatus,
    downstream::{self, Rates},
    location::Location,
    settings::Settings,
    stream::Stream,
};

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "livetorrentsrc",
        gst::DebugColorFlags::empty(),
        Some("Live torrent source"),
    )
});

/// What is reported as latency. Bytes are released when the source's clock plus the property
/// `latency` says so, not when they arrive, so only the smoothness of that release counts.
const RELEASE_JITTER: gst::ClockTime = gst::ClockTime::from_mseconds(100);
/// The code of PROGRESS messages.
const JOIN: &str = "join";

/// One start of the element.
#[derive(Default)]
pub(super) struct State {
    /// Counts starts: what an earlier one still has to say is not listened to.
    pub(super) run: u64,
    pub(super) started: bool,
    /// The port, until the driver takes it.
    pub(super) listener: Option<Listener>,
    /// There once the `.tstream` was read.
    pub(super) driver: Option<Driver>,
    pub(super) outlet: Option<Arc<Outlet>>,
    pub(super) title: Option<String>,
    /// Where it listens.
    pub(super) port: Option<u16>,
    /// The status page's, until the driver takes it.
    pub(super) status_listener: Option<Listener>,
    /// Where the status page is.
    pub(super) status_port: Option<u16>,
    pub(super) status: LiveTorrentSrcStatus,
    /// A `join` PROGRESS message is still open.
    pub(super) joining: bool,
    /// Fires when the join has taken longer than the property `timeout`.
    pub(super) join_limit: Option<gst::SingleShotClockId>,
    /// Why it came to nothing; the error was posted.
    pub(super) failed: Option<gst::ErrorMessage>,
    pub(super) flushing: bool,
    /// PLAYING, or on the way there.
    pub(super) playing: bool,
    /// Downstream cannot be told to play faster or slower.
    pub(super) rate_fixed: bool,
    /// Sinks downstream keep time and are told of rates.
    pub(super) rate_told: bool,
}

/// Locks: `settings`, `state`, `stream`; none is taken while another is held. None is held while a message is posted, a property notified, a signal emitted or an event
/// pushed, nor while waiting for bytes.
#[derive(Default)]
pub struct LiveTorrentSrc {
    pub(super) settings: Mutex<Settings>,
    pub(super) state: Mutex<State>,
    /// `state` has an outlet, failed, or is flushing.
    pub(super) changed: Condvar,
    pub(super) stream: Mutex<Stream>,
}

/// What `create` returns when the error was posted: for any worse one GstBaseSrc posts an "Internal
/// data stream error" behind it, which says less.
pub(super) const AFTER_AN_ERROR: gst::FlowError = gst::FlowError::Flushing;

/// A poisoned lock is still the best there is: nothing here is left half-changed by a panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LiveTorrentSrc {
    /// What the driver tells, on its thread.
    pub(super) fn noticed(&self, run: u64, notice: Notice) {
        {
            let state = lock(&self.state);
            if !state.started || state.run != run {
                return;
            }
        }
        // What the swarm tells the driver has logged.
        let event = match notice {
            Notice::Swarm(event) => event,
            Notice::Tracker(text) => {
                gst::debug!(CAT, imp = self, "{text}");
                return;
            }
            Notice::Mapped(outside) => {
                gst::info!(
                    CAT,
                    imp = self,
                    "viewers outside reach this one at {outside}"
                );
                return;
            }
            Notice::Alone(reasons) => {
                gst::element_imp_warning!(
                    self,
                    gst::ResourceError::NotFound,
                    ("No peer of the stream can be reached"),
                    ["{}", reasons.join("; ")]
                );
                return;
            }
        };
        let message = match event {
            Event::PeerAdded { id, address } => {
                self.obj()
                    .emit_by_name::<()>("peer-added", &[&id, &address.to_string()]);
                return;
            }
            Event::PeerRemoved {
                id,
                address,
                reason,
            } => {
                let address = address.to_string();
                self.obj()
                    .emit_by_name::<()>("peer-removed", &[&id, &address, &reason]);
                return;
            }
            Event::Status(status) => return self.set_status(status),
            Event::Unconfirmed { age } => {
                gst::warning!(CAT, imp = self, "the newest known piece is {age:?} old");
                return;
            }
            Event::Ended | Event::Drained | Event::Step(_) => return,
            Event::Stalled => gst::Structure::new_empty("livetorrent-stalled"),
            Event::Resumed => gst::Structure::new_empty("livetorrent-resumed"),
            Event::SourceAway => gst::Structure::new_empty("livetorrent-source-away"),
            Event::SourceBack => gst::Structure::new_empty("livetorrent-source-back"),
            Event::Skipped { pieces, bytes } => {
                gst::warning!(CAT, imp = self, "{pieces} pieces missed their time");
                gst::Structure::builder("livetorrent-skipped")
                    .field("pieces", pieces)
                    .field("bytes", bytes)
                    .build()
            }
        };
        self.post_element_message(message);
    }

    fn set_status(&self, status: Status) {
        let mut state = lock(&self.state);
        state.status = status.into();
        let joined = status == Status::Playing && std::mem::take(&mut state.joining);
        let joining = status == Status::Joining && state.joining;
        drop(state);
        if joining {
            self.post_progress(
                gst::ProgressType::Continue,
                "Connected, looking for a start",
            );
        }
        if joined {
            self.post_progress(gst::ProgressType::Complete, "Joined the stream");
        }
        self.obj().notify("status");
    }

    pub(super) fn post_progress(&self, kind: gst::ProgressType, text: &str) {
        let message = gst::message::Progress::builder(kind, JOIN, text)
            .src(&*self.obj())
            .build();
        // Without a bus there is nobody to tell.
        let _ = self.obj().post_message(message);
    }

    pub(super) fn post_element_message(&self, structure: gst::Structure) {
        let message = gst::message::Element::builder(structure)
            .src(&*self.obj())
            .build();
        let _ = self.obj().post_message(message);
    }

    /// The buffer that a delivery becomes, once its caps are set; nothing where it has no bytes.
    fn buffer(&self, mut delivery: Delivery) -> Result<Option<gst::Buffer>, gst::FlowError> {
        // The normal rate is always taken where another was.
        let changes = delivery.rate != 1.0 && lock(&self.stream).rate() == 1.0;
        if changes {
            let rates = downstream::rates(self.obj().src_pad());
            lock(&self.state).rate_told = rates == Rates::Told;
            if rates == Rates::Refused {
                delivery.rate = 1.0;
                self.fix_rate();
            }
        }
        let now = || self.obj().current_running_time();
        let Some(next) = lock(&self.stream).next(delivery, now) else {
            return Ok(None);
        };
        if let Some(rate) = next.rate {
            self.change_rate(rate);
        }
        if let Some(caps) = next.caps {
            self.obj().set_caps(&caps).map_err(|error| {
                gst::error!(CAT, imp = self, "{error}");
                gst::FlowError::NotNegotiated
            })?;
        }
        Ok(Some(next.buffer))
    }

    /// From here on the distance is corrected by jumps only, as with `max-rate-change=0`.
    fn fix_rate(&self) {
        if std::mem::replace(&mut lock(&self.state).rate_fixed, true) {
            return;
        }
        gst::warning!(
            CAT,
            imp = self,
            "the rate stays at 1: elements downstream would fail or stop at another"
        );
        self.apply_playback();
    }

    /// Tells downstream how fast to play. The sinks go on without a gap: the segment stays.
    fn change_rate(&self, rate: f64) {
        gst::info!(CAT, imp = self, "playing at {rate} times the normal rate");
        if !lock(&self.state).rate_told {
            return;
        }
        let event = gst::event::InstantRateChange::new(rate, gst::SegmentFlags::empty());
        // Without anybody who handles it downstream plays at the normal rate, and what comes
        // sooner or later by a little waits there.
        self.obj().src_pad().push_event(event);
    }

    /// Pushes what the `.tstream` tells about the stream, once its segment is out.
    fn push_tags(&self) {
        if !lock(&self.stream).delivered() {
            return;
        }
        let title = lock(&self.state).title.take();
        if let Some(title) = title {
            let mut tags = gst::TagList::new();
            tags.make_mut()
                .add::<gst::tags::Title>(&title.as_str(), gst::TagMergeMode::Append);
            self.obj().src_pad().push_event(gst::event::Tag::new(tags));
        }
    }

    pub(super) fn apply_playback(&self) {
        let mut playback = lock(&self.settings).playback();
        let state = lock(&self.state);
        if state.rate_fixed {
            playback.max_rate_change = 0.0;
        }
        if let Some(driver) = &state.driver {
            driver.set_playback(playback);
        }
    }

    fn set_playing(&self, playing: bool) {
        let keep_position = lock(&self.settings).keep_position;
        let mut state = lock(&self.state);
        state.playing = playing;
        match &state.driver {
            Some(driver) if playing => driver.resume(keep_position),
            Some(driver) => driver.pause(),
            None => {}
        }
    }

    fn set_location(&self, location: Option<String>) -> Result<(), glib::Error> {
        if lock(&self.state).started {
            return Err(glib::Error::new(
                gst::URIError::BadState,
                "the location cannot be changed while the element runs",
            ));
        }
        lock(&self.settings).location = location;
        Ok(())
    }

    fn stats(&self) -> gst::Structure {
        let state = lock(&self.state);
        let driver = state.driver.as_ref();
        let stats = driver.map_or_else(|| Arc::new(Stats::default()), Driver::stats);
        let ways = driver.map_or_else(Vec::new, Driver::ways);
        drop(state);
        let mut structure = structures::stats("application/x-livetorrentsrc-stats", &stats, &ways);
        structure.set("bytes-out", stats.bytes_out);
        structure.set("pieces-skipped", stats.pieces_skipped);
        structure.set("buffer-level", structures::nanoseconds(stats.buffer_level));
        structure.set(
            "live-distance",
            structures::nanoseconds(stats.live_distance),
        );
        structure.set("playback-rate", stats.playback_rate);
        structure.set("stalls", stats.stalls);
        let join_time = stats.join_time.unwrap_or_default();
        structure.set("join-time", structures::nanoseconds(join_time));
        structure
    }
}

#[glib::object_subclass]
impl ObjectSubclass for LiveTorrentSrc {
    const NAME: &'static str = "GstLiveTorrentSrc";
    type Type = super::LiveTorrentSrc;
    type ParentType = gst_base::PushSrc;
    type Interfaces = (gst::URIHandler,);
}

impl ObjectImpl for LiveTorrentSrc {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(Settings::properties);
        &PROPERTIES
    }

    fn set_property(&self, _id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        match pspec.name() {
            "location" | "uri" => {
                let location = properties::value_of(value);
                if let Err(error) = self.set_location(location) {
                    gst::error!(CAT, imp = self, "{}: {error}", pspec.name());
                }
            }
            name => {
                if !lock(&self.settings).set(name, value) {
                    unreachable!("GObject hands in what properties() has, not {name}");
                }
                if name == "max-rate-change" {
                    // Who asks for it again may have changed what is downstream.
                    lock(&self.state).rate_fixed = false;
                }
                if matches!(name, "latency" | "max-rate-change" | "on-loss") {
                    self.apply_playback();
                }
            }
        }
    }

    fn property(&self, _id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            "uri" => self.uri().to_value(),
            "is-live" => true.to_value(),
            "status" => lock(&self.state).status.to_value(),
            "stats" => self.stats().to_value(),
            name => {
                if name == "port"
                    && let Some(port) = lock(&self.state).port
                {
                    return u32::from(port).to_value();
                }
                if name == "status-port"
                    && let Some(port) = lock(&self.state).status_port
                {
                    return i32::from(port).to_value();
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
            let mut signals = properties::signals(|element, address| {
                let Some(element) = element.downcast_ref::<super::LiveTorrentSrc>() else {
                    return;
                };
                if let Some(driver) = &lock(&element.imp().state).driver {
                    driver.add_peer(address);
                }
            });
            signals.push(
                Signal::builder("jump-to-live")
                    .action()
                    .class_handler(|args| {
                        let element = args.first()?.get::<super::LiveTorrentSrc>().ok()?;
                        if let Some(driver) = &lock(&element.imp().state).driver {
                            driver.jump_to_live();
                        }
                        None
                    })
                    .build(),
            );
            signals
        });
        &SIGNALS
    }

    fn constructed(&self) {
        self.parent_constructed();
        let obj = self.obj();
        obj.set_live(true);
        obj.set_format(gst::Format::Time);
        obj.set_do_timestamp(false);
    }
}

impl GstObjectImpl for LiveTorrentSrc {}

impl ElementImpl for LiveTorrentSrc {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Live torrent source",
                "Source/Network",
                "Plays a live broadcast from a swarm of viewers",
                env!("CARGO_PKG_AUTHORS"),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = gst::PadTemplate::new(
                "src",
                gst::PadDirection::Src,
                gst::PadPresence::Always,
                &gst::Caps::new_any(),
            );
            template.into_iter().collect()
        });
        &TEMPLATES
    }

    /// Begins here and not in `GstBaseSrc::start`: GstBaseSrc posts an error of its own, which
    /// says nothing, behind the one that `start` returns.
    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused
            && let Err(error) = self.begin()
        {
            self.post_error_message(error);
            return Err(gst::StateChangeError);
        }
        if transition == gst::StateChange::PausedToPlaying {
            self.set_playing(true);
        }
        let result = self.parent_change_state(transition);
        if transition == gst::StateChange::ReadyToPaused && result.is_err() {
            self.end();
        }
        if transition == gst::StateChange::PlayingToPaused {
            self.set_playing(false);
            lock(&self.stream).pause();
        }
        result
    }
}

impl BaseSrcImpl for LiveTorrentSrc {
    fn stop(&self) -> Result<(), gst::ErrorMessage> {
        self.end();
        Ok(())
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(query) => {
                query.set(true, RELEASE_JITTER, gst::ClockTime::NONE);
                true
            }
            gst::QueryViewMut::Scheduling(query) => {
                query.set(gst::SchedulingFlags::SEQUENTIAL, 1, -1, 0);
                query.add_scheduling_modes([gst::PadMode::Push]);
                true
            }
            _ => BaseSrcImplExt::parent_query(self, query),
        }
    }

    fn unlock(&self) -> Result<(), gst::ErrorMessage> {
        self.set_flushing(true);
        Ok(())
    }

    fn unlock_stop(&self) -> Result<(), gst::ErrorMessage> {
        self.set_flushing(false);
        Ok(())
    }
}

impl PushSrcImpl for LiveTorrentSrc {
    fn create(
        &self,
        _buffer: Option<&mut gst::BufferRef>,
    ) -> Result<CreateSuccess, gst::FlowError> {
        self.push_tags();
        let timeout = lock(&self.settings).timeout();
        let outlet = self.outlet()?;
        loop {
            match outlet.take(timeout) {
                Taken::Delivery(delivery) => {
                    gst::trace!(CAT, imp = self, "piece {}", delivery.sequence);
                    if let Some(buffer) = self.buffer(delivery)? {
                        return Ok(CreateSuccess::NewBuffer(buffer));
                    }
                }
                Taken::Ended => {
                    gst::info!(CAT, imp = self, "the broadcast ended");
                    return Err(gst::FlowError::Eos);
                }
                Taken::Flushing if lock(&self.state).flushing => {
                    return Err(gst::FlowError::Flushing);
                }
                Taken::Flushing => {
                    gst::element_imp_error!(
                        self,
                        gst::ResourceError::Failed,
                        ("The network thread has ended")
                    );
                    return Err(AFTER_AN_ERROR);
                }
                Taken::TimedOut => return Err(self.timed_out()),
            }
        }
    }
}

impl URIHandlerImpl for LiveTorrentSrc {
    const URI_TYPE: gst::URIType = gst::URIType::Src;

    fn protocols() -> &'static [&'static str] {
        &["livetorrent"]
    }

    fn uri(&self) -> Option<String> {
        let location = lock(&self.settings).location.clone()?;
        Location::parse(&location).ok()?.to_uri()
    }

    fn set_uri(&self, uri: &str) -> Result<(), glib::Error> {
        let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
        if !scheme.eq_ignore_ascii_case("livetorrent") {
            return Err(glib::Error::new(
                gst::URIError::UnsupportedProtocol,
                &format!("the scheme of {uri} is not livetorrent"),
            ));
        }
        // A bare scheme only asks whether the element handles it.
        if matches!(rest, "" | "//") {
            return self.set_location(None);
        }
        let location = Location::parse(uri)
            .map_err(|error| glib::Error::new(gst::URIError::BadUri, &error.to_string()))?;
        if let Location::Link(_) = location {
            location
                .read()
                .map_err(|error| glib::Error::new(gst::URIError::BadUri, &error.to_string()))?;
        }
        self.set_location(Some(uri.into()))
    }
}
