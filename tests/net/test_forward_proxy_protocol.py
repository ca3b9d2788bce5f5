"""test_forward_proxy_protocol.py - SEND_PROXY of `ringfence forward`: the target learns who the
client is, before the client's first byte, as proxy-protocol.txt has it."""
import ipaddress
import os
import shutil
import struct
import subprocess

import pytest

from forwarding import (OTHER, OTHER6, PROXY, PROXY6, WORKLOAD, WORKLOAD6, exchange, read,
                        read_all, reset, until)
from internet import ORIGIN, ORIGIN6

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FAMILIES = {0x11: ("TCP4", 4), 0x21: ("TCP6", 16)}
VERSIONS = pytest.mark.parametrize("version", ["v1", "v2"])
SIDES = pytest.mark.parametrize("proxy", [PROXY, PROXY6])


@pytest.fixture
def net(proxied):
    return proxied


def family_of(proxy):
    return "TCP6" if ":" in proxy else "TCP4"


def read_header(sock, version):
    """(family, source, its port, destination, its port) as the target reads it."""
    if version == "v1":
        line = b""
        while not line.endswith(b"\r\n"):
            line += read(sock, 1)
            assert len(line) <= 107
        word, family, *rest = line[:-2].decode("ascii").split(" ")
        assert word == "PROXY"
        src, dst, src_port, dst_port = rest
    else:
        fixed = read(sock, 16)
        assert fixed[:12] == SIGNATURE and fixed[12] == 0x21        # version 2, PROXY
        family, size = FAMILIES[fixed[13]]
        assert struct.unpack("!H", fixed[14:]) == (2 * size + 4,)
        src, dst = (ipaddress.ip_address(read(sock, size)) for _ in range(2))
        src_port, dst_port = struct.unpack("!HH", read(sock, 4))
    return (family, str(ipaddress.ip_address(src)), int(src_port),
            str(ipaddress.ip_address(dst)), int(dst_port))


@VERSIONS
@SIDES
def test_the_target_is_told_before_the_first_byte(net, version, proxy):
    with net.conversation(7000, proxy, SEND_PROXY=version) as (sock, upstream):
        client, port = sock.getsockname()[:2]
        # Also when the client says nothing yet: the target may be the one that speaks first.
        assert read_header(upstream, version) == (family_of(proxy), client, port, proxy, 7000)
        exchange(upstream, sock, b"220 ready")
        exchange(sock, upstream, b"EHLO me")
        sock.close()
        assert read_all(upstream) == b""


@VERSIONS
def test_what_the_client_sent_at_once_comes_behind_it(net, version):
    data = os.urandom(300000)
    net.start(TARGET="target.test", PORT="9000:7000", SEND_PROXY=version)
    with net.listen(7000) as server, net.connect(9000) as client:
        client.sendall(data)
        with server.accept() as upstream:
            header = read_header(upstream, version)
            assert header == ("TCP4", WORKLOAD, client.getsockname()[1], PROXY, 9000)
            assert read(upstream, len(data)) == data
            exchange(upstream, client, b"and back")


@VERSIONS
def test_a_client_that_has_finished_already_is_told_of_too(net, version):
    net.start(TARGET="target.test", PORT=7000, SEND_PROXY=version)
    with net.listen(7000) as server, net.connect(7000) as client:
        client.sendall(b"last words")
        client.shutdown(1)
        with server.accept() as upstream:
            assert read_header(upstream, version)[1] == WORKLOAD
            assert read_all(upstream) == b"last words"
            exchange(upstream, client, b"answer")


@pytest.mark.parametrize("target", [ORIGIN, ORIGIN6])
@SIDES
def test_the_family_is_the_clients_not_the_targets(net, target, proxy):
    net.start(TARGET=target, PORT=7000, SEND_PROXY="v2")
    with net.listen(7000) as server, net.connect(7000, proxy) as client:
        with server.accept() as upstream:
            assert read_header(upstream, "v2") == \
                (family_of(proxy), *client.getsockname()[:2], proxy, 7000)


@VERSIONS
def test_each_client_is_told_as_itself_also_who_waited(net, version):
    net.start(TARGET="target.test", PORT=7000, SEND_PROXY=version, MAX_CONNECTIONS=1, WORKERS=2)
    with net.listen(7000) as server:
        for source in (WORKLOAD, OTHER, WORKLOAD6, OTHER6):
            to = PROXY6 if ":" in source else PROXY
            with net.connect(7000) as first, server.accept() as served:
                assert read_header(served, version)[2] == first.getsockname()[1]
                second = net.client.open(10 if ":" in source else 2)
                second.bind((source, 0))
                second.connect((to, 7000))
                second.sendall(b"I wait")
                first.close()
                served.close()
                with second, server.accept() as upstream:
                    assert read_header(upstream, version)[1:4] == \
                        (source, second.getsockname()[1], to)
                    assert read(upstream, 6) == b"I wait"


def test_the_header_is_not_counted_as_the_clients_bytes(net):
    with net.conversation(7000, SEND_PROXY="v1", VERBOSE=1) as (client, upstream):
        read_header(upstream, "v1")
        exchange(client, upstream, b"12345")
        exchange(upstream, client, b"123")
    event = net.ringfence.wait_event("forward.closed")
    assert (event["bytes_up"], event["bytes_down"]) == (5, 3)


def test_a_client_that_is_gone_before_is_not_told_of_as_somebody_else(net):
    """A reset takes the address with it; whoever is dialled for is told with the right one."""
    net.start(TARGET="target.test", PORT=7000, SEND_PROXY="v2")
    with net.listen(7000) as server:
        for _ in range(50):
            reset(net.connect(7000))
        with net.connect(7000) as client:
            client.sendall(b"me")
            port = client.getsockname()[1]
            while True:
                with server.accept() as upstream:
                    try:
                        header = read_header(upstream, "v2")
                    except (EOFError, ConnectionResetError):
                        continue                # its reset came through before the header
                    assert header[1] == WORKLOAD
                    if header[2] == port:
                        assert read(upstream, 2) == b"me"
                        break


def test_without_it_nothing_is_added(net):
    with net.conversation(7000) as (client, upstream):
        exchange(client, upstream, b"PROXY")


HAPROXY = """
defaults
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 30s
frontend front
    bind [::]:7000 v4v6 accept-proxy
    http-request return status 200 content-type text/plain \
lf-string "%[src] %[src_port] %[dst] %[dst_port]"
"""


@pytest.mark.skipif(not shutil.which("haproxy"), reason="needs haproxy")
@VERSIONS
@SIDES
def test_haproxy_understands_it(net, tmp_path, version, proxy):
    config = tmp_path / "haproxy.cfg"
    config.write_text(HAPROXY)
    net.start(TARGET="target.test", PORT=7000, SEND_PROXY=version)
    with net.listen(7000) as place:
        place.listener.close()                  # haproxy takes its port
        place.listener = net.client.open()
        place.listener.bind(("127.0.0.1", 0))
        place.listener.listen()
        haproxy = subprocess.Popen([*net.internet.namespace.prefix(), "haproxy", "-db", "-f",
                                    config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def answer():
                with net.connect(7000, proxy) as sock:
                    client, port = sock.getsockname()[:2]
                    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    return read_all(sock), f"{client} {port} {proxy} 7000"
            body, expected = until(lambda: (got := answer())[0] and got, "haproxy answers")
            assert body.endswith(b"\r\n\r\n" + expected.encode())
        finally:
            haproxy.kill()
            haproxy.wait()
