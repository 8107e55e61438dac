// hls::numeric_limits for a fast C simulation.

#ifndef BITWRIGHT_X_HLS_UTILS_H_
#define BITWRIGHT_X_HLS_UTILS_H_

#include "../fast_ap.h"
#include <limits>

namespace hls {

template <class T, class = void> struct numeric_limits {
    static T max() { return std::numeric_limits<T>::max(); }
    static T min() { return std::numeric_limits<T>::min(); }
    static T epsilon() { return std::numeric_limits<T>::epsilon(); }
};

template <class T> struct numeric_limits<T, typename std::enable_if<fast_ap::is_ours<T>>::type> {
    static T max() { return fast_ap::raw<T>(fast_ap::highest<T::width, T::is_signed_>()); }
    static T min() { return fast_ap::raw<T>(fast_ap::lowest<T::width, T::is_signed_>()); }
    static T epsilon() { return fast_ap::raw<T>(1); }
};

} // namespace hls

#endif
