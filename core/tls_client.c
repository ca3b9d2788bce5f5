/* tls_client.c - the client's side of a TLS connection, in memory, by an OpenSSL of version 3. */
#include "core/tls_client.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define SSL_FUNCTIONS(FUNCTION) \
	FUNCTION(TLS_client_method) FUNCTION(SSL_CTX_new) FUNCTION(SSL_CTX_free) \
	FUNCTION(SSL_CTX_ctrl) FUNCTION(SSL_CTX_set_verify) FUNCTION(SSL_CTX_load_verify_file) \
	FUNCTION(SSL_CTX_set_alpn_protos) FUNCTION(SSL_new) FUNCTION(SSL_free) \
	FUNCTION(SSL_ctrl) FUNCTION(SSL_set1_host) FUNCTION(SSL_set_hostflags) \
	FUNCTION(SSL_get0_param) FUNCTION(SSL_set_bio) FUNCTION(SSL_set_connect_state) \
	FUNCTION(SSL_do_handshake) FUNCTION(SSL_read) FUNCTION(SSL_write) FUNCTION(SSL_get_error) \
	FUNCTION(SSL_get_verify_result)
#define CRYPTO_FUNCTIONS(FUNCTION) \
	FUNCTION(BIO_new) FUNCTION(BIO_s_mem) FUNCTION(BIO_free) FUNCTION(BIO_read) \
	FUNCTION(BIO_write) FUNCTION(BIO_ctrl) FUNCTION(ERR_get_error) FUNCTION(ERR_clear_error) \
	FUNCTION(ERR_error_string_n) FUNCTION(X509_verify_cert_error_string) \
	FUNCTION(X509_VERIFY_PARAM_set1_ip_asc)

/* SSL_new() is lib.SSL_new(), and so on. */
static struct {
#define FUNCTION(name) __typeof__(&name) name;
	SSL_FUNCTIONS(FUNCTION)
	CRYPTO_FUNCTIONS(FUNCTION)
#undef FUNCTION
} lib;

static const struct {
	const char *name;
	size_t offset;
} functions[] = {
#define FUNCTION(function) { #function, offsetof(__typeof__(lib), function) },
	SSL_FUNCTIONS(FUNCTION)
	CRYPTO_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/* Where systems keep the authorities that they trust, in one file. */
static const char *const bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",   /* Debian, Ubuntu, Alpine, Arch */
	"/etc/pki/tls/certs/ca-bundle.crt",     /* Fedora, RHEL */
	"/etc/ssl/ca-bundle.pem",               /* SUSE */
	"/etc/ssl/cert.pem",                    /* Alpine, BSDs */
};

static SSL_CTX *context;                /* of all connections */

struct tls_client {
	SSL *ssl;
	BIO *in, *out;                  /* the SSL's */
	char error[160];
};

static int load_library(const char **error)
{
	static char text[256];
	/* libssl brings libcrypto, in which dlsym() looks too. */
	void *library = dlopen("libssl.so.3", RTLD_NOW | RTLD_LOCAL);

	*error = text;
	if (!library) {
		snprintf(text, sizeof(text), "DNS_UPSTREAMS: tls:// needs OpenSSL 3: install the "
			 "package libssl3 (%.120s)", dlerror());
		return -ENOENT;
	}
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		void *function = dlsym(library, functions[i].name);

		if (!function) {
			snprintf(text, sizeof(text), "DNS_UPSTREAMS: tls:// needs OpenSSL 3: this "
				 "libssl.so.3 has no %s", functions[i].name);
			return -ENOENT;
		}
		memcpy((char *)&lib + functions[i].offset, &function, sizeof(function));
	}
	return 0;
}

static int load_authorities(SSL_CTX *ctx, const char **error)
{
	static char text[256];
	const char *file = secure_getenv("SSL_CERT_FILE");

	*error = text;
	if (file && *file) {
		if (lib.SSL_CTX_load_verify_file(ctx, file) == 1)
			return 0;
		snprintf(text, sizeof(text), "DNS_UPSTREAMS: tls:// needs the certificates of "
			 "SSL_CERT_FILE=%.120s, which cannot be read", file);
		return -ENOENT;
	}
	for (size_t i = 0; i < ARRAY_LEN(bundles); i++)
		if (access(bundles[i], R_OK) == 0 &&
		    lib.SSL_CTX_load_verify_file(ctx, bundles[i]) == 1)
			return 0;
	*error = "DNS_UPSTREAMS: tls:// needs certificate authorities: install the package "
		 "ca-certificates, or set SSL_CERT_FILE";
	return -ENOENT;
}

