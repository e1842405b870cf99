//! Section 6, the internet's sockets: ports that a seat may not reach, protocols that a filter of ports forgets.
//!
//! Must not know which filter is in force.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::case::Attack::Free;
use super::case::{Case, Outcome};
use super::files::errno;
use super::ipc::on;
use super::others::HOST;
use super::stage::Stage;
use super::sys::{call, own, words};

/// How long an answer of loopback may take.
const ANSWER: Duration = Duration::from_millis(1500);
const FOUR: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("net.tcp", "connect to a port of the host's that is not allowed", Free(|s| tcp(FOUR.into(), s.host.forbidden))),
    Case::new("net.tcp_any_address", "the same by the address 0.0.0.0", Free(|s| tcp(Ipv4Addr::UNSPECIFIED.into(), s.host.forbidden))),
    Case::new("net.tcp_ipv6", "the same by ::1", Free(|s| on(s.host.six.then_some(s.host.forbidden), |port| tcp_at(Ipv6Addr::LOCALHOST.into(), port)))),
    Case::new("net.tcp_mapped", "the same by an IPv4 address in IPv6 form", Free(|s| tcp(FOUR.to_ipv6_mapped().into(), s.host.forbidden))),
    Case::new("net.tcp_nonblocking", "the same without waiting for the connection", Free(|s| socket_connect(s, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0))),
    Case::new("net.tcp_port_elsewhere", "connect to the allowed port on another address", Free(|s| on(s.host.elsewhere.then_some(s.host.allowed), |port| tcp_at(Ipv4Addr::new(127, 0, 0, 2).into(), port)))),
    Case::new("net.tcp_bound_source", "bind the source to the allowed port, then connect", Free(bound_source)),
    Case::new("net.tcp_reconnect", "connect as allowed, dissolve (AF_UNSPEC), connect again", Free(reconnect)),
    Case::new("net.mptcp", "connect by multipath TCP", Free(|s| socket_connect(s, libc::SOCK_STREAM, libc::IPPROTO_MPTCP))),
    Case::new("net.fast_open", "connect by sending with MSG_FASTOPEN", Free(|s| fast_open(s, 0))),
    Case::new("net.fast_open_mptcp", "MSG_FASTOPEN on a multipath socket", Free(|s| fast_open(s, libc::IPPROTO_MPTCP))),
    Case::new("net.fast_open_connect", "connect with TCP_FASTOPEN_CONNECT, where the first write connects", Free(fast_open_connect)),
    Case::new("net.udp", "send a datagram to the host and get its answer", Free(|s| on(s.host.udp, |port| udp(FOUR.into(), port)))),
    Case::new("net.udp_ipv6", "the same by IPv6", Free(|s| on(s.host.udp6, |port| udp(Ipv6Addr::LOCALHOST.into(), port)))),
    Case::new("net.udp_sendmmsg", "send datagrams in a batch, without connecting", Free(|s| on(s.host.udp, sendmmsg))),
    Case::new("net.udp_lite", "send a UDP-Lite datagram", Free(|s| on(s.host.udplite, |port| datagram(libc::SOCK_DGRAM, libc::IPPROTO_UDPLITE, port)))),
    Case::new("net.sctp", "connect by SCTP", Free(|s| protocol(s.host.sctp, libc::SOCK_STREAM, libc::IPPROTO_SCTP))),
    Case::new("net.sctp_packets", "open an SCTP socket of packets", Free(|_| opens(libc::AF_INET, libc::SOCK_SEQPACKET, libc::IPPROTO_SCTP))),
    Case::new("net.dccp", "open a DCCP socket", Free(|_| opens(libc::AF_INET, 6, libc::IPPROTO_DCCP))),
    Case::new("net.ping", "open a socket for ICMP echo", Free(|_| opens(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP))),
    Case::new("net.raw", "open a raw IP socket", Free(|_| opens(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW))),
    Case::new("net.raw_tcp", "open a raw socket that sees all TCP", Free(|_| opens(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_TCP))),
    Case::new("net.raw_ipv6", "open a raw IPv6 socket", Free(|_| opens(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6))),
    Case::new("net.packet", "open a packet socket, which sees every frame", Free(|_| opens(libc::AF_PACKET, libc::SOCK_RAW, 0x300))),
    Case::new("net.raw_namespace", "open a raw socket in own user and network namespaces", Free(raw_namespace)),
    Case::new("net.bind", "bind a TCP port", Free(|_| Outcome::of(bind(libc::SOCK_STREAM, 0).map(|_| "a port is bound".into())))),
    Case::new("net.bind_udp", "bind a UDP port", Free(|_| Outcome::of(bind(libc::SOCK_DGRAM, 0).map(|_| "a port is bound".into())))),
    Case::new("net.listen", "bind, listen and be reached by another process", Free(|_| Outcome::of(bind(libc::SOCK_STREAM, 0).and_then(|fd| call!(libc::SYS_listen, &fd, 4)).map(|_| "it listens".into())))),
    Case::new("net.listen_unbound", "listen without bind, which takes a free port", Free(listen_unbound)),
    Case::new("net.steal_port", "bind the host's own port as well (SO_REUSEADDR, SO_REUSEPORT)", Free(steal_port)),
    Case::new("net.steal_port_any", "bind the host's port on all addresses", Free(steal_port_any)),
    Case::new("net.low_port", "bind a port below 1024 to pass for a service of the system", Free(|_| Outcome::of(bind(libc::SOCK_STREAM, 81).map(|_| "port 81 is bound".into())))),
];

