# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read once, compare purely, write once, report: what every module of the collection does.

This file is private to the collection. It knows no tool: a module gives it a way to read the host, a pure
function from (wanted, found) to a `Change`, and it does the rest (check mode, diff, the commands in the result).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import tempfile
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._host_lock import caller, host_lock

MASK = "********"


class FabricError(Exception):
    """A wrong input or a refused command, told in one sentence that names the object and the option."""


def text_of(path: str) -> str | None:
    """The text of a file, with each byte and line end as it is, or None where there is no file. Raises FabricError for one that may not be read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except PermissionError:
        raise FabricError(f"{path} may not be read; run the task with become: true") from None
    except OSError:
        return None


class Step(t.NamedTuple):
    """One low-level command.

    argv: the argument list, never a shell line.
    stdin: text that the command reads (`ip -batch -`), or None.
    secrets: values that are masked wherever the command is shown.
    """

    argv: tuple[str, ...]
    stdin: str | None = None
    secrets: tuple[str, ...] = ()

    def shown(self) -> str:
        """The command as a person would type it, with the secrets masked."""
        line = shlex.join(self.argv)
        if self.stdin is not None:
            line += " <<'EOF'\n" + self.stdin.rstrip("\n") + "\nEOF"
        return mask(line, self.secrets)


class Write(t.NamedTuple):
    """One file, written as a whole and put in place atomically.

    path: absolute path; content: its text; mode: permission bits.
    """

    path: str
    content: str
    mode: int = 0o644
    secrets: tuple[str, ...] = ()

    def shown(self) -> str:
        """The write as a command that a person can repeat."""
        body = mask(self.content, self.secrets).rstrip("\n")
        return f"install -m {self.mode:04o} /dev/stdin {shlex.quote(self.path)} <<'EOF'\n{body}\nEOF"

    def do(self) -> None:
        """Write beside the file and rename, so that a reader never sees half of it."""
        folder = os.path.dirname(self.path)
        os.makedirs(folder, mode=0o755, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".overloom-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
                stream.write(self.content)
                stream.flush()
                # Else a power failure may leave the new name with no content.
                os.fsync(stream.fileno())
            os.chmod(temporary, self.mode)
            if os.path.exists(self.path):
                # A daemon's file stays the daemon's.
                kept = os.stat(self.path)
                os.chown(temporary, kept.st_uid, kept.st_gid)
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise


class Remove(t.NamedTuple):
    """One file to remove; missing already is as good."""

    path: str

    def shown(self) -> str:
        """The removal as a command."""
        return f"rm -f {shlex.quote(self.path)}"

    def do(self) -> None:
        """Remove the file."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


class RemoveFolder(t.NamedTuple):
    """One folder to remove, if nothing is in it."""

    path: str

    def shown(self) -> str:
        """The removal as a command."""
        return f"rmdir --ignore-fail-on-non-empty {shlex.quote(self.path)}"

    def do(self) -> None:
        """Remove the folder."""
        if os.path.isdir(self.path) and not os.listdir(self.path):
            os.rmdir(self.path)


class OwnStep(t.Protocol):
    """A step that a room defines for itself, such as the start of a lab's host."""

    @property
    def path(self) -> str:
        """The file that it is about."""

    def shown(self) -> str:
        """The step as a command that a person can repeat."""

    def do(self) -> None:
        """Take the step. Raises FabricError."""


AnyStep = t.Union[Step, Write, Remove, RemoveFolder, OwnStep]


class Change(t.NamedTuple):
    """What a pure comparison found: the steps to take, and the objects before and after them.

    before and after hold only objects and options that the caller declared, as plain data or as text in the tool's own
    language; they are equal if and only if there are no steps.
    """

    steps: list[AnyStep]
    before: dict[str, t.Any] | str
    after: dict[str, t.Any] | str
    warnings: tuple[str, ...] = ()

    def still(self, name: str) -> str:
        """Of a comparison after the write: which options of an object are not as declared, in words."""
        before, after = (side.get(name, {}) if isinstance(side, dict) else {} for side in (self.before, self.after))
        return "; ".join(
            f"{key} is {before.get(key)!r}, not {value!r}" for key, value in after.items() if before.get(key) != value
        )


def mask(text: str, secrets: t.Iterable[str]) -> str:
    """Replace each secret in text by asterisks, the longest first, so that none survives as a part of another.

    A secret is also found as a tool's JSON string has it, and with its single quotes as a shell's word has them.
    """
    spellings = {
        spelling for s in secrets for spelling in (s, json.dumps(s)[1:-1], json.dumps(s, ensure_ascii=False)[1:-1]) if s
    }
    spellings |= {spelling.replace("'", "'\"'\"'") for spelling in spellings}
    for spelling in sorted(spellings, key=len, reverse=True):
        text = text.replace(spelling, MASK)
    return text


