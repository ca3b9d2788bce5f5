/* dns.h - DNS messages: what a client asks, what we ask, what came back, what we answer.
 * Follows RFC 1035 4.1, 2181 8 (TTL), 2308 5 (how long "no" holds), 4343 (case), 6891 (EDNS), 8914
 * (extended errors), 9267 (what parsers get wrong), 9460 (SVCB, HTTPS).
 *
 *   client  --dns_query_parse()-->  struct dns_query  --(policy)-->  struct dns_question
 *           --dns_question_build()-->  upstream  --dns_response_match(), dns_response_parse()-->
 *           struct dns_records (kept in a cache)  --dns_answer_build()-->  client
 *
 * Nothing of a client's message but name, type and RD reaches a question of ours; nothing of an
 * upstream's but the records that belong to the name reaches an answer.  A name "on the wire" is
 * labels with their lengths, uncompressed, with the empty label at its end: 1 to 255 bytes. */
#ifndef PROTO_DNS_H
#define PROTO_DNS_H

#include "proto/str.h"

enum {
	DNS_NAME_MAX = 255,             /* RFC 1035 2.3.4, on the wire */
	DNS_TEXT_MAX = 4 * DNS_NAME_MAX, /* the same as text with \ddd, and a NUL */
	DNS_UDP_MIN = 512, DNS_UDP_MAX = 1232, /* what we send by UDP, by the client's EDNS */
	DNS_QUESTION_MAX = 12 + DNS_NAME_MAX + 4 + 11,
	DNS_ADDRS_MAX = 64,             /* of one name; more are left out */
	DNS_CHAIN_MAX = 12,             /* CNAMEs from the question to the records */
	DNS_RECORDS_MAX = 4096,         /* bytes of a prepared answer */
	DNS_ERROR_TEXT_MAX = 64,
	DNS_ANSWER_MAX = DNS_RECORDS_MAX + 11 + 6 + DNS_ERROR_TEXT_MAX,
};

enum {
	DNS_TYPE_A = 1, DNS_TYPE_NS = 2, DNS_TYPE_CNAME = 5, DNS_TYPE_SOA = 6, DNS_TYPE_PTR = 12,
	DNS_TYPE_MX = 15, DNS_TYPE_TXT = 16, DNS_TYPE_AAAA = 28, DNS_TYPE_SRV = 33,
	DNS_TYPE_OPT = 41, DNS_TYPE_SVCB = 64, DNS_TYPE_HTTPS = 65, DNS_TYPE_ANY = 255,
};

enum {
	DNS_RCODE_NONE = 0, DNS_RCODE_FORMERR = 1, DNS_RCODE_SERVFAIL = 2, DNS_RCODE_NXDOMAIN = 3,
	DNS_RCODE_NOTIMP = 4, DNS_RCODE_REFUSED = 5, DNS_RCODE_BADVERS = 16,
};

/* Extended errors, RFC 8914 4. */
enum {
	DNS_ERROR_OTHER = 0, DNS_ERROR_NOT_READY = 14, DNS_ERROR_BLOCKED = 15,
	DNS_ERROR_FILTERED = 17, DNS_ERROR_PROHIBITED = 18, DNS_ERROR_NOT_SUPPORTED = 21,
	DNS_ERROR_NO_AUTHORITY = 22, DNS_ERROR_NETWORK = 23, DNS_ERROR_INVALID_DATA = 24,
	DNS_ERROR_NONE = 0xffff,
};

/* Names and numbers as text (dns_name.c, dns_type.c) */

/* Text (dotted, a dot at its end or not, "" or "." is the root) to the wire, the case kept; any
 * byte but a dot goes into a label, there are no escapes.  Returns its length, 0: not a name. */
size_t dns_name_from_text(struct str text, uint8_t wire[DNS_NAME_MAX]);

/* A well-formed name on the wire to text for logs: lower case, no dot at its end, "." the root;
 * dots and backslashes in labels and all that does not print as \ddd.  Returns the length. */
size_t dns_name_to_text(const uint8_t *wire, char text[DNS_TEXT_MAX]);

/* A letter at byte i of a name on the wire becomes upper case where bit i is set, else lower: the
 * "0x20 bits".  Needs nothing but random bits. */
void dns_name_set_case(uint8_t *wire, size_t len, const uint8_t bits[32]);

