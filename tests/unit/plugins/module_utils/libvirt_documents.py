# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of libvirt's documents share: libvirt's own schemas, and options as a module hands them over."""

from __future__ import annotations

import functools
import pathlib
import typing as t
import xml.etree.ElementTree as ET

from lxml import etree

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import to_xml

SCHEMAS = pathlib.Path("/usr/share/libvirt/schemas")


@functools.lru_cache(maxsize=None)
def schema(name: str) -> etree.RelaxNG:
    """libvirt's own schema."""
    return etree.RelaxNG(etree.parse(str(SCHEMAS / f"{name}.rng")))


def assert_valid(root: ET.Element, name: str = "domain") -> None:
    """The document is valid by libvirt's schema."""
    text = to_xml(root, secret=True)
    relax = schema(name)
    assert relax.validate(etree.fromstring(text)), f"{relax.error_log}\n{text}"


def filled(spec: t.Mapping[str, t.Any], values: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """An item as AnsibleModule hands it over: each option there, suboptions too."""
    result: dict[str, t.Any] = {}
    for key, rule in spec.items():
        value = values.get(key, rule.get("default"))
        if value is not None and "options" in rule:
            value = (
                filled(rule["options"], value)
                if isinstance(value, dict)
                else [filled(rule["options"], entry) for entry in value]
            )
        result[key] = value
    assert not set(values) - set(spec), set(values) - set(spec)
    return result
