// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The bounded queue between the driver and a viewer's streaming thread.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use async_channel::{Receiver, Sender};

use crate::proto::swarm::Delivery;

/// Deliveries that may wait for the streaming thread: 1 MiB of pieces of usual size, a few
/// hundred milliseconds of stream. What is not taken waits in the swarm's window.
pub(super) const CAPACITY: usize = 64;

/// So many places are free before the driver is told: once for a few pieces and not for each, and long before
/// it has none to give.
const WORTH_TELLING: usize = CAPACITY / 8;

/// What waiting brought.
#[derive(Debug)]
pub enum Taken {
    /// The next bytes.
    Delivery(Delivery),
    /// Everything of an ended broadcast was taken.
    Ended,
    /// [`Outlet::set_flushing`] ended the wait, or the driver stopped.
    Flushing,
    /// Nothing came in time.
    TimedOut,
}

/// Deliveries in order; one taker, one giver.
#[derive(Debug)]
pub struct Outlet {
    state: Mutex<State>,
    changed: Condvar,
    /// Tells the driver that there is room again; holds one token at most.
    taken: Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    /// Places that became free since the driver last asked.
    freed: usize,
    flushing: bool,
    closed: bool,
}

#[derive(Debug)]
enum Item {
    Delivery(Delivery),
    Ended,
}

impl State {
    fn take(&mut self) -> Option<Taken> {
        if self.flushing {
            return Some(Taken::Flushing);
        }
        // The end stays until something comes after it: who asks again hears it again.
        if matches!(self.queue.front(), Some(Item::Ended)) && self.queue.len() == 1 {
            return Some(Taken::Ended);
        }
        match self.queue.pop_front() {
            Some(Item::Delivery(delivery)) => {
                self.freed += 1;
                Some(Taken::Delivery(delivery))
            }
            Some(Item::Ended) => Some(Taken::Ended),
            None => self.closed.then_some(Taken::Flushing),
        }
    }
}

impl Outlet {
    /// An empty one with [`CAPACITY`] free places, and what tells that some were taken.
    pub(super) fn new() -> (Self, Receiver<()>) {
        let (taken, has_taken) = async_channel::bounded(1);
        let state = State {
            freed: CAPACITY,
            ..State::default()
        };
        let outlet = Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            taken,
        };
        (outlet, has_taken)
    }

    /// Waits for the next delivery, at most `timeout` (none: for ever). Wakes at once when
    /// flushing is set, also when that came first; nothing is lost by it.
    #[must_use]
    pub fn take(&self, timeout: Option<Duration>) -> Taken {
        // A timeout past the clock's end is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if let Some(taken) = state.take() {
                let freed = state.freed;
                drop(state);
                if matches!(taken, Taken::Delivery(_)) && freed >= WORTH_TELLING {
                    // Full means that the driver has not even seen the last token.
                    let _ = self.taken.try_send(());
                }
                return taken;
            }
            state = match deadline {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Taken::TimedOut;
                    }
                    self.changed
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// While set, [`Self::take`] returns [`Taken::Flushing`].
    pub fn set_flushing(&self, flushing: bool) {
        self.lock().flushing = flushing;
        self.changed.notify_all();
    }

    /// The places that became free since the last call.
    pub(super) fn room(&self) -> usize {
        std::mem::take(&mut self.lock().freed)
    }

    /// Puts a delivery behind the others.
    pub(super) fn push(&self, delivery: Delivery) {
        self.lock().queue.push_back(Item::Delivery(delivery));
        self.changed.notify_all();
    }

    /// Puts the end behind the deliveries.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        if !matches!(state.queue.back(), Some(Item::Ended)) {
            state.queue.push_back(Item::Ended);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Nothing will be put in any more: who waits for more is woken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{sync::Arc, thread};

    use bytes::Bytes;

    const LIMIT: Duration = Duration::from_secs(20);
    const NO_TIME: Option<Duration> = Some(Duration::ZERO);

    fn delivery(sequence: u64) -> Delivery {
        Delivery {
            preamble: Bytes::new(),
            payload: Bytes::from_static(b"payload"),
            discont: false,
            sequence,
            time: 0,
            rate: 1.0,
        }
    }

    fn sequence(taken: Taken) -> u64 {
        match taken {
            Taken::Delivery(delivery) => delivery.sequence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn deliveries_come_in_order_and_the_end_last_for_as_long_as_it_is_the_last() {
        let (outlet, _taken) = Outlet::new();
        outlet.push(delivery(1));
        outlet.push(delivery(2));
        outlet.end();
        outlet.end();
        assert_eq!(sequence(outlet.take(None)), 1);
        assert_eq!(sequence(outlet.take(None)), 2);
        assert!(matches!(outlet.take(None), Taken::Ended));
        assert!(matches!(outlet.take(None), Taken::Ended));
        outlet.push(delivery(3));
        assert!(matches!(outlet.take(None), Taken::Ended));
        assert_eq!(sequence(outlet.take(None)), 3);
        assert!(matches!(outlet.take(NO_TIME), Taken::TimedOut));
    }

    #[test]
    fn flushing_set_before_the_wait_ends_it_and_nothing_is_lost() {
        let (outlet, _taken) = Outlet::new();
        outlet.push(delivery(1));
        outlet.set_flushing(true);
        assert!(matches!(outlet.take(None), Taken::Flushing));
        outlet.push(delivery(2));
        assert!(matches!(outlet.take(None), Taken::Flushing));
        outlet.set_flushing(false);
        assert_eq!(sequence(outlet.take(None)), 1);
        assert_eq!(sequence(outlet.take(None)), 2);
    }

    #[test]
    fn flushing_closing_and_a_delivery_wake_a_wait() {
        let (outlet, _taken) = Outlet::new();
        let outlet = Arc::new(outlet);
        for act in [
            (|outlet| outlet.set_flushing(true)) as fn(&Outlet),
            |outlet| outlet.push(delivery(9)),
            |outlet| outlet.close(),
        ] {
            outlet.set_flushing(false);
            let (tell, told) = std::sync::mpsc::channel();
            let taker = Arc::clone(&outlet);
            let thread = thread::spawn(move || tell.send(taker.take(None)).unwrap());
            // Whether the thread waits already or not must make no difference.
            thread::yield_now();
            act(&outlet);
            let taken = told.recv_timeout(LIMIT).unwrap();
            assert!(matches!(taken, Taken::Flushing | Taken::Delivery(_)));
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_was_taken_is_room_again() {
        let (outlet, taken) = Outlet::new();
        assert_eq!(outlet.room(), CAPACITY);
        assert_eq!(outlet.room(), 0);
        for sequence in 0..CAPACITY {
            outlet.push(delivery(sequence as u64));
        }
        for _ in 1..WORTH_TELLING {
            let _ = outlet.take(None);
        }
        assert!(taken.try_recv().is_err(), "too little to be told of");
        let _ = outlet.take(None);
        let _ = outlet.take(None);
        assert!(taken.try_recv().is_ok());
        assert!(taken.try_recv().is_err());
        assert_eq!(outlet.room(), WORTH_TELLING + 1);
        let _ = outlet.take(None);
        assert!(
            taken.try_recv().is_err(),
            "all that it was told of is given"
        );
    }

    #[test]
    fn a_closed_outlet_still_gives_what_it_holds() {
        let (outlet, _taken) = Outlet::new();
        outlet.push(delivery(1));
        outlet.close();
        assert_eq!(sequence(outlet.take(None)), 1);
        assert!(matches!(outlet.take(None), Taken::Flushing));
    }
}
