#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: guest_wait
short_description: Wait until guests are ready
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Waits for what makes a guest useful. Its agent, SSH, a TCP port, an HTTP answer (eAPI, REST), a text on its serial console,
    an answer to ARP or ping, or a DHCP lease. Several waits run side by side.
  - Every wait ends. In the meantime the task tells what is waited for, since when, until when, and the console's last line.
  - A failure shows the end of the guest's console. A guest that does not run fails at once.
  - In check mode nothing is waited for, since an earlier task may only have foretold the guest.
requirements:
  - libvirt-python (the package C(python3-libvirt)) on the host, for O(name) and O(kind=dhcp_lease)
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  waits:
    description: Several waits in one call; each item takes the options of a single one.
    type: list
    elements: dict
    suboptions:
      name: &name
        description: The guest. Needed for V(agent) and V(console); for the others its console is shown when they fail.
        type: str
      kind: &kind
        description:
          - V(agent), the QEMU guest agent answers.
          - V(ssh), a server says its version. V(tcp), a port accepts a connection. V(http), a request is answered with O(status).
          - V(console), O(text) has been written to the serial console.
          - V(ping) and V(arp), O(host) answers. ARP needs no address in the guest's subnet.
          - V(dhcp_lease), libvirt's network O(network) has given O(mac) an address.
        type: str
        choices: [agent, arp, console, dhcp_lease, http, ping, ssh, tcp]
      host: &host
        description: The guest's address, or its name for V(ssh) and V(tcp).
        type: str
      port: &port
        description: The port of V(tcp), and of V(ssh) if not 22.
        type: int
      url: &url
        description: What V(http) asks for.
        type: str
      user: &user
        description: The user of V(http).
        type: str
      password: &password
        description: The password of O(user).
        type: str
      body: &body
        description: A JSON document that V(http) posts; without it V(http) gets.
        type: str
      status: &status
        description: The statuses that V(http) takes for ready.
        type: list
        elements: int
        default: [200]
      validate_certs: &validate_certs
        description: Whether V(http) checks the server's certificate.
        type: bool
        default: true
      text: &text
        description: The regular expression of V(console). Without a log file of the serial port only what comes from now on is seen.
        type: str
      interface: &interface
        description: The interface by which V(arp) and V(ping) ask; V(arp) needs it.
        type: str
      namespace: &namespace
        description: The network namespace that is asked from.
        type: str
      network: &network
        description: The libvirt network of V(dhcp_lease).
        type: str
      mac: &mac
        description: The MAC address of V(dhcp_lease).
        type: str
      times: &times
        description: How many times in a row must be ready.
        type: int
        default: 1
      timeout: &timeout
        description: Seconds until the wait fails.
        type: int
        default: 120
      since: &since
        description: When the wait began, in seconds of the host's clock since 1970, if it began earlier.
        type: float
  name: *name
  kind: *kind
  host: *host
  port: *port
  url: *url
  user: *user
  password: *password
  body: *body
  status: *status
  validate_certs: *validate_certs
  text: *text
  interface: *interface
  namespace: *namespace
  network: *network
  mac: *mac
  times: *times
  timeout: *timeout
  since: *since
  slice:
    description: Seconds after which the task returns with RV(pending) instead of waiting on. Without it the task waits to the end.
    type: int
  uri:
    description: The URI that libvirt is connected to by.
    type: str
    default: qemu:///system
"""

EXAMPLES = r"""
- name: Wait for two guests
  overloom.fabric.guest_wait:
    waits:
      - {name: web1, kind: agent}
      - {name: web2, kind: ssh, host: 10.1.1.2, namespace: blue, timeout: 300}

- name: Wait for a switch's interface, twice in a row
  overloom.fabric.guest_wait:
    name: leaf1
    kind: http
    url: https://192.0.2.10/command-api
    user: admin
    password: "{{ eos_password }}"
    body: '{"jsonrpc": "2.0", "method": "runCmds", "params": {"version": 1, "cmds": ["show version"]}, "id": 1}'
    validate_certs: false
    times: 2
    timeout: 900
"""

RETURN = r"""
waits:
  description: What came of each wait, in their order.
  returned: always
  type: list
  elements: dict
  sample: [{what: agent of web1, ready: true, seconds: 2.4, attempts: 9, last: answers}]
pending:
  description: What is not ready yet after O(slice).
  returned: always
  type: list
  elements: str
  sample: []
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._guest.wait import SPEC, run
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import DEFAULT_URI


def main() -> None:
    run(
        AnsibleModule(
            argument_spec={
                **SPEC,
                "waits": {"type": "list", "elements": "dict", "options": SPEC},
                "slice": {"type": "int"},
                "uri": {"type": "str", "default": DEFAULT_URI},
            },
            mutually_exclusive=[["kind", "waits"]],
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
