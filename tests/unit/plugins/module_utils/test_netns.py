# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._netns import namespace as _netns
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("net.ipv4.ip_forward", True, ("net/ipv4/ip_forward", "1")),
        ("net.ipv4.ip_forward", 0, ("net/ipv4/ip_forward", "0")),
        ("net/ipv4/conf/eth0.10/rp_filter", "2", ("net/ipv4/conf/eth0.10/rp_filter", "2")),
        ("net.ipv4.conf.eth0/10.rp_filter", "2", ("net/ipv4/conf/eth0.10/rp_filter", "2")),
        ("net.ipv4.ping_group_range", " 0\t 5 ", ("net/ipv4/ping_group_range", "0 5")),
    ],
)
def test_sysctls_are_canonical(key: str, value: t.Any, expected: tuple[str, str]) -> None:
    assert _netns.check_sysctl(key, value, "x") == expected


@pytest.mark.parametrize(
    "key",
    [
        "",
        "net",
        "net.",
        "kernel.hostname",
        "network.x",
        "net..x",
        "net/../kernel/x",
        "net.ipv4.a b",
        "-net.x",
        "net.x=1",
        "net.x\n",
    ],
)
def test_keys_that_belong_to_no_namespace_are_refused(key: str) -> None:
    with pytest.raises(FabricError, match="is no sysctl of a network namespace"):
        _netns.check_sysctl(key, 1, "x")


@pytest.mark.parametrize("value", [None, [], {}, "", " ", "1\n2", 1.5, "\0"])
def test_values_that_are_no_line_are_refused(value: t.Any) -> None:
    with pytest.raises(FabricError, match="is no number or single line of text"):
        _netns.check_sysctl("net.x", value, "x")


@pytest.mark.parametrize(
    ("path", "interface"),
    [
        ("net/ipv4/conf/eth0/rp_filter", "eth0"),
        ("net/ipv6/neigh/eth0.10/gc_stale_time", "eth0.10"),
        ("net/ipv4/conf/all/rp_filter", None),
        ("net/ipv6/conf/default/forwarding", None),
        ("net/ipv4/ip_forward", None),
    ],
)
def test_the_interface_of_a_sysctl(path: str, interface: str | None) -> None:
    assert _netns.sysctl_interface(path) == interface


@given(st.text(max_size=70))
def test_a_name_is_a_file_name_a_unit_name_and_a_word_or_is_refused(name: str) -> None:
    try:
        _netns.check_name(name, "name")
    except FabricError as error:
        assert "\n" not in str(error).replace(repr(name), "")
        return
    assert (
        name.isascii()
        and name.isprintable()
        and not set(name) & set(" /'\"#\\$;")
        and name[0] not in ".-"
        and len(name) <= 64
    )
