"""test_rules_dns.py - questions for names: where they come to, and the ways around our resolver."""
import contextlib
import socket

import pytest

from rules import (ALLOWED, BOX, LISTED, LOOPBACK, OUTSIDE, PROHIBITED, REFUSED, families, net,
                   refusal, rules, send_refusal)  # noqa: F401, net and rules are fixtures

V4, V6 = socket.AF_INET, socket.AF_INET6
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
kinds = pytest.mark.parametrize("kind", [TCP, UDP], ids=["tcp", "udp"])
modes = pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
ports = pytest.mark.parametrize("port", [53, 5300])
DOCKER, DOCKERS_PORT = "127.0.0.11", 45678
# As Docker writes it into each container.
DOCKERS_RULES = "".join(f"""
    add rule ip nat OUTPUT ip daddr {DOCKER} {protocol} dport 53 dnat to {DOCKER}:{DOCKERS_PORT}
    add rule ip nat POSTROUTING ip saddr {DOCKER} {protocol} sport {DOCKERS_PORT} snat to :53
""" for protocol in ("tcp", "udp"))


def dockers_rules(net):
    net.box.nft("""table ip nat {
        chain OUTPUT { type nat hook output priority -100; }
        chain POSTROUTING { type nat hook postrouting priority 100; }
    }""" + DOCKERS_RULES)


def serve(net, namespace, family, kind, address, port):
    if kind == TCP:
        return net.listen(namespace, family, address, port)
    return net.bound(namespace, family, address, port)


def ask(net, client, kind, address, server):
    """A question and its answer; True when both came."""
    if kind == TCP:
        client.connect(address)
        end = net.accept(server)
        client.sendall(b"question")
        assert end.recv(99) == b"question"
        end.sendall(b"answer")
        assert client.recv(99) == b"answer"
        return
    client.sendto(b"question", address)
    data, peer = server.recvfrom(99)
    assert data == b"question"
    server.sendto(b"answer", peer)
    assert client.recvfrom(99) == (b"answer", client_sees(client, address))


def client_sees(client, address):
    return address if client.family == V4 else (*address, 0, 0)


def is_refused(net, kind, family, address):
    made = net.make(net.box, family, kind)
    if kind == TCP:
        return refusal(made, address) == REFUSED
    return send_refusal(made, b"secret", address) in PROHIBITED


# Where questions come to

@modes
@ports
@kinds
@pytest.mark.parametrize("family, address", [
    (V4, OUTSIDE[V4]), (V4, LISTED[V4]), (V4, "8.8.8.8"), (V4, "127.0.0.1"), (V4, "127.0.0.53"),
    (V4, DOCKER), (V4, BOX[V4]), (V6, OUTSIDE[V6]), (V6, LISTED[V6]), (V6, "::1"), (V6, BOX[V6])])
def test_every_question_comes_to_our_resolver(net, mode, port, kind, family, address):
    dockers_rules(net)
    net.install(ALLOWED, f"mode={mode}", f"dns={port}")
    ours = serve(net, net.box, family, kind, LOOPBACK[family], port)
    arriving = net.sniff()
    ask(net, net.make(net.box, family, kind), kind, (address, 53), ours)
    assert arriving.arrived() == []


@modes
@kinds
def test_a_connected_client_gets_its_answer_from_whom_it_asked(net, mode, kind):
    net.install(f"mode={mode}", "dns=53")
    ours = serve(net, net.box, V4, kind, LOOPBACK[V4], 53)
    client = net.make(net.box, V4, kind)
    client.connect(("8.8.8.8", 53))
    client.sendall(b"question")
    if kind == TCP:
        net.accept(ours).sendall(b"answer")
    else:
        ours.sendto(b"answer", ours.recvfrom(99)[1])
    assert client.recv(99) == b"answer"


@modes
@families
@kinds
def test_our_own_questions_go_where_we_send_them(net, mode, family, kind):
    net.install(f"mode={mode}", "dns=53")
    serve(net, net.box, family, kind, LOOPBACK[family], 53)
    outside = serve(net, net.outside, family, kind, OUTSIDE[family], 53)
    ask(net, net.ours(family, kind), kind, (OUTSIDE[family], 53), outside)


@families
@kinds
def test_questions_that_nobody_hears_do_not_leave(net, family, kind):
    net.install("mode=dns", "dns=53")
    arriving = net.sniff()
    made = net.make(net.box, family, kind)
    with pytest.raises(ConnectionRefusedError):
        made.connect((OUTSIDE[family], 53))
        made.send(b"question")
        made.recv(99)
    assert arriving.arrived() == []


@kinds
def test_without_a_resolver_of_ours_questions_are_left_alone(net, kind):
    net.install("dns=0")
    theirs = serve(net, net.box, V4, kind, DOCKER, 53)
    ask(net, net.make(net.box, V4, kind), kind, (DOCKER, 53), theirs)


@modes
@families
@kinds
@pytest.mark.parametrize("where", [LOOPBACK, BOX], ids=["loopback", "own address"])
def test_our_resolver_cannot_be_reached_directly(net, mode, family, kind, where):
    net.install(f"mode={mode}", "dns=5300")
    serve(net, net.box, family, kind, "", 5300)
    assert is_refused(net, kind, family, (where[family], 5300))


@modes
@families
@kinds
def test_a_service_of_the_workloads_on_another_port_is_left_alone(net, mode, family, kind):
    net.install(f"mode={mode}", "dns=53")
    theirs = serve(net, net.box, family, kind, BOX[family], 5300)
    ask(net, net.make(net.box, family, kind), kind, (BOX[family], 5300), theirs)


