"""test_rules_learned.py - what names open in dns-strict: for what, for how long, for whom."""
import errno
import re
import socket

import pytest

from ringfence import until
from rules import (LISTED, OUTSIDE, PROHIBITED, REFUSED, families, net, refusal, rules,
                   send_refusal)  # noqa: F401, net and rules are fixtures

V4, V6 = socket.AF_INET, socket.AF_INET6
TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
STRICT = "mode=dns-strict", "dns=53", "ports=tcp/22,udp/100-200,udp/150-300,tcp/853,tcp/1-65535"
MOST = 32768                            # LEARNED_MAX
EACH = 1024                             # LEARNED_EACH_MAX


def learn(name="a.test", address=LISTED[V4], ports="all", seconds=60):
    return f"learn={name}/{address}/{ports}/{seconds}"


def exchange(net, family, kind, port, address=None):
    """A question from the box and its answer."""
    address = address or LISTED[family], port
    client = net.make(net.box, family, kind)
    if kind == TCP:
        server = net.listen(net.outside, family, *address)
        client.connect(address)
        server = net.accept(server)
    else:
        server = net.bound(net.outside, family, *address)
        client.connect(address)
    client.send(b"question")
    data, peer = server.recvfrom(99)
    assert data == b"question"
    server.send(b"answer") if kind == TCP else server.sendto(b"answer", peer)
    assert client.recv(99) == b"answer"


def is_closed(net, family, kind, port, address=None):
    made = net.make(net.box, family, kind)
    address = address or LISTED[family], port
    if kind == TCP:
        return refusal(made, address) == REFUSED
    return send_refusal(made, b"secret", address) in PROHIBITED


# Open

@families
def test_an_address_without_ports_is_open_to_everything_but_secret_questions(net, family):
    held = net.held(*STRICT, "install", learn(address=LISTED[family]), "wait")
    assert [held.line(), held.line()] == ["install 0", "learn 0"]
    for kind, port in (TCP, 22), (TCP, 80), (TCP, 443), (UDP, 443), (UDP, 9999):
        exchange(net, family, kind, port)
    arriving = net.sniff()
    assert is_closed(net, family, TCP, 853) and is_closed(net, family, UDP, 853)
    for port in 22, 443:
        assert is_closed(net, family, TCP, port, OUTSIDE[family])
    assert arriving.arrived() == []


@families
@pytest.mark.parametrize("ports, opened, closed", [
    ("tcp/22", [(TCP, 22)], [(TCP, 21), (TCP, 23), (UDP, 22), (TCP, 443)]),
    ("udp/100-200", [(UDP, 100), (UDP, 150), (UDP, 200)], [(UDP, 99), (UDP, 201), (TCP, 150)]),
    ("tcp/853", [(TCP, 853)], [(UDP, 853)]),
    ("tcp/1-65535", [(TCP, 1), (TCP, 80), (TCP, 65535)], [(UDP, 80)])])
def test_an_address_with_ports_is_open_to_those(net, family, ports, opened, closed):
    held = net.held(*STRICT, "install", learn(address=LISTED[family], ports=ports), "wait")
    assert [held.line(), held.line()] == ["install 0", "learn 0"]
    for kind, port in opened:
        exchange(net, family, kind, port)
    arriving = net.sniff()
    for kind, port in closed:
        assert is_closed(net, family, kind, port), (kind, port)
    assert arriving.arrived() == []


def test_names_with_overlapping_ports_share_an_address(net):
    held = net.held(*STRICT, "install", learn("a.test", ports="udp/100-200"),
                    learn("b.test", ports="udp/150-300"), learn("c.test", ports="tcp/22") + "," +
                    learn("c.test", ports="tcp/1-65535").removeprefix("learn="), "wait")
    assert [held.line() for _ in range(4)] == ["install 0", "learn 0", "learn 0", "learn 0"]
    for kind, port in (UDP, 100), (UDP, 175), (UDP, 300), (TCP, 22), (TCP, 9999):
        exchange(net, V4, kind, port)
    assert is_closed(net, V4, UDP, 301)


def test_many_answers_open_in_one_transaction(net):
    words = [learn(f"n{n}.test", f"10.88.1.{n}" if n % 2 else f"fd88::{n:x}",
                   ("all", "tcp/22", "udp/150-300")[n % 3]).removeprefix("learn=")
             for n in range(60)]
    assert net.tool(*STRICT, "install", "watch", "learn=" + ",".join(words), "learned",
                    "verify")[-3:] == ["learn 0", "learned 80", "verify 1"]
    assert len(net.elements("learned_v4")) + len(net.elements("learned_v6")) == 20


@pytest.mark.parametrize("words", [
    learn(ports="tcp/23-24"), learn(ports="udp/100-199"), learn(ports="udp/22"), learn(seconds=0)])
