/* route.c - from method and path to handler. */
#include "dashboard/route.h"

#include <stdio.h>

const struct route route_table[] = {
#define ROUTE(method, path, may, place, handle, body_max, summary) \
	{ method, path, may, place, handle, body_max, summary },
#include "dashboard/routes.def"
};
const size_t route_table_len = ARRAY_LEN(route_table);

/* Does path fit the pattern?  id gets the part that stands for {id}. */
static bool fits(const char *pattern, struct str path, char id[REQUEST_ID_MAX])
{
	const char *mark = strstr(pattern, "{id}");
	size_t head, tail, len;

	if (!mark)
		return str_equal(str_of(pattern), path);
	head = (size_t)(mark - pattern);
	tail = strlen(mark + 4);
	if (path.len <= head + tail || memcmp(path.at, pattern, head) != 0 ||
	    memcmp(path.at + path.len - tail, mark + 4, tail) != 0)
		return false;
	len = path.len - head - tail;
	if (len >= REQUEST_ID_MAX || memchr(path.at + head, '/', len) ||
	    memchr(path.at + head, '\0', len))
		return false;
	memcpy(id, path.at + head, len);
	id[len] = '\0';
	return true;
}

/* HEAD is answered as GET, without the body. */
static bool same_method(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

const struct route *route_find(const char *method, struct str path, char id[REQUEST_ID_MAX],
			       char allow[ROUTE_ALLOW_MAX])
{
	const struct route *own = NULL;         /* a row with these very words */
	size_t len = 0;

	allow[0] = '\0';
	for (size_t i = 0; i < route_table_len && !own; i++)
		if (str_equal(str_of(route_table[i].path), path))
			own = &route_table[i];
	for (size_t i = 0; i < route_table_len; i++) {
		const struct route *route = &route_table[i];

		if (own ? strcmp(route->path, own->path) != 0 : !fits(route->path, path, id))
			continue;
		if (same_method(route, method))
			return route;
		len += (size_t)snprintf(allow + len, ROUTE_ALLOW_MAX - len, "%s%s",
					len > 0 ? ", " : "", route->method);
	}
	return NULL;
}
