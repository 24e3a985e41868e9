//! GPU metrics of the daemon, read through a fake NVML library.
//!
//! `tests/nvml/fake_nvml.rs` describes the lines that simulate GPUs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::metrics;
use crate::process::Daemon;

const COOL: &str = "temp=41 total=3072 used=300 power=12400 fan=30 util=0 throttle=1 own=0";

const INTERVAL: [&str; 2] = ["--metrics-interval", "100"];

/// A machine with simulated GPUs, which the test can change at any time.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(gpus: &str) -> Self {
        Self::with_library("libnvidia-ml.so.1", &[], gpus)
    }

    /// Builds the fake library under the file name `library`, with additional flags of `rustc`.
    fn with_library(library: &str, flags: &[&str], gpus: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml/fake_nvml.rs");
        let status = Command::new("rustc")
            .args(["--edition", "2024", "--crate-type", "cdylib", "-o"])
            .arg(machine.folder.path().join(library))
            .args(flags)
            .arg(source)
            .status()
            .unwrap();
        assert!(status.success(), "rustc built the fake library");
        machine.set(gpus);
        machine
    }

    /// Replaces all GPUs atomically, one per line.
    fn set(&self, gpus: &str) {
        let next = self.folder.path().join("next");
        fs::write(&next, gpus).unwrap();
        fs::rename(next, self.gpus()).unwrap();
    }

    /// The file that the fake library reads.
    fn gpus(&self) -> PathBuf {
        self.folder.path().join("gpus")
    }

    /// The daemon's log.
    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn daemon(&self, extra_variables: &[(&str, &str)]) -> Daemon {
        let gpus = self.gpus();
        let mut variables = self.variables(&gpus);
        variables.extend(extra_variables.iter().map(|&(name, value)| (name, OsStr::new(value))));
        Daemon::start_with(&INTERVAL, &variables)
    }

    fn daemon_with_log(&self) -> Daemon {
        Daemon::start_with_log(&INTERVAL, &self.variables(&self.gpus()), &self.log())
    }

    fn variables<'a>(&'a self, gpus: &'a Path) -> Vec<(&'a str, &'a OsStr)> {
        vec![
            ("LD_LIBRARY_PATH", self.folder.path().as_os_str()),
            ("FAKE_NVML_GPUS", gpus.as_os_str()),
        ]
    }
}

#[tokio::test]
async fn metrics_frame_has_every_field_of_a_gpu() {
    let machine = Machine::new(COOL);
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    let frame = metrics(&mut socket, |frame| !frame["gpu"].is_null()).await;
    assert_eq!(
        frame["gpu"],
        json!({
            "temp": 41, "vram_total_mb": 3072, "vram_used_mb": 300, "vram_free_mb": 2772,
            "power_watts": 12, "fan_percent": 30, "throttling": false,
        })
    );
    assert_eq!(
        frame["gpus"],
        json!([{
            "index": 0, "name": "NVIDIA GeForce GTX 1060 3GB", "uuid": "GPU-00000001-fake",
            "present": true, "in_use": false, "temp": 41, "vram_total_mb": 3072, "vram_used_mb": 300,
            "vram_free_mb": 2772, "power_watts": 12, "fan_percent": 30, "throttling": false,
            "utilization_percent": 0, "throttle_reasons": [], "process_vram_mb": 0,
        }])
    );
}

#[tokio::test]
async fn metrics_frame_follows_changes_of_a_gpu() {
    let machine = Machine::new(COOL);
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    metrics(&mut socket, |frame| frame["gpu"]["temp"] == 41).await;
    // Hardware slowdown (0x8) and thermal hardware slowdown (0x40).
    machine.set("temp=94 total=3072 used=2900 power=119600 fan=100 util=99 throttle=72 own=1850");
    let frame = metrics(&mut socket, |frame| frame["gpu"]["temp"] == 94).await;
    assert_eq!(frame["gpu"]["throttling"], true);
    assert_eq!(frame["gpu"]["vram_free_mb"], 172);
    assert_eq!(frame["gpu"]["power_watts"], 120);
    assert_eq!(frame["gpus"][0]["throttle_reasons"], json!(["hardware_thermal", "hardware"]));
    assert_eq!(frame["gpus"][0]["process_vram_mb"], 1850);
    assert_eq!(frame["gpus"][0]["utilization_percent"], 99);
}

