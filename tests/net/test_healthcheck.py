"""test_healthcheck.py - the health check of a running forward: what it says, and that it never says
it wrongly. The story of a compose service is test_forward_compose.py."""
import concurrent.futures
import contextlib
import os
import signal
import socket

import pytest

from forwarding import PROXY, TARGET2, exchange, until
from internet import ORIGIN, ORIGIN6, RESOLVER

PINNED = {"TARGET": "target.test", "PRE_RESOLVE": "1", "NAMESERVERS": RESOLVER}
HTTP = {"TARGET": "target.test", "PORT": "80 443", "HTTP_HEALTHCHECK": "1",
        "HTTP_HEALTHCHECK_TIMEOUT_MS": "500"}
NOTE = "load_balancing_dns_detected"


@pytest.fixture
def net(proxied, tmp_path):
    proxied.temporary = str(tmp_path)
    return proxied


def healthy(done):
    assert done.returncode == 0, done
    return done


def unhealthy(done, *words):
    """One line of error, last, with these words in it."""
    assert done.returncode == 1, done
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("ERROR:healthcheck:"), done
    assert sum(line.startswith("ERROR:") for line in lines) == 1, done
    for word in words:
        assert word in lines[-1], done
    return done


# The process

def test_a_forward_that_listens_is_healthy(net):
    net.start(TARGET="target.test", PORT="7000 7001-7003 http-alt 8443:443")
    done = healthy(net.healthcheck())
    assert done.stdout == "" and done.stderr.splitlines() == [
        "INFO:healthcheck:checking the listener of port(s) "
        "['7000', '7001-7003', 'http-alt', '8443:443']"]
    assert healthy(net.run("healthcheck")).stderr == done.stderr    # by either name


def test_one_that_has_ended_or_was_killed_is_not(net):
    net.start(TARGET="target.test", PORT="7000").stop()
    unhealthy(net.healthcheck(), "no running ringfence", "CONTROL_SOCKET")
    net.start(TARGET="target.test", PORT="7000").kill()
    unhealthy(net.healthcheck(), "no running ringfence")
    net.start(TARGET="target.test", PORT="7000")        # the dead one's socket is replaced
    healthy(net.healthcheck())


@pytest.mark.parametrize("other, words", [
    ({"PORT": "7000 7002"}, ["PORT", "7000 7002"]), ({"MODE": "tcp4"}, ["no running ringfence"]),
    ({"TARGET": "another.test"}, ["TARGET", "another.test"]),
    ({"PORT": "x"}, ["PORT", '"x"']), ({"TARGET": ""}, ["no running ringfence", "filter"])])
def test_another_environment_is_not_taken_for_health(net, other, words):
    net.start(TARGET="target.test", PORT="7000")
    unhealthy(net.healthcheck(**other), *words)


def test_a_port_that_somebody_else_has_is_missing(net):
    with net.proxy.entered():
        taken = socket.create_server(("0.0.0.0", 7001))
    with taken:
        net.start(TARGET="target.test", PORT="7000 7001", MODE="tcp4")
        unhealthy(net.healthcheck(), "Missing listener for port: 7001")     # it answers there
    unhealthy(net.healthcheck(), "Missing listener for port: 7001")


def test_instances_side_by_side_answer_each_for_itself(net):
    for port in 7000, 7010:
        net.start(TARGET="target.test", PORT=port)
    net.start(TARGET="target.test", PORT=7020, CONTROL_SOCKET="/run/here.sock")
    net.start(TARGET="target.test", PORT=7030, CONTROL_SOCKET="/run/here.sock")
    net.ringfence.wait_event("control.unavailable")
    for port in 7000, 7010:
        healthy(net.healthcheck(PORT=port, CONTROL_SOCKET=None))
    healthy(net.healthcheck(PORT=7020))
    unhealthy(net.healthcheck(PORT=7030), "7020")       # whose socket it is


