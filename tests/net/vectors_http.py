"""vectors_http.py - requests that may and may not pass on port 80, by the rows of the bypass matrix
(H01 and so on); for replay.py."""
from hello import Hello
from replay import HTTP, IN_FULL, Vector

HOST = b"allowed.test"
TOKENS = b"!#$%&'*+-.^_`|~"


def request(host=HOST, line=b"GET / HTTP/1.1", fields=(), body=b""):
    """host None: no Host; fields: whole lines, before Host when they begin with "^"."""
    first = [field[1:] for field in fields if field.startswith(b"^")]
    last = [field for field in fields if not field.startswith(b"^")]
    hosts = [b"Host: " + host] if host is not None else []
    return b"\r\n".join([line, *first, *hosts, *last]) + b"\r\n\r\n" + body


def post(*fields, body=b"", host=HOST):
    return request(host, b"POST /form HTTP/1.1", fields, body)


def chunked(body, host=HOST):
    return post(b"Transfer-Encoding: chunked", body=body, host=host)


def passes(name, data, *hosts, **options):
    return Vector(name, HTTP, data, "PASS", list(hosts) or ["allowed.test"], **options)


def blocked(name, data, *before, **options):
    return Vector(name, HTTP, data, "BLOCK", list(before), **options)


def waits(name, data):
    return Vector(name, HTTP, data, "WAIT")


def plain():                                            # H01
    for version in b"1.0", b"1.1":
        for method in b"GET", b"HEAD", b"DELETE", b"PATCH", b"PROPFIND", b"TRACE", b"M-SEARCH":
            yield passes(f"H01-{method.decode()}-{version.decode()}",
                         request(line=method + b" /a?b=c HTTP/" + version))
    yield passes("H01-options", request(line=b"OPTIONS * HTTP/1.1"))
    yield passes("H01-evil", request(b"evil.test"), "evil.test")
    yield passes("H01-post", post(b"Content-Length: 5", body=b"a=b&c"))
    yield passes("H01-chunked", chunked(b"5\r\na=b&c\r\n0\r\n\r\n"))
    yield passes("H01-expect", post(b"Content-Length: 3", b"Expect: 100-continue", body=b"abc"))
    yield passes("H01-fields", request(fields=[
        b"^User-Agent: a", b"^Accept: */*", b"Cookie: a=b; c=d", b"X-Empty:", b"x_under: 1",
        b"Range: bytes=0-", b"Connection: keep-alive", b"Referer: http://evil.test/"]))


def segments():                                         # H02
    data = request(fields=[b"Accept: */*"])
    at = data.index(HOST)
    yield passes("H02-single-bytes", data, segments=[1] * len(data))
    yield passes("H02-single-bytes-evil", request(b"evil.test"), "evil.test", segments=[1] * 100)
    for cut in 1, 3, 4, 14, 15, at - 6, at - 2, at, at + 1, at + 7, at + 12, at + 13, \
            len(data) - 3, len(data) - 2, len(data) - 1:
        yield passes(f"H02-cut-{cut}", data, segments=[cut])
    yield blocked("H02-fold-cut", request(fields=[b" folded"]), segments=[at + 14])
    body = b"3\r\nabc\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\nX: y\r\n\r\n"
    yield passes("H02-chunked", chunked(body), segments=[1] * len(chunked(body)))


def hostless():                                         # H03
    for version in b"1.0", b"1.1":
        line = b"GET / HTTP/" + version
        yield blocked(f"H03-none-{version.decode()}", request(None, line))
        yield blocked(f"H03-others-{version.decode()}", request(None, line, [b"Accept: */*"]))
    for host in b"", b" ", b"\t", b" \t ", b":", b":80":
        yield blocked(f"H03-empty-{host.hex()}", request(host))
    for field in b"X-Host: allowed.test", b"Hos: allowed.test", b"Hostt: allowed.test", \
            b"X-Forwarded-Host: allowed.test", b"H0st: allowed.test", b"Host_: allowed.test":
        yield blocked(f"H03-{field.decode()}", request(None, fields=[field]))


