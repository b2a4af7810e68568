# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every documented option of the libvirt modules with two values, or the test that holds it. A unit test fails when one is missing here.

Each option gets a domain, network, pool or volume of its own, so that one call applies all of them, and what each does is seen by itself.
"""

from __future__ import annotations

import typing as t


class Row(t.NamedTuple):
    """first and second: an item's options before and after a change of this option alone. drift: how it is changed by hand.

    document: the first definition is put back with virsh; else the function of that name in the test, or empty where a hand cannot.
    """

    first: dict[str, t.Any]
    second: dict[str, t.Any]
    drift: str = "document"


def nic(
    first: dict[str, t.Any], second: dict[str, t.Any], base: dict[str, t.Any] | None = None, drift: str = "document"
) -> Row:
    """A NIC with these options, before and after."""
    base = {"bridge": "br0"} if base is None else base
    return Row({"nics": [{**base, **first}]}, {"nics": [{**base, **second}]}, drift)


def disk(
    first: dict[str, t.Any], second: dict[str, t.Any], base: dict[str, t.Any] | None = None, drift: str = "document"
) -> Row:
    """A disk with these options, before and after."""
    base = {"path": "/var/lib/libvirt/images/plain.img", "format": "raw"} if base is None else base
    return Row({"disks": [{**base, **first}]}, {"disks": [{**base, **second}]}, drift)


def seed(first: dict[str, t.Any], second: dict[str, t.Any], drift: str = "seed") -> Row:
    """A seed with these options, before and after."""
    return Row({"cloud_init": {"user_data": "one", **first}}, {"cloud_init": {"user_data": "one", **second}}, drift)


FAB = {"network": "fab"}
CDROM = {"device": "cdrom", "path": "", "bus": "sata"}
FIRST_ID, SECOND_ID = "4dea22b3-1d52-48f3-8516-782e98ab3fa0", "4dea22b3-1d52-48f3-8516-782e98ab3fa1"
TCP = {"type": "tcp", "port": 4555}
BASE = "/var/lib/libvirt/images/base.qcow2"

DOMAIN: dict[str, Row] = {
    "title": Row({"title": "One"}, {"title": "Two"}),
    "description": Row({"description": ""}, {"description": "a <b> & 'c'"}),
    "metadata": Row({"metadata": {"role": "web"}}, {"metadata": {"role": "db", "rack": "r1"}}),
    "machine": Row({"machine": "pc"}, {"machine": "q35"}),
    "firmware": Row({"firmware": "bios"}, {"firmware": "efi"}),
    "memory": Row({"memory": "64MiB"}, {"memory": "96MiB"}),
    "vcpus": Row({"vcpus": 1}, {"vcpus": 2}),
    "cpu_mode": Row({"cpu_mode": "maximum"}, {"cpu_mode": "host-model"}),
    "cpu_model": Row({"cpu_mode": "custom", "cpu_model": "qemu64"}, {"cpu_mode": "custom", "cpu_model": "kvm64"}),
    "boot": Row({"boot": ["hd"]}, {"boot": ["cdrom", "hd", "network"]}),
    "kernel": Row({"kernel": ""}, {"kernel": "/var/lib/libvirt/images/vmlinux"}),
    "initrd": Row({"kernel": "/var/lib/libvirt/images/vmlinux"}, {"initrd": "/var/lib/libvirt/images/initrd"}),
    "cmdline": Row(
        {"kernel": "/var/lib/libvirt/images/vmlinux", "cmdline": "a=1"}, {"cmdline": "a=$(reboot) 'b' \"c\" ;d"}
    ),
    "autostart": Row({"autostart": False}, {"autostart": True}, "autostart"),
    "disks": Row({"disks": []}, {"disks": [{"path": "/var/lib/libvirt/images/plain.img", "format": "raw"}]}),
    "disks.target": disk({"target": "vda"}, {"target": "vdc"}),
    "disks.device": disk({"device": "disk", "bus": "sata"}, {"device": "cdrom", "bus": "sata"}),
    "disks.bus": disk({"bus": "virtio"}, {"bus": "ide"}),
    "disks.path": Row(
        {"disks": [CDROM]}, {"disks": [{**CDROM, "path": "/var/lib/libvirt/images/plain.img", "format": "raw"}]}
    ),
    "disks.pool": disk(
        {"path": "/var/lib/libvirt/images/plain.img"}, {"pool": "one", "volume": "a.img"}, {"format": "raw"}
    ),
    "disks.volume": disk({"volume": "a.img"}, {"volume": "b.img"}, {"pool": "one", "format": "raw"}),
    "disks.format": disk(
        {"format": "raw", "path": "/var/lib/libvirt/images/plain.img"}, {"format": "qcow2", "path": BASE}, {}
    ),
    "disks.size": disk({"size": "8MiB"}, {"size": "16MiB"}, {}, ""),
    "disks.backing_path": Row({"disks": []}, {"disks": [{"backing_path": BASE}]}),
    "disks.backing_format": Row(
        {"disks": []}, {"disks": [{"backing_path": "/var/lib/libvirt/images/plain.img", "backing_format": "raw"}]}
    ),
    "disks.readonly": disk({"readonly": False}, {"readonly": True}),
    "disks.shareable": disk({"shareable": False, "cache": "none"}, {"shareable": True, "cache": "none"}),
    "disks.cache": disk({"cache": "default"}, {"cache": "unsafe"}),
    "disks.discard": disk({"discard": "ignore"}, {"discard": "unmap"}),
    "disks.serial": disk({"serial": ""}, {"serial": "S1"}),
    "disks.boot_order": disk({"boot_order": 0}, {"boot_order": 1}),
    "cloud_init": Row({"cloud_init": {}}, {"cloud_init": {"user_data": {"hostname": "x"}}}),
    "cloud_init.user_data": seed({}, {"user_data": {"hostname": "x"}}),
    "cloud_init.meta_data": seed({}, {"meta_data": {"instance-id": "two"}}),
    "cloud_init.network_config": seed({}, {"network_config": {"version": 2}}),
    "cloud_init.bus": seed({"bus": "sata"}, {"bus": "ide"}, "document"),
    "nics": Row({"nics": []}, {"nics": [{"bridge": "br0"}]}),
    "nics.mac": nic({"mac": "52:54:00:aa:00:01"}, {"mac": "52:54:00:aa:00:02"}),
    "nics.model": nic({"model": "e1000"}, {"model": "virtio"}),
    "nics.network": nic(FAB, {"network": "other"}, {}),
    "nics.portgroup": nic({"portgroup": "blue"}, {"portgroup": "red"}, FAB),
    "nics.interface_id": nic({"interface_id": FIRST_ID}, {"interface_id": SECOND_ID}),
    "nics.bridge": nic({"bridge": "br0"}, {"bridge": "br1"}),
    "nics.ovs": nic({"ovs": True}, {"ovs": False}),
    "nics.vlan": nic({"vlan": 10}, {"vlan": 20}),
    "nics.trunks": nic({"trunks": ["10"]}, {"trunks": ["10", "20-22"]}),
    "nics.native_vlan": nic({"trunks": ["10", "20"]}, {"trunks": ["10", "20"], "native_vlan": 20}),
    "nics.native_mode": nic(
        {}, {"native_mode": "tagged"}, {"bridge": "br0", "trunks": ["10", "20"], "native_vlan": 20}
    ),
    "nics.direct": nic({"direct": "eth0"}, {"direct": "eth1"}, {}),
    "nics.direct_mode": nic({"direct_mode": "bridge"}, {"direct_mode": "private"}, {"direct": "eth1"}),
    "nics.hostdev": nic({"hostdev": "0000:03:10.0"}, {"hostdev": "0000:03:10.2"}, {}),
    "nics.vhostuser": nic({"vhostuser": "/run/vhu1"}, {"vhostuser": "/run/vhu2"}, {}),
    "nics.vhostuser_mode": nic({"vhostuser_mode": "server"}, {"vhostuser_mode": "client"}, {"vhostuser": "/run/vhu1"}),
    "nics.dev": nic({"dev": "web-1"}, {"dev": "web-2"}),
    "nics.link": nic({"link": "up"}, {"link": "down"}),
    "nics.mtu": nic({"mtu": 0}, {"mtu": 1400}),
    "nics.queues": nic({"queues": 0}, {"queues": 2}),
    "nics.offload": nic({"offload": "on"}, {"offload": "auto"}),
    "nics.rom": nic({"rom": True}, {"rom": False}),
    "nics.boot_order": nic({"boot_order": 0}, {"boot_order": 2}),
    "serial": Row({"serial": {}}, {"serial": {"type": "pty"}}),
    "serial.type": Row({"serial": {"type": "pty"}}, {"serial": {"type": "file", "path": "/var/tmp/console"}}),
    "serial.host": Row({"serial": TCP}, {"serial": {**TCP, "host": "127.0.0.2"}}),
    "serial.port": Row({"serial": TCP}, {"serial": {**TCP, "port": 4556}}),
    "serial.path": Row(
        {"serial": {"type": "unix", "path": "/run/one"}}, {"serial": {"type": "unix", "path": "/run/two"}}
    ),
    "serial.log": Row({"serial": {"log": ""}}, {"serial": {"log": "/var/log/libvirt/qemu/row-console.log"}}),
    "graphics": Row({"graphics": []}, {"graphics": [{"type": "vnc"}]}),
    "graphics.type": Row({"graphics": []}, {"graphics": [{}]}),
    "graphics.listen": Row({"graphics": [{"listen": "127.0.0.1"}]}, {"graphics": [{"listen": "127.0.0.2"}]}),
    "graphics.port": Row({"graphics": [{"port": 0}]}, {"graphics": [{"port": 5907}]}),
    "graphics.password": Row({"graphics": [{"password": "one"}]}, {"graphics": [{"password": "s3cret"}]}),
    "video": Row({"video": "none"}, {"video": "vga"}),
    "hostdevs": Row({"hostdevs": []}, {"hostdevs": [{"usb": "046d:c077"}]}),
    "hostdevs.pci": Row({"hostdevs": []}, {"hostdevs": [{"pci": "0000:01:00.0"}]}),
    "hostdevs.usb": Row({"hostdevs": [{"usb": "046d:c077"}]}, {"hostdevs": [{"usb": "046d:c078"}]}),
    "tpm": Row({"tpm": {}}, {"tpm": {"model": "tpm-tis"}}),
    "tpm.model": Row(*({"tpm": {"model": model, "version": "2.0"}} for model in ("tpm-tis", "tpm-crb"))),
    "tpm.backend": Row(
        {"tpm": {"model": "tpm-tis", "backend": "emulator"}}, {"tpm": {"model": "tpm-tis", "backend": "passthrough"}}
    ),
    "tpm.version": Row(
        {"tpm": {"model": "tpm-tis", "version": "1.2"}}, {"tpm": {"model": "tpm-tis", "version": "2.0"}}
    ),
    "tpm.device": Row({"tpm": {"backend": "passthrough"}}, {"tpm": {"backend": "passthrough", "device": "/dev/tpm1"}}),
    "guest_agent": Row({"guest_agent": False}, {"guest_agent": True}),
    "xml": Row({}, {"xml": "<domain><memoryBacking><nosharepages/></memoryBacking></domain>"}),
}

# Options that a running guest takes at once, or never has to know. All others wait for its restart.
AT_ONCE = (
    *("title", "description", "metadata", "autostart", "disks", "disks.target", "disks.size", "disks.backing_path"),
    *("disks.backing_format", "disks.path", "nics", "nics.mac", "nics.network", "nics.portgroup", "nics.bridge"),
    *("nics.vlan", "nics.trunks", "nics.native_vlan", "nics.native_mode", "nics.link"),
)

LAN = {"mode": "isolated", "addresses": [{"address": "10.20.0.1/24"}]}
RATE = {"average": 1000}


def served(first: dict[str, t.Any], second: dict[str, t.Any]) -> Row:
    """What is served at the network's one address, before and after."""
    return Row(*({"mode": "isolated", "addresses": [{"address": "10.20.0.1/24", **each}]} for each in (first, second)))


