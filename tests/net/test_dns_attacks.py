"""test_dns_attacks.py - names as a way out: the attacks of a workload and of who forges answers.

Judged at the fake resolver and by the packets that reach the internet, never by what the client
was told alone: no question for a name off the list gets there, and nothing of a client's message
but the name and the type."""
import collections
import contextlib
import errno
import signal
import socket
import struct

import pytest

from dnsstub import Answer, DnsClient, frame, question, receive
from fakedns import address_record, name_bytes, record, reply
from internet import ATTACKER, ATTACKER6, GATEWAY, ORIGIN, ORIGIN6, RESOLVER
from ringfence import until
from test_network import send
from world import BOX

MODES = pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
MANY = {"DNS_RATE_QPS": 100000, "DNS_RATE_BURST": 100000, "DNS_WILDCARD_QPS": 0}
OURS = 12 + 11                          # what a question of ours has besides the question: OPT
GOOD = "203.0.113.99"


@pytest.fixture
def dns(net):
    return DnsClient(net.client)


def start(net, mode, domains=("allowed.test", "*.wild.test"), env=None, **options):
    return net.start(domains=domains, env={"FILTER_MODE": mode, **(env or {})}, **options)


def only_listed_names_were_asked(net, *names):
    asked = {one.name for one in net.internet.dns.questions}
    return asked <= {"allowed.test", *names} or asked


def nothing_else_arrived(net):
    return net.internet.arrived() == net.internet.arrived(RESOLVER, protocol="udp", port=53) + \
        net.internet.arrived(RESOLVER, protocol="tcp", port=53)


# D12: whoever is asked

EVERYBODY = ["8.8.8.8", RESOLVER, ATTACKER, ATTACKER6, GATEWAY, "127.0.0.1", "127.0.0.11",
             "127.0.0.53", "::1", BOX]


@MODES
def test_whoever_is_asked_we_answer(net, dns, mode):
    start(net, mode, ips=[RESOLVER, ATTACKER6])          # listed addresses are no exception
    for to in EVERYBODY:
        for tcp in False, True:
            assert dns.ask("evil.test", "TXT", tcp=tcp, to=to).rcode == "NXDOMAIN", to
            assert dns.ask("allowed.test", tcp=tcp, to=to).addrs == [ORIGIN], to
    assert only_listed_names_were_asked(net) is True
    assert nothing_else_arrived(net)


@MODES
def test_a_program_that_uses_the_c_library_is_answered(net, mode):
    with open(net.resolv_conf, "w") as file:
        file.write("nameserver 9.9.9.9\nnameserver 2001:db8:66::66\n")
    start(net, mode, env={"RESOLV_CONF": None})
    found = net.client.run("getent", "ahosts", "allowed.test")
    assert ORIGIN in found.stdout and ORIGIN6 in found.stdout
    assert net.client.run("getent", "ahosts", "evil.test").returncode != 0
    assert only_listed_names_were_asked(net) is True


# D14, D15: other ways to ask

@MODES
@pytest.mark.parametrize("addr", [ATTACKER, ATTACKER6, ORIGIN])
def test_questions_under_tls_or_quic_do_not_leave(net, dns, mode, addr):
    start(net, mode)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert net.client.tcp(addr, 853) == "REFUSED"
    assert net.client.udp(addr, 853) in ("UNREACHABLE", "DENIED")
    assert net.internet.arrived(ATTACKER, ATTACKER6, ORIGIN) == 0


def test_questions_over_https_are_judged_by_the_servers_name(net):
    start(net, "https")
    assert net.client.tls("dns.evil.test", to=ATTACKER, path="/dns-query?dns=AAAA") == "RESET"
    assert net.client.tls("dns.evil.test", to="8.8.8.8", alpn=["h2"]) == "RESET"
    assert net.internet.arrived(ATTACKER, "8.8.8.8") == 0