def two_hosts():                                        # H04
    for first, second in (HOST, b"evil.test"), (b"evil.test", HOST), (HOST, HOST), (b"", HOST), \
            (HOST, b""):
        pair = f"{first.decode()}-{second.decode()}"
        for name in b"Host", b"host", b"HOST", b"hOsT":
            field = name + b": " + second
            yield blocked(f"H04-{name.decode()}-{pair}", request(first, fields=[field]))
        yield blocked(f"H04-apart-{pair}", request(first, fields=[
            b"X-%d: y" % n for n in range(200)] + [b"Host: " + second]))
    for host in b"allowed.test, evil.test", b"allowed.test,evil.test", b"allowed.test evil.test", \
            b"allowed.test;evil.test", b"allowed.test\tevil.test":
        yield blocked(f"H04-list-{host.decode()}", request(host))


def folded():                                           # H05
    for space in b" ", b"\t", b"  ":
        yield blocked(f"H05-after-host-{space.hex()}", request(fields=[space + b".evil.test"]))
        yield blocked(f"H05-before-host-{space.hex()}",
                      request(fields=[b"^X: a", b"^" + space + b"b"]))
        yield blocked(f"H05-first-{space.hex()}",
                      request(b"evil.test", fields=[b"^" + space + b"Host: allowed.test"]))
        yield blocked(f"H05-colon-{space.hex()}",
                      request(None, fields=[b"Host" + space + b": allowed.test"]))
        yield blocked(f"H05-colon-twice-{space.hex()}",
                      request(fields=[b"^Host" + space + b": evil.test"]))
        yield blocked(f"H05-name-{space.hex()}", request(fields=[b"A" + space + b"B: c"]))
        yield blocked(f"H05-blank-line-{space.hex()}", request(fields=[space]))
    for field in b": x", b"", b"no colon", b"Host", b"(x): y", b"a/b: c", b"a@b: c", b"\xffx: y":
        yield blocked(f"H05-field-{field.hex()}", request(fields=[b"^" + field]))
    letters = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + TOKENS)
    for byte in set(range(256)) - letters - set(b":\r\n"):
        yield blocked(f"H05-name-byte-{byte:02x}", request(fields=[b"X" + bytes([byte]) + b"Y: z"]))
    yield passes("H05-tokens", request(fields=[TOKENS + b": x"]))


def absolute():                                         # H06
    for target in b"http://allowed.test/", b"http://allowed.test", b"http://allowed.test/a?b", \
            b"http://allowed.test?b", b"HTTP://allowed.test/", b"http://ALLOWED.test/":
        yield passes(f"H06-{target.decode()}", request(line=b"GET " + target + b" HTTP/1.1"))
    for target in b"http://evil.test/", b"http://allowed.test@evil.test/", b"http:///", \
            b"http://evil.test@allowed.test/", b"http://allowed.test:8080/", b"http://", \
            b"http://allowed.test.evil.test/", b"https://allowed.test/", b"ftp://allowed.test/", \
            b"http:/allowed.test/", b"http:allowed.test", b"//evil.test", b"allowed.test/", \
            b"allowed.test:80", b"http://allowed.test\\@evil.test/", b"http://allowed.test#@x/", \
            b"http://allowed.test./", b"http://[::1]/", b"ws://allowed.test/", b"?x", b"#", b"a":
        if not target.startswith(b"//"):
            yield blocked(f"H06-bad-{target.decode()}",
                          request(line=b"GET " + target + b" HTTP/1.1"))
    yield blocked("H06-evil-host", request(b"evil.test", b"GET http://allowed.test/ HTTP/1.1"))
    yield blocked("H06-no-host", request(None, b"GET http://allowed.test/ HTTP/1.1"))
    yield passes("H06-path-like", request(line=b"GET //evil.test/ HTTP/1.1"))
    yield passes("H06-path-url", request(line=b"GET /http://evil.test/ HTTP/1.1"))
    yield passes("H06-both", request(b"evil.test", b"GET http://evil.test/ HTTP/1.1"), "evil.test")


