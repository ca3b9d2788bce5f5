"""test_dashboard_stream.py - the live stream: ids, resume, slow readers, a thousand at once."""
import contextlib
import json
import re
import resource
import selectors
import socket
import time

import pytest

from dashboard import KEY, Dashboard, event
from ringfence import PATIENCE, sanitized, until

STREAMS, SLOW, EVENTS = 1000, 20, 400


@pytest.fixture
def net(tmp_path):
    dashboard = Dashboard(tmp_path / "events.db")
    dashboard.started = [dashboard]
    yield dashboard
    if not dashboard.end_expected:
        dashboard.finish()


def test_a_stream_begins_like_generation_bs_and_has_ids(net):
    with contextlib.closing(net.stream()) as stream:
        headers = stream.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        ids = net.ship(event("a.example"), event("b.example"))
        for number, name in zip(ids, ("a.example", "b.example")):
            seen, entry = stream.next()
            assert seen == entry["id"] == number and entry["https"] == name
        assert entry == net.api("/logs?limit=1")[0]
        net.ask("DELETE", "/api/v1/logs")
        assert stream.next() == (None, {"type": "cleared"})
        net.ask("POST", "/api/v1/unblocks", {"type": "ip", "value": "192.0.2.7"})
        assert stream.next() == (None, {"type": "unblock_status"})


def test_a_reader_that_comes_back_misses_nothing(net):
    ids = net.ship(*(event(f"n{number}.example") for number in range(700)))
    with contextlib.closing(net.stream(last_event_id=str(ids[9]))) as stream:
        assert [stream.next()[0] for _ in range(690)] == ids[10:]
    with contextlib.closing(net.stream(f"?since_id={ids[-2]}")) as stream:
        assert stream.next()[0] == ids[-1]
        more = net.ship(event())
        assert stream.next()[0] == more[0]


def test_a_reader_misses_nothing_over_a_restart_of_the_dashboard(net, tmp_path):
    ids = net.ship(*(event(f"n{number}.example", note="x" * 1200) for number in range(500)))
    with contextlib.closing(net.stream()) as stream:
        store = stream.response.headers["X-Store-Id"]
    net.stop()
    again = Dashboard(tmp_path / "events.db")           # its ring is empty, its store is not
    try:
        with contextlib.closing(again.stream(last_event_id=str(ids[3]))) as stream:
            more = again.ship(event("late.example"))
            assert [stream.next()[0] for _ in range(497)] == ids[4:] + more
        with contextlib.closing(again.stream(last_event_id="999999999")) as stream:
            again.ship(event("later.example"))          # an id of another store: from now on
            assert stream.next()[1]["https"] == "later.example"
            assert stream.response.headers["X-Store-Id"] == store
    finally:
        again.finish()


def test_a_silent_stream_shows_that_it_is_alive(net):
    with contextlib.closing(net.stream()) as stream:
        assert until(lambda: stream.line() == ": ping", "a ping")


def test_a_slow_reader_loses_some_and_is_told_how_many(net):
    connection = socket.create_connection(("127.0.0.1", net.port))
    with contextlib.closing(connection):
        connection.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
                           b"X-Api-Key: %s\r\n\r\n" % KEY.encode())
        file = connection.makefile("rb")
        until(lambda: file.readline() == b": connected\n", "the stream")
        shipped, padding = 0, "x" * 4000
        for _ in range(50):                             # more than the ring has room for
            shipped += len(net.ship(*(event(note=padding) for _ in range(200))))
        told, got = 0, 0
        connection.settimeout(PATIENCE)
        while told + got < shipped:
            line = file.readline()
            if line.startswith(b"id: "):
                got += 1
            elif match := re.match(rb'data: {"type":"dropped","count":(\d+)}', line):
                told += int(match[1])
        assert told > 0 and got > 0 and told + got == shipped
    net.wait_event("broadcaster.dropped")


