"""The resolver that workloads talk to: what it answers, what it asks for, what it says of it."""
import socket
import struct
import time

import pytest

from dnsstub import Answer, DnsClient, frame, question, receive, receive_exactly
from fakedns import address_record, name_bytes, record, reply
from internet import ATTACKER, ATTACKER6, ORIGIN, ORIGIN6, RESOLVER
from ringfence import until

NXDOMAIN = "NXDOMAIN"


@pytest.fixture
def dns(net):
    return DnsClient(net.client)


def asked(net):
    return {entry.name for entry in net.internet.dns.questions}


def flow_id(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 & 0xffffffffffffffff
    return f"{value:x}"


def test_a_listed_name_is_answered_and_another_is_not_even_asked_for(net, dns):
    net.start(domains=["allowed.test", "*.wild.test"])
    for tcp in False, True:
        assert dns.ask("allowed.test", tcp=tcp).addrs == [ORIGIN]
        assert dns.ask("allowed.test", "AAAA", tcp=tcp, to="2001:db8::53").addrs == [ORIGIN6]
        refused = dns.ask("evil.test", tcp=tcp)
        assert refused.rcode == NXDOMAIN and refused.soa and refused.error == 15
        for name in "x.allowed.test", "wild.test", "allowed.test.evil.test", "test", ".":
            assert dns.ask(name, tcp=tcp).rcode == NXDOMAIN
    assert asked(net) == {"allowed.test"}
    assert net.internet.dns.asked("allowed.test")[0].local == RESOLVER


def test_the_answer_has_the_name_as_it_was_asked_and_comes_from_where_it_was_asked(net, dns):
    net.start(domains=["allowed.test"])
    answer = dns.ask("aLLoWed.TesT")
    assert answer.name == "aLLoWed.TesT" and answer.addrs == [ORIGIN]
    assert answer.ra and answer.rd
    with net.client.open(kind=socket.SOCK_DGRAM) as sock:       # not connected: looks at the source
        for server in "8.8.8.8", "192.0.2.1", "10.77.0.1", "127.0.0.11":
            sock.sendto(question("allowed.test"), (server, 53))
            assert sock.recvfrom(4096)[1] == (server, 53)


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_a_question_is_told_with_protocol_destination_answers_and_upstream(net, dns, protocol):
    net.start(domains=["allowed.test"])
    with dns.socket(protocol == "TCP", "9.9.9.9") as sock:
        port = sock.getsockname()[1]
        if protocol == "TCP":
            sock.sendall(frame(question("Allowed.test")) + frame(question("evil.test", "HTTPS")))
            receive(sock), receive(sock)
        else:
            for name, kind in ("Allowed.test", "A"), ("evil.test", "HTTPS"):
                sock.send(question(name, kind))
                sock.recv(4096)
    allowed = net.ringfence.wait_event("dns.allowed", qname="allowed.test")
    blocked = net.ringfence.wait_event("dns.blocked", qname="evil.test")
    for event in allowed, blocked:
        assert event["protocol"] == protocol
        assert (event["destination_ip"], event["destination_port"]) == ("9.9.9.9", 53)
        assert (event["source_ip"], event["source_port"]) == ("10.77.0.2", port)
        assert event["flow_id"] == flow_id(f"10.77.0.2:{port}->9.9.9.9:53|{protocol}")
    assert allowed["action"] == "ALLOWED" and allowed["component"] == "dns"
    assert allowed["qtype"] == "A" and allowed["rcode"] == "NOERROR"
    assert allowed["answers"] == ORIGIN and allowed["upstream"] == f"{RESOLVER}:53"
    assert allowed["duration_us"] > 0 and allowed["rule"] == "allowed.test"
    assert blocked["action"] == "BLOCKED" and blocked["qtype"] == "TYPEHTTPS"
    assert blocked["note"] == "nxdomain" and blocked["to_allow"] == "domains: evil.test"


@pytest.mark.parametrize("how", ["zero", "refused"])
def test_the_answer_for_a_blocked_name_can_be_chosen(net, dns, how):
    net.start(domains=["allowed.test"], env={"DNS_BLOCKED_ANSWER": how})
    answers = {kind: dns.ask("evil.test", kind) for kind in ("A", "AAAA", "TXT")}
    if how == "refused":
        assert {answer.rcode for answer in answers.values()} == {"REFUSED"}
        return
    assert answers["A"].addrs == ["0.0.0.0"] and answers["AAAA"].addrs == ["::"]
    assert answers["A"].answers[0].ttl == 60
    assert answers["TXT"].rcode == NXDOMAIN
    assert net.ringfence.wait_event("dns.blocked")["note"] == "sinkholed-not-allowlisted"


def test_what_tunnels_use_is_refused_with_the_seeds_reasons(net, dns):
    net.start(domains=["*.wild.test", "allowed.test"])
    long_name = ".".join(["x" * 50] * 4) + ".y123456.wild.test"
    for name, kind, reason in (("allowed.test", "NULL", "null-query"),
                               (long_name, "A", "qname-too-long"),
                               ("x" * 57 + ".wild.test", "A", "label-too-long")):
        assert dns.ask(name, kind).rcode == "REFUSED"
        event = net.ringfence.wait_event("dns.hardening", reason=reason)
        assert event["note"] == "dns-hardening" and event["action"] == "BLOCKED"
    assert not net.internet.dns.questions
    assert dns.ask("x" * 56 + ".wild.test").addrs


def test_much_txt_is_no_answer_and_without_hardening_it_is(net, dns):
    def text(count):
        def raw(wire):
            end = wire.index(b"\0\0\x10\0\x01") + 5
            return wire[:2] + struct.pack("!5H", 0x8180, 1, count, 0, 0) + wire[12:end] + b"".join(
                record(b"\xc0\x0c", 16, 60, b"\xc8" + bytes([65 + i]) * 200)
                for i in range(count))
        return raw

    net.internet.dns.set("little.test", raw=text(4))
    net.internet.dns.set("much.test", raw=text(6))
    net.start(domains=["little.test", "much.test"])
    assert len(dns.ask("little.test", "TXT").answers) == 4
    assert dns.ask("much.test", "TXT").rcode == "SERVFAIL"
    assert net.ringfence.wait_event("dns.hardening")["reason"] == "txt-payload-too-large"
    net.ringfence.stop()
    net.start(domains=["much.test"], env={"DNS_HARDENING": "false"})
    assert dns.ask("much.test", "TXT", tcp=True).rcode == "NOERROR"


def test_a_server_that_refuses_edns_is_soon_asked_without(net, dns):
    """One that is older than it: else each name would cost two round trips for ever."""
    asked_with = []

    def raw(wire):
        asked_with.append(wire[11] == 1)
        return reply(wire, rcode="FORMERR") if asked_with[-1] else reply(wire, ORIGIN)

    net.internet.dns.set("*.test", raw=raw)
    net.start(domains=["*.test"])
    for number in range(10):
        assert dns.ask(f"e{number}.test").addrs == [ORIGIN]
    assert asked_with == [True, False] * 3 + [False] * 7


@pytest.mark.parametrize("hardening", ["true", "false"])
def test_records_that_do_not_all_fit_are_no_answer(net, dns, hardening):
    """Other than addresses: a part of them is another answer than was given."""
    def mail(count, size):
        def raw(wire):
            return reply(wire, *(record(b"\xc0\x0c", 15, 60, b"\0\1" + name_bytes(
                f"m{number}." + "x" * size + ".test")) for number in range(count)))
        return raw

    for name, count, size in ("few", 64, 4), ("many", 65, 4), ("large", 63, 60):
        net.internet.dns.set(f"{name}.test", raw=mail(count, size))
    net.internet.dns.set("addresses.test", *(f"203.0.114.{number}" for number in range(100)))
    net.start(domains=["*.test"], env={"DNS_HARDENING": hardening})
    assert len(dns.ask("few.test", "MX", tcp=True).answers) == 64
    for name in "many.test", "large.test":
        for tcp in False, True:
            answer = dns.ask(name, "MX", tcp=tcp)
            assert answer.rcode == "SERVFAIL" and not answer.answers
        event = net.ringfence.wait_event("dns.hardening", qname=name)
        assert event["reason"] == "response-too-large"
    assert len(dns.ask("addresses.test", tcp=True).addrs) == 64


def test_types_that_nobody_needs_are_refused(net, dns):
    net.start(domains=["allowed.test"])
    for kind in "DNSKEY", 65399, "ANY":
        assert dns.ask("allowed.test", kind).rcode in ("REFUSED", "NOTIMP")
    assert not net.internet.dns.questions


def test_many_questions_over_tcp_are_answered_as_they_are_ready(net, dns):
    net.internet.dns.set("slow.test", ORIGIN, delay=1.0)
    net.start(domains=["slow.test", "allowed.test"])
    with dns.stream() as sock:
        sock.sendall(b"".join(frame(question(name, number=number)) for number, name in
                              enumerate(["slow.test", "allowed.test", "evil.test"])))
        answers = [Answer(receive(sock)) for _ in range(3)]
    assert [answer.id for answer in answers][-1] == 0           # the slow one held nobody up
    assert {answer.id: answer.rcode for answer in answers} == {0: "NOERROR", 1: "NOERROR",
                                                               2: NXDOMAIN}
    with dns.stream() as sock:          # more than are answered at once, cut anywhere
        stream = b"".join(frame(question("allowed.test", number=number)) for number in range(100))
        for at in range(0, len(stream), 7):
            sock.sendall(stream[at:at + 7])
        assert {Answer(receive(sock)).id for _ in range(100)} == set(range(100))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""


def test_a_client_that_ends_is_still_answered(net, dns):
    net.internet.dns.set("slow.test", ORIGIN, delay=0.5)
    net.start(domains=["slow.test"])
    with dns.stream() as sock:
        sock.sendall(frame(question("slow.test")))
        sock.shutdown(socket.SHUT_WR)
        assert Answer(receive(sock)).addrs == [ORIGIN]
        assert sock.recv(1) == b""


def test_128_questions_end_a_connection(net, dns):
    net.start(domains=["allowed.test"], env={"DNS_RATE_QPS": 1000, "DNS_RATE_BURST": 1000})
    with dns.stream() as sock:
        sock.sendall(frame(question("allowed.test")) * 140)
        for _ in range(128):
            assert Answer(receive(sock)).addrs == [ORIGIN]
        with pytest.raises((EOFError, ConnectionResetError)):
            receive(sock)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
                                  b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x02\x00\x01\x00",
                                  b"\x00\x00", b"\x00\x05hello", b"\xff\xff" + bytes(100)])
