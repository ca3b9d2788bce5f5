"""test_http.py - port 80: every request is judged, the last as the first, and what passes arrives
byte for byte.

Rows H01-H23 of the bypass matrix as conversations; heads one by one are in vectors_http.py."""
import contextlib
import hashlib
import os
import socket

import pytest

import hello
from internet import ATTACKER, ORIGIN, ORIGIN6
from origins import Http, Origin
from vectors_http import chunked, post, request

GOOD, EVIL, WILD = request(), request(b"evil.test"), request(b"a.wild.test")
ELSEWHERE = "198.51.100.99"             # where other.test is
LARGE = 10_000_000


@pytest.fixture
def listed(net):
    net.internet.dns.set("other.test", ELSEWHERE)
    net.start(domains=["allowed.test", "*.wild.test", "other.test"])
    return net


class Silent(Origin):
    """Records, and says goodbye when the client does."""
    def on_data(self, data):
        pass


def answered(body=b"", head=b"HTTP/1.1 200 OK"):
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(1)
        if not part:
            raise EOFError(f"ended after {data}")
        data += part
    return data


def read_answer(sock):
    """The status and body of an answer with a length."""
    head = read_head(sock)
    body = b""
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += sock.recv(length - len(body)) or error(EOFError(f"{len(body)} of {length} bytes"))
    return int(head.split()[1]), body


def error(exception):
    raise exception


def read_end(sock):
    """All that comes until the end, by FIN or RST."""
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65536):
            data += part
    return bytes(data)


def arrived(net, addr=ORIGIN):
    """What the one connection to an address brought, once it has ended."""
    [session] = net.internet.wait(lambda: [s for s in net.internet.at(addr) if s.closed])
    return bytes(session.raw)


def blocked(net, host, **facts):
    return net.ringfence.wait_event("http.blocked", host=host, **facts)


# H01, H08: many requests on one connection

@pytest.mark.parametrize("to", [ORIGIN, ORIGIN6])
def test_every_request_of_a_connection_is_answered(listed, to):
    requests = [GOOD, post(b"Content-Length: 5", body=b"a=b&c"), request(line=b"HEAD / HTTP/1.1"),
                chunked(b"4;x=y\r\nbody\r\n0\r\n\r\n")] * 50
    with listed.client.connect(to, 80) as sock:
        for one in requests:
            sock.sendall(one)
            if one.startswith(b"HEAD"):
                assert read_head(sock).startswith(b"HTTP/1.1 200 OK")
            else:
                assert read_answer(sock) == (200, f"hello from allowed.test at {to}\n".encode())
    [session] = listed.internet.at(to)
    assert session.raw == b"".join(requests)


def test_pipelined_requests_are_answered_in_order(listed):
    listed.internet.http_answer = lambda asked: answered(asked.target)
    lines = [b"GET /%d HTTP/1.1" % n for n in range(500)]
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(b"".join(request(line=line) for line in lines))
        sock.shutdown(socket.SHUT_WR)
        bodies = [read_answer(sock)[1] for _ in lines]
    assert bodies == [b"/%d" % n for n in range(500)]


FIRST = {"none": GOOD, "length": post(b"Content-Length: 4", body=b"body"), "http10": request(
             line=b"GET / HTTP/1.0", fields=[b"Connection: keep-alive"]),
         "chunked": chunked(b"4\r\nbody\r\n0\r\n\r\n"), "many": GOOD * 2000,
         "like-a-request": post(b"Content-Length: %d" % len(EVIL), body=EVIL),
         "two-hosts": GOOD + WILD + GOOD}
FIRSTS = pytest.mark.parametrize("first", FIRST.values(), ids=FIRST)
BAD = {"evil": EVIL, "hostless": request(None), "noise": b"\x16\3\1\2\0",
       "lower": b"get / http/1.1\r\n", "preface": b"PRI * HTTP/2.0\r\n\r\n",
       "connect": request(line=b"CONNECT evil.test:443 HTTP/1.1"),
       "absolute": request(line=b"GET http://evil.test/ HTTP/1.1")}
BADS = pytest.mark.parametrize("bad", BAD.values(), ids=BAD)


@FIRSTS
@BADS
def test_a_bad_request_is_cut_off_behind_good_ones(listed, first, bad):
    listed.internet.http = Silent
    with listed.client.connect(ORIGIN, 80) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(first + bad)
        assert read_end(sock) == b""
    [session] = listed.internet.wait(lambda: [s for s in listed.internet.at(ORIGIN) if s.closed])
    assert first.startswith(session.raw) and session.closed == "reset"
    listed.ringfence.wait_event("http.blocked")
    assert listed.internet.arrived(ATTACKER) == 0


