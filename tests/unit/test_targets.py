# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a host is Python 3.8 with its standard library; ansible-test looks at the Python that it runs on alone."""

from __future__ import annotations

import ast
import pathlib
import sys

import pytest
import yaml

PLUGINS = pathlib.Path(__file__).resolve().parent.parent.parent / "plugins"
ON_TARGETS = sorted(path for folder in ("modules", "module_utils") for path in (PLUGINS / folder).rglob("*.py"))
# The tool's own binding, and what comes with Ansible.
BESIDES = {"ansible", "ansible_collections", "libvirt", "libvirt_qemu"}
# Standard library of Python 3.9 and newer.
NEWER = {
    "removeprefix",
    "removesuffix",
    "pairwise",
    "batched",
    "randbytes",
    "to_thread",
    "zoneinfo",
    "graphlib",
    "tomllib",
}


def test_every_module_is_looked_at():
    """A file that has moved into a folder is one of them, too."""
    public = set(
        yaml.safe_load((PLUGINS.parent / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]["fabric"]
    )
    assert public <= {path.stem for path in ON_TARGETS}
    private = {name for path in ON_TARGETS for name in private_imports(path)}
    assert private and {(PLUGINS / "module_utils" / name).with_suffix(".py") for name in private} <= set(ON_TARGETS)


def private_imports(path: pathlib.Path) -> list[str]:
    """The files of module_utils that a file imports, without their suffix; `from _room import file` names a file, too."""
    imports = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    found = []
    for node in imports:
        _plugins, private, name = (node.module or "").partition("plugins.module_utils")
        folder = name.strip(".").replace(".", "/")
        if private and (not folder or (PLUGINS / "module_utils" / folder).is_dir()):
            found += [f"{folder}/{alias.name}".lstrip("/") for alias in node.names]
        elif private:
            found.append(folder)
    return found


@pytest.mark.parametrize("path", ON_TARGETS, ids=lambda path: str(path.relative_to(PLUGINS)))
def test_a_module_needs_no_more_than_python_38(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
            if isinstance(node, ast.Attribute):
                assert node.attr not in NEWER, f"line {node.lineno}: {node.attr} is newer than Python 3.8"
        for name in names:
            top = name.partition(".")[0]
            assert top in BESIDES or top in sys.stdlib_module_names and top not in NEWER, (
                f"line {node.lineno}: {top} is not there on every host"
            )
