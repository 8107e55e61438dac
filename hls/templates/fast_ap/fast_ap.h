// ap_int, ap_uint, ap_fixed and ap_ufixed for a fast C simulation: every value is one native integer, its bits right
// of the binary point known to the compiler. The project that a synthesis tool sees keeps the headers that hls4ml
// ships; these give the same integers, which tests and each run check. Where they do not know a width, a mode or an
// operation they do not compile, and the simulation falls back to the original ones.
//
// Invariant: `V` is the value in steps of 2**-F, sign- or zero-extended from `width` bits to the native type.

#ifndef BITWRIGHT_FAST_AP_H_
#define BITWRIGHT_FAST_AP_H_

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string>
#include <type_traits>

#define AP_MAX(a, b) ((a) > (b) ? (a) : (b))
#define AP_MIN(a, b) ((a) < (b) ? (a) : (b))

enum ap_q_mode { AP_RND, AP_RND_ZERO, AP_RND_MIN_INF, AP_RND_INF, AP_RND_CONV, AP_TRN, AP_TRN_ZERO };
enum ap_o_mode { AP_SAT, AP_SAT_ZERO, AP_SAT_SYM, AP_WRAP, AP_WRAP_SM };

typedef long long ap_slong;
typedef unsigned long long ap_ulong;

template <int W> struct ap_int;
template <int W> struct ap_uint;
template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0> struct ap_fixed;
template <int W, int I, ap_q_mode Q = AP_TRN, ap_o_mode O = AP_WRAP, int N = 0> struct ap_ufixed;

