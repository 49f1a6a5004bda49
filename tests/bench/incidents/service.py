"""The application of the gunicorn worker, after an incident of that kind: an API whose workers grow with every
request, probes of their health included, though it keeps no more than a bounded cache.

    GET /health             a probe: asks the database how it is
    GET /items?page=N       a page of a list: rows, their documents, the JSON of it; cached
    GET /items/N            one document, cached
    GET /export?first=N&count=N     many documents at once
    POST /items             a document is parsed, checked and stored in the cache
    GET /live               the bytes that are kept on purpose

Every request goes through what a framework does: headers are parsed, a context is made, a line is logged. All of
it is dropped but what the cache and the log of the last requests keep. Both are bounded; what they keep lies
scattered in the heap between what is freed, and that is what makes it grow.
"""
import collections
import json
import random
import sys
import urllib.parse

ENTRIES_MAX = 400  # of the cache
LOG_MAX = 2000  # requests
TEXT = random.Random(20).randbytes(1 << 16).hex()

cache = collections.OrderedDict()
log = collections.deque(maxlen=LOG_MAX)


def document(number):
    """As a database has it: text of any length."""
    chance = random.Random(number)
    start = chance.randrange(len(TEXT) // 2)
    return {"id": number, "name": TEXT[start:start + chance.randrange(20, 200)],
            "body": TEXT[start:start + chance.randrange(600, 12000)],
            "tags": [number % prime for prime in (2, 3, 5, 7)]}


def remember(key, value):
    """In the cache, from which the oldest entry goes."""
    cache[key] = value
    if len(cache) > ENTRIES_MAX:
        cache.popitem(last=False)
    return value


def health():
    rows = [TEXT[start:start + 700] for start in range(0, 9000, 900)]
    return json.dumps({"database": "up", "rows": len(rows)}).encode()


def page(number):
    rows = [document(number * 50 + row) for row in range(50)]
    names = "".join(f"<li>{row['name']}</li>" for row in rows)
    text = json.dumps({"page": number, "names": names, "rows": rows}).encode()
    remember(("page", number % 97), text[:4000])
    return text


def detail(number):
    return remember(("item", number), json.dumps(document(number)).encode())


def export(first, count):
    """All documents of some repositories at once; what each repository is like is kept for the next time."""
    repositories = {}
    for number in range(first, first + count):
        row = document(number)
        repositories.setdefault(number // 40, []).append(row)
        if number % 40 == 39:
            remember(("repository", number // 40), row["body"][:800].encode())
    return json.dumps(repositories).encode()


def store(body):
    items = json.loads(body)
    for item in items:
        remember(("item", item["id"]), json.dumps(item).encode())
    return json.dumps({"stored": len(items)}).encode()


def live():
    return str(sum(map(sys.getsizeof, cache.values())) + sum(map(sys.getsizeof, log)) + len(TEXT)).encode()


def answer(environ):
    """The body of the answer."""
    path = environ["PATH_INFO"]
    if path == "/health":
        return health()
    if path == "/live":
        return live()
    if environ["REQUEST_METHOD"] == "POST":
        return store(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    query = urllib.parse.parse_qs(environ["QUERY_STRING"])
    if path == "/items":
        return page(int(query["page"][0]))
    if path == "/export":
        return export(int(query["first"][0]), int(query["count"][0]))
    return detail(int(path.rpartition("/")[2]))


def application(environ, start_response):
    """The WSGI callable."""
    context = {name: str(value) for name, value in environ.items()}
    context["headers"] = "\n".join(f"{name}: {value}" for name, value in context.items())
    body = answer(environ)
    log.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)} {context['headers'][:600]}")
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
