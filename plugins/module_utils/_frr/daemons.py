# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons of FRR: their files, the service, and which of them answer.

This file is private to the collection. What is there is left as it is, but for the daemons that are asked for and are not enabled, and for the
one file that holds the configuration of all. Sources: frr.conf(5), the comments of /etc/frr/daemons, frrcommon.sh, vtysh(1).
"""

from __future__ import annotations

import glob
import os
import pwd
import re
import shlex
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.conf import CONF
from ansible_collections.overloom.fabric.plugins.module_utils._frr.files import (
    INTEGRATED,
    VTYSH_CONF,
    apart,
    own_files,
    rewrite,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import DAEMONS
from ansible_collections.overloom.fabric.plugins.module_utils._host import answers
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Runner,
    Step,
    module_runner,
    reconcile,
    text_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import property_blocks

SOCKETS = "/run/frr"
SERVICE = "frr.service"
USER = "frr"
# Where the packages of the distributions have the daemons, and the program that starts one of them.
FOLDERS = ("/usr/lib/frr", "/usr/libexec/frr", "/usr/lib64/frr")
STARTER = "watchfrr.sh"
# Daemons beside which a restart of FRR interrupts no routing protocol.
SUPPORT = frozenset({"zebra", "staticd", "bfdd", "mgmtd", "watchfrr"})
# Seconds that a started daemon may take until it answers.
LONGEST = 30

_NEW_DAEMONS = 'vtysh_enable=yes\nzebra_options="-A 127.0.0.1 -s 90000000"\n'
_NAME = re.compile(r"[a-z][a-z0-9]*d|zebra")


class Found(t.NamedTuple):
    """What the host has.

    texts: of frr.conf, vtysh.conf and daemons, None for a file that is not there. own_files: files of single daemons that say something.
    folders: of the two folders, whether each is there. running: the daemons that answer. active, enabled: of the service.
    programs: the folder of FRR's programs. installed: their names.
    """

    texts: dict[str, str | None]
    own_files: tuple[str, ...]
    folders: dict[str, bool]
    running: tuple[str, ...]
    active: bool
    enabled: bool
    programs: str
    installed: frozenset[str]


class Folder(t.NamedTuple):
    """A folder of FRR's user."""

    path: str

    def shown(self) -> str:
        """The command that does the same."""
        return f"install -d -o {USER} -g {USER} -m 0750 {self.path}"

    def do(self) -> None:
        """Make it."""
        os.makedirs(self.path, mode=0o750, exist_ok=True)
        _give(self.path)


class Own(t.NamedTuple):
    """A file of FRR's: a new one belongs to FRR's user, one that is there keeps owner and rights."""

    path: str
    content: str

    def shown(self) -> str:
        """The command that does the same for a new file."""
        return f"install -o {USER} -g {USER} -m 0640 /dev/stdin {self.path} <<'EOF'\n{self.content}EOF"

    def do(self) -> None:
        """Write it."""
        if rewrite(self.path, self.content):
            _give(self.path)


