//! Section 6, all other sockets: names of the other seat, families of the kernel, io_uring.
//!
//! Must not know which filter is in force.

use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::case::Attack::Free;
use super::case::{Case, Outcome};
use super::files::errno;
use super::ipc::on;
use super::network::{inet, opens};
use super::others::SECRET;
use super::stage::Stage;
use super::sys::{call, own, words, write};

const ANSWER: Duration = Duration::from_millis(1500);

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("socket.abstract", "connect to the other seat's abstract socket", Free(|s| on(s.victim.abstract_stream.as_deref(), abstract_stream))),
    Case::new("socket.abstract_datagram", "send to the other seat's abstract socket of datagrams", Free(|s| on(s.victim.abstract_datagram.as_deref(), abstract_datagram))),
    Case::new("socket.abstract_take", "bind the name of the other seat's abstract socket", Free(|s| on(s.victim.abstract_stream.as_deref(), take_name))),
    Case::new("socket.path", "connect to the other seat's socket by its path", Free(|s| on(s.victim.path_stream.as_deref(), path_stream))),
    Case::new("socket.path_datagram", "send to the other seat's socket of datagrams by its path", Free(|s| on(s.victim.path_datagram.as_deref(), |path| send(s, path)))),
    Case::new("socket.path_link", "connect to the other seat's socket by an own link", Free(path_link)),
    Case::new("socket.path_proc", "connect to the other seat's socket by its /proc/PID/cwd", Free(path_proc)),
    Case::new("socket.path_unlink", "unlink the other seat's socket", Free(|s| on(s.victim.path_stream.as_deref(), |path| std::fs::remove_file(path).map(|()| "it was unlinked".into()).map_err(errno)))),
    Case::new("socket.vsock", "open a socket to the hypervisor", Free(|_| opens(libc::AF_VSOCK, libc::SOCK_STREAM, 0))),
    Case::new("socket.alg", "open a socket of the kernel's ciphers", Free(|_| opens(libc::AF_ALG, libc::SOCK_SEQPACKET, 0))),
    Case::new("socket.xdp", "open an XDP socket", Free(|_| opens(libc::AF_XDP, libc::SOCK_RAW, 0))),
    Case::new("socket.smc", "open an SMC socket, which falls back to TCP", Free(smc)),
    Case::new("socket.rare", "open sockets of rare families", Free(rare)),
    Case::new("socket.netlink_change", "give loopback another address by netlink", Free(netlink_change)),
    Case::new("socket.netlink_sockets", "list all sockets of the machine by netlink", Free(|_| listing(libc::NETLINK_SOCK_DIAG))),
    Case::new("socket.netlink_audit", "read the system's audit by netlink", Free(|_| audit())),
    Case::new("socket.io_uring", "make an io_uring, which does calls past a filter", Free(io_uring)),
];

/// Answers `Ok` only to the victim's own words.
fn expect_victim(received: &[u8]) -> Result<String, Errno> {
    if received == SECRET {
        Ok("the other seat answered".into())
    } else {
        Err(Errno::ENODATA)
    }
}

fn hear(mut stream: UnixStream) -> Result<String, Errno> {
    let mut answer = [0; 32];
    stream.set_read_timeout(Some(ANSWER)).map_err(errno)?;
    stream.read_exact(&mut answer).map_err(errno)?;
    expect_victim(&answer)
}

fn abstract_stream(name: &str) -> Result<String, Errno> {
    let address = SocketAddr::from_abstract_name(name).map_err(errno)?;
    hear(UnixStream::connect_addr(&address).map_err(errno)?)
}

fn receive(socket: &UnixDatagram) -> Result<String, Errno> {
    let mut answer = [0; 64];
    socket.set_read_timeout(Some(ANSWER)).map_err(errno)?;
    let n = socket.recv(&mut answer).map_err(errno)?;
    expect_victim(&answer[..n])
}

