"""test_forward_udp.py - datagrams through `ringfence forward`: each client has a flow of its own,
answers come from the target alone and go to the one who asked, nothing is cut or joined."""
import contextlib
import os
import socket

import pytest

from datagrams import UDP_SEGMENT, Target, ask, client, is_quiet, serve, standing_still
from forwarding import OUTSIDE, PROXY, PROXY6, TARGET2, until
from internet import ATTACKER, ORIGIN, ORIGIN6
from ringfence import PATIENCE

LARGEST = 65507                         # what an IPv4 packet holds
MASKED = "none", "-recvmsg-multishot", "-udp-gro", "auto"


@pytest.fixture
def net(proxied):
    # A port that is used again would still be sent to the sink, or not, as before.
    proxied.internet.namespace.forget_flows()
    return proxied


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


# Whose answer is whose

@pytest.mark.smoke
@pytest.mark.parametrize("features", MASKED)
@pytest.mark.parametrize("workers", [1, 3])
def test_twenty_clients_at_once_each_get_their_own_answers(net, stack, workers, features):
    serve(net, WORKERS=workers, RINGFENCE_FEATURES=features)
    clients = [client(net, stack, to) for to in (PROXY, PROXY6) for _ in range(10)]
    for turn in range(20):
        for number, sock in enumerate(clients):
            sock.send(b"%d of %d" % (turn, number))
        for number, sock in enumerate(clients):
            assert sock.recv(100) == b"%d of %d" % (turn, number)
    assert all(is_quiet(sock) for sock in clients)


@pytest.mark.parametrize("known", [False, True])
def test_what_queues_while_we_stand_still_goes_to_whom_it_belongs(net, stack, known):
    proxy = serve(net)
    clients = [client(net, stack) for _ in range(20)]
    if known:
        for sock in clients:
            assert ask(sock, b"hello") == b"hello"
    with standing_still(proxy):
        for turn in range(10):
            for number, sock in enumerate(clients):
                sock.send(b"%d of %d" % (turn, number))
    for number, sock in enumerate(clients):
        assert [sock.recv(100) for _ in range(10 if known else 4)] == \
            [b"%d of %d" % (turn, number) for turn in range(10 if known else 4)]
    for sock in clients:                # what a name's lookup had no room for is all that is lost
        until(lambda: ask(sock, b"last")[-4:] == b"last", "the last answer")


def test_more_new_clients_than_may_wait_for_a_lookup_are_served_after_it(net, stack):
    net.internet.dns.set("slow.test", ORIGIN, delay=1)
    serve(net, TARGET="slow.test", MAX_CONNECTIONS=0)
    clients = [client(net, stack) for _ in range(300)]          # 256 datagrams are kept
    for sock in clients:
        sock.send(b"first")
    assert clients[0].recv(100) == b"first"
    for sock in clients:
        until(lambda: ask(sock, b"again")[-5:] == b"again", "an answer")


def test_answers_come_from_the_address_that_was_spoken_to(net, stack):
    second = "10.78.0.3"
    net.proxy.ip(f"addr add {second}/24 dev inside\n")
    try:
        serve(net)
        with net.workload.entered():
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.settimeout(PATIENCE)
        for to in second, PROXY, second:
            sock.sendto(b"hello", (to, 7000))
            assert sock.recvfrom(100) == (b"hello", (to, 7000))
    finally:
        net.proxy.ip(f"addr del {second}/24 dev inside\n")


@pytest.mark.parametrize("stranger", [ATTACKER, (ORIGIN, 7001)])
def test_only_the_target_can_answer(net, stack, stranger):
    target = stack.enter_context(Target(net, 7000))
    serve(net)
    sock = client(net, stack)
    sock.send(b"question")
    asked = target.receive()
    assert (asked.data, asked.local, asked.peer[0]) == (b"question", ORIGIN, OUTSIDE)
    for turn in range(3):
        target.answer(asked, b"forged", stranger)
        target.answer(asked, b"answer %d" % turn)
        assert sock.recv(100) == b"answer %d" % turn


# What passes

@pytest.mark.smoke
@pytest.mark.parametrize("features", MASKED)
@pytest.mark.parametrize("to", [PROXY, PROXY6])
def test_datagrams_of_every_size_pass_whole_both_ways(net, stack, to, features):
    serve(net, RINGFENCE_FEATURES=features)
    sock = client(net, stack, to)
    for size in 5, 0, 1, 1472, 1473, 8192, 8193, 65000, LARGEST, 0, 7:
        data = os.urandom(size)
        assert ask(sock, data) == data
    assert is_quiet(sock)


