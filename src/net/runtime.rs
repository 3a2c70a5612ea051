// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Sockets, timers and an executor that can be stopped. The only file that names async-std, and
//! async-io below it.
//!
//! async-std's own executor never stops once it was started, so it never is: nothing here calls
//! its `task::spawn`, `task::block_on`, `spawn_blocking`, `fs`, or resolves a name through it.
//! Its sockets and timers run on any executor; ours lives as long as one driver.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::{Arc, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use async_executor::Executor;
use async_io::{Async, Timer};
use futures_lite::future;
use rustix::{
    event::{PollFd, PollFlags, Timespec},
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags},
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::proto::address::Family;

pub(super) use async_std::net::{TcpListener, TcpStream, UdpSocket};

/// How long a write waits before it tries again, where the system has no file left to wait with.
const BLIND: Duration = Duration::from_millis(20);

/// Runs one main future and what it spawns, on one thread. When the main future is done, every
/// task still there is dropped, and with it its socket.
#[derive(Debug)]
pub(super) struct Runtime {
    done: mpsc::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

/// Spawns tasks. Keeps nothing alive: a task that holds the executor itself would keep that,
/// all other tasks and their sockets for ever.
#[derive(Debug, Clone)]
pub(super) struct Spawner(Weak<Executor<'static>>);

impl Runtime {
    /// Starts a thread called `name` that runs `main`.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub(super) fn start<F>(
        name: &str,
        main: impl FnOnce(Spawner) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()>,
    {
        let (end, done) = mpsc::channel();
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let _end: mpsc::Sender<()> = end;
            let executor = Arc::new(Executor::new());
            let main = main(Spawner(Arc::downgrade(&executor)));
            future::block_on(executor.run(main));
        })?;
        Ok(Self { done, thread })
    }

    /// Waits until the main future is done and all tasks are dropped, at most `limit`; whether
    /// it came to that.
    pub(super) fn join(self, limit: Duration) -> bool {
        // Nothing is ever sent: the thread drops its end last.
        let ended = self.done.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected);
        if ended {
            // A panic of the thread was reported by the panic hook.
            let _ = self.thread.join();
        }
        ended
    }
}

impl Spawner {
    /// Runs `task` beside the others. After the runtime has ended it is dropped instead.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(task).detach();
        }
    }
}

/// Tells when the kernel wants more of a connection's bytes (TCP_NOTSENT_LOWAT). A write alone does
/// not tell: it fills the segment that was begun, up to 64 KiB, whatever that mark says.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    /// A second handle of the socket, for the first time that there was no room: async-std
    /// does not let its own be waited for.
    handle: Option<Async<std::net::TcpStream>>,
}

impl Outflow {
    /// Hands bytes to the kernel when it takes some; how many it took. Not by the standard library's
    /// vectored write: where the peer is gone that raises SIGPIPE, which ends every program that does not
    /// ignore it, such as `gst-launch-1.0`.
    pub(super) async fn write(
        &mut self,
        stream: &TcpStream,
        bytes: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        loop {
            let mut nothing = SendAncillaryBuffer::default();
            match rustix::net::sendmsg(stream, bytes, &mut nothing, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) if self.room(stream).await => (),
                Err(Errno::AGAIN) => sleep(BLIND).await,
                written => return Ok(written?),
            }
        }
    }

    /// Waits until `stream`, which is always the same, can be written to, or has failed; `false`
    /// where the system cannot tell.
    pub(super) async fn room(&mut self, stream: &TcpStream) -> bool {
        let mut wanted = [PollFd::new(stream, PollFlags::OUT)];
        match rustix::event::poll(&mut wanted, Some(&Timespec::default())) {
            Ok(0) => (),
            polled => return polled.is_ok(),
        }
        if self.handle.is_none() {
            let second = SockRef::from(stream).try_clone();
            self.handle = second.and_then(|s| Async::new_nonblocking(s.into())).ok();
        }
        let Some(handle) = &self.handle else {
            return false;
        };
        // An error is the socket's own: the write tells it.
        let _ = handle.writable().await;
        true
    }
}

