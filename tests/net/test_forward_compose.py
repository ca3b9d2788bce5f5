"""test_forward_compose.py - a service of a compose file made for docker-whitelist, with ringfence
in its place: environment, alias, health check, and autoheal, which restarts what is unhealthy.

Docker and autoheal are played by a script, container and networks by namespaces; the programs are
called by the names they have in the original's image."""
import contextlib
import signal
import socket
import threading

import pytest

from forwarding import (AS_PROXY, DOCKER_DNS, PROXY, TARGET2, ending, exchange, read, until)
from internet import ORIGIN, ORIGIN6
from ringfence import PATIENCE

RETRIES = 3                             # Docker's default, and the image's
STOP_TIMEOUT = 10                       # seconds that autoheal gives
# What Docker writes when the host's resolver is on loopback: it asks for the container.
DOCKER_RESOLV_CONF = (f"nameserver {DOCKER_DNS}", "search .", "options ndots:0",
                      "# ExtServers: [host(127.0.0.53)]")


@pytest.fixture
def net(proxied):
    proxied.resolv_conf(*DOCKER_RESOLV_CONF)
    return proxied


class Service:
    """One service: `docker compose up`, its scheduled health check, and autoheal."""
    def __init__(self, net, alias=None, **environment):
        self.net, self.environment = net, environment
        self.starts = 0
        if alias:
            net.docker_dns.set(alias, PROXY)
        self.up()

    def up(self):
        self.container = self.net.start(wrapper=AS_PROXY, **self.environment)
        self.starts += 1
        self.failures, self.checked = 0, None

    @property
    def health(self):
        if self.failures >= RETRIES:
            return "unhealthy"
        return "healthy" if self.checked and self.checked.returncode == 0 else "starting"

    def tick(self):
        """One interval goes by."""
        self.checked = self.net.healthcheck()
        assert self.checked.returncode in (0, 1), self.checked
        self.failures = self.failures + 1 if self.checked.returncode else 0
        return self.health

    def autoheal(self):
        """Restart it if it is unhealthy; the exit code it had."""
        if self.health != "unhealthy":
            return None
        self.container.signal(signal.SIGTERM)
        self.container.end_expected = True
        self.container.reader.join(STOP_TIMEOUT)
        if self.container.process.poll() is None:
            self.container.kill()
        code = self.container.process.wait()
        self.up()
        return code


PYPI = {"TARGET": "pypi.test", "MODE": "tcp", "PORT": "80 443", "PRE_RESOLVE": "1",
        "NAMESERVERS": "208.67.222.222 8.8.8.8 208.67.220.220 8.8.4.4", "MAX_CONNECTIONS": "100",
        "UDP_ANSWERS": "1", "VERBOSE": "0", "HTTP_HEALTHCHECK": "1",
        "HTTP_HEALTHCHECK_URL": "http://$TARGET/", "SMTP_HEALTHCHECK": "0",
        "SMTP_HEALTHCHECK_URL": "smtp://$TARGET/", "SMTP_HEALTHCHECK_COMMAND": "HELP"}


def fetch(net, url):
    """What a container on the inner network gets; it knows nothing of a proxy."""
    return net.client.curl(url)


@pytest.mark.parametrize("url", ["http://$TARGET/", "https://$TARGET/", "https://$TARGET:443/x"])
def test_name_change_unhealthy_restart_and_traffic_flows_to_the_new_address(net, url):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **{**PYPI, "HTTP_HEALTHCHECK_URL": url})
    assert service.tick() == "healthy"
    for scheme in "http", "https":
        assert fetch(net, f"{scheme}://pypi.test/").body == \
            f"hello from pypi.test at {ORIGIN}\n".encode()

    net.internet.dns.set("pypi.test", TARGET2)
    net.silence(ORIGIN)
    assert [service.tick() for _ in range(RETRIES)][-1] == "unhealthy"
    assert "pypi.test" in service.checked.stderr
    assert net.internet.at(TARGET2) == []               # still pinned
    assert service.autoheal() == 143 and service.starts == 2

    assert service.tick() == "healthy"
    for scheme in "http", "https":
        assert fetch(net, f"{scheme}://pypi.test/").body == \
            f"hello from pypi.test at {TARGET2}\n".encode()
    assert service.autoheal() is None