def test_what_is_not_dns_ends_the_connection(net, dns, data):
    net.start(domains=["allowed.test"])
    with dns.stream() as sock:
        sock.sendall(data)
        with pytest.raises((EOFError, ConnectionResetError)):
            receive_exactly(sock, 1)
    assert not net.internet.dns.questions


def test_a_message_that_drips_is_cut_though_something_comes_all_the_time(net, dns):
    net.start(domains=["allowed.test"])
    message = frame(question("allowed.test"))
    with dns.stream() as sock:
        begun = time.monotonic()
        sock.settimeout(0.2)
        with pytest.raises((EOFError, ConnectionResetError, BrokenPipeError)):
            for byte in message * 2:
                sock.sendall(bytes([byte]))
                try:
                    receive_exactly(sock, 1)
                    raise AssertionError("it was answered")
                except TimeoutError:
                    pass
        assert 1 < time.monotonic() - begun < 10


def test_so_many_connections_make_room_for_one_more(net, dns):
    net.start(domains=["allowed.test"])
    idle = []
    for _ in range(300):
        try:
            sock = dns.socket(tcp=True)
            sock.sendall(b"\0")         # accepted once something has come
            idle.append(sock)
        except OSError:
            pass
    assert dns.ask("allowed.test", tcp=True).addrs == [ORIGIN]
    for sock in idle:
        sock.close()


