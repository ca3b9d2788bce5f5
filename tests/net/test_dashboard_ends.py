"""test_dashboard_ends.py - the ends of connections, as agents of ours ship them: a row gets its
bytes and its duration, whoever reads or sends without them sees no difference."""
import pytest

from dashboard import KEY, Dashboard, event


@pytest.fixture(params=["events.db", ""], ids=["file", "memory"])
def start(tmp_path, request):
    running = []

    def start(**env):
        db = tmp_path / request.param if request.param else ""
        running.append(Dashboard(db, env))
        return running[-1]
    yield start
    for dashboard in running:
        if not dashboard.end_expected:
            dashboard.finish()


def allowed(conn=7, name="a.example", **more):
    return event(name, "ALLOWED", conn=conn, reason="", **more)


def end(conn=7, **more):
    closed = event("a.example", "", conn=conn, reason="done", bytes_up=700, bytes_down=9000,
                   duration_ms=42, **more)
    del closed["action"]
    return {**closed, "msg": "https.closed"}


def post(dashboard, *items):
    answer = dashboard.ask("POST", "/api/v1/logs", list(items))
    assert answer.status == 201, answer
    return answer.json()


def bytes_of(dashboard, id):
    fields = dashboard.api(f"/logs/{id}")["fields"]
    return fields.get("bytes_up"), fields.get("bytes_down"), fields.get("duration_ms")


def test_every_response_says_what_it_is(start):
    dashboard = start()
    for method, path, key in [
            ("GET", "/health", None), ("GET", "/", None), ("GET", "/nothing", KEY),
            ("GET", "/api/v1/logs", KEY), ("GET", "/api/v1/logs", "wrong"),
            ("PUT", "/api/v1/logs", KEY), ("POST", "/api/v1/logs", KEY)]:
        server = dashboard.ask(method, path, key=key).headers["Server"]
        assert server == "ringfence", (method, path)    # no version: it is told to strangers
    stream = dashboard.stream()
    assert stream.response.headers["Server"] == "ringfence"
    stream.close()


def test_an_end_in_the_same_batch_or_a_later_one_completes_its_row(start):
    dashboard = start()
    answer = post(dashboard, allowed(1), end(1), allowed(2))
    assert answer["created"] == 2 and answer["completed"] == 1 and answer["ignored"] == 0
    one, two = [result["id"] for result in answer["results"]]
    assert bytes_of(dashboard, one) == (700, 9000, 42)
    assert bytes_of(dashboard, two) == (None, None, None)
    assert post(dashboard, end(2)) == {"created": 0, "results": [], "completed": 1, "ignored": 0}
    assert bytes_of(dashboard, two) == (700, 9000, 42)
    sums = dashboard.api("/aggregates?range=all")
    assert sum(bucket["bytes"] for bucket in sums["buckets"]) == 2 * 9700
    assert {bucket["p99_ms"] for bucket in sums["buckets"]} == {0, 42}
    assert sums["rows"][0]["bytes"] == 2 * 9700 and sums["events"] == 2


def test_an_end_never_becomes_a_row(start):
    dashboard = start()
    post(dashboard, allowed(1), event("blocked.example", conn=3))
    ignored = post(dashboard, end(2), end(1, hostname="host-2"), end(1, flow_id="0"), end(3),
                   {**end(1), "msg": "closed"})
    assert ignored == {"created": 0, "results": [], "completed": 0, "ignored": 4}
    assert post(dashboard, end(1))["completed"] == 1
    assert post(dashboard, end(1))["ignored"] == 1              # sent once more
    assert len(dashboard.api("/logs")) == 2
    assert dashboard.api("/aggregates?range=all")["rows"][0]["bytes"] in (0, 9700)


def test_of_a_restarted_agents_connections_the_newest_is_meant(start):
    dashboard = start()
    before, after = dashboard.ship(allowed(1)), dashboard.ship(allowed(1))
    post(dashboard, end(1))
    assert bytes_of(dashboard, before[0]) == (None, None, None)
    assert bytes_of(dashboard, after[0]) == (700, 9000, 42)


def test_an_end_finds_its_row_also_when_the_dashboard_was_restarted(start, request):
    if "memory" in request.node.name:
        pytest.skip("keeps nothing")
    dashboard = start()
    row = dashboard.ship(allowed(1))[0]
    dashboard.stop()
    again = start()
    assert post(again, end(1))["completed"] == 1
    assert bytes_of(again, row) == (700, 9000, 42)


def test_streams_are_told_of_the_completed_row_without_an_id(start):
    dashboard = start()
    stream = dashboard.stream()
    row = dashboard.ship(allowed(1))[0]
    assert stream.next()[0] == row
    post(dashboard, end(1))
    number, message = stream.next()
    assert number is None and message["type"] == "completed"    # others pass over such a type
    assert message["entry"] == dashboard.api(f"/logs/{row}")
    assert message["entry"]["fields"]["duration_ms"] == 42
    following = dashboard.ship(allowed(2), end(2))[0]
    number, entry = stream.next()
    assert number == following and entry["fields"]["bytes_down"] == 9000
    stream.close()
    behind = dashboard.stream(f"?since_id={row}")
    assert behind.next()[0] == following
    behind.close()


def test_who_sends_no_ends_gets_the_answer_that_it_knows(start):
    dashboard = start()
    answer = post(dashboard, event(), {"msg": "config.loaded"}, {"msg": "https.closed"})
    assert answer == {"created": 1, "results": [{"id": 1, "status": "ok"}]}