fn abstract_datagram(name: &str) -> Result<String, Errno> {
    let address = SocketAddr::from_abstract_name(name).map_err(errno)?;
    let own_name = format!("{name}-{}", std::process::id());
    let own_address = SocketAddr::from_abstract_name(own_name).map_err(errno)?;
    let socket = UnixDatagram::bind_addr(&own_address).map_err(errno)?;
    socket.send_to_addr(b"x", &address).map_err(errno)?;
    receive(&socket)
}

fn take_name(name: &str) -> Result<String, Errno> {
    let address = SocketAddr::from_abstract_name(name).map_err(errno)?;
    std::os::unix::net::UnixListener::bind_addr(&address)
        .map(|_| "the name was taken".into())
        .map_err(errno)
}

fn path_stream(path: &Path) -> Result<String, Errno> {
    hear(UnixStream::connect(path).map_err(errno)?)
}

fn send(stage: &Stage, path: &Path) -> Result<String, Errno> {
    // The answer needs an address; an abstract one, so that the victim need not pass the attacker's gate.
    let name = format!("formicarium-escape-{}", std::process::id());
    let own_address = SocketAddr::from_abstract_name(name).map_err(errno)?;
    let socket = UnixDatagram::bind_addr(&own_address)
        .or_else(|_| UnixDatagram::bind(stage.own.join("datagrams")))
        .map_err(errno)?;
    socket.send_to(b"x", path).map_err(errno)?;
    // Having been received is the escape, whether or not the answer finds its way.
    Ok(receive(&socket).unwrap_or_else(|_| "a datagram was delivered".into()))
}

fn path_link(stage: &Stage) -> Outcome {
    on(stage.victim.path_stream.as_deref(), |path| {
        let link = stage.own.join("link");
        std::os::unix::fs::symlink(path, &link).map_err(errno)?;
        path_stream(&link)
    })
}

fn path_proc(stage: &Stage) -> Outcome {
    on(stage.victim.path_stream.as_deref(), |path| {
        let name = path.file_name().unwrap_or_default();
        path_stream(&Path::new(&format!("/proc/{}/cwd", stage.victim.pid)).join(name))
    })
}

fn smc(stage: &Stage) -> Outcome {
    const AF_SMC: i32 = 43;
    match opens(AF_SMC, libc::SOCK_STREAM, 0) {
        Outcome::Escaped(_) => {}
        other => return other,
    }
    let address = inet(std::net::Ipv4Addr::LOCALHOST, stage.host.forbidden);
    Outcome::of(
        call!(libc::SYS_socket, AF_SMC, libc::SOCK_STREAM, 0)
            .map(own)
            .and_then(|fd| call!(libc::SYS_connect, &fd, &address[..], address.len()))
            .map(|_| "connected".into()),
    )
}

/// Families that no agent needs and whose code has had its holes.
fn rare(_: &Stage) -> Outcome {
    // AX25, IPX, AppleTalk, X25, RDS, LLC, CAN, TIPC, Bluetooth, RxRPC, phonet, IEEE 802.15.4, CAIF, NFC, KCM, QRTR.
    let families = [3, 4, 5, 9, 21, 26, 29, 30, 31, 33, 35, 36, 37, 39, 41, 42];
    let kinds = [
        libc::SOCK_STREAM,
        libc::SOCK_DGRAM,
        libc::SOCK_RAW,
        libc::SOCK_SEQPACKET,
    ];
    let (mut absent, mut last) = (true, Errno::EAFNOSUPPORT);
    for family in families {
        for kind in kinds {
            match call!(libc::SYS_socket, family, kind | libc::SOCK_CLOEXEC, 0).map(own) {
                Ok(_) => return Outcome::Escaped(format!("a socket of family {family}")),
                Err(Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT) => {}
                Err(errno) => (absent, last) = (false, errno),
            }
        }
    }
    if absent {
        return Outcome::Skipped("this kernel has none of them".into());
    }
    Outcome::Held(format!("{last:?}"))
}

