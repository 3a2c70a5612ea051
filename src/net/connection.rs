// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One connection: bytes in, messages to the driver; frames from the driver, bytes out.

mod pace;
mod reader;
#[cfg(test)]
mod testing;
mod writer;

use std::{
    future::Future,
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_channel::{Receiver, Sender};
use futures_lite::{AsyncReadExt as _, future};
use socket2::SockRef;

pub(super) use self::pace::Pace;
use self::{reader::Reader, writer::Writer};
use super::{
    inbox::Inbound,
    runtime::{TcpStream, timeout},
};
use crate::proto::{
    swarm::ConnId,
    wire::{Decoder, Frame},
};

/// The swarm stops at 256 KiB (PROTOCOL §6); what goes beyond this is not its doing.
const MAX_QUEUED: usize = 4 * 1024 * 1024;
/// What is read and thrown away after a hang-up: about what was under way. Who sends on for the sake
/// of it is cut off.
const MAX_DRAINED: usize = 256 * 1024;
/// Unsent bytes with which the kernel takes no more: they only age there, and cannot be taken back
/// when something more urgent comes or a slow uplink is shared with others. What is in flight does
/// not count, so this slows no connection down. Half of it is where the kernel asks for more.
#[cfg(any(target_os = "linux", target_os = "android"))]
const KERNEL_UNSENT: u32 = 4 * 1024;
/// Where there is no such mark: the whole send buffer, what is in flight included.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEND_BUFFER: usize = 128 * 1024;
/// What decides how much is in flight, where the administrator lets a process choose it
/// (tcp_allowed_congestion_control): the usual CUBIC takes each lost packet for a full link, and carries
/// no stream over a link that loses one in fifty (docs/transport.md).
#[cfg(target_os = "linux")]
const CONGESTION_CONTROL: &[u8] = b"bbr";

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From a message's first byte to its last (PROTOCOL §4).
    pub(super) message: Duration,
    /// Without any byte taken by the network while some wait (PROTOCOL §6).
    pub(super) progress: Duration,
    /// To flush after [`Output::HangUp`](crate::proto::swarm::Output::HangUp).
    pub(super) linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            message: Duration::from_secs(30),
            progress: Duration::from_secs(15),
            linger: Duration::from_secs(1),
        }
    }
}

/// The driver's end of a connection. Dropping it hangs up: what was sent is flushed, nothing is
/// told about the connection any more.
#[derive(Debug)]
pub(super) struct Handle {
    frames: Sender<Frame>,
    queued: Arc<AtomicUsize>,
    _hold: Sender<()>,
}

impl Handle {
    /// Queues a frame; `false` when too much is queued.
    pub(super) fn send(&self, frame: Frame) -> bool {
        let bytes = frame.head.len() + frame.body.len();
        if self.queued.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_QUEUED {
            return false;
        }
        // A connection that has just ended takes nothing; its end is on its way to the driver.
        let _ = self.frames.try_send(frame);
        true
    }
}

/// A connection before it runs.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) conn: ConnId,
    pub(super) stream: TcpStream,
    /// What was already read.
    pub(super) first: Vec<u8>,
    pub(super) decoder: Decoder,
    pub(super) inbox: Sender<Inbound>,
    pub(super) pace: Pace,
    pub(super) patience: Patience,
}

impl Connection {
    /// The task, and what the driver keeps of it.
    pub(super) fn into_task(self) -> (Handle, impl Future<Output = ()> + Send + 'static) {
        tune(&self.stream);
        let (frames, to_write) = async_channel::unbounded();
        let (hold, held) = async_channel::bounded(1);
        let queued = Arc::new(AtomicUsize::new(0));
        let handle = Handle {
            frames,
            queued: Arc::clone(&queued),
            _hold: hold,
        };
        let writer = Writer::new(to_write, queued);
        (handle, self.run(writer, held))
    }

    async fn run(self, mut writer: Writer, held: Receiver<()>) {
        let Self {
            conn,
            stream,
            first,
            mut decoder,
            inbox,
            pace,
            patience,
        } = self;
        let reader = Reader::new(conn, inbox.clone(), pace, patience.message);
        let reason = future::or(
            async {
                // Nothing is ever sent: it ends when the driver lets go.
                let _ = held.recv().await;
                None
            },
            future::or(
                async { Some(reader.run(&stream, first, &mut decoder).await) },
                async { Some(writer.run(conn, &stream, &inbox, patience.progress).await) },
            ),
        )
        .await;
        match reason {
            Some(reason) => {
                // A driver that is gone needs no telling.
                let _ = inbox.send(Inbound::Closed { conn, reason }).await;
            }
            None => {
                timeout(patience.linger, linger(&stream, writer)).await;
            }
        }
    }
}

