// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! One connection: bytes in, messages to the driver; frames from the driver, bytes out.

use std::{
    collections::VecDeque,
    future::Future,
    io::{self, IoSlice},
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};
use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _, future};

use super::{
    clock::Clock,
    inbox::Inbound,
    runtime::{Outflow, TcpStream, sleep, timeout},
};
use crate::proto::{
    limiter::Limiter,
    swarm::ConnId,
    wire::{Decoder, Frame, Message, WireError},
};

/// Bytes of one read, and so of one batch: two pieces of usual size.
const READ_BUFFER: usize = 32 * 1024;
/// Messages of one batch: the driver's task does nothing else while it takes them.
const BATCH_MESSAGES: usize = 256;
/// What the messages of a peer may cost in a second, in units of [`cost`]; what it sends beyond that
/// waits in the network. A stream of 100 Mbit/s in pieces of this size or more, with five messages
/// for each, is well within it.
const COST_PER_SECOND: f64 = 4096.0;
const COSTED_PIECE: f64 = 16.0 * 1024.0;
/// What a peer that was quiet may send at once,
const COST_SAVED: Duration = Duration::from_secs(1);
/// and one that has just come: who comes again and again gains nothing by it.
const COST_AT_FIRST: Duration = Duration::from_millis(60);
/// Frames of one write. Each is two slices at most; systems take 1024.
const WRITE_FRAMES: usize = 64;
/// Bytes of one write, which the kernel takes whole when it takes any.
const WRITE_BYTES: usize = 16 * 1024;
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

/// How fast a peer's messages are read: whoever sends more than any stream needs may keep neither
/// the processor busy nor others from their turn.
#[derive(Debug)]
pub(super) struct Pace {
    limiter: Limiter,
    clock: Clock,
}

impl Pace {
    /// For a stream of pieces of so many bytes at most. Of small ones there are more.
    pub(super) fn new(piece_length: u32, clock: Clock) -> Self {
        let rate = COST_PER_SECOND * (COSTED_PIECE / f64::from(piece_length)).max(1.0);
        let now = clock.now().at;
        let mut limiter = Limiter::new(rate, COST_AT_FIRST);
        limiter.set(now, rate, COST_AT_FIRST);
        limiter.set(now, rate, COST_SAVED);
        Self { limiter, clock }
    }

    /// Counts what was read.
    fn took(&mut self, messages: &[Message]) {
        let cost = messages.iter().map(cost).sum();
        self.limiter.sent(self.clock.now().at, cost);
    }

    /// Waits until more may be read.
    async fn wait(&self) {
        let now = self.clock.now().at;
        let left = self.limiter.opens(now).since(now);
        if !left.is_zero() {
            sleep(left).await;
        }
    }
}

/// What it costs to take a message in, where a HAVE is one: bencode is read, and what a peer says of
/// itself changes whom we ask.
fn cost(message: &Message) -> usize {
    const EXTENDED: usize = 8;
    const BYTES: usize = 64;
    match message {
        Message::Extended { payload, .. } => EXTENDED + payload.len() / BYTES,
        _ => 1,
    }
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
        let writer = Writer {
            frames: to_write,
            queued,
            begun: VecDeque::new(),
            offset: 0,
            outflow: Outflow::default(),
        };
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
        let reader = Reader {
            conn,
            inbox: inbox.clone(),
            pace,
            patience: patience.message,
            partial_since: None,
        };
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

/// Small messages leave at once, and what waits does so here, not in the kernel. Neither is worth
/// failing for.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let socket = socket2::SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket.set_tcp_notsent_lowat(KERNEL_UNSENT);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
}

/// What turns bytes into messages and gives them to the driver.
struct Reader {
    conn: ConnId,
    inbox: Sender<Inbound>,
    pace: Pace,
    /// From a message's first byte to its last.
    patience: Duration,
    partial_since: Option<Instant>,
}

