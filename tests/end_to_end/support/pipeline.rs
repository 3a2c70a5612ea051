// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Pipelines in the test's own process.

use std::{
    sync::Once,
    thread,
    time::{Duration, Instant},
};

use gst::{glib, prelude::*};

use super::{PATIENCE, capture::Capture, process::plugin_file};

/// GStreamer with the plugin under test.
pub(crate) fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gst::Plugin::load_file(plugin_file()).expect("the plugin loads");
    });
}

/// A pipeline; dropped, it goes to NULL.
#[derive(Debug)]
pub(crate) struct Pipeline(gst::Pipeline);

impl Pipeline {
    pub(crate) fn new(description: &str) -> Self {
        init();
        let element = gst::parse::launch(description)
            .unwrap_or_else(|error| panic!("{description}: {error}"));
        let pipeline: gst::Pipeline = element
            .downcast()
            .expect("several elements make a pipeline");
        // The user's own peers are none of a test's business.
        for element in pipeline.iterate_elements().into_iter().flatten() {
            let is_src = element.find_property("peer-cache").is_some();
            if is_src && element.property::<Option<String>>("peer-cache").is_none() {
                element.set_property("peer-cache", "");
            }
        }
        Self(pipeline)
    }

    /// `livetorrentsrc name=src` with these properties; all that comes out of it is captured.
    pub(crate) fn viewer(properties: &str) -> (Self, Capture) {
        let pipeline = Self::new(&format!(
            "livetorrentsrc name=src {properties} ! \
             fakesink name=out signal-handoffs=true sync=false async=false"
        ));
        let capture = Capture::default();
        pipeline.capture("out", &capture);
        (pipeline, capture)
    }

    fn capture(&self, fakesink: &str, capture: &Capture) {
        let writer = capture.clone();
        let sink = self.element(fakesink);
        sink.connect("handoff", false, move |values| {
            let buffer = values[1].get::<gst::Buffer>().unwrap();
            let map = buffer.map_readable().unwrap();
            writer.push(&map, buffer.flags().contains(gst::BufferFlags::DISCONT));
            None
        });
        let writer = capture.clone();
        sink.static_pad("sink").unwrap().add_probe(
            gst::PadProbeType::EVENT_DOWNSTREAM,
            move |_, info| {
                if let Some(gst::PadProbeData::Event(event)) = &info.data
                    && event.type_() == gst::EventType::Eos
                {
                    writer.end();
                }
                gst::PadProbeReturn::Ok
            },
        );
    }

    pub(crate) const fn pipeline(&self) -> &gst::Pipeline {
        &self.0
    }

    /// No error waits on the bus.
    pub(crate) fn assert_no_error(&self) {
        assert_eq!(self.error(), None);
    }

    pub(crate) fn element(&self, name: &str) -> gst::Element {
        self.0.by_name(name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub(crate) fn set_state(&self, state: gst::State) {
        self.0
            .set_state(state)
            .unwrap_or_else(|_| panic!("no {state:?}: {:?}", self.error()));
    }

    /// Goes to PLAYING; when that was.
    pub(crate) fn play(&self) -> Instant {
        self.set_state(gst::State::Playing);
        Instant::now()
    }

    fn error(&self) -> Option<String> {
        let bus = self.0.bus().unwrap();
        let message = bus.pop_filtered(&[gst::MessageType::Error])?;
        Some(format!("{message:?}"))
    }

    /// Waits for a message on the bus that `wanted` makes something of. An error fails the test.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        mut wanted: impl FnMut(&gst::Message) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        let bus = self.0.bus().unwrap();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = gst::ClockTime::try_from(left).unwrap();
            let message = bus
                .timed_pop(timeout)
                .unwrap_or_else(|| panic!("no {what}"));
            if let Some(found) = wanted(&message) {
                return found;
            }
            if let gst::MessageView::Error(error) = message.view() {
                panic!("instead of {what}: {} {:?}", error.error(), error.debug());
            }
        }
    }

    /// Waits for the element message `name`.
    pub(crate) fn wait_for_message(&self, name: &str) -> gst::Structure {
        self.wait_for(name, |message| match message.view() {
            gst::MessageView::Element(element) => element
                .structure()
                .filter(|structure| structure.name() == name)
                .map(|structure| structure.to_owned()),
            _ => None,
        })
    }

    pub(crate) fn wait_for_eos(&self) {
        self.wait_for("EOS", |message| {
            matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
        });
    }

    /// Waits until the element `name` listens; its port.
    pub(crate) fn port(&self, name: &str) -> u16 {
        self.wait_for_message("livetorrent-ready");
        self.element_port(name)
    }

    /// The `port` property of the element `name`.
    pub(crate) fn element_port(&self, name: &str) -> u16 {
        number(&self.element(name).property_value("port"))
            .try_into()
            .expect("a port")
    }

    /// The addresses of the peers in the element's `stats`, as of the last snapshot.
    pub(crate) fn peers(&self, element: &str) -> Vec<String> {
        let stats: gst::Structure = self.element(element).property("stats");
        let peers = stats.get::<gst::Array>("peers").unwrap();
        peers
            .iter()
            .map(|peer| {
                let peer = peer.get::<gst::Structure>().unwrap();
                peer.get::<String>("address").unwrap()
            })
            .collect()
    }

    /// Waits until this address is among them.
    pub(crate) fn wait_for_peer(&self, element: &str, address: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.assert_no_error();
            let peers = self.peers(element);
            if peers.iter().any(|peer| peer == address) {
                return;
            }
            assert!(Instant::now() < deadline, "{address} is not in {peers:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a counter of the element's `stats` shows `value`: snapshots are taken now and then.
    pub(crate) fn wait_for_stat(&self, element: &str, field: &str, value: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.stat(element, field) != value {
            assert!(
                Instant::now() < deadline,
                "{field} is {}",
                self.stat(element, field)
            );
            thread::yield_now();
        }
    }

    /// A counter of the element's `stats`.
    pub(crate) fn stat(&self, element: &str, field: &str) -> u64 {
        self.element(element)
            .property::<gst::Structure>("stats")
            .get::<u64>(field)
            .unwrap_or_else(|error| panic!("{field}: {error}"))
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.0.set_state(gst::State::Null);
    }
}

/// A property of some integer type.
fn number(value: &glib::Value) -> i64 {
    value
        .transform::<i64>()
        .expect("an integer")
        .get()
        .expect("an integer")
}
