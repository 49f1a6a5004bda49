"""Give tasks to celery for so many seconds, a few at a time, and check what they tell: produce.py SECONDS"""
import json
import statistics
import sys
import time

from tasks import DONE, store, total

WINDOW = 8
TIMEOUT = 20

begin = time.monotonic()
times = []
errors = 0
number = 0
while time.monotonic() < begin + float(sys.argv[1]):
    sent = time.monotonic()
    expected = set()
    for number in range(number + 1, number + 1 + WINDOW):
        total.delay(number)
        expected.add(f"{number} {8000 * len(str(number))}".encode())
    for _ in range(WINDOW):
        answer = store.blpop(DONE, timeout=TIMEOUT)
        if answer is None or answer[1] not in expected:
            print(f"lost or wrong: {answer}", file=sys.stderr)
            errors += 1
        else:
            expected.remove(answer[1])
        times.append(time.monotonic() - sent)
elapsed = time.monotonic() - begin
print(json.dumps({"done": len(times), "errors": errors, "rate": len(times) / elapsed,
                  "p99_ms": statistics.quantiles(times, n=100)[98] * 1000}))
