/* All kernels for one instruction set, in float and in double. Compiled once for each set, with SET as part of the names. */
#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels.h"

#define INLINE inline __attribute__((always_inline))
#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#include "dropout.h"

/* Counts and places are int64_t throughout: a long has 32 bits on Windows. */
enum {
    PIECE = 64,              /* columns of gates that are one job */
    UPDATE_PIECE = 8192,     /* numbers that are updated in one job */
    GROUP_ROWS = 1024,       /* of training before gradients of weights: gates of some megabytes */
    GROUP_CHUNKS = 4,
    SYMBOLS_AT_ONCE = 16,
    SEQUENCES_AT_ONCE = 128, /* in inference: their states stay in the second cache */
};

typedef struct { int64_t key; int64_t place; } Keyed;
static int compare_keyed(const void *a, const void *b) {
    const Keyed *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}
/* Chunks must not depend on the number of threads, as the order of rows does on them; small batches are cut into a few,
   so that several threads have something to do. */
static int64_t chunk_size(int64_t count) { return count < 2 ? 1 : count <= 16 ? (count + 1) / 2 : count < 64 ? (count + 3) / 4 : 16; }


#define REAL float
#define REAL_IS_DOUBLE 0
#define NAME(name) JOIN(name, float, SET)
#include "all.h"

#define REAL double
#define REAL_IS_DOUBLE 1
#define NAME(name) JOIN(name, double, SET)
#include "all.h"
