# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's XML as data: what domains, networks, pools and volumes have in common. Pure; this file is private to the collection.

A document is patched, never rewritten: what the caller did not declare, and what libvirt added, stays as it is.
"""

from __future__ import annotations

import collections
import copy
import ipaddress
import re
import typing as t
import uuid
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import verbatim
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER, Caller, may_change
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK, FabricError

NAMESPACE = "urn:overloom.fabric"
MARK = "{%s}fabric" % NAMESPACE
# So that a document that is read and written again keeps the prefixes which its author knows.
PREFIXES = {
    "overloom": NAMESPACE,
    "qemu": "http://libvirt.org/schemas/domain/qemu/1.0",
    "dnsmasq": "http://libvirt.org/schemas/network/dnsmasq/1.0",
    "libosinfo": "http://libosinfo.org/xmlns/libvirt/domain/1.0",
    "fs": "http://libvirt.org/schemas/storagepool/fs/1.0",
}
for _prefix, _uri in PREFIXES.items():
    ET.register_namespace(_prefix, _uri)

UNITS = {
    "B": 1, "BYTES": 1,
    "K": 2**10, "KIB": 2**10, "KB": 10**3,
    "M": 2**20, "MIB": 2**20, "MB": 10**6,
    "G": 2**30, "GIB": 2**30, "GB": 10**9,
    "T": 2**40, "TIB": 2**40, "TB": 10**12,
}  # fmt: skip


# ---- values


def size(text: str, what: str) -> int:
    """Bytes of a size with its unit, after libvirt's scaled integers (K and KiB are 1024, KB is 1000). Raises FabricError."""
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]+)\s*", str(text))
    if not match or match.group(2).upper() not in UNITS or int(match.group(1)) == 0:
        raise FabricError(f"{what} {text!r} is no size: write a number and its unit, such as 512MiB or 10GiB")
    return int(match.group(1)) * UNITS[match.group(2).upper()]


def shown_size(value: int) -> str:
    """Bytes in the largest unit that divides them."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if value and value % UNITS[unit.upper()] == 0:
            return f"{value // UNITS[unit.upper()]}{unit}"
    return f"{value}B"


def check_name(name: t.Any, what: str) -> str:
    """A name that libvirt takes and that cannot be read as an option, a path or a line. Raises FabricError."""
    if (
        not isinstance(name, str)
        or not re.fullmatch(r"[A-Za-z0-9_.:+@][A-Za-z0-9_.:+@ -]*", name)
        or name != name.strip()
        or name in (".", "..")
    ):
        raise FabricError(
            f"{what} {name!r} is no name: use letters, digits and _.:+@-, and begin with one of them but -"
        )
    return name


def check_text(value: str, what: str) -> str:
    """A text that XML can carry. Raises FabricError."""
    bad = next(
        (
            c
            for c in value
            if (ord(c) < 32 and c not in "\t\n") or 0xD800 <= ord(c) < 0xE000 or ord(c) in (0xFFFE, 0xFFFF) or c == "\r"
        ),
        None,
    )
    if bad is not None:
        raise FabricError(f"{what} holds the character {bad!r}, which XML cannot carry: remove it")
    return value


def check_line(value: str, what: str) -> str:
    """A text of one line without blanks at its ends, as it stands in an attribute. Raises FabricError."""
    if "\n" in value or "\t" in value or value != value.strip():
        raise FabricError(f"{what} {value!r} must be one line without blanks at its ends")
    return check_text(value, what)


def check_path(value: str, what: str) -> str:
    """An absolute path. Raises FabricError."""
    if not value.startswith("/") or value.endswith("/"):
        raise FabricError(f"{what} {value!r} is no file: write its absolute path")
    return check_line(value, what)


def check_mac(value: str, what: str) -> str:
    """A unicast MAC address in lower case. Raises FabricError."""
    text = str(value).lower()
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text) or int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise FabricError(f"{what} {value!r} is no unicast MAC address: write it like 52:54:00:12:34:56")
    return text


def check_uuid(value: str, what: str) -> str:
    """A UUID in lower case with hyphens. Raises FabricError."""
    try:
        return str(uuid.UUID(str(value)))
    except ValueError:
        raise FabricError(f"{what} {value!r} is no UUID: write it like 4dea22b3-1d52-d8f3-2516-782e98ab3fa0") from None


def check_address(value: str, what: str) -> str:
    """An IP address in its usual writing. Raises FabricError."""
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        raise FabricError(f"{what} {value!r} is no IP address") from None


def check_number(value: int, what: str, least: int, most: int) -> int:
    """A number within its bounds. Raises FabricError."""
    if not least <= value <= most:
        raise FabricError(f"{what} {value} is not between {least} and {most}")
    return value


def derived_uuid(*parts: str) -> str:
    """The UUID that follows from owner, module and name, the same on every run and every controller (RFC 4122, version 5)."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE + "/" + "/".join(parts)))


