"""The incidents, the environments they are run in, and the numbers to reach."""
import os
import select
import signal
import subprocess
import sys

from runs import HERE, LOAD_SECONDS, PYTHON, STOP_SECONDS, Failed, parent, runs_python

ONE_ARENA = "narenas:1,tcache:false"
BACKGROUND = "narenas:2,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0"


class Variant:
    """An environment: what is set besides the shipped policy. trims: whether trims are to be expected."""

    def __init__(self, name, trims, **settings):
        self.name = name
        self.trims = trims
        self.bare = name == "bare"
        self.settings = [(f"allocator.{key}", value) for key, value in settings.items()]


BARE = Variant("bare", False)
SHIPPED = Variant("shipped policy", True)
ALL = (
    BARE,
    Variant("environment", False, agent="no"),
    Variant("trims", True, arena_max="0"),
    SHIPPED,
    Variant("jemalloc", False, malloc="jemalloc", agent="no"),
    Variant("jemalloc+trims", True, malloc="jemalloc"),
    Variant("jemalloc 1 arena", False, malloc="jemalloc", malloc_conf=ONE_ARENA, agent="no"),
    Variant("jemalloc 1 arena+trims", True, malloc="jemalloc", malloc_conf=ONE_ARENA),
    Variant("jemalloc decay", False, malloc="jemalloc", malloc_conf=BACKGROUND, agent="no"),
    Variant("jemalloc decay+trims", True, malloc="jemalloc", malloc_conf=BACKGROUND),
)
# For what no trim can help: what else might. The last is what the verdict advises.
HOLES = (BARE, SHIPPED, ALL[8], ALL[5])
SMALL = (BARE, SHIPPED, ALL[7], Variant("pythonmalloc+trims", True, pythonmalloc="malloc"))


class Workload:
    """A program of ours that says itself when its load is over, and is told by its standard input to go on."""

    policy = "auto"

    def __init__(self, name, title, words, variants=ALL, most_percent=None, advised_percent=None,
                 verdict="fragmentation", advice="trims give it back"):
        self.name = name
        self.title = title
        self.words = words
        self.variants = variants
        self.most_percent = most_percent  # of the bare idle RSS, with the shipped policy
        self.advised_percent = advised_percent  # as that, with the last variant
        self.verdict = verdict  # that trimtab has to come to with the shipped policy
        self.advice = advice  # and a part of what it has to say

    def command(self, directory):
        del directory
        return [PYTHON, HERE / self.words[0], *self.words[1:]]

    def is_it(self, pid):
        """Whether this is the process whose memory counts."""
        return runs_python(pid)

    def load(self, run, number):
        """The line in which a phase of load ends."""
        if number > 0:
            run.top.stdin.write(b"more\n")
        if not select.select([run.top.stdout], [], [], LOAD_SECONDS)[0]:
            raise Failed(f"not idle within {LOAD_SECONDS} s")
        return run.top.stdout.readline().decode().strip()

    def end(self, run):
        run.top.stdin.close()
        return run.top.wait(STOP_SECONDS)


class Service(Workload):
    """One worker of a real gunicorn, and clients that ask it."""

    policy = "gunicorn"

    def command(self, directory):
        return ["gunicorn", "--workers", "1", "--bind", f"unix:{directory}/socket", "--log-level", "warning",
                "--worker-tmp-dir", "/dev/shm", "service:application"]

    def is_it(self, pid):
        """The child of the master."""
        return runs_python(pid) and parent(pid) != os.getpid() and runs_python(parent(pid))

    def load(self, run, number):
        words = [PYTHON, HERE / "client.py", run.directory / "socket", str(number)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=LOAD_SECONDS, check=True)
        return done.stdout.strip()

    def end(self, run):
        os.kill(run.first(), signal.SIGTERM)
        return run.top.wait(STOP_SECONDS)


INCIDENTS = (
    Workload("pusher", "audio pusher", ["pusher.py"], most_percent=15),
    Service("requests", "gunicorn request worker", [], most_percent=75),
    Workload("decoder", "32-thread decoder", ["decoder.py"], most_percent=20),
    Workload("spikes", "task spikes", ["spikes.py"], most_percent=13),
    Workload("holes", "pusher, frames between what is kept", ["pusher.py", "fingerprints"], HOLES, advised_percent=85,
             verdict="pinned", advice="malloc = jemalloc"),
    Workload("small", "task spikes of small objects", ["spikes.py", "small"], SMALL, advised_percent=60,
             verdict="outside", advice="pythonmalloc = malloc"),
)


def chosen(names):
    """The incidents of these names; all without one."""
    known = {incident.name: incident for incident in INCIDENTS}
    wrong = [name for name in names if name not in known]
    if wrong:
        sys.exit(f"incidents: there is no {wrong[0]!r}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(INCIDENTS)
