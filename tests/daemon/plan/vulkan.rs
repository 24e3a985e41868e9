//! The plan for a GPU against what llama.cpp allocates there.
//!
//! The GPU is Mesa's software device, which llama.cpp uses only if `GGML_VK_VISIBLE_DEVICES=0` is
//! set.

use std::ffi::OsStr;
use std::path::Path;

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::client::{is_op, read_until, send};
use crate::fixture::demo_path;
use crate::process::Daemon;

use super::plan_json;
use super::reported::Buffers;
use super::shapes::shapes;

const SETTINGS: [&[&str]; 4] = [
    &["--ctx-size", "1024", "--parallel", "4"],
    &["--ctx-size", "1024", "--parallel", "2", "--flash-attn", "off"],
    &["--ctx-size", "1000", "--parallel", "1", "--ubatch", "128"],
    &["--ctx-size", "512", "--parallel", "16", "--ubatch", "256"],
];

/// Shapes for which the compute buffers are only estimated: Vulkan computes the parts of these
/// models in an order of its own.
const ESTIMATED: [&str; 5] =
    ["narrow feed-forward", "shared expert", "experts only", "many small experts", "windows"];

#[tokio::test]
async fn plan_is_accurate_for_all_and_for_some_layers_on_a_gpu() {
    let folder = tempfile::tempdir().unwrap();
    let mut models = vec![demo_path()];
    for (name, shape) in shapes() {
        models.push(shape.gguf(1).write(folder.path(), &format!("{name}.gguf")));
    }
    let mut deviations = Vec::new();
    for model in &models {
        for settings in SETTINGS {
            for layers in ["all", "1", "2", "4"] {
                let args = ["--gpu-layers", layers, "--vram-reserve", "0MB"];
                deviations.extend(deviations_of(model, &[settings, &args].concat()));
            }
        }
    }
    assert!(deviations.is_empty(), "{}", deviations.join("\n"));
}

/// The parts of the plan for the GPU and the CPU that are too far off, one line each.
fn deviations_of(model: &Path, args: &[&str]) -> Vec<String> {
    let plan = plan_json(&[&[model.to_str().unwrap()], args].concat());
    let devices = plan["places"].as_array().unwrap();
    assert_eq!(devices.len(), 2, "run with GGML_VK_VISIBLE_DEVICES=0: {plan}");
    let buffers = Buffers::of(model, args);
    let name = model.file_stem().unwrap().to_str().unwrap();
    let compute_percent = ESTIMATED.contains(&name).then_some(35.0);
    let of_device = |(planned, is_gpu): (&Value, bool)| {
        let what = format!("{name} {args:?} {}", planned["name"]);
        let is_device = |device: &str| device.starts_with("Vulkan0") == is_gpu;
        buffers.deviations(&what, planned, is_device, compute_percent)
    };
    devices.iter().zip([true, false]).flat_map(of_device).collect()
}

#[tokio::test]
async fn load_that_runs_out_of_vram_continues_with_fewer_layers() {
    // The device refuses buffers of more than a megabyte, as if its memory were full.
    let variables = [
        ("GGML_VK_VISIBLE_DEVICES", OsStr::new("0")),
        ("GGML_VK_FORCE_MAX_BUFFER_SIZE", OsStr::new("1000000")),
    ];
    let args = ["--gpu-layers", "all", "--vram-reserve", "0MB"];
    let (_daemon, mut socket) = Daemon::start_with(&args, &variables).with_client().await;
    let hello = socket.next().await.unwrap().unwrap();
    let hello: Value = serde_json::from_str(hello.to_text().unwrap()).unwrap();
    assert_eq!((&hello["gpu_layers"], &hello["backend"]), (&0.into(), &"cpu".into()), "{hello}");
    send(&mut socket, json!({"op": "infer", "id": "1", "prompt": "Once", "max_tokens": 4})).await;
    assert!(read_until(&mut socket, is_op("end")).await.is_ok());
}
