/* suffix.c - the public suffix list's word on a name. */
#include "dashboard/suffix.h"

#include <libpsl.h>
#include <pthread.h>

#include "core/addr.h"

static const psl_ctx_t *list;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The system's copy when there is a newer one, else what the library brings. */
static void load(void)
{
	list = psl_latest(NULL);
	if (!list)
		list = psl_builtin();
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of 1 to 63 characters, none with a '-' at an end; *count of them. */
static bool are_labels(const char *name, unsigned *count)
{
	*count = 0;
	for (;;) {
		size_t len = strcspn(name, ".");

		if (len == 0 || len > 63 || name[0] == '-' || name[len - 1] == '-')
			return false;
		for (size_t i = 0; i < len; i++)
			if (!is_label_char(name[i]))
				return false;
		++*count;
		if (name[len] == '\0')
			return true;
		name += len + 1;
	}
}

bool suffix_normal(struct str text, char out[SUFFIX_NAME_MAX])
{
	if (text.len > 1 && text.at[text.len - 1] == '.')
		text.len--;
	if (text.len >= SUFFIX_NAME_MAX || memchr(text.at, '\0', text.len))
		return false;
	for (size_t i = 0; i < text.len; i++)
		out[i] = ascii_lower(text.at[i]);
	out[text.len] = '\0';
	return true;
}

const char *suffix_refusal(const char *domain)
{
	bool wildcard = strncmp(domain, "*.", 2) == 0;
	const char *name = domain + (wildcard ? 2 : 0);
	unsigned labels;
	union addr addr;

	if (strcmp(domain, "*") == 0)
		return "* would allow every name";
	if (domain[0] == '/')
		return "a regular expression belongs into the policy file";
	if (addr_parse(str_of(domain), &addr))
		return "this is an address: use the type ip";
	if (strlen(name) > 253 || !are_labels(name, &labels))
		return "invalid domain";
	if (wildcard && labels == 1)
		return "a wildcard over one label would allow too much";
	if (strspn(strrchr(name, '.') ? strrchr(name, '.') + 1 : name, "0123456789") ==
	    strlen(strrchr(name, '.') ? strrchr(name, '.') + 1 : name))
		return "invalid domain";        /* 1.2.3: nobody's top-level domain */
	pthread_once(&once, load);
	if (!list)
		return "the public suffix list is missing: install publicsuffix";
	if (wildcard && psl_is_public_suffix2(list, name, PSL_TYPE_ANY | PSL_TYPE_NO_STAR_RULE))
		return "a wildcard over a public suffix would allow everybody's names";
	if (psl_is_public_suffix2(list, name, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE))
		return "a public suffix is nobody's name";
	return NULL;
}
