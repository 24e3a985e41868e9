//! Graphics cards as clients see them, on a library that plays the driver's.
//!
//! `tests/nvml/stand_in.rs` says what a line of a scene means.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::process::{DEADLINE, Daemon, Socket};

const COOL: &str = "temp=41 total=3072 used=300 power=12400 fan=30 util=0 throttle=1 own=0";

const INTERVAL: [&str; 2] = ["--metrics-interval", "100"];

/// A machine whose cards a test can move.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new(cards: &str) -> Self {
        Self::with("libnvidia-ml.so.1", &[], cards)
    }

    fn with(library: &str, flags: &[&str], cards: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nvml/stand_in.rs");
        let built = Command::new("rustc")
            .args(["--edition", "2024", "--crate-type", "cdylib", "-o"])
            .arg(machine.folder.path().join(library))
            .args(flags)
            .arg(source)
            .status()
            .unwrap();
        assert!(built.success(), "the stand-in library builds");
        machine.set(cards);
        machine
    }

    /// Changes what the cards say, at once and as a whole.
    fn set(&self, cards: &str) {
        let draft = self.folder.path().join("draft");
        fs::write(&draft, cards).unwrap();
        fs::rename(draft, self.scene()).unwrap();
    }

    fn scene(&self) -> PathBuf {
        self.folder.path().join("scene")
    }

    /// What the daemon logs.
    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn daemon(&self, environment: &[(&str, &str)]) -> Daemon {
        let scene = self.scene();
        let mut variables = self.variables(&scene);
        variables.extend(environment.iter().map(|&(name, value)| (name, OsStr::new(value))));
        Daemon::start_with(&INTERVAL, &variables)
    }

    fn daemon_with_log(&self) -> Daemon {
        Daemon::start_with_log(&INTERVAL, &self.variables(&self.scene()), &self.log())
    }

    fn variables<'a>(&'a self, scene: &'a Path) -> Vec<(&'a str, &'a OsStr)> {
        vec![
            ("LD_LIBRARY_PATH", self.folder.path().as_os_str()),
            ("NVML_STAND_IN", scene.as_os_str()),
        ]
    }
}

/// The first metrics frame that `fits`.
async fn metrics(socket: &mut Socket, fits: impl Fn(&Value) -> bool) -> Value {
    let search = async {
        loop {
            let message = socket.next().await.unwrap().unwrap();
            let Ok(text) = message.to_text() else { continue };
            let Ok(frame) = serde_json::from_str::<Value>(text) else { continue };
            if frame["op"] == "metrics" && fits(&frame) {
                return frame;
            }
        }
    };
    timeout(DEADLINE, search).await.expect("such metrics come")
}

#[tokio::test]
async fn a_card_is_shown_as_the_contract_says() {
    let machine = Machine::new(COOL);
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
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
            "index": 0, "name": "NVIDIA GeForce GTX 1060 3GB", "uuid": "GPU-00000001-stand-in",
            "present": true, "temp": 41, "vram_total_mb": 3072, "vram_used_mb": 300,
            "vram_free_mb": 2772, "power_watts": 12, "fan_percent": 30, "throttling": false,
            "utilization_percent": 0, "throttle_reasons": [], "process_vram_mb": 0,
        }])
    );
}

