"""test_dashboard_store.py - what the dashboard keeps: over kills, full and broken stores."""
import concurrent.futures
import gzip
import json
import os
import sqlite3
import subprocess
import threading
import time

import pytest

from dashboard import KEY, Dashboard, event
from ringfence import binary, until


@pytest.fixture
def start(tmp_path):
    running = []

    def start(db="events.db", **env):
        running.append(Dashboard(tmp_path / db if db else "", env))
        return running[-1]
    yield start
    for dashboard in running:
        if not dashboard.end_expected or dashboard.process.poll() is None:
            dashboard.finish()


def test_what_was_answered_survives_a_kill(start):
    dashboard = start()
    answered, ended = [], threading.Event()

    def ship():
        try:
            while not ended.is_set():
                answered.extend(dashboard.ship(*(event(f"n{number}.example")
                                                 for number in range(50))))
        except (OSError, AssertionError, ValueError, ConnectionError):
            pass                                        # it was killed in the middle of one
    shipper = threading.Thread(target=ship)
    shipper.start()
    until(lambda: len(answered) > 500, "some events")
    dashboard.kill()
    ended.set()
    shipper.join()
    again = start()
    kept = {entry["id"] for entry in again.api("/logs?limit=5000")} if len(answered) < 5000 else \
        {entry["id"] for entry in again.api("/logs?limit=5000&before_id=5000")}
    assert set(answered) & set(range(5000)) <= kept
    assert again.ship(event())[0] > max(answered)


def test_sigterm_answers_what_came_in(start):
    dashboard = start()
    connection = dashboard.connect()
    connection.request("POST", "/api/v1/logs", json.dumps([event()] * 1000),
                       {"X-Api-Key": KEY, "Content-Type": "application/json"})
    until(lambda: dashboard.get("/health").status == 200, "the server's turn")
    dashboard.stop()
    assert json.loads(connection.getresponse().read())["created"] == 1000
    connection.close()
    assert start().api("/logs/browse")["total"] == 1000


def test_the_oldest_events_go(start):
    dashboard = start(LOG_RETENTION="100")
    ids = []
    for _ in range(6):
        ids += dashboard.ship(*(event(f"n{number}.example") for number in range(60)))

    def total():
        return dashboard.api("/logs/browse?limit=1")["total"]
    until(lambda: total() == 100, "the oldest to go")
    assert [entry["id"] for entry in dashboard.api("/logs")] == ids[:-101:-1]
    assert dashboard.api("/logs/browse?q=n7.example")["total"] in (1, 2)


def test_in_memory_it_keeps_buffer_size_events(start):
    dashboard = start("", BUFFER_SIZE="50")
    ids = dashboard.ship(*(event() for number in range(120)))
    until(lambda: dashboard.api("/logs/browse?limit=1")["total"] == 50, "the oldest to go")
    assert dashboard.api("/logs")[0]["id"] == ids[-1]


def test_however_fast_they_come_the_oldest_go_as_fast(start):
    """A transaction has tens of thousands of them: memory would grow without a bound."""
    dashboard = start("", BUFFER_SIZE="100")
    batch = gzip.compress(json.dumps([event(f"n{number % 50}.example", source_port=number)
                                      for number in range(9000)]).encode(), 1)

    def ship():
        for _ in range(10):
            answer = dashboard.ask("POST", "/api/v1/logs", batch, content_encoding="gzip",
                                   content_type="application/json")
            assert answer.status == 201, answer
    with concurrent.futures.ThreadPoolExecutor(4) as shippers:
        for done in [shippers.submit(ship) for _ in range(4)]:
            done.result()
    # Of 360,000 no more are there than came with the last transactions.
    assert dashboard.api("/logs/browse?limit=1")["total"] <= 100_000
    until(lambda: dashboard.api("/logs/browse?limit=1")["total"] == 100, "the rest to go")


def test_a_locked_store_is_an_error_and_not_a_loss_of_the_program(start, tmp_path):
    dashboard = start()
    dashboard.ship(event())
    lock = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    answer = dashboard.ask("POST", "/api/v1/logs", [event()])
    assert (answer.status, answer.text) == (500, '{"error":"store error"}\n')
    assert "locked" in dashboard.wait_event("store.error")["err"]
    assert len(dashboard.api("/logs")) == 1             # readers go on
    lock.execute("ROLLBACK")
    lock.close()
    assert dashboard.ship(event())


def fails(path):
    done = subprocess.run([binary(), "dashboard"], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "PORT": "127.0.0.1:0", "API_KEY": KEY,
                               "DB_PATH": str(path)})
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    return done.stderr


