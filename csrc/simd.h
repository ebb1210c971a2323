/*
 * Eight numbers, whatever the machine.
 *
 * A translation unit defines AX_ISA before it includes this file. `v8`, eight
 * doubles, is one zmm register, two ymm registers, or a plain array the compiler
 * may vectorise; `f8`, eight floats, is half of that; `m8` is the outcome of a
 * comparison. Every operation is the IEEE one, lane by lane, so that instruction
 * sets that have a fused multiply-add agree to the last bit. The x86-64 baseline
 * has none: there v8_fma rounds twice and results differ in the last place.
 */
#ifndef AX_SIMD_H
#define AX_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define AX_ISA_GENERIC 0
#define AX_ISA_AVX2 1
#define AX_ISA_AVX512 2

#ifndef AX_ISA
#error "define AX_ISA before including simd.h"
#endif

#define AX_INLINE static inline __attribute__((always_inline, unused))

/* min and max return their second operand when either is NaN, as x86 does. */

#if AX_ISA != AX_ISA_GENERIC

#include <immintrin.h>

typedef __m256 f8;

AX_INLINE f8 f8_load(const float *p) { return _mm256_load_ps(p); }
AX_INLINE void f8_store(float *p, f8 a) { _mm256_store_ps(p, a); }
AX_INLINE f8 f8_set1(float a) { return _mm256_set1_ps(a); }
AX_INLINE f8 f8_fma(f8 a, f8 b, f8 c) { return _mm256_fmadd_ps(a, b, c); }

/* a[l] holds lane l's eight values; afterwards a[k] holds value k of all lanes. */
AX_INLINE void f8_transpose(f8 a[8]) {
    f8 t[8], u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; k++) {
            u[i + 2 * k] = _mm256_shuffle_ps(t[i + k], t[i + 2 + k], 0x44);
            u[i + 2 * k + 1] = _mm256_shuffle_ps(t[i + k], t[i + 2 + k], 0xee);
        }
    for (int k = 0; k < 4; k++) {
        a[k] = _mm256_permute2f128_ps(u[k], u[4 + k], 0x20);
        a[4 + k] = _mm256_permute2f128_ps(u[k], u[4 + k], 0x31);
    }
}

#endif

#if AX_ISA == AX_ISA_AVX512

typedef __m512d v8;
typedef __mmask8 m8;

