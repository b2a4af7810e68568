# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness of guests: probes that succeed or say why not, and waits that all run side by side and all end.

This file is private to the collection.
"""

from __future__ import annotations

import base64
import ctypes
import ipaddress
import os
import re
import socket
import ssl
import struct
import threading
import time
import typing as t
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import connect, libvirt, said
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import attribute, check_mac
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Module, mask

KINDS = ("agent", "arp", "console", "dhcp_lease", "http", "ping", "ssh", "tcp")
# What each kind cannot do without.
NEEDS = {
    "agent": ("name",),
    "arp": ("host",),
    "console": ("name", "text"),
    "dhcp_lease": ("network", "mac"),
    "http": ("url",),
    "ping": ("host",),
    "ssh": ("host",),
    "tcp": ("host", "port"),
}
SPEC: dict[str, t.Any] = {
    "name": {"type": "str"},
    "kind": {"type": "str", "choices": list(KINDS)},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "url": {"type": "str"},
    "user": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "body": {"type": "str"},
    "status": {"type": "list", "elements": "int", "default": [200]},
    "validate_certs": {"type": "bool", "default": True},
    "text": {"type": "str"},
    "interface": {"type": "str"},
    "namespace": {"type": "str"},
    "network": {"type": "str"},
    "mac": {"type": "str"},
    "times": {"type": "int", "default": 1},
    "timeout": {"type": "int", "default": 120},
    "since": {"type": "float"},
}
# Numbers: option, least, most, unit.
RANGES = (("timeout", 1, 7200, " seconds"), ("times", 1, 100, ""), ("port", 1, 65535, ""))
TAIL_LINES = 20
TRY_SECONDS = 3.0
# No domain is read again more often than this, since many waits may name the same one.
ALIVE_SECONDS = 1.0
CLONE_NEWNET = 0x40000000


class NotYet(Exception):
    """A probe's reason for not being satisfied."""


class Wait(t.NamedTuple):
    """One wait, checked."""

    what: str
    options: dict[str, t.Any]


def want(item: t.Mapping[str, t.Any]) -> Wait:
    """Check one item. Raises FabricError."""
    kind = item["kind"]
    if kind is None:
        raise FabricError(f"kind is missing: choose one of {', '.join(KINDS)}")
    place = item["name"] or item["host"] or item["url"] or item["mac"] or "?"
    what = f"{kind} of {place}"
    missing = next((key for key in NEEDS[kind] if item[key] in (None, "")), None)
    if missing:
        raise FabricError(f"wait for {what} needs {missing}")
    for key, least, most, unit in RANGES:
        if item[key] is not None and not least <= item[key] <= most:
            raise FabricError(f"wait for {what}: {key} {item[key]} is not between {least} and {most}{unit}")
    options = {**item, **_of_kind(kind, item, what)}
    namespace = item["namespace"]
    if namespace and (namespace in (".", "..") or not re.fullmatch(r"[A-Za-z0-9_.:-]+", namespace)):
        raise FabricError(f"wait for {what}: namespace {namespace!r} is no name")
    return Wait(what, options)