def test_a_pin_that_is_stale_is_unhealthy_though_the_old_address_still_answers(net):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **PYPI)
    assert service.tick() == "healthy"
    net.internet.dns.set("pypi.test", TARGET2)
    assert [service.tick() for _ in range(RETRIES)][-1] == "unhealthy"
    assert f"pypi.test no longer resolves to {ORIGIN}" in service.checked.stderr
    assert service.checked.stdout == ""                 # the pin comes first, HTTP is not tried
    assert service.autoheal() == 143
    assert service.tick() == "healthy"


def test_the_order_of_addresses_and_further_ones_are_no_change(net):
    net.internet.dns.set("pypi.test", ORIGIN, TARGET2, rotate=2)
    service = Service(net, "pypi.test", **{**PYPI, "HTTP_HEALTHCHECK": "0"})
    for _ in range(5):
        assert service.tick() == "healthy"
    net.internet.dns.set("pypi.test", "203.0.113.90", TARGET2, ORIGIN)
    assert service.tick() == "healthy"


def test_a_restart_with_connections_open_is_no_kill(net):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **{**PYPI, "PORT": "80 443 7000"})
    with net.listen(7000) as server, net.connect(7000) as client, server.accept() as upstream:
        exchange(client, upstream)
        net.internet.dns.set("pypi.test", TARGET2)
        for _ in range(RETRIES):
            service.tick()
        assert service.autoheal() == 143
        assert ending(client) in ("FIN", "RST")
    assert service.tick() == "healthy"
    assert fetch(net, "https://pypi.test/") == "OK"


def test_a_check_through_our_own_port_prints_what_the_original_prints(net):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **PYPI)
    assert service.tick() == "healthy"
    assert service.checked.stdout.splitlines() == [
        "checking http://pypi.test/ via 127.0.0.1", f"hello from pypi.test at {ORIGIN}"]
    [request] = net.internet.requests()
    assert request.method == b"GET" and request.host == "pypi.test"
    assert request.session.local == ORIGIN


@pytest.mark.parametrize("status", ["404 Not Found", "500 Internal Server Error", "301 Moved"])
def test_any_http_status_is_healthy(net, status):
    net.internet.dns.set("pypi.test", ORIGIN)
    answer = f"HTTP/1.1 {status}\r\nLocation: http://nowhere.test/\r\nContent-Length: 0\r\n\r\n"
    net.internet.http_answer = lambda request: answer.encode()
    assert Service(net, "pypi.test", **PYPI).tick() == "healthy"


@pytest.mark.parametrize("trouble", ["refuse", "silence"])
def test_a_target_that_is_down_is_unhealthy_until_it_is_back(net, trouble):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **PYPI, HTTP_HEALTHCHECK_TIMEOUT_MS="500")
    assert service.tick() == "healthy"
    getattr(net, trouble)(ORIGIN)
    assert [service.tick() for _ in range(RETRIES)][-1] == "unhealthy"
    assert service.checked.stdout.splitlines() == ["checking http://pypi.test/ via 127.0.0.1"]
    net.internet.namespace.nft("delete table inet extra")
    assert service.tick() == "healthy"                  # autoheal would have found it before


def test_https_is_verified_against_the_target(net):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **{**PYPI, "HTTP_HEALTHCHECK_URL": "https://$TARGET/"})
    assert service.tick() == "healthy"
    net.write("ca.pem", [])                             # nobody is trusted any more
    try:
        assert service.tick() == "starting"
    finally:
        with open(net.authority.file) as file:
            net.write("ca.pem", file.read().splitlines())
    assert service.tick() == "healthy"


def test_without_a_running_proxy_it_is_unhealthy(net):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **{**PYPI, "HTTP_HEALTHCHECK": "0"})
    assert service.tick() == "healthy"
    service.container.kill()
    assert [service.tick() for _ in range(RETRIES)][-1] == "unhealthy"
    service.up()
    assert service.tick() == "healthy"


