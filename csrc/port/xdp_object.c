/* The XDP program's object file, as clang made it. */
#include "xdp_object.h"

__asm__(".pushsection .rodata\n"
        ".balign 16\n"
        ".globl mst__xdp_object\n"
        ".hidden mst__xdp_object\n"
        ".type mst__xdp_object, @object\n"
        "mst__xdp_object:\n"
        ".incbin \"" MST__XDP_OBJECT_FILE "\"\n"
        ".globl mst__xdp_object_end\n"
        ".hidden mst__xdp_object_end\n"
        ".type mst__xdp_object_end, @object\n"
        "mst__xdp_object_end:\n"
        ".byte 0\n"
        ".popsection\n");
