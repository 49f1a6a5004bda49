"""An application that grows: every request leaves memory behind, and tells which process served it."""
import os

KEPT = []


def app(environ, start_response):
    size = int(os.environ.get("BLOAT_BYTES", "65536"))
    if environ["PATH_INFO"] == "/grow":
        KEPT.append(os.urandom(4096) * (size // 4096))
    body = f"{os.getpid()}\n".encode()
    start_response("200 OK", [("Content-Length", str(len(body))), ("Connection", "close")])
    return [body]
