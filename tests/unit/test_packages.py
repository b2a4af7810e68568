# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every program that the sources start comes from a package that packages.txt declares."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.overloom.fabric.tests import packages
from ansible_collections.overloom.fabric.tests.unit import programs

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
DECLARED = {program for package in packages.declared() for program in package.programs}
# No packages, and why.
ELSEWHERE = {
    "ansible": "requirements.txt",
    "ansible-playbook": "requirements.txt",
    "{{ ansible_playbook_python }}": "runs Ansible",
    "others-fingerprint": "molecule/crowded/fingerprint.py",
}
# The names of programs that begin lists of other words here.
OTHER_WORDS = {"break", "cut", "init", "link", "linux", "n1", "never", "read", "red", "route", "setns", "tool", "vm1", "yes"}  # fmt: skip


# Sources whose programs run on the machine, and for which use it has the packages; those of the others run in a host as well.
ON_THE_MACHINE = {
    "tests/unit": "test",
    "tests/machines": "machines",
    "tests/run.py": "test",
    "tests/sanity.py": "test",
    "tests/integration/roots.py": "test",
    "plugins/modules/lab.py": "lab",
    "plugins/connection": "lab",
    "docs": "test",
    "tools": "test",
    "Makefile": "lab",
    ".ci": "lab",
}


def started() -> dict[str, dict[str, int]]:
    """By source, the programs that it starts and a line where it does."""
    names = programs.executables() | DECLARED
    python = [
        path
        for folder in ("plugins", "tests", "tools", "docs")
        for path in (CHECKOUT / folder).rglob("*.py")
        if path.name != pathlib.Path(__file__).name
    ]
    tasks = [path for folder in ("roles", "playbooks", "molecule") for path in (CHECKOUT / folder).rglob("*.yml")]
    found = {path: programs.in_python(path.read_text(encoding="utf-8"), names) for path in python}
    found.update({path: programs.in_tasks(path.read_text(encoding="utf-8")) for path in tasks})
    found.update(
        {
            path: programs.in_recipes(path.read_text(encoding="utf-8"))
            for path in (CHECKOUT / "Makefile", CHECKOUT / ".ci/run")
        }
    )
    return {str(path.relative_to(CHECKOUT)): found[path] for path in found}


STARTED = started()
ANYWHERE = {program for programs_there in STARTED.values() for program in programs_there}


def enough(source: str) -> set[str]:
    """The uses of which one must be a package's, for a program that this source starts."""
    uses = {use for place, use in ON_THE_MACHINE.items() if source == place or source.startswith(place + "/")}
    return {"base", "lab", *uses} if uses else {"base", "lab", "host", "test"}


@pytest.mark.parametrize("source", sorted(source for source in STARTED if STARTED[source]))
def test_every_program_that_is_started_is_declared(source):
    uses = enough(source)
    declared = (
        {program.rpartition("/")[2] for package in packages.of(*uses) for program in package.programs}
        | set(ELSEWHERE)
        | OTHER_WORDS
    )
    missing = {program: line for program, line in STARTED[source].items() if program.rpartition("/")[2] not in declared}
    assert not missing, (
        f"{source}: name the packages of these programs in packages.txt, with one of the uses {', '.join(sorted(uses))}"
    )


@pytest.mark.parametrize(
    "program",
    [
        "ovs-vsctl",
        "iperf3",
        "nft",
        "killall",
        "mmdebstrap",
        "vtysh",
        "virsh",
        "apt-get",
        "openssl",
        "ssh-keygen",
        "setpriv",
        "sysctl",
        "id",
    ],
)
def test_the_search_sees_programs_of_every_kind_of_source(program):
    assert program in ANYWHERE


@pytest.mark.parametrize("exception", sorted(OTHER_WORDS | set(ELSEWHERE)))
def test_no_exception_is_left_over(exception):
    # Another machine may have no program of this name.
    assert exception in ANYWHERE or exception not in programs.executables()


def test_a_program_has_one_package():
    seen = [program for package in packages.declared() for program in package.programs]
    assert sorted(seen) == sorted(set(seen))


def test_a_line_of_the_list_that_says_nothing_is_refused(monkeypatch, tmp_path):
    broken = tmp_path / "packages.txt"
    monkeypatch.setattr(packages, "DECLARED", broken)
    for line in ("iperf3", "iperf3 host", "iperf3 hosts iperf3"):
        broken.write_text(f"# a comment\n{line}\n", encoding="utf-8")
        with pytest.raises(ValueError, match="packages.txt:2: write PACKAGE USES PROGRAM"):
            packages.declared()
    broken.write_text("tool9? test tool9\n", encoding="utf-8")
    with pytest.raises(ValueError, match="packages.txt:1: only hosts can do without tool9"):
        packages.declared()


def test_a_package_that_some_releases_lack_is_a_pattern_for_apt(monkeypatch, tmp_path):
    listed = tmp_path / "packages.txt"
    monkeypatch.setattr(packages, "DECLARED", listed)
    listed.write_text("tool8 host tool8\ntool9? host tool9\n", encoding="utf-8")
    assert [(package.name, package.pattern) for package in packages.declared()] == [
        ("tool8", "tool8"),
        ("tool9", "?exact-name(tool9)"),
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('host.run(["iperf9", "-s"])', {"iperf9"}),
        ('runner(Step(("ovs-magic", "x")))', {"ovs-magic"}),
        ('host.run(["ip", "netns", "exec", "blue", "tool9", "x"])', {"ip", "tool9"}),
        ('host.run(inside(server, "tool9", "--x"))', {"tool9"}),
        ('host.run(["env", "A=1", "tool9"])', {"env", "tool9"}),
        ('host.run([python, "x"])', set()),
        ('argv = ["known", "-x"]', {"known"}),
        ('argv = ["known", *words]', {"known"}),
        ('words = ["known", "x"]', set()),
        ('words = ["unknown", "x"]', set()),
        ('SCRIPT = """\nimport subprocess\nsubprocess.run(["tool9"])\n"""', {"tool9"}),
    ],
)
def test_programs_in_python(source, expected):
    assert set(programs.in_python(source, {"known"})) == expected


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("ansible.builtin.command: {argv: [nft9, flush]}", {"nft9"}),
        ("ansible.builtin.command: nft9 flush", {"nft9"}),
        ("ansible.builtin.command: {cmd: nft9 flush}", {"nft9"}),
        ('ansible.builtin.command: {argv: "{{ item }}"}\n  loop: [[nft9, x], [iptables9, y]]', {"nft9", "iptables9"}),
        ("""ansible.builtin.command: {argv: "{{ ['a9', '-n'] + x if y else ['b9'] }}"}""", {"a9", "b9"}),
        ('ansible.builtin.command: {argv: ["{{ folder }}/tool9", x]}', {"tool9"}),
        ("block: [{ansible.builtin.command: {argv: [deep9]}}]", {"deep9"}),
        ("ansible.builtin.copy: {content: nft9}", set()),
    ],
)
def test_programs_in_tasks(task, expected):
    assert set(programs.in_tasks(f"- {task}\n")) == expected


def test_programs_in_recipes():
    text = '# comment tool0\nall: other\n\ttool1 x && tool2 | tool3\n\t@tool4 "tool0 $$x" || { tool5; }\nX := $(shell tool6 y)\n'
    assert set(programs.in_recipes(text)) == {f"tool{number}" for number in range(1, 7)}
