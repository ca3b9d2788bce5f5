"""test_rules_spoof.py - packets in somebody else's name.

IPV6_FREEBIND needs no privilege: whoever has a socket can send from any IPv6 address. All of
127.0.0.0/8 is everybody's anyway."""
import errno
import re
import socket

import pytest

import dockerdns
import netns

from rules import (ALLOWED, BOX, LISTED, LOOPBACK, OUTSIDE, as_uid, families, net, refusal,
                   rules)  # noqa: F401, net and rules are fixtures

IPV6_FREEBIND, IPV6_PKTINFO = 78, socket.IPV6_PKTINFO
V6 = socket.AF_INET6
ELSEWHERE = "2001:db8:66::66"           # nobody lists it; packets to it leave by eth0
DOCKERS = dockerdns.ADDR
WORKLOAD = 65534
modes = pytest.mark.parametrize("mode", ["https", "dns-strict", "dns"])
LOST = {errno.EPERM}


def words(mode, *more):
    return [*more, *([] if mode == "https" else [f"mode={mode}", "dns=5300"])]


def in_the_name_of(net, address, port, kind=socket.SOCK_DGRAM):
    """A socket of the workload's, with an address that is not the box's."""
    with as_uid(WORKLOAD):
        made = net.make(net.box, V6, kind)
    made.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    made.bind((address, port))
    return made


def send(made, data, address):
    """None, or the errno."""
    try:
        made.sendto(data, address)
    except OSError as error:
        return error.errno
    return None


def arrived(sniffer):
    """Not what the kernel tells its link about multicast groups, in dns mode."""
    return [packet for packet in sniffer.arrived() if packet[0] >> 4 != 6 or packet[24] != 0xff]


@modes
def test_an_answer_in_a_listed_ones_name_goes_nowhere(net, mode):
    """First a question that its "answer" belongs to, in the name of who shall get the secret."""
    net.install(*words(mode, ALLOWED))
    arriving = net.sniff()
    asked = send(in_the_name_of(net, ELSEWHERE, 7000), b"x", (LISTED[V6], 9999))
    told = send(in_the_name_of(net, LISTED[V6], 9999), b"secret", (ELSEWHERE, 7000))
    assert {asked, told} == LOST
    assert arrived(arriving) == []


@modes
@pytest.mark.parametrize("target", [LISTED[V6], OUTSIDE[V6], BOX[V6], LOOPBACK[V6]],
                         ids=["listed", "outside", "box", "loopback"])
def test_nothing_leaves_in_another_name_and_nobody_here_gets_it(net, mode, target):
    net.install(*words(mode, ALLOWED))
    server, arriving = net.bound(net.box, V6, "::", 5000), net.sniff()
    assert send(in_the_name_of(net, ELSEWHERE, 7000), b"secret", (target, 5000)) in LOST
    connecting = in_the_name_of(net, ELSEWHERE, 7001, socket.SOCK_STREAM)
    connecting.settimeout(0.2)
    with pytest.raises(OSError):
        connecting.connect((target, 5000))
    by_cmsg = net.make(net.box, V6, socket.SOCK_DGRAM)
    by_cmsg.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    name = socket.inet_pton(V6, ELSEWHERE) + b"\0\0\0\0"
    with pytest.raises(PermissionError):
        by_cmsg.sendmsg([b"secret"], [(socket.IPPROTO_IPV6, IPV6_PKTINFO, name)], 0,
                        (target, 5000))
    assert arrived(arriving) == []
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(100)


@modes
def test_an_answer_to_us_in_our_resolvers_name_is_lost(net, mode):
    net.install(*words(mode, ALLOWED))
    resolver = net.bound(net.outside, V6, OUTSIDE[V6], 5353)
    ours = net.ours(V6, socket.SOCK_DGRAM)
    ours.connect((OUTSIDE[V6], 5353))
    ours.send(b"question")
    asked, client = resolver.recvfrom(100)
    forger = in_the_name_of(net, OUTSIDE[V6], 5353)
    assert send(forger, b"forged", (BOX[V6], ours.getsockname()[1])) in LOST
    resolver.sendto(b"answer", client)
    assert asked == b"question" and ours.recv(100) == b"answer"


@pytest.mark.parametrize("mode", ["https", "dns-strict", "dns"])
def test_an_answer_to_us_in_the_name_of_dockers_resolver_is_lost(net, mode):
    """Docker's rules, and its resolver on a port of its own."""
    net.box.nft(dockerdns.RULES.format(addr=DOCKERS, tcp=40053, udp=40053))
    net.install("dns=5300", *([] if mode == "https" else [f"mode={mode}"]))
    resolver = net.bound(net.box, socket.AF_INET, DOCKERS, 40053)
    ours = net.ours(socket.AF_INET, socket.SOCK_DGRAM)
    ours.connect((DOCKERS, 53))
    ours.send(b"question")
    asked, client = resolver.recvfrom(100)
    with as_uid(WORKLOAD):
        forger = net.make(net.box, socket.AF_INET, socket.SOCK_DGRAM)
    net.box.sysctl(ipv4__ip_unprivileged_port_start=0)          # as Docker does
    forger.bind((DOCKERS, 53))
    assert send(forger, b"forged", ("127.0.0.1", ours.getsockname()[1])) is not None
    resolver.sendto(b"answer", client)
    assert asked == b"question" and ours.recv(100) == b"answer"


