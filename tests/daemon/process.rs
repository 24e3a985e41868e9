//! The daemon as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Child;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than any test needs, so that a hang is a failure and not a wait for ever.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Runs it with arguments that it refuses: its exit code and what it says.
pub fn failure(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_inference-core")).args(args).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A running daemon; it is killed with the test. To be started in a test with a runtime.
pub struct Daemon {
    process: Child,
    pub url: String,
}

impl Daemon {
    /// Starts it on the demo model and any free port, and waits until it is ready.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(args: &[&str], environment: &[(&str, &OsStr)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inference-core"));
        command
            .args(["--demo", "0", "--threads", "1"])
            .args(args)
            .envs(environment.iter().copied());
        Self::run(command)
    }

    /// The same with what it logs in the file `log`.
    pub fn start_with_log(args: &[&str], environment: &[(&str, &OsStr)], log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inference-core"));
        command
            .args(["--demo", "0", "--threads", "1"])
            .args(args)
            .envs(environment.iter().copied())
            .stderr(File::create(log).unwrap());
        Self::run(command)
    }

    /// Starts it on the model of that path.
    pub fn serving(model: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inference-core"));
        command.arg(model).args(["0", "--threads", "1"]).args(args);
        Self::run(command)
    }

    /// Starts it on the model of that path, with all that llama.cpp logs in the file `log`.
    pub fn logging(model: &str, args: &[&str], log: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inference-core"));
        command
            .args([model, "0", "--threads", "1", "--log", "debug,llama_cpp=debug"])
            .args(args)
            .stderr(File::create(log).unwrap());
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let output = process.stdout.take().unwrap().into_owned_fd().unwrap();
        let mut lines = BufReader::new(File::from(output)).lines();
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                url = Some(address.to_owned());
            }
            if line.starts_with("ready") {
                break;
            }
        }
        Self { process, url: url.expect("the daemon says where it listens") }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id().expect("nobody has waited for it")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub async fn connect(&self) -> Socket {
        connect_async(&self.url).await.unwrap().0
    }

    /// Itself, to be kept, and a connection to it.
    pub async fn connect_once(self) -> (Self, Socket) {
        let socket = self.connect().await;
        (self, socket)
    }

    /// Waits for the end; the exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let end = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        end.expect("the daemon ends").unwrap().code()
    }
}
