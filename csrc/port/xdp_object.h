#ifndef MST_PORT_XDP_OBJECT_H
#define MST_PORT_XDP_OBJECT_H

extern const unsigned char mst__xdp_object[] __attribute__((visibility("hidden")));
extern const unsigned char mst__xdp_object_end[] __attribute__((visibility("hidden")));

#endif
