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
