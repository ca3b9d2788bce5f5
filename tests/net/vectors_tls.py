"""vectors_tls.py - what clients may and may not send first on port 443, by the rows of the bypass
matrix (T02 and so on); for replay.py."""
import struct

from hello import (ALERT, ALPN, CCS, DATA, ECH, GROUPS, HANDSHAKE, KEY_SHARE, SERVER_NAME,
                   VERSIONS, Hello, alpn, ech, entry, message, number, ordinary, record, records,
                   sni, vector)
from replay import TLS, Vector

UNKNOWN = 0x1234                # an extension that nobody has


def passes(name, data, host="allowed.test", **options):
    return Vector(name, TLS, data, "PASS", [host], **options)


def blocked(name, data):
    return Vector(name, TLS, data, "BLOCK")


def waits(name, data):
    """Never whole, or wrong only at its end: stopped at the latest by the timer."""
    return Vector(name, TLS, data, "WAIT")


def named(name):
    return Hello(name=name).wire()


def with_extensions(*extensions):
    return Hello(extensions=list(extensions)).wire()


def with_name_body(body):
    """A server_name extension of these bytes among ordinary ones."""
    return with_extensions((SERVER_NAME, body), *ordinary())


def plain():                                            # T01
    yield passes("T01-tls13", Hello().wire())
    old = [sni(b"allowed.test"), (GROUPS, vector(2, b"\0\x17"))]
    yield passes("T01-tls12", Hello(extensions=old, session=b"").wire())
    yield passes("T01-tls10", Hello(extensions=[sni(b"allowed.test")], version=0x0301,
                                    session=b"", ciphers=b"\0\x2f").wire())
    yield passes("T01-evil", named(b"evil.test"), "evil.test")


def segments():                                         # T02
    data, at = Hello().wire(), Hello().wire().index(b"allowed.test")
    yield passes("T02-single-bytes", data, segments=[1] * len(data))
    yield passes("T02-single-bytes-evil", named(b"evil.test"), "evil.test", segments=[1] * 400)
    for cut in 1, 2, 4, 5, 6, 9, at, at + 1, at + 7, at + 11, at + 12, len(data) - 1:
        yield passes(f"T02-cut-{cut}", data, segments=[cut])
    yield passes("T02-three", data, segments=[5, at - 2])


def fragments():                                        # T03
    whole = Hello().message()
    at = whole.index(b"allowed.test")
    for size in 1, 2, 3, 4, 5, 16, 100, len(whole) - 1, len(whole):
        yield passes(f"T03-records-of-{size}", records(whole, size))
    for cut in range(at - 5, at + 13):
        yield passes(f"T03-cut-{cut - at}", record(whole[:cut]) + record(whole[cut:]))
    evil = Hello(name=b"evil.test").message()
    at = evil.index(b"evil.test")
    for cut in at, at + 2, at + 4:
        yield passes(f"T03-evil-cut-{cut - at}", record(evil[:cut]) + record(evil[cut:]),
                     "evil.test")
    yield passes("T03-versions", record(whole[:50], version=0x0301) +
                 record(whole[50:], version=0x0303))
    yield passes("T03-single-bytes-both", records(whole, 1), segments=[1] * 2000)


def foreign_records():                                  # T04
    whole = Hello().message()
    extra = {"empty": record(b""), "ccs": record(b"\1", CCS), "alert": record(b"\1\0", ALERT),
             "data": record(b"x" * 20, DATA), "heartbeat": record(b"\1\0\0", 24),
             "unknown": record(b"x", 99), "empty-data": record(b"", DATA)}
    for kind, wrong in extra.items():
        yield blocked(f"T04-{kind}-first", wrong + record(whole))
        for cut in 1, 4, 60, len(whole) - 1:
            yield blocked(f"T04-{kind}-at-{cut}",
                          record(whole[:cut]) + wrong + record(whole[cut:]))


