"""Codex over a WebSocket: a whole turn with a call of a tool. Needs the scripted model."""

import os
import subprocess
import tempfile
from pathlib import Path

CONFIG = """
model = "local"
model_provider = "local"
web_search = "disabled"

[model_providers.local]
name = "inference-core"
base_url = "{}/v1"
wire_api = "responses"
supports_websockets = true
"""

codex = Path(__file__).parent / "node_modules/.bin/codex"
call = '<tool_call>\n{"name": "exec_command", "arguments": {"cmd": "echo 4-and-4"}}\n</tool_call>'

with tempfile.TemporaryDirectory() as home:
    Path(home, "config.toml").write_text(CONFIG.format(os.environ["BASE_URL"]))
    # The call does nothing but print.
    command = [codex, "exec", "--skip-git-repo-check",
               "--dangerously-bypass-approvals-and-sandbox", "say " + call]
    done = subprocess.run(
        command, env=os.environ | {"CODEX_HOME": home}, cwd=home, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100)
print(done.stdout, done.stderr)
assert done.returncode == 0
# The answer after the call repeats the result of the tool.
assert "4-and-4" in done.stdout