def derived_mac(*parts: str) -> str:
    """The MAC address that follows from owner, name and NIC, in QEMU's range 52:54:00."""
    tail = uuid.UUID(derived_uuid("mac", *parts)).bytes[-3:]
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in tail)


# ---- documents


def libvirt_document(text: str) -> ET.Element:
    """The root of a document that libvirt wrote; what others have in its metadata stays as they wrote it."""
    return verbatim.read(text, MARK)


def parse(text: str, what: str) -> ET.Element:
    """The root of a document. Raises FabricError."""
    # An entity could pull in files or grow without end; libvirt's own documents have none.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FabricError(f"{what} declares a document type or an entity: leave it out")
    try:
        return ET.fromstring(text)
    except ET.ParseError as error:
        raise FabricError(f"{what} is not well-formed XML: {error}") from error


def to_xml(root: ET.Element, secret: bool = False) -> str:
    """The document with two blanks a level. Passwords and cookies are masked unless secret, which is only for libvirt's ears."""
    root = copy.deepcopy(root)
    _indent(root, 0)
    if not secret:
        for element in root.iter():
            if "passwd" in element.attrib:
                element.set("passwd", MASK)
            if element.tag == "cookie":
                element.text = MASK
    return verbatim.written(ET.tostring(root, encoding="unicode")) + "\n"


def _indent(element: ET.Element, depth: int) -> None:
    if len(element):
        if not (element.text or "").strip():
            element.text = "\n" + "  " * (depth + 1)
        for child in element:
            _indent(child, depth + 1)
            if not (child.tail or "").strip():
                child.tail = "\n" + "  " * (depth + 1)
        if not (element[-1].tail or "").strip():
            element[-1].tail = "\n" + "  " * depth
    element.tail = None if depth == 0 else element.tail


def element(
    tag: str, attributes: t.Mapping[str, t.Any] | None = None, *children: ET.Element, text: str | None = None
) -> ET.Element:
    """A new element; attributes that are None are left out, truth values become yes and no."""
    made = ET.Element(tag)
    for key, value in (attributes or {}).items():
        if value is not None:
            made.set(key, yes_no(value) if isinstance(value, bool) else str(value))
    made.extend(children)
    made.text = text
    return made


def yes_no(value: bool) -> str:
    """libvirt's usual spelling of a truth value."""
    return "yes" if value else "no"


def attribute(root: ET.Element, path: str, name: str) -> str | None:
    """An attribute of the first element at path, or None."""
    found = root.find(path)
    return None if found is None else found.get(name)


def make(parent: ET.Element, tag: str, before: t.Sequence[str] = ()) -> ET.Element:
    """The first child with the tag, made when there is none, ahead of the first child with a tag in before."""
    found = parent.find(tag)
    if found is not None:
        return found
    made = ET.Element(tag)
    place = next((n for n, child in enumerate(parent) if child.tag in before), len(parent))
    parent.insert(place, made)
    return made


def drop(parent: ET.Element, *tags: str) -> None:
    """Remove the children with these tags."""
    for child in [child for child in parent if child.tag in tags]:
        parent.remove(child)


def set_attribute(parent: ET.Element, tag: str, name: str, value: t.Any) -> None:
    """Set one attribute of a child that is made when missing; None or an empty text removes the child when nothing else is in it."""
    if value in (None, ""):
        child = parent.find(tag)
        if child is not None:
            child.attrib.pop(name, None)
            if not child.attrib and not len(child):
                parent.remove(child)
        return
    make(parent, tag).set(name, yes_no(value) if isinstance(value, bool) else str(value))


