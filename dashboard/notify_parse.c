/* notify_parse.c - services from their URLs. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "dashboard/notify_kinds.h"

__attribute__((format(printf, 2, 3)))
static int refuse(char error[WEB_ERROR_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error, WEB_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static const struct notify_kind *find_kind(const char *name)
{
	const struct notify_kind *kind = notify_kinds;

	while (kind->name && strcmp(kind->name, name) != 0)
		kind++;
	return kind->name ? kind : NULL;
}

static bool add_header(struct notify_service *service, const char *name, const char *value)
{
	unsigned i = 0;

	while (i < NOTIFY_HEADERS_MAX && service->headers[i][0])
		i++;
	return i < NOTIFY_HEADERS_MAX &&
	       snprintf(service->headers[i], NOTIFY_HEADER_MAX, "%s: %s", name, value) <
	       NOTIFY_HEADER_MAX;
}

static bool parameter_is(const struct url *url, const char *name, const char *word)
{
	char value[64];

	return url_parameter(url, name, 0, value, sizeof(value)) && strcasecmp(value, word) == 0;
}

static bool is_yes(const struct url *url, const char *name)
{
	return parameter_is(url, name, "yes") || parameter_is(url, name, "true") ||
	       parameter_is(url, name, "1");
}

static bool is_no(const struct url *url, const char *name)
{
	return parameter_is(url, name, "no") || parameter_is(url, name, "false") ||
	       parameter_is(url, name, "0");
}

/* Where it is posted: a host with a path of its own. */
static int aim(struct notify_service *service, const char *scheme, const char *host, uint16_t port,
	       const char *path, char error[WEB_ERROR_MAX])
{
	struct url to = { .port = port };

	text_copy(to.scheme, sizeof(to.scheme), scheme);
	text_copy(to.host, sizeof(to.host), host);
	if (snprintf(service->path, sizeof(service->path), "%s", path) >=
	    (int)sizeof(service->path))
		return refuse(error, "is too long");
	return web_target_init(&service->target, &to, error);
}

/* The last part of the path, and what is before it. */
static void split_path(const char *path, char before[URL_TEXT_MAX], char last[URL_TEXT_MAX])
{
	size_t len = strlen(path);
	const char *slash;

	while (len > 0 && path[len - 1] == '/')
		len--;
	slash = memrchr(path, '/', len);
	snprintf(last, URL_TEXT_MAX, "%.*s",
		 (int)(slash ? len - (size_t)(slash + 1 - path) : len), slash ? slash + 1 : path);
	snprintf(before, URL_TEXT_MAX, "%.*s", (int)(slash ? slash - path : 0), path);
}

static void read_priority(struct notify_service *service, const struct url *url,
			  const char *usual)
{
	if (!url_parameter(url, "priority", 0, service->priority, sizeof(service->priority)))
		text_copy(service->priority, sizeof(service->priority), usual);
}

static bool finish_gotify(struct notify_service *service, const char *token)
{
	return add_header(service, "X-Gotify-Key", token) &&
	       add_header(service, "User-Agent", "g0efilter/1.0");
}

int notify_gotify(struct notify_service *service, const char *host, const char *key,
		  char error[WEB_ERROR_MAX])
{
	struct url url;

	*service = (struct notify_service){ .kind = find_kind("gotify"), .priority = "8" };
	if (url_parse(str_of(host), NULL, &url, error) < 0)
		return -EINVAL;
	if (strcmp(url.scheme, "http") != 0 && strcmp(url.scheme, "https") != 0)
		return refuse(error, "has a scheme that is not known here: write https://host");
	if (strpbrk(key, "\r\n") || !finish_gotify(service, key))
		return refuse(error, "comes with a key that is too long");
	text_copy(service->path, sizeof(service->path), "/message");
	return web_target_init(&service->target, &url, error);
}

