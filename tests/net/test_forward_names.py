"""test_forward_names.py - where a target's name leads: asked for each connection, pinned at the
start, or followed."""
import socket

import pytest

from forwarding import PROXY, PROXY6, TARGET2, ending, exchange, until
from internet import ORIGIN, ORIGIN6, RESOLVER

OPENDNS_AND_GOOGLE = {"208.67.222.222", "8.8.8.8", "208.67.220.220", "8.8.4.4"}
TARGET26 = "2001:db8:77::77"


@pytest.fixture
def net(proxied):
    return proxied


def lands(net, port=7000):
    """Where a new connection ends up: the target's address; "" if it was closed at once."""
    with net.listen(port) as server, net.connect(port) as client:
        server.listener.settimeout(0.1)
        while True:
            try:
                upstream, _ = server.listener.accept()
                break
            except TimeoutError:
                client.setblocking(False)
                try:
                    return "" if client.recv(1) == b"" else "data"
                except BlockingIOError:
                    pass
                finally:
                    client.settimeout(10)
        with upstream:
            upstream.settimeout(10)
            exchange(client, upstream)
            return upstream.getsockname()[0].removeprefix("::ffff:")


def follows(net, addr):
    until(lambda: lands(net) == addr, f"a connection reaches {addr}")


# PRE_RESOLVE=0

@pytest.mark.parametrize("ttl", [0, 1])
def test_each_connection_goes_to_where_the_name_is_then(net, ttl):
    net.internet.dns.set("target.test", ORIGIN, ttl=ttl)
    net.start(TARGET="target.test", PORT=7000)
    assert lands(net) == ORIGIN
    for addr in TARGET2, ORIGIN6:
        net.internet.dns.set("target.test", addr, ttl=ttl)
        follows(net, addr)


def test_an_open_connection_stays_where_it_is(net):
    net.internet.dns.set("target.test", ORIGIN, ttl=0)
    with net.conversation() as (client, upstream):
        net.internet.dns.set("target.test", TARGET2, ttl=0)
        exchange(client, upstream)


def test_an_answer_is_good_for_its_ttl(net):
    net.internet.dns.set("target.test", ORIGIN, ttl=300)
    net.start(TARGET="target.test", PORT=7000)
    assert lands(net) == ORIGIN
    questions = [(question.type, question.local) for question in
                 net.internet.dns.asked("target.test")]
    assert set(questions) == {("A", RESOLVER), ("AAAA", RESOLVER)}      # or twice, if that was slow
    for _ in range(20):
        assert lands(net) == ORIGIN
    assert len(net.internet.dns.asked("target.test")) == len(questions)


@pytest.mark.parametrize("addrs", [(ORIGIN, TARGET2), (TARGET2, ORIGIN), (ORIGIN, TARGET26),
                                   (ORIGIN, ORIGIN6, TARGET26), (ORIGIN6, TARGET2)])
def test_when_an_address_refuses_the_others_are_tried(net, addrs):
    net.refuse(ORIGIN)
    net.refuse(ORIGIN6)
    net.internet.dns.set("target.test", *addrs)
    net.start(TARGET="target.test", PORT=7000)
    for _ in range(4):
        assert lands(net) in (TARGET2, TARGET26)


def test_when_an_address_is_silent_the_others_are_tried(net):
    net.silence(ORIGIN)
    net.internet.dns.set("target.test", ORIGIN, TARGET2)
    net.start(TARGET="target.test", PORT=7000, CONNECT_TIMEOUT="300ms")
    for _ in range(2):
        assert lands(net) == TARGET2


def test_of_both_families_ipv4_is_tried_first(net):
    net.start(TARGET="target.test", PORT=7000)
    assert lands(net) == ORIGIN


def test_a_name_with_ipv6_alone_is_reached_by_clients_of_both_families(net):
    net.internet.dns.set("target.test", ORIGIN6)
    net.start(TARGET="target.test", PORT=7000)
    for to in PROXY, PROXY6:
        assert net.say(7000, to=to).body == b"hello"
    assert {session.local for session in net.internet.sessions} == {ORIGIN6}


def test_an_alias_is_followed(net):
    net.internet.dns.set("target.test", cname="far.test")
    net.internet.dns.set("far.test", TARGET2)
    net.start(TARGET="target.test", PORT=7000)
    assert lands(net) == TARGET2


def test_a_name_that_fails_is_asked_for_again(net):
    net.internet.dns.set("target.test", rcode="SERVFAIL")
    net.start(TARGET="target.test", PORT=7000)
    assert lands(net) == ""
    net.internet.dns.set("target.test", ORIGIN)
    follows(net, ORIGIN)


def test_the_hosts_file_goes_before_the_resolver(net):
    net.hosts(f"{TARGET2} other.test target.test # by hand", f"{TARGET26} target.test")
    net.start(TARGET="target.test", PORT=7000)
    assert lands(net) == TARGET2
    net.refuse(TARGET2)
    assert lands(net) == TARGET26
    assert net.internet.dns.asked("target.test") == []


def test_names_of_the_hosts_file_need_no_dot_and_no_resolver(net):
    net.hosts(f"{TARGET2}\tDatabase")
    net.resolv_conf("nameserver 192.0.2.99")
    net.silence("192.0.2.99")
    net.start(TARGET="database", PORT=7000)
    assert lands(net) == TARGET2


def test_a_name_of_the_search_list_is_found(net):
    net.resolv_conf(f"nameserver {RESOLVER}", "search nowhere.test corp.test")
    net.internet.dns.set("db.corp.test", TARGET2)
    net.start(TARGET="db", PORT=7000)
    assert lands(net) == TARGET2


