/* http.c - request heads, read in one pass, and the little we need of responses.
 * Each byte is looked at once by text_end(), which stops at the end of a line or at a byte that
 * no head may hold; a finished line is then taken apart.  Nothing is repaired: what two servers
 * could read differently is refused. */
#include "proto/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdio.h>

#include "proto/http_chars.h"

enum { METHOD_MAX = 32 };               /* the longest registered one has 17 */

/* http_head.flags */
enum { FLAG_UPGRADE = 1, FLAG_CONNECTION_UPGRADE = 2 };

/* Eight bytes at once: the lowest set bit marks the first byte (in memory) below 0x20 or equal
 * to 0x7f.  Borrows can set bits after a true hit, never before one. */
static inline uint64_t control_bits(const uint8_t *at)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	uint64_t word, del;

	memcpy(&word, at, sizeof(word));
	word = le64toh(word);
	del = word ^ (ones * 0x7f);
	return (((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & tops;
}

/* The position of the first byte from `at` on that is not text, or len. */
static size_t text_end(const uint8_t *data, size_t at, size_t len)
{
	while (len - at >= sizeof(uint64_t)) {
		uint64_t bits = control_bits(data + at);

		if (bits == 0) {
			at += sizeof(uint64_t);
			continue;
		}
		at += (size_t)__builtin_ctzll(bits) / 8;
		if (data[at] != '\t')
			return at;
		at++;
	}
	while (at < len && http_is_text(data[at]))
		at++;
	return at;
}

/* What comes before the first `stop` of text, all of it when there is none. */
static struct str str_before(struct str text, char stop)
{
	const char *found = text.len > 0 ? memchr(text.at, stop, text.len) : NULL;

	return (struct str){ text.at, found ? (size_t)(found - text.at) : text.len };
}

static struct str str_skip(struct str text, size_t len)
{
	return (struct str){ text.at + len, text.len - len };
}

/* OWS on both sides (RFC 9110 5.6.3). */
static struct str str_trim(struct str text)
{
	while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
		text = str_skip(text, 1);
	while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* How a request line begins, complete or not, so that other protocols are known by their first
 * bytes.  CONNECT asks for a tunnel to somewhere else and PRI starts HTTP/2: neither can be
 * vetted by request. */
static enum http_bad request_start(const uint8_t *data, size_t len)
{
	struct str method = { (const char *)data, 0 };

	while (method.len < len && method.len <= METHOD_MAX && http_is_token(data[method.len]))
		method.len++;
	if (method.len > METHOD_MAX)
		return HTTP_BAD_METHOD;
	if (method.len == len)
		return HTTP_BAD_NONE;
	if (method.len == 0 || data[method.len] != ' ')
		return HTTP_BAD_REQUEST_LINE;
	if (str_equal_nocase(method, STR("CONNECT")) || str_equal_nocase(method, STR("PRI")))
		return HTTP_BAD_METHOD;
	if (method.len + 1 == len)
		return HTTP_BAD_NONE;
	switch (data[method.len + 1]) {
	case '/': case '*': case 'h': case 'H':
		return HTTP_BAD_NONE;
	default:
		return HTTP_BAD_TARGET;
	}
}

/* absolute-form: remember where the authority is, to compare it with Host.  A '#' ends no
 * authority here, and so equals no Host: a target has no fragment (RFC 9112 3.2.2). */
static enum http_bad absolute_target(struct http_head *head, uint32_t at, struct str target)
{
	const struct str scheme = STR("http://");
	size_t len = 0;

	if (target.len <= scheme.len ||
	    !str_equal_nocase((struct str){ target.at, scheme.len }, scheme))
		return HTTP_BAD_TARGET;
	target = str_skip(target, scheme.len);
	while (len < target.len && target.at[len] != '/' && target.at[len] != '?')
		len++;
	if (len == 0)
		return HTTP_BAD_TARGET;
	head->authority.at = at + (uint32_t)scheme.len;
	head->authority.len = (uint32_t)len;
	return HTTP_BAD_NONE;
}

/* method SP request-target SP HTTP-version (RFC 9112 3), after request_start() found no fault. */
static enum http_bad request_line(struct http_head *head, struct str line)
{
	struct str method = str_before(line, ' ');

	if (method.len == line.len)
		return HTTP_BAD_REQUEST_LINE;

	struct str rest = str_skip(line, method.len + 1);
	struct str target = str_before(rest, ' ');

	if (target.len == 0 || target.len == rest.len)          /* HTTP/0.9 has no version */
		return HTTP_BAD_REQUEST_LINE;

	struct str version = str_skip(rest, target.len + 1);

	head->http10 = str_equal(version, STR("HTTP/1.0"));
	if (!head->http10 && !str_equal(version, STR("HTTP/1.1")))
		return HTTP_BAD_VERSION;
	if (memchr(target.at, '\t', target.len))
		return HTTP_BAD_TARGET;
	if (target.at[0] == '/')
		return HTTP_BAD_NONE;
	if (target.at[0] == '*')
		return target.len == 1 && str_equal(method, STR("OPTIONS")) ? HTTP_BAD_NONE :
									      HTTP_BAD_TARGET;
	return absolute_target(head, head->line_at + (uint32_t)method.len + 1, target);
}

/* ":" with nothing, or with 1 to 65535 without leading zeros.  The port never changes where we
 * connect, so its value is only checked. */
static bool port_is_good(struct str text)
{
	unsigned port = 0;

	if (text.at[0] != ':' || text.len > 6)
		return false;
	for (size_t i = 1; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9' || (port == 0 && text.at[i] == '0'))
			return false;
		port = port * 10 + (unsigned)(text.at[i] - '0');
	}
	return port <= 65535;
}

/* An address as text; inet_pton() takes no legacy form and no zone. */
static bool host_address(struct http_head *head, int family, struct str text)
{
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr ignored;

	if (text.len >= sizeof(copy))
		return false;
	for (size_t i = 0; i < text.len; i++)
		copy[i] = ascii_lower(text.at[i]);
	copy[text.len] = '\0';
	if (inet_pton(family, copy, &ignored) != 1)
		return false;
	memcpy(head->host, copy, text.len + 1);
	head->host_len = (uint8_t)text.len;
	head->host_is_address = true;
	return true;
}

/* Host = uri-host [ ":" port ] (RFC 9110 7.2), and nothing of what a URI allows besides. */
static bool host_value(struct http_head *head, struct str value)
{
	bool bracketed = value.len > 0 && value.at[0] == '[';
	struct str name = str_before(value, bracketed ? ']' : ':');
	struct str port = str_skip(value, name.len);

	if (bracketed) {
		if (port.len == 0)
			return false;
		port = str_skip(port, 1);
		name = str_skip(name, 1);
	}
	if (port.len > 0 && !port_is_good(port))
		return false;
	if (bracketed)
		return host_address(head, AF_INET6, name);
	head->host_len = (uint8_t)hostname_normalise(name, head->host);
	return head->host_len > 0 || host_address(head, AF_INET, name);
}

static enum http_bad host_field(struct http_head *head, const uint8_t *data, struct str value)
{
	struct str authority = { (const char *)data + head->authority.at, head->authority.len };

	if (head->host_seen)
		return HTTP_BAD_HOST;
	head->host_seen = true;
	/* RFC 9112 3.2: identical.  Not "the same after normalising": servers differ in that. */
	if (authority.len > 0 && !str_equal_nocase(authority, value))
		return HTTP_BAD_HOST;
	return host_value(head, value) ? HTTP_BAD_NONE : HTTP_BAD_HOST;
}

static enum http_bad length_field(struct http_head *head, struct str value)
{
	if (head->length_seen || head->encoding_seen || value.len == 0)
		return HTTP_BAD_FRAMING;
	head->length_seen = true;
	for (size_t i = 0; i < value.len; i++) {
		unsigned digit = (unsigned)(uint8_t)value.at[i] - '0';

		/* above 2^63 - 1 servers with signed counters would read something else */
		if (digit > 9 || head->body_len > ((uint64_t)INT64_MAX - digit) / 10)
			return HTTP_BAD_FRAMING;
		head->body_len = head->body_len * 10 + digit;
	}
	head->framing = HTTP_BODY_LENGTH;
	return HTTP_BAD_NONE;
}

/* "gzip, chunked" would be legal, but no client sends it and it is how smuggling starts. */
static enum http_bad encoding_field(struct http_head *head, struct str value)
{
	if (head->encoding_seen || head->length_seen || head->http10 ||
	    !str_equal_nocase(value, STR("chunked")))
		return HTTP_BAD_FRAMING;
	head->encoding_seen = true;
	head->framing = HTTP_BODY_CHUNKED;
	return HTTP_BAD_NONE;
}

static enum http_bad upgrade_field(struct http_head *head, struct str value)
{
	if ((head->flags & FLAG_UPGRADE) || !str_equal_nocase(value, STR("websocket")))
		return HTTP_BAD_UPGRADE;
	head->flags |= FLAG_UPGRADE;
	return HTTP_BAD_NONE;
}

static void connection_field(struct http_head *head, struct str value)
{
	for (;;) {
		struct str option = str_before(value, ',');

		if (str_equal_nocase(str_trim(option), STR("upgrade")))
			head->flags |= FLAG_CONNECTION_UPGRADE;
		if (option.len == value.len)
			return;
		value = str_skip(value, option.len + 1);
	}
}

static enum http_bad header_line(struct http_head *head, const uint8_t *data, struct str line)
{
	struct str name = { line.at, 0 };

	while (name.len < line.len && http_is_token((uint8_t)line.at[name.len]))
		name.len++;
	/* also when space comes before the colon, and when a folded line starts with it */
	if (name.len == 0 || name.len == line.len || line.at[name.len] != ':')
		return HTTP_BAD_HEADER;

	struct str value = str_trim(str_skip(line, name.len + 1));

	/* most fields are none of ours, and their length says so at once */
	switch (name.len) {
	case 4:
		if (str_equal_nocase(name, STR("Host")))
			return host_field(head, data, value);
		break;
	case 7:
		if (str_equal_nocase(name, STR("Upgrade")))
			return upgrade_field(head, value);
		break;
	case 10:
		if (str_equal_nocase(name, STR("Connection")))
			connection_field(head, value);
		break;
	case 14:
		if (str_equal_nocase(name, STR("Content-Length")))
			return length_field(head, value);
		break;
	case 17:
		if (str_equal_nocase(name, STR("Transfer-Encoding")))
			return encoding_field(head, value);
		break;
	}
	return HTTP_BAD_NONE;
}

/* The empty line.  An Upgrade that the server should ignore (RFC 9110 7.8) is refused: it might
 * not ignore it.  One with a body is too: where would the tunnel start? */
static enum http_bad head_end(struct http_head *head)
{
	if (!head->host_seen)
		return HTTP_BAD_NO_HOST;
	if (head->flags & FLAG_UPGRADE) {
		if (!(head->flags & FLAG_CONNECTION_UPGRADE) || head->http10 ||
		    head->encoding_seen || head->body_len > 0)
			return HTTP_BAD_UPGRADE;
		head->upgrade_websocket = true;
	}
	return HTTP_BAD_NONE;
}

/* What is wrong with the line from line_at that has been found to be text up to `end`; it may
 * go on.  Run before anything that may follow `end` is judged, so that the first fault wins,
 * however the bytes arrived. */
static enum http_bad line_start(const struct http_head *head, const uint8_t *data, size_t end)
{
	if (head->lines == 0)
		return request_start(data + head->line_at, end - head->line_at);
	if (end > head->line_at && !http_is_token(data[head->line_at]))
		return HTTP_BAD_HEADER;
	return HTTP_BAD_NONE;
}

static enum parsed head_bad(struct http_head *head, enum http_bad bad)
{
	head->bad = bad;
	return PARSED_BAD;
}

enum parsed http_request_head(struct http_head *head, const uint8_t *data, size_t len)
{
	if (head->bad != HTTP_BAD_NONE)
		return PARSED_BAD;
	if (len > HTTP_HEAD_MAX)
		len = HTTP_HEAD_MAX;
	assert(len >= head->scan_at);

	for (;;) {
		size_t end = text_end(data, head->scan_at, len);
		enum http_bad bad = line_start(head, data, end);
		enum http_bad bad_byte = head->lines ? HTTP_BAD_HEADER : HTTP_BAD_REQUEST_LINE;

		head->scan_at = (uint32_t)end;
		if (bad != HTTP_BAD_NONE)
			return head_bad(head, bad);
		if (len - end >= 1 && data[end] != '\r')
			return head_bad(head, bad_byte);
		if (len - end < 2)
			break;
		if (data[end + 1] != '\n')
			return head_bad(head, bad_byte);

		struct str line = { (const char *)data + head->line_at, end - head->line_at };
		bool last = line.len == 0 && head->lines > 0;

		if (last)
			bad = head_end(head);
		else if (head->lines == 0)
			bad = request_line(head, line);
		else
			bad = header_line(head, data, line);
		if (bad != HTTP_BAD_NONE)
			return head_bad(head, bad);

		head->lines++;
		head->line_at = head->scan_at = (uint32_t)end + 2;
		if (last) {
			head->len = head->line_at;
			return PARSED_OK;
		}
	}
	return len == HTTP_HEAD_MAX ? head_bad(head, HTTP_BAD_TOO_LARGE) : PARSED_MORE;
}

enum parsed http_response_status(const uint8_t *data, size_t len, unsigned *status)
{
	static const char shape[] = "HTTP/1.# ###";     /* # is a digit */
	unsigned code;

	for (size_t i = 0; i < sizeof(shape) - 1; i++) {
		if (i == len)
			return PARSED_MORE;
		if (shape[i] == '#' ? data[i] < '0' || data[i] > '9' : data[i] != shape[i])
			return PARSED_BAD;
	}
	code = (data[9] - '0') * 100U + (data[10] - '0') * 10U + (data[11] - '0');
	if (code < 100 || code > 599)
		return PARSED_BAD;
	*status = code;
	return PARSED_OK;
}

const char *http_bad_text(enum http_bad bad)
{
	static const char *const text[] = {
		[HTTP_BAD_NONE] = "",
		[HTTP_BAD_REQUEST_LINE] = "not an HTTP/1.x request line",
		[HTTP_BAD_VERSION] = "HTTP version is neither 1.0 nor 1.1",
		[HTTP_BAD_METHOD] = "method not allowed here (CONNECT, HTTP/2 or too long)",
		[HTTP_BAD_TARGET] = "malformed request target",
		[HTTP_BAD_HEADER] = "malformed header line",
		[HTTP_BAD_NO_HOST] = "no Host header",
		[HTTP_BAD_HOST] = "Host is repeated, malformed or differs from the target",
		[HTTP_BAD_FRAMING] = "ambiguous Content-Length or Transfer-Encoding",
		[HTTP_BAD_UPGRADE] = "Upgrade to something else than websocket",
		[HTTP_BAD_CHUNK] = "malformed chunked body",
		[HTTP_BAD_TOO_LARGE] = "request head or chunk framing too large",
	};

	static_assert(ARRAY_LEN(text) == HTTP_BAD_TOO_LARGE + 1, "every http_bad has a text");
	assert((size_t)bad < ARRAY_LEN(text));
	return text[bad];
}

size_t http_forbidden(char *out, size_t size, struct str host, struct str reason)
{
	static const char before[] = "Blocked by ringfence: ", between[] = " (", after[] = ").\n";
	size_t body_len = strlen(before) + host.len + strlen(between) + reason.len + strlen(after);
	int len = snprintf(out, size,
			   "HTTP/1.1 403 Forbidden\r\n"
			   "Content-Type: text/plain\r\n"
			   "Content-Length: %zu\r\n"
			   "Connection: close\r\n"
			   "\r\n"
			   "%s%.*s%s%.*s%s",
			   body_len, before, (int)host.len, host.at, between, (int)reason.len,
			   reason.at, after);

	/* a cut answer would be a lie about its length */
	return len > 0 && (size_t)len < size ? (size_t)len : 0;
}
