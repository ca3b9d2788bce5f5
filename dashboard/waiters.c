/* waiters.c - a list of suspended requests. */
#include "dashboard/waiters.h"

#include <pthread.h>
#include <stdlib.h>

#include "dashboard/rfc3339.h"

struct waiters {
	pthread_mutex_t lock;
	struct request *first;
	bool awake, closing;
	uint64_t wakes;
};

struct waiters *waiters_open(void)
{
	struct waiters *waiters = calloc(1, sizeof(*waiters));

	if (waiters)
		pthread_mutex_init(&waiters->lock, NULL);
	return waiters;
}

/* Nothing came: an answer that says so. */
static void answer(struct request *request)
{
	request->parked = false;
	reply_json_text(request, 200, "{\"changed\":false,\"managed\":false,\"pending\":[]}\n");
	server_done(request);
}

void waiters_look(struct request *request)
{
	struct waiters *waiters = request->server->waiters;

	pthread_mutex_lock(&waiters->lock);
	request->wakes_seen = waiters->wakes;
	pthread_mutex_unlock(&waiters->lock);
}

void waiters_park(struct request *request)
{
	struct waiters *waiters = request->server->waiters;
	bool closing;

	pthread_mutex_lock(&waiters->lock);
	closing = waiters->closing;
	if (!closing) {
		/* Something came while it was looking, and may not have been there yet. */
		request->look_again = request->wakes_seen != waiters->wakes;
		request->next_parked = waiters->first;
		waiters->first = request;
	}
	if (!closing && request->look_again)
		server_wake(request->server);
	pthread_mutex_unlock(&waiters->lock);
	if (closing)
		answer(request);
}

void waiters_wake(struct server *server)
{
	pthread_mutex_lock(&server->waiters->lock);
	server->waiters->awake = true;
	server->waiters->wakes++;
	pthread_mutex_unlock(&server->waiters->lock);
	server_wake(server);
}

/* Those that are due, off the list. */
static struct request *take_due(struct waiters *waiters, int64_t now)
{
	struct request **at, *due = NULL;

	pthread_mutex_lock(&waiters->lock);
	for (at = &waiters->first; *at; ) {
		struct request *request = *at;

		if (!waiters->awake && !waiters->closing && !request->look_again &&
		    now < request->park_until_ns) {
			at = &request->next_parked;
			continue;
		}
		*at = request->next_parked;
		request->next_parked = due;
		due = request;
	}
	waiters->awake = false;
	pthread_mutex_unlock(&waiters->lock);
	return due;
}

void waiters_run(struct server *server)
{
	struct request *due = take_due(server->waiters, clock_steady_ns());

	while (due) {
		struct request *request = due;

		due = request->next_parked;
		request->parked = false;
		if (server->stopping || !work_push(server->readers, &request->job))
			answer(request);
	}
}

void waiters_stop(struct server *server)
{
	if (!server->waiters)
		return;
	pthread_mutex_lock(&server->waiters->lock);
	server->waiters->closing = true;
	pthread_mutex_unlock(&server->waiters->lock);
	waiters_run(server);
}

void waiters_close(struct waiters *waiters)
{
	if (waiters)
		pthread_mutex_destroy(&waiters->lock);
	free(waiters);
}
