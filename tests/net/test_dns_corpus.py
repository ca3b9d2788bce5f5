"""test_dns_corpus.py - questions and answers as bytes, through the whole program.

Of the files in $RINGFENCE_CORPUS (by default ../shared/corpus beside the repository): every
question is sent by UDP and by TCP, every answer is given by the fake resolver. Entries share one
running ringfence: each has a name of its own, "n000007.test", where it says allowed.test."""
import collections
import json
import os
import re
import struct

import pytest

from dnsstub import Answer, DnsClient, frame, question, receive
from fakedns import name_bytes, reply
from internet import ATTACKER, ORIGIN, RESOLVER
from ringfence import ROOT

FOLDER = os.environ.get("RINGFENCE_CORPUS", os.path.join(ROOT, "..", "shared", "corpus"))
MANY = {"DNS_RATE_QPS": 100000, "DNS_RATE_BURST": 100000, "DNS_WILDCARD_QPS": 0}
FORMERR, NXDOMAIN, NOTIMP, REFUSED = 1, 3, 4, 5
MUST = {                                # which answers are right; None: silence
    "formerr": {FORMERR}, "formerr-or-drop": {FORMERR, None},
    "formerr-or-refuse": {FORMERR, REFUSED},
    "refuse": {REFUSED}, "notimp-or-refuse": {NOTIMP, REFUSED}, "drop": {None},
}
GOOD = "203.0.113.99"                   # what follows an answer that is to be ignored
QUERY_ID = 0x1234                       # of every question in the files

Entry = collections.namedtuple("Entry", "id name data expect query note")


def entries(*files):
    missing = [name for name in files if not os.path.exists(os.path.join(FOLDER, name))]
    if missing:
        pytest.skip(f"{len(missing)} files of vectors are not in {FOLDER}")
    found = []
    for name in files:
        with open(os.path.join(FOLDER, name)) as file:
            for number, line in enumerate(file, len(found)):
                found.append(entry_of(number, json.loads(line)))
    return found


def entry_of(number, entry):
    label = f"n{number:06}"             # as long as "allowed"

    def name_as(found):                 # in capitals where the file mixes them
        name = b"\x07%s\x04test\0" % label.encode()
        return name if found.group().islower() else name.upper()

    def rename(data):
        return re.sub(rb"\x07allowed\x04test\0", name_as, bytes.fromhex(data), flags=re.IGNORECASE)
    query = entry.get("query_hex")
    return Entry(entry["id"], label + ".test", rename(entry["hex"]), entry["expect"],
                 rename(query) if query else None, entry.get("transport"))


