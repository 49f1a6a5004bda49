"""For celery: a task that makes some hundreds of objects and tells what can be checked.

By a list of its own and not as the task's result: a client that waits for results looks again after whole seconds when
one came before it listened.
"""
import os

import celery
import redis

app = celery.Celery("tasks", broker=os.environ["TEST_REDIS"])
store = redis.Redis.from_url(os.environ["TEST_REDIS"])
DONE = "done"


@app.task(ignore_result=True)
def total(number):
    store.rpush(DONE, f"{number} {sum(len(text) for text in [str(number) * 8 for _ in range(1000)])}")
