//! The offload plan against what llama.cpp then takes.

use std::collections::HashMap;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Experts, Gguf, Shape, demo_path};
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

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_one_line_and_a_code() {
    for args in [&["plan", "--demo"][..], &["--help"], &["--version"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = daemon().args(args).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(74), 1), "{args:?}: {said}");
        assert!(said.contains("cannot be written"), "{args:?}: {said}");
    }
}

#[test]
fn a_reader_that_has_closed_the_pipe_is_told_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = daemon().args(["plan", "--demo"]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(1), Vec::new()));
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

/// What of the plan for the processor is more than three or ten percent off.
fn misses_of(model: &Path, args: &[&str]) -> Vec<String> {
    // The build that runs this may have found a card.
    let args = [args, &["--gpu-layers", "0"]].concat();
    let plan = plan(model, &args);
    let cpu = plan["places"].as_array().unwrap().last().unwrap();
    let mib = |part: &str| cpu[part].as_f64().unwrap() / f64::from(1 << 20);
    let reported = reported(model, &args);
    let what = format!("{} {args:?}", model.file_name().unwrap().display());
    [("weights", "model", 3.0), ("kv", "KV", 3.0), ("compute", "compute", 10.0)]
        .into_iter()
        .filter_map(|(part, kind, percent)| {
            miss(&format!("{what} {part}"), mib(part), reported[kind], percent)
        })
        .collect()
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
    for model in &models {
        for args in settings {
            if args.contains(&"q8_0") && *model != demo_path() {
                // Its heads are too short to be packed.
                continue;
            }
            misses.extend(misses_of(model, args));
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

/// Mixtures of experts, sliding windows, tied and separate matrices, grouped heads.
fn shapes() -> Vec<(&'static str, Shape)> {
    let dense = Shape { width: 256, hidden: 704, heads: 8, head: 32, ..Shape::small("llama") };
    let mixture = Experts { n: 16, used: 4, hidden: 96 };
    let windowed = Shape {
        layers: 7,
        kv_heads: 1,
        head: 64,
        window: Some(128),
        is_tied: true,
        ..Shape { arch: "gemma3", ..dense }
    };
    vec![
        ("dense", dense),
        ("one head for all", Shape { kv_heads: 1, is_tied: true, ..dense }),
        ("every head its own", Shape { kv_heads: 8, layers: 2, ..dense }),
        ("narrow inside", Shape { width: 512, hidden: 512, head: 64, ..dense }),
        ("wide and shallow", Shape { layers: 2, width: 512, hidden: 1024, head: 64, ..dense }),
        ("biased", Shape { arch: "qwen2", is_tied: true, hidden: 1216, ..dense }),
        ("mixtral", Shape { experts: Some(Experts { n: 8, used: 2, hidden: 704 }), ..dense }),
        ("shared expert", Shape { arch: "qwen2moe", experts: Some(mixture), ..dense }),
        ("experts alone", Shape { arch: "qwen3moe", experts: Some(mixture), head: 64, ..dense }),
        (
            "many small experts",
            Shape {
                arch: "qwen3moe",
                experts: Some(Experts { n: 64, used: 8, hidden: 32 }),
                ..dense
            },
        ),
        (
            "wide experts",
            Shape {
                arch: "qwen3moe",
                width: 512,
                experts: Some(Experts { n: 16, used: 8, hidden: 128 }),
                ..dense
            },
        ),
        (
            "large shared expert",
            Shape {
                arch: "qwen2moe",
                hidden: 1408,
                experts: Some(Experts { n: 16, used: 4, hidden: 176 }),
                ..dense
            },
        ),
        ("windows", windowed),
        ("half windows", Shape { arch: "gemma2", window: Some(256), ..windowed }),
    ]
}

#[test]
fn the_plan_holds_for_mixtures_windows_and_all_kinds_of_heads() {
    let folder = tempfile::tempdir().unwrap();
    let settings: [&[&str]; 4] = [
        &["--ctx-size", "1024", "--parallel", "4"],
        &["--ctx-size", "1024", "--parallel", "2", "--flash-attn", "off"],
        &["--ctx-size", "2048", "--parallel", "1", "--ubatch", "128"],
        &["--ctx-size", "512", "--parallel", "16", "--ubatch", "256"],
    ];
    let mut misses = Vec::new();
    for (name, shape) in shapes() {
        let file = shape.gguf(1).write(folder.path(), &format!("{name}.gguf"));
        for args in settings {
            misses.extend(misses_of(&file, args));
        }
    }
    let split = Shape { layers: 4, ..Shape::small("llama") }.gguf(1);
    misses.extend(misses_of(&split.write_split(folder.path(), "split"), settings[0]));
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
