/* dns_wire.h - what the files of dns.h share: the header's bits, names in messages, a writer.
 * A writer that is full stays full, as a reader that is bad stays bad. */
#ifndef PROTO_DNS_WIRE_H
#define PROTO_DNS_WIRE_H

#include "proto/dns.h"
#include "proto/reader.h"

enum {
	DNS_HEADER_LEN = 12,
	DNS_LABEL_MAX = 63,
	DNS_POINTER = 0xc0,
	DNS_RECORD_LEN = 12,            /* of a record of ours before its data: a pointer owns it */
	DNS_OPT_LEN = 11,
	DNS_CLASS_IN = 1,
};

/* The header's second word. */
enum {
	DNS_FLAG_QR = 0x8000, DNS_FLAGS_OPCODE = 0x7800, DNS_FLAG_TC = 0x0200, DNS_FLAG_RD = 0x0100,
	DNS_FLAG_RA = 0x0080, DNS_FLAG_CD = 0x0010, DNS_FLAGS_RCODE = 0x000f,
};

/* SvcParamKeys, RFC 9460 14.3.2. */
enum {
	DNS_SVCB_MANDATORY = 0, DNS_SVCB_ALPN = 1, DNS_SVCB_NO_DEFAULT_ALPN = 2, DNS_SVCB_PORT = 3,
	DNS_SVCB_IPV4HINT = 4, DNS_SVCB_IPV6HINT = 6,
};

struct dns_message {
	const uint8_t *data;
	size_t len;
};

struct dns_writer {
	uint8_t *data;
	size_t at, size;
	bool full;
};

static inline uint16_t get_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)get_u16(at) << 16 | get_u16(at + 2);
}

static inline void set_u16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static inline void set_u32(uint8_t *at, uint32_t value)
{
	set_u16(at, value >> 16);
	set_u16(at + 2, value & 0xffff);
}

static inline uint32_t read_u32(struct reader *reader)
{
	uint32_t high = read_u16(reader);

	return high << 16 | read_u16(reader);
}

static inline void write_bytes(struct dns_writer *writer, const void *bytes, size_t len)
{
	if (writer->full || len > writer->size - writer->at) {
		writer->full = true;
		return;
	}
	memcpy(writer->data + writer->at, bytes, len);
	writer->at += len;
}

static inline void write_u16(struct dns_writer *writer, unsigned value)
{
	write_bytes(writer, (uint8_t[]){ (uint8_t)(value >> 8), (uint8_t)value }, 2);
}

static inline void write_u32(struct dns_writer *writer, uint32_t value)
{
	write_u16(writer, value >> 16);
	write_u16(writer, value & 0xffff);
}

/* Of a well-formed name on the wire. */
static inline size_t dns_name_len(const uint8_t *wire)
{
	size_t at = 0;

	while (wire[at] != 0)
		at += 1 + (size_t)wire[at];
	return at + 1;
}

/* The name at *at of a message, behind any pointers, in lower case to wire.  *at goes behind it, in
 * place.  Returns its length, 0: malformed. */
size_t dns_name_read(const struct dns_message *message, size_t *at, uint8_t wire[DNS_NAME_MAX]);

/* Where the header counts the records of a section. */
enum { DNS_ANSWERS = 6, DNS_AUTHORITIES = 8, DNS_ADDITIONALS = 10 };

/* An empty answer to a name in lower case. */
void dns_records_start(struct dns_records *records, const uint8_t *wire, size_t wire_len,
		       uint16_t type);
/* Behind what the records have: a record's head, owned by the name at owner_at; data follow. */
struct dns_writer dns_record_begin(struct dns_records *records, size_t owner_at, uint16_t type,
				   uint32_t ttl_s);
/* The data are written.  false: the writer was full, and it is as if the record never was. */
bool dns_record_end(struct dns_records *records, const struct dns_writer *writer,
		    unsigned section);

enum dns_data { DNS_DATA_GOOD, DNS_DATA_USELESS, DNS_DATA_BAD };

/* A record's data, by its type: checked, names expanded and in lower case. */
enum dns_data dns_data_copy(const struct dns_message *message, uint16_t type, size_t at, size_t len,
			    struct dns_writer *writer);
/* The same of SVCB and HTTPS: of the parameters, those that dns_response_parse() leaves.
 * DNS_DATA_USELESS: those that are gone were mandatory. */
enum dns_data dns_svcb_copy(const uint8_t *data, size_t len, struct dns_writer *writer);
/* In data that dns_svcb_copy() wrote: */
size_t dns_svcb_params_at(const uint8_t *data);
/* Hints that keep() refuses go; addr->ttl_s is set.  Returns the new length, 0: a mandatory
 * parameter is gone. */
size_t dns_svcb_vet(uint8_t *data, size_t len, struct dns_addr *addr, dns_keep_fn *keep,
		    void *context, unsigned *gone);

#endif
