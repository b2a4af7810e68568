# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all tests: profiles of Hypothesis, and Ansible's own output."""

from __future__ import annotations

import os

import hypothesis
import pytest

# Tests read the recap, which the checkout's callback does not print.
os.environ["ANSIBLE_STDOUT_CALLBACK"] = "default"

# A short run (tests/run.py --short) takes the same cases each time, so that it judges a change by what it changes, and a quarter
# of them. Any other run draws new ones.
SHORT_PROFILE = "short"
SHARE_OF_CASES = 4
hypothesis.settings.register_profile(SHORT_PROFILE, derandomize=True, deadline=None)
# How long a case takes says more of the machine than of the code.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if hypothesis.settings.get_current_profile_name() != SHORT_PROFILE:
        return
    for item in items:
        test = getattr(item, "obj", None)
        if hypothesis.is_hypothesis_test(test):
            # Hypothesis has no public way to lower what a test itself says.
            said = getattr(test, "_hypothesis_internal_use_settings", None) or hypothesis.settings()
            cases = max(said.max_examples // SHARE_OF_CASES, 1)
            test._hypothesis_internal_use_settings = hypothesis.settings(said, max_examples=cases)
