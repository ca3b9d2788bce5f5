"""test_destination.py - an allowed name leads to its own addresses, whatever the workload chose."""
import socket
import time

import pytest

from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6, RESOLVER
from world import BOX, BOX6

ATTACKERS = pytest.mark.parametrize("attacker, origin", [(ATTACKER, ORIGIN), (ATTACKER6, ORIGIN6)],
                                    ids=["v4", "v6"])
PROTOCOLS = pytest.mark.parametrize("protocol, port", [("tls", 443), ("http", 80)],
                                    ids=["tls", "http"])

# Nobody is ever led there by a name, however it is written.
NEVER = ["127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.1.1",
         "100.100.100.200", "168.63.129.16", "224.0.0.1", "239.1.2.3", "255.255.255.255",
         "::1", "::", "fe80::1", "ff02::1", "fd00:ec2::254", "::ffff:127.0.0.1",
         "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
         "2002:7f00:1::1", "2002:a9fe:a9fe::1"]
PRIVATE = ["10.1.2.3", "172.16.0.9", "192.168.7.7", "100.64.0.1", "198.18.0.1", "203.0.113.99",
           "fd12::1", "2001:db8::99", "::ffff:10.1.2.3"]


def event_of(protocol, what):
    return ("https." if protocol == "tls" else "http.") + what


def only_the_resolver_was_reached(net):
    return net.internet.arrived() == net.internet.arrived(RESOLVER)


def names_for(net, addrs):
    """A name for each address."""
    names = {f"n{i}.test": addr for i, addr in enumerate(addrs)}
    for name, addr in names.items():
        net.internet.dns.set(name, addr)
    return names


# Who chooses the address

@ATTACKERS
@PROTOCOLS
def test_pin_dials_the_names_address_and_tells_the_mismatch(net, attacker, origin, protocol, port):
    net.start(domains=["allowed.test"])
    ask = getattr(net.client, protocol)
    answer = ask("allowed.test", to=attacker)
    assert answer.body == f"hello from allowed.test at {origin}\n".encode()
    assert net.internet.arrived(attacker) == 0
    told = net.ringfence.wait_event(event_of(protocol, "dst_mismatch"))
    assert told["destination_ip"] == attacker and told["reason"] == "dst-mismatch"
    assert told["dialled"] == (f"[{origin}]" if ":" in origin else origin) + f":{port}"


@ATTACKERS
@PROTOCOLS
def test_strict_blocks_an_address_that_is_none_of_the_names(net, attacker, origin, protocol, port):
    net.start(domains=["allowed.test"], env={"DESTINATION_CHECK": "strict"})
    ask = getattr(net.client, protocol)
    assert ask("allowed.test", to=attacker) == "RESET"
    net.ringfence.wait_event(event_of(protocol, "blocked"), reason="dst-mismatch",
                             destination_ip=attacker, destination_port=port)
    assert only_the_resolver_was_reached(net)
    assert ask("allowed.test", to=origin) == "OK"


@ATTACKERS
@PROTOCOLS
def test_off_dials_the_clients_address_without_asking_a_resolver(net, attacker, origin, protocol,
                                                                 port):
    net.start(domains=["allowed.test"], env={"DESTINATION_CHECK": "off"})
    answer = getattr(net.client, protocol)("allowed.test", to=attacker)
    assert answer.body == f"hello from allowed.test at {attacker}\n".encode()
    assert net.internet.dns.questions == [] and net.internet.arrived(origin) == 0
    assert [session.port for session in net.internet.at(attacker)] == [port]


@pytest.mark.parametrize("check", ["pin", "strict"])
def test_an_address_the_client_asked_nobody_for_passes_after_one_lookup(net, check):
    net.start(domains=["allowed.test"], env={"DESTINATION_CHECK": check})
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    asked = [question.type for question in net.internet.dns.questions]
    assert set(asked) == {"A", "AAAA"}          # twice, if our resolver was slow
    for _ in range(4):
        assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    assert [session.local for session in net.internet.sessions] == [ORIGIN] * 5
    assert [question.type for question in net.internet.dns.questions] == asked
    assert net.ringfence.events("https.dst_mismatch") == []


def test_a_name_of_one_family_is_reached_by_clients_of_the_other(net):
    names_for(net, [ORIGIN, ORIGIN6])
    net.start(domains=["n0.test", "n1.test"])
    assert net.client.tls("n0.test", to=ATTACKER6).body == b"hello from n0.test at 203.0.113.7\n"
    assert net.client.tls("n1.test", to=ATTACKER).body == b"hello from n1.test at 2001:db8:7::7\n"
    assert net.internet.arrived(ATTACKER, ATTACKER6) == 0