def _of_kind(kind: str, item: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """Check the options that only one kind has; returns those of them that change. Raises FabricError."""
    if kind == "ssh" and item["port"] is None:
        return {"port": 22}
    if kind == "dhcp_lease":
        return {"mac": check_mac(item["mac"], f"wait for {what}: mac")}
    if kind in ("arp", "ping"):
        _check_target(kind, item, what)
    elif kind == "console":
        try:
            re.compile(item["text"])
        except re.error as error:
            raise FabricError(f"wait for {what}: text {item['text']!r} is no regular expression: {error}") from None
    elif kind == "http" and not re.match(r"https?://[^\s]+$", item["url"]):
        raise FabricError(f"wait for {what}: url {item['url']!r} must begin with http:// or https://")
    return {}


def _check_target(kind: str, item: t.Mapping[str, t.Any], what: str) -> None:
    """What is asked by its address."""
    try:
        version = ipaddress.ip_address(item["host"]).version
    except ValueError:
        raise FabricError(f"wait for {what}: host {item['host']!r} is no IP address") from None
    if kind == "arp" and (version == 6 or not item["interface"]):
        raise FabricError(f"wait for {what} needs an IPv4 address and the interface to ask on")


# ---- probes: each returns when satisfied, raises NotYet with the reason when not


def probe_tcp(options: t.Mapping[str, t.Any], seconds: float) -> str:
    """A TCP port that accepts a connection."""
    with _connected(options, seconds):
        return "accepts connections"


def probe_ssh(options: t.Mapping[str, t.Any], seconds: float) -> str:
    """An SSH server that says its version (RFC 4253, 4.2); a forwarder in between accepts connections long before."""
    with _connected(options, seconds) as stream:
        stream.settimeout(seconds)
        try:
            banner = stream.recv(255)
        except OSError as error:
            raise NotYet(f"connected, and no banner came: {error}") from error
    line = banner.split(b"\n")[0].strip().decode("ascii", "replace")
    if not line.startswith("SSH-"):
        raise NotYet(f"connected, and it said {line!r}")
    return line


def _connected(options: t.Mapping[str, t.Any], seconds: float) -> socket.socket:
    try:
        return socket.create_connection((options["host"], options["port"]), timeout=seconds)
    except OSError as error:
        raise NotYet(f"{options['host']} port {options['port']}: {error}") from error


def probe_http(options: t.Mapping[str, t.Any], seconds: float) -> str:
    """An HTTP answer with an accepted status (eAPI, REST)."""
    asked = {key: options[key] for key in ("body", "user", "password", "validate_certs")}
    status, _text = http_answer(options["url"], seconds, **asked)
    if status not in options["status"]:
        raise NotYet(f"status {status}, not {' or '.join(str(n) for n in options['status'])}")
    return f"status {status}"


def http_answer(
    url: str,
    seconds: float,
    body: str | None = None,
    user: str | None = None,
    password: str | None = None,
    validate_certs: bool = False,
) -> tuple[int, bytes]:
    """The status and the text of an HTTP answer; with a body of JSON the request is a POST. Raises NotYet when there is none."""
    headers = {}
    if user is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password or ''}".encode()).decode()
    if body is not None:
        headers["Content-Type"] = "application/json"
    context = ssl.create_default_context()
    if not validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    data = None if body is None else body.encode()
    try:
        with opener.open(urllib.request.Request(url, data=data, headers=headers), timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, ValueError) as error:
        raise NotYet(str(getattr(error, "reason", error))) from error
    except Exception as error:  # http.client raises its own kinds on an answer that is none.
        raise NotYet(f"no HTTP answer: {error}") from error


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def probe_ping(options: t.Mapping[str, t.Any], seconds: float) -> str:
    """An answer to an ICMP echo request (RFC 792, RFC 4443)."""
    six = ipaddress.ip_address(options["host"]).version == 6
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    token = os.urandom(8)
    head = struct.pack("!BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1)
    if not six:
        head = head[:2] + struct.pack("!H", checksum(head + token)) + head[4:]
    try:
        with socket.socket(family, socket.SOCK_RAW, protocol) as stream:
            if options["interface"]:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options["interface"].encode() + b"\0")
            stream.sendto(head + token, (options["host"], 0))
            _await(
                stream,
                seconds,
                lambda packet: token in packet and packet[0 if six else (packet[0] & 15) * 4] == (129 if six else 0),
            )
    except OSError as error:
        raise NotYet(f"no ping can be sent: {error}") from error
    return "answers pings"


def probe_arp(options: t.Mapping[str, t.Any], seconds: float) -> str:
    """An answer to an ARP request (RFC 826); the asking interface needs no address in the guest's subnet."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)) as stream:
            stream.bind((options["interface"], 0))
            mac, target = stream.getsockname()[4], socket.inet_aton(options["host"])
            # Sender address zero, as RFC 5227 asks for a probe: it changes nobody's cache.
            request = (
                b"\xff" * 6
                + mac
                + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1)
                + mac
                + bytes(4)
                + bytes(6)
                + target
            )
            stream.send(request)
            answer = _await(stream, seconds, lambda packet: packet[20:22] == b"\0\2" and packet[28:32] == target)
    except OSError as error:
        raise NotYet(f"interface {options['interface']}: {error}") from error
    return "is at " + ":".join(f"{byte:02x}" for byte in answer[22:28])


def _await(stream: socket.socket, seconds: float, fits: t.Callable[[bytes], bool]) -> bytes:
    end = time.monotonic() + min(seconds, 1.0)
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise NotYet("no answer")
        stream.settimeout(left)
        try:
            packet = stream.recv(2048)
        except socket.timeout:
            raise NotYet("no answer") from None
        if fits(packet):
            return packet


def probe_agent(connection: t.Any, name: str, seconds: float) -> str:
    """The QEMU guest agent answers."""
    import libvirt_qemu

    try:
        libvirt_qemu.qemuAgentCommand(
            connection.lookupByName(name), '{"execute":"guest-ping"}', max(1, int(seconds)), 0
        )
    except libvirt.libvirtError as error:
        raise NotYet(said(error)) from error
    return "answers"


def probe_lease(connection: t.Any, options: t.Mapping[str, t.Any]) -> str:
    """libvirt's DHCP server has given out a lease."""
    try:
        leases = connection.networkLookupByName(options["network"]).DHCPLeases(options["mac"])
    except libvirt.libvirtError as error:
        raise NotYet(said(error)) from error
    if not leases:
        raise NotYet("no lease yet")
    return f"has the lease of {leases[-1]['ipaddr']}"


