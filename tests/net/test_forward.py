"""test_forward.py - bytes through `ringfence forward`: who may listen where, and that every byte,
every end and every failure comes out as it went in."""
import contextlib
import hashlib
import itertools
import os
import re
import select
import socket
import subprocess
import threading
import time

import pytest

from forwarding import (AS_PROXY, OUTSIDE, OUTSIDE6, PROXY, PROXY6, WORKLOAD, WORKLOAD6, ending,
                        exchange, read, read_all, reset, until)
from internet import ORIGIN, ORIGIN6
from ringfence import PATIENCE, binary

BIG = 48 * 1024 * 1024
PAUSE = 0.8                             # longer than the 0.5 s after which socat cuts


@pytest.fixture
def net(proxied):
    return proxied


FROM = pytest.mark.parametrize("to", [PROXY, PROXY6])


def listening(net):
    """{(address, port)} of our TCP listeners."""
    return {(where.rsplit(":", 1)[0].strip("[]").replace("*", "::"), int(where.rsplit(":", 1)[1]))
            for where in (line.split()[3] for line in net.sockets("-tl"))}


# Who may connect, and where to

@FROM
def test_a_client_of_either_family_reaches_the_target(net, to):
    with net.conversation(7000, to) as (client, upstream):
        exchange(client, upstream, b"a question")
        exchange(upstream, client, b"the answer")
        assert upstream.getpeername()[0].removeprefix("::ffff:") in (OUTSIDE, OUTSIDE6)
        assert client.getsockname()[0] in (WORKLOAD, WORKLOAD6)


@pytest.mark.parametrize("target", [ORIGIN, ORIGIN6, f"[{ORIGIN6}]"])
def test_the_target_can_be_an_address(net, target):
    net.start(TARGET=target, PORT=7000)
    assert net.say(7000).body == b"hello"
    assert [session.local for session in net.internet.sessions] == [target.strip("[]")]


@pytest.mark.parametrize("mode, families, dialled", [
    ("tcp", "46", ORIGIN), ("TCP", "46", ORIGIN), ("tcp4", "4", ORIGIN), ("TCP4", "4", ORIGIN),
    ("tcp6", "46", ORIGIN6),            # socat's listener of that name takes both
])
def test_the_mode_says_who_may_connect_and_what_is_dialled(net, mode, families, dialled):
    net.start(TARGET="target.test", PORT=7000, MODE=mode)
    for to, family in (PROXY, "4"), (PROXY6, "6"):
        assert net.say(7000, to=to) == ("OK" if family in families else "REFUSED")
    assert {session.local for session in net.internet.sessions} == {dialled}


def test_a_mode_of_one_family_does_not_dial_the_other(net):
    net.internet.dns.set("six.test", ORIGIN6)
    net.start(TARGET="six.test", PORT=7000, MODE="tcp4")
    assert net.say(7000) == "CLOSED"
    assert net.internet.arrived(ORIGIN6) == 0


def test_ports_are_80_and_443_unless_told(net):
    net.start(TARGET="target.test")
    assert net.client.http("target.test", to=PROXY) == "OK"
    assert net.client.tls("target.test", to=PROXY) == "OK"
    assert {port for _, port in listening(net)} == {80, 443}


@pytest.mark.parametrize("ports, pairs", [
    ("7001 7002", [(7001, 7001), (7002, 7002)]),
    ("  7001\t7002\n7003 ", [(7001, 7001), (7002, 7002), (7003, 7003)]),
    ("7001,7002, 7003", [(7001, 7001), (7002, 7002), (7003, 7003)]),
    ("http-alt", [(8080, 8080)]),
    ("webcache domain-s", [(8080, 8080), (853, 853)]),
    ("7443:9443 7001", [(7443, 9443), (7001, 7001)]),
    ("7443:http-alt", [(7443, 8080)]),
    ("7001:9001 7002:9001", [(7001, 9001), (7002, 9001)]),
    ("8000-8010", [(port, port) for port in range(8000, 8011)]),
    ("7001 8000-8001 http-alt", [(port, port) for port in (7001, 8000, 8001, 8080)]),
])
def test_ports_are_a_list_of_numbers_names_maps_and_ranges(net, ports, pairs):
    net.start(TARGET="target.test", PORT=ports)
    assert listening(net) == {(host, ours) for ours, _ in pairs for host in ("0.0.0.0", "::")}
    for ours, theirs in pairs:
        assert net.say(ours).body == b"hello"
        assert len(net.internet.at(ORIGIN, theirs)) == 1
        net.internet.reset()
        net.reset()


def test_a_range_may_have_hundreds_of_ports(net):
    net.start(TARGET="target.test", PORT="2000-2299", WORKERS=2)
    assert len(listening(net)) == 600
    for port in 2000, 2149, 2299:
        assert net.say(port).body == b"hello"
        assert len(net.internet.at(ORIGIN, port)) == 1


