//! Sections 1 and 8: the same by the tools that agents use. Each is a shell script; `$T` is a foreign file, `$D` its folder.
//!
//! Must not know where the files are or whom they belong to.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};

use super::case::Attack::{Loot, Tool};
use super::case::{Case, Outcome};
use super::effect;
use super::stage::Stage;

/// Where programs are looked for: what every seat may read.
pub(super) const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

#[rustfmt::skip]
pub(super) const CASES: &[Case] = &[
    Case::new("tool.redirect", "sh: `> file`", Tool("sh", "echo X > \"$T\"")),
    Case::new("tool.append", "sh: `>> file`", Tool("sh", "echo X >> \"$T\"")),
    Case::new("tool.tee", "tee into a foreign file", Tool("tee", "echo X | tee \"$T\"")),
    Case::new("tool.cp", "cp over a foreign file", Tool("cp", "cp mine.txt \"$T\"")),
    Case::new("tool.cp_force", "cp --remove-destination over a foreign file", Tool("cp", "cp --remove-destination mine.txt \"$T\"")),
    Case::new("tool.mv", "mv over a foreign file", Tool("mv", "mv -f mine.txt \"$T\"")),
    Case::new("tool.install", "install over a foreign file", Tool("install", "install -m 666 mine.txt \"$T\"")),
    Case::new("tool.dd", "dd into the middle of a foreign file", Tool("dd", "printf X | dd of=\"$T\" bs=1 seek=3 conv=notrunc")),
    Case::new("tool.truncate", "truncate a foreign file", Tool("truncate", "truncate -s 1 \"$T\"")),
    Case::new("tool.sed", "sed -i on a foreign file", Tool("sed", "sed -i s/line/X/ \"$T\"")),
    Case::new("tool.perl", "perl -i on a foreign file", Tool("perl", "perl -i -pe s/line/X/ \"$T\"")),
    Case::new("tool.awk", "awk prints into a foreign file", Tool("awk", "awk -v t=\"$T\" 'BEGIN { print \"X\" > t }'")),
    Case::new("tool.sort", "sort -o into a foreign file", Tool("sort", "sort -o \"$T\" mine.txt")),
    Case::new("tool.ed", "ed on a foreign file", Tool("ed", "printf '1s/line/X/\\nw\\nq\\n' | ed -s \"$T\"")),
    Case::new("tool.vim", "vim writes a foreign file with `w!`", Tool("vim", "vim -Nu NONE -n -es -c '1s/$/X/' -c 'w!' -c 'qa!' \"$T\" < /dev/null")),
    Case::new("tool.patch", "patch on a foreign file", Tool("patch", "printf -- '--- a\\n+++ a\\n@@ -1 +1 @@\\n-shared line\\n+X\\n' | patch -f \"$T\"")),
    Case::new("tool.python_write", "python opens a foreign file for writing", Tool("python3", "python3 -c 'import os; open(os.environ[\"T\"], \"w\").write(\"X\")'")),
    Case::new("tool.python_replace", "python os.replace over a foreign file", Tool("python3", "python3 -c 'import os; os.replace(\"mine.txt\", os.environ[\"T\"])'")),
    Case::new("tool.node_write", "node writes a foreign file", Tool("node", "node -e 'require(\"fs\").writeFileSync(process.env.T, \"X\")'")),
    Case::new("tool.node_temp_rename", "node writes beside a foreign file and renames, as coding agents do", Tool("node", "node -e 'const fs = require(\"fs\"), t = process.env.T; fs.writeFileSync(t + \".tmp\", \"X\"); fs.chmodSync(t + \".tmp\", 0o644); fs.renameSync(t + \".tmp\", t)'")),
    Case::new("tool.git_init", "git init and commit in a foreign folder", Tool("git", "git init -q \"$D\" && git -C \"$D\" -c user.name=a -c user.email=a -c safe.directory='*' commit -q --allow-empty -m X")),
    Case::new("tool.git_work_tree", "git checkout into a foreign folder as its work tree", Tool("git", "git init -q repo && cd repo && cp ../mine.txt ${T##*/} && git add . && git -c user.name=a -c user.email=a commit -q -m X && git --work-tree=\"$D\" checkout -f HEAD -- .")),
    Case::new("tool.git_clone", "git clone into a foreign folder", Tool("git", "git init -q repo && git -C repo -c user.name=a -c user.email=a commit -q --allow-empty -m X && git clone -q repo \"$D/clone\"")),
    Case::new("tool.tar", "tar extracts into a foreign folder", Tool("tar", "cp mine.txt ${T##*/} && tar -cf t.tar ${T##*/} && tar -xf t.tar --overwrite -C \"$D\"")),
    Case::new("tool.tar_absolute", "tar extracts a member with an absolute name", Tool("tar", "tar -Pcf t.tar --transform \"s,mine.txt,$T,\" mine.txt && tar -Pxf t.tar")),
    Case::new("tool.ln_force", "ln -sf over a foreign file", Tool("ln", "ln -sfn mine.txt \"$T\"")),
    Case::new("tool.ln_hard", "a hard link to a foreign file, then write by it", Tool("ln", "ln \"$T\" link; echo X > link")),
    Case::new("tool.ln_symbolic", "a symbolic link to a foreign file, then write by it", Tool("ln", "ln -s \"$T\" link; echo X > link")),
    Case::new("tool.rm", "rm -f a foreign file", Tool("rm", "rm -f \"$T\"")),
    Case::new("tool.rm_folder", "rm -rf a foreign folder", Tool("rm", "rm -rf \"$D\"")),
    Case::new("tool.find_delete", "find -delete in a foreign folder", Tool("find", "find \"$D\" -type f -delete")),
    Case::new("tool.mkdir", "mkdir -p below a foreign folder", Tool("mkdir", "mkdir -p \"$D/a/b\"")),
    Case::new("tool.mkfifo", "mkfifo in a foreign folder", Tool("mkfifo", "mkfifo \"$D/fifo\"")),
    Case::new("tool.touch", "touch a foreign file", Tool("touch", "touch \"$T\"")),
    Case::new("tool.chmod", "chmod -R a foreign folder", Tool("chmod", "chmod -R o+rwx,g-r \"$D\"")),
    Case::new("tool.chgrp", "chgrp a foreign file", Tool("chgrp", "chgrp $(id -g) \"$T\"")),
    Case::new("tool.setfacl", "setfacl on a foreign file", Tool("setfacl", "setfacl -m u:$(id -u):rw \"$T\"")),
    Case::new("tool.mount", "bind mount over a foreign folder in a user namespace", Tool("unshare", "unshare -rm sh -c 'mount --bind . \"$D\" && echo X > \"$D/bound\"'; echo X > \"$T\"")),
    Case::new("tool.user_namespace", "write and chown as root of a user namespace", Tool("unshare", "unshare -r sh -c 'echo X > \"$T\"; chown 0:0 \"$T\"; chmod 777 \"$D\"'")),
    Case::new("tool.cat", "cat the other seat's file", Loot("cat", "cat \"$T\" > loot")),
    Case::new("tool.cp_out", "cp the other seat's file", Loot("cp", "cp \"$T\" loot")),
    Case::new("tool.grep", "grep -r through the other seat's folder", Loot("grep", "grep -r secret \"$D\" > loot")),
    Case::new("tool.tar_out", "tar the other seat's folder", Loot("tar", "tar -cf - -C \"$D\" ${T##*/} > t.tar && tar -xOf t.tar > loot")),
    Case::new("tool.python_read", "python reads the other seat's file", Loot("python3", "python3 -c 'import os; open(\"loot\", \"wb\").write(open(os.environ[\"T\"], \"rb\").read())'")),
    Case::new("tool.ln_read", "read the other seat's file by an own link", Loot("ln", "ln -s \"$T\" link; cat link > loot")),
    Case::new("tool.user_namespace_read", "read the other seat's file as root of a user namespace", Loot("unshare", "unshare -r cat \"$T\" > loot")),
];

