"""test_unblock.py - what is unblocked in the dashboard becomes a part of the policy."""
import datetime
import os
import stat

import pytest

from collector import KEY, SHIP, Collector, answer
from dnsflood import Flood
from internet import ATTACKER, ORIGIN
from netns import command
from ringfence import binary
from world import policy_text

UNBLOCKS = 8
POLICY = """\
# Our policy.
allowlist:
  domains:        # names
    - 'allowed.test'   # the one we need

  # addresses
  ips: []
"""


class Dashboard(Collector):
    """With requests to unblock. ours: it has /sync, as ringfence's own; otherwise g0efilter's."""
    def __init__(self, net, ours):
        super().__init__(net)
        self.pending, self.acks, self.syncs, self.gone = [], [], [], []
        self.routes["/api/v1/unblocks/ack"] = self.ack
        if ours:
            self.routes["/api/v1/sync"] = self.sync
        else:
            self.routes["/api/v1/unblocks"] = self.fetch
        self.has_sync = ours

    def sync(self, post):
        self.syncs.append(post.json())
        return answer(200, {"managed": False, "changed": False, "pending": self.pending})

    def fetch(self, post):
        self.syncs.append(post.query)
        return answer(200, {"completed": [], "pending": self.pending})

    def ack(self, post):
        assert post.header("x-api-key") == KEY
        fact = post.json()
        self.acks.append(fact)
        self.pending = [item for item in self.pending if item["id"] != fact["id"]]
        return answer(200, {"status": "ok"})

    def ask(self, value, kind="domain", id=None, **more):
        item = {"id": id or f"id{len(self.acks)}", "type": kind, "value": value,
                "target_hostname": "", "created_at": "2026-11-29T10:00:00Z", **more}
        self.pending = self.pending + [item]
        return item["id"]

    def result(self, id):
        return self.wait(lambda: [ack for ack in self.acks if ack["id"] == id],
                         f"the answer to {id}")[-1]

    def unblock(self, value, kind="domain", **more):
        return self.result(self.ask(value, kind, **more))


@pytest.fixture(params=[True, False], ids=["ours", "g0efilter's"])
def server(net, request):
    return Dashboard(net, request.param)


@pytest.fixture
def ours(net):
    return Dashboard(net, True)


SAVE_MEANWHILE = os.path.join(os.path.dirname(binary()), "tests", "libsave_meanwhile.so")


def overlay(net):
    return os.path.join(net.folder, "overlay.yaml")


def start(net, server, policy=POLICY, fresh=True, wrapper=(), **env):
    if fresh and os.path.exists(overlay(net)):
        os.unlink(overlay(net))
    net.start(policy=policy, wrapper=wrapper, env={
        "DASHBOARD_HOST": server.url, **SHIP, "ENABLE_REMOTE_UNBLOCK": "true",
        "UNBLOCK_POLL_INTERVAL": "100ms", "POLICY_OVERLAY_PATH": overlay(net),
        "HOSTNAME": "host 1", **env})


def policy(net):
    with open(net.policy_path) as file:
        return file.read()


