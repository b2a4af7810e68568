# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel parameters: keys in both spellings, and files and values as they may be found."""

from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ip import sysctl
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Remove, Step, Write

KEYS = ["net/ipv4/ip_forward", "net/ipv4/conf/eth0.10/rp_filter", "kernel/domainname"]
VALUES = st.sampled_from(["0", "1", "4096 16384"])
PATH = "/etc/sysctl.d/90-overloom-x.conf"


def after(wanted: sysctl.Wanted, found: sysctl.Found, change) -> sysctl.Found:
    """The host after the steps of a change."""
    text, values = found.text, dict(found.values)
    for step in change.steps:
        if isinstance(step, Write):
            text = step.content
        elif isinstance(step, Remove):
            text = None
        else:
            assert isinstance(step, Step)
            values.update(pair.split("=", 1) for pair in step.argv[3:])
    return sysctl.Found(text, {path: values.get(path) for path in wanted.sysctls})


@given(st.dictionaries(st.sampled_from(KEYS), VALUES), st.dictionaries(st.sampled_from(KEYS), VALUES), st.booleans())
def test_one_run_is_enough_and_what_the_kernel_lacks_is_kept_for_later(declared, in_force, written):
    wanted = sysctl.Wanted("me", PATH, declared, True)
    text = "# Made by overloom.fabric for me.\nnet/ipv4/ip_forward = 7\n" if written else None
    found = sysctl.Found(text, {path: in_force.get(path) for path in declared})
    change = sysctl.compare(wanted, found)
    assert bool(change.steps) == (change.before != change.after)
    then = after(wanted, found, change)
    assert not sysctl.compare(wanted, then).steps
    assert all(then.values[path] in (None, value) for path, value in declared.items())
    assert (then.text is not None) == bool(declared)
    assert all(f"{path} = {value}\n" in (then.text or "") for path, value in declared.items())


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.10/rp_filter", "net/ipv4/conf/eth0.10/rp_filter"),
        ("net.ipv4.conf.eth0/10.rp_filter", "net/ipv4/conf/eth0.10/rp_filter"),
    ],
)
def test_a_key_is_one_in_both_spellings(key, path):
    assert sysctl.checked(key, True) == (path, "1")


@pytest.mark.parametrize(
    "first", ["", "# net", "# Made by overloom.fabric for me2.", "# Made by overloom.fabric for you."]
)
def test_a_file_without_the_owners_first_line_is_refused(first):
    wanted = sysctl.Wanted("me", PATH, {"net/ipv4/ip_forward": "1"}, False)
    with pytest.raises(FabricError, match="was not made for owner me"):
        sysctl.compare(wanted, sysctl.Found(f"{first}\n", {"net/ipv4/ip_forward": "1"}))


def test_a_file_of_others_that_is_read_later_at_boot_is_told_each_time(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a hardening role leaves: the value holds now, and not after the next boot."""
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    for path, text in {
        etc / "10-first.conf": "net.ipv4.ip_forward = 0\n",
        etc / "99-hardening.conf": "# net.ipv4.ip_forward = 2\n-net/ipv4/ip_forward=0\nnet.ipv4.conf.*.rp_filter = 1\n",
        etc / "99-masked.conf": "",
        lib / "99-masked.conf": "net.ipv4.ip_forward = 3\n",
        lib / "99-same.conf": "net.ipv4.tcp_syncookies = 1\n",
    }.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sysctl, "FOLDER", str(etc))
    monkeypatch.setattr(sysctl, "_FOLDERS", (str(etc), str(lib)))
    params = {
        "name": "a",
        "state": "present",
        "owner": "us",
        "optional": True,
        "adopt": False,
        "sysctls": {"net.ipv4.ip_forward": 1, "net.ipv4.tcp_syncookies": 1},
    }
    wanted = sysctl.declaration(params)
    told = [f"sysctls: net/ipv4/ip_forward is 1 until the next boot only: {etc}/99-hardening.conf, which is read after"]
    warnings = sysctl.compare(wanted, sysctl.read(wanted)).warnings
    assert [text.split(f" {wanted.path}")[0] for text in warnings] == told
    (etc / "99-hardening.conf").unlink()
    assert sysctl.compare(wanted, sysctl.read(wanted)).warnings == ()
