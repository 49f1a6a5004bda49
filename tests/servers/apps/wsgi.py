"""For gunicorn: each answer makes some hundreds of objects and gives them back."""
import json


def app(_environ, start_response):
    body = json.dumps([{"number": number, "text": str(number) * 8} for number in range(100)]).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
