/* suffix.h - which names a person may add with one click, and which open too much. */
#ifndef DASHBOARD_SUFFIX_H
#define DASHBOARD_SUFFIX_H

#include "proto/str.h"

enum { SUFFIX_NAME_MAX = 256 };

/*
 * A name or "*.name" in lower case, as a policy takes it.  NULL: it may be added.  Else the reason:
 * "invalid domain" for what is none, a sentence for what is a public suffix (com, co.uk), or a
 * wildcard over one, also over one of a hosting company (*.github.io), or over one label (*.local).
 */
const char *suffix_refusal(const char *domain);

/* Lower case, without a dot at the end; false: longer than a name can be. */
bool suffix_normal(struct str text, char out[SUFFIX_NAME_MAX]);

#endif
