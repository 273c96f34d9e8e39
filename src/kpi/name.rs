//! Names of interfaces.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::IFNAMSIZ;

/// An interface name in the ABI: up to 16 bytes. It ends at the first NUL, if there is one; the bytes after
/// that are ignored.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Name([u8; IFNAMSIZ]);

impl Name {
    /// This text as a name; none if it is empty, or does not fit with its NUL.
    pub fn new(text: &str) -> Option<Self> {
        let mut name = [0; IFNAMSIZ];
        name.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (1..IFNAMSIZ).contains(&text.len()).then_some(Name(name))
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.up_to_nul().is_empty()
    }

    /// Its bytes.
    #[cfg(feature = "kernel")]
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.up_to_nul().iter().copied()
    }

    fn up_to_nul(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or(&self.0)
    }
}

impl From<[u8; IFNAMSIZ]> for Name {
    fn from(bytes: [u8; IFNAMSIZ]) -> Self {
        Name(bytes)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.up_to_nul() == other.up_to_nul()
    }
}

impl Eq for Name {}

/// The name as text; empty if it is not UTF-8.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(self.up_to_nul()).unwrap_or(""))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.up_to_nul())
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    /// The kernel requires only that a name is not empty.
    #[test]
    fn names_that_are_no_text_are_told_apart() {
        let name = |byte| Name::from([byte; 16]);
        assert_eq!(name(0xff), name(0xff));
        assert_ne!(name(0xff), name(0xfe));
        assert_ne!(name(0xff), name(0));
        assert_eq!(name(0xff).to_string(), "");
    }

    #[test]
    fn a_name_ends_at_its_nul() {
        let dirty = Name::from(*b"em0\0garbage.....");
        assert_eq!(Some(dirty), Name::new("em0"));
        assert_eq!(dirty.to_string(), "em0");
        assert!(Name::from([0; 16]).is_empty() && !dirty.is_empty());
        assert_eq!(Name::new(""), None);
        assert!(Name::new("fifteen bytes.!").is_some() && Name::new("sixteen bytes.!!").is_none());
    }
}