#[tokio::test]
async fn value_that_gpu_or_driver_does_not_support_is_null() {
    let machine =
        Machine::with_library("libnvidia-ml.so", &["--cfg", "old_driver"], "temp=50 total=3072");
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    let frame = metrics(&mut socket, |frame| frame["gpu"]["temp"] == 50).await;
    for field in [
        "vram_total_mb",
        "vram_used_mb",
        "vram_free_mb",
        "power_watts",
        "fan_percent",
        "throttling",
    ] {
        assert_eq!(frame["gpu"].get(field), Some(&Value::Null), "{field}");
    }
    assert_eq!(frame["gpus"][0]["present"], true);
    assert_eq!(frame["gpus"][0]["process_vram_mb"], 0, "the older function was called");
}

#[tokio::test]
async fn driver_with_first_versions_only_reports_every_value() {
    let gpu = "temp=50 total=3072 used=300 power=12400 fan=30 util=7 throttle=8 own=250";
    let flags = ["--cfg", "first_versions"];
    let machine = Machine::with_library("libnvidia-ml.so.1", &flags, &format!("{gpu}\n{COOL}"));
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    let frame = metrics(&mut socket, |frame| frame["gpu"]["temp"] == 50).await;
    assert_eq!(
        frame["gpu"],
        json!({
            "temp": 50, "vram_total_mb": 3072, "vram_used_mb": 300, "vram_free_mb": 2772,
            "power_watts": 12, "fan_percent": 30, "throttling": true,
        })
    );
    assert_eq!(frame["gpus"][0]["throttle_reasons"], json!(["hardware"]));
    assert_eq!(frame["gpus"][0]["process_vram_mb"], 250);
    assert_eq!(frame["gpus"][1]["temp"], 41, "the second GPU is found by its bus id");
}

#[tokio::test]
async fn gpus_without_bus_id_are_reported() {
    let warm = COOL.replace("temp=41", "temp=77");
    let machine = Machine::new(&format!("{COOL} bus=none name=Orin\n{warm} bus=none"));
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    let frame = metrics(&mut socket, |frame| frame["gpus"][1]["present"] == true).await;
    assert_eq!((&frame["gpus"][0]["temp"], &frame["gpus"][1]["temp"]), (&json!(41), &json!(77)));
    assert_eq!(frame["gpus"][0]["name"], "Orin");
}

#[tokio::test]
async fn lost_gpu_is_absent_until_it_returns() {
    let machine = Machine::new(&format!("{COOL}\n{COOL}"));
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    metrics(&mut socket, |frame| frame["gpus"][0]["present"] == true).await;
    machine.set(&format!("{COOL} lost=1\n{COOL}"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][0]["present"] == false).await;
    assert_eq!(frame["gpu"]["temp"], Value::Null);
    assert_eq!(frame["gpus"][0]["uuid"], "GPU-00000001-fake");
    assert_eq!(frame["gpus"][1]["temp"], 41, "the other GPU is not affected");
    machine.set("");
    metrics(&mut socket, |frame| frame["gpus"][1]["present"] == false).await;
    machine.set(&format!("{COOL}\n{COOL}"));
    metrics(&mut socket, |frame| {
        frame["gpus"][0]["temp"] == 41 && frame["gpus"][1]["present"] == true
    })
    .await;
}

#[tokio::test]
async fn only_visible_gpus_are_reported_in_the_given_order() {
    let machine = Machine::new(&format!("{COOL}\n{COOL}\n{COOL}"));
    let visible = [("CUDA_VISIBLE_DEVICES", "GPU-00000003,0")];
    let (_daemon, mut socket) = machine.daemon(&visible).with_client().await;
    let frame = metrics(&mut socket, |frame| !frame["gpu"].is_null()).await;
    let indices: Vec<_> =
        frame["gpus"].as_array().unwrap().iter().map(|gpu| &gpu["index"]).collect();
    assert_eq!(indices, [2, 0]);
}

