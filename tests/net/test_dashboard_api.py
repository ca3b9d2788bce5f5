"""test_dashboard_api.py - the dashboard's HTTP API: generation B's shapes to the byte, and more."""
import gzip
import json

import pytest

from dashboard import Dashboard, event
from ringfence import sanitized
from sums import check_orders

TOO_LONG = "more than a MiB"
UNAUTHORIZED = '{"error":"unauthorized"}\n'


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    dashboard = Dashboard(tmp_path_factory.mktemp("api") / "events.db")
    dashboard.started = [dashboard]
    yield dashboard
    dashboard.finish()


@pytest.fixture(autouse=True)
def empty(net):
    assert net.ask("DELETE", "/api/v1/logs").text == '{"status":"ok"}\n'


def test_health_is_open_and_tells_no_version(net):
    answer = net.get("/health", key=None)
    assert answer.text == '{"service":"g0efilter-dashboard","status":"ok"}\n'
    assert answer.headers["Content-Type"] == "application/json"


def test_every_answer_has_the_headers_that_keep_pages_inert(net):
    for path in "/", "/health", "/api/v1/logs", "/nothing":
        headers = net.get(path, key=None).headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"


def test_an_event_comes_back_as_generation_b_has_it(net):
    number, = net.ship(event(action="blocked", note="", https="a<b>.example"))
    line = net.get("/api/v1/logs").text
    remote = json.loads(line)[0]["remote_ip"]
    assert line == (
        '[{"id":%d,"time":"2026-07-05T00:25:09.123456789Z","msg":"https.blocked","fields":{'
        '"action":"BLOCKED","component":"https","destination_ip":"192.0.2.7",'
        '"destination_port":443,"dst":"192.0.2.7:443","flow_id":"9d1c6e0c1b7f3a52",'
        '"hostname":"host-1","https":"a\\u003cb\\u003e.example","protocol":"TCP",'
        '"reason":"not-allowlisted","source_ip":"172.18.0.2","source_port":51822,'
        '"version":"0.6.0"},"remote_ip":"%s","action":"BLOCKED","source_ip":"172.18.0.2",'
        '"source_port":51822,"destination_ip":"192.0.2.7","destination_port":443,'
        '"protocol":"TCP","https":"a\\u003cb\\u003e.example","flow_id":"9d1c6e0c1b7f3a52",'
        '"hostname":"host-1","dst":"192.0.2.7:443","version":"0.6.0"}]\n' % (number, remote))
    assert remote.startswith("127.0.0.1:")


def test_posts_are_counted_and_what_is_no_decision_is_left_out(net):
    answer = net.ask("POST", "/api/v1/logs", {"msg": "_dashboard_probe", "action": "BLOCKED"})
    assert (answer.status, answer.text) == (201, '{"created":0,"results":[]}\n')
    answer = net.ask("POST", "/api/v1/logs", [event(), {"msg": "x", "action": "REDIRECTED"}])
    number = net.api("/logs")[0]["id"]
    assert answer.text == '{"created":1,"results":[{"id":%d,"status":"ok"}]}\n' % number


@pytest.mark.parametrize("body,kind,status,text", [
    (b"{}", "text/plain", 415, ""),
    (b"{", "application/json", 400, '{"error":"invalid json"}\n'),
    (b"", "application/json", 400, '{"error":"invalid json"}\n'),
    (b"7", "application/json", 400, '{"error":"invalid json"}\n'),
    (b"[1]", "application/json", 400, '{"error":"invalid json"}\n'),
    (b"[]", "application/json", 400, '{"error":"empty payload"}\n'),
    (TOO_LONG, "application/json", 400, '{"error":"failed to read body"}\n'),
], ids=str)
def test_a_bad_post_is_told_so_in_generation_bs_words(net, body, kind, status, text):
    body = b"[" + b" " * (1 << 20) + b"]" if body == TOO_LONG else body
    answer = net.ask("POST", "/api/v1/logs", body, content_type=kind)
    assert (answer.status, answer.text) == (status, text)
    if status == 400:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert net.ask("POST", "/api/v1/logs", body, key=None).text == UNAUTHORIZED


def test_a_few_packed_bytes_do_not_become_much_memory(net):
    packed = gzip.compress(b"[" + b"{}," * 2_500_000 + b"{}]")
    answer = net.ask("POST", "/api/v1/logs", packed, content_encoding="gzip",
                     content_type="application/json")
    assert answer.status == 413 and "at most 10000" in answer.text
    with open(f"/proc/{net.process.pid}/status") as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    assert sanitized() or peak < 200_000                # KiB


