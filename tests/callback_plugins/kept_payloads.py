# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In tests: what Ansible packs for hosts is kept from one run to the next.

Ansible packs each module with all that it imports once a run, which was nearly half of a controller's time in tests that run site.yml hundreds of times.
Its own folder for these packages becomes a link to one that stays as long as no file of the collection changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import sys

from ansible import __version__
from ansible import constants as C
from ansible.plugins.callback import CallbackBase

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("plugins/module_utils", "plugins/modules")
KEPT = CHECKOUT / "tests/output/payloads"
# Where module_common.py of ansible-core looks for them.
FOLDER = "ansiballz_cache"

DOCUMENTATION = """
name: kept_payloads
type: aggregate
short_description: Keeps what Ansible packs for hosts from one run to the next
description: For the tests of overloom.fabric.
"""


def version() -> str:
    """The state of all that a package may hold: the collection's sources, Ansible, Python."""
    digest = hashlib.sha256(f"{__version__} {sys.version}".encode())
    for folder in SOURCES:
        for path in sorted((CHECKOUT / folder).rglob("*.py")):
            digest.update(f"\0{path}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class CallbackModule(CallbackBase):
    """Has no output."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_payloads"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        folder = KEPT / version()
        folder.mkdir(parents=True, exist_ok=True)
        # There since another playbook of this run, or without it.
        with contextlib.suppress(FileExistsError):
            os.symlink(folder, f"{C.DEFAULT_LOCAL_TMP}/{FOLDER}")  # type: ignore[attr-defined]
