# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""The pipelines: what is seen and heard in the window alone, and the same as a broadcast."""

from gi.repository import GLib, GObject, Gst

from .stream import FRAME_RATE, SOUND_BITRATE

# Longest wait for the end of a broadcast to reach the viewers, in ms: the sink's own is 2 s.
ENDING = 4000
# Of the picture in the window: to draw the large one costs more than to encode it. And one format, since
# gtksink may draw the last frame of one pipeline when it knows that of the next already.
SHOWN = "format={BGRx,xRGB},width=640,height=360"


def _shown(quality):
    """From whatever a camera gives to frames of the chosen size, and those into the window."""
    return (
        "videoconvertscale name=picture add-borders=true ! videorate "
        f"! video/x-raw,format=I420,width={quality.width},height={quality.height},"
        f"framerate={FRAME_RATE}/1,pixel-aspect-ratio=1/1 ! tee name=split "
        "split. ! queue leaky=downstream max-size-buffers=2 ! videoconvertscale "
        f'! capsfilter name=shown caps="video/x-raw,{SHOWN}" '
    )


def _heard():
    return (
        "audioconvert name=sound ! audioresample ! audio/x-raw,rate=48000,channels=2 "
        f"! level interval={Gst.SECOND // 10} "
    )


def _encoded(quality, has_sound):
    """One key frame a second, with all that a decoder needs: viewers can begin there."""
    picture = (
        "split. ! queue ! x264enc tune=zerolatency speed-preset=superfast "
        f"bitrate={quality.bitrate // 1000} key-int-max={FRAME_RATE} ! video/x-h264,profile=main ! h264parse config-interval=-1 "
        "! queue ! mpegtsmux name=mux "
    )
    sound = (
        f"{_heard()} ! queue ! {_aac_encoder()} bitrate={SOUND_BITRATE} ! aacparse ! queue ! mux. "
    )
    return picture + (sound if has_sound else "")


def _aac_encoder():
    """The first AAC encoder that is there, or the name of the one to ask for."""
    names = ("voaacenc", "avenc_aac", "fdkaacenc")
    return next((name for name in names if Gst.ElementFactory.find(name)), names[0])


class _Run:
    """One pipeline, from the wish for it to its end. Without a stream it is a preview."""

    def __init__(self, picture, sound, quality, stream=None):
        self.picture = picture
        self.sound = sound if sound.make else None
        self.quality = quality
        self.stream = stream
        self.pipeline = None
        # The pipeline's, once somebody listens.
        self.bus = None
        self.sink = None
        # Elements and what the user knows each by.
        self.devices = []

    def build(self, view):
        """All of it, with the view in it. Raises _Problem."""
        text = _shown(self.quality)
        if self.stream:
            text += _encoded(self.quality, self.sound is not None)
        elif self.sound:
            text += _heard() + "! fakesink sync=false"
        try:
            self.pipeline = Gst.parse_launch(text)
        except GLib.Error as error:
            self.pipeline = None
            raise _Problem(_parse_problem(error)) from error
        self.pipeline.add(view)
        self.pipeline.get_by_name("shown").link(view)
        if self.stream:
            self._add_sink()
        for choice, entry in ((self.picture, "picture"), (self.sound, "sound")):
            if choice:
                self._add_device(choice, self.pipeline.get_by_name(entry))

    def _add_sink(self):
        # The element's name is the stream's.
        self.sink = Gst.ElementFactory.make("livetorrentsink", self.stream.name)
        if self.sink is None:
            raise _Problem(_missing("livetorrentsink"))
        self.sink.set_property("location", str(self.stream.location))
        self.sink.set_property("port", self.stream.port)
        self.sink.set_property("bitrate", self.quality.nominal)
        if self.stream.public_address:
            self.sink.set_property("public-address", self.stream.public_address)
        self.pipeline.add(self.sink)
        self.pipeline.get_by_name("mux").link(self.sink)

    def _add_device(self, choice, entry):
        try:
            elements = choice.make(self.quality)
        except GLib.Error as error:
            raise _Problem(_parse_problem(error)) from error
        if None in elements:
            raise _Problem(f"{choice.label} is not there any more")
        for element in elements:
            self.pipeline.add(element)
            self.devices.append((element, choice.label))
        for one, next_one in zip(elements, [*elements[1:], entry]):
            if not one.link(next_one):
                raise _Problem(f"{choice.label} gives nothing that can be shown")

    def words(self, message):
        """What is wrong, and with which device. Developers have GStreamer's log."""
        is_error = message.type == Gst.MessageType.ERROR
        error, _ = message.parse_error() if is_error else message.parse_warning()
        for element, label in self.devices:
            if message.src == element or message.src.has_as_ancestor(element):
                if error.matches(Gst.ResourceError.quark(), Gst.ResourceError.BUSY):
                    return f"{label} is used by another program: {error.message}"
                return f"{label}: {error.message}"
        return error.message


class _Problem(Exception):
    """Why a pipeline cannot be, for the user."""


