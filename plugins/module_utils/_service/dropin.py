# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service in a network namespace: what is declared, and the drop-in that places it there. Pure: plain data in, files out.

This file is private to the collection. The unit file stays its owner's: a drop-in says the namespace, the order, and the names
(systemd.unit(5), systemd.exec(5)).
"""

from __future__ import annotations

import ipaddress
import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER as NAMESPACES
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import FOLDER as UNITS
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import unit_name

FILE = "overloom-netns.conf"
# ip-netns(8) shows these files to what it starts, too.
RESOLVERS = "/etc/netns"
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here."
_OWNER = "# Owner: "
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9:_.\\@-]{0,246}", re.ASCII)
_DOMAIN = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.(?!-)[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)
# By these, programs would ask the host's own resolver (nss-resolve(8), nscd(8)).
_HOST_RESOLVERS = ("/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket")
# resolv.conf(5): no more are asked.
MOST_SERVERS = 3


class Wanted(t.NamedTuple):
    """A declared service. dns, search: name servers and domains; None leaves the namespace's resolv.conf as it is."""

    name: str
    present: bool = True
    namespace: str = ""
    dns: tuple[str, ...] | None = None
    search: tuple[str, ...] = ()


def check_unit(name: str, what: str) -> str:
    """The full name of a service's unit."""
    full = name if name.endswith(".service") else f"{name}.service"
    if re.search(r"\.(socket|timer|path|target|mount|slice|scope|device|swap|automount)$", name):
        raise FabricError(f"{what}: {name!r} is no service; only services run in a namespace, so give the name of one")
    if not _UNIT.fullmatch(full):
        raise FabricError(f"{what}: {name!r} is no name of a service; write it as nginx or nginx.service")
    if full.endswith("@.service"):
        raise FabricError(f"{what}: {name!r} is a template; give one of its instances, as {name.partition('@')[0]}@1")
    if full.startswith("overloom-"):
        raise FabricError(f"{what}: {name!r} is a unit of this collection; give the name of a service of yours")
    return full


def check_dns(servers: t.Iterable[str], what: str) -> tuple[str, ...]:
    """The addresses of name servers."""
    found = []
    for server in servers:
        try:
            found.append(str(ipaddress.ip_address(server)))
        except ValueError:
            raise FabricError(f"{what}: {server!r} is no address of a name server; write it as 10.1.1.53") from None
    if len(found) > MOST_SERVERS:
        raise FabricError(
            f"{what}: {len(found)} name servers are given, and resolv.conf(5) takes {MOST_SERVERS}; leave some out"
        )
    return tuple(found)


def check_search(domains: t.Iterable[str], what: str) -> tuple[str, ...]:
    """Domains in which short names are looked up."""
    for domain in domains:
        if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
            raise FabricError(f"{what}: {domain!r} is no domain; write it as example.org")
    return tuple(domains)


def declared(items: t.Iterable[dict[str, t.Any]]) -> list[Wanted]:
    """The declared services, checked as far as that goes without the host."""
    found: dict[str, Wanted] = {}
    for item in items:
        name = check_unit(item.get("name") or "", "name")
        if name in found:
            raise FabricError(f"service {name} is declared twice; give each item a service of its own")
        found[name] = _declared(name, item)
    _check_names(list(found.values()))
    return list(found.values())


def _declared(name: str, item: dict[str, t.Any]) -> Wanted:
    what = f"service {name}"
    if item.get("state", "present") == "absent":
        return Wanted(name, present=False)
    if not item.get("namespace"):
        raise FabricError(f"{what}: namespace is missing; give the name of a network namespace of this host")
    dns, search = item.get("dns"), item.get("search") or ()
    if search and not dns:
        raise FabricError(f"{what}: search needs name servers; give dns as well, or leave search out")
    return Wanted(
        name,
        namespace=check_name(item["namespace"], f"{what}: namespace"),
        dns=None if dns is None else check_dns(dns, f"{what}: dns"),
        search=check_search(search, f"{what}: search"),
    )


def _check_names(services: t.Sequence[Wanted]) -> None:
    """The names of a namespace are one file."""
    said: dict[str, Wanted] = {}
    for one in services:
        if not one.present or one.dns is None:
            continue
        other = said.setdefault(one.namespace, one)
        if (other.dns, other.search) != (one.dns, one.search):
            raise FabricError(
                f"services {other.name} and {one.name}: both are in namespace {one.namespace}, which has one resolv.conf;"
                " give both the same dns and search"
            )


def path_of(name: str) -> str:
    """The drop-in of a service."""
    return f"{UNITS}/{name}.d/{FILE}"


def content_of(name: str, namespace: str, owner: str, own_names: bool) -> str:
    """The drop-in. own_names: the service sees the namespace's resolv.conf.

    With Requires= and After= the service is started after the namespace's unit, and stopped and restarted with it.
    """
    unit = unit_name(NETNS, namespace)
    lines = [
        _HEAD,
        "[Unit]",
        f"X-Overloom-Owner={owner}",
        f"X-Overloom-Name={name}",
        f"X-Overloom-Place={json.dumps({'namespace': namespace})}",
        f"Requires={unit}",
        f"After={unit}",
        "",
        "[Service]",
        f"NetworkNamespacePath={NAMESPACES}/{namespace}",
    ]
    if own_names:
        lines.append(f"BindReadOnlyPaths={resolver_of(namespace)}:/etc/resolv.conf")
        lines += [f"InaccessiblePaths=-{path}" for path in _HOST_RESOLVERS]
    return "\n".join(lines) + "\n"


class Noted(t.NamedTuple):
    """What a drop-in of ours says."""

    owner: str | None
    namespace: str | None


def noted(content: str) -> Noted:
    """The notes of a drop-in; None where they are not readable, as after a change by hand."""
    lines = (line.partition("=") for line in content.splitlines() if line.startswith("X-Overloom-"))
    notes = {key: value for key, _equals, value in lines}
    try:
        namespace = str(json.loads(notes["X-Overloom-Place"])["namespace"])
    except (KeyError, ValueError, TypeError):
        namespace = None
    return Noted(notes.get("X-Overloom-Owner"), namespace)


def placed_by(files: t.Iterable[tuple[str, str]]) -> str | None:
    """The last of a unit's files, each with its text, that gives it a network of its own; None if none does."""
    places: dict[str, str] = {}
    for path, text in files:
        for line in text.splitlines():
            key, _equals, value = (part.strip() for part in line.partition("="))
            if key not in ("NetworkNamespacePath", "PrivateNetwork"):
                continue
            places.pop(key, None)
            if value.lower() not in ("", "no", "false", "off", "0"):
                places[key] = path
    return next(reversed(list(places.values())), None)


# --- names -------------------------------------------------------------------------------------------------------------


def resolver_of(namespace: str) -> str:
    """The resolv.conf of a namespace."""
    return f"{RESOLVERS}/{namespace}/resolv.conf"


def resolver_text(owner: str, dns: t.Sequence[str], search: t.Sequence[str]) -> str:
    """A resolv.conf(5)."""
    lines = [_HEAD, f"{_OWNER}{owner}"]
    lines += [f"search {' '.join(search)}"] if search else []
    return "\n".join([*lines, *(f"nameserver {server}" for server in dns)]) + "\n"


def resolver_owner(text: str) -> str | None:
    """Whose a resolv.conf is; None for one that this collection did not make."""
    lines = text.splitlines()
    ours = len(lines) > 1 and lines[0] == _HEAD and lines[1].startswith(_OWNER)
    return lines[1][len(_OWNER) :] if ours else None


def servers_of(text: str) -> list[str]:
    """The name servers of a resolv.conf."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
