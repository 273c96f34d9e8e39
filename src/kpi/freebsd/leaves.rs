//! The leaves below the nodes of laggs and ports, from the driver's tables.

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::ptr::{self, NonNull};

use arrayvec::ArrayVec;

use super::bindings as c;
use super::misc::Line;
use crate::kpi::{Driver, Holds, IFNAMSIZ, Leaf, Module, Name, Shows};

/// A node of the kernel's tree.
type Oid = NonNull<c::sysctl_oid>;

/// The node of a lagg, and that below it for the nodes of ports. None if the kernel has refused them.
pub(super) struct Tree {
    top: Option<Oid>,
    ports: Option<Oid>,
}

impl Tree {
    /// No node.
    pub(super) const NONE: Self = Tree { top: None, ports: None };

    /// Whether it is that node.
    pub(super) fn is(&self, oid: *mut c::sysctl_oid) -> bool {
        self.top.is_some_and(|top| top.as_ptr() == oid)
    }

    /// The node for those of ports.
    pub(super) fn ports(&self) -> Option<Oid> {
        self.ports
    }

    /// Removes it, and waits for its readers. Sleeps.
    pub(super) fn remove(&self) {
        if let Some(top) = self.top {
            remove(top);
        }
    }
}

/// Removes a node with all below it, and waits for their readers. Sleeps.
pub(super) fn remove(oid: Oid) {
    // SAFETY: the caller may sleep. The node was made by `make` or `make_port`, and is removed once: it is in no
    // list any more.
    unsafe { c::lagg_rs_node_remove(oid.as_ptr()) };
}

/// Makes the node of laggs of this name, with the leaves of settings. Returns what the leaves of state are then
/// made of. Sleeps.
pub(super) fn make(name: &Name) -> (Tree, Option<LaggLeaves>) {
    let Some(top) = node(None, text(name).as_ptr(), c"Laggs of this name", Some(c"lagg")) else {
        return (Tree::NONE, None);
    };
    let nodes = Nodes::below(top, Module::LEAVES);
    for (place, setting) in Module::SETTINGS.iter().enumerate().rev() {
        let Some((parent, name)) = nodes.parent(setting.name) else { continue };
        let (number, about) = (setting.holds == Holds::Number, setting.about.as_ptr());
        // SAFETY: the caller may sleep. The parent was made above, and only this thread removes it. The strings
        // end in a NUL; the kernel copies them.
        unsafe { c::lagg_rs_setting_add(parent.as_ptr(), name, place as u32, number, about) };
    }
    (Tree { top: Some(top), ports: nodes.find(b"port") }, Some(LaggLeaves(nodes)))
}

/// The leaves of a lagg's state, which are not made yet.
pub(super) struct LaggLeaves(Nodes);

impl LaggLeaves {
    /// Makes them. Sleeps.
    pub(super) fn make(self) {
        self.0.add(Module::LEAVES, false);
    }
}

/// Makes the node of ports of this name below `parent`, with its leaves. Sleeps.
pub(super) fn make_port(parent: Oid, name: &Name) -> Option<Oid> {
    let top = node(Some(parent), text(name).as_ptr(), c"Ports of this name", Some(c"port"))?;
    Nodes::below(top, Module::PORT_LEAVES).add(Module::PORT_LEAVES, true);
    Some(top)
}

/// The name of an interface's node as a string.
fn text(name: &Name) -> Line<{ 3 * IFNAMSIZ }> {
    let mut line = Line::new();
    // There is room: an interface has 15 bytes at most.
    let _ = write!(line, "{}", name.node());
    line
}

/// Makes a node, below that of all laggs if no parent is given. Sleeps.
fn node(
    parent: Option<Oid>,
    name: *const c_char,
    about: &CStr,
    label: Option<&CStr>,
) -> Option<Oid> {
    let parent = parent.map_or(ptr::null_mut(), NonNull::as_ptr);
    let label = label.map_or(ptr::null(), CStr::as_ptr);
    // SAFETY: the caller may sleep. The parent is there, as only this thread removes nodes. The strings end in a
    // NUL; the kernel copies them.
    NonNull::new(unsafe { c::lagg_rs_node_add(parent, name, about.as_ptr(), label) })
}

/// How many nodes there are at most below that of a lagg or a port.
const MOST: usize = 8;

/// The node of a lagg or a port, and those in a table, by their names.
struct Nodes {
    top: Oid,
    below: ArrayVec<(&'static [u8], Oid), MOST>,
}

impl Nodes {
    /// Makes the nodes of a table. Sleeps.
    fn below(top: Oid, leaves: &'static [Leaf]) -> Self {
        let mut nodes = Nodes { top, below: ArrayVec::new() };
        for leaf in leaves.iter().filter(|leaf| leaf.shows == Shows::Nodes) {
            let Some((parent, name)) = nodes.parent(leaf.name) else { continue };
            if let Some(oid) = node(Some(parent), name, leaf.about, None) {
                let _ = nodes.below.try_push((leaf.name.to_bytes(), oid));
            }
        }
        nodes
    }

    /// Makes the leaves of the table. Sleeps.
    fn add(&self, leaves: &'static [Leaf], is_port: bool) {
        // The kernel lists the newest first.
        for (place, leaf) in leaves.iter().enumerate().rev() {
            let (number, label) = match leaf.shows {
                Shows::Nodes => continue,
                Shows::Number => (true, None),
                Shows::Reason => (true, Some(c"reason")),
                Shows::Text => (false, None),
            };
            let label = label.map_or(ptr::null(), CStr::as_ptr);
            let Some((parent, name)) = self.parent(leaf.name) else { continue };
            let (parent, about) = (parent.as_ptr(), leaf.about.as_ptr());
            // SAFETY: the caller may sleep. The parent was made by `below`, and only this thread removes it. The
            // strings end in a NUL; the kernel copies them.
            unsafe {
                c::lagg_rs_leaf_add(parent, name, place as u32, is_port, number, about, label);
            }
        }
    }

    /// The node with this name.
    fn find(&self, name: &[u8]) -> Option<Oid> {
        self.below.iter().find(|(there, _)| *there == name).map(|(_, oid)| *oid)
    }

    /// The node above the leaf or node with this name, and the last part of the name, as a string.
    fn parent(&self, name: &'static CStr) -> Option<(Oid, *const c_char)> {
        let bytes = name.to_bytes_with_nul();
        let Some(dot) = bytes.iter().rposition(|byte| *byte == b'.') else {
            return Some((self.top, name.as_ptr()));
        };
        let (above, last) = bytes.split_at_checked(dot)?;
        Some((self.find(above)?, last.get(1..)?.as_ptr().cast()))
    }
}

const fn count(leaves: &[Leaf]) -> usize {
    let (mut count, mut rest) = (0, leaves);
    while let [leaf, after @ ..] = rest {
        count += matches!(leaf.shows, Shows::Nodes) as usize;
        rest = after;
    }
    count
}

static_assertions::const_assert!(count(Module::LEAVES) <= MOST);
static_assertions::const_assert!(count(Module::PORT_LEAVES) <= MOST);