def later(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_name_is_unblocked_and_acknowledged_when_it_is_in_force(net, server):
    start(net, server)
    net.ringfence.wait_event("remote_unblock.enabled")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    fact = server.unblock("Evil.test", id="4f2a")
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"       # at once
    assert fact["status"] == "applied" and fact["hostname"] == "host 1"
    applied = net.ringfence.wait_event("remote_unblock.applied", id="4f2a")
    assert applied["hash"] == fact["policy_hash"] == \
        net.ringfence.wait_event("policy.reloaded")["hash"]
    assert policy(net) == POLICY.replace(
        "the one we need\n",
        'the one we need\n    - "evil.test" # ringfence: unblocked id=4f2a\n')
    if not server.has_sync:
        assert server.syncs[-1] == "hostname=host%201"


def test_an_address_is_unblocked(net, server):
    start(net, server)
    assert net.client.tcp(ATTACKER, 2222) != "OK"
    assert server.unblock(ATTACKER, "ip")["status"] == "applied"
    assert net.client.tcp(ATTACKER, 2222) == "OK"
    assert f'  ips:\n    - "{ATTACKER}" # ringfence: unblocked' in policy(net)


def test_what_is_there_already_is_acknowledged_and_nothing_changes(net, server):
    start(net, server)
    assert server.unblock("ALLOWED.test")["status"] == "applied"
    assert policy(net) == POLICY


@pytest.mark.parametrize("kind, value, word", [
    ("domain", "*", "everything"), ("domain", "*.test", "top-level"),
    ("domain", "*.co.uk", "registers"), ("domain", "co.uk", "public suffix"),
    ("domain", "/.*/", "pattern"), ("domain", "a*b.test", "patterns"),
    ("domain", "no name", "no domain"), ("domain", ATTACKER, "no domain"),
    ("ip", "10.0.0.0/8", "single"), ("ip", "169.254.169.254", "never"), ("ip", "x", "no address"),
    ("regex", "x", "type"),
])
def test_what_would_open_too_much_is_refused_with_a_reason(net, ours, kind, value, word):
    start(net, ours)
    fact = ours.unblock(value, kind)
    assert fact["status"] == "failed" and word in fact["error"]
    assert policy(net) == POLICY and not os.path.exists(overlay(net))
    net.ringfence.wait_event("remote_unblock.apply_failed", value=value)


def test_a_refusal_is_not_told_to_a_server_that_would_take_it_for_done(net):
    server = Dashboard(net, False)
    start(net, server)
    server.ask("*", id="bad")
    assert server.unblock("evil.test", id="good")["status"] == "applied"
    asked = len(server.syncs)
    server.wait(lambda: len(server.syncs) > asked + 3)
    assert [fact["id"] for fact in server.acks] == ["good"]
    assert len(net.ringfence.events("remote_unblock.apply_failed")) == 1


def test_for_a_while_it_is_in_the_overlay_and_gone_when_its_time_is_over(net, ours):
    start(net, ours)
    assert ours.unblock("evil.test", expires_at=later(5))["status"] == "applied"
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    assert policy(net) == POLICY and "evil.test" in open(overlay(net)).read()
    net.ringfence.wait_event("remote_unblock.expired", value="evil.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert "evil.test" not in open(overlay(net)).read()


def test_a_restart_forgets_neither_entry_nor_time(net, ours):
    start(net, ours)
    ours.unblock("evil.test", id="long", expires_at=later(3600))
    ours.unblock("other.test", id="short", expires_at=later(5))
    net.ringfence.stop()
    start(net, ours, fresh=False)
    net.ringfence.wait_event("remote_unblock.expired", value="other.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    assert net.client.tls("other.test", to=ATTACKER) == "RESET"


def test_once_is_over_when_its_connection_is(net, ours):
    start(net, ours)
    assert ours.unblock("evil.test", once=True)["status"] == "applied"
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    net.ringfence.wait_event("remote_unblock.expired", value="evil.test", once=True)
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"


def test_undo_takes_it_out_again_and_leaves_the_rest_byte_for_byte(net, ours):
    start(net, ours)
    ours.unblock("evil.test", id="first")
    ours.unblock("203.0.113.200", "ip", id="second")
    assert ours.unblock("evil.test", id="undo1", remove=True, undoes="first")["status"] == "applied"
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert policy(net) == POLICY.replace(
        "ips: []", 'ips:\n    - "203.0.113.200" # ringfence: unblocked id=second')
    net.ringfence.wait_event("remote_unblock.removed")
    fact = ours.unblock("allowed.test", id="undo2", remove=True, undoes="never")
    assert fact["status"] == "failed" and "policy file" in fact["error"]


BROKEN = POLICY + "denylist: [\n"


def test_while_the_policy_file_is_broken_a_time_is_over_all_the_same(net, ours):
    start(net, ours)
    assert ours.unblock("evil.test", expires_at=later(5))["status"] == "applied"
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    net.reload(policy=BROKEN, wait="policy.reload_failed")
    net.ringfence.wait_event("remote_unblock.expired", value="evil.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    assert "evil.test" not in open(overlay(net)).read() and policy(net) == BROKEN
    assert len(net.ringfence.events("policy.reload_failed")) == 1
    net.reload(policy=POLICY.replace("allowed.test", "evil.test"))
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    assert net.client.tls("allowed.test", to=ORIGIN) == "RESET"


def test_while_the_policy_file_is_broken_unblock_and_undo_go_by_what_is_in_force(net, ours):
    start(net, ours)
    ours.unblock(ATTACKER, "ip", id="first", expires_at=later(3600))
    net.reload(policy=BROKEN, wait="policy.reload_failed")
    assert ours.unblock("evil.test", id="second")["status"] == "applied"
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    assert net.client.tcp(ATTACKER, 2222) == "OK"
    for value, kind, id in ((ATTACKER, "ip", "first"), ("evil.test", "domain", "second")):
        fact = ours.unblock(value, kind, id="undo-" + id, remove=True, undoes=id)
        assert fact["status"] == "applied"
    assert net.client.tcp(ATTACKER, 2222) != "OK"
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    assert policy(net) == BROKEN


# Good YAML, and no good policy; the name stands in it.
UNKNOWN = POLICY.replace("allowed.test", "evil.test") + "unknown: 1\n"


def test_a_name_in_a_policy_file_that_was_never_loaded_is_not_taken_for_unblocked(net, ours):
    start(net, ours)
    net.reload(policy=UNKNOWN, wait="policy.reload_failed")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert ours.unblock("evil.test")["status"] == "applied"
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"       # by the overlay
    assert policy(net) == UNKNOWN and "evil.test" in open(overlay(net)).read()


def test_without_an_overlay_it_is_refused_while_the_policy_file_is_broken(net, ours):
    folder = os.path.dirname(net.policy_path)
    start(net, ours, POLICY_OVERLAY_PATH=folder)                  # a folder is no file
    net.reload(policy=UNKNOWN, wait="policy.reload_failed")
    fact = ours.unblock("evil.test")
    assert fact["status"] == "failed" and "no good policy" in fact["error"]
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert policy(net) == UNKNOWN


def test_while_the_policy_file_is_away_a_time_is_over_all_the_same(net, ours):
    start(net, ours)
    assert ours.unblock("evil.test", expires_at=later(5))["status"] == "applied"
    os.unlink(net.policy_path)
    net.ringfence.wait_event("remote_unblock.expired", value="evil.test")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"


def test_a_single_file_mount_gets_an_overlay(net, ours):
    """As docker mounts a file: a rename onto it is EBUSY."""
    net.write_policy(POLICY)
    command("mount", "--bind", net.policy_path, net.policy_path)
    try:
        net.write_policy = lambda text, in_place=False: None
        start(net, ours)
        assert ours.unblock("evil.test")["status"] == "applied"
        assert net.client.tls("evil.test", to=ATTACKER) == "OK"
        assert policy(net) == POLICY and "evil.test" in open(overlay(net)).read()
        net.ringfence.stop()
        start(net, ours, fresh=False)
        assert net.client.tls("evil.test", to=ATTACKER) == "OK"
    finally:
        del net.write_policy
        command("umount", net.policy_path)


def test_a_read_only_mount_gets_an_overlay_and_without_one_a_reason(net, ours):
    folder = os.path.dirname(net.policy_path)
    net.write_policy(POLICY)
    command("mount", "--bind", folder, folder)
    command("mount", "-o", "remount,bind,ro", folder)
    try:
        net.write_policy = lambda text, in_place=False: None
        start(net, ours)
        assert ours.unblock("evil.test")["status"] == "applied"
        assert net.client.tls("evil.test", to=ATTACKER) == "OK"
        net.ringfence.stop()
        start(net, ours, POLICY_OVERLAY_PATH=os.path.join(folder, "overlay.yaml"))
        fact = ours.unblock("third.test")
        assert fact["status"] == "failed" and "Read-only" in fact["error"]
    finally:
        del net.write_policy
        command("umount", folder)


def test_lists_in_brackets_get_an_overlay(net, ours):
    text = "allowlist: {domains: [allowed.test]}\n"
    start(net, ours, policy=text)
    assert ours.unblock("evil.test")["status"] == "applied"
    assert policy(net) == text and net.client.tls("evil.test", to=ATTACKER) == "OK"


def test_mode_and_owner_of_the_file_stay(net, ours):
    start(net, ours)
    os.chmod(net.policy_path, 0o640)
    os.chown(net.policy_path, 1234, 1234)
    ours.unblock("evil.test")
    found = os.stat(net.policy_path)
    assert stat.S_IMODE(found.st_mode) == 0o640 and found.st_uid == found.st_gid == 1234


def test_a_draft_of_the_owners_beside_the_file_stays(net, ours):
    start(net, ours)
    draft = net.policy_path + ".new"
    with open(draft, "w") as file:
        file.write("a draft\n")
    assert ours.unblock("evil.test")["status"] == "applied"
    assert "evil.test" in policy(net) and open(draft).read() == "a draft\n"
    assert sorted(os.listdir(os.path.dirname(draft))) == ["policy.yaml", "policy.yaml.new"]
    os.unlink(draft)


@pytest.mark.skipif(not os.path.exists(SAVE_MEANWHILE), reason="a sanitizer's build has no library")
def test_what_an_editor_saves_while_we_edit_is_not_lost(net, ours):
    draft = os.path.join(net.folder, "draft")
    start(net, ours, wrapper=["env", f"LD_PRELOAD={SAVE_MEANWHILE}", f"SAVE_FROM={draft}",
                              f"SAVE_TO={net.policy_path}"])
    saved = POLICY.replace("Our policy", "Our new policy").replace("[]", "[203.0.113.99]")
    with open(draft, "w") as file:
        file.write(saved)
    assert ours.unblock("evil.test")["status"] == "applied"
    assert not os.path.exists(draft)
    assert "new policy" in policy(net) and "203.0.113.99" in policy(net)
    assert "evil.test" in policy(net)
    assert net.client.tls("evil.test", to=ATTACKER) == "OK"


def test_a_broken_overlay_is_said_and_blocks(net, ours):
    with open(overlay(net), "w") as file:
        file.write("allowlist:\n  domains:\n    - evil.test\n    - [\n")
    start(net, ours, fresh=False)
    net.ringfence.wait_event("policy.overlay_bad")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"


def test_lists_of_the_environment_are_not_changed(net, ours):
    start(net, ours, ALLOWLIST_DOMAINS="allowed.test")
    fact = ours.unblock("evil.test")
    assert fact["status"] == "failed" and "ALLOWLIST_" in fact["error"]


def test_an_acknowledgement_that_is_lost_is_sent_again(net, server):
    lost = []

    def lose(post):
        lost.append(post)
        return answer(500) if len(lost) == 1 else server.ack(post)
    server.routes["/api/v1/unblocks/ack"] = lose
    start(net, server)
    assert server.unblock("evil.test")["status"] == "applied"
    net.ringfence.wait_event("remote_unblock.ack_failed")
    assert policy(net).count("evil.test") == 1


def test_a_dashboard_that_is_away_is_said_once(net, server):
    server.die()
    start(net, server)
    net.ringfence.wait_event("remote_unblock.fetch_failed")
    server.revive()
    assert server.unblock("evil.test")["status"] == "applied"
    assert len(net.ringfence.events("remote_unblock.fetch_failed")) == 1


def test_without_a_key_it_is_off_and_said(net):
    net.start(domains=["allowed.test"], env={"ENABLE_REMOTE_UNBLOCK": "true",
                                             "DASHBOARD_HOST": "http://dash.test:8081"})
    net.ringfence.wait_event("remote_unblock.disabled")


def test_the_fleet_sees_how_we_are_and_what_is_used(net, ours):
    start(net, ours, ENABLE_REMOTE_UNBLOCK="false")
    ours.wait(lambda: ours.syncs)
    said = ours.syncs[0]
    assert said["hostname"] == "host 1" and said["filter_mode"] == "https" and said["version"]
    assert said["policy"]["domains"] == [{"entry": "allowed.test", "hits": 0}]
    assert said["policy"]["read_only"] is False and said["started"].endswith("Z")
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    ours.wait_event(msg="https.allowed")
    net.reload(domains=["allowed.test", "*.wild.test"])
    ours.wait(lambda: [entry for entry in ours.syncs[-1]["policy"]["domains"]
                       if entry["entry"] == "allowed.test" and entry["hits"] == 1])
    assert ours.syncs[-1]["config_hash"] != said["config_hash"]
    assert ours.syncs[-1]["counters"]["conns_allowed"] == 1
    ours.ask("evil.test")
    assert not ours.acks


def test_workers_that_are_busy_with_names_leave_the_acknowledgement_to_others(net, ours):
    """They have descriptors of their own: the log's and the shipper's are other things there."""
    flood = Flood(net)
    start(net, ours, policy_text(["*.wild.test"]), WORKERS=2, DNS_HARDENING="false",
          LOG_FILE="/dev/stdout", LOG_LEVEL="INFO")
    with flood:
        for number in range(UNBLOCKS):
            fact = ours.unblock(f"n{number}.example", id=f"n{number}")
            assert fact["status"] == "applied"
    for number in range(UNBLOCKS):
        net.ringfence.wait_event("remote_unblock.applied", id=f"n{number}")
