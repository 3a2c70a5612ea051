# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""Broadcasts with the windows of pipelines/go-live.sh while real viewers watch. Called by go-live.sh, on an X server
and a session bus of its own:

    go-live.py PROJECT FOLDER PICTURES SCHEME PLUGINS
"""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

from go_live_user import (
    ROLES,
    Atspi,
    Child,
    Viewer,
    Window,
    check,
    clipboard,
    key,
    left,
    picture,
    reached_by_tab,
    shows_bars,
    shows_screen,
    type_in,
    until,
)

PULSE = (
    "pulseaudio -n --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no "
    "--high-priority=no --disable-shm=yes"
).split()
ON_AIR = [
    "push button Copy the file's path",
    "push button Copy the link",
    "push button Stop",
    "text File",
    "text Link",
]
MICROPHONE = "Sine source at 440 Hz"


def everything_has_a_name(window):
    for role, name, node in window.shown():
        check(
            role not in ROLES or name, f"a {role} without a name, in {node.get_parent().get_name()}"
        )


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


class Scenes:
    """What happens, one after another."""

    def __init__(self, project, folder, pictures, scheme):
        self.project = pathlib.Path(project)
        self.folder = pathlib.Path(folder)
        self.pictures = pictures
        self.scheme = scheme

    def window(self, name, *options, **environment):
        """One that begins with the test picture."""
        script = self.project / "pipelines/go-live.sh"
        return Window(name, [script, "--test", "--port", "0"], self.folder, *options, **environment)

    def on_air(self, window):
        """The link, when it is there."""
        window.press("^Go live$")
        window.reads("^LIVE$")
        return window.text("^Link$")

    def first_broadcast(self):
        """All of it: choices, wrong names, viewers, the link, a second one with the same key, the end."""
        window = self.window("window")
        shows_bars(window)
        everything_has_a_name(window)
        check(not window.is_alive("push button", "Go live"), "it goes live without a name")
        choices = window.choices("^Picture$")
        check(choices[-2:] == ["Screen", "Test picture"], f"to be seen: {choices}")
        window.choose("^Picture$", "Screen")
        shows_screen(window)
        window.choose("^Picture$", "Test picture")
        shows_bars(window)
        window.choose("^Quality$", "Medium: 1280 × 720, 2.5 Mbit/s")
        window.choose("^Quality$", "Small: 640 × 360, 1 Mbit/s")
        self.names(window)
        self.link(window)
        return window

    def names(self, window):
        """Typed, from wrong to right."""
        for wrong, why in (("../talk", "letters, digits"), (".talk", "begins with")):
            type_in(window, wrong)
            window.reads(why)
            check(not window.is_alive("push button", "Go live"), f"it goes live as {wrong}")
            key("Return")
        type_in(window, "a talk")
        window.reads("Viewers will need .*/a talk.tstream")
        self.choices_by_keys(window)
        if self.pictures:
            picture(window, f"{self.pictures}/go-live-choices-{self.scheme}.png", "Go live")
        check(not list(self.folder.glob("*.tstream")), "a file is there before the broadcast")
        key("Return")

    def choices_by_keys(self, window):
        """From the name on and around. GTK's lists do not tell that they have the focus: their choice does."""
        key("Tab")
        until("the button's focus", lambda: window.focused() == "push button Go live")
        for chooser, there, other, one in (
            ("^Picture$", "Up", "Screen", "Test picture"),
            ("^Sound$", "Down", "No sound", "Test sound"),
            ("^Quality$", "Down", "Medium: 1280 × 720, 2.5 Mbit/s", "Small: 640 × 360, 1 Mbit/s"),
        ):
            key("Tab")
            key(there)
            window.has_chosen(chooser, other)
            key("Down" if there == "Up" else "Up")
            window.has_chosen(chooser, one)
        key("Tab")
        until("the name's focus", lambda: window.focused() == "text Name")

    def link(self, window):
        """From the window through the clipboard to a viewer."""
        window.reads("^LIVE$")
        everything_has_a_name(window)
        file = self.folder / "a talk.tstream"
        check(window.text("^File$") == str(file), window.text("^File$"))
        check(file.exists(), "the file is not there")
        # The button that copies the link has the focus.
        until(
            lambda: f"the focus, which is {window.focused()}",
            lambda: window.focused() == "push button Copy the link",
        )
        reached = sorted(reached_by_tab(window))
        check(reached == ON_AIR, f"Tab leads to {reached}")
        link = window.text("^Link$")
        check(link.startswith("livetorrent:?"), f"the link is {link}")
        key("space")
        until("the link in the clipboard", lambda: clipboard() == link)
        # Said for two seconds only, from the last time on.
        until(
            lambda: f"that the link is copied, in place of {window.seen()}",
            lambda: window.find("push button", "The link is copied") or key("space"),
        )

    def audience(self, window):
        """What the window tells of it, and what it gets."""
        link = clipboard()
        viewers = [Viewer("viewer", self.folder, link)]
        window.reads("^Viewers: 1$")
        viewers[0].sees(75)
        for figure in (
            "Stream: [0-9.]*[1-9]",
            "Upload: [0-9.]*[1-9]",
            "On air for: 0:0[0-9]:[0-5][0-9]",
            "Behind by: [0-9]",
        ):
            window.reads(f"^{figure}")
        if self.pictures:
            viewers += [Viewer(f"viewer-{number}", self.folder, link) for number in (2, 3)]
            window.reads("^Viewers: 3$")
            viewers[-1].sees(250)
            picture(window, f"{self.pictures}/go-live-on-air-{self.scheme}.png", "Stop")
        self.same_key()
        window.press("^Stop$")
        for viewer in viewers:
            viewer.ends()
        window.wait("push button", "^Go live$")
        window.reads("Goes on with")

    def same_key(self):
        """Who has a key that is in use is told, and nothing else happens."""
        second = self.window("second", "--name", "a talk")
        second.reads("Goes on with")
        second.press("^Go live$")
        second.reads("a talk.sauth is in use by another livetorrentsink")
        everything_has_a_name(second)
        shows_bars(second)
        second.press("^Close$")
        second.ends()

    def same_again(self, window):
        """The same key goes on, and who closes the window ends the broadcast."""
        before = clipboard()
        link = self.on_air(window)
        infohash = re.search("xt=[^&]*", before).group()
        check(infohash in link, f"another stream: {link}")
        viewer = Viewer("later", self.folder, link)
        viewer.sees(25)
        window.press("^Close$")
        viewer.ends()
        window.ends()

    def interrupted(self):
        """Ctrl-C, on the air."""
        window = self.window("interrupted", "--name", "interrupted")
        viewer = Viewer("witness", self.folder, self.on_air(window))
        viewer.sees(25)
        window.signal(signal.SIGINT)
        viewer.ends()
        window.ends()

    def devices(self):
        """A camera and a microphone, which come and go."""
        server = f"unix:{self.folder}/pulse"
        pulse = Child("pulseaudio", [*PULSE, *self.pulse_modules()], self.folder)
        until("pulseaudio", lambda: (self.folder / "pulse").exists())
        window = Window(
            "devices",
            ["/usr/bin/python3", self.project / "tests/go_live_cameras.py"],
            self.folder,
            *("--name", "camera", "--port", free_port()),
            PULSE_SERVER=server,
            PYTHONPATH=str(self.project / "pipelines"),
        )
        shows_bars(window)
        window.has_chosen("^Picture$", "A camera")
        window.has_chosen("^Sound$", "No sound")
        sounds = window.choices("^Sound$")
        check(sounds == ["Test sound", "No sound"], f"to be heard: {sounds}")
        self.pulse("load-module", "module-sine-source", "frequency=440")
        window.choose("^Sound$", MICROPHONE)
        loudness = window.wait("level bar", "^Loudness")
        until("loudness", lambda: Atspi.Value.get_current_value(loudness) > 10)

        window.choose("^Picture$", "A busy camera")
        window.reads("^A busy camera is used by another program: Device '/dev/video1' is busy")
        window.wait("push button", "^Try again$")
        window.choose("^Picture$", "A camera")
        viewer = Viewer("faithful", self.folder, self.on_air(window))
        viewer.sees(25)
        os.kill(window.pid, signal.SIGUSR1)
        window.reads(
            "^A camera: Could not read from resource. The broadcast has stopped; viewers wait"
        )
        # Nothing else is shown that was not chosen.
        window.has_chosen("^Picture$", "Test picture")
        shows_bars(window)
        self.on_air(window)
        viewer.sees(50)
        window.press("^Stop$")
        viewer.ends()
        window.press("^Close$")
        window.ends()
        pulse.end()

    def pulse_modules(self):
        """What the sound server is to have: what it plays on is heard by nobody."""
        socket_module = f"module-native-protocol-unix socket={self.folder}/pulse auth-anonymous=1"
        return ["-L", "module-null-sink", "-L", socket_module]

    def pulse(self, *words):
        """Something told to the sound server, and its answer."""
        command = ["pactl", "--server", f"unix:{self.folder}/pulse", *words]
        return subprocess.check_output(command, text=True, timeout=left()).strip()

    def lacking(self, plugins):
        """Without an encoder, which is said and not more."""
        window = self.window(
            "lacking",
            "--name",
            "lacking",
            GST_PLUGIN_SYSTEM_PATH_1_0=plugins,
            GST_REGISTRY_1_0=f"{plugins}/registry",
        )
        window.press("^Go live$")
        window.reads("^GStreamer has no x264enc here")
        shows_bars(window)
        window.press("^Close$")
        window.ends()

    def can_mount(self):
        """Whether this user can have a disk of its own, which root in a container cannot."""
        words = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", self.folder]
        return subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0

    def full(self):
        """A disk without room for the key: one of its own."""
        name = "full"
        disk = self.folder / "disk"
        disk.mkdir()
        words = 'mount -t tmpfs -o size=4k tmpfs "$1" && head -c 4096 /dev/zero >"$1/rest" && exec "${@:2}"'
        script = self.project / "pipelines/go-live.sh"
        window = Window(
            name,
            [
                *("unshare", "--mount", "bash", "-c", words, "bash", disk),
                *(script, "--test", "--port", "0", "--folder", disk, "--name", name),
            ],
            self.folder,
        )
        window.press("^Go live$")
        window.reads("could not be written: No space left on device")
        shows_bars(window)
        window.press("^Close$")
        window.ends()


def main(project, folder, pictures, scheme, plugins):
    # Whoever is told to end ends its children too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("go-live.py: told to end"))
    scenes = Scenes(project, folder, pictures, scheme)
    try:
        window = scenes.first_broadcast()
        scenes.audience(window)
        scenes.same_again(window)
        if pictures:
            return
        scenes.interrupted()
        scenes.devices()
        scenes.lacking(plugins)
        if scenes.can_mount():
            scenes.full()
        else:
            print("without a full disk, which cannot be mounted here")
    finally:
        Child.kill_all()


if __name__ == "__main__":
    main(*sys.argv[1:])