def lengths():                                          # T05
    whole, data = Hello().message(), Hello().wire()
    yield passes("T05-record-16384", Hello().padded_to(16384).wire())
    yield blocked("T05-record-16385", record(Hello().padded_to(16385).message()))
    yield blocked("T05-record-ffff", data[:3] + b"\xff\xff" + data[5:])
    yield blocked("T05-record-0", data[:3] + b"\0\0" + data[5:])
    yield waits("T05-record-long", data[:3] + number(2, len(whole) + 1) + data[5:])
    for wrong in 0, 1, 40, len(whole) - 5:
        yield blocked(f"T05-message-{wrong}", record(whole[:1] + number(3, wrong) + whole[4:]))
    yield waits("T05-message-long", record(whole[:1] + number(3, len(whole) - 3) + whole[4:]))
    for wrong in 65537, 1 << 23, (1 << 24) - 1:
        yield blocked(f"T05-message-{wrong}", record(whole[:1] + number(3, wrong) + whole[4:]))
    yield blocked("T05-message-behind", record(whole + b"\0"))
    yield blocked("T05-message-behind-split", record(whole[:70]) + record(whole[70:] + b"\0\0"))
    yield from wrong_lengths(data)


def length_fields(data):
    """(name, offset, width) of every length in a plain hello."""
    at = 5 + 4 + 2 + 32
    yield from (("record", 3, 2), ("message", 6, 3), ("session", at, 1))
    at += 1 + data[at]
    yield "ciphers", at, 2
    at += 2 + struct.unpack_from(">H", data, at)[0]
    yield "compressions", at, 1
    at += 1 + data[at]
    yield "extensions", at, 2
    at += 2
    while at < len(data):
        kind, length = struct.unpack_from(">HH", data, at)
        yield f"extension-{kind}", at + 2, 2
        if kind == SERVER_NAME:
            yield from (("names", at + 4, 2), ("name", at + 7, 2))
        at += 4 + length


