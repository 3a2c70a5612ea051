// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What each element does by itself: properties, URIs, bad input, states.

use std::{
    path::PathBuf,
    sync::{Once, mpsc},
    time::{Duration, Instant},
};

use gst::prelude::*;

fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstlivetorrent::plugin_register_static().unwrap();
    });
}

fn make(factory: &str) -> gst::Element {
    init();
    gst::ElementFactory::make(factory).build().unwrap()
}

/// An element in a pipeline of its own, taken to NULL at the end.
struct Alone {
    pipeline: gst::Pipeline,
    element: gst::Element,
}

impl Alone {
    fn new(element: gst::Element) -> Self {
        let pipeline = gst::Pipeline::new();
        pipeline.add(&element).unwrap();
        Self { pipeline, element }
    }

    /// A source with somewhere to put its bytes.
    fn source() -> Self {
        let alone = Self::new(make("livetorrentsrc"));
        let sink = gst::ElementFactory::make("fakesink").build().unwrap();
        alone.pipeline.add(&sink).unwrap();
        alone.element.link(&sink).unwrap();
        alone
    }

    /// The first error message, which has to come within five seconds.
    fn error(&self) -> gst::message::Message {
        let bus = self.pipeline.bus().unwrap();
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(5), &[gst::MessageType::Error])
            .expect("an error message")
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

fn error_text(message: &gst::Message) -> String {
    match message.view() {
        gst::MessageView::Error(error) => error.error().message().to_owned(),
        other => panic!("{other:?} is no error"),
    }
}

macro_rules! assert_defaults {
    ($element:expr, $($name:literal: $type:ty = $value:expr),+ $(,)?) => {$(
        let pspec = $element.find_property($name).expect($name);
        assert_eq!(pspec.default_value().get::<$type>().expect($name), $value, $name);
        assert_eq!($element.property::<$type>($name), $value, $name);
    )+};
}

const MIB: u64 = 1 << 20;

#[test]
fn the_sink_has_the_documented_defaults() {
    let sink = make("livetorrentsink");
    assert_defaults!(sink,
        "piece-size": u32 = 16_384,
        "bitrate": u64 = 4_000_000,
        "duration": u64 = 600_000_000_000,
        "flush-time": u64 = 100_000_000,
        "port": u32 = 7764,
        "max-peers": u32 = 50,
        "max-uploads": u32 = 7,
        "upload-budget": f64 = 3.0,
        "max-upload-rate": u64 = 0,
        "buffer-size": u64 = 64 * MIB,
        "drain-timeout": u64 = 2_000_000_000,
        "status-public": bool = false,
        "local-addresses": bool = true,
        "dht": bool = true,
        "lsd": bool = true,
        "port-mapping": bool = true,
        "sync": bool = true,
    );
    assert!(!sink.property::<bool>("enable-last-sample"));
    assert_eq!(sink.property::<Option<String>>("public-address"), None);
    assert_eq!(sink.property::<String>("trackers"), "");
    assert_eq!(sink.property::<String>("auxiliary-seeders"), "");
    assert_eq!(sink.property::<String>("dht-nodes"), "");
}

#[test]
fn the_source_has_the_documented_defaults() {
    let src = make("livetorrentsrc");
    assert_defaults!(src,
        "latency": u32 = 1000,
        "max-rate-change": f64 = 0.05,
        "start-offset": u64 = 0,
        "keep-position": bool = false,
        "timeout": u64 = 0,
        "port": u32 = 0,
        "max-peers": u32 = 50,
        "status-port": i32 = -1,
        "max-uploads": u32 = 7,
        "max-upload-rate": u64 = 0,
        "upload-enabled": bool = true,
        "buffer-size": u64 = 64 * MIB,
        "is-live": bool = true,
        "dht": bool = true,
        "lsd": bool = true,
        "port-mapping": bool = true,
    );
    assert_eq!(src.property::<Option<String>>("location"), None);
    assert_eq!(src.property::<String>("peers"), "");
    src.set_property_from_str("on-loss", "next-keyframe");
    src.set_property_from_str("on-loss", "skip");
}

#[test]
fn limits_of_the_upload_read_back_as_they_were_set() {
    let sink = make("livetorrentsink");
    sink.set_property("upload-budget", 0.0);
    assert_eq!(sink.property::<f64>("upload-budget"), 0.0);
    sink.set_property("upload-budget", 2.5);
    assert_eq!(sink.property::<f64>("upload-budget"), 2.5);
    sink.set_property("auxiliary-seeders", "a:1,b:2");
    assert_eq!(sink.property::<String>("auxiliary-seeders"), "a:1,b:2");
    sink.set_property("auxiliary-seeders", None::<&str>);
    assert_eq!(sink.property::<String>("auxiliary-seeders"), "");
    for element in [sink, make("livetorrentsrc")] {
        element.set_property("max-upload-rate", 10_000_000_000u64);
        assert_eq!(element.property::<u64>("max-upload-rate"), 10_000_000_000);
    }
}

#[test]
fn the_sinks_location_follows_its_name() {
    let sink = make("livetorrentsink");
    sink.set_property("name", "foo");
    assert_eq!(sink.property::<String>("location"), "foo.tstream");
    sink.set_property("location", "/tmp/bar.tstream");
    assert_eq!(sink.property::<String>("location"), "/tmp/bar.tstream");
}

#[test]
fn every_property_of_ours_has_a_nick_and_a_blurb() {
    for factory in ["livetorrentsink", "livetorrentsrc"] {
        let element = make(factory);
        let own = element.type_();
        for pspec in element.list_properties() {
            if pspec.owner_type() != own {
                continue;
            }
            let name = pspec.name();
            assert!(pspec.nick().starts_with(char::is_uppercase), "{name}");
            assert!(pspec.blurb().is_some_and(|b| b.len() > 10), "{name}");
            assert_ne!(pspec.nick(), name);
        }
    }
}

#[test]
fn every_figure_stands_in_the_documentation_of_its_element() {
    for (factory, documentation) in [
        (
            "livetorrentsink",
            include_str!("../src/livetorrentsink/mod.rs"),
        ),
        (
            "livetorrentsrc",
            include_str!("../src/livetorrentsrc/mod.rs"),
        ),
    ] {
        let (_, figures) = documentation.split_once("## Statistics").unwrap();
        for field in make(factory).property::<gst::Structure>("stats").fields() {
            assert!(
                figures.contains(&format!("`{field}`")),
                "{factory}: {field}"
            );
        }
    }
}

#[test]
fn stats_can_be_read_in_null() {
    for (factory, own) in [
        ("livetorrentsink", "pieces-made"),
        ("livetorrentsrc", "bytes-out"),
    ] {
        let stats = make(factory).property::<gst::Structure>("stats");
        assert_eq!(
            stats.name().as_str(),
            format!("application/x-{factory}-stats")
        );
        assert_eq!(stats.get::<u64>("bytes-uploaded"), Ok(0));
        assert_eq!(stats.get::<u64>(own), Ok(0));
        assert!(stats.get::<gst::Array>("peers").unwrap().is_empty());
    }
}

#[test]
fn signals_that_act_do_nothing_in_null() {
    let src = make("livetorrentsrc");
    src.emit_by_name::<()>("add-peer", &[&"127.0.0.1:1"]);
    src.emit_by_name::<()>("jump-to-live", &[]);
    let sink = make("livetorrentsink");
    sink.emit_by_name::<()>("add-peer", &[&"127.0.0.1:1"]);
    assert_eq!(sink.current_state(), gst::State::Null);
}

#[test]
fn the_uri_handler_takes_its_own_scheme_only() {
    let src = make("livetorrentsrc");
    let handler = src.dynamic_cast_ref::<gst::URIHandler>().unwrap();
    let refused = |uri| handler.set_uri(uri).unwrap_err().kind::<gst::URIError>();
    assert_eq!(
        refused("http://h/a"),
        Some(gst::URIError::UnsupportedProtocol)
    );
    assert_eq!(refused("livetorrent://host/a"), Some(gst::URIError::BadUri));
    handler.set_uri("livetorrent://").unwrap();
    assert_eq!(handler.uri(), None);
    handler.set_uri("livetorrent:///a%20b/foo.tstream").unwrap();
    assert_eq!(handler.uri().unwrap(), "livetorrent:///a%20b/foo.tstream");
}

#[test]
fn the_location_reads_back_as_a_uri() {
    let src = make("livetorrentsrc");
    src.set_property("location", "/a b/foo.tstream");
    assert_eq!(
        src.property::<String>("uri"),
        "livetorrent:///a%20b/foo.tstream"
    );
    src.set_property("uri", "livetorrent:///c");
    assert_eq!(src.property::<String>("location"), "livetorrent:///c");
}

#[test]
fn a_missing_location_is_one_clear_error() {
    let alone = Alone::source();
    assert!(alone.pipeline.set_state(gst::State::Paused).is_err());
    assert_eq!(
        error_text(&alone.error()),
        "No .tstream file given for reading"
    );
}

#[test]
fn what_is_no_tstream_is_an_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let cases = [
        directory.path().join("missing.tstream"),
        directory.path().to_owned(),
        file("empty.tstream", b""),
        file("garbage.tstream", b"GIF89a"),
        file("oversized.tstream", &vec![b'd'; (MIB as usize) + 1]),
        file("other.torrent", b"d4:infod6:lengthi1eee"),
    ];
    for path in cases {
        let alone = Alone::source();
        alone
            .element
            .set_property("location", path.to_str().unwrap());
        assert!(
            alone.pipeline.set_state(gst::State::Paused).is_err(),
            "{path:?}"
        );
        let text = error_text(&alone.error());
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
}

#[test]
fn a_bad_link_is_refused_when_it_is_set() {
    let src = make("livetorrentsrc");
    let handler = src.dynamic_cast_ref::<gst::URIHandler>().unwrap();
    let error = handler.set_uri("livetorrent:?xt=urn:btih:00").unwrap_err();
    assert_eq!(error.kind::<gst::URIError>(), Some(gst::URIError::BadUri));
}

/// A sink that listens on loopback and writes into a directory that goes with it.
fn sink_in(directory: &tempfile::TempDir, name: &str) -> gst::Element {
    init();
    gst::ElementFactory::make("livetorrentsink")
        .name(name)
        .property(
            "location",
            directory
                .path()
                .join(format!("{name}.tstream"))
                .to_str()
                .unwrap(),
        )
        .property("address", "127.0.0.1")
        .property("port", 0u32)
        .property("sync", false)
        .build()
        .unwrap()
}

#[test]
fn the_sink_tells_where_it_is_when_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let alone = Alone::new(sink_in(&directory, "foo"));
    alone.pipeline.set_state(gst::State::Paused).unwrap();
    let bus = alone.pipeline.bus().unwrap();
    let message = bus
        .timed_pop_filtered(
            gst::ClockTime::from_seconds(5),
            &[gst::MessageType::Element],
        )
        .expect("livetorrent-ready");
    let ready = message.structure().unwrap();
    assert_eq!(ready.name(), "livetorrent-ready");
    let port = ready.get::<u32>("port").unwrap();
    assert!(port != 0 && port == alone.element.property::<u32>("port"));
    assert_eq!(ready.get::<&str>("infohash").unwrap().len(), 40);
    let location = ready.get::<&str>("location").unwrap();
    let bytes = std::fs::read(location).unwrap();
    let metainfo = gstlivetorrent::proto::metainfo::Metainfo::parse(&bytes).unwrap();
    assert_eq!(metainfo.info.name(), "foo");
    assert!(
        ready
            .get::<&str>("uri")
            .unwrap()
            .starts_with("livetorrent:?")
    );

