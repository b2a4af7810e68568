#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_database
short_description: Manage where OVN's databases listen, their TLS, their cluster, and backups
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Makes the servers of OVN's northbound and southbound databases on this host listen where it is declared.
  - The servers have to run, as the service C(ovn-central) starts them. They always listen on their local sockets.
  - The settings are rows of the databases themselves, so they are there after a reboot. An address that comes later than the server is
    listened on as soon as it is there.
  - With O(cluster), the databases of three or five hosts are a cluster (raft), of which a minority may be lost. C(ovn-ctl) makes it by the words
    that the module puts into C(OVN_CTL_OPTS) in C(/etc/default/ovn-central), and keeps a copy of the stand-alone database beside it. Other words stay.
    Whom C(ovn-northd) asks is in C(/etc/ovn/ovn-northd-db-params.conf).
  - An option that is left out leaves things as they are; an empty list or map clears; a value makes it so. Listeners of others stay.
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  northbound:
    description: Where the northbound database listens besides, such as V(ptcp:6641:192.0.2.1) or V(pssl:6641). Whoever reaches it may write to it.
    type: list
    elements: str
  southbound:
    description: Where the southbound database listens besides, such as V(ptcp:6642:192.0.2.1) or V(pssl:6642).
    type: list
    elements: str
  southbound_rbac:
    description:
      - Where the southbound database listens for chassis alone, such as V(pssl:16642), with the role C(ovn-controller) of OVN (RBAC). Whoever comes there may
        write what a chassis has to write, and of the rows of chassis those alone whose name is the common name (CN) of the certificate.
      - It is known by the certificate who comes, so it listens by TLS. C(ovn-northd) of a cluster needs a listener without a role, as O(southbound) has them.
    type: list
    elements: str
  inactivity_probe:
    description: Milliseconds after which a silent client is probed; 0 turns it off.
    type: int
  ssl:
    description:
      - Files on this host with which both servers present themselves and verify clients. Clear it with an empty map.
      - Together with O(cluster), they are those of its members and of C(ovn-northd), too.
    type: dict
    suboptions:
      private_key:
        description: File of the private key. With O(cluster) it is refused if everybody can read it.
        type: path
      certificate:
        description: File of the certificate.
        type: path
      ca_cert:
        description: File of the certificate of the CA that clients are verified by.
        type: path
  cluster:
    description:
      - The cluster that this host's databases are members of. It takes a task of its own, and one host at a time (C(throttle=1)), the one with
        O(cluster.create) first. Its rows, and so its listeners, are those of all members.
      - Clients reach a member at O(cluster.address), ports 6641 and 6642. With O(ssl), the members reach each other by TLS, as C(ovn-northd) reaches
        them, and the ports of clients are listeners that a second task declares.
      - With an empty map, the databases are stand-alone again and keep the rows that this host has of them. The other members still count it until
        one of them removes it by O(cluster.kick).
      - Known for the packages of Debian and Ubuntu.
    type: dict
    suboptions:
      address:
        description: Address of this host, by which the other members reach it, at the ports 6643 and 6644. It cannot be changed in place.
        type: str
      members:
        description: Addresses of all members, three or five. C(ovn-northd) asks them.
        type: list
        elements: str
      create:
        description:
          - Where this host is in no cluster yet, make one of its own databases, whose rows stay. It is refused while another member answers.
          - Otherwise this host joins the first of the other members that answers; a stand-alone database that has rows is then refused.
        type: bool
        default: false
      kick:
        description: Remove servers from the cluster that are not in O(cluster.members). It is refused where those that stay would be no quorum.
        type: bool
        default: false
  backup:
    description:
      - File on this host into which the northbound database is written, as C(ovsdb-client backup) does, with the mode 0600. It takes a task of its own.
      - A file that has the same already is left, whatever OVN has noted of its progress since. A file that is no such backup is refused.
      - The southbound database is none of it, as C(ovn-northd) makes it from the northbound one.
    type: path
  restore:
    description:
      - File on this host whose rows the northbound database shall have instead of its own, as C(ovsdb-client restore) does in one transaction; in a
        cluster for all members. It takes a task of its own. Listeners and TLS files are rows, too, so declare them after it.
      - The file is from O(backup), or a copy of the file of a database that stands alone. It is refused with a schema of another version.
      - OVN makes everything anew that comes of the rows, so traffic halts for moments.
    type: path
  force:
    description: Let O(restore) replace the rows of a database that has any.
    type: bool
    default: false
  state:
    description:
      - With V(absent), listeners and TLS settings of this owner go. Databases and services stay, and so does a cluster, which an empty
        O(cluster) ends.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: The mark that each listener carries.
    type: str
    default: overloom.fabric
  adopt:
    description: Put the mark of O(owner) on declared listeners that others have made. O(state=absent) then removes them.
    type: bool
    default: false
  timeout:
    description: For how many seconds each call may take, and each wait for a cluster.
    type: int
    default: 60