def test_another_name_at_an_allowed_address_is_blocked(net):
    net.internet.dns.set("evil.test", ORIGIN, ORIGIN6)
    net.start(domains=["allowed.test"])
    for origin in ORIGIN, ORIGIN6:
        assert net.client.tls("evil.test", to=origin) == "RESET"
        assert net.client.http("evil.test", to=origin) == "RESET"
    assert net.internet.arrived() == 0


# Answers that move.  An answer is kept for 5 s at least, so these tests take as long.

def connect_until_asked_again(net, name, to):
    deadline = time.monotonic() + 30
    while len(net.internet.dns.asked(name)) < 4:        # A and AAAA, twice
        assert net.client.http(name, to=to) == "OK"
        assert time.monotonic() < deadline


def test_answers_that_rotate_never_stop_a_client_that_keeps_its_address(net):
    addrs = [f"203.0.113.{n}" for n in range(100, 150)]
    net.internet.dns.set("moving.test", *addrs, rotate=1, ttl=1)
    net.start(domains=["moving.test"])
    connect_until_asked_again(net, "moving.test", to=addrs[-1])
    assert {session.local for session in net.internet.sessions} <= set(addrs[:3])
    assert net.ringfence.events("https.blocked") == []


def test_an_old_answer_is_good_for_who_still_uses_it_and_for_nobody_else(net):
    net.internet.dns.set("moved.test", "203.0.113.10", ttl=1)
    net.start(domains=["moved.test"], env={"DESTINATION_CHECK": "strict"})
    assert net.client.tls("moved.test", to="203.0.113.10") == "OK"
    net.internet.dns.set("moved.test", "203.0.113.20", ttl=1)
    connect_until_asked_again(net, "moved.test", to="203.0.113.10")
    net.internet.reset()
    assert net.client.tls("moved.test", to="203.0.113.10") == "OK"
    assert net.client.tls("moved.test", to="203.0.113.20") == "OK"
    assert net.client.tls("moved.test", to=ATTACKER) == "RESET"


# Names without a good address

@pytest.mark.parametrize("answer", ["NXDOMAIN", "NOERROR", "SERVFAIL", "REFUSED", "silence",
                                    "nonsense"])
def test_a_name_without_an_address_is_blocked_as_unresolved(net, answer):
    if answer == "silence":
        net.internet.dns.set("allowed.test", drop=True)
    elif answer == "nonsense":
        net.internet.dns.set("allowed.test", raw=lambda query: query[:2] + b"\xff" * 40)
    else:
        net.internet.dns.set("allowed.test", rcode=answer)
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test", to=ATTACKER) == "RESET"
    assert net.client.http("allowed.test", to=ATTACKER6) == "RESET"
    for event in "https.blocked", "http.blocked":
        net.ringfence.wait_event(event, reason="unresolved")
    assert only_the_resolver_was_reached(net)


def test_without_a_resolver_nothing_is_dialled(net):
    net.start(domains=["*"], env={"DNS_UPSTREAMS": "127.0.0.1:53"})
    assert net.client.tls("allowed.test", to=ATTACKER) == "RESET"
    net.ringfence.wait_event("https.blocked", reason="unresolved")
    assert net.internet.arrived() == 0


def test_a_name_that_failed_is_found_when_its_server_is_back(net):
    net.internet.dns.set("late.test", rcode="SERVFAIL")
    net.start(domains=["late.test"])
    assert net.client.http("late.test", to=ORIGIN) == "RESET"
    net.internet.dns.set("late.test", ORIGIN)
    deadline = time.monotonic() + 30            # a failure is remembered for some seconds
    while net.client.http("late.test", to=ORIGIN) != "OK":
        assert time.monotonic() < deadline


@pytest.mark.parametrize("check", ["pin", "strict"])
def test_loopback_and_metadata_addresses_are_never_dialled(net, check):
    names = names_for(net, NEVER)
    listener = net.client.open(socket.AF_INET6)         # both families, every address of the box
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)      # others may wait there
    listener.bind(("::", 443))
    listener.listen()
    listener.setblocking(False)
    net.start(domains=["*"], ips=["fe80::/10"],
              env={"DESTINATION_CHECK": check, "PRIVATE_ANSWERS": "allow"})
    for name, addr in names.items():
        assert net.client.tls(name, to=ATTACKER) == "RESET", addr
        blocked = net.ringfence.wait_event("https.blocked", https=name)
        assert blocked["reason"] == "bad-address" and "never dialled" in blocked["detail"], addr
        assert "to_allow" not in blocked, addr          # no entry would help
    assert only_the_resolver_was_reached(net)
    with listener, pytest.raises(BlockingIOError):
        listener.accept()


def test_off_does_not_dial_them_either(net):
    net.start(domains=["*"], env={"DESTINATION_CHECK": "off"})
    for addr in "169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254":
        assert net.client.tls("allowed.test", to=addr) == "RESET", addr
        assert net.client.http("allowed.test", to=addr) == "RESET", addr
        net.ringfence.wait_event("https.blocked", reason="bad-address", destination_ip=addr,
                                 answers=addr)
    assert net.internet.arrived() == 0