def test_the_socket_is_found_where_run_cannot_be_written(net):
    folder = os.path.join(net.folder, "run", "ringfence")
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)                             # anybody could put something there
    try:
        net.start(TARGET="target.test", PORT="7000")
        healthy(net.healthcheck())
        assert os.listdir(folder) == []
    finally:
        os.chmod(folder, 0o700)


# The pinned address

def test_a_pin_that_is_stale_is_said_with_both_answers(net):
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="7000")
    healthy(net.healthcheck())
    net.internet.dns.set("target.test", TARGET2, "203.0.113.90", rotate=2)
    done = unhealthy(net.healthcheck())
    assert done.stderr.splitlines()[-1] == (
        f"ERROR:healthcheck:target.test no longer resolves to {ORIGIN}, "
        f"['{TARGET2}', '203.0.113.90'], ['{TARGET2}', '203.0.113.90']")
    net.internet.dns.set("target.test", "203.0.113.90", ORIGIN)
    healthy(net.healthcheck())


def test_an_ipv6_pin_is_compared_with_ipv6(net):
    net.internet.dns.set("target.test", ORIGIN6)
    net.start(**PINNED, PORT="7000")
    net.internet.dns.set("target.test", ORIGIN, ORIGIN6)
    healthy(net.healthcheck())
    net.internet.dns.set("target.test", ORIGIN)
    unhealthy(net.healthcheck(), f"no longer resolves to {ORIGIN6}, [], []")


@pytest.mark.parametrize("answer, word", [
    ({"rcode": "NXDOMAIN"}, "no such name"), ({"rcode": "SERVFAIL"}, "no answer of NAMESERVERS")])
def test_a_name_that_is_gone_is_unhealthy(net, answer, word):
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="7000")
    net.internet.dns.set("target.test", **answer)
    unhealthy(net.healthcheck(), "target.test cannot be resolved", word)


def test_a_load_balanced_name_is_healthy_until_the_next_start(net):
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="7000")
    many = [f"203.0.113.{last}" for last in range(100, 150)]
    net.internet.dns.set("target.test", *many, rotate=1)
    where = {"TMPDIR": net.temporary}
    done = healthy(net.healthcheck(**where))
    assert ("target.test seems to be load-balancing with dns "
            "(['203.0.113.101'] != ['203.0.113.102']), deactivating the resolver healthcheck"
            in done.stderr)
    assert NOTE in os.listdir(net.temporary)
    asked = len(net.internet.dns.asked("target.test"))
    healthy(net.healthcheck(**where))
    assert len(net.internet.dns.asked("target.test")) == asked      # switched off, as noted

    net.ringfence.stop()                                # and on again
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="7000")
    net.internet.dns.set("target.test", TARGET2)
    unhealthy(net.healthcheck(**where), "no longer resolves")


def test_a_literal_target_has_no_pin_to_look_after(net):
    net.start(TARGET=ORIGIN, PRE_RESOLVE="1", PORT="7000", NAMESERVERS="203.0.113.250")
    healthy(net.healthcheck())
    assert net.internet.dns.questions == []


# HTTP

def test_a_silent_target_times_out_and_leaves_nothing_behind(net):
    net.start(**{**HTTP, "PORT": "7000", "MAX_CONNECTIONS": "1"})
    with net.listen(7000) as server:
        for _ in range(2):          # at the limit only while it asks: that does not make it healthy
            unhealthy(net.healthcheck(), "(28, '", "timed out after")
            server.accept().close()
        with net.connect(7000) as client, server.accept() as upstream:      # the place is free
            exchange(client, upstream)


def test_a_target_that_is_down_gives_no_reply(net):
    net.internet.refuse(ORIGIN)
    net.internet.refuse(ORIGIN6)
    net.start(**HTTP)
    assert unhealthy(net.healthcheck(), "(52, 'Empty reply from server')").stdout == \
        "checking http://target.test/ via 127.0.0.1\n"


def test_what_speaks_no_tls_is_unhealthy_over_https(net):
    net.start(**{**HTTP, "PORT": "443:7000"}, HTTP_HEALTHCHECK_URL="https://$TARGET/")   # an echo
    unhealthy(net.healthcheck(), "(35, '")


