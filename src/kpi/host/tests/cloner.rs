//! Tests of the cloner, and of laggs in the stack.

use super::*;

#[test]
fn a_vnet_ends_with_its_laggs() {
    let (home, jail) = (Vnet::new(), Vnet::new());
    let nic = TestNic::new();
    let em0 = home.enter(|| nic.attach("em0", MAC1));
    vmove(&em0, &jail).unwrap();
    let name = jail.enter(|| clone_create("lagg", None)).unwrap();
    jail.enter(|| add_port(&name, "em0")).unwrap();
    // A lagg that was moved elsewhere is destroyed too.
    let other = jail.enter(|| clone_create("lagg", None)).unwrap();
    vmove(&jail.interface(&other).unwrap(), &home).unwrap();
    jail.destroy();
    assert!(jail.interfaces().is_empty());
    assert_eq!(em0.if_type(), IfType::Ethernet);
    assert!(home.interface("em0").is_some() && home.interface(&other).is_none());
    assert_eq!(jail.enter(|| clone_create("lagg", None)), Err(Errno::EBUSY));
}

#[test]
fn copyout_reaches_user_memory_alone() {
    let memory = UserMemory::new(16);
    copyout(&[1, 2], memory.address() + 14).unwrap();
    assert_eq!(memory.read()[14..], [1, 2]);
    assert_eq!(copyout(&[1, 2], memory.address() + 15), Err(Errno::EFAULT));
    assert_eq!(copyout(&[1, 2], u64::MAX), Err(Errno::EFAULT));
    assert_eq!(copyout(&[1, 2], 8), Err(Errno::EFAULT));
}

#[test]
fn the_cloner_knows_names_and_units() {
    let (home, away) = (Vnet::new(), Vnet::new());
    home.enter(|| {
        assert_eq!(clone_create("lagg", None).unwrap(), "lagg0");
        assert_eq!(clone_create("lagg5", None).unwrap(), "lagg5");
        assert_eq!(clone_create("lagg", None).unwrap(), "lagg1");
        assert_eq!(clone_create("lagg5", None), Err(Errno::EEXIST));
        for bad in ["lag0", "lagg05", "lagg99999999999", "lagg0x", "bridge0"] {
            assert_eq!(clone_create(bad, None), Err(Errno::EINVAL), "{bad}");
        }
        assert_eq!(clone_create("lagg32768", None), Err(Errno::ENOSPC));
        assert_eq!(clone_create("lagg7", Some(&[0; 8])), Err(Errno::EFAULT));
        assert_eq!(clone_create("lagg7", Some(&[2; 16])), Err(Errno::EINVAL));
        set_privileged(false);
        assert_eq!(clone_create("lagg", None), Err(Errno::EPERM));
        assert_eq!(clone_destroy("lagg0"), Err(Errno::EPERM));
        set_privileged(true);
        assert_eq!(clone_destroy("lagg9"), Err(Errno::ENXIO));
        let em0 = TestNic::new().attach("em0", MAC1);
        assert_eq!(clone_destroy("em0"), Err(Errno::EINVAL));
        drop(em0);
        // Moved, and destroyed where it is; its unit is free at home.
        vmove(&home.interface("lagg5").unwrap(), &away).unwrap();
        away.enter(|| clone_destroy("lagg5")).unwrap();
        assert_eq!(clone_create("lagg5", None).unwrap(), "lagg5");
        for name in ["lagg0", "lagg1", "lagg5"] {
            clone_destroy(name).unwrap();
        }
        assert!(home.interfaces().is_empty());
    });
}

#[test]
fn a_lagg_carries_frames() {
    Vnet::new().enter(|| {
        let nic = TestNic::new();
        let em0 = nic.attach("em0", MAC1);
        let name = clone_create("lagg", None).unwrap();
        let lagg = Vnet::current().interface(&name).unwrap();
        add_port(&name, "em0").unwrap();
        assert_eq!(em0.if_type(), IfType::LaggPort);
        ioctl_flags(&name, iff::UP).unwrap();
        set_link(&em0, LinkState::Up);
        settle();
        assert!(lagg.is_active() && em0.is_active());
        transmit(&lagg, Mbuf::from_bytes(&frame(MAC2))).unwrap();
        assert_eq!(nic.sent(), 1);
        let (got, frames) = mpsc::channel();
        set_input(&lagg, move |m| got.send(m.receiver_index()).unwrap());
        receive(&em0, Mbuf::from_bytes(&frame(MAC1)));
        assert_eq!(frames.try_recv().unwrap(), lagg.index());
        assert_eq!(output(&em0, 2, Mbuf::from_bytes(&frame(MAC1))), Err(Errno::ENETDOWN));
        let memory = UserMemory::new(72);
        let mut request = LaggRequest { size: 72, port: memory.address(), ..Default::default() };
        ifioctl(&name, SIOCGLAGG, &mut request).unwrap();
        assert_eq!(request.ports, 1);
        em0.detach();
        settle();
        assert_eq!(transmit(&lagg, Mbuf::from_bytes(&frame(MAC2))), Err(Errno::ENXIO));
        clone_destroy(&name).unwrap();
    });
}

#[test]
fn an_allocation_fails_on_demand() {
    assert!(Ref::try_new(1).is_ok());
    fail_allocation(2);
    assert!(Ref::try_new(1).is_ok());
    assert_eq!(Ref::try_new(1).err(), Some(Errno::ENOMEM));
    assert!(Ref::try_new(1).is_ok());
    assert_eq!(fail_allocation(0), 0);
}
