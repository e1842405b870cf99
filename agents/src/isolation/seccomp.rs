//! Seccomp: system calls that lead around Landlock or to other processes of the same user. Everything else is allowed.
//!
//! A filter for each answer, since a filter has one: `EPERM`; `EAFNOSUPPORT` and `ENOSYS` where programs know how to do
//! without. Must not know seats: the filters are the same for all.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

/// Flag of `sendto`, `sendmsg`, `sendmmsg` that connects without `connect`.
const MSG_FASTOPEN: u64 = 0x2000_0000;
/// Protocol numbers of TCP over IP sockets that Landlock filters: the default, and TCP itself.
const TCP_PROTOCOLS: [u64; 2] = [0, 6];
/// All namespaces.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// System calls that nobody needs who works in a workspace, all answered `EPERM`.
const REFUSED: [i64; 41] = [
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // A socket that listens without bind has a port that Landlock did not see.
    libc::SYS_listen,
    // Memory and messages that processes of a user share without a file.
    libc::SYS_shmget,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_semctl,
    libc::SYS_msgget,
    libc::SYS_msgsnd,
    libc::SYS_msgrcv,
    libc::SYS_msgctl,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    // Keys of a user.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The kernel's own doors.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fsconfig,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_chroot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
];

/// Restricts this process, and what it starts, for good. It must not gain rights by exec.
///
/// # Errors
/// As the kernel says; `EINVAL` where it knows no seccomp filters.
pub fn restrict() -> nix::Result<()> {
    for filter in filters() {
        apply_filter(filter).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
            }
            _ => Errno::EINVAL,
        })?;
    }
    Ok(())
}

/// The filters, compiled once. Called before forks, so that children share them.
pub fn filters() -> &'static [BpfProgram] {
    static FILTERS: OnceLock<Vec<BpfProgram>> = OnceLock::new();
    FILTERS.get_or_init(|| {
        let mut all = vec![
            compile(refused(), Errno::EPERM),
            compile(unknown_families(), Errno::EAFNOSUPPORT),
            compile(unsupported(), Errno::ENOSYS),
        ];
        // The second calling convention of this architecture, whose numbers the others do not know.
        if cfg!(target_arch = "x86_64") {
            all.push(no_x32());
        }
        all
    })
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(rules: Rules, answer: Errno) -> BpfProgram {
    let arch = TargetArch::try_from(std::env::consts::ARCH)
        .expect("the host runs on x86-64 and aarch64 alone");
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(answer as u32),
        arch,
    )
    .and_then(BpfProgram::try_from)
    .expect("rules that a test compiles")
}

fn when(argument: u8, op: SeccompCmpOp, value: u64) -> SeccompCondition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value)
        .expect("there are six arguments")
}

fn all_of(conditions: Vec<SeccompCondition>) -> SeccompRule {
    SeccompRule::new(conditions).expect("a condition at least")
}

fn has_flag(argument: u8, flag: u64) -> SeccompRule {
    all_of(vec![when(argument, SeccompCmpOp::MaskedEq(flag), flag)])
}

fn differs(argument: u8, value: u64) -> SeccompRule {
    all_of(vec![when(argument, SeccompCmpOp::Ne, value)])
}

fn refused() -> Rules {
    let mut rules: Rules = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_socket, sockets());
    rules.insert(libc::SYS_sendto, vec![has_flag(3, MSG_FASTOPEN)]);
    rules.insert(libc::SYS_sendmsg, vec![has_flag(2, MSG_FASTOPEN)]);
    rules.insert(libc::SYS_sendmmsg, vec![has_flag(3, MSG_FASTOPEN)]);
    // On others; 0 means the caller. Threads of one's own are named by number too, and lose this.
    for call in [
        libc::SYS_prlimit64,
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setscheduler,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setattr,
    ] {
        rules.insert(call, vec![differs(0, 0)]);
    }
    let process = u64::from(libc::PRIO_PROCESS);
    rules.insert(
        libc::SYS_setpriority,
        vec![differs(0, process), differs(1, 0)],
    );
    const IOPRIO_WHO_PROCESS: u64 = 1;
    rules.insert(
        libc::SYS_ioprio_set,
        vec![differs(0, IOPRIO_WHO_PROCESS), differs(1, 0)],
    );
    // Text put into a terminal as if somebody had typed it.
    const TIOCLINUX: u64 = 0x541c;
    let inject = [libc::TIOCSTI, TIOCLINUX];
    rules.insert(
        libc::SYS_ioctl,
        inject
            .map(|call| all_of(vec![when(1, SeccompCmpOp::Eq, call)]))
            .into(),
    );
    // A user namespace has all capabilities inside.
    let namespace = |argument| -> Vec<SeccompRule> {
        (0..64)
            .map(|bit| 1 << bit)
            .filter(|bit| NAMESPACES & bit != 0)
            .map(|bit| has_flag(argument, bit))
            .collect()
    };
    rules.insert(libc::SYS_clone, namespace(0));
    rules.insert(libc::SYS_unshare, namespace(0));
    rules
}

/// Of the internet families only TCP, which Landlock filters; of netlink only what lists the machine's addresses.
fn sockets() -> Vec<SeccompRule> {
    let mut rules = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let family = when(0, SeccompCmpOp::Eq, family as u64);
        // SOCK_STREAM is 1; every other type has one of the bits above it.
        for bit in [2, 4, 8] {
            rules.push(all_of(vec![
                family.clone(),
                when(1, SeccompCmpOp::MaskedEq(bit), bit),
            ]));
        }
        let mut other_protocol = vec![family];
        other_protocol.extend(TCP_PROTOCOLS.map(|known| when(2, SeccompCmpOp::Ne, known)));
        rules.push(all_of(other_protocol));
    }
    let netlink = when(0, SeccompCmpOp::Eq, libc::AF_NETLINK as u64);
    let route = libc::NETLINK_ROUTE as u64;
    rules.push(all_of(vec![netlink, when(2, SeccompCmpOp::Ne, route)]));
    rules
}

fn unknown_families() -> Rules {
    let known = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let unknown = known.map(|family| when(0, SeccompCmpOp::Ne, family as u64));
    Rules::from([(libc::SYS_socket, vec![all_of(unknown.into())])])
}

/// Programs fall back to older calls, which can be filtered by what they ask for.
fn unsupported() -> Rules {
    [
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect()
}

/// Answers `ENOSYS` to every call of the x32 convention.
fn no_x32() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_AT_LEAST, 0, 1, X32_BIT),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | Errno::ENOSYS as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_are_short_enough_for_the_kernel() {
        for filter in filters() {
            assert!((1..4096).contains(&filter.len()), "{}", filter.len());
        }
    }
}