def test_a_target_that_is_the_proxy_itself_is_not_dialled(net):
    """As an alias of the proxy's container is without PRE_RESOLVE: no connection calls itself."""
    net.internet.dns.set("target.test", PROXY)
    net.start(TARGET="target.test", PORT=7000)
    for _ in range(2):
        with net.connect(7000) as client:
            client.sendall(b"hello")
            assert ending(client) == "FIN"
    net.ringfence.wait_event(reason="self", count=2)


def test_of_a_name_that_leads_to_the_proxy_too_the_other_address_is_dialled(net):
    net.internet.dns.set("target.test", PROXY, ORIGIN)
    net.start(TARGET="target.test", PORT=7000)
    for _ in range(4):
        assert lands(net) == ORIGIN


@pytest.mark.parametrize("own", [PROXY, PROXY6, "127.0.0.1", "::1", "0.0.0.0", "::",
                                 "::ffff:10.78.0.2"])
def test_no_address_of_our_own_is_dialled(net, own):
    net.internet.dns.set("target.test", own)
    net.start(TARGET="target.test", PORT=7000, MAX_CONNECTIONS=10)
    assert net.say(7000) == "CLOSED"
    net.ringfence.wait_event(reason="self")


def test_another_port_of_the_own_host_is_no_loop(net):
    net.hosts(f"{PROXY} local.test")
    with net.proxy.entered():
        listener = socket.create_server(("0.0.0.0", 7777))
    with listener:
        net.start(TARGET="local.test", PORT="7000:7777")
        with net.connect(7000) as client, listener.accept()[0] as upstream:
            exchange(client, upstream)


# PRE_RESOLVE=1

def pinned(net, *addrs, **variables):
    net.internet.dns.set("target.test", *addrs, ttl=0)
    net.start(**{"TARGET": "target.test", "PORT": 7000, "PRE_RESOLVE": 1, **variables})


def test_pre_resolve_pins_the_address_of_the_start(net):
    pinned(net, ORIGIN)
    asked = len(net.internet.dns.asked("target.test"))
    net.internet.dns.set("target.test", TARGET2, ttl=0)
    for _ in range(10):
        assert lands(net) == ORIGIN
    net.refuse(ORIGIN)
    assert lands(net) == ""
    assert net.internet.arrived(TARGET2) == 0
    assert len(net.internet.dns.asked("target.test")) == asked


def test_all_ports_go_to_the_one_address_that_was_picked(net):
    pinned(net, ORIGIN, TARGET2, "203.0.113.78", PORT="7000 7001")
    assert len({lands(net, port) for port in (7000, 7001) * 5}) == 1


def test_pre_resolve_asks_the_nameservers_that_are_the_default(net):
    net.resolv_conf("nameserver 192.0.2.99")
    pinned(net, ORIGIN)
    assert lands(net) == ORIGIN
    asked = {question.local for question in net.internet.dns.questions}
    assert asked and asked <= OPENDNS_AND_GOOGLE


@pytest.mark.parametrize("servers", ["192.0.2.99 192.0.2.54", "192.0.2.99\t2001:db8:53::54"])
def test_pre_resolve_asks_the_nameservers_it_is_told_in_turn(net, servers):
    net.silence("192.0.2.99")
    pinned(net, ORIGIN, NAMESERVERS=servers)
    assert lands(net) == ORIGIN
    assert {question.local for question in net.internet.dns.questions} == {servers.split()[1]}


def test_pre_resolve_looks_neither_into_hosts_nor_resolv_conf(net):
    net.hosts(f"{PROXY} target.test")
    net.resolv_conf(f"nameserver {RESOLVER}")
    pinned(net, ORIGIN, NAMESERVERS="192.0.2.54")
    assert lands(net) == ORIGIN
    assert {question.local for question in net.internet.dns.questions} == {"192.0.2.54"}


@pytest.mark.parametrize("target, name", [("db", "db"), ("db.test.", "db.test")])
def test_pre_resolve_knows_no_search_list(net, target, name):
    net.resolv_conf("nameserver 192.0.2.53", "search corp.test")
    net.internet.dns.set("db.corp.test", TARGET2)
    net.internet.dns.set(name, ORIGIN)
    net.start(TARGET=target, PORT=7000, PRE_RESOLVE=1)
    assert lands(net) == ORIGIN
    assert {question.name for question in net.internet.dns.questions} == {name}


@pytest.mark.parametrize("target", [ORIGIN, ORIGIN6, f"[{ORIGIN6}]"])
def test_pre_resolve_takes_an_address_as_it_is(net, target):
    net.start(TARGET=target, PORT=7000, PRE_RESOLVE=1)
    assert lands(net) == target.strip("[]")
    assert net.internet.dns.questions == []


def test_pre_resolve_finds_names_that_have_ipv6_alone(net):
    pinned(net, ORIGIN6)
    assert lands(net) == ORIGIN6


# PRE_RESOLVE=ttl

def test_ttl_follows_the_name_by_the_nameservers(net):
    net.hosts(f"{PROXY} target.test")
    pinned(net, ORIGIN, PRE_RESOLVE="ttl", NAMESERVERS="192.0.2.54")
    assert lands(net) == ORIGIN
    for addr in TARGET2, ORIGIN6:
        net.internet.dns.set("target.test", addr, ttl=1)
        follows(net, addr)
    assert {question.local for question in net.internet.dns.questions} == {"192.0.2.54"}