@pytest.mark.parametrize("mode", ["https", "dns-strict"])
def test_names_are_not_asked_of_neighbours(net, mode):
    start(net, mode)
    message = question("evil.test")
    for addr, port in (("224.0.0.251", 5353), ("224.0.0.252", 5355), ("10.77.0.255", 137),
                       (GATEWAY, 5353), (GATEWAY, 5355), (GATEWAY, 137), ("ff02::fb", 5353)):
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        with net.client.open(family, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            assert not send(sock, message, (addr, port)), addr
    assert net.internet.arrived() == net.internet.arrived(GATEWAY) == 0


# D01, D09, D10: what of a question leaves

def test_of_a_clients_message_only_the_name_and_the_type_leave(net, dns):
    start(net, "dns")
    options = (b"\xfd\xe9\x00\xc8" + b"secret" * 33 + b"..", b"\0\x08\0\x08\0\1\x20\0\xc0\x00\2\1",
               b"\0\x0a\0\x08secret!!")
    for number, data in enumerate(options):
        opt = struct.pack("!BHHIH", 0, 41, 4096, 0x8000, len(data)) + data
        message = bytearray(question(f"n{number}.wild.test", edns=None, number=0x5ec2) + opt)
        message[3] |= 0x70                              # Z, AD and CD
        struct.pack_into("!H", message, 10, 1)
        assert Answer(dns.exchange(bytes(message))).addrs == [ORIGIN]
        trailing = question(f"t{number}.wild.test", edns=None) + b"secret" * 30
        dns.exchange(trailing)
    questions = net.internet.dns.questions
    assert {one.name for one in questions} <= {
        f"{kind}{number}.wild.test" for kind in "nt" for number in range(3)}
    assert {f"n{number}.wild.test" for number in range(3)} <= {one.name for one in questions}
    for one in questions:
        assert len(one.wire) == OURS + len(name_bytes(one.name)) + 4
        assert b"secret" not in one.wire and one.wire[3] & 0x70 in (0, 0x10)
        assert one.wire[-2:] == b"\0\0"                 # no option


@MODES
def test_data_in_labels_of_names_off_the_list_does_not_leave(net, dns, mode):
    start(net, mode, env=MANY)
    for name in ("data.allowed.test", "x.evil.test", "allowed.test.evil.test", "notallowed.test",
                 "wild.test", "notwild.test", "7.113.0.203.in-addr.arpa", "db", "localhost.evil"):
        for kind in "A", "AAAA", "TXT", "HTTPS", "PTR", "SRV":
            assert not dns.ask(name, kind).answers, name
    assert net.internet.dns.questions == [] and net.internet.arrived() == 0


def test_a_tunnel_below_a_wildcard_gets_little_through(net, dns):
    """As iodine does: new long names as fast as they are answered."""
    start(net, "dns", env={"DNS_RATE_QPS": 100000, "DNS_RATE_BURST": 100000,
                           "DNS_WILDCARD_QPS": 2})
    rcodes = collections.Counter(
        dns.ask(f"{'d' * 50}{number:06}.{'e' * 50}.wild.test", "TXT").rcode
        for number in range(500))
    assert rcodes["REFUSED"] > 400
    assert len({one.name for one in net.internet.dns.questions}) < 100
    net.ringfence.wait_event("dns.rate_limited")
    assert dns.ask("allowed.test").addrs == [ORIGIN]


# D26, D27: our own questions

def test_ports_and_ids_of_our_questions_cannot_be_guessed(net, dns):
    start(net, "dns", env=MANY)
    for number in range(1000):
        assert dns.ask(f"n{number}.wild.test", number=0x1234).addrs == [ORIGIN]
    questions = net.internet.dns.questions
    assert len(questions) >= 1000
    ports = [one.peer[1] for one in questions]
    # How many sockets there are depends on how fast they were asked: 64, and 500 new ones a second.
    assert max(ports) - min(ports) >= 1 << 14 and len(set(ports)) > 64
    assert max(collections.Counter(ports).values()) < len(ports) / 8    # none is kept for long
    assert is_uniform([one.id for one in questions])
    steps = [(b - a) % 65536 for a, b in zip(ports, ports[1:]) if a != b]
    assert len(set(steps)) > len(steps) * 0.8           # nor do they follow from each other
    assert sum(one.id == 0x1234 for one in questions) < 5
    cases = {bytes(one.wire[12:-15]) for one in questions}
    assert any(b"WI" in case or b"wI" in case for case in cases)        # 0x20


def is_uniform(values, buckets=32, limit=100):
    """Chi square with 31 degrees of freedom; chance is above that once in 300 million runs."""
    counts = collections.Counter(value * buckets >> 16 for value in values)
    expected = len(values) / buckets
    return sum((counts[b] - expected) ** 2 / expected for b in range(buckets)) < limit


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hundred_equal_questions_at_once_are_one_upstream(net, dns, workers):
    net.internet.dns.set("slow.wild.test", ORIGIN, delay=0.5)
    start(net, "dns", env={**MANY, "WORKERS": workers})
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dns.socket()) for _ in range(100)]
        for sock in sockets:
            sock.send(question("slow.wild.test"))
        assert all(Answer(sock.recv(4096)).addrs == [ORIGIN] for sock in sockets)
    # A resolver that is slow is asked again, or the next is; but not by each client.
    assert 1 <= len(net.internet.dns.asked("slow.wild.test")) <= 4


