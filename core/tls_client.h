/* tls_client.h - the client's side of a TLS connection, in memory: bytes in, bytes out.
 * The caller moves them.  OpenSSL is loaded when the first server needs it: a filter without
 * tls:// in DNS_UPSTREAMS neither loads nor needs it.  Built against its header, so types and
 * constants are checked. */
#ifndef CORE_TLS_CLIENT_H
#define CORE_TLS_CLIENT_H

#include <sys/types.h>

#include "core/addr.h"

struct tls_client;

/* Before threads start: load OpenSSL and the certificate authorities (SSL_CERT_FILE, else the
 * system's).  0, or -ENOENT with *error one line that says what to install. */
int tls_client_load(const char **error);

/* name: what the certificate must be for; "": the address.  0, -ENOMEM, or -EINVAL. */
int tls_client_open(struct tls_client **tls, const char *name, const union addr *addr);
void tls_client_close(struct tls_client *tls);  /* NULL is fine */

/* What the peer sent, all of it.  0 or -ENOMEM. */
int tls_client_feed(struct tls_client *tls, const uint8_t *data, size_t len);
/* What is to be sent to the peer: as much as fits; 0: nothing. */
size_t tls_client_take(struct tls_client *tls, uint8_t *out, size_t size);

/* Go on with the handshake.  0: it is done and the certificate is good; -EAGAIN: more must be sent
 * or fed first; -EPROTO: it failed, tls_client_error() says why. */
int tls_client_shake(struct tls_client *tls);
/* Plain bytes to and from; all or nothing.  -EAGAIN: nothing there yet; 0: the peer has ended;
 * -EPROTO. */
ssize_t tls_client_read(struct tls_client *tls, uint8_t *out, size_t size);
int tls_client_write(struct tls_client *tls, const uint8_t *data, size_t len);

/* One line, in the caller's memory. */
void tls_client_error(const struct tls_client *tls, char *text, size_t size);

#endif
