/* exp, log and pow from + - * / alone, in one order that no compiler may change (the build turns
 * contraction off). The series are the plain ones: after the argument is reduced they converge to
 * the last bit in a dozen terms. pow carries its logarithm in two doubles, since a result near
 * 2^1024 needs ten bits of it more than a double has. It must never call libm for more than floor.
 */
#include "base/math.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"

static_assert(FLT_EVAL_METHOD == 0, "sums in wider registers would round differently");

#define MANTISSA_BITS 52
#define EXPONENT_BIAS 1023
#define MANTISSA_MASK ((UINT64_C(1) << MANTISSA_BITS) - 1)

/* ln 2 in two parts; the first has 32 bits, so that it times any exponent is exact. */
#define LN2_HI 0x1.62e42feep-1
#define LN2_LO 0x1.a39ef35793c76p-33
#define LN2_LO_REST 0x1.cc01f97b57a08p-87
#define LN2_INVERSE 0x1.71547652b82fep+0

/* Beyond these exp is infinity, or less than half the least denormal. */
#define EXP_MAX 709.782712893384
#define EXP_MIN (-745.1332191019412)

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

static double power_of_two(int k) /* of a normal result: -1022 to 1023 */
{
    return of_bits((uint64_t)(k + EXPONENT_BIAS) << MANTISSA_BITS);
}

/* x * 2^k in two steps, since 2^k itself may be out of range where the product is not. */
static double scale(double x, int k)
{
    int half = k / 2;
    return x * power_of_two(half) * power_of_two(k - half);
}

/* A positive finite x as m * 2^k, with m from sqrt(1/2) to sqrt(2). */
static double split_exponent(double x, int *ret_k)
{
    int k = 0;
    if (x < DBL_MIN) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t bits = bits_of(x);
    k += (int)(bits >> MANTISSA_BITS) - EXPONENT_BIAS;
    double m = of_bits((bits & MANTISSA_MASK) | (uint64_t)EXPONENT_BIAS << MANTISSA_BITS);
    if (m > 0x1.6a09e667f3bcdp+0) {
        m *= 0.5;
        k++;
    }
    *ret_k = k;
    return m;
}

/* -- two doubles as one number of twice the length ----------------------------------------------
 * Dekker, "A floating-point technique for extending the available precision", 1971; Knuth, TAOCP
 * 2, 4.2.2. */

struct pair {
    double hi, lo; /* |lo| <= half an ulp of hi */
};

static struct pair sum_exact(double a, double b)
{
    double hi = a + b;
    double part = hi - a;
    return (struct pair){ hi, (a - (hi - part)) + (b - part) };
}

static struct pair product_exact(double a, double b)
{
    const double splitter = 0x1p27 + 1;
    double ca = a * splitter, cb = b * splitter;
    double ah = ca - (ca - a), bh = cb - (cb - b);
    double al = a - ah, bl = b - bh;
    double hi = a * b;
    return (struct pair){ hi, ((ah * bh - hi) + ah * bl + al * bh) + al * bl };
}

static struct pair pair_add(struct pair a, struct pair b)
{
    struct pair s = sum_exact(a.hi, b.hi);
    return sum_exact(s.hi, s.lo + (a.lo + b.lo));
}

