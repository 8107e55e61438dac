#ifndef NNET_BITWRIGHT_TABLE_H_
#define NNET_BITWRIGHT_TABLE_H_

// Looks every value up. The table is in the order of the bits of code_T: from zero up, then the negative ones.

#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_helpers.h"

namespace nnet {

struct bitwright_table_config {
    static const unsigned n_in = 10;        // values of the whole tensor
    static const unsigned table_size = 16;  // 2 to the width of code_t
};

template <class data_T, class res_T, typename CONFIG_T>
res_T bitwright_table_one(data_T value, typename CONFIG_T::table_t table[CONFIG_T::table_size]) {
    #pragma HLS INLINE
    typename CONFIG_T::code_t code = value;
    return table[(unsigned)code(CONFIG_T::code_t::width - 1, 0)];
}

template <class data_T, class res_T, typename CONFIG_T>
void bitwright_table(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in],
                     typename CONFIG_T::table_t table[CONFIG_T::table_size]) {
    #pragma HLS PIPELINE
    #pragma HLS function_instantiate variable=table
    #pragma HLS ARRAY_PARTITION variable=table complete
Values:
    for (unsigned i = 0; i < CONFIG_T::n_in; i++) {
        #pragma HLS UNROLL
        res[i] = bitwright_table_one<data_T, res_T, CONFIG_T>(data[i], table);
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void bitwright_table(hls::stream<data_T> &data, hls::stream<res_T> &res,
                     typename CONFIG_T::table_t table[CONFIG_T::table_size]) {
    #pragma HLS function_instantiate variable=table
    #pragma HLS ARRAY_PARTITION variable=table complete
Packets:
    for (unsigned i = 0; i < CONFIG_T::n_in / data_T::size; i++) {
        #pragma HLS PIPELINE
        data_T packet = data.read();
        res_T result;
        PRAGMA_DATA_PACK(result)
    Values:
        for (unsigned j = 0; j < data_T::size; j++) {
            #pragma HLS UNROLL
            result[j] = bitwright_table_one<typename data_T::value_type, typename res_T::value_type, CONFIG_T>(packet[j],
                                                                                                               table);
        }
        res.write(result);
    }
}

} // namespace nnet

#endif
