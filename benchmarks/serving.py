"""What the endpoint costs and its batching gains: eight requests with an image to taco-nano, directly and through `taco serve`.

    $ OMP_NUM_THREADS=1 python benchmarks/serving.py

Replies are capped, so that every way generates the same number of tokens. Minimum of five rounds, wall-clock.
"""

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taco.models import EndpointModel, load_model
from taco.serving import Server, make_app
from taco.tools.images import open_image

REQUESTS, TOKENS, ROUNDS = 8, 24, 5
BOARD = open_image(Path(__file__).parents[1] / "docs/images/board.jpg")


def question(number: int) -> list[dict[str, Any]]:
    """Another one each time, since a local model keeps what it has read."""
    text = f"How much do {number} Mint tea cost?"
    return [{"role": "user", "content": [{"type": "image", "image": BOARD}, {"type": "text", "text": text}]}]


def least(work: Callable[[list[Any]], Any]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        least.asked += REQUESTS
        conversations = [question(least.asked + number) for number in range(REQUESTS)]
        start = time.perf_counter()
        work(conversations)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


least.asked = 1_000  # type: ignore[attr-defined]


def main() -> None:
    model: Any = load_model("nano", max_new_tokens=TOKENS)
    model.generate([question(0)])
    rows = [("directly, one by one", least(lambda asked: [model.generate([each]) for each in asked]))]
    rows.append((f"directly, {REQUESTS} together", least(model.generate)))
    ready = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(make_app(model), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        ready.wait()
        client = EndpointModel("nano", base_url=f"http://127.0.0.1:{listening.getsockname()[1]}/v1", concurrency=REQUESTS)
        client.generate([question(0)])
        rows.append(("through the server, one by one", least(lambda asked: [client.generate([each]) for each in asked])))
        rows.append((f"through the server, {REQUESTS} at a time", least(client.generate)))
        server.should_exit = True
        thread.join()
    print(f"{REQUESTS} requests with one image of {BOARD.width} x {BOARD.height}, {TOKENS} tokens each at most")
    for name, seconds in rows:
        print(f"{name:<36}{seconds:7.2f} s  {rows[0][1] / seconds:5.2f} x")


if __name__ == "__main__":
    main()
