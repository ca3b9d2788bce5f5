"""test_dns_docker.py - Docker's resolver: ours alone, on whatever port, and no way round us."""
import socket

import pytest

from dnsstub import DnsClient, frame, question
from dockerdns import ADDR, DockerDns
from internet import ATTACKER, ORIGIN, RESOLVER
from ringfence import until

MODES = pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
FROM_FILE = {"DNS_UPSTREAMS": None}     # by what Docker notes in resolv.conf


@pytest.fixture
def dns(net):
    return DnsClient(net.client, to=ADDR)


def start(net, mode, domains=("allowed.test", "db"), **env):
    return net.start(domains=domains, env={"FILTER_MODE": mode, **FROM_FILE, **env})


def asked(net):
    return {one.name for one in net.internet.dns.questions}


@MODES
@pytest.mark.parametrize("first", ["docker", "ringfence"])
def test_questions_to_dockers_resolver_come_to_us(net, dns, mode, first):
    """Whoever puts his rules in first: ours are asked before Docker's."""
    with DockerDns(net, RESOLVER, db="10.77.0.9") as docker:
        if first == "ringfence":
            net.box.nft("delete table ip nat\n")
        start(net, mode)
        if first == "ringfence":
            net.box.nft(docker.rules)
        for tcp in False, True:
            assert dns.ask("allowed.test", tcp=tcp).addrs == [ORIGIN]
            assert dns.ask("evil.test", tcp=tcp).rcode == "NXDOMAIN"
        assert docker.questions == []           # dotted names go straight to its servers
        assert asked(net) == {"allowed.test"}
        assert dns.ask("db").addrs == ["10.77.0.9"]
        assert set(docker.questions) == {"db"} and docker.sent_on == []
        assert dns.ask("web").rcode == "NXDOMAIN"       # a container that is not listed
        assert set(docker.questions) == {"db"}


@MODES
def test_dockers_resolver_by_its_address_is_who_it_asks_itself(net, dns, mode):
    """As people write who come from g0efilter, whose default it is."""
    with DockerDns(net, RESOLVER, db="10.77.0.9") as docker:
        start(net, mode, DNS_UPSTREAMS="127.0.0.11:53")
        assert dns.ask("allowed.test").addrs == [ORIGIN]
        assert docker.questions == [] and asked(net) == {"allowed.test"}
        assert dns.ask("db").addrs == ["10.77.0.9"]
        told = net.ringfence.events("dns.listen")[0]
        assert told["upstreams"] == f"{RESOLVER}:53" and "127.0.0.11" in told["note"]
        assert not net.ringfence.events("dns.own_question")


@MODES
def test_the_port_that_dockers_resolver_really_has_is_closed(net, dns, mode):
    with DockerDns(net, RESOLVER, db="10.77.0.9") as docker:
        start(net, mode)
        assert dns.ask("allowed.test").addrs == [ORIGIN]
        tcp, udp = docker.ports
        message = question("evil.test")
        assert net.client.tcp(ADDR, tcp, frame(message)) == "REFUSED"
        assert net.client.udp(ADDR, udp, message) in ("UNREACHABLE", "DENIED")
        assert docker.questions == [] and asked(net) == {"allowed.test"}


def test_a_scan_of_dockers_address_finds_nothing(net, dns):
    with DockerDns(net, RESOLVER, db="10.77.0.9") as docker:
        start(net, "https")
        with net.client.open(kind=socket.SOCK_DGRAM) as sock:
            for port in range(32768, 61001):
                with pytest.raises(OSError):
                    sock.sendto(question("evil.test"), (ADDR, port))
        for port in [*range(32768, 61000, 97), *docker.ports]:
            assert net.client.tcp(ADDR, port) == "REFUSED"
        assert dns.ask("db").addrs == ["10.77.0.9"]     # ours pass all the while
        assert set(docker.questions) == {"db"}