@families
@pytest.mark.parametrize("mode, port", [("https", 8080), ("https", 8443), ("dns-strict", 5300),
                                        ("dns", 5300)])
def test_our_listeners_are_not_reached_as_the_answer_of_a_flow(net, family, mode, port):
    """Its first packet came from our port before that was ours, to a port that does not answer."""
    net.install(*words(mode))
    deaf = half_a_flow(net, family, port)
    listener = net.listen(net.box, family, LOOPBACK[family], port)
    answering = net.make(net.box, family)
    answering.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    answering.bind((LOOPBACK[family], deaf))
    assert refusal(answering, (LOOPBACK[family], port)) == errno.ECONNREFUSED
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def half_a_flow(net, family, port):
    """A SYN from this port to another one, whose listener takes no more: that port."""
    full = net.make(net.box, family)
    full.bind((LOOPBACK[family], 0))
    full.listen(0)
    net.make(net.box, family).connect(full.getsockname()[:2])
    first = net.make(net.box, family)
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind((LOOPBACK[family], port))
    first.setblocking(False)
    assert first.connect_ex(full.getsockname()[:2]) == errno.EINPROGRESS
    deaf = full.getsockname()[1]
    first.close()
    full.close()
    return deaf


def by_way_of(net, family, kind=socket.SOCK_DGRAM):
    """A socket of the workload's whose packets go to LISTED first, then where they are sent."""
    with as_uid(WORKLOAD):
        made = net.make(net.box, family, kind)
    if family == V6:            # RFC 8754: one more hop
        way = bytes([0, 4, 4, 1, 1, 0, 0, 0]) + bytes(16) + socket.inet_pton(V6, LISTED[V6])
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RTHDR, way)
    else:                       # loose source route
        way = bytes([131, 7, 4]) + socket.inet_aton(LISTED[family]) + b"\0"
        made.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, way)
    return made


@families
@pytest.mark.parametrize("mode", ["https", "dns-strict"])
def test_a_listed_address_is_no_first_hop_to_others(net, family, mode):
    net.install(*words(mode, ALLOWED))
    arriving = net.sniff()
    assert send(by_way_of(net, family), b"secret", (OUTSIDE[family], 9999)) is not None
    connecting = by_way_of(net, family, socket.SOCK_STREAM)
    connecting.settimeout(0.2)
    with pytest.raises(OSError):
        connecting.connect((OUTSIDE[family], 9999))
    assert arrived(arriving) == []


# What is not to be taken for such a thing

@modes
def test_what_has_addresses_of_the_box_goes_on(net, mode):
    net.install(*words(mode, ALLOWED))
    net.box.ip("addr replace fd77::3/64 dev eth0 nodad\n")
    server = net.bound(net.outside, V6, LISTED[V6], 5353)
    for address in BOX[V6], "fd77::3":
        client = net.bound(net.box, V6, address, 0)
        client.sendto(b"hello", (LISTED[V6], 5353))
        data, sender = server.recvfrom(100)
        assert data == b"hello" and sender[0] == address
        server.sendto(b"welcome", sender)
        assert client.recv(100) == b"welcome"


@modes
def test_processes_here_talk_by_link_local_and_other_addresses_of_the_box(net, mode):
    net.install(*words(mode))
    with net.box.entered():
        index = socket.if_nametoindex("eth0")
    text = netns.command(*net.box.prefix(), "ip", "-6", "addr", "show", "dev", "eth0")
    link_local = re.search(r"inet6 (fe80::[0-9a-f:]+)", text)[1]
    for address, *scope in (LOOPBACK[V6],), (BOX[V6],), (link_local, 0, index):
        listener = net.make(net.box, V6)
        listener.bind((address, 0, *scope))
        listener.listen()
        client = net.make(net.box, V6)
        client.connect((address, listener.getsockname()[1], *scope))
        server = net.accept(listener)
        client.sendall(b"hello")
        assert server.recv(100) == b"hello"


@families
def test_a_refusal_still_reaches_who_tried(net, family):
    """It speaks in the name of who was not reached."""
    net.install(ALLOWED)
    assert refusal(net.make(net.box, family), (OUTSIDE[family], 22)) == errno.ECONNREFUSED
