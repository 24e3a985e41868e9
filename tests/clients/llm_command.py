"""llm, the command: the daemon as a model of its configuration."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = """
- model_id: local
  model_name: local
  api_base: "{}/v1"
"""

llm = Path(sys.executable).parent / "llm"

with tempfile.TemporaryDirectory() as home:
    Path(home, "extra-openai-models.yaml").write_text(MODELS.format(os.environ["BASE_URL"]))
    environment = os.environ | {"LLM_USER_PATH": home, "OPENAI_API_KEY": "none"}
    done = subprocess.run(
        [llm, "-m", "local", "say Hello there."], env=environment, capture_output=True, text=True)
print(done.stdout, done.stderr)
assert done.returncode == 0 and done.stdout.strip()
