/*
 * Whether the kernel's struct ifnet is that of the headers that the module was built with. It is the kernel's own: a stable
 * branch promises nothing about it. The kernel's functions know where its fields are, so what they set must be found there.
 */
#include "wrapper.h"

#define	RELEASE(version)	(version) / 100000, (version) / 1000 % 100, (version)

bool
lagg_rs_layout_fits(void)
{
	const int flags = IFF_SIMPLEX | IFF_MULTICAST;
	/* It is never attached, so nobody else uses it. */
	struct ifnet *ifp = if_alloc(IFT_ETHER);
	bool fits;

	if_initname(ifp, "lagg", IF_DUNIT_NONE);
	if_setsoftc(ifp, ifp);
	if_setflags(ifp, flags);
	if_setoutputfn(ifp, ether_output);
	if_setioctlfn(ifp, ether_ioctl);
	if_settransmitfn(ifp, if_transmit);
	fits = ifp->if_softc == ifp && memcmp(ifp->if_xname, "lagg", sizeof("lagg")) == 0 && ifp->if_flags == flags &&
	    ifp->if_type == IFT_ETHER && ifp->if_vnet == if_getvnet(ifp) && ifp->if_output == ether_output &&
	    ifp->if_ioctl == ether_ioctl && ifp->if_transmit == if_transmit;
	if_free(ifp);
	if (!fits) {
		printf("if_lagg_rs: built for FreeBSD %d.%d (%d), but struct ifnet of this kernel, %d.%d (%d), is another: "
		    "build the module with this kernel's source\n", RELEASE(__FreeBSD_version), RELEASE(osreldate));
	}
	return (fits);
}
