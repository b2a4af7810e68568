# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fabric gives its user, held against the programs that read it: ssh(1) and Ansible's inventory."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs import ways
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import (
    outputs,
    render,
    restart_sentence,
    told,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

LAB = {"ansible_connection": "overloom.fabric.lab", "fabric_name": "test"}
GUEST = {"name": "vm1", "kind": "guest", "segment": "s", "guest": {"image": "lab"}}
SEGMENTS = [
    {"name": "s", "vlan": 10, "subnet": "10.1.0.0/16"},
    {"name": "t", "vlan": 20, "subnet": "10.2.0.0/16", "subnet6": "fd00::/64"},
]


def planned(**hosts):
    """The plan of some hosts, each by its endpoints."""
    common = {"fabric_name": "test", "fabric_segments": SEGMENTS}
    plan = compile_plan({name: {**common, "fabric_endpoints": points} for name, points in hosts.items()}, SPEC)
    plan["outputs"] = outputs(plan)
    return plan


def ways_of(plan, variables=None):
    """The guests by root's ways, on hosts of a lab unless their variables are given."""
    return ways.guests(plan, dict.fromkeys(plan["hosts"], LAB if variables is None else variables), True)


def resolved(config, name):
    """What ssh makes of a name with a configuration."""
    done = subprocess.run(["ssh", "-F", str(config), "-G", name], capture_output=True, text=True, check=True)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_outputs_say_where_each_endpoint_is_and_how_to_get_in():
    guest = {**GUEST, "guest": {"image": "lab", "nics": [{"segment": "t", "address": "10.2.2.9"}]}}
    plan = planned(kvm1=[{"name": "a", "segment": "t"}, guest])
    found = plan["outputs"]
    assert [(e["name"], e["console"], e["segment"], e["role"]) for e in found] == [
        ("kvm1/a", "ip netns exec a sh", "t", None),
        ("kvm1/vm1", "virsh console vm1", "s", "linux"),
    ]
    assert [address.rpartition("/")[2] for address in found[0]["addresses"]] == ["16", "64"]
    assert "10.2.2.9/16" in found[1]["addresses"] and found[1]["mac"] == plan["endpoints"][1]["mac"]
    text = render(found)
    assert "on kvm1: virsh console vm1" in text and "10.2.2.9/16" in text
    assert "and 10 more" in render(found * 30)


@pytest.mark.parametrize(("role", "managed"), [("linux", False), ("veos", True), ("chr", True)])
def test_a_guest_that_is_a_device_has_an_address_of_its_management(role, managed):
    image = "lab" if role == "linux" else "stand-in"
    guest = {**GUEST, "address": "10.1.0.9", "guest": {"image": image, "role": role}}
    [_door, found] = planned(kvm1=[{"name": "jump", "segment": "s"}, guest])["outputs"]
    assert (found["role"], found["management"]) == (role, "10.1.0.9" if managed else None)


def test_a_guest_that_waits_for_a_restart_is_told_with_its_options_and_the_way_on():
    guest = {"name": "kvm1/vm1", "kind": "guest", "host": "kvm1", "addresses": [], "console": None}
    found = told(
        [guest, {**guest, "name": "kvm2/vm1", "host": "kvm2"}, {**guest, "name": "r1", "kind": "router"}],
        {"kvm1": {"vm1": ["nics", "cmdline"]}},
    )
    assert [(output["name"], output["restart_required"]) for output in found] == [
        ("kvm1/vm1", ["nics", "cmdline"]),
        ("r1", []),
    ]
    assert "guest, restart needed" in render(found)
    assert restart_sentence(found[0]) == (
        "kvm1: guest vm1 still runs as it was before a change of nics, cmdline, which needs a restart;"
        " set guest.restart: true for vm1 in fabric_endpoints and run this again, or restart it by hand"
    )


@pytest.mark.parametrize(
    ("variables", "root", "line"),
    [
        ({}, True, "ssh -t kvm1 'sudo virsh list'"),
        ({"ansible_host": "192.0.2.1", "ansible_user": "root"}, False, "ssh -l root -t 192.0.2.1 'virsh list'"),
        (
            {"ansible_user": "me", "ansible_port": 2222, "ansible_ssh_common_args": "-J 'b c'"},
            True,
            "ssh -l me -p 2222 -J 'b c' -t kvm1 'sudo virsh list'",
        ),
        ({"ansible_connection": "local"}, False, "sudo virsh list"),
        ({"ansible_connection": "containers.podman.podman"}, True, None),
    ],
)
def test_a_command_enters_a_host_as_ansible_does(variables, root, line):
    assert ways.enter("kvm1", variables, ["virsh", "list"], True, root) == line


def test_a_lab_is_entered_by_its_name_and_without_root_by_sudo():
    line = ways.enter("kvm1", {**LAB, "lab_name": "other"}, ["virsh", "list"], True, False)
    assert line.startswith("sudo nsenter ") and "/labs/other/hosts/kvm1/leader" in line and line.endswith("virsh list")


def test_the_way_to_a_guest_is_a_namespace_on_its_segment_and_rather_on_its_host():
    plan = planned(
        kvm1=[{"name": "far", "segment": "s"}, {**GUEST, "name": "alone", "segment": "t"}],
        kvm2=[{"name": "other", "segment": "s"}, {"name": "near", "segment": "s"}, GUEST],
    )
    alone, vm1 = ways_of(plan, {})
    assert alone.way is None and "ip netns exec other python3" in vm1.way and vm1.way.startswith("ssh kvm2 ")
    text = ways.ssh_config("test", [alone, vm1])
    assert "# alone.kvm1 has no entry" in text and text.count("ProxyCommand") == 1
    hosts = yaml.safe_load(ways.inventory("test", [alone, vm1], "/there/ssh_config"))["all"]["children"]["guests"][
        "hosts"
    ]
    assert hosts["vm1.kvm2"]["ansible_ssh_common_args"] == "-F /there/ssh_config"
    assert hosts["alone.kvm1"]["ansible_host"] == alone.address and "ansible_ssh_common_args" not in hosts["alone.kvm1"]


def test_a_namespace_of_the_other_address_family_alone_leads_nowhere():
    segments = [{"name": "s", "subnet": "fd00:1::/64"}]
    hosts = {
        "kvm1": {
            "fabric_name": "test",
            "fabric_segments": segments,
            "fabric_endpoints": [{"name": "a", "segment": "s"}, GUEST],
        }
    }
    [vm1] = ways_of(compile_plan(hosts, SPEC))
    assert vm1.way and vm1.address.startswith("fd00:1::")


def test_two_guests_of_one_name_have_labels_and_no_short_name():
    plan = planned(kvm1=[GUEST, {"name": "a", "segment": "s"}], kvm2=[GUEST])
    assert [(guest.label, guest.short) for guest in ways_of(plan)] == [("vm1.kvm1", None), ("vm1.kvm2", None)]


def test_the_document_is_json_with_hosts_endpoints_and_commands():
    plan = planned(kvm1=[GUEST, {"name": "a", "segment": "s"}])
    found = json.loads(json.dumps(ways.document(plan, {"kvm1": LAB}, True)))
    assert found["hosts"][0]["tunnel_endpoint"] == "192.168.200.1/24" and found["hosts"][0]["name"] == "kvm1"
    assert [point["name"] for point in found["endpoints"]] == ["kvm1/vm1", "kvm1/a"] and found["routers"] == []
    assert found["endpoints"][0]["command"].endswith("virsh console vm1")


def test_the_relay_carries_both_directions_and_ends_with_either_side():
    server = (
        "import socket\n"
        "s=socket.create_server(('127.0.0.1',0));print(s.getsockname()[1],flush=True)\n"
        "while True:\n c,_=s.accept();c.sendall(b'banner ');c.sendall(c.recv(99));c.close()\n"
    )
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().strip()
            relay = [sys.executable, "-c", ways.RELAY, "127.0.0.1", port]
            with subprocess.Popen(relay, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
                one.stdin.write(b"asked")
                one.stdin.flush()
                # The server ends it.
                assert one.stdout.read() == b"banner asked" and one.wait(10) == 0
            # The client ends it, though the server still waits.
            assert (
                subprocess.run(relay, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False).returncode
                == 0
            )
        finally:
            process.kill()


# Every letter that a name may have, and what YAML and ssh_config(5) make of some.
NAMES = st.one_of(
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,11}", fullmatch=True),
    st.sampled_from(["no", "null", "1e3", "0x1F", "1.5", "2026-01-01", "Host", "a.b", "b", "all", "guests"]),
)
HOSTS = st.one_of(
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z0-9]{1,4})?", fullmatch=True),
    st.sampled_from(["no", "b.c", "c"]),
)


