# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt in a lab host: what the tests of guests and networks share."""

from __future__ import annotations

import base64
import json
import subprocess
import typing as t

import harness

CONSOLE = "/var/log/libvirt/qemu/{}-console.log"
IMAGES = "/var/lib/libvirt/images"
# A lab host may not write to its cgroups; and the default network, which Debian's package starts, is not wanted here.
PREPARE = r"""
import os, re, subprocess
path = '/etc/libvirt/qemu.conf'
text = open(path).read()
if not re.search(r'^cgroup_controllers = \[\]', text, re.M):
    open(path, 'a').write('\ncgroup_controllers = []\n')
os.path.lexists('/etc/libvirt/qemu/networks/autostart/default.xml') and os.unlink('/etc/libvirt/qemu/networks/autostart/default.xml')
subprocess.run(['systemctl', 'enable', '--now', '--quiet', 'libvirtd.service', 'virtlogd.socket'], check=True)
"""
# Takes away what a test made, with libvirt's own calls.
CLEAN = r"""
import libvirt, os, shutil
libvirt.registerErrorHandler(lambda c, e: None, None)
c = libvirt.open('qemu:///system')
for d in c.listAllDomains():
    d.isActive() and d.destroy()
    d.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
for n in c.listAllNetworks():
    n.isActive() and n.destroy()
    n.undefine()
for p in c.listAllStoragePools():
    p.isActive() and p.destroy()
    p.undefine()
for name in os.listdir('/var/lib/libvirt/images'):
    name in ('vmlinux', 'initrd') or os.unlink('/var/lib/libvirt/images/' + name)
"""


def prepare(machine: harness.Machine, host: harness.Host) -> None:
    """Start libvirt in the host, with the lab's guest image at hand."""
    host.run([harness.PYTHON, "-c", PREPARE])
    image = machine.module("lab_guest_image")
    for name in ("kernel", "initrd"):
        place = f"{IMAGES}/{'vmlinux' if name == 'kernel' else 'initrd'}"
        if not host.exists(place):
            with open(image[name], "rb") as source:
                subprocess.run(
                    host.command(["dd", "status=none", "bs=1M", f"of={place}"]), stdin=source, check=True, timeout=120
                )


def clean(host: harness.Host) -> None:
    """Take away guests, networks and pools."""
    host.run([harness.PYTHON, "-c", CLEAN])


def guest(name: str, *nics: str, **options: t.Any) -> dict[str, t.Any]:
    """The options of a lab guest. nics: what each NIC gets on the kernel's command line, such as "10.1.1.2/24,mtu=1400"."""
    words = [f"overloom.eth{n}={nic}" for n, nic in enumerate(nics) if nic]
    return {
        "name": name,
        "state": "running",
        "memory": "128MiB",
        "kernel": f"{IMAGES}/vmlinux",
        "initrd": f"{IMAGES}/initrd",
        "cmdline": " ".join(["console=ttyS0", "quiet", "no_timer_check", f"overloom.hostname={name}", *words]),
        "serial": {"log": CONSOLE.format(name)},
        "guest_agent": True,
        "force": True,
        **options,
    }


def bridge(host: harness.Host, name: str = "br0") -> None:
    """An Open vSwitch bridge, in user space, as the lab's kernel needs."""
    host.run(["ovs-vsctl", "--may-exist", "add-br", name, "--", "set", "bridge", name, "datapath_type=netdev"])


def namespace(host: harness.Host, name: str, vlan: int, address: str, on: str = "br0") -> None:
    """A namespace on a VLAN of the bridge, as a peer of guests."""
    host.run(["ip", "netns", "add", name])
    host.run(["ip", "link", "add", f"{name}-out", "type", "veth", "peer", "name", "eth0", "netns", name])
    host.run(["ip", "link", "set", f"{name}-out", "up"])
    host.run(["ip", "-n", name, "link", "set", "eth0", "up"])
    host.run(["ip", "-n", name, "address", "add", address, "dev", "eth0"])
    host.run(["ovs-vsctl", "add-port", on, f"{name}-out", f"tag={vlan}"])


def reaches(host: harness.Host, space: str, address: str, seconds: int = 180) -> None:
    """The namespace gets an answer from the address."""
    host.module("guest_wait", {"kind": "ping", "host": address, "namespace": space, "timeout": seconds})


def silent(host: harness.Host, space: str, address: str) -> None:
    """The namespace gets no answer."""
    result = host.module("guest_wait", {"kind": "ping", "host": address, "namespace": space, "timeout": 2}, ok=False)
    assert "no answer" in result["msg"] or "unreachable" in result["msg"].lower()


def port(host: harness.Host, name: str) -> dict[str, t.Any]:
    """tag, trunks and vlan_mode of an Open vSwitch port."""
    text = host.run(["ovs-vsctl", "--format=json", "--columns=tag,trunks,vlan_mode", "list", "Port", name])
    table = json.loads(text)
    return {
        key: value if not isinstance(value, list) else value[1]
        for key, value in zip(table["headings"], table["data"][0])
    }


def inside(host: harness.Host, name: str, script: str, seconds: float = 60) -> str:
    """What a script prints in a guest, run by its agent."""

    def ask(command: str, **arguments: t.Any) -> t.Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(host.run(["virsh", "qemu-agent-command", name, text]))["return"]

    job = ask("guest-exec", **{"path": "/bin/sh", "arg": ["-c", script], "capture-output": True})["pid"]

    def ended() -> dict[str, t.Any] | None:
        state = ask("guest-exec-status", pid=job)
        return state if state["exited"] else None

    state = harness.wait(ended, f"{name}: the end of {script}", seconds)
    said, complained = (base64.b64decode(state.get(key, "")).decode() for key in ("out-data", "err-data"))
    assert state["exitcode"] == 0, said + complained
    return str(said)