int tls_client_load(const char **error)
{
	static const unsigned char alpn[] = "\3dot";
	SSL_CTX *ctx;
	int err;

	if (context)
		return 0;
	err = load_library(error);
	if (err < 0)
		return err;
	ctx = lib.SSL_CTX_new(lib.TLS_client_method());
	*error = "DNS_UPSTREAMS: OpenSSL cannot be started";
	if (!ctx)
		return -ENOENT;
	(void)lib.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
	(void)lib.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
	(void)lib.SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1);
	lib.SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	err = load_authorities(ctx, error);
	if (err < 0) {
		lib.SSL_CTX_free(ctx);
		return err;
	}
	context = ctx;
	return 0;
}

/* The certificate must be for the name, or for the address. */
static bool set_peer(SSL *ssl, const char *name, const union addr *addr)
{
	char text[ADDR_TEXT_MAX];

	if (!*name)
		return lib.X509_VERIFY_PARAM_set1_ip_asc(lib.SSL_get0_param(ssl),
							 addr_format_ip(addr, text)) == 1;
	lib.SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return lib.SSL_set1_host(ssl, name) == 1 &&
	       lib.SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
			    (void *)(uintptr_t)name) == 1;
}

int tls_client_open(struct tls_client **out, const char *name, const union addr *addr)
{
	struct tls_client *tls = calloc(1, sizeof(*tls));

	if (!tls || !context) {
		free(tls);
		return context ? -ENOMEM : -EINVAL;
	}
	tls->ssl = lib.SSL_new(context);
	tls->in = lib.BIO_new(lib.BIO_s_mem());
	tls->out = lib.BIO_new(lib.BIO_s_mem());
	if (!tls->ssl || !tls->in || !tls->out || !set_peer(tls->ssl, name, addr)) {
		if (tls->in)
			lib.BIO_free(tls->in);
		if (tls->out)
			lib.BIO_free(tls->out);
		if (tls->ssl)
			lib.SSL_free(tls->ssl);
		free(tls);
		return -ENOMEM;
	}
	/* Empty means "later", not the end. */
	(void)lib.BIO_ctrl(tls->in, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, NULL);
	(void)lib.BIO_ctrl(tls->out, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, NULL);
	lib.SSL_set_bio(tls->ssl, tls->in, tls->out);
	lib.SSL_set_connect_state(tls->ssl);
	*out = tls;
	return 0;
}

void tls_client_close(struct tls_client *tls)
{
	if (!tls)
		return;
	lib.SSL_free(tls->ssl);                 /* and its BIOs */
	free(tls);
}

int tls_client_feed(struct tls_client *tls, const uint8_t *data, size_t len)
{
	return lib.BIO_write(tls->in, data, (int)len) == (int)len ? 0 : -ENOMEM;
}

size_t tls_client_take(struct tls_client *tls, uint8_t *out, size_t size)
{
	int len = lib.BIO_read(tls->out, out, (int)size);

	return len > 0 ? (size_t)len : 0;
}

/* result: of the call before, which has failed. */
static int error_of(struct tls_client *tls, int result)
{
	long verified;
	char text[128];

	switch (lib.SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	}
	verified = lib.SSL_get_verify_result(tls->ssl);
	if (verified != X509_V_OK)
		text_copy(text, sizeof(text), lib.X509_verify_cert_error_string(verified));
	else
		lib.ERR_error_string_n(lib.ERR_get_error(), text, sizeof(text));
	snprintf(tls->error, sizeof(tls->error), "%s%s",
		 verified != X509_V_OK ? "certificate: " : "", text);
	lib.ERR_clear_error();
	return -EPROTO;
}

int tls_client_shake(struct tls_client *tls)
{
	int result, err;

	lib.ERR_clear_error();
	result = lib.SSL_do_handshake(tls->ssl);
	if (result == 1)
		return 0;
	err = error_of(tls, result);
	return err == 0 ? -EPROTO : err;
}

ssize_t tls_client_read(struct tls_client *tls, uint8_t *out, size_t size)
{
	int len;

	lib.ERR_clear_error();
	len = lib.SSL_read(tls->ssl, out, (int)size);
	return len > 0 ? len : error_of(tls, len);
}

int tls_client_write(struct tls_client *tls, const uint8_t *data, size_t len)
{
	int sent;

	lib.ERR_clear_error();
	sent = lib.SSL_write(tls->ssl, data, (int)len);
	if (sent == (int)len)
		return 0;
	return sent <= 0 && error_of(tls, sent) == -EAGAIN ? -EAGAIN : -EPROTO;
}

void tls_client_error(const struct tls_client *tls, char *text, size_t size)
{
	text_copy(text, size, tls->error[0] ? tls->error : "closed during the handshake");
}
