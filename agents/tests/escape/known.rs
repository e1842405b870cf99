//! What is documented: what a kernel stops even where nothing confines, and what users alone do not stop.
//!
//! Must not know how cases run.

use formicarium_agents::escape::Exception;
use nix::sys::resource::{Resource, getrlimit};

/// Cases that an ordinary user fails at even against itself, and why.
#[rustfmt::skip]
pub const STOPPED_ANYHOW: &[(&str, &str)] = &[
    ("file.dirty_pipe", "kernels since 5.16 do not merge into a page of a file"),
    ("file.attributes", "needs CAP_LINUX_IMMUTABLE"),
    ("file.handle", "needs CAP_DAC_READ_SEARCH"),
    ("file.shadow", "is root's"),
    ("file.system", "is root's"),
    ("name.mknod_device", "needs CAP_MKNOD"),
    ("name.own_device", "needs CAP_MKNOD"),
    ("stale.mapping", "a mapping remembers how its file was opened"),
    ("stale.access_mode", "F_SETFL does not change the access mode"),
    ("process.madvise", "needs CAP_SYS_NICE"),
    ("process.comm", "only threads of the same process may"),
    ("process.timer_slack", "needs CAP_SYS_NICE"),
    ("process.namespaces", "needs CAP_SYS_ADMIN in both"),
    ("process.setpgid", "only for own children"),
    ("process.release_memory", "the process is not dying"),
    ("process.setuid", "needs CAP_SETUID"),
    ("process.setgroups", "needs CAP_SETGID"),
    ("process.own_setuid", "root of a namespace is the own user outside"),
    ("process.map_victim", "only the own user can be mapped"),
    ("process.capabilities", "only those can be taken that are permitted"),
    ("process.devices", "are root's"),
    ("process.kernel", "needs CAP_SYS_ADMIN and the like"),
    ("peek.stack", "needs CAP_SYS_ADMIN"),
    ("net.raw", "needs CAP_NET_RAW"),
    ("net.raw_tcp", "needs CAP_NET_RAW"),
    ("net.raw_ipv6", "needs CAP_NET_RAW"),
    ("net.packet", "needs CAP_NET_RAW"),
    ("net.steal_port", "the host does not share its ports"),
    ("net.steal_port_any", "the host does not share its ports"),
    ("socket.abstract_take", "a name has one owner"),
    ("socket.xdp", "needs CAP_NET_RAW"),
    ("socket.netlink_change", "needs CAP_NET_ADMIN"),
    ("socket.netlink_audit", "needs CAP_AUDIT_CONTROL"),
    ("limit.raise", "needs CAP_SYS_RESOURCE"),
    ("limit.real_time", "needs CAP_SYS_NICE"),
    ("limit.nice", "needs CAP_SYS_NICE"),
    ("limit.oom", "needs CAP_SYS_RESOURCE"),
    ("limit.cgroup", "is root's"),
];

/// A case, and whether this machine may stop it by a setting of its own.
type Depends = (&'static str, fn() -> bool);

/// Where the function says no, the attack must have its effect.
pub const DEPENDS: &[Depends] = &[
    ("file.reflink", || true),
    ("file.binary", || true),
    ("name.chroot", no_user_namespaces),
    ("net.raw_namespace", no_user_namespaces),
    ("process.ptrace_attach", || {
        number("kernel/yama/ptrace_scope") > 0
    }),
    ("process.ptrace_seize", || {
        number("kernel/yama/ptrace_scope") > 0
    }),
    ("process.setuid_program", no_new_privileges),
    // At most ten times a second on the whole machine, and a kernel may lack it.
    ("process.autogroup", || true),
    ("process.bpf", || true),
    ("process.userfaultfd", || true),
    ("peek.perf", || number("kernel/perf_event_paranoid") > 2),
    ("peek.kcmp", || number("kernel/yama/ptrace_scope") > 0),
    ("ipc.terminal_input", || true),
    ("net.ping", || true),
    ("net.low_port", || {
        number("net/ipv4/ip_unprivileged_port_start") > 81
    }),
    ("limit.lock_memory", || true),
    ("limit.core", || hard(Resource::RLIMIT_CORE) == 0),
    ("limit.processes", || hard(Resource::RLIMIT_NPROC) < 1000),
    ("limit.fork_bomb", || hard(Resource::RLIMIT_NPROC) < 1000),
    ("socket.io_uring", || {
        number("kernel/io_uring_disabled") > 0 || filtered()
    }),
];

/// A setting of the kernel; 0 where it has none.
fn number(name: &str) -> i64 {
    let text = std::fs::read_to_string(format!("/proc/sys/{name}"));
    text.ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

fn no_user_namespaces() -> bool {
    number("user/max_user_namespaces") == 0
        || number("kernel/apparmor_restrict_unprivileged_userns") > 0
        || filtered()
}

fn status_is_not_zero(field: &str) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(field));
    line.is_some_and(|value| value.trim() != "0")
}

/// Whether a container filters calls of its own.
pub fn filtered() -> bool {
    status_is_not_zero("Seccomp:")
}

fn no_new_privileges() -> bool {
    status_is_not_zero("NoNewPrivs:")
}

fn hard(resource: Resource) -> u64 {
    getrlimit(resource).map_or(0, |(_, hard)| hard)
}

/// What users and limits alone do not stop.
pub const EXCEPTIONS: &[Exception] = &[
    users_do_not("file.flock", "a lock needs only what reading needs"),
    users_do_not("name.tmp", "/tmp is everybody's"),
    users_do_not("name.var_tmp", "/var/tmp is everybody's"),
    users_do_not("name.dev_shm", "/dev/shm is everybody's"),
    users_do_not("peek.cmdline", "arguments are everybody's to read"),
    users_do_not("net.tcp", PORTS),
    users_do_not("net.tcp_any_address", PORTS),
    users_do_not("net.tcp_ipv6", PORTS),
    users_do_not("net.tcp_mapped", PORTS),
    users_do_not("net.tcp_nonblocking", PORTS),
    users_do_not("net.tcp_port_elsewhere", PORTS),
    users_do_not("net.tcp_bound_source", PORTS),
    users_do_not("net.tcp_reconnect", PORTS),
    users_do_not("net.mptcp", PORTS),
    users_do_not("net.fast_open", PORTS),
    users_do_not("net.fast_open_mptcp", PORTS),
    users_do_not("net.fast_open_connect", PORTS),
    users_do_not("net.udp", PORTS),
    users_do_not("net.udp_ipv6", PORTS),
    users_do_not("net.udp_sendmmsg", PORTS),
    users_do_not("net.udp_lite", PORTS),
    users_do_not("net.raw_namespace", "user namespaces are everybody's"),
    users_do_not("net.bind", PORTS),
    users_do_not("net.bind_udp", PORTS),
    users_do_not("net.listen", PORTS),
    users_do_not("net.listen_unbound", PORTS),
    users_do_not("socket.abstract", "abstract names have no permissions"),
    users_do_not(
        "socket.abstract_datagram",
        "abstract names have no permissions",
    ),
    users_do_not("socket.vsock", "sockets have no permissions"),
    users_do_not("socket.netlink_sockets", "the list is everybody's"),
    users_do_not("socket.io_uring", "rings are everybody's"),
];

const PORTS: &str = "ports have no permissions";

const fn users_do_not(case: &'static str, reason: &'static str) -> Exception {
    let level = "uid-only";
    Exception {
        level,
        case,
        reason,
    }
}
