# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that each role's guest is: its disks, how it boots, what its flash has, how it is asked, and what tells that it is ready.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guest_configs import Port, autorun, startup_config
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.guests import FORMATS, IMAGES, Guest, Nic

Item = t.Dict[str, t.Any]


class _Api(t.NamedTuple):
    """How a vendor's management is spoken to."""

    name: str
    scheme: str
    port: int


_APIS = {"veos": _Api("eos", "https", 443), "chr": _Api("routeros", "http", 80)}


def device(guest: Guest, spaces: t.Sequence[Endpoint]) -> Item | None:
    """How a switch or router is asked to measure, or None when there is no namespace that could ask it."""
    if not spaces or not guest.nics[0].addresses:
        return None
    api, scheme, port = _APIS[guest.options["role"]]
    address = next((f"[{a}]" if a.version == 6 else str(a) for a, _subnet in guest.nics[0].addresses))
    # The stand-in speaks no TLS.
    url = f"http://{address}:{port}" if guest.built and port != 80 else f"{scheme}://{address}"
    return {
        "api": api,
        "url": url,
        "user": guest.options["user"] if api == "eos" else "admin",
        "namespace": spaces[0].space,
    }


def _linux(guest: Guest) -> Item:
    """A cloud image with a seed for cloud-init, or the lab's small guest, which reads its kernel's command line."""
    endpoint, options = guest.endpoint, guest.options
    if guest.built:
        # On a busy machine without KVM, the kernel's check of the timer's interrupts may fail, and it panics.
        words = ["console=ttyS0", "quiet", "no_timer_check", f"overloom.hostname={endpoint.name}"]
        for number, nic in enumerate(guest.nics):
            items = [f"mtu={nic.mtu}", *(addresses.with_prefix(*pair) for pair in nic.addresses)]
            items += [f"gateway={route['via']}" for route in nic.routes if route["to"] == "default"]
            words.append(f"overloom.eth{number}={','.join(items)}")
        return {
            "kernel": f"{guest.folder}/lab-guest/vmlinux",
            "initrd": f"{guest.folder}/lab-guest/initrd",
            "cmdline": " ".join(words),
            "disks": [],
        }
    user = {
        "name": options["user"],
        "ssh_authorized_keys": options["keys"] or [],
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
    }
    if options["password_hash"]:
        user.update(passwd=options["password_hash"], lock_passwd=False)
    return {
        "disks": [{**_disk(guest, "virtio"), **({"size": options["disk_size"]} if options["disk_size"] else {})}],
        "cloud_init": {
            "meta_data": {"instance-id": guest.uuid, "local-hostname": endpoint.name},
            "user_data": {
                "hostname": endpoint.name,
                "users": [user],
                "ssh_pwauth": bool(options["password_hash"]),
                "packages": [],
            },
            "network_config": {
                "version": 2,
                "ethernets": {f"eth{n}": _ethernet(n, nic, endpoint) for n, nic in enumerate(guest.nics)},
            },
            "bus": "ide",
        },
    }


def _ethernet(number: int, nic: Nic, endpoint: Endpoint) -> Item:
    """A NIC in the network configuration of cloud-init, version 2."""
    name = endpoint.interface if number == 0 else f"eth{number}"
    found = {
        "match": {"macaddress": nic.mac},
        "set-name": name,
        "mtu": nic.mtu,
        "dhcp4": number == 0 and endpoint.dhcp,
        "dhcp6": False,
        "addresses": [
            addresses.with_prefix(*pair)
            for pair in nic.addresses
            if not (number == 0 and endpoint.dhcp and pair[0].version == 4)
        ],
    }
    routes = [
        {"to": {"default": "0.0.0.0/0" if "." in r["via"] else "::/0"}.get(r["to"], r["to"]), "via": r["via"]}
        for r in nic.routes
    ]
    return {**found, "routes": routes} if routes else found


def _disk(guest: Guest, bus: str) -> Item:
    """The guest's own disk, which lies upon the image and leaves that as it is."""
    image = guest.options["image"]
    return {
        "bus": guest.options["disk_bus"] or bus,
        "backing_path": image,
        "backing_format": FORMATS[image[image.rindex(".") :]],
    }


