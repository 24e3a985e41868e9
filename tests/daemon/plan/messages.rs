//! What the plan and the start screen tell the operator.

use std::fs;

use crate::fixture::{Shape, demo_path};
use crate::refusals::refusal;

use super::{plan, plan_json};

/// A build for GPUs may find one and prints other messages.
#[cfg(not(any(feature = "cuda", feature = "vulkan", feature = "rocm", feature = "metal")))]
#[test]
fn cpu_build_warns_of_gpu_options_without_effect() {
    use super::start_screen;

    let page = plan(&["--demo"]);
    for words in ["this is a CPU-only build", "--vram 3GB", "BUILD.md"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!plan(&["--demo", "--vram", "3GB"]).contains("BUILD.md"));
    for (args, words) in [
        (&["--gpu-layers", "all"][..], "warning: --gpu-layers all has no effect"),
        (&["--gpu-layers", "3"], "warning: --gpu-layers 3 has no effect"),
        (&["--vram-reserve", "1GB"], "warning: --vram-reserve has no effect"),
    ] {
        let screen = start_screen(args);
        assert!(screen.contains(words) && screen.contains("BUILD.md"), "{args:?}: {screen}");
    }
    for args in [&[][..], &["--gpu-layers", "0"], &["--gpu-layers", "auto"]] {
        let screen = start_screen(args);
        assert!(!screen.contains("warning"), "{args:?}: {screen}");
    }
}

#[test]
fn file_truncated_after_its_header_can_be_planned_but_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(demo_path()).unwrap();
    let cut = folder.path().join("cut.gguf");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let cut = cut.to_str().unwrap();
    let page = plan(&[cut, "--vram", "3GB"]);
    assert!(page.contains("the file is incomplete (1.6 of 3.1 MiB)"), "{page}");
    let devices = |page: &str| page[page.find("7 of 7 layers").unwrap()..].to_owned();
    let complete = plan(&["--demo", "--vram", "3GB"]);
    assert!(!complete.contains("incomplete"), "{complete}");
    assert_eq!(devices(&page), devices(&complete));
    let (code, error) = refusal(&[cut, "0"]);
    assert!(code == Some(65) && error.contains("truncated"), "{code:?}: {error}");
}

#[test]
fn split_model_with_a_truncated_part_can_be_planned_but_not_served() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = Shape { n_layers: 4, ..Shape::small("llama") }.gguf(1);
    let first = gguf.write_split(folder.path(), "split");
    let second = folder.path().join("split-00002-of-00002.gguf");
    let whole = fs::read(&second).unwrap();
    fs::write(&second, &whole[..whole.len() - 1]).unwrap();
    let first = first.to_str().unwrap();
    assert!(plan(&[first]).contains("the file is incomplete"));
    let (code, error) = refusal(&[first, "0"]);
    assert!(code == Some(65) && error.contains("split-00002"), "{code:?}: {error}");
}

#[test]
fn failed_plan_does_not_mention_serving() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.gguf");
    fs::write(&path, "Once upon a time").unwrap();
    let (code, error) = refusal(&["plan", path.to_str().unwrap()]);
    assert!(code == Some(65) && !error.contains("served"), "{code:?}: {error}");
}

#[test]
fn plan_for_an_imagined_gpu_lists_its_devices() {
    let page = plan(&["--demo", "--vram", "3GB"]);
    assert!(page.contains("7 of 7 layers on the GPU: everything fits"), "{page}");
    assert!(page.contains("GPU 0"), "{page}");
    let page = plan(&["--demo", "--vram", "100MB"]);
    assert!(page.contains("0 of 7 layers on the GPU"), "{page}");
}

#[test]
fn plan_names_small_changes_that_offload_more_layers() {
    let tight = ["--demo", "--vram-reserve", "0MB", "--vram", "175MB"];
    let page = plan(&tight);
    assert!(page.contains("of 7 layers on the GPU: more do not fit"), "{page}");
    for options in ["--parallel 2", "--kv-type q8_0"] {
        let advice = format!("with {options}, 7 of 7 layers fit on the GPU");
        assert!(page.lines().any(|line| line == advice), "{advice}: {page}");
    }
    assert_eq!(page.matches(" fit on the GPU").count(), 2, "{page}");
    for advised in [["--parallel", "2"], ["--kv-type", "q8_0"]] {
        let page = plan(&[&tight[..], &advised].concat());
        assert!(page.contains("7 of 7 layers on the GPU: everything fits"), "{page}");
        assert!(!page.contains(" fit on the GPU"), "{page}");
    }
}

#[test]
fn plan_says_by_how_much_a_gpu_exceeds_its_budget() {
    let tight = ["--demo", "--vram-reserve", "0MB", "--vram", "160MB", "--gpu-layers", "all"];
    let page = plan(&tight);
    assert!(page.contains("more than fit according to this plan"), "{page}");
    assert!(page.contains("GPU 0 exceeds its budget by 16.6 MiB"), "{page}");
    assert!(page.contains("with --gpu-layers auto, 1 of 7 layers fit on the GPU"), "{page}");
    assert_eq!(plan_json(&tight)["fits"], false);
    let fitting = plan_json(&["--demo", "--vram", "3GB"]);
    assert_eq!(fitting["fits"], true);
    assert_eq!(fitting["advice"].as_array().unwrap().len(), 0);
}

#[test]
fn plan_for_one_slot_uses_the_singular() {
    let page = plan(&["--demo", "--parallel", "1", "--vram", "3GB"]);
    assert!(page.contains(" · 1 slot · "), "{page}");
}
