/* What the ports share: failures told in one line, and the openers behind mst_port_open. */
#ifndef MST_PORT_INTERNAL_H
#define MST_PORT_INTERNAL_H

#include "multistack/port.h"

/* Fill `failure` (may be NULL) and return `code`. A negative errno that is no -MST_E... becomes -MST_EIO. */
int mst__port_fail(struct mst_failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Add to the reason why a port is not in its best mode, unless it says so already. */
#define MST__PORT_REASON_BYTES 160
void mst__port_reason(char reason[MST__PORT_REASON_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Where in an IP packet the transport checksum stands, as virtio-net and the kernel say it: it covers what begins at
 * `start`, and is stored `offset` behind that. False when it has none that we know. */
#define MST__TCP_CHECKSUM_OFFSET 16u
struct mst__checksum_place {
  uint16_t start, offset;
};
bool mst__port_checksum_place(const uint8_t *packet, uint32_t len, struct mst__checksum_place *out);

/* What is left of a port before: the opener puts -1 where it has taken a descriptor; the others are closed. */
struct mst__port_legacy {
  int fds[MST_PORT_EXPORT_MAX]; /* as its export_fds gave them, -1: none */
};

/* Openers: `device` is the spec's first word, `options` the rest after the comma ("" when there is none), which the
 * opener takes apart with mst__port_option. */
int mst__xdp_open(const char *device, char *options, struct mst__port_legacy *legacy, struct mst_port **out,
                  struct mst_failure *failure);
int mst__tap_open(const char *device, char *options, struct mst__port_legacy *legacy, struct mst_port **out,
                  struct mst_failure *failure);

/* Take the next `key=value` off `*options`; both strings stay in place. False at the end. A word without `=` has the
 * value "". */
bool mst__port_option(char **options, char **key, char **value);

#endif
