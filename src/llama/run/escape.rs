//! Attempts to leave the sandbox, for a test of it. Only in debug builds.
//!
//! Each attempt is what a model file could do that has taken over llama.cpp. It is logged as
//! `escape: NAME: RESULT`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::Command;
use std::thread;

/// A name, and what is attempted.
type EscapeAttempt = (&'static str, fn() -> io::Result<()>);

/// Makes all attempts and logs their results.
pub(super) fn attempt_all() {
    for (name, attempt) in ATTEMPTS {
        // On a thread of its own, because a tracer stays one until it ends.
        let thread = thread::Builder::new().name("escape".to_owned()).spawn(attempt);
        match thread.map(thread::JoinHandle::join) {
            Ok(Ok(Ok(()))) => tracing::warn!("escape: {name}: succeeded"),
            Ok(Ok(Err(error))) | Err(error) => tracing::warn!("escape: {name}: {error}"),
            Ok(Err(_)) => tracing::warn!("escape: {name}: panicked"),
        }
    }
    tracing::warn!("escape: done");
}

const ATTEMPTS: [EscapeAttempt; 21] = [
    ("read a file", || read("/etc/passwd")),
    ("list a folder", || fs::read_dir("/").map(drop)),
    ("write a file", || {
        let path = std::env::temp_dir().join(format!("escape-{}", std::process::id()));
        File::create(&path)?.write_all(b"x")?;
        fs::remove_file(path)
    }),
    ("write in the home folder", || {
        let path = Path::new(&home()).join(format!(".escape-{}", std::process::id()));
        File::create(&path)?.write_all(b"x")?;
        fs::remove_file(path)
    }),
    ("make a link", || {
        let path = std::env::temp_dir().join(format!("escape-link-{}", std::process::id()));
        symlink("/etc/passwd", &path)?;
        fs::remove_file(path)
    }),
    ("change a mode", || fs::set_permissions(home(), fs::metadata(home())?.permissions())),
    ("connect to a port", || {
        // A port without a listener refuses, which shows that the attempt left the process.
        match TcpStream::connect("127.0.0.1:9") {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            result => result.map(drop),
        }
    }),
    ("listen on a port", || TcpListener::bind("127.0.0.1:0").map(drop)),
    ("send a datagram", || UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", "127.0.0.1:9").map(drop)),
    ("connect to a local socket", || match UnixStream::connect("/no/such/socket") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map(drop),
    }),
    ("run a program", || Command::new("/bin/sh").args(["-c", "exit"]).status().map(drop)),
    ("fork", || {
        // SAFETY: the child only ends, which is allowed after a fork of a process with threads.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child without any cleanup.
            unsafe { libc::_exit(0) };
        }
        result(child)?;
        // SAFETY: waits for the child made above; a null status is allowed.
        result(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) })
    }),
    ("signal the daemon", || {
        // SAFETY: signal 0 only checks whether a signal could be sent.
        result(unsafe { libc::kill(parent(), 0) })
    }),
    ("trace the daemon", || {
        // SAFETY: the request takes no address, and its options are null.
        let traced = unsafe {
            libc::ptrace(libc::PTRACE_SEIZE, parent(), std::ptr::null_mut::<u8>(), 0_usize)
        };
        result(traced as i32)
    }),
    ("read the daemon's command line", || read(&format!("/proc/{}/cmdline", parent_id()))),
    ("read the daemon's environment", || read(&format!("/proc/{}/environ", parent_id()))),
    ("open the daemon's memory", || File::open(format!("/proc/{}/mem", parent_id())).map(drop)),
    ("list the daemon's files", || fs::read_dir(format!("/proc/{}/fd", parent_id())).map(drop)),
    ("limit the daemon", || {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: no new limit is given, and the old one is written to `limit`.
        result(unsafe {
            libc::prlimit(parent(), libc::RLIMIT_CPU, std::ptr::null(), &raw mut limit)
        })
    }),
    ("slow down the daemon", || {
        let parameter = libc::sched_param { sched_priority: 0 };
        // SAFETY: `parameter` is valid for reading; the policy is the one that the daemon has.
        result(unsafe {
            libc::sched_setscheduler(parent(), libc::SCHED_OTHER, &raw const parameter)
        })
    }),
    ("gain a capability", || {
        // SAFETY: the call takes numbers only.
        result(unsafe { libc::unshare(libc::CLONE_NEWUSER) })
    }),
];

/// Reads the first byte of a file.
fn read(path: &str) -> io::Result<()> {
    File::open(path)?.read(&mut [0]).map(drop)
}

fn home() -> String {
    std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned())
}

fn parent() -> i32 {
    parent_id().cast_signed()
}

/// The error of the last call, if it returned a negative number.
fn result(returned: i32) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