#[tokio::test]
async fn heat_throttling_and_other_programs_show_as_they_come() {
    let machine = Machine::new(COOL);
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
    metrics(&mut socket, |frame| frame["gpu"]["temp"] == 41).await;
    // Hardware slowdown (0x8) and its thermal kind (0x40).
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
async fn what_a_card_or_driver_lacks_is_null() {
    let machine = Machine::with("libnvidia-ml.so", &["--cfg", "old_driver"], "temp=50 total=3072");
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
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
    assert_eq!(frame["gpus"][0]["process_vram_mb"], 0, "the older function was asked");
}

#[tokio::test]
async fn a_card_that_falls_off_the_bus_is_gone_and_comes_back() {
    let machine = Machine::new(&format!("{COOL}\n{COOL}"));
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
    metrics(&mut socket, |frame| frame["gpus"][0]["present"] == true).await;
    machine.set(&format!("{COOL} lost=1\n{COOL}"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][0]["present"] == false).await;
    assert_eq!(frame["gpu"]["temp"], Value::Null);
    assert_eq!(frame["gpus"][0]["uuid"], "GPU-00000001-stand-in");
    assert_eq!(frame["gpus"][1]["temp"], 41, "the other card is not concerned");
    machine.set("");
    metrics(&mut socket, |frame| frame["gpus"][1]["present"] == false).await;
    machine.set(&format!("{COOL}\n{COOL}"));
    metrics(&mut socket, |frame| {
        frame["gpus"][0]["temp"] == 41 && frame["gpus"][1]["present"] == true
    })
    .await;
}

#[tokio::test]
async fn only_the_visible_cards_are_watched_in_their_order() {
    let machine = Machine::new(&format!("{COOL}\n{COOL}\n{COOL}"));
    let visible = [("CUDA_VISIBLE_DEVICES", "GPU-00000003,0")];
    let (_daemon, mut socket) = machine.daemon(&visible).connect_once().await;
    let frame = metrics(&mut socket, |frame| !frame["gpu"].is_null()).await;
    let indices: Vec<_> =
        frame["gpus"].as_array().unwrap().iter().map(|gpu| &gpu["index"]).collect();
    assert_eq!(indices, [2, 0]);
}

#[tokio::test]
async fn a_card_that_hangs_takes_no_other_with_it() {
    let machine = Machine::new(&format!("{COOL}\n{COOL}"));
    let (_daemon, mut socket) = machine.daemon_with_log().connect_once().await;
    metrics(&mut socket, |frame| frame["gpus"][0]["present"] == true).await;
    let warm = COOL.replace("temp=41", "temp=77");
    let path = machine.folder.path().join("gate");
    let gate = fs::File::create(&path).unwrap();
    gate.lock().unwrap();
    let hang = format!("hang={}", path.display());
    machine.set(&format!("{COOL} {hang}\n{warm}"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][0]["present"] == false).await;
    assert_eq!((&frame["gpu"]["temp"], &frame["gpus"][1]["temp"]), (&Value::Null, &json!(77)));
    // One that is lost meanwhile wants the driver started anew, and must not wait for that.
    machine.set(&format!("{COOL} {hang}\n{COOL} lost=1"));
    metrics(&mut socket, |frame| frame["gpus"][1]["present"] == false).await;
    machine.set(&format!("{COOL} {hang}\n{COOL}"));
    let frame = metrics(&mut socket, |frame| frame["gpus"][1]["temp"] == 41).await;
    assert_eq!(frame["gpus"][0]["present"], false);
    machine.set(&format!("{warm}\n{COOL}"));
    gate.unlock().unwrap();
    metrics(&mut socket, |frame| frame["gpus"][0]["temp"] == 77).await;
    let log = fs::read_to_string(machine.log()).unwrap();
    for warning in ["the driver hangs while reading a GPU", "the driver answers for a GPU again"] {
        assert_eq!(log.matches(warning).count(), 1, "{warning}: {log}");
    }
}

#[tokio::test]
async fn another_card_in_the_same_place_is_called_by_its_own_name() {
    let machine = Machine::new(&format!("{COOL} uuid=GPU-a name=old"));
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
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
async fn cards_with_one_bus_id_are_told_apart() {
    let warm = COOL.replace("temp=41", "temp=77");
    let bus = "bus=00000000:01:00.0";
    let machine = Machine::new(&format!("{COOL} {bus}\n{warm} {bus}"));
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
    let frame = metrics(&mut socket, |frame| frame["gpus"][1]["present"] == true).await;
    assert_eq!((&frame["gpus"][0]["temp"], &frame["gpus"][1]["temp"]), (&json!(41), &json!(77)));
}

#[tokio::test]
async fn a_driver_that_does_not_start_is_as_good_as_none_until_it_does() {
    let machine = Machine::new("");
    let (_daemon, mut socket) = machine.daemon(&[]).connect_once().await;
    let frame = metrics(&mut socket, |frame| frame["inference"]["uptime_s"] != 0).await;
    assert_eq!((&frame["gpu"], &frame["gpus"]), (&Value::Null, &json!([])));
    machine.set(COOL);
    metrics(&mut socket, |frame| frame["gpu"]["temp"] == 41).await;
}