def set_text(parent: ET.Element, tag: str, value: str, before: t.Sequence[str] = ()) -> None:
    """Set the text of a child; an empty text removes it."""
    if value == "":
        drop(parent, tag)
    else:
        make(parent, tag, before).text = value


# ---- the owner's mark


class Mark(t.NamedTuple):
    """What the collection keeps in a document's metadata.

    owner, module: who made it, or empty. storage: files and volumes that were made for it. items: the caller's own data.
    nics: MAC addresses of the NICs that were declared, or None when none ever were. adopted: whether it was there before its owner was.
    before: the NICs that a domain had before, each as a document. former: what else its document said before, packed (see _libvirt/former.py).
    """

    owner: str = ""
    module: str = ""
    storage: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    nics: tuple[str, ...] | None = None
    adopted: bool = False
    before: tuple[str, ...] = ()
    former: str = ""


def read_mark(root: ET.Element) -> Mark:
    """The mark in a document, or an empty one."""
    found = root.find(f"metadata/{MARK}")
    if found is None:
        return Mark()
    items = tuple((e.get("key", ""), e.text or "") for e in found.findall("{%s}item" % NAMESPACE))
    storage = tuple(e.get("path", "") for e in found.findall("{%s}storage" % NAMESPACE))
    nics = tuple(found.get("nics", "").split()) if "nics" in found.attrib else None
    return Mark(
        found.get("owner", ""),
        found.get("module", ""),
        storage,
        items,
        nics,
        found.get("adopted") == "yes",
        _read_before(found),
        found.findtext("{%s}former" % NAMESPACE, ""),
    )


def _read_before(mark: ET.Element) -> tuple[str, ...]:
    return tuple(to_xml(nic) for holder in mark.findall("{%s}before" % NAMESPACE) for nic in holder)


def write_mark(root: ET.Element, mark: Mark, before: t.Sequence[str]) -> None:
    """Put the mark into a document; an empty one removes it. before: the tags that metadata stands ahead of."""
    if read_mark(root) == mark:
        return
    metadata = make(root, "metadata", before)
    drop(metadata, MARK)
    if mark != Mark():
        made = element(
            MARK, {"owner": mark.owner or None, "module": mark.module or None, "adopted": mark.adopted or None}
        )
        if mark.nics is not None:
            made.set("nics", " ".join(mark.nics))
        made.extend(element("{%s}storage" % NAMESPACE, {"path": path}) for path in mark.storage)
        made.extend(element("{%s}item" % NAMESPACE, {"key": key}, text=value) for key, value in mark.items)
        if mark.before:
            made.append(element("{%s}before" % NAMESPACE, None, *map(ET.fromstring, mark.before)))
        if mark.former:
            made.append(element("{%s}former" % NAMESPACE, text=mark.former))
        metadata.append(made)
    if not len(metadata):
        root.remove(metadata)


def check_owner(found: Mark, owner: str, adopt: bool, thing: str) -> None:
    """Refuse what belongs to somebody else. thing: "domain web1". Raises FabricError."""
    if adopt or found.owner == owner:
        return
    if found.owner:
        raise FabricError(f"{thing} belongs to {found.owner}, not to {owner}: leave it, or set adopt to take it over")


def check_change(thing: str, changed: t.Sequence[str], uses: t.Sequence[str] = ()) -> None:
    """Refuse to replace what others set on a thing without a mark. changed: the options. uses: who uses it. Raises FabricError."""
    if not changed:
        return
    may_change(thing, None, Caller(DEFAULT_OWNER), f"{', '.join(changed)} would be replaced", uses)


def replaces(before: t.Any, after: t.Any) -> bool:
    """Whether something that was there before becomes another, or goes. An addition replaces nothing."""
    if before in (None, "", 0, False, [], {}) or before in ("shutoff", "absent", "inactive", "detached"):
        return False
    if isinstance(before, dict) and isinstance(after, dict):
        return any(replaces(value, after.get(key)) for key, value in before.items())
    if isinstance(before, list):
        return any(each not in after for each in before)
    return before != after


# ---- lines of a document


