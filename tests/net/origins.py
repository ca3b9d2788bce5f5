"""origins.py - the servers of the fake internet: HTTP, TLS, and a sink that echoes.

Each connection is a Session that keeps every byte as it came, so that a test can say what reached
an address and what did not."""
import asyncio
import ipaddress
import socket
import ssl
import struct

SO_ORIGINAL_DST = 80


class Session:
    """One connection as the server saw it."""
    def __init__(self, service, local, peer):
        self.service = service          # "http", "tls", "sink", or what serve() was told
        self.local, self.port = local   # where the client wanted to go
        self.peer = peer                # (address, port)
        self.raw = bytearray()          # every byte received, TLS still encrypted
        self.plain = bytearray()        # what was inside TLS
        self.names = []                 # server names, two after a HelloRetryRequest
        self.requests = []              # HTTP, also inside TLS
        self.closed = None              # "eof", "reset" or None while open
        self.transport = None

    def __repr__(self):
        return (f"<{self.service} {self.local}:{self.port} {len(self.raw)} bytes names={self.names}"
                f" requests={len(self.requests)} closed={self.closed}>")


class Request:
    def __init__(self, session, head, body):
        self.session, self.head, self.body = session, head, body
        lines = head.split(b"\r\n")
        self.method, self.target, self.version = (lines[0].split(b" ") + [b"", b""])[:3]
        self.fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            self.fields.setdefault(name.strip().lower().decode("latin1"), value.strip())
        self.host = self.fields.get("host", b"").decode("latin1")


def answer_hello(request):
    """What HTTP servers say unless a test sets internet.http_answer: who was asked, and where."""
    body = f"hello from {request.host} at {request.session.local}\n".encode()
    last = request.version != b"HTTP/1.1" or request.fields.get("connection") == b"close"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n%s\r\n" % (
        len(body), "Connection: close\r\n" if last else "")
    return head.encode() + (b"" if request.method == b"HEAD" else body)


def take_chunks(data):
    """(body, rest) of a chunked body, or None when it has not all come."""
    body = b""
    while True:
        size, crlf, rest = data.partition(b"\r\n")
        if not crlf:
            return None
        length = int(size.split(b";")[0], 16)
        if len(rest) < length + 2:
            return None
        body, data = body + rest[:length], rest[length + 2:]
        if length == 0:
            return body, data


def take_request(session, data):
    """(request, rest), or None when it has not all come."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    request = Request(session, head, b"")
    try:
        if b"chunked" in request.fields.get("transfer-encoding", b""):
            taken = take_chunks(rest)
            if taken is None:
                return None
            request.body, rest = taken
        else:
            length = int(request.fields.get("content-length", b"0"))
            if len(rest) < length:
                return None
            request.body, rest = rest[:length], rest[length:]
    except ValueError:
        return None             # nonsense: keep recording, never answer
    return request, rest


def text_of(addr):
    """An address as people write it, an IPv4-mapped one as IPv4."""
    addr = ipaddress.ip_address(addr.partition("%")[0])
    return str(getattr(addr, "ipv4_mapped", None) or addr)


def wanted(sock):
    """Where the client wanted to go: before the redirect to the sink, if there was one."""
    level = socket.SOL_IP if sock.family == socket.AF_INET else socket.IPPROTO_IPV6
    try:
        raw = sock.getsockopt(level, SO_ORIGINAL_DST, 28)
    except OSError:             # not redirected
        return text_of(sock.getsockname()[0]), sock.getsockname()[1]
    port = struct.unpack_from("!H", raw, 2)[0]
    addr = raw[4:8] if sock.family == socket.AF_INET else raw[8:24]
    return str(ipaddress.ip_address(addr)), port


class Origin(asyncio.Protocol):
    """Records a connection; what it says to it is for the classes below."""
    service = "sink"

    def __init__(self, internet):
        self.internet = internet

    def connection_made(self, transport):
        self.transport = transport
        peer = transport.get_extra_info("peername")
        sock = transport.get_extra_info("socket")
        self.session = Session(self.service, wanted(sock),
                               (text_of(peer[0]), peer[1]) if peer else None)   # reset already
        self.session.transport = transport
        with self.internet.changed:
            self.internet.sessions.append(self.session)
            self.internet.changed.notify_all()

    def data_received(self, data):
        with self.internet.changed:
            self.session.raw += data
            self.on_data(data)
            self.internet.changed.notify_all()

    def connection_lost(self, error):
        with self.internet.changed:
            self.session.closed = "reset" if error else "eof"
            self.internet.changed.notify_all()

    def on_data(self, data):
        self.transport.write(data)      # the sink echoes


class Http(Origin):
    service = "http"

    def __init__(self, internet):
        super().__init__(internet)
        self.pending = b""
        self.tunnel = False             # after 101: echo
        self.continued = False          # this request was already told 100

    def on_data(self, data):
        if self.tunnel:
            return self.say(data)
        self.pending += data
        while taken := take_request(self.session, self.pending):
            request, self.pending = taken
            self.continued = False
            self.session.requests.append(request)
            answer = self.internet.http_answer(request)
            self.say(answer)
            if answer.startswith(b"HTTP/1.1 101"):
                self.tunnel = True
                return None
            if b"\r\nConnection: close\r\n" in answer:
                self.end()
                return None
        if b"\r\nExpect: 100-continue\r\n" in self.pending and not self.continued:
            self.continued = True
            self.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    def say(self, data):
        self.transport.write(data)

    def end(self):
        self.transport.close()


class Tls(Http):
    """HTTP inside TLS, with a certificate for whatever name was asked."""
    service = "tls"

    def connection_made(self, transport):
        super().connection_made(transport)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = self.internet.authority.make_server(self.session.local)
        if self.internet.tls_curve:
            context.set_ecdh_curve(self.internet.tls_curve)
        context.sni_callback = self.on_name
        self.context = context          # OpenSSL comes back to it after a HelloRetryRequest
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.ready = False

    def on_name(self, tls, name, context):
        self.session.names.append(name)
        if name:
            tls.context = self.internet.authority.server(name)

    def on_data(self, data):
        self.incoming.write(data)
        try:
            if not self.ready:
                self.tls.do_handshake()
                self.ready = True
            while plain := self.tls.read(65536):
                self.session.plain += plain
                super().on_data(plain)
            self.end()                  # close_notify
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.session.closed = str(error)
            self.transport.write(self.outgoing.read())
            self.transport.close()
        self.flush()

    def say(self, data):
        self.tls.write(data)
        self.flush()

    def flush(self):
        if self.outgoing.pending and not self.transport.is_closing():
            self.transport.write(self.outgoing.read())

    def end(self):
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass                        # the client has not said goodbye yet: need not wait
        self.flush()
        self.transport.close()
