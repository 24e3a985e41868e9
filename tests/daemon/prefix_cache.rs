//! The prefix cache saves prefill and changes no text.

use inference_core::domain::Params;
use inference_core::llama::ModelSource;

use crate::fixture::Shape;
use crate::harness::{Harness, NEAR_TIE, assert_same_greedy_text, greedy};

fn cached(max_tokens: u32) -> Params {
    Params { logprobs: 2, ..greedy(max_tokens) }
}

fn uncached(max_tokens: u32) -> Params {
    Params { cache_prompt: false, ..greedy(max_tokens) }
}

#[test]
fn second_turn_prefills_only_its_new_tokens() {
    let harness = Harness::without_flash_attention(2);
    let first = "Tell me a story about a dog";
    let one = harness.generate(first, cached(60));
    assert_same_greedy_text(first, &one, &harness.generate(first, uncached(60)).text, NEAR_TIE);

    let second = format!("{first}{}\nTell me a story about a cat", one.text);
    let two = harness.generate(&second, cached(60));
    assert_same_greedy_text(&second, &two, &harness.generate(&second, uncached(60)).text, NEAR_TIE);
    let n_prefilled = two.usage.prompt_tokens - two.usage.cached_tokens;
    assert!(n_prefilled < 16, "{n_prefilled} of {} tokens prefilled", two.usage.prompt_tokens);
}

#[test]
fn simultaneous_requests_prefill_their_shared_prefix_once() {
    let prefix = "Había una vez un perro pequeño que vivía cerca del río con su amiga la niña. ";
    let prompts: Vec<String> = (0..8).map(|i| format!("{}{i}", prefix.repeat(4))).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let alone = Harness::without_flash_attention(1);
    let together = Harness::without_flash_attention(8);
    let answers = together.generate_all(&prompts, &cached(30));
    for (prompt, answer) in prompts.iter().zip(&answers) {
        let expected = alone.generate(prompt, uncached(30)).text;
        assert_same_greedy_text(prompt, answer, &expected, NEAR_TIE);
    }
    let prompt_tokens = answers[0].usage.prompt_tokens as u64;
    let n_prefilled = together.handle().snapshot().numbers.prompt_tokens_total;
    assert!(
        n_prefilled < prompt_tokens + 8 * 8,
        "{n_prefilled} tokens prefilled for eight prompts of {prompt_tokens}"
    );
}

/// Has another request swap out a conversation, continues the conversation, and compares its text
/// with that of an uncached request.
fn check_swap(harness: &Harness) {
    // A token of the demo model takes 4.5 KiB, so the sequence is swapped in two chunks.
    let first = format!("Tell me a story about a dog {}", "and a cat ".repeat(100));
    let one = harness.generate(&first, cached(30));
    harness.generate("Había una vez un perro pequeño que vivía cerca del río", cached(5));
    let numbers = harness.handle().snapshot().numbers;
    assert_eq!(numbers.swapped_sequences, 1);
    assert!(numbers.swapped_bytes > 1 << 20, "{} bytes", numbers.swapped_bytes);
    assert!(numbers.kv_used_tokens < one.usage.prompt_tokens, "it is not in the KV cache any more");

    let second = format!("{first}{}\nTell me a story about a cat", one.text);
    let two = harness.generate(&second, cached(40));
    let n_prefilled = two.usage.prompt_tokens - two.usage.cached_tokens;
    assert!(n_prefilled < 24, "{n_prefilled} of {} tokens prefilled", two.usage.prompt_tokens);
    assert_eq!(harness.handle().snapshot().numbers.swapped_in_total, 1);
    assert_same_greedy_text(&second, &two, &harness.generate(&second, uncached(40)).text, NEAR_TIE);
}

#[test]
fn swapped_out_conversation_continues_with_the_same_text() {
    check_swap(&Harness::demo(2));
}

/// Without flash attention llama.cpp stores the values of the KV cache transposed.
#[test]
fn swapped_out_conversation_continues_without_flash_attention() {
    check_swap(&Harness::without_flash_attention(2));
}

/// The exported state of a windowed layer would hold its window only.
#[test]
fn sliding_window_model_swaps_nothing_out() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(64), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    let harness = Harness::file(&path, 2);
    let first = format!("Tell me a story about a dog {}", "and a cat ".repeat(20));
    let one = harness.generate(&first, cached(30));
    harness.generate("Había una vez un perro pequeño que vivía cerca del río", cached(5));
    assert_eq!(harness.handle().snapshot().numbers.swapped_sequences, 0);
    // The second prompt does not repeat the answer: random weights generate parts of characters,
    // whose text has other tokens.
    let two = harness.generate(&format!("{first} and on and on"), cached(5));
    assert!(two.usage.cached_tokens + 4 > one.usage.prompt_tokens, "{:?}", two.usage);
}

/// A windowed layer has cells for one window per slot. Cached sequences occupy them, and shared
/// prefixes occupy them for longer.
#[test]
fn windowed_layers_have_space_for_cached_and_shared_prefixes() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(256), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    for slots in [1, 4] {
        let harness = Harness::new(ModelSource::File(path.clone()), slots, 4096);
        for i in 0..12 {
            let prompt = format!("{i} {}", "the dog and the cat ".repeat(100));
            let one = harness.generate(&prompt, cached(5));
            let two = harness.generate(&format!("{prompt} and a bird"), cached(5));
            assert!(two.usage.cached_tokens + 4 > one.usage.prompt_tokens, "{:?}", two.usage);
        }
        let prefix = "a small garden by the river ".repeat(100);
        let prompts: Vec<String> = (0..8).map(|i| format!("{prefix}{i}")).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        for answer in harness.generate_all(&prompts, &cached(40)) {
            assert_eq!(answer.usage.tokens, 40);
        }
    }
}

#[test]
fn full_cache_evicts_old_sequences() {
    let harness = Harness::demo(1);
    for i in 0..12 {
        let prompt = format!("{i} {}", "the dog and the cat ".repeat(40));
        harness.generate(&prompt, greedy(20));
        let numbers = harness.handle().snapshot().numbers;
        assert!(numbers.kv_used_tokens <= numbers.kv_total_tokens);
    }
}
