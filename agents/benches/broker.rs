//! What does a durable publish cost beside a plain durable write, alone and with sixteen publishers at once; what a scan
//! of a desk with 1000 files; what a lease?
//!
//! The limit in the same run: write, fsync and rename of the same 8 KiB on the same disk. The journal is SQLite with
//! synchronous=FULL. `cargo bench -p formicarium-agents --bench broker`.

#[path = "../tests/journal/sqlite.rs"]
mod sqlite;

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use formicarium_agents::broker::*;
use formicarium_agents::workspace::desk::{Desk, DeskPlan};

const BYTES: usize = 8 * 1024;
const PUBLISHERS: u64 = 16;
const FILES: usize = 1000;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("formicarium-bench-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Another content each time, so that none is known already.
fn content() -> Arc<[u8]> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut content = vec![b'x'; BYTES];
    content[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    content.into()
}

fn plain(folder: &Path, name: &str) {
    let temporary = folder.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary).expect("a file");
    file.write_all(&content()).expect("written");
    file.sync_all().expect("synced");
    fs::rename(&temporary, folder.join(name)).expect("renamed");
}

/// As they are by default, but for as long as a bench may take.
fn limits() -> Limits {
    Limits {
        kept_bytes: u64::MAX,
        ..Limits::default()
    }
}

fn open(folder: &Path) -> Broker {
    let journal = sqlite::Sqlite::open(&folder.join("run.db")).expect("a journal");
    Broker::open(folder, Box::new(journal), limits(), 0)
        .expect("a broker")
        .0
}

/// A publisher that knows what it published last.
struct Publisher {
    path: TreePath,
    base: Base,
}

impl Publisher {
    fn new(n: u64) -> Publisher {
        Publisher {
            path: TreePath::new(&format!("file-{n}")).expect("a path"),
            base: Base::NONE,
        }
    }

    fn publish(&self) -> Publish {
        let change = Change {
            path: self.path.clone(),
            wanted: Wanted::file(content(), false),
            base: self.base,
            from: None,
        };
        Publish {
            seat: Some("bench".into()),
            changes: vec![change],
            ..Publish::default()
        }
    }

    fn settle(&mut self, outcome: &Outcome) {
        let version = &outcome.versions[0];
        self.base = Base {
            version: Some(version.sequence),
            state: version.state,
        };
    }
}

/// Splits `count` over threads and measures until the last is done.
fn at_once(count: u64, work: impl Fn(u64, u64) + Sync) -> Duration {
    let began = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..PUBLISHERS {
            let (work, own) = (
                &work,
                count / PUBLISHERS + u64::from(n < count % PUBLISHERS),
            );
            scope.spawn(move || work(n, own));
        }
    });
    began.elapsed()
}

fn publishes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("durable 8 KiB");
    group
        .throughput(Throughput::Elements(1))
        .sample_size(20)
        .measurement_time(Duration::from_secs(6));
    let folder = Folder::new("plain");
    group.bench_function("write + fsync + rename", |b| {
        b.iter(|| plain(&folder.0, "file"))
    });
    let folder = Folder::new("publish");
    let mut broker = open(&folder.0);
    let mut publisher = Publisher::new(0);
    group.bench_function("publish", |b| {
        b.iter(|| {
            let outcome = broker
                .publish(&[publisher.publish()], 0)
                .expect("durable")
                .remove(0);
            publisher.settle(&outcome);
        });
    });
    let folder = Folder::new("plain-16");
    group.bench_function("write + fsync + rename, 16 at once", |b| {
        b.iter_custom(|count| {
            at_once(count, |n, own| {
                (0..own).for_each(|_| plain(&folder.0, &n.to_string()))
            })
        });
    });
    let folder = Folder::new("publish-16");
    let (handle, thread) = BrokerThread::start(open(&folder.0)).expect("a thread");
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|n| std::sync::Mutex::new(Publisher::new(n)))
        .collect();
    group.bench_function("publish, 16 at once", |b| {
        b.iter_custom(|count| {
            at_once(count, |n, own| {
                let mut publisher = publishers[n as usize].lock().expect("one user");
                for _ in 0..own {
                    let outcome = handle.publish(publisher.publish()).expect("durable");
                    publisher.settle(&outcome);
                }
            })
        });
    });
    drop(handle);
    drop(thread.join());
    group.finish();
}

fn desks(criterion: &mut Criterion) {
    let folder = Folder::new("desk");
    let mut broker = open(&folder.0);
    let change = |n: usize| Change {
        path: TreePath::new(&format!("folder-{}/file-{n}", n % 20)).expect("a path"),
        wanted: Wanted::file(content(), false),
        base: Base::NONE,
        from: None,
    };
    let stocked = Publish {
        changes: (0..FILES).map(change).collect(),
        ..Publish::default()
    };
    let outcome = broker.publish(&[stocked], 0).expect("durable").remove(0);
    assert_eq!(outcome.refusals, []);
    let present: Vec<Version> = broker.index().present().cloned().collect();
    let workspace = folder.0.join("workspace");
    fs::create_dir_all(&workspace).expect("a workspace");
    let plan = DeskPlan {
        workspace: workspace.clone(),
        shared: broker.shared(),
        owner: None,
        limits: Limits::default(),
        time: Duration::from_secs(60),
    };
    let make = || Desk::make(plan.clone(), &present, broker.sequence()).expect("a desk");
    let mut group = criterion.benchmark_group("desk of 1000 files");
    group.sample_size(10);
    group.bench_function("make", |b| {
        b.iter_with_setup(|| fs::remove_dir_all(workspace.join("shared")), |_| make());
    });
    let mut desk = make();
    // Past the time in which a stamp is not believed yet.
    std::thread::sleep(Duration::from_millis(100));
    desk.collect(None, &mut ()).expect("the first scan reads");
    group.sample_size(50);
    group.bench_function("scan, nothing changed", |b| {
        b.iter(|| {
            let asked = desk.collect(None, &mut ()).expect("a scan");
            assert!(black_box(asked).changes.is_empty());
        });
    });
    group.finish();
}

fn leases(criterion: &mut Criterion) {
    let folder = Folder::new("lease");
    let mut broker = open(&folder.0);
    for n in 0..16 {
        let seat = format!("seat-{n}");
        for m in 0..32 {
            let path = TreePath::new(&format!("held/{n}/{m}")).expect("a path");
            broker
                .grant(Scope::Path(path), &seat, 1000, 0, 0)
                .expect("free");
        }
    }
    let path = TreePath::new("book/chapter-1.md").expect("a path");
    let mut grants = 0u64;
    criterion.bench_function("grant + release beside 512 leases", |b| {
        b.iter(|| {
            let lease = broker
                .grant(Scope::Path(path.clone()), "alice", 1000, 1, 0)
                .expect("free");
            broker.release(lease.token, "alice", 1, 0).expect("held");
            grants += 1;
            // As a host does each tick: the facts are committed and taken.
            if grants.is_multiple_of(256) {
                black_box(broker.take_facts(1, 0).expect("durable"));
            }
        });
    });
}

criterion_group!(benches, publishes, desks, leases);
criterion_main!(benches);
