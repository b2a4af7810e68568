# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two machines under QEMU: eth0 is the management (SSH through a forwarded port of 127.0.0.1), eth1 and eth2 are cables between them."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import time
import typing as t
import uuid

from .image import USER

BOOT_TIMEOUT = 300
COMMAND_TIMEOUT = 120
MEMORY_MIB = 768
CABLES = ("eth1", "eth2")
CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[A-Z])")


class MachineError(Exception):
    """A machine did not do what it must; the text says what was seen."""


def accelerator() -> str:
    """`kvm` if QEMU really executes a machine with it, else `tcg`. The device may be there and still run nothing."""
    module = _load(pathlib.Path(__file__).resolve().parents[2] / "plugins/module_utils/_accelerator.py")
    emulator = shutil.which("qemu-system-x86_64") or ""
    return module.choose(emulator, lambda argv: subprocess.run(argv, capture_output=True, check=False).returncode)


def _load(path: pathlib.Path) -> t.Any:
    """A module of the collection by its file: this runs without Ansible's import machinery."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _device(nic: str) -> str:
    """What QEMU calls a NIC."""
    return f"nic-{nic}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Machine:
    """One machine. Its files (disk, console, host key) are in a folder of its own; the SSH key of the run is given."""

    def __init__(self, name: str, number: int, folder: pathlib.Path, image: pathlib.Path, key: pathlib.Path) -> None:
        self.name = name
        self.number = number
        self.folder = folder
        self.image = image
        self.key = key
        self.port = free_port()
        self.console = folder / "console.log"
        self.known_hosts = folder.parent / "known_hosts"
        self.process: subprocess.Popen[bytes] | None = None
        self.last_boot = ""

    def make_disk(self) -> None:
        """Copy the image's disk and give it a name, a machine id, a host key of its own, and the run's key for the user."""
        self.folder.mkdir()
        disk = self.folder / "disk.raw"
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(self.image / "disk.raw"), str(disk)], check=True)
        host_key = self.folder / "ssh_host_ed25519_key"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(host_key)], check=True
        )
        files = {
            "/etc/hostname": f"{self.name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n",
            "/etc/machine-id": f"{uuid.uuid4().hex}\n",
            f"/home/{USER}/.ssh/authorized_keys": self.key.with_suffix(".pub").read_text(encoding="ascii"),
        }
        script = [
            f"write {host_key} /etc/ssh/{host_key.name}",
            f"write {host_key}.pub /etc/ssh/{host_key.name}.pub",
            "rm /etc/machine-id",
        ]
        for path, text in files.items():
            source = self.folder / path.rpartition("/")[2]
            source.write_text(text, encoding="ascii")
            source.chmod(0o644)
            script.append(f"write {source} {path}")
        commands = self.folder / "debugfs"
        commands.write_text("\n".join(script) + "\n", encoding="ascii")
        done = subprocess.run(
            ["debugfs", "-w", "-f", str(commands), str(disk)], capture_output=True, text=True, check=False
        )
        # It ends with 0 whatever a command of the script came to.
        said = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
        if done.returncode or said:
            raise MachineError(f"{self.name}: debugfs could not write into {disk}: {' '.join(said)}")
        public = host_key.with_suffix(".pub").read_text(encoding="ascii")
        with open(self.known_hosts, "a", encoding="ascii") as stream:
            stream.write(f"[127.0.0.1]:{self.port} {public}")

    def start(self, accel: str) -> None:
        """Start QEMU as a child that the kernel ends when this process ends, however it ends."""
        arguments = {
            "-name": self.name,
            "-M": "q35",
            "-accel": accel,
            # The emulated features of `-cpu max` cost a tenth more time and bring nothing here.
            "-cpu": "host" if accel == "kvm" else "qemu64",
            "-smp": "1",
            "-m": str(MEMORY_MIB),
            "-kernel": str(self.image / "vmlinuz"),
            "-initrd": str(self.image / "initrd.img"),
            "-append": "root=/dev/vda rw net.ifnames=0 console=ttyS0 mitigations=off quiet systemd.show_status=1 TERM=dumb",
            "-drive": f"file={self.folder / 'disk.raw'},if=virtio,format=raw,cache=unsafe",
            "-serial": f"file:{self.console}",
            "-qmp": f"unix:{self.folder / 'qmp'},server=on,wait=off",
            "-display": "none",
        }
        # restrict: nothing but the forwarded port passes between the machine and the world.
        networks = {
            "eth0": f"user,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22",
            **{nic: self._cable(nic) for nic in CABLES},
        }
        argv = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-device",
            "virtio-rng-pci",
        ]
        argv += [word for pair in arguments.items() for word in pair]
        for nic, (name, backend) in enumerate(networks.items()):
            kind, _comma, options = backend.partition(",")
            argv += ["-netdev", f"{kind},id={name},{options}"]
            argv += [
                "-device",
                f"virtio-net-pci,id={_device(name)},netdev={name},romfile=,speed=1000,duplex=full,"
                # LACP puts NICs together by their speed, which a virtual one has none of by itself.
                f"mac=52:54:00:00:{nic:02x}:{self.number:02x}",
            ]
        with open(self.folder / "qemu.log", "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _cable(self, nic: str) -> str:
        """One end of a cable between the machines."""
        own, peer = (self.folder.parent / f"cable-{nic}-{number}" for number in (self.number, 3 - self.number))
        return f"dgram,local.type=unix,local.path={own},remote.type=unix,remote.path={peer}"

    def plug(self, nic: str, up: bool) -> None:
        """Plug a cable into a NIC, or pull it: the NIC has a carrier, or none. Raises MachineError if QEMU refuses."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(COMMAND_TIMEOUT)
            connection.connect(str(self.folder / "qmp"))
            with connection.makefile("rw", encoding="ascii") as stream:
                stream.readline()
                for asked, arguments in (("qmp_capabilities", {}), ("set_link", {"name": _device(nic), "up": up})):
                    stream.write(json.dumps({"execute": asked, "arguments": arguments}) + "\n")
                    stream.flush()
                    # Events may come in between.
                    answer = next(row for row in map(json.loads, stream) if "event" not in row)
                    if "error" in answer:
                        raise MachineError(f"{self.name}: QEMU says to {asked} of {nic}: {answer['error']['desc']}")

    def stop(self) -> None:
        """End QEMU, by its process, and wait until it is gone."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ssh_options(self) -> list[str]:
        """What ssh needs to know besides address, port, user and key; the same for us and for Ansible.

        One connection is kept for all commands, as Ansible does by itself: a new one takes seconds on an emulated processor.
        """
        options = {
            "UserKnownHostsFile": str(self.known_hosts),
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "ControlMaster": "auto",
            "ControlPersist": "300s",
            "ControlPath": f"{self.folder.parent}/ssh-%C",
            "ServerAliveInterval": "10",
        }
        return ["-F", "none", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]

    def ssh_argv(self, *argv: str) -> list[str]:
        """The command that runs `argv` on the machine as its user. Each word arrives as it is."""
        login = ["-i", str(self.key), "-p", str(self.port), "-o", "ConnectTimeout=20", f"{USER}@127.0.0.1"]
        return ["ssh", *self.ssh_options(), *login, *([shlex.join(argv)] if argv else [])]

    def ssh(self, *argv: str, check: bool = True) -> str:
        """Run a command over SSH and return what it printed. Raises MachineError if it fails, unless `check` is false."""
        done = subprocess.run(
            self.ssh_argv(*argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
        if check and done.returncode:
            raise MachineError(f"{self.name}: {shlex.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _greets(self) -> bool:
        """Whether an SSH server answers. QEMU itself accepts the connection long before the machine does, hence the greeting."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.settimeout(2)
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def boot_id(self) -> str:
        """What the kernel calls this boot; empty while the machine does not answer."""
        return self.ssh("cat", "/proc/sys/kernel/random/boot_id", check=False).strip() if self._greets() else ""

    def reboot(self) -> None:
        """Tell the machine to reboot, and drop the kept connection, which does not survive it. `wait` then waits for the new boot."""
        self.last_boot = self.boot_id()
        self.ssh("sudo", "systemctl", "reboot", check=False)
        subprocess.run(["ssh", "-O", "exit", *self.ssh_argv()[1:]], capture_output=True, check=False)

    def wait(self) -> None:
        """Wait until the machine answers on SSH and systemd has started everything. Raises MachineError with the console's end."""
        begun = told = time.monotonic()
        while self.boot_id() in ("", self.last_boot):
            now = time.monotonic()
            ended = self.process is None or self.process.poll() is not None
            if ended or now - begun > BOOT_TIMEOUT:
                what = "QEMU ended" if ended else f"no answer on SSH after {BOOT_TIMEOUT} s"
                qemu = (self.folder / "qemu.log").read_text(encoding="utf-8", errors="replace").strip()
                raise MachineError(f"{self.name}: {what}. {qemu}\nThe end of its console:\n{self.console_tail(20)}")
            if now - told > 20:
                told = now
                print(f"        {self.name}, {now - begun:.0f} s: {self.console_tail(1).strip()}", flush=True)
            time.sleep(0.5)
        state = self.ssh("systemctl", "is-system-running", "--wait", check=False).strip()
        if state != "running":
            raise MachineError(
                f"{self.name} is {state or 'unreachable'}: {self.ssh('systemctl', '--failed', '--no-legend', '--plain', check=False)}"
            )

    def console_tail(self, lines: int) -> str:
        """The last lines that the machine's console printed."""
        with open(self.console, encoding="utf-8", errors="replace") as stream:
            text = CONTROL.sub("", stream.read())
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


def make_key(path: pathlib.Path) -> None:
    """An SSH key pair for one run."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "overloom machines", "-f", str(path)], check=True
    )