    // The link alone is enough for a viewer to start.
    let viewer = Alone::source();
    viewer
        .element
        .set_property("uri", ready.get::<&str>("uri").unwrap());
    viewer.pipeline.set_state(gst::State::Playing).unwrap();
}

#[test]
fn a_taken_port_is_an_error_that_names_it_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = u32::from(taken.local_addr().unwrap().port());
    let alone = Alone::new(sink_in(&directory, "foo"));
    alone.element.set_property("port", port);
    assert!(alone.pipeline.set_state(gst::State::Paused).is_err());
    let text = error_text(&alone.error());
    assert!(text.contains(&port.to_string()), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_relay_that_is_no_address_is_an_error_that_names_it_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let alone = Alone::new(sink_in(&directory, "foo"));
    let relays = "192.0.2.1:7764, relay.example";
    alone.element.set_property("auxiliary-seeders", relays);
    assert!(alone.pipeline.set_state(gst::State::Paused).is_err());
    let text = error_text(&alone.error());
    assert!(
        text.contains("\"relay.example\"") && text.contains("auxiliary-seeders"),
        "{text}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn states_cycle_quickly_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    sink.pipeline.set_state(gst::State::Paused).unwrap();
    let src = Alone::source();
    let location = sink.element.property::<String>("location");
    src.element.set_property("location", location);
    for alone in [&sink, &src] {
        for _ in 0..3 {
            alone.pipeline.set_state(gst::State::Playing).unwrap();
            let start = Instant::now();
            alone.pipeline.set_state(gst::State::Null).unwrap();
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "{:?}",
                start.elapsed()
            );
        }
    }
}

