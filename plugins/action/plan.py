# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of the fabric: collects the variables of all hosts, and hands them to the pure library."""

from __future__ import annotations

import os
import re
import typing as t

import yaml
from ansible.errors import AnsibleError
from ansible.utils.display import Display

from ansible_collections.overloom.fabric.plugins.plugin_utils._controller import ControllerAction, failed
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import outputs
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan, intent_secrets
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.placement import place, prepared
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.tables import render

try:
    import jmespath
except ImportError:
    jmespath = None

# The groups whose hosts are the fabric.
GROUPS = ("kvm_hosts", "routers")
# The hosts of OVN's databases.
CENTRAL = "ovn_central"
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.S)
_ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "roles")


class ActionModule(ControllerAction):
    """Runs on the controller; no host is touched, so check mode is the same."""

    ARGUMENTS = {
        "query": {"type": "str"},
        "guests": {"type": "dict"},
        **{name: {"type": "bool", "default": False} for name in ("refuse", "secrets", "show")},
    }

    def act(self, options: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            if options["secrets"]:
                hosts, routers, _others = _variables(variables)
                return {"secrets": intent_secrets(hosts, specification("plan"), routers)}
            plan, misplaced = _compiled(variables, options["guests"])
            if options["refuse"] and misplaced:
                return failed("\n".join(["No host was changed.", *misplaced]))
            for sentence in misplaced:
                Display().warning(sentence)
            part = _select(plan, options["query"]) if options["query"] else plan
        except PlanError as error:
            return failed(_told(error.problems))
        if options["show"]:
            Display().display("\n" + (_as_yaml(part) if options["query"] else render(plan)))
        return {"plan": part}


def _compiled(task_vars: dict[str, t.Any], guests: dict[str, t.Any] | None) -> tuple[dict[str, t.Any], list[str]]:
    """The plan of the inventory, with what it gives its user, and what is wrong with the places of guests.

    guests: what libvirt has on each host; None when nobody has looked.
    """
    hosts, routers, others = _variables(task_vars)
    lab = [name for name in specification("lab") if name.startswith("lab_")]
    central = sorted(map(str, task_vars["groups"].get(CENTRAL, ())))
    intent = (hosts, specification("plan"), others, lab, routers, central)
    plan, problems = compile_plan(*intent), []
    if guests is not None:
        found = place(plan, guests)
        problems = found.problems
        plan = prepared(compile_plan(*intent, found.places) if found.places else plan, plan, found.moves)
    plan["outputs"] = outputs(plan)
    return plan, problems


def _told(problems: list[str]) -> str:
    """All errors as one readable message."""
    if len(problems) == 1:
        return f"The intent has an error; no host was touched. {problems[0]}"
    listed = "\n".join(f"{i}. {problem}" for i, problem in enumerate(problems, 1))
    return f"The intent has {len(problems)} errors; no host was touched.\n{listed}"


def _select(plan: dict[str, t.Any], query: str) -> t.Any:
    """The part of the plan that a JMESPath expression selects."""
    if jmespath is None:
        raise PlanError(
            ["query needs the Python library jmespath on the controller; install it with: pip install jmespath."]
        )
    try:
        return jmespath.search(query, plan)
    except jmespath.exceptions.JMESPathError as error:
        raise PlanError([f"query {query!r} is no JMESPath expression: {str(error).splitlines()[0]}"]) from error


def _as_yaml(part: t.Any) -> str:
    """A part of the plan as a person reads it."""
    if isinstance(part, (str, int)):
        return f"{part}\n"
    return yaml.safe_dump(part, sort_keys=False, allow_unicode=True)


def specification(role: str) -> dict[str, t.Any]:
    """The variables that a role's argument specification declares for whichever of its entry points, but for the plan itself."""
    path = os.path.join(_ROLES, role, "meta", "argument_specs.yml")
    with open(path, encoding="utf-8") as stream:
        entries = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["argument_specs"]
    declared = {name: option for entry in entries.values() for name, option in entry.get("options", {}).items()}
    declared.pop("fabric_plan", None)
    return declared


Variables = t.Dict[str, t.Dict[str, t.Any]]


def _variables(task_vars: dict[str, t.Any]) -> tuple[Variables, Variables, Variables]:
    """The fabric's and the lab's variables of the fabric's KVM hosts, of its other routers, and of all others, with templates resolved.

    `groups` and `hostvars` know all hosts of the inventory, whatever --limit says.
    """
    groups, hostvars = task_vars["groups"], task_vars["hostvars"]
    kvm_hosts, fabric_routers = (set(groups.get(group, ())) for group in GROUPS)
    hosts: Variables = {}
    routers: Variables = {}
    others: Variables = {}
    problems = []
    for name in map(str, groups["all"]):
        variables = hostvars[name]
        values = {}
        for variable in sorted(variables):
            if not variable.startswith(("fabric_", "lab_")) or variable in _computed(hostvars, name):
                continue
            try:
                values[str(variable)] = plain(variables[variable])
            except AnsibleError as error:
                problems.append(f"{name}: {variable} has a template that fails: {str(error).splitlines()[0]}")
                continue
            # Before ansible-core 2.19, one with an undefined variable stays as text, which could become a key.
            problems += [f"{name}: {left}" for left in _templates(values[variable], variable)]
        (hosts if name in kvm_hosts else routers if name in fabric_routers else others)[name] = values
    if problems:
        raise PlanError(problems)
    return hosts, routers, others


def _computed(hostvars: t.Any, name: str) -> t.Collection[str]:
    """The variables that tasks of this run registered or set, which are nobody's intent."""
    manager = getattr(hostvars, "_variable_manager", None)
    return getattr(manager, "_nonpersistent_fact_cache", {}).get(name, ())


def _templates(value: t.Any, place: str) -> t.Iterator[str]:
    """A sentence for each string that still holds a template."""
    if isinstance(value, str):
        found = _TEMPLATE.search(value)
        if found:
            yield f"{place} has a template that fails: {found.group()} stays as text; define the variables that it names."
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _templates(key, f"{place}: a key")
            yield from _templates(item, f"{place}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _templates(item, f"{place}[{number}]")


def plain(value: t.Any) -> t.Any:
    """Data without Ansible's own types (tags, trust, lazy templates), of which the library knows nothing."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return str(value)