# D20: forged answers

def forger(*answers):
    """Each makes (bytes, source) of a question; all are sent, and then the good one."""
    def script(wire, send_, _transport):
        for make in answers:
            forged, source = make(wire)
            send_(forged, source)
        send_(reply(wire, GOOD), None)
    return script


def bad(wire, **options):
    return reply(wire, ATTACKER, **options)


def other_question(wire):
    end = len(bad(wire)) - 16
    return bad(wire)[:12] + name_bytes("allowed.tesu") + bad(wire)[end - 4:end] + bad(wire)[end:]


FORGED = {
    "another id": lambda wire: (bytes([wire[0] ^ 1]) + bad(wire)[1:], None),
    "another name": lambda wire: (other_question(wire), None),
    "no question": lambda wire: (bad(wire)[:4] + b"\0\0" + bad(wire)[6:12] +
                                 address_record(ATTACKER, owner=name_bytes("allowed.test")), None),
    "a question": lambda wire: (bad(wire)[:2] + b"\x01\0" + bad(wire)[4:], None),
    "another opcode": lambda wire: (bad(wire)[:2] + b"\xa1\x80" + bad(wire)[4:], None),
    "another type": lambda wire: (bad(wire)[:12] + wire[12:-15] + b"\0\x10\0\1" +
                                  bad(wire)[len(wire) - 11:], None),
    "another case": lambda wire: (bad(wire)[:12] + wire[12:26].swapcase() + bad(wire)[26:], None),
    "from another port": lambda wire: (bad(wire), 5353),
    "from another address": lambda wire: (bad(wire), ATTACKER),
    "nothing": lambda wire: (b"", None),
    "too short": lambda wire: (bad(wire)[:11], None),
}


@pytest.mark.parametrize("how", FORGED)
def test_forged_answers_are_not_believed_and_do_no_harm(net, dns, how):
    if how == "another case":           # a server that shows no case at all is asked by TCP
        net.internet.dns.set("allowed.test", script=forger(FORGED[how]))
    else:
        net.internet.dns.set("allowed.test", script=forger(*[FORGED[how]] * 3))
    start(net, "dns-strict")
    assert dns.ask("allowed.test").addrs == [GOOD]
    assert ATTACKER not in net.rules_text()
    assert net.client.tcp(ATTACKER, 9999) == "REFUSED"
    assert net.internet.arrived(ATTACKER) == 0


def test_a_storm_of_guesses_is_not_believed(net, dns):
    def storm(wire, send_, _transport):
        for guess in range(4000):       # an id may be right by chance, the case never is
            send_(struct.pack("!H", guess * 13 & 0xffff) + bad(wire)[2:12] +
                  wire[12:26].swapcase() + bad(wire)[26:])
        send_(reply(wire, GOOD))
    net.internet.dns.set("allowed.test", script=storm)
    start(net, "dns")
    answer = dns.ask("allowed.test")
    assert answer.addrs in ([GOOD], [])                 # too many: no answer, never a wrong one
    assert ATTACKER not in answer.addrs


# D21, D22: what of an answer counts

