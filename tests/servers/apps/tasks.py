"""For celery: a task that makes some hundreds of objects and answers with what can be checked."""
import os

import celery

app = celery.Celery("tasks", broker=os.environ["TEST_REDIS"], backend=os.environ["TEST_REDIS"])
app.conf.worker_hijack_root_logger = False


@app.task
def total(number):
    return sum(len(text) for text in [str(number) * 8 for _ in range(1000)])
