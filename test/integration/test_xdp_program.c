/* The XDP program's verdict on packets of every shape, run by the kernel's own test facility: hold or pass. */
#include "port_rig.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#define FRAME_MOST 512u

struct frame {
  uint8_t bytes[FRAME_MOST];
  uint32_t len;
};

static int program;
static struct mst_port *port;

static int setup(void **state) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  (void)state;
  rig_veth(1);
  port = rig_open("xdp:here0");
  rig_hold(port, MST_UDP, "::", 4000);
  rig_hold(port, MST_TCP, "10.7.0.1", 80);
  rig_hold(port, MST_TCP, "fd07::1", 80);
  if (bpf_xdp_query((int)if_nametoindex("here0"), 0, &query)) return -1;
  program = bpf_prog_get_fd_by_id(query.prog_id);
  return program < 0;
}

static int teardown(void **state) {
  (void)state;
  close(program);
  port->ops->close(port);
  rig_no_veth();
  return 0;
}

static bool held(const struct frame *frame) {
  LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame->bytes, .data_size_in = frame->len, .repeat = 1);
  assert_int_equal(bpf_prog_test_run_opts(program, &run), 0);
  assert_true(run.retval == XDP_PASS || run.retval == XDP_REDIRECT);
  return run.retval == XDP_REDIRECT;
}

/* --- frames, built from the front -------------------------------------------------------------------------------- */

static void put(struct frame *frame, const void *data, uint32_t bytes) {
  memcpy(frame->bytes + frame->len, data, bytes);
  frame->len += bytes;
}
static void put_u8(struct frame *frame, uint8_t value) {
  put(frame, &value, 1);
}
static void put_u16(struct frame *frame, uint16_t value) {
  put(frame, (uint8_t[]){(uint8_t)(value >> 8), (uint8_t)value}, 2);
}
static void put_zeros(struct frame *frame, uint32_t bytes) {
  static const uint8_t zeros[64];
  put(frame, zeros, bytes);
}