def test_ports_that_no_entry_names_are_not_opened(net, words):
    strict = [word.replace(",tcp/1-65535", "") for word in STRICT]
    said = net.held(*strict, "install", words).rest()
    assert said[-1].startswith("error Invalid argument: ")
    assert net.elements("learned_v4") == net.elements("learned_ports_v4") == {}


@pytest.mark.parametrize("mode", ["https", "dns"])
def test_other_modes_open_nothing(net, mode):
    said = net.held(f"mode={mode}", "dns=53", "install", learn()).rest()
    assert said[-1] == "error Invalid argument: nothing is learned in this mode: Invalid argument"


# For how long

def test_it_closes_when_its_time_is_over_and_open_connections_live_on(net):
    held = net.held(*STRICT, "install", learn(seconds=1), "wait", "learned")
    assert [held.line(), held.line()] == ["install 0", "learn 0"]
    listener = net.listen(net.outside, V4, LISTED[V4], 22)
    client = net.make(net.box, V4)
    client.connect((LISTED[V4], 22))
    server = net.accept(listener)
    until(lambda: net.elements("learned_v4") == {}, "it closes")
    arriving = net.sniff()
    assert is_closed(net, V4, TCP, 22)
    assert arriving.arrived() == []
    client.sendall(b"still here")
    assert server.recv(99) == b"still here"
    held.go_on()
    assert held.rest() == ["wait 0", "learned 0"]


@pytest.mark.parametrize("ports, name", [("all", "learned_v4"), ("tcp/22", "learned_ports_v4")])
def test_every_answer_renews_it_and_only_the_longest_counts(net, ports, name):
    value = LISTED[V4] if ports == "all" else f"{LISTED[V4]} tcp 22"
    held = net.held(*STRICT, "install", learn(ports=ports, seconds=20), "wait",
                    learn("b.test", ports=ports, seconds=600), "wait",
                    learn(ports=ports, seconds=60), "wait", "verify")
    assert [held.line(), held.line()] == ["install 0", "learn 0"]
    assert net.elements(name)[value][0] < 30
    held.go_on()
    assert [held.line(), held.line()] == ["wait 0", "learn 0"]
    renewed = net.elements(name)[value]
    assert renewed[0] >= renewed[1] >= 600
    held.go_on()
    assert [held.line(), held.line()] == ["wait 0", "learn 0"]
    assert net.elements(name)[value][0] == renewed[0]
    held.go_on()
    assert held.rest() == ["wait 0", "verify 1"]


def test_an_answer_that_is_open_for_long_enough_costs_no_transaction(net):
    held = net.held(*STRICT, "install", learn(seconds=60), "wait", learn(seconds=60),
                    learn("b.test", seconds=50), "wait")
    assert [held.line(), held.line()] == ["install 0", "learn 0"]
    before = net.elements("learned_v4")[LISTED[V4]]
    held.go_on()
    assert [held.line() for _ in range(3)] == ["wait 0", "learn 0", "learn 0"]
    assert net.elements("learned_v4")[LISTED[V4]][1] <= before[1]


def test_renewing_at_the_very_end_never_fails(net):
    """When it has gone for us the kernel may have it for a moment more."""
    both = learn(seconds=1) + "," + learn(ports="tcp/22", seconds=1).removeprefix("learn=")
    assert net.tool(*STRICT, "install", *[both, "ended"] * 3, both, "verify") == [
        "install 0", *["learn 0", "ended 0"] * 3, "learn 0", "verify 1"]


# How many

def test_a_full_table_refuses_and_has_room_again_when_time_has_passed(net):
    held = net.held(*STRICT, "install", f"learn_many={MOST}", "learned", "verify", "wait",
                    learn(address="10.88.0.2"))
    assert [held.line() for _ in range(4)] == [
        "install 0", "learn_many 0", f"learned {MOST}", "verify 1"]
    held.go_on()
    assert re.match("error No space left on device: too many", held.rest()[-1])
    assert LISTED[V4] not in net.elements("learned_v4")


def test_what_is_open_is_renewed_in_a_full_table(net):
    held = net.held(*STRICT, "install", f"learn_many={MOST}", "wait",
                    learn("n7.test", "11.0.0.7", seconds=600), "verify", "wait")
    assert [held.line(), held.line()] == ["install 0", "learn_many 0"]
    held.go_on()
    assert [held.line() for _ in range(3)] == ["wait 0", "learn 0", "verify 1"]
    assert net.elements("learned_v4")["11.0.0.7"][1] >= 600


def of_one_name(numbers, seconds, ports="all"):
    return "learn=" + ",".join(
        learn("a.test", f"10.99.{number // 250}.{number % 250}", ports, seconds)
        .removeprefix("learn=") for number in numbers)


