/* psl.c - the public suffix list, loaded when it is needed.  Its few functions are declared here,
 * so that building needs no package for it. */
#include "dashboard/psl.h"

#include <dlfcn.h>
#include <string.h>

/* psl.h's PSL_TYPE_*.  A top-level domain that the list does not have is then no suffix. */
enum { ICANN = 1, PRIVATE = 2, NO_STAR_RULE = 4 };

struct psl_context;

static struct {
	bool tried;
	struct psl_context *list;
	int (*is_public)(const struct psl_context *list, const char *name, int type);
} psl;

bool psl_load(void)
{
	struct psl_context *(*latest)(const char *file) = NULL;
	void *library, *latest_at, *is_public_at;

	if (psl.tried)
		return psl.list != NULL;
	psl.tried = true;
	library = dlopen("libpsl.so.5", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	latest_at = dlsym(library, "psl_latest");
	is_public_at = dlsym(library, "psl_is_public_suffix2");
	if (!latest_at || !is_public_at)
		return false;
	memcpy(&latest, &latest_at, sizeof(latest));
	memcpy(&psl.is_public, &is_public_at, sizeof(is_public_at));
	psl.list = latest(NULL);        /* the system's copy, or what the library brings */
	return psl.list != NULL;
}

bool psl_is_public(const char *name, bool registries)
{
	return psl_load() &&
	       psl.is_public(psl.list, name, NO_STAR_RULE |
			     (registries ? ICANN : ICANN | PRIVATE)) == 1;
}