def test_batches_come_packed_or_as_lines(net):
    lines = "\n".join(json.dumps(event(f"n{number}.example")) for number in range(3)).encode()
    answer = net.ask("POST", "/api/v1/logs", gzip.compress(lines), content_encoding="gzip",
                     content_type="application/x-ndjson")
    assert answer.json()["created"] == 3
    bomb = gzip.compress(b"[" + b" " * (9 << 20) + b"]")
    answer = net.ask("POST", "/api/v1/logs", bomb, content_encoding="gzip",
                     content_type="application/json")
    assert (answer.status, answer.text) == (400, '{"error":"failed to read body"}\n')
    answer = net.ask("POST", "/api/v1/logs", bomb[:100], content_encoding="gzip",
                     content_type="application/json")
    assert answer.status == 400


def test_nothing_that_an_agent_says_is_dropped(net):
    more = {"rule": "*.example", "dialled": "192.0.2.7:443", "detail": {"a": [1, 2.5, None]},
            "note": "n", "rcode": "NOERROR", "bytes_up": 10, "bytes_down": 20, "duration_ms": 7,
            "pid": 9, "process_name": "curl", "cmdline": "curl -s", "answers": ["192.0.2.7"]}
    number, = net.ship({**event(), **more, "fields": {"extra": "kept", "reason": "overruled"}})
    fields = net.api(f"/logs/{number}")["fields"]
    assert {name: fields[name] for name in more} == more
    assert fields["extra"] == "kept" and fields["reason"] == "not-allowlisted"
    assert net.get("/api/v1/logs/999999999").text == '{"error":"event not found"}\n'


def test_events_are_listed_newest_first_between_ids_and_by_their_terms(net):
    ids = net.ship(*(event(f"n{number}.example", "ALLOWED" if number % 2 else "BLOCKED",
                           hostname=f"host-{number % 3}") for number in range(9)))

    def listed(query):
        return [entry["id"] for entry in net.api("/logs?" + query)]
    assert listed("") == ids[::-1]
    assert listed("limit=2") == ids[:-3:-1]
    assert listed(f"since_id={ids[6]}") == [ids[8], ids[7]]
    assert listed(f"before_id={ids[2]}") == [ids[1], ids[0]]
    assert listed("action=ALLOWED") == ids[7::-2]
    assert listed("hostname=host-1") == [ids[7], ids[4], ids[1]]
    assert listed("name=n4.example") == [ids[4]]
    assert listed("component=dns") == []
    assert listed("from=2026-07-05T00:25:10Z") == []
    assert listed("to=2026-07-05T00:25:10Z&limit=1") == [ids[8]]
    assert net.get("/api/v1/logs?from=yesterday").status == 400


def test_a_search_finds_substrings_in_any_case_and_nothing_else(net):
    ids = net.ship(event("Login.Example"), event("other.test", destination_ip="198.51.100.44"),
                   event("100%.test", source_ip="2001:db8::77", flow_id="feedc0ffee"))

    def found(query):
        return [entry["id"] for entry in net.api("/logs?q=" + query)]
    assert found("login.ex") == [ids[0]] and found("LOGIN") == [ids[0]]
    assert found("51.100.44") == [ids[1]]
    assert found("host-1") == ids[::-1]
    assert found("not-allow") == ids[::-1]
    assert found("test+2001:db8") == [ids[2]]       # both words
    assert found("%22https.blocked%22+other") == [ids[1]]
    assert found("gi") == [ids[0]]
    assert found("0%25.t") == [ids[2]]              # no wildcards of our own
    assert found("c0ffee") == [ids[2]]              # what only the event itself has
    for nothing in "%3Cscript", "nowhere", "%27+OR+1%3D1", "x%00y", "%ff%fe":
        assert found(nothing) == []
    assert net.get("/api/v1/logs?q=" + "x" * 201).status == 400
    words = "+".join(["login", "x"] * 8)            # the last one counts, or is refused
    assert found(words) == found(words + "+%22%22") == [ids[0]] and found(words[:-1] + "moon") == []
    answer = net.get("/api/v1/logs?q=" + words + "+x")
    assert (answer.status, answer.json()["error"]) == (400, "q has too many words: at most 16")


def test_browse_pages_and_counts(net):
    ids = net.ship(*(event(f"n{number}.example") for number in range(7)))
    page = net.api("/logs/browse?q=example&limit=3&offset=3&range=all")
    assert page["total"] == 7 and [row["id"] for row in page["rows"]] == ids[3:0:-1]
    assert net.api("/logs/browse?range=15m")["total"] == 0      # they are of July
    assert net.get("/api/v1/logs/browse?range=1y").status == 400