def connect():                                          # H07
    for target in b"evil.test:443", b"allowed.test:443", b"allowed.test", b"/", b"*":
        for method in b"CONNECT", b"connect":
            yield blocked(f"H07-{method.decode()}-{target.decode()}",
                          request(line=method + b" " + target + b" HTTP/1.1"))


def switches():                                         # H08
    good, evil = request(), request(b"evil.test")
    bodies = {"none": good, "length": post(b"Content-Length: 4", body=b"body"),
              "empty": post(b"Content-Length: 0"), "head": request(line=b"HEAD / HTTP/1.1"),
              "chunked": chunked(b"4\r\nbody\r\n0\r\n\r\n"),
              "trailers": chunked(b"4\r\nbody\r\n0\r\nX: y\r\n\r\n"),
              "like-a-request": post(b"Content-Length: %d" % len(evil), body=evil),
              "http10": request(line=b"GET / HTTP/1.0"),
              "close": request(fields=[b"Connection: close"])}
    for kind, first in bodies.items():
        both = "allowed.test", "evil.test"
        yield passes(f"H08-{kind}", first + evil, *both)
        yield passes(f"H08-{kind}-late", first + evil, *both, segments=[len(first), IN_FULL])
        yield passes(f"H08-{kind}-bytes", first + evil, *both, segments=[1] * 300)
        yield passes(f"H08-{kind}-twice", first + first + good + evil, *["allowed.test"] * 3,
                     "evil.test")
        yield blocked(f"H08-{kind}-then-hostless", first + request(None), "allowed.test")
        yield blocked(f"H08-{kind}-then-connect", first + request(
            line=b"CONNECT evil.test:443 HTTP/1.1"), "allowed.test")
        yield blocked(f"H08-{kind}-then-noise", first + b"\x16\3\1\0\5", "allowed.test")
    yield passes("H08-back", evil + good + evil, "evil.test", "allowed.test", "evil.test")
    yield passes("H08-2000", good * 2000 + evil, *["allowed.test"] * 2000, "evil.test")
    yield passes("H08-three", good + evil + request(b"third.test"), "allowed.test", "evil.test",
                 "third.test")


