/* route.h - the table of paths: routes.def. */
#ifndef DASHBOARD_ROUTE_H
#define DASHBOARD_ROUTE_H

#include "dashboard/request.h"

enum route_place {
	ROUTE_HERE,                     /* on the server's thread: store is NULL */
	ROUTE_READER,                   /* on a thread that only reads */
	ROUTE_WRITER,                   /* on the one that writes */
};

struct route {
	const char *method, *path;      /* {id} stands for one part of the path */
	unsigned may;                   /* needs one of enum who_may; 0: open to all */
	enum route_place place;
	void (*handle)(struct request *request, struct store *store);
	size_t body_max;
	const char *summary;            /* for the OpenAPI document */
};

extern const struct route route_table[];
extern const size_t route_table_len;

/* The route of method and path; id gets what stands for {id}.  NULL: none; allow, at least
 * ROUTE_ALLOW_MAX, then names the methods that the path has, empty when there is no such path. */
enum { ROUTE_ALLOW_MAX = 64 };
const struct route *route_find(const char *method, struct str path, char id[REQUEST_ID_MAX],
			       char allow[ROUTE_ALLOW_MAX]);

#define ROUTE(method, path, may, place, handle, body_max, summary) \
	void handle(struct request *request, struct store *store);
#include "dashboard/routes.def"

#endif
