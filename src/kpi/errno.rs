//! Error numbers: FreeBSD's, on every backend.

use core::fmt;
use core::num::NonZeroI32;

/// The error of a request: an errno(2).
///
/// The numbers are FreeBSD's on other systems too, because they are part of the ABI that ifconfig(8) uses.
/// An error of a port's driver is passed on unchanged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(NonZeroI32);

/// Result of a kernel interface or of a driver entry point.
pub type Result<T = ()> = core::result::Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Errno {
            $(
                #[doc = $text]
                pub const $name: Errno = Errno(NonZeroI32::new($number).unwrap());
            )*

            /// The text of strerror(3), for errors that the driver itself returns.
            pub fn text(self) -> Option<&'static str> {
                match self.0.get() {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Debug for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0.get() {
                    $($number => f.write_str(stringify!($name)),)*
                    number => write!(f, "errno {number}"),
                }
            }
        }
    };
}

errnos! {
    EPERM = 1, "Operation not permitted";
    ENOENT = 2, "No such file or directory";
    EINTR = 4, "Interrupted system call";
    EIO = 5, "Input/output error";
    ENXIO = 6, "Device not configured";
    ENOMEM = 12, "Cannot allocate memory";
    EFAULT = 14, "Bad address";
    EBUSY = 16, "Device busy";
    EEXIST = 17, "File exists";
    ENODEV = 19, "Operation not supported by device";
    EINVAL = 22, "Invalid argument";
    ENOSPC = 28, "No space left on device";
    EAGAIN = 35, "Resource temporarily unavailable";
    EPROTONOSUPPORT = 43, "Protocol not supported";
    EOPNOTSUPP = 45, "Operation not supported";
    ENETDOWN = 50, "Network is down";
    ENOBUFS = 55, "No buffer space available";
}

impl Errno {
    /// Turns what a C function returned into a result: 0 is success.
    pub const fn check(error: i32) -> Result {
        match NonZeroI32::new(error) {
            None => Ok(()),
            Some(errno) => Err(Errno(errno)),
        }
    }

    /// The number, as C returns it.
    pub const fn number(self) -> i32 {
        self.0.get()
    }
}

/// What C expects back: 0, or the errno.
pub fn to_c(result: Result) -> i32 {
    match result {
        Ok(()) => 0,
        Err(errno) => errno.number(),
    }
}
