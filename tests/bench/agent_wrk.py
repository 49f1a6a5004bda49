"""Throughput of nginx and gunicorn with the agent, one trim a second and worker, as a multiple of that without.

Started by agent.sh: agent_wrk.py LIBRARY PAIRS. Two servers of the same kind stand side by side, wrk loads one or the
other in turn for a second, the order changing from pair to pair; the ratio is the median of those of the pairs. The
CPU time of the workers for a request says the same with less of what else the machine does. Exit status 1 if a ratio
of requests is below what it has to be.
"""
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

AT_LEAST = 0.98
SECONDS = 1
NGINX = """daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{text}"; }} }} }}
"""
APPLICATION = """
def application(environ, start):
    body = b"".join(b"%d\\n" % i for i in range(200))
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def nginx(folder, port):
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(NGINX.format(folder=folder, port=port, text="x" * 1000))
    return ["nginx", "-p", folder, "-e", "stderr", "-c", path]


def gunicorn(folder, port):
    with open(os.path.join(folder, "application.py"), "w", encoding="ascii") as file:
        file.write(APPLICATION)
    return ["gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "--chdir", folder, "--log-level", "error", "application"]


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def cpu_ns(pids):
    used = 0
    for pid in pids:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            used += int(file.read().split()[0])
    return used


class Server:
    def __init__(self, command, folder, library):
        os.mkdir(folder, 0o755)
        self.port = free_port()
        self.asked = self.answered = 0
        self.done = threading.Event()
        self.reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.reports.bind("\0" + os.path.basename(folder) + str(os.getpid()))
        self.reports.settimeout(0.2)
        environment = dict(os.environ)
        if library:
            environment |= {"LD_PRELOAD": library, "TRIMTAB_AGENT_REPORT": "@" + self.reports.getsockname()[1:].decode()}
        self.process = subprocess.Popen(command(folder, self.port), env=environment)
        self.wait_until_up()
        self.asker = threading.Thread(target=self.ask if library else self.done.wait)
        self.asker.start()

    def wait_until_up(self):
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit("bench: a server does not come up")

    def ask(self):
        while not self.done.is_set():
            for pid in children(self.process.pid):
                os.kill(pid, signal.SIGURG)
                self.asked += 1
            end = time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    self.reports.recv(512)
                    self.answered += 1
                except TimeoutError:
                    pass

    def load(self):
        """Requests a second, the 99th percentile of latency in ms, the workers' CPU time for a request in us."""
        workers = children(self.process.pid)
        before = cpu_ns(workers)
        text = subprocess.run(["wrk", "-t", "1", "-c", "16", "-d", f"{SECONDS}s", "--latency",
                               f"http://127.0.0.1:{self.port}/"], check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in text or "Socket errors" in text:
            raise SystemExit(f"bench: wrk had errors: {text}")
        late, unit = re.search(r"99% +([0-9.]+)(us|ms|s)", text).groups()
        return (float(re.search(r"Requests/sec: +([0-9.]+)", text).group(1)),
                float(late) * {"us": 0.001, "ms": 1, "s": 1000}[unit],
                (cpu_ns(workers) - before) / 1000 / int(re.search(r"([0-9]+) requests in", text).group(1)))

    def stop(self):
        self.done.set()
        self.asker.join()
        self.process.terminate()
        self.process.wait()
        self.reports.close()


def compare(name, command, library, pairs, scratch):
    servers = [Server(command, os.path.join(scratch, f"{name}-{kind}"), kind == "agent" and library)
               for kind in ("bare", "agent")]
    try:
        for server in servers:
            server.load()
        got = ([], [])
        for i in range(pairs):
            for which in (0, 1) if i % 2 == 0 else (1, 0):
                got[which].append(servers[which].load())
    finally:
        for server in servers:
            server.stop()
    rps, late, cpu = ([statistics.median(load[what] for load in loads) for loads in got] for what in range(3))
    ratio = statistics.median(ours[0] / bare[0] for bare, ours in zip(*got))
    cpu_ratio = statistics.median(ours[2] / bare[2] for bare, ours in zip(*got))
    print(f"{name:10} {rps[0]:9.0f} {rps[1]:9.0f} {ratio:7.3f} {AT_LEAST:9.2f}  {late[0]:7.2f} {late[1]:7.2f}"
          f"  {cpu[0]:7.1f} {cpu[1]:7.1f} {cpu_ratio:7.3f}  {servers[1].answered:5}/{servers[1].asked}"
          f"{'' if ratio >= AT_LEAST else '  MISSED'}")
    return ratio >= AT_LEAST


def main():
    library, pairs = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    if shutil.which("wrk") is None:
        print("bench: no wrk, so no servers")
        return 0
    good = True
    print(f"{'requests/s':10} {'bare':>9} {'agent':>9} {'ratio':>7} {'at least':>9}  {'p99 ms':>7} {'agent':>7}"
          f"  {'CPU us':>7} {'agent':>7} {'ratio':>7}  trims/asked")
    with tempfile.TemporaryDirectory() as scratch:
        os.chmod(scratch, 0o755)
        for name, command in (("nginx", nginx), ("gunicorn", gunicorn)):
            if shutil.which(name) is None:
                print(f"{name:10} is not installed")
            else:
                good = compare(name, command, library, pairs, scratch) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
