# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest for labs: Debian's own kernel and a BusyBox initramfs, up in two seconds even without KVM.

Nothing is installed: the packages are fetched with the machine's own apt, unpacked in memory, and what the guest
needs of them is kept. This file is private to the collection.

What the guest takes from its kernel command line:
  overloom.hostname=NAME
  overloom.ethN=ITEM[,ITEM...]   items: ADDRESS/PREFIX, `dhcp`, `mtu=BYTES`, `gateway=ADDRESS`
  overloom.http=PORT             serves its host name over HTTP
  overloom.modules=NAME[,NAME]   kernel modules of the image to load besides those of its devices
It answers the QEMU guest agent's protocol on the port org.qemu.guest_agent.0 (guest-ping, guest-info, guest-exec,
guest-exec-status, guest-shutdown), obeys the ACPI power button, and gives a root shell on ttyS0.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import tempfile
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._guest.iso import iso_image
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, Step

# Devices that a guest boots from, talks through, or is switched off by.
BASE_MODULES = (
    "virtio_pci", "virtio_net", "virtio_blk", "virtio_scsi", "virtio_console", "virtio_rng",
    "e1000", "e1000e", "8139cp", "ata_piix", "ahci", "sd_mod", "sr_mod",
    "isofs", "crc32c_generic", "ext4", "vfat", "nls_ascii", "nls_cp437", "button", "evdev",
)  # fmt: skip
# What a fabric is made of, for guests that route, tunnel or impair.
NETWORK_MODULES = (
    "8021q", "bonding", "bridge", "dummy", "geneve", "gre", "ip_gre", "macvlan", "openvswitch", "sch_netem",
    "veth", "vrf", "vxlan", "wireguard",
)  # fmt: skip
APPLETS = (
    "acpid arp arping ash awk base64 basename brctl cat chmod cp cut date dd dmesg echo env expr false find free ftpget "
    "grep gunzip gzip halt head hexdump hostname httpd id ifconfig insmod ip ipcalc kill killall ln ls lsmod md5sum "
    "mkdir mkfifo mknod modprobe mount mv nc netstat nslookup od pgrep pidof ping ping6 poweroff printf ps pwd readlink "
    "reboot rm rmdir rmmod route sed seq setsid sh sha256sum sleep sort stat stty switch_root sync sysctl tail tar tee "
    "telnet test tftp time timeout top touch tr traceroute traceroute6 true udhcpc umount uname uniq uptime vconfig vi "
    "watch wc wget which xargs"
).split()
KERNELS = {"x86_64": "linux-image-amd64", "aarch64": "linux-image-arm64"}

INIT = r"""#!/bin/sh
export PATH=/bin HOME=/ TERM=linux
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
exec </dev/console >/dev/console 2>&1
echo 3 > /proc/sys/kernel/printk
# Only what the shell does itself is cheap on an emulated processor; every process costs some 20 ms.
read -r words < /proc/cmdline
option() { value=; for word in $words; do case $word in overloom.$1=*) value=${word#*=} ;; esac; done; }

option hostname
hostname "$value"
modprobe virtio_pci 2>/dev/null
# In the order of the bus, so that eth0 is the first NIC whatever its model.
for device in /sys/bus/pci/devices/*; do
  read -r vendor < $device/vendor
  read -r id < $device/device
  case $vendor:$id in
    0x1af4:0x1000|0x1af4:0x1041) modprobe virtio_net ;;
    0x1af4:0x1001|0x1af4:0x1042) modprobe virtio_blk ;;
    0x1af4:0x1003|0x1af4:0x1043) modprobe virtio_console ;;
    0x1af4:0x1004|0x1af4:0x1048) modprobe virtio_scsi; modprobe sd_mod; modprobe sr_mod ;;
    0x8086:0x100e|0x8086:0x100f|0x8086:0x1004) modprobe e1000 ;;
    0x8086:0x10d3) modprobe e1000e ;;
    0x10ec:0x8139) modprobe 8139cp ;;
    0x8086:0x7010) modprobe ata_piix; modprobe sd_mod; modprobe sr_mod ;;
    0x8086:0x2922) modprobe ahci; modprobe sd_mod; modprobe sr_mod ;;
  esac
done
comma() { old=$IFS; IFS=,; set -- $value; IFS=$old; items="$*"; }
option modules; comma
for module in $items; do modprobe $module; done

ip link set lo up
for path in /sys/class/net/eth*; do
  [ -e "$path" ] || continue
  nic=${path##*/}
  option $nic; comma
  for item in $items; do case $item in mtu=*) ip link set $nic mtu ${item#mtu=} ;; esac; done
  # BusyBox cannot say nodad, and a fresh address must not wait.
  echo 0 > /proc/sys/net/ipv6/conf/$nic/accept_dad
  ip link set $nic up
  for item in $items; do
    case $item in
      *:*/*) ip -6 address add $item dev $nic ;;
      */*) ip address add $item dev $nic ;;
      dhcp) udhcpc -i $nic -s /etc/udhcpc -b -t 10 -T 1 >/dev/null ;;
    esac
  done
  for item in $items; do case $item in gateway=*) ip route add default via ${item#gateway=} ;; esac; done
done

option http
if [ -n "$value" ]; then
  hostname > /www/index.html
  httpd -p "$value" -h /www
fi
option stand_in
[ -n "$value" ] && /etc/stand-in
/etc/agent &
read -r up rest < /proc/uptime
echo "overloom guest $(hostname) is up after $up s"
modprobe evdev 2>/dev/null
modprobe button 2>/dev/null
for event in /dev/input/event*; do
  grep -q 'Power Button' /sys/class/input/${event##*/}/device/name 2>/dev/null || continue
  (dd if=$event of=/dev/null bs=24 count=1 2>/dev/null; echo 'overloom guest is powered off'; poweroff -f) &
done
[ -c /dev/ttyS0 ] && tty=/dev/ttyS0 || tty=/dev/console
while :; do setsid sh -c "exec sh -i <$tty >$tty 2>&1"; sleep 1; done
"""

