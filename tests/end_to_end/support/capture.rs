// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Bytes that arrive while a test waits for them.

use std::{
    io::Read,
    net::TcpListener,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Instant,
};

use super::PATIENCE;

/// A growing byte stream: what comes out of a pipeline here, or out of one in another process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Capture {
    inner: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Where a DISCONT buffer began.
    holes: Vec<usize>,
    first: Option<Instant>,
    ended: bool,
}

impl Capture {
    /// What a child's `tcpclientsink` sends; the words of that sink.
    pub(crate) fn remote() -> (Self, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let capture = Self::default();
        let writer = capture.clone();
        thread::spawn(move || {
            let Ok((mut socket, _)) = listener.accept() else {
                return;
            };
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(read @ 1..) = socket.read(&mut buffer) {
                writer.push(&buffer[..read], false);
            }
            writer.end();
        });
        let words = format!("tcpclientsink host=127.0.0.1 port={port} sync=false async=false");
        (capture, words.split(' ').map(str::to_owned).collect())
    }

    pub(crate) fn push(&self, bytes: &[u8], discont: bool) {
        let mut state = self.inner.0.lock().unwrap();
        if discont {
            let at = state.bytes.len();
            state.holes.push(at);
        }
        state.first.get_or_insert_with(Instant::now);
        state.bytes.extend_from_slice(bytes);
        self.inner.1.notify_all();
    }

    pub(crate) fn end(&self) {
        self.inner.0.lock().unwrap().ended = true;
        self.inner.1.notify_all();
    }

    fn wait(&self, what: &str, ready: impl Fn(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.inner.0.lock().unwrap();
        while !ready(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero() && !state.ended,
                "{what}: there are {} bytes, ended: {}",
                state.bytes.len(),
                state.ended
            );
            state = self.inner.1.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for so many bytes in all.
    pub(crate) fn wait_for(&self, length: usize) {
        self.wait(&format!("waiting for {length} bytes"), |state| {
            state.bytes.len() >= length
        });
    }

    /// Waits for a DISCONT after so many; where the bytes after it begin.
    pub(crate) fn wait_for_hole(&self, holes: usize) -> usize {
        self.wait("waiting for a DISCONT", |state| state.holes.len() > holes);
        self.holes()[holes]
    }

    /// Waits for the end; everything.
    pub(crate) fn wait_for_end(&self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.inner.0.lock().unwrap();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no end after {} bytes", state.bytes.len());
            state = self.inner.1.wait_timeout(state, left).unwrap().0;
        }
        state.bytes.clone()
    }

    /// Everything so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.inner.0.lock().unwrap().bytes.clone()
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.0.lock().unwrap().bytes.len()
    }

    /// Offsets at which a buffer with DISCONT began.
    pub(crate) fn holes(&self) -> Vec<usize> {
        self.inner.0.lock().unwrap().holes.clone()
    }

    /// When the first bytes came.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.inner.0.lock().unwrap().first
    }
}