@modes
@families
@kinds
def test_a_way_to_ask_that_is_older_than_the_rules_is_cut(net, mode, family, kind):
    """NAT looks at the first packet of a flow alone; to a listed address too."""
    net.box.nft("table inet docker { chain out { type nat hook output priority -100; }\n}")
    server = serve(net, net.outside, family, kind, LISTED[family], 53)
    client = net.make(net.box, family, kind)
    client.connect((LISTED[family], 53))
    client.send(b"before")
    if kind == TCP:
        server = net.accept(server)
    assert server.recv(99) == b"before"
    net.install(ALLOWED, f"mode={mode}", "dns=53")
    arriving = net.sniff()
    with pytest.raises(OSError):
        for _ in range(100):
            client.send(b"secret")
            client.recv(1)
    assert not [packet for packet in arriving.arrived() if b"secret" in packet]


@modes
@kinds
@pytest.mark.parametrize("family, address", [(V4, OUTSIDE[V4]), (V6, OUTSIDE[V6]), (V6, "fe80::1")])
def test_who_insists_on_an_interface_is_not_answered_and_nothing_leaves(net, mode, kind, family,
                                                                        address):
    """The kernel does not lead a socket that is bound to eth0 to us; a resolver under a link-local
    address binds it too. It stays closed."""
    net.install(f"mode={mode}", "dns=53")
    serve(net, net.box, family, kind, LOOPBACK[family], 53)
    arriving = net.sniff()
    client = net.make(net.box, family, kind)
    client.settimeout(0.2)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    with net.box.entered():
        scope = socket.if_nametoindex("eth0")
    with contextlib.suppress(OSError):
        client.connect((address, 53) if family == V4 else (address, 53, 0, scope))
        client.send(b"question")
        client.recv(99)
    assert arriving.arrived() == []


# Docker's resolver

@modes
@kinds
@pytest.mark.parametrize("port", [53, DOCKERS_PORT, 80])
def test_dockers_resolver_is_ours_alone(net, mode, kind, port):
    """By our rules alone and behind Docker's, by its port and by the one that it really has."""
    net.install(f"mode={mode}", "dns=5300")
    dockers_rules(net)
    docker = serve(net, net.box, V4, kind, DOCKER, DOCKERS_PORT)
    ask(net, net.ours(V4, kind), kind, (DOCKER, 53), docker)
    assert port == 53 or is_refused(net, kind, V4, (DOCKER, port))
    docker.setblocking(False)
    with pytest.raises(BlockingIOError):
        docker.recvfrom(99) if kind == UDP else docker.accept()


@kinds
def test_a_question_that_dockers_resolver_sends_on_comes_to_us(net, kind):
    """It is root's and not marked, and may not loop: it is we who are asked, once."""
    net.install("mode=dns-strict", "dns=53")
    dockers_rules(net)
    ours = serve(net, net.box, V4, kind, LOOPBACK[V4], 53)
    docker = serve(net, net.box, V4, kind, DOCKER, DOCKERS_PORT)
    ask(net, net.ours(V4, kind), kind, (DOCKER, 53), docker)
    ask(net, net.make(net.box, V4, kind), kind, (OUTSIDE[V4], 53), ours)


# Other ways to ask

@modes
@families
@kinds
def test_secret_questions_leave_to_listed_addresses_only(net, mode, family, kind):
    net.install(ALLOWED, f"mode={mode}", "dns=53")
    arriving = net.sniff()
    assert is_refused(net, kind, family, (OUTSIDE[family], 853))
    assert arriving.arrived() == []
    listed = serve(net, net.outside, family, kind, LISTED[family], 853)
    ask(net, net.make(net.box, family, kind), kind, (LISTED[family], 853), listed)
    upstream = serve(net, net.outside, family, kind, OUTSIDE[family], 853)
    ask(net, net.ours(family, kind), kind, (OUTSIDE[family], 853), upstream)


# What each mode lets through besides

@families
@pytest.mark.parametrize("kind, port", [(TCP, 80), (TCP, 443), (TCP, 22), (UDP, 443), (UDP, 123)])
def test_in_dns_mode_everything_else_is_left_alone(net, family, kind, port):
    net.tool("drop_all", "mode=dns", "dns=53", "install")
    server = serve(net, net.outside, family, kind, OUTSIDE[family], port)
    ask(net, net.make(net.box, family, kind), kind, (OUTSIDE[family], port), server)


@families
@pytest.mark.parametrize("kind, port", [(TCP, 80), (TCP, 443), (TCP, 22), (UDP, 443), (UDP, 5353)])
def test_in_dns_strict_mode_nothing_leaves_to_an_unknown_address(net, family, kind, port):
    net.install("mode=dns-strict", "dns=53")
    arriving = net.sniff()
    assert is_refused(net, kind, family, (OUTSIDE[family], port))
    assert arriving.arrived() == []


@families
def test_in_dns_strict_mode_listed_addresses_are_reached(net, family):
    net.install(ALLOWED, "mode=dns-strict", "dns=53")
    server = net.listen(net.outside, family, LISTED[family], 443)
    ask(net, net.make(net.box, family), TCP, (LISTED[family], 443), server)


@pytest.mark.parametrize("mode", ["dns", "dns-strict"])
@families
def test_others_may_connect_to_us_in_every_mode(net, mode, family):
    net.install(f"mode={mode}", "dns=53")
    server = net.listen(net.box, family, BOX[family], 7000)
    ask(net, net.make(net.outside, family), TCP, (BOX[family], 7000), server)