def test_only_the_chain_from_the_question_is_told_and_opened(net, dns):
    evil = name_bytes("evil.test")
    answers = {
        "owner.test": lambda wire: reply(wire, address_record(ATTACKER, owner=evil), GOOD),
        "extra.test": lambda wire: reply(wire, GOOD, additional=address_record(ATTACKER,
                                                                             owner=evil)),
        "above.test": lambda wire: reply(wire, GOOD, authority=address_record(ATTACKER)),
        "class.test": lambda wire: reply(wire, record(b"\xc0\x0c", 1, 60, socket.inet_aton(
            ATTACKER)).replace(b"\0\1\0\1", b"\0\1\0\3"), GOOD),
        "six.test": lambda wire: reply(wire, record(b"\xc0\x0c", 28, 60, socket.inet_pton(
            socket.AF_INET6, ATTACKER6)), GOOD),
    }
    for name, raw in answers.items():
        net.internet.dns.set(name, raw=raw)
    start(net, "dns-strict", answers)
    for name in answers:
        assert dns.ask(name).addrs in ([GOOD], []), name
        assert ATTACKER not in net.rules_text() and ATTACKER6 not in net.rules_text(), name
    for port in 22, 9999:
        assert net.client.tcp(ATTACKER, port) == "REFUSED"
        assert net.client.tcp(ATTACKER6, port) == "REFUSED"
    assert net.internet.arrived(ATTACKER, ATTACKER6) == 0


def test_aliases_lead_out_of_the_list_and_loops_nowhere(net, dns):
    edge, far = name_bytes("edge.cdn.example"), name_bytes("far.cdn.example")
    alias = record(b"\xc0\x0c", 5, 60, edge)
    chain = [record(b"\xc0\x0c", 5, 60, name_bytes("c0.x"))] + [
        record(name_bytes(f"c{n}.x"), 5, 60, name_bytes(f"c{n + 1}.x")) for n in range(20)]
    answers = {
        "alias.test": (alias, address_record(GOOD, owner=edge)),
        "mixed.test": (address_record(GOOD, owner=far), record(edge, 5, 60, far), alias),
        "loop.test": (alias, record(edge, 5, 60, far), record(far, 5, 60, edge)),
        "self.test": (record(b"\xc0\x0c", 5, 60, b"\xc0\x0c"),),
        "long.test": (*chain, address_record(ATTACKER, owner=name_bytes("c20.x"))),
    }
    for name, records in answers.items():
        net.internet.dns.set(name, raw=lambda wire, records=records: reply(wire, *records))
    start(net, "dns-strict", answers)
    assert dns.ask("alias.test").addrs == dns.ask("mixed.test").addrs == [GOOD]
    told = net.ringfence.wait_event("dns.allowed", qname="alias.test")
    assert "edge.cdn.example" in str(told)
    for name in "loop.test", "self.test", "long.test":
        assert dns.ask(name).rcode == "SERVFAIL", name
    assert ATTACKER not in net.rules_text()
    assert dns.ask("edge.cdn.example").rcode == "NXDOMAIN"      # an alias is not thereby listed


# D24: odd answers

def test_odd_answers_are_clamped_or_refused(net, dns):
    many = [f"203.0.{n // 250}.{n % 250 + 1}" for n in range(3000)]
    loop = b"\xc0\x1e\0\5\0\1\0\0\0\x3c\0\2\xc0\x1e"
    dns_ = net.internet.dns
    dns_.set("zero.test", ORIGIN, ttl=0)
    dns_.set("top.test", raw=lambda wire: reply(wire, ORIGIN, ttl=0xffffffff))
    dns_.set("year.test", ORIGIN, ttl=365 * 86400)
    dns_.set("many.test", *many)
    dns_.set("short.test", raw=lambda wire: reply(wire, record(b"\xc0\x0c", 1, 60, b"abc")))
    dns_.set("over.test", raw=lambda wire: reply(wire, ORIGIN)[:-2])
    dns_.set("loop.test", raw=lambda wire: reply(wire, loop))
    dns_.set("gone.test", rcode="NXDOMAIN")
    start(net, "dns-strict", ["zero.test", "top.test", "year.test", "many.test", "short.test",
                              "over.test", "loop.test", "gone.test"])
    for name, most in ("zero.test", 0), ("top.test", 0), ("year.test", 3600):
        answer = dns.ask(name)
        assert answer.addrs == [ORIGIN] and answer.answers[0].ttl <= most, name
    assert 1 <= len(dns.ask("many.test", tcp=True).addrs) <= 64
    for name in "short.test", "over.test", "loop.test":
        assert dns.ask(name).rcode == "SERVFAIL", name
    assert dns.ask("gone.test").rcode == "NXDOMAIN"
    assert len(net.learned()) <= 64 + 1


