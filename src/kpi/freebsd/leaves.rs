//! The leaves below the nodes of laggs and ports, from the driver's tables.
//!
//! `sysctl_add_oid` would allocate four times for each leaf, and compare names with all its siblings twice. So a
//! node is made in one piece, with all below it. Only its top is in the kernel's tree, by one step, and so are
//! the others as soon and as long as it is.

use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::ptr;

use super::bindings as c;
use super::memory::Pinned;
use super::misc::Line;
use super::sysctl::{read_leaf, read_setting};
use crate::kpi::{Driver, Holds, IFNAMSIZ, Leaf, Module, Name, Result, Setting, Shows};

/// The node of laggs of one name.
pub(super) type LaggTree = Tree<{ 1 + Module::LEAVES.len() + Module::SETTINGS.len() }>;

/// The node of their ports of one name.
pub(super) type PortTree = Tree<{ 1 + Module::PORT_LEAVES.len() }>;

/// A node with all below it. To drop it is to wait for its readers, and sleeps.
///
/// # Invariants
/// The kernel's tree has the first of the oids, and this is what removes it. The others are below that.
pub(super) struct Tree<const N: usize>(Pinned<Block<N>>);

/// Its memory.
struct Block<const N: usize> {
    oids: [c::sysctl_oid; N],
    whose: Whose,
    /// The name of the first.
    name: Line<{ 3 * IFNAMSIZ }>,
}

/// Whose leaves they are.
#[derive(Clone, Copy)]
pub(super) struct Whose {
    pub lagg: Name,
    pub port: Option<Name>,
}

// SAFETY: the memory belongs to no thread. The kernel's own lock guards what the kernel changes.
unsafe impl<const N: usize> Send for Tree<N> {}

impl LaggTree {
    /// Makes the node of laggs of this name. No other has it. Sleeps.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn try_new(lagg: Name) -> Result<Self> {
        // SAFETY: the kernel's list of laggs' nodes is there while the module is.
        unsafe { Tree::make(c::lagg_rs_nodes(), Whose { lagg, port: None }, &OF_LAGG) }
    }

    /// The list of ports' nodes.
    pub(super) fn ports(&self) -> *mut c::sysctl_oid_list {
        let (place, _) = above(Module::LEAVES, c"port.");
        let oids = self.0.get().cast::<c::sysctl_oid>();
        // SAFETY: the block begins with its oids, of which this is one.
        unsafe { &raw mut (*oids.add(place)).oid_children }
    }
}

impl PortTree {
    /// Makes the node of ports of this name in the list of their laggs' [`LaggTree::ports`]. No other there has
    /// it. Sleeps.
    ///
    /// # Errors
    /// ENOMEM.
    ///
    /// # Safety
    /// That is dropped later.
    pub(super) unsafe fn try_new(
        list: *mut c::sysctl_oid_list,
        lagg: Name,
        port: Name,
    ) -> Result<Self> {
        // SAFETY: the caller promises that the list stays.
        unsafe { Tree::make(list, Whose { lagg, port: Some(port) }, &OF_PORT) }
    }
}

impl<const N: usize> Tree<N> {
    /// Whose it is.
    pub(super) fn whose(&self) -> &Whose {
        // SAFETY: the block is there as long as this, and nothing changes the names in it.
        unsafe { &(*self.0.get()).whose }
    }

    /// Makes a node below `list`, with an oid for each of `rows`. The first is the node itself, and those that
    /// others are below come before these.
    ///
    /// # Errors
    /// ENOMEM.
    ///
    /// # Safety
    /// `list` is there until this is dropped.
    unsafe fn make(
        list: *mut c::sysctl_oid_list,
        whose: Whose,
        rows: &'static [Row; N],
    ) -> Result<Self> {
        const { assert!(N < c::CTL_AUTO_START as usize) };
        let init = |block: *mut Block<N>| {
            let mut name = Line::new();
            // There is room: an interface has 15 bytes at most.
            let _ = write!(name, "{}", whose.port.unwrap_or(whose.lagg).node());
            // SAFETY: the block was allocated just now.
            let (oids, whose) = unsafe {
                (&raw mut (*block).whose).write(whose);
                (&raw mut (*block).name).write(name);
                ((&raw mut (*block).oids).cast::<c::sysctl_oid>(), &raw mut (*block).whose)
            };
            for (number, row) in rows.iter().enumerate() {
                // SAFETY: there are N oids and N rows. The first oid's name was written above. The oid above
                // another, and the one before it, come first in the rows, so they were written too.
                unsafe {
                    let oid = oids.add(number);
                    if number == 0 {
                        oid.write(row.oid(list, c::OID_AUTO, (*block).name.as_ptr(), whose));
                        continue;
                    }
                    let list = &raw mut (*oids.add(row.above)).oid_children;
                    oid.write(row.oid(list, number as i32, row.name.as_ptr(), whose));
                    let before = row.before.map_or(ptr::null_mut(), |before| oids.add(before));
                    c::lagg_rs_oid_append(list, before, oid);
                }
            }
        };
        // SAFETY: `init` writes all of the block.
        let block = unsafe { Pinned::try_new_in(init) }?;
        // SAFETY: the oids were written above, and the caller promises the list. The caller may sleep.
        unsafe { c::lagg_rs_oid_register(block.get().cast()) };
        // INVARIANT: it was registered just now; no other node has its name.
        Ok(Tree(block))
    }
}

impl<const N: usize> Drop for Tree<N> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the kernel has it; whoever drops it may sleep. The block begins with N oids.
        unsafe { c::lagg_rs_oids_remove(self.0.get().cast(), N) };
    }
}

