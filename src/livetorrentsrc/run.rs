// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One run of the source: from the `.tstream` to the driver, and its end.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use gst::{prelude::*, subclass::prelude::*};

use super::{
    imp::{AFTER_AN_ERROR, CAT, LiveTorrentSrc, State, lock},
    location::{self, Location, OpenError},
    stream::Stream,
};
use crate::{
    common::{listen, structures},
    net::{self, Driver, Level, Listener, Options, Serve, Served, Trace, outlet::Outlet},
    proto::{
        metainfo::{self, Metainfo},
        swarm::Role,
    },
};

/// How long fetching a `.tstream` may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);
/// Where a viewer listens that nobody should find.
const NOWHERE: &str = "127.0.0.1";
/// Where its status page is.
const LOOPBACK: &str = "127.0.0.1,::1";

impl LiveTorrentSrc {
    /// Reads the `.tstream`, opens the port and starts the driver. Never waits for the network.
    pub(super) fn begin(&self) -> Result<(), gst::ErrorMessage> {
        let settings = lock(&self.settings).clone();
        let given = settings.location.as_deref().unwrap_or_default();
        let location = Location::parse(given)?;
        let metainfo = location.read()?;
        let listener = if settings.upload_enabled {
            listen::bind(&settings.peer.address, settings.peer.port)?
        } else {
            // Who shares nothing takes no connections (PROTOCOL §6: `p` 0): the driver lets go of it.
            listen::bind(NOWHERE, 0)?
        };
        let status_port = settings.status_port();
        let status = status_port
            .map(|port| listen::bind(LOOPBACK, port))
            .transpose()?;

        let mut state = lock(&self.state);
        let run = state.run + 1;
        *state = State {
            run,
            started: true,
            port: settings.upload_enabled.then(|| listener.port()),
            listener: Some(listener),
            status_port: status.as_ref().map(Listener::port),
            status_listener: status,
            joining: true,
            flushing: state.flushing,
            playing: state.playing,
            ..State::default()
        };
        drop(state);
        *lock(&self.stream) = Stream::default();
        self.post_progress(gst::ProgressType::Start, "Looking for the stream's peers");
        if settings.peer.port == 0 {
            self.obj().notify("port");
        }
        if status_port == Some(0) {
            self.obj().notify("status-port");
        }
        self.obj().notify("status");
        if !settings.timeout.is_zero() {
            self.limit_join(run, settings.timeout);
        }
        let opened = match (metainfo, location) {
            (Some(metainfo), _) => self.open(run, given, metainfo),
            (None, Location::Http(url)) => self.fetch(run, url),
            (None, _) => Err(OpenError::Empty.into()),
        };
        opened.inspect_err(|_| {
            self.reset();
            self.post_progress(gst::ProgressType::Error, "The stream cannot be joined");
        })
    }

    /// Ends the run, whatever it waits for.
    pub(super) fn end(&self) {
        let old = self.reset();
        if old.joining {
            self.post_progress(
                gst::ProgressType::Canceled,
                "Stopped before anything was joined",
            );
        }
        if let Some(driver) = old.driver {
            driver.stop();
        }
    }

    /// Takes everything of the run out; what it still has to say is not listened to.
    fn reset(&self) -> State {
        let mut state = lock(&self.state);
        let next = State {
            run: state.run,
            playing: state.playing,
            ..State::default()
        };
        let old = std::mem::replace(&mut *state, next);
        drop(state);
        if let Some(id) = &old.join_limit {
            id.unschedule();
        }
        old
    }