namespace fast_ap {

// ---- native integers ----

template <int BYTES> struct native_of;
template <> struct native_of<1> { typedef int8_t is; typedef uint8_t us; };
template <> struct native_of<2> { typedef int16_t is; typedef uint16_t us; };
template <> struct native_of<4> { typedef int32_t is; typedef uint32_t us; };
template <> struct native_of<8> { typedef int64_t is; typedef uint64_t us; };
template <> struct native_of<16> { typedef __int128 is; typedef unsigned __int128 us; };

constexpr int bytes_of(int width) { return width <= 8 ? 1 : width <= 16 ? 2 : width <= 32 ? 4 : width <= 64 ? 8 : 16; }

// The native integer that holds W bits.
template <int W, bool S> struct native {
    static_assert(W >= 1 && W <= 128, "fast_ap: width must be 1 to 128 bits; use the original headers");
    typedef typename std::conditional<S, typename native_of<bytes_of(W)>::is, typename native_of<bytes_of(W)>::us>::type type;
};
template <int W, bool S> using native_t = typename native<W, S>::type;

// A signed native integer of at least W bits to compute in; below 32 bits the compiler computes in int anyway.
template <int W> using work_t = native_t<AP_MAX(W, 32), true>;

// The low W bits of x, extended.
template <int W, bool S, class T> constexpr native_t<W, S> wrap(T x) {
    typedef native_t<W, S> R;
    typedef native_t<W, false> U;
    constexpr int spare = int(sizeof(R)) * 8 - W;
    if constexpr (spare == 0)
        return R(U(x));
    else if constexpr (S)
        return R(R(U(U(x) << spare)) >> spare);
    else
        return R(U(x) & U(U(~U(0)) >> spare));
}

template <int W, bool S> constexpr native_t<W, S> highest() {
    return native_t<W, S>(native_t<W, false>(~native_t<W, false>(0)) >> (int(sizeof(native_t<W, S>)) * 8 - W + S));
}
template <int W, bool S> constexpr native_t<W, S> lowest() {
    return S ? native_t<W, S>(-highest<W, S>() - 1) : native_t<W, S>(0);
}

// x as W bits by the overflow mode. FITS: nothing can overflow.
template <int W, bool S, ap_o_mode O, bool FITS, class T> constexpr native_t<W, S> limit(T x) {
    typedef native_t<W, S> R;
    if constexpr (FITS) {
        return R(x);
    } else if constexpr (O == AP_WRAP) {
        return wrap<W, S>(x);
    } else {
        typedef work_t<AP_MAX(int(sizeof(T)) * 8 + (T(-1) > T(0)), W + 1)> C; // room for an unsigned T
        constexpr C top = C(highest<W, S>());
        constexpr C all = C(lowest<W, S>());
        constexpr C bottom = (O == AP_SAT_SYM && S) ? C(all | 1) : all; // one bit has no -max: it stays -1
        const C value = C(x);
        if constexpr (O == AP_SAT_ZERO)
            return R(value > top || value < bottom ? C(0) : value);
        else
            return R(value > top ? top : value < bottom ? bottom : value);
    }
}

// What the rounding mode adds to the floor, of the first bit cut off, whether any later one is set, and the sign.
template <ap_q_mode Q, class T> constexpr T round_up(T floored, bool half, bool rest, bool negative) {
    switch (Q) {
    case AP_RND: return half;
    case AP_RND_ZERO: return half && (negative || rest);
    case AP_RND_MIN_INF: return half && rest;
    case AP_RND_INF: return half && (!negative || rest);
    case AP_RND_CONV: return half && ((floored & 1) || rest);
    case AP_TRN_ZERO: return negative && (half || rest);
    default: return 0;
    }
}

// x >> SHIFT, rounded; T has room for it.
template <ap_q_mode Q, int SHIFT, class T> constexpr T shift_round(T x) {
    const T floored = T(x >> SHIFT);
    if constexpr (Q == AP_TRN) {
        return floored;
    } else {
        const bool half = (x >> (SHIFT - 1)) & 1;
        const bool rest = (x & T((T(1) << (SHIFT - 1)) - 1)) != 0;
        return T(floored + round_up<Q, T>(floored, half, rest, x < 0));
    }
}

// From W2 bits with F2 fractional ones to W with F.
template <int W, int F, bool S, ap_q_mode Q, ap_o_mode O, int W2, int F2, bool S2>
constexpr native_t<W, S> convert(native_t<W2, S2> x) {
    constexpr int right = F2 - F, left = -right;
    constexpr bool grows = right > 0 && Q != AP_TRN && Q != AP_TRN_ZERO; // rounding may carry into another bit
    constexpr int room = (W - F - S) - (W2 - F2 - S2) - grows;
    constexpr bool fits = (S || !S2) && room >= ((O == AP_SAT_SYM && S && S2) ? 1 : 0);
    if constexpr (right > 0) {
        constexpr int shift = AP_MIN(right, W2 + 1); // beyond, every bit is the sign
        return limit<W, S, O, fits>(shift_round<Q, shift>(work_t<W2 + 2>(x)));
    } else if constexpr (left == 0) {
        return limit<W, S, O, fits>(x);
    } else if constexpr (O == AP_WRAP) {
        typedef native_t<W, false> U;
        if constexpr (left >= W)
            return 0;
        else
            return wrap<W, S>(U(U(x) << left));
    } else {
        return limit<W, S, O, fits>(work_t<W2 + left + 1>(work_t<W2 + left + 1>(x) << left));
    }
}

// ---- doubles ----

// A double as it stands in memory: mantissa with its sign, and the exponent of the mantissa's last bit. Subnormals
// count as the smallest normal numbers, infinities as 2**1024: neither is told apart by any width.
struct Parts {
    int64_t mantissa;
    int exponent;
};
inline Parts parts_of(double d) {
    uint64_t bits;
    std::memcpy(&bits, &d, sizeof bits);
    if ((bits << 1) == 0)
        return {0, 0};
    const int64_t magnitude = int64_t((bits & ((uint64_t(1) << 52) - 1)) | (uint64_t(1) << 52));
    return {bits >> 63 ? -magnitude : magnitude, int((bits >> 52) & 0x7ff) - 1023 - 52};
}

template <int W, int F, bool S, ap_q_mode Q, ap_o_mode O> native_t<W, S> from_double(double d) {
    static_assert(W <= 64, "fast_ap: a double must go to at most 64 bits; use the original headers");
    const Parts parts = parts_of(d);
    int right = -(parts.exponent + F);
    if (right <= 0) {
        const int left = AP_MIN(-right, 73); // 54 bits of mantissa in 127, and beyond every type
        return limit<W, S, O, false>(__int128(parts.mantissa) << left);
    }
    right = AP_MIN(right, 62);
    const int64_t floored = parts.mantissa >> right;
    const bool half = (parts.mantissa >> (right - 1)) & 1;
    const bool rest = (parts.mantissa & ((int64_t(1) << (right - 1)) - 1)) != 0;
    return limit<W, S, O, false>(floored + round_up<Q, int64_t>(floored, half, rest, parts.mantissa < 0));
}

// A double as an integer: towards zero, but 1 for what lies between -0.5 and 0, as the original headers have it.
template <int W, bool S> native_t<W, S> integer_from_double(double d) {
    const Parts parts = parts_of(d);
    const int64_t magnitude = parts.mantissa < 0 ? -parts.mantissa : parts.mantissa;
    if (parts.exponent >= 0)
        return wrap<W, S>(parts.exponent < W ? native_t<W, false>(native_t<W, false>(parts.mantissa) << parts.exponent)
                                             : native_t<W, false>(0));
    if (-parts.exponent >= 54)
        return wrap<W, S>(parts.mantissa < 0 ? 1 : 0);
    const int64_t whole = magnitude >> -parts.exponent;
    return wrap<W, S>(parts.mantissa < 0 ? -whole : whole);
}

// ---- what operands are ----

struct integer_tag {};
struct fixed_tag {};

template <class T> struct is_native : std::is_integral<T> {};
template <class T> constexpr bool is_integer = std::is_base_of<integer_tag, T>::value;
template <class T> constexpr bool is_fixed = std::is_base_of<fixed_tag, T>::value;
template <class T> constexpr bool is_ours = is_integer<T> || is_fixed<T>;
template <class T> constexpr bool is_operand = is_ours<T> || is_native<T>::value;
template <class A, class B> constexpr bool are_operands = (is_ours<A> || is_ours<B>) && is_operand<A> && is_operand<B>;
template <class A, class B> constexpr bool are_integers = are_operands<A, B> && !is_fixed<A> && !is_fixed<B>;

// Width, fractional bits, sign and mantissa of an operand, whatever it is.
template <class T, class = void> struct view {
    static constexpr bool S = T::is_signed_;
    static constexpr int W = T::width, F = T::fractional_;
    static constexpr ap_q_mode Q = T::rounding_;
    static constexpr ap_o_mode O = T::overflow_;
    static native_t<W, S> of(const T &x) { return x.V; }
};
template <class T> struct view<T, typename std::enable_if<is_native<T>::value>::type> {
    static constexpr bool S = std::is_signed<T>::value;
    static constexpr int W = std::is_same<T, bool>::value ? 1 : int(sizeof(T)) * 8, F = 0;
    static constexpr ap_q_mode Q = AP_TRN;
    static constexpr ap_o_mode O = AP_WRAP;
    static native_t<W, S> of(T x) { return native_t<W, S>(x); }
};

template <bool FIXED, int W, int I, bool S> struct result;
template <int W, int I> struct result<false, W, I, true> { typedef ap_int<W> type; };
template <int W, int I> struct result<false, W, I, false> { typedef ap_uint<W> type; };
template <int W, int I> struct result<true, W, I, true> { typedef ap_fixed<W, I> type; };
template <int W, int I> struct result<true, W, I, false> { typedef ap_ufixed<W, I> type; };

// Formats of results, exact by construction.
template <class A, class B> struct formats {
    typedef view<A> VA;
    typedef view<B> VB;
    static constexpr bool fixed = is_fixed<A> || is_fixed<B>;
    static constexpr bool S = VA::S || VB::S;
    static constexpr int F = AP_MAX(VA::F, VB::F);
    static constexpr int I = AP_MAX(VA::W - VA::F + (VB::S && !VA::S), VB::W - VB::F + (VA::S && !VB::S));
    typedef typename result<fixed, I + F, I, S>::type logic;
    typedef typename result<fixed, I + 1 + F, I + 1, S>::type sum;
    typedef typename result<fixed, I + 1 + F, I + 1, true>::type difference;
    typedef typename result<fixed, VA::W + VB::W, VA::W - VA::F + VB::W - VB::F, S>::type product;
    typedef typename result<fixed, VB::S + VA::W + AP_MAX(VB::F, 0), VB::S + VA::W - VA::F + VB::F, S>::type quotient;
};

// An operand's mantissa with F fractional bits, in the native integer of W bits.
template <int W, int F, class T> native_t<W, true> aligned(const T &x) {
    typedef view<T> V;
    static_assert(F >= V::F, "fast_ap: alignment must not cut bits off");
    return native_t<W, true>(native_t<W, true>(V::of(x)) << (F - V::F));
}

template <class R, class T> R raw(T mantissa) {
    R r;
    r.V = native_t<R::width, R::is_signed_>(mantissa);
    return r;
}

// Order of two mantissas, by C's rules where signs differ and widths reach 32 bits, as the original headers have it.
template <int W, bool S, int W2, bool S2> struct order {
    static constexpr int M = AP_MAX(W + 1, W2 + 1); // room for either sign
    typedef work_t<AP_MIN(M, 128)> C;
    static_assert(M <= 127, "fast_ap: values must have at most 126 bits to be compared; use the original headers");
    typedef native_t<int(sizeof(C)) * 8, false> U;
    static constexpr bool wraps = S != S2 && (W >= 32 || W2 >= 32) && (S ? W2 >= W : W >= W2);
    static constexpr bool wraps_equal =
        S != S2 && (S ? W2 >= W : W >= W2) && AP_MAX(W, W2) >= 32 && (W != W2 || W >= 64);
    static bool less(native_t<W, S> a, native_t<W2, S2> b) {
        if constexpr (wraps)
            return U(C(a)) < U(C(b));
        else
            return C(a) < C(b);
    }
    static bool equal(native_t<W, S> a, native_t<W2, S2> b) {
        if constexpr (wraps_equal)
            return wrap<AP_MAX(W, W2), false>(C(a)) == wrap<AP_MAX(W, W2), false>(C(b));
        else
            return C(a) == C(b);
    }
};

// The two mantissas on one grid, in the widths that decide how they compare.
template <class A, class B> struct comparison {
    typedef view<A> VA;
    typedef view<B> VB;
    static constexpr int F = AP_MAX(VA::F, VB::F);
    static constexpr int WA = VA::F >= VB::F ? VA::W : AP_MAX(VA::W + VB::F - VA::F + 1, 1);
    static constexpr int WB = VA::F > VB::F ? AP_MAX(VB::W + VA::F - VB::F, 1) : VB::W;
    typedef order<WA, VA::S, WB, VB::S> in;
    static native_t<WA, VA::S> left(const A &a) {
        if constexpr (VA::F < VB::F)
            return convert<WA, F, VA::S, VA::Q, VA::O, VA::W, VA::F, VA::S>(VA::of(a));
        else
            return VA::of(a);
    }
    static native_t<WB, VB::S> right(const B &b) {
        if constexpr (VA::F > VB::F)
            return convert<WB, F, VB::S, VB::Q, VB::O, VB::W, VB::F, VB::S>(VB::of(b));
        else
            return VB::of(b);
    }
};

template <class T> struct bit_reference;
template <class T> struct range_reference;

// What integers and fixed-point numbers share: bits, ranges, and steps by one.
template <class SELF> struct bits {
    bit_reference<SELF> operator[](int index) { return {self(), index}; }
    bit_reference<SELF> bit(int index) { return {self(), index}; }
    bool operator[](int index) const { return (self().V >> index) & 1; }
    bool bit(int index) const { return (*this)[index]; }
    bool test(int index) const { return (*this)[index]; }
    bool get_bit(int index) const { return (*this)[index]; }
    void set_bit(int index, bool on) { (*this)[index] = on; }
    range_reference<SELF> range(int high, int low) { return {self(), high, low}; }
    range_reference<SELF> range(int high, int low) const { return {const_cast<SELF &>(self()), high, low}; }
    range_reference<SELF> range() { return range(SELF::width - 1, 0); }
    range_reference<SELF> range() const { return range(SELF::width - 1, 0); }
    range_reference<SELF> operator()(int high, int low) { return range(high, low); }
    range_reference<SELF> operator()(int high, int low) const { return range(high, low); }

  private:
    SELF &self() { return static_cast<SELF &>(*this); }
    const SELF &self() const { return static_cast<const SELF &>(*this); }
};

} // namespace fast_ap

