// Layers of 1-bit weights on 64-bit words: XNOR and popcount. Bitwright compiles this once on each machine.
//
// A code is lowest + (level << step): its level is cut into bit planes, each packed along the contraction axis. The
// mismatches of a plane with the weights' signs are counted by popcount(plane XOR signs), the planes' counts weighted
// 1, 2, 4, ...; a result is base - (weighted mismatches << step), where base is the caller's.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#ifndef __AVX2__
#error "without AVX2 BLAS is as fast"
#endif
#include <immintrin.h>

#if defined(__AVX512VPOPCNTDQ__) && defined(__AVX512BW__)
#define WIDE_REGISTERS  // popcounts of eight words, and one bit of each of 64 bytes, in one instruction
extern "C" const int bitwright_most_planes = 8;
#else
extern "C" const int bitwright_most_planes = 2;  // in more, codes take longer than BLAS takes
#endif

namespace {

using std::size_t;
using Word = std::uint64_t;
using Code = std::int64_t;

constexpr size_t BITS = 64;
constexpr size_t EIGHT = 8;    // bytes that are copied at once, and may be too many
constexpr size_t COLUMNS = 8;  // filters that are computed at once; PackedWeights.words has the same
constexpr size_t ROWS = 8;     // positions that are computed at once, so that each word of the weights is read once
constexpr size_t BLOCK = 64;   // rows of a dense layer that are packed at a time

typedef Word Vector __attribute__((vector_size(COLUMNS * sizeof(Word))));

struct Levels {
    Code lowest;
    Word highest;  // largest level << step
    int step, planes;
};

struct Weights {
    const Word *words;  // (filters / COLUMNS, words of a window, COLUMNS)
    const Code *base;   // (filters)
    size_t filters;
};

inline size_t words_of(size_t bits) { return (bits + BITS - 1) / BITS; }

inline Vector popcount(Vector value) {
#ifdef WIDE_REGISTERS
    return (Vector)_mm512_popcnt_epi64((__m512i)value);
#else
    __m256i halves[2];
    std::memcpy(halves, &value, sizeof value);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i counts = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    for (__m256i &half : halves) {
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(half, 4), nibble);
        half = _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(half, nibble)),
                               _mm256_shuffle_epi8(counts, high));
        half = _mm256_sad_epu8(half, _mm256_setzero_si256());
    }
    std::memcpy(&value, halves, sizeof value);
    return value;
#endif
}

// Write the level of each code as a byte; return whether all are of the format
bool find_levels(const Code *codes, size_t count, const Levels &levels, unsigned char *found) {
    const Word between = (Word(1) << levels.step) - 1;
    Word wrong = 0;
    for (size_t i = 0; i < count; i++) {
        const Word above = Word(codes[i]) - Word(levels.lowest);
        wrong |= (above & between) | Word(above > levels.highest);
        found[i] = static_cast<unsigned char>(above >> levels.step);
    }
    return wrong == 0;
}

// Return one bit of each of 64 bytes
inline Word bits_of(const unsigned char *bytes, int bit) {
#ifdef WIDE_REGISTERS
    return _mm512_test_epi8_mask(_mm512_loadu_si512(bytes), _mm512_set1_epi8(static_cast<char>(1 << bit)));
#else
    Word result = 0;
    for (int half = 1; half >= 0; half--) {  // the bit moves to the top of its byte; what comes in below is not looked at
        const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes) + half);
        const __m256i top = _mm256_sll_epi16(part, _mm_cvtsi32_si128(7 - bit));
        result = result << 32 | static_cast<std::uint32_t>(_mm256_movemask_epi8(top));
    }
    return result;
#endif
}

// Cut levels (words * 64) into planes (planes, words): bit i of a plane's word is that of level i
void pack(const unsigned char *levels, size_t words, int planes, Word *result) {
    for (size_t k = 0; k < words; k++, levels += BITS)
        for (int p = 0; p < planes; p++) result[p * words + k] = bits_of(levels, p);
}