Run = t.Callable[[t.Sequence[str], t.Optional[str]], t.Tuple[int, str, str]]


class Runner:
    """Runs argument lists and counts them.

    run: called with (argv, stdin) and returns (exit status, standard output, standard error).
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self.spawned = 0

    def do(self, step: AnyStep) -> None:
        """Take one step: run a command, or write or remove a file (which spawns nothing)."""
        if isinstance(step, Step):
            self(step)
            return
        try:
            step.do()
        except OSError as error:
            raise FabricError(f"{step.path} could not be changed: {error.strerror}") from error

    def run(self, step: Step | t.Sequence[str]) -> tuple[int, str, str]:
        """Run one step and return its exit status (127: not installed), standard output and standard error."""
        if not isinstance(step, Step):
            step = Step(tuple(step))
        self.spawned += 1
        try:
            return self._run(step.argv, step.stdin)
        except FileNotFoundError:
            return 127, "", "not installed"

    def __call__(self, step: Step | t.Sequence[str], accept: t.Container[int] = (0,)) -> str:
        """Run one step and return its standard output.

        Raises FabricError with what the command said when its exit status is not in accept, or it does not exist.
        """
        if not isinstance(step, Step):
            step = Step(tuple(step))
        status, out, err = self.run(step)
        if status not in accept:
            said = mask((err or out).strip(), step.secrets) or "nothing was said"
            raise FabricError(f"{mask(shlex.join(step.argv[:12]), step.secrets)} ended with {status}: {said}")
        return out


def module_runner(module: t.Any) -> Runner:
    """A Runner over AnsibleModule.run_command, in the C locale."""

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        try:
            return module.run_command(
                list(argv),
                data=stdin,
                binary_data=False,
                environ_update={"LC_ALL": "C"},
                # A missing tool reaches the Runner, which words it, instead of ending the module.
                handle_exceptions=False,
            )
        except BrokenPipeError:
            # Its end came in the middle of writing to it, as when the daemon that it serves is killed.
            return 1, "", "it ended before it had read all of its input"

    return Runner(run)


def differing(before: t.Any, after: t.Any) -> tuple[t.Any, t.Any]:
    """Both sides of a change without what is equal, each value that differs below the keys that lead to it.

    A diff shows three lines around a change, which in a large object are not the ones with its name.
    """
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return before, after
    sides: tuple[dict, dict] = ({}, {})
    for key in dict.fromkeys([*before, *after]):
        if key in before and key in after:
            if before[key] != after[key]:
                sides[0][key], sides[1][key] = differing(before[key], after[key])
        else:
            side, found = (sides[0], before) if key in before else (sides[1], after)
            side[key] = found[key]
    return sides


def to_text(value: t.Any, indent: int = 0) -> str:
    """Plain data as the YAML that a person would write (block style, sorted as given); for diffs only."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item and not _is_short_list(item):
                lines.append(f"{pad}{key}:\n{to_text(item, indent + 1)}")
            else:
                lines.append(f"{pad}{key}: {_scalar(item)}\n")
        return "".join(lines)
    if isinstance(value, list) and value and not _is_short_list(value):
        lines = []
        for item in value:
            inner = to_text(item, indent + 1)
            lines.append(f"{pad}- {inner.lstrip()}")
        return "".join(lines)
    return f"{pad}{_scalar(value)}\n"


def _is_short_list(value: t.Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, (int, str, bool)) for v in value) and len(value) <= 64