def test_a_client_that_asks_too_much_is_refused_and_told_of_once_a_second(net, dns):
    net.start(domains=["allowed.test"], env={"DNS_RATE_QPS": 1, "DNS_RATE_BURST": 5})
    rcodes = [dns.ask("allowed.test").rcode for _ in range(20)]
    assert rcodes[:5] == ["NOERROR"] * 5 and rcodes.count("REFUSED") >= 13
    assert net.ringfence.wait_event("dns.rate_limited")["qname"] == "allowed.test"


def test_unlisted_names_do_not_use_up_what_listed_names_may_ask(net, dns):
    net.start(domains=["allowed.test"], env={"DNS_RATE_QPS": 1, "DNS_RATE_BURST": 5})
    rcodes = [dns.ask(f"x{i}.evil.test").rcode for i in range(50)]
    assert rcodes[:5] == [NXDOMAIN] * 5 and rcodes.count("REFUSED") >= 40
    assert dns.ask("allowed.test").addrs == [ORIGIN]


def test_few_new_names_a_second_pass_below_a_wildcard(net, dns):
    net.internet.dns.set("*.wild.test", ORIGIN)
    net.start(domains=["*.wild.test", "allowed.test"],
              env={"DNS_WILDCARD_QPS": 1, "DNS_RATE_QPS": 10000, "DNS_RATE_BURST": 10000})
    rcodes = [dns.ask(f"data{i}.a{i}.wild.test").rcode for i in range(60)]
    assert rcodes[:20] == ["NOERROR"] * 20 and rcodes.count("REFUSED") >= 30
    assert net.ringfence.wait_event("dns.rate_limited")["note"] == "names below a wildcard"
    assert dns.ask("data0.a0.wild.test").addrs == [ORIGIN]      # known: nothing new is told
    assert dns.ask("allowed.test").addrs == [ORIGIN]


