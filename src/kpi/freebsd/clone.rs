//! The cloner, which creates and destroys laggs (`kmod/module.c` declares it).

use core::ffi::{c_char, c_int};

use super::bindings as c;
use super::hooks;
use super::ifnet::Ifnet;
use super::memory::Pinned;
use super::names;
use crate::kpi::errno::to_c;
use crate::kpi::gate::{self, Inside};
use crate::kpi::{Driver, Errno, InfinibandAddr, LaggType, Module, Result};

/// Creates a lagg. Sleeps.
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
    // SAFETY: the kernel calls this with its own `data`, in the new lagg's vnet.
    match unsafe { create(data) } {
        Ok(ifp) => {
            // SAFETY: the kernel gives a place for the interface that was made.
            unsafe { *made = ifp };
            0
        }
        Err(errno) => errno.number(),
    }
}

/// # Safety
/// `data` is what the kernel gave to the cloner, and the thread is in the new lagg's vnet.
unsafe fn create(data: *mut c::ifc_data) -> Result<*mut c::ifnet> {
    let inside = Inside::try_enter()?;
    // SAFETY: the caller promises the kernel's own `data`, which are there for the call.
    let (kind, unit) = unsafe { (lagg_type(data)?, (*data).unit) };

    let (if_type, broadcast) = match kind {
        LaggType::Ethernet => (c::IFT_ETHER, None),
        LaggType::Infiniband => {
            // SAFETY: `try_new` leaves zeros, which are an address.
            let broadcast = unsafe { Pinned::<InfinibandAddr>::try_new(|_| ()) }?;
            (c::IFT_INFINIBAND, Some(broadcast))
        }
    };

    // SAFETY: any sleeping context may make an interface, whose memory the kernel waits for. The name is a
    // string, and no other thread can find the interface while it is named.
    let ifp = unsafe {
        let ifp = c::if_alloc(if_type as u8);
        c::if_initname(ifp, c"lagg".as_ptr(), unit as c_int);
        ifp
    };
    // SAFETY: the reference that if_alloc has made keeps it until `if_free`, and this borrow ends before that.
    let interface = unsafe { Ifnet::from_ptr(ifp) };
    let made = names::add(interface).and_then(|()| Module::create(&interface.to_ref(), kind));
    let softc = match made {
        Ok(softc) => softc,
        Err(errno) => {
            names::remove(interface);
            // SAFETY: made above, never attached, and not used any more: this gives up the reference that it
            // was made with.
            unsafe { c::if_free(ifp) };
            return Err(errno);
        }
    };
    // SAFETY: the interface of our cloner's that was made above. No other thread can find it before it is
    // attached, so its fields are this thread's, and the methods have the right types.
    unsafe {
        interface.softc_slot().put(&softc);
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
    // SAFETY: made, named and with its methods, attached here and nowhere else, in its vnet as the caller
    // promises.
    unsafe {
        match broadcast {
            None => interface.attach_ethernet(),
            Some(broadcast) => interface.attach_infiniband(broadcast),
        }
    }
    // Comes last: without this flag no VLAN accepts the interface as its parent. It could be found before
    // it had a broadcast address. A VLAN would have copied the NULL, and would panic when it gets an
    // address. Listeners that were told of the new interface are told of this flag too. SAFETY: the flags
    // of our own interface, which is attached: routing sockets of its vnet, where the caller is, are told.
    unsafe {
        c::if_setflags(ifp, (interface.flags() | c::IFF_SIMPLEX) as c_int);
        c::rt_ifmsg(ifp, c::IFF_SIMPLEX as c_int);
    }
    Module::attached(&softc);
    inside.stay();
    Ok(ifp)
}

/// The type that `struct iflaggparam` asks for; Ethernet without one.
///
/// # Safety
/// `data` is what the kernel gave to the cloner.
unsafe fn lagg_type(data: *mut c::ifc_data) -> Result<LaggType> {
    // SAFETY: the caller promises the kernel's own `data`, which are there for the call.
    if unsafe { (*data).params }.is_null() {
        return Ok(LaggType::Ethernet);
    }
    // SAFETY: the structure has integers alone, for which zeros are values.
    let mut parameters = unsafe { core::mem::zeroed::<c::iflaggparam>() };
    // SAFETY: the kernel's own `data`, as the caller promises. No more is copied than the place has room for,
    // from where the request says, which the kernel checks.
    Errno::check(unsafe {
        c::ifc_copyin(data, (&raw mut parameters).cast(), size_of_val(&parameters))
    })?;
    match u32::from(parameters.lagg_type) {
        c::LAGG_TYPE_ETHERNET => Ok(LaggType::Ethernet),
        c::LAGG_TYPE_INFINIBAND => Ok(LaggType::Infiniband),
        _ => Err(Errno::EINVAL),
    }
}

/// Destroys a lagg. Sleeps.
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
    // SAFETY: the kernel calls this with an interface of this cloner's, which is freed below and not before.
    let slot = unsafe { Ifnet::from_ptr(ifp).softc_slot() };
    let Some(softc) = slot.get() else { return to_c(Err(Errno::ENXIO)) };
    // D-18: found by its interface, whichever vnet that is in now
    Module::destroy(&softc);
    // SAFETY: the kernel's interface is freed at the end of this function, and not before.
    names::remove(unsafe { Ifnet::from_ptr(ifp) });
    // SAFETY: the kernel calls this in the interface's vnet with the lock held. The interface was attached
    // when it was made; the lock lets one thread in at a time, and a second finds no softc above.
    unsafe { Ifnet::from_ptr(ifp).detach_lagg() };
    slot.take();
    // SAFETY: detached just now, and not used again: this gives up the reference that it was made with. Those
    // with references of their own find that the lagg has gone.
    unsafe { c::if_free(ifp) };
    drop(softc);
    gate::leave();
    0
}
