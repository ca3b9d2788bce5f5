"""test_forward_start.py - the start of `ringfence forward`: its names and lines, what it reads, and
what it goes on reading."""
import signal

import pytest

from forwarding import AS_PROXY, DOCKER_DNS, TARGET2, exchange, until
from internet import ORIGIN


@pytest.fixture
def net(proxied):
    return proxied


def goes_to(net, addr):
    return net.say(7000) == "OK" and net.internet.sessions[-1].local == addr


def test_by_the_name_of_the_original_unknown_arguments_are_only_warned_of(net):
    instance = net.start("--nonsense", wrapper=AS_PROXY, TARGET=ORIGIN, PORT=7000)
    told = instance.wait_event("config.invalid")
    assert "--nonsense" in told["note"]
    assert net.say(7000) == "OK"


def test_without_a_command_a_target_means_forward(net):
    net.start(TARGET=ORIGIN, PORT=7000)
    assert net.say(7000) == "OK"


def test_there_is_a_line_for_each_port_in_their_order(net):
    instance = net.start("forward", TARGET="[2001:db8:1::1]", PORT="7002 7000-7001:8000-8001",
                         MODE="TCP", MAX_CONNECTIONS=" 0x10 ", VERBOSE=1)
    lines = [line for line in instance.lines if line.startswith("INFO:root:Executing: ")]
    assert lines == [
        f"INFO:root:Executing: socat -v tcp-listen:{ours},fork,reuseaddr,max-children=16 "
        f"tcp-connect:[2001:db8:1::1]:{theirs}"
        for ours, theirs in ((7002, 7002), (7000, 8000), (7001, 8001))]


def test_a_switch_that_is_neither_on_nor_off_is_warned_of_and_off(net):
    instance = net.start("forward", TARGET="target.test", PORT=7000, PRE_RESOLVE="yes")
    assert "PRE_RESOLVE" in instance.wait_event("config.invalid")["note"]
    assert "INFO:root:Resolved" not in instance.log()
    assert net.say(7000) == "OK"


def test_sigint_ends_it_with_130(net):
    with net.conversation(7000, DRAIN_TIMEOUT="10m") as (client, upstream):
        exchange(client, upstream)
        net.ringfence.signal(signal.SIGINT)
        client.close()
        upstream.close()
        assert net.ringfence.wait_exit() == 130


def test_an_edit_of_the_hosts_file_is_followed(net):
    net.hosts(f"{ORIGIN} target.test")
    net.start("forward", TARGET="target.test", PORT=7000)
    assert goes_to(net, ORIGIN)
    net.hosts(f"{TARGET2} target.test")
    until(lambda: goes_to(net, TARGET2), "the new address is dialled")
    net.hosts()
    until(lambda: net.say(7000) and net.internet.dns.asked("target.test"), "the resolver is asked")


def test_dockers_resolver_is_believed_for_seconds_only(net):
    """Its TTL is ten minutes, and a container that is made anew gets another address."""
    net.resolv_conf(f"nameserver {DOCKER_DNS}")
    net.docker_dns.set("db", ORIGIN, ttl=600)
    net.start("forward", TARGET="db", PORT=7000)
    assert goes_to(net, ORIGIN)
    net.docker_dns.set("db", TARGET2, ttl=600)
    until(lambda: goes_to(net, TARGET2), "the new address is dialled")


def test_sigusr1_tells_the_counters(net):
    instance = net.start("forward", TARGET=ORIGIN, PORT=7000)
    assert net.say(7000) == "OK"
    until(lambda: not net.sockets("-t", "state", "established"), "the connection is over")
    instance.signal(signal.SIGUSR1)
    assert instance.wait_event("metrics")["conns_opened"] == 1
