/* dns_type.c - what types and rcodes are called (the registries that RFC 6895 set up). */
#include <stdio.h>
#include <stdlib.h>

#include "proto/dns_wire.h"

static const struct type_name {
	uint16_t type;
	const char *name;
} type_names[] = {
	{ 1, "A" }, { 2, "NS" }, { 5, "CNAME" }, { 6, "SOA" }, { 10, "NULL" }, { 11, "WKS" },
	{ 12, "PTR" }, { 13, "HINFO" }, { 14, "MINFO" }, { 15, "MX" }, { 16, "TXT" }, { 17, "RP" },
	{ 18, "AFSDB" }, { 24, "SIG" }, { 25, "KEY" }, { 28, "AAAA" }, { 29, "LOC" },
	{ 33, "SRV" }, { 35, "NAPTR" }, { 36, "KX" }, { 37, "CERT" }, { 39, "DNAME" },
	{ 41, "OPT" }, { 42, "APL" }, { 43, "DS" }, { 44, "SSHFP" }, { 45, "IPSECKEY" },
	{ 46, "RRSIG" }, { 47, "NSEC" }, { 48, "DNSKEY" }, { 49, "DHCID" }, { 50, "NSEC3" },
	{ 51, "NSEC3PARAM" }, { 52, "TLSA" }, { 53, "SMIMEA" }, { 55, "HIP" }, { 59, "CDS" },
	{ 60, "CDNSKEY" }, { 61, "OPENPGPKEY" }, { 62, "CSYNC" }, { 63, "ZONEMD" }, { 64, "SVCB" },
	{ 65, "HTTPS" }, { 99, "SPF" }, { 108, "EUI48" }, { 109, "EUI64" }, { 249, "TKEY" },
	{ 250, "TSIG" }, { 251, "IXFR" }, { 252, "AXFR" }, { 255, "ANY" }, { 256, "URI" },
	{ 257, "CAA" },
};

static const char *const rcode_names[] = {
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
	"NXRRSET", "NOTAUTH", "NOTZONE",
};

const char *dns_type_name(uint16_t type, char *out, size_t size)
{
	for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
		if (type_names[i].type == type)
			return type_names[i].name;
	snprintf(out, size, "TYPE%u", type);
	return out;
}

uint16_t dns_type_from_name(struct str name)
{
	unsigned long number = 0;

	for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
		if (str_equal_nocase(str_of(type_names[i].name), name))
			return type_names[i].type;
	if (name.len < 5 || name.len > 9 ||
	    !str_equal_nocase((struct str){ name.at, 4 }, STR("TYPE")))
		return 0;
	for (size_t i = 4; i < name.len; i++) {
		if (name.at[i] < '0' || name.at[i] > '9')
			return 0;
		number = number * 10 + (unsigned)(name.at[i] - '0');
	}
	return number <= UINT16_MAX ? (uint16_t)number : 0;
}

const char *dns_rcode_name(unsigned rcode, char *out, size_t size)
{
	if (rcode < ARRAY_LEN(rcode_names))
		return rcode_names[rcode];
	if (rcode == DNS_RCODE_BADVERS)
		return "BADVERS";
	snprintf(out, size, "RCODE%u", rcode);
	return out;
}
