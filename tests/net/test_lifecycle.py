"""test_lifecycle.py - starts, reloads, crashes: never is anything open that should not be."""
import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from client import read_response
from internet import ATTACKER, ORIGIN
from ringfence import binary, until
from world import policy_text

KILLS = RELOADS = 1000
LOG_LINES_OF_A_START = 12


def knock(net, port):
    """A datagram and a SYN to one port of the attacker, without waiting for anything."""
    with net.client.open(kind=socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.sendto(b"secret", (ATTACKER, port))
    with net.client.open() as sock:
        sock.setblocking(False)
        sock.connect_ex((ATTACKER, port))


@contextlib.contextmanager
def meanwhile(*actions):
    """Each action again and again in a thread of its own; an error ends the test. Between two turns
    a millisecond belongs to the others."""
    stop, errors = threading.Event(), []

    def repeat(action):
        try:
            for turn in itertools.count():
                action(turn)
                if stop.wait(0.001):
                    return
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=repeat, args=(action,), daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not errors, errors


def keep_alive(sock, host="allowed.test"):
    """One more request on an open connection."""
    sock.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert read_response(sock)[0] == 200


def is_cut(sock):
    try:
        return sock.recv(65536) == b""
    except ConnectionResetError:
        return True


# Starting

def test_from_the_first_refusal_on_nothing_leaves_while_it_starts(net):
    net.internet.silence(ATTACKER)              # counted, but not answered
    for turn in range(20):
        net.box.nft("flush ruleset")
        ports = []                              # one for each datagram, in order

        def send_another(_):
            ports.append(1000 * turn + len(ports) + 1)
            with contextlib.suppress(OSError):
                sock.sendto(b"secret", (ATTACKER, ports[-1]))
        with net.client.open(kind=socket.SOCK_DGRAM) as sock:
            with meanwhile(send_another):
                net.start(domains=["*"])
            send_another(0)
        arrived = {port for addr, protocol, port in net.internet.arrivals()
                   if (addr, protocol) == (ATTACKER, "udp")}
        passed = [port in arrived for port in ports]
        assert passed == sorted(passed, reverse=True) and not passed[-1]    # first open, then not
        net.ringfence.kill()


def test_a_thousand_kills_at_any_moment_let_nothing_out(net):
    net.start(domains=["*"]).kill()             # closed from here on
    command = [*net.box.prefix(), binary()]
    env = {**os.environ, **net.environment()}
    victims = []
    for turn in range(KILLS):
        victim = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
        if turn % 2:                            # after so many lines of its log, or so much time
            for _ in range(turn // 2 % LOG_LINES_OF_A_START):
                victim.stdout.readline()
        for port in range(turn % 10 if turn % 2 else turn // 2 % 250):
            knock(net, 1 + port)
        victim.kill()
        knock(net, 1000 + turn)
        victims.append(victim)
        if len(victims) > 1:                    # the next one starts while this one dies
            end(victims.pop(0))
    end(victims.pop())
    assert net.internet.arrived() == 0, net.internet.arrivals()
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"
    assert net.internet.arrived(ATTACKER) == 0


def end(victim):
    victim.stdout.close()
    assert victim.wait() == -signal.SIGKILL     # it never ended by itself


def test_after_a_kill_a_restart_is_clean(net):
    net.start(domains=["allowed.test"], ips=["192.0.2.1"])
    rules = net.rules()
    with net.client.connect(ORIGIN, 80) as tunnel:
        keep_alive(tunnel)
        net.ringfence.kill()
        assert is_cut(tunnel)
    assert net.client.tls("allowed.test") in ("REFUSED", "RESET")
    net.start(domains=["allowed.test"], ips=["192.0.2.1"])
    assert net.rules() == rules
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"
    assert net.client.tcp("192.0.2.1", 22) == "OK" and net.client.tcp(ATTACKER, 22) == "REFUSED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_end_is_exit_0_and_leaves_the_rules(net, number):
    net.start(domains=["*"], ips=["192.0.2.1"])
    with net.client.connect(ORIGIN, 80) as tunnel:
        keep_alive(tunnel)
        net.ringfence.signal(number)
        assert net.ringfence.wait_exit() == 0
        assert is_cut(tunnel)
    assert net.client.tcp(ATTACKER, 22) == "REFUSED"
    assert net.client.udp(ATTACKER, 9) == "UNREACHABLE"
    assert net.client.tls("allowed.test") == "REFUSED"
    assert net.client.tcp("192.0.2.1", 22) == "OK"      # the kernel needs nobody for addresses
    net.start(domains=["*"])
    assert net.client.tls("allowed.test") == "OK"


# Reloading

def test_a_thousand_reloads_under_load_leak_nothing_and_refuse_nothing(net):
    net.start(domains=["allowed.test"])
    good = []

    def be_good(turn):
        answer = net.client.http("allowed.test", to=ORIGIN)
        good.append(answer)
        assert answer == "OK", f"{answer!r} in turn {turn}"

    def be_bad(turn):
        knock(net, 1 + turn % 60000)
        assert net.client.http("evil.test", to=ATTACKER) == "RESET"
    with net.client.connect(ORIGIN, 80) as tunnel:
        with meanwhile(be_good, be_bad):
            for turn in range(RELOADS):
                changed = [f"192.0.{turn % 200}.0/24"] if turn % 4 < 2 else []     # half: new rules
                net.reload(domains=["allowed.test", f"r{turn}.test"], ips=changed,
                           in_place=turn % 2 == 0)
                keep_alive(tunnel)
    assert len(good) > 10
    assert net.internet.arrived(ATTACKER) == 0
    assert net.ringfence.events("nftables.restored") == []
    assert len(net.ringfence.events("policy.applied")) == RELOADS + 1


BROKEN = [
    ("allowlist:\n  domains: [", ":3:1: "),
    ("allowlist:\n  domains:\n    - ok.test\n\t- tab.test\n", ":4:1: "),
    ("allowlist:\n  domains:\n    - 'open\n", ":3:7: "),
    ("allowlist:\n  ips:\n    - 192.0.2.1\n    - 192.0.2.300\n", ":4:7: "),
    ("allowlist:\n  ips:\n    - 10.0.0.0/33\n", ":3:7: "),
    ("allowlist:\n  ips:\n    - allowed.test\n", ":3:7: "),
    ("allowlist:\n  ips:\n    - '[2001:db8::1]:443'\n", ":3:7: "),
    ("allowlist:\n  domains:\n    - exa mple.test\n", ":3:7: "),
    ("allowlist:\n  domains:\n    - https://example.test/\n", ":3:7: "),
    ("allowlist:\n  domains:\n    - a.*.test\n", ":3:7: "),
    ("allowlist:\n  domains:\n    - '/^.*$/'\n", ":3:7: "),
    ("allowlist:\n  domains:\n    - {name: a.test}\n", ":3:7: "),
    ("allowlist:\n  domains: a.test\n", ":2:12: "),
    ("allowlist:\n  domain:\n    - a.test\n", ":2:3: "),
    ("allow:\n  domains: []\n", ":1:1: "),
    ("denylist:\n  domains:\n    - a.test\n", ":3:7: "),
    ("default_action: allow\n", ":1:17: "),
    ("allowlist:\n  domains: []\nallowlist:\n  domains: []\n", ":3:1: "),
    ("allowlist:\n  domains: [&a evil.test, *a]\n", ":2:13: "),
    ("--- {}\n--- {}\n", ":2:1: "),
    ("- allowlist\n", ":1:1: "),
    ("just words\n", ":1:1: "),
    ("allowlist: \xff\xfe\n".encode("latin1"), ":1:"),
]


def test_broken_policies_change_nothing_and_say_where(net):
    net.start(domains=["allowed.test"])
    with net.client.connect(ORIGIN, 80) as tunnel:
        for text, place in BROKEN:
            since = net.ringfence.now()
            with open(net.policy_path + ".new", "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            os.rename(net.policy_path + ".new", net.policy_path)
            told = net.ringfence.wait_event("policy.reload_failed", since=since)
            assert told["err"].startswith(net.policy_path + place), (text, told["err"])
            assert told["level"] == "error" and "\n" not in told["err"]
            keep_alive(tunnel)
        assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"
        net.reload(domains=["allowed.test", "evil.test"])
        keep_alive(tunnel)
    assert net.client.tls("evil.test") == "OK"


def test_a_policy_that_goes_away_stays_in_force(net):
    net.start(domains=["allowed.test"])
    os.unlink(net.policy_path)
    net.ringfence.signal(signal.SIGHUP)
    assert "No such file" in net.ringfence.wait_event("policy.read_error")["err"]
    os.mkdir(net.policy_path)
    try:
        net.ringfence.signal(signal.SIGHUP)
        net.ringfence.wait_event("policy.read_error", count=2)
    finally:
        os.rmdir(net.policy_path)
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"
    net.reload(domains=["evil.test"])
    assert net.client.tls("evil.test") == "OK" and net.client.tls("allowed.test") == "RESET"


def test_a_policy_without_an_entry_is_warned_of(net):
    net.start(domains=["allowed.test"])
    assert net.ringfence.events("policy.empty") == []
    for turn, text in enumerate(("", "allowlist:\n  domains:\n", "# nothing\n"), 1):
        net.reload(domains=[f"r{turn}.test"])
        net.reload(policy=text)
        assert net.ringfence.wait_event("policy.empty", count=turn)["level"] == "warn"
    net.ringfence.stop()
    net.start(policy="")
    net.ringfence.wait_event("policy.empty")
    assert net.client.tls("allowed.test") == "RESET"


def test_tunnels_are_cut_when_their_name_is_taken_off_and_only_then(net):
    net.start(domains=["allowed.test", "*.wild.test"], env={"LOG_LEVEL": "DEBUG"})
    with net.client.connect(ORIGIN, 80) as stays, net.client.connect(ORIGIN, 80) as goes:
        for turn in range(20):
            keep_alive(stays)
            keep_alive(goes, "a.wild.test")
            net.reload(domains=["allowed.test", "*.wild.test", f"r{turn}.test"],
                       ips=[f"192.0.2.{turn}"] if turn % 2 else [], in_place=turn % 3 == 0)
        net.reload(domains=["allowed.test"])
        with pytest.raises(ConnectionResetError):
            goes.recv(100)
        net.ringfence.wait_event("http.blocked", host="a.wild.test", reason="policy-changed")
        keep_alive(stays)
    assert net.ringfence.events("http.closed", reason="policy-changed", host="allowed.test") == []


def test_an_address_that_is_taken_off_is_closed_to_new_connections(net):
    net.start(ips=["192.0.2.0/24", "2001:db8:2::/48"])
    assert net.client.tcp("192.0.2.9", 22) == "OK" and net.client.tcp("2001:db8:2::9", 22) == "OK"
    net.reload(ips=["192.0.2.0/29"])
    assert net.client.tcp("192.0.2.7", 22) == "OK"
    for addr in "192.0.2.9", "2001:db8:2::9":
        assert net.client.tcp(addr, 22) == "REFUSED" and net.client.udp(addr, 9) == "UNREACHABLE"


# How policies are edited

def test_a_file_that_is_being_written_is_not_read_before_it_is_closed(net):
    net.start(domains=["allowed.test", "evil.test"])
    with net.client.connect(ORIGIN, 80) as tunnel:
        keep_alive(tunnel)
        with open(net.policy_path, "w") as file:        # empty now: a valid policy, of nothing
            keep_alive(tunnel)
            file.write("allowlist:\n  domains:\n    - a.test\n")
            file.flush()                                # half there, and valid too
            with open(os.path.dirname(net.policy_path) + "/other", "w"):
                pass                                    # a neighbour is no reason to look
            # What else makes us look, as the last events of the change before may, does not now.
            since = net.ringfence.now()
            os.chmod(net.policy_path, 0o640)
            os.rename(os.path.dirname(net.policy_path) + "/other",
                      os.path.dirname(net.policy_path) + "/another")
            net.ringfence.signal(signal.SIGUSR1)
            net.ringfence.wait_event("metrics", since=since)
            for _ in range(20):
                keep_alive(tunnel)
            file.write("    - allowed.test\n")
        net.ringfence.wait_event("policy.applied", since=since)
        keep_alive(tunnel)
    assert len(net.ringfence.events("policy.applied")) == 2
    assert net.client.tls("evil.test") == "RESET"
    os.unlink(os.path.dirname(net.policy_path) + "/another")


@pytest.mark.parametrize("how", ["unlinked", "moved", "unlinked late"])
def test_a_new_file_is_not_read_before_its_writer_has_closed_it(net, how):
    """It is there, and empty: a valid policy, of nothing."""
    net.start(domains=["allowed.test"])
    old = open(net.policy_path)         # keeps the old file's watch until the new one is there
    for turn in range(40):
        since = net.ringfence.now()
        if how == "moved":
            os.rename(net.policy_path, net.policy_path + "~")
        else:
            os.unlink(net.policy_path)
        with open(net.policy_path, "w") as file:
            if how == "unlinked late":
                old.close()
                old = open(net.policy_path)
            net.ringfence.signal(signal.SIGUSR1)
            net.ringfence.wait_event("metrics", since=since)
            since = net.ringfence.now()
            file.write(policy_text(["allowed.test", f"r{turn}.test"]))
        net.ringfence.wait_event("policy.applied", since=since, filter_count=2)
    old.close()
    assert all(one["filter_count"] for one in net.ringfence.events("policy.applied"))
    if how == "moved":
        os.unlink(net.policy_path + "~")


def test_an_editor_may_move_the_file_away_and_write_a_new_one(net):
    net.start(domains=["allowed.test"])
    for turn in range(5):
        since = net.ringfence.now()
        os.rename(net.policy_path, net.policy_path + "~")
        with open(net.policy_path, "w") as file:
            file.write(policy_text(["allowed.test", f"r{turn}.test"]))
        net.ringfence.wait_event("policy.applied", since=since, filter_count=2)
    os.unlink(net.policy_path + "~")
    assert net.ringfence.events("policy.read_error") == []
    assert net.client.tls("allowed.test") == "OK"


def test_a_hard_link_is_a_whole_file(net):
    net.start(domains=["allowed.test"])
    with open(net.policy_path + ".new", "w") as file:
        file.write(policy_text(["allowed.test", "linked.test"]))
    since = net.ringfence.now()
    os.unlink(net.policy_path)
    os.link(net.policy_path + ".new", net.policy_path)
    net.ringfence.wait_event("policy.applied", since=since, filter_count=2)
    os.unlink(net.policy_path + ".new")


def test_links_are_followed_as_kubernetes_swaps_them(net):
    folder = os.path.join(net.folder, "mounted")

    def publish(turn, domains):
        os.makedirs(f"{folder}/..{turn}")
        with open(f"{folder}/..{turn}/policy.yaml", "w") as file:
            file.write(policy_text(domains))
        os.symlink(f"..{turn}", f"{folder}/..data_tmp")
        os.rename(f"{folder}/..data_tmp", f"{folder}/..data")
        if turn:
            shutil.rmtree(f"{folder}/..{turn - 1}")
    try:
        publish(0, ["allowed.test"])
        os.symlink("..data/policy.yaml", f"{folder}/policy.yaml")
        net.start(env={"POLICY_PATH": f"{folder}/policy.yaml"})
        for turn in range(1, 6):
            publish(turn, ["evil.test"] if turn % 2 else ["allowed.test"])
            net.ringfence.wait_event("policy.applied", count=turn + 1)
            assert net.client.tls("allowed.test") == ("RESET" if turn % 2 else "OK")
            assert net.client.tls("evil.test") == ("OK" if turn % 2 else "RESET")
    finally:
        shutil.rmtree(folder)


def test_a_file_replaced_behind_a_single_file_mount_is_warned_of(net):
    source = os.path.join(net.folder, "source.yaml")
    with open(source, "w") as file:
        file.write(policy_text(["allowed.test"]))
    net.write_policy("")
    net.start(policy="", wrapper=["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && '
                                  'exec "$@"', source, net.policy_path])
    assert net.client.tls("allowed.test") == "OK"
    with open(source + ".new", "w") as file:
        file.write(policy_text(["evil.test"]))
    os.rename(source + ".new", source)
    assert net.ringfence.wait_event("policy.stale_inode")["level"] == "warn"
    assert net.client.tls("allowed.test") == "OK"       # the old content is all there is


# Signals

def test_sighup_reloads_and_opens_the_log_anew(net):
    log = os.path.join(net.folder, "ringfence.log")
    instance = net.start(domains=["allowed.test"], env={"LOG_FILE": log}, ready=None)

    def wait_for(path, text):
        deadline = time.monotonic() + 30
        while not os.path.exists(path) or text not in open(path).read():
            assert instance.process.poll() is None and time.monotonic() < deadline
    try:
        wait_for(log, "startup.ready")
        os.rename(log, log + ".1")
        instance.signal(signal.SIGHUP)
        wait_for(log, "policy.applied")
        assert open(log + ".1").read().count("policy.applied") == 1
        assert net.client.tls("evil.test") == "RESET"
        wait_for(log, "https.blocked")
    finally:
        instance.stop()
        os.unlink(log)
        os.unlink(log + ".1")


def test_a_limit_of_file_sizes_costs_lines_and_nothing_else(net):
    log = os.path.join(net.folder, "ringfence.log")
    with open(log, "w") as file:
        file.write("x" * 4096)
    instance = net.start(domains=["allowed.test"], env={"LOG_FILE": log}, ready=None,
                         wrapper=["prlimit", "--fsize=4096", "--"])
    try:
        until(lambda: net.client.tls("evil.test") == "RESET", "the filter")     # it cannot say so
        assert net.client.tls("allowed.test") == "OK"
        assert instance.log().count(f"{log}: File too large: lines are lost") == 1     # stderr
    finally:
        instance.stop()
        os.unlink(log)


def test_sigusr1_logs_the_counters(net):
    net.start(domains=["allowed.test"])
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"
    net.ringfence.signal(signal.SIGUSR1)
    counters = net.ringfence.wait_event("metrics")
    assert (counters["conns_opened"], counters["conns_allowed"], counters["conns_blocked"]) == (
        2, 1, 1)
