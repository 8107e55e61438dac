// What thresholds make of codes, channel by channel: compared one threshold after the other, eight codes at a time.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using std::size_t;
using Code = std::int64_t;

constexpr size_t LONG = 256;  // codes that are compared with one threshold each before the next: they stay in cache

}  // namespace

// Give first + step * (thresholds that a code is not below) for codes (rows, channels); thresholds (levels, channels)
extern "C" void bitwright_threshold(const Code *codes, size_t rows, size_t channels, const Code *thresholds,
                                    size_t levels, const Code *first, const Code *step, Code *result) {
    if (rows == 0 || channels == 0) return;
    // Few channels are repeated: a short loop would not use the registers' width
    const size_t repeats = std::min(rows, std::max(size_t(1), LONG / channels)), length = repeats * channels;
    std::vector<Code> constants((levels + 2) * length);
    Code *const firsts = constants.data(), *const steps = firsts + length, *const reached = steps + length;
    for (size_t i = 0; i < length; i++) {
        firsts[i] = first[i % channels];
        steps[i] = step[i % channels];
        for (size_t k = 0; k < levels; k++) reached[k * length + i] = thresholds[k * channels + i % channels];
    }
    for (size_t left = rows * channels, here; left > 0; left -= here, codes += here, result += here) {
        here = std::min(left, length);
        for (size_t i = 0; i < here; i++) result[i] = firsts[i];
        for (size_t k = 0; k < levels; k++)
            for (size_t i = 0; i < here; i++) result[i] += codes[i] >= reached[k * length + i] ? steps[i] : 0;
    }
}