# The QEMU guest agent's protocol, as far as a probe needs it: one JSON object a line. libvirt writes it without spaces.
AGENT = r"""#!/bin/sh
for i in 1 2 3 4 5 6 7 8 9 10; do
  for name in /sys/class/virtio-ports/*/name; do
    [ "$(cat $name 2>/dev/null)" = org.qemu.guest_agent.0 ] && port=/dev/$(basename ${name%/name}) && break 2
  done
  sleep 0.2
done
[ -n "$port" ] || exit 0
text() { printf '%s' "$line" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }
number() { printf '%s' "$line" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
answer() { printf '{"return":%s}\n' "$1" >&3; }
refuse() { printf '{"error":{"class":"%s","desc":"%s"}}\n' "$1" "$2" >&3; }
mkdir -p /run
jobs=0
exec 3<>$port
while :; do
  # A port that nobody holds open reads as ended.
  IFS= read -r line <&3 || { sleep 0.2; continue; }
  case $line in
    *'"guest-sync"'*) answer "$(number id)" ;;
    *'"guest-sync-delimited"'*) printf '\377' >&3; answer "$(number id)" ;;
    *'"guest-ping"'*) answer '{}' ;;
    *'"guest-info"'*)
      answer '{"version":"overloom","supported_commands":[{"name":"guest-ping","enabled":true},{"name":"guest-exec","enabled":true}]}' ;;
    *'"guest-get-host-name"'*) answer "{\"host-name\":\"$(hostname)\"}" ;;
    *'"guest-shutdown"'*) sync; poweroff -f ;;
    *'"guest-exec-status"'*)
      job=/run/job.$(number pid)
      if [ -e $job.status ]; then
        answer "{\"exited\":true,\"exitcode\":$(cat $job.status),\"out-data\":\"$(base64 -w 0 $job.out)\",\"err-data\":\"$(base64 -w 0 $job.err)\"}"
        rm -f $job.*
      elif [ -e $job.out ]; then
        answer '{"exited":false}'
      else
        refuse InvalidParameter 'no such pid'
      fi ;;
    *'"guest-exec"'*)
      jobs=$((jobs + 1))
      job=/run/job.$jobs
      path=$(text path)
      list=$(printf '%s' "$line" | sed -n 's/.*"arg":\["\([^]]*\)"\].*/\1/p' | sed 's/","/\n/g')
      : > $job.out
      ( IFS='
'
        set -f
        "$path" $list >$job.out 2>$job.err </dev/null
        echo $? > $job.part
        mv $job.part $job.status ) &
      answer "{\"pid\":$jobs}" ;;
    *) refuse CommandNotFound 'the lab guest has no such command' ;;
  esac
done
"""

# The other end of a transfer: counts what comes, and says how much it was in eight bytes.
COUNT = r"""#!/bin/sh
n=$(wc -c)
bytes=
for shift in 56 48 40 32 24 16 8 0; do bytes=$bytes$(printf '\\%03o' $(((n >> shift) & 255))); done
printf "$bytes"
"""