requirements:
  - OVN 23.03 or newer with its commands C(ovn-nbctl) and C(ovn-sbctl)
seealso:
  - module: overloom.fabric.ovn_northbound
  - module: overloom.fabric.ovn_chassis
"""

EXAMPLES = r"""
- name: The southbound database listens for chassis
  overloom.fabric.ovn_database:
    southbound: ["ptcp:6642:192.0.2.1"]

- name: Both by TLS
  overloom.fabric.ovn_database:
    northbound: ["pssl:6641"]
    southbound: ["pssl:6642"]
    ssl:
      private_key: /etc/ovn/central-privkey.pem
      certificate: /etc/ovn/central-cert.pem
      ca_cert: /etc/ovn/cacert.pem

- name: The first of three hosts makes a cluster of its databases
  overloom.fabric.ovn_database:
    cluster:
      address: 192.0.2.1
      members: [192.0.2.1, 192.0.2.2, 192.0.2.3]
      create: true

- name: Another one joins it
  overloom.fabric.ovn_database:
    cluster:
      address: 192.0.2.2
      members: [192.0.2.1, 192.0.2.2, 192.0.2.3]

- name: This host leaves the cluster, and keeps its rows
  overloom.fabric.ovn_database:
    cluster: {}

- name: Chassis write their own rows alone
  overloom.fabric.ovn_database:
    southbound_rbac: ["pssl:16642"]

- name: Keep the northbound database
  overloom.fabric.ovn_database:
    backup: /var/backups/ovnnb.db

- name: Bring it back
  overloom.fabric.ovn_database:
    restore: /var/backups/ovnnb.db
    force: true

- name: The local sockets alone
  overloom.fabric.ovn_database:
    state: absent
"""

RETURN = r"""
cluster:
  description:
    - What each database is. C(model) is V(standalone) or V(clustered). A member of a cluster has C(status), C(role), C(leader), C(address), C(term), the number
      of changes that are C(uncommitted), and C(servers), each with whether it is C(connected) to this one. The leader knows how many changes each is
      C(behind).
    - In check mode, as they were found.
  returned: with cluster
  type: dict
  sample: {northbound: {model: clustered, role: follower, leader: "tcp:192.0.2.1:6643"}}
databases:
  description: The listeners of each database of which something is declared, by target, and its TLS. In check mode, as they were found.
  returned: without cluster, backup and restore
  type: dict
  sample: {southbound: {listeners: {"ptcp:6642:192.0.2.1": {inactivity_probe: null, owner: overloom.fabric, role: null}}, ssl: null}}
snapshot:
  description:
    - The C(version) of the northbound database's schema, and how many C(rows) it has by somebody's intent.
    - In check mode, as they were found.
  returned: with backup or restore
  type: dict
  sample: {version: 7.0.0, rows: 42}
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovn import cluster, snapshot
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.listeners import listeners_argument_spec, run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={
            **listeners_argument_spec(),
            "cluster": cluster.cluster_argument_spec(),
            **snapshot.snapshot_argument_spec(),
            **{name: owner_argument_spec()[name] for name in ("owner", "adopt")},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.params["backup"] or module.params["restore"]:
        snapshot.run(module)
    if module.params["cluster"] is not None and module.params["state"] == "present":
        cluster.run(module)
    run(module)


if __name__ == "__main__":
    main()
