# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure from a host's endpoints, all side by side, in one process and without spawning any.

A socket belongs to the network namespace in which it was made (namespaces(7)). So one process enters each
namespace once, makes its sockets there, comes back, and then serves all of them from one event loop.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import errno
import functools
import glob
import heapq
import ipaddress
import os
import selectors
import signal
import socket
import struct
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

CLONE_NEWNET = 0x40000000  # setns(2)
SIOCGIFHWADDR = 0x8927  # netdevice(7)
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_PROBE = 10, 23, 3  # ip(7), ipv6(7): set DF, ignore the cached path MTU
ETH_P_ARP, ETH_P_IPV6 = 0x0806, 0x86DD
# Of the ports that IANA leaves for private use, those above the range from which Linux takes the ports of outgoing connections.
DEFAULT_PORT = 61000

PING_COUNT = 5
PING_INTERVAL = 0.05
PACKETS_PER_SECOND = 2000
IN_FLIGHT = 16
REPLY_WINDOW = 2.0
PING_TIMEOUT = 60.0
SILENCE_WINDOW = 1.0
ASK_ROUNDS = 3
ASK_AGAIN_ROUNDS = 2
ASK_INTERVAL = 0.2
ASKED_AT_ONCE = 8
ASKERS_AT_ONCE = 4
CONTROL_WINDOW = 0.5
DEAD_CONTROL_WINDOW = 0.05
TCP_AT_ONCE = 4
CONNECTIONS_AT_ONCE = 64
CONNECT_TIMEOUT = 5.0
# Seconds that each of some datagrams waits for its answer.
DATAGRAM_TIMEOUT, DATAGRAMS = 1.5, 3
NO_ANSWER = "no answer"
# A transfer that is bounded by time: no more than this, and no more of it in the sender's buffer than drains in a moment.
TIMED_BYTES = 1 << 30
TIMED_BUFFER = 256 << 10


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


def internet_checksum(data: bytes) -> int:
    """The checksum of RFC 1071 over data."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(version: int, identifier: int, sequence: int, payload: int) -> bytes:
    """An ICMP echo request (RFC 792; RFC 4443, whose checksum the kernel computes) with payload bytes of data."""
    kind = 8 if version == 4 else 128
    body = bytes(payload)
    packet = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + body
    if version == 4:
        packet = packet[:2] + struct.pack("!H", internet_checksum(packet)) + packet[4:]
    return packet


def parse_echo_reply(version: int, packet: bytes) -> tuple[int, int] | None:
    """(identifier, sequence) of an echo reply as a raw socket delivers it, or None for anything else."""
    offset = (packet[0] & 0x0F) * 4 if version == 4 and packet else 0
    if len(packet) < offset + 8 or packet[offset] != (0 if version == 4 else 129):
        return None
    return struct.unpack("!HH", packet[offset + 4 : offset + 8])


def arp_probe(mac: bytes, target: str, source: str | None = None) -> bytes:
    """An Ethernet frame with an ARP probe for target (RFC 5227: sender address 0.0.0.0), or from a source that the switch holds the sender to.

    Every owner of the address that the frame reaches answers it, whatever its routes are: it tests the layer-2
    network and nothing else.
    """
    arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(source or "0.0.0.0")
    arp += bytes(6) + socket.inet_aton(target)
    return b"\xff" * 6 + mac + struct.pack("!H", ETH_P_ARP) + arp


def parse_arp_reply(frame: bytes) -> tuple[str, str] | None:
    """(address, MAC) of the sender of an ARP reply, or None."""
    if len(frame) < 42 or frame[12:14] != b"\x08\x06" or frame[20:22] != b"\x00\x02":
        return None
    return socket.inet_ntoa(frame[28:32]), frame[22:28].hex(":")


def neighbor_probe(mac: bytes, target: str, source: str | None = None) -> bytes:
    """An Ethernet frame with a neighbor solicitation for target from the unspecified address (RFC 4862, 5.4.2), or from a source (RFC 4861, 4.3)."""
    asker = socket.inet_pton(socket.AF_INET6, source or "::")
    wanted = socket.inet_pton(socket.AF_INET6, target)
    group = bytes.fromhex("ff0200000000000000000001ff") + wanted[-3:]
    body = struct.pack("!BBHI", 135, 0, 0, 0) + wanted + (b"\x01\x01" + mac if source else b"")
    pseudo = asker + group + struct.pack("!IxxxB", len(body), 58)
    body = body[:2] + struct.pack("!H", internet_checksum(pseudo + body)) + body[4:]
    header = struct.pack("!IHBB", 6 << 28, len(body), 58, 255) + asker + group
    return b"\x33\x33" + group[-4:] + mac + struct.pack("!H", ETH_P_IPV6) + header + body


def parse_neighbor_advert(frame: bytes) -> tuple[str, str] | None:
    """(address, MAC) of a neighbor advertisement's sender (RFC 4861, 4.4), or None."""
    if len(frame) < 78 or frame[12:14] != b"\x86\xdd" or frame[20] != 58 or frame[54] != 136:
        return None
    return socket.inet_ntop(socket.AF_INET6, frame[62:78]), frame[6:12].hex(":")


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