def document_lines(root: ET.Element, name_of: t.Callable[[ET.Element], str]) -> collections.Counter[tuple[str, str]]:
    """Each attribute and text of a document with its path, but for the mark. name_of: how a device or an entry of a list is called there."""
    found: collections.Counter[tuple[str, str]] = collections.Counter()

    def walk(holder: ET.Element, path: str) -> None:
        for key, value in holder.attrib.items():
            found[(f"{path}@{key}", value)] += 1
        text = (holder.text or "").strip()
        if path and (text or not len(holder) and not holder.attrib):
            found[(path[:-1], text)] += 1
        for each in holder:
            if each.tag != MARK:
                walk(each, f"{path}{name_of(each)}/")

    walk(root, "")
    return found


# ---- VLANs (the same element in a network, a portgroup and an interface)


def vlan_ids(values: t.Iterable[t.Any], what: str) -> list[int]:
    """The VLANs of a list of ids and ranges ("20-29"), sorted. Raises FabricError."""
    ids: set[int] = set()
    for value in values:
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", str(value))
        first, last = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (0, 0)
        if not 1 <= first <= last <= 4094:
            raise FabricError(f"{what} holds {value!r}: VLANs are 1 to 4094, a range is written 20-29")
        ids.update(range(first, last + 1))
    return sorted(ids)


def check_vlan(options: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any] | None:
    """The VLANs that options declare with vlan, trunks and native_vlan, or None when they declare nothing.

    An access port has only a vlan; 0 and [] clear. Raises FabricError.
    """
    vlan, trunks, native = (options.get(key) for key in ("vlan", "trunks", "native_vlan"))
    mode = options.get("native_mode")
    if vlan is None and trunks is None and native is None:
        if mode:
            raise FabricError(f"{what}: native_mode {mode} needs native_vlan")
        return None
    if vlan and (trunks or native):
        raise FabricError(f"{what}: vlan makes an access port and trunks a trunk port: set one of them")
    if vlan:
        return {"vlan": vlan_ids([vlan], f"{what} vlan")[0], "trunks": [], "native_vlan": 0, "native_mode": ""}
    ids = vlan_ids(trunks or [], f"{what} trunks")
    if native and not ids:
        raise FabricError(f"{what}: native_vlan {native} needs trunks")
    if native:
        ids = vlan_ids([*ids, native], f"{what} native_vlan")
    if mode and not native:
        raise FabricError(f"{what}: native_mode {mode} needs native_vlan")
    return {"vlan": 0, "trunks": ids, "native_vlan": native or 0, "native_mode": (mode or "untagged") if native else ""}


NO_VLAN: dict[str, t.Any] = {"vlan": 0, "trunks": [], "native_vlan": 0, "native_mode": ""}


def parse_vlan(parent: ET.Element) -> dict[str, t.Any]:
    """The VLANs of an element with a <vlan> child or none, as check_vlan writes them."""
    found = parent.find("vlan")
    tags = [] if found is None else found.findall("tag")
    ids = sorted(_vlan_id(tag) for tag in tags)
    if found is None or not ids:
        return dict(NO_VLAN)
    if found.get("trunk") != "yes" and len(ids) == 1 and tags[0].get("nativeMode") is None:
        return {**NO_VLAN, "vlan": ids[0]}
    native = next((tag for tag in tags if tag.get("nativeMode")), None)
    if native is None:
        return {**NO_VLAN, "trunks": ids}
    return {"vlan": 0, "trunks": ids, "native_vlan": _vlan_id(native), "native_mode": native.get("nativeMode")}


def _vlan_id(tag: ET.Element) -> int:
    return int(tag.get("id", "0"), 0)


def set_vlan(parent: ET.Element, wanted: t.Mapping[str, t.Any]) -> None:
    """Write the VLANs of wanted (which may hold more) into an element."""
    found = parse_vlan(parent)
    if all(found[key] == wanted[key] for key in found):
        return
    drop(parent, "vlan")
    if wanted["vlan"]:
        parent.append(element("vlan", None, element("tag", {"id": wanted["vlan"]})))
    elif wanted["trunks"]:
        modes = {wanted["native_vlan"]: wanted["native_mode"]}
        tags = [element("tag", {"id": vlan, "nativeMode": modes.get(vlan)}) for vlan in wanted["trunks"]]
        parent.append(element("vlan", {"trunk": "yes"}, *tags))