class Console:
    """What a guest has written to its serial console: its log file when it has one, else what comes while we listen."""

    def __init__(self, connection: t.Any, name: str) -> None:
        self.connection, self.name = connection, name
        self.text = ""
        self._log = ""
        self._stream: t.Any = None
        self._said = ""
        try:
            root = ET.fromstring(connection.lookupByName(name).XMLDesc())
            self._log = attribute(root, "devices/serial/log", "file") or ""
            if not self._log and root.find("devices/serial") is None and root.find("devices/console") is None:
                self._said = "the domain has no serial console: give it the option serial"
        except libvirt.libvirtError as error:
            self._said = said(error)

    def read(self) -> str:
        """All that is known by now."""
        if self._log:
            try:
                with open(self._log, "rb") as stream:
                    self.text = stream.read()[-(2**20) :].decode("utf-8", "replace")
            except OSError as error:
                self._said = str(error)
            return self.text
        if self._said:
            return self.text
        try:
            if self._stream is None:
                self._stream = self.connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
                self.connection.lookupByName(self.name).openConsole(None, self._stream, libvirt.VIR_DOMAIN_CONSOLE_SAFE)
            while True:
                data = self._stream.recv(65536)
                if not isinstance(data, bytes) or not data:
                    break
                self.text = (self.text + data.decode("utf-8", "replace"))[-(2**20) :]
        except libvirt.libvirtError as error:
            self._said, self._stream = f"the console cannot be read ({said(error)}): give the domain serial.log", None
        return self.text

    def search(self, pattern: str) -> str:
        """The line that matches. Raises NotYet."""
        match = re.search(pattern, self.read(), re.M)
        if not match:
            raise NotYet(self._said or "the text has not come yet")
        return f"said {match.group(0)!r}"

    def tail(self) -> list[str]:
        """The last lines, without what only moves a cursor."""
        text = re.sub(
            r"\x1b\[[0-9;?]*[A-Za-z]|\x1b.|[\x00-\x08\x0b-\x1f\x7f]",
            "",
            self.read().replace("\r\n", "\n").replace("\r", "\n"),
        )
        return [line.rstrip() for line in text.split("\n") if line.strip()][-TAIL_LINES:]

    def close(self) -> None:
        """Let go of the console, which has one reader only."""
        if self._stream is not None:
            try:
                self._stream.abort()
            except libvirt.libvirtError:
                pass


# ---- waiting


