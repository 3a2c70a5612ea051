// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Why a broadcast cannot start.

use std::{io, path::PathBuf};

use crate::proto::{key::KeyError, metainfo::MetainfoError, restart::RestartError};

/// What GStreamer calls the kind of an error: the names of `gst::ResourceError`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreErrorKind {
    /// Something that must be there is not.
    NotFound,
    /// Something is there and cannot be read or used.
    OpenRead,
    /// No file can be made there.
    OpenWrite,
    /// A file could not be written to the end.
    Write,
    /// Another broadcast uses the key.
    Busy,
    /// The properties or the clock forbid it.
    Settings,
}

/// Why a broadcast cannot start, or cannot go on. Names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The location names no file, or one of the two others.
    #[error("location {0} does not name a .tstream file")]
    Location(PathBuf),
    /// The directory is not there.
    #[error("the directory {0} does not exist: make it, or choose another location")]
    NoDirectory(PathBuf),
    /// There is something else than a directory.
    #[error("{0} is not a directory: choose another location")]
    NotADirectory(PathBuf),
    /// There is something else than a file.
    #[error("{0} is not a regular file: move it away, or choose another location")]
    NotAFile(PathBuf),
    /// A file cannot be read.
    #[error("{path} cannot be read: {problem}")]
    Read { path: PathBuf, problem: io::Error },
    /// A file cannot be made.
    #[error(
        "{path} cannot be written: {problem}; make its directory writable, or choose another location"
    )]
    Create {
        path: PathBuf,
        problem: io::ErrorKind,
    },
    /// A file cannot be written to the end.
    #[error("{path} could not be written: {problem}")]
    Write { path: PathBuf, problem: io::Error },
    /// The `.tstream` cannot be used.
    #[error(
        "{path} is no .tstream of this version ({problem}): move it away to start a new stream"
    )]
    Tstream {
        path: PathBuf,
        problem: MetainfoError,
    },
    /// There is a `.tstream` and no key.
    #[error(
        "{tstream} is there, its private key {key} is not: put the key back, or move {tstream} away to start a new stream"
    )]
    KeyMissing { tstream: PathBuf, key: PathBuf },
    /// The `.tstream` belongs to another key.
    #[error(
        "{tstream} belongs to another key than {key}: put the right key there, or move {tstream} away to start a new stream"
    )]
    OtherKey { tstream: PathBuf, key: PathBuf },
    /// The key cannot be used.
    #[error(
        "{path} holds no private key ({problem}): put the right file there, or move it and the .tstream away to start a new stream"
    )]
    Key { path: PathBuf, problem: KeyError },
    /// The restart file cannot be used.
    #[error(
        "{path} is damaged ({problem}): mend it, or remove it if this machine's clock is right"
    )]
    Restart {
        path: PathBuf,
        problem: RestartError,
    },
    /// The clock cannot be right, and nothing else tells where to go on.
    #[error(
        "there is no {restart}, and the clock is before the creation date of {tstream}: set the clock, or put {restart} back"
    )]
    Clock { tstream: PathBuf, restart: PathBuf },
    /// No sequences are left.
    #[error(
        "{path} tells that this key's sequence numbers are used up: move it, the key and the .tstream away to start a new stream"
    )]
    UsedUp { path: PathBuf },
    /// Another sink holds the key.
    #[error(
        "{path} is in use by another livetorrentsink: stop that, or give this one another name"
    )]
    Busy { path: PathBuf },
    /// The properties make no stream.
    #[error("the stream cannot be made of these properties: {0}")]
    Parameters(MetainfoError),
}

impl StoreError {
    /// What GStreamer calls it.
    pub(crate) const fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NoDirectory(_) | Self::KeyMissing { .. } => StoreErrorKind::NotFound,
            Self::NotAFile(_)
            | Self::Read { .. }
            | Self::Tstream { .. }
            | Self::OtherKey { .. }
            | Self::Key { .. }
            | Self::Restart { .. } => StoreErrorKind::OpenRead,
            Self::NotADirectory(_) | Self::Create { .. } => StoreErrorKind::OpenWrite,
            Self::Write { .. } => StoreErrorKind::Write,
            Self::Busy { .. } => StoreErrorKind::Busy,
            Self::Location(_) | Self::Clock { .. } | Self::UsedUp { .. } | Self::Parameters(_) => {
                StoreErrorKind::Settings
            }
        }
    }
}
