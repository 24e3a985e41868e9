//! API keys of the daemon: the command that makes them, where they must not show up, and SIGHUP.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::json;

use crate::client::{endless_request, is_op, read_until, send};
#[cfg(target_os = "linux")]
use crate::process::until_logged;
use crate::process::{Daemon, command, unwrapped};
use crate::refusals::assert_refused;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Runs `key new NAME --file FILE` with more arguments.
fn new_key(name: &str, file: &Path, args: &[&str]) -> Output {
    let mut command = command();
    command.args(["key", "new", name, "--file"]).arg(file).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Makes a key and returns it.
fn made_key(name: &str, file: &Path) -> String {
    let output = new_key(name, file, &[]);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).trim().to_owned()
}

#[test]
fn new_key_is_printed_once_and_its_hash_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let args = ["--rights", "infer", "--limit-requests", "4", "--limit-bytes", "1MB"];
    let output = new_key("web", &file, &args);
    assert!(output.status.success(), "{output:?}");
    let key = text(&output.stdout);
    assert_eq!(key.lines().count(), 1, "{key}");
    assert!(key.starts_with("ic_"), "{key}");
    assert!(text(&output.stderr).contains("web was added"), "{output:?}");
    let written = fs::read_to_string(&file).unwrap();
    assert!(!written.contains(key.trim()), "{written}");
    for line in ["[keys.web]", "rights = [\"infer\"]", "limits = { requests = 4, bytes = 1048576 }"]
    {
        assert!(written.lines().any(|written| written == line), "{written}");
    }
    // Without a file, the table follows the key.
    let output = command().args(["key", "new", "app"]).output().unwrap();
    let printed = text(&output.stdout);
    assert!(printed.starts_with("ic_") && printed.contains("\n[keys.app]\nhash = "), "{printed}");
}

#[test]
fn key_command_with_a_mistake_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    made_key("web", &file);
    let path = file.to_str().unwrap();
    assert_refused(&["key", "new", "web", "--file", path], 64, &["web", "already"]);
    assert_refused(&["key", "new", "a b"], 64, &["\"a b\"", "letters"]);
    assert_refused(&["key", "new"], 64, &["NAME"]);
    assert_refused(&["key"], 64, &["key new NAME"]);
    assert_refused(&["key", "new", "app", "--rights", "root"], 64, &["root", "metrics"]);
    assert_refused(&["key", "new", "app", "--limit-requests", "0"], 64, &["--limit-requests", "1"]);
    assert_refused(&["--log", "info", "key", "new", "app"], 64, &["key must come first"]);
    let help = command().args(["key", "new", "--help"]).output().unwrap();
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("--rights"), "{help:?}");
}

#[test]
fn unusable_keys_are_refused_without_showing_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    fs::write(&file, "[keys.web]\nhash = \"ic_not_a_hash\"\nrights = []\n").unwrap();
    for (args, variables, words) in [
        (vec!["--api-key", "too-short"], vec![], vec!["--api-key", "16"]),
        (vec!["--api-key="], vec![], vec!["--api-key", "16"]),
        (vec![], vec![("INFERENCE_CORE_API_KEY", "with a space in it")], vec!["--api-key"]),
        (vec!["--api-key-file", file.to_str().unwrap()], vec![], vec!["keys.toml", "line 2"]),
        (vec!["--api-key-file", "/no/such/file"], vec![], vec!["/no/such/file"]),
    ] {
        let output = command().args(["--demo", "0"]).args(&args).envs(variables).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        for secret in ["too-short", "with a space", "ic_not_a_hash"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[tokio::test]
async fn key_of_the_environment_shows_up_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let variables = [("INFERENCE_CORE_API_KEY", OsStr::new(KEY))];
    let daemon = Daemon::start_with_log(&["--log", "trace", "--open-metrics"], &variables, &log);
    let mut socket = daemon.connect().await;
    let hello = read_until(&mut socket, is_op("hello")).await.unwrap();
    assert_eq!(hello["auth"], "required");
    send(&mut socket, json!({"op": "auth", "token": format!("{KEY}0")})).await;
    read_until(&mut socket, is_op("error")).await.unwrap();
    send(&mut socket, json!({"op": "auth", "token": KEY})).await;
    read_until(&mut socket, is_op("authenticated")).await.unwrap();
    send(&mut socket, json!({"op": "infer", "prompt": "Hi", "params": {"max_tokens": 2}})).await;
    read_until(&mut socket, is_op("end")).await.unwrap();
    daemon.connect_with_key(KEY).await;
    let page = daemon.page("/metrics").await;
    assert!(page.contains("key=\"api-key\""), "{page}");
    let log = until_logged(&log, "a client sent a wrong API key");
    assert!(log.contains("key=\"api-key\""), "{log}");
    for text in [page, log, hello.to_string()] {
        assert!(!text.contains(KEY), "{text}");
    }
    #[cfg(target_os = "linux")]
    {
        let runner = daemon.runner();
        for file in ["environ", "cmdline"] {
            let bytes = fs::read(format!("/proc/{runner}/{file}")).unwrap();
            assert!(!text(&bytes).contains(KEY), "{file}");
        }
    }
}

#[tokio::test]
async fn key_in_an_argument_gets_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let _daemon = Daemon::start_with_log(&["--api-key", KEY], &[], &log);
    let log = unwrapped(&until_logged(&log, "INFERENCE_CORE_API_KEY"));
    assert!(log.contains("other users see the key of --api-key"), "{log}");
    assert!(!log.contains(KEY), "{log}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sighup_revokes_a_key_and_keeps_all_if_the_file_is_broken() {
    if inference_core::daemon::is_hangup_ignored() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (file, log) = (folder.path().join("keys.toml"), folder.path().join("log"));
    let key = made_key("web", &file);
    let valid = fs::read_to_string(&file).unwrap();
    // A new session has no terminal.
    let variable = format!("INFERENCE_CORE_API_KEY_FILE={}", file.display());
    let daemon = Daemon::start_through(&["env", &variable, "setsid"], Stdio::null(), &log);
    let mut socket = daemon.connect().await;
    send(&mut socket, json!({"op": "auth", "token": key})).await;
    read_until(&mut socket, is_op("authenticated")).await.unwrap();
    fs::write(&file, valid.replace("rights", "right")).unwrap();
    daemon.signal("HUP");
    until_logged(&log, "cannot reload the API keys, what was loaded before stays in use");
    let mut request = endless_request();
    request["params"]["max_tokens"] = json!(3);
    send(&mut socket, request).await;
    read_until(&mut socket, is_op("end")).await.unwrap();
    fs::write(&file, "# no keys\n").unwrap();
    daemon.signal("HUP");
    let error = read_until(&mut socket, is_op("error")).await.unwrap();
    assert_eq!(error["code"], "unauthorized");
    assert_eq!(read_until(&mut socket, |_| false).await, Err(4401));
}