AX_INLINE v8 v8_load(const double *p) { return _mm512_load_pd(p); }
AX_INLINE void v8_store(double *p, v8 a) { _mm512_store_pd(p, a); }
AX_INLINE v8 v8_set1(double a) { return _mm512_set1_pd(a); }
AX_INLINE v8 v8_gather(const double *p, const int64_t *at) {
    return _mm512_set_pd(p[at[7]], p[at[6]], p[at[5]], p[at[4]], p[at[3]], p[at[2]], p[at[1]],
                         p[at[0]]);
}
AX_INLINE v8 v8_first(v8 a) { return _mm512_broadcastsd_pd(_mm512_castpd512_pd128(a)); }
AX_INLINE v8 v8_add(v8 a, v8 b) { return _mm512_add_pd(a, b); }
AX_INLINE v8 v8_sub(v8 a, v8 b) { return _mm512_sub_pd(a, b); }
AX_INLINE v8 v8_mul(v8 a, v8 b) { return _mm512_mul_pd(a, b); }
AX_INLINE v8 v8_div(v8 a, v8 b) { return _mm512_div_pd(a, b); }
AX_INLINE v8 v8_sqrt(v8 a) { return _mm512_sqrt_pd(a); }
AX_INLINE v8 v8_fma(v8 a, v8 b, v8 c) { return _mm512_fmadd_pd(a, b, c); }
AX_INLINE v8 v8_fms(v8 a, v8 b, v8 c) { return _mm512_fmsub_pd(a, b, c); }
AX_INLINE v8 v8_fnma(v8 a, v8 b, v8 c) { return _mm512_fnmadd_pd(a, b, c); }
AX_INLINE v8 v8_min(v8 a, v8 b) { return _mm512_min_pd(a, b); }
AX_INLINE v8 v8_max(v8 a, v8 b) { return _mm512_max_pd(a, b); }
AX_INLINE v8 v8_abs(v8 a) { return _mm512_abs_pd(a); }
AX_INLINE m8 v8_lt(v8 a, v8 b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
AX_INLINE m8 v8_le(v8 a, v8 b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
AX_INLINE m8 v8_eq(v8 a, v8 b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
AX_INLINE m8 m8_and(m8 a, m8 b) { return (m8)(a & b); }
AX_INLINE unsigned m8_bits(m8 a) { return a; }
AX_INLINE v8 v8_select(m8 m, v8 yes, v8 no) { return _mm512_mask_blend_pd(m, no, yes); }
AX_INLINE v8 v8_shift_left(v8 a, const int by) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), (unsigned)by));
}
AX_INLINE v8 v8_shift_right(v8 a, const int by) {
    return _mm512_castsi512_pd(_mm512_srli_epi64(_mm512_castpd_si512(a), (unsigned)by));
}
AX_INLINE v8 v8_add_bits(v8 a, int64_t b) {
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), _mm512_set1_epi64(b)));
}
AX_INLINE v8 v8_bits_from(int64_t b, v8 a) {
    return _mm512_castsi512_pd(_mm512_sub_epi64(_mm512_set1_epi64(b), _mm512_castpd_si512(a)));
}
AX_INLINE v8 v8_sum_of_bits(v8 a, v8 b) {
    return _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b)));
}
AX_INLINE v8 v8_one_of_16(const double *table, v8 which) {
    return _mm512_permutex2var_pd(v8_load(table), _mm512_castpd_si512(which), v8_load(table + 8));
}
AX_INLINE v8 v8_and_bits(v8 a, int64_t b) {
    return _mm512_castsi512_pd(_mm512_and_si512(_mm512_castpd_si512(a), _mm512_set1_epi64(b)));
}
AX_INLINE v8 v8_or_bits(v8 a, int64_t b) {
    return _mm512_castsi512_pd(_mm512_or_si512(_mm512_castpd_si512(a), _mm512_set1_epi64(b)));
}

AX_INLINE v8 v8_from(f8 a) { return _mm512_cvtps_pd(a); }
AX_INLINE f8 f8_from(v8 a) { return _mm512_cvtpd_ps(a); }

#elif AX_ISA == AX_ISA_AVX2

typedef struct { __m256d lo, hi; } v8;
typedef struct { __m256d lo, hi; } m8;

#define AX_BOTH(expr_lo, expr_hi) ((v8){(expr_lo), (expr_hi)})