class Await(t.NamedTuple):
    """The wait until daemons answer, as vtysh knows only those that do when it starts."""

    daemons: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where they answer."""
        return SOCKETS

    def shown(self) -> str:
        """What a person would look at."""
        return f"vtysh -c 'show daemons'  # until it shows {' '.join(self.daemons)}"

    def do(self) -> None:
        """Wait. Raises FabricError."""
        end = time.monotonic() + LONGEST
        while silent := set(self.daemons) - kinds(answering()):
            if time.monotonic() > end:
                names = ", ".join(sorted(silent))
                raise FabricError(f"{names} did not answer within {LONGEST} s; see with journalctl -u {SERVICE} why")
            time.sleep(0.1)


def _give(path: str) -> None:
    try:
        account = pwd.getpwnam(USER)
    except KeyError:
        raise FabricError(
            f"there is no user {USER}; the role frr_router installs FRR, whose package makes it"
        ) from None
    os.chown(path, account.pw_uid, account.pw_gid)


def answering(folder: str = SOCKETS) -> tuple[str, ...]:
    """The daemons that take a connection at their socket, as vtysh asks them; one that is gone leaves its socket behind."""
    paths = sorted(glob.glob(f"{glob.escape(folder)}/*.vty"))
    return tuple(os.path.basename(path)[: -len(".vty")] for path in paths if answers(path))


def kinds(running: t.Iterable[str]) -> set[str]:
    """The daemons of which at least one instance answers; of several, each has its number behind the name."""
    return {name.partition("-")[0] for name in running}


def checked(daemons: t.Sequence[str]) -> tuple[str, ...]:
    """The declared daemons, each once. Raises FabricError."""
    for name in daemons:
        if not _NAME.fullmatch(name):
            raise FabricError(f"daemons: {name!r} is no daemon of FRR; write it like ospfd")
    return tuple(sorted(set(daemons)))


def is_enabled(text: str, daemon: str) -> bool:
    """Whether /etc/frr/daemons enables a daemon: a file of a shell, whose last assignment counts; empty, no and 0 do not enable."""
    values = re.findall(rf"(?m)^[ \t]*{daemon}=(.*)$", text)
    return bool(values) and _value(values[-1]) not in ("", "no", "0")


def _value(text: str) -> str:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return text
    return words[0] if words and text[:1].strip() else ""


def with_enabled(text: str, daemons: t.Iterable[str]) -> str:
    """The file with these daemons enabled: the last assignment of each is changed, a missing one comes at the end."""
    for daemon in daemons:
        if is_enabled(text, daemon):
            continue
        found = list(re.finditer(rf"(?m)^[ \t]*{daemon}=.*$", text))
        if found:
            text = f"{text[: found[-1].start()]}{daemon}=yes{text[found[-1].end() :]}"
        else:
            text += f"{'' if text.endswith(chr(10)) or not text else chr(10)}{daemon}=yes\n"
    return text


def with_one_file(text: str) -> str:
    """vtysh.conf with one configuration file for all daemons."""
    changed = re.sub(rf"(?m)^[ \t]*no {INTEGRATED}[ \t]*$", INTEGRATED, text)
    if re.search(rf"(?m)^[ \t]*{INTEGRATED}[ \t]*$", changed):
        return changed
    return f"{changed}{'' if changed.endswith(chr(10)) or not changed else chr(10)}{INTEGRATED}\n"


def read(runner: Runner) -> Found:
    """The files, the service, and the daemons that answer. Spawns one process."""
    shown = runner(("systemctl", "show", "--property=LoadState,ActiveState,UnitFileState", SERVICE))
    [state] = property_blocks(shown)
    if state.get("LoadState") != "loaded":
        raise FabricError(f"there is no {SERVICE}; the role frr_router installs FRR")
    folder = os.path.dirname(CONF)
    programs = next((path for path in FOLDERS if os.path.exists(f"{path}/{STARTER}")), FOLDERS[0])
    return Found(
        {path: text_of(path) for path in (CONF, VTYSH_CONF, DAEMONS)},
        own_files(),
        {path: os.path.isdir(path) for path in (folder, SOCKETS)},
        answering(),
        state.get("ActiveState") == "active",
        state.get("UnitFileState") in ("enabled", "enabled-runtime"),
        programs,
        frozenset(os.listdir(programs) if os.path.isdir(programs) else ()),
    )


def _check_own_files(found: Found) -> None:
    """Refuse to turn to one file where the daemons' own files count: they would no longer be read. Raises FabricError."""
    told = re.search(rf"(?m)^[ \t]*no {INTEGRATED}", found.texts[VTYSH_CONF] or "")
    if found.own_files and (told or found.texts[CONF] is None):
        raise apart(found.own_files)


def _starts(found: Found, missing: tuple[str, ...]) -> list[AnyStep]:
    """The steps that start what is enabled and does not answer."""
    if not found.active:
        return [Step(("systemctl", "enable", "--now", SERVICE))]
    steps: list[AnyStep] = [] if found.enabled else [Step(("systemctl", "enable", SERVICE))]
    if missing and set(found.running) <= SUPPORT:
        return [*steps, Step(("systemctl", "restart", SERVICE))]
    return [*steps, *(Step((f"{found.programs}/{STARTER}", "start", name)) for name in missing)]


def compare(daemons: tuple[str, ...], found: Found) -> Change:
    """The steps until the declared daemons are enabled and answer. Raises FabricError."""
    for name in daemons:
        if name not in found.installed:
            raise FabricError(
                f"daemons: FRR has no {name} in {found.programs} here; install its package, or leave it out"
            )
    _check_own_files(found)
    texts = {
        CONF: found.texts[CONF] or "",
        VTYSH_CONF: with_one_file(found.texts[VTYSH_CONF] or ""),
        DAEMONS: with_enabled(_NEW_DAEMONS if found.texts[DAEMONS] is None else str(found.texts[DAEMONS]), daemons),
    }
    missing = tuple(name for name in daemons if name not in kinds(found.running))
    steps: list[AnyStep] = [Folder(path) for path, there in found.folders.items() if not there]
    steps += [Own(path, text) for path, text in texts.items() if found.texts[path] != text]
    starts = _starts(found, missing)
    steps += starts
    if missing:
        steps.append(Await(missing))
    before = {"files": found.texts, "folders": found.folders, **_service(found.active, found.enabled, found.running)}
    runs = tuple(sorted({*found.running, *missing})) if starts else found.running
    after = {
        "files": texts,
        "folders": dict.fromkeys(found.folders, True),
        **_service(bool(starts) or found.active, bool(starts) or found.enabled, runs),
    }
    return Change(steps, before, after)


def _service(active: bool, enabled: bool, running: tuple[str, ...]) -> dict[str, t.Any]:
    return {"active": active, "enabled": enabled, "daemons": list(running)}


def run(module: t.Any) -> None:
    """The module frr_daemons."""
    runner = module_runner(module)
    try:
        daemons = checked(module.params["daemons"])
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    reconcile(
        module,
        lambda: read(runner),
        lambda found: compare(daemons, found),
        runner,
        lambda found: _service(found.active, found.enabled, found.running),
    )
