// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What the tests share.

pub(crate) mod capture;
pub(crate) mod disk;
pub(crate) mod fixture;
pub(crate) mod live;
pub(crate) mod peer;
pub(crate) mod pipeline;
pub(crate) mod process;
pub(crate) mod pulse;
pub(crate) mod stamps;
pub(crate) mod television;
pub(crate) mod tools;
pub(crate) mod transport;

use std::{fs, path::Path, time::Duration};

use gstlivetorrent::proto::metainfo::Metainfo;

/// How long anything is waited for before the test fails: far more than it takes on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// An announce URL at which nobody listens (port 1 of this machine).
pub(crate) const NOWHERE: &str = "http://127.0.0.1:1/announce";

/// Writes to `to` the stream of the `.tstream` file `from` with another tracker. `announce` is
/// outside `info`, so the infohash stays.
pub(crate) fn redirect(from: &Path, to: &Path, announce: &str) {
    let file = fs::read(from).unwrap();
    let prefix = b"d8:announce";
    assert!(file.starts_with(prefix), "announce is the first key");
    let rest = &file[prefix.len()..];
    let colon = rest.iter().position(|byte| *byte == b':').unwrap();
    let length: usize = std::str::from_utf8(&rest[..colon])
        .unwrap()
        .parse()
        .unwrap();
    let mut changed = prefix.to_vec();
    changed.extend_from_slice(format!("{}:{announce}", announce.len()).as_bytes());
    changed.extend_from_slice(&rest[colon + 1 + length..]);
    fs::write(to, changed).unwrap();
}

/// The words of a broadcast of what the process is fed, as the stream `foo` in `folder`.
pub(crate) fn fed_sink(folder: &Path, properties: &str) -> Vec<String> {
    let location = folder.join("foo.tstream");
    format!(
        "fdsrc blocksize=18800 ! livetorrentsink name=foo location={} public-address=127.0.0.1 {properties}",
        location.display()
    )
    .split_whitespace()
    .map(str::to_owned)
    .collect()
}

/// What a `.tstream` file says.
pub(crate) fn metainfo(file: &Path) -> Metainfo {
    Metainfo::parse(&fs::read(file).unwrap()).unwrap()
}
