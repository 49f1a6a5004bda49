"""A small shop whose workers grow: the application of examples/demo.sh.

Two faults that are met in real ones, and nothing that is not:
- every visitor gets a session with the page that was rendered for it, and no session is ever dropped;
- pages are put together from buffers of many sizes, so that the heap is full of holes when they are gone.

Each request takes at least a few milliseconds, as one that asks a database does. That bounds how fast a
worker can grow, on any machine: by about 10 MB/s.
"""

import itertools
import os
import time

QUERY_SECONDS = 0.004
ROWS = 40
sessions = {}
visitors = itertools.count()


def query(visitor):
    """Stands for the database."""
    time.sleep(QUERY_SECONDS)
    return [(row, f"article {visitor * 31 + row}", (visitor + row) % 97 / 7) for row in range(ROWS)]


def render(rows):
    """Temporary buffers, of sizes that differ from request to request."""
    scratch = [bytearray(512 + (row * 997 + hash(price)) % 24_000) for row, _, price in rows]
    body = "".join(f"<tr><td>{row}</td><td>{name}</td><td>{price:.2f}</td></tr>\n" for row, name, price in rows)
    return body.encode() + bytes(sum(map(len, scratch)) // 12)


def application(environ, start_response):
    """The WSGI callable."""
    if environ["PATH_INFO"] == "/health":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
        return [b"ok\n"]
    visitor = next(visitors)
    page = render(query(visitor))
    sessions[f"{os.getpid()}-{visitor}"] = {"page": page, "since": time.time(), "cart": list(range(20))}
    text = page[:4096]
    start_response("200 OK", [("Content-Type", "text/html"), ("Content-Length", str(len(text)))])
    return [text]