    pub(super) fn set_flushing(&self, flushing: bool) {
        let mut state = lock(&self.state);
        state.flushing = flushing;
        if let Some(outlet) = &state.outlet {
            outlet.set_flushing(flushing);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Starts the viewer of `metainfo`, in the run that `State` counts as `run`.
    fn open(&self, run: u64, location: &str, metainfo: Metainfo) -> Result<(), gst::ErrorMessage> {
        let Some((listener, status)) = self.take_listeners(run) else {
            return Ok(());
        };
        let settings = lock(&self.settings).clone();
        let port = if settings.upload_enabled {
            listener.port()
        } else {
            0
        };
        let metainfo = Arc::new(metainfo);
        let mut peers = settings.peers();
        peers.extend(metainfo.peers.iter().cloned());
        let id = self.obj().path_string();
        let options = Options {
            swarm: settings.peer.config(
                metainfo.clone(),
                Role::Viewer {
                    latency: settings.latency(),
                },
                port,
                settings.upload_enabled,
            ),
            listener,
            addresses: listen::addresses(&settings.peer.address)?,
            trackers: metainfo.trackers.clone(),
            peers,
            auxiliary: Vec::new(),
            serve: status.map(|listener| Serve {
                tstream: Served::new(metainfo.to_bytes()),
                public: false,
                listener: Some(listener),
            }),
            dht: settings.peer.dht,
            lsd: settings.peer.lsd,
            port_mapping: settings.peer.port_mapping,
            cache: settings.peer_cache(),
            trace: Some(Trace::new(move |level, line| match level {
                Level::Story => gst::debug!(CAT, id = &id, "{line}"),
                Level::Detail => gst::trace!(CAT, id = &id, "{line}"),
            })),
        };
        let weak = self.obj().downgrade();
        let driver = Driver::start(options, move |notice| {
            if let Some(element) = weak.upgrade() {
                element.imp().noticed(run, notice);
            }
        })
        .map_err(|error| {
            gst::error_msg!(
                gst::ResourceError::Failed,
                ("Cannot start the viewer: {error}")
            )
        })?;

        let mut state = lock(&self.state);
        if !state.started || state.run != run {
            drop(state);
            driver.stop();
            return Ok(());
        }
        let status_port = state.status_port;
        let outlet = driver.outlet().clone();
        outlet.set_flushing(state.flushing);
        if !state.playing {
            // It joins and fetches; what is old by the time that it plays it leaves out.
            driver.pause();
        }
        state.outlet = Some(outlet);
        state.driver = Some(driver);
        state.title.clone_from(&metainfo.title);
        drop(state);
        self.changed.notify_all();

        gst::info!(CAT, imp = self, "watching {}", metainfo.info.infohash());
        if let Some(port) = status_port {
            gst::info!(CAT, imp = self, "status page: http://localhost:{port}/");
        }
        self.post_element_message(structures::ready(location, &metainfo, port));
        self.apply_playback();
        Ok(())
    }

    /// The peers', and the status page's where there is one. None when the run is over.
    fn take_listeners(&self, run: u64) -> Option<(Listener, Option<Listener>)> {
        let mut state = lock(&self.state);
        if !state.started || state.run != run {
            return None;
        }
        Some((state.listener.take()?, state.status_listener.take()))
    }

    /// Fetches the `.tstream` on a thread of its own, then opens it. Nobody waits for it.
    fn fetch(&self, run: u64, url: String) -> Result<(), gst::ErrorMessage> {
        let weak = self.obj().downgrade();
        std::thread::Builder::new()
            .name("livetorrentsrc:fetch".into())
            .spawn(move || {
                let metainfo = net::fetch(&url, metainfo::MAX_LEN, FETCH_TIMEOUT)
                    .map_err(OpenError::Fetch)
                    .and_then(|bytes| location::parse(&url, &bytes));
                let Some(element) = weak.upgrade() else {
                    return;
                };
                let this = element.imp();
                let opened = metainfo
                    .map_err(gst::ErrorMessage::from)
                    .and_then(|metainfo| this.open(run, &url, metainfo));
                if let Err(error) = opened {
                    this.fail(run, error);
                }
            })
            .map(drop)
            .map_err(|error| {
                gst::error_msg!(
                    gst::ResourceError::Failed,
                    ("Cannot start a thread: {error}")
                )
            })
    }

    /// Posts why the run came to nothing, unless it is over.
    pub(super) fn fail(&self, run: u64, error: gst::ErrorMessage) {
        let mut state = lock(&self.state);
        if !state.started || state.run != run || state.failed.is_some() {
            return;
        }
        state.failed = Some(error.clone());
        let joining = std::mem::take(&mut state.joining);
        drop(state);
        self.changed.notify_all();
        // The error first: at the end of PROGRESS gst-launch-1.0 goes on to PLAYING.
        self.post_error_message(error);
        if joining {
            self.post_progress(gst::ProgressType::Error, "The stream cannot be joined");
        }
    }

    /// Gives a join no longer than `timeout`. It has a timer of its own because `create` is only
    /// called in PLAYING, and applications stay in PAUSED for as long as PROGRESS goes on.
    fn limit_join(&self, run: u64, timeout: gst::ClockTime) {
        let clock = gst::SystemClock::obtain();
        let Some(time) = clock.time().checked_add(timeout) else {
            return;
        };
        let id = clock.new_single_shot_id(time);
        let weak = self.obj().downgrade();
        let scheduled = id.wait_async(move |_clock, time, _id| {
            if let (Some(_), Some(element)) = (time, weak.upgrade()) {
                let this = element.imp();
                let joining = lock(&this.state).joining;
                if joining {
                    this.fail(run, this.no_data_for(timeout));
                }
            }
        });
        if let Err(error) = scheduled {
            gst::warning!(CAT, imp = self, "the join has no time limit: {error:?}");
        }
        lock(&self.state).join_limit = Some(id);
    }

    pub(super) fn timed_out(&self) -> gst::FlowError {
        let timeout = lock(&self.settings).timeout;
        let run = lock(&self.state).run;
        self.fail(run, self.no_data_for(timeout));
        AFTER_AN_ERROR
    }

    /// Waits until the `.tstream` is read.
    pub(super) fn outlet(&self) -> Result<Arc<Outlet>, gst::FlowError> {
        let mut state = lock(&self.state);
        if let Some(error) = state.failed.clone() {
            drop(state);
            // Whoever starts a run that has failed is told again, else it would wait for ever:
            // gst-launch-1.0 takes an error in PAUSED and may go on to PLAYING all the same.
            self.post_error_message(error);
            return Err(AFTER_AN_ERROR);
        }
        loop {
            if state.flushing {
                return Err(gst::FlowError::Flushing);
            }
            if state.failed.is_some() {
                return Err(AFTER_AN_ERROR);
            }
            if let Some(outlet) = &state.outlet {
                return Ok(outlet.clone());
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn no_data_for(&self, timeout: gst::ClockTime) -> gst::ErrorMessage {
        let state = lock(&self.state);
        let why = state
            .driver
            .as_ref()
            .map_or_else(Vec::new, Driver::why_alone);
        drop(state);
        gst::error_msg!(
            gst::ResourceError::Read,
            ("No data came for {timeout}, which is the timeout"),
            ["{}", why.join("; ")]
        )
    }
}
