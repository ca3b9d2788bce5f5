/* fuzz_policy.c - the input as a policy file, and as the two comma lists.
 * What is taken must let its own entries through; what is refused must say why, and where. */
#include <assert.h>
#include <stdlib.h>

#include "core/policy.h"
#include "proto/hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_printable(const char *text)
{
	for (; *text; text++)
		assert(*text >= 0x20 && *text < 0x7f);
}

static void check_name(const struct policy *policy, const char *pattern)
{
	char name[2 * HOSTNAME_MAX], normal[HOSTNAME_MAX + 1];
	size_t len = strlen(pattern);

	/* "*.example" must let "x.example" through, if that is not too long to be a name. */
	assert(len > 0 && len < sizeof(name));
	memcpy(name, pattern, len + 1);
	if (name[0] == '*')
		name[0] = 'x';
	if (hostname_normalise(str_of(name), normal) == 0) {
		assert(name[0] == 'x' && len > HOSTNAME_MAX);
		return;
	}
	assert(strcmp(name, normal) == 0);
	assert(policy_match_name(policy, str_of(normal)));
}

static void check_policy(const struct policy *policy)
{
	char out[300];

	assert(policy->entry_count == policy->domain_count + policy->ip_count);
	assert(names_count(policy->domains) == policy->domain_count);
	for (size_t i = 0; i < policy->domain_count; i++)
		check_name(policy, names_pattern(policy->domains, (long)i));
	for (size_t i = 0; i < policy->ranges_v4 + policy->ranges_v6; i++) {
		const struct addr_range *range = &policy->ranges[i];

		assert(addr_compare_ip(&range->first, &range->last) <= 0);
		assert(i == 0 || addr_compare_ip(&range[-1].last, &range->first) < 0);
		assert(policy_has_addr(policy, &range->first));
		assert(policy_has_addr(policy, &range->last));
	}
	for (size_t i = 1; i < policy->entry_count; i++)
		assert(strcmp(policy->entries[i - 1], policy->entries[i]) <= 0);
	assert(policy_diff(policy, policy, out, sizeof(out))[0] == '\0');
	(void)policy_diff(NULL, policy, out, sizeof(out));
}

static void check_result(int err, struct policy *policy, const struct policy_error *error)
{
	if (err == 0) {
		check_policy(policy);
		policy_free(policy);
		return;
	}
	assert(!policy && error->text[0] != '\0');
	check_printable(error->text);
	check_printable(error->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct policy *policy = NULL;
	struct policy_error error;
	char *text = malloc(len + 1);
	size_t half;
	int err;

	assert(text);
	if (len > 0)
		memcpy(text, data, len);
	text[len] = '\0';
	err = policy_parse((const char *)data, len, &policy, &error);
	check_result(err, policy, &error);

	policy = NULL;
	half = strcspn(text, "\n");
	text[half] = '\0';
	err = policy_from_lists(half < len ? text + half + 1 : NULL, text, &policy, &error);
	check_result(err, policy, &error);
	free(text);
	return 0;
}
