"""OpenAI's package: leaving a stream early stops the model."""

import json
import os
import time
import urllib.request

from openai import OpenAI

base = os.environ["BASE_URL"]
client = OpenAI(base_url=base + "/v1", api_key="none")


def active() -> int:
    with urllib.request.urlopen(base + "/metrics") as page:
        for line in page.read().decode().splitlines():
            if line.startswith("inference_core_requests_active "):
                return int(float(line.split()[1]))
    raise AssertionError("no such metric")


stream = client.chat.completions.create(
    model="local", messages=[{"role": "user", "content": "Once upon a time"}], stream=True,
    extra_body={"ignore_eos": True})
next(iter(stream))
stream.close()
deadline = time.monotonic() + 20
while active() and time.monotonic() < deadline:
    time.sleep(0.05)
print("active:", active())
assert active() == 0
