"""The servers, as Debian ships them: how each is started, which of its processes are asked, how it is loaded."""
import csv
import dataclasses
import json
import os
import pathlib
import socket
import statistics
import subprocess
import time
import typing
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
APPS = HERE / "apps"
WORKERS = 2
CONNECTIONS = 8
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "PYTHONPATH": str(APPS),
               "PYTHONDONTWRITEBYTECODE": "1"}
REDIS_COMMANDS = 20000  # of each kind in one run of its tool


def run(command, seconds, env=None):
    """A load tool; its errors are the test's."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds + 60,
                          env={**ENVIRONMENT, **(env or {})})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr


def wrk(instance, seconds):
    output, _ = run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / "figures.lua",
                     f"http://127.0.0.1:{instance.port}/"], seconds)
    return json.loads(output.splitlines()[-1])


def redis_benchmark(instance, seconds):
    """SET and GET again and again: of all runs the mean rate, and the median p99. It ends at the first error."""
    command = ["redis-benchmark", "-p", instance.port, "-c", CONNECTIONS, "-n", REDIS_COMMANDS, "-d", 256, "-r", 10000,
               "-t", "set,get", "--csv"]
    rows = []
    errors = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        output, wrong = run(command, seconds)
        new = list(csv.DictReader(line for line in output.splitlines() if line.startswith('"')))
        assert [row["test"] for row in new] == ["SET", "GET"], output
        errors += len(wrong.splitlines())
        rows += new
    return {"done": REDIS_COMMANDS * len(rows), "errors": errors,
            "rate": statistics.harmonic_mean(float(row["rps"]) for row in rows),
            "p99_ms": statistics.median(float(row["p99_latency_ms"]) for row in rows)}


def produce(instance, seconds):
    output, _ = run(["/usr/bin/python3", APPS / "produce.py", seconds], seconds, instance.environment)
    return json.loads(output.splitlines()[-1])


def fetch(instance):
    """The page, or None."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{instance.port}/", timeout=5) as response:
            return response.read() if response.status == 200 else None
    except (urllib.error.URLError, OSError):
        return None


def ping(instance):
    try:
        with socket.create_connection(("127.0.0.1", instance.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64)
    except OSError:
        return None


def log_is_ready(instance):
    return b" ready." in instance.log()


def nothing(_instance):
    return None


def nginx_folder(instance):
    text = (APPS / "nginx.conf").read_text().replace("@PORT@", str(instance.port))
    (instance.folder / "nginx.conf").write_text(text)


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    package: str
    command: tuple  # with {port} and {folder}
    load: typing.Callable = wrk
    look: typing.Callable = fetch  # true when it serves, and then always the same
    prepare: typing.Callable = nothing
    worker: str = ""  # what the command line of a worker contains
    workers: int = WORKERS  # 0: the process itself
    allocator: str = "glibc"
    programs: tuple = ()  # besides the command's first word
    modules: tuple = ()  # Python's
    with_redis: bool = False


def gunicorn(name, *options, modules=()):
    return Server(f"gunicorn {name}", "gunicorn",
                  ("/usr/bin/gunicorn", "-w", WORKERS, "-b", "127.0.0.1:{port}", "-k", name, "--chdir", APPS,
                   "--log-level", "warning", *options, "wsgi:app"), programs=("wrk",), modules=modules)


def uvicorn(loop, *options, modules=(), **more):
    return Server(f"uvicorn {loop}", "python3-uvicorn",
                  ("/usr/bin/uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--loop", loop, *options,
                   "--no-access-log", "--log-level", "warning", "--app-dir", APPS, "asgi:app"),
                  programs=("wrk",), modules=modules, **more)


SERVERS = (
    gunicorn("sync"),
    gunicorn("gthread", "--threads", "4"),
    gunicorn("gevent", modules=("gevent",)),
    # With --workers the sockets of asyncio are without TCP_NODELAY: 40 ms for each answer, with and without the agent.
    uvicorn("asyncio", workers=0),
    uvicorn("uvloop", "--workers", WORKERS, modules=("uvloop",), worker="spawn_main"),
    Server("celery prefork", "celery",
           ("/usr/bin/celery", "-A", "tasks", "worker", "--pool", "prefork", "--concurrency", WORKERS, "--loglevel",
            "INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
           load=produce, look=log_is_ready, programs=("redis-server",), modules=("redis",), with_redis=True),
    Server("node", "nodejs", ("/usr/bin/node", APPS / "app.js", "{port}"), programs=("wrk",)),
    Server("puma", "puma",
           ("/usr/bin/puma", "-w", WORKERS, "-t", "2:4", "-b", "tcp://127.0.0.1:{port}", "-e", "production",
            APPS / "app.ru"), programs=("wrk",)),
    Server("nginx", "nginx-light", ("/usr/sbin/nginx", "-p", "{folder}", "-e", "stderr", "-c", "{folder}/nginx.conf"),
           prepare=nginx_folder, worker="worker process", programs=("wrk",)),
    Server("redis", "redis-server",
           ("/usr/bin/redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--dir", "{folder}", "--save", "",
            "--appendonly", "no", "--loglevel", "warning"),
           load=redis_benchmark, look=ping, workers=0, allocator="jemalloc", programs=("redis-benchmark",)))


def missing(server):
    """What is not installed."""
    def absent(program):
        return not any(os.access(f"{folder}/{program}", os.X_OK) for folder in ENVIRONMENT["PATH"].split(":"))
    programs = [os.path.basename(server.command[0]), *server.programs]
    code = "import sys, importlib.util as u; sys.exit(any(u.find_spec(name) is None for name in sys.argv[1:]))"
    found = not server.modules or subprocess.run(["/usr/bin/python3", "-c", code, *server.modules]).returncode == 0
    return [program for program in programs if absent(program)] + ([] if found else list(server.modules))


def version(server):
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", server.package], capture_output=True, text=True)
    return done.stdout or "?"
