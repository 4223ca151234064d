#include "conn.h"

/* Each is a duplicate ACK to a peer that has something under way: it begins to recover what was lost without waiting
 * for its timer (RFC 8985 6.2 step 5, RFC 5681 3.2). To one that has nothing under way it says nothing new. */
void mst_stack_announce(mst_stack *stack) {
  MST__LIST_EACH(node, &stack->tcp.all) {
    struct mst_conn *conn = MST__CONTAINER(node, struct mst_conn, all_node);
    if (conn->state < MST_ESTABLISHED) continue;
    conn->ack_now = true;
    mst__output_wanted(conn);
  }
}
