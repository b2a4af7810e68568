# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.server
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._guest.wait import (
    SPEC,
    NotYet,
    Waiter,
    checksum,
    probe_http,
    probe_ssh,
    probe_tcp,
    want,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError


def item(**values: t.Any) -> dict[str, t.Any]:
    return {**{key: rule.get("default") for key, rule in SPEC.items()}, **values}


@pytest.fixture
def listener() -> t.Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, server.getsockname()[1]


def serve(server: socket.socket, said: bytes) -> None:
    """Say something to the next one who connects."""

    def work() -> None:
        with server.accept()[0] as stream:
            stream.sendall(said)

    threading.Thread(target=work, daemon=True).start()


def test_a_port_that_accepts_is_ready_and_ssh_only_with_its_banner(listener: tuple[socket.socket, int]) -> None:
    server, port = listener
    assert probe_tcp(item(host="127.0.0.1", port=port), 1) == "accepts connections"
    server.accept()[0].close()
    serve(server, b"SSH-2.0-test\r\n")
    assert probe_ssh(item(host="127.0.0.1", port=port), 1) == "SSH-2.0-test"
    serve(server, b"HTTP/1.0 400 no\r\n")
    with pytest.raises(NotYet, match="it said"):
        probe_ssh(item(host="127.0.0.1", port=port), 1)
    with pytest.raises(NotYet, match="no banner"):
        probe_ssh(item(host="127.0.0.1", port=port), 0.1)


def test_http_takes_the_accepted_status_only_and_sends_user_and_body() -> None:
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            seen.append((self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(401 if len(seen) == 1 else 200)
            self.end_headers()

        def log_message(self, *args: t.Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = item(
            url=f"http://127.0.0.1:{server.server_address[1]}/command-api", user="admin", password="pw", body="{}"
        )
        with pytest.raises(NotYet, match="status 401"):
            probe_http(options, 2)
        assert probe_http(options, 2) == "status 200"
        server.shutdown()
    assert seen[1] == ("Basic YWRtaW46cHc=", b"{}")


def test_a_wait_ends_in_time_and_tells_the_last_reason(listener: tuple[socket.socket, int]) -> None:
    server, port = listener
    server.close()
    begun = time.monotonic()
    outcome = Waiter("test:///", pause=0.05).wait(want(item(kind="tcp", host="127.0.0.1", port=port, timeout=1)), 60)
    assert (
        time.monotonic() - begun < 2
        and not outcome["ready"]
        and outcome["over"]
        and "refused" in outcome["last"]
        and outcome["attempts"] > 2
    )


def test_a_slice_ends_before_the_wait_and_the_wait_keeps_its_beginning(listener: tuple[socket.socket, int]) -> None:
    server, port = listener
    server.close()
    wait = want(item(kind="tcp", host="127.0.0.1", port=port, timeout=60))
    first = Waiter("test:///", pause=0.05).wait(wait, 0.3)
    assert not first["over"] and not first["ready"]
    late = want(item(kind="tcp", host="127.0.0.1", port=port, timeout=60, since=time.time() - 59.8))
    last = Waiter("test:///", pause=0.05).wait(late, 10)
    assert last["over"] and last["seconds"] >= 60


def test_so_many_times_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([True, False, True, True])

    def attempt(_self: Waiter, _options: t.Any, _seconds: float) -> str:
        if not next(answers):
            raise NotYet("not yet")
        return "yes"

    monkeypatch.setattr(Waiter, "_try", attempt)
    outcome = Waiter("test:///", pause=0.01).wait(want(item(kind="tcp", host="h", port=1, times=2, timeout=5)), 5)
    assert outcome["ready"] and outcome["attempts"] == 4


def test_the_internet_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


BAD = [
    ({}, "kind is missing"),
    ({"kind": "agent"}, "needs name"),
    ({"kind": "tcp", "host": "h"}, "needs port"),
    ({"kind": "tcp", "host": "h", "port": 70000}, "port 70000"),
    ({"kind": "console", "name": "v", "text": "("}, "no regular expression"),
    ({"kind": "ping", "host": "a-name"}, "no IP address"),
    ({"kind": "arp", "host": "10.0.0.1"}, "interface"),
    ({"kind": "dhcp_lease", "network": "n", "mac": "x"}, "MAC address"),
    ({"kind": "http", "url": "ftp://x"}, "http://"),
    ({"kind": "ssh", "host": "h", "timeout": 0}, "timeout 0"),
    ({"kind": "ssh", "host": "h", "namespace": "../x"}, "namespace"),
]


@pytest.mark.parametrize(("values", "part"), BAD, ids=[part for _values, part in BAD])
def test_bad_input_gets_one_sentence(values: dict[str, t.Any], part: str) -> None:
    with pytest.raises(FabricError) as caught:
        want(item(**values))
    assert part in str(caught.value) and "\n" not in str(caught.value)
