"""The local server stands for the internet: 127.0.0.1 is taken for public, except where a test says otherwise."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taco.tools import network
from taco.tools.network import NetworkError, fetch, is_public


class Handler(http.server.BaseHTTPRequestHandler):
    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.seen.append(self.path)
        name, _, rest = self.path[1:].partition("?")
        if name in ("redirect", "loop"):
            self.send_response(302)
            self.send_header("Location", rest or "/loop")
            self.end_headers()
            return
        if name == "missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client has had enough
            for _ in range(int(rest or 1)):
                self.wfile.write(b"x" * 1000)
                time.sleep(0.05 if name == "slow" else 0)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://localhost:{running.server_port}"
    running.shutdown()
    running.server_close()


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "is_public", lambda address: address in ("127.0.0.1", "::1"))


@pytest.mark.usefixtures("public")
def test_fetches_and_follows_redirects(server: str) -> None:
    assert fetch(f"{server}/a?2", max_bytes=10_000) == b"x" * 2000
    assert fetch(f"{server}/redirect?/b", max_bytes=10_000) == b"x" * 1000
    assert fetch(f"{server}/redirect?{server}/redirect?{server}/b", max_bytes=10_000) == b"x" * 1000


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/big?50", "over 10,000 bytes, which is the limit"),
        ("/slow?50", "too long|timed out"),
        ("/missing", "answered 404"),
        ("/loop", "more than 5 times"),
        ("/redirect?http://10.0.0.1/secret", "not a public address"),
        ("/redirect?file:///etc/passwd", "no http or https address"),
        ("/redirect?http://user:word@localhost/", "user name"),
    ],
)
def test_refuses(server: str, path: str, problem: str) -> None:
    with pytest.raises(NetworkError, match=problem):
        fetch(server + path, max_bytes=10_000, timeout=0.5)


@pytest.mark.parametrize(
    "url", ["ftp://example.org", "file:///etc/passwd", "http://", "//a", "", "http://[::1", "http://a:b/", "a b"]
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(NetworkError, match=r"no address|no http or https"):
        fetch(url, max_bytes=1)


def test_private_addresses_only_where_a_person_allows_them(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(Handler.seen)
    with pytest.raises(NetworkError, match=r"localhost is not a public address.*TACO_PRIVATE_NETWORK=1"):
        fetch(f"{server}/private", max_bytes=10_000)
    assert len(Handler.seen) == before
    monkeypatch.setenv("TACO_PRIVATE_NETWORK", "1")
    assert fetch(f"{server}/private", max_bytes=10_000)


def test_the_address_that_was_checked_is_the_one_connected_to(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = socket.getaddrinfo, []

    def rebinding(host: str, *args: object, **kwargs: object) -> object:
        asked.append(host)
        if host != "rebind.test":
            return real(host, *args, **kwargs)  # type: ignore[arg-type]
        address = "127.0.0.1" if asked.count(host) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(network, "is_public", lambda address: address == "127.0.0.1")
    assert fetch(f"http://rebind.test:{server.rpartition(':')[2]}/x", max_bytes=10_000)
    assert asked.count("rebind.test") == 1


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in ("93.184.215.14", "192.168.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: both)
    with pytest.raises(NetworkError, match="not a public address"):
        network.public_address("two.test", 80)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
        "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_wrapping_a_private_address_makes_it_no_more_public(address: object) -> None:
    assert not is_public(str(address))
    assert not is_public(f"::ffff:{address}")
    assert not is_public(f"64:ff9b::{address}")
