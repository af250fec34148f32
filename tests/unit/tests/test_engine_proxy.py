"""The proxy that plays the broken engine must itself do what it says."""

from __future__ import annotations

import http.client
import json
import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.engine_proxy import EngineProxy, kind_of

EVENTS = 1000
TIMEOUT = 10.0


class Handler(BaseHTTPRequestHandler):
    """Answers like an engine: some events and no end, or what was posted."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if not self.path.startswith("/v1.41/events"):
            self.wfile.write(b"2\r\nOK\r\n0\r\n\r\n")
            return
        for number in range(EVENTS):
            line = json.dumps({"id": number, "Actor": {"ID": number}}).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.rfile.read(1)  # until the client goes

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def address_string(self) -> str:
        return "a unix socket"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class Client(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    upstream = str(tmp_path / "up")
    with Server(upstream, Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        with EngineProxy(upstream, tmp_path / "in") as proxy:
            yield proxy
        server.shutdown()


@pytest.fixture
def client(proxy: EngineProxy) -> Iterator[Client]:
    client = Client(proxy.host.removeprefix("unix://"))
    yield client
    client.close()


def get(client: Client, path: str) -> http.client.HTTPResponse:
    client.request("GET", path)
    return client.getresponse()


def read_events(response: http.client.HTTPResponse, count: int) -> list[int]:
    return [json.loads(response.readline())["id"] for _ in range(count)]


def test_what_is_not_asked_for_passes_byte_for_byte(client: Client) -> None:
    for size in (0, 1, 1_000_000):
        body = random.Random(size).randbytes(size)
        client.request("POST", "/v1.41/containers/create", body)
        assert client.getresponse().read() == body
    assert get(client, "/v1.41/version").read() == b"OK"


def test_events_pass_whole_and_in_order(client: Client) -> None:
    assert read_events(get(client, "/v1.41/events"), EVENTS) == list(range(EVENTS))


def test_events_can_be_as_those_of_docker_29(proxy: EngineProxy, client: Client) -> None:
    proxy.events_as_of_29 = True
    assert json.loads(get(client, "/v1.41/events").readline()) == {"Actor": {"ID": 0}}


def test_a_share_of_the_events_is_lost(proxy: EngineProxy, client: Client) -> None:
    proxy.drop_events(0.3, seed=1)
    response = get(client, "/v1.41/events")
    passed = read_events(response, EVENTS // 2)
    assert passed == sorted(set(passed))
    assert 0.25 < 1 - len(passed) / (passed[-1] + 1) < 0.35


def test_a_cut_event_stream_ends_and_a_new_one_can_be_opened(proxy: EngineProxy, client: Client) -> None:
    response = get(client, "/v1.41/events")
    read_events(response, EVENTS)
    proxy.cut_events()
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    client.close()
    assert read_events(get(client, "/v1.41/events"), 1) == [0]


def test_a_half_open_event_stream_says_nothing_and_does_not_end(proxy: EngineProxy, client: Client) -> None:
    proxy.stall_new_events = True
    client.timeout = 0.2
    response = get(client, "/v1.41/events")
    with pytest.raises(TimeoutError):
        response.readline()


def test_a_request_hangs_until_it_is_released_and_others_pass(proxy: EngineProxy, client: Client) -> None:
    rule = proxy.hang("GET .*/containers/abc/json")
    other = Client(proxy.host.removeprefix("unix://"))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(lambda: get(client, "/v1.41/containers/abc/json").read())
        assert get(other, "/v1.41/containers/def/json").read() == b"OK"
        assert not hanging.done()
        rule.release()
        assert hanging.result(TIMEOUT) == b"OK"
    other.close()


def test_connections_are_refused_until_they_are_accepted_again(proxy: EngineProxy, client: Client) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        get(client, "/v1.41/version")
    client.close()
    proxy.accept()
    assert get(client, "/v1.41/version").read() == b"OK"


def test_requests_and_connections_are_counted(proxy: EngineProxy, client: Client) -> None:
    for path in ("/v1.41/containers/abc/json", "/v1.41/containers/def/json?size=1", "/v1.41/containers/json?all=1"):
        get(client, path).read()
    counts = proxy.counts
    assert counts.requests == {"GET /containers/{id}/json": 2, "GET /containers/json": 1}
    assert (counts.connections, counts.open, counts.most_open) == (1, 1, 1)
    proxy.reset_counts()
    assert (proxy.counts.requests.total(), proxy.counts.open) == (0, 1)


@pytest.mark.parametrize(
    ("request_line", "kind"),
    [
        ("DELETE /v1.41/containers/abc?v=1", "DELETE /containers/{id}"),
        ("POST /v1.41/containers/create?name=x", "POST /containers/create"),
        ("GET /v1.41/images/registry/name:tag/json", "GET /images/{name}/json"),
        ("GET /v1.41/events?since=1", "GET /events"),
    ],
)
def test_a_kind_has_no_version_id_or_query(request_line: str, kind: str) -> None:
    assert kind_of(request_line) == kind