def test_a_proxy_that_hangs_is_unhealthy(net):
    """Stopped, its port still takes connections into the kernel's queue."""
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **PYPI, HTTP_HEALTHCHECK_TIMEOUT_MS="500")
    assert service.tick() == "healthy"
    service.container.signal(signal.SIGSTOP)
    try:
        assert service.tick() == "starting"
    finally:
        service.container.signal(signal.SIGCONT)
    assert service.tick() == "healthy"


# What the original's health check wrongly finds unhealthy

@pytest.mark.parametrize("more", [{"VERBOSE": "1"}, {"MAX_CONNECTIONS": "0"}, {"MODE": "tcp4"},
                                  {"MODE": "TCP"}, {"PORT": "80 443 8000-8010"},
                                  {"PRE_RESOLVE": "ttl"}, {"TARGET": ORIGIN}])
def test_these_are_healthy(net, more):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test", **{**PYPI, **more})
    for _ in range(2):
        assert service.tick() == "healthy", service.checked


@pytest.mark.parametrize("http", ["0", "1"])
def test_at_the_limit_it_is_healthy(net, http):
    net.internet.dns.set("pypi.test", ORIGIN)
    service = Service(net, "pypi.test",
                      **{**PYPI, "MAX_CONNECTIONS": "2", "HTTP_HEALTHCHECK": http})
    with contextlib.ExitStack() as stack:
        for port in 80, 443:
            for _ in range(2):
                stack.enter_context(net.connect(port))
        until(lambda: len(net.internet.at(ORIGIN)) == 4, "all places are taken")
        assert service.tick() == "healthy", service.checked
    assert service.tick() == "healthy"


@pytest.mark.parametrize("more", [
    {}, {"UDP_ANSWERS": "0", "PRE_RESOLVE": "1"}, {"PRE_RESOLVE": "1"}, {"HTTP_HEALTHCHECK": "1"},
    {"SMTP_HEALTHCHECK": "1"}, {"VERBOSE": "1"}])
def test_a_syslog_relay_is_healthy_and_relays(net, more):
    """UDP, as for graylog."""
    net.internet.dns.set("syslog.test", ORIGIN)
    service = Service(net, "syslog.test" if "PRE_RESOLVE" in more else None,
                      TARGET="syslog.test", MODE="udp", PORT="514", **more)
    for turn in range(3):
        line = b"<13>line %d" % turn
        with net.client.connect(PROXY, 514, socket.SOCK_DGRAM) as sock:
            sock.send(line)
            net.internet.wait(lambda: any(came.data == line for came in net.internet.datagrams))
            assert net.internet.arrived(ORIGIN, protocol="udp", port=514) == turn + 1
            if more.get("UDP_ANSWERS") != "0":
                assert sock.recv(100) == line
        assert service.tick() == "healthy", service.checked
    assert service.container.process.poll() is None


# A mail server

def serve_mail(server, replies, heard):
    """SMTP for one connection after another, until the port is closed."""
    with contextlib.suppress(OSError):
        while True:
            with server.accept() as sock, sock.makefile("rwb") as file:
                def say(line):
                    file.write(line + b"\r\n")
                    file.flush()
                say(b"220 mail.test")
                for line in file:
                    heard.append(line.strip())
                    word = line.split()[0].upper()
                    say(replies.get(word, b"250 ok"))
                    if word == b"QUIT":
                        break


@pytest.mark.parametrize("ports, command, url", [
    ("25", "HELP", "smtp://$TARGET/"), ("587", "NOOP", "smtp://$TARGET/"),
    ("25 587", "HELP", "smtp://$TARGET:587/"), ("25", "QUIT", "smtp://$TARGET/")])