static struct frame ethernet(uint16_t type) {
  struct frame frame = {.len = 0};
  put(&frame, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
  put_u16(&frame, type);
  return frame;
}

static void put_addr4(struct frame *frame, const char *text) {
  struct mst_addr addr = rig_addr(text);
  put(frame, addr.bytes + 12, 4);
}
static void put_addr6(struct frame *frame, const char *text) {
  struct mst_addr addr = rig_addr(text);
  put(frame, addr.bytes, 16);
}

/* `fragment` is the word of flags and offset. */
static void ip4(struct frame *frame, uint8_t protocol, const char *source, const char *destination, unsigned words,
                uint16_t id, uint16_t fragment) {
  put_u8(frame, (uint8_t)(0x40 | words));
  put_u8(frame, 0);
  put_u16(frame, 200);
  put_u16(frame, id);
  put_u16(frame, fragment);
  put_u8(frame, 64);
  put_u8(frame, protocol);
  put_u16(frame, 0);
  put_addr4(frame, source);
  put_addr4(frame, destination);
  for (unsigned i = 5; i < words; i++) put(frame, "\1\1\1\1", 4);
}

static void ip6(struct frame *frame, uint8_t next, const char *source, const char *destination) {
  put(frame, "\x60\0\0\0\0\x80", 6);
  put_u8(frame, next);
  put_u8(frame, 64);
  put_addr6(frame, source);
  put_addr6(frame, destination);
}

static void extension6(struct frame *frame, uint8_t next, uint8_t more_words, uint8_t type, uint8_t left) {
  put(frame, (uint8_t[]){next, more_words, type, left, 0, 0, 0, 0}, 8);
  put_zeros(frame, more_words * 8u);
}

static void fragment6(struct frame *frame, uint8_t next, uint16_t offset_and_flag, uint8_t id) {
  put(frame, (uint8_t[]){next, 0, (uint8_t)(offset_and_flag >> 8), (uint8_t)offset_and_flag, 0, 0, 0, id}, 8);
}

static void ports(struct frame *frame, uint16_t source, uint16_t destination) {
  put_u16(frame, source);
  put_u16(frame, destination);
  put_zeros(frame, 16);
}

static struct frame udp4(const char *destination, uint16_t number, uint16_t id, uint16_t fragment) {
  struct frame frame = ethernet(0x0800);
  ip4(&frame, MST_UDP, "10.7.0.2", destination, 5, id, fragment);
  ports(&frame, 9, number);
  return frame;
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void plain_packets(void **state) {
  (void)state;
  struct frame frame = udp4("10.7.0.1", 4000, 1, 0);
  assert_true(held(&frame));
  frame = udp4("10.7.0.1", 4000, 1, 0x4000); /* do not fragment */
  assert_true(held(&frame));
  frame = udp4("10.7.0.1", 4001, 1, 0);
  assert_false(held(&frame));
  frame = udp4("10.7.0.9", 4000, 1, 0); /* not this host's */
  assert_false(held(&frame));
  frame = udp4("10.7.0.1", 80, 1, 0); /* held, for TCP */
  assert_false(held(&frame));
  frame = ethernet(0x86dd);
  ip6(&frame, MST_TCP, "fd07::2", "fd07::1");
  ports(&frame, 9, 80);
  assert_true(held(&frame));
  frame = ethernet(0x86dd);
  ip6(&frame, MST_TCP, "fd07::2", "::ffff:10.7.0.1"); /* no address of a wire */
  ports(&frame, 9, 80);
  assert_false(held(&frame));
  frame = ethernet(0x0800);
  ip4(&frame, 47, "10.7.0.2", "10.7.0.1", 5, 1, 0);
  ports(&frame, 9, 4000);
  assert_false(held(&frame));
}

static void what_is_not_ip_or_not_for_one_host_passes(void **state) {
  (void)state;
  struct frame inner = udp4("10.7.0.1", 4000, 1, 0), frame = ethernet(0x8100);
  put_u16(&frame, 10);
  put(&frame, inner.bytes + 12, inner.len - 12);
  assert_false(held(&frame)); /* a tagged frame */
  frame = udp4("10.7.0.1", 4000, 1, 0);
  frame.bytes[0] |= 1;
  assert_false(held(&frame)); /* a group at layer 2 */
  frame = ethernet(0x0806);
  put_zeros(&frame, 46);
  assert_false(held(&frame));
  frame = ethernet(0x86dd); /* IPv4 behind IPv6's number */
  put(&frame, inner.bytes + 14, inner.len - 14);
  assert_false(held(&frame));
}

static void a_packet_cut_anywhere_before_its_ports_passes(void **state) {
  (void)state;
  struct frame frame = udp4("10.7.0.1", 4000, 1, 0);
  for (frame.len = 14; frame.len < 14 + 20 + 4; frame.len++) assert_false(held(&frame));
  assert_true(held(&frame));
  frame = ethernet(0x86dd);
  ip6(&frame, 0, "fd07::2", "fd07::1");
  extension6(&frame, MST_UDP, 1, 0, 0);
  ports(&frame, 9, 4000);
  for (frame.len = 14; frame.len < 14 + 40 + 16 + 4; frame.len++) assert_false(held(&frame));
  assert_true(held(&frame));
}

static void ip4_options_are_stepped_over(void **state) {
  (void)state;
  for (unsigned words = 0; words <= 15; words++) {
    struct frame frame = ethernet(0x0800);
    ip4(&frame, MST_UDP, "10.7.0.2", "10.7.0.1", words, 1, 0);
    ports(&frame, 9, 4000);
    assert_int_equal(held(&frame), words >= 5);
  }
}

static void ip6_extension_headers_are_stepped_over(void **state) {
  (void)state;
  for (unsigned headers = 0; headers <= 5; headers++) {
    struct frame frame = ethernet(0x86dd);
    ip6(&frame, headers ? 60 : MST_UDP, "fd07::2", "fd07::1");
    for (unsigned i = 1; i <= headers; i++) extension6(&frame, i == headers ? MST_UDP : 60, (uint8_t)i, 0, 0);
    ports(&frame, 9, 4000);
    assert_int_equal(held(&frame), headers <= 3); /* more are the OS's to judge */
  }
  for (uint8_t left = 0; left <= 1; left++) { /* a routing header with segments left is on its way elsewhere */
    struct frame frame = ethernet(0x86dd);
    ip6(&frame, 43, "fd07::2", "fd07::1");
    extension6(&frame, MST_UDP, 0, 4, left);
    ports(&frame, 9, 4000);
    assert_int_equal(held(&frame), !left);
  }
}

static void fragments_follow_their_first(void **state) {
  (void)state;
  struct frame later = udp4("10.7.0.1", 4000, 7, 0x2010);
  assert_false(held(&later)); /* its payload looks like a held port */
  struct frame first = udp4("10.7.0.1", 4000, 7, 0x2000);
  assert_true(held(&first));
  assert_true(held(&later));
  later = udp4("10.7.0.1", 1, 7, 0x0020);
  assert_true(held(&later));
  later = udp4("10.7.0.1", 4000, 8, 0x0020);
  assert_false(held(&later));
  first = udp4("10.7.0.1", 4001, 9, 0x2000);
  later = udp4("10.7.0.1", 4000, 9, 0x0020);
  assert_false(held(&first));
  assert_false(held(&later));
}

static struct frame fragment_of_6(uint16_t offset_and_flag, uint8_t id, uint16_t number) {
  struct frame frame = ethernet(0x86dd);
  ip6(&frame, 0, "fd07::2", "fd07::1");
  extension6(&frame, 44, 0, 0, 0);
  fragment6(&frame, MST_UDP, offset_and_flag, id);
  ports(&frame, 9, number);
  return frame;
}

static void fragments_of_ip6_follow_their_first(void **state) {
  (void)state;
  struct frame later = fragment_of_6(0x0011, 7, 4000), atomic = fragment_of_6(0, 5, 4000);
  assert_false(held(&later));
  assert_true(held(&atomic)); /* RFC 6946 */
  struct frame first = fragment_of_6(1, 7, 4000);
  assert_true(held(&first));
  assert_true(held(&later));
  later = fragment_of_6(0x0010, 8, 4000);
  assert_false(held(&later));
}

/* An ICMP error of `type` that quotes a packet of UDP from `source` port `number`. */
static struct frame error4(uint8_t type, const char *source, uint16_t number, uint16_t fragment) {
  struct frame frame = ethernet(0x0800);
  ip4(&frame, MST_ICMP, "10.7.0.2", "10.7.0.1", 5, 1, 0);
  put(&frame, (uint8_t[]){type, 3, 0, 0, 0, 0, 0, 0}, 8);
  ip4(&frame, MST_UDP, source, "10.7.0.2", 6, 1, fragment);
  ports(&frame, number, 9);
  return frame;
}

static struct frame error6(uint8_t type, const char *source, uint16_t number) {
  struct frame frame = ethernet(0x86dd);
  ip6(&frame, MST_ICMP6, "fd07::2", "fd07::1");
  put(&frame, (uint8_t[]){type, 3, 0, 0, 0, 0, 0, 0}, 8);
  ip6(&frame, 60, source, "fd07::2");
  extension6(&frame, MST_UDP, 0, 0, 0);
  ports(&frame, number, 9);
  return frame;
}

static void icmp_errors_that_quote_a_held_tuple(void **state) {
  (void)state;
  static const uint8_t errors4[] = {3, 11, 12}, others4[] = {0, 4, 5, 8, 13};
  static const uint8_t errors6[] = {1, 2, 3, 4}, others6[] = {0, 5, 128, 129, 135, 136};
  struct frame frame;
  for (size_t i = 0; i < sizeof errors4; i++) {
    frame = error4(errors4[i], "10.7.0.1", 4000, 0);
    assert_true(held(&frame));
    frame = error4(errors4[i], "10.7.0.1", 4001, 0);
    assert_false(held(&frame));
    frame = error4(errors4[i], "10.7.0.9", 4000, 0);
    assert_false(held(&frame));
    frame = error4(errors4[i], "10.7.0.1", 4000, 0x0004); /* what it quotes has no ports */
    assert_false(held(&frame));
  }
  for (size_t i = 0; i < sizeof others4; i++) {
    frame = error4(others4[i], "10.7.0.1", 4000, 0);
    assert_false(held(&frame));
  }
  for (size_t i = 0; i < sizeof errors6; i++) {
    frame = error6(errors6[i], "fd07::1", 4000);
    assert_true(held(&frame));
    frame = error6(errors6[i], "fd07::1", 4001);
    assert_false(held(&frame));
  }
  for (size_t i = 0; i < sizeof others6; i++) {
    frame = error6(others6[i], "fd07::1", 4000);
    assert_false(held(&frame));
  }
  frame = error4(3, "10.7.0.1", 4000, 0);
  uint32_t whole = 14 + 20 + 8 + 24 + 4;
  for (frame.len = 14 + 20; frame.len < whole; frame.len++) assert_false(held(&frame));
  assert_true(held(&frame));
}

/* The same numbers at every run. */
static uint32_t next_random(void) {
  static uint32_t state = 1;
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

/* Spoilt packets: where the library's own parser takes one, both say the same of it. */
static void agrees_with_the_parser_on_spoilt_packets(void **state) {
  (void)state;
  unsigned taken = 0;
  for (unsigned i = 0; i < 20000; i++) {
    struct frame frame = i & 1 ? udp4("10.7.0.1", 4000, (uint16_t)(1000 + i), 0) : error6(1, "fd07::1", 4000);
    struct mst__ip ip;
    for (uint32_t spoils = next_random() % 4; spoils > 0; spoils--)
      frame.bytes[14 + next_random() % 28] = (uint8_t)next_random();
    frame.len = i % 8 ? frame.len : 14 + next_random() % (frame.len - 14);
    if (i & 1) {
      uint8_t *header = frame.bytes + 14;
      header[2] = 0;
      header[3] = 40;
      header[10] = header[11] = 0;
      uint16_t sum = (uint16_t)~mst__csum_fold(mst__csum_add(0, header, (header[0] & 15u) * 4));
      memcpy(header + 10, &sum, 2);
    }
    bool verdict = held(&frame);
    if (mst__ip_parse(frame.bytes + 14, frame.len - 14, &ip) != MST_DROP_NONE) continue;
    if (ip.version != (i & 1 ? 4 : 6) || ip.payload_bytes < 4 || ip.protocol != MST_UDP) continue;
    struct mst_addr here = rig_addr(i & 1 ? "10.7.0.1" : "fd07::1");
    bool expected = mst_addr_equal(&ip.destination, &here) && mst__get16(ip.payload + 2) == 4000;
    assert_int_equal(verdict, expected);
    taken++;
  }
  assert_true(taken > 1000);
}

int main(void) {
  rig_begin();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plain_packets),
      cmocka_unit_test(what_is_not_ip_or_not_for_one_host_passes),
      cmocka_unit_test(a_packet_cut_anywhere_before_its_ports_passes),
      cmocka_unit_test(ip4_options_are_stepped_over),
      cmocka_unit_test(ip6_extension_headers_are_stepped_over),
      cmocka_unit_test(fragments_follow_their_first),
      cmocka_unit_test(fragments_of_ip6_follow_their_first),
      cmocka_unit_test(icmp_errors_that_quote_a_held_tuple),
      cmocka_unit_test(agrees_with_the_parser_on_spoilt_packets),
  };
  return cmocka_run_group_tests(tests, setup, teardown);
}
