/* Products of matrices in which each output is one sum, from k = 0 up, by fused multiply-adds.

   So a row's result depends neither on how many rows stand beside it nor on the width of the vectors. The right-hand
   matrix is packed into panels of two vectors' width (the last may have one), [panel][k][lane], zero where it ends. */

#if defined(__AVX512F__)
#define TILE_ROWS 12 /* 24 sums in 32 registers */
#elif defined(__AVX2__)
#define TILE_ROWS 6 /* 12 sums in 16 registers */
#elif defined(__aarch64__)
#define TILE_ROWS 8
#else
#define TILE_ROWS 4
#endif
#define PANEL (2 * LANES)

/* c (rows x nv vectors) = [c +] sum over k of a[row * lda + k * ka] * b[k * kb]. All counts but K are constants. */
static INLINE void NAME(tile)(const int rows, const int nv, int64_t K, const REAL *a, int64_t lda, int64_t ka, const REAL *b,
                              int64_t kb, REAL *c, int64_t ldc, int adds) {
    V sum[TILE_ROWS][2];
#ifdef PLANT_ORDER_OF_SUMS /* a bug on purpose, which tests/native/check_kernels.c must find */
    V early[TILE_ROWS][2];
#endif
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) sum[i][v] = adds ? NAME(load)(c + i * ldc + v * LANES) : (V){0};
    for (int64_t k = 0; k < K; k++) {
        V right[2];
#ifdef PLANT_ORDER_OF_SUMS
        for (int i = 0; i < rows && rows > 1 && k == K / 2; i++)
            for (int v = 0; v < nv; v++) early[i][v] = sum[i][v], sum[i][v] = (V){0};
#endif
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) right[v] = NAME(load)(b + k * kb + v * LANES);
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            V left = NAME(splat)(a[i * lda + k * ka]);
#pragma GCC unroll 2
            for (int v = 0; v < nv; v++) sum[i][v] = NAME(fma)(left, right[v], sum[i][v]);
        }
    }
#ifdef PLANT_ORDER_OF_SUMS
    for (int i = 0; i < rows && rows > 1 && K > 0; i++)
        for (int v = 0; v < nv; v++) sum[i][v] += early[i][v];
#endif
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++) NAME(store)(c + i * ldc + v * LANES, sum[i][v]);
}

