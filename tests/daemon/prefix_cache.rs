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
    assert!(n_prefilled < 24, "{n_prefilled} of {} tokens prefilled", two.usage.prompt_tokens);
}

/// Eight chats of different lengths, some of which begin alike.
fn chats() -> Vec<String> {
    let start = "user: Tell me a story about a dog and a cat, and about the river. ";
    let subjects = ["", "a bird", "the sea", "Había una vez un perro pequeño", "a girl", "rain"];
    let short = subjects.iter().map(|subject| format!("{start}{subject}\nassistant: "));
    let long =
        [12, 40].map(|n| format!("{start}{}\nassistant: ", "and then a small tree ".repeat(n)));
    short.chain(long).collect()
}

#[test]
fn chat_that_is_asked_again_gets_the_same_answer() {
    let harness = Harness::demo(3);
    let ask = |chat: &str| {
        let answer = harness.generate(chat, cached(30));
        (answer.text, answer.logprobs)
    };
    let chats = chats();
    let first: Vec<_> = chats.iter().map(|chat| ask(chat)).collect();
    for round in 0..2 {
        for (i, chat) in chats.iter().enumerate() {
            harness.generate(&format!("Something else, {round} {i}: {chat}"), cached(9));
            assert_eq!(ask(chat), first[i], "chat {i} in round {round}");
        }
    }
    let numbers = harness.handle().snapshot().numbers;
    assert!(numbers.swapped_in_total > 0 && numbers.cached_tokens_total > 0);
    for (chat, answer) in chats.iter().zip(&first) {
        let uncached = harness.generate(chat, Params { logprobs: 2, ..uncached(30) });
        assert_eq!((uncached.text, uncached.logprobs), *answer, "without the cache: {chat}");
    }
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
    let first = format!("Tell me a story about a dog {}", "and a cat ".repeat(100));
    let one = harness.generate(&first, cached(30));
    harness.generate("Había una vez un perro pequeño que vivía cerca del río", cached(5));
    let numbers = harness.handle().snapshot().numbers;
    assert_eq!(numbers.swapped_sequences, 1);
    assert!(numbers.swapped_bytes > 1 << 20, "{} bytes", numbers.swapped_bytes);
    assert!(numbers.kv_used_tokens < one.usage.prompt_tokens, "it is not in a slot any more");

    let second = format!("{first}{}\nTell me a story about a cat", one.text);
    let two = harness.generate(&second, cached(40));
    let n_prefilled = two.usage.prompt_tokens - two.usage.cached_tokens;
    assert!(n_prefilled < 36, "{n_prefilled} of {} tokens prefilled", two.usage.prompt_tokens);
    assert_eq!(harness.handle().snapshot().numbers.swapped_in_total, 1);
    assert_same_greedy_text(&second, &two, &harness.generate(&second, uncached(40)).text, NEAR_TIE);
}

#[test]
fn swapped_out_conversation_continues_with_the_same_text() {
    check_swap(&Harness::demo(1));
}

/// Without flash attention llama.cpp stores the values of the KV cache transposed.
#[test]
fn swapped_out_conversation_continues_without_flash_attention() {
    check_swap(&Harness::without_flash_attention(1));
}

/// Of a layer with a window, the exported state holds the window only, which is enough to go on at
/// the end.
#[test]
fn swapped_out_conversation_of_a_sliding_window_model_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(64), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    let harness = Harness::file(&path, 1);
    let first = format!("Tell me a story about a dog{}", " and a cat".repeat(20));
    // Without an answer, since random weights generate parts of characters, whose text has other
    // tokens in the next prompt.
    let one = harness.generate(&first, cached(1));
    harness.generate("Había una vez un perro pequeño que vivía cerca del río", cached(5));
    assert_eq!(harness.handle().snapshot().numbers.swapped_sequences, 1);
    let second = format!("{first}{}", " and on and on".repeat(5));
    let two = harness.generate(&second, cached(20));
    assert!(two.usage.cached_tokens + 4 > one.usage.prompt_tokens, "{:?}", two.usage);
    assert_same_greedy_text(&second, &two, &harness.generate(&second, uncached(20)).text, NEAR_TIE);
}

#[test]
fn windowed_layers_go_on_with_conversations_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(256), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    for slots in [1, 4] {
        let harness = Harness::new(ModelSource::File(path.clone()), slots, 4096);
        for i in 0..12 {
            let prompt = format!("{i} {}", "the dog and the cat ".repeat(100));
            let one = harness.generate(&prompt, cached(5));
            let two = harness.generate(&format!("{prompt} and a bird"), cached(5));
            assert!(two.usage.cached_tokens + 24 > one.usage.prompt_tokens, "{:?}", two.usage);
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
