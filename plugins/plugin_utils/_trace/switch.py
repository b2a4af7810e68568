# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ofproto/trace said of a packet, told in words: each table by its name, whose flow it was, and where the packet went. Pure.

This file is private to the collection. Source: ovs-vswitchd(8), ofproto/trace.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import COOKIE_MASK, owner_cookie

_STEP = re.compile(r"^\s*(\d+)\. (.*)$")
_LINE = re.compile(r"^\s*-+$")
_ENTRY = re.compile(r'in_port="?([^",]+)"?')
_REMARKS = ("-> ", ">> ", ">>>> ")
_COOKIE = re.compile(r", cookie (0x[0-9a-f]+)")
_BRIDGE = re.compile(r'^\s*bridge\("(.+)"\)$')
_KEY = re.compile(r"\b(?:vni|key|tun_id)=(0x[0-9a-f]+)")
_GENEVE = re.compile(r"geneve\([^)]*?vni=(0x[0-9a-f]+),options\(\{class=0x102,type=0x80,len=4,(0x[0-9a-f]+)\}")
_TUNNELS = (
    re.compile(
        r"tnl_push\(tnl_port\([^)]*\),header\(.*?eth\(dst=([0-9a-f:]+).*?ipv[46]\(src=([0-9a-f.:]+),dst=([0-9a-f.:]+)"
    ),
    re.compile(r"set\(tunnel\((?:()tun_id=[^,]*,)?(?:src=([0-9a-f.:]+),)?dst=([0-9a-f.:]+)"),
)
# A flood goes to other ports, too, when a tunnel has no route or no neighbor.
_UNRESOLVED = ("native tunnel routing failed", "neighbor cache miss")
# What is said of every lookup of a connection.
_TRACKING = ("A clone of the packet is forked to recirculate", "Sets the packet to an untracked state")


class Matched(t.NamedTuple):
    """One flow that a packet matched. cookie: 0 for none; match: None where no flow matched."""

    bridge: str
    table: int
    match: str | None
    cookie: int
    actions: tuple[str, ...]


class Carried(t.NamedTuple):
    """What a tunnel of OVN carries beside the packet: the key of the logical switch, and those of the logical ports."""

    key: str
    ports: str


class Traced(t.NamedTuple):
    """An answer of ofproto/trace.

    outputs: the ports' names; tunnels: remote address -> MAC address of the outer next hop; unresolved: the way of a tunnel's outer packet
    is not known, so that the tunnel is in neither. sources: remote address -> outer source address,
    "" where the kernel chooses it. remark: the switch's last words beside the flows. entry: the port it came in by.
    carried: as a tunnel of OVN carries it, or None. keys: those of the tunnels' headers.
    """

    error: str | None
    flows: tuple[Matched, ...]
    outputs: tuple[str, ...]
    tunnels: dict[str, str]
    unresolved: bool
    dropped: bool = False
    remark: str = ""
    entry: str = ""
    sources: t.Mapping[str, str] = {}
    carried: Carried | None = None
    keys: tuple[int, ...] = ()


def parse(text: str) -> Traced:
    """The answer as data."""
    if text.startswith("error: ") or "Datapath actions:" not in text:
        return Traced(text.replace("error: ", "", 1).strip() or "nothing was said", (), (), {}, False)
    flows: list[Matched] = []
    actions: list[str] = []
    # A packet that is looked up in connection tracking goes on in a part of its own.
    for part in re.split(r"^Flow: ", text, flags=re.MULTILINE):
        head, _mark, tail = part.partition("Final flow:")
        flows += _matched(head)
        actions += [line.partition(": ")[2] for line in tail.splitlines() if line.startswith("Datapath actions: ")]
    outputs = tuple(port for one in actions for port in _outputs(one))
    pushed = [found for one in actions for found in _tunnels(one)]
    said = _remarks(flows)
    unresolved = any(remark.startswith(_UNRESOLVED) for remark in said) or (
        not outputs and not pushed and any("native tunnel" in remark for remark in said)
    )
    came = _ENTRY.search(text)
    return Traced(
        None,
        tuple(flows),
        outputs,
        {remote: hop for hop, _source, remote in pushed},
        unresolved,
        actions[-1:] == ["drop"],
        said[-1] if said else "",
        came[1] if came else "",
        {remote: source for _hop, source, remote in pushed},
        _carried(text),
        tuple(int(key, 16) for one in actions for key in _KEY.findall(one)),
    )


def _carried(text: str) -> Carried | None:
    """What a tunnel of OVN carries, by the last header of Geneve (ovn-architecture(7), Tunnel Encapsulations)."""
    headers = _GENEVE.findall(text)
    return Carried(*headers[-1]) if headers else None


def _remarks(flows: t.Iterable[Matched]) -> list[str]:
    """What the switch says between the actions, but for what it says of each packet that it tracks."""
    said = [action.strip("-<> ") for flow in flows for action in flow.actions if action.startswith(_REMARKS)]
    return [remark for remark in said if not remark.startswith(_TRACKING)]


def _matched(text: str) -> list[Matched]:
    """The flows that a part of the answer tells of, in their order."""
    flows: list[Matched] = []
    bridge = ""
    for line in text.splitlines():
        named, step = _BRIDGE.match(line), _STEP.match(line)
        if named:
            bridge = named[1]
        elif step:
            cookie = _COOKIE.search(step[2])
            match = None if step[2].startswith("No match") else _COOKIE.sub("", step[2])
            flows.append(Matched(bridge, int(step[1]), match, int(cookie[1], 16) if cookie else 0, ()))
        elif flows and line.startswith("    ") and not _LINE.match(line):
            flows[-1] = flows[-1]._replace(actions=(*flows[-1].actions, line.strip()))
    return flows


def _outputs(actions: str) -> tuple[str, ...]:
    """The words of the outermost level that are ports and not actions."""
    plain = actions
    while re.search(r"\([^()]*\)", plain):
        plain = re.sub(r"\w*\([^()]*\)", "", plain)
    words = [word.strip().strip('"') for word in plain.split(",")]
    return tuple(word for word in words if word and word not in ("drop", "pop_vlan"))


def _tunnels(actions: str) -> list[tuple[str, str, str]]:
    """The tunnels that a packet is sent by: MAC address of the next hop, outer source, outer target."""
    return [found for pattern in _TUNNELS for found in pattern.findall(actions)]


def whose(flow: Matched, owner: str) -> str:
    """Whose flow it is: ours, nobody's, or another's by its cookie."""
    if flow.cookie & COOKIE_MASK == owner_cookie(owner):
        return "ours"
    return f"cookie {flow.cookie:#x}" if flow.cookie else "without a cookie"


def in_words(flow: Matched, tables: t.Mapping[int, str]) -> str:
    """A matched flow as one line, its table by name where it has one."""
    name = tables.get(flow.table)
    title = f"table {flow.table} {name}" if name else f"table {flow.table}"
    done = [action for action in flow.actions if not action.startswith(_REMARKS)]
    if any(action.startswith("ct(") for action in done):
        # The switch prints it of the packet itself, a copy of which goes on.
        done = [action for action in done if action != "drop"]
    return f"{title}: {flow.match or 'no flow matches'} → {', '.join(done) or 'drop'}"


def last(traced: Traced) -> Matched | None:
    """The flow where the packet ended."""
    return traced.flows[-1] if traced.flows else None
