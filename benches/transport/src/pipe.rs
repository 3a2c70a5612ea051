// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0
//! The transports, each as a pipe that blocks.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use librqbit_utp::{SocketOpts, UtpSocketUdp, UtpSocketUdpOpts};
use libutp_rs2::{UtpOpts, UtpUdpContext};
use rustix::event::{PollFd, PollFlags, poll};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::UdpSocket,
    runtime::Runtime,
};

use crate::piece::{Moment, now};

/// How many connections wait to be accepted.
const BACKLOG: i32 = 1;

/// Bytes that libutp's socket holds: as many as the window that it grants.
const UDP_BUFFER: usize = 1024 * 1024;

/// A transport and its options.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    Tcp(TcpOptions),
    /// librqbit-utp, with so much room for what is written and not acknowledged.
    Utp(Option<NonZeroUsize>),
    /// BitTorrent's libutp.
    LibUtp,
}

/// What is asked of the kernel; nothing by itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct TcpOptions {
    nodelay: bool,
    unsent: Option<u32>,
    buffer: Option<usize>,
    congestion: Option<String>,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let mut transport = match words.next() {
            Some("tcp") => Self::Tcp(TcpOptions::default()),
            Some("utp") => Self::Utp(None),
            Some("libutp") => Self::LibUtp,
            _ => return Err(format!("no transport is called '{text}'")),
        };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let unknown = || format!("'{word}' is no option of this transport");
            match (&mut transport, name) {
                (Self::Tcp(options), "nodelay") => options.nodelay = true,
                (Self::Tcp(options), "cc") => options.congestion = Some(value.into()),
                (Self::Tcp(options), "unsent") => {
                    options.unsent = Some(value.parse().map_err(|_| unknown())?);
                }
                (Self::Tcp(options), "buffer") => {
                    options.buffer = Some(value.parse().map_err(|_| unknown())?);
                }
                (Self::Utp(buffer), "buffer") => {
                    *buffer = Some(value.parse().map_err(|_| unknown())?);
                }
                _ => return Err(unknown()),
            }
        }
        Ok(transport)
    }
}

/// Waits for the one connection.
pub(crate) enum Listener {
    Tcp(TcpListener, TcpOptions),
    Utp(Runtime, Arc<UtpSocketUdp>),
    LibUtp {
        runtime: Runtime,
        context: Arc<UtpUdpContext>,
        #[cfg(test)]
        address: SocketAddr,
    },
}

/// A connection.
pub(crate) enum Pipe {
    Tcp(TcpStream),
    /// One whose work tokio does beside us.
    Tokio(Runtime, Box<dyn Reader>, Box<dyn Writer>),
}

/// What tokio reads.
pub(crate) trait Reader: AsyncRead + Send + Unpin {}
impl<T: AsyncRead + Send + Unpin> Reader for T {}
/// What tokio writes to.
pub(crate) trait Writer: AsyncWrite + Send + Unpin {}
impl<T: AsyncWrite + Send + Unpin> Writer for T {}

fn pipe(
    runtime: Runtime,
    (reader, writer): (impl Reader + 'static, impl Writer + 'static),
) -> Pipe {
    Pipe::Tokio(runtime, Box::new(reader), Box::new(writer))
}

impl TcpOptions {
    fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(bytes) = self.unsent {
            socket.set_tcp_notsent_lowat(bytes)?;
        }
        if let Some(bytes) = self.buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(name) = &self.congestion {
            socket.set_tcp_congestion(name.as_bytes())?;
        }
        Ok(())
    }

    fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        self.apply(&SockRef::from(&socket))?;
        Ok(socket)
    }
}

/// A socket of uTP at an address.
async fn utp(address: SocketAddr, buffer: Option<NonZeroUsize>) -> io::Result<Arc<UtpSocketUdp>> {
    let options = SocketOpts {
        disable_nagle: true,
        vsock_tx_bufsize_bytes_initial: buffer,
        vsock_tx_bufsize_bytes_max: buffer,
        ..SocketOpts::default()
    };
    UtpSocketUdp::new_udp_with_opts(address, options, UtpSocketUdpOpts::default())
        .await
        .map_err(io::Error::other)
}

/// A socket that is known to have room: libutp-rs2 drops what it cannot send at once, and until tokio
/// has been told that there is room, which was so with most first packets, that is everything.
async fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address).await?;
    SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER)?;
    socket.writable().await?;
    Ok(socket)
}

