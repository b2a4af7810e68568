# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab does on a real machine: hosts, cables and switches, repaired whatever was killed, and nothing left behind."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import typing as t

import harness
import pytest
import roots
from harness import wait

REPOSITORY = harness.REPOSITORY
CABLE = [["a:eth1", "b:eth1"]]
NSPAWN_LOCKS = pathlib.Path("/run/systemd/nspawn/locks")


# --- What belongs to a lab, as the kernel tells ---------------------------------------------------------------------------


def marked(lab: harness.Lab) -> dict[int, str]:
    """The processes that carry the lab's mark, from anywhere below this machine, with their command lines."""
    found = {}
    for folder in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (
                folder.name.isdigit()
                and f"\0OVERLOOM_LAB_HOST={lab.name}/".encode() in b"\0" + (folder / "environ").read_bytes()
            ):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
    return found


def processes(lab: harness.Lab, host: str) -> dict[str, int]:
    """supervisor, nspawn and leader of a host."""
    end = f"/hosts/{host}"
    roles = {}
    for pid, command in marked(lab).items():
        if "supervisor.py" in command and command.rstrip("\0").endswith(end):
            roles["supervisor"] = pid
        elif "systemd-nspawn" in command and f"{end}/merged\0" in command:
            roles["nspawn"] = pid
    leader = lab.host(host).leader
    return {**roles, "leader": leader} if leader else roles


