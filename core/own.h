/* own.h - questions of ours that are on their way upstream, by id: so that one which comes back to
 * our own listener is known (decisions.md 12).  For all workers, without a lock. */
#ifndef CORE_OWN_H
#define CORE_OWN_H

#include "proto/dns.h"

void own_add(const struct dns_question *question);
void own_remove(const struct dns_question *question);
/* The name on the wire as it came, its case too.  Two of ours with the same id at the same time
 * hide each other; a stranger's passes for ours once in 2^48. */
bool own_has(uint16_t id, uint16_t type, const uint8_t *name, size_t name_len);

#endif
