# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Switches and routers measure by their own ping: what they are asked, and what their answers mean."""

from __future__ import annotations

import http.server
import json
import threading
import time

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._probe import device
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

PING = "PING 10.1.1.1 (10.1.1.1) 72(100) bytes of data.\n--- 10.1.1.1 ping statistics ---\n5 packets transmitted, {} received, 0% packet loss, time 1ms"
TIMES = "\nrtt min/avg/max/mdev = 0.1/0.25/0.4/0.1 ms"


def eos(*results):
    return {"jsonrpc": "2.0", "id": 1, "result": [{"output": ""}, *results]}


@pytest.mark.parametrize(
    "api, said, seen",
    [
        ("eos", eos({"output": PING.format(5) + TIMES}), {"sent": 5, "received": 5, "rtt_ms": 0.25}),
        ("eos", eos({"messages": [PING.format(3) + TIMES]}), {"sent": 5, "received": 3, "rtt_ms": 0.25}),
        ("eos", eos({"output": PING.format(0)}), {"sent": 5, "received": 0, "rtt_ms": None}),
        (
            "routeros",
            [{"sent": "1", "received": "1"}, {"sent": "2", "received": "2", "avg-rtt": "1ms339us"}],
            {"sent": 2, "received": 2, "rtt_ms": 1.339},
        ),
        ("routeros", [{"sent": "5", "received": "0", "status": "timeout"}], {"sent": 5, "received": 0, "rtt_ms": None}),
    ],
)
def test_packets_are_counted_as_the_device_tells_them(api, said, seen):
    assert device.counted(api, said) == seen


@pytest.mark.parametrize(
    "api, said, part",
    [
        (
            "eos",
            {"error": {"code": 1002, "message": "CLI command 2 of 2 'ping' failed: invalid command"}},
            "invalid command",
        ),
        ("eos", eos({"output": "ping: connect: Network is unreachable"}), "Network is unreachable"),
        ("eos", ["?"], "?"),
        ("routeros", {"error": 400, "message": "Bad Request", "detail": "no such host"}, "no such host"),
        ("routeros", [], "says nothing"),
    ],
)
def test_what_is_no_ping_is_told_in_the_devices_own_words(api, said, part):
    with pytest.raises(FabricError, match=part.replace("?", r"\?")):
        device.counted(api, said)


def test_a_size_is_that_of_the_ip_packet_and_is_not_fragmented():
    path, body = device.question("eos", "10.1.1.1", 5, 1458)
    assert path == "/command-api" and body["params"]["cmds"][-1] == "ping ip 10.1.1.1 repeat 5 size 1458 df-bit"
    path, body = device.question("routeros", "10.1.1.1", 5, 1458)
    assert path == "/rest/tool/ping" and body["size"] == "1458" and "do-not-fragment" in body


@pytest.mark.parametrize("to", ["10.1.1.1 source 1.2.3.4", "$(reboot)", ""])
def test_a_value_that_is_no_address_never_reaches_a_device(to):
    with pytest.raises(ValueError):
        device.question("eos", to, 1, 84)


class Router(http.server.BaseHTTPRequestHandler):
    """Answers the third question and all after it."""

    asked: list = []

    def do_POST(self):  # noqa: N802 (the name that http.server calls)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.headers["Authorization"], body))
        received = body["count"] if len(self.asked) > 2 else "0"
        text = json.dumps([{"sent": body["count"], "received": received, "avg-rtt": "2ms"}]).encode()
        self.send_response(401 if body["address"] == "10.0.0.40" else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def router():
    Router.asked = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Router) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield device.Device("routeros", f"http://127.0.0.1:{server.server_address[1]}", "admin", "pw", None)
        server.shutdown()


def test_it_is_asked_until_the_first_answer_and_then_counted(router):
    seen = device.measure(
        {"r": router},
        [{"kind": "ping", "from": "r", "to": "10.1.1.1"}, {"kind": "mtu", "from": "r", "to": "10.1.1.1", "size": 1400}],
        5,
    )
    assert [(one["sent"], one["received"], one["rtt_ms"], one["error"]) for one in seen] == [(5, 5, 2.0, None)] * 2
    assert [body["count"] for _user, body in Router.asked] == ["1", "1", "1", "5", "1", "5"]
    assert Router.asked[0][0] == "Basic YWRtaW46cHc=" and Router.asked[-1][1]["size"] == "1400"


def test_silence_a_refused_user_and_a_dead_api_are_told(router):
    dead = router._replace(url="http://127.0.0.1:9")
    gone = router._replace(namespace="no-such-namespace")
    probes = [
        {"kind": "ping", "from": name, "to": to}
        for name, to in (("r", "10.0.0.40"), ("dead", "10.1.1.1"), ("gone", "10.1.1.1"))
    ]
    begun = time.monotonic()
    seen = device.measure(
        {"r": router, "dead": dead, "gone": gone}, [*probes, {"kind": "isolation", "from": "r", "to": "10.1.1.1"}], 1
    )
    assert time.monotonic() - begun < 10
    assert "refuses user admin: give its password" in seen[0]["error"] and "does not answer" in seen[1]["error"]
    assert "no-such-namespace" in seen[2]["error"] and "no measurement" in seen[3]["error"]
