#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Measure reachability and isolation from a host's endpoints
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Takes all measurements of a host in one call, side by side, without spawning a process for each.
  - Pings without repeating a lost one, pings of an exact size that must not be fragmented, TCP transfers with their rate,
    and questions below IP (RFC 5227 ARP probes, RFC 4862 neighbor solicitations) to addresses that must stay silent.
  - Judges nothing. What was observed is returned, and P(overloom.fabric.verify#module) holds it against the plan.
requirements:
  - libvirt-python (the package C(python3-libvirt)), for O(endpoints[].guest)
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  uri:
    description: The URI that libvirt is connected to by, for O(endpoints[].guest).
    type: str
    default: qemu:///system
  state:
    description:
      - V(listening) leaves a responder for the TCP transfers of other hosts, which ends by itself O(lifetime) after the last of them.
      - V(measured) runs O(probes).
      - V(stopped) ends the responder of this O(name) and O(port), in O(endpoints[].guest) too.
    type: str
    choices: [listening, measured, stopped]
    default: measured
  name:
    description: Tells the responders of several fabrics on a host apart.
    type: str
    default: default
  port:
    description: TCP port of the responder. Measurements that run side by side each have their own, so that none ends another's.
    type: int
    default: 61000
  endpoints:
    description: Where measurements start and where the responder listens.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: A name that O(probes[].from) refers to.
        type: str
        required: true
      namespace:
        description: The network namespace of the endpoint. Left out, it is the host itself.
        type: str
      guest:
        description: The libvirt guest that the endpoint is, instead of a namespace. It measures through its QEMU guest agent.
        type: str
      listens:
        description: Whether the guest has the lab guest's program that answers transfers; others listen to none.
        type: bool
        default: false
      device:
        description:
          - The API of the switch or router that the endpoint is. It measures with its own ping, so probes of the kinds V(ping) and V(mtu) only,
            and listens to no transfers. With O(endpoints[].namespace), it is asked from there.
        type: dict
        suboptions:
          api:
            description: V(eos) for Arista's eAPI, V(routeros) for RouterOS's REST.
            type: str
            choices: [eos, routeros]
            required: true
          url:
            description: The beginning of its address, such as V(https://10.1.1.2). Its certificate is not checked.
            type: str
            required: true
          user:
            description: The user.
            type: str
            default: admin
      interface:
        description: The endpoint's interface; needed for probes of the kinds V(isolation) and V(host).
        type: str
      addresses:
        description: IPv4 and IPv6 addresses of the endpoint, without prefix length.
        type: list
        elements: str
        default: []
      secured:
        description:
          - Whether its switch passes on what has the endpoint's own addresses alone (port security). It then asks for neighbors with
            O(endpoints[].addresses), and not with none.
        type: bool
        default: false
  probes:
    description: What to measure.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description:
          - V(ping) sends O(count) echo requests.
          - V(mtu) does so with O(probes[].size) bytes and the do-not-fragment bit.
          - V(tcp) sends O(tcp_bytes), or what the probe says, to the responder there.
          - V(connect) connects to the port O(probes[].port) of a service, and closes the connection; with UDP it sends a datagram. Not from a guest.
          - V(isolation) asks for the address below IP and by echo, and asks for O(probes[].control) beside it.
          - V(host) asks all IPv6 nodes of the endpoint's link by echo, to see whether the host itself is among them. Not from a guest.
        type: str
        choices: [ping, mtu, tcp, connect, isolation, host]
        required: true
      from:
        description: The O(endpoints[].id) to measure from.
        type: str
        required: true
      to:
        description: The address to measure to; for V(host), C(ff02::1).
        type: str
        required: true
      to_mac:
        description: For V(isolation), count only answers of this hardware address, because the address may be in use elsewhere too.
        type: str
      size:
        description: For V(mtu), the length of the IP packet in bytes.
        type: int
      port:
        description: For V(connect), the port.
        type: int
      protocol:
        description: For V(connect), the protocol. With V(udp), a port on which nobody listens answers, too; somebody who listens need not.
        type: str
        choices: [tcp, udp]
        default: tcp
      control:
        description: For V(isolation), an address that must answer, or silence proves nothing.
        type: str
      bytes:
        description: For V(tcp), the length of this transfer in bytes, instead of O(tcp_bytes).
        type: int
      seconds:
        description:
          - For V(tcp), send for so many seconds instead of a number of bytes. Nothing else of the host sends meanwhile, so the rate says something.
          - A guest sends O(probes[].bytes) all the same.
        type: float
  count:
    description: How many echo requests are counted for each probe of the kinds V(ping) and V(mtu). A device with an API of its own sends five.
    type: int
    default: 5
  settle:
    description:
      - Seconds to wait at most for each pair's first answer before the counted pings, and for that of each O(probes[].control).
    type: float
    default: 10
  tcp_bytes:
    description: Length of a TCP transfer in bytes.
    type: int
    default: 1048576
  tcp_timeout:
    description: Seconds that one TCP transfer may take.
    type: float
    default: 10
  device_passwords:
    description: The password of O(endpoints[].device.user), by O(endpoints[].device.api).
    type: dict
    default: {}
  lifetime:
    description: Seconds without a transfer after which the responder ends by itself. In a guest it ends after five times as many, whatever comes.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Listen on every endpoint of the host
  overloom.fabric.probe:
    state: listening
    endpoints:
      - {id: kvm1/red, namespace: red, interface: eth0, addresses: [10.1.2.1]}

- name: Ping from a namespace, at its full MTU too
  overloom.fabric.probe:
    endpoints:
      - {id: kvm1/red, namespace: red, interface: eth0}
    probes:
      - {kind: ping, from: kvm1/red, to: 10.1.2.2}
      - {kind: mtu, from: kvm1/red, to: 10.1.2.2, size: 1458}
"""

RETURN = r"""
observed:
  description: What each of O(probes) saw, in their order.
  returned: when O(state=measured)
  type: list
  elements: dict
  contains:
    sent:
      description: Echo requests sent.
      type: int
      returned: for the kinds V(ping) and V(mtu)
    received:
      description: Echo replies received.
      type: int
      returned: for the kinds V(ping) and V(mtu)
    rtt_ms:
      description: Mean round-trip time in milliseconds, or V(null) when nothing answered.
      type: float
      returned: for the kinds V(ping) and V(mtu)
    settled_after:
      description: Seconds until the pair's first answer, or V(null) when there was none within O(settle).
      type: float
      returned: for the kinds V(ping) and V(mtu)
    bytes:
      description: What the responder says it received.
      type: int
      returned: for the kind V(tcp), on success
    sent_bytes:
      description: What was sent.
      type: int
      returned: for the kind V(tcp), on success
    mbit_per_second:
      description: Rate of the transfer in 10^6 bit/s.
      type: float
      returned: for the kind V(tcp), on success
    connected:
      description: That the service took the connection, or answered a datagram.
      type: bool
      returned: for the kind V(connect), on success
    answered_by:
      description:
        - For V(isolation), hardware addresses that answered for an address which should be silent.
        - For V(host), addresses of the host itself that answered.
      type: list
      elements: str
      returned: for the kinds V(isolation) and V(host)
    others_answered:
      description: How many other addresses answered, which shows that asking works.
      type: int
      returned: for the kind V(host)
    echo_replies:
      description: Echo replies from it.
      type: int
      returned: for the kind V(isolation)
    control_answered:
      description: Whether the positive control answered.
      type: bool
      returned: for the kind V(isolation), with a control
    error:
      description: Why nothing could be sent or received, in the system's words, or V(null).
      type: str
      returned: when there was an error
  sample:
    - {sent: 5, received: 5, rtt_ms: 0.31, settled_after: 0.002, error: null}
seconds:
  description: How long the measurements took.
  returned: when O(state=measured)
  type: float
  sample: 1.4
udp:
  description: The UDP ports that somebody has in the namespace of each of O(endpoints), by their ids.
  returned: when O(state=listening)
  type: dict
  sample: {kvm1/red: [53]}
pid:
  description: Process number of the responder.
  returned: when O(state=listening)
  type: int
  sample: 4711
"""

import concurrent.futures
import contextlib
import re
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import DEFAULT_URI
from ansible_collections.overloom.fabric.plugins.module_utils._probe.device import APIS, Device
from ansible_collections.overloom.fabric.plugins.module_utils._probe.device import measure as measure_from_devices
from ansible_collections.overloom.fabric.plugins.module_utils._probe.guest import Limits
from ansible_collections.overloom.fabric.plugins.module_utils._probe.guest import listen as listen_in_guests
from ansible_collections.overloom.fabric.plugins.module_utils._probe.guest import measure as measure_from_guests
from ansible_collections.overloom.fabric.plugins.module_utils._probe.guest import stop as stop_in_guests
from ansible_collections.overloom.fabric.plugins.module_utils._probe.prober import PING_COUNT, Prober
from ansible_collections.overloom.fabric.plugins.module_utils._probe.responder import Background
from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import (
    DEFAULT_PORT,
    Sender,
    listening_datagrams,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

ENDPOINT = {
    "id": {"type": "str", "required": True},
    "namespace": {"type": "str"},
    "guest": {"type": "str"},
    "listens": {"type": "bool", "default": False},
    "device": {
        "type": "dict",
        "options": {
            "api": {"type": "str", "required": True, "choices": list(APIS)},
            "url": {"type": "str", "required": True},
            "user": {"type": "str", "default": "admin"},
        },
    },
    "interface": {"type": "str"},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "secured": {"type": "bool", "default": False},
}
PROBE = {
    "kind": {"type": "str", "required": True, "choices": ["ping", "mtu", "tcp", "connect", "isolation", "host"]},
    "from": {"type": "str", "required": True},
    "to": {"type": "str", "required": True},
    "to_mac": {"type": "str"},
    "size": {"type": "int"},
    "port": {"type": "int"},
    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "control": {"type": "str"},
    "bytes": {"type": "int"},
    "seconds": {"type": "float"},
}


def listen(options: dict, background: Background) -> int:
    """Answer transfers in this host's namespaces and guests; returns the process number."""
    background.stop()
    listen_in_guests(listening_guests(options), options["port"], options["lifetime"], options["uri"])
    ends = [end for end in options["endpoints"] if not (end["guest"] or end["device"])]
    return background.start(
        [(end["namespace"], address) for end in ends for address in end["addresses"]], options["lifetime"]
    )


def listening_guests(options: dict) -> set:
    """The guests that answer transfers."""
    return {end["guest"] for end in options["endpoints"] if end["guest"] and end["listens"]}


def udp_ports(options: dict) -> dict:
    """The UDP ports that are taken at each endpoint in a namespace."""
    ends = [end for end in options["endpoints"] if end["namespace"] and not (end["guest"] or end["device"])]
    found = {}
    for end in ends:
        # One that is gone is told by what is measured from there.
        with contextlib.suppress(FabricError):
            found[end["id"]] = listening_datagrams(end["namespace"])
    return found


def measure(options: dict) -> list:
    """Run the probes, each from where it is; returns what was observed, in their order."""
    ends = options["endpoints"]
    guests = {end["id"]: (end["guest"], end["interface"] or "eth0") for end in ends if end["guest"]}
    passwords = options["device_passwords"]
    devices = {
        end["id"]: Device(namespace=end["namespace"], password=passwords.get(end["device"]["api"], ""), **end["device"])
        for end in ends
        if end["device"]
    }
    senders = [
        Sender(end["id"], end["namespace"], end["interface"], tuple(end["addresses"]) if end["secured"] else ())
        for end in ends
        if end["id"] not in guests and end["id"] not in devices
    ]
    limits = Limits(options["settle"], options["tcp_bytes"], options["tcp_timeout"], options["port"], options["count"])
    prober = Prober(senders, limits.port, limits.pings)
    observed: t.List[dict] = [{}] * len(options["probes"])

    def take(mine: list, measured: t.Callable[[list], list]) -> None:
        for number, outcome in zip(mine, measured([options["probes"][number] for number in mine])):
            observed[number] = outcome

    def ours(probes: list) -> list:
        return prober.measure(probes, limits.settle, limits.tcp_bytes, limits.tcp_timeout)

    at: t.Dict[str, t.List[int]] = {"guest": [], "device": [], "timed": [], "other": []}
    for number, probe in enumerate(options["probes"]):
        kind = (
            "guest"
            if probe["from"] in guests
            else "device"
            if probe["from"] in devices
            else "timed"
            if probe["seconds"]
            else "other"
        )
        at[kind].append(number)
    # Before guests measure: an emulated one takes a whole processor, and no rate would say anything.
    take(at["timed"], ours)
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        # A thread has its own namespace, so guests and devices are asked while the prober enters others.
        asked = [
            pool.submit(take, at["guest"], lambda probes: measure_from_guests(guests, probes, limits, options["uri"])),
            pool.submit(take, at["device"], lambda probes: measure_from_devices(devices, probes, limits.settle)),
        ]
        take(at["other"], ours)
        for each in asked:
            each.result()
    return observed


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["listening", "measured", "stopped"], "default": "measured"},
            "name": {"type": "str", "default": "default"},
            "port": {"type": "int", "default": DEFAULT_PORT},
            "endpoints": {"type": "list", "elements": "dict", "default": [], "options": ENDPOINT},
            "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE},
            "settle": {"type": "float", "default": 10},
            "count": {"type": "int", "default": PING_COUNT},
            "tcp_bytes": {"type": "int", "default": 1048576},
            "tcp_timeout": {"type": "float", "default": 10},
            "device_passwords": {"type": "dict", "default": {}, "no_log": True},
            "lifetime": {"type": "float", "default": 60},
            "uri": {"type": "str", "default": DEFAULT_URI},
        },
        supports_check_mode=True,
    )
    options = module.params
    known = {end["id"] for end in options["endpoints"]}
    for probe in options["probes"]:
        if probe["from"] not in known:
            module.fail_json(msg=f"probe from {probe['from']}: no endpoint has this id; name one of endpoints")
        if probe["kind"] == "mtu" and not probe["size"]:
            module.fail_json(
                msg=f"probe from {probe['from']} to {probe['to']}: the kind mtu needs size, the length of the IP packet"
            )
        if probe["kind"] == "connect" and not 0 < (probe["port"] or 0) < 65536:
            module.fail_json(
                msg=f"probe from {probe['from']} to {probe['to']}: the kind connect needs port, 1 to 65535"
            )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", options["name"]):
        module.fail_json(msg=f"name {options['name']!r}: use letters, digits, '.', '_' and '-' only")
    if not 0 < options["port"] < 65536:
        module.fail_json(msg=f"port {options['port']}: give one of 1 to 65535")
    background = Background(options["name"], options["port"])
    try:
        if options["state"] == "stopped":
            background.stop()
            stop_in_guests(listening_guests(options), options["port"], options["uri"])
            module.exit_json(changed=False)
        if options["state"] == "listening":
            module.exit_json(changed=False, pid=listen(options, background), udp=udp_ports(options))
        begun = time.monotonic()
        observed = measure(options)
    except FabricError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, observed=observed, seconds=round(time.monotonic() - begun, 3))


if __name__ == "__main__":
    main()