@BADS
def test_a_bad_request_after_answers_is_cut(listed, bad):
    with listed.client.connect(ORIGIN, 80) as sock:
        for _ in range(3):
            sock.sendall(GOOD)
            assert read_answer(sock)[0] == 200
        sock.sendall(bad)
        assert read_end(sock) == b""
    assert arrived(listed) == GOOD * 3


# H08 with several listed hosts

def test_another_listed_host_at_the_same_address_goes_on(listed):
    with listed.client.connect(ORIGIN, 80) as sock:
        for one, host in (GOOD, b"allowed"), (WILD, b"a.wild"), (GOOD, b"allowed"):
            sock.sendall(one)
            assert read_answer(sock)[1] == b"hello from %s.test at 203.0.113.7\n" % host
    [session] = listed.internet.at(ORIGIN)
    assert session.raw == GOOD + WILD + GOOD
    listed.ringfence.wait_event("http.allowed", host="a.wild.test")


@pytest.mark.parametrize("together", [True, False], ids=["pipelined", "after-the-answer"])
def test_another_listed_host_elsewhere_ends_the_connection_after_the_answer(listed, together):
    body = os.urandom(300_000)
    listed.internet.http_answer = lambda asked: answered(body)
    other = request(b"other.test")
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(GOOD + (other if together else b""))
        assert read_answer(sock) == (200, body)
        if not together:
            sock.sendall(other)
        assert sock.recv(1) == b""              # FIN: the client asks again on a new connection
    assert arrived(listed) == GOOD
    assert listed.internet.arrived(ELSEWHERE) == 0
    with listed.client.connect(ELSEWHERE, 80) as sock:
        sock.sendall(other)
        assert read_answer(sock) == (200, body)
    assert listed.internet.received(ELSEWHERE) == other


# H14, H21: upgrades

