# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services in namespaces: declarations, drop-ins, and the comparison with what runs."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Remove, Step, Write
from ansible_collections.overloom.fabric.plugins.module_utils._service import dropin as _dropin
from ansible_collections.overloom.fabric.plugins.module_utils._service.reader import Found, State, seen_resolver
from ansible_collections.overloom.fabric.plugins.module_utils._service.reconcile import Settings, compare

SITE = "site.service"
HERE, HOST = (4, 100), (4, 1)
PLAIN = _dropin.content_of(SITE, "web", "me", False)
ME = Settings("me")


def found(state: State | None = None, dropin: str | None = None, resolver: str | None = None) -> Found:
    """A host with a namespace web, and a service."""
    return Found(
        dropins={} if dropin is None else {SITE: dropin},
        services={SITE: state or State(SITE, "loaded")},
        spaces={"web": HERE},
        kept=frozenset({"web"}),
        resolvers={} if resolver is None else {"web": resolver},
    )


def item(**options: t.Any) -> list[_dropin.Wanted]:
    """The service, declared."""
    return _dropin.declared([{"name": "site", "namespace": "web", **options}])


def running(**fields: t.Any) -> State:
    """A state of the service that runs in the namespace as declared."""
    return State(**{"id": SITE, "load": "loaded", "active": True, "pid": 7, "loaded": True, "place": HERE, **fields})


def restarts(change: t.Any) -> bool:
    """Whether the service is restarted."""
    return any(isinstance(step, Step) and "restart" in step.argv for step in change.steps)


def test_only_what_runs_elsewhere_is_restarted() -> None:
    assert not compare(found(running(), PLAIN), item(), ME).steps
    assert restarts(compare(found(running(place=HOST), PLAIN), item(), ME))
    assert restarts(compare(found(running(place=HOST, loaded=False)), item(), ME))
    assert not restarts(compare(found(), item(), ME)), "what does not run is not started"
    assert restarts(compare(found(State(SITE, "loaded", stranded=True, loaded=True), PLAIN), item(), ME))
    # Edited, but in its place: systemd reads it again, and the service goes on.
    edited = compare(found(running(), PLAIN + "# by hand"), item(), ME)
    assert edited.steps and not restarts(edited)
    # Written by a run that was interrupted.
    unread = compare(found(running(loaded=False), PLAIN), item(), ME)
    assert [step.argv for step in unread.steps] == [("systemctl", "daemon-reload")]


def test_names_are_written_seen_and_removed() -> None:
    named = _dropin.content_of(SITE, "web", "me", True)
    text = _dropin.resolver_text("me", ["10.0.0.1"], [])
    first = compare(found(running(), PLAIN), item(dns=["10.0.0.1"]), ME)
    assert Write(_dropin.resolver_of("web"), text) in first.steps and restarts(first)
    assert not compare(found(running(resolver="web"), named, text), item(dns=["10.0.0.1"]), ME).steps
    # The file was replaced below the process.
    assert restarts(compare(found(running(), named, text), item(dns=["10.0.0.1"]), ME))
    assert not compare(found(running(resolver="web"), named, text), item(), ME).steps, "left out, it stays"
    last = compare(found(running(resolver="web"), named, text), item(dns=[]), ME)
    assert Remove(_dropin.resolver_of("web")) in last.steps and restarts(last)
    theirs = found(running(resolver="web"), named, "nameserver 192.0.2.1\n")
    assert not compare(theirs, item(), ME).steps and not compare(theirs, item(dns=[]), ME).steps
    with pytest.raises(FabricError, match="is not ours"):
        compare(theirs, item(dns=["10.0.0.1"]), ME)


def test_what_goes_leaves_nothing_of_ours() -> None:
    text = _dropin.resolver_text("me", ["10.0.0.1"], [])
    named = _dropin.content_of(SITE, "web", "me", True)
    gone = _dropin.declared([{"name": "site", "state": "absent"}])
    for change in (
        compare(found(running(), named, text), gone, ME),
        compare(found(running(), named, text), [], ME._replace(purge=True)),
    ):
        assert {Remove(_dropin.path_of(SITE)), Remove(_dropin.resolver_of("web"))} <= set(change.steps) and restarts(
            change
        )
    assert not compare(found(running(), named, text), [], Settings("you", purge=True)).steps
    with pytest.raises(FabricError, match="belongs to the owner me"):
        compare(found(running(), named), gone, Settings("you"))
    # Left by a run that was interrupted.
    orphan = compare(found(resolver=text), [], ME._replace(purge=True))
    assert Remove(_dropin.resolver_of("web")) in orphan.steps


def test_two_services_of_a_namespace_have_one_file_of_names() -> None:
    both = [{"name": name, "namespace": "web", "dns": [dns]} for name, dns in (("a", "10.0.0.1"), ("b", "10.0.0.2"))]
    with pytest.raises(FabricError, match="give both the same dns and search"):
        _dropin.declared(both)
    both[1]["dns"] = ["10.0.0.1"]
    assert len(_dropin.declared(both)) == 2


@pytest.mark.parametrize(
    ("texts", "by"),
    [
        (["NetworkNamespacePath=/run/netns/x"], 0),
        (["PrivateNetwork=yes", "Environment=A=b"], 0),
        (["PrivateNetwork=yes", " PrivateNetwork = no"], None),
        (["NetworkNamespacePath=/a", "NetworkNamespacePath="], None),
        (["NetworkNamespacePath=/a", "NetworkNamespacePath=/b"], 1),
        (["# NetworkNamespacePath=/a", "PrivateNetwork=false"], None),
    ],
)
def test_the_file_that_places_a_unit_is_found(texts: list[str], by: int | None) -> None:
    files = [(f"/{number}", f"[Service]\n{text}\n") for number, text in enumerate(texts)]
    assert _dropin.placed_by(files) == (None if by is None else f"/{by}")


def test_a_replaced_file_is_not_seen() -> None:
    line = "36 35 98:0 {} /etc/resolv.conf ro,noatime - ext4 /dev/root rw\n"
    assert seen_resolver(line.format("/etc/netns/web/resolv.conf")) == "web"
    assert seen_resolver(line.format("/etc/netns/web/resolv.conf//deleted")) is None
    assert seen_resolver(line.format("/run/resolv.conf")) is None


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (State(SITE), "there is no such unit on this host"),
        (State(SITE, "masked"), "systemd has it as masked"),
        (State("other.service", "loaded"), "it is an alias of other.service"),
        (running(files=(("/x", "PrivateNetwork=yes"),)), "/x gives it a network of its own"),
        (running(sockets=("site.socket",)), "site.socket listens for it"),
    ],
)
def test_a_unit_that_cannot_be_placed_is_refused(state: State, said: str) -> None:
    with pytest.raises(FabricError, match=said):
        compare(found(state), item(), ME)
