//! Controls: what a seat must be able to do. Without them a level that stops everything would look perfect.
//!
//! Must not know attacks.

use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};

use super::case::Attack::Control;
use super::case::Case;
use super::files::errno;
use super::others::HOST;
use super::stage::Stage;

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("control.own_workspace", "write, rename and remove in the own workspace", Control(own_workspace)),
    Case::new("control.read_shared", "read the shared tree", Control(read_shared)),
    Case::new("control.allowed_port", "connect to the port that is allowed", Control(allowed_port)),
    Case::new("control.programs", "run a pipeline of a shell in the own workspace", Control(programs)),
    Case::new("control.own_child", "start, signal and reap an own child", Control(own_child)),
    Case::new("control.proc", "read the own entry of /proc", Control(|_| std::fs::read_to_string("/proc/self/status").map(|_| "it was read".into()).map_err(errno))),
];

fn own_workspace(stage: &Stage) -> Result<String, Errno> {
    let (one, two) = (stage.own.join("control"), stage.own.join("renamed"));
    std::fs::write(&one, b"x")
        .and_then(|()| std::fs::rename(&one, &two))
        .and_then(|()| std::fs::remove_file(&two))
        .map_err(errno)?;
    Ok("a file came and went".into())
}

fn read_shared(stage: &Stage) -> Result<String, Errno> {
    let bytes = std::fs::read(stage.shared_file()).map_err(errno)?;
    let names = std::fs::read_dir(&stage.shared).map_err(errno)?.count();
    Ok(format!("{} bytes and {names} names", bytes.len()))
}

fn allowed_port(stage: &Stage) -> Result<String, Errno> {
    use std::io::Read;
    let mut stream =
        TcpStream::connect((Ipv4Addr::LOCALHOST, stage.host.allowed)).map_err(errno)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .map_err(errno)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).map_err(errno)?;
    if &answer == HOST {
        Ok("the host answered".into())
    } else {
        Err(Errno::ENODATA)
    }
}

fn programs(stage: &Stage) -> Result<String, Errno> {
    let output = Command::new("/bin/sh")
        .args(["-c", "echo one two > words && cat words | wc -w"])
        .current_dir(&stage.own)
        .env_clear()
        .env("PATH", super::tools::PATH)
        .stdin(Stdio::null())
        .output()
        .map_err(errno)?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() == "2" {
        Ok("a pipeline ran".into())
    } else {
        Err(Errno::ENOEXEC)
    }
}

fn own_child(_: &Stage) -> Result<String, Errno> {
    let child = super::sys::fork(|| {
        let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::NONE);
        0
    })?;
    kill(child, Signal::SIGTERM)?;
    match waitpid(child, None)? {
        WaitStatus::Signaled(_, Signal::SIGTERM, _) => Ok("it was ended".into()),
        _ => Err(Errno::from_raw(libc::ECHILD)),
    }
}