def port_columns(vlan: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What libvirt sets on the Open vSwitch port of such an interface: tag, trunks and vlan_mode of its row in Port."""
    if vlan["native_vlan"]:
        return {"tag": vlan["native_vlan"], "trunks": vlan["trunks"], "vlan_mode": f"native-{vlan['native_mode']}"}
    return {"tag": vlan["vlan"] or None, "trunks": vlan["trunks"], "vlan_mode": None}


# ---- bandwidth

RATES = ("average", "peak", "burst")


def parse_bandwidth(parent: ET.Element, direction: str) -> dict[str, int]:
    """average, peak in KiB/s and burst in KiB of one direction; empty without a limit."""
    found = parent.find(f"bandwidth/{direction}")
    return {} if found is None else {key: int(found.get(key, 0)) for key in RATES if found.get(key)}


def set_bandwidth(
    parent: ET.Element, direction: str, wanted: t.Mapping[str, int], before: t.Sequence[str] = ()
) -> None:
    """Write one direction's limits; an empty mapping removes them."""
    if parse_bandwidth(parent, direction) == dict(wanted):
        return
    bandwidth = make(parent, "bandwidth", before)
    drop(bandwidth, direction)
    if wanted:
        bandwidth.append(element(direction, wanted))
    if not len(bandwidth):
        parent.remove(bandwidth)


def check_bandwidth(options: t.Mapping[str, t.Any] | None, what: str) -> dict[str, int] | None:
    """The declared limits, {} to remove them, None when not declared. Raises FabricError."""
    if options is None:
        return None
    found = {
        key: check_number(value, f"{what} {key}", 1, 2**32 - 1) for key, value in options.items() if value is not None
    }
    if found and "average" not in found:
        raise FabricError(f"{what} needs average, in KiB a second")
    return found


# ---- XML that the caller wrote


def contains(found: ET.Element, wanted: ET.Element) -> bool:
    """Whether each attribute, text and element of wanted is in found; what found has besides does not matter.

    Sizes with a unit are compared as bytes, since libvirt rewrites them.
    """
    if found.tag != wanted.tag:
        return False
    text, other = (wanted.text or "").strip(), (found.text or "").strip()
    if text and _scaled(wanted, text) != _scaled(found, other):
        return False
    if any(found.get(key) != value for key, value in wanted.attrib.items() if key != "unit"):
        return False
    rest = list(found)
    for child in wanted:
        twin = next((candidate for candidate in rest if contains(candidate, child)), None)
        if twin is None:
            return False
        rest.remove(twin)
    return True


def _scaled(holder: ET.Element, text: str) -> t.Any:
    unit = holder.get("unit", "").upper()
    return int(text) * UNITS[unit] if unit in UNITS and text.isdigit() else text


def merge(found: ET.Element, wanted: ET.Element, lists: t.Container[str] = (), declared: t.Container[str] = ()) -> None:
    """Put wanted into found. Its elements go into the element of the same tag, or are added.

    lists: tags whose children are things of their own (devices). There an element goes into one of the same tag only when no more of
    them are there than wanted has, else it is added; a NIC goes into the one with its MAC address. declared: the options, as nics may stand beside.
    """
    for key, value in wanted.attrib.items():
        found.set(key, value)
    if (wanted.text or "").strip():
        found.text = wanted.text
    rest = list(found)
    open_children = []
    for child in wanted:
        twin = next((candidate for candidate in rest if contains(candidate, child)), None)
        if twin is None:
            open_children.append(child)
        else:
            rest.remove(twin)
    for child in open_children:
        same = [candidate for candidate in rest if candidate.tag == child.tag]
        many = wanted.tag in lists and len(found.findall(child.tag)) > len(wanted.findall(child.tag))
        if child.tag == "interface" and child.find("mac") is not None:
            same = [
                candidate
                for candidate in same
                if attribute(candidate, "mac", "address") == attribute(child, "mac", "address")
            ]
            many = False
        elif child.tag == "interface" and "nics" in declared:
            many = True
        if not same or many:
            found.append(copy.deepcopy(child))
            continue
        rest.remove(same[0])
        merge(same[0], child, lists, declared)
