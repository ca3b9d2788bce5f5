/* api_openapi.c - the description of the API, openapi.json, as it is. */
#include "dashboard/route.h"

extern const char openapi_json[];       /* made of openapi.json */

void api_openapi(struct request *request, struct store *store)
{
	(void)store;
	reply_json_text(request, 200, openapi_json);
}