def namespaces(pid: int) -> set[str]:
    """The namespaces of a process, such as net:[4026532177]."""
    found = set()
    for kind in ("net", "mnt", "pid", "uts", "ipc", "cgroup"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
    return found


def mounts() -> list[list[str]]:
    """The fields of /proc/self/mountinfo (proc(5))."""
    return [line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]


def own_namespaces(lab: harness.Lab) -> set[str]:
    """The namespaces of the lab, without those of the machine."""
    kept = {fields[3] for fields in mounts() if f"/labs/{lab.name}/" in fields[4] and "nsfs" in fields}
    return kept.union(*(namespaces(pid) for pid in marked(lab))) - namespaces(os.getpid())


def keepers(lab: harness.Lab) -> set[tuple[str, str]]:
    """The processes, by pid and start, that keep a namespace of the lab alive."""
    own = own_namespaces(lab)
    return {
        (folder.name, started(folder.name))
        for folder in pathlib.Path("/proc").iterdir()
        if folder.name.isdigit() and namespaces(int(folder.name)) & own
    }


def started(pid: str) -> str:
    """When a process was started, which tells it from a later one with its pid; empty when it has ended, also as a zombie."""
    try:
        fields = (
            pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def traces(lab: harness.Lab) -> list[str]:
    """Everything on the machine that has the lab's name on it."""
    found = [f"process {pid} {command}" for pid, command in marked(lab).items()]
    found += [
        " ".join(fields) for fields in mounts() if f"/labs/{lab.name}/" in fields[4] or f"lab-{lab.name}" in fields[4]
    ]
    names = (lab.name, f"overloom-lab-{lab.name}")
    beginnings = tuple(f"{name}." for name in names)
    for parent in (
        "/run/overloom/labs",
        "/run/systemd/nspawn/propagate",
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/systemd",
        "/sys/fs/cgroup/unified",
    ):
        with contextlib.suppress(FileNotFoundError):
            here = os.listdir(parent)
            found += [f"{parent}/{name}" for name in here if name in names or name.startswith(beginnings)]
    return found


def nspawn_locks() -> set[str]:
    """The locks of systemd-nspawn on mounts that exist no more."""
    devices = {os.makedev(*map(int, fields[2].split(":"))) for fields in mounts()}
    names = {path.name for path in NSPAWN_LOCKS.glob("inode-*")}
    return {name for name in names if int(name[len("inode-") :].split(":")[0]) not in devices}


def assert_gone(lab: harness.Lab, kept: set[tuple[str, str]]) -> None:
    """Nothing of the lab is left.

    kept: the processes that kept its namespaces. (A number of a namespace says nothing afterwards: other labs' get it.)
    """
    assert traces(lab) == []
    assert [pid for pid, start in kept if start and started(pid) == start] == []


def interfaces(host: harness.Host) -> dict[str, int]:
    """The host's NICs with their indexes, which change when one is made anew."""
    return {
        link["ifname"]: link["ifindex"]
        for link in json.loads(host.run(["ip", "-json", "link", "show"]))
        if link["ifname"] != "lo"
    }


def address(host: harness.Host, number: int, nic: str = "eth1") -> None:
    """Bring a NIC up with the address 10.9.8.NUMBER."""
    host.run(["ip", "link", "set", "dev", nic, "up"])
    host.run(["ip", "address", "add", f"10.9.8.{number}/24", "dev", nic])


def reaches(host: harness.Host, number: int, seconds: float = 30) -> bool:
    """Whether 10.9.8.NUMBER answers, at the latest after some seconds: a NIC that has just come up takes a moment."""
    return host.answered(f"10.9.8.{number}", seconds=seconds)


@pytest.fixture
def make_lab(machine: harness.Machine) -> t.Iterator[t.Callable[..., harness.Lab]]:
    """Makes labs whose names no other run has; each is removed after the test, without a trace."""
    labs: list[harness.Lab] = []

    def make(
        hosts: t.Sequence[str] = ("a", "b"), links: t.Sequence[t.Sequence[str]] = (), **options: t.Any
    ) -> harness.Lab:
        lab = harness.Lab(machine, harness.lab_name(f"-{len(labs)}"))
        labs.append(lab)
        if hosts:
            lab.make(hosts, links, **options)
        return lab

    before = nspawn_locks()
    yield make
    for lab in labs:
        kept = keepers(lab)
        lab.remove()
        assert_gone(lab, kept)
        again = lab.remove()
        assert not again["changed"] and again["commands"] == []
    # Other runs remove their labs at the same time: between a mount and its lock there is a moment.
    wait(lambda: nspawn_locks() <= before, "the end of the locks of mounts that are gone")


# --- Hosts ---------------------------------------------------------------------------------------------------------------


def test_check_mode_foretells_and_a_second_run_changes_nothing(make_lab, machine):
    lab = make_lab(hosts=())
    done = machine.apply("lab", lab.arguments(["a", "b", "c"], [["a:eth1", "b:eth1"], ["a:eth2", "b:eth2", "c:eth1"]]))
    assert [(host["name"], host["state"]) for host in done["hosts"]] == [
        ("a", "running"),
        ("b", "running"),
        ("c", "running"),
    ]
    assert all(host["leader"] == lab.host(host["name"]).leader and host["boot_seconds"] < 60 for host in done["hosts"])
    machine.apply("lab", lab.arguments(["a", "c"], [["a:eth1", "c:eth1"]]))
    machine.apply("lab", {"name": lab.name, "state": "absent"})


def test_a_host_is_a_host_of_its_own_and_starts_clean(make_lab):
    lab = make_lab(["kvm1", "kvm2.example.com"])
    first, second = lab.host("kvm1"), lab.host("kvm2.example.com")
    assert first.run(["hostname"]) == "kvm1\n" and second.run(["hostname"]) == "kvm2.example.com\n"
    ids = {first.run(["cat", "/etc/machine-id"]), second.run(["cat", "/etc/machine-id"])}
    assert len(ids) == 2 and all(len(text) == 33 for text in ids)
    assert first.run(["systemctl", "is-system-running"]) == "running\n"
    # Only what systemd itself brings is running: no service, timer or console of the machine.
    listing = first.run(["systemctl", "list-units", "--type=service,timer", "--state=running,waiting", "--no-legend"])
    running = {line.split()[0] for line in listing.splitlines()}
    assert running <= {"dbus.service", "systemd-journald.service", "systemd-logind.service", "systemd-udevd.service"}
    assert first.run(["find", "/etc/systemd/system", "-type", "f"]) == ""
    assert first.run(["find", "/etc/openvswitch", "/var/lib/openvswitch", "/root", "/home", "-type", "f"]) == ""
    assert not first.exists("/usr/sbin/policy-rc.d") and first.exists("/var/log/openvswitch")
    assert (
        first.run(["stat", "-c", "%a %U", "/", "/root", "/var/tmp", "/etc"])
        == "755 root\n700 root\n1777 root\n755 root\n"
    )
    # What one host writes, neither the other nor the machine sees.
    first.write("/etc/only-here", "x")
    assert not second.exists("/etc/only-here") and not os.path.exists("/etc/only-here")
    assert first.exists("/dev/net/tun") and not first.exists("/dev/kvm")


def test_open_vswitch_starts_and_a_reboot_keeps_files_and_services_but_no_network_setting(make_lab):
    lab = make_lab(links=CABLE)
    a, b = lab.host("a"), lab.host("b")
    a.run(["systemctl", "enable", "--now", "--quiet", "openvswitch-switch"])
    a.run(["ovs-vsctl", "add-br", "br-kept"])
    a.write("/etc/kept", "by the host")
    address(a, 1)
    address(b, 2)
    a.run(["ip", "link", "set", "dev", "eth1", "mtu", "9000", "address", "02:00:00:00:00:01"])
    a.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    a.run(["ip", "link", "add", "name", "made", "type", "veth", "peer", "name", "made2"])
    before, nic = a.leader, interfaces(b)["eth1"]
    a.reboot()
    assert a.leader != before and a.run(["systemctl", "is-system-running"]) == "running\n"
    assert a.run(["cat", "/etc/kept"]) == "by the host"
    assert a.run(["ovs-vsctl", "list-br"]) == "br-kept\n"
    # As on a real machine: the NICs are there, down, as they came from the factory, and nothing else is.
    assert set(interfaces(a)) & {"eth1", "made", "made2"} == {"eth1"}
    link = json.loads(a.run(["ip", "-json", "address", "show", "dev", "eth1"]))[0]
    assert (
        link["operstate"] == "DOWN"
        and link["mtu"] == 1500
        and link["addr_info"] == []
        and link["address"] != "02:00:00:00:00:01"
    )
    assert a.run(["cat", "/proc/sys/net/ipv4/ip_forward"]) == "0\n"
    # The other host's NIC stayed in its slot, and the cable works.
    assert interfaces(b)["eth1"] == nic
    address(a, 1)
    assert reaches(a, 2)
    assert not lab.make(["a", "b"], CABLE)["changed"]


def test_hosts_do_not_share_control_groups(make_lab):
    lab = make_lab()
    for name in ("a", "b"):
        lab.host(name).run(["systemd-run", "--quiet", "--unit=same-name", "sleep", "1000"])
    lab.host("a").run(["systemctl", "stop", "same-name"])
    assert lab.host("b").run(["systemctl", "is-active", "same-name"]) == "active\n"


def test_a_host_that_comes_up_degraded_is_an_error_which_names_the_unit(make_lab):
    lab = make_lab(["a"])
    a = lab.host("a")
    a.write(
        "/etc/systemd/system/bad.service", "[Service]\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n"
    )
    a.run(["systemctl", "enable", "--quiet", "bad"])
    os.kill(a.leader, signal.SIGKILL)
    failed = lab.make(["a"], ok=False)
    assert failed["msg"].startswith(
        f"lab {lab.name}: host a is degraded: failed units bad.service; the last lines of its console:\n"
    )
    assert len(failed["msg"].splitlines()) > 5
    # It is the person's host now: another run leaves it as it is.
    assert not lab.make(["a"])["changed"]


def test_a_host_that_is_not_up_in_time_is_an_error(make_lab):
    lab = make_lab(hosts=())
    failed = lab.make(["a"], ok=False, boot_timeout=0)
    assert failed["msg"].startswith(f"lab {lab.name}: host a was not up after 0 s (boot_timeout)")
    lab.make(["a"])
    assert lab.host("a").run(["systemctl", "is-system-running"]) == "running\n"


def test_twenty_hosts_boot_and_go(make_lab):
    names = [f"kvm{number}" for number in range(1, 21)]
    lab = make_lab(hosts=())
    made = lab.make(names, [[f"{name}:eth1" for name in names]])
    assert {host["state"] for host in made["hosts"]} == {"running"} and len(made["hosts"]) == 20
    assert int(pathlib.Path("/proc/sys/fs/inotify/max_user_instances").read_text(encoding="ascii")) >= 64 + 32 * 20
    # Nobody has to do anything about a limit that is raised until the last lab is gone.
    assert "warnings" not in made
    # Each can still have what systemd and its services need.
    for name in names:
        assert lab.host(name).run(["systemctl", "is-system-running"]) == "running\n"
    address(lab.host("kvm1"), 1)
    address(lab.host("kvm20"), 20)
    assert reaches(lab.host("kvm1"), 20)


def test_a_folder_of_the_machine_is_seen_read_only_and_a_change_restarts_the_hosts(make_lab, tmp_path):
    lab = make_lab(["a"])
    (tmp_path / "file").write_text("from outside", encoding="utf-8")
    a = lab.host("a")
    a.write("/etc/kept", "x")
    before = a.leader
    lab.make(["a"], binds=[f"{tmp_path}:/srv/outside"])
    assert a.leader != before and a.exists("/etc/kept")
    assert a.run(["cat", "/srv/outside/file"]) == "from outside"
    a.run(["touch", "/srv/outside/new"], ok=False)


# --- Changes touch what they name, and nothing else ----------------------------------------------------------------------


def test_a_host_and_a_cable_come_and_go_alone(make_lab):
    lab = make_lab(links=CABLE)
    a, b = lab.host("a"), lab.host("b")
    leaders, nics = (a.leader, b.leader), (interfaces(a), interfaces(b))
    added = lab.make(["a", "b", "c"], [*CABLE, ["b:eth2", "c:eth1"]])
    assert added["changed"] and (a.leader, b.leader) == leaders
    assert interfaces(a) == nics[0] and interfaces(b)["eth1"] == nics[1]["eth1"] and "eth2" in interfaces(b)
    address(b, 1, "eth2")
    address(lab.host("c"), 2)
    assert reaches(b, 2)
    removed = lab.make(["a", "b"], CABLE)
    assert removed["changed"] and (a.leader, b.leader) == leaders
    assert (interfaces(a), interfaces(b)) == nics
    assert (
        not any(f"/{lab.name}/hosts/c" in trace for trace in traces(lab))
        and not (harness.LABS / lab.name / "layers" / "c").exists()
    )
    assert [host["name"] for host in removed["hosts"]] == ["a", "b"]
    # The same names, crossed: both cables are others than before.
    lab.make(["a", "b"], [["a:eth1", "b:eth2"], ["a:eth2", "b:eth1"]])
    address(a, 1, "eth1")
    address(b, 2, "eth2")
    assert reaches(a, 2)
    lab.make(["a", "b"])
    assert interfaces(a) == {} and interfaces(b) == {}


def test_a_switch_carries_frames_between_all_its_ends_and_a_new_end_disturbs_no_other(make_lab):
    lab = make_lab(["a", "b", "c"], [["a:eth1", "b:eth1", "c:eth1"], ["a:eth2", "b:eth2", "c:eth2"]])
    hosts = [lab.host(name) for name in "abc"]
    nics = [interfaces(host) for host in hosts]
    for number, host in enumerate(hosts, 1):
        address(host, number)
    assert reaches(hosts[0], 2) and reaches(hosts[0], 3) and reaches(hosts[1], 3)
    lab.make(["a", "b", "c", "d"], [["d:eth1", "a:eth1", "b:eth1", "c:eth1"], ["a:eth2", "b:eth2", "c:eth2"]])
    assert [interfaces(host) for host in hosts] == nics
    address(lab.host("d"), 4)
    assert reaches(hosts[0], 4) and reaches(hosts[2], 4)
    # The second switch is another one.
    hosts[1].run(["ip", "link", "set", "dev", "eth1", "down"])
    hosts[1].run(["ip", "link", "set", "dev", "eth2", "up"])
    assert not reaches(hosts[0], 2, 1)
    # A host that was first in the list goes, and the others do not notice.
    lab.make(["b", "c", "d"], [["b:eth1", "c:eth1", "d:eth1"]])
    assert reaches(hosts[2], 4) and interfaces(hosts[2]) == {"eth1": nics[2]["eth1"]}


def test_jumbo_frames_pass_when_the_hosts_ask_for_them(make_lab):
    lab = make_lab(["a", "b", "c"], [["a:eth1", "b:eth1"], ["a:eth2", "b:eth2", "c:eth2"]])
    a, b = lab.host("a"), lab.host("b")
    for nic in ("eth1", "eth2"):
        address(a, 1, nic)
        address(b, 2, nic)
        a.run(["ping", "-c1", "-W1", "-Mdo", "-s1473", "10.9.8.2"], ok=False)
        for host in (a, b):
            host.run(["ip", "link", "set", "dev", nic, "mtu", "9000"])
        assert a.answered("10.9.8.2", size=8972)
        for host in (a, b):
            host.run(["ip", "link", "set", "dev", nic, "down"])
            host.run(["ip", "address", "flush", "dev", nic])


def test_what_a_host_does_to_its_nics_is_not_repaired_but_a_nic_that_is_gone_is(make_lab):
    lab = make_lab(links=CABLE)
    a = lab.host("a")
    a.run(["ip", "link", "set", "dev", "eth1", "mtu", "1400", "alias", "mine", "up"])
    assert not lab.make(["a", "b"], CABLE)["changed"]
    a.run(["ip", "link", "delete", "dev", "eth1"])
    assert "eth1" not in interfaces(lab.host("b"))
    assert lab.make(["a", "b"], CABLE)["changed"]
    address(a, 1)
    address(lab.host("b"), 2)
    assert reaches(a, 2)
    # Something else under the NIC's name is in its way.
    a.run(["ip", "link", "delete", "dev", "eth1"])
    a.run(["ip", "link", "add", "name", "eth1", "type", "veth", "peer", "name", "other"])
    lab.make(["a", "b"], CABLE)
    address(a, 1)
    address(lab.host("b"), 2)
    assert reaches(a, 2)


def test_two_labs_with_the_same_names_know_nothing_of_each_other(make_lab):
    first, second = make_lab(links=CABLE), make_lab(links=CABLE)
    for number, lab in enumerate((first, second)):
        lab.host("a").write("/etc/lab", lab.name)
        address(lab.host("a"), 1)
        address(lab.host("b"), 2 + number)
    assert reaches(first.host("a"), 2) and reaches(second.host("a"), 3)
    assert not reaches(first.host("a"), 3, 1) and not reaches(second.host("a"), 2, 1)
    before = processes(second, "a"), processes(second, "b")
    kept = keepers(first)
    first.remove()
    assert_gone(first, kept)
    assert (processes(second, "a"), processes(second, "b")) == before
    assert second.host("a").run(["cat", "/etc/lab"]) == second.name and reaches(second.host("a"), 3)
    assert not second.make(["a", "b"], CABLE)["changed"]


def test_a_lab_whose_name_begins_like_anothers_is_another(make_lab, machine):
    lab = make_lab(["a"])
    longer = harness.Lab(machine, lab.name + "-more")
    longer.make(["a"])
    try:
        before = longer.host("a").leader
        lab.remove()
        assert longer.host("a").leader == before and not longer.make(["a"])["changed"]
    finally:
        longer.remove()
    assert traces(longer) == []


def test_nothing_foreign_is_touched(make_lab, machine):
    name = f"ovl{os.getpid()}"
    machine.run(["ip", "netns", "add", name])
    machine.run(["ip", "link", "add", "name", name, "type", "bridge"])
    # The machine may have a NIC of the same name as the hosts have.
    machine.run(["ip", "link", "add", "name", f"{name}c", "type", "bridge"])
    try:
        before = machine.run(["ip", "-json", "link", "show", "dev", name]), os.stat(f"/run/netns/{name}").st_ino
        lab = make_lab(["a", "b", "c"], [["a:eth1", "b:eth1", "c:eth1"], [f"a:{name}c", f"b:{name}c"]])
        # What the lab makes is nowhere in the machine's own network.
        own = {link["ifname"]: link for link in json.loads(machine.run(["ip", "-json", "-details", "link", "show"]))}
        assert not [link for link in own.values() if link.get("group", "default") != "default"]
        assert "eth1" not in own or own["eth1"].get("linkinfo", {}).get("info_kind") != "veth"
        lab.remove()
        assert (
            machine.run(["ip", "-json", "link", "show", "dev", name]),
            os.stat(f"/run/netns/{name}").st_ino,
        ) == before
    finally:
        machine.run(["ip", "link", "delete", "dev", name])
        machine.run(["ip", "link", "delete", "dev", f"{name}c"])
        machine.run(["ip", "netns", "delete", name])


# --- Whatever is killed --------------------------------------------------------------------------------------------------


def kill_all(found: dict[str, int], victims: t.Iterable[str]) -> None:
    """Kill processes of a host; one may have ended with the one before it."""
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[victim], signal.SIGKILL)


@pytest.mark.parametrize("victims", [["supervisor"], ["nspawn"], ["leader"], ["supervisor", "nspawn", "leader"]])
def test_a_killed_host_is_booted_again_with_its_files(make_lab, victims):
    lab = make_lab(links=CABLE)
    a, b = lab.host("a"), lab.host("b")
    a.write("/etc/kept", "x")
    a.run(["sync"])
    other = processes(lab, "b")
    found = processes(lab, "a")
    assert set(found) == {"supervisor", "nspawn", "leader"}
    kill_all(found, victims)
    assert lab.make(["a", "b"], CABLE)["changed"]
    assert a.exists("/etc/kept") and a.leader != found["leader"]
    assert len(processes(lab, "a")) == 3 and len([pid for pid in marked(lab) if pid in found.values()]) == 0
    assert processes(lab, "b") == other
    address(a, 1)
    address(b, 2)
    assert reaches(a, 2)
    a.reboot()
    assert not lab.make(["a", "b"], CABLE)["changed"]
    # Also what is half dead goes without a trace.
    kill_all(processes(lab, "a"), victims)


def test_a_host_that_was_switched_off_is_off_until_the_lab_is_made_again(make_lab, machine):
    lab = make_lab(["a"])
    lab.host("a").power_off()
    wait(lambda: not marked(lab), "the end of what the host was made of")
    foretold = machine.module("lab", lab.arguments(["a"]), check=True, diff=True)
    assert foretold["hosts"][0]["state"] == "off"
    assert 'a: "off"' in foretold["diff"]["before"] and "a: running" in foretold["diff"]["after"]
    lab.make(["a"])
    assert lab.host("a").leader


def test_a_run_that_is_killed_at_any_moment_is_finished_or_undone_by_the_next(make_lab, machine):
    lab = make_lab(hosts=())
    arguments = lab.arguments(["a", "b", "c"], [["a:eth1", "b:eth1", "c:eth1"], ["a:eth2", "b:eth2"]])
    absent = {"name": lab.name, "state": "absent"}

    def killed(what: dict[str, t.Any], after: float) -> None:
        command = ["env", f"PYTHONPATH={machine.library}", harness.PYTHON, "-c", harness.DRIVER, "lab"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True) as run:
            run.stdin.write(harness.module_input(what, False, False).encode())
            run.stdin.close()
            time.sleep(after)
            os.kill(run.pid, signal.SIGKILL)

    for number, after in enumerate((0.12, 0.16, 0.19, 0.22, 0.26, 0.32)):
        killed(arguments, after)
        if number % 2:
            made = machine.module("lab", arguments)
            assert {host["state"] for host in made["hosts"]} == {"running"}
            assert not machine.module("lab", arguments)["changed"]
            killed(absent, after)
        kept = keepers(lab)
        machine.module("lab", absent)
        assert_gone(lab, kept)


def test_two_runs_at_once_wait_for_each_other(make_lab, machine):
    lab = make_lab(hosts=())
    runs = []
    for _number in range(2):
        command = ["env", f"PYTHONPATH={machine.library}", harness.PYTHON, "-c", harness.DRIVER, "lab"]
        run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        run.stdin.write(harness.module_input(lab.arguments(["a", "b"], CABLE), False, False).encode())
        run.stdin.close()
        runs.append(run)
    results = []
    for run in runs:
        with run:
            results.append(json.loads(run.stdout.read()))
    assert sorted(result["changed"] for result in results) == [False, True]
    assert not any(result.get("failed") for result in results)


def test_a_stranger_in_a_hosts_or_switchs_network_does_not_keep_it(make_lab):
    lab = make_lab(["a", "b", "c"], [["a:eth1", "b:eth1", "c:eth1"]])
    folder = harness.LABS / lab.name
    strangers = [
        subprocess.Popen(["nsenter", f"--net={folder / net}", "sleep", "1000"]) for net in ("hosts/a/net", "switch")
    ]
    wait(
        lambda: all(os.readlink(f"/proc/{stranger.pid}/ns/net") in own_namespaces(lab) for stranger in strangers),
        "the strangers in the lab's networks",
    )
    kept = keepers(lab)
    lab.remove()
    assert [stranger.wait(60) for stranger in strangers] == [-signal.SIGKILL] * 2
    assert_gone(lab, kept)


# --- A machine that systemd runs -------------------------------------------------------------------------------------------


def test_a_lab_on_a_machine_that_systemd_runs_is_in_units_of_its_own(make_lab):
    # Such a machine is a lab host itself. The lab inside has the same name, and neither takes the other's hosts for its own.
    lab = make_lab(["a"])
    outer = lab.host("a")
    arguments = {"name": lab.name, "hosts": ["a", "b"], "links": CABLE}
    made = outer.apply("lab", arguments)
    assert [host["state"] for host in made["hosts"]] == ["running", "running"]

    def scopes() -> str:
        return outer.run(["systemctl", "list-units", "--type=scope", "--no-legend", "--plain", "run-*"])

    assert len(scopes().splitlines()) == 4
    inner = {host["name"]: host["leader"] for host in made["hosts"]}
    for leader in inner.values():
        group = outer.run(["cat", f"/proc/{leader}/cgroup"])
        assert all(
            re.search(r":/system\.slice/run-[^/]*\.scope/payload/", line)
            for line in group.splitlines()
            if "name=systemd" in line or line[:3] == "0::"
        )
    assert not lab.make(["a"])["changed"]
    # A reboot, and a power failure.
    outer.run(["nsenter", f"--target={inner['a']}", "--all", "systemctl", "reboot"])
    outer.run(["kill", "-KILL", str(inner["b"])])
    again = outer.module("lab", arguments)
    assert {host["state"] for host in again["hosts"]} == {"running"}
    assert not outer.module("lab", arguments)["changed"]
    outer.apply("lab", {"name": lab.name, "state": "absent"})
    # A killed process 1 is there until the kernel has ended all that was in its host, and systemd hears of it after that.
    wait(lambda: not scopes(), "the end of the scopes")
    assert not outer.exists("/run/overloom") and f"/labs/{lab.name}/hosts" not in outer.run(
        ["cat", "/proc/self/mountinfo"]
    )
    assert not lab.make(["a"])["changed"]


# --- Where the files are, and what the root is ---------------------------------------------------------------------------


def test_storage_in_a_folder_outlives_the_machine_but_not_the_lab(make_lab, machine, tmp_path):
    storage = tmp_path / "disk"
    storage.mkdir()
    machine.run(["mount", "-t", "tmpfs", "test", str(storage)])
    try:
        (storage / "precious").write_text("x", encoding="utf-8")
        lab = make_lab(links=CABLE, storage=str(storage))
        a = lab.host("a")
        a.write("/etc/kept", "x")
        assert (storage / f"overloom-lab-{lab.name}" / "a" / "upper" / "etc" / "kept").exists()
        # The machine reboots: no process, no mount, nothing below /run, which is memory.
        for pid in marked(lab):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for line in reversed(pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()):
            if f"/labs/{lab.name}/" in line.split()[1]:
                machine.run(["umount", "--lazy", line.split()[1]])
        machine.run(["rm", "-rf", "--one-file-system", str(harness.LABS / lab.name)])
        for name in nspawn_locks():
            (NSPAWN_LOCKS / name).unlink(missing_ok=True)
        lab.make(["a", "b"], CABLE, storage=str(storage))
        assert a.exists("/etc/kept")
        assert "made with root" in lab.make(["a", "b"], CABLE, ok=False)["msg"]
        kept = keepers(lab)
        lab.remove()
        assert_gone(lab, kept)
        assert [path.name for path in storage.iterdir()] == ["precious"]
    finally:
        machine.run(["umount", "--lazy", str(storage)])


def test_another_root_tree_boots_another_distribution(make_lab, other_root):
    lab = make_lab(links=CABLE, root=str(other_root))
    a, b = lab.host("a"), lab.host("b")
    assert "VERSION_CODENAME=trixie" in a.run(["cat", "/etc/os-release"])
    assert a.run(["systemctl", "is-system-running"]) == "running\n"
    address(a, 1)
    address(b, 2)
    assert reaches(a, 2)
    a.run(["systemctl", "enable", "--now", "openvswitch-switch"])
    a.run(["ovs-vsctl", "add-br", "br-kept"])
    a.write("/etc/kept", "x")
    a.reboot()
    assert a.run(["ovs-vsctl", "list-br"]) == "br-kept\n"
    assert a.exists("/etc/kept") and not (other_root / "etc" / "kept").exists()
    assert not lab.make(["a", "b"], CABLE, root=str(other_root))["changed"]


@pytest.fixture(scope="session")
def other_root() -> pathlib.Path:
    """A root tree of another release than the machine's (Debian 13)."""
    return roots.debian_root("trixie")


# --- Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "Bad"}, "name: 'Bad' is no lab name"),
        ({"name": "x" * 33}, "is no lab name"),
        ({"name": "../x"}, "name: '../x' is no lab name"),
        ({"hosts": ["a", "kvm_1"]}, "hosts: 'kvm_1' is no host name"),
        ({"hosts": ["a", "-x"]}, "hosts: '-x' is no host name"),
        ({"hosts": ["a", "x;reboot"]}, "hosts: 'x;reboot' is no host name"),
        ({"hosts": ["a", "a"]}, "hosts: a is listed twice"),
        ({"links": [["a:eth1", "z:eth1"]]}, "links: link 1 names 'z', which is not one of the hosts"),
        ({"links": [["a:eth1", "b:eth1"], ["a:eth1", "b:eth2"]]}, "links: a:eth1 is used by link 1 and link 2"),
        ({"links": [["a:eth1", "b:much-too-long-name"]]}, "'much-too-long-name' of b in link 1 is no interface name"),
        ({"links": [["a:eth1", "b:x y"]]}, "'x y' of b in link 1 is no interface name"),
        ({"links": [["a:eth1", "b:$(x)\n"]]}, "is no interface name"),
        ({"links": [["a:lo", "b:eth1"]]}, "'lo' of a in link 1 is no interface name"),
        ({"links": [["a", "b:eth1"]]}, "'a' in link 1 is no end of a cable"),
        ({"links": [["a:eth1"]]}, "link 1 has 1 end;"),
        ({"root": "/usr/share/doc"}, "root: /usr/share/doc holds no systemd"),
        ({"root": "/srv/a,b"}, "root: '/srv/a,b' must be an absolute path"),
        ({"storage": "/nonexistent"}, "storage: /nonexistent is no folder"),
        ({"storage": "/usr"}, "storage: /usr lies in root / on the same filesystem"),
        ({"binds": ["relative"]}, "binds: 'relative' must be an absolute path"),
        ({"binds": ["/nonexistent"]}, "binds: /nonexistent does not exist"),
        ({"mtu": 67}, "mtu: 67 is not in 68..65535"),
    ],
)
def test_bad_input_is_refused_in_one_sentence_before_anything_changes(machine, options, sentence):
    name = harness.lab_name("-bad")
    arguments = {"name": name, "hosts": ["a", "b"], **options}
    for check in (True, False):
        failed = machine.module("lab", arguments, check=check, ok=False)
        assert sentence in failed["msg"] and len(failed["msg"].splitlines()) == 1
        assert not failed["changed"] and failed["commands"] == []
    assert not (harness.LABS / name).exists()


