/* nflog_decode.c - the first bytes of a logged packet, made an event.
 * Bytes are the workload's: nothing is believed beyond what is there. */
#include <string.h>

#include "netfilter/nflog.h"
#include "proto/reader.h"

enum {
	IPV4_HEADER = 20, IPV6_HEADER = 40,
	EXTENSIONS_MAX = 8,             /* RFC 8200 names five, each once or twice */
};

static bool kind_of_prefix(const char *prefix, enum event_kind *kind)
{
	static const struct { const char *word; enum event_kind kind; } kinds[] = {
		{ "redirect", EVENT_NFLOG_REDIRECTED },
		{ "block", EVENT_NFLOG_BLOCKED },
		{ "allow", EVENT_NFLOG_ALLOWED },
	};

	for (size_t i = 0; prefix && i < ARRAY_LEN(kinds); i++) {
		if (strcasestr(prefix, kinds[i].word)) {
			*kind = kinds[i].kind;
			return true;
		}
	}
	return false;
}

/* RFC 791 3.1.  *first: this fragment begins with the transport header. */
static void decode_v4(struct reader *reader, struct event *event, bool *first)
{
	uint8_t words = read_u8(reader) & 0x0f;
	const uint8_t *src, *dst;

	read_bytes(reader, 5);                          /* TOS, length, identification */
	*first = (read_u16(reader) & 0x1fff) == 0;      /* fragment offset */
	read_u8(reader);                                /* TTL */
	event->protocol = read_u8(reader);
	read_u16(reader);                               /* checksum */
	src = read_bytes(reader, 4);
	dst = read_bytes(reader, 4);
	if (reader->bad || words * 4 < IPV4_HEADER) {
		reader->bad = true;
		return;
	}
	event->src.v4.sin_family = event->dst.v4.sin_family = AF_INET;
	memcpy(&event->src.v4.sin_addr, src, 4);
	memcpy(&event->dst.v4.sin_addr, dst, 4);
	if (!read_bytes(reader, words * 4u - IPV4_HEADER)) {
		reader->bad = false;                    /* options cut off, and ports with them */
		*first = false;
	}
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_AH;
}

/* Go past the extension headers (RFC 8200 4, RFC 4302 2).  Where they are cut off or too many,
 * the protocol stays that of the first one not understood, without ports. */
static void skip_extensions(struct reader *reader, struct event *event, bool *first)
{
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(event->protocol); i++) {
		uint8_t type = event->protocol, next = read_u8(reader), len = read_u8(reader);
		uint16_t fragment = read_u16(reader);
		size_t rest = type == IPPROTO_FRAGMENT ? 4
			    : type == IPPROTO_AH ? (len + 2u) * 4 - 4
			    : (len + 1u) * 8 - 4;

		if (!read_bytes(reader, rest))
			break;
		event->protocol = next;
		if (type == IPPROTO_FRAGMENT && fragment >> 3 != 0) {
			*first = false;                 /* what follows is data */
			return;
		}
	}
}

static void decode_v6(struct reader *reader, struct event *event, bool *first)
{
	const uint8_t *src, *dst;

	read_bytes(reader, 6);                          /* class, flow label, length */
	event->protocol = read_u8(reader);
	read_u8(reader);                                /* hop limit */
	src = read_bytes(reader, 16);
	dst = read_bytes(reader, 16);
	if (reader->bad)
		return;
	*first = true;
	event->src.v6.sin6_family = event->dst.v6.sin6_family = AF_INET6;
	memcpy(&event->src.v6.sin6_addr, src, 16);
	memcpy(&event->dst.v6.sin6_addr, dst, 16);
	skip_extensions(reader, event, first);
	*first = *first && !reader->bad;
	reader->bad = false;
}

bool nflog_decode(const char *prefix, const uint8_t *packet, size_t len, struct event *event)
{
	struct reader reader = { .at = packet, .end = packet + len };
	struct event found = { .count = 1, .payload_len = (uint16_t)len };
	uint8_t version = len > 0 ? packet[0] >> 4 : 0;
	bool first = false;

	if (!kind_of_prefix(prefix, &found.kind) || len > UINT16_MAX)
		return false;
	if (version == 4)
		decode_v4(&reader, &found, &first);
	else if (version == 6)
		decode_v6(&reader, &found, &first);
	else
		return false;
	if (reader.bad)
		return false;
	if (first && (found.protocol == IPPROTO_TCP || found.protocol == IPPROTO_UDP)) {
		uint16_t src = read_u16(&reader), dst = read_u16(&reader);

		if (!reader.bad) {
			addr_set_port(&found.src, src);
			addr_set_port(&found.dst, dst);
		}
	}
	*event = found;
	return true;
}
