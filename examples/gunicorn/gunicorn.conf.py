"""gunicorn's own settings for examples/gunicorn/app.py."""

import os

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = 4
worker_class = "sync"
# trimtab recycles by TERM, which lets a worker finish its request; this is how long gunicorn itself would wait.
graceful_timeout = 30
# The worker's heartbeat file: in memory, so that a read-only container and a slow disk do no harm.
worker_tmp_dir = "/dev/shm"
# To stderr, where trimtab writes too.
errorlog = "-"
loglevel = "warning"
