// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

use std::{collections::BTreeMap, fs::Permissions};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::proto::restart::{BLOCK, REWRITE_AFTER};

/// 1 January 2026, in µs.
const NOW: UnixMicros = 1_767_225_600_000_000;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    /// One where a broadcast was, ended as it should; with the public key that it had.
    fn used() -> Self {
        let place = Self::new();
        let store = place.open(NOW).unwrap();
        let mut metainfo = Metainfo::new(store.info().clone());
        metainfo.creation_date = Some(1_767_225_600);
        store.write_tstream(&metainfo).unwrap();
        store.reservation().finish(NOW + 10, NOW + 20).unwrap();
        place
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.dir.path().join("foo").with_extension(extension)
    }

    fn open(&self, now: UnixMicros) -> Result<Store, StoreError> {
        Store::open(&self.path("tstream"), params(), now)
    }

    fn write(&self, extension: &str, bytes: &[u8]) {
        fs::write(self.path(extension), bytes).unwrap();
    }

    /// Everything in the directory.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
            .collect()
    }

    /// That opening fails with this kind, names a file and a remedy, and changes nothing.
    fn assert_refuses(&self, now: UnixMicros, kind: StoreErrorKind, words: &[&str]) {
        let before = self.files();
        let error = self.open(now).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error}: no {word:?}");
        }
        assert_eq!(self.files(), before);
    }
}

fn params() -> StreamParams {
    StreamParams {
        name: "foo".into(),
        piece_length: 16384,
        lap: Lap::new(256).unwrap(),
    }
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_first_start_makes_a_key_and_reserves_a_block_from_the_unix_time_on() {
    let place = Place::new();
    let store = place.open(NOW).unwrap();
    assert_eq!(store.sealer_start(), (NOW, NOW));
    assert_eq!(store.reservation().reserved_end(), NOW + BLOCK);
    assert_eq!(store.info().key(), &store.key().public_key());
    assert_eq!(store.existing(), None);
    assert!(store.warnings().is_empty());
    let text = fs::read(place.path("restart")).unwrap();
    let written = Restart::parse(&text).unwrap();
    assert_eq!((written.next, written.time), (NOW + BLOCK, NOW));
    assert!(!place.path("tstream").exists());
    assert_eq!(place.files().len(), 2);
}

#[cfg(unix)]
#[test]
fn the_key_is_for_its_owner_alone_and_the_other_files_follow_the_umask() {
    let place = Place::used();
    place.write("umask", b"");
    assert_eq!(mode(&place.path("sauth")), 0o600);
    let public = 0o644 & mode(&place.path("umask"));
    assert_eq!(mode(&place.path("tstream")), public);
    assert_eq!(mode(&place.path("restart")), public);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_used_with_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::used();
    fs::set_permissions(place.path("sauth"), Permissions::from_mode(0o640)).unwrap();
    let store = place.open(NOW).unwrap();
    assert_eq!(store.warnings().len(), 1);
    assert!(store.warnings()[0].contains("chmod 600"));
}

#[test]
fn a_second_start_has_the_same_infohash_and_goes_on_after_the_last_piece() {
    let place = Place::used();
    let before = fs::read(place.path("tstream")).unwrap();
    let store = place.open(NOW + 1_000_000).unwrap();
    assert_eq!(store.sealer_start(), (NOW + 10, NOW + 20));
    let existing = store.existing().unwrap();
    assert_eq!(existing.info, *store.info());
    let mut metainfo = Metainfo::new(store.info().clone());
    metainfo.creation_date = Some(1_800_000_000);
    let written = store.write_tstream(&metainfo).unwrap();
    assert_eq!(written.creation_date, Some(1_767_225_600));
    assert_eq!(fs::read(place.path("tstream")).unwrap(), before);
}

#[test]
fn other_parameters_under_the_same_key_replace_the_file() {
    let place = Place::used();
    let other = StreamParams {
        piece_length: 32768,
        ..params()
    };
    let store = Store::open(&place.path("tstream"), other, NOW).unwrap();
    assert_eq!(store.existing(), None);
    let mut metainfo = Metainfo::new(store.info().clone());
    metainfo.peers = vec!["never:1".into()];
    metainfo.creation_date = Some(1_800_000_000);
    let written = store.write_tstream(&metainfo).unwrap();
    let bytes = fs::read(place.path("tstream")).unwrap();
    let read = Metainfo::parse(&bytes).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.info.piece_length(), 32768);
    assert_eq!(read.creation_date, Some(1_800_000_000));
}

