/* request.c - reading a request, filling its reply. */
#include "dashboard/request.h"

#include <stdlib.h>

#include "core/log.h"

static const char type_json[] = "application/json";
static const char type_text[] = "text/plain; charset=utf-8";

struct str request_arg(const struct request *request, const char *name)
{
	const char *value = NULL;
	size_t len = 0;

	if (MHD_lookup_connection_value_n(request->conn, MHD_GET_ARGUMENT_KIND, name, strlen(name),
					  &value, &len) != MHD_YES || !value)
		return (struct str){ NULL, 0 };
	return (struct str){ value, len };
}

int64_t request_number(const struct request *request, const char *name, int64_t min, int64_t max,
		       int64_t fallback)
{
	struct str text = request_arg(request, name);
	int64_t number = 0;

	if (text.len == 0 || text.len > 18)
		return fallback;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return fallback;
		number = number * 10 + (text.at[i] - '0');
	}
	return number < min || number > max ? fallback : number;
}

const char *request_header(const struct request *request, const char *name)
{
	const char *value = MHD_lookup_connection_value(request->conn, MHD_HEADER_KIND, name);

	return value ? value : "";
}

json_t *request_object(struct request *request)
{
	json_t *object = NULL;

	if (!request->body_too_long && request->body.at)
		object = json_loadb(request->body.at, request->body.len, 0, NULL);
	if (json_is_object(object))
		return object;
	json_decref(object);
	reply_error(request, 400, "invalid json");
	return NULL;
}

static void fill(struct request *request, unsigned status, const char *type, char *body,
		 size_t len)
{
	struct reply *reply = &request->reply;

	if (reply->status != 0) {
		free(body);
		return;
	}
	reply->status = body ? status : 500;
	reply->type = type;
	reply->body = body;
	reply->len = body ? len : 0;
}

void reply_out(struct request *request, unsigned status, struct out *out)
{
	size_t len = 0;
	char *text;

	out_put(out, "\n", 1);
	text = out_take(out, &len);
	fill(request, status, type_json, text, len);
}

void reply_text(struct request *request, unsigned status, const char *type, const char *text)
{
	fill(request, status, type, strdup(text), strlen(text));
}

void reply_json_text(struct request *request, unsigned status, const char *text)
{
	reply_text(request, status, type_json, text);
}

void reply_error(struct request *request, unsigned status, const char *error)
{
	struct out out;
	size_t len = 0;
	char *text;

	out_init(&out, 8192);
	out_text(&out, "{\"error\":");
	out_json_str(&out, str_of(error));
	out_text(&out, "}\n");
	text = out_take(&out, &len);
	fill(request, status, type_text, text, len);
}

void reply_header(struct request *request, const char *name, const char *value)
{
	struct reply *reply = &request->reply;
	char *copy = strdup(value);

	if (!copy || reply->header_count == REPLY_HEADERS_MAX) {
		free(copy);
		return;
	}
	reply->headers[reply->header_count].name = name;
	reply->headers[reply->header_count++].value = copy;
}

void reply_store_error(struct request *request, struct store *store)
{
	log_error("store.error", log_str("err", store_error(store)));
	reply_error(request, 500, "store error");
}

void reply_finish(struct reply *reply)
{
	free(reply->body);
	for (unsigned i = 0; i < reply->header_count; i++)
		free(reply->headers[i].value);
	*reply = (struct reply){ 0 };
}
