# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each option of the libvirt modules by itself: foretold, applied, found again; and changed by hand, seen and repaired."""

from __future__ import annotations

import json
import re
import typing as t

import guests
import harness
import pytest
from libvirt_options import AT_ONCE, DOMAIN, NETWORK, POOL, VOLUME, Row

# What each of a kind is in libvirt: its documents are read and put back, as somebody would with virsh edit.
DOCUMENTS = r"""
import json, sys, libvirt
libvirt.registerErrorHandler(lambda c, e: None, None)
c = libvirt.open('qemu:///system')
kind, back = sys.argv[1], json.load(sys.stdin)
find, define = {
    'domain': (lambda n: c.lookupByName(n).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE), c.defineXML),
    'network': (lambda n: c.networkLookupByName(n).XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE), c.networkDefineXML),
    'pool': (lambda n: c.storagePoolLookupByName(n).XMLDesc(libvirt.VIR_STORAGE_XML_INACTIVE), c.storagePoolDefineXML),
}[kind]
for text in back['define']:
    define(text)
print(json.dumps({name: find(name) for name in back['read']}))
"""


@pytest.fixture
def kvm(machine: harness.Machine, host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with libvirt running, bridges, networks, a pool and images that the options refer to."""
    guests.prepare(machine, host)
    guests.clean(host)
    for name in ("br0", "br1"):
        guests.bridge(host, name)
    groups = [{"name": "blue", "vlan": 10}, {"name": "red", "vlan": 20}]
    host.module(
        "libvirt_network",
        {
            "networks": [
                {"name": name, "mode": "openvswitch", "bridge": "br0", "portgroups": groups}
                for name in ("fab", "other")
            ]
        },
    )
    host.run(["qemu-img", "create", "-q", "-f", "raw", f"{guests.IMAGES}/plain.img", "1M"])
    host.run(["qemu-img", "create", "-q", "-f", "qcow2", f"{guests.IMAGES}/base.qcow2", "8M"])
    host.module("libvirt_pool", {"name": "one", "type": "dir", "path": "/srv/one"})
    host.module(
        "libvirt_volume",
        {"volumes": [{"pool": "one", "name": name, "size": "1MiB", "format": "raw"} for name in ("a.img", "b.img")]},
    )
    yield host
    guests.clean(host)
    host.run(["rm", "-rf", "/srv/one"])


def documents(
    host: harness.Host, kind: str, read: t.Iterable[str] = (), define: t.Iterable[str] = ()
) -> dict[str, str]:
    text = host.run(
        [harness.PYTHON, "-c", DOCUMENTS, kind], stdin=json.dumps({"read": list(read), "define": list(define)})
    )
    return json.loads(text)


def each(host: harness.Host, kind: str, table: dict[str, Row], base: dict[str, t.Any]) -> None:
    """Every row by a thing of its own: all of them made, all changed, all changed back by hand, all repaired; checked before and after each."""
    module, many = f"libvirt_{kind}", f"{kind}s"
    names = {option: "o-" + option.replace("_", "").replace(".", "-") for option in table}
    firsts = [{"name": names[option], **base, **row.first} for option, row in table.items()]
    seconds = [{"name": names[option], **base, **row.first, **row.second} for option, row in table.items()]
    host.apply(module, {many: firsts})
    before = documents(host, kind, names.values())

    def shown(result: dict[str, t.Any]) -> set[str]:
        """The options of which --diff shows a difference in their own thing."""
        text = result["diff"]["after"]
        return {option for option, name in names.items() if f"\n{name}:\n" in f"\n{text}"}

    done = host.apply(module, {many: seconds})
    assert shown(done) == set(table)
    assert "s3cret" not in json.dumps(done)
    documents(host, kind, define=[before[names[option]] for option, row in table.items() if row.drift == "document"])
    for option, row in table.items():
        if row.drift == "autostart":
            host.run(
                [
                    "virsh",
                    {"domain": "autostart", "network": "net-autostart", "pool": "pool-autostart"}[kind],
                    names[option],
                    "--disable",
                ]
            )
        elif row.drift == "seed":
            host.run(
                [
                    "dd",
                    "if=/dev/zero",
                    f"of={guests.IMAGES}/{names[option]}-seed.iso",
                    "bs=1k",
                    "count=1",
                    "status=none",
                ]
            )
    repaired = host.apply(module, {many: seconds})
    assert shown(repaired) == {option for option, row in table.items() if row.drift}
    saved = documents(host, kind, names.values())
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    # A pool's document tells how full it is, too.
    assert kind == "pool" or documents(host, kind, names.values()) == saved
    # What starts with the host runs now, and libvirt takes a pool whose folder is there for one that runs.
    runs = {"autostart", "path"} if kind == "pool" else {"autostart"}
    harness.wait(lambda: shown(host.module(module, {many: seconds}, check=True, diff=True)) == runs, f"{runs} alone")


def test_each_documented_option_of_a_domain(kvm: harness.Host) -> None:
    each(kvm, "domain", DOMAIN, {"memory": "64MiB", "state": "shutoff"})


# What a lab host cannot start (a TPM, devices of the host, a bridge of the kernel), ports that two guests cannot have, and a disk
# that a guest would have to release, which it does not while it is paused.
NOT_STARTED = r"tpm|hostdevs|nics\.(ovs|direct|hostdev|vhostuser)|serial\.(type|host|path)|firmware|disks\.(bus|pool|volume|readonly|shareable)"


def test_each_option_that_a_running_guest_cannot_take_waits_for_its_restart(kvm: harness.Host) -> None:
    """Told when it is changed and again on the next run; with restart the guest has it, and nothing is told any more."""
    table = {name: row for name, row in DOMAIN.items() if name not in AT_ONCE and not re.match(NOT_STARTED, name)}
    base = {"memory": "64MiB", "state": "paused", "shutdown_timeout": 0, "force": True}

    def every(*sides: str, **policy: t.Any) -> dict[str, t.Any]:
        """A guest for each option, which runs without taking turns of the processor, with a disk of its own."""
        guests_of = {}
        for number, (option, row) in enumerate(table.items()):
            item = {"name": f"w{number}", **base, **policy}
            for side in sides:
                item.update(getattr(row, side))
            guests_of[option] = json.loads(json.dumps(item).replace("plain.img", f"plain-{number}.img"))
        return guests_of

    kvm.run(["truncate", "-s", "1M", *(f"{guests.IMAGES}/plain-{number}.img" for number in range(len(table)))])
    kvm.module("libvirt_domain", {"domains": [*every("first").values()]})
    then = every("first", "second")
    told = kvm.apply("libvirt_domain", {"domains": [*then.values()]})["restart_required"]
    # cpu_model is told beside the mode that it is in.
    waits = {option: {each.split()[0] for each in told.get(item["name"], [])} for option, item in then.items()}
    assert {option: option.partition(".")[0] in options for option, options in waits.items()} == dict.fromkeys(
        table, True
    )
    again = kvm.module("libvirt_domain", {"domains": [*then.values()]})
    assert not again["changed"] and again["restart_required"] == told
    restarted = {"domains": [*every("first", "second", restart=True).values()]}
    assert kvm.module("libvirt_domain", restarted)["restart_required"] == {}
    last = kvm.module("libvirt_domain", restarted)
    assert not last["changed"] and last["restart_required"] == {}


def test_each_documented_option_of_a_network(kvm: harness.Host) -> None:
    each(kvm, "network", NETWORK, {"state": "inactive"})


def test_each_documented_option_of_a_pool_and_a_volume(kvm: harness.Host) -> None:
    each(kvm, "pool", POOL, {"state": "inactive"})
    base = {"pool": "one", "name": "grown.qcow2"}
    for row in VOLUME.values():
        kvm.apply("libvirt_volume", {**base, **row.first})
        assert kvm.apply("libvirt_volume", {**base, **row.second})["changed"]
    # What an image is cannot change; it is made so, and another declaration is refused.
    upon = {
        "pool": "one",
        "name": "upon.qcow2",
        "format": "qcow2",
        "backing_path": "/srv/one/a.img",
        "backing_format": "raw",
    }
    made = kvm.apply("libvirt_volume", upon)
    assert made["volumes"]["one/upon.qcow2"]["format"] == "qcow2"
    assert "backing file: /srv/one/a.img" in kvm.run(["qemu-img", "info", "/srv/one/upon.qcow2"])
    assert (
        "qcow2, which cannot become raw"
        in kvm.module("libvirt_volume", {"pool": "one", "name": "upon.qcow2", "format": "raw"}, ok=False)["msg"]
    )
    assert "/srv/one/a.img" in kvm.module("libvirt_volume", {**upon, "backing_path": "/srv/one/b.img"}, ok=False)["msg"]


def test_what_cannot_change_is_refused(kvm: harness.Host) -> None:
    uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    kvm.apply("libvirt_network", {"name": "lan", "mode": "isolated", "state": "inactive", "uuid": uuid})
    assert uuid in kvm.run(["virsh", "net-dumpxml", "lan"])
    other = kvm.module("libvirt_network", {"name": "lan", "uuid": "4dea22b3-1d52-d8f3-2516-782e98ab3fa1"}, ok=False)
    assert "lan" in other["msg"] and "uuid" in other["msg"] and "cannot change" in other["msg"]
    for module, item in (
        ("libvirt_network", {"name": "lan"}),
        ("libvirt_pool", {"name": "one"}),
        ("libvirt_volume", {"pool": "one", "name": "a.img"}),
    ):
        lost = kvm.module(module, {**item, "uri": "qemu+unix:///system?socket=/nowhere"}, ok=False)
        assert "cannot be connected to" in lost["msg"]
