# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""A window to broadcast from: `pipelines/go-live.sh` starts it.

`devices` lists what can be seen and heard, `broadcast` builds the pipelines and runs them on `worker`, and
`window` is what the user sees of both, made of `pieces` and `audience`.
"""

import argparse
import pathlib
import signal
import sys

import gi

# GTK takes options of its own from the command line as soon as it is imported, --name among them.
ARGUMENTS, sys.argv[1:] = sys.argv[1:], []

gi.require_version("Gst", "1.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GLib, Gst, Gtk  # noqa: E402

from .window import Window  # noqa: E402


def read_arguments():
    """What `go-live.sh` has checked already."""
    parser = argparse.ArgumentParser(prog="go-live.sh")
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path())
    parser.add_argument("--port", type=int, default=7764)
    parser.add_argument("--public-address", default=None)
    parser.add_argument("--name", default="")
    parser.add_argument("--test", action="store_true")
    return parser.parse_args(ARGUMENTS)


def main():
    """Runs until the window is closed or the process is told to end."""
    arguments = read_arguments()
    if not Gtk.init_check(None)[0]:
        sys.exit("go-live.sh: the display cannot be opened")
    Gst.init(None)
    if not Gst.ElementFactory.find("gtksink"):
        sys.exit("go-live.sh: GStreamer has no gtksink here")
    GLib.set_prgname("go-live")
    GLib.set_application_name("Go live")
    window = Window(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, window.close_soon)
    window.show_all()
    Gtk.main()


main()
