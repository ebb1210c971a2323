/*
 * Elementary functions on eight doubles, to a few units in the last place.
 *
 * Plain range reduction and series: the same operations in the same order on
 * every instruction set, so results agree wherever v8_fma is fused.
 */
#ifndef AX_VMATH_H
#define AX_VMATH_H

#include "simd.h"

/*
 * 1/x of a number whose reciprocal is not subnormal, to half a unit in the last place but for one
 * x in 10^4 or less; whether that went well is in *off, which is then below 2^-30.
 *
 * In a third of a division's time, with multiply-adds alone, so that machines agree. The bits of
 * x from those of a constant are 1/x to 5.1 %; two steps of order 3 and one of order 2 do the rest.
 * Without a fused multiply-add the steps would round too often: there it is a division.
 */
AX_INLINE v8 v8_reciprocal_of(v8 x, v8 *off) {
    const v8 one = v8_set1(1.0);
#if AX_KERNEL_FUSED
    v8 y = v8_bits_from(0x7fde620000000000, x);
    for (int i = 0; i < 2; i++) {
        const v8 e = v8_fnma(x, y, one);
        y = v8_fma(y, v8_fma(e, e, e), y);
    }
    *off = v8_fnma(x, y, one);
    return v8_fma(y, *off, y);
#else
    *off = v8_set1(0.0);
    return v8_div(one, x);
#endif
}

/* 1/x of any number. */
AX_INLINE v8 v8_reciprocal(v8 x) {
    v8 off;
    const v8 y = v8_reciprocal_of(x, &off);
    const m8 good = v8_lt(v8_abs(off), v8_set1(0x1p-30));
    if (__builtin_expect(m8_bits(good) == 0xff, 1))
        return y;
    return v8_select(good, y, v8_div(v8_set1(1.0), x));
}

#define AX_LN2_HI 0x1.62e42fefa3800p-1 /* ln 2 to 40 bits: k * AX_LN2_HI is exact */
#define AX_LN2_LO 0x1.ef35793c76730p-45
#define AX_LOG2E 0x1.71547652b82fep+0

/* x = k ln 2 + r with |r| <= ln 2 / 2. Returns k; k + AX_ROUND_MAGIC in *shifted. */
AX_INLINE v8 v8_reduce_ln2(v8 x, v8 *r) {
    const v8 magic = v8_set1(AX_ROUND_MAGIC);
    const v8 k = v8_sub(v8_fma(x, v8_set1(AX_LOG2E), magic), magic);
    *r = v8_fnma(k, v8_set1(AX_LN2_LO), v8_fnma(k, v8_set1(AX_LN2_HI), x));
    return k;
}

/* 2^k for a whole number |k| <= 1022. */
AX_INLINE v8 v8_pow2(v8 k) {
    return v8_shift_left_52(v8_add_bits(v8_add(k, v8_set1(AX_ROUND_MAGIC)), 1023));
}

/* exp(r) - 1 for |r| <= ln 2 / 2: Taylor series to r^13 (remainder below 5e-18). */
AX_INLINE v8 v8_expm1_series(v8 r) {
    static const double c[] = {
        1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
        1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
        1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5,
    };
    v8 p = v8_set1(c[0]);
    for (int i = 1; i < 12; i++)
        p = v8_fma(p, r, v8_set1(c[i]));
    return v8_fma(v8_mul(r, r), p, r);
}

/* Whether -bound < x < bound in every lane. */
AX_INLINE int v8_all_within(v8 x, double bound) {
    return __builtin_expect(m8_bits(v8_lt(v8_abs(x), v8_set1(bound))) == 0xff, 1);
}

AX_INLINE v8 v8_exp(v8 x) {
    v8 r;
    if (v8_all_within(x, 700.0)) {
        const v8 k = v8_reduce_ln2(x, &r);
        return v8_mul(v8_add(v8_expm1_series(r), v8_set1(1.0)), v8_pow2(k));
    }
    /* Beyond these bounds the result is infinite or zero; NaN passes the selects. */
    const v8 clamped = v8_max(v8_set1(-746.0), v8_min(v8_set1(710.0), x));
    const v8 magic = v8_set1(AX_ROUND_MAGIC);
    const v8 k = v8_reduce_ln2(clamped, &r);
    const v8 p = v8_add(v8_expm1_series(r), v8_set1(1.0));
    /* Two factors, since 2^k alone leaves the exponent's range. */
    const v8 half = v8_sub(v8_fma(k, v8_set1(0.5), magic), magic);
    return v8_mul(v8_mul(p, v8_pow2(half)), v8_pow2(v8_sub(k, half)));
}

