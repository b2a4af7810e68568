# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put back what a checkpoint has recorded, alone on the host: python3 undo.py RECORD

This file is private to the collection, and a program by itself, which the module `host_checkpoint` copies to the host: a timer starts it when
nobody confirms, and systemd when the host boots with a checkpoint armed. It needs the standard library, ip(8) and systemctl(1), and talks with
Open vSwitch's database over its socket (RFC 7047), whose rows a transaction puts back as they were.
"""

# A program by itself has no AnsibleModule to run commands.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import contextlib
import glob
import json
import os
import socket
import subprocess
import sys
import time
import typing as t

Row = t.Dict[str, t.Any]

SOCKETS = ("/run/openvswitch/db.sock", "/var/run/openvswitch/db.sock")
# What is configuration in these tables (ovs-vswitchd.conf.db(5)) is all but what Open vSwitch itself reports, and references.
REPORTED = {
    "Bridge": {
        "auto_attach",
        "controller",
        "datapath_id",
        "datapath_version",
        "flow_tables",
        "ipfix",
        "mirrors",
        "netflow",
        "ports",
        "rstp_status",
        "sflow",
        "status",
    },
    "Port": {"bond_active_slave", "interfaces", "rstp_statistics", "rstp_status", "statistics", "status"},
    "Interface": {
        "admin_state",
        "bfd_status",
        "cfm_fault",
        "cfm_fault_status",
        "cfm_flap_count",
        "cfm_health",
        "cfm_remote_mpids",
        "cfm_remote_opstate",
        "duplex",
        "error",
        "ifindex",
        "lacp_current",
        "link_resets",
        "link_speed",
        "link_state",
        "mac_in_use",
        "mtu",
        "ofport",
        "statistics",
        "status",
    },
}
# Routes that the kernel, neighbors or routing daemons make are theirs to make again.
MADE_BY_OTHERS = {"kernel", "ra", "redirect", "babel", "bgp", "bird", "eigrp", "isis", "openr", "ospf", "rip", "zebra"}
# How long to wait for Open vSwitch, and for the host's own network configuration to be at rest, in seconds.
PATIENCE = 30.0
REST = 15.0
# The lock that a module of this collection holds while it changes the network (`_host_lock.py`), and how long its end is waited for, in seconds.
LOCK = "\0overloom-lock/network"
OTHERS = 60.0
FOLDER = "/etc/systemd/system"


# --- addresses and routes, as words for ip(8) ---------------------------------------------------------------------------


def address_words(entry: Row) -> str:
    """An address that somebody gave, of `ip -json address`, as `ip address replace` takes it; empty for one that the kernel or IPv6 itself made.

    Also one by DHCP of IPv4; how long it is valid is not among the words.
    """
    made = entry["family"] == "inet6" and (entry.get("dynamic") or entry["scope"] == "link")
    if "local" not in entry or made:
        return ""
    text = entry["local"] + (f" peer {entry['address']}" if "address" in entry else "") + f"/{entry['prefixlen']}"
    if "broadcast" in entry:
        text += f" broadcast {entry['broadcast']}"
    if entry["scope"] != "global":
        text += f" scope {entry['scope']}"
    if "metric" in entry:
        text += f" metric {entry['metric']}"
    return text + (" noprefixroute" if entry.get("noprefixroute") else "")


def addresses(row: Row) -> list[str]:
    """The addresses that somebody gave an interface, a row of `ip -json address`."""
    return [words for words in map(address_words, row.get("addr_info", ())) if words]


def leases(row: Row) -> dict[str, str]:
    """How long the addresses by DHCP of an interface are valid, as further words for ip(8), by the words of each."""
    found = [one for one in row.get("addr_info", ()) if one.get("dynamic") and address_words(one)]
    return {
        address_words(one): f" valid_lft {one['valid_life_time']} preferred_lft {one['preferred_life_time']}"
        for one in found
    }


def after_a_boot(wanted: t.Mapping[str, Row]) -> dict[str, Row]:
    """What is put back after a boot: all but what came by DHCP, as the host has asked anew."""
    fixed = {}
    for name, state in wanted.items():
        addresses_fixed = [words for words in state["addresses"] if words not in state["leased"]]
        routes_fixed = [words for words in state["routes"] if " proto dhcp" not in words]
        fixed[name] = {**state, "addresses": addresses_fixed, "routes": routes_fixed}
    return fixed


def route_words(row: Row) -> str:
    """A route of `ip -json -details route show table all` as `ip route replace` takes it, without its interface; empty for one that others make."""
    if row.get("protocol", "boot") in MADE_BY_OTHERS or row.get("table") == "local" or "expires" in row:
        return ""
    six = ":" in str(row["dst"]) or ":" in row.get("gateway", "") or "pref" in row
    target = row["dst"] if row["dst"] != "default" else "::/0" if six else "0.0.0.0/0"
    words = [row["type"]] if row.get("type", "unicast") != "unicast" else []
    words.append(target)
    if "gateway" in row:
        words += ["via", row["gateway"]]
    elif "via" in row:
        words += ["via", row["via"]["family"], row["via"]["host"]]
    named = {"table": "table", "protocol": "proto", "scope": "scope", "prefsrc": "src", "metric": "metric"}
    for key, word in named.items():
        if key in row and (key, row[key]) not in (("table", "main"), ("scope", "global")):
            words += [word, str(row[key])]
    for metrics in row.get("metrics", ()):
        words += [word for pair in metrics.items() for word in map(str, pair)]
    return " ".join([*words, *(["onlink"] if "onlink" in row.get("flags", ()) else [])])


def routes(rows: t.Iterable[Row], device: str) -> list[str]:
    """The routes over an interface: those to hosts on the link first, as gateways need them."""
    found = [words for words in (route_words(row) for row in rows if row.get("dev") == device) if words]
    return sorted(found, key=lambda words: " via " in f" {words} ")


def interface_state(links: t.Iterable[Row], all_routes: t.Sequence[Row], name: str) -> Row:
    """What is recorded of an interface."""
    row = next((link for link in links if link.get("ifname") == name), None)
    if row is None:
        return {"there": False, "up": False, "mtu": None, "leased": {}, "addresses": [], "routes": []}
    return {
        "there": True,
        # That of its own port Open vSwitch sets by the bridge's other ports.
        "mtu": None if row.get("linkinfo", {}).get("info_kind") in ("openvswitch", "tun") else row.get("mtu"),
        "leased": leases(row),
        "up": "UP" in row.get("flags", ()),
        "addresses": addresses(row),
        "routes": routes(all_routes, name),
    }


def lines_back(wanted: t.Mapping[str, Row], found: t.Mapping[str, Row]) -> list[str]:
    """The pure comparison: lines for `ip -batch -` that put recorded addresses and routes back; what others added since stays.

    wanted, found: what is recorded, and what there is, by interface; `found` has every interface of the host.
    """
    taken: list[str] = []
    given: list[str] = []
    there = {name: state for name, state in wanted.items() if name in found}
    for name, state in there.items():
        now = found[name]
        for kind, missing in (("route", state["routes"]), ("address", state["addresses"])):
            held = now["routes" if kind == "route" else "addresses"]
            for words in missing:
                taken += _elsewhere(kind, words, name, found)
                if words not in held:
                    # That nobody else has an address was known before.
                    nodad = " nodad" if kind == "address" and ":" in words.split(" ")[0] else ""
                    lease = state["leased"].get(words, "") if kind == "address" else ""
                    given.append(f"{kind} replace {words}{lease}{nodad} dev {name}")
        if None not in (state["mtu"], now["mtu"]) and state["mtu"] != now["mtu"]:
            given.append(f"link set dev {name} mtu {state['mtu']}")
        if state["up"] and not now["up"]:
            given.append(f"link set dev {name} up")
    # Routes are taken away before their addresses, and given after them.
    order = ("link", "address", "route")
    return sorted(taken, key=lambda line: -order.index(line.split()[0])) + sorted(
        given, key=lambda line: order.index(line.split()[0])
    )


def _elsewhere(kind: str, words: str, name: str, found: t.Mapping[str, Row]) -> list[str]:
    """The lines that take an address or a route from every other interface."""
    key = "routes" if kind == "route" else "addresses"
    others = [other for other, state in found.items() if other != name and words in state[key]]
    return [f"{kind} delete {words} dev {other}" for other in others]


# --- Open vSwitch -------------------------------------------------------------------------------------------------------


class Database:
    """A connection with Open vSwitch's database."""

    def __init__(self, path: str, timeout: float = 20.0) -> None:
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._link.settimeout(timeout)
        self._link.connect(path)

    def transact(self, *operations: Row) -> list[Row]:
        """One transaction. Raises RuntimeError with what the database said, OSError if it is not there."""
        request = {"id": 0, "method": "transact", "params": ["Open_vSwitch", *operations]}
        self._link.sendall(json.dumps(request).encode())
        text = b""
        while True:
            part = self._link.recv(1 << 16)
            if not part:
                raise OSError("Open vSwitch's database closed the connection")
            text += part
            try:
                answer = json.loads(text)
            except ValueError:
                continue
            break
        rows = answer.get("result") or []
        errors = [row for row in [*rows, answer] if row and row.get("error")]
        if errors or answer.get("error"):
            raise RuntimeError(f"Open vSwitch's database says: {errors[0].get('error')} {errors[0].get('details', '')}")
        return rows

    def rows(self) -> dict[str, list[Row]]:
        """The rows of the tables that matter here."""
        tables = ("Bridge", "Port", "Interface", "Open_vSwitch")
        answers = self.transact(*({"op": "select", "table": table, "where": []} for table in tables))
        return dict(zip(tables, (answer["rows"] for answer in answers)))

    def close(self) -> None:
        """End the connection."""
        self._link.close()