class Question(t.NamedTuple):
    """Addresses that one sender asks for together, and the control that is asked for after them."""

    layer2: Layer2
    control: str | None
    group: list[tuple[dict, dict]]

    def control_answered(self) -> bool:
        """Whether the control has answered after the group was asked for the first time."""
        if self.control is None:
            return False
        return self.layer2.heard.get(self.control, -1.0) > max(outcome["asked"] for _probe, outcome in self.group)


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


class _Window:
    """Counted pings that are still to be sent, of which only so many wait for their answer at a time.

    todo: (number of the round, probe, outcome). send: sends one, and calls what it is given when that one is settled.
    """

    def __init__(
        self,
        loop: Loop,
        begun: float,
        todo: collections.deque[tuple[int, dict, dict]],
        send: t.Callable[[dict, dict, t.Callable[[], None]], None],
    ) -> None:
        self._loop = loop
        self._begun = begun
        self._todo = todo
        self._send = send
        self._in_flight = 0
        self._alarm = begun

    def fill(self) -> None:
        """Send what has room and whose round has come; the next round has an alarm of its own."""
        while self._todo and self._in_flight < IN_FLIGHT:
            count, probe, outcome = self._todo[0]
            not_before = self._begun + count * PING_INTERVAL
            if time.monotonic() < not_before:
                if self._alarm < not_before:
                    self._alarm = not_before
                    self._loop.at(not_before, self.fill)
                return
            self._todo.popleft()
            self._in_flight += 1
            self._send(probe, outcome, self._settled)

    def is_done(self) -> bool:
        """Called after each packet and timer: here a place that has become free is taken again."""
        if self._in_flight < IN_FLIGHT:
            self.fill()
        return not (self._todo or self._in_flight)

    def _settled(self) -> None:
        self._in_flight -= 1


