/* notify_service.c - what a service is sent; its URL is read in notify_parse.c. */
#include <stdio.h>
#include <time.h>

#include "core/log_text.h"
#include "dashboard/notify_kinds.h"

static void put_json(struct line *line, const char *before, const char *text)
{
	line_put(line, before);
	line_put_json(line, str_of(text));
}

static size_t line_len(const struct line *line, const char *out)
{
	return (size_t)(line->at - out);
}

/* "message=...&priority=8&title=...", as Go's url.Values puts them in order. */
static size_t form_body(const struct notify_service *service, const struct alert *alert, time_t now,
			char *out, size_t size)
{
	char message[3 * ALERT_MESSAGE_MAX + 4], title[3 * ALERT_TITLE_MAX + 4];

	(void)now;
	if (!url_encode(str_of(alert->message), message, sizeof(message)) ||
	    !url_encode(str_of(alert->title), title, sizeof(title)))
		return 0;
	return (size_t)snprintf(out, size, "message=%s&priority=%s&title=%s", message,
				service->priority, title);
}

static size_t text_body(const struct notify_service *service, const struct alert *alert, time_t now,
			char *out, size_t size)
{
	(void)service;
	(void)now;
	return (size_t)snprintf(out, size, "%s", alert->message);
}

static size_t json_body(const struct notify_service *service, const struct alert *alert, time_t now,
			char *out, size_t size)
{
	struct line line = { out, out + size };

	if (!service->json)
		return text_body(service, alert, now, out, size);
	put_json(&line, "{\"title\":", alert->title);
	put_json(&line, ",\"message\":", alert->message);
	for (unsigned i = 0; i < NOTIFY_KEYS_MAX && service->keys[i][0][0]; i++) {
		put_json(&line, ",", service->keys[i][0]);
		put_json(&line, ":", service->keys[i][1]);
	}
	line_put(&line, "}");
	return line_len(&line, out);
}

/* Slack: '<' would begin a mention or a link. */
static void escape_slack(const char *text, char *out, size_t size)
{
	size_t len = 0;

	for (; *text && len + 6 < size; text++) {
		const char *as = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" :
				 *text == '>' ? "&gt;" : NULL;

		if (as)
			len += (size_t)snprintf(out + len, size - len, "%s", as);
		else
			out[len++] = *text;
	}
	out[len] = '\0';
}

static size_t slack_body(const struct notify_service *service, const struct alert *alert,
			 time_t now, char *out, size_t size)
{
	char title[5 * ALERT_TITLE_MAX], message[5 * ALERT_MESSAGE_MAX], text[1008];
	struct line line = { out, out + size };

	(void)now;
	escape_slack(alert->title, title, sizeof(title));
	escape_slack(alert->message, message, sizeof(message));
	snprintf(text, sizeof(text), "*%.300s*\n%.700s", title, message);
	if (service->channel[0])
		put_json(&line, "{\"channel\":", service->channel);
	put_json(&line, service->channel[0] ? ",\"text\":" : "{\"text\":", text);
	line_put(&line, "}");
	return line_len(&line, out);
}

static size_t discord_body(const struct notify_service *service, const struct alert *alert,
			   time_t now, char *out, size_t size)
{
	char text[1024];
	struct line line = { out, out + size };

	(void)service;
	(void)now;
	snprintf(text, sizeof(text), "%.300s\n%.700s", alert->title, alert->message);
	put_json(&line, "{\"content\":", text);
	line_put(&line, ",\"allowed_mentions\":{\"parse\":[]}}");
	return line_len(&line, out);
}

static size_t telegram_body(const struct notify_service *service, const struct alert *alert,
			    time_t now, char *out, size_t size)
{
	char text[1024];
	struct line line = { out, out + size };

	(void)now;
	snprintf(text, sizeof(text), "%.300s\n%.700s", alert->title, alert->message);
	put_json(&line, "{\"chat_id\":", service->channel);
	put_json(&line, ",\"text\":", text);
	line_put(&line, "}");
	return line_len(&line, out);
}

static size_t mail_body(const struct notify_service *service, const struct alert *alert, time_t now,
			char *out, size_t size)
{
	char date[64], to[NOTIFY_TO_MAX * 258] = "";
	struct tm tm;
	size_t len = 0;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	for (unsigned i = 0; i < NOTIFY_TO_MAX && service->to[i][0]; i++)
		len += (size_t)snprintf(to + len, sizeof(to) - len, "%s%s", i > 0 ? ", " : "",
					service->to[i]);
	return (size_t)snprintf(out, size, "Date: %s\r\nFrom: %s\r\nTo: %s\r\nSubject: %s\r\n"
				"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii"
				"\r\n\r\n%s\r\n", date, service->from, to,
				service->subject[0] ? service->subject : alert->title,
				alert->message);
}

const struct notify_kind notify_kinds[] = {
	{ "gotify", form_body, "application/x-www-form-urlencoded" },
	{ "ntfy", text_body, "text/plain" },
	{ "slack", slack_body, "application/json" },
	{ "discord", discord_body, "application/json" },
	{ "telegram", telegram_body, "application/json" },
	{ "smtp", mail_body, NULL },
	{ "generic", json_body, NULL },
	{ NULL, NULL, NULL },
};

const char *notify_content_type(const struct notify_service *service)
{
	return service->kind->content_type;
}

const char *notify_kind_text(const struct notify_service *service)
{
	return service->kind->name;
}

size_t notify_body(const struct notify_service *service, const struct alert *alert, time_t now,
		   char out[NOTIFY_BODY_MAX])
{
	size_t len = service->kind->body(service, alert, now, out, NOTIFY_BODY_MAX);

	return len < NOTIFY_BODY_MAX ? len : NOTIFY_BODY_MAX - 1;
}

bool notify_title_header(const struct notify_service *service, const struct alert *alert,
			 char out[ALERT_TITLE_MAX + 16])
{
	if (strcmp(service->kind->name, "ntfy") != 0)
		return false;
	snprintf(out, ALERT_TITLE_MAX + 16, "Title: %s", alert->title);
	return true;
}
