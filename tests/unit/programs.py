# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the programs that sources start, by reading them: Python by its syntax tree, Ansible's YAML, and make's recipes.

A program is found where it is started as these sources do it: as the first word of an argument list, in Python also of one that
is built elsewhere than where it is run, if the word is the name of a program. What a program is given as its own arguments
is seen where it starts another one (`ip netns exec`, `env`, `nsenter`).
"""

from __future__ import annotations

import ast
import os
import re
import typing as t

import yaml

# Functions that take an argument list, or its words one by one.
STARTERS = {
    "as_root", "call", "check_call", "check_output", "command", "execute", "inside", "on", "Popen", "privileged", "run", "run_command", "runner",
    "start", "Step", "try_on",
}  # fmt: skip
# Of these, the first argument is the place.
PLACED = {"inside", "on", "try_on"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAME = re.compile(r"/?[a-z][A-Za-z0-9_.+/-]*")
# Words of make and of the shell itself.
SHELL = {
    "call",
    "cd",
    "command",
    "define",
    "done",
    "echo",
    "endef",
    "exit",
    "if",
    "make",
    "printf",
    "read",
    "set",
    "strip",
    "while",
}
COMMAND_MODULES = ("ansible.builtin.command", "ansible.builtin.shell", "command", "shell")


def executables() -> set[str]:
    """The programs of this machine."""
    return {name for folder in PATH.split(":") if os.path.isdir(folder) for name in os.listdir(folder)}


def program_of(words: t.Sequence[str | None]) -> t.Iterator[str]:
    """The programs of an argument list; a word that is not known is None."""
    words = list(words)
    if not words or words[0] is None:
        return
    yield words[0]
    tool = os.path.basename(words[0])
    if tool == "ip" and "exec" in words[:5]:
        yield from program_of(words[words.index("exec") + 2 :])
    elif tool in ("env", "nsenter", "chroot", "setsid", "stdbuf", "timeout", "unshare", "systemd-run"):
        inner = [word for word in words[1:] if word is None or not word.startswith("-") and "=" not in word]
        # chroot and timeout have an argument of their own in front.
        yield from program_of(inner[tool in ("chroot", "timeout") :])


def in_python(text: str, names: t.Collection[str]) -> dict[str, int]:
    """Each program that a Python source starts, with a line where it does. names: words that are programs wherever a list begins with them."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(text)):
        line = getattr(node, "lineno", 0)
        if isinstance(node, (ast.List, ast.Tuple)) and _is_like_arguments(node.elts):
            for program in program_of(_words(node.elts)):
                if program in names:
                    found.setdefault(program, line)
        elif isinstance(node, ast.Call) and _name(node.func) in STARTERS:
            for program in _started(node):
                found.setdefault(program, line)
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.search(r"^ *import ", node.value, re.MULTILINE)
        ):
            # A script that is run elsewhere.
            found.update(dict.fromkeys(_in_script(node.value, names), line))
    return found


def _in_script(text: str, names: t.Collection[str]) -> t.Collection[str]:
    try:
        return in_python(text.replace("{{", "{").replace("}}", "}"), names)
    except SyntaxError:
        return ()


def _is_like_arguments(elements: list[ast.expr]) -> bool:
    """Whether a list is no mere enumeration of words: it has an option, or something that is not written out."""
    words = _words(elements)
    return None in words or any(word.startswith("-") for word in words if word)


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr.lstrip("_")
    return function.id.lstrip("_") if isinstance(function, ast.Name) else ""


def _words(elements: t.Iterable[ast.expr]) -> list[str | None]:
    return [
        element.value if isinstance(element, ast.Constant) and isinstance(element.value, str) else None
        for element in elements
    ]


def _started(call: ast.Call) -> t.Iterator[str]:
    """The programs of a call: of a list among its arguments, or of arguments that are words."""
    for argument in call.args:
        # [*prefix, "tool"] and prefix + ["tool"] start what the prefix says.
        if isinstance(argument, (ast.List, ast.Tuple)):
            yield from (word for word in program_of(_words(argument.elts)) if NAME.fullmatch(word))
    words = _words(call.args)[_name(call.func) in PLACED :]
    if len(words) > 1:
        yield from (word for word in program_of(words) if NAME.fullmatch(word))


def in_tasks(text: str) -> dict[str, int]:
    """Each program that a file of tasks or plays starts."""
    found: dict[str, int] = {}
    for lookup in re.findall(r"lookup\('ansible\.builtin\.pipe', '(\S+)", text):
        found[lookup] = 0
    for node in _nodes(yaml.safe_load(text)):
        for module in COMMAND_MODULES:
            if module in node and isinstance(node, dict):
                found.update(dict.fromkeys(_of_task(node, node[module]), 0))
    return found


def _nodes(value: t.Any) -> t.Iterator[t.Any]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _of_task(task: dict[str, t.Any], given: t.Any) -> t.Iterator[str]:
    if isinstance(given, dict):
        given = given.get("argv", given.get("cmd"))
    if given is None:
        # An option of that name, in a role's specification.
        return
    if isinstance(given, str) and given.startswith("{{ ["):
        # A list by Jinja: every list in it may be the one.
        yield from re.findall(r"\['([a-z][^']*)'", given)
        return
    lists = [given.split() if isinstance(given, str) else given]
    if lists[0] == ["{{", "item", "}}"]:
        lists = task["loop"]
    for words in lists:
        # In a folder that the distribution has.
        yield from program_of([re.sub(r"^\{\{.*\}\}/", "", str(word)) for word in words])


def in_recipes(text: str) -> dict[str, int]:
    """Each program that a makefile or a shell script starts: the first word of each command."""
    found: dict[str, int] = {}
    text = text.replace("\\\n", " ")
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#") or not (
            line.startswith(("\t", "@", "[", "missing", "  "))
            or "$(shell" in line
            or ":" not in line
            and "=" not in line
        ):
            continue
        bare = re.sub(r"'[^']*'|\"(?:[^\"$]|\$\$[a-z{]|\$\(strip \$\(2\)\))*\"|\s#.*", " '' ", line)
        for command in re.split(r"\$\(shell|\$\$\(|&&|\|\||[|;{}(]|\bdo\b|\bthen\b", bare):
            words = [word for word in command.replace("@", " ").split() if "=" not in word and not word.startswith("$")]
            if words and NAME.fullmatch(words[0]) and words[0] not in SHELL:
                found.setdefault(words[0], number)
    return found