AX_INLINE v8 v8_load(const double *p) { return AX_BOTH(_mm256_load_pd(p), _mm256_load_pd(p + 4)); }
AX_INLINE void v8_store(double *p, v8 a) {
    _mm256_store_pd(p, a.lo);
    _mm256_store_pd(p + 4, a.hi);
}
AX_INLINE v8 v8_set1(double a) { return AX_BOTH(_mm256_set1_pd(a), _mm256_set1_pd(a)); }
AX_INLINE v8 v8_gather(const double *p, const int64_t *at) {
    return AX_BOTH(_mm256_set_pd(p[at[3]], p[at[2]], p[at[1]], p[at[0]]),
                   _mm256_set_pd(p[at[7]], p[at[6]], p[at[5]], p[at[4]]));
}
AX_INLINE v8 v8_first(v8 a) {
    const __m256d x = _mm256_broadcastsd_pd(_mm256_castpd256_pd128(a.lo));
    return AX_BOTH(x, x);
}
AX_INLINE v8 v8_add(v8 a, v8 b) {
    return AX_BOTH(_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi));
}
AX_INLINE v8 v8_sub(v8 a, v8 b) {
    return AX_BOTH(_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi));
}
AX_INLINE v8 v8_mul(v8 a, v8 b) {
    return AX_BOTH(_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi));
}
AX_INLINE v8 v8_div(v8 a, v8 b) {
    return AX_BOTH(_mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi));
}
AX_INLINE v8 v8_sqrt(v8 a) { return AX_BOTH(_mm256_sqrt_pd(a.lo), _mm256_sqrt_pd(a.hi)); }
AX_INLINE v8 v8_fma(v8 a, v8 b, v8 c) {
    return AX_BOTH(_mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi));
}
AX_INLINE v8 v8_fms(v8 a, v8 b, v8 c) {
    return AX_BOTH(_mm256_fmsub_pd(a.lo, b.lo, c.lo), _mm256_fmsub_pd(a.hi, b.hi, c.hi));
}
AX_INLINE v8 v8_fnma(v8 a, v8 b, v8 c) {
    return AX_BOTH(_mm256_fnmadd_pd(a.lo, b.lo, c.lo), _mm256_fnmadd_pd(a.hi, b.hi, c.hi));
}
AX_INLINE v8 v8_min(v8 a, v8 b) {
    return AX_BOTH(_mm256_min_pd(a.lo, b.lo), _mm256_min_pd(a.hi, b.hi));
}
AX_INLINE v8 v8_max(v8 a, v8 b) {
    return AX_BOTH(_mm256_max_pd(a.lo, b.lo), _mm256_max_pd(a.hi, b.hi));
}
AX_INLINE v8 v8_abs(v8 a) {
    const __m256d sign = _mm256_set1_pd(-0.0);
    return AX_BOTH(_mm256_andnot_pd(sign, a.lo), _mm256_andnot_pd(sign, a.hi));
}
#define AX_COMPARE(name, predicate)                                                    \
    AX_INLINE m8 name(v8 a, v8 b) {                                                    \
        return (m8){_mm256_cmp_pd(a.lo, b.lo, predicate), _mm256_cmp_pd(a.hi, b.hi, predicate)}; \
    }
AX_COMPARE(v8_lt, _CMP_LT_OQ)
AX_COMPARE(v8_le, _CMP_LE_OQ)
AX_COMPARE(v8_eq, _CMP_EQ_OQ)
#undef AX_COMPARE
AX_INLINE m8 m8_and(m8 a, m8 b) {
    return (m8){_mm256_and_pd(a.lo, b.lo), _mm256_and_pd(a.hi, b.hi)};
}
AX_INLINE unsigned m8_bits(m8 a) {
    return (unsigned)_mm256_movemask_pd(a.lo) | (unsigned)_mm256_movemask_pd(a.hi) << 4;
}
AX_INLINE v8 v8_select(m8 m, v8 yes, v8 no) {
    return AX_BOTH(_mm256_blendv_pd(no.lo, yes.lo, m.lo), _mm256_blendv_pd(no.hi, yes.hi, m.hi));
}
#define AX_INTEGER(a, op)                                            \
    AX_BOTH(_mm256_castsi256_pd(op(_mm256_castpd_si256((a).lo))),    \
            _mm256_castsi256_pd(op(_mm256_castpd_si256((a).hi))))
AX_INLINE v8 v8_shift_left(v8 a, const int by) {
#define OP(x) _mm256_slli_epi64(x, by)
    return AX_INTEGER(a, OP);
#undef OP
}
AX_INLINE v8 v8_shift_right(v8 a, const int by) {
#define OP(x) _mm256_srli_epi64(x, by)
    return AX_INTEGER(a, OP);
#undef OP
}
AX_INLINE v8 v8_add_bits(v8 a, int64_t b) {
#define OP(x) _mm256_add_epi64(x, _mm256_set1_epi64x(b))
    return AX_INTEGER(a, OP);
#undef OP
}
AX_INLINE v8 v8_bits_from(int64_t b, v8 a) {
#define OP(x) _mm256_sub_epi64(_mm256_set1_epi64x(b), x)
    return AX_INTEGER(a, OP);
#undef OP
}
AX_INLINE v8 v8_and_bits(v8 a, int64_t b) {
#define OP(x) _mm256_and_si256(x, _mm256_set1_epi64x(b))
    return AX_INTEGER(a, OP);
#undef OP
}
AX_INLINE v8 v8_or_bits(v8 a, int64_t b) {
#define OP(x) _mm256_or_si256(x, _mm256_set1_epi64x(b))
    return AX_INTEGER(a, OP);
#undef OP
}
AX_INLINE v8 v8_sum_of_bits(v8 a, v8 b) {
#define SUM(x, y) _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(x), _mm256_castpd_si256(y)))
    return AX_BOTH(SUM(a.lo, b.lo), SUM(a.hi, b.hi));
#undef SUM
}
AX_INLINE v8 v8_one_of_16(const double *table, v8 which) {
    const v8 at = v8_and_bits(which, 15);
    return AX_BOTH(_mm256_i64gather_pd(table, _mm256_castpd_si256(at.lo), 8),
                   _mm256_i64gather_pd(table, _mm256_castpd_si256(at.hi), 8));
}
#undef AX_INTEGER

