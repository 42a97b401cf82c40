/* exp, log and pow whose last bit is the same on every machine, so that a decision that needs them
 * replays everywhere. libm's own differ between versions and CPUs; what IEEE 754 rounds exactly
 * (sqrt, floor, ceil, fabs) may come from there. */
#pragma once

/* All are within 1 ulp (results below 2^-1022 within one denormal) and treat NaN, infinities, zeros
 * and overflow as C17's Annex F says; no errno, no exception flags worth reading. */
double math_exp(double x);
double math_log(double x);
double math_pow(double x, double y);
