//! The nodes `net.link.lagg.iface.<name>`, by which sysctl(8) finds the settings of a lagg.
//!
//! The tree is one for the whole host, and names belong to a vnet: laggs of the same name share a node, which
//! therefore holds no pointer to a lagg. Who reads or writes a leaf names the lagg by that name and his own vnet.
//!
//! A thread of its own makes and removes the nodes. To remove one is to wait for its readers, and a reader may
//! wait for ever for a page of its buffer (D-31): no thread that has a lock of the stack may do so.

use core::ptr::{self, NonNull};

use super::bindings as c;
use super::epoch;
use super::ifnet::Ifnet;
use super::locks::{Cv, Deadline, Mtx};
use super::misc::Line;
use super::tasks::Task;
use crate::kpi::cell::EpochOption;
use crate::kpi::{Boxed, Driver, Holds, Module, Name, Queue, Ref, Result};

/// How long a new lagg waits for its node, in milliseconds, if the reader of another one holds up the thread.
const PATIENCE_MS: u32 = 1000;

/// There while the module is loaded.
static NAMES: EpochOption<Names> = EpochOption::empty();

pub(super) struct Names {
    lists: Mtx<Lists>,
    /// Signalled when a node has been made.
    made: Cv,
    task: Task<Names>,
}

#[derive(Default)]
struct Lists {
    laggs: List<Lagg>,
    nodes: List<Node>,
}

/// A lagg, known by its index.
struct Lagg {
    index: u32,
    name: Name,
}

struct Node {
    name: Name,
    /// None if the kernel has refused it.
    oid: Option<NonNull<c::sysctl_oid>>,
}

// SAFETY: the node belongs to no thread; the kernel's own lock guards it.
unsafe impl Send for Node {}

/// Begins to keep the nodes. May sleep.
///
/// # Errors
/// ENOMEM.
pub(super) fn start() -> Result {
    let lists = Mtx::try_new(c"lagg nodes", Lists::default())?;
    let task = Task::try_new(Queue::Names, run)?;
    NAMES.put(&Ref::try_new(Names { lists, made: Cv::try_new(c"laggname")?, task })?);
    Ok(())
}

/// Removes the nodes that are left. Sleeps. There is no lagg, and no reader is inside.
pub(super) fn stop() {
    let Some(names) = NAMES.get() else { return };
    names.task.enqueue(&names);
    names.task.drain();
    NAMES.take(&names);
}

/// The lagg has this name from now on; it is known or new. Waits for the node. Sleeps.
///
/// # Errors
/// ENOMEM: it is new.
pub(super) fn add(lagg: &Ifnet) -> Result {
    let Some(names) = NAMES.get() else { return Ok(()) };
    let entry = List::entry(Lagg { index: lagg.index(), name: lagg.name() })?;
    names.lists.lock().laggs.put(entry);
    rename(&names, lagg);
    Ok(())
}

/// The lagg has another name. Waits for the node. Sleeps.
pub(super) fn renamed(lagg: &Ifnet) {
    if let Some(names) = NAMES.get() {
        rename(&names, lagg);
    }
}

/// The lagg goes. Waits for nothing.
pub(super) fn remove(lagg: &Ifnet) {
    let Some(names) = NAMES.get() else { return };
    let gone = names.lists.lock().laggs.take(|there| there.index == lagg.index());
    drop(gone);
    names.task.enqueue(&names);
}

/// The name of a node, `oid`; none if it is being removed.
pub(super) fn name_of(oid: *mut c::sysctl_oid) -> Option<Name> {
    let names = NAMES.get()?;
    let lists = names.lists.lock();
    lists.nodes.iter().find(|node| node.oid == NonNull::new(oid)).map(|node| node.name)
}

impl Lists {
    fn is_wanted(&self, name: &Name) -> bool {
        self.laggs.iter().any(|lagg| is_same_node(&lagg.name, name))
    }

    fn has_node(&self, name: &Name) -> bool {
        self.nodes.iter().any(|node| is_same_node(&node.name, name))
    }

    fn wanted(&self) -> Option<Name> {
        self.laggs.iter().map(|lagg| lagg.name).find(|name| !self.has_node(name))
    }
}

/// Whether two names have one node: the kernel writes `%25` for a dot. The first of them gets it.
fn is_same_node(one: &Name, other: &Name) -> bool {
    node_name(one).eq(node_name(other))
}

fn node_name(name: &Name) -> impl Iterator<Item = u8> {
    name.bytes().flat_map(|byte| {
        let (written, len) = if byte == b'.' { (*b"%25", 3) } else { ([byte, 0, 0], 1) };
        written.into_iter().take(len)
    })
}

