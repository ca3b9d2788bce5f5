"""FILTER_MODE=dns-strict and dns, the resolver in https mode, and ports of entries."""
import os
import socket
import subprocess
import threading

import pytest

from dnsstub import DnsClient, question
from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6, RESOLVER
from ringfence import binary, until
from test_healthcheck_filter import check

STRICT = {"FILTER_MODE": "dns-strict"}
CLOSED = "REFUSED", "UNREACHABLE"       # RST to the SYN, or ICMP


@pytest.fixture
def dns(net):
    return DnsClient(net.client)


def test_strict_opens_what_an_answer_gave_for_any_protocol_and_nothing_before(net, dns):
    net.start(domains=["allowed.test"], env=STRICT)
    for to in ORIGIN, ORIGIN6:
        assert net.client.tcp(to, 22) in CLOSED
        assert net.client.udp(to, 5060) in ("UNREACHABLE", "DENIED", "REFUSED")
    assert net.internet.arrived(ORIGIN, ORIGIN6) == 0
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert net.client.tcp(ORIGIN, 22) == "OK"
    assert net.client.udp(ORIGIN, 5060) == "OK"
    told = net.ringfence.wait_event("dns.allowed")
    assert told["answers"] == ORIGIN and told["upstream"] == f"{RESOLVER}:53"
    assert net.client.tcp(ORIGIN6, 22) in CLOSED                # nobody asked for it yet
    assert dns.ask("allowed.test", "AAAA").addrs == [ORIGIN6]
    assert net.client.tcp(ORIGIN6, 22) == "OK"
    assert net.client.udp(ORIGIN6, 5060) == "OK"
    assert dns.ask("evil.test").rcode == "NXDOMAIN"
    assert net.client.tcp(ATTACKER, 22) in CLOSED
    assert net.internet.arrived(ATTACKER, ATTACKER6) == 0


def test_strict_opens_the_ports_of_an_entry_alone(net, dns):
    net.start(domains=["allowed.test:22", "udp/allowed.test:5000-5010"], env=STRICT)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert net.client.tcp(ORIGIN, 22) == "OK"
    assert net.client.udp(ORIGIN, 5010) == "OK"
    for port in 23, 443, 5010:
        assert net.client.tcp(ORIGIN, port) in CLOSED
    for port in 22, 4999, 5011:
        assert net.client.udp(ORIGIN, port) in ("UNREACHABLE", "DENIED", "REFUSED")


def test_strict_forgets_what_a_name_opened_when_it_is_taken_off(net, dns):
    net.internet.dns.set("other.test", "203.0.113.9")
    net.start(domains=["allowed.test", "other.test"], env=STRICT)
    assert dns.ask("allowed.test").addrs and dns.ask("other.test").addrs
    net.reload(domains=["other.test"])
    assert net.client.tcp(ORIGIN, 22) in CLOSED
    assert net.client.tcp("203.0.113.9", 22) == "OK"            # stays open
    assert dns.ask("allowed.test").rcode == "NXDOMAIN"
    net.reload(domains=["other.test:22", "allowed.test"])
    assert net.client.tcp("203.0.113.9", 23) in CLOSED
    assert dns.ask("other.test").addrs and net.client.tcp("203.0.113.9", 22) == "OK"
    assert net.client.tcp("203.0.113.9", 23) in CLOSED
    assert net.client.tcp(ORIGIN, 22) in CLOSED                 # not before it is asked for again
    assert dns.ask("allowed.test").addrs and net.client.tcp(ORIGIN, 22) == "OK"


def test_strict_keeps_what_is_open_over_an_edit_and_over_foreign_hands(net, dns):
    net.start(domains=["allowed.test"], env=STRICT)
    assert dns.ask("allowed.test").addrs
    net.reload(domains=["allowed.test"], ips=["192.0.2.77"])
    assert net.client.tcp(ORIGIN, 22) == "OK"
    net.box.nft("flush ruleset")
    net.ringfence.wait_event("nftables.restored")
    assert net.client.tcp(ORIGIN, 22) == "OK"
    assert net.client.tcp(ATTACKER, 22) in CLOSED


def test_strict_answers_nothing_that_it_could_not_open(net, dns):
    """The table is gone, and comes back only after the answer was due: SERVFAIL, never an address
    that is closed.  Then it works again."""
    net.start(domains=["allowed.test"], env=STRICT)
    stop = threading.Event()

    def flush():
        while not stop.is_set():
            net.box.nft("flush ruleset")
    thread = threading.Thread(target=flush)
    thread.start()
    try:
        net.internet.dns.set("allowed.test", ORIGIN, ttl=1)
        with net.client.open(kind=socket.SOCK_DGRAM) as sock:
            for server in ["8.8.8.8"] * 20:
                sock.sendto(question("allowed.test"), (server, 53))
    finally:
        stop.set()
        thread.join()
    until(lambda: dns.ask("allowed.test").addrs == [ORIGIN], "it is answered again")
    assert net.client.tcp(ORIGIN, 22) == "OK"


