/* Groups: flows stay where they are while members join, leave, are away and are succeeded. */
#include "switch/group.h"
#include "switch_rig.h"
#include <stdio.h>

#define MEMBERS_MAX 6u
#define FLOWS 4000u
#define FLOWS_PER_ADDRESS 2000u
#define NOBODY 99u

/* The rig's channel 2 is the clients, the rest are members of a group at 10.0.0.1:80. */
struct members {
  struct rig rig;
  mst_channel *channel[MEMBERS_MAX];
  unsigned id[MEMBERS_MAX];
  struct mst_tuple tuple;
  unsigned holder[FLOWS];
};

static void attach(struct members *m, unsigned member) {
  struct mst_switch_channel_options options = {.size = sizeof options, .owner = 1000};
  assert_int_equal(mst_channel_create(NULL, &m->channel[member]), 0);
  assert_int_equal(mst_switch_attach(m->rig.sw, m->channel[member], &options, &m->id[member]), 0);
}

static int join(struct members *m, unsigned member) {
  if (!m->channel[member]) attach(m, member);
  struct mst_tuple tuple = m->tuple;
  return mst_switch_lease(m->rig.sw, m->id[member], &tuple);
}

static void client_of(unsigned flow, char *address, uint16_t *port) {
  sprintf(address, "10.1.%u.1", flow / FLOWS_PER_ADDRESS);
  *port = (uint16_t)(10000 + flow % FLOWS_PER_ADDRESS);
}

static void open_group(struct members *m, uint8_t protocol, unsigned members) {
  *m = (struct members){0};
  rig_open(&m->rig, false, NULL);
  m->tuple = rig_tuple("10.0.0.1", 80, protocol, MST_BIND_GROUP);
  for (unsigned flow = 0; flow < FLOWS; flow++) {
    char address[32];
    uint16_t port;
    client_of(flow, address, &port);
    assert_int_equal(rig_lease(&m->rig, 2, address, port, protocol, 0), 0);
  }
  for (unsigned i = 0; i < members; i++) assert_int_equal(join(m, i), 0);
}

static void close_group(struct members *m) {
  rig_close(&m->rig);
  for (unsigned i = 0; i < MEMBERS_MAX; i++) mst_channel_destroy(m->channel[i]);
}

static size_t build(const struct members *m, uint8_t *out, const char *from, uint16_t from_port, const char *to,
                    uint16_t to_port, uint8_t flags) {
  if (m->tuple.protocol == MST_UDP) return rig_udp(out, from, from_port, to, to_port, 8);
  struct sim_segment segment = {.source = addr(from),
                                .destination = addr(to),
                                .source_port = from_port,
                                .destination_port = to_port,
                                .flags = flags};
  return sim_segment_build(out, &segment);
}

static size_t drain(mst_channel *channel) {
  struct mst_packet packet;
  size_t count = 0;
  while (channel && mst_channel_receive(channel, &packet, 1)) {
    mst_channel_release(channel, 1);
    count++;
  }
  return count;
}

/* A packet of this flow from its client: which member gets it? */
static unsigned arrives_at(struct members *m, unsigned flow, uint8_t flags) {
  uint8_t packet[200];
  char address[32];
  uint16_t port;
  client_of(flow, address, &port);
  size_t bytes = build(m, packet, address, port, "10.0.0.1", 80, flags);
  assert_int_equal(rig_send(&m->rig, 2, packet, bytes, 0), 0);
  rig_process(&m->rig);
  unsigned got = NOBODY;
  for (unsigned i = 0; i < MEMBERS_MAX; i++) {
    if (!drain(m->channel[i])) continue;
    assert_int_equal(got, NOBODY);
    got = i;
  }
  return got;
}

static void answer(struct members *m, unsigned member, unsigned flow, uint8_t flags) {
  uint8_t packet[200];
  char address[32];
  uint16_t port;
  client_of(flow, address, &port);
  size_t bytes = build(m, packet, "10.0.0.1", 80, address, port, flags);
  struct mst_packet out = {.len = (uint32_t)bytes, .iov_count = 1, .iov = {{packet, bytes}}};
  assert_int_equal(mst_channel_send(m->channel[member], &out), 0);
  rig_process(&m->rig);
  assert_int_equal(rig_received(&m->rig, 2, NULL, NULL), 1);
}

/* The first packet of each flow and its answer, which pins it. */
static void establish(struct members *m, unsigned first, unsigned end) {
  for (unsigned flow = first; flow < end; flow++) {
    m->holder[flow] = arrives_at(m, flow, SIM_SYN);
    answer(m, m->holder[flow], flow, SIM_SYN | SIM_ACK);
  }
}

