/* What a watcher asks: one JSON object of strings and numbers, no deeper. */
#ifndef MST_DAEMON_QUESTION_H
#define MST_DAEMON_QUESTION_H

#include "multistack/error.h"
#include "multistack/types.h"

#define MST__QUESTION_BYTES_MAX 4096u
#define MST__QUESTION_TEXT_BYTES 48u

struct mst__question {
  char what[MST__QUESTION_TEXT_BYTES]; /* "channels", "ports", "leases", "sockets" or "capture" */
  int64_t channel;                     /* only this one; -1: all */
  char port[MST__QUESTION_TEXT_BYTES]; /* of the switch, by name; "": none */
  /* Of a capture: */
  uint8_t protocol; /* MST_TCP, MST_UDP; 0: all */
  bool has_address;
  struct mst_addr address; /* at either end */
  uint16_t number;         /* of a TCP or UDP port at either end; 0: any */
  uint32_t snap_bytes;     /* of each packet, at most */
};

/* 0, or -MST_EINVAL with the reason in `failure`. */
int mst__question_parse(const char *text, size_t bytes, struct mst__question *out, struct mst_failure *failure);

#endif
