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
 * 1/x, to half a unit in the last place but for one x in 10^4 or less.
 *
 * With multiply-adds alone, in a third of the time of a slow divider and in that of a fast one. The
 * bits of x from those of a constant are 1/x to 5.1 %; two steps of order 3 and one of order 2 do
 * the rest, unless x or 1/x is subnormal or no finite number. Without a fused multiply-add the
 * steps would round too often: there it is a division.
 */
AX_INLINE v8 v8_reciprocal(v8 x) {
    const v8 one = v8_set1(1.0);
#if AX_KERNEL_FUSED
    v8 y = v8_bits_from(0x7fde620000000000, x);
    for (int i = 0; i < 2; i++) {
        const v8 e = v8_fnma(x, y, one);
        y = v8_fma(y, v8_fma(e, e, e), y);
    }
    const v8 off = v8_fnma(x, y, one);
    y = v8_fma(y, off, y);
    const m8 good = v8_lt(v8_abs(off), v8_set1(0x1p-30));
    if (__builtin_expect(m8_bits(good) == 0xff, 1))
        return y;
    return v8_select(good, y, v8_div(one, x));
#else
    return v8_div(one, x);
#endif
}

/* c[0] x^(n - 1) + ... + c[n - 1] */
AX_INLINE v8 v8_polynomial(v8 x, const double *c, const int n) {
    v8 p = v8_set1(c[0]);
    for (int i = 1; i < n; i++)
        p = v8_fma(p, x, v8_set1(c[i]));
    return p;
}

#define AX_LN2 0x1.62e42fefa39efp-1
#define AX_LN2_HI 0x1.62e42fefa0000p-1 /* ln 2 to 38 bits: k * AX_LN2_HI is exact */
#define AX_LN2_LO 0x1.cf79abc9e3b3ap-40
#define AX_LOG2E 0x1.71547652b82fep+0

/* x = k ln 2 + r with |r| <= ln 2 / 2. Returns k. */
AX_INLINE v8 v8_reduce_ln2(v8 x, v8 *r) {
    const v8 magic = v8_set1(AX_ROUND_MAGIC);
    const v8 k = v8_sub(v8_fma(x, v8_set1(AX_LOG2E), magic), magic);
    *r = v8_fnma(k, v8_set1(AX_LN2_LO), v8_fnma(k, v8_set1(AX_LN2_HI), x));
    return k;
}

/* 2^k for a whole number |k| <= 1022. */
AX_INLINE v8 v8_pow2(v8 k) {
    return v8_shift_left(v8_add_bits(v8_add(k, v8_set1(AX_ROUND_MAGIC)), 1023), 52);
}

/* exp(r) - 1 for |r| <= ln 2 / 2: Taylor series to r^13 (remainder below 5e-18). */
AX_INLINE v8 v8_expm1_series(v8 r) {
    static const double c[] = {
        1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
        1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
        1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5,
    };
    return v8_fma(v8_mul(r, r), v8_polynomial(r, c, 12), r);
}

/* Whether -bound < x < bound in every lane. */
AX_INLINE int v8_all_within(v8 x, double bound) {
    return __builtin_expect(m8_bits(v8_lt(v8_abs(x), v8_set1(bound))) == 0xff, 1);
}

/* 2^(j/16), its exponent less by j/16: the bits of j in the mantissa's first four make up for it. */
static const double ax_root_of_2[16] __attribute__((aligned(64))) = {
    0x1.0000000000000p+0, 0x1.fb5586cf9890fp-1, 0x1.f72b83c7d517bp-1, 0x1.f387a6e756238p-1,
    0x1.f06fe0a31b715p-1, 0x1.edea64c123422p-1, 0x1.ebfdad5362a27p-1, 0x1.eab07dd485429p-1,
    0x1.ea09e667f3bcdp-1, 0x1.ea11473eb0187p-1, 0x1.eace5422aa0dbp-1, 0x1.ec49182a3f090p-1,
    0x1.ee89f995ad3adp-1, 0x1.f199bdd85529cp-1, 0x1.f5818dcfba487p-1, 0x1.fa4afa2a490dap-1,
};

/*
 * e^x where that is a normal number: 2^(k/16) e^r with |r| <= ln 2 / 32, e^r by the polynomial
 * whose largest error is least, 1.2e-17.
 */