type Handler = unsafe extern "C" fn(
    *mut c::sysctl_oid,
    *mut core::ffi::c_void,
    i64,
    *mut c::sysctl_req,
) -> core::ffi::c_int;

/// What makes an oid.
struct Row {
    /// The last part of its name.
    name: &'static CStr,
    about: &'static CStr,
    label: Option<&'static CStr>,
    kind: u32,
    format: &'static CStr,
    read: Option<Handler>,
    place: usize,
    /// The row of the node above it.
    above: usize,
    /// The row of the one before it below the same node, if there is one.
    before: Option<usize>,
}

const NODE: u32 = c::CTLTYPE_NODE | c::CTLFLAG_RW;
const STATE: u32 = c::CTLFLAG_RD | c::CTLFLAG_STATS | c::CTLFLAG_VNET;
const SETTING: u32 = c::CTLFLAG_RW | c::CTLFLAG_VNET;

/// The rows of a lagg and of a port, worked out by the compiler: there may be many ports.
static OF_LAGG: [Row; 1 + Module::LEAVES.len() + Module::SETTINGS.len()] =
    rows(c"lagg", c"Laggs of this name", Module::LEAVES, Module::SETTINGS);
static OF_PORT: [Row; 1 + Module::PORT_LEAVES.len()] =
    rows(c"port", c"Ports of this name", Module::PORT_LEAVES, &[]);

/// Those of a node with this label, of what is below it, and of its settings.
const fn rows<const N: usize>(
    label: &'static CStr,
    about: &'static CStr,
    leaves: &[Leaf],
    settings: &[Setting],
) -> [Row; N] {
    let mut rows = [const { Row::node(c"", c"", None) }; N];
    rows[0] = Row::node(c"", about, Some(label));
    let mut number = 1;
    while number < N {
        let place = number - 1;
        let (whole, mut row) = match place < leaves.len() {
            true => (leaves[place].name, Row::of(&leaves[place], place)),
            false => {
                let place = place - leaves.len();
                (settings[place].name, Row::of_setting(&settings[place], place))
            }
        };
        (row.above, row.name) = above(leaves, whole);
        let mut before = number - 1;
        while before > 0 && rows[before].above != row.above {
            before -= 1;
        }
        row.before = if before > 0 { Some(before) } else { None };
        rows[number] = row;
        number += 1;
    }
    rows
}

impl Row {
    const fn node(name: &'static CStr, about: &'static CStr, label: Option<&'static CStr>) -> Self {
        let (kind, format) = (NODE, c"N");
        Row { name, about, label, kind, format, read: None, place: 0, above: 0, before: None }
    }

    const fn of(leaf: &Leaf, place: usize) -> Self {
        let Leaf { name, about, .. } = *leaf;
        let (kind, format, label) = match leaf.shows {
            Shows::Nodes => return Row::node(name, about, None),
            Shows::Number => (c::CTLTYPE_U64 | STATE, c"QU", None),
            Shows::Reason => (c::CTLTYPE_U64 | STATE, c"QU", Some(c"reason")),
            Shows::Text => (c::CTLTYPE_STRING | STATE, c"A", None),
        };
        Row { kind, format, label, read: Some(read_leaf), place, ..Row::node(name, about, None) }
    }

    const fn of_setting(setting: &Setting, place: usize) -> Self {
        let Setting { name, about, .. } = *setting;
        let (kind, format) = match setting.holds {
            Holds::Number => (c::CTLTYPE_U32 | SETTING, c"IU"),
            Holds::Text => (c::CTLTYPE_STRING | SETTING, c"A"),
        };
        Row { kind, format, read: Some(read_setting), place, ..Row::node(name, about, None) }
    }

    /// The oid, which is dynamic: the kernel counts its readers.
    // Inlined, so that it is written where it will be.
    #[inline(always)]
    fn oid(
        &self,
        list: *mut c::sysctl_oid_list,
        number: i32,
        name: *const c_char,
        whose: *mut Whose,
    ) -> c::sysctl_oid {
        c::sysctl_oid {
            oid_parent: list,
            oid_number: number,
            oid_kind: self.kind | c::CTLFLAG_MPSAFE | c::CTLFLAG_DYN,
            oid_arg1: whose.cast(),
            oid_arg2: self.place as i64,
            oid_name: name,
            oid_handler: self.read,
            oid_fmt: self.format.as_ptr(),
            oid_refcnt: 1,
            oid_descr: self.about.as_ptr(),
            oid_label: self.label.map_or(ptr::null(), CStr::as_ptr),
            // SAFETY: zeros are an oid that is in no list, and has nothing below it.
            ..unsafe { core::mem::zeroed() }
        }
    }
}

/// The number of the row above that of this name, and the last part of the name.
const fn above(leaves: &[Leaf], name: &'static CStr) -> (usize, &'static CStr) {
    let bytes = name.to_bytes_with_nul();
    let mut dot = bytes.len();
    while dot > 0 && bytes[dot - 1] != b'.' {
        dot -= 1;
    }
    if dot == 0 {
        return (0, name);
    }
    let (node, last) = bytes.split_at(dot);
    let mut row = leaves.len();
    while row > 0 && !is_node(&leaves[row - 1], node) {
        row -= 1;
    }
    let Ok(last) = CStr::from_bytes_with_nul(last) else { return (row, name) };
    (row, last)
}

/// Whether that is the node of this name, which a dot follows.
const fn is_node(leaf: &Leaf, name: &[u8]) -> bool {
    let bytes = leaf.name.to_bytes();
    if !matches!(leaf.shows, Shows::Nodes) || bytes.len() + 1 != name.len() {
        return false;
    }
    let mut place = 0;
    while place < bytes.len() && bytes[place] == name[place] {
        place += 1;
    }
    place == bytes.len()
}
