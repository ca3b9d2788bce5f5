/* source.c - where the policy comes from. */
#include "jobs/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/log.h"
#include "jobs/policy_files.h"

static const char *const usual_paths[] = { "/app/policy.yaml", "/app/policy/policy.yaml" };

static bool is_there(const char *path)
{
	struct stat stat_;

	return stat(path, &stat_) == 0 && S_ISREG(stat_.st_mode);
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

/* An overlay only lets more through: one that is no good is left out, and told once. */
static void tell_overlay(struct policy_source *source, const struct policy_error *error)
{
	uint64_t hash[4] = { 0 };

	if (error->text[0])
		policy_hash(error->text, strlen(error->text), hash);
	if (error->text[0] && hash[0] != source->overlay_told)
		log_error("policy.overlay_bad", log_str("path", source->overlay),
			  log_uint("line", error->line), log_str("err", error->text),
			  log_str("note", "what was unblocked there is blocked again: correct the "
				  "file, or remove it"));
	source->overlay_told = hash[0];
}

/* Compiling 100,000 names takes a tenth of a second, comparing them nothing. */
static int parse_if_new(struct policy_source *source, struct str text, struct str overlay,
			const uint64_t *known, struct policy **policy, struct policy_error *error)
{
	struct policy_error overlay_error = { 0 };
	uint64_t hash[4];
	int err;

	policy_hash_merged(text, overlay, hash);
	*policy = NULL;
	if (known && memcmp(known, hash, sizeof(hash)) == 0)
		return 0;
	err = policy_parse_merged(text, overlay, policy, error, &overlay_error);
	tell_overlay(source, &overlay_error);
	return err;
}

static int compile(struct policy_source *source, const struct policy_text *file,
		   struct str overlay, const uint64_t *known, struct policy **policy,
		   struct policy_error *error)
{
	size_t len = file->len;
	char *text = malloc(len + 1);           /* without what is over; the file's stays whole */
	int err;

	if (!text)
		return -ENOMEM;
	memcpy(text, file->text, len);
	policy_drop_expired(&text, &len);
	err = parse_if_new(source, (struct str){ text, len }, overlay, known, policy, error);
	free(text);
	if (err == 0 && *policy)
		memcpy((*policy)->file_hash, file->hash, sizeof(file->hash));
	return err;
}

static void forget(struct policy_text *file)
{
	free(file->text);
	*file = (struct policy_text){ 0 };
}

static int read_file(struct policy_source *source, struct policy_error *error)
{
	struct policy_text *file = &source->read;
	int err;

	forget(file);
	err = policy_file_read(source->path, &file->text, &file->len, NULL);
	if (err == 0)
		policy_hash(file->text, file->len, file->hash);
	else
		snprintf(error->text, sizeof(error->text), "%s%s", strerror(-err),
			 err == -ENOENT ? ": set POLICY_PATH to your policy file, or "
					  "ALLOWLIST_DOMAINS and ALLOWLIST_IPS" :
			 err == -EISDIR ? ": Docker makes a folder where the source of a mount is "
					  "missing: remove it there and put the file in its "
					  "place; or set POLICY_PATH to a file in it" :
			 err == -EINVAL ? ": a pipe or a device: the policy must be a file" : "");
	return err;
}

int policy_source_read(struct policy_source *source, const uint64_t known[4],
		       struct policy **policy, struct policy_error *error)
{
	struct policy_error ignored = { 0 };
	struct str merged = { 0 };
	char *overlay = NULL;
	size_t len = 0;
	int err;

	*policy = NULL;
	memset(error, 0, sizeof(*error));
	source->by_kept = false;
	if (!source->path)
		return policy_from_lists(source->ips, source->domains, policy, error);
	err = read_file(source, error);
	if (source->overlay && policy_file_read(source->overlay, &overlay, &len, NULL) == 0) {
		policy_drop_expired(&overlay, &len);
		merged = (struct str){ overlay, len };
	}
	if (err == 0)
		err = compile(source, &source->read, merged, known, policy, error);
	if (err < 0) {
		forget(&source->read);
		source->by_kept = source->kept.text && err != -ENOMEM &&
			compile(source, &source->kept, merged, known, policy, &ignored) == 0;
	}
	free(overlay);
	return err;
}

void policy_source_keep(struct policy_source *source)
{
	if (!source->read.text)
		return;
	forget(&source->kept);
	source->kept = source->read;
	source->read = (struct policy_text){ 0 };
}

void policy_source_finish(struct policy_source *source)
{
	forget(&source->read);
	forget(&source->kept);
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