PRIVATE = {"PRIVATE_ANSWERS": "deny"}


def test_private_and_special_addresses_are_left_out(net, dns):
    net.internet.dns.set("mixed.test", "10.0.0.5", "8.8.4.4", "169.254.169.254", "127.0.0.1")
    net.internet.dns.set("inside.test", "10.0.0.5", "fd00::5")
    net.internet.dns.set("db", "10.0.0.9")
    net.internet.dns.set("listed.test", "10.1.2.3", "10.0.0.5")
    net.internet.dns.set("never.test", "127.0.0.1", "169.254.169.254")
    net.start(domains=["mixed.test", "inside.test", "db", "listed.test", "never.test"],
              ips=["10.1.0.0/16"], env=PRIVATE)
    assert dns.ask("mixed.test").addrs == ["8.8.4.4"]
    assert "3 not told" in net.ringfence.wait_event("dns.allowed", qname="mixed.test")["detail"]
    for kind in "A", "AAAA":
        nothing = dns.ask("inside.test", kind)
        assert nothing.rcode == "NOERROR" and not nothing.answers and nothing.error == 17
    for number, addr in enumerate(("10.0.0.5", "fd00::5"), 1):
        blocked = net.ringfence.wait_event("dns.blocked", count=number, qname="inside.test")
        assert blocked["reason"] == "bad-address" and blocked["answers"] == addr
        assert blocked["to_allow"] == f"ips: {addr}"
    assert dns.ask("never.test").addrs == []
    blocked = net.ringfence.wait_event("dns.blocked", qname="never.test")
    assert blocked["answers"] == "127.0.0.1,169.254.169.254" and "to_allow" not in blocked
    assert dns.ask("db").addrs == ["10.0.0.9"]
    assert dns.ask("listed.test").addrs == ["10.1.2.3"]


def test_listed_addresses_keep_their_names(net, dns):
    net.internet.dns.set("service.test", "192.0.2.10", "198.51.100.1", "2001:db8:66::66")
    net.internet.dns.set("six.test", "2001:db8:1::1", ATTACKER)
    net.start(domains=["allowed.test"], ips=["192.0.2.10", "2001:db8:1::/48"])
    assert dns.ask("service.test").addrs == ["192.0.2.10"]
    for name, kind in ("service.test", "AAAA"), ("six.test", "A"), ("service.test", "HTTPS"):
        answer = dns.ask(name, kind)
        assert answer.rcode == "NOERROR" and not answer.answers and answer.soa
    assert dns.ask("six.test", "AAAA").addrs == ["2001:db8:1::1"]
    assert dns.ask("evil.test").rcode == dns.ask("evil.test", "HTTPS").rcode == NXDOMAIN
    assert dns.ask("service.test", "TXT").rcode == NXDOMAIN
    net.ringfence.stop()
    net.internet.dns.questions.clear()
    net.start(domains=["allowed.test"], ips=["192.0.2.10"], env={"HTTPS_MODE_DNS": "strict"})
    assert dns.ask("service.test").rcode == NXDOMAIN
    assert not net.internet.dns.questions


def test_an_edit_of_the_policy_counts_for_the_next_question(net, dns):
    net.start(domains=["allowed.test"])
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    net.reload(domains=["evil.test"])
    assert dns.ask("allowed.test").rcode == NXDOMAIN            # cached or not
    assert dns.ask("evil.test").addrs == [ATTACKER]


def test_listed_goes_by_the_policy_as_it_is_now(net, dns):
    """What is remembered of a name from before an edit does not count, and nothing starts anew."""
    net.internet.dns.set("service.test", "192.0.2.10", "198.51.100.1")
    net.start(domains=["allowed.test"], ips=["192.0.2.10"], env={"HTTPS_MODE_DNS": "listed"})
    for turn in range(2):
        assert dns.ask("evil.test").rcode == dns.ask("evil.test", tcp=True).rcode == NXDOMAIN
        assert dns.ask("allowed.test").addrs == [ORIGIN]
        assert dns.ask("service.test").addrs == ["192.0.2.10"]          # by its address
        net.reload(domains=["evil.test"], ips=["192.0.2.11"])
        for tcp in False, True:
            assert dns.ask("evil.test", tcp=tcp).addrs == [ATTACKER]
            assert dns.ask("evil.test", "AAAA", tcp=tcp).addrs == [ATTACKER6]
            assert dns.ask("allowed.test", tcp=tcp).rcode == NXDOMAIN
            assert dns.ask("allowed.test", "AAAA", tcp=tcp).rcode == NXDOMAIN
            assert dns.ask("service.test", tcp=tcp).rcode == NXDOMAIN
        blocked = net.ringfence.wait_event("dns.blocked", qname="allowed.test")
        assert blocked["reason"] == "not-allowlisted"
        assert net.client.tls("evil.test", to=ATTACKER) == "OK"
        assert net.client.tls("allowed.test") == "RESET"
        net.reload(domains=["allowed.test"], ips=["192.0.2.10"])
    assert len(net.ringfence.events("startup.ready")) == 1