static struct pair pair_mul(struct pair a, struct pair b)
{
    struct pair p = product_exact(a.hi, b.hi);
    return sum_exact(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

static struct pair pair_div(struct pair a, struct pair b)
{
    double quotient = a.hi / b.hi;
    struct pair p = product_exact(quotient, b.hi);
    double rest = (((a.hi - p.hi) - p.lo) + a.lo) - quotient * b.lo;
    return sum_exact(quotient, rest / b.hi);
}

/* -- the series --------------------------------------------------------------------------------
 */

/* z/5 + z^2/7 + ...: atanh(s) is s + s z (1/3 + this), with z = s^2 of at most 0.0295. */
static double atanh_tail(double z)
{
    double sum = 0;
    for (int n = 23; n >= 5; n -= 2)
        sum = z * (1.0 / n + sum);
    return sum;
}

/* (e^r - 1 - r) / r^2 for |r| of at most 0.35. */
static double exp_tail(double r)
{
    static const double inverse_factorials[] = {
        1.0 / 2,         1.0 / 6,          1.0 / 24,          1.0 / 120,     1.0 / 720,
        1.0 / 5040,      1.0 / 40320,      1.0 / 362880,      1.0 / 3628800, 1.0 / 39916800,
        1.0 / 479001600, 1.0 / 6227020800, 1.0 / 87178291200,
    };
    double sum = 0;
    for (size_t i = ARRAY_LEN(inverse_factorials); i > 0; i--)
        sum = sum * r + inverse_factorials[i - 1];
    return sum;
}

/* e^(x.hi + x.lo) = 2^k * e^r, for a sum within EXP_MIN and EXP_MAX. */
static double exp_of_pair(struct pair x)
{
    double k = floor(x.hi * LN2_INVERSE + 0.5);
    struct pair r = sum_exact(x.hi - k * LN2_HI, x.lo - k * LN2_LO);
    double tail = r.hi * r.hi * exp_tail(r.hi) + (r.lo + r.lo * r.hi);
    return scale(1 + (r.hi + tail), (int)k);
}

double math_exp(double x)
{
    if (isnan(x))
        return x;
    if (x > EXP_MAX)
        return INFINITY;
    if (x < EXP_MIN)
        return 0;
    return exp_of_pair((struct pair){ x, 0 });
}

/* With s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - s * (f - 2 s^2 (1/3 + s^2/5 + ...)): f is
 * exact, and what is rounded is small beside it. */
double math_log(double x)
{
    if (x == 0)
        return -INFINITY;
    if (isnan(x) || x < 0)
        return NAN;
    if (isinf(x))
        return x;
    int k;
    double f = split_exponent(x, &k) - 1;
    double s = f / (2 + f);
    double z = s * s;
    double less = s * (f - 2 * z * (1.0 / 3 + atanh_tail(z)));
    if (k == 0)
        return f - less;
    return k * LN2_HI + (f - (less - k * LN2_LO));
}

/* -- pow ---------------------------------------------------------------------------------------
 */

/* log x to about 2^-65 of itself, for positive finite x. */
static struct pair log_of(double x)
{
    int k;
    double m = split_exponent(x, &k);
    struct pair s = pair_div(sum_exact(m, -1), sum_exact(m, 1));
    struct pair z = pair_mul(s, s);
    struct pair third = { 1.0 / 3, 0x1.5555555555555p-56 };
    struct pair tail = pair_add(third, (struct pair){ atanh_tail(z.hi), 0 });
    struct pair twice = { 2 * s.hi, 2 * s.lo };
    struct pair part = pair_add(twice, pair_mul(twice, pair_mul(z, tail)));
    struct pair k_lo = product_exact(k, LN2_LO);
    k_lo.lo += k * LN2_LO_REST;
    return pair_add((struct pair){ k * LN2_HI, 0 }, pair_add(k_lo, part));
}

static bool is_integer(double y)
{
    return isfinite(y) && floor(y) == y;
}

static bool is_odd(double y)
{
    return is_integer(y) && fabs(y) < 0x1p53 && floor(y / 2) * 2 != y;
}

/* |x|^y where x or y is zero or infinite, and |x| is not 1. */
static double pow_extreme(double magnitude, double y)
{
    return (magnitude > 1) == (y > 0) ? INFINITY : 0;
}

static double pow_positive(double x, double y)
{
    if (x == 1)
        return 1;
    if (x == 0 || isinf(x) || isinf(y))
        return pow_extreme(x, y);
    if (fabs(y) > 0x1p80) /* even the double next to 1 is out of range then */
        return pow_extreme(x, y);
    if (fabs(y) < 0x1p-80)
        return 1;
    struct pair l = pair_mul(log_of(x), (struct pair){ y, 0 });
    if (l.hi > EXP_MAX + 1)
        return INFINITY;
    return l.hi < EXP_MIN - 1 ? 0 : exp_of_pair(l);
}

double math_pow(double x, double y)
{
    if (y == 0 || x == 1)
        return 1;
    if (isnan(x) || isnan(y))
        return NAN;
    bool negative = signbit(x);
    if (negative && x != 0 && isfinite(x) && isfinite(y) && !is_integer(y))
        return NAN;
    double power = pow_positive(fabs(x), y);
    return negative && is_odd(y) ? -power : power;
}
