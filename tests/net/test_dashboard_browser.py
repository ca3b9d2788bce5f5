"""test_dashboard_browser.py - from a blocked connection to an allowed one and back, by the page of
the dashboard in a real browser: the workload, the filter, the dashboard and chromium are real."""
import os
import shutil
import subprocess

import pytest

from dashboard import KEY, Dashboard
from internet import ATTACKER
from ringfence import PATIENCE, ROOT, binary, until

MODULES = os.environ.get("RINGFENCE_UI_MODULES", "")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture
def dashboard(net):
    if not (MODULES and os.path.exists(CHROMIUM) and shutil.which("node")):
        pytest.skip("needs chromium, node and RINGFENCE_UI_MODULES: ./dev test ui sets it")
    help = subprocess.run([binary(), "filter", "--help"], text=True, capture_output=True)
    if "--dashboard-host" not in help.stdout:
        pytest.skip("this filter ships nothing")
    socket = os.path.join(net.folder, "dashboard.sock")
    dashboard = Dashboard("", {"AUTH_MODE": "none", "UNIX_SOCKET": socket})
    try:
        yield dashboard, f"unix:{socket}"
    finally:
        dashboard.kill()


def person(dashboard, *words):
    """Somebody at the page."""
    done = subprocess.run(
        ["node", os.path.join(ROOT, "tests", "ui", "unblock.mjs"),
         f"http://127.0.0.1:{dashboard.port}", *words],
        text=True, capture_output=True, timeout=4 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr


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
