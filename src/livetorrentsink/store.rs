// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The broadcaster's three files: the `.tstream`, the private key and the restart file beside it
//! (PROTOCOL §1 and §2, INTERFACE `livetorrentsink`).
//!
//! All are replaced as a whole: temporary file, fsync, rename, fsync of the directory. Nothing is
//! written before everything that is there has been read and found good, so an error leaves all
//! files as they were.
//!
//! The restart file's time is that of the last piece when it was written. A source that is killed
//! may have dated pieces up to 10 s later than that; the next start still dates its first piece by
//! the clock, hence after them, unless the clock was set back meanwhile. A time put ahead on
//! purpose would close that gap and make every start after a crash run ahead of the clock instead.

mod error;
mod file;
mod reservation;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use self::file::{
    KEY_MODE, directory, open_regular, read, replace, sweep, sync_directory, temporary,
};
pub(crate) use self::{
    error::{StoreError, StoreErrorKind},
    reservation::Reservation,
};
use crate::proto::{
    key::{KeyError, PrivateKey, Zeroizing},
    lap::{Lap, Sequence},
    metainfo::{self, Info, Metainfo},
    restart::Restart,
    time::UnixMicros,
};

/// Most bytes that are read of a key file; one of ours has 241.
const MAX_KEY_LEN: u64 = 64 << 10;
/// Most bytes that are read of a restart file; two lines have 42.
const MAX_RESTART_LEN: u64 = 1 << 10;
/// How far the restart file's time may be ahead of the clock, in µs, before the user hears of it:
/// clocks are stepped by less than that every day.
const CLOCK_TOLERANCE: u64 = 5_000_000;

/// What the properties say of the stream; the key comes from the file.
#[derive(Debug, Clone)]
pub(crate) struct StreamParams {
    /// The stream's name.
    pub(crate) name: String,
    /// Largest piece in bytes, header included.
    pub(crate) piece_length: u32,
    /// The lap.
    pub(crate) lap: Lap,
}

/// Where the files are.
#[derive(Debug)]
struct Paths {
    tstream: PathBuf,
    key: PathBuf,
    restart: PathBuf,
}

impl Paths {
    fn of(location: &Path) -> Result<Self, StoreError> {
        let wrong = || StoreError::Location(location.to_owned());
        // A last part of ".." or a root has no name; "dir/" has one, and means no file.
        let slash = location.as_os_str().as_encoded_bytes().ends_with(b"/");
        if location.file_name().is_none() || slash {
            return Err(wrong());
        }
        let paths = Self {
            tstream: location.to_owned(),
            key: location.with_extension("sauth"),
            restart: location.with_extension("restart"),
        };
        if paths.key == paths.tstream || paths.restart == paths.tstream {
            return Err(wrong());
        }
        let dir = directory(location);
        match fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => Ok(paths),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(StoreError::NoDirectory(dir.to_owned()))
            }
            _ => Err(StoreError::NotADirectory(dir.to_owned())),
        }
    }
}

/// The broadcaster's files, read and found good, with a block of sequences reserved.
#[derive(Debug)]
pub(crate) struct Store {
    paths: Paths,
    key: PrivateKey,
    info: Info,
    existing: Option<Metainfo>,
    start: Restart,
    reservation: Arc<Reservation>,
    warnings: Vec<String>,
}

impl Store {
    /// Reads what is beside `location` (the `.tstream`'s path), makes a key where there is neither
    /// key nor `.tstream`, locks the key and reserves the start's first block of sequences. `now`
    /// is the calendar clock.
    ///
    /// # Errors
    /// [`StoreError`]; no file was changed then, but where the disk failed while writing.
    pub(crate) fn open(
        location: &Path,
        stream: StreamParams,
        now: UnixMicros,
    ) -> Result<Self, StoreError> {
        let paths = Paths::of(location)?;
        let mut warnings = Vec::new();
        // Locked before the others are read: whoever held it may just have written them.
        let held = open_key(&paths.key, &mut warnings)?;
        let existing = read_tstream(&paths, held.as_ref().map(|(key, _)| key))?;
        let start = read_start(&paths, existing.as_ref(), now)?;
        warnings.extend(clock_warning(&paths.restart, start.time, now));
        let reserved = start.reserve().ok_or_else(|| StoreError::UsedUp {
            path: paths.restart.clone(),
        })?;

        let (key, lock) = held.unzip();
        let key = key.unwrap_or_else(PrivateKey::generate);
        let info = Info::new(
            &stream.name,
            stream.piece_length,
            stream.lap,
            key.public_key(),
        )
        .map_err(StoreError::Parameters)?;

        let lock = match lock {
            Some(lock) => lock,
            None => create_key(&paths.key, &key)?,
        };
        // Only who holds the key's lock writes here.
        for path in [&paths.tstream, &paths.key, &paths.restart] {
            sweep(path);
        }
        let reservation = Reservation::new(paths.restart.clone(), start, reserved, lock)?;
        Ok(Self {
            existing: existing.filter(|file| file.info == info),
            paths,
            key,
            info,
            start,
            reservation: Arc::new(reservation),
            warnings,
        })
    }

    /// What signs.
    pub(crate) const fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The stream.
    pub(crate) const fn info(&self) -> &Info {
        &self.info
    }

    /// The first sequence of this start, and the time that no piece of it is dated before.
    pub(crate) const fn sealer_start(&self) -> (Sequence, UnixMicros) {
        (self.start.next, self.start.time)
    }

    #[cfg(test)]
    /// The `.tstream` that was there, where it is of this very stream.
    pub(crate) const fn existing(&self) -> Option<&Metainfo> {
        self.existing.as_ref()
    }

