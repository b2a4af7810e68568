# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests in the plan: what the modules get, what is pinned, and what is refused with which sentence."""

from __future__ import annotations

import copy
import subprocess

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._guest.iso import iso_image
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import domain_declaration, network_declaration
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge as _verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics

BLUE = {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"}
RED = {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24"}
PLAIN = {"name": "plain", "subnet": "10.1.9.0/24"}
LAB = {"image": "lab"}
VEOS = {"role": "veos", "image": "/srv/vEOS.qcow2"}


def fabric(*guests, segments=(BLUE, RED), **own):
    """A host with these guests as vm1, vm2 and so on, all on blue, and a second host with none."""
    base = {"fabric_name": "test", "fabric_segments": list(segments)}
    points = [
        {"name": f"vm{n}", "kind": "guest", "segment": "blue", "guest": guest} for n, guest in enumerate(guests, 1)
    ]
    return {"kvm1": {**base, "fabric_endpoints": points, **own}, "kvm2": base}


def planned(*guests, **own):
    return compile_plan(fabric(*guests, **own), SPEC)["hosts"]["kvm1"]


@st.composite
def with_guests(draw):
    """A random valid fabric of which some endpoints are guests of any role."""
    hosts = copy.deepcopy(draw(fabrics()))
    segments = next(iter(hosts.values()))["fabric_segments"]
    tagged = [segment["name"] for segment in segments if "vlan" in segment]
    for variables in hosts.values():
        for endpoint in variables["fabric_endpoints"]:
            if endpoint["segment"] in tagged and draw(st.booleans()):
                guest = draw(
                    st.sampled_from(
                        [LAB, VEOS, {"image": "/srv/debian.qcow2"}, {"role": "chr", "image": "/srv/chr.img"}]
                    )
                )
                nics = draw(st.lists(st.sampled_from(tagged), max_size=3))
                endpoint.update(kind="guest", guest={**guest, "nics": [{"segment": name} for name in nics]})
    return hosts


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(with_guests())
def test_the_modules_take_every_planned_guest_and_network(hosts):
    plan = compile_plan(hosts, SPEC)
    macs, uuids, count = set(), set(), 0
    for host in plan["hosts"].values():
        for guest in host["guests"]:
            item = validated(domain_declaration.SPEC, guest["domain"])
            domain = domain_declaration.want(item, host["owner"])
            count += len(domain.options["nics"])
            macs |= {nic["mac"] for nic in domain.options["nics"]}
            uuids.add(domain.options["uuid"])
            groups = [(net["name"], group["name"]) for net in host["networks"] for group in net["portgroups"]]
            assert all((nic["network"], nic["portgroup"]) in groups for nic in domain.options["nics"])
        for network in host["networks"]:
            network_declaration.want(validated(network_declaration.SPEC, network))
            assert network["bridge"] in [bridge["name"] for bridge in host["bridges"]]
    assert len(macs) == count and len(uuids) == sum(len(host["guests"]) for host in plan["hosts"].values())
    spaces = sum(len(host["namespaces"]) for host in plan["hosts"].values())
    assert spaces + len(uuids) == len(plan["endpoints"])


def validated(spec, item):
    result = ArgumentSpecValidator(spec).validate(item)
    assert not result.error_messages, result.error_messages
    return result.validated_parameters


def test_the_smallest_guest_is_settled_in_full():
    host = planned(LAB)
    guest = host["guests"][0]["domain"]
    nic = guest["nics"][0]
    assert (
        nic["network"] == "test-br-int" and nic["portgroup"] == "blue" and nic["dev"] == "v-vm1" and nic["mtu"] == 1446
    )
    assert "overloom.eth0=mtu=1446,10.1.1.65/24" in guest["cmdline"] and guest["memory"] == "128MiB"
    assert host["networks"] == [
        {
            "name": "test-br-int",
            "mode": "openvswitch",
            "bridge": "br-int",
            "portgroups": [{"name": "blue", "vlan": 10}, {"name": "red", "vlan": 20}],
        }
    ]
    # Pinned: the same again, whatever is added.
    assert planned(LAB, LAB)["guests"][0] == host["guests"][0]


def test_a_host_without_guests_gets_neither_guests_nor_networks():
    other = compile_plan(fabric(LAB), SPEC)["hosts"]["kvm2"]
    assert other["guests"] == other["networks"] == []


def test_a_trunk_has_a_portgroup_of_its_own():
    host = planned({**LAB, "nics": [{"trunks": ["blue", "red"], "native": "blue"}]})
    assert host["networks"][0]["portgroups"][-1] == {
        "name": "trunk-10-20-native-10",
        "trunks": ["10", "20"],
        "native_vlan": 10,
    }
    assert host["guests"][0]["domain"]["nics"][1]["portgroup"] == "trunk-10-20-native-10"


def test_veos_boots_the_aboot_image_first_and_from_ide_alone():
    domain = planned({**VEOS, "image": "/srv/vEOS.vmdk", "aboot": "/srv/Aboot.iso"})["guests"][0]["domain"]
    assert domain["boot"] == ["cdrom", "hd"] and {disk["bus"] for disk in domain["disks"]} == {"ide"}
    assert (
        domain["disks"][0]["backing_format"] == "vmdk"
        and domain["nics"][0]["model"] == "e1000"
        and domain["vcpus"] == 2
    )
    assert planned(VEOS)["guests"][0]["domain"]["boot"] == ["hd"]


def test_a_cloud_image_gets_its_addresses_user_and_keys():
    guest = {
        "image": "/srv/debian.qcow2",
        "keys": ["ssh-ed25519 AAAA"],
        "user": "op",
        "disk_size": "4GiB",
        "nics": [{"segment": "red", "address": "10.1.2.9"}],
    }
    domain = planned(guest)["guests"][0]["domain"]
    seed = domain["cloud_init"]
    assert seed["user_data"]["users"][0]["ssh_authorized_keys"] == ["ssh-ed25519 AAAA"]
    ethernets = seed["network_config"]["ethernets"]
    assert ethernets["eth0"]["addresses"] == ["10.1.1.65/24"] and ethernets["eth0"]["mtu"] == 1446
    assert (
        ethernets["eth1"]["addresses"] == ["10.1.2.9/24"]
        and ethernets["eth1"]["match"]["macaddress"] == domain["nics"][1]["mac"]
    )


def measured(hosts):
    """The plan, and what is measured as (kind, from, target)."""
    plan = compile_plan(hosts, SPEC)
    todo = _verify.probes(plan, expectations(plan))
    return plan, {
        (probe["kind"], probe["from"], probe["target"]) for name in todo for probe in todo[name] if not probe.get("tep")
    }


def test_a_switch_and_a_router_measure_over_their_own_api_where_a_namespace_can_ask():
    hosts = fabric(
        {**VEOS, "user": "op"},
        {"role": "chr", "image": "/srv/chr.img"},
        segments=({**BLUE, "subnet6": "fd00:1::/64"}, RED),
    )
    hosts["kvm1"]["fabric_endpoints"].append({"name": "jump", "segment": "blue"})
    plan, probes = measured(hosts)
    for name in ("vm1", "vm2"):
        assert {("ping", f"kvm1/{name}", "kvm1/jump"), ("mtu", f"kvm1/{name}", "kvm1/jump")} <= probes
    assert not [probe for probe in probes if probe[0] in ("tcp", "isolation") and probe[1] != "kvm1/jump"]
    ends = {end["id"]: end for end in _verify.options(plan, expectations(plan))["kvm1"]["endpoints"]}
    address = {point["id"]: point["address"] for point in plan["endpoints"]}
    assert ends["kvm1/vm1"]["device"] == {"api": "eos", "url": f"https://{address['kvm1/vm1']}", "user": "op"}
    assert ends["kvm1/vm2"]["device"] == {"api": "routeros", "url": f"http://{address['kvm1/vm2']}", "user": "admin"}
    assert ends["kvm1/vm1"]["namespace"] == "jump" and "guest" not in ends["kvm1/vm1"]
    # With nobody there to ask it, a device is measured only.
    assert not [probe for probe in measured(fabric(VEOS, LAB))[1] if probe[1] == "kvm1/vm1"]


def test_further_nics_are_measured_as_the_first_one_is():
    nics = [{"segment": "red", "address": "10.1.2.9"}, {"trunks": ["blue", "red"]}]
    hosts = fabric({**LAB, "nics": nics}, LAB)
    hosts["kvm2"] = {**hosts["kvm2"], "fabric_endpoints": [{"name": "one", "segment": "red"}]}
    plan, probes = measured(hosts)
    second = "kvm1/vm1:eth1"
    for pair in ((second, "kvm2/one"), ("kvm2/one", second)):
        assert {(kind, *pair) for kind in ("ping", "mtu", "tcp")} <= probes
    # A guest answers for all its addresses on each of its NICs, so only those who share none with it are kept apart from it.
    assert ("isolation", "kvm1/vm2", "kvm2/one") in probes and ("isolation", "kvm1/vm2", second) not in probes
    assert not [probe for probe in probes if {probe[1], probe[2]} == {"kvm1/vm1", second}]
    end = next(end for end in _verify.options(plan, expectations(plan))["kvm1"]["endpoints"] if end["id"] == second)
    assert end == {"id": second, "guest": "vm1", "interface": "eth1", "addresses": ["10.1.2.9"], "listens": True}


def test_guests_take_part_in_transfers_and_ask_over_ipv6_too():
    segments = ({**BLUE, "subnet6": "fd00:1::/64"}, {**RED, "subnet6": "fd00:2::/64"})
    hosts = fabric(LAB, {"image": "/srv/debian.qcow2"}, segments=segments)
    hosts["kvm2"] = {
        **hosts["kvm2"],
        "fabric_endpoints": [{"name": "one", "segment": "red"}, {"name": "two", "segment": "blue"}],
    }
    plan, probes = measured(hosts)
    assert {("tcp", "kvm1/vm1", "kvm2/two"), ("tcp", "kvm2/two", "kvm1/vm1")} <= probes
    # Of a cloud image nobody knows which tools it has.
    assert not [probe for probe in probes if probe[0] == "tcp" and "kvm1/vm2" in probe]
    asked = [(e["from"], e["family"]) for e in expectations(plan)["isolated"] if e["to"] == "kvm2/one"]
    assert {("kvm1/vm1", 4), ("kvm1/vm1", 6)} <= set(asked)


def test_a_seed_is_made_without_a_network_and_reads_back_with_a_tool_of_others(tmp_path):
    keys, shadow = ["ssh-ed25519 AAAA me"], "$6$salt$hash"
    nics = [{"segment": "red", "address": "10.1.2.9"}]
    host = planned({"image": "/srv/debian.qcow2", "keys": keys, "user": "op", "password_hash": shadow, "nics": nics})
    domain = domain_declaration.want(validated(domain_declaration.SPEC, host["guests"][0]["domain"]), host["owner"])
    seed = tmp_path / "seed.iso"
    seed.write_bytes(iso_image(domain.files))

    def isoinfo(*options):
        return subprocess.run(["isoinfo", "-i", seed, *options], check=True, capture_output=True, text=True).stdout

    # NoCloud looks for a file system of this label.
    assert "Volume id: CIDATA" in isoinfo("-d") and set(isoinfo("-J", "-f").split()) == {
        "/meta-data",
        "/network-config",
        "/user-data",
    }
    user_data = isoinfo("-J", "-x", "/user-data")
    user = yaml.safe_load(user_data)["users"][0]
    assert user_data.startswith("#cloud-config\n") and (user["name"], user["ssh_authorized_keys"], user["passwd"]) == (
        "op",
        keys,
        shadow,
    )
    meta = yaml.safe_load(isoinfo("-J", "-x", "/meta-data"))
    assert meta == {"instance-id": domain.options["uuid"], "local-hostname": "vm1"}
    network = yaml.safe_load(isoinfo("-J", "-x", "/network-config"))
    assert network["version"] == 2 and network["ethernets"]["eth0"]["mtu"] == 1446
    assert [network["ethernets"][name]["addresses"] for name in ("eth0", "eth1")] == [["10.1.1.65/24"], ["10.1.2.9/24"]]
    assert [network["ethernets"][f"eth{n}"]["match"]["macaddress"] for n in (0, 1)] == [
        nic["mac"] for nic in domain.options["nics"]
    ]


MAC = {"segment": "red", "mac": "52:54:00:00:00:01"}
UUID = {"uuid": "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"}
WHERE = "kvm1: fabric_endpoints[vm1].guest"
REFUSED = [
    ("no guest at all", fabric(None), [f"{WHERE} is missing; the kind guest needs it, with an image at least."]),
    ("missing image", fabric({"role": "veos"}), [f"{WHERE}.image is missing; it is required."]),
    ("a relative image", fabric({"image": "debian.qcow2"}), [f"{WHERE}.image 'debian.qcow2' must be the absolute path of a file on the KVM host, or lab."]),
    ("a wrong format", fabric({"image": "/srv/a.iso"}), [f"{WHERE}.image /srv/a.iso has no known format; its name must end in .qcow2, .vmdk, .img, .raw."]),
    ("the lab's image as vEOS", fabric({"role": "veos", "image": "lab"}),
     [f"{WHERE}.image 'lab' must be the absolute path of a file on the KVM host, or stand-in."]),
    ("a SCSI disk for vEOS", fabric({**VEOS, "disk_bus": "scsi"}), [f"{WHERE}.disk_bus scsi is not for veos, which boots from ide only; leave it out."]),
    (
        "more NICs than the image takes",
        fabric({**VEOS, "nics": [{"segment": "red"}] * 7}),
        [f"{WHERE}.nics makes 8 NICs with its endpoint's, but veos takes 7 of the model e1000; remove some."],
    ),
    (
        "a doubled MAC address",
        fabric({**LAB, "nics": [MAC]}, {**LAB, "nics": [MAC]}),
        ["kvm1/vm1 (guest.nics[0]) and kvm1/vm2 (guest.nics[0]) both have the MAC address 52:54:00:00:00:01; give one of them another mac."],
    ),
    (
        "a doubled UUID",
        fabric({**LAB, **UUID}, {**LAB, **UUID}),
        ["kvm1/vm1 and kvm1/vm2 both have the UUID 4dea22b3-1d52-d8f3-2516-782e98ab3fa0; give one of them another guest.uuid, or leave it out."],
    ),
    ("an unknown segment", fabric({**LAB, "nics": [{"segment": "rad"}]}), [f"{WHERE}.nics[0].segment rad is no segment; did you mean red?"]),
    (
        "memory beyond the host's",
        fabric({**LAB, "memory": "6GiB"}, {**LAB, "memory": "3GiB"}, fabric_guest_memory="8GiB"),
        ["kvm1: its 2 guests take 9GiB of memory, but fabric_guest_memory is 8GiB; lower guest.memory, or move a guest."],
    ),
    (
        "too little memory for the lab's guest",
        fabric({**LAB, "memory": "96MiB"}),
        [f"{WHERE}.memory 96MiB is too little for lab, which does not boot with less than 128MiB; raise it."],
    ),
    ("no memory", fabric({**LAB, "memory": "much"}), [f"{WHERE}.memory 'much' is no size: write a number and its unit, such as 512MiB or 10GiB."]),
    (
        "untagged among VLANs",
        fabric({**LAB, "nics": [{"segment": "plain"}]}, segments=(BLUE, RED, PLAIN)),
        [f"{WHERE}.nics[0].segment plain is untagged on a bridge with VLANs, where no guest can be; give the segment a vlan."],
    ),
    ("a trunk and a segment", fabric({**LAB, "nics": [{"segment": "red", "trunks": ["red"]}]}),
     [f"{WHERE}.nics[0] needs either segment or trunks; name a segment, or the segments that it carries tagged."]),
    (
        "an address that an endpoint has",
        fabric({**LAB, "nics": [{"segment": "blue", "address": "10.1.1.65"}]}),
        ["kvm1/vm1 and kvm1/vm1 (guest.nics[0]) both have the address 10.1.1.65; give one of them another address."],
    ),
]  # fmt: skip


@pytest.mark.parametrize("hosts, sentences", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_is_refused_with_exactly_these_sentences(hosts, sentences):
    with pytest.raises(PlanError) as error:
        compile_plan(hosts, SPEC)
    assert error.value.problems == sentences
