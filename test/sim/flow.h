/* One connection between two stacks, from the client to the server, that carries bytes in one direction or both, each
 * checked by its place. For tests of what happens on the way. */
#ifndef TEST_SIM_FLOW_H
#define TEST_SIM_FLOW_H

#include "sim.h"

struct flow_end {
  struct flow *flow;
  struct sim_node *node;
  mst_conn *conn;
  uint64_t to_send, sent, received;
  bool wrong; /* a byte came that nobody sent */
  int error;
};

struct flow {
  struct sim *sim;
  struct flow_end client, server;
};

struct flow_options {
  struct mst_stack_options client, server;
  struct sim_link forward, back; /* out of the client, out of the server */
  bool ip6;
  uint32_t mtu;                  /* 0: 1500 */
  uint64_t to_server, to_client; /* bytes */
  uint64_t seed;
};

/* Two stacks on their links; boxes may be added. */
void flow_open(struct flow *flow, const struct flow_options *options);
/* Connect and carry. False: not all had come after so long. May be called again after more was added to to_send. */
bool flow_run(struct flow *flow, double seconds);
struct mst_tcp_info flow_info(const struct flow_end *end);
struct mst_stack_stats flow_stats(const struct flow_end *end);
/* Returns what sim_free returns. */
size_t flow_close(struct flow *flow);

#endif