// ---- integers ----

template <int W, bool S> struct ap_int_base : fast_ap::integer_tag, fast_ap::bits<ap_int_base<W, S>> {
    typedef fast_ap::native_t<W, S> Native;
    typedef typename std::conditional<S, ap_slong, ap_ulong>::type RetType;
    static const int width = W;
    static constexpr bool is_signed_ = S;
    static constexpr int fractional_ = 0;
    static constexpr ap_q_mode rounding_ = AP_TRN;
    static constexpr ap_o_mode overflow_ = AP_WRAP;

    Native V;

    ap_int_base() = default;
    template <int W2, bool S2> ap_int_base(const ap_int_base<W2, S2> &x) : V(of<W2, S2>(x.V)) {}
    template <class T, typename std::enable_if<fast_ap::is_native<T>::value, int>::type = 0>
    ap_int_base(T x) : V(of<fast_ap::view<T>::W, fast_ap::view<T>::S>(fast_ap::view<T>::of(x))) {}
    template <class T, typename std::enable_if<fast_ap::is_fixed<T>, int>::type = 0>
    ap_int_base(const T &x) : V(fast_ap::wrap<W, S>(x.whole())) {}
    template <class T> ap_int_base(const fast_ap::bit_reference<T> &x) : V(fast_ap::wrap<W, S>(int(bool(x)))) {}
    template <class T> ap_int_base(const fast_ap::range_reference<T> &x) : V(fast_ap::wrap<W, S>(x.get())) {}
    ap_int_base(double x) : V(fast_ap::integer_from_double<W, S>(x)) {}
    ap_int_base(float x) : V(fast_ap::integer_from_double<W, S>(double(x))) {}

    operator RetType() const { return RetType(V); }
    bool to_bool() const { return V != 0; }
    int to_int() const { return int(V); }
    unsigned to_uint() const { return unsigned(V); }
    long to_long() const { return long(V); }
    unsigned long to_ulong() const { return (unsigned long)(V); }
    ap_slong to_int64() const { return ap_slong(V); }
    ap_ulong to_uint64() const { return ap_ulong(V); }
    float to_float() const { return float(V); }
    double to_double() const { return double(V); }
    int length() const { return W; }
    bool iszero() const { return V == 0; }
    bool is_zero() const { return V == 0; }
    bool sign() const { return V < 0; }

    bool operator!() const { return V == 0; }
    typename fast_ap::result<false, W, W, S>::type operator+() const { return *this; }
    typename fast_ap::result<false, W, W, S>::type operator~() const {
        return fast_ap::raw<typename fast_ap::result<false, W, W, S>::type>(fast_ap::wrap<W, S>(~V));
    }
    ap_int<AP_MAX(W, 1 + S) + 1> operator-() const {
        typedef ap_int<AP_MAX(W, 1 + S) + 1> R;
        return fast_ap::raw<R>(-fast_ap::work_t<R::width>(V));
    }
    ap_int_base &operator++() {
        V = fast_ap::wrap<W, S>(fast_ap::native_t<W, false>(V) + 1);
        return *this;
    }
    ap_int_base &operator--() {
        V = fast_ap::wrap<W, S>(fast_ap::native_t<W, false>(V) - 1);
        return *this;
    }
    typename fast_ap::result<false, W, W, S>::type operator++(int) {
        ap_int_base before = *this;
        ++*this;
        return before;
    }
    typename fast_ap::result<false, W, W, S>::type operator--(int) {
        ap_int_base before = *this;
        --*this;
        return before;
    }

  private:
    template <int W2, bool S2> static Native of(fast_ap::native_t<W2, S2> x) {
        return fast_ap::convert<W, 0, S, AP_TRN, AP_WRAP, W2, 0, S2>(x);
    }
};