def enter_namespace(name: str) -> None:
    """Move this thread alone into a network namespace. Raises NotYet."""
    try:
        handle = os.open(f"/run/netns/{name}", os.O_RDONLY)
    except OSError as error:
        raise NotYet(f"namespace {name}: {error.strerror}") from error
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            raise NotYet(f"namespace {name}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)


class Waiter:
    """Runs waits side by side. connection is asked for when the first wait needs libvirt."""

    def __init__(self, uri: str, pause: float = 0.2) -> None:
        self.uri, self.pause = uri, pause
        self._connection: t.Any = None
        self._consoles: dict[str, Console] = {}
        self._alive: dict[str, tuple[float, bool]] = {}

    def prepare(self, waits: t.Sequence[Wait]) -> None:
        """Connect once, before the threads start. Raises FabricError."""
        names = {wait.options["name"] for wait in waits if wait.options["name"]}
        if names or any(wait.options["kind"] == "dhcp_lease" for wait in waits):
            self._connection = connect(self.uri)
        for name in sorted(names):
            self._consoles[name] = Console(self._connection, name)

    def close(self) -> None:
        """Let go of the consoles."""
        for console in self._consoles.values():
            console.close()

    def tail(self, name: str | None) -> list[str]:
        """The end of a guest's console."""
        return self._consoles[name].tail() if name in self._consoles else []

    def _check_runs(self, name: str | None) -> None:
        """A guest that does not run will not become ready. Raises FabricError."""
        if name is None or self._connection is None:
            return
        when, alive = self._alive.get(name, (0.0, False))
        if time.monotonic() - when > ALIVE_SECONDS:
            try:
                alive = bool(self._connection.lookupByName(name).isActive())
            except libvirt.libvirtError as error:
                raise FabricError(f"domain {name}: {said(error)}") from error
            self._alive[name] = (time.monotonic(), alive)
        if not alive:
            raise FabricError(f"domain {name} does not run, so it will not become ready: start it")

    def _try(self, options: t.Mapping[str, t.Any], seconds: float) -> str:
        kind = options["kind"]
        if kind == "console":
            return self._consoles[options["name"]].search(options["text"])
        if kind == "agent":
            return probe_agent(self._connection, options["name"], seconds)
        if kind == "dhcp_lease":
            return probe_lease(self._connection, options)
        return {"tcp": probe_tcp, "ssh": probe_ssh, "http": probe_http, "ping": probe_ping, "arp": probe_arp}[kind](
            options, seconds
        )

    def wait(self, wait: Wait, budget: float) -> dict[str, t.Any]:
        """Wait until satisfied, or the wait's time or the budget (seconds) is over; the typed outcome."""
        options = wait.options
        since = options["since"] or time.time()
        begun = time.monotonic()
        before = max(0.0, time.time() - since)
        seconds = min(options["timeout"] - before, budget)
        attempts, row, last, failed = 0, 0, "", ""
        ready = False
        try:
            if options["namespace"]:
                enter_namespace(options["namespace"])
            while True:
                left = seconds - (time.monotonic() - begun)
                if left <= 0:
                    break
                attempts += 1
                try:
                    self._check_runs(options["name"])
                    last = self._try(options, max(0.05, min(TRY_SECONDS, left)))
                    row += 1
                    if row >= options["times"]:
                        ready = True
                        break
                except NotYet as reason:
                    last, row = str(reason), 0
                time.sleep(max(0.0, min(self.pause, seconds - (time.monotonic() - begun))))
        except (FabricError, NotYet) as error:
            last = failed = str(error)
        return {
            "what": wait.what,
            "name": options["name"] or "",
            "ready": ready,
            "error": failed,
            "last": mask(last, [options["password"] or ""]),
            "attempts": attempts,
            "seconds": round(before + time.monotonic() - begun, 2),
            "over": before + time.monotonic() - begun >= options["timeout"],
            "begun": since,
            "since": _clock(since),
            "until": _clock(since + options["timeout"]),
        }


def _clock(moment: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(moment))


def run(module: Module) -> t.NoReturn:
    """The whole of guest_wait."""
    params = module.params
    result: dict[str, t.Any] = {"changed": False, "spawned": 0}
    try:
        waits = _declared(params)
        if module.check_mode or not waits:
            # An earlier task may only have foretold the guest.
            module.exit_json(waits=[], pending=[], **result)
        waiter = Waiter(params["uri"])
        waiter.prepare(waits)
    except FabricError as error:
        module.fail_json(msg=str(error), **result)
    outcomes = _outcomes(waiter, waits, float(params["slice"] or 7200))
    for wait, outcome in zip(waits, outcomes):
        outcome["console"] = [] if outcome["ready"] else waiter.tail(wait.options["name"])
    waiter.close()
    unready = [outcome for outcome in outcomes if not outcome["ready"]]
    pending = [outcome["what"] for outcome in unready if not (outcome["error"] or outcome["over"])]
    sentences = [_failure(outcome) for outcome in unready if outcome["error"] or outcome["over"]]
    if sentences:
        module.fail_json(msg="\n".join(sentences), waits=outcomes, pending=pending, **result)
    module.exit_json(waits=outcomes, pending=pending, **result)


def _declared(params: t.Mapping[str, t.Any]) -> list[Wait]:
    """The waits of the list, or the one that the module's own options say. Raises FabricError."""
    if params["waits"] is not None:
        return [want(item) for item in params["waits"]]
    if params["kind"] is None:
        raise FabricError("kind or waits is missing: say what is waited for")
    return [want({key: params[key] for key in SPEC})]


def _outcomes(waiter: Waiter, waits: t.Sequence[Wait], budget: float) -> list[dict[str, t.Any]]:
    """All waits side by side, none for longer than the budget in seconds."""
    outcomes: list[dict[str, t.Any]] = [{}] * len(waits)

    def work(number: int) -> None:
        outcomes[number] = waiter.wait(waits[number], budget)

    # A thread for each wait, not a pool: one that has moved into a namespace must not take another wait.
    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(waits))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _failure(outcome: t.Mapping[str, t.Any]) -> str:
    """A wait that failed or took too long, in words."""
    told = (
        outcome["error"]
        or f"not ready after {outcome['seconds']:.0f} s (since {outcome['since']}, {outcome['attempts']} tries): {outcome['last']}"
    )
    tail = "; its console ends with:\n" + "\n".join(outcome["console"]) if outcome["console"] else ""
    return f"{outcome['what']}: {told}{tail}"
