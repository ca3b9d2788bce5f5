"""test_unblock_dashboard.py - a filter and a real dashboard: events, fleet, unblock, undo.

The dashboard runs outside, on a Unix socket, as a mount of both containers would have it."""
import os

import pytest

from dashboard import KEY, Dashboard
from dnsstub import DnsClient
from internet import ATTACKER, ORIGIN
from ringfence import binary, until

if not os.path.exists(os.path.join(os.path.dirname(binary()), "ringfence-dashboard")):
    pytest.skip("needs a build with the dashboard", allow_module_level=True)


@pytest.fixture
def dashboard(net):
    dashboard = Dashboard("", {"UNIX_SOCKET": os.path.join(net.folder, "dashboard.sock")})
    dashboard.exit_code = 0
    yield dashboard
    dashboard.finish()


def start(net, **env):
    return net.start(domains=["allowed.test"], env={
        "DASHBOARD_HOST": f"unix:{net.folder}/dashboard.sock", "DASHBOARD_API_KEY": KEY,
        "DASHBOARD_START_DELAY": "0s", "HOSTNAME": "box-1", "ENABLE_REMOTE_UNBLOCK": "true",
        "POLICY_OVERLAY_PATH": os.path.join(net.folder, "overlay-of-dashboard.yaml"), **env})


def rows(dashboard, **facts):
    return [row for row in dashboard.api("/logs?limit=500")
            if all(row["fields"].get(key) == value for key, value in facts.items())]


def unblock(dashboard, **request):
    answer = dashboard.ask("POST", "/api/v1/unblocks", {"target_hostname": "box-1", **request})
    assert answer.status == 201, answer
    id = answer.json()["id"]
    return id, until(lambda: [item for item in dashboard.api("/unblocks/status")["completed"]
                              if item["id"] == id], f"{id} is completed")[0]


def test_events_arrive_with_their_story(net, dashboard):
    start(net)
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    blocked = until(lambda: rows(dashboard, https="evil.test"), "the block")[0]
    assert blocked["action"] == "BLOCKED" and blocked["hostname"] == "box-1"
    assert blocked["fields"]["to_allow"] == "domains: evil.test"
    allowed = until(lambda: rows(dashboard, https="allowed.test"), "the other")[0]
    assert allowed["fields"]["rule"] == "allowed.test"


def test_what_a_connection_carried_is_told_when_it_has_ended(net, dashboard):
    start(net, LOG_LEVEL="DEBUG")
    net.ringfence.wait_event("dashboard: probe ok")     # it knows that ends are taken there
    assert net.client.http("allowed.test", to=ORIGIN).status == 200
    carried = net.ringfence.wait_event("http.closed")
    row = until(lambda: [row for row in rows(dashboard, conn=carried["conn"])
                         if "duration_ms" in row["fields"]], "the end of the connection")[0]
    assert row["msg"] == "http.allowed"
    for key in "bytes_up", "bytes_down", "duration_ms", "flow_id":
        assert row["fields"][key] == carried[key]
    assert row["fields"]["bytes_down"] > 0
    sums = dashboard.api("/aggregates?range=1h")
    assert [line["bytes"] for line in sums["rows"]] == [carried["bytes_up"] + carried["bytes_down"]]
    assert not rows(dashboard, msg="http.closed")


def test_a_burst_arrives_whole_and_packed(net, dashboard):
    start(net)
    for _ in range(60):
        net.client.tls("evil.test", to=ATTACKER)
    until(lambda: len(rows(dashboard, https="evil.test")) == 60, "sixty blocks")


def test_unblock_and_undo_end_to_end(net, dashboard):
    start(net)
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    until(lambda: dashboard.api("/fleet/instances"), "the instance")
    id, done = unblock(dashboard, type="domain", value="evil.test", reason="a test")
    assert done["status"] == "applied" and done["policy_hash"]
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    undo = dashboard.ask("DELETE", f"/api/v1/unblocks/{id}")
    assert undo.status == 200, undo
    net.ringfence.wait_event("remote_unblock.removed")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    until(lambda: [item for item in dashboard.api("/unblocks/status")["completed"]
                   if item["id"] == id and item["status"] == "undone"], "it is undone")


