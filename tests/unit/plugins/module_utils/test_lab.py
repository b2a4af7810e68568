# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's comparison, on a model of the machine that takes its steps: from every state to every other, and to nothing."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._lab import lab as _lab
from ansible_collections.overloom.fabric.plugins.module_utils._lab.clean import Entry, Layer, clean_layer
from ansible_collections.overloom.fabric.plugins.module_utils._lab.state import (
    MARK,
    Found,
    HostFound,
    Wanted,
    lab_processes,
    machine,
)
from ansible_collections.overloom.fabric.plugins.module_utils._lab.steps import (
    Folder,
    PowerOff,
    PowerOn,
    Program,
    RemoveGroup,
    RemoveTree,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    FabricError,
    Remove,
    RemoveFolder,
    Step,
    Write,
)

FOLDER = "/run/overloom/labs/demo"
PARAMETERS = {
    "name": "demo",
    "hosts": ["a", "b"],
    "links": [],
    "root": "/",
    "storage": None,
    "binds": [],
    "mtu": 1500,
    "state": "present",
}


def wanted(**options: t.Any) -> Wanted:
    return _lab.wanted_lab({**PARAMETERS, **options})


# The interfaces of a network namespace.
Links = t.Dict[str, dict]


class Model:
    """A machine, as far as a lab goes; takes the steps and is found again.

    Of a network it knows each interface's group and master; the two ends of a cable have the same group.
    """

    def __init__(self, systemd: bool = False, others: int = 0) -> None:
        self.files: dict[str, str] = {}
        self.mounts: list[str] = []
        self.layer = self.program = self.storage = False
        self.nets: dict[str, Links] = {}
        self.power: dict[str, int] = {}
        self.pids = 100
        self.limits = {"fs.inotify.max_user_instances": 128, "net.ipv4.neigh.default.gc_thresh3": 1 << 20}
        self.systemd, self.others = systemd, others
        self.booted: list[str] = []
        self.pulled: list[str] = []

    # What is found.

    def found(self) -> Found:
        names = {path.split("/")[6] for path in [*self.files, *self.mounts] if path.startswith(FOLDER + "/hosts/")}
        record = self.files.get(f"{FOLDER}/lab.json")
        former = self.files.get("/run/overloom/limits.json")
        return Found(
            exists=any(path.startswith(FOLDER) for path in [*self.files, *self.mounts]),
            record=record and json.loads(record),
            hosts={name: self.host(name) for name in sorted(names | set(self.power))},
            switch=self.nets.get(f"{FOLDER}/switch"),
            switch_pids=(),
            mounts=tuple(self.mounts),
            layer=self.layer,
            entries=() if self.layer else (Entry("etc", "folder"),),
            supervisor_current=self.program,
            storage_exists=self.storage,
            leftovers=(),
            locks={},
            labs=(*(["other"] if self.others else []), *(["demo"] if f"{FOLDER}/lab.json" in self.files else [])),
            others=self.others,
            limits=dict(self.limits),
            former_limits=json.loads(former or "{}"),
            systemd=self.systemd,
            cgroups=("/sys/fs/cgroup",),
            python="/usr/bin/python3",
        )

    def host(self, name: str) -> HostFound:
        folder = f"{FOLDER}/hosts/{name}"
        net, pid = self.nets.get(f"{folder}/net"), self.power.get(name)
        return HostFound(
            pids=(pid,) if pid else (),
            supervisor=bool(pid),
            leader=pid,
            boot_seconds=1.0 if pid else None,
            definition=json.loads(self.files.get(f"{folder}/host.json", "null")),
            cables=tuple(json.loads(self.files.get(f"{folder}/cables.json", "[]"))),
            interfaces=None if net is None else {link: found["group"] for link, found in net.items()},
            mounted=f"{folder}/merged" in self.mounts,
            prepared=any(path.startswith(f"{FOLDER}/layers/{name}/upper/") for path in self.files),
        )

    # What steps do.

    def take(self, steps: t.Sequence[t.Any]) -> None:
        for step in steps:
            if isinstance(step, (RemoveGroup, RemoveFolder)):
                continue
            if isinstance(step, (Write, Remove, RemoveTree)):
                self.file(step)
            elif isinstance(step, Program):
                self.program = True
            elif isinstance(step, Folder):
                self.storage = self.storage or step.path == f"{FOLDER}/layers"
            elif isinstance(step, Layer):
                assert step.entries
                self.layer = True
            elif isinstance(step, PowerOn):
                name = step.path.rpartition("/")[2]
                assert (
                    name not in self.power
                    and f"{step.path}/merged" in self.mounts
                    and f"{step.path}/net" in self.mounts
                )
                self.pids += 1
                self.power[name] = self.pids
                self.booted.append(name)
            elif isinstance(step, PowerOff):
                assert step.pids == (self.power.pop(step.host),)
            else:
                assert isinstance(step, Step)
                self.command(list(step.argv))

    def command(self, argv: list[str]) -> None:
        net = None
        if argv[0] == "nsenter":
            net = self.nets[argv[1][len("--net=") :]]
            argv = argv[2:]
        if argv[0] == "ip":
            self.link(net, argv[2:])
        elif argv[0] == "ethtool":
            assert argv[1] == "-K" and argv[2] in net and argv[3:] == ["tx", "off"]
        else:
            commands = {
                "mount": self.mount,
                "umount": self.unmount,
                "unshare": self.make_net,
                "sysctl": self.set_limit,
                "rm": self.delete,
            }
            commands[argv[0]](argv)

    def mount(self, argv: list[str]) -> None:
        assert argv[-1] not in self.mounts
        self.mounts.append(argv[-1])

    def unmount(self, argv: list[str]) -> None:
        self.mounts.remove(argv[-1])
        if argv[-1] in self.nets:
            self.drop(argv[-1])

    def file(self, step: Write | Remove | RemoveTree) -> None:
        if isinstance(step, Write):
            self.files[step.path] = step.content
        elif isinstance(step, Remove):
            self.files.pop(step.path, None)
        else:
            for path in step.mounts:
                self.unmount([path])
            self.delete(["rm", "-rf", "--one-file-system", step.path])

    def make_net(self, argv: list[str]) -> None:
        path = argv[1][len("--net=") :]
        assert path in self.files and path not in self.mounts
        self.mounts.append(path)
        self.nets[path] = {}

    def set_limit(self, argv: list[str]) -> None:
        key, _equals, value = argv[-1].partition("=")
        if key in self.limits:
            self.limits[key] = int(value)

    def delete(self, argv: list[str]) -> None:
        assert argv[1] == "-rf"
        for path in argv[3:]:
            inside = re.compile(re.escape(path) + "(/|$)")
            assert not any(inside.match(mount) for mount in self.mounts)
            self.files = {name: text for name, text in self.files.items() if not inside.match(name)}
            if inside.match(f"{FOLDER}/layers"):
                self.layer = self.storage = self.program = False

    def link(self, net: Links | None, words: list[str]) -> None:
        """`ip link`. net: the interfaces of the namespace that it runs in."""
        if words[0] == "delete":
            self.pull(net.pop(words[2])["group"])
        elif words[0] == "set":
            assert words[1] == "dev" and words[3] == "master" and words[4] in net
            net[words[2]]["master"] = words[4]
        elif words[-4:] == ["type", "bridge", "mcast_snooping", "0"]:
            assert words[2] not in net
            net[words[2]] = {"group": "default", "master": None}
        else:
            near, far = " ".join(words[1:]).split(" type veth peer ")
            for end in (near.split(), far.split()):
                options = dict(zip(end[::2], end[1::2]))
                links = self.nets[options["netns"]] if "netns" in options else net
                assert options["name"] not in links
                links[options["name"]] = {"group": options["group"], "master": None}

    def pull(self, group: str) -> None:
        """One end of a cable is gone, and with it the other one."""
        if group != "default":
            self.pulled.append(group)
            self.drop_group(group)

    def drop_group(self, group: str) -> None:
        for links in self.nets.values():
            for name in [name for name, link in links.items() if link["group"] == group != "default"]:
                del links[name]

    def drop(self, path: str) -> None:
        """A namespace ends, and with each cable's end in it the other one."""
        for link in self.nets.pop(path).values():
            self.drop_group(link["group"])

    # What is asked.

    def converge(self, lab: Wanted) -> list:
        """Take the steps to the lab; the next comparison must find nothing to do."""
        self.booted, self.pulled = [], []
        steps = list(_lab.compare_lab(lab, self.found()).steps)
        self.take(steps)
        assert _lab.compare_lab(lab, self.found()).steps == []
        return steps

    def ends(self) -> dict[tuple[str, str], str]:
        """Which interface is at which end: a cable's ends share their group, a switch's ends their bridge."""
        switch = self.nets.get(f"{FOLDER}/switch", {})
        bridges = {link["group"]: link["master"] for link in switch.values() if link["master"]}
        return {
            (path.split("/")[6], name): bridges.get(link["group"], link["group"])
            for path, links in self.nets.items()
            if path.endswith("/net")
            for name, link in links.items()
        }


