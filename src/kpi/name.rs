//! Names of interfaces.

use core::fmt::{self, Write};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::IFNAMSIZ;

/// An interface name in the ABI: up to 16 bytes. It ends at the first NUL, if there is one; the bytes after
/// that are ignored.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Name([u8; IFNAMSIZ]);

impl Name {
    /// This text as a name; none if it is empty, or does not fit with its NUL. Renames take any other.
    pub fn new(text: &str) -> Option<Self> {
        let mut name = [0; IFNAMSIZ];
        name.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        (1..IFNAMSIZ).contains(&text.len()).then_some(Name(name))
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.first() == Some(&0)
    }

    /// The name of its node in sysctl(8), where a dot begins another node: letters, digits, `_` and `-`, and any
    /// other byte as `%` and two hexadecimal digits. No two names have the same.
    pub fn node(self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            self.up_to_nul().iter().try_for_each(|byte| match byte {
                b'_' | b'-' => f.write_char(char::from(*byte)),
                _ if byte.is_ascii_alphanumeric() => f.write_char(char::from(*byte)),
                _ => write!(f, "%{byte:02X}"),
            })
        })
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
        // Names are compared often, and most differ early.
        let mut bytes = self.0.iter().zip(&other.0);
        bytes
            .find(|(one, other)| one != other || **one == 0)
            .is_none_or(|(one, other)| one == other)
    }
}

impl Eq for Name {}

/// The name as text, with `?` for what cannot be in a line: a control character, or no UTF-8.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.up_to_nul().utf8_chunks().try_for_each(|chunk| {
            let mut valid = chunk.valid().chars();
            valid.try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_char('?') }
        })
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
        assert_eq!(name(0xff).to_string(), "?".repeat(16));
    }

    /// What a node is called, sysctl(8) and prometheus_sysctl_exporter(8) take, and it leads to one name only.
    #[test]
    fn a_node_has_a_name_of_its_own() {
        let node = |name: &str| Name::new(name).unwrap().node().to_string();
        assert_eq!(node("igb0_a-B"), "igb0_a-B");
        assert_eq!(node("em0.100"), "em0%2E100");
        assert_eq!(node("em0%2E100"), "em0%252E100");
        assert_eq!(node("a b=\"ü"), "a%20b%3D%22%C3%BC");
    }

    #[test]
    fn a_name_fits_in_a_line() {
        let name = Name::from(*b"a\n\x1b\xc2\x9b\xe2\x82b\0.......");
        assert_eq!(name.to_string(), "a????b");
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
