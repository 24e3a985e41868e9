//! What a plan and a server say of it, for people.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::{Gguf, Shape, demo_path};
use crate::process::failure;

fn daemon() -> Command {
    Command::new(env!("CARGO_BIN_EXE_inference-core"))
}

/// What `plan` prints.
fn plan(args: &[&str]) -> String {
    let output = daemon().arg("plan").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a server of the demo model says until it is ready.
fn start(args: &[&str]) -> String {
    let mut process = daemon();
    process.args(["--demo", "0", "--threads", "1"]).args(args).stdout(Stdio::piped());
    let mut process = process.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.take_while(|line| !line.starts_with("ready")).collect();
    process.kill().unwrap();
    process.wait().unwrap();
    said.join("\n")
}

/// Builds for a card may find one, and say other things.
#[cfg(not(any(feature = "cuda", feature = "vulkan", feature = "rocm", feature = "metal")))]
#[test]
fn a_build_for_the_cpu_says_that_it_is_one() {
    let text = plan(&["--demo"]);
    for word in ["this is a CPU-only build", "--vram 3GB", "BUILD.md"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!plan(&["--demo", "--vram", "3GB"]).contains("BUILD.md"));
    for (args, words) in [
        (&["--gpu-layers", "all"][..], "warning: --gpu-layers all has no effect"),
        (&["--gpu-layers", "3"], "warning: --gpu-layers 3 has no effect"),
        (&["--vram-reserve", "1GB"], "warning: --vram-reserve has no effect"),
    ] {
        let said = start(args);
        assert!(said.contains(words) && said.contains("BUILD.md"), "{args:?}: {said}");
    }
    for args in [&[][..], &["--gpu-layers", "0"], &["--gpu-layers", "auto"]] {
        let said = start(args);
        assert!(!said.contains("warning"), "{args:?}: {said}");
    }
}

#[test]
fn a_file_that_broke_off_behind_its_header_can_be_planned_and_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(demo_path()).unwrap();
    let cut = folder.path().join("cut.gguf");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let cut = cut.to_str().unwrap();
    let text = plan(&[cut, "--vram", "3GB"]);
    assert!(text.contains("the file is incomplete (1.6 of 3.1 MiB)"), "{text}");
    let places = |text: &str| text[text.find("7 of 7 layers").unwrap()..].to_owned();
    let complete = plan(&["--demo", "--vram", "3GB"]);
    assert!(!complete.contains("incomplete"), "{complete}");
    assert_eq!(places(&text), places(&complete));
    let (code, error) = failure(&[cut, "0"]);
    assert!(code == Some(65) && error.contains("truncated"), "{code:?}: {error}");
}

#[test]
fn a_split_file_whose_second_part_broke_off_can_be_planned() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = Shape { layers: 4, ..Shape::small("llama") }.gguf(1);
    let first = gguf.write_split(folder.path(), "split");
    let second = folder.path().join("split-00002-of-00002.gguf");
    let whole = fs::read(&second).unwrap();
    fs::write(&second, &whole[..whole.len() - 1]).unwrap();
    let first = first.to_str().unwrap();
    assert!(plan(&[first]).contains("the file is incomplete"));
    let (code, error) = failure(&[first, "0"]);
    assert!(code == Some(65) && error.contains("split-00002"), "{code:?}: {error}");
}

#[test]
fn a_plan_that_cannot_be_made_does_not_speak_of_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.gguf");
    fs::write(&path, "Once upon a time").unwrap();
    let (code, error) = failure(&["plan", path.to_str().unwrap()]);
    assert!(code == Some(65) && !error.contains("served"), "{code:?}: {error}");
}

