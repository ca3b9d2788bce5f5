"""test_ship.py - decisions go to the dashboard: what, when, and what happens while it is away."""
import glob
import os

import pytest

from collector import ADDRESS, KEY, NAME, PORT, SHIP, Collector
from internet import ATTACKER, ORIGIN
from ringfence import until


@pytest.fixture
def server(net):
    return Collector(net)


def start(net, server, env=None, **options):
    return net.start(domains=["allowed.test"],
                     env={"DASHBOARD_HOST": server.url, **SHIP, **(env or {})}, **options)


def block(net, count=1, name="evil.test"):
    for _ in range(count):
        assert net.client.tls(name, to=ATTACKER) == "RESET"


def names(events):
    return [event["https"] for event in events if event["msg"] == "https.blocked"]


def test_a_block_arrives_with_the_seeds_fields_and_ours(net, server):
    server.key = KEY
    start(net, server, {"HOSTNAME": "host-01"})
    block(net)
    event = server.wait_event(msg="https.blocked")
    assert event["action"] == "BLOCKED" and event["component"] == "https"
    assert event["https"] == "evil.test" and event["reason"] == "not-allowlisted"
    assert event["destination_ip"] == ATTACKER and event["destination_port"] == 443
    assert event["dst"] == f"{ATTACKER}:443" and event["source_ip"] == "10.77.0.2"
    assert event["hostname"] == "host-01" and event["version"] and event["flow_id"]
    assert event["time"] == event["producer_time"] and event["time"].endswith("Z")
    assert event["to_allow"] == "domains: evil.test"
    post = server.to("/api/v1/logs")[-1]
    assert post.header("x-api-key") == KEY and post.header("authorization") == f"Bearer {KEY}"
    assert post.header("content-type") == "application/json"
    assert isinstance(post.json(), dict)        # one event is sent as the seed sends it
    net.ringfence.wait_event("dashboard: probe ok")
    assert server.probes == 1


@pytest.mark.parametrize("ours", [True, False])
def test_what_was_allowed_arrives_with_its_rule_and_its_end(net, server, ours):
    server.ours = ours
    start(net, server)
    server.wait(lambda: server.probes == 1)
    net.ringfence.wait_event("dashboard: probe ok")
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    allowed = server.wait_event(msg="https.allowed")
    assert allowed["rule"] == "allowed.test" and allowed["action"] == "ALLOWED"
    if ours:                            # others would pass over it
        end = server.wait_event(msg="https.closed")
        assert end["conn"] == allowed["conn"] and end["bytes_down"] > 0
    block(net)
    server.wait_event(msg="https.blocked")
    assert ours or not server.found(msg="https.closed")


def test_blocked_packets_arrive_and_allowed_ones_do_not(net, server):
    net.start(ips=["203.0.113.9"], env={"DASHBOARD_HOST": server.url, "LOG_LEVEL": "DEBUG", **SHIP})
    assert net.client.tcp("203.0.113.9", 2222) == "OK"
    net.ringfence.wait_event("nflog.event", action="ALLOWED")
    net.client.tcp(ATTACKER, 2222)
    event = server.wait_event(msg="nflog.event")
    assert event["action"] == "BLOCKED" and event["protocol"] == "TCP"
    assert not server.found(msg="nflog.event", action="ALLOWED")


def test_the_log_level_does_not_matter(net, server):
    start(net, server, {"LOG_LEVEL": "ERROR"}, ready=None)
    server.wait(lambda: server.probes == 1)
    block(net)
    server.wait_event(msg="https.blocked")
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    server.wait_event(msg="https.allowed")


def test_nothing_is_shipped_before_the_delay_is_over(net, server):
    start(net, server, {"DASHBOARD_START_DELAY": "1h"})
    block(net, 2, name="delayed.test")  # what an earlier instance still has to say is not this
    net.ringfence.wait_event("https.blocked", count=2)
    assert "delayed.test" not in names(server.events)
    net.ringfence.stop()                # but it is not lost at the end
    assert names(server.events).count("delayed.test") == 2


def test_our_own_requests_are_not_filtered_and_not_events(net, server):
    """The dashboard is not listed: they leave by mark and user id."""
    start(net, server)
    block(net)
    server.wait_event(msg="https.blocked")
    assert not [event for event in server.events if event.get("destination_ip") == ADDRESS]
    assert net.client.tcp(ADDRESS, PORT) != "OK"


def test_events_wait_for_a_dead_server_and_come_in_order(net, server):
    server.die()
    start(net, server)
    net.ringfence.wait_event("dashboard: probe error")
    wanted = [f"evil{i}.test" for i in range(20)]
    for name in wanted:
        block(net, name=name)
    net.ringfence.wait_event("dashboard.send_failed")
    server.revive()
    server.wait_event(count=20, msg="https.blocked")
    assert names(server.events) == wanted
    net.ringfence.wait_event("dashboard.send_resumed")
    assert any(isinstance(post.json(), list) for post in server.to("/api/v1/logs"))