def ports(first: dict[str, t.Any], second: dict[str, t.Any]) -> Row:
    """A network over Open vSwitch, before and after."""
    return Row(*({"mode": "openvswitch", "bridge": "br0", **each} for each in (first, second)))


def group(first: dict[str, t.Any], second: dict[str, t.Any]) -> Row:
    """Its portgroup, before and after."""
    return ports(*({"portgroups": [{"name": "a", **each}]} for each in (first, second)))


NETWORK: dict[str, Row] = {
    "mode": Row({"mode": "isolated"}, {"mode": "nat", "addresses": [{"address": "10.21.0.1/24"}]}),
    "bridge": Row({**LAN, "bridge": "lan-a"}, {**LAN, "bridge": "lan-b"}),
    "device": Row({**LAN, "mode": "nat", "device": ""}, {**LAN, "mode": "nat", "device": "eth1"}),
    "stp": Row({**LAN, "stp": True}, {**LAN, "stp": False}),
    "mtu": Row({**LAN, "mtu": 1400}, {**LAN, "mtu": 9000}),
    "domain": Row({**LAN, "domain": "one.example"}, {**LAN, "domain": "two.example"}),
    "vlan": ports({"vlan": 10}, {"vlan": 20}),
    "trunks": ports({"trunks": ["10"]}, {"trunks": ["10", "20-22"]}),
    "native_vlan": ports({"trunks": ["10", "20"]}, {"trunks": ["10", "20"], "native_vlan": 20}),
    "native_mode": ports({}, {"trunks": ["10", "20"], "native_vlan": 20, "native_mode": "tagged"}),
    "addresses": Row({"mode": "isolated", "addresses": []}, LAN),
    "addresses.address": Row(LAN, {**LAN, "addresses": [{"address": "10.20.0.2/24"}]}),
    "addresses.dhcp_ranges": served(
        {"dhcp_ranges": []}, {"dhcp_ranges": [{"start": "10.20.0.9", "end": "10.20.0.19"}]}
    ),
    "addresses.dhcp_ranges.start": served(
        {"dhcp_ranges": [{"start": "10.20.0.9", "end": "10.20.0.19"}]},
        {"dhcp_ranges": [{"start": "10.20.0.8", "end": "10.20.0.19"}]},
    ),
    "addresses.dhcp_ranges.end": served(
        {"dhcp_ranges": [{"start": "10.20.0.9", "end": "10.20.0.19"}]},
        {"dhcp_ranges": [{"start": "10.20.0.9", "end": "10.20.0.29"}]},
    ),
    "addresses.dhcp_hosts": served(
        {"dhcp_hosts": []}, {"dhcp_hosts": [{"mac": "52:54:00:00:00:01", "address": "10.20.0.5"}]}
    ),
    "addresses.dhcp_hosts.mac": served(
        {"dhcp_hosts": [{"mac": "52:54:00:00:00:01", "address": "10.20.0.5"}]},
        {"dhcp_hosts": [{"mac": "52:54:00:00:00:02", "address": "10.20.0.5"}]},
    ),
    "addresses.dhcp_hosts.name": served(
        {"dhcp_hosts": [{"name": "one", "address": "10.20.0.5"}]},
        {"dhcp_hosts": [{"name": "two", "address": "10.20.0.5"}]},
    ),
    "addresses.dhcp_hosts.address": served(
        {"dhcp_hosts": [{"name": "one", "address": "10.20.0.5"}]},
        {"dhcp_hosts": [{"name": "one", "address": "10.20.0.6"}]},
    ),
    "routes": Row({**LAN, "routes": []}, {**LAN, "routes": [{"to": "10.99.0.0/16", "via": "10.20.0.5"}]}),
    "routes.to": Row(*({**LAN, "routes": [{"to": to, "via": "10.20.0.5"}]} for to in ("10.98.0.0/16", "10.99.0.0/16"))),
    "routes.via": Row(*({**LAN, "routes": [{"to": "10.99.0.0/16", "via": via}]} for via in ("10.20.0.5", "10.20.0.6"))),
    "routes.metric": Row(
        *({**LAN, "routes": [{"to": "10.99.0.0/16", "via": "10.20.0.5", "metric": metric}]} for metric in (5, 6))
    ),
    "dns": Row({**LAN, "dns": True}, {**LAN, "dns": False}),
    "dns_forwarders": Row({**LAN, "dns_forwarders": []}, {**LAN, "dns_forwarders": ["192.0.2.53"]}),
    "dns_hosts": Row({**LAN, "dns_hosts": []}, {**LAN, "dns_hosts": [{"address": "10.20.0.9", "hostnames": ["nine"]}]}),
    "dns_hosts.address": Row(
        *(
            {**LAN, "dns_hosts": [{"address": address, "hostnames": ["nine"]}]}
            for address in ("10.20.0.9", "10.20.0.10")
        )
    ),
    "dns_hosts.hostnames": Row(
        *(
            {**LAN, "dns_hosts": [{"address": "10.20.0.9", "hostnames": names}]}
            for names in (["nine"], ["nine", "neun"])
        )
    ),
    "portgroups": ports({"portgroups": []}, {"portgroups": [{"name": "a", "vlan": 5}]}),
    "portgroups.name": ports({"portgroups": [{"name": "a", "vlan": 5}]}, {"portgroups": [{"name": "b", "vlan": 5}]}),
    "portgroups.default": group({"default": False}, {"default": True}),
    "portgroups.vlan": group({"vlan": 5}, {"vlan": 6}),
    "portgroups.trunks": group({"trunks": ["5"]}, {"trunks": ["5", "7-9"]}),
    "portgroups.native_vlan": group({"trunks": ["5", "6"]}, {"trunks": ["5", "6"], "native_vlan": 5}),
    "portgroups.native_mode": group(
        *({"trunks": ["5", "6"], "native_vlan": 5, "native_mode": mode} for mode in ("untagged", "tagged"))
    ),
    "autostart": Row({**LAN, "autostart": False}, {**LAN, "autostart": True}, "autostart"),
    "xml": Row(LAN, {**LAN, "xml": "<network><dns><txt name='a' value='b'/></dns></network>"}),
}
for way in ("inbound", "outbound"):
    NETWORK[way] = Row({**LAN, way: {}}, {**LAN, way: RATE})
    NETWORK[f"portgroups.{way}"] = group({way: {}}, {way: RATE})
    for rate, (low, high) in {"average": (1000, 2000), "peak": (3000, 4000), "burst": (512, 1024)}.items():
        NETWORK[f"{way}.{rate}"] = Row(*({**LAN, way: {**RATE, rate: value}} for value in (low, high)))
        NETWORK[f"portgroups.{way}.{rate}"] = group(*({way: {**RATE, rate: value}} for value in (low, high)))

