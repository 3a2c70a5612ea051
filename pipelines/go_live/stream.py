# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""What is chosen before a broadcast: the picture's size and rate, and the stream's name."""

import dataclasses
import pathlib

FRAME_RATE = 25
# Of the sound, bits a second.
SOUND_BITRATE = 128_000
# Longest name: the sink has 255 bytes for it, the file system as many for the name and what follows it.
LONGEST_NAME = 80
LONGEST_NAME_BYTES = 240


@dataclasses.dataclass(frozen=True)
class Quality:
    """Picture size in pixels and bits per second of the encoded picture."""

    label: str
    width: int
    height: int
    bitrate: int

    @property
    def key(self):
        """What it is known by in a list."""
        return self.label

    @property
    def nominal(self):
        """Bits per second of the whole stream: sound, and a tenth for the container."""
        return (self.bitrate + SOUND_BITRATE) * 11 // 10


QUALITIES = [
    Quality("Small: 640 × 360, 1 Mbit/s", 640, 360, 1_000_000),
    Quality("Medium: 1280 × 720, 2.5 Mbit/s", 1280, 720, 2_500_000),
    Quality("Large: 1920 × 1080, 5 Mbit/s", 1920, 1080, 5_000_000),
]


@dataclasses.dataclass(frozen=True)
class Stream:
    """What the sink is told."""

    name: str
    folder: pathlib.Path
    port: int
    public_address: str | None

    @property
    def location(self):
        """The file that viewers need."""
        return self.folder / f"{self.name}.tstream"

    @property
    def was_there_before(self):
        """Whether its key is there: then the broadcast goes on, and viewers' files stay good."""
        return self.location.with_name(f"{self.name}.sauth").exists()


def name_problem(name):
    """Why no file and no link should have this name; nothing where they may."""
    if not name:
        return "The stream needs a name"
    if not all(letter.isalnum() or letter in " .-_" for letter in name):
        return "A name has letters, digits, spaces and . - _ only"
    if not name[0].isalnum():
        return "A name begins with a letter or a digit"
    if len(name) > LONGEST_NAME or len(name.encode()) > LONGEST_NAME_BYTES:
        return "The name is too long"
    return None