@st.composite
def labs(draw: st.DrawFn) -> dict[str, t.Any]:
    hosts = draw(st.lists(st.sampled_from("abcde"), unique=True, min_size=1))
    ends = draw(st.permutations([f"{host}:eth{number}" for host in hosts for number in (1, 2)]))
    links = []
    for size in draw(st.lists(st.sampled_from([2, 2, 3, 4]), max_size=4)):
        if len(ends) >= size:
            links.append(ends[:size])
            ends = ends[size:]
    return {"hosts": hosts, "links": links, "mtu": draw(st.sampled_from([1500, 1500, 1500, 9000]))}


def assert_wired(model: Model, lab: Wanted) -> None:
    """Each link joins its ends and no others, and there is no other interface."""
    ends = model.ends()
    assert set(ends) == {end for link in lab.links for end in link}
    joints = [{ends[end] for end in link} for link in lab.links]
    assert all(len(joint) == 1 for joint in joints)
    assert len(set().union(*joints)) == len(joints)
    assert set(model.power) == set(lab.hosts)


@settings(max_examples=400, deadline=None)
@given(labs(), labs(), st.booleans())
def test_from_every_lab_to_every_other_and_only_what_differs_is_touched(
    first: dict, second: dict, systemd: bool
) -> None:
    model = Model(systemd)
    before, after = wanted(**first), wanted(**second)
    model.converge(before)
    assert_wired(model, before)
    assert model.booted == list(before.hosts)
    model.converge(after)
    assert_wired(model, after)
    assert model.booted == [host for host in after.hosts if host not in before.hosts]
    if before.mtu == after.mtu:
        kept = {link for link in before.links if len(link) == 2} & {link for link in after.links if len(link) == 2}
        assert not {_lab.cable_group(after.mtu, *link) for link in kept} & set(model.pulled)


