// ap_shift_reg for a fast C simulation: a ring, in which a shift moves one element instead of all.

#ifndef BITWRIGHT_AP_SHIFT_REG_H_
#define BITWRIGHT_AP_SHIFT_REG_H_

template <class T, unsigned int DEPTH = 32> class ap_shift_reg {
  public:
    ap_shift_reg() {}
    ap_shift_reg(const char *) {}
    ap_shift_reg(const ap_shift_reg &) = delete;
    ap_shift_reg &operator=(const ap_shift_reg &) = delete;

    // Returns what stood at an address, 0 being the newest, and puts another element in front.
    T shift(T in, unsigned int address = DEPTH - 1, bool enable = true) {
        const T out = read(address);
        if (enable) {
            newest_ = newest_ ? newest_ - 1 : DEPTH - 1;
            ring_[newest_] = in;
        }
        return out;
    }
    T read(unsigned int address = DEPTH - 1) const {
        const unsigned int place = newest_ + address;
        return ring_[place < DEPTH ? place : place - DEPTH];
    }

  private:
    T ring_[DEPTH];
    unsigned int newest_ = 0;
};

#endif
