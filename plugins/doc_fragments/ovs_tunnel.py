# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of tunnels, for one and for a list of them."""

from __future__ import annotations

from ansible_collections.overloom.fabric.plugins.doc_fragments.ovs_port import PORT, nested

TUNNEL = r"""
bridge:
  description:
    - The bridge that the tunnel hangs in. A tunnel that hangs in another bridge moves to this one with all its settings.
    - Needed unless O(state=absent).
  type: str
state:
  description:
    - Whether it should be there. What this collection did not make is removed only with O(adopt=true).
    - Removing what is not there changes nothing.
  type: str
  choices: [present, absent]
  default: present
type:
  description:
    - The encapsulation. Needed for a new tunnel; if it changes, the tunnel is made anew, and options that the new type does not know are removed.
    - V(gre) and V(erspan) run over IPv4 in the kernel's datapath, V(ip6gre) and V(ip6erspan) over IPv6.
  type: str
  choices: [gre, ip6gre, vxlan, geneve, stt, lisp, erspan, ip6erspan, gtpu, bareudp, srv6]
remote_ip:
  description:
    - The other end's IPv4 or IPv6 address, or V(flow) to have it set by OpenFlow. Needed for a new tunnel.
  type: str
local_ip:
  description:
    - This end's IPv4 or IPv6 address, or V(flow). An empty value clears it.
  type: str
key:
  description:
    - The tunnel's key (VNI) in both directions, or V(flow). At most 24 bits for V(vxlan), V(geneve) and V(lisp), 32 for V(gre), V(ip6gre) and V(gtpu), 64
      for V(stt), 10 for V(erspan) and V(ip6erspan). An empty value clears it.
  type: raw
in_key:
  description:
    - As O(key), for packets that are received. An empty value clears it.
  type: raw
out_key:
  description:
    - As O(key), for packets that are sent. An empty value clears it.
  type: raw
dst_port:
  description:
    - The destination port of encapsulations over UDP or TCP. An empty value clears it.
  type: raw
csum:
  description:
    - Whether packets are sent with a checksum of the encapsulation.
  type: bool
ttl:
  description:
    - The time to live of the outer packet, from 1 to 255, or V(inherit). An empty value clears it.
  type: raw
tos:
  description:
    - The type of service of the outer packet, from 0 to 252 in steps of 4, or V(inherit). An empty value clears it.
  type: raw
df_default:
  description:
    - Whether the outer packet must not be fragmented.
  type: bool
egress_pkt_mark:
  description:
    - The packet mark of the outer packet. An empty value clears it.
  type: raw
exts:
  description:
    - The extensions of VXLAN, V(gbp) or V(gpe). An empty value clears it.
  type: str
packet_type:
  description:
    - Which packets the tunnel carries and how they are shown to OpenFlow. An empty value clears it.
  type: str
  choices: ["", legacy_l2, legacy_l3, ptap]
seq:
  description:
    - Whether GRE packets carry a sequence number.
  type: bool
erspan_ver:
  description:
    - The version of ERSPAN, 1 (type II) or 2 (type III). An empty value clears it.
  type: raw
erspan_idx:
  description:
    - The index of ERSPAN version 1, 20 bits. An empty value clears it.
  type: raw
erspan_dir:
  description:
    - The direction of ERSPAN version 2, 0 for ingress and 1 for egress. An empty value clears it.
  type: raw
erspan_hwid:
  description:
    - The hardware identifier of ERSPAN version 2, 6 bits. An empty value clears it.
  type: raw
payload_type:
  description:
    - The Ethernet type, or protocol, that a V(bareudp) tunnel carries. An empty value clears it.
  type: str
srv6_segs:
  description:
    - The segments of an V(srv6) tunnel, IPv6 addresses separated by commas. An empty value clears it.
  type: str
srv6_flowlabel:
  description:
    - How the flow label of an V(srv6) tunnel is set. An empty value clears it.
  type: str
  choices: ["", copy, zero, compute]
psk:
  description:
    - The pre-shared key of IPsec; it is never shown. An empty value clears it.
  type: str
remote_cert:
  description:
    - The certificate of the other end for IPsec, a name of a PEM file. An empty value clears it.
  type: str
remote_name:
  description:
    - The common name in the certificate of the other end for IPsec. An empty value clears it.
  type: str
options:
  description:
    - >-
      The tunnel's other options, all of those that have no option of their own: keys that are not given are removed, an empty dictionary removes all.
  type: dict
"""

NAME = r"""
name:
  description:
    - The tunnel port's name, of 1 to 15 characters.
  type: str
"""

TUNNELS = r"""
tunnels:
  description:
    - Any number of tunnels; the options of each are those of this module for one tunnel.
    - With O(purge=true), own tunnels that are not in the list are removed. An empty list removes all own tunnels.
  type: list
  elements: dict
  suboptions:
"""

OPTIONS = TUNNEL + PORT.replace("O(@", "O(")


class ModuleDocFragment:
    """All of it. Annotated, because the linter of YAML takes every plain assignment here for a document as it stands."""

    DOCUMENTATION: str = (
        "options:\n"
        + nested(NAME, 1)
        + nested(OPTIONS, 1)
        + nested(TUNNELS, 1)
        + nested(NAME, 3)
        + "        required: true\n"
        + nested(OPTIONS, 3)
    )
