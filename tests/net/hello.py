"""hello.py - TLS ClientHellos and records, built piece by piece, right or wrong as a test wants.

    Hello().wire()                                  one record, for allowed.test
    Hello(name=b"evil.test").wire(size=7)           in records of 7 bytes
    Hello(extensions=[sni(b"a.test", b"b.test")])   whatever one likes"""
import dataclasses

HANDSHAKE, CCS, ALERT, DATA = 22, 20, 21, 23
SERVER_NAME, GROUPS, FORMATS, SIGNATURES, ALPN, PADDING, TICKET, VERSIONS, MODES, KEY_SHARE, ECH = \
    0, 10, 11, 13, 16, 21, 35, 43, 45, 51, 0xfe0d


def number(width, value):
    return value.to_bytes(width, "big")


def vector(width, data):
    """data behind its length"""
    return number(width, len(data)) + data


def record(data, kind=HANDSHAKE, version=0x0301):
    return bytes([kind]) + number(2, version) + vector(2, data)


def records(message, size=16384, version=0x0301):
    return b"".join(record(message[at:at + size], version=version)
                    for at in range(0, len(message), size))


def entry(name, kind=0):
    """Of a server_name_list."""
    return bytes([kind]) + vector(2, name)


def sni(*names, kind=0):
    return SERVER_NAME, vector(2, b"".join(entry(name, kind) for name in names))


def alpn(*protocols):
    return ALPN, vector(2, b"".join(vector(1, protocol) for protocol in protocols))


def ech(length=150):
    """encrypted_client_hello as in the outer hello; GREASE looks the same."""
    return ECH, b"\0" + b"\0\1\0\1" + b"\x2a" + vector(2, bytes(32)) + vector(2, bytes(length))


def ordinary():
    """What real clients send besides the name."""
    return [(GROUPS, vector(2, bytes.fromhex("001d00170018"))), (FORMATS, b"\1\0"), (TICKET, b""),
            (SIGNATURES, vector(2, bytes.fromhex("0403080404010503080508060601"))),
            alpn(b"h2", b"http/1.1"), (VERSIONS, vector(1, bytes.fromhex("03040303"))),
            (MODES, b"\1\1"), (KEY_SHARE, vector(2, b"\0\x1d" + vector(2, bytes(range(32)))))]


@dataclasses.dataclass
class Hello:
    name: bytes = b"allowed.test"
    extensions: list = None             # default: ordinary ones, the name first
    version: int = 0x0303
    session: bytes = bytes(range(100, 132))
    ciphers: bytes = bytes.fromhex("130113021303c02bc02fc02cc030009c002f")
    compressions: bytes = b"\0"
    padding: int = None                 # body of a padding extension

    def block(self):
        listed = self.extensions
        if listed is None:
            listed = [sni(self.name), *ordinary()]
        if self.padding is not None:
            listed = listed + [(PADDING, bytes(self.padding))]
        return b"".join(number(2, kind) + vector(2, body) for kind, body in listed)

    def front(self):
        """All before the extensions."""
        return (number(2, self.version) + bytes(range(32)) + vector(1, self.session) +
                vector(2, self.ciphers) + vector(1, self.compressions))

    def body(self):
        return self.front() + vector(2, self.block())

    def message(self):
        return message(self.body())

    def wire(self, size=16384, version=0x0301):
        return records(self.message(), size, version)

    def padded_to(self, length):
        """The same with a message of that many bytes."""
        bare = dataclasses.replace(self, padding=0)
        return dataclasses.replace(self, padding=length - len(bare.message()))


def message(body, kind=1):
    return bytes([kind]) + vector(3, body)