def _veos(guest: Guest) -> Item:
    """IDE and nothing else; the Aboot ISO, where there is one, comes first in the boot order."""
    folder = f"{guest.folder}/stand-in"
    aboot = f"{folder}/boot.iso" if guest.built else guest.options["aboot"]
    flash = (
        {"bus": "ide", "backing_path": f"{folder}/flash.qcow2", "backing_format": "qcow2"}
        if guest.built
        else _disk(guest, "ide")
    )
    disks = [{**flash, "target": "hda"}]
    for number, path in enumerate(guest.options["extra_disks"] or ()):
        disks.append(
            {
                "target": "hd" + "bd"[number],
                "bus": "ide",
                "backing_path": path,
                "backing_format": FORMATS[path[path.rindex(".") :]],
            }
        )
    if aboot:
        disks.append({"target": "hdc", "bus": "ide", "device": "cdrom", "path": aboot, "format": "raw"})
    return {"disks": disks, "boot": ["cdrom", "hd"] if aboot else ["hd"]}


def _chr(guest: Guest) -> Item:
    """One disk."""
    if guest.built:
        folder = f"{guest.folder}/stand-in"
        return {
            "disks": [
                {"bus": "ide", "target": "hda", "backing_path": f"{folder}/flash.qcow2", "backing_format": "qcow2"},
                {"target": "hdc", "bus": "ide", "device": "cdrom", "path": f"{folder}/boot.iso", "format": "raw"},
            ],
            "boot": ["cdrom", "hd"],
        }
    return {"disks": [{**_disk(guest, "ide"), "target": "hda"}], "boot": ["hd"]}


_MACHINES: dict[str, t.Callable[[Guest], Item]] = {"linux": _linux, "veos": _veos, "chr": _chr}


def machine(guest: Guest) -> Item:
    """What libvirt_domain is told of a guest after its role: its disks and how it boots."""
    return _MACHINES[guest.options["role"]](guest)


def _ports(guest: Guest) -> list[Port]:
    return [_port(nic) for nic in guest.nics]


def _port(nic: Nic) -> Port:
    return Port(
        [addresses.with_prefix(*pair) for pair in nic.addresses],
        nic.mtu,
        nic.segment.vlan if nic.segment else None,
        nic.vlans,
        nic.native.vlan if nic.native else None,
        nic.routes,
    )


def flash(guest: Guest) -> Item | None:
    """What is written to a device's flash partition, the second one, before its first boot."""
    role, name = guest.options["role"], guest.endpoint.name
    if role == "linux":
        return None
    if role == "chr":
        files = {"/rw/autorun.scr": autorun(name, _ports(guest), guest.options)}
    else:
        carried = [
            *(segment for nic in guest.nics for segment in nic.trunks),
            *(n.segment for n in guest.nics[1:] if n.segment and not n.addresses),
        ]
        vlans = {segment.vlan: segment.name for segment in carried if segment.vlan}
        files = {
            "/startup-config": startup_config(name, _ports(guest), guest.options, vlans),
            "/zerotouch-config": "DISABLE=True\n",
        }
    return {
        "image": f"{IMAGES}/{name}-hda.qcow2",
        "partition": 2,
        "files": [{"path": path, "content": content} for path, content in files.items()],
        "secrets": [guest.options["password_hash"]] if guest.options["password_hash"] else [],
    }


def wait(guest: Guest, spaces: t.Sequence[Endpoint]) -> Item:
    """What must answer before a guest is called ready. spaces: namespaces on the guest's host and segment, from which it can be asked.

    The KVM host itself has no address on a segment; without a namespace there, the guest's console tells.
    """
    role = guest.options["role"]
    common: Item = {"name": guest.endpoint.name, "timeout": guest.options["ready_timeout"]}
    if role == "linux":
        return {**common, "kind": "agent"}
    asked = device(guest, spaces)
    if asked is None:
        text = f"API on port {_APIS[role].port}" if guest.built else {"veos": "login:", "chr": "Login:"}[role]
        return {**common, "kind": "console", "text": text}
    common.update(namespace=asked["namespace"], times=2)
    if role == "chr":
        # Which answers with 401 when it wants a password.
        return {**common, "kind": "http", "url": f"{asked['url']}/rest/system/resource", "status": [200, 401]}
    common["host"] = str(guest.nics[0].addresses[0][0])
    return {**common, "kind": "tcp", "port": _APIS[role].port} if guest.built else {**common, "kind": "ssh"}
