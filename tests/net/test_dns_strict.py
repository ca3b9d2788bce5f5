"""test_dns_strict.py - dns-strict as a workload sees it: any protocol works by name, nothing by an
address that no allowed name gave."""
import asyncio
import random
import socket
import sys
import time

import pytest

from dnsstub import DnsClient, question
from internet import ATTACKER, ATTACKER6, GATEWAY, ORIGIN, ORIGIN6
from ringfence import until

STRICT = {"FILTER_MODE": "dns-strict"}
MANY = {"DNS_RATE_QPS": 100000, "DNS_RATE_BURST": 100000, "DNS_WILDCARD_QPS": 0}
CLOSED = "REFUSED", "UNREACHABLE"
PUBLIC = "93.184.216.34"                # the others' addresses are for documentation, so private
GRACE = 600                             # README: addresses stay open so long after their TTL

# A client as they are: getaddrinfo(), each address in turn. The server speaks first, as SSH's does.
TALK = """
import socket, sys
name, port, kind = sys.argv[1], int(sys.argv[2]), getattr(socket, sys.argv[3])
sock, failure = None, None
for family, kind, protocol, _, address in socket.getaddrinfo(name, port, 0, kind):
    try:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(5)
        sock.connect(address)
        if kind == socket.SOCK_DGRAM:
            sock.send(b"what time is it?")
        print(sock.recv(100).decode())
        break
    except OSError as error:
        failure = error
else:
    sys.exit(f"{type(failure).__name__}")
"""


class Banner(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"SSH-2.0-Fake_1.0")


@pytest.fixture
def dns(net):
    return DnsClient(net.client)


@pytest.fixture
def talk(net):
    with open(net.resolv_conf, "w") as file:
        file.write("nameserver 9.9.9.9\noptions timeout:2 attempts:2\n")

    def talk(name, port, kind="SOCK_STREAM"):
        done = net.client.run(sys.executable, "-c", TALK, name, str(port), kind)
        return done.stdout.strip() or done.stderr.strip().split("\n")[-1]
    return talk


def test_ssh_and_datagrams_work_by_name_and_by_no_other(net, talk):
    net.internet.serve(2222, Banner)    # for good: not on a port that others use
    net.start(domains=["allowed.test"], env={**STRICT, "RESOLV_CONF": None})
    assert talk("allowed.test", 2222) == "SSH-2.0-Fake_1.0"
    assert talk("allowed.test", 123, "SOCK_DGRAM") == "what time is it?"
    assert "gaierror" in talk("evil.test", 22)
    for addr in ATTACKER, ATTACKER6, "203.0.113.8", "2001:db8:7::8":
        assert net.client.tcp(addr, 22) in CLOSED
        assert net.client.udp(addr, 123) in ("UNREACHABLE", "DENIED")
    assert net.internet.arrived(ATTACKER, ATTACKER6, "203.0.113.8", "2001:db8:7::8") == 0
    assert {one.name for one in net.internet.dns.questions} == {"allowed.test"}


def test_an_address_is_open_before_its_answer_is_there(net, dns):
    """Each of many new names, connected to in the moment that its answer has come."""
    for number in range(200):
        net.internet.dns.set(f"n{number}.wild.test", f"203.0.{number}.7")
    net.start(domains=["*.wild.test"], env={**STRICT, **MANY})
    for number in range(200):
        [addr] = dns.ask(f"n{number}.wild.test").addrs
        with net.client.connect(addr, 9999, socket.SOCK_DGRAM) as sock:
            sock.send(b"at once")
            assert sock.recv(100) == b"at once"


@pytest.mark.parametrize("kind, port", [("tcp", 8443), ("tcp", 22), ("tcp", 80), ("udp", 443)])
def test_a_port_in_the_entry_is_the_only_one(net, dns, kind, port):
    net.start(domains=["allowed.test:443"], env=STRICT)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    net.internet.reset()
    assert getattr(net.client, kind)(ORIGIN, port) in (*CLOSED, "DENIED")
    assert net.internet.arrived(ORIGIN) == 0