def report(capsys, title, count, wrong):
    with capsys.disabled():
        print(f"\n{title}: {count} runs, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong)


# Questions

def rcode_of(dns, entry, tcp):
    """The rcode, None for silence: a good question sent after it was answered alone."""
    last = question("allowed.test", number=0x7fff)
    with dns.socket(tcp) as sock:
        if tcp:
            sock.sendall(frame(entry.data))
            sock.sendall(frame(last))
        else:
            sock.send(entry.data)
            sock.send(last)
        rcode = None
        for _ in range(2):
            try:
                answer = receive(sock) if tcp else sock.recv(65536)
            except (EOFError, ConnectionResetError):
                break                   # TCP: what is no message ends the connection
            if answer[:2] == last[:2]:
                if rcode is not None or not may_wait(entry):
                    break
            else:
                rcode = answer[3] & 15
        return rcode


def may_wait(entry):
    """Is it asked upstream, so that its answer may come after the next one's?"""
    return entry.expect.get("resolver_must") == "vet" and any(
        one["qname"].rstrip(".").lower().endswith("allowed.test")
        for one in entry.expect.get("questions", []))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_no_question_is_judged_wrong(net, capsys, tcp):
    found = [entry for entry in entries("dns_attacks.jsonl", "dns.jsonl")
             if "resolver_must" in entry.expect]
    names = {entry.name for entry in found} | {"allowed.test"}
    for name in names:
        net.internet.dns.set(name, ORIGIN)
    net.start(domains=sorted(names), env={"FILTER_MODE": "dns", **MANY})
    dns, wrong = DnsClient(net.client), []
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    for entry in found:
        must = entry.expect["resolver_must"]
        before = len(net.internet.dns.questions)
        rcode = rcode_of(dns, entry, tcp)
        asked = net.internet.dns.questions[before:]
        if must in MUST and rcode not in MUST[must] | ({None} if tcp else set()):
            wrong.append(f"{entry.id}: {must}, but rcode {rcode}")
        if must in MUST and asked:
            wrong.append(f"{entry.id}: {must}, but {asked[0].name} was asked for")
        if must == "vet" and rcode is None:
            wrong.append(f"{entry.id}: no answer")
        if must == "vet" and rcode == 0 and not may_be_answered(entry):
            wrong.append(f"{entry.id}: answered")
        wrong += [f"{entry.id}: {fault}" for one in asked for fault in faults(one, names)]
    assert dns.ask("allowed.test").addrs == [ORIGIN]
    assert net.internet.arrived() == net.internet.arrived(RESOLVER)
    report(capsys, f"{len(found)} questions", len(found), wrong)


def may_be_answered(entry):
    return all(one["qname"].rstrip(".").lower() == "allowed.test"
               for one in entry.expect.get("questions", []))


def faults(asked, names):
    """What is wrong with a question of ours as the fake resolver saw it."""
    if asked.name not in names:
        yield f"{asked.name!r} was asked for"
    if len(asked.wire) != 12 + len(name_bytes(asked.name)) + 4 + 11:
        yield f"a question of {len(asked.wire)} bytes left"
    if asked.wire[-11:-4] != b"\0\0\x29\x04\xd0\0\0" or asked.wire[-2:] != b"\0\0":
        yield f"an OPT that is not ours: {asked.wire[-11:].hex()}"
    if asked.wire[2] & 0xfe or asked.wire[3] & 0x40:
        yield f"flags {asked.wire[2:4].hex()}"


# Answers

def rewrite(entry, wire):
    """The file's answer to the question that was really asked: its id, and the case of its name."""
    data = bytearray(entry.data)
    same_id = struct.unpack_from("!H", data)[0] == QUERY_ID
    data[:2] = wire[:2] if same_id else bytes([wire[0] ^ 0x55, wire[1]])
    end = len(entry.query)
    if data[12:end] == entry.query[12:]:
        data[12:end] = wire[12:end]
    elif data[12:end].lower() == entry.query[12:].lower():      # the case is what is wrong
        data[12:end] = wire[12:end].swapcase()
    return bytes(data)


def upstream(entry):
    """Give the entry's answer; by UDP first as TC when it is large; a good one when it is to be
    ignored."""
    def script(wire, send, transport):
        data = rewrite(entry, wire)
        if len(data) > 1232 and transport == "udp":
            send(reply(wire, flags=0x0200))
            return
        if entry.id == "D24-tc" and transport == "tcp":
            send(reply(wire, GOOD))
            return
        send(data)
        if "ignore" in entry.expect["proxy_must"]:
            send(reply(wire, GOOD))
    return script


# What a client may be told at most for each of these, and the rcode; by the beginning of the id.
ANSWERS = {
    "D20-ok": ({"203.0.113.7"}, {"NOERROR"}), "D20": ({GOOD}, {"NOERROR"}),
    "D21": ({"203.0.113.7"}, {"NOERROR", "SERVFAIL"}),
    "D22-cname-evil": (None, {"NOERROR"}), "D22-cname-unordered": (None, {"NOERROR"}),
    "D22-cname-loop": (set(), {"SERVFAIL"}), "D22-cname-16": (None, {"SERVFAIL", "NOERROR"}),
    "D23": (set(), {"NOERROR"}),
    "D24-ttl": ({"203.0.113.7"}, {"NOERROR"}), "D24-4000a": (None, {"NOERROR"}),
    "D24-rdlen": (set(), {"SERVFAIL"}), "D24-rdlen-off": (set(), {"SERVFAIL"}),
    "D24-ptrloop": (set(), {"SERVFAIL"}), "D24-tc": ({GOOD}, {"NOERROR"}),
    "D24-nx": (set(), {"NXDOMAIN"}), "D24-txt-big": (set(), {"SERVFAIL", "REFUSED"}),
    "D25": (set(), {"NOERROR", "SERVFAIL"}),
}


def expected_of(entry):
    return ANSWERS[max((key for key in ANSWERS if entry.id.startswith(key)), key=len)]


@pytest.mark.parametrize("mode", ["dns-strict", "https"])
@pytest.mark.parametrize("private", ["allow", "deny"])
def test_no_answer_is_believed_wrongly(net, capsys, mode, private):
    """D23 wants the strict setting for private addresses; the others' are on documentation ones."""
    found = [entry for entry in entries("dns_attacks.jsonl") if "proxy_must" in entry.expect
             and entry.id.startswith("D23") == (private == "deny")]
    for entry in found:
        net.internet.dns.set(entry.name, script=upstream(entry))
    net.start(domains=[entry.name for entry in found],
              env={"FILTER_MODE": mode, "PRIVATE_ANSWERS": private, **MANY})
    dns, wrong, told = DnsClient(net.client), [], set()
    for entry in found:
        kind = struct.unpack_from("!H", entry.query, len(entry.query) - 4)[0]
        answer = Answer(dns.exchange(question(entry.name, kind, edns=4096), tcp=True))
        addrs, rcodes = expected_of(entry)
        told |= set(answer.addrs)
        if addrs is not None and not set(answer.addrs) <= addrs:
            wrong.append(f"{entry.id}: told {answer.addrs}")
        if addrs and "NOERROR" in rcodes and len(rcodes) == 1 and not answer.addrs:
            wrong.append(f"{entry.id}: told nothing, {answer.rcode}")
        if answer.rcode not in rcodes:
            wrong.append(f"{entry.id}: {answer.rcode}, not {rcodes}")
        if len(answer.addrs) > 64 or any(record.ttl > 3600 for record in answer.answers):
            wrong.append(f"{entry.id}: {len(answer.addrs)} addresses, "
                         f"{[record.ttl for record in answer.answers]}")
        if ATTACKER in answer.addrs and not entry.id.startswith("D22"):
            wrong.append(f"{entry.id}: the attacker's address was told")
        if any(record.type == "HTTPS" and has_ech(record.data) for record in answer.answers):
            wrong.append(f"{entry.id}: ech was told")
    if mode == "dns-strict":
        wrong += [f"{addr} was opened and not told" for addr in sorted(net.learned() - told)]
    report(capsys, f"{len(found)} answers", len(found), wrong)


def has_ech(data):
    """Does an HTTPS record with the root as its target have an ech parameter?"""
    at = 2
    while data[at]:
        at += 1 + data[at]
    at += 1
    while at < len(data):
        key, length = struct.unpack_from("!2H", data, at)
        if key == 5:
            return True
        at += 4 + length
    return False