# Plays a vendor's image in tests, and nothing of its software: it finds its flash partition, takes name, addresses and MTUs from the
# configuration there, the first NIC being Management1 or ether1, and opens the port of the API.
STAND_IN = r"""#!/bin/sh
mkdir -p /mnt/flash
# ext4 wants the checksum, which the kernel would ask for by a name.
modprobe crc32c_generic
modprobe ext4
for i in 1 2 3 4 5 6 7 8 9 10; do
  for device in /dev/sda2 /dev/vda2; do [ -b $device ] && break 2; done
  sleep 0.3
done
mount -t ext4 $device /mnt/flash || exit 1
nic= port=
if [ -e /mnt/flash/startup-config ]; then
  kind=startup-config
  while read -r one two three rest; do
    case "$one $two" in
      "hostname "*) hostname "$two" ;;
      "interface Management1") nic=eth0 ;;
      "interface Ethernet"*) nic=eth${two#Ethernet} ;;
      "interface "*) nic= ;;
      "ip address") [ -n "$nic" ] && ip address add "$three" dev $nic ;;
      "ipv6 address") [ -n "$nic" ] && ip -6 address add "$three" dev $nic ;;
      "mtu "*) [ -n "$nic" ] && ip link set $nic mtu "$two" ;;
      "management api") port=443 ;;
    esac
  done < /mnt/flash/startup-config
  grep -q '^DISABLE=True' /mnt/flash/zerotouch-config || echo 'overloom stand-in: zero touch provisioning is on'
elif [ -e /mnt/flash/rw/autorun.scr ]; then
  kind=autorun.scr
  while read -r line; do
    nic= address= mtu= name=
    for word in $line; do
      case $word in
        interface=ether*|default-name=ether*) nic=eth$((${word##*=ether} - 1)) ;;
        address=*) address=${word#*=} ;;
        l2mtu=*) ;;
        mtu=*) mtu=${word#*=} ;;
        name=*) name=${word#*=} ;;
      esac
    done
    case $line in
      "/ip address add"*) ip address add $address dev $nic ;;
      "/ipv6 address add"*) ip -6 address add $address dev $nic ;;
      "/interface ethernet set"*) ip link set ${nic:-eth0} mtu $mtu ;;
      "/system identity set"*) hostname $name ;;
      "/ip service enable www"*) port=80 ;;
    esac
  done < /mnt/flash/rw/autorun.scr
else
  echo 'overloom stand-in: there is no configuration on the flash partition'
  exit 1
fi
[ -n "$port" ] || exit 1
setsid nc -ll -p $port -e /etc/api >/dev/null 2>&1 &
echo "overloom stand-in $(hostname) took $kind: API on port $port"
"""

# The stand-in's API: one HTTP request, and of all that eAPI and RouterOS's REST know, a ping. Everything else gets the host's name.
API = r"""#!/bin/sh
read -r method path rest
length=0
cr=$(printf '\r')
while read -r line; do
  line=${line%$cr}
  [ -n "$line" ] || break
  case $line in [Cc]ontent-[Ll]ength:*) length=${line#*: } ;; esac
done
body=$(head -c "$length")
value() { printf '%s' "$body" | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
text=$(hostname)
case $path in
  /command-api)
    set -- $(printf '%s' "$body" | sed -n 's/.*"ping \([^"]*\)".*/\1/p')
    [ "$1" = ipv6 ] && header=48 || header=28
    output=$(ping -W 2 -i 0.2 -c "$4" -s $(($6 - header)) "$2" 2>&1 | sed 's/"//g;s/$/\\n/' | tr -d '\n')
    text="{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[{\"output\":\"\"},{\"output\":\"$output\"}]}" ;;
  /rest/tool/ping)
    to=$(value address) count=$(value count)
    case $to in *:*) header=48 ;; *) header=28 ;; esac
    output=$(ping -W 2 -i 0.2 -c "$count" -s $(($(value size) - header)) "$to" 2>&1)
    received=$(printf '%s' "$output" | sed -n 's/.*transmitted, \([0-9]*\) packets received.*/\1/p')
    rtt=$(printf '%s' "$output" | sed -n 's/.*= [0-9.]*\/\([0-9]*\)\.\([0-9]*\)\/.*/\1ms\2us/p')
    text="[{\"host\":\"$to\",\"sent\":\"$count\",\"received\":\"${received:-0}\",\"avg-rtt\":\"$rtt\"}]" ;;
esac
printf 'HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s' ${#text} "$text"
"""

