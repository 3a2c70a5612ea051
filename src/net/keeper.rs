// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Keeps the peers that gave pieces in a file of the stream's, for the next time.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    clock::Clock,
    discovery::Discovery,
    runtime::{timeout, unblock},
};
use crate::proto::{
    good_peers::{self, GoodPeer, MAX_LEN},
    metainfo::Infohash,
    swarm::{Origin, Swarm},
};

/// Between two times that it is written, beside the one at the end.
pub(super) const EVERY: Duration = Duration::from_secs(60);
/// The first comes sooner: who watches for a minute only may not end well.
pub(super) const FIRST: Duration = Duration::from_secs(5);
/// For the last time: the driver has no longer than a disk that hangs.
const LAST: Duration = Duration::from_millis(150);
/// Files of streams; the one that was written longest ago leaves.
const MAX_FILES: usize = 100;
/// Names that are looked at to count them.
const MAX_NAMES: usize = 10_000;
/// What a file's name ends with, behind the infohash.
const SUFFIX: &str = ".peers";
/// What this way to peers is called.
const WAY: &str = "peers of the last time";

/// The file of one stream.
#[derive(Debug, Clone)]
pub(super) struct Keeper {
    folder: PathBuf,
    file: PathBuf,
}

impl Keeper {
    pub(super) fn new(folder: PathBuf, infohash: Infohash) -> Self {
        let file = folder.join(format!("{infohash}{SUFFIX}"));
        Self { folder, file }
    }

    /// Tells of those that were good the last time.
    pub(super) async fn recall(self, discovery: Discovery, clock: Clock) {
        let (keeper, now) = (self.clone(), seconds(clock));
        match unblock(move || keeper.read()).await {
            // The stream was never watched here.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let outcome = format!("{} is not read: {error}", self.file.display());
                discovery.tried(WAY, 0, outcome);
            }
            Ok(peers) => {
                let fresh = good_peers::fresh(&peers, now).map(|peer| peer.address);
                let addresses: Vec<_> = fresh.collect();
                let outcome = format!("{} are known", addresses.len());
                discovery.tried(WAY, addresses.len(), outcome);
                discovery.found(Origin::Known, addresses).await;
            }
        }
    }

    /// What is to be done to keep the good peers of this moment; nothing where there are none. It blocks.
    /// What fails is no matter but for the log.
    pub(super) fn keep(
        &self,
        swarm: &Swarm,
        clock: Clock,
        discovery: &Discovery,
    ) -> Option<impl FnOnce() + Send + use<>> {
        let good = swarm.good_peers(clock.now());
        if good.is_empty() {
            return None;
        }
        let (keeper, now, notifier) = (self.clone(), seconds(clock), discovery.notifier.clone());
        Some(move || {
            if let Err(error) = keeper.write(&good, now) {
                let file = keeper.file.display();
                notifier.tracker(format!("{WAY}: {file} is not written: {error}"));
            }
        })
    }

    /// The same at the end, for which little time is left.
    pub(super) async fn keep_at_the_end(&self, swarm: &Swarm, clock: Clock, discovery: &Discovery) {
        if let Some(write) = self.keep(swarm, clock, discovery) {
            let _ = timeout(LAST, unblock(write)).await;
        }
    }

    fn read(&self) -> io::Result<Vec<GoodPeer>> {
        // Before it is opened: a named pipe would wait for a writer.
        if !fs::metadata(&self.file)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_LEN).unwrap_or(u64::MAX) + 1;
        File::open(&self.file)?
            .take(limit)
            .read_to_end(&mut bytes)?;
        good_peers::parse(&bytes).map_err(io::Error::other)
    }

    /// Replaces the file as a whole.
    fn write(&self, good: &[(SocketAddr, Duration)], now: u64) -> io::Result<()> {
        // One that is damaged is written anew.
        let before = self.read().unwrap_or_default();
        let peers = good_peers::merge(good, &before, now);
        make_folder(&self.folder)?;
        // It is nobody else's business what is watched here: the temporary file's mode is 0600.
        let mut file = tempfile::Builder::new()
            .suffix(SUFFIX)
            .tempfile_in(&self.folder)?;
        file.write_all(good_peers::to_text(&peers).as_bytes())?;
        file.persist(&self.file)?;
        self.tidy_up()
    }

    /// Keeps the number of files down, those that a crash left half-written among them.
    fn tidy_up(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)?.take(MAX_NAMES).flatten() {
            let is_ours = entry.file_name().to_string_lossy().ends_with(SUFFIX);
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            if is_ours && entry.path() != self.file {
                files.push((written.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
            }
        }
        files.sort_unstable();
        let too_many = (files.len() + 1).saturating_sub(MAX_FILES);
        for (_, file) in files.drain(..too_many) {
            // Another viewer of this user's may have done so.
            let _ = fs::remove_file(file);
        }
        Ok(())
    }
}