impl Reader {
    /// Reads until the connection ends; why it did. Each batch waits for the driver.
    async fn run(
        mut self,
        mut stream: &TcpStream,
        first: Vec<u8>,
        decoder: &mut Decoder,
    ) -> String {
        let mut buffer = vec![0; READ_BUFFER];
        let mut filled = first.len().min(READ_BUFFER);
        buffer[..filled].copy_from_slice(&first[..filled]);
        drop(first);
        loop {
            if !self.take(decoder, &buffer[..filled]).await {
                // The driver hangs up now.
                return future::pending().await;
            }
            let reading = stream.read(&mut buffer);
            let outcome = match self.partial_since {
                None => Some(reading.await),
                Some(since) => {
                    timeout(self.patience.saturating_sub(since.elapsed()), reading).await
                }
            };
            filled = match outcome {
                Some(Ok(0)) => return "the peer closed the connection".into(),
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return error.to_string(),
                None => return "a message took too long".into(),
            };
        }
    }

    /// Gives the messages that `bytes` end to the driver, in batches and no faster than is good for
    /// it; `false` when nothing more is to be read.
    async fn take(&mut self, decoder: &mut Decoder, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (messages, error) = decode(decoder, &mut bytes);
            if !decoder.is_partial() {
                self.partial_since = None;
            } else if self.partial_since.is_none() || !messages.is_empty() {
                self.partial_since = Some(Instant::now());
            }
            self.pace.took(&messages);
            if !messages.is_empty() || error.is_some() {
                let ends = error.is_some();
                if !hand_over(self.conn, messages, error, &self.inbox).await || ends {
                    return false;
                }
            }
            self.pace.wait().await;
        }
        true
    }
}

/// The next messages that `bytes` end, and what is wrong with what comes after them.
fn decode(decoder: &mut Decoder, bytes: &mut &[u8]) -> (Vec<Message>, Option<WireError>) {
    let mut messages = Vec::new();
    while messages.len() < BATCH_MESSAGES {
        match decoder.decode(bytes) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => break,
            Err(error) => return (messages, Some(error)),
        }
    }
    (messages, None)
}