def test_the_authorities_of_the_environment_are_believed(net):
    net.write("ca.pem", [])
    try:
        net.start(**HTTP, HTTP_HEALTHCHECK_URL="https://$TARGET/")
        assert unhealthy(net.healthcheck(), "(").stdout.count("\n") == 1
        for name in "CURL_CA_BUNDLE", "SSL_CERT_FILE":
            done = healthy(net.healthcheck(**{name: net.authority.file}))
            assert "hello from target.test" in done.stdout
    finally:
        with open(net.authority.file) as file:
            net.write("ca.pem", file.read().splitlines())


@pytest.mark.parametrize("ports, url, asked, to", [
    ("8080:80", "http://$TARGET/x", "http://target.test:8080/x", 80),
    ("7000 8443:443", "https://$TARGET/", "https://target.test:8443/", 443),
    ("http 7000", "http://$TARGET:81/", "http://target.test:80/", 80)])
def test_a_port_that_is_not_ours_is_asked_at_one_that_is(net, ports, url, asked, to):
    net.start(**{**HTTP, "PORT": ports}, HTTP_HEALTHCHECK_URL=url)
    assert healthy(net.healthcheck()).stdout.startswith(f"checking {asked} via 127.0.0.1\n")
    [request] = net.internet.requests()
    assert request.session.port == to


def test_no_name_is_asked_for_and_no_proxy_of_the_environment_used(net):
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="80", HTTP_HEALTHCHECK="1",
              HTTP_HEALTHCHECK_URL="http://elsewhere.test/")
    net.internet.dns.reset()
    done = net.healthcheck(PRE_RESOLVE="0", http_proxy="http://203.0.113.1:3128",
                           ALL_PROXY="socks5://203.0.113.1")
    assert "hello from elsewhere.test at " + ORIGIN in healthy(done).stdout
    assert net.internet.dns.questions == []


@pytest.mark.parametrize("url", ["ftp://$TARGET/", "$TARGET:99999", "smtp://$TARGET/"])
def test_a_url_that_cannot_be_asked_is_said(net, url):
    net.start(**HTTP, HTTP_HEALTHCHECK_URL=url)
    unhealthy(net.healthcheck(), "HTTP_HEALTHCHECK_URL", "http:// or https://")


def test_an_allow_list_must_name_where_probes_come_from(net):
    net.start(**HTTP, ALLOW_FROM="10.78.0.0/16")
    assert "ALLOW_FROM" in net.ringfence.wait_event("config.invalid")["note"]
    unhealthy(net.healthcheck(), "ALLOW_FROM", "127.0.0.1")
    healthy(net.healthcheck(HTTP_HEALTHCHECK="0"))
    net.ringfence.stop()
    net.start(**HTTP, ALLOW_FROM="10.78.0.0/16 127.0.0.1")
    healthy(net.healthcheck())


def test_udp_skips_what_udp_cannot_have(net):
    net.start(TARGET="target.test", PORT="514", MODE="udp", HTTP_HEALTHCHECK="1",
              SMTP_HEALTHCHECK="1")
    done = healthy(net.healthcheck())
    assert done.stderr.splitlines()[1:] == [
        f"WARNING:healthcheck:the {kind} check is skipped: MODE=udp" for kind in ("http", "smtp")]
    net.ringfence.kill()
    unhealthy(net.healthcheck())


# At the limit

def test_at_the_limit_the_probe_is_skipped_and_says_so(net):
    net.start(**{**HTTP, "PORT": "7000:80", "MAX_CONNECTIONS": "2"})
    healthy(net.healthcheck())
    with contextlib.ExitStack() as stack:
        for _ in range(3):                      # the third one waits
            stack.enter_context(net.connect(7000))
        until(lambda: len(net.internet.at(ORIGIN) + net.internet.at(ORIGIN6)) == 3, "two are there")
        done = healthy(net.healthcheck())
        assert done.stdout == "" and "port 7000 are in use" in done.stderr
    until(lambda: net.healthcheck().stdout, "it is asked again")