POOL: dict[str, Row] = {
    "type": Row(
        {"type": "dir", "path": "/srv/pool-type"},
        {"type": "netfs", "path": "/srv/pool-type", "source_host": "nas", "source_dir": "/a"},
    ),
    "path": Row({"type": "dir", "path": "/srv/pool-a"}, {"type": "dir", "path": "/srv/pool-b"}),
    "source_device": Row(
        *({"type": "fs", "path": "/srv/pool-device", "source_device": device} for device in ("/dev/vdx", "/dev/vdy"))
    ),
    "source_host": Row(
        *(
            {"type": "netfs", "path": "/srv/pool-host", "source_host": name, "source_dir": "/a"}
            for name in ("nas1", "nas2")
        )
    ),
    "source_dir": Row(
        *(
            {"type": "netfs", "path": "/srv/pool-dir", "source_host": "nas3", "source_dir": name}
            for name in ("/b", "/c")
        )
    ),
    "source_name": Row(*({"type": "logical", "source_name": name} for name in ("vg1", "vg2"))),
    "autostart": Row({"type": "dir", "path": "/srv/pool-start", "autostart": False}, {"autostart": True}, "autostart"),
}

VOLUME: dict[str, Row] = {
    "size": Row({"size": "8MiB"}, {"size": "16MiB"}, ""),
}

