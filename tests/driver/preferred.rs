//! Which of failover's ports the administrator prefers: priorities.

use lagg_rs::kpi::Errno;

use crate::lab::{lab, lagg, refused};

#[test]
fn port_priority_names_ports_that_need_not_be_there() {
    lab(|| {
        let lagg = lagg();
        assert_eq!(lagg.setting("port_priority").unwrap(), "");
        let many = |n| (0..n).map(|n| format!("fifteen_bytes{n:02}:65535 ")).collect::<String>();
        let all = many(32);
        for (good, read) in [
            ("em0:100", "em0:100"),
            ("em0:0\tem1:65535\n", "em0:0 em1:65535"),
            (" em0:1  a:b:2 ", "em0:1 a:b:2"),
            (&all, all.trim()),
            ("", ""),
        ] {
            lagg.set("port_priority", good).unwrap();
            assert_eq!(lagg.setting("port_priority").unwrap(), read);
        }
        lagg.set("port_priority", "em7:7").unwrap();
        let bad = ["em0", "em0:", ":1", "em0:65536", "em0:-1", "em0:+1", "em0:1x", "em0 :1"];
        let longer = ["em0:1 em1", "em0:1 em0:2", "sixteen_bytes_xx:1", &many(33)];
        for text in bad.into_iter().chain(longer) {
            refused(Errno::EINVAL, || lagg.set("port_priority", text));
        }
        assert_eq!(lagg.setting("port_priority").unwrap(), "em7:7");
    });
}
