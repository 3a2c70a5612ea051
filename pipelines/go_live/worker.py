# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0

"""What must not hold up the window: a device may take its time, and so may the end of a pipeline."""

import queue
import threading

from gi.repository import GLib


class Worker:
    """One thread that does jobs in their order; what comes of each is told on the main loop."""

    def __init__(self):
        self._jobs = queue.SimpleQueue()
        # A device that never answers must not keep the process from ending.
        threading.Thread(target=self._work, name="worker", daemon=True).start()

    def do(self, job, then=None):
        """Calls `then` with what `job` returns."""
        self._jobs.put((job, then))

    def _work(self):
        while True:
            job, then = self._jobs.get()
            result = job()
            if then:
                GLib.idle_add(self._tell, then, result)

    @staticmethod
    def _tell(then, result):
        then(result)
        return GLib.SOURCE_REMOVE