template <int W> struct ap_int : ap_int_base<W, true> {
    using ap_int_base<W, true>::ap_int_base;
    ap_int() = default;
    ap_int(const ap_int_base<W, true> &x) : ap_int_base<W, true>(x) {}
};

template <int W> struct ap_uint : ap_int_base<W, false> {
    using ap_int_base<W, false>::ap_int_base;
    ap_uint() = default;
    ap_uint(const ap_int_base<W, false> &x) : ap_int_base<W, false>(x) {}
};

// ---- fixed point ----

template <int W_, int I_, bool S_ = true, ap_q_mode Q_ = AP_TRN, ap_o_mode O_ = AP_WRAP, int N_ = 0>
struct ap_fixed_base : fast_ap::fixed_tag, fast_ap::bits<ap_fixed_base<W_, I_, S_, Q_, O_, N_>> {
    static_assert(N_ == 0 && O_ != AP_WRAP_SM, "fast_ap: wrapping must be plain; use the original headers");
    typedef fast_ap::native_t<W_, S_> Native;
    static const int width = W_;
    static const int iwidth = I_;
    static const ap_q_mode qmode = Q_;
    static const ap_o_mode omode = O_;
    static constexpr bool is_signed_ = S_;
    static constexpr int fractional_ = W_ - I_;
    static constexpr ap_q_mode rounding_ = Q_;
    static constexpr ap_o_mode overflow_ = O_;