AX_INLINE v8 v8_expm1(v8 x) {
    const int all_near = v8_all_within(x, 40.0);
    const v8 clamped = all_near ? x : v8_max(v8_set1(-50.0), v8_min(v8_set1(50.0), x));
    v8 r;
    const v8 k = v8_reduce_ln2(clamped, &r);
    const v8 s = v8_pow2(k);
    const v8 near = v8_fma(s, v8_expm1_series(r), v8_sub(s, v8_set1(1.0)));
    return all_near ? near : v8_select(v8_lt(v8_set1(40.0), x), v8_exp(x), near);
}

/*
 * Natural logarithm of a normal number, plus -k ln 2: x = 2^e m with m in [sqrt(1/2), sqrt(2)),
 * log m = 2 atanh((m - 1)/(m + 1)).
 */
AX_INLINE v8 v8_log_normal(v8 x, v8 k) {
    /* Shift the exponent's step from 1 to sqrt(1/2) before reading it. */
    const int64_t one_less_root = 0x3ff0000000000000 - 0x3fe6a09e00000000;
    const v8 biased = v8_add_bits(x, one_less_root);
    const v8 exponent = v8_or_bits(v8_shift_right_52(biased), 0x4330000000000000); /* 2^52 + e */
    const v8 e = v8_sub(v8_sub(exponent, v8_set1(0x1p52 + 1023.0)), k);
    const v8 m = v8_add_bits(v8_and_bits(biased, 0x000fffffffffffff), 0x3fe6a09e00000000);
    const v8 f = v8_sub(m, v8_set1(1.0));
    v8 off; /* nothing can: f + 2 is between 1.7 and 2.5 */
    const v8 s = v8_mul(f, v8_reciprocal_of(v8_add(f, v8_set1(2.0)), &off));
    const v8 z = v8_mul(s, s);
    v8 p = v8_set1(2.0 / 23.0);
    for (int d = 21; d >= 3; d -= 2)
        p = v8_fma(p, z, v8_set1(2.0 / d));
    /* log m = 2 s + s z p, and 2 s = f - s f keeps the leading digits exact. */
    const v8 tail = v8_fma(v8_mul(s, z), p, v8_fnma(s, f, v8_mul(e, v8_set1(AX_LN2_LO))));
    return v8_fma(e, v8_set1(AX_LN2_HI), v8_add(f, tail));
}

AX_INLINE v8 v8_log(v8 x) {
    const v8 tiny = v8_set1(0x1p-1022), infinite = v8_set1(INFINITY), zero = v8_set1(0.0);
    if (__builtin_expect(m8_bits(m8_and(v8_le(tiny, x), v8_lt(x, infinite))) == 0xff, 1))
        return v8_log_normal(x, zero);
    const m8 subnormal = v8_lt(x, tiny);
    const v8 value = v8_log_normal(v8_select(subnormal, v8_mul(x, v8_set1(0x1p54)), x),
                                   v8_select(subnormal, v8_set1(54.0), zero));
    v8 out = v8_select(v8_lt(x, infinite), value, x); /* inf and NaN pass through */
    out = v8_select(v8_eq(x, zero), v8_set1(-INFINITY), out);
    return v8_select(v8_lt(x, zero), v8_set1(NAN), out);
}

AX_INLINE v8 v8_tanh(v8 x) {
    const v8 e = v8_expm1(v8_mul(v8_set1(2.0), v8_max(v8_set1(-20.0), v8_min(v8_set1(20.0), x))));
    return v8_div(e, v8_add(e, v8_set1(2.0)));
}

/* x / (exp(x) - 1), 1 at zero: the singular rate of Hodgkin and Huxley. */
AX_INLINE v8 v8_exprel(v8 x) {
    const v8 zero = v8_set1(0.0);
    return v8_select(v8_eq(x, zero), v8_set1(1.0), v8_div(x, v8_expm1(x)));
}

#endif