def test_a_missing_tool_is_named_with_its_package(machine):
    # The module finds tools in its PATH and in the folders of root's tools: here, neither has systemd-nspawn.
    hidden = (
        "import ansible.module_utils.basic as b\nfind = b.get_bin_path\n"
        "b.get_bin_path = lambda arg, **k: find('no-' + arg if arg == 'systemd-nspawn' else arg, **k)\n"
    )
    command = ["env", f"PYTHONPATH={machine.library}", harness.PYTHON, "-c", hidden + harness.DRIVER, "lab"]
    done = harness.execute(
        command, None, harness.module_input({"name": harness.lab_name("-bad"), "hosts": ["a"]}, False, False)
    )
    failed = harness.result_of(done, "lab", False)
    assert "systemd-nspawn is not installed on this machine; install the package systemd-container" in failed["msg"]


def test_root_is_needed(machine):
    command = [
        "env",
        f"PYTHONPATH={machine.library}",
        harness.PYTHON,
        "-c",
        "import os\nos.geteuid = lambda: 1000\n" + harness.DRIVER,
        "lab",
    ]
    done = harness.execute(
        command, None, harness.module_input({"name": harness.lab_name("-bad"), "hosts": ["a"]}, False, False)
    )
    assert "root is needed to make or remove a lab; use become" in harness.result_of(done, "lab", False)["msg"]


