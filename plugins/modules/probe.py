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
    and questions below IP (RFC 5227 ARP probes, RFC 4862 neighbour solicitations) to addresses that must stay silent.
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
      - V(listening) leaves a responder for the TCP transfers of other hosts, which ends by itself after O(lifetime).
      - V(measured) runs O(probes).
      - V(stopped) ends the responder.
    type: str
    choices: [listening, measured, stopped]
    default: measured
  name:
    description: Tells the responders of several fabrics on a host apart.
    type: str
    default: default
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
  probes:
    description: What to measure.
    type: list
    elements: dict
    default: []
    suboptions:
      kind:
        description:
          - V(ping) sends five echo requests.
          - V(mtu) does so with O(probes[].size) bytes and the do-not-fragment bit.
          - V(tcp) sends O(tcp_bytes) to the responder there.
          - V(isolation) asks for the address below IP and by echo, and asks for O(probes[].control) beside it.
          - V(host) asks all IPv6 nodes of the endpoint's link by echo, to see whether the host itself is among them. Not from a guest.
        type: str
        choices: [ping, mtu, tcp, isolation, host]
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
      control:
        description: For V(isolation), an address that must answer, or silence proves nothing.
        type: str
  settle:
    description: Seconds to wait at most for each pair's first answer before the counted pings.
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
    description: Seconds after which the responder ends by itself.
    type: float
    default: 120
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
    mbit_per_second:
      description: Rate of the transfer in 10^6 bit/s.
      type: float
      returned: for the kind V(tcp), on success
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
pid:
  description: Process number of the responder.
  returned: when O(state=listening)
  type: int
  sample: 4711
"""

import concurrent.futures
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import DEFAULT_URI
from ansible_collections.overloom.fabric.plugins.module_utils._probe import Background, Prober, Sender
from ansible_collections.overloom.fabric.plugins.module_utils._probe_device import APIS, Device
from ansible_collections.overloom.fabric.plugins.module_utils._probe_device import measure as measure_from_devices
from ansible_collections.overloom.fabric.plugins.module_utils._probe_guest import listen as listen_in_guests
from ansible_collections.overloom.fabric.plugins.module_utils._probe_guest import measure as measure_from_guests
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
}
PROBE = {
    "kind": {"type": "str", "required": True, "choices": ["ping", "mtu", "tcp", "isolation", "host"]},
    "from": {"type": "str", "required": True},
    "to": {"type": "str", "required": True},
    "to_mac": {"type": "str"},
    "size": {"type": "int"},
    "control": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["listening", "measured", "stopped"], "default": "measured"},
            "name": {"type": "str", "default": "default"},
            "endpoints": {"type": "list", "elements": "dict", "default": [], "options": ENDPOINT},
            "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE},
            "settle": {"type": "float", "default": 10},
            "tcp_bytes": {"type": "int", "default": 1048576},
            "tcp_timeout": {"type": "float", "default": 10},
            "device_passwords": {"type": "dict", "default": {}, "no_log": True},
            "lifetime": {"type": "float", "default": 120},
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
            module.fail_json(msg=f"probe from {probe['from']} to {probe['to']}: the kind mtu needs size, the length of the IP packet")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", options["name"]):
        module.fail_json(msg=f"name {options['name']!r}: use letters, digits, '.', '_' and '-' only")
    background = Background(options["name"])
    try:
        if options["state"] == "stopped":
            background.stop()
            module.exit_json(changed=False)
        if options["state"] == "listening":
            background.stop()
            places = [(end["namespace"], address) for end in options["endpoints"] if not (end["guest"] or end["device"]) for address in end["addresses"]]
            listen_in_guests({end["guest"] for end in options["endpoints"] if end["guest"] and end["listens"]}, options["lifetime"], options["uri"])
            module.exit_json(changed=False, pid=background.start(places, options["lifetime"]))
        begun = time.monotonic()
        guests = {end["id"]: (end["guest"], end["interface"] or "eth0") for end in options["endpoints"] if end["guest"]}
        passwords = options["device_passwords"]
        devices = {
            end["id"]: Device(namespace=end["namespace"], password=passwords.get(end["device"]["api"], ""), **end["device"])
            for end in options["endpoints"]
            if end["device"]
        }
        prober = Prober([Sender(end["id"], end["namespace"], end["interface"]) for end in options["endpoints"] if end["id"] not in {**guests, **devices}])
        inner = [probe for probe in options["probes"] if probe["from"] in guests]
        remote = [probe for probe in options["probes"] if probe["from"] in devices]
        outer = [probe for probe in options["probes"] if probe["from"] not in {**guests, **devices}]
        limits = (options["settle"], options["tcp_bytes"], options["tcp_timeout"])
        with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
            # A thread has its own namespace, so guests and devices are asked while the prober enters others.
            asked = pool.submit(measure_from_guests, guests, inner, *limits, options["uri"])
            asked_too = pool.submit(measure_from_devices, devices, remote, options["settle"])
            seen, seen_inside, seen_by_devices = iter(prober.measure(outer, *limits)), iter(asked.result()), iter(asked_too.result())
        observed = [
            next(seen_inside if probe["from"] in guests else seen_by_devices if probe["from"] in devices else seen) for probe in options["probes"]
        ]
    except FabricError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, observed=observed, seconds=round(time.monotonic() - begun, 3))


if __name__ == "__main__":
    main()