static void expect_undisturbed(struct members *m, unsigned first, unsigned end) {
  for (unsigned flow = first; flow < end; flow++) assert_int_equal(arrives_at(m, flow, SIM_ACK), m->holder[flow]);
}

static void joins_and_leaves_break_no_flow(uint8_t protocol) {
  struct members m;
  open_group(&m, protocol, 2);
  establish(&m, 0, 2000);
  assert_int_equal(join(&m, 2), 0);
  assert_int_equal(join(&m, 3), 0);
  expect_undisturbed(&m, 0, 2000);
  establish(&m, 2000, FLOWS);
  unsigned of[MEMBERS_MAX] = {0};
  for (unsigned flow = 2000; flow < FLOWS; flow++) of[m.holder[flow]]++;
  for (unsigned i = 0; i < 4; i++) assert_true(of[i] > 350 && of[i] < 650); /* spread evenly */
  mst_switch_release(m.rig.sw, m.id[1], &m.tuple);
  mst_switch_detach(m.rig.sw, m.id[2]);
  for (unsigned flow = 0; flow < FLOWS; flow++) {
    unsigned got = arrives_at(&m, flow, SIM_ACK);
    if (m.holder[flow] == 1 || m.holder[flow] == 2)
      assert_true(got == 0 || got == 3);
    else
      assert_int_equal(got, m.holder[flow]);
  }
  /* One comes back, to the same place perhaps: it has no flows of before. */
  assert_int_equal(join(&m, 1), 0);
  for (unsigned flow = 0; flow < FLOWS; flow++)
    if (m.holder[flow] == 0 || m.holder[flow] == 3) assert_int_equal(arrives_at(&m, flow, SIM_ACK), m.holder[flow]);
  close_group(&m);
}

static void joins_and_leaves_break_no_tcp_flow(void **state) {
  (void)state;
  joins_and_leaves_break_no_flow(MST_TCP);
}
static void joins_and_leaves_break_no_udp_flow(void **state) {
  (void)state;
  joins_and_leaves_break_no_flow(MST_UDP);
}

/* The first to be known of a flow is the one who sends, whoever spreading would choose. */
static void who_sends_has_the_flow(void **state) {
  (void)state;
  struct members m;
  open_group(&m, MST_UDP, 3);
  for (unsigned flow = 0; flow < 300; flow++) {
    answer(&m, flow % 3, flow, 0);
    assert_int_equal(arrives_at(&m, flow, 0), flow % 3);
    answer(&m, (flow + 1) % 3, flow, 0);
    assert_int_equal(arrives_at(&m, flow, 0), (flow + 1) % 3);
  }
  close_group(&m);
}

/* --- away --- */

static void flows_wait_for_members_that_are_away(void **state) {
  (void)state;
  struct members m;
  struct mst_switch_channel_options options = {.size = sizeof options, .owner = 1000};
  unsigned limbo;
  open_group(&m, MST_TCP, 2);
  establish(&m, 0, 500);
  assert_int_equal(mst_switch_attach(m.rig.sw, NULL, &options, &limbo), 0);
  assert_int_equal(mst_switch_transfer(m.rig.sw, m.id[0], limbo, &m.tuple), 0);
  for (unsigned flow = 0; flow < 500; flow++)
    assert_int_equal(arrives_at(&m, flow, SIM_ACK), m.holder[flow] == 0 ? NOBODY : m.holder[flow]);
  for (unsigned flow = 500; flow < 1000; flow++) {
    assert_int_equal(arrives_at(&m, flow, SIM_ACK), NOBODY); /* perhaps its own: no reset */
    assert_int_equal(arrives_at(&m, flow, SIM_SYN), 1);      /* news goes to who is there */
  }
  assert_int_equal(mst_switch_transfer(m.rig.sw, limbo, m.id[0], &m.tuple), 0);
  expect_undisturbed(&m, 0, 500);
  for (unsigned flow = 500; flow < 600; flow++) assert_int_not_equal(arrives_at(&m, flow, SIM_ACK), NOBODY);
  close_group(&m);
}

static struct mst_endpoint remote_of(unsigned flow) {
  char address[32];
  struct mst_endpoint remote = {0};
  client_of(flow, address, &remote.port);
  remote.addr = addr(address);
  return remote;
}

