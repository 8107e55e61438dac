// hls_math for a fast C simulation: functions of the standard library on doubles, as hls4ml's stand-in has them.

#ifndef BITWRIGHT_HLS_MATH_H_
#define BITWRIGHT_HLS_MATH_H_

#include "fast_ap.h"

namespace hls {

template <class T> T exp(const T x) { return T(std::exp(x.to_double())); }
template <class T> T sin(T x) { return T(std::sin(x.to_double())); }
template <class T> T cos(T x) { return T(std::cos(x.to_double())); }
template <class T> T asin(T x) { return T(std::asin(x.to_double())); }
template <class T> T acos(T x) { return T(std::acos(x.to_double())); }
template <class T> T atan(T x) { return T(std::atan(x.to_double())); }

} // namespace hls

#endif
