// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What plays: the test picture and its sound, by the script that broadcasts them and every codec that it
//! has, to a viewer, through that one to a second that knows nobody else, and to a third that comes late.

use std::time::Duration;

use crate::support::{NOWHERE, process::Launch, redirect, television::Television};

/// What is decoded of each, at least: two seconds.
const PICTURES: usize = 50;
const SOUND: Duration = Duration::from_secs(2);

/// What a codec is broadcast in.
#[derive(Debug, Clone, Copy)]
struct Codec {
    name: &'static str,
    /// Size of the picture.
    picture: Option<(i32, i32)>,
    /// Channels of the sound.
    sound: Option<i32>,
}

const fn codec(name: &'static str, picture: (i32, i32), sound: i32) -> Codec {
    Codec {
        name,
        picture: if picture.0 > 0 { Some(picture) } else { None },
        sound: if sound > 0 { Some(sound) } else { None },
    }
}

const CODECS: [Codec; 12] = [
    codec("h264-aac", (640, 360), 2),
    codec("h265-aac", (640, 360), 2),
    codec("h264-opus", (640, 360), 2),
    codec("h264-mp3", (640, 360), 2),
    codec("mpeg4-mp3", (320, 240), 1),
    codec("mpeg4", (320, 240), 0),
    codec("mpeg2-mp2", (640, 360), 2),
    codec("mpeg1", (320, 240), 0),
    codec("aac", (0, 0), 2),
    codec("vp8-vorbis", (640, 360), 2),
    codec("vp9-opus", (640, 360), 2),
    codec("av1-opus", (640, 360), 2),
];

fn watch(codec: Codec, properties: &str) -> Television {
    let television = Television::tune_in(properties);
    television.wait_for(
        codec.picture.map_or(0, |_| PICTURES),
        codec.sound.map_or(Duration::ZERO, |_| SOUND),
    );
    if let Some(size) = codec.picture {
        television.assert_bars(size);
    }
    if let Some(channels) = codec.sound {
        television.assert_sound(channels);
    }
    television
}

fn plays(name: &str) {
    let codec = *CODECS.iter().find(|codec| codec.name == name).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let words = [
        "--codec",
        name,
        "--port",
        "0",
        "--public-address",
        "127.0.0.1",
    ];
    let mut script = Launch::script("broadcast-test.sh", &words, folder.path());
    // The sink has written its file before the pipeline pauses.
    script.wait_for("a start", |line| line.contains("PREROLL").then_some(()));
    let tstream = folder.path().join("test.tstream");
    let second_hand = folder.path().join("second-hand.tstream");
    redirect(&tstream, &second_hand, NOWHERE);

    let first = watch(codec, &format!("location={}", tstream.display()));
    let port = first.pipeline.element_port("src");
    let second = watch(
        codec,
        &format!(
            "location={} peers=127.0.0.1:{port} lsd=false",
            second_hand.display()
        ),
    );
    // The broadcast has been on for two seconds and more.
    let third = Television::tune_in(&format!("location={}", tstream.display()));
    third.wait_for(
        codec.picture.map_or(0, |_| 1),
        codec
            .sound
            .map_or(Duration::ZERO, |_| Duration::from_millis(1)),
    );
    let (picture, sound) = third.first();
    let ms = |time: Option<Duration>| {
        time.map_or_else(|| "-".into(), |time| format!("{} ms", time.as_millis()))
    };
    println!(
        "{name}: first picture after {}, first sound after {}",
        ms(picture),
        ms(sound)
    );
    drop((first, second, third));
    script.interrupt();
    // It has ended when its whole family has closed its output.
    assert!(script.wait_for_exit().success());
    assert_eq!(script.errors(), [""; 0]);
}

#[test]
fn every_codec_that_the_scripts_have_is_tried_here() {
    let folder = tempfile::tempdir().unwrap();
    let mut script = Launch::script("broadcast-test.sh", &["--list-codecs"], folder.path());
    assert!(script.wait_for_exit().success());
    let said = script.said();
    let listed: Vec<&str> = said
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(listed, CODECS.map(|codec| codec.name));
}

macro_rules! codecs {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                plays($name);
            }
        )*
    };
}

codecs! {
    h264_and_aac: "h264-aac",
    h265_and_aac: "h265-aac",
    h264_and_opus: "h264-opus",
    h264_and_mp3: "h264-mp3",
    mpeg4_and_mp3: "mpeg4-mp3",
    mpeg4_without_sound: "mpeg4",
    mpeg2_and_mp2: "mpeg2-mp2",
    mpeg1_in_a_program_stream: "mpeg1",
    sound_alone: "aac",
    vp8_and_vorbis_in_webm: "vp8-vorbis",
    vp9_and_opus_in_webm: "vp9-opus",
    av1_and_opus_in_webm: "av1-opus",
}
