"""For uvicorn: each answer makes some hundreds of objects and gives them back."""
import json


async def app(scope, _receive, send):
    assert scope["type"] == "http"
    body = json.dumps([{"number": number, "text": str(number) * 8} for number in range(100)]).encode()
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
