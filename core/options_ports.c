/* options_ports.c - port lists: "any", "none", or numbers and ranges; sorted and joined. */
#include "core/options_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "80" or "8000-8010", blanks around it cut off. */
static bool parse_port_range(struct str text, struct port_range *range)
{
	const char *dash;
	uint64_t first, last;

	while (text.len > 0 && strchr(option_blanks, text.at[0])) {
		text.at++;
		text.len--;
	}
	while (text.len > 0 && strchr(option_blanks, text.at[text.len - 1]))
		text.len--;
	dash = memchr(text.at, '-', text.len);
	if (dash == NULL) {
		if (!option_number(text.at, text.len, 1, UINT16_MAX, &first))
			return false;
		last = first;
	} else {
		size_t left = (size_t)(dash - text.at);

		if (!option_number(text.at, left, 1, UINT16_MAX, &first) ||
		    !option_number(dash + 1, text.len - left - 1, first, UINT16_MAX, &last))
			return false;
	}
	*range = (struct port_range){ (uint16_t)first, (uint16_t)last };
	return true;
}

static int by_first(const void *a, const void *b)
{
	const struct port_range *left = a, *right = b;

	return (int)left->first - (int)right->first;
}

/* Sort, and join what overlaps or touches: returns how many are left. */
static unsigned merge_ranges(struct port_range *ranges, unsigned count)
{
	unsigned kept = 0;

	qsort(ranges, count, sizeof(*ranges), by_first);
	for (unsigned i = 0; i < count; i++) {
		if (kept > 0 && ranges[i].first <= ranges[kept - 1].last + 1) {
			if (ranges[i].last > ranges[kept - 1].last)
				ranges[kept - 1].last = ranges[i].last;
		} else {
			ranges[kept++] = ranges[i];
		}
	}
	return kept;
}

int options_port_list(const char *text, struct port_range *ranges, unsigned max)
{
	unsigned count = 0;

	if (strcasecmp(text, "none") == 0)
		return 0;
	if (strcasecmp(text, "any") == 0) {
		if (max == 0)
			return -EINVAL;
		ranges[0] = (struct port_range){ 1, UINT16_MAX };
		return 1;
	}
	for (;;) {
		size_t len = strcspn(text, ",");

		if (count == max || !parse_port_range((struct str){ text, len }, &ranges[count]))
			return -EINVAL;
		count++;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	return (int)merge_ranges(ranges, count);
}