# What is no value that a thing has, or no value that can change, and the test that holds it.
ELSEWHERE: dict[str, dict[str, str]] = {
    "libvirt_domain": {
        "domains": "test_each_documented_option_of_a_domain",
        "name": "test_states_removal_and_foreign_guests",
        "state": "test_states_removal_and_foreign_guests",
        "uuid": "test_mac_and_uuid_are_the_same_after_the_guest_was_made_again",
        "accelerator": "test_a_guest_on_a_vlan_through_power_cycle_and_drift",
        "remove_storage": "test_states_removal_and_foreign_guests",
        "shutdown_timeout": "test_states_removal_and_foreign_guests",
        "force": "test_states_removal_and_foreign_guests",
        "restart": "test_devices_change_while_the_guest_runs_and_memory_waits_for_its_restart",
        "uri": "test_what_is_refused_has_changed_nothing",
        "owner": "test_states_removal_and_foreign_guests",
        "adopt": "test_states_removal_and_foreign_guests",
        "purge": "test_states_removal_and_foreign_guests",
    },
    "libvirt_network": {
        "networks": "test_each_documented_option_of_a_network",
        "name": "test_only_what_is_ours_is_removed_and_check_mode_removes_nothing",
        "state": "test_only_what_is_ours_is_removed_and_check_mode_removes_nothing",
        "uuid": "test_what_cannot_change_is_refused",
        "restart": "test_a_network_changes_while_it_runs_where_libvirt_can_and_says_where_not",
        "keep_used": "test_guests_follow_the_intent_and_drift_is_seen",
        "uri": "test_what_cannot_change_is_refused",
        "owner": "test_only_what_is_ours_is_removed_and_check_mode_removes_nothing",
        "adopt": "test_only_what_is_ours_is_removed_and_check_mode_removes_nothing",
        "purge": "test_only_what_is_ours_is_removed_and_check_mode_removes_nothing",
    },
    "libvirt_pool": dict.fromkeys(("name", "state", "owner", "adopt", "purge"), "test_pools_and_volumes")
    | {"pools": "test_each_documented_option_of_a_pool_and_a_volume", "uri": "test_what_cannot_change_is_refused"},
    "libvirt_volume": dict.fromkeys(("name", "pool", "state", "owner", "adopt", "purge"), "test_pools_and_volumes")
    | {
        "volumes": "test_each_documented_option_of_a_pool_and_a_volume",
        "format": "test_each_documented_option_of_a_pool_and_a_volume",
        "backing_path": "test_each_documented_option_of_a_pool_and_a_volume",
        "backing_format": "test_each_documented_option_of_a_pool_and_a_volume",
        "uri": "test_what_cannot_change_is_refused",
    },
}
TABLES: dict[str, dict[str, Row]] = {
    "libvirt_domain": DOMAIN,
    "libvirt_network": NETWORK,
    "libvirt_pool": POOL,
    "libvirt_volume": VOLUME,
}
