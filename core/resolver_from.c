/* resolver_from.c - the resolver configured from what the user and the system say. */
#include <errno.h>

#include "core/resolver.h"
#include "core/tls_client.h"

static bool has_tls(const struct upstreams *upstreams)
{
	for (unsigned i = 0; i < upstreams->count; i++)
		if (upstreams->tls[i].on)
			return true;
	return false;
}

int resolver_configure(const char *upstreams, const char *resolv_conf, const char **error)
{
	static char text[UPSTREAMS_ERROR_MAX];
	struct upstream_sets sets;
	int err;

	*error = text;
	err = upstreams_load(upstreams, resolv_conf, &sets, text);
	if (err < 0)
		return err;
	if (has_tls(&sets.dotted) && (err = tls_client_load(error)) < 0)
		return err;
	*error = "no memory for the resolver";
	return resolver_configure_servers(&sets, 0);
}