/// libutp on this socket; within tokio.
fn libutp(socket: UdpSocket) -> io::Result<Arc<UtpUdpContext>> {
    UtpUdpContext::new(socket, UtpOpts::default()).map_err(io::Error::other)
}

/// Any port, of the family of `address`.
fn any_port(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0; 8], 0).into(),
    }
}

impl Transport {
    /// Waits for a connection at this address.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(options) => {
                let socket = options.socket(address)?;
                socket.set_reuse_address(true)?;
                socket.bind(&address.into())?;
                socket.listen(BACKLOG)?;
                Listener::Tcp(socket.into(), options.clone())
            }
            Self::Utp(buffer) => {
                let runtime = Runtime::new()?;
                let socket = runtime.block_on(utp(address, *buffer))?;
                Listener::Utp(runtime, socket)
            }
            Self::LibUtp => {
                let runtime = Runtime::new()?;
                let socket = runtime.block_on(udp(address))?;
                #[cfg(test)]
                let address = socket.local_addr()?;
                let context = runtime.block_on(async { libutp(socket) })?;
                Listener::LibUtp {
                    runtime,
                    context,
                    #[cfg(test)]
                    address,
                }
            }
        })
    }

    /// Connects to this address.
    pub(crate) fn connect(&self, address: SocketAddr) -> io::Result<Pipe> {
        Ok(match self {
            Self::Tcp(options) => {
                let socket = options.socket(address)?;
                socket.connect(&address.into())?;
                Pipe::Tcp(socket.into())
            }
            Self::Utp(buffer) => {
                let runtime = Runtime::new()?;
                let stream = runtime.block_on(async {
                    let socket = utp(any_port(address), *buffer).await?;
                    socket.connect(address).await.map_err(io::Error::other)
                })?;
                pipe(runtime, stream.split())
            }
            Self::LibUtp => {
                let runtime = Runtime::new()?;
                let stream = runtime.block_on(async {
                    let context = libutp(udp(any_port(address)).await?)?;
                    context.connect(address).await.map_err(io::Error::other)
                })?;
                pipe(runtime, tokio::io::split(stream))
            }
        })
    }
}

impl Listener {
    /// The first connection.
    pub(crate) fn accept(self) -> io::Result<Pipe> {
        Ok(match self {
            Self::Tcp(listener, options) => {
                let (stream, _) = listener.accept()?;
                options.apply(&SockRef::from(&stream))?;
                Pipe::Tcp(stream)
            }
            Self::Utp(runtime, socket) => {
                let stream = runtime.block_on(socket.accept());
                pipe(runtime, stream.map_err(io::Error::other)?.split())
            }
            Self::LibUtp {
                runtime, context, ..
            } => {
                let stream = runtime.block_on(context.accept());
                pipe(runtime, tokio::io::split(stream.map_err(io::Error::other)?))
            }
        })
    }

    /// Where it listens.
    #[cfg(test)]
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Tcp(listener, _) => listener.local_addr().unwrap(),
            Self::Utp(_, socket) => socket.bind_addr(),
            Self::LibUtp { address, .. } => *address,
        }
    }
}

impl Pipe {
    /// Writes all of this; when the first byte was taken. With TCP it waits then until the kernel asks
    /// for more, as `src/net/connection/writer.rs` does.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<Moment> {
        match self {
            Self::Tcp(stream) => {
                // There is room: the last write waited for it.
                let taken = now();
                // A write that blocks would wait within the piece.
                stream.set_nonblocking(true)?;
                while !bytes.is_empty() {
                    match stream.write(bytes) {
                        Ok(written) => bytes = &bytes[written..],
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                    poll(&mut [PollFd::new(stream, PollFlags::OUT)], None)?;
                }
                stream.set_nonblocking(false)?;
                Ok(taken)
            }
            Self::Tokio(runtime, _, writer) => runtime.block_on(async {
                let written = writer.write(bytes).await?;
                let taken = now();
                writer.write_all(&bytes[written..]).await?;
                Ok(taken)
            }),
        }
    }

    /// Reads what is there, or waits for something until then.
    pub(crate) fn read(&mut self, buffer: &mut [u8], until: Moment) -> io::Result<usize> {
        // No time at all would mean for ever.
        let limit = until.saturating_sub(now()).max(Duration::from_millis(1));
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.read(buffer)
            }
            Self::Tokio(runtime, reader, _) => runtime.block_on(async {
                let reading = tokio::time::timeout(limit, reader.read(buffer));
                reading
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }),
        }
    }
}