#[test]
fn what_cannot_be_used_is_refused_and_nothing_is_overwritten() {
    use StoreErrorKind::{NotFound, OpenRead};
    type Damage = fn(&Place);
    let another_key: Damage = |place| {
        place.write("sauth", PrivateKey::generate().to_pem().as_bytes());
    };
    let cases: [(Damage, StoreErrorKind, &[&str]); 12] = [
        (
            |place| fs::remove_file(place.path("sauth")).unwrap(),
            NotFound,
            &["foo.tstream", "foo.sauth", "put the key back"],
        ),
        (another_key, OpenRead, &["foo.tstream", "another key"]),
        (
            |place| place.write("tstream", b""),
            OpenRead,
            &["foo.tstream", "move it away"],
        ),
        (
            |place| place.write("tstream", b"d4:infodee"),
            OpenRead,
            &["foo.tstream", "info.live is missing"],
        ),
        (
            |place| place.write("tstream", &vec![b'd'; 2 << 20]),
            OpenRead,
            &["foo.tstream", "larger than 1 MiB"],
        ),
        (
            |place| place.write("sauth", b""),
            OpenRead,
            &["foo.sauth", "PEM"],
        ),
        (
            |place| place.write("sauth", &[0xff; 100]),
            OpenRead,
            &["foo.sauth", "PEM"],
        ),
        (
            |place| place.write("sauth", &vec![b'x'; 1 << 20]),
            OpenRead,
            &["foo.sauth", "PEM"],
        ),
        (
            |place| place.write("sauth", include_bytes!("../../../tests/data/ed25519.pem")),
            OpenRead,
            &["foo.sauth", "Ed25519"],
        ),
        (
            |place| place.write("restart", b""),
            OpenRead,
            &["foo.restart", "line 1"],
        ),
        (
            |place| place.write("restart", b"12\n3"),
            OpenRead,
            &["foo.restart", "line 2"],
        ),
        (
            |place| {
                fs::remove_file(place.path("sauth")).unwrap();
                fs::create_dir(place.path("sauth")).unwrap();
            },
            OpenRead,
            &["foo.sauth", "not a regular file"],
        ),
    ];
    for (damage, kind, words) in cases {
        let place = Place::used();
        damage(&place);
        place.assert_refuses(NOW + 60_000_000, kind, words);
    }
}

#[test]
fn sequences_that_are_used_up_are_refused() {
    let place = Place::used();
    place.write("restart", format!("{}\n0\n", u64::MAX).as_bytes());
    place.assert_refuses(NOW, StoreErrorKind::Settings, &["foo.restart", "used up"]);
}

#[test]
fn without_a_restart_file_the_clock_must_not_be_before_the_creation_date() {
    let place = Place::used();
    fs::remove_file(place.path("restart")).unwrap();
    let words = ["foo.restart", "foo.tstream", "set the clock"];
    place.assert_refuses(NOW - 1_000_000, StoreErrorKind::Settings, &words);
    let store = place.open(NOW + 1_000_000).unwrap();
    assert_eq!(store.sealer_start(), (NOW + 1_000_000, NOW + 1_000_000));
}