/// Sends one request and takes the answer.
fn ask(protocol: i32, request: &[u8]) -> Result<Vec<u8>, Errno> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    let fd = call!(libc::SYS_socket, libc::AF_NETLINK, kind, protocol).map(own)?;
    // struct timeval: the kernel answers at once or never.
    let wait = words(&[1, 0]);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_RCVTIMEO);
    call!(
        libc::SYS_setsockopt,
        &fd,
        level,
        option,
        &wait[..],
        wait.len()
    )?;
    write(&fd, request)?;
    let mut answer = vec![0_u8; 8192];
    let n = call!(libc::SYS_read, &fd, &mut answer[..], 8192)?;
    answer.truncate(n as usize);
    Ok(answer)
}

/// `struct nlmsghdr` and what follows it.
fn message(kind: u16, flags: i32, body: &[u8]) -> Vec<u8> {
    let mut bytes = (16 + body.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags as u16).to_ne_bytes());
    bytes.extend(1_u32.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(body);
    bytes
}

/// The error that an answer carries, if it is one.
fn refused(answer: &[u8]) -> Result<(), Errno> {
    let kind = answer.get(4..6).map(|b| u16::from_ne_bytes([b[0], b[1]]));
    if kind == Some(libc::NLMSG_ERROR as u16) {
        let code = answer
            .get(16..20)
            .map_or([0; 4], |b| [b[0], b[1], b[2], b[3]]);
        let code = i32::from_ne_bytes(code);
        return if code == 0 {
            Ok(())
        } else {
            Err(Errno::from_raw(-code))
        };
    }
    Ok(())
}

fn netlink_change(_: &Stage) -> Outcome {
    // ifaddrmsg: family, length of prefix, flags, scope (host), index 1 (loopback); then the local address.
    let mut body = vec![libc::AF_INET as u8, 32, 0, 254];
    body.extend(1_u32.to_ne_bytes());
    body.extend(8_u16.to_ne_bytes());
    body.extend(libc::IFA_LOCAL.to_ne_bytes());
    body.extend([127, 77, 77, 77]);
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE;
    let changed = ask(
        libc::NETLINK_ROUTE,
        &message(libc::RTM_NEWADDR, flags, &body),
    )
    .and_then(|answer| refused(&answer));
    Outcome::of(changed.map(|()| "loopback has another address".into()))
}

fn listing(protocol: i32) -> Outcome {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    // inet_diag_req_v2: family, protocol, extensions, padding, all states, no address.
    let mut body = vec![libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0];
    body.extend(u32::MAX.to_ne_bytes());
    body.extend([0; 48]);
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
    let listed = ask(protocol, &message(SOCK_DIAG_BY_FAMILY, flags, &body))
        .and_then(|answer| refused(&answer).map(|()| answer.len()));
    Outcome::of(listed.map(|n| format!("{n} bytes about the machine's sockets")))
}

fn audit() -> Outcome {
    const AUDIT_GET: u16 = 1000;
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
    match ask(libc::NETLINK_AUDIT, &message(AUDIT_GET, flags, &[])) {
        Err(Errno::EPROTONOSUPPORT) => Outcome::Skipped("this kernel has no audit".into()),
        other => Outcome::of(
            other
                .and_then(|answer| refused(&answer))
                .map(|()| "the audit answered".into()),
        ),
    }
}

fn io_uring(_: &Stage) -> Outcome {
    let mut parameters = [0_u8; 120];
    match call!(libc::SYS_io_uring_setup, 4, &mut parameters[..]) {
        Ok(fd) => {
            drop(own(fd));
            Outcome::Escaped("a ring was made".into())
        }
        Err(Errno::ENOSYS) => Outcome::Held("ENOSYS".into()),
        Err(errno) => Outcome::Held(format!("{errno:?}")),
    }
}
