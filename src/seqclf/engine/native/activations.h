/* exp, sigmoid and tanh of vectors, from one exp that is the library's own: libm's differs from system to system.

   x = n ln 2 + r with |r| <= ln 2 / 2, and e^r - 1 = r + r^2 (1/2 + r/6 + ...) by Taylor's series, whose first term
   left out is below half a unit of the last place. Keeping e^r - 1 rather than e^r keeps tanh exact near zero. */

#if REAL_IS_DOUBLE
#define EXP_LIMIT 708.0          /* e^x and e^-x are normal numbers */
#define TANH_LIMIT 20.0          /* tanh(x) is 1 beyond, rounded */
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52: adding it leaves the nearest integer in the low bits */
#define LN2_HIGH 0x1.62e42fefa38p-1
#define LN2_LOW 0x1.ef35793c7673p-45
#define MANTISSA 52
#define EXPONENT_BIAS 1023
static const double NAME(taylor)[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                      1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                                      1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
#else
#define EXP_LIMIT 87.0f
#define TANH_LIMIT 9.1f
#define ROUNDER 12582912.0f /* 1.5 * 2^23 */
#define LN2_HIGH 0.693145752f
#define LN2_LOW 1.42860677e-6f
#define MANTISSA 23
#define EXPONENT_BIAS 127
static const float NAME(taylor)[] = {1.0f / 5040.0f, 1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f};
#endif
#define TERMS ((int)(sizeof(NAME(taylor)) / sizeof(NAME(taylor)[0])))

/* Return e^r - 1, and 2^n in `power`, of x = n ln 2 + r; |x| is at most EXP_LIMIT, or NaN. */
static INLINE V NAME(exp_parts)(V x, V *power) {
    V shifted = NAME(fma)(x, NAME(splat)((REAL)1.44269504088896340736), NAME(splat)(ROUNDER));
    V n = shifted - ROUNDER;
    V r = NAME(fma)(-n, NAME(splat)(LN2_HIGH), x);
    r = NAME(fma)(-n, NAME(splat)(LN2_LOW), r);
    V q = NAME(splat)(NAME(taylor)[0]);
#pragma GCC unroll 12
    for (int k = 1; k < TERMS; k++) q = NAME(fma)(q, r, NAME(splat)(NAME(taylor)[k]));
    *power = (V)(((I)shifted + (INTEGER)EXPONENT_BIAS) << MANTISSA); /* the rounder's own bits are shifted out */
    return NAME(fma)(r * r, q, r);
}

/* e^x; 0 below -EXP_LIMIT. For x up to 0: larger ones stop at e^EXP_LIMIT. */
static INLINE V NAME(exp)(V x) {
    V power, p = NAME(exp_parts)(NAME(at_most)(EXP_LIMIT, NAME(at_least)(-EXP_LIMIT, x)), &power);
    return NAME(select)((I)(x < NAME(splat)(-EXP_LIMIT)), (V){0}, NAME(fma)(power, p, power));
}

static INLINE V NAME(sigmoid)(V x) { /* 1 / (1 + e^-x) */
    V power, p = NAME(exp_parts)(NAME(at_most)(EXP_LIMIT, NAME(at_least)(-EXP_LIMIT, -x)), &power);
    V result = 1 / (1 + NAME(fma)(power, p, power));
    return NAME(select)((I)(x < NAME(splat)(-EXP_LIMIT)), (V){0}, result);
}

static INLINE V NAME(tanh)(V x) { /* with m = e^2|x| - 1: m / (m + 2), and the sign of x */
    I sign = (I)x & (INTEGER)((uint64_t)1 << (8 * sizeof(REAL) - 1));
    V magnitude = NAME(at_most)(TANH_LIMIT, (V)((I)x ^ sign));
    V power, p = NAME(exp_parts)(magnitude + magnitude, &power);
    V m = NAME(fma)(power, p, power - 1);
    return (V)((I)(m / (m + 2)) | sign);
}

/* Replace the C logits of a row by their probabilities; the sum goes from class 0 up. */
static void NAME(softmax)(int64_t classes, REAL *row) {
    REAL largest = classes ? row[0] : 0, sum = 0, rest[LANES];
    int64_t whole = classes / LANES * LANES;
    for (int64_t c = 1; c < classes; c++) largest = row[c] > largest || row[c] != row[c] ? row[c] : largest;
    for (int64_t c = 0; c < whole; c += LANES) NAME(store)(row + c, NAME(exp)(NAME(load)(row + c) - largest));
    for (int64_t lane = 0; lane < LANES; lane++) rest[lane] = whole + lane < classes ? row[whole + lane] : 0;
    NAME(store)(rest, NAME(exp)(NAME(load)(rest) - largest));
    for (int64_t c = whole; c < classes; c++) row[c] = rest[c - whole];
    for (int64_t c = 0; c < classes; c++) sum += row[c];
    for (int64_t c = 0; c < whole; c += LANES) NAME(store)(row + c, NAME(load)(row + c) / sum);
    for (int64_t c = whole; c < classes; c++) row[c] /= sum;
}