#[tokio::test]
async fn hanging_gpu_does_not_affect_others() {
    let machine = Machine::new(&format!("{COOL}\n{COOL}"));
    let (mut daemon, mut socket) = machine.daemon_with_log().with_client().await;
    metrics(&mut socket, |frame| frame["gpus"][0]["present"] == true).await;
    let warm = COOL.replace("temp=41", "temp=77");
    let path = machine.folder.path().join("lock");
    let lock = fs::File::create(&path).unwrap();
    lock.lock().unwrap();
    let hang = format!("hang={}", path.display());
    machine.set(&format!("{COOL} {hang}\n{warm}"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][0]["present"] == false).await;
    assert_eq!((&frame["gpu"]["temp"], &frame["gpus"][1]["temp"]), (&Value::Null, &json!(77)));
    // A lost GPU makes the daemon restart NVML. The restart must not wait for the hanging GPU.
    machine.set(&format!("{COOL} {hang}\n{COOL} lost=1"));
    metrics(&mut socket, |frame| frame["gpus"][1]["present"] == false).await;
    machine.set(&format!("{COOL} {hang}\n{COOL}"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][1]["temp"] == 41).await;
    assert_eq!(frame["gpus"][0]["present"], false);
    machine.set(&format!("{warm}\n{COOL}"));
    lock.unlock().unwrap();
    metrics(&mut socket, |frame| frame["gpus"][0]["temp"] == 77).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(0));
    let log = fs::read_to_string(machine.log()).unwrap();
    for warning in ["the driver hangs while reading a GPU", "the driver answers for a GPU again"] {
        assert_eq!(log.matches(warning).count(), 1, "{warning}: {log}");
    }
}

#[tokio::test]
async fn replaced_gpu_is_reported_with_its_own_name_and_uuid() {
    let machine = Machine::new(&format!("{COOL} uuid=GPU-a name=old"));
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    metrics(&mut socket, |frame| frame["gpus"][0]["uuid"] == "GPU-a").await;
    machine.set("");
    metrics(&mut socket, |frame| frame["gpus"][0]["present"] == false).await;
    machine.set(&format!("{COOL} uuid=GPU-b name=new"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][0]["present"] == true).await;
    assert_eq!(
        (&frame["gpus"][0]["uuid"], &frame["gpus"][0]["name"]),
        (&json!("GPU-b"), &json!("new"))
    );
}

#[tokio::test]
async fn gpus_with_the_same_bus_id_are_reported_separately() {
    let warm = COOL.replace("temp=41", "temp=77");
    let bus = "bus=00000000:01:00.0";
    let machine = Machine::new(&format!("{COOL} {bus}\n{warm} {bus}"));
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    let frame = metrics(&mut socket, |frame| frame["gpus"][1]["present"] == true).await;
    assert_eq!((&frame["gpus"][0]["temp"], &frame["gpus"][1]["temp"]), (&json!(41), &json!(77)));
}

#[tokio::test]
async fn failing_driver_means_no_gpus_until_it_starts() {
    let machine = Machine::new("");
    let (_daemon, mut socket) = machine.daemon(&[]).with_client().await;
    let frame = metrics(&mut socket, |frame| frame["inference"]["uptime_s"] != 0).await;
    assert_eq!((&frame["gpu"], &frame["gpus"]), (&Value::Null, &json!([])));
    machine.set(COOL);
    metrics(&mut socket, |frame| frame["gpu"]["temp"] == 41).await;
}

/// A build for GPUs may use an NVIDIA GPU.
#[cfg(not(any(feature = "cuda", feature = "vulkan", feature = "rocm", feature = "metal")))]
#[test]
fn cpu_build_names_the_gpu_that_it_does_not_use() {
    use crate::process::{start_until, unwrapped};

    let machine = Machine::new(&format!("{COOL} name=Fermi-1\n{COOL} name=Fermi-2"));
    let gpus = machine.gpus();
    let mut daemon = crate::process::command();
    daemon.args(["--demo", "0", "--threads", "1"]).args(INTERVAL).envs(machine.variables(&gpus));
    // The driver may answer after the model is loaded.
    let (_daemon, screen) = start_until(daemon, |line| line.contains("FEATURES=cuda"));
    let warning = unwrapped(screen.split("warning: ").nth(1).unwrap());
    assert!(warning.contains("does not use the Fermi-1 and the Fermi-2"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
}
