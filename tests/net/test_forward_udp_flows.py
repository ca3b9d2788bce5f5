"""test_forward_udp_flows.py - flows of UDP: what ends them, what does not, how many there are."""
import contextlib
import resource
import signal

import pytest

from datagrams import Datagram, Target, ask, client, is_quiet, serve
from forwarding import OTHER, until
from internet import ORIGIN


@pytest.fixture
def net(proxied):
    # A port that is used again would still be sent to the sink, or not, as before.
    proxied.internet.namespace.forget_flows()
    return proxied


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


# Ends

def test_a_target_whose_port_opens_again_is_reached_by_the_same_flow(net, stack):
    target = stack.enter_context(Target(net, 7000))
    proxy = serve(net)
    one, other = client(net, stack), client(net, stack)
    one.send(b"before")
    target.echo()
    assert one.recv(100) == b"before"
    target.sock.close()                 # from here on: ICMP port unreachable
    for _ in range(10):
        one.send(b"lost")
        other.send(b"lost")
        assert is_quiet(one) and is_quiet(other)
    proxy.wait_event("forward.flow_opened", count=2)
    target.sock = target.open()
    target.sock.settimeout(0.5)
    for word, sock in (b"one", one), (b"other", other):
        # The first may still be answered by ICMP; what is sent next arrives.
        def arrives():
            sock.send(word)
            with contextlib.suppress(TimeoutError):
                while (datagram := target.receive()).data != word:
                    pass                # it was lost on the way no more
                target.answer(datagram, word)
                return True
        until(arrives, "the target's port has opened again")
        assert sock.recv(100) == word
    proxy.wait_event("forward.flow_opened", count=2)
    assert len(proxy.events("forward.flow_opened")) == 2
    assert not proxy.events("forward.flow_closed")


def test_silence_ends_a_flow_and_gives_everything_back(net, stack):
    proxy = serve(net, UDP_TIMEOUT="1s")
    sock = client(net, stack)
    before = proxy.fds()
    assert ask(sock) == b"question"
    closed = proxy.wait_event("forward.flow_closed")
    assert closed["reason"] == "idle-timeout"
    assert (closed["bytes_up"], closed["bytes_down"]) == (8, 8)
    until(lambda: proxy.fds() <= before + 2, "its descriptor is closed")    # a resolver's may stay
    assert ask(sock) == b"question"
    proxy.wait_event("forward.flow_opened", count=2)


def test_a_datagram_either_way_keeps_a_flow(net, stack):
    target = stack.enter_context(Target(net, 7000))
    proxy = serve(net, UDP_TIMEOUT="3s")
    sock = client(net, stack)
    sock.send(b"subscribe")
    asked = target.receive()
    quiet = client(net, stack)
    quiet.send(b"once")
    target.receive()

    def another_has_ended():
        target.answer(asked, b"news")
        assert sock.recv(100) == b"news"
        return proxy.events("forward.flow_closed")
    assert [fact["source_port"] for fact in until(another_has_ended, "a flow of its age ends")] \
        == [quiet.getsockname()[1]]


@pytest.mark.smoke
@pytest.mark.parametrize("features", ["auto", "none"])
def test_one_way_survives_answers_and_icmp(net, stack, features):
    target = stack.enter_context(Target(net, 7000))
    proxy = serve(net, UDP_ANSWERS=0, RINGFENCE_FEATURES=features)
    sock = client(net, stack)
    sock.send(b"first")
    asked = target.receive()
    for _ in range(1000):               # they would fill a receive buffer
        target.answer(asked, b"x" * 1000)
    target.answer(asked, b"")
    sock.send(b"second")
    assert target.receive() == Datagram(b"second", asked.peer, ORIGIN)
    assert net.sockets("-u", "-a") and not any(
        int(line.split()[1]) for line in net.sockets("-u", "-a", f"sport = :{asked.peer[1]}"))
    target.sock.close()
    for _ in range(10):
        sock.send(b"lost")
    assert is_quiet(sock)
    target.sock = target.open()
    sock.send(b"third")                 # reported errors do not swallow it
    sock.send(b"fourth")
    received = target.receive().data
    assert received in (b"third", b"lost", b"fourth")
    assert is_quiet(sock) and not proxy.events("forward.flow_closed")


