# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block of YAML in README.md and the guides is in the inventory that the guide's scenario builds, or makes a plan on top of it.

The examples of docs/intent.md have tests of their own: test_intent_docs.py and tests/integration/test_intent_examples.py.
"""

from __future__ import annotations

import copy
import pathlib
import re
import textwrap
import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests import guides
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, SPEC, inventory

OURS = "overloom.fabric."
# By page and first word, where a block is run that is neither an intent nor tasks.
ELSEWHERE = {("docs/management.md", "fabric_underlay_interface"): "tests/integration/test_site_management.py"}
# What stands for something of the reader's own, and has no plan.
PLACEHOLDER = "…"
# What a block is a part of, by its first word.
PART_OF = {
    "guest": lambda value: {"fabric_endpoints": [{"name": "leaf1", "guest": stated(value["guest"])}]},
    "forwards": lambda value: {
        "fabric_edges": [
            {"name": "acme", "forwards": [{"to": None, "to_port": None, **one} for one in value["forwards"]]}
        ]
    },
}
# What the words above a block say of the rest, by its first word.
BESIDE = {
    "fabric_links": {
        "fabric_segments": [{"name": "wan", "subnet6": "2001:db8:9::/64"}],
        "fabric_edges": [
            {"name": "acme", "legs": [{"segment": "wan", "address": "10.9.0.9", "address6": "2001:db8:9::9"}]}
        ],
    }
}
# Variables of one host; the others are the same on all.
OF_ONE = ("fabric_endpoints", "fabric_flows", "fabric_router", "fabric_bgp")


def stated(value: dict[str, t.Any]) -> dict[str, t.Any]:
    """What is no placeholder."""
    return {key: one for key, one in value.items() if PLACEHOLDER not in str(one)}


class Data(t.NamedTuple):
    """A block of YAML."""

    page: str
    line: int
    value: t.Any


def read(page: str) -> list[Data]:
    """The blocks of a page; blocks that follow each other without a word between them are one."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    found: list[Data] = []
    end = -1
    for match in re.finditer(r"^```yaml\n(.*?)^```\n", text, re.MULTILINE | re.DOTALL):
        value = yaml.safe_load(textwrap.dedent(re.sub(r"\{\{ vault_\w+ \}\}", "secret", match[1])))
        if found and not text[end : match.start()].strip():
            found[-1] = found[-1]._replace(value={**found[-1].value, **value})
        else:
            found.append(Data(page, text.count("\n", 0, match.start()) + 1, value))
        end = match.end()
    return found


BLOCKS = [block for page in guides.pages() if page not in ("README.md", "docs/intent.md") for block in read(page)]
TASKS = [block for block in BLOCKS if isinstance(block.value, list)]
INTENTS = [block for block in BLOCKS if block not in TASKS and (block.page, next(iter(block.value))) not in ELSEWHERE]


def of(block: Data) -> str:
    return f"{block.page}:{block.line}"


def within(part: t.Any, whole: t.Any) -> bool:
    """Whether all that a block says is said there, in whatever order, perhaps beside more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and within(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(within(one, other) for other in whole) for one in part)
    return part == whole


def anywhere(part: t.Any, whole: t.Any) -> bool:
    """Whether it is said there or in something that it holds."""
    inner = whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ()
    return within(part, whole) or any(anywhere(part, one) for one in inner)


def merged(old: t.Any, new: t.Any) -> t.Any:
    """What a reader makes of both: of items with one name, or one segment, the new one's words count, others come on top."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}
    if not (isinstance(old, list) and all(isinstance(one, dict) for one in (*old, *(new or ())))):
        return new
    found = list(old)
    for item in new:
        place = next((n for n, one in enumerate(found) if within(item, one) or _same(item, one)), None)
        if place is None:
            found.append(item)
        else:
            found[place] = merged(found[place], item)
    return found


def _same(one: dict[str, t.Any], other: dict[str, t.Any]) -> bool:
    key = next((key for key in ("name", "segment") if key in one), None)
    return key is not None and one[key] == other.get(key)


def files_of(page: str) -> list[t.Any]:
    """What the inventory of a guide says."""
    paths = sorted((CHECKOUT / "inventory" / pathlib.Path(page).stem).rglob("*.yml"))
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths]


def host_of(name: str, value: t.Any, hosts: dict[str, t.Any]) -> str:
    """The host whose variable it is: that which has such an endpoint, or the first."""
    names = {one.get("name") for one in value} if isinstance(value, list) else set()
    having = (host for host, given in hosts.items() if names & {one.get("name") for one in given.get(name, ())})
    return next(having, next(iter(hosts)))


class Reader:
    """Has the inventory of a guide, and adds to it what the guide's blocks say."""

    def __init__(self, page: str) -> None:
        self.hosts, self.routers, groups = inventory(pathlib.Path(page).stem)
        self.central = list(groups.get("ovn_central", ()))

    def add(self, change: dict[str, t.Any]) -> None:
        """Add variables or groups of hosts."""
        for group in change.keys() & {"routers", "kvm_hosts"}:
            known = self.routers if group == "routers" else self.hosts
            for host, own in change[group]["hosts"].items():
                shared = {name: value for name, value in next(iter(self.hosts.values())).items() if name not in OF_ONE}
                known[host] = {**known.get(host, copy.deepcopy(shared)), **(own or {})}
        for name, value in change.items():
            if name.startswith("fabric_"):
                self._add(name, value)

    def _add(self, name: str, value: t.Any) -> None:
        everywhere = name not in OF_ONE or (isinstance(value, list) and any("host" in one for one in value))
        targets = {**self.hosts, **self.routers}
        for host in targets if everywhere else [host_of(name, value, self.hosts)]:
            targets[host][name] = merged(targets[host].get(name), value)

    def plan(self) -> dict[str, t.Any]:
        """The plan of it all."""
        return compile_plan(self.hosts, SPEC, routers=self.routers or None, central=self.central)


