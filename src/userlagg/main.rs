//! userlagg: lagg(4) in a Linux process, configured with the words of ifconfig(8).
//!
//! The driver is the one that goes into FreeBSD's kernel. Linux sees the lagg as a TAP interface. Its
//! ports are Linux interfaces, through packet sockets.

#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("userlagg: this is for Linux; FreeBSD has ifconfig(8) and the module");
    std::process::ExitCode::FAILURE
}
