//! Section 3: holders whose time is over, and what they still have in hand; and the door of the desk under attack.

use super::{Case, cases};

cases! {
    stopped_past_the_end_of_its_lease: Case {
        files: "",
        // Ada comes when bob's lease is over; he wakes after her.
        ada: "case $1 in 1) while [ ! -e asleep ] && ! desk leases | grep -q 'plan.md'; do sleep 0.02; done
              until desk lease plan.md 20; do sleep 0.05; done; echo ada > shared/plan.md; desk publish; desk release plan.md ;; esac",
        bob: "case $1 in 1) desk lease plan.md 0.4; echo bob > shared/plan.md; (sleep 3; kill -CONT $$) & kill -STOP $$; wait ;; esac",
        check: |done| {
            assert_eq!(done.versions(), ["ada plan.md@2"], "{}", done.logs);
            done.refused("bob plan.md conflict");
            assert_eq!(done.shared("plan.md").as_deref(), Some("ada\n"));
            let ends = done.texts("SELECT seat || ' ' || what FROM leases WHERE what <> 'granted' ORDER BY sequence");
            assert_eq!(ends, ["bob expired", "ada released"]);
        },
    };
    an_old_lease_is_renewed_and_given_back: Case {
        files: "",
        ada: "case $1 in 1) desk lease plan.md 20 ;; esac",
        bob: "case $1 in 0) desk lease plan.md 0.1; sleep 0.3 ;; 2) desk lease plan.md 5; desk release plan.md; echo bob > shared/plan.md ;; esac",
        check: |done| {
            assert!(done.versions().is_empty(), "{:?}", done.versions());
            done.refused("bob plan.md leased");
            assert!(done.logs.contains("you hold no lease with token 1"), "{}", done.logs);
            let tokens = done.texts("SELECT seat || ' ' || what FROM leases WHERE what IN ('granted', 'released') ORDER BY sequence");
            assert_eq!(tokens, ["bob granted", "ada granted"]);
        },
    };
    a_token_in_the_message: Case {
        files: "publish = \"explicit\"",
        ada: "case $1 in 0) desk lease plan.md 20 ;; esac",
        // The holder's token is no secret: nothing takes it from an agent's hand.
        bob: r#"case $1 in 1) echo bob > shared/plan.md; python3 - <<'P'
import json, os, socket
at = os.path.dirname(os.getcwd())
for message in ({"type": "publish", "token": 1}, {"type": "publish", "tokens": [1, 2, 3]}, {"type": "publish", "seat": "ada"},
                {"type": "publish", "paths": ["plan.md"], "base": 99}):
    asking = socket.socket(socket.AF_UNIX)
    asking.connect(at + "/desk.sock")
    token = at + "/program/desk.token"
    if os.path.exists(token):
        asking.sendall(open(token, "rb").read().strip() + b"\n")
    asking.sendall(json.dumps(message).encode() + b"\n")
    print(asking.recv(4096).decode())
P
        desk publish ;; esac"#,
        check: |done| {
            assert!(done.versions().is_empty(), "{:?}", done.versions());
            done.refused("bob plan.md leased");
        },
    };
    descriptors_of_before: Case {
        files: "",
        ada: "case $1 in 1) echo ada > shared/plan.md ;; esac",
        // Descriptor, mapping and folder are of the version before; what is written by them stays bob's own.
        bob: r#"case $1 in 0) python3 -c '
import mmap, os, time
file = os.open("shared/plan.md", os.O_RDWR)
seen = mmap.mmap(file, 4)
folder = os.open("shared", os.O_DIRECTORY)
os.chdir("shared")
if os.fork() == 0:
    os.setsid()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        os.pwrite(file, b"bob\n", 0); seen[0:4] = b"BOB\n"
        time.sleep(0.005)
    os._exit(0)
' ;; 2|3) sleep 0.3 ;; esac"#,
        check: |done| {
            let ada = done.versions().iter().position(|version| version.starts_with("ada"));
            let refused = done.refusals();
            assert!(ada.is_some() || refused.iter().any(|refusal| refusal == "ada plan.md conflict"), "{:?} {refused:?}", done.versions());
            // Ada's words were never overwritten by one who had not seen them.
            let over = done.texts("SELECT b.seat FROM versions a JOIN versions b ON b.path = a.path AND b.version = a.version + 1 \
                                   WHERE a.seat = 'ada' AND b.seat = 'bob' AND NOT b.merged");
            assert!(over.is_empty(), "{:?}", done.versions());
        },
    };
    a_daemon_of_one_who_is_gone: Case {
        files: "lease_ms = 20000",
        ada: "case $1 in 2) desk lease plan.md && echo ada > shared/plan.md ;; 3) sleep 0.5 ;; esac",
        bob: r#"case $1 in 1) desk lease plan.md 20; echo bob > shared/plan.md
            setsid sh -c 'trap "" HUP TERM; while :; do desk publish; desk lease plan.md 20; echo again >> shared/plan.md; done' >/dev/null 2>&1 &
            sleep 0.2; kill -9 $PPID; sleep 5 ;; esac"#,
        check: |done| {
            let last = done.texts("SELECT seat FROM versions WHERE path = 'plan.md' ORDER BY sequence DESC LIMIT 1");
            assert_eq!(last, ["ada"], "{:?}", done.versions());
            let ended = done.texts("SELECT what FROM leases WHERE seat = 'bob' ORDER BY sequence DESC LIMIT 1");
            assert_eq!(ended, ["holder_gone"]);
            assert_eq!(done.shared("plan.md").as_deref(), Some("ada\n"));
        },
    };
    all_for_ever: Case {
        files: "lease_ms = 1000",
        ada: "case $1 in 2) sleep 1.2; desk lease plan.md || echo still held ;; esac",
        bob: "case $1 in 0) desk lease '**' 86400; desk lease '**' -1; desk lease '**' 1e300; desk lease '**' nan; desk lease '**' ;; esac",
        check: |done| {
            let granted = done.texts("SELECT seat || ' ' || path FROM leases WHERE what = 'granted' ORDER BY sequence");
            assert_eq!(granted, ["bob **", "ada plan.md"], "{}", done.logs);
        },
    };
    the_door_is_flooded: Case {
        files: "",
        ada: "case $1 in 1) desk status >/dev/null && echo ada was served ;; esac",
        bob: r#"case $1 in 0) python3 - <<'P'
import os, socket
at = os.path.dirname(os.getcwd()) + "/desk.sock"
held = []
for n in range(300):
    try:
        asking = socket.socket(socket.AF_UNIX)
        asking.settimeout(2)
        asking.connect(at)
        asking.sendall([b"", b"{", b"\xff" * 100 + b"\n", b"x" * 100000, b"[" * 50000 + b"\n", b'{"type":"act","tick":0}\n'][n % 6])
        held.append(asking)
    except OSError:
        pass
P
        ;; 1) sleep 0.2; desk status >/dev/null && echo bob too ;; esac"#,
        check: |done| {
            assert!(done.logs.contains("ada was served") && done.logs.contains("bob too"), "{}", done.logs);
            assert!(done.versions().is_empty());
        },
    };
    pages_of_the_shared_tree_by_way_of_the_desk: Case {
        files: "",
        ada: "",
        bob: r#"case $1 in 0) for t in ../../../shared/plan.md ../../../run.db ../../../staging/x ../../ada/program/desk.token; do
            echo x >> $t; sed -i s/one/two/ $t; mv shared/plan.md $t; cp shared/plan.md $t; rm -f $t; ln -f shared/plan.md $t; done
            rm -rf ../../../shared ../../../staging ../program ../desk.sock ;; esac"#,
        check: |done| {
            assert_eq!(done.shared("plan.md").as_deref(), Some("one\n"));
            assert!(done.versions().is_empty(), "{:?}", done.versions());
        },
    };
}
