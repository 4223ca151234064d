/* ACKs that answer what should not have come (RFC 5961 7). They are limited twice: for each connection, so that two
 * ends which contradict each other stop, and no connection spends what is all's; and for the stack. What the stack has
 * left may not be counted from outside (CVE-2016-5696), so its budget is drawn anew each second. */
#include "tcp/conn.h"

#define PERIOD_NS (5 * MST__SECOND) /* RFC 5961 7's example: 10 in any 5 seconds */
#define PER_PERIOD 10
#define PER_SECOND 1000 /* of the stack, half as many more or less */

static bool stack_allows(mst_stack *stack) {
  uint64_t second = stack->now_ns / MST__SECOND;
  if (second != stack->tcp.challenge_second) {
    stack->tcp.challenge_second = second;
    stack->tcp.challenge_count = PER_SECOND / 2 + mst__random32(stack) % PER_SECOND;
  }
  if (!stack->tcp.challenge_count) return false;
  stack->tcp.challenge_count--;
  return true;
}

bool mst__challenge_allowed(mst_stack *stack, struct mst__throttle *throttle) {
  uint32_t period = (uint32_t)(stack->now_ns / PERIOD_NS);
  if (period != throttle->period) *throttle = (struct mst__throttle){.period = period};
  if (throttle->count < PER_PERIOD && stack_allows(stack)) {
    throttle->count++;
    stack->stats.tcp_challenge_acks++;
    return true;
  }
  stack->stats.tcp_ack_skipped_challenge++;
  return false;
}

void mst__challenge_ack(struct mst_conn *conn) {
  if (!mst__challenge_allowed(conn->stack, &conn->challenges)) return;
  conn->ack_now = true;
  mst__output_wanted(conn);
}
