"""Keep the memory that a step of training frees for the next step."""

import contextlib
import ctypes
import platform
from collections.abc import Iterator

# The numbers of malloc.h, which the C library never changes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4

NEVER = -1
"""As a threshold for trimming: no free memory goes back."""

LARGEST_MMAP_THRESHOLD = 32 * 2**20
"""Where glibc's own, which follows what a process frees, ends on 64 bits; its threshold for trimming is twice that."""

MMAPS = 65536
"""Mappings that glibc allows a process from the start (DEFAULT_MMAP_MAX of its malloc.c)."""


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let glibc's malloc keep what is freed inside, instead of giving it back to the system each time.

    The activations of a batch of images are tens of megabytes each. Where they go back to the system at once, each new
    one is mapped page by page while it is filled, which can take longer than what it is filled with. Nothing that is
    computed changes. Afterwards malloc has glibc's own thresholds, whatever it had before, and gives memory back. Other
    C libraries are left as they are.

    >>> with freed_memory_kept():
    ...     total = sum(range(10))
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    library = ctypes.CDLL(None)
    library.mallopt(M_TRIM_THRESHOLD, NEVER)
    library.mallopt(M_MMAP_MAX, 0)
    try:
        yield
    finally:
        library.mallopt(M_MMAP_MAX, MMAPS)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        library.mallopt(M_TRIM_THRESHOLD, 2 * LARGEST_MMAP_THRESHOLD)
        library.malloc_trim(0)
