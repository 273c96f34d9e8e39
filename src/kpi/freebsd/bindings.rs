//! bindgen's output, and what the driver relies on in it.

#[allow(
    clippy::all,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    reason = "generated"
)]
#[allow(clippy::undocumented_unsafe_blocks, clippy::missing_safety_doc, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

use core::mem::offset_of;

use static_assertions::const_assert_eq;

use crate::kpi::iftype::ift;
use crate::kpi::requests::{self, CapabilitiesRequest, MediaRequest};

pub use generated::*;

// The layout of `struct ifnet`, which is the kernel's own. The headers of 14 and 15 can come without the rest
// of the kernel's source, so they must agree with what is known of it. Those of any other release are that
// source. What a kernel itself has is looked at when it loads the module (kmod/layout.c).
#[cfg(any(freebsd = "14", freebsd = "15"))]
const _: () = {
    let (size, fib) = if cfg!(freebsd = "14") { (1288, 900) } else { (1312, 916) };
    assert!(size_of::<ifnet>() == size && offset_of!(ifnet, if_fib) == fib);
    assert!(offset_of!(ifnet, if_softc) == 48);
    assert!(offset_of!(ifnet, if_xname) == 88);
    assert!(offset_of!(ifnet, if_flags) == 112);
    assert!(offset_of!(ifnet, if_type) == 156);
    assert!(offset_of!(ifnet, if_link_state) == 159);
    assert!(offset_of!(ifnet, if_addr) == 488);
    assert!(offset_of!(ifnet, if_vnet) == fib + 4);
    assert!(offset_of!(ifnet, if_bpf) == fib + 28);
    assert!(offset_of!(ifnet, if_lagg) == fib + 52);
    assert!(offset_of!(ifnet, if_output) == fib + 92);
    assert!(offset_of!(ifnet, if_ioctl) == fib + 140);
    assert!(offset_of!(ifnet, if_transmit) == fib + 172);
};
const_assert_eq!(size_of::<mtx>(), 32);
const_assert_eq!(size_of::<epoch_context>(), 16);
const_assert_eq!(size_of::<epoch_tracker>(), 32);
const_assert_eq!(size_of::<ifreq>(), 32);
const_assert_eq!(size_of::<ifmediareq>(), size_of::<MediaRequest>());
const_assert_eq!(offset_of!(ifmediareq, ifm_active), offset_of!(MediaRequest, active));
const_assert_eq!(size_of::<siocsifcapnv_driver_data>(), size_of::<CapabilitiesRequest>());
const_assert_eq!(
    offset_of!(siocsifcapnv_driver_data, reqcap),
    offset_of!(CapabilitiesRequest, first)
);
const_assert_eq!(
    offset_of!(siocsifcapnv_driver_data, reqcap2),
    offset_of!(CapabilitiesRequest, second)
);
const_assert_eq!(
    offset_of!(siocsifcapnv_driver_data, nvcap),
    offset_of!(CapabilitiesRequest, list)
);
const_assert_eq!(size_of::<if_clone_addreq>(), 40);
const_assert_eq!(size_of::<ifc_data>(), 24);
const_assert_eq!(offset_of!(mbuf, __bindgen_anon_3), 32);
const_assert_eq!(offset_of!(pkthdr, __bindgen_anon_1), 0);
const_assert_eq!(offset_of!(pkthdr, len), 24);

// Numbers that kpi defines for both backends.
const_assert_eq!(IFT_ETHER, ift::ETHER as u32);
const_assert_eq!(IFT_L2VLAN, ift::L2VLAN as u32);
const_assert_eq!(IFT_INFINIBAND, ift::INFINIBAND as u32);
const_assert_eq!(IFT_BRIDGE, ift::BRIDGE as u32);
const_assert_eq!(IFT_IEEE8023ADLAG, ift::IEEE8023ADLAG as u32);
const_assert_eq!(IFT_INFINIBANDLAG, ift::INFINIBANDLAG as u32);
const_assert_eq!(IFM_NMASK, requests::IFM_NMASK);
const_assert_eq!(IFM_ETHER, requests::IFM_ETHER);
const_assert_eq!(IFM_HDX, requests::IFM_HDX);