static void declared_flows_are_known(const char *address) {
  struct members m;
  struct mst_endpoint remotes[100];
  open_group(&m, MST_TCP, 0);
  m.tuple.addr = addr(address);
  for (unsigned i = 0; i < 2; i++) assert_int_equal(join(&m, i), 0);
  for (unsigned i = 0; i < 200; i++) {
    remotes[i % 100] = remote_of(i);
    if (i % 100 == 99) assert_int_equal(mst_switch_declare(m.rig.sw, m.id[i / 100], &m.tuple, remotes, 100), 0);
  }
  for (unsigned flow = 0; flow < 200; flow++) assert_int_equal(arrives_at(&m, flow, SIM_ACK), flow / 100);
  struct mst_tuple other = rig_tuple("10.0.0.1", 81, MST_TCP, 0);
  assert_int_equal(mst_switch_declare(m.rig.sw, m.id[0], &other, remotes, 1), -MST_EBADF);
  assert_int_equal(mst_switch_declare(m.rig.sw, m.rig.id[2], &m.tuple, remotes, 1), -MST_EBADF);
  close_group(&m);
}

static void declared_flows_of_an_address_are_known(void **state) {
  (void)state;
  declared_flows_are_known("10.0.0.1");
}
static void declared_flows_of_a_wildcard_are_known(void **state) {
  (void)state;
  declared_flows_are_known("0.0.0.0");
  declared_flows_are_known("::");
}

/* --- succession --- */

static void a_listener_is_handed_over(void **state) {
  (void)state;
  struct members m;
  struct mst_endpoint remotes[10];
  open_group(&m, MST_TCP, 0);
  m.tuple.flags = 0; /* nobody may share it */
  assert_int_equal(join(&m, 0), 0);
  for (unsigned flow = 0; flow < 1000; flow++) m.holder[flow] = 0;
  for (unsigned flow = 10; flow < 20; flow++) answer(&m, 0, flow, SIM_SYN | SIM_ACK); /* before it was a group's */
  m.tuple.flags = MST_BIND_TAKE;
  assert_int_equal(join(&m, 1), -MST_EADDRINUSE); /* not offered */
  for (unsigned i = 0; i < 10; i++) remotes[i] = remote_of(i);
  assert_int_equal(mst_switch_offer(m.rig.sw, m.id[0], &m.tuple, remotes, 10), 0);
  for (unsigned i = 0; i < 10; i++) remotes[i] = remote_of(10 + i);
  assert_int_equal(mst_switch_offer(m.rig.sw, m.id[0], &m.tuple, remotes, 10), 0);
  assert_int_equal(arrives_at(&m, 500, SIM_SYN), 0); /* nothing has changed yet */
  answer(&m, 0, 500, SIM_SYN | SIM_ACK);
  m.tuple.flags = MST_BIND_GROUP;
  assert_int_equal(join(&m, 1), -MST_EADDRINUSE); /* not by sharing */
  m.tuple.flags = MST_BIND_TAKE;
  assert_int_equal(rig_lease(&m.rig, 2, "10.0.0.1", 80, MST_TCP, MST_BIND_TAKE), -MST_EADDRINUSE); /* a stranger */
  assert_int_equal(join(&m, 1), 0);
  assert_int_equal(join(&m, 3), -MST_EADDRINUSE); /* once */
  expect_undisturbed(&m, 0, 20);
  assert_int_equal(arrives_at(&m, 500, SIM_ACK), 0);
  assert_int_equal(arrives_at(&m, 500, SIM_SYN), 0); /* a stray one, which the connection has to judge */
  for (unsigned flow = 1000; flow < 2000; flow++) {
    assert_int_equal(arrives_at(&m, flow, SIM_SYN), 1);
    answer(&m, 1, flow, SIM_SYN | SIM_ACK);
  }
  /* A connection ends, and its client uses its port again. */
  answer(&m, 0, 500, SIM_FIN | SIM_ACK);
  assert_int_equal(arrives_at(&m, 500, SIM_ACK), 0);
  assert_int_equal(arrives_at(&m, 500, SIM_SYN), 1);
  answer(&m, 1, 500, SIM_SYN | SIM_ACK);
  assert_int_equal(arrives_at(&m, 500, SIM_ACK), 1);
  answer(&m, 0, 5, SIM_RST);
  assert_int_equal(arrives_at(&m, 5, SIM_SYN), 1);
  /* The old one goes; the tuple is the successor's alone, who can offer it in turn. */
  mst_switch_detach(m.rig.sw, m.id[0]);
  for (unsigned flow = 0; flow < 20; flow++) assert_int_equal(arrives_at(&m, flow, SIM_SYN), 1);
  assert_null(m.rig.sw->groups[0]);
  assert_int_equal(mst_switch_offer(m.rig.sw, m.id[1], &m.tuple, NULL, 0), 0);
  assert_int_equal(join(&m, 3), 0);
  assert_int_equal(arrives_at(&m, 3000, SIM_SYN), 3);
  close_group(&m);
}

