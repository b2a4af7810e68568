# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of a northbound database, as ovn_northbound takes them."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  switches:
    description: Logical switches, with what hangs below them.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      other_config:
        description: Settings such as V(subnet), V(exclude_ips), V(mcast_snoop) and V(vlan-passthru), as a whole.
        type: dict
      dns_records:
        description: Names of entries of O(dns). What others put there stays.
        type: list
        elements: str
      load_balancers:
        description: Names of load balancers. What others put there stays.
        type: list
        elements: str
      copp:
        description: Name of an entry of O(copp).
        type: str
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      ports:
        description: Ports of the switch. Those of this owner that are not listed are removed.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name, unique in the whole database. The C(external_ids:iface-id) of the interface in Open vSwitch has it.
            type: str
            required: true
          type:
            description: Type; empty for a guest, container or namespace.
            type: str
            choices: ["", router, localnet, localport, l2gateway, vtep, external, virtual, remote]
          addresses:
            description: MAC address with IP addresses behind it, V(unknown), V(router), or V(dynamic).
            type: list
            elements: str
          port_security:
            description: MAC addresses with IP addresses behind them, from which alone the port may send.
            type: list
            elements: str
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          parent_name:
            description: Port of the guest in which this one is nested.
            type: str
          tag_request:
            description: VLAN of a nested port; 0 lets OVN choose.
            type: raw
          tag:
            description: VLAN of a port of type V(localnet), or of a nested port.
            type: raw
          enabled:
            description: Whether it passes traffic.
            type: bool
          dhcpv4_options:
            description: Name of an entry of O(dhcp_options).
            type: str
          dhcpv6_options:
            description: Name of an entry of O(dhcp_options).
            type: str
          mirror_rules:
            description: Names of entries of O(mirrors).
            type: list
            elements: str
          ha_chassis_group:
            description: Name of an entry of O(ha_chassis_groups).
            type: str
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      acls:
        description: ACLs. Those of this owner that are not listed are removed; an option that is left out is as in a new one.
        type: list
        elements: dict
        suboptions:
          direction:
            description: Whether it applies to what comes from a port or what goes to one.
            type: str
            required: true
            choices: [from-lport, to-lport]
          priority:
            description: Priority; the highest wins.
            type: int
            required: true
          match:
            description: Expression of ovn-sb(5), Logical_Flow, such as V(ip4 && tcp.dst == 22).
            type: str
            required: true
          action:
            description: What happens to a packet that matches. Required.
            type: str
            choices: [allow, allow-related, allow-stateless, drop, reject]
          name:
            description: Name, for the log.
            type: str
          log:
            description: Whether matching packets are logged.
            type: bool
          severity:
            description: Severity in the log.
            type: str
            choices: ["", alert, warning, notice, info, debug]
          meter:
            description: Name of a meter that limits the log.
            type: str
          label:
            description: Label that is stored with the tracked connection.
            type: int
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      qos_rules:
        description: >-
          Rate limits and DSCP marks of matching packets. Those of this owner that are not listed are removed; an option that is left out is as
          in a new one.
        type: list
        elements: dict
        suboptions:
          direction:
            description: Whether it applies to what comes from a port or what goes to one.
            type: str
            required: true
            choices: [from-lport, to-lport]
          priority:
            description: Priority; the highest wins.
            type: int
            required: true
          match:
            description: Expression of ovn-sb(5), Logical_Flow, such as V(ip4 && tcp.dst == 22).
            type: str
            required: true
          action:
            description: Marks that matching packets get.
            type: dict
            suboptions:
              dscp:
                description: DSCP value.
                type: int
          bandwidth:
            description: Limit of matching packets.
            type: dict
            suboptions:
              rate:
                description: Rate in kbit/s, or in packets per second for a meter of unit V(pktps).
                type: int
              burst:
                description: Burst in kbit.
                type: int
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      forwarding_groups:
        description: >-
          Groups of ports behind one address, to which the switch spreads traffic. Those of this owner that are not listed are removed; an
          option that is left out is as in a new one. A second one of a switch is refused where ovn-northd is older than 23.06.5, 23.09.5 or
          24.03.3, which leaves out some of them or loops for ever.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name.
            type: str
            required: true
          vip:
            description: Virtual address.
            type: str
          vmac:
            description: Virtual MAC address.
            type: str
          liveness:
            description: Whether ports that are down are left out.
            type: bool
          child_port:
            description: Names of the ports.
            type: list
            elements: str
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  routers:
    description: Logical routers, with what hangs below them.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      enabled:
        description: Whether it passes traffic.
        type: bool
      options:
        description: Options of ovn-nb(5), as a whole.
        type: dict
      load_balancers:
        description: Names of load balancers. What others put there stays.
        type: list
        elements: str
      copp:
        description: Name of an entry of O(copp).
        type: str
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      ports:
        description: Ports of the router. Those of this owner that are not listed are removed.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name.
            type: str
            required: true
          mac:
            description: MAC address. Required for a new port.
            type: str
          networks:
            description: Addresses with their prefix lengths. Required for a new port.
            type: list
            elements: str
          peer:
            description: Router port at the other end, where two routers are joined without a switch.
            type: str
          enabled:
            description: Whether it passes traffic.
            type: bool
          ha_chassis_group:
            description: Name of an entry of O(ha_chassis_groups).
            type: str
          ipv6_ra_configs:
            description: "Router advertisements, such as V(address_mode: slaac) and V(send_periodic: true), as a whole."
            type: dict
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
          gateway_chassis:
            description: Chassis that may serve a gateway port. Those of this owner that are not listed are removed.
            type: list
            elements: dict
            suboptions:
              chassis_name:
                description: Name of the chassis.
                type: str
                required: true
              priority:
                description: Priority; the highest wins.
                type: int
              options:
                description: Options of ovn-nb(5), as a whole.
                type: dict
              external_ids:
                description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
                type: dict
      static_routes:
        description: Static routes; several with one prefix share traffic. Those of this owner that are not listed are removed.
        type: list
        elements: dict
        suboptions:
          route_table:
            description: Routing table; empty is the main one.
            type: str
          policy:
            description: Whether the prefix is that of the destination or of the source.
            type: str
            choices: ["", dst-ip, src-ip]
          ip_prefix:
            description: Prefix.
            type: str
            required: true
          nexthop:
            description: Next hop, or V(discard).
            type: str
            required: true
          output_port:
            description: Port of the router through which the next hop is reached.
            type: str
          bfd:
            description: Whether the entry of O(bfd) for O(routers[].static_routes[].output_port) and the next hop watches it.
            type: bool
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      policies:
        description: Routing policies. Those of this owner that are not listed are removed; an option that is left out is as in a new one.
        type: list
        elements: dict
        suboptions:
          priority:
            description: Priority; the highest wins.
            type: int
            required: true
          match:
            description: Expression of ovn-sb(5), Logical_Flow, such as V(ip4 && tcp.dst == 22).
            type: str
            required: true
          action:
            description: What happens to a packet that matches. Required.
            type: str
            choices: [allow, drop, reroute]
          nexthops:
            description: Next hops of the action V(reroute).
            type: list
            elements: str
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      nat:
        description: Address translation. Rules of this owner that are not listed are removed; an option that is left out is as in a new one.
        type: list
        elements: dict
        suboptions:
          type:
            description: Kind of translation; V(dnat_and_snat) is a floating address.
            type: str
            required: true
            choices: [dnat, snat, dnat_and_snat]
          external_ip:
            description: Address outside.
            type: str
            required: true
          logical_ip:
            description: Address or network inside.
            type: str
            required: true
          external_port_range:
            description: Ports outside, such as V(1024-2048).
            type: str
          external_mac:
            description: MAC address of a floating address that is served on the host of O(routers[].nat[].logical_port) itself.
            type: str
          logical_port:
            description: Port of the inner address, for a floating address that is served on its host.
            type: str
          gateway_port:
            description: Name of the router port at which it happens, where there are several gateways.
            type: str
          allowed_ext_ips:
            description: "Name of an entry of O(address_sets): the only outside addresses that are translated."
            type: str
          exempted_ext_ips:
            description: "Name of an entry of O(address_sets): outside addresses that are not translated."
            type: str
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  dhcp_options:
    description: DHCP options, which ports name. OVN answers DHCP requests itself, on each host.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      cidr:
        description: Network of the ports. Required for new ones.
        type: str
      options:
        description: Options of ovn-nb(5), as a whole.
        type: dict
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  port_groups:
    description: Groups of ports, to which ACLs apply. Their names stand in matches as C(@NAME) and C($NAME_ip4).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      ports:
        description: "Names of switch ports: exactly these are in the group."
        type: list
        elements: str
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      acls:
        description: ACLs. Those of this owner that are not listed are removed; an option that is left out is as in a new one.
        type: list
        elements: dict
        suboptions:
          direction:
            description: Whether it applies to what comes from a port or what goes to one.
            type: str
            required: true
            choices: [from-lport, to-lport]
          priority:
            description: Priority; the highest wins.
            type: int
            required: true
          match:
            description: Expression of ovn-sb(5), Logical_Flow, such as V(ip4 && tcp.dst == 22).
            type: str
            required: true
          action:
            description: What happens to a packet that matches. Required.
            type: str
            choices: [allow, allow-related, allow-stateless, drop, reject]
          name:
            description: Name, for the log.
            type: str
          log:
            description: Whether matching packets are logged.
            type: bool
          severity:
            description: Severity in the log.
            type: str
            choices: ["", alert, warning, notice, info, debug]
          meter:
            description: Name of a meter that limits the log.
            type: str
          label:
            description: Label that is stored with the tracked connection.
            type: int
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  address_sets:
    description: Sets of addresses, which stand in matches as C($NAME).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      addresses:
        description: IP addresses, networks or MAC addresses.
        type: list
        elements: str
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  dns:
    description: Names that OVN answers on the switches that name them in O(switches[].dns_records).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      records:
        description: Addresses by name, several separated by blanks, as a whole.
        type: dict
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  load_balancers:
    description: Load balancers, which switches and routers name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      vips:
        description: Backends by virtual address, such as V(192.0.2.10:80) to V(10.0.0.1:80,10.0.0.2:80), as a whole.
        type: dict
      protocol:
        description: Protocol, where ports are given.
        type: str
        choices: ["", tcp, udp, sctp]
      ip_port_mappings:
        description: Port and source address of the health check by backend, such as V(10.0.0.1) to V(web1:10.0.0.254), as a whole.
        type: dict
      selection_fields:
        description: Fields of a packet that choose the backend.
        type: list
        elements: str
        choices: [eth_src, eth_dst, ip_src, ip_dst, tp_src, tp_dst]
      options:
        description: Options of ovn-nb(5), as a whole.
        type: dict
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      health_checks:
        description: Health checks. Those of this owner that are not listed are removed.
        type: list
        elements: dict
        suboptions:
          vip:
            description: Virtual address.
            type: str
            required: true
          options:
            description: Options of ovn-nb(5), as a whole.
            type: dict
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  ha_chassis_groups:
    description: Groups of chassis of which the one with the highest priority that is alive serves what names the group.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      chassis:
        description: Chassis of the group. Those of this owner that are not listed are removed.
        type: list
        elements: dict
        suboptions:
          chassis_name:
            description: Name of the chassis.
            type: str
            required: true
          priority:
            description: Priority; the highest wins.
            type: int
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  meters:
    description: Meters, which ACLs and control plane protection name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      unit:
        description: Unit of the rates. Required for a new meter.
        type: str
        choices: [kbps, pktps]
      fair:
        description: Whether each ACL that names the meter gets the rate for itself.
        type: bool
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      bands:
        description: Limits. Required for a new meter.
        type: list
        elements: dict
        suboptions:
          rate:
            description: Rate in kbit/s, or in packets per second for a meter of unit V(pktps).
            type: int
            required: true
          burst_size:
            description: Burst, in the meter's unit.
            type: int
          external_ids:
            description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
            type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  copp:
    description: "Control plane protection: which meter limits each kind of packet that goes to the controller."
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      meters:
        description: Names of meters by kind of packet, such as V(arp) or V(dhcpv4-opts), as a whole.
        type: dict
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  mirrors:
    description: Mirrors, which ports name in O(switches[].ports[].mirror_rules).
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      filter:
        description: Which of a port's packets are mirrored. Required for a new mirror.
        type: str
        choices: [from-lport, to-lport]
      sink:
        description: Address to which mirrored packets are sent. Required for a new mirror.
        type: str
      type:
        description: Tunnel to the sink. Required for a new mirror.
        type: str
        choices: [gre, erspan]
      index:
        description: Key of the tunnel, or the index of ERSPAN.
        type: int
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  bfd:
    description: BFD sessions of router ports, for static routes.
    type: list
    elements: dict
    suboptions:
      logical_port:
        description: Name of the router port.
        type: str
        required: true
      dst_ip:
        description: Address of the other end.
        type: str
        required: true
      min_tx:
        description: Shortest interval of sending, in ms.
        type: raw
      min_rx:
        description: Shortest interval of receiving, in ms.
        type: raw
      detect_mult:
        description: Number of lost packets after which the session is down.
        type: raw
      options:
        description: Options of ovn-nb(5), as a whole.
        type: dict
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
  template_variables:
    description: Variables of chassis, for load balancers with the option V(template).
    type: list
    elements: dict
    suboptions:
      chassis:
        description: Name of the chassis.
        type: str
        required: true
      variables:
        description: Values by name, as a whole.
        type: dict
      external_ids:
        description: Further keys and values of C(external_ids), as a whole but for the collection's own keys.
        type: dict
      state:
        description: Whether it is there. With V(absent), what hangs below it goes as well.
        type: str
        choices: [present, absent]
        default: present
"""