#[test]
fn a_small_change_that_puts_more_on_the_card_is_named() {
    let tight = ["--demo", "--vram-reserve", "0MB", "--vram", "175MB"];
    let text = plan(&tight);
    assert!(text.contains("of 7 layers on the GPU: more do not fit"), "{text}");
    for options in ["--parallel 2", "--kv-type q8_0"] {
        let line = format!("with {options}, 7 of 7 layers fit on the GPU");
        assert!(text.lines().any(|said| said == line), "{line}: {text}");
    }
    assert_eq!(text.matches(" fit on the GPU").count(), 2, "{text}");
    // It is true.
    for advised in [["--parallel", "2"], ["--kv-type", "q8_0"]] {
        let text = plan(&[&tight[..], &advised].concat());
        assert!(text.contains("7 of 7 layers on the GPU: everything fits"), "{text}");
        assert!(!text.contains(" fit on the GPU"), "{text}");
    }
}

#[test]
fn what_is_too_much_for_a_card_is_said_in_mebibytes() {
    let tight = ["--demo", "--vram-reserve", "0MB", "--vram", "160MB", "--gpu-layers", "all"];
    let text = plan(&tight);
    assert!(text.contains("more than fit according to this plan"), "{text}");
    assert!(text.contains("GPU 0 exceeds its budget by 19.6 MiB"), "{text}");
    assert!(text.contains("with --gpu-layers auto, 1 of 7 layers fit on the GPU"), "{text}");
    let json = |args: &[&str]| -> Value {
        serde_json::from_str(&plan(&[args, &["--json"]].concat())).unwrap()
    };
    assert_eq!(json(&tight)["fits"], false);
    assert_eq!(json(&["--demo", "--vram", "3GB"])["fits"], true);
    assert_eq!(json(&["--demo", "--vram", "3GB"])["advice"].as_array().unwrap().len(), 0);
}

#[test]
fn a_single_slot_is_one_slot() {
    let text = plan(&["--demo", "--parallel", "1", "--vram", "3GB"]);
    assert!(text.contains(" · 1 slot · "), "{text}");
}

#[test]
fn a_draft_model_is_planned_with_the_processor() {
    let draft = demo_path();
    let args = ["--demo", "--vram", "3GB", "--draft", draft.to_str().unwrap()];
    let text = plan(&args);
    let row = text.lines().find(|line| line.starts_with("draft, cpu")).unwrap();
    assert!(row.split_whitespace().nth(2) == Some("7"), "{text}");
    let json: Value = serde_json::from_str(&plan(&[&args[..], &["--json"]].concat())).unwrap();
    let alone = ["--demo", "--gpu-layers", "0", "--json"];
    let alone: Value = serde_json::from_str(&plan(&alone)).unwrap();
    for part in ["weights", "kv"] {
        let places = alone["places"].as_array().unwrap();
        assert_eq!(json["draft"][part], places.last().unwrap()[part], "{part}");
    }
    assert!(alone["draft"].is_null());
}

#[test]
fn a_draft_as_large_as_the_model_is_used_with_a_warning() {
    let draft = demo_path();
    let draft = ["--draft", draft.to_str().unwrap()];
    for said in [start(&draft), plan(&[&["--demo"], &draft[..]].concat())] {
        assert!(
            said.contains("warning: a draft model of 3.1 MiB hardly speeds up a model of 3.1 MiB"),
            "{said}"
        );
    }
    assert!(!start(&[]).contains("warning"), "without a draft there is nothing to warn of");
}

#[test]
fn a_draft_model_with_more_tokens_than_padding_is_refused_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let mut other = Gguf::random("llama", 1);
    other.change_tokens(|tokens| tokens.extend((0..129).map(|i| format!("{i} more").into_bytes())));
    let other = other.write(folder.path(), "other.gguf");
    let draft = ["--draft", other.to_str().unwrap()];
    // A plan loads nothing.
    let (code, error) = failure(&[&["plan", "--demo"][..], &draft].concat());
    assert!(error.contains("other.gguf has another vocabulary"), "{error}");
    assert_eq!(code, Some(64));
    assert_eq!(failure(&[&["--demo", "0"][..], &draft].concat()), (code, error));
}