@st.composite
def guests(draw):
    names = draw(st.lists(st.tuples(HOSTS, NAMES), min_size=1, max_size=4, unique=True))
    # ssh(1) takes a backslash before a quotation mark for an escape, whatever stands around; such a user or path has to be spelled otherwise.
    label = st.text("ab 'é\"$%#\\", min_size=1, max_size=9).filter(lambda text: not re.search(r"\\(['\"]|$)", text))
    config = "/" + draw(label)
    found = []
    points = [
        {
            "kind": "guest",
            "id": f"{host}/{name}",
            "name": name,
            "host": host,
            "segment": draw(NAMES),
            "mac": "02:00:00:00:00:01",
        }
        for host, name in names
    ]
    for number, point in enumerate(points, 1):
        point.update(address=f"10.0.0.{number}", address6=None)
    door = {"kind": "namespace", "name": "door", "host": names[0][0], "address": "10.0.0.99", "address6": None}
    doors = [{**door, "segment": segment} for segment in {point["segment"] for point in points}]
    hosts = {host: {"guests": []} for host, _name in names}
    for point in points:
        hosts[point["host"]]["guests"].append({"name": point["name"], "role": "linux", "user": "admin"})
    variables = {"ansible_host": "192.0.2.1", "ansible_user": draw(label), "ansible_ssh_private_key_file": draw(label)}
    found = ways.guests({"endpoints": points + doors, "hosts": hosts}, dict.fromkeys(hosts, variables), True)
    return points, found, config, variables


