"""test_dashboard_bytes.py - bytes that no browser sends: nothing crashes, nothing gets out, one
event stays one event.  Rows W10 to W12."""
import contextlib
import json
import os
import re
import socket

import pytest

import vectors_http
from dashboard import KEY, Dashboard, event
from ringfence import PATIENCE, ROOT, sanitized

FOLDER = os.environ.get("RINGFENCE_CORPUS", os.path.join(ROOT, "..", "shared", "corpus"))
GROWTH_KIB = 16 << 10


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    dashboard = Dashboard(tmp_path_factory.mktemp("bytes") / "events.db")
    dashboard.started = [dashboard]
    dashboard.ship(event("secret.example"))
    yield dashboard
    dashboard.finish()


def is_whole(answer, data):
    head, mark, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\nContent-Length: (\d+)", head)
    return mark and (data.startswith(b"HEAD ") or length and len(body) >= int(length[1]))


def send(net, data):
    """What comes back first; a connection that is cut, or waits for more, is an answer too."""
    answer = b""
    with socket.create_connection(("127.0.0.1", net.port)) as conn, \
            contextlib.suppress(OSError):
        conn.settimeout(0.5)
        conn.sendall(data)
        while not is_whole(answer, data) and (piece := conn.recv(65536)):
            answer += piece
    return answer


def corpus():
    found = []
    for name in "http.jsonl", "http_attacks.jsonl", "tls_attacks.jsonl":
        with contextlib.suppress(FileNotFoundError), open(os.path.join(FOLDER, name)) as file:
            found += [bytes.fromhex(json.loads(line)["hex"]) for line in file]
    return found


def test_no_request_of_the_collections_crashes_it_or_reads_anything(net, capsys):
    vectors = [vector.data for vector in vectors_http.vectors()] + corpus()
    before = net.memory_kib()
    for data in vectors:
        assert b"secret.example" not in send(net, data)
        with socket.create_connection(("127.0.0.1", net.port)) as conn:
            with contextlib.suppress(OSError):
                conn.sendall(data[:len(data) // 2])     # and gone
    assert net.get("/health").status == 200
    if not sanitized():
        assert net.memory_kib() - before < GROWTH_KIB
    with capsys.disabled():
        print(f"\n{len(vectors)} requests against the dashboard's port")


@pytest.mark.parametrize("path", [
    "/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "//etc/passwd",
    "/index.html%00.js", "/api/v1/logs/..%2f..%2f", "/api/v1/logs/%00", "/" + "a" * 20000,
    "/api/v1/logs/" + "9" * 300, "/api/v1/unblocks/" + "%27" * 20,
])
def test_odd_paths_find_nothing(net, path):
    for key in b"", b"X-Api-Key: " + KEY.encode() + b"\r\n":
        answer = send(net, b"GET %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n"
                      % (path.encode(), key))
        status = answer.split(b" ")[1:2]
        assert not status or status[0] in b"400 401 404 405 413 414 431".split(), answer
        assert b"root:" not in answer


def test_ten_thousand_headers_are_refused(net):
    head = b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"".join(
        b"x-%d: y\r\n" % number for number in range(10000)) + b"\r\n"
    assert b"200 OK" not in send(net, head).split(b"\r\n")[0]
    assert net.get("/health").status == 200


def test_a_head_that_never_ends_is_cut_after_ten_seconds(net):
    with socket.create_connection(("127.0.0.1", net.port), timeout=PATIENCE) as dripping, \
            socket.create_connection(("127.0.0.1", net.port), timeout=PATIENCE) as ended:
        ended.sendall(b"GET / HTTP/1.1\r\n")
        ended.shutdown(socket.SHUT_WR)
        dripping.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert ended.recv(100) == dripping.recv(100) == b""


def test_many_connections_that_say_nothing_cost_little(net):
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_connection(("127.0.0.1", net.port)))
        assert net.get("/health").status == 200


NASTY = {
    "newline": "a\nid: 999\ndata: {}\n\nb", "return": "a\rb", "separators": "a\u2028b\u2029c",
    "quotes": "\"},{\"id\":1", "markup": "<img src=x onerror=alert(1)>", "nul": "a\0b",
    "escape": "\x1b[2J\x1b]0;x\x07", "formula": "=cmd|'/c calc'!A0", "emoji": "\U0001f600",
}


@pytest.mark.parametrize("name", NASTY)
def test_text_stays_text(net, name):
    text = NASTY[name]
    with contextlib.closing(net.stream()) as stream:
        number, = net.ship(event(text, reason=text, hostname=text, msg=text))
        seen, entry = stream.next()
    assert seen == number and entry == net.api(f"/logs/{number}")
    assert entry["msg"] == text and entry["fields"]["reason"] == text
    plain = text.isascii() and text.isprintable() and ".." not in text
    assert entry["https"] == (text if plain else "[invalid]")
    raw = net.get(f"/api/v1/logs/{number}").body
    for byte in b"<>&\0\x1b":
        assert byte not in raw
    assert b"\xe2\x80\xa8" not in raw and raw.count(b"\n") == 1
    assert all("\x1b" not in line for line in net.log().splitlines())


def test_bytes_that_are_no_utf8_are_replaced_not_refused(net):
    body = json.dumps(event(reason="MARK")).encode().replace(b"MARK", b"a\xff\xc3b\xed\xa0\x80")
    answer = net.ask("POST", "/api/v1/logs", body, content_type="application/json")
    assert answer.status == 201
    entry = net.api(f"/logs/{answer.json()['results'][0]['id']}")
    assert entry["fields"]["reason"] == "a\ufffd\ufffdb\ufffd\ufffd\ufffd"


@pytest.mark.parametrize("body", [
    b"[" * 100000, b'{"a":' * 5000, b'{"msg":"x","action":"BLOCKED","source_port":1e999}',
    b'{"msg":"x","action":"BLOCKED","n":123456789012345678901234567890}',
    b'{"msg":"\\ud800","action":"BLOCKED"}', b'{"msg":"x","action":"BLOCKED"', b"\0", b"\xff\xfe",
], ids=repr)
def test_json_at_its_edges_is_refused_whole(net, body):
    answer = net.ask("POST", "/api/v1/logs", body, content_type="application/json")
    assert (answer.status, answer.text) == (400, '{"error":"invalid json"}\n')
