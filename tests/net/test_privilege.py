"""test_privilege.py - our way out is not for others, and other hands on the rules are noticed.

65380 and 1 are the user id and the mark of ringfence's own sockets (EGRESS_UID, EGRESS_MARK)."""
import os
import socket
import subprocess
import sys

import pytest

from client import read_response
from internet import ATTACKER, ATTACKER6
from ringfence import until
from world import BOX, policy_text

ATTACKERS = pytest.mark.parametrize("attacker", [ATTACKER, ATTACKER6], ids=["v4", "v6"])
OURS, NOBODY = 65380, 65534
ALL_BUT = ["setpriv", "--inh-caps=-all"]


def only(*caps):
    """A wrapper for start(): root with these capabilities, as cap_drop and cap_add leave it."""
    return [*ALL_BUT, "--bounding-set=" + ",".join(["-all", *(f"+{cap}" for cap in caps)]), "--"]


def without(*caps):
    return [*ALL_BUT, "--bounding-set=" + ",".join(f"-{cap}" for cap in caps), "--"]


# The mark and the user id

@ATTACKERS
@pytest.mark.parametrize("uid, caps, outcome", [
    (NOBODY, "", "DENIED"), (0, "", "DENIED"), (OURS, "", "DENIED"),
    (NOBODY, "+net_raw", "REFUSED"), (0, "+net_raw", "REFUSED"), (0, "+net_admin", "REFUSED")])
def test_the_mark_alone_lets_nobody_out(net, attacker, uid, caps, outcome):
    net.start(domains=["allowed.test"])
    assert net.client.probe(attacker, 9000, mark=1, uid=uid, caps=caps) == outcome
    assert net.client.probe(attacker, 80, mark=1, uid=uid, caps=caps, data="GET / HTTP/1.1\r\n"
                            "Host: evil.test\r\n\r\n") == ("DENIED" if outcome == "DENIED" else
                                                          "RESET")
    assert net.internet.arrived() == 0


@ATTACKERS
def test_our_user_id_alone_lets_nobody_out(net, attacker):
    net.start(domains=["allowed.test"])
    assert net.client.probe(attacker, 9000, uid=OURS) == "REFUSED"
    assert net.client.udp(attacker, 9000, uid=OURS) == "UNREACHABLE"
    assert net.client.tls("evil.test", to=attacker, uid=OURS) == "RESET"
    assert net.internet.arrived() == 0


@ATTACKERS
def test_only_both_together_are_taken_for_ours(net, attacker):
    net.start(domains=["allowed.test"])
    assert net.client.probe(attacker, 9000, mark=1, uid=OURS, caps="+net_raw") == "OK"
    assert net.client.probe(attacker, 9000, mark=2, uid=OURS, caps="+net_raw") == "REFUSED"
    assert net.client.probe(attacker, 9000, mark=257, uid=OURS, caps="+net_raw") == "REFUSED"


def test_mark_and_user_id_are_options(net):
    net.start(domains=["allowed.test"], env={"EGRESS_MARK": 77, "EGRESS_UID": 4711})
    assert net.client.tls("allowed.test") == "OK"
    assert net.client.tcp(ATTACKER, 9000, mark=1, uid=OURS) == "REFUSED"
    assert net.client.tcp(ATTACKER, 9000, mark=77, uid=4711) == "OK"


def test_a_user_namespace_gives_no_rights_here(net):
    net.start(domains=["allowed.test"])
    script = ("import socket\ns = socket.socket()\ntry:\n    s.setsockopt(1, 36, 1)\n"
              "    s.connect(('%s', 9000))\nexcept OSError as e: print(e.errno)\n" % ATTACKER)
    done = net.client.run("unshare", "-Ur", sys.executable, "-c", script, uid=NOBODY)
    assert done.stdout.strip() == "1" or "unshare" in done.stderr
    assert net.internet.arrived() == 0