static int parse_gotify(struct notify_service *service, const struct url *url,
			char error[WEB_ERROR_MAX])
{
	char before[URL_TEXT_MAX], last[URL_TEXT_MAX], token[URL_TEXT_MAX], path[URL_TEXT_MAX + 16];

	split_path(url->path, before, last);
	if (!last[0] || !url_decode(str_of(last), token, sizeof(token)) ||
	    !finish_gotify(service, token))
		return refuse(error, "has no token: write gotify://host/token");
	read_priority(service, url, "8");
	snprintf(path, sizeof(path), "%s/message", before);
	return aim(service, is_yes(url, "disabletls") ? "http" : "https", url->host, url->port,
		   path, error);
}

static bool add_basic(struct notify_service *service, const struct url *url)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789+/";
	char plain[520], packed[720] = "Basic ";
	size_t len, at = strlen(packed);

	if (!url->user[0] && !url->password[0])
		return true;
	len = (size_t)snprintf(plain, sizeof(plain), "%s:%s", url->user, url->password);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t three = (uint32_t)(uint8_t)plain[i] << 16;

		three |= i + 1 < len ? (uint32_t)(uint8_t)plain[i + 1] << 8 : 0;
		three |= i + 2 < len ? (uint32_t)(uint8_t)plain[i + 2] : 0;
		packed[at++] = letters[three >> 18];
		packed[at++] = letters[three >> 12 & 63];
		packed[at++] = i + 1 < len ? letters[three >> 6 & 63] : '=';
		packed[at++] = i + 2 < len ? letters[three & 63] : '=';
	}
	packed[at] = '\0';
	return add_header(service, "Authorization", packed);
}

static int parse_ntfy(struct notify_service *service, const struct url *url,
		      char error[WEB_ERROR_MAX])
{
	char before[URL_TEXT_MAX], topic[URL_TEXT_MAX], tags[256];

	split_path(url->path, before, topic);
	if (!topic[0])
		return refuse(error, "has no topic: write ntfy://host/topic");
	read_priority(service, url, "high");
	if (!add_header(service, "Priority", service->priority) || !add_basic(service, url) ||
	    (url_parameter(url, "tags", 0, tags, sizeof(tags)) &&
	     !add_header(service, "Tags", tags)))
		return refuse(error, "is too long");
	return aim(service, parameter_is(url, "scheme", "http") || is_yes(url, "disabletls") ?
		   "http" : "https", url->host[0] ? url->host : "ntfy.sh", url->port, url->path,
		   error);
}

/* "T00-B00-abc" and "T00/B00/abc" alike. */
static int aim_at_hook(struct notify_service *service, const char *token, char error[WEB_ERROR_MAX])
{
	char path[URL_TEXT_MAX + 16], *at;

	snprintf(path, sizeof(path), "/services/%s", token);
	for (at = path + strlen("/services/"); *at; at++)
		if (*at == '-')
			*at = '/';
	return aim(service, "https", "hooks.slack.com", 0, path, error);
}

static int parse_slack(struct notify_service *service, const struct url *url,
		       char error[WEB_ERROR_MAX])
{
	char token[2 * 256 + 32], bearer[sizeof(token) + 16];
	bool bot = strcmp(url->user, "xoxb") == 0 || strcmp(url->user, "xoxp") == 0;
	char old[URL_TEXT_MAX];
	size_t len;

	if (strcmp(url->user, "hook") == 0 && url->password[0])
		return aim_at_hook(service, url->password, error);
	if (bot && url->password[0]) {
		snprintf(token, sizeof(token), "%s-%s", url->user, url->password);
		snprintf(bearer, sizeof(bearer), "Bearer %s", token);
		text_copy(service->channel, sizeof(service->channel), url->host);
		/* A channel's id is in capitals, which a host is not. */
		for (char *c = service->channel; *c; c++)
			*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
		if (!add_header(service, "Authorization", bearer))
			return refuse(error, "is too long");
		return aim(service, "https", "slack.com", 0, "/api/chat.postMessage", error);
	}
	len = strlen(url->path);
	if (!url->host[0] || len < 4 || !strchr(url->path + 1, '/'))
		return refuse(error, "has no token: write slack://hook:T-B-C@webhook or "
			      "slack://xoxb:token@channel");
	/* Of the old form the first part stands where a host does, and lost its capitals there. */
	snprintf(old, sizeof(old), "%s%s", url->host, url->path);
	for (char *c = old; *c && *c != '/'; c++)
		*c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
	return aim_at_hook(service, old, error);
}

