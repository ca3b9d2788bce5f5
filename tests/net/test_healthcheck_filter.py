"""test_healthcheck_filter.py - the health check of a running filter: rules, listeners, policy."""
import contextlib
import os
import signal
import socket
import subprocess
import threading

import pytest

from forwarding import until
from ringfence import PATIENCE, binary
from world import policy_text


def check(net, **variables):
    """`ringfence healthcheck` as Docker runs it: in the same namespace, by the same environment."""
    env = {**os.environ, **net.environment(variables)}
    return subprocess.run([*net.box.prefix(), binary(), "healthcheck"], env=env, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)


def healthy(done):
    assert done.returncode == 0 and "ERROR" not in done.stderr, done


def unhealthy(done, *words):
    """One line that says what is wrong."""
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[-1].startswith("ERROR:healthcheck:"), done
    assert len(lines) == 2, done
    for word in words:
        assert word in lines[-1], done


def test_a_running_filter_is_healthy(net):
    unhealthy(check(net), "no running ringfence")
    net.start(domains=["allowed.test"])
    done = check(net)
    healthy(done)
    assert done.stdout == ""
    net.reload(domains=["allowed.test", "evil.test"])
    healthy(check(net))
    net.ringfence.stop()
    unhealthy(check(net), "no running ringfence")


def test_one_by_variables_alone_is_healthy_too(net):
    net.start(env={"ALLOWLIST_DOMAINS": "allowed.test", "HTTP_PORT": 9080, "HTTPS_PORT": 9443})
    healthy(check(net))


def test_a_killed_filter_is_unhealthy_and_a_new_one_takes_its_place(net):
    net.start(domains=["allowed.test"]).kill()
    unhealthy(check(net), "no running ringfence")
    net.start(domains=["allowed.test"])
    healthy(check(net))


def test_a_stopped_filter_is_unhealthy(net):
    net.start(domains=["allowed.test"])
    net.ringfence.signal(signal.SIGSTOP)
    try:
        unhealthy(check(net), "stuck")
    finally:
        net.ringfence.signal(signal.SIGCONT)
    healthy(check(net))


def test_flushed_rules_are_back_before_anybody_can_ask(net):
    net.start(domains=["allowed.test"])
    for _ in range(10):
        net.box.nft("flush ruleset")
        healthy(check(net))