def test_a_listener_holds_4096_who_knock_at_once(net):
    net.start(TARGET="target.test", PORT="7000")
    backlogs = [int(line.split()[2]) for line in net.sockets("-tl")]
    assert backlogs == [4096, 4096]


@pytest.mark.parametrize("allowed", [f"{WORKLOAD}/32 {WORKLOAD6}", "10.78.0.0/28, fd78::8/125"])
def test_allow_from_says_who_may_connect(net, allowed):
    net.start(TARGET="target.test", PORT=7000, ALLOW_FROM=allowed)
    for to, ours, other in (PROXY, WORKLOAD, "10.78.0.66"), (PROXY6, WORKLOAD6, "fd78::66"):
        for source, said in (ours, ["OK"]), (other, ["RESET", "CLOSED", "REFUSED"]):
            family = socket.AF_INET6 if ":" in to else socket.AF_INET
            with net.client.open(family) as sock:
                sock.bind((source, 0))
                assert talk(sock, to) in said
    assert len(net.internet.sessions) == 2
    net.ringfence.wait_event(reason="not-in-allow-from", source_ip="10.78.0.66")


def talk(sock, to, port=7000):
    try:
        sock.connect((to, port))
        sock.sendall(b"hello")
        return {b"hello": "OK", b"": "CLOSED"}[sock.recv(100)]
    except ConnectionRefusedError:
        return "REFUSED"
    except ConnectionResetError:
        return "RESET"


# What is told

def test_the_two_lines_that_people_grep_for_are_on_stderr(net):
    """In PORT's order, as the original's log has them."""
    argv = [*net.inside(), *AS_PROXY, binary()]
    env = {"PATH": os.environ["PATH"], "TARGET": "target.test", "PORT": "7001 7000",
           "PRE_RESOLVE": "1", "NAMESERVERS": "192.0.2.53", "MODE": "tcp"}
    process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: len(listening(net)) == 4, "it listens")
        assert net.say(7000).body == b"hello"
    finally:
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    to = net.internet.sessions[0].local
    assert [line for line in err.splitlines() if line.startswith("INFO:")] == [
        f"INFO:root:Resolved target.test to {to}",
        *[f"INFO:root:Executing: socat tcp-listen:{port},fork,reuseaddr,max-children=100 "
          f"tcp-connect:{to}:{port}" for port in (7001, 7000)]]
    assert "INFO:" not in out
    assert process.returncode == 143


def test_without_pre_resolve_the_line_names_the_target(net):
    net.start(TARGET="target.test", PORT="7000", MAX_CONNECTIONS=7)
    assert ("INFO:root:Executing: socat tcp-listen:7000,fork,reuseaddr,max-children=7 "
            "tcp-connect:target.test:7000") in net.ringfence.log().splitlines()
    assert "INFO:root:Resolved" not in net.ringfence.log()


