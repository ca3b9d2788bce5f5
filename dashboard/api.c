/* api.c - what the handlers of several topics need, and the smallest of them. */
#include "dashboard/api.h"

#include "dashboard/rfc3339.h"
#include "dashboard/route.h"

bool api_range(struct request *request, struct event_query *query)
{
	static const struct {
		const char *word;
		int64_t minutes;
	} ranges[] = {
		{ "15m", 15 }, { "1h", 60 }, { "6h", 360 }, { "24h", 1440 }, { "7d", 10080 },
		{ "30d", 43200 }, { "90d", 129600 }, { "all", 0 },
	};
	struct str range = request_arg(request, "range");

	if (range.len == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		if (!str_equal(range, str_of(ranges[i].word)))
			continue;
		if (query->from_ns == 0 && ranges[i].minutes > 0)
			query->from_ns = clock_now_ns() - ranges[i].minutes * 60 * NS_PER_S;
		return true;
	}
	reply_error(request, 400, "range must be one of 15m, 1h, 6h, 24h, 7d, 30d, 90d, all");
	return false;
}

int64_t api_id_number(const char *text)
{
	int64_t number = 0;

	if (text[0] == '\0' || strlen(text) > 18)
		return -1;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		number = number * 10 + (*text - '0');
	}
	return number;
}

int api_audit(const struct request *request, struct store *store, const char *action,
	      const char *object, const char *detail)
{
	return store_exec(store,
			  "INSERT INTO audit(time, who, source, action, object, detail)"
			  " VALUES ($1, $2, $3, $4, $5, $6)",
			  store_int(clock_now_ns()), store_text(str_of(request->who.name)),
			  store_text(str_of(request->source)), store_text(str_of(action)),
			  store_text(str_of(object)), store_text(str_of(detail)));
}

void api_health(struct request *request, struct store *store)
{
	(void)store;
	reply_json_text(request, 200, "{\"service\":\"g0efilter-dashboard\",\"status\":\"ok\"}\n");
}

void api_config(struct request *request, struct store *store)
{
	static const char *const modes[] = { "session", "none", "forward" };
	const struct options *options = request->server->options;
	struct out out;

	(void)store;
	out_init(&out, 1024);
	out_put(&out, "{", 1);
	out_member(&out, "auth_mode", str_of(modes[options->auth_mode]));
	out_member_int(&out, "buffer_size", options->buffer_size);
	out_key(&out, "fleet_enabled");
	out_text(&out, options->fleet_enabled ? "true" : "false");
	out_member_int(&out, "read_limit", options->read_limit);
	out_member(&out, "version", str_of(RINGFENCE_VERSION));
	out_put(&out, "}", 1);
	reply_out(request, 200, &out);
}
