# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command and draw what it prints as a picture of a terminal.

    python tools/picture.py FILE COMMAND [ARGUMENT ...]

The output is shown while the command runs. A command that fails leaves the picture as it was.
"""

from __future__ import annotations

import io
import os
import pathlib
import re
import subprocess
import sys

from rich.console import Console
from rich.text import Text

# One picture of a page differs from the next in what was printed only.
ID = "terminal"


def drawn(output: str, title: str) -> str:
    """Text with the escape sequences of a terminal's colors as SVG. It loads no font from elsewhere."""
    lines = [Text.from_ansi(line) for line in output.expandtabs().splitlines()]
    width = max((line.cell_len for line in lines), default=0)
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in lines:
        console.print(line, no_wrap=True)
    svg = console.export_svg(title=title, unique_id=ID)
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def main() -> None:
    file, command = pathlib.Path(sys.argv[1]), sys.argv[2:]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "1"}
    output = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            output.append(line)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}: {file} stays as it was")
    file.write_text(drawn("".join(output), f"$ {' '.join(command)}"), encoding="utf-8")
    print(f"\n{file}: {len(output)} lines")


if __name__ == "__main__":
    main()
