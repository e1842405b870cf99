//! Which seats' folders anything has happened in, as the kernel reports it: one inotify instance for a run.
//!
//! A hint that saves walks, and no more: where it cannot be had, every look walks. Must not know what is in the folders.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// What is reported: all that another stamp or another name comes of.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF);

#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<Inotify>,
    seats: HashMap<WatchDescriptor, usize>,
    touched: BTreeSet<usize>,
    /// Seats with a folder that could not be watched: always touched.
    unwatched: BTreeMap<usize, Errno>,
}

impl Watch {
    pub(super) fn new() -> Watch {
        let made = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        Watch {
            inotify: made.ok(),
            seats: HashMap::new(),
            touched: BTreeSet::new(),
            unwatched: BTreeMap::new(),
        }
    }

    /// Whether anything may have happened in a seat's folders since its last walk began.
    pub(super) fn is_touched(&mut self, seat: usize) -> bool {
        self.take();
        self.inotify.is_none() || self.unwatched.contains_key(&seat) || self.touched.contains(&seat)
    }

    /// A walk through a seat's folders begins.
    pub(super) fn begin(&mut self, seat: usize) {
        self.touched.remove(&seat);
        self.unwatched.remove(&seat);
    }

    /// The seat has to be walked through at the next look.
    pub(super) fn touch(&mut self, seat: usize) {
        self.touched.insert(seat);
    }

    /// Watches an open folder for a seat.
    pub(super) fn add(&mut self, seat: usize, folder: &OwnedFd) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        match inotify.add_watch(path.as_str(), EVENTS) {
            Ok(descriptor) => {
                self.seats.insert(descriptor, seat);
            }
            Err(errno) => {
                self.unwatched.insert(seat, errno);
            }
        }
    }

    fn take(&mut self) {
        let Some(inotify) = &self.inotify else {
            return;
        };
        loop {
            match inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                            self.touched.extend(self.seats.values());
                        } else if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                            // The folder is gone; its number may come again for another.
                            self.touched.extend(self.seats.remove(&event.wd));
                        } else {
                            self.touched.extend(self.seats.get(&event.wd));
                        }
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                Err(_) => {
                    self.inotify = None;
                    return;
                }
            }
        }
    }
}
