// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Relays: viewers that the broadcaster connects to by itself.

use std::{fs, io::Write};

use crate::support::{
    NOWHERE, fed_sink,
    fixture::{self, TELEVISION},
    pipeline::Pipeline,
    process::Launch,
    redirect,
    transport::Transport,
};

#[test]
fn a_source_with_one_place_dials_its_relay_and_every_viewer_sees_every_byte() {
    let input = fs::read(fixture::file(TELEVISION)).unwrap();
    let stream = Transport::new(&input);
    let folder = tempfile::tempdir().unwrap();
    let tstream = folder.path().join("foo.tstream");
    let second_hand = folder.path().join("second-hand.tstream");

    // A broadcast of nothing leaves the files: the relay is there before the source.
    let mut sink = Launch::new(&fed_sink(folder.path(), "port=0"));
    sink.port();
    drop(sink.feed());
    assert!(sink.wait_for_exit().success());
    redirect(&tstream, &second_hand, NOWHERE);
    let (relay, relay_bytes) = Pipeline::viewer(&format!("location={}", second_hand.display()));
    relay.play();
    let relay_port = relay.port("src");

    let properties = format!("port=0 max-uploads=1 auxiliary-seeders=localhost:{relay_port}");
    let mut sink = Launch::new(&fed_sink(folder.path(), &properties));
    let mut feed = sink.feed();
    sink.port();
    // The relay knows nobody, so this is the source's doing.
    relay.wait_for_stat("src", "peers-connected", 1);
    let beginning = stream.offset_at(3.0);
    feed.write_all(&input[..beginning]).unwrap();
    relay_bytes.wait_for(1);

    // These want the source's only place, and know where the relay is.
    let others = [(); 2].map(|()| {
        let (viewer, bytes) = Pipeline::viewer(&format!(
            "location={} peers=127.0.0.1:{relay_port}",
            tstream.display()
        ));
        viewer.play();
        (viewer, bytes)
    });
    for (_, bytes) in &others {
        bytes.wait_for(1);
    }
    feed.write_all(&input[beginning..]).unwrap();
    drop(feed);

    stream.joined_by(&relay_bytes.wait_for_end(), true);
    assert_eq!(relay_bytes.holes(), [0], "the start, and no hole after it");
    for (viewer, bytes) in &others {
        stream.joined_by(&bytes.wait_for_end(), true);
        assert_eq!(viewer.stat("src", "pieces-rejected"), 0);
    }
    assert!(sink.wait_for_exit().success());
}
