"""test_dashboard_waiting.py - agents that wait for something to do: POST /sync?wait=30."""
import contextlib
import select

import pytest

from dashboard import KEY, Dashboard
from ringfence import until


@pytest.fixture
def start():
    running = []

    def start(**env):
        running.append(Dashboard("", env))
        return running[-1]
    yield start
    for dashboard in running:
        dashboard.finish()


def test_an_agent_that_waits_is_answered_when_there_is_something(start):
    dashboard = start()
    connections = []
    for name in "a", "b":
        connection = dashboard.connect()
        connection.request("POST", "/api/v1/sync?wait=30", '{"hostname":"%s"}' % name,
                           {"X-Api-Key": KEY, "Content-Type": "application/json"})
        connections.append(connection)
    dashboard.ask("POST", "/api/v1/unblocks", {"type": "ip", "value": "192.0.2.7",
                                               "target_hostname": "b"})
    assert b'"target_hostname":"b"' in connections[1].getresponse().read()
    dashboard.stop()                                    # the other one is answered too
    with contextlib.closing(connections[0]) as other:
        assert b'"pending":[]' in other.getresponse().read()


def test_what_one_agent_has_done_wakes_no_other(start):
    """Whoever looks again without its key any more would be told so."""
    dashboard = start()
    key = dashboard.ask("POST", "/api/v1/apikeys", {"label": "a", "scope": "agent"}).json()
    unblock = {"type": "ip", "value": "192.0.2.7", "target_hostname": "b"}
    number = dashboard.ask("POST", "/api/v1/unblocks", unblock).json()["id"]
    waiting = dashboard.connect()
    waiting.request("POST", "/api/v1/sync?wait=30", '{"hostname":"a"}', {
        "X-Api-Key": key["key"], "Content-Type": "application/json"})
    until(lambda: dashboard.api("/fleet/instances"), "it waits")
    dashboard.ask("DELETE", "/api/v1/apikeys/" + key["api_key"]["id"])
    dashboard.ask("POST", "/api/v1/unblocks/ack", {"id": number, "hostname": "b"})
    for _ in range(20):
        dashboard.ask("POST", "/api/v1/sync", {"hostname": "b"})
    assert not select.select([waiting.sock], [], [], 0)[0]
    dashboard.ask("DELETE", f"/api/v1/unblocks/{number}")
    assert waiting.getresponse().status == 401