def test_a_name_with_ever_new_addresses_loses_its_earliest_and_takes_no_others_room(net):
    held = net.held(
        *STRICT, "install", learn("b.test", "10.99.0.3", seconds=60), learn("b.test"),
        of_one_name(range(400), 120), of_one_name(range(400, 800), 180),
        of_one_name(range(800, EACH), 240), "learned", "verify", "wait",
        of_one_name([*range(5), *range(EACH, EACH + 300)], 300),
        of_one_name([EACH + 300], 300), "learned", "verify", "wait")
    assert [held.line() for _ in range(8)] == ["install 0", *["learn 0"] * 5,
                                               f"learned {EACH + 1}", "verify 1"]
    held.go_on()
    assert [held.line() for _ in range(5)] == ["wait 0", "learn 0", "learn 0",
                                               f"learned {EACH + 1}", "verify 1"]
    opened = set(net.elements("learned_v4")) - {LISTED[V4]}
    first = {f"10.99.{number // 250}.{number % 250}" for number in range(300)}
    assert len(opened) == EACH and LISTED[V4] in net.elements("learned_v4")
    assert {f"10.99.0.{number}" for number in range(5)} <= opened
    assert len(opened & first) == 5


def test_an_address_that_a_name_loses_stays_open_for_another_and_only_as_long(net):
    held = net.held(
        *STRICT, "install", of_one_name(range(400), 600, "tcp/22"),
        of_one_name(range(400, 800), 1200), of_one_name(range(800, EACH), 1200),
        learn("b.test", "10.99.0.3", "tcp/22", 60),
        of_one_name(range(EACH, EACH + 400), 1200), "verify", "learned", "wait")
    assert [held.line() for _ in range(8)] == ["install 0", *["learn 0"] * 5, "verify 1",
                                               f"learned {EACH + 1}"]
    ports = net.elements("learned_ports_v4")
    assert set(ports) == {"10.99.0.3 tcp 22"}
    assert ports["10.99.0.3 tcp 22"][1] <= 70


def test_what_has_ended_makes_room(net):
    net.outside.ip("route replace local 11.0.0.0/8 dev lo\n")
    filled = [learn(f"m{n}.test", f"10.99.{n // 250}.{n % 250}", seconds=1).removeprefix("learn=")
              for n in range(60)]
    held = net.held(*STRICT, "install", "learn=" + ",".join(filled), f"learn_many={MOST - 60}",
                    "wait", learn(), "verify")
    assert [held.line() for _ in range(3)] == ["install 0", "learn 0", "learn_many 0"]
    until(lambda: "10.99.0.1" not in net.elements("learned_v4"), "some have ended")
    held.go_on()
    assert held.rest() == ["wait 0", "learn 0", "verify 1"]


def test_one_address_under_ever_new_names_needs_little_room(net):
    words = [learn(f"n{n}.wild.test", seconds=60 + n) for n in range(2000)]
    assert net.tool(*STRICT, "install", *words, "learned", "verify")[-2:] == [
        "learned 1", "verify 1"]


# Kept and forgotten

@pytest.mark.parametrize("again", [["install"], ["drop_all", "install"]])
def test_what_was_learned_outlives_new_rules(net, again):
    held = net.held(*STRICT, "install", learn(), learn("b.test", LISTED[V6], "udp/150-300"),
                    *again, "verify", "learned", "wait")
    assert [held.line() for _ in range(3 + len(again) + 2)][-2:] == ["verify 1", "learned 3"]
    exchange(net, V4, TCP, 22)
    exchange(net, V6, UDP, 300)


def test_what_was_learned_comes_back_after_a_foreign_flush(net):
    held = net.held(*STRICT, "install", learn(seconds=600), learn("b.test", ports="tcp/22"), "wait",
                    "watch", "verify", "install", "verify", "wait")
    assert [held.line() for _ in range(3)] == ["install 0", "learn 0", "learn 0"]
    net.box.nft("flush ruleset\n")
    held.go_on()
    assert [held.line() for _ in range(5)] == [
        "wait 0", "watch 1", "verify 0", "install 0", "verify 1"]
    assert 600 <= net.elements("learned_v4")[LISTED[V4]][1] <= 677      # no longer than before
    exchange(net, V4, TCP, 9999)


def test_a_table_that_is_gone_learns_nothing(net):
    held = net.held(*STRICT, "install", "wait", learn())
    assert held.line() == "install 0"
    net.box.nft("flush ruleset\n")
    held.go_on()
    assert held.rest()[-1].startswith("error Stale file handle: another program changed our rules")


