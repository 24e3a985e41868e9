//! The offload plan against what llama.cpp then takes.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Gguf, demo_path};
use crate::process::Daemon;

fn daemon() -> Command {
    Command::new(env!("CARGO_BIN_EXE_inference-core"))
}

/// The plan for `model` without a card.
fn plan(model: &Path, args: &[&str]) -> Value {
    let output = daemon().arg("plan").arg(model).arg("--json").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// MiB of each kind of buffer that llama.cpp reports when it loads `model`.
fn reported(model: &Path, args: &[&str]) -> HashMap<String, f64> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let model = model.to_string_lossy();
    let daemon = Daemon::logging(&model, args, &log);
    drop(daemon);
    let mut kinds = HashMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        let Some((before, after)) = line.split_once(" buffer size = ") else { continue };
        let kind = before.rsplit(' ').next().unwrap().to_owned();
        let mib: f64 = after.trim().trim_end_matches(" MiB").trim().parse().unwrap();
        *kinds.entry(kind).or_insert(0.0) += mib;
    }
    kinds
}

/// The difference in words, where it is more than `percent`.
fn miss(what: &str, planned: f64, reported: f64, percent: f64) -> Option<String> {
    // The log rounds to a hundredth of a MiB.
    let off = (planned - reported).abs() - 0.01;
    (off > reported * percent / 100.0)
        .then(|| format!("{what}: planned {planned:.2} MiB, llama.cpp took {reported:.2} MiB"))
}

/// On Mesa's software device, which has to be asked for; nothing else computes on it.
#[cfg(feature = "vulkan")]
#[test]
fn the_plan_holds_for_layers_on_a_card() {
    for layers in ["all", "3"] {
        let args = ["--gpu-layers", layers, "--vram-reserve", "0MB"];
        let plan = plan(&demo_path(), &args);
        let places = plan["places"].as_array().unwrap();
        assert_eq!(places.len(), 2, "run with GGML_VK_VISIBLE_DEVICES=0: {plan}");
        let mib = |part: &str| -> f64 {
            places.iter().map(|place| place[part].as_f64().unwrap() / f64::from(1 << 20)).sum()
        };
        let reported = reported(&demo_path(), &args);
        for (part, kind, percent) in
            [("weights", "model", 3.0), ("kv", "KV", 3.0), ("compute", "compute", 10.0)]
        {
            let missed = miss(&format!("{layers} {part}"), mib(part), reported[kind], percent);
            assert_eq!(missed, None);
        }
    }
}

#[test]
fn the_plan_is_what_llama_cpp_takes_within_three_and_ten_percent() {
    let folder = tempfile::tempdir().unwrap();
    let llama = Gguf::random("llama", 1).write(folder.path(), "llama.gguf");
    let models = [demo_path(), llama];
    let settings: [&[&str]; 7] = [
        &[],
        &["--ctx-size", "256", "--parallel", "1"],
        &["--ctx-size", "1000", "--parallel", "8", "--ubatch", "128"],
        &["--ctx-size", "512", "--parallel", "16", "--ubatch", "1024"],
        &["--ctx-size", "512", "--kv-size", "1024", "--flash-attn", "off"],
        &["--ctx-size", "700", "--parallel", "2", "--flash-attn", "off", "--ubatch", "64"],
        &["--kv-type", "q8_0"],
    ];
    let mut misses = Vec::new();
    let mib = |place: &Value, part: &str| place[part].as_f64().unwrap() / f64::from(1 << 20);
    for model in &models {
        for args in settings {
            if args.contains(&"q8_0") && *model != demo_path() {
                // Its heads are too short to be packed.
                continue;
            }
            // The build that runs this may have found a card.
            let args = [args, &["--gpu-layers", "0"]].concat();
            let plan = plan(model, &args);
            let cpu = plan["places"].as_array().unwrap().last().unwrap();
            let reported = reported(model, &args);
            let what = format!("{} {args:?}", model.display());
            for (part, kind, percent) in
                [("weights", "model", 3.0), ("kv", "KV", 3.0), ("compute", "compute", 10.0)]
            {
                let what = format!("{what} {part}");
                misses.extend(miss(&what, mib(cpu, part), reported[kind], percent));
            }
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn a_plan_for_an_imagined_card_is_a_table_and_loads_nothing() {
    let output = daemon().args(["plan", "--demo", "--vram", "3GB"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("7 of 7 layers on cards: everything fits"), "{text}");
    assert!(text.contains("card 0"), "{text}");
    let output = daemon().args(["plan", "--demo", "--vram", "100MB"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0 of 7 layers on cards"), "{text}");
}

#[test]
fn what_cannot_be_planned_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let odd = Gguf::random("llama", 1).write(folder.path(), "odd.gguf");
    let odd = odd.to_str().unwrap();
    let table: [(&[&str], &str, i32); 6] = [
        (&["plan", "nowhere.gguf"], "nowhere.gguf", 66),
        (&["plan", "--demo", "--vram", "much"], "much", 64),
        (&["plan", "--demo", "--vram-reserve", "-1GB"], "-1", 64),
        (&["--demo", "0", "--vram", "3GB"], "plan", 64),
        (&["plan", "--demo", "--kv-type", "q8_0", "--flash-attn", "off"], "q8_0", 64),
        (&["plan", odd, "--kv-type", "q4_0"], "multiple", 64),
    ];
    for (args, word, code) in table {
        let output = daemon().args(args).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(word) && error.lines().count() == 1, "{args:?}: {error}");
    }
}
