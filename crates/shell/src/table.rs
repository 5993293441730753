//! Tables in kubectl's form (`cli-runtime/pkg/printers`, `liggitt/tabwriter`: cells at least 6 wide, 3 apart).

/// A table with a heading; it remembers how wide its columns were, as a watch prints row after row.
#[derive(Clone, Debug, Default)]
pub struct Table {
    widths: Vec<usize>,
    headed: bool,
}

impl Table {
    /// A table that prints no heading.
    pub fn without_heading() -> Table {
        Table { headed: true, ..Table::default() }
    }

    /// Prints rows, and the heading before the first ones.
    pub fn print(&mut self, heading: &[String], rows: &[Vec<String>]) -> String {
        let mut lines: Vec<&[String]> = Vec::new();
        if !self.headed {
            lines.push(heading);
            self.headed = true;
        }
        lines.extend(rows.iter().map(Vec::as_slice));
        for line in &lines {
            // A row's last cell ends it, so it widens no column.
            for (i, cell) in line.iter().enumerate().take(line.len().saturating_sub(1)) {
                if i >= self.widths.len() {
                    self.widths.resize(i + 1, 0);
                }
                self.widths[i] = self.widths[i].max(cell.chars().count() + 3).max(6);
            }
        }
        let mut out = String::new();
        for line in lines {
            for (i, cell) in line.iter().enumerate() {
                out.push_str(cell);
                if i + 1 < line.len() {
                    let width = self.widths.get(i).copied().unwrap_or_default();
                    out.extend(core::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                }
            }
            out.push('\n');
        }
        out
    }
}

/// `a,b,c + 2 more...`: the first three, as endpoints and ports are told.
pub fn first_three(all: &[String], none: &str) -> String {
    match all.len() {
        0 => none.into(),
        n if n > 3 => format!("{} + {} more...", all[..3].join(","), n - 3),
        _ => all.join(","),
    }
}
