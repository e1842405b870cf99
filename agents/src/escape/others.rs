//! The processes that are attacked: the other seat's victim and the host's stand-in.
//!
//! Must not know attacks. Both live until they are killed, and die with the runner.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::stage::{Host, Stage, Victim};
use super::sys::{self, call};

/// What the victim answers with, and what it keeps in file, memory, key and queue.
pub(super) const SECRET: &[u8; 32] = b"formicarium-escape-suite-secret!";
/// What the host's services answer with.
pub(super) const HOST: &[u8; 4] = b"host";

/// A service that gives its answer to whoever reaches it.
enum Service {
    Tcp(TcpListener),
    Udp(UdpSocket),
    Unix(UnixListener),
    Datagram(UnixDatagram),
    Raw(OwnedFd),
    /// The suite's runner asks whether this process is still well.
    Runner(OwnedFd),
}

impl Service {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(s) => s.as_fd(),
            Self::Udp(s) => s.as_fd(),
            Self::Unix(s) => s.as_fd(),
            Self::Datagram(s) => s.as_fd(),
            Self::Raw(s) | Self::Runner(s) => s.as_fd(),
        }
    }

    fn answer(&self, with: &[u8]) {
        let mut received = [0; 64];
        match self {
            Self::Tcp(s) => {
                if let Ok((mut stream, _)) = s.accept() {
                    let _ = stream.write_all(with);
                }
            }
            Self::Unix(s) => {
                if let Ok((mut stream, _)) = s.accept() {
                    let _ = stream.write_all(with);
                }
            }
            Self::Udp(s) => {
                if let Ok((_, from)) = s.recv_from(&mut received) {
                    let _ = s.send_to(with, from);
                }
            }
            Self::Datagram(s) => {
                if let Ok((_, from)) = s.recv_from(&mut received) {
                    let _ = s.send_to_addr(with, &from);
                }
            }
            Self::Runner(s) => {
                if nix::unistd::read(s, &mut received).is_ok_and(|n| n > 0) {
                    let _ = sys::write(s, b"well\n");
                }
            }
            Self::Raw(s) => {
                if let Ok(stream) = call!(libc::SYS_accept4, s, 0, 0, 0) {
                    let _ = sys::write(&sys::own(stream), with);
                }
            }
        }
    }
}

/// Answers for ever; between answers, or at least every millisecond, does `meanwhile`.
fn serve(services: &[Service], with: &[u8], mut meanwhile: Option<impl FnMut()>) -> ! {
    loop {
        let mut set: Vec<_> = services
            .iter()
            .map(|s| PollFd::new(s.fd(), PollFlags::POLLIN))
            .collect();
        let wait = if meanwhile.is_some() {
            PollTimeout::from(1_u8)
        } else {
            PollTimeout::NONE
        };
        let _ = poll(&mut set, wait);
        for (service, polled) in services.iter().zip(&set) {
            if polled.any() == Some(true) {
                service.answer(with);
            }
        }
        if let Some(work) = &mut meanwhile {
            work();
        }
    }
}

