//! The daemon as a process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeWriter};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::Socket;

/// Limit of every wait, far above what a test needs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Arguments that serve the demo model on any free port.
const DEMO: [&str; 4] = ["--demo", "0", "--threads", "1"];

/// The daemon's program, without arguments.
pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_inference-core"))
}

/// The only child of a process.
pub fn child_of(pid: u32) -> u32 {
    let of_thread = |thread: std::path::PathBuf| std::fs::read_to_string(thread.join("children"));
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let all: String = threads.filter_map(|thread| of_thread(thread.ok()?.path()).ok()).collect();
    all.split_whitespace().next().expect("there is a child").parse().unwrap()
}

/// The log once it contains `words`. A thread of the daemon writes it, so lines can come late. It
/// is a file, because some tests read the whole log at the end.
pub fn until_logged(log: &Path, words: &str) -> String {
    let started = std::time::Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if text.contains(words) {
            return text;
        }
        assert!(started.elapsed() < DEADLINE, "{words:?} is not logged: {text}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a daemon until it is ready, and returns its start screen.
pub fn start_screen(daemon: Command) -> (Started, String) {
    start_until(daemon, |line| line.starts_with("ready"))
}

/// Runs a daemon until it prints a line that `is_last` accepts, and returns what it has printed.
pub fn start_until(mut daemon: Command, is_last: impl Fn(&str) -> bool) -> (Started, String) {
    let mut process = Started(daemon.stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut screen = String::new();
    for line in lines {
        screen += &format!("{line}\n");
        if is_last(&line) {
            break;
        }
    }
    (process, screen)
}

/// `text` on one line.
pub fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A daemon that has printed its start screen, killed on drop.
pub struct Started(std::process::Child);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A running daemon, killed on drop. Only a test with a tokio runtime can start one.
pub struct Daemon {
    process: Child,
    url: String,
}

impl Daemon {
    /// Serves the demo model, and waits until the daemon is ready.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// [`start`](Self::start) with additional environment variables.
    pub fn start_with(args: &[&str], variables: &[(&str, &OsStr)]) -> Self {
        let mut command = command();
        command.args(DEMO).args(args).envs(variables.iter().copied());
        Self::run(command)
    }

    /// [`start_with`](Self::start_with) and the log in the file at `log`.
    pub fn start_with_log(args: &[&str], variables: &[(&str, &OsStr)], log: &Path) -> Self {
        let mut command = command();
        command.args(DEMO).args(args).envs(variables.iter().copied());
        command.stderr(File::create(log).unwrap());
        Self::run(command)
    }

    /// [`start`](Self::start) by a command that runs the program which its last arguments name,
    /// such as `setsid`. It must not fork. The log is in the file at `log`.
    pub fn start_through(launcher: &[&str], stdin: Stdio, log: &Path) -> Self {
        let mut command = Command::new(launcher[0]);
        command.args(&launcher[1..]).arg(env!("CARGO_BIN_EXE_inference-core")).args(DEMO);
        command.args(["--log", "info"]).stdin(stdin).stderr(File::create(log).unwrap());
        Self::run(command)
    }

    /// Serves the demo model on `port`, with both outputs in `output`. Does not wait for anything.
    pub fn start_unread(port: u16, output: &PipeWriter) -> Self {
        let mut command = command();
        command.args(["--demo", &port.to_string(), "--threads", "1", "--log", "info"]);
        command.stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
        let process = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        Self { process, url: format!("ws://127.0.0.1:{port}") }
    }

    /// Serves the model at `model`.
    pub fn start_model(model: &Path, args: &[&str]) -> Self {
        let mut command = command();
        command.arg(model).args(["0", "--threads", "1"]).args(args);
        Self::run(command)
    }

    /// Serves the model at `model`, with debug messages and those of llama.cpp in the file at
    /// `log`.
    pub fn start_model_with_debug_log(model: &Path, args: &[&str], log: &Path) -> Self {
        let mut command = command();
        command
            .arg(model)
            .args(["0", "--threads", "1", "--log", "debug,llama_cpp=debug"])
            .args(args)
            .stderr(File::create(log).unwrap());
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        let stdout = process.stdout.take().unwrap().into_owned_fd().unwrap();
        let mut lines = BufReader::new(File::from(stdout)).lines();
        let mut url = None;
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                url.get_or_insert_with(|| address.to_owned());
            }
            if line.starts_with("ready") {
                break;
            }
        }
        Self { process, url: url.expect("the daemon prints its address") }
    }

    /// Sends the daemon a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().expect("the process has not been waited for").to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// The process id of the runner.
    pub fn runner(&self) -> u32 {
        child_of(self.process.id().expect("the process has not been waited for"))
    }

    /// Sends the runner a signal.
    pub fn signal_runner(&self, name: &str) {
        let pid = self.runner().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    pub async fn connect(&self) -> Socket {
        connect_async(&self.url).await.unwrap().0
    }

    /// Connects with an API key in the header.
    pub async fn connect_with_key(&self, key: &str) -> Socket {
        let mut request = self.url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {key}").parse().unwrap());
        connect_async(request).await.unwrap().0
    }

    /// Connects as soon as the daemon listens. Its output is not read, so only an attempt shows
    /// that.
    pub async fn connect_when_it_listens(&self) -> Socket {
        let connecting = async {
            loop {
                if let Ok((socket, _)) = connect_async(&self.url).await {
                    return socket;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, connecting).await.expect("the daemon listens in time")
    }

    /// A TCP connection on which nothing has been sent.
    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// The first address that the daemon listens on, with its port.
    pub fn address(&self) -> &str {
        self.url.split_once("://").expect("a URL has a scheme").1
    }

    /// The response to a request for the page at `path`.
    pub async fn page(&self, path: &str) -> String {
        let exchange = async {
            let mut stream = self.tcp().await;
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        };
        tokio::time::timeout(DEADLINE, exchange).await.expect("the page comes in time")
    }

    /// Whether a page of `origin` may open a WebSocket.
    pub async fn accepts_page(&self, origin: &str) -> bool {
        let mut request = self.url.as_str().into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        let opened = tokio::time::timeout(DEADLINE, connect_async(request)).await;
        opened.expect("the server answers in time").is_ok()
    }

    /// Connects a single client. The daemon is returned too, because dropping it kills the process.
    pub async fn with_client(self) -> (Self, Socket) {
        let socket = self.connect().await;
        (self, socket)
    }

    /// Waits for the end of the process and returns its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let end = tokio::time::timeout(DEADLINE, self.process.wait()).await;
        end.expect("the daemon ends in time").unwrap().code()
    }
}
