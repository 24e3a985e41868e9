//! What a confined thread can and cannot do. Landlock and seccomp restrict the calling thread and
//! the threads that it starts, so that each test confines a thread of its own.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use rustix::process::{Pid, test_kill_process};

use super::{Needs, files, limits, policy, syscalls};

/// Runs `test` on a confined thread, unless this kernel lacks a part of the sandbox.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
fn confined(needs: Needs, test: impl FnOnce() + Send + 'static) {
    let confine_and_test = move || {
        limits::give_up_privileges().unwrap();
        let applied = files::restrict(&policy::grants(&needs));
        if let Err(missing) = applied.and_then(|()| syscalls::filter(needs.has_gpu)) {
            eprintln!("skipped: {missing}");
            return;
        }
        test();
    };
    let thread = thread::Builder::new().name("confined".to_owned()).spawn(confine_and_test);
    thread.unwrap().join().unwrap();
}

#[track_caller]
fn assert_denied<T>(result: std::io::Result<T>) {
    assert_eq!(result.err().map(|error| error.kind()), Some(ErrorKind::PermissionDenied));
}

#[test]
fn confined_thread_opens_its_files_even_if_they_are_deleted_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let [model, other] = ["model", "other"].map(|name| folder.path().join(name));
    fs::write(&model, "weights").unwrap();
    fs::write(&other, "secret").unwrap();
    let held = File::open(&model).unwrap();
    fs::remove_file(&model).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
    confined(Needs { files: vec![path.clone()], ..Needs::default() }, move || {
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "weights");
        assert_denied(File::options().write(true).open(&path));
        assert_denied(File::open(&other));
        assert_denied(File::create(other.with_file_name("new")));
        assert_denied(fs::remove_file(&other));
        assert_denied(fs::rename(&other, other.with_file_name("moved")));
        assert_denied(fs::set_permissions(&other, fs::metadata(&other).unwrap().permissions()));
        assert_denied(fs::read_dir("/"));
        assert_denied(File::open("/etc/passwd"));
        assert_denied(File::open(format!("/proc/{}/cmdline", parent_id())));
        assert_denied(File::open(format!("/proc/{}/environ", parent_id())));
    });
    drop(held);
}

#[test]
fn confined_thread_reads_what_the_runner_measures() {
    confined(Needs::default(), || {
        for path in ["maps", "task", "mountinfo", "cgroup"].map(|name| format!("/proc/self/{name}"))
        {
            assert!(File::open(&path).is_ok(), "{path}");
        }
        let huge_pages = "/sys/kernel/mm/transparent_hugepage/enabled";
        for path in ["/proc/stat", "/proc/meminfo", "/dev/null", "/sys/fs/cgroup", huge_pages] {
            let error = File::open(path).err().map(|error| error.kind());
            assert!(matches!(error, None | Some(ErrorKind::NotFound)), "{path}: {error:?}");
        }
        assert!(File::open(format!("/proc/{}/stat", parent_id())).is_ok(), "the daemon's time");
        let thread = thread::Builder::new().name("inner".to_owned()).spawn(|| 1);
        assert_eq!(thread.unwrap().join().unwrap(), 1, "threads can be started");
    });
}

#[test]
fn confined_thread_cannot_connect_or_listen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let local = UnixListener::bind(&path).unwrap();
    for has_gpu in [false, true] {
        let (path, needs) = (path.clone(), Needs { has_gpu, ..Needs::default() });
        confined(needs, move || {
            assert_denied(TcpStream::connect(address));
            assert_denied(TcpListener::bind("127.0.0.1:0"));
            assert_denied(UdpSocket::bind("127.0.0.1:0"));
            assert_denied(UnixStream::connect(&path));
        });
    }
    drop((listener, local));
}

#[test]
fn confined_thread_starts_no_program_and_reaches_no_other_process() {
    for has_gpu in [false, true] {
        confined(Needs { has_gpu, ..Needs::default() }, || {
            assert_denied(Command::new("/bin/true").spawn());
            let [parent, own] = [parent_id(), std::process::id()]
                .map(|pid| Pid::from_raw(pid.cast_signed()).unwrap());
            assert_eq!(test_kill_process(parent), Err(rustix::io::Errno::PERM));
            assert_eq!(test_kill_process(own), Ok(()));
            assert_denied(File::open(format!("/proc/{}/mem", parent_id())));
        });
    }
}