def test_a_broken_store_is_said_at_the_start(tmp_path):
    path = tmp_path / "events.db"
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    said = fails(path)
    assert str(path) in said and "damaged" in said and "backup" in said
    path.unlink()
    path.mkdir()
    assert "not writable" in fails(path)


def test_a_store_of_a_later_version_is_left_alone(start, tmp_path):
    start().stop()
    with sqlite3.connect(tmp_path / "events.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    assert "later version" in fails(tmp_path / "events.db")


def test_a_full_disk_is_said_and_costs_only_what_did_not_fit(start, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small]).returncode != 0:
        pytest.skip("cannot mount here")
    try:
        dashboard = start("small/events.db")
        statuses, padding = [], "x" * 3000
        for _ in range(40):
            events = [event(note=f"{padding}{number}") for number in range(50)]
            statuses.append(dashboard.ask("POST", "/api/v1/logs", events).status)
            if statuses[-1] != 201:
                break
        assert statuses[0] == 201 and statuses[-1] == 500
        said = dashboard.wait_event("store.error")["err"]
        assert "full" in said, said
        assert dashboard.get("/health").status == 200
        dashboard.ask("DELETE", "/api/v1/logs")
        dashboard.finish()
    finally:
        subprocess.run(["umount", small], check=True)


def test_each_post_is_stored_as_a_whole_or_not_at_all(start):
    dashboard = start()
    huge = event(note="x" * (300 << 10))
    assert len(dashboard.ship(event(), huge, event())) == 2     # what is too long is left out
    assert len(dashboard.api("/logs")) == 2


def test_a_full_fleet_refuses_only_new_instances_and_bounds_what_each_says(start, tmp_path):
    dashboard = start()

    def sync(name, entries=0):
        return dashboard.ask("POST", "/api/v1/sync", {
            "hostname": name, "filter_mode": "https",
            "policy": {"domains": ["x" * 60] * entries}}).status

    def shown(name):
        return next(one for one in dashboard.api("/fleet/instances") if one["hostname"] == name)
    assert sync("known", 5000) == 200
    assert len(shown("known")["policy"]["domains"]) == 5000
    store = sqlite3.connect(tmp_path / "events.db", isolation_level=None, timeout=30)
    now = int(time.time()) * 10**9
    store.execute("BEGIN")
    store.executemany("INSERT INTO instance VALUES (?, ?, ?, '{}')",
                      ((f"{number:016x}", f"h{number}", now) for number in range(10000)))
    store.execute("COMMIT")
    store.close()
    assert sync("new") == 429
    assert sync("known", 5000) == 200
    assert shown("known")["mode"] == "https" and "policy" not in shown("known")
    assert sync("known", 10) == 200 and len(shown("known")["policy"]["domains"]) == 10


def test_an_agent_that_asks_without_end_is_slowed_down(start):
    dashboard = start(RATE_RPS="1", RATE_BURST="5")
    statuses = []
    while 429 not in statuses:          # five, and one a second
        statuses.append(dashboard.ask("POST", "/api/v1/sync", {"hostname": "a"}).status)
        assert len(statuses) < 100
    assert statuses[:5] == [200] * 5
    assert dashboard.ship(event())                      # events are counted apart


def test_a_second_one_leaves_the_socket_of_the_first_alone(start, tmp_path):
    path = tmp_path / "socket"
    first = start(UNIX_SOCKET=str(path))
    second = subprocess.run([binary(), "dashboard"], capture_output=True, text=True, timeout=60,
                            env={"PATH": os.environ["PATH"], "PORT": "off", "EPHEMERAL": "true",
                                 "API_KEY": KEY, "UNIX_SOCKET": str(path)})
    assert second.returncode == 1 and "UNIX_SOCKET" in second.stderr
    assert path.exists()
    first.stop()
    assert not path.exists()


def test_it_listens_on_a_unix_socket_too(start, tmp_path):
    path = tmp_path / "socket"
    dashboard = start(UNIX_SOCKET=str(path), PORT="off")
    assert dashboard.port is None
    asked = subprocess.run(
        ["curl", "-s", "--unix-socket", path, "-H", "X-Api-Key: " + KEY, "-H",
         "Content-Type: application/json", "-d", json.dumps(event()),
         "http://dashboard.example.com/api/v1/logs"], capture_output=True, text=True, check=True)
    assert json.loads(asked.stdout)["created"] == 1
    assert os.stat(path).st_mode & 0o777 == 0o660
    dashboard.kill()
    again = start(UNIX_SOCKET=str(path), PORT="off")            # the file was left behind
    again.stop()
    assert not path.exists()
