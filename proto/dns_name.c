/* dns_name.c - names in messages, and their two texts: what was meant, and what may be logged.
 * Every walk ends soon: a pointer leads before the part that it ends, 255 bytes are the limit, and
 * pointers to pointers may not be more than labels. */
#include "proto/dns_wire.h"

size_t dns_name_read(const struct dns_message *message, size_t *at, uint8_t wire[DNS_NAME_MAX])
{
	size_t from = *at, limit = from, used = 0;
	unsigned jumps = 0;             /* at most one for each label */

	while (from < message->len) {
		const uint8_t *label = message->data + from;
		size_t len = label[0];

		if (len >= DNS_POINTER) {
			if (message->len - from < 2)
				return 0;
			from = (size_t)(len & ~(size_t)DNS_POINTER) << 8 | label[1];
			if (from >= limit || from < DNS_HEADER_LEN || jumps == DNS_NAME_MAX / 2)
				return 0;
			if (jumps++ == 0)
				*at = (size_t)(label - message->data) + 2;
			limit = from;
			continue;
		}
		if (len > DNS_LABEL_MAX || len >= message->len - from ||
		    used + 1 + len > DNS_NAME_MAX)
			return 0;
		for (size_t i = 0; i <= len; i++)       /* no length looks like a letter */
			wire[used + i] = (uint8_t)ascii_lower((char)label[i]);
		used += 1 + len;
		from += 1 + len;
		if (len == 0) {
			if (jumps == 0)
				*at = from;
			return used;
		}
	}
	return 0;
}

size_t dns_name_from_text(struct str text, uint8_t wire[DNS_NAME_MAX])
{
	size_t label_at = 0;

	if (text.len > 0 && text.at[text.len - 1] == '.')
		text.len--;
	if (text.len > DNS_NAME_MAX - 2)
		return 0;
	if (text.len == 0) {
		wire[0] = 0;
		return 1;
	}
	for (size_t i = 0; i <= text.len; i++) {
		size_t len = i - label_at;

		if (i < text.len && text.at[i] != '.') {
			wire[i + 1] = (uint8_t)text.at[i];
			continue;
		}
		if (len == 0 || len > DNS_LABEL_MAX)
			return 0;
		wire[label_at] = (uint8_t)len;
		label_at = i + 1;
	}
	wire[label_at] = 0;
	return label_at + 1;
}

static size_t text_byte(char *text, uint8_t byte)
{
	if (byte > ' ' && byte < 0x7f && byte != '.' && byte != '\\') {
		text[0] = ascii_lower((char)byte);
		return 1;
	}
	text[0] = '\\';
	text[1] = (char)('0' + byte / 100);
	text[2] = (char)('0' + byte / 10 % 10);
	text[3] = (char)('0' + byte % 10);
	return 4;
}

size_t dns_name_to_text(const uint8_t *wire, char text[DNS_TEXT_MAX])
{
	size_t used = 0;

	while (wire[0] != 0) {
		if (used > 0)
			text[used++] = '.';
		for (size_t i = 1; i <= wire[0]; i++)
			used += text_byte(text + used, wire[i]);
		wire += 1 + (size_t)wire[0];
	}
	if (used == 0)
		text[used++] = '.';
	text[used] = '\0';
	return used;
}

void dns_name_set_case(uint8_t *wire, size_t len, const uint8_t bits[32])
{
	for (size_t i = 0; i < len; i++) {
		uint8_t lower = (uint8_t)ascii_lower((char)wire[i]);

		if (lower >= 'a' && lower <= 'z')       /* which no length is */
			wire[i] = bits[i / 8] >> i % 8 & 1 ? lower & 0xdf : lower;
	}
}
