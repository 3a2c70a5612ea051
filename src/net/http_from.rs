// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! HTTP requests from one of our addresses, which ureq has no option for: it takes connections that
//! others open. What it calls "unversioned" may change with it; Cargo.lock holds the version.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use ureq::{
    Agent, Error, Timeout,
    config::Config,
    unversioned::{
        resolver::DefaultResolver,
        transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport},
    },
};

/// An agent whose connections come from `from`.
pub(super) fn agent(config: Config, from: IpAddr) -> Agent {
    let connector = ().chain(From(from));
    #[cfg(feature = "https")]
    let connector = connector.chain(ureq::unversioned::transport::RustlsConnector::default());
    Agent::with_parts(config, connector, DefaultResolver::default())
}

/// Opens connections from this address.
#[derive(Debug)]
struct From(IpAddr);

impl Connector for From {
    type Out = Connection;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _chained: Option<()>,
    ) -> Result<Option<Connection>, Error> {
        let time = *details.timeout.after;
        let mut outcome = Err(Error::HostNotFound);
        for &address in &details.addrs {
            match open(self.0, address, time) {
                Ok(stream) => {
                    let config = details.config;
                    let (input, output) = (config.input_buffer_size(), config.output_buffer_size());
                    return Ok(Some(Connection {
                        stream,
                        buffers: LazyBuffers::new(input, output),
                    }));
                }
                Err(error) => outcome = Err(failed(error, Timeout::Connect)),
            }
        }
        outcome
    }
}

fn open(from: IpAddr, address: SocketAddr, time: Duration) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&address.into(), time)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

/// A connection as ureq wants it.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for Connection {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(Some(left(&timeout)?))?;
        let output = &self.buffers.output()[..amount];
        let written = self.stream.write_all(output);
        written.map_err(|error| failed(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(Some(left(&timeout)?))?;
        let read = self.stream.read(self.buffers.input_append_buf());
        let amount = read.map_err(|error| failed(error, timeout.reason))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Each agent makes one request, so none is kept for another.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// The time that is left, which a socket takes for none at all where it is zero.
fn left(timeout: &NextTimeout) -> Result<Duration, Error> {
    let left = *timeout.after;
    match left.is_zero() {
        true => Err(Error::Timeout(timeout.reason)),
        false => Ok(left),
    }
}

fn failed(error: io::Error, reason: Timeout) -> Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout(reason),
        _ => Error::Io(error),
    }
}
