/* ui.c - the UI's files over HTTP: packed for those who take it, unpacked for others. */
#include "dashboard/ui.h"

#include <stdlib.h>

#include "dashboard/payload.h"
#include "dashboard/ui_files.h"

static const struct ui_file *find(struct str path)
{
	size_t low = 0, high = ui_files_len;

	if (str_equal(path, STR("/")))
		path = STR("/index.html");
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct ui_file *file = &ui_files[middle];
		int order = strcmp(path.at, file->path);

		if (order == 0)
			return file;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void reply_plain(struct request *request, const struct ui_file *file)
{
	struct out plain;
	char *text;
	size_t len = 0;

	out_init(&plain, file->plain_len);
	if (!payload_inflate((struct str){ (const char *)file->gzip, file->gzip_len }, &plain)) {
		out_finish(&plain);
		reply_error(request, 500, "no memory");
		return;
	}
	text = out_take(&plain, &len);
	request->reply.status = text ? 200 : 500;
	request->reply.type = file->type;
	request->reply.body = text;
	request->reply.len = len;
}

bool ui_reply(struct request *request, const char *method)
{
	const struct ui_file *file = find(request->url);
	const char *accepts = request_header(request, "Accept-Encoding");
	struct reply *reply = &request->reply;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return false;
	if (str_equal(request->url, STR("/index.html"))) {
		reply_text(request, 301, NULL, "");
		reply_header(request, "Location", "/");
		return true;
	}
	if (!file)
		return false;
	reply_header(request, "ETag", file->etag);
	reply_header(request, "Cache-Control", file->forever
		     ? "public, max-age=31536000, immutable" : "no-cache");
	if (strstr(request_header(request, "If-None-Match"), file->etag)) {
		reply->status = 304;
		return true;
	}
	reply_header(request, "Vary", "Accept-Encoding");
	if (!strstr(accepts, "gzip")) {
		reply_plain(request, file);
		return true;
	}
	reply->body = malloc(file->gzip_len);
	if (!reply->body) {
		reply_error(request, 500, "no memory");
		return true;
	}
	memcpy(reply->body, file->gzip, file->gzip_len);
	reply->len = file->gzip_len;
	reply->status = 200;
	reply->type = file->type;
	reply_header(request, "Content-Encoding", "gzip");
	return true;
}
