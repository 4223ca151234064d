/* All of libmultistack. */
#ifndef MULTISTACK_MULTISTACK_H
#define MULTISTACK_MULTISTACK_H

#include "attach.h"
#include "channel.h"
#include "drop.h"
#include "env.h"
#include "error.h"
#include "host.h"
#include "packet.h"
#include "port.h"
#include "stack.h"
#include "switch.h"
#include "tcp.h"
#include "trace.h"
#include "types.h"
#include "udp.h"

#endif
