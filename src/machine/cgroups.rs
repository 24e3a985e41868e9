//! Finds the cgroups that limit this process: its own one, and all above it that are visible.
//!
//! `/proc/self/cgroup` names the cgroup of the process in each hierarchy, and
//! `/proc/self/mountinfo` says where a hierarchy is mounted, and which part of it: a container
//! often sees its own cgroup as the root. What is not mounted cannot be read and is left out. See
//! cgroups(7).

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process;

use procfs::process::MountInfo;

/// The version of a cgroup hierarchy. They differ in the names and formats of their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A cgroup that limits this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub(super) version: Version,
    folder: PathBuf,
}

impl Cgroup {
    /// The cgroups that limit this process by `controller` (`memory`, `cpu`), from its own one
    /// upwards. A folder may be missing, and lacks the controller's files if the controller is off.
    pub(super) fn of_this_process(root: &Path, controller: &str) -> Vec<Self> {
        let mounts = Mount::all(root, controller);
        let memberships = Membership::all(root, controller);
        memberships.iter().flat_map(|membership| membership.cgroups(&mounts)).collect()
    }

    /// The text of the file `name`, without the line feed at its end; `None` if it cannot be read.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.join(name)).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// The number in the file `name`; `None` if there is none, as in a file that says `max`.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// The cgroup of this process in one hierarchy, as `/proc/self/cgroup` names it.
struct Membership {
    version: Version,
    /// The path from the root of the hierarchy, or from the root of the cgroup namespace.
    path: PathBuf,
}

impl Membership {
    /// The memberships in the hierarchies that may have `controller`.
    fn all(root: &Path, controller: &str) -> Vec<Self> {
        let bytes = fs::read(root.join("proc/self/cgroup")).unwrap_or_default();
        let parse = |line: &str| Self::parse(line, controller);
        String::from_utf8_lossy(&bytes).lines().filter_map(parse).collect()
    }

    /// Parses a line such as `4:cpu,cpuacct:/a` (version 1) or `0::/a` (version 2).
    fn parse(line: &str, controller: &str) -> Option<Self> {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let version = if controllers.is_empty() {
            Version::V2
        } else if controllers.split(',').any(|name| name == controller) {
            Version::V1
        } else {
            return None;
        };
        Some(Self { version, path: path.into() })
    }

    /// The cgroups from that of the process to the topmost visible one.
    fn cgroups(&self, mounts: &[Mount]) -> Vec<Cgroup> {
        // The process was moved out of its namespace, so what it sees is not about it.
        if self.path.components().any(|part| part == Component::ParentDir) {
            return Vec::new();
        }
        let mounts = || mounts.iter().filter(|mount| mount.version == self.version);
        let below_mount = |mount: &Mount| {
            let path = match self.path.strip_prefix(&mount.root) {
                Ok(path) => path.to_owned(),
                Err(_) => mount.path_of_this_process(&self.path)?,
            };
            Some(path.ancestors().map(|path| mount.point.join(path)).collect::<Vec<_>>())
        };
        let mut folders: Vec<PathBuf> = mounts().filter_map(below_mount).flatten().collect();
        if folders.is_empty() {
            // The path is that of another view on the hierarchy, as in a container whose processes
            // were moved. What it has mounted is meant for it.
            folders = mounts().map(|mount| mount.point.clone()).collect();
        }
        let cgroup = |folder| Cgroup { version: self.version, folder };
        folders.into_iter().map(cgroup).collect()
    }
}

/// A mounted cgroup hierarchy.
struct Mount {
    version: Version,
    /// The cgroup that the mount point shows.
    root: PathBuf,
    /// Where it is mounted.
    point: PathBuf,
}

impl Mount {
    /// The mounted hierarchies that may have `controller`.
    fn all(root: &Path, controller: &str) -> Vec<Self> {
        let bytes = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
        let parse = |line: &str| Self::parse(line, root, controller);
        String::from_utf8_lossy(&bytes).lines().filter_map(parse).collect()
    }

    fn parse(line: &str, root: &Path, controller: &str) -> Option<Self> {
        let mount = MountInfo::from_line(line).ok()?;
        let version = match &*mount.fs_type {
            "cgroup2" => Version::V2,
            "cgroup" if mount.super_options.contains_key(controller) => Version::V1,
            _ => return None,
        };
        let point = unescape(mount.mount_point.to_str()?);
        let point = root.join(Path::new(&point).strip_prefix("/").ok()?);
        Some(Self { version, root: unescape(&mount.root).into(), point })
    }

    /// The path, below the mount point, of the cgroup of this process, if the mount shows cgroups
    /// above the cgroup namespace: its root is then `/..` or higher, and `path` begins at the root
    /// of the namespace, whose name is not known. The list of processes identifies the cgroup.
    fn path_of_this_process(&self, path: &Path) -> Option<PathBuf> {
        let above: Vec<Component<'_>> =
            self.root.components().filter(|part| *part != Component::RootDir).collect();
        let is_above = !above.is_empty() && above.iter().all(|part| *part == Component::ParentDir);
        let path = path.strip_prefix("/").ok().filter(|_| is_above)?;
        let mut roots = vec![self.point.clone()];
        for _ in above {
            roots = roots.iter().flat_map(|folder| subfolders(folder)).collect();
        }
        let found = roots.into_iter().map(|root| root.join(path)).find(|folder| is_in(folder))?;
        found.strip_prefix(&self.point).map(Path::to_owned).ok()
    }
}

/// The cgroups directly below a cgroup.
fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// Whether this process is in the cgroup at `folder`.
fn is_in(folder: &Path) -> bool {
    let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    processes.lines().any(|pid| pid.parse() == Ok(process::id()))
}

/// `text` with the characters that mountinfo writes as three octal digits (`\040` for a space).
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) if code.is_ascii() => {
                plain.push(code.into());
                plain.push_str(&part[3..]);
            }
            _ => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_digits_in_mount_points_become_characters() {
        assert_eq!(unescape("/sys/fs/cgroup"), "/sys/fs/cgroup");
        assert_eq!(unescape(r"/a\040b\134c"), r"/a b\c");
        assert_eq!(unescape(r"/a\04"), r"/a\04", "too few digits");
        assert_eq!(unescape(r"\é\\"), r"\é\\", "no digits");
    }
}