@pytest.mark.parametrize("features", MASKED)
def test_datagrams_of_mixed_sizes_keep_their_order_and_their_edges(net, stack, features):
    target = stack.enter_context(Target(net, 7000))
    proxy = serve(net, RINGFENCE_FEATURES=features)
    sock = client(net, stack)
    sock.send(b"opens")
    assert target.receive().data == b"opens"
    sizes = [100] * 70 + [99, 100, 100, 101, 0, 0, 100, 1400, 1400, 1, 3000, 3000, 3000, 2, 0]
    sent = [os.urandom(size) for size in sizes]
    with standing_still(proxy):
        for data in sent:
            sock.send(data)
    received = [target.receive() for _ in sent]
    assert [datagram.data for datagram in received] == sent
    with standing_still(proxy):
        for datagram in received:
            target.answer(datagram, datagram.data)
    assert [sock.recv(70000) for _ in sent] == sent


@pytest.mark.parametrize("count, size", [(40, 1000), (40, 64), (3, 1472), (50, 1)])
def test_a_train_of_datagrams_arrives_as_so_many(net, stack, count, size):
    target = stack.enter_context(Target(net, 7000))
    serve(net)
    sock = client(net, stack)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    train = os.urandom(count * size + size // 2)
    sock.send(train)
    wanted = [train[at:at + size] for at in range(0, len(train), size)]
    received = [target.receive() for _ in wanted]
    assert [datagram.data for datagram in received] == wanted
    target.sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
    target.answer(received[0], train)
    assert [sock.recv(70000) for _ in wanted] == wanted


@pytest.mark.parametrize("to", [PROXY, PROXY6])
@pytest.mark.parametrize("target", [ORIGIN, ORIGIN6])
def test_families_of_client_and_target_need_not_agree(net, stack, to, target):
    serve(net, TARGET=target)
    assert ask(client(net, stack, to)) == b"question"
    assert net.internet.arrived(target, protocol="udp", port=7000) == 1


# Names

def test_what_comes_while_the_name_is_looked_up_waits_for_it(net, stack):
    net.internet.dns.set("target.test", ORIGIN, delay=0.5)
    serve(net)
    clients = [client(net, stack) for _ in range(3)]
    for number, sock in enumerate(clients):
        for turn in range(3):
            sock.send(b"%d of %d" % (turn, number))
    for number, sock in enumerate(clients):
        assert [sock.recv(100) for _ in range(3)] == [b"%d of %d" % (turn, number)
                                                     for turn in range(3)]


def test_a_name_that_moves_takes_new_flows_along_and_leaves_open_ones(net, stack):
    target = stack.enter_context(Target(net, 7000))
    net.internet.dns.set("target.test", ORIGIN, ttl=1)
    serve(net, MAX_CONNECTIONS=0)
    old = client(net, stack)
    old.send(b"old")
    assert target.receive().local == ORIGIN
    net.internet.dns.set("target.test", TARGET2, ttl=1)

    def moved():
        client(net, stack).send(b"new")
        return target.receive().local == TARGET2
    until(moved, "a new flow goes where the name is now")
    old.send(b"still")
    assert target.receive()[::2] == (b"still", ORIGIN)


def test_a_name_that_nobody_has_ends_the_flow_and_is_told(net, stack):
    proxy = serve(net, TARGET="nowhere.test")
    sock = client(net, stack)
    sock.send(b"lost")
    assert proxy.wait_event("forward.flow_dial_error")["reason"] == "unresolved"
    proxy.wait_event("forward.flow_closed", reason="unresolved")
    net.internet.dns.set("nowhere.test", ORIGIN)

    def comes():
        sock.send(b"again")
        return net.internet.datagrams
    until(comes, "the name has an address now")


def test_it_never_sends_to_itself(net, stack):
    net.hosts(f"{PROXY} me.test")
    proxy = serve(net, TARGET="me.test")
    client(net, stack).send(b"round and round")
    assert proxy.wait_event("forward.flow_dial_error")["reason"] == "self"
    assert len(proxy.events("forward.flow_closed")) <= 1
