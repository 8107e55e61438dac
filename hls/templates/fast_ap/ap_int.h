#ifndef BITWRIGHT_AP_INT_H_
#define BITWRIGHT_AP_INT_H_

#include "fast_ap.h"

#endif