def test_a_negative_answer_is_not_for_ever(net, dns):
    """D30, with our own limit: what the authority says of its time does not count beyond it."""
    soa = record(b"\xc0\x0c", 6, 1, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 1))
    net.internet.dns.set("allowed.test", raw=lambda wire: reply(
        wire, rcode="NXDOMAIN", authority=soa))
    start(net, "dns")
    assert dns.ask("allowed.test").rcode == "NXDOMAIN"
    net.internet.dns.set("allowed.test", ORIGIN)
    until(lambda: dns.ask("allowed.test").addrs == [ORIGIN], "the good answer")


# D23, V07: rebinding

SPECIAL = ["127.0.0.1", "127.0.0.11", "169.254.169.254", "169.254.170.2", "10.0.0.5", "172.17.0.1",
           "192.168.1.1", "100.64.0.1", "100.100.100.200", "0.0.0.0", "255.255.255.255",
           "224.0.0.251", "198.18.0.1", "::1", "fd00::1", "fe80::1", "::ffff:169.254.169.254",
           "::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254",
           "2001:db8::1", "ff02::1", "2001:0:a9fe:a9fe::1"]


@MODES
def test_addresses_that_lead_inside_are_neither_told_nor_opened_nor_dialled(net, dns, mode):
    names = {f"n{number}.test": addr for number, addr in enumerate(SPECIAL)}
    for name, addr in names.items():
        net.internet.dns.set(name, addr)
        net.internet.dns.set("x" + name, addr, "93.184.216.34", "2606:2800:21f::1")
    start(net, mode, ["*.test"], env={**MANY, "PRIVATE_ANSWERS": "deny"})
    for name, addr in names.items():
        kind = "AAAA" if ":" in addr else "A"
        assert dns.ask(name, kind).addrs == [], addr
        rest = ["2606:2800:21f::1"] if ":" in addr else ["93.184.216.34"]
        assert dns.ask("x" + name, kind).addrs == rest, addr
        if mode == "https":
            assert net.client.tls(name, to=ATTACKER) == "RESET", addr
            net.ringfence.wait_event("https.blocked", https=name, reason="bad-address")
    if mode == "dns-strict":
        assert net.learned() <= {"93.184.216.34", "2606:2800:21f::1"}
        for addr in "10.0.0.5", "192.168.1.1", "169.254.169.254", "fd00:ec2::254":
            assert net.client.tcp(addr, 22) == "REFUSED"
    assert nothing_else_arrived(net)


# D25: hints

def https_record(*params, priority=1, target=b"\0"):
    data = struct.pack("!H", priority) + target + b"".join(
        struct.pack("!2H", key, len(value)) + value for key, value in sorted(params))
    return record(b"\xc0\x0c", 65, 60, data)


def test_hints_of_https_records_are_vetted_and_opened_and_ech_is_gone(net, dns):
    def raw(wire):
        return reply(wire, https_record(
            (1, b"\x02h2\x02h3"), (4, socket.inet_aton("93.184.216.34") +
                                   socket.inet_aton("169.254.169.254")), (5, b"\0\x08" + b"E" * 8)))
    net.internet.dns.set("hints.test", raw=raw)
    start(net, "dns-strict", ["hints.test"], env={"PRIVATE_ANSWERS": "deny"})
    answer = dns.ask("hints.test", "HTTPS")
    assert len(answer.answers) == 1
    data = answer.answers[0].data
    assert b"EEEE" not in data and b"h3" not in data and b"h2" in data
    assert socket.inet_aton("169.254.169.254") not in data
    assert socket.inet_aton("93.184.216.34") in data
    assert net.learned() == {"93.184.216.34"}
    assert net.client.tcp("93.184.216.34", 9999) == "OK"


