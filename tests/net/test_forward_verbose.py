"""test_forward_verbose.py - VERBOSE of `ringfence forward`: a line for each connection, and with 2
what passes, in the format of `socat -v`."""
import os
import re
import shutil
import subprocess

import pytest

from forwarding import PROXY, PROXY6, WORKLOAD, exchange, read, read_all, reset, until
from internet import ORIGIN

HEAD = re.compile(r"([<>]) (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.000\d{6})  "
                  r"length=(\d+) from=(\d+) to=(\d+)\n")


@pytest.fixture
def net(proxied):
    return proxied


@pytest.mark.parametrize("proxy", [PROXY, PROXY6])
def test_a_connection_has_one_line_with_all_that_matters(net, proxy):
    with net.conversation(7000, proxy, VERBOSE=1) as (sock, upstream):
        client, port = sock.getsockname()[:2]
        exchange(sock, upstream, b"12345")
        exchange(upstream, sock, b"1234567")
    event = net.ringfence.wait_event("forward.closed")
    assert event["level"] == "info" and event["reason"] == "done"
    assert (event["source_ip"], event["source_port"]) == (client, port)
    assert f"{ORIGIN}:7000" in (event.get("dialled"), event.get("dst"))
    assert (event["bytes_up"], event["bytes_down"]) == (5, 7)
    assert event["duration_ms"] >= 0
    assert len(net.ringfence.events("forward.closed")) == 1
    assert "12345" not in re.sub(r'\d{6,}', "", net.ringfence.log())      # no payload


def test_who_resets_is_told_as_lost(net):
    with net.conversation(7000, VERBOSE=1) as (client, upstream):
        exchange(client, upstream, b"12345")
        reset(client)
        event = net.ringfence.wait_event("forward.closed")
    assert event["reason"] == "client-lost" and event["bytes_up"] == 5


def test_a_target_that_refuses_has_a_line_too(net):
    net.start(TARGET=ORIGIN, PORT=7000, VERBOSE=1)
    net.refuse(ORIGIN)
    assert net.say(7000) == "CLOSED"
    event = net.ringfence.wait_event("forward.closed")
    assert event["reason"] == "connect-failed" and event["source_ip"] == WORKLOAD
    assert (event["bytes_up"], event["bytes_down"]) == (0, 0)


def test_who_gives_up_waiting_has_a_line_too(net):
    verbosely = {"VERBOSE": 1, "LOG_LEVEL": "DEBUG"}
    with net.conversation(7000, MAX_CONNECTIONS=1, **verbosely) as (client, upstream):
        waiting = net.connect(7000)
        port = waiting.getsockname()[1]
        net.ringfence.wait_event("forward.waits", source_port=port)
        reset(waiting)
        event = net.ringfence.wait_event("forward.closed", source_port=port)
        assert event["reason"] == "client-lost" and event["bytes_up"] == 0
        exchange(client, upstream)


def test_without_it_a_connection_that_goes_well_has_none(net):
    with net.conversation(7000) as (client, upstream):
        exchange(client, upstream, b"payload")
        client.close()
        assert read_all(upstream) == b""
    with net.listen(7000) as server, net.connect(7000), server.accept():
        pass
    assert not net.ringfence.events(lambda fact: fact["msg"].startswith("forward."))
    assert "payload" not in net.ringfence.log()


def pieces(log):
    """[(direction, from, length, shown bytes)] of what is in a log of nothing else."""
    heads = list(HEAD.finditer(log))
    ends = [head.start() for head in heads[1:]] + [len(log)]
    told = []
    for head, end in zip(heads, ends):
        length, first, last = (int(number) for number in head.groups()[2:])
        assert last == first + length - 1
        told.append((head[1], first, length, log[head.end():end]))
    return told


def converse(client, upstream):
    exchange(client, upstream, b"hello\n")
    exchange(upstream, client, bytes(range(256)) + b"\n")
    exchange(client, upstream, b"tab\tcr\r back\\slash\n")
    exchange(client, upstream, b"\n")
    exchange(upstream, client, "häufig\n".encode())


def test_payload_looks_as_socat_shows_it(net):
    with net.conversation(7000, VERBOSE=2) as (client, upstream):
        converse(client, upstream)
    net.ringfence.wait_event("forward.closed")
    log = "\n".join(line for line in net.ringfence.log().split("\n")
                    if not line.startswith(("{", "INFO:root:")))
    ours = pieces(log + "\n")
    assert [piece[:3] for piece in ours] == [
        (">", 0, 6), ("<", 0, 257), (">", 6, 19), (">", 25, 1), ("<", 257, 8)]
    assert ours[0][3] == "hello\n" and ours[2][3] == "tab\tcr\\r back\\\\slash\n"
    assert ours[4][3] == "h..ufig\n"


@pytest.mark.skipif(not shutil.which("socat"), reason="needs socat")
def test_socat_itself_shows_the_same(net):
    with net.conversation(7000, VERBOSE=2) as (client, upstream):
        converse(client, upstream)
    net.ringfence.wait_event("forward.closed")
    ours = pieces("\n".join(line for line in net.ringfence.log().split("\n")
                            if not line.startswith(("{", "INFO:root:"))) + "\n")
    with net.listen(7001) as server:
        socat = subprocess.Popen(
            [*net.proxy.prefix(), "socat", "-v", "tcp-listen:7001,reuseaddr",
             f"tcp-connect:{ORIGIN}:7001"], stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            until(lambda: any(":7001 " in line for line in net.sockets("-tl")), "socat listens")
            with net.connect(7001) as client, server.accept() as upstream:
                converse(client, upstream)
            told = socat.communicate(timeout=30)[1]
        finally:
            socat.kill()
            socat.wait()
    assert pieces(told) == ours


@pytest.mark.parametrize("workers", [1, 2])
def test_all_of_a_bulk_transfer_is_shown_once_and_in_order(net, workers):
    data = os.urandom(750000).hex().encode()
    with net.conversation(7000, VERBOSE=2, WORKERS=workers) as (client, upstream):
        client.sendall(data[:1000])
        assert read(upstream, 1000) == data[:1000]
        for at in range(1000, len(data), 50000):
            client.sendall(data[at:at + 50000])
            assert read(upstream, len(data[at:at + 50000])) == data[at:at + 50000]
        exchange(upstream, client, b"\n")
    event = net.ringfence.wait_event("forward.closed")
    assert event["bytes_up"] == len(data)
    up = [piece for piece in pieces(net.ringfence.log()) if piece[0] == ">"]
    assert "".join(piece[3] for piece in up)[:len(data)] == data.decode()
    at = 0
    for _, first, length, _ in up:
        assert first == at
        at += length
    assert at == len(data)


def test_the_proxy_header_is_not_shown(net):
    with net.conversation(7000, VERBOSE=2, SEND_PROXY="v1") as (client, upstream):
        while not read(upstream, 1) == b"\n":
            pass
        exchange(client, upstream, b"hello\n")
    net.ringfence.wait_event("forward.closed")
    assert "PROXY TCP" not in net.ringfence.log()
    assert [piece[:3] for piece in pieces(net.ringfence.log())] == [(">", 0, 6)]