def test_a_private_address_behind_many_that_are_never_dialled_is_proposed(net):
    """Whoever owns an allowed name must not make the line untrue."""
    net.internet.dns.set("many.test", *(f"127.0.0.{n}" for n in range(1, 21)), PRIVATE[0])
    net.start(domains=["many.test"], env={"PRIVATE_ANSWERS": "deny"})
    assert net.client.tls("many.test", to=ATTACKER) == "RESET"
    blocked = net.ringfence.wait_event("https.blocked", https="many.test")
    assert blocked["to_allow"] == f"ips: {PRIVATE[0]}"
    assert "PRIVATE_ANSWERS" in blocked["detail"]


def test_a_metadata_address_is_never_proposed_and_the_line_says_why(net):
    """In ips it would open: that is true, and nothing to propose in passing."""
    metadata, alibaba = "169.254.169.254", "100.100.100.200"
    net.start(domains=["allowed.test"], ips=[alibaba])
    assert net.client.http(alibaba, to=ORIGIN) == "RESET"       # listed, and not dialled
    assert net.client.http(metadata, to=ORIGIN) == "RESET"
    for reason, host in ("bad-address", alibaba), ("not-allowlisted", metadata):
        blocked = net.ringfence.wait_event("http.blocked", reason=reason, host=host)
        assert "no entry would help" in blocked["detail"] and "to_allow" not in blocked
    assert net.client.http(metadata, to=metadata) == "RESET"
    assert net.client.tcp(metadata, 9443) == "REFUSED"
    for event in "http.blocked", "nflog.event":
        blocked = net.ringfence.wait_event(event, destination_ip=metadata)
        assert "in ips it would open" in blocked["detail"] and "to_allow" not in blocked
    assert net.internet.arrived() == 0
    net.reload(domains=["allowed.test"], ips=[metadata])
    assert net.client.http(metadata, to=metadata) == "OK"
    assert net.client.tcp(metadata, 9443) == "OK"


def test_private_addresses_are_not_dialled_unless_they_are_allowed(net):
    names = names_for(net, PRIVATE)
    net.start(domains=["*"], env={"PRIVATE_ANSWERS": "deny"})
    for name, addr in names.items():
        assert net.client.tls(name, to=ATTACKER) == "RESET", addr
        blocked = net.ringfence.wait_event("https.blocked", https=name, reason="bad-address")
        assert "PRIVATE_ANSWERS=allow" in blocked["detail"], addr
        assert blocked["answers"] == addr and blocked["to_allow"] == f"ips: {addr}"
    assert only_the_resolver_was_reached(net)
    net.ringfence.stop()
    net.start(domains=["*"], env={"PRIVATE_ANSWERS": "allow"})
    for name, addr in names.items():
        assert net.client.http(name, to=ATTACKER) == "OK", addr
        assert net.internet.sessions[-1].local == addr.replace("::ffff:", "")


def test_a_private_address_is_dialled_when_the_policy_lists_it(net):
    names_for(net, ["10.1.2.3", "10.1.3.1", "fd12::1", "fd13::1"])
    net.start(domains=["*.test"], ips=["10.1.2.0/24", "fd12::/32"],
              env={"PRIVATE_ANSWERS": "deny"})
    for name, outcome in ("n0", "OK"), ("n1", "RESET"), ("n2", "OK"), ("n3", "RESET"):
        assert net.client.tls(f"{name}.test", to=ATTACKER) == outcome
    assert [session.local for session in net.internet.sessions] == ["10.1.2.3", "fd12::1"]


def test_a_name_without_a_dot_may_be_private_but_not_loopback(net):
    net.internet.dns.set("db", "10.1.2.3")
    net.internet.dns.set("here", "127.0.0.1")
    net.start(domains=["db", "here"], env={"PRIVATE_ANSWERS": "deny"})
    assert net.client.http("db", to="10.1.2.3") == "OK"
    assert net.client.http("here", to="10.1.2.3") == "RESET"
    net.ringfence.wait_event("http.blocked", host="here", reason="bad-address")


def test_of_mixed_answers_only_the_good_addresses_are_dialled(net):
    net.internet.dns.set("mixed.test", "127.0.0.1", "169.254.169.254", "10.1.2.3", "93.184.216.34",
                         "::1", "fe80::1")
    net.start(domains=["mixed.test"], env={"PRIVATE_ANSWERS": "deny"})
    for to in "169.254.169.254", "10.1.2.3", "fd00:ec2::254", ATTACKER6, "93.184.216.34":
        assert net.client.tls("mixed.test", to=to) == "OK", to
    assert {session.local for session in net.internet.sessions} == {"93.184.216.34"}