# --- Ansible -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ansible(make_lab, tmp_path: pathlib.Path) -> t.Callable[..., subprocess.CompletedProcess]:
    """Runs an Ansible command from the checkout on an inventory of the hosts a and b, which is all that a user writes."""
    lab = make_lab(hosts=())
    inventory = tmp_path / "hosts.yml"

    def run(
        program: str, *words: str, hosts: t.Sequence[str] = ("a", "b"), ok: bool | None = True
    ) -> subprocess.CompletedProcess:
        variables = {"fabric_name": lab.name, "ansible_connection": "overloom.fabric.lab"}
        inventory.write_text(
            json.dumps({"all": {"hosts": dict.fromkeys(hosts, {}), "vars": variables}}), encoding="utf-8"
        )
        path = REPOSITORY / ".venv" / "bin" / program
        # A person's environment, which no lab host may see.
        environment = {
            "PATH": f"{path.parent}:{harness.PATH}",
            "HOME": os.environ["HOME"],
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "LEAK": "from outside",
            "VIRTUAL_ENV": "/nonexistent",
        }
        done = subprocess.run(
            [str(path), "-i", str(inventory), *words],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ok is not None:
            assert ok == (done.returncode == 0), done.stdout + done.stderr
        return done

    run.lab = lab
    return run


def test_the_playbooks_make_and_remove_the_lab_of_the_inventory(ansible):
    assert "changed=1" in ansible("ansible-playbook", "playbooks/lab.yml").stdout
    assert "changed=0" in ansible("ansible-playbook", "playbooks/lab.yml").stdout
    lab = ansible.lab
    address(lab.host("a"), 1)
    address(lab.host("b"), 2)
    assert reaches(lab.host("a"), 2)
    # Also when the inventory is another by now.
    kept = keepers(lab)
    assert "changed=1" in ansible("ansible-playbook", "playbooks/lab_down.yml", hosts=["x", "y", "z"]).stdout
    assert_gone(lab, kept)
    assert "changed=0" in ansible("ansible-playbook", "playbooks/lab_down.yml").stdout


def test_the_connection_runs_modules_copies_files_and_survives_a_reboot(ansible, tmp_path):
    refused = ansible("ansible", "a", "-m", "ping", ok=False)
    assert (
        f"lab host a of lab {ansible.lab.name} is not running; make it with playbooks/lab.yml"
        in refused.stdout + refused.stderr
    )
    ansible.lab.make(["a", "b"], CABLE)
    shown = ansible("ansible", "all", "-m", "command", "-a", "env").stdout
    assert shown.count("HOME=/root\n") == 2 and "PATH=/usr/local/sbin:" in shown
    assert "LEAK" not in shown and "VIRTUAL_ENV" not in shown and ".venv" not in shown
    content = os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(content)
    ansible("ansible", "a", "-m", "copy", "-a", f"src={tmp_path}/sent dest=/root/file")
    ansible("ansible", "a", "-m", "reboot")
    ansible("ansible", "a", "-m", "fetch", "-a", f"src=/root/file dest={tmp_path}/back flat=yes")
    assert (tmp_path / "back").read_bytes() == content
    assert "cannot create" in ansible("ansible", "a", "-m", "raw", "-a", "echo x >/nonexistent/x", ok=False).stdout
    # A pid that another process has by now is not taken for the host.
    (ansible.lab.host("a").folder / "leader").write_text(f"{os.getpid()} 1.0\n", encoding="ascii")
    assert "is not running" in ansible("ansible", "a", "-m", "ping", ok=False).stdout
