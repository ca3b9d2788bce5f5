"""test_shared_files.py - /etc/hosts and /etc/resolv.conf, which Docker lets the workload write."""
import os

import pytest

from collector import ADDRESS, NAME, PORT, SHIP
from internet import RESOLVER


def mounted(net, path, text, options=""):
    """A wrapper for start(): a file of this text is mounted there."""
    file = os.path.join(net.folder, "shared")
    with open(file, "w") as out:
        out.write(text)
    script = 'mount --bind "$0" "$1"'
    script += ' && mount -o remount,bind,ro "$1"' if options == "ro" else ""
    return ["unshare", "-m", "sh", "-c", script + ' && shift && exec "$@"', file, path]


@pytest.mark.parametrize("env, options, warned", [
    ({}, "", True), ({}, "ro", False), ({"DNS_UPSTREAMS": f"{RESOLVER}:53"}, "", False)])
def test_a_shared_resolv_conf_is_warned_of(net, env, options, warned):
    wrapper = mounted(net, "/etc/resolv.conf", f"nameserver {RESOLVER}\n", options)
    net.start(domains=["allowed.test"], wrapper=wrapper,
              env={"DNS_UPSTREAMS": None, "RESOLV_CONF": None, **env})
    assert net.client.tls("allowed.test") == "OK"
    told = net.ringfence.events("startup.shared_files", path="/etc/resolv.conf")
    assert [fact["level"] for fact in told] == ["warn"] * warned


@pytest.mark.parametrize("host, warned", [(NAME, True), (ADDRESS, False), ("other.test", False)])
def test_a_dashboard_of_a_shared_hosts_file_is_warned_of(net, host, warned):
    net.start(domains=["allowed.test"], env={"DASHBOARD_HOST": f"http://{host}:{PORT}", **SHIP},
              wrapper=mounted(net, "/etc/hosts", f"{ADDRESS} {NAME}\n"))
    told = net.ringfence.events("startup.shared_files", path="/etc/hosts")
    assert [fact["level"] for fact in told] == ["warn"] * warned