@MODES
def test_a_question_of_ours_that_docker_sends_back_to_us_goes_no_further(net, dns, mode):
    """Its servers are the host's alone, as far as it says, so it is asked itself; and it asks from
    inside the box, where port 53 leads to us."""
    with DockerDns(net, RESOLVER, hosts=["127.0.0.53"], db="10.77.0.9") as docker:
        start(net, mode)
        assert dns.ask("allowed.test").rcode == "SERVFAIL"
        assert 1 <= len(docker.questions) <= 20         # tries, no loop
        assert asked(net) == set() and net.internet.arrived() == 0
        until(lambda: net.ringfence.events("dns.own_question"), "it is told")
        assert len(net.ringfence.events("dns.own_question")) == 1
        assert dns.ask("db").addrs == ["10.77.0.9"]     # what it knows itself it answers
        before = len(docker.questions)
        assert dns.ask("evil.test").rcode == "NXDOMAIN"
        assert len(docker.questions) == before


@MODES
def test_a_listed_container_that_docker_does_not_know_is_no_name(net, dns, mode):
    """It asks from inside the box, so our own question comes back: no loop, no fault of ours."""
    with DockerDns(net, RESOLVER) as docker:
        start(net, mode)
        for kind in "A", "AAAA":
            answer = dns.ask("db", kind)
            assert answer.rcode == "NXDOMAIN" and answer.soa
        assert 1 <= len(docker.questions) <= 4
        assert asked(net) == set()
        assert dns.ask("allowed.test").addrs == [ORIGIN]
        assert not net.ringfence.events(lambda event: event["level"] == "error")


def test_a_name_without_a_dot_that_nobody_listed_is_no_name_either(net, dns):
    """With listed addresses any name is asked for (wpad, Chrome's probes)."""
    with DockerDns(net, RESOLVER, hosts=["127.0.0.53"]) as docker:
        net.start(domains=["allowed.test"], ips=["203.0.113.77"],
                  env={"FILTER_MODE": "https", **FROM_FILE})
        for name in "wpad", "xkqjzpdvwm":
            assert dns.ask(name).rcode == "NXDOMAIN"
        assert {"wpad", "xkqjzpdvwm"} <= set(docker.questions)
        assert not net.ringfence.events("dns.own_question")
        assert dns.ask("allowed.test").rcode == "SERVFAIL"      # a real loop is told all the same
        net.ringfence.wait_event("dns.own_question", qname="allowed.test")


def test_what_docker_is_asked_by_others_reaches_only_what_is_listed(net):
    """Somebody's question that reached it before we came is sent on to us, and judged."""
    with DockerDns(net, RESOLVER, db="10.77.0.9") as docker:
        start(net, "https")
        for name, rcode in ("evil.test", 3), ("allowed.test", 0):
            assert docker.answer(question(name))[3] & 15 == rcode
        assert asked(net) == {"allowed.test"}
        assert net.internet.arrived(ATTACKER) == 0


def test_pass_leaves_dockers_resolver_to_the_workload(net):
    """HTTPS_MODE_DNS=pass, as the seed; and no other way out."""
    with DockerDns(net, RESOLVER, db="10.77.0.9") as docker:
        start(net, "https", HTTPS_MODE_DNS="pass")
        assert net.client.udp(ADDR, 53, question("db")) == "OK"
        assert docker.questions == ["db"]


def test_strict_opens_a_container_by_its_name(net, dns):
    """Without a dot a private address is good, and nothing else of the network opens with it."""
    with DockerDns(net, RESOLVER, db="10.88.0.9"):
        start(net, "dns-strict", PRIVATE_ANSWERS="deny")
        assert net.client.tcp("10.88.0.9", 5432) == "REFUSED"
        assert dns.ask("db").addrs == ["10.88.0.9"]
        assert net.client.tcp("10.88.0.9", 5432) == "OK"
        assert net.client.tcp("10.88.0.8", 5432) == "REFUSED"
        assert net.learned() == {"10.88.0.9"}
