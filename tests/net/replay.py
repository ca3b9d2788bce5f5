"""replay.py - byte vectors through the running filter, judged on the internet's side.

A vector is what a client sends on one connection, and what a strict filter makes of it:

    PASS    well formed; names: whom each of its requests is for (one, for TLS)
    BLOCK   refused; names: whom the whole requests before the bad one are for
    WAIT    never becomes whole: refused at the latest by the hello timer

Each is run under several policies: its names are listed, all but the last of them are, another name
is, everything is ("*"). Vectors of one policy go side by side in lanes. A lane is an address that
every name has, and has one vector at a time, so what reaches the address belongs to that vector."""
import collections
import concurrent.futures
import contextlib
import dataclasses
import ipaddress
import itertools
import socket
import threading

from origins import Origin

TLS, HTTP = 443, 80
LANES = [f"203.0.113.{100 + n}" for n in range(16)]
# Each client has a port of its own, which no socket of ringfence gets: where two clients share one,
# the redirect gives it to one of them only, and the log tells another.
ports = itertools.cycle(range(10000, 32000))
ELSEWHERE = "never-in-a-vector.test"
PATIENCE = 30                   # seconds until the end of a connection that nobody ends
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
IN_FULL = 0                     # a segment: all that is left, once the origin has answered


@dataclasses.dataclass
class Vector:
    id: str
    port: int
    data: bytes
    verdict: str                # PASS, BLOCK or WAIT
    names: list = dataclasses.field(default_factory=list)
    lenient: bool = False       # the opposite is right too
    segments: list = dataclasses.field(default_factory=list)
    passes: tuple = None        # PASS, cut off: so many bytes at least, so many at most

    def __post_init__(self):
        self.ends = [len(self.data)] * len(self.names) if self.port == TLS else \
            list(request_ends(self.data, len(self.names)))
        self.passes = self.passes or (self.ends[-1:] or [0]) * 2


# A reader of what is known to be well formed

def request_ends(data, count):
    """Where each of the first requests ends; the last may lack the rest of its body."""
    at = 0
    for _ in range(count):
        head_end = data.index(b"\r\n\r\n", at) + 4
        fields = fields_of(data[at:head_end])
        at = head_end
        if b"transfer-encoding" in fields:
            at = chunks_end(data, at)
        elif b"content-length" in fields:
            at += int(fields[b"content-length"])
        at = min(at, len(data))
        yield at


def fields_of(head):
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in lines}


def chunks_end(data, at):
    size = -1
    while size != 0:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return len(data)
        size = int(data[at:line_end].split(b";")[0], 16)
        at = line_end + 2 + (size + 2 if size else 0)
    while (line_end := data.find(b"\r\n", at)) > at:            # trailers
        at = line_end + 2
    return line_end + 2 if line_end >= 0 else len(data)


def is_begun(data, rest):
    """May this much of a refused request have passed? A chunked body does, up to its fault."""
    head, end, _ = rest.partition(b"\r\n\r\n")
    chunked = fields_of(head + end).get(b"transfer-encoding", b"").lower() == b"chunked"
    return bool(end) and chunked and len(rest) < len(data) and data.startswith(rest)


# Policies

def literal_of(name):
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def is_never_dialled(addr):
    return addr.is_loopback or addr.is_link_local or addr.is_multicast or addr.is_unspecified


def is_ipv4_in_disguise(addr):
    return addr.version == 6 and int(addr) >> 32 in (0, 0xffff)


def place_of(addr):
    return str(getattr(addr, "ipv4_mapped", None) or addr)


@dataclasses.dataclass
class Expected:
    """What reaches the internet: at least and at most so many bytes of the data, unchanged."""
    least: int
    most: int
    whole: bool                 # all of it: the client may say that it has finished
    at: str = None              # where, if not at the lane's address


BLOCKED = Expected(0, 0, False)


def expect_listed(vector):
    literals = [addr for addr in map(literal_of, vector.names) if addr]
    if (vector.port, vector.verdict, vector.lenient) == (TLS, "BLOCK", False):
        return BLOCKED
    if any(is_never_dialled(addr) for addr in literals):
        return BLOCKED
    disguised = any(is_ipv4_in_disguise(addr) for addr in literals)
    least, most = vector.passes
    whole = vector.verdict == "PASS" and least == len(vector.data)
    passes = vector.verdict == "PASS" and not vector.lenient and not disguised
    return Expected(least if passes else 0, len(vector.data) if vector.lenient else most,
                    whole or vector.lenient,
                    place_of(literals[0]) if literals else None)


