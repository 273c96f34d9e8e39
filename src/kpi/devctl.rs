//! The format of devctl(4)'s events, as devd(8) reads them.

use core::fmt::{self, Display, Write};

/// The value of a variable, in quotes if it is more than a word.
pub struct Value<'a>(pub &'a dyn Display);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if write!(Plain, "{}", self.0).is_ok() {
            return write!(f, "{}", self.0);
        }
        f.write_char('"')?;
        write!(Quoted(f), "{}", self.0)?;
        f.write_char('"')
    }
}

/// Fails at a character that needs quotes.
struct Plain;

impl Write for Plain {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte);
        if text.bytes().all(is_plain) { Ok(()) } else { Err(fmt::Error) }
    }
}

/// Writes within quotes, as devctl_safe_quote_sb does.
struct Quoted<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Quoted<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if matches!(c, '"' | '\\') {
                self.0.write_char('\\')?;
            }
            // A newline would end the event.
            self.0.write_char(if c.is_control() { '?' } else { c })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn a_value_is_one_word_or_in_quotes() {
        let value = |text: &str| Value(&text).to_string();
        assert_eq!(value("em0.100:a_b-c"), "em0.100:a_b-c");
        assert_eq!(value(r#"a "b\"#), r#""a \"b\\""#);
        assert_eq!(value("a\nb=c type=x"), "\"a?b=c type=x\"");
        assert_eq!(value("$a"), "\"$a\"");
    }
}
