//! Go's `text/tabwriter`: a column is as wide as the widest of the neighbouring lines that have it.

/// Two blanks between columns, as `kubectl describe` and its kin have them.
const PADDING: usize = 2;

/// Lays out a text whose cells end with tabs.
pub fn align(text: &str) -> String {
    align_by(text, PADDING)
}

/// The same with another distance.
pub fn align_by(text: &str, padding: usize) -> String {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines: Vec<Vec<&str>> = body.split('\n').map(|l| l.split('\t').collect()).collect();
    let mut writer = Writer { lines, widths: Vec::new(), out: String::new(), padding };
    let count = writer.lines.len();
    writer.format(0, count);
    if !text.ends_with('\n') {
        writer.out.pop();
    }
    writer.out
}

struct Writer<'a> {
    lines: Vec<Vec<&'a str>>,
    widths: Vec<usize>,
    out: String,
    padding: usize,
}

impl Writer<'_> {
    fn format(&mut self, mut from: usize, to: usize) {
        let column = self.widths.len();
        let has = |line: &Vec<&str>| column + 1 < line.len();
        let mut this = from;
        while this < to {
            if !has(&self.lines[this]) {
                this += 1;
                continue;
            }
            self.write(from, this);
            from = this;
            let mut width = 0;
            while this < to && has(&self.lines[this]) {
                width = width.max(self.lines[this][column].chars().count() + self.padding);
                this += 1;
            }
            self.widths.push(width);
            self.format(from, this);
            self.widths.pop();
            from = this;
        }
        self.write(from, to);
    }

    fn write(&mut self, from: usize, to: usize) {
        for line in &self.lines[from..to] {
            for (i, cell) in line.iter().enumerate() {
                self.out.push_str(cell);
                if let Some(width) = self.widths.get(i).filter(|_| i + 1 < line.len()) {
                    self.out.extend(core::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Laid out by Go's tabwriter, as `kubectl describe` sets it up.
    #[test]
    fn as_go_lays_out() {
        assert_eq!(align("Name:\tx\nLong name:\ty\nAlone\nA:\tb\n"), "Name:       x\nLong name:  y\nAlone\nA:  b\n");
        assert_eq!(align("a\tb\tc\naaa\tb\n\tx\ty\n"), "a    b  c\naaa  b\n     x  y\n");
        assert_eq!(align(""), "");
    }
}
