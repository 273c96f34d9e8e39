//! Making and unmaking laggs (the cloner; its declaration is in `kmod/module.c`).

use core::ffi::{c_char, c_int};

use super::bindings as c;
use super::hooks;
use super::ifnet::Ifnet;
use super::memory::Pinned;
use super::sysctl;
use crate::Module;
use crate::kpi::errno::to_c;
use crate::kpi::gate::{self, Inside};
use crate::kpi::{Driver, Errno, InfinibandAddr, LaggType, Result};

/// Makes a lagg. Sleeps.
///
/// EINVAL: no such type of lagg; EFAULT; ENXIO: the module is being unloaded.
///
/// # Safety
/// The kernel calls it in the new lagg's vnet, with what it gives to cloners.
#[unsafe(no_mangle)]
unsafe extern "C" fn lagg_rs_clone_create(
    _: *mut c::if_clone,
    _: *mut c_char,
    _: usize,
    data: *mut c::ifc_data,
    made: *mut *mut c::ifnet,
) -> c_int {
    // SAFETY: by contract.
    match unsafe { create(data) } {
        Ok(ifp) => {
            // SAFETY: by contract the result's place.
            unsafe { *made = ifp };
            0
        }
        Err(errno) => errno.number(),
    }
}

/// # Safety
/// `data` is what the kernel gave to the cloner.
unsafe fn create(data: *mut c::ifc_data) -> Result<*mut c::ifnet> {
    let inside = Inside::try_enter()?;
    // SAFETY: by contract.
    let (kind, unit) = unsafe { (lagg_type(data)?, (*data).unit) };

    let (if_type, broadcast) = match kind {
        LaggType::Ethernet => (c::IFT_ETHER, None),
        LaggType::Infiniband => {
            // SAFETY: zeros are an address.
            let broadcast = unsafe { Pinned::<InfinibandAddr>::try_new(|_| ()) }?;
            (c::IFT_INFINIBAND, Some(broadcast))
        }
    };

    // SAFETY: an interface is made, named, and not yet known to anybody.
    let ifp = unsafe {
        let ifp = c::if_alloc(if_type as u8);
        c::if_initname(ifp, c"lagg".as_ptr(), unit as c_int);
        ifp
    };
    // SAFETY: it is there until `if_free`, and after that as long as the driver has references.
    let interface = unsafe { Ifnet::from_ptr(ifp) };
    let softc = match Module::create(&interface.to_ref(), kind) {
        Ok(softc) => softc,
        Err(errno) => {
            // SAFETY: made above and attached nowhere.
            unsafe { c::if_free(ifp) };
            return Err(errno);
        }
    };
    // SAFETY: our own interface, which nobody knows yet.
    unsafe {
        interface.softc_slot().fill(softc.clone());
        c::if_settransmitfn(ifp, Some(hooks::lagg_rs_transmit));
        c::if_setqflushfn(ifp, Some(hooks::lagg_qflush));
        c::if_setinitfn(ifp, Some(hooks::lagg_init));
        c::if_setioctlfn(ifp, Some(hooks::lagg_ioctl));
        c::if_setgetcounterfn(ifp, Some(hooks::lagg_get_counter));
        c::if_setsndtagallocfn(ifp, Some(hooks::lagg_snd_tag_alloc));
        c::if_setratelimitqueryfn(ifp, Some(hooks::lagg_ratelimit_query));
        c::if_setflags(ifp, (c::IFF_BROADCAST | c::IFF_MULTICAST) as c_int);
        c::if_setcapabilities(ifp, c::IFCAP_HWSTATS as c_int);
        c::if_setcapenable(ifp, c::IFCAP_HWSTATS as c_int);
    }
    match broadcast {
        None => interface.attach_ethernet(),
        Some(broadcast) => interface.attach_infiniband(broadcast),
    }
    // Comes last, for without it no VLAN takes this for its parent: it can be found since before it had a
    // broadcast address, and a VLAN would copy the NULL, and panic when it gets an address.
    // Who was told of the new interface is told of this flag too.
    // SAFETY: our own interface.
    unsafe {
        c::if_setflags(ifp, (interface.flags() | c::IFF_SIMPLEX) as c_int);
        c::rt_ifmsg(ifp, c::IFF_SIMPLEX as c_int);
    }
    Module::attached(&softc);
    sysctl::add_stats(interface);
    inside.stay();
    Ok(ifp)
}

/// The type that `struct iflaggparam` asks for; Ethernet without one.
///
/// # Safety
/// `data` is what the kernel gave to the cloner.
unsafe fn lagg_type(data: *mut c::ifc_data) -> Result<LaggType> {
    // SAFETY: by contract.
    if unsafe { (*data).params }.is_null() {
        return Ok(LaggType::Ethernet);
    }
    // SAFETY: plain data.
    let mut parameters = unsafe { core::mem::zeroed::<c::iflaggparam>() };
    // SAFETY: the kernel copies no more than it is told, from where the request says.
    Errno::check(unsafe {
        c::ifc_copyin(data, (&raw mut parameters).cast(), size_of_val(&parameters))
    })?;
    match u32::from(parameters.lagg_type) {
        c::LAGG_TYPE_ETHERNET => Ok(LaggType::Ethernet),
        c::LAGG_TYPE_INFINIBAND => Ok(LaggType::Infiniband),
        _ => Err(Errno::EINVAL),
    }
}

/// Unmakes a lagg. Sleeps.
///
/// # Safety
/// The kernel calls it with one of this cloner's interfaces, in its vnet and with
/// `ifnet_detach_sxlock` held.
#[unsafe(no_mangle)]
unsafe extern "C" fn lagg_rs_clone_destroy(
    _: *mut c::if_clone,
    ifp: *mut c::ifnet,
    _: u32,
) -> c_int {
    // SAFETY: by contract; freed last.
    let slot = unsafe { Ifnet::from_ptr(ifp).softc_slot() };
    let Some(softc) = slot.upgrade() else { return to_c(Err(Errno::ENXIO)) };
    Module::destroy(&softc);
    // SAFETY: by contract; attached when it was made.
    unsafe { Ifnet::from_ptr(ifp) }.detach_lagg();
    slot.clear(&softc);
    // SAFETY: detached; those who still have references find an empty slot.
    unsafe { c::if_free(ifp) };
    drop(softc);
    gate::leave();
    0
}
