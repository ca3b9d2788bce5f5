"""test_dashboard_browser.py - from a blocked connection to an allowed one and back, and what a
connection carried, by the page of the dashboard in a real browser: the workload, the filter, the
dashboard and chromium are real."""
import json
import os
import shutil
import subprocess

import pytest

from dashboard import KEY, Dashboard
from internet import ATTACKER, ORIGIN
from ringfence import PATIENCE, ROOT, until

MODULES = os.environ.get("RINGFENCE_UI_MODULES", "")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture
def dashboard(net):
    if not (MODULES and os.path.exists(CHROMIUM) and shutil.which("node")):
        pytest.skip("needs chromium, node and RINGFENCE_UI_MODULES: ./dev test ui sets it")
    socket = os.path.join(net.folder, "dashboard.sock")
    dashboard = Dashboard("", {"AUTH_MODE": "none", "UNIX_SOCKET": socket})
    try:
        yield dashboard, f"unix:{socket}"
    finally:
        dashboard.kill()


def person(dashboard, *words):
    """Somebody at the page."""
    done = subprocess.run(
        ["node", os.path.join(ROOT, "tests", "ui", "person.mjs"),
         f"http://127.0.0.1:{dashboard.port}", *words],
        text=True, capture_output=True, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_person_lets_a_name_through_and_takes_it_back(net, dashboard):
    server, address = dashboard
    overlay = os.path.join(net.folder, "overlay.yaml")
    net.start(domains=["allowed.test"], env={
        "DASHBOARD_HOST": address, "DASHBOARD_API_KEY": KEY, "DASHBOARD_START_DELAY": "0s",
        "ENABLE_REMOTE_UNBLOCK": "true", "UNBLOCK_POLL_INTERVAL": "200ms", "HOSTNAME": "box-1",
        "POLICY_OVERLAY_PATH": overlay})
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    until(lambda: server.api("/logs?q=evil.test"), "the block to arrive at the dashboard")
    person(server, "allow", "evil.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    with open(overlay) as file:         # for an hour, as the page offers
        assert "evil.test" in file.read()
    person(server, "undo", "evil.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    actions = [row["action"] for row in server.api("/audit")]
    assert {"unblock.request", "unblock.undo", "unblock.applied"} <= set(actions)


def test_a_person_sees_what_a_connection_carried(net, dashboard):
    server, address = dashboard
    sizes = {"small.test": 700, "large.test": 300000}

    def answer(request):
        size = sizes[request.host]
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % size + \
            b"x" * size
    net.internet.http_answer = answer
    for name in sizes:
        net.internet.dns.set(name, ORIGIN)
    net.start(domains=list(sizes), env={
        "DASHBOARD_HOST": address, "DASHBOARD_API_KEY": KEY, "DASHBOARD_START_DELAY": "0s",
        "HOSTNAME": "box-1", "LOG_LEVEL": "DEBUG"})
    net.ringfence.wait_event("dashboard: probe ok")
    for name, size in sizes.items():
        assert len(net.client.http(name, to=ORIGIN, path="/" + name * 9).body) == size
    sent = {session.requests[0].host: len(session.raw) for session in net.internet.at(ORIGIN)}
    allowed = {name: net.ringfence.wait_event("http.allowed", host=name) for name in sizes}
    for name, shown in ("small.test", "received 7"), ("large.test", "received 293 KiB"):
        end = net.ringfence.wait_event("http.closed", host=name)
        story = json.loads(person(server, "story", name))
        assert story["fields"]["msg"] == "http.allowed"
        assert story["fields"]["source_port"] == str(allowed[name]["source_port"])
        assert int(story["fields"]["bytes_up"]) == sent[name]
        assert 0 < int(story["fields"]["bytes_down"]) - sizes[name] < 100       # its head
        assert story["fields"]["duration_ms"] == str(end["duration_ms"])
        assert f"Sent {sent[name]} B, {shown}" in story["then"]
        assert f"Took {end['duration_ms']} ms" in story["then"]