#[test]
fn with_a_restart_file_a_clock_that_was_set_back_only_earns_a_warning() {
    let place = Place::used();
    let store = place.open(NOW - 3_600_000_000).unwrap();
    assert_eq!(store.sealer_start(), (NOW + 10, NOW + 20));
    assert_eq!(store.warnings().len(), 1);
    assert!(
        store.warnings()[0].contains("3600 s"),
        "{:?}",
        store.warnings()
    );
}

#[test]
fn names_and_places_that_make_no_stream_are_refused_before_anything_is_written() {
    let place = Place::new();
    let open = |location: &Path, name: &str| {
        let name = name.to_owned();
        let error = Store::open(location, StreamParams { name, ..params() }, NOW).unwrap_err();
        assert!(place.files().is_empty());
        error.kind()
    };
    let dir = place.dir.path();
    use StoreErrorKind::{NotFound, OpenRead, Settings};
    assert_eq!(open(&place.path("tstream"), "a/b"), Settings);
    assert_eq!(open(&place.path("sauth"), "foo"), Settings);
    assert_eq!(open(&place.path("restart"), "foo"), Settings);
    assert_eq!(open(Path::new(""), "foo"), Settings);
    assert_eq!(open(Path::new("/"), "foo"), Settings);
    assert_eq!(open(&dir.join(".."), "foo"), Settings);
    assert_eq!(open(&dir.join("foo/"), "foo"), Settings);
    assert_eq!(open(&dir.join("missing/foo.tstream"), "foo"), NotFound);
    assert_eq!(open(dir, "foo"), OpenRead);
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let place = Place::new();
    place.write("txt", b"");
    let location = place.path("txt").join("foo.tstream");
    let error = Store::open(&location, params(), NOW).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OpenWrite, "{error}");
}

/// In sysfs nobody can make a file, not even root, whom modes do not stop.
#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let error = Store::open(Path::new("/sys/foo.tstream"), params(), NOW).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OpenWrite, "{error}");
    let text = error.to_string();
    assert!(
        text.contains("/sys/foo.sauth") && !text.contains(".livetorrent-"),
        "{text}"
    );
}

#[test]
fn a_key_serves_one_sink_at_a_time() {
    let place = Place::new();
    let store = place.open(NOW).unwrap();
    place.assert_refuses(
        NOW,
        StoreErrorKind::Busy,
        &["foo.sauth", "another livetorrentsink"],
    );
    // Let go by the end of the broadcast, though a background thread still has its handle.
    let reservation = store.reservation();
    reservation.finish(NOW + 5, NOW + 5).unwrap();
    let second = place.open(NOW).unwrap();
    drop(store);
    place.assert_refuses(NOW, StoreErrorKind::Busy, &["foo.sauth"]);
    drop(second);
    assert!(place.open(NOW).is_ok());
}

#[test]
fn what_a_killed_start_left_is_removed_and_nothing_else() {
    let place = Place::used();
    let left = [".foo.sauth.aB3dE6.new", ".foo.restart.000000.new"];
    let others = [
        ".foo.restart.0000000.new",
        ".bar.sauth.aB3dE6.new",
        "foo.restart.old",
    ];
    let at = |name: &&str| place.dir.path().join(name);
    for path in left.iter().chain(&others).map(at) {
        fs::write(path, b"half a file").unwrap();
    }
    place.open(NOW).unwrap();
    assert!(!left.iter().any(|name| at(name).exists()));
    assert!(others.iter().all(|name| at(name).exists()));
}

#[test]
fn a_reservation_that_has_finished_writes_no_more() {
    let place = Place::new();
    let reservation = place.open(NOW).unwrap().reservation();
    reservation.finish(NOW + 5, NOW + 5).unwrap();
    let files = place.files();
    reservation
        .reserve_if_needed(NOW + BLOCK, NOW + 60_000_000)
        .unwrap();
    reservation.finish(NOW + BLOCK, NOW + 60_000_000).unwrap();
    assert_eq!(place.files(), files);
}