def test_a_request_in_the_middle_of_its_head_or_body_is_not_waited_for(net):
    """Others are served meanwhile."""
    with socket.create_connection(("127.0.0.1", net.port)) as slow:
        slow.sendall(b"POST /api/v1/logs HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: " +
                     KEY.encode() + b"\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 1000\r\n\r\n[")
        net.ship(event())


def fits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard > STREAMS + 200


class Reader:
    """One of a thousand: counts what it gets, if it reads at all."""

    def __init__(self, port, reads):
        self.reads, self.tail, self.ids, self.dropped, self.size = reads, b"", [], 0, 0
        self.conn = socket.create_connection(("127.0.0.1", port))
        self.conn.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n"
                          b"X-Api-Key: %s\r\n\r\n" % KEY.encode())

    def read(self):
        piece = self.conn.recv(1 << 18)
        assert piece, "a stream was cut"
        self.size += len(piece)
        lines = (self.tail + piece).split(b"\n")
        self.tail = lines.pop()
        self.ids += [int(line[4:]) for line in lines if line.startswith(b"id: ")]
        self.dropped += sum(json.loads(line[6:])["count"] for line in lines
                            if line.startswith(b'data: {"type":"dropped"'))


def test_a_thousand_streams_get_every_event_and_slow_ones_cost_nothing(net):
    if not fits():
        pytest.skip("too few descriptors")
    before = net.memory_kib()
    readers = [Reader(net.port, number >= SLOW) for number in range(STREAMS)]
    selector = selectors.DefaultSelector()
    for reader in readers:
        if reader.reads:
            selector.register(reader.conn, selectors.EVENT_READ, reader)
    reading = readers[SLOW:]

    def turn(done, what):
        deadline = time.monotonic() + PATIENCE * 4
        while not done():
            assert time.monotonic() < deadline, what
            for key, _ in selector.select(1):
                key.data.read()
    turn(lambda: all(reader.size > 0 for reader in reading), "the streams")
    ids = []
    for _ in range(EVENTS // 20):
        ids += net.ship(*(event(note="x" * 500) for _ in range(20)))
        for key, _ in selector.select(0):
            key.data.read()
    turn(lambda: all(reader.ids and reader.ids[-1] == ids[-1] for reader in reading), "the end")
    assert all(reader.ids == ids for reader in reading)
    assert not any(reader.dropped for reader in reading)
    if not sanitized():
        assert net.memory_kib() - before < 120 << 10    # buffers of 1,000 connections, and the ring
    for reader in readers:
        reader.conn.close()
    assert net.get("/health").status == 200


def test_strangers_that_stay_do_not_keep_others_out(net):
    """R16: more connections than it takes, each of which has been answered or has said nothing."""
    count = 4300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        pytest.skip(f"needs {count + 200} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.ExitStack() as strangers:
        known = strangers.enter_context(contextlib.closing(net.connect()))
        known.request("GET", "/api/v1/config", headers={"X-Api-Key": KEY})
        assert known.getresponse().read()
        kept = known.sock
        for number in range(count):
            conn = strangers.enter_context(socket.create_connection(("127.0.0.1", net.port)))
            if number % 2 == 0:
                conn.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert conn.recv(4000).startswith(b"HTTP/1.1 200"), number
        for _ in range(50):
            net.ship(event())
        known.request("GET", "/api/v1/config", headers={"X-Api-Key": KEY})
        assert known.getresponse().status == 200
        assert known.sock is kept                       # it was not cut to make room


def test_streams_are_limited_in_number(tmp_path):
    dashboard = Dashboard(tmp_path / "events.db", {"STREAMS_MAX": "2"})
    try:
        with contextlib.closing(dashboard.stream()), contextlib.closing(dashboard.stream()):
            answer = dashboard.get("/api/v1/events")
            assert answer.status == 503 and "STREAMS_MAX" in answer.text
    finally:
        dashboard.finish()
