//! The system calls that a runner may not use, by seccomp (`man 2 seccomp`).
//!
//! The list names what is denied, because drivers use many calls that nobody can list for all of
//! them. A denied call fails as if the user lacked the right to it. Linux decides once per call
//! which calls are never denied, so the filter costs them almost nothing.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, apply_filter,
};

/// Denies the calls to this thread and to those that it will start. A driver of a GPU (`has_gpu`)
/// may have local sockets, but may not connect them.
///
/// # Errors
/// What the system lacks or refused.
pub(super) fn filter(has_gpu: bool) -> Result<(), String> {
    let install = || -> Result<(), Error> {
        // glibc starts threads in another way if it does not find `clone3`, whose flags are in
        // memory, where a filter cannot see them.
        apply_filter(&program(always([libc::SYS_clone3]), libc::ENOSYS)?)?;
        apply_filter(&program(denied(has_gpu)?, libc::EPERM)?)
    };
    install().map_err(|error| format!("system calls are not filtered: {error}"))
}

/// The calls that are denied, and with which arguments; no rule is any arguments.
type Denied = BTreeMap<c_long, Vec<SeccompRule>>;

/// A filter that has denied calls fail with `errno`.
fn program(denied: Denied, errno: i32) -> Result<BpfProgram, BackendError> {
    let errno = SeccompAction::Errno(errno.cast_unsigned());
    SeccompFilter::new(denied, SeccompAction::Allow, errno, ARCH.try_into()?)?.try_into()
}

fn always(calls: impl IntoIterator<Item = c_long>) -> Denied {
    calls.into_iter().map(|call| (call, Vec::new())).collect()
}

/// All calls that are denied.
fn denied(has_gpu: bool) -> Result<Denied, BackendError> {
    let mut denied = always(DENIED.into_iter().flatten().copied());
    #[cfg(target_arch = "x86_64")]
    denied.extend(always(DENIED_X86));
    let own = std::process::id();
    // Only to other processes: the runner ends itself by a signal.
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        denied.insert(call, vec![argument(0, SeccompCmpOp::Ne, own.into())?]);
    }
    // Only of other processes: 0 is this one.
    let of_others = [
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?,
        SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, own.into())?,
    ];
    denied.insert(libc::SYS_prlimit64, vec![SeccompRule::new(of_others.to_vec())?]);
    let is_process = SeccompCmpOp::MaskedEq(libc::CLONE_THREAD as u64);
    denied.insert(libc::SYS_clone, vec![argument(0, is_process, 0)?]);
    denied.insert(libc::SYS_connect, Vec::new());
    if !has_gpu {
        denied.extend(always(SHARED_MEMORY));
    }
    let is_foreign = argument(0, SeccompCmpOp::Ne, libc::AF_UNIX as u64)?;
    denied.insert(libc::SYS_socket, if has_gpu { vec![is_foreign] } else { Vec::new() });
    #[cfg(target_arch = "x86_64")]
    {
        // The same calls by the numbers of the x32 ABI, and those that it numbers anew.
        let numbers: Vec<c_long> = denied.keys().copied().chain(X32_ONLY).collect();
        denied.extend(always(numbers.into_iter().map(|number| number | X32)));
    }
    Ok(denied)
}

/// A rule on the lower 32 bits of an argument.
fn argument(index: u8, op: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value)?])
}

/// Memory, semaphores and queues of other processes, of which the parts of GPU drivers that run in
/// this one may make use.
const SHARED_MEMORY: [c_long; 5] =
    [libc::SYS_shmget, libc::SYS_shmat, libc::SYS_semget, libc::SYS_msgget, libc::SYS_mq_open];

/// The calls that are always denied, by what they would do.
const DENIED: [&[c_long]; 8] = [
    // Run a program.
    &[libc::SYS_execve, libc::SYS_execveat],
    // Look into other processes, or change them.
    &[
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_process_mrelease,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_migrate_pages,
        libc::SYS_ioprio_set,
        libc::SYS_setpriority,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
        libc::SYS_move_pages,
        libc::SYS_perf_event_open,
    ],
    // Change owners, modes, times and attributes of files, which Landlock does not restrict.
    &[
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_fchown,
        libc::SYS_fchownat,
        libc::SYS_utimensat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
    ],
    // Change what is mounted, or the view on it.
    &[
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_setns,
        libc::SYS_unshare,
    ],
    // Open a file without its path.
    &[libc::SYS_name_to_handle_at, libc::SYS_open_by_handle_at, libc::SYS_fanotify_init],
    // Interfaces of the kernel in which faults were often found.
    &[
        libc::SYS_bpf,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_personality,
    ],
    // Change the system.
    &[
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_quotactl,
        libc::SYS_acct,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
    ],
    // Accept connections.
    &[libc::SYS_accept, libc::SYS_accept4],
];

/// Calls that only x86-64 has, or has in an older form as well, or whose numbers the C library's
/// headers lack on other architectures.
#[cfg(target_arch = "x86_64")]
const DENIED_X86: [c_long; 14] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
    libc::SYS_uselib,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
    libc::SYS_nfsservctl,
];

/// The call `fchmodat2`, which the C library's headers lack.
const FCHMODAT2: c_long = 452;

/// Marks a call of the x32 ABI, whose programs run on 64-bit kernels.
#[cfg(target_arch = "x86_64")]
const X32: c_long = 0x4000_0000;

/// The numbers of calls that only the x32 ABI has.
#[cfg(target_arch = "x86_64")]
const X32_ONLY: std::ops::RangeInclusive<c_long> = 512..=547;