def members(value: t.Any) -> list[str]:
    """The UUIDs of a set of references (RFC 7047, 5.1)."""
    if value and value[0] == "set":
        return [one[1] for one in value[1]]
    return [value[1]] if value else []


def settings(table: str, row: Row) -> Row:
    """The columns of a row that are configuration."""
    return {key: value for key, value in row.items() if key not in REPORTED[table] and not key.startswith("_")}


def places(rows: t.Mapping[str, list[Row]], interfaces: t.Collection[str]) -> Row:
    """What is recorded of Open vSwitch: the ports that hold any of the interfaces, and the bridges that these are on."""
    by_uuid = {table: {row["_uuid"][1]: row for row in found} for table, found in rows.items()}
    ports: Row = {}
    bridges: Row = {}
    for bridge in rows.get("Bridge", ()):
        for uuid in members(bridge["ports"]):
            port = by_uuid["Port"][uuid]
            inside = [by_uuid["Interface"][one] for one in members(port["interfaces"])]
            if not any(one["name"] in interfaces for one in inside):
                continue
            kept = [{"uuid": one["_uuid"][1], "columns": settings("Interface", one)} for one in inside]
            ports[port["name"]] = {
                "uuid": uuid,
                "bridge": bridge["name"],
                "columns": settings("Port", port),
                "interfaces": kept,
            }
            bridges[bridge["name"]] = {"uuid": bridge["_uuid"][1], "columns": settings("Bridge", bridge)}
    return {"ports": ports, "bridges": bridges}


