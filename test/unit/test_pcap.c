/* The pcapng writer, read back block by block, and the port that records another. */
#include "multistack/port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
  char path[64];
  uint8_t bytes[1 << 18];
  size_t size;
};

static int setup(void **state) {
  struct file *file = calloc(1, sizeof *file);
  strcpy(file->path, "/tmp/multistack-pcap-XXXXXX");
  int fd = mkstemp(file->path);
  if (fd < 0) return -1;
  close(fd);
  *state = file;
  return 0;
}

static int teardown(void **state) {
  struct file *file = *state;
  unlink(file->path);
  free(file);
  return 0;
}

static void load(struct file *file) {
  FILE *stream = fopen(file->path, "rb");
  assert_non_null(stream);
  file->size = fread(file->bytes, 1, sizeof file->bytes, stream);
  fclose(stream);
}

static uint32_t word(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return value;
}

/* Block number `index`, whose two lengths agree; NULL past the end. */
static const uint8_t *block(const struct file *file, unsigned index) {
  size_t at = 0;
  while (at < file->size) {
    uint32_t length = word(file->bytes + at + 4);
    assert_int_equal(length % 4, 0);
    assert_true(length >= 12 && at + length <= file->size);
    assert_int_equal(word(file->bytes + at + length - 4), length);
    if (!index--) return file->bytes + at;
    at += length;
  }
  return NULL;
}

static void writes_sections_interfaces_and_packets(void **state) {
  struct file *file = *state;
  mst_pcap *pcap;
  const uint64_t when_ns = 1700000000123456789u;
  assert_int_equal(mst_pcap_open(file->path, &pcap, NULL), 0);
  mst_pcap_write(pcap, "one", false, &(struct mst_iov){"\x45packet", 7}, 1, when_ns);
  mst_pcap_write(pcap, "two", true, (struct mst_iov[]){{"\x60sp", 3}, {"lit", 3}, {"!!", 2}}, 3, when_ns + 1);
  mst_pcap_write(pcap, "one", true, &(struct mst_iov){"\x45", 1}, 1, when_ns + 2);
  load(file); /* before it is closed: every block is in the file at once */
  mst_pcap_close(pcap);

  const uint8_t *section = block(file, 0);
  assert_int_equal(word(section), 0x0A0D0D0A);
  assert_int_equal(word(section + 8), 0x1A2B3C4D);
  const uint8_t *interface = block(file, 1);
  assert_int_equal(word(interface), 1);
  assert_int_equal(interface[8], 101);
  const uint8_t *packet = block(file, 2);
  assert_int_equal(word(packet), 6);
  assert_int_equal(word(packet + 8), 0);
  assert_true(((uint64_t)word(packet + 12) << 32 | word(packet + 16)) == when_ns);
  assert_int_equal(word(packet + 20), 7);
  assert_int_equal(word(packet + 24), 7);
  assert_memory_equal(packet + 28, "\x45packet", 8);
  assert_int_equal(word(packet + 28 + 8 + 4), 1); /* inbound */
  assert_int_equal(word(block(file, 3)), 1);      /* the second interface, at its first use */
  packet = block(file, 4);
  assert_int_equal(word(packet + 8), 1);
  assert_memory_equal(packet + 28, "\x60split!!", 8);
  assert_int_equal(word(packet + 28 + 8 + 4), 2); /* outbound */
  packet = block(file, 5);
  assert_int_equal(word(packet + 8), 0);
  assert_null(block(file, 6));
}

static void says_why_it_cannot_open(void **state) {
  (void)state;
  mst_pcap *pcap;
  struct mst_failure failure;
  assert_int_equal(mst_pcap_open("/nonexistent/file", &pcap, &failure), -MST_ENOENT);
  assert_non_null(strstr(failure.message, "/nonexistent/file"));
  assert_null(strchr(failure.message, '\n'));
  assert_null(pcap);
}

static void a_full_disk_ends_the_record_and_nothing_else(void **state) {
  (void)state;
  mst_pcap *pcap;
  struct mst_failure failure;
  assert_int_equal(mst_pcap_open("/dev/full", &pcap, &failure), -MST_EIO);
  assert_non_null(strstr(failure.message, "disk"));
}

static void records_both_directions_of_a_port(void **state) {
  struct file *file = *state;
  struct mst_port *a, *b, *recorded;
  struct mst_port_rx rx[2];
  assert_int_equal(mst_port_memory_pair(1500, &a, &b), 0);
  assert_int_equal(mst_port_pcap(a, file->path, &recorded, NULL), 0);
  assert_null(recorded->ops->tuple_add); /* as the inner port */
  assert_int_equal(recorded->mtu, 1500);

  memcpy(recorded->ops->tx_reserve(recorded, 100), "\x45out", 4);
  recorded->ops->tx_commit(recorded, 4, 0, 0);
  assert_non_null(recorded->ops->tx_reserve(recorded, 100));
  recorded->ops->tx_commit(recorded, 0, 0, 0); /* given back: no record */
  recorded->ops->flush(recorded);
  assert_int_equal(b->ops->receive(b, rx, 2), 1);
  assert_memory_equal(rx[0].data, "\x45out", 4);
  memcpy(b->ops->tx_reserve(b, 4), "\x45in.", 4);
  b->ops->tx_commit(b, 4, 0, 0);
  b->ops->flush(b);
  assert_int_equal(recorded->ops->receive(recorded, rx, 2), 1);
  assert_memory_equal(rx[0].data, "\x45in.", 4);
  recorded->ops->release(recorded);
  recorded->ops->close(recorded);
  b->ops->close(b);

  load(file);
  assert_memory_equal(block(file, 2) + 28, "\x45out", 4);
  assert_int_equal(word(block(file, 2) + 28 + 4 + 4), 2);
  assert_memory_equal(block(file, 3) + 28, "\x45in.", 4);
  assert_int_equal(word(block(file, 3) + 28 + 4 + 4), 1);
  assert_null(block(file, 4));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(writes_sections_interfaces_and_packets, setup, teardown),
      cmocka_unit_test(says_why_it_cannot_open),
      cmocka_unit_test(a_full_disk_ends_the_record_and_nothing_else),
      cmocka_unit_test_setup_teardown(records_both_directions_of_a_port, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