def test_ports_that_several_entries_give_a_name_are_joined(net, dns):
    net.start(domains=["allowed.test:8000-8010", "*.test:tcp/8005-8020", "udp/allowed.test:53"],
              env=STRICT)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    for port in 8000, 8007, 8020:
        assert net.client.tcp(ORIGIN, port) == "OK", port
    for port in 7999, 8021:
        assert net.client.tcp(ORIGIN, port) in CLOSED, port
    assert net.client.udp(ORIGIN, 8007) in ("UNREACHABLE", "DENIED")
    assert net.internet.arrived(ORIGIN, protocol="udp") == 0


def test_many_ports_of_several_entries_are_all_open(net, dns):
    """More than one entry may have; and they stay open over a reload that leaves them."""
    ports = range(1000, 1031, 2), range(3000, 3010, 2)
    names = [f"allowed.test:{port}" for port in ports[0]] + [f"*.test:{port}" for port in ports[1]]
    net.start(domains=names, env=STRICT)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    for number in range(2):
        for port in 1000, 1030, 3000, 3008:
            assert net.client.tcp(ORIGIN, port) == "OK", port
        assert net.client.tcp(ORIGIN, 3010) in CLOSED
        net.reload(domains=[f"other{number}.test", *names])


@pytest.mark.parametrize("mode", ["https", "dns-strict"])
def test_answers_that_rotate_never_stop_a_client_that_keeps_its_address(net, dns, mode):
    """Every question another address with a TTL of a second; the client uses any it ever got."""
    addrs = [f"203.0.113.{number}" for number in range(100, 150)]
    net.internet.dns.set("moving.test", *addrs, rotate=1, ttl=1)
    net.start(domains=["moving.test"], env={"FILTER_MODE": mode, "DESTINATION_CHECK": "strict",
                                            **MANY})
    given, deadline = set(), time.monotonic() + 30
    while len(given) < 3:
        given |= set(dns.ask("moving.test").addrs)
        assert time.monotonic() < deadline
        assert net.client.tls("moving.test", to=sorted(given)[0]) == "OK"
    for addr in sorted(given):
        assert net.client.tls("moving.test", to=addr) == "OK", addr
    left = [addr for addr in addrs if addr not in given]
    assert net.client.tls("moving.test", to=left[-1]) in (*CLOSED, "RESET")
    assert net.internet.arrived(left[-1]) == 0


def expiries(net):
    """What is open, and for how many seconds more."""
    found = {}
    for row in net.box.nft_json("list", "table", "inet", "ringfence"):
        for one in row.get("set", {}).get("elem", []):
            if isinstance(one, dict) and "expires" in one.get("elem", {}):
                found[one["elem"]["val"]] = one["elem"]["expires"]
    return found


def test_an_address_stays_open_for_its_time_and_the_grace_and_no_longer(net, dns):
    for name, ttl in ("second.test", 1), ("minute.test", 60), ("year.test", 365 * 86400):
        net.internet.dns.set(name, f"203.0.113.{len(name)}", ttl=ttl)
    net.start(domains=["*.test"], env={**STRICT, **MANY})
    for name, most in ("second.test", 1), ("minute.test", 60), ("year.test", 3600):
        [addr] = dns.ask(name).addrs
        # Renewed a little ahead, so that not each answer costs a transaction.
        assert most + GRACE - 5 <= expiries(net)[addr] <= (most + GRACE) * 9 / 8 + 5, name


def test_every_answer_renews_the_time(net, dns):
    net.internet.dns.set("allowed.test", ORIGIN, ttl=1)
    net.start(domains=["allowed.test"], env={**STRICT, **MANY})
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert dns.ask("allowed.test").addrs == [ORIGIN]
        assert expiries(net)[ORIGIN] >= GRACE


