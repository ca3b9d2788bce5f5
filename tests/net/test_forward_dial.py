"""test_forward_dial.py - what clients do before their target is reached, and what becomes of them
when it never is or breaks off in the middle."""
import hashlib
import os
import random
import signal
import socket
import threading
import time

import pytest

from forwarding import PROXY, TARGET2, ending, exchange, read, read_all, reset, until
from internet import ORIGIN

BIG = 32 * 1024 * 1024
EARLY = 300000                          # more than a receive buffer


@pytest.fixture
def net(proxied):
    return proxied


def slow_name(net, *addrs, delay=0.5):
    net.internet.dns.set("slow.test", *addrs or (ORIGIN,), delay=delay)


def asked(net):
    until(lambda: net.internet.dns.asked("slow.test"), "the name is asked for")


# Before the target is reached

def test_what_a_client_sends_meanwhile_arrives_and_its_end_too(net):
    slow_name(net)
    data = os.urandom(EARLY)
    net.start(TARGET="slow.test", PORT=7000)
    with net.listen(7000) as server, net.connect(7000) as client:
        threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)),
                         daemon=True).start()
        with server.accept() as upstream:
            assert read_all(upstream) == data
            upstream.sendall(b"thanks")
            upstream.close()
            assert read_all(client) == b"thanks"


def test_nothing_is_lost_when_the_first_address_fails_late(net):
    net.silence(ORIGIN)
    slow_name(net, ORIGIN, TARGET2)
    data = os.urandom(EARLY)
    net.start(TARGET="slow.test", PORT=7000, CONNECT_TIMEOUT="300ms", SEND_PROXY="v1")
    with net.listen(7000) as server, net.connect(7000) as client:
        threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
        with server.accept() as upstream:
            file = upstream.makefile("rb")
            assert file.readline().startswith(b"PROXY TCP4 ")
            assert file.read(EARLY) == data


def test_who_resets_meanwhile_leaves_nothing_behind(net):
    slow_name(net)
    net.start(TARGET="slow.test", PORT=7000)
    fds = net.ringfence.fds()
    for turn in range(20):
        client = net.connect(7000)
        if turn % 2:
            client.sendall(b"hello")
        if turn % 4 < 2:
            reset(client)
        else:
            client.close()
    asked(net)
    until(lambda: net.ringfence.fds() <= fds + 2, "descriptors are given back")
    assert net.say(7000).body == b"hello"


def test_a_dial_under_way_at_sigterm_is_a_connection_and_may_finish(net):
    slow_name(net)
    net.start(TARGET="slow.test", PORT=7000, DRAIN_TIMEOUT="10m")
    with net.listen(7000) as server, net.connect(7000) as client:
        client.sendall(b"hello")
        asked(net)
        net.ringfence.signal(signal.SIGTERM)
        with server.accept() as upstream:
            assert read(upstream, 5) == b"hello"
            exchange(upstream, client, b"you are welcome")
    assert net.ringfence.wait_exit() == 143


def test_of_many_addresses_the_last_is_found(net):
    addrs = [f"203.0.113.{last}" for last in range(100, 116)]
    for addr in addrs[:-1]:
        net.refuse(addr)
    net.internet.dns.set("many.test", *addrs)
    net.start(TARGET="many.test", PORT=7000)
    for _ in range(3):
        assert net.say(7000).body == b"hello"
    assert {session.local for session in net.internet.sessions} == {addrs[-1]}


def test_many_dials_to_a_silent_target_hold_nobody_up(net):
    net.silence(ORIGIN)
    net.internet.dns.set("slow.test", ORIGIN, TARGET2)
    net.start(TARGET="slow.test", PORT=7000, CONNECT_TIMEOUT="500ms", MAX_CONNECTIONS=0)
    clients = [net.connect(7000) for _ in range(300)]
    for client in clients:
        client.sendall(b"hello")
    for client in clients:
        assert read(client, 5) == b"hello"
        client.close()


# In the middle of bulk

def test_bulk_after_the_other_direction_has_ended(net):
    data = os.urandom(BIG)
    with net.conversation() as (client, upstream):
        client.shutdown(socket.SHUT_WR)
        assert read_all(upstream) == b""
        threading.Thread(target=lambda: (upstream.sendall(data), upstream.close()),
                         daemon=True).start()
        assert hashlib.sha256(read_all(client)).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("who", ["client", "target"])
