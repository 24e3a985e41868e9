//! What the plan and the start screen tell the operator.

use std::fs;

use console::measure_text_width;
use serde_json::Value;

use crate::fixture::{Experts, Gguf, Shape, demo_path};
use crate::process::{self, command, unwrapped};
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

/// A plan without a reserve for one GPU with this much free memory.
fn without_reserve<'a>(vram: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["--demo", "--vram-reserve", "0MB", "--vram", vram], args].concat()
}

#[test]
fn plan_names_changes_that_offload_everything() {
    let tight = without_reserve("175MB", &[]);
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
fn plan_suggests_no_change_that_offloads_few_layers() {
    for mib in (120..=180).step_by(2) {
        let vram = format!("{mib}MB");
        for args in [&[][..], &["--gpu-layers", "all"]] {
            let json = plan_json(&without_reserve(&vram, args));
            let now = match json["fits"].as_bool().unwrap() {
                true => json["gpu_layers"].as_u64().unwrap(),
                false => 0,
            };
            for line in json["advice"].as_array().unwrap() {
                let line = line.as_str().unwrap();
                let Some((before, _)) = line.split_once(" of 7 layers fit") else { continue };
                let n: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
                assert!(n == 7 || n >= now + 2, "{vram} {args:?}: {line}, and now {now}");
            }
        }
    }
}

#[test]
fn plan_says_how_much_vram_is_needed_if_no_change_is_enough() {
    let page = plan(&without_reserve("100MB", &[]));
    let needed = page.lines().find(|line| line.starts_with("all 7 layers need ")).unwrap();
    let size = needed.split(' ').nth(4).unwrap();
    // The size is rounded to a tenth.
    let enough = format!("{}MB", size.parse::<f64>().unwrap() + 0.1);
    let page = plan(&without_reserve(&enough, &[]));
    assert!(page.contains("7 of 7 layers on the GPU: everything fits"), "{enough}: {page}");
}

#[test]
fn reserve_is_named_if_it_is_in_the_way() {
    for vram in ["300MB", "600MB"] {
        let page = plan(&["--demo", "--vram", vram]);
        let page_text = unwrapped(&page);
        let advice = format!(
            "--vram-reserve leaves 500.0 MiB of each GPU unused ({}.0 MiB free): with \
             --vram-reserve 0MB, 7 of 7 layers fit on the GPU",
            vram.trim_end_matches("MB")
        );
        assert!(page_text.contains(&advice), "{page}");
        let page = plan(&["--demo", "--vram", vram, "--vram-reserve", "0MB"]);
        assert!(page.contains("7 of 7 layers on the GPU: everything fits"), "{page}");
    }
    let page = plan(&["--demo", "--vram", "3GB"]);
    assert!(!page.contains("--vram-reserve"), "{page}");
    // Too small with and without the reserve.
    let page = plan(&["--demo", "--vram", "100MB"]);
    assert!(!page.contains("--vram-reserve"), "{page}");
}

#[test]
fn plan_says_by_how_much_a_gpu_exceeds_its_budget() {
    let tight = without_reserve("160MB", &["--gpu-layers", "all"]);
    let page = plan(&tight);
    let page_text = unwrapped(&page);
    assert!(page_text.contains("more than fit according to this plan"), "{page}");
    assert!(page.contains("GPU 0 exceeds its budget by 16.6 MiB"), "{page}");
    assert!(page.contains("too few layers fit to make it faster: use --gpu-layers 0"), "{page}");
    assert_eq!(plan_json(&tight)["fits"], false);
    let page = plan(&without_reserve("172MB", &["--gpu-layers", "all"]));
    assert!(page.contains("with --gpu-layers auto, "), "{page}");
    let fitting = plan_json(&["--demo", "--vram", "3GB"]);
    assert_eq!(fitting["fits"], true);
    assert_eq!(fitting["advice"].as_array().unwrap().len(), 0);
}

#[test]
fn weights_have_one_size_in_plan_and_start_screen() {
    let json = plan_json(&["--demo"]);
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let size = mib(json["weights_bytes"].as_u64().unwrap());
    assert!(super::start_screen(&[]).contains(&format!(" · {size}\n")), "{size}");
    assert!(plan(&["--demo"]).contains(&format!(" · {size} of weights\n")), "{size}");
    for args in [&["--demo"][..], &["--demo", "--vram", "3GB"], &["--demo", "--vram", "660MB"]] {
        let json = plan_json(args);
        let of = |row: &Value, part: &str| row[part].as_u64().unwrap();
        let places = json["places"].as_array().unwrap().iter();
        let sum: u64 = places.map(|row| of(row, "weights") - of(row, "copies")).sum();
        assert_eq!(sum, json["weights_bytes"].as_u64().unwrap(), "{args:?}: {json}");
    }
}

#[test]
fn cache_ram_beyond_the_free_memory_is_a_warning() {
    let page = plan(&["--demo", "--cache-ram", "16TB"]);
    assert!(page.contains("warning: --cache-ram of 16384.0 GiB is more than the "), "{page}");
    let page = plan(&["--demo", "--cache-ram", "1MB"]);
    assert!(!page.contains("warning"), "{page}");
}

#[test]
fn start_screen_fits_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["words ".repeat(40), "x".repeat(300), "\u{6a21}".repeat(60)] {
        let mut gguf = Gguf::random("llama", 1);
        gguf.set_string("general.name", &name);
        let model = gguf.write(folder.path(), "model.gguf");
        let mut daemon = command();
        daemon.arg(&model).args(["0", "--threads", "1", "--draft"]).arg(&model);
        daemon.args(["--flash-attn", "off", "--speculative", "off", "--gpu-layers", "all"]);
        let (_daemon, screen) = process::start_screen(daemon);
        for line in screen.lines() {
            assert!(measure_text_width(line) <= 80, "{line}");
        }
    }
}

#[test]
fn page_fits_80_columns() {
    let folder = tempfile::tempdir().unwrap();
    let mut gguf = Gguf::random("llama", 1);
    gguf.set_string("general.name", &"A model whose name says everything ".repeat(8));
    let model = gguf.write(folder.path(), "model.gguf");
    let experts = Experts { n: 8, n_used: 2, n_ff: 64 };
    let mut mixture = Shape { experts: Some(experts), ..Shape::small("qwen2moe") }.gguf(1);
    mixture.set_string("general.name", &"\u{6a21}\u{578b}".repeat(60));
    let mixture = mixture.write(folder.path(), "mixture.gguf");
    for model in [model.to_str().unwrap(), mixture.to_str().unwrap(), "--demo"] {
        for args in [
            &[][..],
            &["--vram", "3GB,8GB,1TB"],
            &["--vram", "600MB"],
            &["--vram", "670MB", "--gpu-layers", "all"],
            &["--vram", "152MB,153MB", "--vram-reserve", "0MB"],
            &["--parallel", "64", "--kv-size", "1048576", "--vram", "1GB"],
            &["--flash-attn", "off", "--draft", demo_path().to_str().unwrap()],
        ] {
            // Draft models need the same vocabulary, which these have.
            for line in plan(&[&[model], args].concat()).lines() {
                assert!(measure_text_width(line) <= 80, "{model} {args:?}: {line}");
            }
        }
    }
}

#[test]
fn plan_for_one_slot_uses_the_singular() {
    let page = plan(&["--demo", "--parallel", "1", "--vram", "3GB"]);
    assert!(page.contains(" · 1 slot · "), "{page}");
}
