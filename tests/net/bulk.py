"""bulk.py - many bytes through ringfence, in both directions and many connections at once, each
checked against what was to come; and users who may have only so many pipes.

    bulk = Bulk(net, "forward")                 # or "filter"
    net.internet.http_answer = answer
    bulk.finish([bulk.download(0), bulk.upload(1), bulk.echo(2)])
"""
import contextlib
import hashlib
import os
import resource
import selectors
import subprocess
import sys
import time

from internet import ORIGIN
from ringfence import PATIENCE
from world import BOX

MIB = 1 << 20
POOL = hashlib.shake_128(b"ringfence").digest(8 * MIB)
SOFT = "/proc/sys/fs/pipe-user-pages-soft"
PAGES_EACH = 256                        # of a pipe of 1 MiB
PORTS = "8000:80,8001:9"                # of `ringfence forward`: to the HTTP server, to the echo
# Takes the pipe pages that its user may have, until there is no pipe of PIPE_LEAST (core/pipes.h)
# to be had, says so, and keeps them until its input ends.
HOG = """
import fcntl, os, sys
pipes, size = [], 1 << 20
while size >= 1 << 16:
    end = os.pipe()[1]
    try:
        pipes.append((end, fcntl.fcntl(end, 1031, size)))
    except PermissionError:
        os.close(end)
        size //= 2
print(len(pipes), flush=True)
sys.stdin.read()
"""


def content(number, size):
    """Bytes that no other number has in this order."""
    start = number * 4099 % len(POOL)
    return ((POOL[start:] + POOL[:start]) * (size // len(POOL) + 1))[:size]


def head(length):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


def answer(request):
    """For internet.http_answer: GET /NUMBER/SIZE is told that content, POST what came of it."""
    if request.method == b"POST":
        body = hashlib.sha256(request.body).hexdigest().encode()
    else:
        body = content(*map(int, request.target.decode().split("/")[1:]))
    return head(len(body)) + body


class Transfer:
    """A connection that has bytes to send and knows what is to come."""
    def __init__(self, sock, script, size):
        sock.setblocking(False)
        self.sock, self.script = sock, script
        self.ask(size)

    def ask(self, size):
        """For so many bytes, again perhaps."""
        self.say, self.expect = map(memoryview, self.script(size))
        self.got = 0
        self.may = len(self.expect)     # it reads no further than this for now

    def events(self):
        return (selectors.EVENT_READ if self.got < self.may else 0) | \
            (selectors.EVENT_WRITE if self.say else 0)

    def step(self, events):
        if events & selectors.EVENT_WRITE:
            self.say = self.say[self.sock.send(self.say):]
        if events & selectors.EVENT_READ:
            data = self.sock.recv(min(self.may - self.got, 1 << 18))
            assert data, f"it ended after {self.got} of {len(self.expect)} bytes"
            assert data == self.expect[self.got:self.got + len(data)], \
                f"other bytes than were sent, from {self.got} on"
            self.got += len(data)


class Bulk(contextlib.ExitStack):
    def __init__(self, net, kind):
        super().__init__()
        self.net, self.kind = net, kind
        net.internet.http_answer = answer

    def start(self, uid=None, wrapper=(), **env):
        """uid: as this user and without CAP_SYS_RESOURCE."""
        if uid:
            wrapper = [*wrapper, *as_user(uid, "net_admin", "net_raw")]
            # Else a folder of that user's would be where root's instances look for theirs.
            env["CONTROL_SOCKET"] = f"/tmp/ringfence-{uid}-{len(self.net.started)}.sock"
        if self.kind == "filter":
            return self.net.start(domains=["*.test"], wrapper=wrapper, env=env)
        return self.net.start("forward", wrapper=wrapper,
                              env={"TARGET": ORIGIN, "PORT": PORTS, "MAX_CONNECTIONS": "0",
                                   **env})

    def place(self, port=80):
        """Where a client connects to reach this port of the origin's."""
        if self.kind == "filter":
            return ORIGIN, port
        return BOX, 8000 if port == 80 else 8001

    def transfer(self, port, script, size):
        sock = self.net.client.connect(*self.place(port))
        self.callback(sock.close)
        return Transfer(sock, script, size)

    def download(self, number, size=4 * MIB):
        return self.transfer(80, lambda size: (
            b"GET /%d/%d HTTP/1.1\r\nHost: allowed.test\r\n\r\n" % (number, size),
            head(size) + content(number, size)), size)

    def upload(self, number, size=4 * MIB):
        def script(size):
            body = content(number, size)
            return (b"POST / HTTP/1.1\r\nHost: allowed.test\r\nContent-Length: %d\r\n\r\n" % size
                    + body, head(64) + hashlib.sha256(body).hexdigest().encode())
        return self.transfer(80, script, size)

    def echo(self, number, size=4 * MIB):
        """Both ways at once; `ringfence forward` only."""
        return self.transfer(9, lambda size: (content(number, size), content(number, size)), size)

    def mixed(self, count, size=4 * MIB):
        kinds = [self.download, self.upload] + ([self.echo] if self.kind == "forward" else [])
        return [kinds[number % len(kinds)](number, size) for number in range(count)]

    def go_on(self, transfers):
        """Until each has sent all, and read as much as it may."""
        with selectors.DefaultSelector() as selector:
            for transfer in transfers:
                if transfer.events():
                    selector.register(transfer.sock, transfer.events(), transfer)
            while selector.get_map():
                ready = selector.select(PATIENCE)
                assert ready, f"nothing for {PATIENCE} s: {[each.got for each in transfers]}"
                for key, events in ready:
                    key.data.step(events)
                    if not key.data.events():
                        selector.unregister(key.fileobj)
                    elif key.data.events() != key.events:
                        selector.modify(key.fileobj, key.data.events(), key.data)

    def finish(self, transfers):
        """All of them to their ends, every byte as it should be."""
        for transfer in transfers:
            transfer.may = len(transfer.expect)
        self.go_on(transfers)
        for transfer in transfers:
            transfer.sock.close()

    def left(self):
        """Bytes of its answers that the internet could not send yet."""
        return sum(session.transport.get_write_buffer_size()
                   for session in self.net.internet.sessions)


# Users

def new_user():
    """A user id that no other run of the tests has: pipes are counted by user."""
    return 1000000 + os.getpid()


def as_user(uid, *caps):
    sets = ",".join(["-all", *(f"+{cap}" for cap in caps)])
    return ["setpriv", f"--reuid={uid}", "--clear-groups", f"--inh-caps={sets}",
            f"--ambient-caps={sets}", f"--bounding-set={sets}", "--"]


def pipes_of_a_user():
    """How many of 1 MiB a user may have; None: as many as there are descriptors."""
    with open(SOFT) as file:
        return int(file.read()) // PAGES_EACH or None


@contextlib.contextmanager
def no_pages(uid, pid):
    """Inside the block this user has used up all pipe pages it may have."""
    hog = subprocess.Popen([*as_user(uid), sys.executable, "-c", HOG], text=True,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert int(hog.stdout.readline()) > 0
        yield
    finally:
        hog.communicate()


@contextlib.contextmanager
def no_descriptors(uid, pid):
    """Inside the block this process, one of our own user's, gets no new descriptor."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def steady(look, turns=10):
    """What look() says once it has said the same for some turns."""
    deadline, said, same = time.monotonic() + PATIENCE, None, 0
    while same < turns:
        assert time.monotonic() < deadline, f"still changing: {said}"
        time.sleep(0.02)
        now = look()
        same = same + 1 if now == said else 0
        said = now
    return said
