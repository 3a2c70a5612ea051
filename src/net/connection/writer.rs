// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What goes out: frames, bytes, and word to the driver when they have left.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_channel::{Receiver, Sender};
use futures_lite::future;

use super::super::{
    inbox::Inbound,
    runtime::{Outflow, TcpStream, timeout},
};
use crate::proto::{swarm::ConnId, wire::Frame};

/// Frames of one write. Each is two slices at most; systems take 1024.
const WRITE_FRAMES: usize = 64;
/// Bytes of one write, which the kernel takes whole when it takes any.
const WRITE_BYTES: usize = 16 * 1024;

/// What waits to be written. Its state outlives a write that is given up half way.
#[derive(Debug)]
pub(super) struct Writer {
    frames: Receiver<Frame>,
    queued: Arc<AtomicUsize>,
    begun: VecDeque<Frame>,
    /// Bytes of the first begun frame that are out.
    offset: usize,
    outflow: Outflow,
}

impl Writer {
    /// Writes what comes of `frames`, and takes it off what is `queued`.
    pub(super) fn new(frames: Receiver<Frame>, queued: Arc<AtomicUsize>) -> Self {
        Self {
            frames,
            queued,
            begun: VecDeque::new(),
            offset: 0,
            outflow: Outflow::default(),
        }
    }

    /// Writes until that fails; why it did.
    pub(super) async fn run(
        &mut self,
        conn: ConnId,
        stream: &TcpStream,
        inbox: &Sender<Inbound>,
        patience: Duration,
    ) -> String {
        loop {
            if !self.fill() {
                match self.frames.recv().await {
                    Ok(frame) => self.begun.push_back(frame),
                    Err(_) => return future::pending().await,
                }
                self.fill();
            }
            match timeout(patience, self.write(stream)).await {
                None => {
                    let seconds = patience.as_secs();
                    return format!("nothing could be sent for {seconds} s");
                }
                Some(Err(error)) => return error.to_string(),
                Some(Ok(bytes)) => {
                    // A driver that is gone drops this task next.
                    let _ = inbox.send(Inbound::Sent { conn, bytes }).await;
                }
            }
        }
    }

    /// Takes up to [`WRITE_FRAMES`] frames; whether there is something to write.
    pub(super) fn fill(&mut self) -> bool {
        while self.begun.len() < WRITE_FRAMES
            && let Ok(frame) = self.frames.try_recv()
        {
            self.begun.push_back(frame);
        }
        !self.begun.is_empty()
    }

    /// Hands some bytes to the kernel, and waits until it wants more; how many. What it took but keeps
    /// has not left: who counted it as sent would hand each connection a piece at once, and what is
    /// urgent would wait behind all of them.
    pub(super) async fn write(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let slices = slices(&self.begun, self.offset);
        let written = self.outflow.write(stream, &slices).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        self.outflow.room(stream).await;
        Ok(written)
    }

    fn advance(&mut self, written: usize) {
        self.queued.fetch_sub(written, Ordering::Relaxed);
        self.offset += written;
        while let Some(frame) = self.begun.front() {
            let length = frame.head.len() + frame.body.len();
            if self.offset < length {
                return;
            }
            self.offset -= length;
            self.begun.pop_front();
        }
    }
}

/// The next [`WRITE_BYTES`] of what is begun, without the `skip` bytes that are out.
fn slices(begun: &VecDeque<Frame>, mut skip: usize) -> Vec<IoSlice<'_>> {
    let mut slices = Vec::with_capacity(2 * begun.len());
    let mut left = WRITE_BYTES;
    for frame in begun {
        for part in [&frame.head[..], &frame.body[..]] {
            let skipped = skip.min(part.len());
            skip -= skipped;
            let taken = left.min(part.len() - skipped);
            left -= taken;
            if taken > 0 {
                slices.push(IoSlice::new(&part[skipped..skipped + taken]));
            }
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Read as _;

    use super::super::{
        MAX_QUEUED, Patience,
        testing::{Bench, block, bytes_of},
    };
    use crate::proto::wire::Message;

    #[test]
    fn every_byte_of_a_frame_leaves_once_and_is_told() {
        let bench = Bench::new(Patience::default());
        let mut far = bench.far.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            far.read_to_end(&mut bytes).unwrap();
            bytes
        });
        let mut expected = Vec::new();
        let mut waiting = 0;
        for number in 0..200 {
            let message = if number % 3 == 0 {
                Message::Have(number)
            } else {
                block(number)
            };
            expected.extend(bytes_of(message.clone()));
            waiting += bench.send(message);
        }
        while waiting > 0 {
            match bench.input() {
                Some(Inbound::Sent { bytes, .. }) => waiting -= bytes,
                other => panic!("{other:?}"),
            }
        }
        let mut bench = bench;
        bench.handle = None;
        assert!(reader.join().unwrap() == expected);
        bench.end();
    }

    #[test]
    fn a_peer_that_takes_nothing_is_cut() {
        let bench = Bench::new(Patience {
            progress: Duration::from_millis(100),
            ..Patience::default()
        });
        let mut queued = 0;
        // Far more than the buffers of both ends hold.
        while queued < MAX_QUEUED - 20_000 {
            queued += bench.send(block(1));
        }
        // Whether those buffers grew enough to take all of it, or not, the queue takes more then.
        let reason = loop {
            match bench.input() {
                Some(Inbound::Sent { bytes, .. }) => {
                    queued -= bytes;
                    while queued < MAX_QUEUED - 20_000 {
                        queued += bench.send(block(1));
                    }
                }
                Some(Inbound::Closed { reason, .. }) => break reason,
                other => panic!("{other:?}"),
            }
        };
        assert!(reason.contains("nothing could be sent"), "{reason}");
        bench.end();
    }

    #[test]
    fn no_more_than_sixty_four_frames_are_taken_from_the_queue_at_a_time() {
        let (frames, to_write) = async_channel::unbounded();
        for number in 0..1000 {
            frames.try_send(block(number).into_frame()).unwrap();
        }
        let mut writer = Writer::new(to_write, Arc::default());
        assert!(writer.fill() && writer.fill());
        assert_eq!(writer.begun.len(), WRITE_FRAMES);
    }
}