/// Makes what a seat can have, tells the runner, and serves.
pub(super) fn play_victim(stage: &Stage, report: OwnedFd) -> ! {
    let secret: &'static mut [u8] = SECRET.to_vec().leak();
    let file = sys::open(&stage.other_file(), libc::O_RDWR).ok();
    let name = format!("formicarium-escape-{}", std::process::id());
    let mut facts = Victim {
        pid: std::process::id() as i32,
        secret_fd: file.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        secret_address: secret.as_ptr() as u64,
        ..Victim::default()
    };
    system_v(&mut facts);
    posix(&mut facts, &name);
    let description = sys::text(&PathBuf::from(&name));
    facts.key = call!(
        libc::SYS_add_key,
        c"user",
        &description,
        &SECRET[..],
        SECRET.len(),
        libc::KEY_SPEC_USER_KEYRING
    )
    .ok()
    .map(|key| key as i32);
    facts.fanotify = super::files::watch(&stage.other_file()).is_ok();
    let master = sys::open(&PathBuf::from("/dev/ptmx"), libc::O_RDWR | libc::O_NOCTTY).ok();
    facts.pty = master.as_ref().and_then(slave);
    // The slave stays open, so that what is written to it is kept.
    let _slave = facts
        .pty
        .as_ref()
        .map(|path| sys::open(path, libc::O_RDWR | libc::O_NOCTTY));

    let mut services = Vec::new();
    let stream = UnixAddr::from_abstract_name(&name).and_then(|a| UnixListener::bind_addr(&a));
    if let Ok(socket) = stream {
        services.push(Service::Unix(socket));
        facts.abstract_stream = Some(name.clone());
    }
    let datagrams = format!("{name}-datagrams");
    let socket = UnixAddr::from_abstract_name(&datagrams).and_then(|a| UnixDatagram::bind_addr(&a));
    if let Ok(socket) = socket {
        services.push(Service::Datagram(socket));
        facts.abstract_datagram = Some(datagrams);
    }
    let path = stage.other.join("stream");
    if let Ok(socket) = UnixListener::bind(&path) {
        open_to_all(&path);
        services.push(Service::Unix(socket));
        facts.path_stream = Some(path);
    }
    let path = stage.other.join("datagrams");
    if let Ok(socket) = UnixDatagram::bind(&path) {
        open_to_all(&path);
        services.push(Service::Datagram(socket));
        facts.path_datagram = Some(path);
    }
    tell(&report, &facts);
    services.push(Service::Runner(report));
    serve(&services, SECRET, None::<fn()>)
}

fn system_v(facts: &mut Victim) {
    let mode = 0o600 | libc::IPC_CREAT;
    facts.shm = call!(libc::SYS_shmget, 0, 4096, mode)
        .ok()
        .map(|id| id as i32);
    if let Some(id) = facts.shm {
        let _ = sys::shared_segment(id, Some(SECRET));
    }
    facts.sem = call!(libc::SYS_semget, 0, 1, mode).ok().map(|id| id as i32);
    facts.msg = call!(libc::SYS_msgget, 0, mode).ok().map(|id| id as i32);
    if let Some(id) = facts.msg {
        let mut message = 1_u64.to_ne_bytes().to_vec();
        message.extend_from_slice(SECRET);
        let _ = call!(
            libc::SYS_msgsnd,
            id,
            &message[..],
            SECRET.len(),
            libc::IPC_NOWAIT
        );
    }
}

fn posix(facts: &mut Victim, name: &str) {
    let path = PathBuf::from("/dev/shm").join(name);
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    let made = call!(
        libc::SYS_openat,
        libc::AT_FDCWD,
        &sys::text(&path),
        flags,
        0o600
    );
    if let Ok(object) = made {
        let _ = sys::write(&sys::own(object), SECRET);
        facts.posix_shm = Some(path);
    }
    let queue = sys::text(&PathBuf::from(name));
    // Ten messages of 64 bytes at most, in the kernel's struct mq_attr.
    let shape = sys::words(&[0, 10, 64, 0, 0, 0, 0, 0]);
    if let Ok(made) = call!(libc::SYS_mq_open, &queue, flags, 0o600, &shape[..]) {
        let _ = call!(
            libc::SYS_mq_timedsend,
            &sys::own(made),
            &SECRET[..],
            SECRET.len(),
            0,
            0
        );
        facts.mq = Some(name.to_owned());
    }
}

/// Unlocks the slave of a pseudo terminal and names it.
fn slave(master: &OwnedFd) -> Option<PathBuf> {
    let mut number = [0_u8; 4];
    call!(libc::SYS_ioctl, master, libc::TIOCSPTLCK, &number[..]).ok()?;
    call!(libc::SYS_ioctl, master, libc::TIOCGPTN, &mut number[..]).ok()?;
    Some(PathBuf::from(format!(
        "/dev/pts/{}",
        u32::from_ne_bytes(number)
    )))
}