UDHCPC = r"""#!/bin/sh
case $1 in
  deconfig) ip address flush dev $interface ;;
  bound|renew)
    [ -n "$mtu" ] && ip link set $interface mtu $mtu
    ip address replace $ip/$mask dev $interface
    if [ -n "$staticroutes" ]; then
      set -- $staticroutes
      while [ $# -ge 2 ]; do
        [ $2 = 0.0.0.0 ] && ip route replace $1 dev $interface || ip route replace $1 via $2 dev $interface
        shift 2
      done
    else
      for gateway in $router; do ip route replace default via $gateway dev $interface; done
    fi ;;
esac
"""


SCRIPTS = {"agent": AGENT, "api": API, "count": COUNT, "stand-in": STAND_IN, "udhcpc": UDHCPC}


# The data archives that Python's standard library can read, by their names in a package: how tarfile opens them.
_PACKED: dict[str, t.Literal["r|", "r|xz", "r|gz"]] = {"data.tar": "r|", "data.tar.xz": "r|xz", "data.tar.gz": "r|gz"}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """What a regular file of an archive holds."""
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def deb_members(path: str) -> t.Iterator[tuple[str, t.Callable[[], bytes]]]:
    """Name and reader of each regular file in a Debian package, in its order (deb(5)). Raises FabricError."""
    try:
        with open(path, "rb") as stream:
            if stream.read(8) != b"!<arch>\n":
                raise FabricError(f"{path} is no Debian package: remove it, it will be fetched again")
            while True:
                header = stream.read(60)
                if len(header) < 60:
                    raise FabricError(f"{path} has no data archive: remove it, it will be fetched again")
                name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
                if name.startswith("data.tar"):
                    break
                stream.seek(size + size % 2, os.SEEK_CUR)
            if name not in _PACKED:
                raise FabricError(
                    f"{path} is packed as {name}, which Python's standard library cannot read: use Debian's package"
                )
            with tarfile.open(fileobj=stream, mode=_PACKED[name]) as archive:
                for member in archive:
                    if member.isfile():
                        yield member.name.lstrip("./"), functools.partial(_content, archive, member)
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError, ValueError) as error:
        raise FabricError(f"{path} cannot be read ({error}): remove it, it will be fetched again") from error


def fast_kernel(kernel: bytes) -> bytes:
    """The ELF kernel inside an x86 bzImage, without its symbols; other kernels as they are.

    QEMU starts it by the PVH protocol, which saves unpacking it on the emulated processor: four seconds without KVM.
    Offsets after Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length) and elf(5).
    """
    if kernel[0x202:0x206] != b"HdrS":
        return kernel
    setup_sects = kernel[0x1F1] or 4
    offset, length = struct.unpack_from("<II", kernel, 0x248)
    start = (setup_sects + 1) * 512 + offset
    try:
        elf = bytearray(lzma.LZMADecompressor().decompress(kernel[start : start + length]))
    except lzma.LZMAError:
        return kernel
    if elf[:5] != b"\x7fELF\x02":
        return kernel
    table, size, count = struct.unpack_from("<Q", elf, 32)[0], *struct.unpack_from("<HH", elf, 54)
    ends = [sum(struct.unpack_from("<Q", elf, table + n * size + field)[0] for field in (8, 32)) for n in range(count)]
    struct.pack_into("<Q", elf, 40, 0)
    struct.pack_into("<HHH", elf, 58, 0, 0, 0)
    return bytes(elf[: max(ends)])


def module_depends(content: bytes) -> list[str]:
    """The modules that a kernel module needs, from its .modinfo section."""
    match = re.search(rb"\0depends=([^\0]*)\0", content)
    return [name.replace("-", "_") for name in match.group(1).decode().split(",") if name] if match else []


