"""test_dns_flood.py - far more questions than anybody has: memory stays bounded, and who asks for
an allowed name is answered all the while."""
import contextlib
import random
import socket
import string

import pytest

from dnsstub import Answer, question
from internet import ATTACKER, ORIGIN
from ringfence import sanitized

QUESTIONS = 200000
GROWTH_KIB = 24 * 1024                  # pools and caches fill up once
TRIES = 8                               # a full queue loses datagrams: clients ask again


def random_name(below):
    return "".join(random.choices(string.ascii_lowercase, k=16)) + below


def patient_ask(net, name):
    with net.client.connect("8.8.8.8", 53, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        for _ in range(TRIES):
            sock.send(question(name))
            try:
                return Answer(sock.recv(4096))
            except TimeoutError:
                continue
    raise AssertionError(f"{name} was not answered")


@pytest.mark.parametrize("below", [".evil.test", ".wild.test"], ids=["unlisted", "wildcard"])
@pytest.mark.parametrize("mode", ["dns-strict", "https"])
def test_a_flood_of_random_names_leaves_room_for_allowed_ones(net, mode, below):
    net.internet.dns.set("*.wild.test", ORIGIN, ttl=1)
    net.start(domains=["allowed.test", "*.wild.test"], env={"FILTER_MODE": mode})
    assert patient_ask(net, "allowed.test").addrs == [ORIGIN]
    before, fds = net.ringfence.memory_kib(), net.ringfence.fds()
    wires = [question(random_name(below)) for _ in range(QUESTIONS // 4)]       # each four times
    with contextlib.ExitStack() as stack:       # from several ports; nobody reads the answers
        sockets = [stack.enter_context(net.client.connect("8.8.8.8", 53, socket.SOCK_DGRAM))
                   for _ in range(8)]
        for number in range(QUESTIONS):
            with contextlib.suppress(OSError):          # no room just now, or an ICMP error
                sockets[number % 8].send(wires[number % len(wires)])
            if number % (QUESTIONS // 40) == 0:         # not more often than a client may
                assert patient_ask(net, "allowed.test").addrs == [ORIGIN]
    assert patient_ask(net, "allowed.test").addrs == [ORIGIN]
    grown = net.ringfence.memory_kib() - before
    assert sanitized() or grown < GROWTH_KIB, f"{grown} KiB more"
    assert net.ringfence.fds() <= fds + 64
    asked = [one.name for one in net.internet.dns.questions]
    if below == ".evil.test":
        assert set(asked) == {"allowed.test"}
    else:                               # what a tunnel gets: a few a second
        assert len(asked) < 5000
    assert net.internet.arrived(ATTACKER) == 0
    assert len(net.ringfence.lines) < 20000             # nor is the log flooded