ASK = request(line=b"GET /chat HTTP/1.1", fields=[
    b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
GRANTED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize("field", [b"", b"Content-Length: 0\r\n"], ids=["plain", "length 0"])
def test_a_websocket_passes_blind_once_the_server_has_said_101(listed, field):
    ask = ASK[:-2] + field + b"\r\n"
    listed.internet.http_answer = lambda asked: GRANTED
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(ask)
        assert read_head(sock) == GRANTED
        for frame in b"\x81\x05hello", EVIL, bytes(range(256)) * 40:
            sock.sendall(frame)
            echo = b""
            while len(echo) < len(frame):
                echo += sock.recv(65536)
            assert echo == frame
    assert listed.internet.received(ORIGIN).startswith(ask + b"\x81\x05hello" + EVIL)


def test_what_is_sent_before_the_101_waits_for_it(listed):
    early = b"\x81\x05early"
    seen = []

    def answer(asked):
        seen.append(bytes(asked.session.raw))
        return GRANTED
    listed.internet.http_answer = answer
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(ASK + early)
        assert read_head(sock) == GRANTED and sock.recv(100) == early
    assert seen == [ASK]


@pytest.mark.parametrize("status", [b"200 OK", b"426 Upgrade Required", b"404 Not Found"])
@pytest.mark.parametrize("together", [True, False], ids=["together", "later"])
def test_without_a_101_requests_go_on_being_judged(listed, status, together):
    listed.internet.http_answer = lambda asked: answered(head=b"HTTP/1.1 " + status)
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(ASK + (GOOD + EVIL if together else b""))
        read_answer(sock)
        if not together:
            sock.sendall(GOOD)
            read_answer(sock)
            sock.sendall(EVIL)
        read_end(sock)
    assert arrived(listed) == ASK + GOOD
    assert blocked(listed, "evil.test")["reason"] == "not-allowlisted"


@pytest.mark.parametrize("answer", [GRANTED, b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + GRANTED,
                                    b"HTTP/1.1 103 Early Hints\r\n\r\n" + answered(b"x"),
                                    b"HTTP/1.0 101 x\r\n\r\n", b"noise\r\n" + GRANTED, b"101"],
                         ids=lambda answer: answer[:12].hex())
def test_no_answer_of_the_server_stops_the_judging(listed, answer):
    listed.internet.http_answer = lambda asked: answer
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(GOOD)
        assert sock.recv(1)
        sock.sendall(EVIL)
        read_end(sock)
    assert arrived(listed) == GOOD
    assert blocked(listed, "evil.test")["reason"] == "not-allowlisted"


def test_a_101_to_the_second_request_opens_no_tunnel(listed):
    listed.internet.http_answer = lambda asked: GRANTED if asked.target == b"/chat" else answered()
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(GOOD + ASK)
        read_answer(sock)
        assert read_head(sock) == GRANTED
        sock.sendall(EVIL)
        read_end(sock)
    assert arrived(listed) == GOOD + ASK


# Large bodies, byte for byte

def random_chunks(body):
    return b"".join(b"%x\r\n%b\r\n" % (len(body[at:at + 40_000]), body[at:at + 40_000])
                    for at in range(0, len(body), 40_000)) + b"0\r\n\r\n"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_bodies_arrive_byte_for_byte_both_ways(listed, framing):
    body = os.urandom(LARGE)
    sent = post(b"Content-Length: %d" % LARGE, body=body) if framing == "length" else \
        chunked(random_chunks(body))
    answer = answered(body) if framing == "length" else \
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + random_chunks(body)

    class Answering(Silent):
        def eof_received(self):
            self.transport.write(answer)
    listed.internet.http = Answering
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        assert hashlib.sha256(read_end(sock)).digest() == hashlib.sha256(answer).digest()
    assert hashlib.sha256(listed.internet.received(ORIGIN)).digest() == \
        hashlib.sha256(sent).digest()


@pytest.mark.parametrize("options", [
    ["-T", "FILE"], ["-T", "FILE", "-H", "Expect: 100-continue"],
    ["-T", "FILE", "-H", "Transfer-Encoding: chunked"], ["--data-binary", "@FILE"],
    ["--data-binary", "@FILE", "-H", "Expect: 100-continue"], ["-0", "--data-binary", "@FILE"]],
    ids=" ".join)
def test_curl_uploads_and_downloads(listed, tmp_path, options):
    file = tmp_path / "body"
    file.write_bytes(os.urandom(1_000_000))
    listed.internet.http_answer = lambda asked: answered(hashlib.sha256(asked.body).hexdigest()
                                                         .encode())
    outcome = listed.client.curl(*(option.replace("FILE", str(file)) for option in options),
                                 "--resolve", f"allowed.test:80:{ORIGIN}", "http://allowed.test/up")
    assert outcome == "OK"
    assert outcome.body.decode() == hashlib.sha256(file.read_bytes()).hexdigest()


# Ends

class Closing(Http):
    """Answers a request and closes at once, without having been asked to."""
    def say(self, data):
        super().say(data)
        self.transport.close()


def test_what_a_client_sends_just_before_it_closes_arrives_whole(listed):
    listed.internet.http = listed.internet.tls = Silent
    body = os.urandom(400_000)
    tls = hello.Hello().wire() + b"".join(hello.record(body[at:at + 16000], hello.DATA)
                                          for at in range(0, len(body), 16000))
    for port, data in (80, post(b"Content-Length: 400000", body=body)), (443, tls):
        with listed.client.connect(ORIGIN, port) as sock:
            sock.sendall(data)
        listed.internet.wait(lambda port=port: [s for s in listed.internet.at(ORIGIN, port)
                                                if s.closed])
        assert listed.internet.received(ORIGIN, port) == data
        assert listed.internet.at(ORIGIN, port)[0].closed == "eof"


def test_what_a_server_sends_just_before_it_closes_arrives_whole(listed):
    body = os.urandom(400_000)
    listed.internet.http = Closing
    listed.internet.http_answer = lambda asked: answered(body)
    for count in range(5):
        with listed.client.connect(ORIGIN, 80) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(GOOD)
            listed.internet.wait(lambda count=count: len(listed.internet.requests()) > count)
            assert read_answer(sock) == (200, body) and sock.recv(1) == b""


def test_a_client_that_has_said_all_still_gets_its_answer(listed):
    body = os.urandom(400_000)
    listed.internet.http_answer = lambda asked: answered(body)
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(GOOD)
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(sock) == (200, body)
        assert sock.recv(1) == b""


def test_a_server_that_has_said_all_still_gets_the_rest(listed):
    class Early(Silent):
        def on_data(self, data):
            if self.transport.can_write_eof() and not self.transport.is_closing():
                self.transport.write(answered())
                self.transport.write_eof()
                self.on_data = lambda data: None
    listed.internet.http = Early
    body = os.urandom(400_000)
    sent = post(b"Content-Length: 400000", body=body)
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(sent[:100])
        assert read_answer(sock)[0] == 200 and sock.recv(1) == b""
        sock.sendall(sent[100:])
        sock.shutdown(socket.SHUT_WR)
    assert arrived(listed) == sent


def test_http10_ends_with_its_answer(listed):
    line = b"GET / HTTP/1.0"
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(request(line=line))
        assert read_end(sock).endswith(b"hello from allowed.test at 203.0.113.7\n")
    assert listed.client.curl("-0", "--resolve", f"allowed.test:80:{ORIGIN}",
                              "http://allowed.test/") == "OK"


# H18: time

def test_a_head_that_is_not_whole_in_time_is_cut_and_nothing_was_dialled(net):
    net.start(domains=["*"], env={"HELLO_TIMEOUT": "500ms"})
    socks = [net.client.connect(ORIGIN, 80) for _ in range(5)]
    for sock, length in zip(socks, (0, 1, 16, len(GOOD) - 2, len(GOOD) - 1)):
        sock.sendall(GOOD[:length])
    for sock in socks:
        with sock:
            assert read_end(sock) == b""
    net.ringfence.wait_event("http.blocked", reason="hello-timeout", count=len(socks))
    assert net.internet.arrived(ORIGIN) == 0


def test_a_later_head_must_come_in_time_too_but_may_begin_late(net):
    net.start(domains=["*"], env={"HELLO_TIMEOUT": "500ms"})
    with net.client.connect(ORIGIN, 80) as sock:
        sock.sendall(GOOD)
        read_answer(sock)
        with net.client.connect(ORIGIN, 80) as late:    # begun later: idle is no half head
            assert read_end(late) == b""
        sock.sendall(GOOD)
        assert read_answer(sock)[0] == 200
        sock.sendall(GOOD[:-1])
        assert read_end(sock) == b""
    net.ringfence.wait_event("http.blocked", reason="hello-timeout", count=2)
    assert arrived(net) == GOOD * 2


# H03, H16, H19, H20, H22: what is no request for a name

@pytest.mark.parametrize("data", [
    hello.Hello().wire(), b"SSH-2.0-x\r\n", b"EHLO allowed.test\r\n", request(None), request(b""),
    request(fields=[b"Host: allowed.test"]), b"GET /\r\n", request(line=b"PRI * HTTP/2.0"),
    request(line=b"CONNECT allowed.test:443 HTTP/1.1"), request(fields=[b"Upgrade: h2c"]),
    post(b"Content-Length: 1", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")],
    ids=lambda data: data[:14].hex())
def test_what_is_no_plain_request_is_cut_at_once(net, data):
    net.start(domains=["*"], env={"HELLO_TIMEOUT": "10m"})
    with net.client.connect(ORIGIN, 80) as sock:
        sock.sendall(data)
        assert read_end(sock) == b""
    assert net.ringfence.wait_event("http.blocked")["reason"] in ("malformed-request", "no-host")
    assert net.internet.arrived(ORIGIN) == 0


def test_an_address_as_host_needs_an_address_rule(net):
    net.start(domains=["*"])
    assert net.client.http(ORIGIN, to=ATTACKER) == "RESET"
    assert blocked(net, ORIGIN)["reason"] == "not-allowlisted"
    net.reload(ips=[ORIGIN])
    assert net.client.http(ORIGIN, to=ATTACKER).body.endswith(f"at {ORIGIN}\n".encode())
    assert net.client.http(ATTACKER, to=ATTACKER) == "RESET"
    assert net.internet.arrived(ATTACKER) == 0


def test_the_port_in_host_never_changes_where_we_go(listed):
    assert listed.client.http("allowed.test:8080", to=ORIGIN) == "OK"
    assert {session.port for session in listed.internet.at(ORIGIN)} == {80}


@pytest.mark.parametrize("host", [b"\x1b[2J.test", b"<script>.test", b'"},{"x":"y.test',
                                  b"\xff.test", b"\xe2\x80\xae.test"])
def test_what_a_host_must_not_hold_is_not_logged_raw(listed, host):
    with listed.client.connect(ORIGIN, 80) as sock:
        sock.sendall(request(host))
        read_end(sock)
    assert listed.ringfence.wait_event("http.blocked")["reason"] == "malformed-request"
    assert not set("\x1b\xff<\u202e") & set(listed.ringfence.log())
    assert listed.internet.arrived() == 0


# BLOCK_ACTION=explain

def test_a_refusal_can_be_a_403_that_names_the_host(net):
    net.start(domains=["allowed.test"], env={"BLOCK_ACTION": "explain"})
    outcome = net.client.curl("--resolve", f"evil.test:80:{ATTACKER}", "http://evil.test/")
    assert outcome == "403" and b"evil.test" in outcome.body
    for bad in request(None), EVIL + GOOD * 3000, post(b"Content-Length: 9", host=b"evil.test"):
        with net.client.connect(ATTACKER, 80) as sock:
            sock.sendall(bad)
            assert read_end(sock).startswith(b"HTTP/1.1 403 ")
    assert net.client.http("allowed.test") == "OK"
    assert net.internet.arrived(ATTACKER) == 0


def test_the_403_does_not_repeat_markup(net):
    net.start(domains=["allowed.test"], env={"BLOCK_ACTION": "explain"})
    with net.client.connect(ATTACKER, 80) as sock:
        sock.sendall(request(b"<script>alert(1)</script>"))
        answer = read_end(sock)
    assert answer.startswith(b"HTTP/1.1 403 ") and b"<script>" not in answer