def runs_of(vector):
    """(domains, ips), what to expect: for each policy under which a vector is tried."""
    domains = frozenset(name for name in vector.names if not literal_of(name))
    ips = frozenset(name for name in vector.names if literal_of(name))
    yield (frozenset([ELSEWHERE]), frozenset()), BLOCKED
    if vector.names:
        yield (domains, ips), expect_listed(vector)
    if ips or vector.verdict != "PASS":
        yield (frozenset("*"), frozenset()), BLOCKED if ips else expect_listed(vector)
    if len(domains | ips) > 1:
        last = vector.names[-1]
        before = vector.names.index(last)
        yield (domains - {last}, ips - {last}), Expected(0, vector.ends[before - 1], False)


# The two ends

class Recorder(Origin):
    """Keeps what comes; HTTP is answered once. Wakes nobody for single bytes."""
    service = "recorder"

    def data_received(self, data):
        first = not self.session.raw
        self.session.raw += data
        if first and self.session.port == HTTP:
            self.transport.write(ANSWER)


def say(sock, vector, finish):
    at = 0
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for length in vector.segments:
        if length == IN_FULL:
            sock.recv(65536)
            break
        sock.sendall(vector.data[at:at + length])
        at += length
    sock.sendall(vector.data[at:])
    if finish:
        sock.shutdown(socket.SHUT_WR)


def hear_end(sock):
    """False: nobody ended the connection."""
    sock.settimeout(PATIENCE)
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


