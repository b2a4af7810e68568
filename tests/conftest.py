# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for all tests: profiles of Hypothesis, and Ansible's own output."""

import os

import hypothesis

# Tests read the recap, which the checkout's callback does not print.
os.environ["ANSIBLE_STDOUT_CALLBACK"] = "default"

# The same cases in each run, so that CI judges a change by what it changes; any other run draws new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True)
