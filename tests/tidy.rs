//! The architecture, as a test: which room may name which, and which names live where.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may name. `docs/ARCHITECTURE.md` explains the table.
const ARROWS: [(&str, &[&str]); 12] = [
    ("domain", &[]),
    ("build_info", &[]),
    ("engine", &["domain"]),
    ("protocol", &["domain"]),
    ("scripted", &["domain", "engine"]),
    ("llama", &["domain", "engine"]),
    ("watchdog", &["engine"]),
    ("gpu", &["domain"]),
    ("server", &["domain", "engine", "protocol", "watchdog"]),
    ("cli", &["server", "domain"]),
    ("daemon", &["build_info", "cli", "domain", "engine", "gpu", "llama", "server", "watchdog"]),
    ("main", &["cli", "daemon"]),
];

/// Names of libraries, and the rooms that may use them.
const LIBRARIES: [(&str, &[&str]); 16] = [
    ("llama_cpp_2", &["llama"]),
    ("llama_cpp_sys_2", &["llama"]),
    ("minijinja", &["llama"]),
    ("jiff", &["llama"]),
    ("libc", &["llama"]),
    ("sysinfo", &["llama"]),
    ("nvml_wrapper", &["gpu"]),
    ("prometheus_client", &["server"]),
    ("serde", &["protocol", "daemon"]),
    ("serde_json", &["protocol", "daemon"]),
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("tokio_tungstenite", &["server", "protocol"]),
    ("clap", &["cli"]),
    ("indicatif", &["daemon"]),
    ("anyhow", &["daemon", "main"]),
];

/// Longest file. What is longer has two reasons to change.
const MAX_LINES: usize = 400;

struct File {
    path: PathBuf,
    room: String,
    text: String,
}

impl File {
    /// The lines that are code, as far as a test needs to know.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

fn files() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&src).unwrap();
                let first = inside.components().next().unwrap().as_os_str();
                let room = first.to_string_lossy().trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).unwrap();
                found.push(File { path, room, text });
            }
        }
    }
    assert!(found.len() > 30, "the source is somewhere else");
    found
}

/// The words of `line` that follow `crate::` or `inference_core::`.
fn paths(line: &str) -> impl Iterator<Item = Vec<&str>> {
    ["crate::", "inference_core::"].into_iter().flat_map(move |root| {
        line.split(root).skip(1).map(|rest| {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            rest[..end.unwrap_or(rest.len())].split("::").collect()
        })
    })
}

/// [`paths`] sees the rooms of none of these.
#[test]
fn rooms_are_not_named_in_groups() {
    for file in files() {
        let groups = ["crate::{", "inference_core::{"];
        let is_group = file.code().any(|line| groups.iter().any(|group| line.contains(group)));
        assert!(!is_group, "{}: name one room a line", file.path.display());
    }
}

#[test]
fn the_documentation_has_the_same_table() {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md"))
            .unwrap();
    let (_, table) = page.split_once("| room | holds | names |\n|---|---|---|\n").unwrap();
    let mut written: Vec<(&str, Vec<&str>)> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let names = cells[3].split(", ").filter(|name| !name.is_empty()).collect();
            (cells[1].trim_matches('`'), names)
        })
        .collect();
    let mut kept = ARROWS.map(|(room, names)| (room, names.to_vec()));
    written.sort_unstable();
    kept.sort_unstable();
    assert_eq!(written, kept);
}

#[test]
fn arrows_between_rooms_point_down_only() {
    let arrows: BTreeMap<_, _> = ARROWS.into_iter().collect();
    for file in files().iter().filter(|file| file.room != "lib") {
        let allowed = arrows
            .get(file.room.as_str())
            .unwrap_or_else(|| panic!("{} is in no known room", file.path.display()));
        for line in file.code() {
            for path in paths(line) {
                let room = path[0];
                let is_known = arrows.contains_key(room);
                // Every room may be tested on the paper model.
                let is_test = room == "scripted" && file.path.ends_with("tests.rs");
                let is_allowed =
                    room == file.room || !is_known || allowed.contains(&room) || is_test;
                assert!(is_allowed, "{}: {} may not name {room}", file.path.display(), file.room);
            }
        }
    }
}

#[test]
fn a_room_is_entered_by_its_door() {
    for file in files() {
        for line in file.code() {
            for path in paths(line).filter(|path| path[0] != file.room && path.len() > 2) {
                let behind = path[1];
                let is_module = behind.starts_with(|c: char| c.is_ascii_lowercase());
                assert!(!is_module, "{}: {}", file.path.display(), path.join("::"));
            }
        }
    }
}

#[test]
fn libraries_stay_in_their_rooms() {
    for file in files() {
        for (library, rooms) in LIBRARIES {
            let names_it = file.code().any(|line| {
                line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .zip(line.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_')))
                    .any(|(word, _)| word == library)
                    && (line.contains(&format!("{library}::"))
                        || line.contains(&format!("use {library}")))
            });
            let may = rooms.contains(&file.room.as_str());
            assert!(!names_it || may, "{} names {library}", file.path.display());
        }
    }
}

#[test]
fn unsafe_code_lives_in_the_llama_room_and_gives_its_reason() {
    for file in files() {
        let lines: Vec<&str> = file.text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let is_unsafe = line.split_whitespace().any(|word| word.starts_with("unsafe"))
                && !line.trim_start().starts_with("//")
                && !line.contains("extern \"C\"");
            if !is_unsafe {
                continue;
            }
            let place = format!("{}:{}", file.path.display(), i + 1);
            assert_eq!(file.room, "llama", "{place}");
            let has_reason = lines[i.saturating_sub(6)..i].iter().any(|l| l.contains("SAFETY:"));
            assert!(has_reason, "{place} does not say why it is sound");
        }
    }
}

#[test]
fn every_file_is_short_and_says_what_it_is() {
    for file in files() {
        let n = file.text.lines().count();
        assert!(n <= MAX_LINES, "{} has {n} lines", file.path.display());
        assert!(file.text.starts_with("//!"), "{} has no header", file.path.display());
    }
}

#[test]
fn nothing_is_unbounded_and_no_thread_sleeps() {
    for file in files() {
        // A channel without a bound is a leak under load; a sleep is neither a deadline nor a
        // cancellation; the macros are panics that wait for a user.
        for word in
            ["unbounded_channel", "mpsc::channel()", "thread::sleep", "todo!", "unimplemented!"]
        {
            assert!(!file.text.contains(word), "{}: {word}", file.path.display());
        }
    }
}