def test_for_a_while_and_refused(net, dashboard):
    start(net, ALLOWLIST_DOMAINS=None)
    until(lambda: dashboard.api("/fleet/instances"), "the instance")
    _, done = unblock(dashboard, type="domain", value="evil.test", expires_in=3)
    assert done["status"] in ("applied", "expired")
    net.ringfence.wait_event("remote_unblock.expired", value="evil.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    net.ringfence.stop()
    start(net, ALLOWLIST_DOMAINS="allowed.test")
    _, done = unblock(dashboard, type="domain", value="evil.test")
    assert done["status"] == "failed" and "ALLOWLIST_" in done["error"]


def test_an_instance_that_does_nothing_from_afar_says_so_and_is_not_waited_for(net, dashboard):
    answer = dashboard.ask("POST", "/api/v1/unblocks", {
        "type": "domain", "value": "evil.test", "target_hostname": "BOX-1"})
    start(net, ENABLE_REMOTE_UNBLOCK="false")
    done = until(lambda: dashboard.api("/unblocks/status")["completed"], "the refusal")[0]
    assert done["id"] == answer.json()["id"] and done["status"] == "failed"
    assert "ENABLE_REMOTE_UNBLOCK is off" in done["error"]
    assert [one["unblocks"] for one in dashboard.api("/fleet/instances")] == ["off"]
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    dashboard.ask("POST", "/api/v1/sync", {"hostname": "other"})
    id = dashboard.ask("POST", "/api/v1/unblocks", {"type": "domain",
                                                    "value": "evil.test"}).json()["id"]
    dashboard.ask("POST", "/api/v1/unblocks/ack", {"id": id, "hostname": "other"})
    assert dashboard.api("/unblocks/status")["pending"] == []


def test_the_fleet_shows_policy_and_hits(net, dashboard):
    start(net)
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    until(lambda: rows(dashboard, https="allowed.test"), "the event")
    net.reload(domains=["allowed.test", "unused.test"])
    domains = until(lambda: [one["policy"]["domains"] for one in dashboard.api("/fleet/instances")
                             if len(one["policy"]["domains"]) == 2], "the new policy")[0]
    assert [(entry["entry"], entry["hits"]) for entry in domains] == \
        [("allowed.test", 1), ("unused.test", 0)]
    one = dashboard.api("/fleet/instances")[0]
    assert one["unblocks"] == "on"
    assert one["hostname"] == "box-1" and one["mode"] == "https" and one["policy_hash"]


def hits_of(net, dashboard, domains):
    """Of each entry of the policy, which is told anew when it has changed."""
    net.reload(domains=domains)
    one = until(lambda: [one for one in dashboard.api("/fleet/instances")
                         if len(one["policy"]["domains"]) == len(domains)], "the new policy")[0]
    return {entry["entry"]: entry["hits"] for entry in one["policy"]["domains"]}, one["mode"]


def test_hits_of_entries_that_name_ports_are_those_of_their_ports(net, dashboard):
    start(net)
    domains = ["allowed.test:443", "tcp/allowed.test:8000-8010", "*.test:80"]
    net.reload(domains=domains)
    for _ in range(2):
        assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    assert net.client.http("allowed.test", to=ORIGIN).status == 200
    DnsClient(net.client).ask("allowed.test")           # no use yet
    until(lambda: len(rows(dashboard, component="https")) == 2 and
          len(rows(dashboard, component="http")) == 1, "the events")
    hits, mode = hits_of(net, dashboard, [*domains, "unused.test"])
    assert mode == "https"
    assert hits == {"allowed.test:443": 2, "tcp/allowed.test:8000-8010": 0, "*.test:80": 1,
                    "unused.test": 0}


@pytest.mark.parametrize("mode", ["dns", "dns-strict"])
def test_where_questions_are_judged_they_are_the_hits(net, dashboard, mode):
    domains = ["allowed.test", "udp/ports.test:53", "*.wild.test:22"]
    net.internet.dns.set("ports.test", ORIGIN)
    start(net, FILTER_MODE=mode)
    net.reload(domains=domains)
    for name in "allowed.test", "ports.test", "a.wild.test", "b.wild.test", "evil.test":
        DnsClient(net.client).ask(name)
    until(lambda: len(rows(dashboard, component="dns")) >= 5, "the questions")
    hits, told = hits_of(net, dashboard, [*domains, "unused.test"])
    assert told == mode
    assert hits == {"allowed.test": 1, "udp/ports.test:53": 1, "*.wild.test:22": 2,
                    "unused.test": 0}


def test_events_outlive_the_dashboard(net, dashboard):
    start(net)
    until(lambda: dashboard.api("/fleet/instances"), "the instance")
    dashboard.stop()
    for i in range(5):
        net.client.tls(f"evil{i}.test", to=ATTACKER)
    net.ringfence.wait_event("dashboard.send_failed")
    again = Dashboard("", {"UNIX_SOCKET": os.path.join(net.folder, "dashboard.sock")})
    again.exit_code = 0
    try:
        until(lambda: len([row for row in again.api("/logs") if row["action"] == "BLOCKED"]) == 5,
              "what was told meanwhile")
    finally:
        again.finish()
