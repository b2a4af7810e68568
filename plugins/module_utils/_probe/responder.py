# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end of the transfers, as a process of its own.

This file is private to the collection.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import ipaddress
import os
import selectors
import signal
import socket
import struct
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import (
    DEFAULT_PORT,
    Loop,
    inside,
)


class Responder:
    """The far end of the transfers: counts what it receives and says so, and ends by itself when nobody has come for some time."""

    def __init__(self, addresses: t.Sequence[tuple[str | None, str]], port: int = DEFAULT_PORT) -> None:
        """addresses: (namespace, address) pairs to listen on. Raises FabricError when one is not there."""
        self.loop = Loop()
        self.last = time.monotonic()
        self.listeners: list[socket.socket] = []
        for namespace, address in addresses:
            version = ipaddress.ip_address(address).version
            with inside(namespace):
                listener = socket.socket(
                    socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK
                )
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
            except OSError as error:
                # The measurements will say that nothing answers there; the other endpoints still count.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                    raise
                listener.close()
                continue
            listener.listen(128)
            self.listeners.append(listener)
            self.loop.selector.register(
                listener, selectors.EVENT_READ, lambda _mask, listener=listener: self._accept(listener)
            )

    def serve(self, lifetime: float) -> None:
        """Serve until nothing has come for lifetime seconds."""
        self.last = time.monotonic()
        while time.monotonic() < self.last + lifetime:
            self.loop.run(lambda: False, self.last + lifetime)

    def close(self) -> None:
        """Stop listening in this process; a child that serves goes on."""
        for listener in self.listeners:
            listener.close()

    def _accept(self, listener: socket.socket) -> None:
        connection, _peer = listener.accept()
        connection.setblocking(False)
        self.last = time.monotonic()
        received = [0]

        def ready(_mask: int) -> None:
            try:
                data = connection.recv(262144)
                self.last = time.monotonic()
                received[0] += len(data)
                if data:
                    return
                connection.send(struct.pack("!Q", received[0]))
            except BlockingIOError:
                return
            except OSError:
                pass
            self.loop.selector.unregister(connection)
            connection.close()

        self.loop.selector.register(connection, selectors.EVENT_READ, ready)


def process_start(pid: int) -> str | None:
    """The start time of a process (field 22 of proc_pid_stat(5)), which tells it from a later one of the same number."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[19]
    except OSError:
        return None


class Background:
    """A responder as a process of its own, remembered by number and start time in a file below /run.

    Each port has its own, so that runs side by side do not end each other's.
    """

    def __init__(self, name: str, port: int = DEFAULT_PORT) -> None:
        self.port = port
        self.family = f"/run/overloom/probe-{name}-"
        self.path = f"{self.family}{port}.pid"

    def running(self) -> int | None:
        """The process number of the responder, or None."""
        return self._running(self.path)

    @staticmethod
    def _running(path: str) -> int | None:
        try:
            with open(path, encoding="ascii") as stream:
                pid, start = stream.read().split()
        except (OSError, ValueError):
            return None
        return int(pid) if process_start(int(pid)) == start else None

    def _forget_killed(self) -> None:
        """Remove the files of responders that somebody killed; those that end by themselves remove their own."""
        for path in glob.glob(glob.escape(self.family) + "*.pid"):
            if self._running(path) is None:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def start(self, addresses: t.Sequence[tuple[str | None, str]], lifetime: float) -> int:
        """Listen, then leave a process that serves until nothing has come for lifetime seconds; returns its number."""
        self._forget_killed()
        responder = Responder(addresses, self.port)
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.close(reader)
            pid = os.getpid()
            with open(self.path, "w", encoding="ascii") as stream:
                stream.write(f"{pid} {process_start(pid)}\n")
            os.write(writer, str(pid).encode())
            os.close(writer)
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            try:
                responder.serve(lifetime)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
                os._exit(0)
        os.close(writer)
        responder.close()
        os.waitpid(child, 0)
        with os.fdopen(reader) as stream:
            return int(stream.read())

    def stop(self) -> bool:
        """End the responder; False when none runs."""
        pid = self.running()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
        with contextlib.suppress(OSError):
            os.unlink(self.path)
            # Other fabrics and labs may have something there.
            os.rmdir(os.path.dirname(self.path))
        return pid is not None
