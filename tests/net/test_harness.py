"""test_harness.py - without a filter everything gets out, so "nothing arrived" means something."""
import socket

import pytest

from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6, RESOLVER, RESOLVER6

BOTH = pytest.mark.parametrize("origin", [ORIGIN, ORIGIN6, ATTACKER, ATTACKER6])
ANYWHERE = pytest.mark.parametrize("addr", ["192.168.1.1", "169.254.169.254", "8.8.8.8",
                                            "2606:4700::1111", "fd00:ec2::254"])


@BOTH
def test_tls_reaches_the_origin_with_its_name(net, origin):
    outcome = net.client.tls("some.test", to=origin)
    assert outcome == "OK" and outcome.body == f"hello from some.test at {origin}\n".encode()
    [session] = net.internet.at(origin, 443)
    assert session.names == ["some.test"] and session.raw.startswith(b"\x16\x03\x01")
    assert net.internet.arrived(origin, protocol="tcp", port=443) > 0


@BOTH
def test_http_reaches_the_origin_byte_for_byte(net, origin):
    head = b"GET /x HTTP/1.1\r\nHost: some.test\r\nOdd:  spaces \r\nConnection: close\r\n\r\n"
    assert net.client.http("some.test", to=origin, head=head) == "OK"
    assert net.internet.received(origin, 80) == head
    assert net.internet.requests(origin)[0].host == "some.test"


@BOTH
def test_every_tcp_port_reaches_the_sink(net, origin):
    for port in 1, 22, 853, 8443, 65535:
        assert net.client.tcp(origin, port, b"secret").body == b"secret"
        assert net.internet.received(origin, port) == b"secret"
        assert net.internet.arrived(origin, protocol="tcp", port=port) > 0


@BOTH
def test_every_udp_port_reaches_the_sink(net, origin):
    for port in 443, 5353, 65535:
        assert net.client.udp(origin, port, b"datagram").body == b"datagram"
        assert net.internet.arrived(origin, protocol="udp", port=port) == 1
    assert [datagram.data for datagram in net.internet.datagrams] == [b"datagram"] * 3


@ANYWHERE
def test_any_address_would_be_reached(net, addr):
    assert net.client.http("some.test", to=addr) == "OK"
    assert net.client.udp(addr, 9999) == "OK"
    assert net.internet.received(addr, 80) and net.internet.arrived(addr) > 0


def test_a_ping_is_counted(net):
    for addr, options in (ATTACKER, "-4"), (ATTACKER6, "-6"):
        family, protocol = ((socket.AF_INET, socket.IPPROTO_ICMP) if options == "-4" else
                            (socket.AF_INET6, socket.IPPROTO_ICMPV6))
        with net.client.open(family, socket.SOCK_DGRAM, protocol) as sock:
            sock.connect((addr, 0))
            sock.send((b"\x08" if options == "-4" else b"\x80") + b"\0" * 7 + b"payload")
            assert sock.recv(100).endswith(b"payload")
        assert net.internet.arrived(addr) == 1


def test_nothing_is_counted_when_nothing_was_sent(net):
    assert net.internet.arrived() == 0
    assert net.internet.received(ATTACKER) == b"" and net.internet.sessions == []


def test_curl_in_the_box_uses_the_fake_resolver(net):
    assert net.client.curl("https://allowed.test/").body.startswith(b"hello from allowed.test at ")
    assert net.client.curl("http://evil.test/") == "OK"
    assert net.client.curl("http://nowhere.test/") == "UNRESOLVED"
    asked = {question.name for question in net.internet.dns.questions}
    assert asked >= {"allowed.test", "evil.test", "nowhere.test"}


def test_http_takes_many_requests_on_one_connection(net):
    with net.client.connect(ORIGIN, 80) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"3\r\nabc\r\n0\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        net.internet.wait(lambda: len(net.internet.requests()) == 2)
    assert [(r.host, r.body) for r in net.internet.requests()] == [("a.test", b"abc"),
                                                                   ("b.test", b"")]


def test_a_retry_curve_makes_clients_send_a_second_hello(net):
    net.internet.tls_curve = "secp384r1"
    assert net.client.tls("allowed.test") == "OK"
    assert net.internet.sessions[0].names == ["allowed.test"] * 2


@pytest.mark.parametrize("resolver", [RESOLVER, RESOLVER6])
def test_dns_answers_as_it_is_told(net, resolver):
    dns = net.internet.dns
    dns.set("moving.test", "192.0.2.1", "192.0.2.2", rotate=1)
    dns.set("alias.test", cname="allowed.test")
    dns.set("broken.test", rcode="SERVFAIL")
    dns.set("big.test", *(f"10.0.{n}.1" for n in range(200)))
    script = ("import socket,sys\nfor name in sys.argv[1:]:\n"
              "    try: print(*sorted({a[4][0] for a in socket.getaddrinfo(name, 0, 2)}))\n"
              "    except socket.gaierror as error: print(error.errno)\n")
    with open(net.resolv_conf, "w") as file:
        file.write(f"nameserver {resolver}\n")
    names = ["moving.test", "moving.test", "alias.test", "x.wild.test", "broken.test", "no.test"]
    told = net.client.run("python3", "-c", script, *names).stdout.splitlines()
    assert told == ["192.0.2.1", "192.0.2.2", ORIGIN, ORIGIN, str(socket.EAI_AGAIN),
                    str(socket.EAI_NONAME)]
    assert len(net.client.run("python3", "-c", script, "big.test").stdout.split()) == 200
    assert {question.transport for question in dns.asked("big.test")} == {"udp", "tcp"}


def test_outcomes_have_words(net):
    net.box.nft("""table inet t { chain out {
        type filter hook output priority 0;
        tcp dport 1 reject with tcp reset
        tcp dport 2 reject with icmpx admin-prohibited
        udp dport 2 reject with icmpx admin-prohibited
        udp dport 3 drop
    }
    }""")
    for addr in ATTACKER, ATTACKER6:
        assert net.client.tcp(addr, 1) == "REFUSED"
        assert net.client.tcp(addr, 2) == "UNREACHABLE"
        assert net.client.udp(addr, 2) == "UNREACHABLE"
        assert net.client.udp(addr, 3) == "DENIED"
        assert net.internet.arrived(addr) == 0
    assert net.client.tls("evil.test", port=8443) == "ALERT"    # the sink echoes the hello
    assert net.client.tcp(ORIGIN, 80, b"half a request", timeout=0.2) == "TIMEOUT"


def test_a_socket_can_have_a_mark_and_an_owner(net):
    net.box.nft("""table inet t { chain out {
        type filter hook output priority 0;
        meta mark 7 meta skuid 1234 tcp dport 9000 accept
        tcp dport 9000 reject with tcp reset
    }
    }""")
    assert net.client.tcp(ATTACKER, 9000, mark=7, uid=1234) == "OK"
    assert net.client.tcp(ATTACKER, 9000, mark=7) == "REFUSED"
    assert net.client.tcp(ATTACKER, 9000, uid=1234) == "REFUSED"
    assert net.client.probe(ATTACKER, 9000, mark=7, uid=1234, caps="+net_raw") == "OK"
    assert net.client.probe(ATTACKER, 9000, mark=7, uid=1234, caps="") == "DENIED"


def test_an_outsider_can_connect_to_the_box(net):
    with net.client.open() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", 7000))
        listener.listen()
        with net.outsider.connect("10.77.0.2", 7000) as outside:
            inside, _ = listener.accept()
            inside.sendall(b"from the box")
            inside.close()
            assert outside.recv(100) == b"from the box"
