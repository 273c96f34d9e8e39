//! userlagg: lagg(4) in a Linux process, spoken to in ifconfig(8)'s words.
//!
//! The lagg is the driver that goes into FreeBSD's kernel. Linux sees it as a TAP interface; its
//! ports are Linux interfaces, by packet sockets.

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