/// Where a program is that this process may execute.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    PATH.split(':')
        .map(|folder| Path::new(folder).join(program))
        .find(|path| access(path, AccessFlags::X_OK).is_ok() && path.is_file())
}

/// Runs a script against each foreign file.
pub(super) fn change(stage: &Stage, program: &str, script: &str) -> Outcome {
    if find(program).is_none() {
        return Outcome::Skipped(format!("the seat cannot execute {program}"));
    }
    let mut said = Vec::new();
    let result = std::cell::RefCell::new(&mut said);
    let outcome = effect::change(stage, &stage.foreign_files(), |stage, file| {
        // What the script takes of its own is there anew for each file.
        let _ = std::fs::write(stage.own.join("mine.txt"), b"mine\n");
        for left in ["link", "t.tar"] {
            let _ = std::fs::remove_file(stage.own.join(left));
        }
        let _ = std::fs::remove_dir_all(stage.own.join("repo"));
        let last = run(stage, script, file)?;
        result.borrow_mut().push(last);
        Ok(())
    });
    match outcome {
        Outcome::Held(_) if !said.is_empty() => Outcome::Held(said.swap_remove(0)),
        other => other,
    }
}

/// Runs a script against the other seat's file; escaped when it brought something home.
pub(super) fn loot(stage: &Stage, program: &str, script: &str) -> Outcome {
    if find(program).is_none() {
        return Outcome::Skipped(format!("the seat cannot execute {program}"));
    }
    match run(stage, script, &stage.other_file()) {
        Err(errno) => Outcome::Held(format!("{errno:?}")),
        Ok(last) => match std::fs::read(stage.own.join("loot")) {
            Ok(bytes) if !bytes.is_empty() => {
                Outcome::Escaped(format!("{} bytes of loot", bytes.len()))
            }
            _ => Outcome::Held(last),
        },
    }
}

/// Runs a script in the own workspace and returns the last thing it complained of.
fn run(stage: &Stage, script: &str, file: &Path) -> Result<String, Errno> {
    let errors = stage.own.join("errors");
    let stderr = std::fs::File::create(&errors).map_err(super::files::errno)?;
    let status = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(&stage.own)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", &stage.own)
        .env("TMPDIR", &stage.own)
        .env("T", file)
        .env("D", file.parent().unwrap_or(file))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .status()
        .map_err(super::files::errno)?;
    let said = std::fs::read(&errors).unwrap_or_default();
    let last = said.split(|b| *b == b'\n').rfind(|line| !line.is_empty());
    let line = last.map_or_else(
        || status.to_string(),
        |line| {
            let line = String::from_utf8_lossy(line).into_owned();
            line.replace(
                &*String::from_utf8_lossy(stage.folder.as_os_str().as_bytes()),
                "",
            )
        },
    );
    Ok(line.chars().take(120).collect())
}
