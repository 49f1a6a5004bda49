"""Background tasks of a small web application, after an incident of that kind.

    spikes.py               each task builds a report from large temporary structures, and drops all but a summary
    spikes.py small         each task builds an index of small objects and drops all but a few entries here and there:
                            Python's own allocator keeps what it has as long as one object in 1 MiB of it lives

Each task is a thread of its own, as a request is in Flask's server, and up to four run at a time; then the
application waits for the next.
"""
import array
import collections
import json
import random
import sys
import threading
import zlib

import phases

TASKS = 8
AT_A_TIME = 4
ROWS = 12000
COLUMNS = 12
PART = 250  # documents
SUMMARIES_MAX = 2000
ENTRIES = 80000
ENTRIES_MORE = 60000  # with each phase
BUCKETS = 8192
KEPT_EVERY = 200
ENTRIES_MAX = 20000

words = [random.Random(phases.SEED).randbytes(24).hex() for _ in range(512)]


class Application:
    """What outlives the tasks."""

    def __init__(self):
        self.phase = 0
        self.summaries = collections.deque(maxlen=SUMMARIES_MAX)
        self.entries = collections.deque(maxlen=ENTRIES_MAX)

    def live_bytes(self):
        entries = sum(sys.getsizeof(entry) + sum(map(sys.getsizeof, entry)) for entry in self.entries)
        return sum(map(sys.getsizeof, self.summaries)) + entries

    def report(self, seed):
        """Columns of figures, documents of all sizes, an archive of them in parts: all dropped."""
        chance = random.Random(seed)
        columns = [array.array("d", (chance.random() for _ in range(ROWS // COLUMNS))) for _ in range(COLUMNS)]
        documents = []
        for row in range(ROWS):
            first = chance.randrange(300)
            body = " ".join(words[first:first + chance.randrange(12, 200)])
            documents.append({"id": row, "body": body, "score": columns[row % COLUMNS][row % (ROWS // COLUMNS)]})
            if row % 200 == 0:
                self.summaries.append(f"{seed} {row}: {body[:900]}")
        parts = [zlib.compress(json.dumps(documents[start:start + PART]).encode(), 1)
                 for start in range(0, len(documents), PART)]
        self.summaries.append(f"{seed}: {len(documents)} documents, {sum(map(len, parts))} bytes".ljust(900))

    def index(self, seed):
        """Words, numbers and lists of them in small buckets, as an inverted index has them."""
        chance = random.Random(seed)
        buckets = [[] for _ in range(BUCKETS)]
        for number in range(ENTRIES + self.phase * ENTRIES_MORE):
            word = f"{seed}-{number}-{words[number % 512][:20]}"
            entry = (word, chance.random(), [number, number + 1])
            buckets[number * 31 % BUCKETS].append(entry)
            if number % KEPT_EVERY == 0:
                self.entries.append(entry)
        self.summaries.append(f"{seed}: {sum(map(len, buckets))} entries")


def main():
    application = Application()
    task = application.index if "small" in sys.argv[1:] else application.report
    seeds = iter(range(phases.SEED, 1 << 30))

    def load():
        for _ in range(TASKS // AT_A_TIME):
            threads = [threading.Thread(target=task, args=(next(seeds),)) for _ in range(AT_A_TIME)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        application.phase += 1
        return application.live_bytes()

    phases.run(load)


main()
