# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How lines reach vtysh: whole, by whatever number of processes they are read, and without a trace."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import stat
import subprocess
import threading
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._frr import vtysh
from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import HangsError, frr_runner

TEXT = "".join(f"ip route 10.{number // 256}.{number % 256}.0/24 blackhole\n" for number in range(5000))


class Module:
    """As much of AnsibleModule as running a command takes."""

    def __init__(self) -> None:
        self.path = ""
        self.answer = (0, "", "")

    def run_command(self, argv: list[str], pass_fds: t.Sequence[int] = (), **_options: t.Any) -> tuple[int, str, str]:
        assert argv[:3] == ["timeout", "--kill-after=5", "300"]
        self.path = argv[-1]
        (descriptor,) = pass_fds
        assert stat.S_ISREG(os.fstat(descriptor).st_mode) and stat.S_IMODE(os.fstat(descriptor).st_mode) == 0o600
        # As many processes as FRR has daemons, at the same time, each of which opens the file.
        readers = [
            subprocess.Popen(["cat", self.path], pass_fds=pass_fds, stdout=subprocess.PIPE, text=True)
            for _number in range(9)
        ]
        assert {reader.communicate()[0] for reader in readers} == {TEXT}
        return self.answer


def test_each_process_reads_every_line() -> None:
    module = Module()
    assert vtysh.execute(module, ("vtysh", "-f", vtysh.STDIN), TEXT) == (0, "", "")
    assert not os.path.exists(module.path)


def test_the_file_is_gone_also_after_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    module = Module()
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def killed(argv: list[str], **_options: t.Any) -> t.NoReturn:
        module.path = argv[-1]
        assert pathlib.Path(module.path).read_text(encoding="utf-8") == "a secret\n"
        raise KeyboardInterrupt

    module.run_command = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        vtysh.execute(module, ("vtysh", "-f", vtysh.STDIN), "a secret\n")
    assert not os.path.exists(module.path) and not list(tmp_path.iterdir())


def test_what_the_processes_say_of_themselves_is_left_out() -> None:
    module = Module()
    said = "[520|mgmtd] sending configuration\n% Configure the peer-group first\nWaiting for children to finish applying config...\n"
    failed = "[527|bgpd] Configuration file[/etc/frr/frr.conf] processing failure: 2\nline 5: Failure to communicate[13] to bgpd, line: x\n[527|bgpd] done\n"
    module.answer = (2, said, failed)
    status, out, err = vtysh.execute(module, ("vtysh", "-f", vtysh.STDIN), TEXT)
    assert (status, out, err) == (
        2,
        "% Configure the peer-group first\n",
        "line 5: Failure to communicate[13] to bgpd, line: x\n",
    )


def test_what_is_shown_needs_no_pipe() -> None:
    assert vtysh.shown("ip route 10.0.0.0/8 Null0\n").splitlines()[-1] == "vtysh -f change.conf"


def test_a_daemon_that_takes_a_connection_and_says_nothing_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Beside one that answers, and the socket of one that is gone."""
    monkeypatch.setattr(vtysh, "SOCKETS", str(tmp_path / "*.vty"))
    monkeypatch.setattr(vtysh, "ANSWER", 0.5)
    with contextlib.ExitStack() as stack:
        made = {}
        for name in ("bgpd", "ospfd", "zebra"):
            made[name] = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            made[name].bind(str(tmp_path / f"{name}.vty"))
            made[name].listen()
        made["bgpd"].close()

        def answer() -> None:
            link, _address = made["zebra"].accept()
            with link:
                link.recv(100)
                link.sendall(b"FRRouting\0\0\0\0")

        thread = threading.Thread(target=answer)
        thread.start()
        assert vtysh.hanging() == ["ospfd"]
        thread.join(10)


def test_who_looks_waits_shorter_and_is_told_which_daemon_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        """A module whose command does not end."""

        @staticmethod
        def run_command(argv: list[str], **_options: t.Any) -> tuple[int, str, str]:
            assert argv[2] == "20"
            return 124, "", ""

    monkeypatch.setattr(vtysh, "hanging", lambda: ["ospfd"])
    with pytest.raises(HangsError, match="^vtysh had no answer of FRR in 20 s; restart it: ospfd does not") as raised:
        frr_runner(Hanging(), vtysh.LOOK).run(["vtysh", "-c", "show version"])
    assert raised.value.daemons == ["ospfd"]


def process(folder: pathlib.Path, number: int, *words: str, namespace: str = "pid:[1]") -> None:
    """A process as the kernel shows it."""
    (folder / f"{number}/ns").mkdir(parents=True)
    (folder / f"{number}/cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))
    (folder / f"{number}/ns/pid").symlink_to(namespace)


WATCHFRR = (
    "/usr/lib/frr/watchfrr",
    "-d",
    "-r",
    "/usr/lib/frr/watchfrr.sh restart %s",
    "-s",
    "/usr/lib/frr/watchfrr.sh start %s",
)


@pytest.mark.parametrize(
    ("words", "namespace", "loading"),
    [
        (("/bin/bash", "/usr/lib/frr/watchfrr.sh", "restart", "all"), "pid:[1]", True),
        (("/usr/bin/vtysh", "-b"), "pid:[1]", True),
        (("/usr/bin/vtysh", "-b", "-d", "ospfd"), "pid:[1]", True),
        (("/usr/bin/vtysh", "-b"), "pid:[2]", False),
        (("/usr/bin/vtysh", "-f", "/tmp/frr.conf"), "pid:[1]", False),
        (("/usr/bin/vtysh",), "pid:[1]", False),
        (("vi", "/usr/lib/frr/watchfrr.sh"), "pid:[1]", False),
    ],
)
def test_frr_has_its_file_when_nothing_hands_it_on_any_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, words: tuple[str, ...], namespace: str, loading: bool
) -> None:
    monkeypatch.setattr(vtysh, "PROCESSES", str(tmp_path))
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    (tmp_path / "7").mkdir()
    process(tmp_path, 8, *WATCHFRR)
    process(tmp_path, 9, *words, namespace=namespace)
    assert vtysh.loading() == loading


def test_a_start_of_frr_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([True, False, True])
    monkeypatch.setattr(vtysh, "loading", lambda: next(states))
    vtysh.await_loaded()
    assert next(states) is True
    monkeypatch.setattr(vtysh, "loading", lambda: True)
    monkeypatch.setattr(vtysh, "START", 0.3)
    vtysh.await_loaded()