/// Waits.
pub(super) async fn sleep(time: Duration) {
    async_std::task::sleep(time).await;
}

/// Waits until `moment`; for ever without one.
pub(super) async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep(moment.saturating_duration_since(Instant::now())).await,
        None => future::pending().await,
    }
}

/// Wakes at a moment that may be changed. Set again to the same one it costs nothing, where a new sleep
/// would wake the reactor to be told of it.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    moment: Option<Instant>,
    timer: Option<Timer>,
}

impl Alarm {
    /// Is to wake at `moment`, or never.
    pub(super) fn set(&mut self, moment: Option<Instant>) {
        if self.moment == moment {
            return;
        }
        self.moment = moment;
        match (&mut self.timer, moment) {
            (Some(timer), Some(moment)) => timer.set_at(moment),
            (timer, moment) => *timer = moment.map(Timer::at),
        }
    }

    /// Waits for it; it is set no more then.
    pub(super) async fn wait(&mut self) {
        match &mut self.timer {
            Some(timer) => timer.await,
            None => future::pending().await,
        };
        *self = Self::default();
    }
}

/// What `task` brings within `limit`; drops it afterwards.
pub(super) async fn timeout<T>(limit: Duration, task: impl Future<Output = T>) -> Option<T> {
    async_std::future::timeout(limit, task).await.ok()
}

/// Opens a TCP connection within `limit`, from one of our addresses or any.
///
/// # Errors
/// The socket's, or `TimedOut`.
pub(super) async fn connect(
    from: Option<IpAddr>,
    address: SocketAddr,
    limit: Duration,
) -> io::Result<TcpStream> {
    let connect = async {
        match from {
            Some(from) => connect_from(from, address).await,
            None => TcpStream::connect(address).await,
        }
    };
    timeout(limit, connect)
        .await
        .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

async fn connect_from(from: IpAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.set_nonblocking(true)?;
    let under_way = Errno::INPROGRESS.raw_os_error();
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() == Some(under_way) => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        outcome => outcome?,
    }
    let stream = Async::new_nonblocking(std::net::TcpStream::from(socket))?;
    stream.writable().await?;
    match stream.get_ref().take_error()? {
        Some(error) => Err(error),
        None => Ok(stream.into_inner()?.into()),
    }
}