AX_INLINE v8 v8_from(f8 a) {
    return AX_BOTH(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                   _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)));
}
AX_INLINE f8 f8_from(v8 a) {
    return _mm256_set_m128(_mm256_cvtpd_ps(a.hi), _mm256_cvtpd_ps(a.lo));
}

#else /* AX_ISA_GENERIC */

typedef struct { double x[8]; } v8;
typedef struct { uint64_t x[8]; } m8;
typedef struct { float x[8]; } f8;

#ifdef __FP_FAST_FMA /* fused where the machine has it, as on 64-bit Arm */
#define AX_FMA(a, b, c) __builtin_fma(a, b, c)
#else
#define AX_FMA(a, b, c) ((a) * (b) + (c))
#endif

#ifdef __FP_FAST_FMAF
#define AX_FMAF(a, b, c) __builtin_fmaf(a, b, c)
#else /* the product is exact: the same but for one sum in 10^8 that is rounded twice */
#define AX_FMAF(a, b, c) ((float)((double)(a) * (b) + (c)))
#endif

#define AX_EACH(type, expression)       \
    type r;                             \
    for (int i = 0; i < 8; i++)         \
        r.x[i] = (expression);          \
    return r

AX_INLINE v8 v8_load(const double *p) { AX_EACH(v8, p[i]); }
AX_INLINE void v8_store(double *p, v8 a) { memcpy(p, a.x, sizeof a.x); }
AX_INLINE v8 v8_set1(double a) { AX_EACH(v8, a); }
AX_INLINE v8 v8_gather(const double *p, const int64_t *at) { AX_EACH(v8, p[at[i]]); }
AX_INLINE v8 v8_first(v8 a) { AX_EACH(v8, a.x[0]); }
AX_INLINE v8 v8_add(v8 a, v8 b) { AX_EACH(v8, a.x[i] + b.x[i]); }
AX_INLINE v8 v8_sub(v8 a, v8 b) { AX_EACH(v8, a.x[i] - b.x[i]); }
AX_INLINE v8 v8_mul(v8 a, v8 b) { AX_EACH(v8, a.x[i] * b.x[i]); }
AX_INLINE v8 v8_div(v8 a, v8 b) { AX_EACH(v8, a.x[i] / b.x[i]); }
AX_INLINE v8 v8_sqrt(v8 a) { AX_EACH(v8, __builtin_sqrt(a.x[i])); }
AX_INLINE v8 v8_fma(v8 a, v8 b, v8 c) { AX_EACH(v8, AX_FMA(a.x[i], b.x[i], c.x[i])); }
AX_INLINE v8 v8_fms(v8 a, v8 b, v8 c) { AX_EACH(v8, AX_FMA(a.x[i], b.x[i], -c.x[i])); }
AX_INLINE v8 v8_fnma(v8 a, v8 b, v8 c) { AX_EACH(v8, AX_FMA(-a.x[i], b.x[i], c.x[i])); }
AX_INLINE v8 v8_min(v8 a, v8 b) { AX_EACH(v8, a.x[i] < b.x[i] ? a.x[i] : b.x[i]); }
AX_INLINE v8 v8_max(v8 a, v8 b) { AX_EACH(v8, a.x[i] > b.x[i] ? a.x[i] : b.x[i]); }
AX_INLINE v8 v8_abs(v8 a) { AX_EACH(v8, __builtin_fabs(a.x[i])); }
AX_INLINE m8 v8_lt(v8 a, v8 b) { AX_EACH(m8, a.x[i] < b.x[i]); }
AX_INLINE m8 v8_le(v8 a, v8 b) { AX_EACH(m8, a.x[i] <= b.x[i]); }
AX_INLINE m8 v8_eq(v8 a, v8 b) { AX_EACH(m8, a.x[i] == b.x[i]); }
AX_INLINE m8 m8_and(m8 a, m8 b) { AX_EACH(m8, a.x[i] & b.x[i]); }
AX_INLINE unsigned m8_bits(m8 a) {
    unsigned bits = 0;
    for (int i = 0; i < 8; i++)
        bits |= (unsigned)a.x[i] << i;
    return bits;
}
AX_INLINE v8 v8_select(m8 m, v8 yes, v8 no) { AX_EACH(v8, m.x[i] ? yes.x[i] : no.x[i]); }