def new(block: Data) -> dict[str, t.Any]:
    """What a block says and the guide's inventory does not."""
    first = next(iter(block.value))
    value = PART_OF[first](block.value) if first in PART_OF else block.value
    files = files_of(block.page)
    return {key: one for key, one in value.items() if not any(anywhere({key: one}, file) for file in files)}


def test_the_blocks_are_found_and_many_are_built_as_they_stand():
    assert len(INTENTS) > 25 and len(TASKS) > 3
    assert sum(not new(block) for block in INTENTS if block.page != "docs/import.md") > 12


@pytest.mark.parametrize("block", [block for block in INTENTS if block.page != "docs/import.md"], ids=of)
def test_an_intent_is_built_by_the_scenario_or_makes_a_plan_on_top_of_it(block):
    change = new(block)
    reader = Reader(block.page)
    if change:
        reader.add({**BESIDE.get(next(iter(change)), {}), **change})
    assert reader.plan()["fabric"]


def test_what_an_import_writes_makes_a_plan():
    (block,) = [block for block in INTENTS if block.page == "docs/import.md"]
    shared = {name: value for name, value in block.value.items() if name != "all"}
    own = block.value["all"]["children"]["kvm_hosts"]["hosts"]["kvm1"]
    other = {"fabric_tep_address": "192.168.200.21", "fabric_underlay_interface": "eth1"}
    plan = compile_plan({"kvm1": {**shared, **own}, "kvm2": {**shared, **other}}, SPEC)
    assert [tunnel["name"] for tunnel in plan["hosts"]["kvm1"]["tunnels"]] == ["gre0"]


@pytest.mark.parametrize("key", ELSEWHERE, ids="-".join)
def test_what_is_run_elsewhere_is_there(key):
    (block,) = [block for block in BLOCKS if (block.page, next(iter(block.value), None)) == key]
    text = (CHECKOUT / ELSEWHERE[key]).read_text(encoding="utf-8")
    assert list(block.value)[-1] in text


def tasks_of(value: list[dict[str, t.Any]]) -> list[dict[str, t.Any]]:
    """The tasks of a block, be they in plays or not."""
    return [task for one in value for task in one.get("tasks", [one])]


def arguments(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """An argument specification of documented options."""
    known = ("type", "elements", "required", "choices", "default", "aliases")
    found = {}
    for name, option in options.items():
        found[name] = {key: option[key] for key in known if key in option}
        inner = option.get("suboptions") or option.get("options")
        if inner:
            found[name]["options"] = arguments(inner)
    return found


def documented(task: dict[str, t.Any]) -> tuple[dict[str, t.Any], dict[str, t.Any]] | None:
    """The specification of a task's module or role of the collection, and what it is given."""
    included = task.get("ansible.builtin.include_role")
    if included:
        folder = CHECKOUT / "roles" / included["name"][len(OURS) :] / "meta/argument_specs.yml"
        entries = yaml.safe_load(folder.read_text(encoding="utf-8"))["argument_specs"]
        entry = included.get("tasks_from", "main.yml").rpartition(".")[0]
        return arguments(entries[entry]["options"]), task.get("vars", {})
    name = next((key for key in task if key.startswith(OURS)), None)
    if name is None:
        return None
    text = (CHECKOUT / f"plugins/modules/{name[len(OURS) :]}.py").read_text(encoding="utf-8")
    documentation = yaml.safe_load(re.search(r'DOCUMENTATION = r?"""(.*?)"""', text, re.DOTALL)[1])
    return arguments(documentation["options"]), task[name] or {}


@pytest.mark.parametrize("block", TASKS, ids=of)
def test_tasks_have_options_that_there_are(block):
    checked = [found for found in map(documented, tasks_of(block.value)) if found]
    assert checked
    for options, given in checked:
        templated = {key: value for key, value in given.items() if "{{" not in str(value)}
        result = ArgumentSpecValidator({**options, "owner": {"type": "str"}}).validate(templated)
        assert not result.error_messages


def test_the_readme_shows_the_default_inventory():
    """Two files side by side; `...` stands for what is left out of a line."""
    (body,) = re.findall(r"```yaml\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    heads, *rows = body.splitlines()
    middle = heads.index("# inventory", 1)
    for head, lines in zip(
        (heads[:middle], heads[middle:]), ([row[:middle] for row in rows], [row[middle:] for row in rows])
    ):
        there = (CHECKOUT / head.strip("# ")).read_text(encoding="utf-8").splitlines()
        for line in filter(str.strip, lines):
            pattern = ".*".join(map(re.escape, re.split(r" ?\.{3}", line.rstrip())))
            assert any(re.fullmatch(pattern, one) for one in there), f"{head.strip()}: {line}"
