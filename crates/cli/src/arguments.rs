//! The words after a command's name: `--name value`, `--name=value`, `-f value`.

use crate::rules::Failure;

/// Arguments, read one after the other.
pub struct Arguments<'a> {
    rest: std::slice::Iter<'a, String>,
    name: &'a str,
    inline: Option<&'a str>,
}

impl<'a> Arguments<'a> {
    /// All of them.
    pub fn new(words: &'a [String]) -> Arguments<'a> {
        Arguments { rest: words.iter(), name: "", inline: None }
    }

    /// The next one's name.
    pub fn next(&mut self) -> Option<&'a str> {
        let word = self.rest.next()?;
        (self.name, self.inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ => (word.as_str(), None),
        };
        Some(self.name)
    }

    /// The value of the one that was named last.
    ///
    /// # Errors
    /// It has none.
    pub fn value(&mut self) -> Result<String, Failure> {
        let value = self.inline.take().or_else(|| self.rest.next().map(String::as_str));
        value.map(str::to_owned).ok_or_else(|| Failure::Usage(format!("{} needs a value", self.name)))
    }

    /// The complaint about the one that was named last.
    pub fn unknown(&self) -> Failure {
        Failure::Usage(format!("unknown argument {:?}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_after_a_blank_or_an_equals_sign() {
        let words = ["-f", "a=b", "--node=x=y", "--trace", "--mode"].map(String::from);
        let mut args = Arguments::new(&words);
        assert_eq!((args.next(), args.value().ok().as_deref()), (Some("-f"), Some("a=b")));
        assert_eq!((args.next(), args.value().ok().as_deref()), (Some("--node"), Some("x=y")));
        assert_eq!((args.next(), args.next()), (Some("--trace"), Some("--mode")));
        assert!(matches!(args.value(), Err(Failure::Usage(why)) if why == "--mode needs a value"));
        assert_eq!(args.next(), None);
    }
}
