"""wscat: a request over the WebSocket, typed as one command."""

import json
import os
import subprocess
from pathlib import Path

wscat = Path(__file__).parent / "node_modules/.bin/wscat"
url = os.environ["BASE_URL"].replace("http://", "ws://") + "/?metrics=0"
request = {"op": "infer", "prompt": "Once upon a time", "params": {"max_tokens": 20}}

# Without `--wait -1`, wscat exits after two seconds.
command = [wscat, "--connect", url, "--wait", "-1", "--execute", json.dumps(request)]
text = ""
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
    for line in process.stdout:
        frame = json.loads(line)
        text += frame.get("content", "")
        if frame["op"] in ("end", "error"):
            break
    # wscat exits at the end of its input.
    process.stdin.close()
print(text)
assert frame["op"] == "end" and text