static int parse_discord(struct notify_service *service, const struct url *url,
			 char error[WEB_ERROR_MAX])
{
	char path[URL_TEXT_MAX];

	if (!url->user[0] || !url->host[0])
		return refuse(error, "has no token and id: write discord://token@id");
	snprintf(path, sizeof(path), "/api/webhooks/%s/%s", url->host, url->user);
	return aim(service, "https", "discord.com", 0, path, error);
}

/* The token has a colon in it: "110201543:AAHdqTcv...". */
static int parse_telegram(struct notify_service *services, unsigned max, const struct url *url,
			  char error[WEB_ERROR_MAX])
{
	char chats[URL_TEXT_MAX], path[URL_TEXT_MAX], *at = chats;
	unsigned count = 0;

	if (!url->user[0] || !url->password[0] ||
	    (!url_parameter(url, "chats", 0, chats, sizeof(chats)) &&
	     !url_parameter(url, "channels", 0, chats, sizeof(chats))))
		return refuse(error, "has no token or no chats: write "
			      "telegram://token@telegram?chats=@name");
	snprintf(path, sizeof(path), "/bot%s:%s/sendMessage", url->user, url->password);
	while (*at && count < max) {
		size_t len = strcspn(at, ",");
		struct notify_service *service = &services[count];

		if (len > 0) {
			*service = (struct notify_service){ .kind = find_kind("telegram") };
			snprintf(service->channel, sizeof(service->channel), "%.*s", (int)len, at);
			if (aim(service, "https", "api.telegram.org", 0, path, error) < 0)
				return -EINVAL;
			count++;
		}
		at += len + (at[len] == ',');
	}
	return (int)count;
}

static bool is_mailbox(const char *text)
{
	const char *at = strchr(text, '@');

	return at && at > text && at[1] && !strpbrk(text, " <>\r\n,;\"");
}

static int parse_smtp(struct notify_service *service, const struct url *url,
		      char error[WEB_ERROR_MAX])
{
	char to[URL_TEXT_MAX], encryption[32] = "auto", *at = to;
	bool implicit;
	unsigned count = 0;

	if (!url_parameter(url, "from", 0, service->from, sizeof(service->from)) &&
	    !url_parameter(url, "fromAddress", 0, service->from, sizeof(service->from)))
		service->from[0] = '\0';
	if (!url_parameter(url, "to", 0, to, sizeof(to)) &&
	    !url_parameter(url, "toAddresses", 0, to, sizeof(to)))
		to[0] = '\0';
	if (!is_mailbox(service->from) || !to[0])
		return refuse(error, "has no sender or receiver: write "
			      "smtp://host/?from=a@b.example&to=c@d.example");
	while (*at) {
		size_t len = strcspn(at, ",");

		if (count == NOTIFY_TO_MAX)
			return refuse(error, "has more than %d receivers", NOTIFY_TO_MAX);
		snprintf(service->to[count], sizeof(service->to[count]), "%.*s", (int)len, at);
		if (!is_mailbox(service->to[count]))
			return refuse(error, "has a receiver that is no address like a@b.example");
		count++;
		at += len + (at[len] == ',');
	}
	(void)url_parameter(url, "subject", 0, service->subject, sizeof(service->subject));
	(void)url_parameter(url, "encryption", 0, encryption, sizeof(encryption));
	text_copy(service->user, sizeof(service->user), url->user);
	text_copy(service->password, sizeof(service->password), url->password);
	service->mail = true;
	implicit = strcasecmp(encryption, "ImplicitTLS") == 0 || url->port == 465;
	/* A password goes over TLS or not at all. */
	service->tls_needed = !implicit && (strcasecmp(encryption, "ExplicitTLS") == 0 ||
					    is_yes(url, "starttls") || url->user[0]) &&
			      strcasecmp(encryption, "None") != 0 && !is_no(url, "starttls");
	return aim(service, implicit ? "smtps" : "smtp", url->host, url->port, "", error);
}

