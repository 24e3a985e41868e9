//! What a plan and a server say of it, for people.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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
    for word in ["this build computes on the CPU only", "--vram 3GB", "BUILD.md"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!plan(&["--demo", "--vram", "3GB"]).contains("BUILD.md"));
    for (args, words) in [
        (&["--gpu-layers", "all"][..], "warning: --gpu-layers all changes nothing"),
        (&["--gpu-layers", "3"], "warning: --gpu-layers 3 changes nothing"),
        (&["--vram-reserve", "1GB"], "warning: --vram-reserve changes nothing"),
    ] {
        let said = start(args);
        assert!(said.contains(words) && said.contains("BUILD.md"), "{args:?}: {said}");
    }
    for args in [&[][..], &["--gpu-layers", "0"], &["--gpu-layers", "auto"]] {
        let said = start(args);
        assert!(!said.contains("warning"), "{args:?}: {said}");
    }
}
