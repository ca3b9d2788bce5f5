"""test_rules.py - what each rule lets through and what it does not, with real packets.

What is blocked is judged by what reaches the outside, never by what the sender is told alone."""
import contextlib
import errno
import socket

import pytest

from rules import (ALLOWED, BOX, LISTED, LOOPBACK, MARK, OUTSIDE, PATIENCE, PROHIBITED, REFUSED,
                   UID, as_uid, families, net, original_destination, refusal, rules, send_refusal,
                   tcp_syn)  # noqa: F401, net and rules are fixtures

EPHEMERAL = 40000                       # where Linux takes source ports from


def connection(net, family, address=OUTSIDE, port=9999):
    """An established connection from the box to the outside: both ends."""
    listener = net.listen(net.outside, family, address[family], port)
    client = net.make(net.box, family)
    client.connect((address[family], port))
    return client, net.accept(listener)


def cut_off(made):
    """Nothing but an end by reset or refusal comes of this connection."""
    with pytest.raises(OSError) as failure:
        for _ in range(1000):
            made.send(b"secret")
            made.recv(1)
    assert failure.value.errno in (errno.ECONNRESET, errno.EPIPE), failure.value


# Redirection

@families
@pytest.mark.parametrize("port, listener", [(80, 8080), (443, 8443)])
def test_ports_80_and_443_come_to_our_listener_with_their_destination(net, family, port, listener):
    net.install(ALLOWED)
    waiting = net.listen(net.box, family, LOOPBACK[family], listener)
    arriving = net.sniff()
    net.make(net.box, family).connect((OUTSIDE[family], port))
    assert original_destination(net.accept(waiting)) == (OUTSIDE[family], port)
    assert arriving.arrived() == []


@families
def test_redirected_data_goes_both_ways(net, family):
    net.install()
    waiting = net.listen(net.box, family, LOOPBACK[family], 8443)
    client = net.make(net.box, family)
    client.connect((OUTSIDE[family], 443))
    server = net.accept(waiting)
    client.sendall(b"hello")
    assert server.recv(9) == b"hello"
    server.sendall(b"welcome")
    assert client.recv(9) == b"welcome"


@families
def test_without_our_listener_a_redirected_connection_is_refused(net, family):
    net.install()
    assert refusal(net.make(net.box, family), (OUTSIDE[family], 443)) == REFUSED


@families
@pytest.mark.parametrize("port", [80, 443, 22])
def test_a_listed_address_is_reached_directly_on_every_port(net, family, port):
    net.install(ALLOWED)
    client, server = connection(net, family, LISTED, port)
    client.sendall(b"hello")
    assert server.recv(9) == b"hello"
    server.sendall(b"welcome")
    assert client.recv(9) == b"welcome"


@families
def test_datagrams_and_pings_to_a_listed_address_are_answered(net, family):
    net.install(ALLOWED)
    server = net.bound(net.outside, family, LISTED[family], 5353)
    client = net.make(net.box, family, socket.SOCK_DGRAM)
    client.sendto(b"question", (LISTED[family], 5353))
    data, peer = server.recvfrom(9)
    server.sendto(b"answer", peer)
    assert client.recv(9) == b"answer"
    ping(net, net.box, family, LISTED[family]).recv(99)


# Refusal

@families
@pytest.mark.parametrize("port", [22, 53, 853, 8080, 8443, 65535])
def test_other_ports_are_refused_at_once_and_nothing_leaves(net, family, port):
    net.install(ALLOWED)
    arriving = net.sniff()
    assert refusal(net.make(net.box, family), (OUTSIDE[family], port)) == REFUSED
    assert arriving.arrived() == []


@families
@pytest.mark.parametrize("port", [53, 80, 123, 443])
def test_datagrams_do_not_leave(net, family, port):
    net.install(ALLOWED)
    arriving = net.sniff()
    made = net.make(net.box, family, socket.SOCK_DGRAM)
    assert send_refusal(made, b"secret", (OUTSIDE[family], port)) in PROHIBITED
    assert arriving.arrived() == []


@families
def test_a_connected_datagram_client_learns_why(net, family):
    net.install()
    made = net.make(net.box, family, socket.SOCK_DGRAM)
    made.connect((OUTSIDE[family], 443))
    with pytest.raises(OSError):
        made.send(b"Initial")
    with pytest.raises(OSError) as failure:
        made.recv(1)
    assert failure.value.errno in PROHIBITED