def operations_back(wanted: Row, rows: t.Mapping[str, list[Row]], interfaces: t.Collection[str]) -> list[Row]:
    """The pure comparison: the operations that put recorded ports back; ports without any of the interfaces are left alone."""
    found = places(rows, interfaces)
    bridges = {row["name"]: row for row in rows.get("Bridge", ())}
    there = {row["_uuid"][1] for table in ("Port", "Interface") for row in rows.get(table, ())}
    plan = _Plan(there)
    for name, port in sorted(found["ports"].items()):
        kept = wanted["ports"].get(name, {})
        if kept.get("uuid") != port["uuid"] and not _anew(name, port, kept, bridges):
            plan.change(bridges[port["bridge"]], "delete", ["uuid", port["uuid"]])
    for name, kept in sorted(wanted["bridges"].items()):
        if name not in bridges:
            plan.make_bridge(name, kept)
        elif settings("Bridge", bridges[name]) != kept["columns"]:
            plan.update("Bridge", kept["uuid"], kept["columns"])
    for name, kept in sorted(wanted["ports"].items()):
        now = found["ports"].get(name)
        if now == kept or _anew(name, now, kept, bridges):
            continue
        put = plan.port(kept)
        if now is not None and now["uuid"] == kept["uuid"]:
            if now["bridge"] == kept["bridge"]:
                continue
            plan.change(bridges[now["bridge"]], "delete", put)
        plan.put(kept["bridge"], bridges.get(kept["bridge"]), put)
    return plan.operations