/* "A", "HTTPS", "TYPE65399"; size at least 16. */
const char *dns_type_name(uint16_t type, char *out, size_t size);
/* The reverse, in any case.  0: none is called so. */
uint16_t dns_type_from_name(struct str name);
/* "NOERROR", "NXDOMAIN", "RCODE23"; size at least 16. */
const char *dns_rcode_name(unsigned rcode, char *out, size_t size);

/* A client's query (dns_query.c) */

enum dns_verdict {
	DNS_ASK,                        /* one question, well formed: name and type may be judged */
	DNS_DROP,                       /* a response, or shorter than a header: never answered */
	DNS_FORMERR, DNS_NOTIMP, DNS_REFUSED, DNS_BADVERS, /* answer so, dns_refusal_build() */
};

/* Self-contained.  All of it is set whatever the verdict; what could not be read is zero. */
struct dns_query {
	uint16_t id, flags;             /* the header's, as sent */
	uint16_t type, class;
	uint16_t udp_size;              /* the limit of an answer by UDP, 512 to 1232 */
	bool rd, cd, edns, dnssec_ok;
	uint8_t wire_len;               /* 0: there is no question to echo */
	uint8_t wire[DNS_NAME_MAX];     /* the name as sent: its case is echoed */
	/* The name as hostname_normalise() would have it: lower case, dotted, no dot at its end.
	 * Empty: it is no host name (the root; or a label holds a dot, a NUL, any byte but letters,
	 * digits, '-' and '_'), so that no entry of a policy may match it. */
	uint8_t name_len;
	char name[DNS_NAME_MAX];        /* ends with a NUL */
};

static inline struct str dns_query_name(const struct dns_query *query)
{
	return (struct str){ query->name, query->name_len };
}

enum dns_verdict dns_query_parse(const uint8_t *data, size_t len, struct dns_query *query);

/* A question of ours (dns_query.c) */

/* What we ask, and must see again in the response. */
struct dns_question {
	uint16_t id, type;
	uint8_t name_len;
	uint8_t name[DNS_NAME_MAX];     /* on the wire as sent; see dns_name_set_case() */
};

/* Class IN, RD set, and with edns an OPT of our own (1232 bytes, no options, DO clear).
 * Returns the length. */
size_t dns_question_build(const struct dns_question *question, bool edns,
			  uint8_t out[DNS_QUESTION_MAX]);

enum dns_match {
	DNS_MATCH_NO,                   /* forged, late, or not even a response: wait on */
	DNS_MATCH_CASE,                 /* but for the case of the name: forged, or no 0x20 there */
	DNS_MATCH_YES,
};

/* Is this a response to that question?  Header and question only: QR, opcode, id, exactly one
 * question, the name byte for byte, type and class. */
enum dns_match dns_response_match(const uint8_t *data, size_t len,
				  const struct dns_question *question);

/* Records that belong to a name (dns_response.c, dns_data.c, dns_svcb.c, dns_records.c) */

/*
 * A prepared answer: message[] is a whole response (id and flags zero, the name in lower case, no
 * OPT) of the CNAME chain in its order, then the records of the asked type at its end, then, for
 * "no", the SOA.  Self-contained and without pointers: its first dns_records_size() bytes may be
 * copied and kept anywhere.
 */
struct dns_records {
	uint16_t rcode;                 /* with EDNS' upper bits; neither 0 nor 3: a failure */
	uint16_t type;                  /* that was asked for */
	bool cut;                       /* TC: ask again by TCP; there is nothing else here then */
	bool has_ttl;                   /* false: a "no" without SOA, or a failure */
	uint8_t links;                  /* CNAMEs from the question to the records */
	uint16_t count;                 /* of the records after them; 0 with rcode 0: no such */
	uint16_t left_out;              /* records over a limit, malformed (SVCB) or refused */
	uint32_t ttl_s;                 /* the least of all, or how long "no" holds; 0: without */
	uint16_t answers_at, end_at;    /* where in message[] the records and the SOA begin */
	uint16_t len;                   /* of message[] */
	uint8_t message[DNS_RECORDS_MAX];
};

static inline size_t dns_records_size(const struct dns_records *records)
{
	return offsetof(struct dns_records, message) + records->len;
}

