# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part of one cut of a drill: it pings all the while, begins the cut if it is one of its ends, and sees who notices.

A cut is the unit of an impairment, which ends by itself; a router is one that stops FRR and starts it again; a host reboots.

This file is private to the collection.
"""

# run_command waits for a command's end, and pings go on beside these.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import subprocess
import threading
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._impair import effects, impairment
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings
from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import Echo, Loop, Sender
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    FabricError,
    Runner,
    Step,
    Write,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    read_units,
    service,
    unit_name,
)

Item = t.Dict[str, t.Any]
States = t.Dict[str, str]

INTERVAL = 0.2
# An answer that takes longer is lost.
REPLY = 1.0
# So long all have to answer, and all states to be as before, until the watch is over.
QUIET = 2.0
POLL = 0.3
ROUTER = "drill-router"
# What the options of seconds may be: more than the least, and so little that somebody waits for it.
BOUNDS = {"lead": (1, 600), "recovery": (0, 3600)}


def check_times(values: t.Mapping[str, int], prefix: str = "") -> None:
    """Refuse a lead or a recovery that nobody waits for. prefix: what a role's variables begin with. Raises FabricError."""
    for name, (least, most) in BOUNDS.items():
        if not least <= values[name] <= most:
            raise FabricError(
                f"{prefix}{name}: {values[name]} is not between {least} and {most}; give seconds, or leave it out"
            )


def router_unit(seconds: int, owner: str) -> Unit:
    """The unit that stops FRR, and starts it again whatever ends the unit."""
    name = unit_name(impairment.KIND, ROUTER)
    return service(
        impairment.KIND,
        ROUTER,
        "FRR is stopped for a drill, and starts again by itself",
        {"Owner": owner, "Interface": "all", "Effect": "FRR stopped", "Seconds": str(seconds)},
        unit={"CollectMode": "inactive-or-failed"},
        settings={"Type": "exec"},
        commands=[
            ("ExecStartPre", Command(("systemctl", "stop", "frr.service"))),
            ("ExecStart", Command(("sleep", str(seconds)))),
            # systemd counts the starts, and refuses one too many (StartLimitBurst=3 in 3 minutes, in FRR's own unit).
            ("ExecStopPost", Command(("systemctl", "reset-failed", "frr.service"), may_fail=True)),
            # A start that waited would never come to its end while the host goes down.
            ("ExecStopPost", Command(("systemctl", "start", "--no-block", "frr.service"), may_fail=True)),
            ("ExecStopPost", Command(("rm", "-f", f"{impairment.FOLDER}/{name}"))),
        ],
        wanted_by=(),
    )


def prepare(runner: Runner, params: Item) -> list[str]:
    """Write the cut's units, which start at once later; their names.

    Raises FabricError where the kernel cannot, where a cut would have no end, and where FRR does not run: the end of the cut would start it.
    """
    effects.seconds(f"{params['seconds']}s", "seconds")
    if params["router"]:
        if runner.run(("systemctl", "is-active", "--quiet", "frr.service"))[0]:
            raise FabricError(
                "FRR does not run on this host, so there is nothing to stop; start it with `systemctl start frr`, or leave router out of drill_kinds"
            )
        unit = router_unit(params["seconds"], params["owner"])
        steps: list[AnyStep] = [Write(f"{impairment.FOLDER}/{unit.name}", unit.content)]
        steps.append(Step(("systemctl", "daemon-reload")))
        units = [unit.name]
    else:
        settings = Settings(params["owner"])
        there = sorted(read_units(impairment.KIND, impairment.FOLDER))
        if set(there) - impairment.idle(runner, there):
            raise FabricError("something is impaired on this host; end it with `impair.yml -e impair=off` first")
        items = [{**one, "cut": True, "for": f"{params['seconds']}s"} for one in params["impairments"]]
        options = {"name": None, "impairments": items, "purge": False, "state": "present"}
        asked = impairment.declaration(options)
        found = impairment.read(runner, asked, settings)
        steps = impairment.compare(found, asked, settings).steps[:-1]
        units = sorted(unit.name for unit in found.wanted.values())
    for step in steps:
        runner.do(step)
    return units


