// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A small disk of the test's own: memory, mounted in a mount namespace that ends with it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Bytes that it holds.
const SIZE: usize = 256 * 1024;

/// A disk. Processes see it that are started within it.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Keeps the namespace until its standard input is closed.
    keeper: Child,
    place: TempDir,
}

impl Disk {
    /// An empty one; nothing, and a word why, where this machine lets nobody mount anything.
    pub(crate) fn mount() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        let mount = format!(
            "mount -t tmpfs -o size={SIZE} livetorrent-test '{}' && echo mounted && exec cat",
            place.path().display()
        );
        let mut keeper = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is part of util-linux");
        let mut said = String::new();
        let out = keeper.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        if said.trim() != "mounted" {
            keeper.wait().unwrap();
            eprintln!("skipped: namespaces are not to be had here");
            return None;
        }
        Some(Self { keeper, place })
    }

    /// Where it is, for processes within.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Where it is, for everybody else.
    pub(crate) fn seen_from_outside(&self) -> PathBuf {
        let within = self.place.path().strip_prefix("/").unwrap();
        let root = format!("/proc/{}/root", self.keeper.id());
        Path::new(&root).join(within)
    }

    /// What a command begins with that is to run within.
    pub(crate) fn enter(&self) -> Vec<String> {
        let id = self.keeper.id();
        format!("nsenter --target {id} --user --mount --preserve-credentials")
            .split(' ')
            .map(str::to_owned)
            .collect()
    }

    /// Leaves no byte free.
    pub(crate) fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        while file.write_all(&[0; 512]).is_ok() {}
    }

    /// Takes that back.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.seen_from_outside().join("filler")
    }

    /// Lets nobody write, or everybody again.
    pub(crate) fn set_read_only(&self, read_only: bool) {
        let how = if read_only {
            "remount,ro"
        } else {
            "remount,rw"
        };
        let words = self.enter();
        let status = Command::new(&words[0])
            .args(&words[1..])
            .args(["mount", "-o", how])
            .arg(self.path())
            .status()
            .unwrap();
        assert!(status.success(), "mount -o {how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