    Native V;

    ap_fixed_base() = default;
    template <class T, typename std::enable_if<fast_ap::is_operand<T>, int>::type = 0>
    ap_fixed_base(const T &x) : V(of(x)) {}
    template <class T> ap_fixed_base(const fast_ap::bit_reference<T> &x) : V(of(bool(x))) {}
    template <class T> ap_fixed_base(const fast_ap::range_reference<T> &x) : V(of(ap_uint<T::width>(x))) {}
    ap_fixed_base(double x) : V(fast_ap::from_double<W_, W_ - I_, S_, Q_, O_>(x)) {}
    ap_fixed_base(float x) : V(fast_ap::from_double<W_, W_ - I_, S_, Q_, O_>(double(x))) {}
    template <class T, typename std::enable_if<fast_ap::is_operand<T>, int>::type = 0>
    ap_fixed_base &operator=(const T &x) {
        V = of(x);
        return *this;
    }

    // The integer towards zero, in the integer bits; without any, -1 for what is below zero, as the original has it.
    fast_ap::native_t<AP_MAX(I_, 1), S_> whole() const {
        constexpr int width = AP_MAX(I_, 1);
        typedef fast_ap::work_t<AP_MAX(W_, width) + 1> C;
        if constexpr (I_ <= 0)
            return fast_ap::native_t<width, S_>(V < 0 ? -1 : 0);
        else if constexpr (I_ >= W_)
            return fast_ap::native_t<width, S_>(C(C(V) << (I_ - W_)));
        else
            return fast_ap::native_t<width, S_>((C(V) + (V < 0 ? (C(1) << (W_ - I_)) - 1 : C(0))) >> (W_ - I_));
    }
    int to_int() const { return int(whole()); }
    unsigned to_uint() const { return unsigned(whole()); }
    ap_slong to_int64() const { return ap_slong(whole()); }
    ap_ulong to_uint64() const { return ap_ulong(whole()); }
    double to_double() const { return std::ldexp(double(V), I_ - W_); }
    float to_float() const { return std::ldexp(float(V), I_ - W_); }
    operator bool() const { return V != 0; }
    operator char() const { return char(to_int()); }
    operator signed char() const { return (signed char)(to_int()); }
    operator unsigned char() const { return (unsigned char)(to_uint()); }
    operator short() const { return short(to_int()); }
    operator unsigned short() const { return (unsigned short)(to_uint()); }
    operator int() const { return to_int(); }
    operator unsigned() const { return to_uint(); }
    operator long() const { return long(to_int64()); }
    operator unsigned long() const { return (unsigned long)(to_uint64()); }
    operator ap_slong() const { return to_int64(); }
    operator ap_ulong() const { return to_uint64(); }
    operator float() const { return to_float(); }
    operator double() const { return to_double(); }
    operator long double() const { return to_double(); }
    int length() const { return W_; }
    int wl() const { return W_; }
    int iwl() const { return I_; }
    bool is_zero() const { return V == 0; }
    bool is_neg() const { return V < 0; }

    bool operator!() const { return V == 0; }
    ap_fixed_base operator+() const { return *this; }
    ap_fixed_base<W_ + 1, I_ + 1, true> operator-() const {
        return fast_ap::raw<ap_fixed_base<W_ + 1, I_ + 1, true>>(-fast_ap::work_t<W_ + 1>(V));
    }
    ap_fixed_base<W_, I_, S_> operator~() const {
        return fast_ap::raw<ap_fixed_base<W_, I_, S_>>(fast_ap::wrap<W_, S_>(~V));
    }
    ap_fixed_base &operator++() { return *this = *this + true; }
    ap_fixed_base &operator--() { return *this = *this - true; }
    ap_fixed_base operator++(int) {
        ap_fixed_base before = *this;
        ++*this;
        return before;
    }
    ap_fixed_base operator--(int) {
        ap_fixed_base before = *this;
        --*this;
        return before;
    }

