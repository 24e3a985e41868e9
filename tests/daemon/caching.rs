//! The prefix cache saves work and changes nothing else.

use inference_core::domain::Params;

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
    let computed = harness.handle().snapshot().prompt_tokens_total;
    assert!(computed < length + 8 * 8, "{computed} tokens computed for prompts of {length}");
}

#[test]
fn a_cache_that_is_full_gives_way() {
    let harness = Harness::demo(1);
    for i in 0..12 {
        let prompt = format!("{i} {}", "the dog and the cat ".repeat(40));
        harness.generate(&prompt, greedy(20));
        let snapshot = harness.handle().snapshot();
        assert!(snapshot.kv_used_tokens <= snapshot.kv_total_tokens);
    }
}
