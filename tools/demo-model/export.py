"""Write the trained model as one q8_0 GGUF file that llama.cpp loads.

Matrices are stored as q8_0 (blocks of 32 8-bit values with one scale), norm
gains as float32. There is no output matrix: llama.cpp then uses the token
embedding, as in training.
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch

import tokenizer
from model import Config

TEMPLATE = Path(__file__).with_name("chat_template.jinja")

BLOCK_TENSORS = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "attention_out": "attn_output",
    "ffn_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}


def gguf_name(name: str) -> str:
    """`blocks.3.query.weight` -> `blk.3.attn_q.weight`, and names without a block."""
    if name == "embedding.weight":
        return "token_embd.weight"
    if name == "output_norm.weight":
        return "output_norm.weight"
    _, index, part, _ = name.split(".")
    return f"blk.{index}.{BLOCK_TENSORS[part]}.weight"


def add_general(writer: gguf.GGUFWriter, weights: int) -> None:
    writer.add_name("inference-core demo (toy)")
    writer.add_description(
        "A toy model trained from scratch on generated English and Spanish stories and"
        " dialogues, so that inference-core runs without a download. It knows nothing"
        " about the world and is of no use as an assistant."
    )
    writer.add_license("MIT")
    writer.add_size_label(f"{weights / 1e6:.1f}M")
    writer.add_languages(["en", "es"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def add_architecture(writer: gguf.GGUFWriter, config: Config) -> None:
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_rope_dimension_count(config.head_width)
    writer.add_rope_freq_base(config.rope_base)


def token_type(processor, index: int) -> gguf.TokenType:
    if processor.is_unknown(index):
        return gguf.TokenType.UNKNOWN
    if processor.is_control(index):
        return gguf.TokenType.CONTROL
    if processor.is_byte(index):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL


def add_tokenizer(writer: gguf.GGUFWriter, processor) -> None:
    indices = range(processor.vocab_size())
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([processor.id_to_piece(index) for index in indices])
    writer.add_token_scores([processor.get_score(index) for index in indices])
    writer.add_token_types([token_type(processor, index) for index in indices])
    writer.add_unk_token_id(tokenizer.UNK)
    writer.add_bos_token_id(tokenizer.BOS)
    writer.add_eos_token_id(tokenizer.EOS)
    writer.add_eot_token_id(tokenizer.END)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    # Text is tokenized unchanged, at the start and after a role token.
    writer.add_add_space_prefix(False)
    writer.add_remove_extra_whitespaces(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def add_tensors(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor]) -> None:
    for name, tensor in weights.items():
        values = tensor.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values.astype(np.float32))
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            blocks = gguf.quants.quantize(values, kind)
            writer.add_tensor(gguf_name(name), blocks, raw_dtype=kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--output", type=Path, default=Path("demo.gguf"))
    arguments = parser.parse_args()

    saved = torch.load(arguments.build / "model.pt", weights_only=True)
    weights = saved["weights"]
    writer = gguf.GGUFWriter(arguments.output, "llama")
    add_general(writer, sum(tensor.numel() for tensor in weights.values()))
    add_architecture(writer, Config(**saved["config"]))
    add_tokenizer(writer, tokenizer.load(arguments.build))
    add_tensors(writer, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