def encodings():                                        # H09
    body = b"3\r\nabc\r\n0\r\n\r\n"
    for length in 0, 3, len(body):
        field = b"Content-Length: %d" % length
        yield blocked(f"H09-length-first-{length}",
                      post(field, b"Transfer-Encoding: chunked", body=body))
        yield blocked(f"H09-length-last-{length}",
                      post(b"Transfer-Encoding: chunked", field, body=body))
    for coding in b"xchunked", b"chunked, identity", b"identity, chunked", b"\x0bchunked", \
            b"chunked\x00", b'"chunked"', b"chunked;q=1", b"chunked, chunked", b"identity", \
            b"gzip", b"", b",chunked", b"chunked,", b"chun ked", b"chunke", b"deflate, chunked", \
            b"cow", b"chunked chunked", b"\xffchunked":
        yield blocked(f"H09-{coding.hex()}", post(b"Transfer-Encoding: " + coding, body=body))
    for coding in b"Chunked", b"CHUNKED", b" chunked", b"chunked  ", b"\tchunked\t":
        yield passes(f"H09-good-{coding.hex()}", post(b"Transfer-Encoding: " + coding, body=body))
    yield blocked("H09-twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                    body=body))
    yield blocked("H09-and-identity", post(b"Transfer-Encoding: chunked",
                                           b"Transfer-encoding: identity", body=body))
    yield blocked("H09-space", post(b"Transfer-Encoding : chunked", body=body))
    yield blocked("H09-folded", post(b"Transfer-Encoding:", b" chunked", body=body))
    yield blocked("H09-http10", request(line=b"POST / HTTP/1.0",
                                        fields=[b"Transfer-Encoding: chunked"], body=body))
    yield passes("H09-look-alike", post(b"Transfer_Encoding: chunked", b"X-Transfer-Encoding: y"))


def body_lengths():                                     # H10
    for length in b"+5", b"-5", b"5 5", b"0x5", b"5,5", b"5;", b"5.0", b"", b"five", b"5e0", \
            b"9" * 20, b"18446744073709551616", b"18446744073709551621", b"5\x00", b"5, 6", \
            b"\xb2", b"5_0":
        yield blocked(f"H10-{length.hex()}", post(b"Content-Length: " + length, body=b"abcde"))
    for other in b"5", b"6", b"0", b"":
        yield blocked(f"H10-twice-{other.decode()}", post(
            b"Content-Length: 5", b"Content-Length: " + other, body=b"abcde"))
    for length in b" 5", b"5 ", b"\t5\t":
        yield passes(f"H10-good-{length.hex()}", post(b"Content-Length: " + length, body=b"abcde"))
    yield passes("H10-zeros", post(b"Content-Length: 005", body=b"abcde"), lenient=True)
    for method in b"GET", b"HEAD", b"OPTIONS", b"DELETE":
        inner = request(b"evil.test")
        yield passes(f"H10-body-of-{method.decode()}", request(
            line=method + b" / HTTP/1.1", fields=[b"Content-Length: %d" % len(inner)], body=inner))
    yield blocked("H10-short", post(b"Content-Length: 4", body=b"abcdX"), "allowed.test",
                  lenient=True)                 # "X" may begin a method
    yield passes("H10-unfinished", post(b"Content-Length: 100", body=b"abc"))


def chunks():                                           # H11
    end = b"\r\n0\r\n\r\n"
    for name, body in {
            "extension": b"3;a=b\r\nabc" + end, "quoted": b'3;a="b;c"\r\nabc' + end,
            "zeros": b"0003\r\nabc" + end, "upper": b"A\r\n0123456789" + end,
            "lower": b"a\r\n0123456789" + end, "none": b"0\r\n\r\n",
            "two": b"1\r\na\r\n2\r\nbc" + end,
            "last-zeros": b"3\r\nabc\r\n000\r\n\r\n", "inside": b"7\r\n\r\n0\r\n\r\n" + end,
            "trailers": b"0\r\nA: b\r\nX-Host: c\r\n\r\n",
            "unfinished": b"3\r\nabc\r\n0\r\n"}.items():
        yield passes(f"H11-{name}", chunked(body))
    for size in b"3 ", b" 3", b"0x3", b"-3", b"+3", b"f" * 16, b"f" * 17, b"g", b"", b"3 ;a", \
            b"3\t", b"3,", b"3_0", b"\xef\xbc\x93", b"3\x00", b"8000000000000000", b";a", b"3\x0b":
        yield blocked(f"H11-size-{size.hex()}", chunked(size + b"\r\nabc" + end))
    for name, body in {
            "lf": b"3\nabc\r\n0\r\n\r\n", "cr": b"3\rabc\r\n0\r\n\r\n",
            "lf-after": b"3\r\nabc\n0\r\n\r\n",
            "nothing-after": b"3\r\nabc0\r\n\r\n", "too-long": b"3\r\nabcd\r\n0\r\n\r\n",
            "lf-in-extension": b"3;a\n\r\nabc\r\n0\r\n\r\n", "lf-last": b"3\r\nabc\r\n0\n\r\n",
            "cr-in-extension": b"3;a\rb\r\nabc" + end, "nul-in-extension": b"3;a\0\r\nabc" + end,
            "long-extension": b"3;" + b"a" * 5000 + b"\r\nabc" + end,
            "crlf-first": b"\r\n3\r\nabc" + end}.items():
        yield blocked(f"H11-{name}", chunked(body))
    for field in b"Host: evil.test", b"host: allowed.test", b"Content-Length: 5", b" folded", \
            b"Transfer-Encoding: chunked", b"Upgrade: websocket", b"no colon", b"A : b", b": c", \
            b"Connection: close", b"A: b\nHost: evil.test", b"A: \0", b"A: b\rB: c", b"X" * 9000:
        yield blocked(f"H11-trailer-{field[:30].hex()}",
                      chunked(b"3\r\nabc\r\n0\r\n" + field + b"\r\n\r\n"))


def line_ends():                                        # H12
    yield blocked("H12-lf", request().replace(b"\r\n", b"\n"))
    data = request(fields=[b"^A: b", b"C: d"])
    ends = [at for at in range(len(data)) if data.startswith(b"\r\n", at)]
    for at in ends:
        yield blocked(f"H12-lf-{at}", data[:at] + data[at + 1:])
        yield blocked(f"H12-crcrlf-{at}", data[:at] + b"\r" + data[at:])
        yield blocked(f"H12-lflf-{at}", data[:at] + b"\n\n" + data[at + 2:])
        yield blocked(f"H12-lfcr-{at}", data[:at] + b"\n\r" + data[at + 2:])
    for byte in set(range(32)) - set(b"\t") | {127}:
        odd = bytes([byte])
        yield blocked(f"H12-value-{byte:02x}", request(fields=[b"X: a" + odd + b"b"]))
        yield blocked(f"H12-host-{byte:02x}", request(b"allowed.test" + odd + b".evil.test"))
        yield blocked(f"H12-target-{byte:02x}", request(line=b"GET /" + odd + b" HTTP/1.1"))
    yield blocked("H12-hidden-host", request(fields=[b"^X: y\nHost: evil.test"]))
    yield blocked("H12-hidden-host-cr", request(fields=[b"^X: y\rHost: evil.test"]))
    yield passes("H12-tab", request(fields=[b"X: a\tb"]))
    yield passes("H12-no-space", request(None, fields=[b"Host:allowed.test"]))
    yield passes("H12-spaces", request(b"  \t allowed.test \t"))
    yield passes("H12-utf8", request(fields=["X: bücher".encode(), b"Y: \x80\xff"]))


def request_lines():                                    # H13
    for name, line in {
            "no-version": b"GET /", "no-target": b"GET HTTP/1.1", "space-first": b" GET / HTTP/1.1",
            "two-spaces": b"GET  / HTTP/1.1", "two-spaces-late": b"GET /  HTTP/1.1", "word": b"GET",
            "tabs": b"GET\t/\tHTTP/1.1", "space-last": b"GET / HTTP/1.1 ", "empty": b"",
            "space-in-target": b"GET /a b HTTP/1.1", "method-colon": b"GET: / HTTP/1.1",
            "method-slash": b"G/T / HTTP/1.1", "method-long": b"A" * 300 + b" / HTTP/1.1",
            "method-nul": b"GE\0T / HTTP/1.1", "response": b"HTTP/1.1 200 OK",
            "target-empty": b"GET  HTTP/1.1", "asterisk": b"GET * HTTP/1.1"}.items():
        yield blocked(f"H13-{name}", request(line=line), lenient=name == "empty")
    for version in b"HTTP/1.2", b"HTTP/2.0", b"HTTP/2", b"HTTP/3", b"http/1.1", b"HTTP/1.10", \
            b"HTTP/01.1", b"HTTP/1,1", b"HTTPS/1.1", b"HTTP/0.9", b"HTTP/1", b"HTTP/1.", \
            b"HTTP/-1.1", b"HTTP/1.1x", b"XHTTP/1.1", b"HTTP 1.1", b"HTTP/1 .1", b"HTTP/11", \
            b"1.1", b"":
        yield blocked(f"H13-version-{version.decode()}", request(line=b"GET / " + version))
    yield blocked("H13-simple", b"GET /\r\n")
    yield blocked("H13-crlf-many", b"\r\n" * 50 + request())
    for byte in set(range(256)) - set(TOKENS) - set(range(48, 58)) - set(range(65, 91)) - \
            set(range(97, 123)):
        yield blocked(f"H13-first-{byte:02x}", bytes([byte]) + request(), lenient=byte == 13)


def upgrades():                                         # H14
    keys = [b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    asks = [b"Connection: Upgrade", b"Upgrade: websocket", *keys]
    good, evil = request(fields=asks), request(b"evil.test")
    yield blocked("H14-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
    yield blocked("H14-preface-with-host", request(line=b"PRI * HTTP/2.0"))
    for protocol in b"h2c", b"TLS/1.0", b"h2c, websocket", b"websocket, h2c", b"x", b"", \
            b"websocket/13", b"websocketx":
        yield blocked(f"H14-{protocol.decode()}", request(fields=[
            b"Connection: Upgrade", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABk"]))
    yield blocked("H14-two", request(fields=[*asks, b"Upgrade: h2c"]))
    yield passes("H14-websocket", good)
    yield passes("H14-list", request(fields=[b"Connection: keep-alive, Upgrade", *asks[1:]]))
    yield passes("H14-not-granted", good + evil, "allowed.test", passes=(len(good), len(good)))
    yield passes("H14-not-granted-later", request() + good + evil, "allowed.test", "allowed.test",
                 "evil.test")
    yield blocked("H14-http10", request(line=b"GET / HTTP/1.0", fields=asks), lenient=True)
    yield blocked("H14-no-connection", request(fields=asks[1:]), lenient=True)
    yield blocked("H14-body", request(fields=[*asks, b"Content-Length: 3"], body=b"abc"),
                  lenient=True)


def hosts():                                            # H15, H17
    for host in b"allowed.test:80", b"allowed.test:", b"ALLOWED.test", b"allowed.TEST:80", \
            b"allowed.test.":
        yield passes(f"H15-{host.decode()}", request(host))
    for port in b"8080", b"443", b"1", b"65535":
        yield passes(f"H15-port-{port.decode()}", request(b"allowed.test:" + port), lenient=True)
    for port in b"x", b"99999", b"65536", b"-80", b"+80", b"80x", b" 80", b"8 0", b"0x50", \
            b"80:80", b"80, evil.test", b"\xff", b"%38%30":
        yield blocked(f"H15-bad-port-{port.hex()}", request(b"allowed.test:" + port))
    for host in b"allowed.test/", b"allowed.test/evil", b"http://allowed.test", b"allowed.test?x", \
            b"allowed.test#x", b"evil.test\\@allowed.test", b"user@allowed.test", \
            b"[allowed.test]", b"@allowed.test", b"a:b@allowed.test", b"allowed.test%00", \
            b"%61llowed.test", \
            b'"allowed.test"', b"'allowed.test'", b"(allowed.test)", b"allowed..test", b"*", \
            b".allowed.test", b"*.test", b"-allowed.test", b"allowed-.test", b"a" * 64 + b".test", \
            b"a." * 130 + b"test", b"allowed.test..", b".", b"[", b"]", b"[]", b"[::1", b"::1", \
            b"allowed.test\xff", "bücher.test".encode(), b"allowed.test]", b"allowed test", \
            b"<b>.allowed.test", b"allowed.test|evil", b"allowed.test`", b"allowed,test", \
            b"a" * 9000:
        yield blocked(f"H15-bad-{host[:40].hex()}-{len(host)}", request(host))
    for host in "notallowed.test", "allowed.test.evil.test", "sub.allowed.test", "test", "a", \
            "xn--bcher-kva.allowed.test", "_x.test", "a" * 63 + ".test", "3com.test", "1.test", \
            ".".join(["b" * 49] * 5) + ".abc":
        yield passes(f"H17-{host[:40]}-{len(host)}", request(host.encode()), host)


def literals():                                         # H16
    for host, plain_host in {
            "192.0.2.1": "192.0.2.1", "192.0.2.1:80": "192.0.2.1", "[2001:db8::9]": "2001:db8::9",
            "[2001:DB8::9]:80": "2001:db8::9", "127.0.0.1": "127.0.0.1", "[::1]": "::1",
            "169.254.169.254": "169.254.169.254", "[fe80::1]": "fe80::1", "0.0.0.0": "0.0.0.0",
            "224.0.0.1": "224.0.0.1", "[::ffff:127.0.0.1]": "::ffff:127.0.0.1"}.items():
        yield passes(f"H16-{host}", request(host.encode()), plain_host)
    for host in "3221225985", "0xc0000201", "0300.0.2.1", "192.0.513", "127.1", "192.0.2.1.", \
            "0x7f.1", "1", "[fe80::1%25eth0]", "[fe80::1%eth0]", "2001:db8::9", "[2001:db8::9", \
            "[192.0.2.1]", "[::192.0.2.1.]", "192.0.2.256", "192.0.2", "192.0.2.1.1", \
            "192.0.2.01", "[v1.x]", "[:::]", "[1:2:3]", "[2001:db8::9]x", "192.0.2.1 ,x":
        yield blocked(f"H16-bad-{host}", request(host.encode()))


def sizes():                                            # H18
    for size in 4000, 4096, 9000, 16384:
        padding = b"X: " + b"y" * (size - len(request()) - 5)
        yield passes(f"H18-{size}-late-host", request(fields=[b"^" + padding]))
        yield passes(f"H18-{size}-early-host", request(fields=[padding]))
        yield passes(f"H18-{size}-target", request(line=b"GET /" + b"y" * size + b" HTTP/1.1"))
    yield passes("H18-60000", request(fields=[b"^X: " + b"y" * 60000]))
    yield passes("H18-500-fields", request(fields=[b"X-%d: y" % n for n in range(500)]))
    yield blocked("H18-cap", request(fields=[b"^X: " + b"y" * 70000]))
    yield blocked("H18-cap-lines", request(fields=[b"X-%d: y" % n for n in range(8000)]))
    yield blocked("H18-cap-target", request(line=b"GET /" + b"y" * 70000 + b" HTTP/1.1"))
    data = request(fields=[b"A: b"])
    for length in 1, 3, 4, 5, 10, 14, 15, 16, 20, 25, 34, 36, len(data) - 2, len(data) - 1:
        yield waits(f"H18-unfinished-{length}", data[:length])
    yield waits("H18-unfinished-9000", request(fields=[b"^X: " + b"y" * 10000])[:9000])
    large = bytes(range(256)) * 70
    yield passes("H18-body", post(b"Content-Length: %d" % len(large), body=large))
    yield passes("H18-chunks", chunked(b"".join(b"40\r\n" + large[at:at + 64] + b"\r\n"
                                                for at in range(0, 12800, 64)) + b"0\r\n\r\n"))


def others():                                           # H19
    yield from (blocked(f"H19-{name}", data) for name, data in {
        "ssh": b"SSH-2.0-x\r\n", "smtp": b"EHLO allowed.test\r\n", "tls": Hello().wire(),
        "rtsp": b"OPTIONS rtsp://allowed.test/ RTSP/1.0\r\nHost: allowed.test\r\n\r\n",
        "sip": b"INVITE sip:a@allowed.test SIP/2.0\r\nHost: allowed.test\r\n\r\n",
        "json": b'{"host": "allowed.test"}\r\n', "redis": b"*1\r\n$4\r\nPING\r\n",
        "proxy-v1": b"PROXY TCP4 10.0.0.1 10.0.0.2 1 80\r\n" + request(),
        "proxy-v2": bytes.fromhex("0d0a0d0a000d0a515549540a2111000c") + bytes(12) + request(),
        "socks": b"\5\1\0", "irc": b"NICK x\r\nUSER x 0 * :x\r\n", "ftp": b"USER anonymous\r\n",
        "zeros": bytes(300),
        "icap": b"REQMOD icap://allowed.test/ ICAP/1.0\r\nHost: allowed.test\r\n\r\n",
        "ssdp": b"M-SEARCH * HTTP/1.1\r\nHost: allowed.test\r\n\r\n"}.items())


def markup():                                           # H20
    for text in b"<script>", b"\x1b[31m", b"${jndi:x}", b"' OR 1=1", b"{{7*7}}", b"\xe2\x80\xae":
        yield blocked(f"H20-host-{text.hex()}", request(text + b".allowed.test"))
        clean = b" " not in text and b"\x1b" not in text
        yield (passes if clean else blocked)(
            f"H20-target-{text.hex()}", request(line=b"GET /" + text + b" HTTP/1.1"),
            lenient=clean)


ROWS = (plain, segments, hostless, two_hosts, folded, absolute, connect, switches, encodings,
        body_lengths, chunks, line_ends, request_lines, upgrades, hosts, literals, sizes, others,
        markup)


def vectors():
    return [made for row in ROWS for made in row()]
