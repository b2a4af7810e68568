# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest goes to another host while it runs, by the intent and by hand, with a NIC on each engine, by the playbooks alone."""

from __future__ import annotations

import os
import re
import typing as t

import pytest
from guests import inside
from harness import Failed, wait
from test_site import Fabric, changed

ENGINES = {"blue": "10.1.1", "red": "10.1.2", "green": "10.1.3"}
# Who is asked ten times a second, by whom. The one that stays tells what the machine itself loses meanwhile.
STILL = "still"
ASKED = {**{name: (f"ask-{name}", f"{subnet}.9") for name, subnet in ENGINES.items()}, STILL: ("ask-blue", "10.1.1.11")}
INTERVAL = 0.1
# Seconds that a move may cost besides the pause that libvirt tells, and what the machine loses by itself.
MARGIN = 1.0
LISTEN = """
set -e
printf 'auth_tcp = "none"\\nlisten_addr = "%s"\\n' "$1" > /etc/libvirt/libvirtd.conf
systemctl stop --quiet libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket
systemctl start libvirtd-tcp.socket libvirtd.socket libvirtd.service
"""
COUNT = r"""
import re, sys
said = open("/run/ask-" + sys.argv[1]).read()
seen = [float(time) for time in re.findall(r"^\[([0-9.]+)\].*icmp_seq=", said, re.MULTILINE)]
sent, got = map(int, re.search("([0-9]+) packets transmitted, ([0-9]+) received", said).groups())
print(sent, sent - got, max(after - before for before, after in zip(seen, seen[1:])))
"""


class Moves(Fabric):
    """Three hosts and two guests, of which the first has a NIC on each engine. The third host asks it, and has OVN's databases."""

    def __init__(self, folder: t.Any) -> None:
        nics = [{"segment": name, "address": f"{ENGINES[name]}.9"} for name in ("red", "green")]
        one = {"name": "vm1", "host": "kvm1", "kind": "guest", "segment": "blue", "address": f"{ENGINES['blue']}.9"}
        self.one: dict[str, t.Any] = {**one, "guest": {"image": "lab", "nics": nics}}
        self.two: dict[str, t.Any] = {
            **one,
            "name": "vm2",
            "host": "kvm2",
            "address": f"{ENGINES['blue']}.10",
            "guest": {"image": "lab"},
        }
        super().__init__(folder, f"moves-{os.getpid()}")

    def write(self) -> None:
        self.intent.update(
            fabric_overlays=[
                {"name": "gre", "encapsulation": "gre", "bridge": "br-gre"},
                {"name": "vx", "encapsulation": "vxlan", "bridge": "br-vx", "segments_by": "key"},
                {"name": "ov", "engine": "ovn", "encapsulation": "geneve"},
            ],
            fabric_segments=[
                {"name": "blue", "overlay": "gre", "vlan": 10, "subnet": "10.1.1.0/24"},
                {"name": "red", "overlay": "vx", "key": 20, "subnet": "10.1.2.0/24"},
                {"name": "green", "overlay": "ov", "subnet": "10.1.3.0/24"},
            ],
            fabric_endpoints=[
                self.one,
                self.two,
                {"name": STILL, "host": "kvm2", "segment": "blue", "address": ASKED[STILL][1]},
                *({"name": f"ask-{name}", "host": "kvm3", "segment": name} for name in ENGINES),
            ],
            kvm_host_migration_uri="qemu+tcp://{address}/system",
        )
        self.hosts = {"kvm1": {}, "kvm2": {}, "kvm3": {}}
        super().write()
        text = (self.folder / "hosts.yml").read_text()
        (self.folder / "hosts.yml").write_text(
            text.replace("children:\n", "children:\n    ovn_central: {hosts: {kvm3: {}}}\n")
        )

    def runs(self, name: str) -> list[str]:
        """The hosts that a guest runs on."""
        return [host for host in ("kvm1", "kvm2") if name in self.on(host, "virsh", "list", "--name").split()]

    def known(self, name: str) -> list[str]:
        """The hosts that have it defined."""
        return [host for host in ("kvm1", "kvm2") if name in self.on(host, "virsh", "list", "--name", "--all").split()]

    def migrate_by_hand(self) -> None:
        """The second guest goes to the first host, if it is not there yet."""
        there = ("qemu+tcp://192.168.200.1/system", "tcp://192.168.200.1")
        if self.runs("vm2") == ["kvm2"]:
            self.on("kvm2", "virsh", "migrate", "--live", "--persistent", "--undefinesource", "vm2", *there)

    def boot(self, name: str) -> str:
        """What tells one boot of a guest from another."""
        (place,) = self.runs(name)
        return str(wait(lambda: self._boot_id(place, name), f"the agent of {name}", 180))

    def _boot_id(self, place: str, name: str) -> str | None:
        """The number of a guest's boot; None while it still boots and has no agent yet."""
        try:
            return inside(self.lab.host(place), name, "cat /proc/sys/kernel/random/boot_id", 60)
        except Failed:
            return None

    def ask(self) -> None:
        """Ping all that are asked until lost() is called."""
        for name, (space, address) in ASKED.items():
            command = ["ip", "netns", "exec", space, "ping", "-n", "-D", "-i", str(INTERVAL), address]
            output = f"--property=StandardOutput=file:/run/ask-{name}"
            self.on("kvm3", "systemd-run", f"--unit=ask-{name}", output, *command)

    def lost(self) -> dict[str, int]:
        """How many pings had no answer."""
        found = {}
        for name in ASKED:
            self.on("kvm3", "systemctl", "kill", "--kill-who=main", "--signal=INT", f"ask-{name}")
            asked = ("kvm3", "cat", f"/run/ask-{name}")
            wait(lambda asked=asked: "transmitted" in self.on(*asked), f"the end of the ping of {name}", 30)
            sent, lost, longest = map(float, self.on("kvm3", "python3", "-c", COUNT, name).split())
            print(f"{name}: {lost:.0f} of {sent:.0f} lost, {longest:.2f} s of silence at most")
            assert sent > 20
            found[name] = round(lost)
        return found

    def pause(self, name: str) -> float:
        """The seconds that a guest did not run while libvirt moved it, as its new host tells."""
        (place,) = self.runs(name)
        said = self.on(place, "virsh", "domjobinfo", name, "--completed")
        found = re.search(r"Total downtime: +([0-9]+) +ms", said)
        assert found, said
        return int(found[1]) / 1000

    def moved(self, name: str) -> None:
        """Run site.yml, which moves a guest that is asked: no more is lost than its pause takes."""
        self.ask()
        self.play("site.yml")
        lost, pause = self.lost(), self.pause(name)
        print(f"{name} paused for {pause:.2f} s")
        most = (pause + MARGIN) / INTERVAL + lost[STILL]
        assert all(lost[engine] <= most for engine in ENGINES), (lost, pause)


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Moves]:
    fabric = Moves(tmp_path_factory.mktemp("moves"))
    fabric.play("playbooks/lab.yml")
    try:
        fabric.play("site.yml")
        for number in (1, 2):
            fabric.on(f"kvm{number}", "sh", "-c", LISTEN, "sh", f"192.168.200.{number}")
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def refused(fabric: Moves, *arguments: str) -> str:
    """What a run that fails says, in one line."""
    return " ".join(fabric.play("site.yml", *arguments, ok=False).split())