@settings(max_examples=200, deadline=None)
@given(labs(), st.data())
def test_whatever_is_damaged_is_repaired_and_the_rest_is_left_alone(options: dict, data: st.DataObject) -> None:
    model = Model()
    lab = wanted(**options)
    model.converge(lab)
    off = data.draw(st.sets(st.sampled_from(lab.hosts)))
    for host in off:
        del model.power[host]
    lost = data.draw(st.sets(st.sampled_from(lab.hosts), max_size=1))
    for host in lost:
        model.command(["umount", f"{FOLDER}/hosts/{host}/net"])
    every = [(path, name) for path, links in model.nets.items() for name in links]
    for path, name in data.draw(st.lists(st.sampled_from(every), max_size=2)) if every else []:
        if name in model.nets[path]:
            model.command(["nsenter", f"--net={path}", "ip", "link", "delete", "dev", name])
            if data.draw(st.booleans()):
                model.nets[path][name] = {"group": "default", "master": None}
    strange = data.draw(st.sampled_from(lab.hosts))
    net = model.nets.get(f"{FOLDER}/hosts/{strange}/net", {})
    net["of-the-host"] = {"group": "default", "master": None}
    model.converge(lab)
    assert set(model.booted) == off | lost
    net.pop("of-the-host")
    assert_wired(model, lab)


@settings(max_examples=200, deadline=None)
@given(labs(), st.data())
def test_a_run_that_ends_anywhere_is_finished_or_undone_by_the_next(options: dict, data: st.DataObject) -> None:
    model = Model(others=3)
    lab = wanted(**options)
    steps = _lab.compare_lab(lab, model.found()).steps
    model.take(steps[: data.draw(st.integers(0, len(steps)))])
    if data.draw(st.booleans()):
        model.converge(lab)
        assert_wired(model, lab)
        steps = _lab.compare_lab(wanted(state="absent"), model.found()).steps
        model.take(steps[: data.draw(st.integers(0, len(steps)))])
    model.converge(wanted(state="absent"))
    assert (
        model.files.keys() <= {"/run/overloom/limits.json"}
        and model.mounts == []
        and model.nets == {}
        and model.power == {}
    )


def test_a_new_end_of_a_switch_pulls_no_cable_and_takes_no_bridge_from_another() -> None:
    model = Model()
    model.converge(wanted(hosts=["a", "b", "c", "d"], links=[["a:e1", "b:e1", "c:e1"], ["a:e2", "b:e2", "c:e2"]]))
    steps = model.converge(
        wanted(hosts=["a", "b", "c", "d"], links=[["a:e2", "b:e2", "c:e2"], ["d:e1", "c:e1", "b:e1", "a:e1"]])
    )
    assert model.pulled == [] and model.booted == []
    # One cable is made, and one end of it plugged into the switch; no other is moved.
    assert [step.argv[-2:] for step in steps if isinstance(step, Step)][1:] == [("tx", "off"), ("s1", "up")]


