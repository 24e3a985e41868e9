//! Starts child processes on a thread of its own.
//!
//! Until a child runs its program, the thread that started it waits for it. If the child is stopped
//! just then, the thread waits for ever, and the server must not be on that thread. On Linux a
//! child can also ask to be killed when the thread that started it ends, so this thread lives as
//! long as the launcher.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// The thread that starts child processes.
#[derive(Debug)]
pub(super) struct Spawner {
    requests: SyncSender<SpawnRequest>,
}

/// A command to start, and where the child goes.
type SpawnRequest = (Command, oneshot::Sender<io::Result<Child>>);

impl Spawner {
    /// Starts the thread. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The operating system's error, if it cannot start a thread.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, received) = sync_channel::<SpawnRequest>(MAX_WAITING);
        let runtime = Handle::current();
        thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            let _context = runtime.enter();
            for (mut command, reply) in received {
                if reply.is_closed() {
                    continue;
                }
                // Fails if the request has timed out. The child is then killed when it is dropped.
                let _ = reply.send(command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    /// Starts a child.
    ///
    /// # Errors
    /// The operating system's error, and [`io::ErrorKind::TimedOut`] for a child that does not get
    /// to run its program; it is killed.
    pub(super) async fn spawn(&self, command: Command) -> io::Result<Child> {
        let (reply, child) = oneshot::channel();
        self.requests
            .try_send((command, reply))
            .map_err(|_| io::Error::other("another child process is still being started"))?;
        match timeout(SPAWN_DEADLINE, child).await {
            Ok(child) => child.map_err(|_| io::Error::other("the thread has ended"))?,
            Err(_) => {
                kill_children();
                Err(io::Error::new(io::ErrorKind::TimedOut, "the process does not start"))
            }
        }
    }
}

/// Kills all child processes of this process: the one that does not start, and a runner that could
/// not be killed before.
fn kill_children() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Pid, Signal, kill_process};

        let Ok(tasks) = procfs::process::Process::myself().and_then(|process| process.tasks())
        else {
            return;
        };
        let children = tasks.flatten().filter_map(|task| task.children().ok()).flatten();
        for pid in children.filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // Fails if the child has just ended.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Requests that may wait for the thread. One launcher starts one child at a time.
const MAX_WAITING: usize = 1;

/// How long a child may take until it runs its program. On a busy machine that is some 100 ms.
const SPAWN_DEADLINE: Duration = Duration::from_secs(5);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn child_outlives_the_call_that_started_it() {
        let spawner = Spawner::start().unwrap();
        let mut command = Command::new("true");
        command.kill_on_drop(true);
        let mut child = spawner.spawn(command).await.unwrap();
        assert!(child.wait().await.unwrap().success());
        let missing = spawner.spawn(Command::new("/no/such/program")).await.unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
