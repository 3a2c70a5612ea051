// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What is still to be said to others at the end. A process that ends takes with it what was not said yet;
//! and NULL is not kept waiting by those who take long to hear it.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use super::runtime::unblock_detached;

/// Work on threads of its own that is waited for a little.
#[derive(Debug)]
pub(super) struct LastWord {
    under_way: mpsc::Sender<()>,
    done: mpsc::Receiver<()>,
    deadline: Instant,
}

impl LastWord {
    /// Nothing yet; it is waited for until `patience` from now at most.
    pub(super) fn new(patience: Duration) -> Self {
        let (under_way, done) = mpsc::channel();
        Self {
            under_way,
            done,
            deadline: Instant::now() + patience,
        }
    }

    /// Begins this too. It goes on when nobody waits any longer.
    pub(super) fn add(&self, work: impl FnOnce() + Send + 'static) {
        let under_way = self.under_way.clone();
        unblock_detached(move || {
            let _under_way = under_way;
            work();
        });
    }

    /// Waits until all is said, if that is soon.
    pub(super) fn wait(self) {
        drop(self.under_way);
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Nothing is ever sent: the other ends are dropped.
        let _ = self.done.recv_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn it_waits_for_all_that_is_said() {
        let said = Arc::new(AtomicUsize::new(0));
        let word = LastWord::new(LIMIT);
        for _ in 0..3 {
            let said = Arc::clone(&said);
            word.add(move || {
                said.fetch_add(1, Ordering::Relaxed);
            });
        }
        let began = Instant::now();
        word.wait();
        assert_eq!(said.load(Ordering::Relaxed), 3);
        assert!(began.elapsed() < LIMIT);
        LastWord::new(LIMIT).wait();
        assert!(began.elapsed() < LIMIT);
    }

    #[test]
    fn it_does_not_wait_for_one_who_does_not_listen() {
        let (end, ended) = mpsc::channel::<()>();
        let word = LastWord::new(Duration::from_millis(50));
        word.add(move || {
            // Until the test is over.
            let _ = ended.recv();
        });
        let began = Instant::now();
        word.wait();
        assert!(began.elapsed() < LIMIT);
        drop(end);
    }
}
