/* notify_service.h - who gets alerts: a service from its URL, and what it is sent.
 *
 *	gotify://host[:port][/path]/token[?priority=8&disabletls=yes]
 *	ntfy://[user:password@][host]/topic[?priority=high&tags=a,b&scheme=http]
 *	slack://hook:T-B-C@webhook  slack://T/B/C  slack://xoxb:token@channel
 *	discord://token@id
 *	telegram://token@telegram?chats=@name,-1001
 *	smtp://[user:password@]host[:port]/?from=a@b&to=c@d,e@f[&encryption=ImplicitTLS&starttls=no]
 *	generic://host[:port]/path[?template=json&@Header=value&$key=value&disabletls=yes]
 *
 * These are shoutrrr's forms.  Alerts carry names that an attacker chose: they come here as
 * printable ASCII, and each body is escaped for its service. */
#ifndef DASHBOARD_NOTIFY_SERVICE_H
#define DASHBOARD_NOTIFY_SERVICE_H

#include "dashboard/web.h"

enum {
	ALERT_TITLE_MAX = 320,
	ALERT_MESSAGE_MAX = 1000,       /* less than line_put_json() cuts */
	NOTIFY_SERVICES_MAX = 16,
	NOTIFY_TO_MAX = 8,              /* receivers of a mail */
	NOTIFY_HEADERS_MAX = 6,
	NOTIFY_HEADER_MAX = 700,
	NOTIFY_KEYS_MAX = 8,
	NOTIFY_BODY_MAX = 24 << 10,
};

struct alert {
	char title[ALERT_TITLE_MAX], message[ALERT_MESSAGE_MAX];        /* printable ASCII */
};

struct notify_service {
	const struct notify_kind *kind;
	struct web_target target;
	char path[512];
	char headers[NOTIFY_HEADERS_MAX][NOTIFY_HEADER_MAX];    /* "" behind the last */
	char priority[16];
	char channel[128];              /* Slack's, Telegram's chat */
	char keys[NOTIFY_KEYS_MAX][2][128];     /* generic: more members of the object */
	bool json;                      /* generic: not text alone */
	char from[256], to[NOTIFY_TO_MAX][256], subject[256];
	char user[256], password[256];
	bool mail, tls_needed;
};

/* The seed's: NOTIFICATION_HOST and NOTIFICATION_KEY.  0, or -EINVAL with a clause in error. */
int notify_gotify(struct notify_service *service, const char *host, const char *key,
		  char error[WEB_ERROR_MAX]);

/* From a URL; one for each chat of Telegram.  Returns how many were written, at most max, or
 * -EINVAL with a clause in error that does not repeat the URL, which is a secret. */
int notify_parse(struct notify_service *services, unsigned max, struct str url,
		 char error[WEB_ERROR_MAX]);

const char *notify_content_type(const struct notify_service *service);  /* NULL: none of ours */
const char *notify_kind_text(const struct notify_service *service);     /* "ntfy" */

/* What is posted; returns the length.  now: for the mail's Date. */
size_t notify_body(const struct notify_service *service, const struct alert *alert, time_t now,
		   char out[NOTIFY_BODY_MAX]);
/* A header of its own for this alert, like "Title: ..."; false when there is none. */
bool notify_title_header(const struct notify_service *service, const struct alert *alert,
			 char out[ALERT_TITLE_MAX + 16]);

#endif