def _missing(element):
    return f"GStreamer has no {element} here; ./pipelines/setup.sh installs what is needed"


def _parse_problem(error):
    if error.matches(Gst.ParseError.quark(), Gst.ParseError.NO_SUCH_ELEMENT):
        # GStreamer's own sentence has the name in quotes.
        quoted = error.message.split('"')
        return _missing(quoted[1] if len(quoted) > 2 else error.message)
    return error.message


class Broadcast(GObject.Object):
    """One picture in the window, broadcast or not. Its methods are the main loop's, its pipelines change state
    on the worker; what it tells comes on the main loop."""

    __gsignals__ = {
        # The .tstream's path and the link: viewers can come from now on. Again when a router's port was mapped.
        "ready": (GObject.SignalFlags.RUN_LAST, None, (str, str)),
        # How loud it is, in dB below the loudest.
        "loudness": (GObject.SignalFlags.RUN_LAST, None, (float,)),
        "warned": (GObject.SignalFlags.RUN_LAST, None, (str,)),
        # Why, and whether a broadcast has ended by it.
        "failed": (GObject.SignalFlags.RUN_LAST, None, (str, bool)),
        # The broadcast, as it was asked to.
        "ended": (GObject.SignalFlags.RUN_LAST, None, ()),
    }

    def __init__(self, worker):
        super().__init__()
        self._worker = worker
        self._run = None
        self._ending = 0
        self.view = Gst.ElementFactory.make("gtksink", None)
        # What is seen is what is there now; what is broadcast is not held up by it.
        self.view.set_property("sync", False)

    @property
    def is_live(self):
        """Whether there is a broadcast, also one that begins or ends."""
        return self._run is not None and self._run.stream is not None

    def preview(self, picture, sound, quality):
        """Shows the picture and broadcasts nothing."""
        self._replace(_Run(picture, sound, quality))

    def start(self, picture, sound, quality, stream):
        """Goes live."""
        self._replace(_Run(picture, sound, quality, stream))

    def stop(self, now=False):
        """Ends the broadcast: viewers get all of it, and `ended` comes some seconds later at most."""
        run = self._run
        if run is None:
            return
        if now:
            self._end()
        elif not self._ending:
            self._ending = GLib.timeout_add(ENDING, self._end)
            self._worker.do(lambda: run.pipeline and run.pipeline.send_event(Gst.Event.new_eos()))

    def close(self, then):
        """Everything stops now, and `then` is called."""
        run = self._forget()
        self._worker.do(lambda: self._tear_down(run), lambda _: then())

    def stats(self):
        """The sink's figures, or nothing while there is no broadcast."""
        sink = self._run.sink if self._run else None
        return sink.get_property("stats") if sink else None

    def _forget(self):
        run, self._run = self._run, None
        if self._ending:
            GLib.source_remove(self._ending)
            self._ending = 0
        return run

    def _replace(self, run):
        old = self._forget()
        self._run = run
        self._worker.do(
            lambda: self._set_up(old, run), lambda problem: self._set_up_ended(run, problem)
        )

    def _set_up_ended(self, run, problem):
        # What the bus has said of it before was said better.
        if problem and run is self._run:
            self._fail(problem)

    def _set_up(self, old, run):
        """On the worker. What went wrong."""
        self._tear_down(old)
        if run is not self._run:
            # Something else was chosen since.
            return None
        try:
            run.build(self.view)
        except _Problem as problem:
            return str(problem)
        run.bus = run.pipeline.get_bus()
        run.bus.add_signal_watch()
        run.bus.connect("message", self._message, run)
        if run.pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            return "GStreamer could not start this"
        return None

    def _tear_down(self, run):
        """On the worker."""
        if run is None or run.pipeline is None:
            return
        if run.bus:
            run.bus.remove_signal_watch()
        run.pipeline.set_state(Gst.State.NULL)
        if self.view.get_parent() == run.pipeline:
            run.pipeline.remove(self.view)
        run.pipeline = run.bus = run.sink = None

    def _message(self, _bus, message, run):
        if run is not self._run:
            return
        if message.type == Gst.MessageType.ERROR:
            self._fail(run.words(message))
        elif message.type == Gst.MessageType.WARNING:
            self.emit("warned", run.words(message))
        elif message.type == Gst.MessageType.EOS:
            self._end() if self._ending else self._fail(f"{run.picture.label} has ended")
        elif message.type == Gst.MessageType.ELEMENT:
            self._told(message.get_structure())

    def _told(self, what):
        if what.get_name() in ("livetorrent-ready", "livetorrent-mapped"):
            self.emit("ready", what.get_string("location"), what.get_string("uri"))
        elif what.get_name() == "level":
            self.emit("loudness", max(what.get_value("decay")))

    def _fail(self, text):
        was_live = self.is_live

        def tell():
            # Of a preview it is no news any more when something else was chosen since.
            if self._run is None:
                self.emit("failed", text, was_live)

        self.close(tell)

    def _end(self):
        self.close(lambda: self.emit("ended"))
        return GLib.SOURCE_REMOVE
