// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! A connection for tests: one end runs as it does under the driver, the other is a plain socket.

use std::{
    net::{self, TcpListener},
    sync::mpsc,
    time::Duration,
};

use async_channel::{Receiver, Sender};
use bytes::Bytes;
use futures_lite::future;

use super::{
    super::{
        clock::Clock,
        inbox::Inbound,
        runtime::{Runtime, timeout},
    },
    Connection, Handle, Pace, Patience,
};
use crate::proto::{
    lap::Lap,
    metainfo::Infohash,
    swarm::ConnId,
    wire::{Decoder, Handshake, Message},
};

/// How long anything may take.
pub(super) const LIMIT: Duration = Duration::from_secs(20);
/// The number of the connection.
pub(super) const CONN: ConnId = ConnId(7);

/// A connection under test, the far end of it, and what holds it.
pub(super) struct Bench {
    pub(super) far: net::TcpStream,
    pub(super) handle: Option<Handle>,
    pub(super) inputs: Receiver<Inbound>,
    pub(super) stop: Sender<()>,
    pub(super) runtime: Runtime,
}

impl Bench {
    /// A connection that has so much patience.
    pub(super) fn new(patience: Patience) -> Self {
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

    /// Queues a message; its bytes.
    pub(super) fn send(&self, message: Message) -> usize {
        let length = message.wire_len();
        assert!(self.handle.as_ref().unwrap().send(message.into_frame()));
        length
    }

    /// What the connection tells next; nothing when it has ended.
    pub(super) fn input(&self) -> Option<Inbound> {
        let input = async { self.inputs.recv().await.ok() };
        future::block_on(timeout(LIMIT, input)).expect("an input in time")
    }

    /// Waits for the end of the connection; why it ended.
    pub(super) fn closed(&self) -> String {
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

    /// Stops all of it.
    pub(super) fn end(self) {
        drop(self.stop);
        assert!(self.runtime.join(LIMIT));
    }
}

/// What comes first on a connection.
pub(super) fn handshake() -> Message {
    Message::Handshake(Handshake {
        reserved: [0; 8],
        infohash: Infohash([1; 20]),
        peer_id: [2; 20],
    })
}

/// A message as it goes over the wire.
pub(super) fn bytes_of(message: Message) -> Vec<u8> {
    let frame = message.into_frame();
    [&frame.head[..], &frame.body[..]].concat()
}

/// A part of a piece that differs from the next one.
pub(super) fn block(number: u32) -> Message {
    let byte = u8::try_from(number % 251).unwrap();
    Message::Piece {
        index: number % 256,
        begin: 0,
        block: Bytes::from(vec![byte; 10_000]),
    }
}