/// Small messages leave at once, what waits does so here, not in the kernel, and a packet that is lost
/// now and then slows nothing down. None of it is worth failing for.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(KERNEL_UNSENT);
    #[cfg(target_os = "linux")]
    choose_congestion_control(&socket);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
}

/// Asks for [`CONGESTION_CONTROL`] until it is refused: where it is not there, the kernel starts a
/// process to look for it whenever root asks.
#[cfg(target_os = "linux")]
fn choose_congestion_control(socket: &SockRef<'_>) {
    use std::sync::atomic::AtomicBool;

    static REFUSED: AtomicBool = AtomicBool::new(false);
    if !REFUSED.load(Ordering::Relaxed) && socket.set_tcp_congestion(CONGESTION_CONTROL).is_err() {
        REFUSED.store(true, Ordering::Relaxed);
    }
}

/// Ends a connection that the swarm gave up: flushes, says so, and reads what still comes, since
/// closing with unread bytes would make the system throw away what the peer has not read yet.
async fn linger(mut stream: &TcpStream, mut writer: Writer) {
    let flush = async {
        while writer.fill() {
            if writer.write(stream).await.is_err() {
                break;
            }
        }
        // The peer may have closed first.
        let _ = stream.shutdown(Shutdown::Write);
    };
    let drain = async {
        let mut buffer = [0; 4096];
        let mut left = MAX_DRAINED;
        while left > 0
            && let Ok(read @ 1..) = stream.read(&mut buffer).await
        {
            left = left.saturating_sub(read);
            future::yield_now().await;
        }
    };
    future::zip(flush, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{Read as _, Write as _};

    use super::testing::{Bench, LIMIT, block, bytes_of, handshake};

    #[cfg(target_os = "linux")]
    #[test]
    fn the_socket_is_as_docs_transport_says() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let connect = || std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (tuned, other) = (TcpStream::from(connect()), connect());
        let (socket, other) = (SockRef::from(&tuned), SockRef::from(&other));
        // What everybody may choose, and is not what we want.
        socket.set_tcp_congestion(b"reno").unwrap();
        other.set_tcp_congestion(b"reno").unwrap();
        tune(&tuned);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), KERNEL_UNSENT);
        let may_choose = other.set_tcp_congestion(CONGESTION_CONTROL).is_ok();
        let name = socket.tcp_congestion().unwrap();
        assert_eq!(name, other.tcp_congestion().unwrap(), "{may_choose}");
    }

    #[test]
    fn a_queue_that_grows_too_long_is_refused() {
        let bench = Bench::new(Patience::default());
        let handle = bench.handle.as_ref().unwrap();
        let frames = (0..1000).map(|_| handle.send(block(1).into_frame()));
        assert!(frames.filter(|taken| !taken).count() > 0);
        bench.end();
    }

    #[test]
    fn hanging_up_flushes_then_closes_without_a_word() {
        let mut bench = Bench::new(Patience::default());
        // Unread bytes at our end must not cost the peer ours.
        bench.far.write_all(&bytes_of(handshake())).unwrap();
        let expected: Vec<u8> = (0..20).flat_map(|n| bytes_of(block(n))).collect();
        for number in 0..20 {
            bench.send(block(number));
        }
        bench.handle = None;
        let mut bytes = Vec::new();
        bench.far.read_to_end(&mut bytes).unwrap();
        assert!(bytes == expected, "{} bytes", bytes.len());
        bench.far.shutdown(Shutdown::Both).unwrap();
        // The task drops its inbox when it ends.
        while let Some(input) = bench.input() {
            assert!(!matches!(input, Inbound::Closed { .. }), "{input:?}");
        }
        bench.end();
    }

    #[test]
    fn hanging_up_on_a_peer_that_sends_on_and_on_ends_all_the_same() {
        let mut bench = Bench::new(Patience {
            linger: LIMIT,
            ..Patience::default()
        });
        bench.handle = None;
        // As much as it drains and far more than any buffer takes.
        let flood = vec![0; 64 * 1024];
        let mut sent = 0;
        while bench.far.write_all(&flood).is_ok() {
            sent += flood.len();
            assert!(sent < 1 << 30, "it reads on for ever");
        }
        while bench.input().is_some() {}
        bench.end();
    }

    #[test]
    fn hanging_up_on_a_peer_that_takes_nothing_ends_all_the_same() {
        let mut bench = Bench::new(Patience {
            linger: Duration::from_millis(50),
            ..Patience::default()
        });
        for number in 0..400 {
            bench.send(block(number));
        }
        bench.handle = None;
        while bench.input().is_some() {}
        bench.end();
    }
}
