/* rfc3339.c - times in text. */
#include "dashboard/rfc3339.h"

#include <stdio.h>
#include <time.h>

/* Exactly count digits at *at. */
static bool take_number(struct str *text, unsigned count, unsigned *number)
{
	*number = 0;
	if (text->len < count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		if (text->at[i] < '0' || text->at[i] > '9')
			return false;
		*number = *number * 10 + (unsigned)(text->at[i] - '0');
	}
	text->at += count;
	text->len -= count;
	return true;
}

static bool take_char(struct str *text, char want)
{
	if (text->len == 0 || text->at[0] != want)
		return false;
	text->at++;
	text->len--;
	return true;
}

static bool take_fraction(struct str *text, int64_t *ns)
{
	int64_t unit = NS_PER_S / 10;
	unsigned digit;

	*ns = 0;
	if (!take_char(text, '.'))
		return true;
	if (!take_number(text, 1, &digit))
		return false;
	do {
		*ns += digit * unit;    /* digits beyond nanoseconds count nothing */
		unit /= 10;
	} while (take_number(text, 1, &digit));
	return true;
}

/* "Z" or "+02:00", and nothing behind it. */
static bool take_zone(struct str text, int *seconds)
{
	bool west = text.len > 0 && text.at[0] == '-';
	unsigned hours, minutes;

	*seconds = 0;
	if (take_char(&text, 'Z'))
		return text.len == 0;
	if (!take_char(&text, west ? '-' : '+') || !take_number(&text, 2, &hours) ||
	    !take_char(&text, ':') || !take_number(&text, 2, &minutes) || text.len > 0 ||
	    hours > 23 || minutes > 59)
		return false;
	*seconds = (int)(hours * 3600 + minutes * 60) * (west ? -1 : 1);
	return true;
}

bool rfc3339_parse(struct str text, int64_t *time_ns)
{
	unsigned year, month, day, hour, minute, second;
	struct tm tm = { 0 }, back;
	int64_t fraction;
	time_t at;
	int zone;

	if (!take_number(&text, 4, &year) || !take_char(&text, '-') ||
	    !take_number(&text, 2, &month) || !take_char(&text, '-') ||
	    !take_number(&text, 2, &day) || !take_char(&text, 'T') ||
	    !take_number(&text, 2, &hour) || !take_char(&text, ':') ||
	    !take_number(&text, 2, &minute) || !take_char(&text, ':') ||
	    !take_number(&text, 2, &second) || !take_fraction(&text, &fraction) ||
	    !take_zone(text, &zone))
		return false;
	if (year < 1970 || year > 2261 || month < 1 || month > 12 || hour > 23 || minute > 59 ||
	    second > 59)
		return false;
	tm.tm_year = (int)year - 1900;
	tm.tm_mon = (int)month - 1;
	tm.tm_mday = (int)day;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)minute;
	tm.tm_sec = (int)second;
	at = timegm(&tm);
	/* The 30th of February would have become the 2nd of March. */
	gmtime_r(&at, &back);
	if (back.tm_mday != (int)day)
		return false;
	at -= zone;
	if (at < 0)
		return false;
	*time_ns = (int64_t)at * NS_PER_S + fraction;
	return true;
}

const char *rfc3339_format(int64_t time_ns, char out[RFC3339_TEXT_MAX])
{
	time_t at = (time_t)(time_ns / NS_PER_S);
	unsigned fraction = (unsigned)(time_ns % NS_PER_S);
	struct tm tm;
	size_t len;

	gmtime_r(&at, &tm);
	len = strftime(out, RFC3339_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	if (fraction > 0) {
		snprintf(out + len, RFC3339_TEXT_MAX - len, ".%09u", fraction);
		len += 10;
		while (out[len - 1] == '0')
			len--;
	}
	out[len] = 'Z';
	out[len + 1] = '\0';
	return out;
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t clock_now_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t clock_steady_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}