@contextlib.contextmanager
def rules_held_off(net):
    """Another program takes our table away, and keeps the name: the kernel lets nobody else touch a
    table that has an owner."""
    with subprocess.Popen([*net.box.prefix(), "nft", "-i"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, text=True) as nft:
        nft.stdin.write("delete table inet ringfence; add table inet ringfence { flags owner; }\n")
        nft.stdin.flush()
        yield
        nft.stdin.close()


def test_rules_that_are_held_off_are_unhealthy_until_they_are_back(net):
    net.start(domains=["allowed.test"])
    with rules_held_off(net):
        net.ringfence.wait_event("nftables.restore_failed")
        unhealthy(check(net), "rules are not in force")
        unhealthy(check(net), "rules are not in force")
    until(lambda: check(net).returncode == 0, "the rules are back")
    net.ringfence.wait_event("nftables.restored")
    assert net.client.tls("allowed.test") == "OK" and net.client.tls("evil.test") == "RESET"


def test_a_broken_policy_is_unhealthy_until_it_is_corrected(net):
    net.start(domains=["allowed.test"])
    net.reload("allowlist:\n  domains: [", wait="policy.reload_failed")
    unhealthy(check(net), "policy.yaml:", "correct it", "(for ")
    assert net.client.tls("allowed.test") == "OK"       # the old one is in force
    net.reload(domains=["allowed.test", "evil.test"])
    healthy(check(net))


def test_a_policy_that_is_gone_is_unhealthy(net):
    net.start(domains=["allowed.test"])
    os.unlink(net.policy_path)
    net.ringfence.wait_event("policy.read_error")
    unhealthy(check(net), "policy.yaml", "No such file")


def said(path):
    """What the filter says of itself: all of it, to `end`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    assert text.endswith("\nend\n")
    return dict(line.split(" ", 1) for line in text.splitlines()[:-1])


@contextlib.contextmanager
def saying(path, facts):
    """Somebody who says this, to one who asks."""
    text = "".join(f"{key} {value}\n" for key, value in facts.items()) + "end\n"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen()

        def answer():
            client, _ = sock.accept()
            with client:
                client.sendall(text.encode())
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.unlink(path)
            thread.join(PATIENCE)


def test_a_change_that_was_never_seen_is_unhealthy_after_a_while(net):
    """A filter whose watch has died is not to be had: somebody speaks in its place."""
    path, other = (os.path.join(net.folder, name) for name in ("filter.sock", "other.sock"))
    net.start(domains=["allowed.test"], env={"CONTROL_SOCKET": path})
    facts = said(path)
    assert facts["policy"] == "ok" and facts["rules"] == "ok" and facts["ports"] == "8080 8443 53"
    assert facts["policy_path"] == net.policy_path and len(facts["policy_hash"]) == 64
    assert facts["metrics.conns_opened"] == "0" and int(facts["pid"]) > 1
    old = "/bin/true"                                   # a file that nobody has changed for long
    for policy, verdict in (net.policy_path, healthy), (old, unhealthy):
        with saying(other, {**facts, "policy_path": policy, "policy_hash": 64 * "0"}):
            verdict(check(net, CONTROL_SOCKET=other))


@pytest.mark.parametrize("fact, word", [
    ("rules", "rules"), ("ports", "listeners"), ("policy", "policy"), ("job", "no filter")])
def test_what_is_not_said_is_not_well(net, fact, word):
    path, other = (os.path.join(net.folder, name) for name in ("filter.sock", "other.sock"))
    net.start(domains=["allowed.test"], env={"CONTROL_SOCKET": path})
    facts = said(path)
    del facts[fact]
    with saying(other, facts):
        unhealthy(check(net, CONTROL_SOCKET=other), word)


def test_a_text_that_is_cut_is_no_answer(net):
    other = os.path.join(net.folder, "other.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(other)
        sock.listen()
        done = subprocess.Popen([binary(), "healthcheck"], stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "CONTROL_SOCKET": other})
        client, _ = sock.accept()
        with client:
            client.sendall(b"job filter\nrules ok\n")
        assert "no status of a ringfence" in done.communicate(timeout=PATIENCE)[1]
    os.unlink(other)
    assert done.returncode == 1


def test_a_port_that_nobody_listens_on_is_unhealthy(net):
    path, other = (os.path.join(net.folder, name) for name in ("filter.sock", "other.sock"))
    net.start(domains=["allowed.test"], env={"CONTROL_SOCKET": path})
    with saying(other, {**said(path), "ports": "8080 8444"}):
        unhealthy(check(net, CONTROL_SOCKET=other), "port 8444")


def test_a_policy_replaced_behind_a_single_file_mount_is_unhealthy(net):
    source = os.path.join(net.folder, "source.yaml")
    with open(source, "w") as file:
        file.write(policy_text(["allowed.test"]))
    net.start(policy="", wrapper=["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && '
                                  'exec "$@"', source, net.policy_path])
    healthy(check(net))
    with open(source + ".new", "w") as file:
        file.write(policy_text(["evil.test"]))
    os.rename(source + ".new", source)
    net.ringfence.wait_event("policy.stale_inode")
    unhealthy(check(net), "single-file mount", "mount its folder")


def test_without_a_place_for_its_socket_it_filters_on_and_says_so(net):
    nowhere = os.path.join(net.folder, "nowhere", "filter.sock")
    net.start(domains=["allowed.test"], env={"CONTROL_SOCKET": nowhere})
    assert "CONTROL_SOCKET" in net.ringfence.wait_event("control.unavailable")["note"]
    assert net.client.tls("allowed.test") == "OK"
    unhealthy(check(net, CONTROL_SOCKET=nowhere), "no running ringfence")


def test_an_instance_is_found_by_its_own_path(net):
    path = os.path.join(net.folder, "filter.sock")
    net.start(domains=["allowed.test"], env={"CONTROL_SOCKET": path})
    unhealthy(check(net), "no running ringfence")
    healthy(check(net, CONTROL_SOCKET=path))
    assert os.stat(path).st_mode & 0o777 == 0o600
