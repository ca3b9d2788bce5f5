"""test_tls.py - port 443: the name in the first hello decides, and no later hello changes it.

Rows T01-T20, T22 and T23 of the bypass matrix with real clients and servers; their bytes one by one
are in vectors_tls.py."""
import contextlib
import socket
import ssl

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import hello
from hello import Hello
from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6
from origins import Origin

REQUEST = "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
OPENSSL = [["-tls1_2"], ["-tls1_3"], ["-groups", "X25519"], ["-groups", "P-256:P-521"],
           ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], ["-alpn", "h2"],
           ["-alpn", "http/1.1,acme-tls/1,dot"], ["-no_ticket", "-status"],
           ["-max_send_frag", "512"]]
CURL = [["--tlsv1.3"], ["--tls-max", "1.2"], ["--no-alpn"], ["--http1.1", "--ipv4"]]
ALL = [("openssl", *options) for options in OPENSSL] + [("curl", *options) for options in CURL] + \
    [("python",)]
CLIENTS = pytest.mark.parametrize("client", ALL, ids=" ".join)
# Who can be asked for another hello: TLS 1.3 with a group besides.
RETRYING = pytest.mark.parametrize("client", [client for client in ALL if not {
    "-groups", "-tls1_2", "1.2"} & set(client)], ids=" ".join)


@pytest.fixture
def listed(net):
    net.start(domains=["allowed.test", "*.wild.test"])
    return net


class Silent(Origin):
    """Records, and never says anything."""
    def on_data(self, data):
        pass


def talk(net, client, name, to):
    """True when the answer of the server came back."""
    if client[0] == "python":
        return net.client.tls(name, to=to) == "OK"
    if client[0] == "curl":
        return net.client.curl(*client[1:], "--resolve", f"{name}:443:{to}",
                               f"https://{name}/") == "OK"
    done = openssl(net, to, "-servername", name, "-verify_hostname", name, *client[1:], name=name)
    return f"hello from {name}" in done.stdout and "Verify return code: 0 (ok)" in done.stdout


def openssl(net, to, *options, name="allowed.test"):
    return net.client.run("openssl", "s_client", "-connect", f"{to}:443", "-CAfile",
                          net.authority.file, "-ign_eof", *options, stdin=REQUEST.format(name))


def blocked(net, name):
    return net.ringfence.wait_event("https.blocked", https=name)["reason"]


def send(net, data, to=ORIGIN):
    """A raw client's connection on which these bytes were sent."""
    sock = net.client.connect(to, 443)
    sock.sendall(data)
    return sock


