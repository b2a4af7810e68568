# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tarball holds the collection and nothing of its user."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tarfile

import pytest

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# Files that a person has in a checkout.
OWN = (
    "inventory/mine/hosts.yml",
    "inventory/mine/group_vars/all.yml",
    "inventory/lab/host_vars/kvm1.yml",
    "inventory/example/key.pem",
    "molecule/ospf/reports/verify.json",
    "reports/verify.json",
    "tests/output/unit.log",
    "group_vars/all.yml",
    "secrets.yml",
    "id_ed25519",
    "notes/hosts.md",
    "playbooks/mine.yml",
    "playbooks/group_vars/all.yml",
    "roles/mine.yml",
    "roles/kvm_host/files/id_rsa",
    "docs/hosts.xlsx",
    ".vault_pass",
    ".env",
    "plugins/modules/__pycache__/x.pyc",
    ".ansible/facts/kvm1",
)
# Of which ansible-galaxy's own command in a checkout takes these, as galaxy.yml can only name what it is to leave out.
TAKEN_BY_GALAXY = {
    name
    for name in OWN
    if name.split("/", maxsplit=1)[0] in ("secrets.yml", "id_ed25519", "notes", "playbooks", "roles", "docs")
}
SECRET = "planted by a test"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout with files of its user."""
    copy = tmp_path_factory.mktemp("build") / "checkout"
    left_out = shutil.ignore_patterns(
        ".venv",
        ".git",
        "output",
        "__pycache__",
        ".hypothesis",
        ".ansible",
        ".collections",
        "reports",
        ".mypy_cache",
        ".ruff_cache",
    )
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=left_out)
    for name in OWN:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(SECRET, encoding="utf-8")
    return copy


def contents(tarball: pathlib.Path) -> dict[str, bytes]:
    with tarfile.open(tarball) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}


def test_the_tarball_holds_the_collection_and_nothing_of_its_user(checkout, tmp_path):
    subprocess.run([sys.executable, "tools/build.py", str(tmp_path)], cwd=checkout, check=True, capture_output=True)
    held = contents(next(tmp_path.glob("overloom-fabric-*.tar.gz")))
    assert not [
        name for name, data in held.items() if SECRET.encode() in data and name not in ("tests/unit/test_build.py",)
    ]
    assert not set(OWN) & set(held)
    assert {
        "README.md",
        "COPYING",
        "meta/runtime.yml",
        "plugins/modules/ovs_bridge.py",
        "roles/kvm_host/tasks/main.yml",
        "playbooks/site.yml",
    } <= set(held)
    assert "inventory/lab/hosts.yml" not in held


def test_every_file_of_the_collection_is_in_the_tarball():
    """What git tracks in the folders that Ansible reads is allowed, so that no new kind of file is forgotten."""
    spec = importlib.util.spec_from_file_location("build_tool", CHECKOUT / "tools/build.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    done = subprocess.run(
        ["git", "ls-files", "plugins", "roles", "playbooks", "meta", "docs"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    tracked = set(done.stdout.split())
    assert len(tracked) > 150
    assert not tracked - {str(path) for path in tool.files(CHECKOUT)}


def test_the_command_of_galaxy_leaves_out_where_people_keep_their_own(checkout, tmp_path):
    tool = pathlib.Path(sys.executable).parent / "ansible-galaxy"
    subprocess.run(
        [str(tool), "collection", "build", "--output-path", str(tmp_path)],
        cwd=checkout,
        check=True,
        capture_output=True,
    )
    held = contents(next(tmp_path.glob("overloom-fabric-*.tar.gz")))
    assert set(OWN) & set(held) == TAKEN_BY_GALAXY
