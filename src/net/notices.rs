// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Tells the element what happened, on a thread of its own: a handler may take its time, and may
//! stop the driver, without the swarm noticing.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use async_channel::Sender;

use super::Notice;
use crate::proto::swarm::Event;

/// Notices that may wait for a slow handler.
const CAPACITY: usize = 1024;
/// Places that comings and goings of peers and trackers leave to what changes the element's state.
const RESERVED: usize = 256;

/// Gives notices; never blocks.
#[derive(Debug, Clone)]
pub(super) struct Notifier(Sender<Notice>);

/// The thread that hands them on.
#[derive(Debug)]
pub(super) struct NoticeThread {
    stopped: Arc<AtomicBool>,
    done: mpsc::Receiver<()>,
    thread: thread::JoinHandle<()>,
}

impl Notifier {
    /// Queues a notice. A handler that has long been busy misses some: news of single peers and
    /// trackers first.
    pub(super) fn give(&self, notice: Notice) {
        let lesser = matches!(
            notice,
            Notice::Tracker(_) | Notice::Swarm(Event::PeerAdded { .. } | Event::PeerRemoved { .. })
        );
        if !lesser {
            // Full even so: the oldest gives way. Closed: nobody listens any more.
            let _ = self.0.force_send(notice);
        } else if self.0.len() < CAPACITY - RESERVED {
            let _ = self.0.try_send(notice);
        }
    }

    /// [`Notice::Tracker`].
    pub(super) fn tracker(&self, text: String) {
        self.give(Notice::Tracker(text));
    }
}

impl NoticeThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system has no thread to give.
    pub(super) fn start(notify: impl Fn(Notice) + Send + 'static) -> io::Result<(Notifier, Self)> {
        let (give, notices) = async_channel::bounded(CAPACITY);
        let (end, done) = mpsc::channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopped);
        let thread = thread::Builder::new()
            .name("livetorrent-events".into())
            .spawn(move || {
                let _end: mpsc::Sender<()> = end;
                while let Ok(notice) = notices.recv_blocking() {
                    if is_stopped.load(Ordering::Acquire) {
                        break;
                    }
                    notify(notice);
                }
            })?;
        let handle = Self {
            stopped,
            done,
            thread,
        };
        Ok((Notifier(give), handle))
    }

    /// No notice begins after this.
    pub(super) fn silence(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Waits, once every [`Notifier`] is gone, for the handler to return: at most `limit`, and
    /// not at all when it is the handler that calls this.
    pub(super) fn join(self, limit: Duration) {
        if self.thread.thread().id() == thread::current().id() {
            return;
        }
        if self.done.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected) {
            // A panic of the handler was reported by the panic hook.
            let _ = self.thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::proto::swarm::Status;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_busy_handler_misses_news_of_trackers_but_none_of_the_state() {
        let (enter, entered) = mpsc::channel();
        let (leave, may_leave) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let (notifier, thread) = NoticeThread::start(move |notice| {
            enter.send(()).unwrap();
            let _ = may_leave.recv();
            tell.send(notice).unwrap();
        })
        .unwrap();
        notifier.tracker("the first".into());
        entered.recv_timeout(LIMIT).unwrap();
        for _ in 0..2 * CAPACITY {
            notifier.tracker("one of many".into());
        }
        let ended = Notice::Swarm(Event::Status(Status::Ended));
        notifier.give(ended.clone());
        drop(leave);
        drop(notifier);
        let last = told.iter().last().unwrap();
        assert_eq!(last, ended);
        thread.join(LIMIT);
    }

    #[test]
    fn after_silence_no_notice_begins() {
        let (tell, told) = mpsc::channel();
        let (notifier, thread) = NoticeThread::start(move |notice| {
            tell.send(notice).unwrap();
        })
        .unwrap();
        thread.silence();
        notifier.tracker("late".into());
        drop(notifier);
        assert!(told.recv_timeout(LIMIT).is_err());
        thread.join(LIMIT);
    }
}
