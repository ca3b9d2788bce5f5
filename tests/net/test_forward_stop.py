"""test_forward_stop.py - the end of `ringfence forward`: open connections may finish, nobody new
comes in, and it never takes as long as Docker's ten seconds; and the start after it."""
import signal
import socket
import subprocess
import threading

import pytest

from forwarding import ending, exchange, read_all, until

LONG = "10m"                            # far beyond our patience: who waits for it fails


@pytest.fixture
def net(proxied):
    return proxied


def refused(net, port=7000):
    return net.say(port, timeout=2) == "REFUSED"


def test_with_nothing_open_it_ends_at_once(net):
    instance = net.start(TARGET="target.test", PORT="7000 7001", DRAIN_TIMEOUT=LONG)
    assert net.say(7000) == "OK"
    until(lambda: not net.sockets("-t", "state", "established"), "the connection is over")
    instance.signal(signal.SIGTERM)
    assert instance.wait_exit() == 143


def test_on_sigterm_open_connections_finish_and_new_ones_are_refused(net):
    with net.conversation(7000, DRAIN_TIMEOUT=LONG) as (client, upstream):
        exchange(client, upstream)
        net.ringfence.signal(signal.SIGTERM)
        until(lambda: refused(net), "new connections are refused")
        for _ in range(10):
            exchange(client, upstream, b"still")
            exchange(upstream, client, b"here")
        client.shutdown(2)
    assert net.ringfence.wait_exit() == 143


def test_a_transfer_under_way_is_drained_to_its_last_byte(net):
    data = bytes(range(256)) * 100000
    with net.conversation(7000, DRAIN_TIMEOUT=LONG) as (client, upstream):
        threading.Thread(target=lambda: (upstream.sendall(data), upstream.close())).start()
        first = client.recv(100)
        net.ringfence.signal(signal.SIGTERM)
        until(lambda: refused(net), "new connections are refused")
        assert first + read_all(client) == data
    assert net.ringfence.wait_exit() == 143


def test_after_the_drain_timeout_the_rest_is_cut(net):
    with net.conversation(7000, DRAIN_TIMEOUT="500ms") as (client, upstream):
        exchange(client, upstream)
        net.ringfence.signal(signal.SIGTERM)
        assert ending(client) in ("FIN", "RST")
        assert ending(upstream) in ("FIN", "RST")
        assert net.ringfence.wait_exit() == 143


def test_the_default_drain_ends_within_the_ten_seconds_of_docker(net):
    with net.conversation(7000) as (client, upstream):
        exchange(client, upstream)
        net.ringfence.signal(signal.SIGTERM)
        net.ringfence.end_expected = True
        net.ringfence.reader.join(10)       # then Docker would kill it: -9 is the test's failure
        if net.ringfence.process.poll() is None:
            net.ringfence.kill()
        assert net.ringfence.process.wait() == 143


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(net, second):
    with net.conversation(7000, DRAIN_TIMEOUT=LONG) as (client, upstream):
        exchange(client, upstream)
        net.ringfence.signal(signal.SIGTERM)
        until(lambda: refused(net), "new connections are refused")
        exchange(client, upstream)
        net.ringfence.signal(second)
        assert net.ringfence.wait_exit() == 143
        assert ending(client) in ("FIN", "RST")
        assert ending(upstream) in ("FIN", "RST")


def test_no_drain_at_all_can_be_asked_for(net):
    with net.conversation(7000, DRAIN_TIMEOUT="0") as (client, upstream):
        exchange(client, upstream)
        net.ringfence.signal(signal.SIGTERM)
        assert net.ringfence.wait_exit() == 143
        assert ending(client) in ("FIN", "RST")


def test_who_waits_at_the_limit_is_not_waited_for(net):
    with net.conversation(7000, MAX_CONNECTIONS=1, DRAIN_TIMEOUT=LONG) as (client, upstream):
        exchange(client, upstream)
        with net.connect(7000) as parked:
            parked.sendall(b"waiting")
            net.ringfence.signal(signal.SIGTERM)
            assert ending(parked) in ("FIN", "RST")
        exchange(client, upstream)
    assert net.ringfence.wait_exit() == 143


def test_a_dial_under_way_does_not_hold_up_the_end(net):
    net.internet.dns.set("silent.test", drop=True)
    instance = net.start(TARGET="silent.test", PORT=7000, DRAIN_TIMEOUT="500ms",
                         CONNECT_TIMEOUT="10m")
    with net.connect(7000) as client:
        until(lambda: net.internet.dns.asked("silent.test"), "it is asked for")
        instance.signal(signal.SIGTERM)
        assert instance.wait_exit() == 143
        assert ending(client) in ("FIN", "RST")


@pytest.mark.parametrize("target", ["silent.test", "target.test"])
def test_as_process_1_it_ends_by_sigterm_at_any_time(net, target):
    """Process 1 has no default for signals: one that came too early would be lost."""
    net.internet.dns.set("silent.test", drop=True)
    asked = target == "silent.test"
    instance = net.start(TARGET=target, PORT=7000, PRE_RESOLVE=1, NAMESERVERS="192.0.2.53",
                         wrapper=["unshare", "--pid", "--fork", "--kill-child"],
                         ready=None if asked else "startup.ready")
    if asked:
        until(lambda: net.internet.dns.asked(target), "it is asked for")
    with open(f"/proc/{instance.pid}/task/{instance.pid}/children") as file:
        [child] = file.read().split()
    subprocess.run(["kill", "-TERM", child], check=True)
    assert instance.wait_exit() == 143


# Starting again

def test_after_a_kill_it_listens_again_at_once(net):
    for _ in range(10):
        instance = net.start(TARGET="target.test", PORT=7000)
        with net.connect(7000) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            instance.kill()
            assert ending(client) in ("FIN", "RST")
    net.start(TARGET="target.test", PORT=7000)
    assert net.say(7000) == "OK"


def test_after_a_stop_it_listens_again_at_once(net):
    for _ in range(10):
        with net.conversation(7000, DRAIN_TIMEOUT="0") as (client, upstream):
            exchange(client, upstream)
            net.ringfence.stop()            # our side closes first: the port is in TIME-WAIT


def taken(net, port):
    """Somebody else listens there, on both families."""
    with net.proxy.entered():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)


def test_a_port_that_is_taken_is_told_and_the_others_go_on(net):
    with taken(net, 7000):
        net.start(TARGET="target.test", PORT="7000 7001")
        assert net.say(7001) == "OK"
        assert any("7000" in line and "in use" in line for line in net.ringfence.lines)


def test_when_no_port_can_be_listened_on_it_ends_with_1(net):
    with taken(net, 7000), taken(net, 7001):
        done = net.run("forward", TARGET="target.test", PORT="7000 7001")
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("INFO:root:")]
    assert "PORT" in line and "7000" in line and "in use" in line


def test_the_end_of_many_instances_is_143_each_time(net):
    """Whenever the signal comes: also while it starts."""
    ends = []
    for lines in range(12):
        instance = net.start(TARGET="target.test", PORT=7000, ready=None)
        until(lambda: len(instance.lines) >= lines // 4, "it has come so far")
        instance.signal(signal.SIGTERM)
        ends.append(instance.wait_exit())
    assert set(ends) <= {143, -signal.SIGTERM}      # before main() the kernel's default ends it
