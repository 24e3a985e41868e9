//! Answers of the demo model that have to fit a format.

use inference_core::domain::{Constraint, FinishReason, JsonText, Params, Speculation};
use serde_json::Value;

use crate::harness::Harness;

const PROMPT: &str = "Tell me a story about a dog";

fn constrained(constraint: Constraint, seed: u32) -> Params {
    Params {
        constraint: Some(Box::new(constraint)),
        seed: Some(seed),
        max_tokens: Some(150),
        ..Params::default()
    }
}

#[test]
fn answer_fits_its_schema_with_and_without_drafts() {
    let harness = Harness::demo(2);
    let schema = r#"{"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 12}, "good": {"type": "boolean"}},
        "required": ["name", "good"], "additionalProperties": false}"#;
    for seed in 0..6 {
        for speculative in [Speculation::Off, Speculation::Auto] {
            let constraint = Constraint::JsonSchema(JsonText(schema.to_owned()));
            let params = constrained(constraint, seed);
            let answer =
                harness.generate(PROMPT, Params { speculative: Some(speculative), ..params });
            let value: Value = serde_json::from_str(&answer.text).unwrap();
            assert!(value["name"].is_string() && value["good"].is_boolean(), "{}", answer.text);
            assert_eq!(answer.reason, FinishReason::Stop);
        }
    }
}

#[test]
fn answer_is_one_of_the_choices_and_reports_their_probabilities() {
    let harness = Harness::demo(2);
    let choices = ["a cat", "a dog", "a bird"].map(str::to_owned).to_vec();
    for seed in 0..6 {
        let params = constrained(Constraint::Choice(choices.clone()), seed);
        let answer = harness.generate(PROMPT, Params { logprobs: 5, temp: 2.0, ..params });
        assert!(choices.contains(&answer.text), "{}", answer.text);
        let total: f32 = answer.logprobs[0].top.iter().map(|top| top.logprob.exp()).sum();
        assert!(total <= 1.001, "{total}");
    }
}