def _anew(name: str, port: Row | None, kept: Row, bridges: t.Mapping[str, Row]) -> bool:
    """Whether it is the own port of a bridge that was made since: it stays, as a bridge without one would be none."""
    return port is not None and name in bridges and port["uuid"] != kept.get("uuid")


class _Plan:
    """The operations, gathered. there: the UUIDs of ports and interfaces that exist."""

    def __init__(self, there: set[str]) -> None:
        self.operations: list[Row] = []
        self.there = there
        self.made: dict[str, Row] = {}
        self.number = 0

    def _insert(self, table: str, columns: Row) -> list[str]:
        self.number += 1
        name = f"row{self.number}"
        self.operations.append({"op": "insert", "table": table, "row": columns, "uuid-name": name})
        return ["named-uuid", name]

    def update(self, table: str, uuid: str, columns: Row) -> None:
        """Give a row that exists its recorded columns, all but the name, which never changes."""
        where = [["_uuid", "==", ["uuid", uuid]]]
        columns = {key: value for key, value in columns.items() if key != "name"}
        self.operations.append({"op": "update", "table": table, "where": where, "row": columns})

    def change(self, bridge: Row, how: str, port: list[str]) -> None:
        """Put a port on a bridge, or take it away."""
        where = [["_uuid", "==", bridge["_uuid"]]]
        mutation = ["ports", how, ["set", [port]]]
        self.operations.append({"op": "mutate", "table": "Bridge", "where": where, "mutations": [mutation]})

    def make_bridge(self, name: str, kept: Row) -> None:
        """A bridge that is gone, with its settings; its ports follow."""
        reference = self._insert("Bridge", {**kept["columns"], "ports": ["set", []]})
        self.made[name] = self.operations[-1]["row"]
        mutation = ["bridges", "insert", ["set", [reference]]]
        self.operations.append({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [mutation]})

    def port(self, kept: Row) -> list[str]:
        """A recorded port, changed back or made anew."""
        inside = []
        for one in kept["interfaces"]:
            if kept["uuid"] in self.there and one["uuid"] in self.there:
                self.update("Interface", one["uuid"], one["columns"])
                inside.append(["uuid", one["uuid"]])
            else:
                inside.append(self._insert("Interface", one["columns"]))
        columns = {**kept["columns"], "interfaces": ["set", inside]}
        if kept["uuid"] in self.there:
            self.update("Port", kept["uuid"], columns)
            return ["uuid", kept["uuid"]]
        return self._insert("Port", columns)

    def put(self, name: str, bridge: Row | None, port: list[str]) -> None:
        """Put a port that was made anew on its bridge, which may be made anew too."""
        if bridge is not None:
            self.change(bridge, "insert", port)
        else:
            self.made[name]["ports"][1].append(port)


def open_database(patience: float) -> Database | None:
    """A connection with the database, as soon as there is one; None where Open vSwitch was never started in that time."""
    until = time.monotonic() + patience
    while True:
        for path in SOCKETS:
            try:
                return Database(path)
            except OSError:
                pass
        if time.monotonic() > until:
            return None
        time.sleep(0.2)


