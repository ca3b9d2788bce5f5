"""test_ports.py - a source port that a client had is not its redirect: our own dials are apart."""
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
    assert len(net.ringfence.events("http.allowed")) == 1
