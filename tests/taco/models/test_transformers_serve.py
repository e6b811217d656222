"""Our endpoint client against another server: `transformers serve` on a tiny random Qwen2.5-VL, without a network."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from taco.models import LocalModel, load_model

TOKENS = 12


def test_our_client_and_transformers_serve(make_tiny: Callable[[str], tuple[Any, Any]], tmp_path: Path) -> None:
    model, processor = make_tiny("qwen2_5_vl")
    folder = tmp_path / "tiny"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    local = LocalModel(model, processor, name="tiny", max_new_tokens=TOKENS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(folder)]
    options = ["--device", "cpu", "--host", "127.0.0.1", "--port", port]
    offline = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "hub")}
    conversations = [asked("Hello"), asked("What is this?", noise(56, 84)), asked("And?", noise(60, 30, 1), noise(28, 28, 2))]
    with (
        (tmp_path / "log").open("w+") as log,
        subprocess.Popen([*command, *options], env=offline, stderr=log, stdout=log) as server,
    ):
        try:
            until_it_answers(f"http://127.0.0.1:{port}/health", server, tmp_path / "log")
            client = load_model(f"openai:{folder}", base_url=f"http://127.0.0.1:{port}/v1", max_new_tokens=TOKENS)
            assert client.record is None, "it tells nothing of a model's training"
            replies = client.generate(conversations)
            pieces = list(client.stream(conversations[1]))
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(30)
    wanted = [local.generate([conversation])[0] for conversation in conversations]
    # It leaves control tokens in, of which a random model says many.
    texts = [processor.tokenizer.decode(reply.token_ids) for reply in wanted]
    assert [reply.text for reply in replies] == texts
    assert len(set(texts)) == 3, "the images make a difference"
    assert [reply.usage.prompt_tokens for reply in replies] == [reply.usage.prompt_tokens for reply in wanted]
    assert [reply.finish_reason for reply in replies] == [reply.finish_reason for reply in wanted]
    assert "".join(pieces) == texts[1]


def until_it_answers(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


def asked(text: str, *images: Image.Image) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]}
    ]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))