/// `struct sockaddr_in`.
pub(super) fn inet(ip: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend(ip.octets());
    bytes.extend([0; 8]);
    bytes
}

/// Answers `Ok` only to the host's own words: the effect, not the call.
fn expect_host(received: &[u8]) -> Result<String, Errno> {
    if received == HOST {
        Ok("the host answered".into())
    } else {
        Err(Errno::ENODATA)
    }
}

fn tcp(ip: IpAddr, port: u16) -> Outcome {
    Outcome::of(tcp_at(ip, port))
}

fn tcp_at(ip: IpAddr, port: u16) -> Result<String, Errno> {
    let address = SocketAddr::new(ip, port);
    hear(TcpStream::connect_timeout(&address, ANSWER).map_err(errno)?)
}

fn hear(mut stream: TcpStream) -> Result<String, Errno> {
    let mut answer = [0; 4];
    stream.set_nonblocking(false).map_err(errno)?;
    stream.set_read_timeout(Some(ANSWER)).map_err(errno)?;
    stream.read_exact(&mut answer).map_err(errno)?;
    expect_host(&answer)
}

fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    call!(
        libc::SYS_socket,
        family,
        kind | libc::SOCK_CLOEXEC,
        protocol
    )
    .map(own)
}

fn connect(fd: &OwnedFd, port: u16) -> Result<(), Errno> {
    let address = inet(FOUR, port);
    match call!(libc::SYS_connect, fd, &address[..], address.len()) {
        Err(Errno::EINPROGRESS) => Ok(()),
        other => other.map(drop),
    }
}

fn socket_connect(stage: &Stage, kind: i32, protocol: i32) -> Outcome {
    Outcome::of(socket(libc::AF_INET, kind, protocol).and_then(|fd| {
        connect(&fd, stage.host.forbidden)?;
        hear(TcpStream::from(fd))
    }))
}

fn bound_source(stage: &Stage) -> Outcome {
    Outcome::of(socket(libc::AF_INET, libc::SOCK_STREAM, 0).and_then(|fd| {
        let one = 1_i32.to_ne_bytes();
        for option in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
            let _ = call!(
                libc::SYS_setsockopt,
                &fd,
                libc::SOL_SOCKET,
                option,
                &one[..],
                4
            );
        }
        let address = inet(Ipv4Addr::new(127, 0, 0, 3), stage.host.allowed);
        call!(libc::SYS_bind, &fd, &address[..], address.len())?;
        connect(&fd, stage.host.forbidden)?;
        hear(TcpStream::from(fd))
    }))
}

fn reconnect(stage: &Stage) -> Outcome {
    Outcome::of(socket(libc::AF_INET, libc::SOCK_STREAM, 0).and_then(|fd| {
        // Whether the allowed port can be reached is the level's business; the socket is used again in any case.
        let _ = connect(&fd, stage.host.allowed);
        let nothing = [0_u8; 16];
        let _ = call!(libc::SYS_connect, &fd, &nothing[..], nothing.len());
        connect(&fd, stage.host.forbidden)?;
        hear(TcpStream::from(fd))
    }))
}

fn fast_open(stage: &Stage, protocol: i32) -> Outcome {
    Outcome::of(
        socket(libc::AF_INET, libc::SOCK_STREAM, protocol).and_then(|fd| {
            let address = inet(FOUR, stage.host.forbidden);
            call!(
                libc::SYS_sendto,
                &fd,
                &b"x"[..],
                1,
                libc::MSG_FASTOPEN,
                &address[..],
                address.len()
            )?;
            hear(TcpStream::from(fd))
        }),
    )
}

fn fast_open_connect(stage: &Stage) -> Outcome {
    const TCP_FASTOPEN_CONNECT: i32 = 30;
    Outcome::of(socket(libc::AF_INET, libc::SOCK_STREAM, 0).and_then(|fd| {
        let one = 1_i32.to_ne_bytes();
        let option = TCP_FASTOPEN_CONNECT;
        call!(
            libc::SYS_setsockopt,
            &fd,
            libc::IPPROTO_TCP,
            option,
            &one[..],
            4
        )?;
        connect(&fd, stage.host.forbidden)?;
        super::sys::write(&fd, b"x")?;
        hear(TcpStream::from(fd))
    }))
}