def switch_back(wanted: Row, interfaces: t.Collection[str]) -> None:
    """Put the ports back, and wait until ovs-vswitchd has done so."""
    database = open_database(PATIENCE if wanted["ports"] or wanted["known"] else 0.0)
    if database is None:
        return
    try:
        operations = operations_back(wanted, database.rows(), interfaces)
        if not operations:
            return
        count = {"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}
        number = database.rows()["Open_vSwitch"][0]["next_cfg"] + 1
        database.transact(*operations, count)
        until = time.monotonic() + PATIENCE
        while database.rows()["Open_vSwitch"][0]["cur_cfg"] < number and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        database.close()


# --- the host -----------------------------------------------------------------------------------------------------------


def run(*argv: str, given: str | None = None) -> str:
    """Run a command and return what it printed; what it complained about goes to the journal."""
    done = subprocess.run(argv, input=given, stdout=subprocess.PIPE, text=True, check=False)
    return done.stdout


def read_host() -> dict[str, Row]:
    """Addresses and routes of every interface."""
    links = json.loads(run("ip", "-json", "-details", "address", "show") or "[]")
    table = [row for six in ("-4", "-6") for row in json.loads(run("ip", six, *ROUTES) or "[]")]
    return {link["ifname"]: interface_state(links, table, link["ifname"]) for link in links if link.get("ifname")}


ROUTES = ("-json", "-details", "route", "show", "table", "all")


def network_back(wanted: t.Mapping[str, Row]) -> list[str]:
    """Put addresses and routes back, and see that the host's own network configuration lets them be; what is still missing."""
    until = time.monotonic() + REST
    quiet = 0
    lines: list[str] = []
    while quiet < 3 and time.monotonic() < until:
        lines = lines_back(wanted, read_host())
        quiet = 0 if lines else quiet + 1
        if lines:
            run("ip", "-force", "-batch", "-", given="\n".join(lines) + "\n")
        time.sleep(0.3)
    return lines


def announce(wanted: t.Mapping[str, Row]) -> None:
    """Tell the neighbors whose the addresses are (RFC 5227, RFC 4861), as another MAC address may have had them."""
    for name, state in wanted.items():
        mac = (read_file(f"/sys/class/net/{name}/address") or "").strip()
        if len(mac) != 17:
            continue
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
            try:
                link.bind((name, 0))
                for words in state["addresses"]:
                    link.send(announcement(bytes.fromhex(mac.replace(":", "")), words.split(" ")[0].partition("/")[0]))
            except OSError:
                # A link that is down has nobody to tell.
                continue


def announcement(mac: bytes, address: str) -> bytes:
    """The frame by which a node tells all others its address: a gratuitous ARP, or an unsolicited neighbor advertisement."""
    if ":" not in address:
        own = mac + socket.inet_aton(address)
        return b"\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + own + b"\0" * 6 + own[6:]
    source = socket.inet_pton(socket.AF_INET6, address)
    everybody = socket.inet_pton(socket.AF_INET6, "ff02::1")
    head, tail = bytes.fromhex("8800"), bytes.fromhex("20000000") + source + bytes.fromhex("0201") + mac
    size = len(head) + 2 + len(tail)
    pseudo = source + everybody + size.to_bytes(4, "big") + bytes.fromhex("0000003a")
    total = sum(
        int.from_bytes((pseudo + head + tail)[i : i + 2], "big") for i in range(0, len(pseudo + head + tail), 2)
    )
    checksum = ~((total >> 16) + (total & 0xFFFF) + ((total >> 16) + (total & 0xFFFF) >> 16)) & 0xFFFF
    packet = bytes.fromhex("60000000") + size.to_bytes(2, "big") + bytes.fromhex("3aff") + source + everybody
    return (
        bytes.fromhex("333300000001") + mac + bytes.fromhex("86dd") + packet + head + checksum.to_bytes(2, "big") + tail
    )


def files_back(files: t.Mapping[str, str | None]) -> bool:
    """Put the recorded files back (None: there was none); a value that begins with `-> ` is a link's target. Whether any was different."""
    changed = False
    for path, text in files.items():
        if read_file(path) == text:
            continue
        changed = True
        if os.path.lexists(path):
            os.unlink(path)
        if text is None:
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if text.startswith("-> "):
            os.symlink(text[3:], path)
        else:
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                stream.write(text)
    return changed


def read_file(path: str) -> str | None:
    """A file as it is recorded."""
    if os.path.islink(path):
        return f"-> {os.readlink(path)}"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except OSError:
        return None


def boot_id() -> str:
    """What the kernel calls this boot."""
    return (read_file("/proc/sys/kernel/random/boot_id") or "").strip()


def claimed(path: str) -> Row | None:
    """The record, which nobody can confirm from now on; None when it was confirmed. An undoing that was cut short goes on."""
    aside = f"{path}.undoing"
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        pass
    text = read_file(aside)
    return json.loads(text) if text is not None else None


@contextlib.contextmanager
def alone(patience: float = OTHERS, name: str = LOCK) -> t.Iterator[None]:
    """Hold the host's lock, so that no module changes the network meanwhile. One that takes longer than patience is not waited for."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        until = time.monotonic() + patience
        while time.monotonic() < until:
            try:
                lock.bind(name)
                break
            except OSError:
                time.sleep(0.05)
        yield


def undo(path: str) -> None:
    """Put everything back, and leave a note that says so."""
    # What is aside already was put there by a module that waits for the end of this, and holds the lock; or this was cut short.
    with alone() if os.path.exists(path) else contextlib.nullcontext():
        record = claimed(path)
        problems = [] if record is None else put_back(record, path)
    if record is not None:
        # While a checkpoint is armed, no takeover begins at a boot; those of other NICs were passed over.
        start_takeovers()
    if problems:
        raise SystemExit("; ".join(problems))


def start_takeovers() -> None:
    """Start the units by which bridges take over the addresses of NICs, where they have not run."""
    names = sorted(os.path.basename(one) for one in glob.glob(f"{FOLDER}/overloom-takeover-*.service"))
    if names:
        run("systemctl", "start", "--no-block", *names)


def put_back(record: Row, path: str) -> list[str]:
    """Put back what is recorded, and leave a note and nothing else of the checkpoint; what could not be put back, in words."""
    problems = []
    # It is active also after it has run out.
    run("systemctl", "stop", *(os.path.basename(one) for one in record["own"] if one.endswith(".timer")))
    differ = [one for one, text in record["files"].items() if one.endswith(".service") and read_file(one) != text]
    # One may still be waiting to move the addresses.
    run("systemctl", "stop", *sorted({os.path.basename(one) for one in differ}))
    if files_back(record["files"]):
        run("systemctl", "daemon-reload")
    try:
        switch_back(record["switch"], list(record["interfaces"]))
    except (OSError, RuntimeError, KeyError) as error:
        problems.append(str(error))
    if record["networkd"]:
        run("networkctl", "reload")
    why = "not confirmed" if record["boot_id"] == boot_id() else "rebooted"
    wanted = record["interfaces"] if why == "not confirmed" else after_a_boot(record["interfaces"])
    problems += [f"ip {line} failed" for line in network_back(wanted)]
    announce(wanted)
    note = {"at": time.strftime("%Y-%m-%d %H:%M:%S"), "why": why, "timeout": record["timeout"], "problems": problems}
    with open(record["note"], "w", encoding="utf-8") as stream:
        json.dump(note, stream)
    for one in [*record["own"], f"{path}.undoing"]:
        if os.path.lexists(one):
            os.unlink(one)
    with contextlib.suppress(OSError):
        os.rmdir(record["flags"])
    run("systemctl", "daemon-reload")
    return problems


if __name__ == "__main__":
    undo(sys.argv[1])