  private:
    template <class T> static Native of(const T &x) {
        typedef fast_ap::view<T> From;
        return fast_ap::convert<W_, W_ - I_, S_, Q_, O_, From::W, From::F, From::S>(From::of(x));
    }
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct ap_fixed : ap_fixed_base<W, I, true, Q, O, N> {
    using ap_fixed_base<W, I, true, Q, O, N>::ap_fixed_base;
    ap_fixed() = default;
    ap_fixed(const ap_fixed_base<W, I, true, Q, O, N> &x) : ap_fixed_base<W, I, true, Q, O, N>(x) {}
};

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> struct ap_ufixed : ap_fixed_base<W, I, false, Q, O, N> {
    using ap_fixed_base<W, I, false, Q, O, N>::ap_fixed_base;
    ap_ufixed() = default;
    ap_ufixed(const ap_fixed_base<W, I, false, Q, O, N> &x) : ap_fixed_base<W, I, false, Q, O, N>(x) {}
};

namespace fast_ap {

// ---- bits and ranges ----

template <class T> struct bit_reference {
    T &number;
    int index;
    operator bool() const { return (number.V >> index) & 1; }
    bool to_bool() const { return *this; }
    bit_reference &operator=(bool on) {
        typedef native_t<T::width, false> U;
        const U mask = U(U(1) << index);
        number.V = wrap<T::width, T::is_signed_>(U(on ? U(number.V) | mask : U(number.V) & U(~mask)));
        return *this;
    }
    template <class U> bit_reference &operator=(const U &on) { return *this = bool(on); }
    bit_reference &operator=(const bit_reference &on) { return *this = bool(on); }
};

template <class T> struct range_reference {
    typedef native_t<T::width, false> Bits;
    T &number;
    int high, low;

    range_reference(T &number_, int high_, int low_) : number(number_), high(high_), low(low_) {
        if (low_ < 0 || high_ < low_ || high_ >= T::width) {
            std::fprintf(stderr, "fast_ap: range must be within %d bits, not (%d, %d)\n", T::width, high_, low_);
            std::abort();
        }
    }
    range_reference(const range_reference &) = default;
    Bits mask() const { return Bits(Bits(~Bits(0)) >> (int(sizeof(Bits)) * 8 - 1 - (high - low))); }
    Bits get() const { return Bits(Bits(number.V) >> low) & mask(); }
    void set(Bits bits) {
        const Bits kept = Bits(number.V) & Bits(~Bits(mask() << low));
        number.V = wrap<T::width, T::is_signed_>(Bits(kept | Bits((bits & mask()) << low)));
    }
    int length() const { return high - low + 1; }
    operator ap_ulong() const { return ap_ulong(get()); }
    int to_int() const { return int(get()); }
    unsigned to_uint() const { return unsigned(get()); }
    ap_slong to_int64() const { return ap_slong(get()); }
    ap_ulong to_uint64() const { return ap_ulong(get()); }

    range_reference &operator=(const range_reference &other) {
        set(other.get());
        return *this;
    }
    template <class U> range_reference &operator=(const range_reference<U> &other) {
        set(Bits(other.get()));
        return *this;
    }
    template <class U, typename std::enable_if<is_operand<U>, int>::type = 0> range_reference &operator=(const U &x) {
        static_assert(!is_fixed<U>, "fast_ap: a range must be given an integer; use the original headers");
        set(Bits(view<U>::of(x)));
        return *this;
    }
};

} // namespace fast_ap

// ---- arithmetic: exact, in a type that holds every result ----

#define FAST_AP_OPERANDS template <class A, class B, typename std::enable_if<fast_ap::are_operands<A, B>, int>::type = 0>

FAST_AP_OPERANDS typename fast_ap::formats<A, B>::product operator*(const A &a, const B &b) {
    typedef typename fast_ap::formats<A, B>::product R;
    typedef fast_ap::work_t<R::width> C;
    return fast_ap::raw<R>(C(C(fast_ap::view<A>::of(a)) * C(fast_ap::view<B>::of(b))));
}

#define FAST_AP_ALIGNED(SYMBOL, RESULT)                                                                                \
    FAST_AP_OPERANDS typename fast_ap::formats<A, B>::RESULT operator SYMBOL(const A &a, const B &b) {                 \
        typedef typename fast_ap::formats<A, B>::RESULT R;                                                             \
        constexpr int F = fast_ap::formats<A, B>::F, W = AP_MAX(R::width, 32);                                         \
        return fast_ap::raw<R>(                                                                                        \
            fast_ap::wrap<R::width, R::is_signed_>(fast_ap::aligned<W, F>(a) SYMBOL fast_ap::aligned<W, F>(b)));       \
    }
FAST_AP_ALIGNED(+, sum)
FAST_AP_ALIGNED(-, difference)
FAST_AP_ALIGNED(&, logic)
FAST_AP_ALIGNED(|, logic)
FAST_AP_ALIGNED(^, logic)
#undef FAST_AP_ALIGNED

namespace fast_ap {

// The native integer that two mantissas are divided in, and their width there. The original headers give integers of
// different signs the wider one's sign, where a negative number becomes a large one; and -max / -1 wraps.
template <class A, class B> struct division {
    typedef view<A> VA;
    typedef view<B> VB;
    static constexpr int left = AP_MAX(VB::F, 0);
    static constexpr int both = VA::S || VB::S;
    static constexpr int W = formats<A, B>::fixed
                                 ? AP_MAX(VA::W + left + (VB::S && !VA::S), VB::W + (VA::S && !VB::S))
                                 : AP_MAX(VA::W, VB::W) + both;
    static constexpr bool S = formats<A, B>::fixed || VA::W == VB::W ? both : VA::W > VB::W ? VA::S : VB::S;
    static_assert(W <= 63, "fast_ap: divisions must be of at most 63 bits; use the original headers");
    static int64_t dividend(const A &a) { return wrap<W, S>(int64_t(VA::of(a)) << left); }
    static int64_t divisor(const B &b) { return wrap<W, S>(int64_t(VB::of(b))); }
};

template <class A, class B>
using remainder_t = typename result<false, AP_MIN(view<A>::W, view<B>::W + (!view<B>::S && view<A>::S)), 0, view<A>::S>::type;

} // namespace fast_ap

FAST_AP_OPERANDS typename fast_ap::formats<A, B>::quotient operator/(const A &a, const B &b) {
    typedef fast_ap::division<A, B> In;
    typedef typename fast_ap::formats<A, B>::quotient R;
    const int64_t quotient = fast_ap::wrap<In::W, In::S>(In::dividend(a) / In::divisor(b));
    return fast_ap::raw<R>(fast_ap::wrap<R::width, R::is_signed_>(quotient));
}

template <class A, class B, typename std::enable_if<fast_ap::are_integers<A, B>, int>::type = 0>
fast_ap::remainder_t<A, B> operator%(const A &a, const B &b) {
    typedef fast_ap::division<A, B> In;
    typedef fast_ap::remainder_t<A, B> R;
    const int64_t remainder = fast_ap::view<A>::S ? In::dividend(a) % In::divisor(b)
                                                  : int64_t(uint64_t(In::dividend(a)) % uint64_t(In::divisor(b)));
    return fast_ap::raw<R>(fast_ap::wrap<R::width, R::is_signed_>(remainder));
}

#define FAST_AP_COMPARE(SYMBOL, EXPRESSION)                                                                            \
    FAST_AP_OPERANDS bool operator SYMBOL(const A &a, const B &b) {                                                    \
        typedef fast_ap::comparison<A, B> In;                                                                          \
        const auto left = In::left(a);                                                                                 \
        const auto right = In::right(b);                                                                               \
        return EXPRESSION;                                                                                             \
    }
FAST_AP_COMPARE(==, In::in::equal(left, right))
FAST_AP_COMPARE(!=, !In::in::equal(left, right))
FAST_AP_COMPARE(<, In::in::less(left, right))
FAST_AP_COMPARE(>=, !In::in::less(left, right))
FAST_AP_COMPARE(>, (fast_ap::order<In::WB, In::VB::S, In::WA, In::VA::S>::less(right, left)))
FAST_AP_COMPARE(<=, !(fast_ap::order<In::WB, In::VB::S, In::WA, In::VA::S>::less(right, left)))
#undef FAST_AP_COMPARE

#define FAST_AP_DOUBLES(SYMBOL)                                                                                        \
    template <class A, typename std::enable_if<fast_ap::is_fixed<A>, int>::type = 0>                                   \
    bool operator SYMBOL(const A &a, double b) {                                                                       \
        return a.to_double() SYMBOL b;                                                                                 \
    }                                                                                                                  \
    template <class B, typename std::enable_if<fast_ap::is_fixed<B>, int>::type = 0>                                   \
    bool operator SYMBOL(double a, const B &b) {                                                                       \
        return a SYMBOL b.to_double();                                                                                 \
    }
FAST_AP_DOUBLES(==)
FAST_AP_DOUBLES(!=)
FAST_AP_DOUBLES(<)
FAST_AP_DOUBLES(<=)
FAST_AP_DOUBLES(>)
FAST_AP_DOUBLES(>=)
#undef FAST_AP_DOUBLES

// In place: the exact result, converted to the left operand; an integer takes the whole part of a fixed-point operand.
#define FAST_AP_ASSIGN(SYMBOL)                                                                                         \
    template <int W, bool S, class B, typename std::enable_if<fast_ap::is_operand<B>, int>::type = 0>                  \
    ap_int_base<W, S> &operator SYMBOL##=(ap_int_base<W, S> &a, const B &b) {                                          \
        if constexpr (fast_ap::is_fixed<B>)                                                                            \
            return a = a SYMBOL ap_int_base<AP_MAX(B::iwidth, 1), B::is_signed_>(b);                                   \
        else                                                                                                           \
            return a = a SYMBOL b;                                                                                     \
    }                                                                                                                  \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, class B,                                          \
              typename std::enable_if<fast_ap::is_operand<B>, int>::type = 0>                                          \
    ap_fixed_base<W, I, S, Q, O, N> &operator SYMBOL##=(ap_fixed_base<W, I, S, Q, O, N> &a, const B &b) {              \
        return a = a SYMBOL b;                                                                                         \
    }