@pytest.mark.parametrize("uid, mark", [(OURS, 0), (NOBODY, 1), (OURS, 1)])
def test_our_listeners_are_reached_by_redirection_only(net, uid, mark):
    net.start(domains=["*"])
    for addr in "127.0.0.1", "::1", BOX:
        for port in 8080, 8443:
            outcome = net.client.tls("allowed.test", to=addr, port=port, uid=uid, mark=mark)
            assert outcome in ("REFUSED", "RESET"), (addr, port)
    assert net.internet.arrived() == 0
    assert net.ringfence.events("https.allowed") == []


# The rights that we have

def test_net_admin_is_all_that_is_needed(net):
    net.start(domains=["allowed.test"], wrapper=only("net_admin"))
    net.ringfence.wait_event("startup.exemption")
    assert net.client.tls("allowed.test") == "OK" and net.client.http("allowed.test") == "OK"
    assert net.client.tls("evil.test") == "RESET"
    assert net.client.tcp(ATTACKER, 22) == "REFUSED"
    assert net.client.probe(ATTACKER, 22, mark=1, uid=NOBODY, caps="") == "DENIED"
    net.ringfence.wait_event("nflog.event")
    net.reload(domains=["evil.test"], ips=["192.0.2.99"])
    assert net.client.tls("evil.test") == "OK" and net.client.tls("allowed.test") == "RESET"


def test_without_setuid_it_warns_that_only_the_mark_holds(net):
    net.start(domains=["allowed.test"], wrapper=without("setuid"))
    assert net.ringfence.wait_event("startup.exemption")["level"] == "warn"
    assert net.client.tls("allowed.test") == "OK"
    assert net.client.tcp(ATTACKER, 22, uid=OURS) == "REFUSED"
    assert net.client.probe(ATTACKER, 22, mark=1, uid=NOBODY, caps="+net_raw") == "OK"   # as told


def test_with_setuid_there_is_nothing_to_warn_of(net):
    net.start(domains=["allowed.test"], wrapper=only("net_admin", "net_raw", "setuid"))
    assert net.ringfence.events("startup.exemption") == []
    assert net.client.tls("allowed.test") == "OK"
    assert net.client.probe(ATTACKER, 22, mark=1, uid=NOBODY, caps="+net_raw") == "REFUSED"


def test_it_runs_without_being_root(net):
    net.start(domains=["allowed.test"], wrapper=[
        "setpriv", "--reuid=1234", "--clear-groups", "--inh-caps=-all,+net_admin,+net_raw",
        "--ambient-caps=-all,+net_admin,+net_raw", "--bounding-set=-all,+net_admin,+net_raw", "--"])
    assert net.ringfence.events("startup.exemption") == []
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"
    assert net.client.tcp(ATTACKER, 22, mark=1, uid=OURS) == "REFUSED"
    assert net.client.tcp(ATTACKER, 22, uid=1234) == "REFUSED"
    assert net.client.tcp(ATTACKER, 22, mark=1, uid=1234) == "OK"


def test_a_worker_keeps_two_capabilities_and_no_way_to_more(net):
    net.start(domains=["allowed.test"])
    threads = os.listdir(f"/proc/{net.ringfence.pid}/task")
    states = {}
    for thread in threads:
        with open(f"/proc/{net.ringfence.pid}/task/{thread}/status") as file:
            states[thread] = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    workers = [state for state in states.values() if state["Uid"].split()[3] == str(OURS)]
    assert len(workers) == 1
    with open("/proc/self/status") as file:
        given = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
    kept = given & (1 << 13 | 1 << 24)                  # NET_RAW, SYS_RESOURCE
    assert int(workers[0]["CapEff"], 16) == int(workers[0]["CapPrm"], 16) == kept
    assert all(state["NoNewPrivs"] == "1" for state in states.values())


# Other hands

