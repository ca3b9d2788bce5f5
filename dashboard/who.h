/* who.h - who asks, and what they may. */
#ifndef DASHBOARD_WHO_H
#define DASHBOARD_WHO_H

enum who_kind { WHO_NOBODY, WHO_ANYONE, WHO_KEY, WHO_SESSION, WHO_PROXY };

enum who_may {
	MAY_READ = 1,                   /* look at everything but keys */
	MAY_CHANGE = 2,                 /* unblock, clear */
	MAY_AGENT = 4,                  /* ship events, fetch and acknowledge unblocks */
	MAY_KEYS = 8,                   /* see, make and remove keys */
};

enum { WHO_NAME_MAX = 80, WHO_HASH_MAX = 72 };

struct who {
	enum who_kind kind;
	unsigned may;                   /* of enum who_may */
	char name[WHO_NAME_MAX];        /* "admin", "key:agents": for the audit */
	char hash[WHO_HASH_MAX];        /* of the key, or the session's token */
};

#endif
