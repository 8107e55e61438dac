#ifndef NNET_BITWRIGHT_MOVE_H_
#define NNET_BITWRIGHT_MOVE_H_

// Moves values and computes none: reshapes, transposes, repeats rows and columns. Seen as three axes, running fastest
// last, the value (a, b, c) of the result is the source's (a / repeat_0) * stride_0 + (b / repeat_1) * stride_1 +
// c * stride_2. Shorter shapes have leading axes of size 1.

#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_helpers.h"

namespace nnet {

struct bitwright_move_config {
    static const unsigned n_in = 10;     // values of the source
    static const unsigned size_0 = 1;    // sizes of the result
    static const unsigned size_1 = 1;
    static const unsigned size_2 = 10;
    static const unsigned stride_0 = 0;  // distances in the source
    static const unsigned stride_1 = 0;
    static const unsigned stride_2 = 1;
    static const unsigned repeat_0 = 1;  // times each row and each column stands in the result
    static const unsigned repeat_1 = 1;
};

template <typename CONFIG_T> unsigned bitwright_source(unsigned index) {
    #pragma HLS INLINE
    unsigned c = index % CONFIG_T::size_2;
    unsigned b = index / CONFIG_T::size_2 % CONFIG_T::size_1;
    unsigned a = index / CONFIG_T::size_2 / CONFIG_T::size_1;
    return a / CONFIG_T::repeat_0 * CONFIG_T::stride_0 + b / CONFIG_T::repeat_1 * CONFIG_T::stride_1 +
           c * CONFIG_T::stride_2;
}

template <class data_T, class res_T, typename CONFIG_T>
void bitwright_move(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::size_0 * CONFIG_T::size_1 * CONFIG_T::size_2]) {
    #pragma HLS PIPELINE
Values:
    for (unsigned i = 0; i < CONFIG_T::size_0 * CONFIG_T::size_1 * CONFIG_T::size_2; i++) {
        #pragma HLS UNROLL
        res[i] = data[bitwright_source<CONFIG_T>(i)];
    }
}

// Any order: the whole tensor is kept
template <class data_T, class res_T, typename CONFIG_T>
void bitwright_move(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    typename data_T::value_type kept[CONFIG_T::n_in];
    #pragma HLS ARRAY_PARTITION variable=kept complete
Read:
    for (unsigned i = 0; i < CONFIG_T::n_in / data_T::size; i++) {
        #pragma HLS PIPELINE
        data_T packet = data.read();
    ReadValues:
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            kept[i * data_T::size + j] = packet[j];
        }
    }
Write:
    for (unsigned i = 0; i < CONFIG_T::size_0 * CONFIG_T::size_1 * CONFIG_T::size_2 / res_T::size; i++) {
        #pragma HLS PIPELINE
        res_T result;
        PRAGMA_DATA_PACK(result)
    WriteValues:
        for (unsigned j = 0; j < res_T::size; j++) {
            #pragma HLS UNROLL
            result[j] = kept[bitwright_source<CONFIG_T>(i * res_T::size + j)];
        }
        res.write(result);
    }
}

// Rows and columns repeated: one row is kept
template <class data_T, class res_T, typename CONFIG_T>
void bitwright_repeat(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    res_T row[CONFIG_T::size_1 / CONFIG_T::repeat_1];
Rows:
    for (unsigned a = 0; a < CONFIG_T::size_0; a++) {
    Columns:
        for (unsigned b = 0; b < CONFIG_T::size_1; b++) {
            #pragma HLS PIPELINE
            if (a % CONFIG_T::repeat_0 == 0 && b % CONFIG_T::repeat_1 == 0) {
                data_T packet = data.read();
                res_T result;
                PRAGMA_DATA_PACK(result)
            Values:
                for (unsigned j = 0; j < res_T::size; j++) {
                    #pragma HLS UNROLL
                    result[j] = packet[j];
                }
                row[b / CONFIG_T::repeat_1] = result;
            }
            res.write(row[b / CONFIG_T::repeat_1]);
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void bitwright_repeat(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::size_0 * CONFIG_T::size_1 * CONFIG_T::size_2]) {
    bitwright_move<data_T, res_T, CONFIG_T>(data, res);
}

} // namespace nnet

#endif
