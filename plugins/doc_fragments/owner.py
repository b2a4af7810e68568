# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of modules that mark what they make, and remove nothing else."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  owner:
    description:
      - The mark that everything made by this module carries.
        Things that carry another mark, or none, are never removed. O(state=absent) of such a thing is an error, before anything changes.
      - The roles use the fabric's name, so that several fabrics can share a host.
    type: str
    default: overloom.fabric
  adopt:
    description:
      - Put the mark of O(owner) on declared things that exist already without it, or with another owner's.
        From then on they can be removed by O(state=absent) and O(purge).
      - What was there before is given back instead, with its former settings, and a warning. Only O(adopt=true) together with O(state=absent) removes it.
    type: bool
    default: false
  purge:
    description:
      - Remove what carries the mark of O(owner), was made by this module, and is not declared in this call.
    type: bool
    default: false
"""