class Replay:
    """One running ringfence and the vectors it is tried with."""
    def __init__(self, net, read_size, hello_timeout):
        self.net = net
        self.wrong, self.count = [], 0
        self.lock = threading.Lock()
        net.internet.http = net.internet.tls = Recorder
        net.internet.dns.names = {}
        net.internet.dns.set("*", *LANES, ttl=3600)
        net.start(domains=["before-the-first.test"], env={"RINGFENCE_FEATURES": f"recv={read_size}",
                                            "HELLO_TIMEOUT": hello_timeout})

    def run(self, vectors):
        """All vectors that come to an end by themselves, grouped by policy."""
        groups = collections.defaultdict(list)
        for vector in vectors:
            for policy, expected in runs_of(vector):
                groups[policy].append((vector, expected))
        for policy, cases in groups.items():
            self.enforce(policy)
            self.run_group(cases, " ".join(sorted(policy[0] | policy[1]))[:60])

    def enforce(self, policy):
        self.net.reload(domains=sorted(policy[0]), ips=sorted(policy[1]))
        self.seen = len(self.net.ringfence.events())
        with self.net.internet.changed:
            self.net.internet.sessions = []

    def run_group(self, cases, policy):
        queue = iter(cases)
        told = {}               # client's port: case, for the log

        def work(lane):
            while True:
                with self.lock:
                    case = next(queue, None)
                if case is None:
                    return
                port, problem = self.try_one(lane, *case)
                told[port] = case
                if problem:
                    self.wrong.append(f"{case[0].id} (listed: {policy}): {problem}")
        lanes = LANES[:1] if cases[0][1].at else LANES[:len(cases)]
        with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
            for done in [pool.submit(work, lane) for lane in lanes]:
                done.result()
        self.check_log(told, policy)
        self.check_elsewhere(cases, policy)
        self.count += len(cases)

    def connect(self, lane, port):
        sock = self.net.client.open()
        with self.lock:
            sock.bind(("", next(ports)))
        sock.settimeout(PATIENCE)
        sock.connect((lane, port))
        return sock

    def try_one(self, lane, vector, expected):
        """(the client's port, what was wrong or None)"""
        internet, at = self.net.internet, expected.at or lane
        earlier = len(internet.at(at))
        with self.connect(lane, vector.port) as sock:
            port = sock.getsockname()[1]
            with contextlib.suppress(OSError):      # ended by the other side
                say(sock, vector, expected.whole)
            if not hear_end(sock):
                return port, "nobody ended the connection"
        if expected is not BLOCKED and self.was_dialled(port):
            internet.wait(lambda: len(internet.at(at)) > earlier, PATIENCE)
        sessions = internet.at(at)[earlier:]
        if not sessions:
            return port, None if expected.least == 0 else "stopped, it had to pass"
        if len(sessions) > 1 or sessions[0].port != vector.port:
            return port, f"it led to {sessions}"
        internet.wait(lambda: sessions[0].closed, PATIENCE)
        return port, judge(vector, expected, bytes(sessions[0].raw))

    def was_dialled(self, port):
        """It may have been, so it takes the log to know: the internet may see it only later."""
        event = self.net.ringfence.wait_event(
            lambda fact: fact.get("source_port") == port and fact["component"] != "nflog")
        return event["action"] == "ALLOWED"         # always the first

    def check_log(self, told, policy):
        """What did not pass whole has its event and reason, what passed the name it passed by."""
        ringfence = self.net.ringfence

        def facts():
            return {fact["source_port"]: fact for fact in ringfence.events()[self.seen:]
                    if fact.get("component") in ("https", "http") and fact.get("action")}
        try:
            ringfence.wait(lambda: told.keys() <= facts().keys(), PATIENCE, "events")
        except AssertionError:
            silent = [told[port][0].id for port in told.keys() - facts().keys()]
            raise AssertionError(f"nothing in the log of {silent} (listed: {policy})") from None
        for port, fact in facts().items():
            if port not in told:
                self.wrong.append(f"(listed: {policy}): the log tells of somebody else: {fact}")
                continue
            vector, expected = told[port]
            name = fact.get("https") or fact.get("host")
            if fact["action"] == "BLOCKED" and expected.least < len(vector.data):
                problem = None if fact.get("reason") else "a block without its reason"
            elif fact["action"] == "BLOCKED":
                problem = f"the log says {fact}"
            else:
                allowed = [plain(name) for name in vector.names]
                problem = None if plain(name) in allowed else f"allowed as {name}"
            if problem:
                self.wrong.append(f"{vector.id} (listed: {policy}): {problem}")

    def check_elsewhere(self, cases, policy):
        places = set(LANES) | {expected.at for _, expected in cases}
        lost = [session for session in self.net.internet.sessions if session.local not in places]
        if lost:
            self.wrong.append(f"(listed: {policy}): somebody reached {lost}")

    def run_waiting(self, vectors):
        """Vectors that only the hello timer ends: all at once, and nothing is dialled."""
        for name in ELSEWHERE, "*":
            self.enforce((frozenset([name]), frozenset()))
            with contextlib.ExitStack() as stack:
                socks = []
                for vector in vectors:
                    sock = stack.enter_context(self.connect(LANES[0], vector.port))
                    with contextlib.suppress(OSError):      # ended by the other side
                        say(sock, vector, finish=False)
                    socks.append(sock)
                for vector, sock in zip(vectors, socks):
                    if not hear_end(sock):
                        self.wrong.append(f"{vector.id}: nobody ended the connection")
            if self.net.internet.sessions:
                self.wrong.append(f"of what is never whole came {self.net.internet.sessions}")
            self.net.ringfence.wait_event(reason="hello-timeout")
            self.count += len(vectors)


def plain(name):
    literal = literal_of(name)
    return str(literal) if literal else name


def judge(vector, expected, got):
    if not got and expected.most == 0:
        return "somebody was dialled"
    if not vector.data.startswith(got):
        return f"it arrived changed: {got[:80]}..."
    if len(got) < expected.least:
        return f"{len(got)} bytes passed, expected {expected.least}"
    if len(got) > expected.most and not is_begun(vector.data[expected.most:], got[expected.most:]):
        return f"{len(got)} bytes passed, at most {expected.most} were to"
    return None


def replay(net, vectors, read_size):
    """How many runs; all that went wrong, in lines."""
    waiting = [vector for vector in vectors if vector.verdict == "WAIT"]
    main = Replay(net, read_size, "60s")
    main.run([vector for vector in vectors if vector.verdict != "WAIT"])
    net.ringfence.stop()
    late = Replay(net, read_size, "1s")
    late.run_waiting(waiting)
    return main.count + late.count, main.wrong + late.wrong