/* The parameters of generic: "@Name" is a header, "$name" a member, some are ours, the rest stays
 * in the URL. */
static int read_generic(struct notify_service *service, const struct url *url, char *query,
			size_t size, char error[WEB_ERROR_MAX])
{
	static const char *const ours[] = { "template", "disabletls", "contenttype", "method",
					    "messagekey", "titlekey" };
	const char *at = url->query;
	unsigned keys = 0;
	size_t used = 0;

	query[0] = '\0';
	while (*at) {
		size_t len = strcspn(at, "&");
		char name[128], value[512];
		const char *equals = memchr(at, '=', len);
		size_t name_len = equals ? (size_t)(equals - at) : len;
		bool is_ours = false;

		if (!url_decode((struct str){ at, name_len }, name, sizeof(name)) ||
		    !url_decode((struct str){ at + name_len + !!equals, len - name_len - !!equals },
				value, sizeof(value)))
			return refuse(error, "has a parameter that is too long or not well "
				      "escaped");
		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			is_ours |= strcasecmp(name, ours[i]) == 0;
		if (name[0] == '@' && !add_header(service, name + 1, value))
			return refuse(error, "has too many headers");
		if (name[0] == '$' && keys < NOTIFY_KEYS_MAX) {
			text_copy(service->keys[keys][0], sizeof(service->keys[0][0]), name + 1);
			text_copy(service->keys[keys++][1], sizeof(service->keys[0][1]), value);
		}
		if (!is_ours && name[0] != '@' && name[0] != '$' && used + len + 2 < size)
			used += (size_t)snprintf(query + used, size - used, "%s%.*s",
						 used ? "&" : "?", (int)len, at);
		at += len + (at[len] == '&');
	}
	return 0;
}

static int parse_generic(struct notify_service *service, const struct url *url, bool plain,
			 char error[WEB_ERROR_MAX])
{
	char query[URL_TEXT_MAX], path[2 * URL_TEXT_MAX], type[128];

	service->json = parameter_is(url, "template", "json");
	if (!url_parameter(url, "contenttype", 0, type, sizeof(type)))
		snprintf(type, sizeof(type), "%s",
			 service->json ? "application/json" : "text/plain");
	if (!add_header(service, "Content-Type", type) || !add_basic(service, url))
		return refuse(error, "is too long");
	if (read_generic(service, url, query, sizeof(query), error) < 0)
		return -EINVAL;
	snprintf(path, sizeof(path), "%s%s", url->path, query);
	return aim(service, plain || is_yes(url, "disabletls") ? "http" : "https", url->host,
		   url->port, path, error);
}

int notify_parse(struct notify_service *services, unsigned max, struct str text,
		 char error[WEB_ERROR_MAX])
{
	struct url url;
	bool plain;
	int err;

	if (max == 0)
		return refuse(error, "is one too many: at most %d services", NOTIFY_SERVICES_MAX);
	if (url_parse(text, NULL, &url, error) < 0)
		return -EINVAL;
	plain = strcmp(url.scheme, "generic+http") == 0;
	if (strncmp(url.scheme, "generic+http", 12) == 0)
		text_copy(url.scheme, sizeof(url.scheme), "generic");
	services[0] = (struct notify_service){ .kind = find_kind(url.scheme) };
	if (!services[0].kind)
		return refuse(error, "is of a service that is not known here: gotify, ntfy, "
			      "slack, discord, telegram, smtp or generic");
	if (strcmp(url.scheme, "telegram") == 0)
		return parse_telegram(services, max, &url, error);
	err = strcmp(url.scheme, "gotify") == 0 ? parse_gotify(services, &url, error) :
	      strcmp(url.scheme, "ntfy") == 0 ? parse_ntfy(services, &url, error) :
	      strcmp(url.scheme, "slack") == 0 ? parse_slack(services, &url, error) :
	      strcmp(url.scheme, "discord") == 0 ? parse_discord(services, &url, error) :
	      strcmp(url.scheme, "smtp") == 0 ? parse_smtp(services, &url, error) :
	      parse_generic(services, &url, plain, error);
	return err < 0 ? err : 1;
}
