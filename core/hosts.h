/* hosts.h - addresses that the machine's hosts file notes for a name (hosts(5)); compose's
 * extra_hosts are written there. */
#ifndef CORE_HOSTS_H
#define CORE_HOSTS_H

#include "core/addr.h"

/* The addresses of a normalised name in the text of such a file, each once, in its order: how many
 * were written, at most max.  Lines and names that are none are skipped. */
unsigned hosts_parse(struct str text, struct str name, union addr *addrs, unsigned max);

/* Such a file, of which at most 1 MiB is read; *text is to be freed.  On -errno it is empty. */
int hosts_read(const char *path, char **text, size_t *len);

/* The addresses in a file; or -errno. */
int hosts_load(const char *path, struct str name, union addr *addrs, unsigned max);

#endif