def test_aggregates_sum_up(net):
    now = {"time": None}
    net.ship(*(event("a.example", "ALLOWED", bytes_up=1, bytes_down=9, duration_ms=number, **now)
               for number in range(100)))
    net.ship(event("b.example", **now), event("b.example", "AUDIT", **now))
    sums = net.api("/aggregates?range=1h")
    assert sums["events"] == 102 and len(sums["buckets"]) == 24
    assert sums["totals"] == {"allowed": 100, "blocked": 1, "audit": 1}
    last = sums["buckets"][-1]
    assert (last["allowed"], last["bytes"], last["p50_ms"], last["p99_ms"]) == (100, 1000, 49, 98)
    assert [(row["key"], row["total"], row["bytes"]) for row in sums["rows"]] == [
        ("a.example", 100, 1000), ("b.example", 2, 0)]
    clients = net.api("/aggregates?range=1h&dimension=client&q=b.example")
    assert [(row["key"], row["blocked"]) for row in clients["rows"]] == [("host-1", 1)]
    assert net.get("/api/v1/aggregates?dimension=moon").status == 400


def test_rows_come_in_the_order_that_was_asked_for_and_say_when_there_are_more(net):
    check_orders(net)
    parameters = {one["name"]: one["schema"].get("enum") for one in
                  net.api("/openapi.json")["paths"]["/api/v1/aggregates"]["get"]["parameters"]}
    words = parameters["order"]
    for word in words:
        for direction in parameters["direction"]:
            assert net.api(f"/aggregates?order={word}&direction={direction}")["rows"]
    for wrong in "moon", "TOTAL", "total,bytes", "1;--", "%00":
        answer = net.get(f"/api/v1/aggregates?order={wrong}")
        assert (answer.status, answer.json()["error"]) == (
            400, "order must be one of " + ", ".join(words))
    answer = net.get("/api/v1/aggregates?direction=up")
    assert (answer.status, answer.json()["error"]) == (
        400, "direction must be one of " + ", ".join(parameters["direction"]))


def test_no_number_of_an_agent_makes_a_sum_impossible(net):
    largest = 2**63 - 1
    ids = net.ship(*(event("huge.example", "ALLOWED", bytes_up=number, bytes_down=number,
                           duration_ms=number, time=None)
                     for number in (largest, largest, -largest - 1, 1e18, 5)))
    sums = net.api("/aggregates?range=1h&q=huge.example")
    assert sums["rows"][0]["bytes"] == sums["buckets"][-1]["bytes"] == 3 * 2**45 + 10
    assert net.api(f"/logs/{ids[0]}")["fields"]["bytes_up"] == largest  # as it was said


def test_clearing_removes_all_but_ids_go_on(net):
    before, = net.ship(event())
    net.ask("DELETE", "/api/v1/logs")
    assert net.get("/api/v1/logs").text == "[]\n"
    assert net.ship(event()) == [before + 1]
    assert [entry["id"] for entry in net.api("/logs?q=evil")] == [before + 1]


def test_a_wrong_method_or_path_is_told(net):
    answer = net.ask("PUT", "/api/v1/logs")
    assert (answer.status, answer.headers["Allow"]) == (405, "POST, GET, DELETE")
    assert net.ask("GET", "/api/v1/unblocks/ack").headers["Allow"] == "POST"
    for method, path in ("GET", "/nothing"), ("POST", "/"), ("POST", "/health"), \
            ("GET", "/api/v1/nothing"), ("GET", "/../etc/passwd"), ("GET", "/%2e%2e/x"):
        answer = net.ask(method, path)
        assert (answer.status, answer.text) == (404, "404 page not found\n")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_config_tells_what_the_page_needs(net):
    config = net.get("/api/v1/config")
    assert config.text.startswith('{"auth_mode":"session","buffer_size":5000,"fleet_enabled":true,'
                                  '"read_limit":5000,"version":"')


def test_the_description_has_every_route(net):
    described = net.api("/openapi.json")
    assert described["openapi"].startswith("3.")
    for path, methods in described["paths"].items():
        for method in methods:
            answer = net.ask(method.upper(), path.replace("{id}", "0"), key=None)
            assert answer.status != 405 and answer.text != "404 page not found\n", (method, path)


def test_the_page_comes_packed_or_not_and_is_not_fetched_twice(net):
    page = net.get("/", key=None)
    assert page.status == 200 and b"<html" in page.body
    packed = net.get("/", key=None, accept_encoding="gzip")
    assert gzip.decompress(packed.body) == page.body
    again = net.get("/", key=None, if_none_match=page.headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert net.get("/index.html", key=None).headers["Location"] == "/"
