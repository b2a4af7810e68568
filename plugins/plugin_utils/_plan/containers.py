# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers: what endpoints of the kind container say of them checked, and each as the module netns_container takes it.

The endpoint itself is a network namespace like any other, and is planned as one; the container runs in it. A container that others
run has a namespace of its own, which netns_veth plugs in by the container's name.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import check_container_name
from ansible_collections.overloom.fabric.plugins.module_utils._container.service import (
    check_command,
    check_image,
    check_options,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import between
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

# The image that the role brings to a host itself.
LAB = "lab"
BUILT = "localhost/overloom-{}:lab"
# What an endpoint says of a container that the fabric runs, and of no other.
OF_MANAGED = ("image", "command", "options", "stop_timeout")


class Containers:
    """All containers of the fabric, each checked once. What is wrong goes to the values' problems."""

    def __init__(self, values: Values) -> None:
        self.fabric = values.intent.name
        self.given = values.intent.given
        self.problems = values.problems
        self.endpoints = [endpoint for endpoint in values.endpoints if self._check(endpoint)]
        self._check_names()

    def part(self, host: str) -> Item:
        """What a host gets: its containers, and the name of the image that the role builds for them, or None."""
        here = [endpoint for endpoint in self.endpoints if endpoint.host == host and _options(endpoint)["managed"]]
        built = any(_options(endpoint)["image"] == LAB for endpoint in here)
        return {
            "containers": [self._item(endpoint) for endpoint in here],
            "lab_container_image": self._image(LAB) if built else None,
        }

    def of_endpoint(self, endpoint: Endpoint) -> Item:
        """What the plan says of an endpoint besides, if it is a container."""
        if endpoint.kind != "container":
            return {}
        options = _options(endpoint)
        return {
            "container": {
                "name": _name(endpoint),
                "managed": options["managed"],
                "engine": options["engine"],
                "image": self._image(options["image"]) if options["managed"] else None,
            }
        }

    def _item(self, endpoint: Endpoint) -> Item:
        options = _options(endpoint)
        return {
            "name": endpoint.name,
            "namespace": endpoint.name,
            "image": self._image(options["image"]),
            "command": options["command"] or [],
            "options": options["options"] or [],
            "stop_timeout": options["stop_timeout"],
        }

    def _image(self, image: str) -> str:
        return BUILT.format(self.fabric) if image == LAB else image

    def _check(self, endpoint: Endpoint) -> bool:
        """Check what an endpoint says of its container; whether it has one that is understood."""
        where, options = f"{endpoint.where}.container", endpoint.container
        if endpoint.kind != "container":
            if options:
                self.problems.append(f"{where} is for the kind container; set kind: container, or leave it out.")
            return False
        if options is None:
            self.problems.append(f"{where} is missing; the kind container needs it, with an image at least.")
        if not options or INVALID in options.values():
            return False
        if options["managed"]:
            self._check_managed(where, options)
        else:
            self._check_foreign(where, options)
        return True

    def _check_managed(self, where: str, options: Item) -> None:
        """A container that the fabric runs."""
        if options["image"] is None:
            self.problems.append(
                f"{where}.image is missing; give an image that is on the host, or managed: false for a container that others run."
            )
        for option in ("name", "engine"):
            if f"{where}.{option}" in self.given and (option == "name" or options["engine"] != "podman"):
                self.problems.append(
                    f"{where}.{option} is for containers that others run; leave it out, or set managed: false."
                )
        between(options["stop_timeout"], 0, 3600, f"{where}.stop_timeout", self.problems)
        checks: tuple[tuple[str, t.Callable[[t.Any, str], t.Any]], ...] = (
            ("image", check_image),
            ("command", check_command),
            ("options", check_options),
        )
        for option, check in checks:
            if options[option] is not None:
                self._told(check, options[option], f"{where}.{option}")

    def _check_foreign(self, where: str, options: Item) -> None:
        """A container that others run."""
        for option in OF_MANAGED:
            if f"{where}.{option}" in self.given:
                self.problems.append(
                    f"{where}.{option} is for containers that the fabric runs; leave it out with managed: false."
                )
        if options["name"] is not None:
            self._told(check_container_name, options["name"], f"{where}.name")

    def _told(self, check: t.Callable[[t.Any, str], t.Any], value: t.Any, where: str) -> None:
        try:
            check(value, where)
        except FabricError as error:
            self.problems.append(f"{error}.")

    def _check_names(self) -> None:
        """A container is plugged in once."""
        seen: dict[tuple[str, str, str], Endpoint] = {}
        for endpoint in self.endpoints:
            other = seen.setdefault((endpoint.host, _options(endpoint)["engine"], _name(endpoint)), endpoint)
            if other is not endpoint:
                self.problems.append(
                    f"{other.id} and {endpoint.id} are both the container {_name(endpoint)}; give one of them another container.name."
                )


def _name(endpoint: Endpoint) -> str:
    """The name of its container."""
    return _options(endpoint)["name"] or endpoint.name


def _options(endpoint: Endpoint) -> Item:
    """What an endpoint of this kind says of its container."""
    return t.cast(Item, endpoint.container)


def source_of(endpoint: Endpoint) -> Item:
    """What the module netns_veth is told of the namespace of an endpoint: that of a container of others is theirs."""
    if endpoint.kind != "container" or _options(endpoint)["managed"]:
        return {}
    return {"container": _name(endpoint), "engine": _options(endpoint)["engine"]}