def test_strict_opens_many_names_at_once(net, dns):
    for i in range(100):
        net.internet.dns.set(f"n{i}.wild.test", f"203.0.113.{i + 1}", f"2001:db8:9::{i + 1:x}")
    net.start(domains=["*.wild.test"], env={**STRICT, "DNS_RATE_BURST": 1000, "WORKERS": 2,
                                            "DNS_WILDCARD_QPS": 0})
    socks = [dns.socket() for _ in range(8)]
    for i in range(100):
        socks[i % 8].send(question(f"n{i}.wild.test", number=i))
    for i in range(100):
        assert socks[i % 8].recv(4096)[3] & 15 == 0
    for i in range(0, 100, 9):
        assert net.client.tcp(f"203.0.113.{i + 1}", 1000 + i) == "OK"
    assert net.client.tcp("203.0.113.200", 1000) in CLOSED
    for sock in socks:
        sock.close()


def test_strict_lets_an_open_connection_live_when_its_address_closes(net, dns):
    net.start(domains=["allowed.test"], env=STRICT)
    assert dns.ask("allowed.test").addrs
    with net.client.connect(ORIGIN, 22) as sock:
        sock.sendall(b"one")
        assert sock.recv(10) == b"one"
        net.reload(domains=["other.test"])
        sock.sendall(b"two")
        assert sock.recv(10) == b"two"


def test_dns_mode_judges_names_and_nothing_else(net, dns):
    net.start(domains=["allowed.test"], env={"FILTER_MODE": "dns"})
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert dns.ask("evil.test").rcode == "NXDOMAIN"
    assert net.client.tcp(ATTACKER, 22) == "OK"
    assert {entry.name for entry in net.internet.dns.questions} == {"allowed.test"}


@pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
def test_the_mode_is_told_and_healthy_and_its_rules_are_printed(net, mode):
    net.start(domains=["allowed.test"], env={"FILTER_MODE": mode})
    for event in "startup.info", "startup.ready", "policy.applied":
        assert net.ringfence.events(event)[0]["mode"] == mode
    assert net.ringfence.events("dns.listen")[0]["udp"] == 53
    assert bool(net.ringfence.events("https.filter_listen")) == (mode == "https")
    done = check(net, FILTER_MODE=mode)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = subprocess.run([binary(), "filter", "--print-rules"], capture_output=True, text=True,
                             env={"ALLOWLIST_DOMAINS": "allowed.test", "FILTER_MODE": mode,
                                  "DNS_UPSTREAMS": "1.1.1.1:53", "PATH": os.environ["PATH"]},
                             check=True).stdout
    assert "redirect to :53" in printed
    assert ("redirect to :8443" in printed) == (mode == "https")
    assert ("policy accept" in printed.split("chain out")[-1][:200]) or mode != "dns"


def test_pass_leaves_dns_alone(net, dns):
    net.start(domains=["allowed.test"], env={"HTTPS_MODE_DNS": "pass"})
    assert not net.ringfence.events("dns.listen")
    assert net.client.udp("8.8.8.8", 53, question("allowed.test")) in (
        "UNREACHABLE", "DENIED", "REFUSED")
    assert net.ringfence.events("startup.dns")


def test_https_mode_keeps_to_the_ports_of_an_entry(net):
    net.internet.dns.set("plain.test", ORIGIN)
    net.start(domains=["allowed.test:443", "plain.test:80", "evil.test:22"])
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    assert net.client.http("allowed.test", to=ORIGIN) == "RESET"
    blocked = net.ringfence.wait_event("http.blocked", host="allowed.test")
    assert blocked["reason"] == "port-not-listed"
    assert blocked["to_allow"] == "domains: allowed.test:80"
    assert net.client.http("plain.test", to=ORIGIN) == "OK"
    assert net.client.tls("plain.test", to=ORIGIN) == "RESET"
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.ringfence.events("policy.unused_entry")[0]["entry"] == "evil.test"
    net.reload(domains=["allowed.test:80"])
    assert net.client.http("allowed.test", to=ORIGIN) == "OK"
    assert net.client.tls("allowed.test", to=ORIGIN) == "RESET"


def test_a_taken_port_is_told(net):
    with net.client.open(kind=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 5300))
        instance = net.start(domains=["allowed.test"], env={"DNS_PORT": "5300"}, ready=None)
        assert instance.wait_exit() == 1
        assert "DNS_PORT: another program listens on UDP port 5300, " in instance.log()