def _scalar(value: t.Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{}"
    text = str(value)
    if isinstance(value, str) and not _PLAIN.fullmatch(text):
        return '"' + "".join(_escaped(character) for character in text) + '"'
    return text


# Words that need no quotes in YAML; among the rest are all that would read back as a number, a date or a truth value.
_PLAIN = re.compile(
    r"(?!(?i:null|true|false|yes|no|on|off|y|n)$)[A-Za-z_/](?:[\w ./@%+-]|:(?! |$))*(?<![ ])|[0-9]+(?:\.[0-9]+){3}(?:/[0-9]+)?",
    re.ASCII,
)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    if character.isprintable() and character != "\ufeff":
        return character
    return f"\\U{ord(character):08x}"


# Names a checkpoint in a task's environment: once the host has begun to undo it, the task's module changes nothing any more.
CHECKPOINT = "OVERLOOM_CHECKPOINT"
CHECKPOINTS = "/var/lib/overloom/checkpoint"


def undone_meanwhile() -> str | None:
    """That the checkpoint of the task's environment is not armed any more, in words; None where it is, or none is named."""
    name = os.environ.get(CHECKPOINT)
    if not name or os.path.exists(f"{CHECKPOINTS}/{name}.json"):
        return None
    return f"checkpoint {name} is not armed any more, as its time ran out, so nothing was changed; run it again"


# A lab has a lock of its own, and a disk's image is locked by QEMU's tools.
_OWN_LOCKS = ("lab", "disk_files")


class Module(t.Protocol):
    """What the code behind a module uses of Ansible's AnsibleModule, which has no types of its own."""

    params: dict[str, t.Any]
    check_mode: bool
    _diff: bool

    def warn(self, warning: str) -> None:
        """Add a warning to the result."""

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        """End with a result."""

    def fail_json(self, msg: str, **result: t.Any) -> t.NoReturn:
        """End with an error."""


def reconcile(
    module: Module,
    read: t.Callable[[], t.Any],
    compare: t.Callable[[t.Any], Change],
    runner: Runner,
    *more: t.Any,
    **options: t.Any,
) -> t.NoReturn:
    """End the module with the result of reconciled(), while no other module's run reads or changes this host.

    libvirt, which may take minutes, is a part by itself.
    """
    name = re.sub(r"\.py$", "", getattr(module, "_name", "")).rpartition(".")[2]
    part = "libvirt" if name.startswith("libvirt_") else "network"
    lock = (
        contextlib.nullcontext()
        if not name or name in _OWN_LOCKS
        else host_lock(part, caller(name, str(module.params.get("owner"))))
    )
    try:
        with lock:
            result, error = {"changed": False, "commands": []}, undone_meanwhile()
            if error is None:
                result, error = reconciled(module, read, compare, runner, *more, **options)
    except TimeoutError as late:
        module.fail_json(msg=str(late), changed=False, commands=[], spawned=runner.spawned)
    result["spawned"] = runner.spawned
    if error is not None:
        module.fail_json(msg=error, **result)
    module.exit_json(**result)


def reconciled(
    module: Module,
    read: t.Callable[[], t.Any],
    compare: t.Callable[[t.Any], Change],
    runner: Runner,
    state: t.Callable[[t.Any], dict[str, t.Any]],
    judge: t.Callable[[t.Any], t.Sequence[str]] = lambda _found: (),
    undo: t.Callable[[t.Any], t.Sequence[AnyStep]] | None = None,
) -> tuple[dict[str, t.Any], str | None]:
    """Read, compare, write, read again, and judge: the module's result, and the error with which it fails.

    read: reads the host once and returns what it found.
    compare: the pure function from what was found to a Change; wanted items are bound into it.
    state: from what was found to the typed values that the module returns besides the common ones.
    judge: from what was found after a write to the errors that the tool only reports late.
    undo: from what was found after a write with such errors to the steps that take back what came to nothing,
        so that the next run tries again. With it, such errors also count as the reason for a step that fails.
    A FabricError from any of them fails the module with its one sentence; of its commands the last is then the one that failed.
    In check mode nothing is written, and the state returned is the one that was found.
    """
    result: dict[str, t.Any] = {"changed": False, "commands": []}
    try:
        found = read()
        change = compare(found)
        _foretell(module, change, result)
        failure = None
        if change.steps and not module.check_mode:
            result["commands"] = []
            failure = _do(change.steps, runner, result["commands"], may_fail=undo is not None)
            found = read()
        errors = [] if module.check_mode else list(judge(found))
        result.update(state(found))
        if errors and change.steps and undo is not None:
            _do(undo(found), runner, result["commands"])
        if errors or failure:
            raise FabricError("; ".join(errors) or str(failure))
    except FabricError as error:
        return result, str(error)
    return result, None


def _foretell(module: Module, change: Change, result: dict[str, t.Any]) -> None:
    """Put into the result what will be done, with its warnings."""
    result["changed"] = bool(change.steps)
    result["commands"] = [step.shown() for step in change.steps]
    for warning in change.warnings:
        module.warn(warning)
    if change.steps and module._diff:
        result["diff"] = _diff_of(change)


def _do(steps: t.Iterable[AnyStep], runner: Runner, commands: list[str], may_fail: bool = False) -> FabricError | None:
    """Do the steps, and note each one. may_fail: return the error of a step that fails, instead of raising it."""
    try:
        for step in steps:
            commands.append(step.shown())
            runner.do(step)
    except FabricError as error:
        if not may_fail:
            raise
        return error
    return None


def _diff_of(change: Change) -> dict[str, t.Any]:
    """The two sides of a change for --diff, which shows text; where they are no text, `data` has them for a program."""
    sides = dict(zip(("before", "after"), differing(change.before, change.after)))
    if any(isinstance(side, str) for side in sides.values()):
        return {when: side if isinstance(side, str) else to_text(side) for when, side in sides.items()}
    return {**{when: to_text(side) for when, side in sides.items()}, "data": sides}