fn rename(names: &Ref<Names>, lagg: &Ifnet) {
    let (index, name) = (lagg.index(), lagg.name());
    let deadline = Deadline::after_ms(PATIENCE_MS);
    let mut lists = names.lists.lock();
    let Some(entry) = lists.laggs.find(|there| there.index == index) else { return };
    entry.name = name;
    names.task.enqueue(names);
    while lists.is_wanted(&name) && !lists.has_node(&name) {
        let (again, over) = names.made.wait_until(lists, &deadline);
        lists = again;
        if over {
            return;
        }
    }
}

/// The task: makes what is missing, and removes what no lagg needs.
fn run(names: &Ref<Names>) {
    loop {
        let unused = {
            let mut guard = names.lists.lock();
            let Lists { laggs, nodes } = &mut *guard;
            nodes.take(|node| !laggs.iter().any(|lagg| lagg.name == node.name))
        };
        if let Some(entry) = unused {
            entry.value.remove();
            continue;
        }
        let Some(name) = names.lists.lock().wanted() else { return };
        let Ok(mut entry) = List::entry(Node { name, oid: None }) else {
            epoch::epoch_drain();
            continue;
        };
        entry.value.make();
        names.lists.lock().nodes.put(entry);
        names.made.broadcast();
    }
}

impl Node {
    /// Makes the node in the kernel's tree, with its leaves. Sleeps.
    fn make(&mut self) {
        // SAFETY: the caller may sleep. The kernel copies the name, which ends in a NUL, as those of all
        // interfaces do.
        let iface = unsafe { c::lagg_rs_node_add(ptr::null_mut(), (&raw const self.name).cast()) };
        self.oid = NonNull::new(iface);
        let (mut node, mut prefix) = (iface, Line::<16>::new());
        for (place, setting) in (0..).zip(Module::SETTINGS) {
            let name = setting.name.to_bytes_with_nul();
            let leaf = match name.iter().position(|byte| *byte == b'.') {
                None => {
                    node = iface;
                    name
                }
                Some(dot) => {
                    let (before, leaf) = name.split_at(dot);
                    if node == iface || prefix.as_bytes() != before {
                        prefix = Line::new();
                        before.iter().for_each(|byte| prefix.push(*byte));
                        // SAFETY: the caller may sleep. The parent was made above, and only this thread removes it.
                        // The kernel copies the name, which ends in a NUL.
                        node = unsafe { c::lagg_rs_node_add(iface, prefix.as_ptr()) };
                    }
                    leaf.get(1..).unwrap_or_default()
                }
            };
            let is_number = setting.holds == Holds::Number;
            // SAFETY: the caller may sleep. The node was made above, and only this thread removes it. Both
            // strings end in a NUL, the leaf's name where that of the whole setting does; the kernel copies them.
            unsafe {
                let about = setting.about.as_ptr();
                c::lagg_rs_leaf_add(node, leaf.as_ptr().cast(), place, is_number, about);
            }
        }
    }

    /// Removes it from the kernel's tree, and waits for its readers. Sleeps.
    fn remove(&self) {
        if let Some(oid) = self.oid {
            // SAFETY: the caller may sleep. The node was made by `make`, and is removed once: it is in no list any
            // more.
            unsafe { c::lagg_rs_node_remove(oid.as_ptr()) };
        }
    }
}

/// A list; new entries come first.
struct List<T>(Option<Boxed<Entry<T>>>);

struct Entry<T> {
    value: T,
    next: Option<Boxed<Entry<T>>>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List(None)
    }
}

impl<T> List<T> {
    /// An entry, for [`List::put`].
    ///
    /// # Errors
    /// ENOMEM.
    fn entry(value: T) -> Result<Boxed<Entry<T>>> {
        Boxed::try_new(Entry { value, next: None })
    }

    fn put(&mut self, mut entry: Boxed<Entry<T>>) {
        entry.next = self.0.take();
        self.0 = Some(entry);
    }

    /// Takes out the first entry for which that holds.
    fn take(&mut self, is: impl Fn(&T) -> bool) -> Option<Boxed<Entry<T>>> {
        let place = self.place(is)?;
        let mut entry = place.take()?;
        *place = entry.next.take();
        Some(entry)
    }

    /// Where the first such entry is, or the end of the list.
    fn place(&mut self, is: impl Fn(&T) -> bool) -> Option<&mut Option<Boxed<Entry<T>>>> {
        let mut place = &mut self.0;
        while place.as_ref().is_some_and(|entry| !is(&entry.value)) {
            place = &mut place.as_mut()?.next;
        }
        Some(place)
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let first = self.0.as_deref();
        core::iter::successors(first, |entry| entry.next.as_deref()).map(|entry| &entry.value)
    }

    fn find(&mut self, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        Some(&mut self.place(is)?.as_mut()?.value)
    }
}