@families
def test_pings_and_other_protocols_do_not_leave(net, family):
    net.install(ALLOWED)
    arriving = net.sniff()
    with contextlib.suppress(PermissionError):
        ping(net, net.box, family, OUTSIDE[family])
    for protocol in 4, 41, 47, 50, 132, 136, 253:
        raw = net.make(net.box, family, socket.SOCK_RAW, protocol)
        assert send_refusal(raw, b"secret" * 8, (OUTSIDE[family], 0)) in PROHIBITED
    assert arriving.arrived() == []


def test_a_mapped_address_is_refused_like_what_it_maps(net):
    net.install(ALLOWED)
    arriving = net.sniff()
    made = net.make(net.box, socket.AF_INET6)
    assert refusal(made, ("::ffff:" + OUTSIDE[socket.AF_INET], 9999)) == REFUSED
    assert arriving.arrived() == []


@pytest.mark.parametrize("address", ["224.0.0.251", "255.255.255.255", "10.77.0.255"])
def test_multicast_and_broadcast_do_not_leave(net, address):
    net.install(ALLOWED)
    arriving = net.sniff()
    made = net.make(net.box, socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    assert send_refusal(made, b"secret", (address, 5353)) in PROHIBITED
    assert arriving.arrived() == []


# Ours

@families
@pytest.mark.parametrize("mark, uid", [(MARK, 0), (None, UID), (MARK + 1, UID), (MARK, UID + 1)])
def test_neither_mark_nor_uid_alone_makes_a_socket_ours(net, family, mark, uid):
    net.install()
    arriving = net.sniff()
    with as_uid(uid):
        made = net.make(net.box, family, mark=mark)
    assert refusal(made, (OUTSIDE[family], 9999)) == REFUSED
    assert arriving.arrived() == []


@families
@pytest.mark.parametrize("port", [80, 443, 9999])
def test_our_own_sockets_reach_everything_unredirected(net, family, port):
    net.install()
    listener = net.listen(net.outside, family, OUTSIDE[family], port)
    net.ours(family).connect((OUTSIDE[family], port))
    net.accept(listener)


@families
def test_without_a_uid_of_our_own_the_mark_is_enough(net, family):
    net.install("match_uid=0")
    listener = net.listen(net.outside, family, OUTSIDE[family], 443)
    net.make(net.box, family, mark=MARK).connect((OUTSIDE[family], 443))
    net.accept(listener)


@families
def test_what_we_sent_before_closing_arrives_whole(net, family):
    """A closed socket has no uid any more: its packets go by connection mark."""
    net.install()
    listener = net.listen(net.outside, family, OUTSIDE[family], 9999)
    sender = net.ours(family)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sender.connect((OUTSIDE[family], 9999))
    receiver = net.accept(listener)
    sender.setblocking(False)
    sent = 0
    while sent < 1 << 20:
        try:
            sent += sender.send(bytes(65536))
        except BlockingIOError:
            break
    sender.close()
    assert len(b"".join(iter(lambda: receiver.recv(65536), b""))) == sent > 100000


@families
@pytest.mark.parametrize("match_uid", [0, 1])
def test_whoever_takes_over_our_port_does_not_take_over_our_mark(net, family, match_uid):
    net.install(f"match_uid={match_uid}")
    server = net.bound(net.outside, family, OUTSIDE[family], 53)
    ours = net.ours(family, socket.SOCK_DGRAM)
    ours.sendto(b"question", (OUTSIDE[family], 53))
    port = ours.getsockname()[1]
    assert server.recv(9) == b"question"
    ours.close()
    arriving = net.sniff()
    theirs = net.bound(net.box, family, "", port)
    assert send_refusal(theirs, b"secret", (OUTSIDE[family], 53)) in PROHIBITED
    assert arriving.arrived() == []


# Loopback

@families
@pytest.mark.parametrize("port", [80, 443])
@pytest.mark.parametrize("listening", [False, True])
def test_who_insists_on_an_interface_does_not_leave_by_it(net, family, port, listening):
    """The kernel routes what we redirect by the interface that its socket is bound to."""
    net.install(ALLOWED)
    if listening:
        net.listen(net.box, family, LOOPBACK[family], 8080 if port == 80 else 8443)
    arriving = net.sniff()
    made = net.make(net.box, family)
    made.settimeout(0.2)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    with contextlib.suppress(OSError):
        made.sendto(b"secret", socket.MSG_FASTOPEN, (OUTSIDE[family], port))
    assert arriving.arrived() == []
    server = net.listen(net.outside, family, LISTED[family], port)
    client = net.make(net.box, family)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    client.connect((LISTED[family], port))              # what is listed leaves by any
    net.accept(server)


@families
@pytest.mark.parametrize("where", [LOOPBACK, BOX], ids=["loopback", "own address"])
@pytest.mark.parametrize("port", [8080, 8443])
def test_our_listeners_cannot_be_reached_directly(net, family, where, port):
    net.install()
    net.listen(net.box, family, "", port)
    assert refusal(net.make(net.box, family), (where[family], port)) == REFUSED


@families
@pytest.mark.parametrize("where", [LOOPBACK, BOX], ids=["loopback", "own address"])
@pytest.mark.parametrize("port", [53, 80, 443, 5432])
def test_the_workloads_own_services_are_left_alone(net, family, where, port):
    net.install()
    listener = net.listen(net.box, family, where[family], port)
    net.make(net.box, family).connect((where[family], port))
    net.accept(listener)


def test_a_link_local_address_of_our_own_is_loopback_too(net):
    net.install()
    with net.box.entered():
        scope = socket.if_nametoindex("eth0")
        with open("/proc/net/if_inet6") as lines:
            raw = [line.split()[0] for line in lines if line.startswith("fe80")][0]
    address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(raw)), 5432, 0, scope
    listener = net.make(net.box, socket.AF_INET6)
    listener.bind(address)
    listener.listen()
    net.make(net.box, socket.AF_INET6).connect(address)
    net.accept(listener)


