"""test_rules_install.py - the table as a whole: printed, put in, replaced, guarded, logged."""
import collections
import errno
import re
import socket
import threading

import pytest

import netns
from rules import ALLOWED, BOX, LISTED, OUTSIDE, TOOL, net, rules  # noqa: F401, fixtures

V4, V6 = socket.AF_INET, socket.AF_INET6


def normal(text):
    """One space between words, counters at zero."""
    return " ".join(re.sub(r"packets \d+ bytes \d+", "packets 0 bytes 0", text).split())


def refused(net):
    """Is the outside out of reach? 0: no."""
    return net.make(net.box, V4).connect_ex((OUTSIDE[V4], 9999))


# Printed

@pytest.mark.parametrize("words", [
    [],
    ["match_uid=0", "mark=0x7fffffff", "http=9000", "https=8999", "group=7", "inbound=none"],
    ["log_allowed=1", "inbound=65535,443,80,8000-8010,8005-8020,1,2"],
    ["dns=53"], ["dns=5300", "log_allowed=1"], ["dns=8080"],
    ["mode=dns", "dns=53"], ["mode=dns", "dns=5300", "log_allowed=1", ALLOWED],
    ["mode=dns-strict", "dns=53", "ports=tcp/22,udp/1-65535"],
    ["mode=dns-strict", "dns=5300", "log_allowed=1", ALLOWED, "inbound=80"],
    ["allowed=0.0.0.0/0,::/0"],
    ["allowed=0.0.0.0,1.2.3.4/31,10.0.0.0/8,192.168.1.7,255.255.255.0/24,"
     "::1,2001:db8::/33,2001:db8:8000::/127,fd00::/8,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
])
def test_what_is_printed_is_what_nft_lists(net, words):
    printed = net.tool(*words, "print")
    net.install(*words)
    assert normal("\n".join(printed)) == normal(net.listing())


@pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
def test_what_is_printed_is_what_nft_lists_after_the_closed_door(net, mode):
    words = ALLOWED, f"mode={mode}", "dns=53"
    assert net.tool("drop_all", *words, "install") == ["drop_all 0", "install 0"]
    assert normal("\n".join(net.tool(*words, "print"))) == normal(net.listing())
    assert net.tool(*words, "install", "drop_all", "verify")[-1] == "verify 1"
    assert "policy drop" in net.listing()


def test_a_hundred_thousand_ranges_of_each_family_work(net):
    count = 100000
    first, last = "11.0.0.1", socket.inet_ntoa((0x0b000000 + 2 * count - 1).to_bytes(4, "big"))
    gap = socket.inet_ntoa((0x0b000000 + 2 * count - 2).to_bytes(4, "big"))
    net.outside.ip("route add local 11.0.0.0/8 dev lo\n")
    server = net.bound(net.outside, V4, "", 9999)
    assert net.tool(f"many={count}", "drop_all", "install", "verify")[-1] == "verify 1"
    for address in first, last:
        client = net.make(net.box, V4, socket.SOCK_DGRAM)
        client.sendto(address.encode(), (address, 9999))
        assert server.recv(99) == address.encode()
    with pytest.raises(PermissionError):
        client.sendto(b"secret", (gap, 9999))


# Put in and replaced

def test_behind_the_closed_door_there_is_only_loopback(net):
    net.tool("drop_all")
    arriving = net.sniff()
    for made in net.ours(V4, socket.SOCK_DGRAM), net.make(net.box, V4, socket.SOCK_DGRAM):
        for address in OUTSIDE[V4], LISTED[V4]:
            with pytest.raises(PermissionError):
                made.sendto(b"secret", (address, 9999))
    listener = net.listen(net.box, V4, BOX[V4], 5432)
    net.make(net.box, V4).connect((BOX[V4], 5432))
    net.accept(listener)
    net.install()                       # so that the sniffer's own packet leaves
    assert arriving.arrived() == []


def test_the_closed_door_replaces_what_a_killed_instance_left(net):
    net.install("allowed=0.0.0.0/0")
    net.box.nft("add chain inet ringfence more\n")
    assert net.tool("drop_all", "verify") == ["drop_all 0", "verify 1"]
    assert "allowed_v4" not in net.listing() and "chain more" not in net.listing()


@pytest.mark.parametrize("words", [ALLOWED, "many=2000"])
def test_replacing_the_rules_neither_leaks_nor_drops(net, words):
    """Datagrams to a listed and to an unlisted address all the while, hundreds of times."""
    net.outside.ip("route replace local 11.0.0.0/8 dev lo\n")
    listed = "11.0.0.1" if words.startswith("many") else LISTED[V4]
    server = net.bound(net.outside, V4, "", 9999)
    installing = net.held(words, "install", "wait", *["install"] * 200, "verify")
    assert installing.line() == "install 0"
    sender, outcome = net.make(net.box, V4, socket.SOCK_DGRAM), collections.Counter()
    done = threading.Event()

    def send():
        while not done.is_set():
            for address in listed, OUTSIDE[V4]:
                outcome[address, sender_errno(sender, address)] += 1

    sending = threading.Thread(target=send)
    sending.start()
    installing.go_on()
    lines = installing.rest()
    done.set()
    sending.join()
    server.setblocking(False)
    assert lines == ["wait 0"] + ["install 0"] * 200 + ["verify 1"]
    assert set(outcome) == {(listed, 0), (OUTSIDE[V4], errno.EPERM)}


def sender_errno(sender, address):
    try:
        sender.sendto(b"x", (address, 9999))
        return 0
    except OSError as failure:
        return failure.errno


def test_an_open_connection_outlives_a_reload(net):
    installing = net.held(ALLOWED, "install", "wait", "inbound=none", "install", "wait")
    assert installing.line() == "install 0"
    listener = net.listen(net.outside, V4, LISTED[V4], 9999)
    client = net.make(net.box, V4)
    client.connect((LISTED[V4], 9999))
    server = net.accept(listener)
    installing.go_on()
    assert [installing.line(), installing.line()] == ["wait 0", "install 0"]
    client.sendall(b"still here")
    assert server.recv(99) == b"still here"


def test_refused_rules_leave_the_old_ones_and_say_what_was_wrong(net):
    overlapping = "allowed=10.0.0.0/8,10.1.0.0/16"
    installing = net.held(ALLOWED, "install", "wait", overlapping, "install")
    assert installing.line() == "install 0"
    before = net.listing()
    installing.go_on()
    assert re.fullmatch(r"error .*elements of the set \"allowed_v4.*exist.*", installing.rest()[-1])
    assert normal(net.listing()) == normal(before)


def test_after_refused_rules_the_next_ones_go_in(net):
    installing = net.held(ALLOWED, "install", "wait", "allowed=10.0.0.0/8", "install", "verify")
    assert installing.line() == "install 0"
    net.box.nft("add set inet ringfence allowed_v4_b { type ipv4_addr; }\n")   # in our way
    installing.go_on()
    assert installing.rest() == ["wait 0", "install 0", "verify 1"]


def test_removing_opens_and_may_be_repeated(net):
    net.install()
    assert refused(net) == errno.ECONNREFUSED
    assert net.tool("remove", "remove", "verify") == ["remove 0", "remove 0", "verify 0"]
    net.listen(net.outside, V4, OUTSIDE[V4], 9999)
    assert refused(net) == 0


def test_without_the_right_to_change_rules_it_says_so(net):
    said = netns.command(*net.box.prefix(), "setpriv", "--bounding-set=-net_admin",
                         "--inh-caps=-net_admin", "--reuid=65534", "--clear-groups", "sh", "-c",
                         f"{TOOL} install 2>&1", check=False)
    assert "Operation not permitted" in said or "Permission denied" in said, said


# Guarded

@pytest.mark.parametrize("change, whole", [
    ("add table inet other", 1),
    ("add chain inet other in { type filter hook input priority 0; }", 1),
    ("insert rule inet ringfence out accept", 0),
    ("flush chain inet ringfence refuse", 0),
    ("add chain inet ringfence out { policy accept; }", 0),
    ("add table inet ringfence { flags dormant; }", 0),
    ("add set inet ringfence more { type ipv4_addr; }", 0),
    ("delete table inet ringfence", 0),
    ("flush ruleset", 0),
])
def test_a_change_by_another_hand_is_seen(net, change, whole):
    watching = net.held(ALLOWED, "install", "watch", "watch", "wait", "watch", "verify")
    assert [watching.line() for _ in range(3)] == ["install 0", "watch 0", "watch 0"]
    net.box.nft("add table inet other\n")
    net.box.nft(change + "\n")
    watching.go_on()
    assert watching.rest() == ["wait 0", "watch 1", f"verify {whole}"]


@pytest.mark.parametrize("command", ["add", "delete"])
def test_nobody_changes_a_set_that_is_in_use(net, command):
    net.install(ALLOWED)
    with pytest.raises(RuntimeError, match="busy"):
        net.box.nft(f"{command} element inet ringfence allowed_v4 {{ 10.88.0.0/16 }}\n"
                    if command == "delete" else
                    f"{command} element inet ringfence allowed_v4 {{ 1.1.1.1 }}\n")


# Logged

def logged(net, expected):
    """The events, once as many are told as expected."""
    lines = [net.logging.line() for _ in range(expected)]
    return sorted(line.split() for line in lines)


@pytest.fixture
def logging(net):
    net.install(ALLOWED, "log_allowed=1")
    net.logging = net.held("nflog")
    assert net.logging.line() == "listening"
    return net


def test_packets_are_told_by_what_became_of_them(logging):
    net = logging
    server = net.bound(net.outside, V6, LISTED[V6], 9999)
    net.make(net.box, V6, socket.SOCK_DGRAM).sendto(b"hello", (LISTED[V6], 9999))
    assert server.recv(9) == b"hello"
    net.make(net.box, V4).connect_ex((OUTSIDE[V4], 443))
    refused(net)
    events = logged(net, 3)
    assert [(event[0], event[1], event[3]) for event in events] == [
        ("ALLOWED", "17", f"[{LISTED[V6]}]:9999"), ("BLOCKED", "6", f"{OUTSIDE[V4]}:9999"),
        ("REDIRECTED", "6", f"{OUTSIDE[V4]}:443")]


def test_many_packets_of_one_shape_are_told_with_their_number(logging):
    net = logging
    for _ in range(50):
        refused(net)
    told = 0
    while told < 50:
        [[action, protocol, _, destination, count]] = logged(net, 1)
        assert (action, protocol, destination) == ("BLOCKED", "6", f"{OUTSIDE[V4]}:9999")
        told += int(count[1:])
    assert told == 50


def test_a_second_reader_of_a_group_is_told_that_it_is_taken(logging):
    assert "busy" in netns.command(*logging.box.prefix(), TOOL, "nflog", check=False)