AX_INLINE v8 v8_exp_normal(v8 x) {
    static const double c[] = {0x1.6c185d32368a6p-10, 0x1.11123a8a6f895p-7, 0x1.555555545fbbfp-5,
                               0x1.555555548fc75p-3, 0x1.0000000000005p-1};
    const v8 magic = v8_set1(AX_ROUND_MAGIC);
    const v8 shifted = v8_fma(x, v8_set1(16 * AX_LOG2E), magic), k = v8_sub(shifted, magic);
    const v8 r = v8_fnma(k, v8_set1(AX_LN2_LO / 16), v8_fnma(k, v8_set1(AX_LN2_HI / 16), x));
    const v8 power = v8_sum_of_bits(v8_one_of_16(ax_root_of_2, shifted), v8_shift_left(shifted, 48));
    return v8_fma(power, v8_fma(v8_mul(r, r), v8_polynomial(r, c, 5), r), power);
}

AX_INLINE v8 v8_exp(v8 x) {
    if (v8_all_within(x, 700.0))
        return v8_exp_normal(x);
    /* Beyond these bounds the result is infinite or zero; NaN passes the selects. */
    const v8 clamped = v8_max(v8_set1(-746.0), v8_min(v8_set1(710.0), x));
    const v8 magic = v8_set1(AX_ROUND_MAGIC);
    v8 r;
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
 * 1/c and log c for sixteen c, each about the middle of a sixteenth of an octave from 45/64 on, one
 * of them 1. The reciprocals have 26 bits, and are those whose logarithms' next bits are all zeros
 * or all ones (S. Gal, B. Bachelis, ACM Trans. Math. Softw. 17, 26-45 (1991)).
 */
static const double ax_reciprocal_of_middle[16] __attribute__((aligned(64))) = {
    0x1.6425338000000p+0, 0x1.5553420000000p+0, 0x1.47af120000000p+0, 0x1.3b11b08000000p+0,
    0x1.2f6fc50000000p+0, 0x1.248a940000000p+0, 0x1.1a86028000000p+0, 0x1.1110fd0000000p+0,
    0x1.083ab18000000p+0, 0x1.0000000000000p+0, 0x1.e1d6b50000000p-1, 0x1.c7263d8000000p-1,
    0x1.af2a018000000p-1, 0x1.99934b8000000p-1, 0x1.860db90000000p-1, 0x1.74541b8000000p-1,
};
static const double ax_log_of_middle[16] __attribute__((aligned(64))) = {
    -0x1.5215d44c2abd7p-2, -0x1.268fe70e750fap-2, -0x1.f997f748d645dp-3, -0x1.a931cefe15d95p-3,
    -0x1.5c2677d63c5efp-3, -0x1.1142f36c8c0cbp-3, -0x1.93cd074bc7e2ap-4, -0x1.08585e59d8912p-4,
    -0x1.033153ee89620p-5, 0x0.0p+0, 0x1.f161093511330p-5, 0x1.e2184e5590280p-4,
    0x1.5feb7fee03ec3p-3, 0x1.c91f0337c7dffp-3, 0x1.1691c57c94cd2p-2, 0x1.463170ce11493p-2,
};

/*
 * Natural logarithm of a normal number, plus -k ln 2: x = 2^e c (1 + r) with c the middle of one
 * of sixteen ranges, 1 for those about 1, and |r| <= 1/32. Its polynomial is off by 9e-18 of
 * log(1 + r) at most.
 */
AX_INLINE v8 v8_log_normal(v8 x, v8 k) {
    static const double coefficients[] = {
        0x1.c4e974ea94563p-4, -0x1.006aa48f8c2a3p-3, 0x1.2492cf2f85421p-3, -0x1.555542ddc62d3p-3,
        0x1.99999988c4298p-3, -0x1.00000000966b5p-2, 0x1.55555555559f7p-2, -0x1.fffffffffffd8p-2,
    };
    const int64_t low = 0x3fe6800000000000; /* where the first range begins, at 45/64 */
    const v8 biased = v8_add_bits(x, 0x3ff0000000000000 - low);
    const v8 exponent = v8_or_bits(v8_shift_right(biased, 52), 0x4330000000000000); /* 2^52 + e */
    const v8 e = v8_sub(v8_sub(exponent, v8_set1(0x1p52 + 1023.0)), k);
    const v8 m = v8_add_bits(v8_and_bits(biased, 0x000fffffffffffff), low);
    const v8 which = v8_shift_right(biased, 48);
    const v8 per = v8_one_of_16(ax_reciprocal_of_middle, which), one = v8_set1(1.0);
#if AX_KERNEL_FUSED
    const v8 r = v8_fms(m, per, one);
#else
    const v8 high = v8_and_bits(m, -0x8000000); /* its product with 26 bits is exact */
    const v8 r = v8_add(v8_fms(high, per, one), v8_mul(v8_sub(m, high), per));
#endif
    const v8 whole = v8_fma(e, v8_set1(AX_LN2), v8_one_of_16(ax_log_of_middle, which));
    const v8 p = v8_polynomial(r, coefficients, 8);
    return v8_add(whole, v8_fma(v8_mul(r, r), p, r));
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
