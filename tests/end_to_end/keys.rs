// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The private key stands in its file and nowhere else.

use std::{fs, io::Write, path::Path};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use gst::prelude::*;

use crate::support::{
    capture::Capture, fed_sink, fixture::numbered_packets, pipeline::Pipeline, process::Launch,
};

/// Bytes of the key's number that give it away.
const PART: usize = 12;

/// The number that a key file holds.
fn secret(key: &Path) -> [u8; 32] {
    /// Before it: version 1 of an ECPrivateKey, and the head of its OCTET STRING (RFC 5915).
    const BEFORE: [u8; 5] = [2, 1, 1, 4, 32];
    let text = fs::read_to_string(key).unwrap();
    let body: String = text.lines().filter(|line| !line.contains('-')).collect();
    let der = BASE64.decode(body.as_bytes()).unwrap();
    let at = der.windows(5).position(|bytes| bytes == BEFORE).unwrap();
    *der[at + 5..].first_chunk().unwrap()
}

/// Every form in which somebody might write some bytes.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let list = |separator: &str, write: fn(&u8) -> String| {
        let all: Vec<_> = bytes.iter().map(write).collect();
        all.join(separator)
    };
    let mut texts = vec![
        HEXLOWER.encode(bytes),
        HEXUPPER.encode(bytes),
        list(", ", |byte| format!("{byte}")),
        list(",", |byte| format!("{byte}")),
        list(", ", |byte| format!("{byte:x}")),
        list(", ", |byte| format!("{byte:02x}")),
        list(", ", |byte| format!("0x{byte:02x}")),
        list(" ", |byte| format!("{byte:02x}")),
        list(":", |byte| format!("{byte:02x}")),
        bytes.escape_ascii().to_string(),
    ];
    // What stands before it in base64 moves it by up to two bytes; characters that have bits of
    // other bytes in them are left out.
    for before in 0..3 {
        let moved = [&vec![0; before], bytes].concat();
        let whole = moved.len() / 3 * 4;
        let begins = [0, 2, 3][before];
        texts.push(BASE64.encode(&moved)[begins..whole].to_owned());
        texts.push(BASE64URL.encode(&moved)[begins..whole].to_owned());
    }
    let mut forms: Vec<_> = texts.into_iter().map(String::into_bytes).collect();
    forms.push(bytes.to_vec());
    forms
}

/// Whether one end of a secret or the other stands in `haystack`, in whatever form.
fn gives_away(haystack: &[u8], secret: &[u8; 32]) -> bool {
    [&secret[..PART], &secret[32 - PART..]]
        .into_iter()
        .flat_map(forms)
        .any(|form| haystack.windows(form.len()).any(|bytes| bytes == form))
}

#[test]
fn a_key_is_found_in_whatever_form_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    Launch::new(&fed_sink(folder.path(), "port=0 sync=false")).port();
    let key = folder.path().join("foo.sauth");
    let secret = secret(&key);
    assert!(gives_away(&fs::read(key).unwrap(), &secret));
    let shown = format!("Key {{ bytes: {:?} }}", &secret[3..]);
    assert!(gives_away(shown.as_bytes(), &secret));
    let hex = HEXUPPER.encode(&secret[..16]);
    assert!(gives_away(hex.as_bytes(), &secret));
    assert!(!gives_away(shown.as_bytes(), &[1; 32]));
}

#[test]
fn no_log_file_or_graph_tells_of_the_private_key() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let graphs = folder.join("graphs");
    fs::create_dir(&graphs).unwrap();
    let words = fed_sink(folder, "port=0 sync=false");
    let mut source = Launch::talkative(&words, &graphs);
    source.port();
    let location = folder.join("foo.tstream");
    let (output, sink) = Capture::remote();
    let watch = format!("livetorrentsrc location={} latency=0 !", location.display());
    let mut words: Vec<_> = watch.split_whitespace().map(str::to_owned).collect();
    words.extend(sink);
    let mut viewer = Launch::talkative(&words, &graphs);
    viewer.port();
    let mut feed = source.feed();
    feed.write_all(&numbered_packets(0, 1000)).unwrap();
    output.wait_for(1);
    drop(feed);
    assert!(source.wait_for_exit().success());
    assert!(viewer.wait_for_exit().success());

    let secret = secret(&folder.join("foo.sauth"));
    for (who, process) in [("source", &source), ("viewer", &viewer)] {
        let said = process.said();
        assert!(said.len() > 100_000, "{who} said {} bytes", said.len());
        assert!(!gives_away(said.as_bytes(), &secret), "{who} tells");
    }
    let mut files: Vec<_> = fs::read_dir(&graphs).unwrap().collect();
    assert!(!files.is_empty(), "graphs");
    files.extend(fs::read_dir(folder).unwrap());
    for file in files {
        let file = file.unwrap();
        if file.file_name() == "foo.sauth" || file.path() == graphs {
            continue;
        }
        let bytes = fs::read(file.path()).unwrap();
        assert!(!gives_away(&bytes, &secret), "{:?}", file.path());
    }
}

#[test]
fn no_property_or_message_tells_of_the_private_key() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().join("foo.tstream");
    let pipeline = Pipeline::new(&format!(
        "fakesrc num-buffers=50 sizetype=fixed sizemax=18800 filltype=random \
         ! livetorrentsink name=foo location={} port=0 sync=false drain-timeout=0",
        location.display()
    ));
    pipeline.play();
    let mut told = String::new();
    pipeline.wait_for("EOS", |message| {
        told += &format!("{message:?} {:?}\n", message.structure());
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
    let sink = pipeline.element("foo");
    let mut properties = 0;
    for property in sink.list_properties() {
        if property.flags().contains(glib::ParamFlags::READABLE) {
            properties += 1;
            told += &format!("{:?}\n", sink.property_value(property.name()));
        }
    }
    assert!(properties > 20 && told.contains("pieces"), "{told}");
    let secret = secret(&folder.path().join("foo.sauth"));
    assert!(!gives_away(told.as_bytes(), &secret), "{told}");
}
