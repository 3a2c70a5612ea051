// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A viewer who finds nobody is told why.

use std::path::{Path, PathBuf};

use gst::prelude::*;

use super::Broadcast;
use crate::support::{PATIENCE, metainfo, pipeline::Pipeline};

/// A file whose source is gone, and the URL of its tracker.
fn file_of_nobody(folder: &Path) -> (PathBuf, String) {
    let Broadcast { location, .. } = Broadcast::start(folder, "port=0");
    let url = metainfo(&location).trackers[0][0].clone();
    (location, url)
}

#[test]
fn a_viewer_without_a_peer_says_after_ten_seconds_what_it_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = file_of_nobody(folder.path());
    let (viewer, _) = Pipeline::viewer(&format!("location={}", file.display()));
    viewer.play();
    let said = viewer.wait_for("the warning", |message| match message.view() {
        gst::MessageView::Warning(warning) => {
            let text = warning.error().to_string();
            assert!(text.contains("No peer"), "{text}");
            Some(warning.debug().unwrap().to_string())
        }
        _ => None,
    });
    for part in [
        &format!("tracker {url}: nobody listens there"),
        "calls of peers failed, the last to 127.0.0.1:",
        "Connection refused",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let stats: gst::Structure = viewer.element("src").property("stats");
    let ways = stats.get::<gst::Array>("discovery").unwrap();
    let tracker = ways
        .iter()
        .map(|way| way.get::<gst::Structure>().unwrap())
        .find(|way| way.get::<&str>("name") == Ok(&format!("tracker {url}")))
        .unwrap();
    assert_eq!(tracker.get::<u64>("peers"), Ok(0));
    assert_eq!(tracker.get::<&str>("outcome"), Ok("nobody listens there"));
}

#[test]
fn the_error_at_the_timeout_says_what_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (file, url) = file_of_nobody(folder.path());
    let properties = format!("location={} timeout=1000000000", file.display());
    let (viewer, _) = Pipeline::viewer(&properties);
    viewer.pipeline().set_state(gst::State::Playing).unwrap();
    let bus = viewer.pipeline().bus().unwrap();
    let patience = gst::ClockTime::try_from(PATIENCE).unwrap();
    let message = bus.timed_pop_filtered(patience, &[gst::MessageType::Error]);
    let Some(gst::MessageView::Error(error)) = message.as_ref().map(|message| message.view())
    else {
        panic!("no error");
    };
    let text = error.error().to_string();
    assert!(text.contains("No data came"), "{text}");
    let said = error.debug().unwrap();
    assert!(said.contains(&format!("tracker {url}")), "{said}");
}
