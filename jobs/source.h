/* source.h - where the policy comes from: a file that is watched, or the ALLOWLIST_* variables. */
#ifndef JOBS_SOURCE_H
#define JOBS_SOURCE_H

#include "core/options.h"
#include "core/policy.h"

struct policy_source {
	const char *path;               /* NULL: the variables, which never change */
	const char *ips, *domains;
	const char *note;               /* event to log about the choice of path, or NULL */
	const char *overlay;            /* what was unblocked beside the file (policy_files.h) */
	uint64_t overlay_told;          /* its complaint, that was logged */
	struct policy_text {            /* the file's, as it was read */
		char *text;             /* NULL: none */
		size_t len;
		uint64_t hash[4];
	} read, kept;                   /* last; and of the policy in force */
	bool by_kept;                   /* the last reading had to go by kept */
};

/* Choose by the options (spec g0efilter 2.1, POLICY_PATH). */
void policy_source_choose(struct policy_source *source, const struct options *options);

/* Read and compile, with the overlay, without what was unblocked for a time that is over.
 * 0; -EINVAL with *error; another -errno of reading the file, *error says it.
 * known: the hash of a policy, or NULL; when the text has just that, *policy is NULL.
 * A file that is no good must not keep in force what is over: with an error the text that was
 * kept takes its place when there is one.  by_kept says so, and *policy is as above. */
int policy_source_read(struct policy_source *source, const uint64_t known[4],
		       struct policy **policy, struct policy_error *error);
/* What was read last without an error is in force: keep its text. */
void policy_source_keep(struct policy_source *source);
void policy_source_finish(struct policy_source *source);

/* One line for log and console: "policy.yaml:7:5: ...". */
const char *policy_source_error(const struct policy_source *source,
				const struct policy_error *error, char *out, size_t size);

#endif