def test_a_name_that_is_taken_out_while_it_is_asked_for_is_refused(net, dns):
    def take_it_out(query, send, transport):
        net.internet.dns.set("allowed.test", ORIGIN)            # whoever asks again
        net.reload(domains=["other.test"])
        send(reply(query, address_record(ORIGIN)))
    net.internet.dns.set("allowed.test", script=take_it_out)
    net.start(domains=["allowed.test"], env={"HTTPS_MODE_DNS": "listed"})
    answer = dns.ask("allowed.test")
    assert answer.rcode == NXDOMAIN and not answer.answers
    assert net.ringfence.wait_event("dns.blocked")["reason"] == "not-allowlisted"


def test_the_name_of_an_address_that_was_given_out_is_known(net, dns):
    net.start(domains=["allowed.test", "9.113.0.203.in-addr.arpa"])
    name = "7.113.0.203.in-addr.arpa"
    assert dns.ask(name, "PTR").rcode == NXDOMAIN
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert dns.ask("allowed.test", "AAAA").addrs == [ORIGIN6]
    assert [answer.text for answer in dns.ask(name, "PTR").answers] == ["allowed.test"]
    name6 = ".".join(reversed("20010db8000700000000000000000007")) + ".ip6.arpa"
    assert [answer.text for answer in dns.ask(name6, "PTR").answers] == ["allowed.test"]
    assert asked(net) == {"allowed.test"}
    dns.ask("9.113.0.203.in-addr.arpa", "PTR")                  # listed: that one is asked for
    assert "9.113.0.203.in-addr.arpa" in asked(net)


def test_a_small_buffer_gets_tc_and_tcp_all_of_it(net, dns):
    addrs = [f"203.0.113.{i}" for i in range(1, 61)]
    net.internet.dns.set("big.test", *addrs)
    net.start(domains=["big.test"])
    for edns in None, 100, 512:
        small = dns.ask("big.test", edns=edns)
        assert small.tc and not small.answers and len(small.wire) <= 512
    assert sorted(dns.ask("big.test", edns=4096).addrs) == sorted(addrs)
    assert sorted(dns.ask("big.test", tcp=True).addrs) == sorted(addrs)


def test_a_resolver_that_is_silent_or_broken_gives_servfail_and_a_line(net, dns):
    net.internet.dns.set("silent.test", drop=True)
    net.internet.dns.set("broken.test", rcode="SERVFAIL")
    net.start(domains=["silent.test", "broken.test", "allowed.test"])
    for name, why in (("silent.test", "no resolver answered in time"),
                      ("broken.test", "no resolver gave a good answer")):
        assert dns.ask(name).rcode == "SERVFAIL"
        net.ringfence.wait_event("dns.upstream_error", qname=name, upstream=f"{RESOLVER}:53")
        assert net.client.tls(name, to=ORIGIN) == "RESET"
        net.ringfence.wait_event("https.blocked", https=name, reason="unresolved", detail=why)
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    event = net.ringfence.events("dns.upstream_error")[0]
    assert event["action"] == "ERROR" and event["qname"] in ("silent.test", "broken.test")


def test_junk_by_udp_is_answered_or_dropped_and_never_asked_for(net, dns):
    net.start(domains=["allowed.test"])
    header = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0)
    with dns.socket() as sock:
        for junk in (b"", b"x", b"\0" * 12, header, header + b"\xc0\x0c\0\1\0\1",
                     header + b"\x3f" + b"a" * 10, bytes(60000)):
            sock.send(junk)
        sock.send(struct.pack("!6H", 9, 0x8180, 1, 0, 0, 0) + name_bytes("allowed.test") +
                  b"\0\1\0\1")          # an answer, not a question
        sock.send(question("allowed.test", number=77))
        while (answer := sock.recv(4096))[:2] != b"\0\x4d":
            assert answer[3] & 15 in (1, 4, 5)
    assert Answer(answer).addrs == [ORIGIN]
    assert asked(net) == {"allowed.test"}
