"""What the programs of a benchmark use of the machine."""

import psutil


def megabytes(pid: int) -> float:
    """Return the memory of a process and its children in MB; shared memory counts once."""
    process = psutil.Process(pid)
    tree = [process, *process.children(recursive=True)]
    return sum(float(each.memory_full_info().pss) for each in tree) / 1e6


def processor_seconds(pid: int) -> float:
    """Return the seconds of processor time of a process and its children, ended ones included."""
    process = psutil.Process(pid)
    of_the_dead = process.cpu_times()
    total = of_the_dead.children_user + of_the_dead.children_system
    for each in [process, *process.children(recursive=True)]:
        times = each.cpu_times()
        total += times.user + times.system
    return float(total)