static void whoever_takes_what_nobody_has_leases_it(void **state) {
  (void)state;
  struct members m;
  open_group(&m, MST_TCP, 0);
  m.tuple.flags = MST_BIND_TAKE;
  assert_int_equal(join(&m, 0), 0);
  assert_int_equal(join(&m, 1), -MST_EADDRINUSE);
  assert_int_equal(arrives_at(&m, 0, SIM_SYN), 0);
  close_group(&m);
}

/* --- bounds --- */

/* Members send to more remotes than are remembered: the oldest are forgotten, and nothing grows. */
static void flows_are_bounded(void **state) {
  (void)state;
  struct members m;
  open_group(&m, MST_UDP, 2);
  struct mst__lease *lease = mst__lease_find(m.rig.sw, &m.tuple);
  struct mst__tuple_key local = mst__tuple_key(&m.tuple.addr, 80, MST_UDP);
  uint64_t first_hash = 0;
  for (unsigned i = 0; i < MST__GROUP_FLOWS_OF_GROUP_MAX + 5000; i++) {
    uint8_t bytes[4] = {10, (uint8_t)(2 + (i >> 16)), (uint8_t)(i >> 8), (uint8_t)i};
    struct mst_addr address = mst_addr_ip4(bytes);
    struct mst__tuple_key remote = mst__tuple_key(&address, 5, MST_UDP);
    struct mst__group_flow_key key = mst__group_flow_key(&local, &remote);
    assert_non_null(mst__group_flow_pin(m.rig.sw, lease->group, 0, &key));
    assert_non_null(mst__group_flow_find(m.rig.sw, lease->group, &key));
    first_hash ^= mst__group_flow_hash(m.rig.sw, &key);
  }
  assert_int_equal(lease->group->flow_count, MST__GROUP_FLOWS_OF_GROUP_MAX);
  assert_int_equal(m.rig.sw->flows.by_key.count, MST__GROUP_FLOWS_OF_GROUP_MAX);
  assert_int_not_equal(first_hash, 0);
  /* The oldest have gone, the newest are there. */
  struct mst_addr old = addr("10.2.0.1"), young = addr("10.3.0.1");
  struct mst__tuple_key old_remote = mst__tuple_key(&old, 5, MST_UDP),
                        young_remote = mst__tuple_key(&young, 5, MST_UDP);
  struct mst__group_flow_key old_key = mst__group_flow_key(&local, &old_remote),
                             young_key = mst__group_flow_key(&local, &young_remote);
  assert_null(mst__group_flow_find(m.rig.sw, lease->group, &old_key));
  assert_non_null(mst__group_flow_find(m.rig.sw, lease->group, &young_key));
  assert_true(sizeof(struct mst__group_flow) <= 112);
  close_group(&m);
}

/* Many groups share the switch's bound, and what a group that has gone leaves behind is cleared away. */
static void flows_of_all_groups_are_bounded(void **state) {
  (void)state;
  struct members m;
  open_group(&m, MST_UDP, 1);
  for (unsigned g = 0; g < 12; g++) {
    m.tuple.port = (uint16_t)(8000 + g);
    assert_int_equal(join(&m, 0), 0);
    struct mst__lease *lease = mst__lease_find(m.rig.sw, &m.tuple);
    struct mst__tuple_key local = mst__tuple_key(&m.tuple.addr, m.tuple.port, MST_UDP);
    for (unsigned i = 0; i < 40000; i++) {
      uint8_t bytes[4] = {10, 2, (uint8_t)(i >> 8), (uint8_t)i};
      struct mst_addr address = mst_addr_ip4(bytes);
      struct mst__tuple_key remote = mst__tuple_key(&address, 5, MST_UDP);
      struct mst__group_flow_key key = mst__group_flow_key(&local, &remote);
      assert_non_null(mst__group_flow_pin(m.rig.sw, lease->group, 0, &key));
    }
    assert_true(lease->group->flow_count > 16000);
    assert_true(m.rig.sw->flows.by_key.count <= MST__GROUP_FLOWS_MAX);
    if (g == 3) mst_switch_release(m.rig.sw, m.id[0], &m.tuple);
  }
  close_group(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(joins_and_leaves_break_no_tcp_flow),
      cmocka_unit_test(joins_and_leaves_break_no_udp_flow),
      cmocka_unit_test(who_sends_has_the_flow),
      cmocka_unit_test(flows_wait_for_members_that_are_away),
      cmocka_unit_test(declared_flows_of_an_address_are_known),
      cmocka_unit_test(declared_flows_of_a_wildcard_are_known),
      cmocka_unit_test(a_listener_is_handed_over),
      cmocka_unit_test(whoever_takes_what_nobody_has_leases_it),
      cmocka_unit_test(flows_are_bounded),
      cmocka_unit_test(flows_of_all_groups_are_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
