# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pools and volumes: the steps, what is kept of others, and what is refused."""

from __future__ import annotations

import json
import types
import typing as t
import xml.etree.ElementTree as ET
from unittest import mock

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import connection as _connection
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import pools as _pools
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.pools import (
    POOL_SPEC,
    Pool,
    PoolActions,
    plan_pools,
    pool_uuid,
    view_pool,
    want_pool,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.volumes import (
    VOLUME_SPEC,
    VolumeActions,
    Volumes,
    plan_volumes,
    want_volume,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import parse
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError, Remove, Write
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.libvirt_documents import assert_valid, filled

OWNER = "fabric-1"
ACTIONS = PoolActions(None, "qemu:///system")
THEIRS = """<pool type='netfs'><name>p1</name><uuid>11111111-2222-3333-4444-555555555555</uuid>
<source><host name='nas'/><dir path='/export'/><format type='nfs'/><protocol ver='4'/></source>
<target><path>/mnt/p1</path><permissions><mode>0711</mode><owner>0</owner><group>0</group></permissions></target></pool>"""


def pools(found: dict[str, Pool], *items: dict[str, t.Any], adopt: bool = False, purge: bool = False) -> Change:
    return plan_pools(
        found, [want_pool(filled(POOL_SPEC, {"name": "p1", **item})) for item in items], OWNER, adopt, purge, ACTIONS
    )


def verbs(change: Change) -> list[str]:
    assert bool(change.steps) == (change.before != change.after)
    return [step.argv[1] for step in change.steps if hasattr(step, "argv")]


def here(text: str = THEIRS, active: bool = True, autostart: bool = True) -> dict[str, Pool]:
    return {"p1": Pool(parse(text, "pool"), active, autostart)}


def ours(**options: t.Any) -> dict[str, Pool]:
    """A pool of the owner, as a run defines it."""
    step = next(
        step for step in pools({}, {"type": "dir", "path": "/srv/p1", **options}).steps if step.argv[1] == "pool-define"
    )
    return {"p1": Pool(parse(step.stdin, "pool"), True, True)}


def test_a_new_pool_is_defined_built_and_started() -> None:
    change = pools({}, {"type": "dir", "path": "/srv/p1"})
    assert verbs(change) == ["pool-define", "pool-build", "pool-start", "pool-autostart"]
    root = parse(change.steps[0].stdin, "pool")
    assert_valid(root, "storagepool")
    assert root.findtext("uuid") == pool_uuid(OWNER, "p1")
    assert verbs(pools(ours(), {"type": "dir", "path": "/srv/p1"})) == []


def test_another_path_keeps_what_no_option_says() -> None:
    change = pools(here(), {"path": "/mnt/other"}, adopt=True)
    assert verbs(change) == [
        "pool-destroy",
        "pool-undefine",
        "pool-define",
        "pool-build",
        "pool-start",
        "pool-autostart",
    ]
    root = parse(
        next(step.stdin for step in change.steps if getattr(step, "argv", ("", ""))[1] == "pool-define"), "pool"
    )
    assert view_pool(root) == {**view_pool(parse(THEIRS, "pool")), "path": "/mnt/other"}
    assert root.find("source/protocol").get("ver") == "4" and root.findtext("target/permissions/mode") == "0711"


def test_a_pool_of_another_type_keeps_no_source_of_the_former_one() -> None:
    change = pools(here(), {"type": "dir", "path": "/mnt/p1"}, adopt=True)
    root = parse(
        next(step.stdin for step in change.steps if getattr(step, "argv", ("", ""))[1] == "pool-define"), "pool"
    )
    assert_valid(root, "storagepool")
    assert root.find("source") is None and root.findtext("target/permissions/mode") == "0711"


def test_a_pool_that_libvirt_refuses_is_there_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another pool has the path; the former one is undefined by then."""
    # The library itself is on hosts only.
    library = types.SimpleNamespace(libvirtError=type("libvirtError", (Exception,), {"get_error_message": str}))
    monkeypatch.setattr(_pools, "libvirt", library)
    monkeypatch.setattr(_connection, "libvirt", library)
    connection = mock.Mock()
    handle = connection.storagePoolDefineXML.return_value
    handle.isActive.return_value = False
    connection.storagePoolDefineXML.side_effect = [library.libvirtError("the path is another pool's"), mock.DEFAULT]
    items = [want_pool(filled(POOL_SPEC, {"name": "p1", "path": "/mnt/other"}))]
    change = plan_pools(here(), items, OWNER, True, False, PoolActions(connection, "qemu:///system"))
    step = next(step for step in change.steps if getattr(step, "argv", ("", ""))[1] == "pool-define")
    with pytest.raises(FabricError, match="pool p1 is refused"):
        step.do()
    again = ET.fromstring(connection.storagePoolDefineXML.call_args[0][0])
    assert view_pool(again) == view_pool(parse(THEIRS, "pool"))
    handle.setAutostart.assert_called_once_with(1)
    handle.create.assert_called_once_with()


def test_a_pool_of_others_is_not_changed_unasked_nor_removed() -> None:
    assert verbs(pools(here(), {"path": "/mnt/p1"})) == []
    with pytest.raises(
        FabricError, match=r"pool p1 is not ours and is in use \(it is active\), and path would be replaced"
    ):
        pools(here(), {"path": "/mnt/other"})
    with pytest.raises(FabricError, match="state would be replaced"):
        pools(here(), {"state": "inactive"})
    with pytest.raises(FabricError, match="pool p1 was not made by owner fabric-1 and stays; leave it out"):
        pools(here(), {"state": "absent"})
    assert verbs(pools(here(), purge=True)) == []
    assert verbs(pools(ours(), purge=True)) == ["pool-destroy", "pool-undefine"]


@pytest.mark.parametrize(
    ("autostart", "declared", "expected"),
    [(True, None, ["pool-autostart"]), (False, None, []), (True, False, []), (False, True, ["pool-autostart"])],
)
def test_adoption_keeps_autostart_unless_it_is_declared(
    autostart: bool, declared: bool | None, expected: list[str]
) -> None:
    change = pools(here(active=False, autostart=autostart), {"state": "inactive", "autostart": declared}, adopt=True)
    assert verbs(change) == ["pool-undefine", "pool-define", *expected]


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("autostart", [True, False])
def test_an_adopted_pool_is_given_back_as_it_was(active: bool, autostart: bool) -> None:
    found = here(active=active, autostart=autostart)
    taken = pools(found, {"path": "/mnt/other", "state": "active", "autostart": not autostart}, adopt=True)
    assert isinstance(taken.steps[0], Write), "what was there is kept before it is changed"
    remembered = json.loads(taken.steps[0].content)
    now = {"p1": Pool(parse(next(s.stdin for s in taken.steps if getattr(s, "stdin", None)), "pool"), True, True)}
    again = plan_pools(
        now,
        [want_pool(filled(POOL_SPEC, {"name": "p1", "path": "/mnt/other"}))],
        OWNER,
        True,
        False,
        ACTIONS,
        remembered,
    )
    assert again.steps == []
    gone = plan_pools(now, [], OWNER, False, True, ACTIONS, remembered)
    assert verbs(gone) == [
        "pool-destroy",
        "pool-undefine",
        "pool-define",
        *(["pool-start"] if active else []),
        *(["pool-autostart"] if autostart else []),
    ]
    assert isinstance(gone.steps[-1], Remove) and "given back" in gone.warnings[0]
    restored = parse(next(s.stdin for s in gone.steps if getattr(s, "stdin", None)), "pool")
    assert ET.canonicalize(ET.tostring(restored), strip_text=True) == ET.canonicalize(THEIRS, strip_text=True)
    # The control: one that was made is removed.
    assert verbs(pools(ours(), purge=True)) == ["pool-destroy", "pool-undefine"]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ({}, "type is missing"),
        ({"type": "dir"}, "path is missing"),
        ({"type": "netfs", "path": "/a", "source_host": "nas"}, "type netfs needs source_dir"),
        ({"name": "a/b"}, "no name"),
        ({"type": "dir", "path": "a"}, "absolute path"),
        ({"type": "dir", "path": "/a", "source_host": "nas"}, "pool p1: source_host is for type netfs, not dir: leave"),
        ({"type": "logical", "source_name": "vg", "source_device": "/dev/a"}, "source_device is for type fs, not log"),
        ({"type": "fs", "path": "/a", "source_device": "/dev/a", "source_name": "vg"}, "source_name is for type logi"),
    ],
)
def test_bad_input_of_a_pool_gets_one_sentence(item: dict[str, t.Any], part: str) -> None:
    with pytest.raises(FabricError) as caught:
        pools({}, item)
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_an_option_has_to_be_of_the_type_that_a_pool_has_already() -> None:
    for check in ({"source_name": "vg"}, {"source_name": "vg", "path": "/mnt/p1"}):
        with pytest.raises(FabricError, match="pool p1: source_name is for type logical, not netfs"):
            pools(here(), check, adopt=True)
    assert pools(here(), {"source_host": "nas2"}, adopt=True).after["p1"]["source_host"] == "nas2"
    # Of a type that the option does not have, such as iSCSI, a source's host is its own.
    others = THEIRS.replace("netfs", "iscsi").replace("<dir path='/export'/>", "<device path='iqn.2013-06.a:t'/>")
    assert pools(here(others), {"source_host": "nas2"}, adopt=True).after["p1"]["source_host"] == "nas2"


VOLUME = {"path": "/srv/v1", "size": 2**20, "format": "qcow2", "backing_path": ""}


def volumes(found: Volumes, *items: dict[str, t.Any], adopt: bool = False, purge: bool = False) -> list[str]:
    wanted = [want_volume(filled(VOLUME_SPEC, {"name": "v1", "pool": "p1", **item})) for item in items]
    change = plan_volumes(found, wanted, OWNER, adopt, purge, False, VolumeActions(None, "qemu:///system"))
    assert bool(change.steps) == (change.before != change.after)
    return [step.argv[1] if hasattr(step, "argv") else type(step).__name__ for step in change.steps]


def test_a_volume_is_noted_before_it_is_made_and_forgotten_after_it_is_gone() -> None:
    assert volumes(Volumes({"p1": {}}, {}), {"size": "1MiB"}) == ["Write", "vol-create"]
    found = Volumes({"p1": {"v1": VOLUME}}, {"p1/v1": OWNER})
    assert volumes(found, {"size": "1MiB"}) == []
    assert volumes(found, {"size": "2MiB"}) == ["vol-resize"]
    assert volumes(found, {"state": "absent"}) == volumes(found, purge=True) == ["vol-delete", "Remove"]
    assert volumes(Volumes({"p1": {}}, {"p1/v1": OWNER}), purge=True) == ["Remove"]


@pytest.mark.parametrize(
    ("ledger", "item", "part"),
    [
        ({"p1/v1": "other"}, {"state": "absent"}, "belongs to the owner other and stays; give that owner"),
        ({"p1/v1": "other"}, {"size": "2MiB"}, "belongs to other"),
        ({"p1/v1": OWNER}, {"size": "512KiB"}, "never shrunk"),
        ({"p1/v1": OWNER}, {"format": "raw"}, "cannot become raw"),
        ({"p1/v1": OWNER}, {"backing_path": "/srv/base"}, "cannot become /srv/base"),
        ({"p1/v1": OWNER}, {"pool": "p2", "size": "1MiB"}, "pool p2 does not exist"),
    ],
)
def test_what_a_volume_cannot_become_is_refused(ledger: dict[str, str], item: dict[str, t.Any], part: str) -> None:
    with pytest.raises(FabricError) as caught:
        volumes(Volumes({"p1": {"v1": VOLUME}}, ledger), item)
    assert part in str(caught.value) and "v1" in str(caught.value) and "\n" not in str(caught.value)


def test_a_volume_of_nobody_is_adopted_and_then_removed() -> None:
    found = Volumes({"p1": {"v1": VOLUME}}, {})
    assert volumes(found, {"size": "1MiB"}) == []
    with pytest.raises(FabricError, match="volume v1 in pool p1 was not made by this collection and stays"):
        volumes(found, {"state": "absent"})
    assert volumes(found, {"size": "1MiB"}, adopt=True) == ["Write"]
    assert volumes(found, {"state": "absent"}, adopt=True) == ["vol-delete"]


def test_an_adopted_volume_is_given_back_and_one_that_was_made_is_removed() -> None:
    pool = {"v1": VOLUME, "v2": {**VOLUME, "path": "/srv/v2"}}
    found = Volumes({"p1": pool}, {"p1/v1": OWNER, "p1/v2": OWNER}, frozenset({"p1/v1"}))
    change = plan_volumes(found, [], OWNER, False, True, False, VolumeActions(None, "qemu:///system"))
    assert [step.argv[2] for step in change.steps if hasattr(step, "argv")] == ["v2"]
    assert isinstance(change.steps[-1], Remove) and "volume p1/v1 was there before" in change.warnings[0]
    assert volumes(found, {"state": "absent"}) == ["Write"]
    assert volumes(found, {"state": "absent"}, adopt=True) == ["vol-delete", "Write"]


def test_the_documents_of_these_tests_are_such_as_libvirt_knows() -> None:
    assert_valid(ET.fromstring(THEIRS), "storagepool")
