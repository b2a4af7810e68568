# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One transfer by TCP, whose other end says how much of it has come.

This file is private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import selectors
import socket
import struct
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import (
    CONNECT_TIMEOUT,
    Loop,
    Sender,
    inside,
)

# A transfer that is bounded by time: no more than this, and no more of it in the sender's buffer than drains in a moment.
TIMED_BYTES = 1 << 30
TIMED_BUFFER = 256 << 10


class Transfer:
    """One TCP connection that carries bytes and waits for the other end to say how many it got.

    size: how many bytes; seconds: instead of it, for how long.
    """

    def __init__(
        self, loop: Loop, sender: Sender, target: tuple[str, int], size: int, seconds: float | None, outcome: dict
    ) -> None:
        to, self.port = target
        self.loop, self.to, self.seconds, self.outcome = loop, to, seconds, outcome
        self.size = TIMED_BYTES if seconds else size
        version = ipaddress.ip_address(to).version
        with inside(sender.namespace):
            self.socket = socket.socket(
                socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
            )
        if seconds:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, TIMED_BUFFER)
        self.sent = 0
        self.answer = b""
        self.connecting = True
        self.finished = False
        self.started = 0.0

    def connect(self, connected: t.Callable[[Transfer], None], done: t.Callable[[Transfer], None]) -> None:
        """Connect; then connected(this) is called, and the bytes go after start(). done(this) is called once, at the end of it all."""
        self.connected, self.done = connected, done
        status = self.socket.connect_ex((self.to, self.port))
        if status not in (0, errno.EINPROGRESS):
            self._finish({"error": os.strerror(status)})
            return
        self.loop.selector.register(self.socket, selectors.EVENT_WRITE, self._answered)
        self.loop.at(time.monotonic() + CONNECT_TIMEOUT, self._give_up_connecting)

    def start(self, timeout: float) -> None:
        """Send the bytes, within timeout seconds."""
        self.started = time.monotonic()
        self.loop.selector.register(self.socket, selectors.EVENT_WRITE, self._ready)
        self.loop.at(self.started + timeout, lambda: self._finish({"error": f"stalled after {self.sent} bytes"}))

    def _answered(self, _mask: int) -> None:
        # Not watched until it starts: a socket that may be written to is ready all the time.
        self.loop.selector.unregister(self.socket)
        status = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            self._finish({"error": os.strerror(status)})
        else:
            self.connecting = False
            self.connected(self)

    def _give_up_connecting(self) -> None:
        if self.connecting:
            self._finish({"error": f"no connection within {CONNECT_TIMEOUT:.0f} s"})

    def _ready(self, _mask: int) -> None:
        try:
            if self.sent < self.size:
                self.sent += self.socket.send(memoryview(CHUNK)[: self.size - self.sent])
                if self.seconds and time.monotonic() - self.started >= self.seconds:
                    self.size = self.sent
                if self.sent == self.size:
                    self.socket.shutdown(socket.SHUT_WR)
                    self.loop.selector.modify(self.socket, selectors.EVENT_READ, self._ready)
                return
            data = self.socket.recv(8)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish({"error": error.strerror or str(error)})
            return
        self.answer += data
        if data and len(self.answer) < 8:
            return
        seconds = time.monotonic() - self.started
        received = struct.unpack("!Q", self.answer)[0] if len(self.answer) == 8 else 0
        outcome = {"bytes": received, "sent_bytes": self.sent}
        self._finish(
            {**outcome, "seconds": round(seconds, 6), "mbit_per_second": round(received * 8 / seconds / 1e6, 1)}
        )

    def _finish(self, outcome: dict) -> None:
        if self.finished:
            return
        self.finished = True
        self.connecting = False
        with contextlib.suppress(KeyError, ValueError):
            self.loop.selector.unregister(self.socket)
        self.socket.close()
        self.outcome.update(outcome)
        self.done(self)


CHUNK = bytes(262144)