/*
 * Read a response to a question, when dns_response_match() said yes or DNS_MATCH_CASE.  PARSED_OK:
 * *records is set: rcode, cut, and with rcode 0 or 3 the chain from the name and only what its end
 * owns of the asked type, in class IN, whatever else the message carries and in whatever order.
 * A TTL with its top bit set is 0.  Of SVCB and HTTPS records the parameters mandatory, alpn
 * (without h3), no-default-alpn, port and the address hints are left; ech and all others are gone,
 * and a record that makes them mandatory as well; when one is malformed all are (RFC 9460 2.2).
 * PARSED_BAD: malformed, a chain too long or a loop, or too large; *records is scratch then.
 */
enum parsed dns_response_parse(const uint8_t *data, size_t len,
			       const struct dns_question *question, struct dns_records *records);

/* The same made by ourselves: for names of a hosts file, localhost, PTR of our own answers.  init
 * makes a "no such type" that lasts ttl_s (has_ttl true, no SOA). */
void dns_records_init(struct dns_records *records, const uint8_t *wire, uint16_t type,
		      uint32_t ttl_s);
/* An address of 4 bytes to A, of 16 to AAAA.  false: a wrong length, known already, or full. */
bool dns_records_add_addr(struct dns_records *records, const uint8_t *addr, size_t len,
			  uint32_t ttl_s);
/* A name (on the wire) to PTR. */
bool dns_records_add_ptr(struct dns_records *records, const uint8_t *wire, uint32_t ttl_s);

/* One record; offsets into message[]. */
struct dns_record {
	uint16_t owner_at, type, data_at, data_len;
	uint32_t ttl_s;
};

/* The next record, the chain first.  *at: 0 to begin.  false: there is none. */
bool dns_records_next(const struct dns_records *records, uint16_t *at, struct dns_record *record);

/* The name at an offset of message[], an owner's or in the data (a CNAME's target: data_at), as
 * dns_name_to_text() writes it. */
size_t dns_records_name(const struct dns_records *records, uint16_t at, char text[DNS_TEXT_MAX]);

/* An address that a client would learn from the records: of A, AAAA, or a hint of SVCB, HTTPS. */
struct dns_addr {
	bool hint;
	uint8_t len;                    /* 4 or 16 */
	uint8_t bytes[16];
	uint32_t ttl_s;
};
struct dns_addr_walk {
	uint16_t at, param_at, params_end, hint_at, hint_end; /* all 0 to begin */
	uint8_t hint_len;
	uint32_t ttl_s;
};

bool dns_records_next_addr(const struct dns_records *records, struct dns_addr_walk *walk,
			   struct dns_addr *addr);

/* Take out every address and hint that keep() refuses, as if the server had not sent it; a hint
 * parameter without addresses goes, a record without hints stays.  Returns how many went. */
typedef bool dns_keep_fn(void *context, const struct dns_addr *addr);
unsigned dns_records_vet(struct dns_records *records, dns_keep_fn *keep, void *context);

/* Answers to a client (dns_answer.c) */

/* What becomes of TTLs: each less age_s, and at most max_s. */
struct dns_age {
	uint32_t age_s, max_s;
};

/*
 * The records as an answer to a query for the same name and type: id, question, RD and CD as sent,
 * RA set, rcode of the records, every TTL less its age, an OPT of ours when the client sent one.
 * limit: query->udp_size, or 65535 by TCP; what does not fit is left out whole, with TC set.
 * Returns the length.
 */
size_t dns_answer_build(const struct dns_query *query, const struct dns_records *records,
			struct dns_age age, size_t limit, uint8_t out[DNS_ANSWER_MAX]);

/* Everything else that is answered. */
struct dns_refusal {
	uint16_t rcode;                 /* BADVERS only to queries with EDNS */
	uint16_t error;                 /* extended, told to clients with EDNS; DNS_ERROR_NONE */
	struct str text;                /* of the error, UTF-8; cut to 64 bytes; may be empty */
	bool has_soa;                   /* NXDOMAIN or "no such type", to be kept for ttl_s */
	bool zero;                      /* 0.0.0.0 to A, :: to AAAA, NXDOMAIN to others, ttl_s */
	uint32_t ttl_s;
};

/* The rcode of a verdict but DNS_ASK and DNS_DROP. */
uint16_t dns_verdict_rcode(enum dns_verdict verdict);

/* Fits 512 bytes whatever was asked.  Returns the length. */
size_t dns_refusal_build(const struct dns_query *query, const struct dns_refusal *refusal,
			 uint8_t out[DNS_ANSWER_MAX]);

#endif
