// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What happens when: a calendar queue on µs.
//!
//! Nearly everything lies within a second of now, so events go into a ring of short spans and each
//! span is sorted when its turn comes. What lies beyond the ring waits in a heap. Of two events at
//! the same µs the one that was put in first comes first.

use std::{cmp::Reverse, collections::BinaryHeap};

/// A moment of the simulation, µs since its start.
pub(crate) type Micros = u64;

/// A span of the ring is 2^8 µs long.
const SPAN_BITS: u32 = 8;
/// Spans in the ring: 16.8 s.
const SPANS: u64 = 1 << 16;

/// One event, ordered by its time and then by when it was put in.
#[derive(Debug, Clone, Copy)]
struct Numbered<T> {
    at: Micros,
    number: u64,
    what: T,
}

impl<T> PartialEq for Numbered<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<T> Eq for Numbered<T> {}

impl<T> PartialOrd for Numbered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Numbered<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Events in the order of their times.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    ring: Vec<Vec<(Micros, T)>>,
    /// Emptied spans, for reuse.
    spare: Vec<Vec<(Micros, T)>>,
    /// The span whose turn it is, sorted.
    current: Vec<(Micros, T)>,
    /// How many of `current` are done.
    done: usize,
    /// The number of that span since the start.
    span: u64,
    /// What was put into that span since its turn began.
    near: BinaryHeap<Reverse<Numbered<T>>>,
    /// What lies beyond the ring.
    far: BinaryHeap<Reverse<Numbered<T>>>,
    next_number: u64,
}

impl<T: Copy> Queue<T> {
    /// An empty one at time 0.
    pub(crate) fn new() -> Self {
        Self {
            ring: (0..SPANS).map(|_| Vec::new()).collect(),
            spare: Vec::new(),
            current: Vec::new(),
            done: 0,
            span: 0,
            near: BinaryHeap::new(),
            far: BinaryHeap::new(),
            next_number: 0,
        }
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> usize {
        self.ring.iter().map(Vec::len).sum::<usize>()
            + (self.current.len() - self.done)
            + self.near.len()
            + self.far.len()
    }

    /// Puts an event in. One before the span whose turn it is comes next.
    pub(crate) fn push(&mut self, at: Micros, what: T) {
        let span = at >> SPAN_BITS;
        if span > self.span && span < self.span + SPANS {
            self.place(at, what);
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        let event = Reverse(Numbered { at, number, what });
        if span <= self.span {
            self.near.push(event);
        } else {
            self.far.push(event);
        }
    }

    fn place(&mut self, at: Micros, what: T) {
        let bucket = &mut self.ring[((at >> SPAN_BITS) % SPANS) as usize];
        if bucket.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *bucket = spare;
        }
        bucket.push((at, what));
    }

    /// The next event not after `until`.
    pub(crate) fn pop(&mut self, until: Micros) -> Option<(Micros, T)> {
        loop {
            let sorted = self.current.get(self.done).copied();
            let near = self.near.peek().map(|Reverse(event)| event.at);
            let next = match (sorted, near) {
                (Some((at, _)), Some(near)) => Some(at.min(near)),
                (Some((at, _)), None) => Some(at),
                (None, near) => near,
            };
            let Some(at) = next else {
                if (self.span + 1) << SPAN_BITS > until {
                    return None;
                }
                self.turn();
                continue;
            };
            if at > until {
                return None;
            }
            // What stands in `current` was put in before anything in `near`.
            if let Some((_, what)) = sorted.filter(|&(sorted, _)| sorted == at) {
                self.done += 1;
                return Some((at, what));
            }
            return self.near.pop().map(|Reverse(event)| (at, event.what));
        }
    }

    /// Turns to the next span.
    fn turn(&mut self) {
        self.span += 1;
        while let Some(Reverse(event)) = self.far.peek()
            && event.at >> SPAN_BITS < self.span + SPANS
        {
            let Some(Reverse(event)) = self.far.pop() else {
                break;
            };
            self.place(event.at, event.what);
        }
        let bucket = std::mem::take(&mut self.ring[(self.span % SPANS) as usize]);
        let mut old = std::mem::replace(&mut self.current, bucket);
        if old.capacity() > 0 {
            old.clear();
            self.spare.push(old);
        }
        self.current.sort_by_key(|&(at, _)| at);
        self.done = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_of_their_coming() {
        let mut queue = Queue::new();
        let mut rng = fastrand::Rng::with_seed(1);
        let mut now = 0;
        let mut last = (0, 0);
        let (mut pushed, mut popped) = (0u64, 0);
        let mut push = |queue: &mut Queue<u64>, at| {
            queue.push(at, pushed);
            pushed += 1;
        };
        for _ in 0..1000 {
            // Into the span whose turn it is, the ring, and beyond it; many at the same time.
            for reach in [1, 50, 100_000, 60_000_000] {
                push(&mut queue, now + rng.u64(..reach));
            }
            for _ in 0..3 {
                let (at, number) = queue.pop(Micros::MAX).unwrap();
                assert!(
                    (at, number) > last || popped == 0,
                    "{at} {number} after {last:?}"
                );
                assert!(at >= now);
                (now, last) = (at, (at, number));
                popped += 1;
            }
        }
        while let Some(event) = queue.pop(now + 100_000_000) {
            assert!(event > last);
            last = event;
            popped += 1;
        }
        assert_eq!((popped, queue.pop(now + 200_000_000)), (4000, None));
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut queue = Queue::new();
        queue.push(1000, 'a');
        queue.push(90_000_000, 'b');
        assert_eq!(queue.pop(999), None);
        assert_eq!(queue.pop(1000), Some((1000, 'a')));
        assert_eq!(queue.pop(89_999_999), None);
        queue.push(89_999_999, 'c');
        assert_eq!(queue.pop(90_000_000), Some((89_999_999, 'c')));
        assert_eq!(queue.pop(90_000_000), Some((90_000_000, 'b')));
    }
}