def test_a_stop_ends_open_flows_at_once(net, stack):
    proxy = serve(net)
    clients = [client(net, stack) for _ in range(5)]
    for sock in clients:
        assert ask(sock) == b"question"
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 143
    assert len(proxy.events("forward.flow_closed", reason="shutdown")) == 5


# Limits

@pytest.mark.parametrize("workers", [1, 3])
def test_at_the_limit_new_clients_are_dropped_in_silence_and_counted(net, stack, workers):
    proxy = serve(net, MAX_CONNECTIONS=2, UDP_TIMEOUT="3s", WORKERS=workers)
    known, late = [client(net, stack) for _ in range(2)], client(net, stack)
    for sock in known:
        assert ask(sock) == b"question"
    late.send(b"too many")
    refused = proxy.wait_event("forward.flow_refused")
    assert refused["source_port"] == late.getsockname()[1]
    for sock in known:
        assert ask(sock) == b"question"
    assert is_quiet(late)               # no datagram, and no error of ICMP either
    late.settimeout(0.2)

    def served():
        late.send(b"now")
        with contextlib.suppress(TimeoutError):
            return late.recv(100) == b"now"
    until(served, "a flow ends and another takes its place")


def test_each_port_has_flows_of_its_own(net, stack):
    serve(net, PORT="7000 7001:7002", MAX_CONNECTIONS=1)
    for port in 7000, 7001:
        assert ask(client(net, stack, port=port)) == b"question"


def test_who_is_not_in_allow_from_is_not_heard(net, stack):
    proxy = serve(net, ALLOW_FROM="10.78.0.0/27")
    stranger = client(net, stack, source=OTHER)
    stranger.send(b"let me in")
    refused = proxy.wait_event("forward.stranger")
    assert (refused["source_ip"], refused["reason"]) == (OTHER, "not-in-allow-from")
    assert ask(client(net, stack)) == b"question"
    assert is_quiet(stranger)
    assert [datagram.data for datagram in net.internet.datagrams] == [b"question"]


def test_a_flood_of_new_clients_is_told_once_a_second(net, stack):
    proxy = serve(net, MAX_CONNECTIONS=1)
    assert ask(client(net, stack)) == b"question"
    for _ in range(500):
        client(net, stack).send(b"flood")
    proxy.wait_event("forward.flow_refused")
    told = proxy.events("forward.flow_refused")
    assert len({fact["time"][:19] for fact in told}) == len(told)


def test_9500_flows_through_one_worker_each_get_their_answer(net, stack):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(9500, hard - 600)
    if count < 9500:
        print(f"only {count} flows: RLIMIT_NOFILE is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        proxy = serve(net, MAX_CONNECTIONS=0, LOG_LEVEL="INFO", TARGET=ORIGIN)
        clients = [client(net, stack) for _ in range(count)]
        for begin in range(0, count, 50):       # what the test's own target keeps up with
            group = clients[begin:begin + 50]
            for number, sock in enumerate(group, begin):
                sock.send(b"%d" % number)
            for number, sock in enumerate(group, begin):
                assert sock.recv(100) == b"%d" % number, number
        assert proxy.fds() > count
        for number in range(0, count, 97):      # all of them are still there
            assert ask(clients[number], b"again %d" % number) == b"again %d" % number
        ports = {datagram.peer for datagram in net.internet.datagrams}
        assert len(ports) == count
        stack.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# What is told

def test_verbose_tells_the_end_of_each_flow(net, stack):
    proxy = serve(net, LOG_LEVEL="INFO", VERBOSE=1, UDP_TIMEOUT="1s")
    assert ask(client(net, stack)) == b"question"
    closed = proxy.wait_event("forward.flow_closed")
    assert (closed["level"], closed["bytes_up"]) == ("info", 8)


def test_verbose_2_shows_payload_as_socat_does(net, stack):
    proxy = serve(net, VERBOSE=2)
    sock = client(net, stack)
    for data in b"hello", b"\x01\n", b"":
        assert ask(sock, data) == data
    text = proxy.log()
    for direction in "><":
        assert f"{direction} 20" in text
    assert text.count("length=5 from=0 to=4") == 2 and text.count("length=2 from=5 to=6") == 2
