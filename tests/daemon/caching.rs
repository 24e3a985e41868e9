//! The prefix cache saves work and changes nothing else.

use inference_core::domain::Params;
use inference_core::llama::ModelSource;

use crate::fixture::Shape;
use crate::harness::{Harness, NEAR_TIE, assert_same_greedy, greedy};

fn cached(n: u32) -> Params {
    Params { logprobs: 2, ..greedy(n) }
}

fn uncached(n: u32) -> Params {
    Params { cache_prompt: false, ..greedy(n) }
}

#[test]
fn a_second_turn_reads_only_its_new_tokens_and_says_the_same() {
    let harness = Harness::exact(2);
    let first = "Tell me a story about a dog";
    let one = harness.generate(first, cached(60));
    assert_same_greedy(first, &one, &harness.generate(first, uncached(60)).text, NEAR_TIE);

    let second = format!("{first}{}\nTell me a story about a cat", one.text);
    let two = harness.generate(&second, cached(60));
    assert_same_greedy(&second, &two, &harness.generate(&second, uncached(60)).text, NEAR_TIE);
    let new = two.usage.prompt_tokens - two.usage.cached_tokens;
    assert!(new < 16, "it read {new} of {} tokens", two.usage.prompt_tokens);
}

#[test]
fn eight_requests_with_one_beginning_read_it_once_and_say_the_same_as_alone() {
    let system = "Había una vez un perro pequeño que vivía cerca del río con su amiga la niña. ";
    let prompts: Vec<String> = (0..8).map(|i| format!("{}{i}", system.repeat(4))).collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let single = Harness::exact(1);
    let harness = Harness::exact(8);
    let answers = harness.generate_all(&prompts, &cached(30));
    for (prompt, answer) in prompts.iter().zip(&answers) {
        assert_same_greedy(prompt, answer, &single.generate(prompt, uncached(30)).text, NEAR_TIE);
    }
    let length = answers[0].usage.prompt_tokens as u64;
    let computed = harness.handle().snapshot().numbers.prompt_tokens_total;
    assert!(computed < length + 8 * 8, "{computed} tokens computed for prompts of {length}");
}

/// Has a conversation make way for another text and come back, and compares with one that is read
/// anew.
fn leaves_and_comes_back(harness: &Harness) {
    // A token of the demo model takes 4.5 KiB, so that this leaves and comes back in two pieces.
    let first = format!("Tell me a story about a dog {}", "and a cat ".repeat(100));
    let one = harness.generate(&first, cached(30));
    harness.generate("Había una vez un perro pequeño que vivía cerca del río", cached(5));
    let snapshot = harness.handle().snapshot();
    assert_eq!(snapshot.numbers.swapped_sequences, 1);
    assert!(snapshot.numbers.swapped_bytes > 1 << 20, "{} bytes", snapshot.numbers.swapped_bytes);
    assert!(
        snapshot.numbers.kv_used_tokens < one.usage.prompt_tokens,
        "it is not in the way any more"
    );

    let second = format!("{first}{}\nTell me a story about a cat", one.text);
    let two = harness.generate(&second, cached(40));
    let new = two.usage.prompt_tokens - two.usage.cached_tokens;
    assert!(new < 24, "it read {new} of {} tokens", two.usage.prompt_tokens);
    assert_eq!(harness.handle().snapshot().numbers.swapped_in_total, 1);
    assert_same_greedy(&second, &two, &harness.generate(&second, uncached(40)).text, NEAR_TIE);
}

#[test]
fn a_conversation_that_made_way_goes_on_as_if_it_had_stayed() {
    leaves_and_comes_back(&Harness::demo(2));
}

/// llama.cpp keeps the values of such a cache the other way round.
#[test]
fn so_it_does_without_flash_attention() {
    leaves_and_comes_back(&Harness::exact(2));
}

/// Outside of it a window would be all that is left of such a layer.
#[test]
fn where_layers_see_a_window_a_conversation_stays_in_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(64), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    let harness = Harness::file(&path, 2);
    let first = format!("Tell me a story about a dog {}", "and a cat ".repeat(20));
    let one = harness.generate(&first, cached(30));
    harness.generate("Había una vez un perro pequeño que vivía cerca del río", cached(5));
    assert_eq!(harness.handle().snapshot().numbers.swapped_sequences, 0);
    // Random weights say half characters, which are other tokens when they are read again.
    let two = harness.generate(&format!("{first} and on and on"), cached(5));
    assert!(two.usage.cached_tokens + 4 > one.usage.prompt_tokens, "{:?}", two.usage);
}

/// Such a layer has cells for the windows of so many requests as can run, and no more: what is kept
/// takes them, and what is shared takes them for longer.
#[test]
fn requests_after_each_other_and_with_one_beginning_find_room_where_layers_see_a_window() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape { window: Some(256), ..Shape::small("gemma3") };
    let path = shape.gguf(7).write(folder.path(), "windows.gguf");
    for slots in [1, 4] {
        let harness = Harness::on(ModelSource::File(path.clone()), slots, 4096);
        for i in 0..12 {
            let prompt = format!("{i} {}", "the dog and the cat ".repeat(100));
            let one = harness.generate(&prompt, cached(5));
            let two = harness.generate(&format!("{prompt} and a bird"), cached(5));
            assert!(two.usage.cached_tokens + 4 > one.usage.prompt_tokens, "{:?}", two.usage);
        }
        let beginning = "a small house by the river ".repeat(100);
        let prompts: Vec<String> = (0..8).map(|i| format!("{beginning}{i}")).collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        for answer in harness.generate_all(&prompts, &cached(40)) {
            assert_eq!(answer.usage.tokens, 40);
        }
    }
}

#[test]
fn a_cache_that_is_full_gives_way() {
    let harness = Harness::demo(1);
    for i in 0..12 {
        let prompt = format!("{i} {}", "the dog and the cat ".repeat(40));
        harness.generate(&prompt, greedy(20));
        let snapshot = harness.handle().snapshot();
        assert!(snapshot.numbers.kv_used_tokens <= snapshot.numbers.kv_total_tokens);
    }
}