template <size_t R>
void product(const Word *windows, const Levels &levels, size_t words, const Weights &weights, Code *result) {
    const size_t stride = levels.planes * words;
    const Word *signs = weights.words;
    for (size_t start = 0; start < weights.filters; start += COLUMNS, signs += words * COLUMNS) {
        Vector total[R] = {};
        for (int p = levels.planes - 1; p >= 0; p--) {
            for (size_t r = 0; r < R; r++) total[r] += total[r];
            for (size_t k = 0; k < words; k++) {
                Vector sign;
                std::memcpy(&sign, signs + k * COLUMNS, sizeof sign);
                for (size_t r = 0; r < R; r++) total[r] += popcount(sign ^ windows[r * stride + p * words + k]);
            }
        }
        const size_t here = std::min(COLUMNS, weights.filters - start);
        for (size_t r = 0; r < R; r++)
            for (size_t c = 0; c < here; c++)
                result[r * weights.filters + start + c] = weights.base[start + c] - Code(total[r][c] << levels.step);
    }
}

// Multiply windows (count, planes, words) by the weights: (count, filters)
void products(const Word *windows, size_t count, const Levels &levels, size_t words, const Weights &weights,
              Code *result) {
    const size_t stride = levels.planes * words;
    size_t i = 0;
    for (; i + ROWS <= count; i += ROWS)
        product<ROWS>(windows + i * stride, levels, words, weights, result + i * weights.filters);
    for (; i < count; i++) product<1>(windows + i * stride, levels, words, weights, result + i * weights.filters);
}

}  // namespace

// Multiply codes (rows, taps) by weights: (rows, filters); return 0, or 1 where a code is not of the format
extern "C" int bitwright_dense(const Code *codes, size_t rows, size_t taps, const Levels *levels,
                               const Weights *weights, Code *result) {
    const size_t words = words_of(taps), line = levels->planes * words;
    std::vector<unsigned char> row(words * BITS);
    std::vector<Word> windows(std::min(rows, BLOCK) * line);
    for (size_t start = 0; start < rows; start += BLOCK) {
        const size_t here = std::min(BLOCK, rows - start);
        for (size_t r = 0; r < here; r++) {
            if (!find_levels(codes + (start + r) * taps, taps, *levels, row.data())) return 1;
            pack(row.data(), words, levels->planes, windows.data() + r * line);
        }
        products(windows.data(), here, *levels, words, *weights, result + start * weights->filters);
    }
    return 0;
}

struct Shape {
    size_t images, height, width, channels, kernel_height, kernel_width, down, across, top, left, bottom, right;
};

// Convolve images (images, height, width, channels), padded with zeros: (images, H', W', filters); returns as above
extern "C" int bitwright_conv2d(const Code *codes, const Shape *shape, const Levels *levels, const Weights *weights,
                                Code *result) {
    const size_t height = shape->top + shape->height + shape->bottom;
    const size_t width = shape->left + shape->width + shape->right, line = width * shape->channels;
    const size_t run = shape->kernel_width * shape->channels, words = words_of(shape->kernel_height * run);
    const size_t rows = (height - shape->kernel_height) / shape->down + 1;
    const size_t columns = (width - shape->kernel_width) / shape->across + 1;
    const unsigned char zero = static_cast<unsigned char>(-levels->lowest >> levels->step);
    std::vector<unsigned char> image(height * line + EIGHT, zero), window(words * BITS + EIGHT);
    std::vector<Word> windows(columns * levels->planes * words);
    for (size_t n = 0; n < shape->images; n++) {
        for (size_t y = 0; y < shape->height; y++, codes += shape->width * shape->channels) {
            unsigned char *inner = image.data() + (shape->top + y) * line + shape->left * shape->channels;
            if (!find_levels(codes, shape->width * shape->channels, *levels, inner)) return 1;
        }
        for (size_t y = 0; y < rows; y++, result += columns * weights->filters) {
            for (size_t x = 0; x < columns; x++) {
                const unsigned char *corner = &image[y * shape->down * line + x * shape->across * shape->channels];
                for (size_t i = 0; i < shape->kernel_height; i++)  // the next row goes over what is too much of this one
                    for (size_t b = 0; b < run; b += EIGHT) std::memcpy(&window[i * run + b], corner + i * line + b, EIGHT);
                std::memset(&window[shape->kernel_height * run], 0, EIGHT);
                pack(window.data(), words, levels->planes, &windows[x * levels->planes * words]);
            }
            products(windows.data(), columns, *levels, words, *weights, result);
        }
    }
    return 0;
}
