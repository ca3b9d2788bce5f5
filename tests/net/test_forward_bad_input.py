"""test_forward_bad_input.py - what `ringfence forward` cannot run with: exit 1 and one line that
names the variable, before anything listens."""
import errno
import platform
import time

import pytest

from forwarding import AS_PROXY, PROXY, PROXY6
from internet import ORIGIN
from test_bad_input import forbidding

LISTEN = {"x86_64": 50, "aarch64": 201}


@pytest.fixture
def net(proxied):
    return proxied


def complaint(net, *args, command="forward", wrapper=(), **variables):
    """The one line it ends with. Under this filter no port can be listened on: who tried before it
    looked at its input complains of something else."""
    if platform.machine() in LISTEN:
        wrapper = [*forbidding(LISTEN[platform.machine()], errno.EPERM), *wrapper]
    variables = {"TARGET": "target.test", "PORT": "7000", **variables}
    done = net.run(*filter(None, [command]), *args, wrapper=wrapper, **variables)
    assert done.returncode == 1, done
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    assert done.stderr.startswith("ringfence: ")
    assert net.internet.sessions == []
    return done.stderr


def test_the_filter_of_these_tests_would_catch_a_listener(net):
    if platform.machine() not in LISTEN:
        pytest.skip("no seccomp filter for this machine")
    done = net.run("forward", TARGET="target.test", PORT="7000",
                   wrapper=forbidding(LISTEN[platform.machine()], errno.EPERM))
    assert done.returncode == 1 and "PORT" in done.stderr


@pytest.mark.parametrize("target", [None, "", "  "])
def test_a_missing_target(net, target):
    said = complaint(net, TARGET=target)
    assert "TARGET" in said and "not set" in said


@pytest.mark.parametrize("target", ["two words", "host:80", "http://host/", "a..b", "[::1", "::1]",
                                    "[host]", "-", "x" * 64 + ".test", "203.0.113.300",
                                    "host,fork", "ho\x01st", ".", "[203.0.113.7]"])
def test_a_target_that_is_neither_name_nor_address(net, target):
    assert "TARGET" in complaint(net, TARGET=target)


@pytest.mark.parametrize("port", [
    "0", "65536", "99999999999999999999", "-1", "+80", "80.0", "8O", "0x50", "nosuchservice",
    "80:", ":80", "80:90:100", "80:0", "0:80", "80:nosuchservice", "80-70", "80-", "-80",
    "80-65536", "80-90-100", "80,bind=127.0.0.1", "80;90", "80/tcp", "*", "7000 x", ",",
])
def test_a_port_that_is_none(net, port):
    said = complaint(net, PORT=port)
    assert said.startswith("ringfence: PORT")


@pytest.mark.parametrize("port", ["7000:7001 7000:7002", "7000-7010 7005:80", "7000:80 7000"])
def test_a_port_that_is_given_twice_with_different_ends(net, port):
    said = complaint(net, PORT=port)
    assert said.startswith("ringfence: PORT") and "70" in said


@pytest.mark.parametrize("mode", ["sctp", "tcp5", "http", "tcp udp", "dccp4", "unix", "tcp-listen"])
def test_a_mode_that_is_none(net, mode):
    said = complaint(net, MODE=mode)
    assert "MODE" in said and "tcp" in said and "udp" in said


@pytest.mark.parametrize("name, value", [
    ("MAX_CONNECTIONS", "abc"), ("MAX_CONNECTIONS", "-1"), ("MAX_CONNECTIONS", "1e3"),
    ("MAX_CONNECTIONS", "1.5"), ("MAX_CONNECTIONS", "4294967297"), ("MAX_CONNECTIONS", "100 200"),
    ("MAX_CONNECTIONS", "0x"), ("MAX_CONNECTIONS", "unlimited"),
    ("CONNECT_TIMEOUT", "soon"), ("CONNECT_TIMEOUT", "-1s"), ("IDLE_TIMEOUT", "10 s"),
    ("IDLE_TIMEOUT", "-5"), ("HALF_CLOSE_TIMEOUT", "1x"), ("DRAIN_TIMEOUT", "5 seconds"),
    ("DRAIN_TIMEOUT", "-1"), ("UDP_TIMEOUT", "never"), ("TCP_KEEPALIVE", "yes"),
    ("HEALTHCHECK_INTERVAL", "often"), ("HTTP_HEALTHCHECK_TIMEOUT_MS", "2s"),
    ("SMTP_HEALTHCHECK_TIMEOUT_MS", "-1"), ("WORKERS", "0"), ("WORKERS", "many"),
    ("LOG_FORMAT", "xml"), ("SEND_PROXY", "v3"), ("SEND_PROXY", "yes"),
])
def test_a_number_a_time_or_a_word_that_is_none(net, name, value):
    said = complaint(net, **{name: value})
    assert said.startswith(f"ringfence: {name}") and value in said