def wrong_lengths(data):
    for field, at, width in length_fields(data):
        right, most = int.from_bytes(data[at:at + width], "big"), (1 << 8 * width) - 1
        for wrong in {right - 1, right + 1, most // 2, most} - {right, -1}:
            yield waits(f"T05-{field}-{right}-as-{wrong}",
                        data[:at] + number(width, wrong) + data[at + width:])


def versions():                                         # T06
    for minor in 0, 1, 2, 3, 4, 5, 255:
        yield passes(f"T06-record-3.{minor}", Hello().wire(version=0x0300 + minor))
    for major in 0, 1, 2, 4, 127, 254, 255:
        yield blocked(f"T06-record-{major}", Hello().wire(version=(major << 8) + 1))
        yield blocked(f"T06-second-record-{major}", record(Hello().message()[:60]) + record(
            Hello().message()[60:], version=(major << 8) + 1))
        yield blocked(f"T06-hello-{major}", Hello(version=(major << 8) + 3).wire())
    for minor in 0, 1, 2, 3, 4:
        yield passes(f"T06-hello-3.{minor}", Hello(version=0x0300 + minor).wire())


def sslv2():                                            # T07
    for version in 0x0002, 0x0300, 0x0301, 0x0303:
        body = b"\1" + number(2, version) + number(2, 6) + number(2, 0) + number(2, 16) + \
            b"\0\0\x2f\0\0\x35" + bytes(range(16))
        yield blocked(f"T07-{version:04x}", number(2, 0x8000 | len(body)) + body)
        yield blocked(f"T07-padded-{version:04x}", number(2, len(body)) + b"\0" + body)


def nameless():                                         # T08
    yield blocked("T08-none", with_extensions(*ordinary()))
    yield blocked("T08-no-extensions", record(message(Hello().front())))
    yield blocked("T08-empty-extensions", with_extensions())
    yield blocked("T08-empty-extension", with_name_body(b""))
    yield blocked("T08-empty-list", with_name_body(b"\0\0"))
    yield blocked("T08-empty-name", with_name_body(vector(2, entry(b""))))


def two_names():                                        # T09
    good, evil = b"allowed.test", b"evil.test"
    for first, second in (good, evil), (evil, good), (good, good):
        pair = f"{first[:1].decode()}{second[:1].decode()}"
        yield blocked(f"T09-extensions-{pair}", with_extensions(sni(first), sni(second)))
        yield blocked(f"T09-extensions-apart-{pair}",
                      with_extensions(sni(first), *ordinary(), sni(second)))
        yield blocked(f"T09-names-{pair}", with_extensions(sni(first, second)))
        for kind in 1, 255:
            yield blocked(f"T09-kind-{kind}-first-{pair}",
                          with_name_body(vector(2, entry(first, kind) + entry(second))))
            yield blocked(f"T09-kind-{kind}-last-{pair}",
                          with_name_body(vector(2, entry(first) + entry(second, kind))))
    for kind in 1, 2, 128, 255:
        yield blocked(f"T09-kind-{kind}", with_extensions(sni(good, kind=kind), *ordinary()))
    one = entry(good)
    for wrong in 0, 1, len(one) - 1, len(one) + 1, 0xffff:
        yield blocked(f"T09-list-{wrong}", with_name_body(number(2, wrong) + one))
    for wrong in 0, 1, len(good) - 1, len(good) + 1, 0xffff:
        yield blocked(f"T09-name-{wrong}",
                      with_name_body(vector(2, b"\0" + number(2, wrong) + good)))
    for behind in b"\0", b"evil.test", entry(evil):
        yield blocked(f"T09-behind-{len(behind)}", with_name_body(vector(2, one) + behind))
    for extension in ordinary():
        yield blocked(f"T09-twice-{extension[0]}",
                      with_extensions(sni(good), *ordinary(), extension))


def odd_bytes():                                        # T10
    label = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    for byte in set(range(256)) - label:
        yield blocked(f"T10-{byte:02x}", named(b"allo" + bytes([byte]) + b"wed.test"))
    for place in b"%sallowed.test", b"allowed.test%s", b"evil.test%sallowed.test", \
            b"allowed.test%sevil.test", b"allowed%stest":
        for odd in b"\0", b" ", b"\r\n", b"\x1b[2J", b"/", b"@", b"\\", b"\xef\xbc\x8e", b"%00":
            yield blocked(f"T10-{odd.hex()}-in-{place.decode()}", named(place % odd))
    yield blocked("T10-markup", named(b"<img src=x onerror=alert(1)>.allowed.test"))
    yield blocked("T10-utf8", named("bücher.test".encode()))


def spellings():                                        # T11
    for name in b"ALLOWED.TEST", b"AlLoWeD.tEsT", b"allowed.tesT", b"allowed.test.":
        yield passes(f"T11-{name.decode()}", named(name))
    long_label, dots = b"a" * 63, b".".join([b"a" * 49] * 5)
    for name in long_label + b".test", dots + b".abc", b"a", b"a-b.test", b"_x.test", b"1.test", \
            b"xn--bcher-kva.test", b"allowed.test.evil.test", b"notallowed.test", b"test", \
            b"sub.allowed.test", b"allowed.testing", b"allowed-test", b"3com.test":
        yield passes(f"T11-{len(name)}-{name.decode()[:40]}", named(name), name.decode())
    for name in b"allowed.test..", b".allowed.test", b"allowed..test", b".", b"..", b"a" * 64, \
            long_label + b"a.test", dots + b".abcd", dots + b".abcde", b"a." * 150 + b"test", \
            b"-allowed.test", b"allowed-.test", b"allowed.test-", b"*.test", b"*", b"a.*.test", \
            b"a" * 15000:
        yield blocked(f"T11-bad-{len(name)}-{name.decode()[:40]}", named(name))


def literals():                                         # T12
    for name in "203.0.113.7", "2001:db8::7", "[2001:db8::7]", "::1", "3405803783", "0xcb007107", \
            "0313.0.0161.07", "203.0.28935", "203.0.113.7.", "127.1", "0x7f.1", "fe80::1%eth0", \
            "allowed.test:443", "203.0.113.7:443", "::ffff:203.0.113.7", "1.2.3", "a.0x10", "1":
        yield blocked(f"T12-{name}", named(name.encode()))


def encrypted():                                        # T13
    yield passes("T13-outer", with_extensions(sni(b"allowed.test"), *ordinary(), ech()))
    yield passes("T13-outer-evil", with_extensions(ech(), sni(b"evil.test")), "evil.test")
    yield passes("T13-large", with_extensions(sni(b"allowed.test"), ech(4000)))
    yield passes("T13-inner", with_extensions(sni(b"allowed.test"), (ECH, b"\1")))
    yield blocked("T13-nameless", with_extensions(*ordinary(), ech()))
    yield blocked("T13-old-esni", with_extensions(*ordinary(), (0xffce, bytes(200))))
    yield blocked("T13-twice", with_extensions(sni(b"allowed.test"), ech(), ech()))


def shapes():                                           # T14
    name = sni(b"allowed.test")
    for place in range(len(ordinary()) + 1):
        listed = ordinary()
        listed.insert(place, name)
        yield passes(f"T14-name-at-{place}", with_extensions(*listed))
    grease = [(0x0a0a, b""), name, *ordinary(), (0xfafa, b"\0")]
    yield passes("T14-grease", Hello(extensions=grease, ciphers=b"\x1a\x1a\x13\x01").wire())
    for count in 100, 5000:
        many = [(1000 + n, b"") for n in range(count)]
        yield passes(f"T14-{count}", with_extensions(*many, name))
        yield blocked(f"T14-{count}-twice", with_extensions(*many, name, many[0]))
    yield passes("T14-ciphers", Hello(ciphers=b"\x13\x01" * 2000).wire())
    yield passes("T14-compressions", Hello(compressions=bytes(range(255))).wire())
    yield passes("T14-no-session", Hello(session=b"").wire())


def sizes():                                            # T15
    key_share = KEY_SHARE, vector(2, b"\x11\xec" + vector(2, bytes(1216)))
    yield passes("T15-post-quantum", with_extensions(sni(b"allowed.test"), key_share))
    for size in 1460, 4000, 4096, 8192, 16385, 30000, 65540:
        yield passes(f"T15-{size}", Hello().padded_to(size).wire())
    for size in 4090, 9000:
        yield passes(f"T15-{size}-evil", Hello(name=b"evil.test").padded_to(size).wire(),
                     "evil.test")
    late = [(UNKNOWN, bytes(9000)), sni(b"allowed.test")]
    yield passes("T15-name-late", with_extensions(*late))
    yield passes("T15-records", Hello().padded_to(5000).wire(size=100))
    yield blocked("T15-records-cap", Hello().padded_to(17000).wire(size=1))
    yield blocked("T15-cap", record(b"\1" + number(3, 65537) + bytes(16380)))


def followed():                                         # T16
    data, second = Hello().wire(), Hello(name=b"evil.test").wire()
    yield passes("T16-ccs", data + record(b"\1", CCS))
    yield passes("T16-early-data", data + record(b"\1", CCS) + record(bytes(300), DATA) * 3)
    yield passes("T16-alert", data + record(b"\2\x50", ALERT))
    yield passes("T16-half-a-record", data + record(bytes(300), DATA)[:100])
    both = Hello().message() + Hello(name=b"evil.test").message()
    yield blocked("T16-second-same-record", record(both))
    yield blocked("T16-second-overlaps", record(both[:-50]) + record(both[-50:]))
    for behind, kind in (second, "evil"), (data, "same"), (record(b"\1", CCS) + second, "ccs"), \
            (record(bytes(30), DATA) + second, "data"), (b"GET / HTTP/1.1\r\n", "http"), \
            (record(b"", CCS), "empty-ccs"), (record(b"x", 99), "unknown"):
        harmless = {"ccs": 6, "data": 35, "empty-ccs": 4}.get(kind, 0)     # not more than that
        yield passes(f"T16-then-{kind}", data + behind,
                     passes=(len(data), len(data) + harmless))


def others():                                           # T17
    yield from (blocked(f"T17-{name}", data) for name, data in {
        "http": b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n",
        "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
        "smtp": b"EHLO allowed.test\r\n",
        "socks": b"\5\1\0", "rdp": bytes.fromhex("0300000b06e00000000000"),
        "openvpn": bytes.fromhex("000e38") + bytes(12),
        "postgres": bytes.fromhex("0000000804d2162f"),
        "wireguard": b"\1\0\0\0" + bytes(144),
        "dtls": bytes.fromhex("16feff0000000000000000") + vector(2, Hello().message()),
        "quic": bytes.fromhex("c00000000108") + bytes(1194),
        "proxy-v1": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 443\r\n" + Hello().wire(),
        "proxy-v2": bytes.fromhex("0d0a0d0a000d0a515549540a") + b"\x21\x11" + vector(
            2, bytes(12)) + Hello().wire(),
        "zeros": bytes(400), "noise": bytes(range(255, 0, -1)), "newline": b"\r\n" + Hello().wire(),
    }.items())
    for kind in 0, 2, 3, 4, 11, 12, 15, 20, 24, 255:
        yield blocked(f"T17-message-{kind}", record(message(Hello().body(), kind)))
    for first in set(range(256)) - {HANDSHAKE}:
        yield blocked(f"T17-first-{first:02x}", bytes([first]) + Hello().wire()[1:])


def unfinished():                                       # T18
    data = Hello().wire()
    at = data.index(b"allowed.test")
    for length in 1, 2, 3, 4, 5, 6, 9, 10, 43, 44, at, at + 12, len(data) - 1:
        yield waits(f"T18-{length}", data[:length])
    split = Hello().wire(size=50)
    for length in 55, 56, 60, 110, len(split) - 1:
        yield waits(f"T18-split-{length}", split[:length])
    yield waits("T18-17000", Hello().padded_to(20000).wire()[:17000])


def loose():                                            # T19
    yield blocked("T19-session-33", Hello(session=bytes(33)).wire())
    yield blocked("T19-session-255", Hello(session=bytes(255)).wire())
    yield blocked("T19-ciphers-odd", Hello(ciphers=b"\x13\x01\x13").wire())
    yield blocked("T19-ciphers-none", Hello(ciphers=b"").wire())
    yield blocked("T19-compressions-none", Hello(compressions=b"").wire())
    good = Hello()
    for behind in b"\0", b"evil.test", bytes(100):
        yield blocked(f"T19-behind-{len(behind)}", record(message(good.body() + behind)))
    block = good.block()
    for cut in block + b"\0", block + b"\0\x17\0", block + b"\0\x17\0\1", block[:-1]:
        yield blocked(f"T19-block-{len(cut)}", record(message(good.front() + vector(2, cut))))
    for body in b"", b"\0", b"\0\0", b"\0\1\0", b"\0\2\0", b"\0\3\2h2\0", b"\0\3\0h2", b"\0\4\2h2":
        yield blocked(f"T19-alpn-{body.hex()}",
                      with_extensions(sni(b"allowed.test"), (ALPN, body)))
    yield passes("T19-unknown-extensions", with_extensions(sni(b"allowed.test"), (VERSIONS, b"\1"),
                                                           (GROUPS, b""), (0xabcd, b"x" * 9)))


def protocols():                                        # T22
    for listed in [b"h2"], [b"http/1.1"], [b"acme-tls/1"], [b"dot"], [b"ssh"], [b"\xff\0\x80"], \
            [b"x" * 255], [b"%d" % n for n in range(500)]:
        yield passes(f"T22-{len(listed)}-{listed[0][:10].hex()}",
                     with_extensions(sni(b"allowed.test"), alpn(*listed)))


ROWS = (plain, segments, fragments, foreign_records, lengths, versions, sslv2, nameless, two_names,
        odd_bytes, spellings, literals, encrypted, shapes, sizes, followed, others, unfinished,
        loose, protocols)


def vectors():
    return [made for row in ROWS for made in row()]
