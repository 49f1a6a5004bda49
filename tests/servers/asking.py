"""Asking workers by SIGURG, as trimtab does, and taking their reports."""
import collections
import ctypes
import os
import signal
import socket
import struct
import threading
import time

FIELDS = ("magic", "version", "size", "pid", "tid", "allocators", "allocator", "collected", "rss_before", "rss_after",
          "held", "used", "free", "took_ns", "collect_ns", "delay_ns", "where")
LAYOUT = struct.Struct("<IHHIIHHIQQQQQQQQ24s")
ALLOCATORS = {0: "none", 1: "glibc", 2: "jemalloc", 4: "tcmalloc", 8: "mimalloc"}
SETTLE_S = 2.0  # the product's: no report within it is no answer
INTERVAL_S = 0.2  # of the agent: asks that come closer together have one report

libc = ctypes.CDLL(None, use_errno=True)


def ask(pid):
    """The main thread, as trimtab does: a signal to the process may wake one thread and be taken by another."""
    if libc.tgkill(pid, pid, int(signal.SIGURG)) != 0:
        raise OSError(ctypes.get_errno(), f"asking {pid}")


class Reports:
    """A datagram socket whose reports carry the sender's pid as the kernel knows it."""

    def __init__(self):
        self.name = f"@trimtab-servers-{os.getpid()}-{time.monotonic_ns()}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind("\0" + self.name[1:])

    def take(self, seconds):
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data, ancillary, _, _ = self.socket.recvmsg(512, 512)
        except (TimeoutError, BlockingIOError):
            return None
        assert len(data) == LAYOUT.size
        report = dict(zip(FIELDS, LAYOUT.unpack(data)))
        report["where"] = report["where"].rstrip(b"\0").decode()
        report["allocator"] = ALLOCATORS[report["allocator"]]
        report["proven_pid"] = struct.unpack("iii", ancillary[0][2])[0]
        return report


class Asker:
    """Asks each worker again and again, and counts. `stray`: reports nobody asked for."""

    def __init__(self, reports, pids, period):
        self.reports = reports
        self.period = period
        self.asked = collections.Counter()
        self.answers = collections.defaultdict(list)
        self.unanswered = []
        self.stray = []
        self.stopping = threading.Event()
        self.failure = None
        self.pending = {}
        begin = time.monotonic() + INTERVAL_S + 0.01  # since what was asked before
        # not all at the same moment
        self.next = {pid: begin + period * place / len(pids) for place, pid in enumerate(pids)}

    def _send(self, limit):
        now = time.monotonic()
        for pid, sent in list(self.pending.items()):
            if now - sent > SETTLE_S:
                del self.pending[pid]
                self.unanswered.append(pid)
        for pid, due in self.next.items():
            if pid in self.pending or now < due or (limit and self.asked[pid] >= limit) or self.stopping.is_set():
                continue
            ask(pid)
            self.asked[pid] += 1
            self.pending[pid] = now
            self.next[pid] = now + self.period

    def _receive(self):
        report = self.reports.take(0.01)
        if report is None:
            return
        pid = report["proven_pid"]
        if pid not in self.pending or report["pid"] != pid:
            self.stray.append(report)
            return
        report["round_trip_s"] = time.monotonic() - self.pending.pop(pid)
        self.answers[pid].append(report)
        # The agent counts from the begin of the trim, which came before the report.
        self.next[pid] = max(self.next[pid], time.monotonic() + INTERVAL_S + 0.01)

    def run(self, limit=0):
        """Until each was asked `limit` times, or until it is stopped, and the last answers are there."""
        try:
            while self.pending or not (self.stopping.is_set() or
                                       (limit and all(self.asked[pid] >= limit for pid in self.next))):
                self._send(limit)
                self._receive()
        except Exception as error:  # of the thread: the test shows it
            self.failure = error
        return self

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def all_asked(self):
        return sum(self.asked.values())

    def all_answers(self):
        return [report for answers in self.answers.values() for report in answers]