#[test]
fn the_location_stays_as_it_is_while_the_source_runs() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    sink.pipeline.set_state(gst::State::Paused).unwrap();
    let location = sink.element.property::<String>("location");
    let src = Alone::source();
    src.element.set_property("location", &location);
    src.pipeline.set_state(gst::State::Paused).unwrap();
    src.element.set_property("location", "other.tstream");
    assert_eq!(src.element.property::<String>("location"), location);
    let handler = src.element.dynamic_cast_ref::<gst::URIHandler>().unwrap();
    let error = handler.set_uri("livetorrent:///other").unwrap_err();
    assert_eq!(error.kind::<gst::URIError>(), Some(gst::URIError::BadState));
}

#[test]
fn the_source_is_live_with_little_latency_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    sink.pipeline.set_state(gst::State::Paused).unwrap();
    let src = Alone::source();
    src.element
        .set_property("location", sink.element.property::<String>("location"));
    let result = src.pipeline.set_state(gst::State::Paused);
    assert_eq!(result, Ok(gst::StateChangeSuccess::NoPreroll));
    let mut query = gst::query::Latency::new();
    assert!(src.element.query(&mut query));
    let (live, min, max) = query.result();
    assert!(live && min <= gst::ClockTime::from_mseconds(500) && max.is_none());
    let mut query = gst::query::Scheduling::new();
    assert!(src.element.static_pad("src").unwrap().query(&mut query));
    assert!(query.has_scheduling_mode(gst::PadMode::Push));
    assert!(!query.has_scheduling_mode(gst::PadMode::Pull));
}

