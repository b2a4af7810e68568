# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user does with two machines, in order; each step is a claim that can fail."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from .image import USER
from .machine import Machine, MachineError

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(sys.executable).parent
PLAYBOOK_TIMEOUT = 600
# Seconds until a state is there that comes by itself.
STATE_TIMEOUT = 120
# Pings while a cable is pulled, the seconds between two of them, and how many seconds of them may be lost on an emulated processor.
PINGS, PING_INTERVAL, LONGEST_LOSS = 900, 0.05, 3


def by_kernel(**bond: str) -> tuple[str, str]:
    """The options by which the fabric has its underlay by the kernel, on a bond of both NICs."""
    underlay = {
        "engine": "kernel",
        "subnet": "192.168.200.0/24",
        "vlan": 200,
        "bond": {"interfaces": ["eth1", "eth2"], **bond},
    }
    # The inventory has an interface for a host.
    return "--extra-vars", json.dumps({"fabric_underlay": underlay, "fabric_underlay_interface": None})


BY_KERNEL = by_kernel(primary="eth1")
# Both NICs are in use, by what the machines' kernels agree on.
BY_LACP = by_kernel(mode="lacp", lacp_rate="fast")
# What Debian's installer writes for a host without systemd-networkd.
INTERFACES = """source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static
    address 10.0.2.15/24
    gateway 10.0.2.2
"""
RECAP = re.compile(r"^(\S+)\s+:\s+ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def claim(condition: object, text: str) -> None:
    """Raise MachineError with the text unless the condition holds."""
    if not condition:
        raise MachineError(text)


def _replaced(text: str, changes: dict[str, str]) -> str:
    """Make the changes, each of which must be possible exactly once, so that the example cannot change unnoticed."""
    for old, new in changes.items():
        claim(
            text.count(old) == 1,
            f"inventory/example has {old!r} {text.count(old)} times, not once: adapt tests/machines to it",
        )
        text = text.replace(old, new)
    return text


class Drills:
    """The steps over two machines that run. `folder` takes the inventory and Ansible's own files, `logs` what the commands print."""

    def __init__(self, machines: Sequence[Machine], folder: pathlib.Path, logs: pathlib.Path) -> None:
        self.first, self.second = self.machines = machines
        self.inventory = folder / "inventory"
        self.folder = folder
        self.logs = logs
        self.step = ""
        self.deleted = ""

    def steps(self, short: bool, bonds: bool = False) -> list[tuple[str, Callable[[], None]]]:
        """Every step with its name, in the order in which they must run.

        A short run is without drift, the VLAN, the bonds, the management interface, and what others do twice. bonds: these alone.
        """
        first = [
            ("the machines talk over their cable", self.cable),
            ("Ansible finds the kernel's datapath", self.datapath_found),
            ("the management interface is refused, nothing made", self.management_refused),
            ("site.yml builds the fabric", self.build),
            ("the kernel's datapath carries it", self.datapath_used),
        ]
        rebooted = [
            ("both reboot", self.reboot),
            ("verify, without a run in between", self.verify),
        ]
        last = [("teardown leaves nothing", self.teardown)]
        if short:
            return [*first, *rebooted, *last]
        management = [
            ("a management interface that is lost is put back", self.management_undone),
            ("the management interface is on the bridge", self.management_moved),
            ("both reboot", self.reboot),
            ("SSH comes by the bridge, site.yml changes nothing", self.management_again),
            ("teardown gives the management interface back", self.management_given_back),
        ]
        with_vlan = [
            ("a VLAN on the NIC carries frames", self.vlan),
            *rebooted,
            ("the VLAN is there again, and goes", self.vlan_again),
        ]
        again = [("site.yml again changes nothing", self.unchanged), ("verify", self.verify)]
        drift = [
            ("drift by hand: verify sees it", self.drift),
            ("--check --diff shows it and changes nothing", self.drift_shown),
            ("site.yml repairs it", self.repair),
            ("verify", self.verify),
        ]
        bond_kept = [
            ("both reboot", self.reboot),
            ("the bond is there again, site.yml changes nothing", self.bond_again),
            ("teardown gives its NICs back", self.bond_given_back),
        ]
        bond = [
            ("a bond of the kernel carries the tunnels", self.bond_built),
            ("a cable of it is pulled under traffic", self.bond_pulled),
            *bond_kept,
        ]
        lacp = [
            ("a bond by LACP carries the tunnels on both NICs", self.lacp_built),
            ("a cable of it is pulled under traffic", self.lacp_pulled),
            ("teardown gives its NICs back", self.bond_given_back),
        ]
        by_ifupdown = [
            ("the network becomes ifupdown's", self.to_ifupdown),
            ("a bond of ifupdown carries the tunnels", self.bond_built),
            *bond_kept,
        ]
        if bonds:
            return [*bond, *lacp, *by_ifupdown]
        # The last ones leave the machines to ifupdown.
        return [*first, *again, *with_vlan, *drift, *last, *bond, *lacp, *management, *by_ifupdown]

    def write_inventory(self) -> None:
        """Copy inventory/example and change the lines that its comments tell a user to change."""
        shutil.copytree(CHECKOUT / "inventory/example", self.inventory)
        hosts, variables = self.inventory / "hosts.yml", self.inventory / "group_vars/all.yml"
        indent = "\n" + 10 * " "
        changes = {
            "ansible_host: 192.0.2.11 # <-- the address that SSH reaches the host by": f"ansible_host: 127.0.0.1{indent}ansible_port: {self.first.port}",
            "ansible_host: 192.0.2.12 # <--": f"ansible_host: 127.0.0.1{indent}ansible_port: {self.second.port}",
            "fabric_underlay_interface: enp5s0 # <-- or leave this line out": "fabric_underlay_interface: eth1",
        }
        hosts.write_text(_replaced(hosts.read_text(encoding="utf-8"), changes), encoding="utf-8")
        changes = {
            "ansible_user: admin # <-- the user on the hosts": f"ansible_user: {USER}\n"
            f"ansible_ssh_private_key_file: {self.first.key}\nansible_ssh_args: {json.dumps(shlex.join(self.first.ssh_options()))}",
            "fabric_name: example # <-- your own": "fabric_name: machines",
            "interface: enp2s0 # <-- the NIC": "interface: eth1",
            # One segment on each kind of tunnel, side by side.
            "  - {encapsulation: vxlan}": "  - {encapsulation: vxlan}\n  - {encapsulation: gre}",
            "- {name: web, vlan: 10, ": "- {name: web, overlay: vxlan, vlan: 10, ",
            "- {name: db, vlan: 20, ": "- {name: db, overlay: gre, vlan: 20, ",
        }
        variables.write_text(_replaced(variables.read_text(encoding="utf-8"), changes), encoding="utf-8")

    def _ansible(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs as a user would, from the checkout, and keep what it printed."""
        argv = [str(BIN / program), "-i", str(self.inventory), *arguments]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        with open(self.logs / "commands.log", "a", encoding="utf-8") as log:
            log.write(f"\n===== {self.step}\n+ {shlex.join([program, *arguments])}\n")
            log.flush()
            try:
                done = subprocess.run(
                    argv,
                    cwd=CHECKOUT,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=PLAYBOOK_TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired as late:
                log.write((late.stdout or b"").decode(errors="replace"))
                raise MachineError(f"{program} {shlex.join(arguments)} took longer than {PLAYBOOK_TIMEOUT} s") from late
            log.write(done.stdout)
        return done

    def _playbook(self, name: str, *arguments: str, ok: bool = True) -> tuple[str, dict[str, int]]:
        """Run a playbook. Returns what it printed and the number of changes on each host; claims that it passed, or failed."""
        done = self._ansible("ansible-playbook", name, *arguments)
        claim((done.returncode == 0) == ok, f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return done.stdout, {host: int(changed) for host, changed, _unreachable, _failed in RECAP.findall(done.stdout)}

    def _each(self, *argv: str) -> dict[str, str]:
        return {machine.name: machine.ssh(*argv).strip() for machine in self.machines}

    def _nothing_there(self) -> None:
        """Claim that no host has anything of a fabric."""
        for argv in (
            ["sudo", "ovs-vsctl", "list-br"],
            ["sudo", "ovs-vsctl", "--bare", "--columns=name", "list", "Port"],
            ["sudo", "ip", "netns", "list"],
            ["ip", "-oneline", "link", "show", "type", "veth"],
            ["sudo", "find", "/etc", "/run/systemd", "/var/lib/systemd", "-name", "*overloom-*"],
        ):
            for name, left in self._each(*argv).items():
                claim(not left, f"{name} still has, by {shlex.join(argv)}: {left}")

    def cable(self) -> None:
        """Full-sized frames pass between both eth1, by addresses that are gone afterwards."""
        for machine in self.machines:
            machine.ssh("sudo", "ip", "link", "set", "eth1", "up")
            machine.ssh("sudo", "ip", "address", "add", f"192.0.2.{machine.number}/24", "dev", "eth1")
        try:
            self.first.ssh(
                "ping", "-c", "3", "-i", "0.2", "-w", "20", "-M", "do", "-s", "1472", f"192.0.2.{self.second.number}"
            )
        finally:
            for machine in self.machines:
                machine.ssh("sudo", "ip", "address", "flush", "dev", "eth1")
                machine.ssh("sudo", "ip", "link", "set", "eth1", "down")

    def datapath_found(self) -> None:
        done = self._ansible("ansible", "kvm_hosts", "-m", "host_info")
        found = dict(
            re.findall(r"^(\S+) \| SUCCESS => (?:.|\n)*?datapath_type\"?: \"?(\w+)", done.stdout, re.MULTILINE)
        )
        claim(
            found == {machine.name: "system" for machine in self.machines},
            f"host_info says {found}:\n{done.stdout[-3000:]}",
        )

    def management_refused(self) -> None:
        output, changed = self._playbook("site.yml", "--extra-vars", "fabric_underlay_interface=eth0", ok=False)
        for machine in self.machines:
            told = re.search(rf"{machine.name}: .*eth0.*SSH\s+connection", output)
            claim(told, f"no sentence for {machine.name} about eth0, by which SSH came:\n{output[-3000:]}")
        claim(not any(changed.values()), f"changed {changed}")
        self._nothing_there()

    def build(self) -> None:
        _output, changed = self._playbook("site.yml")
        claim(len(changed) == 2 and all(changed.values()), f"changed {changed}")

    def datapath_used(self) -> None:
        for name, text in self._each("sudo", "ovs-appctl", "dpif/show").items():
            claim(
                "br-underlay" in text and "br-int" in text and "netdev@" not in text,
                f"the bridges of {name} are not all on the kernel's datapath: {text}",
            )
        for name, text in self._each("sudo", "ovs-dpctl", "show").items():
            claim(
                all(word in text for word in ("system@ovs-system", "eth1", "vxlan_sys_4789", "gre_sys")),
                f"the kernel's datapath of {name} has only: {text}",
            )

    def unchanged(self) -> None:
        _output, changed = self._playbook("site.yml")
        claim(changed == {machine.name: 0 for machine in self.machines}, f"changed {changed}")

    def verify(self, *more: str) -> None:
        self._playbook("playbooks/verify.yml", "--extra-vars", f"verify_report={self.logs}", *more)
        report = json.loads((self.logs / "verify.json").read_text(encoding="utf-8"))
        claim(
            report["failed"] == 0 and report["passed"] > 20,
            f"the report says {report['passed']} passed, {report['failed']} failed",
        )

    def _vlan(self, state: str) -> None:
        """Have a VLAN on each eth1, beside the fabric, or not; a second call changes nothing."""
        for changed in ("true", "false"):
            for machine in self.machines:
                options = f"name=eth1.30 parent=eth1 vlan=30 addresses=198.51.100.{machine.number}/24 state={state}"
                done = self._ansible("ansible", machine.name, "--become", "-m", "ip_interface", "-a", options)
                claim(
                    done.returncode == 0 and re.search(rf'changed"?: {changed}', done.stdout),
                    f"changed is not {changed}:\n{done.stdout[-3000:]}",
                )

    def _vlan_ping(self) -> None:
        self.first.ssh("ping", "-c", "3", "-i", "0.2", "-w", "20", "-I", "eth1.30", f"198.51.100.{self.second.number}")

    def vlan(self) -> None:
        self._vlan("present")
        self._vlan_ping()

    def vlan_again(self) -> None:
        self._vlan_ping()
        self._vlan("absent")
        for name, links in self._each("ip", "-oneline", "link").items():
            claim("eth1.30" not in links and " eth1:" in links, f"{name} has {links}")

    def reboot(self) -> None:
        for machine in self.machines:
            machine.reboot()
        for machine in self.machines:
            machine.wait()

    def drift(self) -> None:
        """Point a tunnel elsewhere and change a tag on the first machine, delete a veth on the second."""
        ports = json.loads(self.first.ssh("sudo", "ovs-vsctl", "--format=json", "--columns=name,tag", "list", "Port"))[
            "data"
        ]
        tagged = next(name for name, tag in ports if tag == 20)
        self.first.ssh(
            "sudo",
            "ovs-vsctl",
            "set",
            "Interface",
            "vxlan-kvm2",
            "options:remote_ip=192.0.2.99",
            "--",
            "set",
            "Port",
            tagged,
            "tag=4000",
        )
        veth = self.second.ssh("ip", "-oneline", "link", "show", "type", "veth").split(": ")[1].partition("@")[0]
        self.second.ssh("sudo", "ip", "link", "delete", veth)
        self.deleted = veth
        self._playbook(
            "playbooks/verify.yml",
            "--extra-vars",
            f"verify_report={self.logs}",
            "--extra-vars",
            "verify_settle=2",
            ok=False,
        )
        report = json.loads((self.logs / "verify.json").read_text(encoding="utf-8"))
        seen = [
            (check["kind"], f"{check['from']} {check['observed']}") for check in report["checks"] if not check["passed"]
        ]
        # The plan names the outer end of a namespace's veth after it.
        for kind, text in {
            "tunnel": "kvm1:vxlan-kvm2 remote_ip 192.0.2.99",
            "port": f"kvm1:{tagged} tag 4000",
            "namespace": f"kvm2:{veth.removeprefix('v-')} interface not set",
        }.items():
            # The deleted veth fails its port, too.
            said = [line for one, line in seen if one == kind]
            claim(
                any(line.startswith(text) for line in said), f"verify does not say {text!r}, but of this kind: {said}"
            )

    def drift_shown(self) -> None:
        output, changed = self._playbook("site.yml", "--check", "--diff")
        claim(len(changed) == 2 and all(changed.values()), f"foretold {changed}")
        for line in (
            r"-\s+remote_ip: 192.0.2.99",
            r"\+\s+remote_ip: 192.168.200.2",
            r"-\s+tag: 4000",
            r"\+\s+tag: 20",
            rf"\+\s+outer: {self.deleted}",
        ):
            claim(re.search(rf"^{line}$", output, re.MULTILINE), f"the diff does not show {line}:\n{output[-4000:]}")
        claim(
            "192.0.2.99" in self.first.ssh("sudo", "ovs-vsctl", "get", "Interface", "vxlan-kvm2", "options:remote_ip"),
            "check mode repaired the tunnel",
        )

    def repair(self) -> None:
        _output, changed = self._playbook("site.yml")
        claim(len(changed) == 2 and all(changed.values()), f"changed {changed}")

    def teardown(self) -> None:
        self._playbook("playbooks/teardown.yml")
        self._nothing_there()
        for name, state in self._each("systemctl", "is-system-running").items():
            claim(state == "running", f"{name} is {state}")

    def _with_management(self, *more: str) -> list[str]:
        """The options by which site.yml takes the NIC that SSH comes by."""
        chosen = ["fabric_underlay_interface=eth0", "kvm_host_take_default_route_interface=true", *more]
        return [word for one in chosen for word in ("--extra-vars", one)]

    def _networks(self) -> dict[str, str]:
        """What SSH and the default route need, on each machine."""
        addresses = self._each("ip", "-oneline", "-4", "address", "show", "to", "10.0.2.15")
        routes = self._each("ip", "route", "show", "default")
        return {name: f"{addresses[name]} {routes[name]}" for name in addresses}

    def management_undone(self) -> None:
        """On the first machine the NIC falls into a VLAN of nobody's as soon as it is on the bridge; nobody confirms, so it comes back."""
        before = self._networks()
        lost = "ovs-vsctl wait-until Interface eth0 'ofport>0'; sleep 1; ovs-vsctl --no-wait set Port eth0 tag=99"
        self.first.ssh("sudo", "systemd-run", "--unit=lost", "sh", "-c", lost)
        limited = ["--limit", self.first.name]
        output, _changed = self._playbook(
            "site.yml", *limited, *self._with_management("kvm_host_confirm_timeout=60"), ok=False
        )
        claim(
            re.search(
                rf"{self.first.name}: with\s+eth0\s+on\s+br-underlay\s+the\s+change\s+was\s+not\s+confirmed", output
            ),
            f"no sentence about eth0:\n{output[-3000:]}",
        )
        note = self.first.ssh("sudo", "cat", "/var/lib/overloom/checkpoint/machines.undone")
        claim('"not confirmed"' in note and '"problems": []' in note, f"the host says {note}")
        claim(self._networks() == before, f"before {before}, now {self._networks()}")
        claim("eth0" not in self.first.ssh("sudo", "ovs-vsctl", "list-ports", "br-underlay"), "eth0 is on the bridge")

    def _on_the_bridge(self) -> None:
        for name, text in self._networks().items():
            claim(" br-underlay " in text and " eth0 " not in text and "dev br-underlay" in text, f"{name} has {text}")
        for name, bridge in self._each("sudo", "ovs-vsctl", "port-to-br", "eth0").items():
            claim(bridge == "br-underlay", f"eth0 of {name} is on {bridge}")

    def management_moved(self) -> None:
        _output, changed = self._playbook("site.yml", *self._with_management("kvm_host_confirm_timeout=300"))
        claim(len(changed) == len(self.machines) and all(changed.values()), f"changed {changed}")
        self._on_the_bridge()

    def management_again(self) -> None:
        self._on_the_bridge()
        _output, changed = self._playbook("site.yml", *self._with_management())
        claim(changed == {machine.name: 0 for machine in self.machines}, f"changed {changed}")

    def management_given_back(self) -> None:
        self.teardown()
        for name, text in self._networks().items():
            claim(" eth0 " in text and "br-underlay" not in text, f"{name} has {text}")

    # The machines have systemd-networkd, until ifupdown takes over.

    def _each_active(self, nic: str) -> None:
        """Wait until both bonds send by a NIC, which takes the kernel some tenths of a second of an emulated processor."""
        until = time.monotonic() + STATE_TIMEOUT
        while True:
            said = self._each("cat", "/proc/net/bonding/bond0")
            if all(f"Currently Active Slave: {nic}" in text for text in said.values()):
                return
            claim(time.monotonic() < until, f"the bonds do not use {nic}: {said}")
            time.sleep(1)

    def _each_together(self, *nics: str) -> None:
        """Wait until both bonds have one group by LACP, with these NICs and a partner."""

        def together(text: str) -> bool:
            ids = re.findall(r"Slave Interface: (\S+)\n(?:.+\n)*?Aggregator ID: (\d+)", text)
            active = re.search(r"Active Aggregator Info:\s+Aggregator ID: (\d+)\s+Number of ports: (\d+)", text)
            partner = re.search(r"Partner Mac Address: (\S+)", text)
            if not active or not partner or partner[1] == "00:00:00:00:00:00":
                return False
            # One that was pulled may still be in the group, but is none of its ports.
            there = {nic for nic, number in ids if number == active[1]}
            return there >= set(nics) and active[2] == str(len(nics))

        until = time.monotonic() + STATE_TIMEOUT
        while True:
            said = self._each("sudo", "cat", "/proc/net/bonding/bond0")
            if all(together(text) for text in said.values()):
                return
            claim(time.monotonic() < until, f"the bonds do not have {' and '.join(nics)} together: {said}")
            time.sleep(1)

    def lacp_built(self) -> None:
        _output, changed = self._playbook("site.yml", *BY_LACP)
        claim(len(changed) == len(self.machines) and all(changed.values()), f"changed {changed}")
        self._each_together("eth1", "eth2")
        _output, changed = self._playbook("site.yml", *BY_LACP)
        claim(changed == {machine.name: 0 for machine in self.machines}, f"changed {changed}")
        self.verify(*BY_LACP)

    def lacp_pulled(self) -> None:
        """Pull one of two cables that both carry, while pings cross the tunnel; then plug it in again."""
        self._pulled(lambda: self._each_together("eth2"), BY_LACP)
        for machine in self.machines:
            machine.plug("eth1", up=True)
        self._each_together("eth1", "eth2")
        self.verify(*BY_LACP)

    def to_ifupdown(self) -> None:
        """eth0 is ifupdown's at the next boot, and systemd-networkd does not run."""
        for machine in self.machines:
            write = f"cat > /etc/network/interfaces <<'END'\n{INTERFACES}END\nrm /etc/systemd/network/eth0.network"
            machine.ssh("sudo", "sh", "-e", "-c", write)
            machine.ssh(
                "sudo", "systemctl", "disable", "--quiet", "systemd-networkd.service", "systemd-networkd.socket"
            )
            machine.ssh("sudo", "systemctl", "enable", "--quiet", "networking.service")
        self.reboot()
        for name, state in self._each("systemctl", "is-active", "networking.service").items():
            claim(state == "active", f"ifupdown of {name} is {state}")
        stopped = {
            machine.name: machine.ssh("systemctl", "is-active", "systemd-networkd", check=False).strip()
            for machine in self.machines
        }
        claim("active" not in stopped.values(), f"systemd-networkd is {stopped}")

    def bond_built(self) -> None:
        _output, changed = self._playbook("site.yml", *BY_KERNEL)
        claim(len(changed) == len(self.machines) and all(changed.values()), f"changed {changed}")
        self._each_active("eth1")
        for name, text in self._each("ip", "-details", "address", "show", "dev", "tep0").items():
            claim("tep0@bond0" in text and "vlan protocol 802.1Q id 200" in text, f"{name} has {text}")
        for name, bridges in self._each("sudo", "ovs-vsctl", "list-br").items():
            claim(bridges.split() == ["br-int"], f"{name} has the bridges {bridges}")
        self._bond_unchanged()
        self.verify(*BY_KERNEL)

    def _bond_unchanged(self) -> None:
        _output, changed = self._playbook("site.yml", *BY_KERNEL)
        claim(changed == {machine.name: 0 for machine in self.machines}, f"changed {changed}")

    def bond_pulled(self) -> None:
        """Pull the cable of the active members, at both of its ends, while pings cross the tunnel; then plug it in again."""
        self._pulled(lambda: self._each_active("eth2"), BY_KERNEL)
        for machine in self.machines:
            machine.plug("eth1", up=True)
        self._each_active("eth1")
        self.verify(*BY_KERNEL)

    def _pulled(self, survived: Callable[[], None], options: Sequence[str]) -> None:
        """Pull a cable of both bonds while pings cross the tunnel. survived: waits until the bonds go on without it."""
        shown = self.second.ssh("sudo", "ip", "-netns", "web2", "-oneline", "-4", "address", "show", "dev", "eth0")
        ping = ["ping", "-n", "-q", "-i", str(PING_INTERVAL), "-c", str(PINGS), shown.split()[3].partition("/")[0]]
        asking = self.first.ssh_argv("sudo", "ip", "netns", "exec", "web1", *ping)
        with subprocess.Popen(asking, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as pinging:
            try:
                time.sleep(5)
                for machine in self.machines:
                    machine.plug("eth1", up=False)
                survived()
                claim(pinging.poll() is None, "the pings were over before the other NIC was in use")
                said = pinging.communicate(timeout=PLAYBOOK_TIMEOUT)[0]
            finally:
                pinging.kill()
        counted = re.search(r"(\d+) packets transmitted, (\d+) received", said)
        claim(counted, f"ping said {said}")
        sent, received = (int(word) for word in counted.groups()) if counted else (0, 0)
        lost = (sent - received) * PING_INTERVAL
        print(f"        {sent - received} of {sent} pings were lost, that is {lost:.2f} s", flush=True)
        claim(sent == PINGS and lost < LONGEST_LOSS, f"{lost:.2f} s of pings were lost")
        self._bond_is_told(options)

    def _bond_is_told(self, options: Sequence[str]) -> None:
        """Verify names the member that is missing, and nothing that crosses the bond."""
        more = ["--extra-vars", f"verify_report={self.logs}", "--extra-vars", "verify_settle=2", *options]
        self._playbook("playbooks/verify.yml", *more, ok=False)
        report = json.loads((self.logs / "verify.json").read_text(encoding="utf-8"))
        failed = {f"{check['kind']} {check['from']}" for check in report["checks"] if not check["passed"]}
        claim(failed == {"interface kvm1:bond0", "interface kvm2:bond0"}, f"verify says {failed}")

    def bond_again(self) -> None:
        self._each_active("eth1")
        self.verify(*BY_KERNEL)
        self._bond_unchanged()

    def bond_given_back(self) -> None:
        self.teardown()
        for name, links in self._each("ip", "-oneline", "link").items():
            gone = all(word not in links for word in ("bond0", "tep0"))
            claim(gone and " eth1:" in links and " eth2:" in links, f"{name} has {links}")
