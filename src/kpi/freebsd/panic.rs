//! A Rust panic is a kernel panic.

use core::fmt::Write;
use core::panic::PanicInfo;

use super::bindings as c;
use super::misc::Line;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut line = Line::<256>::new();
    // What does not fit is cut off.
    let _ = write!(line, "if_lagg: {info}");
    // SAFETY: both are strings that end in a NUL, and the first wants one more string.
    unsafe { c::panic(c"%s".as_ptr(), line.as_ptr()) }
}
