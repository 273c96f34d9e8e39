//! The nodes `net.link.lagg.iface.<name>`, by which sysctl(8) finds the settings and the state of a lagg, and
//! below them those of its ports.
//!
//! The tree is one for the whole host, and names belong to a vnet: laggs of the same name share a node, which
//! therefore holds no pointer to a lagg. A leaf is read or written by that name, in the caller's vnet.
//!
//! A thread of its own makes and removes the nodes. To remove one is to wait for its readers, and a reader may
//! wait for ever for a page of its buffer (D-31): no thread that has a lock of the stack may do so.

use core::cell::Cell;

use super::bindings as c;
use super::epoch;
use super::ifnet::Ifnet;
use super::leaves::{LaggTree, PortTree};
use super::locks::{Cv, Deadline, Mtx};
use super::tasks::Task;
use crate::kpi::cell::EpochOption;
use crate::kpi::{Boxed, Name, Queue, Ref, Result};

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
    ports: List<Port>,
}

/// A port of it, known by its index.
struct Port {
    index: u32,
    name: Name,
    /// There is a node of that name.
    has_node: Cell<bool>,
}

/// The node of laggs of this name.
struct Node {
    name: Name,
    /// Perhaps no lagg has this name.
    in_doubt: Cell<bool>,
    // Dropped before what they are below.
    ports: List<PortNode>,
    tree: LaggTree,
}

/// The node of their ports of this name.
struct PortNode {
    in_doubt: Cell<bool>,
    tree: PortTree,
}

impl PortNode {
    fn is_of(&self, port: &Name) -> bool {
        self.tree.whose().port == Some(*port)
    }
}

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
    let new = Lagg { index: lagg.index(), name: lagg.name(), ports: List::default() };
    let entry = List::entry(new)?;
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
    let gone = {
        let mut lists = names.lists.lock();
        let gone = lists.laggs.take(|there| there.index == lagg.index());
        gone.iter().for_each(|gone| lists.nodes.doubt(&gone.value.name, None));
        gone
    };
    drop(gone);
    names.task.enqueue(&names);
}

impl Ifnet {
    /// Makes the leaves of a port of `lagg`, which show nothing before it is one, and are there a moment later.
    /// May sleep.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn show_leaves(&self, lagg: &Ifnet) -> Result {
        let Some(names) = NAMES.get() else { return Ok(()) };
        let entry = List::entry(Port {
            index: self.index(),
            name: self.name(),
            has_node: Cell::new(false),
        })?;
        if let Some(lagg) = names.lists.lock().laggs.find(|there| there.index == lagg.index()) {
            lagg.ports.put(entry);
        }
        // It may have got another name meanwhile. This wakes the task too.
        port_renamed(self);
        Ok(())
    }

    /// Removes the leaves of what was to be a port, if it has any. Does not wait.
    pub fn hide_leaves(&self, lagg: &Ifnet) {
        let Some(names) = NAMES.get() else { return };
        let gone = {
            let Lists { laggs, nodes } = &mut *names.lists.lock();
            laggs.find(|there| there.index == lagg.index()).and_then(|lagg| {
                let gone = lagg.ports.take(|port| port.index == self.index())?;
                nodes.doubt(&lagg.name, Some(&gone.value.name));
                Some(gone)
            })
        };
        drop(gone);
        // D-31: another thread waits for the readers
        names.task.enqueue(&names);
    }
}

/// The interface, which may be a port, has another name. Does not wait.
pub(super) fn port_renamed(ifp: &Ifnet) {
    let Some(names) = NAMES.get() else { return };
    let index = ifp.index();
    {
        let Lists { laggs, nodes } = &mut *names.lists.lock();
        laggs.first(|lagg| {
            let port = lagg.ports.find(|port| port.index == index)?;
            nodes.doubt(&lagg.name, Some(&port.name));
            // Read with the lock held: else a thread that has read an older one might come last.
            port.name = ifp.name();
            port.has_node.set(false);
            Some(())
        });
    }
    names.task.enqueue(&names);
}

impl List<Node> {
    /// Perhaps the node of that lagg and of all its ports, or of that port alone, is not needed any more.
    fn doubt(&self, lagg: &Name, port: Option<&Name>) {
        for node in self.iter().filter(|node| node.name == *lagg) {
            node.in_doubt.set(true);
            let all = node.ports.iter();
            all.filter(|it| port.is_none_or(|port| it.is_of(port)))
                .for_each(|it| it.in_doubt.set(true));
        }
    }
}

impl Lists {
    fn is_wanted(&self, name: &Name) -> bool {
        self.laggs.iter().any(|lagg| lagg.name == *name)
    }