@pytest.mark.parametrize("how", ["NXDOMAIN", "SERVFAIL", "REFUSED", "silence", "nonsense"])
def test_a_name_without_an_answer_opens_nothing_and_is_told_soon(net, dns, how):
    if how == "silence":
        net.internet.dns.set("allowed.test", drop=True)
    elif how == "nonsense":
        net.internet.dns.set("allowed.test", raw=lambda query: query[:2] + b"\xff" * 40)
    else:
        net.internet.dns.set("allowed.test", rcode=how)
    net.start(domains=["allowed.test"], env=STRICT)
    dns.timeout = 10                    # ours is 2.5 s; generous for a loaded machine
    answer = dns.ask("allowed.test")
    assert answer.rcode == ("NXDOMAIN" if how == "NXDOMAIN" else "SERVFAIL")
    assert not answer.addrs and net.learned() == set()
    assert net.client.tcp(ORIGIN, 443) in CLOSED


def test_names_of_one_address_keep_it_open_for_each_other(net, dns):
    for name in "one.test", "two.test":
        net.internet.dns.set(name, ORIGIN)
    net.start(domains=["one.test", "two.test"], env=STRICT)
    assert dns.ask("one.test").addrs == dns.ask("two.test").addrs == [ORIGIN]
    net.reload(domains=["two.test"])
    assert net.client.tcp(ORIGIN, 22) == "OK"
    net.reload(domains=["three.test"])
    assert net.client.tcp(ORIGIN, 22) in CLOSED


@pytest.mark.parametrize("ports", ["", ":22"])
def test_a_private_address_closes_when_it_is_taken_off_the_list_and_its_name_is_not(
        net, dns, ports):
    net.internet.dns.set("inside.test", GATEWAY, PUBLIC)
    names = [f"inside.test{ports}"]
    net.start(domains=names, ips=[GATEWAY], env={**STRICT, "PRIVATE_ANSWERS": "deny"})
    assert set(dns.ask("inside.test").addrs) == {GATEWAY, PUBLIC}
    assert len(net.learned()) == 2
    net.reload(domains=names)
    [left] = net.learned()
    assert left.split()[0] == PUBLIC
    assert net.client.tcp(GATEWAY, 22) in CLOSED and net.client.tcp(PUBLIC, 22) == "OK"
    assert dns.ask("inside.test").addrs == [PUBLIC]


def test_nothing_is_open_that_an_earlier_ringfence_opened(net, dns):
    net.start(domains=["allowed.test"], env=STRICT)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    net.ringfence.kill()
    assert net.client.tcp(ORIGIN, 22) == "OK"           # the rules stay while it is down
    net.start(domains=["other.test"], env=STRICT)
    assert net.client.tcp(ORIGIN, 22) in CLOSED
    assert net.learned() == set()


def test_an_address_of_an_unlisted_name_stays_closed_however_it_is_asked(net, dns):
    net.start(domains=["allowed.test"], env=STRICT)
    for kind in "A", "AAAA", "HTTPS", "TXT", "PTR":
        for tcp in False, True:
            dns.ask("evil.test", kind, tcp=tcp)
    with dns.socket() as sock:
        sock.send(question("evil.test") * 2)
        sock.send(question("allowed.test"))
        sock.recv(4096)
    assert net.learned() <= {ORIGIN}
    for addr in ATTACKER, ATTACKER6:
        assert net.client.tcp(addr, random.choice([22, 80, 443, 853, 8443])) in CLOSED
    assert net.internet.arrived(ATTACKER, ATTACKER6) == 0


def test_both_families_are_opened_by_their_own_answers(net, dns):
    net.start(domains=["allowed.test"], env=STRICT)
    assert dns.ask("allowed.test", "AAAA").addrs == [ORIGIN6]
    assert net.client.tcp(ORIGIN6, 22) == "OK"
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert net.client.tcp(ORIGIN, 22) == "OK"
