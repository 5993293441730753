//! The lines in which two texts differ.

use leptos::prelude::*;

/// Longer texts aren't compared line by line.
const LONGEST: usize = 600;
/// So many lines stay around a difference.
const AROUND: usize = 2;

/// Each line with `+`, `-` or a space; far from differences lines are left out, which a `…` line tells.
pub fn lines(old: &str, new: &str) -> Vec<(char, String)> {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.trim_end().lines().collect(), new.trim_end().lines().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return b.iter().map(|l| ('+', (*l).to_owned())).collect();
    }
    // Length of the longest common subsequence of the rests.
    let mut common = vec![vec![0u16; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut all: Vec<(char, String)> = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            all.push((' ', a[i].to_owned()));
            i += 1;
            j += 1;
        } else if j >= b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            all.push(('-', a[i].to_owned()));
            i += 1;
        } else {
            all.push(('+', b[j].to_owned()));
            j += 1;
        }
    }
    near(all)
}

fn near(all: Vec<(char, String)>) -> Vec<(char, String)> {
    let changed: Vec<usize> = all.iter().enumerate().filter(|(_, (sign, _))| *sign != ' ').map(|(i, _)| i).collect();
    let keep = |i: usize| changed.iter().any(|c| c.abs_diff(i) <= AROUND);
    let mut out = Vec::new();
    let mut gap = false;
    for (i, line) in all.into_iter().enumerate() {
        if keep(i) {
            gap = false;
            out.push(line);
        } else if !gap && !changed.is_empty() {
            gap = true;
            out.push((' ', "…".to_owned()));
        }
    }
    out
}

/// The lines, signed: never colour alone.
pub fn view(lines: &[(char, String)]) -> AnyView {
    lines
        .iter()
        .map(|(sign, text)| {
            let class = match sign {
                '+' => "d-add",
                '-' => "d-del",
                _ => "d-same",
            };
            view! { <span class=class>{format!("{sign} {text}\n")}</span> }
        })
        .collect_view()
        .into_any()
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn differences_are_found_with_their_surroundings() {
        let old = "a\nb\nc\nd\ne\nf\ng\n";
        let found = lines(old, "a\nb\nc\nX\ne\nf\ng\n");
        let text: Vec<String> = found.iter().map(|(s, l)| format!("{s}{l}")).collect();
        assert_eq!(text, [" …", " b", " c", "-d", "+X", " e", " f", " …"]);
        assert!(lines(old, old).is_empty());
    }
}