@MODES
def test_hints_behind_any_number_of_good_ones_are_vetted_too(net, dns, mode):
    """More than the resolver keeps in its list of a name's addresses."""
    good = [f"93.184.{number // 250}.{number % 250 + 1}" for number in range(70)]
    inside = "169.254.169.254", GATEWAY, "127.0.0.1"

    def raw(wire):
        return reply(wire, https_record((4, b"".join(map(socket.inet_aton, (*good, *inside))))))
    net.internet.dns.set("hints.test", raw=raw)
    start(net, mode, ["hints.test"], env={"PRIVATE_ANSWERS": "deny"})
    [answer] = dns.ask("hints.test", "HTTPS", tcp=True).answers
    for addr in inside:
        assert socket.inet_aton(addr) not in answer.data, addr
    told = {addr for addr in good if socket.inet_aton(addr) in answer.data}
    assert set(good[:64]) <= told
    if mode == "dns-strict":            # what is told is open, and no more than 64 are
        assert net.learned() == told == set(good[:64])
        assert net.client.tcp(GATEWAY, 22) == "REFUSED"


def test_a_datagram_longer_than_any_question_is_dropped(net, dns):
    start(net, "dns", env={"WORKERS": 1})
    long = question("allowed.test")[:-11] + b"\0" * 3000
    with dns.socket() as sock:
        for _ in range(20):
            sock.send(long)
        sock.send(question("allowed.test", number=0x7fff))
        assert sock.recv(4096)[:2] == b"\x7f\xff"          # the first that comes
    net.ringfence.signal(signal.SIGUSR1)
    assert net.ringfence.wait_event("metrics")["dns_dropped"] == 20


# D11: over TCP each message is judged by itself

@MODES
def test_the_second_question_on_a_connection_is_judged_too(net, dns, mode):
    start(net, mode)
    with dns.stream() as sock:
        messages = [question("allowed.test"), question("evil.test"), question("x.evil.test", "TXT"),
                    question("allowed.test", "AAAA")]
        sock.sendall(b"".join(map(frame, messages)))
        answers = {answer.id: answer for answer in (Answer(receive(sock)) for _ in messages)}
    found = [answers[struct.unpack_from("!H", message)[0]] for message in messages]
    assert [answer.addrs for answer in found] == [[ORIGIN], [], [], [ORIGIN6]]
    assert only_listed_names_were_asked(net) is True


# Ourselves

@MODES
def test_our_resolver_is_used_by_redirect_only(net, mode):
    start(net, mode, env={"DNS_PORT": 5300})
    message = question("allowed.test")
    for addr in "127.0.0.1", "::1", BOX:
        assert net.client.tcp(addr, 5300, frame(message)) == "REFUSED"
        assert net.client.udp(addr, 5300, message) in ("UNREACHABLE", "DENIED")
    assert net.outsider.tcp(BOX, 5300, frame(message)) == "REFUSED"
    assert net.outsider.tcp(BOX, 53, frame(message)) == "REFUSED"
    assert net.outsider.udp(BOX, 53, message) == "REFUSED"
    assert net.internet.dns.questions == []


@MODES
def test_a_resolver_that_is_killed_leaves_no_way_to_ask(net, dns, mode):
    start(net, mode)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    net.ringfence.kill()
    net.internet.reset()
    for to in "8.8.8.8", "127.0.0.1", ATTACKER6:
        assert net.client.udp(to, 53, question("evil.test")) == "REFUSED"
        assert net.client.tcp(to, 53, frame(question("evil.test"))) == "REFUSED"
    assert net.internet.arrived() == 0


def test_spoofed_sources_get_no_answer_outside(net):
    """With NET_RAW a workload could have us send answers to its accomplice."""
    start(net, "dns-strict")
    message = question("allowed.test")
    head = struct.pack("!4H", 40000, 53, 8 + len(message), 0) + message
    with net.client.open(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(head), 1, 0, 64, 17, 0,
                             socket.inet_aton(ATTACKER), socket.inet_aton("8.8.8.8")) + head
        with contextlib.suppress(PermissionError):
            raw.sendto(packet, ("8.8.8.8", 0))
    assert DnsClient(net.client).ask("allowed.test").addrs == [ORIGIN]
    assert net.internet.arrived(ATTACKER) == 0


def test_refusals_name_an_errno_that_clients_understand(net):
    start(net, "dns-strict")
    with net.client.open(kind=socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError) as raised:
            sock.sendto(b"x", ("127.0.0.11", 45678))
        assert raised.value.errno in (errno.EPERM, errno.EHOSTUNREACH, errno.EACCES)