def test_anothers_rule_cannot_turn_loopback_into_a_way_out(net):
    net.install()
    net.box.nft(f"""table ip other {{ chain out {{ type nat hook output priority -100;
        ip daddr {BOX[socket.AF_INET]} tcp dport 5432 dnat to {OUTSIDE[socket.AF_INET]}:9999
        }}\n}}""")
    net.listen(net.outside, socket.AF_INET, OUTSIDE[socket.AF_INET], 9999)
    arriving = net.sniff()
    made = net.make(net.box, socket.AF_INET)
    assert refusal(made, (BOX[socket.AF_INET], 5432)) == REFUSED
    assert arriving.arrived() == []


@pytest.mark.parametrize("inbound", ["any", "none"])
def test_anothers_rule_cannot_turn_an_answer_on_loopback_into_a_way_out(net, inbound):
    """The question came from outside, under an address of ours: its answer starts on lo."""
    v4 = socket.AF_INET
    net.install(f"inbound={inbound}")
    net.box.nft(f"""table ip other {{ chain in {{ type nat hook input priority 100;
        ip saddr {OUTSIDE[v4]} udp dport {EPHEMERAL} snat to {BOX[v4]}:5432-6432
        }}\n}}""")
    server = net.bound(net.box, v4, BOX[v4], EPHEMERAL)
    client = net.bound(net.outside, v4, OUTSIDE[v4], 0)
    client.sendto(b"question", (BOX[v4], EPHEMERAL))
    data, peer = server.recvfrom(9)
    assert peer[0] == BOX[v4]
    arriving = net.sniff()
    assert send_refusal(server, b"secret", peer) in PROHIBITED
    assert arriving.arrived() == []


# Inbound

def visit(net, family, port):
    """A connection from outside; the errno, 0 when it is answered."""
    net.listen(net.box, family, BOX[family], port)
    client = net.make(net.outside, family)
    client.settimeout(0.5)              # not answered: only silence tells
    try:
        client.connect((BOX[family], port))
        client.settimeout(PATIENCE)
        return 0
    except OSError as failure:
        return failure.errno or errno.ETIMEDOUT


@families
@pytest.mark.parametrize("inbound, port, answered", [
    ("any", 7000, True), ("any", EPHEMERAL, True), ("none", 7000, False),
    ("7000-7001,80", 7000, True), ("7000-7001,80", 80, True), ("7000-7001,80", 7002, False)])
def test_others_may_connect_to_inbound_ports(net, family, inbound, port, answered):
    net.install(f"inbound={inbound}")
    assert (visit(net, family, port) == 0) == answered


@families
def test_an_inbound_connection_carries_data_both_ways(net, family):
    net.install()
    listener = net.listen(net.box, family, BOX[family], 7000)
    client = net.make(net.outside, family)
    client.connect((BOX[family], 7000))
    server = net.accept(listener)
    client.sendall(b"hello")
    assert server.recv(9) == b"hello"
    server.sendall(b"welcome")
    assert client.recv(9) == b"welcome"


@families
def test_a_closed_inbound_port_says_so(net, family):
    net.install()
    assert refusal(net.make(net.outside, family), (BOX[family], 7000)) == REFUSED


