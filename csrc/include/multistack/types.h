/* Addresses, endpoints and tuples: the words that every part of MultiStack shares. */
#ifndef MULTISTACK_TYPES_H
#define MULTISTACK_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An IP address. IPv4 is held IPv4-mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so one key serves both families.
 * `::ffff:0.0.0.0` is the IPv4 wildcard, `::` the wildcard of IPv6, or of both families (see MST_BIND_V6ONLY). */
struct mst_addr {
  uint8_t bytes[16];
};

struct mst_endpoint {
  struct mst_addr addr;
  uint32_t scope_id; /* interface index of a link-local IPv6 address, else 0 */
  uint16_t port;     /* host byte order */
};

enum mst_protocol { MST_ICMP = 1, MST_TCP = 6, MST_UDP = 17, MST_ICMP6 = 58 };

/* The unit of ownership. */
struct mst_tuple {
  struct mst_addr addr; /* exact, or a wildcard */
  uint16_t port;        /* host byte order */
  uint8_t protocol;     /* MST_TCP or MST_UDP */
  uint8_t flags;        /* MST_BIND_... */
};

enum mst_bind_flags {
  MST_BIND_V6ONLY = 1, /* `::` means IPv6 alone; without it `::` holds the IPv4 wildcard too */
  MST_BIND_GROUP = 2,  /* share the tuple with other channels that ask so (the meaning of SO_REUSEPORT) */
  MST_BIND_TAKE = 4,   /* take it over from a channel of the same owner that offers it */
};

#define MST_ADDR_ANY6 ((struct mst_addr){{0}})
#define MST_ADDR_ANY4 ((struct mst_addr){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}})

/* From 4 bytes in network order. */
struct mst_addr mst_addr_ip4(const uint8_t bytes[4]);

bool mst_addr_is_ip4(const struct mst_addr *addr);
bool mst_addr_is_any(const struct mst_addr *addr); /* either wildcard */
bool mst_addr_is_loopback(const struct mst_addr *addr);
bool mst_addr_is_multicast(const struct mst_addr *addr); /* or IPv4 limited broadcast */
bool mst_addr_equal(const struct mst_addr *a, const struct mst_addr *b);

/* Parse "1.2.3.4" or "fe80::1". Returns 0 or -MST_EINVAL. */
int mst_addr_parse(const char *text, struct mst_addr *out);

/* Write the usual text form; `out` holds at least MST_ADDR_TEXT_BYTES. Returns `out`. */
#define MST_ADDR_TEXT_BYTES 48
char *mst_addr_format(const struct mst_addr *addr, char *out);

#ifdef __cplusplus
}
#endif
#endif
