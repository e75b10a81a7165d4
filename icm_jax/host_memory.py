"""Keeping the host's memory between steps of a training on a CPU."""

import ctypes

# Parameters of mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Makes the C library keep freed memory for the next allocation; returns whether it can.

    XLA allocates the temporaries of an execution as one block, 1.4 GB for a step of TIC at 256×256, and frees it
    afterwards. By default glibc gives a block of that size back to the kernel, which has to find and clear every
    page of it anew at the next step: a quarter of the time of a training step. Call it before the first step; it
    holds for the whole process, whose memory then stays at its peak. Other C libraries are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc; Windows has no default library either
        return False
    # One arena, grown as one heap and never trimmed. All three: blocks this large would otherwise be mapped one by
    # one, and arenas of other threads are too small for them.
    return all(
        mallopt(name, value) for name, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_ARENA_MAX, 1))
    )