def test_a_guest_that_somebody_has_migrated_is_not_killed(fabric: Moves) -> None:
    before = fabric.boot("vm2")
    fabric.migrate_by_hand()
    said = refused(fabric)
    assert (
        "Guest vm2 runs on kvm1, where somebody has migrated it, and the intent has it on kvm2; set fabric_endpoints[vm2].host: kvm1"
        in said
    )
    assert fabric.runs("vm2") == ["kvm1"] and "changed=1" not in said
    fabric.two["guest"]["placement"] = "follow"
    fabric.write()
    fabric.play("site.yml")
    assert fabric.runs("vm2") == fabric.known("vm2") == ["kvm1"] and fabric.boot("vm2") == before
    assert set(changed(fabric.play("site.yml")).values()) == {0}
    assert fabric.verify()["failed"] == 0


def test_guests_are_moved_by_the_intent_and_back_to_it(fabric: Moves) -> None:
    """The first has another host in the intent, the second had been migrated by hand."""
    before = [fabric.boot(name) for name in ("vm1", "vm2")]
    fabric.migrate_by_hand()
    fabric.one["host"] = "kvm2"
    fabric.two["guest"]["placement"] = "return"
    fabric.write()
    # No way to the other host: they run on where they are, and the next run moves them.
    said = refused(fabric, "-e", "kvm_host_migration_uri=qemu+tcp://127.0.0.1:1/system")
    assert "cannot be migrated, and stays: uri qemu+tcp://127.0.0.1:1/system cannot be connected to" in said
    assert fabric.runs("vm1") == fabric.runs("vm2") == ["kvm1"]
    fabric.moved("vm1")
    for name in ("vm1", "vm2"):
        assert fabric.runs(name) == fabric.known(name) == ["kvm2"]
    assert [fabric.boot(name) for name in ("vm1", "vm2")] == before
    assert set(changed(fabric.play("site.yml")).values()) == {0}
    assert fabric.verify()["failed"] == 0
    fabric.one["host"] = "kvm1"
    fabric.write()
    fabric.moved("vm1")
    assert fabric.runs("vm1") == fabric.known("vm1") == ["kvm1"]
    assert fabric.boot("vm1") == before[0]
