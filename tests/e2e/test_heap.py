"""No heap after start: neither a call of the allocator nor memory from the kernel once the worker runs."""
import os
import re
import signal
import struct

import pytest

from conftest import MIB, TRIMTAB, Pool, children, read, until

DYNAMIC = b"ld-linux" in open(TRIMTAB, "rb").read(4096)


def busy(p, turns):
    """Recycles, trims, orphans and signals."""
    for turn in range(1, turns + 1):
        p.grow(turn % 2, 80)
        p.trimtab.event("replaced", turn)
        p.trimtab.kill(signal.SIGWINCH)


@pytest.mark.parametrize("count", [2, 0], ids=["children", "worker"])
def test_no_call_of_the_allocator_after_the_start(init, count, monkeypatch):
    file = init.directory / "calls"
    monkeypatch.setenv("HEAP_CALLS", str(file))
    monkeypatch.setenv("LD_PRELOAD", str(init.programs / "heap_calls.so"))
    p = Pool(init, count)
    p.trimtab.event("ready")
    def calls():
        return struct.unpack("Q", file.read_bytes())[0]
    before = calls()
    assert before > 0, "the counting library is not in use"
    if count:
        busy(p, 4)
    else:
        for turn in (2, 3):
            p.tell(0, f"grow {80 * MIB}")
            p.trimtab.event("start", turn)
            until(lambda: len(p.log("up")) == turn)
    assert calls() == before


if not DYNAMIC:  # it takes no preloaded library: what it asks of the kernel, below, must tell
    del test_no_call_of_the_allocator_after_the_start


def test_no_memory_from_the_kernel_after_the_start(subreaper):
    """By strace: no brk and no mapping once `ready` was said."""
    trace = subreaper.directory / "trace"
    class Traced:
        directory, programs = subreaper.directory, subreaper.programs
        started = subreaper.started
        @staticmethod
        def start(*arguments, **how):
            return subreaper.start(*arguments, wrap=["strace", "-s", "300", "-o", trace, "-e", "trace=brk,mmap,mremap,write"], **how)
    p = Pool(Traced, 2)
    (trimtab,) = [pid for pid in children(p.trimtab.pid) if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(TRIMTAB)]
    p.outside = p.pid
    for turn in range(1, 4):
        p.grow(turn % 2, 80)
        p.trimtab.event("replaced", turn)
    os.kill(trimtab, signal.SIGWINCH)
    lines = read(trace).splitlines()
    ready = next(i for i, line in enumerate(lines) if re.search(r'write\(.*ready', line))
    assert not [line for line in lines[ready:] if re.match(r"(brk|mmap|mremap)\(", line)]