FAST_AP_ASSIGN(+)
FAST_AP_ASSIGN(-)
FAST_AP_ASSIGN(*)
FAST_AP_ASSIGN(/)
FAST_AP_ASSIGN(&)
FAST_AP_ASSIGN(|)
FAST_AP_ASSIGN(^)
#undef FAST_AP_ASSIGN
#undef FAST_AP_OPERANDS

template <int W, bool S, class B, typename std::enable_if<fast_ap::is_operand<B>, int>::type = 0>
ap_int_base<W, S> &operator%=(ap_int_base<W, S> &a, const B &b) {
    return a = a % b;
}

// ---- shifts: of the bits, in the left operand's type, a negative number of places the other way ----

namespace fast_ap {

template <int W, bool S> native_t<W, S> shift_left(native_t<W, S> x, long long places);
template <int W, bool S> native_t<W, S> shift_right(native_t<W, S> x, long long places) {
    if (places < 0)
        return shift_left<W, S>(x, -places);
    return places >= W ? native_t<W, S>(x < 0 ? -1 : 0) : native_t<W, S>(x >> places);
}
template <int W, bool S> native_t<W, S> shift_left(native_t<W, S> x, long long places) {
    if (places < 0)
        return shift_right<W, S>(x, -places);
    typedef native_t<W, false> U;
    return places >= W ? native_t<W, S>(0) : wrap<W, S>(U(U(x) << places));
}

} // namespace fast_ap

