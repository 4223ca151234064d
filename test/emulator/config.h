/* The emulator's classes of flows as text, one class a line:
 *   port=5001 seed=7 goal_bytes=100000 goal_from_ms=0 goal_ms=1000 shared=1 | rate=20000000 delay_us=10000 ... |
 * delay_us=10000 ... what is of the class, then of the way to the server, then of the way back. The names are
 * path_options' with the unit that is written: rate (bits a second), delay_us, queue, mark (bytes), loss, reorder,
 * duplicate, corrupt (parts per million), burst (packets), reorder_us, drop (an index; may come again). */
#ifndef EMULATOR_CONFIG_H
#define EMULATOR_CONFIG_H

#include "flow.h"

/* Returns how many; -1 and a message on stderr when a line is wrong or there are more than `max`. */
int flow_classes_read(FILE *in, struct flow_class *out, size_t max);
/* One line of that. */
bool flow_class_parse(const char *line, struct flow_class *out);

#endif
