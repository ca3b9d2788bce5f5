/* dns_batch.h - the answers by UDP of one turn of the loop, sent together.
 * Those for one client go as one train (UDP_SEGMENT): a stub resolver asks for A and AAAA at once,
 * and a busy client for many names. */
#ifndef FORWARD_DNS_BATCH_H
#define FORWARD_DNS_BATCH_H

#include "core/addr.h"

struct dns_batch;

/* NULL: no memory; freed with free(). */
struct dns_batch *dns_batch_new(void);

/* Copied; sent by dns_batch_flush(), or sooner, when it is full or another socket's turn.  Returns
 * how many could not be sent. */
unsigned dns_batch_add(struct dns_batch *batch, int fd, const union addr *to, const uint8_t *data,
		       size_t len);
unsigned dns_batch_flush(struct dns_batch *batch);

/* Answers that wait. */
unsigned dns_batch_count(const struct dns_batch *batch);

#endif