/// As after a careless `chmod -R 777`: only gates and isolation may protect.
fn open_to_all(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777));
}

/// Opens the host's services, tells the runner, and serves. With `churn` it also replaces a file over and over.
pub(super) fn play_host(stage: &Stage, report: OwnedFd, churn: bool) -> ! {
    let mut services = Vec::new();
    let mut facts = Host {
        pid: std::process::id() as i32,
        ..Host::default()
    };
    let mut tcp = |addr: SocketAddr| {
        let listener = TcpListener::bind(addr).ok()?;
        let port = listener.local_addr().ok()?.port();
        services.push(Service::Tcp(listener));
        Some(port)
    };
    let four = Ipv4Addr::LOCALHOST;
    facts.allowed = tcp((four, 0).into()).unwrap_or(0);
    facts.elsewhere = tcp(([127, 0, 0, 2], facts.allowed).into()).is_some();
    facts.forbidden = tcp((four, 0).into()).unwrap_or(0);
    facts.six = tcp((Ipv6Addr::LOCALHOST, facts.forbidden).into()).is_some();
    let mut udp = |addr: SocketAddr| {
        let socket = UdpSocket::bind(addr).ok()?;
        let port = socket.local_addr().ok()?.port();
        services.push(Service::Udp(socket));
        Some(port)
    };
    facts.udp = udp((four, 0).into());
    facts.udp6 = udp((Ipv6Addr::LOCALHOST, 0).into());
    if let Some((fd, port)) = bound(libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE) {
        services.push(Service::Udp(UdpSocket::from(fd)));
        facts.udplite = Some(port);
    }
    if let Some((fd, port)) = bound(libc::SOCK_STREAM, libc::IPPROTO_SCTP)
        && call!(libc::SYS_listen, &fd, 4).is_ok()
    {
        services.push(Service::Raw(fd));
        facts.sctp = Some(port);
    }
    tell(&report, &facts);
    services.push(Service::Runner(report));
    let page = stage.churned();
    let mut round = 0_u64;
    // What editors and git do: unlink, and some time later create. The gap between is what attacks wait for.
    let replace = move || {
        round += 1;
        if round % 2 == 1 {
            let _ = std::fs::remove_file(&page);
        } else if let Ok(file) = sys::open(&page, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL) {
            let _ = sys::write(&file, format!("page {round}\n").as_bytes());
        }
    };
    serve(&services, HOST, churn.then_some(replace))
}

/// A socket bound to a free port of 127.0.0.1.
fn bound(kind: i32, protocol: i32) -> Option<(OwnedFd, u16)> {
    let fd = call!(libc::SYS_socket, libc::AF_INET, kind, protocol)
        .ok()
        .map(sys::own)?;
    let address = super::network::inet(Ipv4Addr::LOCALHOST, 0);
    call!(libc::SYS_bind, &fd, &address[..], address.len()).ok()?;
    let socket = UdpSocket::from(fd);
    let port = socket.local_addr().ok()?.port();
    Some((socket.into(), port))
}

fn tell(report: &OwnedFd, facts: &impl serde::Serialize) {
    let mut line = serde_json::to_vec(facts).expect("facts are plain data");
    line.push(b'\n');
    let _ = sys::write(report, &line);
}

/// Whether the host's stand-in still answers.
pub(super) fn host_answers(host: &Host) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, host.allowed));
    let wait = std::time::Duration::from_secs(5);
    let mut answer = [0; 4];
    std::net::TcpStream::connect_timeout(&address, wait)
        .and_then(|mut stream| {
            stream.set_read_timeout(Some(wait))?;
            stream.read_exact(&mut answer)
        })
        .is_ok()
        && &answer == HOST
}
