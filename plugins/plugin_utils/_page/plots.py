# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small plots of rates over the last runs of status, as SVG. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._page.markup import Html, tag

# Pixels. A line at the very edge would be cut in half.
WIDTH, HEIGHT, EDGE = 160, 28, 2

Point = t.Tuple[float, float]


class Frame(t.NamedTuple):
    """What plots that are compared have in common: the times at the edges (seconds), and the value at the upper one."""

    first: float
    last: float
    top: float

    def place(self, moment: float, value: float) -> Point:
        """Where a value at a time is, in pixels."""
        along = (moment - self.first) / ((self.last - self.first) or 1)
        return EDGE + along * (WIDTH - 2 * EDGE), HEIGHT - EDGE - value / (self.top or 1) * (HEIGHT - 2 * EDGE)


def plot(times: t.Sequence[float], values: t.Sequence[float | None], frame: Frame) -> Html:
    """The values at their times as a line, which has a gap where one is not known. times: seconds, ascending."""
    lines = [_line(part) for part in _parts(times, values, frame)]
    return tag("svg", *lines, class_="plot", width=WIDTH, height=HEIGHT, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")


def _line(points: t.Sequence[Point]) -> Html:
    """A line through points; a dot for one alone."""
    if len(points) > 1:
        return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_="line")
    x, y = points[0]
    return tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="2", class_="dot")


def _parts(times: t.Sequence[float], values: t.Sequence[float | None], frame: Frame) -> list[list[Point]]:
    """The points of each line."""
    parts: list[list[Point]] = [[]]
    for moment, value in zip(times, values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(frame.place(moment, value))
    return [part for part in parts if part]
