# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plans for a domain and for a network share. This file is private to the collection."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import Mark, read_mark


class Defined(t.Protocol):
    """An object that libvirt knows."""

    @property
    def inactive(self) -> ET.Element:
        """Its definition."""


HereT = t.TypeVar("HereT", bound=Defined)


class Planned(t.Generic[HereT]):
    """One declared object and the one on the host, with what is told of it before and after."""

    def __init__(self, what: str, here: HereT | None) -> None:
        self.what, self.here = what, here
        self.old = Mark() if here is None else read_mark(here.inactive)
        self.before: dict[str, t.Any] = {}
        self.after: dict[str, t.Any] = {}

    def note(self, key: str, before: t.Any, after: t.Any) -> None:
        """For the diff."""
        self.before[key], self.after[key] = before, after

    @property
    def there(self) -> HereT:
        """The object on the host. LookupError for one that is to be made."""
        if self.here is None:
            raise LookupError(f"{self.what} is not there yet")
        return self.here
