# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The random configurations that a real FRR is tested with have every documented option of the modules."""

from __future__ import annotations

import random
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._frr import bgp as _frr_bgp
from ansible_collections.overloom.fabric.plugins.module_utils._frr import ospf as _frr_ospf
from ansible_collections.overloom.fabric.plugins.module_utils._frr import rip as _frr_rip
from ansible_collections.overloom.fabric.plugins.module_utils._frr import static as _frr_static
from ansible_collections.overloom.fabric.tests.integration import frr_configs

SPECS: dict[str, dict[str, t.Any]] = {
    "frr_ospf": {"instances": {"options": _frr_ospf.INSTANCE}, **_frr_ospf.LISTS},
    "frr_bgp": {"instances": {"options": _frr_bgp.INSTANCE}, **_frr_bgp.LISTS},
    "frr_rip": {"instances": {"options": _frr_rip.INSTANCE}, **_frr_rip.LISTS},
    "frr_static": {"routes": {"options": _frr_static.ROUTE}},
}
# What the installed FRR has only with OpenSSL, what has a test of its own (rpki), and what is no configuration.
ELSEWHERE = ("hmac-sha-1", "hmac-sha-384", "hmac-sha-512", "rpki", "state=absent")


def documented(spec: dict[str, t.Any], at: str = "") -> t.Iterator[str]:
    """Every option of an argument spec with its place, and of one with choices every choice."""
    for name, option in spec.items():
        if option.get("options"):
            yield from documented(option["options"], f"{at}{name}.")
        elif option.get("choices"):
            yield from (f"{at}{name}={choice}" for choice in option["choices"])
        else:
            yield at + name


def drawn(values: dict[str, t.Any], spec: dict[str, t.Any], at: str = "") -> t.Iterator[str]:
    """The same of given options."""
    for name, value in values.items():
        option = spec[name]
        rows = value if isinstance(value, list) else [value]
        if option.get("options"):
            for row in rows:
                yield from drawn(row, option["options"], f"{at}{name}.")
        elif option.get("choices"):
            yield from (f"{at}{name}={row}" for row in rows)
        else:
            yield at + name


@pytest.mark.parametrize("module", SPECS)
def test_every_documented_option_is_drawn(module: str) -> None:
    seen = set()
    for seed in range(frr_configs.SEEDS):
        options = frr_configs.MODULES[module](random.Random(seed))
        assert options.pop("purge")
        seen.update(drawn(options, SPECS[module]))
    assert [
        option for option in documented(SPECS[module]) if option not in seen and not option.endswith(ELSEWHERE)
    ] == []
