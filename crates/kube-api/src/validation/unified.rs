//! A unified diff of two lists of lines, as go-difflib makes it (`github.com/pmezard/go-difflib`), which follows
//! Python's `difflib`: the longest run that both have, then the same to the left and the right of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

/// Lines around a change (`UnifiedDiff.Context`).
const CONTEXT: usize = 3;

/// The hunks, each line with its end; nothing when both are the same.
pub(super) fn unified(old: &[String], new: &[String]) -> String {
    let mut out = String::new();
    for hunk in hunks(&changes(old, new)) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let (mut i, mut j) = (first.old.start.saturating_sub(CONTEXT), first.new.start.saturating_sub(CONTEXT));
        let (to_old, to_new) = ((last.old.end + CONTEXT).min(old.len()), (last.new.end + CONTEXT).min(new.len()));
        let _ = writeln!(out, "@@ -{} +{} @@", place(i, to_old), place(j, to_new));
        for change in hunk {
            old[i..change.old.start].iter().for_each(|line| out += &format!(" {line}\n"));
            old[change.old.clone()].iter().for_each(|line| out += &format!("-{line}\n"));
            new[change.new.clone()].iter().for_each(|line| out += &format!("+{line}\n"));
            (i, j) = (change.old.end, change.new.end);
        }
        old[i..to_old].iter().for_each(|line| out += &format!(" {line}\n"));
        debug_assert_eq!(to_old - i, to_new - j);
    }
    out
}

/// Lines that take the place of others.
#[derive(Clone)]
struct Change {
    old: Range<usize>,
    new: Range<usize>,
}

/// `formatRangeUnified`.
fn place(from: usize, to: usize) -> String {
    match to - from {
        1 => (from + 1).to_string(),
        0 => format!("{from},0"),
        length => format!("{},{length}", from + 1),
    }
}

/// Changes that stand near each other, together.
fn hunks(changes: &[Change]) -> Vec<Vec<Change>> {
    let mut out: Vec<Vec<Change>> = Vec::new();
    for change in changes {
        match out.last_mut() {
            Some(hunk) if hunk.last().is_some_and(|c| change.old.start - c.old.end <= 2 * CONTEXT) => {
                hunk.push(change.clone());
            }
            _ => out.push(vec![change.clone()]),
        }
    }
    out
}

/// What lies between the runs that both have.
fn changes(old: &[String], new: &[String]) -> Vec<Change> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (j, line) in new.iter().enumerate() {
        places.entry(line).or_default().push(j);
    }
    if new.len() >= 200 {
        // A line that stands in more than one of a hundred says little (`autoJunk`).
        places.retain(|_, at| at.len() <= new.len() / 100 + 1);
    }
    let mut same = Vec::new();
    let mut open = vec![(0..old.len(), 0..new.len())];
    while let Some((a, b)) = open.pop() {
        let (i, j, length) = longest(old, new, &places, &a, &b);
        if length > 0 {
            same.push((i, j, length));
            open.push((a.start..i, b.start..j));
            open.push((i + length..a.end, j + length..b.end));
        }
    }
    same.sort_unstable();
    same.push((old.len(), new.len(), 0));
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    for (a, b, length) in same {
        if i < a || j < b {
            out.push(Change { old: i..a, new: j..b });
        }
        (i, j) = (a + length, b + length);
    }
    out
}

/// `findLongestMatch`: the earliest of the longest runs in both ranges.
fn longest(
    old: &[String],
    new: &[String],
    places: &BTreeMap<&str, Vec<usize>>,
    a: &Range<usize>,
    b: &Range<usize>,
) -> (usize, usize, usize) {
    let (mut i, mut j, mut length) = (a.start, b.start, 0);
    // How long the run is that ends before each line of `new`.
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, line) in old.iter().enumerate().take(a.end).skip(a.start) {
        let mut next = BTreeMap::new();
        for &to in places.get(line.as_str()).into_iter().flatten().filter(|&&to| b.contains(&to)) {
            let run = to.checked_sub(1).and_then(|before| runs.get(&before)).copied().unwrap_or(0) + 1;
            next.insert(to, run);
            if run > length {
                (i, j, length) = (at + 1 - run, to + 1 - run, run);
            }
        }
        runs = next;
    }
    // Frequent lines at its ends belong to it too.
    while i > a.start && j > b.start && old[i - 1] == new[j - 1] {
        (i, j, length) = (i - 1, j - 1, length + 1);
    }
    while i + length < a.end && j + length < b.end && old[i + length] == new[j + length] {
        length += 1;
    }
    (i, j, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// The example of Python's `difflib.unified_diff`, and what Python 3 prints for the others.
    #[test]
    fn as_difflib_does() {
        for (old, new, want) in [
            ("a b", "a b", ""),
            ("one two three four", "zero one tree four", "@@ -1,4 +1,4 @@ +zero  one -two -three +tree  four"),
            ("a b c d e f g h i", "a b c d X f g h i", "@@ -2,7 +2,7 @@  b  c  d -e +X  f  g  h"),
            ("", "a", "@@ -0,0 +1 @@ +a"),
            ("a 1 2 3 4 5 6 7 b", "A 1 2 3 4 5 6 7 B", "@@ -1,4 +1,4 @@ -a +A  1  2  3 @@ -6,4 +6,4 @@  5  6  7 -b +B"),
            ("a 1 2 3 4 5 6 b", "A 1 2 3 4 5 6 B", "@@ -1,8 +1,8 @@ -a +A  1  2  3  4  5  6 -b +B"),
        ] {
            let got = unified(&lines(old), &lines(new));
            assert_eq!(got.trim_end_matches('\n').replace('\n', " "), want, "{old}");
        }
    }
}
