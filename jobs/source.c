/* source.c - where the policy comes from. */
#include "jobs/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { POLICY_FILE_MAX = 256 << 20 };

static const char *const usual_paths[] = { "/app/policy.yaml", "/app/policy/policy.yaml" };

static bool is_there(const char *path)
{
	struct stat stat_;

	return stat(path, &stat_) == 0;
}

void policy_source_choose(struct policy_source *source, const struct options *options)
{
	bool first = is_there(usual_paths[0]), second = is_there(usual_paths[1]);

	*source = (struct policy_source){ 0 };
	if (options->allowlist_ips[0] || options->allowlist_domains[0]) {
		source->ips = options->allowlist_ips;
		source->domains = options->allowlist_domains;
		return;
	}
	source->path = options->policy_path;
	if (source->path[0])
		return;
	source->path = first || !second ? usual_paths[0] : usual_paths[1];
	source->note = first && second ? "policy.path_ambiguous" :
		       second	       ? "policy.path_fallback" :
		       !first	       ? "policy.path_missing" :
					 NULL;
}

static int read_all(const char *path, char **text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat stat_;
	int err = 0;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &stat_) < 0)
		err = -errno;
	else if (!S_ISREG(stat_.st_mode))
		err = S_ISDIR(stat_.st_mode) ? -EISDIR : -EINVAL;
	else if (stat_.st_size > POLICY_FILE_MAX)
		err = -EFBIG;
	else if (!(*text = malloc((size_t)stat_.st_size + 1)))
		err = -ENOMEM;
	while (err == 0 && *len < (size_t)stat_.st_size) {
		ssize_t n = read(fd, *text + *len, (size_t)stat_.st_size - *len);

		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n == 0)
			break;          /* it was cut while we read: what is there is judged */
		if (n > 0)
			*len += (size_t)n;
	}
	close(fd);
	return err;
}

/* Compiling 100,000 names takes a tenth of a second, comparing them nothing. */
static int parse_if_new(const char *text, size_t len, const uint64_t *known,
			struct policy **policy, struct policy_error *error)
{
	uint64_t hash[4];

	policy_hash(text, len, hash);
	if (!known || memcmp(known, hash, sizeof(hash)) != 0)
		return policy_parse(text, len, policy, error);
	*policy = NULL;
	return 0;
}

int policy_source_read(const struct policy_source *source, const uint64_t known[4],
		       struct policy **policy, struct policy_error *error)
{
	char *text;
	size_t len;
	int err;

	memset(error, 0, sizeof(*error));
	if (!source->path)
		return policy_from_lists(source->ips, source->domains, policy, error);
	err = read_all(source->path, &text, &len);
	if (err == 0)
		err = parse_if_new(text, len, known, policy, error);
	else
		snprintf(error->text, sizeof(error->text), "%s%s", strerror(-err),
			 err == -ENOENT ? ": set POLICY_PATH to your policy file, or "
					  "ALLOWLIST_DOMAINS and ALLOWLIST_IPS" : "");
	free(text);
	return err;
}

const char *policy_source_error(const struct policy_source *source,
				const struct policy_error *error, char *out, size_t size)
{
	const char *path = source->path ? source->path : "environment";

	if (error->line > 0)
		snprintf(out, size, "%s:%u:%u: %s", path, error->line, error->column, error->text);
	else
		snprintf(out, size, "%s: %s", path, error->text);
	return out;
}
