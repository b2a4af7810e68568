# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sockets in the network namespaces of a host, and one loop that serves them all.

A socket belongs to the network namespace in which it was made (namespaces(7)). So one process enters each
namespace once, makes its sockets there, comes back, and then serves all of them from one event loop.

This file is private to the collection.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import ipaddress
import os
import selectors
import socket
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._probe.packets import (
    ETH_P_ARP,
    ETH_P_IPV6,
    arp_probe,
    echo_request,
    neighbor_probe,
    parse_arp_reply,
    parse_echo_reply,
    parse_neighbor_advert,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

CLONE_NEWNET = 0x40000000  # setns(2)
SIOCGIFHWADDR = 0x8927  # netdevice(7)
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE = 10, 23, 3  # ip(7), ipv6(7): set DF, ignore the cached path MTU
# Of the ports that IANA leaves for private use, those above the range from which Linux takes the ports of outgoing connections.
DEFAULT_PORT = 61000
PACKETS_PER_SECOND = 2000
CONNECT_TIMEOUT = 5.0
# Seconds that each of some datagrams waits for its answer.
DATAGRAM_TIMEOUT, DATAGRAMS = 1.5, 3
NO_ANSWER = "no answer"


@contextlib.contextmanager
def inside(namespace: str | None) -> t.Iterator[None]:
    """Enter a named network namespace (ip-netns(8)) for the length of a with block; None stays in the host's own.

    Raises FabricError when there is no namespace of that name.
    """
    if namespace is None:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        target = os.open("/run/netns/" + namespace, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FabricError(f"namespace {namespace} does not exist on this host; run site.yml first") from error
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(target, CLONE_NEWNET) != 0:
            raise FabricError(f"namespace {namespace} could not be entered: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            if libc.setns(home, CLONE_NEWNET) != 0:
                # Going on in a foreign namespace would measure the wrong network.
                os._exit(70)
    finally:
        os.close(target)
        os.close(home)


class Loop:
    """Sockets and timers, served until nothing is left to wait for."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, t.Callable[[], None]]] = []
        self._order = 0
        self._next_packet = 0.0

    def at(self, when: float, action: t.Callable[[], None]) -> None:
        """Call action at the monotonic time when."""
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, action))

    def packet(self, not_before: float, action: t.Callable[[], None]) -> float:
        """Call action at not_before, or later when the packet rate says so; returns the time at which that is."""
        self._next_packet = max(self._next_packet + 1 / PACKETS_PER_SECOND, not_before)
        self.at(self._next_packet, action)
        return self._next_packet

    def run(self, done: t.Callable[[], bool], deadline: float) -> None:
        """Serve sockets and timers until done() or the monotonic time deadline; timers left over are dropped."""
        while True:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            if now >= deadline or done():
                break
            wake = min(deadline, self._timers[0][0]) if self._timers else deadline
            for key, mask in self.selector.select(max(0.0, wake - time.monotonic())):
                key.data(mask)
        self._timers.clear()


class Sender(t.NamedTuple):
    """Where probes start: an endpoint, or the host itself (namespace and interface None).

    asks_as: the addresses with which it asks for neighbors, where its switch lets it ask with no others.
    """

    id: str
    namespace: str | None
    interface: str | None
    asks_as: tuple[str, ...] = ()


def connection(sender: Sender, to: str, port: int) -> dict:
    """Connect to a service by TCP, and close at once: it is somebody's, so nothing is sent."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with inside(sender.namespace):
        link = socket.socket(family, socket.SOCK_STREAM)
    with link:
        link.settimeout(CONNECT_TIMEOUT)
        try:
            link.connect((to, port))
        except OSError as error:
            return {"error": error.strerror or str(error)}
    return {"connected": True}


def datagram(sender: Sender, to: str, port: int) -> dict:
    """Ask a UDP port with next to nothing. That nobody listens there is an answer as well, by ICMP."""
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with inside(sender.namespace):
        link = socket.socket(family, socket.SOCK_DGRAM)
    with link:
        link.settimeout(DATAGRAM_TIMEOUT)
        for _attempt in range(DATAGRAMS):
            try:
                link.connect((to, port))
                link.send(b"\n")
                link.recv(1)
            except socket.timeout:
                continue
            except OSError as error:
                return {"error": error.strerror or str(error)}
            return {"connected": True}
    return {"error": NO_ANSWER}


def listening_datagrams(namespace: str | None) -> list[int]:
    """The UDP ports that somebody has in a namespace, in order."""
    ports = set()
    with inside(namespace):
        for table in ("udp", "udp6"):
            # Of this thread, which may be in another namespace than its process.
            with contextlib.suppress(OSError), open(f"/proc/thread-self/net/{table}", encoding="ascii") as stream:
                ports |= {int(line.split()[1].rpartition(":")[2], 16) for line in stream.readlines()[1:]}
    return sorted(ports)


class Echo:
    """Echo requests from one sender over one IP version; replies are told apart by sequence number."""

    def __init__(self, loop: Loop, sender: Sender, version: int) -> None:
        family, protocol = (socket.AF_INET, 1) if version == 4 else (socket.AF_INET6, 58)
        with inside(sender.namespace):
            self.socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        level, option = (socket.IPPROTO_IP, IP_MTU_DISCOVER) if version == 4 else (41, IPV6_MTU_DISCOVER)
        self.socket.setsockopt(level, option, PMTUDISC_PROBE)
        self.version = version
        self.identifier = (os.getpid() ^ id(self)) & 0xFFFF
        self.sequence = 0
        self.waiting: dict[int, t.Callable[[float], None]] = {}
        loop.selector.register(self.socket, selectors.EVENT_READ, self._receive)

    def send(self, to: str, payload: int, answered: t.Callable[[float], None]) -> str | None:
        """Send one request; answered(seconds) is called with its round-trip time. Returns an error's text."""
        self.sequence = (self.sequence + 1) & 0xFFFF
        sent = time.monotonic()
        self.waiting[self.sequence] = lambda now: answered(now - sent)
        try:
            self.socket.sendto(echo_request(self.version, self.identifier, self.sequence, payload), (to, 0))
        except OSError as error:
            del self.waiting[self.sequence]
            return error.strerror or str(error)
        return None

    def _receive(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self.socket.recv(65536)
                reply = parse_echo_reply(self.version, packet)
                if reply and reply[0] == self.identifier:
                    answered = self.waiting.pop(reply[1], None)
                    if answered:
                        answered(time.monotonic())


class Layer2:
    """Address probes from one sender's interface, below IP."""

    def __init__(self, loop: Loop, sender: Sender, version: int) -> None:
        protocol = ETH_P_ARP if version == 4 else ETH_P_IPV6
        with inside(sender.namespace):
            self.socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(protocol)
            )
        self.socket.bind((sender.interface, protocol))
        self.mac = self.socket.getsockname()[4]
        self.version = version
        self.source = next((one for one in sender.asks_as if ipaddress.ip_address(one).version == version), None)
        self.answers: dict[str, set[str]] = {}
        self.heard: dict[str, float] = {}  # for each address, when it last answered
        self.expected: dict[str, t.Callable[[], None]] = {}  # for each address, what to call when it answers
        if version == 6:
            # Neighbor advertisements for a probe go to all nodes; the interface listens to that group already.
            self._frame, self._parse = neighbor_probe, parse_neighbor_advert
        else:
            self._frame, self._parse = arp_probe, parse_arp_reply
        loop.selector.register(self.socket, selectors.EVENT_READ, self._receive)

    def send(self, to: str) -> str | None:
        """Ask who has address to; returns an error's text."""
        try:
            self.socket.send(self._frame(self.mac, to, self.source))
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _receive(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            while True:
                said = self._parse(self.socket.recv(2048))
                if said:
                    self.answers.setdefault(said[0], set()).add(said[1])
                    self.heard[said[0]] = time.monotonic()
                    self.expected.pop(said[0], lambda: None)()


class AllNodes:
    """An echo request to all nodes of a link (ff02::1, RFC 4291, 2.7.1), and the addresses from which it was answered."""

    def __init__(self, loop: Loop, sender: Sender) -> None:
        if sender.interface is None:
            raise FabricError(f"{sender.id} is no endpoint: all nodes of a link are asked from an interface")
        with inside(sender.namespace):
            self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
            self.to = ("ff02::1", 0, 0, socket.if_nametoindex(sender.interface))
        # The sender's own namespace is a node of the link, too, and shows nothing.
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        self.identifier = (os.getpid() ^ id(self)) & 0xFFFF
        self.answers: set[str] = set()
        loop.selector.register(self.socket, selectors.EVENT_READ, self._receive)

    def send(self, sequence: int) -> str | None:
        """Ask once; returns an error's text."""
        try:
            self.socket.sendto(echo_request(6, self.identifier, sequence, 8), self.to)
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _receive(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, source = self.socket.recvfrom(2048)
                reply = parse_echo_reply(6, packet)
                if reply and reply[0] == self.identifier:
                    self.answers.add(source[0].partition("%")[0])


def own_addresses() -> set[str]:
    """The IPv6 addresses of this network namespace (/proc/net/if_inet6)."""
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as stream:
            return {socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line[:32])) for line in stream}
    except OSError:
        return set()
