/* filter_names.h - the modes of a filter, and what the control thread does for its resolver. */
#ifndef JOBS_FILTER_NAMES_H
#define JOBS_FILTER_NAMES_H

#include "jobs/filter.h"

/* "https", "dns", "dns-strict". */
const char *filter_mode_text(const struct running *running);
/* Does the workload's port 53 come to us? */
bool filter_answers_names(const struct running *running);

/* Settings and listeners of the resolver, as the options say.  0 or -errno. */
int filter_names_init(struct running *running);
/* Before the workers: what they need.  0 or -errno. */
int filter_names_open(struct running *running);
/* A port of ours could not be had: which, and what another program has.  One line in out. */
void filter_names_taken(const struct running *running, char *out, size_t size);
/* When the control thread runs: addresses of answers into the kernel (dns-strict).  0 or -errno. */
int filter_names_watch(struct running *running);
/* Workers end: what still waits for the kernel gets no answer. */
void filter_names_stop(struct running *running);
void filter_names_finish(struct running *running);

/* What the log says at the start, and where we listen. */
void filter_names_tell(const struct running *running);
/* Entries of a policy whose ports mean nothing in this mode: a line each. */
void filter_names_check_policy(const struct running *running, const struct policy *policy);

/* The rules' part of a policy's ports.  0 or -ENOMEM. */
int filter_names_rules(struct running *running, const struct policy *policy);
/* Close what only entries opened that this policy does not have any more.  True: the rules must be
 * installed. */
bool filter_names_forget(struct running *running, const struct policy *policy);

#endif
