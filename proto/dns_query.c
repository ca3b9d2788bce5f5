/* dns_query.c - the question: read from a client, and made by us.
 * A client's name is read where no pointer can be right, so its bytes are the name. */
#include "proto/dns_wire.h"

enum {
	TYPE_META_FIRST = 128,          /* to 255: TKEY, TSIG, transfers, ANY */
};

/* The host name characters of hostname.h in lower case; 0: none. */
static const char host_chars[256] = {
	['-'] = '-', ['_'] = '_',
	['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
	['7'] = '7', ['8'] = '8', ['9'] = '9',
	['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
	['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n',
	['o'] = 'o', ['p'] = 'p', ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u',
	['v'] = 'v', ['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z',
	['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g',
	['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n',
	['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',
	['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

/* "7", "0x7", "0x": what inet_aton() takes for a part of an address. */
static bool label_is_number(const char *label, size_t len)
{
	bool hex = len >= 2 && label[0] == '0' && label[1] == 'x';

	for (size_t i = hex ? 2 : 0; i < len; i++)
		if ((label[i] < '0' || label[i] > '9') &&
		    !(hex && label[i] >= 'a' && label[i] <= 'f'))
			return false;
	return true;
}

/* As dns.h promises for struct dns_query; 0: no host name. */
static size_t host_name(const uint8_t *wire, char *name)
{
	size_t used = 0, len = 0;

	for (; wire[0] != 0; wire += 1 + len) {
		len = wire[0];
		if (used > 0)
			name[used++] = '.';
		for (size_t i = 1; i <= len; i++)
			if ((name[used++] = host_chars[wire[i]]) == '\0')
				return 0;
		if (wire[1] == '-' || wire[len] == '-')
			return 0;
	}
	if (used == 0 || label_is_number(name + used - len, len))
		return 0;
	name[used] = '\0';
	return used;
}

/* Compressed it cannot be: there is no name before it. */
static void read_name(struct reader *reader, struct dns_query *query)
{
	const uint8_t *wire = reader->at;
	size_t used = 0;
	uint8_t len;

	do {
		len = read_u8(reader);
		used += 1 + (size_t)len;
		if (len > DNS_LABEL_MAX || used > DNS_NAME_MAX)
			reader->bad = true;
		(void)read_bytes(reader, len);
	} while (len != 0 && !reader->bad);
	if (reader->bad)
		return;
	memcpy(query->wire, wire, used);
	query->wire_len = (uint8_t)used;
	query->name_len = (uint8_t)host_name(query->wire, query->name);
	if (query->name_len == 0)
		query->name[0] = '\0';
}

static void read_question(struct reader *reader, struct dns_query *query)
{
	read_name(reader, query);
	query->type = read_u16(reader);
	query->class = read_u16(reader);
	if (reader->bad)
		query->wire_len = query->name_len = query->name[0] = 0;
}

/* Its options are looked at for their lengths only: none of them goes anywhere. */
static bool read_opt(const uint8_t *head, struct reader options, struct dns_query *query,
		     uint8_t *version)
{
	uint16_t size = get_u16(head);

	if (query->edns)
		return false;                   /* RFC 6891 6.1.1: at most one */
	query->edns = true;
	*version = head[3];
	query->dnssec_ok = head[4] & 0x80;
	query->udp_size = size < DNS_UDP_MIN ? DNS_UDP_MIN :
			  size > DNS_UDP_MAX ? DNS_UDP_MAX : size;
	while (reader_left(&options) > 0) {
		(void)read_u16(&options);
		(void)read_bytes(&options, read_u16(&options));
	}
	return !options.bad;
}

/* An OPT, and what else there is: a TSIG, a cookie of old.  None of it is used. */
static bool read_additional(const struct dns_message *message, struct reader *reader,
			    unsigned count, struct dns_query *query, uint8_t *version)
{
	uint8_t owner[DNS_NAME_MAX];

	for (unsigned i = 0; i < count; i++) {
		size_t at = (size_t)(reader->at - message->data);
		size_t owner_len = dns_name_read(message, &at, owner);
		const uint8_t *head;
		struct reader data;
		uint16_t type;

		if (owner_len == 0)
			return false;
		reader->at = message->data + at;
		type = read_u16(reader);
		head = read_bytes(reader, 6);   /* class, TTL */
		data = read_block(reader, read_u16(reader));
		if (data.bad)
			return false;
		if (type == DNS_TYPE_OPT && (owner_len != 1 ||
					     !read_opt(head, data, query, version)))
			return false;
	}
	return true;
}

static bool type_is_asked(uint16_t type)
{
	return type == DNS_TYPE_ANY || (type != 0 && type != DNS_TYPE_OPT &&
					(type < TYPE_META_FIRST || type > DNS_TYPE_ANY));
}

enum dns_verdict dns_query_parse(const uint8_t *data, size_t len, struct dns_query *query)
{
	struct dns_message message = { data, len };
	struct reader reader = { .at = data, .end = data + len };
	unsigned questions, answers, authorities, additional;
	uint8_t version = 0;

	query->wire_len = query->name_len = query->name[0] = 0;
	query->type = query->class = 0;
	query->edns = query->dnssec_ok = false;
	query->udp_size = DNS_UDP_MIN;
	query->id = read_u16(&reader);
	query->flags = read_u16(&reader);
	query->rd = query->flags & DNS_FLAG_RD;
	query->cd = query->flags & DNS_FLAG_CD;
	questions = read_u16(&reader);
	answers = read_u16(&reader);
	authorities = read_u16(&reader);
	additional = read_u16(&reader);
	if (reader.bad || query->flags & DNS_FLAG_QR)
		return DNS_DROP;
	if (questions == 1)
		read_question(&reader, query);
	if (query->flags & DNS_FLAGS_OPCODE)
		return DNS_NOTIMP;
	if (questions != 1 || reader.bad || answers > 0 || authorities > 0 ||
	    !read_additional(&message, &reader, additional, query, &version))
		return DNS_FORMERR;
	if (version != 0)
		return DNS_BADVERS;
	if (query->class != DNS_CLASS_IN || !type_is_asked(query->type))
		return DNS_REFUSED;
	return DNS_ASK;
}

uint16_t dns_verdict_rcode(enum dns_verdict verdict)
{
	switch (verdict) {
	case DNS_FORMERR: return DNS_RCODE_FORMERR;
	case DNS_NOTIMP: return DNS_RCODE_NOTIMP;
	case DNS_BADVERS: return DNS_RCODE_BADVERS;
	default: return DNS_RCODE_REFUSED;
	}
}

size_t dns_question_build(const struct dns_question *question, bool edns,
			  uint8_t out[DNS_QUESTION_MAX])
{
	struct dns_writer writer = { .data = out, .size = DNS_QUESTION_MAX };

	write_u16(&writer, question->id);
	write_u16(&writer, DNS_FLAG_RD);
	write_u16(&writer, 1);
	write_u32(&writer, 0);
	write_u16(&writer, edns);
	write_bytes(&writer, question->name, question->name_len);
	write_u16(&writer, question->type);
	write_u16(&writer, DNS_CLASS_IN);
	if (edns) {
		write_bytes(&writer, "", 1);
		write_u16(&writer, DNS_TYPE_OPT);
		write_u16(&writer, DNS_UDP_MAX);
		write_u32(&writer, 0);
		write_u16(&writer, 0);
	}
	return writer.at;
}

enum dns_match dns_response_match(const uint8_t *data, size_t len,
				  const struct dns_question *question)
{
	struct reader reader = { .at = data, .end = data + len };
	uint16_t id = read_u16(&reader), flags = read_u16(&reader), count = read_u16(&reader);
	const uint8_t *name;

	(void)read_bytes(&reader, DNS_HEADER_LEN - 6);
	name = read_bytes(&reader, question->name_len);
	if (read_u16(&reader) != question->type || read_u16(&reader) != DNS_CLASS_IN ||
	    reader.bad || id != question->id || !(flags & DNS_FLAG_QR) ||
	    flags & DNS_FLAGS_OPCODE || count != 1)
		return DNS_MATCH_NO;
	if (memcmp(name, question->name, question->name_len) == 0)
		return DNS_MATCH_YES;
	for (size_t i = 0; i < question->name_len; i++)
		if (ascii_lower((char)name[i]) != ascii_lower((char)question->name[i]))
			return DNS_MATCH_NO;
	return DNS_MATCH_CASE;
}
