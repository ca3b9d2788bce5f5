"""test_smoke.py - the promise in ten tests: what is listed passes, nothing else arrives."""
import pytest

from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6

pytestmark = pytest.mark.smoke

ORIGINS = pytest.mark.parametrize("origin", [ORIGIN, ORIGIN6])
ATTACKERS = pytest.mark.parametrize("attacker", [ATTACKER, ATTACKER6])


@ORIGINS
def test_a_listed_name_passes_over_tls(net, origin):
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test", to=origin).body == \
        f"hello from allowed.test at {origin}\n".encode()
    event = net.ringfence.wait_event("https.allowed")
    assert event["https"] == "allowed.test" and event["destination_ip"] == origin


@ORIGINS
def test_a_listed_name_passes_over_http_byte_for_byte(net, origin):
    net.start(domains=["*.wild.test"])
    head = b"GET /x?y HTTP/1.1\r\nHost: A.wild.test\r\nX-Odd: 1, 2\r\nConnection: close\r\n\r\n"
    assert net.client.http("a.wild.test", to=origin, head=head) == "OK"
    assert net.internet.received(origin, 80) == head
    assert net.ringfence.wait_event("http.allowed")["destination_ip"] == origin


@ATTACKERS
def test_a_name_that_is_not_listed_is_reset_and_nothing_arrives(net, attacker):
    net.start(domains=["allowed.test"])
    assert net.client.tls("evil.test", to=attacker) == "RESET"
    assert net.client.http("evil.test", to=attacker) == "RESET"
    assert net.client.tls("", to=attacker) == "RESET"
    assert net.internet.arrived(attacker) == 0
    net.ringfence.wait_event("https.blocked", https="evil.test", reason="not-allowlisted")
    net.ringfence.wait_event("https.blocked", reason="no-sni")
    net.ringfence.wait_event("http.blocked", host="evil.test", reason="not-allowlisted")


@ATTACKERS
def test_a_listed_name_never_reaches_an_address_of_the_clients_choice(net, attacker):
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test", to=attacker) == "OK"
    assert net.client.http("allowed.test", to=attacker) == "OK"
    assert net.internet.arrived(attacker) == 0
    assert {session.local for session in net.internet.sessions} <= {ORIGIN, ORIGIN6}


@ATTACKERS
def test_other_ports_and_protocols_are_refused_at_once(net, attacker):
    net.start(domains=["*"])
    for port in 22, 853, 8443, 65535:
        assert net.client.tcp(attacker, port) in ("REFUSED", "UNREACHABLE")
    for port in 443, 5353:
        assert net.client.udp(attacker, port) in ("UNREACHABLE", "DENIED")
    assert net.internet.arrived(attacker) == 0


@ATTACKERS
def test_a_listed_address_is_open_on_every_port(net, attacker):
    net.start(ips=[attacker])
    assert net.client.tcp(attacker, 22) == "OK"
    assert net.client.udp(attacker, 5353) == "OK"


def test_a_reload_changes_what_passes_without_a_restart(net):
    net.start(domains=["allowed.test"])
    assert net.client.tls("evil.test") == "RESET"
    net.reload(domains=["allowed.test", "evil.test"])
    assert net.client.tls("evil.test") == "OK"
    net.reload(domains=["allowed.test"], in_place=True)
    assert net.client.tls("evil.test") == "RESET"


def test_a_broken_policy_leaves_the_old_one_in_force(net):
    net.start(domains=["allowed.test"])
    net.reload("allowlist:\n  domains: [", wait="policy.reload_failed")
    assert net.client.tls("allowed.test") == "OK"
    assert net.client.tls("evil.test") == "RESET"


def test_after_a_kill_everything_stays_closed(net):
    net.start(domains=["*"]).kill()
    # RESET: the kernel takes a moment to release the rings of the dead, and their listeners.
    assert net.client.tls("allowed.test") in ("REFUSED", "RESET")
    assert net.client.tcp(ATTACKER, 22) in ("REFUSED", "UNREACHABLE")
    assert net.internet.arrived() == 0


def test_sigterm_ends_it_with_0(net):
    net.start(domains=["allowed.test"]).stop()
    assert net.internet.arrived() == 0
