/* resolver_from.c - the resolver configured from what the user and the system say. */
#include <errno.h>

#include "core/resolver.h"

int resolver_configure(const char *upstreams, const char *resolv_conf, const char **error)
{
	static char text[UPSTREAMS_ERROR_MAX];
	struct upstream_sets sets;
	int err;

	*error = text;
	err = upstreams_load(upstreams, resolv_conf, &sets, text);
	if (err < 0)
		return err;
	*error = "no memory for the resolver";
	return resolver_configure_servers(&sets, 0);
}
