"""Compares chat templates of real models with Python's Jinja2, in 27 conversations each.

    compare.py FOLDER            all *.jinja files of a folder
    compare.py --fetch FOLDER    downloads the templates into the folder first

Each conversation becomes a table as `snippets.py` writes it. The test of the renderer reads it and
names each template that it renders otherwise.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import urllib.request

import conversations
import transformers_jinja

TEST = "llama::text::chat_template::jinja::tests::snippets_are_rendered_as_by_jinja2"

LLAMA_CPP = "https://api.github.com/repos/ggml-org/llama.cpp/contents/models/templates"

# One model for each of the families that are used most.
MODELS = [
    "CohereLabs/aya-expanse-8b",
    "HuggingFaceTB/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM3-3B",
    "HuggingFaceTB/SmolVLM-Instruct",
    "LiquidAI/LFM2-1.2B",
    "MiniMaxAI/MiniMax-M2",
    "NousResearch/Hermes-3-Llama-3.1-8B",
    "Qwen/Qwen2.5-7B-Instruct",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "allenai/OLMo-2-1124-7B-Instruct",
    "baidu/ERNIE-4.5-21B-A3B-PT",
    "ByteDance-Seed/Seed-OSS-36B-Instruct",
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    "deepseek-ai/DeepSeek-V3.1",
    "google/gemma-2-2b-it",
    "google/gemma-3-1b-it",
    "ibm-granite/granite-3.3-8b-instruct",
    "internlm/internlm3-8b-instruct",
    "meta-llama/Llama-3.1-8B-Instruct",
    "microsoft/Phi-3.5-mini-instruct",
    "microsoft/phi-4",
    "mistralai/Ministral-8B-Instruct-2410",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    "moonshotai/Kimi-K2-Instruct",
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2",
    "openai/gpt-oss-20b",
    "tiiuae/Falcon3-7B-Instruct",
    "zai-org/GLM-4.5-Air",
]


def download(url):
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()


def fetch(folder):
    """Downloads llama.cpp's templates and those of `MODELS`. Names those that cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    for entry in json.loads(download(LLAMA_CPP)):
        if entry["name"].endswith(".jinja"):
            (folder / entry["name"]).write_text(download(entry["download_url"]), newline="")
    for model in MODELS:
        home = f"https://huggingface.co/{model}/resolve/main"
        try:
            text = model_template(home)
        except (OSError, KeyError, ValueError) as error:
            print(f"{model}: {error}", file=sys.stderr)
            continue
        (folder / (model.replace("/", "-") + ".jinja")).write_text(text, newline="")


def model_template(home):
    """The template of a model: a file of its own, or an entry of the tokenizer's configuration."""
    try:
        return download(f"{home}/chat_template.jinja")
    except OSError:
        template = json.loads(download(f"{home}/tokenizer_config.json"))["chat_template"]
    if isinstance(template, list):
        return next(entry["template"] for entry in template if entry["name"] == "default")
    return template


def write_tables(templates, folder):
    """Writes one table for each conversation and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, values in conversations.all_values().items():
        rows = [
            {"kind": path.name, "template": text, "expected": transformers_jinja.render(text, values)}
            for path, text in templates
        ]
        path = folder / (name.replace(" ", "-").replace(",", "") + ".json")
        path.write_text(json.dumps({"values": values, "snippets": rows}), encoding="utf-8")
        paths.append(path)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="folder with templates (*.jinja)")
    parser.add_argument("--fetch", action="store_true", help="download the templates first")
    parser.add_argument("--tables", type=pathlib.Path, default="target/jinja", help="output folder")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch(arguments.folder)
    paths = sorted(arguments.folder.glob("*.jinja"))
    if not paths:
        sys.exit(f"{arguments.folder} has no *.jinja files: add --fetch")
    templates = [(path, path.read_bytes().decode()) for path in paths]
    tables = write_tables(templates, arguments.tables)
    print(f"{len(templates)} templates, {len(tables)} conversations")
    environment = os.environ | {"JINJA_TABLES": os.pathsep.join(str(p.resolve()) for p in tables)}
    command = ["cargo", "test", "--lib", "--", "--exact", TEST]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
