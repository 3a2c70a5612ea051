#!/usr/bin/env python3
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""A cable with a delay between two network devices, where the kernel has no netem.

usage: delay-link.py DEVICE DEVICE MILLISECONDS

Every frame that comes in at one device goes out at the other so many milliseconds later, until the
process is ended. Needs root. Says "ready" once it carries.
"""

import collections
import select
import socket
import sys
import time

# linux/if_packet.h: frames carry a virtio header, so that what the kernel left to a network card (the
# checksum, cutting into packets) is told to the other side instead of lost.
SOL_PACKET = 263
PACKET_VNET_HDR = 15
ETH_P_ALL = 3
# The longest frame that is not cut yet, and the header.
LONGEST = 65536 + 256
# Frames that wait at most for one direction: a second of 100 Mbit/s in small packets.
MOST_WAITING = 50_000


def opened(device):
    """All frames of the device."""
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    frames.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    frames.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    frames.bind((device, ETH_P_ALL))
    frames.setblocking(False)
    return frames


def take_all(frames, queue, due):
    """Everything that has come in; what the machine itself sends there has its own way."""
    while True:
        try:
            frame, address = frames.recvfrom(LONGEST)
        except BlockingIOError:
            return
        if address[2] != socket.PACKET_OUTGOING and len(queue) < MOST_WAITING:
            queue.append((due, frame))


def give_due(frames, queue, now):
    """What has waited long enough; a device whose queue is full drops it, as a network does."""
    while queue and queue[0][0] <= now:
        try:
            frames.send(queue.popleft()[1])
        except OSError:
            pass


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    left, right = opened(sys.argv[1]), opened(sys.argv[2])
    delay = int(sys.argv[3]) / 1000
    other = {left: right, right: left}
    waiting = {left: collections.deque(), right: collections.deque()}
    print("ready", flush=True)
    while True:
        heads = [queue[0][0] for queue in waiting.values() if queue]
        patience = max(0, min(heads) - time.monotonic()) if heads else None
        for frames in select.select([left, right], [], [], patience)[0]:
            take_all(frames, waiting[other[frames]], time.monotonic() + delay)
        for frames, queue in waiting.items():
            give_due(frames, queue, time.monotonic())


if __name__ == "__main__":
    main()
