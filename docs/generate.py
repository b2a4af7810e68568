# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the generated parts of the documentation anew: the reference in docs/intent.md, from the role's argument specification."""

from __future__ import annotations

import pathlib
import re
import typing as t

import yaml

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
SPEC = CHECKOUT / "roles/plan/meta/argument_specs.yml"
PAGE = CHECKOUT / "docs/intent.md"
BEGIN = "<!-- generated from roles/plan/meta/argument_specs.yml by docs/generate.py: begin -->\n"
END = "<!-- end -->\n"


def prose(description: str | list[str]) -> str:
    """A description as Markdown: Ansible's semantic markup becomes code."""
    text = " ".join([description] if isinstance(description, str) else description)
    text = re.sub(
        r"\b[OVCM]\((?:[a-z_.]+#\w+:)?([^()]*)\)", lambda match: f"`{match.group(1).replace('[]', '')}`", text
    )
    return text.replace("|", "\\|").strip()


def default(option: dict[str, t.Any]) -> str:
    """What an option is when it is left out."""
    if option.get("required"):
        return "required"
    value = option.get("default")
    if value is None:
        return ""
    return f"`{yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}`"


def kind(option: dict[str, t.Any]) -> str:
    """The type of an option, with its choices."""
    name = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
    return f"{name}: " + ", ".join(f"`{choice}`" for choice in option["choices"]) if "choices" in option else name


def table(options: dict[str, t.Any], prefix: str = "") -> list[str]:
    """The rows of a dictionary's options, those of dictionaries in it below their own."""
    rows = []
    for name, option in options.items():
        rows.append(f"| `{prefix}{name}` | {kind(option)} | {default(option)} | {prose(option['description'])} |")
        rows += table(option.get("options", {}), f"{prefix}{name}.")
    return rows


def reference() -> str:
    """All variables of the intent."""
    options = yaml.safe_load(SPEC.read_text(encoding="utf-8"))["argument_specs"]["intent"]["options"]
    parts = []
    for name, option in options.items():
        left_out = default(option)
        facts = kind(option) + (f", {'' if left_out == 'required' else 'default '}{left_out}" if left_out else "")
        parts.append(f"### {name}\n\n{prose(option['description'])} ({facts})\n")
        if "options" in option:
            parts.append(
                "\n".join(["| Option | Type | Default | Meaning |", "|---|---|---|---|", *table(option["options"])])
                + "\n"
            )
    return "\n".join(parts)


def page() -> str:
    """docs/intent.md as it should be."""
    before, _begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
