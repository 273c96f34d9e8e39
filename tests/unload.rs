//! D-19: unloading the module while it is in use. A process of its own: the module is the process's.

use lagg_rs::kpi::host;
use lagg_rs::kpi::{Errno, live};

/// C lagg unhooks itself first and looks never: the next packet calls a null pointer.
#[test]
fn d19_unloading_is_refused_while_a_lagg_is_there_and_clean_after() {
    host::Vnet::new().enter(|| {
        let lagg = host::clone_create("lagg", None).unwrap();
        assert_eq!(host::kldunload(), Err(Errno::EBUSY));
        assert!(host::is_loaded());
        host::clone_destroy(&lagg).unwrap();
        host::kldunload().unwrap();
        assert_eq!(live(), 0);
        assert!(host::clone_create("lagg", None).is_err());
        host::kldload();
        let lagg = host::clone_create("lagg", None).unwrap();
        host::clone_destroy(&lagg).unwrap();
    });
}
