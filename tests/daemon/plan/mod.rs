//! The memory plan: `plan` prints it, and the daemon loads a model by it.

mod cpu;
mod draft;
mod messages;
mod reported;
mod served;
mod shapes;
#[cfg(feature = "vulkan")]
mod vulkan;

use serde_json::Value;

use crate::process::{self, command};

/// The page that `plan` prints.
fn plan(args: &[&str]) -> String {
    let output = command().arg("plan").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The plan as JSON.
fn plan_json(args: &[&str]) -> Value {
    serde_json::from_str(&plan(&[args, &["--json"]].concat())).unwrap()
}

/// The lines that the daemon with the demo model prints until it is ready.
fn start_screen(args: &[&str]) -> String {
    let mut command = command();
    command.args(["--demo", "0", "--threads", "1"]).args(args);
    process::start_screen(command).1
}
