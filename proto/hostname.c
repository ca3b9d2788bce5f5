/* hostname.c - is this text a host name, and its one comparable form.
 * ASCII only and without locale: the bytes come from the network. */
#include "proto/hostname.h"

enum { LABEL_MAX = 63 };                /* RFC 1035 2.3.4 */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex_digit(char c)
{
	return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

static bool is_label_char(char c)
{
	return is_digit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '-' ||
	       c == '_';
}

static bool label_is_good(struct str label)
{
	if (label.len == 0 || label.len > LABEL_MAX)
		return false;
	if (label.at[0] == '-' || label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++)
		if (!is_label_char(label.at[i]))
			return false;
	return true;
}

/* Would inet_aton() or a browser read this as a part of an IPv4 address?  "7", "0x7", "0x". */
static bool label_is_number(struct str label)
{
	bool hex = label.len >= 2 && label.at[0] == '0' && ascii_lower(label.at[1]) == 'x';

	for (size_t i = hex ? 2 : 0; i < label.len; i++)
		if (!(hex ? is_hex_digit(label.at[i]) : is_digit(label.at[i])))
			return false;
	return true;
}

size_t hostname_normalise(struct str text, char out[HOSTNAME_MAX + 1])
{
	struct str label = { 0 };
	size_t label_at = 0;

	if (text.len > 0 && text.at[text.len - 1] == '.')
		text.len--;
	if (text.len == 0 || text.len > HOSTNAME_MAX)
		return 0;

	for (size_t i = 0; i <= text.len; i++) {
		if (i < text.len && text.at[i] != '.')
			continue;
		label = (struct str){ text.at + label_at, i - label_at };
		if (!label_is_good(label))
			return 0;
		label_at = i + 1;
	}
	if (label_is_number(label))     /* the last one */
		return 0;

	for (size_t i = 0; i < text.len; i++)
		out[i] = ascii_lower(text.at[i]);
	out[text.len] = '\0';
	return text.len;
}
