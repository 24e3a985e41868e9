// Found before GCC's header of the same name, which <immintrin.h> includes: `.cargo/config.toml` puts
// this folder into CPATH.
//
// GCC before 11.5, 12.4, 13.3 and 14 lets its optimiser believe that `_tile_loadconfig` reads eight
// bytes of the 64 (https://gcc.gnu.org/PR114098). The shapes of the tiles, which llama.cpp writes into
// the other bytes, are then optimised away, and on a processor with AMX (Xeon from 2023) the first
// prompt ends the process with SIGILL.
#include_next <amxtileintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
#undef _tile_loadconfig
#define _tile_loadconfig(config) \
    __asm__ volatile("ldtilecfg\t%0" ::"m"(*(const char(*)[64])(config)))
#endif