@pytest.mark.parametrize("script", [
    "flush ruleset",
    "delete table inet ringfence",
    "flush table inet ringfence",
    "flush chain inet ringfence out",
    "insert rule inet ringfence out accept",
    "insert rule inet ringfence nat_out accept",
    "add chain inet ringfence out { policy accept; }",
    "add table inet ringfence { flags dormant; }",
    "delete table inet ringfence\nadd table inet ringfence",
])
def test_our_rules_are_put_back_when_another_hand_changes_them(net, script):
    net.start(domains=["allowed.test"], ips=["192.0.2.99"])
    before = net.rules()
    net.box.nft(script)
    assert net.ringfence.wait_event("nftables.restored")["level"] == "error"
    assert net.rules() == before
    assert net.client.tcp(ATTACKER, 22) == "REFUSED" and net.client.tls("evil.test") == "RESET"
    assert net.client.tls("allowed.test") == "OK"
    assert net.internet.arrived(ATTACKER, ATTACKER6) == 0


def test_a_foreign_flush_is_told_also_when_a_reload_puts_the_rules_back(net):
    net.start(domains=["allowed.test"])
    for turn in range(20):
        since = net.ringfence.now()
        flush = subprocess.Popen([*net.box.prefix(), "nft", "flush", "ruleset"])
        net.write_policy(policy_text(["allowed.test"], [f"192.0.2.{turn}"]))
        assert flush.wait(20) == 0
        net.ringfence.wait_event("policy.applied", since=since)
        net.ringfence.wait_event("nftables.restored", count=turn + 1)
    assert net.client.tcp(ATTACKER, 22) == "REFUSED"


def test_a_tunnel_lives_through_a_foreign_flush(net):
    net.start(domains=["allowed.test"])
    with net.client.connect(net.internet.dns.address("allowed.test"), 80) as tunnel:
        for turn in range(3):
            tunnel.sendall(b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
            assert read_response(tunnel)[0] == 200
            # A late ACK would leave untranslated while there are no rules, and be answered by RST.
            tunnel.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            net.box.nft("flush ruleset")
            net.ringfence.wait_event("nftables.restored", count=turn + 1)


def test_rules_of_others_are_left_to_them(net):
    net.start(domains=["allowed.test"])
    net.box.nft("table inet other { set s { type ipv4_addr; }; chain c { }; }")
    net.box.nft("add element inet other s { 192.0.2.1 }\nadd rule inet other c counter")
    net.reload(domains=["evil.test"], ips=["192.0.2.2"])
    assert "table inet other" in net.rules() and "192.0.2.1" in net.rules()
    assert net.ringfence.events("nftables.restored") == []


# Two of us

@pytest.mark.parametrize("env", [{}, {"HTTP_PORT": 9080, "HTTPS_PORT": 9443, "NFLOG_GROUP": 9}],
                         ids=["same ports", "other ports"])
def test_a_second_instance_refuses_to_start_and_leaves_the_first_alone(net, env):
    first = net.start(domains=["allowed.test"])
    before = net.rules()
    second = net.start(domains=["allowed.test"], env=env, ready=None)
    assert second.wait_exit() == 1
    assert "another ringfence" in second.log()
    assert net.rules() == before and first.events("nftables.restored") == []
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"


def test_another_instance_may_start_once_the_first_is_killed(net):
    for _ in range(3):
        net.start(domains=["allowed.test"]).kill()
    net.start(domains=["allowed.test"])
    # The kernel closes a killed ring's listeners late: until then some clients still go there.
    until(lambda: net.client.tls("allowed.test") == "OK", "the last one serves")


def test_off_removes_the_rules_but_not_under_a_running_instance(net):
    first = net.start(domains=["allowed.test"])
    off = net.start("--off", ready=None)
    assert off.wait_exit() == 1 and "stop it first" in off.log()
    assert net.client.tls("evil.test") == "RESET"
    first.stop()
    assert net.client.tcp(ATTACKER, 22) == "REFUSED"
    assert net.start("--off", ready=None).wait_exit() == 0
    assert net.rules() == ""
    assert net.client.tls("evil.test") == "OK"