def test_other_ports_in_the_policy_keep_what_was_learned(net):
    """Two ranges that meet only now are cut where they meet."""
    held = net.held("mode=dns-strict", "dns=53", "ports=udp/100-200", "install",
                    learn(ports="udp/100-200"), "ports=udp/100-200,udp/150-300", "install",
                    learn("b.test", ports="udp/150-300"), "ports=udp/100-200", "install",
                    learn(ports="udp/100-200"), "verify", "wait")
    assert [held.line() for _ in range(7)] == [
        "install 0", "learn 0", "install 0", "learn 0", "install 0", "learn 0", "verify 1"]
    assert set(net.elements("learned_ports_v4")) == {
        f"{LISTED[V4]} udp {ports}" for ports in ("100-149", "150-200", "201-300")}


def test_names_taken_off_close_unless_another_keeps_the_address(net):
    held = net.held(*STRICT, "install", learn("a.test"), learn("b.test"),
                    learn("a.test", "10.88.0.2"), learn("b.test", "10.88.0.3", "tcp/22"),
                    "keep=b.test", "install", "verify", "keep=b.test", "wait")
    assert [held.line() for _ in range(9)][5:] == ["keep 2", "install 0", "verify 1", "keep 0"]
    assert set(net.elements("learned_v4")) == {LISTED[V4]}
    assert set(net.elements("learned_ports_v4")) == {"10.88.0.3 tcp 22"}


# Guarded

@pytest.mark.parametrize("change, whole", [
    ("add table inet other", 1),
    (f"add element inet ringfence learned_v4 {{ {OUTSIDE[V4]} timeout 1m }}", 0),
    (f"add element inet ringfence learned_v6 {{ {OUTSIDE[V6]} }}", 0),
    (f"add element inet ringfence learned_ports_v4 {{ {LISTED[V4]} . udp . 22 timeout 1m }}", 0),
    (f"delete element inet ringfence learned_v4 {{ {LISTED[V4]} }}", 0),
    (f"delete element inet ringfence learned_v4 {{ {LISTED[V4]} }}\n"
     f"add element inet ringfence learned_v4 {{ {LISTED[V4]} timeout 1h }}", 0),
    (f"delete element inet ringfence learned_ports_v4 {{ {LISTED[V4]} . tcp . 22 }}", 0),
    ("flush set inet ringfence learned_v4", 0),
    ("delete table inet ringfence", 0)])
def test_a_change_of_what_was_learned_by_another_hand_is_seen(net, change, whole):
    held = net.held(*STRICT, "install", learn(), learn(ports="tcp/22"), "watch", "watch", "wait",
                    "watch", "verify")
    assert [held.line() for _ in range(5)] == [
        "install 0", "learn 0", "learn 0", "watch 0", "watch 0"]
    net.box.nft(change + "\n")
    held.go_on()
    assert held.rest() == ["wait 0", "watch 1", f"verify {whole}"]


def test_learning_goes_on_while_another_program_changes_its_own_rules(net):
    held = net.held(*STRICT, "install", "wait", learn(), "watch", "wait", learn(ports="tcp/22"),
                    "verify")
    assert held.line() == "install 0"
    net.box.nft("add table inet other\n")
    held.go_on()
    assert [held.line() for _ in range(3)] == ["wait 0", "learn 0", "watch 1"]
    net.box.nft("delete table inet other\n")
    held.go_on()
    assert held.rest() == ["wait 0", "learn 0", "verify 1"]


def test_what_ends_by_itself_is_no_change(net):
    held = net.held(*STRICT, "install", learn(seconds=1), learn("b.test", ports="tcp/22"), "wait",
                    "verify", "wait", "verify")
    assert [held.line() for _ in range(3)] == ["install 0", "learn 0", "learn 0"]
    net.box.nft("add table inet other\n")               # so that everything is looked at
    held.go_on()
    assert [held.line(), held.line()] == ["wait 0", "verify 1"]
    until(lambda: net.elements("learned_v4") == {}, "it ends")
    net.box.nft("delete table inet other\n")
    held.go_on()
    assert held.rest() == ["wait 0", "verify 1"]


def test_learning_neither_leaks_nor_drops(net):
    """Renewed again and again while datagrams go there and elsewhere."""
    words = [learn(seconds=60 + 60 * n) for n in range(200)]
    server = net.bound(net.outside, V4, "", 9999)
    held = net.held(*STRICT, "install", learn(seconds=50), "wait", *words, "wait")
    assert [held.line(), held.line()] == ["install 0", "learn 0"]
    held.go_on()
    outcomes = set()
    for line in range(201):
        sender = net.make(net.box, V4, UDP)             # each a new flow
        for address in LISTED[V4], OUTSIDE[V4]:
            try:
                sender.sendto(b"x", (address, 9999))
                outcomes.add((address, 0))
            except OSError as failure:
                outcomes.add((address, failure.errno))
        assert held.line() == ("wait 0" if line == 0 else "learn 0")
    server.close()
    assert outcomes == {(LISTED[V4], 0), (OUTSIDE[V4], errno.EPERM)}
