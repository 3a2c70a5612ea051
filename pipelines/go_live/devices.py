# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""What can be broadcast: cameras, microphones, the screen, and test signals where there is none."""

import os

from gi.repository import Gst

from .stream import FRAME_RATE


class Choice:
    """One entry of a list: what the user reads, and how its elements come about."""

    def __init__(self, label, key, make):
        self.label = label
        # What it is known by when the list is filled anew.
        self.key = key
        # From the Quality to elements, each linked to the next; None: nothing, a choice for sound.
        self.make = make

    @property
    def is_device(self):
        """Whether it can be unplugged."""
        return self.key.startswith("device ")


def _described(text):
    return lambda _quality: [Gst.parse_bin_from_description(text, True)]


def _test_picture(quality):
    """Of the chosen shape: nothing is scaled."""
    size = f"video/x-raw,width={quality.width},height={quality.height},framerate={FRAME_RATE}/1"
    text = f"videotestsrc is-live=true pattern=smpte ! {size} ! timeoverlay font-desc=Sans,24"
    return [Gst.parse_bin_from_description(text, True)]


TEST_PICTURE = Choice("Test picture", "test", _test_picture)
SCREEN = Choice(
    "Screen",
    "screen",
    _described(f"ximagesrc use-damage=false ! video/x-raw,framerate={FRAME_RATE}/1"),
)
TEST_SOUND = Choice("Test sound", "test", _described("audiotestsrc is-live=true wave=ticks"))
NO_SOUND = Choice("No sound", "none", None)


def _camera(device, quality):
    """Many cameras give large pictures fast enough as JPEG only; the last two take what there is."""
    size = f"width={quality.width},height={quality.height},framerate=[{FRAME_RATE - 1}/1,30/1]"
    wanted = f"video/x-raw,{size};image/jpeg,{size};image/jpeg;video/x-raw"
    text = "capsfilter name=wanted ! decodebin ! videoconvert name=raw"
    decoded = Gst.parse_bin_from_description(text, False)
    decoded.get_by_name("wanted").set_property("caps", Gst.Caps.from_string(wanted))
    for element, pad in (("wanted", "sink"), ("raw", "src")):
        inside = decoded.get_by_name(element).get_static_pad(pad)
        decoded.add_pad(Gst.GhostPad.new(pad, inside))
    return [device.create_element(None), decoded]


class Devices:
    """The pictures and sounds there are now; `changed` is called when one comes or goes."""

    def __init__(self, worker, changed):
        self._changed = changed
        self._monitor = Gst.DeviceMonitor()
        self._monitor.add_filter("Video/Source", None)
        self._monitor.add_filter("Audio/Source", None)
        self._bus = self._monitor.get_bus()
        self._bus.add_signal_watch()
        self._bus.connect("message", self._message)
        # Without any provider of devices there are the test signals still.
        self._running = False
        worker.do(self._monitor.start, self._started)

    def stop(self, worker):
        """Ends the watch over what is plugged in."""
        self._bus.remove_signal_watch()
        worker.do(self._monitor.stop)

    def pictures(self):
        """Cameras first, then the screen where there is one, then the test picture."""
        cameras = self._found(
            "Video/Source", lambda device: lambda quality: _camera(device, quality)
        )
        # Of a Wayland session X has a black picture.
        has_screen = os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY")
        return [*cameras, *([SCREEN] if has_screen else []), TEST_PICTURE]

    def sounds(self):
        """Microphones first; silence is a choice too."""
        found = self._found("Audio/Source", lambda device: lambda _: [device.create_element(None)])
        return [*found, TEST_SOUND, NO_SOUND]

    def _found(self, kind, maker):
        choices, count = [], {}
        for device in (self._monitor.get_devices() or []) if self._running else []:
            if not device.has_classes(kind) or _is_monitor(device):
                continue
            name = device.get_display_name()
            count[name] = count.get(name, 0) + 1
            label = name if count[name] == 1 else f"{name} ({count[name]})"
            choices.append(Choice(label, f"device {label}", maker(device)))
        return choices

    def _started(self, running):
        self._running = running
        self._changed()

    def _message(self, _bus, message):
        # Those that are there at the start are told of too, before it is over.
        kinds = (Gst.MessageType.DEVICE_ADDED, Gst.MessageType.DEVICE_REMOVED)
        if self._running and message.type in kinds:
            self._changed()


def _is_monitor(device):
    """What plays on this machine's own loudspeakers is listed too."""
    properties = device.get_properties()
    return properties is not None and properties.get_string("device.class") == "monitor"