    /// What the user should hear of, and what nevertheless keeps nobody from broadcasting.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What keeps sequences ahead of the pieces; to be called from any thread.
    pub(crate) fn reservation(&self) -> Arc<Reservation> {
        Arc::clone(&self.reservation)
    }

    /// Writes the `.tstream`, with the creation date of the same stream's file where there was one,
    /// and returns what stands there now. A file that says all this already is left alone.
    ///
    /// # Errors
    /// [`StoreError`] where it cannot be written.
    pub(crate) fn write_tstream(&self, metainfo: &Metainfo) -> Result<Metainfo, StoreError> {
        let mut metainfo = metainfo.clone();
        metainfo.peers.clear();
        if let Some(existing) = &self.existing {
            let dates = [existing.creation_date, metainfo.creation_date];
            metainfo.creation_date = dates.into_iter().flatten().min();
        }
        let bytes = metainfo.to_bytes();
        let path = &self.paths.tstream;
        if read(path, metainfo::MAX_LEN as u64 + 1)?.as_ref() != Some(&bytes) {
            replace(path, &bytes)?;
        }
        Ok(metainfo)
    }
}

/// Opens, locks and reads the key file; nothing where there is none.
fn open_key(
    path: &Path,
    warnings: &mut Vec<String>,
) -> Result<Option<(PrivateKey, File)>, StoreError> {
    let Some(mut file) = open_regular(path)? else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StoreError::Busy {
                path: path.to_owned(),
            });
        }
        // Some network file systems cannot. That is no reason not to broadcast.
        Err(TryLockError::Error(error)) => warnings.push(format!(
            "{} cannot be locked ({error}): make sure that no other sink uses it",
            path.display()
        )),
    }
    let mut pem = Zeroizing::new(String::with_capacity(1024));
    let read = Read::by_ref(&mut file)
        .take(MAX_KEY_LEN)
        .read_to_string(&mut pem);
    match read {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(StoreError::Read {
            path: path.to_owned(),
            problem: error,
        }),
        read => {
            let key = match read {
                Ok(_) => PrivateKey::from_pem(&pem),
                Err(_) => Err(KeyError::Pem),
            };
            let key = key.map_err(|problem| StoreError::Key {
                path: path.to_owned(),
                problem,
            })?;
            warnings.extend(mode_warning(path, &file));
            Ok(Some((key, file)))
        }
    }
}

/// A word to the user whose private key others can read.
#[cfg(unix)]
fn mode_warning(path: &Path, file: &File) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().ok()?.permissions().mode() & 0o777;
    let path = path.display();
    (mode & 0o077 != 0).then(|| {
        format!("the private key {path} is open to other users (mode {mode:o}): chmod 600 it")
    })
}

#[cfg(not(unix))]
fn mode_warning(_path: &Path, _file: &File) -> Option<String> {
    None
}

/// A word to the user whose pieces are dated ahead of the clock, and will be: their time never goes back.
fn clock_warning(path: &Path, not_before: UnixMicros, now: UnixMicros) -> Option<String> {
    let ahead = not_before.saturating_sub(now);
    (ahead > CLOCK_TOLERANCE).then(|| {
        format!(
            "{} tells of pieces dated {} s after this machine's clock: the next ones are dated as far ahead of it",
            path.display(),
            ahead / 1_000_000
        )
    })
}

/// Makes the key file, which is never seen without its content, its lock or its mode.
fn create_key(path: &Path, key: &PrivateKey) -> Result<File, StoreError> {
    let failed = |problem| StoreError::Write {
        path: path.to_owned(),
        problem,
    };
    let mut temporary = temporary(path, KEY_MODE)?;
    let file = temporary.as_file_mut();
    file.write_all(key.to_pem().as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    // No one else has it yet, so what fails here is a file system without locks.
    let _ = file.try_lock();
    let file = temporary.persist_noclobber(path).map_err(|error| {
        // Another start was first; it may have swept ours away.
        if matches!(
            error.error.kind(),
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
        ) {
            return StoreError::Busy {
                path: path.to_owned(),
            };
        }
        failed(error.error)
    })?;
    sync_directory(directory(path)).map_err(failed)?;
    Ok(file)
}

/// The `.tstream` that is there, where it belongs to the key that is there.
fn read_tstream(paths: &Paths, key: Option<&PrivateKey>) -> Result<Option<Metainfo>, StoreError> {
    let Some(bytes) = read(&paths.tstream, metainfo::MAX_LEN as u64 + 1)? else {
        return Ok(None);
    };
    let metainfo = Metainfo::parse(&bytes).map_err(|problem| StoreError::Tstream {
        path: paths.tstream.clone(),
        problem,
    })?;
    let (tstream, path) = (paths.tstream.clone(), paths.key.clone());
    match key {
        None => Err(StoreError::KeyMissing { tstream, key: path }),
        Some(key) if key.public_key() != *metainfo.info.key() => {
            Err(StoreError::OtherKey { tstream, key: path })
        }
        Some(_) => Ok(Some(metainfo)),
    }
}

/// Where this start begins (PROTOCOL §2).
fn read_start(
    paths: &Paths,
    existing: Option<&Metainfo>,
    now: UnixMicros,
) -> Result<Restart, StoreError> {
    if let Some(text) = read(&paths.restart, MAX_RESTART_LEN)? {
        return Restart::parse(&text).map_err(|problem| StoreError::Restart {
            path: paths.restart.clone(),
            problem,
        });
    }
    let created = existing.and_then(|file| file.creation_date);
    let seconds = i64::try_from(now / 1_000_000).unwrap_or(i64::MAX);
    if created.is_some_and(|created| seconds < created) {
        return Err(StoreError::Clock {
            tstream: paths.tstream.clone(),
            restart: paths.restart.clone(),
        });
    }
    Ok(Restart::at(now))
}
