"""test_capacity.py - many connections, bounded memory, and what happens at the limits."""
import contextlib
import datetime
import resource

import pytest

from internet import ORIGIN
from load import Load
from ringfence import sanitized, until

MANY = "203.0.113.80"                   # many.test, and where else it is:
MORE = [f"203.0.113.{last}" for last in range(81, 84)]  # one address has not ports enough
TUNNELS, KEPT = 9500, 128               # descriptors that are no connection's
REQUEST = b"GET / HTTP/1.1\r\nHost: many.test\r\nConnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
POUR = 200 * 1024 * 1024
LONG = 8192


@pytest.fixture
def load(net):
    net.internet.dns.set("many.test", MANY, *MORE)
    with Load(net) as load:
        yield load


def as_many(count):
    """Connections through one worker, as far as the descriptors go."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    can = min(count, (limit - 2 * KEPT) // 2)
    if can < count:
        print(f"\nskipped: {count - can} of {count} connections, ulimit -Hn is {limit}")
    return can


def test_9500_idle_tunnels_through_one_worker_cost_less_than_2_kib_each(net, load):
    tunnels = as_many(TUNNELS)
    net.start(domains=["many.test"])
    for addr in MANY, *MORE:
        load.origin(addr, 443, load.answer, "echo")
    fds, memory = net.ringfence.fds(), net.ringfence.memory_kib()
    held = load.hold(tunnels, load.hello, len(load.answer), *[(to, 443) for to in [MANY, *MORE]])
    assert held.counts() == {"held": tunnels, "lost": 0}
    each = (net.ringfence.memory_kib() - memory) / tunnels
    print(f"\n{tunnels} tunnels: {memory} KiB before, {each:.2f} KiB each")
    assert net.ringfence.fds() == fds + 2 * tunnels
    assert held.ask("echo 500") == {"echoed": min(500, tunnels)}
    assert each < 2 or sanitized()
    assert net.ringfence.events("conn.refused") == []
    held.close()
    until(lambda: net.ringfence.fds() == fds, "descriptors are given back")


def test_a_hundred_thousand_connections_leave_no_memory_behind(net, load):
    first, rest = (20000, 80000) if not sanitized() else (5000, 15000)
    net.start(domains=["many.test"])
    load.origin(MANY, 80, ANSWER, "close")
    assert load.storm(first, MANY, 80, REQUEST) == {"answered": first, "failed": 0}
    memory = net.ringfence.memory_kib()
    assert load.storm(rest, MANY, 80, REQUEST) == {"answered": rest, "failed": 0}
    grown = net.ringfence.memory_kib() - memory
    print(f"\n{first} connections: {memory} KiB; {rest} more: {grown:+} KiB")
    assert grown < 1024 or sanitized()


# Slow and greedy clients

def drip(socks, heads):
    """A byte on each that is still open, round after round, until all were cut."""
    left, at = dict(enumerate(socks)), 0
    while left:
        for number, sock in list(left.items()):
            try:
                sock.send(heads[number % len(heads)][at:at + 1])
            except (ConnectionResetError, BrokenPipeError):
                del left[number]
        at += 1
        assert at < LONG, "the timer begins anew with each byte"
        yield


def test_slow_heads_are_cut_by_one_timer_and_hold_nobody_up(net):
    net.start(domains=["allowed.test"], env={"HELLO_TIMEOUT": "1s"})
    heads = [b"GET / HTTP/1.1\r\nHost: allowed.test\r\nX-Long: " + b"x" * LONG,
             b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc\x03\x03" + bytes(LONG)]
    socks = [net.client.connect(ORIGIN, port) for port in [80, 443] * 250]
    for _ in drip(socks, heads):
        assert net.client.http("allowed.test") == "OK"
    for sock in socks:
        sock.close()
    for event in "http.blocked", "https.blocked":
        net.ringfence.wait_event(event, reason="hello-timeout", count=250)
    assert len(net.ringfence.events(None, action="BLOCKED")) == 500
    assert len(net.internet.at(ORIGIN, 443)) == 0


@pytest.mark.parametrize("readers", [1, 100])
def test_who_does_not_read_costs_a_few_buffers_and_holds_nobody_up(net, load, readers):
    net.start(domains=["many.test", "allowed.test"])
    origin = load.origin(MANY, 443, load.answer, "pour", POUR)
    assert net.client.tls("allowed.test") == "OK"
    memory = net.ringfence.memory_kib()
    held = load.hold(readers, load.hello, len(load.answer), (MANY, 443))
    assert held.counts() == {"held": readers, "lost": 0}
    poured = origin.ask("how much")["poured"]
    grown = net.ringfence.memory_kib() - memory
    print(f"\n{readers} slow readers: {grown} KiB grown, {poured // 1024} KiB left the origin")
    assert poured < POUR * readers
    assert grown < readers * 8 * 16 + 4096 or sanitized()
    for _ in range(20):
        assert net.client.tls("allowed.test") == "OK"
    assert held.ask("read 1") == {"read": len(load.answer) + POUR}


def test_when_buffers_run_out_those_who_do_not_read_give_theirs_back(net, load):
    if as_many(2000) < 2000:
        pytest.skip("too few descriptors to use up the buffers")
    net.start(domains=["many.test", "allowed.test"])
    for addr in MANY, *MORE:
        load.origin(addr, 443, load.answer, "pour", 1024 * 1024)
    memory = net.ringfence.memory_kib()
    with net.small_sockets(32768):      # thousands of stalled ones must cost little
        held = load.hold(2000, load.hello, len(load.answer), *[(to, 443) for to in [MANY, *MORE]])
        counts = held.counts()
        net.ringfence.wait_event("https.blocked", https="many.test", reason="overload")
        for _ in range(20):
            assert net.client.tls("allowed.test") == "OK"
    grown = net.ringfence.memory_kib() - memory
    print(f"\n2000 slow readers: {grown} KiB grown, {counts}")
    assert grown < 80 * 1024 or sanitized()


# At the limit of descriptors

def flood(net, count):
    """Connections that say nothing; those that were not refused at once."""
    socks = []
    for port in [80, 443] * (count // 2):
        with contextlib.suppress(ConnectionError):
            socks.append(net.client.connect(ORIGIN, port))
    return socks


def close_all(socks):
    for sock in socks:
        sock.close()


def at_most_one_a_second(events):
    """By the seconds of a clock: between n events at least n - 2 have passed."""
    first, last = (datetime.datetime.fromisoformat(event["time"][:26] + "+00:00")
                   for event in (events[0], events[-1]))
    return last - first > datetime.timedelta(seconds=len(events) - 2)


def test_a_flood_beyond_the_descriptors_is_refused_and_told_once_a_second(net):
    net.start(domains=["allowed.test"], wrapper=["prlimit", "--nofile=256:256"])
    fds = net.ringfence.fds()
    socks = flood(net, 400)
    net.ringfence.wait_event("conn.refused", reason="overload")
    assert net.client.http("allowed.test") in ("RESET", "REFUSED")
    while len(net.ringfence.events("conn.refused")) < 4:
        close_all(flood(net, 100))
    assert net.ringfence.fds() <= 256
    close_all(socks)
    until(lambda: net.ringfence.fds() == fds, "descriptors are given back")
    assert net.client.http("allowed.test") == "OK"
    assert at_most_one_a_second(net.ringfence.events("conn.refused"))


def test_without_a_descriptor_left_accepting_pauses_and_goes_on(net):
    net.start(domains=["allowed.test"], wrapper=["prlimit", "--nofile=24:24"])
    fds = net.ringfence.fds()
    socks = flood(net, 100)
    net.ringfence.wait_event("tcp.accept_error", count=3)
    close_all(socks)
    until(lambda: net.ringfence.fds() == fds, "descriptors are given back")
    # Who knocked and left is still accepted, one after another.
    until(lambda: net.client.http("allowed.test") == "OK", "it serves again")
    assert at_most_one_a_second(net.ringfence.events("tcp.accept_error"))
