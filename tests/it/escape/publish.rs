//! Section 4: what a seat puts on its desk for the host to read.

use super::{Case, Done, cases};

/// A case in which ada does nothing.
const fn alone(bob: &'static str, check: fn(&Done)) -> Case {
    Case {
        files: "",
        ada: "",
        bob,
        check,
    }
}

cases! {
    symlink_to_a_secret: alone(
        "case $1 in 0) ln -s @SECRETS@/secret.txt shared/link ;; esac",
        |done| {
            done.refused("bob link special");
            assert!(done.versions().is_empty());
        },
    );
    symlink_in_the_place_of_a_file: alone(
        "case $1 in 0) rm shared/plan.md; ln -s @SECRETS@/secret.txt shared/plan.md ;; esac",
        |done| {
            done.refused("bob plan.md special");
            assert_eq!(done.shared("plan.md").as_deref(), Some("one\n"), "not taken for a removal");
        },
    );
    symlink_to_a_folder: alone(
        "case $1 in 0) ln -s @SECRETS@ shared/secrets; ln -s ../../../ada/workspace shared/ada; ln -s / shared/root ;; esac",
        |done| {
            for link in ["secrets", "ada", "root"] {
                done.refused(&format!("bob {link} special"));
            }
            assert!(done.versions().is_empty());
        },
    );
    the_desk_itself_is_a_symlink: alone(
        "case $1 in 0) rm -r shared; ln -s @SECRETS@ shared ;; esac",
        |done| {
            assert!(done.versions().is_empty(), "{:?}", done.versions());
            assert_eq!(done.shared("plan.md").as_deref(), Some("one\n"));
        },
    );
    swapped_in_mid_walk: alone(
        r#"case $1 in 0)
            mkdir shared/d; echo mine > shared/d/secret.txt
            python3 -c '
import ctypes, os, time
os.symlink("@SECRETS@", "link")
swap = ctypes.CDLL(None, use_errno=True).renameat2
until = time.monotonic() + 2
while time.monotonic() < until:
    swap(-100, b"shared/d", -100, b"link", 2)
' & echo "$!" > swapper; sleep 0.1
            n=0; while [ $n -lt 25 ]; do desk publish >/dev/null; n=$((n + 1)); done
            kill "$(cat swapper)"; wait; [ -L link ] && echo link left outside || echo link left inside ;; esac"#,
        |done| {
            let kept = done.texts("SELECT CAST(body AS TEXT) FROM contents ORDER BY 1");
            assert_eq!(kept, ["mine\n", "one\n"]);
        },
    );
    hard_link_to_a_foreign_file: alone(
        "case $1 in 0) ln @SECRETS@/secret.txt shared/one; ln ../../ada/workspace/secret.txt shared/two; ln ../../../shared/plan.md shared/three
         ln shared/plan.md own ;; esac",
        |done| assert!(done.versions().is_empty(), "{:?}", done.versions()),
    );
    pipe_socket_and_device: alone(
        "case $1 in 0) mkfifo shared/pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"shared/socket\")'
         mknod shared/device c 1 5; mknod shared/disk b 8 0 ;; esac",
        |done| {
            done.refused("bob pipe special");
            done.refused("bob socket special");
            assert!(done.versions().is_empty());
        },
    );
    set_user_id: alone(
        "case $1 in 0) cp /bin/true shared/tool; chmod 4755 shared/tool; cp /bin/true shared/group; chmod 2755 shared/group ;; esac",
        |done| {
            done.refused("bob tool special");
            done.refused("bob group special");
            assert!(done.versions().is_empty());
        },
    );
    a_sparse_terabyte: alone(
        "case $1 in 0) truncate -s 1T shared/big || truncate -s 900M shared/big ;; esac",
        |done| {
            done.refused("bob big limit");
            assert!(done.versions().is_empty());
        },
    );
    more_files_than_a_tree_holds: alone(
        "case $1 in 0) mkdir shared/many; cd shared/many; python3 -c 'for n in range(20000): open(str(n), \"w\").close()' ;; esac",
        |done| {
            done.refused("bob ** limit");
            assert!(done.versions().is_empty());
        },
    );
    // The writer ends by itself: a signal that ends it may cut its last write in two.
    written_while_it_is_read: alone(
        r#"case $1 in 0)
            python3 -c '
import os, time
file = os.open("shared/torn", os.O_RDWR | os.O_CREAT)
until = time.monotonic() + 2
while time.monotonic() < until:
    for letter in b"AB":
        os.pwrite(file, bytes([letter]) * 60000, 0)
' & sleep 0.2
            n=0; while [ $n -lt 15 ]; do desk publish >/dev/null; n=$((n + 1)); done
            wait ;; esac"#,
        |done| {
            let kept = done.texts("SELECT CAST(body AS TEXT) FROM contents WHERE length(body) > 4");
            assert!(!kept.is_empty());
            for text in kept {
                let first = text.as_bytes()[0];
                let same = text.bytes().take_while(|byte| *byte == first).count();
                assert_eq!((same, text.len()), (60_000, 60_000), "torn");
            }
        },
    );
    a_repository_with_a_hook: alone(
        "case $1 in 0) mkdir -p shared/.git shared/sub/.git shared/.GIT; printf '[core]\\nfsmonitor = touch @SECRETS@/owned\\n' > shared/.git/config
         cp shared/.git/config shared/sub/.git/; echo kept > shared/sub/file ;; esac",
        |done| {
            done.refused("bob .git name");
            done.refused("bob sub/.git name");
            assert_eq!(done.versions()[..2], ["bob sub@1", "bob sub/file@1"]);
            let paths = done.texts("SELECT path FROM versions WHERE path LIKE '%.git%'");
            assert!(paths.is_empty(), "{paths:?}");
        },
    );
    open_and_closed_desks: Case {
        files: "",
        ada: "case $1 in 1) echo ada > ../../bob/workspace/shared/plan.md && echo got in; ls ../../bob/workspace && echo saw it ;; esac",
        bob: "case $1 in 0) chmod -R 777 . ;; 1) chmod 000 shared/plan.md ;; 2) chmod 644 shared/plan.md; chmod 000 shared ;; 3) chmod 755 shared ;; esac",
        check: |done| {
            assert!(!done.logs.contains("got in") && !done.logs.contains("saw it"), "{}", done.logs);
            assert_eq!(done.shared("plan.md").as_deref(), Some("one\n"), "a closed desk is no removal");
        },
    };
    two_with_one_base: Case {
        files: "",
        ada: "case $1 in 0) echo ada > shared/plan.md ;; esac",
        bob: "case $1 in 0) echo bob > shared/plan.md ;; esac",
        check: |done| {
            let (won, lost) = match done.shared("plan.md").as_deref() {
                Some("ada\n") => ("ada", "bob"),
                Some("bob\n") => ("bob", "ada"),
                other => panic!("{other:?}"),
            };
            assert_eq!(done.versions(), [format!("{won} plan.md@2")]);
            assert_eq!(done.refusals(), [format!("{lost} plan.md conflict")]);
            let kept = done.texts("SELECT CAST(body AS TEXT) FROM contents JOIN refusals ON kept = hash");
            assert_eq!(kept, [format!("{lost}\n")], "and the other is kept");
        },
    };
    a_base_too_old_and_one_of_the_future: Case {
        files: "",
        ada: "case $1 in 0) echo two > shared/plan.md ;; 1) echo three > shared/plan.md ;; esac",
        bob: "case $1 in 2) desk resolve plan.md@1; desk resolve plan.md@99; desk resolve plan.md@0; echo bob > shared/plan.md ;; esac",
        check: |done| {
            assert_eq!(done.versions()[..2], ["ada plan.md@2", "ada plan.md@3"]);
            let later = done.versions()[2..].to_vec();
            assert!(later.is_empty() || later == ["bob plan.md@4"], "{later:?}");
            assert!(done.logs.contains("plan.md has"), "{}", done.logs);
            // Bob's base was what he had been shown; what he claims to have seen gives him no other.
            let parents = done.texts("SELECT 'x' FROM file_facts a JOIN file_facts b ON json_extract(a.body, '$.parent') = b.sequence \
                                      WHERE a.path = 'plan.md' AND b.path = 'plan.md' AND b.tick > a.tick");
            assert!(parents.is_empty());
        },
    };
    removed_by_one_and_edited_by_another: Case {
        files: "",
        ada: "case $1 in 0) rm shared/plan.md ;; esac",
        bob: "case $1 in 0) echo more >> shared/plan.md ;; esac",
        check: |done| {
            assert_eq!((done.versions().len(), done.refusals().len()), (1, 1), "{}", done.logs);
            assert!(done.refusals()[0].ends_with("plan.md conflict"), "{:?}", done.refusals());
            let edited = done.versions() == ["bob plan.md@2"];
            assert_eq!(done.shared("plan.md").as_deref(), edited.then_some("one\nmore\n"));
        },
    };
    folder_against_file: Case {
        files: "",
        ada: "case $1 in 0) echo text > shared/x ;; esac",
        bob: "case $1 in 0) mkdir shared/x; echo y > shared/x/y ;; esac",
        check: |done| {
            let paths = done.texts("SELECT DISTINCT seat FROM versions WHERE seat IS NOT NULL");
            assert_eq!(paths.len(), 1, "one of the two: {:?}", done.versions());
            assert!(!done.refusals().is_empty());
        },
    };
    names_that_no_tree_takes: alone(
        r#"case $1 in 0) cd shared; python3 -c '
import os
def make(name):
    try:
        open(name, "w").close()
    except OSError as error:
        print(error)
make(b"\xff\xfe"); make("a\nb"); make("x" * 255); make("y" * 252 + "\u00e9"); make("Plan.md"); make(".stage"); make("shared.old")
deep = "d/" * 70
os.makedirs(deep); make(deep + "f")
' ;; esac"#,
        |done| {
            let refusals = done.refusals();
            assert!(refusals.len() >= 2, "{refusals:?}");
            assert!(refusals.iter().all(|refusal| refusal.ends_with(" name") || refusal.ends_with(" limit")), "{refusals:?}");
            let deep = done.texts("SELECT path FROM versions WHERE path LIKE 'd/d/%'");
            assert!(deep.iter().all(|path| path.split('/').count() <= 64), "{deep:?}");
        },
    );
    paths_out_of_the_tree: Case {
        files: "publish = \"explicit\"",
        ada: "",
        bob: r#"case $1 in 0) for p in .. ../secret.txt /etc/passwd shared/../.. a/../../b . '' "$(printf 'a\nb')" -- '**/..'; do
            desk publish "$p"; desk lease "$p"; desk show "$p@1"; desk take "$p"; desk log "$p"; desk resolve "$p@1"; done ;; esac"#,
        check: |done| {
            assert!(done.versions().is_empty());
            let leases = done.texts("SELECT path FROM leases");
            assert!(leases.iter().all(|path| !path.contains("..") && !path.starts_with('/')), "{leases:?}");
        },
    };
}