@settings(max_examples=25, deadline=None)
@given(guests())
def test_ssh_and_ansible_read_what_is_written_whatever_the_names(tmp_path_factory, drawn):
    points, found, config, variables = drawn
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "ssh_config").write_text(ways.ssh_config("test", found), encoding="utf-8")
    (folder / "guests.yml").write_text(ways.inventory("test", found, config), encoding="utf-8")
    for point, guest in zip(points, found):
        for name in filter(None, (guest.label, guest.short)):
            read = resolved(folder / "ssh_config", name)
            assert (read["hostname"], read["user"]) == (point["address"], "admin")
            # As the shell reads it after ssh has put in the port.
            words = shlex.split(read["proxycommand"].replace("%p", "22").replace("%%", "%"))
            assert words[:5] == [
                "ssh",
                "-l",
                variables["ansible_user"],
                "-i",
                variables["ansible_ssh_private_key_file"],
            ]
            assert shlex.split(words[-1])[-2:] == [point["address"], "22"]
    inventory = InventoryManager(DataLoader(), sources=[str(folder / "guests.yml")])
    assert {host.name for host in inventory.get_hosts()} == {guest.label for guest in found}
    for kind in ("segment", "host"):
        names = ways.group_names(kind, {point[kind] for point in points})
        assert len(set(names.values())) == len(names)
        for value, group in names.items():
            members = {guest.label for point, guest in zip(points, found) if point[kind] == value}
            assert {host.name for host in inventory.groups[group].get_hosts()} == members
    for guest in found:
        host = inventory.get_host(guest.label)
        assert shlex.split(host.vars["ansible_ssh_common_args"]) == ["-F", config]