#[test]
fn a_source_without_peers_ends_with_an_error_only_when_a_timeout_is_set() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    sink.pipeline.set_state(gst::State::Paused).unwrap();
    let src = Alone::source();
    src.element
        .set_property("location", sink.element.property::<String>("location"));
    src.element.set_property("timeout", 200_000_000u64);
    src.pipeline.set_state(gst::State::Playing).unwrap();
    let text = error_text(&src.error());
    assert!(text.contains("0:00:00.200"), "{text}");
}

#[test]
fn the_timeout_also_ends_a_join_in_paused() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    sink.pipeline.set_state(gst::State::Paused).unwrap();
    let src = Alone::source();
    src.element
        .set_property("location", sink.element.property::<String>("location"));
    src.element.set_property("timeout", 200_000_000u64);
    src.pipeline.set_state(gst::State::Paused).unwrap();
    let text = error_text(&src.error());
    assert!(text.contains("0:00:00.200"), "{text}");
}

#[test]
fn who_plays_what_failed_in_paused_is_told_again() {
    let src = Alone::source();
    // Port 1 of the loopback: nobody listens.
    src.element
        .set_property("location", "http://127.0.0.1:1/foo.tstream");
    src.pipeline.set_state(gst::State::Paused).unwrap();
    let first = error_text(&src.error());
    src.pipeline.set_state(gst::State::Playing).unwrap();
    assert_eq!(error_text(&src.error()), first);
}

