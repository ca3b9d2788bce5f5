"""test_ports.py - a source port that a client had is not its redirect: our own dials are apart.
Nor is what a client sent from one of our ports, before we had it."""
import contextlib
import errno
import socket

from internet import ORIGIN


def request(name):
    return b"GET / HTTP/1.1\r\nHost: " + name + b"\r\n\r\n"


def test_a_port_that_a_refused_client_had_does_not_lead_us_back_to_ourselves(net):
    net.start(domains=["allowed.test"])
    net.box.sysctl(ipv4__ip_local_port_range="21000 21007")     # few: ours must reuse one
    try:
        for name, ports in (b"evil.test", range(21000, 21008)), (b"allowed.test", [30000]):
            for port in ports:
                with net.client.open() as sock:
                    sock.bind(("", port))
                    sock.connect((ORIGIN, 80))
                    sock.sendall(request(name))
                    if name == b"allowed.test":
                        assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
                    else:
                        net.ringfence.wait_event("http.blocked", source_port=port)
    finally:
        net.box.sysctl(ipv4__ip_local_port_range="32768 60999")
    net.ringfence.wait_event("http.allowed")
    assert len(net.ringfence.events("http.allowed")) == 1


@contextlib.contextmanager
def bound(net, port):
    with net.client.open(uid=65534) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        yield sock


def test_an_allowed_name_is_not_reached_on_another_port_by_half_a_flow(net):
    """9000 answers no SYN from 8080; then a connection from 9000 to 8080 is that flow's answer."""
    with bound(net, 8080) as first:
        net.start(domains=["allowed.test"])
        with bound(net, 9000) as full:
            full.listen(0)
            with net.client.connect("127.0.0.1", 9000):
                first.setblocking(False)
                assert first.connect_ex(("127.0.0.1", 9000)) == errno.EINPROGRESS
    with bound(net, 9000) as answering:
        assert answering.connect_ex(("127.0.0.1", 8080)) == errno.ECONNREFUSED
    assert net.internet.arrived(ORIGIN) == 0
