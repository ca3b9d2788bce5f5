/* tls_front.h - for tests: TLS before a DNS server's TCP port, with a certificate made on the spot;
 * a thread for each connection. */
#ifndef TESTS_UNIT_TLS_FRONT_H
#define TESTS_UNIT_TLS_FRONT_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tests/unit/dns_server.h"

enum { TLS_FRONT_CONNS = 64 };

struct tls_front {
	SSL_CTX *context;
	int listener;
	uint16_t port, to_port;
	atomic_bool close_conns;        /* after each answer */
	pthread_t thread, conns[TLS_FRONT_CONNS];
	_Atomic unsigned conn_count, shaken;
};

struct tls_front_conn {
	struct tls_front *front;
	int fd;
};

/* For dns.test and 127.0.0.1, signed by itself. */
static inline X509 *tls_front_certificate(EVP_PKEY *key)
{
	static const struct { int nid; const char *value; } extensions[] = {
		{ NID_subject_alt_name, "DNS:dns.test,IP:127.0.0.1" },
		{ NID_basic_constraints, "critical,CA:TRUE" },
	};
	X509 *certificate = X509_new();
	int ok = X509_set_version(certificate, X509_VERSION_3);

	ok &= ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	ok &= X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL;
	ok &= X509_gmtime_adj(X509_getm_notAfter(certificate), 3600) != NULL;
	ok &= X509_set_pubkey(certificate, key);
	ok &= X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
					 (const unsigned char *)"test", -1, -1, 0);
	ok &= X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	for (unsigned i = 0; i < 2; i++) {
		X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, extensions[i].nid,
								extensions[i].value);

		ok &= extension && X509_add_ext(certificate, extension, -1);
		X509_EXTENSION_free(extension);
	}
	ok &= X509_sign(certificate, key, EVP_sha256()) > 0;
	assert(ok);
	return certificate;
}

/* A key and its certificate, which goes into the file too unless that is NULL. */
static inline SSL_CTX *tls_front_context(FILE *authorities)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = tls_front_certificate(key);
	int ok = SSL_CTX_use_certificate(context, certificate) &&
		 SSL_CTX_use_PrivateKey(context, key) &&
		 (!authorities || PEM_write_X509(authorities, certificate));

	assert(ok);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

static inline bool tls_front_read(SSL *ssl, uint8_t *data, size_t len)
{
	size_t got = 0;
	int n = 1;

	while (got < len && (n = SSL_read(ssl, data + got, (int)(len - got))) > 0)
		got += (size_t)n;
	return got == len;
}

/* One message there and back. */
static inline bool tls_front_pass(SSL *ssl, int to)
{
	static _Thread_local uint8_t data[2 + 65535];
	size_t len;

	if (!tls_front_read(ssl, data, 2))
		return false;
	len = (size_t)data[0] << 8 | data[1];
	if (!tls_front_read(ssl, data + 2, len) ||
	    send(to, data, 2 + len, MSG_NOSIGNAL) != (ssize_t)(2 + len) ||
	    recv(to, data, 2, MSG_WAITALL) != 2)
		return false;
	len = (size_t)data[0] << 8 | data[1];
	return recv(to, data + 2, len, MSG_WAITALL) == (ssize_t)len &&
	       SSL_write(ssl, data, (int)(2 + len)) > 0;
}

static inline void *tls_front_serve(void *arg)
{
	struct tls_front_conn conn = *(struct tls_front_conn *)arg;
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(conn.front->to_port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(conn.front->context);

	free(arg);
	SSL_set_fd(ssl, conn.fd);
	if (connect(to, (struct sockaddr *)&addr, sizeof(addr)) == 0 && SSL_accept(ssl) == 1) {
		conn.front->shaken++;
		while (tls_front_pass(ssl, to) && !conn.front->close_conns)
			;
		(void)SSL_shutdown(ssl);
	}
	SSL_free(ssl);
	close(to);
	close(conn.fd);
	return NULL;
}

static inline void *tls_front_main(void *arg)
{
	struct tls_front *front = arg;
	int fd;

	while ((fd = accept4(front->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		struct tls_front_conn *conn = malloc(sizeof(*conn));
		int err;

		assert(conn && front->conn_count < TLS_FRONT_CONNS);
		*conn = (struct tls_front_conn){ front, fd };
		err = pthread_create(&front->conns[front->conn_count], NULL, tls_front_serve, conn);
		assert(err == 0);
		front->conn_count++;
	}
	return NULL;
}

static inline struct tls_front *tls_front_start(SSL_CTX *context, uint16_t to_port)
{
	struct tls_front *front = calloc(1, sizeof(*front));
	int err;

	assert(front != NULL);
	front->context = context;
	front->to_port = to_port;
	front->listener = dns_server_bind(SOCK_STREAM, &front->port);
	err = listen(front->listener, 16);
	assert(err == 0);
	err = pthread_create(&front->thread, NULL, tls_front_main, front);
	assert(err == 0);
	return front;
}

/* When its clients have closed. */
static inline void tls_front_stop(struct tls_front *front)
{
	(void)shutdown(front->listener, SHUT_RDWR);
	pthread_join(front->thread, NULL);
	for (unsigned i = 0; i < front->conn_count; i++)
		pthread_join(front->conns[i], NULL);
	close(front->listener);
	free(front);
}

#endif