def test_stdout_has_log_lines_and_nothing_else(net):
    net.start(TARGET="target.test", PORT="7000", PRE_RESOLVE=1, NAMESERVERS="192.0.2.53").stop()
    env = {**net.env, "PATH": os.environ["PATH"], "LOG_FORMAT": "text"}
    process = subprocess.Popen([*net.inside(), binary(), "forward"], env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        until(lambda: len(listening(net)) == 2, "it listens")
        assert net.say(7000).body == b"hello"
    finally:
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    said = [re.fullmatch(r"\S+Z INF (\S+) .*", line)[1] for line in out.splitlines()]
    assert said == ["startup.info", "startup.ready", "shutdown.signal"]
    assert all(line.startswith("INFO:root:") for line in err.splitlines())


def test_called_by_the_originals_name_it_warns_of_arguments_and_goes_on(net):
    net.start("--nonsense", TARGET="target.test", PORT="7000", wrapper=AS_PROXY)
    assert net.say(7000).body == b"hello"
    assert "--nonsense" in net.ringfence.log()


def test_service_names_are_those_of_the_protocol(net):
    net.start(TARGET="target.test", PORT="syslog", MODE="udp")
    assert net.client.udp(PROXY, 514).body == b"hello"


def test_verbose_tells_each_connection_in_a_line(net):
    with net.conversation(7000, VERBOSE=1) as (client, upstream):
        exchange(client, upstream, b"12345")
        exchange(upstream, client, b"1234567")
        source = f'"source_port":{client.getsockname()[1]},'
        assert source not in net.ringfence.log()
    line = until(lambda: [line for line in net.ringfence.log().splitlines() if source in line],
                 "a line of the connection")
    assert len(line) == 1
    for fact in WORKLOAD, "target.test", "done":
        assert fact in line[0]
    assert {"5", "7"} <= set(re.findall(r"\d+", line[0]))


def test_without_verbose_nothing_is_told_of_a_connection_that_went_well(net):
    net.start(TARGET="target.test", PORT=7000)
    said = len(net.ringfence.lines)
    for _ in range(5):
        assert net.say(7000).body == b"hello"
    until(lambda: not net.sockets("-t", "state", "established"), "connections are over")
    net.ringfence.stop()
    assert [line for line in net.ringfence.lines[said:] if WORKLOAD in line or ORIGIN in line] == []


def test_verbose_2_dumps_payload_in_the_format_of_socat(net):
    with net.conversation(7000, VERBOSE=2) as (client, upstream):
        exchange(client, upstream, b"ab\x01\r\n")
        exchange(upstream, client, b"\ttail")
        exchange(client, upstream, b"more\n")
    net.ringfence.stop()
    stamp = r" \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.000\d{6}  "
    assert re.search(rf"^>{stamp}length=5 from=0 to=4\nab\.\\r\n", net.ringfence.log(), re.M)
    assert re.search(rf"^<{stamp}length=5 from=0 to=4\n\ttail", net.ringfence.log(), re.M)
    assert re.search(rf">{stamp}length=5 from=5 to=9\nmore\n", net.ringfence.log(), re.M)


@FROM
def test_send_proxy_v1_tells_the_target_who_the_client_is(net, to):
    with net.conversation(7000, to, SEND_PROXY="v1") as (client, upstream):
        client.sendall(b"hello")
        host, port = client.getsockname()[:2]
        said = f"PROXY {'TCP6' if ':' in to else 'TCP4'} {host} {to} {port} 7000\r\nhello"
        assert read(upstream, len(said)) == said.encode()
        exchange(upstream, client, b"answer")


@FROM
def test_send_proxy_v2_tells_the_target_who_the_client_is(net, to):
    with net.conversation(7000, to, SEND_PROXY="v2") as (client, upstream):
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        host, port = client.getsockname()[:2]
        addrs = socket.inet_pton(family, host) + socket.inet_pton(family, to)
        body = addrs + port.to_bytes(2, "big") + (7000).to_bytes(2, "big")
        head = b"\r\n\r\n\0\r\nQUIT\n\x21" + (b"\x21" if ":" in to else b"\x11")
        client.sendall(b"hello")
        said = head + len(body).to_bytes(2, "big") + body + b"hello"
        assert read(upstream, len(said)) == said
        exchange(upstream, client, b"answer")


def test_a_target_that_speaks_first_gets_the_proxy_header_first(net):
    with net.conversation(7000, SEND_PROXY="v1") as (client, upstream):
        exchange(upstream, client, b"220 ready\r\n")
        assert read(upstream, 5) == b"PROXY"


# Every byte

def test_a_big_transfer_both_ways_at_once_arrives_bit_by_bit(net):
    data = os.urandom(BIG)
    with net.conversation(7000) as (client, upstream):
        came = {}

        def receive(name, sock):
            came[name] = hashlib.sha256(read_all(sock)).digest()

        def send(sock, what):
            sock.sendall(what)
            sock.shutdown(socket.SHUT_WR)
        threads = [threading.Thread(target=run, args=args, daemon=True) for run, args in (
            (receive, ("down", client)), (receive, ("up", upstream)), (send, (client, data)),
            (send, (upstream, data[::-1])))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert came == {"up": hashlib.sha256(data).digest(),
                    "down": hashlib.sha256(data[::-1]).digest()}


def test_a_target_that_speaks_first_is_heard(net):
    with net.conversation(7000) as (client, upstream):
        exchange(upstream, client, b"220 mail.test\r\n")
        exchange(client, upstream, b"QUIT\r\n")


def test_what_is_sent_just_before_the_end_arrives(net):
    data = os.urandom(1 << 20)
    with net.conversation(7000) as (client, upstream):
        threading.Thread(target=lambda: (upstream.sendall(data), upstream.close())).start()
        assert read_all(client) == data
    with net.listen(7000) as server, net.connect(7000) as client:
        threading.Thread(target=lambda: (client.sendall(data), client.close())).start()
        with server.accept() as upstream:
            assert read_all(upstream) == data


def test_an_answer_long_after_the_clients_end_arrives(net):
    answer = os.urandom(300000)
    with net.conversation(7000) as (client, upstream):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        assert read_all(upstream) == b"question"
        time.sleep(PAUSE)
        upstream.sendall(answer)
        time.sleep(PAUSE)
        upstream.sendall(answer)
        upstream.close()
        assert read_all(client) == answer + answer


def test_a_client_may_go_on_long_after_the_targets_end(net):
    with net.conversation(7000) as (client, upstream):
        upstream.sendall(b"bye")
        upstream.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"bye"
        for part in b"first", b"second":
            time.sleep(PAUSE)
            exchange(client, upstream, part)
        client.close()
        assert read_all(upstream) == b""


# Every end

def test_a_reset_of_the_target_is_passed_on(net):
    with net.conversation(7000) as (client, upstream):
        exchange(client, upstream)
        reset(upstream)
        assert ending(client) == "RST"


def test_a_reset_of_the_client_is_passed_on(net):
    with net.conversation(7000) as (client, upstream):
        exchange(client, upstream)
        reset(client)
        assert ending(upstream) == "RST"


def test_a_target_that_refuses_is_a_fin_and_no_data(net):
    net.refuse(ORIGIN)
    net.refuse(ORIGIN6)
    net.start(TARGET="target.test", PORT=7000)
    with net.connect(7000) as client:
        client.sendall(b"hello")
        assert ending(client) == "FIN"
    net.ringfence.wait_event(reason="connect-failed")
    with net.connect(7000) as client:           # it lives on
        assert ending(client) == "FIN"


def test_a_target_that_does_not_resolve_is_a_fin_and_no_data(net):
    net.internet.dns.set("broken.test", rcode="SERVFAIL")
    for target in "nowhere.test", "broken.test":
        instance = net.start(TARGET=target, PORT=7000)
        with net.connect(7000) as client:
            client.sendall(b"hello")
            assert ending(client) == "FIN"
        instance.wait_event(reason="unresolved")
        instance.stop()


def test_a_target_that_is_silent_is_a_fin_after_the_connect_timeout(net):
    net.silence(ORIGIN)
    net.start(TARGET=ORIGIN, PORT=7000, CONNECT_TIMEOUT="300ms")
    with net.connect(7000) as client:
        client.sendall(b"hello")
        assert ending(client) == "FIN"
    net.ringfence.wait_event(reason="connect-timeout")


def test_a_resolver_that_is_silent_is_a_fin_too(net):
    net.internet.dns.set("silent.test", drop=True)
    net.start(TARGET="silent.test", PORT=7000)
    with net.connect(7000) as client:
        assert ending(client) == "FIN"
    net.ringfence.wait_event(reason="unresolved")


# Time

@contextlib.contextmanager
def two_conversations(net, **variables):
    """Two clients, each with its target's end."""
    net.start(TARGET="target.test", PORT=7000, **variables)
    with net.listen(7000) as server, net.connect(7000) as one, server.accept() as end, \
            net.connect(7000) as other, server.accept() as far:
        yield (one, end), (other, far)


def has_come(sock):
    return select.select([sock], [], [], 0)[0]


def test_half_close_timeout_ends_a_side_that_says_nothing_more(net):
    with two_conversations(net, HALF_CLOSE_TIMEOUT="2s") as ((client, upstream), (quiet, far)):
        fds = net.ringfence.fds() - 4
        for near, end in (client, upstream), (quiet, far):
            near.shutdown(socket.SHUT_WR)
            assert read_all(end) == b""

        def another_has_ended():        # each byte begins it anew
            exchange(upstream, client, b".")
            return has_come(quiet)
        until(another_has_ended, "a connection of its age ends")
        exchange(upstream, client, b".")
        for sock in quiet, client:
            assert ending(sock) in ("FIN", "RST")
    until(lambda: net.ringfence.fds() == fds, "its descriptors are given back")


def test_idle_timeout_ends_who_says_nothing_and_nobody_else(net):
    with two_conversations(net, IDLE_TIMEOUT="2s", VERBOSE=1) as ((client, upstream), (quiet, far)):
        ways = itertools.cycle([(client, upstream, b"?"), (upstream, client, b"!")])

        def another_has_ended():
            exchange(*next(ways))
            return has_come(quiet)
        until(another_has_ended, "a connection of its age ends")
        exchange(*next(ways))
        for sock in quiet, far, client, upstream:
            assert ending(sock) in ("FIN", "RST")
    net.ringfence.wait_text("idle-timeout")


def test_both_sides_are_asked_whether_they_are_still_there(net):
    with net.conversation(7000, TCP_KEEPALIVE="1s"):
        def watched():
            return [row for row in net.sockets("-to", "state", "established")
                    if "timer:(keepalive," in row]
        until(lambda: len(watched()) == 2, "both sockets have a timer")


@pytest.mark.parametrize("dead", ["inside", "eth0"])
def test_who_is_dead_is_noticed_by_keepalive(net, dead):
    with net.conversation(7000, TCP_KEEPALIVE="1s") as (client, upstream):
        exchange(client, upstream)
        net.proxy.nft("table inet dead { chain input { type filter hook input priority 0; "
                      f"iifname {dead} drop; }}; }}")
        assert ending(upstream if dead == "inside" else client) in ("FIN", "RST")
