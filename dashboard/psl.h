/* psl.h - the public suffix list (libpsl), loaded when the first name is to be judged. */
#ifndef DASHBOARD_PSL_H
#define DASHBOARD_PSL_H

#include <stdbool.h>

/* Is the list there?  Without it nothing is known to be public. */
bool psl_load(void);
/* Do people register names below this one (lower case)?  registries: only where a registry sells
 * them ("com", "co.uk"), not where a company hosts them ("github.io"). */
bool psl_is_public(const char *name, bool registries);

#endif
