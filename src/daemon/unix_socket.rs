//! Unix sockets: their files, which outlive a process that is killed.
//!
//! The owner and the group of the daemon may connect (mode 0660). The file of a daemon that no
//! longer runs is replaced; any other file is not touched.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use tokio::net::{UnixListener, UnixSocket};

use super::error::DaemonError;

/// The file of a Unix socket, removed on drop.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// What tells a file from one that has replaced it: device, inode, and the time of its creation in
/// seconds and nanoseconds. File systems use inodes again. The time of the last change of a socket
/// is that of its creation, also if its permissions change.
type Identity = (u64, u64, i64, i64);

impl SocketFile {
    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_same = identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if is_same && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Listens on a Unix socket at `path`, where at most `backlog` connections wait to be accepted.
///
/// # Errors
/// [`DaemonError::UnixSocketInUse`] or [`DaemonError::UnixSocket`].
pub(super) fn bind_unix(
    path: PathBuf,
    backlog: u32,
) -> Result<(UnixListener, SocketFile), DaemonError> {
    let refusal = |reason: String| DaemonError::UnixSocket { path: path.clone(), reason };
    match fs::symlink_metadata(&path) {
        Ok(found) if !found.file_type().is_socket() => {
            let reason = "a file that is no socket has this name: choose another one";
            return Err(refusal(reason.to_owned()));
        }
        Ok(_) => match somebody_listens(&path) {
            Ok(true) => return Err(DaemonError::UnixSocketInUse { path }),
            Ok(false) => {
                fs::remove_file(&path).map_err(|error| {
                    refusal(format!("the socket of an earlier server cannot be removed: {error}"))
                })?;
            }
            Err(error) => return Err(refusal(format!("the existing socket: {error}"))),
        },
        Err(_) => {}
    }
    listen(&path, backlog).map_err(|error| {
        refusal(match error.kind() {
            ErrorKind::NotFound => "its folder does not exist".to_owned(),
            ErrorKind::InvalidInput => "the path is too long: about 100 bytes are possible".into(),
            _ => error.to_string(),
        })
    })
}

/// Creates the socket. Nobody can connect before it has its permissions.
fn listen(path: &Path, backlog: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok((socket.listen(backlog)?, file))
}

fn identity(path: &Path) -> io::Result<Identity> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Whether a process listens on the socket at `path`. Does not wait for one that is stuck.
fn somebody_listens(path: &Path) -> io::Result<bool> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        // With `AGAIN`, too many connections wait to be accepted.
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Permissions of the file: its owner and group may connect.
const MODE: u32 = 0o660;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn socket_is_for_owner_and_group_and_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (listener, file) = bind_unix(path.clone(), 8).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        let refused = bind_unix(path.clone(), 8).unwrap_err();
        assert!(matches!(refused, DaemonError::UnixSocketInUse { .. }), "{refused}");
        drop((listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn socket_of_a_killed_process_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let (listener, file) = bind_unix(path.clone(), 8).unwrap();
        // A process that is killed closes its socket and leaves the file.
        drop(listener);
        // Keeps its inode from being used again.
        fs::hard_link(&path, folder.path().join("other")).unwrap();
        let (_listener, replaced) = bind_unix(path.clone(), 8).unwrap();
        drop(file);
        assert!(path.exists(), "the file of another process is not removed");
        drop(replaced);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn other_files_and_impossible_paths_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        for (path, reason) in [
            (file.clone(), "no socket"),
            (folder.path().to_owned(), "no socket"),
            (folder.path().join("missing/socket"), "folder does not exist"),
            (folder.path().join("x".repeat(200)), "too long"),
        ] {
            let error = bind_unix(path, 8).unwrap_err().to_string();
            assert!(error.contains(reason) && error.lines().count() == 1, "{error}");
        }
        assert_eq!(fs::read_to_string(file).unwrap(), "precious");
    }
}