class Prober:
    """Takes all of a host's measurements, in four rounds: settle, ping, transfer, isolation.

    port: where responders listen; count: how many pings are counted.
    """

    def __init__(self, senders: t.Sequence[Sender], port: int = DEFAULT_PORT, count: int = PING_COUNT) -> None:
        self.loop = Loop()
        self.port = port
        self.count = count
        self.senders = {sender.id: sender for sender in senders}
        self._echo: dict[tuple[str, int], Echo] = {}
        self._layer2: dict[tuple[str, int], Layer2] = {}

    def echo(self, sender: str, version: int) -> Echo:
        """The sender's echo socket for an IP version, made at its first use."""
        if (sender, version) not in self._echo:
            self._echo[sender, version] = Echo(self.loop, self.senders[sender], version)
        return self._echo[sender, version]

    def layer2(self, sender: str, version: int) -> Layer2:
        """The sender's layer-2 socket for an IP version, made at its first use."""
        if (sender, version) not in self._layer2:
            self._layer2[sender, version] = Layer2(self.loop, self.senders[sender], version)
        return self._layer2[sender, version]

    def measure(self, probes: t.Sequence[dict], settle: float, tcp_bytes: int, tcp_timeout: float) -> list[dict]:
        """Run every probe and return what was observed, in the order of probes.

        probes: dicts with kind (ping, mtu, tcp, connect, isolation, host), from (a sender's id), to (an address), and for mtu
        the size of the IP packet, for isolation optionally to_mac and control (an address that must answer), for tcp
        bytes or seconds, instead of tcp_bytes, for connect the port and the protocol.
        settle: seconds to wait at most for a first answer before the counted pings.
        """
        observed: list[dict] = [{} for _probe in probes]
        by_kind: dict[str, list[tuple[dict, dict]]] = {}
        unusable = {sender.id: why for sender in self.senders.values() for why in [self._why_unusable(sender)] if why}
        for probe, outcome in zip(probes, observed):
            if probe["from"] in unusable:
                outcome["error"] = unusable[probe["from"]]
                continue
            by_kind.setdefault(probe["kind"], []).append((probe, outcome))
        reachable = by_kind.get("ping", []) + by_kind.get("mtu", [])
        self._settle(reachable, settle)
        self._ping(reachable)
        transfers = by_kind.get("tcp", [])
        # One that is to tell a rate has the host's sending for itself.
        self._transfer([pair for pair in transfers if pair[0].get("seconds")], tcp_bytes, tcp_timeout, 1)
        self._transfer([pair for pair in transfers if not pair[0].get("seconds")], tcp_bytes, tcp_timeout, TCP_AT_ONCE)
        for probe, outcome in by_kind.get("connect", []):
            ask = datagram if probe.get("protocol") == "udp" else connection
            outcome.update(ask(self.senders[probe["from"]], probe["to"], probe["port"]))
        self._isolation(by_kind.get("isolation", []))
        self._host(by_kind.get("host", []))
        return observed

    @staticmethod
    def _why_unusable(sender: Sender) -> str | None:
        """Why nothing can be sent from here, or None; one endpoint that is gone must not hide the others' results."""
        try:
            with inside(sender.namespace):
                if sender.interface is not None:
                    socket.if_nametoindex(sender.interface)
        except FabricError as error:
            return str(error)
        except OSError:
            return f"interface {sender.interface} does not exist in namespace {sender.namespace}; run site.yml first"
        return None

    def _settle(self, pairs: list[tuple[dict, dict]], settle: float) -> None:
        """Wait until each pair has answered once: routes, MAC tables and spanning trees take their time after a change."""
        begun = time.monotonic()
        open_pairs = {(probe["from"], probe["to"]) for probe, _outcome in pairs}
        seconds: dict[tuple[str, str], float] = {}

        def attempt(pair: tuple[str, str]) -> None:
            if pair in seconds:
                return
            sender, to = pair

            def answered(_rtt: float) -> None:
                seconds.setdefault(pair, time.monotonic() - begun)

            self.echo(sender, ipaddress.ip_address(to).version).send(to, 56, answered)
            self.loop.packet(time.monotonic() + 0.25, lambda: attempt(pair))

        for pair in sorted(open_pairs):
            self.loop.packet(begun, functools.partial(attempt, pair))
        self.loop.run(lambda: len(seconds) == len(open_pairs), begun + settle)
        for probe, outcome in pairs:
            settled = seconds.get((probe["from"], probe["to"]))
            outcome["settled_after"] = None if settled is None else round(settled, 3)

    def _ping(self, pairs: list[tuple[dict, dict]]) -> None:
        """The counted pings: none may be lost, none is repeated.

        Only so many wait for their answer at a time. A busy forwarder then slows the measurement down, instead of
        losing packets because it was asked for more at once than any user would. A pair that has not answered while
        the network settled gets one more packet, and nothing waits for that: many dead pairs must not take minutes.
        """
        for _probe, outcome in pairs:
            outcome.update(sent=0, received=0, rtt_ms=None, error=None)
        self._ping_dead([pair for pair in pairs if pair[1]["settled_after"] is None])
        begun = time.monotonic()
        alive = [pair for pair in pairs if pair[1]["settled_after"] is not None]
        todo = collections.deque((count, probe, outcome) for count in range(self.count) for probe, outcome in alive)
        window = _Window(self.loop, begun, todo, self._ping_once)
        window.fill()
        self.loop.run(window.is_done, begun + self.count * PING_INTERVAL + REPLY_WINDOW + PING_TIMEOUT)
        for _count, _probe, outcome in todo:
            outcome["error"] = f"not measured within {PING_TIMEOUT:.0f} s: too many packets before it were lost"
        for _probe, outcome in pairs:
            if outcome["received"]:
                outcome["rtt_ms"] = round(outcome["rtt_ms"] / outcome["received"], 3)

    def _ping_dead(self, pairs: list[tuple[dict, dict]]) -> None:
        """One packet for each pair that never answered, all on their way together."""
        answered: list[dict] = []
        last = time.monotonic()
        for probe, outcome in pairs:
            send = functools.partial(self._ping_once, probe, outcome, functools.partial(answered.append, outcome))
            last = self.loop.packet(last, send)
        if pairs:
            self.loop.run(lambda: len(answered) == len(pairs), last + REPLY_WINDOW + 0.1)

    def _ping_once(self, probe: dict, outcome: dict, settled: t.Callable[[], None]) -> None:
        """Send one counted ping; settled() is called once, when it is answered, refused, or given up."""
        version = ipaddress.ip_address(probe["to"]).version
        payload = probe["size"] - (28 if version == 4 else 48) if probe["kind"] == "mtu" else 56
        is_open = [True]

        def close() -> None:
            if is_open[0]:
                is_open[0] = False
                settled()

        def answered(rtt: float) -> None:
            if is_open[0]:
                outcome["received"] += 1
                outcome["rtt_ms"] = (outcome["rtt_ms"] or 0.0) + rtt * 1000
            close()

        outcome["sent"] += 1
        error = self.echo(probe["from"], version).send(probe["to"], payload, answered)
        if error:
            outcome["error"] = error
            close()
        else:
            self.loop.at(time.monotonic() + REPLY_WINDOW, close)

    def _transfer(self, pairs: list[tuple[dict, dict]], size: int, timeout: float, at_once: int) -> None:
        """TCP transfers, a few at a time, while more may wait for their connection."""
        todo = collections.deque(pairs)
        opened: set[Transfer] = set()
        running: set[Transfer] = set()
        connected: collections.deque[Transfer] = collections.deque()

        def closed(transfer: Transfer) -> None:
            opened.discard(transfer)
            running.discard(transfer)

        def done() -> bool:
            while todo and len(opened) < CONNECTIONS_AT_ONCE:
                probe, outcome = todo.popleft()
                length = probe.get("bytes") or size
                transfer = Transfer(
                    self.loop,
                    self.senders[probe["from"]],
                    (probe["to"], self.port),
                    length,
                    probe.get("seconds"),
                    outcome,
                )
                opened.add(transfer)
                transfer.connect(connected.append, closed)
            while connected and len(running) < at_once:
                running.add(connected[0])
                connected.popleft().start(timeout)
            return not opened

        self.loop.run(
            done,
            time.monotonic()
            + CONNECT_TIMEOUT * (1 + len(pairs) / CONNECTIONS_AT_ONCE)
            + timeout * (1 + len(pairs) / at_once),
        )

    def _isolation(self, pairs: list[tuple[dict, dict]]) -> None:
        """Ask below IP and by echo for addresses that must stay silent, and for a control that must not.

        Every question is flooded to a whole segment, and a question that a busy forwarder dropped would pass for
        silence. So each few of them are followed by the control, and the next wait for its answer.
        """
        groups: dict[tuple[str, int, str | None], list[tuple[dict, dict]]] = {}
        for probe, outcome in pairs:
            outcome.update(echo_replies=0, error=None)
            to = ipaddress.ip_address(probe["to"])
            groups.setdefault((probe["from"], to.version, probe.get("control")), []).append((probe, outcome))
        questions = [
            Question(self.layer2(sender, version), control, group[start : start + ASKED_AT_ONCE])
            for (sender, version, control), group in groups.items()
            for start in range(0, len(group), ASKED_AT_ONCE)
        ]
        for number in range(ASK_ROUNDS + ASK_AGAIN_ROUNDS):
            if number >= ASK_ROUNDS:
                # Silence that a silent control has made worthless is asked for once more, one question at a time.
                questions = [question for question in questions if question.control and not question.control_answered()]
            if not questions:
                break
            begun = time.monotonic()
            todo = collections.deque(questions)
            waiting: set[int] = set()
            done = functools.partial(self._ask_more, todo, waiting, ASKERS_AT_ONCE if number < ASK_ROUNDS else 1)
            self.loop.run(done, begun + CONTROL_WINDOW * (1 + len(questions)))
            pause = SILENCE_WINDOW if number >= ASK_ROUNDS - 1 else begun + ASK_INTERVAL - time.monotonic()
            self.loop.run(lambda: False, time.monotonic() + pause)
        for (sender, version, control), group in groups.items():
            layer2 = self.layer2(sender, version)
            control_answered = Question(layer2, control, group).control_answered()
            for probe, outcome in group:
                heard = layer2.answers.get(probe["to"], set())
                outcome["answered_by"] = sorted(heard & {probe["to_mac"]} if probe.get("to_mac") else heard)
                if control:
                    outcome["control_answered"] = control_answered
                del outcome["asked"]

    def _host(self, pairs: list[tuple[dict, dict]]) -> None:
        """Ask all nodes of each sender's link, and see whether this host is among those that answer."""
        asked = [(AllNodes(self.loop, self.senders[probe["from"]]), outcome) for probe, outcome in pairs]
        begun = time.monotonic()
        for number in range(ASK_ROUNDS):
            for link, outcome in asked:
                outcome["error"] = link.send(number)
            self.loop.run(lambda: False, begun + ASK_INTERVAL * (number + 1))
        if asked:
            self.loop.run(lambda: False, time.monotonic() + SILENCE_WINDOW)
        own = own_addresses()
        for link, outcome in asked:
            outcome.update(answered_by=sorted(link.answers & own), others_answered=len(link.answers - own))
            self.loop.selector.unregister(link.socket)
            link.socket.close()

    def _ask_more(self, todo: collections.deque[Question], waiting: set[int], at_once: int) -> bool:
        """Ask as many questions as may wait at once; returns whether all have been asked and none waits."""
        while todo and len(waiting) < at_once:
            self._ask(todo.popleft(), waiting)
        return not (todo or waiting)

    def _ask(self, question: Question, waiting: set[int]) -> None:
        """Ask for the addresses of a group, then for the control; in waiting until that answers or a moment has gone."""
        layer2, control, group = question
        token = id(group)
        for probe, outcome in group:

            def answered(_rtt: float, outcome: dict = outcome) -> None:
                outcome["echo_replies"] += 1

            outcome.setdefault("asked", time.monotonic())
            outcome["error"] = layer2.send(probe["to"])
            # "No route" is the expected answer here; only a reply counts.
            self.echo(probe["from"], layer2.version).send(probe["to"], 56, answered)
        waiting.add(token)
        # A control that has never answered so far is hardly going to: many dead endpoints must not take minutes.
        window = DEAD_CONTROL_WINDOW if not control or control in layer2.expected else CONTROL_WINDOW
        self.loop.at(time.monotonic() + window, lambda: waiting.discard(token))
        if control:
            layer2.expected[control] = lambda: waiting.discard(token)
            error = layer2.send(control)
            for _probe, outcome in group:
                outcome["error"] = outcome["error"] or error


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