def test_a_lab_that_was_made_otherwise_is_not_changed_but_refused() -> None:
    model = Model()
    model.converge(wanted())
    with pytest.raises(FabricError, match="made with root / and storage .*; remove it with state=absent before"):
        _lab.compare_lab(wanted(root="/srv/tree"), model.found())


INOTIFY, NEIGHBORS = "fs.inotify.max_user_instances", "net.ipv4.neigh.default.gc_thresh3"


@pytest.mark.parametrize(("hosts", "others", "limit"), [(2, 0, 128), (2, 1, 160), (20, 0, 704), (20, 20, 1344)])
def test_the_machines_limit_is_raised_as_far_as_needed_and_set_back_with_the_last_lab(
    hosts: int, others: int, limit: int
) -> None:
    model = Model(others=others)
    lab = wanted(hosts=[f"kvm{number}" for number in range(hosts)])
    change = _lab.compare_lab(lab, model.found())
    model.converge(lab)
    assert model.limits[INOTIFY] == limit
    # Nobody has to act on it, so it is no warning; the difference shows it.
    shown = (change.before.get("kernel"), change.after.get("kernel"), change.warnings)
    assert shown == (({INOTIFY: 128}, {INOTIFY: limit}, ()) if limit > 128 else (None, None, ()))
    # Fewer hosts need less, but the machine's owner may have counted on it meanwhile.
    model.converge(wanted(hosts=["kvm1"]))
    assert model.limits[INOTIFY] == limit
    model.converge(wanted(hosts=[f"kvm{number}" for number in range(100)]))
    assert model.limits[INOTIFY] == 64 + 32 * (100 + others)
    model.converge(wanted(state="absent"))
    assert model.limits[INOTIFY] == (64 + 32 * (100 + others) if others else 128)


def test_each_limit_is_raised_by_itself_and_remembered_from_before_the_first_lab() -> None:
    model = Model()
    model.limits[NEIGHBORS] = 1024
    model.converge(wanted(hosts=["a"]))
    assert model.limits == {INOTIFY: 128, NEIGHBORS: 4096}
    model.converge(wanted(hosts=["a", "b", "c"]))
    assert model.limits == {INOTIFY: 160, NEIGHBORS: 3 * 4096}
    model.converge(wanted(state="absent"))
    assert model.limits == {INOTIFY: 128, NEIGHBORS: 1024}


def test_a_limit_that_is_high_enough_is_left_alone() -> None:
    model = Model()
    before = {INOTIFY: 65536, NEIGHBORS: 1 << 20}
    model.limits = dict(before)
    model.converge(wanted(hosts=["a", "b", "c"]))
    assert "/run/overloom/limits.json" not in model.files
    model.converge(wanted(state="absent"))
    assert model.limits == before


def test_hosts_run_in_units_where_systemd_runs_the_machine_and_in_groups_of_their_own_elsewhere() -> None:
    for systemd in (True, False):
        model = Model(systemd)
        [power] = [
            step for step in _lab.compare_lab(wanted(hosts=["a"]), model.found()).steps if isinstance(step, PowerOn)
        ]
        assert (power.argv[0] == "/usr/bin/systemd-run") == systemd
        assert power.groups == (() if systemd else ("/sys/fs/cgroup/overloom-lab-demo.a",))


def test_no_two_hosts_of_any_labs_share_a_name_that_systemd_nspawn_takes() -> None:
    names = [
        machine(lab, host) for lab in ("a", "a-b", "a" * 32) for host in ("c", "b-c", "b.c", "c" * 63, "c" * 62 + "d")
    ]
    assert len(set(names)) == len(names) and all(len(name) <= 64 for name in names)
    # A removed lab takes what begins with its name and a dot, and nothing of a lab whose name begins likewise.
    assert all(name.startswith(f"{lab}.") for lab in ("a", "a-b") for name in [machine(lab, "c" * 63)])


@given(st.text(max_size=20))
def test_names_of_labs_hosts_and_interfaces_are_taken_as_they_are_or_refused(text: str) -> None:
    for options in ({"name": text}, {"hosts": ["a", text]}, {"hosts": ["a", "b"], "links": [["a:eth1", f"b:{text}"]]}):
        try:
            lab = wanted(**options)
        except FabricError as error:
            assert len(str(error).splitlines()) == 1
            continue
        assert (
            text.isascii()
            and not set(text) & set(" /\n\t\0:%")
            and not text.startswith("-")
            and text not in ("", ".", "..")
        )
        assert text in (lab.name, *lab.hosts, *(interface for link in lab.links for _host, interface in link))


