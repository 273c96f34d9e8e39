//! Tests of the model itself: it behaves as the kernel does, and panics where the kernel would fail.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use super::testing::{Events, SET_LLADDR, TestNic};
use super::*;
use crate::kpi::ioctl::{
    InterfaceRequest, LaggRequest, PortRequest, SIOCADDMULTI, SIOCGLAGG, SIOCSIFFLAGS, SIOCSIFMTU,
    SIOCSLAGGPORT,
};
use crate::kpi::{Counter, EpochCell, Errno, IfType, LinkState, Name, Queue, Ref, epoch, iff};

mod cloner;
mod interfaces;
mod mutexes;
mod processes;
mod queues;
mod sections;

const MAC1: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC2: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Runs `f` on a thread of its own, in a vnet of its own, and returns what it panicked with.
fn panic_of(f: impl FnOnce() + Send + 'static) -> String {
    let panic = std::thread::spawn(|| Vnet::new().enter(f)).join().expect_err("it panics");
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| {
        panic.downcast_ref::<&str>().map_or_else(String::new, ToString::to_string)
    })
}

fn frame(to: [u8; 6]) -> Vec<u8> {
    let mut frame = vec![0; 60];
    frame[..6].copy_from_slice(&to);
    frame[12] = 8;
    frame
}

fn ioctl_flags(name: &str, flags: u32) -> crate::kpi::Result {
    let mut request = InterfaceRequest::with_flags(flags);
    ifioctl(name, SIOCSIFFLAGS, &mut request)
}

fn add_port(name: &str, port: &str) -> crate::kpi::Result {
    let portname = Name::new(port).unwrap();
    let mut request = PortRequest { portname, ..Default::default() };
    ifioctl(name, SIOCSLAGGPORT, &mut request)
}
