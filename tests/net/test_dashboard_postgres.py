"""test_dashboard_postgres.py - several dashboards on one PostgreSQL, which these tests start."""
import contextlib
import os
import shutil
import subprocess
import tempfile

import pytest

from dashboard import Dashboard, event, postgres_tools
from ringfence import until
from sums import check_orders


class Postgres:
    """A server of its own, as the user postgres, on a socket in a temporary folder."""

    def __init__(self, tools):
        self.tools = tools
        self.folder = tempfile.mkdtemp(prefix="ringfence-pg-", dir="/tmp")
        shutil.chown(self.folder, "postgres")
        self.data = os.path.join(self.folder, "data")
        self.run("initdb", "-A", "trust", "--no-sync", "-D", self.data)
        self.start()

    def run(self, tool, *args):
        subprocess.run(["runuser", "-u", "postgres", "--", os.path.join(self.tools, tool), *args],
                       check=True, capture_output=True, cwd=self.folder)

    def start(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-l", os.path.join(self.folder, "log"), "-o",
                 f"-k {self.folder} -h '' -c fsync=off", "start")

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def database(self, name):
        self.run("createdb", "-h", self.folder, name)
        return f"postgres:///{name}?host={self.folder}&user=postgres"

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def postgres():
    tools = postgres_tools()
    if not tools or os.geteuid() != 0:
        pytest.skip("needs root and Debian's postgresql")
    server = Postgres(tools)
    yield server
    server.close()


@pytest.fixture
def start(postgres, request):
    url = postgres.database("d" + str(abs(hash(request.node.name)) % 10**9))
    running = []

    def start(**env):
        running.append(Dashboard("", {"EPHEMERAL": "", "DATABASE_URL": url, **env}))
        return running[-1]
    start.url = url
    yield start
    for dashboard in running:
        dashboard.finish()


def test_two_dashboards_show_one_stream(start):
    one, two = start(), start()
    with contextlib.closing(one.stream()) as first, contextlib.closing(two.stream()) as second:
        ids = []
        for number in range(20):
            ids += (one, two)[number % 2].ship(*(event(f"n{number}.example") for _ in range(10)))
        assert sorted(ids) == ids                       # given out by the store
        for stream in first, second:
            assert [stream.next()[0] for _ in ids] == ids
        two.ask("POST", "/api/v1/unblocks", {"type": "ip", "value": "192.0.2.7"})
        for stream in first, second:
            assert stream.next() == (None, {"type": "unblock_status"})
        one.ask("DELETE", "/api/v1/logs")
        for stream in first, second:
            assert stream.next() == (None, {"type": "cleared"})
    assert two.get("/api/v1/logs").text == "[]\n"
    assert two.ship(event())[0] == ids[-1] + 1


def test_a_reader_resumes_at_another_dashboard(start):
    one = start()
    ids = one.ship(*(event(f"n{number}.example") for number in range(300)))
    with contextlib.closing(start().stream(last_event_id=str(ids[4]))) as stream:
        assert [stream.next()[0] for _ in range(295)] == ids[5:]


def test_a_login_and_a_key_are_good_at_all_of_them(start):
    one = start()
    password = one.password()
    two = start()
    assert not two.events("dashboard.bootstrap_admin")
    login = one.ask("POST", "/api/v1/auth/login", {"username": "admin", "password": password},
                    key=None)
    cookie = login.headers["Set-Cookie"].partition(";")[0]
    until(lambda: two.get("/api/v1/logs", key=None, cookie=cookie).status == 200, "the session")
    key = two.ask("POST", "/api/v1/apikeys", {"label": "x", "scope": "read"}).json()
    until(lambda: one.get("/api/v1/logs", key=key["key"]).status == 200, "the key")
    two.ask("DELETE", "/api/v1/apikeys/" + key["api_key"]["id"])
    until(lambda: one.get("/api/v1/logs", key=key["key"]).status != 200, "the key to go")
    one.ask("POST", "/api/v1/auth/logout", key=None, cookie=cookie)
    until(lambda: two.get("/api/v1/logs", key=None, cookie=cookie).status == 401, "the logout")


def test_an_agent_waits_at_one_and_is_answered_by_another(start):
    one, two = start(), start()
    connection = one.connect()
    connection.request("POST", "/api/v1/sync?wait=30", '{"hostname":"a"}', {
        "X-Api-Key": "a-key-of-the-tests-0123456789abcdef", "Content-Type": "application/json"})
    two.ask("POST", "/api/v1/unblocks", {"type": "domain", "value": "x.example"})
    assert b"x.example" in connection.getresponse().read()
    connection.close()


