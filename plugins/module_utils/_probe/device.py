# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure from switches and routers of vendors, which have no agent: their own ping, asked for over their API.

Arista's eAPI is JSON-RPC (EOS Command API Guide), RouterOS's REST takes its commands as paths (RouterOS manual, REST API). A KVM host has
no address on a guest's segment, so a namespace there asks. This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import json
import re
import threading
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._guest.wait import NotYet, enter_namespace, http_answer
from ansible_collections.overloom.fabric.plugins.module_utils._probe.prober import PING_COUNT
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

ANSWER_SECONDS = 20.0
APIS = ("eos", "routeros")


class Device(t.NamedTuple):
    """A device. url: the beginning of its API's address; namespace: from where it is asked; password: empty for none."""

    api: str
    url: str
    user: str
    password: str
    namespace: str | None


def question(api: str, to: str, count: int, size: int) -> tuple[str, dict[str, t.Any]]:
    """The path and the body that ask for so many echo requests of size bytes, as IP packets that must not be fragmented. Pure."""
    address = ipaddress.ip_address(to)
    if api == "routeros":
        return "/rest/tool/ping", {
            "address": str(address),
            "count": str(count),
            "size": str(size),
            "interval": "0.2",
            "do-not-fragment": "",
        }
    six = address.version == 6
    command = f"ping {'ipv6' if six else 'ip'} {address} repeat {count} size {size}" + ("" if six else " df-bit")
    return "/command-api", {
        "jsonrpc": "2.0",
        "method": "runCmds",
        "id": 1,
        "params": {"version": 1, "format": "text", "cmds": ["enable", command]},
    }


def counted(api: str, said: t.Any) -> dict[str, t.Any]:
    """What an answer says: sent, received and rtt_ms. Pure. Raises FabricError with the device's own words when it says something else."""
    if api == "routeros":
        last = said[-1] if isinstance(said, list) and said else {}
        if "sent" not in last:
            raise FabricError(
                str(said.get("detail") or said.get("message") or said)
                if isinstance(said, dict)
                else "its ping says nothing"
            )
        return {
            "sent": int(last["sent"]),
            "received": int(last.get("received") or 0),
            "rtt_ms": _milliseconds(last.get("avg-rtt") or ""),
        }
    result = said.get("result") if isinstance(said, dict) else None
    if not result:
        raise FabricError(str((said.get("error") or {}).get("message") if isinstance(said, dict) else said))
    text = " ".join(str(result[-1].get("output") or result[-1].get("messages")).split())
    counts = re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received", text)
    if not counts:
        raise FabricError(text or "its ping says nothing")
    times = re.search(r"= [\d.]+/([\d.]+)/", text)
    return {"sent": int(counts[1]), "received": int(counts[2]), "rtt_ms": float(times[1]) if times else None}


def _milliseconds(text: str) -> float | None:
    """RouterOS writes times as 1ms339us."""
    parts = re.findall(r"(\d+)(us|ms|s)", text)
    return (
        round(sum(int(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit] for number, unit in parts), 3)
        if parts
        else None
    )


def ask(device: Device, path: str, body: dict[str, t.Any]) -> t.Any:
    """One request of the API. Raises FabricError."""
    try:
        # The certificate is one that the device made for itself, so nobody can vouch for it.
        status, text = http_answer(device.url + path, ANSWER_SECONDS, json.dumps(body), device.user, device.password)
        if status == 401:
            raise FabricError(f"{device.url} refuses user {device.user}: give its password")
        return json.loads(text)
    except (NotYet, ValueError) as error:
        raise FabricError(f"{device.url} does not answer: {error}") from error


def _one(device: Device, probe: t.Mapping[str, t.Any], settle: float) -> dict[str, t.Any]:
    """One measurement, as Prober.measure returns it."""
    to, begun = probe["to"], time.monotonic()
    size = probe["size"] if probe["kind"] == "mtu" else 104 if ":" in to else 84
    settled = None
    while settled is None and time.monotonic() - begun < settle:
        if counted(device.api, ask(device, *question(device.api, to, 1, size)))["received"]:
            settled = round(time.monotonic() - begun, 3)
    return {
        **counted(device.api, ask(device, *question(device.api, to, PING_COUNT, size))),
        "settled_after": settled,
        "error": None,
    }


def measure(devices: t.Mapping[str, Device], probes: t.Sequence[dict], settle: float) -> list[dict]:
    """Run every probe and return what was observed, in the order of probes; the devices side by side. devices: by the id that a probe is from."""
    observed: list[dict] = [{} for _probe in probes]

    def one(source: str) -> None:
        mine = [number for number, probe in enumerate(probes) if probe["from"] == source]
        try:
            namespace = devices[source].namespace
            if namespace:
                enter_namespace(namespace)
        except NotYet as error:
            for number in mine:
                observed[number] = {"error": str(error)}
            return
        for number in mine:
            try:
                if probes[number]["kind"] not in ("ping", "mtu"):
                    raise FabricError(
                        f"{probes[number]['kind']} is no measurement that a {devices[source].api} device takes"
                    )
                observed[number] = _one(devices[source], probes[number], settle)
            except FabricError as error:
                observed[number] = {"error": str(error)}

    # A thread for each device, not a pool: one that has moved into a namespace must not ask another device.
    asking = dict.fromkeys(probe["from"] for probe in probes)
    threads = [threading.Thread(target=one, args=(source,)) for source in asking]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return observed
