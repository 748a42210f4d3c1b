"""Whether this worker was asked to end, told to its pool children too.

On SIGTERM Celery's worker takes no new task and waits for its pool children, but tells them
nothing. So what it is told stands in memory that it shares with them.
"""

from mmap import mmap

# Anonymous memory, made before the children are forked: they see what their parent writes there.
_memory = mmap(-1, 1)


def request() -> None:
    """Tell this process, and all that it has forked, to end what they are doing."""
    _memory[0] = 1


def is_requested() -> bool:
    """Tell whether this process, or the one that forked it, was asked to end."""
    return _memory[0] == 1