fn udp(ip: IpAddr, port: u16) -> Result<String, Errno> {
    let any: IpAddr = if ip.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).map_err(errno)?;
    socket.set_read_timeout(Some(ANSWER)).map_err(errno)?;
    socket.send_to(b"x", (ip, port)).map_err(errno)?;
    let mut answer = [0; 16];
    let (n, _) = socket.recv_from(&mut answer).map_err(errno)?;
    expect_host(&answer[..n])
}

/// A datagram from a socket that was never bound nor connected.
fn datagram(kind: i32, protocol: i32, port: u16) -> Result<String, Errno> {
    let fd = socket(libc::AF_INET, kind, protocol)?;
    let address = inet(FOUR, port);
    call!(
        libc::SYS_sendto,
        &fd,
        &b"x"[..],
        1,
        0,
        &address[..],
        address.len()
    )?;
    receive(fd)
}

fn receive(fd: OwnedFd) -> Result<String, Errno> {
    let socket = UdpSocket::from(fd);
    socket.set_read_timeout(Some(ANSWER)).map_err(errno)?;
    let mut answer = [0; 16];
    let (n, _) = socket.recv_from(&mut answer).map_err(errno)?;
    expect_host(&answer[..n])
}

fn sendmmsg(port: u16) -> Result<String, Errno> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let address = inet(FOUR, port);
    let byte = *b"x";
    let part = words(&[byte.as_ptr() as u64, 1]);
    // struct mmsghdr: name and its length, parts and their number, control and its length, flags, sent.
    let message = words(&[
        address.as_ptr() as u64,
        address.len() as u64,
        part.as_ptr() as u64,
        1,
        0,
        0,
        0,
        0,
    ]);
    call!(libc::SYS_sendmmsg, &fd, &message[..], 1, 0)?;
    receive(fd)
}

fn protocol(port: Option<u16>, kind: i32, protocol: i32) -> Outcome {
    let Some(port) = port else {
        // The host has no such service, which does not keep a seat from opening the socket.
        return opens(libc::AF_INET, kind, protocol);
    };
    Outcome::of(socket(libc::AF_INET, kind, protocol).and_then(|fd| {
        connect(&fd, port)?;
        hear(TcpStream::from(fd))
    }))
}

/// For protocols of which the socket alone is too much. Skipped where the kernel does not have them.
pub(super) fn opens(family: i32, kind: i32, protocol: i32) -> Outcome {
    match socket(family, kind, protocol) {
        Ok(_) => Outcome::Escaped("the socket was opened".into()),
        Err(
            errno @ (Errno::EAFNOSUPPORT
            | Errno::EPROTONOSUPPORT
            | Errno::ESOCKTNOSUPPORT
            | Errno::EINVAL),
        ) => Outcome::Skipped(format!("this kernel does not have it ({errno:?})")),
        Err(errno) => Outcome::Held(format!("{errno:?}")),
    }
}

fn raw_namespace(_: &Stage) -> Outcome {
    // It would see its own namespace only, but runs code of the kernel that seats have no need of.
    let both = libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
    Outcome::of(
        call!(libc::SYS_unshare, both)
            .and_then(|_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0x300))
            .map(|_| "a packet socket in a namespace of its own".into()),
    )
}

fn bind(kind: i32, port: u16) -> Result<OwnedFd, Errno> {
    let fd = socket(libc::AF_INET, kind, 0)?;
    let address = inet(FOUR, port);
    call!(libc::SYS_bind, &fd, &address[..], address.len())?;
    Ok(fd)
}

fn listen_unbound(_: &Stage) -> Outcome {
    let listening =
        socket(libc::AF_INET, libc::SOCK_STREAM, 0).and_then(|fd| call!(libc::SYS_listen, &fd, 4));
    Outcome::of(listening.map(|_| "it listens on a port of the kernel's choice".into()))
}

fn reusing(ip: Ipv4Addr, port: u16) -> Outcome {
    Outcome::of(socket(libc::AF_INET, libc::SOCK_STREAM, 0).and_then(|fd| {
        let one = 1_i32.to_ne_bytes();
        for option in [libc::SO_REUSEADDR, libc::SO_REUSEPORT] {
            call!(
                libc::SYS_setsockopt,
                &fd,
                libc::SOL_SOCKET,
                option,
                &one[..],
                4
            )?;
        }
        let address = inet(ip, port);
        call!(libc::SYS_bind, &fd, &address[..], address.len())?;
        call!(libc::SYS_listen, &fd, 4)?;
        Ok("it listens on the host's port".into())
    }))
}

fn steal_port(stage: &Stage) -> Outcome {
    reusing(FOUR, stage.host.allowed)
}

fn steal_port_any(stage: &Stage) -> Outcome {
    reusing(Ipv4Addr::UNSPECIFIED, stage.host.allowed)
}
