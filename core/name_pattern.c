/* name_pattern.c - what the user wrote in a list of names, checked and made comparable.
 * Plain names go through hostname_normalise(), as names off the wire do; labels in Unicode are
 * converted first (UTS-46, non-transitional), each on its own, so that a neighbour such as
 * "r3---sn" does not have to be good IDNA. */
#include "core/names.h"

#include <idn2.h>
#include <stdlib.h>

#include "core/addr.h"
#include "proto/hostname.h"

enum { UNICODE_NAME_MAX = 1000 };       /* bytes; what is longer cannot become 253 of ASCII */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str trimmed(struct str text)
{
	while (text.len > 0 && is_blank(text.at[0]))
		text = (struct str){ text.at + 1, text.len - 1 };
	while (text.len > 0 && is_blank(text.at[text.len - 1]))
		text.len--;
	return text;
}

static bool has(struct str text, const char *word)
{
	return memmem(text.at, text.len, word, strlen(word)) != NULL;
}

static bool is_name_char(char c)
{
	c = ascii_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

static bool is_ascii(struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] >= 0x80)
			return false;
	return true;
}

/* Why hostname_normalise() refused this text: the first thing a reader should look at. */
static const char *what_is_wrong(struct str name)
{
	const char *colon = memchr(name.at, ':', name.len);
	struct addr_range range;

	if (name.len == 0)
		return "there is no name";
	if (has(name, "://"))
		return "it is a URL; write the host name alone";
	if (addr_range_parse(name, &range))
		return "it is an address; addresses go into the list of ips";
	if (colon)
		return "there is a colon in it, and no port behind that";
	if (has(name, "/"))
		return "a name has no slash; write the host name alone (regexes are /so/)";
	if (has(name, ","))
		return "there is a comma in it; one name an entry";
	for (size_t i = 0; i < name.len; i++)
		if (is_blank(name.at[i]))
			return "there is a blank in it; one name an entry";
	if (name.at[0] == '.')
		return "it begins with a dot; every name below a domain is \"*.example.com\"";
	if (has(name, ".."))
		return "it has an empty label (two dots)";
	if (name.len > HOSTNAME_MAX + 1)
		return "it is longer than 253 bytes";
	for (size_t i = 0, label = 0; i < name.len; i++) {
		label = name.at[i] == '.' ? 0 : label + 1;
		if (!is_name_char(name.at[i]))
			return "only letters, digits, '-', '_' and dots are good";
		if (label > 63)
			return "a label (between dots) is longer than 63 bytes";
	}
	if (name.at[0] == '-' || name.at[name.len - 1] == '-' || has(name, ".-") || has(name, "-."))
		return "a label (between dots) begins or ends with '-'";
	return "its last label looks like a number, as in an address";
}

/* Append the ASCII form of one label (or several, where Unicode's own full stops divide it). */
static bool append_label(struct str label, char *out, size_t size, size_t *len, const char **why)
{
	char copy[UNICODE_NAME_MAX + 1], *converted = NULL;
	struct str ascii = label;
	int err = IDN2_OK;

	if (!is_ascii(label)) {
		memcpy(copy, label.at, label.len);
		copy[label.len] = '\0';
		err = idn2_to_ascii_8z(copy, &converted, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
		if (err == IDN2_OK)
			ascii = str_of(converted);
	}
	if (err != IDN2_OK)
		*why = idn2_strerror(err);
	else if (*len + ascii.len > size)
		*why = "it is longer than 253 bytes";
	if (!*why) {
		memcpy(out + *len, ascii.at, ascii.len);
		*len += ascii.len;
	}
	idn2_free(converted);
	return !*why;
}

/* Unicode to ASCII, label by label; 0 with *why set when it cannot be. */
static size_t to_ascii(struct str name, char *out, size_t size, const char **why)
{
	size_t len = 0;

	*why = NULL;
	if (name.len > UNICODE_NAME_MAX || memchr(name.at, '\0', name.len)) {
		*why = "it is too long, or has a zero byte";
		return 0;
	}
	while (name.len > 0) {
		const char *dot = memchr(name.at, '.', name.len);
		struct str label = { name.at, dot ? (size_t)(dot - name.at) : name.len };

		if (!append_label(label, out, size - 1, &len, why))
			return 0;
		if (dot)
			out[len++] = '.';
		label.len += dot != NULL;
		name = (struct str){ name.at + label.len, name.len - label.len };
	}
	return len;
}

/* The normalised name; false with *why set. */
static bool name_parse(struct str name, char out[HOSTNAME_MAX + 1], const char **why)
{
	char ascii[HOSTNAME_MAX + 2];
	size_t len;

	if (name.len == 0) {
		*why = "there is no name";
		return false;
	}
	if (!is_ascii(name)) {
		len = to_ascii(name, ascii, sizeof(ascii), why);
		if (len == 0)
			return false;
		name = (struct str){ ascii, len };
	}
	if (hostname_normalise(name, out) == 0) {
		*why = what_is_wrong(name);
		return false;
	}
	return true;
}

/* "a.*.example", "ex*ample.com" as spec g0efilter 3.3 has them. */
static enum name_pattern inner_wildcard_parse(struct str text, const char **why)
{
	if (text.len > 0 && text.at[text.len - 1] == '.')
		text.len--;
	*why = NULL;
	if (text.len > HOSTNAME_MAX)
		*why = "it is longer than 253 bytes";
	else if (has(text, "**"))
		*why = "one '*' is enough: it stands for any number of labels";
	else if (text.len == 0 || text.at[0] == '.' || text.at[text.len - 1] == '.' ||
		 has(text, ".."))
		*why = "it has an empty label (a dot too many)";
	else if (!has(text, "."))
		*why = "a wildcard stands before a dot: \"*.example.com\"";
	for (size_t i = 0; i < text.len && !*why; i++)
		if (text.at[i] != '*' && !is_name_char(text.at[i]))
			*why = "only letters, digits, '-', '_', dots and '*' are good";
	return *why ? NAME_INVALID : NAME_INNER_WILDCARD;
}

enum name_pattern name_pattern_parse(struct str text, char out[256], const char **why)
{
	char name[HOSTNAME_MAX + 1];
	const char *unused;
	bool suffix;

	why = why ? why : &unused;
	text = trimmed(text);
	if (str_equal(text, STR("*"))) {
		memcpy(out, "*", 2);
		return NAME_ANY;
	}
	if (text.len > 2 && text.at[0] == '/' && text.at[text.len - 1] == '/')
		return NAME_REGEX;
	suffix = text.len >= 2 && memcmp(text.at, "*.", 2) == 0;
	if (suffix)
		text = (struct str){ text.at + 2, text.len - 2 };
	if (text.len > 0 && memchr(text.at, '*', text.len))
		return inner_wildcard_parse(text, why);
	if (!name_parse(text, name, why))
		return NAME_INVALID;
	memcpy(out, "*.", 2);
	memcpy(out + (suffix ? 2 : 0), name, strlen(name) + 1);
	return suffix ? NAME_SUFFIX : NAME_EXACT;
}
