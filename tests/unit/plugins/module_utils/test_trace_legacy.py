# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What iptables-legacy-save prints, judged as nft's own list is."""

from __future__ import annotations

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._trace import legacy
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import nft

PING = nft.Met("10.1.1.1", "10.1.1.2", "icmp", None, "eth0", "")
HTTP = nft.Met("10.1.1.1", "10.1.1.2", "tcp", 80, "eth0", "")


def rules(*lines: str, policy: str = "ACCEPT", table: str = "filter", chain: str = "INPUT") -> list:
    text = "\n".join([f"*{table}", f":{chain} {policy} [3:252]", ":mine - [0:0]", *lines, "COMMIT"])
    return legacy.ruleset(text, "ip")


@pytest.mark.parametrize(
    "line,met,certain",
    [
        ("[7:588] -A INPUT -s 10.1.1.0/24 -p icmp -j DROP", PING, True),
        ("[7:588] -A INPUT -s 10.1.1.0/24 -p icmp -j DROP", HTTP, None),
        ("[0:0] -A INPUT -p tcp -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable", HTTP, True),
        ("[0:0] -A INPUT -p tcp -m tcp --dport 70:90 -j DROP", HTTP, True),
        ("[0:0] -A INPUT ! -s 10.1.1.0/24 -j DROP", HTTP, None),
        ("[0:0] -A INPUT ! -s 10.9.0.0/16 -j DROP", HTTP, True),
        ("[0:0] -A INPUT -i eth1 -j DROP", HTTP, None),
        ("[0:0] -A INPUT -i eth+ -j DROP", HTTP, True),
        ("[0:0] -A INPUT -p icmp -m icmp --icmp-type 8 -j DROP", PING, True),
        ("[0:0] -A INPUT -m conntrack --ctstate NEW -j DROP", HTTP, True),
        ("[0:0] -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j DROP", HTTP, None),
        ("[0:0] -A INPUT -m mark --mark 0x7 -j DROP", HTTP, False),
        ('[0:0] -A INPUT -j LOG --log-prefix "dropped: "', HTTP, None),
        ("[0:0] -A INPUT -j mine\n[0:0] -A mine -j DROP", HTTP, True),
        ("[0:0] -A INPUT -j ACCEPT\n[0:0] -A INPUT -j DROP", HTTP, None),
    ],
)
def test_a_rule_drops_what_it_names_and_nothing_else(line, met, certain):
    found = nft.verdict(rules(line), "input", met)
    assert (found and found.certain) is certain


def test_the_counter_the_policy_and_what_shows_it():
    found = nft.verdict(rules("[7:588] -A INPUT -p icmp -j DROP"), "input", PING)
    assert found.packets == 7 and found.look == "iptables-legacy -t filter -L INPUT -nv --line-numbers"
    found = nft.verdict(rules(policy="DROP"), "input", PING)
    assert "legacy-filter INPUT has the policy drop" in found.rule


@pytest.mark.parametrize(
    "line,translated",
    [
        ("-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.2.0.5:8080", ("dnat", "10.2.0.5", 8080)),
        ("-A PREROUTING -p tcp -m tcp --dport 81 -j DNAT --to-destination 10.2.0.5:8080", None),
    ],
)
def test_nat_is_read_too(line, translated):
    found = nft.translation(rules(line, table="nat", chain="PREROUTING"), "prerouting", HTTP)
    assert (found and (found.kind, found.address, found.port)) == translated
