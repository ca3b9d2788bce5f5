"""test_forward_limit.py - MAX_CONNECTIONS of `ringfence forward`: at the limit who comes waits, is
accepted but neither read nor dialled for, and is served in the order of coming."""
import contextlib
import socket

import pytest

from forwarding import ending, exchange, read, until


@pytest.fixture
def net(proxied):
    return proxied


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


WORKERS = pytest.mark.parametrize("workers", [1, 3])


def start(net, **variables):
    """At DEBUG it tells what became of each who came."""
    return net.start(**{"TARGET": "target.test", "PORT": 7000, "LOG_LEVEL": "DEBUG", **variables})


def knock(net, stack, count, port=7000):
    """Connections that have each sent their number."""
    clients = []
    for number in range(count):
        clients.append(stack.enter_context(net.connect(port)))
        clients[-1].sendall(b"%03d" % number)
        # In order of coming: the next knocks when this one has a place, or waits for one.
        net.ringfence.wait_event(source_port=clients[-1].getsockname()[1])
    return clients


def served(server, stack, count):
    """{number: the target's end} of so many who reached the target."""
    ends = {}
    for _ in range(count):
        upstream = stack.enter_context(server.accept())
        ends[int(read(upstream, 3))] = upstream
    return ends


@WORKERS
def test_as_many_as_the_limit_are_served_and_the_rest_waits_in_order(net, stack, workers):
    server = stack.enter_context(net.listen(7000))
    start(net, MAX_CONNECTIONS=2, WORKERS=workers)
    clients = knock(net, stack, 7)
    ends = served(server, stack, 2)
    assert set(ends) == {0, 1}
    for number, end in ends.items():
        exchange(end, clients[number], b"welcome")
    assert server.nobody_waits()
    for leaves, comes in zip(range(5), range(2, 7)):
        clients[leaves].close()             # and with it its place
        assert ending(ends[leaves]) in ("FIN", "RST")
        ends[leaves].close()
        ends.update(served(server, stack, 1))
        assert comes in ends
        exchange(ends[comes], clients[comes], b"welcome")
        assert server.nobody_waits()


@WORKERS
def test_the_default_limit_is_100(net, stack, workers):
    server = stack.enter_context(net.listen(7000))
    start(net, WORKERS=workers)
    clients = knock(net, stack, 103)
    ends = served(server, stack, 100)
    assert set(ends) == set(range(100)) and server.nobody_waits()
    for number in range(100):
        exchange(clients[number], ends[number])


def test_each_port_has_a_limit_of_its_own(net, stack):
    start(net, PORT="7000 7001", MAX_CONNECTIONS=1)
    for port in 7000, 7001:
        with net.listen(port) as server:
            clients = knock(net, stack, 2, port)
            [end] = served(server, stack, 1).values()
            exchange(end, clients[0])
            assert server.nobody_waits()


def test_who_waited_loses_no_byte(net, stack):
    data = bytes(range(256)) * 200
    server = stack.enter_context(net.listen(7000))
    start(net, MAX_CONNECTIONS=1)
    first, second = knock(net, stack, 2)
    second.sendall(data)
    second.shutdown(socket.SHUT_WR)
    ends = served(server, stack, 1)
    first.close()
    ends[0].close()
    ends.update(served(server, stack, 1))
    assert read(ends[1], len(data)) == data and ends[1].recv(1) == b""
    exchange(ends[1], second, b"and back")


def test_who_gives_up_waiting_is_not_dialled_for(net, stack):
    server = stack.enter_context(net.listen(7000))
    start(net, MAX_CONNECTIONS=1)
    clients = knock(net, stack, 4)
    ends = served(server, stack, 1)
    clients[1].close()
    clients[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    clients[2].close()
    clients[0].close()
    ends[0].close()
    came = served(server, stack, 1)
    for gone in set(came) - {3}:            # its end and our look at it may have crossed
        came.pop(gone).close()
        came.update(served(server, stack, 1))
    assert 3 in came
    exchange(came[3], clients[3])


def test_a_dial_that_fails_gives_its_place_to_the_next(net, stack):
    net.internet.dns.set("target.test", rcode="SERVFAIL")
    start(net, MAX_CONNECTIONS=1)
    for client in knock(net, stack, 5):
        assert ending(client) == "FIN"
    net.internet.dns.set("target.test", "203.0.113.7")
    until(lambda: net.say(7000) == "OK", "the target is reached")


@WORKERS
def test_places_are_not_lost_over_many_connections(net, workers):
    net.start(TARGET="target.test", PORT=7000, MAX_CONNECTIONS=3, WORKERS=workers)
    for turn in range(60):
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(net.connect(7000)) for _ in range(6)]
            for sock in socks[turn % 3:]:
                sock.sendall(b"hello")
    for _ in range(10):
        assert net.say(7000).body == b"hello"
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(net.connect(7000)) for _ in range(3)]
        for client in clients:
            client.sendall(b"hello")
        for client in clients:
            assert read(client, 5) == b"hello"


def test_0_is_no_limit(net, stack):
    server = stack.enter_context(net.listen(7000))
    start(net, MAX_CONNECTIONS=0)
    clients = knock(net, stack, 120)
    ends = served(server, stack, 120)
    for number, client in enumerate(clients):
        exchange(client, ends[number])


def test_a_number_may_be_hexadecimal_as_socat_takes_it(net, stack):
    server = stack.enter_context(net.listen(7000))
    start(net, MAX_CONNECTIONS=" 0x2")
    knock(net, stack, 3)
    served(server, stack, 2)
    assert server.nobody_waits()


def test_at_the_limit_sigterm_is_heard(net, stack):
    """socat 1.7 is deaf there."""
    server = stack.enter_context(net.listen(7000))
    instance = start(net, MAX_CONNECTIONS=1, DRAIN_TIMEOUT="500ms")
    knock(net, stack, 3)
    served(server, stack, 1)
    instance.signal(15)
    assert instance.wait_exit() == 143
    assert server.nobody_waits()
