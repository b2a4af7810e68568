# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure from guests, through the QEMU guest agent: nothing has to be installed in them, and no route has to lead to them.

A guest runs one small script a round, with all its measurements side by side; each prints one line. What it needs is in BusyBox as well
as in a distribution: ping, and ip, and for transfers head, nc and od. This file is private to the collection.
"""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import ipaddress
import json
import re
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import asked, connect
from ansible_collections.overloom.fabric.plugins.module_utils._probe.prober import PING_COUNT, PING_INTERVAL
from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import DEFAULT_PORT
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

try:
    import libvirt_qemu
except ImportError:
    libvirt_qemu = None

AGENT_SECONDS = 10
POLL = 0.2
AT_ONCE = 24
# nc of BusyBox takes the number of its -l for how many connections may wait to be accepted. With two, a guest answers the third with a
# SYN cookie, and resets it when data follows while the first still wait (TcpExtSyncookiesFailed).
BACKLOG = 64
# A guest cannot tell whether anybody still comes.
LIFETIMES = 5
INTERFACE = re.compile(r"[A-Za-z0-9._-]{1,15}")


class Agent:
    """The agent of one guest."""

    def __init__(self, connection: t.Any, name: str) -> None:
        self.name = name
        self.handle = asked(f"guest {name}", connection.lookupByName, name)

    def ask(self, command: str, **arguments: t.Any) -> t.Any:
        """One command of the agent's protocol (https://www.qemu.org/docs/master/interop/qemu-ga-ref.html). Raises FabricError."""
        text = json.dumps({"execute": command, "arguments": arguments})
        answer = asked(
            f"guest {self.name}: its agent does not answer",
            libvirt_qemu.qemuAgentCommand,
            self.handle,
            text,
            AGENT_SECONDS,
            0,
        )
        return json.loads(answer)["return"]

    def script(self, text: str, seconds: float) -> list[str]:
        """The lines that a script of the guest's own shell prints. Raises FabricError when it takes longer."""
        deadline = time.monotonic() + seconds
        job = self.ask("guest-exec", **{"path": "/bin/sh", "arg": ["-c", text], "capture-output": True})["pid"]
        while True:
            state = self.ask("guest-exec-status", pid=job)
            if state["exited"]:
                return base64.b64decode(state.get("out-data", "")).decode("utf-8", "replace").splitlines()
            if time.monotonic() > deadline:
                raise FabricError(f"guest {self.name}: its measurements did not end in {seconds:.0f} s")
            time.sleep(POLL)


def listening(port: int, lifetime: float) -> str:
    """The script that answers transfers to a port for some lifetimes at most. Pure."""
    return f"timeout {lifetime * LIFETIMES:.0f} nc -{'l' * BACKLOG} -p {port} -e /etc/count >/dev/null 2>&1 & echo $! > /run/counting.{port}"


def stopping(port: int) -> str:
    """The script that ends it. Pure."""
    note = f"/run/counting.{port}"
    return f"test -e {note} && kill $(cat {note}); rm -f {note}"


def listen(guests: t.Iterable[str], port: int, lifetime: float, uri: str) -> None:
    """Have lab guests answer transfers to a port. Raises FabricError."""
    _everywhere(guests, f"{stopping(port)}; {listening(port, lifetime)}", uri)


def stop(guests: t.Iterable[str], port: int, uri: str) -> None:
    """Have lab guests answer transfers to a port no longer. Raises FabricError."""
    _everywhere(guests, stopping(port), uri)


def _everywhere(guests: t.Iterable[str], script: str, uri: str) -> None:
    """Run a script in each guest, side by side."""
    guests = list(guests)
    if not guests:
        return
    connection = connect(uri)

    def one(name: str) -> None:
        # The measurements say that nothing answers there; the other guests still count.
        with contextlib.suppress(FabricError):
            Agent(connection, name).script(script, AGENT_SECONDS)

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(guests)) as pool:
        list(pool.map(one, guests))


class Limits(t.NamedTuple):
    """How long and how much is measured: as the options of the module probe."""

    settle: float
    tcp_bytes: int
    tcp_timeout: float
    port: int = DEFAULT_PORT
    pings: int = PING_COUNT


def job(number: int, probe: t.Mapping[str, t.Any], interface: str, limits: Limits) -> str:
    """The part of the script that takes one measurement and prints it after @NUMBER. Pure.

    No quotes, brackets and line ends, which the lab guest's agent does not understand. The values are numbers and addresses only.
    """
    to = ipaddress.ip_address(probe["to"])
    six = "-6 " if to.version == 6 else ""
    if probe["kind"] == "tcp":
        length = probe.get("bytes") or limits.tcp_bytes
        send = f"head -c {length} /dev/zero | nc -w {limits.tcp_timeout:.0f} {to} {limits.port} | od -A n -t x1"
        return f"{{ read a x < /proc/uptime; o=$({send}); read b x < /proc/uptime; echo @{number} $a $b $o; }} &"
    if probe["kind"] == "isolation":
        # By an interface, the kernel asks for an IPv4 address on the link, whatever its routes are.
        control = ipaddress.ip_address(probe["control"]) if probe.get("control") else ""
        asked_too = f"ping -c 2 -W 1 {control} >/dev/null 2>&1; c=$?" if control else "c=1"
        # What was learned before, from a port on a wrong VLAN say, is no answer.
        before = f"ip {six}neigh flush {to} dev {interface} >/dev/null 2>&1"
        # With IPv6 it does not (RFC 4861, 5.2, asks for a route); one for this address alone is lent to it.
        # Its metric is the run's own, so that none takes another's back.
        lent = f"{to}/128 dev {interface} metric {limits.port} >/dev/null 2>&1"
        before += f"; ip -6 route add {lent}" if six else ""
        after = f"; ip -6 route del {lent}" if six else ""
        return (
            f"{{ {before}; ping {six}-c 3 -i 0.2 -W 1 -I {interface} {to} >/dev/null 2>&1; r=$?; {asked_too};"
            f" echo @{number} $r $c $(ip {six}neigh show {to} dev {interface}){after}; }} &"
        )
    size = probe["size"] - (28 if to.version == 4 else 48) if probe["kind"] == "mtu" else 56
    # Linux sets the DF bit on an echo request that fits its interface's MTU; one that does not fit would be sent in pieces.
    return (
        f"{{ n=0; until ping {six}-c 1 -W 1 {to} >/dev/null 2>&1 || test $n -ge {max(1, int(limits.settle))}; do n=$((n+1)); done;"
        f" o=$(ping {six}-c {limits.pings} -i {max(0.2, PING_INTERVAL)} -W 2 -s {size} {to} 2>&1); echo @{number} $n $o; }} &"
    )