class Watch:
    """Pings and states, from a while before a cut until all is as it was, or the time is over."""

    def __init__(self, params: Item, poll: t.Callable[[], States]) -> None:
        self.params = params
        self.poll = poll
        self.loop = Loop()
        self.sent: list[list[list[t.Any]]] = [[] for _probe in params["probes"]]
        self.started = time.time()
        self.began: float | None = None
        self.events: list[Item] = []
        self.first: States | None = None
        self.last: States = {}
        self.stopped = threading.Event()
        self.start: subprocess.Popen[str] | None = None

    def run(self, units: t.Sequence[str]) -> None:
        """Watch. units: what is started when the time has come. Raises FabricError for those that do not start."""
        start = time.monotonic()
        echoes = {}
        for number, probe in enumerate(self.params["probes"]):
            version = 6 if ":" in probe["to"] else 4
            key = (probe["namespace"], version)
            if key not in echoes:
                echoes[key] = Echo(self.loop, Sender(probe["namespace"], probe["namespace"], None), version)
            self._ping(number, probe["to"], echoes[key])
        # On a host without pings, too, the loop looks now and then whether it is over.
        self._tick()
        cut_at = start + self.params["lead"]
        if units:
            self.loop.at(cut_at, lambda: self._cut(units))
        thread = threading.Thread(target=self._follow, daemon=True)
        thread.start()
        least = cut_at + self.params["seconds"] + QUIET
        self.loop.run(
            lambda: self._failed() or (time.monotonic() > least and self._quiet()), least + self.params["recovery"]
        )
        self.stopped.set()
        thread.join(10)
        self._check_start(units)

    def _tick(self) -> None:
        self.loop.at(time.monotonic() + INTERVAL, self._tick)

    def _ping(self, number: int, to: str, echo: Echo) -> None:
        """Send one, and again later."""
        row: list[t.Any] = [time.time(), False]
        self.sent[number].append(row)

        def answered(seconds: float) -> None:
            row[1] = seconds <= REPLY

        echo.send(to, 16, answered)
        self.loop.at(time.monotonic() + INTERVAL, lambda: self._ping(number, to, echo))

    def _cut(self, units: t.Sequence[str]) -> None:
        self.began = time.time()
        # Not waited for, as the pings go on: a with block would wait at its end. Its exit status says whether all have started.
        # pylint: disable-next=consider-using-with
        self.start = subprocess.Popen(
            ["systemctl", "start", *units], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def _failed(self) -> bool:
        """Whether a unit has not started."""
        return self.start is not None and bool(self.start.poll())

    def _check_start(self, units: t.Sequence[str]) -> None:
        """Refuse to call a cut what was none, or half of one. Raises FabricError."""
        if self.start is None:
            return
        try:
            _out, said = self.start.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.start.kill()
            _out, said = self.start.communicate()
        if self.start.returncode:
            subprocess.run(["systemctl", "stop", *units], capture_output=True, check=False)
            first = (said.strip().splitlines() or ["systemctl said nothing"])[0]
            raise FabricError(f"the cut did not begin: {first} See journalctl -u {units[0]}")

    def _follow(self) -> None:
        """Poll the states, and note what changes."""
        pause = POLL
        while not self.stopped.wait(pause):
            begun = time.time()
            try:
                states, now = self.poll(), time.time()
            except FabricError:
                continue
            # Looking takes a third of the time at most, as the host has other things to do.
            pause = max(POLL, 2 * (now - begun))
            if self.first is None:
                self.first = states
            for what in sorted({*states, *self.last} if self.last else ()):
                was, is_ = self.last.get(what, "gone"), states.get(what, "gone")
                if was != is_:
                    self.events.append({"at": now, "what": what, "was": was, "is": is_})
            self.last = states

    def _quiet(self) -> bool:
        """Whether all answer that did, and all states are as before."""
        now = time.time()
        for rows in self.sent:
            recent = [ok for at, ok in rows if now - QUIET - REPLY < at < now - REPLY / 2]
            if not all(recent) and any(ok for _at, ok in rows[: self._lead()]):
                return False
        return self.first is None or self.last == self.first

    def _lead(self) -> int:
        """How many pings were sent before the cut."""
        return max(1, int(self.params["lead"] / INTERVAL))

    def observed(self) -> Item:
        """Of each pair what was sent and lost."""
        return {probe["pair"]: summary(rows, self._lead()) for probe, rows in zip(self.params["probes"], self.sent)}


def summary(rows: t.Sequence[t.Sequence[t.Any]], lead: int) -> Item:
    """Packets sent and lost, and the outages: two or more in a row without an answer, until the next that had one (None: never).

    rows: when each was sent, and whether it was answered. Those of the last moment may still be on their way.
    """
    counted = [row for row in rows if row[1] or row[0] < rows[-1][0] - REPLY]
    outages: list[Item] = []
    run: list[float] = []
    for at, ok in [*counted, (None, True)]:
        if not ok:
            run.append(at)
            continue
        if len(run) > 1:
            length = None if at is None else round(at - run[0], 2)
            outages.append({"at": round(run[0], 3), "seconds": length, "lost": len(run)})
        run = []
    lost = sum(not ok for _at, ok in counted)
    return {"sent": len(counted), "lost": lost, "outages": outages, "alive": any(ok for _at, ok in counted[:lead])}


def states_of(found: Item) -> States:
    """Who may notice a cut, and what each says: BFD, RSTP, OSPF, BGP, VRRP. found: as `_status.reader` reads it."""
    return {**_of_switch(found), **_of_routing(found), **_of_edges(found)}


def _of_switch(found: Item) -> States:
    states: States = {}
    for tunnel in found.get("tunnels", ()):
        bfd = (tunnel.get("bfd_status") or {}).get("state")
        if bfd:
            states[f"BFD of tunnel {tunnel['name']}"] = bfd
    for port in (port for bridge in found.get("bridges", ()) for port in bridge.get("ports", ())):
        rstp = (port.get("rstp_status") or {}).get("rstp_port_role")
        if rstp:
            states[f"RSTP of port {port['name']}"] = rstp
    return states


def _of_routing(found: Item) -> States:
    states: States = {}
    for key, protocol in (("ospf_neighbors", "OSPF"), ("ospf6_neighbors", "OSPFv3")):
        for row in found.get(key, ()):
            states[f"{protocol} neighbor {row['router_id']} on {row['interface']}"] = row["state"].partition("/")[0]
    for row in found.get("bgp_neighbors", ()):
        states[f"BGP session {row['neighbor']} {row['family']}"] = row["state"]
    for row in found.get("bfd_peers", ()):
        states[f"BFD session {row['peer']}"] = row["state"]
    return states


def _of_edges(found: Item) -> States:
    rows = [row for row in found.get("vrrp", ()) if row.get("state")]
    return {f"VRRP router {row['name']}": str(row["state"]) for row in rows}