/// A UDP socket of this family alone, not bound yet.
///
/// # Errors
/// The system's, such as that it lacks the family.
pub(super) fn udp(family: Family) -> io::Result<Socket> {
    let domain = match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if family == Family::V6 {
        // The IPv4 socket beside it has the same port.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Runs something that blocks on a thread that may. Dropping the future abandons it.
pub(super) async fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    blocking::unblock(work).await
}

/// Runs something that blocks on a thread that may; nobody waits for it.
pub(super) fn unblock_detached(work: impl FnOnce() + Send + 'static) {
    blocking::unblock(work).detach();
}

/// Looks up a name, or reads an address, within `limit`.
///
/// # Errors
/// The resolver's, or `TimedOut`.
pub(super) async fn resolve(
    host: String,
    port: u16,
    limit: Duration,
) -> io::Result<Vec<SocketAddr>> {
    let lookup = unblock(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()));
    timeout(limit, lookup)
        .await
        .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_lite::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Long enough for a loaded machine, short enough to notice a hang.
    const LIMIT: Duration = Duration::from_secs(20);

    #[cfg(target_os = "linux")]
    fn open_files() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[cfg(target_os = "linux")]
    fn thread_names() -> Vec<String> {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .collect()
    }

    /// A runtime whose tasks hold a listener and a connection in mid-read when it ends.
    fn one_cycle() {
        let (ready, is_ready) = mpsc::channel();
        let (stop, stopped) = async_channel::bounded::<()>(1);
        let runtime = Runtime::start("test", move |spawner| async move {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
                .await
                .unwrap();
            let address = listener.local_addr().unwrap();
            let inner = spawner.clone();
            spawner.spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                inner.spawn(async move {
                    stream.write_all(b"x").await.unwrap();
                    let _ = stream.read(&mut [0]).await;
                });
                future::pending::<()>().await;
            });
            spawner.spawn(async move {
                let mut stream = connect(None, address, LIMIT).await.unwrap();
                stream.read_exact(&mut [0]).await.unwrap();
                ready.send(()).unwrap();
                let _ = stream.read(&mut [0]).await;
            });
            let _ = stopped.recv().await;
        })
        .unwrap();
        is_ready.recv_timeout(LIMIT).unwrap();
        drop(stop);
        assert!(runtime.join(LIMIT));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_hundred_cycles_leave_no_file_open_and_no_global_runtime() {
        one_cycle();
        let before = open_files();
        for _ in 0..100 {
            one_cycle();
        }
        // Other tests of the same process have sockets of their own.
        let after = open_files();
        assert!(after < before + 50, "{before} files before, {after} after");
        let names = thread_names();
        assert!(
            !names.iter().any(|name| name.starts_with("async-std")),
            "{names:?}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn there_is_room_again_once_the_peer_has_read() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut near = TcpStream::from(near);
        SockRef::from(&near)
            .set_tcp_notsent_lowat(16 * 1024)
            .unwrap();
        let mut outflow = Outflow::default();
        let (reader, written) = future::block_on(async {
            let mut written = 0;
            while future::poll_once(outflow.room(&near)).await.is_some() {
                written += near.write(&[0; 16 * 1024]).await.unwrap();
            }
            assert!(outflow.handle.is_some() && written > 0);
            let reader = thread::spawn(move || io::copy(&mut far, &mut io::sink()).unwrap());
            let room = timeout(LIMIT, outflow.room(&near)).await;
            assert_eq!(room, Some(true), "after {written} bytes");
            drop((near, outflow));
            (reader, written)
        });
        assert_eq!(reader.join().unwrap(), written as u64);
    }

    #[test]
    fn an_alarm_wakes_when_it_was_last_set_to_and_once() {
        let mut alarm = Alarm::default();
        let set = |alarm: &mut Alarm, millis| {
            alarm.set(Some(Instant::now() + Duration::from_millis(millis)));
        };
        future::block_on(async {
            set(&mut alarm, 3_600_000);
            assert_eq!(future::poll_once(alarm.wait()).await, None);
            set(&mut alarm, 20);
            assert_eq!(timeout(LIMIT, alarm.wait()).await, Some(()));
            assert_eq!(future::poll_once(alarm.wait()).await, None, "it is over");
            set(&mut alarm, 0);
            alarm.set(None);
            assert_eq!(future::poll_once(alarm.wait()).await, None, "it is off");
        });
    }

    #[test]
    fn a_spawner_of_an_ended_runtime_drops_the_task() {
        let (give, got) = mpsc::channel();
        let runtime = Runtime::start("test", move |spawner| async move {
            give.send(spawner).unwrap();
        })
        .unwrap();
        let spawner = got.recv_timeout(LIMIT).unwrap();
        assert!(runtime.join(LIMIT));
        let (flag, dropped) = mpsc::channel::<()>();
        spawner.spawn(async move {
            let _flag = flag;
        });
        assert!(dropped.recv_timeout(LIMIT).is_err());
    }

    #[test]
    fn a_resolver_reads_addresses_and_names() {
        let found = future::block_on(resolve("127.0.0.1".into(), 7, LIMIT)).unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 7))]);
        let found = future::block_on(resolve("localhost".into(), 7, LIMIT)).unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()) && !found.is_empty());
    }
}
