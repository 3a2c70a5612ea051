// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Who comes in: accepts, tells peers from HTTP by the first byte (PROTOCOL §4), and keeps those
//! that have not yet finished a handshake from crowding out the others.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use async_channel::Sender;
use futures_lite::{AsyncReadExt as _, future};

use super::{
    admission::{Admission, CallLimits, Callers, Limits},
    http,
    inbox::Inbound,
    listener::Listener,
    runtime::{Spawner, TcpListener, TcpStream, sleep, timeout},
};

/// Connections that have shown nothing of a handshake, or not all of it.
const UNDETERMINED: Limits = Limits {
    total: 128,
    per_address: 16,
    loopback: 64,
};
/// Calls of one address, peers and HTTP together: hundreds of viewers behind one address who ask the
/// tracker every ten seconds are within it.
const CALLS: CallLimits = CallLimits {
    per_address: 200,
    loopback: 800,
    addresses: 4096,
    span: Duration::from_secs(10),
};
/// For a peer's whole handshake, or a browser's first byte.
const GREETING_TIME: Duration = Duration::from_secs(10);
/// The length of a BEP 3 handshake.
const HANDSHAKE_LEN: usize = 68;
/// Its first byte.
const HANDSHAKE_FIRST: u8 = 0x13;
/// Between two tries when the system is out of files or memory.
const ACCEPT_BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What every accepted connection needs.
#[derive(Debug, Clone)]
pub(super) struct Door {
    spawner: Spawner,
    inbox: Option<Sender<Inbound>>,
    http: Option<Arc<http::Server>>,
    undetermined: Admission,
    callers: Callers,
}

impl Door {
    /// Leads peers to `inbox` and the rest to `http`; where one is missing, out.
    pub(super) fn new(
        spawner: Spawner,
        inbox: Option<Sender<Inbound>>,
        http: Option<Arc<http::Server>>,
    ) -> Self {
        Self {
            spawner,
            inbox,
            http,
            undetermined: Admission::new(UNDETERMINED),
            callers: Callers::new(CALLS),
        }
    }

    /// Accepts on every socket.
    pub(super) fn open(&self, listener: Listener) {
        for socket in listener.sockets {
            let door = self.clone();
            let socket = TcpListener::from(socket);
            self.spawner
                .spawn(async move { door.accept(&socket).await });
        }
    }

    async fn accept(&self, socket: &TcpListener) {
        let (shortest, longest) = ACCEPT_BACK_OFF;
        let mut back_off = shortest;
        loop {
            match socket.accept().await {
                Ok((stream, address)) => {
                    back_off = shortest;
                    // Closed at once, which costs next to nothing.
                    if self.callers.may_call(address.ip()) {
                        self.admit(stream, address);
                    }
                }
                // It went away again before we came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    sleep(back_off).await;
                    back_off = (2 * back_off).min(longest);
                }
            }
            // A queue of them must not keep the connections from their turn.
            future::yield_now().await;
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr) {
        let since = Instant::now();
        let ticket = self.undetermined.admit(address.ip());
        let door = self.clone();
        self.spawner.spawn(async move {
            let greeting = timeout(GREETING_TIME, greet(&stream));
            let revoked = async {
                ticket.revoked().await;
                None
            };
            let greeting = future::or(greeting, revoked).await;
            drop(ticket);
            match greeting {
                Some(Ok(Greeting::Peer(first))) => {
                    let accepted = Inbound::Accepted {
                        stream,
                        address,
                        first,
                        since,
                    };
                    if let Some(inbox) = &door.inbox {
                        // A driver that is gone closes the stream with the message.
                        let _ = inbox.send(accepted).await;
                    }
                }
                Some(Ok(Greeting::Other(first))) => {
                    if let Some(http) = &door.http {
                        http.serve(stream, address, first).await;
                    }
                }
                // Too slow, gone, or its place went to another.
                Some(Err(_)) | None => {}
            }
        });
    }
}

enum Greeting {
    /// A whole handshake.
    Peer(Vec<u8>),
    /// It is no peer.
    Other(Vec<u8>),
}

/// Reads until it is clear what a connection is.
async fn greet(mut stream: &TcpStream) -> io::Result<Greeting> {
    let mut buffer = [0; HANDSHAKE_LEN];
    let mut filled = 0;
    while filled < HANDSHAKE_LEN {
        let bytes = stream.read(&mut buffer[filled..]).await?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += bytes;
        if buffer[0] != HANDSHAKE_FIRST {
            return Ok(Greeting::Other(buffer[..filled].to_vec()));
        }
    }
    Ok(Greeting::Peer(buffer.to_vec()))
}
