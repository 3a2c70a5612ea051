// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! What comes in: bytes, messages, batches for the driver.

use std::time::{Duration, Instant};

use async_channel::Sender;
use futures_lite::{AsyncReadExt as _, future};

use super::{
    super::{
        inbox::Inbound,
        runtime::{TcpStream, timeout},
    },
    pace::Pace,
};
use crate::proto::{
    swarm::ConnId,
    wire::{Decoder, Message, WireError},
};

/// Bytes of one read, and so of one batch: two pieces of usual size.
const READ_BUFFER: usize = 32 * 1024;
/// Messages of one batch: the driver's task does nothing else while it takes them.
const BATCH_MESSAGES: usize = 256;

/// What turns bytes into messages and gives them to the driver.
pub(super) struct Reader {
    conn: ConnId,
    inbox: Sender<Inbound>,
    pace: Pace,
    /// From a message's first byte to its last.
    patience: Duration,
    partial_since: Option<Instant>,
}

impl Reader {
    /// Reads for `conn` at this pace; a message may take so long.
    pub(super) const fn new(
        conn: ConnId,
        inbox: Sender<Inbound>,
        pace: Pace,
        patience: Duration,
    ) -> Self {
        Self {
            conn,
            inbox,
            pace,
            patience,
            partial_since: None,
        }
    }

    /// Reads until the connection ends; why it did. Each batch waits for the driver.
    pub(super) async fn run(
        mut self,
        mut stream: &TcpStream,
        first: Vec<u8>,
        decoder: &mut Decoder,
    ) -> String {
        let mut buffer = vec![0; READ_BUFFER];
        let mut filled = first.len().min(READ_BUFFER);
        buffer[..filled].copy_from_slice(&first[..filled]);
        drop(first);
        loop {
            if !self.take(decoder, &buffer[..filled]).await {
                // The driver hangs up now.
                return future::pending().await;
            }
            let reading = stream.read(&mut buffer);
            let outcome = match self.partial_since {
                None => Some(reading.await),
                Some(since) => {
                    timeout(self.patience.saturating_sub(since.elapsed()), reading).await
                }
            };
            filled = match outcome {
                Some(Ok(0)) => return "the peer closed the connection".into(),
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return error.to_string(),
                None => return "a message took too long".into(),
            };
        }
    }

    /// Gives the messages that `bytes` end to the driver, in batches and no faster than is good for
    /// it; `false` when nothing more is to be read.
    async fn take(&mut self, decoder: &mut Decoder, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (messages, error) = decode(decoder, &mut bytes);
            if !decoder.is_partial() {
                self.partial_since = None;
            } else if self.partial_since.is_none() || !messages.is_empty() {
                self.partial_since = Some(Instant::now());
            }
            self.pace.took(&messages);
            if !messages.is_empty() || error.is_some() {
                let ends = error.is_some();
                if !hand_over(self.conn, messages, error, &self.inbox).await || ends {
                    return false;
                }
            }
            self.pace.wait().await;
        }
        true
    }
}

/// The next messages that `bytes` end, and what is wrong with what comes after them.
fn decode(decoder: &mut Decoder, bytes: &mut &[u8]) -> (Vec<Message>, Option<WireError>) {
    let mut messages = Vec::new();
    while messages.len() < BATCH_MESSAGES {
        match decoder.decode(bytes) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => break,
            Err(error) => return (messages, Some(error)),
        }
    }
    (messages, None)
}