def test_diff_tells_the_lab_before_and_after() -> None:
    model = Model()
    change = _lab.compare_lab(wanted(links=[["a:eth1", "b:eth1"]]), model.found())
    assert change.before == {"lab": "absent"}
    assert change.after == {
        "lab": "present",
        "hosts": {"a": "running", "b": "running"},
        "interfaces": ["a:eth1", "b:eth1"],
    }
    model.take(change.steps)
    del model.power["b"]
    again = _lab.compare_lab(wanted(links=[["a:eth1", "b:eth1"]]), model.found())
    assert again.before == {**change.after, "hosts": {"a": "running", "b": "off"}} and again.after == change.after
    gone = _lab.compare_lab(wanted(state="absent"), model.found())
    assert gone.after == {"lab": "absent"}


def test_the_machines_state_is_hidden_and_its_folders_stay_with_their_owners(tmp_path: t.Any) -> None:
    for path in (
        "etc/systemd/system/multi-user.target.wants",
        "var/log/openvswitch",
        "etc/frr",
        "root/.ssh",
        "usr/sbin",
        "etc/network",
        "etc/containers",
    ):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "var/log").chmod(0o2775)
    (tmp_path / "var/log/syslog").write_text("x")
    (tmp_path / "etc/systemd/system/multi-user.target.wants/x.service").symlink_to("/lib/systemd/system/x.service")
    (tmp_path / "usr/sbin/policy-rc.d").write_text("x")
    (tmp_path / "etc/network/interfaces").write_text("x")
    entries = {entry.path: entry for entry in clean_layer(str(tmp_path))}
    assert {path for path, entry in entries.items() if entry.kind == "opaque"} == {
        "etc/systemd/system",
        "var/log",
        "etc/frr",
        "root",
    }
    assert entries["var/log"].mode == 0o2775 and entries["var/log"].owner == (
        (tmp_path / "var/log").stat().st_uid,
        (tmp_path / "var/log").stat().st_gid,
    )
    assert entries["var/log/openvswitch"].kind == "folder" and entries["usr/sbin/policy-rc.d"].kind == "hole"
    assert entries["etc/network/interfaces"].content == "auto lo\niface lo inet loopback\n"
    assert 'driver = "vfs"' in entries["etc/containers/storage.conf"].content
    assert entries["etc/systemd/system/getty.target"].content == "/dev/null"
    # Nothing of what was in the emptied folders, and nothing of folders that the root does not have.
    assert not {
        "var/log/syslog",
        "root/.ssh",
        "etc/systemd/system/multi-user.target.wants/x.service",
        "etc/openvswitch",
        "etc/fstab",
    } & set(entries)
    # Each folder comes before what is in it.
    order = list(entries)
    assert all(order.index(path.rpartition("/")[0]) < number for number, path in enumerate(order) if "/" in path)


def test_a_second_inventory_with_the_same_name_takes_no_host_of_the_first_one() -> None:
    model = Model()
    model.take(_lab.compare_lab(wanted(inventory="/inventories/one"), model.found()).steps)
    hosts = dict(model.power)
    for options in ({"hosts": ["x"]}, {"state": "absent"}):
        with pytest.raises(
            FabricError,
            match="belongs to the inventory in /inventories/one, not to that in /inventories/two; give this one another",
        ):
            _lab.compare_lab(wanted(inventory="/inventories/two", **options), model.found())
    assert model.power == hosts
    for inventory in ("/inventories/one", None):
        assert not _lab.compare_lab(wanted(inventory=inventory), model.found()).steps
    model.take(_lab.compare_lab(wanted(inventory="/inventories/one", state="absent"), model.found()).steps)
    assert not model.power


def test_a_process_that_starts_another_program_keeps_its_mark(tmp_path: pathlib.Path) -> None:
    again = tmp_path / "again.sh"
    done = tmp_path / "done"
    # It does not end by itself: of a process that is ending, the environment goes before the process does.
    again.write_text('[ "$1" = 0 ] && : >"$2" && exec sleep 60\nexec sh "$0" $(($1 - 1)) "$2"\n', encoding="utf-8")
    environment = {MARK: "demo/a", "PATH": "/usr/bin:/bin"}
    seen = set()
    with subprocess.Popen(["sh", str(again), "1500", str(done)], env=environment) as process:
        try:
            while not done.exists():
                assert process.poll() is None
                seen.add(tuple(lab_processes("demo")))
        finally:
            process.kill()
    assert seen == {("a",)}
    with subprocess.Popen(["sleep", "60"], env={}) as bare:
        try:
            assert lab_processes("demo") == {}
        finally:
            bare.kill()