def test_search_aggregates_and_retention_are_the_same(start):
    dashboard = start(LOG_RETENTION="100")
    for turn in range(4):
        dashboard.ship(*(event(f"n{number}.example", note="quote \" back \\ {brace}, '",
                               bytes_up=5, time=None) for number in range(60)))
    until(lambda: dashboard.api("/logs/browse?limit=1")["total"] == 100, "the oldest to go")
    found = dashboard.api("/logs?q=N7.EXAMPLE")
    assert len(found) in (1, 2) and found[0]["fields"]["note"] == "quote \" back \\ {brace}, '"
    assert dashboard.api("/logs?q=n7%25") == []
    all_terms = "&action=BLOCKED&component=https&hostname=host-1&name=n7.example&since_id=1" \
        "&before_id=999&from=2026-01-01T00:00:00Z&to=2100-01-01T00:00:00Z&limit=1"
    assert dashboard.api("/logs?q=" + "+".join(["n7", "e"] * 8) + all_terms) == found[:1]
    assert dashboard.get("/api/v1/logs?q=" + "+".join("n7example" * 2)).status == 400
    sums = dashboard.api("/aggregates?range=1h")
    assert sums["totals"]["blocked"] == 100 and sum(row["bytes"] for row in sums["rows"]) == 500
    assert dashboard.get("/api/v1/logs?q=x%00y").json() == []
    assert dashboard.get("/api/v1/logs?q=%ff%fe").json() == []


def test_rows_come_in_the_order_that_was_asked_for(start):
    check_orders(start())


def test_no_number_makes_a_sum_impossible_and_undo_reaches_all(start):
    dashboard = start()
    dashboard.ship(*(event("huge.example", "ALLOWED", bytes_up=2**63 - 1, bytes_down=5, time=None)
                     for _ in range(3)))
    sums = dashboard.api("/aggregates?range=1h&q=huge.example")
    assert sums["rows"][0]["bytes"] == sums["buckets"][-1]["bytes"] == 3 * (2**44 + 5)
    for name in "a", "b":
        assert dashboard.ask("POST", "/api/v1/sync", {"hostname": name}).status == 200

    def unblock(**terms):
        return dashboard.ask("POST", "/api/v1/unblocks", {"type": "ip", "value": "192.0.2.9",
                                                          **terms}).json()["id"]
    number = unblock()
    assert unblock() == number and unblock(expires_in=60) != number
    dashboard.ask("POST", "/api/v1/unblocks/ack", {"id": number, "hostname": "a"})
    undo = dashboard.ask("DELETE", f"/api/v1/unblocks/{number}").json()["id"]
    pending = dashboard.api("/unblocks?hostname=a&features=1")["pending"]
    assert [item["id"] for item in pending if item.get("undoes") == number] == [undo]


def test_an_end_that_one_takes_completes_the_row_of_another(start):
    one, two = start(), start()
    row = event("a.example", "ALLOWED", conn=7)
    end = {**row, "msg": "https.closed", "bytes_up": 700, "bytes_down": 9000, "duration_ms": 42}
    del end["action"]
    with contextlib.closing(one.stream()) as first, contextlib.closing(two.stream()) as second:
        ids = one.ship(row, row, {**row, "conn": 8})
        for stream in first, second:
            assert [stream.next()[0] for _ in ids] == ids
        answer = two.ask("POST", "/api/v1/logs", [end, end, {**end, "conn": 9}]).json()
        assert answer == {"created": 0, "results": [], "completed": 1, "ignored": 2}
        for stream in first, second:
            number, message = stream.next()
            assert (number, message["type"], message["entry"]["id"]) == (None, "completed", ids[1])
            assert message["entry"]["fields"]["bytes_down"] == 9000
        one.ask("POST", "/api/v1/logs", [{**row, "conn": 10}, {**end, "conn": 10}])
        for stream in first, second:
            assert stream.next()[1]["fields"]["duration_ms"] == 42
        one.ask("POST", "/api/v1/logs", [{**end, "conn": 8}])
        for stream in first, second:
            assert stream.next()[1]["entry"]["id"] == ids[2]
    sums = two.api("/aggregates?range=all")
    assert sums["rows"][0]["bytes"] == 3 * 9700 and sums["events"] == 4


def test_a_server_that_goes_away_is_said_and_found_again(start, postgres):
    dashboard = start()
    before = dashboard.ship(event())
    postgres.stop()
    answer = dashboard.ask("POST", "/api/v1/logs", [event()])
    assert (answer.status, answer.text) == (500, '{"error":"store error"}\n')
    assert "PostgreSQL" in dashboard.wait_event("store.error")["err"]
    assert dashboard.get("/health").status == 200
    postgres.start()
    until(lambda: dashboard.ask("POST", "/api/v1/logs", [event()]).status == 201, "the server")
    with contextlib.closing(dashboard.stream(f"?since_id={before[0]}")) as stream:
        assert stream.next()[0] == before[0] + 1