/// Gives a batch to the driver and waits until it was handled; `false` when the driver is gone.
async fn hand_over(
    conn: ConnId,
    messages: Vec<Message>,
    error: Option<WireError>,
    inbox: &Sender<Inbound>,
) -> bool {
    let (handled, is_handled) = async_channel::bounded(1);
    let batch = Inbound::Batch {
        conn,
        messages,
        error,
        handled,
    };
    if inbox.send(batch).await.is_err() {
        return false;
    }
    // The end of the channel is the sign.
    let _ = is_handled.recv().await;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::{io::Write as _, net::Shutdown};

    use super::super::{
        Patience,
        pace::{COST_AT_FIRST, COST_PER_SECOND},
        testing::{Bench, block, bytes_of, handshake},
    };

    #[test]
    fn messages_come_in_order_in_any_split_and_the_end_is_told() {
        let mut bench = Bench::new(Patience::default());
        let sent = [handshake(), Message::Unchoke, block(3), Message::Have(9)];
        let bytes: Vec<u8> = sent.iter().cloned().flat_map(bytes_of).collect();
        for part in bytes.chunks(777) {
            bench.far.write_all(part).unwrap();
        }
        let mut received = Vec::new();
        while received.len() < sent.len() {
            match bench.input() {
                Some(Inbound::Batch {
                    messages, error, ..
                }) => {
                    assert_eq!(error, None);
                    received.extend(messages);
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(received, sent);
        bench.far.shutdown(Shutdown::Both).unwrap();
        assert!(bench.closed().contains("closed"));
        bench.end();
    }

    #[test]
    fn a_reader_has_one_batch_in_flight_and_goes_on_when_that_is_handled() {
        let mut bench = Bench::new(Patience::default());
        bench.far.write_all(&bytes_of(handshake())).unwrap();
        let Some(Inbound::Batch { handled, .. }) = bench.input() else {
            panic!("no batch");
        };
        bench.far.write_all(&bytes_of(Message::Choke)).unwrap();
        let more = async { bench.inputs.recv().await.ok() };
        let early = future::block_on(timeout(Duration::from_millis(50), more));
        assert!(early.is_none(), "{early:?}");
        drop(handled);
        assert!(
            matches!(bench.input(), Some(Inbound::Batch { messages, .. })
            if messages == [Message::Choke])
        );
        bench.end();
    }

    #[test]
    fn bytes_that_are_no_message_are_told_with_what_came_before_them() {
        let mut bench = Bench::new(Patience::default());
        let mut bytes = bytes_of(handshake());
        bytes.extend_from_slice(&[0xff; 5]);
        bench.far.write_all(&bytes).unwrap();
        let mut messages = Vec::new();
        let error = loop {
            match bench.input() {
                Some(Inbound::Batch {
                    messages: more,
                    error,
                    ..
                }) => {
                    messages.extend(more);
                    if error.is_some() {
                        break error;
                    }
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(messages, [handshake()]);
        assert!(error.is_some());
        bench.end();
    }

    #[test]
    fn a_peer_that_trickles_a_message_is_cut() {
        let bench = Bench::new(Patience {
            message: Duration::from_millis(100),
            ..Patience::default()
        });
        let mut far = bench.far.try_clone().unwrap();
        // One byte of a handshake every now and then: each alone would be in time.
        let trickle = std::thread::spawn(move || {
            for byte in bytes_of(handshake()) {
                if far.write_all(&[byte]).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        assert!(bench.closed().contains("too long"));
        trickle.join().unwrap();
        bench.end();
    }

    #[test]
    fn a_batch_is_bounded_and_a_flood_is_read_no_faster_than_any_stream_needs() {
        const HAVE: &[u8] = &[0, 0, 0, 5, 4, 0, 0, 0, 1];
        let mut bytes = Vec::new();
        bytes.extend(bytes_of(handshake()));
        bytes.extend(HAVE.repeat(2000));
        let mut bench = Bench::new(Patience::default());
        bench.far.write_all(&bytes).unwrap();
        let began = Instant::now();
        let mut messages = 0;
        while messages < 2001 {
            let Some(Inbound::Batch { messages: more, .. }) = bench.input() else {
                panic!("no batch after {messages} messages");
            };
            assert!(more.len() <= BATCH_MESSAGES);
            messages += more.len();
        }
        // What came first was saved up, and the last batch goes into debt.
        let saved = COST_PER_SECOND * COST_AT_FIRST.as_secs_f64();
        let least = (2001.0 - saved - BATCH_MESSAGES as f64) / COST_PER_SECOND;
        assert!(began.elapsed().as_secs_f64() >= least);
        bench.end();
    }
}
