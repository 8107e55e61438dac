#ifndef BITWRIGHT_AP_FIXED_H_
#define BITWRIGHT_AP_FIXED_H_

#include "fast_ap.h"

#endif