/// Gives a batch to the driver and waits until it was handled; `false` when the driver is gone.
async fn hand_over(
    conn: ConnId,
    messages: Vec<Message>,
    error: Option<WireError>,
    inbox: &Sender<Inbound>,
) -> bool {
    let (handled, is_handled) = async_channel::bounded(1);
    let batch = Inbound::Batch {
        conn,
        messages,
        error,
        handled,
    };
    if inbox.send(batch).await.is_err() {
        return false;
    }
    // The end of the channel is the sign.
    let _ = is_handled.recv().await;
    true
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

/// What waits to be written. Its state outlives a write that is given up half way.
#[derive(Debug)]
struct Writer {
    frames: Receiver<Frame>,
    queued: Arc<AtomicUsize>,
    begun: VecDeque<Frame>,
    /// Bytes of the first begun frame that are out.
    offset: usize,
    outflow: Outflow,
}

impl Writer {
    /// Writes until that fails; why it did.
    async fn run(
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
    fn fill(&mut self) -> bool {
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
    async fn write(&mut self, mut stream: &TcpStream) -> io::Result<usize> {
        let written = stream.write_vectored(&self.slices()).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        self.outflow.room(stream).await;
        Ok(written)
    }

    /// The next [`WRITE_BYTES`] of what is begun.
    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.begun.len());
        let (mut skip, mut left) = (self.offset, WRITE_BYTES);
        for frame in &self.begun {
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

#[cfg(test)]
mod tests {
    use super::*;

    use std::{
        io::{Read as _, Write as _},
        net::{self, TcpListener},
        sync::mpsc,
    };

    use bytes::Bytes;

    use super::super::runtime::Runtime;
    use crate::proto::{lap::Lap, metainfo::Infohash, wire::Handshake};

    const LIMIT: Duration = Duration::from_secs(20);
    const CONN: ConnId = ConnId(7);

    /// A connection under test, the far end of it, and what holds it.
    struct Bench {
        far: net::TcpStream,
        handle: Option<Handle>,
        inputs: Receiver<Inbound>,
        stop: Sender<()>,
        runtime: Runtime,
    }

    impl Bench {
        fn new(patience: Patience) -> Self {
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let near = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (far, _) = listener.accept().unwrap();
            far.set_read_timeout(Some(LIMIT)).unwrap();
            far.set_nodelay(true).unwrap();
            let (inbox, inputs) = async_channel::bounded(16);
            let (give, got) = mpsc::channel();
            let (stop, stopped) = async_channel::bounded::<()>(1);
            let runtime = Runtime::start("test", move |spawner| async move {
                let connection = Connection {
                    conn: CONN,
                    stream: near.into(),
                    first: Vec::new(),
                    decoder: Decoder::new(Lap::new(256).unwrap()),
                    inbox,
                    pace: Pace::new(16 * 1024, Clock::new()),
                    patience,
                };
                let (handle, task) = connection.into_task();
                spawner.spawn(task);
                give.send(handle).unwrap();
                let _ = stopped.recv().await;
            })
            .unwrap();
            let handle = Some(got.recv_timeout(LIMIT).unwrap());
            Self {
                far,
                handle,
                inputs,
                stop,
                runtime,
            }
        }

        fn send(&self, message: Message) -> usize {
            let length = message.wire_len();
            assert!(self.handle.as_ref().unwrap().send(message.into_frame()));
            length
        }

        fn input(&self) -> Option<Inbound> {
            let input = async { self.inputs.recv().await.ok() };
            future::block_on(timeout(LIMIT, input)).expect("an input in time")
        }

        fn closed(&self) -> String {
            loop {
                match self.input() {
                    Some(Inbound::Closed { conn, reason }) => {
                        assert_eq!(conn, CONN);
                        return reason;
                    }
                    Some(_) => {}
                    None => panic!("the connection ended without a word"),
                }
            }
        }

        fn end(self) {
            drop(self.stop);
            assert!(self.runtime.join(LIMIT));
        }
    }

    fn handshake() -> Message {
        Message::Handshake(Handshake {
            reserved: [0; 8],
            infohash: Infohash([1; 20]),
            peer_id: [2; 20],
        })
    }

    fn bytes_of(message: Message) -> Vec<u8> {
        let frame = message.into_frame();
        [&frame.head[..], &frame.body[..]].concat()
    }

    fn block(number: u32) -> Message {
        let byte = u8::try_from(number % 251).unwrap();
        Message::Piece {
            index: number % 256,
            begin: 0,
            block: Bytes::from(vec![byte; 10_000]),
        }
    }

    #[test]
    fn messages_come_in_order_in_any_split_and_the_end_is_told() {
        let mut bench = Bench::new(Patience::default());
        let sent = [handshake(), Message::Unchoke, block(3), Message::Have(9)];
        let bytes: Vec<u8> = sent.iter().cloned().flat_map(bytes_of).collect();
        for part in bytes.chunks(777) {
            bench.far.write_all(part).unwrap();
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            match bench.input() {
                Some(Inbound::Batch {
                    messages, error, ..
                }) => {
                    assert_eq!(error, None);
                    received.extend(messages);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, sent);
        bench.far.shutdown(Shutdown::Both).unwrap();
        assert!(bench.closed().contains("closed"));
        bench.end();
    }

    #[test]
    fn a_reader_has_one_batch_in_flight_and_goes_on_when_that_is_handled() {
        let mut bench = Bench::new(Patience::default());
        bench.far.write_all(&bytes_of(handshake())).unwrap();
        let Some(Inbound::Batch { handled, .. }) = bench.input() else {
            panic!("no batch");
        };
        bench.far.write_all(&bytes_of(Message::Choke)).unwrap();
        let more = async { bench.inputs.recv().await.ok() };
        let early = future::block_on(timeout(Duration::from_millis(50), more));
        assert!(early.is_none(), "{early:?}");
        drop(handled);
        assert!(
            matches!(bench.input(), Some(Inbound::Batch { messages, .. })
            if messages == [Message::Choke])
        );
        bench.end();
    }

    #[test]
    fn bytes_that_are_no_message_are_told_with_what_came_before_them() {
        let mut bench = Bench::new(Patience::default());
        let mut bytes = bytes_of(handshake());
        bytes.extend_from_slice(&[0xff; 5]);
        bench.far.write_all(&bytes).unwrap();
        let mut messages = Vec::new();
        let error = loop {
            match bench.input() {
                Some(Inbound::Batch {
                    messages: more,
                    error,
                    ..
                }) => {
                    messages.extend(more);
                    if error.is_some() {
                        break error;
                    }
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(messages, [handshake()]);
        assert!(error.is_some());
        bench.end();
    }

    #[test]
    fn a_peer_that_trickles_a_message_is_cut() {
        let bench = Bench::new(Patience {
            message: Duration::from_millis(100),
            ..Patience::default()
        });
        let mut far = bench.far.try_clone().unwrap();
        // One byte of a handshake every now and then: each alone would be in time.
        let trickle = std::thread::spawn(move || {
            for byte in bytes_of(handshake()) {
                if far.write_all(&[byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        assert!(bench.closed().contains("too long"));
        trickle.join().unwrap();
        bench.end();
    }

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
    fn no_more_than_sixty_four_frames_are_taken_from_the_queue_at_a_time() {
        let (frames, to_write) = async_channel::unbounded();
        for number in 0..1000 {
            frames.try_send(block(number).into_frame()).unwrap();
        }
        let mut writer = Writer {
            frames: to_write,
            queued: Arc::default(),
            begun: VecDeque::new(),
            offset: 0,
            outflow: Outflow::default(),
        };
        assert!(writer.fill() && writer.fill());
        assert_eq!(writer.begun.len(), WRITE_FRAMES);
    }

    #[test]
    fn a_batch_is_bounded_and_a_flood_is_read_no_faster_than_any_stream_needs() {
        const HAVE: &[u8] = &[0, 0, 0, 5, 4, 0, 0, 0, 1];
        let mut bytes = Vec::new();
        bytes.extend(bytes_of(handshake()));
        bytes.extend(HAVE.repeat(2000));
        let mut bench = Bench::new(Patience::default());
        bench.far.write_all(&bytes).unwrap();
        let began = Instant::now();
        let mut messages = 0;
        while messages < 2001 {
            let Some(Inbound::Batch { messages: more, .. }) = bench.input() else {
                panic!("no batch after {messages} messages");
            };
            assert!(more.len() <= BATCH_MESSAGES);
            messages += more.len();
        }
        // What came first was saved up, and the last batch goes into debt.
        let saved = COST_PER_SECOND * COST_AT_FIRST.as_secs_f64();
        let least = (2001.0 - saved - BATCH_MESSAGES as f64) / COST_PER_SECOND;
        assert!(began.elapsed().as_secs_f64() >= least);
        bench.end();
    }

    #[test]
    fn small_pieces_are_read_faster_and_bencode_slower() {
        let rate = |piece_length| {
            let mut pace = Pace::new(piece_length, Clock::new());
            pace.limiter.sent(pace.clock.now().at, 1 << 20);
            let now = pace.clock.now().at;
            pace.limiter.opens(now).since(now)
        };
        assert!(rate(1024) < rate(16 * 1024) / 2);
        assert_eq!(cost(&Message::Have(1)), 1);
        let payload = Bytes::from_static(&[0; 640]);
        assert_eq!(cost(&Message::Extended { id: 1, payload }), 18);
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