AX_INLINE uint64_t ax_bits(double a) {
    uint64_t u;
    memcpy(&u, &a, sizeof u);
    return u;
}
AX_INLINE double ax_from_bits(uint64_t u) {
    double a;
    memcpy(&a, &u, sizeof a);
    return a;
}
AX_INLINE v8 v8_shift_left(v8 a, const int by) {
    AX_EACH(v8, ax_from_bits(ax_bits(a.x[i]) << by));
}
AX_INLINE v8 v8_shift_right(v8 a, const int by) {
    AX_EACH(v8, ax_from_bits(ax_bits(a.x[i]) >> by));
}
AX_INLINE v8 v8_add_bits(v8 a, int64_t b) {
    AX_EACH(v8, ax_from_bits(ax_bits(a.x[i]) + (uint64_t)b));
}
AX_INLINE v8 v8_bits_from(int64_t b, v8 a) {
    AX_EACH(v8, ax_from_bits((uint64_t)b - ax_bits(a.x[i])));
}
AX_INLINE v8 v8_and_bits(v8 a, int64_t b) {
    AX_EACH(v8, ax_from_bits(ax_bits(a.x[i]) & (uint64_t)b));
}
AX_INLINE v8 v8_or_bits(v8 a, int64_t b) {
    AX_EACH(v8, ax_from_bits(ax_bits(a.x[i]) | (uint64_t)b));
}

AX_INLINE v8 v8_sum_of_bits(v8 a, v8 b) {
    AX_EACH(v8, ax_from_bits(ax_bits(a.x[i]) + ax_bits(b.x[i])));
}
AX_INLINE v8 v8_one_of_16(const double *table, v8 which) {
    AX_EACH(v8, table[ax_bits(which.x[i]) & 15]);
}

AX_INLINE f8 f8_load(const float *p) { AX_EACH(f8, p[i]); }
AX_INLINE void f8_store(float *p, f8 a) { memcpy(p, a.x, sizeof a.x); }
AX_INLINE f8 f8_set1(float a) { AX_EACH(f8, a); }
AX_INLINE f8 f8_fma(f8 a, f8 b, f8 c) { AX_EACH(f8, AX_FMAF(a.x[i], b.x[i], c.x[i])); }
AX_INLINE v8 v8_from(f8 a) { AX_EACH(v8, a.x[i]); }
AX_INLINE f8 f8_from(v8 a) { AX_EACH(f8, (float)a.x[i]); }

AX_INLINE void f8_transpose(f8 a[8]) {
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < i; k++) {
            const float swap = a[i].x[k];
            a[i].x[k] = a[k].x[i];
            a[k].x[i] = swap;
        }
}

#endif

/* One scalar multiply-add with the rounding that v8_fma has on this machine. */
AX_INLINE double ax_fma(double a, double b, double c) {
#if AX_ISA == AX_ISA_GENERIC
    return AX_FMA(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
}

/* Adding 1.5 * 2^52 rounds to an integer and leaves it in the low bits. */
#define AX_ROUND_MAGIC 6755399441055744.0

/* 2^-e for a normal positive number between 2^e and 2^(e+1). */
AX_INLINE v8 v8_reciprocal_exponent(v8 a) {
    return v8_bits_from(0x7fe0000000000000, v8_and_bits(a, 0x7ff0000000000000));
}

#endif