#define FAST_AP_SHIFT(SYMBOL, FUNCTION)                                                                                \
    template <int W, bool S, class B,                                                                                  \
              typename std::enable_if<fast_ap::is_native<B>::value || fast_ap::is_integer<B>, int>::type = 0>          \
    typename fast_ap::result<false, W, W, S>::type operator SYMBOL(const ap_int_base<W, S> &a, const B &b) {           \
        return fast_ap::raw<typename fast_ap::result<false, W, W, S>::type>(                                           \
            fast_ap::FUNCTION<W, S>(a.V, (long long)(fast_ap::view<B>::of(b))));                                       \
    }                                                                                                                  \
    template <int W, bool S, class B,                                                                                  \
              typename std::enable_if<fast_ap::is_native<B>::value || fast_ap::is_integer<B>, int>::type = 0>          \
    ap_int_base<W, S> &operator SYMBOL##=(ap_int_base<W, S> &a, const B &b) {                                          \
        return a = a SYMBOL b;                                                                                         \
    }                                                                                                                  \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, class B,                                          \
              typename std::enable_if<fast_ap::is_native<B>::value || fast_ap::is_integer<B>, int>::type = 0>          \
    ap_fixed_base<W, I, S, Q, O, N> operator SYMBOL(const ap_fixed_base<W, I, S, Q, O, N> &a, const B &b) {            \
        return fast_ap::raw<ap_fixed_base<W, I, S, Q, O, N>>(                                                          \
            fast_ap::FUNCTION<W, S>(a.V, (long long)(fast_ap::view<B>::of(b))));                                       \
    }                                                                                                                  \
    template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N, class B,                                          \
              typename std::enable_if<fast_ap::is_native<B>::value || fast_ap::is_integer<B>, int>::type = 0>          \
    ap_fixed_base<W, I, S, Q, O, N> &operator SYMBOL##=(ap_fixed_base<W, I, S, Q, O, N> &a, const B &b) {              \
        return a = a SYMBOL b;                                                                                         \
    }
FAST_AP_SHIFT(<<, shift_left)
FAST_AP_SHIFT(>>, shift_right)
#undef FAST_AP_SHIFT

// ---- text: what load_weights reads, and what people print ----

template <int W, bool S> std::ostream &operator<<(std::ostream &out, const ap_int_base<W, S> &x) {
    static_assert(W <= 64, "fast_ap: printed integers must have at most 64 bits; use the original headers");
    return out << typename ap_int_base<W, S>::RetType(x);
}

template <int W, bool S> std::istream &operator>>(std::istream &in, ap_int_base<W, S> &x) {
    std::string text;
    in >> text;
    const size_t start = text.find_first_not_of("+-");
    if (start == std::string::npos || start > 1 || text.find_first_not_of("0123456789", start) != std::string::npos) {
        std::fprintf(stderr, "fast_ap: integer must be decimal digits, not '%s'\n", text.c_str());
        std::abort();
    }
    x = text[0] == '-' ? ap_int_base<W, S>(std::strtoll(text.c_str(), nullptr, 10))
                       : ap_int_base<W, S>(std::strtoull(text.c_str(), nullptr, 10));
    return in;
}

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
std::ostream &operator<<(std::ostream &out, const ap_fixed_base<W, I, S, Q, O, N> &x) {
    return out << x.to_double();
}

template <int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
std::istream &operator>>(std::istream &in, ap_fixed_base<W, I, S, Q, O, N> &x) {
    double value = 0;
    in >> value;
    x = ap_fixed_base<W, I, S, Q, O, N>(value);
    return in;
}

#endif