#[test]
fn blocks_follow_and_the_time_is_rewritten_as_pieces_are_made() {
    let place = Place::new();
    let store = place.open(NOW).unwrap();
    let reservation = store.reservation();
    let text = || Restart::parse(&fs::read(place.path("restart")).unwrap()).unwrap();
    reservation
        .reserve_if_needed(NOW + 100, NOW + REWRITE_AFTER - 1)
        .unwrap();
    assert_eq!(text().time, NOW);
    reservation
        .reserve_if_needed(NOW + 100, NOW + REWRITE_AFTER)
        .unwrap();
    assert_eq!(text().time, NOW + REWRITE_AFTER);
    assert_eq!(reservation.reserved_end(), NOW + BLOCK);
    reservation.reserve_if_needed(NOW + BLOCK / 2, NOW).unwrap();
    assert_eq!(reservation.reserved_end(), NOW + 2 * BLOCK);
    assert_eq!(text().next, NOW + 2 * BLOCK);
    assert_eq!(text().time, NOW + REWRITE_AFTER);
}

#[test]
fn a_block_that_cannot_be_written_is_not_reserved_and_can_be_tried_again() {
    let place = Place::new();
    let store = place.open(NOW).unwrap();
    let reservation = store.reservation();
    let restart = place.path("restart");
    fs::remove_file(&restart).unwrap();
    fs::create_dir(&restart).unwrap();
    let error = reservation.reserve_if_needed(NOW + BLOCK, NOW).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Write, "{error}");
    assert_eq!(reservation.reserved_end(), NOW + BLOCK);
    fs::remove_dir(&restart).unwrap();
    reservation.reserve_if_needed(NOW + BLOCK, NOW).unwrap();
    assert_eq!(reservation.reserved_end(), NOW + 2 * BLOCK);
}

#[cfg(unix)]
#[test]
fn a_link_to_the_tstream_is_followed() {
    let place = Place::used();
    let real = place.dir.path().join("real");
    fs::rename(place.path("tstream"), &real).unwrap();
    std::os::unix::fs::symlink(&real, place.path("tstream")).unwrap();
    let store = place.open(NOW).unwrap();
    let mut metainfo = Metainfo::new(store.info().clone());
    metainfo.title = Some("through the link".into());
    store.write_tstream(&metainfo).unwrap();
    assert!(
        fs::symlink_metadata(place.path("tstream"))
            .unwrap()
            .is_symlink()
    );
    assert_eq!(
        Metainfo::parse(&fs::read(&real).unwrap()).unwrap().title,
        metainfo.title
    );
}

/// One start: when by the clock, how many pieces, how often the file is seen to, and whether it
/// is killed.
fn any_start() -> impl Strategy<Value = (i64, u64, u64, bool)> {
    (-3_600..3_600i64, 0..150_000u64, 1..40_000u64, any::<bool>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn sequences_never_repeat_and_never_go_back_whatever_ends_a_start(
        starts in proptest::collection::vec(any_start(), 1..6),
    ) {
        let place = Place::new();
        let mut free = 0;
        let mut saved_time = 0;
        for (offset, pieces, every, killed) in starts {
            let now = NOW.saturating_add_signed(offset * 1_000_000);
            let store = place.open(now).unwrap();
            let reservation = store.reservation();
            let (first, not_before) = store.sealer_start();
            prop_assert!(first >= free && not_before >= saved_time);
            let mut next = first;
            while next < first + pieces {
                // The element seals no piece beyond what is reserved.
                let step = every.min(first + pieces - next);
                next = (next + step).min(reservation.reserved_end());
                reservation.reserve_if_needed(next, now.max(not_before)).unwrap();
                prop_assert!(reservation.reserved_end() > next);
            }
            free = next;
            saved_time = not_before;
            if !killed {
                saved_time = now.max(not_before);
                reservation.finish(next, saved_time).unwrap();
            }
        }
    }
}