@pytest.mark.parametrize("servers", ["dns.google", "8.8.8", "8.8.8.8 dns.google", "1.2.3.4.5",
                                     "https://dns.google/dns-query", "8.8.8.8:99999", "[::1", ","])
@pytest.mark.parametrize("pre_resolve", ["1", "ttl"])
def test_a_nameserver_that_is_none(net, servers, pre_resolve):
    said = complaint(net, NAMESERVERS=servers, PRE_RESOLVE=pre_resolve)
    assert said.startswith("ringfence: NAMESERVERS")


@pytest.mark.parametrize("allowed", ["10.0.0.0/33", "fd00::/129", "host.test", "10.0.0.1-10.0.0.9",
                                     "10.0.0.0/24 nobody", "10.0.0", "/8", "10.0.0.0/-1",
                                     ",", " , "])
def test_a_source_that_is_none(net, allowed):
    assert complaint(net, ALLOW_FROM=allowed).startswith("ringfence: ALLOW_FROM")


@pytest.mark.parametrize("answer", [
    {"rcode": "NXDOMAIN"}, {"rcode": "SERVFAIL"}, {"rcode": "REFUSED"}, {}, {"drop": True},
    {"cname": "target.test"}, {"raw": lambda query: b"nonsense"},
])
@pytest.mark.parametrize("pre_resolve", ["1", "ttl"])
def test_a_target_that_cannot_be_resolved_beforehand(net, answer, pre_resolve):
    net.internet.dns.set("target.test", **answer)
    said = complaint(net, PRE_RESOLVE=pre_resolve, NAMESERVERS="192.0.2.53")
    assert "TARGET" in said and "target.test" in said


def test_nameservers_that_are_all_silent(net):
    net.silence("192.0.2.98")
    net.silence("192.0.2.99")
    begun = time.monotonic()
    said = complaint(net, PRE_RESOLVE="1", NAMESERVERS="192.0.2.98 192.0.2.99")
    assert "TARGET" in said and "target.test" in said and time.monotonic() - begun < 30


@pytest.mark.parametrize("own", [PROXY, PROXY6, f"[{PROXY6}]", "127.0.0.1", "::1", "127.9.9.9",
                                 "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:10.78.0.2"])
def test_a_target_that_is_ourselves(net, own):
    said = complaint(net, TARGET=own)
    assert "TARGET" in said and "7000" in said


def test_a_target_that_turns_out_to_be_ourselves(net):
    net.internet.dns.set("target.test", PROXY)
    said = complaint(net, PRE_RESOLVE="1", NAMESERVERS="192.0.2.53")
    assert "TARGET" in said and PROXY in said


def test_a_loop_over_two_of_our_ports(net):
    said = complaint(net, TARGET=PROXY, PORT="7000:7001 7001:7000")
    assert "TARGET" in said or "PORT" in said


def test_unknown_arguments(net):
    assert "--nonsense" in complaint(net, "--nonsense")
    assert "word" in complaint(net, "word")
    assert "forwrad" in complaint(net, command="forwrad")


def test_a_flag_is_named_as_one(net):
    said = complaint(net, "--max-connections", "abc")
    assert "max-connections" in said or "MAX_CONNECTIONS" in said


def test_by_the_name_of_the_original_it_is_as_strict(net):
    for name, value in ("PORT", "abc"), ("TARGET", None), ("MODE", "x"):
        assert name in complaint(net, command=None, wrapper=AS_PROXY, **{name: value})


def test_a_port_that_may_not_be_listened_on(net):
    done = net.run("forward", TARGET=ORIGIN, PORT="80",
                   wrapper=["setpriv", "--reuid=1234", "--clear-groups", "--bounding-set=-all",
                            "--inh-caps=-all", "--"])
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("INFO:root:")]
    assert "PORT" in line and "80" in line and "ermi" in line