def test_a_mail_relay_is_asked_by_smtp(net, ports, command, url):
    net.internet.dns.set("mail.test", ORIGIN)
    port, heard = int(ports.split()[-1]), []
    replies = {b"HELP": b"214 no help", b"QUIT": b"221 bye"}
    service = Service(net, "mail.test", TARGET="mail.test", MODE="tcp", PORT=ports, PRE_RESOLVE="1",
                      SMTP_HEALTHCHECK="1", SMTP_HEALTHCHECK_URL=url,
                      SMTP_HEALTHCHECK_COMMAND=command)
    with net.listen(port) as server:
        threading.Thread(target=serve_mail, args=(server, replies, heard), daemon=True).start()
        assert service.tick() == "healthy", service.checked
        until(lambda: b"QUIT" in heard, "the conversation is over")
        assert heard[0].startswith(b"EHLO ") and command.encode() in heard
        assert heard.count(b"QUIT") == 1
        if command == "HELP":
            assert "214 no help" in service.checked.stdout
            replies[b"HELP"] = b"502 what?"
            assert service.tick() == "starting"


# Other services of such files

def test_a_service_of_the_outer_network_is_reached_by_its_short_name(net):
    """A name that only Docker's resolver knows."""
    net.docker_dns.set("database", ORIGIN, ttl=1)
    Service(net, TARGET="database", MODE="tcp", PORT="5432")
    assert net.say(5432).body == b"hello"
    net.docker_dns.set("database", TARGET2, ttl=1)
    until(lambda: net.say(5432) and net.internet.at(TARGET2), "the new container is reached")


def test_dockers_resolver_can_be_the_nameserver_of_a_pin(net):
    net.docker_dns.set("database", ORIGIN, ttl=1)
    service = Service(net, TARGET="database", PORT="5432", PRE_RESOLVE="1", NAMESERVERS=DOCKER_DNS)
    assert net.say(5432).body == b"hello" and service.tick() == "healthy"
    net.docker_dns.set("database", TARGET2, ttl=1)
    assert [service.tick() for _ in range(RETRIES)][-1] == "unhealthy"
    assert service.autoheal() == 143
    assert net.say(5432).body == b"hello" and net.internet.at(TARGET2)
    assert service.tick() == "healthy"


def test_an_alias_that_leads_back_to_the_proxy_does_not_make_it_call_itself(net):
    """Without PRE_RESOLVE Docker's resolver answers with the alias; the original dials itself until
    all its children are used."""
    service = Service(net, "pypi.test", TARGET="pypi.test", PORT="7000", MAX_CONNECTIONS="5")
    for _ in range(10):
        with net.connect(7000, timeout=PATIENCE) as client:
            client.sendall(b"hello")
            assert ending(client) == "FIN"
    assert service.tick() == "healthy"
    assert service.container.events(reason="self")


def test_the_client_of_a_pinned_target_sees_it_by_both_families(net):
    net.internet.dns.set("pypi.test", ORIGIN6)
    net.docker_dns.set("pypi.test", PROXY, "fd78::2")
    Service(net, **PYPI)
    for family in "-4", "-6":
        assert net.client.curl(family, "https://pypi.test/").body == \
            f"hello from pypi.test at {ORIGIN6}\n".encode()


def test_several_services_stand_side_by_side(net):
    """Each would be a container of its own; here they share one and differ by port, which the
    original cannot do."""
    for number in range(3):
        net.internet.dns.set(f"t{number}.test", f"203.0.113.{20 + number}")
        net.start(TARGET=f"t{number}.test", PORT=f"{7000 + number}:443", PRE_RESOLVE="1",
                  CONTROL_SOCKET=f"/run/t{number}.sock", wrapper=AS_PROXY)
    for number in range(3):
        with net.connect(7000 + number) as sock:
            with net.authority.client().wrap_socket(sock, server_hostname=f"t{number}.test") as tls:
                tls.sendall(f"GET / HTTP/1.0\r\nHost: t{number}.test\r\n\r\n".encode())
                assert read(tls, 15) == b"HTTP/1.1 200 OK"
        done = net.healthcheck(TARGET=f"t{number}.test", PORT=f"{7000 + number}:443",
                               CONTROL_SOCKET=f"/run/t{number}.sock")
        assert done.returncode == 0, done
