"""test_forward_capacity.py - as many connections through one port of `ringfence forward` as the
descriptors allow."""
import os
import resource
import types

import pytest

from forwarding import PROXY, until
from load import PORTS, Load
from test_capacity import sanitized

A_WORKER = 9500                         # tunnels, of two descriptors each
KEPT = 250                              # a worker's descriptors that are no tunnel's
WANTED = 100000
FIRST, ANSWER = b"hello", b"hello yourself"
PROXIES = [PROXY, *(f"10.78.0.{last}" for last in range(20, 25))]
TARGETS = [f"203.0.113.{last}" for last in range(80, 86)]
APART = "203.0.113.90"                  # at port 7001: far from the ports that tunnels have used


@pytest.fixture
def net(proxied):
    """Several addresses on both sides: between two there are not ports enough."""
    proxied.proxy.ip("".join(f"addr replace {addr}/24 dev inside\n" for addr in PROXIES[1:]))
    proxied.proxy.sysctl(ipv4__ip_local_port_range="10000 65000")
    yield proxied
    proxied.proxy.sysctl(ipv4__ip_local_port_range="32768 60999")


@pytest.fixture
def load(net):
    """Clients in the workload, which take the part of the box there."""
    places = types.SimpleNamespace(box=net.workload, internet=net.internet,
                                   folder=net.world.folder, authority=net.authority)
    with Load(places) as load:
        yield load


def a_process():
    """Connections that a client's or target's process can have: one descriptor each."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - KEPT


def most(workers):
    """Tunnels through so many workers, by the limit of descriptors."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return min(A_WORKER, (limit - KEPT) // 2) * workers


def serve_echo(net, load, count):
    """The target, at all of its addresses, by as many processes as their descriptors need."""
    net.internet.dns.set("target.test", *TARGETS, ttl=0, rotate=1)
    ports = [next(PORTS) for _ in range(count // a_process() + 1)]
    for port in ports:
        origin = load.program(net.internet.namespace, "origin", port, load.file(ANSWER), "echo")
        assert origin.line() == "ready"
    in_turn = ", ".join(f"{turn} : {port}" for turn, port in enumerate(ports))
    net.internet.namespace.nft(
        f"add rule ip load origins ip daddr {{ {', '.join(TARGETS)} }} tcp dport 7000 "
        f"redirect to :numgen inc mod {len(ports)} map {{ {in_turn} }}")


def hold(load, count):
    """Held connections, in as many processes as their descriptors need."""
    parts = [min(a_process(), count - done) for done in range(0, count, a_process())]
    holders = []
    for number, part in enumerate(parts):
        holders.append(load.hold(part, FIRST, len(ANSWER),
                                 *[(addr, 7000) for addr in PROXIES[number::len(parts)]]))
        assert holders[-1].counts() == {"held": part, "lost": 0}
    return list(zip(holders, parts))


def test_as_many_tunnels_through_one_worker_as_descriptors_allow_all_echo(net, load):
    count = most(1)
    serve_echo(net, load, count)
    net.start(TARGET=TARGETS[0], PORT=7000, MAX_CONNECTIONS=0)
    fds, memory = net.ringfence.fds(), net.ringfence.memory_kib()
    holders = hold(load, count)
    each = (net.ringfence.memory_kib() - memory) / count
    print(f"\n{count} connections: {memory} KiB before, {each:.2f} KiB each")
    assert net.ringfence.fds() >= fds + 2 * count
    for holder, part in holders:
        assert holder.ask(f"echo {part}") == {"echoed": part}
    assert each < 2 or sanitized()
    assert [fact for fact in net.ringfence.facts if fact.get("level") in ("warn", "error")] == []
    for holder, _ in holders:
        holder.close()
    until(lambda: net.ringfence.fds() <= fds, "descriptors are given back")


def test_as_many_tunnels_as_all_workers_can_hold_all_echo(net, load):
    """Each worker has a descriptor table of its own, so the limit is a worker's, and with
    CAPACITY_WORKERS=12 a hundred thousand are reached, in a minute or two. The kernel spreads
    connections over workers by chance: a few percent are left for that."""
    workers = int(os.environ.get("CAPACITY_WORKERS", "2"))
    count = min(WANTED, most(workers) * 95 // 100)
    if count < WANTED:
        print(f"\nskipped: {WANTED - count} of {WANTED} connections, ulimit -Hn is "
              f"{resource.getrlimit(resource.RLIMIT_NOFILE)[1]} for each of {workers} workers")
    serve_echo(net, load, count)
    net.start(TARGET="target.test", PORT=7000, MAX_CONNECTIONS=0, WORKERS=workers)
    fds = net.ringfence.fds()
    holders = hold(load, count)
    for holder, part in holders:
        assert holder.ask(f"echo {part}") == {"echoed": part}
    for holder, _ in holders:
        holder.close()
    until(lambda: net.ringfence.fds() <= fds, "descriptors are given back")


def test_a_hundred_thousand_connections_leave_no_memory_behind(net, load):
    first, rest = (20000, 80000) if not sanitized() else (5000, 15000)
    load.origin(APART, 7001, ANSWER, "close")
    net.start(TARGET=APART, PORT=7001)
    assert load.storm(first, PROXY, 7001, FIRST) == {"answered": first, "failed": 0}
    memory, fds = net.ringfence.memory_kib(), net.ringfence.fds()
    assert load.storm(rest, PROXY, 7001, FIRST) == {"answered": rest, "failed": 0}
    grown = net.ringfence.memory_kib() - memory
    print(f"\n{first} connections: {memory} KiB; {rest} more: {grown:+} KiB")
    assert grown < 1024 or sanitized()
    assert net.ringfence.fds() <= fds + 4


def test_dials_that_fail_leave_nothing_behind(net, load):
    net.refuse(APART)
    net.start(TARGET=APART, PORT=7001)
    assert load.storm(6000, PROXY, 7001, FIRST) == {"answered": 0, "failed": 6000}
    memory, fds = net.ringfence.memory_kib(), net.ringfence.fds()
    assert load.storm(20000, PROXY, 7001, FIRST) == {"answered": 0, "failed": 20000}
    assert net.ringfence.memory_kib() - memory < 512 or sanitized()
    until(lambda: net.ringfence.fds() <= fds, "descriptors are given back")


def test_a_thousand_clients_share_two_places_and_all_are_served(net, load):
    load.origin(APART, 7001, ANSWER, "close")
    net.start(TARGET=APART, PORT=7001, MAX_CONNECTIONS=2)
    assert load.storm(5000, PROXY, 7001, FIRST, at_once=1000) == {"answered": 5000, "failed": 0}
