# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules would say to the items that a plan hands to them, as far as they look without a host."""

from __future__ import annotations

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.overloom.fabric.plugins.module_utils._container import reconcile as container_reconcile
from ansible_collections.overloom.fabric.plugins.module_utils._container import service as container_service
from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import client as dhcp_client
from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import server as dhcp_server
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import domain_declaration, network_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon
from ansible_collections.overloom.fabric.plugins.module_utils._netns import declaration as netns_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._nft import reconcile as nft_reconcile
from ansible_collections.overloom.fabric.plugins.module_utils._nft import table as nft_table
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import declaration as ovs_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._service import dropin, reconcile
from ansible_collections.overloom.fabric.plugins.module_utils._vrrp import router as vrrp_router

OWNER = "test"


def _daemons(kind):
    return daemon.argument_spec(kind)[kind.items]["options"], lambda items: [
        daemon.declared(item, kind, OWNER) for item in items
    ]


# Of each kind of items of a host: the options of one, and the module's own first look at all of them.
MODULES = {
    "bridges": (ovs_declaration.bridge_argument_spec(), ovs_declaration.declared),
    "tunnels": (tunnel.tunnel_argument_spec(), tunnel.declared),
    "namespaces": (netns_declaration.argument_spec()["namespaces"]["options"], netns_declaration.declared),
    "services": (reconcile.item_argument_spec(), dropin.declared),
    "containers": (container_reconcile.item_argument_spec(), container_service.declared),
    "dhcp_servers": _daemons(dhcp_server.KIND),
    "dhcp_clients": _daemons(dhcp_client.KIND),
    "vrrp": _daemons(vrrp_router.KIND),
    "nft_tables": (nft_reconcile.argument_spec()["tables"]["options"], nft_table.declared),
    "networks": (network_declaration.SPEC, lambda items: [network_declaration.want(item) for item in items]),
    "guests": (domain_declaration.SPEC, lambda items: [domain_declaration.want(item, OWNER) for item in items]),
}


def refusals(host):
    """What the modules refuse of what a host of a plan is given: the kind of item, and a sentence."""
    found = []
    for kind, (options, declared) in MODULES.items():
        items = [item["domain"] if kind == "guests" else item for item in host[kind]]
        spec = {"items": {"type": "list", "elements": "dict", "options": options}}
        result = ArgumentSpecValidator(spec).validate({"items": items})
        found += [(kind, sentence) for sentence in result.error_messages]
        if not result.error_messages:
            try:
                declared(result.validated_parameters["items"])
            except FabricError as error:
                found.append((kind, str(error)))
    return found
