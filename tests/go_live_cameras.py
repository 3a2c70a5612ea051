# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""The window of pipelines/go-live.sh on a machine with cameras, which are none: GStreamer's device monitor
finds them like others. USR1 pulls the first one's plug."""

import ctypes
import runpy
import signal

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

# The types below are of types that this makes.
Gst.init(None)
ANY = Gst.Caps.new_any()


def fail(element, code, text):
    """As v4l2src does."""
    error = GLib.Error.new_literal(Gst.ResourceError.quark(), text, code)
    element.post_message(Gst.Message.new_error(element, error, ""))


def floating(element):
    """As elements from C are, which Python's are not any more; the reference is what Python thinks is its own."""
    gobject = ctypes.CDLL("libgobject-2.0.so.0")
    for function in (gobject.g_object_ref, gobject.g_object_force_floating):
        function(ctypes.c_void_p(hash(element)))
    return element


class BusySource(Gst.Bin):
    """Of a camera that another program has open."""

    def __init__(self):
        super().__init__()
        source = Gst.ElementFactory.make("videotestsrc", None)
        self.add(source)
        self.add_pad(Gst.GhostPad.new("src", source.get_static_pad("src")))

    def do_change_state(self, transition):
        if transition == Gst.StateChange.NULL_TO_READY:
            fail(self, Gst.ResourceError.BUSY, "Device '/dev/video1' is busy")
            return Gst.StateChangeReturn.FAILURE
        return Gst.Bin.do_change_state(self, transition)


class Camera(Gst.Device):
    """Gives the test picture as JPEG, as most do."""

    def __init__(self):
        super().__init__(display_name="A camera", device_class="Video/Source", caps=ANY)
        self.source = None

    def do_create_element(self, _name):
        self.source = Gst.parse_bin_from_description(
            "videotestsrc is-live=true pattern=smpte ! video/x-raw,width=640,height=360,framerate=30/1 "
            "! jpegenc",
            True,
        )
        return floating(self.source)


class BusyCamera(Gst.Device):
    """One that is in use."""

    def __init__(self):
        super().__init__(display_name="A busy camera", device_class="Video/Source", caps=ANY)

    def do_create_element(self, _name):
        self.source = BusySource()
        return floating(self.source)


class Cameras(Gst.DeviceProvider):
    """Both."""

    def do_probe(self):
        return []

    def do_start(self):
        self.first = Camera()
        self.device_add(self.first)
        self.device_add(BusyCamera())
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGUSR1, self.unplug)
        return True

    def do_stop(self):
        pass

    def unplug(self):
        """What streams fails, and the list is shorter."""
        fail(self.first.source, Gst.ResourceError.READ, "Could not read from resource.")
        self.device_remove(self.first)
        return GLib.SOURCE_REMOVE


Cameras.set_metadata("Test cameras", "Source/Video", "Cameras that are none", "livetorrent")
Gst.DeviceProvider.register(None, "testcameras", Gst.Rank.PRIMARY, Cameras.__gtype__)
runpy.run_module("go_live", run_name="__main__", alter_sys=True)
