//! The plan for the CPU against what llama.cpp allocates there: within 3 % for weights and KV
//! cache, and within 10 % for compute buffers.

use std::path::Path;

use crate::fixture::{Gguf, Shape, demo_path};

use super::plan_json;
use super::reported::Buffers;
use super::shapes::{WINDOWED, shapes};

#[tokio::test]
async fn plan_is_accurate_for_all_settings() {
    let folder = tempfile::tempdir().unwrap();
    let llama = Gguf::random("llama", 1).write(folder.path(), "llama.gguf");
    let models = [demo_path(), llama];
    let settings: [&[&str]; 7] = [
        &[],
        &["--ctx-size", "256", "--parallel", "1"],
        &["--ctx-size", "1000", "--parallel", "8", "--ubatch", "128"],
        &["--ctx-size", "512", "--parallel", "16", "--ubatch", "1024"],
        &["--ctx-size", "512", "--kv-size", "4096", "--flash-attn", "off"],
        &["--ctx-size", "700", "--parallel", "2", "--flash-attn", "off", "--ubatch", "64"],
        &["--kv-type", "q8_0"],
    ];
    let mut deviations = Vec::new();
    for model in &models {
        for args in settings {
            if args.contains(&"q8_0") && *model != demo_path() {
                // The heads of the random model are shorter than a block of Q8_0.
                continue;
            }
            deviations.extend(deviations_of(model, args));
        }
    }
    assert!(deviations.is_empty(), "{}", deviations.join("\n"));
}

#[tokio::test]
async fn plan_is_accurate_for_all_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let settings: [&[&str]; 4] = [
        &["--ctx-size", "1024", "--parallel", "4"],
        &["--ctx-size", "1024", "--parallel", "2", "--flash-attn", "off"],
        &["--ctx-size", "2048", "--parallel", "1", "--ubatch", "128"],
        &["--ctx-size", "512", "--parallel", "16", "--ubatch", "256"],
    ];
    let mut deviations = Vec::new();
    for (name, shape) in shapes() {
        let file = shape.gguf(1).write(folder.path(), &format!("{name}.gguf"));
        for args in settings {
            deviations.extend(deviations_of(&file, args));
        }
    }
    let split = Shape { n_layers: 4, ..Shape::small("llama") }.gguf(1);
    deviations.extend(deviations_of(&split.write_split(folder.path(), "split"), settings[0]));
    assert!(deviations.is_empty(), "{}", deviations.join("\n"));
}

#[tokio::test]
async fn plan_is_accurate_for_any_pattern_of_windowed_layers() {
    let folder = tempfile::tempdir().unwrap();
    let key = "gemma3.attention.sliding_window_pattern";
    let mut first = WINDOWED.gguf(1);
    first.set_bools(key, &[true, false, false, false, false, false, false]);
    let mut all = WINDOWED.gguf(1);
    all.set_u32s(key, &[1; 7]);
    let mut every_third = WINDOWED.gguf(1);
    every_third.set_u32(key, 3);
    let mut deviations = Vec::new();
    for (name, gguf) in [("first", first), ("all", all), ("every third", every_third)] {
        let file = gguf.write(folder.path(), &format!("{name}.gguf"));
        deviations.extend(deviations_of(&file, &["--ctx-size", "2048", "--parallel", "4"]));
    }
    assert!(deviations.is_empty(), "{}", deviations.join("\n"));
}

/// The parts of the plan for the CPU that are too far off, one line each.
fn deviations_of(model: &Path, args: &[&str]) -> Vec<String> {
    // A build for GPUs may find one.
    let args = [args, &["--gpu-layers", "0"]].concat();
    let plan = plan_json(&[&[model.to_str().unwrap()], &args[..]].concat());
    let cpu = plan["places"].as_array().unwrap().last().unwrap();
    let what = format!("{} {args:?}", model.file_name().unwrap().display());
    Buffers::of(model, &args).deviations(&what, cpu, |_| true, None)
}
