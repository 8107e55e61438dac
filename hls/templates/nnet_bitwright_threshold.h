#ifndef NNET_BITWRIGHT_THRESHOLD_H_
#define NNET_BITWRIGHT_THRESHOLD_H_

// Counts the thresholds that a value reaches. A rising channel c gives BASE + count, a falling one TOP - count, where
// TOP = BASE + n_steps: any monotone quantiser of n_steps + 1 levels. With n_steps = 1 and an ap_uint<1> result this is
// the sign of a binary network, 1 for +1. A threshold below every value is always reached, one above every value never.

#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_helpers.h"

namespace nnet {

struct bitwright_threshold_config {
    static const unsigned n_in = 10;    // values of the whole tensor
    static const unsigned n_chan = 10;  // channels, running fastest
    static const unsigned n_steps = 1;  // thresholds a channel
    static const int base = 0;          // lowest code of the result
    static const unsigned finer = 0;    // bits of the result right of the code's
};

template <class data_T, class res_T, typename CONFIG_T>
res_T bitwright_threshold_one(data_T value, unsigned channel,
                              typename CONFIG_T::threshold_t threshold[CONFIG_T::n_chan * CONFIG_T::n_steps],
                              typename CONFIG_T::rising_t rising[CONFIG_T::n_chan]) {
    #pragma HLS INLINE
    ap_uint<ceillog2(CONFIG_T::n_steps + 1) + 1> count = 0;
Compare:
    for (unsigned step = 0; step < CONFIG_T::n_steps; step++) {
        #pragma HLS UNROLL
        if (value >= threshold[channel * CONFIG_T::n_steps + step])
            count++;
    }
    ap_int<ceillog2(CONFIG_T::n_steps + 1) + 2> level = count;
    if (rising[channel] == 0)
        level = CONFIG_T::n_steps - count;
    res_T result = 0;
    // The code's bits, whatever the binary point of the result
    result(res_T::width - 1, 0) = ap_int<res_T::width + 1>(CONFIG_T::base + level) << CONFIG_T::finer;
    return result;
}

template <class data_T, class res_T, typename CONFIG_T>
void bitwright_threshold(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                         typename CONFIG_T::threshold_t threshold[CONFIG_T::n_chan * CONFIG_T::n_steps],
                         typename CONFIG_T::rising_t rising[CONFIG_T::n_chan]) {
    #pragma HLS PIPELINE
    #pragma HLS ARRAY_PARTITION variable=threshold complete
    #pragma HLS ARRAY_PARTITION variable=rising complete
Values:
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = bitwright_threshold_one<data_T, res_T, CONFIG_T>(data[i], i % CONFIG_T::n_chan, threshold, rising);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void bitwright_threshold(hls::stream<data_T> &data, hls::stream<res_T> &res,
                         typename CONFIG_T::threshold_t threshold[CONFIG_T::n_chan * CONFIG_T::n_steps],
                         typename CONFIG_T::rising_t rising[CONFIG_T::n_chan]) {
    #pragma HLS ARRAY_PARTITION variable=threshold complete
    #pragma HLS ARRAY_PARTITION variable=rising complete
Packets:
    for (unsigned i = 0; i < CONFIG_T::n_in / data_T::size; i++) {
        #pragma HLS PIPELINE
        data_T packet = data.read();
        res_T result;
        PRAGMA_DATA_PACK(result)
    Values:
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            result[j] = bitwright_threshold_one<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(
                packet[j], (i * data_T::size + j) % CONFIG_T::n_chan, threshold, rising);
        }
        res.write(result);
    }
}

} // namespace nnet

#endif
