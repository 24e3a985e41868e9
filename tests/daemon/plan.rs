//! The offload plan against what llama.cpp then takes.

use std::collections::HashMap;
#[cfg(target_os = "linux")]
use std::fs::File;
use std::path::Path;
use std::process::Command;

#[cfg(feature = "vulkan")]
use std::ffi::OsStr;

#[cfg(feature = "vulkan")]
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
#[cfg(feature = "vulkan")]
use tokio::time::timeout;

use crate::fixture::{Experts, Gguf, Shape, demo_path};
#[cfg(feature = "vulkan")]
use crate::process::DEADLINE;
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

/// MiB of each kind of buffer on each device that llama.cpp reports when it loads `model`, without the
/// parts of its file that it is told to map and that are given back.
fn reported(model: &Path, args: &[&str]) -> HashMap<(String, String), f64> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let model = model.to_string_lossy();
    let daemon = Daemon::logging(&model, args, &log);
    drop(daemon);
    let mut kinds = HashMap::new();
    for line in std::fs::read_to_string(log).unwrap().lines() {
        if let Some((before, _)) = line.split_once(" MiB between them were released") {
            let mib: f64 = before.rsplit(' ').next().unwrap().parse().unwrap();
            *kinds.entry(("CPU_Mapped".to_owned(), "model".to_owned())).or_insert(0.0) -= mib;
        }
        let Some((before, after)) = line.split_once(" buffer size = ") else { continue };
        let mut words = before.split_whitespace().rev();
        let kind = words.next().unwrap().to_owned();
        let device = words.next().unwrap().to_owned();
        let mib: f64 = after.trim().trim_end_matches(" MiB").trim().parse().unwrap();
        *kinds.entry((device, kind)).or_insert(0.0) += mib;
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

/// The settings that models are compared at.
#[cfg(feature = "vulkan")]
const ON_A_CARD: [&[&str]; 4] = [
    &["--ctx-size", "1024", "--parallel", "4"],
    &["--ctx-size", "1024", "--parallel", "2", "--flash-attn", "off"],
    &["--ctx-size", "1000", "--parallel", "1", "--ubatch", "128"],
    &["--ctx-size", "512", "--parallel", "16", "--ubatch", "256"],
];

/// Shapes whose step buffers on a card the plan only guesses: Vulkan computes their parts in an
/// order of its own.
#[cfg(feature = "vulkan")]
const GUESSED: [&str; 5] =
    ["narrow inside", "shared expert", "experts alone", "many small experts", "windows"];

/// On Mesa's software device, which has to be asked for; nothing else computes on it.
#[cfg(feature = "vulkan")]
#[tokio::test]
async fn the_plan_holds_for_all_and_for_some_layers_on_a_card() {
    let folder = tempfile::tempdir().unwrap();
    let mut models = vec![demo_path()];
    for (name, shape) in shapes() {
        models.push(shape.gguf(1).write(folder.path(), &format!("{name}.gguf")));
    }
    let mut misses = Vec::new();
    for model in &models {
        for settings in ON_A_CARD {
            for layers in ["all", "1", "2", "4"] {
                let args = ["--gpu-layers", layers, "--vram-reserve", "0MB"];
                misses.extend(misses_on_a_card(model, &[settings, &args].concat()));
            }
        }
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

/// The card is made to refuse whatever is larger than a megabyte, as one that is full does.
#[cfg(feature = "vulkan")]
#[tokio::test]
async fn a_load_that_runs_out_of_memory_goes_on_with_fewer_layers_and_says_so() {
    let full = [
        ("GGML_VK_VISIBLE_DEVICES", OsStr::new("0")),
        ("GGML_VK_FORCE_MAX_BUFFER_SIZE", OsStr::new("1000000")),
    ];
    let args = ["--gpu-layers", "all", "--vram-reserve", "0MB"];
    let (_daemon, mut socket) = Daemon::start_with(&args, &full).connect_once().await;
    let hello = socket.next().await.unwrap().unwrap();
    let hello: Value = serde_json::from_str(hello.to_text().unwrap()).unwrap();
    assert_eq!((&hello["gpu_layers"], &hello["backend"]), (&0.into(), &"cpu".into()), "{hello}");
    let request = r#"{"op":"infer","id":"1","prompt":"Once","max_tokens":4}"#;
    socket.send(request.into()).await.unwrap();
    let end = async {
        loop {
            let message = socket.next().await.unwrap().unwrap();
            if message.to_text().unwrap().contains(r#""op":"end""#) {
                return;
            }
        }
    };
    timeout(DEADLINE, end).await.expect("it serves from the processor");
}

/// What of the plan for the first card and the processor is further off than it may be.
#[cfg(feature = "vulkan")]
fn misses_on_a_card(model: &Path, args: &[&str]) -> Vec<String> {
    let plan = plan(model, args);
    let places = plan["places"].as_array().unwrap();
    assert_eq!(places.len(), 2, "run with GGML_VK_VISIBLE_DEVICES=0: {plan}");
    let reported = reported(model, args);
    let name = model.file_stem().unwrap().to_str().unwrap();
    let guess = if GUESSED.contains(&name) { 35.0 } else { 10.0 };
    let mut misses = Vec::new();
    for (place, on_card) in places.iter().zip([true, false]) {
        for (part, kind, percent) in
            [("weights", "model", 3.0), ("kv", "KV", 3.0), ("compute", "compute", guess)]
        {
            let planned = place[part].as_f64().unwrap() / f64::from(1 << 20);
            let taken: f64 = reported
                .iter()
                .filter(|((device, of), _)| device.starts_with("Vulkan0") == on_card && of == kind)
                .map(|(_, mib)| mib)
                .sum();
            let what = format!("{name} {args:?} {} {part}", place["name"]);
            misses.extend(miss(&what, planned, taken, percent));
        }
    }
    misses
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
            let taken = reported.iter().filter(|((_, of), _)| of == kind).map(|(_, mib)| mib);
            miss(&format!("{what} {part}"), mib(part), taken.sum(), percent)
        })
        .collect()
}

#[tokio::test]
async fn the_plan_is_what_llama_cpp_takes_within_three_and_ten_percent() {
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

#[tokio::test]
async fn the_plan_holds_for_mixtures_windows_and_all_kinds_of_heads() {
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

#[tokio::test]
async fn the_plan_follows_the_layers_that_a_file_says_are_windowed() {
    let folder = tempfile::tempdir().unwrap();
    let shape = shapes().into_iter().find(|(name, _)| *name == "windows").unwrap().1;
    let key = "gemma3.attention.sliding_window_pattern";
    let mut first = shape.gguf(1);
    first.set_bools(key, &[true, false, false, false, false, false, false]);
    let mut all = shape.gguf(1);
    all.set_numbers(key, &[1; 7]);
    let mut every_third = shape.gguf(1);
    every_third.set_u32(key, 3);
    let mut misses = Vec::new();
    for (i, gguf) in [first, all, every_third].into_iter().enumerate() {
        let file = gguf.write(folder.path(), &format!("{i}.gguf"));
        misses.extend(misses_of(&file, &["--ctx-size", "2048", "--parallel", "4"]));
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn a_plan_for_an_imagined_card_is_a_table_and_loads_nothing() {
    let output = daemon().args(["plan", "--demo", "--vram", "3GB"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.contains("7 of 7 layers on the GPU: everything fits"), "{text}");
    assert!(text.contains("GPU 0"), "{text}");
    let output = daemon().args(["plan", "--demo", "--vram", "100MB"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("0 of 7 layers on the GPU"), "{text}");
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