def closure(wanted: t.Iterable[str], depends: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """The wanted modules and all that they need, each after what it needs. Names that are not in depends are left out."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in depends and name not in order:
            for needed in depends[name]:
                visit(needed)
            order.append(name)

    for name in wanted:
        visit(name)
    return order


def cpio(entries: t.Iterable[tuple[str, int, bytes]]) -> bytes:
    """A `newc` archive (cpio(5)) of (path, mode, content); the content of a link is its target."""
    parts = []
    for inode, (path, mode, content) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        name = path.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        parts.append(header + name + b"\0" * (-(len(header) + len(name)) % 4))
        parts.append(content + b"\0" * (-len(content) % 4))
    return b"".join(parts)


def initramfs(busybox: bytes, release: str, modules: dict[str, bytes]) -> bytes:
    """The guest's whole root file system. modules are in the order of closure()."""
    folder = f"lib/modules/{release}"
    entries = [
        (path, stat.S_IFDIR | 0o755, b"")
        for path in ("bin", "dev", "etc", "lib", "lib/modules", folder, "proc", "run", "sys", "tmp", "www")
    ]
    entries += [("bin/busybox", stat.S_IFREG | 0o755, busybox)]
    entries += [(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox") for applet in APPLETS]
    entries += [(f"etc/{name}", stat.S_IFREG | 0o755, text.encode()) for name, text in SCRIPTS.items()]
    entries += [("init", stat.S_IFREG | 0o755, INIT.encode())]
    depends = {name: module_depends(content) for name, content in modules.items()}
    lines = []
    for name, content in modules.items():
        entries.append((f"{folder}/{name}.ko", stat.S_IFREG | 0o644, content))
        # modprobe loads a line's modules from the last to the first.
        needed = closure(depends[name], depends)[::-1]
        lines.append(f"{name}.ko:" + "".join(f" {other}.ko" for other in needed))
    entries.append((f"{folder}/modules.dep", stat.S_IFREG | 0o644, ("\n".join(lines) + "\n").encode()))
    return cpio(entries)


class Image(t.NamedTuple):
    """A guest image that is, or will be, in the cache."""

    kernel: str
    initrd: str
    complete: bool
    iso: str = ""
    flash: str = ""


def locate(cache: str, package: str, modules: t.Sequence[str], stand_in: bool = False) -> Image:
    """Where the image with these modules lies. Its name changes with everything that it is made from but the package's version."""
    made_from = "\0".join(["2", package, INIT, *SCRIPTS.values(), *APPLETS, *BASE_MODULES, *sorted(modules)])
    folder = os.path.join(
        cache, ("stand-in-" if stand_in else "guest-") + hashlib.sha256(made_from.encode()).hexdigest()[:12]
    )
    names = ["vmlinux", "initrd", *(("boot.iso", "flash.qcow2") if stand_in else ())]
    kernel, initrd, *more = (os.path.join(folder, name) for name in names)
    return Image(kernel, initrd, all(os.path.exists(path) for path in (kernel, initrd, *more)), *more)


def real_package(runner: Runner, package: str) -> str:
    """The package that a metapackage such as linux-image-amd64 stands for. Raises FabricError."""
    text = runner(["apt-cache", "depends", "--important", package])
    match = re.search(r"^\s*Depends: (linux-image-\S+)", text, re.M)
    if not match:
        raise FabricError(
            f"kernel_package {package} names no kernel: use a metapackage such as linux-image-amd64, after apt-get update"
        )
    return match.group(1)


FLASH_SIZE, FLASH_AT = 16 << 20, 2 << 20


def boot_disc(files: t.Mapping[str, bytes]) -> bytes:
    """The disc that the stand-in boots from. files: isolinux.bin, ldlinux.c32, vmlinuz, initrd."""
    # no_timer_check: as on the lab's guests (_plan/guest_machines.py).
    words = "initrd=initrd console=ttyS0 quiet no_timer_check overloom.stand_in=yes"
    script = f"default linux\nprompt 0\nlabel linux\n  kernel vmlinuz\n  append {words}\n"
    return iso_image({**files, "isolinux.cfg": script.encode()}, "STANDIN", "isolinux.bin")


def partition_table(parts: t.Sequence[tuple[int, int]]) -> bytes:
    """A master boot record with Linux partitions of (first byte, bytes)."""
    entries = b"".join(struct.pack("<B3xB3xII", 0, 0x83, start // 512, size // 512) for start, size in parts)
    return bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa"


def build_stand_in(runner: Runner, folder: str, kernel: bytes, debs: t.Mapping[str, str]) -> None:
    """Put the stand-in's boot disc and its flash disk, whose second partition is empty, into the folder."""
    loader = {}
    for package, path in (("isolinux", "isolinux.bin"), ("syslinux-common", "bios/ldlinux.c32")):
        name = os.path.basename(path)
        loader[name] = next((read() for found, read in deb_members(debs[package]) if found.endswith("/" + path)), b"")
        if not loader[name]:
            raise FabricError(f"the package {package} has no {path}: report this with the package's version")
    with open(os.path.join(folder, "initrd"), "rb") as stream:
        initrd = gzip.compress(stream.read(), 1, mtime=0)
    with open(os.path.join(folder, "boot.iso"), "wb") as stream:
        stream.write(boot_disc({**loader, "vmlinuz": kernel, "initrd": initrd}))
    content, raw = os.path.join(folder, "content"), os.path.join(folder, "flash.raw")
    os.makedirs(os.path.join(content, "rw"))
    with open(raw, "wb") as stream:
        stream.write(partition_table([(1 << 20, 1 << 20), (FLASH_AT, FLASH_SIZE - FLASH_AT)]))
        stream.truncate(FLASH_SIZE)
    options = f"offset={FLASH_AT}"
    runner(["mke2fs", "-q", "-F", "-t", "ext2", "-E", options, "-d", content, raw, f"{(FLASH_SIZE - FLASH_AT) >> 10}k"])
    runner(["qemu-img", "convert", "-q", "-O", "qcow2", raw, os.path.join(folder, "flash.qcow2")])
    os.unlink(raw)
    shutil.rmtree(content)


def download(runner: Runner, folder: str, packages: t.Iterable[str]) -> dict[str, str]:
    """Fetch packages into a folder; their files by package."""
    here = os.getcwd()
    os.chdir(folder)
    try:
        # apt-get download writes into the working folder.
        runner(Step(("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", *packages)))
    finally:
        os.chdir(here)
    return {name.split("_")[0]: os.path.join(folder, name) for name in os.listdir(folder)}


def unpack_kernel(deb: str) -> tuple[bytes, str, dict[str, bytes]]:
    """The kernel of a package, its release, and its modules by name; empty where the package has none."""
    kernel, release, modules = b"", "", {}
    for name, read in deb_members(deb):
        if name.startswith("boot/vmlinuz-"):
            kernel, release = read(), name[len("boot/vmlinuz-") :]
        match = re.search(r"/([^/]+)\.ko(\.xz)?$", name)
        # Which modules depend on which is known only when all of them are here; the network's and the drivers' are few.
        if match and re.search(
            r"/kernel/(net|lib|block|crypto|arch|drivers/(net|virtio|block|char|ata|scsi|acpi|input|firmware|cdrom|md)"
            r"|fs/(isofs|fat|nls|ext4|jbd2))/|/kernel/fs/mbcache",
            name,
        ):
            content = read()
            modules[match.group(1).replace("-", "_")] = lzma.decompress(content) if match.group(2) else content
    return kernel, release, modules


def unpack_busybox(deb: str) -> bytes:
    """The program of the package busybox-static. Raises FabricError."""
    for name, read in deb_members(deb):
        if name in ("bin/busybox", "usr/bin/busybox"):
            return read()
    raise FabricError("the package busybox-static has no bin/busybox: report this with the package's version")


def build(runner: Runner, cache: str, package: str, modules: t.Sequence[str], stand_in: bool = False) -> Image:
    """Fetch the packages, unpack what is needed, and put the image into the cache in one rename."""
    image = locate(cache, package, modules, stand_in)
    os.makedirs(cache, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".guest-", dir=cache) as scratch:
        kernel_package = real_package(runner, package)
        loader = ("isolinux", "syslinux-common") if stand_in else ()
        debs = download(runner, scratch, (kernel_package, "busybox-static", *loader))
        kernel, release, found = unpack_kernel(debs[kernel_package])
        missing = sorted(set(modules) - set(found))
        if not kernel or missing:
            raise FabricError(
                f"kernel_package {kernel_package} lacks {', '.join(missing) or 'a kernel'}: name modules that it has"
            )
        order = closure([*BASE_MODULES, *modules], {name: module_depends(content) for name, content in found.items()})
        busybox = unpack_busybox(debs["busybox-static"])
        folder = os.path.join(scratch, "image")
        os.mkdir(folder)
        with open(os.path.join(folder, "vmlinux"), "wb") as stream:
            stream.write(fast_kernel(kernel))
        # Not compressed: a guest without KVM would spend longer on unpacking it than the host on reading it.
        with open(os.path.join(folder, "initrd"), "wb") as stream:
            stream.write(initramfs(busybox, release, {name: found[name] for name in order}))
        if stand_in:
            build_stand_in(runner, folder, kernel, debs)
        os.chmod(folder, 0o755)
        target = os.path.dirname(image.kernel)
        try:
            os.rename(folder, target)
        except OSError as error:
            # Another build of the same image was faster.
            if not locate(cache, package, modules, stand_in).complete:
                raise FabricError(f"{target} could not be written: {error.strerror}") from error
    return locate(cache, package, modules, stand_in)
