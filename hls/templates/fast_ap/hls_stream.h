// hls::stream for a fast C simulation: a ring of elements that grows by doubling, instead of a deque.

#ifndef BITWRIGHT_HLS_STREAM_H_
#define BITWRIGHT_HLS_STREAM_H_

#include <cstddef>
#include <iostream>
#include <memory>
#include <string>

namespace hls {

template <class T> class stream {
  public:
    stream() : name_("hls_stream") {}
    stream(const char *name) : name_(name) {}
    stream(const std::string &name) : name_(name) {}
    stream(const stream &) = delete;
    stream &operator=(const stream &) = delete;
    ~stream() {
        if (used_)
            std::cout << "WARNING: Hls::stream '" << name_
                      << "' contains leftover data, which may result in RTL simulation hanging." << std::endl;
    }

    bool empty() const { return used_ == 0; }
    bool full() const { return false; }
    size_t size() const { return used_; }

    void write(const T &element) {
        if (used_ == capacity_)
            grow();
        ring_[(first_ + used_) & (capacity_ - 1)] = element;
        used_++;
    }
    T read() {
        if (!used_) {
            std::cout << "WARNING: Hls::stream '" << name_
                      << "' is read while empty, which may result in RTL simulation hanging." << std::endl;
            return T();
        }
        const size_t place = first_;
        first_ = (first_ + 1) & (capacity_ - 1);
        used_--;
        return ring_[place];
    }
    void read(T &element) { element = read(); }
    bool write_nb(const T &element) {
        write(element);
        return true;
    }
    bool read_nb(T &element) {
        const bool any = used_ != 0;
        element = any ? read() : T();
        return any;
    }
    void operator<<(const T &element) { write(element); }
    void operator>>(T &element) { read(element); }

  private:
    void grow() {
        const size_t wider = capacity_ ? 2 * capacity_ : 16;
        std::unique_ptr<T[]> ring(new T[wider]);
        for (size_t i = 0; i < used_; i++)
            ring[i] = ring_[(first_ + i) & (capacity_ - 1)];
        ring_ = std::move(ring);
        capacity_ = wider;
        first_ = 0;
    }

    std::string name_;
    std::unique_ptr<T[]> ring_;
    size_t capacity_ = 0, first_ = 0, used_ = 0; // capacity_: 0 or a power of two
};

} // namespace hls

#endif