@families
@pytest.mark.parametrize("inbound, port, answered", [
    ("any", 5000, True), ("any", EPHEMERAL, False), (str(EPHEMERAL), EPHEMERAL, True),
    ("5000", 5001, False), ("none", 5000, False)])
def test_datagrams_to_inbound_ports_may_be_answered(net, family, inbound, port, answered):
    """Not to ephemeral ones unless they are listed: answers to old flows of ours come there."""
    net.install(f"inbound={inbound}")
    server = net.bound(net.box, family, BOX[family], port)
    client = net.bound(net.outside, family, OUTSIDE[family], 0)
    client.sendto(b"question", (BOX[family], port))
    data, peer = server.recvfrom(9)
    if answered:
        server.sendto(b"answer", peer)
        assert client.recv(9) == b"answer"
    else:
        arriving = net.sniff()
        assert send_refusal(server, b"secret", peer) in PROHIBITED
        assert arriving.arrived() == []


@families
@pytest.mark.parametrize("inbound", ["any", "80", "none"])
def test_pings_from_outside_are_answered_unless_nothing_is_inbound(net, family, inbound):
    net.install(f"inbound={inbound}")
    waiting = ping(net, net.outside, family, BOX[family])
    if inbound != "none":
        waiting.recv(99)
    else:
        arriving = net.sniff()
        ping(net, net.outside, family, BOX[family])
        assert arriving.arrived() == []


def ping(net, namespace, family, address):
    made = net.make(namespace, family, socket.SOCK_DGRAM,
                      socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6)
    kind = 8 if family == socket.AF_INET else 128
    made.sendto(bytes([kind, 0, 0, 0, 0, 1, 0, 1]) + b"payload", (address, 0))
    return made


# Connections that are older than the rules

@families
@pytest.mark.parametrize("tracked", [False, True], ids=["untracked", "tracked"])
@pytest.mark.parametrize("first", ["box", "outside"])
@pytest.mark.parametrize("inbound", ["any", "none"])
def test_a_connection_older_than_the_rules_is_cut(net, family, tracked, first, inbound):
    if tracked:
        track(net)
    client, server = connection(net, family)
    net.install(f"inbound={inbound}")
    if first == "outside":
        server.send(b"are you there?")
    arriving = net.sniff()
    cut_off(client)
    assert [packet for packet in arriving.arrived() if b"secret" in packet] == []
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(9)


@families
@pytest.mark.parametrize("tracked", [False, True], ids=["untracked", "tracked"])
def test_a_datagram_flow_older_than_the_rules_is_cut(net, family, tracked):
    if tracked:
        track(net)
    server = net.bound(net.outside, family, OUTSIDE[family], 9999)
    client = net.make(net.box, family, socket.SOCK_DGRAM)
    client.sendto(b"hello", (OUTSIDE[family], 9999))
    peer = server.recvfrom(9)[1]
    net.install()
    server.sendto(b"are you there?", peer)
    assert client.recv(99) == b"are you there?"
    assert send_refusal(client, b"secret", (OUTSIDE[family], 9999)) in PROHIBITED


def test_an_accomplices_syn_does_not_revive_an_old_connection(net):
    client, server = connection(net, socket.AF_INET)
    net.install()
    raw = net.make(net.outside, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
    raw.sendto(tcp_syn(server.getsockname(), server.getpeername()), (BOX[socket.AF_INET], 0))
    arriving = net.sniff()
    cut_off(client)
    assert arriving.arrived() == []


def track(net):
    """As Docker's own NAT rules do: conntrack sees everything."""
    net.box.nft("table inet docker { chain out { type nat hook output priority -100; }\n}")


# IPv6's own needs

def test_neighbours_are_found_again_under_the_rules(net):
    net.install(ALLOWED)
    net.box.ip("neigh flush dev eth0\n")
    net.outside.ip("neigh flush dev eth0\n")
    connection(net, socket.AF_INET6, LISTED)


def test_joining_a_multicast_group_tells_the_link_nothing(net):
    net.install()
    arriving = net.sniff()
    made = net.make(net.box, socket.AF_INET6, socket.SOCK_DGRAM)
    with net.box.entered():
        scope = socket.if_nametoindex("eth0")
    group = socket.inet_pton(socket.AF_INET6, "ff02::5ec2:e700") + scope.to_bytes(4, "little")
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    net.box.ip("maddr show\n")       # the report goes out at once, before this answers
    assert arriving.arrived() == []