/* One row by up to four panels at once: enough sums under way to hide how long an addition takes. */
static INLINE void NAME(wide_tile)(const int panels, int64_t K, const REAL *a, const REAL *packed, REAL *c, int adds) {
    V sum[8];
#pragma GCC unroll 8
    for (int v = 0; v < 2 * panels; v++) sum[v] = adds ? NAME(load)(c + v * LANES) : (V){0};
    for (int64_t k = 0; k < K; k++) {
        V left = NAME(splat)(a[k]);
#pragma GCC unroll 8
        for (int v = 0; v < 2 * panels; v++)
            sum[v] = NAME(fma)(left, NAME(load)(packed + (v / 2) * K * PANEL + k * PANEL + (v % 2) * LANES), sum[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < 2 * panels; v++) NAME(store)(c + v * LANES, sum[v]);
}

#define TILE_CASE(n) \
    case n: NAME(tile)(n, nv, K, a, lda, ka, b, kb, c, ldc, adds); break;
static INLINE void NAME(tile_of)(int rows, const int nv, int64_t K, const REAL *a, int64_t lda, int64_t ka, const REAL *b,
                                 int64_t kb, REAL *c, int64_t ldc, int adds) {
    switch (rows) {
        TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4)
#if TILE_ROWS > 4
        TILE_CASE(5) TILE_CASE(6)
#endif
#if TILE_ROWS > 6
        TILE_CASE(7) TILE_CASE(8)
#endif
#if TILE_ROWS > 8
        TILE_CASE(9) TILE_CASE(10) TILE_CASE(11) TILE_CASE(12)
#endif
    }
}
static void NAME(tile2)(int rows, int64_t K, const REAL *a, int64_t lda, int64_t ka, const REAL *b, int64_t kb, REAL *c, int64_t ldc,
                        int adds) {
    NAME(tile_of)(rows, 2, K, a, lda, ka, b, kb, c, ldc, adds);
}
static void NAME(tile1)(int rows, int64_t K, const REAL *a, int64_t lda, int64_t ka, const REAL *b, int64_t kb, REAL *c, int64_t ldc,
                        int adds) {
    NAME(tile_of)(rows, 1, K, a, lda, ka, b, kb, c, ldc, adds);
}

/* c (M x N) = [c +] a (M x K) * b, packed; N is a multiple of LANES. */
static void NAME(product)(int64_t M, int64_t N, int64_t K, const REAL *a, int64_t lda, const REAL *packed, REAL *c, int64_t ldc,
                          int adds) {
    if (M == 1) {
        int64_t n = 0;
        for (; n + 4 * PANEL <= N; n += 4 * PANEL) NAME(wide_tile)(4, K, a, packed + n * K, c + n, adds);
        for (; n + PANEL <= N; n += PANEL) NAME(wide_tile)(1, K, a, packed + n * K, c + n, adds);
        if (n < N) NAME(tile1)(1, K, a, lda, 1, packed + n * K, LANES, c + n, ldc, adds);
        return;
    }
    /* Rows are dealt out evenly: 16 as 8 and 8, not as 12 and 4. */
    int64_t blocks = (M + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t n = 0; n < N; n += PANEL)
        for (int64_t block = 0; block < blocks; block++) {
            int64_t m = M * block / blocks, rows = M * (block + 1) / blocks - m;
            if (N - n >= PANEL)
                NAME(tile2)((int)rows, K, a + m * lda, lda, 1, packed + n * K, PANEL, c + m * ldc + n, ldc, adds);
            else
                NAME(tile1)((int)rows, K, a + m * lda, lda, 1, packed + n * K, LANES, c + m * ldc + n, ldc, adds);
        }
}

static int64_t NAME(pad)(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

/* The place of column n, row 0 of a packed matrix of K rows and N columns, and how far its rows are apart. */
static INLINE REAL *NAME(panel_at)(REAL *packed, int64_t n, int64_t K, int64_t N, int64_t *step) {
    int64_t panel = n / PANEL * PANEL;
    *step = N - panel >= PANEL ? PANEL : LANES;
    return packed + panel * K + (n - panel);
}

/* Four rows of four numbers become four columns. */
typedef REAL NAME(four) __attribute__((vector_size(4 * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (NAME(four_places)){i, j, k, l})
typedef INTEGER NAME(four_places) __attribute__((vector_size(4 * sizeof(REAL))));
#endif
static INLINE void NAME(turn_four)(const REAL *from, int64_t ld, REAL *to, int64_t step) {
    NAME(four) a = *(const NAME(four) *)from, b = *(const NAME(four) *)(from + ld);
    NAME(four) c = *(const NAME(four) *)(from + 2 * ld), d = *(const NAME(four) *)(from + 3 * ld);
    NAME(four) ab = SHUFFLE(a, b, 0, 4, 1, 5), cd = SHUFFLE(c, d, 0, 4, 1, 5);
    NAME(four) ab2 = SHUFFLE(a, b, 2, 6, 3, 7), cd2 = SHUFFLE(c, d, 2, 6, 3, 7);
    *(NAME(four) *)to = SHUFFLE(ab, cd, 0, 1, 4, 5);
    *(NAME(four) *)(to + step) = SHUFFLE(ab, cd, 2, 3, 6, 7);
    *(NAME(four) *)(to + 2 * step) = SHUFFLE(ab2, cd2, 0, 1, 4, 5);
    *(NAME(four) *)(to + 3 * step) = SHUFFLE(ab2, cd2, 2, 3, 6, 7);
}

/* Pack the columns [n0, n0 + count) of the transpose of w (rows x K, ldw apart): column n0 + j is row j of w, or zero. */
static void NAME(pack_transposed)(int64_t n0, int64_t count, int64_t rows, int64_t K, int64_t N, const REAL *w, int64_t ldw,
                                  REAL *packed) {
    for (int64_t j = 0; j < count; j += LANES) {
        int64_t step, k = 0, there = rows - j < LANES ? rows - j : LANES;
        REAL *to = NAME(panel_at)(packed, n0 + j, K, N, &step);
        if (there == LANES && LANES % 4 == 0)
            for (; k + 4 <= K; k += 4)
                for (int64_t lane = 0; lane < LANES; lane += 4)
                    NAME(turn_four)(w + (j + lane) * ldw + k, ldw, to + k * step + lane, step);
        for (; k < K; k++)
            for (int64_t lane = 0; lane < LANES; lane++) to[k * step + lane] = lane < there ? w[(j + lane) * ldw + k] : 0;
    }
}

/* Pack rows [k0, k0 + count) of a matrix of K rows: row k0 + i is row i of w (rows x n, ldw apart), or zero. */
static void NAME(pack_rows)(int64_t k0, int64_t count, int64_t rows, int64_t n, int64_t K, int64_t N, const REAL *w, int64_t ldw,
                            REAL *packed) {
    for (int64_t j = 0; j < N; j += LANES) {
        int64_t step;
        REAL *to = NAME(panel_at)(packed, j, K, N, &step);
        for (int64_t i = 0; i < count; i++) {
            if (i < rows && j + LANES <= n)
                NAME(store)(to + (k0 + i) * step, NAME(load)(w + i * ldw + j));
            else
                for (int64_t lane = 0; lane < LANES; lane++)
                    to[(k0 + i) * step + lane] = i < rows && j + lane < n ? w[i * ldw + j + lane] : 0;
        }
    }
}

#define OUTER_ROWS 128    /* rows that are packed at once: with PANEL columns they stay in the first cache */
#define OUTER_COLUMNS 256 /* columns of b that are packed at once */

/* How many numbers `outer` works in. */
static int64_t NAME(outer_space)(int64_t M) { return OUTER_ROWS * ((M + TILE_ROWS) + OUTER_COLUMNS) + 16 * PANEL; }

/* out (M x N, ldo apart) = [out +] sum over r, from 0 up, of the products of rows a[ra[r]] (M) and b[rb[r]] (N).

   ra and rb may be NULL, for rows in order. `space` has outer_space(M) numbers. */
static void NAME(outer)(int64_t M, int64_t N, int64_t R, const REAL *a, int64_t lda, const int32_t *ra, const REAL *b, int64_t ldb,
                        const int32_t *rb, REAL *out, int64_t ldo, REAL *space, int adds_first) {
    if (R == 0 && !adds_first) {
        for (int64_t m = 0; m < M; m++) memset(out + m * ldo, 0, (size_t)N * sizeof(REAL));
        return;
    }
    REAL *edge = space, *pa = edge + 16 * PANEL, *pb = pa + OUTER_ROWS * (M + TILE_ROWS);
    for (int64_t n0 = 0; n0 < N; n0 += OUTER_COLUMNS) {
        int64_t width = N - n0 < OUTER_COLUMNS ? N - n0 : OUTER_COLUMNS, padded = NAME(pad)(width);
        for (int64_t r0 = 0; r0 < R; r0 += OUTER_ROWS) {
            int64_t K = R - r0 < OUTER_ROWS ? R - r0 : OUTER_ROWS;
            for (int64_t k = 0; k < K; k++) {
                const REAL *row = b + (rb ? rb[r0 + k] : r0 + k) * ldb + n0;
                for (int64_t j = 0; j < padded; j += LANES) {
                    int64_t step;
                    REAL *to = NAME(panel_at)(pb, j, K, padded, &step) + k * step;
                    if (j + LANES <= width) NAME(store)(to, NAME(load)(row + j));
                    else
                        for (int64_t lane = 0; lane < LANES; lane++) to[lane] = j + lane < width ? row[j + lane] : 0;
                }
                const REAL *left = a + (ra ? ra[r0 + k] : r0 + k) * lda;
                for (int64_t m = 0; m < M; m += TILE_ROWS) { /* [tile][k][row of the tile] */
                    int64_t rows = M - m < TILE_ROWS ? M - m : TILE_ROWS;
                    for (int64_t i = 0; i < rows; i++) pa[m * K + k * rows + i] = left[m + i];
                }
            }
            for (int64_t j = 0; j < padded; j += PANEL) {
                int nv = padded - j >= PANEL ? 2 : 1;
                for (int64_t m = 0; m < M; m += TILE_ROWS) {
                    int rows = (int)(M - m < TILE_ROWS ? M - m : TILE_ROWS), adds = r0 > 0 || adds_first;
                    REAL *to = out + m * ldo + n0 + j;
                    int64_t ld = ldo, there = width - j < nv * LANES ? width - j : nv * LANES;
                    int fits = there == nv * LANES;
                    if (!fits) {
                        ld = nv * LANES;
                        if (adds)
                            for (int i = 0; i < rows; i++)
                                memcpy(edge + i * ld, to + i * ldo, (size_t)there * sizeof(REAL));
                    }
                    (nv == 2 ? NAME(tile2) : NAME(tile1))(rows, K, pa + m * K, 1, rows, pb + j * K, nv * LANES,
                                                          fits ? to : edge, ld, adds);
                    if (!fits)
                        for (int i = 0; i < rows; i++)
                            memcpy(to + i * ldo, edge + i * ld, (size_t)there * sizeof(REAL));
                }
            }
        }
    }
}