/// As the XDG Base Directory Specification wants it: for this user alone.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Seconds since the Unix epoch.
fn seconds(clock: Clock) -> u64 {
    clock.now().wall / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_lite::future;

    use super::super::{discovery::bench, inbox::Inbound};

    const INFOHASH: Infohash = Infohash([0xab; 20]);

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn good(port: u16) -> Vec<(SocketAddr, Duration)> {
        vec![(address(port), Duration::ZERO)]
    }

    /// What is recalled, and what is said about it.
    fn recall(keeper: &Keeper) -> (Vec<SocketAddr>, Vec<String>) {
        let bench = bench(true, 1);
        future::block_on(keeper.clone().recall(bench.discovery.clone(), Clock::new()));
        let recalled = match bench.inputs.try_recv() {
            Ok(Inbound::Candidates {
                origin: Origin::Known,
                addresses,
            }) => addresses,
            _ => Vec::new(),
        };
        let ways = bench.discovery.ways.all().into_iter();
        (recalled, ways.map(|way| way.outcome).collect())
    }

    #[test]
    fn who_was_good_is_recalled_and_each_stream_has_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("a/b");
        let now = seconds(Clock::new());
        let keeper = Keeper::new(cache.clone(), INFOHASH);
        assert_eq!(recall(&keeper), (vec![], vec![]));
        keeper.write(&good(1), now).unwrap();
        keeper.write(&good(2), now).unwrap();
        let other = Keeper::new(cache.clone(), Infohash([1; 20]));
        other.write(&good(3), now).unwrap();
        let (recalled, said) = recall(&keeper);
        assert_eq!(recalled, [address(2), address(1)]);
        assert_eq!(said, ["2 are known"]);
        let names = fs::read_dir(&cache).unwrap().flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
        names.sort_unstable();
        let name = |byte: &str| format!("{}.peers", byte.repeat(20));
        assert_eq!(names, [name("01").as_str(), name("ab").as_str()]);
    }

    #[test]
    fn what_cannot_be_read_is_said_ignored_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::new(folder.path().to_owned(), INFOHASH);
        for bytes in [&b"livetorrent good"[..], &[0xff; 10_000], b""] {
            fs::write(&keeper.file, bytes).unwrap();
            let (recalled, said) = recall(&keeper);
            assert!(
                recalled.is_empty() && said[0].contains("is damaged"),
                "{said:?}"
            );
        }
        keeper.write(&good(1), seconds(Clock::new())).unwrap();
        assert_eq!(recall(&keeper).0, [address(1)]);
        fs::remove_file(&keeper.file).unwrap();
        fs::create_dir(&keeper.file).unwrap();
        let (recalled, said) = recall(&keeper);
        assert!(
            recalled.is_empty() && said[0].contains("no file"),
            "{said:?}"
        );
        assert!(keeper.write(&good(1), 0).is_err());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error_for_the_log_only() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keeper = Keeper::new(file.path().join("folder"), INFOHASH);
        assert!(keeper.write(&good(1), 0).is_err());
        let (recalled, _) = recall(&keeper);
        assert!(recalled.is_empty());
    }

    #[test]
    fn a_hundred_streams_are_kept_and_the_oldest_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = |number: u8| Keeper::new(folder.path().to_owned(), Infohash([number; 20]));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        for number in 0..120 {
            keeper(number).write(&good(1), 0).unwrap();
            let file = File::options()
                .write(true)
                .open(keeper(number).file)
                .unwrap();
            file.set_modified(long_ago + Duration::from_secs(number.into()))
                .unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MAX_FILES);
        assert!(!keeper(19).file.exists() && keeper(20).file.exists());
    }
}