def outcome(probe: t.Mapping[str, t.Any], words: str, settle: float, mtu: int) -> dict[str, t.Any]:
    """What a line of a script says of a measurement, as Prober.measure returns it. Pure."""
    if probe["kind"] == "tcp":
        begin, end, *count = words.split()
        if len(count) < 8:
            return {"error": "the other end did not confirm what it got"}
        seconds = max(0.01, float(end) - float(begin))
        received = int("".join(count[:8]), 16)
        rate = round(received * 8 / seconds / 1e6, 1)
        return {
            "bytes": received,
            "sent_bytes": probe.get("bytes"),
            "seconds": round(seconds, 2),
            "mbit_per_second": rate,
        }
    if probe["kind"] == "isolation":
        echo, control, *neighbor = words.split(" ", 2)
        found = re.search(r"lladdr ([0-9A-Fa-f:]+)", "".join(neighbor))
        heard = {":".join(byte.zfill(2) for byte in found.group(1).lower().split(":"))} if found else set()
        seen: dict[str, t.Any] = {"error": None, "echo_replies": int(echo == "0")}
        seen["answered_by"] = sorted(heard & {probe["to_mac"]} if probe.get("to_mac") else heard)
        if probe.get("control"):
            seen["control_answered"] = control == "0"
        return seen
    tries, _blank, said = words.partition(" ")
    counts = re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received", said)
    times = re.search(r"= [\d.]+/([\d.]+)/", said)
    seen = {
        "sent": 0,
        "received": 0,
        "rtt_ms": None,
        "error": None,
        "settled_after": None if int(tries) >= max(1, int(settle)) else float(tries),
    }
    if counts:
        seen.update(
            sent=int(counts.group(1)), received=int(counts.group(2)), rtt_ms=float(times.group(1)) if times else None
        )
    else:
        seen["error"] = said or "its ping says nothing"
    if probe["kind"] == "mtu" and mtu != probe["size"]:
        seen["error"] = f"its interface has the MTU {mtu}"
    return seen


def measure(guests: t.Mapping[str, tuple[str, str]], probes: t.Sequence[dict], limits: Limits, uri: str) -> list[dict]:
    """Run every probe and return what was observed, in the order of probes.

    guests: by the id that a probe is from, (domain, interface as the guest sees it). A guest that cannot measure says why in its outcomes.
    """
    observed: list[dict] = [{} for _probe in probes]
    todo: dict[str, dict[str, list[int]]] = {}
    for number, probe in enumerate(probes):
        todo.setdefault(guests[probe["from"]][0], {}).setdefault(probe["from"], []).append(number)
    if not todo:
        return observed
    connection = connect(uri)

    def every(domain: str) -> None:
        # One after the other: an agent takes one command at a time.
        for source, numbers in todo[domain].items():
            one(domain, guests[source][1], numbers)

    def one(domain: str, interface: str, numbers: list[int]) -> None:
        try:
            if not INTERFACE.fullmatch(interface):
                raise FabricError(f"interface {interface!r} of guest {domain} is no name of an interface")
            agent = Agent(connection, domain)
            for begin in range(0, len(numbers), AT_ONCE):
                part = numbers[begin : begin + AT_ONCE]
                _round(agent, interface, {n: probes[n] for n in part}, observed, limits)
        except FabricError as error:
            for number in numbers:
                observed[number] = observed[number] or {"error": str(error)}

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(todo)) as pool:
        list(pool.map(every, todo))
    return observed


def _round(agent: Agent, interface: str, probes: t.Mapping[int, dict], observed: list[dict], limits: Limits) -> None:
    jobs = [job(number, probe, interface, limits) for number, probe in probes.items()]
    script = "set -f; " + " ".join(jobs) + f" wait; echo @mtu $(cat /sys/class/net/{interface}/mtu)"
    lines = dict(
        line[1:].partition(" ")[::2]
        for line in agent.script(script, limits.settle + limits.tcp_timeout + 30 + limits.pings)
        if line.startswith("@")
    )
    mtu = int(lines.get("mtu") or 0)
    for number, probe in probes.items():
        words = lines.get(str(number))
        observed[number] = (
            {"error": "the guest's shell said nothing of it"}
            if words is None
            else outcome(probe, words, limits.settle, mtu)
        )