    fn node(&self, name: &Name) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == *name)
    }

    /// What the task is to do next.
    fn next(&mut self) -> Option<Work> {
        let Lists { laggs, nodes } = self;
        let is_lagg = |node: &Node| laggs.iter().any(|lagg| lagg.name == node.name);
        let is_port = |node: &Name, port: &PortNode| {
            let laggs = laggs.iter().filter(|lagg| lagg.name == *node);
            laggs.flat_map(|lagg| lagg.ports.iter()).any(|it| port.is_of(&it.name))
        };
        // Those of ports go first: they are below the others.
        let unused = nodes.first(|node| {
            let name = node.name;
            node.ports.take(|port| port.in_doubt.take() && !is_port(&name, port))
        });
        if let Some(port) = unused {
            return Some(Work::RemovePort(port));
        }
        if let Some(node) = nodes.take(|node| node.in_doubt.take() && !is_lagg(node)) {
            return Some(Work::Remove(node));
        }
        self.laggs.iter().find_map(|lagg| {
            let Some(node) = self.node(&lagg.name) else { return Some(Work::Make(lagg.name)) };
            let port = lagg.ports.iter().filter(|port| !port.has_node.get()).find(|port| {
                port.has_node.set(node.ports.iter().any(|it| it.is_of(&port.name)));
                !port.has_node.get()
            })?;
            Some(Work::MakePort { lagg: lagg.name, list: node.tree.ports(), port: port.name })
        })
    }
}

/// What the task has to do.
enum Work {
    RemovePort(Boxed<Entry<PortNode>>),
    Remove(Boxed<Entry<Node>>),
    Make(Name),
    MakePort { lagg: Name, list: *mut c::sysctl_oid_list, port: Name },
}

fn rename(names: &Ref<Names>, lagg: &Ifnet) {
    let index = lagg.index();
    let deadline = Deadline::after_ms(PATIENCE_MS);
    let mut lists = names.lists.lock();
    // With the lock held, as above.
    let name = lagg.name();
    {
        let Lists { laggs, nodes } = &mut *lists;
        let Some(entry) = laggs.find(|there| there.index == index) else { return };
        nodes.doubt(&entry.name, None);
        entry.name = name;
        entry.ports.iter().for_each(|port| port.has_node.set(false));
    }
    names.task.enqueue(names);
    while lists.is_wanted(&name) && lists.node(&name).is_none() {
        let (again, over) = names.made.wait_until(lists, &deadline);
        lists = again;
        if over {
            return;
        }
    }
}

/// The task: makes what is missing, and removes what nothing needs. No other thread makes or removes nodes.
fn run(names: &Ref<Names>) {
    loop {
        let Some(work) = names.lists.lock().next() else { return };
        let made = match work {
            // Waits for readers: without the lock.
            Work::RemovePort(port) => {
                drop(port);
                continue;
            }
            Work::Remove(node) => {
                drop(node);
                continue;
            }
            Work::Make(name) => make(names, name),
            // SAFETY: this task alone removes nodes, and those of ports first.
            Work::MakePort { lagg, list, port } => unsafe { make_port(names, lagg, list, port) },
        };
        if made.is_err() {
            epoch::epoch_drain();
        }
    }
}

fn make(names: &Names, name: Name) -> Result {
    // In doubt from the beginning: the lagg may be gone by now.
    let (in_doubt, ports) = (Cell::new(true), List::default());
    let node = List::entry(Node { name, in_doubt, ports, tree: LaggTree::try_new(name)? })?;
    names.lists.lock().nodes.put(node);
    names.made.broadcast();
    Ok(())
}

/// # Safety
/// As for [`PortTree::try_new`].
unsafe fn make_port(
    names: &Names,
    lagg: Name,
    list: *mut c::sysctl_oid_list,
    name: Name,
) -> Result {
    // SAFETY: the caller promises that the list's owner is dropped after this.
    let tree = unsafe { PortTree::try_new(list, lagg, name) }?;
    let port = List::entry(PortNode { in_doubt: Cell::new(true), tree })?;
    if let Some(node) = names.lists.lock().nodes.find(|node| node.name == lagg) {
        node.ports.put(port);
    }
    Ok(())
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

    /// The first result of `f`.
    fn first<R>(&mut self, mut f: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let mut place = &mut self.0;
        while let Some(entry) = place {
            if let Some(result) = f(&mut entry.value) {
                return Some(result);
            }
            place = &mut entry.next;
        }
        None
    }

    fn find(&mut self, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        Some(&mut self.place(is)?.as_mut()?.value)
    }
}
