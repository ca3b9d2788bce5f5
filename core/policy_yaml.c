/* policy_yaml.c - policy.yaml to entries.
 *
 * The text is read twice.  First policy_walk.c goes through libyaml's events: it refuses whatever
 * is not a plain policy and notes where each entry is.  Then libcyaml loads the structure by the
 * schema below.  Both must have seen the same entries. */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdlib.h>

#include "core/policy_walk.h"

struct file_lists {
	char **ips, **domains;
	unsigned ips_count, domains_count;
};

struct file {
	char *default_action;
	struct file_lists *allowlist, *denylist;
};

static const cyaml_schema_value_t entry_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

/* Every key may be missing, or be there without a value. */
enum { MAY_BE_NULL = CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER_NULL_STR };

static const cyaml_schema_field_t lists_schema[] = {
	CYAML_FIELD_SEQUENCE("ips", MAY_BE_NULL, struct file_lists, ips, &entry_schema,
			     0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE("domains", MAY_BE_NULL, struct file_lists, domains, &entry_schema,
			     0, CYAML_UNLIMITED),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t file_schema[] = {
	CYAML_FIELD_STRING_PTR("default_action", MAY_BE_NULL, struct file, default_action,
			       0, CYAML_UNLIMITED),
	CYAML_FIELD_MAPPING_PTR("allowlist", MAY_BE_NULL, struct file, allowlist, lists_schema),
	CYAML_FIELD_MAPPING_PTR("denylist", MAY_BE_NULL, struct file, denylist, lists_schema),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct file, file_schema),
};

static const cyaml_config_t config = {
	.mem_fn = cyaml_mem,
	.log_level = CYAML_LOG_ERROR,
	.flags = CYAML_CFG_NO_ALIAS,
};

typedef int add_fn(struct policy_builder *builder, struct str text,
		   const struct policy_place *place, struct policy_error *error);

static int add_entries(struct policy_builder *builder, add_fn *add, char *const *entries,
		       const struct mark_list *marks, struct policy_error *error)
{
	int err = 0;

	for (size_t i = 0; i < marks->count && err == 0; i++) {
		const struct mark *mark = &marks->marks[i];
		const struct policy_place place = { marks->list, mark->line, mark->column };

		/* "- ~" and "- null" are blank, the quoted "null" is a name. */
		if (!mark->is_null)
			err = add(builder, str_of(entries[i]), &place, error);
	}
	return err;
}

static int add_file(struct policy_builder *builder, const struct file *file,
		    const struct policy_walk *walk, struct policy_error *error)
{
	static const struct policy_place whole_file = { .list = "allowlist" };
	const struct file_lists *allow = file->allowlist;
	int err;

	if (!allow || allow->ips_count != walk->ips.count ||
	    allow->domains_count != walk->domains.count)
		return policy_fail(error, &whole_file, "", (struct str){ 0 },
				   "two readers of this file disagree about its entries; write it "
				   "more plainly");
	err = add_entries(builder, policy_add_ip, allow->ips, &walk->ips, error);
	if (err < 0)
		return err;
	return add_entries(builder, policy_add_domain, allow->domains, &walk->domains, error);
}

/* Load the structure; the walk has found at least one entry, so there is an allowlist. */
static int load_entries(struct policy_builder *builder, struct str text,
			const struct policy_walk *walk, struct policy_error *error)
{
	static const struct policy_place whole_file = { .list = "policy" };
	struct file *file = NULL;
	cyaml_data_t *data = NULL;
	cyaml_err_t failed;
	int err;

	failed = cyaml_load_data((const uint8_t *)text.at, text.len, &config, &schema, &data, NULL);
	file = data;
	if (failed == CYAML_ERR_OOM)
		err = -ENOMEM;
	else if (failed != CYAML_OK || !file)
		err = policy_fail(error, &whole_file, "", (struct str){ 0 }, "cannot be read: %s",
				  cyaml_strerror(failed));
	else
		err = add_file(builder, file, walk, error);
	cyaml_free(&config, &schema, data, 0);
	return err;
}

/* Everything that a text allows, into the builder. */
static int add_text(struct policy_builder *builder, struct str text, struct policy_error *error)
{
	struct policy_walk walk = { 0 };
	int err = policy_walk(text, &walk, error);

	if (err == 0 && walk.ips.count + walk.domains.count > 0)
		err = load_entries(builder, text, &walk, error);
	policy_walk_finish(&walk);
	return err;
}

int policy_parse(const char *text, size_t len, struct policy **policy, struct policy_error *error)
{
	struct policy_builder builder = { 0 };
	struct str source = { text, len };
	int err;

	*error = (struct policy_error){ 0 };
	err = add_text(&builder, source, error);
	if (err == 0)
		err = policy_build(&builder, source, policy, error);
	policy_builder_finish(&builder);
	return err;
}

void policy_hash_merged(struct str text, struct str overlay, uint64_t hash[4])
{
	uint64_t more[4];

	policy_hash(text.at, text.len, hash);
	if (overlay.len == 0)
		return;
	policy_hash(overlay.at, overlay.len, more);
	for (int i = 0; i < 4; i++)             /* neither is secret, nor chosen by an attacker */
		hash[i] = (hash[i] << 1 | hash[i] >> 63) ^ more[i];
}

int policy_parse_merged(struct str text, struct str overlay, struct policy **policy,
			struct policy_error *error, struct policy_error *overlay_error)
{
	struct policy_builder builder = { 0 };
	struct policy_error why = { 0 };
	struct policy *alone = NULL;
	size_t own_ports;
	int err, overlay_err = 0;

	*error = (struct policy_error){ 0 };
	/* Alone first: what is wrong with it must not spoil the other. */
	if (overlay.len > 0)
		overlay_err = policy_parse(overlay.at, overlay.len, &alone, &why);
	policy_free(alone);
	if (overlay_error)
		*overlay_error = why;
	if (overlay_err == -ENOMEM)
		return -ENOMEM;
	err = add_text(&builder, text, error);
	own_ports = builder.port_count;
	if (err == 0 && overlay.len > 0 && overlay_err == 0)
		err = add_text(&builder, overlay, error);
	for (size_t i = own_ports; i < builder.port_count; i++)
		builder.ports[i].place.line = 0;        /* of another file than will be named */
	if (err == 0)
		err = policy_build(&builder, text, policy, error);
	policy_builder_finish(&builder);
	if (err == 0)
		policy_hash_merged(text, overlay, (*policy)->hash);
	return err;
}
