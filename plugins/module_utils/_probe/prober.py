# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure from a host's endpoints, all side by side, in one process and without spawning any.

This file is private to the collection.
"""

from __future__ import annotations

import collections
import functools
import ipaddress
import itertools
import socket
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import (
    CONNECT_TIMEOUT,
    DEFAULT_PORT,
    AllNodes,
    Echo,
    Layer2,
    Loop,
    Sender,
    connection,
    datagram,
    inside,
    own_addresses,
)
from ansible_collections.overloom.fabric.plugins.module_utils._probe.transfer import (
    Transfer,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

PING_COUNT = 5
PING_INTERVAL = 0.05
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
        settle: seconds to wait at most for a first answer before the counted pings, and for that of a control.
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
        self._isolation(by_kind.get("isolation", []), settle)
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

    def _isolation(self, pairs: list[tuple[dict, dict]], settle: float) -> None:
        """Ask below IP and by echo for addresses that must stay silent, and for a control that must not.

        Every question is flooded to a whole segment, and a question that a busy forwarder dropped would pass for
        silence. So each few of them are followed by the control, and the next wait for its answer. settle: for how
        many seconds at most those are asked again whose control is silent, but twice at least.
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
        until = 0.0
        for number in itertools.count():
            begun = time.monotonic()
            if number == ASK_ROUNDS:
                until = begun + settle
            if number >= ASK_ROUNDS:
                # Silence that a silent control has made worthless is asked for once more, one question at a time.
                questions = [question for question in questions if question.control and not question.control_answered()]
            if not questions or (number >= ASK_ROUNDS + ASK_AGAIN_ROUNDS and begun >= until):
                break
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