#[test]
fn a_tstream_is_known_by_its_content() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    sink.pipeline.set_state(gst::State::Paused).unwrap();
    let location = sink.element.property::<String>("location");
    let pipeline = format!("filesrc location={location} ! typefind name=t ! fakesink");
    let pipeline = gst::parse::launch(&pipeline).unwrap();
    pipeline.set_state(gst::State::Paused).unwrap();
    let (result, _, _) = pipeline.state(gst::ClockTime::from_seconds(5));
    let bin = pipeline.downcast_ref::<gst::Bin>().unwrap();
    let caps = bin
        .by_name("t")
        .unwrap()
        .property::<Option<gst::Caps>>("caps");
    pipeline.set_state(gst::State::Null).unwrap();
    result.unwrap();
    assert_eq!(caps.unwrap().to_string(), "application/x-tstream");
}

#[test]
fn a_signal_handler_may_stop_either_element() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Alone::new(sink_in(&directory, "foo"));
    let src = Alone::source();
    for round in 0..4 {
        sink.pipeline.set_state(gst::State::Paused).unwrap();
        let location = sink.element.property::<String>("location");
        src.element.set_property("location", location);
        let stopped = if round % 2 == 0 { &src } else { &sink };
        let (tell, told) = mpsc::channel();
        let pipeline = stopped.pipeline.downgrade();
        let handler = stopped.element.connect("peer-added", false, move |_| {
            let pipeline = pipeline.upgrade()?;
            let start = Instant::now();
            pipeline.set_state(gst::State::Null).unwrap();
            tell.send(start.elapsed()).unwrap();
            None
        });
        src.pipeline.set_state(gst::State::Playing).unwrap();
        let took = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert!(took < Duration::from_secs(1), "{took:?} in round {round}");
        stopped.element.disconnect(handler);
        src.pipeline.set_state(gst::State::Null).unwrap();
        sink.pipeline.set_state(gst::State::Null).unwrap();
    }
}

#[test]
fn the_first_buffer_after_a_pause_is_not_at_zero() {
    init();
    let directory = tempfile::tempdir().unwrap();
    let location = directory.path().join("foo.tstream");
    let sink = gst::parse::launch(&format!(
        "fakesrc is-live=true do-timestamp=true format=time sizetype=fixed sizemax=1000 filltype=zero datarate=100000 \
         ! audio/mpeg ! livetorrentsink location={} port=0 public-address=127.0.0.1",
        location.display()
    ));
    let sink = sink.unwrap();
    sink.set_state(gst::State::Playing).unwrap();
    let src = Alone::source();
    src.element
        .set_property("location", location.to_str().unwrap());
    src.element.set_property("latency", 0u32);
    let (tell, told) = mpsc::channel();
    let pad = src.element.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        // After the test nobody listens.
        let _ = tell.send(info.buffer().and_then(|buffer| buffer.pts()));
        gst::PadProbeReturn::Ok
    });
    src.pipeline.set_state(gst::State::Playing).unwrap();
    let limit = Duration::from_secs(60);
    let first = told.recv_timeout(limit).unwrap();
    assert!(first.is_some());
    assert_eq!(told.recv_timeout(limit), Ok(None), "an anchor only");
    src.pipeline.set_state(gst::State::Paused).unwrap();
    while told.try_recv().is_ok() {}
    src.pipeline.set_state(gst::State::Playing).unwrap();
    let resumed = told.recv_timeout(limit).unwrap();
    assert!(resumed > first, "{first:?}, then {resumed:?}");
    sink.set_state(gst::State::Null).unwrap();
}