def is_cut(sock):
    """Waits for the end of a connection; the server's half of a handshake may come before."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return True


# T01, T22: real clients

@CLIENTS
def test_real_clients_reach_a_listed_name(listed, client):
    assert talk(listed, client, "allowed.test", ORIGIN)
    assert [session.names for session in listed.internet.at(ORIGIN, 443)] == [["allowed.test"]]


@CLIENTS
def test_real_clients_reach_no_other_name(listed, client):
    for name in "evil.test", "allowed.test.evil.test", "wild.test":
        assert not talk(listed, client, name, ATTACKER)
        assert blocked(listed, name) == "not-allowlisted"
    assert listed.internet.arrived(ATTACKER, ORIGIN) == 0


@pytest.mark.parametrize("to, other", [(ORIGIN, ATTACKER), (ORIGIN6, ATTACKER6)])
def test_the_name_is_compared_as_a_name(listed, to, other):
    for name in "ALLOWED.test", "a.wild.test", "a.b.WILD.test", "xn--bcher-kva.wild.test":
        assert listed.client.tls(name, to=to, verify=False) == "OK", name
    for name in "xallowed.test", "test", "wild.test", "xwild.test", "wild.test.evil.test":
        assert listed.client.tls(name, to=other, verify=False) == "RESET", name
    assert listed.internet.arrived(other) == 0


# T02, T03, T23: however the hello is cut, the handshake is the same

class Handshake:
    """A client whose bytes go through our hands before they are sent."""
    def __init__(self, net, name, context=None):
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or net.authority.client()).wrap_bio(self.incoming, self.outgoing,
                                                                server_hostname=name)
        self.advance()
        self.first = self.outgoing.read()

    def advance(self):
        try:
            self.tls.do_handshake()
            return True
        except ssl.SSLWantReadError:
            return False

    def finish(self, sock):
        """The rest of the handshake, after the first hello."""
        while not self.advance():
            sock.sendall(self.outgoing.read())
            data = sock.recv(65536)
            if not data:
                raise EOFError("cut in the handshake")
            self.incoming.write(data)
        sock.sendall(self.outgoing.read())
        return self.tls.version()


def pieces(data, size):
    return [data[at:at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("features", ["recv=1", "recv=7", "auto"])
def test_a_hello_in_pieces_is_judged_as_a_whole_one(net, features):
    net.start(domains=["allowed.test"], env={"RINGFENCE_FEATURES": features})
    message = Handshake(net, "allowed.test").first[5:]
    at = message.index(b"allowed.test")
    for make in (lambda message: pieces(hello.record(message), 1),
                 lambda message: [hello.records(message, 1)],
                 lambda message: pieces(hello.records(message, 3), 2),
                 lambda message: [hello.record(message[:at + 4]), hello.record(message[at + 4:])]):
        for name, to, passes in ("allowed.test", ORIGIN, True), ("evil.test", ATTACKER, False):
            handshake = Handshake(net, name)
            with net.client.connect(to, 443) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.nullcontext() if passes else pytest.raises((OSError, EOFError)):
                    for piece in make(handshake.first[5:]):
                        sock.sendall(piece)
                    assert handshake.finish(sock) == "TLSv1.3"
    assert net.internet.arrived(ATTACKER) == 0


# T08, T10, T12: names that are none

def test_a_hello_without_a_name_is_cut(listed):
    for options in ["-noservername"], ["-noservername", "-tls1_2"]:
        assert "no peer certificate available" in openssl(listed, ORIGIN, *options).stdout
    assert listed.client.curl("-k", f"https://{ORIGIN}/") == "RESET"
    assert blocked(listed, "") == "no-sni"
    listed.ringfence.wait_event("https.blocked", to_allow=f"ips: {ORIGIN}")
    assert listed.internet.arrived() == 0


@pytest.mark.parametrize("name", ["203.0.113.7", "2001:db8::7", "[2001:db8:7::7]", "3405803783",
                                  "0xcb.0.0x71.7", "0313.0.0161.07", "allowed.test:443"])
def test_an_address_or_a_port_is_no_name(listed, name):
    assert "no peer certificate available" in openssl(listed, ORIGIN, "-servername", name).stdout
    assert listed.internet.arrived() == 0


@pytest.mark.parametrize("name", [b"\x1b[2J.test", b"a\r\nb.test", b"<b>.test", b"allowed.test\0",
                                  b"\xff\xfe.test", b'"},{"x":"y.test', b"\xe2\x80\xae.test"])
def test_what_a_name_must_not_hold_is_not_logged_raw(listed, name):
    with send(listed, Hello(name=name).wire()) as sock:
        assert is_cut(sock)
        event = listed.ringfence.wait_event("https.blocked", source_port=sock.getsockname()[1])
    assert event["reason"] == "malformed-hello"
    assert not set("\x1b\r\xff<\u202e\0") & set(listed.ringfence.log())
    assert listed.internet.arrived() == 0


def test_a_listed_address_needs_no_name(net):
    net.start(ips=[ORIGIN, ORIGIN6])
    for to in ORIGIN, ORIGIN6:
        assert net.client.tls("", to=to) == "OK"
        assert net.client.tls("evil.test", to=to, verify=False) == "OK"
    assert net.client.tls("allowed.test", to=ATTACKER) == "RESET"
    assert net.internet.arrived(ATTACKER) == 0


# T04, T05, T07, T09, T17: what is no hello is told by its first bytes, not by the timer

@pytest.mark.parametrize("data", [
    b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n", b"SSH-2.0-x\r\n", b"EHLO allowed.test\r\n",
    b"\x80\x2e\x01\3\1", bytes(20), b"\x16\xfe\xff", b"\x16\3\1\xff\xff", b"\x16\3\1\0\0",
    b"\x16\3\1\0\4\2\0\0\0", b"\x15\3\1\0\2\1\0", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 443\r\n",
    Hello(extensions=[hello.sni(b"allowed.test", b"evil.test")]).wire(),
    Hello(extensions=[hello.sni(b"allowed.test"), hello.sni(b"evil.test")]).wire(),
    hello.record(Hello().message() + Hello(name=b"evil.test").message())],
    ids=lambda data: data[:12].hex())
def test_what_is_no_hello_is_cut_at_once(net, data):
    net.start(domains=["*"], env={"HELLO_TIMEOUT": "10m"})
    with send(net, data) as sock:
        assert is_cut(sock)
    assert net.ringfence.wait_event("https.blocked")["reason"] == "malformed-hello"
    assert net.internet.arrived(ORIGIN) == 0


# T13: Encrypted Client Hello

@pytest.mark.parametrize("knob, outcome", [(None, "passes"), ("allow-outer", "passes"),
                                           ("block", "ech-blocked")])
def test_of_an_encrypted_hello_the_outer_name_is_judged_unless_it_is_refused(net, knob, outcome):
    net.start(domains=["allowed.test"], env={"ECH": knob})
    net.internet.tls = Silent
    data = {name: Hello(extensions=[hello.sni(name), *hello.ordinary(), hello.ech()]).wire()
            for name in (b"allowed.test", b"evil.test")}
    with send(net, data[b"evil.test"], ATTACKER) as sock:
        assert is_cut(sock)
    with send(net, data[b"allowed.test"]) as sock:
        if outcome == "passes":
            net.internet.wait(lambda: net.internet.received(ORIGIN) == data[b"allowed.test"])
        else:
            assert is_cut(sock) and blocked(net, "allowed.test") == outcome
            assert net.internet.arrived(ORIGIN) == 0
    with send(net, Hello(extensions=[*hello.ordinary(), hello.ech()]).wire()) as sock:
        assert is_cut(sock) and blocked(net, "") == "no-sni"
    with send(net, Hello().wire()):
        net.internet.wait(lambda: net.internet.received(ORIGIN).endswith(Hello().wire()))
    assert net.internet.arrived(ATTACKER) == 0


# T16: bytes behind the hello

def test_what_follows_the_hello_arrives_with_it_byte_for_byte(listed):
    listed.internet.tls = Silent
    early = hello.record(b"\1", hello.CCS) + hello.record(bytes(range(256)) * 60, hello.DATA) * 4
    data = Hello().wire() + early
    with send(listed, data) as sock:
        sock.shutdown(socket.SHUT_WR)
        listed.internet.wait(lambda: listed.internet.received(ORIGIN) == data)


@pytest.mark.parametrize("name", [b"allowed.test", b"a.wild.test", b"evil.test"])
def test_a_second_hello_that_nobody_asked_for_never_arrives(listed, name):
    listed.internet.tls = Silent
    with send(listed, Hello().wire() + Hello(name=name).wire()) as sock:
        assert is_cut(sock)
    [session] = listed.internet.wait(lambda: [s for s in listed.internet.at(ORIGIN) if s.closed])
    assert session.raw == Hello().wire() and session.closed == "reset"


# T18: timers

def test_nothing_is_dialled_before_the_whole_hello(listed):
    data = Hello().wire()
    with send(listed, data[:-1]) as sock:
        assert listed.client.tls("evil.test") == "RESET"        # it has had its time by then
        assert listed.internet.arrived() == 0
        listed.internet.tls = Silent
        sock.sendall(data[-1:])
        listed.internet.wait(lambda: listed.internet.received(ORIGIN) == data)


def test_a_hello_that_is_not_whole_in_time_is_cut_and_nothing_was_dialled(net):
    net.start(domains=["*"], env={"HELLO_TIMEOUT": "500ms"})
    data = Hello().wire()
    socks = [send(net, data[:length]) for length in (0, 1, 5, 9, 60, len(data) - 1)]
    socks += [send(net, Hello().padded_to(30000).wire()[:-1])]
    for sock in socks:
        with sock:
            assert is_cut(sock)
    net.ringfence.wait_event("https.blocked", reason="hello-timeout", count=len(socks))
    assert net.internet.arrived(ORIGIN) == 0


def test_the_time_for_a_hello_is_absolute(net):
    net.start(domains=["*"], env={"HELLO_TIMEOUT": "500ms"})
    data = Hello().padded_to(60000).wire()
    sent = 0
    with net.client.connect(ORIGIN, 443) as sock:
        sock.settimeout(0.02)           # between two bytes
        with pytest.raises(ConnectionError):
            for sent in range(len(data)):
                sock.sendall(data[sent:sent + 1])
                with contextlib.suppress(TimeoutError):
                    assert sock.recv(1) == b""
    assert sent < len(data) - 1
    net.ringfence.wait_event("https.blocked", reason="hello-timeout")
    assert net.internet.arrived(ORIGIN) == 0


def test_a_vetted_connection_outlives_the_time_for_a_hello(net):
    net.start(domains=["allowed.test"], env={"HELLO_TIMEOUT": "500ms"})
    context = net.authority.client()
    with net.client.connect(ORIGIN, 443) as sock, \
            context.wrap_socket(sock, server_hostname="allowed.test") as tls:
        with send(net, b"\x16") as late:        # begun later
            assert is_cut(late)
        tls.sendall(REQUEST.format("allowed.test").encode())
        assert tls.recv(15) == b"HTTP/1.1 200 OK"


# T20: the second hello after a HelloRetryRequest

def without_padding(message):
    """(what stands before the extensions, {type: body}) of a hello."""
    at = 4 + 2 + 32
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at:at + 2], "big")
    at += 1 + message[at]
    front, block, listed = message[4:at], message[at + 2:], {}
    while block:
        kind, length = int.from_bytes(block[:2], "big"), int.from_bytes(block[2:4], "big")
        listed[kind], block = block[4:4 + length], block[4 + length:]
    listed.pop(hello.PADDING, None)
    return front, listed


def second_hello(first, name):
    """The answer to a request for P-384, for that name."""
    front, listed = without_padding(first[5:])
    public = ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    listed[hello.KEY_SHARE] = hello.vector(2, b"\0\x18" + hello.vector(2, public))
    listed[hello.SERVER_NAME] = hello.sni(name)[1]
    block = b"".join(hello.number(2, kind) + hello.vector(2, body)
                     for kind, body in listed.items())
    return hello.message(front + hello.vector(2, block))


def retried(net):
    """A connection whose server wants another hello, and the first one."""
    net.internet.tls_curve = "secp384r1"
    first = Handshake(net, "allowed.test").first
    sock = send(net, first)
    answer = sock.recv(65536)
    assert answer[0] == hello.HANDSHAKE and answer[11:15].hex() == "cf21ad74", "no retry was asked"
    return sock, first


SHAPES = pytest.mark.parametrize("shape", [
    lambda message: [hello.record(message)],
    lambda message: [hello.record(b"\1", hello.CCS) + hello.record(message)],
    lambda message: pieces(hello.record(message), 1),
    lambda message: [hello.record(b"\1", hello.CCS), hello.records(message, 7)]],
    ids=["plain", "behind-ccs", "bytes", "records"])


@RETRYING
def test_real_clients_pass_when_they_are_asked_to_retry(listed, client):
    listed.internet.tls_curve = "secp384r1"
    assert talk(listed, client, "allowed.test", ORIGIN)
    assert [session.names for session in listed.internet.at(ORIGIN)] == [["allowed.test"] * 2]


@SHAPES
def test_a_second_hello_for_the_same_name_passes(listed, shape):
    sock, first = retried(listed)
    with sock:
        for piece in shape(second_hello(first, b"Allowed.TEST")):
            sock.sendall(piece)
        assert sock.recv(5)[0] in (hello.HANDSHAKE, hello.CCS)      # ServerHello
    [session] = listed.internet.at(ORIGIN)
    assert [name.lower() for name in session.names] == ["allowed.test"] * 2


@SHAPES
@pytest.mark.parametrize("name", [b"evil.test", b"a.wild.test", b"allowed.test.evil.test", b""])
def test_a_second_hello_for_another_name_never_arrives(listed, shape, name):
    sock, first = retried(listed)
    with sock:
        with contextlib.suppress(ConnectionError):      # cut by one of the pieces
            for piece in shape(second_hello(first, name)):
                sock.sendall(piece)
        assert is_cut(sock)
    [session] = listed.internet.wait(lambda: [s for s in listed.internet.at(ORIGIN) if s.closed])
    assert session.names == ["allowed.test"]
    behind = bytes(session.raw[len(first):])
    assert behind in (b"", hello.record(b"\1", hello.CCS)) and session.raw.startswith(first)
    event = listed.ringfence.wait_event("https.blocked")
    assert event["reason"] == "sni-switched" if name else "malformed-hello"


def test_a_second_hello_must_come_in_time_too(net):
    net.start(domains=["allowed.test"], env={"HELLO_TIMEOUT": "500ms"})
    sock, first = retried(net)
    with sock:
        sock.sendall(hello.record(second_hello(first, b"evil.test"))[:-1])
        assert is_cut(sock)
    net.ringfence.wait_event("https.blocked", reason="hello-timeout")
    [session] = net.internet.at(ORIGIN)
    assert session.raw == first


# BLOCK_ACTION=explain

def test_a_refusal_can_be_an_alert_that_clients_understand(net):
    net.start(domains=["allowed.test"], env={"BLOCK_ACTION": "explain"})
    done = openssl(net, ATTACKER, "-servername", "evil.test")
    assert "alert access denied" in done.stderr and "SSL alert number 49" in done.stderr
    outcome = net.client.curl("--resolve", f"evil.test:443:{ATTACKER}", "https://evil.test/")
    assert "access denied" in outcome.error
    outcome = net.client.tls("evil.test")
    assert outcome == "ALERT" and "ACCESS_DENIED" in str(outcome.error)
    assert net.client.tls("allowed.test") == "OK"
    assert net.internet.arrived(ATTACKER) == 0