@pytest.mark.parametrize("status", [500, 503, 429, 401, 404])
def test_events_wait_while_the_server_cannot_take_them(net, server, status):
    server.status = status
    start(net, server)
    block(net, 3)
    net.ringfence.wait_event("dashboard.send_failed", err=f"status {status}")
    server.status = 201
    server.wait_event(count=3, msg="https.blocked")
    assert len(server.found(msg="https.blocked")) == 3


def test_a_wrong_key_is_said_and_nothing_is_lost(net, server):
    server.key = "another key, which is not ours at all"
    start(net, server)
    block(net)
    fact = net.ringfence.wait_event("dashboard.send_failed")
    assert "key" in fact["note"] and KEY not in net.ringfence.log()
    server.key = KEY
    server.wait_event(msg="https.blocked")


def test_a_server_without_arrays_gets_one_event_at_a_time(net, server):
    server.status, server.arrays = 503, False
    start(net, server)
    block(net, 5)
    net.ringfence.wait_event("dashboard.send_failed")
    server.status = 201
    server.wait_event(count=5, msg="https.blocked")
    assert len(server.found(msg="https.blocked")) == 5
    begun = len(server.posts)
    server.status = 503
    block(net, 3)
    server.wait(lambda: len(server.posts) > begun)
    server.status = 201
    server.wait_event(count=8, msg="https.blocked")
    assert all(isinstance(post.json(), dict) for post in server.posts[begun:])     # it remembers


def test_bodies_are_packed_once_the_server_says_that_it_can(net, server):
    server.status, server.packed = 503, True
    start(net, server)
    block(net, 10)
    net.ringfence.wait_event("dashboard.send_failed")
    server.status = 201
    server.wait_event(count=10, msg="https.blocked")
    packed = [post for post in server.posts if post.packed]
    assert packed and all(len(post.wire) < len(post.body) / 2 for post in packed)


def test_a_full_queue_drops_the_oldest_and_counts_them(net, server):
    server.die()
    start(net, server, {"DASHBOARD_QUEUE_SIZE": 5})
    net.ringfence.wait_event("dashboard: probe error")
    for i in range(12):
        block(net, name=f"evil{i}.test")
    fact = net.ringfence.wait_event("dashboard.queue_full")
    assert fact["count"] >= 1
    server.revive()
    server.wait_event(https="evil11.test", msg="https.blocked")
    # What was being sent when the server died may come too; of the rest the latest are left.
    there = names(server.events)
    assert there[-5:] == [f"evil{i}.test" for i in range(7, 12)] and len(set(there)) < 12


def test_a_slow_server_holds_up_neither_the_filter_nor_its_end(net, server):
    server.routes["/api/v1/logs"] = lambda post: b""            # it never answers
    start(net, server)
    block(net, 20)
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    net.ringfence.stop()                # within its bound: Ringfence.stop() has its patience
    assert "dashboard" in net.ringfence.log()


def test_what_the_last_connections_were_arrives_after_sigterm(net, server):
    start(net, server)
    server.wait(lambda: server.probes == 1)
    block(net, 3)
    net.ringfence.stop()
    assert len(names(server.events)) == 3


def test_a_spool_outlives_kill_9(net, server):
    spool = os.path.join(net.folder, "spool")
    env = {"DASHBOARD_SPOOL": spool}
    server.die()
    start(net, server, env)
    wanted = [f"evil{i}.test" for i in range(10)]
    for name in wanted:
        block(net, name=name)
    until(lambda: sum(len(open(path).readlines())
                      for path in glob.glob(os.path.join(spool, "*.jsonl"))) >= 10,
          "ten events in the spool")
    net.ringfence.kill()
    server.revive()
    start(net, server, env)
    server.wait_event(count=10, msg="https.blocked")
    block(net, name="later.test")
    server.wait_event(https="later.test", msg="https.blocked")
    assert names(server.events) == wanted + ["later.test"]
    net.ringfence.stop()
    start(net, server, env)             # and nothing of it comes again
    server.wait(lambda: server.probes == 2)
    block(net, name="last.test")
    server.wait_event(https="last.test", msg="https.blocked")
    assert names(server.events) == wanted + ["later.test", "last.test"]


def test_a_folder_that_cannot_be_used_is_said_and_memory_serves(net, server):
    start(net, server, {"DASHBOARD_SPOOL": "/proc/nothing/here"})
    assert net.ringfence.wait_event("dashboard.spool_failed")["err"].startswith("/proc/nothing")
    block(net)
    server.wait_event(msg="https.blocked")


def test_an_address_over_ipv6_and_a_prefix_are_good(net, server):
    server.address = "2001:db8:81::81"
    server.routes["/rf/api/v1/logs"] = lambda post: server.take(post, [])
    start(net, server, {"DASHBOARD_HOST": f"http://[2001:db8:81::81]:{PORT}/rf/"})
    block(net)
    server.wait_event(msg="https.blocked")


