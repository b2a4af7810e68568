# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison's model of the database against the real one: what is drawn at random is done, and read back."""

from __future__ import annotations

import random
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import compare as ovs_compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import declaration as ovs_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import tunnel as _ovs_tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database, read_database, transaction
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import EXTRA
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils import ovs_draw as draw

if t.TYPE_CHECKING:
    from harness import Host

BEGIN = ["ovs-vsctl", "--timeout=30"]


def plan(found: Database, rnd: random.Random) -> t.Any:
    """The ops of a random call of one of the modules."""
    owner = rnd.choice(["overloom.fabric"] * 5 + ["else"])
    how = {"owner": owner, "adopt": rnd.random() < 0.7, "purge": rnd.random() < 0.3}
    if rnd.random() < 0.5:
        return ovs_compare.compare(
            found, ovs_declaration.declared(draw.bridges(rnd)), ovs_compare.Settings(**how), None
        )
    return _ovs_tunnel.compare(found, _ovs_tunnel.declared(draw.tunnels(rnd)), _ovs_tunnel.Settings(**how), None)


@pytest.mark.parametrize("seed", range(4))
def test_the_database_holds_afterwards_what_the_model_foretold(host: Host, seed: int) -> None:
    rnd = random.Random(seed)
    runner = Runner(lambda argv, stdin: (0, host.run(argv, stdin=stdin), ""))
    found = read_database(runner, BEGIN, EXTRA)
    changes = 0
    for _round in range(40):
        try:
            ops, after, _warnings = plan(found, rnd)
        except FabricError:
            continue
        for step in transaction(BEGIN, ops):
            runner(step)
            changes += 1
        found = read_database(runner, BEGIN, EXTRA)
        model, real = draw.essence(after), draw.essence(found)
        for table, rows in model[0].items():
            assert rows == real[0][table], (table, ops)
        assert model[1:] == real[1:]
    assert changes > 8
