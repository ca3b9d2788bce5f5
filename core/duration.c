/* duration.c - durations in Go's syntax. */
#include "core/duration.h"

#include <inttypes.h>
#include <stdio.h>

#define NS_PER_S UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_MAX ((uint64_t)INT64_MAX)    /* Go's own limit */

static const struct unit {
	struct str text;
	uint64_t ns;
} units[] = {
	{ STR("ns"), 1 },
	{ STR("us"), 1000 },
	{ STR("\u00b5s"), 1000 },       /* micro sign */
	{ STR("\u03bcs"), 1000 },       /* Greek mu */
	{ STR("ms"), NS_PER_MS },
	{ STR("s"), NS_PER_S },
	{ STR("m"), 60 * NS_PER_S },
	{ STR("h"), 3600 * NS_PER_S },
};

static struct str take_digits(struct str *text)
{
	struct str digits = { text->at, 0 };

	while (digits.len < text->len && text->at[digits.len] >= '0' && text->at[digits.len] <= '9')
		digits.len++;
	text->at += digits.len;
	text->len -= digits.len;
	return digits;
}

/* The letters up to the next number. */
static struct str take_unit(struct str *text)
{
	struct str name = { text->at, 0 };

	while (name.len < text->len && text->at[name.len] != '.' &&
	       (text->at[name.len] < '0' || text->at[name.len] > '9'))
		name.len++;
	text->at += name.len;
	text->len -= name.len;
	return name;
}

static uint64_t unit_ns(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_equal(units[i].text, name))
			return units[i].ns;
	return 0;
}

/* Add whole.fraction units to *ns; false when that is too long. */
static bool add(uint64_t *ns, struct str whole, struct str fraction, uint64_t unit)
{
	uint64_t count = 0, step = unit;

	for (size_t i = 0; i < whole.len; i++) {
		uint64_t digit = (uint64_t)(whole.at[i] - '0');

		if (count > (NS_MAX / unit - digit) / 10)
			return false;
		count = count * 10 + digit;
	}
	count *= unit;
	for (size_t i = 0; i < fraction.len; i++) {
		step /= 10;
		count += step * (uint64_t)(fraction.at[i] - '0');
	}
	if (count > NS_MAX - *ns)
		return false;
	*ns += count;
	return true;
}

bool duration_parse(struct str text, uint64_t *ms)
{
	uint64_t ns = 0;
	bool first = true;

	if (text.len == 0)
		return false;
	while (text.len > 0) {
		struct str whole = take_digits(&text), fraction = { "", 0 }, name;
		uint64_t unit;

		if (text.len > 0 && text.at[0] == '.') {
			text.at++;
			text.len--;
			fraction = take_digits(&text);
		}
		if (whole.len + fraction.len == 0)
			return false;
		name = take_unit(&text);
		unit = name.len == 0 && first && text.len == 0 ? NS_PER_S : unit_ns(name);
		if (unit == 0 || !add(&ns, whole, fraction, unit))
			return false;
		first = false;
	}
	*ms = ns / NS_PER_MS + (ns % NS_PER_MS != 0);
	return true;
}

const char *duration_format(uint64_t ms, char out[DURATION_TEXT_MAX])
{
	uint64_t number = ms;
	const char *unit = "ms";

	if (ms % 1000 == 0) {
		number = ms / 1000;
		unit = "s";
	}
	if (ms != 0 && ms % 60000 == 0) {
		number = ms / 60000;
		unit = "m";
	}
	if (ms != 0 && ms % 3600000 == 0) {
		number = ms / 3600000;
		unit = "h";
	}
	snprintf(out, DURATION_TEXT_MAX, "%" PRIu64 "%s", number, unit);
	return out;
}