def test_a_reset_in_the_middle_of_bulk_is_passed_on_and_gives_everything_back(net, who):
    net.start(TARGET=ORIGIN, PORT=7000)
    fds = net.ringfence.fds()
    for _ in range(5):
        with net.listen(7000) as server, net.connect(7000) as client:
            with server.accept() as upstream:
                sender, breaks = (client, upstream) if who == "target" else (upstream, client)
                sender.settimeout(30)
                threading.Thread(target=lambda: breaks.recv(1 << 20) and reset(breaks),
                                 daemon=True).start()
                with pytest.raises(ConnectionError):
                    while True:
                        sender.sendall(bytes(1 << 20))
    until(lambda: net.ringfence.fds() <= fds + 2, "all but a spare pipe is given back")


def test_a_reader_that_stops_holds_up_its_own_connection_alone(net):
    net.start(TARGET="target.test", PORT=7000)
    with net.listen(7000) as server, net.connect(7000) as client, server.accept() as upstream:
        upstream.settimeout(1)
        with pytest.raises(TimeoutError):               # all buffers on the way are full
            while True:
                upstream.sendall(bytes(1 << 20))
        with net.connect(7000) as other, server.accept() as far:
            for _ in range(100):
                exchange(other, far)
                exchange(far, other)
        assert client.recv(1 << 20)


def test_one_byte_at_a_time_arrives_as_it_was_sent(net):
    data = os.urandom(3000)
    with net.conversation() as (client, upstream):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            client.sendall(data[at:at + 1])
        assert read(upstream, len(data)) == data


# All of it at once

@pytest.mark.parametrize("workers", [1, 3])
def test_after_any_mixture_of_ends_the_limit_still_holds(net, workers):
    """Clients that leave in all ways, at all times, also while they wait, and a target that comes
    and goes: afterwards exactly as many are served as the limit says."""
    dice = random.Random(workers)
    net.internet.dns.set("target.test", ORIGIN, ttl=1)
    net.start(TARGET="target.test", PORT=7000, MAX_CONNECTIONS=3, WORKERS=workers)
    fds, clients = net.ringfence.fds(), []
    for turn in range(600):
        if turn % 200 == 100:
            net.refuse(ORIGIN)
        elif turn % 200 == 0:
            net.internet.namespace.nft("add table inet extra\ndelete table inet extra")
        client = net.connect(7000)
        clients.append(client)
        if dice.random() < 0.7:
            client.sendall(b"hello")
        if dice.random() < 0.2:
            client.shutdown(socket.SHUT_WR)
        while len(clients) > 8:
            leaves = clients.pop(dice.randrange(len(clients)))
            (reset if dice.random() < 0.5 else socket.socket.close)(leaves)
    for client in clients:
        client.close()
    net.internet.namespace.nft("add table inet extra\ndelete table inet extra")
    until(lambda: net.ringfence.fds() <= fds + 2, "everybody is gone")
    with net.listen(7000) as server:
        waiting = [net.connect(7000) for _ in range(5)]
        served = [server.accept() for _ in range(3)]
        time.sleep(0.2)
        assert server.nobody_waits()
        for sock in served + waiting:
            sock.close()
    assert net.say(7000, to=PROXY) == "OK"


def test_a_stop_in_the_middle_of_everything_is_clean(net):
    """Bulk, idle, half closed, waiting and dialling connections, and two signals."""
    slow_name(net, delay=2)
    for target, drain in ("target.test", "300ms"), ("slow.test", "300ms"), ("target.test", "10m"):
        instance = net.start(TARGET=target, PORT=7000, MAX_CONNECTIONS=40, WORKERS=2,
                             DRAIN_TIMEOUT=drain)
        clients = [net.connect(7000) for _ in range(60)]
        for number, client in enumerate(clients):
            client.setblocking(False)
            if number % 3:
                client.send(b"x" * 100000)
            if number % 5 == 0:
                client.shutdown(socket.SHUT_WR)
        instance.signal(signal.SIGTERM)
        if drain == "10m":
            instance.wait_text("shutdown.signal")       # two at once would be one
            instance.signal(signal.SIGTERM)
        assert instance.wait_exit() == 143
        for client in clients:
            client.settimeout(10)
            while ending(client) == "data":
                pass
            client.close()