def test_https_is_checked_against_the_authorities(net, server):
    server.internet.http_answer = server.answer
    env = {"DASHBOARD_HOST": f"https://{NAME}", "SSL_CERT_FILE": net.authority.file}
    start(net, server, env)
    block(net)
    server.wait_event(msg="https.blocked")
    net.ringfence.stop()
    start(net, server, {"DASHBOARD_HOST": f"https://{NAME}"})
    assert "ertificate" in net.ringfence.wait_event("dashboard: probe error")["err"]


# What a workload shares with us: in one network namespace Docker gives all the same /etc/hosts.

def with_hosts(net, *lines):
    """A wrapper for start(), and the file, which is open to everybody."""
    hosts = os.path.join(net.folder, "hosts")
    with open(hosts, "w") as file:
        file.write("".join(f"{line}\n" for line in ("127.0.0.1 localhost", *lines)))
    return hosts, ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', hosts]


def test_a_name_of_the_hosts_file_is_found_there(net, server):
    server.address = "192.0.2.82"
    start(net, server, wrapper=with_hosts(net, f"192.0.2.82 extra {NAME}")[1])
    block(net)
    server.wait_event(msg="https.blocked")
    assert net.internet.arrived(ADDRESS) == 0


def test_what_the_workload_writes_into_the_hosts_file_leads_nobody_to_it(net, server):
    """A request that fails makes the name be looked up again: that is when it would be read."""
    hosts, wrapper = with_hosts(net)
    start(net, server, wrapper=wrapper)
    block(net)
    server.wait_event(msg="https.blocked")
    with open(hosts, "a") as file:
        file.write(f"{ATTACKER} {NAME}\n")
    server.die()
    before = net.internet.arrived(ATTACKER)
    block(net, name="later.test")
    net.ringfence.wait_event("dashboard.send_failed")
    server.revive()
    server.wait_event(msg="https.blocked", https="later.test")
    assert net.internet.arrived(ATTACKER) == before
    assert server.posts and all(post.header("x-api-key") == KEY for post in server.posts)


def test_plain_http_to_a_public_address_is_refused(net, server):
    server.internet.dns.set("public.test", "8.8.4.4")
    start(net, server, {"DASHBOARD_HOST": "http://public.test"})
    assert "https" in net.ringfence.wait_event("dashboard: probe error")["err"]
    block(net)
    net.ringfence.wait_event("dashboard.send_failed")
    assert net.internet.arrived("8.8.4.4") == 0


@pytest.mark.parametrize("env, word", [
    ({"DASHBOARD_HOST": "http://8.8.4.4:8081"}, "https"),
    ({"DASHBOARD_HOST": "ftp://dash.test"}, "scheme"),
    ({"DASHBOARD_HOST": "http://dash.test:99999"}, "port"),
    ({"DASHBOARD_HOST": "unix:relative"}, "socket"),
    ({"DASHBOARD_HOST": "dash.test", "DASHBOARD_API_KEY": "fifteen bytes.."}, "15 bytes"),
])
def test_what_cannot_be_meant_ends_the_start(net, env, word):
    instance = net.start(domains=["allowed.test"], env=env, ready=None)
    assert instance.wait_exit() == 1 and word in instance.log()
    assert "".join(env)[:9] in instance.log()


def test_plain_http_and_a_short_key_are_warned_of(net, server):
    start(net, server, {"DASHBOARD_API_KEY": "0123456789abcdef"})
    net.ringfence.wait_event(lambda fact: "32 bytes" in fact.get("note", ""))
    net.ringfence.wait_event(lambda fact: "plain http" in
                             fact.get("note", ""))


@pytest.mark.parametrize("host", ["127.0.0.1:8081", "http://localhost:8081", "[::1]:8081",
                                  "http://127.1.2.3:8081"])
def test_plain_http_to_where_the_workload_may_listen_first_is_warned_of(net, host):
    net.start(domains=["allowed.test"], env={"DASHBOARD_HOST": host, **SHIP})
    note = net.ringfence.wait_event(lambda fact: "listen first" in fact.get("note", ""))
    assert note["level"] == "warn" and "unix:" in note["note"]


@pytest.mark.parametrize("host", ["https://127.0.0.1:8081", "unix:/run/nobody.sock",
                                  "http://192.0.2.81:8081"])
def test_other_places_are_not_warned_of_so(net, host):
    net.start(domains=["allowed.test"], env={"DASHBOARD_HOST": host, **SHIP})
    assert "listen first" not in net.ringfence.log()


def test_without_any_of_it_there_is_no_thread_and_no_libcurl(net):
    net.start(domains=["allowed.test"])
    block(net)
    net.ringfence.wait_event("https.blocked")
    with open(f"/proc/{net.ringfence.pid}/maps") as maps:
        assert "libcurl" not in maps.read()
    threads = {open(f"{task}/comm").read().strip() for task in net.ringfence.tasks()}
    assert "ship" not in threads
