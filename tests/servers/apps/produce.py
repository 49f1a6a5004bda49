"""Give tasks to celery for so many seconds, a few at a time, and check each result: produce.py SECONDS"""
import json
import statistics
import sys
import time

from tasks import total

WINDOW = 8
TIMEOUT = 20

begin = time.monotonic()
times = []
errors = 0
number = 0
while time.monotonic() < begin + float(sys.argv[1]):
    sent = time.monotonic()
    results = []
    for number in range(number + 1, number + 1 + WINDOW):
        results.append((number, total.delay(number)))
    for value, result in results:
        try:
            errors += result.get(timeout=TIMEOUT) != 8000 * len(str(value))
        except Exception as error:  # whatever it is, the task is lost
            print(repr(error), file=sys.stderr)
            errors += 1
        times.append(time.monotonic() - sent)
elapsed = time.monotonic() - begin
print(json.dumps({"done": len(times), "errors": errors, "rate": len(times) / elapsed,
                  "p99_ms": statistics.quantiles(times, n=100)[98] * 1000}))