def test_a_probe_that_had_to_wait_for_its_turn_says_nothing_about_the_target(net):
    """It has begun when there was room, and ended while the port was full and others waited."""
    net.start(**{**HTTP, "PORT": "7000", "MAX_CONNECTIONS": "1",
                 "HTTP_HEALTHCHECK_TIMEOUT_MS": "3000"})
    with net.listen(7000) as server, concurrent.futures.ThreadPoolExecutor() as pool:
        asking = pool.submit(net.healthcheck)
        with server.accept(), net.connect(7000):
            done = healthy(asking.result())
    assert "checking http" in done.stdout and "port 7000 are in use" in done.stderr


# By itself

def test_the_same_checks_run_by_themselves(net):
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="80 25", HTTP_HEALTHCHECK="1", SMTP_HEALTHCHECK="1",
              HTTP_HEALTHCHECK_TIMEOUT_MS="2000", SMTP_HEALTHCHECK_TIMEOUT_MS="300",
              HEALTHCHECK_INTERVAL="100ms")
    for check in "http", "pin":
        net.ringfence.wait_event("health.up", check=check)
    down = net.ringfence.wait_event("health.down", check="smtp")    # the sink only echoes
    assert down["level"] == "warn" and down["err"].startswith("(")
    net.internet.silence(ORIGIN)
    assert "(28, '" in net.ringfence.wait_event("health.down", check="http")["err"]
    net.internet.namespace.nft("delete table inet extra")
    net.ringfence.wait_event("health.up", check="http", count=2)
    net.internet.dns.set("target.test", TARGET2)
    assert f"no longer resolves to {ORIGIN}, ['{TARGET2}'], ['{TARGET2}']" in \
        net.ringfence.wait_event("health.down", check="pin")["err"]
    net.ringfence.signal(signal.SIGUSR1)
    counts = net.ringfence.wait_event("health", check="http")
    assert counts["state"] == "up" and counts["checks"] > counts["failures"] > 0
    net.ringfence.stop()
    assert len(net.ringfence.events("health.up", check="http")) == 2    # told on change only


def test_by_itself_too_a_probe_at_the_limit_is_skipped(net):
    net.start(**{**HTTP, "PORT": "7000:80", "MAX_CONNECTIONS": "1"}, HEALTHCHECK_INTERVAL="50ms")
    net.ringfence.wait_event("health.up", check="http")
    with net.connect(7000):
        skipped = net.ringfence.wait_event("health.skipped", check="http")
        assert skipped["port"] == 7000
    net.ringfence.stop()
    assert net.ringfence.events("health.down") == []


def test_a_load_balanced_name_is_let_alone_by_itself_too(net):
    net.internet.dns.set("target.test", ORIGIN)
    net.start(**PINNED, PORT="7000", HEALTHCHECK_INTERVAL="50ms")
    net.ringfence.wait_event("health.up", check="pin")
    net.internet.dns.set("target.test", *[f"203.0.113.{last}" for last in range(100, 150)],
                         rotate=1)
    net.ringfence.wait_event("health.balanced")
    assert net.ringfence.events("health.down") == []


@pytest.mark.parametrize("more, word", [
    ({"HTTP_HEALTHCHECK_URL": "ftp://$TARGET/"}, "HTTP_HEALTHCHECK_URL"),
    ({"HEALTHCHECK_INTERVAL": "often"}, "HEALTHCHECK_INTERVAL")])
def test_what_cannot_be_checked_ends_the_start(net, more, word):
    instance = net.start(**{**HTTP, "HEALTHCHECK_INTERVAL": "1s", **more}, ready=None)
    assert instance.wait_exit() == 1 and word in instance.log()
    assert instance.events("startup.ready") == []


def test_nothing_to_check_is_said(net):
    net.start(TARGET="target.test", PORT="7000", HEALTHCHECK_INTERVAL="1s")
    net.ringfence.wait_text("there is nothing to check")
    assert net.say(7000, to=PROXY) == "OK"
