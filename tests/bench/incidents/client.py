"""The clients of service.py: client.py SOCKET PHASE

Three in ten requests are probes of health, one in a hundred asks for very much. The order follows from the phase
alone. Prints `idle live=BYTES` when the last has been answered, as the other workloads do.
"""
import http.client
import json
import random
import socket
import sys
import time

import phases

REQUESTS = 3000
ITEMS = 20000
PATIENCE_S = 30
EXPORT_MAX = 2500


class Connection(http.client.HTTPConnection):
    """By a socket in the file system."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, url, body=None):
    """The body of the answer, which has to be a good one."""
    connection = Connection(path)
    connection.request(method, url, body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        sys.exit(f"client: {method} {url}: {answer.status}")
    return text


def ask_any(path, chance, words):
    """One request of the mixture."""
    kind = chance.random()
    if kind < 0.30:
        ask(path, "GET", "/health")
    elif kind < 0.50:
        ask(path, "GET", f"/items?page={chance.randrange(ITEMS // 50)}")
    elif kind < 0.51:
        count = min(EXPORT_MAX, int(100 * chance.paretovariate(1)))
        ask(path, "GET", f"/export?first={chance.randrange(ITEMS)}&count={count}")
    elif kind < 0.90:
        ask(path, "GET", f"/items/{chance.randrange(ITEMS)}")
    else:
        items = [{"id": chance.randrange(ITEMS), "body": words[:chance.randrange(600, 9000)]}
                 for _ in range(chance.randrange(1, 40))]
        ask(path, "POST", "/items", json.dumps(items))


def wait_for_server(path):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask(path, "GET", "/health")
        except OSError:
            if time.monotonic() > end:
                sys.exit(f"client: nobody answers at {path}")
            time.sleep(0.05)


def main():
    path, phase = sys.argv[1], int(sys.argv[2])
    chance = random.Random(phases.SEED + phase)
    words = chance.randbytes(1 << 14).hex()
    wait_for_server(path)
    for _ in range(REQUESTS):
        ask_any(path, chance, words)
    phases.say_idle(int(ask(path, "GET", "/live")))


main()