# Ourselves

def test_our_own_listeners_are_reset_and_nothing_is_held_or_dialled(net):
    net.start(domains=["*"])
    held = net.ringfence.fds()
    places = [(addr, port) for addr in ("127.0.0.1", "127.0.0.2", "::1", BOX, BOX6)
              for port in (8080, 8443)] + [("127.0.0.1", 443), ("::1", 80), (BOX, 443)]
    for _ in range(1000 // len(places) + 1):
        for addr, port in places:
            assert net.client.tcp(addr, port, b"\x16\x03\x01") == "REFUSED", (addr, port)
    assert net.ringfence.fds() == held
    assert net.internet.arrived() == 0
    assert net.client.tls("allowed.test") == "OK"


def test_a_name_of_our_own_address_does_not_go_round_in_circles(net):
    names_for(net, [BOX, BOX6])
    net.start(domains=["*.test"])
    for name in "n0.test", "n1.test":
        assert net.client.tls(name, to=ATTACKER) == "CLOSED"    # nobody listens on our port 443
        net.ringfence.wait_event("https.dst_conn_dial_error", https=name, reason="connect-failed")
    assert only_the_resolver_was_reached(net)


@pytest.mark.parametrize("ports", [{"HTTP_PORT": 80, "HTTPS_PORT": 443},
                                   {"HTTP_PORT": 443, "HTTPS_PORT": 80}])
def test_our_listeners_may_have_the_ports_that_are_redirected(net, ports):
    net.start(domains=["allowed.test"], env=ports)
    assert net.client.tls("allowed.test") == "OK" and net.client.http("allowed.test") == "OK"
    assert net.client.tls("evil.test") == "RESET" and net.client.http("evil.test") == "RESET"
    for addr in "127.0.0.1", "::1", BOX, BOX6:
        for port in 80, 443:
            assert net.client.tcp(addr, port) == "REFUSED"
    assert net.internet.arrived(ATTACKER, ATTACKER6) == 0


# Addresses that do not answer

@PROTOCOLS
@pytest.mark.parametrize("how", ["refuse", "silence"])
def test_the_next_address_is_tried_when_one_is_dead(net, how, protocol, port):
    net.internet.dns.set("two.test", "203.0.113.10", "203.0.113.20", "2001:db8:7::20")
    for dead in "203.0.113.10", "203.0.113.20":
        getattr(net.internet, how)(dead)
    net.start(domains=["two.test"], env={"CONNECT_TIMEOUT": "100ms"})
    answer = getattr(net.client, protocol)("two.test", to="203.0.113.10")
    assert answer.body == b"hello from two.test at 2001:db8:7::20\n"
    told = net.ringfence.wait_event(event_of(protocol, "allowed"))
    assert told["dialled"] == f"[2001:db8:7::20]:{port}"
    for dead in "203.0.113.10", "203.0.113.20":
        assert net.internet.arrived(dead, port=port) >= 1


@PROTOCOLS
@pytest.mark.parametrize("how, reason", [("refuse", "connect-failed"),
                                         ("silence", "connect-timeout")])
def test_when_every_address_is_dead_the_client_is_closed_and_told_why(net, how, reason, protocol,
                                                                      port):
    for dead in ORIGIN, ORIGIN6:
        getattr(net.internet, how)(dead)
    net.start(domains=["allowed.test"], env={"CONNECT_TIMEOUT": "100ms"})
    assert getattr(net.client, protocol)("allowed.test", to=ORIGIN) == "CLOSED"
    told = net.ringfence.wait_event(event_of(protocol, "dst_conn_dial_error"), reason=reason)
    assert told["destination_ip"] == ORIGIN and told["err"]
    assert told.get("detail") == {"refuse": "Connection refused", "silence": None}[how]
    for dead in ORIGIN, ORIGIN6:
        assert net.internet.arrived(dead, port=port) >= 1


# Address rules and name rules

def test_a_name_rule_opens_no_other_port_of_its_addresses(net):
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test") == "OK"
    net.internet.reset()
    for origin in ORIGIN, ORIGIN6:
        for port in 22, 8443, 8080:
            assert net.client.tcp(origin, port) == "REFUSED"
        assert net.client.udp(origin, 443) == "UNREACHABLE"
    assert net.internet.arrived() == 0


def test_an_address_rule_is_stronger_than_the_names_at_that_address(net):
    net.start(domains=["allowed.test"], ips=[ORIGIN, ORIGIN6])
    for origin in ORIGIN, ORIGIN6:
        assert net.client.tls("evil.test", to=origin) == "OK"
        assert net.client.tcp(origin, 22) == "OK" and net.client.udp(origin, 443) == "OK"
    assert net.client.tls("allowed.test", to=ATTACKER) == "OK"  # not listed: judged by name
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.internet.arrived(ATTACKER) == 0
