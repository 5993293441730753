//! Inputs that nobody would type: texts that are meant to be read, changed at random.

use lab_base::{Dice, Source};

/// Words that parsers trip over.
const WORDS: &[&str] = &[
    "\u{feff}",
    "\0",
    "\r\n",
    "\t",
    "---\n",
    "...\n",
    "? ",
    "- ",
    ": ",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "!!int ",
    "| \n",
    ">-\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "'",
    "\\x",
    "\\u12",
    "#",
    "%YAML 1.2\n",
    "0777",
    "0x_",
    "1e999",
    "-0",
    ".inf",
    ".nan",
    "1:60:60",
    "99999999999999999999",
    "-1",
    "2147483648",
    "65536",
    "0",
    "null",
    "~",
    "yes",
    "off",
    "2001-01-01",
    "::",
    "fe80::1%eth0",
    "10.0.0.0/33",
    "255.255.255.256",
    "010.1.1.1",
    "\u{202e}",
    "\u{1F600}",
    "é",
    "NaN",
    "apiVersion: v1\nkind: ",
    "Service",
    "List",
    "lab/v1",
    "metadata: {name: ",
    "spec:\n",
    "{}",
    "[]",
    "::task{id=",
    ":::",
    "<script>",
    "](javascript:",
    "`",
    "$(",
    "--",
    "-o=",
    "jsonpath={.items[*]..}",
    "{range .}",
    "'",
    "|",
    ">",
    "&&",
    ";",
    "../../",
    "kubectl ",
    "-1s",
    "1h1m1s1ms",
    "9223372036854775807",
];

/// Random choices in a row: the same seed, the same inputs.
pub struct Chance {
    dice: Dice,
    drawn: u64,
}

impl Chance {
    /// Chance from a seed.
    pub fn new(seed: u64) -> Chance {
        Chance { dice: Dice::new(seed), drawn: 0 }
    }
    /// A number below a limit; 0 below 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.drawn += 1;
        self.dice.roll(Source::Allocation, 0, self.drawn).below(limit.max(1) as u64) as usize
    }
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 24 };
        (from, (from + self.below(most)).min(length))
    }
}

/// One of the texts, changed in a few places.
pub fn input(corpus: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = corpus.get(chance.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=chance.below(6) {
        change(&mut bytes, corpus, chance);
    }
    bytes.truncate(200_000);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], chance: &mut Chance) {
    let (from, to) = chance.range(bytes.len());
    match chance.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 | 2 => {
            let word = WORDS[chance.below(WORDS.len())];
            bytes.splice(from..to, word.bytes());
        }
        3 => {
            bytes.drain(from..to);
        }
        4 => {
            let part = bytes[from..to].to_vec();
            let times = 1 + if chance.below(10) == 0 { chance.below(500) } else { chance.below(3) };
            bytes.splice(from..from, part.repeat(times));
        }
        5 => {
            let other = &corpus[chance.below(corpus.len())];
            let (a, b) = chance.range(other.len());
            let part = other[a..b].to_vec();
            bytes.splice(from..to, part);
        }
        6 => number(bytes, from, chance),
        _ => bytes.truncate(from),
    }
}

/// Another number in place of the next one.
fn number(bytes: &mut Vec<u8>, from: usize, chance: &mut Chance) {
    let digit = |b: &u8| b.is_ascii_digit();
    let Some(start) = bytes[from..].iter().position(digit).map(|i| i + from) else { return };
    let end = bytes[start..].iter().position(|b| !digit(b)).map_or(bytes.len(), |i| i + start);
    let extremes = [
        "0",
        "-1",
        "1",
        "127",
        "128",
        "255",
        "256",
        "65535",
        "65536",
        "4294967296",
        "18446744073709551616",
        "1.5",
        "1e9",
    ];
    let other = match chance.below(3) {
        0 => chance.below(100).to_string(),
        _ => extremes[chance.below(extremes.len())].to_owned(),
    };
    bytes.splice(start..end, other.bytes());
}
