/* Vectors of REAL (float or double), as wide as the instruction set that this file is compiled for.

   Every operation acts on each lane alone, so results do not depend on the width: builds with 128, 256 and 512 bits give
   equal bits, as long as FMA is one rounding. Included once for each type, between definitions of REAL and REAL_IS_DOUBLE. */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#if REAL_IS_DOUBLE
#define INTEGER int64_t
#else
#define INTEGER int32_t
#endif

#define LANES_CONSTANT (VECTOR_BYTES / (REAL_IS_DOUBLE ? 8 : 4))
#define LANES (LANES_CONSTANT)
#define V NAME(vector)
#define I NAME(integers)

typedef REAL V __attribute__((vector_size(VECTOR_BYTES)));
typedef INTEGER I __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL NAME(unaligned) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(REAL)), may_alias));

static INLINE V NAME(load)(const REAL *p) { return *(const NAME(unaligned) *)p; }
static INLINE void NAME(store)(REAL *p, V x) { *(NAME(unaligned) *)p = x; }
static INLINE V NAME(splat)(REAL x) { return x - (V){0}; } /* minus zero keeps the sign of a zero */

/* a * b + c, rounded once. The plain build has no such instruction and rounds twice: its bits are its own. */
static INLINE V NAME(fma)(V a, V b, V c) {
#if defined(__AVX512F__) && REAL_IS_DOUBLE
    return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX512F__)
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && REAL_IS_DOUBLE
    return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__AVX2__)
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__) && REAL_IS_DOUBLE
    return (V)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#elif defined(__aarch64__)
    return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

static INLINE V NAME(select)(I mask, V yes, V no) { return (V)(((I)yes & mask) | ((I)no & ~mask)); }

/* The smaller, the larger of a bound and x; x where x is NaN, so that it goes on to the result. */
static INLINE V NAME(at_most)(REAL bound, V x) {
    V b = NAME(splat)(bound);
    return NAME(select)((I)(x > b), b, x);
}
static INLINE V NAME(at_least)(REAL bound, V x) {
    V b = NAME(splat)(bound);
    return NAME(select)((I)(x < b), b, x);
}
